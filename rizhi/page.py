"""一个文件：字节 → 前置数据与 Markdown → 页、笔记；只解析一次，坏的前置数据是毛病。"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from rizhi.errors import Fault, RizhiError
from rizhi.frontmatter import FrontMatter, body_start, front_matter
from rizhi.markdown import Document, parse
from rizhi.vault import Vault, markdown_files, module_of, read_inside, read_page


@dataclass(frozen=True)
class Page:
    """一页的原文，与从它读出来的一切；`unread` 是这个文件读不出来的原因。"""

    path: Path
    text: str
    unread: tuple[Fault, ...] = field(default=(), kw_only=True)

    @cached_property
    def front(self) -> FrontMatter:
        return front_matter(self.text)

    @cached_property
    def offset(self) -> int:
        """正文开始的字符位置；只认界线，不读前置数据。"""
        return body_start(self.text)

    @cached_property
    def document(self) -> Document:
        return parse(self.text, self.offset)

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.front.meta

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.unread + self.front.faults

    @property
    def body(self) -> str:
        return self.text[self.offset :]

    @property
    def line(self) -> int:
        """正文从第几行开始。"""
        return self.document.line(self.offset)

    @property
    def tags(self) -> tuple[str, ...]:
        return _names(self.meta.get("tags"))

    @cached_property
    def title(self) -> str:
        """前置数据里的标题，没有就取第一个一级标题，再没有就取文件名。"""
        if isinstance(self.meta.get("title"), str):
            return str(self.meta["title"])
        headings = (h for h in self.document.headings if h.level == 1 and not h.nested and h.text)
        return next((h.text for h in headings), self.path.stem)


@dataclass(frozen=True)
class Note(Page):
    """一篇笔记：一页一个主题，配一个同名的片段。"""

    @property
    def slug(self) -> str:
        return self.path.stem

    @property
    def group(self) -> str:
        return self.path.parent.name

    @property
    def aliases(self) -> tuple[str, ...]:
        return _names(self.meta.get("aliases"))

    @property
    def prereq(self) -> tuple[str, ...]:
        return _names(self.meta.get("prereq"))

    @property
    def snippet(self) -> str | None:
        return self.meta["snippet"] if isinstance(self.meta.get("snippet"), str) else None

    @property
    def module(self) -> str:
        """片段的模块名：写明的，或照笔记的名字。"""
        return self.snippet or module_of(self.slug)

    @property
    def draft(self) -> bool:
        return self.meta.get("draft") is True

    @property
    def finished(self) -> bool:
        """读得出，不是草稿。"""
        return bool(self.text) and not self.draft

    @property
    def pin(self) -> bool:
        """想常看的，放在首页上。"""
        return self.meta.get("pin") is True

    @property
    def created(self) -> date | None:
        created = self.meta.get("created")
        return created if isinstance(created, date) else None


_P = TypeVar("_P", bound=Page)


def read_notes(vault: Vault) -> list[Note]:
    """全部笔记，按组与名字排序；读不出的也在其中，毛病写在 `faults` 里。"""
    return [load(Note, vault, path, link) for path, link in markdown_files(vault.notes)]


def read_weeks(vault: Vault) -> list[Page]:
    """全部周报，从早到晚。"""
    return [load(Page, vault, path, link) for path, link in markdown_files(vault.weekly)]


def load(kind: type[_P], vault: Vault, path: Path, link: bool = True) -> _P:
    """一个文件读成一页；`link` 说它会不会是符号链接。读不出的，原因写在 `unread` 里。"""
    try:
        # 只有链接才可能指到外面；逐个去问在十年的规模上太慢
        return kind(path, read_inside(vault, path) if link else read_page(path))
    except RizhiError as error:
        return kind(path, "", unread=(Fault(1, error.message, "改好或移走这个文件"),))


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
