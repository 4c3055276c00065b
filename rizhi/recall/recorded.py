"""笔记与它的片段里问得成的；算过的存在 `.rizhi/recall/`，文件没变就不重算。

认出记录新不新要读遍源码包的语法树，一两秒；一张一张地问，第一张不该等这么久。所以重的模块也只在
要重算时载入。
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rizhi import store, template
from rizhi.errors import RizhiError
from rizhi.vault import Vault, file_names, fingerprint, markdown_files, module_of, source_files

if TYPE_CHECKING:
    from rizhi.page import Note

T = TypeVar("T")
_VERSION = 4  # 存的样子、题面的写法变了就加一
_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("title", "source", "printed", "face"), str),
    **{"line": int, "sure": bool},
}


@dataclass(frozen=True)
class Cell:
    """问得成的一格：`face` 是题面的代码，`printed` 是记录里打印的，`sure` 说判得了。"""

    title: str
    source: str
    line: int
    printed: str
    face: str
    sure: bool


@dataclass(frozen=True)
class Noted:
    """一篇写完的笔记：自测的（题目、答案、行），嵌着的格子上面的那一段，与它的片段。

    `key` 是片段的记录的指纹，没有片段、记录不新就是空串，也就没有 `cells`。
    """

    slug: str
    where: str
    snippet: Path | None
    asked: tuple[tuple[str, str, int], ...]
    told: Mapping[str, str]
    key: str
    cells: tuple[Cell, ...]


def gather(vault: Vault, listed: "Iterable[Note] | None" = None) -> list[Noted]:
    """写完的各篇，按组与名字；`listed` 是已经读好的笔记，就用它们。

    异常：`.rizhi` 用不得（是链接、是别人的），抛 StoreError。
    """
    if listed is None:
        paths = [path for path, _ in markdown_files(vault.notes)]
        role = template.place(vault, "note.md")
        prints = {vault.relative(path): f"{prints_of([path, role])}" for path in paths}
        pages = remembered(vault, "notes", prints, _page, lambda name: _read(vault, name))
    else:
        pages = {vault.relative(note.path): _page(_of_note(vault, note)) for note in listed}
    finished = {name: page for name, page in pages.items() if page}
    snippets = {name: _snippet(vault, name, page) for name, page in finished.items()}
    known = _known(vault, sorted({path for path in snippets.values() if path}))
    found = []
    for name, (_, asked, told) in finished.items():
        path = snippets[name]
        key, cells = known[path] if path else ("", ())
        found.append(Noted(Path(name).stem, name, path, asked, told, key, cells))
    return found


def _snippet(vault: Vault, name: str, page: "_Page") -> Path | None:
    path = vault.snippets / f"{page[0] or module_of(Path(name).stem)}.py"
    return path if path.is_file() else None


# ---- 一篇笔记 ----

_Page = tuple[str, tuple[tuple[str, str, int], ...], Mapping[str, str]]


def _read(vault: Vault, name: str) -> Any:
    from rizhi.page import Note, load

    return _of_note(vault, load(Note, vault, vault.root / name))


def _of_note(vault: Vault, note: "Note") -> Any:
    """草稿、读不出的是 None。"""
    from rizhi import notes

    if not note.finished:
        return None
    role = notes.note_roles(vault).get("questions", "")
    tests = notes.self_tests(note, role)
    asked = [[text, said, note.document.line(start)] for text, said, start in tests]
    return {"snippet": note.snippet or "", "asked": asked, "told": dict(_told(note))}


def _told(note: "Note") -> Iterable[tuple[str, str]]:
    """笔记里嵌着的格子 → 围栏上面的那一段；上面紧挨着标题，就没有。"""
    text, blocks = note.document.text, note.document.blocks
    for span in note.document.spans:
        if span.info == "snippet":
            kinds = ("paragraph", "heading")
            above = [b for b in blocks if b.kind in kinds and b.end <= span.start][-1:]
            said = "".join(text[b.start : b.end].strip() for b in above if b.kind == "paragraph")
            for line in text[span.start : span.end].splitlines():
                yield line.partition(":")[2].strip(), said


def _page(raw: Any) -> _Page | None:
    """异常：不是该有的样子，抛 ValueError、KeyError 或 TypeError。"""
    if raw is None:
        return None
    asked = tuple((text, said, line) for text, said, line in raw["asked"])
    told = dict(raw["told"])
    texts = [raw["snippet"], *told, *told.values(), *(t for one in asked for t in one[:2])]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("不是该有的样子")
    if not all(isinstance(line, int) for *_, line in asked):
        raise ValueError("不是该有的样子")
    return raw["snippet"], asked, told


# ---- 一个片段 ----

_Known = tuple[str, tuple[Cell, ...]]


def _known(vault: Vault, paths: Iterable[Path]) -> dict[Path, _Known]:
    """各个片段：记录的指纹，与问得成的格子。"""
    shared = prints_of([*source_files(vault), *file_names(vault.snippets / "runs")])
    own = {path: prints_of([path, *file_names(vault.outputs / path.stem)]) for path in paths}
    wanted = {path.stem: f"{shared}{prints}" for path, prints in own.items()}
    found = remembered(vault, "cells", wanted, _cells, lambda name: _puzzles(vault, name))
    return {path: found[path.stem] for path in own}


def _puzzles(vault: Vault, name: str) -> Any:
    from rizhi.recall import printed
    from rizhi.snippets import record as records

    nothing = {"key": "", "cells": []}
    try:
        loaded = records.load(vault, vault.snippets / f"{name}.py")
    except RizhiError:
        return nothing  # 片段读不懂由 check 说；这一篇就没有这种题
    if loaded.snippet is None or loaded.record is None or loaded.state != "fresh":
        return nothing  # 记录不新，答案就不作数
    cells = []
    for cell in loaded.snippet.code_cells:
        output = loaded.record.output(cell.title)
        text = output.text if output else ""
        if made := printed.puzzle(loaded.snippet, cell, text):
            source = cell.source.strip()
            cells.append(vars(Cell(cell.title, source, cell.line, text, made.face, made.sure)))
    return {"key": loaded.key, "cells": cells}


def _cells(raw: Any) -> _Known:
    """异常：不是该有的样子，抛 ValueError、KeyError 或 TypeError。"""
    cells = tuple(Cell(**cell) for cell in raw["cells"])
    if not isinstance(raw["key"], str) or not all(
        type(getattr(cell, name)) is kind for cell in cells for name, kind in _FIELDS.items()
    ):
        raise ValueError("不是该有的样子")
    return raw["key"], cells


# ---- 存着的 ----


def remembered(
    vault: Vault,
    name: str,
    wanted: Mapping[str, str],
    shape: Callable[[Any], T],
    make: Callable[[str], Any],
) -> dict[str, T]:
    """`wanted` 是各项与它的文件的指纹：没变的用存着的，变了的、坏了的由 `make` 重算。"""
    file = store.state_folder(vault.root, "recall") / f"{name}.json"
    old, new, found = _stored(file), dict[str, Any](), dict[str, T]()
    for item, prints in wanted.items():
        key, kept = f"{_VERSION}:{prints}", old.get(item) or {}
        try:
            if kept["files"] != key:
                raise ValueError("过期了")
            found[item] = shape(kept["value"])
        except (ValueError, KeyError, TypeError):
            kept = {"files": key, "value": make(item)}
            found[item] = shape(kept["value"])
        new[item] = kept
    if new != old:
        with suppress(OSError):  # 只读的磁盘上，每次重算
            store.replace(file, json.dumps(new, ensure_ascii=False).encode())
    return found


def _stored(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def prints_of(paths: Iterable[Path | str]) -> str:
    """几个文件的名字与指纹合成一个。"""
    text = repr([(str(path), fingerprint(path)) for path in paths])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
