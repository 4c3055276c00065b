"""知识库在哪里、里面有什么、今天是哪一天。"""

import os
import re
import stat
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rizhi import dates
from rizhi.errors import RizhiError, name_in

# 一页纸不会有这么大；更大的多半是误放进来的数据或二进制文件。
MAX_BYTES = 8 * 1024 * 1024
MAX_LINES = 20_000
_DAY_NAME = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.A)
_UNNAMED = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# [tool.rizhi] 里认得的键；别的写了也没有用，由 check 说
SETTINGS = (
    *("ask", "corpus_days", "day_ends", "dims", "edit", "everyday", "groups"),
    *("mutations", "new_cards", "resume_leaves_out", "reviews", "source"),
)
# 其中的几个数与它们的默认：写今天之前先问几张，一天至多新的几张、一共几张
COUNTS: Mapping[str, int] = MappingProxyType({"ask": 0, "new_cards": 5, "reviews": 15})
Fingerprint = tuple[int, int, int, int]


@dataclass(frozen=True)
class Vault:
    """一个知识库：`pyproject.toml` 里有 `[tool.rizhi]` 的文件夹。"""

    root: Path
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)

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

    @property
    def source(self) -> str:
        """源码包的名字：知识库里的一个包文件夹；没有设置则为空串。"""
        return str(self.config.get("source", ""))

    def relative(self, path: Path) -> str:
        """相对于知识库的路径，消息里用它。"""
        return name_in(self.root, path)


def find_vault(start: Path, explicit: Path | None = None) -> Vault:
    """找到知识库：`explicit` 指定的文件夹，否则 `start` 及其上各级里最近的一个。

    异常：没有找到，pyproject.toml 读不出来，或 source 不是包名，抛 RizhiError。
    """
    folders = [explicit] if explicit else [start.resolve(), *start.resolve().parents]
    for folder in folders:
        config = _config(folder / "pyproject.toml")
        if config is not None:
            _check_source(config)
            return Vault(folder.resolve(), config)
    where = str(explicit) if explicit else f"{start} 及其上各级"
    raise RizhiError(
        f"{where} 不是知识库：pyproject.toml 里没有 [tool.rizhi]。"
        "请到知识库里运行，或用 --root 指定它；要新建一个，用 rizhi init 文件夹。"
    )


def read_text(path: Path) -> str:
    """按 UTF-8 读出全文，换行与 BOM 原样保留。

    异常：不是 UTF-8、太大、读不到，或经由链接到了知识库之外，抛 RizhiError；
    编码不对的，写明字节位置与可能的编码。
    """
    if outside(path):
        raise RizhiError("经由链接指到了知识库之外；没有读它。请移走那个链接。", path)
    return decode(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # 管道会等不到头，/dev/zero 读不完
            raise RizhiError("不是普通文件；没有读它。请移走它。", path)
        if status.st_size > MAX_BYTES:
            raise RizhiError(f"超过 {MAX_BYTES >> 20} MiB，不像一页总结。", path)
        return path.read_bytes() or _refilled(path)
    except OSError as error:
        raise RizhiError(f"读不到：{error.strerror}。", path) from error


def text_or_empty(path: Path) -> str:
    """全文；没有、读不出是空的，为什么读不出由 check 说。"""
    try:
        return read_text(path)
    except RizhiError:
        return ""


def now() -> datetime:
    """本地的此刻。"""
    return datetime.now()


def moment() -> datetime:
    """此刻，带着本地的时差。"""
    return now().astimezone()


def today(vault: Vault) -> date:
    """今天；凌晨几点之前仍算前一天。

    异常：`day_ends` 不是 0 到 23 的整数，抛 RizhiError。
    """
    ends = vault.config.get("day_ends", 4)
    if not isinstance(ends, int) or not 0 <= ends < 24:
        raise RizhiError(
            f"pyproject.toml 的 [tool.rizhi] day_ends 应是 0 到 23 的整数，现在是 {ends!r}。"
        )
    return (now() - timedelta(hours=ends)).date()


def _refilled(path: Path) -> bytes:
    """编辑器存盘时先清空、停一会儿再写：刚清空的等它写完，两秒没有人动就真是空的。"""
    data = b""
    while not data and abs(time.time() - path.stat().st_mtime) < 2:
        time.sleep(0.05)
        data = path.read_bytes()
    return data


def decode(data: bytes, path: Path) -> str:
    """严格按 UTF-8 解码；`path` 只用于消息。

    异常：不是 UTF-8 文本，抛 RizhiError。
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = _likely_encoding(data, error)
        raise RizhiError(
            f"第 {error.start} 字节起不是 UTF-8，{guess}。请用编辑器另存为 UTF-8。", path
        ) from error
    if "\0" in text:
        at = data.index(b"\0")
        raise RizhiError(f"第 {at} 字节是 NUL，像是二进制文件或 UTF-16。", path)
    return text


def read_page(path: Path) -> str:
    """读一页总结或笔记：行数也有限度。

    异常：读不到，同 `decode`；超过 MAX_LINES 行也抛 RizhiError。
    """
    text = decode(_bytes(path), path)
    if text.count("\n") > MAX_LINES:
        raise RizhiError(f"超过 {MAX_LINES} 行，不像一页总结。", path)
    return text


def read_inside(vault: Vault, path: Path) -> str:
    """读知识库里的一页。

    异常：同 `read_page`；是指向知识库之外的链接，也抛 RizhiError。
    """
    if not Path(os.path.realpath(path)).is_relative_to(vault.root):
        raise RizhiError("是指向知识库之外的链接；没有读它。", path)
    return read_page(path)


def day_names(vault: Vault) -> list[tuple[date, str]]:
    """写过的每一天与它的路径，从早到晚；只看名字，不打开。

    路径是字符串：十年的规模上，造几千个 Path 就嫌慢了。
    """
    names = (name for name, _ in _files(str(vault.daily)) if name.endswith(".md"))
    dated = ((date_of(name.rpartition(os.sep)[2].removesuffix(".md")), name) for name in names)
    return sorted((day, name) for day, name in dated if day)


def count_setting(vault: Vault, name: str) -> int:
    """COUNTS 里的一个设置，没有写就是默认的。

    异常：不是不小于 0 的整数，抛 RizhiError。
    """
    value = vault.config.get(name, COUNTS[name])
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RizhiError(f"[tool.rizhi] 的 {name} = {value!r}：应是不小于 0 的整数。")
    return value


def groups(vault: Vault) -> dict[str, str]:
    """各组笔记的文件夹名与显示的名字，按显示的次序：设置里写了的在前，其余的按文件夹名。

    异常：设置写错了，抛 RizhiError。
    """
    names = vault.config.get("groups", {})
    if not isinstance(names, dict) or not all(isinstance(n, str) and n for n in names.values()):
        what = f'应是一行行的「文件夹名 = "显示的名字"」，现在是 {names!r}'
        raise RizhiError(f"pyproject.toml 的 [tool.rizhi.groups] {what}。")
    folders = (path.name for path in sorted(vault.notes.glob("[!.]*")) if path.is_dir())
    return names | {folder: folder for folder in folders if folder not in names}


def snippet_files(vault: Vault) -> list[Path]:
    """全部片段文件，按名字排序。"""
    files = (path for path in vault.snippets.glob("*.py") if path.name != "conftest.py")
    return sorted(path for path in files if named(path.name))


def notebook_files(vault: Vault) -> list[Path]:
    """全部手写的笔记本，按名字排序。"""
    return sorted(path for path in vault.notebooks.glob("*.ipynb") if named(path.name))


def source_files(vault: Vault) -> list[Path]:
    """源码包的全部文件，子包的也在内，按路径排序；没有源码包就没有。"""
    if not vault.source:
        return []
    return [Path(n) for n in file_names(vault.root / vault.source) if n.endswith(".py")]


def file_names(folder: Path) -> list[str]:
    """一个文件夹里的全部文件，各级的都在内，按路径排序；没有这个文件夹就没有。"""
    return sorted(name for name, _ in _files(str(folder)))


def fingerprint(path: str | Path) -> Fingerprint:
    """一个文件的时间、大小与编号：都没变就当内容没变，不读它；断了的链接、刚被删掉的是全 0。"""
    try:
        status = os.stat(path)  # noqa: PTH116  十年的规模上，造 Path 就嫌慢了
    except OSError:
        return 0, 0, 0, 0
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def read_checks(vault: Vault) -> dict[str, list[str]]:
    """每个片段里「检验…」单元格的标题；只看标记，不解析。"""
    files = snippet_files(vault)
    return {p.stem: re.findall(r"^# %% (检验.*?)\s*$", read_text(p), re.M) for p in files}


def outside(path: Path) -> bool:
    """经由链接，到了它所在的知识库之外没有；不在知识库里的不问。"""
    real = os.path.realpath(path)
    plain = os.path.abspath(path)  # noqa: PTH100  Path.absolute 不去掉「..」
    if real == plain:
        return False
    for folder in Path(plain).parents:
        if _config(folder / "pyproject.toml") is not None and folder.resolve() == folder:
            return not Path(real).is_relative_to(folder)
    return False


def named(name: str) -> bool:
    """一个文件名是不是 UTF-8 的，没有控制字符：别的写不进网址，也打印不出来。"""
    return not _UNNAMED.search(name)


def contained(vault: Vault, path: Path) -> Path:
    """要写的路径必须在知识库之内，顺着符号链接看也是。

    异常：指到了外面，抛 RizhiError。
    """
    if not path.resolve().is_relative_to(vault.root):
        raise RizhiError("经由链接指到了知识库之外。请移走那个链接。", path)
    return path


def day_path(vault: Vault, day: date) -> Path:
    """某一天的总结应在的路径。"""
    return vault.daily / f"{day:%Y}" / f"{day:%Y-%m-%d}.md"


@lru_cache(maxsize=1 << 14)  # 同一个名字，一次构建要问好几遍
def date_of(name: str) -> date | None:
    """把 `2026-11-23` 读成日期；不是这种写法，或没有这一天（见 `dates.real`），返回 None。"""
    written = _DAY_NAME.fullmatch(name)
    return dates.real(*map(int, written.groups())) if written else None


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
            "例如 attention-mask。"
        )
    return slug


def markdown_files(folder: Path) -> list[tuple[Path, bool]]:
    """一个文件夹里全部 .md 的路径，与它是不是链接，按名字排好。"""
    # index.md 是栏目的首页，不是一天，也不是一篇笔记
    skipped = f"{os.sep}index.md"
    files = sorted(_files(str(folder)))
    return [(Path(n), k) for n, k in files if n.endswith(".md") and not n.endswith(skipped)]


def _files(folder: str) -> Iterator[tuple[str, bool]]:
    """一个文件夹里的全部文件，与它是不是链接；文件夹自己是到外面去的链接，就一个也没有。"""
    if not outside(Path(folder)):
        yield from _inside(folder)


def _inside(folder: str) -> Iterator[tuple[str, bool]]:
    """不跟进指向文件夹的链接，免得绕圈。"""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):  # 编辑器的交换文件、macOS 的 ._ 文件、没写完的临时文件
            continue
        if not named(entry.name):  # 由 entries 说
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _inside(entry.path)
        else:
            yield entry.path, entry.is_symlink()


def _config(path: Path) -> Mapping[str, Any] | None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RizhiError(f"读不出来：{error}。请改好它再来。", path) from error
    settings = table.get("tool", {}).get("rizhi")
    return settings if isinstance(settings, dict) else None


def _check_source(config: Mapping[str, Any]) -> None:
    name = config.get("source", "")
    if not isinstance(name, str) or (name and not name.isidentifier()):
        raise RizhiError(
            "pyproject.toml 的 [tool.rizhi] source 应是知识库里一个包文件夹的名字，"
            f"现在是 {name!r}。"
            '例如 source = "llm"；没有源码包就删掉这一行。'
        )


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
