"""别的软件的写法：Obsidian、Typora、Logseq、org 与 Word 里来的文字，哪一处会看错、能怎么改。

只由解析好的一页算出来，不读盘；笔记、图片与文件在哪里，由 `Places` 回答。
每一处是一个 `Finding`，改不改由他说；不改的照原样。
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rizhi.errors import cut
from rizhi.frontmatter import body_start, newline
from rizhi.markdown import Document, near_misses, spliced
from rizhi.markdown.document import within
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
    listed = [
        *_characters(text, document, offset),
        *_near(document, {document.line(keyword.start) for keyword in keywords}),
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
    return sorted(listed, key=lambda finding: (finding.start, finding.end))


def described(text: str, listed: Iterable[Finding]) -> list[Change]:
    """每一处给人看的样子。"""
    changes = []
    for kind, start, end, why, edits in listed:
        old = text[start:end]
        new = spliced(old, [(first - start, last - start, new) for first, last, new in edits])
        right = (_short(new) or "（删掉）") if edits else ""
        changes.append(Change(kind, text.count("\n", 0, start) + 1, _short(old), why, right))
    return changes


def rewritten(
    path: Path, text: str, kinds: Collection[str], places: Places
) -> tuple[str, list[Change]]:
    """改好 `kinds` 里的每一处，返回（新的文字，改了哪些）；别的字节不动。"""
    end = newline(text)
    done: list[Change] = []
    for _ in range(_PASSES if kinds else 0):
        wanted = [f for f in findings(path, text, places) if f.edits and f.kind in kinds]
        # 上面的行先改成列表，才知道缺不缺空行
        taken = _compatible([f for f in wanted if f.kind != "空行"] or wanted)
        if not taken:
            break
        done += described(text, taken)
        edits = (edit for finding in taken for edit in finding.edits)
        text = spliced(text, [(a, b, new.replace("\n", end)) for a, b, new in edits])
    return text, done


def _compatible(listed: Iterable[Finding]) -> list[Finding]:
    """改动互不重叠的几处；别的等下一遍。"""
    taken: list[Finding] = []
    touched: set[int] = set()  # 插进去的，占着它后面的那个字
    for finding in listed:
        places = {at for a, b, _ in finding.edits for at in range(a, max(b, a + 1))}
        if touched.isdisjoint(places):
            taken.append(finding)
            touched |= places
    return taken


def _matched(kind: str, match: re.Match[str], why: str, new: str | None = None) -> Finding:
    """匹配的一处，整个改成 `new`；没有就只指出。"""
    return Finding(kind, *match.span(), why, () if new is None else ((*match.span(), new),))


def _short(text: str) -> str:
    line = " ⏎ ".join(part.strip() for part in text.splitlines() if part.strip())
    line = "".join(c if c.isprintable() else f"<{ord(c):04X}>" for c in line)
    return cut(line, _MAX_SHOWN)


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


def _near(document: Document, told: set[int]) -> Iterator[Finding]:
    """像条目、待办、标题而不是的行；`told` 是已经有更好的写法的各行。"""
    misses = [
        miss
        for miss in near_misses(document)
        if document.line(miss.start) not in told
        # 汉字编号只在像标题时才算：短，没有句读
        and (miss.kind != "numbered" or _TITLE.fullmatch(miss.right.lstrip("# ")))
    ]
    begun = {document.line(block.start) for block in document.blocks}
    begun |= {document.line(miss.start) for miss in misses}
    blank = {document.line(miss.start) for miss in misses if miss.kind == "blank"}
    closed = [(b.start, b.end) for b in document.blocks if b.kind in _CLOSED]
    quotes = [(b.start, b.end) for b in document.blocks if b.kind == "quote" and not b.depth]
    for miss in misses:
        start, end = miss.start, miss.end
        if miss.kind == "blank":
            if document.line(start) - 1 in blank:  # 上面那一行改好了，它就是列表
                continue
            first = document.line_start(start)
            lead = document.text[first:start]
            # 缩进太深的 > 不是引用，是上一段的字
            edit = (first, first, f"{lead.rstrip()}\n" if within(start, quotes) else "\n")
            yield Finding("空行", first, end, "不是列表：上面要空一行", (edit,))
        elif miss.kind == "rule":
            at = document.line_start(end - 1)
            yield Finding("空行", start, end, "成了标题：--- 上面要空一行", ((at, at, "\n"),))
        elif miss.kind == "numbered":
            sign = "### " if document.text[start] in "（(" else "## "
            yield Finding("标题", start, end, "不是标题", ((start, start, sign),))
        elif within(start, closed):
            yield Finding("待办", start, end, "表格、标题与 HTML 里的框不是待办")
        else:
            kind = {"item": "条目", "task": "待办", "heading": "标题"}[miss.kind]
            following = document.line_end(end)
            line = document.text[following : document.line_end(following)]
            # 下一行是另一段话：不空一行，它就成了这一条的续行
            apart = line[:1].strip() and document.line(following) not in begun
            new = miss.right + "\n" * bool(apart and kind != "标题")
            yield Finding(kind, start, end, f"不是{kind}", ((start, end, new),))


def _glued(document: Document) -> Iterator[Finding]:
    """「今天有点累四、明天计划」：标题粘在上一句后面。"""
    for block in document.blocks:
        if block.kind not in ("paragraph", "item"):
            continue
        for match in _GLUED.finditer(document.blanked, block.start, block.end):
            at = match.start()
            first = max(document.line_start(at), block.start)
            end = min(document.line_end(at), block.end)
            why = f"「{match[0]}」粘在上一句后面"
            yield Finding("标题", first, end, why, ((at, at, "\n\n## "),))


def _states(document: Document) -> Iterator[Finding]:
    for item in document.items:
        if item.box >= 0 and item.mark not in _STATES and item.text:
            why = f"[{item.mark}] 算还开着的待办，记号照留；网站上各有各的样子"
            yield Finding("待办", item.start, _line_end(document, item.body), why)


def _keywords(document: Document) -> Iterator[Finding]:
    """Logseq 与 org 写在前面的状态、org 的标题、截止与安排的日子。"""
    for item in document.items:
        match = _KEYWORD.match(document.text, item.body, item.end)
        if match and item.box < 0:
            edit = (*match.span(), f"[{_BOXES.get(match['word'], ' ')}] ")
            why = f"{match['word']} 在这里只是文字"
            yield Finding("待办", item.start, _line_end(document, match.end()), why, (edit,))
    for match in _ORG.finditer(document.blanked):
        word, end = match["word"], _line_end(document, match.end())
        sign = f"- [{_BOXES.get(word, ' ')}] " if word else f"{'#' * len(match['stars'])} "
        edit = (*match.span(), sign)
        why = "org 的标题在这里只是文字"
        yield Finding("待办" if word else "标题", match.start(), end, why, (edit,))
    for match in _PLANNED.finditer(document.blanked):
        if match["word"] == "DEADLINE":
            yield _matched("待办", match, "期限在这里写成 📅 日期", f"📅 {match['day']}")
        else:
            yield _matched("待办", match, "安排在哪天做，这里没有这个写法")


def _line_end(document: Document, at: int) -> int:
    """这一行的文字到哪里为止。"""
    return at + len(document.text[at : document.line_end(at)].rstrip())


def _callouts(document: Document) -> Iterator[Finding]:
    """Obsidian 的提示框，改成 `!!!`：第一行换掉，里面的各行去掉 >、缩进四格。"""
    for block in document.blocks:
        match = _CALLOUT.match(document.text, block.start, block.end)
        if block.kind != "quote" or not match:
            continue
        indent = document.text[document.line_start(block.start) : block.start]
        why = "不改，网站上也是提示框"
        if indent.strip() or block.item >= 0:  # 引用里的先等外面的改好
            yield Finding("提示框", block.start, match.end(), why)
            continue
        kind, fold, title = match[1].lower(), match[2], match[3].strip().replace('"', "'")
        head = f"{_FOLDS[fold]} {_ADMONITIONS.get(kind, kind)}" + (f' "{title}"' if title else "")
        lines = _unquoted(document, match.end(), block.end, indent)
        edits = ((block.start, match.end(), head), *lines)
        yield Finding("提示框", block.start, block.end, why, edits)


def _unquoted(document: Document, at: int, end: int, indent: str) -> Iterator[Edit]:
    start = document.line_end(at)
    while start < end:
        stop = document.line_end(start)
        bare = re.sub(r"\A[ \t]*>[ \t]?", "", document.text[start:stop])
        yield start, stop - len(bare), f"{indent}    " if bare.strip() else ""
        start = stop


def _marks(document: Document, offset: int) -> Iterator[Finding]:
    """`==高亮==`、`%%注释%%` 与 `^块号`。"""
    text = document.blanked
    for match in _HIGHLIGHT.finditer(text, offset):
        start, end = match.span()
        edits = ((start, start + 2, "**"), (end - 2, end, "**"))
        yield Finding("高亮", start, end, "== 照样显示", edits)
    for match in _COMMENT.finditer(text, offset):
        start, end = match.span()
        inner = document.text[start + 2 : end - 2]
        across = re.search(r"\n[ \t]*\r?\n", inner) and start != document.line_start(start)
        safe = not across and "--" not in inner
        before, after = ("" if inner[at] in "\r\n " else " " for at in (0, -1))
        signs = ((start, start + 2, f"<!--{before}"), (end - 2, end, f"{after}-->"))
        yield Finding("注释", start, end, "不想给人看的话，网站上照样显示", signs if safe else ())
    for match in _BLOCK_ID.finditer(text, offset):
        yield _matched("块号", match, "块号照样显示", "")


def _wiki_links(document: Document, places: Places) -> Iterator[Finding]:
    for match in _WIKI.finditer(document.blanked):
        name, part, shown = ((match[group] or "").strip() for group in ("name", "part", "shown"))
        name = name.rstrip("\\")  # 表格里的竖线前面有一个反斜杠
        if not (re.search(r"[^\W\d_]", name) or re.search(r"\d{4}", name)):
            continue  # `x[[0, 1]]` 是下标，`[[#标题]]` 是本页的锚点
        if match["embed"] and _SUFFIX.search(name):
            link, why = places.picture(name)
            text = shown if shown and not _SIZE.fullmatch(shown) else _SUFFIX.sub("", name)
            new = f"![{text}]({link})" if link else None
            yield _matched("图片", match, why or "嵌入照样显示成文字", new)
            continue
        link = places.page(name)
        text = shown or f"{name} {part.lstrip('#^ ')}".strip()
        why = f"{'嵌入' if match['embed'] else '双方括号'}照样显示成文字"
        why += "" if link else f"；没有叫「{name}」的笔记或日子"
        yield _matched("链接", match, why, f"[{text}]({link})" if link else None)


def _pictures(document: Document, places: Places) -> Iterator[Finding]:
    """写成链接的图片、`<img>`，与路径里有空格、连链接都不是的图片。"""
    for image in document.links:
        if image.image and image.dest >= 0:
            dest = (image.dest, image.dest_end)
            yield from _picture(places, image.start, image.end, image.target, dest)
    for span in (span for span in document.spans if span.kind == "html"):
        for match in _HTML_IMAGE.finditer(document.text, span.start, span.end):
            yield from _picture(places, *match.span(), match["target"], match.span("target"))
    for match in _RAW_IMAGE.finditer(document.blanked):
        target = match["target"].strip()
        link, why = places.picture(target)
        if match.start() not in document.link_starts and link != target:
            new = f"![{match['text']}]({link})" if link else None
            yield _matched("图片", match, why or "路径里有空格，照样显示成文字", new)


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
    for match in _PROPERTY.finditer(document.blanked, offset):
        if not match["item"] and match["name"].lower() in _HOUSEKEEPING:
            yield _matched("属性", match, "Logseq 的属性照样显示", "")
        else:
            yield _matched("属性", match, "「名字:: 值」只是文字，照样显示")
    for match in _FIELD.finditer(document.blanked, offset):
        yield _matched("属性", match, "「名字:: 值」只是文字，照样显示")
    for match in _DRAWER.finditer(document.blanked, offset):
        yield _matched("属性", match, "org 的抽屉照样显示", "")


def _queries(document: Document, offset: int) -> Iterator[Finding]:
    for span in document.spans:
        if span.kind == "fenced" and span.info.partition(" ")[0].lower() in _QUERY:
            yield Finding("查询", span.start, span.end, "查询在这里不会运行，照代码显示")
    for match in _MACRO.finditer(document.blanked, offset):
        yield _matched("查询", match, "宏与块引用在这里不会展开，照样显示")
