"""首页、每一天、每篇笔记上的面板：由整张网算出来；纯函数。"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache, partial

from rizhi.dates import week_of, weekday
from rizhi.journal.lookback import that_day
from rizhi.journal.todo import Todo, brief, still_open
from rizhi.links import Mention
from rizhi.page import Note
from rizhi.site.blocks import Dim, Folded, Heat, Link, Month, Panel, Part, Row, Rows, Steps, Trail
from rizhi.site.graph import DayFact, Web, plain
from rizhi.snippets import record as records
from rizhi.vault import Vault, groups

FIRST, LATEST = 3, 5  # 笔记的来历先列最早与最近的几天
FOLDED = 100  # 其余的折起来；再多，就另成一页
SHOWN = 10
_STATES = {"open": "还开着", "done": "完成", "dropped": "放弃"}


def home(web: Web) -> list[Panel]:
    """首页：今天、开着的事、最近几天、一年的热力图、这一周、笔记的地图。"""
    return [
        _today(web),
        _week(web),
        _open(web),
        Panel("latest", "最近几天", Rows(day_rows(reversed(web.days[-7:]), web))),
        Panel("heat", "这一年", _year(web)),
        Panel("map", "笔记", Rows(tuple(_map(web)))),
    ]


def of_day(web: Web, day: date) -> list[Panel]:
    """一天的页面：前后、那天、写下的事的去向、这个月；依据没变的沿用。"""
    week, born = week_of(day).name, web.born.get(day, [])
    beside, that = _beside(web.dates, day), that_day(day, web.by_day)
    # 链接到的页挪了、没写了，链接也要跟着变
    places = [web.uris.get(one) for one in (*beside, *(todo.last for todo in born)) if one]
    month = web.months.get(day.replace(day=1), {})
    clues = (web.today, beside, places, web.week_uris.get(week), born, that, month)
    make = partial(_of_day, web, day, beside, that)
    return web.memory.kept(("day", day), clues, make)


def _of_day(
    web: Web,
    day: date,
    beside: tuple[date | None, date | None],
    that: Sequence[tuple[int, date, DayFact]],
) -> list[Panel]:
    panels = [Panel("trail", "", _trail(web, day, *beside))]
    born = web.born.get(day, [])
    if born:
        panels.append(Panel("born", "写下的事，后来", Rows(tuple(_fates(web, born)), "todos")))
    rows = (
        Row((f"{ago} 天前　", day_link(found, web), Dim((f"　{found.title}",))))
        for ago, _, found in that
    )
    if that:
        panels.append(Panel("that", "那天", Rows(tuple(rows))))
    first = day.replace(day=1)
    month = Month(first, web.months.get(first, {}), day, web.today)
    return [*panels, Panel("month", "这个月", month)]


def of_note(web: Web, note: Note) -> list[Panel]:
    """一篇笔记：片段的状态、先修与后续、写到它的日子、链接到它的笔记、没有链接的提到。"""
    panels = [Panel("before", "先修与后续", steps(web, note))] if _has_steps(web, note) else []
    panels += [_life(web, note)]
    leads = web.leads.get(str(note.path), [])
    if leads:
        more = (f"另有 {len(leads) - SHOWN} 篇。",) if len(leads) > SHOWN else ()
        panels.append(Panel("leads", "链接到这里的笔记", Rows(note_rows(leads[:SHOWN], web)), more))
    hinted = web.hinted.get(str(note.path), [])
    if hinted:
        left = f"另有 {len(hinted) - LATEST} 天。" if len(hinted) > LATEST else ""
        rows = day_rows(hinted[-LATEST:][::-1], web)
        panels.append(Panel("hints", "提到过，没有链接", Rows(rows), (left,) if left else ()))
    return [*panels, *_state(web, note)]


def steps(web: Web, note: Note) -> Steps:
    """先修 → 本篇 → 以它为先修的。"""
    before = [web.by_slug[slug] for slug in note.prereq if slug in web.by_slug]
    after = web.followers.get(note.slug, [])[:SHOWN]
    own: tuple[Link | str, ...] = (note.title,)
    groups = (_links(before, web), own, _links(after, web))
    return Steps(tuple(group for group in groups if group))


def day_link(day: DayFact, web: Web) -> Link:
    """一天的链接，写成「11 月 23 日 星期一」；不是今年的写上年份。"""
    return Link(_spelled(day.date, web.today.year), web.uri(day.path))


def day_rows(days: Iterable[DayFact], web: Web) -> tuple[Row, ...]:
    """每天一行：日期与标题。"""
    return tuple(
        Row((day_link(day, web), *((Dim((f"　{day.title}",)),) if day.title else ())))
        for day in days
    )


def note_link(note: Note, web: Web) -> Link:
    """一篇笔记的链接。"""
    return Link(note.title, web.uri(str(note.path)))


def note_rows(notes: Iterable[Note], web: Web) -> tuple[Row, ...]:
    """每篇笔记一行。"""
    return tuple(
        Row((note_link(n, web), *((Dim(("（草稿）",)),) if n.draft else ()))) for n in notes
    )


def mention_rows(found: Iterable[tuple[DayFact, Mention]], web: Web) -> tuple[Row, ...]:
    """每天一行：日期，与链接所在的那句话。"""
    return tuple(
        Row((day_link(day, web), Dim((f"　{plain(mention.sentence)}",)))) for day, mention in found
    )


def todo_row(todo: Todo, web: Web) -> Row:
    """一件事一行：写了什么、自哪天起；还开着的写几天了、顺延几次、期限，了结的写哪天了结。"""
    tail: list[str | Link] = ["　自 ", _date(web, todo.born)]
    if todo.state == "open":
        tail += [f"，{todo.age(web.today)} 天"]
        tail += [f"，顺延 {todo.carried} 次"] if todo.carried else []
        until = "搁到" if todo.parked(web.today) else "期限"
        tail += [f"，{until} {todo.due}"] if todo.due else []
    elif todo.last == todo.born:
        tail += [f"，当天{_STATES[todo.state]}"]
    else:
        tail += ["，", _date(web, todo.last), f" {_STATES[todo.state]}"]
    return Row((plain(brief(todo.text)), Dim(tuple(tail))), todo)


def life_uri(note: Note, part: int = 1) -> str:
    """一篇笔记的全部日子另成的页。"""
    tail = f"/{part}" if part > 1 else ""  # 不用连字符：rope-2 也可能是一篇笔记
    return f"mentions/{note.group}/{note.slug}{tail}.md"


def by_group(vault: Vault, notes: Iterable[Note]) -> list[tuple[str, list[Note]]]:
    """按组排好的笔记，与各组显示的名字；不在任何一组里的，在最后。"""
    members: dict[str, list[Note]] = {}
    for note in notes:
        members.setdefault(note.group, []).append(note)
    names = groups(vault)
    names |= {group: group for group in members if group not in names}
    return [(name, members[group]) for group, name in names.items() if group in members]


@lru_cache(maxsize=1 << 14)  # 十年里每次重建要写上几万遍
def _spelled(day: date, this_year: int) -> str:
    year = f"{day.year} 年 " if day.year != this_year else ""
    return f"{year}{day.month} 月 {day.day} 日 {weekday(day)}"


def _today(web: Web) -> Panel:
    day = web.today
    name = f"{day.month} 月 {day.day} 日 {weekday(day)}"
    path = web.paths.get(day)
    if path is None:
        return Panel("today", "今天", Rows(()), (f"{name}，还没有写。运行 ", "rizhi new", "。"))
    title = web.by_day[day].title if day in web.by_day else "建了页，还没有写"
    return Panel("today", "今天", Rows((Row((Link(name, web.uri(path)), Dim((f"　{title}",)))),)))


def _week(web: Web) -> Panel:
    week = week_of(web.today)
    days = [web.by_day[day] for day in week.days if day in web.by_day]
    uri = web.week_uris.get(week.name)
    note: tuple[Part, ...] = (
        ("周报：", Link(week.name, uri)) if uri else (f"这一周是 {week.name}，还没有周报。",)
    )
    return Panel("week", f"这一周（写了 {len(days)} 天）", Rows(day_rows(days, web)), note)


def _open(web: Web) -> Panel:
    every = still_open(web.todos)
    found = [todo for todo in every if not todo.parked(web.today)]
    rows = tuple(todo_row(todo, web) for todo in found[:SHOWN])
    parked = f"，另有 {len(every) - len(found)} 件搁着" if len(found) < len(every) else ""
    note = (f"共 {len(found)} 件{parked}，", Link("待办板", "todos/index.md"))
    return Panel("open", "开着的事", Rows(rows, "todos"), note)


def _year(web: Web) -> Heat:
    first = web.today - timedelta(days=364)
    words = {day.date: day.words for day in web.days if day.date >= first}
    return Heat(words, web.uris, first, web.today)


def _map(web: Web) -> Iterable[Row]:
    for name, notes in by_group(web.vault, web.notes):
        parts: list[Part] = [f"{name}　"]
        for note in notes[: 3 * SHOWN]:
            parts += [note_link(note, web), "　"]
        more = len(notes) - 3 * SHOWN
        parts += [Link(f"等 {len(notes)} 篇", "notes/index.md")] if more > 0 else []
        yield Row(tuple(parts))


def _trail(web: Web, day: date, earlier: date | None, later: date | None) -> Trail:
    week = week_of(day).name
    uri = web.week_uris.get(week)
    return Trail(
        _arrow("← ", earlier, "", web),
        Link(week, uri) if uri else week,
        _arrow("", later, " →", web),
    )


def _beside(dates: Sequence[date], day: date) -> tuple[date | None, date | None]:
    before, after = bisect_left(dates, day), bisect_right(dates, day)
    return (
        dates[before - 1] if before else None,
        dates[after] if after < len(dates) else None,
    )


def _arrow(head: str, day: date | None, tail: str, web: Web) -> Link | None:
    if day is None:
        return None
    return Link(f"{head}{day.month} 月 {day.day} 日{tail}", web.uris[day])


def _fates(web: Web, born: Iterable[Todo]) -> Iterable[Row]:
    for todo in born:
        state = _STATES[todo.state]
        if todo.state == "open":
            times = f"，顺延 {todo.carried} 次" if todo.carried else ""
            tail: tuple[str | Link, ...] = (f"　{state}{times}",)
        elif todo.last == todo.born:
            tail = (f"　当天{state}",)
        else:
            tail = ("　→ ", _date(web, todo.last), f" {state}")
        yield Row((plain(brief(todo.text)), Dim(tail)), todo)


def _date(web: Web, day: date) -> Link | str:
    short = f"{day:%m-%d}" if day.year == web.today.year else str(day)
    return Link(short, web.uris[day]) if day in web.uris else short


def _links(notes: Iterable[Note], web: Web) -> tuple[Link | str, ...]:
    return tuple(note_link(note, web) for note in notes)


def _has_steps(web: Web, note: Note) -> bool:
    return len(steps(web, note).groups) > 1


def _life(web: Web, note: Note) -> Panel:
    found = web.mentioned.get(str(note.path), [])
    clues = (web.today.year, found)
    return web.memory.kept(("life", str(note.path)), clues, partial(_lived, web, note, found))


def _lived(web: Web, note: Note, found: Sequence[tuple[DayFact, Mention]]) -> Panel:
    if not found:
        return Panel("life", "写到它的日子", Rows(()), ("还没有哪一天链接到它。",))
    rest = len(found) - FIRST - LATEST
    if rest <= 0:
        return Panel("life", "写到它的日子", Rows(mention_rows(found, web)))
    head = Rows(mention_rows(found[:FIRST], web))
    tail = Rows(mention_rows(found[-LATEST:], web))
    if len(found) <= FOLDED:
        middle = Rows(mention_rows(found[FIRST:-LATEST], web))
        return Panel("life", "写到它的日子", Folded(head, middle, tail, f"中间还有 {rest} 天"))
    more = (f"中间还有 {rest} 天：", Link(f"全部 {len(found)} 天", life_uri(note)))
    return Panel("life", "写到它的日子", Rows(head.rows + tail.rows), more)


def _state(web: Web, note: Note) -> list[Panel]:
    name = note.snippet or ""
    if not re.fullmatch(r"\w{1,64}", name):
        return []
    path = web.vault.snippets / f"{name}.py"
    if not path.is_file():
        return []
    rows = _standing(path.name, web.vault.source, records.load(web.vault, path))
    return [Panel("state", "片段", Rows(rows))]


def _standing(name: str, package: str, loaded: records.Loaded) -> tuple[Row, ...]:
    """记录新不新、哪天录的；有源码包的，还有用到它哪些文件。"""
    if loaded.error:
        return (Row((loaded.error,)),)
    state = records.STATES[loaded.state].panel
    when = f"，录于 {loaded.record.recorded}" if loaded.record and loaded.record.recorded else ""
    row = Row((f"snippets/{name}", Dim((f"　{state}{when}",))))
    if not package:
        return (row,)
    used = "、".join(loaded.sources) or f"不用 {package}"
    return row, Row(("依据", Dim((f"　{used}",))))
