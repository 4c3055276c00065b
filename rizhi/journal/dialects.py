"""别的软件的写法：Obsidian、Typora、Logseq、org 与 Word 里来的文字，哪一处会看错、能怎么改。

只由解析好的一页算出来，不读盘；笔记、图片与文件在哪里，由 `Places` 回答。
每一处是一个 `Finding`，改不改由他说；不改的照原样。
"""

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rizhi.frontmatter import body_start
from rizhi.markdown import Block, Document, NearMiss, near_misses, spliced
from rizhi.page import Page

KINDS = (
    "标题", "条目", "待办", "空行", "链接", "图片", "高亮", "注释", "提示框", "块号", "属性", "字符"
)  # fmt: skip
_CLOSED = frozenset(("cell", "heading", "html"))  # 里面放不下列表
_PASSES = 20  # 改了一处，才看得出下一处：标题改好了，它下面的编号才是列表
_MAX_SHOWN = 40
_BREAKS = "\x0b\x0c\x85\u2028\u2029"  # Word 的手动换行等：看着换了行，Markdown 当它是字
_AS_NEWLINE = str.maketrans(dict.fromkeys(_BREAKS, "\n"))
_ODD = re.compile(rf"[{_BREAKS}\u200b\u2060\ufeff\x00-\x08\x0e-\x1f\x7f]")
_STATES = frozenset(" \u3000\xa0xX√✓✔-")

_SECTION = "成果|思考|计划|目标|总结|完成|挑战|任务|收获|反思|问题"
_TITLE = re.compile(r"[^。；！？，,;!?：:]{1,20}[：:]?")
_GLUED = re.compile(
    rf"(?<=[^\s周期第（(一二三四五六七八九十])[一二三四五六七八九十]{{1,3}}、"
    rf"(?=[^\s、]{{0,8}}(?:{_SECTION})[^\s、]{{0,4}}[ \t]*\r?$)",
    re.M,
)
_FOLDS = {"": "!!!", "-": "???", "+": "???+"}
_CALLOUT = re.compile(r"(?:>[ \t]?)+\[!([A-Za-z][\w-]*)(?:\|[^\]\n]*)?\]([+-]?)[ \t]*([^\r\n]*)")
_ADMONITIONS = {
    "summary": "abstract", "tldr": "abstract", "todo": "info", "hint": "tip", "important": "tip",
    "check": "success", "done": "success", "help": "question", "faq": "question",
    "caution": "warning", "attention": "warning", "fail": "failure", "missing": "failure",
    "error": "danger", "cite": "quote",
}  # fmt: skip
_HAN = r"(?<=[\u3400-\u9fff])"  # 汉字也算 \w，却常常紧挨着
_HIGHLIGHT = re.compile(rf"(?:(?<![=\w)\]])|{_HAN})==(?=[^\s=])[^=\n]*[^\s=]==(?!=)")
_COMMENT = re.compile(rf"(?:(?<![\w%])|{_HAN})%%(?!%)(?:(?!%%).)+%%", re.S)
_BLOCK_ID = re.compile(r"(?:[ \t]+|^)\^[A-Za-z0-9-]+(?=[ \t]*\r?$)", re.M)
_WIKI = re.compile(
    r"(?<![A-Za-z0-9_)\]])(?P<embed>!?)\[\[(?P<name>[^\[\]\n|#^]*)(?P<part>[#^][^\[\]\n|]*?)?"
    r"(?:\\?\|(?P<shown>[^\[\]\n]*))?\]\]"
)
_SUFFIX = re.compile(r"\.\w{2,5}$")
_SIZE = re.compile(r"\d+(?:x\d+)?")  # `![[图.png|300]]`
_RAW_IMAGE = re.compile(
    r"!\[(?P<text>[^\]\n]{0,200})\]\((?P<target>(?:[A-Za-z]:[\\/]|\\\\|/|file:)[^()\n]{0,500})\)"
)
_HTML_IMAGE = re.compile(
    r"<img\b[^>]{0,500}?\bsrc\s*=\s*(?P<quote>[\"'])(?P<target>.*?)(?P=quote)", re.I
)
_PROPERTY = re.compile(
    r"^[ \t]*(?P<item>[-*+][ \t]+)?(?P<name>[A-Za-z][\w.-]*)::(?:[ \t][^\r\n]*)?(?:\r?\n|\Z)", re.M
)
_FIELD = re.compile(r"\[(?P<name>[\w-]+):: [^\]\n]{0,200}\]")
_HOUSEKEEPING = frozenset(
    ("id", "collapsed", "heading", "background-color", "created-at", "updated-at")
)
_DRAWER = re.compile(
    r"^[ \t]*:[A-Z]+:[ \t]*\r?\n(?:[^\r\n]*\r?\n){0,100}?[ \t]*:END:[ \t]*(?:\r?\n|\Z)", re.M
)
_QUERY = frozenset(("dataview", "dataviewjs", "tasks", "query", "calendar", "button"))
_MACRO = re.compile(r"\{\{[^{}\n]+\}\}|<%[^\n]{0,400}?%>|\(\([0-9a-f]{8}-[0-9a-f-]{27}\)\)")
_KEYWORD = re.compile(
    r"(?P<word>TODO|DOING|NOW|LATER|WAITING|WAIT|IN-PROGRESS|DONE|CANCELED|CANCELLED)[ \t]+(?=\S)"
)
_BOXES = {
    "DOING": "/", "NOW": "/", "IN-PROGRESS": "/", "DONE": "x", "CANCELED": "-", "CANCELLED": "-"
}  # fmt: skip
_ORG = re.compile(rf"^(?P<stars>\*{{2,6}})[ \t]+(?:{_KEYWORD.pattern})?(?!.*\*\*)(?=\S)", re.M)
_PLANNED = re.compile(r"(?P<word>DEADLINE|SCHEDULED):[ \t]*<(?P<day>\d{4}-\d\d-\d\d)[^>\n]*>")
_BLANK_RIGHT = "上面要空一行"

Edit = tuple[int, int, str]


class Finding(NamedTuple):
    """会看错的一处：`why` 是会看成什么；`edits` 是怎么改，都在两端之间，没有就只指出。"""

    kind: str
    start: int
    end: int
    why: str
    edits: tuple[Edit, ...] = ()


class Places(NamedTuple):
    """别的文件在哪里；三个函数都返回（在新的一页里怎么写，没有时为什么）。"""

    page: Callable[[str], str | None]  # 一个名字：哪篇笔记或哪一天
    picture: Callable[[str], tuple[str | None, str]]  # 一张图片的路径或名字
    file: Callable[[str], tuple[str | None, str]]  # 一个链接指着的本地文件


class Change(NamedTuple):
    """一处的写法：`line` 是第几行，`right` 是改成的样子，没有改法是空的。"""

    kind: str
    line: int
    text: str
    why: str
    right: str


def findings(path: Path, text: str, places: Places) -> list[Finding]:
    """一页里的每一处，按位置排好。"""
    offset = body_start(text)
    # 手动换行当成换行来解析：它们都是一个字，位置不变
    page = Page(path, text[:offset] + text[offset:].translate(_AS_NEWLINE))
    document = page.document
    keywords = list(_keywords(document))
    said = {document.line(one.start) for one in keywords}  # 已经有更好的写法
    misses = [m for m in near_misses(document) if _real(m) and document.line(m.start) not in said]
    found = [
        *_characters(text, document, offset),
        *_near(document, misses),
        *_glued(document),
        *_states(document),
        *keywords,
        *_callouts(document),
        *_marks(document, offset),
        *_wiki_links(document, places),
        *_pictures(document, places),
        *_links(document, places),
        *_properties(document, offset),
        *_queries(document, offset),
    ]
    return sorted(found, key=lambda one: (one.start, one.end))


def described(text: str, found: Iterable[Finding]) -> list[Change]:
    """每一处给人看的样子。"""
    return [
        Change(one.kind, text.count("\n", 0, one.start) + 1, *_shown(text, one)) for one in found
    ]


def rewritten(
    path: Path, text: str, kinds: Collection[str], places: Places
) -> tuple[str, list[Change]]:
    """改好 `kinds` 里的每一处，返回（新的文字，改了哪些）；别的字节不动。"""
    newline = "\r\n" if "\r\n" in text else "\n"
    done: list[Change] = []
    for _ in range(_PASSES if kinds else 0):
        wanted = [f for f in findings(path, text, places) if f.edits and f.kind in kinds]
        # 上面的行先改成列表，才知道缺不缺空行
        taken = _compatible([f for f in wanted if f.kind != "空行"] or wanted)
        if not taken:
            break
        done += described(text, taken)
        edits = (edit for one in taken for edit in one.edits)
        text = spliced(text, [(a, b, new.replace("\n", newline)) for a, b, new in edits])
    return text, done


def _compatible(found: Iterable[Finding]) -> list[Finding]:
    """改动互不重叠的几处；别的等下一遍。"""
    taken: list[Finding] = []
    places: list[tuple[int, int]] = []
    for one in found:
        mine = [(start, end) for start, end, _ in one.edits]
        if not any(_overlaps(place, places) for place in mine):
            taken.append(one)
            for place in mine:
                insort(places, place)
    return taken


def _overlaps(place: tuple[int, int], places: list[tuple[int, int]]) -> bool:
    at = bisect_left(places, place)
    before, after = places[max(at - 1, 0) : at], places[at : at + 1]
    return any(end > place[0] or start == place[0] for start, end in before) or any(
        start < place[1] or start == place[0] for start, _ in after
    )


def _shown(text: str, one: Finding) -> tuple[str, str, str]:
    old = text[one.start : one.end]
    edits = [(start - one.start, end - one.start, new) for start, end, new in one.edits]
    new = _short(spliced(old, edits)) or "（删掉）" if edits else ""
    return _short(old), one.why, new


def _short(text: str) -> str:
    line = " ⏎ ".join(part.strip() for part in text.splitlines() if part.strip())
    line = "".join(c if c.isprintable() else f"<{ord(c):04X}>" for c in line)
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}…"


def _characters(text: str, document: Document, offset: int) -> Iterator[Finding]:
    """手动换行、行分隔符与看不见的字符，一行说一次。"""
    lines: dict[int, list[int]] = {}
    for odd in _ODD.finditer(text, offset):
        lines.setdefault(text.count("\n", 0, odd.start()), []).append(odd.start())
    for places in lines.values():
        names = "、".join(dict.fromkeys(f"U+{ord(text[at]):04X}" for at in places))
        edits = tuple((at, at + 1, "\n" if text[at] in _BREAKS else "") for at in places)
        first = text.rfind("\n", 0, places[0]) + 1
        end = text.find("\n", places[-1])
        why = f"有看不见的 {names}：看着换了行，其实没有，或多出一个字"
        yield Finding("字符", max(first, offset), end if end >= 0 else len(text), why, edits)


def _real(miss: NearMiss) -> bool:
    """汉字编号只在像标题时才算：短，没有句读。"""
    return miss.kind != "numbered" or bool(_TITLE.fullmatch(miss.right.lstrip("# ")))


def _near(document: Document, misses: Sequence[NearMiss]) -> Iterator[Finding]:
    """像条目、待办、标题而不是的行。"""
    begun = {document.line(block.start) for block in document.blocks}
    begun |= {document.line(miss.start) for miss in misses}
    closed = [block for block in document.blocks if block.kind in _CLOSED]
    quotes = [block for block in document.blocks if block.kind == "quote" and not block.depth]
    for miss in misses:
        start, end = miss.start, miss.end
        if miss.kind == "blank":
            first = document.line_start(start)
            lead = document.text[first:start]
            # 缩进太深的 > 不是引用，是上一段的字
            edit = (first, first, f"{lead.rstrip()}\n" if _within(start, quotes) else "\n")
            yield Finding("空行", first, end, "不是列表：上面要空一行", (edit,))
        elif miss.kind == "rule":
            at = document.line_start(end - 1)
            yield Finding("空行", start, end, "成了标题：--- 上面要空一行", ((at, at, "\n"),))
        elif miss.kind == "numbered":
            sign = "### " if document.text[start] in "（(" else "## "
            yield Finding("标题", start, end, "不是标题", ((start, start, sign),))
        elif _within(start, closed):
            yield Finding("待办", start, end, "表格、标题与 HTML 里的框不是待办")
        else:
            kind = {"item": "条目", "task": "待办", "heading": "标题"}[miss.kind]
            following = document.line_end(end)
            line = document.text[following : document.line_end(following)]
            # 下一行是另一段话：不空一行，它就成了这一条的续行
            apart = line[:1].strip() and document.line(following) not in begun
            new = miss.right + "\n" * bool(apart and kind != "标题")
            yield Finding(kind, start, end, f"不是{kind}", ((start, end, new),))


def _within(at: int, blocks: Sequence[Block]) -> bool:
    """在不在这几块里；它们按位置排好，互不包含。"""
    place = bisect_right(blocks, at, key=lambda block: block.start) - 1
    return place >= 0 and at < blocks[place].end


def _glued(document: Document) -> Iterator[Finding]:
    """「今天有点累四、明天计划」：标题粘在上一句后面。"""
    for block in document.blocks:
        if block.kind not in ("paragraph", "item"):
            continue
        for found in _GLUED.finditer(document.blanked, block.start, block.end):
            at = found.start()
            first = max(document.line_start(at), block.start)
            end = min(document.line_end(at), block.end)
            why = f"「{found[0]}」粘在上一句后面"
            yield Finding("标题", first, end, why, ((at, at, "\n\n## "),))


def _states(document: Document) -> Iterator[Finding]:
    for item in document.items:
        if item.box >= 0 and item.mark not in _STATES and item.text:
            why = f"[{item.mark}] 算还开着的待办，记号照留；网站上各有各的样子"
            yield Finding("待办", item.start, _line_end(document, item.body), why)


def _keywords(document: Document) -> Iterator[Finding]:
    """Logseq 与 org 写在前面的状态、org 的标题、截止与安排的日子。"""
    for item in document.items:
        found = _KEYWORD.match(document.text, item.body, item.end)
        if found and item.box < 0:
            edit = (*found.span(), f"[{_BOXES.get(found['word'], ' ')}] ")
            why = f"{found['word']} 在这里只是文字"
            yield Finding("待办", item.start, _line_end(document, found.end()), why, (edit,))
    for found in _ORG.finditer(document.blanked):
        word, end = found["word"], _line_end(document, found.end())
        sign = f"- [{_BOXES.get(word, ' ')}] " if word else f"{'#' * len(found['stars'])} "
        edit = (*found.span(), sign)
        why = "org 的标题在这里只是文字"
        yield Finding("待办" if word else "标题", found.start(), end, why, (edit,))
    for found in _PLANNED.finditer(document.blanked):
        edits = ((*found.span(), f"📅 {found['day']}"),) if found["word"] == "DEADLINE" else ()
        why = "期限在这里写成 📅 日期" if edits else "安排在哪天做，这里没有这个写法"
        yield Finding("待办", *found.span(), why, edits)


def _line_end(document: Document, at: int) -> int:
    """这一行的文字到哪里为止。"""
    return at + len(document.text[at : document.line_end(at)].rstrip())


def _callouts(document: Document) -> Iterator[Finding]:
    """Obsidian 的提示框，改成 `!!!`：第一行换掉，里面的各行去掉 >、缩进四格。"""
    for block in document.blocks:
        found = None
        if block.kind == "quote":
            found = _CALLOUT.match(document.text, block.start, block.end)
        if not found:
            continue
        indent = document.text[document.line_start(block.start) : block.start]
        why = "不改，网站上也是提示框"
        if indent.strip() or block.item >= 0:  # 引用里的先等外面的改好
            yield Finding("提示框", block.start, found.end(), why)
            continue
        kind, fold, title = found[1].lower(), found[2], found[3].strip().replace('"', "'")
        head = f"{_FOLDS[fold]} {_ADMONITIONS.get(kind, kind)}" + (f' "{title}"' if title else "")
        lines = _unquoted(document, found.end(), block.end, indent)
        edits = ((block.start, found.end(), head), *lines)
        yield Finding("提示框", block.start, block.end, why, edits)


def _unquoted(document: Document, at: int, end: int, indent: str) -> Iterator[Edit]:
    start = document.line_end(at)
    while start < end:
        stop = document.line_end(start)
        line = document.text[start:stop]
        mark = re.match(r"[ \t]*>[ \t]?", line)
        cut = mark.end() if mark else 0
        blank = not line[cut:].strip()
        yield start, start + cut, "" if blank else f"{indent}    "
        start = stop


def _marks(document: Document, offset: int) -> Iterator[Finding]:
    """`==高亮==`、`%%注释%%` 与 `^块号`。"""
    text = document.blanked
    for found in _HIGHLIGHT.finditer(text, offset):
        start, end = found.span()
        edits = ((start, start + 2, "**"), (end - 2, end, "**"))
        yield Finding("高亮", start, end, "== 照样显示", edits)
    for found in _COMMENT.finditer(text, offset):
        start, end = found.span()
        inner = document.text[start + 2 : end - 2]
        across = re.search(r"\n[ \t]*\r?\n", inner) and start != document.line_start(start)
        safe = not across and "--" not in inner
        before, after = ("" if inner[at] in "\r\n " else " " for at in (0, -1))
        signs = ((start, start + 2, f"<!--{before}"), (end - 2, end, f"{after}-->"))
        hidden = signs if safe else ()
        yield Finding("注释", start, end, "不想给人看的话，网站上照样显示", hidden)
    for found in _BLOCK_ID.finditer(text, offset):
        yield Finding("块号", *found.span(), "块号照样显示", ((*found.span(), ""),))


def _wiki_links(document: Document, places: Places) -> Iterator[Finding]:
    for found in _WIKI.finditer(document.blanked):
        name, part, shown = ((found[group] or "").strip() for group in ("name", "part", "shown"))
        name = name.rstrip("\\")  # 表格里的竖线前面有一个反斜杠
        if not (re.search(r"[^\W\d_]", name) or re.search(r"\d{4}", name)):
            continue  # `x[[0, 1]]` 是下标，`[[#标题]]` 是本页的锚点
        if found["embed"] and _SUFFIX.search(name):
            link, why = places.picture(name)
            text = shown if shown and not _SIZE.fullmatch(shown) else _SUFFIX.sub("", name)
            edits = ((*found.span(), f"![{text}]({link})"),) if link else ()
            yield Finding("图片", *found.span(), why or "嵌入照样显示成文字", edits)
            continue
        link = places.page(name)
        text = shown or f"{name} {part.lstrip('#^ ')}".strip()
        what = f"{'嵌入' if found['embed'] else '双方括号'}照样显示成文字"
        edits = ((*found.span(), f"[{text}]({link})"),) if link else ()
        why = what if link else f"{what}；没有叫「{name}」的笔记或日子"
        yield Finding("链接", *found.span(), why, edits)


def _pictures(document: Document, places: Places) -> Iterator[Finding]:
    """写成链接的图片、`<img>`，与路径里有空格、连链接都不是的图片。"""
    for image in document.links:
        if image.image and image.dest >= 0:
            dest = (image.dest, image.dest_end)
            yield from _picture(places, image.start, image.end, image.target, dest)
    for span in document.spans:
        for found in _HTML_IMAGE.finditer(document.text, span.start, span.end):
            if span.kind == "html":
                dest = found.span("target")
                yield from _picture(places, *found.span(), found["target"], dest)
    for found in _RAW_IMAGE.finditer(document.blanked):
        target = found["target"].strip()
        link, why = places.picture(target)
        if found.start() not in document.link_starts and link != target:
            edits = ((*found.span(), f"![{found['text']}]({link})"),) if link else ()
            yield Finding("图片", *found.span(), why or "路径里有空格，照样显示成文字", edits)


def _picture(
    places: Places, start: int, end: int, target: str, dest: tuple[int, int]
) -> Iterator[Finding]:
    link, why = places.picture(target)
    if link is None:
        yield Finding("图片", start, end, why)
    elif link != target:
        yield Finding("图片", start, end, "图片不在新的一页旁边", ((*dest, link),))


def _links(document: Document, places: Places) -> Iterator[Finding]:
    for link in document.links:
        if link.image or link.dest < 0 or link.kind == "auto":
            continue
        target, why = places.file(link.target)
        if target is None:
            yield Finding("链接", link.start, link.end, why)
        elif target != link.target:
            edit = (link.dest, link.dest_end, target)
            start, end = min(link.start, edit[0]), max(link.end, edit[1])
            yield Finding("链接", start, end, "换了文件夹，链接断了", (edit,))


def _properties(document: Document, offset: int) -> Iterator[Finding]:
    for found in _PROPERTY.finditer(document.blanked, offset):
        drop = not found["item"] and found["name"].lower() in _HOUSEKEEPING
        why = "Logseq 的属性照样显示" if drop else "「名字:: 值」只是文字，照样显示"
        yield Finding("属性", *found.span(), why, ((*found.span(), ""),) if drop else ())
    for found in _FIELD.finditer(document.blanked, offset):
        yield Finding("属性", *found.span(), "「名字:: 值」只是文字，照样显示")
    for found in _DRAWER.finditer(document.blanked, offset):
        yield Finding("属性", *found.span(), "org 的抽屉照样显示", ((*found.span(), ""),))


def _queries(document: Document, offset: int) -> Iterator[Finding]:
    for span in document.spans:
        if span.kind == "fenced" and span.info.partition(" ")[0].lower() in _QUERY:
            yield Finding("查询", span.start, span.end, "查询在这里不会运行，照代码显示")
    for found in _MACRO.finditer(document.blanked, offset):
        yield Finding("查询", *found.span(), "宏与块引用在这里不会展开，照样显示")
