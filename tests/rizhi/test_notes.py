"""改名：笔记、片段、记录与每一个链接一起走，要么全成，要么全不成。"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from rizhi import store
from rizhi.journal.day import read_days
from rizhi.links import targets
from rizhi.page import read_notes
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
        f"{text}\n{fence}[见](../model/rope.md#定义 '题')\n\n[r]: ../model/rope.md\n", "utf-8"
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
    book.write_text(
        '{"cells": [{"cell_type": "markdown", "source": ["见 [x](../notes/model/rope.md)"]}]}',
        "utf-8",
    )
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
        "[见](../model/rotary-embedding.md#定义 '题')\n\n[r]: ../model/rotary-embedding.md" in other
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
    assert new.count(b"rotary.md") == 3 and b"python/ropes.md" in new


WAYS = [
    ("[x](<../model/rope.md>)", "[x](<../model/rotary.md>)"),
    (
        "[x](../model/rope.md?a=rope.md#rope.md '题')",
        "[x](../model/rotary.md?a=rope.md#rope.md '题')",
    ),
    ("[![图](rope.md)](../model/rope.md)", "[![图](rope.md)](../model/rotary.md)"),
    ("![[x](../model/rope.md)](img/x.png)", "![[x](../model/rotary.md)](img/x.png)"),
    ("[折成\n两行](\n../model/rope.md)", "[折成\n两行](\n../model/rotary.md)"),
    (
        "[x][r] [r][] [r]\n\n[r]: <../model/rope.md> '题'",
        "[x][r] [r][] [r]\n\n[r]: <../model/rotary.md> '题'",
    ),
    ("[没用到]: ../model/rope.md", "[没用到]: ../model/rotary.md"),
    ('<a href="../model/rope.md#甲">x</a>', '<a href="../model/rotary.md#甲">x</a>'),
    (
        "<a title=rope.md href=../model/rope.md>x</a>",
        "<a title=rope.md href=../model/rotary.md>x</a>",
    ),
    (
        "<div>\n<img alt='rope.md' SRC = '../model/rope.md'>\n</div>",
        "<div>\n<img alt='rope.md' SRC = '../model/rotary.md'>\n</div>",
    ),
    ("[x](../model/%72ope.md#甲)", "[x](../model/rotary.md#甲)"),
    ("[x](../model/rop&#101;.md)", "[x](../model/rotary.md)"),
    ("[x](../model/rope\\.md)", "[x](../model/rotary.md)"),
    ("??? note\n    [x](../model/rope.md)", "??? note\n    [x](../model/rotary.md)"),
    ("- 甲\n    - [x](../model/rope.md)", "- 甲\n    - [x](../model/rotary.md)"),
    ("> [x](../model/rope.md)", "> [x](../model/rotary.md)"),
    ("| [x](../model/rope.md) |\n|---|", "| [x](../model/rotary.md) |\n|---|"),
    (
        "??? note\n    ```snippet\n    rope:构造\n    ```",
        "??? note\n    ```snippet\n    rotary:构造\n    ```",
    ),
]
NOT_LINKS = [
    "`[x](../model/rope.md)`",
    "```text\n[x](../model/rope.md)\n```",
    "段\n\n    [x](../model/rope.md)",
    "<!-- [x](../model/rope.md) -->",
    "$[x](../model/rope.md)$",
    "\\[x](../model/rope.md)",
    "[x](https://a.b/model/rope.md) <https://a.b/model/rope.md> [y](/model/rope.md)",
    "[x](../model/rope.mdx) [y](../model/x-rope.md) [z](rope.md)",
    "```text\nrope:构造\n```",
    "````text\n```snippet\nrope:构造\n```\n````",
    "rope 与 rope.md",
]


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_every_way_to_link_follows(
    rz: Run, vault: Vault, web: dict[str, Path], old: str, new: str
) -> None:
    page = web["other"]
    head = page.read_text("utf-8").partition("\n## ")[0]
    page.write_bytes(f"{head}\n{old}\n\n末行 \r\n".encode())
    before = page.read_bytes()
    assert rz("rename", "rope", "rotary").exit_code == 0
    expected = before.replace(old.encode(), new.encode())
    assert page.read_bytes() == expected.replace(
        b"prereq: [rope, ropes-2, rope]", b"prereq: [rotary, ropes-2, rotary]"
    )


@pytest.mark.parametrize("text", NOT_LINKS)
def test_what_is_no_link_stays(rz: Run, web: dict[str, Path], text: str) -> None:
    web["day"].write_bytes(f"# 题\n\n{text}\n".encode())
    before = web["day"].read_bytes()
    assert rz("rename", "rope", "rotary").exit_code == 0
    assert web["day"].read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("prereq: [rope]", "prereq: [rotary]"),
        ("prereq: ['rope', \"rope\", rope-2]", "prereq: ['rotary', \"rotary\", rope-2]"),
        ("prereq:\n  - rope # rope\n  - ropes\n", "prereq:\n  - rotary # rope\n  - ropes\n"),
        ("prereq: [ropes,\n  rope]", "prereq: [ropes,\n  rotary]"),
        ("prereq: rope", "prereq: rotary"),
        ("标题: 题\nprereq: [rope]", "标题: 题\nprereq: [rotary]"),
        ("title: 'prereq: rope'\naliases: [rope]", "title: 'prereq: rope'\naliases: [rope]"),
        ("prereq: [rope", "prereq: [rope"),
    ],
)
def test_prerequisites_however_written(rz: Run, web: dict[str, Path], old: str, new: str) -> None:
    page = web["other"]
    page.write_bytes(f"\ufeff---\r\ntitle2: 甲乙\n{old}\n---\n# 绳子\n".encode())
    before = page.read_bytes()
    assert rz("rename", "rope", "rotary").exit_code == 0
    assert page.read_bytes() == before.replace(old.encode(), new.encode())


def test_a_notebook_keeps_how_it_was_written(rz: Run, web: dict[str, Path]) -> None:
    old = """{"cells": [
  {"cell_type": "code", "source": ["x = '[x](../notes/model/rope.md)'"],
   "outputs": [{"text": ["[x](../notes/model/rope.md)"]}]},
  {"cell_type": "markdown", "source": ["单个的 ` 与 $"]},
  {"source": ["\\u4e2d\\ud83d\\ude00 \\"引\\" ",
              "[x](../notes/model/rope.md)\\n",
              "`[x](../notes/model/rope.md)`"],
   "cell_type": "markdown"},
  {"cell_type": "markdown",
   "source": "```\\n[x](../notes/model/rope.md)\\n```\\n[y](..\\/notes/model/rope.md)"}
 ]}"""
    web["book"].write_text(old, "utf-8")
    assert rz("rename", "rope", "rotary").exit_code == 0
    new = old.replace('[x](../notes/model/rope.md)\\n",', '[x](../notes/model/rotary.md)\\n",')
    new = new.replace("[y](..\\/notes/model/rope.md)", "[y](../notes/model/rotary.md)")
    assert web["book"].read_text("utf-8") == new


@pytest.mark.parametrize(
    "text", ['{"a": "rope.md"', '{"a": 1, "a": "rope"}', "[x](../notes/model/rope.md)"]
)
def test_a_damaged_notebook_is_left_alone(rz: Run, web: dict[str, Path], text: str) -> None:
    web["book"].write_text(text, "utf-8")
    assert rz("rename", "rope", "rotary").exit_code == 0
    assert web["book"].read_text("utf-8") == text


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
