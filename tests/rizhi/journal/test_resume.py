"""写简历时的素材：成果、主题与凭据，与改写成的一句。"""

import re
from datetime import date
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.journal import resume
from rizhi.journal.day import Day, achievements
from rizhi.journal.lint import written
from rizhi.journal.resume import acted, statement
from rizhi.page import Note

NOTHING = re.compile(r"(?!)")
TODAY = date(2026, 11, 23)


def _day(day: str, text: str) -> Day:
    return Day(Path(f"/v/docs/daily/2026/{day}.md"), text)


def _resume(text: str, *notes: str) -> list[resume.Achievement]:
    """今日成果写成 `text` 的一天，知识库里有这些笔记。"""
    page = _day("2026-11-23", f"## 今日成果\n{text}\n")
    known = [
        Note(Path(f"/v/docs/notes/model/{name}.md"), f"---\ntitle: {name}\n---\n") for name in notes
    ]
    return resume.collect(written([page], NOTHING), {str(n.path): n for n in known})


def test_achievements_take_every_line() -> None:
    page = _day("2026-11-23", "## 一.今日成果\n\n一句散文。\n### LLM\n1. 写完\n\n    细节\n2. \n")
    (made,) = written([page], NOTHING)
    assert achievements(made.page) == ["一句散文。", "写完细节"]


@pytest.mark.parametrize(
    ("text", "heading", "topic"),
    [
        ("LLM。整个架构写完", "", "LLM"),
        ("llm学习。 写完", "", "llm学习"),
        ("**算法**：双指针", "", "算法"),
        ("整个架构写完了，数据流还没懂。", "", "健身"),
        ("写完。", "LLM", "LLM"),
        ("用了 1.5 小时", "", "健身"),
    ],
)
def test_the_topic_of_an_achievement(text: str, heading: str, topic: str) -> None:
    head = f"### {heading}\n" if heading else ""
    page = _day("2026-11-23", f"---\ntags: [健身]\n---\n## 今日成果\n{head}1. {text}\n")
    (found,) = resume.collect(written([page], NOTHING), {})
    assert (found.topic, found.text) == (topic, text)


def test_what_is_open_or_dropped_is_no_achievement() -> None:
    text = "## 今日成果\n- [x] 做完的\n- [ ] 没做的\n- ~~放弃的~~\n- 没有框的\n    - 细处\n"
    assert achievements(_day("2026-11-23", text)) == ["做完的", "没有框的", "细处"]


def test_evidence_is_what_the_achievement_itself_links_to() -> None:
    (made,) = _resume(
        "1. LLM。用 swiglu 写完[块](../../notes/model/block.md)，见[位置][r]，"
        "明天看[缓存](../../notes/model/cache.md)。\n\n[r]: ../../notes/model/rope.md",
        *("block", "rope", "cache", "swiglu"),
    )
    # 只提到名字的 swiglu、明天才看的 cache，都不是凭据
    assert [note.slug for note in made.notes] == ["block", "rope"]
    material = resume.Material([made], {}, [], {}, {}, Path("/v"))
    (line, *_) = material.markdown().splitlines()[2:]
    assert line.startswith("- 用 swiglu 写完[块](docs/notes/model/block.md)，见[位置]")


def test_headings_are_topics_and_no_achievements() -> None:
    text = (
        "### LLM\n- **注意力**\n    - 写完点积\n    - 写完合并\n- 算法：\n    - 双指针做完\n"
        "- 写完模型\n    - 层归一化也写完\n\n下面是代码：\n\n```\nx = 1\n```\n"
    )
    assert [(one.topic, one.statement, one.details) for one in _resume(text)] == [
        ("注意力", "写完点积", ()),
        ("注意力", "写完合并", ()),
        ("算法", "做完双指针", ()),
        ("LLM", "写完模型", ("层归一化也写完",)),
    ]


def test_exercise_is_known_by_topic_heading_tag_or_first_words() -> None:
    text = "1. 健身。背。\n2. 健身 40 分钟\n3. 写完健身小程序\n### 健身\n- 练腿\n"
    kept, counts = resume.sorted_out(_resume(text), ["健身"])
    assert [one.text for one in kept] == ["写完健身小程序"] and counts == {"健身": 3}
    page = _day("2026-11-23", "---\ntags: [健身]\n---\n## 今日成果\n1. 练腿\n")
    tagged = resume.collect(written([page], NOTHING), {})
    assert resume.sorted_out(tagged, ["健身"]) == ([], {"健身": 1})


@pytest.mark.parametrize("line", ["{", "[1]", '{"date": "x", "answer": "k"}', '{"answer": "keep"}'])
def test_answers_that_cannot_be_read_name_their_line(line: str) -> None:
    with pytest.raises(RizhiError, match=r"resume\.jsonl:2"):
        resume.read_answers("\n" + line, Path("resume.jsonl"))


def test_the_last_answer_counts() -> None:
    text = "".join(
        resume.answer_line(TODAY, answer, TODAY).decode() for answer in ("k", "s", "k", "s")
    )
    assert resume.read_answers(text, Path("x")) == {TODAY: "skip"}


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("整个架构写完，从词嵌入到生成第一次跑通。", "写完整个架构，从词嵌入到生成第一次跑通"),
        ("[双指针](a.md)的题全部做完，后面的专题也排好了，明天起[二叉树](b.md)：先复习，再归纳。",
         "做完[双指针](a.md)的题"),
        ("整个架构成形。", "完成整个架构"),
        ("今天终于弄懂了旋转位置。", "弄懂旋转位置"),
        ("把模型的后半截补齐。", "补齐模型的后半截"),
        ("标完了每个维度。", "标完每个维度"),
        ("RoPE 写完。", "写完 RoPE"),
        ("二叉树的四种遍历。", "完成二叉树的四种遍历"),
        ("实现 KV cache，速度提升 3 倍；还没测显存。", "实现 KV cache，速度提升 3 倍"),
        ("画出了维度图，从 (B, T) 一直到 logits。", "画出维度图，从 (B, T) 一直到 logits"),
        ("用 `a，b。明天` 跑通。", "用 `a，b。明天` 跑通"),
        ("第 20 天。", "第 20 天"),
        ("明天再写。", "明天再写"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_verb_comes_first_and_the_chatter_goes(said: str, written: str) -> None:
    assert statement(said) == written
    assert statement(written) == written


def test_a_name_is_no_deed() -> None:
    assert [
        name for name in ("LLM", "llm学习", "算法", "整个架构写完", "成形了") if acted(name)
    ] == [
        "整个架构写完",
        "成形了",
    ]
