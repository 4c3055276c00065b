"""像条目、待办或标题而不是的行：网站与命令都当它是文字，这里指出来，并给出该怎么写。"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rizhi.markdown.document import Block, Document, Item

_STATE = r"[ \u3000\xa0xX√✓/>?!-]"
# 记号之后的勾选框：写对的，与差一点的
_PAD = r"[ \u3000\xa0]{0,2}"
_BOX = re.compile(
    rf"(?:\[{_PAD}({_STATE})?{_PAD}\]|[【［]{_PAD}({_STATE})?{_PAD}[】］]"
    rf"|\[([A-Za-zＸｘ])\](?=\s))[ \t\u3000]*"
)
# 不在开头的勾选框：a[x] 是下标，\\[ ] 是有意写的字
_INSIDE = re.compile(r"(?<![\w\]\\)])\[([ \u3000xX])\][ \t\u3000]+(?=\S)|(?<!\w)[□☐](?=\s*\w)")
_LABEL = re.compile(
    r"[【［\[「『〔][ \u3000]*(?:待办|TODO)[ \u3000]*[】］\]」』〕]"
    r"|(?:待办|TODO)[ \t]*[:：]|TODO[ \t]+(?=\S)",
    re.I,
)
_TODO = "【待办】"
_RIGHT_BOX = re.compile(r"\[[^\w\[\]\\\r\n]\][ \t\u3000\xa0]|\[[xX]\][ \t\u3000\xa0]")
_WIDE = r"\u3000\xa0\u2002\u2003"  # 看着是空白，Markdown 不认
# 从 Word 粘来的项目符号：符号字体的私有区，或那个字体里的字母加一个制表符
_SYMBOL = r"[\uf020-\uf0ff•●▪◦‣○·■◆❖➢➤]|[lnuvüØ§](?=\t)"
_BULLET = re.compile(
    rf"[-*+](?:(?=\[{_STATE}?\]|【{_STATE}?】)|[{_WIDE}]+)|(?:{_SYMBOL})[ \t{_WIDE}]*"
    rf"|[－–][ \t\u3000]+"
)
_NUMBER = re.compile(
    rf"(?P<n>\d{{1,9}})(?:[、．）][ \t\u3000]*|[.)](?:(?=[^\W\d]|[\[【*`])|[{_WIDE}]+))"
    r"|(?P<wide>[０-９]{1,9})[.．、)）][ \t\u3000]*"
    r"|[（(](?P<inside>\d{1,3})[)）][ \t\u3000]*|(?P<circled>[①-⑳])[ \t\u3000]*"
)
_SQUARE = re.compile(rf"([☐□☑☒])[ \t{_WIDE}]*")
_ORDERED = re.compile(r"\d{1,9}[.)][ \t]+\S")  # 不从 1 起的编号打断不了段落
_HEADING = re.compile(r"(#{2,6})(?=[^\s#])|(#{1,6})[\u3000\xa0]+|(＃{1,6})[ \t\u3000]*(?=[^\s＃])")
_RIGHT = re.compile(r"(?:(#{1,6})|[-*+]|\d{1,9}[.)])[ \t]+\S")  # 只有缩进不对
_LINE = re.compile(r"[^\r\n]+")
_CHINESE = re.compile(r"[（(]?[一二三四五六七八九十]{1,3}[)）]?[ \t]*[、.．:：)）][ \t\u3000]*")


class NearMiss(NamedTuple):
    """一行像 `kind` 而不是：item、task、heading、rule（段落下面的 ---，成了标题），
    blank（写得对，只缺上面的空行），numbered（汉字编号）。

    `start` 到 `end` 是这一行里的文字，`right` 是该有的写法。
    """

    kind: str
    start: int
    end: int
    right: str


def near_misses(document: Document) -> list[NearMiss]:
    """按位置排好；代码、公式、注释里的不算。"""
    found = [miss for block in document.blocks for miss in _in_block(document, block)]
    found += [
        NearMiss("rule", h.start, h.end, "在 --- 上面空一行")
        for h in document.headings
        if h.setext and h.level == 2
    ]
    return sorted(found, key=lambda miss: miss.start)


def _in_block(document: Document, block: Block) -> Iterator[NearMiss]:
    if block.kind in ("cell", "heading", "html"):
        yield from _out_of_place(document, block)
    if block.kind not in ("paragraph", "item"):
        return
    links = document.link_starts
    for found in _LINE.finditer(document.blanked, block.start, block.end):
        first = block.kind == "item" and found.start() == block.start
        item = document.items[block.item] if first else None
        line = document.text[found.start() : found.end()]
        start = found.start() + (0 if item else _margin(line))
        end = found.start() + len(line.rstrip())
        # 以代码、公式开头的一行，后面写什么都不像
        if start >= end or start in links or document.blanked[start] != document.text[start]:
            continue
        # Word 与网页里粘来的缩进不是空格：连同它一起改
        shift = 0 if item else _blanks(document.text, start, end)
        text = document.text[start + shift : end]
        made = _boxed(text) if item else _line(text, start + shift, links)
        if shift and not made and (aligned := _RIGHT.match(text)):
            made = "heading" if aligned[1] else "item", text
        made = made or _inside(document.blanked[start + shift : end], text, item)
        if made:
            kind, right = made
            lead = " " * document.text.count("\xa0", start, start + shift)
            start, lead = (item.start, f"{item.marker} ") if item else (start, lead)
            yield NearMiss(kind, start, end, f"{lead}{right}")


def _out_of_place(document: Document, block: Block) -> Iterator[NearMiss]:
    """表格、标题与 HTML 里的勾选框，不会是待办。"""
    prose = document.text if block.kind == "html" else document.blanked
    for found in _LINE.finditer(prose, block.start, block.end):
        box = _INSIDE.search(found[0]) or re.search(_TODO, found[0])
        if box:
            rest = document.text[found.start() + box.end() : found.end()].strip(" |*#")
            yield NearMiss("task", found.start(), found.end(), f"- [ ] {rest}")


def _margin(line: str) -> int:
    """缩进与引用记号占几个字。"""
    return len(line) - len(line.lstrip(" \t>"))


def _blanks(text: str, start: int, end: int) -> int:
    """`start` 处有几个全角的、不换行的空白。"""
    return len(text[start:end]) - len(text[start:end].lstrip(" \t\u3000\xa0\u2002\u2003"))


def _boxed(text: str) -> tuple[str, str] | None:
    """条目开头的 `[]`、`[ ]字`、`[ x]`、`【 】`、`[a]`、`☐`。"""
    square = _SQUARE.match(text)
    if square and text[square.end() :]:
        return "task", f"[{' ' if square[1] in '☐□' else 'x'}] {text[square.end() :]}"
    found = _BOX.match(text)
    if not found or _RIGHT_BOX.match(text) or not text[found.end() :]:
        return None
    state = (found[1] or found[2] or " ").replace("\u3000", " ").replace("\xa0", " ")
    state = "x" if found[3] and found[3] in "vVＸｘ" else state
    return "task", f"[{state}] {text[found.end() :]}"


def _inside(blanked: str, text: str, item: Item | None) -> tuple[str, str] | None:
    """「待办：画图」、「[待办]画图」，与不在开头的勾选框。"""
    if (item and item.box >= 0) or _TODO in text:
        return None
    if found := _LABEL.match(blanked):
        rest = text[found.end() :].strip()
        return ("task", f"【待办】{rest}") if rest else None
    if found := _INSIDE.search(blanked):
        lead, rest = text[: found.start()], text[found.end() :].strip()
        if lead.strip(" -+*~") == "":  # 框外面的加粗与划线，从这里拆开了
            rest = rest.rstrip("*~")
        return "task", f"{'' if item else '- '}[{(found[1] or ' ').strip() or ' '}] {rest}"
    return None


def _line(text: str, start: int, links: frozenset[int]) -> tuple[str, str] | None:
    """不在条目开头的一行；`start` 是它的位置，`links` 是各链接的起点。"""
    for pattern, marker in ((_BULLET, "- "), (_NUMBER, "")):
        found = pattern.match(text)
        if found and text[found.end() :]:
            sign = marker or f"{_number(found)}. "
            rest = text[found.end() :]
            task = None if start + found.end() in links else _task(rest)
            kind, rest = task or ("item", rest)
            return kind, sign + rest
    if found := _HEADING.match(text):
        return "heading", f"{'#' * len(found[1] or found[2] or found[3])} {text[found.end() :]}"
    if (found := _CHINESE.match(text)) and (rest := text[found.end() :]):
        task = _task(rest)
        return ("task", f"- {task[1]}") if task else ("numbered", f"## {rest}")
    if _ORDERED.match(text):
        return "blank", text
    made = _task(text)
    return ("task", f"- {made[1]}") if made and text[0] in "[【［☐□☑☒" else None


def _number(found: re.Match[str]) -> int:
    if found["circled"]:
        return ord(found["circled"]) - ord("①") + 1
    return int(found["n"] or found["wide"] or found["inside"])


def _task(text: str) -> tuple[str, str] | None:
    return ("task", text) if _RIGHT_BOX.match(text) else _boxed(text)
