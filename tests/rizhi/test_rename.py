"""改名：笔记、片段、记录与每一个链接一起走，要么全成，要么全不成。"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from rizhi import store
from rizhi.index import targets
from rizhi.page import read_days, read_notes
from rizhi.vault import Vault
from tests.rizhi.faults import fork, wait

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]


@pytest.fixture
def web(rz: Run, vault: Vault, write: Write) -> dict[str, Path]:
    """两篇笔记、一个记录、一天、一个笔记本与首页，互相链接。"""
    rz("note", "rope", "--title", "旋转位置", "--group", "model")
    rz("note", "ropes", "--title", "绳子", "--group", "python")
    other = vault.notes / "python/ropes.md"
    text = other.read_text("utf-8").replace("prereq: []", "prereq: [rope, ropes-2, rope]")
    fence = "```snippet\nrope:构造\nropes:构造\nrope\n```\n\n`[x](../model/rope.md)` 是例子。\n"
    other.write_text(
        f"{text}\n{fence}[见](../model/rope.md#定义 '题')\n[r]: ../model/rope.md\n", "utf-8"
    )
    (vault.outputs / "rope").mkdir()
    (vault.outputs / "rope/key.json").write_text("{}", "utf-8")
    day = write(
        "2026-11-20",
        "\ufeff# 题\r\n\r\n[一](../../notes/model/rope.md)，"
        "[二](../../notes/model/../model/rope.md)，[三](../../notes/python/ropes.md)，![四](../../notes/model/rope.md)\r\n",
    )
    vault.notebooks.mkdir()
    book = vault.notebooks / "x.ipynb"
    book.write_text('{"cells": [{"source": ["见 [x](../notes/model/rope.md)"]}]}', "utf-8")
    (vault.docs / "index.md").write_text("[首页](notes/model/rope.md)\n", "utf-8")
    return {"other": other, "day": day, "book": book, "index": vault.docs / "index.md"}


def test_everything_follows(rz: Run, vault: Vault, web: dict[str, Path]) -> None:
    result = rz("rename", "rope", "rotary-embedding")
    assert result.exit_code == 0 and "docs/notes/model/rotary-embedding.md" in result.stdout
    note = (vault.notes / "model/rotary-embedding.md").read_text("utf-8")
    assert "snippet: rotary_embedding\n" in note and "\nrotary_embedding:构造\n" in note
    assert (vault.snippets / "rotary_embedding.py").is_file()
    assert (vault.outputs / "rotary_embedding/key.json").is_file()
    assert not list(vault.root.rglob("rope.*")) and not (vault.outputs / "rope").exists()
    other = web["other"].read_text("utf-8")
    assert "prereq: [rotary-embedding, ropes-2, rotary-embedding]" in other
    assert "```snippet\nrotary_embedding:构造\nropes:构造\nrotary_embedding\n```" in other
    assert "`[x](../model/rope.md)`" in other  # 代码里的不是链接
    assert (
        "[见](../model/rotary-embedding.md#定义 '题')\n[r]: ../model/rotary-embedding.md" in other
    )
    assert "../notes/model/rotary-embedding.md" in web["book"].read_text("utf-8")
    assert web["index"].read_text("utf-8") == "[首页](notes/model/rotary-embedding.md)\n"
    for page in (*read_notes(vault), *read_days(vault)):
        assert all(Path(target).exists() for _, target in targets(page)), page.path


def test_only_the_links_change(rz: Run, web: dict[str, Path]) -> None:
    old = web["day"].read_bytes()
    rz("rename", "rope", "rotary")
    new = web["day"].read_bytes()
    assert new.startswith(b"\xef\xbb\xbf") and b"\r\n" in new
    assert new.replace(b"rotary.md", b"rope.md") == old
    assert new.count(b"rotary.md") == 2 and b"python/ropes.md" in new


def test_back_and_forth_is_the_same(rz: Run, snapshot: Snapshot, web: dict[str, Path]) -> None:
    before = snapshot()
    assert rz("rename", "rope", "rotary").exit_code == 0 and snapshot() != before
    assert rz("rename", "rotary", "rope").exit_code == 0 and snapshot() == before


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [("nope", "x", "没有这篇笔记"), ("rope", "ropes", "已存在"), ("rope", "rope", "已存在")],
)
def test_refused(
    rz: Run, snapshot: Snapshot, web: dict[str, Path], old: str, new: str, why: str
) -> None:
    before = snapshot()
    result = rz("rename", old, new)
    assert result.exit_code == 1 and why in result.stderr and snapshot() == before


def test_a_snippet_in_the_way_is_not_overwritten(
    rz: Run, vault: Vault, snapshot: Snapshot, web: dict[str, Path]
) -> None:
    (vault.snippets / "rotary.py").write_text("mine", "utf-8")
    before = snapshot()
    assert rz("rename", "rope", "rotary").exit_code == 1 and snapshot() == before


@pytest.mark.parametrize("nth", range(8))
def test_a_failure_half_way_undoes_all(
    rz: Run, snapshot: Snapshot, web: dict[str, Path], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """换上四页、搬三个文件，哪一步出错都退回原样；头一步是写下打算。"""
    before = snapshot()
    name = "_exchange" if nth < 5 else "_move"
    real, count = getattr(store, name), iter(range(1000))

    def fail(*args: object) -> None:
        if next(count) == nth % 5:
            raise OSError(5, "Input/output error")
        real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(store, name, fail)
        result = rz("rename", "rope", "rotary")
    assert result.exit_code == 1 and "读写出错" in result.stderr and snapshot() == before
    assert rz("rename", "rope", "rotary").exit_code == 0


def test_a_rename_is_taken_back_whole(rz: Run, snapshot: Snapshot, web: dict[str, Path]) -> None:
    before = snapshot()
    assert rz("rename", "rope", "rotary").exit_code == 0
    result = rz("undo")
    assert result.exit_code == 0 and "退回了 rizhi rename rope rotary：" in result.stdout
    assert snapshot() == before


def test_a_rename_is_not_taken_back_over_later_words(
    rz: Run, vault: Vault, snapshot: Snapshot, web: dict[str, Path]
) -> None:
    rz("rename", "rope", "rotary")
    note = vault.notes / "model/rotary.md"
    note.write_text(note.read_text("utf-8") + "后来写的\n", "utf-8")
    before = snapshot()
    result = rz("undo")
    assert result.exit_code == 1 and snapshot() == before
    assert "docs/notes/model/rotary.md 在 rizhi rename rope rotary 之后又改过" in result.stderr
    kept = re.search(r"那之前的在 (\S+)，", result.stderr)
    assert kept and "rope:构造" in (vault.root / kept[1]).read_text("utf-8")


def _quiet(result: Result) -> None:
    assert result.exit_code == 0 and result.stderr == ""


def test_other_commands_start_while_a_rename_is_half_way(
    rz: Run, vault: Vault, web: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """改名做到一半、进程还活着：别的命令不去动它的打算。"""
    real, seen = store._move, []

    def slow(source: Path, target: Path) -> None:
        seen.append(wait(fork(lambda: _quiet(rz("todo")))))
        real(source, target)

    monkeypatch.setattr(store, "_move", slow)
    assert rz("rename", "rope", "rotary").exit_code == 0 and seen == [0, 0, 0]
    assert "rotary.md" in web["index"].read_text("utf-8")
    assert rz("todo").stderr == ""


def test_an_unreadable_page_is_left_alone(rz: Run, write: Write, web: dict[str, Path]) -> None:
    bad = write("2026-11-21", "")
    bad.write_bytes("[x](../../notes/model/rope.md) 掩码".encode("gbk"))
    data = bad.read_bytes()
    assert rz("rename", "rope", "rotary").exit_code == 0 and bad.read_bytes() == data
