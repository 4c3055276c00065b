"""判一次作答与给提示：种类 → 判它的函数；表里没有的自己评。"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rizhi.recall import printed, shapes
from rizhi.recall.cards import CAUGHT, PRINTED, RECITED, SHAPED, Card, Verdict
from rizhi.vault import Vault

LONGEST = 64 * 1024  # 再长的不比了：没有哪一题要打这么多


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
    """开头的一小段，再是头一行或一半。"""
    first, _, rest = answer.strip().partition("\n")
    whole = first if rest else first[: len(first) // 2]
    shown = dict.fromkeys((first[: len(first) // 4], whole))
    return tuple(f"{text}…" for text in shown if text)


def _printed(vault: Vault, card: Card, said: str) -> Verdict:
    found = printed.difference(card.text.partition("\n")[2], card.answer, said)
    return Verdict(not found, (f"不对：{found}" if found else "对。",))


def _printed_hints(vault: Vault, card: Card) -> tuple[str, ...]:
    return _opening(card.answer)


_JUDGES: Mapping[str, Judge] = MappingProxyType(
    {PRINTED: Judge(_printed, _printed_hints), SHAPED: Judge(shapes.grade, shapes.hints)}
)


def _judge(card: Card) -> Judge:
    if card.kind not in _JUDGES:
        from rizhi.recall import drills  # 要载入不少东西，问到默写才载

        return Judge(drills.grade, drills.hints, drills.start)
    return _JUDGES[card.kind]
