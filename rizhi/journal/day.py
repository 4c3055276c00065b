"""一天的总结：从解析好的一页里读出节、条目、待办与散文。"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from rizhi.dates import weekday
from rizhi.links import targets
from rizhi.markdown import Block, Document, Heading, Item, NearMiss, joined, near_misses, parse
from rizhi.markdown.document import one_line
from rizhi.page import Page, load
from rizhi.vault import Vault, date_of, markdown_files

GOALS, DONE, ACHIEVED, THOUGHTS = "今日目标", "今日完成", "今日成果", "思考"
CHALLENGE, PLAN = "遇到的挑战与明日计划", "明日计划"
OPENING, MAIN_TASK, SUMMARY = "今天想说的话", "主线任务拆解", "今日总结"
# 他在一页里写下的次序
CANONICAL = (OPENING, ACHIEVED, THOUGHTS, CHALLENGE, GOALS, MAIN_TASK, DONE, SUMMARY, PLAN)
TODO = "【待办】"
_LABEL = re.compile(r"[ \t>]*((?:\*\*)?明日计划(?:\*\*)?[ \t]*[：:][ \t]*(?:\*\*)?)")
_NUMBERING = re.compile(r"\(?(?:[一二三四五六七八九十]+|\d+)\)?\s*[.、:)]?\s*")
_MARKUP = re.compile(r"[*_`~\[\]<&\\$!]")
_LEAVES = frozenset(("paragraph", "item"))
_PROSE = frozenset(("paragraph", "code", "html", "table"))
_LINE = re.compile(r"[^\r\n]+")
_MAX_QUESTION = 40
_start = attrgetter("start")


class Section(NamedTuple):
    """一节：`name` 是规范名，认不出就照他写的；`level` 为 0 表示行内的「明日计划：」。

    `start` 到 `end` 是整节，`body` 是标题行之后；`lines` 是散文的各行与它们的位置，
    `topics` 是节里更深的标题，`stub` 说它是不是只写了主题名。
    """

    name: str
    level: int
    start: int
    body: int
    end: int
    items: tuple[Item, ...] = ()
    lines: tuple[tuple[int, str], ...] = ()
    topics: tuple[Heading, ...] = ()
    stub: bool = False

    @property
    def known(self) -> bool:
        return self.name in CANONICAL

    @property
    def prose(self) -> tuple[str, ...]:
        return tuple(line for _, line in self.lines)

    def topic(self, position: int) -> str:
        """这个位置在哪个更深的标题之下，没有是空的。"""
        above = [heading.text for heading in self.topics if heading.start < position]
        return above[-1] if above else ""


class _Cut(NamedTuple):
    """一段话从这里起另成一条：行内的「明日计划：」，或句中的【待办】。"""

    at: int  # 这一条从哪里起
    text: int  # 文字从哪里起
    label: bool
    leaf: Block


class _Mark(NamedTuple):
    """一节从哪里起。"""

    start: int
    body: int
    name: str
    level: int
    stub: bool = False


def sections(document: Document, offset: int) -> tuple[Section, ...]:
    """正文从 `offset` 起的各节。"""
    marks, topics = _headed(document, offset)
    cuts = _cuts(document, marks)
    marks = sorted([*marks, *(_Mark(cut.at, cut.at, PLAN, 0) for cut in cuts if cut.label)])
    items, prose = _contents(document, cuts)
    places = [item.start for item in items], [at for at, _ in prose], [h.start for h in topics]
    stops = [*(mark.start for mark in marks[1:]), len(document.text)]
    listed = []
    for (start, body, name, level, stub), stop in zip(marks, stops, strict=True):
        mine, said, deeper = (
            slice(bisect_left(place, start), bisect_left(place, stop)) for place in places
        )
        inside, lines, under = tuple(items[mine]), tuple(prose[said]), tuple(topics[deeper])
        stub = stub and not lines and not under and all(_asks(document, item) for item in inside)
        listed.append(Section(name, level, start, body, stop, inside, lines, under, stub))
    return tuple(listed)


def nested(items: Iterable[Item]) -> tuple[list[Item], dict[int, list[Item]]]:
    """一节的条目分出层次：最外层的，与每个条目（按 `number`）的子条目。"""
    outer: list[Item] = []
    children: dict[int, list[Item]] = {}
    numbers: set[int] = set()
    for item in items:
        mine = children.setdefault(item.parent, []) if item.parent in numbers else outer
        mine.append(item)
        if item.number >= 0:
            numbers.add(item.number)
    return outer, children


@lru_cache(maxsize=4096)
def canonical(heading: str) -> str:
    """标题的规范名：去掉编号、星号、空白与末尾的冒号；认不出的照他写的。"""
    bare = heading.replace("*", "").strip()
    plain = _NUMBERING.sub("", unicodedata.normalize("NFKC", bare), count=1)
    plain = re.sub(r"\s", "", plain).rstrip(":.。")
    return plain if plain in CANONICAL else bare


@dataclass(frozen=True)
class Day(Page):
    """一天的总结；日期以路径为准，路径里没有合法日期时是 None。"""

    @cached_property
    def date(self) -> date | None:
        return date_of(self.path.stem)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        return sections(self.document, self.offset)

    def section(self, name: str) -> tuple[Section, ...]:
        """同一个规范名的全部章节：计划可能单成一节，也可能写在挑战里。"""
        return tuple(s for s in self.sections if s.name == name)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for section in self.sections for item in section.items)

    @cached_property
    def children(self) -> Mapping[int, list[Item]]:
        """各条目的 `number` → 直接在它下面的条目，连同写在说明里的【待办】。"""
        below: dict[int, list[Item]] = {}
        for item in self.items:
            below.setdefault(item.parent, []).append(item)
        return below

    @property
    def todos(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.todo)

    @property
    def stubs(self) -> tuple[Section, ...]:
        """等着写成笔记的二级标题：只有主题名与简短的提问，也没有链接到写好的一页。"""
        return tuple(s for s in self.sections if s.stub and not self._written(s))

    @property
    def near_misses(self) -> list[NearMiss]:
        """像条目、待办、标题而不是的行。"""
        return [miss for miss in near_misses(self.document) if self._unmeant(miss)]

    def _written(self, section: Section) -> bool:
        """标题链接到了一页有的 Markdown。"""
        return any(
            target.endswith(".md") and Path(target).is_file()
            for link, target in targets(self)
            if section.start <= link.start < section.body and not link.image
        )

    def _unmeant(self, miss: NearMiss) -> bool:
        """「一、今日成果」只认规范名；规范名下面画一条线，是有意写的标题。"""
        if miss.kind == "numbered":
            return canonical(miss.right.lstrip("# ")) in CANONICAL
        line = self.text[miss.start : miss.end].partition("\n")[0]
        return miss.kind != "rule" or canonical(line) not in CANONICAL


def read_days(vault: Vault) -> list[Day]:
    """全部日总结，从早到晚；读不出的也在其中，毛病写在 `faults` 里。"""
    return [load(Day, vault, path, link) for path, link in markdown_files(vault.daily)]


def read_day(vault: Vault, path: Path) -> Day:
    """一天的总结。"""
    return load(Day, vault, path)


def heading(day: date, title: str = "") -> str:
    """一天的一级标题。"""
    return f"# {day} {weekday(day)}" + (f"　{title}" if title else "")


def short_title(page: Day, day: date) -> str:
    """标题里除去日期与星期的那句话。"""
    return trimmed(page.title, day)


def trimmed(title: str, day: date) -> str:
    """标题里的一行字去掉日期与星期。"""
    blank = " 　·:："
    return title.removeprefix(str(day)).strip(blank).removeprefix(weekday(day)).strip(blank)


def achievements(page: Day) -> list[str]:
    """今日成果的每一行，子条目各算一行；还开着的、放弃了的不是成果。"""
    lines: list[str] = []
    for section in page.section(ACHIEVED):
        lines += section.prose
        lines += [said(page, item) for item in section.items if achieved(item)]
    return lines


def achieved(item: Item) -> bool:
    """这一条写了字，也做成了：没有勾选框的也算。"""
    return bool(item.text) and item.state in (None, "done")


def said(page: Day, item: Item) -> str:
    """一个条目与它下面的话，接成一行。"""
    notes = (n for n in page.document.notes(item) if n.kind == "paragraph")
    more = (line.strip() for n in notes for line in page.text[n.start : n.end].splitlines())
    return joined((item.text, *more))


def _headed(document: Document, offset: int) -> tuple[list[_Mark], list[Heading]]:
    """标题分出的节，与节里更深的标题；头一个标题之前的话也是一节，只是没有名字。"""
    marks: list[_Mark] = []
    topics: list[Heading] = []
    for heading in document.headings:
        if heading.nested:
            continue
        name = canonical(heading.text)
        if heading.level <= 2 or name in CANONICAL or not marks:
            start = max(document.line_start(heading.start), offset)
            stub = heading.level == 2 and name not in CANONICAL and not heading.setext
            body = document.line_end(heading.end)
            marks.append(_Mark(start, body, name, heading.level, stub))
        else:
            topics.append(heading)
    if not marks or marks[0].start > offset:
        marks.insert(0, _Mark(offset, offset, "", 1))
    return marks, topics


def _cuts(document: Document, marks: list[_Mark]) -> list[_Cut]:
    """段落里、条目的续行里，另起一条的地方。"""
    places = sorted([*_occurrences(document, TODO), *_occurrences(document, PLAN)])
    leaves = [b for b in document.blocks if b.kind in _LEAVES] if places else []
    cuts: list[_Cut] = []
    planned: set[int] = set()  # 已经有「明日计划：」的节
    last = -1  # 最后一条在第几行
    for at in places if leaves else ():
        leaf = leaves[bisect_right(leaves, at, key=_start) - 1]
        line = document.line(at)
        if not leaf.start <= at < leaf.end or line == last:
            continue
        if leaf.kind == "item" and line == document.line(leaf.start):
            continue
        if document.text.startswith(TODO, at):
            start = _bold(document.text, at)
            cuts.append(_Cut(start, start, False, leaf))
            last = line
        elif label := _LABEL.match(document.text, document.line_start(at)):
            place = bisect_right(marks, at, key=_start) - 1
            if marks[place].name == CHALLENGE and place not in planned:
                planned.add(place)
                cuts.append(_Cut(label.start(1), label.end(), True, leaf))
                last = line
    return cuts


def _bold(text: str, at: int) -> int:
    """【待办】从哪里起：紧挨着的加粗记号，与这一行后面的配成一对的，也是它的。"""
    line = re.compile(r"[^\r\n]*").match(text, at)
    paired = line is not None and line[0].count("**") % 2 == 1
    return at - 2 if paired and text.endswith("**", 0, at) else at


def _occurrences(document: Document, word: str) -> Iterator[int]:
    """一个词在正文各处的位置，代码与注释里的不算。"""
    at = document.text.find(word)
    while at >= 0:
        if not document.hidden(at):
            yield at
        at = document.text.find(word, at + 1)


def _contents(document: Document, cuts: list[_Cut]) -> tuple[list[Item], list[tuple[int, str]]]:
    """全部条目与散文的各行，按位置排好。"""
    items = list(document.items)
    # 另起一条的地方之前，才是这一段自己的
    ends: dict[Block, int] = {cut.leaf: cut.at for cut in reversed(cuts)}
    prose = [
        line
        for block in document.blocks
        if block.item < 0 and block.kind in _PROSE
        for line in _lines(document.text, block.start, ends.get(block, block.end))
    ]
    for leaf, end in ends.items():
        if leaf.item >= 0 and leaf.kind == "item":
            items[leaf.item] = _shortened(document, items[leaf.item], end)
    for at in _occurrences(document, TODO):
        place = bisect_right(items, at, key=_start) - 1
        if place >= 0 and items[place].body <= at < items[place].end:  # 在条目的第一行里
            items[place] = items[place]._replace(labelled=True)
    for cut, after in zip_longest(cuts, cuts[1:]):
        stop = after.at if after and after.leaf is cut.leaf else cut.leaf.end
        bare = _bare(document, cut, stop)
        if bare.text:
            items.append(bare)
    return sorted(items, key=_start) if cuts else items, prose


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    for match in _LINE.finditer(text, start, end):
        if line := match[0].strip().lstrip(">").strip():
            yield match.start(), line


def _shortened(document: Document, item: Item, end: int) -> Item:
    """第一段只到 `end` 为止的条目。"""
    source = document.text[item.body : end].rstrip()
    text = one_line(source)
    return item._replace(end=item.body + len(source), text=text, plain=_read(text).plain)


def _bare(document: Document, cut: _Cut, stop: int) -> Item:
    """没有记号的一条。"""
    source = document.text[cut.text : stop].rstrip()
    text = one_line(source)
    bare = _read(text)
    end = cut.text + len(source)
    return bare._replace(
        number=-1,
        parent=cut.leaf.item,
        depth=0 if cut.leaf.item < 0 else document.items[cut.leaf.item].depth + 1,
        start=cut.at,
        body=cut.text,
        end=end,
        last=end,
        marker="",
        text=text,
        box=-1,
        mark="",
        labelled=not cut.label or TODO in text,
    )


def _read(text: str) -> Item:
    """一行文字当作一个条目来读，好去掉它的标记。"""
    if _MARKUP.search(text) is None:
        return Item(-1, -1, 0, 0, 0, 0, 0, "-", text=text, plain=text)
    return parse(f"- {text}").items[0]


def _asks(document: Document, item: Item) -> bool:
    short = item.plain.endswith(("？", "?")) and len(item.plain) < _MAX_QUESTION
    return short and not document.notes(item)
