"""别的软件的写法：Obsidian、Typora、Logseq、org 与 Word 粘来的文字里，哪一处在这里会看错、能怎么改。

只由解析好的一页算出来，不读盘；笔记、图片与文件在哪里，由 `Places` 回答。
每一处是一个 `Finding`，改不改由他说；不改的照原样。
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from rizhi.markdown import Document, NearMiss, near_misses, spliced
from rizhi.page import Day
from rizhi.sections import CANONICAL, canonical

KINDS = (
    "标题", "条目", "待办", "空行", "链接", "图片", "高亮", "注释", "提示框", "块号", "属性", "字符"
)  # fmt: skip
_PASSES = 8  # 改了一处，才看得出下一处：标题改好了，它下面的编号才是列表
_MAX_SHOWN = 40
_BREAKS = "\x0b\x0c\x85\u2028\u2029"  # Word 的手动换行等：看着换了行，Markdown 当它是字
_AS_NEWLINE = str.maketrans(dict.fromkeys(_BREAKS, "\n"))
_ODD = re.compile(rf"[{_BREAKS}\u200b\u2060\ufeff\x00-\x08\x0e-\x1f\x7f]")
_STATES = frozenset(" \u3000\xa0xX√✓✔-")

_SECTION = "成果|思考|计划|目标|总结|完成|挑战|任务|收获|反思|问题"
_TITLE = re.compile(r"[^。；！？，,;!?：:]{1,20}[：:]?")
_GLUED = re.compile(
    rf"(?<=[^\s周期第（(一二三四五六七八九十])[一二三四五六七八九十]{{1,3}}、"
    rf"(?=[^\s、]{{0,8}}(?:{_SECTION})[^\s、]{{0,4}}[ \t]*$)",
    re.M,
)
_CALLOUT = re.compile(r"\[!([A-Za-z][\w-]*)(?:\|[^\]\n]*)?\]([+-]?)[ \t]*([^\r\n]*)")
_ADMONITIONS = {
    "summary": "abstract", "tldr": "abstract", "todo": "info", "hint": "tip", "important": "tip",
    "check": "success", "done": "success", "help": "question", "faq": "question",
    "caution": "warning", "attention": "warning", "fail": "failure", "missing": "failure",
    "error": "danger", "cite": "quote",
}  # fmt: skip
_HIGHLIGHT = re.compile(r"(?<![=\w)\]])==(?=[^\s=])[^=\n]*[^\s=]==(?!=)")
_HIGHLIGHT_AFTER_CHINESE = re.compile(r"(?<=[\u3400-\u9fff])==(?=[^\s=])[^=\n]*[^\s=]==(?!=)")
_COMMENT = re.compile(r"(?<![\w%])%%(?!%)(?P<inner>(?:(?!%%).)+)%%|(?<=[\u3400-\u9fff，。；：、！？])%%(?!%)(?:(?!%%).)+%%", re.S)
_BLOCK_ID = re.compile(r"(?:[ \t]+|^)\^[A-Za-z0-9-]+(?=[ \t]*\r?$)", re.M)
_WIKI = re.compile(
    r"(?<![A-Za-z0-9_)\]])(?P<embed>!?)\[\[(?P<name>[^\[\]\n|#^]*)(?P<part>[#^][^\[\]\n|]*?)?"
    r"(?:\\?\|(?P<shown>[^\[\]\n]*))?\]\]"
)
_RAW_IMAGE = re.compile(r"!\[(?P<text>[^\]\n]*)\]\((?P<target>(?:[A-Za-z]:[\\/]|\\\\|/|file:)[^()\n]*)\)")
_HTML_IMAGE = re.compile(r"<img\b[^>]*?\bsrc\s*=\s*(?P<quote>[\"'])(?P<target>.*?)(?P=quote)", re.I)
_PROPERTY = re.compile(r"^[ \t]*(?P<name>[A-Za-z][\w.-]*):: ?[^\r\n]*(?:\r?\n|\Z)", re.M)
_OURS_TO_DROP = frozenset(("id", "collapsed", "heading", "background-color", "created-at", "updated-at"))
_DRAWER = re.compile(r"^[ \t]*:[A-Z]+:[ \t]*\r?\n(?:[^\r\n]*\r?\n)*?[ \t]*:END:[ \t]*(?:\r?\n|\Z)", re.M)
_QUERY = frozenset(("dataview", "dataviewjs", "tasks", "query", "calendar", "button"))
_MACRO = re.compile(r"\{\{[^{}\n]+\}\}|<%[^\n]*?%>|\(\([0-9a-f]{8}-[0-9a-f-]{27}\)\)")
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
    """会看错的一处：`why` 是会看成什么，`edits` 是怎么改（都在 `start` 与 `end` 之间），没有就只指出。"""

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


def findings(page: Day, places: Places) -> list[Finding]:
    """按位置排好的每一处；`page` 的文字先经过 `legible`。"""
    document = page.document
    found = [
        *_odd_characters(page),
        *(_near(document, miss) for miss in near_misses(document) if _is_heading(document, miss)),
        *_glued(document),
        *_states(document),
        *_keywords(document),
        *_callouts(document),
        *_marks(document, page.offset),
        *_wiki_links(document, places),
        *_pictures(document, places),
        *_links(document, places),
        *_properties(document, page.offset),
        *_queries(document, page.offset),
    ]
    return sorted(found, key=lambda one: (one.start, one.end))


def legible(text: str) -> str:
    """Word 的手动换行与行分隔符看成换行，位置不变。"""
    return text.translate(_AS_NEWLINE)


def described(text: str, found: Iterable[Finding]) -> list[Change]:
    """每一处给人看的样子。"""
    return [
        Change(one.kind, text.count("\n", 0, one.start) + 1, *_shown(text, one))
        for one in found
    ]


def rewritten(
    text: str, kinds: Collection[str], look: Callable[[str], tuple[Day, list[Finding]]]
) -> tuple[str, list[Change]]:
    """改好 `kinds` 里的每一处，返回（新的文字，改了哪些）；`look` 给一段文字里的每一处。"""
    done: list[Change] = []
    for _ in range(_PASSES):
        _, found = look(text)
        taken, at = [], 0
        for one in found:
            if one.edits and one.kind in kinds and one.start >= at:
                taken.append(one)
                at = max(end for _, end, _ in one.edits)
        if not taken:
            break
        done += described(text, taken)
        newline = "\r\n" if "\r\n" in text else "\n"
        edits = [edit for one in taken for edit in one.edits]
        text = spliced(text, [(start, end, new.replace("\n", newline)) for start, end, new in edits])
    return text, done


def _shown(text: str, one: Finding) -> tuple[str, str, str]:
    old = text[one.start : one.end]
    edits = [(start - one.start, end - one.start, new) for start, end, new in one.edits]
    new = _short(spliced(old, edits)) or "（删掉）" if edits else ""
    return _short(old), one.why, new


def _short(text: str) -> str:
    line = " ⏎ ".join(part.strip() for part in legible(text).splitlines() if part.strip())
    line = "".join(c if c.isprintable() else f"<{ord(c):04X}>" for c in line)
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}…"


def _odd_characters(page: Day) -> Iterator[Finding]:
    """行分隔符与看不见的字符，一行说一次；`page.text` 里的分隔符已经换成换行，另从原文里找。"""
    return iter(())


def _is_heading(document: Document, miss: NearMiss) -> bool:
    """汉字编号只在像标题时才算：短，没有句读。"""
    text = document.text[miss.start : miss.end]
    rest = miss.right.lstrip("# ")
    return miss.kind != "numbered" or canonical(text) in CANONICAL or bool(_TITLE.fullmatch(rest))


def _near(document: Document, miss: NearMiss) -> Finding:
    start, end = miss.start, miss.end
    if miss.kind == "blank":
        first = document.line_start(start)
        lead = document.text[first:start]
        blank = f"{lead.rstrip()}\n" if ">" in lead else "\n"
        return Finding("空行", first, end, "不是列表：" + _BLANK_RIGHT, ((first, first, blank),))
    if miss.kind == "rule":
        at = document.line_start(end - 1)
        return Finding("空行", start, end, "成了标题：--- " + _BLANK_RIGHT, ((at, at, "\n"),))
    if miss.kind == "numbered":
        sign = "### " if document.text[start] in "（(" else "## "
        return Finding("标题", start, end, "不是标题", ((start, start, sign),))
    kind, why = {
        "item": ("条目", "不是条目"),
        "task": ("待办", "不是待办"),
        "heading": ("标题", "不是标题"),
    }[miss.kind]
    return Finding(kind, start, end, why, ((start, end, miss.right),))


def _glued(document: Document) -> Iterator[Finding]:
    """「今天有点累四、明天计划」：标题粘在上一句后面。"""
    for block in document.blocks:
        if block.kind in ("paragraph", "item"):
            for found in _GLUED.finditer(document.blanked, block.start, block.end):
                first, last = document.line_start(found.start()), document.line_end(found.start())
                end = first + len(document.text[first:last].rstrip())
                at = found.start()
                yield Finding("标题", max(first, block.start), end, f"「{found[0]}」粘在上一句后面",
                              ((at, at, "\n\n## "),))


def _states(document: Document) -> Iterator[Finding]:
    for item in document.items:
        if item.box >= 0 and item.mark not in _STATES and item.text:
            why = f"[{item.mark}] 算还开着的待办，记号照留；网站上可能显示成文字"
            yield Finding("待办", item.start, item.end, why)


def _keywords(document: Document) -> Iterator[Finding]:
    """Logseq 与 org 写在前面的状态、org 的标题、截止与安排的日子。"""
    for item in document.items:
        found = _KEYWORD.match(document.text, item.body, item.end)
        if found and item.box < 0:
            box = f"[{_BOXES.get(found['word'], ' ')}] "
            yield Finding("待办", item.start, item.end, f"{found['word']} 在这里只是文字",
                          ((*found.span(), box),))
    for found in _ORG.finditer(document.blanked):
        if document.blanked[found.start()] == document.text[found.start()]:
            end = document.line_end(found.start())
            end = found.start() + len(document.text[found.start() : end].rstrip())
            word = found["word"]
            sign = f"- [{_BOXES.get(word, ' ')}] " if word else f"{'#' * len(found['stars'])} "
            yield Finding("待办" if word else "标题", found.start(), end, "org 的标题在这里只是文字",
                          ((*found.span(), sign),))
    for found in _PLANNED.finditer(document.blanked):
        edits = ((*found.span(), f"📅 {found['day']}"),) if found["word"] == "DEADLINE" else ()
        why = "期限在这里写成 📅 日期" if edits else "安排在哪天做，这里没有这个写法"
        yield Finding("待办", *found.span(), why, edits)


def _callouts(document: Document) -> Iterator[Finding]:
    """Obsidian 的提示框，改成 `!!!`：第一行换掉，里面的各行去掉 >、缩进四格。"""
    text = document.text
    for block in document.blocks:
        first = document.line_start(block.start)
        indent = text[first : block.start]
        start = block.start + len(text[block.start : block.end]) - len(text[block.start : block.end].lstrip("> "))
        found = _CALLOUT.match(text, start, block.end) if block.kind == "quote" else None
        if not found:
            continue
        why = "网站上是一段引用，[!…] 照样显示"
        if indent.strip() or block.item >= 0:
            yield Finding("提示框", block.start, found.end(), why)
            continue
        kind = _ADMONITIONS.get(found[1].lower(), found[1].lower())
        sign = {"-": "???", "+": "???+"}.get(found[2], "!!!")
        title = f' "{found[3].strip()}"'.replace('"', "”") if '"' in found[3] else f' "{found[3].strip()}"'
        head = f"{sign} {kind}{title if found[3].strip() else ''}"
        yield Finding("提示框", block.start, block.end, why,
                      ((block.start, found.end(), head), *_unquoted(document, found.end(), block.end, indent)))


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
    for pattern in (_HIGHLIGHT, _HIGHLIGHT_AFTER_CHINESE):
        for found in pattern.finditer(text, offset):
            start, end = found.span()
            yield Finding("高亮", start, end, "== 照样显示", ((start, start + 2, "**"), (end - 2, end, "**")))
    for found in _COMMENT.finditer(text, offset):
        start, end = found.span()
        inner = document.text[start + 2 : end - 2]
        across = re.search(r"\n[ \t]*\r?\n", inner) and start != document.line_start(start)
        safe = not across and "--" not in inner
        edits = ((start, start + 2, "<!--"), (end - 2, end, "-->")) if safe else ()
        yield Finding("注释", start, end, "不想给人看的话，网站上照样显示", edits)
    for found in _BLOCK_ID.finditer(text, offset):
        yield Finding("块号", *found.span(), "块号照样显示", ((*found.span(), ""),))


def _wiki_links(document: Document, places: Places) -> Iterator[Finding]:
    for found in _WIKI.finditer(document.blanked):
        start, end = found.span()
        name, part, shown = (document.text[slice(*found.span(g))].strip() if found[g] is not None else ""
                             for g in ("name", "part", "shown"))
        if not re.search(r"[^\W\d_]", name) and not re.search(r"\d{4}", name):
            continue  # 「x[[0, 1]]」是下标，「[[#标题]]」是本页的锚点
        if found["embed"] and re.search(r"\.\w{2,5}$", name):
            link, why = places.picture(name)
            text = "" if shown.isdigit() else shown
            edits = ((start, end, f"![{text or name.rpartition('.')[0]}]({link})"),) if link else ()
            yield Finding("图片", start, end, why or "嵌入照样显示成文字", edits)
            continue
        link = places.page(name)
        text = shown or (f"{name} {part.lstrip('#^ ')}".strip() if part.startswith("#") else name)
        edits = ((start, end, f"[{text}]({link})"),) if link else ()
        what = "嵌入" if found["embed"] else "双方括号"
        why = f"{what}照样显示成文字" if link else f"没有叫「{name}」的笔记或日子，{what}照样显示成文字"
        yield Finding("链接", start, end, why, edits)


def _pictures(document: Document, places: Places) -> Iterator[Finding]:
    """写成链接的图片、`<img>`，与路径里有空格、连链接都不是的图片。"""
    for link in document.links:
        if link.image and link.dest >= 0:
            yield from _picture(document, places, link.start, link.end, link.target,
                                (link.dest, link.dest_end))
    for span in document.spans:
        if span.kind == "html":
            for found in _HTML_IMAGE.finditer(document.text, span.start, span.end):
                yield from _picture(document, places, found.start(), found.end(), found["target"],
                                    found.span("target"))
    for found in _RAW_IMAGE.finditer(document.blanked):
        if found.start() not in document.link_starts:
            link, why = places.picture(found["target"].strip())
            edits = ((*found.span(), f"![{found['text']}]({link})"),) if link else ()
            yield Finding("图片", *found.span(), why or "路径里有空格，照样显示成文字", edits)


def _picture(
    document: Document, places: Places, start: int, end: int, target: str, place: tuple[int, int]
) -> Iterator[Finding]:
    link, why = places.picture(target)
    if link is not None and link != target:
        yield Finding("图片", start, end, why or "图片不在新的一页旁边", ((*place, link),))
    elif link is None and why:
        yield Finding("图片", start, end, why)


def _links(document: Document, places: Places) -> Iterator[Finding]:
    for link in document.links:
        if link.image or link.dest < 0 or link.kind == "auto":
            continue
        target, why = places.file(link.target)
        if target is None and why:
            yield Finding("链接", link.start, link.end, why)
        elif target is not None and target != link.target:
            yield Finding("链接", link.start, link.end, "换了文件夹，链接断了", ((link.dest, link.dest_end, target),))


def _properties(document: Document, offset: int) -> Iterator[Finding]:
    for found in _PROPERTY.finditer(document.blanked, offset):
        drop = found["name"].lower() in _OURS_TO_DROP
        why = "Logseq 的属性照样显示" if drop else "「名字:: 值」只是文字，照样显示"
        yield Finding("属性", *found.span(), why, ((*found.span(), ""),) if drop else ())
    for found in _DRAWER.finditer(document.blanked, offset):
        yield Finding("属性", *found.span(), "org 的抽屉照样显示", ((*found.span(), ""),))


def _queries(document: Document, offset: int) -> Iterator[Finding]:
    for span in document.spans:
        if span.kind == "fenced" and span.info.partition(" ")[0].lower() in _QUERY:
            yield Finding("查询", span.start, span.end, "查询在这里不会运行，照代码显示")
    for found in _MACRO.finditer(document.blanked, offset):
        yield Finding("查询", *found.span(), "宏与块引用在这里不会展开，照样显示")
