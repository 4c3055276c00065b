"""写盘：要么完整的旧文件，要么完整的新文件，无论在哪一步失败、被杀、被抢。"""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rizhi import store
from tests.rizhi.faults import Counted, fork, kill_self, wait

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="注入的是 POSIX 的系统调用")
OLD, NEW = "旧".encode() * 100, "新".encode() * 40_000


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.rizhi-tmp"))


def test_create_new_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "2026" / "day.md"
    store.create_new(path, "一".encode())
    with pytest.raises(FileExistsError):
        store.create_new(path, "二".encode())
    assert path.read_text("utf-8") == "一" and _leftovers(path.parent) == []


def test_amend_keeps_mode_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "day.md"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    path.chmod(0o640)
    assert store.amend(path, lambda old: old.replace(b"b", b"c"))
    assert path.read_bytes() == b"\xef\xbb\xbfa\r\nc" and path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns
    assert not store.amend(path, lambda old: old)
    assert path.stat().st_mtime_ns == before


def test_amend_refuses_when_someone_else_wrote(tmp_path: Path) -> None:
    path = tmp_path / "day.md"
    path.write_bytes(b"old")

    def change(old: bytes) -> bytes:
        path.write_bytes(b"theirs")
        return old + b"!"

    with pytest.raises(store.ChangedError, match="没有写入"):
        store.amend(path, change)
    assert path.read_bytes() == b"theirs" and _leftovers(tmp_path) == []


def test_append_only_adds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "resume.jsonl"
    store.append(path, b"1\n")
    path.write_bytes(b"1\n2")  # 上一行没有换行
    store.append(path, b"3\n")
    assert path.read_bytes() == b"1\n2\n3\n"


def test_replace_skips_equal_content(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    assert store.replace(path, b"1") and not store.replace(path, b"1") and store.replace(path, b"2")


def test_amend_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_bytes(b"a")
    link.symlink_to(real)
    store.amend(link, lambda old: old + b"b")
    assert link.is_symlink() and real.read_bytes() == b"ab"


def _world(folder: Path) -> dict[str, bytes]:
    """全部文件的字节；残留与打算不算内容。"""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    skipped = (".rizhi-tmp", "unfinished.json")
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in files
        if not p.name.endswith(skipped)
    }


def _renamed(folder: Path) -> None:
    """两处链接、一篇笔记、一个片段、一个记录的文件夹，一起改名。"""
    edits = {folder / "a.md": (OLD, NEW), folder / "day/b.md": (OLD, NEW)}
    moves = [
        (folder / "a.md", folder / "z.md"),
        (folder / "s.py", folder / "t.py"),
        (folder / "out", folder / "put"),
    ]
    store.transact(folder / ".rizhi/unfinished.json", edits, moves)


def _made(folder: Path) -> None:
    edits = {folder / "new/n.md": (None, NEW), folder / "n.py": (None, OLD)}
    store.transact(folder / ".rizhi/unfinished.json", edits)


ACTIONS: dict[str, Callable[[Path], object]] = {
    "create_new": lambda folder: store.create_new(folder / "new/page.md", NEW),
    "replace": lambda folder: store.replace(folder / "a.md", NEW),
    "amend": lambda folder: store.amend(folder / "a.md", lambda _: NEW),
    "append": lambda folder: store.append(folder / "a.md", NEW),
    "remove": lambda folder: store.remove(folder / "s.py"),
    "rename": _renamed,
    "note": _made,
}


def _prepared(folder: Path) -> Path:
    for name in ("a.md", "day/b.md", "s.py", "out/1.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(OLD)
    return folder


def _steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> tuple[list[str], dict]:
    """不出错时依次做了哪些系统调用，以及做完的样子。"""
    folder = _prepared(tmp_path / "clean")
    counted = Counted(os, -1, lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(store, "os", counted)
        ACTIONS[action](folder)
    return counted.calls, _world(folder)


@pytest.mark.parametrize("action", list(ACTIONS))
def test_every_failing_system_call_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """逐个让 store 的系统调用失败：文件非旧即新，临时文件不留，之后照样能写。"""
    steps, done = _steps(tmp_path, monkeypatch, action)
    assert {"open", "fsync", "close"} <= set(steps)
    for nth, step in enumerate(steps):
        folder = _prepared(tmp_path / str(nth))
        before = _world(folder)
        code = (errno.ENOSPC, errno.EROFS, errno.EIO)[nth % 3]

        def fault(code: int = code) -> None:
            raise OSError(code, "出错")

        with monkeypatch.context() as patched:
            patched.setattr(store, "os", Counted(os, nth, fault))
            with pytest.raises(OSError) as caught:
                ACTIONS[action](folder)
        assert caught.value.errno == code, step
        assert _world(folder) in (before, done), f"第 {nth} 步 {step}"
        if step != "unlink":  # 删临时文件这一步本身失败了，残留由以后的运行扫掉
            assert _leftovers(folder) == [], f"第 {nth} 步 {step}"
        store.recover(folder / ".rizhi/unfinished.json")
        assert _world(folder) in (before, done), f"第 {nth} 步 {step} 之后接着做"
        ACTIONS[action](folder) if _world(folder) == before else None
        assert _world(folder) == done, f"第 {nth} 步 {step} 之后再来一次"


def _killed(folder: Path, action: str, nth: int) -> int:
    def run() -> None:
        store.os = Counted(os, nth, kill_self)  # type: ignore[assignment]
        ACTIONS[action](folder)

    return wait(fork(run))


@pytest.mark.parametrize(
    ("stride", "least"), [(4, 50), pytest.param(1, 200, marks=pytest.mark.slow)]
)
def test_killed_at_a_step_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, least: int
) -> None:
    """在每一步 kill -9：文件非旧即新；下一次运行接着做完，并扫掉残留。"""
    rounds = 0
    for offset, action in enumerate(ACTIONS):
        steps, done = _steps(tmp_path / action, monkeypatch, action)
        for nth in range(offset % stride, len(steps), stride):
            step = steps[nth]
            folder = _prepared(tmp_path / action / str(nth))
            before = _world(folder)
            assert _killed(folder, action, nth) == signal.SIGKILL, step
            rounds += 1
            _whole(folder, before, done)
            store.recover(folder / ".rizhi/unfinished.json")
            assert _world(folder) in (before, done), f"{action} 第 {nth} 步 {step}"
            if _world(folder) == before:
                ACTIONS[action](folder)
            assert _world(folder) == done, f"{action} 第 {nth} 步 {step} 之后再来一次"
    assert rounds >= least


def _whole(folder: Path, before: dict[str, bytes], done: dict[str, bytes]) -> None:
    """中途：每个文件要么是完整的旧内容，要么是完整的新内容。"""
    whole = {*before.values(), *done.values(), b""}  # append 先建一个空文件
    assert set(_world(folder).values()) <= whole


def test_a_killed_run_is_swept_by_the_next(tmp_path: Path) -> None:
    seen = 0
    for nth in range(20):
        folder = _prepared(tmp_path / str(nth))
        _killed(folder, "replace", nth)
        seen += bool(_leftovers(folder))
        store.replace(folder / "next.md", b"x")
        assert _leftovers(folder) == []
    assert seen >= 4  # 真的留下过残留


def test_a_live_process_is_not_swept(tmp_path: Path) -> None:
    alive = tmp_path / f".x.md.{os.getppid()}-0123abcd.rizhi-tmp"
    alive.write_bytes(b"x")
    store.replace(tmp_path / "a.md", b"1")
    assert alive.exists()


def test_transact_refuses_when_a_file_has_changed(tmp_path: Path) -> None:
    folder = _prepared(tmp_path)
    (folder / "day/b.md").write_bytes(b"theirs")
    before = _world(folder)
    with pytest.raises(store.ChangedError):
        _renamed(folder)
    assert _world(folder) == before and not (folder / ".rizhi/unfinished.json").exists()


def test_transact_does_not_move_over_a_file(tmp_path: Path) -> None:
    folder = _prepared(tmp_path)
    (folder / "t.py").write_bytes(b"theirs")
    before = _world(folder)
    with pytest.raises(FileExistsError):
        _renamed(folder)
    assert _world(folder) == before


def test_recover_keeps_what_he_wrote_after_the_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """改名中途被杀，他又改了其中一页：退回能退的，他的字不动。"""
    folder = _prepared(tmp_path / "x")
    steps, _ = _steps(tmp_path, monkeypatch, "rename")
    _killed(folder, "rename", steps.index("replace") + 1)
    (folder / "day/b.md").write_bytes(b"mine")
    assert store.recover(folder / ".rizhi/unfinished.json")
    assert (folder / "day/b.md").read_bytes() == b"mine"
    assert (folder / "a.md").read_bytes() == OLD and not (folder / "z.md").exists()
    assert not store.recover(folder / ".rizhi/unfinished.json")


def _race(path: Path, rounds: int) -> list[int]:
    """两个进程同时抢着新建，一轮一个文件；返回每一轮赢的人数。"""
    start, stop = os.pipe()

    def run() -> None:
        os.close(stop)
        os.read(start, 1)  # 管道的另一头一关，两边同时起跑
        won = []
        for number in range(rounds):
            try:
                store.create_new(path / f"{number}.md", str(os.getpid()).encode() * 1000)
                won.append(number)
            except FileExistsError:
                continue
        (path / f"won-{os.getpid()}").write_text(json.dumps(won))

    children = [fork(run) for _ in range(2)]
    os.close(start)
    os.close(stop)
    assert [wait(child) for child in children] == [0, 0]
    wins = [number for file in path.glob("won-*") for number in json.loads(file.read_text())]
    return [wins.count(number) for number in range(rounds)]


def test_two_processes_race_a_hundred_times(tmp_path: Path) -> None:
    assert _race(tmp_path, 100) == [1] * 100
    for number in range(100):
        data = (tmp_path / f"{number}.md").read_bytes()
        assert data == data[: len(data) // 1000] * 1000  # 不是两个人各写一半


def test_two_processes_amend_and_lose_nothing(tmp_path: Path) -> None:
    """两个进程各添五十行：一行不少，一行不碎。"""
    path = tmp_path / "day.md"
    path.write_bytes(b"")

    def run() -> None:
        for number in range(50):
            line = f"{os.getpid()} {number}\n".encode()
            store.amend(path, lambda old, line=line: old + line)  # type: ignore[misc]

    assert [wait(child) for child in [fork(run), fork(run)]] == [0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 100


def test_a_hundred_races_of_threads(tmp_path: Path) -> None:
    """同一把锁、同一个硬链接：线程之间也只有一个赢。"""

    def attempt(number: int) -> bool:
        try:
            store.create_new(tmp_path / f"{number // 2}.md", b"x")
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(200))) == 100


def test_a_held_lock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.05)
    started = time.monotonic()
    with store._locked(tmp_path), pytest.raises(store.BusyError, match="没有改动"):
        store.replace(tmp_path / "a", b"1")
    assert time.monotonic() - started < 5


def test_without_hard_links_it_still_does_not_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "不支持")

    monkeypatch.setattr(store.os, "link", no_links)
    store.create_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        store.create_new(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_read_only_folder_keeps_the_old_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root 不受文件夹权限约束，这里试不出来")
    path = tmp_path / "a"
    path.write_bytes(b"1")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            store.replace(path, b"2")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == b"1"
