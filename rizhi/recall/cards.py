"""题从哪里来：笔记的自测与记录过的短格子；笔记改了，还认得出是同一题。

题目的身份不是它的字：编号在头一次问时定下，写在日志里；改了字、换了次序、挪了笔记，按字找回来。
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

from rizhi import notes
from rizhi.errors import RizhiError
from rizhi.page import Note, read_notes
from rizhi.recall.log import KINDS
from rizhi.recall.schedule import State
from rizhi.snippets import record as records
from rizhi.vault import Vault, module_of

K = TypeVar("K")
ASKED, PRINTED, SHAPED, RECITED, CAUGHT = KINDS
ALIKE = 0.75  # 两句话像到这样，就是改过的同一题
_LINES, _WIDTH = 3, 90  # 问「会打印什么」的，至多这么长
_LOOSE = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Card:
    """笔记里此刻写着的一题；`where` 是它的文件与行，给人看；`symbol` 是问到的源码包里的名字。"""

    note: str
    kind: str
    text: str
    answer: str
    where: str
    symbol: str = ""


@dataclass(frozen=True)
class Verdict:
    """一次作答判得怎样；`lines` 是给人看的话，第一行说对不对。"""

    right: bool
    lines: tuple[str, ...]


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


def read(vault: Vault) -> list[Card]:
    """全部的题，按笔记的次序；草稿里的不问。"""
    role = notes.note_roles(vault).get("questions", "")
    finished = [note for note in read_notes(vault) if not note.draft and note.text]
    return [
        card for note in finished for card in (*_asked(vault, note, role), *_printed(vault, note))
    ]


def _asked(vault: Vault, note: Note, role: str) -> Iterator[Card]:
    for text, said, start in notes.self_tests(note, role):
        where = f"{vault.relative(note.path)}:{note.document.line(start)}"
        yield Card(note.slug, ASKED, text, said, where)


def _printed(vault: Vault, note: Note) -> Iterator[Card]:
    """记录是新的短格子：问它打印什么。检验不印什么，长的看不完。"""
    path = vault.snippets / f"{note.snippet or module_of(note.slug)}.py"
    if not path.is_file():
        return
    try:
        loaded = records.load(vault, path)
    except RizhiError:
        return  # 片段读不懂由 check 说；这一篇就没有这种题
    if loaded.snippet is None or loaded.record is None or loaded.state != "fresh":
        return  # 记录不新，答案就不作数
    for cell in loaded.snippet.code_cells:
        out = loaded.record.output(cell.title)
        lines = cell.source.strip().splitlines()
        short = len(lines) <= _LINES and all(len(line) <= _WIDTH for line in lines)
        if out and out.text.strip() and not out.figures and short and not cell.checks:
            where = f"{vault.relative(path)}:{cell.line}"
            yield Card(note.slug, PRINTED, f"{cell.title}\n{cell.source.strip()}", out.text, where)


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

    for key in (_exact, _exact_anywhere, _loosely, _loosely_anywhere):
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


def _exact(one: Card | State) -> tuple[str, ...]:
    return one.kind, one.note, one.text


def _exact_anywhere(one: Card | State) -> tuple[str, ...]:
    return one.kind, one.text


def _loosely(one: Card | State) -> tuple[str, ...]:
    return one.kind, one.note, _loose(one.text)


def _loosely_anywhere(one: Card | State) -> tuple[str, ...]:
    return one.kind, _loose(one.text)


def _loose(text: str) -> str:
    return _LOOSE.sub("", text).casefold() or text


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
