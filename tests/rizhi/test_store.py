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
SLOW = pytest.mark.slow
OLD, NEW = "旧".encode() * 100, "新".encode() * 40_000


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """没有编辑器：不必等它存完，也不必看它有没有写进旧文件。"""
    monkeypatch.setattr(store, "_RECENT", 0.0)
    monkeypatch.setattr(store, "_WATCH", 0.0)


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.rizhi-tmp"))


def _amend(path: Path, edit: Callable[[bytes], bytes]) -> bool:
    return bool(store.change(path.parent, "add", [store.amendment(path, edit)]).paths)


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
    assert _amend(path, lambda old: old.replace(b"b", b"c"))
    assert path.read_bytes() == b"\xef\xbb\xbfa\r\nc" and path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns
    assert not _amend(path, lambda old: old)
    assert path.stat().st_mtime_ns == before


def test_amend_gives_up_when_someone_else_keeps_writing(tmp_path: Path) -> None:
    path, count = tmp_path / "day.md", iter(range(100))
    path.write_bytes(b"old")

    def change(old: bytes) -> bytes:
        path.write_bytes(b"theirs %d" % next(count))
        return old + b"!"

    with pytest.raises(store.ChangedError, match=r"day\.md 一直有别的程序在写；已经退回"):
        _amend(path, change)
    assert path.read_bytes() == b"theirs 4" and _leftovers(tmp_path) == []


def test_append_only_adds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "resume.jsonl"
    store.append(tmp_path, "resume", path, b"1\n")
    path.write_bytes(b"1\n2")  # 上一行没有换行
    store.append(tmp_path, "resume", path, b"3\n")
    assert path.read_bytes() == b"1\n2\n3\n"


def test_replace_skips_equal_content(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    assert store.replace(path, b"1") and not store.replace(path, b"1") and store.replace(path, b"2")


def test_amend_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_bytes(b"a")
    link.symlink_to(real)
    _amend(link, lambda old: old + b"b")
    assert link.is_symlink() and real.read_bytes() == b"ab"


def _world(folder: Path) -> dict[str, bytes]:
    """全部文件的字节；残留与 `.rizhi/` 不算内容。"""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and ".rizhi" not in p.parts)
    names = ((p.relative_to(folder).as_posix(), p) for p in files)
    return {name: p.read_bytes() for name, p in names if not name.endswith(".rizhi-tmp")}


def _renamed(folder: Path) -> None:
    """两处链接、一篇笔记、一个片段、一个记录的文件夹，一起改名。"""
    edits = [store.amendment(folder / name, lambda _: NEW) for name in ("a.md", "day/b.md")]
    moves = [("a.md", "z.md"), ("s.py", "t.py"), ("out", "put")]
    moved = [store.Move(folder / source, folder / target) for source, target in moves]
    store.change(folder, "rename a z", [*edits, *moved])


def _made(folder: Path) -> None:
    steps = [store.creation(folder / "new/n.md", NEW), store.creation(folder / "n.py", OLD)]
    store.change(folder, "note n", steps)


def _undone(folder: Path) -> None:
    store.undo(folder)


ACTIONS: dict[str, Callable[[Path], object]] = {
    "create_new": lambda folder: store.create_new(folder / "new/page.md", NEW),
    "replace": lambda folder: store.replace(folder / "a.md", NEW),
    "amend": lambda folder: _amend(folder / "a.md", lambda _: NEW),
    "append": lambda folder: store.append(folder, "resume", folder / "a.md", NEW),
    "remove": lambda folder: store.remove(folder / "s.py"),
    "rename": _renamed,
    "note": _made,
    "undo": _undone,
}


def _prepared(folder: Path, action: str = "") -> Path:
    for name in ("a.md", "day/b.md", "s.py", "out/1.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(OLD)
    if action == "undo":
        _renamed(folder)
    return folder


def _steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> tuple[list[str], dict]:
    """不出错时依次做了哪些系统调用，以及做完的样子。"""
    folder = _prepared(tmp_path / "clean", action)
    counted = Counted(os, -1, lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(store, "os", counted)
        ACTIONS[action](folder)
    return counted.calls, _world(folder)


def _no_exchange(*_: object) -> bool:
    """macOS、Windows 与一些网络盘：两个名字不能一步对调。"""
    return False


STRIDES = [(7, True), pytest.param(1, True, marks=SLOW), pytest.param(1, False, marks=SLOW)]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("stride", "exchanges"), STRIDES)
@pytest.mark.parametrize("action", list(ACTIONS))
def test_failing_system_calls_leave_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, stride: int, exchanges: bool
) -> None:
    """逐个让 store 的系统调用失败：文件非旧即新，临时文件不留，之后照样能写。"""
    if not exchanges:
        monkeypatch.setattr(store, "_renamed_both", _no_exchange)
    steps, done = _steps(tmp_path, monkeypatch, action)
    assert {"open", "fsync", "close"} <= set(steps)
    for nth in range(list(ACTIONS).index(action) % stride, len(steps), stride):
        step = steps[nth]
        folder = _prepared(tmp_path / str(nth), action)
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
        store.settle(folder)
        assert _world(folder) in (before, done), f"第 {nth} 步 {step} 之后接着做"
        ACTIONS[action](folder) if _world(folder) == before else None
        assert _world(folder) == done, f"第 {nth} 步 {step} 之后再来一次"


def _killed(folder: Path, action: str, nth: int) -> int:
    def run() -> None:
        store.os = Counted(os, nth, kill_self)
        ACTIONS[action](folder)

    return wait(fork(run))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("stride", "exchanges"), STRIDES)
def test_killed_at_a_step_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, exchanges: bool
) -> None:
    """在每一步 kill -9：文件非旧即新；下一次运行退回它，并扫掉残留。"""
    if not exchanges:
        monkeypatch.setattr(store, "_renamed_both", _no_exchange)
    rounds = 0
    for offset, action in enumerate(ACTIONS):
        steps, done = _steps(tmp_path / action, monkeypatch, action)
        for nth in range(offset % stride, len(steps), stride):
            step = steps[nth]
            folder = _prepared(tmp_path / action / str(nth), action)
            before = _world(folder)
            assert _killed(folder, action, nth) == signal.SIGKILL, step
            rounds += 1
            _whole(folder, before, done)
            store.settle(folder)
            assert _world(folder) in (before, done), f"{action} 第 {nth} 步 {step}"
            if _world(folder) == before:
                ACTIONS[action](folder)
            assert _world(folder) == done, f"{action} 第 {nth} 步 {step} 之后再来一次"
    assert rounds * stride >= 500


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


def test_a_file_in_the_way_stops_the_whole_change(tmp_path: Path) -> None:
    folder = _prepared(tmp_path)
    (folder / "t.py").write_bytes(b"theirs")
    before = _world(folder)
    with pytest.raises(FileExistsError):
        _renamed(folder)
    assert _world(folder) == before


@pytest.mark.usefixtures("quiet")
def test_recovery_keeps_what_he_wrote_after_the_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """改名中途被杀，他又改了其中一页：退回能退的，他的字不动，并说出来。"""
    folder = _prepared(tmp_path / "x")
    steps, _ = _steps(tmp_path, monkeypatch, "rename")
    _killed(folder, "rename", steps.index("rename") + 1)
    (folder / "day/b.md").write_bytes(b"mine")
    assert ["rename a z 中途断了，已经退回" in line for line in store.settle(folder)] == [True]
    assert (folder / "day/b.md").read_bytes() == b"mine"
    assert (folder / "a.md").read_bytes() == OLD and not (folder / "z.md").exists()
    assert store.settle(folder) == []


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


@pytest.mark.usefixtures("quiet")
def test_two_processes_amend_and_lose_nothing(tmp_path: Path) -> None:
    """两个进程各添五十行：一行不少，一行不碎。"""
    path = tmp_path / "day.md"
    path.write_bytes(b"")

    def run() -> None:
        for number in range(50):
            line = f"{os.getpid()} {number}\n".encode()
            _amend(path, lambda old, line=line: old + line)

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
    with store._locked(tmp_path), pytest.raises(store.BusyError, match="正在写"):
        store.append(tmp_path, "add", tmp_path / "a", b"1")
    assert not (tmp_path / "a").exists()
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


def test_without_hard_links_a_failure_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "不支持")

    monkeypatch.setattr(store.os, "link", fail)
    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(PermissionError):
        store.create_new(tmp_path / "a", b"1")
    assert list(tmp_path.iterdir()) == []


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
