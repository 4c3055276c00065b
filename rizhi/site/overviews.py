"""算出来的页：归档、周报、待办板、标签、时间线、笔记总览；一页不会没完没了地长。"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import TypeVar

from rizhi.dates import Week, week_named, week_of, weekday
from rizhi.journal.todo import still_open
from rizhi.page import Note, Page
from rizhi.site.blocks import Dim, Generated, Heat, Link, Panel, Part, Row, Rows, Steps
from rizhi.site.graph import DayFact, Web
from rizhi.site.panels import (
    FOLDED,
    by_group,
    day_rows,
    life_uri,
    mention_rows,
    note_link,
    note_rows,
    todo_row,
)

T = TypeVar("T")
LIMIT = 200  # 一页最多列这么多行，再多就分页


def pages(web: Web) -> dict[str, Generated]:
    """全部算出来的页，键是相对于 docs 的路径。"""
    return {
        **_archive(web),
        **_weeks(web),
        "todos/index.md": _board(web),
        **_tags(web),
        **_timeline(web),
        "notes/index.md": _notes(web),
        **_lives(web),
    }


def reading_order(notes: Sequence[Note]) -> list[list[Note]]:
    """按先修分成几层：每一层只要读过前面几层就读得懂；成环的放在最后一层。"""
    known = {note.slug for note in notes}
    waiting: dict[str, list[int]] = {slug: [] for slug in known}  # 谁在等这一篇
    needs = [len(known.intersection(note.prereq)) for note in notes]
    for number, note in enumerate(notes):
        for slug in known.intersection(note.prereq):
            waiting[slug].append(number)
    layers: list[list[int]] = []
    ready = [number for number, count in enumerate(needs) if not count]
    while ready:
        layers.append(sorted(ready))
        ready = []
        for slug in {notes[number].slug for number in layers[-1]}:
            for number in waiting.pop(slug, ()):
                needs[number] -= 1
                ready += [] if needs[number] else [number]
    circles = [number for number, count in enumerate(needs) if count]
    return [[notes[number] for number in layer] for layer in (*layers, circles) if layer]


def _archive(web: Web) -> dict[str, Generated]:
    if not web.days:
        return {"daily/index.md": Generated("日总结", (), ("还没有写过。用 rizhi new 写第一天。",))}
    years, uri = _by_year(web.days), partial(_yearly, "daily/{}/index.md")
    return _by_years(web, "日总结", uri, years, _archived)


def _archived(web: Web, year: int, days: list[DayFact]) -> list[Panel]:
    words = {day.date: day.words for day in days}
    uris = {day: web.uris[day] for day in words}
    heat = Heat(words, uris, date(year, 1, 1), date(year, 12, 31))
    panels = [Panel("heat", "", heat, (f"{year} 年写了 {len(days)} 天。",))]
    for month, listed in groupby(reversed(days), key=lambda d: d.date.month):
        panels.append(Panel("list", f"{year} 年 {month} 月", Rows(day_rows(listed, web))))
    return panels


def _weeks(web: Web) -> dict[str, Generated]:
    years: dict[int, list[tuple[Week, Page, int]]] = {}
    for page in web.weeks:
        week = week_named(page.path.stem)
        if week:
            written = sum(day in web.uris for day in week.days)
            years.setdefault(week.year, []).append((week, page, written))
    if not years:
        lead = "还没有周报。用 rizhi week 写这一周的。"
        return {"weekly/index.md": Generated("周报", (), (lead,))}
    return _by_years(web, "周报", partial(_yearly, "weekly/{}/index.md"), years, _weekly)


def _weekly(web: Web, year: int, weeks: list[tuple[Week, Page, int]]) -> list[Panel]:
    rows = tuple(_week_row(*one, web) for one in reversed(weeks))
    return [Panel("list", f"{year} 年", Rows(rows))]


def _week_row(week: Week, page: Page, written: int, web: Web) -> Row:
    first, last = week.days[0], week.days[-1]
    span = f"{first.month} 月 {first.day} 日 – {last.month} 月 {last.day} 日"
    link = Link(page.path.stem, web.uri(str(page.path)))
    return Row((link, Dim((f"　{span}，写了 {written} 天",))))


def _board(web: Web) -> Generated:
    opened = still_open(web.todos)
    dated = [t for t in opened if t.due]
    aged = sorted((t for t in opened if not t.due), key=lambda t: t.born)
    week = week_of(web.today).days
    ended = [t for t in web.todos if t.state != "open" and t.last in week]
    parts = (
        ("due", "有期限的", dated),
        ("open", "开着的，最久的在前", aged),
        ("done", "这一周了结的", ended),
    )
    panels = []
    for kind, title, found in parts:
        rows = tuple(todo_row(todo, web) for todo in found[:LIMIT])
        more = len(found) - LIMIT
        note: tuple[Part, ...] = () if found else ("没有。",)
        note = (f"另有 {more} 件，用 rizhi todo 看。",) if more > 0 else note
        panels.append(Panel(kind, title, Rows(rows, "todos"), note))
    return Generated("待办", tuple(panels), (f"开着 {len(opened)} 件。",))


def _tags(web: Web) -> dict[str, Generated]:
    days: dict[str, list[DayFact]] = {}
    notes: dict[str, list[Note]] = {}
    for day in web.days:
        for tag in dict.fromkeys(filter(str.strip, day.tags)):
            days.setdefault(tag, []).append(day)
    for note in web.notes:
        for tag in dict.fromkeys(filter(str.strip, note.tags)):
            notes.setdefault(tag, []).append(note)
    names = sorted(days.keys() | notes.keys(), key=lambda t: (-len(days.get(t, [])), t))
    cloud = tuple(
        Row((Link(f"{t} {len(days.get(t, [])) + len(notes.get(t, []))}", tag_uri(t)),))
        for t in names[: 5 * LIMIT]
    )
    left = len(names) - len(cloud)
    lead = (f"只列最常用的，另有 {left} 个。",) if left else () if cloud else ("还没有标签。",)
    found = {"tags/index.md": Generated("标签", (Panel("tags", "", Rows(cloud, "tags")),), lead)}
    for tag in names:
        found |= _tag(web, tag, days.get(tag, []), notes.get(tag, []))
    return found


def tag_uri(tag: str, year: int | None = None) -> str:
    """一个标签的页；不能做文件名的字换掉，再补上校验和免得撞名。"""
    safe = re.sub(r"[^\w-]+", "-", tag).strip("-")
    # 大写也算：有的文件系统不分大小写
    plain = safe == tag == tag.lower() and tag != "index" and len(tag) <= 40
    name = tag if plain else f"{safe[:40]}-{zlib.crc32(tag.encode()):08x}"
    return f"tags/{name}/{year}.md" if year else f"tags/{name}/index.md"


def _tag(web: Web, tag: str, days: list[DayFact], notes: list[Note]) -> dict[str, Generated]:
    years, latest = _by_year(days), tag_uri(tag)
    made = _by_years(web, tag, partial(tag_uri, tag), years, _tagged) if years else {}
    found = {uri: replace(page, title=tag) for uri, page in made.items()}
    if notes:
        more = (f"另有 {len(notes) - LIMIT} 篇。",) if len(notes) > LIMIT else ()
        listed = Panel("list", "笔记", Rows(note_rows(notes[:LIMIT], web)), more)
        page = found.get(latest, Generated(tag, ()))
        found[latest] = replace(page, panels=(listed, *page.panels))
    return found


def _tagged(web: Web, year: int, days: list[DayFact]) -> list[Panel]:
    return [Panel("list", f"{year} 年", Rows(day_rows(reversed(days), web)))]


def _timeline(web: Web) -> dict[str, Generated]:
    years = _by_year(day for day in web.days if day.achieved)
    if not years:
        lead = "还没有成果。写在一天的「今日成果」里，这里就有。"
        return {"timeline/index.md": Generated("时间线", (), (lead,))}
    return _by_years(web, "时间线", partial(_yearly, "timeline/{}.md"), years, _lined)


def _lined(web: Web, year: int, days: list[DayFact]) -> list[Panel]:
    panels = []
    for month, listed in groupby(reversed(days), key=lambda d: d.date.month):
        rows = tuple(row for day in listed for row in _achieved(day, web))
        panels.append(Panel("timeline", f"{year} 年 {month} 月", Rows(rows, "timeline")))
    return panels


def _achieved(day: DayFact, web: Web) -> Iterator[Row]:
    """每样成果一行；日期只写在当天的头一行。"""
    name = f"{day.date.month} 月 {day.date.day} 日 {weekday(day.date)}"
    first, *rest = day.achieved
    yield Row((first,), when=Link(name, web.uri(day.path)))
    for line in rest:
        yield Row((line,))


def _notes(web: Web) -> Generated:
    layers = reading_order([note for note in web.notes if not note.draft])
    panels = [
        Panel("list", name, Rows(note_rows(found, web)))
        for name, found in by_group(web.vault, web.notes)
    ]
    if layers:
        rows = tuple(
            Row((f"{n}　", *_joined(note_link(note, web) for note in layer)))
            for n, layer in enumerate(layers, 1)
        )
        order = Panel(
            "list", "按先修读", Rows(rows), ("同一行的不分先后；读到哪一行，前面几行已经够用。",)
        )
        steps = Steps(tuple(tuple(note_link(n, web) for n in layer) for layer in layers))
        panels = [Panel("before", "先修图", steps), order, *panels]
    return Generated("笔记", tuple(panels), (f"{len(web.notes)} 篇。",))


def _joined(links: Iterable[Link]) -> list[Part]:
    parts: list[Part] = []
    for link in links:
        parts += [link, "　"]
    return parts


def _lives(web: Web) -> dict[str, Generated]:
    found = {}
    for note in web.notes:
        days = web.mentioned.get(str(note.path), [])
        if len(days) > FOLDED:
            chunks = [days[n : n + LIMIT] for n in range(0, len(days), LIMIT)]
            for part, chunk in enumerate(chunks, 1):
                others = [
                    Link(f"第 {n} 页", life_uri(note, n))
                    for n in range(1, len(chunks) + 1)
                    if n != part
                ]
                lead: list[Part] = ["回到 ", note_link(note, web), "。", *_joined(others)]
                panel = Panel("life", "", Rows(mention_rows(chunk, web)))
                title = f"写到「{note.title}」的日子"
                found[life_uri(note, part)] = Generated(title, (panel,), tuple(lead))
    return found


def _by_year(days: Iterable[DayFact]) -> dict[int, list[DayFact]]:
    return {year: list(found) for year, found in groupby(days, key=lambda d: d.date.year)}


def _by_years(
    web: Web,
    title: str,
    uri: Callable[[int | None], str],
    years: Mapping[int, list[T]],
    make: Callable[[Web, int, list[T]], list[Panel]],
) -> dict[str, Generated]:
    """按年分页：最近一年是 index.md，别的年份各一页；哪一年的依据没变就沿用。"""
    latest, found = max(years), {}
    uris = {year: uri(year if year != latest else None) for year in years}
    for year, listed in years.items():
        key, clues = ("year", uris[year], year), (web.today.year, listed)
        panels = web.memory.kept(key, clues, partial(make, web, year, listed))
        links = [Link(f"{y}\u00a0年", uris[y]) for y in sorted(years, reverse=True) if y != year]
        lead: tuple[Part, ...] = ("别的年份：", *_joined(links)) if links else ()
        named = title if year == latest else f"{year} 年的{title}"
        found[uris[year]] = Generated(named, tuple(panels), lead)
    return found


def _yearly(pattern: str, year: int | None) -> str:
    """一年的页；最近一年的是那个文件夹的总览。"""
    return pattern.format(year) if year else f"{pattern.partition('/')[0]}/index.md"
