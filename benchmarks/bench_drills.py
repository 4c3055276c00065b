"""判一次默写，对只跑那些调用与格子：十个函数，九个不超过 1.3 倍。

两边都从起子进程算起，量命令与子进程一共用的 CPU 时间，别的进程忙不忙就不要紧；对的一边不记、不比，
把结果丢掉。题没有算过就先算，头一次要一刻钟上下。

    python -m benchmarks drills
"""

import os
import sys
import threading
import time
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from benchmarks import compare
from benchmarks.compare import Number, Ratio
from rizhi.recall import drills, replay, traces
from rizhi.recall.cards import RECITED, Card
from rizhi.recall.playback import Bench
from rizhi.recall.replay import Cells, Changed
from rizhi.snippets import cells
from rizhi.vault import Vault
from tests import drill_table

ROUNDS, TARGET, COUNT, MOST_OVER = 7, 1.3, 10, 1
AT_A_TIME = 3  # 子进程的 CPU 时间以十毫秒计，几次一起量


def spent() -> float:
    """到此刻命令、forkserver 与收完尸的子进程一共用了几毫秒 CPU。"""
    for one in threading.enumerate():
        if one is not threading.main_thread():
            one.join()  # 收尸的
    server: Any = forkserver
    pid = server._forkserver._forkserver_pid
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    own = time.process_time()
    return 1000 * (own + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))


def graded(vault: Vault, card: Card) -> float:
    """判一次对的答案要的毫秒数。"""
    start = spent()
    for _ in range(AT_A_TIME):
        assert drills.grade(vault, card, card.answer).right
    return (spent() - start) / AT_A_TIME


def bare(vault: Vault, card: Card) -> float:
    """只跑同样的调用与格子要的毫秒数。"""
    drill = traces.read_drill(vault, card.symbol)
    calls = traces.read_calls(vault, drill) if drill else None
    assert drill and calls
    module, path, name = traces.split(vault, card.symbol)
    changed = Changed(module, str(path), path.read_text("utf-8"))
    snippet = vault.snippets / f"{drill.snippet}.py"
    wanted = Cells(cells.parse(snippet), drill.cells) if drill.cells else None
    given = (changed, name, [call.inputs for call in calls], wanted)
    start = spent()
    for _ in range(AT_A_TIME):
        with Bench(vault).work(replay.bare, given, 60.0) as messages:
            assert not list(messages)
    return (spent() - start) / AT_A_TIME


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    vault, found = drill_table.VAULT, drill_table.measured()
    cards = [card for note in found.notes for card in note if card.kind == RECITED]
    chosen = cards[:: max(len(cards) // COUNT, 1)][:COUNT]
    results = []
    for card in chosen:
        drills.grade(vault, card, card.answer)  # 先热一遍
        sides = compare.interleave(partial(graded, vault, card), partial(bare, vault, card), rounds)
        results.append(compare.ratio(f"{card.symbol}（毫秒）", TARGET, *sides))
    over = sum(not result.met for result in results)
    listed: list[Ratio | Number] = [*results, Number(f"{len(results)} 个里超过的", over, MOST_OVER)]
    compare.report("drills", listed)
    return int(over > MOST_OVER)


if __name__ == "__main__":
    sys.exit(main())
