"""周报、那天与统计：从一页页总结里归纳出来的东西；纯函数。"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from re import Pattern
from typing import Any, TypeVar

from rizhi import links
from rizhi.dates import Week, weekday
from rizhi.journal.changes import Change
from rizhi.journal.day import ACHIEVED, Day, nested
from rizhi.journal.lint import Lack, lacking, own_text, words
from rizhi.journal.todo import Todo, brief
from rizhi.markdown import Item, joined
from rizhi.page import Note
from rizhi.vault import module_of

BEGIN = "<!-- rizhi:week 由 rizhi week 刷新，直到下一个标记；写在这里面的字会被换掉 -->"
END = "<!-- /rizhi:week -->"
DISTANCES = (1, 3, 7, 14, 30, 90, 180, 365)
P = TypeVar("P")


@dataclass(frozen=True)
class Written:
    """写过的一天；`own` 是他自己写的字。"""

    date: date
    page: Day
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
    made = ((page.date, page, own_text(page, template)) for page in pages if page.text)
    return [Written(day, page, own) for day, page, own in made if day and own]


def achievements(page: Day) -> list[str]:
    """今日成果的每一行，子条目各算一行；还开着的、放弃了的不是成果。"""
    lines: list[str] = []
    for section in page.section(ACHIEVED):
        lines += section.prose
        lines += [said(page, item) for item in section.items if item.text and achieved(item)]
    return lines


def achieved(item: Item) -> bool:
    """这一条做成了没有：没有勾选框的也算。"""
    return item.state in (None, "done")


def said(page: Day, item: Item) -> str:
    """一个条目与它下面的话，接成一行。"""
    notes = (n for n in page.document.notes(item) if n.kind == "paragraph")
    more = (line.strip() for n in notes for line in page.text[n.start : n.end].splitlines())
    return joined((item.text, *more))


def week_values(
    week: Week,
    days: Sequence[Written],
    todos: Sequence[Todo],
    notes: Mapping[str, Note],
    changed: Sequence[Change],
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
        "achieved": [made for day in mine if (made := _achieved(day, target))["lines"]],
        **_knowledge(mine, notes, changed, target),
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
        for note in links.topics(day.page, notes):
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


def _day(day: Written, target: Path) -> dict[str, str]:
    link = links.relative(target, day.page.path)
    return {
        "date": day.date.isoformat(),
        "weekday": weekday(day.date),
        "title": day.title,
        "link": link,
    }


def _achieved(day: Written, target: Path) -> dict[str, Any]:
    lines = [
        links.moved(line, day.page.path, target, day.page.document.definitions)
        for line in _outline(day.page)
    ]
    return {"date": day.date.isoformat(), "weekday": weekday(day.date), "lines": lines}


def _outline(page: Day) -> Iterator[str]:
    """今日成果的每一条，子条目缩进在下面。"""
    for section in page.section(ACHIEVED):
        yield from section.prose
        outer, children = nested(section.items)
        yield from ("\n".join(_branch(page, item, children)) for item in outer if _shows(item))


def _branch(page: Day, item: Item, children: Mapping[int, list[Item]]) -> Iterator[str]:
    yield said(page, item)
    for child in children.get(item.number, ()):
        if _shows(child):
            first, *rest = _branch(page, child, children)
            yield from (f"    - {first}", *(f"    {line}" for line in rest))


def _shows(item: Item) -> bool:
    return bool(item.text) and achieved(item)


def _knowledge(
    days: Sequence[Written], notes: Mapping[str, Note], changed: Sequence[Change], target: Path
) -> dict[str, list[dict[str, Any]]]:
    """这一周的知识点：一篇笔记连同它的片段只说一次，说哪几天写到、新在哪里。"""
    mentioned: dict[str, list[str]] = {}
    for day in days:
        for note in links.topics(day.page, notes):
            mentioned.setdefault(str(note.path), []).append(f"{day.date:%m-%d}")
    news = _news(notes, changed)
    topics = [
        {
            "title": notes[path].title,
            "link": links.relative(target, Path(path)),
            "days": dates,
            "news": "；".join(news.pop(path, ())),
        }
        for path, dates in mentioned.items()
    ]
    titles = {str(change.path): change.title for change in changed}
    others = [
        {
            "title": titles.get(path) or notes[path].title,
            "news": "；".join(said),
            "what": said[0],
            "link": _link(path, titles.get(path) or notes[path].title, target),
        }
        for path, said in news.items()
    ]
    return {"topics": topics, "changed": others}


def _news(notes: Mapping[str, Note], changed: Sequence[Change]) -> dict[str, list[str]]:
    """每篇笔记（或没有笔记的片段）新在哪里。"""
    modules = {note.snippet or module_of(note.slug): path for path, note in notes.items()}
    found: dict[str, list[str]] = {}
    for change in changed:
        if change.path.suffix == ".md":
            found.setdefault(str(change.path), []).insert(0, change.what)
        else:
            owner = modules.get(change.path.stem)
            line = f"片段 `{change.title}` {change.what}" if owner else change.what
            found.setdefault(owner or str(change.path), []).append(line)
    return found


def _link(path: str, title: str, target: Path) -> str:
    # 片段在 docs/ 之外，站点上没有它的页，链接过去就是死链接
    return (
        f"[{title}]({links.relative(target, Path(path))})" if path.endswith(".md") else f"`{title}`"
    )


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
    """同一种缺，各天合成一行。"""
    found: dict[str, tuple[Lack, list[str]]] = {}
    for day in days:
        if day.date < today:  # 今天还没写完，不算
            for lack in lacking(day.page, len(links.topics(day.page, notes)), template):
                what = lack.message.partition("，")[0]
                found.setdefault(what, (lack, []))[1].append(f"{day.date:%m-%d}")
    return [f"{what}（{'、'.join(on)}）；{lack.remedy}。" for what, (lack, on) in found.items()]
