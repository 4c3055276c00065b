"""改名、删除、合并：笔记、片段、记录与每一个链接，要么全成，要么全不成。"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from rizhi import links, notes, store
from rizhi.check import check_vault
from rizhi.errors import RizhiError
from rizhi.journal.day import read_days
from rizhi.links import targets
from rizhi.page import read_notes
from rizhi.vault import Vault, find_vault
from tests import vaults
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


def test_paths_in_snippets_follow(rz: Run, vault: Vault, web: dict[str, Path]) -> None:
    """张量流的数据里写的路径；片段改了，就说出哪个记录要重录。"""
    path = vault.snippets / "ropes.py"
    path.write_text('# %% 图\nlinks = ["../model/rope.md", "ropes.md", \'rope.md#x\']  # rope.md\n')
    result = rz("rename", "rope", "rotary")
    assert path.read_text("utf-8").splitlines()[1] == (
        'links = ["../model/rotary.md", "ropes.md", \'rotary.md#x\']  # rope.md'
    )
    assert "snippets/ropes.py 里的链接改了，记录已过期：rizhi record ropes" in result.stdout


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
    new = new.replace("[y](..\\/notes/model/rope.md)", "[y](..\\/notes/model/rotary.md)")
    assert web["book"].read_text("utf-8") == new


def test_what_is_escaped_in_a_notebook_stays_escaped(rz: Run, web: dict[str, Path]) -> None:
    old = r'{"cells": [{"cell_type": "markdown", "source": "[x](../notes/model/{}#\u5b9a\"a)"}]}'
    web["book"].write_text(old.replace("{}", "rope.md"), "utf-8")
    assert rz("rename", "rope", "rotary").exit_code == 0
    assert web["book"].read_text("utf-8") == old.replace("{}", "rotary.md")


def test_links_to_the_snippet_and_its_record_follow_too(
    rz: Run, vault: Vault, web: dict[str, Path]
) -> None:
    page = vault.docs / "more.md"
    page.write_text("[x](../snippets/rope.py) ![y](../snippets/outputs/rope/key.json)\n", "utf-8")
    assert rz("rename", "rope", "rotary-x").exit_code == 0
    new = "[x](../snippets/rotary_x.py) ![y](../snippets/outputs/rotary_x/key.json)\n"
    assert page.read_text("utf-8") == new


@pytest.mark.parametrize(
    "text", ['{"a": "rope.md"{"a": 1, "a": "rope"}', "[x](../notes/model/rope.md)"]
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
    [
        ("nope", "x", "没有这篇笔记"),
        ("rope", "ropes", "已存在"),
        ("rope", "rope", "已存在"),
        ("rope", "bisect", "与标准库的 bisect 重名"),
    ],
)
def test_refused(
    rz: Run, snapshot: Snapshot, web: dict[str, Path], old: str, new: str, why: str
) -> None:
    before = snapshot()
    result = rz("rename", old, new)
    assert result.exit_code == 1 and why in result.stderr and snapshot() == before


def test_a_new_note_is_not_named_like_a_standard_module(rz: Run, snapshot: Snapshot) -> None:
    before = snapshot()
    result = rz("note", "queue", "--title", "队列", "--group", "algorithms")
    assert result.exit_code == 1 and "例如 queue-note" in result.stderr and snapshot() == before


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


# ---- 删除 ----


def _everywhere(vault: Vault, web: dict[str, Path]) -> None:
    """指着 rope 的各种写法：引用式、图片、HTML、片段与记录的文件。"""
    (vault.docs / "more.md").write_text(
        "[甲][r]\n\n[r]: <notes/model/rope.md> '题'\n\n![图](../snippets/outputs/rope/key.json)\n\n"
        "<a href='notes/model/rope.md#甲'>x</a> [片段](../snippets/rope.py) `rope.md`\n",
        "utf-8",
    )


def test_delete_lists_every_place_that_would_break(
    rz: Run, vault: Vault, snapshot: Snapshot, web: dict[str, Path]
) -> None:
    _everywhere(vault, web)
    before = snapshot()
    result = rz("delete", "rope")
    assert result.exit_code == 1 and snapshot() == before
    assert "改好这些链接再删，或加 --yes。没有改动任何文件。" in result.stderr
    assert result.stdout.splitlines() == [
        "删掉 rope，有 15 处会断：",
        "docs/daily/2026/2026-11-20.md:3 ../../notes/model/rope.md",
        "docs/daily/2026/2026-11-20.md:3 ../../notes/model/../model/rope.md",
        "docs/daily/2026/2026-11-20.md:3 ../../notes/model/rope.md",
        "docs/index.md:1 notes/model/rope.md",
        "docs/more.md:3 notes/model/rope.md",
        "docs/more.md:5 ../snippets/outputs/rope/key.json",
        "docs/more.md:7 notes/model/rope.md#甲",
        "docs/more.md:7 ../snippets/rope.py",
        "docs/notebooks/x.ipynb:1 ../notes/model/rope.md",
        "docs/notes/python/ropes.md:7 prereq rope",
        "docs/notes/python/ropes.md:7 prereq rope",
        "docs/notes/python/ropes.md:50 snippet 围栏 rope:构造",
        "docs/notes/python/ropes.md:52 snippet 围栏 rope",
        "docs/notes/python/ropes.md:56 ../model/rope.md#定义",
        "docs/notes/python/ropes.md:58 ../model/rope.md",
    ]


def test_delete_takes_only_its_own_files_and_undo_brings_them_back(
    rz: Run, vault: Vault, snapshot: Snapshot, web: dict[str, Path]
) -> None:
    before = snapshot()
    result = rz("delete", "rope", "--yes")
    assert result.exit_code == 0 and "删了 snippets/outputs/rope/ 里的 1 个文件" in result.stdout
    gone = {"docs/notes/model/rope.md", "snippets/rope.py", "snippets/outputs/rope/key.json"}
    assert snapshot() == {name: data for name, data in before.items() if name not in gone}
    assert not (vault.outputs / "rope").exists()  # 空文件夹会挡住改成这个名字
    assert rz("undo").exit_code == 0 and snapshot() == before


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_delete_asks_on_a_terminal(
    rz: Run,
    snapshot: Snapshot,
    web: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    before = snapshot()
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    result = rz("delete", "rope", input=f"{answer}\n")
    assert result.exit_code == code and "还要删吗" in result.output
    assert (snapshot() == before) is (code == 1)


def test_delete_does_not_ask_when_nothing_breaks(rz: Run, vault: Vault) -> None:
    rz("note", "rope", "--title", "旋转", "--group", "model")
    result = rz("delete", "rope")
    assert result.exit_code == 0 and not list(vault.root.rglob("rope.*"))


@pytest.mark.parametrize("nth", range(3))
def test_a_deletion_that_fails_half_way_undoes_all(
    rz: Run, snapshot: Snapshot, web: dict[str, Path], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    before = snapshot()
    real, count = store._take_away, iter(range(1000))

    def fail(path: Path, kept: Path) -> None:
        if next(count) == nth:
            raise OSError(5, "Input/output error")
        real(path, kept)

    with monkeypatch.context() as patched:
        patched.setattr(store, "_take_away", fail)
        assert rz("delete", "rope", "--yes").exit_code == 1
    assert snapshot() == before
    assert rz("delete", "rope", "--yes").exit_code == 0


def test_a_note_that_is_a_link_is_not_deleted_through_it(
    rz: Run, vault: Vault, snapshot: Snapshot
) -> None:
    rz("note", "rope", "--title", "旋转", "--group", "model")
    (vault.notes / "model/alias.md").symlink_to(vault.notes / "model/rope.md")
    before = snapshot()
    result = rz("delete", "alias")
    assert result.exit_code == 1 and "符号链接" in result.stderr and snapshot() == before


# ---- 合并 ----


def _finish(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace("draft: true\n", ""), "utf-8")


@pytest.fixture
def pair(vault: Vault, web: dict[str, Path]) -> dict[str, Path]:
    """rope 与 ropes 都写完了，可以并。"""
    rope = vault.notes / "model/rope.md"
    _finish(rope)
    _finish(web["other"])
    return {**web, "rope": rope}


def test_merge_moves_every_link_and_loses_nothing(
    rz: Run, vault: Vault, snapshot: Snapshot, pair: dict[str, Path]
) -> None:
    _everywhere(vault, pair)
    rope, other = pair["rope"], pair["other"]
    text = rope.read_text("utf-8")
    head = "aliases: [RoPE, 绳子]\ntags: [位置]\nsnippet: rope\nprereq: [ropes, angle]\n"
    text = re.sub(r"aliases:.*prereq: \[\]\n", head, text, flags=re.S)
    rope.write_text(
        text + "\n[自己](#定义) [另一篇](../python/ropes.md#x) ![图](img/a.png)\n", "utf-8"
    )
    before = snapshot()
    result = rz("merge", "rope", "ropes")
    assert result.exit_code == 0, result.stderr
    merged = other.read_text("utf-8")
    line = int(re.search(r"docs/notes/python/ropes.md:(\d+)\n", result.stdout)[1])
    assert merged.splitlines()[line - 1] == "### 来自「旋转位置」"
    assert "aliases: [旋转位置, RoPE]" in merged and "tags: [位置]" in merged
    assert "prereq: [ropes-2, angle]" in merged and "snippet: ropes\n" in merged
    assert "#### 一句话" in merged and "# 旋转位置\n" not in merged.replace("## ", "")
    assert "[自己](ropes.md#定义) [另一篇](ropes.md#x) ![图](../model/img/a.png)" in merged
    assert "[见](ropes.md#定义 '题')" in merged and "[r]: ropes.md" in merged
    assert "```snippet\nrope:构造\nropes:构造\nrope\n```" in merged  # rope 的片段留着
    assert not rope.exists() and (vault.snippets / "rope.py").is_file()
    assert (vault.outputs / "rope/key.json").is_file() and "留着 snippets/rope.py" in result.stdout
    assert pair["index"].read_text("utf-8") == "[首页](notes/python/ropes.md)\n"
    assert "../notes/python/ropes.md" in pair["book"].read_text("utf-8")
    more = (vault.docs / "more.md").read_text("utf-8")
    assert "[r]: <notes/python/ropes.md> '题'" in more
    assert "<a href='notes/python/ropes.md#甲'>" in more and "`rope.md`" in more
    assert "![图](../snippets/outputs/rope/key.json)" in more
    day = pair["day"].read_bytes()
    assert day.count(b"python/ropes.md") == 4 and b"\r\n" in day and day.startswith(b"\xef\xbb\xbf")
    assert rz("undo").exit_code == 0 and snapshot() == before


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("nope", "rope", "nope：没有这篇笔记"),
        ("rope", "nope", "nope：没有这篇笔记"),
        ("rope", "rope", "是同一篇"),
        ("draft", "rope", "model/draft.md 是草稿"),
        ("rope", "draft", "model/draft.md 是草稿"),
        ("twin", "rope", "twin：有 2 篇同名的笔记"),
        ("rope", "twin", "twin：有 2 篇同名的笔记"),
        ("bad", "rope", "model/bad.md 的前置数据读不懂"),
        ("rope", "bare", "model/bare.md 的前置数据读不懂或没有"),
        ("rope", "open", "model/open.md 的末尾有没合上的代码块"),
        ("rope", "loop", "先修成环：loop 要先读 middle，middle 又要先读 loop"),
    ],
)
def test_merge_refused(
    rz: Run, vault: Vault, snapshot: Snapshot, pair: dict[str, Path], old: str, new: str, why: str
) -> None:
    rz("note", "draft", "--title", "草稿", "--group", "model")
    for name, text in {
        "model/twin": "---\ntitle: 一\n---\n",
        "python/twin": "---\ntitle: 二\n---\n",
        "model/bad": "---\ntitle: [\n---\n",
        "model/bare": "# 没有前置数据\n",
        "model/open": "---\ntitle: 没合上\n---\n# 没合上\n\n```text\n字\n",
        "model/loop": "---\ntitle: 环\nprereq: [middle]\n---\n# 环\n",
        "model/middle": "---\ntitle: 中\nprereq: [rope]\n---\n# 中\n",
    }.items():
        (vault.notes / f"{name}.md").write_text(text, "utf-8")
    before = snapshot()
    result = rz("merge", old, new)
    assert result.exit_code == 1 and why in result.stderr and snapshot() == before
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("nth", range(5))
def test_a_merge_that_fails_half_way_undoes_all(
    rz: Run, snapshot: Snapshot, pair: dict[str, Path], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """拿走一页、换上四页，哪一步出错都退回原样。"""
    before = snapshot()
    name = "_take_away" if nth == 0 else "_exchange"
    real, count = getattr(store, name), iter(range(1, 1000))

    def fail(*args: object) -> None:
        if next(count) == max(nth, 1):
            raise OSError(5, "Input/output error")
        real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(store, name, fail)
        result = rz("merge", "rope", "ropes")
    assert result.exit_code == 1 and snapshot() == before
    assert rz("merge", "rope", "ropes").exit_code == 0


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_every_way_to_link_is_merged(
    rz: Run, pair: dict[str, Path], vault: Vault, old: str, new: str
) -> None:
    if "snippet" in old:
        return
    rz("note", "third", "--title", "第三篇", "--group", "python")
    page = vault.notes / "python/third.md"
    page.write_bytes(f"# 题\n\n{old}\n\n末行 \r\n".encode())
    rz("note", "rotary", "--title", "目标", "--group", "model")
    _finish(vault.notes / "model/rotary.md")
    assert rz("merge", "rope", "rotary").exit_code == 0
    assert page.read_bytes() == f"# 题\n\n{new}\n\n末行 \r\n".encode()


def test_merge_keeps_apart_what_has_the_same_label(
    rz: Run, vault: Vault, pair: dict[str, Path]
) -> None:
    tail = "\n[甲][k] [k][] [k] 脚注[^1]\n\n[k]: {0}.md '题'\n\n[^1]: {0} 的脚注\n"
    for slug, path in (("a", pair["rope"]), ("b", pair["other"])):
        path.write_text(path.read_text("utf-8") + tail.format(slug), "utf-8")
    assert rz("merge", "rope", "ropes").exit_code == 0
    merged = pair["other"].read_text("utf-8")
    assert "[甲][k] [k][] [k] 脚注[^1]\n\n[k]: b.md '题'\n\n[^1]: b 的脚注" in merged
    wanted = (
        "[甲][k rope] [k][k rope] [k][k rope] 脚注[^1-rope]\n\n[k rope]: ../model/a.md '题'\n\n"
    )
    assert f"{wanted}[^1-rope]: a 的脚注" in merged


def test_headings_go_below_the_place_they_are_put(
    rz: Run, vault: Vault, pair: dict[str, Path]
) -> None:
    head = pair["rope"].read_text("utf-8").partition("# 旋转")[0]
    body = "# 旋转\n\n开头\n\n## 甲 ##\n\n乙\n--\n\n###### 丙\n\n> ## 引\n\n```text\n## 码\n```"
    body += "\n\n# 丁\n"
    pair["rope"].write_text(head + body, "utf-8")
    assert rz("merge", "rope", "ropes").exit_code == 0
    merged = pair["other"].read_text("utf-8").partition("### 来自「旋转位置」\n")[2]
    assert merged.startswith(
        "\n开头\n\n#### 甲 ##\n\n#### 乙\n\n###### 丙\n\n> ## 引\n\n```text\n## 码"
    )
    assert merged.endswith("#### 丁\n\n```snippet\nrope\n```\n")  # 正文没有用到的片段，补上一个围栏


def test_a_merge_adds_no_error_to_a_clean_vault(tmp_path: Path) -> None:
    root = vaults.make(tmp_path / "样例", date(2026, 11, 23))
    vault = find_vault(root)
    today = date(2026, 11, 24)

    def errors() -> set[tuple[str, str]]:
        found = check_vault(vault, today)
        return {(p.rule, p.message) for p in found if p.level == "error"}

    before = errors()
    notes.merge(vault, "masked-fill", "attention-mask")
    assert errors() <= before


_SLUGS = ("a", "b", "c", "d")
_FORMS = (
    "[x]({0})",
    "![x](<{0}>)",
    "[x][r{1}]\n\n[r{1}]: {0} '题'",
    "<a href='{0}#甲'>x</a>",
    "- 甲\n    - [x]({0}#甲)",
    "[x]({0}?a=1#甲)",
)


@given(
    groups=st.lists(st.sampled_from(("甲组", "p", "q r")), min_size=4, max_size=4),
    drawn=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(_FORMS)), max_size=12
    ),
    needs=st.lists(st.sets(st.sampled_from(_SLUGS)), min_size=4, max_size=4),
    merged=st.permutations(_SLUGS).map(lambda order: order[:2]),
)
def test_after_a_merge_no_link_is_broken(
    tmp_path_factory: pytest.TempPathFactory,
    groups: list[str],
    drawn: list[tuple[int, int, str]],
    needs: list[set[str]],
    merged: list[str],
) -> None:
    """随机的四篇笔记与一天，互相链接：并了任何两篇，链接一个不少，一个不断。"""
    root = tmp_path_factory.mktemp("库")
    (root / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
    vault = find_vault(root)
    paths = [vault.notes / group / f"{s}.md" for group, s in zip(groups, _SLUGS, strict=True)]
    paths.append(vault.daily / "2026/2026-11-20.md")
    texts = [
        f"---\ntitle: 题{slug}\nprereq: [{', '.join(sorted(need - {slug}))}]\n---\n# 题{slug}\n"
        for slug, need in zip(_SLUGS, needs, strict=True)
    ]
    texts.append("# 2026-11-20\n")
    for number, (source, target, form) in enumerate(drawn):
        link = links.relative(paths[source], paths[target]).replace(" ", "%20")
        texts[source] += f"\n{form.format(link, number)}\n"
    for path, text in zip(paths, texts, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def pointed() -> list[Path]:
        pages = [*read_notes(vault), *read_days(vault)]
        places = (
            links.resolve(str(page.path.parent), address.target)
            for page in pages
            for address in links.addresses(page.document)
        )
        return [Path(place) for place in places if place]

    count = len(pointed())
    old, new = merged
    with patch.object(store, "_RECENT", 0.0), patch.object(store, "_WATCH", 0.0):
        try:
            notes.merge(vault, old, new)
        except RizhiError as error:
            assert "先修成环" in str(error)
            return
    after = pointed()
    assert len(after) == count and all(path.is_file() for path in after)
    assert all(old not in (*note.prereq, note.slug) for note in read_notes(vault))
