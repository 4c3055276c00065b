"""交给 pyromark 之前的准备：一份变成等长的几份，位置都指得回原文。

- 每个汉字换成一个字节的占位：字节位置就是字符位置，`**重点：**说明` 也像网站那样算强调。
- `!!!` `???` `===` 容器换成占位的一块，缩进四格的内文另作一份。
- 没有合上的围栏与注释网站当成文字，跨行的 `$$` 是公式：它们的记号换成没有意义的字。
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyromark import Markdown, Options

from rizhi.markdown.document import Definition, leading, within

Events = Iterable[Any]
_Ranges = list[tuple[int, int]]

_OPTIONS = (
    Options.ENABLE_TABLES
    | Options.ENABLE_TASKLISTS
    | Options.ENABLE_STRIKETHROUGH
    | Options.ENABLE_FOOTNOTES
    | Options.ENABLE_MATH
    | Options.ENABLE_GFM
)
_ENGINE = Markdown(options=_OPTIONS)
_MAX_PASSES = 8
_MAX_LEVELS = 100  # 容器套容器，里面的要解析这么多遍
_PLACEHOLDER = "\x7f"
_SWAP = bytes.maketrans(b"?\x7f", b"\x7f?")

_OPENER = re.compile(r"^[ \t]*(?:!!!|\?\?\?|===)[^\n]*", re.M)
_KINDS = r"[\w-]+(?: +[\w-]+)*"
_CONTAINER = re.compile(
    rf'[ \t]*(?:!!! ?{_KINDS}(?: +".*")?|\?{{3}}\+? ?(?:{_KINDS})?(?: *".*")?'
    r'|===[+!]{0,2} +".*")\s*'
)
_MATHS = re.compile(r"^([ \t>]*)(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*\$\$([^\n]*)", re.M)
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})([^\n]*)", re.M)
_MARK = re.compile(r"`{3,}|~{3,}|<!--")
_DESTINATION = r"(?:[ \t\x0b\x0c]|\r?\n[ \t>]*)*(?:<((?:\\.|[^<>\\\r\n])*)>|((?!<)\S*))"
DESTINATION = re.compile(_DESTINATION)
# 段落里的一行也是定义：网站这样认，CommonMark 要上面空一行
_LATE = re.compile(
    r"^[ \t>]*(?P<whole>\[(?P<label>(?!\^)(?:\\.|[^\\\]\[\n])+)\]:"
    r"[ \t]*(?:<(?P<angled>[^<>\n]*)>|(?P<bare>[^\s<]\S*))"
    r"(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?)[ \t]*\r?$",
    re.M,
)
_DEFINITION = re.compile(rf"\[(?:\\.|[^\\\]])*\]:{_DESTINATION}")


@dataclass(eq=False)
class Part:
    """单独解析的一份：正文，或一个容器的内文。

    `at[n]` 是第 n 个字在全文里的位置；`masked` 与 `text` 等长，是交给 pyromark 的。
    `holes` 是占位在哪里、里面是哪一份；`tail` 是注释后面同一行的话，不是容器。
    `late` 是写在段落里的引用式定义。`owner` 与 `depth` 由读它的人填：在哪个条目里、外面几层。
    """

    text: str
    at: Sequence[int]
    tail: bool = False
    masked: str = ""
    events: Events = ()
    holes: dict[int, "Part"] = field(default_factory=dict)
    late: dict[str, Definition] = field(default_factory=dict)
    level: int = 0
    owner: int = -1
    depth: int = -1


def parts_of(text: str, offset: int) -> list[Part]:
    """`text[offset:]` 切成的各份，外面的在前。"""
    parts = [Part(text[offset:], range(offset, len(text) + 1))]
    for part in parts:  # 边走边添：容器里还有容器
        _prepare(part)
        parts += part.holes.values()
    return parts


def events(masked: str, resolve: Callable[[Any], tuple[str, str]] | None = None) -> Events:
    """pyromark 的全部事件；`resolve` 给没有定义的引用一个去处。"""
    engine = Markdown(options=_OPTIONS, broken_link_callback=resolve) if resolve else _ENGINE
    return engine.events_with_range(masked)


def definitions(parts: Iterable[Part]) -> dict[str, Definition]:
    """各份里的引用式定义，先写的算数。"""
    first: dict[str, Definition] = {}
    for part in parts:
        if "]:" in part.text:
            for name, definition in (*_listed(part), *part.late.items()):
                first.setdefault(name, definition)
    return first


def label(text: str) -> str:
    """引用的名字：不分大小写，空白不论多少。"""
    return " ".join(text.split()).casefold()


def _listed(part: Part) -> Iterator[tuple[str, Definition]]:
    text, at, last = _unflattened(part), 0, 0
    data = text.encode("utf-8", "surrogatepass")
    for name, definition in _ENGINE.reference_definitions(text).items():
        start = definition["span"]["start"]
        at += len(data[last:start].decode())
        last = start
        dest = destination(_DEFINITION.match(part.text, at)) or (at, at)
        yield label(name), Definition(definition["dest"], part.at[dest[0]], part.at[dest[1]])


def destination(written: re.Match[str] | None) -> tuple[int, int] | None:
    """链接的去处在哪里，尖括号不算；`written` 由 DESTINATION 认得。"""
    return written.span(1 if written[1] is not None else 2) if written else None


def _unflattened(part: Part) -> str:
    """原文，只换掉被遮住的字。"""
    flat = _flat(part.text)
    if flat == part.masked:
        return part.text
    both = zip(part.text, flat, part.masked, strict=True)
    return "".join(real if old == new else new for real, old, new in both)


def _flat(text: str) -> str:
    """每个非 ASCII 的字换成一个占位；占位不是字母、空白或标点，也不开启标签。"""
    hidden = text.replace(_PLACEHOLDER, "\x80").replace("?", _PLACEHOLDER)
    return hidden.encode("ascii", "replace").translate(_SWAP).decode("ascii")


def _prepare(part: Part) -> None:
    """算出遮过的文字与它的事件；寻常的一页只解析一次。"""
    flat = _flat(part.text)
    signed = part.level < _MAX_LEVELS and ("!!!" in flat or "???" in flat or "===" in flat)
    opener = signed and _OPENER.search(flat)
    maths = "$$" in flat and _MATHS.search(flat)
    fenced = "```" in flat or "~~~" in flat or "<!--" in flat
    late = "]:" in flat and _LATE.search(flat)
    masked, parsed = flat, events(flat)
    if opener or maths or fenced or late:
        masked, parsed = _closed(flat)
        hidden = _verbatim(parsed)
        part.holes = dict(_tails(part, hidden))
        draft = bytearray(masked.encode())
        for start, end, prefix in _maths(flat, hidden) if maths else ():
            _hide(draft, start, end, prefix)
        for start, end in _late(part, hidden) if late else ():
            draft[start:end] = b"<!--" + b"x" * (end - start - 7) + b"-->"
        places = list(_containers(part.text, flat, hidden)) if opener else []
        if places or draft != masked.encode():
            masked, parsed = _stood_in(draft.decode(), places)
        part.holes |= {start: _inner(part, flat, start, end) for start, end in places}
    part.masked, part.events = masked, parsed


def _stood_in(masked: str, places: _Ranges) -> tuple[str, Events]:
    """容器换成占位；占位没有单独成块的（段落里缩进了的一行）不是容器，从 `places` 里去掉。

    遮住的字也许打断了一个围栏：合不上的再找一遍。
    """
    for turn in range(_MAX_PASSES):
        draft = bytearray(masked.encode())
        for start, end in places:
            _stand_in(draft, start, end)
        flat, parsed = _closed(draft.decode())
        starts = {start for start, _ in _verbatim(parsed)}
        kept = [place for place in places if place[0] in starts]
        if kept == places or turn == _MAX_PASSES - 1:
            break
        places[:] = kept
    return flat, parsed


def _verbatim(parsed: Events) -> _Ranges:
    """代码块与 HTML 块的范围。"""
    return [
        (place["start"], place["end"])
        for event, place in parsed
        if event.__class__ is dict
        and (tag := event.get("Start"))
        and (tag == "HtmlBlock" or (tag.__class__ is dict and "CodeBlock" in tag))
    ]


def _closed(flat: str) -> tuple[str, Events]:
    """没有合上的围栏与注释换成文字，返回（文字, 事件）：事件里的围栏都是合上的。

    一个围栏合不合得上，看它的范围里后面有没有够长的就知道，同一层的一次全部换掉；
    范围里套着列表的才要再来一次，至多 _MAX_PASSES 次，之后的记号一概不认。
    """
    for _ in range(_MAX_PASSES):
        parsed = list(events(flat))
        unclosed = [place for place in _verbatim(parsed) if not _shut(flat, *place)]
        if not unclosed:
            return flat, parsed
        draft = bytearray(flat.encode())
        for start, end in unclosed:
            if flat.startswith("<!--", start):  # 后面的也都合不上
                draft[start:] = bytes(draft[start:]).replace(b"<!--", b"'!--")
                break
            _open_up(draft, flat, start, end)
        flat = draft.decode()
    start = unclosed[0][0]
    flat = flat[:start] + _MARK.sub(lambda mark: "'" * len(mark[0]), flat[start:])
    return flat, list(events(flat))


def _shut(flat: str, start: int, end: int) -> bool:
    """一个注释或围栏是不是合上的；收尾的一行只有记号，后面还有字的是里面的一行。"""
    if flat.startswith("<!--", start):
        return flat.find("-->", start + 2, end) >= 0
    source = flat[start:end]
    run = _FENCE.match(source)
    if run is None or flat[start] not in "`~":  # 缩进的代码，开头也许是一个反引号
        return True
    _, newline, last = source.rstrip().rpartition("\n")
    last = last.strip(" \t>")
    return bool(newline and last.startswith(run[1]) and not last.strip(run[1][0]))


def _open_up(draft: bytearray, flat: str, start: int, end: int) -> None:
    """一个没有合上的围栏：它与它的范围里别的合不上的，都换成文字；合得上的跳过去。"""
    fences = list(_FENCE.finditer(flat[start:end]))
    longest = [{"`": 0, "~": 0}]  # 从后往前：每一行之后，合得上多长的
    for fence in reversed(fences):
        after = dict(longest[-1])
        if not fence[2].strip():
            after[fence[1][0]] = max(after[fence[1][0]], len(fence[1]))
        longest.append(after)
    longest.reverse()
    at = 0
    while at < len(fences):
        run, place = fences[at][1], start + fences[at].start(1)
        at += 1
        if at == 1 or len(run) > longest[at][run[0]]:
            draft[place : place + len(run)] = b"'" * len(run)
            continue
        while not (fences[at][1].startswith(run) and not fences[at][2].strip()):
            at += 1
        at += 1


def _tails(part: Part, hidden: _Ranges) -> Iterator[tuple[int, Part]]:
    """注释后面同一行还有话：CommonMark 整行算 HTML，网站与人都当它是正文。"""
    for start, end in hidden:
        if part.text.startswith("<!--", start):
            close = part.text.find("-->", start, end) + 3
            tail = part.text[close:end]
            if close > 2 and tail.strip():
                close += leading(tail, " \t")
                yield start, Part(part.text[close:end], part.at[close : end + 1], tail=True)


def _late(part: Part, hidden: _Ranges) -> Iterator[tuple[int, int]]:
    """段落里的引用式定义：记下来，这一行换成注释，它不是话。"""
    for line in _LATE.finditer(part.text):
        start, end = line.span("whole")
        above = part.text[part.text.rfind("\n", 0, max(line.start() - 1, 0)) + 1 : line.start()]
        if above.strip(" \t\r\n>") and end - start > 7 and not within(start, hidden):
            group = "bare" if line["angled"] is None else "angled"
            at, stop = (part.at[place] for place in line.span(group))
            part.late.setdefault(label(line["label"]), Definition(line[group], at, stop))
            yield start, end


def _maths(flat: str, hidden: _Ranges) -> Iterator[tuple[int, int, str]]:
    """跨行的 `$$`：从开头到第一个以 `$$` 结尾的行，中间没有空行。"""
    at = 0
    for opener in _MATHS.finditer(flat):
        if opener.start() < at or "$$" in opener[2] or within(opener.start(2), hidden):
            continue
        at = opener.end()
        for start, end in _following(flat, at, len(flat)):
            at = end
            line = flat[start:end].rstrip()
            if not line.strip(" \t>"):
                break
            if line.endswith("$$"):
                yield opener.start(2), start + len(line) - 2, opener[1]
                break


def _containers(text: str, flat: str, hidden: _Ranges) -> Iterator[tuple[int, int]]:
    """每个容器从第一行的文字到内文的末尾。"""
    at = 0
    for opener in _OPENER.finditer(flat):
        start = opener.start() + leading(opener[0], " \t")
        if opener.start() < at or within(start, hidden):
            continue
        if not _CONTAINER.fullmatch(text, *opener.span()):
            continue
        column = _column(opener[0]) + 4
        at = last = opener.end()
        for first, end in _following(flat, at, len(flat)):
            line = flat[first:end]
            if line.strip():
                if _column(line) < column:
                    break
                last = end
            at = end
        yield start, start + len(flat[start:last].rstrip())


def _following(text: str, at: int, stop: int) -> Iterator[tuple[int, int]]:
    """`at` 处的换行之后、`stop` 之前的每一行，不含换行符。"""
    while 0 <= at < stop:
        start = at + 1
        at = text.find("\n", start, stop)
        at = at if at >= 0 else stop
        yield start, at


def _column(line: str) -> int:
    return len(line[: leading(line, " \t")].expandtabs(4))


def _inner(part: Part, flat: str, start: int, end: int) -> Part:
    """容器的内文：去掉缩进，位置指回原文。"""
    column = _column(flat[flat.rfind("\n", 0, start) + 1 : end]) + 4
    text: list[str] = []
    at: list[int] = []
    for first, last in _following(flat, flat.find("\n", start, end), end):
        stop = min(last + 1, end)
        cut = first + _cut(flat[first:last], column)
        text.append(part.text[cut:stop])
        at += part.at[cut:stop]
    return Part("".join(text), [*at, part.at[end]], level=part.level + 1)


def _cut(line: str, column: int) -> int:
    """缩进的前 `column` 列占几个字。"""
    width = 0
    for n, char in enumerate(line):
        if width >= column or char not in " \t":
            return n
        width += 4 - width % 4 if char == "\t" else 1
    return len(line)


def _stand_in(draft: bytearray, start: int, end: int) -> None:
    """容器换成等长的处理指令 `<?…?>`：它是一个块，打断段落，也不使列表变松。"""
    draft[start:end] = re.sub(rb"[^\s]", b" ", bytes(draft[start:end]))
    draft[start : start + 2] = b"<?"
    draft[end - 2 : end] = b"?>"


def _hide(draft: bytearray, start: int, end: int, prefix: str) -> None:
    """公式的里面换成没有意义的字，行首的缩进（与引用记号）照留。"""
    lead = rb"[ \t>]*" if ">" in prefix else rb"[ \t]*"
    kept = re.compile(rb"(\n" + lead + rb")|[^\r\n]")
    draft[start:end] = kept.sub(lambda m: m[1] or b"x", bytes(draft[start:end]))
