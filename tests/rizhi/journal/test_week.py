"""周报：ISO 周、成果的层次、待办的去向，只刷新工具的那一块。"""

import re
from datetime import date
from pathlib import Path

import pytest

from rizhi.dates import Week, week_named, week_of
from rizhi.journal import week
from rizhi.journal.day import Day
from rizhi.journal.lint import written
from rizhi.journal.todo import lives, mentions
from rizhi.journal.write import History

NOTHING = re.compile(r"(?!)")


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


def test_children_stay_under_their_parent_in_the_week() -> None:
    text = "## 今日成果\n- 甲\n    - 乙\n        - 丙\n    - [ ] 没做\n\n    甲的话\n"
    (day,) = written([_day("2026-11-23", text)], NOTHING)
    lines = week._achieved(day, Path("/v/docs/weekly/2026-W48.md"))
    assert lines == ["甲甲的话\n    - 乙\n        - 丙"]


def test_a_week_counts_todos_by_what_happened_in_it() -> None:
    pages = {
        date(2026, 11, 20): "- [ ] 旧的开着\n- [ ] 旧的做完\n- [ ] 上周做完",
        date(2026, 11, 21): "- [x] 上周做完",
        date(2026, 11, 24): "- [x] 旧的做完\n- [ ] 新的\n- [ ] 下周做完",
        date(2026, 11, 25): "- [-] 新的",
        date(2026, 12, 1): "- [x] 下周做完",
    }
    days = {day: _day(str(day), text) for day, text in pages.items()}
    todos = lives((day, mentions(page)) for day, page in days.items())
    history = History(list(days.values()), todos, ())
    counts = week._todos(Week(2026, 48), history, Path("/v/docs/weekly/2026-W48.md"))
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
    marks = {"b": week.BEGIN, "e": week.END}
    fresh = "前{b}\n新\n{e}后".format(**marks)
    wanted = expected and expected.format(**marks)
    assert week.refreshed(old.format(**marks), fresh) == wanted
