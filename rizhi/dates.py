"""日子的写法：今天、昨天、11-26、2026-11-26 都读成日期。"""

import re
from datetime import date, timedelta

NEAR = {"大前天": -3, "前天": -2, "昨天": -1, "今天": 0, "明天": 1, "后天": 2, "大后天": 3}
# 嵌进别的正则里用的写法：一年里的某一天，可以不写年份、不补零
WRITTEN = r"(?:\d{4}-)?\d{1,2}-\d{1,2}|" + "|".join(sorted(NEAR, key=len, reverse=True))
_NUMBERS = re.compile(r"(?:(\d{4})[-/.年])?(\d{1,2})[-/.月](\d{1,2})日?", re.A)


def read(text: str, today: date) -> date | None:
    """把一个日子读成日期；不写年份的，取离 `today` 最近的那一个。

    没有这一天，或在 1900 到 9998 年之外，返回 None。
    """
    text = text.strip()
    if text in NEAR:
        return today + timedelta(days=NEAR[text])
    found = _NUMBERS.fullmatch(text)
    if not found:
        return None
    month, day = int(found[2]), int(found[3])
    if found[1]:
        return _date(int(found[1]), month, day)
    years = (today.year - 1, today.year, today.year + 1)
    near = [made for year in years if (made := _date(year, month, day))]
    return min(near, key=lambda made: abs(made - today), default=None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day) if 1900 <= year <= 9998 else None
    except ValueError:
        return None
