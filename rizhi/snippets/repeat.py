"""一份输出能不能重复：不能的不录。打印了内存地址，或在新起的解释器里再跑一遍得到另一样。"""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import unified_diff
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from rizhi.errors import RizhiError, cut
from rizhi.snippets.cells import CellOutput, Snippet, SnippetError
from rizhi.snippets.compare import same_text

T = TypeVar("T")
A = TypeVar("A")
_ADDRESS = re.compile(r"^.* at 0x[0-9a-fA-F]+.*$", re.M)
_SHOWN, _WIDE = 12, 100  # 不同的地方至多列几行，一行几个字


def refuse_addresses(snippet: Snippet, outputs: tuple[CellOutput, ...]) -> None:
    """异常：哪一格打印了内存地址，抛 SnippetError；课里的位模式 0x3f800000 不是地址。"""
    for output in outputs:
        for name, text in output.texts.items():
            if found := _ADDRESS.search(text):
                line = text.count("\n", 0, found.start()) + 1
                what = f"输出{name}第 {line} 行有内存地址，下一遍就不一样：{cut(found[0], _WIDE)}"
                remedy = "给这个类写 __repr__，或只打印要看的；末行不必显示的，行末加分号"
                raise _refused(snippet, output, f"{what}。{remedy}。")


def refuse_differences(
    snippet: Snippet, first: tuple[CellOutput, ...], second: tuple[CellOutput, ...]
) -> None:
    """异常：有一格两遍不同，抛 SnippetError，列出不同的几行；小数的末位差一个单位不算。"""
    for one, other in zip(first, second, strict=True):
        difference = _difference(one, other)
        if difference:
            remedy = "固定随机数的种子；不要打印时刻、用时、id() 与临时文件夹的路径"
            raise _refused(snippet, one, f"再跑一遍，输出不一样。{remedy}。\n{difference}")


@contextmanager
def elsewhere(
    work: Callable[[A], T], begin: Callable[[], object] | None = None
) -> Iterator[Callable[[A], T]]:
    """给出一个函数，它在新起的解释器里做 `work`：内存另是一种布局，哈希种子一样。

    `begin` 在那里先做一遍，不等它做完。`work` 抛的 RizhiError 照样抛出来。
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, begin))
    process.start()
    theirs.close()
    asking = Lock()

    def ask(question: A) -> T:
        with asking:
            try:
                ours.send(question)
                answer = ours.recv()
            except (EOFError, OSError) as error:
                raise RizhiError("再跑一遍用的解释器突然结束了。再运行一次这条命令。") from error
        if isinstance(answer, RizhiError):
            raise answer
        done: T = answer
        return done

    try:
        yield ask
    finally:
        ours.close()
        process.join()


def _answer(pipe: Connection, work: Callable[[A], T], begin: Callable[[], object] | None) -> None:
    """新起的解释器里：问一次答一次；命令一结束（被杀也是），这里也结束。"""
    signal.signal(signal.SIGINT, lambda *_: None)  # 由命令来收场
    questions: SimpleQueue[A] = SimpleQueue()
    Thread(target=_listen, args=(pipe, questions), daemon=True).start()
    if begin:
        begin()
    while True:
        try:
            pipe.send(work(questions.get()))
        except RizhiError as error:
            pipe.send(error)


def _listen(pipe: Connection, questions: "SimpleQueue[A]") -> None:
    try:
        while True:
            questions.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)


def _difference(one: CellOutput, other: CellOutput) -> str:
    lines: list[str] = []
    for name, text in one.texts.items():
        again = other.texts[name]
        if not same_text(text, again, relative=0.0):
            heads = (f"头一遍{name}", f"第二遍{name}")
            lines += unified_diff(text.splitlines(), again.splitlines(), *heads, n=0, lineterm="")
    figures = zip(one.figures, other.figures, strict=False)
    if len(one.figures) != len(other.figures):
        lines.append(f"图：头一遍 {len(one.figures)} 张，第二遍 {len(other.figures)} 张")
    elif not all(same_text(a, b, relative=0.0) for a, b in figures):
        lines.append("图不一样")
    more = [f"……还有 {len(lines) - _SHOWN} 行"] if len(lines) > _SHOWN else []
    return "\n".join([*(cut(line, _WIDE) for line in lines[:_SHOWN]), *more])


def _refused(snippet: Snippet, output: CellOutput, what: str) -> SnippetError:
    cell = snippet.cell(output.title)
    return SnippetError(f"单元格「{cell.title}」{what}", snippet.path, cell.line)
