"""只增的日志：打乱、合并、截断在任何一个字节，读出来的都一样，或说得出哪一行。"""

import json
import os
import random
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from rizhi import store
from rizhi.recall import log
from rizhi.recall.log import Event
from rizhi.recall.schedule import replay
from rizhi.vault import Vault, find_vault

START = datetime(2026, 1, 1, 13, tzinfo=UTC)


def events(count: int, seed: int = 0) -> list[Event]:
    """造出来的日志：卡片、作答、改字、睡觉、撤回都有。"""
    draw = random.Random(seed)
    made: list[Event] = []
    for n in range(count):
        at = START + timedelta(minutes=37 * n)
        card = f"c{draw.randrange(max(count // 12, 1))}"
        told = {"card": card, "note": f"n{len(card)}", "text": f"题 {n}"}
        what = draw.choice(["born", "review", "review", "review", "match", "sleep", "undo"])
        fields: dict[str, object] = {
            "born": {**told, "kind": "自测"},
            "match": told,
            "sleep": {"card": card},
            "undo": {"of": draw.choice(made).id if made else "x"},
            "review": {"card": card, "grade": draw.randint(1, 4), "day": str(at.date())},
        }[what]
        made.append(Event(at, f"{n:06}", what, fields, 480))
    return made


def written(made: list[Event]) -> bytes:
    return "".join(
        json.dumps(log._written(one), ensure_ascii=False) + "\n" for one in made
    ).encode()


def test_what_is_appended_is_read_back(vault: Vault) -> None:
    made = events(50)
    for one in made:
        log.append(vault, [one])
    read, faults = log.read(vault)
    undone = {one.fields["of"] for one in made if one.what == "undo"}
    assert faults == []
    assert [e.id for e in read] == [e.id for e in made if e.what != "undo" and e.id not in undone]
    assert read == log.parse(written(made))[0] and {e.off for e in read} == {480}


def test_ten_thousand_shuffled_lines_replay_the_same() -> None:
    made = events(10_000)
    lines = written(made).splitlines(keepends=True)
    straight = replay(log.parse(b"".join(lines))[0])
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        assert replay(log.parse(b"".join(lines))[0]) == straight
    assert len(straight) > 500 and sum(s.reviews for s in straight.values()) > 2500


def test_lines_twice_or_glued_together_count_once() -> None:
    made = events(40)
    data = written(made)
    straight = log.parse(data)
    assert log.parse(data + data) == straight
    glued = data.replace(b"}\n{", b"}{", 7)
    assert log.parse(glued) == straight


@pytest.mark.parametrize("form", ["merge", "rebase"])
def test_two_branches_merged_by_git_lose_nothing(tmp_path: Path, form: str) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", *who, *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    made, file = events(300), tmp_path / log.NAME
    git("init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text(f"{log.NAME} merge=union\n")
    file.write_bytes(written(made[:100]))
    git("add", "-A")
    git("commit", "-qm", "一")
    git("checkout", "-qb", "other")
    file.write_bytes(file.read_bytes() + written(made[100:200]))
    git("commit", "-qam", "二")
    git("checkout", "-q", "main")
    file.write_bytes(file.read_bytes() + written(made[200:]))
    git("commit", "-qam", "三")
    if form == "merge":
        git("merge", "-q", "other", "-m", "合")
    else:
        git("rebase", "-q", "other")
    assert log.parse(file.read_bytes()) == log.parse(written(made))


def test_cut_at_any_byte_the_whole_lines_are_all_there(vault: Vault) -> None:
    made = events(12)
    data, path = written(made), log.path(vault)
    lines = data.splitlines(keepends=True)
    for cut in range(len(data)):
        read, faults = log.parse(data[:cut])
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
    assert [fault.line for fault in faults] == [12]
    assert made[-1].id in {e.id for e in read} or made[-1].what == "undo"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "读不懂"),
        ("[]", "what 应是"),
        ('{"what": "review"}', "id 没有写"),
        ('{"id":"1","at":"2026-01-01T00:00:00Z","what":"review","card":"c","grade":5,"day":"2026-01-01"}',
         "grade 应是 1 到 4"),
        ('{"id":"1","at":"2026-01-01T00:00:00Z","what":"review","card":"c","grade":true,"day":"2026-01-01"}',
         "grade 没有写"),
        ('{"id":"1","at":"2026-01-01T00:00:00Z","what":"review","card":"c","grade":3,"day":"2026-02-30"}',
         "读不懂"),
        ('{"id":"1","at":"2026-01-01T00:00:00","what":"sleep","card":"c"}', "没有时区"),
        ('{"id":"1","at":"昨天","what":"sleep","card":"c"}', "读不懂"),
        ("<<<<<<< HEAD", "读不懂"),
        ("[" * 100_000, "套得太深"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_and_the_rest_counts(line: str, words: str) -> None:
    made = events(20)
    data = written(made)
    read, faults = log.parse(line.encode() + b"\n" + data)
    assert read == log.parse(data)[0]
    (fault,) = faults
    assert fault.line == 1 and words in fault.message


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
