"""什么时候再问：一天算一天，重放得同样的结果；欠了一堆也不吓人。"""

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from rizhi.recall.log import Event
from rizhi.recall.schedule import State, after, due, replay, retrievability, share

DAY = date(2026, 1, 1)


def born(card: str, day: date = DAY) -> Event:
    at = datetime(day.year, day.month, day.day, 13, tzinfo=UTC)
    told = {"card": card, "note": "n", "kind": "自测", "text": card, "day": str(day)}
    return Event(at, f"b{card}", "born", told)


def answered(card: str, grade: int, day: date, hour: int = 13, id: str = "") -> Event:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    told = {"card": card, "grade": grade, "day": str(day)}
    return Event(at, id or f"r{card}{day}{hour}", "review", told)


def intervals(grades: list[int]) -> list[int]:
    """每次都在该问的那天答，隔几天；不摊开。"""
    state, day, found = replay([born("c")])["c"], DAY, []
    for grade in grades:
        state = after(state, grade, day)
        found.append((state.memory.due.date() - day).days)
        day = state.memory.due.date()
    return found


@pytest.mark.parametrize(
    ("grades", "days"),
    [
        ([3, 3, 3, 3], [2, 11, 46, 163]),
        ([2] * 9, [1, 3, 7, 12, 18, 25, 33, 42, 52]),
        ([4, 4, 4], [8, 66, 365]),
        ([1, 3, 3, 3, 3, 3, 3], [1, 2, 6, 17, 44, 102, 220]),
        ([3, 3, 3, 1, 3, 3, 3, 3], [2, 11, 46, 3, 8, 19, 42, 86]),
        ([1] * 5, [1] * 5),
    ],
)
def test_intervals_are_those_of_the_facts(grades: list[int], days: list[int]) -> None:
    """间隔与量过的一样；365 天封顶。"""
    assert intervals(grades) == days


@pytest.mark.parametrize("seed", range(5))
def test_the_hour_does_not_matter_only_the_day(seed: int) -> None:
    draw = random.Random(seed)
    plan = [(DAY + timedelta(days=n), draw.randint(1, 4)) for n in (0, 2, 9, 20, 70)]
    states = [
        replay([born("c"), *(answered("c", grade, day, draw.randrange(24)) for day, grade in plan)])
        for _ in range(20)
    ]
    assert all(state == states[0] for state in states)


def test_of_two_answers_a_day_the_first_counts() -> None:
    one, two = answered("c", 1, DAY, 9), answered("c", 4, DAY, 20)
    assert replay([born("c"), two, one]) == replay([born("c"), one])


def test_of_two_answers_at_one_moment_the_smaller_id_counts() -> None:
    one, two = answered("c", 1, DAY, 9, "a"), answered("c", 4, DAY, 9, "b")
    assert replay([two, one, born("c")]) == replay([born("c"), one])


def test_a_day_late_is_placed_by_its_day() -> None:
    """合并进来的旧分支里，答的那天更早：按那天排，不按写进来的先后。"""
    early, late = answered("c", 3, DAY), answered("c", 3, DAY + timedelta(days=3))
    assert replay([late, born("c"), early]) == replay([born("c"), early, late])


def test_unknown_cards_are_left_alone() -> None:
    assert replay([answered("x", 3, DAY), born("c")]).keys() == {"c"}


def test_a_match_moves_the_words_and_keeps_the_memory() -> None:
    told = {"card": "c", "note": "m", "text": "新的"}
    moved = Event(datetime(2026, 1, 5, tzinfo=UTC), "m", "match", told)
    before = replay([born("c"), answered("c", 3, DAY)])["c"]
    now = replay([born("c"), answered("c", 3, DAY), moved])["c"]
    assert (now.note, now.text) == ("m", "新的")
    assert replace(now, note=before.note, text=before.text) == before


def asked(card: str, text: str, hour: int, what: str = "born") -> Event:
    told = {"card": card, "note": "n", "text": text}
    told |= {"kind": "自测", "day": str(DAY)} if what == "born" else {}
    return Event(datetime(2026, 1, 1, hour, tzinfo=UTC), f"{what}{card}{hour}", what, told)


def test_one_question_first_asked_on_two_branches_is_one_card() -> None:
    """两台电脑各自头一次问了同一题：合起来是一张，先出生的；各天答的都算，一天两次的算头一次。"""
    later = DAY + timedelta(days=2)
    ours = [asked("甲", "题", 8), answered("甲", 3, DAY, 8)]
    theirs = [asked("乙", "题", 9), answered("乙", 1, DAY, 9), answered("乙", 3, later)]
    states = replay([*theirs, *ours])
    assert states.keys() == {"甲"} and states["甲"].reviews == 2
    assert states == replay([*ours, answered("甲", 3, later)])


def test_a_new_question_with_the_old_words_of_another_is_new() -> None:
    """原来那题改了字，又写了一题用它原来的字：是两张。"""
    moved = [asked("甲", "题", 8), asked("甲", "改过的题", 9, "match"), asked("乙", "题", 10)]
    assert {name: state.text for name, state in replay(moved).items()} == {
        "甲": "改过的题",
        "乙": "题",
    }


def test_leeches() -> None:
    def state(grades: list[int]) -> State:
        days = [DAY + timedelta(days=60 * n) for n in range(len(grades))]
        return replay(
            [born("c"), *(answered("c", g, d) for g, d in zip(grades, days, strict=True))]
        )["c"]

    assert not state([1, 1]).leech and state([1, 1, 1]).leech
    assert not state([1, 3, 1, 3, 1]).leech
    assert state([3, 1, 3, 1, 3, 1, 3, 1]).leech and state([3, 1, 3, 1]).lapses == 2


def many(count: int) -> dict[str, State]:
    made: list[Event] = []
    for n in range(count):
        day = DAY + timedelta(days=n % 30)
        made += [born(f"c{n}", day), answered(f"c{n}", 1 + n % 4, day)]
    return replay(made)


def test_after_an_absence_only_a_share_is_asked_the_easiest_first() -> None:
    states, today = many(60), DAY + timedelta(days=90)
    waiting = due(states.values(), today)
    assert len(waiting) > 40
    recalled = [retrievability(state, today) for state in waiting]
    assert recalled == sorted(recalled, reverse=True)
    listed, new = share(states, today, 15, 5)
    assert listed == waiting[:15] and new == 0
    done = {s.card: after(s, 3, today) for s in listed[:6]}
    rest, new = share({**states, **done}, today, 15, 5)
    assert [s.card for s in rest] == [s.card for s in waiting[6:15]] and new == 0


def test_new_cards_fill_what_is_left_of_the_day() -> None:
    assert share({}, DAY, 15, 5) == ([], 5)
    assert share({}, DAY, 3, 5) == ([], 3)
    started = replay([born("a"), answered("a", 3, DAY), born("b"), answered("b", 3, DAY)])
    assert share(started, DAY, 15, 5) == ([], 3)
    assert share({}, DAY, 0, 5) == ([], 0)


def test_the_load_is_spread_and_replays_to_the_same_day() -> None:
    states = replay(
        [e for n in range(80) for day in [DAY] for e in (born(f"c{n}"), answered(f"c{n}", 4, day))]
    )
    later = {s.card: after(s, 3, s.due) for s in states.values()}
    spread = {(s.due - states[s.card].due).days for s in later.values()}
    assert len(spread) > 3
    assert all(abs(d - (sum(spread) / len(spread))) < 8 for d in spread)
    assert {s.card: after(s, 3, s.due) for s in states.values()} == later


def test_asleep_is_not_due() -> None:
    made = [born("c"), answered("c", 3, DAY)]
    asleep = Event(datetime(2026, 1, 2, tzinfo=UTC), "z", "sleep", {"card": "c"})
    far = DAY + timedelta(days=50)
    assert len(due(replay(made).values(), far)) == 1
    assert due(replay([*made, asleep]).values(), far) == []


@dataclass(frozen=True)
class Lived:
    """模拟出来的半年：每天答几张，回来那天欠几张、几天清完，第 180 天记得几张。"""

    loads: list[int]
    overdue: int
    cleared: int
    knowledge: float


def lived(away: range, cap: int = 15) -> Lived:
    """一百二十张，一天五张新的；头一次有人忘有人记得，之后按记得的可能答。"""
    draw = random.Random(0)
    states: dict[str, State] = {}
    loads, waiting = [], dict[int, int]()
    for n in (n for n in range(180) if n not in away):
        today = DAY + timedelta(days=n)
        waiting[n] = len(due(states.values(), today))
        listed, new = share(states, today, cap, 5)
        for state in listed:
            recalled = draw.random() < retrievability(state, today)
            states[state.card] = after(state, 3 if recalled else 1, today)
        for card in range(len(states), min(len(states) + new, 120)):
            fresh = replay([born(f"c{card}", today)])[f"c{card}"]
            first = draw.choices([1, 2, 3, 4], [0.3, 0.2, 0.4, 0.1])[0]
            states[fresh.card] = after(fresh, first, today)
        loads.append(len(listed))
    back = away.stop
    cleared = next(n - back + 1 for n in range(back, 180) if waiting[n] <= cap)
    last = DAY + timedelta(days=180)
    knowledge = sum(retrievability(state, last) for state in states.values())
    return Lived(loads, waiting[back], cleared, knowledge)


@pytest.mark.slow  # 不慢，只是要看打印出来的数：平时不印
def test_half_a_year_with_three_weeks_away(capsys: pytest.CaptureFixture[str]) -> None:
    """离开三周：回来一天至多十五张，几天就清，最后记得的与没走差不多；与量过的事实印在一起。"""
    steady, away, free = lived(range(0)), lived(range(30, 51)), lived(range(0), 10**6)
    with capsys.disabled():
        for name, one in (("每天都来", steady), ("离开三周", away), ("不设上限", free)):
            print(f"\n{name}：复习 {sum(one.loads)} 次，一天至多 {max(one.loads)} 张，", end="")
            print(f"第 180 天记得 {one.knowledge:.1f} 张", end="")
        print(f"\n回来那天欠 {away.overdue} 张（事实 66–69），{away.cleared} 天清完（事实约 5）")
        print("事实里记得的两边相等；一天五张新的，半年 1,864 次，摊开之后一天至多 24 张")
    assert max(away.loads) <= 15 and 60 <= away.overdue <= 75 and away.cleared <= 7
    assert abs(away.knowledge - steady.knowledge) < 0.02 * steady.knowledge
    assert abs(free.knowledge - steady.knowledge) < 0.02 * steady.knowledge
