"""题从笔记里来；笔记怎么改，认得出的还是那一题，说不准的不猜，一张也不丢。"""

import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from fsrs import Card as Memory

from rizhi.recall import cards, recorded
from rizhi.recall.cards import ASKED, PRINTED, Card, match
from rizhi.recall.schedule import State
from rizhi.snippets import recording
from rizhi.vault import Vault

DAY = date(2026, 1, 1)
QUESTIONS = (
    "attention_mask 里 True 是看得见还是挡住？",
    "RoPE 转的是谁，v 为什么不转？",
    "S 与 T 差在哪里？",
    "解码时键值缓存每步长几列？",
    "repeat_kv 的次序是 0 0 1 1 还是 0 1 0 1？",
    "为什么 softmax 要在 fp32 里算？",
    "masked_fill 与 masked_fill_ 差什么？",
    "unsqueeze(1) 之后形状是什么？",
    "残差流的宽度在每一层里变不变？",
    "温度趋于 0 时采样成了什么？",
)


def card(note: str, text: str, answer: str = "答", kind: str = ASKED) -> Card:
    return Card(note, kind, text, answer, f"{note}:1")


def known(listed: list[Card]) -> dict[str, State]:
    return {
        f"c{n}": State(f"c{n}", one.note, one.kind, one.text, DAY, Memory(card_id=0), DAY)
        for n, one in enumerate(listed)
    }


def first() -> list[Card]:
    return [card(f"note-{n % 3}", text) for n, text in enumerate(QUESTIONS)]


# ---- 从笔记里取 ----


def note(vault: Vault, slug: str, body: str, front: str = "") -> Path:
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"---\ntitle: 题\nsnippet: {slug.replace('-', '_')}\n{front}---\n"
    path.write_text(f"{head}\n# 题\n\n## 自测\n\n{body}", "utf-8")
    return path


def test_questions_come_with_their_answers_and_where_they_stand(vault: Vault) -> None:
    note(
        vault,
        "rope",
        '??? question "转谁？"\n\n    q 与 k。\n\n    - v 不转\n\n??? question\n    没题目\n',
    )
    note(vault, "half", '??? question "草稿？"\n    是\n', "draft: true\n")
    (one,) = cards.made(vault, recorded.gather(vault))
    assert one == Card(
        "rope", ASKED, "转谁？", "q 与 k。\n\n- v 不转", "docs/notes/model/rope.md:10"
    )


def test_short_recorded_cells_ask_what_they_print(vault: Vault) -> None:
    note(vault, "rope", "")
    vault.snippets.mkdir(exist_ok=True)
    path = vault.snippets / "rope.py"
    long = "\n".join(f"x{n} = {n}" for n in range(20))
    path.write_text(
        f"# %% 短\nprint(1 + 1)\n# %% 长\n{long}\nprint(x0)\n# %% 不印\ny = 1\n"
        "# %% 检验\nassert y == 1\nprint('过')\n",
        "utf-8",
    )
    assert cards.made(vault, recorded.gather(vault)) == []  # 还没有记录，不知道答案
    recording.record(vault, path)
    (one,) = cards.made(vault, recorded.gather(vault))
    assert (one.kind, one.text, one.answer) == (PRINTED, "短\nprint(1 + 1)", "2\n")
    assert (one.prompt, one.code, one.judged) == ("它会打印什么？共 1 行。", "print(1 + 1)", True)
    path.write_text(path.read_text("utf-8").replace("1 + 1", "1 + 2"), "utf-8")
    assert cards.made(vault, recorded.gather(vault)) == []  # 记录过期：答案不作数


# ---- 认得出 ----


def test_nothing_changed() -> None:
    listed = first()
    found = match(listed, known(listed))
    assert found.found == {f"c{n}": one for n, one in enumerate(listed)}
    assert not (found.changed or found.new or found.gone or found.doubtful)


@pytest.mark.parametrize(
    "changed",
    [
        "RoPE 转的是谁，v 为什么不转",
        "RoPE转的是谁, v为什么不转?",
        "**RoPE** 转的是谁，`v` 为什么不转？",
        "RoPE 转的是哪几个，v 为什么不转？",
    ],
)
def test_a_retyped_question_is_the_same_one(changed: str) -> None:
    listed = first()
    edited = [replace(one, text=changed) if one.text == QUESTIONS[1] else one for one in listed]
    found = match(edited, known(listed))
    assert found.changed == {"c1"} and found.found["c1"].text == changed
    assert not (found.new or found.gone or found.doubtful)


def test_another_answer_is_no_change_of_the_question() -> None:
    listed = first()
    found = match([replace(one, answer="别的") for one in listed], known(listed))
    assert not found.changed and len(found.found) == len(listed)


def test_a_renamed_note_keeps_its_cards() -> None:
    listed = first()
    moved = [replace(one, note="renamed") if one.note == "note-1" else one for one in listed]
    found = match(moved, known(listed))
    assert found.changed == {"c1", "c4", "c7"} and not (found.new or found.gone)


def test_deleted_and_brought_back() -> None:
    listed = first()
    without = match(listed[1:], known(listed))
    assert without.gone == {"c0"} and not without.new
    assert match(listed, known(listed)).gone == frozenset()


def test_a_split_question_is_asked_about_and_nothing_is_dropped() -> None:
    """一题拆成两题，都像原来那一题：说不准，问，不猜。"""
    listed = [card("n", "RoPE 转的是谁，为什么 v 不转，为什么 k 要转？")]
    halves = [
        card("n", "RoPE 转的是谁，为什么 v 不转？"),
        card("n", "RoPE 里为什么 v 不转，为什么 k 要转？"),
    ]
    found = match(halves, known(listed))
    assert not found.found and not found.gone
    assert [one for one, _ in found.doubtful] == halves
    assert all(names == ("c0",) for _, names in found.doubtful)


def test_two_alike_in_one_note_are_told_apart_by_their_words() -> None:
    listed = [card("n", "第 1 维是什么？"), card("n", "第 2 维是什么？")]
    assert match(listed[::-1], known(listed)).found == {"c0": listed[0], "c1": listed[1]}


def test_kinds_do_not_mix() -> None:
    listed = [card("n", "print(1)", kind=PRINTED)]
    found = match([card("n", "print(1)")], known(listed))
    assert found.gone == {"c0"} and len(found.new) == 1


SPLITS = (
    "位置编码加在哪几个张量上，凭什么；换成更长的序列，它还对不对？",
    "门控的前馈层有哪三个矩阵，次序如何；参数一样多，中间维度取几？",
)


@pytest.mark.parametrize("seed", range(200))
def test_random_edits_lose_no_card(seed: int) -> None:
    """改名、换次序、改字、拆、删了又回来，一步一步：没动过字的一定还是自己，一张也不丢、不混。

    每一步都像命令那样：对上的写下现在的字，新的出生。拆开的至多有一半认作原来那张，或说不准，等着。
    """
    draw = random.Random(seed)
    listed = [*first(), *(card("note-0", text) for text in SPLITS)]
    states = known(listed)
    page: dict[str, Card] = dict(zip(states, listed, strict=True))  # 真的是哪一张：编号 → 题
    gone: dict[str, Card] = {}
    halves: dict[str, list[Card]] = {}  # 拆开了的：原来的编号 → 两半
    for step in range(8):
        fresh: list[Card] = []
        name = draw.choice([*page]) if page else ""
        move = draw.choice(
            ["rename", "reorder", "retype", "answer", "split", "delete", "back", "add"]
        )
        if move == "rename":
            old, new = f"note-{draw.randrange(3)}", f"moved-{step}"
            page = {n: replace(c, note=new) if c.note == old else c for n, c in page.items()}
            halves = {
                n: [replace(c, note=new) if c.note == old else c for c in two]
                for n, two in halves.items()
            }
        elif move == "reorder":
            page = dict(draw.sample([*page.items()], len(page)))
        elif move == "retype" and name:
            page[name] = replace(page[name], text=retyped(page[name].text, draw))
        elif move == "answer" and name:
            page[name] = replace(page[name], answer="另一种说法")
        elif move == "split" and name and page[name].text in SPLITS:
            one = page.pop(name)
            left, _, right = one.text.partition("；")
            halves[name] = [replace(one, text=f"{left}？"), replace(one, text=right)]
        elif move == "delete" and name:
            gone[name] = page.pop(name)
        elif move == "back" and gone:
            back = draw.choice([*gone])
            page[back] = gone.pop(back)
        elif move == "add":
            fresh = [card("note-0", f"全新的第 {draw.random()} 题是什么意思呢")]
        parts = [half for two in halves.values() for half in two]
        found = match([*page.values(), *fresh, *parts], states)
        doubtful = {n for _, names in found.doubtful for n in names}
        assert {n: found.found.get(n) for n in page} == page
        assert gone.keys() <= found.gone
        assert {*found.found, *found.gone, *doubtful} == set(states)  # 一张也不丢
        assert set(fresh) <= set(found.new)
        for name, two in halves.items():
            kept = found.found.get(name)
            assert kept in (None, *two)
        for name in found.changed:  # 像命令那样写下 match 与 born
            states[name] = replace(
                states[name], text=found.found[name].text, note=found.found[name].note
            )
        for one in found.new:
            states[f"n{len(states)}"] = known([one])["c0"]
            page[f"n{len(states) - 1}"] = one
        settled = {id(half) for half in (*page.values(), *found.found.values())}
        halves = {n: two for n, two in halves.items() if not all(id(h) in settled for h in two)}


def retyped(text: str, draw: random.Random) -> str:
    """标点、空白、着重与一个字的改法。"""
    ways = [
        text.replace("？", "?"),
        text.replace(" ", ""),
        f"**{text[:4]}**{text[4:]}",
        text.replace("什么", "啥", 1),
        f"{text[:-1]}呢？",
    ]
    return draw.choice(ways)
