"""写盘：要么完整的旧文件，要么完整的新文件，无论在哪一步失败、被杀、被抢。"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rizhi import store

STEPS = ("open", "fdopen", "fsync", "link", "close")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="注入的是 POSIX 的系统调用")


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".*.rizhi-tmp"))


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


def test_replace_skips_equal_content(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    assert store.replace(path, b"1") and not store.replace(path, b"1") and store.replace(path, b"2")


def test_amend_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_bytes(b"a")
    link.symlink_to(real)
    store.amend(link, lambda old: old + b"b")
    assert link.is_symlink() and real.read_bytes() == b"ab"


def _writers(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: store.create_new(path, b"new" * 1000),
        "replace": lambda: store.replace(path, b"new" * 1000),
        "amend": lambda: store.amend(path, lambda _: b"new" * 1000),
    }


@pytest.mark.parametrize("kind", ["create", "replace", "amend"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", range(6))
def test_every_failing_system_call_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, step: str, nth: int
) -> None:
    """让第 nth 次 `os.<step>` 失败（磁盘满、只读、输入输出错误）。"""
    path = tmp_path / "page.md"
    old = None if kind == "create" else b"old"
    if old is not None:
        path.write_bytes(old)
    real, count = getattr(os, step), iter(range(100))

    def fail(*args: object, **kwargs: object) -> object:
        if next(count) == nth:
            if step == "close":
                real(*args)
            raise OSError(28, "设备上没有空间")
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(store.os, step, fail)
        try:
            _writers(path)[kind]()
        except OSError as error:
            assert error.errno in (28, None)
    found = path.read_bytes() if path.exists() else None
    assert found in (old, b"new" * 1000)
    assert _leftovers(tmp_path) == [] or step in ("open", "fdopen")
    store.replace(tmp_path / "next.md", b"x")  # 之后照样能写


KILLED = """
import os, signal, sys
from pathlib import Path
from rizhi import store
kind, path, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
count = 0
def trace(event, arguments):
    global count
    if event.startswith(("open", "os.", "fcntl.")):
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(trace)
data = b"new" * 1000
{"create": lambda: store.create_new(path, data), "replace": lambda: store.replace(path, data),
 "amend": lambda: store.amend(path, lambda _: data)}[kind]()
"""


def _rounds(tmp_path: Path, steps: range) -> int:
    killed = 0
    for step in steps:
        for kind in ("create", "replace", "amend"):
            path = tmp_path / f"{kind}-{step}.md"
            old = None if kind == "create" else b"old"
            if old is not None:
                path.write_bytes(old)
            command = [sys.executable, "-c", KILLED, kind, str(path), str(step)]
            run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
            killed += run.returncode == -signal.SIGKILL
            found = path.read_bytes() if path.exists() else None
            assert found in (old, b"new" * 1000)
            store.replace(tmp_path / "next.md", str((kind, step)).encode())
            assert _leftovers(tmp_path) == []  # 下一次运行扫掉残留
    return killed


def test_killed_at_a_step_leaves_a_whole_file(tmp_path: Path) -> None:
    assert _rounds(tmp_path, range(1, 13)) > 15


@pytest.mark.slow
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    for attempt in range(6):
        (tmp_path / str(attempt)).mkdir()
        _rounds(tmp_path / str(attempt), range(1, 13))


def _race(path: Path, barrier: object, wins: object) -> None:
    barrier.wait()
    try:
        store.create_new(path, str(os.getpid()).encode() * 100)
        wins.put("won")
    except FileExistsError:
        wins.put("lost")


def test_two_processes_race_and_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        for number in range(3):
            barrier, wins = manager.Barrier(2), manager.Queue()
            arguments = (tmp_path / f"{number}.md", barrier, wins)
            children = [context.Process(target=_race, args=arguments) for _ in range(2)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            assert sorted([wins.get(), wins.get()]) == ["lost", "won"]


def test_a_hundred_races_of_threads(tmp_path: Path) -> None:
    """同一把锁、同一个硬链接：线程之间也只有一个赢。"""
    from concurrent.futures import ThreadPoolExecutor

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
