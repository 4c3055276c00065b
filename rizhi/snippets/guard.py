"""子进程里的防护与上限：防意外，不是沙盒。

防护是 Python 的审计钩子，看得见的只有经过解释器的事：C++ 与 Rust 自己写盘（torch.save、
safetensors、SQLite 的 ATTACH）没有事件，os.mkfifo 与 os.mknod 也没有。
"""

import errno
import io
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

DATA_BYTES = 4 << 30  # 比刚开始时多出来的内存
FILE_BYTES = 64 << 20
_GRACE_SECONDS = 5.0

_Rule = Callable[[tuple[Any, ...]], None]
_PROCESS = (
    '片段不许另开进程：DataLoader 写 num_workers=0，torch.compile 写 backend="eager"，'
    "别的换成在这个进程里算。"
)
_INPUT = "片段运行时没有人打字：把 input() 与读 sys.stdin 的换成一个值，断点去掉。"
_NETWORK = "片段不许上网：把要用的数据写进片段。"
_FORBIDDEN = {
    **dict.fromkeys(
        (
            "os.exec",
            "os.fork",
            "os.forkpty",
            "os.posix_spawn",
            "os.spawn",
            "os.startfile",
            "os.system",
            "pty.spawn",
            "subprocess.Popen",
            "webbrowser.open",
        ),
        _PROCESS,
    ),
    **dict.fromkeys(
        (
            "socket.bind",
            "socket.connect",
            "socket.getaddrinfo",
            "socket.gethostbyaddr",
            "socket.gethostbyname",
            "socket.getnameinfo",
            "socket.sendmsg",
            "socket.sendto",
            "socket.sethostname",
        ),
        _NETWORK,
    ),
    "builtins.breakpoint": "片段里不能停下来调试：删掉 breakpoint()。",
    "builtins.input": _INPUT,
    "os.killpg": "片段不许给别的进程发信号。",
    "syslog.syslog": "片段不许写系统日志：用 print。",
}
# 改动文件系统的审计事件：各个路径，与它的 dir_fd，在参数里的位置
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.chflags": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.removexattr": ((0, None),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.setxattr": ((0, None),),
    "os.symlink": ((0, None), (1, 2)),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
    "shutil.rmtree": ((0, 1),),
}


def settle_in(folder: str) -> None:
    """家目录与放临时文件的地方都是片段自己的文件夹：要先于库的载入，它们载入时就读。"""
    names = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")
    os.environ |= dict.fromkeys(names, folder)
    tempfile.tempdir = None  # forkserver 里也许已经算过


def install(folder: Path, seconds: float) -> None:
    """片段只许在自己的临时文件夹里写，不许上网，不许另开进程；钩子装上就摘不下来。

    单位：`seconds` 是秒，整个文件的时限。
    """
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_NoInput()))
    sys.addaudithook(guard(folder))
    # spawn 与 forkserver 的子进程不经过审计事件
    BaseProcess.start = _start  # type: ignore[assignment, method-assign]
    _limit(seconds)


class _NoInput(io.RawIOBase):
    """没有人打字的标准输入：不当它是空的，读它就说清。"""

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> NoReturn:
        raise PermissionError(_INPUT)


def guard(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    """审计钩子；事件极多（每次 id() 也是一个），不管的只查一次表。"""
    rules = _rules(folder)

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if rule := rules.get(event):
            rule(arguments)

    return check


def over_limit(error: BaseException) -> str:
    """超过内存或文件大小的上限时该说的一句话；不是这回事就是空串。"""
    if isinstance(error, MemoryError) or str(error).endswith(_NO_MEMORY):
        return f"内存不够：片段最多用 {DATA_BYTES >> 30} GiB，把规模改小。"
    # C++ 与 Rust 写盘各有各的说法，那个信号是一样的
    if wrote_too_much() or (isinstance(error, OSError) and error.errno == errno.EFBIG):
        return f"写的文件太大：片段里一个文件最多 {FILE_BYTES >> 20} MiB。"
    return ""


def wrote_too_much() -> bool:
    """有没有哪次写到了文件大小的上限；缓冲区冲刷时的错误，Python 也许没有抛出来。"""
    return _resource() is not None and signal.SIGXFSZ in signal.sigpending()


def relax() -> None:
    """放开内存的上限：内存用完的那一格要说清出错的地方，也要一点内存。"""
    if resource := _resource():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _rules(folder: Path) -> dict[str, _Rule]:
    def inside(target: Any, dir_fd: int | None = None) -> bool:
        if isinstance(target, int) or str(target) == os.devnull:
            return True
        # 外面的文件夹打不开，给了 dir_fd 就是里面的
        path = Path("" if dir_fd in (None, -1) else folder, os.fsdecode(target)).resolve()
        return path == folder or path.is_relative_to(folder)

    def opened(arguments: tuple[Any, ...]) -> None:
        path, mode, _ = arguments
        if _writes(arguments) and not inside(path):
            raise PermissionError(f"片段不许写到自己的临时文件夹之外：{path}")
        # 只有 os.open 没有 mode；它的 dir_fd 不在参数里，所以外面的文件夹根本不许打开
        if mode is None and not inside(path) and Path(os.fsdecode(path)).is_dir():
            raise PermissionError(f"片段不许打开自己的临时文件夹之外的文件夹：{path}")

    def connected(arguments: tuple[Any, ...]) -> None:
        name = os.fsdecode(arguments[0]).removeprefix("file:").partition("?")[0]
        if name not in ("", ":memory:") and not inside(name):
            raise PermissionError(f"片段不许用自己的临时文件夹之外的数据库：{name}")

    def changed(places: tuple[tuple[int, int | None], ...]) -> _Rule:
        def check(arguments: tuple[Any, ...]) -> None:
            for at, fd_at in places:
                if not inside(arguments[at], None if fd_at is None else arguments[fd_at]):
                    raise PermissionError(f"片段不许改动自己的临时文件夹之外：{arguments[at]}")

        return check

    return {
        **{event: _forbid(message) for event, message in _FORBIDDEN.items()},
        **{event: changed(places) for event, places in _CHANGES.items()},
        "open": opened,
        "sqlite3.connect": connected,
        "socket.__new__": _socket,
        "os.kill": _kill,
        "ctypes.dlopen": _ctypes,
        "ctypes.dlsym": _ctypes,
    }


def _forbid(message: str) -> _Rule:
    def refuse(_: tuple[Any, ...]) -> NoReturn:
        raise PermissionError(message)

    return refuse


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _socket(arguments: tuple[Any, ...]) -> None:
    """本机里的一对管道可以有：asyncio 的事件循环要用。"""
    import socket

    if arguments[1] != getattr(socket, "AF_UNIX", None):
        raise PermissionError(_NETWORK)


def _kill(arguments: tuple[Any, ...]) -> None:
    if arguments[0] != os.getpid():
        raise PermissionError(_FORBIDDEN["os.killpg"])


def _ctypes(_: tuple[Any, ...]) -> None:
    """库可以用 ctypes 载入自己的 C 函数（numpy、torch 都这样），片段与源码包不行。"""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((__file__, _CTYPES)):
        frame = frame.f_back
    name = frame.f_code.co_filename
    if not name.startswith(("<frozen", _STDLIB)) and "-packages" not in name:
        raise PermissionError("片段不许用 ctypes 调用 C 函数：那里防不住意外。")


# torch 与 threading 的说法
_NO_MEMORY = ("(Cannot allocate memory)", "can't start new thread")
_STDLIB = f"{Path(os.__file__).parent}{os.sep}"
_CTYPES = f"{_STDLIB}ctypes{os.sep}"


def _start(_: BaseProcess) -> None:
    raise PermissionError(_PROCESS)


def _limit(seconds: float) -> None:
    """内存、文件大小与时间的上限，平台有哪样就设哪样。"""
    resource = _resource()
    if resource is None:
        return
    limits = {resource.RLIMIT_FSIZE: FILE_BYTES}
    if data := _data_bytes():
        limits[resource.RLIMIT_DATA] = data + DATA_BYTES
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (soft, hard))
    # 解释器本来就不理这个信号；挡住它，写到上限就还查得到
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXFSZ})
    # 命令自己计时；它若先死了，闹钟到了就结束，占着 GIL 的 C 循环也一样。不用 RLIMIT_CPU：
    # 设了它，Linux 上 process_time() 只准到 4 毫秒，给代码计时的课就不对了
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)


def _resource() -> Any:
    """标准库的 resource；Windows 没有，是 None。"""
    try:
        import resource
    except ImportError:
        return None
    return resource


def _data_bytes() -> int:
    """这个进程现在的数据段；只有 Linux 说得出，也只有它管得住。"""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[5]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
