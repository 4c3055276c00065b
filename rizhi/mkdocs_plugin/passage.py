"""一段 Markdown 排成与站点上一样的：同样的扩展、公式、代码与链接；请求时才排，不经过构建。"""

from collections.abc import Callable
from functools import partial
from html import unescape
from urllib.parse import quote
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.utils import get_relative_url

from rizhi.site import html
from rizhi.site.inline import target
from rizhi.snippets import fence
from rizhi.vault import Vault

Render = Callable[[str, str], str]  # 一段原文与它写在哪一页（相对于 docs），排成 HTML


def renderer(config: MkDocsConfig, vault: Vault, here: str) -> Render:
    """怎么排；链接与图改成从 `here` 那一页看的。

    构建也许正在另一个线程里改 `config`：只看它，不改它；别的插件添上的扩展带着状态，不用。
    """
    names = [name for name in config.markdown_extensions if isinstance(name, str)]
    settings = {**config.mdx_configs, "rizhi.site.lists": {}}
    fenced = settings.get("pymdownx.superfences", {})

    def url(uri: str) -> str:
        return str(get_relative_url(quote(uri), here))

    def render(text: str, uri: str) -> str:
        bound = fence.fences(fence.Context(vault, f"docs/{uri}", to_url=url))
        custom = [
            {**one, "format": bound.get(one["name"], one["format"])}
            for one in fenced.get("custom_fences", ())
        ]
        given = {**settings, "pymdownx.superfences": {**fenced, "custom_fences": custom}}
        extensions: list[str | Extension] = [*names, _Links(partial(_seen, uri, here))]
        return Markdown(extensions=extensions, extension_configs=given).convert(text)

    return render


def _seen(uri: str, here: str, written: str) -> str:
    """写在 `uri` 的一个链接，从 `here` 看是什么；不在站点里的照抄。"""
    place = target(written, uri)
    return unescape(html.href(here, place)) if place else written


class _Links(Extension):
    def __init__(self, seen: Callable[[str], str]) -> None:
        super().__init__()
        self._seen = seen

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_Moved(md, self._seen), "moved", 0)


class _Moved(Treeprocessor):
    """排在行内解析之后：链接都已经是元素。"""

    def __init__(self, md: Markdown, seen: Callable[[str], str]) -> None:
        super().__init__(md)
        self._seen = seen

    def run(self, root: Element) -> None:
        for tag, name in (("a", "href"), ("img", "src")):
            for node in root.iter(tag):
                if written := node.get(name):
                    node.set(name, self._seen(written))
