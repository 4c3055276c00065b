"""ISO 周：周一到周日，跨年的一周归它的星期四所在的那一年。"""

import re
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Week:
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
    found = re.fullmatch(r"(\d{4})-W(\d{2})", name, re.A)
    try:
        first = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        return None
    return week_of(first) if first else None
