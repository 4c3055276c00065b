"""一页正文的结构：二级标题、围栏、问答、列表，各带真的行号；纯函数。

按站点（Python-Markdown 与 superfences）的写法认；认不准的宁可不认。
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rizhi.entry import line_of, outside_blocks

_TAIL = r"(?:[ \t]*\{[^}\n]*\})?[ \t]*\r?"  # 标题后面可以有 { #锚点 }
_HEADING = re.compile(
    rf"^##[ \t]+(?P<atx>[^\s#].*?)[ \t]*#*{_TAIL}$"
    rf"|(?:\A|(?<=\n\n)|(?<=\n\r\n))(?P<setext>[^\s#>|`~+*-].*?){_TAIL}\n-+[ \t]*\r?$",
    re.M,
)
_FENCE = re.compile(
    r"(?P<lead>[ \t>]*)(?P<mark>`{3,}|~{3,})[ \t]*\.?(?P<lang>[\w#.+-]*)(?P<rest>[^`]*)"
)
_CLASS = re.compile(r"\{[^}]*?\.([\w#+-]+)")
_CONTAINER = re.compile(r"[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]|[?!]{3}|===|\[\^[^\]]+\]:|:[ \t])")
_QUESTION = re.compile(r"^\?{3}\+?[ \t]*(?P<kinds>[\w \t-]*?)(?:[ \t]+\".*\")?[ \t]*\r?$", re.M)
_INDENTED = re.compile(r"(?:[ \t]*\r?\n|(?: {4}|\t).*(?:\n|\Z))*")
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])[ \t]+(?=\S)", re.M)
_COMMENT = re.compile(r"<!--.*?-->", re.S)


class Part(NamedTuple):
    """一段有名字的文字：一节或一问；`line` 是名字在第几行，`start` 与 `end` 是正文的字符位置。"""

    name: str
    line: int
    start: int
    end: int
    text: str

    @property
    def empty(self) -> bool:
        """只有空白与注释。"""
        return not _COMMENT.sub("", self.text).strip()


class Fence(NamedTuple):
    """一个围栏：语言、语言后面多写的选项、第几行，与它里面的各行。"""

    lang: str
    options: str
    line: int
    lines: tuple[str, ...]


def sections(text: str, offset: int = 0) -> list[Part]:
    """从 `offset` 起的各个二级标题与它们的正文；代码与注释里的不算。"""
    prose = outside_blocks(text)
    body = prose[offset:]
    marks = list(_HEADING.finditer(body))
    stops = [*(mark.start() for mark in marks), len(body)][1:]
    return [
        _part(text, _plain(mark), offset + mark.start(), offset + mark.end(), offset + stop)
        for mark, stop in zip(marks, stops, strict=True)
    ]


def questions(text: str, section: Part) -> list[Part]:
    """一节里的 `??? question`，正文是缩进的答案；没有缩进的话不在框里，不是答案。"""
    prose = outside_blocks(text)
    found = []
    for mark in _QUESTION.finditer(prose, section.start, section.end):
        if "question" in mark["kinds"].casefold().split():
            start = min(mark.end() + 1, section.end)
            answer = _INDENTED.match(text, start, section.end)
            end = answer.end() if answer else start
            found.append(_part(text, mark[0].strip(), mark.start(), start, end))
    return found


def items(text: str, section: Part) -> list[Part]:
    """一节里顶格的条目，下一层的并在其中。"""
    marks = list(_ITEM.finditer(outside_blocks(text), section.start, section.end))
    stops = [*(mark.start() for mark in marks), section.end][1:]
    return [
        _part(text, "", mark.start(), mark.end(), stop)
        for mark, stop in zip(marks, stops, strict=True)
    ]


def fences(text: str, offset: int = 0) -> Iterator[Fence]:
    """从 `offset` 起的围栏；围栏里的围栏、缩进成代码的、没有收尾的不算。"""
    lines = text.split("\n")
    at = text.count("\n", 0, offset)
    while at < len(lines):
        opened = _FENCE.fullmatch(lines[at].rstrip())
        closed = _close(lines, at, opened["mark"]) if opened else None
        if opened and closed:
            if _rendered(lines, at, opened["lead"]):
                yield _fence(opened, at + 1, lines[at + 1 : closed])
            at = closed
        at += 1


def _part(text: str, name: str, at: int, start: int, end: int) -> Part:
    return Part(name, line_of(text, at), start, end, text[start:end])


def _plain(mark: re.Match[str]) -> str:
    """标题的字：反引号与星号只是样子。"""
    return re.sub(r"[`*]", "", mark["atx"] or mark["setext"])


def _fence(opened: re.Match[str], line: int, lines: list[str]) -> Fence:
    """`python`、`.python`、`{ .python }` 是一种语言；花括号里的属性不算选项。"""
    rest = opened["rest"].strip()
    named = _CLASS.match(rest)
    options = "" if rest.startswith("{") else rest
    return Fence(opened["lang"] or (named[1] if named else ""), options, line, tuple(lines))


def _close(lines: list[str], at: int, mark: str) -> int | None:
    ends = (n for n in range(at + 1, len(lines)) if lines[n].strip(" \t>\r") == mark)
    return next(ends, None)


def _rendered(lines: list[str], at: int, lead: str) -> bool:
    """缩进四格以上的，上面要有列表项或折叠框；没有，就是一段缩进的代码。"""
    indent = _width(lead)
    if indent < 4 or ">" in lead:
        return True
    for line in reversed(lines[:at]):
        if line.strip() and _width(line) < indent:
            if _CONTAINER.match(line):
                return True
            indent = _width(line)
    return False


def _width(line: str) -> int:
    wide = line.expandtabs(4)
    return len(wide) - len(wide.lstrip())
