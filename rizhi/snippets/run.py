"""运行片段：每个文件在 forkserver 的一个新子进程里，永远看见当前的 `llm`。

forkserver 只预先载入外面的库（torch、transformers、matplotlib），不载 `llm`；
没有 forkserver 的系统用 spawn，慢一些，结果一样。
"""

import ast
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

from rizhi.errors import RizhiError
from rizhi.snippets.cells import CellOutput, Snippet, parse
from rizhi.snippets.child import installed, run_cells
from rizhi.vault import read_text

SECONDS = 30.0
_STARTUP_SECONDS = 180.0  # 冷的磁盘上第一次载入 torch 与 transformers 可以很久
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
        child = context.Process(target=run_cells, args=arguments, daemon=True)
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
    return installed("torch")


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
    for path in (*(root / "llm").rglob("*.py"), *(root / "snippets").glob("*.py")):
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
