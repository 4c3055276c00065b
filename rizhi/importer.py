"""把已有的总结收进来：认出日期，补上前置数据与标题，正文一个字节也不动；这里只算，不写。"""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rizhi.entry import Entry, parse
from rizhi.frontmatter import body_start, front_matter
from rizhi.pages import heading
from rizhi.vault import RizhiError, Vault, day_path, read_page

SUFFIXES = (".md", ".markdown", ".txt")
MAX_ITEMS = 2_000
_DATE = re.compile(r"(?<!\d)(\d{4})([-_./年]?)(\d{1,2})(?:\2|月)(\d{1,2})日?(?!\d)", re.A)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]*(.+)$", re.M)


@dataclass(frozen=True)
class Incoming:
    """一个要收进来的文件；`state` 是 new、same（已收过）或 bad，bad 时 `problem` 说明原因。"""

    source: Path
    state: str
    problem: str = ""
    day: date | None = None
    path: Path | None = None
    data: bytes = b""
    entry: Entry = field(default_factory=lambda: Entry("", ()))

    @property
    def own_sections(self) -> list[str]:
        """认不出、按他的原样留下的节。"""
        stubs = {section.name for section in self.entry.stubs}
        sections = (s for s in self.entry.sections if s.level == 2 and not s.known)
        return [s.name for s in sections if s.name not in stubs]


def files_in(paths: tuple[Path, ...]) -> list[Path]:
    """点名的文件，与点名的文件夹里的总结；文件夹里名字以点开头的不收。"""
    found: list[Path] = []
    for path in paths:
        names = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        shown = (p for p in names if not re.search(r"(^|/)\.", p.relative_to(path).as_posix()))
        found += sorted(shown) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def read(vault: Vault, source: Path, given: date | None, today: date) -> Incoming:
    """读一个文件并检查，不写任何东西。"""
    try:
        text = read_page(source)
        day = _day(source, text, given, today)
        return _made(vault, source, text, day)
    except RizhiError as error:
        return Incoming(source, "bad", str(error))


def clashes(found: list[Incoming]) -> list[Incoming]:
    """两个文件是同一天，谁也不收：不知道哪个才对。"""
    days: dict[date, list[Incoming]] = {}
    for one in found:
        if one.day and one.state == "new":
            days.setdefault(one.day, []).append(one)
    bad = {id(one): group for group in days.values() if len(group) > 1 for one in group}
    return [_clash(one, bad[id(one)]) if id(one) in bad else one for one in found]


def date_in(text: str) -> date | None:
    """文字里的第一个日期，全角数字也认。

    异常：写成了日期却没有这一天，抛 RizhiError。
    """
    found = _DATE.search(unicodedata.normalize("NFKC", text))
    if not found:
        return None
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError as error:
        raise RizhiError(
            f"{found[0]} 不是真有的日期。用 --date 指定哪一天；没有改动任何文件。"
        ) from error


def commands(entry: Entry) -> list[str]:
    """每个只写了主题名的标题，给出一条建笔记的命令。"""
    import shlex

    lines = []
    for stub in entry.stubs:
        title = re.sub(r"\s+", " ", stub.name).strip()
        slug = slug_of(title) or "给它取个英文名"
        lines.append(f"rizhi note {slug} --title {shlex.quote(title)}")
    return lines


def slug_of(title: str) -> str:
    """标题里的英文词连成笔记名；全是汉字的，返回空串，由他来取。"""
    words = re.findall(r"[a-z0-9]+", title.casefold())
    return "-".join(words)[:64].strip("-")


def _day(source: Path, text: str, given: date | None, today: date) -> date:
    """日期依次取自选项、文件名、前置数据、第一个标题。"""
    if given:
        return given
    found = date_in(source.stem) or _in_meta(text) or _in_heading(text)
    if found is None:
        raise RizhiError(
            f"{source} 看不出是哪一天：文件名、前置数据、第一个标题里都没有日期。"
            "用 --date 指定；没有改动任何文件。"
        )
    if found > today:
        raise RizhiError(
            f"{source} 的日期 {found} 在将来（今天是 {today}）。确实如此就用 --date 指定；"
            "没有改动任何文件。"
        )
    return found


def _in_meta(text: str) -> date | None:
    meta, _, faults = front_matter(text)
    if faults:
        return None
    value = meta.get("date")
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date_in(str(value)) if value else None


def _in_heading(text: str) -> date | None:
    found = _HEADING.search(text, body_start(text))
    return date_in(found[1]) if found else None


def _made(vault: Vault, source: Path, text: str, day: date) -> Incoming:
    _, end, faults = front_matter(text)
    if faults:
        where, why = f"{source}:{faults[0].line}", f"{faults[0].message}。{faults[0].remedy}"
        raise RizhiError(f"{where} {why}。没有改动任何文件。")
    if not text[end:].strip():
        raise RizhiError(f"{source} 是空的；没有改动任何文件。")
    entry = parse(text)
    count = sum(1 for _ in entry.items)
    if count > MAX_ITEMS:
        raise RizhiError(
            f"{source} 有 {count} 个条目，不像一天的总结（至多 {MAX_ITEMS} 个）；没有改动任何文件。"
        )
    path = day_path(vault, day)
    new = _page(text, end, day).encode()
    state = _state(path, text[end:], new)
    problem = (
        f"{vault.relative(path)} 已存在，内容与 {source} 不同；没有改动任何文件。"
        "自己合并，或用 --date 换一天。"
    )
    return Incoming(source, state, problem if state == "bad" else "", day, path, new, entry)


def _page(text: str, end: int, day: date) -> str:
    """BOM 在最前，再是前置数据与标题，然后是原样的正文。"""
    newline = "\r\n" if "\r\n" in text else "\n"
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    head = _front_matter(text[len(bom) : end], day, newline)
    return f"{bom}{head}{newline}{heading(day)}{newline}{newline}{text[end:]}"


def _front_matter(old: str, day: date, newline: str) -> str:
    if not old:
        return newline.join(("---", f"date: {day}", "tags: []", "---", ""))
    line = f"date: {day}"
    if re.search(r"^date[ \t]*:", old, re.M):
        old = re.sub(r"^date[ \t]*:[^\r\n]*", line, old, count=1, flags=re.M)
    else:
        first = old.index("\n") + 1
        old = old[:first] + line + newline + old[first:]
    return old if old.endswith("\n") else old + newline


def _state(path: Path, body: str, new: bytes) -> str:
    if not path.exists():
        return "new"
    old = path.read_bytes()
    return "same" if old == new or old.endswith(b"\n" + body.encode()) else "bad"


def _clash(one: Incoming, group: list[Incoming]) -> Incoming:
    others = "、".join(str(other.source) for other in group if other is not one)
    problem = f"{one.source} 与 {others} 是同一天 {one.day}；没有改动任何文件。用 --date 分开导入。"
    return Incoming(one.source, "bad", problem, one.day)


def as_dict(one: Incoming, vault: Vault) -> dict[str, Any]:
    """`--json` 的一项。"""
    return {
        "source": str(one.source),
        "state": one.state,
        "problem": one.problem,
        "date": one.day.isoformat() if one.day else None,
        "path": vault.relative(one.path) if one.path else None,
        "sections": [s.name for s in one.entry.sections if s.known],
        "items": sum(1 for item in one.entry.items if item.text),
        "todos": len(one.entry.todos),
        "stubs": [stub.name for stub in one.entry.stubs],
        "own": one.own_sections,
        "commands": commands(one.entry),
    }
