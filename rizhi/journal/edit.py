"""往今天这一页里添一行、勾一格：由读好的一页给出新文字，别的字节不动；纯函数。"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date

from rizhi.errors import RizhiError
from rizhi.frontmatter import newline
from rizhi.journal.day import (
    ACHIEVED,
    CANONICAL,
    CHALLENGE,
    DONE,
    GOALS,
    PLAN,
    Day,
    Section,
    canonical,
)
from rizhi.journal.todo import PARKED, brief, key, marked, waits
from rizhi.markdown import Block, Document, Item, spliced

_MARKERS = {ACHIEVED: "1.", GOALS: "1. [ ]", DONE: "- [x]", PLAN: "- [ ]"}
_EMPTY_LABEL = re.compile(r"^挑战[：:][ \t]*(?=\r?$)", re.M)


def append(day: Day, wanted: str, content: str, mark: str = "") -> str:
    """在一节的末尾添一行；模板留着的空条目先填上。

    `wanted` 是节名，或其中独有的一段；`mark` 是勾选框里的字，不写就照那一节的样子。
    异常：没有这一节、不止一节像它，或那里添不进去，抛 RizhiError。
    """
    name = section_named(day, wanted)
    section = _free(day, name)
    if section is None:
        return _with_heading(day.text, name, content, mark)
    for text, start in _tries(day, section, content, mark):
        if _came(day, text, start, name, content):
            return text
    why = f"添在「{name}」里会与上下的行连成一段，或落进没有合上的代码块、注释"
    line = day.document.line(section.start)
    raise RizhiError(f"{why}；合上它，或在那里空一行。", day.path, line)


def settle(day: Day, wanted: str, mark: str, origin: str = "") -> str | None:
    """把一页里的这件事都打上记号（x 或 -）；没有能打的返回 None。

    给了 `origin` 就只打写着它的，与今日目标里的：头一次照计划带上的不写自哪天来。
    """
    goals = {item.start for section in day.section(GOALS) for item in section.items}
    same = [
        item
        for item in day.items
        if item.todo and key(item) == wanted and (origin in item.text or item.start in goals)
    ]
    edits = [marked(item, mark) for item in same if waits(item) and item.marker]
    return spliced(day.text, edits) if edits else None


def park(day: Day, wanted: str, until: date) -> str | None:
    """今天的计划里已有这件事，就地改成搁到 `until`；没有返回 None。"""
    plan = [item for section in day.section(PLAN) for item in section.items]
    same = [i for i in plan if i.todo and i.marker and waits(i) and key(i) == wanted]
    if not same:
        return None
    item = same[-1]
    text = f"{brief(item.text)} 📅 {until}"
    return spliced(day.text, [marked(item, PARKED), (item.body, item.end, text)])


def section_names(day: Day) -> list[str]:
    """能往里添的各节：页里写了的，与模板里有的。"""
    own = (section.name for section in day.sections if section.level != 1 and section.name)
    return list(dict.fromkeys([*own, *CANONICAL]))


def section_named(day: Day, wanted: str) -> str:
    """节的名字：全名，或独有的一段。

    异常：没有，或不止一节像它，抛 RizhiError，列出现有的。
    """
    name = canonical(wanted)
    known = section_names(day)
    if name in known:
        return name
    like = [other for other in known if name and name in other]
    if len(like) == 1:
        return like[0]
    why = f"不止一节像「{wanted}」：{'、'.join(like)}" if like else f"没有「{wanted}」这一节"
    raise RizhiError(f"{why}；现有：{'、'.join(known)}。")


def _free(day: Day, name: str) -> Section | None:
    """同名的几节里，有空条目的先用，否则用最后一节。"""
    same = day.section(name)
    return next((s for s in same if _slot(day.document, s)), same[-1] if same else None)


def _slot(document: Document, section: Section) -> Item | None:
    """模板留着的空条目。"""
    bare = (item for item in section.items if not item.text and item.marker)
    alone = (i for i in bare if not document.children(i) and not document.notes(i))
    return next(alone, None)


def _tries(day: Day, section: Section, content: str, mark: str) -> Iterator[tuple[str, int]]:
    """可以添的几处，先好后坏：新的全文，与新的一条从哪里起（不成一条的是 -1）。"""
    document, text = day.document, day.text
    slot = _slot(document, section)
    if slot:
        line = _line(section.name, slot.marker, slot.box >= 0, content, mark)
        end = document.line_end(slot.start)
        stop = slot.start + len(text[slot.start : end].rstrip("\r\n"))
        yield spliced(text, [(slot.start, stop, line)]), slot.start
    if section.name == CHALLENGE:
        label = _EMPTY_LABEL.search(text, section.body, section.end)
        if label and not document.hidden(label.start()):
            yield spliced(text, [(label.end(), label.end(), content)]), -1
    blocks = (b for b in document.blocks if section.body <= b.start < section.end)
    inside = [block for block in blocks if block.depth == 0]
    stop = section.topics[0].start if section.topics else section.end
    own = [item for item in section.items if item.start < stop]
    said = [block for block in inside if block.start < stop]
    if not own and not said:  # 一上来就是小标题：添在最后一个小标题之下
        own, said = list(section.items), inside
    yield _after(day, section, _last(document, own), said, content, mark)
    if own:
        yield _after(day, section, None, said, content, mark)


def _after(
    day: Day, section: Section, last: Item | None, said: list[Block], content: str, mark: str
) -> tuple[str, int]:
    """添在最后一条之后；没有条目，就添在最后一段话之后。"""
    text, end = day.text, newline(day.text)
    if last:
        at = _line_stop(text, last.last)
        line = _line(section.name, _next(last.marker), last.box >= 0, content, mark)
        before = end + day.document.prefix(last)
    else:
        at = _line_stop(text, said[-1].end) if said else _heading_stop(day, section)
        line = _first_line(section.name, content, mark)
        before = end * 2
    tail = text[at:]
    after = end if re.match(r"[ \t]*\r?\n(?![ \t]*\r?\n)(?=\S)", tail) and not last else ""
    return f"{text[:at]}{before}{line}{after}{tail}", at + len(before)


def _line_stop(text: str, position: int) -> int:
    """这个位置之前最后一个字所在的行，到换行为止。"""
    at = len(text[:position].rstrip())
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if text[end - 1 : end] == "\r" else end


def _heading_stop(day: Day, section: Section) -> int:
    """标题那一行到换行为止；行内的「明日计划：」到它的话说完为止。"""
    if not section.level:
        said = [item.end for item in section.items if not item.marker]
        return _line_stop(day.text, max(said, default=day.document.line_end(section.start)))
    before = day.text[: section.body]
    return _line_stop(day.text, section.body) if before.strip() else section.body


def _last(document: Document, items: list[Item]) -> Item | None:
    """最外层的最后一条：新的一行与它同级、同样的写法；引用块里的不算。"""
    outer = [i for i in items if i.marker and i.parent < 0 and not document.prefix(i).strip()]
    return outer[-1] if outer else None


def _next(marker: str) -> str:
    number = re.match(r"\d+", marker)
    return f"{int(number[0]) + 1}{marker[number.end() :]}" if number else marker


def _line(section: str, marker: str, boxed: bool, content: str, mark: str) -> str:
    state = mark or ("x" if section == DONE else " ")
    box = f"[{state}] " if boxed or mark or section == DONE else ""
    return f"{marker} {box}{content}"


def _first_line(section: str, content: str, mark: str) -> str:
    """一节里的第一条。"""
    marker, _, box = _MARKERS.get(section, "-").partition(" ")
    return _line(section, marker, bool(box), content, mark)


def _with_heading(text: str, name: str, content: str, mark: str) -> str:
    """页里没有这一节（例如导入的旧总结），就在末尾补上标题。"""
    end = newline(text)
    gap = "" if not text or text.endswith(end * 2) else end if text.endswith("\n") else end * 2
    line = _first_line(name, content, mark)
    return f"{text}{gap}## {name}{end * 2}{line}{end}"


def _came(day: Day, text: str, start: int, name: str, content: str) -> bool:
    """新的一行真的是那一节里的一条，没有吞掉下一行；原来的条目与各节也一样不少。"""
    new = Day(day.path, text)
    stop = text.index(content, start) + len(content) if start >= 0 else 0
    old = Counter(item.text for item in day.items if item.text)
    kept = Counter(i.text for i in new.items if i.text and not start <= i.start < stop)
    if old != kept or [s.name for s in day.sections] != [s.name for s in new.sections]:
        return False
    words = content.partition("\n")[0]
    came = [i for s in new.section(name) for i in s.items if i.start == start]
    return start < 0 or (bool(came) and words.endswith(came[0].text))
