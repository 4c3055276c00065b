"""片段的子进程里发生的事：定下种子与图，逐格运行。"""

import errno
import os
import random
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_all_start_methods, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rizhi.snippets import figures, guard, orphans, stream
from rizhi.snippets.cells import Cell, CellOutput, Snippet
from rizhi.snippets.display import show
from rizhi.snippets.environment import settle_zone
from rizhi.snippets.program import Program
from rizhi.snippets.stream import OutputRefused

SEEDED = frozenset(("numpy", "torch"))
BROKEN = 70  # 退出码：跑完一格，却送不回去


def run_cells(
    pipe: Connection,
    root: str,
    folder: str,
    seeded: frozenset[str],
    seconds: float,
    snippet: Snippet,
    printed: Path | None,
) -> None:
    """子进程的入口：准备好就说一声，然后跑一格送回一格，与下一格打印的从哪里写起。

    `seeded` 是用到的、要种下种子的库，`seconds` 是整个文件的时限，打印的接在 `printed` 里。
    """
    orphans.end_with_command(folder)
    _prepare(root, folder)
    program = Program(snippet)
    settle(seeded)
    take, so_far, place = stream.capture(Path(root), printed)
    guard.install(Path(folder).resolve(), seconds)
    pipe.send(True)
    for cell in snippet.code_cells:
        try:
            output = _run_cell(cell, program, take)
            if output.error:
                text, stderr = so_far()
                output = replace(output, text=text, stderr=stderr)
            pipe.send((output, place()))
        except BaseException:  # 这一格弄坏了管道或解释器：命令那一侧看退出码，会说是哪一格
            os._exit(BROKEN)
        if output.error:
            return


def _prepare(root: str, folder: str) -> None:
    os.chdir(folder)
    guard.settle_in(folder)
    if "fork" in get_all_start_methods():
        # tqdm 会建一把进程锁：按 fork 建的用完就没了，不会由 forkserver 的 tracker 报成泄漏
        set_start_method("fork", force=True)
    settle_zone()
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True


def settle(seeded: frozenset[str]) -> None:
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
    """已经载入的，或片段要用而又装了的；没装的、装坏了的是 None，等用它的那一格自己去报。"""
    if name not in sys.modules and not (name in wanted and find_spec(name)):
        return None
    try:
        return import_module(name)
    except Exception:
        return None


def _run_cell(cell: Cell, program: Program, take: Callable[[], tuple[str, str]]) -> CellOutput:
    try:
        value = program.run(cell)
        show(value)
        drawn = figures.collect(value)
        if guard.wrote_too_much():
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        text, stderr = take()
    except BaseException as raised:  # SystemExit 与 KeyboardInterrupt 也算这一格出错
        return CellOutput(cell.title, error=_explain(cell, raised, Path(program.path)))
    return CellOutput(cell.title, text, drawn, stderr=stderr)


_LONGEST = 2000
# 单看消息不知道怎么办的几类：异常、消息里有什么、怎么办
_REMEDIES: tuple[tuple[type[BaseException], str, str], ...] = (
    (UnicodeEncodeError, "", "写不成 UTF-8 的，换成它的 repr，或先去掉"),
    (SyntaxError, "^'?a(?:wait|sync).* outside", "顶层的 await 只有 Jupyter 许：用 asyncio.run()"),
    (SystemExit, "", '片段里不退出：去掉 exit()；unittest.main 写上 argv=[""], exit=False'),
    (OSError, "huggingface.co", "片段不许上网：由配置造一个小模型，不读预训练的"),
)


def _explain(cell: Cell, error: BaseException, path: Path) -> str:
    """回溯只留片段与源码包里的几层，路径相对于知识库。"""
    guard.relax()
    root = path.parent.parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and "site-packages" not in frame.filename
    ]
    frames = [frame for frame in frames if not frame.filename.startswith(str(root / "rizhi"))]
    own = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        own.append(error.lineno)
    line = own[-1] if own else cell.line
    head = f"snippets/{path.name}:{line} 单元格「{cell.title}」出错：{_say(error)}\n"
    shown = "".join(traceback.format_list(frames)).replace(f"{root}{os.sep}", "")
    return stream.readable(head + shown)


def _say(error: BaseException) -> str:
    """一个异常说的话，不太长；自己的 `__str__` 会抛错的也说得出。"""
    try:
        said = guard.over_limit(error) or str(error)
    except BaseException as worse:  # 片段写的 __str__，抛什么都有可能
        said = f"（它的 __str__ 又抛出 {type(worse).__name__}）"
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]}……（共 {len(said)} 个字符）"
    for cause, pattern, remedy in _REMEDIES:
        if isinstance(error, cause) and re.search(pattern, said):
            said += f"；{remedy}"
    kind = "" if isinstance(error, OutputRefused) else f"{type(error).__name__}: "
    return f"{kind}{said}"


def run_work(
    pipe: Connection,
    root: str,
    folder: str,
    seeded: frozenset[str],
    seconds: float,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """子进程的另一个入口：跑 `work(send, *arguments)`，它送什么就送什么，完了送一个空的。

    送的是字节：命令那一侧不从这里 unpickle 任何东西。
    """
    orphans.end_with_command(folder)
    _prepare(root, folder)
    settle(seeded)
    stream.capture(Path(root))
    guard.install(Path(folder).resolve(), seconds)
    send = pipe.send_bytes  # 后来的代码换不掉
    pipe.send_bytes(b"ready")
    try:
        work(send, *arguments)
        send(b"")
    except BaseException:
        os._exit(BROKEN)
