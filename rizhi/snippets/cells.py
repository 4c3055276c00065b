"""片段文件：百分号单元格，与一格的输出；普通的 Python 文件，编辑器与 Jupyter 都能逐格运行。

分格的写法是 VS Code、PyCharm 与 jupytext 共有的那一部分：`# %% 标题`、`#%%` 与 `# %%% 标题`。
它们当中只有几家认的写法不猜，报出来；字符串里的是字符串，不是标记。
"""

import ast
import builtins
import io
import re
import symtable
import tokenize
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from rizhi.errors import RizhiError
from rizhi.vault import Vault, read_text, snippet_files

_MARK = re.compile(r"#\s*%%+(?:\s(.*))?")
# 有的工具会在这里分格、有的不会：没有空格、缩进了、全角的百分号，与旧的写法
_ALMOST = re.compile(
    r"#\s*(?:[%％]{2}|<(?:code|markdown)cell>|In\[[ \d]*\])|\s+#\s*(?:%%+|<codecell>)(?:\s|$)"
)
_KINDS = {"[markdown]": "markdown", "[md]": "markdown", "[raw]": "raw"}
_QUOTED = re.compile(r"[rR]?(\"{3}|'{3})\n?(.*?)\n?\1", re.S)
_MAGIC = re.compile(r"\s*(?:[\w, ]+=\s*)?(?:%[^=\s]|[!?][^=])|\s*[\w.]+\?+\s*$")
# 读不懂的源码，编译器除了 SyntaxError 还会抛的：NUL、嵌套太深
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_quiet = Lock()  # catch_warnings 改的是全进程的设定

_Fault = tuple[int, str]


class SnippetError(RizhiError):
    """片段文件本身的毛病：读不懂、没有这个单元格。"""


@dataclass(frozen=True)
class Cell:
    """一个单元格；`line` 是内容第一行在文件里的行号。"""

    title: str
    kind: str  # "code"、"markdown" 或 "raw"
    source: str
    line: int

    @property
    def checks(self) -> bool:
        """是不是一格「检验…」。"""
        return self.kind == "code" and self.title.startswith("检验")

    @property
    def draws(self) -> bool:
        """是不是一格「图…」：要看的是图，不是代码。"""
        return self.kind == "code" and self.title.startswith("图")


@dataclass(frozen=True)
class Snippet:
    """一个片段文件；`text` 是全文，没有 BOM。"""

    path: Path
    module: str
    cells: tuple[Cell, ...]
    text: str

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
    """一个单元格的输出：打印的文字、SVG 图、标准错误（警告、日志）；出了错，还有回溯。"""

    title: str
    text: str = ""
    figures: tuple[str, ...] = ()
    error: str | None = None
    stderr: str = ""

    @property
    def texts(self) -> Mapping[str, str]:
        """打印的各样文字，比较时逐样看：消息里怎么称呼它 → 文字。"""
        return {"": self.text, "（stderr）": self.stderr}


def parse(path: Path) -> Snippet:
    """读一个片段文件；代码单元格的源码与文件逐字相同，只去掉首尾的空行。

    异常：读不懂、语法错误、单元格没有标题或重名，抛 SnippetError，写明行号，一次列出全部毛病。
    """
    return parse_text(path, read_text(path))


def parse_text(path: Path, source: str) -> Snippet:
    """同上，原文由 `source` 给出：还没有存进 `path` 的一份。"""
    text = _without_bom(source)
    lines = text.split("\n")
    body = syntax_tree(path, text).body
    marks, faults = _marks(text, lines, body)
    cells, more = _split(lines, marks, body)
    problems = sorted([*faults, *more, *_late_futures(body), *_naming(cells)])
    if problems:
        (line, first), *others = problems
        rest = "".join(f"；第 {at} 行{what}" for at, what in others)
        raise SnippetError(f"{first}{rest}。", path, line)
    return Snippet(path, path.stem, cells, text)


def syntax_tree(path: Path, source: str) -> ast.Module:
    """`source` 的语法树，只读；`path` 只用于消息。

    异常：语法错误，抛 SnippetError，写明行号；是片段，还有哪一格。
    """
    text = _without_bom(source)
    try:
        return _tree(text)
    except _UNREADABLE as error:
        lines, at = text.split("\n"), getattr(error, "lineno", None) or 1
        where = _cell_at(lines, at)
        raise SnippetError(f"{where}{_told(error, lines[at - 1])}", path, at) from error


def canonical(node: Any) -> str:
    """语法树的规范写法，文档字符串不算：`ast.dump` 的文本随 Python 版本变，这里只留非空的字段。"""
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    kept = (f"{k}={canonical(v)}" for k, v in fields.items() if v is not None and v != [])
    return f"{type(node).__name__}({','.join(kept)})"


def snippet_file(vault: Vault, module: str) -> Path:
    """围栏里写的片段在哪个文件。

    异常：没有这个片段，抛 SnippetError，列出现有的。
    """
    path = vault.snippets / f"{module}.py"
    if not path.is_file() or not module.isidentifier():
        known = "、".join(p.stem for p in snippet_files(vault)) or "（没有）"
        raise SnippetError(f"没有片段 snippets/{module}.py；现有：{known}。")
    return path


def _without_bom(text: str) -> str:
    return text.removeprefix("\ufeff")  # 文件开头的，Python 自己也不当它是源码


@lru_cache(maxsize=8)  # 分格、算指纹、找 import 的库，问的是同一份原文
def _tree(text: str) -> ast.Module:
    if lone := re.search(r"\r(?!\n)", text):
        line = text.count("\n", 0, lone.start()) + 1
        what = "有单独的回车符（\\r），各个工具数出的行号会不同，换成换行"
        raise SyntaxError(what, ("", line, 0, ""))
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 运行的时候才说
        return ast.parse(text)


def _told(error: BaseException, line: str) -> str:
    if _MAGIC.match(line):
        return f"有 Jupyter 的命令「{line.strip()}」，Python 里没有它：删掉，或写成注释。"
    return f"语法错误：{getattr(error, 'msg', '') or error or '嵌套太深'}。"


def _late_futures(body: list[ast.stmt]) -> Iterator[_Fault]:
    """整份文件是一个程序：`from __future__` 只能在最前面，第一格的文档字符串之后。"""
    started = False
    for number, node in enumerate(body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            if started:
                yield node.lineno, "from __future__ 要写在整个文件的最前面：挪到第一格的开头"
        elif number or not is_text(node):
            started = True


def is_text(node: ast.stmt) -> bool:
    """一句只写了一个字符串：文档字符串，或说明。"""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def comments(text: str) -> Iterator[tokenize.TokenInfo]:
    """一段代码里的各处注释；字符串里的「#」不算。"""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return (token for token in tokens if token.type == tokenize.COMMENT)


def span(node: ast.stmt) -> tuple[int, int]:
    """一句占的首行与末行，装饰器也在内。"""
    above = (one.lineno for one in getattr(node, "decorator_list", ()))
    return min([node.lineno, *above]), node.end_lineno or node.lineno


def names(source: str) -> tuple[set[str], set[str]]:
    """一段代码定下的名字，与要从外面来的名字；函数里的局部名字都不算。"""
    table = symtable.symtable(source, "<cell>", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    inner = list(table.get_children())
    while inner:
        scope = inner.pop()
        used |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
        inner += scope.get_children()
    added = (node.target for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AugAssign))
    used |= {target.id for target in added if isinstance(target, ast.Name)}  # symtable 只算赋值
    return bound, used - set(dir(builtins))


def _cell_at(lines: list[str], line: int) -> str:
    """语法有错的文件里，某一行属于哪一格：往上找最近的标记。"""
    for text in reversed(lines[:line]):
        if mark := _MARK.fullmatch(text):
            return f"单元格「{(mark[1] or '').strip()}」"
    return ""


def _marks(
    text: str, lines: list[str], body: list[ast.stmt]
) -> tuple[list[tuple[int, str]], list[_Fault]]:
    """各格的标记（行号与标记后面的字），与像标记、却不能算的。"""
    likely = [(at, line) for at, line in enumerate(lines, 1) if _ALMOST.match(line)]
    inner = {at for node in body for at in range(span(node)[0] + 1, span(node)[1] + 1)}
    suspect = any(at in inner for at, _ in likely)
    said = {comment.start[0] for comment in comments(text)} if suspect else ()
    marks, faults = [], []
    for at, line in likely:
        mark = _MARK.fullmatch(line)
        if at in inner and at not in said:
            continue  # 多行字符串里的文字
        before = lines[at - 2].rstrip("\r") if at > 1 else ""
        if at in inner or (before.endswith("\\") and "#" not in before):
            faults.append((at, "分格的标记不能写在一条语句中间：挪到语句之外，或换个写法"))
        elif mark is None:
            faults.append((at, f"「{line.strip()}」有的工具会在这里分格：写成「# %% 标题」"))
        else:
            marks.append((at, (mark[1] or "").strip()))
    return marks, faults


def _split(
    lines: list[str], marks: list[tuple[int, str]], body: list[ast.stmt]
) -> tuple[tuple[Cell, ...], list[_Fault]]:
    """按标记切开；第一个标记之前只许注释，说明里只许注释或一个字符串。"""
    starts = [span(node)[0] for node in body]
    ends = [*(at for at, _ in marks), len(lines) + 1][1:]
    faults: list[_Fault] = []
    if starts and (not marks or starts[0] < marks[0][0]):
        faults.append((starts[0], "第一个标记之前有代码：在它上面写一行「# %% 标题」"))
    cells = []
    for (at, said), end in zip(marks, ends, strict=True):
        first, last = at, end - 1  # 下标：标记的下一行，到下一个标记之前
        while first < last and not lines[first].strip("\r"):
            first += 1
        source = "\n".join(lines[first:last]).rstrip("\r\n")
        first = first if source else at
        tag = next((tag for tag in _KINDS if tag in said), "")
        if tag:
            coded = bisect_left(starts, end) - bisect_left(starts, at)
            shown = _prose(source, coded)
            if shown is None:
                faults.append((starts[bisect_left(starts, at)], f"{tag} 的一格里有代码：写成注释"))
            elif len(re.findall("^(?:```|~~~)", shown, re.M)) % 2:
                faults.append((at, "说明里的代码块没有关上：里面的「# %%」有的工具不当它是标记"))
            cells.append(Cell("", _KINDS[tag], shown or "", first + 1))
            continue
        if said in ("md", "markdown", "raw"):
            faults.append((at, f"「{said}」有的工具当它是说明：写成「# %% [markdown]」"))
        if odd := re.search(r"[={]|^\[", said):
            faults.append((at, f"标题里有「{odd[0]}」，Jupyter 从那里起不当它是标题：换个写法"))
        tail = source.rpartition("\n")[2]
        if tail.endswith("\\") and "#" not in tail:
            at = first + 1 + source.count("\n")
            faults.append((at, "行末的反斜杠之后，这一格没有代码了：去掉它"))
        cells.append(Cell(said, "code", source, first + 1))
    return tuple(cells), faults


def _prose(source: str, statements: int) -> str | None:
    """说明一格的文字：去掉注释号，或三引号；里面有代码，是 None。"""
    source = source.replace("\r\n", "\n")
    if not statements:
        return re.sub(r"^# ?", "", source, flags=re.M)
    quoted = _QUOTED.fullmatch(source.strip()) if statements == 1 else None
    return quoted[2] if quoted else None


def _naming(cells: tuple[Cell, ...]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for cell in cells:
        if cell.kind == "code" and not cell.title:
            yield cell.line, "单元格没有标题：写成「# %% 标题」"
        elif cell.kind == "code" and cell.title in seen:
            yield cell.line, f"单元格「{cell.title}」重名：笔记要靠标题找到它"
        seen.add(cell.title)
