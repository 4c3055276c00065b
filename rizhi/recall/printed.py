"""「它会打印什么」：哪些格子问得成，题面给什么，打的字与记录比。

题面不许说出答案：标题、注释、断言、写错的函数的文档字符串都先遮住；用到的名字在前面的格子里是
怎么来的，一起给，不然答不出。量出来的小数、异常的原话没有人猜得到，这样的坏格子问「会错在哪」，
自己评；别的格子就不问。
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rizhi.snippets.cells import Cell, Snippet, comments, names, span
from rizhi.snippets.compare import same_text

LINES, WIDTH = 3, 90  # 打印的至多这么长：要他一字一字地打
TOLD = 6  # 自己评的，看得完的就行
CODE, GIVEN = 16, 12  # 题面的代码至多几行，前面给的至多几行
READ = 24  # 自己评的，前面给的至多几行；不给就不知道用到的名字是什么，再多的不问
BAD = "坏"
_SHAPE = re.compile(r"#\s*(?:各 ?)?\((?=[^)]*[A-Z])[\w+*/, ]*\)\s*")
# 量出来的：不是整数、也不是几分之一的小数，与很大的数
_MEASURED = re.compile(r"\d\.(?!(?:0+|5|25|75)\b)\d|\de[-+]?\d|(?<![\w.])\d{5}|\d,\d{3}\b")
_ROOM = re.compile(r"\s*([,:=()\[\]{}|])\s*")
_TYPED = str.maketrans("，：（）【】＝", ",:()[]=")


@dataclass(frozen=True)
class Puzzle:
    """一格出成的题：`face` 是题面的代码，`sure` 说答案猜得到，判得了。"""

    face: str
    sure: bool


def puzzle(snippet: Snippet, cell: Cell, printed: str) -> Puzzle | None:
    """一格出成题；太长、印的没有人猜得到、又不是坏格子的，不出。"""
    lines, bad = printed.strip().splitlines(), cell.title.startswith(BAD)
    if not lines or cell.checks or cell.draws:
        return None
    code, given = masked(cell.source), "\n".join(map(masked, _given(snippet, cell)))
    length = len(given.splitlines())
    typed = length <= GIVEN and len(lines) <= LINES and max(map(len, lines)) <= WIDTH
    sure = typed and not _MEASURED.search(printed) and not _quotes_error(cell.source)
    if len(code.splitlines()) > CODE or not (
        sure or (bad and len(lines) <= TOLD and length <= READ)
    ):
        return None
    return Puzzle(f"{given}\n\n{code}" if given else code, sure)


# ---- 题面 ----


def masked(source: str) -> str:
    """一段代码遮住会说出答案的：注释（形状的留着）、断言、文档字符串、只为报错的 else。"""
    hidden = _hidden(ast.parse(source))
    kept: list[str] = []
    for number, line in enumerate(_without_comments(source), 1):
        blank = not line.strip()
        if number not in hidden and not (blank and (number - 1 in hidden or kept[-1:] == [""])):
            kept.append("" if blank else line)
    return "\n".join(kept).strip("\n")


def _hidden(tree: ast.Module) -> set[int]:
    """要遮的各行。"""
    hidden: list[ast.stmt] = []
    lines: set[int] = set()
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, [])
            if not isinstance(block, list):
                continue  # lambda 的、三目的，不是一块
            asserts = [part for part in block if isinstance(part, ast.Assert)]
            if node is tree or len(asserts) < len(block):  # 一块里只有断言，遮了就不成代码
                hidden += asserts
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            hidden += node.body[: len(node.body) > 1]
        if isinstance(node, ast.Try) and any(isinstance(n, ast.Raise) for n in node.orelse):
            above = max(part.end_lineno or 0 for h in node.handlers for part in h.body)
            lines.update(range(above + 1, (node.orelse[-1].end_lineno or 0) + 1))
    return lines.union(*(range(n.lineno, (n.end_lineno or n.lineno) + 1) for n in hidden))


def _without_comments(source: str) -> list[str]:
    lines = source.splitlines()
    for comment in comments(source):
        (row, column), kept = comment.start, _SHAPE.match(comment.string)
        lines[row - 1] = (lines[row - 1][:column] + (kept[0] if kept else "")).rstrip()
    return lines


def _given(snippet: Snippet, cell: Cell) -> list[str]:
    """前面的格子里，它用到的名字是怎么来的，依次的几句；import 不必给。"""
    earlier = [one for one in snippet.code_cells if one.line < cell.line]
    said = [pair for one in earlier for pair in _statements(one.source)]
    imports = [text for text, node in said if isinstance(node, ast.Import | ast.ImportFrom)]
    known = {name for text in imports for name in names(text)[0]}
    wanted, found = _needed(ast.parse(cell.source).body, set()) - known, []
    for text, node in reversed(said):
        if names(text)[0] & wanted or _changes(node, wanted):
            found.append(text)
            wanted = _needed([node], wanted) - known
    return found[::-1]


def _needed(body: Sequence[ast.stmt], after: set[str]) -> set[str]:
    """跑完这几句之后要用 `after`，之前就得有哪些名字；循环当它至少走一遍。"""
    for node in reversed(body):
        match node:
            case ast.For(target, source, inside):
                after = _used(source) | (_needed(inside, after) - {n.id for n in _stored(target)})
            case ast.While(test, inside):
                after = _used(test) | _needed(inside, after)
            case ast.If(test, inside, other):
                after = _used(test) | _needed(inside, after) | _needed(other, after)
            case ast.With(items, inside):
                given = {n.id for item in items for n in _stored(item.optional_vars)}
                after = _used(*(item.context_expr for item in items)) | (
                    _needed(inside, after) - given
                )
            case ast.Try(inside, handlers, other, last):
                after = _needed(last, after)
                caught = (_needed(one.body, after) - {one.name or ""} for one in handlers)
                after = _needed([*inside, *other], after).union(*caught)
            case _:
                bound, used = names(ast.unparse(node))
                after = (after if isinstance(node, ast.AugAssign) else after - bound) | used
    return after


def _used(*nodes: ast.expr) -> set[str]:
    return set[str]().union(*(names(ast.unparse(node))[1] for node in nodes))


def _stored(node: ast.AST | None) -> Iterator[ast.Name]:
    """`for` 与 `with` 定下的名字。"""
    return (n for n in ast.walk(node) if isinstance(n, ast.Name)) if node else iter(())


def _statements(source: str) -> Iterator[tuple[str, ast.stmt]]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        first, last = span(node)
        yield "\n".join(lines[first - 1 : last]), node


def _changes(node: ast.stmt, wanted: set[str]) -> bool:
    """这一句改不改其中一个：`x[0] = 1`、`x.add_(1)`、`del x[0]`；只打印的不算。"""
    for part in ast.walk(node):
        targets: Sequence[ast.expr] = ()
        if isinstance(part, ast.Assign):
            targets = part.targets
        elif isinstance(part, ast.AugAssign | ast.AnnAssign):
            targets = [part.target]
        elif isinstance(part, ast.Delete):
            targets = part.targets
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            targets = [part.value.func]
        if any(not isinstance(t, ast.Name) and _root(t) in wanted for t in targets):
            return True
    return False


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _quotes_error(source: str) -> bool:
    """打印了异常的原话：`except … as error` 之后，error 不只拿去问类型。"""
    nodes = list(ast.walk(ast.parse(source)))
    caught = {node.name for node in nodes if isinstance(node, ast.ExceptHandler)}
    kinds = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == "type"]
    asked = {id(argument) for call in kinds for argument in call.args}
    return any(isinstance(n, ast.Name) and n.id in caught and id(n) not in asked for n in nodes)


# ---- 判 ----


def difference(source: str, recorded: str, typed: str) -> str:
    """打的与记录的差在哪里，不说出记录；一样就是空串。

    像记录那样比：小数容许末位之差。空白与全角的标点不计较，print 里照写的字可以不打。
    """
    labels = _labels(source)
    want, got = _plain(recorded), _plain(typed)
    if _alike(" ".join(want), " ".join(got), labels):
        return ""
    for number, (one, other) in enumerate(zip(want, got, strict=False), 1):
        if not _alike(one, other, labels):
            same = _common(one, other)
            upto = f"写到「{same}」都对，后面不一样" if same else "不一样"
            return f"第 {number} 行{upto}。"
    return f"应是 {len(want)} 行，你写了 {len(got)} 行。"


def _plain(text: str) -> list[str]:
    lines = (" ".join(line.translate(_TYPED).split()) for line in text.strip().splitlines())
    return [_ROOM.sub(r"\1", line) for line in lines]


def _alike(recorded: str, typed: str, labels: Sequence[str]) -> bool:
    if same_text(recorded, typed):
        return True
    values = _values(recorded, labels)
    return bool(values) and same_text(values, _values(typed, labels))


def _values(line: str, labels: Sequence[str]) -> str:
    """一行里 print 照写的字之外的。"""
    for label in labels:
        line = line.replace(label, " ")
    return _ROOM.sub(r"\1", " ".join(line.split()))


def _labels(source: str) -> list[str]:
    """各处 print 里照写的字，长的在前。"""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            values = node.args if node.func.id == "print" else ()
            parts = [p for v in values for p in getattr(v, "values", [v])]
            said = (p.value for p in parts if isinstance(p, ast.Constant))
            found |= {line for text in said if isinstance(text, str) for line in _plain(text)}
    return sorted((text for text in found if re.search(r"\w", text)), key=len, reverse=True)


def _common(one: str, other: str) -> str:
    """两行开头相同的一段，断在词的边上。"""
    size = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    same = one[: min(len(one), len(other)) if size is None else size]
    return re.sub(r"[\w.]+$", "", same).strip()
