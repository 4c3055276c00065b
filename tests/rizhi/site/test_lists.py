"""站点显示的与命令读到的相同：几个列表、几条、怎么套、哪些勾了、链接到哪里。"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown import Markdown

from rizhi.markdown import Document, Item, parse
from rizhi.site import tasks
from rizhi.site.lists import rewritten
from tests.rizhi.engine import engine
from tests.rizhi.steps import steps

CASES = sorted((Path(__file__).parents[1] / "cases").glob("*.md"))
NOTE, DAY = engine(), engine(rizhi_site_lists={"breaks": True})
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
    """框里的记号；整条划掉的与放弃的是一个样子。"""
    return tasks.state(item) if item.box >= 0 else None


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
    shown = li.find(class_="task-list-indicator")
    assert isinstance(shown, Tag)
    return str(shown["data-mark"])


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


# 各种情形


@pytest.mark.parametrize(
    "text",
    [
        "做了两件：\n- 甲\n- 乙\n",
        "## 头\n- 甲\n## 头\n",
        "- 甲\n- 乙\n---\n",
        "- 甲\n> 引\n",
        "- 甲\n```\n- 码\n```\n",
        "> 引\n- 甲\n",
        ">\n- 甲\n",
        "> 引\n\n正文\n> - 甲\n",
        "> - 甲\n\n\n> - 乙\n",
        "- 甲\n\n1. 乙\n",
        "- 甲\n* 乙\n",
        "1. 甲\n2) 乙\n",
        "- 甲\n\n  - 乙\n\n  1. 丙\n",
        "-    甲\n\n    代码\n",
        "- 甲\n\n      代码\n\n- 乙\n",
        "- 甲\n  - 乙\n\n        代码\n",
        "1) [ ] 甲\n2) [x] 乙\n",
        "- [ ]\n  甲\n- [ ]　乙\n",
        "- 甲\n-\n- [ ]\n",
        "- - 甲\n  - 乙\n- 1. 丙\n",
        "-\n  ```\n  码\n  ```\n- 乙\n",
        "- > 引\n  > 接着\n- 乙\n",
        "- 甲\n2. 不另起\n",
        "- 甲\n      - 不另起\n",
        "- #标签\n- 12345678901. 甲\n",
        "- 甲\n\n  # 头\n\n  ---\n",
        "- <!-- 注 --> 甲\n  - 乙\n",
        "- 甲\n\n  [x]: u.md\n\n- [乙][x]\n",
        "!!! note\n    做：\n    - 甲\n      - 乙\n",
        '??? question "问"\n    - 甲\n      - 乙\n      - 丙\n\n        又一段\n',
        "- 甲\n\n  !!! note\n      - 乙\n",
        ">\t- [ ] 甲\n>\t\t- [x] 乙\n",
        "-\t甲\n\t- 乙\n\t\t- 丙\n",
        "- 甲\r\n  - 乙\r\n",
        "  \n- 甲\n",
    ],
)
def test_lists_look_as_they_read(text: str) -> None:
    assert parse(text).items
    _same(text)


def test_a_number_starts_where_he_wrote_it() -> None:
    (ordered,) = _html("说完：\n\n3. 甲\n4. 乙\n")("ol")
    assert ordered["start"] == "3"


def test_tight_stays_tight_and_loose_loose() -> None:
    tight = _html("- 甲\n  - 乙\n- 看：\n  ```\n  码\n  ```\n- 丙\n")
    assert not tight("p")
    loose = _html("- 甲\n\n- 乙\n- 丙\n")
    assert [p.get_text() for p in loose.select("li > p")] == ["甲", "乙", "丙"]


def test_a_fence_in_an_item_is_its_code() -> None:
    soup = _html("1. 看：\n   ```python\n   if x:\n       y\n   ```\n2. 改\n")
    (code,) = soup.select("li pre code")
    assert code.get_text() == "if x:\n    y\n"


PLAIN = """# 头
接着 - 不是条目
1、也不是

    - 缩进的代码

!!! note "注"
    一段
    折行

??? question "问"
    答。

=== "页签"
    里面

```snippet
mask:- 甲
```

~~~source
llm.model:RMSNorm
~~~

| 甲 | - |
|---|---|
| - 乙 | 丙 |

$$
- x
$$

> 引

<!-- - 注释 -->

[x]: u.md
"""


def test_what_is_no_list_is_not_touched() -> None:
    assert rewritten(PLAIN) == PLAIN
    around = PLAIN + "\n- 甲\n  - 乙\n\n" + PLAIN
    assert rewritten(around) == PLAIN + "\n- 甲\n    - 乙\n\n" + PLAIN


def test_a_newline_breaks_the_line_in_a_day_and_joins_in_a_note() -> None:
    text = "甲\n乙 `a\nb` [丙\n丁](x.md)\n\n- 戊\n  己\n\n> 庚\n> 辛\n"
    assert not _html(text)("br")
    assert str(_html(text, DAY)("p")[0]).count("<br/>") == 2
    assert (
        len(_html(text, DAY).select("li br")) == len(_html(text, DAY).select("blockquote br")) == 1
    )
    assert _html(text, DAY).code == _html(text).code


def test_a_newline_breaks_no_heading_table_code_or_maths() -> None:
    text = "头\n---\n\n| 甲 |\n|---|\n| 乙 |\n\n```\n一\n二\n```\n\n- $$\n  x\n  y\n  $$\n"
    assert not _html(text, DAY)("br")


def test_lists_too_deep_to_rewrite_are_left_alone() -> None:
    deep = "- " * 200 + "甲\n"
    assert rewritten(deep) == deep
    quoted = "> " * 2000 + "- 甲\n"
    assert rewritten(quoted) == quoted


def test_rewriting_takes_time_in_proportion() -> None:
    def cost(count: int) -> int:
        text = "- [ ] 甲\n  - 乙\n    接着\n\n1. 丙\n" * count
        return steps(lambda: rewritten(text, breaks=True))

    assert cost(200) < 2.5 * cost(100)


# 人会打的各种写法，随意套

WORDS = (
    "甲乙",
    "看 `x[0]`",
    "**重点：**说",
    "[笔记](../a.md)",
    "![图](b.png)",
    "+1 的含义",
    "#标签",
    "~~整条划掉~~",
    "~~划掉~~一半",
    "周一~周三~周五",
)
MORE = ("", "\n接着说", "\n2. 不另起", "\n再说 [又一篇](c.md)")
BOXES = ("", "", "[ ] ", "[x] ", "[X] ", "[√] ", "[/] ", "[-] ", "[>] ", "[?] ", "[!] ", "[*] ")
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
