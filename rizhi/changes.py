"""一段日子里改过的笔记与片段：问 git；没有 git 就看文件的时间。"""

import subprocess
from datetime import date, datetime, timedelta
from pathlib import Path

from rizhi.page import Note
from rizhi.vault import Vault, module_of, snippet_files


def changed(
    vault: Vault, notes: list[Note], first: date, last: date
) -> list[tuple[str, str, Path]]:
    """（新写还是改过, 标题, 路径），按路径排序。"""
    titles = {note.path: note.title for note in notes}
    titles |= {p: p.name for p in snippet_files(vault)}
    born = {note.path for note in notes if note.created and first <= note.created <= last}
    born |= {vault.snippets / f"{module_of(path.stem)}.py" for path in born}
    names = _from_git(vault.root, first, last)
    touched = _by_time(list(titles), first, last) if names is None else names
    return [
        ("新写" if path in born else "改过", titles[path], path)
        for path in sorted(titles)
        if path in born or path in touched
    ]


def _from_git(root: Path, first: date, last: date) -> set[Path] | None:
    """这段日子的提交里碰过的文件，加上还没有提交而近日改过的；不在 git 里返回 None。"""
    span = (f"--since={first}T00:00:00", f"--until={last + timedelta(days=1)}T00:00:00")
    log = _git(root, "log", *span, "--format=", "--name-only", "--", "docs/notes", "snippets")
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
