"""不带日记的一份：日总结、周报与由它们算出来的，一样也不在里面；链接到它们的只留文字。"""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import Files

from rizhi.site.blocks import Generated, Panel
from rizhi.site.graph import Web

_FOLDERS = ("daily/", "weekly/")
_COMPUTED = (*_FOLDERS, "todos/", "timeline/")
_SAID = "这一份不带日总结与周报。"
# 首页上与日子无关的；别的一概不要：新添的面板，多半也由日子算出来
_HOME = ("pinned", "map")
_AHEAD = 1  # mkdocs 把链接换成网址的那一个是 0，先于它


def leave_out(files: Files) -> None:
    """日总结与周报，连同放在它们旁边的图。"""
    for file in [file for file in files if file.src_uri.startswith(_FOLDERS)]:
        files.remove(file)


def without(web: Web) -> Web:
    """一天也没有写过的网。"""
    return replace(web, pages=(), weeks=(), todos=(), named={})


def plan(every: Mapping[str, partial[Generated]]) -> dict[str, partial[Generated]]:
    """算出来的页：归档、周报、待办、时间线只说一句不带，别处的链接照样点得开。"""
    return {
        uri: partial(_said, make) if uri.startswith(_COMPUTED) else make
        for uri, make in every.items()
    }


def panels(shown: list[Panel], uri: str) -> list[Panel]:
    """一页上与日子无关的面板。"""
    if uri == "index.md":
        return [panel for panel in shown if panel.kind in _HOME]
    return [panel for panel in shown if panel.kind != "life"]


class Unlinked(Extension):
    """链接到日总结与周报的，只留文字，放在它们旁边的图也是。

    `uri` 说出正在排的是哪一页，`files` 是全部的页。
    """

    def __init__(self, uri: Callable[[], str], files: Callable[[], Files]) -> None:
        super().__init__()
        self._uri, self._files = uri, files

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_Unlink(md, self), "rizhi-diary", _AHEAD)

    def unlink(self, root: Element) -> None:
        for node in root.iter():
            name = {"a": "href", "img": "src"}.get(node.tag)
            if name and self._is_gone(node.get(name, "")):
                node.text = node.get("alt", node.text)
                node.tag = "span"
                node.attrib.clear()

    def _is_gone(self, url: str) -> bool:
        path = unquote(url.partition("#")[0])
        target = posixpath.normpath(posixpath.join(posixpath.dirname(self._uri()), path))
        return target.startswith(_FOLDERS) and self._files().get_file_from_path(target) is None


class _Unlink(Treeprocessor):
    def __init__(self, md: Markdown, extension: Unlinked) -> None:
        super().__init__(md)
        self._extension = extension

    def run(self, root: Element) -> None:
        self._extension.unlink(root)


def _said(make: partial[Generated]) -> Generated:
    return replace(make(), panels=(), lead=(_SAID,))
