"""一次复习排成给人看的行与 JSON；载入 FSRS 要十几毫秒，所以不在 output 里。"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rizhi.recall.cards import CAUGHT, RECITED, SHAPED
from rizhi.recall.schedule import State
from rizhi.recall.session import Ask, Session
from rizhi.vault import Vault

_RUN = (SHAPED, RECITED, CAUGHT)  # 跑过片段才有的题


def session_lines(session: Session) -> list[str]:
    """今天要复习的有多少。"""
    new = sum(ask.state is None for ask in session.asks)
    if not session.asks:
        return [
            "今天没有要复习的。" if session.states else "还没有题：在笔记的自测里写 ??? question。"
        ]
    old = len(session.asks) - new
    later = session.waiting - old
    moved = sum(ask.why == "code" for ask in session.asks)
    why = f"（{moved} 张因代码改了）" if moved else ""
    when = "在别的笔记里：rizhi review" if session.note else "明天起慢慢来"
    tail = f"；另有 {later} 张到期的，{when}" if later > 0 else ""
    return [f"{len(session.asks)} 张：到期的 {old}{why}，新的 {new}{tail}。"]


def missing_lines(vault: Vault, session: Session) -> list[str]:
    """问过、此刻却没有算好的：源码改过了，`.rizhi/` 删了，或没有 torch；从没有算过的也说。"""
    states, matched = session.states, session.matched
    count = Counter(states[name].kind for name in matched.gone if states[name].kind in _RUN)
    said = "、".join(f"{kind} {number} 张" for kind, number in count.items())
    if said:
        return [f"还没有算好的：{said}。rizhi drills 算好它们，缺什么库它会说。"]
    kinds = {card.kind for card in (*matched.found.values(), *matched.new)}
    if not kinds or kinds.intersection(_RUN) or not vault.source:
        return []
    return ["默写、形状与「哪个检验会红」要先算好才问：rizhi drills，头一次要一刻钟上下。"]


def doubtful_lines(session: Session) -> list[str]:
    """说不准是不是同一题的，逐条说；没有丢掉任何一张。"""
    return [
        f"{card.where}：这一题像是改过的（{'、'.join(session.states[n].text for n in names)}），"
        "说不准是哪一张，先不问；改得与原来更像，或更不像，就认得出。"
        for card, names in session.matched.doubtful
    ]


def changed_lines(ask: Ask) -> list[str]:
    """问之前说：上一次答过之后，哪些源码改了；改在哪里答过再说，默写的题会泄底。"""
    names = "、".join(one.symbol for one in ask.changed)
    return [f"{names} 改了，答完看改在哪里。"] if names else []


def diff_lines(ask: Ask) -> list[str]:
    """答过之后说：源码改在哪里。"""
    return [line for c in ask.changed for line in (f"{c.symbol}：", *_indented(c.diff))]


def asleep_lines(states: Sequence[State]) -> list[str]:
    """睡着的各张，一行一张。"""
    if not states:
        return ["没有睡着的。"]
    lines = [f"{s.card}  {s.note} · {s.kind}  {_first(s.text)}" for s in states]
    return [*lines, "读过了就叫醒：rizhi review --wake 编号，或笔记的名字。"]


def session_dict(session: Session) -> dict[str, Any]:
    """`--json`：今天要答的各张。"""
    return {
        "waiting": session.waiting,
        "cards": [
            {
                "id": ask.state.card if ask.state else None,
                "note": ask.card.note,
                "kind": ask.card.kind,
                "text": ask.card.text,
                "answer": ask.card.answer,
                "where": ask.card.where,
                "why": ask.why,
                "changed": [{"symbol": c.symbol, "diff": list(c.diff)} for c in ask.changed],
                "due": ask.state.due.isoformat() if ask.state else None,
            }
            for ask in session.asks
        ],
    }


def _indented(rows: Iterable[str]) -> Iterable[str]:
    return (f"    {row}".rstrip() for row in rows)


def _first(text: str) -> str:
    """题目的头一行，太长的截去后面。"""
    line = text.partition("\n")[0]
    return f"{line[:40]}…" if len(line) > 40 else line
