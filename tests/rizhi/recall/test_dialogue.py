"""一场复习的对话：打什么、说什么、记下什么；停在哪里、别处也在答、题没有了，都不丢。"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rizhi.errors import RizhiError
from rizhi.recall import dialogue, drills, grade, log, schedule, session
from rizhi.recall.cards import ASKED, CAUGHT, PRINTED, RECITED, SHAPED, Card, Verdict
from rizhi.recall.dialogue import Stopped
from rizhi.recall.session import Ask, Session
from rizhi.vault import Vault

START = datetime.fromisoformat("2026-11-23T21:30+08:00")
DAY = date(2026, 11, 23)
STOP = object()
Play = Callable[..., list[str]]


def asked(number: int) -> Card:
    return Card(
        "rope", ASKED, f"第 {number} 题？", f"答案 {number}\n还有一行", "docs/notes/a/rope.md:3"
    )


def typed(number: int) -> Card:
    source = f"print({number}, [{number}])\nprint('尾', {number})"
    return Card(
        "rope",
        PRINTED,
        f"坏 标题 {number}\n{source}",
        f"{number} [{number}]\n尾 {number}\n",
        "snippets/rope.py:3",
        prompt="它会打印什么？共 2 行。",
        code=source,
        after=f"坏 标题 {number}",
        judged=True,
    )


@pytest.fixture
def note(vault: Vault) -> Path:
    path = vault.notes / "a/rope.md"
    path.parent.mkdir(parents=True)
    path.write_text("---\ntitle: 题\n---\n\n# 题\n", "utf-8")
    (vault.snippets / "rope.py").write_text("# %% 一\nx = 1\n", "utf-8")
    return path


@pytest.fixture
def play(vault: Vault, note: Path) -> Play:
    """`play([题…], [打的…])`：打完为止，返回说过的全部的话；STOP 是 Ctrl-C，函数先做那件事。"""

    def played(cards: Iterable[Card], keys: Iterable[Any], **options: Any) -> list[str]:
        said: list[str] = []
        events = log.read(vault)[0]
        states = {s.text: s for s in schedule.replay(events).values()}
        latest = max((event.at for event in events), default=None)
        asks = tuple(Ask(card, states.get(card.text)) for card in cards)
        matched = session.begin(vault, DAY).matched
        known = {s.card: s for s in states.values()}
        found = Session(asks, 0, matched, known, (), latest)
        ticks = iter(range(10_000))
        clock = lambda: (START + timedelta(seconds=next(ticks)), DAY)  # noqa: E731
        talk = dialogue.review(vault, lambda: found, clock, **options)
        try:
            want = next(talk)
            for key in keys:
                said += [*want.lines, want.words, *filter(None, [want.draft])]
                if callable(key):
                    key = key()
                want = talk.throw(Stopped()) if key is STOP else talk.send(key)
            said += [*want.lines, want.words]
        except StopIteration as end:
            said += end.value
        return said

    return played


def reviews(vault: Vault) -> list[tuple[int, str]]:
    events = [event for event in log.read(vault)[0] if event.what == "review"]
    return [(event.fields["grade"], event.fields.get("attempt", "")) for event in events]


def test_a_wrong_answer_costs_nothing_until_he_gives_up(vault: Vault, play: Play) -> None:
    said = play([typed(1), typed(2)], ["1 [2]", "尾 1", "1 [1]", "尾 1", "\r", "9", "9", ""])
    assert "不对：第 1 行写到「1[」都对，后面不一样。" in said
    assert reviews(vault) == [(2, "1 [2]\n尾 1"), (1, "9\n9")]
    assert said.count("\n坏 标题 1") == 1  # 标题只在答过之后说


def test_right_at_once_is_three_and_the_grade_can_be_changed(vault: Vault, play: Play) -> None:
    play([typed(1), typed(2)], ["1 [1]", "尾 1", "\n", "2 [2]", "尾 2", "4"])
    assert reviews(vault) == [(3, ""), (4, "")]


def test_a_hint_lowers_the_default_and_comes_step_by_step(vault: Vault, play: Play) -> None:
    said = play([typed(7)], ["h", "h", "h", "h", "7 [7]", "尾 7", "\r"])
    assert reviews(vault) == [(2, "")]
    steps = grade.hints(vault, typed(7))
    assert [line for line in said if line in steps] == list(steps)
    assert "没有更多的提示了；空着回车看答案。" in said


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        ("看得见的是 True，挡住的是 False。", ("看得见的是…", "看得见的是 True，…")),
        ("`(B, H, T, S)` 与 `(B, 1, 1, S)` 都可以。", ("`(B, H,`…", "`(B, H, T, S)` 与…")),
        ("令 $h = \\mathrm{LN}$，一步步看。\n\n再往下。", ("令 $h = \\mathrm{LN}$，一步步看。…",)),
        ("```python\nx = x.unsqueeze(1)\n```\n", ("x =…", "x = x.uns…")),
        ("$$\na\n$$", ()),
        ("见[旋转](rope.md)。", ("见…",)),
    ],
)
def test_a_hint_never_cuts_within_code_maths_or_a_link(
    vault: Vault, answer: str, steps: tuple[str, ...]
) -> None:
    assert grade.hints(vault, Card("rope", ASKED, "问", answer, "x:1")) == steps


def test_after_a_hint_the_lines_typed_so_far_stand(vault: Vault, play: Play) -> None:
    said = play([typed(7)], ["7 [7]", "h", "尾 7", "\r"])
    assert said.count("第 2 行，共 2 行") == 2 and grade.hints(vault, typed(7))[0] in said
    assert reviews(vault) == [(2, "")]


def test_the_editor_opens_with_the_lines_typed_so_far(vault: Vault, play: Play) -> None:
    said = play([typed(7)], ["7 [", "e", "7 [7]\n尾 7", "\r"])
    assert "7 [" in said and reviews(vault) == [(3, "")]


def test_a_printed_line_that_looks_like_a_key_is_an_answer(vault: Vault, play: Play) -> None:
    card = replace(typed(1), answer="1\ns\n", code="print(1)\nprint('abs'[2])")
    play([card], ["1", "s", "\r"])
    assert reviews(vault) == [(3, "")]


def test_stopped_before_the_first_answer_it_does_not_speak_of_answers(
    vault: Vault, play: Play
) -> None:
    said = play([asked(0), asked(1)], [STOP])
    assert said[-2:] == ["\n答了 0 张。", "停在第 1 张（共 2 张）；再来就从这里接着。"]


def test_what_cannot_be_judged_is_no_wrong_answer(vault: Vault, play: Play) -> None:
    text = "llm.model:f 改坏一处：\n    x\n哪个检验会红？\n1. 检验 一\n2. 检验 二"
    card = Card("rope", CAUGHT, text, "检验 二", "docs/notes/a/rope.md:3")
    said = play([card], ["99", "abc", "2", "\r"])
    assert said.count("判不了：没有这一项：写 1 到 2 的编号，或那一格的标题。") == 2
    assert "再想想；空着回车看答案。" not in said and reviews(vault) == [(3, "")]


def test_code_typed_line_by_line_says_how_it_ends(
    vault: Vault, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded: list[str] = []
    monkeypatch.setattr(grade, "hints", lambda *_: ())
    monkeypatch.setattr(grade, "start", lambda *_: "def f():\n    ...")
    right = lambda _vault, _card, said: Verdict(not graded.append(said), ("对。",))  # noqa: E731
    monkeypatch.setattr(grade, "grade", right)
    card = Card("rope", RECITED, "llm.model:f", "def f():\n    return 1\n", "llm/model.py:1")
    said = play([card], ["def f():", "    return 1", "", "3"])
    assert graded == ["def f():\n    return 1"] and "第 2 行，空着回车就是写完" in said
    assert any("再空着回车就是写完" in line for line in said)


def test_the_answer_can_be_written_in_the_editor(vault: Vault, play: Play) -> None:
    said = play([typed(1)], ["e", "", "e", "1 [1]\n尾 1\n\n", "\r"])
    assert "编辑器里没有存下答案。" in said and reviews(vault) == [(3, "")]


def test_undo_goes_back_more_than_one(vault: Vault, play: Play) -> None:
    keys = ["\r", "1", "\r", "1", "\r", "1", "u", "u", "u", "\r", "4", "\r", "4", "\r", "3"]
    said = play([asked(n) for n in range(3)], keys)
    assert sorted(grade for grade, _ in reviews(vault)) == [3, 4, 4]
    assert said.count("撤回了，再答一遍。") == 3
    assert len(schedule.replay(log.read(vault)[0])) == 3


def test_stopped_anywhere_it_says_where_and_what_is_kept(vault: Vault, play: Play) -> None:
    said = play([asked(0), typed(1), asked(2)], ["\r", "3", "1 [", STOP])
    assert said[-2:] == [
        "\n答了 1 张，忘了 0 张。",
        "停在第 2 张（共 3 张）；答过的都记下了，再来就从这里接着。",
    ]
    assert reviews(vault) == [(3, "")]


def test_attempts_are_kept_up_to_four_kilobytes_and_no_letter_is_cut(
    vault: Vault, play: Play
) -> None:
    play([typed(1)], ["错" * 3000, "x", "末尾", "y", "g"])
    ((again, attempt),) = reviews(vault)
    assert again == 1 and attempt.endswith("末尾\ny") and 4000 < len(attempt.encode()) <= 4096
    assert set(attempt) == set("错x末尾y\n")


def test_a_megabyte_is_wrong_and_quickly(vault: Vault, play: Play) -> None:
    said = play([typed(1)], ["1.5 " * 250_000, "x", ""])
    assert any(line.startswith("不对：写了 1,000,00") for line in said)
    assert reviews(vault)[0][0] == 1


def test_a_lone_surrogate_is_written_down_as_a_question_mark(vault: Vault, play: Play) -> None:
    play([typed(1)], ["\udcff", "x", ""])
    assert reviews(vault) == [(1, "?\nx")]


def test_what_cannot_be_judged_now_is_said_and_can_be_skipped(
    vault: Vault, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Verdict:
        raise RizhiError("读不到", vault.snippets / "rope.py")

    monkeypatch.setattr(grade, "grade", broken)
    said = play([typed(1)], ["1 [1]", "尾 1", "s"])
    assert "判不了：snippets/rope.py 读不到" in said and reviews(vault) == []


def test_what_cannot_be_asked_now_is_skipped_and_said(
    vault: Vault, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RizhiError("没有这个函数了")

    monkeypatch.setattr(grade, "start", broken)
    said = play([typed(1), asked(2)], [])
    assert "问不了：没有这个函数了" in said and "第 2 题？" in said


def test_cards_that_are_not_computed_here_are_told(vault: Vault, play: Play) -> None:
    shape = Card("rope", SHAPED, "rope\ny = x.mT", "(2, 3) = (T, B)", "snippets/rope.py:2")
    session.answer(vault, Ask(shape, None), 3, START - timedelta(days=9), DAY, None)
    said = play([asked(0)], [STOP])
    assert "还没有算好的：形状 1 张。rizhi drills 算好它们，缺什么库它会说。" in said


def test_the_note_is_deleted_while_it_is_asked(vault: Vault, play: Play, note: Path) -> None:
    def gone() -> str:
        note.unlink()
        return "\r"

    said = play([asked(0)], [gone, "3"])
    assert "docs/notes/a/rope.md 已经不在了；答得怎样照记，它回来时历史都在。" in said
    assert reviews(vault) == [(3, "")]


def test_answered_in_another_window_meanwhile_is_not_written_twice(
    vault: Vault, play: Play
) -> None:
    def elsewhere() -> str:
        session.answer(vault, Ask(asked(0), None), 1, START, DAY, None)
        return "\r"

    said = play([asked(0), asked(1)], [elsewhere, "4", "\r", "3"])
    assert "这一张今天在别处答过了，没有再记。" in said
    assert sorted(grade for grade, _ in reviews(vault)) == [1, 3]


def test_the_clock_set_back_is_refused_and_what_was_answered_stays(
    vault: Vault, play: Play
) -> None:
    late = START + timedelta(days=1)
    session.answer(vault, Ask(asked(9), None), 3, late, DAY, None)
    with pytest.raises(RizhiError, match="时钟往回拨了"):
        play([asked(0)], [])  # 还没有问，就说
    with pytest.raises(RizhiError, match="时钟往回拨了"):
        play([asked(0)], ["\r", "3"], most=1)
    assert reviews(vault) == [(3, "")]


def test_a_leech_names_the_note_and_where_the_question_stands(vault: Vault, play: Play) -> None:
    for back in (3, 2, 1):
        day = DAY - timedelta(days=back)
        states = schedule.replay(log.read(vault)[0])
        ask = Ask(typed(1), next(iter(states.values()), None))
        moment = START - timedelta(days=back)
        if back > 1:
            session.answer(vault, ask, 1, moment, day, None)
    said = play([typed(1)], [""])
    assert (
        "这一张老是忘，先不问了。去读一遍：docs/notes/a/rope.md（题在 snippets/rope.py:3）" in said
    )


# ---- 默写 ----


def test_reciting_starts_from_the_stub_in_the_editor(
    vault: Vault, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """起始的代码给看，编辑器里也先写好；几行代码打到空行为止，整段一起判。"""
    card = Card(
        "rope", RECITED, "llm:f\n加一", "def f(x):\n    return x + 1\n", "llm/a.py:1", "llm:f"
    )
    stub = "def f(x):\n    ..."
    monkeypatch.setattr(drills, "start", lambda *_: stub)
    monkeypatch.setattr(drills, "hints", lambda *_: ("用到 x。",))
    judge = lambda _, one, said: Verdict(said == one.answer.rstrip(), (said,))  # noqa: E731
    monkeypatch.setattr(drills, "grade", judge)
    said = play(
        [card], ["def f(x):", "    return x", "", "e", "def f(x):\n    return x + 1\n", "\r"]
    )
    assert stub in said and "def f(x):\n    return x" in said
    assert reviews(vault) == [(2, "def f(x):\n    return x")]


def test_drills_are_in_the_deck_and_read_once(
    vault: Vault, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """认出它们还作不作数要读遍源码包：文件没变，就不再问一遍。"""
    card = Card("rope", RECITED, "llm:f", "def f(): ...", "llm/a.py:1", "llm:f")
    asked = list[int]()
    monkeypatch.setattr(drills, "cards", lambda _: asked.append(1) or [card])
    assert card not in session.deck(vault)  # 没有算过
    (vault.root / ".rizhi/drills").mkdir(parents=True, exist_ok=True)
    assert card in session.deck(vault) and card in session.deck(vault)
    assert len(asked) == 1
    (vault.root / "llm/a.py").write_text("def f(): ...", "utf-8")
    assert card in session.deck(vault) and len(asked) == 2
    (vault.root / ".rizhi/recall/drills.json").write_text('{"all": {"value": 3}}', "utf-8")
    assert card in session.deck(vault)


# ---- 说不准是不是同一题 ----


@pytest.fixture
def split(vault: Vault, note: Path) -> tuple[Card, Card]:
    """一题答过之后拆成两题：都像原来那一题。"""
    whole = "RoPE 转的是谁，为什么 v 不转，为什么 k 要转？"
    old = Card("rope", ASKED, whole, "答", "docs/notes/a/rope.md:9")
    session.answer(vault, Ask(old, None), 3, START - timedelta(days=9), DAY, None)
    halves = ("RoPE 转的是谁，为什么 v 不转？", "RoPE 里为什么 v 不转，为什么 k 要转？")
    body = "".join(f'??? question "{text}"\n    答\n\n' for text in halves)
    note.write_text(f"---\ntitle: 题\n---\n\n# 题\n\n## 自测\n\n{body}", "utf-8")
    first, second = (c for c in session.deck(vault) if c.kind == ASKED)
    return first, second


def doubtful(vault: Vault) -> int:
    return len(session.begin(vault, DAY).matched.doubtful)


def test_in_doubt_it_asks_and_yes_keeps_the_history(
    vault: Vault, play: Play, split: tuple[Card, Card]
) -> None:
    assert doubtful(vault) == 2
    said = play([], ["n", "y"])
    assert "  原来：RoPE 转的是谁，为什么 v 不转，为什么 k 要转？" in said
    states = {s.text: s for s in schedule.replay(log.read(vault)[0]).values()}
    assert states[split[1].text].reviews == 1 and states[split[0].text].reviews == 0
    assert doubtful(vault) == 0 and len(states) == 2


def test_later_asks_again_next_time_and_nothing_is_written(
    vault: Vault, play: Play, split: tuple[Card, Card]
) -> None:
    before = log.path(vault).read_bytes()
    play([], ["l", "l"])
    assert log.path(vault).read_bytes() == before and doubtful(vault) == 2


def test_yes_to_the_first_makes_the_second_a_new_one(
    vault: Vault, play: Play, split: tuple[Card, Card]
) -> None:
    play([], ["y"])
    states = {s.text: s for s in schedule.replay(log.read(vault)[0]).values()}
    assert states[split[0].text].reviews == 1 and doubtful(vault) == 0


def test_stopped_while_in_doubt_keeps_the_answers_so_far(
    vault: Vault, play: Play, split: tuple[Card, Card]
) -> None:
    said = play([], ["n", STOP])
    assert said[-1] == "停在这里；答过的都记下了，再来就从这里接着。"
    assert len(schedule.replay(log.read(vault)[0])) == 2
