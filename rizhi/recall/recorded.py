"""记录是新的片段里，哪些格子问得成；算过的存在 `.rizhi/recall/`，文件都没变就不重算。

认出记录新不新，要读遍源码包的语法树，一两秒；一张一张地问，第一张不该等这么久。
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.vault import Vault, file_names, fingerprint, source_files

_VERSION = 1  # 题面的写法变了就加一


@dataclass(frozen=True)
class Asked:
    """问得成的一格：`face` 是题面的代码，`printed` 是记录里打印的，`sure` 说判得了。"""

    title: str
    source: str
    line: int
    printed: str
    face: str
    sure: bool


@dataclass(frozen=True)
class Known:
    """一个片段：记录的指纹（不新就是空串）与问得成的格子。"""

    key: str
    cells: tuple[Asked, ...]


def known(vault: Vault, paths: Iterable[Path]) -> dict[Path, Known]:
    """各个片段的指纹与格子。

    异常：`.rizhi` 用不得（是链接、是别人的），抛 StoreError。
    """
    file = store.state_folder(vault.root, "recall") / "cells.json"
    shared, old = _shared(vault), _read(file)
    new: dict[str, Any] = {}
    found = {}
    for path in paths:
        own = _of([str(path), *file_names(vault.outputs / path.stem)])
        kept = old.get(path.stem)
        try:
            found[path] = _restored(kept, f"{shared}{own}")
        except (ValueError, KeyError, TypeError):  # 没有算过、过期了，或被人改坏了
            found[path] = _computed(vault, path)
            kept = {"files": f"{shared}{own}", "key": found[path].key}
            kept["cells"] = [vars(cell) for cell in found[path].cells]
        new[path.stem] = kept
    if new != old:
        with suppress(OSError):  # 只读的磁盘上，每次重算
            store.replace(file, json.dumps(new, ensure_ascii=False).encode())
    return found


def _computed(vault: Vault, path: Path) -> Known:
    from rizhi.recall import printed  # 文件都没变，就用不着它们
    from rizhi.snippets import record as records

    try:
        loaded = records.load(vault, path)
    except RizhiError:
        return Known("", ())  # 片段读不懂由 check 说；这一篇就没有这种题
    if loaded.snippet is None or loaded.record is None or loaded.state != "fresh":
        return Known("", ())  # 记录不新，答案就不作数
    cells = []
    for cell in loaded.snippet.code_cells:
        output = loaded.record.output(cell.title)
        text = output.text if output else ""
        if made := printed.puzzle(loaded.snippet, cell, text):
            source = cell.source.strip()
            cells.append(Asked(cell.title, source, cell.line, text, made.face, made.sure))
    return Known(loaded.key, tuple(cells))


def _restored(kept: Any, files: str) -> Known:
    """异常：对不上、不是该有的样子，抛 ValueError、KeyError 或 TypeError。"""
    if kept["files"] != files or not isinstance(kept["key"], str):
        raise ValueError("过期了")
    cells = tuple(Asked(**cell) for cell in kept["cells"])
    wanted = Asked.__annotations__
    if not all(type(getattr(cell, n)) is kind for cell in cells for n, kind in wanted.items()):
        raise ValueError("不是该有的样子")
    return Known(kept["key"], cells)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _shared(vault: Vault) -> str:
    names = [*map(str, source_files(vault)), *file_names(vault.snippets / "runs")]
    return f"{_VERSION}:{_of(names)}:"


def _of(names: Iterable[str]) -> str:
    """几个文件的名字与指纹合成一个。"""
    text = repr([(name, fingerprint(name)) for name in names])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
