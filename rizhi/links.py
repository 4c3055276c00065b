"""谁链接到谁：页与页之间的链接、反向链接与它所在的句子、提到而没有链接的名字；纯函数，不读盘。"""

import html
import os
import posixpath
import re
import string
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from rizhi.errors import RizhiError
from rizhi.markdown import Definition, Document, Link, parse, spliced
from rizhi.markdown.document import one_line
from rizhi.page import Note, Page
from rizhi.vault import Vault

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//|/|\\", re.I)
_UNSAFE = re.compile(r"[\s%()<>\"\\#?]")
_WORD = frozenset(string.ascii_lowercase + string.digits + "_")
_STOP = re.compile(r"[。！？!?]+[」』”’）)]*")
_MARKER = re.compile(r"(?:\[[^\w\[\]]\]|\[[xX]\])[ \t\u3000]+")
_TWO_WORDS = re.compile(r"[\u4e00-\u9fff]{2}")
_ATTRIBUTE = re.compile(r"""\b(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)
_TAIL = re.compile("[#?]")
_MAX_SIDE = 200  # 没有句号的一大段，链接两边各取这么多字
_LEAVES = frozenset(("paragraph", "item", "heading", "cell"))


class Address(NamedTuple):
    """一页里写着的一个地址：在原文里从哪里到哪里，解码之后是什么。"""

    start: int
    end: int
    target: str


@dataclass(frozen=True, slots=True)
class Mention:
    """一页里指向另一页的一个链接，与它所在的句子。"""

    source: Path
    target: str
    line: int
    sentence: str


def resolve(folder: str, target: str) -> str | None:
    """`folder` 里的一页写的相对链接指着哪个文件；外部链接、页内锚点返回 None。

    路径用字符串：十年的日志有几万个链接，逐个造 Path 太慢。
    """
    bare = target.partition("#")[0].partition("?")[0]
    if not bare or _SCHEME.match(target):
        return None
    return os.path.normpath(f"{folder}/{unquote(bare) if '%' in bare else bare}")


def targets(page: Page) -> list[tuple[Link, str]]:
    """一页里指向本地文件的全部链接与图片。"""
    folder = str(page.path.parent)
    places = ((link, resolve(folder, link.target)) for link in page.document.links)
    return [(link, target) for link, target in places if target is not None]


def reachable(page: Page) -> tuple[str, ...]:
    """一页依赖的本地文件：链接、图片，没有用到的引用式定义也算。"""
    folder = str(page.path.parent)
    unused = (resolve(folder, d.target) for d in page.document.definitions.values())
    used = {target for _, target in targets(page)} | {target for target in unused if target}
    return tuple(sorted(used))


def backlinks(pages: Iterable[Page]) -> dict[str, list[Mention]]:
    """每个文件被哪些页链接，按页的次序；图片不是链接。"""
    mentions: dict[str, list[Mention]] = {}
    for page in pages:
        links = [(link, target) for link, target in targets(page) if not link.image]
        said = sentences(page.document, [link for link, _ in links])
        for (link, target), sentence in zip(links, said, strict=True):
            mention = Mention(page.path, target, page.document.line(link.start), sentence)
            mentions.setdefault(target, []).append(mention)
    return mentions


def sentences(document: Document, links: list[Link]) -> list[str]:
    """每个链接所在的句子：在它的那一段里，折成几行的接成一行，太长的截去两头。

    句末的标点，在代码与链接的目标里的不算。
    """
    if not links:
        return []
    leaves = [block for block in document.blocks if block.kind in _LEAVES]
    stops = [(m.start(), m.end()) for m in _STOP.finditer(document.blanked)]
    shown = []
    for link in links:
        leaf = leaves[bisect_right(leaves, link.start, key=lambda b: b.start) - 1]
        first, last = leaf.start, leaf.end
        if leaf.kind == "cell":  # 一格太短，整行才看得懂
            first, last = document.line_start(link.start), document.line_end(link.start)
        before = bisect_right(stops, link.start, key=lambda s: s[1]) - 1
        after = bisect_right(stops, link.end - 1, key=lambda s: s[0])
        start = max(first, stops[before][1] if before >= 0 else 0)
        end = min(last, stops[after][1] if after < len(stops) else last)
        head, tail = max(start, link.start - _MAX_SIDE), min(end, link.end + _MAX_SIDE)
        text = document.text[head:tail].strip()
        text = one_line(_MARKER.sub("", text, count=1) if head == first else text)
        shown.append(f"{'…' * (head > start)}{text}{'…' * (tail < end)}")
    return shown


def topics(page: Page, notes: Mapping[str, Note]) -> list[Note]:
    """一页链接到的笔记，按出现的先后，各一次。"""
    return linked(targets(page), notes)


def linked(pairs: Iterable[tuple[Link, str]], notes: Mapping[str, Note]) -> list[Note]:
    """这些链接指着的笔记，各一次。"""
    return [notes[target] for target in dict.fromkeys(t for _, t in pairs) if target in notes]


def by_path(notes: Iterable[Note]) -> dict[str, Note]:
    """按路径找笔记的表。"""
    return {str(note.path): note for note in notes}


def relative(source: Path, target: Path) -> str:
    """从一页到另一个文件的相对链接。"""
    return posixpath.relpath(target.as_posix(), source.parent.as_posix())


def addresses(document: Document) -> list[Address]:
    """链接、图片、引用式定义与 HTML 里写着的地址，按位置排好。"""
    targets = {
        (link.dest, link.dest_end): link.target
        for link in document.links
        if link.kind != "auto" and link.dest >= 0
    }
    targets |= {(d.dest, d.dest_end): d.target for d in document.definitions.values()}
    for span in document.spans:
        if span.kind == "html":
            for attribute in _ATTRIBUTE.finditer(document.text, span.start, span.end):
                group = attribute.lastindex or 0
                targets[attribute.span(group)] = html.unescape(attribute[group])
    return [Address(*place, target) for place, target in sorted(targets.items())]


def pointing(page: Page, paths: Iterable[Path]) -> list[tuple[Address, str]]:
    """一页里指着这些文件（或这些文件夹里的文件）的地址，与各指着哪一个。"""
    folder, wanted = str(page.path.parent), [str(path) for path in paths]
    places = ((address, resolve(folder, address.target)) for address in addresses(page.document))
    return [
        (address, place)
        for address, place in places
        if place and any(place == root or place.startswith(f"{root}{os.sep}") for root in wanted)
    ]


def retargeted(page: Page, moves: Mapping[Path, Path]) -> list[tuple[int, int, str]]:
    """文件（或文件夹）从哪里搬到了哪里：一页里指着它们的地址各换成什么，锚点不动。"""
    edits = []
    for address, place in pointing(page, moves):
        path = Path(place)
        old = next(old for old in moves if path.is_relative_to(old))
        edits.append(_retargeted(page, address, path, moves[old] / path.relative_to(old)))
    return edits


def _retargeted(page: Page, address: Address, old: Path, new: Path) -> tuple[int, int, str]:
    """能只换文件名就只换文件名，能只换路径就只换路径；写成了实体或转义的，整个重写。"""
    start, end, target = address
    path = _TAIL.split(page.text[start:end], maxsplit=1)[0]
    place = _encoded(relative(page.path, new))
    if resolve(str(page.path.parent), path) != str(old):
        return start, end, place + target[len(_TAIL.split(target, maxsplit=1)[0]) :]
    end = start + len(path)
    if old.parent == new.parent and path.endswith(old.name):
        return end - len(old.name), end, new.name
    return start, end, place


def moved(
    text: str, source: Path, target: Path, known: Mapping[str, Definition] | None = None
) -> str:
    """一段文字从一页搬到另一页，里面的相对链接跟着改。

    `known` 是原来那一页的引用式定义：定义没有一同搬来的，写成行内的链接。
    """
    document = parse(text, known=known)
    edits = {(a.start, a.end): _moved(a.target, source, target) for a in addresses(document)}
    for link in document.links:
        if link.dest < 0:
            place = _moved(link.target, source, target) or link.target
            edits[link.close + 1, link.end] = f"({_safe(place)})"
    return spliced(text, ((*place, new) for place, new in edits.items() if new is not None))


def text_only(text: str, known: Mapping[str, Definition] | None = None) -> str:
    """条目里的一行字，链接只留文字；`known` 是它那一页的引用式定义。"""
    if "[" not in text:
        return text
    head = "- [ ] "  # 有了勾选框，后面不会再是列表、标题
    document = parse(head + text, known=known)
    return text_within(document, len(head), len(document.text))


def text_within(document: Document, start: int, end: int) -> str:
    """原文的一段，链接只留文字，图片只留说明；没有文字的、`<网址>` 照旧。"""
    brackets: list[tuple[int, int]] = []
    for link in document.links:
        if link.text and link.kind != "auto":
            brackets += [(link.start, link.start + 1 + link.image), (link.close, link.end)]
    inside = ((max(a, start), min(b, end), "") for a, b in brackets if a < end and b > start)
    return spliced(document.text[:end], inside)[start:]


def _moved(link: str, source: Path, target: Path) -> str | None:
    """相对链接在新的一页里的写法；不用改的是 None。"""
    if link.startswith("#") and len(link) > 1:
        return relative(target, source) + link if source != target else None
    place = resolve(str(source.parent), link)
    if place is None or source.parent == target.parent:
        return None
    bare = _TAIL.split(link, maxsplit=1)[0]
    return _encoded(relative(target, Path(place))) + link[len(bare) :]


def _encoded(path: str) -> str:
    """路径写进链接：空格与括号会截断它，写成百分号编码。"""
    return _UNSAFE.sub(lambda unsafe: quote(unsafe[0], safe=""), path)


def _safe(target: str) -> str:
    return f"<{target}>" if re.search(r"[\s()]", target) else target


def named(vault: Vault, notes: Iterable[Note]) -> "Names":
    """按这个知识库的设置找名字：`[tool.rizhi] everyday` 里的是日常词，不算提到。

    异常：everyday 不是一列文字，抛 RizhiError。
    """
    listed = vault.config.get("everyday")
    if listed is None:
        return Names(notes)
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        what = f'应是一列词，例如 ["温度"]，现在是 {listed!r}'
        raise RizhiError(f"pyproject.toml 的 [tool.rizhi] everyday {what}。")
    return Names(notes, listed)


class Names:
    """笔记的标题与别名：在文字里找，没有链接也算；太短的不算，免得处处都是。

    `everyday` 是日常词，写到它不算提到笔记；没有给，两个汉字的别名（温度、对象）都当日常词。
    名字的头两个字在文字里的每一处，取各种长度的一段来查表：几千个名字也只比一个慢一点。
    """

    def __init__(self, notes: Iterable[Note], everyday: Iterable[str] | None = None) -> None:
        quiet = frozenset(map(_folded, everyday or ()))
        self._notes: dict[str, list[Note]] = {}
        self._lengths: dict[str, set[int]] = {}
        for note in notes:
            short = {n for n in note.aliases if everyday is None and _TWO_WORDS.fullmatch(n)}
            for name in dict.fromkeys((note.title, *(n for n in note.aliases if n not in short))):
                folded = _folded(name)
                if len(folded) > 1 and folded not in quiet:
                    self._notes.setdefault(folded, []).append(note)
                    self._lengths.setdefault(folded[:2], set()).add(len(folded))

    def mentioned(self, text: str) -> list[Note]:
        """文字里提到的笔记，按路径排好，各一次。"""
        notes = {str(note.path): note for note, _, _ in self.every(text)}
        return [notes[path] for path in sorted(notes)]

    def every(self, text: str) -> Iterator[tuple[Note, int, int]]:
        """每一处提到，按位置排好；长名字里面的短名字不算。"""
        folded, reach = _folded(text), 0
        spans = {s for s in self._spans(folded) if folded[slice(*s)] in self._notes}
        for at, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            if end > reach and _whole(folded, at, end):
                reach = end
                yield from ((note, at, end) for note in self._notes[folded[at:end]])

    def _spans(self, folded: str) -> Iterator[tuple[int, int]]:
        """也许是一个名字的各段文字。"""
        for start, lengths in self._lengths.items():
            at = folded.find(start)
            while at >= 0:
                yield from ((at, at + n) for n in lengths if at + n <= len(folded))
                at = folded.find(start, at + 1)


def _folded(text: str) -> str:
    """不分大小写的写法，一个字还是一个字：İ 折叠之后成了两个，位置就错了。"""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(letter if len(letter.casefold()) > 1 else letter.casefold() for letter in text)


def _whole(text: str, at: int, end: int) -> bool:
    """英文名要整词：sort 不在 sorted 里。"""
    starts = not text[at].isascii() or text[at - 1 : at] not in _WORD
    return starts and (not text[end - 1].isascii() or text[end : end + 1] not in _WORD)
