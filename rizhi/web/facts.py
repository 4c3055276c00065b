"""读出整个知识库：写过的每一天、每件事的一生、谁提到谁；没改过的页不重读。"""

import os
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rizhi import index, report
from rizhi.account import own_text, words
from rizhi.entry import outside_code, unlinked
from rizhi.page import Note, Page, read_day, read_note, read_weeks
from rizhi.pages import boilerplate
from rizhi.stamp import Stamp, stamp
from rizhi.todo import Mention as Said
from rizhi.todo import Todo, lives, mentions
from rizhi.vault import Vault, day_names, note_files

T = TypeVar("T")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")


class DayFact(NamedTuple):
    """一天的页面里，别的页面用得着的一切。"""

    date: date
    path: str
    title: str
    heading: str
    words: int
    tags: tuple[str, ...]
    said: tuple[Said, ...]
    achieved: tuple[str, ...]
    mentions: tuple[index.Mention, ...]
    reach: tuple[str, ...]  # 也许链接到的文件：它们在不在，页面就不一样
    fences: str  # 写了围栏的一天才有：全文，看得出嵌了哪些片段
    prose: str  # 去掉代码与链接之后的全文：没有链接的提到，从这里找


@dataclass
class Memory:
    """上一次读到的：页面的时间、大小没变，就不重读。"""

    days: dict[str, tuple[Stamp, DayFact]] = field(default_factory=dict)
    notes: dict[Path, tuple[Stamp, Note, tuple[str, ...]]] = field(default_factory=dict)
    template: str = ""
    made: dict[Hashable, tuple[object, Any]] = field(default_factory=dict)

    def kept(self, key: Hashable, clues: object, make: Callable[[], T]) -> T:
        """由 `clues` 算出来的东西：依据与上一次相等就沿用，不再算。

        依据里多半是同样的对象，比起来不必看内容。
        """
        old = self.made.get(key)
        if old is None or old[0] != clues:
            old = (clues, make())
            self.made[key] = old
        made: T = old[1]
        return made


@dataclass(frozen=True)
class Web:
    """整张网；`days` 是真正写过的，从早到晚，`pages` 是建了页的每一天。"""

    vault: Vault
    today: date
    days: tuple[DayFact, ...]
    pages: tuple[DayFact, ...]
    notes: tuple[Note, ...]
    weeks: tuple[Page, ...]
    todos: tuple[Todo, ...]
    memory: Memory

    @cached_property
    def uris(self) -> dict[date, str]:
        """写过的每一天的页面，相对于 docs。"""
        return {day.date: self.uri(day.path) for day in self.days}

    @cached_property
    def paths(self) -> dict[date, str]:
        """建了页的每一天在哪个文件。"""
        return {page.date: page.path for page in self.pages}

    @cached_property
    def dates(self) -> list[date]:
        """写过的每一天，从早到晚。"""
        return [day.date for day in self.days]

    @cached_property
    def by_day(self) -> dict[date, DayFact]:
        """按日期找写过的一天。"""
        return {day.date: day for day in self.days}

    @cached_property
    def by_path(self) -> dict[str, Note]:
        """按文件找笔记。"""
        return index.by_path(self.notes)

    @cached_property
    def by_slug(self) -> dict[str, Note]:
        """按名字找笔记。"""
        return {note.slug: note for note in self.notes}

    @cached_property
    def by_uri(self) -> dict[str, Note]:
        """按相对于 docs 的路径找笔记。"""
        return {self.uri(str(note.path)): note for note in self.notes}

    @cached_property
    def months(self) -> dict[date, dict[date, str]]:
        """每个月写过的日子与它们的页面，键是那个月的一号。"""
        found: dict[date, dict[date, str]] = {}
        for day, uri in self.uris.items():
            found.setdefault(day.replace(day=1), {})[day] = uri
        return found

    @cached_property
    def week_uris(self) -> dict[str, str]:
        """每一周的周报。"""
        return {page.path.stem: self.uri(str(page.path)) for page in self.weeks}

    @cached_property
    def mentioned(self) -> dict[str, list[tuple[DayFact, index.Mention]]]:
        """每篇笔记被哪些天提到，从早到晚；同一天只取第一处。"""
        found: dict[str, dict[date, tuple[DayFact, index.Mention]]] = {}
        for day in self.days:
            for mention in day.mentions:
                found.setdefault(mention.target, {}).setdefault(day.date, (day, mention))
        return {target: list(by_day.values()) for target, by_day in found.items()}

    @cached_property
    def leads(self) -> dict[str, list[Note]]:
        """每篇笔记被哪些笔记链接。"""
        found: dict[str, list[Note]] = {}
        for note in self.notes:
            for target in self.targets(note):
                if target in self.by_path and target != str(note.path):
                    found.setdefault(target, []).append(note)
        return found

    @cached_property
    def followers(self) -> dict[str, list[Note]]:
        """以每篇笔记为先修的那些笔记。"""
        found: dict[str, list[Note]] = {}
        for note in self.notes:
            for slug in dict.fromkeys(note.prereq):
                found.setdefault(slug, []).append(note)
        return found

    @cached_property
    def born(self) -> dict[date, list[Todo]]:
        """每一天写下的事。"""
        found: dict[date, list[Todo]] = {}
        for todo in self.todos:
            found.setdefault(todo.born, []).append(todo)
        return found

    @cached_property
    def hinted(self) -> dict[str, list[DayFact]]:
        """每篇笔记在哪些天被提到，却没有链接。"""
        known = index.Names(self.notes)
        found: dict[str, list[DayFact]] = {}
        for day in self.days:
            linked = {mention.target for mention in day.mentions}
            seen = partial(_hints, day, known)
            for path in self.memory.kept(("hints", day.date), (known.key, day), seen):
                if path not in linked:
                    found.setdefault(path, []).append(day)
        return found

    def targets(self, note: Note) -> tuple[str, ...]:
        """一篇笔记链接到的本地文件，各一次。"""
        return self.memory.notes[note.path][2]

    def uri(self, path: str) -> str:
        """一个文件相对于 docs 的路径。"""
        return path.removeprefix(self._docs).replace(os.sep, "/")

    @cached_property
    def _docs(self) -> str:
        return f"{self.vault.docs}{os.sep}"


def read_web(vault: Vault, today: date, memory: Memory | None = None) -> Web:
    """读出整张网；`memory` 留着上一次的结果，改过的页才重读。"""
    memory = memory or Memory()
    template = boilerplate(vault)
    if memory.template != template.pattern:  # 换了模板，「写没写」要重判
        memory.days.clear()
        memory.template = template.pattern
    names = day_names(vault)
    pages = tuple(_fact(vault, day, path, template, memory) for day, path in names)
    memory.days = {page.path: memory.days[page.path] for page in pages}
    said = [(page.date, page.said) for page in pages]
    todos = memory.kept("lives", said, partial(lives, said))
    written = tuple(page for page in pages if page.words)
    return Web(
        vault, today, written, pages, tuple(notes(vault, memory)), tuple(read_weeks(vault)),
        tuple(todos), memory,
    )  # fmt: skip


def notes(vault: Vault, memory: Memory) -> list[Note]:
    """全部笔记，同 `read_notes`；没改过的不重读。"""
    old, memory.notes = memory.notes, {}
    for path in note_files(vault):
        now, known = stamp(str(path)), old.get(path)
        if known is None or known[0] != now:
            note = read_note(vault, path)
            known = (now, note, tuple(dict.fromkeys(t for _, t in index.targets(note))))
        memory.notes[path] = known
    return [note for _, note, _ in memory.notes.values()]


@lru_cache(maxsize=1 << 16)  # 同一句话，每次重建都要用
def plain(text: str) -> str:
    """给列表用的一句：链接只留文字，去掉加粗与反引号。"""
    return _LINK.sub(r"\1", text).replace("**", "").replace("`", "").strip()


def _fact(vault: Vault, day: date, path: str, template: re.Pattern[str], memory: Memory) -> DayFact:
    now = stamp(path)
    known = memory.days.get(path)
    if known is None or known[0] != now:
        known = (now, _read(vault, day, path, template))
        memory.days[path] = known
    return known[1]


def _read(vault: Vault, day: date, path: str, template: re.Pattern[str]) -> DayFact:
    page = read_day(vault, Path(path))
    own = own_text(page, template)
    found = [m for made in index.backlinks([page]).values() for m in made]
    achieved = report.achievements(page) if own else []
    reach = index.reachable(page.text, str(page.path.parent))
    prose = unlinked(outside_code(page.body))
    fences = page.text if "```" in page.text or "~~~" in page.text else ""
    return DayFact(
        day, path, report.short_title(page, day), page.title, words(own), page.tags,
        tuple(mentions(page)), tuple(map(plain, achieved)), tuple(found),
        reach, fences, prose,
    )  # fmt: skip


def _hints(day: DayFact, known: index.Names) -> tuple[str, ...]:
    """一天里提到的笔记，链接的也在其中。"""
    return tuple(str(note.path) for note in known.found(day.prose))
