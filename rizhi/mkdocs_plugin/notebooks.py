"""笔记本页：补上标题的 id，mkdocs-jupyter 只认 ASCII，中文标题的是空的。"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.structure.toc import AnchorLink, TableOfContents
from pymdownx.slugs import slugify

from rizhi.vault import read_text

_HEAD = re.compile(r"^# +(.+?)[ \t]*$", re.M)
_DARK = re.compile(r"(?<=[}>])\s*\[data-md-color-scheme=slate\][^{}<>]*\{[^{}<>]*\}")
_HEADING = re.compile(r'<h([1-6]) id="[^"]*"(.*?)</h\1>', re.S)


def title(path: Path) -> str:
    """读得懂的笔记本里第一个一级标题；没有就用文件名。"""
    cells = json.loads(read_text(path))["cells"]
    written = (c for c in cells if isinstance(c, dict) and c.get("cell_type") == "markdown")
    texts = ("".join(map(str, cell.get("source") or "")) for cell in written)  # 整个写，或一行一项
    found = next(filter(None, map(_HEAD.search, texts)), None)
    return found[1] if found else path.stem


def name_headings(html: str, toc: TableOfContents) -> str:
    """给每个标题一个取自文字的 id，目录里同一个标题用同一个。"""
    links = list(_flat(toc))
    seen: dict[str, int] = {}

    def rename(found: re.Match[str]) -> str:
        name = _unique(_slug(found[2]), seen)
        for link in (link for link in links if _slug(f">{link.title}") == _slug(found[2])):
            link.id = name
            links.remove(link)
            break
        body = re.sub(r'href="#[^"]*"', f'href="#{name}"', found[2])
        return f'<h{found[1]} id="{name}"{body}</h{found[1]}>'

    return _HEADING.sub(rename, html)


def suited(html: str) -> str:
    """mkdocs-jupyter 写死的英文换成中文，写死的深色只管屏幕：打印总是浅色。"""
    html = html.replace("Copy to Clipboard", "复制").replace("Copied!", "已复制")
    return _DARK.sub(r"@media screen{\g<0>}", html)


def _slug(html: str) -> str:
    text = re.sub(r"<[^>]+>", "", html.partition(">")[2]).replace("¶", "")
    return str(slugify(case="lower")(text, "-"))


def _unique(name: str, seen: dict[str, int]) -> str:
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name}_{seen[name] - 1}"


def _flat(links: TableOfContents | list[AnchorLink]) -> Iterator[AnchorLink]:
    for link in links:
        yield link
        yield from _flat(link.children)
