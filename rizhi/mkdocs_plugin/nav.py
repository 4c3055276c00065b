"""导航：由文件夹里有什么算出来，加一篇笔记不用改配置。

标题都在这里写明：只重建几页的时候，别的页没有读，mkdocs 不知道它们叫什么。
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import material
from jinja2 import Environment, TemplateNotFound
from jinja2.runtime import Context
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation

from rizhi.entries import Misfit
from rizhi.links import targets
from rizhi.mkdocs_plugin import notebooks
from rizhi.page import Note, Page
from rizhi.site.blocks import PLACES
from rizhi.site.graph import Web
from rizhi.site.panels import by_group
from rizhi.vault import Vault, notebook_files

_JOURNAL = [place.uri.partition("/")[0] for place in PLACES]
_SIDEBARS = ("partials/nav.html", "partials/tabs.html")
_THEME = Path(material.__file__).parent


def nav(
    vault: Vault,
    notes: Iterable[Note],
    read: Callable[[Path], Page],
    misfits: Mapping[Path, Misfit],
    with_diary: bool = True,
    review: str = "",
) -> list[Any]:
    """顶栏几项；一天天的总结太多，不进导航，由归档带路。`read` 读一页，取它的标题。

    `review` 是「复习」那一页，只在 serve 时有。站点收不进的：没有页的不列，换成一页说明的照列。
    """
    lost = {path for path, misfit in misfits.items() if not misfit.page}
    notes = [note for note in notes if note.path not in lost]
    groups = [
        {escape(group): [{escape(note.title): _uri(vault, note.path)} for note in listed]}
        for group, listed in by_group(vault, notes)
    ]
    books = [path for path in notebook_files(vault) if path not in lost]
    parts: list[Any] = [
        {"首页": "index.md"},
        {"日总结": [{place.text: place.uri} for place in PLACES]},
        {"笔记": [{"笔记": "notes/index.md"}, *groups]},
        {"复习": review},
        {"手写例子": [_notebook(vault, path, misfits) for path in books]},
        {"参考": _folder(vault, "reference", read, lost)},
        {"使用": _folder(vault, "guide", read, lost)},
    ]
    if not with_diary:
        parts[1] = {"标签": "tags/index.md"}
    return [part for part in parts if all(part.values())]


def place(files: Files, web: Web) -> None:
    """不列在导航里的页也站在自己的栏目里：顶栏亮着那一项，侧栏列着它的兄弟，有路回去。

    日总结的标题由网里取；前后几天写在页头，mkdocs 的上一页、下一页不再说一遍。
    """
    for day in web.pages:
        file = files.get_file_from_path(day.uri)
        if file is not None and file.page is not None:
            file.page.title = escape(day.heading or str(day.date))
    for file in files.documentation_pages():
        beside = files.get_file_from_path(_beside(file.src_uri))
        if file.page and file.page.parent is None and beside and beside.page:
            file.page.parent = beside.page.parent


def _beside(uri: str) -> str:
    """不在导航里的一页，与导航里的哪一页同在一个栏目；没有是空的。"""
    folder, *rest = uri.removesuffix(".md").split("/")
    if folder == "mentions":
        return f"notes/{'/'.join(rest[:2])}.md"
    return "daily/index.md" if folder in _JOURNAL else ""


def render_once(env: Environment, nav: Navigation) -> None:
    """不在导航里的页，同一个文件夹里的看到的导航一字不差：一次构建只排一遍。

    不是 material 自己的模板就照原样：也许写上了那一页的什么。
    """
    listed = {id(page) for page in nav.pages}
    for name in _SIDEBARS:
        try:
            template = env.get_template(name)
        except TemplateNotFound:
            continue
        if template.filename and Path(template.filename).is_relative_to(_THEME):
            template.root_render_func = partial(_once, template.root_render_func, listed, {})


def _once(
    render: Callable[[Context], Iterator[str]],
    listed: Collection[int],
    known: dict[tuple[str, int], str],
    context: Context,
) -> Iterator[str]:
    page = context.get("page")
    if page is None or id(page) in listed:
        yield from render(context)
        return
    # 相对的网址由文件夹定，亮着哪一栏由它站在哪一栏定
    place = page.url.rpartition("/")[0], id(page.parent)
    if place not in known:
        known[place] = "".join(render(context))
    yield known[place]


def _folder(
    vault: Vault, name: str, read: Callable[[Path], Page], lost: Collection[Path]
) -> list[dict[str, str]]:
    """栏目的首页在前，然后照它链接到的先后；它没有提到的按文件名，在最后。"""
    folder = vault.docs / name
    paths = sorted(path for path in folder.glob("*.md") if path not in lost)
    index = folder / "index.md"
    linked = (target for _, target in targets(read(index))) if index in paths else ()
    order = list(dict.fromkeys([str(index), *linked]))
    paths.sort(key=lambda p: order.index(str(p)) if str(p) in order else len(order))
    return [{escape(read(path).title): _uri(vault, path)} for path in paths]


def _notebook(vault: Vault, path: Path, misfits: Mapping[Path, Misfit]) -> dict[str, str]:
    """读不懂的笔记本换成了一页说明。"""
    if path in misfits:
        return {escape(path.stem): _uri(vault, path.with_suffix(".md"))}
    return {escape(notebooks.title(path)): _uri(vault, path)}


def _uri(vault: Vault, path: Path) -> str:
    return path.relative_to(vault.docs).as_posix()
