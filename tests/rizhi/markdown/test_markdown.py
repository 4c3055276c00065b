"""唯一的语法：人会怎样打字，读出来就是什么；位置指着原文，怪的输入也不慢。"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyromark
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rizhi.markdown import Document, Item, near_misses, parse, spliced
from rizhi.markdown import source as prepared
from tests.rizhi.steps import steps

CASES = Path(__file__).parents[1] / "cases"


def _case(name: str) -> Document:
    return parse((CASES / name).read_text("utf-8"))


def _texts(document: Document) -> list[str]:
    return [item.text for item in document.items]


def _todos(text: str) -> list[tuple[str, str | None]]:
    return [(item.plain, item.state) for item in parse(text).items if item.todo]


def _seen(document: Document, kind: str) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks if b.kind == kind]


# ---- 案例 ----


def test_names_that_differ_by_a_sign_stay_eleven_todos() -> None:
    plains = [item.plain for item in _case("signs.md").items if item.todo]
    assert len(plains) == len(set(plains)) == 11
    assert {"学 C++", "学 C#", "学 C", "看 x>0 的情形", "看 x<0 的情形"} <= set(plains)


def test_states_of_other_tools_are_open_and_near_misses_are_named() -> None:
    document = _case("states.md")
    assert [(item.mark, item.state) for item in document.items if item.todo] == [
        ("/", "open"),
        (">", "open"),
        ("?", "open"),
        ("!", "open"),
        ("-", "dropped"),
        (" ", "open"),
        (" ", "dropped"),
        ("x", "done"),
    ]
    half, whole = (item for item in document.items if "划掉" in item.plain)
    assert half.plain == "~~划掉一半~~ 还有一半" and whole.plain == "整条划掉"
    assert [(document.line(m.start), m.kind, m.right) for m in near_misses(document)] == [
        (17, "task", "- [ ] 少一个空格"),
        (18, "task", "- [ ] 全角的框"),
        (19, "task", "- [ ] 少了横线后的空格"),
        (20, "task", "- [ ] 少了框后的空格"),
        (21, "task", "1. [ ] 顿号编号"),
    ]


def test_children_and_notes_keep_their_parent() -> None:
    document = _case("children.md")
    parent = next(item for item in document.items if item.text == "写预训练")
    assert [(c.text, c.state) for c in document.children(parent)] == [
        ("分词", "open"),
        ("读数据", "done"),
        ("先看别人怎么打包", None),
        ("参考：周三的笔记", None),
    ]
    assert document.text[parent.start : parent.last].endswith("参考：周三的笔记")
    assert document.items[-1].text == "复习二叉树第二行接着说：先写模板。"


def test_a_tab_after_the_quote_mark_hides_no_list_marker() -> None:
    document = parse(">\t- [ ] 甲\n>\t  1. 乙\n")
    assert [(item.marker, item.start, item.plain) for item in document.items] == [
        ("-", 2, "甲"),
        ("1.", 14, "乙"),
    ]
    assert [b.start for b in document.blocks if b.kind == "list"] == [2, 14]


def test_a_tab_before_a_marker_under_an_empty_item_hides_no_list_marker() -> None:
    document = parse("-\n\t3) 甲\n-\r\n\t- 乙\n")
    assert [(item.marker, item.start, item.parent) for item in document.items] == [
        ("-", 0, -1),
        ("3)", 3, 0),
        ("-", 8, -1),
        ("-", 12, 2),
    ]


def test_boxes_in_a_quote_are_todos_and_in_code_or_maths_are_text() -> None:
    document = _case("quotes.md")
    todos = [item.text for item in document.items if item.todo]
    assert todos == ["引用块里的待办一", "引用块里的待办二", "围栏之后的这一条是"]
    assert [h.text for h in document.headings] == ["2026-11-24 星期二", "思考", "明日计划"]


def test_lists_are_counted_as_the_site_shows_them() -> None:
    document = _case("lists.md")
    assert len(document.items) == 7
    lists = [block for block in document.blocks if block.kind == "list"]
    assert len(lists) == 4 and [block.item for block in lists if block.item >= 0] == [2]


def test_links_of_every_kind_and_nothing_else() -> None:
    document = _case("links.md")
    assert [(k.target, k.image, document.line(k.start)) for k in document.links] == [
        ("附件/讲义(1).pdf", False, 5),
        ("附件/我的 讲义.pdf", False, 5),
        ("img/图.png", True, 6),
        ("gone.md", False, 6),
        ("img/图.png", True, 6),
        ("none.md", False, 7),
        ("no.pdf", False, 8),
        ("../notes/x.md", False, 8),
    ]
    assert all(document.text[k.dest : k.dest_end] == k.target for k in document.links)


def test_due_dates_stay_in_the_text() -> None:
    texts = [item.text for item in _case("due.md").items]
    assert texts == [
        "交表（📅 2026-11-30）",
        "还书 📅 2026-12-01。",
        "体检 📆 2026-12-02",
        "模拟 @2026-12-3",
        "复盘 @2026-12-04 ^abc123",
    ]


# ---- 勾选框与条目 ----


@pytest.mark.parametrize(
    ("line", "text", "state"),
    [
        ("- [ ] 画图", "画图", "open"),
        ("- [x] 画图", "画图", "done"),
        ("* [X] 画图", "画图", "done"),
        ("1. [-] 画图", "画图", "dropped"),
        ("- [√] 画图", "画图", "done"),
        ("1. [\u3000] 画图", "画图", "open"),
        ("- [x]\u3000画图", "画图", "done"),
        ("> > - [!] 画图", "画图", "open"),
        ("- ~~画图~~", "~~画图~~", "dropped"),
        ("- [ ] ~~画图~~（已顺延 2 天，自 2026-11-20）", None, "dropped"),
        ("- [ ] ~~画图~~ 📅 2026-11-20", None, "dropped"),
        ("- **~~【待办】画图~~**。", None, "dropped"),
        ("- [x] ~~画图~~", None, "done"),
        ("- [ ] 周一~周三~周五", None, "open"),
        ("- [ ]", "", "open"),
        ("-", "", None),
        ("- [x](y) 画图", "[x](y) 画图", None),
        ("- \\[x] 画图", "\\[x] 画图", None),
        ("- [1] 文献", "[1] 文献", None),
        ("- [/] 是链接\n\n[/]: u", "[/] 是链接", None),
        ("- [ ] ~画图~", "~画图~", "open"),
    ],
)
def test_one_item(line: str, text: str | None, state: str | None) -> None:
    (item,) = parse(f"{line}\n").items
    assert item.state == state
    assert text is None or item.text == text


@pytest.mark.parametrize(
    "line", ["3.14 是圆周率", "- - -", "***", "#标签", "-1 度", "2026 年", "3、画图", "１．画图"]
)
def test_lines_that_are_no_items(line: str) -> None:
    assert parse(f"{line}\n").items == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] \n- [ ]\n1. [ ] \n", []),
        ("```\n- [ ] 代码里的\n```\n- [ ] 外面的\n", ["外面的"]),
        ("~~~~\n- [ ] 里\n~~~\n- [ ] 里\n~~~~\n", []),
        ("```\n没有合上的围栏\n- [ ] 不能丢\n", ["不能丢"]),
        ("1. 甲\n   ```\n   - [ ] 不能丢\n2. 乙\n", ["不能丢"]),
        ("1. 甲\n   ```\n   - [ ] 不能丢\n   ```py\n2. 乙\n", ["不能丢 ```py"]),
        ("~~~~~\n~~~~\n~~~\n- [ ] 不能丢\n", ["不能丢"]),
        ("$$ 甲\n```\n乙 $$\n```\n- [ ] 不能丢\n", ["不能丢"]),
        ("<!-- 没有合上\n\n- [ ] 不能丢\n", ["不能丢"]),
        ("<!--\n- [ ] 注释里的\n\n- [ ] 也是\n-->\n- [ ] 外面的\n", ["外面的"]),
        ("- [ ] 外 <!-- - [ ] 里 -->\n", ["外"]),
        ("- [ ] <!-- 只有注释 -->\n", []),
        ("$$\n- [ ] 公式里的\n$$\n\n- [ ] 外面的\n", ["外面的"]),
        ("- 甲\n\n    $$\n    - [ ] 公式里的\n    $$\n", []),
        ("做了两件：\n- [ ] 甲\n", ["甲"]),
        ("- [ ] 外\n    - [x] 里\n", ["外", "里"]),
        ("    - [ ] 缩进代码\n", []),
        ('!!! note "题"\n    - [ ] 一\n\n    - [ ] 二\n', ["一", "二"]),
        ("??? question\n    ```\n    - [ ] 代码\n    ```\n\n    - [ ] 三\n", ["三"]),
        ('=== "甲"\n\n    ??? tip\n        - [ ] 深处的\n', ["深处的"]),
        ("- [ ] 外\n\n    ???+ note\n        - [ ] 里\n", ["外", "里"]),
        ("甲\n      !!! note\n          假\n\n!!! note\n    - [ ] 真\n", ["真"]),
        ("\n".join("~" * k for k in range(30, 2, -1)) + "\n```\n- [ ] 里\n```\n- [ ] 外\n", ["外"]),
        ("!!!太好了。\n\n    - [ ] 缩进代码\n", []),
        ("| 甲 |\n|---|\n| - [ ] 表里的 |\n", []),
    ],
)
def test_which_boxes_are_real(text: str, expected: list[str]) -> None:
    for changed in (text, text.replace("\n", "\r\n")):
        assert [item.plain for item in parse(changed).items if item.todo] == expected


def test_children_in_a_container_belong_to_the_item_around_it() -> None:
    document = parse("- [ ] 外\n\n    ??? note\n        - [ ] 里\n\n- [ ] 后\n")
    assert [(i.text, i.parent, i.depth) for i in document.items] == [
        ("外", -1, 0),
        ("里", 0, 1),
        ("后", -1, 0),
    ]
    outer, inner, _ = document.items
    assert document.children(outer) == (inner,)
    assert outer.last == inner.last and document.prefix(inner) == "        "


def test_loose_and_tight_lists() -> None:
    document = parse("- 甲\n- 乙\n\n文\n\n1. 丙\n\n2. 丁\n\n    续\n")
    assert [item.loose for item in document.items] == [False, False, True, True]
    assert [document.text[b.start : b.end] for b in document.notes(document.items[3])] == ["续"]


def test_positions_count_characters_whatever_ends_the_lines() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = (
            f"🙂\x0c\u2028{end}# 标{end}- [x] 甲 `码`{end}{end}> [图](a b){end}> [书](甲.md){end}"
        )
        document = parse(text)
        (item,), (link,) = document.items, document.links
        assert text[item.box] == "x" and text[item.body : item.end] == "甲 `码`"
        assert text[link.dest : link.dest_end] == "甲.md"
        assert document.line(link.start) == 6 and document.line(item.start) == 3
        assert [text[s.start : s.end] for s in document.spans] == ["`码`"]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("**画** *图*", "画 图"),
        ("`x>0` 与 x<0", "x>0 与 x<0"),
        ("学 List<int> 与 List", "学 List<int> 与 List"),
        ("写 __init__ 与 a_b_c", "写 __init__ 与 a_b_c"),
        ("算 2*3*4", "算 2*3*4"),
        ("**重点：**说明", "重点：说明"),
        ("[画](a.md) ![图](b.png) <http://x.y>", "画 图 http://x.y"),
        ("转义 \\*星\\* &lt; &amp;", "转义 *星* < &"),
        ("公式 $a_1$ <!-- 注 -->", "公式 $a_1$"),
        ("学 @property、-1、+1、1.1、11", "学 @property、-1、+1、1.1、11"),
        ("折行\n  **接着**", "折行接着"),
        ("`` a`b `` 与 [[维基]]", "a`b 与 [[维基]]"),
    ],
)
def test_plain_text_drops_markup_and_nothing_else(source: str, plain: str) -> None:
    assert parse(f"- [ ] {source}\n").items[0].plain == plain


# ---- 链接 ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](b 'c') [d](<e f>\n 'g')", [("b", "b"), ("e f", "e f")]),
        ("[i](j\\)k) [l](m&amp;n)", [("j)k", "j\\)k"), ("m&n", "m&amp;n")]),
        ("[a]() [b](<>)", [("", ""), ("", "")]),
        ("> [折\n> 行](\n> 远.md)", [("远.md", "远.md")]),
        ("<http://x.y/甲>", [("http://x.y/甲", "http://x.y/甲")]),
        ("[那篇][甲] [甲][] [甲] [乙]\n\n[甲]: <x y.md> '题'\n", [("x y.md", "x y.md")] * 3),
        ("??? note\n    [里][甲]\n\n[甲]: x.md\n", [("x.md", "x.md")]),
        ("\\[不是\\](n.md) `[码](n.md)` $x[i](y)$ <!-- [注](n.md) -->", []),
        ("```\n[码](n.md)\n```\n", []),
        ("<!-- 注 --> 正文 [a](b.md)", [("b.md", "b.md")]),
    ],
)
def test_destinations(text: str, expected: list[tuple[str, str]]) -> None:
    document = parse(text)
    assert [(k.target, text[k.dest : k.dest_end]) for k in document.links] == expected


def test_a_label_in_chinese_is_compared_by_its_words() -> None:
    document = parse("[你好] [再见] [x][你好]\n\n[再见]: a.md\n")
    assert [(k.text, k.target) for k in document.links] == [("再见", "a.md")]


def test_blocks_in_a_container_end_inside_it() -> None:
    document = parse("!!! note\n    > 引用\n\n    - 里面\n\n外面\n\n- 外面的\n")
    ends = {"quote": ["> 引用"], "list": ["- 里面", "- 外面的"]}
    assert {kind: _seen(document, kind) for kind in ends} == ends


# ---- 像而不是 ----


@pytest.mark.parametrize(
    ("line", "kind", "right"),
    [
        ("##x", "heading", "## x"),
        ("##\u3000标题", "heading", "## 标题"),
        ("1.x", "item", "1. x"),
        ("3、画图", "item", "3. 画图"),
        ("１．学习", "item", "1. 学习"),
        ("3、[ ] 画图", "task", "3. [ ] 画图"),
        ("1、[图](u)", "item", "1. [图](u)"),
        ("[ ] 画图", "task", "- [ ] 画图"),
        ("- [x]画图", "task", "- [x] 画图"),
        ("- [a] 画图", "task", "- [ ] 画图"),
        ("• 画图", "item", "- 画图"),
        ("一、今日成果", "numbered", "## 今日成果"),
        ("第一\n---", "rule", "在 --- 上面空一行"),
        ("里程碑：\n2. 第二步", "blank", "2. 第二步"),
        ("> 1、画图", "item", "1. 画图"),
        # 从 Word 粘来的
        ("（2）画图", "item", "2. 画图"),
        ("(2)画图", "item", "2. 画图"),
        ("③画图", "item", "3. 画图"),
        ("\uf0b7\t画图", "item", "- 画图"),
        ("l\t画图", "item", "- 画图"),
        ("Ø\t画图", "item", "- 画图"),
        ("■ 画图", "item", "- 画图"),
        ("-\xa0画图", "item", "- 画图"),
        ("1.\u3000画图", "item", "1. 画图"),
        ("\u3000\u30001、画图", "item", "1. 画图"),
        ("\xa0\xa0- 画图", "item", "  - 画图"),
        ("☐ 画图", "task", "- [ ] 画图"),
        ("- ☑ 画图", "task", "- [x] 画图"),
        ("1、□画图", "task", "1. [ ] 画图"),
        ("＃＃ 标题", "heading", "## 标题"),
    ],
)
def test_near_misses(line: str, kind: str, right: str) -> None:
    assert [(m.kind, m.right) for m in near_misses(parse(f"{line}\n"))] == [(kind, right)]


@pytest.mark.parametrize(
    "line",
    [
        *("3.14 是圆周率", "2026 年", "2026.11.23", "#标签", "- [a](b)", "- [1] 文献", "-1 度"),
        *(
            "`1、x`",
            "`码`1、x",
            "$$$$1、x",
            "$x$2. 甲",
            "$$\n1、x\n$$",
            "```\n- []x\n```",
            "- [ ] 对的",
            "- []",
            "- [ ]\n",
            "——引用",
        ),
    ],
)
def test_what_is_right_is_no_near_miss(line: str) -> None:
    assert near_misses(parse(f"{line}\n")) == []


# ---- 任意的输入 ----

PIECES = st.lists(
    st.sampled_from(
        [
            *"#-*+>1.、[]()x~`$|\\<&!_=画🙂\ufeff\x0b\x85\u2028\x00 \n\r\t\u3000",
            *("\r\n", "    ", "```", "~~~", "$$", "<!--", "-->", "[ ]", "[/]", "](", "[a](b)"),
            *("\n[a]: b\n", "[a]"),
            *("!!! note\n", '??? q "甲"\n', '=== "乙"\n', "![图](<c d>)", "- [x] ", "&amp;"),
            *("[甲]: u\n", "[甲]", "[^1]", "<b>", "---\n", "【待办】"),
        ]
    ),
    max_size=40,
).map("".join)
ANY = st.one_of(PIECES, st.text(max_size=80))


@given(ANY)
@example("*~\n\t!!! note\n)*")
@example("[!!! note\n]()")
@example("\ufeff- [x] a")
def test_every_range_lies_in_the_text(text: str) -> None:
    document = parse(text)
    for row in (*document.blocks, *document.spans, *document.headings, *document.links):
        assert 0 <= row.start <= row.end <= len(text)
    at = 0
    for item in document.items:
        assert at <= item.start <= item.body <= item.end <= item.last <= len(text)
        assert text.startswith(item.marker, item.start)
        assert item.box < 0 or text[item.box - 1 : item.box + 2] == f"[{item.mark}]"
        assert -1 <= item.parent < item.number
        at = item.start
    for link in document.links:
        assert link.kind == "auto" or text[link.close] == "]"
        assert link.kind == "reference" or link.start <= link.dest <= link.dest_end <= link.end
    assert len(document.blanked) == len(document.unlinked) == len(text)
    for miss in near_misses(document):
        assert 0 <= miss.start < miss.end <= len(text)


@given(ANY)
def test_ticking_a_box_changes_that_box_only(text: str) -> None:
    document = parse(text)
    for item in (item for item in document.items if item.mark and item.mark in " /<>?!"):
        ticked = parse(spliced(text, [(item.box, item.box + 1, "x")]))
        expected = [
            (i.start, i.end, "done" if i is item else i.state, i.plain) for i in document.items
        ]
        assert [(i.start, i.end, i.state, i.plain) for i in ticked.items] == expected


def test_splices_keep_every_other_byte() -> None:
    assert spliced("甲乙丙\r\n", [(2, 3, ""), (0, 1, "一二")]) == "一二乙\r\n"
    with pytest.raises(ValueError, match="第 1 个字被改了两次"):
        spliced("甲乙丙", [(0, 2, ""), (1, 3, "")])


def _shape(text: str, offset: Callable[[int], int]) -> list[tuple[Any, int]]:
    found = []
    engine = pyromark.Markdown(options=prepared._OPTIONS)
    for event, place in engine.events_with_range(text):
        if isinstance(event, dict) and isinstance(tag := event.get("Start"), str | dict):
            name = tag if isinstance(tag, str) else next(iter(tag))
            if name in ("Paragraph", "Item", "List", "Heading", "CodeBlock", "BlockQuote"):
                found.append((name, offset(place["start"])))
    return found


@given(ANY.filter(lambda text: "]:" not in text and "\x7f" not in text))
def test_placeholders_do_not_change_the_blocks(text: str) -> None:
    data = text.encode()
    real = _shape(text, lambda at: len(data[:at].decode()))
    assert _shape(prepared._flat(text), lambda at: at) == real


FENCES = st.lists(
    st.sampled_from(["```", "~~~", "````", "```py", "- ", "  ", "> ", "甲", "\n", "$$", "!!! note"])
).map("".join)
DEEP = "".join(f"{'  ' * k}- ```\n" for k in range(12)) + f"{'  ' * 12}- [ ] 甲\n"


@given(FENCES)
@example(DEEP)
@example("甲\n[乙]: c\n2. ```\n   丙\n")
def test_a_fence_ends_with_a_line_of_marks_only(text: str) -> None:
    for span in parse(text).spans:
        if span.kind == "fenced":
            first, *_, last = text[span.start : span.end].split("\n")
            assert set(last.strip(" >")) == {first[0]}


@pytest.mark.parametrize("mark", ["`pip install x`", "`", "~", "``", "> ```"])
def test_indented_code_that_begins_with_a_mark_leaves_the_fences_below_alone(mark: str) -> None:
    document = parse(f"甲\n\n    {mark}\n\n```\n- [ ] 例子\n```\n\n- [ ] 真的\n")
    assert [span.kind for span in document.spans][-1] == "fenced"
    kinds = [block.kind for block in document.blocks]
    assert kinds == ["paragraph", "code", "code", "list", "item"]


# ---- 长而怪的输入：解析的字数与调用的次数都只随长度走 ----


def _nested(sign: str, count: int) -> str:
    return "\n".join(" " * 4 * k + sign for k in range(count // 40))


HOSTILE: dict[str, Callable[[int], str]] = {
    "[a](": lambda n: "[a](" * n,
    "段落里的定义": lambda n: "话\n" + "".join(f"[a{k}]: b\n[a{k}] 话\n" for k in range(n)),
    "[": lambda n: "[" * n,
    "![": lambda n: "![" * n + "](a)" * n,
    "波浪": lambda n: "~~a " * n,
    "合不上的波浪围栏": lambda n: "~~~\n" + "~~a\n" * n,
    "<!--": lambda n: "<!-- a\n\n" * n,
    "行内的 <!--": lambda n: "a <!-- " * n,
    "一个比一个短的围栏": lambda n: "\n".join("~" * (n // 10 + 3 - k) for k in range(n // 10)),
    "一个比一个长的围栏": lambda n: "\n".join("`" * (3 + k) for k in range(n // 10)),
    "条目里合不上的围栏": lambda n: "- ```\n" * n,
    "引用套引用": lambda n: ">" * n + "甲",
    "列表套列表": lambda n: "- " * n + "甲",
    "缩进的列表": lambda n: "".join("  " * k + "- [ ] 甲\n" for k in range(n // 40)),
    "标题": lambda n: "# 甲\n### 乙\n" * n,
    "强调": lambda n: "**甲 _乙 " * n,
    "公式": lambda n: "$$ a\n" * n + "\n" + "$a " * n,
    "容器": lambda n: "??? note\n    - [ ] 甲\n" * n,
    "假的容器": lambda n: "甲\n" + "      !!! note\n          乙\n" * n,
    "定义": lambda n: "".join(f"[甲{k}]: b\n" for k in range(n)) + "\n" + "[甲1] " * n,
    "链接": lambda n: "[甲](b.md)。" * n,
    "待办": lambda n: "甲【待办】乙\n" * n,
}


def _work(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """（交给 pyromark 的字数, 函数调用的次数）。"""
    given_characters = 0
    real = prepared.events

    def counted(masked: str, *rest: Any) -> Any:
        nonlocal given_characters
        given_characters += len(masked)
        return real(masked, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "events", counted)
        calls = steps(lambda: near_misses(parse(text)))
    return given_characters, calls


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_work_grows_with_the_length_only(
    make: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = make(400), make(800)
    growth = len(large) / len(small)
    few, many = _work(small, monkeypatch), _work(large, monkeypatch)
    assert all(b <= 1.3 * growth * a + 500 for a, b in zip(few, many, strict=True))
    parse(make(10_000))  # 若随长度的平方走，这里要几分钟


def test_containers_nested_past_the_limit_are_still_read() -> None:
    text = _nested("??? note", 40 * 150) + "\n"
    assert len([b for b in parse(text).blocks if b.kind == "container"]) == 100


def test_deep_nesting_does_not_overflow_the_stack() -> None:
    document = parse("- " * 20_000 + "甲")
    assert document.items[-1].depth == 19_999 and document.items[-1].text == "甲"
    assert isinstance(document.items[0], Item)


@pytest.mark.parametrize(
    ("text", "targets", "said"),
    [
        ("[见][r]\n[r]: ../x.md\n", ["../x.md"], ["[见][r]"]),
        ("文字  \r\n[r]: <../x y.md> '题'\r\n还有 [r]", ["../x y.md"], ["文字", "还有 [r]"]),
        ("- 甲 [r]\n  [r]: x.md\n- 乙", ["x.md"], ["甲 [r]", "乙"]),
        ("> 话\n> [甲]: x.md\n> [甲]", ["x.md"], ["话", "[甲]"]),
        ("??? note\n    甲 [r]\n    [r]: x.md\n", ["x.md"], ["甲 [r]"]),
        ("```\nx\n[r]: x.md\n```\n[r]", [], ["[r]"]),
        ("文字\n[^1]: 脚注", [], ["文字", "脚注"]),
    ],
)
def test_a_definition_right_below_a_paragraph_is_one_as_on_the_site(
    text: str, targets: list[str], said: list[str]
) -> None:
    document = parse(text)
    assert [k.target for k in document.links] == targets
    assert [text[k.dest : k.dest_end] for k in document.links] == targets
    blocks = [b for b in document.blocks if b.kind in ("paragraph", "item")]
    assert [text[b.start : b.end] for b in blocks] == said


@pytest.mark.parametrize("before", ["", "- 甲\n"])
def test_an_item_that_begins_with_a_line_break(before: str) -> None:
    document = parse(f"{before}- \\\n乙")
    assert [item.plain for item in document.items] == [*(["甲"] if before else []), "乙"]
