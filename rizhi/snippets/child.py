"""片段的子进程里发生的事：定下种子与图，逐格运行。"""

import os
import random
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from rizhi.snippets import figures, orphans
from rizhi.snippets.cells import Cell, CellOutput, Snippet
from rizhi.snippets.guard import guard
from rizhi.snippets.stream import OutputTooLong, Writer

SEEDED = frozenset(("numpy", "torch"))


def run_cells(
    pipe: Connection, snippet: Snippet, root: str, folder: str, seeded: frozenset[str]
) -> None:
    """子进程的入口：准备好就说一声，然后跑一格送回一格；`seeded` 是用到的、要种下种子的库。"""
    orphans.end_with_command(folder)
    module = _prepare(snippet, root, folder)
    settle(seeded)
    sys.addaudithook(guard(Path(folder).resolve()))
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
    return module


def settle(seeded: frozenset[str]) -> None:
    """定下图的样子，固定种子与线程数；库要先载入才种得下，没装的等单元格自己去报。"""
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


def _run_cell(cell: Cell, module: ModuleType) -> CellOutput:
    writer, error = Writer(), None
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
    kind = "" if isinstance(error, _SAY_IT_ALL) else f"{type(error).__name__}: "
    head = f"snippets/{path.name}:{line} 单元格「{cell.title}」出错：{kind}{error}\n"
    return head + "".join(traceback.format_list(frames)).replace(f"{root}{os.sep}", "")
