"""链接：有链接处才有反向链接，句子取得对，搬了地方还指着同一个文件。"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi import index
from rizhi.page import Day, Note, Page

DAY = Path("/v/docs/daily/2026/2026-11-23.md")


def _note(slug: str, title: str, *aliases: str) -> Note:
    text = f"---\ntitle: {title}\naliases: [{', '.join(aliases)}]\n---\n"
    return Note(Path(f"/v/docs/notes/model/{slug}.md"), text)


def _day(text: str) -> Day:
    return Day(DAY, text)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../../notes/model/rope.md", "/v/docs/notes/model/rope.md"),
        ("../../notes/model/rope.md#定义?x", "/v/docs/notes/model/rope.md"),
        ("./a%20b.md", "/v/docs/daily/2026/a b.md"),
        ("#定义", None),
        ("https://example.org/x.md", None),
        ("mailto:a@b", None),
        ("/绝对.md", None),
        ("//host/x.md", None),
    ],
)
def test_where_a_link_leads(target: str, path: str | None) -> None:
    assert index.resolve(str(DAY.parent), target) == path


def test_topics_come_once_in_order() -> None:
    rope, glu = _note("rope", "旋转位置"), _note("glu", "门控")
    day = _day("[b](../../notes/model/glu.md) [a](../../notes/model/rope.md#x) " * 2)
    assert index.topics(day, index.by_path([rope, glu])) == [glu, rope]


def test_backlinks_carry_their_sentence() -> None:
    page = _day("# 题\n\n- 前一句。终于懂了[旋转](../../notes/model/rope.md)，要记住。后一句。\n")
    ((target, (one,)),) = index.backlinks([page]).items()
    assert target == "/v/docs/notes/model/rope.md" and one.line == 3
    assert one.sentence == "终于懂了[旋转](../../notes/model/rope.md)，要记住。"


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
    names = index.Names([_note("rope", "旋转位置", "RoPE", "r"), _note("sort", "sort")])
    assert [note.slug for note in names.found(text)] == found


def test_a_name_is_placed_where_it_stands() -> None:
    names = index.Names([_note("rope", "旋转位置")])
    assert [at for _, at in names.placed("İİİ旋转位置，又见旋转位置")] == [3]  # İ 折叠之后是两个字


def test_text_moved_to_another_page_still_points_there() -> None:
    text = "见 [x](../../notes/model/rope.md#定义) 与 [y](https://a.b) ![z](img/p.png)"
    moved = index.moved(text, DAY, Path("/v/docs/weekly/2026-W48.md"))
    assert moved == "见 [x](../notes/model/rope.md#定义) 与 [y](https://a.b) ![z](img/p.png)"


PIECES = st.sampled_from(
    [
        "[a](b.md)",
        "`[a](b.md)`",
        "![a](b.md)",
        "[a](c/d.md#e)",
        "文字",
        "\n",
        "```\n",
        "<!--",
        "-->",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_a_backlink_exists_exactly_where_a_link_does(pieces: list[str]) -> None:
    page = Page(Path("/v/docs/x.md"), "".join(pieces))
    found = index.backlinks([page])
    pairs = index.targets(page)
    assert sorted(t for _, t in pairs) == sorted(t for t, ms in found.items() for _ in ms)
    assert all(page.text.startswith(link.target, link.start) for link, _ in pairs)
    if not {"```\n", "<!--"} & set(pieces):
        assert len(pairs) == pieces.count("[a](b.md)") + pieces.count("[a](c/d.md#e)")
