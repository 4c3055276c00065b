"""归纳：ISO 周、连写的天数、那天、成果与周报里的数。"""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from rizhi.dates import Week, week_named, week_of
from rizhi.errors import RizhiError
from rizhi.journal import report, resume
from rizhi.journal.day import Day
from rizhi.journal.todo import lives, mentions
from rizhi.page import Note

NOTHING = re.compile(r"(?!)")
TODAY = date(2026, 11, 23)


def _day(day: str, text: str) -> Day:
    return Day(Path(f"/v/docs/daily/2026/{day}.md"), text)


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2027, 1, 1), "2026-W53"),
        (date(2027, 1, 3), "2026-W53"),
        (date(2027, 1, 4), "2027-W01"),
        (date(2024, 12, 30), "2025-W01"),
        (date(2021, 1, 3), "2020-W53"),
        (date(2026, 1, 1), "2026-W01"),
        (date(2016, 1, 3), "2015-W53"),
        (date(2026, 11, 23), "2026-W48"),
    ],
)
def test_iso_weeks(day: date, name: str) -> None:
    week = week_of(day)
    assert week.name == name and day in week.days and week_named(name) == week
    assert [d.isoweekday() for d in week.days] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("name", ["2025-W53", "2026-W54", "2026-W00", "0000-W01", "２０２６-W48"])
def test_weeks_that_do_not_exist(name: str) -> None:
    assert week_named(name) is None


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        ([], 0),
        ([0], 1),
        ([1], 1),
        ([2], 1),
        ([3], 0),
        ([0, 1, 2], 3),
        ([0, 2, 4, 5], 4),
        ([0, 3], 1),
        ([0, 0, 1], 2),
        ([-1, 0], 1),
    ],
    ids=str,
)
def test_a_streak_forgives_one_rest_day(ago: list[int], expected: int) -> None:
    assert report.streak((TODAY - timedelta(days=n) for n in ago), TODAY) == expected


def test_that_day_gives_only_what_exists() -> None:
    paths = {TODAY - timedelta(days=n): Path(f"{n}.md") for n in (1, 2, 7, 365, 366)}
    assert [n for n, _, _ in report.that_day(TODAY, paths)] == [1, 7, 365]
    leap = report.that_day(date(2028, 2, 29), {date(2027, 3, 1): Path("x")})
    assert [n for n, _, _ in leap] == [365]


def test_achievements_take_every_line() -> None:
    page = _day("2026-11-23", "## 一.今日成果\n\n一句散文。\n### LLM\n1. 写完\n\n    细节\n2. \n")
    (made,) = report.written([page], NOTHING)
    assert report.achievements(made.page) == ["一句散文。", "写完细节"]


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
    (found,) = resume.collect(report.written([page], NOTHING), {})
    assert (found.topic, found.text) == (topic, text)


def test_what_is_open_or_dropped_is_no_achievement() -> None:
    text = "## 今日成果\n- [x] 做完的\n- [ ] 没做的\n- ~~放弃的~~\n- 没有框的\n    - 细处\n"
    assert report.achievements(_day("2026-11-23", text)) == ["做完的", "没有框的", "细处"]


def _resume(text: str, *notes: str) -> list[resume.Achievement]:
    """今日成果写成 `text` 的一天，知识库里有这些笔记。"""
    page = _day("2026-11-23", f"## 今日成果\n{text}\n")
    known = [
        Note(Path(f"/v/docs/notes/model/{name}.md"), f"---\ntitle: {name}\n---\n") for name in notes
    ]
    return resume.collect(report.written([page], NOTHING), {str(n.path): n for n in known})


def test_evidence_is_what_the_achievement_itself_links_to() -> None:
    (made,) = _resume(
        "1. LLM。用 swiglu 写完[块](../../notes/model/block.md)，见[位置][r]，"
        "明天看[缓存](../../notes/model/cache.md)。\n\n[r]: ../../notes/model/rope.md",
        *("block", "rope", "cache", "swiglu"),
    )
    # 只提到名字的 swiglu、明天才看的 cache，都不是凭据
    assert [note.slug for note in made.notes] == ["block", "rope"]
    (line, *_) = resume.markdown([made], {}, Path("/v"), set()).splitlines()[2:]
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
    tagged = resume.collect(report.written([page], NOTHING), {})
    assert resume.sorted_out(tagged, ["健身"]) == ([], {"健身": 1})


def test_children_stay_under_their_parent_in_the_week() -> None:
    text = "## 今日成果\n- 甲\n    - 乙\n        - 丙\n    - [ ] 没做\n\n    甲的话\n"
    (day,) = report.written([_day("2026-11-23", text)], NOTHING)
    made = report._achieved(day, Path("/v/docs/weekly/2026-W48.md"))
    assert made["lines"] == ["甲甲的话\n    - 乙\n        - 丙"]


@pytest.mark.parametrize("line", ["{", "[1]", '{"date": "x", "answer": "k"}', '{"answer": "keep"}'])
def test_answers_that_cannot_be_read_name_their_line(line: str) -> None:
    with pytest.raises(RizhiError, match=r"resume\.jsonl:2"):
        resume.read_answers("\n" + line, Path("resume.jsonl"))


def test_the_last_answer_counts() -> None:
    text = "".join(
        resume.answer_line(TODAY, answer, TODAY).decode() for answer in ("k", "s", "k", "s")
    )
    assert resume.read_answers(text, Path("x")) == {TODAY: "skip"}


def test_a_week_counts_todos_by_what_happened_in_it() -> None:
    pages = {
        date(2026, 11, 20): "- [ ] 旧的开着\n- [ ] 旧的做完\n- [ ] 上周做完",
        date(2026, 11, 21): "- [x] 上周做完",
        date(2026, 11, 24): "- [x] 旧的做完\n- [ ] 新的\n- [ ] 下周做完",
        date(2026, 11, 25): "- [-] 新的",
        date(2026, 12, 1): "- [x] 下周做完",
    }
    todos = lives((day, mentions(_day(str(day), text))) for day, text in pages.items())
    counts = report._todos(Week(2026, 48), todos)
    assert {
        name: [line[: line.index("（")] for line in lines] for name, lines in counts.items()
    } == {
        "born": ["新的", "下周做完"],
        "done": ["旧的做完"],
        "dropped": ["新的"],
        "carried": ["旧的开着", "下周做完"],
    }


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ("甲{b}\n旧\n{e}乙", "甲{b}\n新\n{e}乙"),
        ("甲\r\n{b}\r\n旧\r\n{e}\r\n乙", "甲\r\n{b}\r\n新\r\n{e}\r\n乙"),
        ("{e}{b}", None),
        ("{b}{b}{e}", None),
        ("{b}", None),
        ("", None),
    ],
)
def test_only_the_marked_block_is_refreshed(old: str, expected: str | None) -> None:
    marks = {"b": report.BEGIN, "e": report.END}
    fresh = "前{b}\n新\n{e}后".format(**marks)
    wanted = expected and expected.format(**marks)
    assert report.refreshed(old.format(**marks), fresh) == wanted
