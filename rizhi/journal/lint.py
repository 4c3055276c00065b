"""流水账的几条规矩：有没有链接到知识点、有没有思考、挑战有没有下一步；什么算他自己写的字。"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rizhi.errors import Fault
from rizhi.journal.day import CHALLENGE, GOALS, PLAN, THOUGHTS, Day, Section, read_days, short_title
from rizhi.template import boilerplate
from rizhi.vault import Vault

_WORD = re.compile(r"[\u3400-\u9fff]|(?:[^\W\u3400-\u9fff]|')+")
_TARGET = re.compile(r"\]\([^)\n]*\)")
_MARKS = {"-", "*", "#", "##", "###", "---", "***", "[", "]", "[x]", "[-]"}
_LABEL = re.compile(r"(?:[-*+] )?\**挑战\**[：:]\**")


@dataclass(frozen=True)
class Lack(Fault):
    """一天里缺的一样东西，与它犯了哪条规则。"""

    rule: str


@dataclass(frozen=True)
class Written:
    """写过的一天；`own` 是他自己写的字。"""

    date: date
    page: Day
    own: str

    @property
    def title(self) -> str:
        return short_title(self.page, self.date)


def lacking(day: Day, topics: int, template: re.Pattern[str]) -> list[Lack]:
    """一天缺了什么；一个字没写的，只说这一条。`topics` 是这一天链接到几篇笔记。"""
    own = own_text(day, template)
    if not own:
        return [Lack(1, "还没有写：只有模板文字", "写上今天的成果与思考", "R206")]
    return list(_lacks(day, topics, own))


def own_text(day: Day, template: re.Pattern[str]) -> str:
    """他自己写的字：标题、模板文字、空条目与今日目标（多半是顺延来的）都不算。

    只有标点的是空的：写没写过与写了多少字，说的总是同一回事。
    """
    own = "\n".join(line for line in _lines(day) if line and not template.fullmatch(line))
    return own if words(own) else ""


def words(text: str) -> int:
    """字数：汉字一个算一个，别的文字一词算一个；链接只算显示的文字。"""
    return len(_WORD.findall(_TARGET.sub("]", text)))


def last_written(vault: Vault, days: Sequence[Day]) -> Day | None:
    """最近真正写过的一天：只建了页、一个字没写的不算。"""
    template = boilerplate(vault)
    return next((day for day in reversed(days) if own_text(day, template)), None)


def written(pages: Iterable[Day], template: re.Pattern[str]) -> list[Written]:
    """真正写过的那些天；读不出的、只有模板的不算。"""
    dated = ((page.date, page, own_text(page, template)) for page in pages if page.text)
    return [Written(day, page, own) for day, page, own in dated if day and own]


def read_written(vault: Vault, warn: Callable[[str], None]) -> list[Written]:
    """读出真正写过的那些天；读不出的，说给 `warn`。"""
    days = read_days(vault)
    for day in (day for day in days if not day.text):
        warn("；".join(fault.message for fault in day.faults) + "（跳过这一页）")
    return written(days, boilerplate(vault))


def _lacks(day: Day, topics: int, own: str) -> Iterator[Lack]:
    if not topics:
        yield Lack(1, "没有链接到任何笔记", "把今天的知识点链接到一篇笔记", "R203")
    thoughts = day.section(THOUGHTS)
    if not any(_said(section) for section in thoughts):
        line = day.document.line(thoughts[0].start) if thoughts else 1
        yield Lack(line, "思考是空的", "写一条：哪里没懂、为什么错、以后怎么做", "R204")
    challenges = [s for s in day.section(CHALLENGE) if _LABEL.sub("", _said(s)).strip()]
    if challenges and not _next_step(day):
        line = day.document.line(challenges[0].start)
        yield Lack(line, "挑战没有下一步", "在明日计划里写一条能动手的", "R205")
    whole = "".join(day.text[s.start : s.end] for s in day.sections if s.name != GOALS)
    if _size(own) * 2 < _size(whole):
        message = f"大半是模板文字，自己写的只有 {words(own)} 字"
        yield Lack(1, message, "写完，或删掉不用的节", "R206")


def _size(text: str) -> int:
    """有多少个字符；空白、记号、链接的去处不算。"""
    return sum(len(part) for part in _TARGET.sub("]", text).split() if part not in _MARKS)


def _next_step(day: Day) -> bool:
    planned = any(item.text for section in day.section(PLAN) for item in section.items)
    prose = any(_said(section) for section in day.section(PLAN) if section.level)
    return planned or prose or any(i.todo for s in day.section(CHALLENGE) for i in s.items)


def _lines(day: Day) -> Iterator[str]:
    for section in day.sections:
        if section.name != GOALS:
            yield from section.prose
            for item in section.items:
                yield item.text
                for note in day.document.notes(item):
                    yield from map(str.strip, day.text[note.start : note.end].splitlines())


def _said(section: Section) -> str:
    return "\n".join([*section.prose, *(item.text for item in section.items)]).strip()
