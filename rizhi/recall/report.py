"""一次复习排成给人看的行与 JSON；载入 FSRS 要十几毫秒，所以不在 output 里。"""

from typing import Any

from rizhi.recall.session import Session


def session_lines(session: Session) -> list[str]:
    """今天要复习的有多少。"""
    new = sum(ask.state is None for ask in session.asks)
    if not session.asks:
        return [
            "今天没有要复习的。" if session.states else "还没有题：在笔记的自测里写 ??? question。"
        ]
    old = len(session.asks) - new
    later = session.waiting - old
    tail = f"；另有 {later} 张到期的，明天起慢慢来" if later > 0 else ""
    return [f"{len(session.asks)} 张：到期的 {old}，新的 {new}{tail}。"]


def doubtful_lines(session: Session) -> list[str]:
    """说不准是不是同一题的，逐条说；没有丢掉任何一张。"""
    return [
        f"{card.where}：这一题像是改过的（{'、'.join(session.states[n].text for n in names)}），"
        "说不准是哪一张，先不问；改得与原来更像，或更不像，就认得出。"
        for card, names in session.matched.doubtful
    ]


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
                "due": ask.state.due.isoformat() if ask.state else None,
            }
            for ask in session.asks
        ],
    }
