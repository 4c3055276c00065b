"""写简历时的素材：每一天的成果、它的主题与凭据；纯函数。"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import index
from rizhi.entry import ACHIEVED, joined, links
from rizhi.page import Note
from rizhi.report import Written
from rizhi.vault import RizhiError, module_of

ANSWERS = {"k": "keep", "s": "skip"}
_LEAD = re.compile(r"\**([^。：:，,；;.()（）\[\]]{1,16}?)\**(?:[。：:]|\.(?!\d))\**\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Achievement:
    """一条成果：哪一天、属于什么主题、有哪些笔记可作凭据。"""

    date: date
    text: str
    topic: str
    notes: tuple[Note, ...]
    source: Path


def collect(days: Iterable[Written], notes: Mapping[str, Note]) -> list[Achievement]:
    """今日成果的每一行，从早到晚。"""
    known = index.Names(notes.values())
    return [one for day in days for one in _of_day(day, notes, known)]


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


def markdown(
    found: Sequence[Achievement], checks: Mapping[str, Sequence[str]], root: Path, kept: set[date]
) -> str:
    """按主题分组的 Markdown；链接从知识库的根算起。"""
    groups: dict[str, list[Achievement]] = {}
    for one in found:
        groups.setdefault(one.topic.casefold(), []).append(one)
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
            raise RizhiError(
                f"{path.name}:{number} 读不懂：{error}。改好这一行再来；没有改动任何文件。"
            ) from error
    return answers


def answer_line(day: date, answer: str, today: date) -> bytes:
    """追加到 `resume.jsonl` 的一行；`answer` 是 k 或 s。"""
    data = {"date": str(day), "answer": ANSWERS[answer], "on": str(today)}
    return (json.dumps(data, ensure_ascii=False) + "\n").encode()


def _of_day(day: Written, notes: Mapping[str, Note], known: index.Names) -> Iterable[Achievement]:
    for section in day.entry.section(ACHIEVED):
        for line in section.prose:
            if not line.startswith("#"):
                yield _made(day, line, "", notes, known)
        for item in section.items:
            if item.text:
                yield _made(day, joined((item.text, *item.detail)), item.topic, notes, known)


def _made(
    day: Written, text: str, heading: str, notes: Mapping[str, Note], known: index.Names
) -> Achievement:
    folder = str(day.page.path.parent)
    linked = [notes.get(index.resolve(folder, link.target) or "") for link in links(text)]
    found = {note.path: note for note in (*linked, *known.found(text)) if note}
    lead = _LEAD.match(text)
    tags = (*(note.tags[0] for note in found.values() if note.tags), *day.page.tags, "其他")
    topic = heading or (lead[1].strip() if lead else tags[0])
    return Achievement(day.date, text, topic, tuple(found.values()), day.page.path)


def _lines(
    one: Achievement, checks: Mapping[str, Sequence[str]], root: Path, kept: set[date]
) -> list[str]:
    mark = "（已选用）" if one.date in kept else ""
    text = index.moved(one.text, one.source, root / "resume.md")
    lines = [f"- {one.date}　{text}{mark}"]
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
