"""往今天这一页里添一行、勾一格：只由旧文字给出新文字，别的字节不动；纯函数。"""

import re

from rizhi.entry import (
    ACHIEVED,
    CANONICAL,
    CHALLENGE,
    DONE,
    GOALS,
    PLAN,
    Entry,
    Item,
    Section,
    canonical,
    parse,
)
from rizhi.todo import by_key
from rizhi.vault import RizhiError

_MARKERS = {ACHIEVED: "1.", GOALS: "1. [ ]", DONE: "- [x]", PLAN: "- [ ]"}
_EMPTY_LABEL = re.compile(r"^挑战[：:][ \t]*(?=\r?$)", re.M)


def append(text: str, name: str, content: str, mark: str = "x") -> str:
    """在一节的末尾添一行；模板留着的空条目先填上。`mark` 是今日完成那一格里的字符。

    异常：没有这一节，抛 RizhiError，列出现有的。
    """
    section = _find(parse(text), canonical(name))
    if section is None:
        return _with_heading(text, canonical(name), content, mark)
    slot = next((i for i in section.items if not i.text and not i.detail and i.bullet), None)
    if slot:
        start = text.index(slot.bullet, slot.start)  # 缩进照旧，制表符也是
        end = start + len(text[start : slot.end].rstrip("\r"))
        line = _line(section.name, slot.bullet, slot.box >= 0, content, mark)
        return text[:start] + line + text[end:]
    if section.name == CHALLENGE:
        label = _EMPTY_LABEL.search(text, section.body, section.end)
        if label:
            return f"{text[: label.start()]}{label[0].rstrip()}{content}{text[label.end() :]}"
    return _after_last(text, section, content, mark)


def settle(text: str, key: str, mark: str, origin: str = "") -> str | None:
    """把一页里的这件事都打上记号（x 或 -），给了 `origin` 就只打写着它的；没有能打的返回 None。"""
    same = (item for item in by_key(parse(text).todos, key) if origin in item.text)
    found = [item for item in same if item.state in (None, "open") and item.bullet]
    for item in reversed(found):
        if item.box >= 0:
            text = text[: item.box] + mark + text[item.box + 1 :]
        else:
            at = text.index(item.bullet, item.start) + len(item.bullet)
            text = f"{text[:at]} [{mark}]{text[at:]}"
    return text if found else None


def _find(entry: Entry, name: str) -> Section | None:
    """同名的几节里，有空条目的先用，否则用最后一节。"""
    found = entry.section(name)
    if not found and name not in CANONICAL:
        known = dict.fromkeys([*(s.name for s in entry.sections if s.level != 1), *CANONICAL])
        raise RizhiError(f"没有「{name}」这一节；现有：{'、'.join(known)}。没有改动任何文件。")
    free = [s for s in found if any(not item.text for item in s.items)]
    return free[0] if free else found[-1] if found else None


def _with_heading(text: str, name: str, content: str, mark: str) -> str:
    """页里没有这一节（例如导入的旧总结），就在末尾补上标题。"""
    end = _newline(text)
    gap = "" if not text or text.endswith(end * 2) else end if text.endswith("\n") else end * 2
    line = f"{_MARKERS.get(name, '-')} {content}".replace("[x]", f"[{mark}]")
    return f"{text}{gap}## {name}{end * 2}{line}{end}"


def _after_last(text: str, section: Section, content: str, mark: str) -> str:
    end = _newline(text)
    at = section.start + _last_line_end(section.raw)
    last = _last(section.items)
    if last is None:
        line = f"{_MARKERS.get(section.name, '-')} {content}".replace("[x]", f"[{mark}]")
    else:
        bullet = _next(last.bullet)
        line = " " * last.indent + _line(section.name, bullet, last.box >= 0, content, mark)
    tail = text[at:]
    attached = (section.items and section.items[-1].end >= at) or _ends_in_detail(section)
    before = end if attached else end * 2
    after = end if re.match(r"[ \t]*\r?\n(?![ \t]*\r?\n)\S", tail) else ""
    return f"{text[:at]}{before}{line}{after}{tail}"


def _last_line_end(raw: str) -> int:
    """最后一个有字的行到哪里为止：行末的空格也算它的。"""
    end = raw.find("\n", len(raw.rstrip()))
    return len(raw) if end < 0 else end - (raw[end - 1] == "\r")


def _ends_in_detail(section: Section) -> bool:
    return bool(section.items and section.items[-1].detail) and not section.prose


def _last(items: tuple[Item, ...]) -> Item | None:
    """最外层的最后一条：新的一行与它同级、同样的写法。"""
    outer = min((i.indent for i in items if i.bullet), default=0)
    return next((i for i in reversed(items) if i.bullet and i.indent == outer), None)


def _next(bullet: str) -> str:
    number = re.match(r"\d+", bullet)
    return f"{int(number[0]) + 1}{bullet[number.end() :]}" if number else bullet


def _line(section: str, bullet: str, boxed: bool, content: str, mark: str) -> str:
    box = f" [{mark}]" if section == DONE else " [ ]" if boxed else ""
    return f"{bullet}{box} {content}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
