"""给一篇笔记改名：笔记、片段、记录与所有指向它的链接，一起改；这里只算，不写。"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rizhi.errors import RizhiError
from rizhi.frontmatter import scalars
from rizhi.links import relative, resolve
from rizhi.markdown import spliced
from rizhi.markdown.outline import fences
from rizhi.page import Note, Page
from rizhi.vault import Vault, module_of

_ATTRIBUTE = re.compile(r"""\b(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_UNIT = re.compile(  # JSON 字符串里的一个字：代理对、转义，或它自己
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.S
)

_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Plan:
    """把 `note` 从 `old` 改名为 `new`：要搬的文件，与每一页怎么改。"""

    note: Note
    old: str
    new: str
    moves: list[tuple[Path, Path]]

    def rewritten(self, path: Path, text: str) -> tuple[str, int]:
        """一页改过之后的文字，与改了几处链接。"""
        plain = unquote(html.unescape(text)).replace("\\", "")
        if self.old not in plain and module_of(self.old) not in plain:
            return text, 0  # 连名字都没有，不必解析
        if path.suffix == ".ipynb":
            return _in_notebook(path, text, self)
        edits, links = _edits(Page(path, text), self)
        return spliced(text, edits), links


def plan(vault: Vault, notes: Sequence[Note], old: str, new: str) -> Plan:
    """从 `old` 改成 `new` 要做什么。

    异常：没有 `old`、`new` 已有，抛 RizhiError。
    """
    note = _the_note(vault, notes, old, new)
    target = note.path.with_name(f"{new}.md")
    return Plan(note, old, new, [(note.path, target), *_moves(vault, old, new)])


def _the_note(vault: Vault, notes: Sequence[Note], old: str, new: str) -> Note:
    found = [note for note in notes if note.slug == old]
    taken = [note for note in notes if note.slug == new]
    if len(found) != 1:
        why = "没有这篇笔记" if not found else f"有 {len(found)} 篇同名的笔记"
        raise RizhiError(f"{old}：{why}。")
    places = [target for _, target in _moves(vault, old, new) if target.exists()]
    clash = [*(note.path for note in taken), *places]
    if clash:
        raise RizhiError(f"{vault.relative(clash[0])} 已存在。换一个名字。")
    return found[0]


def _moves(vault: Vault, old: str, new: str) -> list[tuple[Path, Path]]:
    a, b = module_of(old), module_of(new)
    pairs = [
        (vault.snippets / f"{a}.py", vault.snippets / f"{b}.py"),
        (vault.outputs / a, vault.outputs / b),
    ]
    return [(source, target) for source, target in pairs if source.exists()]


def _edits(page: Page, plan: Plan) -> tuple[list[_Edit], int]:
    """一页 Markdown 里要换掉的各处，与其中几处是链接。"""
    links = _linked(page, plan)
    fences = _embedded(page, module_of(plan.old), module_of(plan.new))
    return [*links, *fences, *_declared(page, plan)], len(links)


def _linked(page: Page, plan: Plan) -> list[_Edit]:
    """指向旧路径的链接、图片、引用式定义与 HTML 里的地址。"""
    document = page.document
    spots = {(link.dest, link.dest_end): link.target for link in document.links}
    spots |= {(made.dest, made.dest_end): made.target for made in document.definitions.values()}
    for span in document.spans:
        if span.kind == "html":
            for found in _ATTRIBUTE.finditer(page.text, span.start, span.end):
                group = found.lastindex or 0
                spots[found.span(group)] = html.unescape(found[group])
    folder, (old, new) = str(page.path.parent), plan.moves[0]
    return [
        (at, end, _renamed(page.text[at:end], target, page.path, old, new))
        for (at, end), target in spots.items()
        if at >= 0 and resolve(folder, target) == str(old)
    ]


def _renamed(written: str, target: str, path: Path, old: Path, new: Path) -> str:
    """换了名字的写法：只换文件名；名字写成了编码或转义的，整个重写。"""
    place = re.split(r"[#?]", written, maxsplit=1)[0]
    if place.endswith(old.name):
        return place.removesuffix(old.name) + new.name + written[len(place) :]
    bare = re.split(r"[#?]", target, maxsplit=1)[0]
    return relative(path, new) + target[len(bare) :]


def _embedded(page: Page, old: str, new: str) -> list[_Edit]:
    """`snippet` 围栏里写的模块名。"""
    lines = (
        line for fence in fences(page.document) if fence.lang == "snippet" for line in fence.lines
    )
    return [
        (at, at + len(old), new)
        for at, line in lines
        if line.partition(":")[0].strip() == old and line.startswith(old)
    ]


def _declared(page: Page, plan: Plan) -> list[_Edit]:
    """前置数据里的 prereq，与这篇笔记自己的 snippet。"""
    wanted = [("prereq", plan.old, plan.new)]
    if page.path == plan.note.path:
        wanted.append(("snippet", module_of(plan.old), module_of(plan.new)))
    return [
        (at, end, page.text[at:end].replace(old, new))
        for key, old, new in wanted
        for value, at, end in scalars(page.text, key)
        if value == old
    ]


def _in_notebook(path: Path, text: str, plan: Plan) -> tuple[str, int]:
    """笔记本的说明格里的链接；别的字节，连同 JSON 的写法，都不动。"""
    try:
        strings = list(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return text, 0  # 坏了的笔记本不碰
    tokens = list(_STRING.finditer(text))
    if [json.loads(token[0]) for token in tokens] != [one for one, _ in strings]:
        return text, 0  # 有重复的键：对不上号，不碰
    cells: dict[int, list[re.Match[str]]] = {}
    for token, (_, cell) in zip(tokens, strings, strict=True):
        if cell is not None:
            cells.setdefault(cell, []).append(token)
    edits: list[_Edit] = []
    for lines in cells.values():
        source, places = "", list[int]()
        for line in lines:
            source += json.loads(line[0])
            places += _places(line)
        links = _linked(Page(path, source), plan)
        edits += [(places[at], places[end - 1] + 1, new) for at, end, new in links]
    return spliced(text, edits), len(edits)


def _strings(node: Any, cell: int | None = None) -> Iterator[tuple[str, int | None]]:
    """JSON 里的每个字符串，按写下的次序；说明格的文字带上那一格的记号。"""
    if isinstance(node, str):
        yield node, cell
    elif isinstance(node, list):
        for inside in node:
            yield from _strings(inside, cell)
    elif isinstance(node, dict):
        prose = node.get("cell_type") == "markdown"
        for key, value in node.items():
            yield key, None
            yield from _strings(value, id(node) if prose and key == "source" else None)


def _places(token: re.Match[str]) -> list[int]:
    """一个 JSON 字符串的每个字从文件的哪里起。"""
    start = token.start() + 1
    return [start + unit.start() for unit in _UNIT.finditer(token[0][1:-1])]
