"""出默写题：记下全部片段对每个函数的调用，把函数一处一处改坏，数出重放抓得住几个。

只出证明过的题：整个换成 raise 必须抓住，突变至少死掉八成。每算完一个就写下，停在哪里都不丢。
"""

import ast
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from rizhi.errors import RizhiError
from rizhi.page import Note
from rizhi.recall import replay, traces
from rizhi.recall.mutants import Mutant, chosen, functions, mutants, stubs
from rizhi.recall.playback import (
    PATIENCE,
    TIMES,
    Bench,
    Bug,
    answer,
    differs,
    failed,
    green,
    lacking,
    mentioned,
    pattern,
    symptom,
    wrong,
)
from rizhi.recall.replay import Cells, Changed, Inputs
from rizhi.recall.traces import Call, Drill, Keys, Question, Questions
from rizhi.snippets import record as records
from rizhi.vault import Vault, read_text

MOST = 20  # 一个函数至多改几处
SHARE = 0.8  # 死掉这么多的才出题
MOST_CALLS, MOST_BYTES = 40, 4 << 20
POOL_CALLS, POOL_BYTES = 240, 8 << 20  # 先试这么多，从中挑
ENOUGH, EACH = 4, 2  # 抓住这么多次就不再试；至少留几次抓得住它的
HARVEST_SECONDS = 180.0  # 记的时候比平常慢
AT_ONCE = 2
PER_NOTE, TRIED = 2, 10  # 「哪个检验会红」一篇至多几题，至多试几处

_Progress = Callable[[list[str], str], Iterable[str]]  # 逐项做，与这一步叫什么
_Sketched = tuple[str, Call]  # 参数的样子，与那次调用


def waiting(vault: Vault, keys: Keys | None = None) -> tuple[dict[str, Note], list[Note]]:
    """还没有算，或键变了的：各个函数，与各篇笔记。"""
    keys = keys or Keys(vault)
    stale = {
        symbol: note
        for symbol, note in traces.symbols(vault).items()
        if not traces.current_drill(vault, keys, symbol, note)
    }
    notes = [
        note
        for note in traces.finished(vault)
        if traces.functions_of(vault, note) and not traces.current_questions(vault, keys, note)
    ]
    return stale, notes


def prepare(vault: Vault, progress: _Progress = lambda names, step: names) -> list[str]:
    """缺的都算好写下；返回没有跑完的片段，各是一句话：用到它们的函数不写下，下一次再算。

    异常：片段要的库没有装，抛 RizhiError，说怎么装。
    """
    keys = Keys(vault)
    stale, notes = waiting(vault, keys)
    paths = list(dict.fromkeys(path for symbol in stale for path in keys.users(symbol)))
    if absent := lacking(vault, paths):
        raise RizhiError(absent)
    for module in keys.files if stale else ():
        keys.source(module)  # 算的时候源码又改了，写下的键是改之前的
    bench = Bench(vault, known_bugs(vault) if stale or notes else ())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            found = pool.map(partial(_harvested, bench, stale), paths)
            calls: defaultdict[str, list[_Sketched]] = defaultdict(list)
            faults: dict[Path, str] = {}
            steps = progress([path.stem for path in paths], "记下调用")
            for _, path, (some, fault) in zip(steps, paths, found, strict=True):
                for symbol, call in some:
                    calls[symbol].append(call)
                if fault:
                    faults[path] = f"{path.stem} 没有跑完，用到它的函数下次再算：{fault}"
            jobs: list[tuple[str, Callable[[], None]]] = [
                (symbol, partial(_prove, bench, keys, symbol, note, calls[symbol]))
                for symbol, note in stale.items()
                if faults.keys().isdisjoint(keys.users(symbol))
            ]
            jobs += [(note.slug, partial(_ask, bench, keys, note)) for note in notes]
            done = pool.map(lambda job: job[1](), jobs)
            for _ in zip(progress([name for name, _ in jobs], "改坏重放"), done, strict=True):
                pass
        except BaseException:
            bench.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return list(faults.values())


# ---- 记下调用 ----


def _harvested(
    bench: Bench, stale: Iterable[str], path: Path
) -> tuple[list[tuple[str, _Sketched]], str]:
    """一个片段对各个函数的调用，与没有跑完的原因。"""
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for symbol in stale:
        module, _, name = symbol.partition(":")
        wanted[module].append(name)
    snippet = records.load(bench.vault, path).source
    given = (snippet, {module: tuple(names) for module, names in wanted.items()})
    found = []
    try:
        with bench.work(replay.harvest, given, HARVEST_SECONDS) as messages:
            for message in messages:
                head, _, data = message.partition(b"\n")
                found.append(_call(path.stem, json.loads(head), data))
    except RizhiError as error:
        return found, str(error)
    return found, ""


def _call(snippet: str, head: dict[str, Any], data: bytes) -> tuple[str, _Sketched]:
    first, second = head["sizes"]
    inputs = Inputs(data[:first], data[first : first + second], head["mode"])
    call = Call(snippet, head["number"], inputs, head["outcome"])
    return head["symbol"], (head["sketch"], call)


def _ordered(calls: Sequence[_Sketched], own: str) -> list[Call]:
    """先取的在前：样子少见的，再是那篇笔记自己的片段与别的片段轮流。"""
    groups: defaultdict[str, list[Call]] = defaultdict(list)
    first: dict[str, Call] = {}
    for sketch, call in sorted(calls, key=lambda one: (one[1].snippet != own, one[1].size)):
        kind = f"{sketch}{call.inputs.mode}{'raised' in call.outcome}"
        first.setdefault(replay.SIZES.sub("0", kind), call)
        groups[call.snippet].append(call)
    turns = [call for call in chain.from_iterable(zip_longest(*groups.values())) if call]
    return list({(call.snippet, call.number): call for call in (*first.values(), *turns)}.values())


def _within(calls: Sequence[Call], most: int, size: int) -> list[int]:
    """从前往后取，至多几次、几个字节；返回是第几个。"""
    kept: list[int] = []
    for at, call in enumerate(calls):
        if len(kept) < most and call.size <= size:
            kept.append(at)
            size -= call.size
    return kept


# ---- 证明一题 ----


def _prove(bench: Bench, keys: Keys, symbol: str, note: Note, calls: Sequence[_Sketched]) -> None:
    if bench.stop.is_set():
        return
    own = traces.snippet_of(bench.vault, note)
    drill, kept = _proved(bench, Drill(symbol, note.slug, own.stem, ""), own, calls)
    used = keys.used(kept)
    if not bench.stop.is_set():
        drill = replace(drill, key=keys.drill(symbol, note, used), used=used)
        traces.write_drill(bench.vault, drill, kept)


def _proved(
    bench: Bench, drill: Drill, own: Path, calls: Sequence[_Sketched]
) -> tuple[Drill, list[Call]]:
    _, path, name = traces.split(bench.vault, drill.symbol)
    text = read_text(path)
    pool = _ordered(calls, own.stem)
    pool = [pool[at] for at in _within(pool, POOL_CALLS, POOL_BYTES)]
    if not pool:
        return replace(drill, why="没有片段调用过它，或参数写不下来"), []
    sound = answer(bench, drill.symbol, text, pool, None, HARVEST_SECONDS)
    pool = [
        _settled(call, outcome)
        for call, outcome in zip(pool, sound.outcomes, strict=False)
        if _faithful(call.outcome, outcome)
    ]
    if not pool:
        return replace(drill, why="记下的调用没有一次重放得出同样的结果"), []
    trial = _Trial(bench, drill.symbol, text, pool, max(PATIENCE, TIMES * sound.seconds))
    made = [*stubs(text, name)[:1], *chosen(mutants(text, name), MOST)]
    tried = _rehearsed(trial, made, ENOUGH)
    if bench.stop.is_set():
        return drill, []
    stub, *tries = tried
    if stub.alive:
        return replace(drill, why="整个换成 raise 也看不出来"), []
    cells = _green(bench, drill, text, own)
    tries = [_checked(bench, drill, one, cells) if one.alive else one for one in tries]
    kept = _chosen_calls(pool, [stub, *tries])
    some = [pool[at] for at in kept]
    through = tuple(one.mutant.text for one in tries if one.alive)
    caught = len(tries) - len(through)
    why = "" if tries else "太短，没有可改坏的地方"
    if caught < SHARE * len(tries):
        why = f"改坏 {len(tries)} 处，只抓得住 {caught} 处"
    drill = replace(
        drill, why=why, caught=caught, tried=len(tries), through=through, calls=len(some),
        cells=cells.titles if cells else (),
    )  # fmt: skip
    if why or bench.stop.is_set():
        return drill, []
    dead = [one.mutant for one in tries if one.symptoms and not one.fault]
    final = replace(trial, pool=some)
    whole = _rehearsed(final, dead, 0)
    everyone = range(len(some))
    told = {pattern(one.symptoms, everyone): one.mutant.text for one in reversed(whole)}
    told |= _named_bugs(final)
    told.pop("", None)
    judged = answer(bench, drill.symbol, text, some, cells, HARVEST_SECONDS)
    took = round(1000 * judged.seconds)
    return replace(drill, symptoms=told, milliseconds=took), some


def _settled(call: Call, again: Mapping[str, Any]) -> Call:
    """结果换成重放的这一份：往后都与它比。"""
    outcome = {name: told for name, told in again.items() if name != "after"}
    inputs = replace(call.inputs, after=again.get("after", ""), changed=outcome["changed"])
    return replace(call, outcome=outcome, inputs=inputs)


def _faithful(seen: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """重放得出的是不是当时的结果；载入的对象有时多补几样（torch 的钩子表），只看两边都有的改动。"""
    if "unreadable" in again or "unknown" in seen:
        return "unreadable" not in again
    both = seen["changed"].keys() & again["changed"].keys()
    one, two = (
        {**outcome, "changed": {path: outcome["changed"][path] for path in both}}
        for outcome in (seen, again)
    )
    return not differs(one, two)


@dataclass(frozen=True)
class _Try:
    """一处突变试下来：哪几次调用失败、各是什么样子；`fault` 是没有跑完，`red` 是格子红了。"""

    mutant: Mutant
    symptoms: Mapping[int, str]
    reached: int  # 跑完了几次调用
    fault: bool
    red: bool = False

    @property
    def alive(self) -> bool:
        return not (self.symptoms or self.fault or self.red)


@dataclass(frozen=True)
class _Trial:
    """在哪里试、试哪个函数：好的源码、要重放的几次调用，与一次至多等几秒。"""

    bench: Bench
    symbol: str
    text: str
    pool: Sequence[Call]
    limit: float

    @property
    def name(self) -> str:
        return self.symbol.partition(":")[2]

    @property
    def given(self) -> tuple[Changed, str, list[Inputs]]:
        """子进程要的：换上哪份源码、哪个函数、各次调用的参数。"""
        module, path, name = traces.split(self.bench.vault, self.symbol)
        return Changed(module, str(path), self.text), name, [call.inputs for call in self.pool]


def _rehearsed(trial: _Trial, made: Sequence[Mutant], enough: int) -> list[_Try]:
    """各处突变逐一重放：同一个子进程里轮流换上，停住、死掉的一处之后另起一个；次序不变。"""
    plain = _signature(trial.text, trial.name)
    found: dict[int, _Try] = {}
    waiting = []
    for at, mutant in enumerate(made):
        if _signature(mutant.source, trial.name) == plain:
            waiting.append(at)
        else:  # 默认值变了，换字节码换不上
            found[at] = _tried(trial, mutant)
    while waiting and not trial.bench.stop.is_set():
        some = _batch(trial, [made[at] for at in waiting], enough)
        found |= dict(zip(waiting, some, strict=False))
        waiting = waiting[len(some) :]
    return [found[at] for at in range(len(made)) if at in found]


def _signature(text: str, name: str) -> str:
    return ast.dump(functions(text, name)[name].args)


def _batch(trial: _Trial, made: Sequence[Mutant], enough: int) -> list[_Try]:
    """从头起跑完的几处；没有跑完的一处也在内，是最后一个。"""
    given = (*trial.given, [mutant.source for mutant in made], enough)
    tried: list[_Try] = []
    seen: dict[int, str] = {}
    reached = 0
    try:
        seconds = trial.limit * (1 + len(made) / TIMES)
        with trial.bench.work(replay.rehearse, given, seconds) as messages:
            for data in map(json.loads, messages):
                mutant = made[data["mutant"]]
                if "at" in data:
                    reached = data["at"]
                elif "call" in data:
                    if differs(trial.pool[data["call"]].outcome, data["outcome"]):
                        seen[data["call"]] = symptom(data["outcome"])
                elif "unfit" in data or (data["stopped"] and not seen):
                    tried.append(_tried(trial, mutant))
                else:
                    tried.append(_Try(mutant, seen, reached, False))
                    seen = {}
    except RizhiError:
        if len(tried) < len(made):
            tried.append(_Try(made[len(tried)], seen, reached, True))
    return tried


def _tried(trial: _Trial, mutant: Mutant) -> _Try:
    """一处突变，另起一个子进程重放。"""
    got = answer(trial.bench, trial.symbol, mutant.source, trial.pool, None, trial.limit)
    seen = {at: symptom(got.outcomes[at]) for at in wrong(trial.pool, got)}
    return _Try(mutant, seen, len(got.outcomes), bool(got.fault or got.broken))


def _checked(bench: Bench, drill: Drill, one: _Try, cells: Cells | None) -> _Try:
    """重放看不出来的，再看那几格红不红。"""
    red = cells is not None and failed(bench, drill.symbol, one.mutant.source, cells) != []
    return replace(one, red=red)


def _chosen_calls(pool: Sequence[Call], tries: Sequence[_Try]) -> list[int]:
    """留下哪几次：每个突变至少有 EACH 次抓得住它，余下的按取的次序。"""
    wanted: dict[int, None] = {}
    for one in sorted(tries, key=lambda one: len(one.symptoms)):
        catching = [*one.symptoms, *([one.reached] if one.fault else [])]
        have = sum(at in wanted for at in catching)
        small = sorted((at for at in catching if at < len(pool)), key=lambda at: pool[at].size)
        for at in [at for at in small if at not in wanted][: max(EACH - have, 0)]:
            wanted[at] = None
    order = [*wanted, *(at for at in range(len(pool)) if at not in wanted)]
    return sorted(order[at] for at in _within([pool[at] for at in order], MOST_CALLS, MOST_BYTES))


def known_bugs(vault: Vault) -> tuple[Bug, ...]:
    """源码包自己的错，`[tool.rizhi] mutations` 说了在哪里才有。

    异常：设置写错了，或那里载不进来，抛 RizhiError。
    """
    places = vault.config.get("mutations", [])
    if not isinstance(places, list) or not all(isinstance(one, str) for one in places):
        raise RizhiError(
            "pyproject.toml 的 [tool.rizhi] mutations 应是一列「模块:名字」，"
            f'例如 ["llm.lab.mutations:MUTATIONS"]，现在是 {places!r}。'
        )
    if not places:
        return ()
    try:
        with Bench(vault).work(replay.bugs, (places,), HARVEST_SECONDS) as messages:
            told = [json.loads(data) for data in messages]
        if told and "fault" in told[-1]:
            raise RizhiError(told[-1]["fault"])
        return tuple(map(tuple, told))
    except RizhiError as error:
        raise RizhiError(
            f"读不出 [tool.rizhi] mutations 说的 {'、'.join(places)}：{str(error).rstrip('。')}。"
            "每一项是「模块:名字」，那里是一张表，"
            "每个错有 text，另有 apply（改模型）或 target 与 broken（换函数）。"
        ) from error


def _named_bugs(trial: _Trial) -> dict[str, str]:
    """源码包自己的错，在这个函数上各是什么样子。"""
    bugs, calls = trial.bench.bugs, trial.pool
    if not bugs:
        return {}
    seen: defaultdict[str, dict[int, str]] = defaultdict(dict)
    try:
        seconds = trial.limit * (1 + len(bugs) / TIMES)
        with trial.bench.work(replay.spoil, (*trial.given, bugs), seconds) as messages:
            for data in map(json.loads, messages):
                if differs(calls[data["call"]].outcome, data["outcome"]):
                    seen[data["bug"]][data["call"]] = symptom(data["outcome"])
    except RizhiError:
        return {}  # 改坏了跑不完，就没有这几个名字
    return {pattern(some, range(len(calls))): said for said, some in seen.items()}


# ---- 哪个检验会红 ----


def _ask(bench: Bench, keys: Keys, note: Note) -> None:
    asked = tuple(_questions(bench, note))
    if not bench.stop.is_set():
        traces.write_questions(bench.vault, Questions(note.slug, keys.questions(note), asked))


def _questions(bench: Bench, note: Note) -> Iterator[Question]:
    """改坏一处，恰有一格检验红、别的格子都跑得过的几处。"""
    path = traces.snippet_of(bench.vault, note)
    loaded = records.load(bench.vault, path) if path.is_file() else None
    if loaded is None or loaded.snippet is None:
        return
    snippet = loaded.snippet
    checks = tuple(cell.title for cell in snippet.code_cells if cell.checks)
    if len(checks) < 2:
        return
    symbols = traces.functions_of(bench.vault, note)
    sound = read_text(traces.split(bench.vault, symbols[0])[1])
    cells, found = green(bench, symbols[0], sound, snippet, set(checks)), 0
    if cells is None:
        return  # 没有改坏就红，问不成
    for symbol, said, text, bug in _tries(bench, note):
        if bench.stop.is_set() or found == PER_NOTE:
            return
        red = failed(bench, symbol, text, cells, bug)
        if red and len(red) == 1 and red[0] in checks:
            found += 1
            yield Question(symbol, said, checks, red[0])


def _tries(bench: Bench, note: Note) -> Iterator[tuple[str, str, str, Bug]]:
    """那篇笔记点名的各个函数轮流，各改几处；源码包自己的错在前。"""
    made = []
    for symbol in traces.functions_of(bench.vault, note):
        _, path, name = traces.split(bench.vault, symbol)
        text = read_text(path)
        mine = [
            (symbol, bug[2], text, bug) for bug in bench.bugs if bug[3] == symbol.replace(":", ".")
        ]
        others = chosen(mutants(text, name), TRIED)
        made.append([*mine, *((symbol, one.text, one.source, ()) for one in others)])
    turns = chain.from_iterable(zip_longest(*made))
    yield from [one for one in turns if one is not None][:TRIED]


def _green(bench: Bench, drill: Drill, text: str, own: Path) -> Cells | None:
    """那篇笔记的检验里说到它、又用得着它的几格（整个换成 raise 就红），与它们要的格子。"""
    loaded = records.load(bench.vault, own) if own.is_file() else None
    if loaded is None or loaded.snippet is None:
        return None
    snippet = loaded.snippet
    checks = {cell.title for cell in snippet.code_cells if cell.checks}
    everything = Cells(snippet, tuple(cell.title for cell in snippet.code_cells))
    (stub,) = stubs(text, traces.split(bench.vault, drill.symbol)[2])
    touched = checks.intersection(failed(bench, drill.symbol, stub.source, everything) or ())
    subject = traces.subject(drill.symbol)
    named = {cell.title for cell in snippet.code_cells if subject in mentioned(cell)}
    touched = touched & named or touched  # 说到它的几格就够；一格也没有说到，才都要
    return green(bench, drill.symbol, text, snippet, touched)
