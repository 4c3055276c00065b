"""默写与「哪个检验会红」：出哪些题、给他改的起始代码、提示，与判。

题都由语法树得出，答案都由跑出来（`proving` 算好，存在 `.rizhi/drills/`）；判的时候换上他写的，重放
记下的调用，再跑那篇笔记的检验。
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from rizhi.errors import RizhiError
from rizhi.page import Note
from rizhi.recall import log, playback, schedule, traces
from rizhi.recall.cards import CAUGHT, RECITED, Card, Verdict
from rizhi.recall.mutants import functions
from rizhi.recall.playback import Bench
from rizhi.recall.replay import Cells
from rizhi.recall.traces import Call, Drill, Keys, Question, Questions
from rizhi.snippets.cells import comments, parse, span
from rizhi.vault import Vault, read_text

LINE_DAYS, BODY_DAYS = 7, 30  # 稳定度不到这么多天：补一行；写函数体；再往后连文档字符串也没有
_SHAPE = re.compile(r"#\s*\(")  # 行末的形状注释


# ---- 出题 ----


def cards(vault: Vault) -> list[Card]:
    """算过、证明过、键没有变的题，按笔记与名字；不载 torch，不跑片段。"""
    return [card for note in proven(vault).notes for card in note]


@dataclass(frozen=True)
class Proven:
    """算过的全部：各个函数（没有算的是 None）、各篇的题，与排好的卡片。"""

    drills: dict[str, Drill | None]
    questions: list[Questions]
    notes: list[list[Card]]


def proven(vault: Vault) -> Proven:
    """读出算过的；键变了的不算。"""
    named = traces.symbols(vault)
    if not named or not (vault.root / ".rizhi" / traces.FOLDER).is_dir():
        return Proven(dict.fromkeys(named), [], [])
    keys = Keys(vault)
    drills = {s: traces.current_drill(vault, keys, s, note) for s, note in named.items()}
    notes = traces.finished(vault)
    found = {note.slug: traces.current_questions(vault, keys, note) for note in notes}
    questions = {slug: one for slug, one in found.items() if one}
    made = []
    for note in notes:
        offered = [d for d in drills.values() if d and not d.why and d.note == note.slug]
        asked = questions[note.slug].asked if note.slug in questions else ()
        made.append(
            [*(_recite(vault, d) for d in offered), *(_catch(vault, note, q) for q in asked)]
        )
    return Proven(drills, list(questions.values()), made)


def _recite(vault: Vault, drill: Drill) -> Card:
    piece = Piece.read(vault, drill.symbol)
    about = ast.get_docstring(piece.node) or ""
    text = f"{drill.symbol}\n{about.partition(chr(10))[0]}".rstrip()
    return Card(drill.note, RECITED, text, piece.source, piece.where(vault), drill.symbol)


def _catch(vault: Vault, note: Note, question: Question) -> Card:
    listed = "\n".join(f"{n}. {title}" for n, title in enumerate(question.checks, 1))
    text = f"{question.symbol} 改坏一处：\n    {question.text}\n哪个检验会红？\n{listed}"
    where = Piece.read(vault, question.symbol).where(vault)
    return Card(note.slug, CAUGHT, text, question.red, where, question.symbol)


# ---- 源码里的一个函数 ----


@dataclass(frozen=True)
class Piece:
    """源码包里的一个函数：整个文件的原文、它的语法树，与第几行到第几行。"""

    symbol: str
    path: Path
    text: str
    node: ast.FunctionDef
    first: int
    last: int

    @classmethod
    def read(cls, vault: Vault, symbol: str) -> "Piece":
        """异常：没有这个模块或名字，抛 RizhiError。"""
        _, path, name = traces.split(vault, symbol)
        text = read_text(path).replace("\r\n", "\n")
        node = functions(text, name)[name]
        return cls(symbol, path, text, node, *span(node))

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")[self.first - 1 : self.last]

    @property
    def source(self) -> str:
        return dedent("\n".join(self.lines)) + "\n"

    def where(self, vault: Vault) -> str:
        return f"{vault.relative(self.path)}:{self.first}"

    @property
    def body(self) -> list[ast.stmt]:
        """函数体，文档字符串不算。"""
        return self.node.body[1:] if ast.get_docstring(self.node) else self.node.body

    def replaced(self, said: str) -> str:
        """函数换成 `said` 之后的整个文件。"""
        lines = self.text.split("\n")  # 不用 splitlines：换页符之类不是语法树的行
        put = indent(said.strip("\n"), " " * self.node.col_offset)
        return "\n".join([*lines[: self.first - 1], put, *lines[self.last :]])


# ---- 起始代码与提示 ----


def start(vault: Vault, card: Card) -> str:
    """给他改的起始代码：记得越牢，留下的越少；空着要写的是 `...`，形状注释留着。

    异常：没有这个函数了，抛 RizhiError。
    """
    if card.kind != RECITED:
        return ""
    piece, chosen, days = _blank(vault, card)
    if chosen:
        return _without_line(piece, chosen)
    return _without_body(piece, docstring=days < BODY_DAYS)


def hints(vault: Vault, card: Card) -> tuple[str, ...]:
    """一步一步的提示：用到的名字，第一行，下一行……最后一行不说。

    异常：没有这个函数了，抛 RizhiError。
    """
    if card.kind != RECITED:
        return (f"改坏的是 {card.symbol} 里的一句：先想它算出来的哪一个数会变。",)
    piece, chosen, _ = _blank(vault, card)
    wanted = [chosen] if chosen else piece.body
    lines = piece.text.split("\n")[wanted[0].lineno - 1 : wanted[-1].end_lineno]
    shown = [line for line in dedent("\n".join(lines)).splitlines() if line.strip()]
    first, *rest = shown[:-1] or [f"{shown[0][: len(shown[0]) // 2]}…"]
    names = "、".join(_names(wanted)) or "没有别的名字"
    return (
        f"用到的名字：{names}",
        f"第一行：{first}",
        *(f"下一行：{line}" for line in rest),
    )


def _blank(vault: Vault, card: Card) -> tuple[Piece, ast.stmt | None, float]:
    """问到的函数，空着的是哪一句（None 是整个函数体），与这一题的稳定度（天）。"""
    piece = Piece.read(vault, card.symbol)
    days, count = _strength(vault, card)
    return piece, _line(piece, count) if days < LINE_DAYS else None, days


def _strength(vault: Vault, card: Card) -> tuple[float, int]:
    """这一题的稳定度（天）与答过的次数；没有问过都是 0。"""
    states = schedule.replay(log.read(vault)[0]).values()
    mine = [s for s in states if s.kind == card.kind and s.text.partition("\n")[0] == card.symbol]
    state = max(mine, key=lambda one: one.reviews, default=None)
    return (state.memory.stability or 0.0, state.reviews) if state else (0.0, 0)


def _line(piece: Piece, count: int) -> ast.stmt | None:
    """补哪一行：值得写的几句里轮流；没有就是 None。"""
    lines = piece.text.split("\n")
    simple = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr
    worth = [
        node
        for inside in piece.body
        for node in ast.walk(inside)
        if isinstance(node, simple)
        and not isinstance(node.value, ast.Name | ast.Constant | None)
        and ast.unparse(node) != "super().__init__()"
        and not lines[node.lineno - 1][: node.col_offset].strip()
    ]
    return worth[count % len(worth)] if worth else None


def _without_line(piece: Piece, node: ast.stmt) -> str:
    lines = piece.text.split("\n")
    last = node.end_lineno or node.lineno
    comments = [c for at, c in _shapes(piece.text).items() if node.lineno <= at <= last]
    hole = f"{' ' * node.col_offset}...{'  ' if comments else ''}{''.join(comments[-1:])}"
    kept = [*lines[piece.first - 1 : node.lineno - 1], hole, *lines[last : piece.last]]
    return dedent("\n".join(kept)) + "\n"


def _without_body(piece: Piece, *, docstring: bool) -> str:
    lines = piece.text.split("\n")
    said = piece.node.body[0]
    keep = docstring and said is not piece.body[0]
    head = lines[piece.first - 1 : (said.end_lineno or 0) if keep else said.lineno - 1]
    if not head:  # 整个函数写在一行里
        head = [lines[said.lineno - 1][: said.col_offset].rstrip()]
    while not head[-1].strip() or head[-1].lstrip().startswith("#"):
        head.pop()
    margin = " " * (piece.node.col_offset + 4)
    shapes = [c for at, c in _shapes(piece.text).items() if said.lineno <= at <= piece.last]
    return dedent("\n".join([*head, *(margin + c for c in shapes), f"{margin}..."])) + "\n"


def _shapes(text: str) -> dict[int, str]:
    """每一行末尾的形状注释。"""
    return {c.start[0]: c.string for c in comments(text) if _SHAPE.match(c.string)}


def _names(nodes: Sequence[ast.stmt]) -> list[str]:
    """用到的函数、方法与属性，按写下的次序；自己赋值的局部名字不算。"""
    walked = [node for one in nodes for node in ast.walk(one)]
    made = {n.id for n in walked if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    inner = {id(n.value) for n in walked if isinstance(n, ast.Attribute)}
    found = [
        node
        for node in walked
        if isinstance(node, ast.Name | ast.Attribute)
        and id(node) not in inner
        and not (isinstance(node, ast.Name) and node.id in made)
    ]
    told = (_dotted(n) for n in sorted(found, key=lambda n: (n.lineno, n.col_offset)))
    return list(dict.fromkeys(told))


def _dotted(node: ast.expr) -> str:
    """`torch.cat`；挂在一个算出来的东西上的，只说 `.view`。"""
    said = ast.unparse(node)
    plain = re.fullmatch(r"[\w.]+", said)
    return said if plain else f".{said.rpartition('.')[2]}"


# ---- 判 ----


def grade(vault: Vault, card: Card, said: str) -> Verdict:
    """判一次作答：默写的重放各次调用、跑那篇的检验，问检验的看选得对不对。

    异常：题没有算过、不是本机算的、源码又改过了，抛 RizhiError，说要重算；缺了库，说怎么装。
    """
    if card.kind == CAUGHT:
        return _graded_choice(card, said.strip())
    piece, drill = Piece.read(vault, card.symbol), traces.read_drill(vault, card.symbol)
    calls = traces.read_calls(vault, drill) if drill else None
    if drill is None or calls is None or piece.source != card.answer:
        raise RizhiError(f"{card.symbol} 改过了，或还没有算过：运行 rizhi drills 再来。")
    said = dedent(said.replace("\r\n", "\n").expandtabs(4))  # 网页的文本框写 CRLF
    if fault := _unfit(piece, said):
        return Verdict(False, (f"不对：{fault}",))
    limit = max(playback.PATIENCE, playback.TIMES * drill.milliseconds / 1000)
    text, cells = piece.replaced(said), _cells(vault, drill)
    got = playback.answer(Bench(vault), drill.symbol, text, calls, cells, limit)
    paths = (vault.snippets / f"{stem}.py" for stem in {drill.snippet, *drill.used.snippets})
    if playback.unimportable(got) and (lacking := playback.lacking(vault, paths)):
        raise RizhiError(lacking)  # 错不在他写的
    return _verdict(piece, drill, calls, got)


def _graded_choice(card: Card, said: str) -> Verdict:
    titles = card.choices
    chosen = titles[int(said) - 1] if said.isdecimal() and 0 < int(said) <= len(titles) else said
    if chosen not in titles:
        raise RizhiError(f"没有这一项：写 1 到 {len(titles)} 的编号，或那一格的标题。")
    right = chosen == card.answer
    return Verdict(right, ("对。",) if right else (f"不对：「{chosen}」照样是绿的。",))


def _unfit(piece: Piece, said: str) -> str:
    """他写的不是一个同名的函数，哪里不对；没有毛病是空串。"""
    try:
        body = ast.parse(said).body
    except SyntaxError as error:
        return f"第 {error.lineno or 1} 行有语法错误：{error.msg}。"
    except (ValueError, RecursionError, MemoryError):
        return "读不懂：有 NUL，或嵌套太深。"
    wanted = piece.node.name
    more = [
        f"第 {node.lineno} 行「{ast.unparse(node).partition(chr(10))[0]}」"
        for node in body
        if not (isinstance(node, ast.FunctionDef) and node.name == wanted)
    ]
    if more:
        told = "、".join(more)
        return f"这里只写一个函数 {wanted}，别的去掉：{told}；要 import 就写进函数里。"
    return "" if len(body) == 1 else f"这里只写一个函数 {wanted}，你写了 {len(body)} 个。"


def _cells(vault: Vault, drill: Drill) -> Cells | None:
    """那篇笔记要跑的格子。"""
    path = vault.snippets / f"{drill.snippet}.py"
    return Cells(parse(path), drill.cells) if drill.cells else None


def _verdict(piece: Piece, drill: Drill, calls: Sequence[Call], got: playback.Answered) -> Verdict:
    off = playback.wrong(calls, got)
    red = {title: outcome for title, outcome in got.cells.items() if outcome}
    proof = f"这一题抓得住 {drill.tried} 个已知错误里的 {drill.caught} 个。"
    if got.broken:
        return Verdict(False, (f"不对：一载入就出错{_told(piece, got.broken)}。",))
    if not (off or red or got.fault):
        count = sum(title.startswith("检验") for title in got.cells)
        checks = f"，{count} 格检验都过" if count else ""
        return Verdict(True, (f"对：{len(calls)} 次调用的结果都一样{checks}。", proof))
    lines = [
        f"{_which(calls[at])}：{said.rstrip('。')}{_line_of(piece, got.outcomes[at])}。"
        f"{_drawn(calls[at], got.outcomes[at])}"
        for at, said in off.items()
    ]
    if got.fault:
        at = len(got.outcomes)
        where = f"{_which(calls[at])}：" if at < len(calls) else "跑检验的时候："
        lines.append(where + got.fault)
    lines += [f"「{title}」红了{_told(piece, outcome)}。" for title, outcome in red.items()]
    more = [f"{len(calls)} 次调用里 {len(off)} 次不对。"] if len(off) > 1 else []
    seen = {at: playback.symptom(got.outcomes[at]) for at in off}
    known = (drill.symptoms or {}).get(playback.pattern(seen, range(len(calls))), "")
    named = f"与{_bug(known)}的症状一样。" if known and not got.fault else ""
    told = (f"不对：{lines[0]}", *more, *filter(None, [named]), *lines[len(off) or 1 :])
    return Verdict(False, told, named)


def _which(call: Call) -> str:
    return f"{call.snippet} 的第 {call.number} 次调用"


def _drawn(call: Call, outcome: Mapping[str, Any]) -> str:
    """取随机数的一次：写得对而层造的次序不同，数也不一样。"""
    told = call.inputs.generators and "raised" not in outcome
    return "这一次要取随机数，取的次序也要与原来的一样。" if told else ""


def _told(piece: Piece, outcome: Mapping[str, Any]) -> str:
    said = f"：{outcome['raised']}"
    said += f"：{outcome['said'].rstrip('。')}" if outcome.get("said") else ""
    return said + _line_of(piece, outcome)


def _line_of(piece: Piece, outcome: Mapping[str, Any]) -> str:
    """错在他写的第几行；不在里面的不说。"""
    line = outcome.get("line", 0) - piece.first + 1
    return f"（你写的第 {line} 行）" if line > 0 and "raised" in outcome else ""


def _bug(text: str) -> str:
    """一个已知的错怎么称呼：改坏一处的，写出改坏之后的那一句，不写原来的，免得说破。"""
    if text.startswith("去掉 "):
        return "漏掉一句"
    if "«" not in text:
        return f"「{text}」"
    return f"写成「{re.sub('«(?:.*?) → (.*?)»', lambda found: found[1], text)}」"


# ---- 列出 ----


def proven_lines(found: Proven) -> Iterator[str]:
    """每题一行：抓住几个，判一次多久；没有出的说为什么。"""
    for drill in filter(None, found.drills.values()):
        if not drill.why:
            yield (
                f"{drill.symbol} · {drill.note} · "
                f"抓得住 {drill.tried} 个已知错误里的 {drill.caught} 个 · "
                f"{drill.calls} 次调用，判一次 {drill.milliseconds} 毫秒"
            )
    for drill in filter(None, found.drills.values()):
        if drill.why:
            yield f"没有出 {drill.symbol} · {drill.note}：{drill.why}"
    if not found.drills:
        yield "还没有题：没有笔记用 source 围栏点名源码包里的函数。"
        return
    offered = sum(bool(d and not d.why) for d in found.drills.values())
    asked = sum(len(one.asked) for one in found.questions)
    yield f"默写 {offered} 题，没有出 {len(found.drills) - offered} 个；哪个检验会红 {asked} 题。"


def proven_dict(found: Proven) -> dict[str, Any]:
    """`--json`。"""
    keys = ("symbol", "note", "why", "caught", "tried", "calls", "milliseconds", "through")
    drills = [{key: getattr(d, key) for key in keys} for d in found.drills.values() if d]
    asked = [
        {"note": one.note, "symbol": q.symbol, "text": q.text, "red": q.red}
        for one in found.questions
        for q in one.asked
    ]
    return {"drills": drills, "questions": asked}
