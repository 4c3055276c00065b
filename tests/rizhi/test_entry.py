"""读一天：无论他怎么打字，读得出来，还得出原文，一个字节不差。"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rizhi import entry
from rizhi.entry import canonical, links, parse, render, todos
from tests.rizhi.days import days

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


def _texts(found: entry.Entry, name: str) -> list[str]:
    return [item.text for section in found.section(name) for item in section.items if item.text]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip(),
        lambda text: "---\ntags: [a]\n---\n" + text,
        lambda text: text.replace("1.", "１．").replace("2.", "２．"),
    ],
    ids=["原样", "CRLF", "BOM", "末尾没有换行", "前置数据", "全角编号"],
)
def test_his_first_day_is_read_and_given_back(change) -> None:
    text = change(FIRST_DAY)
    found = parse(text)
    assert render(found) == text
    assert len(_texts(found, "今日成果")) == 2 and len(_texts(found, "思考")) == 2
    assert _texts(found, "今日成果")[0] == "llm学习。  整个架构写完  了。从词嵌入到生成。"
    assert found.section("思考")[0].items[0].detail == ("配套的方法也生。",)
    assert _texts(found, "明日计划")[0] == "消化数据流，写下 RoPE"
    assert [item.text for item in found.todos] == [
        "**【待办】画出前向过程的张量维度图。**",
        "**【待办】写一篇 cat 与 stack 的笔记。**",
    ]
    assert [stub.name for stub in found.stubs] == [
        "attn_out 各头合并与最后的投影",
        "attention_mask",
        "masked_fill_",
        "SwiGLU",
    ]
    assert "健身" in [section.name for section in found.sections]


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
    assert canonical(heading) == name
    assert parse(f"## {heading}\n").sections[0].name == name


@pytest.mark.parametrize(
    ("line", "text", "state"),
    [
        ("- [ ] 画图", "画图", "open"),
        ("- [x] 画图", "画图", "done"),
        ("* [X] 画图", "画图", "done"),
        ("1. [-] 画图", "画图", "dropped"),
        ("１．[\u3000] 画图", "画图", "open"),
        ("2、[ ] 画图", "画图", "open"),
        ("3.画图", "画图", None),
        ("- ~~画图~~", "~~画图~~", "dropped"),
        ("- [ ] ~~画图~~（已顺延 2 天，自 2026-11-20）", None, "dropped"),
        ("- **~~【待办】画图~~**。", None, "dropped"),
        ("- [x] ~~画图~~", None, "done"),
        ("- [ ]", "", "open"),
        ("-", "", None),
    ],
)
def test_one_item(line: str, text: str | None, state: str | None) -> None:
    (item,) = parse(f"## 思考\n{line}\n").sections[0].items
    assert item.state == state
    assert text is None or item.text == text


@pytest.mark.parametrize("line", ["3.14 是圆周率", "- - -", "***", "#标签", "-1 度", "2026 年"])
def test_lines_that_are_no_items(line: str) -> None:
    assert parse(f"## 思考\n{line}\n").sections[0].items == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] \n- [ ]\n1. [ ] \n", []),
        ("- 【待办】画图\n", ["【待办】画图"]),
        ("挑战：没理顺。【待办】画图\n", ["【待办】画图"]),
        ("- 没理顺。【待办】画图\n", ["没理顺。【待办】画图"]),
        ("- 没理顺\n  【待办】画图\n", ["【待办】画图"]),
        ("```\n- [ ] 代码里的\n```\n- [ ] 外面的\n", ["外面的"]),
        ("~~~~\n- [ ] 里\n~~~\n- [ ] 里\n~~~~\n", []),
        ("```\n没有合上的围栏\n- [ ] 不能丢\n", ["不能丢"]),
        ("- [ ] 外\n    - [x] 里\n", ["外", "里"]),
        ("---\na: [1]\nb:\n- [ ] 前置数据\n---\n- [ ] 正文\n", ["正文"]),
    ],
)
def test_which_items_are_todos(text: str, expected: list[str]) -> None:
    assert [item.text for item in parse(text).todos] == expected
    assert [item.text for item in todos(text)] == expected


def test_a_plan_may_be_a_line_or_a_section() -> None:
    inline = parse(
        "## 遇到的挑战与明日计划\n\n挑战：难\n\n**明日计划**: 画图\n接着写\n- [ ] 复习\n"
    )
    section = parse("## 明日计划\n\n- 画图\n")
    elsewhere = parse("## 思考\n\n明日计划：不算\n")
    assert _texts(inline, "明日计划") == ["画图接着写", "复习"]
    assert inline.section("遇到的挑战与明日计划")[0].prose == ("挑战：难",)
    assert _texts(section, "明日计划") == ["画图"] and not elsewhere.section("明日计划")


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
    assert entry.joined(lines) == text


def test_deeper_headings_stay_inside_their_section() -> None:
    found = parse("## 今日成果\n\n### LLM\n\n1. 写完\n\n### 算法\n\n1. 刷题\n")
    assert [s.name for s in found.sections] == ["今日成果"]
    assert [(i.topic, i.text) for i in found.sections[0].items] == [
        ("LLM", "写完"),
        ("算法", "刷题"),
    ]


def test_links_skip_code_comments_and_pictures() -> None:
    text = "[a](x.md) `[b](y.md)` ![c](z.png)\n```\n[d](w.md)\n```\n<!-- [e](v.md) -->\n"
    text += "[f](<u.md> '题')\n"
    assert [(k.text, k.target, k.line) for k in links(text)] == [("a", "x.md", 1), ("f", "u.md", 6)]
    assert all(text[k.start :].startswith(k.target) for k in links(text))


# ---- 生成的日子：知道写了什么，再看读出来的是不是它 ----


@given(days())
def test_generated_days_are_read_right_and_given_back(made) -> None:
    text, expected = made
    found = parse(text)
    assert render(found).encode() == text.encode()
    assert [s.name for s in found.sections if s.level == 2] == [name for name, _ in expected]
    for section, (_, items) in zip(
        (s for s in found.sections if s.level == 2), expected, strict=True
    ):
        assert [(i.text, i.state) for i in section.items] == [(m.text, m.state) for m in items]


STRUCTURE = st.text(
    st.sampled_from("#-*+ 1.、[]x~`【】待办明日计划：\n\r\t\u3000<!>(画)\ufeff\x0b\x85\u2028"),
    max_size=120,
)


@given(st.one_of(STRUCTURE, st.text(max_size=60)))
@example("## 思考\n- [ ] a\r\n\r\n- b")
@example("```\n```\n- [ ] a")
@example("---\na: 1\n---\n- [ ] a")
@example("\ufeff- [x] a")
def test_any_text_is_given_back_and_cut_without_gaps(text: str) -> None:
    found = parse(text)
    assert render(found) == text
    at = len(found.head)
    for section in found.sections:
        assert section.start == at and text[at : section.end] == section.raw
        at = section.end
        inner = section.start
        for item in section.items:
            assert inner <= item.start <= item.end <= section.end
            assert item.box < 0 or text[item.box] in " \u3000xX-"
            inner = item.end
    seen = [item for item in found.items if item.todo or item.state == "dropped"]
    assert {(i.start, i.end, i.text, i.state, i.box) for i in seen} <= {
        (i.start, i.end, i.text, i.state, i.box) for i in todos(text)
    }
