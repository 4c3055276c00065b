"""各个基准共用：轮流跑两边，报告每轮比值的中位数与四分位，写下 JSON。"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Ratio:
    """每轮「我方 ÷ 对方」的中位数与四分位；不超过 `target` 算达标。"""

    name: str
    median: float
    low: float
    high: float
    ours: float
    theirs: float
    rounds: int
    target: float

    @property
    def met(self) -> bool:
        return self.median <= self.target

    def __str__(self) -> str:
        verdict = "达标" if self.met else "未达标"
        return (
            f"{self.name}：比值 {self.median:.3f}（四分位 {self.low:.3f}–{self.high:.3f}，"
            f"{self.rounds} 轮）  我方 {self.ours:.2f}  对方 {self.theirs:.2f}  "
            f"目标 ≤ {self.target:g} {verdict}"
        )


@dataclass(frozen=True)
class Number:
    """直接量出来的一个数，不与谁比；不超过 `target` 算达标。"""

    name: str
    value: float
    target: float

    @property
    def met(self) -> bool:
        return self.value <= self.target

    def __str__(self) -> str:
        verdict = "达标" if self.met else "未达标"
        return f"{self.name}：{self.value:.3g}  目标 ≤ {self.target:g} {verdict}"


def ratio(name: str, target: float, ours: list[float], theirs: list[float]) -> Ratio:
    """由两边各轮的数算出比值。"""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
    medians = statistics.median(ours), statistics.median(theirs)
    return Ratio(name, middle, low, high, *medians, len(each), target)


def interleave(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[list[float], list[float]]:
    """轮流跑，次序每轮对调：机器忽快忽慢时，同一轮的两边受到同样的影响。"""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        for side in order:
            found[side].append((ours, theirs)[side]())
        print(f"  第 {number + 1}/{rounds} 轮：{found[0][-1]:.2f}，{found[1][-1]:.2f}", flush=True)
    return found


def report(name: str, results: Iterable[Ratio | Number]) -> int:
    """印表、写 JSON，返回未达标的项数。"""
    listed = list(results)
    for result in listed:
        print(result, flush=True)
    RESULTS.mkdir(exist_ok=True)
    body = {"python": sys.version.split()[0], "比较": [asdict(result) for result in listed]}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(body, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return sum(not result.met for result in listed)
