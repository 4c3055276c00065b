"""一页的正文接上只有站点才有的：复制与下载、笔记的导语与目录。"""

import json
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
from rizhi.snippets import cells, fence
from rizhi.snippets import record as records
from rizhi.vault import Vault

_DOWNLOAD = re.compile(r'<span class="rz-notebook" data-module="(\w+)"></span>')
_COPY = re.compile(r'<span class="rz-copy" data-cells="(\w+):(\d+)"></span>')
_COPIES = "从头到这一格的全部代码，粘贴即可运行"


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


def arranged(html: str, page: Page, files: Files, vault: Vault, template: Shape) -> str:
    """排好的一页：占位换成按钮与链接；是笔记，一句话成导语，目录列它特有的。"""
    html = _with_copies(_DOWNLOAD.sub(partial(_download, files, page), html), vault)
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


def _download(files: Files, page: Page, place: re.Match[str]) -> str:
    target = files.get_file_from_path(f"downloads/{place[1]}.ipynb")
    if target is None:
        return ""
    url = target.url_relative_to(page.file)
    return f'<a class="rz-notebook" href="{url}" download title="带输出的笔记本">.ipynb</a>'


def _with_copies(html: str, vault: Vault) -> str:
    """复制的按钮；各格的代码一页只带一份，按下时由脚本从头连到那一格。"""
    modules = dict.fromkeys(match[1] for match in _COPY.finditer(html))
    if not modules:
        return html
    html = _COPY.sub(
        rf'<button class="rz-copy" data-cells="\1:\2" data-clipboard-text title="{_COPIES}">'
        "复制</button>",
        html,
    )
    paths = {name: cells.snippet_file(vault, name) for name in modules}
    texts = {name: fence.pieces(records.load(vault, paths[name]).source) for name in paths}
    data = json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")
    return f'{html}\n<script type="application/json" class="rz-sources">{data}</script>'
