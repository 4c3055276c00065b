"""一页写成不需要 rizhi 的 Markdown：围栏展开成代码与输出，列表与换行照 Python-Markdown 写。"""

import ast
import re
from collections.abc import Iterator

from rizhi.errors import RizhiError
from rizhi.frontmatter import body_start, front_matter
from rizhi.markdown import Document, parse, spliced
from rizhi.site.blocks import Link
from rizhi.site.html import parts_markdown, relative
from rizhi.site.lists import rewritten
from rizhi.site.softbreak import LABEL, WIDE
from rizhi.snippets import cells, fence, figures
from rizhi.snippets import record as records
from rizhi.snippets.source import documented, read_fence_line
from rizhi.vault import Vault, read_text

_REFERENCE = re.compile(r"^::: ([\w.]+)\n?(?: {4}.*\n?)*", re.M)
DRAFT = '!!! warning "草稿"\n    这一篇还没有写完。\n\n'
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_TICKS = re.compile("`{3,}")
_NEWLINE = re.compile(r"\n[ \t>]*")
_AFTER = re.compile(rf"[ \t>]*(?:\*{{1,2}}(?=\w))?\[?{WIDE}")
_BEFORE = re.compile(rf"(?:{WIDE}|[^\W_a-zA-Z0-9]\*{{1,2}})\Z")


def page(vault: Vault, uri: str, text: str) -> str:
    """一页的原文换成普通的 Markdown；前置数据照抄。"""
    text = text.replace("\r\n", "\n")
    start = body_start(text)
    head, body = text[:start], text[start:].expandtabs(4)
    draft = DRAFT if front_matter(text).meta.get("draft") is True else ""
    body = _expanded(vault, uri, body)
    breaks = uri.startswith(("daily/", "weekly/"))  # 日总结与周报里换行就是换行
    return head + draft + rewritten(body if breaks else _joined(body), breaks)


def notebook_uri(module: str) -> str:
    """一个片段带输出的笔记本。"""
    return f"downloads/{module}.ipynb"


def _expanded(vault: Vault, uri: str, body: str) -> str:
    document = parse(body)
    edits = [
        (*match.span(), _reference(vault, match[1]) + "\n")
        for match in _REFERENCE.finditer(body)
        if not document.hidden(match.start())
    ]
    linked: set[str] = set()
    for span in document.spans:
        if span.kind == "fenced" and span.info in ("snippet", "source", "flow"):
            lead = re.sub(r"[^ >]", " ", body[document.line_start(span.start) : span.start])
            lines = (line.strip(" >") for line in body[span.start : span.end].split("\n")[1:-1])
            blocks = "\n\n".join(
                block
                for line in filter(None, lines)
                for block in _fence(vault, uri, span.info, line, linked)
            )
            edits.append((span.start, span.end, blocks.replace("\n", f"\n{lead}")))
    return spliced(body, edits)


def _fence(vault: Vault, uri: str, kind: str, line: str, linked: set[str]) -> list[str]:
    """围栏里的一行展开成几块；一页里头一次用到一个片段时，链接它的笔记本。"""
    module, _, name = (part.strip() for part in line.partition(":"))
    try:
        if kind == "source":
            return [_source(vault, line)]
        if kind == "flow":  # 这张图由站点的脚本画，脚本也导出了
            return [fence.fences(fence.Context(vault))["flow"](line)]
        blocks = list(_cells(vault, uri, module, name))
    except RizhiError as error:
        return [_trouble(f"{line}：{error.within(vault.root)}")]
    if module not in linked:
        linked.add(module)
        book = Link(f"snippets/{module}.py 的笔记本", notebook_uri(module))
        blocks.append(parts_markdown((book,), uri))
    return blocks


def _cells(vault: Vault, uri: str, module: str, title: str) -> Iterator[str]:
    path = cells.snippet_file(vault, module)
    loaded = records.load(vault, path)
    parsed, record = loaded.source, loaded.record
    for cell in (parsed.cell(title),) if title else parsed.code_cells:
        yield _code(cell.source, "python", f"snippets/{path.name} · {cell.title}", cell.line)
        out = record.output(cell.title) if record else None
        printed = ((out.text, "输出"), (out.stderr, "标准错误")) if out else ()
        for text, name in printed:
            if text:
                yield _code(text.rstrip("\n"), "text", name)
        for number, figure in enumerate(out.figures if out else (), 1):
            if figure:
                at = fence.figure_uri(module, parsed.code_cells.index(cell) + 1, number)
                alt = parts_markdown((figures.seen(figure) or cell.title,), uri)
                yield f"![{alt}]({relative(uri, at)}){{.rz-figure}}"
    if trouble := fence.trouble_of(loaded):
        yield _trouble(trouble)


def _source(vault: Vault, line: str) -> str:
    shown = read_fence_line(vault, line)
    where = f"{vault.relative(shown.path)} 第 {shown.lines} 行"
    return _code(shown.source, "python", where, shown.first)


def _reference(vault: Vault, module: str) -> str:
    """一个模块的参考页：全部源码，每个类与函数一节，别处链接到它的锚点照样有。"""
    try:
        path = documented(vault, module)
        text = read_text(path)
        body = cells.syntax_tree(path, text).body
    except RizhiError as error:
        return _trouble(error.within(vault.root))
    lines, name = text.splitlines(), vault.relative(path)
    nodes = [node for node in body if isinstance(node, _DEFINITIONS)]
    # 连同装饰器，从第几行起
    starts = [min(part.lineno for part in (node, *node.decorator_list)) for node in nodes]
    ends = [*(start - 1 for start in starts), len(lines)]
    parts = [_code("\n".join(lines[: ends[0]]).rstrip(), "python", name, 1)]
    for node, start, end in zip(nodes, starts, ends[1:], strict=True):
        parts.append(f"## {node.name} {{ #{module}.{node.name} }}")
        parts.append(_code("\n".join(lines[start - 1 : end]).rstrip(), "python", name, start))
    return "\n\n".join(parts)


def _code(source: str, language: str, title: str, first: int = 0) -> str:
    """一个代码块；里面若有一串反引号，围栏就比它长。"""
    ticks = "`" * max([3, *(len(run) + 1 for run in _TICKS.findall(source))])
    title = title.replace('"', "”").replace("`", "'")
    numbers = f' linenums="{first}"' if first else ""
    return f'{ticks}{language} title="{title}"{numbers}\n{source}\n{ticks}'


def _trouble(message: str) -> str:
    return f"> **{parts_markdown((message,), '')}**"


def _joined(text: str) -> str:
    """两个汉字之间的换行不变成空格：去掉它；「形状：」这样的行另起一行。"""
    return spliced(text, _softened(parse(text)))


def _softened(document: Document) -> Iterator[tuple[int, int, str]]:
    text = document.text
    ends = {link.end: link.text for link in document.links}
    for block in (block for block in document.blocks if block.kind in ("paragraph", "item")):
        for match in _NEWLINE.finditer(text, block.start, block.end):
            at, end = match.span()
            if document.hidden(at):
                continue
            if LABEL.match(text, end):
                yield at, at, "  "
            elif _BEFORE.search(ends.get(at, text[block.start : at])) and _AFTER.match(text, end):
                yield at, end, ""
