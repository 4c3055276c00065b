"""一页的正文接上只有站点才有的：下载、笔记的导语与目录。"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import unescape

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink

from rizhi import notes
from rizhi.errors import RizhiError
from rizhi.site import article
from rizhi.vault import Vault

_DOWNLOAD = re.compile(r'<span class="rz-notebook" data-module="(\w+)"></span>')


@dataclass(frozen=True)
class Shape:
    """笔记模板的二级标题与点了名的几节；模板排不出来就都是空的，由 check 说。"""

    headings: Sequence[str] = ()
    roles: Mapping[str, str] = field(default_factory=dict)


def shape(vault: Vault) -> Shape:
    """笔记是什么样子的。"""
    try:
        return Shape(notes.note_headings(vault), notes.note_roles(vault))
    except RizhiError:
        return Shape()


def arranged(html: str, page: Page, files: Files, template: Shape) -> str:
    """排好的一页：占位换成按钮与链接；是笔记，一句话成导语，目录列它特有的。"""
    html = _DOWNLOAD.sub(partial(_download, files, page, set()), html)
    html = article.widened(article.with_anchors(html))
    if not page.file.src_uri.startswith("notes/"):
        return html
    html = article.with_lead(html, template.roles.get("brief", ""))
    title = next(iter(page.toc), None)
    if title and title.level == 1:
        entries = article.contents(html, template.headings, template.roles)
        title.children = [_link(entry, 2) for entry in entries]
    return html


def _link(entry: article.Entry, level: int) -> AnchorLink:
    link = AnchorLink(entry.title, unescape(entry.id), level)
    link.children = [_link(inner, level + 1) for inner in entry.inner]
    return link


def _download(files: Files, page: Page, linked: set[str], place: re.Match[str]) -> str:
    """一个片段的笔记本只在它的第一格给：格格都给，Tab 要多按几十下，去的是同一个文件。"""
    target = files.get_file_from_path(f"downloads/{place[1]}.ipynb")
    if target is None or place[1] in linked:
        return ""
    linked.add(place[1])
    url = target.url_relative_to(page.file)
    return f'<a class="rz-notebook" href="{url}" download title="带输出的笔记本">.ipynb</a>'
