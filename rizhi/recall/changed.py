"""因代码改了而到期：笔记的 source 围栏显示的源码，与上一次答的时候比。

比的是语法树：注释、格式与文档字符串不算。那时的原文在日志的 code 行里，所以说得出改了哪几行。
到期的日子只在算今天时挪到今天，记忆的状态不动，日志里也不写。
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

from rizhi.errors import RizhiError
from rizhi.recall import log, recorded
from rizhi.recall.log import Event
from rizhi.recall.schedule import State
from rizhi.vault import Vault, markdown_files

MAX_TEXT = 4096  # 一段原文至多记下这么多字节
_AROUND = 2  # 改了的行前后，各给两行


@dataclass(frozen=True)
class Code:
    """源码里的一个名字与它此刻的原文；`id` 由名字与语法树定，没改就不变。"""

    id: str
    symbol: str  # llm.model:RMSNorm.forward
    text: str


@dataclass(frozen=True)
class Changed:
    """上一次答过之后改了的一个名字；`diff` 是给人看的各行，以空格、加号、减号开头。"""

    symbol: str
    diff: tuple[str, ...]


def of_note(vault: Vault, slug: str) -> list[Code]:
    """一篇笔记的 source 围栏此刻显示的源码，一个名字一份；指着没有的东西的由 check 说。"""
    return [_code(*source) for source in _sources(vault, _shown(vault, slug)).items()]


def lines(vault: Vault, codes: Iterable[Code], moment: datetime) -> list[Event]:
    """还没有写进日志的各段原文，各一行；id 由内容定，写重了读的时候也只算一份。"""
    return [
        log.event("code", moment, code.id, symbol=code.symbol, text=_cut(code.text))
        for code in codes
        if not log.holds(vault, code.id)
    ]


def find(
    vault: Vault, states: Iterable[State], events: Iterable[Event]
) -> dict[str, tuple[Changed, ...]]:
    """哪些卡片的笔记显示的源码，在上一次答过之后改了，各改了什么；由编号找。"""
    then = {event.id: event.fields for event in events if event.what == "code"}
    listed = [state for state in states if then.keys() & state.code]
    seen = {id: then[id] for state in listed for id in state.code if id in then}
    now = _sources(vault, {told["symbol"] for told in seen.values()})
    moved = {
        id: Changed(told["symbol"], _diff(told["text"], dedent(now[told["symbol"]])))
        for id, told in seen.items()
        if told["symbol"] in now and _differs(id, told["text"], told["symbol"], now)
    }
    shown: dict[str, set[str]] = {}
    found = {}
    for state in listed:
        if not moved.keys() & state.code:
            continue
        if state.note not in shown:
            shown[state.note] = _shown(vault, state.note)
        changes = tuple(moved[id] for id in state.code if id in moved)
        if kept := tuple(one for one in changes if one.symbol in shown[state.note]):
            found[state.card] = kept
    return found


def _shown(vault: Vault, slug: str) -> set[str]:
    """一篇笔记的 source 围栏里写着的名字。"""
    if not vault.source:
        return set()
    from rizhi.markdown.outline import fences  # 语法与片段要几十毫秒才载入，第一张不该等它们
    from rizhi.page import Note, load

    paths = [(path, link) for path, link in markdown_files(vault.notes) if path.stem == slug]
    pages = (load(Note, vault, path, link) for path, link in paths)
    written = (
        line.partition("#")[0].partition(":")
        for page in pages
        for fence in fences(page.document)
        if fence.lang.lower() == "source"
        for _, line in fence.lines
    )
    return {f"{module.strip()}:{name.strip()}" for module, _, name in written}


def _sources(vault: Vault, symbols: Iterable[str]) -> dict[str, str]:
    """这些名字此刻的原文，缩进照旧；没有了的、文件读不懂的不在内。文件没变就用上次读出来的。"""
    wanted = sorted(symbols)
    files = {name: _files(vault, name) for name in {s.partition(":")[0] for s in wanted}}
    prints = {name: recorded.prints_of(files[name]) for name in sorted(files)}
    if not prints:
        return {}
    known = recorded.remembered(
        vault, "sources", prints, _texts, lambda module: _objects(vault, module)
    )
    split = ((symbol, *symbol.partition(":")) for symbol in wanted)
    return {
        symbol: known[module][name] for symbol, module, _, name in split if name in known[module]
    }


def _files(vault: Vault, module: str) -> list[Path]:
    """一个模块可能在的两处。"""
    stem = vault.root.joinpath(*module.split("."))
    return [stem.with_name(f"{stem.name}.py"), stem / "__init__.py"]


def _objects(vault: Vault, module: str) -> dict[str, str]:
    from rizhi.snippets.source import module_file, objects

    try:
        found = objects(module_file(vault, module))
    except RizhiError:
        return {}
    return {name: text for name, (_, text) in found.items()}


def _texts(raw: Any) -> dict[str, str]:
    """异常：不是该有的样子，抛 ValueError 或 TypeError。"""
    found = dict(raw)
    if not all(isinstance(text, str) for text in found.values()):
        raise ValueError("不是该有的样子")
    return found


def _differs(id: str, then: str, symbol: str, now: Mapping[str, str]) -> bool:
    """改了没有：一字不差的不必比语法树。"""
    return dedent(now[symbol]) != then and _code(symbol, now[symbol]).id != id


def _code(symbol: str, source: str) -> Code:
    from rizhi.snippets.cells import canonical
    from rizhi.snippets.excerpt import definition

    digest = hashlib.sha256(f"{symbol}{canonical(definition(source))}".encode()).hexdigest()
    return Code(digest[:12], symbol, dedent(source))


def _cut(text: str) -> str:
    return text.encode()[:MAX_TEXT].decode(errors="ignore")


def _diff(old: str, new: str) -> tuple[str, ...]:
    from difflib import unified_diff  # 改了才用到

    before, after = old.splitlines(), _cut(new).splitlines()
    _, _, *rows = [*unified_diff(before, after, n=_AROUND, lineterm="")] or ["", ""]
    told = ("⋯" if row.startswith("@@") else row for row in rows[1:])
    return tuple(told) or (f"（改的地方在头 {MAX_TEXT >> 10} KB 之后，那时没有记下）",)
