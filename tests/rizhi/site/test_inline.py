"""一行话里的链接与代码，列表里照样是链接与代码。"""

import pytest

from rizhi.markdown import parse
from rizhi.site.blocks import Code, Link, Panel, Row, Rows, Struck
from rizhi.site.html import panels_html, panels_markdown
from rizhi.site.inline import inline, inlines

HERE = "daily/2026/2026-11-23.md"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("没有标记的一行", ("没有标记的一行",)),
        (
            "重读[掩码](../../notes/attention/mask.md)再写",
            ("重读", Link("掩码", "notes/attention/mask.md"), "再写"),
        ),
        ("看 `x[0]` 与 ``a`b``", ("看 ", Code("x[0]"), " 与 ", Code("a`b"))),
        (
            "[`masked_fill_`](../../notes/a/m.md#坏) 说的",
            (Link("masked_fill_", "notes/a/m.md#坏", (Code("masked_fill_"),)), " 说的"),
        ),
        ("**要紧的 `code` 与** *斜*", ("要紧的 ", Code("code"), " 与 斜")),
        ("~~旧的 `a`~~ 新的", (Struck(("旧的 ", Code("a"))), " 新的")),
        ("只有一个 ~~ 在 `~~` 里", ("只有一个 ", "~~", " 在 ", Code("~~"), " 里")),
        ("[论文](https://e.org/a?b#c)", (Link("论文", "https://e.org/a?b#c"),)),
        ("<https://e.org/>", (Link("https://e.org/", "https://e.org/"),)),
        ("[坏](javascript:alert(1)) 的", ("坏", " 的")),
        ("[外面](../../../README.md)", ("外面",)),
        ("[这一页](#思考)", (Link("这一页", f"{HERE}#思考"),)),
        ("![图](a.png) 与 [![图](a.png)](b.md)", ("图", " 与 ", Link("图", "daily/2026/b.md"))),
        ("[讲义](<附件/我的 讲义.pdf>)", (Link("讲义", "daily/2026/附件/我的 讲义.pdf"),)),
        ("转义的 \\`不是代码\\` 与 \\[不是\\](a.md)", ("转义的 `不是代码` 与 [不是](a.md)",)),
        ("`没有合上 [也](没有", ("`没有合上 [也](没有",)),
        ("1. 不是列表 <b>", ("1. 不是列表 <b>",)),
        ("", ("",)),
    ],
)  # fmt: skip
def test_links_and_code_stay_what_they_are(text: str, parts: tuple) -> None:
    assert inline(text, HERE) == parts


def test_lines_of_a_page_are_read_together_with_its_definitions() -> None:
    known = parse("[rms]: ../../notes/n/rms.md\n").definitions
    found = inlines(["甲 [那个][rms]", "乙", "丙 `c`"], HERE, known)
    assert found == [("甲 ", Link("那个", "notes/n/rms.md")), ("乙",), ("丙 ", Code("c"))]


def test_both_sides_show_the_same() -> None:
    parts = inline("看 [`f`](../../notes/a/f.md) 与 `a``b` ~~旧~~ <i>", HERE)
    panel = Panel("list", "", Rows((Row(parts),)))
    assert (
        '<a href="notes/a/f.html"><code>f</code></a> 与 <code>a``b</code> <del>旧</del> &lt;i&gt;'
        in panels_html([panel], "index.md")
    )
    assert "看 [`f`](notes/a/f.md) 与 ``` a``b ``` ~~旧~~ " in panels_markdown([panel], "index.md")
