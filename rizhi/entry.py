"""一天的总结：读出章节、条目与链接，一个字节也不丢；纯函数。

他是手打的：标题可能写成「## 二 .思考」，冒号有全角有半角，条目会续行、会嵌套。
读不懂的行原样留着，`render` 总能还出原文。
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rizhi.vault import split_front_matter

CANONICAL = (
    "今日目标",
    "主线任务拆解",
    "今日完成",
    "今日成果",
    "思考",
    "遇到的挑战与明日计划",
    "今日总结",
    "明日计划",
)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_ITEM = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)、．])(?:[ \t]+(?:(\[[ xX-]\])(?:[ \t]+|$))?(.*)|$)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_PLAN = re.compile(r"[ \t]*(?:\*\*)?明日计划(?:\*\*)?[ \t]*[：:][ \t]*(?:\*\*)?(.*)")
_NUMBERING = re.compile(r"^(?:[（(]?(?:[一二三四五六七八九十]+|\d+)[)）]?\s*[.、．:：)）]?\s*)")
_LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(\s*<?([^)>\s]+)>?[^)\n]*\)")
_STATES = {"[ ]": "open", "[x]": "done", "[X]": "done", "[-]": "dropped"}


@dataclass(frozen=True)
class Item:
    """一个条目；续行并进 `text`，`state` 没有勾选框时是 None。"""

    text: str
    state: str | None
    line: int
    indent: int
    numbered: bool

    @property
    def todo(self) -> bool:
        """是不是要做的事：有勾选框，或写了【待办】；空的勾选框是模板文字。"""
        return bool(self.text) and (self.state is not None or "【待办】" in self.text)


@dataclass(frozen=True)
class Section:
    """一节：`name` 是规范名，认不出就照他写的；`level` 为 0 表示行内的「明日计划：」。"""

    name: str
    level: int
    line: int
    end: int  # 这一节最后一行的下一行
    items: tuple[Item, ...]
    prose: tuple[str, ...]

    @property
    def known(self) -> bool:
        return self.name in CANONICAL


@dataclass(frozen=True)
class Entry:
    """一页总结；`lines` 连着换行符，拼起来就是原文。"""

    lines: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def stubs(self) -> tuple[Section, ...]:
        """只写了主题名、等着写成笔记的二级标题：没有正文，或只有简短的提问。"""
        return tuple(s for s in self.sections if s.level == 2 and not s.known and _is_stub(s))

    @property
    def todos(self) -> tuple[Item, ...]:
        return tuple(item for s in self.sections for item in s.items if item.todo)

    def section(self, name: str) -> tuple[Section, ...]:
        """同一个规范名的全部章节：计划可能单成一节，也可能写在挑战里。"""
        return tuple(s for s in self.sections if s.name == name)


def parse(text: str) -> Entry:
    """读一页总结。"""
    lines = tuple(text.splitlines(keepends=True))
    _, offset, _ = split_front_matter(text)
    first = text.count("\n", 0, offset)
    starts = list(_starts(lines, first))
    ends = [line for line, _, _, _ in starts[1:]] + [len(lines)]
    sections = (
        _section(lines, line, end, level, name, rest)
        for (line, level, name, rest), end in zip(starts, ends, strict=True)
    )
    return Entry(lines, tuple(sections))


def render(entry: Entry) -> str:
    """还出原文。"""
    return "".join(entry.lines)


def plan(text: str) -> list[str]:
    """明天要做的：两种写法的明日计划与还开着的【待办】，同一件事只留一次。"""
    entry = parse(text)
    found = [i for s in entry.section("明日计划") for i in s.items if i.state in (None, "open")]
    found += [i for i in entry.todos if i.state in (None, "open") and "【待办】" in i.text]
    unique = {normalised(item.text): item.text for item in reversed(found) if item.text}
    return [text for key, text in reversed(unique.items()) if key]


def normalised(text: str) -> str:
    """同一件事的判据：去掉标记、标点、空白、期限与「已顺延」之后的文字。"""
    text = re.sub(r"（?已顺延[^）]*）?|（自 ?\d{4}-\d\d-\d\d[^）]*）", "", text)
    text = re.sub(r"(?:📅|@)\s*\d{4}-\d\d-\d\d", "", text).replace("【待办】", "")
    text = _LINK.sub(r"\1", text)
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def links(text: str) -> list[tuple[str, str, int]]:
    """页内的 Markdown 链接：（文字, 目标, 行号），代码里的不算。"""
    found = []
    for number, line in _outside_code(tuple(text.splitlines(keepends=True)), 0):
        prose = re.sub(r"`[^`\n]*`", lambda code: " " * len(code[0]), line)
        found += [(m[1], m[2], number + 1) for m in _LINK.finditer(prose)]
    return found


def canonical(heading: str) -> str:
    """标题的规范名：去掉编号、星号与空白；认不出的照他写的。"""
    bare = heading.replace("*", "").strip()
    plain = unicodedata.normalize("NFKC", _NUMBERING.sub("", bare)).replace(" ", "").rstrip(":.。")
    return plain if plain in CANONICAL else bare


def _outside_code(lines: tuple[str, ...], first: int) -> Iterator[tuple[int, str]]:
    fence = ""
    for number in range(first, len(lines)):
        found = _FENCE.match(lines[number])
        if fence:
            fence = "" if found and found[1].startswith(fence) else fence
        elif found:
            fence = found[1]
        else:
            yield number, lines[number].rstrip("\r\n")


def _starts(lines: tuple[str, ...], first: int) -> Iterator[tuple[int, int, str, str]]:
    """每一节从哪一行起：（行, 级别, 规范名, 同一行余下的文字）。"""
    inside = ""
    for number, line in _outside_code(lines, first):
        heading = _HEADING.match(line.lstrip("\ufeff"))
        plan_line = _PLAN.match(line)
        if heading:
            inside = canonical(heading[2])
            yield number, len(heading[1]), inside, ""
        elif plan_line and inside == "遇到的挑战与明日计划":
            yield number, 0, "明日计划", plan_line[1]


def _section(
    lines: tuple[str, ...], line: int, end: int, level: int, name: str, rest: str
) -> Section:
    items, prose = [], []
    if rest.strip():
        items.append(Item(rest.strip(), None, line + 1, 0, False))
    blank = False
    for number, text in _outside_code(lines[:end], line + 1):
        found = _ITEM.match(text)
        if found:
            items.append(_item(found, number + 1))
        elif text.strip() and items and (not blank or text[:1] in " \t"):
            items[-1] = _continued(items[-1], text.strip())
        elif text.strip():
            prose.append(text.strip())
        blank = not text.strip()
    return Section(name, level, line + 1, end, tuple(items), tuple(prose))


def _item(found: re.Match[str], line: int) -> Item:
    text = (found[4] or "").strip()
    state = _STATES.get(found[3] or "")
    if re.fullmatch(r"~~.+~~[。.]?", text):
        state, text = "dropped", text.strip("。.").strip("~")
    numbered = found[2] not in "-*+"
    return Item(text, state, line, len(found[1].expandtabs(4)), numbered)


def _continued(item: Item, text: str) -> Item:
    joined = f"{item.text} {text}".strip()
    return Item(joined, item.state, item.line, item.indent, item.numbered)


def _is_stub(section: Section) -> bool:
    questions = all(
        i.text.rstrip().endswith(("？", "?")) and len(i.text) < 40 for i in section.items
    )
    return not section.prose and questions
