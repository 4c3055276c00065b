"""十年的日志：`rizhi new`、`todo`、`check` 各花多少，与「每一页读一遍、解析一遍」比。

先用 make_vault.py 造 3650 天、2000 篇笔记。没有备忘，也没有索引：每条命令都从头读。
两边都是新起的进程，量墙上的秒数；所比的一方读全部日总结、笔记与周报，各解析一遍就结束，
用的是同一个解析器。解析器自己快不快，看最后印出的秒数：只把正文交给 pyromark 要多久。

    python -m benchmarks journal
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from benchmarks import compare
from benchmarks.make_vault import LAST, make_vault

DAYS, NOTES, ROUNDS = 3650, 2000, 15
TARGETS = {"new": 1.3, "todo": 1.5, "check": 3.0}
RIZHI = [sys.executable, "-c", "from rizhi.cli import main; main()", "--root"]
PARSE = """
import sys
from pathlib import Path
from rizhi.journal.day import read_days
from rizhi.page import read_notes, read_weeks
from rizhi.vault import find_vault
vault = find_vault(Path(sys.argv[1]))
for page in (*read_days(vault), *read_notes(vault), *read_weeks(vault)):
    page.document
"""
EVENTS = """
import sys
from pathlib import Path
from rizhi.markdown.source import events
from rizhi.journal.day import read_days
from rizhi.page import read_notes, read_weeks
from rizhi.vault import find_vault
vault = find_vault(Path(sys.argv[1]))
for page in (*read_days(vault), *read_notes(vault), *read_weeks(vault)):
    list(events(page.body))
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


def compared(name: str, ours: Callable[[], float], theirs: Callable[[], float]) -> compare.Ratio:
    print(name, flush=True)
    found = compare.interleave(ours, theirs, compare.rounds(ROUNDS))
    return compare.ratio(name, TARGETS[name], *found)


def informed(results: list[compare.Ratio], root: Path) -> None:
    """秒数只供参考：机器不同，数就不同。"""
    for result in results:
        print(f"{result.name} 的中位数：{result.ours:.2f} 秒", flush=True)
    parse, events = (
        statistics.median(seconds([sys.executable, "-c", code, str(root)]) for _ in range(3))
        for code in (PARSE, EVENTS)
    )
    print(f"每一页解析一遍：{parse:.2f} 秒；只把正文交给 pyromark：{events:.2f} 秒", flush=True)


def main() -> int:
    """造库、跑完三项、印表、写 JSON，未达标的项数作为退出码。"""
    with tempfile.TemporaryDirectory() as folder:
        root = make_vault(Path(folder) / "vault", DAYS, NOTES)
        print(f"{DAYS} 天、{NOTES} 篇笔记", flush=True)
        parse = partial(seconds, [sys.executable, "-c", PARSE, str(root)])
        results = [
            compared("new", lambda: write_a_day(root), parse),
            compared("todo", lambda: seconds([*RIZHI, str(root), "todo"]), parse),
            compared("check", lambda: seconds([*RIZHI, str(root), "check"]), parse),
        ]
        informed(results, root)
    return compare.report("journal", results)


if __name__ == "__main__":
    sys.exit(main())
