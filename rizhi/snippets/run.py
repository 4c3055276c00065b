"""运行片段：每个文件在 forkserver 的一个新子进程里，永远看见当前的源码包。

forkserver 只预先载入外面的库（torch、transformers、matplotlib），不载源码包；
没有 forkserver 的系统用 spawn，慢一些，结果一样。
"""

import ast
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
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
from rizhi.snippets import orphans, stream
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput, Snippet
from rizhi.snippets.child import BROKEN, SEEDED, run_cells, run_work
from rizhi.snippets.environment import settled
from rizhi.vault import Vault, read_text, snippet_files, source_files

SECONDS = 30.0
_TALKING = ("import this", "import antigravity")  # 一载入就打印、开浏览器，只许片段自己载入
_STARTUP_SECONDS = 180.0  # 冷的磁盘上第一次载入 torch 与 transformers 可以很久
TICK = 0.1  # 有人看着的，隔这么多秒看一眼
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


@dataclass(frozen=True)
class Step:
    """跑到了哪里：`done` 了的一格有全部输出；没有跑完的是到此刻打印的，`fault` 是不再跑的原因。"""

    output: CellOutput
    done: bool = False
    fault: str = ""


def run(
    vault: Vault, path: Path, seconds: float = SECONDS, enough: _Enough = lambda output: False
) -> Run:
    """在新的子进程里逐格运行一个片段；第一处错误之后的单元格不再运行，缺了库就不运行。

    `enough` 看过一格的输出，说后面的要不要再跑。

    单位：`seconds` 是秒，整个文件的时限。
    异常：片段或它用到的源码读不懂，抛 RizhiError；运行中的错误写在结果里。
    """
    snippet = records.load(vault, path).source
    outputs: list[CellOutput] = []
    fault = ""
    with closing(_steps(vault, snippet, seconds)) as steps:
        for step in steps:
            fault = step.fault
            if step.done:
                outputs.append(step.output)
                if enough(step.output):
                    break
    return Run(snippet.module, tuple(outputs), fault)


def watch(vault: Vault, snippet: Snippet, seconds: float = SECONDS) -> Generator[Step, None, None]:
    """在新的子进程里逐格运行 `snippet` 的原文，它不必是盘上的；隔 `TICK` 秒给出到此刻打印的。

    不再要了就关上，子进程也就结束。

    单位：`seconds` 是秒，整个文件的时限。
    异常：用到的源码读不懂，抛 RizhiError；运行中的错误写在给出的几步里。
    """
    return _steps(vault, snippet, seconds, TICK)


def missing(vault: Vault, snippet: Snippet) -> tuple[str, ...]:
    """片段一运行就要 import、这里却没有装的库，按名字排序；哪个也不载入。

    异常：它用到的源码读不懂，抛 RizhiError。
    """
    names = records.libraries(vault, snippet.path, deep=False, source=snippet.text)
    return tuple(sorted(n for n in names - sys.stdlib_module_names if not installed(n)))


def warm_up(vault: Vault) -> None:
    """先把 forkserver 开起来，让它在后台载入外面的库；不等它载完。"""
    _context(vault)


def _steps(
    vault: Vault, snippet: Snippet, seconds: float, tick: float | None = None
) -> Generator[Step, None, None]:
    """在一个新子进程里运行；结果一到齐就交回，收尸在后台。`tick` 是隔几秒看一眼没跑完的。"""
    name = vault.relative(snippet.path)
    if lacking := missing(vault, snippet):
        yield Step(CellOutput(""), fault=how_to_install(f"{name} ", lacking))
        return
    used = records.libraries(vault, snippet.path, deep=True, source=snippet.text)
    shown = _folder() if tick else None
    printed = Path(shown.name) if shown else None
    given = (used & SEEDED, seconds, snippet, printed)
    with _spawned(vault, run_cells, given, shown) as (process, pipe):
        yield from _follow(_Child(process, pipe, vault.root, printed, tick), snippet, name, seconds)


@contextmanager
def _spawned(
    vault: Vault,
    entry: Callable[..., None],
    given: tuple[Any, ...],
    shown: TemporaryDirectory[str] | None = None,
) -> Iterator[tuple[Any, Connection]]:
    """一个新的子进程与从它来的管道；用完就结束它，它的文件夹与 `shown` 也删掉。"""
    context = _context(vault)
    receiver, sender = context.Pipe(duplex=False)
    folder = _folder()
    arguments = (sender, str(vault.root), folder.name, *given)
    child = context.Process(target=entry, args=arguments, daemon=True)
    try:
        _start(child, context)
        sender.close()
        yield child, receiver
    finally:
        # 收尸要十几毫秒；不是守护线程，解释器退出之前总会做完
        folders = [folder, *([shown] if shown else [])]
        Thread(target=_bury, args=(child, receiver, folders)).start()


def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix=orphans.prefix(), ignore_cleanup_errors=True)


def _bury(child: BaseProcess, pipe: Connection, folders: list[TemporaryDirectory[str]]) -> None:
    """结束子进程；它真的不在了，再删它的文件夹。"""
    if child.pid is not None:  # 也许没有起来
        child.kill()
        child.join()
    pipe.close()
    for folder in folders:
        folder.cleanup()


def installed(name: str) -> bool:
    return name in sys.modules or find_spec(name) is not None


def how_to_install(what: str, lacking: Iterable[str]) -> str:
    """`what` 要的库没有装，怎么装。"""
    return (
        f"{what}要用 {'、'.join(lacking)}，这里没有装，没有运行它。"
        f"装上带来它们的包：多半是 pip install {' '.join(lacking)}；"
        "有 Makefile 的仓库里运行 make record，会先装好。"
    )


@dataclass(frozen=True)
class _Child:
    """一个正在跑的子进程；打印的接在 `printed` 里，没有人看就不接。"""

    process: Any
    pipe: Connection
    root: Path
    printed: Path | None
    tick: float | None

    def printing(self, title: str, place: stream.Place) -> CellOutput:
        """`title` 那一格到此刻打印的；没有人看就是空的。"""
        if self.printed is None:
            return CellOutput(title)
        text, stderr = stream.peek(self.root, self.printed, place)
        return CellOutput(title, text, stderr=stderr)

    def ticks(self, seconds: float) -> Iterator[None]:
        """等它的下一句话，至多 `seconds` 秒；有人看着，就隔一会儿停一下。"""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.pipe.poll(min(left, self.tick or left)):
                return
            yield


def _follow(child: _Child, snippet: Snippet, name: str, seconds: float) -> Iterator[Step]:
    """子进程说的每一句话一步；到了时限、它死掉了，最后一步说为什么。"""
    for _ in child.ticks(_STARTUP_SECONDS):  # 载入外面的库不算在片段的时限里
        yield Step(CellOutput(""))
    if not _ready(child.pipe):
        why = "子进程没有开起来：检查片段 import 的库与 matplotlib 能否导入。"
        yield Step(CellOutput(""), fault=why)
        return
    until, place = time.monotonic() + seconds, (0, 0)
    for cell in snippet.code_cells:
        for _ in child.ticks(until - time.monotonic()):
            yield Step(child.printing(cell.title, place))
        try:
            output, place = _received(child, seconds)
        except RizhiError as error:
            fault = f"{name}:{cell.line} 单元格「{cell.title}」：{error.message}"
            yield Step(child.printing(cell.title, place), fault=fault)
            return
        yield Step(output, done=True)
        if output.error:
            return


def _received(child: _Child, seconds: float) -> tuple[CellOutput, stream.Place]:
    """一格的输出，与下一格从哪里写起。

    异常：没有等到，抛 RizhiError，说为什么。
    """
    if not child.pipe.poll():
        raise RizhiError(f"{seconds:g} 秒没有跑完，已停下。检查有没有死循环，或把规模改小。")
    try:
        output, place = child.pipe.recv()
    except EOFError as error:
        raise RizhiError(_how_it_ended(child.process)) from error
    return output, place


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


def _ready(pipe: Connection) -> bool:
    try:
        return bool(pipe.poll() and pipe.recv())
    except EOFError:
        return False


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
    with _spawned(vault, run_work, (seeded, seconds, task, arguments)) as (child, pipe):
        yield from _sent(pipe, seconds, child, stopped)


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
