"""唯一写盘的地方：每次写完，磁盘上要么是完整的旧文件，要么是完整的新文件。

人的文件只经 `change` 改（`append` 是它的简写）。每次改动在 `.rizhi/undo/编号/` 里留一份：

- `unfinished.json`、`done.json` 或 `reverted.json`：改了什么，做完没有；路径都相对于知识库；
  `killed.json` 是中途被杀、退回了还没有说的；
- `0`、`1`……：换下来的旧文件本身（不是拷贝）。编辑器若早就打开了它，存盘时写进的是它，
  `settle` 比一比就知道，把那些字放回页里。

退回、出错、被杀之后的恢复是同一件事：把 `unfinished.json` 里记的倒着做一遍。
"""

# 故障注入要逐个系统调用地数，所以这里直接用 os，不用 pathlib
# ruff: noqa: PTH101, PTH102, PTH104, PTH105, PTH106, PTH108, PTH110, PTH112, PTH113, PTH116
# ruff: noqa: PTH121, PTH208

import dataclasses
import errno
import json
import os
import re
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from rizhi.errors import name_in

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_VERSION = 1
_ATTEMPTS = 5
_LOCK_SECONDS = 10.0
_RECENT = 2.0  # 两秒之内动过的文件，编辑器可能正存到一半：截断了，还没有写
_PAUSE = 0.05
_WATCH = 0.1  # 换上新文件之后再看多久
_PATIENCE = 5.0
_KEPT_CHANGES = 50
_KEPT_BYTES = 16 << 20
_DOTTED = re.compile(r"\.(?!git(?:ignore|attributes)$)")  # 点开头的不是页面；这两个由 init 写
_NUMBER = re.compile(r"\d{6,}", re.A)  # 一次改动的文件夹
# 临时文件名里写着进程号：进程已经不在了，它就是被杀掉的那次运行的残留。
_LEFTOVER = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.rizhi-tmp")
# 文件系统不支持硬链接、对调、扩展属性时的几种说法
_UNSUPPORTED = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
_ELSEWHERE = _UNSUPPORTED | {errno.EXDEV}
# 记录里有文件夹、管道、链接，或没有权限：它坏了；别的错误（磁盘出错）不是它的毛病
_DAMAGED = {errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENOTEMPTY}
_NO_FILE = {errno.EISDIR, errno.EINVAL, errno.ELOOP}
_NO_ATTRIBUTES = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP}

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # O_BINARY 只有 Windows 有
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_STATES = ("unfinished", "killed", "done", "reverted")
# 一条命令里动过的文件原来的样子；没有人在看就是 None
_seen: ContextVar[dict[Path, tuple[bool, bytes | None]] | None] = ContextVar("_seen", default=None)


class StoreError(OSError):
    """给人看的一句话：在哪里、为什么、怎么办。"""


class ChangedError(StoreError):
    """文件在被别的程序改；新内容没有写下去。"""


class BusyError(StoreError):
    """另一个 rizhi 正在写，等了十秒还没完。"""


class UndoError(StoreError):
    """没有能退回的，或退回会盖掉后来的改动。"""


class _OutsideError(StoreError):
    """路径在知识库之外，或名字以点开头。"""


class _ConflictError(Exception):
    """两边改了同一行，合不起来。"""


@dataclass(frozen=True)
class Edit:
    """改一个文件：`change` 由旧内容给出新内容；没有这个文件是 None，新内容 None 就是删掉。"""

    path: Path
    change: Callable[[bytes | None], bytes | None]


@dataclass(frozen=True)
class Move:
    """搬一个文件或文件夹；`target` 不能已在。"""

    source: Path
    target: Path


@dataclass(frozen=True)
class Changed:
    """一次改动：记在第几号，真正动了哪些文件；没有要改的，号是 0。"""

    number: int
    paths: list[Path]


@dataclass(frozen=True)
class Undone:
    """退回了哪一条命令，动了哪些文件。"""

    command: str
    paths: list[Path]


@dataclass(frozen=True)
class _Swap:
    """一个文件的旧内容与新内容；`kept` 是换下来的旧文件。"""

    path: Path
    old: bytes | None
    new: bytes | None
    kept: Path


@dataclass(frozen=True)
class _Entry:
    """一次改动的记录；`undoes` 是它退回了哪一次，`folders` 是它要新建的文件夹，从外到里。"""

    folder: Path
    state: str
    command: str
    undoes: int | None
    swaps: tuple[_Swap, ...]
    moves: tuple[tuple[Path, Path], ...]
    folders: tuple[Path, ...] = ()

    @property
    def number(self) -> int:
        return int(self.folder.name)


# ---- 改人的文件 ----


def creation(path: Path, data: bytes) -> Edit:
    """新建一个文件的那一步；已经存在就整个不做。"""

    def created(old: bytes | None) -> bytes:
        if old is not None:
            raise FileExistsError(errno.EEXIST, "已存在", str(path))
        return data

    return Edit(path, created)


def presence(path: Path, data: bytes) -> Edit:
    """按内容命名的文件要在那里的那一步；已经有了就不动。"""
    return Edit(path, lambda old: data if old is None else old)


def amendment(path: Path, edit: Callable[[bytes], bytes]) -> Edit:
    """改一个已有的文件的那一步；没有这个文件就整个不做。"""

    def amended(old: bytes | None) -> bytes:
        if old is None:
            raise FileNotFoundError(errno.ENOENT, "没有这个文件", str(path))
        return edit(old)

    return Edit(path, amended)


def append(root: Path, command: str, path: Path, line: bytes) -> None:
    """往只增不改的文件末尾接一行；没有这个文件就新建。

    异常：同 `change`。
    """

    def extended(old: bytes | None) -> bytes:
        before = old or b""
        return before + (b"" if not before or before.endswith(b"\n") else b"\n") + line

    change(root, command, [Edit(path, extended)])


def extend(root: Path, path: Path, lines: bytes) -> None:
    """往日志的末尾接几行，旧的不换下来，也不能 `undo`；上一次少了换行就先补上。

    异常：写不成，抛 OSError，日志还是原来的样子。
    """
    watch(path)
    with _locked(root):
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | _NO_FOLLOW
        handle = os.open(path, flags, 0o666)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            os.lseek(handle, max(size - 1, 0), os.SEEK_SET)
            torn = size > 0 and os.read(handle, 1) != b"\n"
            try:
                left = b"\n" * torn + lines
                while left:
                    left = left[os.write(handle, left) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)


def change(root: Path, command: str, steps: Iterable[Edit | Move]) -> Changed:
    """一条命令的全部改动：先改、再搬，要么全成，要么全不成；返回动了哪些文件。

    编辑器正在存的文件等它存完再读；换上之后若发现它又写过，就换回它的字，在那上面重做。
    权限、所有者、扩展属性与没改到的字节都不变。`command` 是给人看的命令，`undo` 会说出它。

    异常：目标已在、写不成、一直有别的程序在改，抛 OSError，一切退回原样；
    `Edit.change` 抛出的错误照原样抛出，那时还没有写任何东西。
    """
    with _locked(root):
        return _change(root, command, list(steps))


def undo(root: Path, only: int = 0) -> Undone:
    """退回最近一条还没有退回的命令；再运行一次，就再往前退一条。

    给了 `only` 就只退这一号改动。
    异常：没有能退回的，最近一条不是 `only`，或那些文件后来又改过，抛 UndoError，什么也没有改动。
    """
    with _locked(root):
        last = _last(_recovered(root))
        if last is None:
            raise UndoError("没有能退回的改动。")
        if only and last.number < only:
            raise UndoError("那一次已经退回了。")
        if only and last.number != only:
            raise UndoError(f"那之后又有过别的改动（rizhi {last.command}），只能从最近的退起。")
        back = _change(root, f"undo（退回 {last.command}）", _steps_back(root, last), last.number)
        _remove_made(last)
        return Undone(last.command, back.paths)


def undoable(root: Path, number: int) -> bool:
    """这一号改动此刻退不退得回：它是最近的一条，那些文件也没有再改过。"""
    with _locked(root):
        last = _last(_recovered(root))
        if last is None or last.number != number:
            return False
        return all(_content(_moved(swap.path, [last])) == swap.new for swap in last.swaps)


def _last(entries: Sequence[_Entry]) -> _Entry | None:
    """最近一条还没有退回的命令。"""
    taken = {entry.undoes for entry in entries if entry.state == "done"}
    left = [e for e in entries if e.state == "done" and e.command and e.undoes is None]
    return next((e for e in reversed(left) if e.number not in taken), None)


def settle(root: Path) -> list[str]:
    """每条命令开头做一次：退回没做完的改动，放回编辑器写进旧文件的字；返回要告诉人的话。

    别的 rizhi 正在写，或这里只能读，就留给下一次。
    """
    try:
        if not _has_state(root):
            return []
        with _locked(root, wait=False):
            return _settle(root)
    except BusyError:
        return []
    except StoreError as error:
        return [str(error)]
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return []
        raise


def touched(path: Path) -> bool:
    """两秒之内这个文件、或它所在的文件夹动过：编辑器可能正存到一半。"""
    return abs(time.time() - _look(path)[1][1]) < _RECENT


def read_stable(root: Path, path: Path, known: bytes | None = None) -> bytes | None:
    """读到不再变为止；没有这个文件返回 None。

    `known` 是上次写下的内容：原样未动就不必等；刚被改短、清空的，多半是编辑器正存到一半，
    等它写完，最多等到两秒没有人动。

    异常：一直在变，抛 ChangedError；不是普通文件、读不到，抛 OSError。
    """
    until = time.monotonic() + _PATIENCE
    data, stamp = _look(path)
    while data != known and abs(time.time() - stamp[1]) < _RECENT:
        if time.monotonic() > until:
            raise ChangedError(f"{name_in(root, path)} 一直有别的程序在写，稍后再试。")
        time.sleep(_PAUSE)
        before = data, stamp
        data, stamp = _look(path)
        if (data, stamp) == before and not _cut_short(data, known):
            break
    return data


@contextmanager
def watched() -> Iterator[Callable[[], bool]]:
    """给出一个函数：这段时间里经过这里的文件，是不是都还是原样（退回了的也是）。

    `.rizhi/` 里自己的记录不算。
    """
    before: dict[Path, tuple[bool, bytes | None]] = {}
    token = _seen.set(before)
    try:
        yield lambda: all(_now(path) == old for path, old in before.items())
    finally:
        _seen.reset(token)


def watch(path: Path) -> None:
    """这个文件要改了：记下它原来的样子；没有人在看、是 `.rizhi/` 里的，就什么也不做。"""
    before = _seen.get()
    if before is not None and path not in before and ".rizhi" not in path.parts:
        before[path] = _now(path)


def _now(path: Path) -> tuple[bool, bytes | None]:
    """在不在，与内容；读不到的、文件夹，内容是 None。"""
    try:
        return os.path.lexists(path), _content(path)
    except OSError:
        return True, None


# ---- 归工具所有的文件 ----


def create_new(path: Path, data: bytes) -> None:
    """新建一个文件；已经存在就什么也不做。

    没有硬链接的文件系统（exFAT、一些网络盘）上，先占住名字再换上内容：恰在两步之间被杀，
    留下的是一个空文件。

    异常：文件已在，抛 FileExistsError；写不成，抛 OSError，临时文件已清掉。
    """
    _make_folder(path.parent)
    with _temporary(path, data) as temporary:
        _link(temporary, path)


def replace(path: Path, data: bytes) -> bool:
    """写一个归工具所有的文件（记录、生成的页面）；内容没变就不写，返回是否写了。

    异常：写不成，抛 OSError，旧文件还在。
    """
    watch(path)
    return _replace(path, data)


def _replace(path: Path, data: bytes) -> bool:
    _make_folder(path.parent)
    if os.path.isfile(path) and _read(path) == data:
        return False
    with _temporary(path, data) as temporary:
        os.replace(temporary, path)
    return True


def remove(path: Path) -> None:
    """删掉一个归工具所有的文件。"""
    watch(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
    _sync_folder(path.parent)


def remove_empty(folder: Path) -> None:
    """删掉一个空了的文件夹；没有它、还有东西在里面，就不动。"""
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)
        _sync_folder(folder.parent)


def alive(process: int) -> bool:
    """这个进程还在不在；说不准就当它在。"""
    if process == os.getpid() or sys.platform == "win32":
        return True  # Windows 上 os.kill 会真的杀掉进程，问不得：那里的残留不扫
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # 在，是别人的
    return True


# ---- 一次改动：打算、执行、退回 ----


def _change(
    root: Path, command: str, steps: Sequence[Edit | Move], undoes: int | None = None
) -> Changed:
    entries = _recovered(root)
    _sweep_old(entries)
    paths: list[Path] = []
    for attempt in range(_ATTEMPTS):
        try:
            entry = _plan(root, entries, command, steps, undoes)
        except FileNotFoundError:  # 编辑器存盘时，会把旧文件改名拿走片刻
            edited = (step.path for step in steps if isinstance(step, Edit))
            if attempt == _ATTEMPTS - 1 or not any(map(touched, edited)):
                raise
            time.sleep(_PAUSE)
            continue
        if entry is None:
            return Changed(0, [])
        paths = [*(swap.path for swap in entry.swaps), *(target for _, target in entry.moves)]
        if _carry_out(entry):
            return Changed(entry.number, paths)
        entries = _entries(root)[0]
    names = "、".join(name_in(root, path) for path in paths[:3])
    raise ChangedError(f"{names} 一直有别的程序在写；已经退回，稍后再试。")


def _plan(
    root: Path,
    entries: Sequence[_Entry],
    command: str,
    steps: Sequence[Edit | Move],
    undoes: int | None,
) -> _Entry | None:
    """算好每个文件的新内容，写在一边，最后记下打算；没有要改的返回 None。"""
    known = {swap.path: swap.new for e in entries if e.state == "done" for swap in e.swaps}
    texts: dict[Path, tuple[bytes | None, bytes | None]] = {}
    for step in (step for step in steps if isinstance(step, Edit)):
        if os.path.lexists(step.path) and not os.path.exists(step.path):
            raise StoreError(f"{name_in(root, step.path)} 是断了的链接。请移走它。")
        path = _inside(root, step.path.resolve())  # 顺着符号链接改它指的文件，链接本身不动
        if path not in texts:
            texts[path] = (read_stable(root, path, known.get(path)),) * 2
        old, new = texts[path]
        texts[path] = old, step.change(new)
    moves = [
        (_inside(root, _located(step.source)), _inside(root, _located(step.target)))
        for step in steps
        if isinstance(step, Move)
    ]
    for _, target in moves:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "已存在", str(target))
    changed = [(path, old, new) for path, (old, new) in texts.items() if old != new]
    if not changed and not moves:
        return None
    log = state_folder(root, "undo")
    folder = log / f"{max(map(int, _numbered(log)), default=0) + 1:06}"
    swaps = tuple(
        _Swap(path, old, new, folder / str(k)) for k, (path, old, new) in enumerate(changed)
    )
    above = {parent for path, _, new in changed if new is not None for parent in path.parents}
    made = tuple(sorted(parent for parent in above if not os.path.lexists(parent)))
    entry = _Entry(folder, "unfinished", command, undoes, swaps, tuple(moves), made)
    _prepare(root, entry)
    return entry


def _prepare(root: Path, entry: _Entry) -> None:
    """新内容先落盘，再写打算：有打算的，就退得回去。"""
    _make_folder(entry.folder)
    try:
        for swap in entry.swaps:
            if swap.old is not None and swap.new is not None:
                _write(swap.kept, swap.new, like=swap.path)
        _sync_folder(entry.folder.parent)
        _replace(entry.folder / "unfinished.json", _logged(root, entry))
    except BaseException:
        _discard(entry.folder)
        raise


def _carry_out(entry: _Entry) -> bool:
    """照打算做；被别的程序打断就退回并返回 False。"""
    done = False
    try:
        for swap in entry.swaps:
            _apply(swap)
        for source, target in entry.moves:
            _move(source, target)
        if _undisturbed(entry):
            _mark(entry, "done")
            done = True
    except (ChangedError, FileExistsError, FileNotFoundError):
        pass  # 编辑器存盘时，会把旧文件改名拿走片刻
    finally:
        if not done:
            _revert(entry)
    return done


def _apply(swap: _Swap) -> None:
    watch(swap.path)
    if swap.old is None:
        create_new(swap.path, swap.new or b"")
    elif _content(swap.path) != swap.old:
        raise ChangedError(f"{swap.path} 读入之后又变了。")
    elif swap.new is None:
        _take_away(swap.path, swap.kept)
    else:
        _exchange(swap.kept, swap.path)
    _sync_folder(swap.path.parent)


def _undisturbed(entry: _Entry) -> bool:
    """换上之后再看一会儿：旧文件里没有人写，新文件也没有被旧内容盖掉。"""
    replaced = [swap for swap in entry.swaps if swap.old is not None]
    if replaced:
        time.sleep(_WATCH)
    if any(os.path.lexists(source) for source, _ in entry.moves):
        return True  # 编辑器按旧名又存了一份，搬不回去了：留给 `settle` 去说
    late = [swap for swap in replaced if _content(swap.kept) not in (None, swap.old)]
    now = [(swap, _content(_moved(swap.path, [entry]))) for swap in replaced]
    return not late and not any(_lost(swap, data) for swap, data in now)


def _revert(entry: _Entry, state: str = "reverted") -> None:
    """倒着做一遍，只退自己做过的：别人又改了的不碰。"""
    for source, target in reversed(entry.moves):
        if os.path.lexists(target) and not os.path.lexists(source):
            _move(target, source)
    for swap in reversed(entry.swaps):
        _put_back(swap)
    _remove_made(entry)
    _mark(entry, state)


def _remove_made(entry: _Entry) -> None:
    for folder in reversed(entry.folders):
        remove_empty(folder)


def _put_back(swap: _Swap) -> None:
    watch(swap.path)
    kept = _content(swap.kept)
    if kept is not None and os.path.exists(swap.path) and os.path.samefile(swap.kept, swap.path):
        os.unlink(swap.kept)  # 多挂了一个名字就断了，还没有换
    elif _text_of(swap.path) != swap.new or (swap.new is None and os.path.lexists(swap.path)):
        return
    elif swap.old is None:
        _take_away(swap.path, swap.kept)
    elif kept is None:  # 没有硬链接的文件系统：旧文件没有留下，内容还在打算里
        _rewrite(swap.path, swap.old)
    elif swap.new is None:
        _link(swap.kept, swap.path)
        with suppress(FileNotFoundError):
            os.unlink(swap.kept)
    elif kept != swap.new and not _renamed_both(swap.kept, swap.path):
        os.replace(swap.kept, swap.path)
    _sync_folder(swap.path.parent)


def _mark(entry: _Entry, state: str) -> None:
    for name in _STATES:
        with suppress(FileNotFoundError):
            os.rename(entry.folder / f"{name}.json", entry.folder / f"{state}.json")
    _sync_folder(entry.folder)


def _steps_back(root: Path, entry: _Entry) -> list[Edit | Move]:
    edits = [Edit(_moved(swap.path, [entry]), _back(root, entry, swap)) for swap in entry.swaps]
    for source, target in entry.moves:
        if os.path.lexists(source) or not os.path.lexists(target):
            raise UndoError(
                f"{name_in(root, target)} 已不在原处，或 {name_in(root, source)} 又有了，"
                f"退不回 rizhi {entry.command}。"
            )
    return [*edits, *(Move(target, source) for source, target in reversed(entry.moves))]


def _back(root: Path, entry: _Entry, swap: _Swap) -> Callable[[bytes | None], bytes | None]:
    def back(now: bytes | None) -> bytes | None:
        if now == swap.new:
            return swap.old
        before = swap.kept.with_suffix(".old")
        if swap.old is not None and _content(swap.kept) != swap.old:
            _replace(before, swap.old)
        elif not os.path.lexists(before):
            before = swap.kept
        where = f"那之前的在 {name_in(root, before)}" if swap.old is not None else "它是那时新建的"
        raise UndoError(
            f"{name_in(root, _moved(swap.path, [entry]))} 在 rizhi {entry.command} 之后又改过，"
            f"退回会盖掉后来的字。{where}，自己对照着改。"
        )

    return back


# ---- 每条命令开头的善后 ----


def _recovered(root: Path) -> list[_Entry]:
    """拿着锁：没做完的一定是被杀掉的，退回它。返回全部记录，从旧到新。"""
    return [_reverted(entry) for entry in _entries(root)[0]]


def _reverted(entry: _Entry) -> _Entry:
    if entry.state != "unfinished":
        return entry
    _revert(entry, "killed")
    return dataclasses.replace(entry, state="killed")


def _settle(root: Path) -> list[str]:
    old_log = root / ".rizhi" / "unfinished.json"
    entries, bad = _entries(root)
    if os.path.lexists(old_log):
        bad.append((old_log, "上一版没做完的改动"))
    said = [_set_aside(root, path, why) for path, why in bad]
    entries = [_reverted(entry) for entry in entries]
    for entry in entries:
        if entry.state == "killed":
            _mark(entry, "reverted")
            said.append(f"上次的 rizhi {entry.command} 中途断了，已经退回；后来又改过的页没有动。")
    put_back = [
        line
        for number, entry in enumerate(entries)
        for swap in entry.swaps
        for line in _rescue(root, entry, swap, entries[number:])
    ]
    return [*said, *put_back, *_overwritten(root, _recovered(root) if put_back else entries)]


def _rescue(root: Path, entry: _Entry, swap: _Swap, since: Sequence[_Entry]) -> list[str]:
    """编辑器早就打开了旧文件、后来才存的，字在旧文件里：放回页里，与现在的合在一起。"""
    seen = swap.kept.with_suffix(".seen")
    base = _content(seen) if os.path.lexists(seen) else swap.old
    late = read_stable(root, swap.kept, base) if os.path.lexists(swap.kept) else None
    if not late or late in (base, swap.new):
        return []
    path = _moved(swap.path, since)
    where = name_in(root, path)

    def joined(now: bytes | None) -> bytes:
        merged = late if now is None else merge_lines(base or b"", now, late)
        if merged is None:
            raise _ConflictError
        return merged

    try:
        changed = _change(root, "", [Edit(path, joined)]).paths
        said = f"编辑器把 {where} 存进了被换下的旧文件；那些字已经放回页里，与现在的合在一起。"
    except (_ConflictError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_FILE:
            raise
        changed = [_free_name(state_folder(root, "aside"), path.name)]
        _replace(changed[0], late)
        said = (
            f"编辑器在 rizhi {entry.command} 之后存的字，与 {where} 现在的对不上：页没有动，"
            f"编辑器存的在 {name_in(root, changed[0])}。自己合并。"
        )
    _replace(seen, late)
    return [said] if changed else []


def _overwritten(root: Path, entries: Sequence[_Entry]) -> list[str]:
    """编辑器把先前打开的旧内容整个存回来，盖掉了 rizhi 的改动：从新到旧说出盖掉的几条。"""
    said: list[str] = []
    whole: set[Path] = set()
    done = [entry for entry in entries if entry.state == "done"]
    taken = {entry.undoes for entry in done}
    for number, entry in reversed(list(enumerate(done))):
        if entry.number in taken:
            continue
        told = os.path.lexists(entry.folder / "told")
        # 后来的命令又搬到、写到旧名上的，不是编辑器存的
        since = done[number + 1 :]
        known = {target for later in since for _, target in later.moves}
        known |= {s.path for later in since for s in later.swaps if s.new is not None}
        again = [a for a, _ in entry.moves if os.path.lexists(a) and a not in known]
        gone: dict[Path, _Swap] = {}
        for swap in entry.swaps:
            path = _moved(swap.path, done[number:])
            if path not in whole and not told and _lost(swap, _text_of(path)):
                gone[path] = swap
            else:
                whole.add(path)
        if (gone or again) and not told:
            _replace(entry.folder / "told", b"")
            said += [_lost_line(root, entry, *lost) for lost in gone.items() if entry.command]
            said += [
                f"rizhi {entry.command} 之后，又有了 {name_in(root, path)}：编辑器按旧名存了盘。"
                "把它的字并进改名后的那一页，再删掉它。"
                for path in again
                if entry.command
            ]
    return said


def _lost_line(root: Path, entry: _Entry, path: Path, swap: _Swap) -> str:
    lines = "；".join(line.decode("utf-8", "replace").strip() for line in _added(swap))
    return (
        f"{name_in(root, path)} 里没有了 rizhi {entry.command} 的改动："
        f"编辑器把先前打开的旧内容存了回来，或是你删了它。少的是「{lines}」；要它就再运行一次。"
    )


def _added(swap: _Swap) -> list[bytes]:
    """这次改动添上或改成的行。"""
    old, new = Counter(_lines(swap.old)), _lines(swap.new)
    return [line for line in dict.fromkeys(new) if line.strip() and new.count(line) > old[line]]


def _lost(swap: _Swap, now: bytes | None) -> bool:
    """改成的行一行也不在了，也没有哪一行像是由它改来的。"""
    if now is None or now == swap.new or swap.old is None or swap.new is None:
        return False
    added, old, lines = _added(swap), Counter(_lines(swap.old)), Counter(_lines(now))
    if not added or any(lines[line] > old[line] for line in added):
        return False
    before = {line for line in old if old[line] > Counter(_lines(swap.new))[line] and line.strip()}
    if any(lines[line] >= old[line] for line in before):
        return True
    from difflib import get_close_matches  # 两处都少用到，不让每条命令等它载入

    fresh = [line.decode("utf-8", "replace") for line in lines if lines[line] > old[line]]
    words = (line.decode("utf-8", "replace") for line in added)
    return not any(get_close_matches(line, fresh, 1, 0.6) for line in words)


def merge_lines(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """两份由 `base` 改来的内容按行合在一起；同一行改得不一样，返回 None。

    两边在同一处添行，`theirs` 的在前。
    """
    lines = _lines(base)
    parts: list[bytes] = []
    at = 0
    hunks = sorted([*_hunks(lines, _lines(theirs), 0), *_hunks(lines, _lines(ours), 1)])
    last: tuple[int, int, int, list[bytes]] | None = None
    for start, end, side, new in hunks:
        if last == (start, end, 1 - side, new):
            continue
        if start < at:
            return None
        parts += [*lines[at:start], *new]
        at, last = end, (start, end, side, new)
    return b"".join([*parts, *lines[at:]])


def _hunks(
    base: list[bytes], other: list[bytes], side: int
) -> Iterator[tuple[int, int, int, list[bytes]]]:
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, base, other, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            yield a, b, side, other[c:d]


def _lines(data: bytes | None) -> list[bytes]:
    return (data or b"").splitlines(keepends=True)


def _moved(path: Path, entries: Iterable[_Entry]) -> Path:
    """一个路径经过这几次改动之后在哪里；退回了的不算。"""
    counted = (entry for entry in entries if entry.state in ("unfinished", "done"))
    for source, target in (move for entry in counted for move in entry.moves):
        if path == source or source in path.parents:
            path = target / path.relative_to(source)
    return path


# ---- `.rizhi/` ----


def _has_state(root: Path) -> bool:
    if not os.path.lexists(root / ".rizhi"):
        return False
    log = state_folder(root, "undo")
    return os.path.lexists(root / ".rizhi/unfinished.json") or bool(os.listdir(log))


def state_folder(root: Path, name: str = "") -> Path:
    """`.rizhi/`，或其中名叫 `name` 的文件夹；没有就建。

    异常：是链接、是文件、是别人的，抛 StoreError。
    """
    for path in dict.fromkeys((root / ".rizhi", root / ".rizhi" / name)):
        if not os.path.lexists(path):
            _make_folder(path)
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            what = "是链接" if stat.S_ISLNK(status.st_mode) else "不是文件夹"
            raise StoreError(
                f"{name_in(root, path)} {what}，没有用它；请移走它，rizhi 会自己重建。"
            )
        if not _ours(root, status):
            raise StoreError(f"{name_in(root, path)} 是别人的，没有用它；请移走它或改它的所有者。")
    return root / ".rizhi" / name


def _numbered(log: Path) -> list[str]:
    """一次次改动的文件夹的名字。"""
    return sorted(filter(_NUMBER.fullmatch, os.listdir(log)))


def _ours(root: Path, status: os.stat_result) -> bool:
    """自己的，或与知识库同一个所有者的（用 sudo 运行时）。"""
    return sys.platform == "win32" or status.st_uid in (os.geteuid(), os.stat(root).st_uid)


def _entries(root: Path) -> tuple[list[_Entry], list[tuple[Path, str]]]:
    """读得懂的记录，从旧到新；读不懂的与原因。没写下打算就断了的，没有动过任何文件，扫掉。"""
    entries: list[_Entry] = []
    bad: list[tuple[Path, str]] = []
    log = state_folder(root, "undo")
    for path in (log / name for name in _numbered(log)):
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise ValueError("不是文件夹")
            states = [state for state in _STATES if os.path.lexists(path / f"{state}.json")]
            if states:
                entries.append(_loaded(root, path, states[0]))
            else:
                _discard(path)
        except _OutsideError:
            bad.append((path, "里有知识库之外的路径"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            bad.append((path, str(error) if type(error) is ValueError else "内容认不出"))
        except OSError as error:
            if error.errno not in _DAMAGED:
                raise
            bad.append((path, "读不出来"))
    return sorted(entries, key=lambda entry: entry.number), bad


def _loaded(root: Path, folder: Path, state: str) -> _Entry:
    """一份记录；路径只许相对，且在知识库之内。

    异常：认不出、所有者不对，抛 ValueError 等。
    """
    log = folder / f"{state}.json"
    if not all(stat.S_ISREG(os.lstat(folder / name).st_mode) for name in os.listdir(folder)):
        raise ValueError("里有不是普通文件的东西")
    if not all(_ours(root, os.lstat(path)) for path in (folder, log)):
        raise ValueError("所有者是别人")
    data = json.loads(_read(log, _NO_FOLLOW).decode("utf-8", "surrogatepass"))
    if data["version"] != _VERSION or not isinstance(data["command"], str):
        raise ValueError("版本不对")
    swaps = tuple(
        _Swap(_logged_path(root, path), _bytes(old), _bytes(new), folder / str(k))
        for k, (path, old, new) in enumerate(data["edits"])
    )
    moves = tuple((_logged_path(root, a), _logged_path(root, b)) for a, b in data["moves"])
    undoes = None if data["undoes"] is None else int(data["undoes"])
    folders = tuple(_logged_path(root, name) for name in data.get("folders", ()))
    return _Entry(folder, state, data["command"], undoes, swaps, moves, folders)


def _logged(root: Path, entry: _Entry) -> bytes:
    data = {
        "version": _VERSION,
        "command": entry.command,
        "undoes": entry.undoes,
        "edits": [[name_in(root, s.path), _text(s.old), _text(s.new)] for s in entry.swaps],
        "moves": [[name_in(root, a), name_in(root, b)] for a, b in entry.moves],
        "folders": [name_in(root, folder) for folder in entry.folders],
    }
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogateescape")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _logged_path(root: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    odd = r"\0|[\\:]" if sys.platform == "win32" else r"\0"
    if not parts or parts[0] == "/" or any(_DOTTED.match(p) or re.search(odd, p) for p in parts):
        raise _OutsideError(name)
    return _inside(root, root.joinpath(*parts))


def _located(path: Path) -> Path:
    """所在的文件夹顺着链接找到底，最后的名字不动：搬的是链接本身。"""
    return path.parent.resolve() / path.name


def _inside(root: Path, path: Path) -> Path:
    """路径须在知识库之内，顺着链接看也是；名字以点开头的不是页面。"""
    real = path.resolve()
    inside = path.is_relative_to(root) and real.is_relative_to(root)
    parts = real.relative_to(root).parts if inside else ()
    if not inside or any(map(_DOTTED.match, parts)):
        raise _OutsideError(f"{name_in(root, path)} 在知识库之外，或名字以点开头。")
    return path


def _set_aside(root: Path, path: Path, why: str) -> str:
    target = _free_name(state_folder(root, "aside"), path.name)
    try:
        os.rename(path, target)
    except OSError:
        return f"{name_in(root, path)} {why}，没有理它，也移不走；请自己删掉它。"
    return f"{name_in(root, path)} {why}，没有照它改动任何文件；移到了 {name_in(root, target)}。"


def _free_name(folder: Path, name: str) -> Path:
    names = (folder / f"{k}-{name}" for k in count(1))
    return next(path for path in names if not os.path.lexists(path))


def _sweep_old(entries: Sequence[_Entry]) -> None:
    """旧文件至多留五十次改动的、共 16 MiB 的记录；最近一次总是留着。"""
    size = 0
    for nth, entry in enumerate(reversed(entries), 1):
        size += os.stat(entry.folder / f"{entry.state}.json").st_size
        if nth > 1 and (nth > _KEPT_CHANGES or size > _KEPT_BYTES):
            _discard(entry.folder)


def _discard(folder: Path) -> None:
    """先删打算，再删其余：中途断了，剩下的下次也认得出是废弃的。"""
    names = sorted(os.listdir(folder), key=lambda name: not name.endswith(".json"))
    for name in names:
        os.unlink(folder / name)
    os.rmdir(folder)


# ---- 单个文件 ----


def _exchange(kept: Path, path: Path) -> None:
    """`kept` 里的新内容换到 `path` 上，旧文件换到 `kept`。"""
    if _renamed_both(kept, path):
        return
    with _temporary(path, _read(kept), like=path) as temporary:
        os.unlink(kept)
        try:
            os.link(path, kept)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
        os.replace(temporary, path)


def _renamed_both(kept: Path, path: Path) -> bool:
    """两个名字一步对调；系统或文件系统没有这个调用（现在只有 Linux 有），返回 False。

    先挂名字再换上新文件也行，但两步之间编辑器若恰好改名存盘，它的新文件就没有名字了。
    """
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(-100, os.fsencode(kept), -100, os.fsencode(path), 2) == 0:  # AT_FDCWD、RENAME_EXCHANGE
        return True
    code = ctypes.get_errno()
    if code in _ELSEWHERE:
        return False
    raise OSError(code, os.strerror(code), str(path))


def _take_away(path: Path, kept: Path) -> None:
    try:
        os.rename(path, kept)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.unlink(path)


def _rewrite(path: Path, data: bytes) -> None:
    if os.path.lexists(path):
        with _temporary(path, data, like=path) as temporary:
            os.replace(temporary, path)
    else:
        create_new(path, data)


def _move(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "已存在", str(target))
    watch(source)
    watch(target)
    os.rename(source, target)
    _sync_folder(source.parent)
    _sync_folder(target.parent)


@contextmanager
def _temporary(path: Path, data: bytes, like: Path | None = None) -> Iterator[Path]:
    """同一文件夹里的临时文件，内容已经落盘；无论成败都不留下它。"""
    _sweep(path.parent)
    name = f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.rizhi-tmp"
    temporary = path.parent / name
    try:
        _write(temporary, data, like)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        _sync_folder(path.parent)


def _write(path: Path, data: bytes, like: Path | None) -> None:
    """写一个新文件并落盘；权限、所有者、扩展属性照 `like`，没有 `like` 就是新文件的。"""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if like is None:
        _give(path)
    else:
        _dress(path, like)


def _dress(path: Path, like: Path) -> None:
    """改不了的所有者与属性就不改：一个人的电脑上本来就相同。"""
    status = os.stat(like)
    if sys.platform != "win32":
        for uid, gid in ((-1, status.st_gid), (status.st_uid, -1)):
            with suppress(PermissionError):
                os.chown(path, uid, gid)
    os.chmod(path, stat.S_IMODE(status.st_mode))
    if sys.platform == "linux":
        try:
            for name in os.listxattr(like):
                os.setxattr(path, name, os.getxattr(like, name))
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTES:
                raise


def _give(path: Path) -> None:
    """用 sudo 运行时，新建的归文件夹的主人，不归 root。"""
    if sys.platform != "win32" and os.geteuid() == 0:
        parent = os.stat(path.parent)
        os.chown(path, parent.st_uid, parent.st_gid)


def _make_folder(folder: Path) -> None:
    """异常：有一级是文件，抛 NotADirectoryError。"""
    if os.path.isdir(folder):
        return
    if os.path.lexists(folder):
        raise NotADirectoryError(errno.ENOTDIR, "不是文件夹", str(folder))
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        os.mkdir(folder)
        _give(folder)


def _look(path: Path) -> tuple[bytes | None, tuple[int, float]]:
    """内容、编号与时间；没有这个文件，时间是文件夹的：编辑器可能刚把它改名拿走。"""
    data = _content(path)
    try:
        status = os.stat(path if data is not None else path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return None, (0, 0.0)
    return data, (status.st_ino if data is not None else 0, status.st_mtime)


def _cut_short(data: bytes | None, known: bytes | None) -> bool:
    return data is not None and len(data) < max(len(known or b""), 1)


def _content(path: Path) -> bytes | None:
    """没有这个文件返回 None。"""
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _text_of(path: Path) -> bytes | None:
    """一页现在的内容；没有，或换成了文件夹、管道之类，返回 None。"""
    try:
        return _content(path)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None


def _read(path: Path, flags: int = 0) -> bytes:
    """只读普通文件：管道会等不到头，/dev/zero 读不完。"""
    handle = os.open(path, os.O_RDONLY | _FLAGS | flags)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "是文件夹", str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "不是普通文件", str(path))
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
        if error.errno not in _UNSUPPORTED:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # 先占住名字
        try:
            os.replace(temporary, path)
        except OSError:
            os.unlink(path)
            raise


def _sweep(folder: Path) -> None:
    for name in os.listdir(folder):
        leftover = _LEFTOVER.fullmatch(name)
        if leftover and not alive(int(leftover[1])):
            with suppress(FileNotFoundError):
                os.unlink(folder / name)


@contextmanager
def _locked(root: Path, wait: bool = True) -> Iterator[None]:
    """一个知识库一次只许一个 rizhi 改；锁随进程消失，所以拿到锁就知道没有别人做到一半。

    Windows 上用 msvcrt.locking，语义相同，没有在那里试过。
    """
    path = state_folder(root) / "lock"
    until = time.monotonic() + (_LOCK_SECONDS if wait else 0)
    while True:
        handle = _open_lock(root, path)
        try:
            # 等锁的时候，锁文件可能被删掉重建过
            if _try_lock(handle) and _is_file(handle, path):
                yield
                return
        finally:
            os.close(handle)
        if time.monotonic() > until:
            raise BusyError("另一个 rizhi 正在写这个知识库。稍后再试。")
        time.sleep(0.01)


def _open_lock(root: Path, path: Path) -> int:
    fresh = not os.path.lexists(path)
    if not fresh and not stat.S_ISREG(os.lstat(path).st_mode):
        raise StoreError(f"{name_in(root, path)} 不是普通文件；请删掉它。")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS | _NO_FOLLOW, 0o666)
    if fresh:
        _give(path)
    return handle


def _is_file(handle: int, path: Path) -> bool:
    return os.path.lexists(path) and os.path.samestat(os.fstat(handle), os.stat(path))


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
