"""一个文件读成一页：编码、前置数据的毛病、标题与标签；读到哪里算正文。"""

from datetime import date
from pathlib import Path

import pytest

from rizhi.journal.day import Day
from rizhi.page import Note, Page, front_matter, load
from rizhi.vault import MAX_LINES, Vault

PATH = Path("/v/docs/daily/2026/2026-11-23.md")


def test_front_matter_is_data_only() -> None:
    text = "---\ntitle: 掩码\ncreated: 2026-11-23\n---\n正文"
    meta, offset, faults, _ = front_matter(text)
    assert meta == {"title": "掩码", "created": date(2026, 11, 23)} and faults == ()
    assert text[offset:] == "正文"


@pytest.mark.parametrize(
    ("block", "line", "why"),
    [
        ("a: 1\na: 2", 3, "写了两次"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']", 3, "python"),
        ("a: [1", 3, "读不懂"),
        ("a: 1\nb: 2026-02-30", 3, "不是真有的日期"),
        ("a: 1\ndate:\n  2026-11-23", 3, "两行"),
        ("date: 2026-\n  11-23", 2, "两行"),
        ("a: 1\n\x0cb: 2", 3, "控制字符"),
        ("a: " + "[" * 3000, 3, "读不懂"),
    ],
)
def test_bad_front_matter_is_a_fault_with_its_line(block: str, line: int, why: str) -> None:
    text = f"---\n{block}\n---\n正文\n"
    meta, offset, faults, _ = front_matter(text)
    assert meta == {} and [fault.line for fault in faults] == [line] and why in faults[0].message
    assert text[offset:] == "正文\n"


@pytest.mark.parametrize(
    "text",
    [
        "\n---\n一条横线\n---\n",
        "---\n今天写了掩码\n---\n正文",
        "正文",
        "---\n\na: 1\n---\n",
        "----\na: 1\n---\n",
    ],
)
def test_a_rule_is_not_front_matter(text: str) -> None:
    assert front_matter(text)[:2] == ({}, 0)


def test_front_matter_that_never_ends_is_a_fault() -> None:
    meta, offset, (fault,), _ = front_matter("---\ntitle: 掩码\n\n# 掩码\n")
    assert (meta, offset, fault.line) == ({}, 0, 1) and "没有收尾" in fault.message


def test_bom_and_crlf_are_read(vault: Vault) -> None:
    path = vault.daily / "2026-11-23.md"
    path.write_bytes("\ufeff---\r\ntags: [a]\r\n---\r\n# 标题\r\n".encode())
    day = load(Day, vault, path)
    assert day.tags == ("a",) and day.title == "标题" and day.date == date(2026, 11, 23)
    assert day.line == 4 and day.body == "# 标题\r\n"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: 甲\n---\n# 乙\n", "甲"),
        ("> # 引用\n\n```\n# 代码\n```\n\n# **乙** `c`\n", "乙 c"),
        ("# \n", "2026-11-23"),
        ("甲\n===\n", "甲"),
    ],
)
def test_the_title_is_the_first_real_heading(text: str, title: str) -> None:
    assert Page(PATH, text).title == title


@pytest.mark.parametrize(
    ("data", "why"),
    [("掩码".encode("gbk"), "像是 GBK"), (b"\0", "NUL"), (b"\n" * (MAX_LINES + 1), "行")],
)
def test_what_cannot_be_read_is_a_fault_of_that_page(vault: Vault, data: bytes, why: str) -> None:
    path = vault.notes / "python/bad.md"
    path.parent.mkdir()
    path.write_bytes(data)
    note = load(Note, vault, path)
    assert note.text == "" and why in note.faults[0].message and note.group == "python"


def test_a_note_reads_its_front_matter_once_asked() -> None:
    text = "---\ntitle: 甲\naliases: 乙\nprereq: [b, c]\ndraft: true\ncreated: 2026-11-20\n---\n"
    note = Note(Path("/v/docs/notes/python/a.md"), text)
    assert (note.slug, note.aliases, note.prereq, note.draft) == ("a", ("乙",), ("b", "c"), True)
    assert note.created == date(2026, 11, 20) and note.snippet is None


def test_a_page_is_parsed_once() -> None:
    day = Day(PATH, "## 思考\n\n- 甲\n")
    assert day.document is day.document and day.sections is day.sections


def test_a_rule_further_down_opens_no_front_matter() -> None:
    day = Day(
        PATH, "---\ntags: [a]\n---\n- [ ] 甲\n\n---\n- [ ] 乙\n\n---\nkey: 1\n---\n- [ ] 丙\n"
    )
    assert [item.text for item in day.todos] == ["甲", "乙", "丙"]
