"""笔记的正文排成 HTML 之后：一句话成了导语，目录只列这一篇特有的，代码里的汉字占两格。"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rizhi.notes import fits

_SECTION = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.S)
_PERMALINK = re.compile(r'<a class="headerlink".*?</a>', re.S)
_TAG = re.compile(r"<[^>]*>")
_CELL_ID = re.compile(r'(<div class="rz-cell [^>]*id=")([^"]*)"')
_RUN_IN = re.compile(r"(?<!<li>\n)<p><strong>(.*?)</strong>", re.S)
_ITEM = re.compile(
    r'<h3 id="(?P<h3>[^"]*)">(?P<title>.*?)</h3>'
    r'|<div class="rz-cell(?P<kind>[^"]*)" id="(?P<cell>[^"]*)"><div class="rz-bar"[^>]*>'
    r'<span class="rz-title">(?P<name>.*?)</span>',
    re.S,
)
_PRE = re.compile(r"<pre\b.*?</pre>", re.S)
_BETWEEN = re.compile(r">[^<]+<")
# 全角的字：各种中日韩字体里都恰为一个 em 宽；表情符号不是，不在内
_WIDE = re.compile(r"[ᄀ-ᅟ⺀-〾ぁ-㏿㐀-䶿一-鿿ꀀ-꓏가-힣豈-﫿︰-﹯！-｠￠-￦\U00020000-\U0003fffd]+")


@dataclass(frozen=True)
class Entry:
    """目录里的一项；`title` 是 HTML，没有标签。"""

    title: str
    id: str
    inner: tuple["Entry", ...] = ()


@dataclass(frozen=True)
class _Section:
    """一个二级标题与它之下的，到下一个二级标题为止。"""

    id: str
    title: str
    body: str


def with_lead(html: str, title: str) -> str:
    """名叫 `title` 的一节成为开头的导语：标题不显示，锚点、搜索与读屏照旧。"""
    head, parts = _split(html)
    return head + "".join(
        f'<h2 id="{part.id}" class="rz-brief">{part.title}</h2>\n'
        f'<div class="rz-lead">{part.body}</div>'
        if fits(_text(part.title), title)
        else _joined(part)
        for part in parts
    )


def with_anchors(html: str) -> str:
    """没有格子与小标题的节，用加粗开头的段落就是它的小标题：给它们锚点。同名的格子，锚点不同。"""
    seen: dict[str, int] = {}
    html = _CELL_ID.sub(lambda m: f'{m[1]}{_unique(m[2], seen)}"', html)
    name = partial(_named, seen)
    head, parts = _split(html)
    return head + "".join(
        _joined(part)
        if _ITEM.search(part.body)
        else _joined(_Section(part.id, part.title, _RUN_IN.sub(name, part.body)))
        for part in parts
    )


def contents(html: str, headings: Sequence[str], roles: Mapping[str, str]) -> list[Entry]:
    """这一篇的目录：格子、源码、小标题，列在它们的节下。

    模板里篇篇都有的 `headings`，下面没有东西可列的就不列；`roles` 点名的是人会直接去找的，
    留着；`brief` 成了导语，不列。
    """
    _, parts = _split(html)
    listed = [role for name, role in roles.items() if name != "brief"]
    entries = []
    for part in parts:
        name = _text(part.title)
        named = any(fits(name, role) for role in listed)
        inner = () if named else tuple(_items(part.body))
        ours = not any(fits(name, heading) for heading in headings)
        if ours or named or (inner and not fits(name, roles.get("brief", ""))):
            entries.append(Entry(name, part.id, inner))
    return entries


def widened(html: str) -> str:
    """代码与输出里的汉字各占两格，与等宽的拉丁字母对齐，不管读者有没有这样的字体。"""
    return _PRE.sub(lambda pre: _BETWEEN.sub(_held, pre[0]), html)


def _held(text: re.Match[str]) -> str:
    return _WIDE.sub(r"<rz-w>\g<0></rz-w>", text[0])


def _split(html: str) -> tuple[str, list[_Section]]:
    head, *rest = _SECTION.split(html)
    parts = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return head, [_Section(*part) for part in parts]


def _joined(part: _Section) -> str:
    return f'<h2 id="{part.id}">{part.title}</h2>{part.body}'


def _items(body: str) -> Iterator[Entry]:
    """一节里的小标题与格子；几格检验合成一项。"""
    found = list(_ITEM.finditer(body))
    checks = [item for item in found if "rz-check" in (item["kind"] or "")]
    for item in found:
        if item not in checks or len(checks) == 1:
            yield Entry(_text(item["title"] or item["name"]), item["h3"] or item["cell"])
        elif item is checks[0]:
            yield Entry(f"检验 {len(checks)} 格", item["cell"])
    if not found:
        marked = re.finditer(r'<p id="([^"]*)"><strong>(.*?)</strong>', body, re.S)
        yield from (Entry(_text(bold[2]).rstrip("。：:"), bold[1]) for bold in marked)


def _text(html: str) -> str:
    return _TAG.sub("", _PERMALINK.sub("", html)).strip()


def _named(seen: dict[str, int], bold: re.Match[str]) -> str:
    slug = re.sub(r"[^\w]+", "-", _text(bold[1])).strip("-").lower()
    return f'<p id="{_unique(f"part-{slug}", seen)}"><strong>{bold[1]}</strong>'


def _unique(name: str, seen: dict[str, int]) -> str:
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name}_{seen[name] - 1}"
