"""回头看：写简历的素材、统计与那天；读盘，不写盘。"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import links, template
from rizhi.errors import RizhiError
from rizhi.journal import report, resume
from rizhi.journal.day import read_day, read_days
from rizhi.page import read_notes
from rizhi.vault import Vault, day_files, read_checks, read_text


@dataclass(frozen=True)
class Material:
    """挑出来的成果、每一天的答复，与还没看过的日子；`left_out` 是不写进简历的各有几条。"""

    found: list[resume.Achievement]
    left_out: dict[str, int]
    days: list[report.Written]
    answers: dict[date, str]
    checks: dict[str, list[str]]
    root: Path

    def markdown(self) -> str:
        kept = {day for day, answer in self.answers.items() if answer == "keep"}
        text = resume.markdown(self.found, self.checks, self.root, kept)
        return text or "还没有成果可用。"

    def as_dict(self) -> dict[str, Any]:
        items = [resume.as_dict(one, self.checks, self.root, self.answers) for one in self.found]
        left_out = self.left_out
        return {
            "achievements": items,
            "left_out": left_out,
            "unseen": [str(day) for day, _ in self.unseen()],
        }

    def left_out_lines(self) -> list[str]:
        if not self.left_out:
            return []
        named = "、".join(f"{word} {count} 条" for word, count in self.left_out.items())
        return [f"\n没有列入：{named}（[tool.rizhi] 的 resume_leaves_out 说了算）。"]

    def unseen(self, just: frozenset[date] = frozenset()) -> list[tuple[date, list[str]]]:
        """还没答过的每一天与它的成果；`just` 是刚刚答了的。"""
        return [
            (
                day.date,
                [f"- {line}" for line in report.achievements(day.page)] or ["（没有写成果）"],
            )
            for day in self.days
            if day.date not in self.answers and day.date not in just
        ]

    def unseen_lines(self, just: frozenset[date] = frozenset()) -> list[str]:
        left = self.unseen(just)
        if not left:
            return []
        where = f"从 {left[0][0]} 起"
        return [f"\n还有 {len(left)} 天没有看过，{where}；用 rizhi resume --walk 过一遍。"]


def gather(
    vault: Vault, since: date | None, topic: str | None, warn: Callable[[str], None]
) -> Material:
    """读出全部素材；`since` 与 `topic` 只管列出哪些成果。"""
    days = _written(vault, warn)
    notes = links.by_path(read_notes(vault))
    path = vault.root / "resume.jsonl"
    answers = resume.read_answers(read_text(path), path) if path.is_file() else {}
    found = resume.chosen(resume.collect(days, notes), since, topic)
    wanted = [one for one in found if answers.get(one.date) != "skip"]
    kept, left_out = resume.sorted_out(wanted, _left_out(vault))
    return Material(kept, left_out, days, answers, read_checks(vault), vault.root)


def stats(vault: Vault, today: date, warn: Callable[[str], None]) -> dict[str, Any]:
    """写了多少、连了几天、哪些主题。"""
    return report.stats(_written(vault, warn), links.by_path(read_notes(vault)), today)


def that_day(vault: Vault, today: date) -> list[dict[str, Any]]:
    """那几天里写过的：几天前、哪一天、标题与路径。"""
    found = []
    for ago, day, path in report.that_day(today, dict(day_files(vault))):
        page = read_day(vault, path)
        title = report.short_title(page, day)
        place = vault.relative(path)
        found.append({"ago": ago, "date": str(day), "title": title, "path": place})
    return found


def _left_out(vault: Vault) -> list[str]:
    """不写进简历的主题：知识库自己说的，没说就是健身与运动。"""
    words = vault.config.get("resume_leaves_out", list(resume.LEFT_OUT))
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise RizhiError('pyproject.toml 的 resume_leaves_out 应是一列主题，如 ["健身"]。')
    return words


def _written(vault: Vault, warn: Callable[[str], None]) -> list[report.Written]:
    days = read_days(vault)
    for day in (day for day in days if not day.text):
        why = "；".join(fault.message for fault in day.faults)
        warn(f"{vault.relative(day.path)} {why}（跳过这一页）")
    return report.written(days, template.boilerplate(vault))
