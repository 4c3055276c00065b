"""依次运行本文件夹的每个 bench_*.py：`python -m benchmarks [名字…] [--rounds N]`。

每个脚本自成一程：轮流跑我方与所比的一方，报告中位数与比值；结果另存为
`benchmarks/results/*.json`，连同这台机器上各个库的版本。机器有噪声，绝对数字不作结论。
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import machine

HERE = Path(__file__).parent
# 每个基准要 pyproject.toml 里哪几组可选依赖
NEEDS: dict[str, tuple[str, ...]] = {
    "drills": ("llm", "test"),
    "journal": (),
    "llm": ("llm",),
    "paint": ("site", "test"),
    "run": ("site", "llm", "test"),
    "serve": ("site", "llm"),
    "site": ("site",),
    "snippets": ("llm", "bench"),
    "train": ("llm", "test"),
    "web": ("site",),
}


def main(arguments: list[str]) -> int:
    """运行点名的（没有点名则全部）基准，返回没有跑完或没有达标的个数。"""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "names", nargs="*", metavar="名字", help=f"{'、'.join(NEEDS)}；不写就是全部"
    )
    parser.add_argument("--rounds", metavar="N", help="每项轮数")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in NEEDS]
    if unknown:
        print(f"没有名为 {'、'.join(unknown)} 的基准；现有：{'、'.join(NEEDS)}。", file=sys.stderr)
        return 2
    options = ["--rounds", asked.rounds] if asked.rounds else []
    failed = [name for name in asked.names or NEEDS if not run(name, options)]
    if failed:
        print(f"\n未完成或未达标：{'、'.join(failed)}", file=sys.stderr)
    return len(failed)


def run(name: str, options: list[str]) -> bool:
    """跑一个基准；要的包没有装就说装什么，不跑。"""
    print(f"\n== {name} ==", flush=True)
    if absent := machine.missing(*NEEDS[name]):
        print(f"没有跑：缺 {'、'.join(absent)}。{remedy(name)}", file=sys.stderr)
        return False
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", *options]
    return subprocess.run(command, cwd=HERE.parent).returncode == 0


def remedy(name: str) -> str:
    extras = f"[{','.join(NEEDS[name])}]" if NEEDS[name] else ""
    return f'先 make bench，或 python -m pip install -c constraints.txt -e ".{extras}"。'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
