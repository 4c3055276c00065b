"""算出来的页：归档、周报、待办板、标签、时间线、笔记总览；一页不会没完没了地长。"""

import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import groupby
from typing import TypeVar

from rizhi.dates import Week, week_of, weekday
from rizhi.journal.todo import still_open
from rizhi.page import Note
from rizhi.site.blocks import Dim, Generated, Graph, Heat, Link, Node, Panel, Part, Row, Rows
from rizhi.site.graph import DayFact, Web, grouped
from rizhi.site.layers import acyclic, reduced
from rizhi.site.panels import (
    DAILY,
    FOLDED,
    LATEST,
    SHOWN,
    TIMELINE,
    WEEKLY,
    by_group,
    day_rows,
    joined,
    listing,
    mention_rows,
    more,
    note_link,
    note_rows,
    todo_row,
    yearly_uri,
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
        **_board(web),
        **_tags(web),
        **_timeline(web),
        "notes/index.md": _notes(web),
        **_listings(web),
    }


def _archive(web: Web) -> dict[str, partial[Generated]]:
    none = "还没有写过。用 rizhi new 写第一天。"
    return _by_years("日总结", DAILY, _by_year(web.days), _archived, web.today, none)


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
    written = tuple(web.uris.items())
    dates = [day for day, _ in written]
    weeks = {}
    for year, listed in web.weekly.items():
        first, last = listed[0].days[0], listed[-1].days[-1]
        days = written[bisect_left(dates, first) : bisect_right(dates, last)]
        weeks[year] = [(week, web.week_uris.get(week.name)) for week in listed], days
    none = "还没有周报。用 rizhi week 写这一周的。"
    return _by_years("周报", WEEKLY, weeks, _weekly, web.today, none)


def _weekly(
    this_year: int,
    year: int,
    listed: tuple[Sequence[tuple[Week, str | None]], Iterable[tuple[date, str]]],
) -> list[Panel]:
    """`listed` 是每一周与它的周报，和其间写过的每一天与它的页面。"""
    weeks, uris = listed[0], dict(listed[1])
    rows = tuple(_week_row(*week, uris) for week in reversed(weeks))
    return [Panel("list", f"{year} 年", Rows(rows))]


def _week_row(week: Week, report: str | None, uris: Mapping[date, str]) -> Row:
    """一周：有周报的，名字是到周报的链接；写过的每一天各一个链接。"""
    first, *_, last = week.days
    span = f"　{first.month} 月 {first.day} 日 – {last.month} 月 {last.day} 日"
    written = [Link(f"{day.day}\u00a0日", uris[day]) for day in week.days if day in uris]
    days = [part for link in written for part in ("　", link)]
    name = Link(week.name, report) if report else week.name
    return Row((name, Dim((span, f"，写了 {len(written)} 天", *days))), anchor=week.name)


def _board(web: Web) -> dict[str, partial[Generated]]:
    today, board = web.today, "todos/index.md"
    opened = still_open(todo.as_of(today) for todo in web.todos)
    week = week_of(today).days
    parts = (
        ("due", "有期限的", [todo for todo in opened if todo.due]),
        ("open", "开着的，最久的在前", [todo for todo in opened if not todo.due]),
        ("done", "这一周了结的", [t for t in web.todos if t.state != "open" and t.last in week]),
    )
    panels, plan = [], dict[str, partial[Generated]]()
    for kind, title, listed in parts:
        rows = tuple(todo_row(todo, today, web.uris) for todo in listed)
        note = more(len(rows) - LIMIT, "件", f"todos/{kind}.md") if rows else ("没有。",)
        panels.append(Panel(kind, title, Rows(rows[:LIMIT], "todos"), note))
        if len(rows) > LIMIT:
            plan |= _paged(title, Link("待办", board), rows, f"todos/{kind}", "todos")
    parked = sum(todo.parked(today) for todo in opened)
    count = f"开着 {len(opened)} 件" + (f"，其中 {parked} 件搁着" if parked else "") + "。"
    return {board: partial(Generated, "待办", tuple(panels), (count,)), **plan}


def _tags(web: Web) -> dict[str, partial[Generated]]:
    days, notes = _by_tag(web.days), _by_tag(web.notes)
    names = sorted(days.keys() | notes.keys(), key=lambda t: (-len(days.get(t, [])), t))
    cloud = tuple(
        Row((Link(f"{t} {len(days.get(t, [])) + len(notes.get(t, []))}", tag_uri(t)),))
        for t in names
    )
    lead = more(len(cloud) - 5 * LIMIT, "个", "tags/all.md") if cloud else ("还没有标签。",)
    panel = Panel("tags", "", Rows(cloud[: 5 * LIMIT], "tags"))
    plan = {"tags/index.md": partial(Generated, "标签", (panel,), lead)}
    if len(cloud) > 5 * LIMIT:
        plan |= _paged("全部标签", Link("标签", "tags/index.md"), cloud, "tags/all", "tags")
    for tag in names:
        plan |= _tag(web, tag, days.get(tag, []), notes.get(tag, []))
    return plan


def _by_tag(pages: Iterable[Tagged]) -> dict[str, list[Tagged]]:
    return grouped((tag, page) for page in pages for tag in dict.fromkeys(page.tags) if tag.strip())


def tag_uri(tag: str) -> str:
    """一个标签的页；不能做文件名的字换掉，再补上校验和免得撞名。"""
    safe = re.sub(r"[^\w-]+", "-", tag).strip("-")
    # 大写也算：有的文件系统不分大小写
    plain = safe == tag == tag.lower() and tag != "index" and len(tag) <= 40
    name = tag if plain else f"{safe[:40]}-{zlib.crc32(tag.encode()):08x}"
    return f"tags/{name}/index.md"


def _tag(
    web: Web, tag: str, days: list[DayFact], notes: list[Note]
) -> dict[str, partial[Generated]]:
    """一个标签的各页：笔记在最近一年的那一页最前面。"""
    index, rows = tag_uri(tag), note_rows(notes, web)
    folder = index.removesuffix("/index.md")
    note = more(len(rows) - LIMIT, "篇", f"{folder}/notes.md")
    first = (Panel("list", "笔记", Rows(rows[:LIMIT]), note),) if notes else ()
    years = _by_year(days)
    pattern = f"{folder}/{{}}.md"
    plan = _by_years(tag, pattern, years, _tagged, web.today, "", first, same_title=True)
    if len(rows) > LIMIT:
        plan |= _paged(f"{tag}：笔记", Link(tag, index), rows, f"{folder}/notes")
    return plan


def _tagged(this_year: int, year: int, days: Sequence[DayFact]) -> list[Panel]:
    return [Panel("list", f"{year} 年", Rows(day_rows(reversed(days), this_year)))]


def _timeline(web: Web) -> dict[str, partial[Generated]]:
    years = _by_year(day for day in web.days if day.gains)
    none = "还没有成果。写在一天的「今日成果」里，这里就有。"
    return _by_years("时间线", TIMELINE, years, _lined, web.today, none)


def _lined(this_year: int, year: int, days: Sequence[DayFact]) -> list[Panel]:
    panels = []
    for month, listed in groupby(reversed(days), key=lambda d: d.date.month):
        rows = tuple(row for day in listed for row in _achieved(day))
        panels.append(Panel("timeline", f"{year} 年 {month} 月", Rows(rows, "timeline")))
    return panels


def _achieved(day: DayFact) -> Iterator[Row]:
    """每样成果一行；日期只写在当天的头一行。"""
    name = f"{day.date.month} 月 {day.date.day} 日 {weekday(day.date)}"
    first, *rest = day.gains
    yield Row(first, when=Link(name, day.uri))
    for line in rest:
        yield Row(line)


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


def _listings(web: Web) -> dict[str, partial[Generated]]:
    """每篇笔记的面板列不下的，各另成一页。"""
    plan: dict[str, partial[Generated]] = {}
    year = web.today.year
    for note in web.notes:
        path, back = str(note.path), note_link(note, web)
        days, leads = web.mentioned.get(path, []), web.leads.get(path, [])
        hints = web.hinted.get(path, [])
        if len(days) > FOLDED:
            title = f"写到「{note.title}」的日子"
            plan |= _paged(title, back, days, listing(note, "life"), "list", mention_rows, year)
        if len(leads) > SHOWN:
            rows = note_rows(leads, web)
            plan |= _paged(f"链接到「{note.title}」的笔记", back, rows, listing(note, "leads"))
        if len(hints) > LATEST:
            title = f"提到「{note.title}」，没有链接的日子"
            stem = listing(note, "hints")
            plan |= _paged(title, back, hints[::-1], stem, "list", day_rows, year)
    return plan


def _paged(
    title: str,
    back: Link,
    listed: Sequence[T],
    stem: str,
    kind: str = "list",
    rows: Callable[..., tuple[Row, ...]] = tuple,
    *given: int,
) -> dict[str, partial[Generated]]:
    """一个长的列表分成几页：头一页是 `stem.md`，其余在它的文件夹里；每一页都能回到 `back`。

    一页要算时才由 `rows` 写成各行，`given` 是它的其余参数。
    """
    plan, size = {}, 5 * LIMIT if kind == "tags" else LIMIT
    chunks = [listed[n : n + size] for n in range(0, len(listed), size)]
    every = [
        Link(f"第 {n} 页", f"{stem}/{n}.md" if n > 1 else f"{stem}.md")
        for n in range(1, len(chunks) + 1)
    ]
    for link, chunk in zip(every, chunks, strict=True):
        others = joined(other for other in every if other != link)
        lead = ("回到 ", back, "。", *others)
        plan[link.uri] = partial(_page, title, lead, kind, chunk, rows, given)
    return plan


def _page(
    title: str,
    lead: tuple[Part, ...],
    kind: str,
    listed: Sequence[T],
    rows: Callable[..., tuple[Row, ...]],
    given: tuple[int, ...],
) -> Generated:
    return Generated(title, (Panel("list", "", Rows(rows(listed, *given), kind)),), lead)


def _by_year(days: Iterable[DayFact]) -> dict[int, list[DayFact]]:
    return {year: list(listed) for year, listed in groupby(days, key=lambda day: day.date.year)}


def _by_years(
    title: str,
    pattern: str,
    years: Mapping[int, T],
    panels: Callable[[int, int, T], list[Panel]],
    today: date,
    none: str,
    first: tuple[Panel, ...] = (),
    same_title: bool = False,
) -> dict[str, partial[Generated]]:
    """按年分页，照 `pattern`：最近一年是 index.md，`first` 在它的最前面；别的年份各一页。

    一年也没有时，只有 index.md，导语是 `none`。
    """
    if not years:
        said = (none,) if none else ()
        return {yearly_uri(pattern, 0, 0): partial(Generated, title, first, said)}
    latest, plan = max(years), {}
    uris = {year: yearly_uri(pattern, year, latest) for year in years}
    for year, listed in years.items():
        links = [Link(f"{y}\u00a0年", uris[y]) for y in sorted(years, reverse=True) if y != year]
        lead: tuple[Part, ...] = ("别的年份：", *joined(links)) if links else ()
        named = title if year == latest or same_title else f"{year} 年的{title}"
        before = first if year == latest else ()
        plan[uris[year]] = partial(_year, panels, today.year, year, listed, named, lead, before)
    return plan


def _year(
    panels: Callable[[int, int, T], list[Panel]],
    this_year: int,
    year: int,
    listed: T,
    title: str,
    lead: tuple[Part, ...],
    before: tuple[Panel, ...],
) -> Generated:
    return Generated(title, (*before, *panels(this_year, year, listed)), lead)
