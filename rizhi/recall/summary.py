"""一段日子里复习得怎样：几次、记得几次、忘了哪些，接下来一周每天到期几张；只看日志，不读笔记。"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from rizhi.recall import log, schedule
from rizhi.recall.log import Event
from rizhi.recall.schedule import AGAIN
from rizhi.vault import Vault

_AHEAD = 7


def read(vault: Vault, first: date, last: date, today: date) -> dict[str, Any] | None:
    """从 first 到 last 的几个数；一次也没有复习过是 None。

    异常：日志读不到，抛 RizhiError。
    """
    events, _ = log.read(vault)
    return summary(events, first, last, today) if events else None


def summary(events: Iterable[Event], first: date, last: date, today: date) -> dict[str, Any]:
    """同 `read`：`lapses` 是学会了又忘的次数，`lapsed` 是哪几张，后忘的在前，头一次答的算新的。"""
    listed = list(events)
    states = schedule.replay(listed)
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    lapsed: dict[str, date] = {}
    for card, day, grade in schedule.reviews(listed):
        what = "new" if card not in seen else "lapses" if grade == AGAIN else "kept"
        seen.add(card)
        if first <= day <= last:
            counts[what] += 1
            if what == "lapses":
                lapsed[card] = day
    ahead = [today + timedelta(days=n) for n in range(1, _AHEAD + 1)]
    due = Counter(state.due for state in states.values() if not state.asleep)
    return {
        "reviewed": counts.total(),
        **{what: counts[what] for what in ("new", "kept", "lapses")},
        "lapsed": [
            {"note": states[card].note, "text": states[card].text.partition("\n")[0].rstrip("：:")}
            for card in sorted(lapsed, key=lambda name: (lapsed[name], name), reverse=True)
        ],
        "coming": [{"date": str(day), "count": due[day]} for day in ahead],
    }
