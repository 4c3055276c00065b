"""改一处只重建它能改到的页：借 mkdocs 自己的「脏」构建，由我们说清楚哪一页变了。

两次构建之间留下什么，只有这里知道：算过的东西（`Kept`），与每个文件的指纹、搜索的条目、接口清单
（`Incremental`）。mkdocs 的脏构建只看文件的时间：面板、导航、记录、搜索变了它都不知道；
这里一个文件的指纹里有它的一切依据，与上一次不同的才重建。
"""

import gc
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from itertools import count
from operator import contains
from pathlib import Path
from typing import Any, TypeVar

import jieba
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page as SitePage

from rizhi import links
from rizhi.errors import RizhiError
from rizhi.journal.day import Day, read_day
from rizhi.journal.todo import lives
from rizhi.mkdocs_plugin import article, search
from rizhi.mkdocs_plugin.autodoc import alone, outline
from rizhi.page import Note, Page, load
from rizhi.site import graph
from rizhi.site.graph import Web
from rizhi.snippets import record as records
from rizhi.snippets.source import modules, objects
from rizhi.template import boilerplate
from rizhi.vault import Vault, day_names, fingerprint, markdown_files, snippet_files

T = TypeVar("T")
P = TypeVar("P", bound=Page)
UNCOLLECTED = 8  # 重建这么多次收一回：扫一遍要一次重建的十分之一
_RENDERING = "mkdocstrings_handlers.python._internal.rendering"
_PRE = re.compile(r"<pre\b.*?</pre>", re.S)
_COLOUR = re.compile(r'<span(?: class="?[\w -]*"?)?(?: data-linenos="[\d ]*")?>')
Fingerprint = tuple[object, ...]
_Key = tuple[Callable[..., Any], Hashable]


class Kept:
    """算过的东西：同一个函数、同样的参数，就是上一次的结果。"""

    def __init__(self) -> None:
        # 各样的依据、结果，与算的时候又问了哪几样
        self._results: dict[_Key, tuple[object, Any, list[_Key]]] = {}
        self._asked: list[_Key] = []

    def __call__(self, name: Hashable, make: partial[T], given: object = None) -> T:
        """`name` 的这一样由 `make` 算；`given` 是它的依据，没有给就是 `make` 的参数。

        参数多半还是上一次的那些对象，比起来不必看内容。
        """
        key, clues = (make.func, name), make.args if given is None else given
        old = self._results.get(key)
        if old is None or old[0] != clues:
            before = len(self._asked)
            made = make()
            old = self._results[key] = (clues, made, self._asked[before:])
        else:  # 不必再算的，它问过的也都还要
            self._asked += old[2]
        self._asked.append(key)
        result: T = old[1]
        return result

    def prune(self) -> None:
        """一次构建完了：没有再问的（页删了、改名了）不留。"""
        self._results = {key: self._results[key] for key in self._asked}
        self._asked = []


@dataclass(frozen=True)
class Reader:
    """读知识库；没改过的页不重读、不重新解析，拿到的是同一个对象。"""

    vault: Vault
    kept: Kept
    days: dict[str, Page] = field(default_factory=dict)  # 这一次读的日总结，还没有排的
    # 各天的文件在读之前的样子：读过之后又改的，下一次构建看得出来
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)

    def page(self, path: Path) -> Page:
        """周报、参考页、指南……任何一页。"""
        return self._load(Page, path, True)

    def written(self, path: Path) -> Page:
        """要排的一页；一天的总结取走就不留了。"""
        if path.is_relative_to(self.vault.daily):
            return self.days.pop(str(path), None) or load(Day, self.vault, path)
        kind = Note if path.is_relative_to(self.vault.notes) else Page
        return self._load(kind, path, True)

    def notes(self) -> tuple[Note, ...]:
        """全部笔记，同 `page.read_notes`。"""
        files = markdown_files(self.vault.notes)
        return tuple(self._load(Note, path, link) for path, link in files)

    def web(self, today: date) -> Web:
        """整张网，同 `graph.read_web`；一天只留读出来的，不留解析的结果：十年的要多占几十兆。"""
        vault, kept, rows, notes = self.vault, self.kept, boilerplate(self.vault), self.notes()
        days = day_names(vault)
        self.fingerprints.update((path, fingerprint(path)) for _, path in days)
        pages = tuple(
            kept(path, partial(_day_fact, self, day, path, rows), (self.fingerprints[path], rows))
            for day, path in days
        )
        todos = kept("todos", partial(lives, [(page.date, page.said) for page in pages]))
        spelled = [(note.path, note.title, note.aliases) for note in notes]
        clues = (vault.config.get("everyday"), spelled)
        names = kept("names", partial(links.named, vault, notes), clues)
        named = {
            page.uri: kept(page.uri, partial(graph.named_in, page.prose, names))
            for page in pages
            if page.words
        }
        weeks = tuple(self._load(Page, path, link) for path, link in markdown_files(vault.weekly))
        title = graph.brief_title(vault)
        briefs = {
            str(note.path): kept(note.path, partial(graph.brief, note, title)) for note in notes
        }
        return Web(vault, today, pages, notes, weeks, tuple(todos), named, briefs)

    def _load(self, kind: type[P], path: Path, link: bool) -> P:
        make = partial(load, kind, self.vault, path, link)
        return self.kept((kind, path), make, fingerprint(path))


def _day_fact(reader: Reader, day: date, path: str, rows: re.Pattern[str]) -> graph.DayFact:
    page = read_day(reader.vault, Path(path))
    reader.days[path] = page
    return graph.day_fact(reader.vault, day, page, rows)


class Templates(BytecodeCache):
    """主题的模板只编译一次：mkdocs 每次重建都换一个新的环境，编译要占去改一处的小一半时间。"""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """源文变了，校验和对不上，jinja2 自会重编。"""
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


@dataclass
class Snapshot:
    """一次构建：每个文件的指纹与产物在哪里。"""

    fingerprints: dict[str, Fingerprint]
    places: dict[str, str]


class Incremental:
    """上一次构建留下的一切。"""

    def __init__(self) -> None:
        self.kept = Kept()
        self.templates = Templates()
        self.search = SearchEntries()
        self.references = References()
        self.rebuilt: set[str] = set()  # 这一次重建的页
        self._settings: Fingerprint = ()
        self._site = ""
        self._shapes: dict[Fingerprint, Fingerprint] = {}
        self._built = Snapshot({}, {})
        self._building = Snapshot({}, {})  # 这一次的，建成了才算数

    def begin(self, config: MkDocsConfig, vault: Vault) -> None:
        """换了知识库、产物的文件夹，或改了配置，就从头来。"""
        files = (str(config.config_file_path), str(vault.root / "pyproject.toml"))
        template = f"{boilerplate(vault).pattern}\n{article.shape(vault)}"
        settings = (config.site_dir, template, *((file, fingerprint(file)) for file in files))
        if self._settings != settings:
            self._settings = settings
            self.forget()
        if self._site != config.site_dir:
            self._site, self._built.places = config.site_dir, {}

    def forget(self) -> None:
        """页都要重建；哪些产物是自己的还要记着，好在删了页之后清掉。"""
        self._built.fingerprints = {}
        self.search.forget()

    def retry(self, uris: Iterable[str]) -> None:
        """这几页没有排出来：下一次还要再排，哪怕什么也没变。"""
        for uri in uris:
            self._building.fingerprints.pop(uri, None)

    def mark(self, files: Files, nav: Navigation, sources: "Sources") -> None:
        """与上一次的指纹相同、产物又还在的文件，告诉 mkdocs 它没变。

        导航与前后页的标题也写在每一页上，一样算。
        """
        shapes = Shapes(nav, self._shapes)
        self._shapes = shapes.known
        fingerprints: dict[str, Fingerprint] = {
            file.src_uri: (sources.of(file), shapes.of(file.page) if file.page else ())
            for file in files
        }
        places = {file.src_uri: file.abs_dest_path for file in files}
        self._building = Snapshot(fingerprints, places)
        self.rebuilt = set()
        there = {f"{top}{os.sep}{name}" for top, _, names in os.walk(self._site) for name in names}
        changed = {file.src_uri for file in files if self._is_changed(file, there)}
        self.references.begin(file.url for file in files if file.src_uri not in changed)
        for file in files:
            modified = partial(contains, changed, file.src_uri)
            file.is_modified = modified  # type: ignore[method-assign]

    def finish(self, config: MkDocsConfig, files: Files, notes: Mapping[str, Note]) -> None:
        """补全搜索与接口清单，删掉已经没有的页，记下这一次的指纹。赶在搜索插件写盘之前。

        `notes` 是每篇笔记，键是相对于 docs 的路径。
        """
        self.search.complete(config, files, self.rebuilt, notes)
        self.references.keep(config)
        places = set(self._building.places.values())
        for place in self._built.places.values():
            if place not in places:
                Path(place).unlink(missing_ok=True)
        self._built = self._building
        self.kept.prune()

    def _is_changed(self, file: File, there: Collection[str]) -> bool:
        before = self._built.fingerprints.get(file.src_uri)
        same = before is not None and before == self._building.fingerprints[file.src_uri]
        return not (same and file.abs_dest_path in there)


class Sources:
    """一个文件由什么算出来：它自己、接上的面板、它链接的在不在、它嵌入的片段与源码。"""

    def __init__(
        self,
        reader: Reader,
        web: Web,
        files: Files,
        inserted: Callable[[str], Fingerprint],
        running: Callable[[str], Fingerprint],
        handlers: Mapping[str, Any],
    ) -> None:
        """`inserted` 是一页上接的各段，`running` 是一个片段此刻跑得怎样。

        `handlers` 是 mkdocstrings 的各个处理器与它们的设置。
        """
        self._inserted, self._docs = inserted, str(reader.vault.docs)
        self._fingerprints = reader.fingerprints
        self._uris = frozenset(file.src_uri for file in files)
        self._standing = {day.uri: web.standing.get(day.date) for day in web.pages}
        known: dict[str, Page] = {web.uri(page.path): page for page in web.notes + web.weeks}
        self._depends = {day.uri: (day.reach, day.embedded) for day in web.days}
        for file in files:
            uri = file.src_uri
            if uri.endswith(".md") and file.abs_src_path and uri not in self._depends:
                page = known.get(uri) or reader.page(reader.vault.docs / uri)
                self._depends[uri] = reader.kept(page.path, partial(_dependencies, page))
        lines = {uri: lines for uri, (_, lines) in self._depends.items() if lines}
        self._embedded = Embedded(reader, self._uris, lines, running, handlers)
        self._lives = cache(self._is_alive)  # 许多页链接到同一个文件

    def of(self, file: File) -> Fingerprint:
        """除了导航，一个文件的一切依据。"""
        uri, path = file.src_uri, file.abs_src_path
        if path is None:
            return (file.content_bytes, *self._inserted(uri))
        before = self._fingerprints.get(path) or fingerprint(path)
        own = (before, *self._inserted(uri), self._standing.get(uri))
        if uri not in self._depends:
            return own
        reach, lines = self._depends[uri]
        return (*own, tuple(map(self._lives, reach)), self._embedded.of(lines))

    def _is_alive(self, target: str) -> bool:
        return graph.uri_of(target, self._docs) in self._uris


class Embedded:
    """围栏里的各行、`::: 名字` 列出的接口，各由什么算出来。"""

    def __init__(
        self,
        reader: Reader,
        uris: frozenset[str],
        lines: Mapping[str, Iterable[str]],
        running: Callable[[str], Fingerprint],
        handlers: Mapping[str, Any],
    ) -> None:
        """`lines` 是各页的 `graph.embedded`。"""
        self._reader, self._vault, self._uris = reader, reader.vault, uris
        self._running = running
        self._modules = modules(self._vault)
        stems = tuple(path.stem for path in snippet_files(self._vault))
        self._names = (stems, tuple(self._modules))
        self._outlines = {
            name: reader.kept(path, partial(outline, path), fingerprint(path))
            for name, path in self._modules.items()
        }
        listed = [
            (line.removeprefix(graph.LISTING), uri)
            for uri, own in lines.items()
            for line in own
            if line.startswith(graph.LISTING)
        ]
        self._listed = [(name, uri) for name, uri in listed if not name.endswith(":")]
        options = [name.removesuffix(":") for name, _ in listed if name.endswith(":")]
        names = [name for name, _ in self._listed]
        self._alone = alone(names, options, self._outlines, handlers)
        self._snippets = cache(self._snippet)  # 一页里好几行是同一个片段

    def of(self, lines: Iterable[str]) -> Fingerprint:
        """一页的各行。"""
        return tuple(map(self._line, lines))

    def _line(self, line: str) -> Fingerprint:
        if line == graph.FLOW:  # 链接写在记录里：随便哪一页在不在变了，都重新换成网址
            return (self._uris,)
        if line.startswith(graph.LISTING):
            return self._listing(line.removeprefix(graph.LISTING))
        what = line.partition("#")[0]  # 之后点名的是要紧的行，依据还是那一个对象
        module, _, name = (part.strip() for part in what.partition(":"))
        if module in self._modules:
            return self._object(module, name)
        path = self._vault.snippets / f"{module}.py"
        if module.isidentifier() and os.path.isfile(path):  # noqa: PTH113  名字也许长得不像话
            return self._snippets(path)
        return self._names  # 页面上列出现有的

    def _listing(self, name: str) -> Fingerprint:
        """一个模块的接口：它自己的全文，别的模块只看轮廓；说不准的，什么变了都重排。"""
        listed, outlines = tuple(self._listed), tuple(self._outlines.items())
        if self._alone:
            own = self._modules.get(name)
            return (name, fingerprint(own) if own else (), outlines, listed)
        pages = (self._vault.docs / uri for _, uri in listed)
        return (_fingerprints(self._modules.values()), _fingerprints(pages), listed)

    def _object(self, module: str, name: str) -> Fingerprint:
        """一段源码与它的行号；名字链接到参考页，有没有那一节由轮廓定。"""
        path = self._modules[module]
        found = self._reader.kept(path, partial(_objects, path), fingerprint(path))
        shown = found.get(name) or (tuple(found) or fingerprint(path))
        listed = tuple(uri for listed, uri in self._listed if listed == module)
        return (shown, listed, self._outlines[module], self._alone)

    def _snippet(self, path: Path) -> Fingerprint:
        record = self._vault.outputs / path.stem
        outputs = sorted(record.iterdir()) if record.is_dir() else []
        loaded = records.load(self._vault, path)
        state = loaded.error or loaded.state
        return (_fingerprints([path, *outputs]), self._running(path.stem), state)


def _objects(path: Path) -> dict[str, tuple[int, str]]:
    """有语法错误的，一个也没有：页面上说哪里错了。"""
    try:
        return objects(path)
    except RizhiError:
        return {}


def _dependencies(page: Page) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return graph.reach(page), graph.embedded(page)


def _fingerprints(paths: Iterable[Path]) -> Fingerprint:
    return tuple(fingerprint(path) for path in paths)


class Shapes:
    """导航与前后页在一页上露出的样子。"""

    def __init__(self, nav: Navigation, before: dict[Fingerprint, Fingerprint]) -> None:
        """`before` 是上一次的样子：没变就用同一个对象，每一页比起来都不必看内容。"""
        self.known: dict[Fingerprint, Fingerprint] = {}
        self._nav, self._before = nav, before
        self._by_place: dict[int, Fingerprint] = {}  # 同一栏目里的页，导航的样子相同

    def of(self, page: SitePage) -> Fingerprint:
        """一页的标题、它看得见的导航、前后两页。"""
        place = id(page.parent)
        if place not in self._by_place:
            shape = _shape(self._nav.items, frozenset(map(id, page.ancestors)))
            self._by_place[place] = self.known[shape] = self._before.get(shape, shape)
        neighbours = (page.previous_page, page.next_page)
        beside = tuple((other.title, other.url) if other else None for other in neighbours)
        return (page.title, self._by_place[place], beside)


def _shape(items: Iterable[Any], above: frozenset[int]) -> Fingerprint:
    """导航在一页上露出的样子：不在这一路上的栏目只露出标题与第一页。"""
    shown: list[object] = []
    for item in items:
        if isinstance(item, Section):
            inner = _shape(item.children, above) if id(item) in above else _first(item)
            shown.append((item.title, inner))
        else:
            shown.append((item.title, getattr(item, "url", "")))
    return tuple(shown)


def _first(section: Section) -> str:
    child: Any = section
    while isinstance(child, Section) and child.children:
        child = child.children[0]
    return str(getattr(child, "url", ""))


class SearchEntries:
    """搜索的条目：没有重建的页用上一次的，次序与从头建的一样。"""

    def __init__(self) -> None:
        self._by_page: dict[str, list[dict[str, Any]]] = {}
        self._words: str | None = None
        self._recut = False  # 词典换过，留着的条目要重切

    def forget(self) -> None:
        """都要重新收。"""
        self._by_page = {}

    def use_words(self, config: MkDocsConfig, words: str, path: Path) -> None:
        """分词的词典只在变了的时候重新载入：jieba 的词频会越载越大，切得与从头建的不一样。"""
        for plugin in _search_plugins(config):
            plugin.config.jieba_dict_user = None
        if self._words == words:
            return
        jieba.setLogLevel(logging.WARNING)
        jieba.dt.initialized = False
        jieba.initialize()
        jieba.load_userdict(str(path))
        self._recut = self._words is not None
        self._words = words
        search.forget()

    def lighten(self, config: MkDocsConfig) -> None:
        """收的字一样，少做一些：代码里着色的标记不交给它解析；一串汉字切过就不再切。"""
        for plugin in _search_plugins(config):
            index = plugin.search_index
            index.add_entry_from_context = partial(_add_uncoloured, index.add_entry_from_context)
            if hasattr(index, "_segment_chinese"):
                index._segment_chinese = search.segmented

    def complete(
        self, config: MkDocsConfig, files: Files, rebuilt: set[str], notes: Mapping[str, Note]
    ) -> None:
        """补上没有重建的页，与笔记的名字：名字留到写盘时才添，词典换了也不必重切。"""
        for plugin in _search_plugins(config):
            index = plugin.search_index
            fresh = graph.grouped((e["location"].partition("#")[0], e) for e in index.entries)
            if self._recut:
                self._cut_again(index)
            pages = [file for file in files if file.page]
            self._by_page = {
                file.url: (fresh if file.src_uri in rebuilt else self._by_page).get(file.url, [])
                for file in pages
            }
            of_notes = {file.url: notes[file.src_uri] for file in pages if file.src_uri in notes}
            index.entries = []
            for url, entries in self._by_page.items():
                note = of_notes.get(url)
                index.entries += (
                    [
                        search.named(entry, note) if entry["location"] == url else entry
                        for entry in entries
                    ]
                    if note
                    else entries
                )

    def _cut_again(self, index: Any) -> None:
        for entry in (entry for entries in self._by_page.values() for entry in entries):
            for part in ("title", "text"):
                entry[part] = index._segment_chinese(entry[part].replace("\u200b", ""))
        self._recut = False


def _add_uncoloured(add: Callable[[SitePage], None], page: SitePage) -> None:
    content = page.content
    page.content = _PRE.sub(_uncoloured, content or "")
    add(page)
    page.content = content


def _uncoloured(block: re.Match[str]) -> str:
    """一块代码去掉着色；里面另有别的 `<span>`，也许是不收的，就不动。"""
    bare = _COLOUR.sub("", block[0])
    return block[0] if "<span" in bare else bare.replace("</span>", "")


def _search_plugins(config: MkDocsConfig) -> list[Any]:
    names = ("search", "material/search")
    return [config.plugins[name] for name in names if name in config.plugins]


class References:
    """mkdocstrings 的接口清单：没有重建的参考页，用上一次的。"""

    def __init__(self) -> None:
        self._items: list[Any] = []

    def begin(self, same: Iterable[str]) -> None:
        """`same` 是不重建的各页的网址：只留它们的。"""
        pages = frozenset(same)
        self._items = [item for item in self._items if item.uri.partition("#")[0] in pages]

    def recall(self, config: MkDocsConfig) -> None:
        """这些页照样找得到，清单里也照样有：autorefs 与 mkdocstrings 只认得这一次排过的。"""
        inventory = _inventory(config)
        for item in self._items:
            if item.name not in inventory:
                inventory[item.name] = item
                plugin: Any = config.plugins["autorefs"]
                plugin.register_url(item.name, item.uri)

    def keep(self, config: MkDocsConfig) -> None:
        """留下这一次的清单。"""
        self._items = list(_inventory(config).values())
        # 它按 jinja 的环境记，从不忘：改一次源码，那一次构建的整个站点就留在内存里
        rendering = sys.modules.get(_RENDERING)  # 没有参考页的，不为它多载入一个包
        remembered = getattr(rendering, "_test_existing_template", None)
        if remembered:
            remembered.cache_clear()


def _inventory(config: MkDocsConfig) -> dict[str, Any]:
    plugin: Any = config.plugins.get("mkdocstrings")
    inventory: dict[str, Any] = plugin.handlers.inventory if plugin and plugin._handlers else {}
    return inventory


def rebuilder(first: MkDocsConfig) -> Callable[[], None]:
    """`mkdocs serve` 每次改动之后做的事：第一次之后都是脏构建。

    mkdocs 每建一次留下一整套互相指着的文件与页，十年的有十兆；解释器要攒上百次才收，所以由我们收。
    头一次构建留下的往后都在，冻结了，收的时候就不必再扫。
    """
    with warnings.catch_warnings():  # 命令行给的选项只在这里有；mkdocs 说它将来会去掉
        warnings.simplefilter("ignore", DeprecationWarning)
        options = first.user_configs[-1]
    logging.getLogger("mkdocs.commands.build").addFilter(_is_not_the_dirty_warning)
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)  # 平常的一次到不了；全部重排的那一次，中途也要收
    passes = count(1)

    def again() -> None:
        config = load_config(first.config_file_path, **options)
        config.site_url = first.site_url
        try:
            build(config, serve_url=first.site_url, dirty=True)
        finally:
            if next(passes) % UNCOLLECTED == 0:
                gc.collect()

    return again


def _is_not_the_dirty_warning(record: logging.LogRecord) -> bool:
    # mkdocs 说脏构建的导航与链接会不准；不准的几样正是这里补上的
    return not str(record.msg).startswith("A 'dirty' build")
