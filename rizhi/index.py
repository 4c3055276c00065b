"""谁链接到谁：页与页之间的链接、反向链接与它所在的句子；纯函数，不读盘。"""

import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from rizhi.entry import Link, links
from rizhi.page import Note, Page

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//|/", re.I)
_WORD = frozenset(string.ascii_lowercase + string.digits + "_")
_ANY = re.compile(
    r"\]\(\s*(?:<([^>\n]+)>|([^\s<>)]+))|^[ \t>]*\[[^\]\n]+\]:[ \t]*<?([^\s>]+)", re.M
)
_SENTENCE = re.compile(r"[^。！？!?\n]*[。！？!?]?")


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
    """一页里指向本地文件的全部链接。"""
    folder = str(page.path.parent)
    found = ((link, resolve(folder, link.target)) for link in links(page.text))
    return [(link, target) for link, target in found if target is not None]


def reachable(text: str, folder: str) -> tuple[str, ...]:
    """一页也许链接到的本地文件，宁多勿少：跨行的、写成引用的也算。"""
    found = ("".join(groups) for groups in _ANY.findall(text))
    return tuple(sorted({place for place in (resolve(folder, one) for one in found) if place}))


def backlinks(pages: Iterable[Page]) -> dict[str, list[Mention]]:
    """每个文件被哪些页链接，按页的次序。"""
    found: dict[str, list[Mention]] = {}
    for page in pages:
        for link, target in targets(page):
            sentence = _sentence(page.text, link.start)
            found.setdefault(target, []).append(Mention(page.path, target, link.line, sentence))
    return found


def topics(page: Page, notes: Mapping[str, Note]) -> list[Note]:
    """一页链接到的笔记，按出现的先后，各一次。"""
    return linked(targets(page), notes)


def linked(found: Iterable[tuple[Link, str]], notes: Mapping[str, Note]) -> list[Note]:
    """这些链接指着的笔记，各一次。"""
    return [notes[target] for target in dict.fromkeys(t for _, t in found) if target in notes]


def by_path(notes: Iterable[Note]) -> dict[str, Note]:
    """按路径找笔记的表。"""
    return {str(note.path): note for note in notes}


def link(source: Path, target: Path) -> str:
    """从一页到另一个文件的相对链接。"""
    return Path(os.path.relpath(target, source.parent)).as_posix()


def moved(text: str, source: Path, target: Path) -> str:
    """一段文字从一页搬到另一页，里面的相对链接跟着改。"""
    for found in reversed(links(text)):
        place = resolve(str(source.parent), found.target)
        if place is not None:
            tail = found.target[len(found.target.partition("#")[0]) :]
            end = found.start + len(found.target)
            text = text[: found.start] + link(target, Path(place)) + tail + text[end:]
    return text


class Names:
    """笔记的标题与别名：在文字里找，没有链接也算；太短的不算，免得处处都是。

    名字的头两个字在文字里的每一处，取各种长度的一段来查表：几千个名字也只比一个慢一点。
    """

    def __init__(self, notes: Iterable[Note]) -> None:
        pairs = [(name, note) for note in notes for name in (note.title, *note.aliases)]
        self._notes: dict[str, list[Note]] = {}
        self._lengths: dict[str, set[int]] = {}
        for folded, note in ((_folded(name), note) for name, note in pairs):
            if len(folded) > 1:
                self._notes.setdefault(folded, []).append(note)
                self._lengths.setdefault(folded[:2], set()).add(len(folded))
        self.key = str(hash(tuple((name, str(note.path)) for name, note in pairs)))

    def found(self, text: str) -> list[Note]:
        """文字里提到的笔记，各一次。"""
        return [note for note, _ in self.placed(text)]

    def placed(self, text: str) -> list[tuple[Note, int]]:
        """文字里提到的笔记，与头一次提到的字符位置。"""
        folded = _folded(text)
        hits: dict[str, tuple[Note, int]] = {}
        for at, end in self._spans(folded):
            for note in self._notes.get(folded[at:end], ()):
                if _whole(folded, at, end):
                    first = min(at, hits.get(str(note.path), (note, at))[1])
                    hits[str(note.path)] = (note, first)
        return [hits[path] for path in sorted(hits)]

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
    return "".join(one if len(one.casefold()) > 1 else one.casefold() for one in text)


def _whole(text: str, at: int, end: int) -> bool:
    """英文名要整词：sort 不在 sorted 里。"""
    starts = not text[at].isascii() or text[at - 1 : at] not in _WORD
    return starts and (not text[end - 1].isascii() or text[end : end + 1] not in _WORD)


def _sentence(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    for found in _SENTENCE.finditer(text, start):
        if found.end() > at:
            return re.sub(r"^[ \t]*(?:[-*+]|\d+[.)、．])[ \t]+", "", found[0]).strip()
    return ""
