"""多一个片段多花多少：`pytest snippets` 与 `pytest --nbmake` 跑同样的单元格。

各跑两个与六个文件，差除以四就是多一个的代价；启动的开销两边都减掉了。

    python -m benchmarks snippets
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import compare, peers
from rizhi import snippet

ROUNDS = 5
FEW, MANY = 2, 6
TARGET = 0.1


def seconds(root: Path, arguments: list[str]) -> float:
    """跑一遍 pytest，返回墙上的秒数：内核与子进程都在别的进程里。"""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    start = time.perf_counter()
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]
    return time.perf_counter() - start


def notebooks(root: Path, paths: list[Path]) -> list[Path]:
    """同样的单元格，写成笔记本，放在能导入 llm 的地方。"""
    made = [root / f"{path.stem}.ipynb" for path in paths]
    for path, book in zip(paths, made, strict=True):
        book.write_text(snippet.to_notebook(snippet.parse(path), None), encoding="utf-8")
    return made


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = peers.ours(Path(folder))
        paths = snippet.snippet_files(root / "snippets")[:MANY]
        books = notebooks(root, paths)

        def one_more_snippet() -> float:
            few, many = (seconds(root, [str(p) for p in paths[:n]]) for n in (FEW, MANY))
            return (many - few) / (MANY - FEW)

        def one_more_notebook() -> float:
            few, many = (
                seconds(root, ["--nbmake", *(str(b) for b in books[:n])]) for n in (FEW, MANY)
            )
            return (many - few) / (MANY - FEW)

        times = compare.interleave(one_more_snippet, one_more_notebook, ROUNDS)
    return compare.report("snippets", [compare.ratio("多一个文件（秒）", TARGET, *times)])


if __name__ == "__main__":
    sys.exit(main())
