"""片段文件：百分号单元格，与一格的输出；普通的 Python 文件，编辑器与 Jupyter 都能逐格运行。"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rizhi.errors import RizhiError
from rizhi.vault import Vault, read_text, snippet_files

_MARK = re.compile(r"^# %%.*$", re.M)


class SnippetError(RizhiError):
    """片段文件本身的毛病：读不懂、没有这个单元格。"""


@dataclass(frozen=True)
class Cell:
    """一个单元格；`line` 是内容第一行在文件里的行号。"""

    title: str
    kind: str  # "code" 或 "markdown"
    source: str
    line: int


@dataclass(frozen=True)
class Snippet:
    """一个片段文件。"""

    path: Path
    module: str
    cells: tuple[Cell, ...]

    @property
    def code_cells(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.kind == "code")

    def cell(self, title: str) -> Cell:
        """按标题取代码单元格。

        异常：没有这个标题，抛 SnippetError，列出现有的标题。
        """
        for cell in self.code_cells:
            if cell.title == title:
                return cell
        titles = "、".join(cell.title for cell in self.code_cells) or "（没有代码单元格）"
        raise SnippetError(f"{self.path.name} 里没有单元格「{title}」；现有：{titles}。")


@dataclass(frozen=True)
class CellOutput:
    """一个单元格的输出：打印的文字、SVG 图、标准错误（警告、日志），或出错时的回溯。"""

    title: str
    text: str = ""
    figures: tuple[str, ...] = ()
    error: str | None = None
    stderr: str = ""


def parse(path: Path) -> Snippet:
    """读一个片段文件；一次列出全部毛病。

    异常：读不懂、语法错误、单元格没有标题或重名，抛 SnippetError，写明行号。
    """
    import jupytext  # 半秒，只在真要读片段时才付

    text = read_text(path)
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except (ValueError, SyntaxError) as error:
        raise SnippetError(f"不是百分号单元格的写法：{error}", path) from error
    cells = tuple(_locate(text, notebook.cells))
    problems = [*_syntax(cells), *_naming(cells)]
    if problems:
        (line, first), *others = problems
        more = "".join(f"；第 {at} 行{what}" for at, what in others)
        raise SnippetError(f"{first}{more}。", path, line)
    return Snippet(path, path.stem, cells)


def syntax_tree(path: Path, source: str) -> ast.Module:
    """`source` 的语法树；`path` 只用于消息。

    异常：语法错误，抛 SnippetError，写明行号。
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise SnippetError(f"语法错误：{error.msg}。", path, error.lineno or 1) from error


def snippet_file(vault: Vault, module: str) -> Path:
    """围栏里写的片段在哪个文件。

    异常：没有这个片段，抛 SnippetError，列出现有的。
    """
    path = vault.snippets / f"{module}.py"
    if not path.is_file() or not module.isidentifier():
        known = "、".join(p.stem for p in snippet_files(vault)) or "（没有）"
        raise SnippetError(f"没有片段 snippets/{module}.py；现有：{known}。")
    return path


def _locate(text: str, cells: list[Any]) -> Iterator[Cell]:
    """jupytext 不给行号：顺着标记往下找，跳过已认领的源码，字符串里的假标记就不会算数。"""
    at = 0
    for cell in cells:
        mark = _MARK.search(text, at)
        start = mark.end() if mark else at
        start += len(text[start:]) - len(text[start:].lstrip("\r\n"))
        line = text.count("\n", 0, start) + 1
        source = cell.source.lstrip("\n")  # 标记下面的空行不算内容，行号才对得上
        at = start + (len(source) if cell.cell_type == "code" else 0)
        title = cell.metadata.get("title", "") if cell.cell_type == "code" else ""
        yield Cell(title.strip(), cell.cell_type, source, line)


def _syntax(cells: tuple[Cell, ...]) -> Iterator[tuple[int, str]]:
    for cell in cells:
        try:
            ast.parse(cell.source if cell.kind == "code" else "")
        except SyntaxError as error:
            line = cell.line + (error.lineno or 1) - 1
            yield line, f"单元格「{cell.title}」语法错误：{error.msg}"


def _naming(cells: tuple[Cell, ...]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for cell in cells:
        if cell.kind == "code" and not cell.title:
            yield cell.line, "单元格没有标题：写成「# %% 标题」"
        elif cell.kind == "code" and cell.title in seen:
            yield cell.line, f"单元格「{cell.title}」重名：笔记要靠标题找到它"
        seen.add(cell.title)
