"""周报：一周里写了什么、改过哪些笔记、待办的去向；没有就写，有就只刷新工具的那一块。"""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from re import Pattern
from typing import Any, NamedTuple

from rizhi import links, store
from rizhi import template as templates
from rizhi.dates import Week, week_of, weekday
from rizhi.errors import RizhiError
from rizhi.journal import write as writing
from rizhi.journal.day import ACHIEVED, Day, achieved, nested, said
from rizhi.journal.lint import Lack, Written, lacking, written
from rizhi.journal.lookback import lapsed
from rizhi.journal.todo import Todo, brief
from rizhi.markdown import Item
from rizhi.page import Note, Page, read_notes
from rizhi.vault import Vault, contained, decode, module_of, snippet_files, text_or_empty

BEGIN = "<!-- rizhi:week 由 rizhi week 刷新，直到下一个标记；写在这里面的字会被换掉 -->"
END = "<!-- /rizhi:week -->"
_CELL = re.compile(r"^# %%[ \t]*(.*)$", re.M)
_MAX_NAMED = 3


@dataclass(frozen=True)
class Result:
    """一次 `rizhi week` 的结果。"""

    path: Path
    state: str  # new、changed、same
    data: dict[str, Any]


def write(
    vault: Vault,
    week: Week | None,
    today: date,
    warn: Callable[[str], None],
    recall: Callable[[Week], Mapping[str, Any] | None] = lambda _: None,
) -> Result:
    """没有就新建，有就只刷新工具的那一块；`recall` 给出这一周复习的数，没有复习过是 None。

    异常：页里的标记不完整，抛 RizhiError，一个字节不动。
    """
    week = week or week_of(today)
    path = contained(vault, vault.weekly / f"{week.name}.md")
    values = _values(vault, week, today, path, warn, recall(week))
    fresh = templates.render(vault, "week.md", **values, begin=BEGIN, end=END)
    there = path.exists()

    def merged(old: bytes | None) -> bytes:
        text = fresh if old is None else refreshed(decode(old, path), fresh)
        if text is None:
            marks = f"{BEGIN[:15]}… 与 {END}"
            raise RizhiError(
                f"里应各有一行 {marks}；现在不是。把两行补回去，或移走这个文件重写。", path
            )
        return text.encode()

    changed = store.change(vault.root, f"week --week {week.name}", [store.Edit(path, merged)]).paths
    state = ("changed" if there else "new") if changed else "same"
    return Result(path, state, values | {"path": vault.relative(path)})


def _values(
    vault: Vault,
    week: Week,
    today: date,
    path: Path,
    warn: Callable[[str], None],
    recall: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """周报模板里的全部数据；链接从周报的路径 `path` 算起。"""
    template = templates.boilerplate(vault)
    history = writing.history(vault)
    for line in history.unread:
        warn(line)
    days = written([day for day in history.days if day.date in week.days], template)
    every = read_notes(vault)
    notes = links.by_path(every)
    changed = changes(vault, every, week.days[0], week.days[-1], today)
    return {
        **_days(week, days, today, path),
        **_knowledge(days, notes, changed, path),
        "lacking": _lacking(days, notes, today, template),
        **_todos(week, history, path),
        "recall": _recalled(recall, history.days, notes, path) if recall else None,
    }


# ---- 周报里的数：纯函数 ----


def refreshed(old: str, new: str) -> str | None:
    """把旧周报里工具的那一块换成新的，他写的字不动；标记不完整返回 None。"""
    marked = all(text.count(mark) == 1 for text in (old, new) for mark in (BEGIN, END))
    if not marked or old.index(BEGIN) > old.index(END):
        return None
    block = new[new.index(BEGIN) : new.index(END)]
    if "\r\n" in old:
        block = block.replace("\n", "\r\n")
    return old[: old.index(BEGIN)] + block + old[old.index(END) :]


def _days(week: Week, days: Sequence[Written], today: date, target: Path) -> dict[str, Any]:
    """写了哪几天、没写哪几天，各天的成果。"""
    seen = {day.date for day in days}
    return {
        "name": week.name,
        "first": week.days[0].isoformat(),
        "last": week.days[-1].isoformat(),
        "written": [
            {**_named(day), "title": day.title, "link": links.relative(target, day.page.path)}
            for day in days
        ],
        "missed": [f"{d:%m-%d}" for d in week.days if d <= today and d not in seen],
        "achieved": [
            {**_named(day), "lines": lines} for day in days if (lines := _achieved(day, target))
        ],
    }


def _named(day: Written) -> dict[str, str]:
    return {"date": day.date.isoformat(), "weekday": weekday(day.date)}


def _achieved(day: Written, target: Path) -> list[str]:
    """今日成果的各条，子条目缩进在下面，链接改成从周报算起。"""
    page = day.page
    lines: list[str] = []
    for section in page.section(ACHIEVED):
        lines += section.prose
        outer, _ = nested(section.items)
        lines += ["\n".join(_branch(page, item)) for item in outer if achieved(item)]
    return [links.moved(line, page.path, target, page.document.definitions) for line in lines]


def _branch(page: Day, item: Item) -> Iterator[str]:
    yield said(page, item)
    for child in page.children.get(item.number, ()):
        if achieved(child):
            first, *rest = _branch(page, child)
            yield from (f"    - {first}", *(f"    {line}" for line in rest))


def _knowledge(
    days: Sequence[Written], notes: Mapping[str, Note], changed: Sequence["Change"], target: Path
) -> dict[str, list[dict[str, Any]]]:
    """这一周的知识点：一篇笔记连同它的片段只说一次，说哪几天写到、新在哪里。"""
    mentioned: dict[str, list[str]] = {}
    for day in days:
        for note in links.topics(day.page, notes):
            mentioned.setdefault(str(note.path), []).append(f"{day.date:%m-%d}")
    news = _news(notes, changed)
    topics = [
        {
            "title": notes[path].title,
            "link": links.relative(target, Path(path)),
            "days": dates,
            "news": "；".join(news.pop(path, ())),
        }
        for path, dates in mentioned.items()
    ]
    titles = {str(change.path): change.title for change in changed}
    others = []
    for path, told in news.items():
        title = titles.get(path) or notes[path].title
        # 片段在 docs/ 之外，站点上没有它的页，链接过去就是死链接
        page = f"[{title}]({links.relative(target, Path(path))})" if path.endswith(".md") else None
        link = page or f"`{title}`"
        others.append({"title": title, "news": "；".join(told), "what": told[0], "link": link})
    return {"topics": topics, "changed": others}


def _news(notes: Mapping[str, Note], changed: Sequence["Change"]) -> dict[str, list[str]]:
    """每篇笔记（或没有笔记的片段）新在哪里。"""
    modules = {note.module: path for path, note in notes.items()}
    news: dict[str, list[str]] = {}
    for change in changed:
        if change.path.suffix == ".md":
            news.setdefault(str(change.path), []).insert(0, change.what)
        else:
            owner = modules.get(change.path.stem)
            line = f"片段 `{change.title}` {change.what}" if owner else change.what
            news.setdefault(owner or str(change.path), []).append(line)
    return news


def _todos(week: Week, history: writing.History, target: Path) -> dict[str, list[str]]:
    todos, pages = history.lives, history.pages
    first, last = week.days[0], week.days[-1]

    def line(todo: Todo) -> str:
        text = links.moved(brief(todo.text), pages[todo.last].path, target)
        return f"{text}（自 {todo.born}）"

    ended = [t for t in todos if t.state != "open" and first <= t.last <= last]
    still = [t for t in todos if t.born <= last and (t.state == "open" or t.last > last)]
    return {
        "born": [line(t) for t in todos if first <= t.born <= last],
        "done": [line(t) for t in ended if t.state == "done"],
        "dropped": [line(t) for t in ended if t.state == "dropped"],
        "carried": [line(t) for t in still],
    }


def _recalled(
    recall: Mapping[str, Any], days: Sequence[Day], notes: Mapping[str, Note], target: Path
) -> dict[str, Any]:
    """复习的数；忘了的各张链接到它的笔记与头一次写到它的那天。"""
    owners = {note.slug: note for note in notes.values()}
    told = []
    for one, day in lapsed(recall, days, notes):
        note = owners.get(one["note"])
        name, text = one["note"], one["text"]
        if note:
            name = f"[{note.title}]({links.relative(target, note.path)})"
            text = links.moved(text, note.path, target)
        first = f"[{day.date}]({links.relative(target, day.path)})" if day else None
        told.append({**one, "text": text, "name": name, "first": first})
    return {**recall, "lapsed": told}


def _lacking(
    days: Sequence[Written], notes: Mapping[str, Note], today: date, template: Pattern[str]
) -> list[str]:
    """同一种缺，各天合成一行。"""
    lacks: dict[str, tuple[Lack, list[str]]] = {}
    for day in days:
        if day.date < today:  # 今天还没写完，不算
            for lack in lacking(day.page, len(links.topics(day.page, notes)), template):
                what = lack.message.partition("，")[0]
                lacks.setdefault(what, (lack, []))[1].append(f"{day.date:%m-%d}")
    return [f"{what}（{'、'.join(on)}）；{lack.remedy}。" for what, (lack, on) in lacks.items()]


# ---- 改过哪些笔记与片段：问 git；没有 git 就看文件的时间 ----


class Change(NamedTuple):
    """一篇笔记或一个片段；`what` 是新写，或改了哪里。"""

    path: Path
    title: str
    what: str


def changes(vault: Vault, notes: list[Note], first: date, last: date, today: date) -> list[Change]:
    """从 `first` 到 `last` 新写的与改过的，按路径排序。"""
    titles = {note.path: note.title for note in notes}
    titles |= {p: p.name for p in snippet_files(vault)}
    born = {note.path for note in notes if note.created and first <= note.created <= last}
    born |= {vault.snippets / f"{module_of(path.stem)}.py" for path in born}
    names = _from_git(vault.root, first, last)
    touched = _by_time(list(titles), first, last) if names is None else names
    before = None if names is None else _revision(vault.root, first)
    after = _revision(vault.root, last + timedelta(days=1)) if before and last < today else None
    listed = []
    for path in sorted(titles):
        if path in born:
            listed.append(Change(path, titles[path], "新写"))
        elif path in touched:
            old = _parts(path, _at(vault.root, before, path))
            new = _parts(path, _at(vault.root, after, path) or text_or_empty(path))
            listed.append(Change(path, titles[path], _what(old, new)))
    return listed


def _what(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """改了哪几节；没有旧的可比，只说改过。"""
    changed = [name for name in new if new[name] != old.get(name)]
    verb, parts = ("改了", changed) if changed else ("删了", [n for n in old if n not in new])
    shown = "".join(f"「{name}」" for name in parts[:_MAX_NAMED] if name)
    more = f"等 {len(parts)} 处" if len(parts) > _MAX_NAMED else ""
    return f"{verb}{shown}{more}" if old and shown else "改过"


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


def _at(root: Path, revision: str | None, path: Path) -> str:
    """一个文件在那次提交里的样子；那时还没有，或没有 git，是空的。"""
    name = path.relative_to(root).as_posix()
    return (_git(root, "show", f"{revision}:./{name}") or "") if revision else ""


def _revision(root: Path, day: date) -> str | None:
    """那天零点之前的最后一次提交。"""
    commit = _git(root, "rev-list", "-1", f"--before={day}T00:00:00", "HEAD")
    return commit.strip() or None if commit else None


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
