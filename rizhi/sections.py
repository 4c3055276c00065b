"""一天的章节：从解析好的一页里读出节、条目、待办与散文；纯函数。

他是手打的：标题可能写成「## 二 .思考」，次序不定，冒号有全角有半角；
「明日计划：」可能只是挑战里的一行，【待办】可能写在一句话的中间。
各节首尾相接，拼起来就是正文。
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeVar

from rizhi.markdown import Block, Document, Heading, Item, parse
from rizhi.markdown.document import one_line

GOALS, DONE, ACHIEVED, THOUGHTS = "今日目标", "今日完成", "今日成果", "思考"
CHALLENGE, PLAN = "遇到的挑战与明日计划", "明日计划"
CANONICAL = (GOALS, "主线任务拆解", DONE, ACHIEVED, THOUGHTS, CHALLENGE, "今日总结", PLAN)

TODO = "【待办】"
_LABEL = r"(?:\*\*)?明日计划(?:\*\*)?[ \t]*[：:][ \t]*(?:\*\*)?"
_CUT = re.compile(rf"^[ \t>]*(?P<label>{_LABEL})|{TODO}[^\r\n]*", re.M)
_NUMBERING = re.compile(r"\(?(?:[一二三四五六七八九十]+|\d+)\)?\s*[.、:)]?\s*")
_PROSE = frozenset(("paragraph", "code", "html", "table"))
_MAX_QUESTION = 40
_R = TypeVar("_R")


class Section(NamedTuple):
    """一节：`name` 是规范名，认不出就照他写的；`level` 为 0 表示行内的「明日计划：」。

    `start` 到 `end` 是整节，`body` 是标题行之后；`topics` 是节里更深的标题。
    """

    name: str
    level: int
    start: int
    body: int
    end: int
    items: tuple[Item, ...] = ()
    prose: tuple[str, ...] = ()
    topics: tuple[Heading, ...] = ()
    stub: bool = False

    @property
    def known(self) -> bool:
        return self.name in CANONICAL

    def topic(self, item: Item) -> str:
        """条目在哪个更深的标题之下，没有是空的。"""
        above = [heading.text for heading in self.topics if heading.start < item.start]
        return above[-1] if above else ""


class _Cut(NamedTuple):
    """一段话从这里起另成一条：行内的「明日计划：」，或句中的【待办】。"""

    at: int  # 这一条从哪里起
    text: int  # 文字从哪里起
    label: bool


def sections(document: Document, offset: int) -> tuple[Section, ...]:
    """正文从 `offset` 起的各节。"""
    found = _headed(document, offset)
    cuts = _cuts(document, found)
    for cut in (c for c in cuts if c.label):
        place = bisect_right(found, cut.at, key=lambda s: s.start) - 1
        whole = found[place]
        plan = Section(PLAN, 0, cut.at, cut.at, whole.end)
        found[place : place + 1] = [whole._replace(end=cut.at), plan]
    items, prose = _contents(document, cuts)
    return tuple(_filled(document, section, items, prose) for section in found)


@lru_cache(maxsize=4096)
def canonical(heading: str) -> str:
    """标题的规范名：去掉编号、星号、空白与末尾的冒号；认不出的照他写的。"""
    bare = heading.replace("*", "").strip()
    plain = _NUMBERING.sub("", unicodedata.normalize("NFKC", bare), count=1)
    plain = re.sub(r"\s", "", plain).rstrip(":.。")
    return plain if plain in CANONICAL else bare


def _headed(document: Document, offset: int) -> list[Section]:
    """标题分出的节，还没有内容；头一个标题之前的话也是一节，只是没有名字。"""
    found: list[Section] = []
    for heading in document.headings:
        if heading.nested:
            continue
        name = canonical(heading.text)
        if heading.level <= 2 or name in CANONICAL or not found:
            start = max(document.line_start(heading.start), offset)
            body = document.line_end(heading.end)
            stub = heading.level == 2 and name not in CANONICAL and not heading.setext
            found.append(Section(name, heading.level, start, body, body, stub=stub))
        else:
            found[-1] = found[-1]._replace(topics=(*found[-1].topics, heading))
    end = len(document.text)
    if not found or found[0].start > offset:
        found.insert(0, Section("", 1, offset, offset, offset))
    starts = [*(s.start for s in found[1:]), end]
    return [s._replace(end=stop) for s, stop in zip(found, starts, strict=True)]


def _cuts(document: Document, found: list[Section]) -> list[_Cut]:
    """段落里、条目的续行里，另起一条的地方。"""
    text = document.text
    if TODO not in text and PLAN not in text:
        return []
    leaves = [b for b in document.blocks if b.kind in ("paragraph", "item")]
    cuts: list[_Cut] = []
    planned: set[int] = set()  # 已经有「明日计划：」的节
    for match in _CUT.finditer(document.blanked):
        label = match["label"] is not None
        at = match.start("label") if label else match.start()
        leaf = leaves[bisect_right(leaves, at, key=lambda b: b.start) - 1] if leaves else None
        if leaf is None or not leaf.start <= at < leaf.end:
            continue
        first = document.line(at) == document.line(leaf.start)
        if leaf.kind == "item" and first:
            continue
        if label:
            place = bisect_right(found, at, key=lambda s: s.start) - 1
            if found[place].name != CHALLENGE or place in planned:
                continue
            planned.add(place)
        cuts.append(_Cut(at, match.end() if label else at, label))
    return cuts


def _contents(document: Document, cuts: list[_Cut]) -> tuple[list[Item], list[tuple[int, str]]]:
    """全部条目与散文的各行，按位置排好。"""
    items = list(document.items)
    extra: list[Item] = []
    prose: list[tuple[int, str]] = []
    starts = [cut.at for cut in cuts]
    for block in document.blocks:
        low, high = bisect_left(starts, block.start), bisect_left(starts, block.end)
        mine = cuts[low:high] if block.kind in ("paragraph", "item") else []
        end = mine[0].at if mine else block.end
        if block.item < 0 and block.kind in _PROSE:
            prose += _lines(document.text, block.start, end)
        elif mine and block.kind == "item":
            items[block.item] = _shortened(document, items[block.item], end)
        stops = [*(cut.at for cut in mine[1:]), block.end]
        extra += (_bare(document, block, cut, stop) for cut, stop in zip(mine, stops, strict=False))
    if TODO in document.text:
        items = [_labelled(document, item) for item in items]
    return sorted([*items, *(e for e in extra if e.text)], key=lambda i: i.start), prose


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    for found in re.finditer(r"[^\r\n]+", text[start:end]):
        line = found[0].strip().lstrip(">").strip()
        if line:
            yield start + found.start(), line


def _shortened(document: Document, item: Item, end: int) -> Item:
    """第一段只到 `end` 为止的条目。"""
    text = one_line(document.text[item.body : end])
    end = item.body + len(document.text[item.body : end].rstrip())
    return item._replace(end=end, text=text, plain=_read(text).plain)


def _bare(document: Document, block: Block, cut: _Cut, stop: int) -> Item:
    """没有记号的一条。"""
    source = document.text[cut.text : stop]
    text = one_line(source)
    made = _read(text)
    end = cut.text + len(source.rstrip())
    return made._replace(
        number=-1,
        parent=block.item,
        depth=0 if block.item < 0 else document.items[block.item].depth + 1,
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
    return parse(f"- {text}").items[0]


def _labelled(document: Document, item: Item) -> Item:
    label = item.number >= 0 and TODO in document.blanked[item.body : item.end]
    return item._replace(labelled=True) if label else item


def _filled(
    document: Document, section: Section, items: list[Item], prose: list[tuple[int, str]]
) -> Section:
    mine = _between(items, section, lambda item: item.start)
    said = tuple(line for _, line in _between(prose, section, lambda line: line[0]))
    stub = section.stub and not said and not section.topics
    stub = stub and all(_is_question(document, item) for item in mine)
    return section._replace(items=tuple(mine), prose=said, stub=stub)


def _between(rows: list[_R], section: Section, key: Callable[[_R], int]) -> list[_R]:
    low = bisect_left(rows, section.start, key=key)
    return rows[low : bisect_left(rows, section.end, key=key)]


def _is_question(document: Document, item: Item) -> bool:
    short = item.plain.endswith(("？", "?")) and len(item.plain) < _MAX_QUESTION
    return short and not document.notes(item)
