"""子进程里：跑一遍片段，看写着形状注释的各行真的得到什么形状，再换几组大小各跑一遍那一句。

换大小不改片段：把那一句读到的张量与整数换成新的，只把那一句再执行一次；跑得通的才算，所以答案总是真跑
出来的。权重的大小换不了，与它有关的那一维就留着原来的。内容决定形状的（布尔下标）看不出来，不问。

不认得哪一个库：有 `shape` 的就是张量。
"""

import ast
import copy
import io
import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from math import lcm
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from rizhi.recall.replay import generators, set_generators
from rizhi.snippets.cells import Snippet
from rizhi.snippets.program import Program

Shape = tuple[int, ...]
Place = tuple[str, int]
Sizes = dict[Place, int]
PRIMES = (3, 5, 7, 11, 13, 17)  # 没有 2：对半切就剩 1，广播什么都对得上
DRAWS = 4  # 一种输入换几组大小
KINDS = 2  # 一行至多看几种输入
CALLS = 64  # 一行执行过这么多次，就不再看它
OPAQUE = "一个 "
_RESULT = "__rizhi_result__"
_DIVISOR = re.compile(r"/(\d+)")  # 注释里的 R/2


@dataclass(frozen=True)
class Wanted:
    """要看的一行：文件、语句的首末行，与注释里的各维。"""

    path: str
    first: int
    last: int
    dims: tuple[str, ...]


def trace(send: Callable[[bytes], None], snippet: Snippet, wanted: Sequence[Wanted]) -> None:
    """跑完一个片段，送回一行 JSON：各行看到的与换了大小再跑的。"""
    tracer = _Tracer(wanted)
    program = Program(snippet)
    nowhere = io.StringIO()
    nowhere.write = len  # type: ignore[method-assign]
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        sys.settrace(tracer)
        try:
            for cell in snippet.code_cells:
                program.run(cell)
        except BaseException:  # noqa: S110  它自己就红：看到哪里算哪里
            pass
        finally:
            sys.settrace(None)
    send(json.dumps([vars(line) for line in tracer.seen.values()]).encode())


@dataclass
class Seen:
    """一行看到的：`variants` 是（给了什么、得到什么形状）。"""

    number: int
    variants: list[tuple[list[str], Shape]] = field(default_factory=list)
    unclear: bool = False  # 形状由内容定，或与注释对不上（注释说的也许是这一句里的一段）


@dataclass
class _Line:
    number: int
    wanted: Wanted
    node: ast.stmt
    inputs: set[tuple[str, ...]] = field(default_factory=set)
    calls: int = 0

    @property
    def done(self) -> bool:
        return self.calls >= CALLS or len(self.inputs) >= KINDS


@dataclass(frozen=True)
class _Pending:
    line: _Line
    scope: Mapping[str, Any]
    given: Mapping[str, str]


class _Tracer:
    """`sys.settrace` 的回调。"""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.files: dict[str, dict[int, _Line]] = {}
        self.seen: dict[int, Seen] = {}
        self.pending: dict[FrameType, _Pending] = {}
        self.codes: dict[CodeType, list[_Line]] = {}
        for number, one in enumerate(wanted):
            node = statement(Path(one.path).read_text("utf-8"), one.first, one.last)
            if node is not None:
                self.files.setdefault(one.path, {})[one.first] = _Line(number, one, node)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """进了一个函数；没有要看的行的不看。"""
        lines = self.files.get(frame.f_code.co_filename)
        name = frame.f_code.co_name
        if not lines or (name.startswith("<") and name != "<module>"):
            return None
        if frame.f_code not in self.codes:
            found = {line for _, _, line in frame.f_code.co_lines() if line}
            self.codes[frame.f_code] = [one for at, one in lines.items() if at in found]
        waiting = any(not line.done for line in self.codes[frame.f_code])
        return self.inside if waiting else None

    def inside(self, frame: FrameType, event: str, arg: Any) -> Any:
        """函数里的一件事：到了新的一行、抛了异常、要返回。"""
        pending = self.pending.get(frame)
        if event == "line":
            here = frame.f_lineno
            if pending and pending.line.wanted.first <= here <= pending.line.wanted.last:
                return self.inside  # 写成几行的语句会来回报几次行号
            if pending:
                self._settle(frame, pending, None)
            line = self.files[frame.f_code.co_filename].get(here)
            if line and not line.done:
                line.calls += 1
                scope = dict(_read(line.node, frame))
                self.pending[frame] = _Pending(line, scope, _given(line.node, scope))
        elif event == "exception":
            self.pending.pop(frame, None)
        elif event == "return" and pending:
            self._settle(frame, pending, arg)
        return self.inside

    def _settle(self, frame: FrameType, pending: _Pending, returned: Any) -> None:
        """一句执行完了：看它得到什么形状，再换几组大小。"""
        del self.pending[frame]
        line, node = pending.line, pending.line.node
        if not isinstance(node, ast.Return):
            returned = _lookup(target_of(node), {**frame.f_globals, **frame.f_locals})
        shape, inputs = shape_of(_first(returned)), tuple(pending.given.values())
        if shape is None or inputs in line.inputs:
            return
        seen = self.seen.setdefault(line.number, Seen(line.number))
        if not agrees(line.wanted.dims, shape):
            seen.unclear = True
            return
        line.inputs.add(inputs)
        again = _Again(node, dict(frame.f_globals), pending.scope)
        drawn = again.draws(line.wanted, shape)
        if drawn is None:
            seen.unclear = True
            return
        for scope, got in drawn:
            given = _given(node, {**pending.scope, **scope})
            variant = list(given.values()), got
            if variant not in seen.variants:
                seen.variants.append(variant)


# ---- 换大小再跑一遍 ----


@dataclass
class _Again:
    node: ast.stmt
    globals: dict[str, Any]
    scope: Mapping[str, Any]

    def draws(self, wanted: Wanted, shape: Shape) -> list[tuple[dict[str, Any], Shape]] | None:
        """几组（换了的名字、得到的形状）；一组也换不了就是原来的，形状由内容定是 None。"""
        try:
            if self._run(self._resized({})) != shape:
                return None
        except Exception:
            hidden = any(_is_bool(value) for value in self.scope.values())
            return None if hidden else [({}, shape)]
        found: list[tuple[Sizes, Shape]] = []
        for number in range(DRAWS):
            draw = random.Random(f"{wanted.first}:{wanted.dims}:{number}")  # noqa: S311
            scope, got = self._draw(draw, wanted.dims)
            if scope and (scope, got) not in found:
                found.append((scope, got))
        return [(self._resized(sizes), got) for sizes, got in found] or [({}, shape)]

    def _draw(self, draw: random.Random, dims: tuple[str, ...]) -> tuple[Sizes, Shape]:
        """一处一处地换成各不相同的质数；换了跑不通、与注释对不上的，与同样大小的几处一起换。

        注释里有除法（R/2）的，换成质数的那么多倍：R 是 7，写不成 (R/2,) = (4,)。
        """
        places = self._places()
        times = lcm(*(int(number) for text in dims for number in _DIVISOR.findall(text)))
        primes = [n for n in (times * prime for prime in PRIMES) if n not in places.values()]
        draw.shuffle(primes)
        changed: Sizes = {}
        shape: Shape = ()
        for group in _groups(places, dims):
            if not primes or not changed.keys().isdisjoint(group):
                continue
            try:
                got = self._run(self._resized({**changed, **dict.fromkeys(group, primes[-1])}))
            except Exception:  # noqa: S112  权重的那一维换不了
                continue
            broadcast = places[group[0]] == 1
            if got and agrees(dims, got) and not (broadcast and got[0] != primes[-1]):
                changed |= dict.fromkeys(group, primes.pop())
                shape = got
        return changed, shape

    def _places(self) -> Sizes:
        """读到的各个大小：（名字、从后数第几维）→ 数；整数的维是 0。"""
        places: Sizes = {}
        for name, value in self.scope.items():
            shape = shape_of(value)
            if shape is not None:
                places |= {(name, at - len(shape)): size for at, size in enumerate(shape)}
            elif type(value) is int and value > 0:
                places[name, 0] = value
        return places

    def _resized(self, changed: Sizes) -> dict[str, Any]:
        """换了大小的名字：张量换成同样类型的零，整数换成新的数。"""
        made = {}
        for name, value in self.scope.items():
            shape = shape_of(value)
            if shape is not None:
                sized = (changed.get((name, n - len(shape)), size) for n, size in enumerate(shape))
                made[name] = _zeros(value, tuple(sized))
            elif type(value) is int:
                made[name] = changed.get((name, 0), value)
        return made

    def _run(self, scope: Mapping[str, Any]) -> Shape | None:
        """换上这些名字执行这一句，得到的形状；别的对象先拷一份，免得被它改了。"""
        left = ((name, value) for name, value in self.scope.items() if name not in scope)
        kept = {name: value if _shared(value) else copy.deepcopy(value) for name, value in left}
        space = {**self.globals, **kept, **scope}
        node: ast.stmt = self.node
        if isinstance(node, ast.Return):
            assert node.value  # noqa: S101  没有值的不在要看的里面
            node = ast.Assign([ast.Name(_RESULT, ast.Store())], node.value)
        tree = ast.fix_missing_locations(ast.Module([node], []))
        with _undisturbed():
            exec(compile(tree, "<again>", "exec"), space)  # noqa: S102  就是片段自己的这一句
        name = _RESULT if isinstance(self.node, ast.Return) else target_of(node)
        return shape_of(_first(_lookup(name, space)))


def _groups(places: Sizes, dims: tuple[str, ...]) -> Iterator[tuple[Place, ...]]:
    """要试着一起换的几处：先是单独一处，再是各个张量的同一维，再是同样大小的全部。

    大小是 1 的多半是广播用的，只试头一维，结果的头一维也要是字母。
    """
    sizes = sorted({size for size in places.values() if size > 1}, reverse=True)
    for size in sizes:
        same = [place for place, n in places.items() if n == size]
        yield from ((place,) for place in same if place[1])
        for axis in sorted({axis for _, axis in same if axis}):
            yield tuple(place for place in same if place[1] == axis)
        yield from ((place,) for place in same if not place[1])
        yield tuple(same)
    ranks = {name: min(at for other, at in places if other == name) for name, _ in places}
    ones = [place for place, n in places.items() if n == 1 and place[1] == ranks[place[0]]]
    heads = tuple(place for place in ones if place[1])
    if heads and dims[0].isidentifier():
        yield heads
        yield tuple(ones)


def _zeros(value: Any, shape: Shape) -> Any:
    if hasattr(value, "new_zeros"):
        return value.new_zeros(shape)
    return sys.modules["numpy"].zeros(shape, value.dtype)


def _shared(value: Any) -> bool:
    """用不着拷的：模块、函数、类，与不会变的。"""
    kinds = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type)
    return isinstance(value, (*kinds, int, float, str, bytes, bool, type(None)))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """其间用掉的随机数还回去：片段后面的结果不因为多跑了几遍而变。"""
    saved = generators()
    try:
        yield
    finally:
        set_generators(saved)


# ---- 一句读了什么、得到什么 ----


def statement(source: str, first: int, last: int) -> ast.stmt | None:
    """占着这几行的赋值或返回语句。"""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return):
            if node.value and (node.lineno, node.end_lineno) == (first, last) and target_of(node):
                return node
    return None


def target_of(node: ast.stmt) -> str:
    """得到的（头一个）叫什么；返回值叫 return，不是名字、属性的是空串。"""
    if isinstance(node, ast.Return):
        return "return"
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if isinstance(target, ast.Tuple):
        target = target.elts[0]
    return ast.unparse(target) if isinstance(target, ast.Name | ast.Attribute) else ""


def _lookup(name: str, scope: Mapping[str, Any]) -> Any:
    head, *rest = name.split(".")
    value = scope.get(head)
    for part in rest:
        value = getattr(value, part, None)
    return value


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value and shape_of(value) is None else value


def _read(node: ast.stmt, frame: FrameType) -> Iterator[tuple[str, Any]]:
    """这一句读到的名字与它们的值，按写的次序；内建的不算。"""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    if not isinstance(node, ast.AugAssign):
        names = [n for n in names if isinstance(n.ctx, ast.Load)]
    for one in sorted(names, key=lambda n: (n.lineno, n.col_offset)):
        if one.id in frame.f_locals:
            yield one.id, frame.f_locals[one.id]
        elif one.id in frame.f_globals:
            yield one.id, frame.f_globals[one.id]


def _given(node: ast.stmt, scope: Mapping[str, Any]) -> dict[str, str]:
    """题面要给的：读到的名字与属性 → 说它是什么；函数、模块、类不必给。"""
    said: dict[str, str] = {}
    chains = [n for n in ast.walk(node) if isinstance(n, ast.Attribute)]
    chains = [chain for chain in chains if isinstance(chain.ctx, ast.Load)]
    owners = set()
    for chain in sorted(chains, key=lambda n: (n.lineno, n.col_offset, -(n.end_col_offset or 0))):
        text = ast.unparse(chain)
        head = text.partition(".")[0]
        if not text.replace(".", "").isidentifier() or head not in scope:
            continue
        if isinstance(scope[head], ModuleType) or shape_of(scope[head]) is not None:
            continue
        if told := _told(text, _lookup(text, scope)):
            said[text] = told
            owners.add(head)
    for name, value in scope.items():
        if name not in owners and (told := _told(name, value)):
            said[name] = told
    return {name: told for name, told in said.items() if not _inside(name, said)}


def _inside(name: str, said: Mapping[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in said)


def _told(name: str, value: Any) -> str:
    """`x：(2, 5, 24)`、`B = 2`；不必说的是空串。"""
    if callable(value) and not hasattr(value, "_modules"):
        return ""
    if isinstance(value, ModuleType) or type(value).__name__ in ("dtype", "device"):
        return ""
    shape = shape_of(value)
    if shape is not None:
        return f"{name}：{shape}"
    if isinstance(value, bool | int | float | str | type(None)):
        return f"{name} = {value!r}"[:60]
    if isinstance(value, tuple | list) and value and all(shape_of(v) is not None for v in value):
        inner = "、".join(str(shape_of(v)) for v in value[:3])
        return f"{name}：{len(value)} 个，{inner}{'…' if len(value) > 3 else ''}"
    text = repr(value) if hasattr(value, "_modules") else ""
    plain = re.search(r"\d", text) and len(text) < 90 and "\n" not in text
    return f"{name}：{text if plain else f'{OPAQUE}{type(value).__name__}'}"


def shape_of(value: Any) -> Shape | None:
    """张量的形状；不是张量是 None。"""
    shape = getattr(value, "shape", None) if not isinstance(value, type) else None
    if not isinstance(shape, tuple) or not hasattr(value, "dtype"):
        return None
    return tuple(int(n) for n in shape)


def _is_bool(value: Any) -> bool:
    return shape_of(value) is not None and str(value.dtype).endswith("bool")


def agrees(dims: Sequence[str], shape: Shape) -> bool:
    """注释与真的形状对不对得上：维数一样，写数的相等，同一个字母是同一个数。"""
    if len(dims) != len(shape):
        return False
    letters: dict[str, int] = {}
    for text, size in zip(dims, shape, strict=True):
        if text.isdigit() and int(text) != size:
            return False
        if text.isidentifier() and letters.setdefault(text, size) != size:
            return False
    return True
