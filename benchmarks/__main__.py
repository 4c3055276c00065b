"""依次运行本文件夹的每个 bench_*.py：`python -m benchmarks [名字…]`。

每个脚本自成一程：轮流跑我方与所比的一方，报告中位数与比值；结果另存为
`benchmarks/results/*.json`。机器有噪声，绝对数字不作结论。
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """运行点名的（没有点名则全部）基准，返回失败的个数。"""
    scripts = sorted(HERE.glob("bench_*.py"))
    chosen = [s for s in scripts if not names or s.stem.removeprefix("bench_") in names]
    if not chosen:
        known = "、".join(s.stem.removeprefix("bench_") for s in scripts)
        print(f"没有名为 {' '.join(names)} 的基准；现有：{known}", file=sys.stderr)
        return 2
    failed = []
    for script in chosen:
        print(f"\n== {script.name} ==", flush=True)
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.{script.stem}"], cwd=HERE.parent
        ).returncode:
            failed.append(script.name)
    if failed:
        print(f"\n未完成或未达标：{'、'.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
