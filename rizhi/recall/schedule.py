"""什么时候再问：由日志重放出每张卡片的状态，挑出今天的。

间隔由 FSRS 算（py-fsrs 6.3.2）。它数的是二十四小时，不是一天：每次都喂那一天的 UTC 正午，昨晚十一点
与今早八点就算一天。学习步骤都空着，随机的抖动关掉，换成由卡片定的 ±5%，重放才得同样的结果。
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zlib import crc32

from fsrs import Card as Memory
from fsrs import Rating, Scheduler

from rizhi.recall.log import Event

AGAIN = 1
LEECH_RUN, LEECH_LAPSES = 3, 4  # 连着忘三次，或总共忘四次，就不再问，先读笔记
SPREAD = 0.05


@dataclass(frozen=True)
class State:
    """一张卡片重放到现在的状态。"""

    card: str
    note: str
    kind: str
    text: str
    born: date
    memory: Memory
    due: date
    reviews: int = 0
    last: date | None = None
    run: int = 0  # 连着忘了几次
    lapses: int = 0  # 记住之后又忘的次数
    asleep: str = ""  # 让它睡的那一行的 id
    code: tuple[str, ...] = ()  # 上一次答的时候，笔记显示的各段源码，是 code 行的 id

    @property
    def leech(self) -> bool:
        return self.run >= LEECH_RUN or self.lapses >= LEECH_LAPSES


def replay(events: Iterable[Event]) -> dict[str, State]:
    """每张卡片的状态；同一张一天里答了几次，只算头一次。没有 born 的卡片不认得，不在内。

    两个分支各自头一次问了同一题，是同一张，编号是先出生的那个。
    """
    states: dict[str, State] = {}
    for card, event in _counted(events):
        if event.what == "born":
            states.setdefault(card, _born(event))
        elif card not in states:
            continue
        elif event.what == "match":
            states[card] = replace(
                states[card], note=event.fields["note"], text=event.fields["text"]
            )
        elif event.what == "sleep":
            states[card] = replace(states[card], asleep=event.id)
        elif event.what == "wake":
            states[card] = replace(states[card], asleep="", run=0, lapses=0)
        elif event.what == "review":
            fields, day = event.fields, date.fromisoformat(event.fields["day"])
            states[card] = after(states[card], fields["grade"], day, fields.get("code", ()))
    return states


def reviews(events: Iterable[Event]) -> Iterator[tuple[str, date, int]]:
    """算数的各次：哪一张、哪一天、答得怎样，从早到晚。"""
    known: set[str] = set()
    for card, event in _counted(events):
        if event.what == "born":
            known.add(card)
        elif event.what == "review" and card in known:
            yield card, date.fromisoformat(event.fields["day"]), event.fields["grade"]


def after(state: State, grade: int, day: date, code: Sequence[str] = ()) -> State:
    """这一天答了之后的状态；`code` 是那时笔记显示的源码。"""
    memory, _ = _scheduler().review_card(state.memory, Rating(grade), noon(day))
    again = grade == AGAIN
    count = state.reviews + 1
    return replace(
        state,
        memory=memory,
        due=day + timedelta(days=_spread(state.card, count, (memory.due.date() - day).days)),
        reviews=count,
        last=day,
        run=state.run + 1 if again else 0,
        lapses=state.lapses + (again and state.reviews > 0 and state.run == 0),
        code=tuple(code),
    )


def retrievability(state: State, day: date) -> float:
    """这一天还记得的可能，0 到 1；没有问过的是 0。"""
    if state.last is None:
        return 0.0
    return float(_scheduler().get_card_retrievability(state.memory, noon(max(day, state.last))))


def due(states: Iterable[State], today: date) -> list[State]:
    """到期的，还记得清楚的在前：欠了一堆的时候，先做容易的。"""
    waiting = [s for s in states if s.due <= today and s.last != today and not s.asleep]
    return sorted(waiting, key=lambda s: (-retrievability(s, today), s.card))


def share(
    states: Mapping[str, State], today: date, reviews: int, new: int
) -> tuple[list[State], int]:
    """今天还要答哪几张，还能添几张新的：答过的算在内，欠着的没清就不添。"""
    done = sum(s.last == today for s in states.values())
    started = sum(s.born == today for s in states.values())
    waiting = due(states.values(), today)
    room = max(reviews - done, 0)
    left = 0 if len(waiting) >= room else min(max(new - started, 0), room - len(waiting))
    return waiting[:room], left


def noon(day: date) -> datetime:
    """一天对 FSRS 说成的那一刻。"""
    return datetime.combine(day, time(12), UTC)


@cache
def _scheduler() -> Scheduler:
    return Scheduler(
        learning_steps=(), relearning_steps=(), enable_fuzzing=False, maximum_interval=365
    )


def _born(event: Event) -> State:
    day = (event.at + timedelta(minutes=event.off)).date()
    day = date.fromisoformat(event.fields["day"]) if "day" in event.fields else day
    fields = event.fields
    return State(
        fields["card"],
        fields["note"],
        fields["kind"],
        fields["text"],
        day,
        Memory(card_id=0, due=noon(day)),
        day,
    )


def _counted(events: Iterable[Event]) -> Iterator[tuple[str, Event]]:
    """按次序，连同说的是哪一张；同一张一天里答了几次，只留头一次。"""
    listed = list(events)
    twins, answered = _twins(listed), set[tuple[str, str]]()
    for event in _in_order(listed):
        card = event.fields.get("card", "")
        card = twins.get(card, card)
        if event.what == "review":
            at = card, event.fields["day"]
            if at in answered:
                continue
            answered.add(at)
        yield card, event


def _twins(events: Iterable[Event]) -> dict[str, str]:
    """两个分支各自头一次问了同一题，合起来是一张：后出生的是哪一张。"""
    owners: dict[tuple[str, ...], str] = {}
    keys: dict[str, tuple[str, ...]] = {}
    twins: dict[str, str] = {}
    told = [event for event in events if event.what in ("born", "match")]
    for event in sorted(told, key=lambda event: (event.at, event.id)):
        fields = event.fields
        card = twins.get(fields["card"], fields["card"])
        if event.what == "born" and card not in keys:
            key = fields["kind"], fields["note"], fields["text"]
            if key in owners:
                twins[card] = owners[key]
                continue
        elif event.what == "match" and card in keys:  # 改了字：原来的字空出来，别的题可以用
            key = keys[card][0], fields["note"], fields["text"]
            if owners.get(keys[card]) == card:
                del owners[keys[card]]
        else:
            continue
        owners.setdefault(key, card)
        keys[card] = key
    return twins


def _in_order(events: Iterable[Event]) -> Sequence[Event]:
    """先按 born、match、sleep 与答的那一天，同一天里按（at, id）：补答的日子不会倒着走。"""
    listed = sorted(events, key=lambda event: (event.at, event.id))
    born = [event for event in listed if event.what == "born"]
    rest = [event for event in listed if event.what != "born"]
    return [*born, *sorted(rest, key=lambda e: (e.fields.get("day") or _day(e), e.at, e.id))]


def _day(event: Event) -> str:
    return str((event.at + timedelta(minutes=event.off)).date())


def _spread(card: str, count: int, days: int) -> int:
    """把同一天到期的一堆摊开：±5%，由卡片与次数定，重放得同样的数。"""
    drawn = crc32(f"{card}:{count}".encode()) / 2**32
    return max(1, round(days * (1 + SPREAD * (2 * drawn - 1))))
