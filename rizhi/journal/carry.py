"""新的一天带上哪些事：上一篇的计划、快到期的、最早的几件；子条目与说明跟着走。纯函数。"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import indent

from rizhi.journal.day import PLAN, TODO, Day
from rizhi.journal.todo import (
    SOON,
    Todo,
    aged,
    dated,
    key,
    marked,
    settled_since,
    shown,
    still_open,
    waits,
)
from rizhi.links import moved
from rizhi.markdown import Item, spliced
from rizhi.markdown.document import leading

OLDEST = 3
MOST = 500  # 再多就不是一天的目标了；其余的还在 rizhi todo 里
Closed = Mapping[tuple[str, str], str]
_MARKS = {"done": "x", "dropped": "-"}


@dataclass(frozen=True)
class Goal:
    """今日目标里的一条：`mark` 是勾选框里的字，`text` 连同缩进好的子条目与说明。"""

    text: str
    mark: str = " "

    def __str__(self) -> str:
        return self.text


class _Carrier:
    """一边挑一边记下带了哪些：一件事只带一次，跟着父条目走的也算带了。"""

    def __init__(self, lives: Sequence[Todo], today: date, target: Path) -> None:
        self.today, self.target = today, target
        self.opened = {t.key: t for t in lives if t.state == "open"}
        self.closed = closed(lives)
        self.goals: list[Goal] = []
        self.taken: set[str] = set()

    def take(self, day: Day, item: Item, planned: bool = False) -> None:
        """带上一条与它的子条目；`planned` 是照上一篇的计划做的，头一次不算顺延。"""
        name = key(item)
        if name in self.taken or len(self.goals) >= MOST:
            return
        pairs = ((child, (key(child), key(above))) for child, above in _below(day, item))
        open_ones = {p[0] for c, p in pairs if c.todo and waits(c) and p not in self.closed}
        self.taken |= {name} | open_ones
        self.goals.append(Goal(self._text(day, item, planned), item.mark or " "))

    def say(self, day: Day, text: str) -> None:
        """计划写成了一段话：整段是一条。"""
        self.goals.append(Goal(self._moved(day, text)))

    def _text(self, day: Day, item: Item, planned: bool) -> str:
        known = self.opened.get(key(item))
        text = dated(item.text, _written(day))
        first = planned and known and not known.carried and TODO not in known.text + text
        text = aged(text, known, self.today) if known and not first else shown(text)
        # 编号到了三位，缩进四格就不在它里面了
        margin = max(len(f"{len(self.goals) + 1}. "), 4)
        return self._moved(day, text) + below(day, item, self.closed, self.target, margin)

    def _moved(self, day: Day, text: str) -> str:
        return moved(text, day.path, self.target, day.document.definitions)


def goals(
    days: Sequence[Day], previous: Day | None, lives: Sequence[Todo], today: date, target: Path
) -> tuple[list[Goal], int]:
    """新一天的目标，与还开着而没有带上的有几件；同一件事只出现一次。

    `days` 是此前的每一天，`previous` 是上一篇写过的，`target` 是新的一页。
    """
    carrier = _Carrier(lives, today, target)
    parked = {name for name, todo in carrier.opened.items() if todo.parked(today)}
    if previous:
        over = settled_since(lives, _written(previous))
        for item in planned(previous):
            if key(item) not in over | parked:
                carrier.take(previous, item, planned=True)
        for text in _paragraphs(previous):
            carrier.say(previous, text)
    by_date = {day.date: day for day in days if day.date}
    waiting = [t for t in carrier.opened.values() if t.key not in parked]
    soon = [t for t in still_open(waiting) if t.due and t.due <= today + SOON]
    for todo in soon:
        _take(carrier, by_date, todo)
    alone = [t for t in waiting if t.key not in carrier.taken and not _travels(t, carrier.opened)]
    for todo in sorted(alone, key=lambda t: (t.born, t.lines[0]))[:OLDEST]:
        _take(carrier, by_date, todo)
    return carrier.goals, len(carrier.opened.keys() - carrier.taken)


def planned(day: Day) -> Iterator[Item]:
    """一天的明日计划里还开着的条目；子条目跟着父条目走，父条目了结了才自己算一条。"""
    for section in day.section(PLAN):
        travelling: set[int] = set()
        for item in section.items:
            if item.parent in travelling:
                travelling.add(item.number)
            elif key(item) and waits(item) and (item.todo or item.parent < 0):
                if item.number >= 0:
                    travelling.add(item.number)
                yield item


def plan(day: Day) -> tuple[tuple[str, str], ...]:
    """一天的明日计划要带上的：各条的 `key` 与文字；写成一段话的，整段是一条。"""
    items = ((key(item), item.plain) for item in planned(day))
    return (*items, *((text, text) for text in _paragraphs(day)))


def coming(
    previous: date, plan: Iterable[tuple[str, str]], lives: Sequence[Todo], today: date
) -> list[Todo | str]:
    """`goals` 会带上的各条，不必再解析一遍每一页；不是待办的只有文字。

    `previous` 是上一篇写过的那天，`plan` 是它的明日计划。
    """
    opened = {t.key: t for t in lives if t.state == "open" and t.born < today}
    waiting = [t for t in opened.values() if not t.parked(today)]
    over = settled_since(lives, previous) | {t.key for t in opened.values() if t.parked(today)}
    picked: dict[str, Todo | str] = {}
    taken: set[str] = set()

    def take(name: str, what: Todo | str) -> None:
        if name not in taken:
            picked[name] = what
            taken.update(_family(name, opened))

    for name, text in plan:
        if name not in over:
            take(name, opened.get(name, text))
    for todo in still_open(waiting):
        if todo.due and todo.due <= today + SOON:
            take(todo.key, todo)
    alone = [t for t in waiting if t.key not in taken and not _travels(t, opened)]
    for todo in sorted(alone, key=lambda t: (t.born, t.lines[0]))[:OLDEST]:
        take(todo.key, todo)
    return list(picked.values())


def closed(lives: Iterable[Todo]) -> Closed:
    """了结了而没有再开的子条目：它与父条目的 `key`，和现在的记号。"""
    last = {(t.key, t.under): t.state for t in lives if t.under}
    return {pair: _MARKS[state] for pair, state in last.items() if state in _MARKS}


def below(day: Day, item: Item, closed: Closed, target: Path, margin: int = 4) -> str:
    """条目第一段之后的原文，缩进 `margin` 格，成新的条目之下的样子；没有就是空的。

    其间了结了的子条目照现在的样子打上记号：照旧抄一遍，它就又开了。
    """
    if item.number < 0:
        return ""
    pairs = [(child, (key(child), key(above))) for child, above in _below(day, item)]
    ticks = [_ticked(day, c, closed[p]) for c, p in pairs if c.todo and p in closed]
    now = spliced(day.text, ticks)
    stops = (part.start for part in day.sections if part.start > item.start)
    last = min(item.last, *stops, len(day.text)) + len(now) - len(day.text)
    text = now[day.document.line_end(item.end - 1) : last].replace("\r\n", "\n")
    lines = _dedented(text, _head(day, item)).split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return ""
    # 空行留一行：第二段紧接着第一段，就成了第一段的字
    said = dated("\n".join(lines[first:]), _written(day))
    said = moved(said, day.path, target, day.document.definitions)
    return "\n" * (2 if first else 1) + indent(said, " " * margin)


def _head(day: Day, item: Item) -> str:
    """一行里条目的字之前的部分：引用记号、缩进、记号与空白。"""
    start = item.start + len(item.marker)
    blanks = day.text[start : item.body if item.box < 0 else item.box - 1]
    blanks = blanks if len(blanks.expandtabs(4)) <= 4 else " "  # 再多就是缩进的代码了
    return day.document.prefix(item) + item.marker + (blanks or " ")


def _dedented(text: str, head: str) -> str:
    """去掉与条目的字对齐的缩进，连同引用记号；`head` 见 `_head`。

    缩进不够的行是上一段的续行，仍接在它后面。
    """
    quotes = re.compile(rf"(?:[ \t]*>[ \t]?){{0,{head.count('>')}}}")
    first, *lines = [
        quotes.sub("", line, count=1).expandtabs(4) for line in (head, *text.split("\n"))
    ]
    widths = (leading(line, " ") for line in lines if line.strip())
    common = min((width for width in widths if width >= len(first)), default=0)
    if common > len(first) + 3:  # 从头就是缩进的代码
        common = len(first)
    return "\n".join(line[min(leading(line, " "), common) :] for line in lines)


def _take(carrier: _Carrier, by_date: Mapping[date, Day], todo: Todo) -> None:
    day = by_date.get(todo.last)
    items = [i for i in day.items if i.todo and key(i) == todo.key] if day else []
    still = [item for item in items if waits(item)]
    if day and still:
        carrier.take(day, still[-1])


def _travels(todo: Todo, opened: Mapping[str, Todo]) -> bool:
    """跟着开着的父条目走：两行在同一页里。父条目了结之后又写了同名的一件，那是另一件。"""
    above = opened.get(todo.under)
    return above is not None and above.last == todo.last


def _family(name: str, opened: Mapping[str, Todo]) -> set[str]:
    """一件事与跟着它走的各级子条目。"""
    mine = [t.key for t in opened.values() if t.under == name and _travels(t, opened)]
    return {name}.union(*(_family(child, opened) for child in mine))


def _below(day: Day, item: Item) -> Iterator[tuple[Item, Item]]:
    """各级子条目与写在说明里的【待办】，与各自的父条目。"""
    if item.number >= 0:
        for child in day.children.get(item.number, ()):
            yield child, item
            yield from _below(day, child)


def _ticked(day: Day, child: Item, mark: str) -> tuple[int, int, str]:
    """了结了的子条目打上记号；没有条目记号的【待办】没处打勾，去掉这三个字。"""
    if child.marker:
        return marked(child, mark)
    at = day.text.index(TODO, child.start)
    return at, at + len(TODO), ""


def _paragraphs(day: Day) -> Iterator[str]:
    for section in day.section(PLAN):
        if section.prose and not any(item.plain for item in section.items):
            yield " ".join(section.prose)


def _written(day: Day) -> date:
    return day.date or date.min
