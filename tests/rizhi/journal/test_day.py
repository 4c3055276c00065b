"""读一天：无论他怎么打字，分得出节，认得出条目与待办，拼起来还是原文。"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rizhi.journal.day import CANONICAL, CHALLENGE, Day, canonical, nested
from rizhi.markdown import joined
from tests.rizhi.steps import assert_linear, steps

FIRST_DAY = """

---

# 一个节点

今天把后半截写完了，
跑通不等于懂。

## 一.今日成果

1. llm学习。  整个架构写完  了。\x20\x20
   从词嵌入到生成。
2. 算法。双指针收尾。

## 二 .思考
\x20\x20\x20
- masked_fill_ 的参数又记反了

    配套的方法也生。
\u3000
- logits[:, -1, :] 的切片写错
    还忘了 unsqueeze(-1)
## 遇到的挑战与明日计划
挑战：数据流没有理顺
明日计划：消化数据流，
写下 RoPE
- **【待办】画出前向过程的张量维度图。**
- **【待办】写一篇 cat 与 stack 的笔记。**
## attn_out 各头合并与最后的投影
## attention_mask
- 如何构造？
- 加在哪？
## **masked_fill_**
## SwiGLU **
## 健身
练背 40 分钟
## 今日目标
第一个为主线任务
1. [ ]\x20
2. [ ]\x20
3. [ ]\x20
## 主线任务拆解
最终目标：
里程碑：
## 今日完成
- [ ]\x20
- [ ]\x20
- [ ]\x20
## 今日总结
## 明日计划
- [ ]\x20
- [ ]\x20
- [ ]\x20
"""


def _day(text: str) -> Day:
    return Day(Path("2026-11-23.md"), text)


def _texts(day: Day, name: str) -> list[str]:
    return [item.text for section in day.section(name) for item in section.items if item.text]


def _whole(day: Day) -> str:
    return day.text[: day.offset] + "".join(day.text[s.start : s.end] for s in day.sections)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip(),
        lambda text: "---\ntags: [a]\n---\n" + text,
        lambda text: text.replace("一.今", "１．今").replace("二 .思", "2、思"),
    ],
    ids=["原样", "CRLF", "CR", "BOM", "末尾没有换行", "前置数据", "全角编号的标题"],
)
def test_his_first_day_is_read_and_given_back(change: Callable[[str], str]) -> None:
    day = _day(change(FIRST_DAY))
    assert _whole(day) == day.text
    assert len(_texts(day, "今日成果")) == 2 and len(_texts(day, "思考")) == 2
    assert _texts(day, "今日成果")[0] == "llm学习。  整个架构写完  了。从词嵌入到生成。"
    (note,) = day.document.notes(day.section("思考")[0].items[0])
    assert day.text[note.start : note.end].startswith("配套的方法也生。")
    assert _texts(day, "明日计划")[0] == "消化数据流，写下 RoPE"
    assert [item.text for item in day.todos] == [
        "**【待办】画出前向过程的张量维度图。**",
        "**【待办】写一篇 cat 与 stack 的笔记。**",
    ]
    assert [stub.name for stub in day.stubs] == [
        "attn_out 各头合并与最后的投影",
        "attention_mask",
        "masked_fill_",
        "SwiGLU",
    ]
    assert "健身" in [section.name for section in day.sections]
    assert day.near_misses == []


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("一.今日成果", "今日成果"),
        ("二 .思考", "思考"),
        ("三、 遇到的挑战与明日计划", "遇到的挑战与明日计划"),
        ("（四）今日总结", "今日总结"),
        ("１．今日目标", "今日目标"),
        ("1) 今日完成：", "今日完成"),
        ("**思考**", "思考"),
        ("思 考", "思考"),
        ("明日计划:", "明日计划"),
        ("主线任务拆解 ##", "主线任务拆解"),
        ("十字架", "十字架"),
        ("思考的方法", "思考的方法"),
        ("健身", "健身"),
    ],
)
def test_headings_find_their_canonical_name(heading: str, name: str) -> None:
    assert _day(f"## {heading}\n").sections[0].name == name
    assert canonical(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] \n- [ ]\n1. [ ] \n", []),
        ("- 【待办】画图\n", ["【待办】画图"]),
        ("挑战：没理顺。【待办】画图\n", ["【待办】画图"]),
        ("- 没理顺。【待办】画图\n", ["没理顺。【待办】画图"]),
        ("- 没理顺\n  【待办】画图\n", ["【待办】画图"]),
        ("【待办】甲\n续。【待办】乙\n", ["【待办】甲续。", "【待办】乙"]),
        ("> - 【待办】引用块里的\n", ["【待办】引用块里的"]),
        ("- 用 `【待办】` 记\n", []),
        ("- [链接](【待办】.md)\n", []),
        ("```\n【待办】代码里的\n```\n<!-- 【待办】注释里的 -->\n", []),
        ("- [ ] 外\n    - [x] 里\n", ["外", "里"]),
        ("---\na: [1]\nb:\n- [ ] 前置数据\n---\n- [ ] 正文\n", ["正文"]),
        ("---\n今天不是前置数据\n---\n- [ ] 正文\n\n---\n- [ ] 也是\n---\n", ["正文", "也是"]),
    ],
)
def test_which_items_are_todos(text: str, expected: list[str]) -> None:
    assert [item.text for item in _day(text).todos] == expected


def test_a_label_splits_the_item_that_it_stands_in() -> None:
    day = _day("## 思考\n\n- 没**理顺**\n  【待办】画 **图**\n    - 子\n")
    first, bare, child = day.items
    assert (first.text, first.plain, first.todo) == ("没**理顺**", "没理顺", False)
    assert (bare.marker, bare.plain, bare.parent, bare.todo) == ("", "【待办】画 图", 0, True)
    assert day.document.children(first) == (child,)
    assert day.text[bare.body : bare.end] == "【待办】画 **图**"


def test_a_plan_may_be_a_line_or_a_section() -> None:
    inline = _day("## 遇到的挑战与明日计划\n\n挑战：难\n\n**明日计划**: 画图\n接着写\n- [ ] 复习\n")
    section = _day("## 明日计划\n\n- 画图\n")
    elsewhere = _day("## 思考\n\n明日计划：不算\n")
    assert _texts(inline, "明日计划") == ["画图接着写", "复习"]
    assert inline.section("遇到的挑战与明日计划")[0].prose == ("挑战：难",)
    assert _texts(section, "明日计划") == ["画图"] and not elsewhere.section("明日计划")
    assert elsewhere.section("思考")[0].prose == ("明日计划：不算",)


def test_a_second_label_in_one_section_is_text() -> None:
    day = _day("## 遇到的挑战与明日计划\n\n明日计划：画图\n\n明日计划：再说一遍\n")
    (plan,) = day.section("明日计划")
    assert _texts(day, "明日计划") == ["画图"] and plan.prose == ("明日计划：再说一遍",)


def test_a_plan_after_a_list_item_is_no_part_of_it() -> None:
    day = _day("## 遇到的挑战与明日计划\n- 挑战：难\n明日计划：画图\n")
    assert _texts(day, "遇到的挑战与明日计划") == ["挑战：难"]
    assert _texts(day, "明日计划") == ["画图"]


def test_deeper_headings_stay_inside_their_section() -> None:
    day = _day("## 今日成果\n\n### LLM\n\n1. 写完\n\n### 算法\n\n1. 刷题\n")
    (section,) = day.sections
    assert [(section.topic(item.start), item.text) for item in section.items] == [
        ("LLM", "写完"),
        ("算法", "刷题"),
    ]


def test_headings_in_quotes_lists_and_containers_make_no_section() -> None:
    day = _day("## 思考\n\n> ## 引用\n\n- ## 条目\n\n??? note\n    ## 容器\n\n```\n## 代码\n```\n")
    assert [section.name for section in day.sections] == ["思考"]


@pytest.mark.parametrize(
    "body",
    [
        "写了几句",
        "```\n代码\n```",
        "> 引用",
        "| 甲 |\n|---|",
        "- 陈述",
        "- 问？\n\n    答",
        "### 小节",
    ],
)
def test_a_heading_with_a_body_is_no_stub(body: str) -> None:
    assert _day(f"## 健身\n\n{body}\n").stubs == ()


@pytest.mark.parametrize(
    ("heading", "stub"),
    [
        ("[掩码](../../notes/mask.md)", False),
        ("**[掩码](../../notes/mask.md#定义)**", False),
        ("[掩码][m]", False),
        ("[掩码](../../notes/none.md)", True),
        ("[掩码](https://example.org/mask.md)", True),
        ("![掩码](../../notes/mask.md)", True),
        ("掩码", True),
    ],
)
def test_a_topic_that_links_to_its_note_is_written(
    tmp_path: Path, heading: str, stub: bool
) -> None:
    note = tmp_path / "notes/mask.md"
    note.parent.mkdir()
    note.write_text("# 掩码\n", "utf-8")
    text = f"## {heading}\n\n- 加在哪？\n\n## 思考\n\n见[掩码](../../notes/mask.md)\n\n"
    page = Day(tmp_path / "daily/2026/2026-11-23.md", f"{text}[m]: ../../notes/mask.md\n")
    assert [one.name for one in page.stubs] == (["掩码"] if stub else [])


def test_a_rule_under_a_paragraph_is_no_stub_but_a_near_miss() -> None:
    day = _day("## 思考\n\n写完了\n---\n\n- 甲\n")
    assert day.stubs == () and [miss.kind for miss in day.near_misses] == ["rule"]


def test_numbered_lines_are_near_misses_only_as_canonical_names() -> None:
    day = _day("一、今日成果\n\n一、先想清楚。\n")
    assert [miss.right for miss in day.near_misses] == ["## 今日成果"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["写完了。", "接着写"], "写完了。接着写"),
        (["前馈层、", "`Model`"], "前馈层、`Model`"),
        (["写 RoPE", "再写"], "写 RoPE 再写"),
        (["写完", "RoPE"], "写完 RoPE"),
        (["a", "b"], "a b"),
        (["", "b"], "b"),
    ],
)
def test_lines_join_as_chinese_does(lines: list[str], text: str) -> None:
    assert joined(lines) == text


# ---- 生成的日子：知道写了什么，再看读出来的是不是它 ----

WORDS = st.sampled_from(
    [
        "masked_fill_",
        "logits[:, -1, :]",
        "画图",
        "形状  是凑的",
        "RoPE。",
        "1.5 倍",
        "a - b",
        "见 [x](y.md)",
        "`- [ ]`",
        "学 C++",
    ]
)
BOXES = {"": None, "[ ] ": "open", "[x] ": "done", "[X] ": "done", "[-] ": "dropped"}
BOXES |= {"[/] ": "open", "[>] ": "open", "[?] ": "open", "[!] ": "open"}
PREFIX = st.sampled_from(["", "一.", "二 .", "三、", "（四）", "１．", "5. "])
BLANK = st.sampled_from(["", "   ", "\t"])


@dataclass
class Made:
    """一条：写法与该读出来的样子。"""

    lines: list[str]
    text: str
    state: str | None
    depth: int
    nested: list["Made"] = field(default_factory=list)


@st.composite
def _item(draw: st.DrawFn, depth: int = 0) -> Made:
    # 缩进四格的编号若不从 1 起，打断不了上一行：那是 near miss，不在这里造
    bullet = draw(
        st.sampled_from(["-", "*", "+", "1."] if depth else ["-", "*", "1.", "2.", "10)"])
    )
    box = draw(st.sampled_from(list(BOXES)))
    words = draw(st.lists(WORDS, min_size=1, max_size=3))
    more = draw(st.lists(WORDS.filter(lambda w: not w.startswith("1.")), max_size=2))
    pad = "    " * depth
    lines = [f"{pad}{bullet} {box}{''.join(words)}{draw(st.sampled_from(['', '  ']))}"]
    lines += [f"{pad}    {line}" for line in more]
    text = joined(["".join(words).strip(), *(line.strip() for line in more)])
    nested = draw(st.lists(_item(depth + 1), max_size=2)) if depth < 2 else []
    return Made(lines, text, BOXES[box], depth, nested)


def _flat(items: list[Made]) -> list[Made]:
    return [one for item in items for one in (item, *_flat(item.nested))]


@st.composite
def days(draw: st.DrawFn) -> tuple[str, list[tuple[str, list[Made]]]]:
    """（一天的文字, 每一节的名字与条目）。"""
    names = draw(
        st.lists(st.sampled_from([name for name in CANONICAL if name != CHALLENGE]), max_size=5)
    )
    lines = draw(st.sampled_from([[], ["---", "tags: [a]", "---"], ["", "---", ""]]))
    lines = [*lines, "# 标题", "开头一段", ""]
    expected = []
    for name in names:
        lines += [f"## {draw(PREFIX)}{name}{draw(st.sampled_from(['', ' ', '：']))}", draw(BLANK)]
        items = draw(st.lists(_item(), max_size=3))
        for item in items:
            lines += [line for one in _flat([item]) for line in one.lines]
            lines += [draw(BLANK)] if draw(st.booleans()) else []
        expected.append((name, _flat(items)))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from(["", "\ufeff"])) + text, expected


@given(days())
def test_generated_days_are_read_right_and_given_back(
    made: tuple[str, list[tuple[str, list[Made]]]],
) -> None:
    text, expected = made
    day = _day(text)
    assert _whole(day).encode() == text.encode()
    found = [section for section in day.sections if section.level == 2]
    assert [section.name for section in found] == [name for name, _ in expected]
    for section, (_, items) in zip(found, expected, strict=True):
        read = [(item.text, item.state, item.depth) for item in section.items]
        assert read == [(item.text, item.state, item.depth) for item in items]


STRUCTURE = st.text(
    st.sampled_from("#-*+ 1.、[]x~`【】待办明日计划：\n\r\t\u3000<!>(画)\ufeff\x0b\x85\u2028"),
    max_size=120,
)
LABELS = st.lists(
    st.sampled_from(
        [
            *("## 遇到的挑战与明日计划\n", "## 思考\n", "### 乙\n", "明日计划：", "**明日计划**:"),
            *("【待办】", "甲", "\n", "\r\n", "- ", "> ", "    ", "`", "[ ] ", "```\n"),
            *("??? note\n", "---\n", "a: 1\n"),
        ]
    ),
    max_size=30,
).map("".join)


@given(st.one_of(STRUCTURE, LABELS, st.text(max_size=60)))
@example("## 思考\n- [ ] a\r\n\r\n- b")
@example("```\n```\n- [ ] a")
@example("---\na: 1\n---\n- [ ] a")
@example("\ufeff- [x] a")
@example("")
def test_any_text_is_given_back_and_cut_without_gaps(text: str) -> None:
    day = _day(text)
    assert _whole(day) == text
    at = day.offset
    for section in day.sections:
        assert section.start == at <= section.body <= section.end
        at = inner = section.end
        inner = section.start
        for item in section.items:
            assert inner <= item.start < section.end
            assert item.start <= item.body <= item.end <= len(text)
            assert item.box < 0 or text[item.box - 1 : item.box + 2] == f"[{item.mark}]"
            inner = item.start
    assert at == len(text)
    numbers = [item.number for item in day.items if item.number >= 0]
    assert numbers == list(range(len(day.document.items)))  # 没有一个条目丢了


HOSTILE: dict[str, Callable[[int], str]] = {
    "节": lambda n: "## 甲\n- [ ] 乙\n\n丙\n" * n,
    "小节": lambda n: "## 甲\n" + "### 乙\n" * n,
    "标签": lambda n: "## 遇到的挑战与明日计划\n明日计划：画图\n" * n,
    "一条里的待办": lambda n: "- 甲\n" + "  【待办】乙\n" * n,
    "条目里的段落": lambda n: "- 甲\n\n" + "    段\n\n" * n,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_work_grows_with_the_length_only(make: Callable[[int], str]) -> None:
    assert_linear(lambda n: steps(lambda: (_day(make(n)).near_misses, _day(make(n)).sections)))
    assert len(_day(make(10_000)).sections) > 0  # 若随长度的平方走，这里要几分钟


def test_items_of_a_section_are_told_apart_by_their_level() -> None:
    text = "## 遇到的挑战与明日计划\n- 甲\n    - 乙\n        - 丙\n    明日计划：丁\n- 戊\n"
    challenge, plan = Day(Path("2026-11-23.md"), text).sections
    outer, children = nested(challenge.items)
    assert [item.text for item in outer] == ["甲"]
    assert [item.text for item in children[outer[0].number]] == ["乙"]
    assert [item.text for item in nested(plan.items)[0]] == ["丁", "戊"]


def test_prose_knows_where_it_stands() -> None:
    page = Day(Path("2026-11-23.md"), "## 思考\n一\n  二\n- 甲\n\n三\n")
    (section,) = page.sections
    assert [page.document.line(at) for at, _ in section.lines] == [2, 3, 6]
