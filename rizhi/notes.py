"""笔记的新建、改名、删除与合并：几个文件一起，要么全成，要么全不成。"""

import html
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import unquote

from rizhi import links, markdown, store, template
from rizhi.errors import RizhiError
from rizhi.frontmatter import body_start, listed, newline, quoted, scalars
from rizhi.markdown import Document, spliced
from rizhi.markdown.document import one_line
from rizhi.markdown.outline import fence_lines, questions, sections
from rizhi.markdown.source import label
from rizhi.page import Note, Page, read_notes
from rizhi.template import VALUE, render
from rizhi.vault import SLUG, Vault, contained, decode, groups, module_of, read_text, snippet_files

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_UNIT = re.compile(  # JSON 字符串里的一个字：代理对、转义，或它自己
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.S
)
_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]")
_ROLE = re.compile(r"^##[ \t]+(.+?)[ \t]*\{#[ \t]*(\w+)[ \t]*#\}[ \t]*$", re.M)

_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Moved:
    """一次改名或合并：哪个文件成了哪个，改了几个文件、几处链接。"""

    moves: dict[Path, Path]
    edits: int
    links: int
    stale: list[Path]  # 改了链接的片段：记录过期了
    line: int = 0  # 合并：正文接在这一行起
    kept: tuple[Path, ...] = ()  # 合并：留着的片段与记录


@dataclass(frozen=True)
class Reference:
    """一处指着某篇笔记的地方；`text` 是写着的地址、围栏里的一行或 prereq。"""

    path: Path
    line: int
    text: str


@dataclass(frozen=True)
class Deletion:
    """要删的文件，与删了之后会断的各处。"""

    slug: str
    files: list[Path]
    references: list[Reference]


def create(vault: Vault, slug: str, title: str, group: str | None, today: date) -> list[Path]:
    """笔记与片段的骨架，都是草稿；还没有这一组就新开一组。

    异常：组名不对、片段与标准库重名、已有同名的笔记或片段，抛 RizhiError；什么也没有改动。
    """
    _not_a_library(slug)
    folder = _folder(vault, group)
    title = " ".join(title.split())
    if not title or not title.isprintable():
        raise RizhiError("标题是空的，或有控制字符。")
    note = folder / f"{slug}.md"
    snippet = vault.snippets / f"{module_of(slug)}.py"
    taken = [n.path for n in read_notes(vault) if n.slug == slug]
    taken += [path for path in (note, snippet) if path.exists()]
    if taken:
        raise RizhiError(f"{vault.relative(taken[0])} 已存在。换一个名字。")
    values = {"slug": slug, "title": title, "module": module_of(slug), "created": today}
    texts = {
        note: template.render(vault, "note.md", **values, yaml_title=quoted(title)),
        snippet: template.render(vault, "snippet.py", **values),
    }
    steps = [store.creation(contained(vault, p), text.encode()) for p, text in texts.items()]
    store.change(vault.root, f"note {slug}", steps)
    return [note, snippet]


def rename(vault: Vault, old: str, new: str) -> Moved:
    """改名，连同片段、记录与所有链接。

    异常：没有 `old`、`new` 已有或与标准库重名，抛 RizhiError；写不成，抛 OSError。什么也没有改动。
    """
    notes = read_notes(vault)
    note = _the_note(notes, old)
    _not_a_library(new)
    moves = {note.path: note.path.with_name(f"{new}.md"), **_companions(vault, old, new)}
    taken = [note.path for note in notes if note.slug == new]
    taken += [target for target in moves.values() if target.exists()]
    if taken:
        raise RizhiError(f"{vault.relative(taken[0])} 已存在；换一个名字。")
    edits, count = _edits(vault, _Replacement(old, new, moves, renamed=note.path))
    steps = [store.Move(contained(vault, a), contained(vault, b)) for a, b in moves.items()]
    changed = store.change(vault.root, f"rename {old} {new}", [*edits, *steps]).paths
    return Moved(moves, len(changed) - len(moves), sum(count.values()), _stale(count, moves))


def deletion(vault: Vault, slug: str) -> Deletion:
    """删掉一篇笔记要动什么：它、片段与记录的文件，与会断的各处；只算，不写。

    异常：没有这篇笔记，或有几篇同名的，抛 RizhiError。
    """
    note = _the_note(read_notes(vault), slug)
    snippet, outputs = vault.snippets / f"{module_of(slug)}.py", vault.outputs / module_of(slug)
    records = sorted(path for path in outputs.rglob("*") if not path.is_dir())
    files = [note.path, *([snippet] if snippet.exists() else []), *records]
    doomed = [note.path, snippet, outputs]
    references: list[Reference] = []
    for path in (path for path in _pages(vault) if path != note.path):
        with suppress(RizhiError):  # 读不出的页里不会有链接
            references += _references(path, read_text(path), slug, doomed)
    return Deletion(slug, files, references)


def delete(vault: Vault, planned: Deletion) -> None:
    """删掉一篇笔记、它的片段与记录；别的页一个字节也不动，链接由人改。

    异常：写不成，抛 OSError；什么也没有改动。
    """
    steps = [_removal(vault, path, lambda _: None) for path in planned.files]
    store.change(vault.root, f"delete {planned.slug}", steps)
    store.remove_empty(vault.outputs / module_of(planned.slug))


def merge(vault: Vault, old: str, new: str) -> Moved:
    """把 `old` 并进 `new`：链接都改指 `new`，正文接在它的末尾；片段与记录留着。

    异常：缺一篇、同一篇、有一篇是草稿或读不懂、先修会成环，抛 RizhiError；写不成，抛 OSError。
    什么也没有改动。
    """
    notes = read_notes(vault)
    source, target = _the_note(notes, old), _the_note(notes, new)
    _check_merge(vault, notes, source, target)
    text = _combined(vault, source, target)
    moves = {source.path: target.path}
    replacement = _Replacement(old, new, moves)
    edits, count = _edits(vault, replacement, skipped={source.path, target.path})

    def unchanged(page: Note, result: str | None, data: bytes | None) -> bytes | None:
        if data != page.text.encode():
            raise RizhiError(f"{vault.relative(page.path)} 刚刚改过；再来一次。")
        return None if result is None else result.encode()

    text, count[target.path] = replacement.rewritten(target.path, text)
    steps = [
        _removal(vault, source.path, partial(unchanged, source, None)),
        store.Edit(contained(vault, target.path), partial(unchanged, target, text)),
    ]
    changed = store.change(vault.root, f"merge {old} {new}", [*steps, *edits]).paths
    line = text.count("\n", 0, text.rindex(f"\n### {_origin(source)}") + 1) + 1
    kept = tuple(_companions(vault, old, new))
    return Moved(
        moves, len(changed) - 1, sum(count.values()), _stale(count, {}), line=line, kept=kept
    )


def note_headings(vault: Vault) -> tuple[str, ...]:
    """笔记模板的二级标题；模板填了值的地方是 VALUE。

    异常：同 `render`。
    """
    values: dict[str, Any] = dict.fromkeys(("slug", "title", "module", "yaml_title"), VALUE)
    text = render(vault, "note.md", **values, created=date(2000, 1, 1))
    return tuple(part.name for part in sections(markdown.parse(text, body_start(text))))


def note_roles(vault: Vault) -> Mapping[str, str]:
    """笔记模板点名的几节：角色到标题，标题里填了值的地方是 VALUE。

    `## 自测{# questions #}`：Jinja 注释不进产物。一个角色也没有点名的是上一版的模板：
    标题还与自带的模板相同的，照自带的算。

    异常：同 `render`。
    """
    roles = _roles(template.source(vault, "note.md"))
    if not roles:
        own = _roles((template.TEMPLATES / "note.md").read_text("utf-8"))
        headings = note_headings(vault)
        roles = {role: title for role, title in own.items() if title in headings}
    return roles


def fits(name: str, wanted: str) -> bool:
    """一节的标题是不是模板里的这一个。"""
    return bool(re.fullmatch(re.escape(wanted).replace(VALUE, ".+"), name))


def self_tests(note: Note, role: str) -> Iterator[tuple[str, str, int]]:
    """自测的每一问：题目、框里的答案（去掉缩进）、在原文的哪里；`role` 是那一节的标题。

    没有题目、没有答案的不算。
    """
    for section in sections(note.document):
        for part in questions(note.document, section) if role and fits(section.name, role) else ():
            asked = part.name.partition('"')[2].rpartition('"')[0].strip()
            said = dedent(note.text[part.body : part.end].strip("\n")).strip()
            if asked and said:
                yield asked, said, part.start


def required(needs: Mapping[str, Iterable[str]], slug: str) -> set[str]:
    """读一篇之前要读的全部，连同它自己；`needs` 是每篇的先修。"""
    seen, waiting = set[str](), [slug]
    while waiting:
        if (slug := waiting.pop()) not in seen:
            seen.add(slug)
            waiting += needs.get(slug, ())
    return seen


def _roles(text: str) -> dict[str, str]:
    return {role: re.sub(r"\{\{.*?\}\}", VALUE, title) for title, role in _ROLE.findall(text)}


# ---- 笔记、片段与记录在哪里 ----


def _folder(vault: Vault, group: str | None) -> Path:
    """这一组的文件夹；没有说是哪一组，只有一组就是它，一组也没有就不分组。"""
    known = list(groups(vault))
    if group is None and len(known) > 1:
        raise RizhiError(f"用 --group 说明放进哪一组：{'、'.join(known)}。")
    if group is None:
        return vault.notes.joinpath(*known)
    if not SLUG.fullmatch(group):
        raise RizhiError(
            f"组名 {group!r} 不合规则：只用小写字母、数字与单个连字符，例如 data-structures。"
        )
    return vault.notes / group


def _not_a_library(slug: str) -> None:
    module = module_of(slug)
    if module in sys.stdlib_module_names:
        raise RizhiError(
            f"片段会叫 {module}.py，与标准库的 {module} 重名：在片段里 import {module}，"
            f"得到的是片段自己。换一个名字，例如 {slug}-note。"
        )


def _the_note(notes: Iterable[Note], slug: str) -> Note:
    same = [note for note in notes if note.slug == slug]
    if len(same) != 1:
        why = f"有 {len(same)} 篇同名的笔记" if same else "没有这篇笔记"
        raise RizhiError(f"{slug}：{why}。")
    return same[0]


def _companions(vault: Vault, old: str, new: str) -> dict[Path, Path]:
    """笔记的片段与记录，与换了名字之后在哪里；没有的不算。"""
    a, b = module_of(old), module_of(new)
    pairs = {
        vault.snippets / f"{a}.py": vault.snippets / f"{b}.py",
        vault.outputs / a: vault.outputs / b,
    }
    return {source: target for source, target in pairs.items() if source.exists()}


def _pages(vault: Vault) -> list[Path]:
    """可能链接到笔记的文件：全部页面、笔记本、根下的说明与片段。"""
    paths = [*vault.docs.rglob("*.md"), *vault.notebooks.glob("*.ipynb"), *vault.root.glob("*.md")]
    return sorted(path for path in (*paths, *snippet_files(vault)) if _is_page(vault, path))


def _is_page(vault: Vault, path: Path) -> bool:
    """名字以点开头的不是页面；没有权限读的，也改不了。"""
    hidden = any(part.startswith(".") for part in path.relative_to(vault.root).parts)
    return not hidden and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def _removal(
    vault: Vault, path: Path, change: Callable[[bytes | None], bytes | None]
) -> store.Edit:
    if path.is_symlink():  # 顺着链接删掉的，会是别处的文件
        raise RizhiError(f"{vault.relative(path)} 是符号链接；请自己删掉它。")
    return store.Edit(contained(vault, path), change)


# ---- 指着一篇笔记的各处：链接、prereq 与围栏里的模块名 ----


@dataclass(frozen=True)
class _Replacement:
    """每一页里 `old` 换成 `new`：文件搬到了哪里；改名的那一篇，片段的模块名也换。"""

    old: str
    new: str
    moves: dict[Path, Path]
    renamed: Path | None = None

    def rewritten(self, path: Path, text: str) -> tuple[str, int]:
        """一页改过之后的文字，与改了几处链接。"""
        if not _may_name(text, self.old):
            return text, 0
        if path.suffix == ".py":
            edits = [(*path.span(), self._spelled(path)) for path in _written_paths(text, self.old)]
            return spliced(text, edits), len(edits)
        edits, count = [], 0
        for prose in _prose(path, text):
            linked = links.retargeted(prose.page, self.moves)
            count += len(linked)
            edits += [prose.edit(*edit) for edit in linked]
            if prose.places is None:
                edits += self._declared(prose.page)
        return spliced(text, edits), count

    def _spelled(self, path: re.Match[str]) -> str:
        """片段里写成字符串的一个路径，换成新的；搬到别的组的，组名也换。"""
        old, new = next((a, b) for a, b in self.moves.items() if a.stem == self.old)
        if old.parent == new.parent:
            return f"{path[1]}{new.name}"
        return f"{'' if path[1] else '../'}{new.parent.name}/{new.name}"

    def _declared(self, page: Page) -> Iterator[_Edit]:
        """前置数据里的 prereq，与改名时围栏里的模块名、这篇笔记自己的 snippet。"""
        values = [value for value, _, _ in scalars(page.text, "prereq")]
        if self.renamed is None and self.old in values and self.new in values:
            yield listed(page.text, "prereq", [value for value in values if value != self.old])
        else:
            yield from _swapped(page, "prereq", self.old, self.new)
        if self.renamed is None:
            return
        old, new = module_of(self.old), module_of(self.new)
        yield from ((at, at + len(old), new) for at, _ in _embedded(page, old))
        if page.path == self.renamed:
            yield from _swapped(page, "snippet", old, new)


@dataclass(frozen=True)
class _Prose:
    """文件里的一段 Markdown；写成 JSON 的，`places` 是它的每个字在文件里的两端。"""

    page: Page
    places: Sequence[tuple[int, int]] | None = None

    def edit(self, start: int, end: int, new: str) -> _Edit:
        """这一段里的一处改动，在文件里是哪一处。"""
        if self.places is None:
            return start, end, new
        written = json.dumps(new, ensure_ascii=False)[1:-1]
        return self.places[start][0], self.places[end - 1][1], written


def _edits(
    vault: Vault, replacement: _Replacement, skipped: Iterable[Path] = ()
) -> tuple[list[store.Edit], dict[Path, int]]:
    """各页要改的，与各改了几处链接（写的时候才数得出）。"""
    count: dict[Path, int] = {}

    def rewritten(path: Path, data: bytes | None) -> bytes | None:
        try:
            text, count[path] = replacement.rewritten(path, decode(data or b"", path))
        except RizhiError:
            return data  # 读不出的页里不会有要改的链接，也绝不改它
        return data and text.encode()

    pages = (path for path in _pages(vault) if path not in skipped)
    return [store.Edit(path, partial(rewritten, path)) for path in pages], count


def _references(path: Path, text: str, slug: str, doomed: list[Path]) -> Iterator[Reference]:
    """一页里指着一篇笔记、它的片段与记录的各处，按位置排好。"""
    if not _may_name(text, slug):
        return
    places: list[tuple[int, str]] = []
    if path.suffix == ".py":
        places = [(path.start(), path[0]) for path in _written_paths(text, slug)]
    for prose in _prose(path, text):
        page = prose.page
        for address, _ in links.pointing(page, doomed):
            written = page.text[address.start : address.end]
            places.append((prose.edit(address.start, address.end, "")[0], written))
        if prose.places is None:
            lines = _embedded(page, module_of(slug))
            places += [(at, f"snippet 围栏 {line}") for at, line in lines]
            needs = scalars(text, "prereq")
            places += [(at, f"prereq {slug}") for value, at, _ in needs if value == slug]
    document = Document(text)
    yield from (Reference(path, document.line(at), what) for at, what in sorted(places))


def _written_paths(text: str, slug: str) -> Iterator[re.Match[str]]:
    """片段里写成字符串的路径，例如张量流的数据通到的笔记：名字在全库只有一个，不必问从哪里起。"""
    return re.finditer(rf"""(?<=["'/])((?:[\w-]+/)?){re.escape(slug)}\.md(?=["'#])""", text)


def _stale(count: Mapping[Path, int], moves: Mapping[Path, Path]) -> list[Path]:
    """改了链接的片段；它自己也改了名的，说新的名字。"""
    return [moves.get(path, path) for path, n in count.items() if n and path.suffix == ".py"]


def _may_name(text: str, slug: str) -> bool:
    """连名字都没有的页，不必解析。"""
    plain = unquote(html.unescape(text)).replace("\\", "")
    return slug in plain or module_of(slug) in plain


def _embedded(page: Page, module: str) -> list[tuple[int, str]]:
    """`snippet` 围栏里写着这个模块的各行。"""
    return [
        (at, line)
        for at, line in fence_lines(page.document, "snippet")
        if line.partition(":")[0].strip() == module and line.startswith(module)
    ]


def _swapped(page: Page, name: str, old: str, new: str) -> Iterator[_Edit]:
    """前置数据的 `name` 里的一个值换了，引号照旧。"""
    for value, start, end in scalars(page.text, name):
        if value == old:
            yield start, end, page.text[start:end].replace(old, new)


def _prose(path: Path, text: str) -> list[_Prose]:
    """一页是一段；笔记本是它的各个说明格，坏了的、有重复的键而对不上号的，一格也没有。

    片段里没有 Markdown，见 `_written_paths`。
    """
    if path.suffix == ".py":
        return []
    if path.suffix != ".ipynb":
        return [_Prose(Page(path, text))]
    try:
        strings = list(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return []
    tokens = list(_STRING.finditer(text))
    if [json.loads(token[0]) for token in tokens] != [string for string, _ in strings]:
        return []
    cells: dict[int, list[re.Match[str]]] = {}
    for token, (_, cell) in zip(tokens, strings, strict=True):
        if cell is not None:
            cells.setdefault(cell, []).append(token)
    return [
        _Prose(
            Page(path, "".join(json.loads(line[0]) for line in lines)),
            [place for line in lines for place in _places(line)],
        )
        for lines in cells.values()
    ]


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


def _places(token: re.Match[str]) -> list[tuple[int, int]]:
    """一个 JSON 字符串的每个字在文件里的两端。"""
    start = token.start() + 1
    return [(start + unit.start(), start + unit.end()) for unit in _UNIT.finditer(token[0][1:-1])]


# ---- 合并：一篇的正文接在另一篇的末尾 ----


def _check_merge(vault: Vault, notes: Sequence[Note], source: Note, target: Note) -> None:
    if source is target:
        raise RizhiError(f"{source.slug} 与 {target.slug} 是同一篇。")
    for note in (source, target):
        where = vault.relative(note.path)
        if note.faults or not note.meta:
            raise RizhiError(f"{where} 的前置数据读不懂或没有；先改好它。")
        if note.draft:
            raise RizhiError(
                f"{where} 是草稿，不能合并；写完它、去掉 draft: true 再来，"
                f"不要了就用 rizhi delete {note.slug}。"
            )
    needs = {note.slug: set(note.prereq) for note in notes}
    needs[target.slug] = set(_prerequisites(source, target))
    for before in needs.values():
        if source.slug in before:
            before.remove(source.slug)
            before.add(target.slug)
    for slug in sorted(needs[target.slug]):
        if target.slug in required(needs, slug):
            ring = f"{target.slug} 要先读 {slug}，{slug} 又要先读 {target.slug}"
            raise RizhiError(f"并成一篇之后先修成环：{ring}；先去掉其中一条 prereq。")


def _prerequisites(source: Note, target: Note) -> list[str]:
    both = dict.fromkeys([*target.prereq, *source.prereq])
    return [slug for slug in both if slug not in (source.slug, target.slug)]


def _origin(source: Note) -> str:
    return f"来自「{source.title}」"


def _combined(vault: Vault, source: Note, target: Note) -> str:
    """`target` 并进 `source` 之后的全文：前置数据合在一起，正文接在末尾的一个小节里。

    异常：`target` 末尾有没合上的代码块或注释，接上去的标题不成标题，抛 RizhiError。
    """
    aliases = [*target.aliases, *(n for n in (source.title, *source.aliases) if n != target.title)]
    lists = {
        "aliases": (target.aliases, aliases),
        "tags": (target.tags, [*target.tags, *source.tags]),
        "prereq": (target.prereq, _prerequisites(source, target)),
    }
    text = target.text
    for name, (old, new) in lists.items():
        if list(old) != (unique := list(dict.fromkeys(new))):
            text = spliced(text, [listed(text, name, unique)])
    head, end = text.rstrip("\r\n"), newline(text)
    part = f"\n\n### {_origin(source)}\n\n{_body(vault, source, target)}\n"
    text = head + part.replace("\r\n", "\n").replace("\n", end)
    at = len(head) + 2 * len(end)
    if all(heading.start != at for heading in Page(target.path, text).document.headings):
        where = vault.relative(target.path)
        raise RizhiError(f"{where} 的末尾有没合上的代码块或注释；合上它再来。")
    return text


def _body(vault: Vault, source: Note, target: Note) -> str:
    """一篇的正文：去掉一级标题，其余的标题低两级，链接从另一篇算起，撞名的引用换个名字。"""
    document = source.document
    outer = [heading for heading in document.headings if not heading.nested]
    edits: list[_Edit] = [(0, source.offset, "")]
    for number, heading in enumerate(outer):
        if number == 0 and heading.level == 1:
            edits.append((heading.start, document.line_end(heading.end - 1), ""))
        elif heading.setext:
            words = one_line(source.text[heading.start : heading.end].rstrip().rpartition("\n")[0])
            edits.append((heading.start, heading.end, f"{'#' * _lowered(heading.level)} {words}"))
        else:
            added = "#" * (_lowered(heading.level) - heading.level)
            edits.append((heading.start, heading.start, added))
    edits += _relabelled(source, target)
    body = links.moved(spliced(source.text, edits).strip(), source.path, target.path)
    snippet, module = vault.snippets / f"{module_of(source.slug)}.py", module_of(source.slug)
    if snippet.exists() and not _embedded(source, module):
        body += f"\n\n```snippet\n{module}\n```"  # 片段要有一篇笔记用着它
    return body


def _lowered(level: int) -> int:
    return min(max(level + 2, 4), 6)


def _relabelled(source: Note, target: Note) -> Iterator[_Edit]:
    """两篇里同名的引用式定义与脚注：这一篇的换个名字，不然都指到一处去了。"""
    text, document = source.text, source.document
    clashing = document.definitions.keys() & target.document.definitions.keys()
    for name in clashing:
        at = text.rindex("]:", 0, document.definitions[name].dest)
        yield at, at, f" {source.slug}"
    for link in document.links:
        if link.kind == "reference":
            opening = link.start + 1 + link.image
            written = text[link.close + 2 : link.end - 1] or text[opening : link.close]
            if label(written) in clashing:
                yield link.close + 1, link.end, f"[{written} {source.slug}]"
    taken = {mark[1] for mark in _footnotes(target.document)}
    for mark in _footnotes(document):
        if mark[1] in taken:
            yield mark.end(1), mark.end(1), f"-{source.slug}"


def _footnotes(document: Document) -> Iterator[re.Match[str]]:
    """写着脚注名字的各处：正文里的与定义里的。"""
    places = [span.start for span in document.spans]
    places += [block.start for block in document.blocks if block.kind == "footnote"]
    yield from filter(None, (_FOOTNOTE.match(document.text, place) for place in places))
