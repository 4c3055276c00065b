"""唯一写盘的地方：每次写完，磁盘上要么是完整的旧文件，要么是完整的新文件。"""

import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# 临时文件名里写着进程号：进程已经不在了，它就是被杀掉的那次运行的残留。
_LEFTOVER = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.rizhi-tmp")
_LOCK_SECONDS = 10.0


class ChangedError(OSError):
    """读入之后、换上之前，文件被别的程序改过；新内容没有写下去。"""


class BusyError(OSError):
    """另一个 rizhi 正在这个文件夹里写，等了十秒还没完。"""


def create_new(path: Path, data: bytes) -> None:
    """新建一个文件；已经存在就什么也不做。

    异常：文件已在，抛 FileExistsError；写不成，抛 OSError，临时文件已清掉。
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent), _temporary(path, data) as temporary:
        _link(temporary, path)


def replace(path: Path, data: bytes) -> bool:
    """写一个归工具所有的文件（记录、生成的页面）；内容没变就不写，返回是否写了。

    异常：写不成，抛 OSError，旧文件还在。
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == data:
        return False
    with _locked(path.parent), _temporary(path, data) as temporary:
        temporary.replace(path)
    return True


def amend(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """在人的文件里只改一处：`change` 由旧内容给出新内容；权限与其余字节不变，返回是否写了。

    异常：期间文件被别人改过，抛 ChangedError；写不成，抛 OSError，旧文件还在。
    """
    target = path.resolve()  # 顺着符号链接改它指的文件，链接本身不动
    with _locked(target.parent):
        old = target.read_bytes()
        new = change(old)
        if new == old:
            return False
        with _temporary(target, new, mode=target.stat().st_mode & 0o7777) as temporary:
            if _digest(target.read_bytes()) != _digest(old):
                raise ChangedError(f"{path} 刚刚被别的程序改过；没有写入。请再试一次。")
            temporary.replace(target)
    return True


def remove(path: Path) -> None:
    """删掉一个归工具所有的文件。"""
    with _locked(path.parent):
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)


@contextmanager
def _temporary(path: Path, data: bytes, mode: int | None = None) -> Iterator[Path]:
    """同一文件夹里的临时文件，内容已经落盘；无论成败都不留下它。"""
    _sweep(path.parent)
    name = f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.rizhi-tmp"
    temporary = path.parent / name
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _link(temporary: Path, path: Path) -> None:
    """把写好的文件挂上正式的名字；名字已有就失败。"""
    if sys.platform == "win32":
        temporary.rename(path)  # Windows 的 rename 遇到已有的名字会失败
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # 有的文件系统没有硬链接；此时在锁里先看后改名
        if path.exists():
            raise FileExistsError(f"{path} 已存在") from None
        temporary.rename(path)


def _sweep(folder: Path) -> None:
    for path in folder.glob(".*.rizhi-tmp"):
        found = _LEFTOVER.fullmatch(path.name)
        if found and not _alive(int(found[1])):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if process == os.getpid():
        return True
    if sys.platform == "win32":
        # Windows 上 os.kill 会真的杀掉进程；调用者已持有锁，同机的别人不在写
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """同一文件夹里一次只许一个 rizhi 写；锁随进程消失，不会留下死锁。"""
    name = folder / ".rizhi-lock" if sys.platform == "win32" else folder
    handle = os.open(name, os.O_RDWR | os.O_CREAT if sys.platform == "win32" else os.O_RDONLY)
    try:
        _wait_for(handle, folder)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, folder: Path) -> None:
    until = time.monotonic() + _LOCK_SECONDS
    while not _try_lock(handle):
        if time.monotonic() > until:
            raise BusyError(f"另一个 rizhi 正在 {folder} 里写；没有改动任何文件。稍后再试。")
        time.sleep(0.01)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # Windows 不能打开文件夹来落盘
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
