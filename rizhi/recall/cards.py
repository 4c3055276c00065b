"""题从哪里来：笔记的自测与记录过的短格子；笔记改了，还认得出是同一题。

题目的身份不是它的字：编号在头一次问时定下，写在日志里；改了字、换了次序、挪了笔记，按字找回来。
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rizhi.recall.log import KINDS
from rizhi.recall.recorded import Cell, Noted
from rizhi.recall.schedule import State
from rizhi.vault import Vault

K = TypeVar("K")
ASKED, PRINTED, SHAPED, RECITED, CAUGHT = KINDS
ALIKE = 0.75  # 两句话像到这样，就是改过的同一题
_LOOSE = re.compile(r"[\W_]+")
_CHOICE = re.compile(r"^\d+\. (.*)$", re.M)


@dataclass(frozen=True)
class Card:
    """笔记里此刻写着的一题；`where` 是它的文件与行，给人看；`symbol` 是问到的源码包里的名字。

    `text` 认出是哪一题。问的时候给看 `prompt` 与 `code`（都空着就是 `text`），答过再给看 `after`。
    """

    note: str
    kind: str
    text: str
    answer: str
    where: str
    symbol: str = ""
    prompt: str = ""
    code: str = ""
    after: str = ""
    judged: bool = False  # 输出题：打的字判得了对错；判不了的自己评

    @property
    def face(self) -> str:
        """题面：先一句话，再是代码。"""
        return "\n\n".join(filter(None, (self.prompt, self.code))) or self.text

    @property
    def choices(self) -> tuple[str, ...]:
        """「哪个检验会红」里选得的各格，按编号。"""
        return tuple(_CHOICE.findall(self.text)) if self.kind == CAUGHT else ()


@dataclass(frozen=True)
class Verdict:
    """一次作答判得怎样；`lines` 是给人看的话，第一行说对不对；`named` 是认出是哪个错的一句。"""

    right: bool
    lines: tuple[str, ...]
    named: str = ""


@dataclass(frozen=True)
class Matched:
    """笔记里的题与日志里的卡片对上了哪些。

    `found` 由编号找题，`changed` 是其中字改了、或挪了笔记的，`new` 还没有问过，`gone` 此刻
    哪里也没有（等它回来，历史都在），`doubtful` 是说不准的：一题与它可能是的几张。
    """

    found: Mapping[str, Card]
    changed: frozenset[str]
    new: tuple[Card, ...]
    gone: frozenset[str]
    doubtful: tuple[tuple[Card, tuple[str, ...]], ...]


def made(vault: Vault, noted: Iterable[Noted]) -> list[Card]:
    """自测与记录过的格子，按笔记的次序。"""
    return [
        card
        for one in noted
        for card in (*_asked(one), *(_printed(vault, one, cell) for cell in one.cells))
    ]


def _asked(noted: Noted) -> Iterator[Card]:
    for text, said, line in noted.asked:
        yield Card(noted.slug, ASKED, text, said, f"{noted.where}:{line}")


def _printed(vault: Vault, noted: Noted, cell: Cell) -> Card:
    """问一格打印什么；坏格子问会错在哪，猜不到它打印什么的自己评。"""
    bad = cell.title.startswith("坏")
    count = len(cell.printed.strip().splitlines())
    asked = f"它会打印什么？共 {count} 行。" if cell.sure else "别去跑它：想一想会看到什么。"
    told = [cell.title, noted.told.get(cell.title, ""), cell.source]
    return Card(
        noted.slug,
        PRINTED,
        f"{cell.title}\n{cell.source}",
        cell.printed,
        f"{vault.relative(noted.snippet or vault.snippets)}:{cell.line}",
        prompt=f"这段代码会错在哪？{asked}" if bad else asked,
        code=cell.face,
        after="\n\n".join(filter(None, told)),
        judged=cell.sure,
    )


# ---- 认得出是同一题 ----


def match(cards: Sequence[Card], states: Mapping[str, State]) -> Matched:
    """先看字，再看去掉标点与空白的字，再看同一篇里像不像；一对一，说不准的不猜。"""
    left = dict(enumerate(cards))
    known = dict(states)
    found: dict[str, Card] = {}
    doubtful: list[tuple[Card, tuple[str, ...]]] = []

    def pair(number: int, name: str) -> None:
        found[name] = left.pop(number)
        del known[name]

    for key in _KEYS:
        ours, theirs = _only(left.items(), key), _only(known.items(), key)
        for at in ours.keys() & theirs.keys():
            pair(ours[at], theirs[at])
    close = _close(left, known)
    for number, names in sorted(close.items()):
        rivals = [n for n, others in close.items() if n != number and set(others) & set(names)]
        if len(names) == 1 and not rivals:
            pair(number, names[0])
        else:
            doubtful.append((left[number], names))
    unsure = {name for _, names in doubtful for name in names}
    asked = {number for number in close if number in left}
    changed = {
        name
        for name, card in found.items()
        if (card.text, card.note) != (states[name].text, states[name].note)
    }
    return Matched(
        found,
        frozenset(changed),
        tuple(card for number, card in left.items() if number not in asked),
        frozenset(known.keys() - unsure),
        tuple(doubtful),
    )


def _loose(text: str) -> str:
    return _LOOSE.sub("", text).casefold() or text


# 一种比一种松；同一种里，先找同一篇的
_KEYS: tuple[Callable[[Card | State], tuple[str, ...]], ...] = (
    lambda one: (one.kind, one.note, one.text),
    lambda one: (one.kind, one.text),
    lambda one: (one.kind, one.note, _loose(one.text)),
    lambda one: (one.kind, _loose(one.text)),
)


def _only(
    items: Iterable[tuple[K, Card | State]], key: Callable[[Card | State], tuple[str, ...]]
) -> dict[tuple[str, ...], K]:
    """只出现一次的，由键找到。"""
    seen: dict[tuple[str, ...], list[K]] = {}
    for name, one in items:
        seen.setdefault(key(one), []).append(name)
    return {at: names[0] for at, names in seen.items() if len(names) == 1}


def _close(left: Mapping[int, Card], known: Mapping[str, State]) -> dict[int, tuple[str, ...]]:
    """同一篇、同一种里像到 ALIKE 的。"""
    from difflib import SequenceMatcher  # 多半没有哪一题改过，不必载入

    found: dict[int, tuple[str, ...]] = {}
    for number, card in left.items():
        names = tuple(
            name
            for name, state in known.items()
            if (state.kind, state.note) == (card.kind, card.note)
            and SequenceMatcher(None, state.text, card.text, False).ratio() >= ALIKE
        )
        if names:
            found[number] = names
    return found
