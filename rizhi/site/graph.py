"""读出整个知识库：写过的每一天、每件事的一生、谁提到谁；纯函数。"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from rizhi import links
from rizhi import notes as roles
from rizhi.dates import Week, week_named, week_of
from rizhi.errors import RizhiError
from rizhi.journal.carry import plan
from rizhi.journal.day import (
    CHALLENGE,
    PLAN,
    Day,
    achievements,
    read_day,
    short_title,
    trimmed,
)
from rizhi.journal.lint import own_text, words
from rizhi.journal.todo import Mention as Said
from rizhi.journal.todo import Todo, lives, mentions
from rizhi.markdown import parse
from rizhi.markdown.document import one_line
from rizhi.markdown.outline import sections
from rizhi.page import Note, Page, read_notes, read_weeks
from rizhi.site.blocks import Part, worded
from rizhi.site.inline import inline, inlines
from rizhi.site.tasks import Standing, standing
from rizhi.template import boilerplate
from rizhi.vault import Vault, day_names

K = TypeVar("K")
V = TypeVar("V")
_MARKUP = re.compile(r"[*_`~\[\]<&\\$!]")
_HASHES = re.compile(r"^#+[ \t]*|[ \t]+#+$")
_EMBED = re.compile(r"\b(?:snippet|source|flow)\b")
_FORMULA = re.compile(r"\$([^$\s](?:[^$]*[^$\s])?)\$")
_COMMAND = re.compile(r"\\([a-z]+) ?")
_LINE = re.compile(r"^[ \t>]*(\S.*?)[ \t\r]*$", re.M)
_LISTING = re.compile(
    r"^[ \t>]*(?:#{1,6} *)?::: ?(?P<name>.+?)[ \t\r]*$"
    r"(?P<options>(?:\n[ \t>]+\S.*|\n[ \t>\r]*(?=\n))*)",
    re.M,
)
_OPTION = re.compile(r"^[ \t>]+(\w+):", re.M)
FLOW = "flow:"  # 与各行列在一起：这一页还链接到数据里写的笔记
LISTING = "::: "  # 这样开头的：这一页列出一个模块的接口；冒号结尾的是它下面写的选项
_FILE = re.compile(r"[^\s()<>\"'=]+\.(?:md|ipynb)\b")


class DayFact(NamedTuple):
    """一天的页面里，别的页面用得着的一切。"""

    date: date
    uri: str  # 相对于 docs
    title: str
    headline: tuple[Part, ...]  # 同 title，代码与链接照留
    heading: str
    words: int
    tags: tuple[str, ...]
    said: tuple[Said, ...]
    aims: tuple[str, ...]  # 这一天要做的：不在明日计划里的待办，见 `Todo.key`
    plan: tuple[tuple[str, str], ...]  # 明日计划，见 `carry.plan`
    gains: tuple[tuple[Part, ...], ...]  # 今日成果的每一行，代码与链接照留
    mentions: tuple[links.Mention, ...]  # 句子已经去掉标记
    reach: tuple[str, ...]  # 链接到的文件：它们在不在，页面就不一样
    embedded: tuple[str, ...]  # 嵌了哪些片段、哪些源码，列了哪些接口
    prose: str  # 去掉代码与链接之后的全文：没有链接的提到，从这里找

    @property
    def achieved(self) -> tuple[str, ...]:
        """今日成果的每一行，只有文字。"""
        return tuple(map(worded, self.gains))


@dataclass(frozen=True)
class Web:
    """整张网；`pages` 是建了页的每一天，从早到晚。"""

    vault: Vault
    today: date
    pages: tuple[DayFact, ...]
    notes: tuple[Note, ...]
    weeks: tuple[Page, ...]
    todos: tuple[Todo, ...]
    named: Mapping[str, tuple[str, ...]]  # 写过的每一天的页面提到了哪些笔记，链接的也在其中
    briefs: Mapping[str, str]  # 每篇笔记的一句话，没有写是空的

    @cached_property
    def days(self) -> tuple[DayFact, ...]:
        """真正写过的每一天，从早到晚。"""
        return tuple(page for page in self.pages if page.words)

    @cached_property
    def uris(self) -> dict[date, str]:
        """写过的每一天的页面，相对于 docs。"""
        return {day.date: day.uri for day in self.days}

    @cached_property
    def dates(self) -> list[date]:
        """写过的每一天，从早到晚。"""
        return [day.date for day in self.days]

    @cached_property
    def by_day(self) -> dict[date, DayFact]:
        """按日期找写过的一天。"""
        return {day.date: day for day in self.days}

    @cached_property
    def begun(self) -> DayFact | None:
        """今天那一页，还没有建是 None。"""
        return next((page for page in reversed(self.pages) if page.date == self.today), None)

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
        return {self.uri(note.path): note for note in self.notes}

    @cached_property
    def months(self) -> dict[date, dict[date, str]]:
        """每个月写过的日子与它们的页面，键是那个月的一号。"""
        months: dict[date, dict[date, str]] = {}
        for day, uri in self.uris.items():
            months.setdefault(day.replace(day=1), {})[day] = uri
        return months

    @cached_property
    def week_uris(self) -> dict[str, str]:
        """每一周的周报。"""
        return {page.path.stem: self.uri(page.path) for page in self.weeks}

    @cached_property
    def weekly(self) -> dict[int, list[Week]]:
        """有周报的、写过几天的每一周，按年放在一起，从早到晚。"""
        reports = filter(None, map(week_named, self.week_uris))
        weeks = {*reports, *map(week_of, self.dates)}
        return grouped((week.year, week) for week in sorted(weeks, key=lambda w: w.name))

    @cached_property
    def mentioned(self) -> dict[str, list[tuple[DayFact, links.Mention]]]:
        """每篇笔记被哪些天提到，从早到晚；同一天只取第一处。"""
        found: dict[str, list[tuple[DayFact, links.Mention]]] = {}
        for day in self.days:
            for mention in day.mentions:
                listed = found.get(mention.target)
                if listed is None:
                    found[mention.target] = [(day, mention)]
                elif listed[-1][0].date != day.date:
                    listed.append((day, mention))
        return found

    @cached_property
    def leads(self) -> dict[str, list[Note]]:
        """每篇笔记被哪些笔记链接。"""
        return grouped(
            (target, note)
            for note in self.notes
            for target in targets(note)
            if target in self.by_path and target != str(note.path)
        )

    @cached_property
    def followers(self) -> dict[str, list[Note]]:
        """以每篇笔记为先修的那些笔记。"""
        return grouped((slug, note) for note in self.notes for slug in dict.fromkeys(note.prereq))

    @cached_property
    def born(self) -> dict[date, list[Todo]]:
        """每个月写下的事，键是那个月的一号。"""
        return grouped((todo.born.replace(day=1), todo) for todo in self.todos)

    @cached_property
    def standing(self) -> dict[date, dict[str, Standing]]:
        """每一天写着的各件事现在如何，键是文字的判据。"""
        found: dict[date, dict[str, Standing]] = {}
        for todo in self.todos:
            now = standing(todo.as_of(self.today))
            for day in todo.days:
                found.setdefault(day, {})[todo.key] = now
        return found

    @cached_property
    def hinted(self) -> dict[str, list[DayFact]]:
        """每篇笔记在哪些天被提到，却没有链接。"""
        return grouped(
            (path, day)
            for day in self.days
            for path in self.named[day.uri]
            if all(path != mention.target for mention in day.mentions)
        )

    def uri(self, path: Path | str) -> str:
        """一个文件相对于 docs 的路径。"""
        return uri_of(str(path), self._docs)

    @cached_property
    def _docs(self) -> str:
        return str(self.vault.docs)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """键相同的值放在一起，次序不变。"""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def read_web(vault: Vault, today: date) -> Web:
    """读出整张网。"""
    template, notes = boilerplate(vault), tuple(read_notes(vault))
    pages = tuple(
        day_fact(vault, day, read_day(vault, Path(path)), template)
        for day, path in day_names(vault)
    )
    todos = tuple(lives([(page.date, page.said) for page in pages]))
    names = links.named(vault, notes)
    named = {page.uri: named_in(page.prose, names) for page in pages if page.words}
    title = brief_title(vault)
    briefs = {str(note.path): brief(note, title) for note in notes}
    return Web(vault, today, pages, notes, tuple(read_weeks(vault)), todos, named, briefs)


def day_fact(vault: Vault, day: date, page: Day, template: re.Pattern[str]) -> DayFact:
    """从一天的页面里取；`template` 是模板里原样的行，不算写过。"""
    own = own_text(page, template)
    said = tuple(mentions(page))
    uri, known = uri_of(str(page.path), str(vault.docs)), page.document.definitions
    gains = inlines(achievements(page), uri, known) if own else []
    linked = [mention for same in links.backlinks([page]).values() for mention in same]
    return DayFact(
        date=day,
        uri=uri,
        title=short_title(page, day),
        headline=headline(page, day, uri),
        heading=page.title,
        words=words(own),
        tags=page.tags,
        said=said,
        aims=_aims(page, said),
        plan=plan(page),
        gains=tuple(gains),
        mentions=tuple(
            replace(mention, sentence=sentence)
            for mention, sentence in zip(linked, plains(m.sentence for m in linked), strict=True)
        ),
        reach=reach(page),
        embedded=embedded(page),
        prose=page.document.unlinked[page.offset :],
    )


def _aims(page: Day, said: Iterable[Said]) -> tuple[str, ...]:
    line = page.document.line
    later = [
        range(line(part.start), line(max(part.end - 1, part.start)) + 1)
        for name in (CHALLENGE, PLAN)
        for part in page.section(name)
    ]
    keys = (m.key for m in said if m.key and not any(m.line in lines for lines in later))
    return tuple(dict.fromkeys(keys))


def brief_title(vault: Vault) -> str:
    """模板里哪一节是一句话的说明；模板没有点名，或排不出来，就没有。"""
    try:
        return roles.note_roles(vault).get("brief", "")
    except RizhiError:
        return ""  # 模板的毛病由 check 说


def brief(note: Note, title: str) -> str:
    """名叫 `title` 的一节的头一段；公式写成普通的字。"""
    heads = {part.start for part in sections(note.document) if roles.fits(part.name, title)}
    for head, first in pairwise(note.document.blocks):
        if head.start in heads and first.kind == "paragraph":
            text = plain(one_line(note.text[first.start : first.end]))[:200]
            return _FORMULA.sub(lambda formula: _COMMAND.sub(_letter, formula[1]), text)
    return ""


def _letter(command: re.Match[str]) -> str:
    r"""TeX 的 `\theta` 写成 θ；不认得的照原样。"""
    try:
        return (
            "√" if command[1] == "sqrt" else unicodedata.lookup(f"greek small letter {command[1]}")
        )
    except KeyError:
        return command[0]


def headline(page: Day, day: date, uri: str) -> tuple[Part, ...]:
    """标题里除去日期与星期的那句话，代码与链接照留。"""
    title = short_title(page, day)
    headings = (h for h in page.document.headings if h.text == page.title and not h.nested)
    heading = next(headings, None)
    line = page.text[heading.start : heading.end].partition("\n")[0] if heading else ""
    if not _MARKUP.search(line):
        return (title,) if title else ()
    bare = _HASHES.sub("", line.strip())
    return inline(trimmed(bare, day), uri, page.document.definitions)


def named_in(prose: str, names: links.Names) -> tuple[str, ...]:
    """一段文字提到了哪些笔记。"""
    return tuple(str(note.path) for note in names.mentioned(prose))


def targets(note: Note) -> tuple[str, ...]:
    """一篇笔记链接到的本地文件，各一次；图片不算。"""
    return tuple(dict.fromkeys(t for link, t in links.targets(note) if not link.image))


def reach(page: Page) -> tuple[str, ...]:
    """一页依赖的本地文件，宁多勿少：写在 HTML 里的，站点也许照样当链接。"""
    files = set(links.reachable(page))
    for span in page.document.spans:
        if span.kind == "html":
            names = _FILE.findall(page.text[span.start : span.end])
            resolved = (links.resolve(str(page.path.parent), name) for name in names)
            files |= {file for file in resolved if file}
    return tuple(sorted(files))


def embedded(page: Page) -> tuple[str, ...]:
    """一页的围栏里的各行，与列出的接口；宁多勿少，缩进了的、HTML 里的、不是围栏的也算。"""
    found: set[str] = set()
    for span in page.document.spans:
        if span.kind in ("fenced", "indented", "html"):
            block = page.text[span.start : span.end]
            kinds = set(_EMBED.findall(block))
            found.update(_LINE.findall(block) if kinds else ())
            found.update([FLOW] if "flow" in kinds else ())
    listings = _LISTING.finditer(page.document.blanked, page.offset) if ":::" in page.text else ()
    for listing in listings:
        found.add(LISTING + listing["name"])
        found.update(f"{LISTING}{option}:" for option in _OPTION.findall(listing["options"]))
    return tuple(sorted(found))


def plain(text: str) -> str:
    """给列表用的一句：去掉标记，链接只留文字。"""
    return plains([text])[0]


def plains(texts: Iterable[str]) -> list[str]:
    """给列表用的各句，都没有换行；一次解析完，逐句解析在十年的规模上太慢。"""
    said = list(texts)
    # 有了勾选框，后面不会再是列表、标题
    source = "".join(f"- [ ] {t}\n" for t in said if _MARKUP.search(t))
    items = iter(parse(source).items if source else ())
    return [next(items).plain if _MARKUP.search(t) else t.strip() for t in said]


def uri_of(path: str, docs: str) -> str:
    """一个文件相对于 docs 的路径；都是字符串：十年的规模上，造几千个 Path 就嫌慢了。"""
    return path.removeprefix(docs).lstrip(os.sep).replace(os.sep, "/")
