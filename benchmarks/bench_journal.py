"""十年的日志：`rizhi new`、`todo`、`check` 各花多少，与最省的做法比。

先用 make_vault.py 造 3650 天、2000 篇笔记。两边都是新起的进程，量墙上的秒数。

- `new` 比的是 `python -c "import click, yaml, jinja2"`：只把它要用的库载入。
- `todo` 与 `check` 比的是：读出全部文件，用 libyaml 的安全载入器解析每一页的前置数据。

    python -m benchmarks journal
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks import compare
from benchmarks.make_vault import LAST, make_vault

DAYS, NOTES, ROUNDS, TARGET = 3650, 2000, 15, 4
RIZHI = [sys.executable, "-c", "from rizhi.cli import main; main()", "--root"]
IMPORTS = [sys.executable, "-c", "import click, yaml, jinja2"]
READ = """
import os, sys, yaml
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name.endswith(".md"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read()
            if text.startswith("---\\n"):
                yaml.load(text[4:text.index("\\n---\\n", 4)], Loader=yaml.CSafeLoader)
"""


def seconds(command: list[str]) -> float:
    """跑一个进程，返回墙上的秒数；退出码不是 0 就不算数。"""
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True)
    taken = time.perf_counter() - start
    assert run.returncode == 0, run.stderr.decode()
    return taken


def write_a_day(root: Path) -> float:
    """写最后一天之后的那一天，再删掉：每一轮面对的都是同一个知识库。"""
    day = LAST + timedelta(days=1)
    taken = seconds([*RIZHI, str(root), "new", "--date", str(day)])
    (root / f"docs/daily/{day:%Y}/{day}.md").unlink()
    return taken


def settle(root: Path) -> None:
    """头一次要读每一天；刚写下的文件备忘不收，隔一会儿再写一次，备忘才齐。"""
    print(f"new 头一次（还没有备忘，不计入比值）：{write_a_day(root):.2f} s", flush=True)
    time.sleep(2.5)
    write_a_day(root)


def compared(name: str, ours: Callable[[], float], theirs: Callable[[], float]) -> compare.Ratio:
    print(name, flush=True)
    return compare.ratio(name, TARGET, *compare.interleave(ours, theirs, compare.rounds(ROUNDS)))


def main() -> int:
    """造库、跑完三项、印表、写 JSON，未达标的项数作为退出码。"""
    with tempfile.TemporaryDirectory() as folder:
        root = make_vault(Path(folder) / "vault", DAYS, NOTES)
        print(f"{DAYS} 天、{NOTES} 篇笔记", flush=True)
        settle(root)
        read = [sys.executable, "-c", READ, str(root / "docs")]
        results = [
            compared("new", lambda: write_a_day(root), lambda: seconds(IMPORTS)),
            compared("todo", lambda: seconds([*RIZHI, str(root), "todo"]), lambda: seconds(read)),
            compared("check", lambda: seconds([*RIZHI, str(root), "check"]), lambda: seconds(read)),
        ]
    return compare.report("journal", results)


if __name__ == "__main__":
    sys.exit(main())
