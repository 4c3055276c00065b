"""导航与总览页：由文件夹里有什么算出来，不写进 docs/。"""

from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from mkdocs.structure.files import Files

from rizhi.pages import weekday
from rizhi.site.notebook import trouble
from rizhi.vault import Day, Note, Vault, date_of

GROUPS = {
    "attention": "注意力",
    "model": "模型",
    "training": "训练",
    "pytorch": "PyTorch",
    "python": "Python",
    "algorithms": "算法",
}


def nav(vault: Vault, notes: list[Note]) -> list[Any]:
    """顶栏五项；日总结太多，只放总览，不进导航。"""
    groups = [{name: [_uri(vault, n.path) for n in found]} for name, found in _by_group(notes)]
    parts: list[Any] = [
        {"首页": "index.md"},
        {"日总结": "daily/index.md"},
        {"笔记": ["notes/index.md", *groups]},
        {"手写例子": sorted(_notebook(vault, p) for p in vault.notebooks.glob("*.ipynb"))},
        {"参考": _folder(vault, "reference")},
        {"使用": _folder(vault, "guide")},
    ]
    return [part for part in parts if all(part.values())]


def pages(vault: Vault, days: list[Day], notes: list[Note]) -> dict[str, str]:
    """总览页的原文：日总结按月、笔记按组。"""
    return {"daily/index.md": _archive(days), "notes/index.md": _map(vault, notes)}


def panels(vault: Vault, uri: str, markdown: str) -> str:
    """首页末尾接上最近几天与笔记的总览；别的页原样。"""
    if uri != "index.md":
        return markdown
    from rizhi.vault import read_days, read_notes

    days = [day for day in read_days(vault) if day.date][-7:]
    latest = _list((f"daily/{d.path.parent.name}/{d.path.name}", d) for d in reversed(days))
    topics = "\n".join(_section(vault, name, found) for name, found in _by_group(read_notes(vault)))
    return f"{markdown}\n\n## 最近几天\n\n{latest}\n\n## 笔记\n\n{topics}\n"


def chain_days(files: Files) -> None:
    """日总结不在导航里，mkdocs 不给它们上一页与下一页：按日期接上，隔几天没写也接得上。"""
    pages = [f.page for f in files.documentation_pages() if f.src_uri.startswith("daily/")]
    days = [page for page in pages if page and date_of(page.file.name)]
    for earlier, later in pairwise(sorted(days, key=lambda page: page.file.name)):
        earlier.next_page, later.previous_page = later, earlier


def _archive(days: Iterable[Day]) -> str:
    dated = sorted((d for d in days if d.date), key=lambda d: d.path.stem, reverse=True)
    parts = ["# 日总结\n"]
    for month, found in groupby(dated, key=lambda d: d.path.stem[:7]):
        year, number = month.split("-")
        parts.append(f"## {year} 年 {int(number)} 月\n")
        parts.append(_list((f"{d.path.parent.name}/{d.path.name}", d) for d in found) + "\n")
    return "\n".join(parts) if dated else "# 日总结\n\n还没有写过。用 `rizhi new` 写第一天。\n"


def _list(days: Iterable[tuple[str, Day]]) -> str:
    lines = []
    for link, day in days:
        found = day.date
        if found is not None:
            title = (
                day.title.replace(day.path.stem, "").replace(weekday(found), "").strip(" 　·:：")
            )
            tail = f" · {title}" if title else ""
            lines.append(f"- [{found.month} 月 {found.day} 日 {weekday(found)}]({link}){tail}")
    return "\n".join(lines)


def _map(vault: Vault, notes: list[Note]) -> str:
    sections = (_section(vault, name, found, "../") for name, found in _by_group(notes))
    return "# 笔记\n\n" + "\n".join(sections)


def _section(vault: Vault, name: str, notes: list[Note], up: str = "") -> str:
    lines = [f"### {name}\n"]
    for note in notes:
        mark = "（草稿）" if note.draft else ""
        lines.append(f"- [{note.title}]({up}{_uri(vault, note.path)}){mark}")
    return "\n".join(lines) + "\n"


def _by_group(notes: list[Note]) -> list[tuple[str, list[Note]]]:
    order = list(GROUPS)
    keyed = sorted(notes, key=lambda n: (_rank(order, n.group), n.group, n.slug))
    return [(GROUPS.get(g, g), list(found)) for g, found in groupby(keyed, key=lambda n: n.group)]


def _rank(order: list[str], group: str) -> int:
    return order.index(group) if group in order else len(order)


def _folder(vault: Vault, name: str) -> list[str]:
    pages = sorted((vault.docs / name).glob("*.md"), key=lambda p: (p.name != "index.md", p.name))
    return [_uri(vault, page) for page in pages]


def _notebook(vault: Vault, path: Path) -> str:
    """读不懂的笔记本换成了一页说明，见 `notebook.trouble`。"""
    return _uri(vault, path.with_suffix(".md") if trouble(vault, path) else path)


def _uri(vault: Vault, path: Path) -> str:
    return path.relative_to(vault.docs).as_posix()
