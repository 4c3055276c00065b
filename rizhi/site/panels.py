"""首页、每一天、每篇笔记上的面板：由整张网算出来；纯函数。"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import NamedTuple

from rizhi.dates import Week, week_of, weekday
from rizhi.journal.carry import coming
from rizhi.journal.lookback import DISTANCES, that_day
from rizhi.journal.todo import Todo, brief, still_open
from rizhi.links import Mention
from rizhi.page import Note
from rizhi.site.blocks import (
    Dim,
    Folded,
    Group,
    Groups,
    Heat,
    Link,
    Month,
    Panel,
    Part,
    Row,
    Rows,
    Steps,
    Today,
    Trail,
)
from rizhi.site.graph import DayFact, Web, grouped
from rizhi.site.inline import inline
from rizhi.snippets import record as records
from rizhi.vault import Vault, date_of, groups

FIRST, LATEST = 3, 5  # 笔记的来历先列最早与最近的几天
FOLDED = 100  # 其余的折起来；再多，就另成一页
SHOWN = 10
RECENT, OPEN, GIST = 3, 6, 60  # 首页：最近几天、开着的几件、一天的那句话最多几个字
LONG_AGO = 14  # 隔了这么多天没有写，就说一声
FIRST_DAY = "写下第一天，这里就有今天的目标、最近三天与那天。"
BOARD, ARCHIVE = Link("待办板", "todos/index.md"), Link("全部日总结", "daily/index.md")
# 按年分页的各页
DAILY, WEEKLY, TIMELINE = "daily/{}/index.md", "weekly/{}/index.md", "timeline/{}.md"
LISTINGS = ("life", "leads", "hints")
_STATES = {"open": "还开着", "done": "完成", "dropped": "放弃"}


def of_page(web: Web, uri: str) -> list[Panel]:
    """一页的面板；没有面板的页返回空。"""
    return plan(web, uri)()


def plan(web: Web, uri: str) -> partial[list[Panel]]:
    """一页的面板怎么算：一个函数与它的全部参数。

    函数只看参数：参数与上一次的相等，面板就与上一次的相同，`mkdocs serve` 由此不必再算。
    """
    if uri == "index.md":
        return partial(home, web)
    day = day_of(uri)
    if day:
        return of_day(web, day)
    if uri.startswith("weekly/"):
        return partial(_of_week, uri, sorted(web.week_uris.items()))
    note = web.by_uri.get(uri)
    return of_note(web, note) if note else partial(list)


def home(web: Web) -> list[Panel]:
    """首页：今天、那天、最近三天、开着的事、常看的笔记、一年的热力图、全部笔记；空的不列。"""
    agenda = _agenda(web)
    told = {todo.key for todo in agenda if isinstance(todo, Todo)}
    others = [todo for todo in _ready(web) if todo.key not in told]
    recent = [day for day in web.days if day.date < web.today][-RECENT:][::-1]
    return [
        _today(web, agenda, bool(others)),
        *_that(web, recent),
        *_latest(web, recent),
        *_open(web, others, bool(told)),
        *_pinned(web),
        *_year(web),
        _map(web),
    ]


@lru_cache(maxsize=1 << 13)  # 每次重建都要问十年的每一页
def day_of(uri: str) -> date | None:
    """一天的页面是哪一天的；别的页是 None。"""
    return date_of(uri.rpartition("/")[2].removesuffix(".md")) if uri.startswith("daily/") else None


def of_day(web: Web, day: date) -> partial[list[Panel]]:
    """一天的页面：前后、写下的事的去向、那天、这个月。"""
    return of_days(around_month(web, day), [day])[0]


class Around(NamedTuple):
    """整张网里，一个月的各天看得见的一切：与上一次的相等，这个月的面板就都与上一次的相同。"""

    today: date
    days: tuple[DayFact, ...]  # 「那天」够得着的，与前后各一天；写过的才算
    weeks: Mapping[Week, Link]
    born: Sequence[tuple[Todo, str | None]]  # 这个月写下的事，与最近写到它那天的页面
    month: Mapping[date, str]
    archive: str


def around_month(web: Web, day: date) -> Around:
    """`day` 所在的那个月看得见的。"""
    first = day.replace(day=1)
    end = (first + timedelta(days=31)).replace(day=1)
    before = web.dates[max(bisect_left(web.dates, first) - 1, 0) :][:1]
    after = web.dates[bisect_left(web.dates, end) :][:1]
    start = bisect_left(web.dates, min([first - max(DISTANCES.values()), *before]))
    stop = bisect_right(web.dates, max([end, *after]))
    mondays = range(first.toordinal() - first.weekday(), end.toordinal(), 7)
    shown = [max(date.fromordinal(monday), first) for monday in mondays]
    return Around(
        web.today,
        web.days[start:stop],
        {week_of(each): week_link(web, each) for each in shown},
        [(todo, web.uris.get(todo.last)) for todo in web.born.get(first, ())],
        web.months.get(first, {}),
        month_uri(web, first),
    )


def of_days(around: Around, days: Iterable[date]) -> list[partial[list[Panel]]]:
    """一个月里几天的页面，各怎么算。"""
    by_day = {fact.date: fact for fact in around.days}
    dates, born = list(by_day), grouped((todo.born, (todo, uri)) for todo, uri in around.born)
    return [
        partial(
            _of_day,
            day,
            around.today,
            [(other, by_day[other].uri) for other in _beside(dates, day)],
            around.weeks[week_of(day)],
            born.get(day, []),
            that_day(day, by_day),
            around.month,
            around.archive,
        )
        for day in days
    ]


def _beside(dates: Sequence[date], day: date) -> tuple[date, ...]:
    before, after = bisect_left(dates, day), bisect_right(dates, day)
    return (*dates[max(before - 1, 0) : before], *dates[after : after + 1])


def _of_day(
    day: date,
    today: date,
    beside: Sequence[tuple[date, str]],
    week: Link,
    ended: Sequence[tuple[Todo, str | None]],
    past: Sequence[tuple[int, date, DayFact]],
    month: Mapping[date, str],
    archive: str,
) -> list[Panel]:
    """`beside` 是前后写过的两天与它们的页面，`ended` 是每件事与最近写到它那天的页面。"""
    panels = [Panel("trail", "", _trail(day, beside, week))]
    fates = tuple(_fate(todo, uri, today.year) for todo, uri in ended if _changed(todo))
    if fates:
        same = sum(todo.state == "open" and not _changed(todo) for todo, _ in ended)
        note = (f"另有 {same} 件还开着，见", Link("待办板", "todos/index.md"), "。") if same else ()
        panels.append(Panel("born", "写下的事，后来", Rows(fates, "todos"), note))
    if past:
        rows = (
            Row((f"{ago} 天前　", *row.parts))
            for (ago, _, _), row in zip(
                past, day_rows((p[2] for p in past), today.year), strict=True
            )
        )
        panels.append(Panel("that", "那天", Rows(tuple(rows))))
    return [
        *panels,
        Panel("month", "这个月", Month(day.replace(day=1), month, day, today, archive)),
    ]


def _of_week(uri: str, weeks: Sequence[tuple[str, str]]) -> list[Panel]:
    """一篇周报：前一周、全部周报、后一周。"""
    links = [Link(name, uri) for name, uri in weeks]
    here = next((n for n, link in enumerate(links) if link.uri == uri), None)
    if here is None:
        return []
    before, after = links[max(here - 1, 0) : here], links[here + 1 : here + 2]
    earlier = next((Link(f"← {link.text}", link.uri) for link in before), None)
    later = next((Link(f"{link.text} →", link.uri) for link in after), None)
    return [Panel("trail", "", Trail(earlier, Link("全部周报", "weekly/index.md"), later))]


def of_note(web: Web, note: Note) -> partial[list[Panel]]:
    """一篇笔记：先修与后续、写到它的日子、链接到它的笔记、没有链接的提到、片段的状态。"""
    path = str(note.path)
    return partial(
        _of_note,
        steps(web, note),
        web.mentioned.get(path, []),
        {kind: f"{listing(note, kind)}.md" for kind in LISTINGS},
        note_rows(web.leads.get(path, ()), web),
        web.hinted.get(path, []),
        _state(web, note),
        web.today.year,
    )


def _of_note(
    path: Steps,
    mentioned: Sequence[tuple[DayFact, Mention]],
    whole: Mapping[str, str],
    leads: Sequence[Row],
    hinted: Sequence[DayFact],
    state: Sequence[Panel],
    this_year: int,
) -> list[Panel]:
    panels = [Panel("before", "先修与后续", path)] if len(path.groups) > 1 else []
    panels.append(_life(mentioned, whole["life"], this_year))
    if leads:
        note = more(len(leads) - SHOWN, "篇", whole["leads"])
        panels.append(Panel("leads", "链接到这里的笔记", Rows(tuple(leads[:SHOWN])), note))
    if hinted:
        note = more(len(hinted) - LATEST, "天", whole["hints"])
        rows = day_rows(hinted[-LATEST:][::-1], this_year)
        panels.append(Panel("hints", "提到过，没有链接", Rows(rows), note))
    return [*panels, *state]


def steps(web: Web, note: Note) -> Steps:
    """先修 → 本篇 → 以它为先修的。"""
    before = [web.by_slug[slug] for slug in note.prereq if slug in web.by_slug]
    after = web.followers.get(note.slug, [])[:SHOWN]
    own: tuple[Link | str, ...] = (note.title,)
    groups = (_links(before, web), own, _links(after, web))
    return Steps(tuple(group for group in groups if group))


def day_link(day: DayFact, this_year: int) -> Link:
    """一天的链接，写成「11 月 23 日 星期一」；不是今年的写上年份。"""
    year = f"{day.date.year} 年 " if day.date.year != this_year else ""
    return Link(f"{year}{_spelled(day.date)}", day.uri)


def day_rows(days: Iterable[DayFact], this_year: int) -> tuple[Row, ...]:
    """每天一行：日期与标题。"""
    return tuple(
        Row((day_link(day, this_year), *((Dim(("　", *day.headline)),) if day.headline else ())))
        for day in days
    )


def week_link(web: Web, day: date) -> Link:
    """一天所在的那一周：有周报的是周报，没有的是周报总览里的那一行。"""
    week = week_of(day)
    # 建了页还没有写的，总览里没有那一周
    latest = max(web.weekly) if week in web.weekly.get(week.year, ()) else None
    return _week_link(week, web.week_uris.get(week.name), latest)


@lru_cache(maxsize=1 << 12)  # 一周里的每一天都要
def _week_link(week: Week, report: str | None, latest: int | None) -> Link:
    """`latest` 是周报总览最近的一年；总览里没有这一周是 None。"""
    row = "weekly/index.md"
    if latest is not None:
        row = f"{yearly_uri(WEEKLY, week.year, latest)}#{week.name}"
    return Link(week.name, report or row)


def month_uri(web: Web, day: date) -> str:
    """归档里一天所在的那个月；那个月一天也没写，是空的。"""
    if day.replace(day=1) not in web.months:
        return ""
    page = yearly_uri(DAILY, day.year, web.dates[-1].year)
    return f"{page}#{day.year}-年-{day.month}-月"


def yearly_uri(pattern: str, year: int, latest: int) -> str:
    """按年分页的一年；最近一年的是那个文件夹的总览。"""
    return pattern.partition("{}")[0] + "index.md" if year >= latest else pattern.format(year)


def note_link(note: Note, web: Web) -> Link:
    """一篇笔记的链接。"""
    return Link(note.title, web.uri(note.path))


def joined(links: Iterable[Link]) -> list[Part]:
    """几个链接写在一行里。"""
    return [part for link in links for part in (link, "　")]


def note_rows(notes: Iterable[Note], web: Web) -> tuple[Row, ...]:
    """每篇笔记一行。"""
    return tuple(
        Row((note_link(n, web), *((Dim(("（草稿）",)),) if n.draft else ()))) for n in notes
    )


def mention_rows(mentions: Iterable[tuple[DayFact, Mention]], this_year: int) -> tuple[Row, ...]:
    """每天一行：日期，与链接所在的那句话。"""
    return tuple(
        Row((day_link(day, this_year), Dim((f"　{mention.sentence}",))))
        for day, mention in mentions
    )


def todo_row(todo: Todo, today: date, uris: Mapping[date, str]) -> Row:
    """一件事一行：写了什么、自哪天起；还开着的写几天了、顺延几次、期限，了结的写哪天了结。

    `uris` 是写过的每一天的页面。
    """
    tail: list[Part] = ["　自 ", _date(todo.born, uris.get(todo.born), today.year)]
    if todo.state == "open":
        tail += [f"，{todo.age(today)} 天"]
        tail += [f"，顺延 {todo.carried} 次"] if todo.carried else []
        until = "搁到" if todo.parked(today) else "期限"
        tail += [f"，{until} {todo.due}"] if todo.due else []
    elif todo.last == todo.born:
        tail += [f"，当天{_STATES[todo.state]}"]
    else:
        last = _date(todo.last, uris.get(todo.last), today.year)
        tail += ["，", last, f" {_STATES[todo.state]}"]
    return Row((*_said(todo, uris.get(todo.last)), Dim(tuple(tail))), todo)


def more(left: int, unit: str, whole: str) -> tuple[Part, ...]:
    """列不下的有几个，链接到列出全部的那一页。"""
    return (Link(f"另有 {left} {unit}", whole),) if left > 0 else ()


def listing(note: Note, kind: str) -> str:
    """一篇笔记的面板列不下的，另成的页（不带 .md）；`kind` 是 `LISTINGS` 里的一种。"""
    # 不用连字符：rope-2 也可能是一篇笔记
    return f"mentions/{note.group}/{note.slug}" + ("" if kind == "life" else f"/{kind}")


def by_group(vault: Vault, notes: Iterable[Note]) -> list[tuple[str, list[Note]]]:
    """按组排好的笔记，与各组显示的名字；不在任何一组里的，在最后。"""
    members = grouped((note.group, note) for note in notes)
    names = groups(vault)
    names |= {group: group for group in members if group not in names}
    return [(name, members[group]) for group, name in names.items() if group in members]


def _spelled(day: date) -> str:
    return f"{day.month} 月 {day.day} 日 {weekday(day)}"


def _agenda(web: Web) -> list[Todo | str]:
    """今天的事：那一页上的，开着的在前；还没有那一页，就是会带上的。"""
    if web.begun:
        place = {key: n for n, key in enumerate(web.begun.aims)}
        found = [t for t in web.todos if t.key in place and web.today in t.days]
        return [*sorted(found, key=lambda t: (t.state != "open", place[t.key]))]
    last = next((day for day in reversed(web.days) if day.date < web.today), None)
    since, plan = (last.date, last.plan) if last else (date.min, ())
    return coming(since, plan, web.todos, web.today)


def _today(web: Web, agenda: Sequence[Todo | str], others: bool) -> Panel:
    """`others` 说有没有别的事开着：有，就有一块自己会列。"""
    day, rows = web.begun, tuple(_agenda_row(web, what) for what in agenda[:SHOWN])
    head: tuple[Part, ...] = ()
    if day:
        wrote = f"写了 {day.words} 字" if day.words else "建了页，还没有写"
        head = (Link(day.title or "今天这一页", day.uri), Dim((f"　{wrote}",)))
    label = "带过来的" if rows and not day else ""
    title = f"今天　{_spelled(web.today)}"
    note = _left(web, agenda, others) if web.pages else (FIRST_DAY,)
    return Panel("today", title, Today(head, label, Rows(rows, "todos")), note)


def _agenda_row(web: Web, what: Todo | str) -> Row:
    if isinstance(what, str):
        wrote = max((day for day in web.uris if day <= web.today), default=web.today)
        return Row(inline(what, web.uris.get(wrote, "index.md")))
    return todo_row(what.as_of(web.today), web.today, web.uris)


def _left(web: Web, agenda: Sequence[Todo | str], others: bool) -> tuple[Part, ...]:
    """今天的事后面的一句：了结了几件，列不下的几件。"""
    settled = sum(isinstance(what, Todo) and what.state != "open" for what in agenda)
    said = f"{len(agenda)} 件里了结了 {settled} 件。" if settled else ""
    if len(agenda) > SHOWN:
        return f"{said}另有 {len(agenda) - SHOWN} 件：", BOARD
    if len(agenda) > settled and not others:
        return f"{said}开着的都在这里了{_parked(web)}：", BOARD
    return (said,) if said else ()


def _that(web: Web, recent: Sequence[DayFact]) -> Iterator[Panel]:
    """最近三天已经列了的，不再说一遍。"""
    rows = tuple(
        Row((f"{ago} 天前　", *_day_row(fact, web.today.year).parts))
        for ago, _, fact in that_day(web.today, web.by_day)
        if fact not in recent
    )
    if rows:
        yield Panel("that", "那天", Rows(rows))


def _latest(web: Web, recent: Sequence[DayFact]) -> Iterator[Panel]:
    """最近三天；隔了很久的、写在今天以后的，各说一声。"""
    ahead = [day for day in web.days if day.date > web.today]
    if not recent and not ahead:
        return
    ago = (web.today - recent[0].date).days if recent else 0
    note: list[Part] = [f"上一篇是 {ago} 天前写的。"] if ago > LONG_AGO else []
    if ahead:
        note += [f"写在今天以后的有 {len(ahead)} 天：", day_link(ahead[0], web.today.year), "。"]
    week = week_of(web.today).name
    if week in web.week_uris:
        note += [Link(f"{week} 的周报", web.week_uris[week]), "　"]
    rows = tuple(_day_row(day, web.today.year) for day in recent)
    yield Panel("latest", "最近三天", Rows(rows), (*note, ARCHIVE))


def _day_row(day: DayFact, this_year: int) -> Row:
    return Row((day_link(day, this_year), Dim((f"　{_gist(day)}",))))


def _gist(day: DayFact) -> str:
    """一天的一句话：标题与头一样成果，太长就在句子的末尾截断；都没有，就说写了多少字。"""
    first = day.achieved[0] if day.achieved else ""
    title = "" if first.startswith(day.title) else day.title
    said = "：".join(filter(None, (title, first))) or f"写了 {day.words} 字"
    if len(said) <= GIST:
        return said
    head = said[:GIST]
    stop = max(map(head.rfind, "。；！？")) + 1
    return head[:stop] if stop > GIST // 3 else f"{head.rstrip('，、：')}…"


def _ready(web: Web) -> list[Todo]:
    """开着而没有搁着的：有期限的在前，其余最新的在前。"""
    opened = still_open(todo.as_of(web.today) for todo in web.todos)
    ready = [todo for todo in opened if not todo.parked(web.today)]
    return sorted(ready, key=lambda t: (t.due or date.max, -t.born.toordinal()))


def _open(web: Web, others: Sequence[Todo], besides: bool) -> Iterator[Panel]:
    """还开着的，最旧的在待办板上；`besides` 说今天那一块里另有几件。"""
    if not others:
        return
    oldest = max(todo.age(web.today) for todo in others)
    note = f"{'今天的以外，' * besides}共 {len(others)} 件" + _parked(web)
    note += f"，最久的 {oldest} 天了：" if len(others) > OPEN else "："
    rows = tuple(todo_row(todo, web.today, web.uris) for todo in others[:OPEN])
    yield Panel("open", "开着的事", Rows(rows, "todos"), (note, BOARD))


def _parked(web: Web) -> str:
    parked = sum(todo.parked(web.today) for todo in web.todos if todo.state == "open")
    return f"，另有 {parked} 件搁着" if parked else ""


def _pinned(web: Web) -> Iterator[Panel]:
    """标了 `pin: true` 的笔记；一篇也没有，就没有这一块。"""
    rows = note_rows((note for note in web.notes if note.pin), web)
    if rows:
        yield Panel("pinned", "后续常看", Rows(rows))


def _year(web: Web) -> Iterator[Panel]:
    first = web.today - timedelta(days=364)
    words = {day.date: day.words for day in web.days if first <= day.date <= web.today}
    if words:
        heat = Heat(words, web.uris, first, web.today)
        yield Panel(
            "heat", "这一年", heat, (f"写了 {len(words)} 天，", Link("按年看", ARCHIVE.uri))
        )


def _map(web: Web) -> Panel:
    groups = []
    for name, notes in by_group(web.vault, web.notes):
        more = (Link(f"全部 {len(notes)} 篇", "notes/index.md"),) if len(notes) > SHOWN else ()
        groups.append(Group(name, Rows(note_rows(notes[:SHOWN], web)), more))
    note = () if groups else ("还没有笔记。", "用 rizhi note 写第一篇。")
    return Panel("map", "笔记", Groups(tuple(groups)), note)


def _trail(day: date, beside: Sequence[tuple[date, str]], week: Link) -> Trail:
    links = dict[bool, Link]()
    for other, uri in beside:
        short = f"{other.month} 月 {other.day} 日"
        links[other > day] = Link(f"{short} →" if other > day else f"← {short}", uri)
    return Trail(links.get(False), week, links.get(True))


def _changed(todo: Todo) -> bool:
    """写下那天之后了结了，或改期了；一天天照抄下来的不算。"""
    moved = todo.due is not None and todo.due != todo.first_due
    return todo.last > todo.born and (todo.state != "open" or moved)


def _fate(todo: Todo, told: str | None, this_year: int) -> Row:
    """一件事后来怎样；`told` 是最近写到它那天的页面。"""
    state = f"改期到 {todo.due}" if todo.state == "open" else _STATES[todo.state]
    tail = ("　→ ", _date(todo.last, told, this_year), f" {state}")
    return Row((*_said(todo, told), Dim(tail)), todo)


def _said(todo: Todo, uri: str | None) -> tuple[Part, ...]:
    """一件事写了什么；链接照最近写它的那一页 `uri` 来读，那一页没有别的话就没有 `uri`。"""
    return inline(brief(todo.text), uri or f"daily/{todo.last:%Y}/{todo.last}.md")


def _date(day: date, uri: str | None, this_year: int) -> Link | str:
    short = f"{day:%m-%d}" if day.year == this_year else str(day)
    return Link(short, uri) if uri else short


def _links(notes: Iterable[Note], web: Web) -> tuple[Link | str, ...]:
    return tuple(note_link(note, web) for note in notes)


def _life(days: Sequence[tuple[DayFact, Mention]], whole: str, this_year: int) -> Panel:
    """写到它的日子；`whole` 是列出全部的那一页。"""
    kind, title = "life", "写到它的日子"
    if not days:
        return Panel(kind, title, Rows(()), ("还没有哪一天链接到它。",))
    rest = len(days) - FIRST - LATEST
    if rest <= 0:
        return Panel(kind, title, Rows(mention_rows(days, this_year)))
    head = Rows(mention_rows(days[:FIRST], this_year))
    tail = Rows(mention_rows(days[-LATEST:], this_year))
    if len(days) <= FOLDED:
        middle = Rows(mention_rows(days[FIRST:-LATEST], this_year))
        return Panel(kind, title, Folded(head, middle, tail, f"中间还有 {rest} 天"))
    note = (f"中间还有 {rest} 天：", Link(f"全部 {len(days)} 天", whole))
    return Panel(kind, title, Rows(head.rows + tail.rows), note)


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
