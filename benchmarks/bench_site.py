"""冷的严格构建：我方，与同样的页面、同样的主题和插件而没有我们的东西，轮流各建几遍。

python -m benchmarks site
"""

import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import compare, peers

ROUNDS = 7
TARGET = 1.3
NOTE_KB = 700  # 一千进位，与 bench_web 同
# 脚本看到这个类名才载入的
LATER = {
    "arithmatex": ("katex/katex.min.js", "katex/katex.min.css"),
    "rz-flow": tuple(
        f"flow/{name}" for name in ("shapes.js", "panels.js", "diagram.js", "flow.js", "flow.css")
    ),
}


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


def weight(page: Path) -> int:
    """一页要载入的字节：HTML、样式、脚本，公式与张量流的也算；不算搜索与看到才载入的图。"""
    html = page.read_text("utf-8")
    urls = re.findall(r'<link rel="stylesheet" href="([^"]+)"|<script src="([^"]+)"', html)
    files = [page.parent / (style or script) for style, script in urls]
    assets = next(file.parent for file in files if file.name == "rizhi.css")
    files += [assets / name for kind in LATER if kind in html for name in LATER[kind]]
    return len(html.encode()) + sum(file.stat().st_size for file in files)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = peers.ours(Path(folder) / "ours"), peers.bare(Path(folder) / "bare")
        times = compare.interleave(lambda: build(ours), lambda: build(bare), rounds)
        heaviest = max(map(weight, ours.glob("site/notes/*/*.html"))) / 1e3
    return compare.report(
        "site",
        [
            compare.ratio("冷的严格构建（CPU 秒）", TARGET, *times),
            compare.Number("最重的一篇笔记 KB", heaviest, NOTE_KB),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
