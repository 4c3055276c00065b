"""各个基准共用：轮流跑两边，报告每轮比值的中位数与四分位，写下 JSON。"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import machine

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


def rounds(default: int) -> int:
    """命令行的 `--rounds N`；没有写就是 `default`。"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=default, help="每项轮数")
    return int(parser.parse_args().rounds)


def quartiles(values: list[float]) -> list[float]:
    """四分位；只有一个数时三个都是它。"""
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def ratio(name: str, target: float, ours: list[float], theirs: list[float]) -> Ratio:
    """由两边各轮的数算出比值。"""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = quartiles(each)
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
    save(name, {"比较": [asdict(result) for result in listed]})
    return sum(not result.met for result in listed)


def save(name: str, results: dict[str, object]) -> None:
    """结果连同这台机器的环境印出并写下。"""
    here = machine.environment()
    print(machine.described(here), flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"环境": here, **results}, ensure_ascii=False, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
