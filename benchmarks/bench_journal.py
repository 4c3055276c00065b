"""十年的日志：`rizhi new`、`todo`、`check` 各花多少，与「每一页读一遍、解析一遍」比；再量复习。

先用 make_vault.py 造 3650 天、2000 篇笔记。没有备忘，也没有索引：每条命令都从头读。
两边都是新起的进程，量墙上的秒数；所比的一方读全部日总结、笔记与周报，各解析一遍就结束，
用的是同一个解析器。解析器自己快不快，看最后印出的秒数：只把正文交给 pyromark 要多久。

`rizhi review` 量到说出今天有几张为止：这个知识库的，与载入一遍 click 比；十年的（日志四万多行），与
重放日志、读全部笔记比。它记着笔记里有哪些题，量的是没有改动的第二遍。

    python -m benchmarks journal
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from functools import partial
from pathlib import Path

from benchmarks import compare
from benchmarks.make_vault import LAST, make_vault

DAYS, NOTES, ROUNDS = 3650, 2000, 15
TARGETS = {"new": 1.3, "todo": 1.5, "check": 3.0, "review": 2.0, "review, this vault": 4.0}
YEARS = 10
ROOT = Path(__file__).parents[1]
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
REPLAY = """
import sys
from pathlib import Path
from rizhi.page import read_notes
from rizhi.recall import log, schedule
from rizhi.vault import find_vault
vault = find_vault(Path(sys.argv[1]))
schedule.replay(log.read(vault)[0])
for note in read_notes(vault):
    note.document
"""


def seconds(command: list[str]) -> float:
    """跑一个进程，返回墙上的秒数；退出码不是 0 就不算数。"""
    # 不许写 .pyc 的环境里，量到的是编译自己的源码，所比的库却是编译好的
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, env=environment)
    taken = time.perf_counter() - start
    assert run.returncode == 0, run.stderr.decode()
    return taken


def write_a_day(root: Path) -> float:
    """写最后一天之后的那一天，再删掉：每一轮面对的都是同一个知识库。"""
    day = LAST + timedelta(days=1)
    taken = seconds([*RIZHI, str(root), "new", "--date", str(day)])
    (root / f"docs/daily/{day:%Y}/{day}.md").unlink()
    return taken


def with_reviews(root: Path) -> Path:
    """同一个知识库，笔记里加上自测，日志里十年的复习：一天十二张，一篇一题。"""
    texts = []
    for number, path in enumerate(sorted((root / "docs/notes").rglob("topic-*.md"))):
        texts.append((path.stem, f"第 {number} 问：{path.stem} 里要紧的是什么？"))
        asked = f'\n??? question "{texts[-1][1]}"\n    答。\n'
        text = path.read_text("utf-8").replace("draft: true\n", "", 1)
        path.write_text(text.replace("\n## 自测\n", f"\n## 自测\n{asked}", 1), "utf-8")
    draw, lines = random.Random(0), list[str]()
    first = LAST - timedelta(days=365 * YEARS)
    for number in range(365 * YEARS * 12):
        day = first + timedelta(days=number // 12)
        at = datetime.combine(day, clock(13, 0, number % 12), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        slug, text = texts[number % len(texts)]
        event = {"at": at, "off": 480, "card": f"c{number % len(texts)}", "day": str(day)}
        if number < len(texts):
            born = {"what": "born", "note": slug, "kind": "自测", "text": text}
            lines.append(json.dumps({"id": f"b{number}", **event, **born}, ensure_ascii=False))
        graded = {"what": "review", "grade": draw.choice((1, 2, 3, 3, 3, 4))}
        lines.append(json.dumps({"id": f"r{number}", **event, **graded}))
    (root / "reviews.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def this_vault(folder: Path) -> Path:
    """这个知识库的一份拷贝：量的时候不在真的那一份里写东西。"""
    for name in ("docs", "snippets", "llm"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


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
    """造库、跑完各项、印表、写 JSON，未达标的项数作为退出码。"""
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
        ours = [*RIZHI, str(with_reviews(root)), "review", "--json"]
        here = [*RIZHI, str(this_vault(Path(folder) / "here")), "review", "--json"]
        replay = partial(seconds, [sys.executable, "-c", REPLAY, str(root)])
        click = partial(seconds, [sys.executable, "-c", "import click"])
        for command in (ours, here):
            seconds(command)  # 头一遍认出有哪些题，存下
        results += [
            compared("review", partial(seconds, ours), replay),
            compared("review, this vault", partial(seconds, here), click),
        ]
    return compare.report("journal", results)


if __name__ == "__main__":
    sys.exit(main())
