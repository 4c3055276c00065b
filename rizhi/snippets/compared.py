"""一格「检验」比的是什么：由它的断言读出来，显示在折起的代码上。"""

import ast
from collections.abc import Iterator

from rizhi.errors import cut

_LONGEST = 120  # 一处写出来的字数


def compared(source: str) -> tuple[str, ...]:
    """各处断言，依次写成一句：`assert` 的条件、`assert_close(a, b)` 的两边、应当报的错。"""
    found = sorted(_assertions(ast.parse(source)), key=lambda pair: pair[0])
    said = (cut(" ".join(text.split()), _LONGEST) for _, text in found)
    return tuple(dict.fromkeys(said))


def _assertions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, ast.unparse(node.test)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name.startswith("assert") and len(node.args) >= 2:
                yield node.lineno, " ≈ ".join(map(ast.unparse, node.args[:2]))
            elif name in ("raises", "assertRaises") and node.args:
                yield node.lineno, f"报错 {ast.unparse(node.args[0])}"
        elif isinstance(node, ast.Try) and _must_raise(node):
            kinds = (ast.unparse(handler.type) for handler in node.handlers if handler.type)
            yield node.lineno, f"报错 {'、'.join(kinds)}"


def _must_raise(node: ast.Try) -> bool:
    """没有报错就由 else 里的 raise 报：它要的是那个错。"""
    return any(isinstance(line, ast.Raise) for line in node.orelse)
