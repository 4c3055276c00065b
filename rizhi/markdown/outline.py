"""笔记的结构：各节与它们的正文、自测的问答、嵌入的围栏；都从解析的结果里取。"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from rizhi.markdown import Block, Document, Span

_ATTRIBUTES = re.compile(r"\s*\{[^}]*\}\s*$")  # 标题后面可以有 { #锚点 }
_QUESTION = re.compile(r"\?{3}\+?[ \t]*(?P<kinds>[\w \t-]*)", re.A)
_INFO = re.compile(r"\.?(?P<lang>[\w#.+-]*)(?P<rest>.*)", re.S)
_CLASS = re.compile(r"\{[^}]*?\.([\w#+-]+)")
_start = attrgetter("start")


class Part(NamedTuple):
    """一段有名字的文字：一节或一问；`start` 是名字的位置，`body` 到 `end` 是正文。

    `empty` 是正文里除了注释什么也没有。
    """

    name: str
    start: int
    body: int
    end: int
    empty: bool


class Fence(NamedTuple):
    """一个围栏：语言、语言后面多写的选项、在哪里，与里面各行的位置与文字。"""

    lang: str
    options: str
    start: int
    lines: tuple[tuple[int, str], ...]


def sections(document: Document) -> list[Part]:
    """各个二级标题与它们的正文；引用、列表与框里的标题不分节。"""
    marks = [h for h in document.headings if h.level == 2 and not h.nested]
    stops = [*(mark.start for mark in marks), len(document.text)][1:]
    return [
        _part(document, _ATTRIBUTES.sub("", mark.text), mark.start, mark.end, stop)
        for mark, stop in zip(marks, stops, strict=True)
    ]


def questions(document: Document, section: Part) -> list[Part]:
    """一节里的 `??? question`，正文是框里的答案。"""
    return [
        _part(document, name, block.start, block.start + len(name), block.end)
        for block in _within(document, section.body, section.end)
        if block.kind == "container"
        if (name := document.text[block.start : block.end].partition("\n")[0].strip())
        if (mark := _QUESTION.match(name)) and "question" in mark["kinds"].casefold().split()
    ]


def fences(document: Document) -> list[Fence]:
    """全部围栏；`python`、`.python`、`{ .python }` 是一种语言，花括号里的属性不算选项。"""
    return [_fence(document, span) for span in document.spans if span.kind == "fenced"]


def fence_lines(document: Document, lang: str) -> list[tuple[int, str]]:
    """这种语言的围栏里的各行：位置与文字。"""
    return [line for one in fences(document) if one.lang.lower() == lang for line in one.lines]


def _fence(document: Document, span: Span) -> Fence:
    info = _INFO.fullmatch(span.info)
    lang, rest = (info["lang"], info["rest"].strip()) if info else ("", "")
    named = _CLASS.match(rest)
    options = "" if rest.startswith("{") else rest
    lines = tuple(_lines(document, span.start, span.end))[1:-1]
    return Fence(lang or (named[1] if named else ""), options, span.start, lines)


def _part(document: Document, name: str, start: int, body: int, end: int) -> Part:
    empty = all(block.kind == "comment" for block in _within(document, body, end))
    return Part(name, start, body, end, empty)


def _within(document: Document, start: int, end: int) -> tuple[Block, ...]:
    """从这一段里起的块。"""
    blocks = document.blocks
    return blocks[bisect_left(blocks, start, key=_start) : bisect_left(blocks, end, key=_start)]


def _lines(document: Document, start: int, end: int) -> Iterator[tuple[int, str]]:
    """一段里的各行，去掉缩进与引用记号。"""
    while start < end:
        stop = min(document.line_end(start), end)
        line = document.text[start:stop]
        bare = line.lstrip("> \t")
        yield stop - len(bare), bare.rstrip()
        start = stop
