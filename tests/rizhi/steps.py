"""数一件事调用了多少次函数：比钟表可靠，机器忙不忙都一样。"""

import sys
from collections.abc import Callable


def steps(action: Callable[[], object]) -> int:
    """`action` 里 Python 与 C 函数调用的次数。"""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def assert_linear(run: Callable[[int], int], size: int = 400) -> None:
    """`run(n)` 给出规模 n 的步数：规模加倍，步数至多加倍多一点。"""
    few, many = run(size), run(2 * size)
    assert many <= 2.6 * few + 500, f"{size} 时 {few} 步，{2 * size} 时 {many} 步"
