"""运行片段要多少时间，三样：

1. 多一个空片段，对一个裸的 forkserver 子进程（同样的预载，只说一句话）：我方自己添的时间；
2. `pytest snippets` 多一个文件，对 `pytest --nbmake` 多一个同样的笔记本：各跑少的与多的一次，差除以
   多出的个数，启动的开销两边都减掉了；我方一个太快，要多抄几份才量得准；
3. 整个 `pytest snippets`（启动、载入库、收集、比较都在内），对各个片段自己时间之和。

    python -m benchmarks snippets
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import compare, peers
from rizhi.snippets import cells
from rizhi.snippets import run as runner
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault, find_vault, snippet_files

ROUNDS = 5
FEW, MANY, COPIES = 2, 6, 4
EMPTY = 20
CHILD, NOTEBOOK, WHOLE = 1.5, 0.04, 1.3  # 三样的目标


def seconds(root: Path, arguments: list[str]) -> float:
    """跑一遍 pytest，返回墙上的秒数：内核与子进程都在别的进程里。"""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    start = time.perf_counter()
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return time.perf_counter() - start


def notebooks(root: Path, paths: list[Path]) -> list[Path]:
    """同样的单元格，写成笔记本，放在能导入 llm 的地方。"""
    made = [root / f"{path.stem}.ipynb" for path in paths]
    for path, book in zip(paths, made, strict=True):
        book.write_text(to_notebook(cells.parse(path), None), encoding="utf-8")
    return made


def copies(path: Path) -> list[Path]:
    """一个片段连同它的记录抄成几份：源码相同，指纹也就相同。"""
    made = [path.with_name(f"{path.stem}_{number}.py") for number in range(1, COPIES)]
    outputs = path.parent / "outputs"
    for copy in made:
        shutil.copy(path, copy)
        shutil.copytree(outputs / path.stem, outputs / copy.stem)
    return [path, *made]


def slope(root: Path, few: list[str], many: list[str], *options: str) -> float:
    """多一个文件多花的秒数。"""
    less, more = (seconds(root, [*options, *names]) for names in (few, many))
    return (more - less) / (len(many) - len(few))


def empty_snippets(vault: Vault) -> float:
    """运行一个空片段的秒数，到它的子进程也收拾干净为止；每次的原文都不同，读与算指纹也在内。"""
    path = vault.snippets / "empty.py"
    start = time.perf_counter()
    for _ in range(EMPTY):
        path.write_text(f"# %% 空\nx = {time.perf_counter_ns()}\n", encoding="utf-8")
        assert not runner.run(vault, path).error
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    took = time.perf_counter() - start
    path.unlink()
    return took / EMPTY


def bare_children() -> float:
    """一个裸的子进程的秒数：起来，说一句话，等它结束。"""
    start = time.perf_counter()
    for _ in range(EMPTY):
        in_child(Connection.send, True)
    return (time.perf_counter() - start) / EMPTY


def in_child(task: Callable[..., None], *arguments: Any) -> Any:
    """在一个裸的 forkserver 子进程里做一件事，返回它从管道送回的；管道是 `task` 的第一个参数。"""
    context = get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=task, args=(sender, *arguments))
    child.start()
    sender.close()
    said = receiver.recv()
    child.join()
    return said


def own_time(vault: Vault) -> float:
    """各个片段自己的时间之和：库已载入的子进程里，一个个当成普通程序跑。"""
    paths = snippet_files(vault)
    return sum(in_child(peers.own_seconds, path, vault.root) for path in paths)


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        root = peers.ours(Path(folder))
        vault = find_vault(root, root)
        runner.warm_up(vault)
        in_child(Connection.send, True)  # 等库载完
        child = compare.interleave(lambda: empty_snippets(vault), bare_children, rounds)
        whole = compare.interleave(
            lambda: seconds(root, ["snippets"]), lambda: own_time(vault), rounds
        )
        originals = snippet_files(vault)[:MANY]
        books = [str(book) for book in notebooks(root, originals)]
        paths = [str(copy) for path in originals for copy in copies(path)]
        notebook = compare.interleave(
            lambda: slope(root, paths[::COPIES], paths),
            lambda: slope(root, books[:FEW], books, "--nbmake"),
            rounds,
        )
    results = [
        compare.ratio("多一个空片段，对裸的子进程（秒）", CHILD, *child),
        compare.ratio("多一个文件，对 nbmake 多一个笔记本（秒）", NOTEBOOK, *notebook),
        compare.ratio("整个 pytest snippets，对片段自己的时间（秒）", WHOLE, *whole),
    ]
    return compare.report("snippets", results)


if __name__ == "__main__":
    sys.exit(main())
