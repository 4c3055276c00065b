"""mkdocs 插件：很薄，只把纯函数的结果接到构建的各个时刻上。

`plugins` 里的先后定不了次序：每个事件都写明优先级，排在第几个都一样。
"""

import gc
import logging
import os
import re
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jinja2 import Environment
from mkdocs.config.base import Config
from mkdocs.config.config_options import ExtraScriptValue, Type
from mkdocs.config.config_options import Optional as Maybe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import BasePlugin, CombinedEvent, event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from mkdocs.utils.templates import TemplateContext
from pathspec.gitignore import GitIgnoreSpec

from rizhi import deadlinks, store
from rizhi.entries import Misfit, is_page, misfits, shown
from rizhi.errors import RizhiError
from rizhi.journal.day import Day
from rizhi.mkdocs_plugin import (
    article,
    diary,
    escaping,
    live,
    live_review,
    notebooks,
    pages,
    passage,
    search,
    theme,
    verdict,
)
from rizhi.mkdocs_plugin import nav as navigation
from rizhi.mkdocs_plugin.autodoc import Autodoc, chinese
from rizhi.mkdocs_plugin.broken import Broken, box
from rizhi.mkdocs_plugin.rebuild import Incremental, Reader, Sources, rebuilder
from rizhi.mkdocs_plugin.serve import Reruns
from rizhi.mkdocs_plugin.server import check_port, protect, reading, surviving
from rizhi.mkdocs_plugin.watch import Observer
from rizhi.page import Note
from rizhi.page import Page as Written
from rizhi.site import tasks
from rizhi.site.expand import DRAFT
from rizhi.site.export import assets
from rizhi.site.graph import Web
from rizhi.snippets import fence, run
from rizhi.snippets import record as records
from rizhi.snippets.notebook import to_notebook
from rizhi.template import boilerplate
from rizhi.vault import Vault, find_vault, snippet_files, today
from rizhi.zh import cause

log = logging.getLogger("mkdocs.rizhi")

STYLES = ("assets/web.css", "assets/rizhi.css")  # 打印的规则在 rizhi.css 里，要排在后面
SCRIPTS = ("assets/rizhi.js", "assets/web.js")
WORKER = "assets/iframe-worker.js"  # file:// 下搜索用的 Worker
ICON = "assets/favicon.svg"
THEME = Path(__file__).with_name("theme")  # 换掉主题的几个模板
# 一天天的、算出来的页太多，不进导航
NOT_IN_NAV = tuple(f"/{name}/**" for name in "daily weekly mentions tags timeline todos".split())
EARLY, LATE = event_priority(100), event_priority(-100)

Misfits = dict[Path, Misfit]


class Options(Config):  # type: ignore[no-untyped-call]
    """mkdocs 必须知道的选项；设置都在 `[tool.rizhi]`。"""

    live = Type(bool, default=True)
    diary = Maybe(Type(bool))  # 带不带日总结与周报；没有说，就是 make offline 不带，别的带


class RizhiPlugin(BasePlugin[Options]):  # type: ignore[no-untyped-call]
    """两次构建之间留着的在 `_incremental` 与 `_reruns` 里，其余的每次构建都换。

    mkdocs 只给定义了 `on_startup` 的插件在重建之间保留同一个实例。
    """

    def __init__(self) -> None:
        self._incremental = Incremental()
        self._reruns = Reruns()
        self._observer: Observer | None = None  # 只在 serve 时有
        self._frozen = False
        self._reader: Reader
        self._template: re.Pattern[str]
        self._shape: article.Shape
        self._web: Web
        self._inserts: pages.Inserts
        self._files: Files
        self._nav: Navigation
        self._broken: Broken
        self._misfits: Misfits
        self._written: Written | None = None  # 正在排的这一页的原文
        self._site: deadlinks.Site
        self._notes: tuple[Note, ...]
        self._built: live_review.Built

    @property
    def rebuilt(self) -> set[str]:
        """这一次重建的页。"""
        return self._incremental.rebuilt

    def _with_diary(self, config: MkDocsConfig) -> bool:
        return not _offline(config) if self.config.diary is None else self.config.diary

    @property
    def _vault(self) -> Vault:
        return self._reader.vault

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        self._reruns.start(command)

    @EARLY  # 赶在搜索插件读词典、offline 添上 CDN 的脚本之前
    def _configure(self, config: MkDocsConfig) -> MkDocsConfig:
        if not self._frozen:  # 十年有几百万个活着的对象，默认每七百个新的就要扫一遍
            gc.set_threshold(3_000, 20, 100)
        folder = Path(config.config_file_path).parent
        try:
            vault = find_vault(folder, folder)
            if self._reruns.serving and not self._observer:
                self._begin_serving(config, vault)
            words_file = store.state_folder(vault.root) / "words.txt"
            self._reader = Reader(vault, self._incremental.kept)
            self._template = boilerplate(vault)
            self._shape = article.shape(vault)
            self._notes = self._reader.notes()
            words = search.dictionary(self._notes)
            store.replace(words_file, words.encode())
        except (OSError, RizhiError) as error:
            raise PluginError(cause(error, folder)) from error
        self._incremental.begin(config, vault)
        self._incremental.search.use_words(config, words, words_file)
        self._misfits = {misfit.path: misfit for misfit in misfits(vault)}
        read, with_diary = self._reader.page, self._with_diary(config)
        review = live_review.PAGE if self._reviews(config) else ""
        config.nav = navigation.nav(vault, self._notes, read, self._misfits, with_diary, review)
        _add_defaults(config)
        theme.skip_hidden(config.theme)
        self._broken = Broken(vault)
        self._broken.guard_events(config.plugins)
        return config

    @LATE  # mkdocstrings 的扩展添上、搜索的索引造好之后
    def _guard_autodoc(self, config: MkDocsConfig) -> MkDocsConfig:
        self._incremental.search.lighten(config)
        extensions: list[Any] = config.markdown_extensions
        templates = self._incremental.templates
        extensions.append(Autodoc(self._vault, lambda: f"docs/{_current(config)}", templates))
        if not self._with_diary(config):
            extensions.append(diary.Unlinked(lambda: _current(config), lambda: self._files))
        return config

    on_config = CombinedEvent(_configure, _guard_autodoc)

    def on_pre_build(self, *, config: MkDocsConfig) -> None:
        self._reruns.refresh(self._vault, self._reader.page)

    @EARLY  # 别的插件打开它们之前
    def _contain(self, files: Files, *, config: MkDocsConfig) -> Files:
        _drop_misfits(files, config, self._vault, self._misfits)
        return files

    @LATE  # 别的插件加的、换的文件都看得见；mkdocs-jupyter 会换一个 Files
    def _add(self, files: Files, *, config: MkDocsConfig) -> Files:
        web, with_diary = self._reader.web(today(self._vault)), self._with_diary(config)
        if not with_diary:
            diary.leave_out(files)
            web = diary.without(web)
        kept, self._web = self._incremental.kept, web
        computed = pages.sources(web, kept, with_diary)
        if self._reviews(config):
            computed[live_review.PAGE] = live_review.SHELL, []
        for uri, (text, _) in list(computed.items()):
            if files.get_file_from_path(uri):
                log.warning(
                    "docs/%s 与算出来的页同名：显示的是你写的。要看算出来的，给它改个名字。", uri
                )
                del computed[uri]
            else:
                files.append(File.generated(config, uri, content=text))
        _add_assets(files, config, pages.scripts(web))
        _add_downloads(files, config, self._vault)
        theme.patch(files, config)
        _remove_excluded(files)
        uris = frozenset(file.src_uri for file in files)
        self._site = deadlinks.Site(self._vault, uris, self._reader.page, dict)
        if not self._frozen:  # 只在头一遍：每遍都冻结，旧的那些就永远不还了
            self._frozen = True
            gc.freeze()  # 整张网要留到下一次重建，不必再扫
        parts = {uri: parts for uri, (_, parts) in computed.items()}
        shown = [file.src_uri for file in files.documentation_pages()]
        self._inserts = pages.Inserts(parts, pages.around(web, shown, kept, with_diary))
        self._broken.guard_copy(files)
        return files

    on_files = CombinedEvent(_contain, _add)

    @LATE  # 导航排定之后
    def on_nav(self, nav: Navigation, *, config: MkDocsConfig, files: Files) -> Navigation:
        self._files, self._nav = files, nav
        render = passage.renderer(config, self._vault, live_review.PAGE)
        self._built = live_review.Built(self._notes, render)
        navigation.place(files, self._web)
        autodoc: Any = config.plugins.get("mkdocstrings")
        handlers = autodoc.config.handlers if autodoc else {}
        running = self._reruns.state
        sources = Sources(self._reader, self._web, files, self._inserts.of, running, handlers)
        self._incremental.mark(files, nav, sources)
        return nav

    # 在 autorefs（-50）用清单填链接之前
    def on_env(self, env: Environment, *, config: MkDocsConfig, files: Files) -> Environment:
        env.bytecode_cache = self._incremental.templates
        escaping.guard(env)
        self._broken.guard_templates(env, files)
        navigation.render_once(env, self._nav)
        self._incremental.references.recall(config)
        return env

    @LATE  # mkdocs-jupyter 换上它自己的渲染之后
    def on_pre_page(self, page: Page, *, config: MkDocsConfig, files: Files) -> Page:
        self._broken.guard_page(page)
        return page

    def on_page_read_source(self, *, page: Page, config: MkDocsConfig) -> str | None:
        """正文与前置数据照日知的读法分开：mkdocs 的另一种，读出来的与 check 看到的不一样。"""
        path, uri = page.file.abs_src_path, page.file.src_uri
        self._written = None
        if path is None or page.file.src_dir != config.docs_dir or not is_page(uri):
            return None
        written = self._reader.written(Path(path))
        if written.unread:
            self._broken.fail(page, RizhiError(written.unread[0].message, Path(path)))
            return "\n"
        self._written = written
        body = written.body.replace("\r\n", "\n").replace("\r", "\n")
        return f"\n{body}"  # 空行之后的，mkdocs 不再当前置数据

    @EARLY
    def _use_front_matter(
        self, markdown: str, *, page: Page, config: MkDocsConfig, files: Files
    ) -> str:
        """值不合适的键已经去掉：主题遇到它们会让每一页都排不出来。"""
        meta = self._written.meta if self._written else {}
        page.meta.update({k: v for k, v in meta.items() if v is not None})
        return markdown

    @LATE  # 别的插件改过原文与前置数据之后
    def _use_markdown(
        self, markdown: str, *, page: Page, config: MkDocsConfig, files: Files
    ) -> str:
        draft = page.meta.get("draft") is True
        self._bind_fences(config, page, draft)
        # 日总结与周报里换行就是换行；每一页都按这里的选项另造一个 Markdown
        breaks = page.file.src_uri.startswith(("daily/", "weekly/"))
        options = {"breaks": breaks, "page": self._written, "places": self._boxes()}
        config.mdx_configs.setdefault("rizhi.site.lists", {}).update(options)
        page.meta = escaping.escaped(dict(page.meta))
        if page.is_homepage and page.meta.get("title") == config.site_name:
            del page.meta["title"]  # 不然是「日知 - 日知」
        if self._reruns.serving and page.file.abs_src_path:
            page.edit_url = pages.edit_url(self._vault, page.file.abs_src_path)
        if is_page(page.file.src_uri) and not page.file.generated_by:  # 笔记本里是数据，不是链接
            self._warn_unseen(page, markdown)
        return (DRAFT if draft else "") + markdown

    on_page_markdown = CombinedEvent(_use_front_matter, _use_markdown)

    @LATE  # 正文与目录都排定之后
    def on_page_content(self, html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
        """模板文字不进搜索；占位换成真的按钮与链接：没有这个插件的引擎里它是空的。"""
        uri = page.file.src_uri
        self.rebuilt.add(uri)
        for message in verdict.verdicts(html, uri):
            log.warning("%s", message)
        if uri in self._broken.reasons:
            return html
        if uri.endswith(".ipynb"):
            return notebooks.name_headings(notebooks.suited(html), page.toc)
        html = chinese(article.arranged(html, page, files, self._shape))
        html = self._said(uri) + html
        return pages.unindexed(html, self._template) if uri.startswith("daily/") else html

    @EARLY  # 搜索插件读正文之前
    def _explain(
        self, context: TemplateContext, *, page: Page, config: MkDocsConfig, nav: Navigation
    ) -> TemplateContext:
        if page.file.src_uri in self._broken.reasons:
            self._broken.explain(page)
        return context

    @LATE  # 搜索插件读过正文之后：面板不进搜索，也不必让它解析
    def _insert(
        self, context: TemplateContext, *, page: Page, config: MkDocsConfig, nav: Navigation
    ) -> TemplateContext:
        page.content = self._inserts.into(page.content or "", page.file.src_uri)
        return context

    on_page_context = CombinedEvent(_explain, _insert)

    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> str:
        """用不着的样式不引；收拢正文之前的空白：主题按别的栏目有几页留几个空行，加一篇笔记就会让每一页都变。"""
        head, mark, tail = output.partition('<div class="md-content"')
        return theme.needed(re.sub(r"\n\s+", "\n", head) + mark + tail)

    @EARLY  # 赶在搜索插件写盘之前
    def _complete(self, *, config: MkDocsConfig) -> None:
        self._incremental.retry(self._broken.reasons)
        self._incremental.finish(config, self._files, self._web.by_uri)

    def _conclude(self, *, config: MkDocsConfig) -> None:
        self._reruns.finish(self._vault)

    on_post_build = CombinedEvent(_complete, _conclude)

    def on_build_error(self, *, error: Exception) -> None:
        self._incremental.forget()
        self._reruns.abandon()

    def on_serve(
        self, server: LiveReloadServer, *, config: MkDocsConfig, builder: Any
    ) -> LiveReloadServer:
        host, port = config.dev_addr
        check_port(host, port)  # 头一次构建时，也许又有人占了
        server.builder = surviving(rebuilder(config))
        app = reading(self._reruns.noting(server.serve_request))
        if self.config.live:
            review = live_review.Review(lambda: self._built)
            app = live.route(app, host, lambda: self._vault, review.actions)
        protect(server, app, host)
        if self._observer:
            self._observer.take_over(server)
        for path, recursive in self._reruns.places(self._vault):
            server.watch(str(path), recursive=recursive)
        run.warm_up(self._vault)
        return server

    def _reviews(self, config: MkDocsConfig) -> bool:
        """有没有「复习」那一页：要 serve 的那条路由，静态的站点上没有。"""
        return self._reruns.serving and self.config.live and live.is_loopback(config.dev_addr[0])

    def _boxes(self) -> dict[int, tasks.Standing]:
        """正在排的这一天的勾选框：过去的一页上，也是现在的样子。"""
        day = self._written
        if not isinstance(day, Day) or day.date is None:
            return {}
        return tasks.placed(day, self._web.standing.get(day.date, {}))

    def _said(self, uri: str) -> str:
        """前置数据里读不懂、用不上的，说在页面上。"""
        written, said = self._written, []
        for fault in (*written.front.faults, *written.front.unfit) if written else ():
            message = f"docs/{uri}:{fault.line} {fault.message}。{fault.remedy}。"
            log.warning("%s", message)
            said.append(box(message))
        return "".join(said)

    def _warn_unseen(self, page: Page, markdown: str) -> None:
        """mkdocs 不核对、`check` 会报的链接。"""
        written = Written(self._vault.docs / page.file.src_uri, markdown)
        for message in deadlinks.unseen(self._site, written):
            log.warning("docs/%s：%s。", page.file.src_uri, message)

    def _begin_serving(self, config: MkDocsConfig, vault: Vault) -> None:
        """读第一个文件之前就看着：头一次构建还在跑时存的，建完就再建一遍。"""
        check_port(*config.dev_addr)
        self._observer = Observer(lambda: today(vault))
        given = [config.docs_dir, config.config_file_path, *config.watch]
        places = [(Path(path), True) for path in given] + self._reruns.places(vault)
        for path, recursive in places:
            self._observer.remember(str(path), recursive=recursive)

    def _bind_fences(self, config: MkDocsConfig, page: Page, draft: bool) -> None:
        """这一页的围栏知道自己在哪一页；每一页都按 mdx_configs 另造一个 Markdown。"""
        where, reruns = f"docs/{page.file.src_uri}", self._reruns
        context = fence.Context(
            self._vault, where, draft, reruns.failures, reruns.running, partial(_url, page)
        )
        bound = fence.fences(context)
        for custom in config.mdx_configs.get("pymdownx.superfences", {}).get("custom_fences", ()):
            custom["format"] = bound.get(custom["name"], custom["format"])


def _current(config: MkDocsConfig) -> str:
    page = config._current_page
    return page.file.src_uri if page else ""


def _drop_misfits(files: Files, config: MkDocsConfig, vault: Vault, found: Misfits) -> None:
    """收不进的文件，与链接到外面的文件夹里的一切；收不进的一页换成说明，谁也不必打开它。"""
    folders = tuple(f"{path}{os.sep}" for path in found)
    for file in list(files) if found else ():  # 多半一个也没有
        path = os.path.join(file.src_dir or "", file.src_uri)  # noqa: PTH118  十年有几千个文件
        if f"{path}{os.sep}".startswith(folders):
            files.remove(file)
            wrong = found.get(Path(path))
            if wrong and wrong.page:
                text = f"# {file.name}\n\n{box(_told(vault, wrong))}"
                uri = file.src_uri.removesuffix(".ipynb")
                uri = file.src_uri if is_page(uri) else f"{uri}.md"
                files.append(File.generated(config, uri, content=text))
    for misfit in found.values():
        log.warning("%s", _told(vault, misfit))


def _told(vault: Vault, misfit: Misfit) -> str:
    where = f"{shown(vault.relative(misfit.path))}:{misfit.line}"
    return f"{where} {misfit.message}。{misfit.remedy}。"


def _add_defaults(config: MkDocsConfig) -> None:
    """站点要的样式、脚本、图标、模板与中文；mkdocs.yml 里写了的照他的。"""
    config.theme.dirs.insert(1 if config.theme.custom_dir else 0, str(THEME))
    config.extra.setdefault("generator", False)  # 页脚一句「Made with」
    footnotes = config.mdx_configs.setdefault("footnotes", {})
    footnotes.setdefault("BACKLINK_TITLE", "回到正文第 {} 处脚注")
    config.extra_css[:0] = [uri for uri in STYLES if uri not in config.extra_css]
    written = {str(script) for script in config.extra_javascript}
    config.extra_javascript[:0] = [_deferred(uri) for uri in SCRIPTS if uri not in written]
    if _offline(config):  # 自带的，免得 offline 插件从 CDN 取
        scripts = config.extra.setdefault("polyfills", [])
        if not any("iframe-worker" in uri for uri in scripts):
            scripts.append(WORKER)
    if config.theme.get("favicon") == "assets/images/favicon.png":  # 主题自己的，不是他写的
        config.theme["favicon"] = ICON
    ours = GitIgnoreSpec.from_lines(NOT_IN_NAV)
    config.not_in_nav = config.not_in_nav + ours if config.not_in_nav else ours


def _offline(config: MkDocsConfig) -> bool:
    plugin: Any = config.plugins.get("material/offline")
    return bool(plugin and plugin.config.enabled)


def _deferred(uri: str) -> ExtraScriptValue:
    script = ExtraScriptValue(uri)
    script.defer = True
    return script


def _add_assets(files: Files, config: MkDocsConfig, scripts: dict[str, str]) -> None:
    """样式、脚本、字体与算出来的数据；docs/assets/ 里有同名的，用他自己的。"""
    ours = [File.generated(config, uri, abs_src_path=str(path)) for uri, path in assets().items()]
    ours += [File.generated(config, uri, content=text) for uri, text in scripts.items()]
    for file in ours:
        unused = file.src_uri == WORKER and not _offline(config)
        if not unused and not files.get_file_from_path(file.src_uri):
            files.append(file)


def _remove_excluded(files: Files) -> None:
    """不上站点的不留在表里：mkdocs 对指向它们的链接只说一句 INFO，点开却没有。"""
    for file in list(files):
        if file.inclusion is InclusionLevel.EXCLUDED:
            files.remove(file)


def _url(page: Page, uri: str) -> str:
    return str(get_relative_url(quote(uri), page.url))


def _add_downloads(files: Files, config: MkDocsConfig, vault: Vault) -> None:
    """每个片段带输出的笔记本，与晚些才载入的：可复制的代码、大的图。"""
    for path in snippet_files(vault):
        loaded = records.load(vault, path)
        if loaded.snippet is None:
            log.info("%s", loaded.error)  # 用到它的页面会显示这个错误并记警告
            continue
        snippet, record = loaded.snippet, loaded.record
        late = {f"downloads/{path.stem}.ipynb": to_notebook(snippet, record)}
        late[f"code/{path.stem}.js"] = pages.code(snippet)
        figures = fence.figures(snippet, record).items()
        late |= {uri: svg for uri, svg in figures if fence.is_late(svg)}
        for uri, text in late.items():
            files.append(File.generated(config, uri, content=text))
