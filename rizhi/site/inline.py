"""一行话里的链接与代码变成列表里的一段段；纯函数。"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from rizhi import links
from rizhi.markdown import Definition, Document, Item, Span, parse
from rizhi.markdown import Link as Written
from rizhi.site.blocks import Code, Link, Part, Struck

_MARKUP = re.compile(r"[*_`~\[\]<&\\$!]")
_PLACE = "\ue002"  # 私用区的字：他写的文字里没有
_PIECES = re.compile(f"({_PLACE}|~~)")
_WEB = re.compile(r"(?:https?://|mailto:)", re.I)
_Inner = str | Code | Struck


def inline(text: str, uri: str, known: Mapping[str, Definition] | None = None) -> tuple[Part, ...]:
    """写在 `uri` 那一页的一行话；`uri` 相对于 docs，`known` 是那一页的引用式定义。

    链接到站点里的与网上的成为 `Link`，别的链接、图片只留文字；强调的记号去掉，划线照留。
    """
    return inlines([text], uri, known)[0]


def inlines(
    texts: Iterable[str], uri: str, known: Mapping[str, Definition] | None = None
) -> list[tuple[Part, ...]]:
    """同一页的几行话，都没有换行；一次解析完，逐句解析在十年的规模上太慢。"""
    said = [text.replace(_PLACE, "").strip() for text in texts]
    marked = [text for text in said if _MARKUP.search(text)]
    document = _parsed(marked, known)
    cut = [_cut(document, item, uri) for item in document.items]
    plain = _parsed([text for text, _ in cut])
    made = [
        tuple(_joined(item.plain, iter(parts)))
        for item, (_, parts) in zip(plain.items, cut, strict=True)
    ]
    found = iter(made)
    return [next(found) if _MARKUP.search(text) else (text,) for text in said]


def _parsed(texts: Iterable[str], known: Mapping[str, Definition] | None = None) -> Document:
    # 有了勾选框，后面不会再是列表、标题
    return parse("".join(f"- [ ] {text}\n" for text in texts), known=known)


def _cut(document: Document, item: Item, uri: str) -> tuple[str, list[Part]]:
    """一行话里的链接与代码换成占位，与换下来的各段。"""
    places: list[Written | Span] = [
        *document.links,
        *(s for s in document.spans if s.kind == "code"),
    ]
    inside = [place for place in places if item.body <= place.start < item.end]
    text, at, parts = "", item.body, list[Part]()
    for place in sorted(inside, key=lambda place: (place.start, -place.end)):
        if place.start >= at:  # 链接里面的代码、图片，跟着链接
            text += document.text[at : place.start] + _PLACE
            parts.append(
                _link(document, place, uri)
                if isinstance(place, Written)
                else _code(document, place)
            )
            at = place.end
    return text + document.text[at : item.end], parts


def _link(document: Document, link: Written, uri: str) -> Part:
    place = None if link.image else target(link.target, uri)
    if place is None or not link.text:
        return link.text
    inside = document.text[link.start + 1 : link.close]
    if link.kind == "auto" or "`" not in inside:
        return Link(link.text, place)
    shown = inline(inside, uri)
    return Link(link.text, place, tuple(part for part in shown if isinstance(part, _Inner)))


def target(written: str, uri: str) -> str | None:
    """链接指着哪里：站点里的一页，相对于 docs；网上的照抄；都不是就没有。"""
    if _WEB.match(written):
        return written
    if written.startswith("#"):
        return uri + written
    place = links.resolve(posixpath.join("docs", posixpath.dirname(uri)), written)
    if place is None or not place.startswith("docs/"):
        return None
    _, mark, anchor = written.partition("#")
    return place.removeprefix("docs/") + mark + anchor


def _code(document: Document, span: Span) -> Code:
    body = document.text[span.start : span.end].strip("`")
    padded = len(body) > 2 and body[0] == body[-1] == " " and body.strip()
    return Code(body[1:-1] if padded else body)


def _joined(plain: str, parts: Iterator[Part]) -> Iterator[Part]:
    """占位换回去；成对的 `~~` 之间是划掉的。"""
    pieces = [piece for piece in _PIECES.split(plain) if piece]
    signs = [n for n, piece in enumerate(pieces) if piece == "~~"]
    paired = signs[: len(signs) // 2 * 2]
    struck: list[Part] | None = None
    for n, piece in enumerate(pieces):
        part: Part = next(parts) if piece == _PLACE else piece
        if n in paired and struck is None:
            struck = []
        elif n in paired and struck is not None:
            yield Struck(tuple(struck))
            struck = None
        elif struck is not None:
            struck.append(part)
        elif part != "":
            yield part
