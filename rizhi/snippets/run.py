"""运行片段：每个文件在 forkserver 的一个新子进程里，永远看见当前的源码包。

forkserver 只预先载入外面的库（torch、transformers、matplotlib），不载源码包；
没有 forkserver 的系统用 spawn，慢一些，结果一样。
"""

import ast
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any

from rizhi.errors import RizhiError
from rizhi.snippets import orphans
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput, Snippet
from rizhi.snippets.child import BROKEN, SEEDED, run_cells, run_work
from rizhi.snippets.environment import settled
from rizhi.vault import Vault, read_text, snippet_files, source_files

SECONDS = 30.0
_TALKING = ("import this", "import antigravity")  # 一载入就打印、开浏览器，只许片段自己载入
_STARTUP_SECONDS = 180.0  # 冷的磁盘上第一次载入 torch 与 transformers 可以很久
_GLANCE = 0.2  # 隔这么多秒，看看还要不要等
_Enough = Callable[[CellOutput], bool]


@dataclass(frozen=True)
class Run:
    """一次运行的结果；`fault` 是整个文件的毛病（缺库、超时、进程死掉），没有则为空串。"""

    module: str
    outputs: tuple[CellOutput, ...]
    fault: str

    @property
    def error(self) -> str:
        """第一处错误，没有则为空串。"""
        return next((output.error for output in self.outputs if output.error), self.fault)


def run(
    vault: Vault, path: Path, seconds: float = SECONDS, enough: _Enough = lambda output: False
) -> Run:
    """在新的子进程里逐格运行一个片段；第一处错误之后的单元格不再运行，缺了库就不运行。

    `enough` 看过一格的输出，说后面的要不要再跑。

    单位：`seconds` 是秒，整个文件的时限。
    异常：片段或它用到的源码读不懂，抛 RizhiError；运行中的错误写在结果里。
    """
    snippet = records.load(vault, path).source
    lacking = missing(vault, path)
    if lacking:
        return Run(snippet.module, (), _how_to_install(vault.relative(path), lacking))
    seeded = records.libraries(vault, path, deep=True) & SEEDED
    return _run_in(_context(vault), vault, snippet, seeded, seconds, enough)


def missing(vault: Vault, path: Path) -> tuple[str, ...]:
    """片段一运行就要 import、这里却没有装的库，按名字排序；哪个也不载入。

    异常：片段或它用到的源码读不懂，抛 RizhiError。
    """
    names = records.libraries(vault, path, deep=False) - sys.stdlib_module_names
    return tuple(sorted(name for name in names if not installed(name)))


def warm_up(vault: Vault) -> None:
    """先把 forkserver 开起来，让它在后台载入外面的库；不等它载完。"""
    _context(vault)


def _run_in(
    context: Any,
    vault: Vault,
    snippet: Snippet,
    seeded: frozenset[str],
    seconds: float,
    enough: _Enough,
) -> Run:
    """在 `context` 的一个新子进程里运行；结果一到齐就交回，收尸在后台。"""
    receiver, sender = context.Pipe(duplex=False)
    folder = TemporaryDirectory(prefix=orphans.prefix(), ignore_cleanup_errors=True)
    arguments = (sender, snippet, str(vault.root), folder.name, seeded, seconds)
    child = context.Process(target=run_cells, args=arguments, daemon=True)
    try:
        _start(child, context)
        sender.close()
        name = vault.relative(snippet.path)
        return _collect(snippet, name, receiver, seconds, child, enough)
    finally:
        # 收尸要十几毫秒；不是守护线程，解释器退出之前总会做完
        Thread(target=_bury, args=(child, receiver, folder)).start()


def _bury(child: BaseProcess, pipe: Connection, folder: TemporaryDirectory[str]) -> None:
    """结束子进程；它真的不在了，再删它的文件夹。"""
    if child.pid is not None:  # 也许没有起来
        child.kill()
        child.join()
    pipe.close()
    folder.cleanup()


def installed(name: str) -> bool:
    return name in sys.modules or find_spec(name) is not None


def _how_to_install(name: str, lacking: tuple[str, ...]) -> str:
    return (
        f"{name} 要用 {'、'.join(lacking)}，这里没有装，没有运行它。"
        f"装上带来它们的包：多半是 pip install {' '.join(lacking)}；"
        "有 Makefile 的仓库里运行 make record，会先装好。"
    )


def _collect(
    snippet: Snippet, name: str, pipe: Connection, seconds: float, child: Any, enough: _Enough
) -> Run:
    outputs: list[CellOutput] = []
    fault = _wait_until_ready(pipe)
    until = time.monotonic() + seconds
    for cell in () if fault else snippet.code_cells:
        output, why = _receive(pipe, until, seconds, child)
        if output is None:
            fault = f"{name}:{cell.line} 单元格「{cell.title}」：{why}"
            break
        outputs.append(output)
        if output.error or enough(output):
            break
    return Run(snippet.module, tuple(outputs), fault)


def _receive(
    pipe: Connection, until: float, seconds: float, child: Any
) -> tuple[CellOutput | None, str]:
    """一格的输出，或没有等到它的原因。"""
    if not pipe.poll(max(until - time.monotonic(), 0)):
        return None, f"{seconds:g} 秒没有跑完，已停下。检查有没有死循环，或把规模改小。"
    try:
        return pipe.recv(), ""
    except EOFError:
        return None, _how_it_ended(child)


# 子进程的退出码 → 是怎么回事；没有列出的信号只说名字
_ENDS = {
    "SIGKILL": "多半是整台机器的内存不够，把规模改小",
    **dict.fromkeys(("SIGSEGV", "SIGBUS", "SIGABRT"), "C 代码出了错，或递归太深"),
}


def _how_it_ended(child: Any) -> str:
    child.join(1)  # 管道关上了，退出码也许还没有送到
    code = child.exitcode
    if code in (None, BROKEN):
        return "送不回结果，已停下：它关掉了不是自己打开的文件，或改坏了解释器自己的东西。"
    if code >= 0:
        return f"子进程突然结束（退出码 {code}）：多半是调用了 os._exit。"
    name = signal.Signals(-code).name
    why = _ENDS.get(name, "没有接住这个信号")
    return f"子进程突然结束（{name}）：{why}。"


def _wait_until_ready(pipe: Connection) -> str:
    """载入外面的库不算在片段的时限里；返回没能开始的原因。"""
    try:
        ready = pipe.poll(_STARTUP_SECONDS) and pipe.recv()
    except EOFError:
        ready = False
    return "" if ready else "子进程没有开起来：检查片段 import 的库与 matplotlib 能否导入。"


def _context(vault: Vault) -> Any:
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    with _starting:
        return _forkserver(vault)


_starting = Lock()


@cache
def _forkserver(vault: Vault) -> Any:
    """开起 forkserver；预载的清单也由环境变量带过去。"""
    orphans.sweep()
    orphans.keep_sockets()
    context = get_context("forkserver")
    context.set_forkserver_preload(["rizhi.snippets.preload"])
    imports = "\n".join(sorted(set(_outside_imports(vault))))
    with settled({"RIZHI_PRELOAD": imports, "RIZHI_COMMAND": str(os.getpid())}):
        forkserver.ensure_running()
    return context


def _start(child: Any, context: Any) -> None:
    """forkserver 的环境已经定下；spawn 的，每次起来时定。"""
    if context.get_start_method() == "spawn":
        with settled():
            child.start()
    else:
        child.start()


def _outside_imports(vault: Vault) -> Iterator[str]:
    """片段与源码包一载入就从外面 import 的每一句，按语法树读出。"""
    for path in (*source_files(vault), *snippet_files(vault)):
        try:
            tree = ast.parse(read_text(path))
        except (SyntaxError, RizhiError):
            continue  # 轮到运行它时自会报错；这里只是预载
        yield from (
            said for said in records.outside_statements(vault, tree) if said not in _TALKING
        )


def work(
    vault: Vault,
    task: Callable[..., None],
    arguments: tuple[Any, ...],
    seconds: float,
    seeded: frozenset[str] = frozenset(),
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[bytes]:
    """在一个新的子进程里跑 `task(send, *arguments)`，防护与上限同片段；它送来一样，就给出一样。

    不再要了就关上，子进程也就结束；另一个线程里等着的，由 `stopped` 说不必再等。

    单位：`seconds` 是秒，从准备好算起。
    异常：没有跑完，抛 RizhiError，说是怎么回事。
    """
    context = _context(vault)
    receiver, sender = context.Pipe(duplex=False)
    folder = TemporaryDirectory(prefix=orphans.prefix(), ignore_cleanup_errors=True)
    given = (sender, task, arguments, str(vault.root), folder.name, seeded, seconds)
    child = context.Process(target=run_work, args=given, daemon=True)
    try:
        _start(child, context)
        sender.close()
        yield from _sent(receiver, seconds, child, stopped)
    finally:
        Thread(target=_bury, args=(child, receiver, folder)).start()


def _sent(
    pipe: Connection, seconds: float, child: Any, stopped: Callable[[], bool]
) -> Iterator[bytes]:
    until = time.monotonic() + _STARTUP_SECONDS
    try:
        while (left := until - time.monotonic()) > 0 and not stopped():
            if not pipe.poll(min(left, _GLANCE)):
                continue
            data = pipe.recv_bytes()
            if data == b"ready":
                until = time.monotonic() + seconds
            elif not data:
                return
            else:
                yield data
    except EOFError:
        raise RizhiError(_how_it_ended(child)) from None
    raise RizhiError(f"{seconds:g} 秒没有跑完，已停下：多半是死循环。")
