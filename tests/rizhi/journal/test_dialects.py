"""别的软件的写法：哪一处看错，改成什么；对的一处也不动，改写只动那几处。"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi.journal.dialects import KINDS, Places, described, findings, rewritten
from rizhi.page import Page
from tests.rizhi.steps import assert_linear, steps

PATH = Path("/v/docs/daily/2026/2026-11-20.md")
NOTES = {"RoPE": "../../notes/rope.md", "掩码": "../../notes/mask.md"}
PLACES = Places(NOTES.get, lambda target: (target, ""), lambda target: (target, ""))


def _said(text: str) -> list[tuple[int, str, str]]:
    found = described(text, findings(PATH, text, PLACES))
    return [(change.line, change.kind, change.right) for change in found]


def _fixed(text: str, *kinds: str) -> str:
    return rewritten(PATH, text, kinds or KINDS, PLACES)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Obsidian
        ("这是==重点==，见[[RoPE]]", "这是**重点**，见[RoPE](../../notes/rope.md)"),
        ("[[笔记/掩码|遮]] [[RoPE#公式]]", "[[笔记/掩码|遮]] [RoPE 公式](../../notes/rope.md)"),
        ("| [[RoPE\\|位置]] |\n|---|", "| [位置](../../notes/rope.md) |\n|---|"),
        ("前%%藏%%后", "前<!-- 藏 -->后"),
        ("%%\n整段\n\n两段\n%%", "<!--\n整段\n\n两段\n-->"),
        ("一段 ^abc-1\n\n^def2\n", "一段\n\n\n"),
        ("> [!faq]- 问\n> 答\n>\n> - [ ] 甲", '??? question "问"\n    答\n\n    - [ ] 甲'),
        ("> [!note]\n> > [!tip]+\n> > 里", "!!! note\n    ???+ tip\n        里"),
        ("> [!note]\r\n> 甲\r\n", "!!! note\r\n    甲\r\n"),
        # Logseq 与 org
        ("- TODO 甲\n  id:: 64d0\n- DONE 乙", "- [ ] 甲\n- [x] 乙"),
        ("* DOING 甲\n  DEADLINE: <2026-11-30 Mon>", "* [/] 甲\n  📅 2026-11-30"),
        ("TODO 写在一段话里", "【待办】写在一段话里"),
        ("** CANCELLED 甲\n** 乙", "- [-] 甲\n## 乙"),
        (":LOGBOOK:\nCLOCK: [x]\n:END:\n正文", "正文"),
        # Word
        ("一、今日成果\u20281、甲\u20282、乙", "## 一、今日成果\n1. 甲\n2. 乙"),
        ("（一）小结\n正文", "### （一）小结\n正文"),
        ("甲\x0b\uf0b7\t乙", "甲\n- 乙"),
        ("\u200b- [ ] 甲", "- [ ] 甲"),
        ("\u3000\u30003、丙", "3. 丙"),
        ("- 【】甲\n- ［］乙", "- [ ] 甲\n- [ ] 乙"),
        ("一句话三、明日计划\n1、甲", "一句话\n\n## 三、明日计划\n1. 甲"),
        ("甲\n---\n乙", "甲\n\n---\n乙"),
        ("一段\n3. 丙\n4. 丁", "一段\n\n3. 丙\n4. 丁"),
        ("> 一段\n> 3. 丙", "> 一段\n>\n> 3. 丙"),
    ],
)
def test_what_is_accepted_is_written_as_it_should_be(text: str, expected: str) -> None:
    assert _fixed(text) == expected
    assert _fixed(expected) == expected  # 改好的，不再改


@pytest.mark.parametrize(
    "text",
    [
        *("a==b==c", "100%% 与 200%%", "x[[0, 1]]", "[[1, 2], [3, 4]]", "星期一、星期二的计划"),
        *("`==码== [[RoPE]] %%注%%`", "```\n- [/] 码\n==x==\n```", "$a^b$ 与 2^10", "std::vector"),
        *("- [ ] 甲\n- [x] 乙\n- [-] 丙", "> 引用\n> [!", "今天很累，明天计划看论文", "2026.11.23"),
        *("一、这一句话很长，有逗号，不是标题。", "第一、思考要慢"),
        "## 一.今日成果\n\n1. 甲\n\n    续\n\n![图](a.png) [链](b.md) <https://x.y>",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    assert _said(text) == [] and _fixed(text) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("- [/] 甲", "待办"),
        ("1. [?] 甲", "待办"),
        ("[[没有这篇]]", "链接"),
        ("![[没有这篇]]", "链接"),
        ("{{query (todo)}}", "查询"),
        ("((64d0a1b2-1111-2222-3333-444455556666))", "查询"),
        ("```tasks\nnot done\n```", "查询"),
        ("心情:: 好", None),
        ("mood:: 好", "属性"),
        ("- Up:: 上一篇", "属性"),
        ("- [x] 甲 [category:: work]", "属性"),
        ("SCHEDULED: <2026-11-30 Mon>", "待办"),
        ("| 甲 | [ ] 乙 |\n|---|---|", "待办"),
        ("一句 %%藏\n\n两段%%", "注释"),
    ],
)
def test_what_has_no_better_spelling_is_only_said(text: str, kind: str | None) -> None:
    assert _said(text) == ([(1, kind, "")] if kind else []) and _fixed(text) == text


def test_only_the_kinds_he_names_are_rewritten() -> None:
    text = "==甲== %%乙%%\r\n1、丙\r\n"
    assert _fixed(text, "条目") == "==甲== %%乙%%\r\n1. 丙\r\n"
    assert rewritten(PATH, text, (), PLACES) == (text, [])


def test_lines_are_counted_in_his_file() -> None:
    text = "---\ntags: [a]\n---\n甲\u2028乙\n==丙==\n"
    assert _said(text) == [(4, "字符", "甲 ⏎ 乙"), (5, "高亮", "**丙**")]


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "==",
                "%%",
                "[[",
                "]]",
                "![[",
                "|",
                "^a",
                "> ",
                "[!tip] ",
                "- ",
                "[/] ",
                "\n",
                "\r\n",
            ),
            *(
                "1、",
                "一、",
                "今日成果",
                "四、明日计划",
                "\u2028",
                "\u200b",
                "\uf0b7",
                "\u3000",
                "    ",
            ),
            *(
                "TODO ",
                "id:: x",
                "** ",
                "```",
                "RoPE",
                "甲",
                "x",
                "<img src='",
                "'>",
                "![](C:\\a b.png)",
            ),
            *("DEADLINE: <2026-11-30>", ":LOGBOOK:", ":END:", "{{x}}", "---", "!!! note\n", "$$"),
        ]
    ),
    max_size=30,
).map("".join)


@given(PIECES)
def test_every_place_lies_in_the_text_and_rewriting_comes_to_rest(text: str) -> None:
    for one in findings(PATH, text, PLACES):
        assert 0 <= one.start <= one.end <= len(text) and one.kind
        assert all(one.start <= a <= b <= one.end for a, b, _ in one.edits)
    once, done = rewritten(PATH, text, KINDS, PLACES)
    assert (once == text) == (not done)
    assert rewritten(PATH, once, KINDS, PLACES)[0] == once
    head = Page(PATH, text).offset
    assert once[:head] == text[:head]


@pytest.mark.parametrize(
    "piece", ["==", "%%x", "[[", "![", "<% ", ":A:\n", "> [!a]\n", "四、计划", "<img ", "- TODO "]
)
def test_work_grows_with_the_length_only(piece: str) -> None:
    assert_linear(lambda n: steps(lambda: findings(PATH, piece * n, PLACES)))
