"""日子、星期与 ISO 周的写法。"""

import re
from datetime import date, timedelta
from typing import NamedTuple

NEAR = {"大前天": -3, "前天": -2, "昨天": -1, "今天": 0, "明天": 1, "后天": 2, "大后天": 3}
# 嵌进别的正则里用的写法：一年里的某一天，可以不写年份、不补零
WRITTEN = r"(?:\d{4}-)?\d{1,2}-\d{1,2}|" + "|".join(sorted(NEAR, key=len, reverse=True))
_NUMBERS = re.compile(r"(?:(\d{4})[-/.年])?(\d{1,2})[-/.月](\d{1,2})日?", re.A)
WEEKDAYS = "一二三四五六日"


def read(text: str, today: date) -> date | None:
    """把一个日子读成日期；不写年份的，取离 `today` 最近的那一个。

    没有这一天，或在 1900 到 9998 年之外，返回 None。
    """
    text = text.strip()
    if text in NEAR:
        return today + timedelta(days=NEAR[text])
    match = _NUMBERS.fullmatch(text)
    if not match:
        return None
    month, day = int(match[2]), int(match[3])
    if match[1]:
        return real(int(match[1]), month, day)
    years = (today.year - 1, today.year, today.year + 1)
    near = filter(None, (real(year, month, day) for year in years))
    return min(near, key=lambda each: abs(each - today), default=None)


class Week(NamedTuple):
    """一个 ISO 周。"""

    year: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.year}-W{self.number:02d}"

    @property
    def days(self) -> list[date]:
        first = date.fromisocalendar(self.year, self.number, 1)
        return [first + timedelta(days=n) for n in range(7)]


def week_of(day: date) -> Week:
    """一天属于哪个 ISO 周：2027-01-01 属于 2026-W53。"""
    year, number, _ = day.isocalendar()
    return Week(year, number)


def week_named(name: str) -> Week | None:
    """把 `2026-W48` 读成一周；不是这种写法，或没有这一周，返回 None。"""
    match = re.fullmatch(r"(\d{4})-W(\d{2})", name, re.A)
    try:
        return week_of(date.fromisocalendar(int(match[1]), int(match[2]), 1)) if match else None
    except ValueError:
        return None


def weekday(day: date) -> str:
    """「星期一」这样的写法。"""
    return f"星期{WEEKDAYS[day.weekday()]}"


def real(year: int, month: int, day: int) -> date | None:
    """真有的一天；没有，或在 1900 到 9998 年之外，返回 None。

    再往外，往前数一年、往后数一周就没有日子了。
    """
    try:
        return date(year, month, day) if 1900 <= year <= 9998 else None
    except ValueError:
        return None
