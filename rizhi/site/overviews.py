"""算出来的页：归档、周报、待办板、标签、时间线、笔记总览；一页不会没完没了地长。"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import groupby
from typing import TypeVar

from rizhi.dates import Week, week_named, week_of, weekday
from rizhi.journal.todo import Todo, still_open
from rizhi.links import Mention
from rizhi.page import Note
from rizhi.site.blocks import Dim, Generated, Graph, Heat, Link, Node, Panel, Part, Row, Rows
from rizhi.site.graph import DayFact, Web, grouped
from rizhi.site.layers import acyclic, reduced
from rizhi.site.panels import (
    FOLDED,
    by_group,
    day_rows,
    joined,
    life_uri,
    mention_rows,
    note_link,
    note_rows,
    todo_row,
)

T = TypeVar("T")
Tagged = TypeVar("Tagged", DayFact, Note)
LIMIT = 200  # 一页最多列这么多行，再多就分页


def pages(web: Web) -> dict[str, Generated]:
    """全部算出来的页，键是相对于 docs 的路径。"""
    return {uri: make() for uri, make in plan(web).items()}


def plan(web: Web) -> dict[str, partial[Generated]]:
    """每一页怎么算：一个函数与它的全部参数；同 `panels.plan`。"""
    return {
        **_archive(web),
        **_weeks(web),
        "todos/index.md": partial(_board, web.today, web.uris, web.todos),
        **_tags(web),
        **_timeline(web),
        "notes/index.md": _notes(web),
        **_lives(web),
    }


def _archive(web: Web) -> dict[str, partial[Generated]]:
    uri = partial(_yearly_uri, "daily/{}/index.md")
    none = "还没有写过。用 rizhi new 写第一天。"
    return _by_years("日总结", uri, _by_year(web.days), _archived, web.today, none)


def _archived(this_year: int, year: int, days: Sequence[DayFact]) -> list[Panel]:
    words = {day.date: day.words for day in days}
    uris = {day.date: day.uri for day in days}
    last = days[-1].date if year >= this_year else date(year, 12, 31)  # 不为还没到的日子留空格
    heat = Heat(words, uris, date(year, 1, 1), last)
    panels = [Panel("heat", "", heat, (f"{year} 年写了 {len(days)} 天。",))]
    for month, listed in groupby(reversed(days), key=lambda d: d.date.month):
        panels.append(Panel("list", f"{year} 年 {month} 月", Rows(day_rows(listed, this_year))))
    return panels


def _weeks(web: Web) -> dict[str, partial[Generated]]:
    years: dict[int, list[Row]] = {}
    for page in web.weeks:
        week = week_named(page.path.stem)
        if week:
            written = sum(day in web.uris for day in week.days)
            row = _week_row(week, Link(page.path.stem, web.uri(page.path)), written)
            years.setdefault(week.year, []).append(row)
    uri = partial(_yearly_uri, "weekly/{}/index.md")
    none = "还没有周报。用 rizhi week 写这一周的。"
    return _by_years("周报", uri, years, _weekly, web.today, none)


def _weekly(this_year: int, year: int, weeks: Sequence[Row]) -> list[Panel]:
    return [Panel("list", f"{year} 年", Rows(tuple(reversed(weeks))))]


def _week_row(week: Week, link: Link, written: int) -> Row:
    first, last = week.days[0], week.days[-1]
    span = f"{first.month} 月 {first.day} 日 – {last.month} 月 {last.day} 日"
    return Row((link, Dim((f"　{span}，写了 {written} 天",))))


def _board(today: date, uris: Mapping[date, str], todos: Sequence[Todo]) -> Generated:
    opened = still_open(todo.as_of(today) for todo in todos)
    dated = [todo for todo in opened if todo.due]
    aged = sorted((todo for todo in opened if not todo.due), key=lambda todo: todo.born)
    week = week_of(today).days
    ended = [todo for todo in todos if todo.state != "open" and todo.last in week]
    parts = (
        ("due", "有期限的", dated),
        ("open", "开着的，最久的在前", aged),
        ("done", "这一周了结的", ended),
    )
    panels = []
    for kind, title, listed in parts:
        rows = tuple(todo_row(todo, today, uris) for todo in listed[:LIMIT])
        more = len(listed) - LIMIT
        note: tuple[Part, ...] = () if listed else ("没有。",)
        note = (f"另有 {more} 件，用 rizhi todo 看。",) if more > 0 else note
        panels.append(Panel(kind, title, Rows(rows, "todos"), note))
    return Generated("待办", tuple(panels), (f"开着 {len(opened)} 件。",))


def _tags(web: Web) -> dict[str, partial[Generated]]:
    days, notes = _by_tag(web.days), _by_tag(web.notes)
    names = sorted(days.keys() | notes.keys(), key=lambda t: (-len(days.get(t, [])), t))
    cloud = tuple(
        Row((Link(f"{t} {len(days.get(t, [])) + len(notes.get(t, []))}", tag_uri(t)),))
        for t in names[: 5 * LIMIT]
    )
    left = len(names) - len(cloud)
    lead = (f"只列最常用的，另有 {left} 个。",) if left else () if cloud else ("还没有标签。",)
    panel = Panel("tags", "", Rows(cloud, "tags"))
    plan = {"tags/index.md": partial(Generated, "标签", (panel,), lead)}
    for tag in names:
        plan |= _tag(web, tag, days.get(tag, []), notes.get(tag, []))
    return plan


def _by_tag(pages: Iterable[Tagged]) -> dict[str, list[Tagged]]:
    return grouped((tag, page) for page in pages for tag in dict.fromkeys(page.tags) if tag.strip())


def tag_uri(tag: str, year: int | None = None) -> str:
    """一个标签的页；不能做文件名的字换掉，再补上校验和免得撞名。"""
    safe = re.sub(r"[^\w-]+", "-", tag).strip("-")
    # 大写也算：有的文件系统不分大小写
    plain = safe == tag == tag.lower() and tag != "index" and len(tag) <= 40
    name = tag if plain else f"{safe[:40]}-{zlib.crc32(tag.encode()):08x}"
    return f"tags/{name}/{year}.md" if year else f"tags/{name}/index.md"


def _tag(
    web: Web, tag: str, days: list[DayFact], notes: list[Note]
) -> dict[str, partial[Generated]]:
    """一个标签的各页：笔记在最近一年的那一页最前面。"""
    more = (f"另有 {len(notes) - LIMIT} 篇。",) if len(notes) > LIMIT else ()
    listed = Panel("list", "笔记", Rows(note_rows(notes[:LIMIT], web)), more)
    first = (listed,) if notes else ()
    uri = partial(tag_uri, tag)
    return _by_years(tag, uri, _by_year(days), _tagged, web.today, "", first, same_title=True)


def _tagged(this_year: int, year: int, days: Sequence[DayFact]) -> list[Panel]:
    return [Panel("list", f"{year} 年", Rows(day_rows(reversed(days), this_year)))]


def _timeline(web: Web) -> dict[str, partial[Generated]]:
    years = _by_year(day for day in web.days if day.achieved)
    uri = partial(_yearly_uri, "timeline/{}.md")
    none = "还没有成果。写在一天的「今日成果」里，这里就有。"
    return _by_years("时间线", uri, years, _lined, web.today, none)


def _lined(this_year: int, year: int, days: Sequence[DayFact]) -> list[Panel]:
    panels = []
    for month, listed in groupby(reversed(days), key=lambda d: d.date.month):
        rows = tuple(row for day in listed for row in _achieved(day))
        panels.append(Panel("timeline", f"{year} 年 {month} 月", Rows(rows, "timeline")))
    return panels


def _achieved(day: DayFact) -> Iterator[Row]:
    """每样成果一行；日期只写在当天的头一行。"""
    name = f"{day.date.month} 月 {day.date.day} 日 {weekday(day.date)}"
    first, *rest = day.achieved
    yield Row((first,), when=Link(name, day.uri))
    for line in rest:
        yield Row((line,))


def _notes(web: Web) -> partial[Generated]:
    """笔记总览：先修图，与分组的一份清单。"""
    groups = by_group(web.vault, web.notes)
    told = len(web.notes) <= 5 * LIMIT  # 再多，一页就太重：只列标题，一句话在悬停时看
    lists = [
        Panel("list", name, Rows(tuple(_told(note, web, told) for note in notes), "notes"))
        for name, notes in groups
    ]
    panels = (*_path(web, groups), *lists)
    return partial(Generated, "笔记", panels, (f"{len(web.notes)} 篇。",))


def _told(note: Note, web: Web, told: bool) -> Row:
    """一篇一行：标题、一句话、记号。"""
    brief = web.briefs[str(note.path)] if told else ""
    said = brief + "（草稿）" * note.draft + "（常看）" * note.pin
    return Row((note_link(note, web), *((Dim((f"　{said}",)),) if said else ())))


def _path(web: Web, groups: Sequence[tuple[str, Sequence[Note]]]) -> Iterator[Panel]:
    """先修图：只画有先修关系的，草稿不画；一篇也没有就没有这一块。"""
    shown = [note for note in web.notes if not note.draft]
    number = {note.slug: n for n, note in enumerate(shown)}
    needs = [
        (number[slug], n) for n, note in enumerate(shown) for slug in note.prereq if slug in number
    ]
    kept, refused = acyclic(needs)
    edges = reduced(kept)
    drawn = sorted({n for edge in edges for n in edge})
    if not drawn:
        return
    note: tuple[Part, ...] = ("从上往下读：读到哪一篇，连上来的几篇已经够用。",)
    if len(drawn) > LIMIT:
        note = (f"有先修关系的有 {len(drawn)} 篇，一张图画不下；一篇的先修与后续，画在那一篇里。",)
        yield Panel("graph", "先修图", Rows(()), note)
        return
    if refused:
        rounds = "、".join(f"{shown[a].title} → {shown[n].title}" for a, n in refused)
        note = (*note, f"成了环、没有画的：{rounds}。")
    tint = {listed.path: n for n, (_, notes) in enumerate(groups) for listed in notes}
    place = {n: at for at, n in enumerate(drawn)}
    graph = Graph(
        tuple(Node(note_link(shown[n], web), tint[shown[n].path]) for n in drawn),
        tuple(name for name, _ in groups),
        tuple((place[a], place[n]) for a, n in edges),
    )
    yield Panel("graph", "先修图", graph, note)


def _lives(web: Web) -> dict[str, partial[Generated]]:
    plan: dict[str, partial[Generated]] = {}
    for note in web.notes:
        days = web.mentioned.get(str(note.path), [])
        if len(days) <= FOLDED:
            continue
        chunks = [days[n : n + LIMIT] for n in range(0, len(days), LIMIT)]
        every = [Link(f"第 {n} 页", life_uri(note, n)) for n in range(1, len(chunks) + 1)]
        for link, chunk in zip(every, chunks, strict=True):
            others = [other for other in every if other != link]
            lead: tuple[Part, ...] = ("回到 ", note_link(note, web), "。", *joined(others))
            plan[link.uri] = partial(_mentions, note.title, lead, chunk, web.today.year)
    return plan


def _mentions(
    title: str, lead: tuple[Part, ...], days: Sequence[tuple[DayFact, Mention]], this_year: int
) -> Generated:
    panel = Panel("life", "", Rows(mention_rows(days, this_year)))
    return Generated(f"写到「{title}」的日子", (panel,), lead)


def _by_year(days: Iterable[DayFact]) -> dict[int, list[DayFact]]:
    return {year: list(listed) for year, listed in groupby(days, key=lambda day: day.date.year)}


def _by_years(
    title: str,
    uri: Callable[[int | None], str],
    years: Mapping[int, list[T]],
    panels: Callable[[int, int, Sequence[T]], list[Panel]],
    today: date,
    none: str,
    first: tuple[Panel, ...] = (),
    same_title: bool = False,
) -> dict[str, partial[Generated]]:
    """按年分页：最近一年是 index.md，`first` 在它的最前面；别的年份各一页。

    一年也没有时，只有 index.md，导语是 `none`。
    """
    if not years:
        return {uri(None): partial(Generated, title, first, (none,) if none else ())}
    latest, plan = max(years), {}
    uris = {year: uri(year if year != latest else None) for year in years}
    for year, listed in years.items():
        links = [Link(f"{y}\u00a0年", uris[y]) for y in sorted(years, reverse=True) if y != year]
        lead: tuple[Part, ...] = ("别的年份：", *joined(links)) if links else ()
        named = title if year == latest or same_title else f"{year} 年的{title}"
        before = first if year == latest else ()
        plan[uris[year]] = partial(_year, panels, today.year, year, listed, named, lead, before)
    return plan


def _year(
    panels: Callable[[int, int, Sequence[T]], list[Panel]],
    this_year: int,
    year: int,
    listed: Sequence[T],
    title: str,
    lead: tuple[Part, ...],
    before: tuple[Panel, ...],
) -> Generated:
    return Generated(title, (*before, *panels(this_year, year, listed)), lead)


def _yearly_uri(pattern: str, year: int | None) -> str:
    """一年的页；最近一年的是那个文件夹的总览。"""
    return pattern.format(year) if year else f"{pattern.partition('/')[0]}/index.md"
