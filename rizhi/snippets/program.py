"""一个片段文件作为一个程序：它就是 `__main__`，各格共用名字，`from __future__` 管到末尾。"""

import __future__

import ast
import io
import linecache
import re
import sys
from types import ModuleType

from rizhi.snippets.cells import Cell, Snippet, is_text

_FUTURES = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


class Program:
    """正在运行的片段；`flags` 是已经生效的 `from __future__`。"""

    def __init__(self, snippet: Snippet) -> None:
        self.path, self.flags, self.started = str(snippet.path), 0, False
        self.module = ModuleType("__main__")
        self.module.__file__ = self.path
        sys.modules["__main__"] = self.module  # pickle 与 typing 由类的 __module__ 找回它
        sys.argv = [self.path]
        # 回溯与 inspect 看到的是正在跑的这一份：运行期间文件也许又存了一次
        lines = io.StringIO(snippet.text, newline=None).readlines()
        linecache.cache[self.path] = len(snippet.text), None, lines, self.path

    def run(self, cell: Cell) -> object:
        """运行一格，返回要显示的值：裸的最后一个表达式，以分号结尾的不算。"""
        source = "\n" * (cell.line - 1) + cell.source
        flags = self.flags | ast.PyCF_ONLY_AST
        tree: ast.Module = compile(source, self.path, "exec", flags, dont_inherit=True)
        if self.started and tree.body and is_text(tree.body[0]) and len(tree.body) > 1:
            del tree.body[0]  # 文档字符串只有文件开头的那一个
        self.started = True
        last = tree.body.pop() if _shown(tree.body, source) else None
        code = compile(tree, self.path, "exec", self.flags, dont_inherit=True)
        self.flags |= code.co_flags & _FUTURES
        exec(code, vars(self.module))  # noqa: S102 运行片段正是这里要做的事
        if not isinstance(last, ast.Expr):
            return None
        value = ast.Expression(last.value)
        return eval(  # noqa: S307
            compile(value, self.path, "eval", self.flags, dont_inherit=True), vars(self.module)
        )


def _shown(body: list[ast.stmt], source: str) -> bool:
    """最后一句是不是要显示的：一个表达式，后面没有分号。"""
    if not body or not isinstance(body[-1], ast.Expr):
        return False
    line, column = body[-1].end_lineno or 0, body[-1].end_col_offset or 0
    first, *rest = source.split("\n")[line - 1 :]
    after = "\n".join([first.encode()[column:].decode(), *rest])
    return not re.match(r"[\s\\]*;", after)
