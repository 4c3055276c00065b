"""站点显示的与命令读到的相同：几个列表、几条、怎么套、哪些勾了、链接到哪里。"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown import Markdown

from rizhi.lists import rewritten
from rizhi.markdown import Document, Item, parse
from tests.rizhi.engine import engine

CASES = sorted((Path(__file__).parent / "cases").glob("*.md"))
NOTE, DAY = engine(), engine(rizhi_lists={"breaks": True})
Shape = list[Any]  # 一个列表：(有序吗, [(勾没勾, [里面的列表])])


def _read(document: Document) -> Shape:
    """命令读到的。"""

    def within(owner: int) -> Shape:
        return [
            (items[0].marker[:1].isdigit(), [(_state(item), within(item.number)) for item in items])
            for block in document.blocks
            if block.kind == "list" and block.item == owner
            for items in [[i for i in family.get(owner, []) if block.start <= i.start < block.end]]
        ]

    family: dict[int, list[Item]] = {}
    for item in document.items:
        family.setdefault(item.parent, []).append(item)
    return within(-1)


def _state(item: Item) -> str | None:
    """框里写的；站点只认 `[ ]` 与 `[x]`。"""
    return item.mark.lower() if item.box >= 0 and item.mark in " xX" else None


def _shown(soup: BeautifulSoup) -> Shape:
    """站点显示的。"""

    def within(owner: Tag | None) -> Shape:
        return [
            (found.name == "ol", [(_ticked(li), within(li)) for li in found("li", recursive=False)])
            for found in (owner or soup)(["ul", "ol"])
            if found.find_parent("li") is owner
        ]

    return within(None)


def _ticked(li: Tag) -> str | None:
    if "task-list-item" not in (li.get("class") or []):
        return None
    box = li.find("input")
    return "x" if isinstance(box, Tag) and box.has_attr("checked") else " "


def _html(text: str, markdown: Markdown = NOTE) -> BeautifulSoup:
    return BeautifulSoup(markdown.reset().convert(text), "html.parser")


def _targets(soup: BeautifulSoup) -> list[str]:
    """链接与图片的目标，不分次序；标题旁边的锚点不算。"""
    for anchor in soup.select("a.headerlink, a[name], a.footnote-ref, a.footnote-backref"):
        anchor.decompose()
    found = [str(tag.get("href") or tag.get("src") or "") for tag in soup(["a", "img"])]
    return sorted(unquote(one) for one in found)


def _same(text: str) -> None:
    document = parse(text)
    for markdown in (NOTE, DAY):
        soup = _html(text, markdown)
        assert _shown(soup) == _read(document), f"{text}\n----\n{rewritten(text)}\n----\n{soup}"
        assert _targets(soup) == sorted(unquote(link.target) for link in document.links), text


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_cases_look_as_they_read(path: Path) -> None:
    _same(path.read_text("utf-8"))


def test_seven_items_in_four_lists_one_of_them_nested() -> None:
    soup = _html(next(p for p in CASES if p.stem == "lists").read_text("utf-8"))
    lists = soup(["ul", "ol"])
    assert (len(lists), len(soup("li"))) == (4, 7)
    assert len([one for one in lists if one.find_parent("li")]) == 1


# 人会打的各种写法，随意套

WORDS = (
    "甲乙",
    "看 `x[0]`",
    "**重点：**说",
    "[笔记](../a.md)",
    "![图](b.png)",
    "+1 的含义",
    "#标签",
)
MORE = ("", "\n接着说", "\n2. 不另起", "\n再说 [又一篇](c.md)")
BOXES = ("", "", "[ ] ", "[x] ", "[X] ", "[/] ")
EXTRA = (
    None,
    ("```python", "- [ ] 代码", "", "  x = 1", "```"),
    ("", "又一段", "折成两行"),
    ("", "> 引的话", "> - 引的条目"),
    ("", "| 甲 | 乙 |", "|---|---|", "| 1 | 2 |"),
    ("", '!!! note "注"', "    框里：", "    - 框里的条目"),
)
MARKERS = ("-", "*", "+", "{}.", "{})")
WRAPS = ("plain", "quote", "container")


@st.composite
def _lists(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """一个列表的各行。"""
    marker = draw(st.sampled_from(MARKERS))
    indent = draw(st.sampled_from((0, 0, 2, 4)))  # 内文缩进几格，0 是紧跟记号
    blank = draw(st.booleans())
    lines: list[str] = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        sign = marker.format(number)
        width = max(indent, len(sign) + 1)
        body = draw(st.sampled_from(BOXES)) + draw(st.sampled_from(WORDS))
        body += draw(st.sampled_from(MORE))
        inside = body.split("\n") + list(draw(st.sampled_from(EXTRA)) or ())
        if depth < 3 and draw(st.integers(0, 2)) == 0:
            inside += [""] * draw(st.integers(0, 1)) + draw(_lists(depth + 1))
        lines += [""] if blank and lines else []
        lines += [f"{sign:<{width}}{inside[0]}" if indent > 3 else f"{sign} {inside[0]}"]
        lines += [f"{'':{width}}{line}" if line else "" for line in inside[1:]]
    return lines


@st.composite
def _pages(draw: st.DrawFn) -> str:
    """几个列表，前后的话空不空行都行。"""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        block = [*draw(st.sampled_from(((), ("做了两件：",), ("## 思考",), ("说完。", ""))))]
        block += draw(_lists())
        block += draw(
            st.sampled_from(((), ("",), ("", "接着说。"), ("", "", "- 又一条"), ("## 头",)))
        )
        wrap = draw(st.sampled_from(WRAPS))
        if wrap == "quote":
            block = ["", *(f"> {line}".rstrip() for line in block), ""]
        elif wrap == "container":
            block = ["", '??? question "问"', *(f"    {line}".rstrip() for line in block), ""]
        lines += block
    text = "\n".join(lines) + "\n"
    return text.replace("    ", "\t") if draw(st.integers(0, 4)) == 0 else text


@settings(max_examples=300, deadline=None)
@given(_pages())
def test_what_the_site_shows_is_what_the_tool_reads(text: str) -> None:
    _same(text)
