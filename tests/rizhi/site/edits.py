"""在一个小知识库里随手改许多次，每次只做一遍脏构建；到了检查点，另起进程从头建一遍来比。

由 test_incremental.py 在自己的进程里运行：`python edits.py 文件夹 种子 改几次 查几次`。
"""

import filecmp
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

from benchmarks import peers

ROOT = Path(__file__).resolve().parents[3]
CLEAN = "import sys; from mkdocs.__main__ import cli; cli(['build', '-q', '-d', sys.argv[1]])"
TAGS = ("掩码", "缓存", "a/b", "<b>粗</b>")


def prepare(root: Path) -> None:
    """四十天、十二篇笔记、两个真的片段。"""
    peers.grown(root, 40, 12)
    shutil.copytree(ROOT / "llm", root / "llm", ignore=shutil.ignore_patterns("__pycache__"))
    for slug, group in (("cat-vs-stack", "pytorch"), ("sort-vs-sorted", "python")):
        module = slug.replace("-", "_")
        for name in (f"snippets/outputs/{module}", f"docs/notes/{group}/{slug}.md"):
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
        shutil.copy(ROOT / f"snippets/{module}.py", root / f"snippets/{module}.py")


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
            self.embed,
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

    def embed(self) -> str:
        opening = self.rng.choice(("```snippet", "``` snippet", "~~~snippet", "````snippet"))
        module = self.rng.choice(("cat_vs_stack", "sort_vs_sorted"))
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


def rebuild(root: Path, site: Path, dirty: bool) -> None:
    """与 `mkdocs serve` 改动之后做的一样。"""
    build(load_config(str(root / "mkdocs.yml"), site_dir=str(site)), dirty=dirty)


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


def main(root: Path, seed: int, edits: int, checks: int) -> int:
    """改 edits 次，比 checks 次；有一处不同就停下来，留着两份产物。"""
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    vault, site = root / "vault", root / "site"
    prepare(vault)
    os.chdir(vault)  # 围栏从工作目录找知识库，与 mkdocs serve 一样
    rebuild(vault, site, dirty=False)
    editor = Editor(vault, random.Random(seed))
    done: list[str] = []
    for number in range(1, edits + 1):
        done.append(editor.edit())
        rebuild(vault, site, dirty=True)
        if number % (edits // checks) == 0:
            wrong = against_clean(vault, site)
            if wrong:
                print(
                    f"第 {number} 次之后不同：{wrong[:8]}；最近做的：{done[-(edits // checks) :]}"
                )
                return 1
    print(f"{edits} 次改动，{checks} 次比较，全部相同")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
