"""建一篇笔记的骨架、给笔记改名：几个文件一起，要么全成，要么全不成。"""

import html
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rizhi import markdown, store, template
from rizhi.errors import RizhiError
from rizhi.frontmatter import body_start, quoted, scalars
from rizhi.links import relative, resolve
from rizhi.markdown import spliced
from rizhi.markdown.outline import fences, sections
from rizhi.page import Note, Page, read_notes
from rizhi.template import VALUE, render
from rizhi.vault import SLUG, Vault, contained, decode, groups, module_of

_ATTRIBUTE = re.compile(r"""\b(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_UNIT = re.compile(  # JSON 字符串里的一个字：代理对、转义，或它自己
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.S
)

_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Renamed:
    """一次改名：搬了哪些文件，改了几个文件、几处链接。"""

    moves: list[tuple[Path, Path]]
    edits: int
    links: int


def create(vault: Vault, slug: str, title: str, group: str | None, today: date) -> list[Path]:
    """笔记与片段的骨架，都是草稿；还没有这一组就新开一组。

    异常：组名不对、已有同名的笔记或片段，抛 RizhiError；什么也没有改动。
    """
    folder = _folder(vault, group)
    title = " ".join(title.split())
    if not title or not title.isprintable():
        raise RizhiError("标题是空的，或有控制字符；没有改动任何文件。")
    note = folder / f"{slug}.md"
    snippet = vault.snippets / f"{module_of(slug)}.py"
    taken = [n.path for n in read_notes(vault) if n.slug == slug]
    taken += [path for path in (note, snippet) if path.exists()]
    if taken:
        raise RizhiError(f"{vault.relative(taken[0])} 已存在；没有改动任何文件。换一个名字。")
    values = {"slug": slug, "title": title, "module": module_of(slug), "created": today}
    texts = {
        note: template.render(vault, "note.md", **values, yaml_title=quoted(title)),
        snippet: template.render(vault, "snippet.py", **values),
    }
    steps = [store.creation(contained(vault, p), text.encode()) for p, text in texts.items()]
    store.change(vault.root, f"note {slug}", steps)
    return [note, snippet]


def rename(vault: Vault, old: str, new: str) -> Renamed:
    """改名，连同片段、记录与所有链接。

    异常：没有 `old`、`new` 已有，抛 RizhiError；写不成，抛 OSError。什么也没有改动。
    """
    planned = plan(vault, read_notes(vault), old, new)
    links: dict[Path, int] = {}

    def rewritten(path: Path, data: bytes | None) -> bytes | None:
        try:
            text, links[path] = planned.rewritten(path, decode(data or b"", path))
        except RizhiError:
            return data  # 读不出的页里不会有要改的链接，也绝不改它
        return data and text.encode()

    edits = [store.Edit(path, partial(rewritten, path)) for path in _pages(vault)]
    moves = [store.Move(contained(vault, a), contained(vault, b)) for a, b in planned.moves]
    changed = store.change(vault.root, f"rename {old} {new}", [*edits, *moves])
    return Renamed(planned.moves, len(changed) - len(moves), sum(links.values()))


def note_headings(vault: Vault) -> tuple[str, ...]:
    """笔记模板的二级标题；模板填了值的地方是 VALUE。

    异常：同 `render`。
    """
    values: dict[str, Any] = dict.fromkeys(("slug", "title", "module", "yaml_title"), VALUE)
    text = render(vault, "note.md", **values, created=date(2000, 1, 1))
    return tuple(part.name for part in sections(markdown.parse(text, body_start(text))))


def _folder(vault: Vault, group: str | None) -> Path:
    """这一组的文件夹；没有说是哪一组，只有一组就是它，一组也没有就不分组。"""
    known = list(groups(vault))
    if group is None and len(known) > 1:
        raise RizhiError(f"用 --group 说明放进哪一组：{'、'.join(known)}。没有改动任何文件。")
    if group is None:
        return vault.notes.joinpath(*known)
    if not SLUG.fullmatch(group):
        raise RizhiError(
            f"组名 {group!r} 不合规则：只用小写字母、数字与单个连字符，例如 data-structures。"
            "没有改动任何文件。"
        )
    return vault.notes / group


def _pages(vault: Vault) -> list[Path]:
    """可能链接到笔记的文件：全部页面、笔记本与根下的说明。"""
    found = [*vault.docs.rglob("*.md"), *vault.notebooks.glob("*.ipynb"), *vault.root.glob("*.md")]
    return sorted(path for path in found if _is_page(vault, path))


def _is_page(vault: Vault, path: Path) -> bool:
    """名字以点开头的不是页面；没有权限读的，也改不了。"""
    hidden = any(part.startswith(".") for part in path.relative_to(vault.root).parts)
    return not hidden and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


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
        raise RizhiError(f"{old}：{why}。没有改动任何文件。")
    places = [target for _, target in _moves(vault, old, new) if target.exists()]
    clash = [*(note.path for note in taken), *places]
    if clash:
        raise RizhiError(f"{vault.relative(clash[0])} 已存在；没有改动任何文件。换一个名字。")
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
