"""一页里的链接在站点上点不点得开：照站点的读法取出每个去处，再看那里有没有文件、有没有锚点。

站点由 Python-Markdown 渲染、mkdocs 核对：路径里有空格的它也当链接，转义与实体它不解码。
"""

import html
import itertools
import os
import posixpath
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown.inlinepatterns import LinkInlineProcessor

from rizhi.errors import RizhiError
from rizhi.markdown import Document, parse
from rizhi.markdown.source import label
from rizhi.page import Page
from rizhi.snippets.source import module_file, objects
from rizhi.vault import Vault, read_text

Added = Mapping[str, Callable[[], str]]  # 不是手写的文件：相对于 docs 的路径，与它的 Markdown

_CLOSE = re.compile(r"\]\(")
_NEWLINE = re.compile(r"\r\n?")
_LEAVES = frozenset(("paragraph", "item", "heading", "cell", "container"))
_HTML_LINK = re.compile(r"<a\s[^>]*href=|<img\s", re.I)
_WIKI = re.compile(r"\[\[[^\[\]\n]+\]\]")
_SUSPECT = re.compile(r"\]:|\[\[|<a\s|<img\s", re.I)
_UNDEFINED = re.compile(r"(?<![\\!])\[([^\[\]\n]*)\]\[((?!\^)[^\[\]\n]*)\]")
_AUTOREFS = re.compile(r"^\s*-\s*(?:autorefs|mkdocstrings)\b", re.M)
_REFERENCE = re.compile(r"^::: ([\w.]+)", re.M)
_PRIVATE = re.compile(r"(?:^|\.)_")
_ID = re.compile(r"\{:?[^{}\n]*#([^\s{}]+)[^{}\n]*\}")
_RAW_ID = re.compile(r"""(?:\bid|<a\s[^>]*?\bname)\s*=\s*["']?([^"'\s>]+)""", re.I)
_FOOTNOTE = re.compile(r"\[\^([^\]\n]+)\]")
_COUNTED = re.compile(r"(.*)_(\d+)", re.S)
_CODE = re.compile(r"(`+)(.+?)\1", re.S)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_UNDERSCORED = re.compile(r"(?<!\w)(_{1,2})(?=\S)(.+?)(?<=\S)\1(?!\w)")
# 标题里的这些不进锚点：井号、下划线、属性、图片、脚注、标签；链接只留文字
_AWAY = re.compile(
    r"\A#+|\s#+\s*\Z|\n[ >]*[-=]+\s*\Z|\{:?[^{}\n]*\}\s*\Z"
    r"|!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])|\[\^[^\]]+\]|</?[A-Za-z][^<>]*>"
)
_LINKED = re.compile(r"\[([^\[\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\])?")


class _Inline(LinkInlineProcessor):
    """只借它读括号里的那一段。"""

    def __init__(self) -> None:
        super().__init__(r"\[")

    def unescape(self, text: str) -> str:
        return text


_INLINE = _Inline()


@dataclass(frozen=True)
class Site:
    """站点上有哪些文件；`added` 是算出来的与工具自带的，手写的里面没有才去问。"""

    vault: Vault
    written: frozenset[str]
    load: Callable[[Path], Page]
    added: Callable[[], Added]

    @cached_property
    def _added(self) -> Added:
        return self.added()

    @cached_property
    def _anchors(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def autorefs(self) -> bool:
        """`[文字][名字]` 没有定义时，站点是不是当它指着某一页的锚点：看 mkdocs.yml。"""
        path = self.vault.root / "mkdocs.yml"
        return path.is_file() and bool(_AUTOREFS.search(read_text(path)))

    @cached_property
    def every_anchor(self) -> frozenset[str]:
        """全部手写的页的锚点。"""
        return frozenset().union(*(self.anchors(uri) or () for uri in self.written))

    def has(self, uri: str) -> bool:
        """有没有这个文件；文件夹不算。"""
        return uri in self.written or uri in self._added

    def anchors(self, uri: str) -> frozenset[str] | None:
        """一页里的全部锚点；不是 Markdown 的不知道，是 None。"""
        if uri not in self._anchors and uri.endswith(".md"):
            if uri in self.written:
                document = self.load(self.vault.docs / uri).document
            else:
                document = parse(self._added[uri]())
            named = (*anchors(document), *_members_of(self.vault, document.text))
            self._anchors[uri] = frozenset(named)
        return self._anchors.get(uri)


def dead(site: Site, page: Page) -> Iterator[tuple[int, str, str]]:
    """站点上点不开的链接与图片：在哪里、什么、怎么办；没有用到的引用式定义也算。"""
    here = page.path.relative_to(site.vault.docs).as_posix()
    said: set[int] = set()
    for at, url in [*shown(page), *_unused(page)]:
        if at not in said and (verdict := _verdict(site, here, url)):
            said.add(at)
            yield at, *verdict
    for at, name in _undefined(page) if "][" in page.text and site.autorefs else ():
        if name not in site.every_anchor:
            remedy = "写出 [名字]: 路径；不是链接的放进反引号"
            yield at, f"[{name}] 没有定义，也不是哪一页的锚点", remedy


def unseen(site: Site, page: Page) -> Iterator[str]:
    """`check` 会报、mkdocs 自己看不见的：没有用到而断了的定义，与它不核对的写法。"""
    if not _SUSPECT.search(page.text, page.offset):
        return
    here = page.path.relative_to(site.vault.docs).as_posix()
    for _, url in _unused(page):
        if verdict := _verdict(site, here, url):
            yield verdict[0]
    yield from (f"{what[:30]!r} 不会被当成链接检查" for _, what in unchecked(page))


def unchecked(page: Page) -> Iterator[tuple[int, str]]:
    """`[[双括号]]`、手写的 `<a href>` 与 `<img>`、尖括号里有空格的定义，各在哪里。"""
    if "[[" in page.text:
        brackets = _WIKI.finditer(page.document.unlinked, page.offset)
        yield from ((m.start(), m[0]) for m in brackets)
    for span in page.document.spans:
        if span.kind == "html":
            tags = _HTML_LINK.finditer(page.text, span.start, span.end)
            yield from ((m.start(), m[0]) for m in tags)
    for definition in page.document.definitions.values():
        if re.search(r"\s", written := page.text[definition.dest : definition.dest_end]):
            yield definition.dest, f"<{written}>"


def shown(page: Page) -> Iterator[tuple[int, str]]:
    """站点会做成链接与图片的每一处，与它的去处。"""
    text, document = page.text, page.document
    for link in document.links:
        if link.kind == "reference":
            yield link.dest, text[link.dest : link.dest_end]
    if "](" not in text:
        return
    closes = {link.close for link in document.links if link.kind == "inline"}
    leaves = [block for block in document.blocks if block.kind in _LEAVES]
    for close in _CLOSE.finditer(text, page.offset):
        at = close.start()
        place = bisect_right(leaves, at, key=lambda b: b.start) - 1
        if place < 0:
            continue
        first, last = leaves[place].start, max(leaves[place].end, document.line_end(at))
        if at in closes or (not document.hidden(at) and _opened(text[first:at])):
            url, _, _, handled = _INLINE.getLink(text[:last], at + 1)
            if handled:
                yield at, _NEWLINE.sub("\n", url)


def anchors(document: Document) -> set[str]:
    """一页里的锚点：标题的、写明的 `{#名字}`、HTML 里的，与脚注的。"""
    text = document.text
    named = {m[1] for m in _ID.finditer(text) if not document.hidden(m.start())}
    used = set(named)
    for span in document.spans:
        if span.kind == "html":
            named |= {m[1] for m in _RAW_ID.finditer(text, span.start, span.end)}
    for mark in _FOOTNOTE.finditer(text):
        named |= {f"fn:{mark[1]}", f"fnref:{mark[1]}"}
    for heading in document.headings:
        source = text[heading.start : heading.end]
        if not _ID.search(source):
            used.add(_unique(slug(source), used))
    return named | used


def slug(heading: str) -> str:
    """一个标题的锚点：照 mkdocs.yml 里 slugify 的写法。"""
    codes: list[str] = []

    def kept(code: re.Match[str]) -> str:
        codes.append(code[2].strip())
        return f"\x00{len(codes) - 1}\x00"

    text = _ESCAPED.sub("\\1", _AWAY.sub("", _CODE.sub(kept, heading)))
    text = _UNDERSCORED.sub(r"\2", html.unescape(_LINKED.sub(r"\1", _AWAY.sub("", text))))
    text = re.sub(r"\x00(\d+)\x00", lambda code: codes[int(code[1])], text)
    text = unicodedata.normalize("NFC", " ".join(text.split())).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def _unique(name: str, used: set[str]) -> str:
    """重名的标题依次加上 `_1`、`_2`。"""
    if name and name not in used:
        return name
    counted = _COUNTED.fullmatch(name)
    base, count = (counted[1], int(counted[2])) if counted else (name, 0)
    return next(name for n in itertools.count(count + 1) if (name := f"{base}_{n}") not in used)


def _verdict(site: Site, here: str, url: str) -> tuple[str, str] | None:
    """一个去处点不开：什么、怎么办。"""
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"网址读不懂：{url[:60]}", "改正它，或放进反引号"
    if parts.scheme or parts.netloc:
        return None
    if url.startswith(("/", "\\")):
        return f"链接写成了绝对路径 {url[:60]}", "写成从这一页算起的相对路径"
    uri = here
    if parts.path:
        uri = posixpath.normpath(posixpath.join(posixpath.dirname(here), unquote(parts.path)))
        if not site.has(uri):
            return _missing(site, uri)
    if parts.fragment:
        known = site.anchors(uri)
        if known is not None and parts.fragment not in known:
            return f"docs/{uri} 里没有锚点 #{parts.fragment}", "改成那一页里标题的锚点"
    return None


def _missing(site: Site, uri: str) -> tuple[str, str]:
    path = Path(os.path.normpath(site.vault.docs / uri.replace("\0", "")))
    name = site.vault.relative(path)
    try:
        if path.is_dir():
            return f"链接指向文件夹 {name}", "写到文件为止，如 index.md"
        outside = path.exists() and uri.startswith("../")
    except OSError:  # 名字太长
        outside = False
    if outside:
        return f"链接指向的 {name} 不在站点上", "只链接 docs/ 里的；别的写成代码"
    return f"链接指向不存在的 {name}", "改正路径，或先写那一页"


def _unused(page: Page) -> Iterator[tuple[int, str]]:
    """没有一个链接用到的引用式定义。"""
    used = {link.dest for link in page.document.links}
    for definition in page.document.definitions.values():
        if definition.dest not in used:
            yield definition.dest, page.text[definition.dest : definition.dest_end]


def _undefined(page: Page) -> Iterator[tuple[int, str]]:
    """写成引用式链接、却没有定义的。"""
    document = page.document
    for written in _UNDEFINED.finditer(page.text, page.offset):
        name = written[2] or written[1]
        if not (document.hidden(written.start()) or label(name) in document.definitions):
            yield written.start(), name


def _opened(before: str) -> bool:
    """一段话里，`]` 之前有没有与它相配的 `[`，没有被反斜杠挡住。"""
    depth = 1
    if (len(before) - len(before.rstrip("\\"))) % 2:
        return False
    for at in range(len(before) - 1, -1, -1):
        if before[at] in "[]" and not (len(before[:at]) - len(before[:at].rstrip("\\"))) % 2:
            depth += 1 if before[at] == "]" else -1
            if not depth:
                return True
    return False


def _members_of(vault: Vault, text: str) -> Iterator[str]:
    """参考页里 mkdocstrings 写出的锚点：模块，与它公开的类、函数与变量。"""
    for module in _REFERENCE.findall(text):
        try:
            names = objects(module_file(vault, module))
        except RizhiError:
            continue
        yield module
        yield from (f"{module}.{name}" for name in names if not _PRIVATE.search(name))
