"""把源码里的一个符号改坏：纯由语法树得出，每次只改一处，其余的字符与行号都不动。

`mutants` 一处一处改，`stubs` 把一个函数的函数体整个换掉，`chosen` 从太多的里面取几个。

行号不动，行末的注释（形状）也就还在原来那一行：看行号的代码与看注释的代码照常工作。
类型提示、文档字符串、错误消息与 f 字符串不改：改了也没有别的行为。
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import chain, zip_longest
from typing import Any

_COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "bases", "keywords", "type_params")
# 去掉它们只剩参数，多半当场就错，看不出检验的好坏
_NOT_UNWRAPPED = {"range", "len", "super", "zip", "enumerate", "dict", "tuple", "list", "int"}
_COMMUTE = {"min", "max"}  # 两个参数对调，还是同一个数：不是改坏
# 写出来太长的：说到它的条件或参数为止
_COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.FunctionDef, ast.arguments)

_Change = tuple[str, ast.AST]  # 哪一种，换成什么


@dataclass(frozen=True)
class Mutant:
    """一处突变：`text` 是那一句，改的地方写成 «旧 → 新»；`source` 是改坏之后的整个文件。

    `function` 是它所在的函数（`RMSNorm.forward`），不在函数里是空串：没有调用过它，就不必跑。
    """

    text: str
    kind: str
    function: str
    source: str


@dataclass(frozen=True)
class _Place:
    """一个节点，与从符号到它经过的各层：(上一层的节点, 字段, 列表里的第几个)。"""

    node: ast.AST
    above: tuple[tuple[ast.AST, str, int | None], ...] = ()

    @property
    def parent(self) -> ast.AST | None:
        return self.above[-1][0] if self.above else None

    def children(self) -> Iterator["_Place"]:
        for field, value in ast.iter_fields(self.node):
            many = isinstance(value, list)
            for index, child in enumerate(value if many else [value]):
                if isinstance(child, ast.AST):
                    step = (self.node, field, index if many else None)
                    yield _Place(child, (*self.above, step))


def mutants(source: str, symbol: str) -> list[Mutant]:
    """`symbol`（`RMSNorm.forward`、`causal_mask`、类、模块级的名字）的全部突变，次序是定的。

    异常：没有这个名字，抛 KeyError。
    """
    tree = ast.parse(source)
    root = find(tree.body, symbol)
    names = {a.asname or a.name.partition(".")[0] for n in tree.body for a in _aliases(n)}
    found = []
    seen: Counter[str] = Counter()
    for place in _walk(_Place(root)):
        for kind, new in _changes(place, names, root):
            if ast.unparse(new) == ast.unparse(place.node):
                continue
            text = _text(place, new)
            seen[text] += 1
            text += f"（第 {seen[text]} 处）" if seen[text] > 1 else ""
            changed = _spliced(source, _start(place.node), place.node, new)
            found.append(Mutant(text, kind, _function(place, symbol), changed))
    return found


def stubs(source: str, symbol: str) -> list[Mutant]:
    """`symbol` 里的每个函数，函数体（文档字符串除外）换成 raise：还跑得过，就是没有调用它。

    异常：没有这个名字，抛 KeyError。
    """
    found = []
    for name, node in functions(source, symbol).items():
        body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
        new = ast.Raise(ast.Name("NotImplementedError"))
        changed = _spliced(source, _start(body[0]), body[-1], new)
        found.append(Mutant(f"{name} 整个换成 raise", "换成 raise", name, changed))
    return found


def functions(source: str, symbol: str) -> dict[str, ast.FunctionDef]:
    """符号自己，或类里的各个方法，由名字找到；不是函数也不是类的，一个也没有。

    异常：没有这个名字，抛 KeyError。
    """
    root = find(_tree(source).body, symbol)
    if isinstance(root, ast.FunctionDef):
        return {symbol: root}
    found: dict[str, ast.FunctionDef] = {}
    for node in getattr(root, "body", []):
        if isinstance(node, ast.FunctionDef):  # property 的几个同名，头一个是读它
            found.setdefault(f"{symbol}.{node.name}", node)
    return found


@lru_cache(maxsize=16)  # 一个模块里有好几个函数要找；只读
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def chosen(found: Sequence[Mutant], most: int) -> list[Mutant]:
    """至多 `most` 个：各种轮流取，同一种里按内容的散列取，改动别处，取到的还是这些。"""
    kinds: defaultdict[str, list[Mutant]] = defaultdict(list)
    for mutant in sorted(found, key=lambda mutant: sha256(mutant.text.encode()).digest()):
        kinds[mutant.kind].append(mutant)
    rounds = zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    return [mutant for mutant in chain.from_iterable(rounds) if mutant][:most]


def _function(place: _Place, symbol: str) -> str:
    """这一处在哪个函数里；去掉整个方法，不算在它里面。"""
    for owner, _, _ in place.above:
        if isinstance(owner, ast.FunctionDef):
            return symbol if owner is place.above[0][0] else f"{symbol}.{owner.name}"
    return ""


def find(body: list[ast.stmt], dotted: str) -> ast.stmt:
    """按名字找到一句：类、函数、方法、模块级的赋值。

    异常：没有这个名字，抛 KeyError。
    """
    name, _, rest = dotted.partition(".")
    for node in body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if name in (getattr(node, "name", ""), getattr(targets[0], "id", "")):
            return find(getattr(node, "body", []), rest) if rest else node
    raise KeyError(dotted)


def _aliases(node: ast.stmt) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def _walk(place: _Place) -> Iterator[_Place]:
    yield place
    for child in place.children():
        field = child.above[-1][1]
        skipped = isinstance(child.node, ast.JoinedStr) or isinstance(place.node, ast.Raise)
        if not skipped and (field not in _NO_BEHAVIOUR or isinstance(place.node, ast.Call)):
            yield from _walk(child)


def _changes(place: _Place, imported: set[str], root: ast.AST) -> Iterator[_Change]:
    """一个节点可以改坏成什么。"""
    node = place.node
    if isinstance(node, ast.stmt) and node is not root and _removable(place, root):
        yield "去掉一句", ast.Pass()
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                yield "比较", _with(node, "ops", ops, at, _COMPARE[type(op)]())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            yield "运算", _but(node, op=_ARITHMETIC[type(op)]())
        case ast.BoolOp(op=op):
            yield "取反", _but(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield "取反", operand
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "运算", operand
        case ast.Constant(value=value):
            changed = _other(value)
            if changed is not None:
                yield "常量", _but(node, value=changed)
        case ast.Subscript():
            yield from _slices(node)
            if place.parent is root or isinstance(place.parent, ast.Subscript):
                yield from _narrower(node, root)
        case ast.Tuple(elts=elts) | ast.List(elts=elts):
            if len(elts) > 1 and not isinstance(place.parent, ast.Subscript):
                yield "对调", _but(node, elts=[elts[1], elts[0], *elts[2:]])
        case ast.Dict(keys=keys, values=values):
            for at in range(len(keys)):
                yield (
                    "去掉参数",
                    _but(node, keys=_without(keys, at), values=_without(values, at)),
                )
        case ast.Call():
            yield from _calls(place, imported)
    if isinstance(node, ast.Name | ast.Attribute) and _tested(place):
        yield "取反", ast.UnaryOp(ast.Not(), node)


def _tested(place: _Place) -> bool:
    """这个名字自己就是一个条件。"""
    owner, field, _ = place.above[-1] if place.above else (None, "", None)
    return field == "test" or isinstance(owner, ast.BoolOp) or field == "ifs"


def _other(value: object) -> object:
    """另一个常量；文字、None 与省略号没有。"""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return 2 * value or 1.0
    return None


def _slices(node: ast.Subscript) -> Iterator[_Change]:
    """去掉切片的一头。"""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for at, part in enumerate(parts):
        for end in ("lower", "upper", "step") if isinstance(part, ast.Slice) else ():
            if getattr(part, end):
                open_ended = _but(part, **{end: None})
                whole = open_ended
                if isinstance(node.slice, ast.Tuple):
                    whole = _with(node.slice, "elts", parts, at, open_ended)
                yield "切片", _but(node, slice=whole)


def _narrower(node: ast.Subscript, root: ast.AST) -> Iterator[_Change]:
    """类型的别名：去掉 Optional，或去掉最后一个类型。"""
    if not isinstance(root, ast.Assign) or not isinstance(root.value, ast.Subscript):
        return
    if getattr(node.value, "id", "") == "Optional":
        yield "去掉一层", node.slice
    if isinstance(node.slice, ast.Tuple) and len(node.slice.elts) > 1:
        yield "去掉参数", _but(node, slice=_but(node.slice, elts=node.slice.elts[:-1]))


def _calls(place: _Place, imported: set[str]) -> Iterator[_Change]:
    node = place.node
    assert isinstance(node, ast.Call)  # noqa: S101
    for at, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield "去掉参数", _but(node, keywords=_without(node.keywords, at))
    args = node.args
    plain = not any(isinstance(arg, ast.Starred) for arg in args)
    if plain and len(args) > 1 and getattr(node.func, "id", "") not in _COMMUTE:
        yield "对调", _but(node, args=[args[1], args[0], *args[2:]])
    if not isinstance(place.parent, ast.Expr) and not _makes(node):
        inner = _inside(node, imported)
        if inner is not None:
            yield "去掉一层", inner


def _makes(node: ast.Call) -> bool:
    """建一个对象（名字大写开头），或是去掉就必错的内置函数。"""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name[:1].isupper() or name in _NOT_UNWRAPPED


def _inside(node: ast.Call, imported: set[str]) -> ast.AST | None:
    """去掉一层调用剩下什么：方法剩它的对象，函数与模块剩第一个参数。"""
    start = node.func
    while isinstance(start, ast.Attribute):
        start = start.value
    module = isinstance(start, ast.Name) and start.id in {*imported, "self", "cls"}
    if isinstance(node.func, ast.Attribute) and not module and not _is_super(start):
        return node.func.value
    first = node.args[0] if node.args else None
    return None if isinstance(first, ast.Starred | ast.Constant) else first


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def _removable(place: _Place, root: ast.AST) -> bool:
    """去掉了还跑得下去的一句；头一次给名字赋值的不算，去掉就是 NameError。"""
    node, parent = place.node, place.parent
    if isinstance(parent, ast.ClassDef):
        return not isinstance(node, ast.Expr) and getattr(node, "name", "") not in (
            "__init__",
            "forward",
        )
    if isinstance(node, ast.Expr):
        call = node.value
        starts = isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "__init__"
        return isinstance(call, ast.Call) and not starts
    if isinstance(node, ast.Assign):
        names = {_stored(n) for target in node.targets for n in ast.walk(target)} - {""}
        if not names:  # 属性与下标；__init__ 里的是头一次
            return getattr(parent, "name", "") != "__init__"
        return names <= _bound_before(node, root)
    return isinstance(node, ast.AugAssign | ast.Break | ast.Continue | ast.Raise | ast.Assert)


def _stored(node: ast.AST) -> str:
    """被赋值的名字；不是就是空串。"""
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""


def _bound_before(node: ast.stmt, root: ast.AST) -> set[str]:
    """这一句之前已经有的名字：参数，与赋过值的。"""
    known = {n.arg for n in ast.walk(root) if isinstance(n, ast.arg)}
    return known | {
        n.id for n in ast.walk(root) if isinstance(n, ast.Name) and _stored(n)
        and n.lineno < node.lineno
    }  # fmt: skip


def _but(node: Any, **changed: object) -> Any:
    """一份拷贝，其中几个字段换了。"""
    made = copy(node)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def _with(node: ast.AST, field: str, items: Sequence[Any], at: int, new: object) -> Any:
    return _but(node, **{field: [*items[:at], new, *items[at + 1 :]]})


def _without(items: Sequence[Any], at: int) -> list[Any]:
    return [*items[:at], *items[at + 1 :]]


def _text(place: _Place, new: ast.AST) -> str:
    """整句话，改的地方写成 «旧 → 新»；复合语句只写条件那一截，函数与类只写头一行。"""
    if isinstance(new, ast.Pass):
        return f"去掉 {_line(place.node)}"
    context: ast.AST = place.node
    for owner, _, _ in reversed(place.above):
        if isinstance(owner, _COMPOUND):
            break
        context = owner
        if isinstance(owner, ast.stmt):
            break
    old = _line(context)
    if isinstance(place.parent, ast.arguments):
        return f"{_parameter(place)}={_marked(old, _line(new))}"
    if context is place.node:
        return _marked(old, _line(new))
    with _swapped(place, new):
        return _marked(old, _line(context))


def _parameter(place: _Place) -> str:
    """默认值是哪个参数的。"""
    owner, field, index = place.above[-1]
    assert isinstance(owner, ast.arguments) and index is not None  # noqa: S101
    if field == "kw_defaults":
        return owner.kwonlyargs[index].arg
    return [*owner.posonlyargs, *owner.args][index - len(owner.defaults)].arg


def _line(node: ast.AST) -> str:
    if isinstance(node, ast.Raise):  # 消息太长
        return f"raise {ast.unparse(getattr(node.exc, 'func', node))}"
    head, *rest = ast.unparse(node).splitlines()
    while rest and head.startswith("@"):
        head, *rest = rest
    return head


@contextmanager
def _swapped(place: _Place, new: ast.AST) -> Iterator[None]:
    owner, field, index = place.above[-1]
    _put(owner, field, index, new)
    try:
        yield
    finally:
        _put(owner, field, index, place.node)


def _put(owner: ast.AST, field: str, index: int | None, value: ast.AST) -> None:
    if index is None:
        setattr(owner, field, value)
    else:
        getattr(owner, field)[index] = value


def _marked(old: str, new: str) -> str:
    """两行的差别，按记号对齐首尾。"""
    a, b = (re.findall(r"\w+|\s+|[<>=!]+|.", text) for text in (old, new))
    head = _same(a, b)
    tail = _same(a[head:][::-1], b[head:][::-1])
    middle = ["".join(part[head : len(part) - tail]).strip() for part in (a, b)]
    return f"{''.join(a[:head])}«{' → '.join(middle)}»{''.join(a[len(a) - tail :])}"


def _same(a: Sequence[str], b: Sequence[str]) -> int:
    return next(
        (at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _start(node: ast.AST) -> Any:
    """一个函数从它的装饰器算起。"""
    return min([node, *getattr(node, "decorator_list", [])], key=lambda n: n.lineno)


def _spliced(source: str, first: Any, last: Any, new: ast.AST) -> str:
    """从 `first` 到 `last` 换成 `new`；少了几行就补几个换行，后面的行号不变。"""
    data = source.encode()
    starts = [0, *(found.end() for found in re.finditer(b"\n", data))]
    begin = starts[first.lineno - 1] + first.col_offset
    begin -= first is not last and data[begin - 1 : begin] == b"@"  # 装饰器
    end = starts[last.end_lineno - 1] + last.end_col_offset
    text = ast.unparse(new)
    lines = "\n" * (data.count(b"\n", begin, end) - text.count("\n"))
    text = f"({text}{lines})" if isinstance(new, ast.expr) else text + lines
    return (data[:begin] + text.encode() + data[end:]).decode()
