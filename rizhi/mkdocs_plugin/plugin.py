"""mkdocs 的钩子：很薄，只把纯函数的结果接到构建的各个时刻上。"""

import gc
import logging
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from rizhi import stamp, store
from rizhi.errors import RizhiError
from rizhi.mkdocs_plugin import escaping, notebooks, pages, rebuild, search, serve, verdict
from rizhi.mkdocs_plugin import nav as navigation
from rizhi.site import html as render
from rizhi.site.graph import Web, read_web
from rizhi.site.graph import notes as read_notes
from rizhi.snippets import cells, fence
from rizhi.snippets import record as records
from rizhi.template import boilerplate
from rizhi.vault import Vault, find_vault, read_text, snippet_files, today
from rizhi.zh import cause

log = logging.getLogger("mkdocs.rizhi")

ASSETS = Path(__file__).parents[1] / "site" / "assets"
_DRAFT = '!!! warning "草稿"\n    这一篇还没有写完。\n\n'
_REFERENCE = re.compile(r"^::: (llm[\w.]*)\n(?: {4}.*\n?)*", re.M)


class Loom:
    """这一次构建用的整张网，与每一页的面板。"""

    web: Web
    panels: dict[str, tuple[str, str]]
    parts: dict[str, list[str]]
    template: re.Pattern[str]
    files: Files


@event_priority(100)  # 赶在搜索插件读词典之前
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    _vault_at.cache_clear()  # 设置也许改过
    gc.set_threshold(20_000, 50, 100)  # 十年有几百万个活着的对象，缺省每七百个新的就要扫一遍
    vault = _vault(config)
    notes = read_notes(vault, rebuild.STATE.memory)
    words = search.dictionary(notes)
    try:
        path = store.state_folder(vault.root) / "words.txt"
        store.replace(path, words.encode())
    except OSError as error:
        raise PluginError(cause(error)) from error
    rebuild.begin(config, vault)
    rebuild.use_words(config, words, path)
    config.nav = navigation.nav(vault, notes, rebuild.STATE.memory)
    return config


def on_startup(command: str, dirty: bool) -> None:
    fence.PLACE.failures.clear()
    serve.STATE.serving = command == "serve"


def on_pre_build(config: MkDocsConfig) -> None:
    serve.refresh(_vault(config), rebuild.STATE.memory)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    vault = _vault(config)
    Loom.template = boilerplate(vault)
    web = Loom.web = read_web(vault, today(vault), rebuild.STATE.memory)
    made = pages.sources(web)
    texts = {uri: text for uri, (text, _) in made.items()} | pages.scripts(web)
    for uri, text in texts.items():
        if files.get_file_from_path(uri):
            log.warning(
                "docs/%s 与算出来的页同名：显示的是你写的。要看算出来的，给它改个名字。", uri
            )
            made.pop(uri, None)
        else:
            files.append(File.generated(config, uri, content=text))
    Loom.parts = {uri: parts for uri, (_, parts) in made.items()}
    for path in sorted(p for p in ASSETS.rglob("*") if p.is_file()):
        uri = f"assets/{path.relative_to(ASSETS).as_posix()}"
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    for path in sorted(vault.notebooks.glob("*.ipynb")):
        _replace_broken(files, config, vault, path)
    for path in snippet_files(vault):
        try:
            book = _book(path, vault.outputs, stamp.of_snippet(vault, path))
        except RizhiError as error:
            log.info("%s", error)  # 用到它的页面会显示这个错误并记警告
            continue
        files.append(File.generated(config, f"downloads/{path.stem}.ipynb", content=book))
    if not gc.get_freeze_count():  # 只在头一遍：每遍都冻结，旧的那些就永远不还了
        gc.freeze()  # 整张网要留到下一次重建，不必再扫
    Loom.files = files
    uris = [file.src_uri for file in files.documentation_pages()]
    Loom.panels = {uri: pages.rendered(web, uri) for uri in uris}
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    navigation.chain_days(files, Loom.web)
    woven = {uri: (two, Loom.parts.get(uri)) for uri, two in Loom.panels.items()}
    rebuild.mark(files, nav, Loom.web, woven)
    return nav


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    env.bytecode_cache = rebuild.TEMPLATES
    escaping.guard(env)
    rebuild.recall_references(config)
    return env


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """读不懂的一页换成说明：mkdocs 遇到不是 UTF-8 的一页，整个站点都打不开了。"""
    path = page.file.abs_src_path
    if path is None or page.file.src_uri.endswith(".ipynb"):
        return None
    try:
        read_text(Path(path))
    except RizhiError as error:
        message = str(error).replace(f"{_vault(config).root}/", "")
        log.warning("%s", message)
        return f"# {page.file.name}\n\n{_failure(message)}"
    return None


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    fence.PLACE.page = f"docs/{page.file.src_uri}"
    fence.PLACE.draft = page.meta.get("draft") is True
    # 日总结与周报里换行就是换行；每一页都按这里的选项另造一个 Markdown
    breaks = page.file.src_uri.startswith(("daily/", "weekly/"))
    config.mdx_configs.setdefault("rizhi.site.lists", {})["breaks"] = breaks
    page.meta = escaping.escaped(dict(page.meta))
    if "title" in page.meta:  # 也许是个数字
        page.meta["title"] = str(page.meta["title"])
    head = _DRAFT if fence.PLACE.draft else ""
    vault = _vault(config)
    if serve.STATE.serving and page.file.abs_src_path:
        page.edit_url = pages.edit_url(vault, page.file.abs_src_path)
    return _REFERENCE.sub(lambda found: _reference(vault, found), head + markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """模板文字不进搜索；把下载的占位换成真的链接：没有这个钩子的引擎里它是空的。"""
    uri = page.file.src_uri
    rebuild.STATE.rebuilt.add(uri)
    for message in verdict.verdicts(html, uri):
        log.warning("%s", message)
    if uri.endswith(".ipynb"):
        return notebooks.name_headings(html, page.toc)

    def link(found: re.Match[str]) -> str:
        target = files.get_file_from_path(f"downloads/{found[1]}.ipynb")
        if target is None:
            return ""
        url = target.url_relative_to(page.file)
        return f'<a class="rz-notebook" href="{url}" download title="带输出的笔记本">.ipynb</a>'

    html = re.sub(r'<span class="rz-notebook" data-module="(\w+)"></span>', link, html)
    return pages.unindexed(html, Loom.template) if uri.startswith("daily/") else html


@event_priority(-100)  # 搜索插件读过正文之后：面板不进搜索，也不必让它解析
def on_page_context(context: Any, page: Page, config: MkDocsConfig, nav: Navigation) -> None:
    uri = page.file.src_uri
    html = render.filled(page.content or "", Loom.parts.get(uri, ()))
    page.content = pages.woven(html, *Loom.panels.get(uri, ("", "")))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """收拢正文之前的空白：主题按别的栏目有几页留几个空行，加一篇笔记就会让每一页都变。"""
    head, mark, tail = output.partition('<div class="md-content"')
    return re.sub(r"\n\s+", "\n", head) + mark + tail


@event_priority(100)  # 赶在搜索插件写盘之前
def _complete(config: MkDocsConfig) -> None:
    rebuild.finish(config, Loom.files)


def _conclude(config: MkDocsConfig) -> None:
    search.patch_worker(Path(config.site_dir))
    serve.finish(_vault(config))


on_post_build = CombinedEvent(_complete, _conclude)


def on_build_error(error: Exception) -> None:
    rebuild.forget()
    serve.abandon()


def on_serve(server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> LiveReloadServer:
    server.builder = rebuild.rebuilder(config)
    serve.begin(server, _vault(config))
    return server


@cache  # 每一页都要问几遍
def _vault_at(folder: Path) -> Vault:
    return find_vault(folder)


@lru_cache(maxsize=1024)  # 没改过的片段，每次重建都沿用
def _book(path: Path, outputs: Path, _: object) -> str:
    record = records.read_record(outputs, path.stem)
    return records.to_notebook(cells.parse(path), record)


def _vault(config: MkDocsConfig) -> Vault:
    return _vault_at(Path(config.config_file_path).parent)


def _replace_broken(files: Files, config: MkDocsConfig, vault: Vault, path: Path) -> None:
    trouble = notebooks.trouble(vault, path)
    found = files.get_file_from_path(path.relative_to(vault.docs).as_posix())
    if trouble and found:
        log.warning("%s", trouble)
        text = f"# {path.stem}\n\n{_failure(trouble)}"
        files.remove(found)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))


def _failure(message: str) -> str:
    return f'!!! failure "{message}"\n    改好之后，这一页会自己回来。\n'


def _reference(vault: Vault, found: re.Match[str]) -> str:
    """`llm` 正写到一半、读不懂的时候，mkdocstrings 会让整个构建失败：改成在页面上说明。"""
    path = vault.root / (found[1].replace(".", "/") + ".py")
    try:
        cells.syntax_tree(path, read_text(path))
    except RizhiError as error:
        message = str(error).replace(f"{vault.root}/", "")
        log.warning("%s：%s", fence.PLACE.page, message)
        return _failure(message)
    return found[0]
