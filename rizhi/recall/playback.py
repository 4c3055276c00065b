"""重放：换上一份源码，把记下的调用与几格再跑一遍，比出差在哪里；判作答与证明一题都由这里。"""

import ast
import hashlib
import json
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from rizhi.errors import RizhiError
from rizhi.recall import replay, traces, values
from rizhi.recall.replay import Cells, Changed
from rizhi.recall.traces import Call
from rizhi.snippets import record as records
from rizhi.snippets import run
from rizhi.snippets.cells import Cell, Snippet, names
from rizhi.snippets.child import SEEDED
from rizhi.snippets.stream import OutputRefused
from rizhi.vault import Vault

PATIENCE, TIMES = 10.0, 10  # 一次重放至多等这么多秒，或好的那一份的这么多倍

Bug = tuple[str, ...]  # 源码包自己的一个错：在哪张表里、键、一句话、换掉哪个函数


@dataclass(frozen=True)
class Bench:
    """在哪个知识库里跑，有哪些源码包自己的错；`stop` 立起来，跑着的就停下，结果不作数。"""

    vault: Vault
    bugs: tuple[Bug, ...] = ()
    stop: Event = field(default_factory=Event)

    def work(
        self, task: Callable[..., None], given: tuple[Any, ...], seconds: float
    ) -> closing[Generator[bytes]]:
        """异常：用的时候，没有跑完抛 RizhiError。"""
        return closing(run.work(self.vault, task, given, seconds, SEEDED, self.stop.is_set))


@dataclass(frozen=True)
class Answered:
    """一份源码重放的结果：各次调用的、各格的；没有跑完，`fault` 说为什么。"""

    outcomes: tuple[Mapping[str, Any], ...]
    cells: Mapping[str, Mapping[str, Any]]
    broken: Mapping[str, Any] | None = None
    fault: str = ""
    seconds: float = 0.0


def answer(
    bench: Bench,
    symbol: str,
    text: str,
    calls: Sequence[Call],
    cells: Cells | None,
    seconds: float,
) -> Answered:
    """换上 `text` 当那个模块的源码，重放各次调用，跑那几格。"""
    module, path, name = traces.split(bench.vault, symbol)
    changed = Changed(module, str(path), text)
    given = (changed, name, [call.inputs for call in calls], cells)
    outcomes: list[Mapping[str, Any]] = []
    shown: dict[str, Mapping[str, Any]] = {}
    broken, fault, start = None, "", time.monotonic()
    try:
        with bench.work(replay.replay, given, seconds) as messages:
            for data in map(json.loads, messages):
                if "call" in data:
                    outcomes.append(data["outcome"])
                elif "cell" in data:
                    shown[data["cell"]] = data["outcome"]
                else:
                    broken = data["broken"]
    except RizhiError as error:
        fault = str(error)
    return Answered(tuple(outcomes), shown, broken, fault, time.monotonic() - start)


def unimportable(got: Answered) -> bool:
    """有没有哪里是因为载不到一个库：也许是这里没有装，不是他写错。"""
    told = (got.broken or {}, *got.outcomes, *got.cells.values())
    said = (f"{one.get('raised')}{one.get('unreadable')}" for one in told)
    return any(ModuleNotFoundError.__name__ in text for text in said)


def lacking(vault: Vault, paths: Iterable[Path]) -> str:
    """几个片段要的库缺了哪些、怎么装；没有缺是空串。"""
    needed = (run.missing(vault, records.load(vault, path).source) for path in paths)
    absent = sorted({name for names in needed for name in names})
    return run.how_to_install("这些片段", absent) if absent else ""


def wrong(calls: Sequence[Call], got: Answered) -> dict[int, str]:
    """第几次调用不对，差在哪里；没有轮到的不算。"""
    pairs = enumerate(zip(calls, got.outcomes, strict=False))
    found = ((at, differs(call.outcome, outcome)) for at, (call, outcome) in pairs)
    return {at: said for at, said in found if said}


def differs(want: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    """一次调用的结果差在哪里；一样是空串。"""
    if "unreadable" in got:
        return f"参数载不进来：{got['unreadable']}"
    if "raised" in want or "raised" in got:
        if want.get("raised") == got.get("raised"):
            return ""
        if "raised" not in got:
            return f"应抛出 {want['raised']}，你的没有抛"
        if got["raised"] == OutputRefused.__name__:
            return str(got["said"])
        right = f"应抛出 {want['raised']}" if "raised" in want else "应不抛错"
        said = got.get("said", "").rstrip("。")
        return f"你抛出 {got['raised']}：{said}，{right}"
    if said := values.difference(want["returned"], got["returned"]):
        return said
    return _changes_differ(want["changed"], got["changed"])


def _changes_differ(want: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    for path in want.keys() - got.keys():
        return f"应改动 {values.place(path)}，你没有"
    for path in got.keys() - want.keys():
        return f"改动了 {values.place(path)}，不该改"
    said = values.difference(dict(want), dict(got))
    return f"改动得不一样：{said}" if said else ""


def symptom(outcome: Mapping[str, Any]) -> str:
    """一次失败的样子；两份代码得出一样的，就是错成了一样的。"""
    shape = outcome.get("raised") or values.symptom(outcome.get("returned", {}))
    return f"{shape}{values.symptom(outcome.get('changed', {}))}"


def pattern(symptoms: Mapping[int, str], calls: Iterable[int]) -> str:
    """这几次调用里哪几次失败、各是什么样子；没有失败的是空串。"""
    told = [(number, symptoms[at]) for number, at in enumerate(calls) if at in symptoms]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] if told else ""


# ---- 格子 ----


def green(bench: Bench, symbol: str, text: str, snippet: Snippet, titles: set[str]) -> Cells | None:
    """`titles` 的各格，与它们要的格子：好的源码上跑得过才算；挑漏了的，整个片段都跑。"""
    everything = tuple(cell.title for cell in snippet.code_cells)
    for wanted in (needed(snippet, titles), everything) if titles else ():
        cells = Cells(snippet, wanted)
        if failed(bench, symbol, text, cells) == []:
            return cells
    return None


def failed(bench: Bench, symbol: str, text: str, cells: Cells, bug: Bug = ()) -> list[str] | None:
    """换上 `text`，或换掉一个函数，那几格里出错的；没有跑完是 None。"""
    module, path, _ = traces.split(bench.vault, symbol)
    given = (Changed(module, str(path), text), cells, bug)
    try:
        with bench.work(replay.check, given, 2 * run.SECONDS) as messages:
            (data,) = messages
    except RizhiError:
        return None
    return list(json.loads(data))


def needed(snippet: Snippet, titles: Collection[str]) -> tuple[str, ...]:
    """`titles` 的各格，与给它们用到的名字赋值的格子，次序照旧。"""
    wanted: set[str] = set()
    found = []
    for cell in reversed(snippet.code_cells):
        bound, free = _names(ast.parse(cell.source))
        if cell.title in titles or bound & wanted:
            found.append(cell.title)
            wanted = (wanted - bound) | free
    return tuple(reversed(found))


def mentioned(cell: Cell) -> set[str]:
    """一格的代码里写到的名字，属性也算。"""
    nodes = list(ast.walk(ast.parse(cell.source)))
    plain = {node.id for node in nodes if isinstance(node, ast.Name)}
    return plain | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """一格赋值的名字，与它先用到、自己还没有赋值的。"""
    bound: set[str] = set()
    free: set[str] = set()
    for statement in tree.body:
        made, used = names(ast.unparse(statement))
        free |= used - bound
        bound |= made
    return bound, free
