"""子进程里的防护：防意外，不是沙盒。"""

import os
from pathlib import Path
from typing import Any


def guard(folder: Path) -> Any:
    """片段只许在自己的临时文件夹里写，不许上网，不许另开进程；钩子装上就摘不下来。"""

    def inside(target: Any) -> bool:
        if isinstance(target, int) or str(target) == os.devnull:
            return True
        path = Path(os.fsdecode(target)).resolve()
        return path == folder or path.is_relative_to(folder)

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket.") and event != "socket.gethostname":
            raise PermissionError("片段不许上网：把要用的数据写进片段。")
        if event in ("subprocess.Popen", "os.system", "os.fork", "os.exec", "os.posix_spawn"):
            raise PermissionError("片段不许另开进程。")
        if event == "open" and _writes(arguments) and not inside(arguments[0]):
            raise PermissionError(f"片段不许写到自己的临时文件夹之外：{arguments[0]}")
        if event in _CHANGES and not all(map(inside, arguments[: _CHANGES[event]])):
            raise PermissionError(f"片段不许改动自己的临时文件夹之外：{arguments[0]}")

    return check


# 改动文件系统的审计事件，与其中路径参数的个数
_CHANGES = {
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.utime": 1,
}


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
