"""一次复习：今天要答哪几张，答一张记一张。"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rizhi.errors import Fault, RizhiError
from rizhi.recall import cards, changed, log, recorded, schedule, shapes
from rizhi.recall.cards import Card, Matched
from rizhi.recall.changed import Changed
from rizhi.recall.log import Event
from rizhi.recall.schedule import State
from rizhi.vault import Vault, count_setting, file_names, source_files

if TYPE_CHECKING:
    from rizhi.page import Note


@dataclass(frozen=True)
class Ask:
    """要答的一张；`state` 为 None 的是新的，`why` 是 log.WHY 里的一个，`changed` 是改了的源码。"""

    card: Card
    state: State | None
    why: str = "new"
    changed: tuple[Changed, ...] = ()


@dataclass(frozen=True)
class Session:
    """今天的复习：要答的各张、还欠着的张数，与对不上的。"""

    asks: tuple[Ask, ...]
    waiting: int
    matched: Matched
    states: Mapping[str, State]
    faults: tuple[Fault, ...]
    latest: datetime | None
    note: str = ""  # 只问这一篇


def begin(
    vault: Vault,
    today: date,
    new: int | None = None,
    note: str = "",
    notes: "Iterable[Note] | None" = None,
) -> Session:
    """排出今天要答的；`note` 只问那一篇的，问过的到不到期都问；`notes` 是已经读好的笔记。

    一篇的题可以有几十道，所以新的照样有上限；但别处欠着多少、添了多少，不妨碍这一篇。

    异常：日志读不到，或模板排不出来，抛 RizhiError。
    """
    events, faults = log.read(vault)
    states = schedule.replay(events)
    matched = cards.match(deck(vault, notes), states)
    known = {name: states[name] for name in matched.found}
    changes = changed.find(vault, known.values(), events)
    here = known | {name: _brought(known[name], today) for name in changes}
    limit = count_setting(vault, "reviews")
    fresh = count_setting(vault, "new_cards") if new is None else new
    if note:
        wanted = [s for s in here.values() if matched.found[s.card].note == note and not s.asleep]
        listed = sorted((s for s in wanted if s.last != today), key=lambda s: s.card)
        begun = sum(s.born == today for s in wanted)
        left = max(fresh - begun, 0)
    else:
        listed, left = schedule.share(here, today, limit, fresh)
    added = [card for card in matched.new if not note or card.note == note][:left]
    asks = [
        Ask(matched.found[s.card], s, _why(known[s.card], s, today), changes.get(s.card, ()))
        for s in listed
    ] + [Ask(card, None) for card in added]
    waiting = len(schedule.due(here.values(), today))
    return Session(tuple(asks), waiting, matched, states, tuple(faults), latest_of(events), note)


def deck(vault: Vault, listed: "Iterable[Note] | None" = None) -> list[Card]:
    """各种题，按笔记的次序，一篇里各种轮着来；`listed` 是已经读好的笔记。

    一天只添几张新的：一种问完再问下一种，默写要等一个多月。
    """
    noted = recorded.gather(vault, listed)
    made = [*cards.made(vault, noted), *shapes.cards(vault, noted), *_drilled(vault)]
    order = {one.slug: number for number, one in enumerate(noted)}
    seen = Counter[tuple[str, str]]()
    placed = []
    for card in made:
        if card.note in order:
            kind = (card.note, card.kind)
            placed.append(((order[card.note], seen[kind]), card))
            seen[kind] += 1
    return [card for _, card in sorted(placed, key=lambda one: one[0])]


def _drilled(vault: Vault) -> list[Card]:
    """默写题；它们还作不作数，要读遍源码包才知道，文件没变就用上次读出来的。"""
    folder = vault.root / ".rizhi/drills"
    if not folder.is_dir() or folder.is_symlink():
        return []
    files = [name for place in (vault.notes, vault.snippets, folder) for name in file_names(place)]
    files += map(str, source_files(vault))
    wanted = {"all": recorded.prints_of(files)}
    found = recorded.remembered(vault, "drills", wanted, _restored, lambda _: _read_drills(vault))
    return found["all"]


def _read_drills(vault: Vault) -> list[dict[str, Any]]:
    from rizhi.recall import drills  # 要载入不少东西

    return [asdict(card) for card in drills.cards(vault)]


def _restored(raw: Any) -> list[Card]:
    """异常：不是该有的样子，抛 ValueError 或 TypeError。"""
    made = [Card(**one) for one in raw]
    if not all(isinstance(value, str | bool) for card in made for value in vars(card).values()):
        raise ValueError("不是该有的样子")
    return made


def answer(
    vault: Vault,
    ask: Ask,
    grade: int,
    moment: datetime,
    today: date,
    latest: datetime | None,
    attempt: str = "",
) -> tuple[State, list[Event]]:
    """记下答得怎样：新的先出生，改了字的先对上，忘得太多的让它睡；返回现在的状态与写下的行。

    `attempt` 是答错的，太长的只留末尾。

    异常：时钟拨回到上一次复习之前，抛 RizhiError；写不成，抛 OSError。什么也没有记下。
    """
    check_clock(moment, latest)
    card, name = ask.card, ask.state.card if ask.state else log.fresh_id(5)
    told = {"card": name, "note": card.note, "text": card.text}
    events = []
    if ask.state is None:
        events.append(log.event("born", moment, **told, kind=card.kind, day=str(today)))
    elif (ask.state.text, ask.state.note) != (card.text, card.note):
        events.append(log.event("match", moment, **told))
    code = changed.of_note(vault, card.note)
    events += changed.lines(vault, code, moment)
    graded: dict[str, Any] = {"card": name, "grade": grade, "day": str(today), "why": ask.why}
    if code:
        graded["code"] = [one.id for one in code]
    if attempt:
        graded["attempt"] = _tail(attempt)
    events.append(log.event("review", moment, **graded))
    before = ask.state or schedule.replay(events[:1])[name]
    now = schedule.after(before, grade, today)
    if now.leech:
        events.append(log.event("sleep", moment, card=name))
    log.append(vault, events)
    return now, events


def settle_doubt(
    vault: Vault,
    card: Card,
    name: str | None,
    moment: datetime,
    today: date,
    latest: datetime | None,
) -> None:
    """说不准的一题有了答案，记下：`name` 是它就是的那一张，None 是一张新的。

    异常：同 `answer`。
    """
    check_clock(moment, latest)
    told = {"card": name or log.fresh_id(5), "note": card.note, "text": card.text}
    born = {"kind": card.kind, "day": str(today)}
    made = log.event("match", moment, **told) if name else log.event("born", moment, **told, **born)
    log.append(vault, [made])


def answered(vault: Vault, ask: Ask, today: date) -> bool:
    """别处（另一个终端、网页）今天是不是已经答过这一张：同一题一天只记一次。"""
    name, card = ask.state.card if ask.state else "", ask.card
    return any(
        s.last == today
        and (s.card == name or (s.kind, s.note, s.text) == (card.kind, card.note, card.text))
        for s in schedule.replay(log.read(vault)[0]).values()
    )


def take_back(vault: Vault, events: Sequence[Event], moment: datetime) -> None:
    """撤回刚才记下的几行：日志里多几行 undo，旧的行不动。"""
    log.append(vault, [log.event("undo", moment, of=e.id) for e in events if e.what != "code"])


def asleep(events: Sequence[Event]) -> list[State]:
    """睡着的各张，按笔记。"""
    sleeping = [state for state in schedule.replay(events).values() if state.asleep]
    return sorted(sleeping, key=lambda state: (state.note, state.card))


def wake(vault: Vault, wanted: str, moment: datetime, today: date) -> list[State]:
    """叫醒一张（编号）或一篇笔记的各张，忘的次数从头数起；返回叫醒的。

    异常：睡着的里面没有它，时钟拨回了，抛 RizhiError；写不成，抛 OSError。什么也没有记下。
    """
    events, _ = log.read(vault)
    woken = [state for state in asleep(events) if wanted in (state.card, state.note)]
    if not woken:
        raise RizhiError(f"睡着的里面没有 {wanted}。rizhi review --wake 列出睡着的。")
    check_clock(moment, latest_of(events))
    log.append(vault, [log.event("wake", moment, card=s.card, day=str(today)) for s in woken])
    return woken


def latest_of(events: Iterable[Event]) -> datetime | None:
    """日志里最晚的时刻。"""
    return max((event.at for event in events), default=None)


def count_due(vault: Vault, today: date) -> int:
    """今天还要答几张旧的；只看日志与改了的源码，不读全部笔记。"""
    if not Path(log.path(vault)).exists():
        return 0
    events, _ = log.read(vault)
    states = schedule.replay(events)
    for name in changed.find(vault, states.values(), events):
        states[name] = _brought(states[name], today)
    listed, _ = schedule.share(states, today, count_setting(vault, "reviews"), 0)
    return len(listed)


def check_clock(moment: datetime, latest: datetime | None) -> None:
    """异常：时钟拨回到日志的最后一行之前，抛 RizhiError。"""
    if latest and moment < latest:
        here = moment.tzinfo
        raise RizhiError(
            f"时钟往回拨了：上一次复习记在 {latest.astimezone(here):%Y-%m-%d %H:%M:%S}，"
            f"现在是 {moment:%Y-%m-%d %H:%M:%S}。把时钟拨正再来。"
        )


def _brought(state: State, today: date) -> State:
    """代码改了：今天就到期，记忆的状态不动。"""
    return replace(state, due=min(state.due, today))


def _why(state: State, now: State, today: date) -> str:
    """为什么问它：到期了、代码改了（`now` 是挪到今天的），或点名要问这一篇。"""
    if state.due <= today:
        return "due"
    return "code" if now.due <= today else "note"


def _tail(text: str) -> str:
    """末尾的一段，至多 MAX_ATTEMPT 字节，不切开一个字。"""
    data = text.encode("utf-8", "replace")[-log.MAX_ATTEMPT :]
    return data.decode("utf-8", "ignore")
