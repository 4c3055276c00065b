"""链接：有链接处才有反向链接，句子取得对，搬了地方还指着同一个文件。"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi import links
from rizhi.journal.day import Day
from rizhi.markdown import parse
from rizhi.page import Note, Page
from tests.rizhi.steps import assert_linear, steps

DAY = Path("/v/docs/daily/2026/2026-11-23.md")
WEEK = Path("/v/docs/weekly/2026-W48.md")


def _note(slug: str, title: str, *aliases: str) -> Note:
    text = f"---\ntitle: {title}\naliases: [{', '.join(aliases)}]\n---\n"
    return Note(Path(f"/v/docs/notes/model/{slug}.md"), text)


def _sentences(text: str) -> list[str]:
    document = parse(text)
    return links.sentences(document, list(document.links))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../../notes/model/rope.md", "/v/docs/notes/model/rope.md"),
        ("../../notes/model/rope.md#定义?x", "/v/docs/notes/model/rope.md"),
        ("./a%20b.md", "/v/docs/daily/2026/a b.md"),
        ("附件/我的 讲义.pdf", "/v/docs/daily/2026/附件/我的 讲义.pdf"),
        ("#定义", None),
        ("https://example.org/x.md", None),
        ("mailto:a@b", None),
        ("/绝对.md", None),
        ("//host/x.md", None),
        ("C:\\图\\a.png", None),
    ],
)
def test_where_a_link_leads(target: str, path: str | None) -> None:
    assert links.resolve(str(DAY.parent), target) == path


def test_topics_come_once_in_order() -> None:
    rope, glu = _note("rope", "旋转位置"), _note("glu", "门控")
    day = Day(DAY, "[b](../../notes/model/glu.md) [a](../../notes/model/rope.md#x) " * 2)
    assert links.topics(day, links.by_path([rope, glu])) == [glu, rope]


def test_backlinks_carry_their_sentence() -> None:
    page = Day(
        DAY, "# 题\n\n- 前一句。终于懂了[旋转](../../notes/model/rope.md)，要记住。后一句。\n"
    )
    ((target, (one,)),) = links.backlinks([page]).items()
    assert target == "/v/docs/notes/model/rope.md" and one.line == 3
    assert one.sentence == "终于懂了[旋转](../../notes/model/rope.md)，要记住。"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- [ ] 看[甲](a.md)", "看[甲](a.md)"),
        ("- [ ] [甲](a.md) 看", "[甲](a.md) 看"),
        ("前。折成\n两行的[甲](a.md)一句。后。", "折成两行的[甲](a.md)一句。"),
        ("前。`a?b` 与[甲](a.md?x!y)都在！后。", "`a?b` 与[甲](a.md?x!y)都在！"),
        ("上一段。\n\n[甲](a.md)", "[甲](a.md)"),
        ("| 甲 | [甲](a.md) |\n|---|---|", "| 甲 | [甲](a.md) |"),
        ("「问？」答：[甲](a.md)。", "答：[甲](a.md)。"),
        ("## 标题里的[甲](a.md)", "## 标题里的[甲](a.md)"),
    ],
)
def test_the_sentence_around_a_link(text: str, sentence: str) -> None:
    assert _sentences(text) == [sentence]


def test_a_paragraph_without_a_stop_is_cut_around_each_link() -> None:
    found = _sentences("[甲](a.md)，" * 5_000)
    assert len(found) == 5_000 and max(map(len, found)) < 500
    assert found[0].endswith("…") and found[2_500].startswith("…")


def test_pictures_and_unused_definitions_are_reachable_but_no_backlinks() -> None:
    page = Page(DAY, "![图](img/a.png) [甲](b.md)\n\n[没用到]: c.md\n")
    assert set(links.backlinks([page])) == {"/v/docs/daily/2026/b.md"}
    assert [Path(path).name for path in links.reachable(page)] == ["b.md", "c.md", "a.png"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("今天看了旋转位置编码", ["rope"]),
        ("用 RoPE 算", ["rope"]),
        ("用 ropes 算", []),
        ("sorted 返回新的", []),
        ("SORT 改原来的", ["sort"]),
        ("没有提到", []),
    ],
)
def test_names_in_passing(text: str, found: list[str]) -> None:
    names = links.Names([_note("rope", "旋转位置", "RoPE", "r"), _note("sort", "sort")])
    assert [note.slug for note in names.mentioned(text)] == found


def test_a_name_is_placed_where_it_stands() -> None:
    names = links.Names([_note("rope", "旋转位置")])
    text = "İİİ旋转位置，又见旋转位置"  # İ 折叠之后是两个字
    assert [text[at:end] for _, at, end in names.every(text)] == ["旋转位置"] * 2
    assert next(names.every(text))[1] == 3


def test_names_in_links_code_and_destinations_are_not_in_passing() -> None:
    text = "[RoPE](rope.md) `RoPE` <!-- RoPE --> $RoPE$ [x](RoPE.md)"
    names = links.Names([_note("rope", "旋转位置", "RoPE")])
    assert names.mentioned(parse(text).unlinked) == [] and names.mentioned(text) != []


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("[x](../../notes/a.md#定义)", "[x](../notes/a.md#定义)"),
        ("[y](https://a.b) <https://c.d> [z](/e)", "[y](https://a.b) <https://c.d> [z](/e)"),
        ("![图](img/p.png '题')", "![图](../daily/2026/img/p.png '题')"),
        ("[![图](p.png)](a.md)", "[![图](../daily/2026/p.png)](../daily/2026/a.md)"),
        ("[昨天](2026-11-22.md)", "[昨天](../daily/2026/2026-11-22.md)"),
        ("[讲义](<附件/我的 讲义.pdf>)", "[讲义](<../daily/2026/附件/我的%20讲义.pdf>)"),
        ("[讲义](附件/讲义(1).pdf)", "[讲义](../daily/2026/附件/讲义%281%29.pdf)"),
        ("[a](b%20c.md)", "[a](../daily/2026/b%20c.md)"),
        ("[上面](#定义)", "[上面](../daily/2026/2026-11-23.md#定义)"),
        ("[那篇][x]", "[那篇](../notes/x.md)"),
        ("[x][] 与 [x]", "[x](../notes/x.md) 与 [x](../notes/x.md)"),
        ("[甲][乙]\n\n[乙]: a.md", "[甲][乙]\n\n[乙]: ../daily/2026/a.md"),
        ("`[码](a.md)` \\[不是\\](a.md)", "`[码](a.md)` \\[不是\\](a.md)"),
    ],
)
def test_text_moved_to_another_page_still_points_there(text: str, moved: str) -> None:
    known = parse("[x]: ../../notes/x.md\n").definitions
    made = links.moved(text, DAY, WEEK, known)
    assert made == moved
    places = [
        {links.resolve(str(path.parent), k.target) for k in parse(t, known=known).links} - {None}
        for path, t in ((DAY, text), (WEEK, made))
    ]
    assert places[0] <= places[1]


def test_moving_within_a_folder_changes_nothing() -> None:
    text = "[x](a.md) ![y](<b c.png>) [那篇][z]\n\n[z]: d.md\n"
    assert links.moved(text, DAY, DAY.with_name("2026-11-24.md")) == text


PIECES = st.sampled_from(
    [
        "[a](b.md)",
        "`[a](b.md)`",
        "![a](b.md)",
        "[a](c/d.md#e)",
        "[a][r]",
        "文字。",
        "\n",
        "\n\n[r]: f.md\n\n",
        "```\n",
        "<!--",
        "-->",
        "??? note\n",
        "    ",
        "- ",
        "> ",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_a_backlink_exists_exactly_where_a_link_does(pieces: list[str]) -> None:
    page = Page(Path("/v/docs/x.md"), "".join(pieces))
    found = links.backlinks([page])
    pairs = [(link, target) for link, target in links.targets(page) if not link.image]
    assert sorted(t for _, t in pairs) == sorted(t for t, ms in found.items() for _ in ms)
    assert all(page.text.startswith(link.target, link.dest) for link, _ in pairs)
    if not {"```\n", "<!--", "    ", "??? note\n"} & set(pieces):
        inline = [link for link, _ in pairs if link.kind == "inline"]
        assert len(inline) == pieces.count("[a](b.md)") + pieces.count("[a](c/d.md#e)")


@given(st.lists(PIECES, max_size=12).map("".join))
def test_moving_there_and_back_points_to_the_same_files(text: str) -> None:
    there = links.moved(text, DAY, WEEK)

    def places(path: Path, source: str) -> list[str | None]:
        return [links.resolve(str(path.parent), k.target) for k in parse(source).links]

    assert places(WEEK, there) == places(DAY, text)
    assert places(DAY, links.moved(there, WEEK, DAY)) == places(DAY, text)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "[甲](a.md)，" * n,
        lambda n: "[甲](a.md)。" * n,
        lambda n: "[![甲](a.md)" * n + "](b.md)" * n,
        lambda n: "".join(f"[甲{k}]: a.md\n" for k in range(n)) + "\n" + "[甲1] " * n,
        lambda n: "甲。\n\n" * n + "[甲](a.md)",
    ],
    ids=["没有句号", "有句号", "图套图", "定义", "许多段"],
)
def test_work_grows_with_the_length_only(make: Callable[[int], str]) -> None:
    def run(count: int) -> None:
        page = Page(DAY, make(count))
        links.backlinks([page])
        links.moved(page.text, DAY, WEEK)

    assert_linear(lambda n: steps(lambda: run(n)))
    run(10_000)  # 若随长度的平方走，这里要几分钟


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("旋转位置编码", ["旋转位置编码"]),  # 长名字里面的短名字不算
        ("位置编码与旋转位置编码", ["位置编码", "旋转位置编码"]),
        ("温度降了", []),  # 两个汉字的别名多半是日常词
        ("掩码", ["掩码"]),  # 标题不论多短都算
        ("掩码，又是掩码", ["掩码", "掩码"]),
    ],
)
def test_every_mention_and_no_everyday_word(text: str, words: list[str]) -> None:
    notes = [_note("rope", "旋转位置编码"), _note("position", "位置", "位置编码")]
    notes += [_note("generate", "生成", "温度"), _note("mask", "掩码")]
    names = links.Names(notes)
    assert [text[at:end] for _, at, end in names.every(text)] == words


def test_the_owner_lists_the_everyday_words() -> None:
    note = _note("generate", "生成", "温度", "present")
    assert links.Names([note], ["Present"]).mentioned("温度") == [note]
    assert links.Names([note], ["Present", "生成"]).mentioned("present 与生成") == []
