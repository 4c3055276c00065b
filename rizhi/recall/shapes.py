"""形状题：源码包与片段里写着形状注释的一行，问它得到什么形状；答案是真跑出来的。

要跑片段才知道答案，所以由 `prepare` 先算好，存在 `.rizhi/shapes/`，可删可重建；一题有几组大小，
一天抽一组。没有算过、片段或源码变了又没有重算的，就没有这种题。
"""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.recall.cards import SHAPED, Card, Verdict
from rizhi.recall.recorded import Noted, gather
from rizhi.vault import Vault, read_text, today

if TYPE_CHECKING:
    from fractions import Fraction

SECONDS = 120.0  # 一个片段一边跑一边看的时限：比只跑慢
_VERSION = 3  # 存的样子变了就加一
_DIM = r"[A-Za-z0-9_+*/ ]+"
_COMMENT = re.compile(rf"[#\s]*(?:各 ?)?\(({_DIM}(?:,{_DIM})*,?|{_DIM},)\)")
_ARROW = re.compile("->|→")  # 有的人写成「进来的 -> 得到的」
_MADE = "arange array empty full ones rand randint randn tensor zeros".split()
_FULL = str.maketrans("（），、［］【】×", "(),,[][]*")


@dataclass(frozen=True)
class Line:
    """一行可以问的：`name` 是它在哪个函数或片段里，`code` 是那一句，`dims` 是注释里的各维。"""

    path: Path
    first: int
    last: int
    name: str
    code: str
    target: str
    dims: tuple[str, ...]


_Progress = Callable[[list[Noted]], Iterable[Noted]]


def prepare(vault: Vault, progress: _Progress = lambda notes: notes) -> Iterator[str]:
    """逐篇跑片段，看各行的形状，写进 `.rizhi/shapes/`；没有变的不重算。给出要说的几行。

    异常：`.rizhi` 用不得，抛 StoreError；写不成，抛 OSError。
    """
    folder = store.state_folder(vault.root, "shapes")
    for noted in progress([one for one in gather(vault) if one.key]):
        file, lines = folder / f"{noted.slug}.json", list(_lines(vault, noted))
        key, digest, old = _key(noted), _digest(lines), _load(file)
        if (old.get("key"), old.get("digest")) == (key, digest):
            continue
        try:
            seen = _seen(vault, noted, lines)
        except RizhiError as error:
            yield f"{noted.slug} 的形状题没有算：{error.within(vault.root)}"
            continue
        data = {"key": key, "digest": digest, "lines": _kept(vault, lines, seen)}
        store.replace(file, json.dumps(data, ensure_ascii=False).encode())


def cards(vault: Vault, listed: Iterable[Noted]) -> Iterator[Card]:
    """算好了的形状题，今天的大小；片段或源码变了的不算。"""
    folder, day, texts = vault.root / ".rizhi/shapes", today(vault), set[str]()
    for noted in listed if folder.is_dir() and not folder.is_symlink() else ():
        data = _load(folder / f"{noted.slug}.json") if noted.key else {}
        for line in data["lines"] if data.get("key") == _key(noted) else ():
            card = _card(noted, line, day)
            if card.text not in texts:
                texts.add(card.text)
                yield card


def grade(vault: Vault, card: Card, said: str) -> Verdict:
    """数与字母都认；不对的说第几维。"""
    sizes, _, letters = card.answer.partition(" = ")
    wanted, dims = read(sizes), read(letters)
    got = read(said)
    if len(got) != len(wanted):
        return Verdict(False, (f"不对：维数不对，你写了 {len(got)} 维。",))
    pairs = zip(got, wanted, dims, strict=True)
    wrong = [str(n) for n, (one, *right) in enumerate(pairs, 1) if not _same(one, *right)]
    return Verdict(not wrong, (f"不对：第 {'、'.join(wrong)} 维。" if wrong else "对。",))


def hints(vault: Vault, card: Card) -> tuple[str, ...]:
    """几维；头一维；除了末一维。"""
    dims = read(card.answer.partition(" = ")[2])
    told = [f"一共 {len(dims)} 维。"]
    told += [f"头一维是 {dims[0]}。"] if len(dims) > 1 else []
    return (*told, *([f"{_tuple((*dims[:-1], '?'))}"] if len(dims) > 2 else []))


# ---- 哪些行 ----


def _lines(vault: Vault, noted: Noted) -> Iterator[Line]:
    """一篇笔记问得到的行：它的片段里的，与 source 围栏点名的源码里的。"""
    from rizhi.markdown.outline import fence_lines
    from rizhi.page import Note, load
    from rizhi.snippets.source import read_fence_line

    assert noted.snippet  # noqa: S101  有指纹的才来算
    yield from lines_of(noted.snippet, noted.snippet.stem)
    note = load(Note, vault, vault.root / noted.where)
    for text in (text for _, text in fence_lines(note.document, "source") if text):
        try:
            shown = read_fence_line(vault, text)
        except RizhiError:
            continue  # 围栏写错了由 check 说
        last = shown.first + shown.source.count("\n")
        inside = lines_of(shown.path, f"{text.partition(':')[0].strip()}:")
        yield from (line for line in inside if shown.first <= line.first <= last)


def lines_of(path: Path, name: str) -> Iterator[Line]:
    """一个文件里写着形状注释的赋值与返回；`name` 以冒号结尾的，后面接上函数的名字。

    异常：读不到、读不懂，抛 RizhiError 或 SyntaxError。
    """
    text = read_text(path)
    rows = text.splitlines()
    found = dict(_comments(text))
    for owner, node in _statements(ast.parse(text).body, ""):
        dims = found.get(node.end_lineno or 0)
        target = _target(node)
        if not dims or not target:
            continue
        last = node.end_lineno or node.lineno
        segment = rows[node.lineno - 1 : last]
        segment[-1] = segment[-1].encode()[: node.end_col_offset].decode()
        code = dedent("\n".join(segment))
        if _plain(node) or (len(dims) > 1 and ", ".join(dims) in code):
            continue  # 答案就写在这一句里
        where = f"{name}{owner}" if name.endswith(":") else name
        yield Line(path, node.lineno, last, where, code, target, dims)


def _comments(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    from rizhi.snippets.cells import comments  # 算的时候才用到

    for comment in comments(text):
        if found := _COMMENT.match(_ARROW.split(comment.string)[-1]):
            dims = (part.strip() for part in found[1].split(","))
            yield comment.start[0], tuple(part for part in dims if part)


def _statements(body: Sequence[ast.stmt], owner: str) -> Iterator[tuple[str, ast.stmt]]:
    """每一句赋值与返回，与它在哪个函数里。"""
    for node in body:
        inside = owner
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inside = f"{owner}.{node.name}" if owner else node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return):
            if node.value:
                yield owner, node
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, []), inside)
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body, inside)


def _target(node: ast.stmt) -> str:
    """问的是谁的形状。"""
    if isinstance(node, ast.Return):
        return "返回的头一个" if isinstance(node.value, ast.Tuple) else "返回值"
    from rizhi.recall.shapetrace import target_of

    return target_of(node)


def _plain(node: ast.stmt) -> bool:
    """照着写好的大小造一个：`torch.zeros(2, 3)`。"""
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in _MADE


# ---- 算 ----


def _seen(vault: Vault, noted: Noted, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """真跑一遍看到的。

    异常：缺库、没有跑完，抛 RizhiError。
    """
    from rizhi.recall.shapetrace import Wanted, trace
    from rizhi.snippets import record as records
    from rizhi.snippets import run
    from rizhi.snippets.child import SEEDED

    if not noted.snippet or not lines:
        return []
    snippet = records.load(vault, noted.snippet).source
    if lacking := run.missing(vault, snippet):
        raise RizhiError(f"要用 {'、'.join(lacking)}，这里没有装。")
    wanted = [Wanted(str(line.path), line.first, line.last, line.dims) for line in lines]
    seeded = records.libraries(vault, noted.snippet, deep=True) & SEEDED
    sent = b"".join(run.work(vault, trace, (snippet, wanted), SECONDS, seeded))
    found: list[dict[str, Any]] = json.loads(sent or b"[]")
    return found


def _kept(
    vault: Vault, lines: Sequence[Line], seen: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """问得成的：注释说的是整句的结果、形状不由内容定，大小没有照写在那一句里。"""
    from rizhi.recall.shapetrace import OPAQUE

    kept = []
    for one in seen:
        line = lines[one["number"]]
        variants = [
            {"given": given, "shape": shape, "hidden": any(f"：{OPAQUE}" in g for g in given)}
            for given, shape in one["variants"]
            if len(shape) < 2 or ", ".join(map(str, shape)) not in line.code
        ]
        if variants and not one["unclear"]:
            about = {"name": line.name, "code": line.code, "target": line.target}
            where = f"{vault.relative(line.path)}:{line.first}"
            kept.append({**about, "where": where, "dims": line.dims, "variants": variants})
    return kept


def _card(noted: Noted, line: Mapping[str, Any], day: date) -> Card:
    text = f"{line['name']}\n{line['code']}"
    first = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    drawn = line["variants"][(first + day.toordinal()) % len(line["variants"])]  # 天天不同
    sizes, dims = _tuple(list(map(str, drawn["shape"]))), _tuple(line["dims"])
    given = "\n".join(f"# {one}" for one in drawn["given"])
    how = (
        "大小没有全给，用字母写，如 (B, T)" if drawn["hidden"] else "写数或字母，如 (2, 5)、(B, T)"
    )
    target = line["target"] if line["target"][:1] > "\u2e7f" else f" {line['target']} "
    return Card(
        noted.slug,
        SHAPED,
        text,
        f"{sizes} = {dims}",
        line["where"],
        symbol=line["name"] if ":" in line["name"] else "",
        prompt=f"这一句之后，{target}的形状是？{how}。".replace("， ", "，"),
        code=f"{given}\n{line['code']}" if given else line["code"],
        after=f"{line['code']}  # {dims}",
    )


def _load(file: Path) -> Mapping[str, Any]:
    """存着的一份；没有、坏了、不是该有的样子，都是空的。"""
    try:
        data = json.loads(file.read_bytes())
        for line in data["lines"]:
            if not all(isinstance(line[n], str) for n in ("name", "code", "target", "where")):
                return {}
            sized = [(v["given"], v["hidden"], v["shape"]) for v in line["variants"]]
            if not sized or not all(len(shape) == len(line["dims"]) for *_, shape in sized):
                return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _key(noted: Noted) -> str:
    return f"{_VERSION}:{noted.key}"


def _digest(lines: Sequence[Line]) -> str:
    text = repr([(line.first, line.name, line.code, line.dims) for line in lines])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---- 判 ----


def read(said: str) -> list[str]:
    """`(2, 5)`、`B T`、`torch.Size([2, 5])` 读成各维。"""
    text = said.translate(_FULL).strip().removeprefix("torch.Size").strip("()[] \t")
    parts = text.split(",") if "," in text else text.split()
    return [part.strip() for part in parts if part.strip()]


def _same(said: str, size: str, dim: str) -> bool:
    """写的是数就比数，是式子就比式子：D*H 与 H*D 是一个。"""
    if said.isdecimal():
        return int(said[:20]) == int(size)
    try:
        return _value(said.upper()) == _value(dim.upper())
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return False


def _value(text: str) -> "Fraction":
    """一个式子的值，字母各取一个不相干的数；2I 就是 2*I。

    异常：不是这样的式子，抛 SyntaxError 或 ValueError。
    """
    if len(text) > 40:
        raise ValueError("太长")
    return _number(ast.parse(re.sub(r"(?<=\d)(?=[A-Z])", "*", text.strip()), mode="eval").body)


def _number(node: ast.expr) -> "Fraction":
    from fractions import Fraction  # 判的时候才用到

    if isinstance(node, ast.Name):
        return Fraction(int.from_bytes(hashlib.sha256(node.id.encode()).digest()[:6], "big") | 1)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.BinOp):
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div | ast.FloorDiv):
            return left / right
    raise ValueError("不是字母、数与加减乘除")


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
