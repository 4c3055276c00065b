"""像条目、待办或标题而不是的行：网站与命令都当它是文字，这里指出来，并给出该怎么写。"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rizhi.markdown.document import Block, Document, Item, leading

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
_WIDE = "\u3000\xa0\u2002\u2003"  # 看着是空白，Markdown 不认
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
    misses = [miss for block in document.blocks for miss in _in_block(document, block)]
    misses += [
        NearMiss("rule", h.start, h.end, "在 --- 上面空一行")
        for h in document.headings
        if h.setext and h.level == 2
    ]
    return sorted(misses, key=lambda miss: miss.start)


def _in_block(document: Document, block: Block) -> Iterator[NearMiss]:
    if block.kind in ("cell", "heading", "html"):
        yield from _out_of_place(document, block)
    if block.kind not in ("paragraph", "item"):
        return
    links = document.link_starts
    for row in _LINE.finditer(document.blanked, block.start, block.end):
        first = block.kind == "item" and row.start() == block.start
        item = document.items[block.item] if first else None
        line = document.text[row.start() : row.end()]
        start = row.start() + (0 if item else leading(line, " \t>"))
        end = row.start() + len(line.rstrip())
        # 以代码、公式开头的一行，后面写什么都不像
        if start >= end or start in links or document.blanked[start] != document.text[start]:
            continue
        # Word 与网页里粘来的缩进不是空格：连同它一起改
        shift = 0 if item else leading(document.text[start:end], f" \t{_WIDE}")
        text = document.text[start + shift : end]
        kind, right = ("task", _boxed(text)) if item else _line(text, start + shift, links)
        if shift and not right and (aligned := _RIGHT.match(text)):
            kind, right = "heading" if aligned[1] else "item", text
        if not right:
            kind, right = "task", _inside(document.blanked[start + shift : end], text, item)
        if right:
            lead = " " * document.text.count("\xa0", start, start + shift)
            start, lead = (item.start, f"{item.marker} ") if item else (start, lead)
            yield NearMiss(kind, start, end, f"{lead}{right}")


def _out_of_place(document: Document, block: Block) -> Iterator[NearMiss]:
    """表格、标题与 HTML 里的勾选框，不会是待办。"""
    prose = document.text if block.kind == "html" else document.blanked
    for line in _LINE.finditer(prose, block.start, block.end):
        box = _INSIDE.search(line[0]) or re.search(_TODO, line[0])
        if box:
            rest = document.text[line.start() + box.end() : line.end()].strip(" |*#")
            yield NearMiss("task", line.start(), line.end(), f"- [ ] {rest}")


def _task(text: str) -> str | None:
    """以勾选框开头的一行：写对的，或差一点的该有的写法。"""
    return text if _RIGHT_BOX.match(text) else _boxed(text)


def _boxed(text: str) -> str | None:
    """开头的 `[]`、`[ ]字`、`[ x]`、`【 】`、`[a]`、`☐` 该有的写法。"""
    square = _SQUARE.match(text)
    if square and text[square.end() :]:
        return f"[{' ' if square[1] in '☐□' else 'x'}] {text[square.end() :]}"
    box = _BOX.match(text)
    if not box or _RIGHT_BOX.match(text) or not text[box.end() :]:
        return None
    state = (box[1] or box[2] or " ").replace("\u3000", " ").replace("\xa0", " ")
    state = "x" if box[3] and box[3] in "vVＸｘ" else state
    return f"[{state}] {text[box.end() :]}"


def _inside(blanked: str, text: str, item: Item | None) -> str | None:
    """「待办：画图」、「[待办]画图」，与不在开头的勾选框。"""
    if (item and item.box >= 0) or _TODO in text:
        return None
    if label := _LABEL.match(blanked):
        rest = text[label.end() :].strip()
        return f"【待办】{rest}" if rest else None
    if box := _INSIDE.search(blanked):
        lead, rest = text[: box.start()], text[box.end() :].strip()
        if lead.strip(" -+*~") == "":  # 框外面的加粗与划线，从这里拆开了
            rest = rest.rstrip("*~")
        return f"{'' if item else '- '}[{(box[1] or ' ').strip() or ' '}] {rest}"
    return None


def _line(text: str, start: int, links: frozenset[int]) -> tuple[str, str | None]:
    """不在条目开头的一行像什么、该怎么写；`start` 是它的位置，`links` 是各链接的起点。"""
    for pattern in (_BULLET, _NUMBER):
        sign = pattern.match(text)
        if sign and (rest := text[sign.end() :]):
            marker = "-" if pattern is _BULLET else f"{_number(sign)}."
            task = None if start + sign.end() in links else _task(rest)
            return "task" if task else "item", f"{marker} {task or rest}"
    if marks := _HEADING.match(text):
        return "heading", f"{'#' * len(marks[1] or marks[2] or marks[3])} {text[marks.end() :]}"
    if (numeral := _CHINESE.match(text)) and (rest := text[numeral.end() :]):
        task = _task(rest)
        return ("task", f"- {task}") if task else ("numbered", f"## {rest}")
    if _ORDERED.match(text):
        return "blank", text
    task = _task(text) if text[0] in "[【［☐□☑☒" else None
    return "task", task and f"- {task}"


def _number(sign: re.Match[str]) -> int:
    if sign["circled"]:
        return ord(sign["circled"]) - ord("①") + 1
    return int(sign["n"] or sign["wide"] or sign["inside"])
