"""跨越许多天的待办：哪天写下、顺延几次、现在如何；纯函数。

一件事无论抄到几页都是同一件：看的是去掉记号、空白、期限、末尾的标点与后缀之后的文字。
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import NamedTuple

from rizhi import dates
from rizhi.journal.day import TODO, Day
from rizhi.links import moved
from rizhi.markdown import Item, parse

CARRIED_TOO_OFTEN = 3
SOON = timedelta(days=7)
PARKED = ">"
SUFFIX = re.compile(r"(?:\s*[（(](?:已顺延|自 ?\d{4}-\d\d-\d\d)[^（()）]*[)）])+(?=[\s。.*~]*$)")
# 📅 与 @ 是期限；其余是 Obsidian 的任务插件自己添的日子
_CALENDAR = rf"[📅📆🗓]\ufe0f?\s*(?P<calendar>{dates.WRITTEN})"
_AT = rf"(?<![\w.@])@(?P<at>{dates.WRITTEN})"
_DUE = re.compile(rf"(?:{_CALENDAR}|{_AT})(?![\w-])", re.A)
_STAMP = rf"(?:{_DUE.pattern}|[⏳🛫➕✅❌]\ufe0f?\s*\d{{4}}-\d{{1,2}}-\d{{1,2}})"
_STAMPS = re.compile(rf"\s*(?:[（(]\s*{_STAMP}\s*[)）]|{_STAMP.replace('(?P<', '(?P<_')})", re.A)
_TAIL = re.compile(rf"(?:{_STAMPS.pattern})+[。.]?$".replace("(?P<", "(?P<t"), re.A)
_DAYS = re.compile("[@📅📆🗓]")
_WIDTHLESS = re.compile("[\\u200b\\u200c\\u200d\\u2060\\ufeff]")
_EXTRA = re.compile("[@📅📆🗓⏳🛫➕✅❌（(【\\u200b\\u200c\\u200d\\u2060\\ufeff]")
_FIRST, _LAST = "，。；：、！？…", "，。；：、！？….,;:!?"
# `__init__` 是名字，不是加粗
_WHOLE = re.compile(r"(\*\*|~~)(?=\S)((?:(?!\1).)+)(?<=\S)\1[。.]?")
_RANK = {"open": 0, "dropped": 1, "done": 2}


class Mention(NamedTuple):
    """一件事在一页里出现一次；`weak` 是没有勾选框、只被划掉的条目，自己不算待办。

    `text` 里引用式的链接写成了行内的：它要抄到没有那条定义的地方去。
    `mark` 是勾选框里的字，`under` 是它的父条目的 `key`，没有是空的。
    """

    key: str
    text: str
    state: str
    line: int
    mark: str = ""
    due: date | None = None
    under: str = ""
    weak: bool = False


_Life = list[tuple[date, Mention]]


@dataclass(frozen=True, slots=True)
class Todo:
    """一件事的一生：`days` 是它出现过的每一天，`lines` 是头一次与最近一次的行号。

    `due` 是最近说的期限，`first_due` 是写下时说的。
    """

    key: str
    text: str
    state: str
    days: tuple[date, ...]
    lines: tuple[int, int]
    mark: str = ""
    due: date | None = None
    under: str = ""
    first_due: date | None = None

    @property
    def born(self) -> date:
        return self.days[0]

    @property
    def last(self) -> date:
        return self.days[-1]

    @property
    def carried(self) -> int:
        return len(self.days) - 1

    @property
    def id(self) -> str:
        """六位十六进制，给人看、给人打；写得再长些，就是 `number` 的开头。"""
        return self.number[:6]

    @property
    def number(self) -> str:
        """十六位十六进制：由写下的那天与文字定，顺延不改；改了文字就是另一个。"""
        return numbered(self.born, self.key)

    def age(self, today: date) -> int:
        """写下到今天过了几天。"""
        return max((today - self.born).days, 0)

    def parked(self, today: date) -> bool:
        """搁着，还没有到说好的那天。"""
        return self.mark == PARKED and self.due is not None and self.due > today

    def as_of(self, today: date) -> "Todo":
        """到了说好的那天，搁着的就是普通的一件：那天不是期限，过了也不算逾期。"""
        woken = self.mark == PARKED and self.due is not None and self.due <= today
        return replace(self, mark="", due=None) if woken else self


def numbered(born: date, key: str) -> str:
    """那天写下的一件事的编号。"""
    import hashlib  # 载入 openssl 要几毫秒，`new` 用不着

    return hashlib.sha256(f"{born} {key}".encode()).hexdigest()[:16]


def mentions(day: Day) -> list[Mention]:
    """一页里提到的待办，按出现的先后；没有勾选框而被划掉的也在其中。"""
    keys: dict[int, str] = {}  # 父条目总在子条目前面
    said = []
    for item in day.items:
        if item.todo or (item.struck and item.plain):
            said.append(_mention(day, item, keys.get(item.parent, "")))
            if item.todo and item.number >= 0:
                keys[item.number] = said[-1].key
    return said


def lives(days: Iterable[tuple[date, Sequence[Mention]]]) -> list[Todo]:
    """从早到晚走一遍，返回每件事的一生，按写下的先后。

    一天里出现两次算一次，勾掉的压过开着的；做完以后又写下同样的文字，是新的一件。
    """
    alive: dict[str, _Life] = {}
    ended: set[str] = set()
    every: list[_Life] = []
    for day, said in days:
        for name, mentions in _by_key(said).items():
            life = alive.get(name)
            mention = _deciding(mentions, life[-1][1].under if life else None, name in ended)
            if mention is None:
                continue
            if life:
                life.append((day, mention))
            elif not mention.weak:
                alive[name] = [(day, mention)]
                every.append(alive[name])
            if mention.state != "open":
                alive.pop(name, None)
                ended.add(name)
    return [_todo(life) for life in every]


def still_open(every: Iterable[Todo]) -> list[Todo]:
    """还开着的：有期限的在前，再按写下的先后。"""
    opened = (t for t in every if t.state == "open")
    return sorted(opened, key=lambda t: (t.due or date.max, t.born))  # 同一天的，按页里的先后


def settled_since(every: Iterable[Todo], day: date) -> set[str]:
    """那天之后了结的：其间的几页若只打了勾、没写别的，上一篇的计划里它们还开着。"""
    return {t.key for t in every if t.state != "open" and t.last > day}


def matching(every: Iterable[Todo], wanted: str) -> list[Todo]:
    """按编号、全文、编号的开头或一段文字找开着的待办；前一种找到了就不看后一种。"""
    candidates = still_open(every) if wanted.strip() else []
    number, name = wanted.strip().lower(), key_of(wanted)
    part = name.casefold()
    prefix = len(number) >= 3
    for test in (
        lambda t: t.id == number,
        lambda t: t.key == name,
        lambda t: prefix and t.number.startswith(number),
        lambda t: part in t.key.casefold(),
    ):
        hits = [t for t in candidates if test(t)]
        if hits:
            return hits
    return []


def waits(item: Item) -> bool:
    """还等着做：开着，或是没有勾选框的一条。"""
    return item.state in (None, "open")


def marked(item: Item, mark: str) -> tuple[int, int, str]:
    """在勾选框里打上记号要改的一处；没有框的，添在条目记号后面。"""
    if item.box >= 0:
        return item.box, item.box + 1, mark
    at = item.start + len(item.marker)
    return at, at, f" [{mark}]"


def key(item: Item) -> str:
    """同一件事的判据：只差记号、空白、期限、末尾的标点与「已顺延」后缀的，是同一件。

    只有期限或标点的，就看它们；只写了【待办】的是空的，同空的勾选框一样不算一件事。
    """
    text = whole = item.plain
    if _EXTRA.search(text):  # 多数条目没有这些字，省下几遍替换
        whole = _WIDTHLESS.sub("", SUFFIX.sub("", text).replace(TODO, ""))
        text = SUFFIX.sub("", _STAMPS.sub("", whole))
    words = "".join(text.split())
    return words.strip(_FIRST).rstrip(_LAST) or words or "".join(whole.split())


def key_of(text: str) -> str:
    """一行文字写成待办时的判据。"""
    items = parse(f"- {text.strip()}").items
    return (items and key(items[0])) or "".join(text.split())


def shown(text: str) -> str:
    """给人看的写法：去掉后缀与套住整条的记号，别的照旧。"""
    text = SUFFIX.sub("", text).strip()
    stamps = _TAIL.search(text)
    tail = stamps[0].rstrip("。") if stamps else ""
    text = text[: stamps.start()].strip() if stamps else text
    while whole := _WHOLE.fullmatch(text):
        text = whole[2].strip()
    return SUFFIX.sub("", text).strip().rstrip("。") + tail


def brief(text: str) -> str:
    """列表里的写法：期限与【待办】另有地方写。"""
    text = shown(text)
    return _STAMPS.sub("", text).replace(TODO, "").strip().rstrip("。") or text


def due_of(day: Day, item: Item) -> date | None:
    """一条的期限：`📅 2026-11-30`、`@11-30` 或 `@明天`；没有这一天就当没写。"""
    return next((d for _, d in dues_of(day, item) if d), None)


def dues(text: str, day: date) -> list[tuple[str, date | None]]:
    """写成期限的每一处：怎么写的，是哪一天；不是真有的日期是 None。"""
    written = (match["calendar"] or match["at"] for match in _DUE.finditer(text))
    return [(short, dates.read(short, day)) for short in written]


def dues_of(day: Day, item: Item) -> list[tuple[str, date | None]]:
    """一条里写成期限的每一处；代码、公式、注释与链接的目标里的不算。"""
    if not _DAYS.search(item.text):
        return []
    return dues(day.document.blanked[item.body : item.end], day.date or date(1900, 1, 1))


def dated(text: str, day: date) -> str:
    """期限写成哪年哪月哪日：`@明天` 抄到别的一页也还是那一天。"""

    def written(match: re.Match[str]) -> str:
        short = match["calendar"] or match["at"]
        due = dates.read(short, day)
        return match[0].removesuffix(short) + str(due) if due else match[0]

    return _DUE.sub(written, text)


def aged(text: str, todo: Todo, today: date) -> str:
    """抄进新的一页时的写法：写明自哪天起、几天了；顺延够三次就请他做个决断。"""
    times = len(todo.days)  # 写进今天这一页，正是第这么多次顺延
    ask = f"；第 {times} 次了，拆小、排期还是放弃？" if times >= CARRIED_TOO_OFTEN else ""
    return f"{shown(text)}（已顺延 {todo.age(today)} 天，自 {todo.born}{ask}）"


def _mention(day: Day, item: Item, under: str) -> Mention:
    line, state = day.document.line(item.start), item.state or "open"
    text, known = item.text, day.document.definitions
    text = moved(text, day.path, day.path, known) if known else text
    when = due_of(day, item)
    return Mention(key(item), text, state, line, item.mark, when, under, not item.todo)


def _by_key(said: Sequence[Mention]) -> dict[str, list[Mention]]:
    grouped: dict[str, list[Mention]] = {}
    for mention in said:
        grouped.setdefault(mention.key, []).append(mention)
    grouped.pop("", None)
    return grouped


def _deciding(mentions: list[Mention], under: str | None, ended: bool) -> Mention | None:
    """一件事在一页里出现几次，哪一次作数：勾掉的压过开着的，都开着就看搁着的、后写的。

    了结了的子条目跟着父条目一页页抄下去，不是又了结一次：`under` 是这件事现在跟着谁，
    没有开着是 None；`ended` 是它了结过没有。
    """
    copied = ended or under is not None
    told = [
        m for m in mentions if not (copied and m.under and m.state != "open" and m.under != under)
    ]
    return max(
        reversed(told),
        key=lambda m: (_RANK[m.state], m.mark == PARKED and m.due is not None),
        default=None,
    )


def _todo(life: _Life) -> Todo:
    (_, first), (_, last) = life[0], life[-1]
    days = tuple(day for day, _ in life)
    lines = (first.line, last.line)
    # 子条目的结局也许另记在今日完成里：它仍是那个父条目的
    closed = last.state != "open"
    under = next((m.under for _, m in reversed(life) if m.under), "") if closed else last.under
    dues = (last.due, under, first.due)
    return Todo(last.key, last.text, last.state, days, lines, last.mark, *dues)
