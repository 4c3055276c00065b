"""约定的每一条规则：一个函数，看一眼知识库，说出哪里不对、怎么改。"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from rizhi import index, snippet, todo
from rizhi.account import Lack, lacking
from rizhi.entry import Link, line_of, outside_code, parse, unlinked
from rizhi.pages import boilerplate
from rizhi.vault import (
    SLUG,
    Day,
    Note,
    Page,
    RizhiError,
    Vault,
    module_of,
    read_days,
    read_notes,
    read_weeks,
    snippet_files,
)

HEADINGS = (
    "一句话",
    "为什么需要",
    "定义与形状",
    "在 llm 里",
    "跑一跑",
    "它会怎样坏",
    "自测",
    "来源",
)
ACCOUNT = ("R203", "R204", "R205", "R206")  # 流水账：平时只提醒，--strict 才算错误
_DANGER = re.compile(r"<script\b|<[^>]*\son\w+\s*=|\]\(\s*javascript:|=[\"']?\s*javascript:", re.I)


@dataclass(frozen=True)
class Problem:
    """一处毛病：位置、规则、原因、补救；level 是 error 或 warning。"""

    path: Path
    line: int
    rule: str
    message: str
    remedy: str
    level: str = "error"

    def line_for(self, root: Path) -> str:
        """打印成一行。"""
        name = self._name(root)
        mark = "" if self.level == "error" else "提醒 "
        return f"{name}:{self.line} {self.rule} {mark}{self.message}。{self.remedy}。"

    def as_dict(self, root: Path) -> dict[str, object]:
        """`--json` 的一项。"""
        return {**self.__dict__, "path": self._name(root)}

    def _name(self, root: Path) -> str:
        inside = self.path.is_relative_to(root)
        return self.path.relative_to(root).as_posix() if inside else str(self.path)


@dataclass(frozen=True)
class Scene:
    """检查要看的一切，只读一遍盘，只解析一遍。"""

    vault: Vault
    today: date
    notes: list[Note]
    days: list[Day]
    weeks: list[Page]
    _prose: dict[Path, str] = field(default_factory=dict)

    @property
    def pages(self) -> list[Page]:
        return [*self.notes, *self.days, *self.weeks]

    @cached_property
    def by_path(self) -> dict[str, Note]:
        return index.by_path(self.notes)

    @cached_property
    def files(self) -> set[str]:
        """docs/ 里全部文件与文件夹的路径。"""
        walked = os.walk(self.vault.docs)
        return {f"{at}{os.sep}{name}" for at, folders, files in walked for name in folders + files}

    @cached_property
    def lacks(self) -> list[tuple[Day, Lack]]:
        """写完的每一天缺了什么。"""
        template = boilerplate(self.vault)
        found = []
        for day in self.days:
            if day.text and day.date and day.date < self.today:
                topics = len(index.linked(self.targets[day.path], self.by_path))
                entry = parse(day.text)
                found += [(day, lack) for lack in lacking(entry, day.text, topics, template)]
        return found

    @cached_property
    def targets(self) -> dict[Path, list[tuple[Link, str]]]:
        return {page.path: index.targets(page) for page in self.pages}

    def prose(self, page: Page) -> str:
        """代码与注释换成空白之后的全文。"""
        if page.path not in self._prose:
            self._prose[page.path] = outside_code(page.text)
        return self._prose[page.path]


def check_vault(vault: Vault, today: date, strict: bool = False) -> list[Problem]:
    """按全部规则检查，按位置排序；`strict` 时流水账也算错误。"""
    scene = Scene(vault, today, read_notes(vault), read_days(vault), read_weeks(vault))
    problems = (problem for rule in RULES.values() for problem in rule(scene))
    found = [_strictly(problem) if strict else problem for problem in problems]
    return sorted(found, key=lambda p: (str(p.path), p.line, p.rule))


def readable(scene: Scene) -> Iterator[Problem]:
    for page in scene.pages:
        for fault in page.faults:
            yield Problem(page.path, fault.line, "R101", fault.message.rstrip("。"), fault.remedy)


def harmless(scene: Scene) -> Iterator[Problem]:
    for page in scene.pages:
        if "<" in page.text or "javascript" in page.text.casefold():
            for found in _DANGER.finditer(scene.prose(page)):
                line = line_of(page.text, found.start())
                message = f"有会在浏览器里执行的 HTML：{found[0][:30]!r}"
                yield Problem(page.path, line, "R102", message, "删掉它；要展示就放进代码块")


def markdown_links(scene: Scene) -> Iterator[Problem]:
    pattern = re.compile(r"\[\[.+?\]\]|<a\s[^>]*href=|<img\s")
    for page in scene.pages:
        if "[[" in page.text or "<" in page.text:
            for found in pattern.finditer(scene.prose(page)):
                line = line_of(page.text, found.start())
                message = f"{found[0][:30]!r} 不会被当成链接检查"
                yield Problem(page.path, line, "R103", message, "写成 [文字](相对路径.md)")


def links_alive(scene: Scene) -> Iterator[Problem]:
    folders = (scene.vault.daily, scene.vault.notes)
    known = scene.files | {str(folder / "index.md") for folder in folders}  # 构建时才有这两页
    for page in scene.pages:
        for link, target in scene.targets[page.path]:
            if target not in known and not Path(target).exists():
                message = f"链接指向不存在的 {scene.vault.relative(Path(target))}"
                yield Problem(page.path, link.line, "R104", message, "改正路径，或先写那一页")


def dated(scene: Scene) -> Iterator[Problem]:
    remedy = "改成 docs/daily/2026/2026-11-23.md 这样"
    for day in scene.days:
        found = day.date
        if found is None:
            yield Problem(day.path, 1, "R201", "文件名不是一个真有的日期", remedy)
        elif day.path.parent.name != f"{found:%Y}":
            yield Problem(day.path, 1, "R201", "年份文件夹与日期不符", remedy)
        elif day.meta.get("date", found) != found:
            message = f"前置数据的 date 是 {day.meta['date']}，路径是 {found}"
            yield Problem(day.path, 2, "R201", message, "以路径为准，改正 date")


def not_ahead(scene: Scene) -> Iterator[Problem]:
    for day in scene.days:
        if day.date and day.date > scene.today:
            message = f"日期在将来（今天是 {scene.today}）"
            yield Problem(day.path, 1, "R202", message, "确认这是有意写的", "warning")


def _account(rule: str) -> Callable[[Scene], Iterator[Problem]]:
    """流水账的一条：写完的每一天（今天还没写完）有没有缺这一样。"""

    def rule_of(scene: Scene) -> Iterator[Problem]:
        for day, lack in scene.lacks:
            if lack.rule == rule:
                yield Problem(day.path, lack.line, rule, lack.message, lack.remedy, "warning")

    return rule_of


def dues_exist(scene: Scene) -> Iterator[Problem]:
    for day in scene.days:
        if "📅" in day.text or "@" in day.text:
            for item in parse(day.text).todos:
                for wrong in todo.false_dues(item.text):
                    line, message = line_of(day.text, item.start), f"期限 {wrong} 不是真有的日期"
                    yield Problem(day.path, line, "R207", message, "改成真有的一天", "warning")


def notes_linked(scene: Scene) -> Iterator[Problem]:
    known = index.Names(scene.notes)
    for day in scene.days:
        linked = {target for _, target in scene.targets[day.path]}
        for note, at in known.placed(unlinked(scene.prose(day)[day.offset :])):
            if str(note.path) not in linked:
                message = f"提到了「{note.title}」，没有链接"
                remedy = f"可以链接到 {index.link(day.path, note.path)}"
                line = line_of(day.text, day.offset + at)
                yield Problem(day.path, line, "R208", message, remedy, "warning")


def note_named(scene: Scene) -> Iterator[Problem]:
    for note in scene.notes:
        if not SLUG.fullmatch(note.slug) or len(note.slug) > 64:
            message, remedy = f"笔记名 {note.slug!r} 不合规则", "只用小写字母、数字与单个连字符"
            yield Problem(note.path, 1, "R301", message, remedy)
        elif not isinstance(note.meta.get("title"), str):
            yield Problem(note.path, 1, "R301", "没有 title", "在前置数据里写上标题")


def note_complete(scene: Scene) -> Iterator[Problem]:
    for note in _finished(scene):
        headings, bodies = _parts(note)
        if tuple(headings) != HEADINGS:
            message = f"二级标题应依次是 {'、'.join(HEADINGS)}；现在是 {'、'.join(headings)}"
            yield Problem(note.path, note.line, "R302", message, "补齐，或标上 draft: true")
        for name, body in zip(headings, bodies, strict=False):
            if not re.sub(r"<!--.*?-->", "", body, flags=re.S).strip():
                yield Problem(note.path, note.line, "R302", f"「{name}」是空的", "写上内容")


def note_questions(scene: Scene) -> Iterator[Problem]:
    for note in _finished(scene):
        count = len(re.findall(r"^\?\?\?\+? question ", note.body, re.M))
        if count < 3:
            message = f"自测只有 {count} 题"
            yield Problem(note.path, note.line, "R303", message, "至少三题，写成 ??? question")


def note_paired(scene: Scene) -> Iterator[Problem]:
    for note in _finished(scene):
        wanted = module_of(note.slug)
        if note.snippet != wanted:
            message = f"snippet 应是 {wanted}，现在是 {note.snippet}"
            yield Problem(note.path, 2, "R304", message, "改正前置数据")
        elif not (scene.vault.snippets / f"{wanted}.py").is_file():
            message = f"没有 snippets/{wanted}.py"
            yield Problem(note.path, 2, "R304", message, "写出片段，或标上 draft: true")


def prerequisites(scene: Scene) -> Iterator[Problem]:
    graph = {note.slug: note.prereq for note in scene.notes}
    for note in scene.notes:
        for slug in note.prereq:
            if slug not in graph:
                message = f"先修 {slug} 不存在"
                yield Problem(note.path, 2, "R305", message, "改名，或先写那一篇")
            elif _reaches(graph, slug, note.slug, frozenset()):
                message = f"先修成环：{slug} 又要先读 {note.slug}"
                yield Problem(note.path, 2, "R305", message, "去掉其中一条")


def snippets_checked(scene: Scene) -> Iterator[Problem]:
    drafts = {module_of(note.slug) for note in scene.notes if note.draft}
    owned = {module_of(note.slug) for note in scene.notes}
    for path in snippet_files(scene.vault):
        if path.stem not in owned:
            message, remedy = "没有一篇笔记用它", "写出同名的笔记"
            yield Problem(path, 1, "R401", message, remedy)
        if path.stem not in drafts:
            yield from _inspect(path)


def recorded(scene: Scene) -> Iterator[Problem]:
    drafts = {module_of(note.slug) for note in scene.notes if note.draft}
    for path in snippet_files(scene.vault):
        try:
            state = snippet.state(path, scene.vault.root)
        except RizhiError:
            continue  # 读不懂的片段由 R401 说明
        if state != "fresh" and path.stem not in drafts:
            names = {"stale": "过期", "edited": "被改动过", "missing": "没有"}
            remedy = f"运行 rizhi record {path.stem.replace('_', '-')}"
            yield Problem(path, 1, "R402", f"输出的记录{names[state]}", remedy)


RULES: Mapping[str, Callable[[Scene], Iterator[Problem]]] = MappingProxyType(
    {
        "R101": readable,
        "R102": harmless,
        "R103": markdown_links,
        "R104": links_alive,
        "R201": dated,
        "R202": not_ahead,
        **{rule: _account(rule) for rule in ACCOUNT},
        "R207": dues_exist,
        "R208": notes_linked,
        "R301": note_named,
        "R302": note_complete,
        "R303": note_questions,
        "R304": note_paired,
        "R305": prerequisites,
        "R401": snippets_checked,
        "R402": recorded,
    }
)


def _inspect(path: Path) -> Iterator[Problem]:
    try:
        cells = snippet.parse(path).code_cells
    except RizhiError as error:
        message = str(error).removeprefix(f"{path}:").rstrip("。")
        yield Problem(path, 1, "R401", message, "改好再运行 rizhi record")
        return
    checks = [cell for cell in cells if cell.title.startswith("检验")]
    if not any("assert" in cell.source for cell in checks):
        message = "没有带断言的「检验…」单元格"
        yield Problem(path, 1, "R401", message, "加一格，用独立的算法核对结果")


def _finished(scene: Scene) -> Iterator[Note]:
    return (note for note in scene.notes if not note.draft and note.text)


def _parts(note: Note) -> tuple[list[str], list[str]]:
    """二级标题与各自的正文；代码块里的「## 」不是标题。"""
    prose = outside_code(note.body)
    marks = list(re.finditer(r"^## (.+?)[ \t]*\r?$", prose, re.M))
    stops = [*(mark.start() for mark in marks), len(prose)][1:]
    bodies = [note.body[m.end() : stop] for m, stop in zip(marks, stops, strict=True)]
    return [mark[1] for mark in marks], bodies


def _strictly(problem: Problem) -> Problem:
    return replace(problem, level="error") if problem.rule in ACCOUNT else problem


def _reaches(
    graph: Mapping[str, tuple[str, ...]], start: str, goal: str, seen: frozenset[str]
) -> bool:
    if start == goal:
        return True
    if start in seen:
        return False
    return any(_reaches(graph, s, goal, seen | {start}) for s in graph.get(start, ()))
