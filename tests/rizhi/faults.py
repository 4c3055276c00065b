"""故障注入：让一个模块里的第 n 个系统调用失败，或在那一刻被杀掉。"""

import os
import signal
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

SKIPPED = {"getpid", "geteuid", "fspath", "fsencode", "strerror"}  # 不会失败的


class Counted:
    """代替 `store.os`：数调用，第 `nth` 次之前先执行 `fault`。"""

    def __init__(self, real: ModuleType, nth: int, fault: Callable[[], None]) -> None:
        self._real, self._nth, self._fault = real, nth, fault
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found) or isinstance(found, type) or name in SKIPPED:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 == self._nth:
                if name == "close":  # 描述符关掉了，只是报错
                    found(*args)
                self._fault()
            return found(*args, **kwargs)

        return call


def fork(action: Callable[[], None]) -> int:
    """在子进程里执行，返回进程号；子进程绝不回到 pytest。"""
    with warnings.catch_warnings():
        # 会话里可能有别的测试留下的线程；子进程只写文件，随即退出
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """等子进程结束，返回 `waitpid` 的状态。"""
    return os.waitpid(child, 0)[1]


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
