"""改一处只重建它能改到的页：借 mkdocs 自己的「脏」构建，由我们说清楚哪一页变了。

mkdocs 的脏构建只看文件的时间：面板、导航、记录、搜索变了它都不知道。这里给每个文件算一个指纹，
里面有它的一切依据；与上一次不同的才重建。搜索的条目按页留着，没重建的页用上一次的。
"""

import io
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jieba
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page as Shown
from mkdocstrings import Inventory

from rizhi.mkdocs_plugin import serve
from rizhi.page import Page
from rizhi.site.graph import FLOW, Memory, Web
from rizhi.template import boilerplate
from rizhi.vault import Vault, fingerprint, snippet_files, source_files

_INVENTORY = "objects.inv"
_REFERENCE = "reference/"
# 一个文件的指纹：面板的 HTML 没变就是同一个对象，比起来不用看内容
Mark = tuple[object, ...]


@dataclass
class Built:
    """上一次构建留下的：每个文件的指纹与去处、每一页的搜索条目。"""

    marks: dict[str, Mark] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    words: str | None = None
    recut: bool = False  # 词典换过，留着的条目要重切
    inventory: bytes = b""
    memory: Memory = field(default_factory=Memory)
    salt: Mark = ()
    site: str = ""
    fresh: dict[str, Mark] = field(default_factory=dict)  # 这一次的指纹，建成了才算数
    fresh_places: dict[str, str] = field(default_factory=dict)
    rebuilt: set[str] = field(default_factory=set)  # 这一次重建的页


STATE = Built()


class Templates(BytecodeCache):
    """主题的模板只编译一次：mkdocs 每次重建都换一个新的环境，编译要占去改一处的小一半时间。"""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """源文变了，校验和对不上，jinja2 自会重编。"""
        if bucket.key in self.known:
            bucket.bytecode_from_string(self.known[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.known[bucket.key] = bucket.bytecode_to_string()


TEMPLATES = Templates()


def begin(config: MkDocsConfig, vault: Vault) -> None:
    """换了产物的文件夹，或改了配置，就从头来。"""
    paths = (str(config.config_file_path), str(vault.root / "pyproject.toml"))
    salt = (config.site_dir, boilerplate(vault).pattern, *map(fingerprint, paths))
    if STATE.salt != salt:
        STATE.salt = salt
        forget()
    if STATE.site != config.site_dir:
        STATE.site, STATE.places = config.site_dir, {}


def forget() -> None:
    """什么也不沿用；哪些产物是自己的还要记着，好在删了页之后清掉。"""
    STATE.marks, STATE.entries = {}, {}


def rebuilder(first: MkDocsConfig) -> Callable[[], None]:
    """`mkdocs serve` 每次改动之后做的事：第一次之后都是脏构建。"""
    options = first.user_configs[-1]
    logging.getLogger("mkdocs.commands.build").addFilter(_not_the_dirty_warning)

    def again() -> None:
        config = load_config(first.config_file_path, **options)
        config.site_url = first.site_url
        build(config, serve_url=first.site_url, dirty=True)

    return again


def _not_the_dirty_warning(record: logging.LogRecord) -> bool:
    # mkdocs 说脏构建的导航与链接会不准；不准的几样正是这里补上的
    return not str(record.msg).startswith("A 'dirty' build")


def use_words(config: MkDocsConfig, words: str, path: Path) -> None:
    """分词的词典只在变了的时候重新载入：jieba 的词频会越载越大，切得与从头建的不一样。"""
    for name in ("search", "material/search"):
        if name in config.plugins:
            config.plugins[name].config.jieba_dict_user = None
    if STATE.words == words:
        return
    jieba.setLogLevel(logging.WARNING)
    jieba.dt.initialized = False
    jieba.initialize()
    jieba.load_userdict(str(path))
    STATE.recut = STATE.words is not None
    STATE.words = words


def mark(files: Files, nav: Navigation, web: Web, woven: Mapping[str, Mark]) -> None:
    """给每个文件算指纹；与上一次相同、产物又还在的，告诉 mkdocs 它没变。

    `woven` 是每一页的面板：面板变了，页就变了。导航与前后页的标题也写在每一页上，一样算。
    """
    clues = Clues(web, frozenset(file.src_uri for file in files))
    shapes = Shapes(nav)
    STATE.fresh, STATE.rebuilt = {}, set()
    STATE.fresh_places = {file.src_uri: file.abs_dest_path for file in files}
    for file in files:
        uri = file.src_uri
        made = (clues.of(file), woven.get(uri), *(shapes.of(file.page) if file.page else ()))
        STATE.fresh[uri] = made
        same = STATE.marks.get(uri) == made and os.path.isfile(file.abs_dest_path)  # noqa: PTH113
        file.is_modified = partial(bool, not same)  # type: ignore[method-assign]
    _all_references(files)


def _all_references(files: Files) -> None:
    """参考页要么都重建，要么都不：接口清单是一起写的，少一页就缺一页。"""
    pages = [file for file in files if file.src_uri.startswith(_REFERENCE)]
    if any(file.is_modified() for file in pages):
        for file in pages:
            file.is_modified = partial(bool, True)  # type: ignore[method-assign]


def recall_references(config: MkDocsConfig) -> None:
    """参考页没有重建，链接到它们的页照样要找得到：autorefs 只认得这一次排过的。"""
    if "autorefs" in config.plugins and STATE.inventory and not _references_rebuilt():
        plugin: Any = config.plugins["autorefs"]
        for name, item in Inventory.parse_sphinx(io.BytesIO(STATE.inventory)).items():
            plugin.register_url(name, item.uri)


def _references_rebuilt() -> bool:
    return any(uri.startswith(_REFERENCE) for uri in STATE.rebuilt)


def finish(config: MkDocsConfig, files: Files) -> None:
    """补全搜索与接口清单，删掉已经没有的页，记下这一次的指纹。赶在搜索插件写盘之前。"""
    for name in ("search", "material/search"):
        if name in config.plugins:
            plugin: Any = config.plugins[name]
            _complete(plugin.search_index, files)
    _keep_inventory(Path(config.site_dir) / _INVENTORY)
    kept = set(STATE.fresh_places.values())
    for place in STATE.places.values():
        if place not in kept:
            Path(place).unlink(missing_ok=True)
    STATE.marks, STATE.places = STATE.fresh, STATE.fresh_places


class Clues:
    """一个文件的指纹从哪里来：它自己、它链接的在不在、它嵌入的片段与源码。"""

    def __init__(self, web: Web, known: frozenset[str]) -> None:
        self.web, self.known = web, known
        vault = web.vault
        self.facts = {web.uri(day.path): day for day in web.days}
        self.source = "".join(repr(fingerprint(path)) for path in source_files(vault))
        pages = sorted((vault.docs / "reference").glob("*.md"))
        self.reference = self.source + "".join(repr(fingerprint(path)) for path in pages)

    def of(self, file: File) -> str | bytes:
        """除了面板与导航，一个文件的一切依据。"""
        content = file._content
        if content is not None:
            return content
        assert file.abs_src_path is not None  # noqa: S101  不是算出来的，就有源文件
        own = repr(fingerprint(file.abs_src_path))
        if not file.src_uri.endswith(".md"):
            return own
        day = self.facts.get(file.src_uri)
        if day is not None:
            return own + self._alive(day.reach) + self._embedded(day.modules)
        vault, memory = self.web.vault, self.web.memory
        page = memory.page(Page, vault, vault.docs / file.src_uri)
        targets, modules = memory.page_clues(page)
        own += self._alive(targets) + self._embedded(modules)
        documented = file.src_uri.startswith(_REFERENCE) or ":::" in page.text
        return own + (self.reference if documented else "")

    def _alive(self, targets: Iterable[str]) -> str:
        return "".join(f"{target}{self.web.uri(target) in self.known}" for target in targets)

    def _embedded(self, modules: Iterable[str]) -> str:
        own = "".join(self._module(name) for name in modules if "." not in name)
        return own + self.source if modules else ""

    def _module(self, name: str) -> str:
        if name == FLOW:  # 链接写在记录里：随便哪一页在不在变了，都重新换成网址
            return repr(sorted(self.known))
        vault = self.web.vault
        path, folder = vault.snippets / f"{name}.py", vault.outputs / name
        if not path.is_file():
            return repr(sorted(p.stem for p in snippet_files(vault)))
        paths = [path, *(sorted(folder.iterdir()) if folder.is_dir() else ())]
        state = (name in serve.STATE.running, serve.STATE.failures.get(name))
        return repr([fingerprint(path) for path in paths]) + repr(state)


class Shapes:
    """导航与前后页在一页上露出的样子。"""

    def __init__(self, nav: Navigation) -> None:
        self.nav = nav
        self.known: dict[frozenset[int], str] = {}  # 同一栏目里的页，导航的样子相同

    def of(self, page: Shown) -> Mark:
        """一页的标题、它看得见的导航、前后两页。"""
        above = frozenset(id(section) for section in page.ancestors)
        if above not in self.known:
            self.known[above] = _shape(self.nav.items, above)
        beside = ((p.title, p.url) if p else None for p in (page.previous_page, page.next_page))
        return (page.title, self.known[above], *beside)


def _shape(items: Iterable[Any], above: frozenset[int]) -> str:
    """导航在一页上露出的样子：不在这一路上的栏目只露出标题与第一页。"""
    shown = []
    for item in items:
        if isinstance(item, Section):
            inner = _shape(item.children, above) if id(item) in above else _first(item)
            shown.append(f"{item.title}[{inner}]")
        else:
            shown.append(f"{item.title}:{getattr(item, 'url', '')}")
    return ",".join(shown)


def _first(section: Section) -> str:
    child: Any = section
    while isinstance(child, Section) and child.children:
        child = child.children[0]
    return str(getattr(child, "url", ""))


def _complete(search: Any, files: Files) -> None:
    """没有重建的页，搜索条目用上一次的；次序与从头建的一样。"""
    made: dict[str, list[dict[str, Any]]] = {}
    for entry in search.entries:
        made.setdefault(entry["location"].partition("#")[0], []).append(entry)
    if STATE.recut:
        _recut(search)
    entries = {}
    for file in files.documentation_pages():
        known = made if file.src_uri in STATE.rebuilt else STATE.entries
        entries[file.url] = known.get(file.url, [])
    STATE.entries = entries
    search.entries = [entry for found in entries.values() for entry in found]


def _recut(search: Any) -> None:
    """词典换过：留着的条目按新词典重切。"""
    for entry in (one for kept in STATE.entries.values() for one in kept):
        for part in ("title", "text"):
            entry[part] = search._segment_chinese(entry[part].replace("\u200b", ""))
    STATE.recut = False


def _keep_inventory(path: Path) -> None:
    """没有重建参考页时，接口清单沿用上一次的。"""
    if _references_rebuilt() or not STATE.inventory:
        STATE.inventory = path.read_bytes() if path.is_file() else b""
    else:
        path.write_bytes(STATE.inventory)
