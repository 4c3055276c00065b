"""源码包的源码：按 `llm.model:RMSNorm.forward` 这样的名字找到文件、行号与原文。"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from rizhi.errors import RizhiError
from rizhi.snippets.cells import span, syntax_tree
from rizhi.snippets.excerpt import Part, excerpt
from rizhi.vault import Vault, read_text, source_files


def module_file(vault: Vault, module: str) -> Path:
    """围栏里写的 `llm.model` 在哪个文件；子包是它的 `__init__.py`。

    异常：没有设置源码包，或没有这个模块，抛 RizhiError，说出怎么设置、现有哪些模块。
    """
    if not vault.source:
        raise RizhiError(
            "这个知识库没有源码包：把一个包文件夹放进知识库，在 pyproject.toml 的 [tool.rizhi] 里"
            '写上它的名字，例如 source = "llm"。'
        )
    files = modules(vault)
    if module not in files:
        known = "、".join(name for name in files if "._" not in name and name != vault.source)
        raise RizhiError(f"没有模块 {module}；现有：{known or '（没有）'}。")
    return files[module]


def documented(vault: Vault, name: str) -> Path:
    """`::: 名字` 说的是哪个文件；只许源码包里的模块，正写到一半的也不行。

    异常：不是，或没有，或有语法错误，抛 RizhiError。
    """
    if not vault.source or name.partition(".")[0] != vault.source:
        what = f"只许源码包 {vault.source} 里的模块" if vault.source else "这个知识库没有源码包"
        raise RizhiError(f"「::: {name}」：{what}；不是要列接口，就放进反引号。")
    path = module_file(vault, name)
    syntax_tree(path, read_text(path))
    return path


def _module_name(vault: Vault, path: Path) -> str:
    parts = path.relative_to(vault.root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_object(path: Path, dotted: str) -> tuple[int, str]:
    """在一个文件里按名字找类、函数或方法，返回（起始行号, 源码）。

    异常：没有这个名字，或文件有语法错误，抛 RizhiError。
    """
    found = objects(path)
    if dotted not in found:
        known = "、".join(name for name in found if "._" not in name)
        what = f"{path.name} 里没有 {dotted}" if dotted else f"{path.name} 后面没有写「:名字」"
        raise RizhiError(f"{what}；现有：{known}。")
    return found[dotted]


def objects(path: Path) -> dict[str, tuple[int, str]]:
    """一个文件里的类、函数与方法：名字 →（起始行号, 源码），装饰器也在内。

    异常：文件有语法错误，抛 RizhiError。
    """
    text = read_text(path)
    lines, found = text.splitlines(), dict[str, tuple[int, str]]()
    for name, node in _named(syntax_tree(path, text).body, ""):
        first, last = span(node)
        found[name] = first, "\n".join(lines[first - 1 : last])
    return found


def modules(vault: Vault) -> dict[str, Path]:
    """源码包里的每个模块在哪个文件；子包是它的 `__init__.py`。"""
    return {_module_name(vault, path): path for path in source_files(vault)}


@dataclass(frozen=True)
class Shown:
    """`source` 围栏的一行：哪个文件里的哪个对象，从第几行起，先显示哪几行。"""

    path: Path
    name: str  # llm.model.RMSNorm.forward
    dotted: str  # RMSNorm.forward
    first: int
    source: str
    parts: tuple[Part, ...]

    @property
    def lines(self) -> str:
        """`11–14`；只有一行就是一个数。"""
        last = self.first + self.source.count("\n")
        return f"{self.first}–{last}" if last > self.first else str(self.first)


def read_fence_line(vault: Vault, line: str) -> Shown:
    """读 `llm.model:RMSNorm.forward # eps、rsqrt`：「#」之后点名要紧的行里有的字，可以不写。

    异常：没有这个模块、这个名字，点名的字哪一行都没有，抛 RizhiError。
    """
    what, _, said = line.partition("#")
    module, _, dotted = (part.strip() for part in what.partition(":"))
    path = module_file(vault, module)
    first, source = find_object(path, dotted)
    words = tuple(filter(None, map(str.strip, said.split("、"))))
    parts = tuple(excerpt(source, words))
    return Shown(path, f"{module}.{dotted}", dotted, first, dedent(source), parts)


def _named(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _named(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((prefix + name.id, node) for name in targets if isinstance(name, ast.Name))
