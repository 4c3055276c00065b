"""运行片段：每个文件在 forkserver 的一个新子进程里，永远看见当前的 `llm`。

forkserver 只预先载入外面的库（torch、transformers、matplotlib），不载 `llm`；
没有 forkserver 的系统用 spawn，慢一些，结果一样。
"""

import ast
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from rizhi.snippets import figures
from rizhi.snippets.record import Cell, CellOutput, Snippet, SnippetError, parse
from rizhi.vault import RizhiError, read_text

SECONDS = 30.0
_STARTUP_SECONDS = 180.0  # 冷的磁盘上第一次载入 torch 与 transformers 可以很久
MAX_OUTPUT = 64 * 1024
_PRELOAD = "RIZHI_PRELOAD"
# numpy 一载入就按这几个数开线程；子进程要单线程，forkserver 才能安全地 fork。
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Run:
    """一次运行的结果；`fault` 是整个文件的毛病（超时、进程死掉），没有则为空串。"""

    module: str
    outputs: tuple[CellOutput, ...]
    fault: str

    @property
    def error(self) -> str:
        """第一处错误，没有则为空串。"""
        return next((out.error for out in self.outputs if out.error), self.fault)


class OutputTooLong(Exception):
    """一个单元格打印得太多。"""


def run(path: Path, root: Path, seconds: float = SECONDS) -> Run:
    """在新的子进程里逐格运行一个片段；第一处错误之后的单元格不再运行。

    单位：`seconds` 是秒，整个文件的时限。
    异常：片段读不懂，抛 SnippetError；运行中的错误写在结果里。
    """
    snippet = parse(path)
    context = _context(root)
    mine, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="rizhi-") as folder:
        arguments = (theirs, snippet, str(root), folder)
        child = context.Process(target=_child, args=arguments, daemon=True)
        child.start()
        theirs.close()
        try:
            return _collect(snippet, mine, seconds)
        finally:
            child.kill()
            child.join()


def warm_up(root: Path) -> None:
    """先把 forkserver 开起来，让它在后台载入外面的库；不等它载完。"""
    _context(root)


def versions() -> dict[str, str]:
    """记录旁边写明的库版本，仅供查看。"""
    from importlib.metadata import version

    return {name: version(name).partition("+")[0] for name in ("matplotlib", "numpy", "torch")}


def has_torch() -> bool:
    """这台机器装了 torch 吗；不载入它。"""
    return _installed("torch")


def _collect(snippet: Snippet, pipe: Connection, seconds: float) -> Run:
    outputs: list[CellOutput] = []
    fault = _wait_until_ready(pipe)
    until = time.monotonic() + seconds
    for cell in () if fault else snippet.code_cells:
        where = f"{snippet.path}:{cell.line} 单元格「{cell.title}」"
        if not pipe.poll(max(until - time.monotonic(), 0)):
            fault = f"{where}：{seconds:g} 秒没有跑完，已停下。检查有没有死循环，或把规模改小。"
            break
        try:
            output = pipe.recv()
        except EOFError:
            fault = f"{where}：子进程突然结束（内存不足，或调用了 os._exit）。"
            break
        outputs.append(output)
        if output.error:
            break
    return Run(snippet.module, tuple(outputs), fault)


def _wait_until_ready(pipe: Connection) -> str:
    """载入外面的库不算在片段的时限里；返回没能开始的原因。"""
    try:
        ready = pipe.poll(_STARTUP_SECONDS) and pipe.recv()
    except EOFError:
        ready = False
    return "" if ready else "子进程没有开起来：检查 torch、matplotlib 能否导入。"


def _context(root: Path) -> Any:
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    with _starting:
        return _forkserver(root)


_starting = Lock()


@cache
def _forkserver(root: Path) -> Any:
    """开起 forkserver；预载的清单与单线程的设定由环境变量带过去，本进程的环境不变。"""
    context = get_context("forkserver")
    wanted = dict.fromkeys(_ONE_THREAD, "1")
    wanted[_PRELOAD] = "\n".join(sorted(_outside_imports(root)))
    saved = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    context.set_forkserver_preload(["__main__", "rizhi.snippets.preload"])
    forkserver.ensure_running()
    for name, value in saved.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    return context


def _outside_imports(root: Path) -> Iterator[str]:
    """片段与 `llm` 从外面 import 的每一句，按语法树读出。"""
    for path in (*(root / "llm").glob("*.py"), *(root / "snippets").glob("*.py")):
        try:
            tree = ast.parse(read_text(path))
        except (SyntaxError, RizhiError):
            continue  # 轮到运行它时自会报错；这里只是预载
        for node in tree.body:
            if isinstance(node, ast.Import) and node.names[0].name.split(".")[0] not in _OURS:
                yield ast.unparse(node)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in _OURS:
                yield ast.unparse(node)


_OURS = frozenset(("llm", "rizhi", "pytest", ""))


# 以下在子进程里运行


def _child(pipe: Connection, snippet: Snippet, root: str, folder: str) -> None:
    module = _prepare(snippet, root, folder)
    pipe.send(True)
    for cell in snippet.code_cells:
        output = _run_cell(cell, module)
        pipe.send(output)
        if output.error:
            return


def _prepare(snippet: Snippet, root: str, folder: str) -> ModuleType:
    os.chdir(folder)
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True
    module = ModuleType(snippet.module)
    module.__file__ = str(snippet.path)
    sys.modules[snippet.module] = module
    _settle(snippet)
    sys.addaudithook(_guard(Path(folder).resolve()))
    return module


def _settle(snippet: Snippet) -> None:
    """固定种子与线程数，定下图的样子；库要先载入才种得下，没装的等单元格自己去报。"""
    import random

    random.seed(0)
    used = "\n".join(cell.source for cell in snippet.code_cells)
    for name in ("numpy", "torch"):
        if name in sys.modules or (re.search(rf"\b({name}|llm)\b", used) and _installed(name)):
            library = import_module(name)
            library.random.seed(0) if name == "numpy" else library.manual_seed(0)
            if name == "torch":
                library.set_num_threads(1)
    figures.prepare()


def _installed(name: str) -> bool:
    return find_spec(name) is not None


def _guard(folder: Path) -> Any:
    """片段只许在自己的临时文件夹里写，不许上网，不许另开进程；钩子装上就摘不下来。"""

    def inside(target: Any) -> bool:
        if isinstance(target, int) or str(target) == os.devnull:
            return True
        path = Path(os.fsdecode(target)).resolve()
        return path == folder or path.is_relative_to(folder)

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket.") and event != "socket.gethostname":
            raise PermissionError("片段不许上网：把要用的数据写进片段。")
        if event in ("subprocess.Popen", "os.system", "os.fork", "os.exec", "os.posix_spawn"):
            raise PermissionError("片段不许另开进程。")
        if event == "open" and _writes(arguments) and not inside(arguments[0]):
            raise PermissionError(f"片段不许写到自己的临时文件夹之外：{arguments[0]}")
        if event in _CHANGES and not all(map(inside, arguments[: _CHANGES[event]])):
            raise PermissionError(f"片段不许改动自己的临时文件夹之外：{arguments[0]}")

    return check


# 改动文件系统的审计事件，与其中路径参数的个数
_CHANGES = {
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.utime": 1,
}


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _run_cell(cell: Cell, module: ModuleType) -> CellOutput:
    writer, error = _Writer(), None
    source = "\n" * (cell.line - 1) + cell.source
    sys.stdout = writer
    try:
        # 运行片段正是这里要做的事
        exec(compile(source, str(module.__file__), "exec"), module.__dict__)  # noqa: S102
        drawn = figures.collect()
    except BaseException as raised:  # SystemExit 与 KeyboardInterrupt 也算这一格出错
        error, drawn = _explain(cell, raised, module), ()
    finally:
        sys.stdout = sys.__stdout__
    return CellOutput(cell.title, writer.text(), drawn, error)


_SAY_IT_ALL = (OutputTooLong, figures.FontMissing)  # 话已说全，不必带上类名


def _explain(cell: Cell, error: BaseException, module: ModuleType) -> str:
    """回溯只留片段与 `llm` 里的几层，路径相对于知识库。"""
    path = Path(str(module.__file__))
    root = path.parent.parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and "site-packages" not in frame.filename
    ]
    frames = [frame for frame in frames if not frame.filename.startswith(str(root / "rizhi"))]
    line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), cell.line)
    kind = "" if isinstance(error, _SAY_IT_ALL) else f"{type(error).__name__}: "
    head = f"snippets/{path.name}:{line} 单元格「{cell.title}」出错：{kind}{error}\n"
    return head + "".join(traceback.format_list(frames)).replace(f"{root}{os.sep}", "")


class _Writer:
    """接住打印的文字；超出上限就停下这一格。"""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def write(self, text: str) -> int:
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise OutputTooLong(f"一格的输出超过 {MAX_OUTPUT >> 10} KiB；只打印要看的那几行。")
        self.parts.append(text)
        return len(text)

    def flush(self) -> None:
        """文字都在内存里，没有可冲刷的。"""

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        return "".join(self.parts)


__all__ = ["MAX_OUTPUT", "SECONDS", "Run", "SnippetError", "has_torch", "run", "versions"]
