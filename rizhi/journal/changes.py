"""一段日子里改过的笔记与片段，各改了哪几节：问 git；没有 git 就看文件的时间。"""

import re
import subprocess
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rizhi.errors import RizhiError
from rizhi.page import Note, Page
from rizhi.vault import Vault, module_of, read_text, snippet_files

_CELL = re.compile(r"^# %%[ \t]*(.*)$", re.M)
_MAX_NAMED = 3


class Change(NamedTuple):
    """一篇笔记或一个片段；`what` 是新写，或改了哪里。"""

    path: Path
    title: str
    what: str


def changed(vault: Vault, notes: list[Note], first: date, last: date, today: date) -> list[Change]:
    """从 `first` 到 `last` 新写的与改过的，按路径排序。"""
    titles = {note.path: note.title for note in notes}
    titles |= {p: p.name for p in snippet_files(vault)}
    born = {note.path for note in notes if note.created and first <= note.created <= last}
    born |= {vault.snippets / f"{module_of(path.stem)}.py" for path in born}
    names = _from_git(vault.root, first, last)
    touched = _by_time(list(titles), first, last) if names is None else names
    before = None if names is None else _revision(vault.root, first)
    after = _revision(vault.root, last + timedelta(days=1)) if before and last < today else None
    found = []
    for path in sorted(titles):
        if path in born:
            found.append(Change(path, titles[path], "新写"))
        elif path in touched:
            old = _parts(path, _at(vault.root, before, path))
            new = _parts(path, _at(vault.root, after, path) or _now(path))
            found.append(Change(path, titles[path], _what(old, new)))
    return found


def _what(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """改了哪几节；没有旧的可比，只说改过。"""
    if not old:
        return "改过"
    names = [name for name in new if name not in old or new[name] != old[name]]
    gone = [name for name in old if name not in new]
    if not names and not gone:
        return "改过"
    shown = "".join(f"「{name}」" for name in (names or gone)[:_MAX_NAMED] if name)
    more = f"等 {len(names or gone)} 处" if len(names or gone) > _MAX_NAMED else ""
    verb = "改了" if names else "删了"
    return f"{verb}{shown}{more}" if shown else "改过"


def _parts(path: Path, text: str) -> dict[str, str]:
    """一页的各个二级标题与它的正文；片段是各格。"""
    if path.suffix == ".md":
        page = Page(path, text)
        marks = [(h.start, h.text) for h in page.document.headings if h.level == 2 and not h.nested]
    else:
        marks = [(mark.start(), mark[1].strip()) for mark in _CELL.finditer(text)]
    stops = [*(start for start, _ in marks[1:]), len(text)]
    return {
        name: text[start:stop].strip() for (start, name), stop in zip(marks, stops, strict=False)
    }


def _now(path: Path) -> str:
    try:
        return read_text(path)
    except RizhiError:
        return ""


def _at(root: Path, revision: str | None, path: Path) -> str:
    """一个文件在那次提交里的样子；那时还没有，或没有 git，是空的。"""
    name = path.relative_to(root).as_posix()
    return (_git(root, "show", f"{revision}:./{name}") or "") if revision else ""


def _revision(root: Path, day: date) -> str | None:
    """那天零点之前的最后一次提交。"""
    found = _git(root, "rev-list", "-1", f"--before={day}T00:00:00", "HEAD")
    return found.strip() or None if found else None


def _from_git(root: Path, first: date, last: date) -> set[Path] | None:
    """这段日子的提交里碰过的文件，加上还没有提交而近日改过的；不在 git 里返回 None。"""
    span = (f"--since={first}T00:00:00", f"--until={last + timedelta(days=1)}T00:00:00")
    names = ("--format=", "--name-only", "--relative")
    log = _git(root, "log", *span, *names, "--", "docs/notes", "snippets")
    loose = _git(root, "ls-files", "-mo", "--exclude-standard", "--", "docs/notes", "snippets")
    if log is None or loose is None:
        return None
    committed = {root / name for name in log.splitlines() if name}
    pending = [path for name in loose.splitlines() if (path := root / name).is_file()]
    return committed | _by_time(pending, first, last)


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-c", "core.quotepath=off", *arguments]
    try:
        # 参数都是自己拼的，不经过 shell
        run = subprocess.run(command, cwd=root, capture_output=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.decode("utf-8", "replace") if run.returncode == 0 else None


def _by_time(paths: list[Path], first: date, last: date) -> set[Path]:
    times = ((path, datetime.fromtimestamp(path.stat().st_mtime).date()) for path in paths)
    return {path for path, day in times if first <= day <= last}
