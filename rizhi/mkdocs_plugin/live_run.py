"""在页面里跑一格：前面各格与这一格在片段的子进程里跑，一边跑一边给出到此刻的输出；不写盘。"""

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Event, Lock
from typing import Any

from rizhi.errors import RizhiError
from rizhi.snippets import cells, fence, run
from rizhi.snippets import record as records
from rizhi.snippets.cells import Snippet
from rizhi.vault import Vault
from rizhi.zh import cause

Line = dict[str, Any]
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Running:
    """正在跑的一格。"""

    number: int
    snippet: Snippet
    stop: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)

    @property
    def cell(self) -> cells.Cell:
        return self.snippet.code_cells[-1]

    @property
    def name(self) -> str:
        return f"snippets/{self.snippet.path.name} 的「{self.cell.title}」"


class Runs:
    """一次 serve 里页面上跑的：一次一个。"""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._now: Running | None = None
        self._changing = Lock()

    def run(self, vault: Vault, wanted: Mapping[str, Any]) -> Generator[Line, None, None]:
        """跑 `module` 的一格 `title`；`drafts` 是改过还没有存盘的各格，标题 → 源码。

        先给出这一次的编号，再隔一会儿给出 `html`（到此刻的输出），最后一行有 `ended`。
        没有跑起来，是一行 `error`；因为另一格正在跑，还有它的编号 `busy`。关上就结束子进程。
        """
        try:
            snippet = _drafted(vault, wanted)
            now = Running(next(self._numbers), snippet)
            if busy := self._occupy(now):
                why = f"正在跑 {busy.name}，一次只跑一格：等它跑完，或停掉它。"
                yield {"error": why, "busy": busy.number}
                return
            try:
                yield {"run": now.number}
                last = yield from _lines(vault, now)
            finally:
                self._now = None
                now.ended.set()
            yield last
        except (RizhiError, OSError) as error:
            yield {"error": cause(error, vault.root)}

    def _occupy(self, wanted: Running) -> Running | None:
        """轮到它；轮不到，给出正在跑的。"""
        with self._changing:
            if self._now is None:
                self._now = wanted
                return None
            return self._now

    def stop(self, _: Vault, wanted: Mapping[str, Any]) -> Line:
        """停掉编号是 `run` 的那一次；它真的停下了才回答。"""
        now = self._now
        if now is None or now.number != wanted.get("run"):
            return {"said": "那一次已经跑完了。"}
        now.stop.set()
        if not now.ended.wait(_STOP_SECONDS):
            raise RizhiError(f"{now.name} 还没有停下，稍后再试。")
        return {"said": f"停下了 {now.name}。"}


def _lines(vault: Vault, now: Running) -> Generator[Line, None, Line]:
    """每一步一行，没有新的就是空的：对方断开了，要写一次才知道。返回最后一行。"""
    started = time.perf_counter()
    said: Line = {}
    with closing(run.watch(vault, now.snippet, run.SECONDS)) as steps:
        for step in steps:
            output = replace(step.output, error=step.output.error or step.fault or None)
            stopped, mine = now.stop.is_set(), output.title == now.cell.title
            if stopped or output.error or (step.done and mine):
                ended = "stopped" if stopped else "failed" if output.error else "done"
                seconds = round(time.perf_counter() - started, 2)
                html = fence.fresh(vault, now.snippet, now.cell, output)
                return {"html": html, "ended": ended, "seconds": seconds}
            line: Line = {"at": output.title}
            if mine:
                line["html"] = fence.fresh(vault, now.snippet, now.cell, output)
            yield line if line != said else {}
            said = line
    raise RizhiError("子进程没有说完就结束了，再跑一次。")


def _drafted(vault: Vault, wanted: Mapping[str, Any]) -> Snippet:
    """从头到要跑的那一格，改过的换成改的。

    异常：要的不是这样说的、没有这一格、读不懂、改过之后多分出了格，抛 RizhiError。
    """
    module, title, drafts = (wanted.get(name) for name in ("module", "title", "drafts"))
    given: dict[str, Any] = drafts if isinstance(drafts, dict) else {"": None}
    if not all(isinstance(said, str) for said in (module, title, *given.values())):
        raise RizhiError("module 与 title 应是文字，drafts 应是标题到源码的对象。")
    path = cells.snippet_file(vault, str(module))
    whole = records.load(vault, path).source
    known = {name: whole.cell(name) for name in (*given, str(title))}
    upto = whole.cells[: whole.cells.index(known[str(title)]) + 1]
    lines = whole.text.split("\n")[: upto[-1].line - 1 + _height(upto[-1])]
    for cell in reversed(upto):
        if cell.kind == "code" and cell.title in given:
            first = cell.line - 1
            lines[first : first + _height(cell)] = given[cell.title].split("\n")
    made = cells.parse_text(path, "\n".join(lines) + "\n")
    if [cell.title for cell in made.cells] != [cell.title for cell in upto]:
        raise RizhiError("改过之后分出的格与文件里的不同：一格里不要再写「# %%」，引号要关上。")
    return made


def _height(cell: cells.Cell) -> int:
    return cell.source.count("\n") + 1 if cell.source else 0
