"""判一次作答与给提示：种类 → 判它的函数；表里没有的自己评。"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rizhi.recall import printed, shapes
from rizhi.recall.cards import CAUGHT, PRINTED, RECITED, SHAPED, Card, Verdict
from rizhi.vault import Vault

LONGEST = 64 * 1024  # 再长的不比了：没有哪一题要打这么多
SHORTEST = 4  # 头一步不到这么几个字，等于没有说
# Markdown 里切不开的：行内代码、公式、链接、一对记号；末了一项是别的一个字
_WHOLE = re.compile(r"(?P<code>`[^`]+`)|`(`+).+?`\2|\$[^$]+\$|!?\[[^\]]*\]\([^)]*\)|\*\*.+?\*\*|.")
_MARKUP = re.compile(r"\s*(```|~~~|\$\$|\||$)")  # 围栏、公式块与表：这几行不拿来提示


@dataclass(frozen=True)
class Judge:
    """一种题怎样判、怎样提示；`start` 是编辑器里先写好的。"""

    grade: Callable[[Vault, Card, str], Verdict]
    hints: Callable[[Vault, Card], tuple[str, ...]]
    start: Callable[[Vault, Card], str] = lambda vault, card: ""


def judged(card: Card) -> bool:
    """打的字判不判得了；判不了的自己评。"""
    return card.judged if card.kind == PRINTED else card.kind in (SHAPED, RECITED, CAUGHT)


def grade(vault: Vault, card: Card, said: str) -> Verdict | None:
    """判一次作答；None 是自己评。不对的指出差在哪里，不说出答案。

    异常：判的时候读不到它要的，抛 RizhiError。
    """
    if not judged(card):
        return None
    if len(said) > LONGEST:
        return Verdict(False, (f"不对：写了 {len(said):,} 个字，太长了，没有比。",))
    return _judge(card).grade(vault, card, said)


def hints(vault: Vault, card: Card) -> tuple[str, ...]:
    """一步一步的提示，后一个比前一个说得多；最后一个也不是全部答案。"""
    return _judge(card).hints(vault, card) if judged(card) else _opening(card.answer)


def start(vault: Vault, card: Card) -> str:
    """在编辑器里作答，先写好的字。"""
    return _judge(card).start(vault, card) if judged(card) else ""


def _opening(answer: str) -> tuple[str, ...]:
    """一段 Markdown 的开头：一小段，再是头一行或一半；切在代码当中的补上记号，别的不切开。"""
    lines = [line for line in answer.splitlines() if not _MARKUP.match(line)]
    pieces = [found[0] for found in _WHOLE.finditer(lines[0].strip())] if lines else []
    return _steps(pieces, rest=len(lines) > 1)


def _steps(pieces: Sequence[str], *, rest: bool) -> tuple[str, ...]:
    size = sum(map(len, pieces))
    little, more = _start(pieces, size // 4), _start(pieces, size if rest else size // 2)
    dull = len(little) < SHORTEST <= len(more)
    shown = dict.fromkeys(("" if dull else little, more))
    return tuple(f"{text.rstrip()}…" for text in shown if text)


def _start(pieces: Sequence[str], size: int) -> str:
    """头 `size` 个字，末一块放不下就不要；头一块就放不下的，是代码就切开。"""
    kept = ""
    for piece in pieces:
        if len(kept) + len(piece) > size:
            code = not kept.strip() and _WHOLE.fullmatch(piece)
            return (
                f"{kept}{piece[: size - 1].rstrip()}`"
                if code and code["code"] and size > 2
                else kept
            )
        kept += piece
    return kept


def _printed(vault: Vault, card: Card, said: str) -> Verdict:
    found = printed.difference(card.text.partition("\n")[2], card.answer, said)
    return Verdict(not found, (f"不对：{found}" if found else "对。",))


def _printed_hints(vault: Vault, card: Card) -> tuple[str, ...]:
    """打印出来的不是 Markdown：按字切。"""
    first, *rest = card.answer.strip().splitlines()
    return _steps(first, rest=bool(rest))


_JUDGES: Mapping[str, Judge] = MappingProxyType(
    {PRINTED: Judge(_printed, _printed_hints), SHAPED: Judge(shapes.grade, shapes.hints)}
)


def _judge(card: Card) -> Judge:
    if card.kind not in _JUDGES:
        from rizhi.recall import drills  # 要载入不少东西，问到默写才载

        return Judge(drills.grade, drills.hints, drills.start)
    return _JUDGES[card.kind]
