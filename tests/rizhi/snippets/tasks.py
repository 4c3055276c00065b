"""在子进程里跑的几个函数：要由名字导入得到，所以不写在测试里。"""

import os
from collections.abc import Callable
from pathlib import Path

Send = Callable[[bytes], None]


def counts(send: Send, most: int) -> None:
    for number in range(most):
        send(str(number).encode())


def dies(send: Send) -> None:
    send(b"before")
    os._exit(3)


def fails(send: Send) -> None:
    raise ValueError("自己的错")


def loops(send: Send) -> None:
    while True:
        pass


def writes(send: Send, path: Path) -> None:
    try:
        path.write_text("x")
    except PermissionError as error:
        send(str(error).encode())
