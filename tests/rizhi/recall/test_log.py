"""只增的日志：打乱、合并、截断在任何一个字节，读出来的都一样，或说得出哪一行。"""

import json
import os
import random
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest

from rizhi import store
from rizhi.recall import log
from rizhi.recall.log import Event
from rizhi.recall.schedule import State, replay
from rizhi.vault import Vault, find_vault
from tests.rizhi.faults import fork, kill_self, wait

START = datetime(2026, 1, 1, 13, tzinfo=UTC)


@cache
def events(count: int, seed: int = 0) -> list[Event]:
    """造出来的日志：卡片、作答、改字、睡觉、叫醒、撤回、源码的原文都有。"""
    draw = random.Random(seed)
    made: list[Event] = []
    born: list[str] = []
    for n in range(count):
        at = START + timedelta(minutes=37 * n)
        told = {"card": f"c{len(born)}", "note": f"n{n % 7}", "text": f"题 {n}"}
        kinds = ["born", "match", "sleep", "wake", "undo", "code", *["review"] * 18]
        what = draw.choice(kinds) if born else "born"
        fresh = what == "born" and draw.random() < 0.8  # 其余的是另一个分支也记了一次
        card = {"card": told["card"] if fresh or not born else draw.choice(born)}
        reviews = [one.id for one in made[-30:] if one.what == "review"]
        fields: dict[str, object] = {
            "born": told | card | {"kind": "自测"},
            "match": told | card,
            "sleep": card,
            "wake": card,
            "code": {"symbol": "llm.model:RMSNorm", "text": f"x = {n}"},
            "undo": {"of": draw.choice(reviews or ["x"])},
            "review": {**card, "grade": draw.randint(1, 4), "day": str(at.date()), "why": "due"},
        }[what]
        born += [card["card"]] * (what == "born" and card["card"] not in born)
        made.append(Event(at, f"{n:06}", what, fields, 480))
    return made


def written(made: list[Event]) -> bytes:
    return "".join(
        json.dumps(log._written(one), ensure_ascii=False) + "\n" for one in made
    ).encode()


@cache
def replayed() -> dict[str, State]:
    """一万条在一台电脑上、照次序记下时的状态。"""
    return replay(log.parse(written(events(10_000)))[0])


def test_what_is_appended_is_read_back(vault: Vault) -> None:
    made = events(50)
    for one in made:
        log.append(vault, [one])
    read, faults = log.read(vault)
    undone = {one.fields["of"] for one in made if one.what == "undo"}
    assert faults == []
    assert [e.id for e in read] == [e.id for e in made if e.what != "undo" and e.id not in undone]
    assert [e.fields for e in read] == [e.fields for e in log.parse(written(made))[0]]
    assert {e.off for e in read} == {480}


def test_ten_thousand_shuffled_lines_replay_the_same() -> None:
    lines = written(events(10_000)).splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    straight = replayed()
    assert replay(log.parse(b"".join(lines))[0]) == straight
    assert len(straight) > 150 and sum(s.reviews for s in straight.values()) > 5000
    assert any(s.asleep for s in straight.values())


def test_lines_twice_or_glued_together_count_once() -> None:
    made = events(40)
    data = written(made)
    straight = log.parse(data)
    assert log.parse(data + data) == straight
    glued = data.replace(b"}\n{", b"}{", 7)
    assert log.parse(glued) == straight


@pytest.mark.parametrize(("form", "ending"), [("merge", ""), ("rebase", "\n")])
def test_two_branches_merged_by_git_lose_nothing(tmp_path: Path, form: str, ending: str) -> None:
    """一万条，两台电脑上各记一半，真的用 git 合起来：与一台上记的重放得同样的状态。"""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", *who, *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def add(here: list[Event]) -> None:
        before = file.read_bytes() if file.exists() else b""
        joint = b"" if not before or before.endswith(b"\n") else b"\n"
        data = before + joint + written(here).rstrip(b"\n") + ending.encode()
        file.write_bytes(data)

    made, file = events(10_000), tmp_path / log.NAME
    git("init", "-q", "-b", "main")
    attributes = Path(__file__).parents[3] / ".gitattributes"
    (tmp_path / ".gitattributes").write_bytes(attributes.read_bytes())
    add(made[:2000])
    git("add", "-A")
    git("commit", "-qm", "一")
    git("checkout", "-qb", "other")
    for part in (made[2000::4], made[2001::4]):
        add(part)
        git("commit", "-qam", "二")
    git("checkout", "-q", "main")
    for part in (made[2002::4], made[2003::4]):
        add(part)
        git("commit", "-qam", "三")
    if form == "merge":
        git("merge", "-q", "other", "-m", "合")
    else:
        git("rebase", "-q", "other")
    merged, faults = log.parse(file.read_bytes())
    assert faults == [] and replay(merged) == replayed()


@pytest.mark.parametrize("seed", range(8))
def test_killed_while_writing_loses_only_the_line_not_finished(vault: Vault, seed: int) -> None:
    """写到一半被 kill -9，再来一次接着写：写完了的都在，断的那一行说得出在哪里。"""
    made, draw = events(400), random.Random(seed)
    data, file = written(made), log.path(vault)
    cut = draw.randrange(len(data))
    right = os.write

    def torn_write(handle: int, rest: bytes) -> int:
        right(handle, bytes(rest)[:cut])
        kill_self()
        return 0

    def killed() -> None:
        store.os.write = torn_write
        log.append(vault, made)

    wait(fork(killed))
    assert file.read_bytes() == data[:cut]
    whole = data[:cut].count(b"\n")
    rest = made[whole + 1 :]
    log.append(vault, rest)
    read, faults = log.read(vault)
    torn = data[:cut].rpartition(b"\n")[2]
    complete = torn + b"\n" == data.splitlines(keepends=True)[whole]
    left = made if complete else [*made[:whole], *rest]
    expected = log.parse(written(left))[0]
    assert [e.id for e in read] == [e.id for e in expected]
    named = {fault.line for fault in faults if "读不懂" in fault.message}
    assert named == (set() if complete or not torn else {whole + 1})
    assert replay(read) == replay(expected)


def test_cut_at_any_byte_the_whole_lines_are_all_there(vault: Vault) -> None:
    made = events(12)
    data, path = written(made), log.path(vault)
    lines = data.splitlines(keepends=True)
    for cut in range(len(data)):
        read, faults = log.parse(data[:cut])
        faults = [fault for fault in faults if "读不懂" in fault.message]
        torn = data[:cut].rpartition(b"\n")[2]
        whole = data[:cut].count(b"\n") + (torn + b"\n" in lines)  # 只少了换行的，也是一整行
        assert read == log.parse(written(made[:whole]))[0]
        assert [fault.line for fault in faults] == [whole + 1] * (
            torn != b"" and torn + b"\n" not in lines
        )
    # 断了的一行之后还接得上，断的那一行说得出
    path.write_bytes(data[:-20])
    log.append(vault, made[-1:])
    read, faults = log.read(vault)
    assert [fault.line for fault in faults if "读不懂" in fault.message] == [12]
    assert made[-1].id in {e.id for e in read} or made[-1].what == "undo"


@pytest.mark.slow  # 每处都要把一万条读一遍
@pytest.mark.parametrize("seed", range(40))
def test_ten_thousand_cut_anywhere(seed: int) -> None:
    made, draw = events(10_000), random.Random(seed)
    data = written(made)
    cut = draw.randrange(len(data))
    whole = data[:cut].count(b"\n")
    read, faults = log.parse(data[:cut])
    there = made[: whole + (data[cut : cut + 1] == b"\n")]
    undone = {one.fields["of"] for one in there if one.what == "undo"}
    assert [e.id for e in read] == [e.id for e in there if e.what != "undo" and e.id not in undone]
    torn = [fault.line for fault in faults if "读不懂" in fault.message]
    assert torn == [whole + 1] * (len(there) == whole and not data[:cut].endswith(b"\n"))


REVIEW = '{"id":"1","at":"2026-01-01T00:00:00Z","what":"review","card":"c0",'
BORN = '{"id":"1","at":"2026-01-01T00:00:00Z","what":"born","card":"c9","note":"n","text":"题",'
SLEEP = '{"id":"1","what":"sleep","card":"c0",'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "没有写完，或不是 JSON"),
        ("[]", "what 应是"),
        ('{"what": []}', "what 应是"),
        ('{"what": "reviews"}', "现在是 'reviews'"),
        ('{"what": "review"}', "id 没有写"),
        (REVIEW + '"grade":5,"day":"2026-01-01"}', "grade 应是 1 到 4，现在是 5"),
        (REVIEW + '"grade":true,"day":"2026-01-01"}', "grade 没有写"),
        (REVIEW + '"grade":3,"day":"2026-02-30"}', "没有 '2026-02-30' 这一天"),
        (REVIEW + '"grade":3,"day":"2026-1-1"}', "没有 '2026-1-1' 这一天"),
        (REVIEW + '"grade":3,"day":"9999-12-31"}', "没有 '9999-12-31' 这一天"),
        (REVIEW + '"grade":3,"day":"2026-01-01","why":"闲"}', "why 应是 due、code、new、note"),
        (REVIEW + '"grade":3,"day":"2026-01-01","code":"a"}', "code 应是几个 id"),
        (
            BORN + '"kind":"自侧"}',
            "kind 应是 自测、输出、形状、默写、哪个检验会红 之一，现在是 '自侧'",
        ),
        (SLEEP + '"at":"2026-01-01T00:00:00"}', "at 没有时区"),
        (SLEEP + '"at":"昨天"}', "读不懂"),
        (SLEEP + '"at":"0001-01-01T00:00:00+08:00"}', "at 不是一个时刻"),
        (SLEEP + '"at":"2026-01-01T00:00:00Z","off":1e99}', "off 应是分钟数"),
        (SLEEP + '"at":"2026-01-01T00:00:00Z","day":"明天"}', "没有 '明天' 这一天"),
        ("<<<<<<< HEAD", "git 合并冲突的记号"),
        ("=======", "git 合并冲突的记号"),
        (">>>>>>> other", "git 合并冲突的记号"),
        ("[" * 100_000, "套得太深"),
    ],
)
def test_a_damaged_line_is_named_and_the_rest_counts(line: str, words: str) -> None:
    made = events(20)
    data = written(made)
    read, faults = log.parse(line.encode() + b"\n" + data)
    assert read == log.parse(data)[0]
    (fault,) = faults
    assert fault.line == 1 and words in fault.message and fault.remedy


def test_bytes_that_are_not_utf8_are_named() -> None:
    data = written(events(3))
    read, faults = log.parse(data + b"\xff\xfe\n")
    assert len(read) == 3 and [fault.line for fault in faults] == [4]


def test_a_card_whose_birth_is_lost_is_named_once() -> None:
    made = [one for one in events(300) if one.what != "born" or one.fields["card"] != "c1"]
    lines = [n for n, one in enumerate(made, 1) if one.fields.get("card") == "c1"]
    read, (fault,) = log.parse(written(made))
    assert fault.line == lines[0] and "'c1' 这张卡片的 born 行" in fault.message
    assert "c1" not in replay(read) and len(replay(read)) > 3


def test_conflict_markers_lose_no_line_of_either_side() -> None:
    """没有写 .gitattributes，git 留下了记号：两边的各行照样算，记号各说一行。"""
    made = events(30)
    lines = written(made).decode().splitlines()
    mixed = [*lines[:10], "<<<<<<< HEAD", *lines[10:20], "=======", *lines[20:], ">>>>>>> other"]
    read, faults = log.parse("\n".join(mixed).encode())
    assert read == log.parse(written(made))[0]
    assert [fault.line for fault in faults] == [11, 22, 33]
    assert all("merge=union" in fault.remedy for fault in faults)


def test_a_moment_elsewhere_is_kept_in_utc_with_its_offset() -> None:
    shanghai = datetime(2026, 1, 2, 1, 30, tzinfo=timezone(timedelta(hours=8)))
    made = log.event("sleep", shanghai, card="c")
    assert made.at == datetime(2026, 1, 1, 17, 30, tzinfo=UTC) and made.off == 480


def test_a_full_disk_leaves_the_log_as_it_was(vault: Vault, monkeypatch) -> None:
    made = events(6)
    log.append(vault, made[:3])
    before, right = log.path(vault).read_bytes(), os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "满了")
        return right(handle, bytes(data)[: len(data) // 2])

    monkeypatch.setattr(store.os, "write", half)
    with pytest.raises(OSError, match="满了"):
        log.append(vault, made[3:])
    assert log.path(vault).read_bytes() == before


def test_a_log_that_leaves_the_vault_is_refused(vault: Vault, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("out") / "x.jsonl"
    outside.write_bytes(b"")
    log.path(vault).symlink_to(outside)
    with pytest.raises(Exception, match="知识库之外"):
        log.append(vault, events(1))
    assert outside.read_bytes() == b""
    assert find_vault(vault.root).root == vault.root
