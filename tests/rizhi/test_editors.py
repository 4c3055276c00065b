"""编辑器与 rizhi 同时写一页：他的字不丢，rizhi 的改动也在；在不了的，下一条命令会说。

存盘的写法各不相同（下面每种都是用 strace 看过、或从它的源码与议题里查到的）：

- `truncate`：VS Code、nano 那样原地存：打开时截断，停一会儿，再写；
- `held`：存盘前早就打开了文件，换下来之后才往旧文件里写；
- `rename`：Obsidian、Syncthing 那样：写好临时文件，改名盖上去；
- `safe`：JetBrains 的 safe write：旧文件改名拿走，新文件改名过来，再删旧的；
- `vim-yes`、`vim-no`、`vim-auto`：真的 vim，`backupcopy` 的三个值；
- `nano`：真的 nano，接在伪终端上。

完整的一遍：`python -m tests.rizhi.test_editors 1000`，八种写法各 1,000 轮，四十轮一齐跑。
"""

import json
import os
import pty
import random
import select
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from rizhi import notes, store
from rizhi.errors import RizhiError
from rizhi.journal import write
from rizhi.vault import Vault, find_vault
from tests.rizhi.faults import fork, wait

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="要 fork 与伪终端")

TODAY = date(2026, 11, 23)
PAGE = """---
date: 2026-11-23
---

# 2026-11-23

## 今日目标

1. [ ] 画图
2. [ ]

## 思考

- 归一化见 [rope](../../notes/model/rope.md)。

## 今日完成

- [ ] 练背

## 今日总结

收尾的一句。
"""
NOTE = "---\ntitle: 旋转位置\nsnippet: rope\n---\n\n# 旋转位置\n\n见 [自己](rope.md)。\n"
ACTIONS = ("add", "done", "rename")


@dataclass(frozen=True)
class Round:
    """一轮：哪种写法、哪条命令、随机数的种子。"""

    style: str
    action: str
    seed: int


def _vault(folder: Path) -> Vault:
    (folder / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
    for name, text in {
        "docs/daily/2026/2026-11-23.md": PAGE,
        "docs/notes/model/rope.md": NOTE,
        "snippets/rope.py": "# %% 构造\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
        old = time.time() - 60
        os.utime(folder / name, (old, old))
    return find_vault(folder)


# ---- 编辑器 ----


def _edited(text: str, marker: str, rng: random.Random) -> str:
    """他添的一行：页末、「思考」的末尾、随便哪里。"""
    lines = text.splitlines(keepends=True)
    spots = [len(lines), lines.index("## 今日完成\n") - 1] if "## 今日完成\n" in lines else []
    at = rng.choice([*spots, rng.randrange(5, len(lines) + 1)])
    return "".join([*lines[:at], f"- {marker}\n", *lines[at:]])


def _write(handle: int, text: str) -> None:
    data = text.encode()
    half = len(data) // 2
    os.write(handle, data[:half])
    os.write(handle, data[half:])


def _truncate(path: Path, text: str, rng: random.Random) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    time.sleep(rng.uniform(0, 0.5))
    _write(handle, text)
    os.close(handle)


def _rename(path: Path, text: str, rng: random.Random) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, "utf-8")
    time.sleep(rng.uniform(0, 0.1))
    temporary.replace(path)


def _safe(path: Path, text: str, rng: random.Random) -> None:
    fresh, old = (
        path.with_name(f"{path.name}___jb_tmp___"),
        path.with_name(f"{path.name}___jb_old___"),
    )
    fresh.write_text(text, "utf-8")
    with suppress(FileNotFoundError):  # 已经被 rizhi 改了名
        path.rename(old)
    fresh.rename(path)
    old.unlink(missing_ok=True)


SAVES: dict[str, Callable[[Path, str, random.Random], None]] = {
    "truncate": _truncate,
    "rename": _rename,
    "safe": _safe,
}


def _edit(path: Path, style: str, marker: str, rng: random.Random) -> None:
    """载入、打字、存盘。"""
    time.sleep(rng.uniform(0, 0.2))
    typing = rng.uniform(0, 0.4)
    if style == "held":
        with path.open("r+", encoding="utf-8") as file:
            text = _edited(file.read(), marker, rng)
            time.sleep(typing)
            file.seek(0)
            file.truncate()
            file.flush()
            time.sleep(rng.uniform(0, 0.5))
            file.write(text)
    elif style.startswith("vim"):
        _vim(path, style.removeprefix("vim-"), marker, typing, rng)
    elif style == "nano":
        _nano(path, marker, typing)
    else:
        text = _edited(path.read_text("utf-8"), marker, rng)
        time.sleep(typing)
        SAVES[style](path, text, rng)


def _vim(path: Path, backup: str, marker: str, typing: float, rng: random.Random) -> None:
    line = rng.choice([15, 9, 99])
    commands = [
        # 临时文件夹里的文件，vim 默认不留备份，也就不改名
        f"set encoding=utf-8 backupskip= writebackup backupcopy={backup}",
        f"call append(min([{line}, line('$')]), '- {marker}')",
        f"sleep {int(typing * 1000)}m",
        "try | wq! | catch | call writefile([v:exception], '../../vim.log') | cquit | endtry",
    ]
    arguments = [part for command in commands for part in ("-c", command)]
    os.chdir(path.parent)
    answers, says = os.pipe()
    os.write(says, b"y\n")  # 载入之后文件变过，vim 问还要不要存
    os.dup2(answers, 0)
    for standard in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), standard)
    os.execvp("vim", ["vim", "-es", "-u", "NONE", "-i", "NONE", "-n", "-N", *arguments, path.name])  # noqa: S606


def _nano(path: Path, marker: str, typing: float) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(path.parent)
        os.environ["TERM"] = "xterm"
        os.execvp("nano", ["nano", "-I", path.name])  # noqa: S606
    shown = _until(terminal, b"Exit")
    time.sleep(typing)
    os.write(terminal, b"\x1b/" + f"- {marker}\r".encode())
    _until(terminal, marker[-6:].encode())
    os.write(terminal, b"\x0f\r")
    shown = _until(terminal, b"Wrote", b"changed")
    if b"changed" in shown:  # 问磁盘上的变了，还要不要存
        os.write(terminal, b"y")
        _until(terminal, b"Wrote")
    os.write(terminal, b"\x18")
    _until(terminal)
    os.close(terminal)  # 还停在哪一问上的，收到挂断就另存一份 .save 再走
    os.waitpid(child, 0)


def _until(terminal: int, *words: bytes) -> bytes:
    """读到屏幕上出现其中一个词，或它退出。"""
    shown = b""
    until = time.monotonic() + 20
    while not any(word in shown for word in words) and time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:  # 退出了
                break
    return shown


# ---- 一轮 ----


def _act(vault: Vault, action: str) -> None:
    if action == "add":
        write.add(vault, TODAY, "思考", "rizhi 添的一行")
    elif action == "done":
        settled = write.settle(vault, TODAY, "画图", "x", lambda _: None)
        assert len(settled.candidates) == 1, "没有找到那条待办"
    else:
        notes.rename(vault, "rope", "rotary")


WANTED = {"add": "rizhi 添的一行", "done": "1. [x] 画图", "rename": "notes/model/rotary.md"}


def play(folder: Path, one: Round) -> str:
    """返回这一轮的结局；他的字丢了，抛 AssertionError。"""
    rng = random.Random(f"{one}")
    vault = _vault(folder)
    marker = f"editor-{one.seed:06}"
    page = vault.daily / "2026/2026-11-23.md"
    at_note = one.action == "rename" and one.seed % 2
    path = vault.notes / "model/rope.md" if at_note else page
    editor = fork(lambda: _edit(path, one.style, marker, rng))
    time.sleep(rng.uniform(0, 0.8))
    trouble = ""
    try:
        _act(vault, one.action)
    except (RizhiError, OSError, AssertionError) as error:
        trouble = f"{type(error).__name__} {error}"
    code = wait(editor)
    said = store.settle(vault.root)
    assert store.settle(vault.root) == [], "话说了两遍"
    pages = {p: p.read_text("utf-8") for p in vault.docs.rglob("*.md")}
    saved = any(marker in text for text in pages.values())
    if code and not saved and not path.exists():
        return "打开之前就改了名，编辑器自己报错"
    kept = [copy for copy in vault.docs.rglob("*.save*") if marker in copy.read_text("utf-8")]
    if kept and not saved:
        return "nano 停在提问上，字在它的 .save 里"
    log = path.parents[2] / "vim.log"
    if code and not saved and log.exists() and "E949" in log.read_text("utf-8", "replace"):
        return "vim 报 E949（存的时候文件换了）不肯存，字还在编辑器里"
    outcome = _outcome(vault, one, pages, "\n".join(said), trouble)
    assert outcome, f"{one} {code} {trouble} {said} {pages}"
    if saved:
        return outcome
    copies = (vault.root / ".rizhi").rglob("aside/*")
    aside = [copy for copy in copies if marker in copy.read_text("utf-8")]
    assert aside and aside[0].name in "".join(said), f"他的字丢了：{one} {code} {said} {pages}"
    return "对不上，两份都在，说了在哪里"


def _outcome(
    vault: Vault, one: Round, pages: dict[Path, str], said: str, trouble: str
) -> str | None:
    """rizhi 的改动怎样了；不在又没有说，返回 None。"""
    day = vault.daily / "2026/2026-11-23.md"
    if trouble:
        undone = WANTED[one.action] not in "".join(pages.values())
        return f"rizhi 没有做：{trouble.split()[0]}" if undone else None
    if one.action == "rename" and vault.notes / "model/rope.md" in pages:
        return "按旧名存了盘，说了" if "按旧名存了盘" in said else None
    if WANTED[one.action] in pages[day]:
        return "都在"
    return "被更早载入的旧内容盖掉，说了" if "没有了 rizhi" in said else None


def play_all(rounds: list[Round], workers: int) -> Counter[tuple[str, str]]:
    """几轮一齐跑，各在各的文件夹里；返回每种写法各种结局的次数。"""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        children = [
            fork(lambda share=rounds[k::workers], k=k: _share(top, k, share))
            for k in range(workers)
        ]
        assert [wait(child) for child in children] == [0] * workers
        lines = [line for file in top.glob("*.jsonl") for line in file.read_text().splitlines()]
    results = [json.loads(line) for line in lines]
    assert len(results) == len(rounds)
    lost = [outcome for _, outcome in results if outcome.startswith("错：")]
    assert not lost, f"{len(lost)} 轮：" + "\n".join(lost[:3])
    return Counter((style, outcome) for style, outcome in results)


def _share(top: Path, number: int, rounds: list[Round]) -> None:
    with (top / f"{number}.jsonl").open("w") as out:
        for one in rounds:
            folder = top / f"{number}-{one.style}-{one.seed}"
            folder.mkdir()
            try:
                outcome = play(folder, one)
            except AssertionError as error:
                outcome = f"错：{error}"
            out.write(json.dumps([one.style, outcome]) + "\n")
            shutil.rmtree(folder)


STYLES = ["truncate", "held", "rename", "safe", "vim-yes", "vim-no", "vim-auto", "nano"]


def _rounds(style: str, count: int) -> list[Round]:
    return [Round(style, ACTIONS[seed % 3], seed) for seed in range(count)]


@pytest.mark.parametrize(
    "count", [20, pytest.param(1000, marks=pytest.mark.slow)], ids=["few", "all"]
)
@pytest.mark.parametrize("style", STYLES)
def test_an_editor_saves_while_rizhi_writes(style: str, count: int) -> None:
    program = style.split("-")[0]
    if program in ("vim", "nano") and not shutil.which(program):
        pytest.skip(f"这台机器上没有 {program}")
    outcomes = play_all(_rounds(style, count), min(count, 20))
    assert sum(n for (_, outcome), n in outcomes.items() if outcome == "都在") >= count / 4


def main() -> None:
    """完整的一遍，打印每种写法各种结局的次数。"""
    count = int(sys.argv[1])
    for style in sys.argv[2:] or STYLES:
        started = time.monotonic()
        outcomes = play_all(_rounds(style, count), 40)
        took = time.monotonic() - started
        print(f"{style}（{took:.0f} 秒）", {o: n for (_, o), n in outcomes.most_common()})


if __name__ == "__main__":
    main()
