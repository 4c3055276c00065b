"""周报、那天与统计：从一页页总结里归纳出来的东西；纯函数。"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from re import Pattern
from typing import Any, TypeVar

from rizhi import index
from rizhi.account import lacking, own_text, words
from rizhi.entry import ACHIEVED, Entry, joined, parse
from rizhi.isoweek import Week
from rizhi.page import Day, Note
from rizhi.pages import weekday
from rizhi.todo import Todo, brief

BEGIN = "<!-- rizhi:week 由 rizhi week 刷新，直到下一个标记；写在这里面的字会被换掉 -->"
END = "<!-- /rizhi:week -->"
DISTANCES = (1, 3, 7, 14, 30, 90, 180, 365)
P = TypeVar("P")


@dataclass(frozen=True)
class Written:
    """写过的一天，连同读出来的内容。"""

    date: date
    page: Day
    entry: Entry
    own: str

    @property
    def title(self) -> str:
        return short_title(self.page, self.date)


def short_title(page: Day, day: date) -> str:
    """标题里除去日期与星期的那句话。"""
    blank = " 　·:："
    return page.title.removeprefix(str(day)).strip(blank).removeprefix(weekday(day)).strip(blank)


def written(pages: Iterable[Day], template: Pattern[str]) -> list[Written]:
    """真正写过的那些天；读不出的、只有模板的不算。"""
    made = []
    for page in pages:
        if page.date and page.text:
            entry = parse(page.text)
            own = own_text(entry, template)
            made += [Written(page.date, page, entry, own)] if own else []
    return made


def achievements(day: Written) -> list[str]:
    """今日成果的每一行。"""
    lines = []
    for section in day.entry.section(ACHIEVED):
        lines += [line for line in section.prose if not line.startswith("#")]
        lines += [joined((item.text, *item.detail)) for item in section.items if item.text]
    return lines


def week_values(
    week: Week,
    days: Sequence[Written],
    todos: Sequence[Todo],
    notes: Mapping[str, Note],
    changed: Sequence[tuple[str, str, Path]],
    today: date,
    template: Pattern[str],
    target: Path,
) -> dict[str, Any]:
    """周报模板里的全部数据；`target` 是周报要写到哪里，链接从那里算起。"""
    mine = [day for day in days if day.date in week.days]
    seen = {day.date for day in mine}
    return {
        "name": week.name,
        "first": week.days[0].isoformat(),
        "last": week.days[-1].isoformat(),
        "begin": BEGIN,
        "end": END,
        "written": [_day(day, target) for day in mine],
        "missed": [f"{d:%m-%d}" for d in week.days if d <= today and d not in seen],
        "achieved": [_achieved(day, target) for day in mine if achievements(day)],
        "topics": _topics(mine, notes, target),
        "changed": [
            {"what": what, "title": title, "link": _changed(title, path, target)}
            for what, title, path in changed
        ],
        "lacking": _lacking(mine, notes, today, template),
        **_todos(week, todos),
    }


def refreshed(old: str, new: str) -> str | None:
    """把旧周报里工具的那一块换成新的，他写的字不动；标记不完整返回 None。"""
    if any(text.count(mark) != 1 for text in (old, new) for mark in (BEGIN, END)):
        return None
    if old.index(BEGIN) > old.index(END):
        return None
    block = new[new.index(BEGIN) : new.index(END)]
    if "\r\n" in old:
        block = block.replace("\n", "\r\n")
    return old[: old.index(BEGIN)] + block + old[old.index(END) :]


def that_day(today: date, pages: Mapping[date, P]) -> list[tuple[int, date, P]]:
    """1、3、7、14、30、90、180、365 天以前写过的那几天；`pages` 是每一天的页面。"""
    found = ((n, today - timedelta(days=n)) for n in DISTANCES)
    return [(n, day, pages[day]) for n, day in found if day in pages]


def streak(days: Iterable[date], today: date) -> int:
    """连着写了几天：中间歇一天不断，歇两天就断。"""
    ordered = sorted({day for day in days if day <= today}, reverse=True)
    if not ordered or (today - ordered[0]).days > 2:
        return 0
    count = 1
    for later, earlier in pairwise(ordered):
        if (later - earlier).days > 2:
            break
        count += 1
    return count


def stats(days: Sequence[Written], notes: Mapping[str, Note], today: date) -> dict[str, Any]:
    """写了几天、连了几天、多少字、哪些主题，以及热力图的数据。"""
    heat = {day.date.isoformat(): words(day.own) for day in days}
    counts: dict[str, int] = {}
    for day in days:
        for note in index.topics(day.page, notes):
            counts[note.title] = counts.get(note.title, 0) + 1
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


def _changed(title: str, path: Path, target: Path) -> str:
    # 片段在 docs/ 之外，站点上没有它的页，链接过去就是死链接
    return f"[{title}]({index.link(target, path)})" if path.suffix == ".md" else f"`{title}`"


def _day(day: Written, target: Path) -> dict[str, str]:
    link = index.link(target, day.page.path)
    return {
        "date": day.date.isoformat(),
        "weekday": weekday(day.date),
        "title": day.title,
        "link": link,
    }


def _achieved(day: Written, target: Path) -> dict[str, Any]:
    lines = [index.moved(line, day.page.path, target) for line in achievements(day)]
    return {"date": day.date.isoformat(), "weekday": weekday(day.date), "lines": lines}


def _topics(
    days: Sequence[Written], notes: Mapping[str, Note], target: Path
) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for day in days:
        for note in index.topics(day.page, notes):
            found.setdefault(str(note.path), []).append(f"{day.date:%m-%d}")
    return [
        {"title": notes[path].title, "link": index.link(target, Path(path)), "days": dates}
        for path, dates in found.items()
    ]


def _todos(week: Week, todos: Sequence[Todo]) -> dict[str, list[str]]:
    first, last = week.days[0], week.days[-1]
    ended = [t for t in todos if t.state != "open" and first <= t.last <= last]
    still = [t for t in todos if t.born <= last and (t.state == "open" or t.last > last)]
    return {
        "born": [_line(t) for t in todos if first <= t.born <= last],
        "done": [_line(t) for t in ended if t.state == "done"],
        "dropped": [_line(t) for t in ended if t.state == "dropped"],
        "carried": [_line(t) for t in still],
    }


def _line(todo: Todo) -> str:
    return f"{brief(todo.text)}（自 {todo.born}）"


def _lacking(
    days: Sequence[Written], notes: Mapping[str, Note], today: date, template: Pattern[str]
) -> list[str]:
    lines = []
    for day in days:
        if day.date < today:  # 今天还没写完，不算
            count = len(index.topics(day.page, notes))
            found = lacking(day.entry, day.page.text, count, template)
            lines += [f"{day.date}：{lack.message}；{lack.remedy}。" for lack in found]
    return lines
