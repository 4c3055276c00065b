"""十年的复习：`rizhi review --json` 花多少，与「日志重放一遍、笔记读一遍」比。

先用 make_vault.py 造 2000 篇笔记，每篇添三题自测；日志是十年、五万多次复习，题都问过，也有改过的。
两边都是新起的进程，量墙上的秒数。

    python -m benchmarks recall
"""

import json
import random
import sys
import tempfile
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path

from benchmarks import compare
from benchmarks.bench_journal import RIZHI, seconds
from benchmarks.make_vault import LAST, make_vault

NOTES, REVIEWS, YEARS, ROUNDS = 2000, 55_000, 10, 15
TARGET = 2.0
REPLAY = """
import gc, sys
gc.disable()  # 命令行也这样
from pathlib import Path
from rizhi.page import read_notes
from rizhi.recall import log, schedule
from rizhi.vault import find_vault
vault = find_vault(Path(sys.argv[1]))
states = schedule.replay(log.read(vault)[0])
for note in read_notes(vault):
    note.document
assert len(states) == 6000, len(states)
"""
WAYS = ("的取值范围是什么", "写反了会怎样", "在哪一行代码里")


def make_recall(root: Path, notes: int, reviews: int, seed: int = 0) -> None:
    """给每篇笔记添三题自测，写下十年的日志。"""
    rng, lines = random.Random(seed), list[dict[str, object]]()
    cards = []
    for path in sorted(root.glob("docs/notes/*/*.md")):
        text = path.read_text("utf-8").replace("draft: true\n", "")
        asked = [f"{path.stem} 的第 {n} 个参数{way}？" for n, way in enumerate(WAYS)]
        box = "".join(f'??? question "{one}"\n    答案 {n}\n\n' for n, one in enumerate(asked))
        path.write_text(text.replace("## 自测\n", f"## 自测\n\n{box}"), "utf-8")
        cards += [(f"{path.stem}-{n}", path.stem, one) for n, one in enumerate(asked)]
    assert len(cards) == notes * len(WAYS)
    days = YEARS * 365

    def line(day: int, what: str, **fields: object) -> None:
        at = datetime.combine(LAST - timedelta(days=days - day), time(13), UTC)
        stamp = (at + timedelta(seconds=len(lines))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = {"id": f"{len(lines):012x}", "at": stamp, "off": 480, "what": what}
        lines.append(told | fields | ({"day": str(at.date())} if what != "match" else {}))

    for number, (card, note, text) in enumerate(cards):
        first = number * days // len(cards)
        line(first, "born", card=card, note=note, kind="自测", text=text)
        for _ in range(max(1, reviews // len(cards))):
            grade = rng.choice((1, 3, 3, 3, 3, 4))
            line(rng.randrange(first, days), "review", card=card, grade=grade, why="due")
        if number % 10 == 0:
            line(days - 1, "match", card=card, note=note, text=text)
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
    (root / "reviews.jsonl").write_text(text, "utf-8")
    print(f"{notes} 篇笔记、{len(cards)} 题、{len(lines)} 行日志", flush=True)


def main() -> int:
    """造库、跑完、印表、写 JSON，未达标的项数作为退出码。"""
    with tempfile.TemporaryDirectory() as folder:
        root = make_vault(Path(folder) / "vault", 0, NOTES)
        make_recall(root, NOTES, REVIEWS)
        review = partial(seconds, [*RIZHI, str(root), "review", "--json"])
        replay = partial(seconds, [sys.executable, "-c", REPLAY, str(root)])
        found = compare.interleave(review, replay, compare.rounds(ROUNDS))
    return compare.report("recall", [compare.ratio("review", TARGET, *found)])


if __name__ == "__main__":
    sys.exit(main())
