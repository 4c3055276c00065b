"""回头看：那天写了什么，写了多少、连了几天、哪些主题。"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise, takewhile
from typing import Any, TypeVar

from rizhi import links
from rizhi.journal.day import read_day, short_title
from rizhi.journal.lint import Written, read_written, words
from rizhi.page import Note, read_notes
from rizhi.vault import Vault, day_files

DISTANCES = {n: timedelta(n) for n in (1, 3, 7, 14, 30, 90, 180, 365)}
P = TypeVar("P")


def read_stats(vault: Vault, today: date, warn: Callable[[str], None]) -> dict[str, Any]:
    """写了多少、连了几天、哪些主题。"""
    return stats(read_written(vault, warn), links.by_path(read_notes(vault)), today)


def read_that_day(vault: Vault, today: date) -> list[dict[str, Any]]:
    """那几天里写过的：几天前、哪一天、标题与路径。"""
    return [
        {
            "ago": ago,
            "date": str(day),
            "title": short_title(read_day(vault, path), day),
            "path": vault.relative(path),
        }
        for ago, day, path in that_day(today, dict(day_files(vault)))
    ]


def that_day(today: date, pages: Mapping[date, P]) -> list[tuple[int, date, P]]:
    """1、3、7、14、30、90、180、365 天以前写过的那几天；`pages` 是每一天的页面。"""
    back = [(n, today - distance) for n, distance in DISTANCES.items()]
    return [(n, day, pages[day]) for n, day in back if day in pages]


def streak(days: Iterable[date], today: date) -> int:
    """连着写了几天：中间歇一天不断，歇两天就断。"""
    ordered = sorted({day for day in days if day <= today}, reverse=True)
    if not ordered or (today - ordered[0]).days > 2:
        return 0
    gaps = ((later - earlier).days for later, earlier in pairwise(ordered))
    return 1 + sum(1 for _ in takewhile(lambda gap: gap <= 2, gaps))


def stats(days: Sequence[Written], notes: Mapping[str, Note], today: date) -> dict[str, Any]:
    """写了几天、连了几天、多少字、哪些主题，以及热力图的数据。"""
    heat = {day.date.isoformat(): words(day.own) for day in days}
    counts = Counter(note.title for day in days for note in links.topics(day.page, notes))
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "days": len(days),
        "first": days[0].date.isoformat() if days else None,
        "last": days[-1].date.isoformat() if days else None,
        "streak": streak((day.date for day in days), today),
        "words": sum(heat.values()),
        "topics": dict(ordered),
        "heatmap": heat,
    }
