"""约定的每一条规则：一个函数，看一眼知识库，说出哪里不对、怎么改。"""

import ast
import io
import json
import os
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rizhi import links, notes
from rizhi import template as templates
from rizhi.dangers import dangers, in_notebook
from rizhi.errors import RizhiError
from rizhi.journal import todo
from rizhi.journal.day import GOALS, Day, read_days
from rizhi.journal.lint import Lack, lacking
from rizhi.markdown import Link, NearMiss, near_misses
from rizhi.markdown.outline import Fence, Part, fences, questions, sections
from rizhi.page import Note, Page, load, read_notes, read_weeks
from rizhi.snippets import cells, record
from rizhi.snippets.source import find_object, module_file
from rizhi.vault import SLUG, Vault, day_path, module_of, read_text, snippet_files

QUESTIONS, SOURCES, BRIEF = "自测", "来源", "一句话"  # 模板里有这一节，才查它
ACCOUNT = ("R203", "R204", "R205", "R206")  # 流水账：平时只提醒，--strict 才算错误
EMBEDDED = ("snippet", "source")
PYTHON = ("python", "python3", "py", "pycon", "ipython")
MAX_MENTIONS = 3
_UNCHECKED = re.compile(r"<a\s[^>]*href=|<img\s")
_WIKI = re.compile(r"\[\[[^\[\]\n]+\]\]")
_NAMED = re.compile(r"[A-Za-z\d《》「」『』“”\"〈〉]")
_ASSERTING = re.compile(r"assert|check|verif|raises|expect", re.I)
_LETTER = r"(?:\d*[A-Z]|\d+)"
_TERM = rf"(?:{_LETTER}(?:\s*[·*×/+-]\s*{_LETTER})*|-1|…|\.\.\.)"
_SHAPE = re.compile(rf"(?<![\w.\]])\(\s*({_TERM})(?:\s*,\s*{_TERM}){{2,}}\s*,?\s*\)")


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
    _snippets: dict[Path, cells.Snippet | RizhiError] = field(default_factory=dict)

    @property
    def pages(self) -> list[Page]:
        return [*self.notes, *self.days, *self.weeks]

    @cached_property
    def by_path(self) -> dict[str, Note]:
        return links.by_path(self.notes)

    @cached_property
    def files(self) -> set[str]:
        """docs/ 里全部文件与文件夹的路径。"""
        walked = os.walk(self.vault.docs)
        return {f"{at}{os.sep}{name}" for at, folders, files in walked for name in folders + files}

    @cached_property
    def others(self) -> list[Page]:
        """日总结、周报与笔记之外的页：首页、使用、参考；站点也有它们。"""
        known, docs = {page.path for page in self.pages}, self.vault.docs
        paths = (Path(name) for name in sorted(self.files) if name.endswith(".md"))
        shown = (p for p in paths if p not in known and p.is_file() and _shown(p.relative_to(docs)))
        return [load(Page, self.vault, path) for path in shown]

    @cached_property
    def lacks(self) -> list[tuple[Day, Lack]]:
        """写完的每一天缺了什么；前置数据被当成正文的，改好了再看。"""
        found = []
        for day in self.days:
            if day.text and not day.faults and day.date and day.date < self.today:
                topics = len(links.linked(self.targets[day.path], self.by_path))
                found += [(day, lack) for lack in lacking(day, topics, self.boilerplate)]
        return found

    @cached_property
    def boilerplate(self) -> re.Pattern[str]:
        """日总结模板里原样的行。"""
        return templates.boilerplate(self.vault)

    @cached_property
    def targets(self) -> dict[Path, list[tuple[Link, str]]]:
        return {page.path: links.targets(page) for page in self.pages}

    @cached_property
    def finished(self) -> list[Note]:
        """读得出、不是草稿的笔记。"""
        return [note for note in self.notes if not note.draft and note.text]

    @cached_property
    def checked(self) -> list[Path]:
        """草稿之外的片段。"""
        drafts = {module_of(note.slug) for note in self.notes if note.draft}
        return [path for path in snippet_files(self.vault) if path.stem not in drafts]

    @cached_property
    def template(self) -> tuple[tuple[str, ...], str]:
        """笔记模板的二级标题，与模板排不出来时的原因。"""
        try:
            return notes.note_headings(self.vault), ""
        except RizhiError as error:
            return (), str(error)

    @cached_property
    def parts(self) -> dict[Path, list[Part]]:
        """每篇写完的笔记的各节。"""
        return {note.path: sections(note.document) for note in self.finished}

    def section(self, name: str) -> Iterator[tuple[Note, Part]]:
        """写完的笔记里叫这个名字的一节；模板里没有这一节，就一篇也不看。"""
        for note in self.finished if name in self.template[0] else ():
            yield from ((note, part) for part in self.parts[note.path] if part.name == name)

    def snippet(self, path: Path) -> cells.Snippet:
        """读一个片段，各读一次。异常：读不懂，抛 RizhiError。"""
        if path not in self._snippets:
            try:
                self._snippets[path] = cells.parse(path)
            except RizhiError as error:
                self._snippets[path] = error
        found = self._snippets[path]
        if isinstance(found, RizhiError):
            raise found
        return found


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
    said, remedy = "站点上会有不许的 HTML：", "删掉它；要展示就放进代码块或反引号"
    for page in (*scene.pages, *scene.others):
        for at, what in dangers(page):
            yield Problem(page.path, page.document.line(at), "R102", said + what, remedy)
    for path in sorted(scene.vault.notebooks.glob("*.ipynb")):
        for number, what in in_notebook(_cells(path)):
            message = f"第 {number} 格{said}{what}"
            yield Problem(path, 1, "R102", message, "删掉它，或清掉这一格的输出")


def markdown_links(scene: Scene) -> Iterator[Problem]:
    for page in scene.pages:
        for at, what in _unchecked(page):
            message = f"{what[:30]!r} 不会被当成链接检查"
            line = page.document.line(at)
            yield Problem(page.path, line, "R103", message, "写成 [文字](相对路径.md)")


def links_alive(scene: Scene) -> Iterator[Problem]:
    folders = (scene.vault.daily, scene.vault.notes)
    known = scene.files | {str(folder / "index.md") for folder in folders}  # 构建时才有这两页
    for page in scene.pages:
        places = {link.dest: target for link, target in scene.targets[page.path]}
        folder = str(page.path.parent)
        for made in page.document.definitions.values():  # 没有用到的定义，断了也是断了
            if target := links.resolve(folder, made.target):
                places[made.dest] = target
        for dest, target in places.items():
            if target not in known and not Path(target).exists():
                message = f"链接指向不存在的 {scene.vault.relative(Path(target))}"
                line = page.document.line(dest)
                yield Problem(page.path, line, "R104", message, "改正路径，或先写那一页")


def fences_resolve(scene: Scene) -> Iterator[Problem]:
    for page in scene.pages:
        if not isinstance(page, Note) or not page.draft:
            for fence in fences(page.document):
                if fence.lang.lower() in EMBEDDED:
                    yield from _unresolved(scene, page, fence)


def written_right(scene: Scene) -> Iterator[Problem]:
    for page in scene.pages:
        found = page.near_misses if isinstance(page, Day) else near_misses(page.document)
        # 「一、」与下面画一条线的标题，只有在日总结里才多半是手滑；坏的前置数据由 R101 说
        skipped = () if isinstance(page, Day) and not page.faults else ("numbered", "rule")
        for miss in (miss for miss in found if miss.kind not in skipped):
            message, remedy = _spelling(miss, page.text[miss.start : miss.end])
            line = page.document.line(miss.start)
            yield Problem(page.path, line, "R106", message, remedy, "warning")


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
    for day, kept in _doubled(scene):
        message = f"这一天写了两页，另一页是 {scene.vault.relative(kept)}"
        yield Problem(day.path, 1, "R201", message, "并到那一页，删掉这一页")


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
        for item in day.todos:
            line = day.document.line(item.start)
            dues = todo.dues_of(day, item)
            for written in (written for written, due in dues if due is None):
                message = f"期限 {written} 不是真有的日期"
                yield Problem(day.path, line, "R207", message, "改成真有的一天", "warning")
            counted = [due for _, due in dues if due]
            if len(counted) > 1:
                message = f"写了 {len(counted)} 个期限，算数的是头一个：{counted[0]}"
                yield Problem(day.path, line, "R207", message, "只留一个", "warning")


def notes_linked(scene: Scene) -> Iterator[Problem]:
    names = links.named(scene.vault, scene.notes)
    for day in scene.days:
        missed = _unlinked(scene, day, names)
        for note, at, end in missed[:MAX_MENTIONS]:
            word = day.text[at:end]
            whole = "" if word == note.title else f"（笔记「{note.title}」）"
            message = f"提到了「{word}」{whole}，没有链接"
            remedy = f"可以链接到 {links.relative(day.path, note.path)}"
            remedy += f"；这一天提到 {len(missed)} 篇，一天至多列 {MAX_MENTIONS} 篇"
            yield Problem(day.path, day.document.line(at), "R208", message, remedy, "warning")


def note_named(scene: Scene) -> Iterator[Problem]:
    for note in scene.notes:
        if not SLUG.fullmatch(note.slug) or len(note.slug) > 64:
            message, remedy = f"笔记名 {note.slug!r} 不合规则", "只用小写字母、数字与单个连字符"
            yield Problem(note.path, 1, "R301", message, remedy)
        elif not isinstance(note.meta.get("title"), str):
            yield Problem(note.path, 1, "R301", "没有 title", "在前置数据里写上标题")


def note_complete(scene: Scene) -> Iterator[Problem]:
    wanted, fault = scene.template
    if fault:
        path = scene.vault.root / "rizhi/templates/note.md"
        yield Problem(path, 1, "R302", fault.rstrip("。"), "改好模板，才知道笔记该有哪些标题")
    for note in scene.finished if wanted else ():
        parts = scene.parts[note.path]
        yield from _headings(note, parts, wanted)
        for part in parts:
            if part.empty:
                message, line = f"「{part.name}」是空的", note.document.line(part.start)
                yield Problem(note.path, line, "R302", message, "写上内容")


def note_questions(scene: Scene) -> Iterator[Problem]:
    for note, part in scene.section(QUESTIONS):
        count = len(questions(note.document, part))
        if count < 3 and not part.empty:
            message, line = f"自测只有 {count} 题", note.document.line(part.start)
            yield Problem(note.path, line, "R303", message, "至少三题，写成 ??? question")


def note_paired(scene: Scene) -> Iterator[Problem]:
    for note in scene.finished:
        wanted = module_of(note.slug)
        if note.snippet != wanted:
            message = f"snippet 应是 {wanted}，现在是 {note.snippet}"
            yield Problem(note.path, 2, "R304", message, "改正前置数据")
        elif not (scene.vault.snippets / f"{wanted}.py").is_file():
            message = f"没有 snippets/{wanted}.py"
            yield Problem(note.path, 2, "R304", message, "写出片段，或标上 draft: true")


def prerequisites(scene: Scene) -> Iterator[Problem]:
    graph = {note.slug: note.prereq for note in scene.notes}
    ring = _rings(graph)
    for note in scene.notes:
        for slug in note.prereq:
            if slug not in graph:
                message = f"先修 {slug} 不存在"
                yield Problem(note.path, 2, "R305", message, "改名，或先写那一篇")
            elif ring[slug] == ring[note.slug]:
                message = f"先修成环：{slug} 又要先读 {note.slug}"
                yield Problem(note.path, 2, "R305", message, "去掉其中一条")


def answers_given(scene: Scene) -> Iterator[Problem]:
    for note, part in scene.section(QUESTIONS):
        for question in questions(note.document, part):
            if question.empty:
                message = f"这一题没有答案：{question.name[:40]}"
                line, remedy = note.document.line(question.start), "答案缩进四格，写在题目下面"
                yield Problem(note.path, line, "R306", message, remedy)


def code_runs(scene: Scene) -> Iterator[Problem]:
    for note in scene.finished:
        for fence in fences(note.document):
            if fence.lang.lower() in PYTHON:
                message = f"手写的 {fence.lang} 代码没有运行过"
                line, remedy = note.document.line(fence.start), "写进片段，用 snippet 围栏嵌入"
                yield Problem(note.path, line, "R307", message, remedy, "warning")


def shapes_named(scene: Scene) -> Iterator[Problem]:
    dims = _dims(scene.vault)
    if not dims:
        return
    texts = [(note.path, note.line, note.body) for note in scene.finished]
    for path in scene.checked:
        texts += [(path, line, text) for line, text in _comments(path)]
    for path, first, text in texts:
        for at, shape, letters in _foreign(text, dims):
            message = f"形状 {shape} 里的 {'、'.join(letters)} 不在图例 {dims} 里"
            remedy = "换成图例里的字母，或把它加进 pyproject.toml 的 dims"
            yield Problem(path, first + text.count("\n", 0, at), "R308", message, remedy, "warning")


def sources_named(scene: Scene) -> Iterator[Problem]:
    for note, part in scene.section(SOURCES):
        for item in note.document.items:
            text = note.text[item.body : item.last]
            if not item.depth and part.body <= item.start < part.end and not _NAMED.search(text):
                message = f"照着这一条找不到出处：{' '.join(text.split())[:20]}"
                line, remedy = (
                    note.document.line(item.start),
                    "写上论文名、网址、年份，或加书名号的书名",
                )
                yield Problem(note.path, line, "R309", message, remedy, "warning")


def brief_stands(scene: Scene) -> Iterator[Problem]:
    graph = {note.slug: note.prereq for note in scene.notes}
    for note, part in scene.section(BRIEF):
        read: set[str] | None = None
        for link, target in scene.targets[note.path]:
            needed = scene.by_path.get(target) if part.body <= link.start < part.end else None
            if needed and not link.image:
                read = _before(graph, note.slug) if read is None else read
                if needed.slug not in read:
                    message = f"「一句话」要先读过「{needed.title}」，它不在先修里"
                    remedy = f"在 prereq 里加上 {needed.slug}，或把这个链接挪到后面的节"
                    line = note.document.line(link.start)
                    yield Problem(note.path, line, "R310", message, remedy, "warning")


def snippets_checked(scene: Scene) -> Iterator[Problem]:
    owned = {module_of(note.slug) for note in scene.notes}
    for path in snippet_files(scene.vault):
        if path.stem not in owned:
            message, remedy = "没有一篇笔记用它", "写出同名的笔记"
            yield Problem(path, 1, "R401", message, remedy)
    for path in scene.checked:
        try:
            checks = _checks(scene.snippet(path))
        except RizhiError as error:
            message = str(error).removeprefix(f"{path}:").rstrip("。")
            yield Problem(path, 1, "R401", message, "改好再运行 rizhi record")
            continue
        if not checks:
            message, remedy = "没有「检验…」单元格", "加一格，用独立的算法核对结果"
            yield Problem(path, 1, "R401", message, remedy)


def recorded(scene: Scene) -> Iterator[Problem]:
    for path in scene.checked:
        try:
            state = record.state(path, scene.vault.root)
        except RizhiError:
            continue  # 读不懂的片段由 R401 说明
        if state != "fresh":
            names = {"stale": "过期", "edited": "被改动过", "missing": "没有"}
            remedy = f"运行 rizhi record {path.stem.replace('_', '-')}"
            yield Problem(path, 1, "R402", f"输出的记录{names[state]}", remedy)


def checks_assert(scene: Scene) -> Iterator[Problem]:
    for path, parsed in _readable(scene):
        trees = [ast.parse(cell.source) for cell in parsed.code_cells]
        helpers = _helpers(trees)
        for cell in _checks(parsed):
            if not _asserts(ast.parse(cell.source), helpers):
                message = f"「{cell.title}」没有核对任何东西"
                remedy = "写一条 assert，拿结果与独立算出的值比；assert True 不算"
                yield Problem(path, cell.line, "R403", message, remedy)


def imports_tracked(scene: Scene) -> Iterator[Problem]:
    for path, _ in _readable(scene):
        for line, file in record.untracked(path, scene.vault.root):
            message = f"用到了 {file}：它改了，这里的记录不会过期"
            remedy = "把要用的几行写进这个片段，或搬进 llm"
            yield Problem(path, line, "R404", message, remedy)


RULES: Mapping[str, Callable[[Scene], Iterator[Problem]]] = MappingProxyType(
    {
        "R101": readable,
        "R102": harmless,
        "R103": markdown_links,
        "R104": links_alive,
        "R105": fences_resolve,
        "R106": written_right,
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
        "R306": answers_given,
        "R307": code_runs,
        "R308": shapes_named,
        "R309": sources_named,
        "R310": brief_stands,
        "R401": snippets_checked,
        "R402": recorded,
        "R403": checks_assert,
        "R404": imports_tracked,
    }
)


def _shown(path: Path) -> bool:
    """docs/ 里的这个文件站点要不要：模板与点开头的不要。"""
    return path.parts[0] != "templates" and not any(part.startswith(".") for part in path.parts)


def _cells(path: Path) -> list[Any]:
    """笔记本的各格；读不懂的，站点那一页会说明。"""
    try:
        book = json.loads(read_text(path))
    except (RizhiError, ValueError):
        return []
    cells = book.get("cells") if isinstance(book, dict) else None
    return cells if isinstance(cells, list) else []


def _unchecked(page: Page) -> Iterator[tuple[int, str]]:
    """`[[双括号]]` 与手写的 `<a href>`、`<img>`，各在哪里。"""
    if "[[" in page.text:
        found = _WIKI.finditer(page.document.unlinked, page.offset)
        yield from ((m.start(), m[0]) for m in found)
    for span in page.document.spans:
        if span.kind == "html":
            found = _UNCHECKED.finditer(page.text, span.start, span.end)
            yield from ((m.start(), m[0]) for m in found)


def _spelling(miss: NearMiss, text: str) -> tuple[str, str]:
    """像而不是的一行：说什么，怎么改。"""
    shown, right = _cut(text), _cut(miss.right)
    if miss.kind == "rule":
        return f"「{shown}」下面紧接着横线，成了标题", miss.right
    if miss.kind == "blank":
        return f"「{shown}」像条目，编号不从 1 起，接在上一段后面只是文字", "在它上面空一行"
    what = {"task": "待办", "item": "条目"}.get(miss.kind, "标题")
    return f"「{shown}」像{what}，却只是文字", f"是{what}就写成「{right}」，不是就放进反引号"


def _cut(text: str) -> str:
    line = text.partition("\n")[0].strip()
    return f"{line[:30]}…" if len(line) > 30 else line


def _doubled(scene: Scene) -> Iterator[tuple[Day, Path]]:
    """同一天的另一页，与留下的那一页：路径对的留下。"""
    first: dict[date, Path] = {}
    for day in scene.days:
        if day.date:
            right = day_path(scene.vault, day.date)
            first.setdefault(day.date, day.path)
            if day.path == right:
                first[day.date] = right
    for day in scene.days:
        if day.date and day.path != first[day.date]:
            yield day, first[day.date]


def _unlinked(scene: Scene, day: Day, names: links.Names) -> list[tuple[Note, int, int]]:
    """一天里写到、却没有链接的笔记，各是头一处；`new` 与 `done` 写下的不算。"""
    linked = {target for _, target in scene.targets[day.path]}
    found: dict[Path, tuple[Note, int, int]] = {}
    for note, at, end in names.every(day.document.unlinked[day.offset :]):
        place = (note, day.offset + at, day.offset + end)
        if str(note.path) not in linked and note.path not in found and _said(scene, day, place[1]):
            found[note.path] = place
    return list(found.values())


def _said(scene: Scene, day: Day, at: int) -> bool:
    """这个位置是不是他自己的话：今日目标、顺延来的、模板里的都不是。"""
    if any(section.start <= at < section.end for section in day.section(GOALS)):
        return False
    line = day.text[day.document.line_start(at) : day.document.line_end(at)].strip()
    return not todo.SUFFIX.search(line) and not scene.boilerplate.fullmatch(line)


def _unresolved(scene: Scene, page: Page, fence: Fence) -> Iterator[Problem]:
    """围栏里不存在的名字；同一个毛病在一个围栏里只说一次。"""
    lang, said = fence.lang.lower(), set[str]()
    if fence.options or fence.lang != lang:
        message = f"站点认不出写成 {fence.lang} {fence.options}".rstrip() + " 的围栏"
        line = page.document.line(fence.start)
        yield Problem(page.path, line, "R105", message, f"只写 {lang}")
    for at, name in fence.lines:
        try:
            _resolve(scene, lang, name)
        except RizhiError as error:
            message = str(error).replace(f"{scene.vault.root}/", "").rstrip("。")
            if message not in said:
                said.add(message)
                line = page.document.line(at)
                yield Problem(page.path, line, "R105", message, "改成现有的名字")


def _resolve(scene: Scene, lang: str, name: str) -> None:
    """异常：围栏里的名字没有对应的单元格、模块或对象，抛 RizhiError。"""
    module, _, inside = (part.strip() for part in name.partition(":"))
    if not name:
        return
    if lang == "source":
        find_object(module_file(scene.vault, module), inside)
        return
    parsed = scene.snippet(cells.snippet_file(scene.vault, module))
    if inside:
        parsed.cell(inside)


def _headings(note: Note, parts: list[Part], wanted: tuple[str, ...]) -> Iterator[Problem]:
    """二级标题与模板逐个比，位置是头一个对不上的地方。"""
    names = [part.name for part in parts]
    pairs = list(zip(names, wanted, strict=False))
    at = next((n for n, (name, want) in enumerate(pairs) if not _fits(name, want)), len(pairs))
    if at == len(names) == len(wanted):
        return
    line = note.document.line(parts[at].start if at < len(parts) else len(note.text))
    lacking = [want for want in wanted if not any(_fits(name, want) for name in names)]
    extra = [name for name in names if not any(_fits(name, want) for want in wanted)]
    shown = "、".join(wanted).replace(templates.VALUE, "…")
    message = f"二级标题应依次是 {shown}"
    if lacking:
        message += f"；缺 {'、'.join(lacking).replace(templates.VALUE, '…')}"
    if extra:
        message += f"；多了 {'、'.join(extra)}"
    yield Problem(note.path, line, "R302", message, "照模板补齐，或标上 draft: true")


def _fits(name: str, wanted: str) -> bool:
    return bool(re.fullmatch(re.escape(wanted).replace(templates.VALUE, ".+"), name))


def _dims(vault: Vault) -> str:
    """形状字母的图例；没有设就是空的。"""
    dims = vault.config.get("dims", "")
    if not isinstance(dims, str) or not re.fullmatch("[A-Z]*", dims):
        raise RizhiError(
            f"pyproject.toml 的 [tool.rizhi] dims 应是一串大写字母，例如 BTCHD，现在是 {dims!r}。"
            "没有改动任何文件。"
        )
    return dims


def _foreign(text: str, dims: str) -> Iterator[tuple[int, str, list[str]]]:
    """像形状、却用了图例之外的字母的：三维以上，第一维与至少两个字母认得，免得错怪别的括号。"""
    for found in _SHAPE.finditer(text):
        letters = dict.fromkeys(re.findall("[A-Z]", found[0]))
        strange = [letter for letter in letters if letter not in dims]
        if strange and len(letters) - len(strange) >= 2 and not set(strange) & set(found[1]):
            yield found.start(), found[0], strange


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    """片段里的注释与行号；字符串里的「#」不算。"""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(read_text(path)).readline))
    except (RizhiError, tokenize.TokenError, SyntaxError):
        return  # 读不懂的片段由 R401 说明
    yield from ((t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT)


def _readable(scene: Scene) -> Iterator[tuple[Path, cells.Snippet]]:
    """草稿之外、读得懂的片段；读不懂的由 R401 说明。"""
    for path in scene.checked:
        with suppress(RizhiError):
            yield path, scene.snippet(path)


def _checks(parsed: cells.Snippet) -> list[cells.Cell]:
    return [cell for cell in parsed.code_cells if cell.title.startswith("检验")]


def _helpers(trees: list[ast.Module]) -> set[str]:
    """片段自己定义的、里面真有断言的函数。"""
    defined = {
        node.name: node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    known: set[str] = set()
    while True:
        found = {name for name, node in defined.items() if _asserts(node, known)}
        if found == known:
            return known
        known = found


def _asserts(tree: ast.AST, helpers: set[str]) -> bool:
    return any(_is_check(node, helpers) for node in ast.walk(tree))


def _is_check(node: ast.AST, helpers: set[str]) -> bool:
    """断言、抛错，或调用会断言的函数；断言一个常量、一个非空的元组，永远成立。"""
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant | ast.Tuple)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        return name in helpers or bool(_ASSERTING.search(name))
    return isinstance(node, ast.Raise)


def _strictly(problem: Problem) -> Problem:
    return replace(problem, level="error") if problem.rule in ACCOUNT else problem


def _rings(graph: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """每一项属于哪个环（强连通分量），用其中一项的名字作代表；逐边走两遍。"""
    back: dict[str, list[str]] = {slug: [] for slug in graph}
    for slug, needs in graph.items():
        for need in needs:
            if need in graph:
                back[need].append(slug)
    ring: dict[str, str] = {}
    for start in reversed(_finished(graph)):
        left = [start]
        while left:
            slug = left.pop()
            if slug not in ring:
                ring[slug] = start
                left += back[slug]
    return ring


def _finished(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """深度优先走一遍，按走完的先后；不递归，一千篇连成一串也不会爆栈。"""
    seen, order = set[str](), list[str]()
    for start in graph:
        path = [(start, iter(graph[start]))] if start not in seen else []
        seen.add(start)
        while path:
            _, needs = path[-1]
            need = next((n for n in needs if n in graph and n not in seen), None)
            if need is None:
                order.append(path.pop()[0])
            else:
                seen.add(need)
                path.append((need, iter(graph[need])))
    return order


def _before(graph: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    """先修与先修的先修，连同自己。"""
    seen, left = set[str](), [start]
    while left:
        slug = left.pop()
        if slug not in seen:
            seen.add(slug)
            left += graph.get(slug, ())
    return seen
