"""跨越许多天的待办：哪天写下、顺延几次、现在如何；纯函数。

一件事无论抄到几页都是同一件：看的是去掉标记、标点、空白、期限与后缀之后的文字。
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from rizhi.entry import Item, line_of, todos

CARRIED_TOO_OFTEN = 3
_SUFFIX = re.compile(r"[（(](?:已顺延|自 ?\d{4}-\d\d-\d\d)[^（()）]*[)）]")
_DUE = re.compile(r"(?:📅|@)\ufe0f?\s*(\d{4}-\d\d-\d\d)", re.A)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_NOISE = re.compile(r"[\W_]+")
_RANK = {"open": 0, "dropped": 1, "done": 2}


class Mention(NamedTuple):
    """一件事在一页里出现一次；`weak` 是没有勾选框、只被划掉的条目，自己不算待办。"""

    key: str
    text: str
    state: str
    line: int
    weak: bool = False


_Life = list[tuple[date, Mention]]


@dataclass(frozen=True, slots=True)
class Todo:
    """一件事的一生：`days` 是它出现过的每一天，`lines` 是头一次与最近一次的行号。"""

    text: str
    state: str
    days: tuple[date, ...]
    lines: tuple[int, int]

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
    def key(self) -> str:
        return normalised(self.text)

    @property
    def id(self) -> str:
        """六位十六进制：由写下的那天与文字定，顺延不改。"""
        import hashlib  # 载入 openssl 要几毫秒，`new` 用不着

        seed = f"{self.born} {self.key}".encode()
        return hashlib.sha256(seed).hexdigest()[:6]

    @property
    def due(self) -> date | None:
        return due(self.text)

    def age(self, today: date) -> int:
        """写下到今天过了几天。"""
        return max((today - self.born).days, 0)


def mentions(text: str) -> list[Mention]:
    """一页里提到的待办，按出现的先后。"""
    return [_mention(text, item) for item in todos(text)]


def lives(days: Iterable[tuple[date, Sequence[Mention]]]) -> list[Todo]:
    """从早到晚走一遍，返回每件事的一生，按写下的先后。

    一天里出现两次算一次，勾掉的压过开着的；做完以后又写下同样的文字，是新的一件。
    """
    alive: dict[str, _Life] = {}
    found: list[_Life] = []
    for day, made in days:
        for key, mention in _once(made).items():
            if key in alive:
                alive[key].append((day, mention))
            elif not mention.weak:
                alive[key] = [(day, mention)]
                found.append(alive[key])
            if mention.state != "open":
                alive.pop(key, None)
    return [_todo(life) for life in found]


def still_open(found: Iterable[Todo]) -> list[Todo]:
    """还开着的：有期限的在前，再按写下的先后。"""
    return sorted((t for t in found if t.state == "open"), key=_urgency)


def settled_since(found: Iterable[Todo], day: date) -> set[str]:
    """那天之后了结的：其间的几页若只打了勾、没写别的，上一篇的计划里它们还开着。"""
    return {t.key for t in found if t.state != "open" and t.last > day}


def matching(found: Iterable[Todo], wanted: str) -> list[Todo]:
    """按编号、全文或一段文字找开着的待办；前一种找到了就不看后一种。"""
    candidates = still_open(found)
    key = normalised(wanted)
    for test in (
        lambda t: t.id == wanted.strip().lower(),
        lambda t: t.key == key,
        lambda t: key in t.key,
    ):
        hits = [t for t in candidates if test(t)]
        if hits:
            return hits
    return []


def goals(planned: Iterable[Item], opened: Iterable[Todo], today: date) -> list[str]:
    """新一天的目标：先是上一篇的明日计划，再是还开着的待办；同一件事只出现一次。

    头一次照计划做的事不算顺延；其余的写明自哪天起、几天了，顺延够三次就请他做个决断。
    """
    known = {t.key: t for t in opened}
    lines: dict[str, str] = {}
    for item in planned:
        key = normalised(item.text)
        found = known.get(key)
        if found and (found.carried or "【待办】" in found.text + item.text):
            lines[key] = _aged(item.text, found, today)
        else:
            lines[key] = shown(item.text)
    for key, found in known.items():
        lines.setdefault(key, _aged(found.text, found, today))
    return [line for key, line in lines.items() if key]


@lru_cache(maxsize=1 << 16)
def normalised(text: str) -> str:
    """同一件事的判据：去掉标记、标点、空白、期限、【待办】与「已顺延」的后缀。"""
    bare = _NOISE.sub("", unicodedata.normalize("NFKC", _bare(text)).casefold())
    return bare or _bare(text).strip()  # 只有标点或表情的，按原样算


def shown(text: str) -> str:
    """给人看的写法：去掉加粗、后缀与句末的句号，别的照旧。"""
    text = _SUFFIX.sub("", text).replace("**", "").strip()
    return text.strip("~").strip().rstrip("。")


def brief(text: str) -> str:
    """列表里的写法：期限与【待办】另有地方写。"""
    return _DUE.sub("", shown(text)).replace("【待办】", "").strip()


def due(text: str) -> date | None:
    """期限：`📅 2026-11-30` 或 `@2026-11-30`；没有这一天就当没写。"""
    for found in _DUE.finditer(text):
        try:
            return date.fromisoformat(found[1])
        except ValueError:
            continue
    return None


def false_dues(text: str) -> list[str]:
    """写成期限、却不是真有的日期。"""
    return [found[1] for found in _DUE.finditer(text) if due(found[0]) is None]


def _bare(text: str) -> str:
    if "(" in text or "（" in text:
        text = _LINK.sub(r"\1", _SUFFIX.sub("", text))
    if "@" in text or "📅" in text:
        text = _DUE.sub("", text)
    return text.replace("【待办】", "")


def _mention(text: str, item: Item) -> Mention:
    state, line = item.state or "open", line_of(text, item.start)
    return Mention(normalised(item.text), item.text, state, line, not item.todo)


def _once(made: Sequence[Mention]) -> dict[str, Mention]:
    best: dict[str, Mention] = {}
    for mention in made:
        old = best.get(mention.key)
        if old is None or _RANK[mention.state] > _RANK[old.state]:
            best[mention.key] = mention
    best.pop("", None)
    return best


def _todo(life: _Life) -> Todo:
    (_, first), (_, last) = life[0], life[-1]
    return Todo(last.text, last.state, tuple(day for day, _ in life), (first.line, last.line))


def _aged(text: str, todo: Todo, today: date) -> str:
    times = len(todo.days)  # 写进今天这一页，正是第这么多次顺延
    ask = f"；第 {times} 次了，拆小、排期还是放弃？" if times >= CARRIED_TOO_OFTEN else ""
    return f"{shown(text)}（已顺延 {todo.age(today)} 天，自 {todo.born}{ask}）"


def _urgency(todo: Todo) -> tuple[date, date]:
    return todo.due or date.max, todo.born  # 同一天写下的，按页里的先后


def by_key(items: Iterable[Item], key: str) -> Iterator[Item]:
    """一页里属于同一件事的条目。"""
    return (item for item in items if normalised(item.text) == key)
