"""写简历时的素材：每一天的成果、它的主题与凭据；日记里的一句话改成简历里的一句。

改写只动认得出的：主语在前、以「写完」「做完」这样的话收尾的，把动词提到前面，
去掉当天的闲话与明天的打算；别的照原话。词都是常见的写法，不求全。
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from rizhi import links
from rizhi.errors import RizhiError
from rizhi.journal.day import ACHIEVED, achieved, achievements, nested, said
from rizhi.journal.lint import Written, read_written
from rizhi.markdown import Definition, Item, parse
from rizhi.page import Note, read_notes
from rizhi.vault import Vault, read_checks, read_text

ANSWERS = {"k": "keep", "s": "skip"}
LEFT_OUT = ("健身", "运动")  # 知识库没有设 resume_leaves_out 时
_LEAD = re.compile(r"\**([^。：:，,；;.()（）\[\]]{1,16}?)\**(?:[。：:]|\.(?!\d))\**\s*(?=\S)")
_LABEL = re.compile(r"\**([^。：:，,；;]{1,16}?)\**[。：:]?\**")
_VERB = (
    "整理|实现|完成|复习|总结|归纳|掌握|优化|重构|设计|比较|对比|解决|定位|训练|推导|证明|验证|修复|"
    "画|写|做|跑|弄|搞|理|读|看|学|练|标|调|测|算|推|证|修|改|搭|建|查|补|背|刷|训|存|接|排|讲|说|用"
)
_RESULT = "清楚|明白|完|出|通|好|懂|清|成|齐|对|透|熟|稳|顺|到|会"
_ENDED = "成形|成型|完结|收尾|完工|结束|完成"
_ACTED = re.compile(rf"(?:{_VERB})(?:{_RESULT}|了)|{_ENDED}|了$")
_ANY_VERB = re.compile(rf"{_VERB}|{_ENDED}|了|[是有把将]")
_AT_START = re.compile(rf"(?P<verb>(?:{_VERB})(?:{_RESULT})?)(?P<le>了)?")
_AT_END = re.compile(
    rf"(?P<what>.{{1,60}}?)(?:已经|全部|全都|基本|第一次|终于|都|也|就)*"
    rf"(?:(?P<verb>(?:{_VERB})(?:{_RESULT}))|(?P<ended>{_ENDED}))了?"
)
_BA = re.compile(rf"[把将](?P<what>.{{1,60}}?)(?:都|全部|也)*(?P<verb>(?:{_VERB})(?:{_RESULT}))了?")
# 明天的打算，连同那一句后面的都不要；昨天的事、还没做的，只去掉那一小句
_AHEAD = re.compile(r"(?:明天|明日|明早|后天|下周|下个月|下一步|接下来|回头|改天|打算|准备|计划)")
_ASIDE = re.compile(
    r"(?:昨天|昨晚|前天|上周|还没|还不|还差|还要|还得|后面|后续|以后|之后|只是|可惜)"
)
_ADVERB = re.compile(
    r"(?:今天|今晚|今早|今日|上午|下午|晚上|终于|总算|顺手|顺便|接着|然后|最后|又|也|就|再|先)"
)
_STOP = re.compile(r"[。！？；\n]+")
_COMMA = re.compile("，")


@dataclass(frozen=True, slots=True)
class Achievement:
    """一条成果：哪一天、属于什么主题、自己链接到哪些笔记；`details` 是它的子条目。"""

    date: date
    text: str
    topic: str
    notes: tuple[Note, ...]
    source: Path
    details: tuple[str, ...] = ()
    definitions: Mapping[str, Definition] | None = None

    @property
    def statement(self) -> str:
        """简历里的一句；开头的主题已经写在标题里了。"""
        return statement(_led(self.text)[1])


@dataclass(frozen=True)
class Material:
    """挑出来的成果、每一天的答复，与还没看过的日子；`left_out` 是不写进简历的各有几条。"""

    achievements: list[Achievement]
    left_out: dict[str, int]
    days: list[Written]
    answers: dict[date, str]
    checks: dict[str, list[str]]
    root: Path

    def markdown(self) -> str:
        """按主题分组的 Markdown；链接从知识库的根算起。"""
        groups: dict[str, list[Achievement]] = {}
        for each in self.achievements:
            groups.setdefault(each.topic.casefold().removesuffix("学习"), []).append(each)
        parts = []
        for group in groups.values():
            lines = [line for achievement in group for line in self._lines(achievement)]
            parts.append("\n".join([f"## {group[0].topic}", "", *lines]))
        return "\n\n".join(parts) or "还没有成果可用。"

    def as_dict(self) -> dict[str, Any]:
        """`--json` 的全部。"""
        return {
            "achievements": [self._item(achievement) for achievement in self.achievements],
            "left_out": self.left_out,
            "unseen": [str(day) for day, _ in self.unseen()],
        }

    def left_out_lines(self) -> list[str]:
        named = "、".join(f"{word} {count} 条" for word, count in self.left_out.items())
        what = f"\n没有列入：{named}（[tool.rizhi] 的 resume_leaves_out 说了算）。"
        return [what] if named else []

    def unseen(self, just: frozenset[date] = frozenset()) -> list[tuple[date, list[str]]]:
        """还没答过的每一天与它的成果；`just` 是刚刚答了的。"""
        return [
            (day.date, [f"- {line}" for line in _told(day)] or ["（没有写成果）"])
            for day in self.days
            if day.date not in self.answers and day.date not in just
        ]

    def unseen_lines(self, just: frozenset[date] = frozenset()) -> list[str]:
        left = self.unseen(just)
        if not left:
            return []
        first, _ = left[0]
        return [f"\n还有 {len(left)} 天没有看过，从 {first} 起；用 rizhi resume --walk 过一遍。"]

    def _lines(self, achievement: Achievement) -> Iterator[str]:
        source, known = achievement.source, achievement.definitions

        def moved(text: str) -> str:
            return links.moved(text, source, self.root / "resume.md", known)

        mark = "（已选用）" if self.answers.get(achievement.date) == "keep" else ""
        where = f"[{achievement.date}]({source.relative_to(self.root).as_posix()})"
        yield f"- {moved(achievement.statement)}（{where}）{mark}"
        for detail in achievement.details:
            yield f"    - {moved(statement(detail))}"
        for note in achievement.notes:
            proof = self._evidence(note)
            tests = f"，检验 {len(proof['tests'])} 格" if proof["tests"] else ""
            snippet = f"，片段 `{proof['snippet']}`{tests}" if proof["snippet"] else ""
            yield f"    - 笔记 [{note.title}]({proof['note']}){snippet}"

    def _item(self, achievement: Achievement) -> dict[str, Any]:
        return {
            "date": achievement.date.isoformat(),
            "topic": achievement.topic,
            "text": achievement.text,
            "statement": achievement.statement,
            "details": list(achievement.details),
            "evidence": [self._evidence(note) for note in achievement.notes],
            "answer": self.answers.get(achievement.date),
        }

    def _evidence(self, note: Note) -> dict[str, Any]:
        return {
            "note": note.path.relative_to(self.root).as_posix(),
            "snippet": f"snippets/{note.module}.py" if note.module in self.checks else None,
            "tests": list(self.checks.get(note.module, ())),
        }


def gather(
    vault: Vault, since: date | None, topic: str | None, warn: Callable[[str], None]
) -> Material:
    """读出全部素材；`since` 与 `topic` 只管列出哪些成果。"""
    days = read_written(vault, warn)
    notes = links.by_path(read_notes(vault))
    path = vault.root / "resume.jsonl"
    answers = read_answers(read_text(path), path) if path.is_file() else {}
    named = (topic or "").casefold()  # 主题大小写不论，含有就算
    wanted = [
        achievement
        for achievement in collect(days, notes)
        if (since is None or achievement.date >= since)
        and named in achievement.topic.casefold()
        and answers.get(achievement.date) != "skip"
    ]
    kept, left_out = sorted_out(wanted, _left_out(vault))
    return Material(kept, left_out, days, answers, read_checks(vault), vault.root)


def _left_out(vault: Vault) -> list[str]:
    """不写进简历的主题：知识库自己说的，没说就是健身与运动。"""
    words = vault.config.get("resume_leaves_out", list(LEFT_OUT))
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise RizhiError(
            "pyproject.toml 的 [tool.rizhi] resume_leaves_out 应是一列主题，"
            f'例如 ["健身"]，现在是 {words!r}。'
        )
    return words


# ---- 从页里读出成果，与答复：纯函数 ----


def collect(days: Iterable[Written], notes: Mapping[str, Note]) -> list[Achievement]:
    """今日成果的每一条，从早到晚。"""
    return [achievement for day in days for achievement in _of_day(day, notes)]


def sorted_out(
    achievements: Iterable[Achievement], words: Sequence[str]
) -> tuple[list[Achievement], dict[str, int]]:
    """写进简历的，与按主题（或开头的话）不写的各有几条。"""
    kept, counts = [], dict.fromkeys(words, 0)
    for achievement in achievements:
        word = next((word for word in words if _about(achievement, word)), None)
        if word is None:
            kept.append(achievement)
        else:
            counts[word] += 1
    return kept, {word: count for word, count in counts.items() if count}


def read_answers(text: str, path: Path) -> dict[date, str]:
    """`resume.jsonl` 里每一天的答复；同一天答过几次，以最后一次为准。

    异常：有一行读不懂，抛 RizhiError，写明行号。
    """
    answers: dict[date, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            data = json.loads(line) if line.strip() else None
            if data:
                answers[date.fromisoformat(data["date"])] = str(data["answer"])
        except (ValueError, KeyError, TypeError) as error:
            message = f"读不懂：{error}。改好这一行再来。"
            raise RizhiError(message, path, number) from error
    return answers


def answer_line(day: date, answer: str, today: date) -> bytes:
    """追加到 `resume.jsonl` 的一行；`answer` 是 k 或 s。"""
    data = {"date": str(day), "answer": ANSWERS[answer], "on": str(today)}
    return (json.dumps(data, ensure_ascii=False) + "\n").encode()


def _told(day: Written) -> Iterator[str]:
    """一天的成果，在终端里问他用不用。"""
    known = day.page.document.definitions
    return (links.text_only(line, known) for line in achievements(day.page))


def _about(achievement: Achievement, word: str) -> bool:
    topic, opening = achievement.topic.casefold(), achievement.text.lstrip("*")
    return word.casefold() in topic or opening.startswith(word)


def _of_day(day: Written, notes: Mapping[str, Note]) -> Iterator[Achievement]:
    for section in day.page.section(ACHIEVED):
        for at, line in section.lines:
            # 一行散文也是一条；代码、表格与「下面是：」这样的话不是
            skipped = line.startswith("|") or line.endswith(("：", ":"))
            if not skipped and not day.page.document.hidden(at):
                yield _achievement(day, line, section.topic(at), (), notes)
        outer, _ = nested(section.items)
        for item in outer:
            yield from _of_item(day, item, section.topic(item.start), notes)


def _of_item(
    day: Written, item: Item, topic: str, notes: Mapping[str, Note]
) -> Iterator[Achievement]:
    """一个条目；只是个名字、成果写在子条目里的，名字是主题。"""
    if not achieved(item):
        return
    inside = day.page.children.get(item.number, [])
    label = _LABEL.fullmatch(item.text)
    if inside and label and (item.text.endswith(("：", ":")) or not acted(label[1])):
        for child in inside:
            yield from _of_item(day, child, label[1].strip(), notes)
        return
    yield _achievement(day, said(day.page, item), topic, tuple(_details(day, inside)), notes)


def _details(day: Written, items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        if achieved(item):
            yield said(day.page, item)
            yield from _details(day, day.page.children.get(item.number, ()))


def _achievement(
    day: Written, text: str, heading: str, details: tuple[str, ...], notes: Mapping[str, Note]
) -> Achievement:
    path, known = day.page.path, day.page.document.definitions
    lead, bare = _led(text)
    # 明天要做的，写进简历时去掉了，它链接到的笔记也不是凭据
    told = "\n\n".join(statement(line) for line in (bare, *details))
    linked = (link.target for link in parse(told, known=known).links if not link.image)
    places = dict.fromkeys(links.resolve(str(path.parent), target) for target in linked)
    evidence = tuple(notes[place] for place in places if place and place in notes)
    tags = (*(note.tags[0] for note in evidence if note.tags), *day.page.tags, "其他")
    return Achievement(day.date, text, heading or lead or tags[0], evidence, path, details, known)


def _led(text: str) -> tuple[str, str]:
    """开头的「LLM。」「算法：」，与其余的话；「整个架构写完。」是成果，不是主题。"""
    match = _LEAD.match(text)
    lead = match[1].strip() if match and not acted(match[1]) else ""
    return lead, text[match.end() :] if match and lead else text


# ---- 日记里的一句话改成简历里的一句：纯函数 ----


def statement(text: str) -> str:
    """简历里的一句：几句话用分号隔开，句末没有句号。

    一句话里没有剩下什么（全是打算与闲话）的，照原话。
    """
    told = [line for sentence in _split(text, _STOP) if (line := _sentence(sentence))]
    return "；".join(told) or text.strip().rstrip("。")


def acted(text: str) -> bool:
    """一句话里有没有做成什么：「整个架构写完」有，「LLM」没有。"""
    return bool(_ACTED.search(text))


def _split(text: str, pattern: re.Pattern[str]) -> list[str]:
    """按标点切开；代码与链接里的标点不算。"""
    masked, pieces, at = parse(text).unlinked, [], 0
    for match in pattern.finditer(masked):
        pieces.append(text[at : match.start()])
        at = match.end()
    return [piece.strip() for piece in (*pieces, text[at:]) if piece.strip()]


def _sentence(text: str) -> str:
    clauses = takewhile(lambda clause: not _AHEAD.match(clause), _split(text, _COMMA))
    trimmed = (_trimmed(clause) for clause in clauses if not _ASIDE.match(clause))
    kept = [clause for clause in trimmed if clause]
    return "，".join([*map(_fronted, kept[:1]), *kept[1:]])


def _trimmed(clause: str) -> str:
    """去掉开头的时间与语气。"""
    while match := _ADVERB.match(clause):
        clause = clause[match.end() :].lstrip(" ，：:")
    return clause


def _fronted(clause: str) -> str:
    """动词提到前面。"""
    masked = parse(clause).unlinked
    opening = _AT_START.match(masked)
    if match := _BA.fullmatch(masked) or (None if opening else _AT_END.fullmatch(masked)):
        return _joined(match["verb"] or "完成", clause[slice(*match.span("what"))].strip())
    if opening:
        told = opening["le"] and len(opening["verb"]) > 1  # 「写完了模型」：「了」不要
        return opening["verb"] + clause[opening.end() :] if told else clause
    # 一个名词，前面不是数目：它是做成的东西
    if masked.strip() and not _ANY_VERB.search(masked) and not re.match(r"[第\d]", masked):
        return _joined("完成", clause)
    return clause


def _joined(verb: str, what: str) -> str:
    blank = " " if what[:1].isascii() and what[:1] not in "[*" else ""
    return f"{verb}{blank}{what}"
