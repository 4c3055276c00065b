"""裸的最后一个表达式怎样显示：与 Jupyter 的文字一样，容器太宽就一项一行。

Jupyter 用的是 IPython.lib.pretty；学习者会拿两边比，所以连它断行的次序也照着。标准库的 pprint 断行
与缩进、拆字符串的办法都不同：随机造的 1528 个要断行的值，与 Jupyter 一样的只有 17 个。
"""

import builtins
from collections import Counter, OrderedDict, UserList, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from types import BuiltinFunctionType, FunctionType, MappingProxyType, SimpleNamespace
from typing import Any

from rizhi.snippets.figures import is_figure

WIDTH = 79
MOST = 1000  # 一个容器最多列几项

# 记号：字符串是文字，整数开始一组（缩进加几格），另外三个如名
_END, _SPACE, _NEWLINE = object(), object(), object()
_Tokens = Iterator[object]
_Above = tuple[int, ...]
_Writer = Callable[[Any, _Above, bool], _Tokens]


def show(value: object) -> None:
    """显示一格最后的值，之后叫它 `_` 也行；None 不显示，图由 figures 收。"""
    if value is not None:
        vars(builtins)["_"] = value
        if not is_figure(value):
            print(pretty(value))


def pretty(value: object) -> str:
    """一个值显示出来的文字，末尾没有换行。"""
    page = _Page()
    for token in _tokens(value, ()):
        page.put(token)
    return "".join(page.parts)


@dataclass(eq=False)
class _Group:
    """一对括号之内：要断行，就在这一层的每个逗号之后都断。"""

    depth: int
    indent: int
    broken: bool = False
    settled: bool = False  # 已排在一行里，不再断


@dataclass
class _Space:
    """这一行里还没有定下断不断的一个空格。"""

    group: _Group
    place: int  # parts 里的第几项
    column: int  # 不断时，它之后是第几列


@dataclass
class _Page:
    """排版：一行放不下，先断最外面的一组。"""

    parts: list[str] = field(default_factory=list)
    column: int = 0
    open: list[_Group] = field(default_factory=lambda: [_Group(0, 0)])
    spaces: list[_Space] = field(default_factory=list)

    def put(self, token: object) -> None:
        group = self.open[-1]
        if isinstance(token, int):
            self.open.append(_Group(group.depth + 1, group.indent + token))
        elif token is _END:
            self.open.pop()
        elif token is _NEWLINE:
            self._break_outermost()
            self._new_line(group)
        elif token is _SPACE and group.broken:
            self._new_line(group)
        else:
            text = " " if token is _SPACE else str(token)
            self.parts.append(text)
            self.column += len(text)
            if token is _SPACE:
                self.spaces.append(_Space(group, len(self.parts) - 1, self.column))
            while self.spaces and self.column > WIDTH and self._break_outermost():
                pass

    def _new_line(self, group: _Group) -> None:
        for space in self.spaces:
            space.group.settled = True
        self.spaces.clear()
        self.parts.append("\n" + " " * group.indent)
        self.column = group.indent

    def _break_outermost(self) -> bool:
        """断开最外面还能断的一组；它之外的、还没有空格的组，从此逢逗号就断。"""
        able = [space.group for space in self.spaces if not space.group.settled]
        depth = min((group.depth for group in able), default=len(self.open))
        for group in self.open[:depth]:
            group.broken = group.broken or not group.settled
        if not able:
            return False
        chosen = [group for group in able if group.depth == depth][-1]
        chosen.broken = True
        last = max(n for n, space in enumerate(self.spaces) if space.group is chosen)
        for space in self.spaces[: last + 1]:
            if space.group is chosen:
                self.parts[space.place] = "\n" + " " * chosen.indent
        shift = chosen.indent - self.spaces[last].column
        self.column += shift
        del self.spaces[: last + 1]
        for space in self.spaces:
            space.column += shift
        return True


def _tokens(value: object, above: _Above) -> _Tokens:
    """一个值的记号；`above` 是装着它的各层容器，装着自己的写成省略号。"""
    yield 0
    yield from _writer(value)(value, (*above, id(value)), id(value) in above)
    yield _END


def _writer(value: object) -> _Writer:
    """按类型找怎样写；自己定义了 `__repr__` 的照它写。"""
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind]
        if kind is not object and "__repr__" in vars(kind):
            return _as_repr
    return _as_address


def _as_repr(value: object, *_: Any) -> _Tokens:
    yield 0
    for number, line in enumerate(repr(value).splitlines()):
        yield from (_NEWLINE, line) if number else (line,)
    yield _END


def _as_address(value: object, above: _Above, _cycle: bool) -> _Tokens:
    yield from ("<", 1, *_tokens(type(value), above), f" at {id(value):#x}", _END, ">")


def _between(start: str, items: Iterable[_Tokens], end: str) -> _Tokens:
    """一对括号，逗号隔开的各项；太多就只列前面的。"""
    yield from (start, len(start))
    for number, item in enumerate(items):
        if number:
            yield from (",", _SPACE)
        if number == MOST:
            yield "..."
            break
        yield from item
    yield from (_END, end)


def _sequence(start: str, end: str) -> _Writer:
    def write(value: Any, above: _Above, cycle: bool) -> _Tokens:
        if cycle:
            yield f"{start}...{end}"
            return
        lone = "," if isinstance(value, tuple) and len(value) == 1 else ""
        yield from _between(start, (_tokens(item, above) for item in value), lone + end)

    return write


def _set(start: str, end: str) -> _Writer:
    def write(value: Any, above: _Above, cycle: bool) -> _Tokens:
        if value:
            items = _sorted(value) if len(value) < MOST else value
            yield from _sequence(start, end)(items, above, cycle)
        else:
            yield f"{type(value).__name__}()"

    return write


def _sorted(items: Iterable[Any]) -> list[Any]:
    """集合按大小列；不能比大小的，按写出来的样子。"""
    try:
        return sorted(items)
    except Exception:  # 各类型的 __lt__ 什么都会抛
        return sorted(items, key=str)


def _mapping(start: str, end: str) -> _Writer:
    def write(value: Mapping[Any, Any], above: _Above, cycle: bool) -> _Tokens:
        def pair(key: Any) -> _Tokens:
            yield from (*_tokens(key, above), ": ", *_tokens(value[key], above))

        yield from ("{...}",) if cycle else _between(start, map(pair, value), end)

    return write


def _call(name: str, *values: Any, above: _Above, **named: Any) -> _Tokens:
    """写成一次调用：`deque([1, 2], maxlen=2)`。"""

    def keyword(key: str) -> _Tokens:
        head = f"{key}="
        yield from (head, len(head), *_tokens(named[key], above), _END)

    items = [*(_tokens(value, above) for value in values), *map(keyword, named)]
    yield from (0, *_between(f"{name}(", items, ")"), _END)


def _collection(arguments: Callable[[Any], tuple[list[Any], dict[str, Any]]]) -> _Writer:
    def write(value: Any, above: _Above, cycle: bool) -> _Tokens:
        name = type(value).__name__
        if cycle:
            yield f"{name}(...)"
            return
        values, named = arguments(value)
        yield from _call(name, *values, above=above, **named)

    return write


def _namespace(value: SimpleNamespace, above: _Above, cycle: bool) -> _Tokens:
    yield from ("namespace(...)",) if cycle else _call("namespace", above=above, **vars(value))


def _exception(value: BaseException, above: _Above, _cycle: bool) -> _Tokens:
    yield from _call(_full_name(type(value)), *value.args, above=above)


def _class(value: type, *_: Any) -> _Tokens:
    yield _full_name(value)


def _function(value: Any, *_: Any) -> _Tokens:
    try:
        yield f"<function {_full_name(value)}{signature(value)}>"
    except ValueError:  # 有的内置函数没有签名
        yield f"<function {_full_name(value)}>"


def _full_name(value: Any) -> str:
    module = value.__module__
    return value.__qualname__ if module in (None, "builtins") else f"{module}.{value.__qualname__}"


_WRITERS: Mapping[type, _Writer] = MappingProxyType(
    {
        list: _sequence("[", "]"),
        tuple: _sequence("(", ")"),
        set: _set("{", "}"),
        frozenset: _set("frozenset({", "})"),
        dict: _mapping("{", "}"),
        MappingProxyType: _mapping("mappingproxy({", "})"),
        OrderedDict: _collection(lambda it: ([list(it.items())] if it else [], {})),
        defaultdict: _collection(lambda it: ([it.default_factory, dict(it)], {})),
        Counter: _collection(lambda it: ([dict(it.most_common())] if it else [], {})),
        deque: _collection(lambda it: ([list(it)], {"maxlen": it.maxlen} if it.maxlen else {})),
        UserList: _collection(lambda it: ([it.data], {})),
        SimpleNamespace: _namespace,
        BaseException: _exception,
        type: _class,
        FunctionType: _function,
        BuiltinFunctionType: _function,
    }
)
