"""命令被杀：子进程、forkserver 与临时文件夹都不留下。

每次都是真的 `rizhi record`，在自己的 TMPDIR 里；它的后代由环境变量里的一个记号认出来。
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rizhi.snippets import orphans

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="要从 /proc 认出命令的后代"
)
ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0  # 忙的机器上也够；平常不到一秒
# 各种停不下来的片段；第一行之后都会往自己的文件夹里写一个 ready
LOOPS = {
    "Python 里的死循环": "while True:\n    pass",
    "C 里的死循环，一直占着解释器": "sum(range(10**15))",
    "不停地写文件": "n = 0\nwhile True:\n    n += 1\n    open(f'f{n % 500}', 'w').close()",
    "睡着": "import time\ntime.sleep(10**6)",
    "接住 SIGTERM": "import signal\nsignal.signal(15, lambda *_: None)\nwhile True:\n    pass",
    "另有线程": (
        "import threading\nwork = lambda: [0 for _ in iter(int, 1)]\n"
        "threading.Thread(target=work).start()\nwork()"
    ),
}
SIGNALS = [signal.SIGTERM, signal.SIGKILL, signal.SIGINT]


class Command:
    """一个正在运行的 `rizhi record`。"""

    def __init__(self, vault: Path, temporary: Path) -> None:
        self.temporary = temporary
        self._mark = f"RIZHI_TEST_MARK={os.getpid()}-{vault}".encode()
        name, _, value = self._mark.decode().partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rizhi", "record", "topic"],
            cwd=vault,
            env=os.environ | {name: value, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def family(self) -> list[int]:
        """它与它的后代里还活着的。"""
        return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/environ") if self._has(p)]

    def _has(self, environ: Path) -> bool:
        try:
            return self._mark in environ.read_bytes().split(b"\0")
        except OSError:  # 已经不在了，或是别人的
            return False

    def folders(self) -> list[Path]:
        return list(self.temporary.iterdir())

    def wait_until_looping(self) -> None:
        wait(lambda: list(self.temporary.glob("rizhi-*/ready")), "片段没有跑起来")

    def wait_for_processes(self) -> None:
        self.process.wait(PATIENCE)
        wait(lambda: not self.family(), "还有进程")

    def wait_until_gone(self) -> None:
        self.wait_for_processes()
        assert self.folders() == []


def wait(done: Callable[[], object], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """命令的 TMPDIR；要短，套接字的路径最多一百来个字节。"""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    for name in ("snippets", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    return tmp_path


def _write(vault: Path, body: str) -> None:
    text = f"# %% 一\nopen('ready', 'w').close()\n{body}\n"
    (vault / "snippets/topic.py").write_text(text, encoding="utf-8")


def _kill_at_random(vault: Path, temporary: Path, times: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(times):
        _write(vault, chance.choice(list(LOOPS.values())))
        command = Command(vault, temporary)
        time.sleep(chance.uniform(0, 4))
        command.process.send_signal(chance.choice(SIGNALS))
        command.wait_for_processes()
    # forkserver 还没有起来就被杀，套接字的文件夹没有人删：由下一次运行清扫
    assert sum(1 for _ in temporary.iterdir()) <= 1 + times // 20
    _write(vault, "print(1)")
    Command(vault, temporary).wait_until_gone()


def test_killed_at_any_moment_nothing_is_left(vault: Path, temporary: Path) -> None:
    _kill_at_random(vault, temporary, 5, seed=time.time_ns())


@pytest.mark.slow
def test_after_a_hundred_killed_commands_nothing_is_left(vault: Path, temporary: Path) -> None:
    _kill_at_random(vault, temporary, 100, seed=17)


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
def test_a_loop_ends_with_its_command(vault: Path, temporary: Path, body: str) -> None:
    _write(vault, body)
    command = Command(vault, temporary)
    command.wait_until_looping()
    command.process.kill()
    command.wait_until_gone()


def test_with_the_forkserver_killed_too_the_child_ends_itself(vault: Path, temporary: Path) -> None:
    _write(vault, LOOPS["接住 SIGTERM"])
    command = Command(vault, temporary)
    command.wait_until_looping()
    for process in (command.process.pid, _forkserver(command)):
        os.kill(process, signal.SIGKILL)
    command.wait_for_processes()
    assert not list(temporary.glob("*/ready"))
    _write(vault, "print(1)")
    Command(vault, temporary).wait_until_gone()  # 剩下的由下一次运行清扫


def _forkserver(command: Command) -> int:
    lines = {p: Path(f"/proc/{p}/cmdline").read_bytes() for p in command.family()}
    served = [p for p, line in lines.items() if b"multiprocessing.forkserver" in line]
    return min(served)  # 子进程的命令行与它相同，号码比它大


def test_an_ordinary_end_leaves_nothing(vault: Path, temporary: Path) -> None:
    _write(vault, "print(1)")
    command = Command(vault, temporary)
    command.wait_until_gone()
    assert command.process.returncode == 0


def test_leftovers_of_the_dead_are_swept_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "gettempdir", lambda: str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = {f"rizhi-{os.getpid()}-abc", f"rizhi-{os.getppid()}-abc", "rizhi-notes", "rizhi-1x-a"}
    for name in (*kept, f"rizhi-{dead.pid}-abc"):
        (tmp_path / name / "inner").mkdir(parents=True)
    orphans.sweep()
    assert {path.name for path in tmp_path.iterdir()} == kept
