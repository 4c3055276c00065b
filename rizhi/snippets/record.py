"""片段的记录：指纹、新不新、读与写。"""

import ast
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from rizhi.errors import RizhiError
from rizhi.snippets.cells import CellOutput, Snippet, SnippetError, canonical, parse, syntax_tree
from rizhi.vault import Fingerprint, Vault, file_names, fingerprint, read_text, source_files

T = TypeVar("T")
_STDERR = ".stderr.txt"
_RUN = re.compile(r"(?:snippets/)?(runs/[^/\\\0]+\.jsonl)")
_OF_MODULE = re.compile(r"\s-m\s+([\w.]+)")
_DAY = re.compile(r"(?:\d{4}-\d{2}-\d{2})?", re.A)
_PLAIN = re.compile(r"[^/\\\0.][^/\\\0]*\.(?:txt|svg)")


@dataclass(frozen=True)
class Words:
    """记录的一种状态，各处怎么说它；空串是没有什么要说。"""

    panel: str  # 笔记页的面板
    bar: str  # 嵌着它的格子的标题栏
    box: str  # 嵌着它的页面里的一个框
    check: str  # rizhi check
    test: str  # pytest snippets


STATES: Mapping[str, Words] = MappingProxyType(
    {
        "fresh": Words("记录是新的", "", "", "", ""),
        "stale": Words(
            "输出已过期",
            "已过期",
            "输出已过期：片段或它用到的源码改过之后还没有重新记录。运行 rizhi record {slug}。",
            "输出的记录过期",
            "片段或它用到的源码改过，记录已过期。",
        ),
        "edited": Words(
            "记录被改动过",
            "被改动过",
            "记录被改动过，与当初记下的不一致。运行 rizhi record {slug} 重新记录。",
            "输出的记录被改动过",
            "snippets/outputs 里的记录被人改动过。",
        ),
        "missing": Words(
            "还没有记录",
            "没有记录",
            "还没有记录输出。运行 rizhi record {slug}。",
            "还没有记录输出",
            "还没有记录。",
        ),
    }
)


@dataclass(frozen=True)
class Record:
    """已提交的输出；`intact` 为假表示文件在记录之后被改动过。"""

    key: str
    outputs: tuple[CellOutput, ...]
    intact: bool
    recorded: str = ""  # 哪天录的；旧的记录里没有

    def output(self, title: str) -> CellOutput | None:
        return next((out for out in self.outputs if out.title == title), None)


@dataclass(frozen=True)
class Loaded:
    """一个片段在盘上的样子；读不懂的那一样是 None 或空的，原因写在 `fault` 里。"""

    snippet: Snippet | None
    record: Record | None
    key: str
    sources: tuple[str, ...]  # 用到的源码文件，相对于知识库
    fault: RizhiError | None  # 头一个读不懂的原因
    error: str  # `fault` 的整句话，路径相对于知识库；没有则为空串
    damage: RizhiError | None = None  # 记录读不懂的原因

    @property
    def source(self) -> Snippet:
        """异常：片段读不懂，抛 SnippetError。"""
        if self.snippet is None:
            fault = self.fault or SnippetError("读不懂")
            raise SnippetError(fault.message, fault.path, fault.line)
        return self.snippet

    @property
    def altered(self) -> bool:
        """记录还读得懂，却不是当初记下的。"""
        return self.state == "edited"

    @property
    def state(self) -> str:
        """STATES 里的一种；`error` 不空就说不上来，是空串。"""
        if self.error:
            return ""
        if self.record is None:
            return "missing"
        if not self.record.intact:
            return "edited"
        if self.record.key != self.key:
            return "stale"
        cells = [cell.title for cell in self.source.code_cells]
        return "fresh" if cells == [out.title for out in self.record.outputs] else "edited"


def load(vault: Vault, path: Path) -> Loaded:
    """一个片段、它的记录与记录的状态；它、它的记录与源码包都没变，就不重读。"""
    return _load(vault, path, fingerprint_of(vault, path))


def fingerprint_of(vault: Vault, path: Path) -> tuple[tuple[str, Fingerprint], ...]:
    """一个片段、它的记录、源码包与运行的记录各文件的指纹：都没变，由它们算出来的就还作数。"""
    recorded = file_names(vault.outputs / path.stem)
    runs = file_names(vault.snippets / "runs")
    names = (str(path), *recorded, *runs, *map(str, source_files(vault)))
    return tuple((name, fingerprint(name)) for name in names)


def key(vault: Vault, path: Path) -> str:
    """片段与它用到的文件的指纹：片段按原文算，源码按语法树算，注释与文档字符串不算。

    异常：哪一个读不懂，抛 RizhiError。
    """
    digest = hashlib.sha256(_unix(read_text(path)))
    digest.update(_canonicals(vault, sources(vault, path)))
    for file in run_files(vault, path):
        digest.update(file.name.encode())
        digest.update(_unix(_read(file)))
    return digest.hexdigest()[:32]


def run_files(vault: Vault, path: Path) -> list[Path]:
    """片段点名的 `snippets/runs/名字.jsonl`：有一个字符串整个就是 `runs/名字.jsonl`。"""
    return [vault.snippets / name for name in _run_names(path, read_text(path))]


@dataclass(frozen=True)
class RunFile:
    """一次长跑的头一行：造它的命令，与记下它时那条命令背后的代码的指纹（还没有记就是空串）。"""

    command: str
    code: str


def run_file(path: Path) -> RunFile:
    """异常：头一行不是 `{"command": "…"}`，抛 SnippetError。"""
    try:
        head = json.loads(read_text(path).partition("\n")[0])
        command, code = head["command"], head.get("code", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        command, code = None, ""
    if not isinstance(command, str) or not isinstance(code, str):
        raise SnippetError('头一行应是造它的命令：{"command": "python -m …"}。', path, 1)
    return RunFile(command, code)


def code_key(vault: Vault, command: str) -> str:
    """一条 `python -m 模块` 用到的源码的指纹，算法与片段的相同；模块不在源码包里，就是空串。

    异常：用到的源码读不懂，抛 RizhiError。
    """
    named = _OF_MODULE.search(command)
    if not named or not _of_package(vault, named[1]):
        return ""
    return modules_key(vault, {named[1], f"{named[1]}.__main__"})


def modules_key(vault: Vault, names: Iterable[str]) -> str:
    """几个模块与它们用到的源码的指纹，算法与片段的相同。

    异常：用到的源码读不懂，抛 RizhiError。
    """
    files = _reached(vault, set(names), deep=True)[0]
    return hashlib.sha256(_canonicals(vault, files)).hexdigest()[:32]


def stamped(vault: Vault, path: Path) -> bytes | None:
    """长跑的文件，头一行记上命令背后的代码的指纹；已经记了、或命令不在源码包里，是 None。

    记过的不改：代码变了，要重跑那条命令，它写出的头一行没有指纹，才再记。

    异常：头一行读不懂、用到的源码读不懂，抛 RizhiError。
    """
    found = run_file(path)
    code = code_key(vault, found.command)
    if found.code or not code:
        return None
    head, line, rest = path.read_bytes().partition(b"\n")
    about = json.loads(head.decode("utf-8-sig")) | {"code": code}
    return json.dumps(about, ensure_ascii=False).encode() + line + rest


def sources(vault: Vault, path: Path) -> tuple[str, ...]:
    """片段直接或间接用到的源码文件，相对于知识库。"""
    return _reach(vault, path, deep=True)[0]


def libraries(vault: Vault, path: Path, *, deep: bool, source: str | None = None) -> frozenset[str]:
    """片段与它用到的源码从知识库外面 import 的顶层名字，标准库也在内。

    `deep` 为假时只算一运行就会 import 的：写在函数、try 与 if 里的不算。
    `source` 是还没有存盘的原文。
    """
    tops = {name.partition(".")[0] for name in _reach(vault, path, deep=deep, source=source)[1]}
    return frozenset(name for name in tops if not _inside(vault, name))


def outside_statements(vault: Vault, tree: ast.Module) -> Iterator[str]:
    """一个文件一载入就从知识库外面 import 的每一句。"""
    for node in tree.body:
        if isinstance(node, ast.Import):
            aliases = [a for a in node.names if not _inside(vault, a.name.partition(".")[0])]
            yield from (f"import {alias.name}" for alias in aliases)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if not _inside(vault, node.module.partition(".")[0]):
                yield ast.unparse(node)


def untracked(vault: Vault, path: Path) -> list[tuple[int, str]]:
    """片段直接 import 的、知识库里源码包之外的文件与行号：它们改了，记录也不会过期。"""
    lines: dict[str, int] = {}
    for line, name in _imported(ast.walk(syntax_tree(path, read_text(path)))):
        for file in _files(name):
            if not _of_package(vault, name) and (vault.root / file).is_file():
                lines.setdefault(file, line)
    return [(line, file) for file, line in lines.items()]


def read_record(outputs: Path, module: str) -> Record | None:
    """读 `snippets/outputs/<module>/`；没有记录返回 None。

    异常：记录里有一个文件读不懂，抛 SnippetError，说出是哪个、怎么办。
    """
    index = outputs / module / "key.json"
    again = f"运行 rizhi record {module.replace('_', '-')} 重新记录。"
    try:
        return _whole(index) if os.path.lexists(index) else None
    except RizhiError as error:
        path = error.path or index
        first = "移走它，再" if path.is_dir() else ""
        raise SnippetError(f"{error.message.partition('。')[0]}。{first}{again}", path) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SnippetError(f"读不懂：{error!r}。{again}", index) from error


def _whole(index: Path) -> Record:
    """异常：哪一个文件读不到，抛 RizhiError；索引不是该有的样子，抛 json 与取值的各种错。"""
    data = json.loads(read_text(index))
    listed = [(str(cell["title"]), cell["files"]) for cell in data["cells"]]
    files = {name: _read(_within(index.parent, name)) for _, names in listed for name in names}
    intact = data["digest"] == _digest(files)
    intact = intact and all("<svg" in t for n, t in files.items() if n.endswith(".svg"))
    outs = tuple(_restore(title, {n: files[n] for n in names}) for title, names in listed)
    recorded = data.get("recorded", "")
    if not _DAY.fullmatch(recorded):
        raise ValueError(f"recorded 应是一个日期，现在是 {recorded!r}")
    return Record(data["key"], outs, intact, recorded)


def record_files(
    outputs: tuple[CellOutput, ...], key: str, versions: Mapping[str, str], recorded: str
) -> dict[str, bytes]:
    """一份记录应有的全部文件：每格至多两个文本、若干 SVG，加一个索引；`recorded` 是哪天录的。"""
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


@lru_cache(maxsize=1024)  # 几百个片段，好几处都要问
def _load(vault: Vault, path: Path, _: object) -> Loaded:
    # 先算指纹再读片段：其间片段若又变了，记录的指纹对不上，下次自会重录
    current, unkeyed = _attempt(lambda: key(vault, path))
    used, _ = _attempt(lambda: sources(vault, path))
    snippet, unparsed = _attempt(lambda: _parsed(path, fingerprint(path)))
    recorded = tuple(map(fingerprint, file_names(vault.outputs / path.stem)))
    record, unread = _attempt(lambda: _recorded(vault.outputs, path.stem, recorded))
    fault = unparsed or unkeyed or unread
    error = fault.within(vault.root) if fault else ""
    return Loaded(snippet, record, current or "", used or (), fault, error, unread)


# 改一次源码，每个片段的指纹都变；片段与记录没变，还是同一个对象，不必每遍另留一份
@lru_cache(maxsize=1024)
def _parsed(path: Path, _: Fingerprint) -> Snippet:
    return parse(path)


@lru_cache(maxsize=1024)
def _recorded(outputs: Path, module: str, _: tuple[Fingerprint, ...]) -> Record | None:
    return read_record(outputs, module)


def _attempt(make: Callable[[], T]) -> tuple[T | None, RizhiError | None]:
    """算得出就是它，算不出就是原因：坏了一样，别的照样要看。"""
    try:
        return make(), None
    except RizhiError as error:
        return None, error.with_traceback(None)  # 留着它，不留一路上的栈帧


@dataclass(frozen=True)
class _Imports:
    """一个文件里 import 的名字，与其中一载入就会 import 的。"""

    names: frozenset[str]
    at_once: frozenset[str]


def _canonicals(vault: Vault, names: Iterable[str]) -> bytes:
    paths = {name: vault.root / name for name in names}
    texts = (f"{name}{_canonical_text(path, read_text(path))}" for name, path in paths.items())
    return "".join(texts).encode()


# 改一个源码文件，每个片段都要重问一遍；原文没变的，答案就没变
@lru_cache(maxsize=1024)
def _imports(path: Path, package: str, source: str) -> _Imports:
    tree = syntax_tree(path, source)
    names, at_once = (
        frozenset(name for _, name in _imported(nodes, package))
        for nodes in (ast.walk(tree), tree.body)
    )
    return _Imports(names, at_once)


@lru_cache(maxsize=1024)
def _run_names(path: Path, source: str) -> tuple[str, ...]:
    nodes = ast.walk(syntax_tree(path, source))
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return tuple(sorted({match[1] for match in map(_RUN.fullmatch, texts) if match}))


@lru_cache(maxsize=64)
def _canonical_text(path: Path, source: str) -> str:
    return canonical(syntax_tree(path, source))


def _reach(
    vault: Vault, path: Path, *, deep: bool, source: str | None = None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """从片段出发、经过源码包 import 到的源码文件，与一路上的全部名字。"""
    own = _imports(path, "", read_text(path) if source is None else source)
    return _reached(vault, set(own.names if deep else own.at_once), deep=deep)


def _reached(
    vault: Vault, named: set[str], *, deep: bool
) -> tuple[tuple[str, ...], frozenset[str]]:
    """从几个名字出发，同上。"""
    waiting, names, files = set(named), set(named), set[str]()
    while waiting:
        name = waiting.pop()
        for file in _files(name) if _of_package(vault, name) else ():
            if file not in files and (vault.root / file).is_file():
                files.add(file)
                package = ".".join(Path(file).parts[:-1])
                module = _imports(vault.root / file, package, read_text(vault.root / file))
                more = module.names if deep else module.at_once
                waiting |= more - names
                names |= more
    return tuple(sorted(files)), frozenset(names)


def _imported(nodes: Iterable[ast.AST], package: str = "") -> Iterator[tuple[int, str]]:
    """import 的名字与行号：可能是模块，也可能只是里面的一个函数；`package` 是相对导入的起点。"""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
            yield from ((node.lineno, name) for name in names)


def _base(node: ast.ImportFrom, package: str) -> str:
    """from 后面的是哪个模块；相对导入跑到了包外面，就是空串。"""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - node.level + 1] if node.level <= len(parts) else []
    return ".".join([*kept, node.module or ""]).rstrip(".") if kept else ""


def _of_package(vault: Vault, name: str) -> bool:
    return name.partition(".")[0] == vault.source


def _inside(vault: Vault, name: str) -> bool:
    """知识库里就有的：源码包、旁边的文件夹，或另一个片段。"""
    places = (folder / name for folder in (vault.root, vault.snippets))
    return any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)


def _files(name: str) -> Iterator[str]:
    """一个名字也许在的文件；import llm.model 也会先执行 llm/__init__.py。"""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield "/".join([*parts[:length], "__init__.py"])
    yield "/".join(parts) + ".py"


def _within(folder: Path, name: object) -> Path:
    """记录里列的一个文件：只许同一个文件夹里的纯文件名。"""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise ValueError(f"files 里只许这个文件夹里的 .txt 与 .svg，现在有 {name!r}")
    return folder / name


def _read(path: Path) -> str:
    # 缺一个文件与改一个文件同样对待：内容对不上指纹；断了的链接、文件夹不是缺
    return read_text(path) if os.path.lexists(path) else ""


def _unix(text: str) -> bytes:
    return text.replace("\r\n", "\n").encode()


def _digest(files: Mapping[str, str]) -> str:
    text = json.dumps(sorted(files.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _cell_files(stem: str, out: CellOutput) -> dict[str, str]:
    printed = {f"{stem}.txt": out.text, f"{stem}{_STDERR}": out.stderr}
    files = {name: text for name, text in printed.items() if text}
    for number, figure in enumerate(out.figures, 1):
        files[f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg"] = figure
    return files


def _restore(title: str, files: Mapping[str, str]) -> CellOutput:
    errors = "".join(body for name, body in files.items() if name.endswith(_STDERR))
    printed = (n for n in files if n.endswith(".txt") and not n.endswith(_STDERR))
    text = "".join(map(files.__getitem__, printed))
    drawn = (body for name, body in files.items() if name.endswith(".svg"))
    figures = tuple(body if "<svg" in body else "" for body in drawn)  # 坏了的与丢了的一样
    return CellOutput(title, text, figures, stderr=errors)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title).strip("-")[:40]
