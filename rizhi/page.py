"""一个文件：字节 → 前置数据与 Markdown → 页、笔记、日总结；只解析一次，坏的前置数据是毛病。"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from rizhi.markdown import Document, Item, NearMiss, near_misses, parse
from rizhi.sections import CANONICAL, Section, canonical, sections
from rizhi.vault import Fault, RizhiError, date_of, decode

_FENCE = re.compile(r"---[ \t]*\r?\n")
# 「---」也可能只是他随手画的分隔线：下一行像「key:」才是前置数据
_KEY = re.compile(r"[ \t]*[\w-]+[ \t]*:", re.A)
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.M)
_ONE_LINE = frozenset(("date", "created"))
_REMEDY = "改成「键: 值」；没有任何内容被执行"
MAX_LINES = 20_000


class FrontMatter(NamedTuple):
    """前置数据：`offset` 是正文开始的字符位置。"""

    meta: Mapping[str, Any]
    offset: int
    faults: tuple[Fault, ...]


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
    def draft(self) -> bool:
        return self.meta.get("draft") is True

    @property
    def created(self) -> date | None:
        found = self.meta.get("created")
        return found if isinstance(found, date) else None


@dataclass(frozen=True)
class Day(Page):
    """一天的总结；日期以路径为准，路径里没有合法日期时是 None。"""

    @cached_property
    def date(self) -> date | None:
        return date_of(self.path.stem)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        return sections(self.document, self.offset)

    def section(self, name: str) -> tuple[Section, ...]:
        """同一个规范名的全部章节：计划可能单成一节，也可能写在挑战里。"""
        return tuple(s for s in self.sections if s.name == name)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for section in self.sections for item in section.items)

    @property
    def todos(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.todo)

    @property
    def stubs(self) -> tuple[Section, ...]:
        """只写了主题名、等着写成笔记的二级标题：没有正文，或只有简短的提问。"""
        return tuple(section for section in self.sections if section.stub)

    @property
    def near_misses(self) -> list[NearMiss]:
        """像条目、待办、标题而不是的行；「一、今日成果」这样的只认规范名。"""
        return [
            miss
            for miss in near_misses(self.document)
            if miss.kind != "numbered" or canonical(miss.right.lstrip("# ")) in CANONICAL
        ]


_P = TypeVar("_P", bound=Page)


def read(kind: type[_P], path: Path, data: bytes) -> _P:
    """一个文件的字节读成一页；不是 UTF-8 或太长的，原因写在 `unread` 里。"""
    try:
        text = decode(data, path)
    except RizhiError as error:
        return kind(path, "", unread=(Fault(1, str(error), "改好或移走这个文件"),))
    if text.count("\n") > MAX_LINES:
        message = f"{path} 超过 {MAX_LINES} 行，不像一页总结"
        return kind(path, "", unread=(Fault(1, message, "改好或移走这个文件"),))
    return kind(path, text)


def body_start(text: str) -> int:
    """正文从第几个字符开始：第一行是 `---`、第二行是 `key:`，到下一个 `---` 为止。"""
    start, end = _fences(text)
    return end if end >= 0 else start


def front_matter(text: str) -> FrontMatter:
    """读出前置数据；只认纯数据，标签一律不执行。"""
    start, end = _fences(text)
    if end < 0:
        opened = end == _OPEN
        fault = Fault(1, "前置数据的 --- 没有合上", "在前置数据下面加一行 ---")
        return FrontMatter({}, start, (fault,) if opened else ())
    first = _FENCE.match(text, start)
    block = text[first.end() if first else start : end].rstrip()
    data, faults = _load(block[: -len("---")])
    return FrontMatter(data, end, faults)


_NONE, _OPEN = -1, -2


def _fences(text: str) -> tuple[int, int]:
    """前置数据从哪里到哪里；没有是 _NONE，没有合上是 _OPEN。"""
    start = int(text.startswith("\ufeff"))
    first = _FENCE.match(text, start)
    if not first or not _KEY.match(text, first.end()):
        return start, _NONE
    close = _CLOSE.search(text, first.end())
    return start, close.end() if close else _OPEN


def _load(block: str) -> tuple[Mapping[str, Any], tuple[Fault, ...]]:
    try:
        data = yaml.load(block, Loader=_Loader)  # noqa: S506  _Loader 只造纯数据
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, (_fault(error, block),)
    if data is None:
        return {}, ()
    if not isinstance(data, dict):
        what = f"前置数据应是「键: 值」，却是 {type(data).__name__}"
        return {}, (Fault(2, what, "每行写一个「键: 值」"),)
    return data, ()


def _fault(error: Exception, block: str) -> Fault:
    if isinstance(error, yaml.reader.ReaderError):
        why = f"有不该有的控制字符 {chr(error.character)!r}"
        return Fault(2 + block.count("\n", 0, error.position), f"前置数据读不懂：{why}", "删掉它")
    mark = getattr(error, "problem_mark", None)
    why = getattr(error, "problem", None) or str(error)
    return Fault(mark.line + 2 if mark else 2, f"前置数据读不懂：{why}", _REMEDY)


class _Loader(yaml.CSafeLoader):
    """只造纯数据，拒绝重复的键、不存在的与写成两行的日期，并说出它们在哪一行。"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"{name} 写了两次", problem_mark=key.start_mark)
            if name in _ONE_LINE and value.end_mark.line != key.start_mark.line and value.value:
                why = f"{name} 写成了两行；写在一行里"
                raise yaml.MarkedYAMLError(problem=why, problem_mark=key.start_mark)
            seen.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            why = f"{node.value} 不是真有的日期"
            raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark) from error


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)


def quoted(text: str) -> str:
    """一段文字在 YAML 里的写法：看着像别的东西时才加引号。"""
    line = yaml.dump(text, Dumper=yaml.CSafeDumper, allow_unicode=True, width=10_000)
    return line.removesuffix("\n").removesuffix("\n...")


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
