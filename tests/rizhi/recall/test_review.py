"""rizhi review：问、看、记；停在哪里都不丢，撤得回，拨回的时钟不收。"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rizhi import cli
from rizhi.recall import log, schedule, session
from rizhi.vault import Vault

Run = Callable[..., Result]
NIGHT = "2026-11-23 21:30"


@pytest.fixture
def asked(vault: Vault) -> list[str]:
    """一篇笔记，八题。"""
    path = vault.notes / "model/rope.md"
    path.parent.mkdir(parents=True)
    texts = [
        "attention_mask 里 True 是看得见还是挡住？",
        "RoPE 转的是谁，v 为什么不转？",
        "解码时键值缓存每步长几列？",
        "repeat_kv 的次序是哪一种？",
        "softmax 要在 fp32 里算的道理？",
        "masked_fill_ 的下划线是什么意思？",
        "unsqueeze(1) 之后多出哪一维？",
        "温度趋于 0 时采样成了什么？",
    ]
    body = "".join(f'??? question "{text}"\n    答案{n}\n\n' for n, text in enumerate(texts))
    path.write_text(f"---\ntitle: 题\nsnippet: rope\n---\n\n# 题\n\n## 自测\n\n{body}", "utf-8")
    return texts


def states(vault: Vault) -> dict[str, schedule.State]:
    return schedule.replay(log.read(vault)[0])


def test_five_new_ones_the_first_evening(vault: Vault, rz: Run, asked: list[str]) -> None:
    result = rz("review", input="\r3" * 5)
    assert result.exit_code == 0, result.output
    assert "5 张：到期的 0，新的 5。" in result.stdout
    for n, text in enumerate(asked[:5]):
        assert text in result.stdout and f"答案{n}" in result.stdout
    assert asked[5] not in result.stdout and "答了 5 张，忘了 0 张" in result.stdout
    made = states(vault)
    assert sorted(s.text for s in made.values()) == sorted(asked[:5])
    assert {str(s.due) for s in made.values()} == {"2026-11-25"}


def test_the_same_day_asks_no_more_and_later_days_ask_again(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    rz("review", input="\r3" * 5)
    assert "今天没有要复习的" in rz("review", at="2026-11-24 01:00").stdout
    again = rz("review", at="2026-11-25 20:00", input="\r3" * 8)
    assert "8 张：到期的 5，新的 3。" in again.stdout
    assert len(states(vault)) == 8


def test_each_key(vault: Vault, rz: Run, asked: list[str]) -> None:
    """h 提示、s 跳过、1 忘了、u 撤回上一张再答、q 结束。"""
    result = rz("review", input="h\r1" + "s" + "\r4" + "u" + "\r2" + "q")
    assert "撤回了，再答一遍" in result.stdout and "答了 2 张，忘了 1 张" in result.stdout
    made = {state.text: state for state in states(vault).values()}
    assert made.keys() == {asked[0], asked[2]}
    assert (made[asked[0]].run, made[asked[2]].reviews) == (1, 1)
    grades = [e.fields["grade"] for e in log.read(vault)[0] if e.what == "review"]
    assert sorted(grades) == [1, 2]


def test_undo_with_nothing_to_undo(vault: Vault, rz: Run, asked: list[str]) -> None:
    result = rz("review", input="uq")
    assert "没有可撤的" in result.stdout and not log.path(vault).exists()


def test_stopped_in_the_middle_what_was_answered_stays(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    result = rz("review", input="\r3\r3")  # 输入到此为止，像 Ctrl-C
    assert result.exit_code != 0 and "Traceback" not in result.output
    assert len(states(vault)) == 2


def test_a_leech_sleeps_and_its_note_is_named(vault: Vault, rz: Run, asked: list[str]) -> None:
    for day in (23, 24, 25):
        last = rz("review", "--new", "1", at=f"2026-11-{day} 21:30", input="\r1" * 3)
    assert "这一张老是忘，先不问了。去读一遍：docs/notes/model/rope.md:" in last.stdout
    (asleep,) = [state for state in states(vault).values() if state.asleep]
    assert asleep.text == asked[0]
    assert asked[0] not in rz("review", "--json", at="2026-12-20 21:30").stdout


def sleeping(vault: Vault, rz: Run) -> schedule.State:
    """忘三次，让头一题睡着。"""
    for day in (23, 24, 25):
        rz("review", "--new", "1", at=f"2026-11-{day} 21:30", input="\r1" * 3)
    (state,) = [state for state in states(vault).values() if state.asleep]
    return state


def test_the_sleeping_are_listed_and_woken(vault: Vault, rz: Run, asked: list[str]) -> None:
    assert rz("review", "--wake").stdout == "没有睡着的。\n"
    state = sleeping(vault, rz)
    listed = rz("review", "--wake").stdout
    assert f"{state.card}  rope · 自测  {asked[0]}" in listed and "--wake 编号" in listed
    data = json.loads(rz("review", "--wake", "--json").stdout)
    assert data == [{"id": state.card, "note": "rope", "kind": "自测", "text": asked[0]}]
    woken = rz("review", "--wake", state.card, at="2026-11-26 20:00")
    assert woken.stdout == f"叫醒了：{asked[0]}（rope）\n"
    assert rz("review", "--wake").stdout == "没有睡着的。\n"
    assert asked[0] in rz("review", "--json", at="2026-11-26 21:00").stdout


@pytest.mark.parametrize("grade", ["1", "3"])
def test_once_woken_it_is_asked_again_before_it_sleeps(
    vault: Vault, rz: Run, asked: list[str], grade: str
) -> None:
    """叫醒就是从头数起：再忘一次、记住一次，都不马上又睡着。"""
    state = sleeping(vault, rz)
    rz("review", "--wake", "rope", at="2026-11-26 20:00")
    review = ("review", "--new", "0", "--note", "rope")
    rz(*review, at="2026-11-26 21:00", input=f"\r{grade}" * 3)
    now = states(vault)[state.card]
    assert (now.reviews, now.asleep, now.run) == (4, "", int(grade == "1"))


def test_waking_what_does_not_sleep(vault: Vault, rz: Run, asked: list[str]) -> None:
    state = sleeping(vault, rz)
    before = log.path(vault).read_bytes()
    refused = rz("review", "--wake", "没有的", at="2026-11-26 20:00")
    assert refused.exit_code == 1 and "睡着的里面没有 没有的" in refused.stderr
    back = rz("review", "--wake", state.card, at="2026-11-25 20:00")
    assert back.exit_code == 1 and "时钟往回拨了" in back.stderr
    assert log.path(vault).read_bytes() == before


def test_a_note_deleted_while_it_is_asked(
    vault: Vault, rz: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """问到一半笔记删了：答的照样记下，下一次不再问它，历史留着。"""
    right, page = session.answer, vault.notes / "model/rope.md"

    def deleted(*arguments: Any) -> Any:
        page.unlink(missing_ok=True)
        return right(*arguments)

    monkeypatch.setattr(session, "answer", deleted)
    result = rz("review", "--new", "2", input="\r3\r3")
    assert result.exit_code == 0 and len(states(vault)) == 2
    assert "今天没有要复习的" in rz("review", at="2026-11-25 21:30").stdout
    assert "没有笔记 rope" in rz("review", "--note", "rope", at="2026-11-25 21:30").stderr


def test_after_the_note_is_edited_the_card_is_the_same(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    rz("review", "--new", "1", input="\r3")
    path = vault.notes / "model/rope.md"
    path.write_text(
        path.read_text("utf-8").replace(
            asked[0], "attention_mask 里的 True 究竟是看得见还是挡住？"
        ),
        "utf-8",
    )
    rz("review", "--new", "0", at="2026-11-25 21:30", input="\r3")
    (state,) = states(vault).values()
    assert state.text == "attention_mask 里的 True 究竟是看得见还是挡住？" and state.reviews == 2
    written = log.path(vault).read_text("utf-8").splitlines()
    assert [json.loads(line)["what"] for line in written] == ["born", "review", "match", "review"]


def test_one_note_only_and_its_name_must_exist(vault: Vault, rz: Run, asked: list[str]) -> None:
    assert "没有笔记 ropes" in rz("review", "--note", "ropes").stderr
    short = rz("review", "--note", "rope", input="q")
    assert "5 张：到期的 0，新的 5。" in short.stdout  # 一篇也不一次全添上
    result = rz("review", "--note", "rope", "--new", "20", input="\r3" * 8)
    assert "答了 8 张" in result.stdout
    (rope,) = vault.notes.rglob("rope.md")
    text = rope.read_text("utf-8")
    (rope.parent / "mask.md").write_text(re.sub(r'(question ")', r"\1另一篇，", text), "utf-8")
    later = rz("review", "--note", "mask", at="2026-12-25 21:30", input="q")
    assert "另有 8 张到期的，在别的笔记里：rizhi review。" in later.stdout


def test_the_clock_set_back_is_refused_with_both_times(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    rz("review", "--new", "1", input="\r3")
    before = log.path(vault).read_bytes()
    result = rz("review", "--new", "2", at="2026-11-23 20:00", input="\r3")
    assert result.exit_code == 1
    assert "2026-11-23 21:30:00" in result.stderr and "2026-11-23 20:00:00" in result.stderr
    assert log.path(vault).read_bytes() == before


def test_a_damaged_line_is_told_and_the_rest_goes_on(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    rz("review", "--new", "1", input="\r3")
    with log.path(vault).open("a", encoding="utf-8") as file:
        file.write("{坏\n")
    result = rz("review", "--new", "1", at="2026-11-24 21:30", input="\r3")
    assert (
        "reviews.jsonl:3 复习的日志这一行读不懂：没有写完，或不是 JSON" in result.stderr
        and result.exit_code == 0
    )
    assert len(states(vault)) == 2


def test_control_characters_in_a_note_do_not_reach_the_terminal(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    path = vault.notes / "model/rope.md"
    path.write_text(path.read_text("utf-8").replace("答案0", "答\x1b]0;坏\x07案"), "utf-8")
    shown = rz("review", "--new", "1", input="\r3\r").stdout
    assert "答?]0;坏?案" in shown and "\x1b" not in shown


def test_json_lists_todays_cards_and_writes_nothing(
    vault: Vault, rz: Run, asked: list[str]
) -> None:
    data = json.loads(rz("review", "--json").stdout)
    assert [one["text"] for one in data["cards"]] == asked[:5]
    assert data["cards"][0]["answer"] == "答案0" and data["cards"][0]["id"] is None
    assert not log.path(vault).exists()


def test_without_any_question_it_says_where_to_write_one(rz: Run) -> None:
    assert "在笔记的自测里写 ??? question" in rz("review").stdout


def test_settings_limit_the_day(vault: Vault, rz: Run, asked: list[str]) -> None:
    settings = vault.root / "pyproject.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text + "\nreviews = 3\nnew_cards = 9\n", "utf-8")
    assert (
        "3 张：" in rz("review", "--json").stdout
        or len(json.loads(rz("review", "--json").stdout)["cards"]) == 3
    )
    settings.write_text(text + "\nreviews = -1\n", "utf-8")
    assert "reviews = -1：应是不小于 0 的整数" in rz("review").stderr


def test_new_says_how_many_are_due(vault: Vault, rz: Run, asked: list[str]) -> None:
    assert "要复习" not in rz("new").stdout
    rz("review", input="\r3" * 5)
    assert "今天要复习 5 张：rizhi review" in rz("new", at="2026-11-25 21:30").stdout


def test_a_printed_cell_is_answered_by_typing(vault: Vault, rz: Run) -> None:
    from rizhi.snippets import recording

    path: Path = vault.notes / "model/rope.md"
    path.parent.mkdir(parents=True)
    path.write_text(
        "---\ntitle: 题\nsnippet: rope\n---\n\n# 题\n\n## 背景\n\n没有用到。\n\n## 跑一跑\n\n"
        "``` snippet\nrope:加\n```\n\n先乘再印。\n\n``` snippet\nrope:乘\n```\n\n## 自测\n",
        "utf-8",
    )
    vault.snippets.mkdir(exist_ok=True)
    snippet = vault.snippets / "rope.py"
    snippet.write_text("# %% 加\nprint(1 + 1)\nprint(3)\n# %% 乘\nprint(2 * 4)\n", "utf-8")
    recording.record(vault, snippet)
    # 头一格先答错再答对，回车就是 2；第二格不会，看答案
    result = rz("review", input="2\n4\n2\n3\n\n" + "\n")
    assert result.exit_code == 0, result.output
    assert "不对：第 2 行不一样" in result.stdout and "\n对。\n" in result.stdout
    answers = [e.fields for e in log.read(vault)[0] if e.what == "review"]
    graded = sorted((a["grade"], a.get("attempt")) for a in answers)
    assert graded == [(1, None), (2, "2\n4")]
    assert "\n8\n" in result.stdout
    # 答过之后说围栏上面的那一段；别的节的不是说它的
    assert "先乘再印。" in result.stdout and "没有用到" not in result.stdout


@pytest.mark.parametrize("value", ["", "1"])
def test_no_color_is_respected(vault: Vault, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    arguments = ["--root", str(vault.root), "review", "--note", "没有的"]
    result = CliRunner().invoke(cli.main, arguments, color=True)
    assert "没有笔记" in result.output and ("\x1b[" in result.output) == (not value)
