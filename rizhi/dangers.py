"""一页 Markdown 在站点上会变成哪些不许的 HTML：不渲染，只看那一次解析。

Python-Markdown 把认作 HTML 的原样放进页面，其余的尖括号换成实体；认不认，与 CommonMark 有几处
不同（`<svg/onload=…>`、一行行首的块、跨行的反引号）。这里照它的规则留下会原样放进去的尖括号，
别的换成等长的空白，再交给 `htmlpolicy.judge`：位置不变。拿不准的，当作会原样放进去。
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from turbohtml import Token, TokenType, tokenize

from rizhi import htmlpolicy
from rizhi.htmlpolicy import Finding
from rizhi.markdown import Document, blank
from rizhi.markdown.document import within
from rizhi.markdown.source import label
from rizhi.page import Page

Ranges = list[tuple[int, int]]

# Python-Markdown 的行内 HTML、自动链接与邮箱
_TAG = re.compile(
    r"</?+[A-Za-z][^\s\"'<>@]*+"
    r"(?:\s+[^\s\"'=<>]++(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'=<>]++))?+)*+\s*+/?>"
)
_SILENT = re.compile(r"<!--(?!-?>)(?:(?!<!--|--!?>).)*-->", re.S)  # 浏览器也在同一处合上的
_COMMENT = re.compile(r"<!--(?:(?!<!--|-->).)*-->", re.S)
_BLOCK_COMMENT = re.compile(r"<!--.*?--!?>", re.S)
_OTHER = re.compile(r"<\?(?:(?!<\?|\?>).)*\?>|<!\[CDATA\[(?:(?!<!\[CDATA\[|\]\]>).)*\]\]>", re.S)
_AUTO = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]*://[^<>]*)>")
_MAIL = re.compile(r"<[^<> \t!]+@[^@<> \t]+>")
_NEWLINE = re.compile(r"\r\n?|\n")
_BLANK_LINE = re.compile(r"\n[ \t>]*\r?\n")
# 续行以这些开头的，Python-Markdown 也许另起一块：标题、定义、缩写、脚注、表格、列表……
_NEW_BLOCK = re.compile(r"\n[ \t>]*[^\w\s\u3000-\u303f\uff00-\uffef\"'(（]")
_MATH = re.compile(
    r"(?<!\\)(?:\\\\)*(?:\$(?!\s)(?:\\.|[^\\$\n]|\n(?![ \t>]*\r?\n))+?(?<!\s)\$"
    r"|\\\((?:\\[^)\n]|[^\\\n]|\n(?![ \t>]*\r?\n))+?\\\))"
)
_INSIDE = re.compile(r"`|\]\(|\]\[|\[\^|\$[^$\n]+\$|\\\(|<[A-Za-z][A-Za-z0-9+.-]*://")
_LAST_LABEL = re.compile(r"\[([^\[\]]+)\](?:\[\])?\Z")
_LABELLED = re.compile(r"\[([^\[\]]*)\]")
# 属性列表：行内的紧跟着一个元素，标题与格子的在末尾，段落的自成最后一行
_BRACES = re.compile(r"\{:?[ ]*([^}\n ][^\n]{0,1000})\}")
_SCANNER = re.compile(r"([^ =}]+)=(?:\"(.*?)\"|'(.*?)'|([^ =}]+))|([^ =}]+)|( )")
_MARKERS = r"(?:[ \t>]|[-+*][ \t]|\d+[.)][ \t]|\[.\][ \t])*"
_ALONE = re.compile(rf"{_MARKERS}\Z")
_OPTION = (
    r"(?:title(?:_mode)?(?:=(?:\".*?\"|'.*?'))?|linenums=[\"']\d[\d \t]*[\"']"
    r"|hl_lines=[\"']\d[-\d \t]*[\"'])"
)
# superfences 认得的信息行：语言，后面是属性列表或它知道的选项
_FENCED = re.compile(rf"(?:\.?[\w#.+-]+)?(?:[ \t]*\{{(.*)\}}|(?:[ \t]+{_OPTION})+)?")
_TITLING = re.compile(r"\s*:[ \t]|[ \t>]*(?:=+|-+)[ \t]*$", re.M)
_HASHES = re.compile(r"[ \t>]*#{1,6}")
_TARGET = re.compile(r"(?<!\\)\]\(\s*<?([^)>\"']*)")
_DEFINED = re.compile(
    r"^[ \t>]*\[(?!\^)([^\[\]\n]+)\]:[ \t]*\n?[ \t]*<?(\S+)"
    r"[ \t]*(?:\n[ \t]*)?(?:(?:\".*\"|'.*'|\(.*\))[ \t]*)?$",
    re.M,
)
_ENTITY = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[0-9a-zA-Z]+);")
_ON = frozenset(("1", "block", "span", "markdown", ""))
# 里面的标签浏览器不认、Python-Markdown 照认的元素：分词之前换掉名字的头一个字母
_RAW = re.compile(
    r"(</?)(?=(?:script|style|title|textarea|xmp|noscript|noembed|noframes|plaintext|iframe)\b).",
    re.I,
)
_BLOCKS = frozenset(
    (
        "address article aside blockquote body canvas center colgroup dd details div dl dt"
        " fieldset figcaption figure footer form group h1 h2 h3 h4 h5 h6 header hgroup hr html"
        " legend li main map math menu nav object ol option output p pre progress section summary"
        " table tbody td tfoot th thead tr ul video"
        " xcript xtyle xextarea xoscript xframe"  # 换掉了头一个字母的
    ).split()
)
_SHOWN = ("text/html", "text/markdown", "image/svg+xml")
_SUSPECT = re.compile(r"[<{]|\]\(|\]:")


def dangers(page: Page) -> Iterator[tuple[int, str]]:
    """会变成不许的 HTML 的写法，各在哪里、为什么；按位置，一处一条。"""
    if not _SUSPECT.search(page.text, page.offset):
        return
    reader = _Reader(page)
    findings = [*reader.tags(), *reader.attribute_lists(), *reader.addresses()]
    firsts = {finding.at: finding for finding in reversed(findings)}
    yield from ((at, _said(firsts[at])) for at in sorted(firsts))


def in_notebook(cells: Iterable[Any]) -> Iterator[tuple[int, str]]:
    """笔记本里不许的：第几格（从 1 数起）、是什么；输出里的 HTML 与 SVG 站点原样放进页面。"""
    for number, cell in enumerate(cells, 1):
        fields = cell if isinstance(cell, dict) else {}
        if fields.get("cell_type") == "markdown":
            text = _joined(fields.get("source"))
            yield from ((number, what) for _, what in dangers(Page(Path("cell.md"), text)))
        for out in fields.get("outputs") or ():
            data = out.get("data") if isinstance(out, dict) else None
            for kind, value in (data if isinstance(data, dict) else {}).items():
                if kind == "application/javascript":
                    yield number, f"{kind}：这一格的输出是脚本"
                elif kind in _SHOWN:
                    findings = htmlpolicy.judge(_joined(value), htmlpolicy.NOTEBOOK)
                    yield from ((number, _said(finding)) for finding in findings)


def _said(finding: Finding) -> str:
    return f"{finding.what[:30]!r}：{finding.why}"


def _joined(source: Any) -> str:
    """nbformat 的多行文字：整个写，或一行一项。"""
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")


@dataclass(frozen=True)
class _Reader:
    """一页，与它的几种遮法。"""

    page: Page

    @property
    def document(self) -> Document:
        return self.page.document

    @cached_property
    def unfenced(self) -> str:
        """围栏换成空白：Python-Markdown 在找 HTML 之前就把它们收走了；信息行不对的不算围栏。"""
        fenced = (s for s in self.document.spans if s.kind == "fenced")
        ranges = [(s.start, s.end) for s in fenced if _FENCED.fullmatch(s.info)]
        return blank(self.page.text, [(0, self.page.offset), *ranges])

    @cached_property
    def regions(self) -> Ranges:
        """从行首的块级标签到它合上为止，整段原样：里面的反引号不是代码。"""
        return list(_regions(self.unfenced))

    @cached_property
    def comments(self) -> frozenset[int]:
        """自成一块的注释：一行的开头，前面至多三个空格，也没有被前面合不上的 `<` 吞掉。"""
        text = self.unfenced
        tokens = _tokens(text) if "<!--" in text else ()
        return frozenset(
            line + token.col
            for token, line in tokens
            if token.type is TokenType.COMMENT
            and token.col <= 3
            and not text[line : line + token.col].strip(" ")
        )

    @cached_property
    def uncoded(self) -> str:
        """再换掉真是代码与公式的。"""
        spans = [(s.start, s.end) for s in self.document.spans if s.kind in ("code", "indented")]
        befores = [0, *(end for _, end in spans)]
        pairs = zip(spans, befores, strict=False)
        ranges = [span for span, before in pairs if self._really(*span, before)]
        text = blank(self.unfenced, ranges)
        formulas = _MATH.finditer(text) if "$" in text or "\\(" in text else ()
        maths = [m.span() for m in formulas if self._surely(text, *m.span())]
        return blank(text, maths + self._displayed())

    @cached_property
    def spoken(self) -> str:
        """再换掉注释：里面的链接与属性列表谁也看不见。"""
        comments = _SILENT.finditer(self.uncoded) if "<!--" in self.uncoded else ()
        silent = (m for m in comments if m.start() in self.comments or not _split(m[0]))
        return blank(self.uncoded, [m.span() for m in silent])

    def tags(self) -> Iterator[Finding]:
        """原样放进页面的标签里不许的。"""
        if "<" not in self.uncoded:
            return
        text = self._kept(self.uncoded)
        for finding in htmlpolicy.judge(text):
            at = finding.at
            yield Finding(at, self.page.text[at : at + 60].partition("\n")[0], finding.why)
        for tag in _TAG.finditer(text):
            at, source = tag.start(), self.page.text[tag.start() : tag.end()]
            if self.spoken[at] == "<" and self._outside(at) and self._marked(source):
                why = "标签里的 Markdown 记号会先变成 HTML，引号就错位了"
                yield Finding(at, source, why)

    def attribute_lists(self) -> Iterator[Finding]:
        """属性列表 `{…}` 里不许的属性。"""
        for span in self.document.spans:
            braces = _FENCED.fullmatch(span.info) if span.kind == "fenced" else None
            for name, value in _attributes(braces[1] or "") if braces else ():
                if name == "id":  # 类只加在外面的 div 上，别的属性站点不写
                    for why in htmlpolicy.attribute("div", name, value):
                        yield Finding(span.start, span.info, why)
        if "{" not in self.spoken:
            return
        for brace in re.finditer(r"\{", self.spoken):
            at = brace.start()
            braces = _BRACES.match(self.spoken, at)
            if braces and self._outside(at):
                nearest = self.spoken.index("}", at) + 1  # 格子在行的中间就到头了
                tag = self._owner(at, braces.end()) or self._owner(at, nearest)
                for name, value in _attributes(braces[1]) if tag else ():
                    for why in htmlpolicy.attribute(tag, name.lower(), value):
                        yield Finding(at, f"{{{braces[1]}}}", why)

    def addresses(self) -> Iterator[Finding]:
        """链接与图片的去处里不许的。"""
        for link in self.document.links:
            if link.kind != "auto" and self._outside(link.start):
                raw = self.page.text[link.dest : link.dest_end] if link.dest >= 0 else link.target
                yield from _judged(link.start, raw, link.image)
        known = {link.close for link in self.document.links}
        judged = {link.dest for link in self.document.links}
        for target in _TARGET.finditer(self.spoken):
            if target.start() not in known and self._outside(target.start()):
                yield from _judged(target.start(), target[1], self._pictured(target.start()))
        for auto in _AUTO.finditer(self.spoken):
            if self._outside(auto.start()):
                yield from _judged(auto.start(), auto[1], False)
        for defined in _DEFINED.finditer(self.spoken):
            image = self._used.get(label(defined[1]))
            done = defined.start(2) in judged  # 解析认得的，已经在链接那里判过
            if image is not None and not done and self._outside(defined.start()):
                yield from _judged(defined.start(), defined[2], image)

    # -- 遮住与留下 --

    def _kept(self, text: str) -> str:
        """只留下会原样放进页面的 `<`，别的换成空格；网址与定义的去处也换掉。"""
        ranges = [(k.close + 1, k.end) for k in self.document.links if k.kind == "inline"]
        ranges += [(d.dest - 1, d.dest_end + 1) for d in self.document.definitions.values()]
        text = blank(text, [r for r in ranges if r[0] >= 0 and self._outside(r[0])])
        draft, at = list(text), 0
        while (at := text.find("<", at)) >= 0:
            end = self._passed(text, at) if self._outside(at) else at + 1
            if not end:
                draft[at] = " "
            at = max(end, at + 1)
        return "".join(draft)

    def _passed(self, text: str, at: int) -> int:
        """`at` 处的 `<` 原样放进页面的话，从哪里接着看；不然是 0。"""
        if _AUTO.match(text, at) or _MAIL.match(text, at):
            return 0
        if text.startswith("<!--", at):
            if at in self.comments and _BLOCK_COMMENT.match(text, at):
                return at + 4
            comment = _COMMENT.match(text, at)
            return at + 4 if comment and not _split(comment[0]) else 0
        tag = _TAG.match(text, at) or _OTHER.match(text, at)
        return tag.end() if tag and not _BLANK_LINE.search(tag[0]) else 0

    def _really(self, start: int, end: int, before: int) -> bool:
        """解析说是代码的，Python-Markdown 也当它是代码。

        它不在原样的一段里，续行不另起一块；`before` 之后、同一段里没有落单的反引号：
        CommonMark 的一串反引号不拆开，Python-Markdown 会拆。
        """
        text = self.unfenced
        if self._crossed(start, end):
            return False
        if text[start] != "`":
            return True
        if "\n" in text[start:end] and _HASHES.match(text, self.document.line_start(start)):
            return False  # 井号后没有空格，Python-Markdown 也当它是标题，到行末为止
        lone = text[max(text.rfind("\n\n", 0, start), before) : start]
        return "`" not in lone.replace("\\`", "") and not _split(text[start:end])

    def _surely(self, text: str, start: int, end: int) -> bool:
        """公式的记号配得准不准：同一段里还有反引号的，两种引擎也许配得不同。"""
        first = max(text.rfind("\n\n", 0, start), 0)
        last = text.find("\n\n", end)
        around = text[first : last if last >= 0 else len(text)]
        return self._outside(start) and "`" not in around and not _split(text[start:end])

    def _displayed(self) -> Ranges:
        """自成一段的 `$$…$$`。"""
        whole = {(b.start, b.end) for b in self.document.blocks}
        spans = [(s.start, s.end) for s in self.document.spans if s.kind == "math"]
        return [span for span in spans if span in whole and not self._crossed(*span)]

    def _crossed(self, start: int, end: int) -> bool:
        """有没有原样的一段与它相交。"""
        return any(first < end and start < last for first, last in self.regions)

    def _outside(self, at: int) -> bool:
        return not within(at, self.regions)

    # -- 属性列表 --

    def _owner(self, start: int, end: int) -> str:
        """这个属性列表加在哪种元素上；哪种都不是，它只是字。"""
        text, document = self.page.text, self.document
        before = text[start - 1 : start]
        if start in self._ends:
            return self._ends[start]
        if before in ("`", "*", "_", "$") or text[start - 2 : start] == "\\)":
            return "span"
        if before == "]" and (named := _LAST_LABEL.search(text, max(start - 200, 0), start)):
            if named[1].startswith("^") or label(named[1]) in self._defined:
                return "a"
        if before == ")" and _TARGET.search(text, max(start - 400, 0), start):
            return "a"
        first, last = document.line_start(start), document.line_end(end)
        rest = text[end:last].strip()
        if "|" in text[first:last] and before == " " and rest[:1] in ("", "|"):
            return "td"
        if rest:
            return ""
        if _ALONE.match(text[first:start]):
            above = text[document.line_start(max(first - 1, 0)) : first]
            return "p" if above.strip(" \t>\r\n") else ""
        if before == " " and self._titled(first, start, last):
            return "h2"
        return ""

    @cached_property
    def _ends(self) -> dict[int, str]:
        return {link.end: "img" if link.image else "a" for link in self.document.links}

    def _titled(self, first: int, at: int, last: int) -> bool:
        """这一行是不是标题，或定义列表的词。"""
        return (
            any(heading.start <= at < heading.end for heading in self.document.headings)
            or bool(_HASHES.match(self.page.text, first))
            or bool(_TITLING.match(self.page.text, last))
        )

    # -- 去处 --

    @cached_property
    def _used(self) -> dict[str, bool]:
        """方括号里写过的名字，定义自己的不算；用在图片上的是 True。"""
        used: dict[str, bool] = {}
        for written in _LABELLED.finditer(self.spoken):
            if self.spoken[written.end() : written.end() + 1] != ":":
                name = label(written[1])
                used[name] = used.get(name, False) or self._pictured(written.end() - 1)
        return used

    @cached_property
    def _defined(self) -> frozenset[str]:
        return frozenset(label(defined[1]) for defined in _DEFINED.finditer(self.spoken))

    def _pictured(self, close: int) -> bool:
        """`close` 处的 `]` 是不是图片的。"""
        if (first := self.spoken.rfind("[", 0, close)) and self.spoken[first - 1] == "]":
            close = first - 1  # 引用式的，文字在前一对方括号里
        depth = 0
        for at in range(close, max(close - 1000, -1), -1):
            depth += (self.spoken[at] == "]") - (self.spoken[at] == "[")
            if not depth:
                return self.spoken[at - 1 : at] == "!"
        return False

    def _marked(self, tag: str) -> bool:
        """标签里有没有会先被换成 HTML 的 Markdown。"""
        if _INSIDE.search(tag, 1):
            return True
        known = self.document.definitions
        return any(label(written[1]) in known for written in _LABELLED.finditer(tag))


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """行首的块级标签到它合上（合不上就到末尾），按 Python-Markdown 的数法。"""
    stack: list[str] = []
    first = tail = 0  # tail：一段合上之后，同一行里的块级标签不在行首也算
    for token, line in _tokens(text):
        tag, at = token.tag or "", line + token.col
        end = at + len(token.source or "")
        if token.type is TokenType.END_TAG and tag in stack:
            del stack[len(stack) - 1 - stack[::-1].index(tag) :]
            if not stack:
                tail = _line_end(text, end)
                yield first, end
        elif token.type is not TokenType.START_TAG:
            continue
        elif stack:
            stack.append(tag)
        elif tag in _BLOCKS and (at < tail or (not text[line:at].strip(" ") and at - line <= 3)):
            if token.attr("markdown") in _ON:  # md_in_html：里面照样是 Markdown
                continue
            if token.self_closing or tag == "hr":
                tail = _line_end(text, end)
                yield at, end
            else:
                stack, first = [tag], at
    if stack:
        yield first, len(text)


def _tokens(text: str) -> Iterator[tuple[Token, int]]:
    """浏览器的记号，与各自所在的行从哪里起；会让分词改变读法的元素换掉头一个字母。"""
    if "<" in text:
        starts = [0, *(m.end() for m in _NEWLINE.finditer(text))]
        for token in tokenize(_RAW.sub(r"\1x", text), capture_source=True):
            yield token, starts[token.line - 1]


def _split(text: str) -> bool:
    """跨行的一段，Python-Markdown 会不会从中间另起一块。"""
    return bool(_NEW_BLOCK.search(text) or _BLANK_LINE.search(text))


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)


def _attributes(braces: str) -> Iterator[tuple[str, str]]:
    """属性列表里的各个属性，照 attr_list 的读法；`.名字` 是类，`#名字` 是 id。"""
    at = 0
    while piece := _SCANNER.match(braces, at):
        at = piece.end()
        key, *values, word, _ = piece.groups()
        if key:
            yield key, "".join(filter(None, values))
        elif word:
            yield {".": ("class", word[1:]), "#": ("id", word[1:])}.get(word[0], (word, ""))


def _judged(at: int, raw: str, image: bool) -> Iterator[Finding]:
    """原文里写的去处：实体由浏览器解码，两头的空白由 Python-Markdown 去掉。"""
    url = _ENTITY.sub(lambda m: html.unescape(m[0]), raw).strip()
    for why in htmlpolicy.fetched(url) if image else htmlpolicy.followed(url):
        yield Finding(at, raw, why)
