"""一天的总结：读出章节、条目与链接，一个字节也不丢；纯函数。

他是手打的：标题可能写成「## 二 .思考」，冒号有全角有半角，条目会续行、会嵌套。
一页被切成前置数据与若干节，拼起来就是原文；读不懂的行留在它所在的那一节里。
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rizhi.frontmatter import body_start

GOALS, DONE, ACHIEVED, THOUGHTS = "今日目标", "今日完成", "今日成果", "思考"
CHALLENGE, PLAN = "遇到的挑战与明日计划", "明日计划"
CANONICAL = (GOALS, "主线任务拆解", DONE, ACHIEVED, THOUGHTS, CHALLENGE, "今日总结", PLAN)

_B = r"[ \t\u3000\xa0]"  # 空白：他的空行里什么空格都有
_END = rf"{_B}*\r?(?:\n|\Z)"
_RULE = rf"(?!(?:{_B}*-){{3,}}{_END}|(?:{_B}*\*){{3,}}{_END})"  # 「- - -」是分隔线
# 编号后面可以不空格，但只在不会认错时：「1、llm」「1.学习」是条目，「3.14」不是
_BULLET = rf"(?:[-*+](?={_B}|\r?\n|\r?\Z)|\d{{1,9}}[.)、．](?={_B}|\r?\n|\r?\Z|[^\x00-\x7f\s]))"
_BULLET = rf"(?:{_BULLET}|\d{{1,9}}[、．](?=\S))"
_LABEL = r"(?:\*\*)?明日计划(?:\*\*)?[ \t]*[：:][ \t]*(?:\*\*)?"
_HASHES = r"(?:#(?=[ \t\u3000\xa0])|#{2,6}(?=[^#\s]|[ \t\u3000\xa0]))"
_FENCE = r"(?:`{3,}(?=[^`\n]*\n)|~{3,})"
_BEFORE = r"[^\n【]*+(?:【(?!待办】)[^\n【]*+)*+"
# 一行以这些开头，就不是上一条的续行
_START = rf"(?:{_B}*(?:{_HASHES}|{_FENCE}|{_LABEL}|{_BULLET})|{_BEFORE}【待办】)"
_MORE = rf"(?:\n(?!{_START}|{_END})[^\n]*)*"
_TOKEN = re.compile(
    rf"\n(?P<indent>{_B}*)(?:"
    rf"(?P<hashes>{_HASHES}){_B}*(?P<heading>[^\n]*)"
    rf"|(?P<fence>{_FENCE})[^\n]*(?:\n(?!{_B}*(?P=fence))[^\n]*)*\n{_B}*(?P=fence)[^\n]*"
    rf"|{_RULE}(?P<bullet>{_BULLET}){_B}*"
    rf"(?:\[(?P<box>[ \u3000xX-])\](?={_B}|\r?\n|\r?\Z))?(?P<text>[^\n]*{_MORE})"
    rf"|{_LABEL}(?P<plan>[^\n]*{_MORE})"
    rf"|(?P<before>{_BEFORE})(?P<bare>【待办】[^\n]*{_MORE})"
    r")"
)
_NUMBERING = re.compile(r"\(?(?:[一二三四五六七八九十]+|\d+)\)?\s*[.、:)]?\s*")
_LINK = re.compile(r"\[([^\]\n]*)\]\(\s*<?([^)>\s]+)>?[^)\n]*\)")
_BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,})[^`\n]*\n(?:.*\n)*?[ \t]*\1.*$|<!--[^\0]*?-->", re.M)
_INLINE = re.compile(r"`[^`\n]+`")
_HINT = re.compile(r"\[[ \u3000xX-]\]|【待办】|~~")
# 条目、节与链接是 NamedTuple：同样不可变，造起来比冻结的 dataclass 快，十年的日志里有几万个
_Token = tuple[str, re.Match[str], int, tuple[str, str]]  # 种类、匹配、起点、（节, 小标题）
_STOPS = "，。；：、！？（）「」《》"
_STATES = {"x": "done", "X": "done", "-": "dropped"}


class Item(NamedTuple):
    """一个条目；紧跟的续行并进 `text`，隔了空行又缩进的写在 `detail`。

    `start` 与 `end` 是它在原文里的字符位置（到 `text` 为止），`box` 是方括号里那个字符的位置，
    没有勾选框时是 -1。
    """

    text: str
    state: str | None
    start: int
    end: int
    box: int = -1
    indent: int = 0
    bullet: str = "-"
    section: str = ""
    topic: str = ""  # 这一节里更深的小标题
    labelled: bool = False  # 首行写了【待办】
    detail: tuple[str, ...] = ()

    @property
    def todo(self) -> bool:
        """是不是要做的事：有勾选框，或首行写了【待办】；空的勾选框是模板文字。"""
        return bool(self.text) and (self.box >= 0 or self.labelled)


class Section(NamedTuple):
    """一节：`name` 是规范名，认不出就照他写的；`level` 为 0 表示行内的「明日计划：」。"""

    name: str
    level: int
    start: int
    body: int  # 标题行之后
    raw: str
    items: tuple[Item, ...]
    prose: tuple[str, ...]

    @property
    def known(self) -> bool:
        return self.name in CANONICAL

    @property
    def end(self) -> int:
        return self.start + len(self.raw)


@dataclass(frozen=True, slots=True)
class Entry:
    """一页总结：`head` 是前置数据（或 BOM），其余都在某一节里。"""

    head: str
    sections: tuple[Section, ...]

    @property
    def stubs(self) -> tuple[Section, ...]:
        """只写了主题名、等着写成笔记的二级标题：没有正文，或只有简短的提问。"""
        return tuple(s for s in self.sections if s.level == 2 and not s.known and _is_stub(s))

    @property
    def items(self) -> Iterator[Item]:
        return (item for section in self.sections for item in section.items)

    @property
    def todos(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.todo)

    def section(self, name: str) -> tuple[Section, ...]:
        """同一个规范名的全部章节：计划可能单成一节，也可能写在挑战里。"""
        return tuple(s for s in self.sections if s.name == name)


class Link(NamedTuple):
    """页内的一个链接；`line` 从 1 数起，`start` 是目标在原文里的字符位置。"""

    text: str
    target: str
    line: int
    start: int


def parse(text: str) -> Entry:
    """读一页总结。"""
    offset = body_start(text)
    tokens = list(_tokens(text))
    heads = [n for n, token in enumerate(tokens) if token[0] in ("heading", "plan")]
    starts = [tokens[n][2] for n in heads]
    sections = [
        _section(text, tokens[n:stop], end)
        for n, stop, end in zip(
            heads, [*heads[1:], len(tokens)], [*starts[1:], len(text)], strict=False
        )
    ]
    first = starts[0] if starts else len(text)
    if first > offset:  # 第一个标题之前的话，也是一节，只是没有名字
        mine = tokens[: heads[0] if heads else None]
        lead = _filled(text, mine, ("", 1, offset, offset, text[offset:first]))
        sections.insert(0, lead)
    return Entry(text[:offset], tuple(sections))


def render(entry: Entry) -> str:
    """还出原文。"""
    return entry.head + "".join(section.raw for section in entry.sections)


def todos(text: str) -> list[Item]:
    """只要待办的条目，不建章节。

    没有勾选框而被划掉的条目也在其中：它可能是哪条待办的结局。
    """
    found = (
        _item(match, start, where)
        for kind, match, start, where in _tokens(text)
        if kind != "heading" and _HINT.search(match[0])
    )
    return [item for item in found if item.todo or item.state == "dropped"]


def links(text: str) -> list[Link]:
    """页内的 Markdown 链接，代码与注释里的不算。"""
    if "](" not in text:
        return []
    prose = outside_code(text)
    return [
        Link(m[1], m[2], prose.count("\n", 0, m.start()) + 1, m.start(2))
        for m in _LINK.finditer(prose)
        if prose[m.start() - 1 : m.start()] != "!"  # 图片不是链接
    ]


def outside_code(text: str) -> str:
    """代码与注释换成等长的空白：位置不变，内容不算。"""
    text = outside_blocks(text)
    if "`" in text:
        text = _INLINE.sub(lambda found: " " * len(found[0]), text)
    return text


def outside_blocks(text: str) -> str:
    """代码块与注释换成等长的空白；行内的代码留着。"""
    if "```" in text or "~~~" in text or "<!--" in text:
        text = _BLOCK.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def unlinked(text: str) -> str:
    """链接（连同它的文字）换成等长的空白：剩下的才是没有链接的话。"""
    return _LINK.sub(lambda found: " " * len(found[0]), text) if "](" in text else text


def line_of(text: str, position: int) -> int:
    """字符位置在第几行，从 1 数起。"""
    return text.count("\n", 0, position) + 1


@lru_cache(maxsize=4096)
def canonical(heading: str) -> str:
    """标题的规范名：去掉编号、星号、空白与末尾的冒号；认不出的照他写的。"""
    bare = heading.strip().rstrip("#").replace("*", "").strip()
    plain = _NUMBERING.sub("", unicodedata.normalize("NFKC", bare), count=1)
    plain = re.sub(r"\s", "", plain).rstrip(":.。")
    return plain if plain in CANONICAL else bare


def _tokens(text: str) -> Iterator[_Token]:
    """认得出的块；围栏里的一概跳过。"""
    offset = body_start(text)
    inside, topic, level = "", "", 0
    for match in _TOKEN.finditer("\n" + text[offset:]):
        start = offset + match.start()
        kind = match.lastgroup
        if kind == "heading":
            name = canonical(match["heading"])
            if len(match["hashes"]) <= 2 or name in CANONICAL or not level:
                inside, topic, level = name, "", len(match["hashes"])
                yield "heading", match, start, (inside, "")
            else:
                topic = name
        elif kind == "plan" and inside == CHALLENGE:
            inside, topic = PLAN, ""
            yield "plan", match, start, (inside, topic)
        elif kind != "fence":
            yield "item", match, start, (inside, topic)


def _section(text: str, tokens: list[_Token], end: int) -> Section:
    kind, match, start, (name, _) = tokens[0]
    raw = text[start:end]
    if kind == "plan":  # 标签之后的字就是第一条
        return _filled(text, tokens, (name, 0, start, start, raw))
    body = min(start + len(match[0]), end)
    level = len(match["hashes"])
    return _filled(text, tokens[1:], (name, level, start, body, raw))


def _filled(text: str, tokens: list[_Token], known: tuple[str, int, int, int, str]) -> Section:
    """填上条目与散文；`known` 是名字、级别、起点、正文起点与原文。"""
    _, _, start, at, raw = known
    items: list[Item] = []
    prose: list[str] = []
    for item in (_item(match, begin, where) for _, match, begin, where in tokens):
        if item.text or item.bullet:
            _gap(text[at : item.start], items, prose)
            items.append(item)
            at = item.end
    _gap(text[at : start + len(raw)], items, prose)
    return Section(*known, tuple(items), tuple(prose))


def _gap(text: str, items: list[Item], prose: list[str]) -> None:
    """两条之间的文字：紧接着条目又缩进的算它的细节，其余是散文。"""
    if not text or text.isspace():
        return
    detail: list[str] = []
    inside = bool(items)
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped:
            inside = inside and line[:1] in " \t\u3000"
            (detail if inside else prose).append(stripped)
    if detail:
        items[-1] = items[-1]._replace(detail=(*items[-1].detail, *detail))


def _item(match: re.Match[str], start: int, where: tuple[str, str] = ("", "")) -> Item:
    indent, _, _, _, bullet, box, text, plan, _, bare = match.groups()
    shift = start - match.start() - 1
    body = text if text is not None else plan if plan is not None else bare
    state = _STATES.get(box, "open") if box else None
    joined = _joined(body)
    if state != "done" and "~~" in body and struck(joined):
        state = "dropped"
    return Item(
        joined,
        state,
        shift + match.start("bare") if bare else start,
        shift + match.end(),
        shift + match.start("box") if box else -1,
        len(indent.expandtabs(4)) if indent else 0,
        bullet or "",
        *where,
        "【待办】" in body and "【待办】" in body.partition("\n")[0],
    )


def _joined(text: str) -> str:
    return joined(line.strip() for line in text.split("\n")) if "\n" in text else text.strip()


def joined(lines: Iterable[str]) -> str:
    """几行接成一行：汉字与标点之间不加空格，其余隔一格。"""
    made = ""
    for line in lines:
        wide = made[-1:] > "\u2e7f" and (
            line[:1] > "\u2e7f" or made[-1] in "，。；：、！？（「》」）"
        )
        made += line if wide or not made else f" {line}"
    return made


def struck(text: str) -> bool:
    """整条都被划掉了；后缀、期限与句号不算。"""
    bare = re.sub(r"[（(](?:已顺延|自 ?\d)[^）)]*[）)]", "", text).replace("【待办】", "")
    return bool(re.fullmatch(r"[*\s]*~~.+~~[*\s。.]*", bare))


def _is_stub(section: Section) -> bool:
    questions = all(
        i.text.endswith(("？", "?")) and len(i.text) < 40 and not i.detail for i in section.items
    )
    return not section.prose and questions
