"""多一个片段多花多少：`pytest snippets` 与 `pytest --nbmake` 跑同样的单元格。

各跑少的与多的一次，差除以多出的个数就是多一个的代价；启动的开销两边都减掉了。
我方一个太快，要多抄几份才量得准。

    python -m benchmarks snippets
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import compare, peers
from rizhi.snippets import cells
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import find_vault, snippet_files

ROUNDS = 5
FEW, MANY, COPIES = 2, 6, 4
TARGET = 0.1


def seconds(root: Path, arguments: list[str]) -> float:
    """跑一遍 pytest，返回墙上的秒数：内核与子进程都在别的进程里。"""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    start = time.perf_counter()
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return time.perf_counter() - start


def notebooks(root: Path, paths: list[Path]) -> list[Path]:
    """同样的单元格，写成笔记本，放在能导入 llm 的地方。"""
    made = [root / f"{path.stem}.ipynb" for path in paths]
    for path, book in zip(paths, made, strict=True):
        book.write_text(to_notebook(cells.parse(path), None), encoding="utf-8")
    return made


def copies(path: Path) -> list[Path]:
    """一个片段连同它的记录抄成几份：源码相同，指纹也就相同。"""
    made = [path.with_name(f"{path.stem}_{number}.py") for number in range(1, COPIES)]
    outputs = path.parent / "outputs"
    for copy in made:
        shutil.copy(path, copy)
        shutil.copytree(outputs / path.stem, outputs / copy.stem)
    return [path, *made]


def slope(root: Path, few: list[str], many: list[str], *options: str) -> float:
    """多一个文件多花的秒数。"""
    less, more = (seconds(root, [*options, *names]) for names in (few, many))
    return (more - less) / (len(many) - len(few))


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        root = peers.ours(Path(folder))
        originals = snippet_files(find_vault(root, root))[:MANY]
        books = [str(book) for book in notebooks(root, originals)]
        paths = [str(copy) for path in originals for copy in copies(path)]
        times = compare.interleave(
            lambda: slope(root, paths[::COPIES], paths),
            lambda: slope(root, books[:FEW], books, "--nbmake"),
            rounds,
        )
    return compare.report("snippets", [compare.ratio("多一个文件（秒）", TARGET, *times)])


if __name__ == "__main__":
    sys.exit(main())
