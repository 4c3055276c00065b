"""把已有的总结收进来：认出日期，补上前置数据与标题，正文除非他要改写一个字节也不动。

这里只读与算，不写。先把全部文件各自读过，再看它们彼此：同一天的、互相链接的。
"""

import os
import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from rizhi import links, store
from rizhi.errors import RizhiError
from rizhi.frontmatter import body_start, newline
from rizhi.journal import pictures
from rizhi.journal.day import Day, heading
from rizhi.journal.dialects import KINDS, Change, Places, described, findings, rewritten
from rizhi.page import read_notes
from rizhi.vault import Vault, contained, day_names, day_path, read_page

SUFFIXES = (".md", ".markdown", ".txt")
MAX_ITEMS = 2_000
_MAX_FILES = 50_000  # 找图片时至多看这么多个文件名
# 日期要独自成词：`8f20240131aa4c5d` 里的不是
_DATE = re.compile(
    r"(?<![0-9A-Za-z])(?:(\d{4})(\d\d)(\d\d)"
    r"|(\d{4}) ?([-_./年]) ?(\d{1,2}) ?(?:\5|月) ?(\d{1,2}) ?日?)(?![0-9]|(?!T\d)[A-Za-z])",
    re.A,
)
_MONTH_DAY = re.compile(
    r"(?<![0-9A-Za-z])(\d{1,2}) ?[-_.月] ?(\d{1,2})日?(?![0-9A-Za-z]|[.](?!\w*$))", re.A
)
# Logseq 的日子：May 13th, 2024；月份写全的与头三个字母的都认
_NAMES = "january february march april may june july august september october november december"
_MONTHS = {name: n for n, full in enumerate(_NAMES.split(), 1) for name in (full, full[:3])}
_ENGLISH = re.compile(r"\b([A-Za-z]{3,9}) (\d{1,2})(?:st|nd|rd|th)?, ((?:19|20)\d\d)\b", re.A)
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_KEYS = ("date", "日期", "created", "date created", "创建日期")
_SCHEME = re.compile(r"(?:https?|data|mailto|obsidian):", re.I)
_LOCAL = re.compile(r"(?:file:/*)?(?:[A-Za-z]:[\\/]|\\\\)|file:|/(?!/)", re.I)


@dataclass(frozen=True)
class Incoming:
    """一个要收进来的文件；`state` 是 new、same（已收过）或 bad，bad 时 `problem` 说明原因。

    `remaining` 是还会看错的，`done` 是照他说的改写了的，`copies` 是跟着收进来的图片。
    """

    source: Path
    state: str
    problem: str = ""
    day: date | None = None
    path: Path | None = None
    text: str = ""
    page: Day = field(default_factory=lambda: Day(Path("x.md"), ""))
    remaining: tuple[Change, ...] = ()
    done: tuple[Change, ...] = ()
    copies: tuple[tuple[Path, bytes], ...] = ()

    @property
    def own_sections(self) -> list[str]:
        """认不出、按他的原样留下的节。"""
        stubs = self.page.stubs
        own = (s for s in self.page.sections if s.level == 2 and not s.known)
        return [s.name for s in own if s not in stubs]


def files_in(paths: tuple[Path, ...]) -> list[Path]:
    """点名的文件，与点名的文件夹里的总结；名字以点开头的文件夹（`.obsidian`、`.trash`）不看。"""
    files: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        seen = (p for p in inside if not re.search(r"(?:^|/)\.", p.relative_to(path).as_posix()))
        files += seen if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def read(vault: Vault, source: Path, given: date | None, today: date) -> Incoming:
    """读一个文件，认出是哪一天，不写任何东西。"""
    try:
        text = read_page(source)
        page = Day(source, text)
        day = _day(page, given, today)
        _check(page)
    except RizhiError as error:
        return Incoming(source, "bad", error.within(vault.root))
    return Incoming(source, "new", "", day, day_path(vault, day), text)


def prepare(vault: Vault, files: list[Incoming], kinds: Collection[str]) -> list[Incoming]:
    """全部文件读过之后：同一天的谁也不收，其余的排成一页，`kinds` 里的写法改好。"""
    known = _Known(vault, [file for file in files if file.state == "new"])
    return [_prepared(vault, file, known, kinds) for file in _clashes(files)]


def write(vault: Vault, fresh: list[Incoming]) -> None:
    """写下收得进来的各天与它们的图片；要么全成，要么全不成。

    异常：写不成，抛 OSError。
    """
    copies = {contained(vault, path): data for file in fresh for path, data in file.copies}
    steps = [store.presence(path, data) for path, data in copies.items()]
    for page in (file.page for file in fresh):
        steps.append(store.creation(contained(vault, page.path), page.text.encode()))
    store.change(vault.root, "import", steps)


def date_in(text: str) -> date | None:
    """文字里的第一个日期，全角数字也认。

    异常：写成了日期却没有这一天，抛 RizhiError。
    """
    plain = unicodedata.normalize("NFKC", text)
    if match := _DATE.search(plain):
        parts = (match[1], match[2], match[3]) if match[1] else (match[4], match[6], match[7])
    elif (match := _ENGLISH.search(plain)) and (month := _MONTHS.get(match[1].lower())):
        parts = (match[3], str(month), match[2])
    else:
        return None
    try:
        return date(*map(int, parts))
    except ValueError as error:
        raise RizhiError(f"{match[0]} 不是真有的日期。用 --date 指定哪一天。") from error


def commands(page: Day) -> list[str]:
    """每个只写了主题名的标题，给出一条建笔记的命令。"""
    lines = []
    for stub in page.stubs:
        title = re.sub(r"\s+", " ", stub.name).strip()
        slug = slug_of(title) or "给它取个英文名"
        lines.append(f"rizhi note {slug} --title {shlex.quote(title)}")
    return lines


def slug_of(title: str) -> str:
    """标题里的英文词连成笔记名；全是汉字的，返回空串，由他来取。"""
    words = re.findall(r"[a-z0-9]+", title.casefold())
    return "-".join(words)[:64].strip("-")


def _day(page: Day, given: date | None, today: date) -> date:
    """日期依次取自选项、文件名、前置数据、第一个标题、第一行。"""
    if given:
        return given
    source = page.path
    dated = date_in(source.stem) or _in_meta(page) or _in_heading(page) or _without_year(source)
    if dated is None:
        raise RizhiError(
            "看不出是哪一天：文件名、前置数据、第一个标题、第一行里都没有日期。用 --date 指定。",
            source,
        )
    if dated > today:
        raise RizhiError(
            f"的日期 {dated} 在将来（今天是 {today}）。确实如此就用 --date 指定。", source
        )
    return dated


def _in_meta(page: Day) -> date | None:
    values = {str(key).casefold(): value for key, value in page.meta.items()}
    for value in (values[key] for key in _KEYS if values.get(key)):
        if isinstance(value, datetime):
            return value.date()
        if day := value if isinstance(value, date) else date_in(str(value)):
            return day
    return None


def _in_heading(page: Day) -> date | None:
    title = next((h.text for h in page.document.headings if not h.nested and h.text), "")
    first = unicodedata.normalize("NFKC", page.body.strip().partition("\n")[0])
    # 一句话里提到的日子不算：日期要写在第一行的开头
    return date_in(title) or (date_in(first) if _DATE.match(first) else None)


def _without_year(source: Path) -> date | None:
    """`11.19.md`：年份从文件夹的名字里来；没有就请他说。"""
    match = _MONTH_DAY.search(unicodedata.normalize("NFKC", source.stem))
    if not match:
        return None
    years = (_YEAR.search(unicodedata.normalize("NFKC", p.name)) for p in source.resolve().parents)
    year = next((year[1] for year in years if year), None)
    if year is None:
        raise RizhiError(
            f"只写了 {match[0]}，看不出是哪一年。放进以年份命名的文件夹（如 2026/），"
            "或用 --date 指定。",
            source,
        )
    return date_in(f"{year}-{match[1]}-{match[2]}")


def _check(page: Day) -> None:
    """前置数据读得懂，正文不是空的，也不像是一整本。"""
    if page.faults:
        fault = page.faults[0]
        raise RizhiError(f"{fault.message}。{fault.remedy}。", page.path, fault.line)
    if not page.body.strip():
        raise RizhiError("是空的。", page.path)
    if (count := len(page.items)) > MAX_ITEMS:
        raise RizhiError(f"有 {count} 个条目，不像一天的总结（至多 {MAX_ITEMS} 个）。", page.path)


def _clashes(files: list[Incoming]) -> list[Incoming]:
    """两个文件是同一天，谁也不收：不知道哪个才对。"""
    days: dict[date | None, list[Incoming]] = {}
    for file in files:
        if file.day:
            days.setdefault(file.day, []).append(file)
    checked = []
    for file in files:
        others = "、".join(str(o.source) for o in days.get(file.day, ()) if o is not file)
        problem = f"{file.source} 与 {others} 是同一天 {file.day}。用 --date 分开导入。"
        checked.append(Incoming(file.source, "bad", problem, file.day) if others else file)
    return checked


def _prepared(vault: Vault, file: Incoming, known: "_Known", kinds: Collection[str]) -> Incoming:
    if file.state != "new" or file.path is None or file.day is None:
        return file
    around = _Around(known, file, file.path, file.day)
    places = Places(around.page, around.picture, around.file)
    text, done = rewritten(file.source, file.text, kinds, places)
    page = Day(file.path, _page(text, file.day))
    # 收过的，也许那时改写过，也许没有
    bodies = {text, file.text}
    if file.path.exists() and KINDS != tuple(kinds):
        bodies.add(rewritten(file.source, file.text, KINDS, places)[0])
    state = _state(file.path, [_page(body, file.day) for body in bodies], file.text)
    if state == "bad":
        what = f"{vault.relative(file.path)} 已存在，内容与 {file.source} 不同。"
        return replace(file, state="bad", problem=f"{what}自己合并，或用 --date 换一天。")
    left = described(text, findings(file.source, text, places))
    copies = [copy for link, copy in around.copies.items() if link in text]
    return replace(
        file, state=state, page=page, remaining=tuple(left), done=tuple(done), copies=tuple(copies)
    )


def _page(text: str, day: date) -> str:
    """BOM 在最前，再是前置数据与标题，然后是正文；正文以这一天的标题开头的，不再添一个。"""
    start, end = body_start(text), newline(text)
    body, title = text[start:], heading(day)
    own = body.lstrip("\ufeff \r\n").startswith(title)
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    head = _front_matter(text[len(bom) : start], day, end)
    return f"{bom}{head}{end}" + ("" if own else f"{title}{end}{end}") + body


def _front_matter(old: str, day: date, end: str) -> str:
    """日期写成约定的样子；原来写得更细（几点几分）的，留在注释里。"""
    if not old:
        return end.join(("---", f"date: {day}", "tags: []", "---", ""))
    line = f"date: {day}"
    match = re.search(r"^date[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r?$)", old, re.M)
    if match:
        was = "" if match[1] in ("", str(day)) else f" # 原来写的是 {match[1]}"
        old = old[: match.start()] + line + was + old[match.end() :]
    else:
        first = old.index("\n") + 1
        old = old[:first] + line + end + old[first:]
    return old if old.endswith("\n") else old + end


def _state(path: Path, pages: Iterable[str], text: str) -> str:
    if not path.exists():
        return "new"
    old = path.read_bytes()
    body = text[body_start(text) :]
    same = old in {page.encode() for page in pages} or old.endswith(b"\n" + body.encode())
    return "same" if same else "bad"


class _Known:
    """这一次要收的文件、知识库里的笔记与日子，与找图片时看过的文件夹。"""

    def __init__(self, vault: Vault, incoming: list[Incoming]) -> None:
        self.vault = vault
        self.targets = {str(file.source.resolve()): file.path for file in incoming if file.path}
        self.written = {str(path) for path in self.targets.values()}
        self.days = {day: Path(name) for day, name in day_names(vault)}
        self.days |= {file.day: file.path for file in incoming if file.day and file.path}
        self.names: dict[str, Path] = {}
        for note in read_notes(vault):
            for name in (note.slug, note.title, *note.aliases):
                self.names.setdefault(name.casefold(), note.path)
        self._folders: dict[Path, dict[str, Path]] = {}

    def named(self, name: str) -> Path | None:
        """一个名字是哪篇笔记或哪一天；写了文件夹的，只看最后一段。"""
        bare = name.removesuffix(".md").rpartition("/")[2].strip()
        if path := self.names.get(bare.casefold()):
            return path
        try:
            day = date_in(bare)
        except RizhiError:
            return None
        return self.days.get(day) if day else None

    def file(self, root: Path, name: str) -> Path | None:
        """一个文件夹里（连同里面的）叫这个名字的文件。"""
        if root not in self._folders:
            paths = self._folders[root] = {}
            for folder, inside, names in os.walk(root):
                inside[:] = sorted(each for each in inside if not each.startswith("."))
                for each in names:
                    paths.setdefault(each.casefold(), Path(folder) / each)
                if len(paths) > _MAX_FILES:
                    break
        return self._folders[root].get(name.casefold())


class _Around:
    """一个文件的周围：它提到的笔记、图片与文件，在新的一页里怎么写。"""

    def __init__(self, known: _Known, file: Incoming, path: Path, day: date) -> None:
        self.known, self.path, self.day = known, path, day
        self.folder = file.source.resolve().parent
        vaults = (p for p in (self.folder, *self.folder.parents) if (p / ".obsidian").is_dir())
        self.root = next(vaults, self.folder)
        base = Day(file.source, file.text).meta.get("typora-root-url")
        self.bases = [self.folder, *([self.folder / base] if isinstance(base, str) else [])]
        self.copies: dict[str, tuple[Path, bytes]] = {}

    def page(self, name: str) -> str | None:
        """一个名字在新的一页里的链接。"""
        path = self.known.named(name)
        return links.relative(self.path, path) if path else None

    def picture(self, target: str) -> tuple[str | None, str]:
        """一张图片在新的一页里的写法：找得到的，复制到新的一页旁边。"""
        if _SCHEME.match(target) or self._there(target):
            return target, ""
        image = self._picture(target)
        if image is None:
            return None, "没有找到这张图片，网站上是一张破图"
        try:
            copy = pictures.beside(self.known.vault, self.day, image)
        except RizhiError as error:
            return None, str(error).partition("；")[0]
        link = f"img/{copy[0].name}"
        self.copies[link] = copy
        return link, ""

    def file(self, target: str) -> tuple[str | None, str]:
        """一个链接在新的一页里的写法。"""
        if _LOCAL.match(target):
            return None, "指着那台机器上的文件，别处打不开"
        place = links.resolve(str(self.folder), target)
        if place is None or self._there(target):
            return target, ""
        if moved := self.known.targets.get(place):
            bare = re.split(r"[#?]", target, maxsplit=1)[0]
            return links.relative(self.path, moved) + target[len(bare) :], ""
        if _exists(Path(place)):
            return None, "指着的文件没有一同收进来，链接断了"
        return None, "没有这个文件，链接是断的"

    def _there(self, target: str) -> bool:
        """在新的一页里照这样写就对：那里有这个文件，或这一次会收进来。"""
        place = links.resolve(str(self.path.parent), target)
        return place is not None and (
            target in self.copies or place in self.known.written or _exists(Path(place))
        )

    def _picture(self, target: str) -> Path | None:
        """照他写的路径找，再到他的文件夹里找同名的；Windows 的路径也认。"""
        bare = re.sub(r"^file:/*(?=[A-Za-z]:|/)", "", unquote(target))
        bare = re.sub(r"^file:/*", "/", bare)
        name = PureWindowsPath(bare).name
        tried = [Path(bare), *(base / bare.lstrip("/\\").replace("\\", "/") for base in self.bases)]
        for path in tried:
            if path.is_absolute() and _exists(path):
                return path
        return self.known.file(self.root, name) if name else None


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  名字太长、有 NUL 的，它不报错
