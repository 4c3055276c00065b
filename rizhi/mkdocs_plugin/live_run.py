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
    name: str
    stop: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)


class Busy(RizhiError):
    """另一格正在跑；`number` 是它的编号，停得掉。"""

    def __init__(self, running: Running) -> None:
        super().__init__(f"正在跑 {running.name}，一次只跑一格：等它跑完，或停掉它。")
        self.number = running.number


class Runs:
    """一次 serve 里页面上跑的：一次一个。"""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._now: Running | None = None
        self._changing = Lock()

    def run(self, vault: Vault, wanted: Mapping[str, Any]) -> Generator[Line, None, None]:
        """跑 `module` 的一格 `title`；`drafts` 是改过还没有存盘的各格，标题 → 源码。

        先给出这一次的编号，再隔一会儿给出 `html`（到此刻的输出），最后一行有 `ended`；
        关上就结束子进程。
        异常：读不懂，抛 RizhiError；另一格正在跑，抛 Busy。
        """
        snippet = _drafted(vault, wanted)
        name = f"snippets/{snippet.path.name} 的「{snippet.code_cells[-1].title}」"
        now = Running(next(self._numbers), name)
        with self._changing:
            if self._now:
                raise Busy(self._now)
            self._now = now
        try:
            yield {"run": now.number}
            yield from _lines(vault, snippet, now)
        except (RizhiError, OSError) as error:
            yield {"error": cause(error, vault.root)}
        finally:
            self._now = None
            now.ended.set()

    def stop(self, _: Vault, wanted: Mapping[str, Any]) -> Line:
        """停掉编号是 `run` 的那一次；它真的停下了才回答。"""
        now = self._now
        if now is None or now.number != wanted.get("run"):
            return {"said": "那一次已经跑完了。"}
        now.stop.set()
        if not now.ended.wait(_STOP_SECONDS):
            raise RizhiError(f"{now.name} 还没有停下，稍后再试。")
        return {"said": f"停下了 {now.name}。"}


def _lines(vault: Vault, snippet: Snippet, now: Running) -> Generator[Line, None, None]:
    """每一步一行，没有新的就是空的：对方断开了，要写一次才知道。"""
    started = time.perf_counter()
    last = snippet.code_cells[-1]
    said: Line = {}
    with closing(run.watch(vault, snippet)) as steps:
        for step in steps:
            output = replace(step.output, error=step.output.error or step.fault or None)
            stopped = now.stop.is_set()
            if stopped or output.error or (step.done and output.title == last.title):
                ended = "stopped" if stopped else "failed" if output.error else "done"
                seconds = round(time.perf_counter() - started, 2)
                html = fence.fresh(vault, snippet, last, output)
                yield {"html": html, "ended": ended, "seconds": seconds}
                return
            line: Line = {"at": output.title}
            if output.title == last.title:
                line["html"] = fence.fresh(vault, snippet, last, output)
            yield line if line != said else {}
            said = line


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
