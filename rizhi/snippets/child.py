"""片段的子进程里发生的事：定下种子与图，逐格运行。"""

import os
import random
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_all_start_methods, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from rizhi.snippets import figures, stream
from rizhi.snippets.cells import Cell, CellOutput, Snippet
from rizhi.snippets.guard import guard
from rizhi.snippets.stream import MAX_OUTPUT, OutputRefused

SEEDED = frozenset(("numpy", "torch"))


def run_cells(
    pipe: Connection, snippet: Snippet, root: str, folder: str, seeded: frozenset[str]
) -> None:
    """子进程的入口：准备好就说一声，然后跑一格送回一格；`seeded` 是用到的、要种下种子的库。"""
    module = _prepare(snippet, root, folder)
    _settle(seeded)
    take = stream.capture(Path(root))
    sys.addaudithook(guard(Path(folder).resolve()))
    pipe.send(True)
    for cell in snippet.code_cells:
        output = _run_cell(cell, module, take)
        pipe.send(output)
        if output.error:
            return


def _prepare(snippet: Snippet, root: str, folder: str) -> ModuleType:
    os.chdir(folder)
    if "fork" in get_all_start_methods():
        # tqdm 会建一把进程锁：按 fork 建的用完就没了，不会由 forkserver 的 tracker 报成泄漏
        set_start_method("fork", force=True)
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True
    module = ModuleType(snippet.module)
    module.__file__ = str(snippet.path)
    sys.modules[snippet.module] = module
    return module


def _settle(seeded: frozenset[str]) -> None:
    """定下图的样子，固定种子与线程数；库要先载入才种得下，没装的等单元格自己去报。"""
    stream.prepare()
    figures.prepare()
    if torch := _library("torch", seeded):
        torch.manual_seed(0)
        torch.set_num_threads(1)
    if numpy := _library("numpy", seeded):  # torch 也许刚把它载进来
        numpy.random.seed(0)
    random.seed(0)


def _library(name: str, wanted: frozenset[str]) -> Any:
    """已经载入的，或片段要用而又装了的；否则是 None。"""
    if name in sys.modules or (name in wanted and find_spec(name)):
        return import_module(name)
    return None


def _run_cell(cell: Cell, module: ModuleType, take: Callable[[], tuple[str, str]]) -> CellOutput:
    source = "\n" * (cell.line - 1) + cell.source
    try:
        # 运行片段正是这里要做的事
        exec(compile(source, str(module.__file__), "exec"), module.__dict__)  # noqa: S102
        drawn = figures.collect()
        text, stderr = take()
    except BaseException as raised:  # SystemExit 与 KeyboardInterrupt 也算这一格出错
        return CellOutput(cell.title, error=_explain(cell, raised, module))
    return CellOutput(cell.title, text, drawn, stderr=stderr)


def _explain(cell: Cell, error: BaseException, module: ModuleType) -> str:
    """回溯只留片段与源码包里的几层，路径相对于知识库。"""
    path = Path(str(module.__file__))
    root = path.parent.parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and "site-packages" not in frame.filename
    ]
    frames = [frame for frame in frames if not frame.filename.startswith(str(root / "rizhi"))]
    line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), cell.line)
    head = f"snippets/{path.name}:{line} 单元格「{cell.title}」出错：{_said(error)}\n"
    shown = "".join(traceback.format_list(frames)).replace(f"{root}{os.sep}", "")
    return stream.readable(head + shown)


def _said(error: BaseException) -> str:
    """一个异常说的话，不太长。"""
    try:
        said = str(error)[:MAX_OUTPUT]
    except Exception:
        said = "（它的 __str__ 也出错）"
    if isinstance(error, UnicodeEncodeError):
        said += "；写不成 UTF-8 的，换成它的 repr，或先去掉"
    kind = "" if isinstance(error, OutputRefused) else f"{type(error).__name__}: "
    return f"{kind}{said}"
