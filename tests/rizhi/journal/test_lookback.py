"""回头看：那天，与连写的天数。"""

from datetime import date, timedelta
from pathlib import Path

import pytest

from rizhi.journal import lookback

TODAY = date(2026, 11, 23)


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
    assert lookback.streak((TODAY - timedelta(days=n) for n in ago), TODAY) == expected


def test_that_day_gives_only_what_exists() -> None:
    paths = {TODAY - timedelta(days=n): Path(f"{n}.md") for n in (1, 2, 7, 365, 366)}
    assert [n for n, _, _ in lookback.that_day(TODAY, paths)] == [1, 7, 365]
    leap = lookback.that_day(date(2028, 2, 29), {date(2027, 3, 1): Path("x")})
    assert [n for n, _, _ in leap] == [365]
