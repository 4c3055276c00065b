"""长的源码先显示哪几行：围栏点了名的，或签名、一句说明与开头的几行；其余折起来。"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby

from rizhi.errors import RizhiError

WHOLE = 20  # 至多这么多行就全显示
_HEAD = 14  # 没有点名：除了说明，先显示的行数
_GAP = 3  # 少于这么多行的一段不折：折起来也要占一行
_OWNERS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Part:
    """连着的几行，`first` 是从 0 数的第一行；`label` 不空就折起来，写在折痕上。"""

    first: int
    last: int
    label: str


def excerpt(source: str, words: Collection[str] = ()) -> list[Part]:
    """一段源码分成显示的与折起的；`words` 是围栏点名的：有其中一个的行都要紧。

    异常：点名的哪一行都没有，抛 RizhiError。
    """
    lines = source.split("\n")
    for word in words:
        if not any(word in line for line in lines):
            raise RizhiError(f"源码里没有一行有「{word}」，不知道要显示哪几行。")
    if len(lines) <= WHOLE and not words:
        return [Part(0, len(lines) - 1, "")]
    tree = definition(source)
    spoken = _docstrings(tree)
    if words:
        found = [n for n, line in enumerate(lines) if any(word in line for word in words)]
        kept = {n for line in found for n in _around(tree, line)}
    else:
        code = [n for n in range(len(lines)) if n not in spoken]
        kept = set(code[:_HEAD] if len(code) > WHOLE else code) | _signature(tree)
    return list(_parts(len(lines), kept, spoken))


def _parts(count: int, kept: set[int], spoken: set[int]) -> Iterator[Part]:
    gaps = [run for run in _runs(count, kept) if run[0] not in kept and len(run) < _GAP]
    shown = kept.union(*gaps)
    for run in _runs(count, shown):
        what = "说明 " if spoken.issuperset(run) else ""
        label = "" if run[0] in shown else f"⋯ {what}{len(run)} 行"
        yield Part(run[0], run[-1], label)


def _runs(count: int, marked: set[int]) -> list[list[int]]:
    """0 到 count - 1 里连着的、都有记号或都没有的各段。"""
    return [list(run) for _, run in groupby(range(count), lambda n: n in marked)]


def definition(source: str) -> ast.stmt:
    """一个定义的语法树，行号从 1 数起；方法的原文是缩进的。"""
    if not source[:1].isspace():
        return ast.parse(source).body[0]
    tree = ast.parse(f"if True:\n{source}")
    ast.increment_lineno(tree, -1)
    (outer,) = tree.body
    return outer.body[0] if isinstance(outer, ast.If) else outer


def _around(tree: ast.stmt, line: int) -> Iterator[int]:
    """要看懂一行，还要看的：它那一句的各行，与它在里面的定义的头一行。"""
    yield line
    for node in ast.walk(tree):
        last = getattr(node, "end_lineno", None) or 0
        if isinstance(node, ast.stmt) and node.lineno - 1 <= line < last:
            if isinstance(node, _OWNERS):
                yield node.lineno - 1
            elif not hasattr(node, "body"):
                yield from range(node.lineno - 1, last)


def _signature(node: ast.stmt) -> set[int]:
    """签名的各行，连同装饰器与文档字符串的头一行。"""
    if not isinstance(node, _OWNERS):
        return {0}
    first = node.body[0].lineno - 1
    return set(range(first + 1 if ast.get_docstring(node) else first))


def _docstrings(tree: ast.stmt) -> set[int]:
    """各个文档字符串头一行之后的行。"""
    owners = (node for node in ast.walk(tree) if isinstance(node, _OWNERS))
    texts = (node.body[0] for node in owners if ast.get_docstring(node))
    return {n for text in texts for n in range(text.lineno, text.end_lineno or text.lineno)}
