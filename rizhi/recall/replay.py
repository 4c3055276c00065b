"""在片段的子进程里：记下源码包的函数的各次调用；换上一份源码，把它们再跑一遍。

记下的参数是 pickle，只在这里、装好防护之后载入，命令那一侧只当它是字节（见 `sealed`）。
"""

import ast
import functools
import inspect
import io
import json
import linecache
import pickle
import random
import re
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import islice
from typing import Any

from rizhi.recall.mutants import find
from rizhi.recall.values import Describer, Leaves, TooLargeError
from rizhi.snippets.cells import Cell, Snippet
from rizhi.snippets.child import settle
from rizhi.snippets.program import Program
from rizhi.snippets.stream import OutputRefused

Send = Callable[[bytes], None]
Mark = Callable[[str], Callable[[Any], Any]]
PER_SKETCH = 2  # 样子（形状、类型、短的值）相同的，至多记这么多次
PER_SNIPPET = 24
CALL_BYTES = 1 << 20  # 一次调用的参数与结果
SIZES = re.compile(r"(?<![a-z\d])\d+")  # 形状与数里的数字；float32 的不是
_YIELDED = 1000  # 生成器至多看这么多项
_MARK = "__rizhi_mark__"
_DEEP = 3


@dataclass(frozen=True)
class Inputs:
    """一次调用的参数与当时的设定：pickle 的参数与随机数的状态（没有用到就是空的）。

    `after` 是好的源码跑完之后参数的指纹，`changed` 是它改动了哪些：指纹一样，改动也就一样，
    不必再读一遍参数、逐个去比。还没有跑过的是空的。
    """

    arguments: bytes
    generators: bytes
    mode: Mapping[str, Any]
    after: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Changed:
    """一个模块换上的源码。"""

    module: str
    path: str
    text: str


@dataclass(frozen=True)
class Cells:
    """一个片段里要跑的几格。"""

    snippet: Snippet
    titles: tuple[str, ...]

    @property
    def wanted(self) -> list[Cell]:
        return [cell for cell in self.snippet.code_cells if cell.title in self.titles]


# ---- 记下 ----


def harvest(send: Send, snippet: Snippet, wanted: Mapping[str, Sequence[str]]) -> None:
    """跑完一个片段，送回 `wanted`（模块 → 里面的函数）的各次调用：一行 JSON，再是两段 pickle。"""
    recorder = _Recorder(send, Describer(CALL_BYTES))
    _load_marked(wanted, recorder.mark)
    program = Program(snippet)
    for cell in snippet.code_cells:
        try:
            program.run(cell)
        except BaseException:  # 它自己就红，或者被记录绊住了：记到哪里算哪里
            return


@dataclass
class _Recorder:
    send: Send
    describer: Describer
    busy: bool = False  # 正在写下一次调用：其间的调用不是片段的
    numbers: Counter[str] = field(default_factory=Counter)
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)

    def mark(self, name: str) -> Callable[[Any], Any]:
        return functools.partial(self._wrapped, name)

    def _wrapped(self, name: str, function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self.busy:
                return function(*args, **kwargs)
            self.numbers[name] += 1
            taken = self._take(name, function, args, kwargs)
            if taken is None:
                return function(*args, **kwargs)
            number, seeds = self.numbers[name], generators()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                raised = {"raised": type(error).__name__}
                self._keep(name, number, taken, seeds, lambda: raised)
                raise
            self._keep(
                name, number, taken, seeds, functools.partial(self._returned, function, result)
            )
            return result

        return wrapper

    def _take(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """参数此刻的样子；样子见得够多了、太大、写不下来，就是 None。"""
        self.busy = True
        try:
            sketch = _sketch([args, kwargs], _DEEP)
            about, rough = (name, sketch), (name, SIZES.sub("0", sketch))
            full = self.kept[name, ""] >= PER_SNIPPET and rough in self.kept  # 新的一种总还要
            if full or self.kept[about] >= PER_SKETCH:
                return None
            self.kept[about] += 1  # 写不下来的也算：同一个样子的，再试也写不下来
            self.kept[rough] += about != rough
            written = _pickled((args, kwargs))
            inside = _named(function, args, kwargs)
            before = self.describer.leaves(inside)
            self.kept[name, ""] += 1
            return function, inside, before, sketch, Inputs(written, b"", _mode())
        except Exception:
            return None
        finally:
            self.busy = False

    def _returned(self, function: Any, result: Any) -> dict[str, Any]:
        """返回了什么；生成器还没有跑，不知道。"""
        if inspect.isgeneratorfunction(function):
            return {"unknown": True}
        return {"returned": self.describer.leaves(result)}

    def _keep(
        self,
        name: str,
        number: int,
        taken: Any,
        seeds: dict[str, Any],
        told: Callable[[], dict[str, Any]],
    ) -> None:
        """送回一次调用；`told` 给出它的结果。"""
        self.busy = True
        try:
            _, inside, before, sketch, inputs = taken
            used = {k: v for k, v in seeds.items() if repr(v) != repr(generators()[k])}
            outcome = told() | {"changed": _changed(before, self.describer.leaves(inside))}
            drawn = _pickled(used) if used else b""
            head = {
                "symbol": name,
                "number": number,
                "sketch": sketch,
                "mode": inputs.mode,
                "outcome": outcome,
                "sizes": [len(inputs.arguments), len(drawn)],
            }
            self.send(json.dumps(head).encode() + b"\n" + inputs.arguments + drawn)
        except Exception:
            return  # 写不下来的结果比不了，这一次不算
        finally:
            self.busy = False


def _pickled(value: object) -> bytes:
    """异常：写不下来，抛各种错；太大，抛 TooLargeError。"""
    data = pickle.dumps(value, protocol=5)
    if len(data) > CALL_BYTES:
        raise TooLargeError
    return data


def _sketch(value: Any, deep: int) -> str:
    """一次调用大致的样子：形状、类型、短的值；同一个样子的不必都记。"""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return repr(value)[:40]
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{tuple(value.shape)}{getattr(value, 'requires_grad', '')}"
    if deep and kind in (list, tuple):
        return (
            f"{kind.__name__}[{','.join(_sketch(one, deep - 1) for one in value[:8])}]{len(value)}"
        )
    if deep and isinstance(value, dict):
        inside = (f"{key!r}:{_sketch(one, deep - 1)}" for key, one in islice(value.items(), 12))
        return f"{kind.__name__}{{{','.join(inside)}}}{len(value)}"
    fields: dict[str, Any] = getattr(value, "__dict__", {})
    if deep and fields and not isinstance(value, type):
        parts = [fields, *(fields.get(name) or {} for name in ("_parameters", "_modules"))]
        told = (f"{k}:{_brief(v)}" for part in parts for k, v in islice(part.items(), 40))
        return f"{kind.__qualname__}({','.join(told)})"
    return kind.__qualname__


def _brief(value: Any) -> str:
    """对象里的一样东西：短的值照写，别的只说是哪一种；有没有、开没开，正是要分开的。"""
    kind = type(value)
    plain = value is None or kind in (bool, int, str)
    return repr(value)[:20] if plain else kind.__name__


def _named(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """参数按名字放：说改动了哪一个时用得上。"""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    rest = [f"第 {number} 个参数" for number in range(len(names) + 1, len(args) + 1)]
    return dict(zip((*names, *rest), args, strict=False)) | dict(kwargs)


def _changed(before: Leaves, after: Leaves) -> Leaves:
    """调用之后不一样了的叶子；没有了的也算。"""
    gone = {path: ["gone", ""] for path in before if path not in after}
    return {path: leaf for path, leaf in after.items() if before.get(path) != leaf} | gone


def generators() -> dict[str, Any]:
    """各个随机数发生器此刻的状态。"""
    found: dict[str, Any] = {"random": random.getstate()}
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_rng_state().numpy().tobytes()
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = numpy.random.get_state()
    return found


def set_generators(found: Mapping[str, Any]) -> None:
    """回到 `generators` 给出的状态；没有记下的不动。"""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if "random" in found:
        random.setstate(found["random"])
    if numpy and "numpy" in found:
        numpy.random.set_state(found["numpy"])
    if torch and "torch" in found:
        torch.set_rng_state(torch.frombuffer(bytearray(found["torch"]), dtype=torch.uint8))


def _mode() -> dict[str, Any]:
    """torch 的几个开关此刻怎样。"""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    auto = torch.is_autocast_enabled("cpu")
    name = str(torch.get_autocast_dtype("cpu")).removeprefix("torch.") if auto else ""
    return {"grad": torch.is_grad_enabled(), "autocast": name}


# ---- 再跑一遍 ----


def replay(
    send: Send,
    changed: Changed,
    name: str,
    calls: Sequence[Inputs],
    cells: Cells | None,
) -> None:
    """换上一份源码，把 `name` 记下的各次调用与点名的几格再跑一遍，一样送回一份 JSON。"""
    describer, dumps = Describer(CALL_BYTES), json.dumps
    ready = _ready(cells)
    try:
        function = _loaded(changed, name)
    except BaseException as error:
        send(dumps({"broken": _raised(error, changed.path)}).encode())
        return
    for number, inputs in enumerate(calls):
        outcome = _again(describer, function, inputs, changed.path)
        send(dumps({"call": number, "outcome": outcome}).encode())
        if outcome.get("raised") == OutputRefused.__name__:
            return  # 打印得太多：后面的也一样
    settle(frozenset())  # 格子从同样的种子起
    _allow_rounding()
    for program, cell in ready:
        outcome = {}
        try:
            program.run(cell)
        except BaseException as error:
            outcome = _raised(error, changed.path)
        send(dumps({"cell": cell.title, "outcome": outcome}).encode())
        if outcome and not cell.checks:
            return  # 后面的要用它


def rehearse(
    send: Send,
    changed: Changed,
    name: str,
    calls: Sequence[Inputs],
    texts: Sequence[str],
    enough: int,
) -> None:
    """一份份源码轮流换上，各把记下的调用跑一遍：只换那个函数的字节码，不必每份另起一个子进程。

    只送回与换之前不一字不差的；有 `enough` 次不同就不再跑它剩下的，0 是都跑。
    """
    function, describer = _loaded(changed, name), Describer(CALL_BYTES)
    sound = [_again(describer, function, inputs, changed.path) for inputs in calls]
    for number, text in enumerate(texts):
        try:
            function.__code__ = _code_of(compile(text, changed.path, "exec"), name)
        except ValueError:  # 用到的外层名字变了，换不上
            send(json.dumps({"mutant": number, "unfit": True}).encode())
            continue
        left = enough
        for at, inputs in enumerate(calls):
            send(json.dumps({"mutant": number, "at": at}).encode())
            outcome = _again(describer, function, inputs, changed.path)
            if outcome != sound[at]:
                send(json.dumps({"mutant": number, "call": at, "outcome": outcome}).encode())
                left -= 1
                if left == 0:
                    break
        send(json.dumps({"mutant": number, "stopped": left == 0}).encode())


def _code_of(code: types.CodeType, name: str) -> types.CodeType:
    """编译好的模块里，名叫 `name` 的函数的字节码。

    异常：没有，抛 ValueError。
    """
    waiting = [code]
    while waiting:
        inside = [one for one in waiting.pop(0).co_consts if isinstance(one, types.CodeType)]
        for one in inside:
            if one.co_qualname == name:
                return one
        waiting += inside
    raise ValueError(name)


def bare(
    send: Send, changed: Changed, name: str, calls: Sequence[Inputs], cells: Cells | None
) -> None:
    """只跑，不记也不比：判一次要多少时间，与它相比（基准用）。"""
    ready, function = _ready(cells), _loaded(changed, name)
    for inputs in calls:
        args, kwargs = pickle.loads(inputs.arguments)  # noqa: S301  本机自己写下的，见 sealed
        with suppress(Exception), _as_it_was(inputs):  # 记下的调用里就有该抛错的
            function(*args, **kwargs)
    settle(frozenset())
    for program, cell in ready:
        program.run(cell)


def _allow_rounding() -> None:
    """检验要逐位相同的，也容许舍入之差：换一种写法不算错，与重放的容差是一把尺子。"""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    exact = torch.testing.assert_close

    @functools.wraps(exact)
    def rounded(actual: Any, expected: Any, **options: Any) -> None:
        if options.get("rtol") == options.get("atol") == 0:
            options = {key: options[key] for key in options if key not in ("rtol", "atol")}
        exact(actual, expected, **options)

    torch.testing.assert_close = rounded


def _ready(cells: Cells | None) -> list[tuple[Program, Cell]]:
    if cells is None:
        return []
    program = Program(cells.snippet)
    return [(program, cell) for cell in cells.wanted]


def _loaded(changed: Changed, name: str) -> Any:
    """换上源码载入那个模块，给出 `name` 还没有套上别的装饰器的函数。"""
    taken: list[Any] = []

    def take(function: Any) -> Any:
        taken.append(function)
        return function

    _load_marked({changed.module: (name,)}, lambda _: take, changed)
    import_module(changed.module)
    return taken[0]


def bugs(send: Send, places: Sequence[str]) -> None:
    """源码包自己的错：哪张表（`模块:名字`）、键、一句话，与换掉哪个函数（没有就是改模型的）。"""
    for place in places:
        try:
            table = _table(place)
        except Exception as error:  # 没有这个模块，缺它要的库
            send(json.dumps({"fault": f"{type(error).__name__}：{error}"}).encode())
            return
        for key, bug in table.items():
            told = [place, key, str(bug.text), str(getattr(bug, "target", ""))]
            send(json.dumps(told).encode())


def spoil(
    send: Send, changed: Changed, name: str, calls: Sequence[Inputs], known: Sequence[Sequence[str]]
) -> None:
    """源码包自己的错逐个试：换掉这个函数的，用换上的那个；改模型的，先改坏参数里的模型再照原样调用。"""
    function, describer = _loaded(changed, name), Describer(CALL_BYTES)
    for place, key, text, target in known:
        bug = _table(place)[key]
        if target not in ("", f"{changed.module}.{name}"):
            continue
        called = bug.broken(function) if target else function
        apply = None if target else bug.apply
        for number, inputs in enumerate(calls):
            try:
                plain = replace(inputs, after="")  # 参数先改坏了，好的那一份的指纹用不上
                outcome = _again(describer, function, plain, changed.path, apply, called)
            except _NoModelError:
                continue
            send(json.dumps({"bug": text, "call": number, "outcome": outcome}).encode())


def _table(place: str) -> Mapping[str, Any]:
    module, _, name = place.partition(":")
    return dict(getattr(import_module(module), name))


class _NoModelError(Exception):
    """参数里没有模型，没有可改坏的。"""


def _again(
    describer: Describer,
    function: Any,
    inputs: Inputs,
    path: str,
    spoil: Callable[[Any], None] | None = None,
    called: Any = None,
) -> dict[str, Any]:
    try:
        args, kwargs = pickle.loads(inputs.arguments)  # noqa: S301  本机自己写下的，见 sealed
        if spoil:
            _spoil(spoil, (*args, *kwargs.values()))
        inside = _named(function, args, kwargs)
        before = {} if inputs.after else describer.leaves(inside)
    except _NoModelError:
        raise
    except Exception as error:
        return {"unreadable": repr(error)[:200]}
    outcome: dict[str, Any]
    try:
        with _as_it_was(inputs):
            result = (called or function)(*args, **kwargs)
            if isinstance(result, types.GeneratorType):
                result = list(islice(result, _YIELDED))
        outcome = {"returned": describer.leaves(result)}
    except BaseException as error:
        outcome = _raised(error, path)
    try:
        after = describer.leaves(inside)
    except TooLargeError:
        return outcome | {"changed": {"": ["str", "太大"]}}
    digest = describer.digest(after)
    if not inputs.after:
        return outcome | {"changed": _changed(before, after), "after": digest}
    if digest == inputs.after:
        return outcome | {"changed": inputs.changed}
    args, kwargs = pickle.loads(inputs.arguments)  # noqa: S301  本机自己写下的，见 sealed
    before = describer.leaves(_named(function, args, kwargs))
    return outcome | {"changed": _changed(before, after)}


def _spoil(apply: Callable[[Any], None], values: Sequence[Any]) -> None:
    torch = sys.modules.get("torch")
    models = [one for one in values if torch and isinstance(one, torch.nn.Module)]
    if not torch or not models:
        raise _NoModelError
    with torch.no_grad():
        for model in models:
            apply(model)


@contextmanager
def _as_it_was(inputs: Inputs) -> Iterator[None]:
    """随机数与 torch 的开关回到记下的那一刻。"""
    set_generators(pickle.loads(inputs.generators) if inputs.generators else {})  # noqa: S301
    torch = sys.modules.get("torch")
    with ExitStack() as stack:
        if torch and inputs.mode:
            stack.enter_context(torch.set_grad_enabled(inputs.mode["grad"]))
            if name := inputs.mode["autocast"]:
                stack.enter_context(torch.autocast("cpu", getattr(torch, name)))
        yield


def _raised(error: BaseException, path: str) -> dict[str, Any]:
    """一个异常：哪一种、说了什么、在源码的第几行。"""
    lines, at = [], error.__traceback__
    while at:
        if at.tb_frame.f_code.co_filename == path:
            lines.append(at.tb_lineno)
        at = at.tb_next
    try:
        said = str(error)[:300]
    except BaseException:
        said = ""
    return {"raised": type(error).__name__, "said": said, "line": lines[-1] if lines else 0}


# ---- 哪个检验会红 ----


def check(send: Send, changed: Changed, cells: Cells, bug: Sequence[str] = ()) -> None:
    """换上一份源码，或换掉一个函数（`bug`），跑那几格，错了也接着跑；送回出错的各格。"""
    _load_marked({changed.module: ()}, lambda name: lambda function: function, changed)
    program, failed = Program(cells.snippet), []
    if not bug:
        _allow_rounding()
    else:
        place, key, _, target = bug
        owner: Any = import_module(changed.module)
        *above, name = target.removeprefix(f"{changed.module}.").split(".")
        for one in above:
            owner = getattr(owner, one)
        setattr(owner, name, _table(place)[key].broken(vars(owner)[name]))
    for cell in cells.wanted:
        try:
            program.run(cell)
        except BaseException:
            failed.append(cell.title)
    send(json.dumps(failed).encode())


# ---- 载入源码包 ----


def _load_marked(
    wanted: Mapping[str, Sequence[str]], mark: Mark, changed: Changed | None = None
) -> None:
    """此后载入的这些模块，点名的函数经过 `mark`；`changed` 的那个模块换上它的源码。"""
    sys.meta_path.insert(0, _Finder(wanted, mark, changed))
    if changed:  # 回溯里看到的是换上的这一份
        lines = io.StringIO(changed.text, newline=None).readlines()
        linecache.cache[changed.path] = len(changed.text), None, lines, changed.path


@dataclass
class _Finder:
    wanted: Mapping[str, Sequence[str]]
    mark: Mark
    changed: Changed | None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self.wanted:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.origin:
            spec.loader = _Loader(name, spec.origin, self)
        return spec


class _Loader(SourceFileLoader):
    """从换上的源码载入一个模块，点名的函数套上一层；行号不变。"""

    def __init__(self, name: str, path: str, finder: _Finder) -> None:
        super().__init__(name, path)
        self.finder = finder

    def get_data(self, path: str) -> bytes:
        changed = self.finder.changed
        if changed and changed.module == self.name:
            return changed.text.encode()
        return super().get_data(path)

    def get_code(self, fullname: str) -> types.CodeType:
        tree = ast.parse(self.get_data(self.path))
        for name in self.finder.wanted[self.name]:
            node: Any = find(tree.body, name)
            place = ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant(f"{self.name}:{name}")], [])
            # 最里面的一层：staticmethod 与 property 之类照旧套在外面
            node.decorator_list.append(ast.copy_location(place, node))
        ast.fix_missing_locations(tree)
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)[_MARK] = self.finder.mark
        super().exec_module(module)
        vars(module).pop(_MARK, None)
