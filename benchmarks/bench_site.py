"""冷的严格构建：我方，与同样的页面、同样的主题和插件而没有我们的东西，轮流各建几遍。

python -m benchmarks site
"""

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import compare, peers

ROUNDS = 7
TARGET = 1.3


def build(root: Path) -> float:
    """冷建一遍，返回用去的 CPU 秒数。"""
    before = _spent()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(root / "site")]
    # 缓存与上一次的产物都删掉，才是冷的
    for name in ("site", ".cache", ".rizhi"):
        shutil.rmtree(root / name, ignore_errors=True)
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return _spent() - before


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = peers.ours(Path(folder) / "ours"), peers.bare(Path(folder) / "bare")
        times = compare.interleave(lambda: build(ours), lambda: build(bare), rounds)
    return compare.report("site", [compare.ratio("冷的严格构建（CPU 秒）", TARGET, *times)])


if __name__ == "__main__":
    sys.exit(main())
