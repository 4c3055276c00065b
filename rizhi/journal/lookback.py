"""回头看：那天写了什么，写了多少、连了几天、哪些主题。"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, TypeVar

from rizhi import links
from rizhi.journal.day import Day, read_day, short_title
from rizhi.journal.lint import Written, read_written, words
from rizhi.page import Note, read_notes
from rizhi.vault import Vault, day_names

DISTANCES = {n: timedelta(n) for n in (1, 3, 7, 14, 30, 90, 180, 365)}
P = TypeVar("P")


def read_stats(
    vault: Vault, today: date, warn: Callable[[str], None], recall: Mapping[str, Any] | None
) -> dict[str, Any]:
    """写了多少、连了几天、哪些主题；`recall` 是复习的数，没有复习过是 None。"""
    days, notes = read_written(vault, warn), links.by_path(read_notes(vault))
    told = _recalled(vault, recall, [day.page for day in days], notes) if recall else None
    return stats(days, notes, today) | {"recall": told}


def _recalled(
    vault: Vault, recall: Mapping[str, Any], days: Sequence[Day], notes: Mapping[str, Note]
) -> dict[str, Any]:
    told = [
        {
            **one,
            "first": str(day.date) if day else None,
            "path": vault.relative(day.path) if day else None,
        }
        for one, day in lapsed(recall, days, notes)
    ]
    return {**recall, "lapsed": told}


def lapsed(
    recall: Mapping[str, Any], days: Iterable[Day], notes: Mapping[str, Note]
) -> list[tuple[Mapping[str, Any], Day | None]]:
    """忘了的各张，与头一次链接到它那篇笔记的那一天；没有写到过的是 None。`days` 从早到晚。"""
    wanted, found = {one["note"] for one in recall["lapsed"]}, dict[str, Day]()
    for day in days:
        if wanted <= found.keys():
            break
        for note in links.topics(day, notes):
            found.setdefault(note.slug, day)
    return [(one, found.get(one["note"])) for one in recall["lapsed"]]


def read_that_day(vault: Vault, today: date) -> list[dict[str, Any]]:
    """那几天里写过的：几天前、哪一天、标题与路径。"""
    return [
        {
            "ago": ago,
            "date": str(day),
            "title": short_title(read_day(vault, Path(name)), day),
            "path": vault.relative(Path(name)),
        }
        for ago, day, name in that_day(today, dict(day_names(vault)))
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
