"""唯一写盘的地方：每次写完，磁盘上要么是完整的旧文件，要么是完整的新文件。"""

# 故障注入要逐个系统调用地数，所以这里直接用 os，不用 pathlib
# ruff: noqa: PTH101, PTH103, PTH104, PTH105, PTH108, PTH110, PTH113, PTH116, PTH208

import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# 临时文件名里写着进程号：进程已经不在了，它就是被杀掉的那次运行的残留。
_LEFTOVER = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.rizhi-tmp")
_LOCK_SECONDS = 10.0
# 文件系统不支持硬链接时的几种说法
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}

_BINARY = getattr(os, "O_BINARY", 0)  # 只有 Windows 有，也只有它会改换行

Edits = Mapping[Path, tuple[bytes | None, bytes]]
Moves = Sequence[tuple[Path, Path]]


class ChangedError(OSError):
    """读入之后、换上之前，文件被别的程序改过；新内容没有写下去。"""


class BusyError(OSError):
    """另一个 rizhi 正在这个文件夹里写，等了十秒还没完。"""


def create_new(path: Path, data: bytes) -> None:
    """新建一个文件；已经存在就什么也不做。

    异常：文件已在，抛 FileExistsError；写不成，抛 OSError，临时文件已清掉。
    """
    os.makedirs(path.parent, exist_ok=True)
    with _locked(path.parent), _temporary(path, data) as temporary:
        _link(temporary, path)


def replace(path: Path, data: bytes) -> bool:
    """写一个归工具所有的文件（记录、生成的页面）；内容没变就不写，返回是否写了。

    异常：写不成，抛 OSError，旧文件还在。
    """
    os.makedirs(path.parent, exist_ok=True)
    if os.path.isfile(path) and _read(path) == data:
        return False
    with _locked(path.parent), _temporary(path, data) as temporary:
        os.replace(temporary, path)
    return True


def amend(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """在人的文件里只改一处：`change` 由旧内容给出新内容；权限与其余字节不变，返回是否写了。

    异常：期间文件被别人改过，抛 ChangedError；写不成，抛 OSError，旧文件还在。
    """
    target = path.resolve()  # 顺着符号链接改它指的文件，链接本身不动
    with _locked(target.parent):
        old = _read(target)
        new = change(old)
        if new == old:
            return False
        _swap(target, old, new)
    return True


def append(path: Path, line: bytes) -> None:
    """往只增不改的文件末尾接一行；没有这个文件就新建。

    异常：同 `amend`。
    """
    os.makedirs(path.parent, exist_ok=True)
    with suppress(FileExistsError):
        create_new(path, b"")
    amend(path, lambda old: old + (b"" if not old or old.endswith(b"\n") else b"\n") + line)


def remove(path: Path) -> None:
    """删掉一个归工具所有的文件。"""
    with _locked(path.parent):
        with suppress(FileNotFoundError):
            os.unlink(path)
        _sync_folder(path.parent)


def transact(journal: Path, edits: Edits, moves: Moves = ()) -> None:
    """几个文件一起改、一起搬，要么全成，要么全不成。

    `edits` 是（旧内容, 新内容），旧内容为 None 就是新建。打算先记在 `journal` 里；
    中途出错当场退回，中途被杀由下一次 `recover` 接着做完。

    异常：文件与旧内容不符、目标已在、写不成，抛 OSError，一切退回原样。
    """
    os.makedirs(journal.parent, exist_ok=True)
    create_new(journal, _planned(edits, moves))
    try:
        _forward(edits, moves)
    except BaseException:
        _backward(edits, moves)
        remove(journal)
        raise
    remove(journal)


def recover(journal: Path) -> bool:
    """上一次 `transact` 中途被杀，就接着做完；做不完就退回。返回有没有这回事。

    异常：连退回也写不成，抛 OSError；打算还在，下次再来。
    """
    if not os.path.exists(journal):
        return False
    data = json.loads(_read(journal))
    edits = {
        Path(path): (None if old is None else old.encode(), new.encode())
        for path, old, new in data["edits"]
    }
    moves = [(Path(a), Path(b)) for a, b in data["moves"]]
    try:
        _forward(edits, moves)
    except OSError:
        _backward(edits, moves)
    remove(journal)
    return True


def _planned(edits: Edits, moves: Moves) -> bytes:
    texts = [
        [str(path), None if old is None else old.decode(), new.decode()]
        for path, (old, new) in edits.items()
    ]
    plan = {"edits": texts, "moves": [[str(a), str(b)] for a, b in moves]}
    return json.dumps(plan, ensure_ascii=False).encode()


def _forward(edits: Edits, moves: Moves) -> None:
    """每一步都可以重做：已经做过的认得出来。"""
    gone = {source for source, target in moves if not os.path.lexists(source)}
    for path, (old, new) in edits.items():
        if path not in gone:  # 已经搬走的，搬之前就改好了
            _become(path, old, new)
    for source, target in moves:
        if source not in gone:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "已存在", str(target))
            _move(source, target)


def _backward(edits: Edits, moves: Moves) -> None:
    """只退回自己做过的：别人又改了的不碰。"""
    for source, target in reversed(moves):
        if os.path.lexists(target) and not os.path.lexists(source):
            _move(target, source)
    for path, (old, new) in edits.items():
        if os.path.lexists(path) and _read(path) == new:
            if old is None:
                remove(path)
            else:
                _become(path, new, old)


def _become(path: Path, old: bytes | None, new: bytes) -> None:
    if old is None:
        if not (os.path.lexists(path) and _read(path) == new):
            create_new(path, new)
        return
    with _locked(path.parent):
        found = _read(path)
        if found == new:
            return
        if found != old:
            raise ChangedError(f"{path} 刚刚被别的程序改过；没有写入。请再试一次。")
        _swap(path, old, new)


def _move(source: Path, target: Path) -> None:
    with _locked(source.parent):
        os.rename(source, target)
        _sync_folder(source.parent)
        _sync_folder(target.parent)


def _swap(path: Path, old: bytes, new: bytes) -> None:
    """换上新内容；临换之前再看一眼，文件若已被别人改过就不换。"""
    mode = os.stat(path).st_mode & 0o7777
    with _temporary(path, new, mode) as temporary:
        if _read(path) != old:
            raise ChangedError(f"{path} 刚刚被别的程序改过；没有写入。请再试一次。")
        os.replace(temporary, path)


@contextmanager
def _temporary(path: Path, data: bytes, mode: int | None = None) -> Iterator[Path]:
    """同一文件夹里的临时文件，内容已经落盘；无论成败都不留下它。"""
    _sweep(path.parent)
    name = f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.rizhi-tmp"
    temporary = path.parent / name
    try:
        _write(temporary, data, mode)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        _sync_folder(path.parent)


def _write(path: Path, data: bytes, mode: int | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if mode is not None:
        os.chmod(path, mode)


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | _BINARY)
    try:
        return b"".join(iter(lambda: os.read(handle, 1 << 20), b""))
    finally:
        os.close(handle)


def _link(temporary: Path, path: Path) -> None:
    """把写好的文件挂上正式的名字；名字已有就失败。"""
    if sys.platform == "win32":
        os.rename(temporary, path)  # Windows 的 rename 遇到已有的名字会失败
        return
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # 有的文件系统没有硬链接；此时在锁里先看后改名
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "已存在", str(path)) from None
        os.rename(temporary, path)


def _sweep(folder: Path) -> None:
    for name in os.listdir(folder):
        found = _LEFTOVER.fullmatch(name)
        if found and not _alive(int(found[1])):
            with suppress(FileNotFoundError):
                os.unlink(folder / name)


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
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
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
