"""默写题的底子：哪些函数可以默写，记下的调用与抓得住几个错，存在 `.rizhi/drills/` 里。

全是算出来的，删掉就重算；每份带着它的键（片段与它用到的源码、那篇笔记、库的版本、这里的版本），
键变了就不作数。
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rizhi.errors import RizhiError
from rizhi.markdown.outline import fence_lines
from rizhi.page import Note, read_notes
from rizhi.recall import sealed
from rizhi.recall.mutants import functions
from rizhi.recall.replay import Inputs
from rizhi.snippets import record as records
from rizhi.snippets import run
from rizhi.snippets.child import SEEDED
from rizhi.snippets.source import module_file, modules
from rizhi.vault import Vault, read_text, snippet_files, text_or_empty

FOLDER = "drills"
_VERSION = 6  # 记下的样子、怎样改坏、怎样比，哪一样变了就加一


@dataclass(frozen=True)
class Call:
    """记下的一次调用：`number` 是在那个片段里的第几次。"""

    snippet: str
    number: int
    inputs: Inputs
    outcome: Mapping[str, Any]

    @cached_property
    def size(self) -> int:
        return len(self.inputs.arguments) + len(self.inputs.generators) + len(str(self.outcome))


@dataclass(frozen=True)
class Used:
    """几次调用出自哪些片段，参数里的对象出自哪些模块。"""

    snippets: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drill:
    """一个函数的默写题：`why` 是不出题的原因，空着就出。

    `snippet` 是那篇笔记的片段；`caught` 与 `tried` 是突变抓住了几个、试了几个；
    `symptoms` 由失败的样子找到是哪个错；`used` 是键里要算的：留下的调用出自哪些片段，
    参数里的对象出自哪些模块（没有出题的是空的，哪个片段变了都重算）；
    `milliseconds` 是判一次要的时间；`cells` 是要跑的格子，`through` 是没有抓住的突变。
    """

    symbol: str
    note: str
    snippet: str
    key: str
    why: str = ""
    caught: int = 0
    tried: int = 0
    calls: int = 0
    milliseconds: int = 0
    cells: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    symptoms: Mapping[str, str] | None = None
    used: Used = Used()


_FIELDS = frozenset(one.name for one in fields(Drill))


@dataclass(frozen=True)
class Question:
    """「哪个检验会红」的一题：改了哪个函数的哪一处（`text`），各个检验，与红的那一个。"""

    symbol: str
    text: str
    checks: tuple[str, ...]
    red: str


@dataclass(frozen=True)
class Questions:
    """一篇笔记的几题。"""

    note: str
    key: str
    asked: tuple[Question, ...] = ()


# ---- 哪些函数 ----


def symbols(vault: Vault) -> dict[str, Note]:
    """笔记的 `source` 围栏点名的每个函数，与问它的笔记：说它说得最多的那一篇。"""
    found: dict[str, tuple[int, Note]] = {}
    for note in finished(vault):
        said = note.text + text_or_empty(snippet_of(vault, note))
        for symbol in functions_of(vault, note):
            count = len(re.findall(rf"\b{re.escape(subject(symbol))}\b", said))
            if symbol not in found or count > found[symbol][0]:
                found[symbol] = count, note
    return {symbol: note for symbol, (_, note) in found.items()}


def subject(symbol: str) -> str:
    """一个函数说的是谁：方法是它的类。"""
    first, _, rest = symbol.partition(":")[2].partition(".")
    return first if rest.startswith("__") or rest == "forward" or not rest else rest


def finished(vault: Vault) -> list[Note]:
    """写完的笔记。"""
    return [note for note in read_notes(vault) if note.finished]


def named(note: Note) -> list[str]:
    """一篇笔记的 `source` 围栏点名的各个名字。"""
    lines = fence_lines(note.document, "source")
    names = (text.partition("#")[0].strip() for _, text in lines)
    return list(dict.fromkeys(filter(None, names)))


def functions_of(vault: Vault, note: Note) -> list[str]:
    """一篇笔记点名的各个函数。"""
    return list(dict.fromkeys(s for name in named(note) for s in _functions_of(vault, name)))


def split(vault: Vault, symbol: str) -> tuple[str, Path, str]:
    """`llm.model:RMSNorm.forward` → 模块、它的文件、里面的名字。

    异常：没有这个模块，抛 RizhiError。
    """
    module, _, name = symbol.partition(":")
    return module, module_file(vault, module), name


def snippet_of(vault: Vault, note: Note) -> Path:
    return vault.snippets / f"{note.module}.py"


def _functions_of(vault: Vault, name: str) -> list[str]:
    module, _, dotted = name.partition(":")
    try:
        found = functions(read_text(module_file(vault, module)), dotted)
    except (RizhiError, KeyError, SyntaxError, ValueError):
        return []  # 围栏写错了由 check 说
    return [f"{module}:{inside}" for inside in found]


# ---- 键 ----


class Keys:
    """各个函数与笔记此刻的键；一次算好用到的片段。"""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.loaded = {path: records.load(vault, path) for path in snippet_files(vault)}
        self.files = {name: vault.relative(path) for name, path in modules(vault).items()}
        installed = sorted(name for name in SEEDED if run.installed(name))
        about = [_VERSION, sys.version_info[:3], *((name, _version(name)) for name in installed)]
        about.append(vault.config.get("mutations", ""))
        self._about = json.dumps(about)
        self._sources: dict[str, str] = {}

    def users(self, symbol: str) -> list[Path]:
        """也许会调用它的片段：用到它那个模块的。"""
        file = self.files.get(symbol.partition(":")[0], "")
        return [path for path, one in self.loaded.items() if file in one.sources and not one.error]

    def drill(self, symbol: str, note: Note, used: Used) -> str:
        """那个函数的模块、那篇的片段与它们用到的源码变了才变；别的片段只算原文。

        记下的调用不随别处的源码变：参数在手里，结果只由那个模块算出。
        """
        users = used.snippets or [path.stem for path in self.users(symbol)]
        texts = {path.stem: one.snippet.text for path, one in self.loaded.items() if one.snippet}
        own = self.loaded.get(snippet_of(self.vault, note))
        sources = [self.source(name) for name in (symbol.partition(":")[0], *used.modules)]
        parts = [texts.get(stem, "") for stem in users]
        return self._digest("drill", symbol, own.key if own else "", *sources, *parts)

    def used(self, calls: Sequence[Call]) -> Used:
        """几次调用的键里要算的。"""
        written = [call.inputs.arguments for call in calls]
        # 短的名字在 pickle 里是一个字节的长度与它的 UTF-8，前面是 SHORT_BINUNICODE
        marked = {name: b"\x8c%c%s" % (len(name), name.encode()) for name in self.files}
        modules = tuple(n for n, mark in marked.items() if any(mark in data for data in written))
        return Used(tuple(sorted({call.snippet for call in calls})), modules)

    def source(self, module: str) -> str:
        """一个模块与它用到的源码的指纹，问第一次时的。"""
        if module not in self._sources:
            try:
                self._sources[module] = records.modules_key(self.vault, [module])
            except RizhiError:
                self._sources[module] = ""  # 读不懂：由 check 说
        return self._sources[module]

    def questions(self, note: Note) -> str:
        one = self.loaded.get(snippet_of(self.vault, note))
        return self._digest(
            "check", note.slug, one.key if one else "", *functions_of(self.vault, note)
        )

    def _digest(self, *parts: str) -> str:
        return hashlib.sha256(json.dumps([self._about, *parts]).encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# ---- 读与写 ----


def current_drill(vault: Vault, keys: Keys, symbol: str, note: Note) -> Drill | None:
    """算过、键没有变的。"""
    found = read_drill(vault, symbol)
    return found if found and found.key == keys.drill(symbol, note, found.used) else None


def current_questions(vault: Vault, keys: Keys, note: Note) -> Questions | None:
    """同上。"""
    found = read_questions(vault, note.slug)
    return found if found and found.key == keys.questions(note) else None


def read_drill(vault: Vault, symbol: str) -> Drill | None:
    """算过的；没有、不是本机写下的、读不懂的，是 None。"""
    data = _loads(sealed.read(_file(vault, symbol, "json")))
    if data is None or data.get("symbol") != symbol or data.keys() != _FIELDS:
        return None  # 别的版本写下的，键也对不上
    lists = {name: tuple(data[name]) for name in ("cells", "through")}
    used = Used(**{name: tuple(listed) for name, listed in data["used"].items()})
    return Drill(**{**data, **lists, "used": used})


def read_questions(vault: Vault, note: str) -> Questions | None:
    """同上。"""
    data = _loads(sealed.read(_file(vault, note, "checks")))
    if data is None or data.get("note") != note:
        return None
    asked = tuple(Question(**{**one, "checks": tuple(one["checks"])}) for one in data["asked"])
    return Questions(note, data["key"], asked)


def read_calls(vault: Vault, drill: Drill) -> list[Call] | None:
    """一题记下的各次调用；没有、不是本机写下的、与那一题不是一起写的，是 None。"""
    data = sealed.read(_file(vault, drill.symbol, "calls"))
    head, _, rest = (data or b"").partition(b"\n")
    about = _loads(head)
    if about is None or about["key"] != drill.key or about["symbol"] != drill.symbol:
        return None
    return list(_calls(about["calls"], rest))


def write_drill(vault: Vault, drill: Drill, calls: Sequence[Call]) -> None:
    """写下一题；索引最后写。"""
    heads = [
        [*_head(call), len(call.inputs.arguments), len(call.inputs.generators)] for call in calls
    ]
    about = {"key": drill.key, "symbol": drill.symbol, "calls": heads}
    blobs = b"".join(call.inputs.arguments + call.inputs.generators for call in calls)
    _folder(vault)
    sealed.write(_file(vault, drill.symbol, "calls"), json.dumps(about).encode() + b"\n" + blobs)
    sealed.write(_file(vault, drill.symbol, "json"), json.dumps(asdict(drill)).encode())


def write_questions(vault: Vault, questions: Questions) -> None:
    """写下一篇的几题。"""
    _folder(vault)
    sealed.write(_file(vault, questions.note, "checks"), json.dumps(asdict(questions)).encode())


def _head(call: Call) -> list[Any]:
    return [
        call.snippet,
        call.number,
        dict(call.inputs.mode),
        dict(call.outcome),
        call.inputs.after,
    ]


def _calls(heads: Sequence[Any], data: bytes) -> Iterator[Call]:
    at = 0
    for snippet, number, mode, outcome, after, first, second in heads:
        middle, end = at + first, at + first + second
        inputs = Inputs(data[at:middle], data[middle:end], mode, after, outcome["changed"])
        at = end
        yield Call(snippet, number, inputs, outcome)


def _folder(vault: Vault) -> None:
    from rizhi.store import state_folder

    state_folder(vault.root, FOLDER)


def _file(vault: Vault, name: str, ending: str) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return vault.root / ".rizhi" / FOLDER / f"{digest}.{ending}"


def _loads(data: bytes | None) -> dict[str, Any] | None:
    found = json.loads(data) if data else None
    return found if isinstance(found, dict) else None
