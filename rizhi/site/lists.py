"""Python-Markdown 扩展：列表与勾选框照命令读到的显示；日总结里换行就是换行。

先按唯一的语法读一遍，只把列表改写成 Python-Markdown 的写法：一层缩进四格，上下各空一行，
围栏随着条目缩进，`1)` 写成 `1.`，紧挨着的两个列表隔开；别的一个字也不动。

做不到的：紧的列表里套着松的（或一条里有两段），外面也只能是松的；
写在 `<div>` 这样的 HTML 里的列表，各家有各家的读法；套到 _MAX_DEPTH 层以上的照原样。
"""

import itertools
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

from rizhi.markdown import Block, Document, Item, parse, spliced
from rizhi.site import tasks

_MAX_DEPTH = 40
_INDENT = "    "
_APART = "<!-- -->"  # 隔开两个列表：Python-Markdown 会把紧挨着的并成一个
_QUOTE = re.compile(r" {0,3}> ?")
_LINE_END = re.compile(r" *\n")
_WORD = re.compile(r"[^ \n>]")
# 一行这样开头，Python-Markdown 会另起一块；反斜杠挡得住的才有记号
_STARTS = re.compile(r"\d*(?P<mark>[-*+.](?= )|[#>]|[-*_](?=[-*_ ]*$))|=+ *$")
_WHOLE = frozenset(("table", "footnote"))  # 里面的不再分

_Path = tuple[int, ...]  # 从外到里：0 是引用，其余是条目或容器的内文缩进几格
_Edit = tuple[int, int, str]
_Box = Callable[[Item], str]
_Lines = tuple[list[str], bool]  # 各行，与中间有没有空行


@dataclass(eq=False)
class _Node:
    """一块、一个条目，或整页；`owner` 是它所在的条目的编号。"""

    parsed: Block | Item | None
    start: int
    end: int
    owner: int = -1
    kind: str = ""  # 块的种类；条目与整页没有
    children: list["_Node"] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.parsed.number if isinstance(self.parsed, Item) else -2


class Lists(Extension):
    """`breaks` 为真，段落与条目里的换行都写成硬换行；`page` 是已经解析好的这一页。

    `places` 是这一页的勾选框现在的样子，见 `tasks.placed`。
    """

    def __init__(self, **options: Any) -> None:
        self.config = {
            "breaks": [False, "换行就是换行"],
            "page": ["", "这一页"],
            "places": [{}, "勾选框"],
        }
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:
        """排在空白理好之后、围栏收走之前；编号从他写的数起。"""
        md.preprocessors.register(_Lists(md, self.getConfigs()), "lists", 28)
        md.treeprocessors.register(tasks.Tasks(md), "tasks", 25)
        ordered: Any = md.parser.blockprocessors["olist"]
        ordered.LAZY_OL = False


class _Lists(Preprocessor):
    def __init__(self, md: Markdown, config: Mapping[str, Any]) -> None:
        super().__init__(md)
        self.config = config

    def run(self, lines: list[str]) -> list[str]:
        text, page, breaks = "\n".join(lines), self.config["page"], self.config["breaks"]
        body = page.body.lstrip("\n") if page else ""
        box = partial(tasks.marker, places=self.config["places"])
        if page and text == f"{body}\n\n":  # 别的插件没有改过它
            whole = _rewritten(page.document, breaks, box)
            text = whole[len(page.text) - len(body) :] + "\n\n"
        else:
            document = parse(text)
            known = page and len(page.document.items) == len(document.items)
            text = _rewritten(document, breaks, box if known else tasks.marker)
        return text.split("\n")


def makeExtension(**options: Any) -> Lists:
    """Python-Markdown 按这个名字找扩展。"""
    return Lists(**options)


def rewritten(text: str, breaks: bool = False, box: _Box = tasks.plain) -> str:
    """列表改写成 Python-Markdown 的写法，勾选框由 `box` 写。

    `text` 里没有制表符，换行只有 `\\n`。
    """
    return _rewritten(parse(text), breaks, box)


def _rewritten(document: Document, breaks: bool, box: _Box) -> str:
    if not breaks and not document.items:
        return document.text
    edits = _Writer(document, breaks, box).edits(_tree(document), ())
    return spliced(document.text, edits)


def _tree(document: Document) -> _Node:
    """块与条目按包含的关系排成一棵树。"""
    root = _Node(None, 0, len(document.text) + 1)
    nodes = [
        _Node(block, block.start, block.end, block.item, block.kind) for block in document.blocks
    ]
    nodes += [_Node(item, item.start, item.last, item.parent) for item in document.items]
    stack = [root]
    for node in sorted(nodes, key=lambda n: (n.start, isinstance(n.parsed, Item))):
        # 注释后面同一行的话，条目的终点没有算上
        while stack[-1].end <= node.start and stack[-1].number != node.owner:
            stack.pop()
        if stack[-1].kind not in _WHOLE:
            stack[-1].children.append(node)
        for outer in reversed(stack):
            if outer.end >= node.end:
                break
            outer.end = node.end
        stack.append(node)
    return root


class _Writer:
    """照树写出列表；每一块的各行都从它所在的内文算起，由外面的加上缩进。"""

    def __init__(self, document: Document, breaks: bool, box: _Box) -> None:
        self.document, self.text, self.breaks = document, document.text, breaks
        self.box = box
        self.deep = [block.start for block in document.blocks if block.depth > _MAX_DEPTH]

    # -- 换掉哪几处 --

    def edits(self, parent: _Node, path: _Path) -> Iterator[_Edit]:
        """各个列表，与（换行就是换行的页里）列表之外的段落。"""
        for node, after in _with_next(parent.children):
            if node.kind == "list":
                yield from self._placed(node, node is parent.children[0], after, path)
            elif node.kind == "paragraph" and self.breaks:
                yield from self._broken(node)
            elif len(path) < _MAX_DEPTH:
                yield from self.edits(node, self._inside(node, path))
                if node.kind == "quote" and self._merges(node, after):
                    end = self._line_end(node.end)
                    yield end, end, "\n".join(["", *_led(_lead(path), ["", _APART, ""])])

    def _placed(
        self, node: _Node, first: bool, after: _Node | None, path: _Path
    ) -> Iterator[_Edit]:
        """一个列表换掉它占的几行，上下空出一行。"""
        start, end = self._line_start(node.start), self._line_end(node.end)
        deep = bisect_left(self.deep, node.end) > bisect_left(self.deep, node.start)
        if deep or _WORD.search(self.text, start, node.start):
            return  # 同一行里前面还有注释的，也不动
        lines, _ = self._list(node, path)
        # 容器的第一行、引用的开头之下，不必空
        if not (first and path) and self._filled_above(start, path):
            lines = ["", *lines]
        if self._merges(node, after):
            lines += ["", _APART, ""]
        placed = _led(_lead(path), lines)
        if _stripped(self.text[end + 1 : self._line_end(end + 1)], path).strip():
            placed.append("")  # 不带引用记号：下一行也许在引用之外
        if first and path and self._outside(start, path):
            placed.insert(0, "")
        yield start, end, "\n".join(placed)

    def _filled_above(self, start: int, path: _Path) -> bool:
        """上一行是不是有字；全文的第一行只有空格的，Python-Markdown 也当它有字。"""
        first = self._line_start(start - 1)
        above = self.text[first : max(start - 1, 0)]
        return bool(_stripped(above, path).strip() or (above and not first))

    def _outside(self, start: int, path: _Path) -> bool:
        """上一行是不是一行字，不在这个引用里。"""
        above = self.text[self._line_start(start - 1) : max(start - 1, 0)].strip()
        return path[-1] == 0 and bool(above) and not above.startswith(">")

    def _broken(self, node: _Node) -> Iterator[_Edit]:
        for newline in _LINE_END.finditer(self.text, node.start, node.end):
            if not self.document.hidden(newline.start()):
                yield *newline.span(), "  \n"

    def _inside(self, node: _Node, path: _Path) -> _Path:
        """引用或容器的内文。"""
        return (*path, 0 if node.kind == "quote" else self._offset(node, path) + len(_INDENT))

    # -- 一个列表 --

    def _list(self, node: _Node, path: _Path) -> _Lines:
        lines: list[str] = []
        apart = spread = False
        for child, after in _with_next(node.children):
            item = child.parsed
            assert isinstance(item, Item)  # noqa: S101  列表里只有条目
            own, wide = self._item(child, item, path, after.start if after else node.end)
            if lines and (apart or item.loose):
                lines.append("")
                spread = True
            lines += own
            apart = wide
            spread |= wide
        return lines, spread

    def _item(self, node: _Node, item: Item, path: _Path, stop: int) -> _Lines:
        """记号与第一段在一行，其余缩进四格；`stop` 是下一条从哪里起。"""
        after = item.start + len(item.marker)
        blanks = _blanks(self.text[after : self._line_end(after)])
        width = len(item.marker) + (blanks if 1 <= blanks <= 4 else 1)
        inside = (*path, self._offset(node, path) + width)
        lines, spread = self._blocks(node, inside, (after, stop), not item.loose)
        sign = item.marker.replace(")", ".") + " "
        first = node.children[0].parsed if node.children else None
        if isinstance(first, Block) and self._on_marker_line(first):
            own = _led(" " * len(sign), self._block(node.children[0], inside)[0][1:])
            return [
                sign + self.box(item) + lines[0],
                *own,
                *_led(_INDENT, lines[1 + len(own) :]),
            ], spread
        # 单独一个减号，会把上一行变成标题
        return [sign.replace("-", "*"), *_led(_INDENT, lines)], spread

    def _on_marker_line(self, block: Block) -> bool:
        """第一块能不能跟在记号后面：下划线式的标题、代码、引用、表格要另起一行才认得出。"""
        heading = block.kind == "heading" and self.text.startswith("#", block.start)
        return heading or block.kind in ("item", "paragraph", "comment", "html")

    # -- 条目、引用、容器里的各块 --

    def _blocks(self, parent: _Node, path: _Path, span: tuple[int, int], tight: bool) -> _Lines:
        """各块之间空一行；紧的条目里只有一段话、围栏与子列表的，都不空。"""
        children = parent.children
        blocks = [self._block(node, path) for node in children]
        gaps = [
            self.text[at:to]
            for at, to in zip(
                (span[0], *(node.end for node in children)),
                (*(node.start for node in children), span[1]),
                strict=True,
            )
        ]
        inner = any(wide for _, wide in blocks)
        joined = tight and all(itertools.starmap(self._joins, pairwise(children)))
        spread = inner or not joined or any(map(_defined, gaps))
        lines: list[str] = []
        before = [None, *children]
        for gap, node, last, (own, _) in zip(gaps, children, before, blocks, strict=False):
            defined = _defined(gap)
            if last and not defined and "\n" not in gap:  # 注释后面同一行的话
                lines[-1] += gap + own.pop(0)
            elif last or defined:
                lines += ["", *defined, ""] if defined else [""] * spread
                lines += [_APART, ""] if self._merges(last, node) else []
            lines += own
        defined = _defined(gaps[-1])
        lines += ["", *defined] if defined else []
        inner |= spread and len(children) > 1
        return lines, inner or bool(defined)

    def _merges(self, last: _Node | None, node: _Node | None) -> bool:
        """不隔开，这一块就会被并进上一块的列表；挨着的两个引用会先并成一个。"""
        if last is None or node is None:
            return False
        if last.kind == node.kind == "quote":
            ends = [*last.children[-1:], None], [*node.children[:1], None]
            return self._merges(ends[0][0], ends[1][0])
        return last.kind == "list" and (node.kind == "list" or self._indented(node))

    def _joins(self, last: _Node, node: _Node) -> bool:
        """紧的条目里，这一块能不能紧接着上一块。"""
        before = last.kind == "item" or self._fenced(last)
        return before and (node.kind == "list" or self._fenced(node))

    def _block(self, node: _Node, path: _Path) -> _Lines:
        if node.kind == "list":
            return self._list(node, path)
        if node.kind in ("item", "paragraph"):
            return self._prose(node, path), False
        if node.kind == "quote":
            span = node.start, node.end
            lines, _ = self._blocks(node, self._inside(node, path), span, False)
            return _led("> ", lines), False
        if node.kind == "container":
            opened = self._line_end(node.start)
            lines, _ = self._blocks(node, self._inside(node, path), (opened, node.end), False)
            return [self.text[node.start : opened], *_led(_INDENT, lines)], False
        return self._verbatim(node, path), False

    def _prose(self, node: _Node, path: _Path) -> list[str]:
        """一段话的各行；像另起一块而不是的，用反斜杠挡住，或接到上一行。"""
        at = node.start
        if node.kind == "item":
            at = self.document.items[node.owner].body  # 勾选框另写
        quotes = re.compile(rf"(?: *>){{0,{path.count(0)}}} *")
        lines: list[str] = []
        for written in re.findall(r"[^\n]*\n|[^\n]+", self.text[at : node.end]):
            lead = quotes.match(written) if lines else None
            cut = lead.end() if lead else 0
            line = written[cut:].rstrip("\n")
            start, at = at + cut, at + len(written)
            if start == at:
                continue
            seen = _STARTS.match(line)
            if seen and lines and (seen["mark"] is None or self.document.hidden(start)):
                lines[-1] = f"{lines[-1].rstrip()} {line}"
                continue
            if seen and seen["mark"]:
                line = f"{line[: seen.start('mark')]}\\{line[seen.start('mark') :]}"
            hard = self.breaks and written.endswith("\n") and not self.document.hidden(at - 1)
            lines.append(f"{line.rstrip()}  " if hard else line)
        return lines or [""]

    def _verbatim(self, node: _Node, path: _Path) -> list[str]:
        """代码、表格、标题、HTML：照抄，只去掉外面的缩进与引用记号。"""
        first, *rest = self.text[node.start : node.end].split("\n")
        if node.kind == "heading":  # 下划线式的标题，下划线要顶格
            return [first, *(line.strip(" >") for line in rest)]
        lead = _INDENT if self._indented(node) else ""
        own = 0 if lead else self._offset(node, path)
        inner = (_stripped(line, path) for line in rest)
        return [lead + first, *(line[min(own, _blanks(line)) :] for line in inner)]

    def _offset(self, node: _Node, path: _Path) -> int:
        """一块比它所在的内文多缩进几格；与外面的记号在同一行的不算。"""
        lead = self.text[self._line_start(node.start) : node.start]
        return 0 if _WORD.search(lead) else len(_stripped(lead, path))

    def _fenced(self, node: _Node) -> bool:
        return node.kind == "code" and self.text[node.start] in "`~"

    def _indented(self, node: _Node) -> bool:
        return node.kind == "code" and not self._fenced(node)

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, max(at, 0)) + 1

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return end if end >= 0 else len(self.text)


def _with_next(nodes: list[_Node]) -> Iterator[tuple[_Node, _Node | None]]:
    return zip(nodes, [*nodes[1:], None], strict=False)


def _lead(path: _Path) -> str:
    """写在各行前面的缩进与引用记号。"""
    return "".join(_INDENT if width else "> " for width in path)


def _stripped(line: str, path: _Path) -> str:
    """去掉外面各层的引用记号与缩进。"""
    for width in path:
        quote = _QUOTE.match(line)
        line = line[min(width, _blanks(line)) :] if width else line[quote.end() if quote else 0 :]
    return line


def _defined(gap: str) -> list[str]:
    """两块之间的各行：引用式的定义不是一块。"""
    return [line.strip(" >") for line in gap.split("\n") if line.strip(" >")]


def _led(lead: str, lines: list[str]) -> list[str]:
    """各行前面加上缩进或引用记号。"""
    return [lead + line if line else lead.rstrip() for line in lines]


def _blanks(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
