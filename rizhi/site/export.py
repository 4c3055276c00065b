"""整个站点写成普通的 Markdown：换一个没有钩子的引擎，也看得到同样的页。"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.site import html, overviews, panels
from rizhi.site.blocks import Generated
from rizhi.site.graph import Web
from rizhi.vault import Vault, contained

MANIFEST = ".rizhi-index.json"


def files(web: Web) -> dict[str, Callable[[], bytes]]:
    """docs/ 里的一切，加上算出来的页；有面板的页，面板接在后面。用到一个才读一个。

    异常：docs/ 里有指向知识库之外的链接，抛 RizhiError。
    """
    docs = web.vault.docs
    found = {p.relative_to(docs).as_posix(): p for p in sorted(docs.rglob("*")) if p.is_file()}
    for path in found.values():
        contained(web.vault, path)
    pages = {uri: partial(_page, page, uri) for uri, page in overviews.pages(web).items()}
    return {**pages, **{uri: partial(_with_panels, web, uri, path) for uri, path in found.items()}}


def write(
    web: Web, folder: Path, progress: Callable[[list[str]], Iterable[str]]
) -> tuple[int, int]:
    """写进 folder，返回写了几个、删了几个；它只能是空的，或上次由这里写的。

    异常：folder 在 docs/ 里、有别的东西，或里面有链接指到外面，抛 RizhiError；什么也没有改动。
    """
    old = _owned(web.vault, folder)
    made = files(web)
    _check_places(folder, old, made)
    # 先记下要写哪些：中途被杀，下次认得出这些是自己写的
    _list(folder, sorted(old | made.keys()))
    gone = sorted(old - made.keys())
    for uri in gone:  # 先删：一个旧文件可能正占着新文件夹的名字
        store.remove(folder / uri)
    changed = sum(store.replace(folder / uri, made[uri]()) for uri in progress(sorted(made)))
    _list(folder, sorted(made))
    return changed, len(gone)


def _check_places(folder: Path, old: set[str], made: Mapping[str, Callable[[], bytes]]) -> None:
    """要动的每个文件都真的在 folder 里，不是的、不归自己的，一个也不碰。"""
    place = folder.resolve()
    for uri in sorted(old | made.keys()):
        target = place / uri
        if target.is_symlink() or not target.parent.resolve().is_relative_to(place):
            raise RizhiError(f"{folder / uri} 经由链接指到了别处；没有改动任何文件。移走那个链接。")
        if uri not in old and target.is_file() and target.read_bytes() != made[uri]():
            raise RizhiError(f"{folder / uri} 不是这里写的；没有改动任何文件。先移走它。")


def _page(page: Generated, uri: str) -> bytes:
    return html.page_markdown(page, uri).encode()


def _list(folder: Path, names: list[str]) -> None:
    data = json.dumps(names, ensure_ascii=False, indent=0)
    store.replace(folder / MANIFEST, data.encode())


def _with_panels(web: Web, uri: str, path: Path) -> bytes:
    data = path.read_bytes()
    found = panels.of_page(web, uri) if uri.endswith(".md") else []
    return data + f"\n\n{html.panels_markdown(found, uri)}".encode() if found else data


def _owned(vault: Vault, folder: Path) -> set[str]:
    """上次写在这里的文件。"""
    place = folder.resolve()
    if place.is_relative_to(vault.docs) or vault.docs.is_relative_to(place):
        raise RizhiError(f"{folder} 与 docs/ 套在一起；没有改动任何文件。换一个文件夹。")
    manifest = folder / MANIFEST
    if manifest.is_file():
        return set(_names(manifest))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RizhiError(f"{folder} 不是空文件夹；没有改动任何文件。换一个，或先清空它。")
    return set()


def _names(manifest: Path) -> list[str]:
    try:
        found = json.loads(manifest.read_bytes())
    except ValueError:
        found = None
    if isinstance(found, list) and all(map(_is_name, found)):
        return found
    raise RizhiError(f"{manifest} 读不懂；没有改动任何文件。删掉它所在的文件夹再来。")


def _is_name(name: object) -> bool:
    """一个老实的相对路径。"""
    if not isinstance(name, str) or "\0" in name or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
