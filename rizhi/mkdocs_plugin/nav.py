"""导航：由文件夹里有什么算出来，加一篇笔记不用改配置。

标题都在这里写明：只重建几页的时候，别的页没有读，mkdocs 不知道它们叫什么。
"""

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from mkdocs.structure.files import Files

from rizhi.mkdocs_plugin import notebooks
from rizhi.page import Note, Page
from rizhi.site.graph import Memory, Web
from rizhi.site.panels import by_group
from rizhi.vault import Vault


def nav(vault: Vault, notes: list[Note], memory: Memory) -> list[Any]:
    """顶栏几项；一天天的总结太多，不进导航，由归档带路。"""
    groups = [
        {escape(name): [{escape(note.title): _uri(vault, note.path)} for note in found]}
        for name, found in by_group(vault, notes)
    ]
    books = sorted(vault.notebooks.glob("*.ipynb"))
    parts: list[Any] = [
        {"首页": "index.md"},
        {
            "日总结": [
                {"日总结": "daily/index.md"},
                {"周报": "weekly/index.md"},
                {"待办": "todos/index.md"},
                {"时间线": "timeline/index.md"},
                {"标签": "tags/index.md"},
            ]
        },
        {"笔记": [{"笔记": "notes/index.md"}, *groups]},
        {"手写例子": [{escape(notebooks.title(vault, p)): _notebook(vault, p)} for p in books]},
        {"参考": _folder(vault, "reference", memory)},
        {"使用": _folder(vault, "guide", memory)},
    ]
    return [part for part in parts if all(part.values())]


def chain_days(files: Files, web: Web) -> None:
    """日总结不在导航里，mkdocs 不给它们标题、上一页与下一页：按日期接上，隔几天没写也接得上。"""
    pages = []
    for day in web.pages:
        file = files.get_file_from_path(web.uri(day.path))
        if file is not None and file.page is not None:
            file.page.title = escape(day.heading or str(day.date))
            pages.append(file.page)
    for earlier, later in pairwise(pages):
        earlier.next_page, later.previous_page = later, earlier


def _folder(vault: Vault, name: str, memory: Memory) -> list[dict[str, str]]:
    paths = sorted((vault.docs / name).glob("*.md"), key=lambda p: (p.name != "index.md", p.name))
    return [{escape(memory.page(Page, vault, p).title): _uri(vault, p)} for p in paths]


def _notebook(vault: Vault, path: Path) -> str:
    """读不懂的笔记本换成了一页说明，见 `notebook.trouble`。"""
    return _uri(vault, path.with_suffix(".md") if notebooks.trouble(vault, path) else path)


def _uri(vault: Vault, path: Path) -> str:
    return path.relative_to(vault.docs).as_posix()
