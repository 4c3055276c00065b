"""整个站点写成普通的 Markdown：离开 mkdocs 与 rizhi，也看得到同样的页。"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path

import yaml

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.site import expand, html, overviews, panels
from rizhi.site.blocks import Generated, Link, Panel, Row, Rows
from rizhi.site.graph import Web, read_web
from rizhi.snippets import fence
from rizhi.snippets import record as records
from rizhi.snippets.notebook import to_notebook
from rizhi.template import TEMPLATES
from rizhi.vault import Vault, contained, decode, named, notebook_files, read_text, snippet_files

ASSETS = Path(__file__).parent / "assets"
_DROPPED = frozenset(("docs_dir", "hooks", "nav", "site_dir", "watch"))
_TIED = frozenset(("autorefs", "mkdocs-jupyter", "mkdocstrings", "rizhi"))
_WANTED = """
plugins: [search]
markdown_extensions: [admonition, attr_list, pymdownx.details, pymdownx.highlight,
  pymdownx.superfences, sane_lists, tables, {pymdownx.quotes: {callouts: true}},
  {pymdownx.tasklist: {custom_checkbox: true}}, {pymdownx.tilde: {subscript: false}}]
extra_css: [assets/web.css, assets/rizhi.css]
extra_javascript: [{path: assets/rizhi.js, defer: true}, {path: assets/web.js, defer: true}]
"""
_FAVICON = tuple(
    yaml.ScalarNode("tag:yaml.org,2002:str", text) for text in ("favicon", "assets/favicon.svg")
)
MANIFEST = ".rizhi-export.json"


def files(web: Web) -> dict[str, Callable[[], bytes]]:
    """要写的一切，用到一个才读一个：docs/ 里的、算出来的页、图与笔记本、样式与脚本、mkdocs.yml。

    异常：docs/ 里有指向知识库之外的链接，抛 RizhiError。
    """
    vault = web.vault
    own = {p.relative_to(vault.docs).as_posix(): p for p in _files(vault.docs)}
    for path in own.values():
        contained(vault, path)
    docs = {uri: path.read_bytes for uri, path in assets().items()}
    docs |= {uri: partial(_page, page, uri) for uri, page in overviews.pages(web).items()}
    docs |= _books(vault) | _recorded(vault)
    docs |= {uri: partial(_with_panels, web, uri, path) for uri, path in own.items()}
    return {f"docs/{uri}": data for uri, data in docs.items()} | {
        "mkdocs.yml": partial(_config, vault)
    }


def added(vault: Vault, today: date) -> dict[str, Callable[[], str]]:
    """站点上不是手写的文件与它的 Markdown：算出来的页、样式与脚本、片段的笔记本。"""
    plan = overviews.plan(read_web(vault, today))
    made = {uri: partial(_source, page, uri) for uri, page in plan.items()}
    books = (expand.notebook_uri(path.stem) for path in snippet_files(vault))
    return made | dict.fromkeys((*assets(), *books), str)


def assets() -> dict[str, Path]:
    """站点的样式、脚本与字体：相对于 docs 的路径，与包里的文件。"""
    return {f"assets/{path.relative_to(ASSETS).as_posix()}": path for path in _files(ASSETS)}


def _source(page: Callable[[], Generated], uri: str) -> str:
    return html.page_source(page(), uri)[0]


def plain_config(text: str) -> str:
    """知识库的 mkdocs.yml 去掉没有 rizhi 与 mkdocs 就用不了的，补上导出的页要的；其余照旧。

    异常：读不懂，抛 RizhiError。
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise RizhiError(f"mkdocs.yml 读不懂：{error}。") from error
    if not isinstance(root, yaml.MappingNode):
        raise RizhiError("mkdocs.yml 里不是「键: 值」。")
    kept = {key.value: (key, value) for key, value in root.value if key.value not in _DROPPED}
    for key, wanted in _wanted():
        _, own = kept.setdefault(key.value, (key, yaml.SequenceNode(wanted.tag, [])))
        _prune(own)
        names = set(map(_name, own.value))
        own.value += [node for node in wanted.value if _name(node) not in names]
    theme = kept.get("theme", (None, None))[1]
    if isinstance(theme, yaml.MappingNode):
        theme.value = list({k.value: (k, v) for k, v in [_FAVICON, *theme.value]}.values())
    root.value = list(kept.values())
    return str(yaml.serialize(root, allow_unicode=True))


def _wanted() -> list[tuple[yaml.Node, yaml.Node]]:
    root = yaml.compose(_WANTED, Loader=yaml.SafeLoader)
    return root.value if isinstance(root, yaml.MappingNode) else []


def _prune(node: yaml.Node) -> None:
    """列表里属于 rizhi 的、靠 mkdocs 的都去掉，一直到最里面。"""
    if isinstance(node, yaml.SequenceNode):
        node.value = [child for child in node.value if not _tied(child)]
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in child if isinstance(child, tuple) else (child,):
            _prune(part)


def _tied(node: yaml.Node) -> bool:
    values = [v for _, v in node.value] if isinstance(node, yaml.MappingNode) else [node]
    name = _name(node)
    return (
        name in _TIED or name.startswith("rizhi.") or any("/name:rizhi." in v.tag for v in values)
    )


def _name(node: yaml.Node) -> str:
    """一项的名字：插件、扩展或脚本，后面可以带选项。"""
    if isinstance(node, yaml.MappingNode):
        key, value = node.value[0]
        return str(value.value if key.value == "path" else key.value)
    return str(node.value)


def write(
    web: Web, folder: Path, progress: Callable[[list[str]], Iterable[str]]
) -> tuple[int, int]:
    """写进 folder，返回写了几个、删了几个；它只能是空的，或上次由这里写的。

    异常：folder 在 docs/ 里、有别的东西，或里面有链接指到外面，抛 RizhiError；什么也没有改动。
    """
    old = _owned(web.vault, folder)
    new = files(web)
    _check_places(folder, old, new)
    # 先记下要写哪些：中途被杀，下次认得出这些是自己写的
    _list(folder, sorted(old | new.keys()))
    gone = sorted(old - new.keys())
    for uri in gone:  # 先删：一个旧文件可能正占着新文件夹的名字
        store.remove(folder / uri)
    changed = sum(store.replace(folder / uri, new[uri]()) for uri in progress(sorted(new)))
    _list(folder, sorted(new))
    return changed, len(gone)


def _check_places(folder: Path, old: set[str], new: Mapping[str, Callable[[], bytes]]) -> None:
    """要动的每个文件都真的在 folder 里，不是的、不归自己的，一个也不碰。"""
    place = folder.resolve()
    for uri in sorted(old | new.keys()):
        target = place / uri
        if target.is_symlink() or not target.parent.resolve().is_relative_to(place):
            raise RizhiError("经由链接指到了别处。移走那个链接。", folder / uri)
        if uri not in old and target.is_file() and target.read_bytes() != new[uri]():
            raise RizhiError("不是这里写的。先移走它。", folder / uri)


def _page(page: Generated, uri: str) -> bytes:
    return html.page_markdown(page, uri).encode()


def _list(folder: Path, names: list[str]) -> None:
    data = json.dumps(names, ensure_ascii=False, indent=0)
    store.replace(folder / MANIFEST, data.encode())


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    paths = (path for path in found if named(path.relative_to(folder).as_posix()))
    return [path for path in paths if path.is_file()]


def _with_panels(web: Web, uri: str, path: Path) -> bytes:
    """一页展开，面板接在后面；不是页面的、读不懂的照抄。"""
    data = path.read_bytes()
    if not uri.endswith(".md"):
        return data
    try:
        text = expand.page(web.vault, uri, decode(data, path))
    except RizhiError:
        return data
    shown = panels.of_page(web, uri)
    return f"{text}\n\n{html.panels_markdown(shown, uri)}".encode() if shown else text.encode()


def _recorded(vault: Vault) -> dict[str, Callable[[], bytes]]:
    """每个片段的笔记本与记录里的图；读不懂的片段，用到它的页里会说明。"""
    recorded: dict[str, Callable[[], bytes]] = {}
    for path in snippet_files(vault):
        loaded = records.load(vault, path)
        if loaded.snippet is None:
            continue
        snippet, record = loaded.snippet, loaded.record
        recorded[expand.notebook_uri(path.stem)] = to_notebook(snippet, record).encode
        recorded |= {uri: svg.encode for uri, svg in fence.figures(snippet, record).items()}
    return recorded


def _books(vault: Vault) -> dict[str, Callable[[], bytes]]:
    """手写的笔记本只能下载：列出它们的一页。"""
    names = [path.name for path in notebook_files(vault)]
    rows = Rows(tuple(Row((Link(name, f"notebooks/{name}"),)) for name in names))
    page = Generated("手写例子", (Panel("list", "", rows),))
    return {"notebooks/index.md": partial(_page, page, "notebooks/index.md")} if names else {}


def _config(vault: Vault) -> bytes:
    own = vault.root / "mkdocs.yml"
    path = contained(vault, own) if own.is_file() else TEMPLATES / "vault/mkdocs.yml"
    return plain_config(read_text(path)).encode()


def _owned(vault: Vault, folder: Path) -> set[str]:
    """上次写在这里的文件。"""
    place = folder.resolve()
    if place.is_relative_to(vault.docs) or vault.docs.is_relative_to(place):
        raise RizhiError("与 docs/ 套在一起。换一个文件夹。", folder)
    manifest = folder / MANIFEST
    if manifest.is_file():
        return set(_names(manifest))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RizhiError("不是空文件夹。换一个，或先清空它。", folder)
    return set()


def _names(manifest: Path) -> list[str]:
    with suppress(ValueError):
        names = json.loads(manifest.read_bytes())
        if isinstance(names, list) and all(map(_is_name, names)):
            return names
    raise RizhiError("读不懂。删掉它所在的文件夹再来。", manifest)


def _is_name(name: object) -> bool:
    """一个老实的相对路径。"""
    if not isinstance(name, str) or "\0" in name or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
