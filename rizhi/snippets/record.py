"""片段的记录：指纹、新不新、读写与比较。"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from pathlib import Path
from typing import Any

from rizhi.snippets.cells import CellOutput, Snippet, SnippetError, syntax_tree
from rizhi.vault import read_text

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?", re.I)


@dataclass(frozen=True)
class Record:
    """已提交的输出；`intact` 为假表示文件在记录之后被改动过。"""

    key: str
    outputs: tuple[CellOutput, ...]
    intact: bool
    recorded: str = ""  # 哪天录的；旧的记录里没有

    def output(self, title: str) -> CellOutput | None:
        return next((out for out in self.outputs if out.title == title), None)


def key(path: Path, root: Path) -> str:
    """片段与它用到的 `llm` 模块的指纹：片段按原文算，`llm` 按语法树算，注释与文档字符串不算。"""
    digest = hashlib.sha256(read_text(path).replace("\r\n", "\n").encode())
    for name in sources(path, root):
        digest.update(name.encode())
        digest.update(_module(root / name)[0].encode())
    return digest.hexdigest()[:32]


def sources(path: Path, root: Path) -> tuple[str, ...]:
    """片段直接或间接用到的 `llm` 文件，相对于知识库。"""
    found: set[str] = set()
    waiting = set(_imports(syntax_tree(path, read_text(path))))
    while waiting:
        name = waiting.pop()
        if name not in found and (root / name).is_file():
            found.add(name)
            waiting |= _module(root / name)[1]
    return tuple(sorted(found))


def untracked(path: Path, root: Path) -> list[tuple[int, str]]:
    """片段直接 import 的、知识库里 `llm` 之外的文件与行号：它们改了，记录也不会过期。"""
    found: dict[str, int] = {}
    for line, name in _named(syntax_tree(path, read_text(path))):
        for file in _files(name):
            if name[0] != "llm" and (root / file).is_file():
                found.setdefault(file, line)
    return [(line, file) for file, line in found.items()]


def read_record(outputs: Path, module: str) -> Record | None:
    """读 `snippets/outputs/<module>/`；没有记录返回 None。

    异常：记录的索引读不懂，抛 SnippetError。
    """
    folder = outputs / module
    index = folder / "key.json"
    if not index.is_file():
        return None
    try:
        data = json.loads(read_text(index))
        listed = [(cell["title"], cell["files"]) for cell in data["cells"]]
        files = {name: _read(folder / name) for _, names in listed for name in names}
        intact = data["digest"] == _digest(files)
        outs = tuple(_restore(title, {n: files[n] for n in names}) for title, names in listed)
        return Record(data["key"], outs, intact, str(data.get("recorded", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise SnippetError(f"读不懂：{error!r}；用 rizhi record 重新记录。", index) from error


def state(path: Path, root: Path) -> str:
    """记录的状态：fresh 新、stale 过期、edited 记录被改动过、missing 没有。"""
    record = read_record(path.parent / "outputs", path.stem)
    if record is None:
        return "missing"
    if not record.intact:
        return "edited"
    return "fresh" if record.key == key(path, root) else "stale"


def record_files(
    outputs: tuple[CellOutput, ...], key: str, versions: Mapping[str, str], recorded: str
) -> dict[str, bytes]:
    """一份记录应有的全部文件：每格一个文本、若干 SVG，加一个索引；`recorded` 是哪天录的。"""
    files: dict[str, str] = {}
    cells = []
    for number, out in enumerate(outputs, 1):
        mine = _cell_files(f"{number:02d}-{_file_name(out.title)}", out)
        files |= mine
        cells.append({"title": out.title, "files": list(mine)})
    about = {
        "key": key,
        "digest": _digest(files),
        "recorded": recorded,
        "cells": cells,
        "versions": dict(versions),
    }
    files["key.json"] = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    return {name: text.encode() for name, text in files.items()}


def compare(recorded: CellOutput | None, got: CellOutput) -> str:
    """两次输出的差别，供人看；相同返回空串。文字逐字比，小数容许末位之差，图只比张数。"""
    recorded = recorded or CellOutput(got.title)
    found: list[str] = []
    if not _same_text(recorded.text, got.text):
        lines = (recorded.text.splitlines(), got.text.splitlines())
        found += unified_diff(*lines, "记录", "实际", lineterm="")
    if len(recorded.figures) != len(got.figures):
        found.append(f"图：记录 {len(recorded.figures)} 张，实际 {len(got.figures)} 张")
    return "\n".join(found)


def to_notebook(snippet: Snippet, record: Record | None) -> str:
    """带输出的 .ipynb（nbformat 4.5）：逐格源码配上记录；同样的输入得到同样的字节。"""
    cells = []
    for number, cell in enumerate(snippet.cells, 1):
        made: dict[str, Any] = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}}
        made["source"] = cell.source
        if cell.kind == "code":
            out = record.output(cell.title) if record else None
            made |= {"execution_count": None, "outputs": _notebook_outputs(out) if out else []}
        cells.append(made)
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    book = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, ensure_ascii=False, indent=1) + "\n"


def _notebook_outputs(out: CellOutput) -> list[dict[str, Any]]:
    text = {"output_type": "stream", "name": "stdout", "text": out.text}
    figures = [
        {"output_type": "display_data", "data": {"image/svg+xml": figure}, "metadata": {}}
        for figure in out.figures
    ]
    return [text, *figures] if out.text else figures


def _module(path: Path) -> tuple[str, frozenset[str]]:
    """一个 `llm` 文件的规范写法，与它也许 import 的 `llm` 文件。"""
    return _analysed(path, read_text(path))


@lru_cache(maxsize=64)  # 每个片段都要问一遍同样的几个文件；原文没变，答案就没变
def _analysed(path: Path, source: str) -> tuple[str, frozenset[str]]:
    tree = syntax_tree(path, source)
    return _canonical(tree), frozenset(_imports(tree))


def _imports(tree: ast.Module) -> Iterator[str]:
    """也许是 `llm` 的文件。"""
    return (file for _, name in _named(tree) if name[0] == "llm" for file in _files(name))


def _named(tree: ast.Module) -> Iterator[tuple[int, list[str]]]:
    """import 的名字与行号：可能是模块，也可能只是里面的一个函数。"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from ((node.lineno, name.split(".")) for name in names)


def _files(parts: list[str]) -> tuple[str, ...]:
    # import llm.model 也会先执行 llm/__init__.py
    return (*_packages(parts), "/".join(parts) + ".py")


def _packages(parts: list[str]) -> Iterator[str]:
    for length in range(1, len(parts) + 1):
        yield "/".join([*parts[:length], "__init__.py"])


def _canonical(node: Any) -> str:
    """语法树的规范写法：`ast.dump` 的文本随 Python 版本变，这里只留非空的字段。"""
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    kept = (f"{k}={_canonical(v)}" for k, v in fields.items() if v is not None and v != [])
    return f"{type(node).__name__}({','.join(kept)})"


def _read(path: Path) -> str:
    # 缺一个文件与改一个文件同样对待：内容对不上指纹
    return read_text(path) if path.is_file() else ""


def _digest(files: Mapping[str, str]) -> str:
    text = json.dumps(sorted(files.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _cell_files(stem: str, out: CellOutput) -> dict[str, str]:
    files = {f"{stem}.txt": out.text} if out.text else {}
    for number, figure in enumerate(out.figures, 1):
        files[f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg"] = figure
    return files


def _restore(title: str, files: Mapping[str, str]) -> CellOutput:
    text = "".join(body for name, body in files.items() if name.endswith(".txt"))
    figures = tuple(body for name, body in files.items() if name.endswith(".svg"))
    return CellOutput(title, text, figures)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title).strip("-")[:40]


def _same_text(recorded: str, got: str) -> bool:
    if recorded == got:
        return True
    if _NUMBER.sub("#", recorded) != _NUMBER.sub("#", got):
        return False
    pairs = zip(_NUMBER.findall(recorded), _NUMBER.findall(got), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _near(a: str, b: str) -> bool:
    """相差不过万分之一，或不过末位的一个单位：换一台机器，舍入可能落在另一边。"""
    mantissa, _, exponent = a.lower().partition("e")
    last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(a) - float(b)) <= max(1e-4 * abs(float(a)), 1.01 * last)
