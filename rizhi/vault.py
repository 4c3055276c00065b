"""知识库在哪里、里面有什么：把日总结与笔记读成不可变的数据。"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml

# 一页纸不会有这么大；更大的多半是误放进来的数据或二进制文件。
MAX_BYTES = 8 * 1024 * 1024

DAY_NAME = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S | re.M)

# 「---」也可能只是他随手画的分隔线：下一行像「键:」才是前置数据。
_KEY = re.compile(r"\s*[\w-]+[ \t]*:", re.A)


class RizhiError(Exception):
    """给人看的错误：中文，写明位置、原因、补救，以及什么没有被改动。"""


@dataclass(frozen=True)
class Fault:
    """一个文件里读得出位置的毛病；它不妨碍别的文件。"""

    line: int
    message: str
    remedy: str


@dataclass(frozen=True)
class Vault:
    """一个知识库：`pyproject.toml` 里有 `[tool.rizhi]` 的文件夹。"""

    root: Path
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def docs(self) -> Path:
        return self.root / "docs"

    @property
    def daily(self) -> Path:
        return self.docs / "daily"

    @property
    def weekly(self) -> Path:
        return self.docs / "weekly"

    @property
    def notes(self) -> Path:
        return self.docs / "notes"

    @property
    def notebooks(self) -> Path:
        return self.docs / "notebooks"

    @property
    def snippets(self) -> Path:
        return self.root / "snippets"

    @property
    def outputs(self) -> Path:
        return self.snippets / "outputs"

    def relative(self, path: Path) -> str:
        """相对于知识库的路径，消息里用它。"""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path)


@dataclass(frozen=True)
class Page:
    """一页的原文与前置数据；`offset` 与 `line` 是正文开始的字符位置与行号。"""

    path: Path
    text: str
    meta: Mapping[str, Any]
    offset: int
    line: int
    faults: tuple[Fault, ...]

    @property
    def body(self) -> str:
        return self.text[self.offset :]

    @property
    def tags(self) -> tuple[str, ...]:
        return _names(self.meta.get("tags"))

    @property
    def title(self) -> str:
        """前置数据里的标题，没有就取第一个一级标题，再没有就取文件名。"""
        if isinstance(self.meta.get("title"), str):
            return str(self.meta["title"])
        heading = re.search(r"^# +(.+?)[ #]*$", self.body, re.M)
        return heading[1].strip() if heading else self.path.stem


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

    @property
    def date(self) -> date | None:
        return date_of(self.path.stem)


_P = TypeVar("_P", bound=Page)


def find_vault(start: Path, explicit: Path | None = None) -> Vault:
    """找到知识库：`explicit` 指定的文件夹，否则 `start` 及其上各级里最近的一个。

    异常：没有找到，或 pyproject.toml 读不出来，抛 RizhiError。
    """
    folders = [explicit] if explicit else [start.resolve(), *start.resolve().parents]
    for folder in folders:
        config = _config(folder / "pyproject.toml")
        if config is not None:
            return Vault(folder.resolve(), config)
    where = str(explicit) if explicit else f"{start} 及其上各级"
    raise RizhiError(
        f"{where} 不是知识库：pyproject.toml 里没有 [tool.rizhi]。"
        "请到知识库里运行，或用 --root 指定它。没有改动任何文件。"
    )


def read_text(path: Path) -> str:
    """按 UTF-8 读出全文，换行与 BOM 原样保留。

    异常：不是 UTF-8、太大或读不到，抛 RizhiError，写明字节位置与可能的编码。
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RizhiError(f"{path} 超过 {MAX_BYTES >> 20} MiB，不像一页总结；没有读它。")
        data = path.read_bytes()
    except OSError as error:
        raise RizhiError(f"{path} 读不到：{error.strerror}。没有改动任何文件。") from error
    return decode(data, path)


def decode(data: bytes, path: Path) -> str:
    """严格按 UTF-8 解码；`path` 只用于消息。

    异常：不是 UTF-8 文本，抛 RizhiError。
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = _likely_encoding(data, error)
        raise RizhiError(
            f"{path} 第 {error.start} 字节起不是 UTF-8，{guess}。"
            "请用编辑器另存为 UTF-8。没有改动任何文件。"
        ) from error
    if "\0" in text:
        at = data.index(b"\0")
        raise RizhiError(f"{path} 第 {at} 字节是 NUL，像是二进制文件或 UTF-16。没有改动任何文件。")
    return text


def split_front_matter(text: str) -> tuple[dict[str, Any], int, tuple[Fault, ...]]:
    """读出前置数据，返回（数据, 正文的字符位置, 毛病）；只认纯数据，标签一律不执行。"""
    found = _FRONT.match(text)
    if not found or not _KEY.match(found[1]):
        return {}, 1 if text.startswith("\ufeff") else 0, ()
    try:
        # _Loader 派生自 CSafeLoader：只造纯数据
        data = yaml.load(found[1], Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        return {}, found.end(), (_yaml_fault(error),)
    if data is None:
        return {}, found.end(), ()
    if not isinstance(data, dict):
        kind = type(data).__name__
        fault = Fault(2, f"前置数据应是「键: 值」，却是 {kind}", "每行写一个「键: 值」")
        return {}, found.end(), (fault,)
    return data, found.end(), ()


def read_notes(vault: Vault) -> list[Note]:
    """全部笔记，按组与名字排序；读不出的也在其中，毛病写在 `faults` 里。"""
    return [_load(Note, vault, path) for path in _markdown(vault.notes)]


def read_days(vault: Vault) -> list[Day]:
    """全部日总结，从早到晚；读不出的也在其中，毛病写在 `faults` 里。"""
    return [read_day(vault, path) for path in _markdown(vault.daily)]


def read_day(vault: Vault, path: Path) -> Day:
    """一天的总结。"""
    return _load(Day, vault, path)


def day_path(vault: Vault, day: date) -> Path:
    """某一天的总结应在的路径。"""
    return vault.daily / f"{day:%Y}" / f"{day:%Y-%m-%d}.md"


def date_of(name: str) -> date | None:
    """把 `2026-11-23` 读成日期；不是这种写法，或没有这一天，返回 None。"""
    found = DAY_NAME.fullmatch(name)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def module_of(slug: str) -> str:
    """笔记名对应的片段模块名：`attention-mask` → `attention_mask`。"""
    return slug.replace("-", "_")


def check_slug(slug: str) -> str:
    """笔记名只许小写字母、数字与连字符，至多 64 个字符。

    异常：不合规则，抛 RizhiError。
    """
    if not SLUG.fullmatch(slug) or len(slug) > 64 or not slug.isascii():
        raise RizhiError(
            f"笔记名 {slug!r} 不合规则：只用小写字母、数字与单个连字符，至多 64 个字符，"
            "例如 attention-mask。没有改动任何文件。"
        )
    return slug


def _markdown(folder: Path) -> Iterator[Path]:
    # index.md 是栏目的首页，不是一天，也不是一篇笔记
    return iter(sorted(p for p in folder.rglob("*.md") if p.name != "index.md"))


def _load(kind: type[_P], vault: Vault, path: Path) -> _P:
    try:
        if not path.resolve().is_relative_to(vault.root):
            raise RizhiError(f"{path} 是指向知识库之外的链接；没有读它。")
        text = read_text(path)
    except RizhiError as error:
        fault = Fault(1, str(error), "改好或移走这个文件")
        return kind(path, "", {}, 0, 1, (fault,))
    meta, offset, faults = split_front_matter(text)
    return kind(path, text, meta, offset, text.count("\n", 0, offset) + 1, faults)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _config(path: Path) -> Mapping[str, Any] | None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RizhiError(f"{path} 读不出来：{error}。请改好它再来。") from error
    found = table.get("tool", {}).get("rizhi")
    return found if isinstance(found, dict) else None


def _likely_encoding(data: bytes, error: UnicodeDecodeError) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "像是 UTF-16"
    if error.reason == "unexpected end of data":
        return "像是被截断的 UTF-8"
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "也不是 GBK，可能是二进制文件"
    return "像是 GBK"


def _yaml_fault(error: Exception) -> Fault:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 2 if mark else 2
    problem = getattr(error, "problem", None) or str(error)
    return Fault(line, f"前置数据读不懂：{problem}", "改成「键: 值」；没有任何内容被执行")


class _Loader(yaml.CSafeLoader):
    """只造纯数据，并且拒绝重复的键。"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"{key.value} 写了两次"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))
