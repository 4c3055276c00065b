"""写与刷新周报：读盘、归纳、写盘。"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import links, store
from rizhi import template as templates
from rizhi.dates import Week, week_of
from rizhi.errors import RizhiError
from rizhi.journal import changes, report
from rizhi.journal import write as writing
from rizhi.page import read_notes
from rizhi.vault import Vault, contained, decode


@dataclass(frozen=True)
class Made:
    """一次 `rizhi week` 的结果。"""

    path: Path
    state: str  # new、changed、same
    data: dict[str, Any]


def write(vault: Vault, week: Week | None, today: date, warn: Callable[[str], None]) -> Made:
    """没有就新建，有就只刷新工具的那一块。

    异常：页里的标记不完整，抛 RizhiError，一个字节不动。
    """
    week = week or week_of(today)
    path = contained(vault, vault.weekly / f"{week.name}.md")
    values = _values(vault, week, today, path, warn)
    text = templates.render(vault, "week.md", **values)
    data = {k: v for k, v in values.items() if k not in ("begin", "end")}
    data["path"] = vault.relative(path)
    there = path.exists()

    def written(old: bytes | None) -> bytes:
        return text.encode() if old is None else _refresh(old, text, path)

    changed = store.change(vault.root, f"week --week {week.name}", [store.Edit(path, written)])
    return Made(path, ("changed" if there else "new") if changed else "same", data)


def _refresh(old: bytes, new: str, path: Path) -> bytes:
    made = report.refreshed(decode(old, path), new)
    if made is None:
        raise RizhiError(
            f"里应各有一行 {report.BEGIN[:15]}… 与 {report.END}；"
            "现在不是。把两行补回去，或移走这个文件重写。",
            path,
        )
    return made.encode()


def _values(
    vault: Vault, week: Week, today: date, path: Path, warn: Callable[[str], None]
) -> dict[str, Any]:
    notes = read_notes(vault)
    template = templates.boilerplate(vault)
    history = writing.history(vault)
    for line in history.unread:
        warn(f"{line}（跳过这一页）")
    mine = [day for day in history.days if day.date in week.days]
    changed = changes.changed(vault, notes, week.days[0], week.days[-1], today)
    days = report.written(mine, template)
    known = links.by_path(notes)
    return report.week_values(week, days, history.lives, known, changed, today, template, path)
