"""读出整个知识库：写过的每一天、每件事的一生、谁提到谁；没改过的页不重读。"""

import os
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rizhi import links
from rizhi.journal.day import achievements, read_day, short_title
from rizhi.journal.lint import own_text, words
from rizhi.journal.todo import Mention as Said
from rizhi.journal.todo import Todo, lives, mentions
from rizhi.markdown import parse
from rizhi.page import Note, Page, load
from rizhi.template import boilerplate
from rizhi.vault import Fingerprint, Vault, day_names, fingerprint, markdown_files

T = TypeVar("T")
P = TypeVar("P", bound=Page)
_MARKUP = re.compile(r"[*_`~\[\]<&\\$!]")
_EMBED = re.compile(r"\b(?:snippet|source|flow)\b")
FLOW = "flow:"  # 与模块名列在一起：这一页还链接到数据里写的笔记
_MODULE = re.compile(r"^[ \t>]*([\w.]+)", re.M)
_FILE = re.compile(r"[^\s()<>\"'=]+\.(?:md|ipynb)\b")


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
    mentions: tuple[links.Mention, ...]
    reach: tuple[str, ...]  # 链接到的文件：它们在不在，页面就不一样
    modules: tuple[str, ...]  # 嵌了哪些片段、哪些源码
    prose: str  # 去掉代码与链接之后的全文：没有链接的提到，从这里找


@dataclass
class Memory:
    """上一次读到的：页面的时间、大小没变，就不重读、不重新解析。

    一天只留下读出来的，不留解析的结果：十年的要多占几十兆。
    """

    days: dict[str, tuple[Fingerprint, DayFact]] = field(default_factory=dict)
    pages: dict[Path, tuple[Fingerprint, Page]] = field(default_factory=dict)
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

    def page(self, kind: type[P], vault: Vault, path: Path, link: bool = True) -> P:
        """一篇笔记、周报或别的页；没改过的是同一个对象，连同它解析的结果。"""
        now, old = fingerprint(path), self.pages.get(path)
        if old and old[0] == now and isinstance(old[1], kind):
            return old[1]
        page = load(kind, vault, path, link)
        self.pages[path] = (now, page)
        return page

    def page_clues(self, page: Page) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """一页依赖哪些文件、嵌了哪些片段与源码。"""
        return self.kept(("clues", page.path), page, lambda: (reach(page), embedded(page)))


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
        return links.by_path(self.notes)

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
    def mentioned(self) -> dict[str, list[tuple[DayFact, links.Mention]]]:
        """每篇笔记被哪些天提到，从早到晚；同一天只取第一处。"""
        found: dict[str, dict[date, tuple[DayFact, links.Mention]]] = {}
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
        spelled = [(note.title, note.aliases, str(note.path)) for note in self.notes]
        clues = (self.vault.config.get("everyday"), spelled)
        known = self.memory.kept("names", clues, partial(links.named, self.vault, self.notes))
        found: dict[str, list[DayFact]] = {}
        for day in self.days:
            linked = {mention.target for mention in day.mentions}
            seen = partial(_hints, day, known)
            for path in self.memory.kept(("hints", day.date), (known, day), seen):
                if path not in linked:
                    found.setdefault(path, []).append(day)
        return found

    def targets(self, note: Note) -> tuple[str, ...]:
        """一篇笔记链接到的本地文件，各一次；图片不算。"""
        return self.memory.kept(("targets", note.path), note, partial(_targets, note))

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
    weeks = (memory.page(Page, vault, *found) for found in markdown_files(vault.weekly))
    return Web(
        vault, today, written, pages, tuple(notes(vault, memory)), tuple(weeks),
        tuple(todos), memory,
    )  # fmt: skip


def notes(vault: Vault, memory: Memory) -> list[Note]:
    """全部笔记，同 `read_notes`；没改过的不重读。"""
    return [memory.page(Note, vault, *found) for found in markdown_files(vault.notes)]


def reach(page: Page) -> tuple[str, ...]:
    """一页依赖的本地文件，宁多勿少：写在 HTML 里的，站点也许照样当链接。"""
    found = set(links.reachable(page))
    for span in page.document.spans:
        if span.kind == "html":
            names = _FILE.findall(page.text[span.start : span.end])
            made = (links.resolve(str(page.path.parent), name) for name in names)
            found |= {target for target in made if target}
    return tuple(sorted(found))


def embedded(page: Page) -> tuple[str, ...]:
    """一页的围栏嵌了哪些片段、哪些源码的模块；宁多勿少，缩进了的、HTML 里的也算。"""
    found: set[str] = set()
    for span in page.document.spans:
        if span.kind in ("fenced", "indented", "html"):
            block = page.text[span.start : span.end]
            kinds = set(_EMBED.findall(block))
            found.update(_MODULE.findall(block) if kinds else ())
            found.update([FLOW] if "flow" in kinds else ())
    return tuple(sorted(found))


@lru_cache(maxsize=1 << 16)  # 同一句话，每次重建都要用
def plain(text: str) -> str:
    """给列表用的一句：去掉标记，链接只留文字。"""
    if not _MARKUP.search(text):
        return text.strip()
    items = parse(f"- [ ] {text}").items  # 有了勾选框，后面不会再是列表、标题
    return items[0].plain if items else text.strip()


def _fact(vault: Vault, day: date, path: str, template: re.Pattern[str], memory: Memory) -> DayFact:
    now = fingerprint(path)
    known = memory.days.get(path)
    if known is None or known[0] != now:
        known = (now, _read(vault, day, path, template))
        memory.days[path] = known
    return known[1]


def _read(vault: Vault, day: date, path: str, template: re.Pattern[str]) -> DayFact:
    page = read_day(vault, Path(path))
    own = own_text(page, template)
    said = [mention for made in links.backlinks([page]).values() for mention in made]
    achieved = achievements(page) if own else []
    return DayFact(
        day, path, short_title(page, day), page.title, words(own), page.tags,
        tuple(mentions(page)), tuple(map(plain, achieved)), tuple(said),
        reach(page), embedded(page), page.document.unlinked[page.offset :],
    )  # fmt: skip


def _targets(note: Note) -> tuple[str, ...]:
    return tuple(dict.fromkeys(t for link, t in links.targets(note) if not link.image))


def _hints(day: DayFact, known: links.Names) -> tuple[str, ...]:
    """一天里提到的笔记，链接的也在其中。"""
    return tuple(str(note.path) for note in known.found(day.prose))
