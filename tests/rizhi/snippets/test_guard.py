"""防护与上限：常见的意外各说一句中文，写明在哪里；库自己的正常做法不受妨碍。"""

import re
import sys
from pathlib import Path

import pytest

from rizhi.snippets import run as runner
from rizhi.vault import Vault

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="只有 Linux 说得出、管得住数据段")
OUTSIDE = "不许(?:改动|写到)自己的临时文件夹之外"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """片段的临时文件夹之外，有一个文件。"""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/kept").write_text("原样", encoding="utf-8")
    return folder


def _run(vault: Vault, body: str, seconds: float = 60) -> runner.Run:
    path = vault.snippets / "topic.py"
    path.write_text(f"# %% 一\n{body}\n# %% 二\nprint('到了')\n", encoding="utf-8")
    return runner.run(vault, path, seconds)


def _said(run: runner.Run) -> str:
    head = run.error.partition("\n")[0]
    assert re.match(r"snippets/topic\.py:\d+ 单元格「一」", head), run.error
    return head


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import shutil\nshutil.rmtree(OUT, ignore_errors=True)", OUTSIDE),
        ("os.open('new', os.O_WRONLY | os.O_CREAT, dir_fd=os.open(OUT, 0))", "之外的文件夹"),
        ("os.remove('kept', dir_fd=os.open(OUT + '/deep', 0))", "之外的文件夹"),
        ("os.chdir(OUT)\nopen('new', 'w')", OUTSIDE),
        ("os.rename(OUT, 'mine')", OUTSIDE),
        ("open('mine', 'w')\nos.rename('mine', OUT + '/new')", OUTSIDE),
        ("os.link(OUT + '/deep/kept', 'mine')", OUTSIDE),
        ("os.chmod(OUT, 0)", OUTSIDE),
        ("os.chown(OUT, -1, -1)", OUTSIDE),
        ("os.setxattr(OUT, 'user.x', b'1')", OUTSIDE),
        ("os.removexattr(OUT, 'user.x')", OUTSIDE),
        ("import sqlite3\nsqlite3.connect(OUT + '/new')", "之外的数据库"),
        ("import sqlite3\nsqlite3.connect(f'file:{OUT}/new?mode=rwc', uri=True)", "之外的数据库"),
        ("import numpy\nnumpy.zeros(3).tofile(OUT + '/new')", OUTSIDE),
        ("import torch\nwith open(OUT + '/new', 'wb') as f:\n    torch.save(1, f)", OUTSIDE),
    ],
)
@LINUX
def test_what_lies_outside_is_left_as_it_was(
    vault: Vault, outside: Path, body: str, message: str
) -> None:
    run = _run(vault, f"import os\nOUT = {str(outside)!r}\n{body}")
    assert re.search(message, _said(run)), run.error
    assert [p.name for p in sorted(outside.rglob("*"))] == ["deep", "kept"]
    assert (outside / "deep/kept").read_text("utf-8") == "原样"


@pytest.mark.parametrize(
    "body",
    [
        "import torch\ntorch.save(1, OUT + '/new')",
        "import torch\nfrom safetensors.torch import save_file\n"
        "save_file({'x': torch.zeros(1)}, OUT + '/new')",
        "import sqlite3\ndb = sqlite3.connect(':memory:')\n"
        "db.execute(f\"attach '{OUT}/new' as d\")\n"
        "db.execute('create table d.t(x)')",
        "import os\nos.mkfifo(OUT + '/new')",
    ],
)
@LINUX
def test_what_the_guide_says_gets_through_does(vault: Vault, outside: Path, body: str) -> None:
    run = _run(vault, f"OUT = {str(outside)!r}\n{body}")
    assert run.error == "" and (outside / "new").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os\nos.fork()", "不许另开进程"),
        ("import os\nos.forkpty()", "不许另开进程"),
        ("import pty\npty.spawn('true')", "不许另开进程"),
        ("import multiprocessing as m\nm.get_context('spawn').Process().start()", "不许另开进程"),
        ("import multiprocessing\nmultiprocessing.Pool(2)", "不许另开进程"),
        ("import multiprocessing\nmultiprocessing.Manager()", "不许另开进程"),
        (
            "from torch.utils.data import DataLoader\nnext(iter(DataLoader([1], num_workers=1)))",
            "DataLoader 写 num_workers=0",
        ),
        ("import os\nos.kill(os.getppid(), 0)", "不许给别的进程发信号"),
        ("import os\nos.killpg(0, 0)", "不许给别的进程发信号"),
        ("import socket\nsocket.socket()", "不许上网"),
        ("import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', 9))", "不许上网"),
        ("import ctypes\nctypes.CDLL(None).puts(b'x')", "不许用 ctypes"),
        ("import ctypes\nctypes.pythonapi.Py_GetVersion()", "不许用 ctypes"),
        ("input()", "没有人打字"),
        ("breakpoint()", r"删掉 breakpoint\(\)"),
        ("import os\nos._exit(3)", "突然结束（退出码 3）.*os._exit"),
        ("import os\nos.abort()", "突然结束（SIGABRT）：C 代码出了错"),
        ("import ctypes\nctypes.string_at(0)", "突然结束（SIGSEGV）：C 代码出了错"),
        ("import signal\nsignal.raise_signal(signal.SIGTERM)", "突然结束（SIGTERM）"),
        ("import os\nos.closerange(3, 100)", "送不回结果"),
        ("import sys\nsys.modules.clear()", "送不回结果"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="信号与 pty 是 POSIX 的")
def test_what_is_refused_is_one_sentence(
    vault: Vault, capfd: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    assert re.search(message, _said(_run(vault, body)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import numpy\nnumpy.ones(1 << 32)", "MemoryError: 内存不够.*4 GiB"),
        ("import torch\ntorch.ones(1 << 32)", "RuntimeError: 内存不够.*4 GiB"),
        ("xs = []\nwhile True:\n    xs.append(bytes(1 << 28))", "MemoryError: 内存不够.*4 GiB"),
        ("open('big', 'wb').write(bytes((64 << 20) + 1))", "OSError: 写的文件太大.*64 MiB"),
        ("import numpy\nnumpy.zeros(1 << 24).tofile('big')", "OSError: 写的文件太大"),
        ("import torch\ntorch.save(torch.zeros(1 << 25), 'big')", "Error: 写的文件太大"),
        (
            "import torch\nfrom safetensors.torch import save_file\n"
            "save_file({'x': torch.zeros(1 << 25)}, 'big')",
            "Error: 写的文件太大",
        ),
    ],
)
@LINUX
def test_what_is_too_much_is_one_sentence(vault: Vault, body: str, message: str) -> None:
    assert re.search(message, _said(_run(vault, body)))


@LINUX
def test_a_child_that_nobody_kills_ends_by_itself(vault: Vault) -> None:
    body = (
        "import resource, signal\n"
        "print(signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM) == 0)\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    )
    left, deadly, size = _run(vault, body, seconds=7).outputs[0].text.split()
    assert 7 < float(left) <= 12 and deadly == "True" and int(size) == 64 << 20


def test_timing_is_as_fine_as_without_the_limits(vault: Vault) -> None:
    body = (
        "from time import process_time as now\n"
        "print(len({now() for _ in range(200) if sum(range(99))}) > 100)"
    )
    assert _run(vault, body).outputs[0].text == "True\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "import os, tempfile\nfrom pathlib import Path\n"
            "print({Path.home(), Path(tempfile.gettempdir()), Path('~').expanduser()} == {Path()"
            ".absolute()})",
            "True",
        ),
        (
            "import os, shutil\nos.makedirs('a/b/c')\nopen('a/b/c/x', 'w').close()\n"
            "shutil.copytree('a', 'z')\nshutil.rmtree('a')\nshutil.move('z', 'y')\n"
            "print(os.listdir())",
            "['y']",
        ),
        (
            "import tempfile\nwith tempfile.TemporaryDirectory() as d, tempfile.TemporaryFile():\n"
            "    print(len(open(d + '/x', 'w+').read()))",
            "0",
        ),
        (
            "import sqlite3\nfor name in (':memory:', '', 'mine'):\n"
            "    sqlite3.connect(name).execute('create table t(x)')\nprint(1)",
            "1",
        ),
        ("import torch\ntorch.save(1, 'x')\nprint(torch.load('x'))", "1"),
        ("from torch.utils.data import DataLoader\nprint(len([*DataLoader([1, 2])]))", "2"),
        ("import asyncio\nprint(asyncio.run(asyncio.sleep(0, 3)))", "3"),
        ("import ctypes\nprint(ctypes.c_ubyte.from_address(id(1)).value >= 0)", "True"),
        ("import numpy\nprint(numpy.zeros(3).ctypes.data > 0)", "True"),
        (
            "from concurrent.futures import ThreadPoolExecutor as T\n"
            "with T(2) as pool:\n    print(*pool.map(abs, [-1, -2]))",
            "1 2",
        ),
        (
            "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('收到'))\n"
            "os.kill(os.getpid(), signal.SIGUSR1)",
            "收到",
        ),
        # 晚载入的库自己用 ctypes 载入 libc，自己建缓存的文件夹
        ("from torch.distributed.elastic.multiprocessing import redirects\nprint(1)", "1"),
        (
            "from torch._inductor.runtime.cache_dir_utils import default_cache_dir as d\n"
            "d()\nprint(1)",
            "1",
        ),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="信号是 POSIX 的")
def test_what_is_usual_goes_on(vault: Vault, body: str, text: str) -> None:
    run = _run(vault, body)
    assert run.error == "" and run.outputs[0].text == f"{text}\n"


def test_memory_that_ran_out_may_be_caught_by_the_snippet(vault: Vault) -> None:
    body = "try:\n    bytes(1 << 40)\nexcept MemoryError as error:\n    print(repr(error))"
    assert _run(vault, body).outputs[0].text == "MemoryError()\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "又抛出 SystemE"),
        ("raise ValueError('a\\0b\\ud800')", r"ValueError: a\\x00b\\ud800$"),
        ("raise ValueError('x' * 10**7)", r"x……（共 10000000 个字符）$"),
    ],
)
def test_a_message_that_cannot_be_shown_is_still_named(
    vault: Vault, body: str, message: str
) -> None:
    run = _run(vault, body)
    assert re.search(message, _said(run)) and run.error.encode()


def test_writing_in_its_own_folder_is_fine(vault: Vault) -> None:
    body = "from pathlib import Path\nPath('a').write_text('1')\nprint(Path('a').read_text())"
    assert _run(vault, body).outputs[0].text == "1\n"


@pytest.mark.skipif(sys.platform == "win32", reason="信号是 POSIX 的")
def test_a_signal_that_was_held_back_stays_so(vault: Vault) -> None:
    body = (
        "import os, signal, time\nfor _ in range(50):\n"
        "    os.kill(os.getpid(), signal.SIGXFSZ)\n    time.sleep(0.002)\n"
        "    assert signal.sigpending()"
    )
    assert "文件太大" in _run(vault, body).error
