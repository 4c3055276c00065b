"""归纳：ISO 周、连写的天数、那天、成果与周报里的数。"""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from rizhi import report, resume
from rizhi.isoweek import Week, week_named, week_of
from rizhi.page import Day
from rizhi.todo import lives, mentions
from rizhi.vault import RizhiError

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
    todos = lives((day, mentions(text)) for day, text in pages.items())
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
