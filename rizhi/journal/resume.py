"""写简历时的素材：每一天的成果、它的主题与凭据；纯函数。"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import links
from rizhi.errors import RizhiError
from rizhi.journal.day import ACHIEVED, Section, nested
from rizhi.journal.report import Written, achieved, said
from rizhi.journal.statement import acted, statement
from rizhi.markdown import Definition, Item, parse
from rizhi.page import Note
from rizhi.vault import module_of

ANSWERS = {"k": "keep", "s": "skip"}
LEFT_OUT = ("健身", "运动")  # 知识库没有设 resume_leaves_out 时
_LEAD = re.compile(r"\**([^。：:，,；;.()（）\[\]]{1,16}?)\**(?:[。：:]|\.(?!\d))\**\s*(?=\S)")
_LABEL = re.compile(r"\**([^。：:，,；;]{1,16}?)\**[。：:]?\**")


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
        """简历里的一句。"""
        return statement(_bare(self.text))


def collect(days: Iterable[Written], notes: Mapping[str, Note]) -> list[Achievement]:
    """今日成果的每一条，从早到晚。"""
    return [one for day in days for one in _of_day(day, notes)]


def chosen(
    found: Iterable[Achievement], since: date | None, topic: str | None
) -> list[Achievement]:
    """按日期与主题挑出来；主题大小写不论，含有就算。"""
    wanted = (topic or "").casefold()
    return [
        one
        for one in found
        if (since is None or one.date >= since) and wanted in one.topic.casefold()
    ]


def sorted_out(
    found: Iterable[Achievement], words: Sequence[str]
) -> tuple[list[Achievement], dict[str, int]]:
    """写进简历的，与按主题（或开头的话）不写的各有几条。"""
    kept, counts = [], dict.fromkeys(words, 0)
    for one in found:
        word = next((word for word in words if _about(one, word)), None)
        if word is None:
            kept.append(one)
        else:
            counts[word] += 1
    return kept, {word: count for word, count in counts.items() if count}


def markdown(
    found: Sequence[Achievement], checks: Mapping[str, Sequence[str]], root: Path, kept: set[date]
) -> str:
    """按主题分组的 Markdown；链接从知识库的根算起。"""
    groups: dict[str, list[Achievement]] = {}
    for one in found:
        groups.setdefault(one.topic.casefold().removesuffix("学习"), []).append(one)
    parts = []
    for group in groups.values():
        lines = [f"## {group[0].topic}", ""]
        for one in group:
            lines += _lines(one, checks, root, kept)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_dict(
    one: Achievement, checks: Mapping[str, Sequence[str]], root: Path, answers: Mapping[date, str]
) -> dict[str, Any]:
    """`--json` 的一项。"""
    return {
        "date": one.date.isoformat(),
        "topic": one.topic,
        "text": one.text,
        "statement": one.statement,
        "details": list(one.details),
        "evidence": [_evidence(note, checks, root) for note in one.notes],
        "answer": answers.get(one.date),
    }


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


def _about(one: Achievement, word: str) -> bool:
    return word.casefold() in one.topic.casefold() or one.text.lstrip("*").startswith(word)


def _of_day(day: Written, notes: Mapping[str, Note]) -> Iterator[Achievement]:
    for section in day.page.section(ACHIEVED):
        yield from _prose(day, section, notes)
        outer, children = nested(section.items)
        for item in outer:
            yield from _of_item(day, item, section.topic(item.start), children, notes)


def _prose(day: Written, section: Section, notes: Mapping[str, Note]) -> Iterator[Achievement]:
    """一行散文也是一条；代码、表格与「下面是：」这样的话不是。"""
    for at, line in zip(section.places, section.prose, strict=True):
        if not (day.page.document.hidden(at) or line.startswith("|") or line.endswith(("：", ":"))):
            yield _made(day, line, section.topic(at), (), notes)


def _of_item(
    day: Written,
    item: Item,
    topic: str,
    children: Mapping[int, list[Item]],
    notes: Mapping[str, Note],
) -> Iterator[Achievement]:
    """一个条目；只是个名字、成果写在子条目里的，名字是主题。"""
    if not item.text or not achieved(item):
        return
    inside = children.get(item.number, [])
    label = _LABEL.fullmatch(item.text)
    if inside and label and (item.text.endswith(("：", ":")) or not acted(label[1])):
        for child in inside:
            yield from _of_item(day, child, label[1].strip(), children, notes)
        return
    details = tuple(_details(day, inside, children))
    yield _made(day, said(day.page, item), topic, details, notes)


def _details(
    day: Written, items: Iterable[Item], children: Mapping[int, list[Item]]
) -> Iterator[str]:
    for item in items:
        if item.text and achieved(item):
            yield said(day.page, item)
            yield from _details(day, children.get(item.number, ()), children)


def _made(
    day: Written,
    text: str,
    heading: str,
    details: tuple[str, ...],
    notes: Mapping[str, Note],
) -> Achievement:
    known = day.page.document.definitions
    # 明天要做的，写进简历时去掉了，它链接到的笔记也不是凭据
    told = "\n\n".join(statement(line) for line in (_bare(text), *details))
    linked = _linked(told, day.page.path, known, notes)
    tags = (*(note.tags[0] for note in linked if note.tags), *day.page.tags, "其他")
    topic = heading or _lead(text) or tags[0]
    return Achievement(day.date, text, topic, tuple(linked), day.page.path, details, known)


def _linked(
    text: str, source: Path, known: Mapping[str, Definition], notes: Mapping[str, Note]
) -> list[Note]:
    """一段话自己链接到的笔记，各一次。"""
    found = parse(text, known=known).links
    places = (links.resolve(str(source.parent), k.target) for k in found if not k.image)
    return [notes[place] for place in dict.fromkeys(places) if place and place in notes]


def _lead(text: str) -> str:
    """开头的「LLM。」「算法：」；「整个架构写完。」是成果，不是主题。"""
    found = _LEAD.match(text)
    return found[1].strip() if found and not acted(found[1]) else ""


def _bare(text: str) -> str:
    """去掉开头的主题：它已经写在标题里了。"""
    found = _LEAD.match(text)
    return text[found.end() :] if found and _lead(text) else text


def _lines(
    one: Achievement, checks: Mapping[str, Sequence[str]], root: Path, kept: set[date]
) -> list[str]:
    def moved(text: str) -> str:
        return links.moved(text, one.source, root / "resume.md", one.definitions)

    mark = "（已选用）" if one.date in kept else ""
    where = f"[{one.date}]({one.source.relative_to(root).as_posix()})"
    lines = [f"- {moved(one.statement)}（{where}）{mark}"]
    lines += [f"    - {moved(statement(detail))}" for detail in one.details]
    for note in one.notes:
        found = _evidence(note, checks, root)
        line = f"    - 笔记 [{note.title}]({found['note']})"
        if found["snippet"]:
            tests = f"，检验 {len(found['tests'])} 格" if found["tests"] else ""
            line += f"，片段 `{found['snippet']}`{tests}"
        lines.append(line)
    return lines


def _evidence(note: Note, checks: Mapping[str, Sequence[str]], root: Path) -> dict[str, Any]:
    module = note.snippet or module_of(note.slug)
    return {
        "note": note.path.relative_to(root).as_posix(),
        "snippet": f"snippets/{module}.py" if module in checks else None,
        "tests": list(checks.get(module, ())),
    }
