"""在一个小知识库里随手改：每改一次只做一遍脏构建，要比的时候另起进程从头建一遍。"""

import filecmp
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

from benchmarks.make_vault import make_vault
from tests import vaults

CLEAN = "import sys; from mkdocs.__main__ import cli; cli(['build', '-q', '-d', sys.argv[1]])"
TAGS = ("掩码", "缓存", "a/b", "<b>粗</b>")


def prepare(root: Path) -> None:
    """样例知识库，再多四十天、十二篇笔记。"""
    make_vault(root, 40, 12)
    vaults.make(root)


class Editor:
    """一个手快的人：随手加、改、改名、删。"""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.serial = 0

    def days(self) -> list[Path]:
        return sorted((self.root / "docs/daily").rglob("*.md"))

    def notes(self) -> list[Path]:
        return sorted((self.root / "docs/notes").rglob("*.md"))

    def edit(self) -> str:
        """做一件事，说出做了什么。"""
        actions: list[Callable[[], str]] = [
            self.add_day, self.change_day, self.change_day, self.tick, self.tag, self.delete_day,
            self.add_note, self.change_note, self.retitle_note, self.rename_note, self.delete_note,
            self.link, self.require, self.change_snippet, self.change_record, self.break_head,
            self.embed, self.change_source,
        ]  # fmt: skip
        return self.rng.choice(actions)()

    def add_day(self) -> str:
        last = date.fromisoformat(self.days()[-1].stem) if self.days() else date(2026, 1, 1)
        day = last - timedelta(days=self.rng.randrange(400))
        path = self.root / f"docs/daily/{day:%Y}/{day}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"# {day}　新的一天 {self._next()}\n\n## 今日成果\n\n1. 写了 {self._next()}\n\n"
            f"## 明日计划\n\n- **【待办】做完 {self._next()}**\n",
            encoding="utf-8",
        )
        return f"加一天 {path.name}"

    def change_day(self) -> str:
        return self._append(self._one(self.days()), f"\n又想到第 {self._next()} 点。\n")

    def tick(self) -> str:
        path = self._one(self.days())
        text = path.read_text("utf-8")
        self._write(path, text.replace("- [ ]", "- [x]", 1).replace("【待办】", "【已办】", 1))
        return f"勾掉一件 {path.name}"

    def tag(self) -> str:
        path = self._one(self.days() + self.notes())
        text = path.read_text("utf-8")
        head, mark, tail = text.partition("tags: [")
        if mark:
            wanted = json.dumps(self.rng.choice(TAGS), ensure_ascii=False)
            self._write(path, f"{head}{mark}{wanted}, {tail}")
        return f"加标签 {path.name}"

    def delete_day(self) -> str:
        path = self._one(self.days())
        path.unlink()
        return f"删一天 {path.name}"

    def add_note(self) -> str:
        number = self._next()
        path = self.root / f"docs/notes/{self.rng.choice(('model', 'python'))}/fresh-{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"---\ntitle: 新笔记 {number}\naliases: [别称{number}]\ndraft: true\n---\n\n# 新\n",
            encoding="utf-8",
        )
        return f"加笔记 {path.name}"

    def change_note(self) -> str:
        return self._append(self._one(self.notes()), f"\n补一句 {self._next()}。\n")

    def retitle_note(self) -> str:
        path = self._one(self.notes())
        lines = path.read_text("utf-8").split("\n")
        new = self.rng.choice((f"门控缓存 {self._next()}", "<script>alert(1)</script>", "形状表"))
        self._write(
            path, "\n".join(f"title: {new}" if s.startswith("title:") else s for s in lines)
        )
        return f"改标题 {path.name}"

    def rename_note(self) -> str:
        path = self._one(self.notes())
        path.rename(path.with_name(f"renamed-{self._next()}.md"))
        return f"改名 {path.name}"

    def delete_note(self) -> str:
        path = self._one(self.notes())
        if len(self.notes()) > 8:
            path.unlink()
        return f"删笔记 {path.name}"

    def link(self) -> str:
        note = self._one(self.notes())
        target = note.relative_to(self.root / "docs").as_posix()
        return self._append(
            self._one(self.days()), f"\n- 又见 [那篇](../../{target})，还有掩码 3。\n"
        )

    def require(self) -> str:
        path, other = self._one(self.notes()), self._one(self.notes())
        text = path.read_text("utf-8")
        self._write(path, text.replace("prereq: []", f"prereq: [{other.stem}]", 1))
        return f"加先修 {path.name}"

    def change_snippet(self) -> str:
        path = self._one(sorted((self.root / "snippets").glob("*.py")))
        return self._append(path, f"\n# 第 {self._next()} 次改\n")

    def change_record(self) -> str:
        path = self._one(sorted((self.root / "snippets/outputs").rglob("*.txt")))
        return self._append(path, f"{self._next()}\n")

    def change_source(self) -> str:
        path = self.root / "llm/model.py"
        text, mark = path.read_text("utf-8"), f"  # 第 {self._next()} 次改\n"
        if self.rng.random() < 0.5:
            return self._append(path, f"\n\ndef added_{self.serial}() -> None:\n    pass{mark}")
        at = self.rng.choice([m.end() for m in re.finditer(r"^    return .*", text, re.M)])
        self._write(path, text[:at] + mark.rstrip() + text[at:])
        return f"改源码 {path.name}"

    def embed(self) -> str:
        opening = self.rng.choice(("```snippet", "``` snippet", "~~~snippet", "````snippet"))
        module = self.rng.choice(("attention_mask", "sort_vs_sorted"))
        lines = ("", opening, module, opening[: 4 if opening[3] == "`" else 3], "")
        block = self.rng.choice(("\n", "\r\n")).join(lines)
        return self._append(self._one(self.days() + self.notes()), block)

    def break_head(self) -> str:
        path = self._one(self.days())
        self._write(path, "---\ntags: [没有关上\ndate: x: y\n---\n" + path.read_text("utf-8"))
        return f"弄坏前置数据 {path.name}"

    def _one(self, paths: list[Path]) -> Path:
        return self.rng.choice(paths)

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _append(self, path: Path, text: str) -> str:
        self._write(path, path.read_text("utf-8") + text)
        return f"改 {path.name}"

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8", newline="")  # 回车原样写


def rebuild(root: Path, site: Path, dirty: bool) -> list[str]:
    """与 `mkdocs serve` 改动之后做的一样；返回重建了哪些页。"""
    config = load_config(str(root / "mkdocs.yml"), site_dir=str(site))
    build(config, dirty=dirty)
    return sorted(config.plugins["rizhi"].rebuilt)


def differences(site: Path, clean: Path) -> list[str]:
    """两次构建不同的文件；站点地图里有建成的时刻，不比。"""
    names = [
        {p.relative_to(at).as_posix() for p in at.rglob("*") if p.is_file()} for at in (site, clean)
    ]
    skipped = {"sitemap.xml", "sitemap.xml.gz"}
    found = sorted((names[0] ^ names[1]) - skipped)
    both = sorted((names[0] & names[1]) - skipped)
    return found + [n for n in both if not filecmp.cmp(site / n, clean / n, shallow=False)]


def against_clean(vault: Path, site: Path) -> list[str]:
    """另起进程从头建一遍，说出不同的文件。"""
    clean = site.with_name("clean")
    shutil.rmtree(clean, ignore_errors=True)
    command = [sys.executable, "-c", CLEAN, str(clean)]
    subprocess.run(command, cwd=vault, check=True, capture_output=True)
    return differences(site, clean)
