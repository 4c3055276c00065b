"""日子的写法：不写年份的取最近的一个；没有的日子不认。"""

from datetime import date

import pytest

from rizhi import dates

TODAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("今天", TODAY),
        ("昨天", date(2026, 11, 24)),
        ("前天", date(2026, 11, 23)),
        ("明天", date(2026, 11, 26)),
        ("后天", date(2026, 11, 27)),
        ("11-26", date(2026, 11, 26)),
        ("11-3", date(2026, 11, 3)),
        ("1-5", date(2027, 1, 5)),  # 离今天最近的一月五日在明年
        ("6-30", date(2026, 6, 30)),
        ("2-29", None),  # 前后三年都没有这一天
        ("2026-11-26", date(2026, 11, 26)),
        ("2026-1-5", date(2026, 1, 5)),
        ("2026/11/19", date(2026, 11, 19)),
        ("2026年11月19日", date(2026, 11, 19)),
        (" 2026-11-26 ", date(2026, 11, 26)),
        ("2026-02-30", None),
        ("13-01", None),
        ("1899-12-31", None),
        ("9999-01-01", None),
        ("２０２６-11-23", None),
        ("2026-11-23x", None),
        ("今日", None),
        ("", None),
    ],
)
def test_what_people_write_for_a_day(written: str, day: date | None) -> None:
    assert dates.read(written, TODAY) == day


def test_new_year_is_near_in_both_directions() -> None:
    assert dates.read("12-30", date(2027, 1, 2)) == date(2026, 12, 30)
    assert dates.read("1-2", date(2026, 12, 30)) == date(2027, 1, 2)
    assert dates.read("2-29", date(2027, 11, 1)) == date(2028, 2, 29)
