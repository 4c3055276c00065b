"""写一天、添一行、了结一条待办：把纯函数与 store 接起来。"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import store
from rizhi.dates import weekday
from rizhi.errors import RizhiError
from rizhi.journal import carry, edit, lint, pictures, todo
from rizhi.journal.carry import Goal
from rizhi.journal.day import DONE, PLAN, Day, read_days
from rizhi.journal.todo import Todo
from rizhi.links import moved, relative, text_only
from rizhi.template import render
from rizhi.vault import Vault, contained, day_names, day_path, decode

_WITH_MARKER = re.compile(
    r"(?:(?:[-*+]|\d+[.)])\s+)?(?:\[(?P<mark>[ xX/>?!-])\]\s+)?(?P<text>.*)", re.S
)


@dataclass(frozen=True)
class Created:
    """写一天的结果：目标几条，还开着而没有带上的几件；`change` 是第几号改动。"""

    path: Path
    created: bool
    goals: int = 0
    rest: int = 0
    warnings: tuple[str, ...] = ()
    change: int = 0


@dataclass(frozen=True)
class Settled:
    """了结一条待办的结果，`text` 给人看，`change` 是第几号改动。

    对上的不是恰好一条时，什么也没有写。
    """

    candidates: list[Todo]
    path: Path
    text: str = ""
    change: int = 0


@dataclass(frozen=True)
class History:
    """读过一遍的每一天：有日期、读得出的页，每件事的一生，跳过了哪几页。"""

    days: list[Day]
    lives: list[Todo]
    unread: tuple[str, ...]

    @property
    def pages(self) -> dict[date, Day]:
        """每一天的那一页；一天有两页时，是该在的位置上的那一页。"""
        return {day.date: day for day in self.days if day.date}


def history(vault: Vault, before: date = date.max) -> History:
    """`before` 之前的每一天，打开一遍，解析一遍。"""
    dated = [(day.date, day) for day in read_days(vault) if day.date and day.date < before]
    # 一天有两页的，该在的位置上的那一页排在后面：它说了算
    dated.sort(key=lambda pair: (pair[0], pair[1].path == day_path(vault, pair[0])))
    good = [(at, day) for at, day in dated if not day.unread]
    unread = tuple(
        f"{vault.relative(day.path)} {fault.message}（跳过这一页）"
        for _, day in dated
        for fault in day.unread
    )
    said: dict[date, list[todo.Mention]] = {}
    for at, day in good:
        said.setdefault(at, []).extend(todo.mentions(day))
    return History([day for _, day in good], todo.lives(said.items()), unread)


def create(vault: Vault, day: date, title: str = "", now: date | None = None) -> Created:
    """新建一天；已有就不动。`now` 是没有指定日期时的今天，用来发现时钟被拨回。

    异常：模板有错、写不成，抛错误；什么也没有改动。
    """
    path = contained(vault, day_path(vault, day))
    if path.exists():
        return Created(path, False)
    text, created = _draft(vault, day, title)
    try:
        changed = store.change(vault.root, "new", [store.creation(path, text.encode())])
    except FileExistsError:  # 另一个 rizhi 抢先建好了
        return Created(path, False)
    ahead = [d for d, _ in day_names(vault)[-1:] if now and d > now]
    clock = [f"时钟被拨回了？最近写的一天是 {d}，晚于今天 {now}。" for d in ahead]
    return replace(created, warnings=(*clock, *created.warnings), change=changed.number)


def add(vault: Vault, today: date, section: str, text: str, image: Path | None = None) -> str:
    """在今天这一页的一节末尾添一行，返回节名；今天还没写就先建。

    异常：没有这一节、文字不是一行、图片不对，抛 RizhiError；什么也没有改动。
    """
    mark, text = _unmarked(_one_line(text))
    line = todo.dated(text, today)
    if not line:
        raise RizhiError("要添的文字是空的。")
    steps: list[store.Edit | store.Move] = []
    if image:
        picture, data = pictures.beside(vault, today, image)
        line = f"{line} ![{line}](img/{picture.name})"
        steps.append(store.presence(contained(vault, picture), data))
    names: list[str] = []

    def appended(page: Day) -> str:
        names.append(edit.section_named(page, section))
        return edit.append(page, names[-1], line, mark)

    steps.append(_today(vault, today, appended))
    store.change(vault.root, f"add {section} {text}", steps)
    return names[-1]


def settle(
    vault: Vault, today: date, wanted: str, mark: str, warn: Callable[[str], None]
) -> Settled:
    """了结一条待办：在今天这一页就地打记号，不在就记到今日完成；写在以后的，打在那一页。"""
    path = day_path(vault, today)
    known, candidates = _matching(vault, today, wanted, warn)
    if len(candidates) != 1:
        return Settled(candidates, path)
    (chosen,) = candidates
    first = max(chosen.born, today)
    pages = known.pages
    path = path if first == today else pages[first].path
    line = moved(f"{todo.brief(chosen.text)}（自 {chosen.born}）", pages[chosen.last].path, path)

    def record(page: Day) -> str:
        settled = edit.settle(page, chosen.key, mark)
        return settled or edit.append(page, DONE, line, mark)

    def carried(page: Day) -> str:
        # 写明自哪天顺延来的、在今日目标里的才是同一件；天天都有的「刷题」不是
        return edit.settle(page, chosen.key, mark, f"自 {chosen.born}") or page.text

    steps = [_today(vault, today, record) if first == today else _amendment(vault, path, record)]
    steps += [_amendment(vault, pages[day].path, carried) for day in sorted(pages) if day > first]
    text = text_only(todo.brief(chosen.text))
    name = text if wanted == chosen.number else wanted  # 页面送来的编号，没有人认得
    changed = store.change(vault.root, f"{'done' if mark == 'x' else 'drop'} {name}", steps)
    return Settled(candidates, path, text, changed.number)


def park(
    vault: Vault, today: date, wanted: str, until: date, warn: Callable[[str], None]
) -> Settled:
    """把一条待办搁到 `until`：写进今天的明日计划，那天之前不再带上。

    异常：`until` 不在今天之后，抛 RizhiError；什么也没有改动。
    """
    if until <= today:
        raise RizhiError(f"{until} 不在今天（{today}）之后，不用搁。")
    path = day_path(vault, today)
    known, candidates = _matching(vault, today, wanted, warn)
    if len(candidates) != 1:
        return Settled(candidates, path)
    (chosen,) = candidates
    page = known.pages[chosen.last]
    text = f"{todo.brief(chosen.text)} 📅 {until}"
    items = [item for item in page.items if item.todo and todo.key(item) == chosen.key]
    below = carry.below(page, items[-1], carry.closed(known.lives), path)
    lines = moved(text, page.path, path, page.document.definitions) + below

    def parked(old: Day) -> str:
        return edit.park(old, chosen.key, until) or edit.append(old, PLAN, lines, todo.PARKED)

    store.change(vault.root, f"park {wanted} {until}", [_today(vault, today, parked)])
    return Settled(candidates, path, text_only(todo.brief(chosen.text)))


def new_day(
    vault: Vault, day: date, title: str, goals: Sequence[Goal], rest: int, previous: Day | None
) -> str:
    """新一天的页面：填上目标，连回上一篇；`rest` 是没有带上的待办有几件。"""
    values: dict[str, Any] = {"date": day.isoformat(), "weekday": weekday(day), "title": title}
    values |= {"goals": list(goals), "rest": rest, "previous": None}
    if previous:
        link = relative(day_path(vault, day), previous.path)
        values["previous"] = {"date": previous.path.stem, "link": link}
    return render(vault, "day.md", **values)


def _matching(
    vault: Vault, today: date, wanted: str, warn: Callable[[str], None]
) -> tuple[History, list[Todo]]:
    """读过一遍的每一天，与对得上的待办。"""
    known = history(vault)
    candidates = todo.matching(known.lives, wanted)
    if not candidates and store.touched(day_path(vault, today)):
        time.sleep(0.1)  # 编辑器存盘时，会把今天这一页改名拿走片刻
        known = history(vault)
        candidates = todo.matching(known.lives, wanted)
    for line in known.unread:
        warn(line)
    return known, candidates


def _draft(vault: Vault, day: date, title: str = "") -> tuple[str, Created]:
    """新的一天写成什么样，与写好之后的结果；不写盘。"""
    known = history(vault, before=day)
    previous = lint.last_written(vault, known.days)
    path = day_path(vault, day)
    goals, rest = carry.goals(known.days, previous, known.lives, day, path)
    text = new_day(vault, day, _one_line(title), goals, rest, previous)
    return text, Created(path, True, len(goals), rest, known.unread)


def _today(vault: Vault, today: date, change: Callable[[Day], str]) -> store.Edit:
    """改今天这一页的那一步；还没有这一页，就在新的一页上改。"""
    path = contained(vault, day_path(vault, today))

    def changed(old: bytes | None) -> bytes:
        text = _draft(vault, today)[0] if old is None else decode(old, path)
        return change(Day(path, text)).encode()

    return store.Edit(path, changed)


def _amendment(vault: Vault, path: Path, change: Callable[[Day], str]) -> store.Edit:
    def changed(old: bytes) -> bytes:
        return change(Day(path, decode(old, path))).encode()

    return store.amendment(contained(vault, path), changed)


def _unmarked(text: str) -> tuple[str, str]:
    """手快带上的「- 」「1. 」「[ ] 」不是文字：记号由那一节来定，勾选框里的字照他写的。"""
    written = _WITH_MARKER.fullmatch(text)
    return (written["mark"] or "", written["text"]) if written else ("", text)


def _one_line(text: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]", text):
        raise RizhiError("文字里有换行或控制字符，只能是一行。")
    return text.strip()
