"""命令不在了（被杀、终端关掉），不留子进程，也不留临时文件夹。

三层，前一层没做成还有后一层：

1. 子进程守着从命令来的管道，读到文件尾就删掉文件夹退出；C 里的死循环占着解释器时，这个线程轮不到；
2. forkserver 随命令结束，走之前用信号结束它的子进程，等它们不在了再删文件夹；
3. 一起被杀掉的，下次运行按文件夹名字里的进程号清扫。
"""

import _thread
import atexit
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import current_process, forkserver, parent_process
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp
from typing import Any

from rizhi.store import alive

_FOLDER = re.compile(r"rizhi-(\d+)-\w+")


def prefix() -> str:
    """本进程的临时文件夹名字的开头。"""
    return f"rizhi-{os.getpid()}-"


def sweep() -> None:
    """删掉进程已经不在的临时文件夹。"""
    for process, folder in _folders():
        if not alive(process):
            rmtree(folder, ignore_errors=True)


def keep_sockets() -> None:
    """命令里、起 forkserver 之前调用：套接字也放进名字里有进程号的文件夹，被杀了才清扫得到。"""
    settings: dict[str, Any] = current_process()._config  # type: ignore[attr-defined]
    if "tempdir" not in settings:
        settings["tempdir"] = mkdtemp(prefix=prefix())


def end_with_command(folder: str) -> None:
    """子进程里调用：命令不在了，就删掉 `folder` 退出。"""
    # 每个子进程都拿着一份，forkserver 就等不到命令结束；标准库没有公开的办法
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    # 不用 threading：片段数线程时不该数到它
    with _signals_blocked():
        _thread.start_new_thread(_wait_for_the_end, (folder,))


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """其间起的线程一个信号也不收：都归主线程，在那里挡住的，不由它收走。"""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def clean_up_after(command: int) -> None:
    """forkserver 里调用：进程号是 `command` 的命令不在了，结束全部子进程，删掉它们的文件夹。"""
    os.setpgid(0, 0)  # 自成一组，一个信号就到每个子进程；终端里的 Ctrl-C 也只到命令
    atexit.register(_clean_up, os.getpid(), command)


def _wait_for_the_end(folder: str) -> None:
    if command := parent_process():
        command.join()
        rmtree(folder, ignore_errors=True)
        os._exit(1)


def _clean_up(server: int, command: int) -> None:
    if os.getpid() != server:
        return  # 子进程里也登记着
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    for process, folder in _folders():
        if process == command:
            rmtree(folder, ignore_errors=True)


def _folders() -> Iterator[tuple[int, Path]]:
    """系统的临时文件夹里各次运行的文件夹，与各自的进程号。"""
    for path in Path(gettempdir()).glob("rizhi-*"):
        if found := _FOLDER.fullmatch(path.name):
            yield int(found[1]), path
