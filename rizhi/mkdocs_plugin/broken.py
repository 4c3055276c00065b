"""一页排不出来，只坏那一页：各个插件、渲染与主题的模板，逐页围起来。

围的都是这一次构建自己的对象（事件的名单、页、模板的环境），不改 mkdocs 的模块；
坏了的一页换成说明，记一条警告，严格构建因此失败，别的页照常。
"""

import logging
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template
from mkdocs.plugins import PluginCollection
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import TableOfContents

from rizhi.dangers import dangers
from rizhi.errors import RizhiError
from rizhi.page import Page as Source
from rizhi.page import load
from rizhi.vault import Vault

log = logging.getLogger("mkdocs.rizhi")

_EVENTS = (
    "pre_page",
    "page_read_source",
    "page_markdown",
    "page_content",
    "page_context",
    "post_page",
)


class Broken:
    """这一次构建里排不出来的页，与各自的原因。"""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.reasons: dict[str, str] = {}

    def guard_events(self, plugins: PluginCollection) -> None:
        """每个插件对一页做的事。"""
        for name in _EVENTS:
            plugins.events[name] = [partial(self._guarded, do) for do in plugins.events[name]]

    def guard_page(self, page: Page) -> None:
        """读原文与渲染；mkdocs-jupyter 换上它自己的渲染之后。"""
        read, render = page.read_source, page.render

        def read_source(config: Any) -> None:
            page.markdown = ""
            self._attempt(page, read, config)

        def rendered(config: Any, files: Files) -> None:
            if page.file.src_uri not in self.reasons:
                self._attempt(page, render, config, files)
            if page.file.src_uri in self.reasons:
                self.explain(page)

        page.read_source = read_source  # type: ignore[method-assign]
        page.render = rendered  # type: ignore[method-assign]

    def guard_templates(self, env: Environment, files: Files) -> None:
        """主题的模板：排不出来的一页换成说明再排，还不行就只有说明。"""
        broken = self

        class Guarded(Template):
            def render(self, *args: Any, **kwargs: Any) -> str:
                page = dict(*args, **kwargs).get("page")
                if not isinstance(page, Page):
                    return super().render(*args, **kwargs)
                for _ in range(2):
                    if page.file.src_uri in broken.reasons:
                        broken.explain(page)
                    try:
                        return super().render(*args, **kwargs)
                    except Exception as error:
                        broken.fail(page, error)
                return f"<!doctype html><meta charset=utf-8>{page.content}"

        env.template_class = Guarded
        pages = (file.page for file in files if file.page)
        for page in (page for page in pages if "template" in page.meta):
            try:
                env.get_template(page.meta["template"])
            except Exception as error:
                self.fail(page, error)
                page.meta.pop("template", None)

    def guard_copy(self, files: Files) -> None:
        """图片之类的拷贝：刚好被移走、没有权限的，只缺那一个。"""
        for file in files:
            if not file.is_documentation_page():
                file.copy_file = partial(_copy, file, file.copy_file)  # type: ignore[method-assign]

    def fail(self, page: Page, error: Exception) -> None:
        """这一页排不出来；同一页只说头一个原因。"""
        uri = page.file.src_uri
        if uri in self.reasons:
            return
        if isinstance(error, RizhiError):
            reason = error.within(self._vault.root)
        else:
            what = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            reason = f"docs/{uri}：这一页排不出来：{what}"
            reason += "".join(f"；{clue}" for clue in self._clues(page))
        self.reasons[uri] = reason
        log.warning("%s", reason)
        log.debug("docs/%s", uri, exc_info=error)

    def explain(self, page: Page) -> None:
        """这一页只留说明。"""
        reason = self.reasons.get(page.file.src_uri, "")
        page.meta = {}
        page.toc = TableOfContents([])
        page.present_anchor_ids = set()
        page.links_to_anchors = {}
        page.content = f"<h1>{escape(page.file.name)}</h1>\n{box(reason)}"

    def _guarded(self, do: Callable[..., Any], /, *item: Any, **given: Any) -> Any:
        page = given["page"] if "page" in given else item[0]
        return self._attempt(page, do, *item, **given)

    def _attempt(self, broken: Page, do: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return do(*args, **kwargs)
        except Exception as error:
            self.fail(broken, error)
            return None

    def _clues(self, page: Page) -> list[str]:
        """原文里说得出的毛病：异常自己多半不说在哪一行。"""
        path = page.file.abs_src_path
        if path is None or not page.file.src_uri.endswith(".md"):
            return []
        source = load(Source, self._vault, Path(path))
        try:
            found = list(dangers(source))[:3]
        except Exception as error:
            log.debug("docs/%s", page.file.src_uri, exc_info=error)
            return []
        return [f"第 {source.document.line(at)} 行 {what}" for at, what in found]


def _copy(file: File, copy: Callable[..., None], dirty: bool = False) -> None:
    try:
        copy(dirty)
    except OSError as error:
        log.warning("docs/%s：没有拷到站点：%s。", file.src_uri, error.strerror)


def box(message: str) -> str:
    """页面上的一框说明。"""
    words = f"<p>{escape(message)}</p>\n<p>改好之后，这一页会自己回来。</p>"
    return f'<div class="admonition failure rz-trouble">\n{words}\n</div>\n'
