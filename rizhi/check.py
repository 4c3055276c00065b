"""约定的每一条规则：一个函数，看一眼知识库，说出哪里不对、怎么改。"""

import ast
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cached_property, partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType

import yaml

from rizhi import deadlinks, links, notes
from rizhi import template as templates
from rizhi.dangers import dangers, in_notebook
from rizhi.entries import Misfit, is_page, misfits, shown
from rizhi.errors import Problem, RizhiError, cut
from rizhi.journal import todo
from rizhi.journal.day import GOALS, Day, read_days
from rizhi.journal.lint import Lack, lacking
from rizhi.markdown import Link, NearMiss, near_misses
from rizhi.markdown.outline import Fence, Part, fence_lines, fences, questions, sections
from rizhi.page import Note, Page, load, read_notes, read_weeks
from rizhi.recall import log
from rizhi.snippets import cells, record
from rizhi.snippets.flow import flow_data, read_links
from rizhi.snippets.source import documented, read_fence_line
from rizhi.vault import (
    COUNTS,
    SETTINGS,
    SLUG,
    Vault,
    count_setting,
    day_path,
    module_of,
    named,
    notebook_files,
    read_text,
    snippet_files,
)

ACCOUNT = ("R203", "R204", "R205", "R206")  # 流水账：平时只提醒，--strict 才算错误
EMBEDDED = ("snippet", "source", "flow")
PYTHON = ("python", "python3", "py", "pycon", "ipython")
MAX_MENTIONS = 3
_AUTODOC = re.compile(r"^(?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*(?:#{1,6} *)?::: ?(.+?) *$", re.M)
_INDENTED = re.compile(r"(?:\n {4}.*)*")
_NAMED = re.compile(r"[A-Za-z\d《》「」『』“”\"〈〉]")
_ASSERTING = re.compile(r"assert|check|verif|raises|expect", re.I)
_LETTER = r"(?:\d*[A-Z]|\d+)"
_TERM = rf"(?:{_LETTER}(?:\s*[·*×/+-]\s*{_LETTER})*|-1|…|\.\.\.)"
_SHAPE = re.compile(rf"(?<![\w.\]])\(\s*({_TERM})(?:\s*,\s*{_TERM}){{2,}}\s*,?\s*\)")


@dataclass(frozen=True)
class Scene:
    """检查要看的一切，只读一遍盘，只解析一遍。"""

    vault: Vault
    today: date
    notes: list[Note]
    days: list[Day]
    weeks: list[Page]
    added: Callable[[], deadlinks.Added] = dict

    @property
    def pages(self) -> list[Page]:
        return [*self.notes, *self.days, *self.weeks]

    @cached_property
    def by_path(self) -> dict[str, Note]:
        return links.by_path(self.notes)

    @cached_property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """每篇笔记的先修。"""
        return {note.slug: note.prereq for note in self.notes}

    @cached_property
    def files(self) -> set[str]:
        """docs/ 里全部文件与文件夹的路径。"""
        walked = os.walk(self.vault.docs)
        return {f"{at}{os.sep}{name}" for at, folders, files in walked for name in folders + files}

    @cached_property
    def misfits(self) -> dict[Path, Misfit]:
        """站点收不进的文件。"""
        return {misfit.path: misfit for misfit in misfits(self.vault)}

    @cached_property
    def shown(self) -> frozenset[str]:
        """站点要的文件，相对于 docs：模板、点开头的、index.md 旁边的 README.md 不要。"""
        start = len(f"{self.vault.docs}{os.sep}")
        files = (path for path in self.files if os.path.isfile(path))  # noqa: PTH113  造 Path 太慢
        uris = {path[start:].replace(os.sep, "/") for path in files}
        beside = {f"{uri.removesuffix('index.md')}README.md" for uri in uris if "index.md" in uri}
        hidden = (uri for uri in uris if f"/{uri}".startswith("/templates/") or "/." in f"/{uri}")
        lost = {
            str(path)[start:].replace(os.sep, "/")
            for path, misfit in self.misfits.items()
            if not misfit.page and path.is_relative_to(self.vault.docs)
        }
        return frozenset(uris - beside - lost - set(hidden))

    @cached_property
    def others(self) -> list[Page]:
        """日总结、周报与笔记之外的页：首页、使用、参考；站点也有它们。"""
        known, docs = {page.path for page in self.pages}, self.vault.docs
        paths = (docs / uri for uri in sorted(self.shown) if is_page(uri) and named(uri))
        return [load(Page, self.vault, path) for path in paths if path not in known]

    @cached_property
    def site(self) -> deadlinks.Site:
        """站点上有的文件：docs/ 里的，与算出来的。"""
        pages = {page.path: page for page in (*self.pages, *self.others)}
        return deadlinks.Site(self.vault, self.shown, pages.__getitem__, self.added)

    @cached_property
    def lacks(self) -> list[tuple[Day, Lack]]:
        """写完的每一天缺了什么；前置数据被当成正文的，改好了再看。"""
        lacks = []
        for day in self.days:
            if day.text and not day.faults and day.date and day.date < self.today:
                topics = len(links.linked(self.targets[day.path], self.by_path))
                lacks += [(day, lack) for lack in lacking(day, topics, self.boilerplate)]
        return lacks

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
        return [note for note in self.notes if note.finished]

    @cached_property
    def checked(self) -> list[Path]:
        """草稿之外的片段。"""
        drafts = {module_of(note.slug) for note in self.notes if note.draft}
        return [path for path in snippet_files(self.vault) if path.stem not in drafts]

    @cached_property
    def template(self) -> tuple[tuple[str, ...], Mapping[str, str], RizhiError | None]:
        """笔记模板的二级标题，其中点了名的几节，与模板排不出来时的原因。"""
        try:
            return notes.note_headings(self.vault), notes.note_roles(self.vault), None
        except RizhiError as error:
            return (), {}, error

    @cached_property
    def parts(self) -> dict[Path, list[Part]]:
        """每篇写完的笔记的各节。"""
        return {note.path: sections(note.document) for note in self.finished}

    def section(self, role: str) -> Iterator[tuple[Note, Part]]:
        """写完的笔记里担这个角色的一节；模板没有点名，就一篇也不看。"""
        title = self.template[1].get(role, "")
        for note in self.finished if title else ():
            yield from ((note, p) for p in self.parts[note.path] if notes.fits(p.name, title))

    def snippet(self, path: Path) -> cells.Snippet:
        """一个片段的各格。异常：读不懂，抛 RizhiError。"""
        return record.load(self.vault, path).source


# 在哪里（页与字符位置，或路径与行）、什么、怎么办
Findings = Iterator[tuple[Page | Path, int, str, str]]
_Look = Callable[[Scene], Iterator[Problem]]
_rules: dict[str, _Look] = {}  # 只在载入时登记；别处用 RULES


def check_vault(
    vault: Vault,
    today: date,
    strict: bool = False,
    added: Callable[[], deadlinks.Added] = dict,
) -> list[Problem]:
    """按全部规则检查，按位置排序；`strict` 时流水账也算错误。

    `added` 给出站点上不是手写的文件：这里不知道站点怎么算。
    """
    scene = Scene(vault, today, read_notes(vault), read_days(vault), read_weeks(vault), added)
    problems = [problem for look in RULES.values() for problem in look(scene)]
    if strict:
        problems = [replace(p, level="error") if p.rule in ACCOUNT else p for p in problems]
    return sorted(problems, key=lambda p: (str(p.path), p.line, p.rule))


def _rule(name: str, level: str = "error") -> Callable[[Callable[[Scene], Findings]], _Look]:
    """登记一条规则：函数只说在哪里、什么、怎么办，编号与级别写在这里。"""

    def named(look: Callable[[Scene], Findings]) -> _Look:
        def problems(scene: Scene) -> Iterator[Problem]:
            for where, at, message, remedy in look(scene):
                path = where.path if isinstance(where, Page) else where
                line = where.document.line(at) if isinstance(where, Page) else at
                yield Problem(line, message.rstrip("。"), remedy, path, name, level)

        _rules[name] = problems
        return problems

    return named


@_rule("R101")
def readable(scene: Scene) -> Findings:
    for page in (*scene.pages, *scene.others):
        faults = () if page.path in scene.misfits else page.faults  # 那些由 R107 说
        for fault in (*faults, *page.front.unfit):
            yield page.path, fault.line, fault.message, fault.remedy


@_rule("R102")
def harmless(scene: Scene) -> Findings:
    said, remedy = "站点上会有不许的 HTML：", "删掉它；要展示就放进代码块或反引号"
    for page in (*scene.pages, *scene.others):
        yield from ((page, at, said + what, remedy) for at, what in dangers(page))
    for path in notebook_files(scene.vault):
        if path in scene.misfits:
            continue
        for number, what in in_notebook(json.loads(read_text(path))["cells"]):
            yield path, 1, f"第 {number} 格{said}{what}", "删掉它，或清掉这一格的输出"


@_rule("R103")
def markdown_links(scene: Scene) -> Findings:
    for page in (*scene.pages, *scene.others):
        for at, what in deadlinks.unchecked(page):
            yield page, at, f"{what[:30]!r} 不会被当成链接检查", "写成 [文字](相对路径.md)"


@_rule("R104")
def links_alive(scene: Scene) -> Findings:
    for page in (*scene.pages, *scene.others):
        yield from ((page, *dead) for dead in deadlinks.dead(scene.site, page))
    for page in scene.pages:
        for at, target in _flow_targets(scene, page):
            if target not in scene.files:
                message = f"链接指向不存在的 {scene.vault.relative(Path(target))}"
                yield page, at, message, "改正路径，或先写那一页"


@_rule("R105")
def fences_resolve(scene: Scene) -> Findings:
    listed: dict[str, Page] = {}
    for page in (*scene.others, *scene.pages):
        yield from _undocumented(scene, page, listed)
    for page in scene.pages:
        if not isinstance(page, Note) or not page.draft:
            for fence in fences(page.document):
                if fence.lang.lower() in EMBEDDED:
                    yield from _unresolved(scene, page, fence)


@_rule("R106", "warning")
def written_right(scene: Scene) -> Findings:
    for page in scene.pages:
        misses = page.near_misses if isinstance(page, Day) else near_misses(page.document)
        # 「一、」与下面画一条线的标题，只有在日总结里才多半是手滑；坏的前置数据由 R101 说
        skipped = () if isinstance(page, Day) and not page.faults else ("numbered", "rule")
        for miss in (miss for miss in misses if miss.kind not in skipped):
            yield page, miss.start, *_spelling(miss, page.text[miss.start : miss.end])


@_rule("R107")
def files_fit(scene: Scene) -> Findings:
    for misfit in scene.misfits.values():
        yield misfit.path, misfit.line, misfit.message, misfit.remedy


@_rule("R108")
def settings_known(scene: Scene) -> Findings:
    path = scene.vault.root / "pyproject.toml"
    for key in (key for key in scene.vault.config if key not in SETTINGS):
        near = get_close_matches(key.lower().replace("-", "_"), SETTINGS, 1)
        remedy = f"改成 {near[0]}" if near else f"删掉它；认得的有 {'、'.join(SETTINGS)}"
        line = _setting_line(read_text(path), key)
        yield path, line, f"[tool.rizhi] 里没有 {key} 这个设置，写了不起作用", remedy
    for key in COUNTS:
        try:
            count_setting(scene.vault, key)
        except RizhiError as error:
            yield path, _setting_line(read_text(path), key), error.message, "改成一个整数，或删掉它"


@_rule("R109")
def reviews_readable(scene: Scene) -> Findings:
    path = log.path(scene.vault)
    try:
        _, faults = log.read(scene.vault)
    except RizhiError as error:
        yield path, 1, error.message, "移走它，或从 git 里找回"
    else:
        yield from ((path, fault.line, fault.message, fault.remedy) for fault in faults)


@_rule("R201")
def dated(scene: Scene) -> Findings:
    remedy = "改成 docs/daily/2026/2026-11-23.md 这样"
    for day in scene.days:
        if day.date is None:
            yield day.path, 1, "文件名不是一个真有的日期", remedy
        elif day.path.parent.name != f"{day.date:%Y}":
            yield day.path, 1, "年份文件夹与日期不符", remedy
        elif day.meta.get("date", day.date) != day.date:
            message = f"前置数据的 date 是 {day.meta['date']}，路径是 {day.date}"
            yield day.path, 2, message, "以路径为准，改正 date"
    for day, kept in _doubled(scene):
        message = f"这一天写了两页，另一页是 {scene.vault.relative(kept)}"
        yield day.path, 1, message, "并到那一页，删掉这一页"


@_rule("R202", "warning")
def not_ahead(scene: Scene) -> Findings:
    for day in scene.days:
        if day.date and day.date > scene.today:
            yield day.path, 1, f"日期在将来（今天是 {scene.today}）", "确认这是有意写的"


def _account(scene: Scene, name: str) -> Findings:
    """流水账的一条：写完的每一天（今天还没写完）有没有缺这一样。"""
    for day, lack in scene.lacks:
        if lack.rule == name:
            yield day.path, lack.line, lack.message, lack.remedy


for _name in ACCOUNT:
    _rule(_name, "warning")(partial(_account, name=_name))


@_rule("R207", "warning")
def dues_exist(scene: Scene) -> Findings:
    for day in scene.days:
        for item in day.todos:
            dues = todo.dues_of(day, item)
            for written in (written for written, due in dues if due is None):
                yield day, item.start, f"期限 {written} 不是真有的日期", "改成真有的一天"
            counted = [due for _, due in dues if due]
            if len(counted) > 1:
                message = f"写了 {len(counted)} 个期限，算数的是头一个：{counted[0]}"
                yield day, item.start, message, "只留一个"


@_rule("R208", "warning")
def notes_linked(scene: Scene) -> Findings:
    names = links.named(scene.vault, scene.notes)
    for day in scene.days:
        missed = _unlinked(scene, day, names)
        for note, at, end in missed[:MAX_MENTIONS]:
            word = day.text[at:end]
            whole = "" if word == note.title else f"（笔记「{note.title}」）"
            remedy = f"可以链接到 {links.relative(day.path, note.path)}"
            remedy += f"；这一天提到 {len(missed)} 篇，一天至多列 {MAX_MENTIONS} 篇"
            yield day, at, f"提到了「{word}」{whole}，没有链接", remedy


@_rule("R301")
def note_named(scene: Scene) -> Findings:
    for note in scene.notes:
        if not SLUG.fullmatch(note.slug) or len(note.slug) > 64:
            message, remedy = f"笔记名 {note.slug!r} 不合规则", "只用小写字母、数字与单个连字符"
            yield note.path, 1, message, remedy
        elif not isinstance(note.meta.get("title"), str):
            yield note.path, 1, "没有 title", "在前置数据里写上标题"


@_rule("R302")
def note_complete(scene: Scene) -> Findings:
    wanted, _, fault = scene.template
    if fault:
        path = fault.path or scene.vault.root / "templates/note.md"
        message = fault.message.rstrip("。")
        yield path, fault.line or 1, message, "改好模板，才知道笔记该有哪些标题"
    for note in scene.finished if wanted else ():
        yield from _headings(note, scene.parts[note.path], wanted)
        for part in scene.parts[note.path]:
            if part.empty:
                yield note, part.start, f"「{part.name}」是空的", "写上内容"


@_rule("R303")
def note_questions(scene: Scene) -> Findings:
    for note, part in scene.section("questions"):
        count = len(questions(note.document, part))
        if count < 3 and not part.empty:
            yield note, part.start, f"{part.name}只有 {count} 题", "至少三题，写成 ??? question"


@_rule("R304")
def note_paired(scene: Scene) -> Findings:
    for note in scene.finished:
        wanted = module_of(note.slug)
        if note.snippet != wanted:
            message = f"snippet 应是 {wanted}，现在是 {note.snippet}"
            yield note.path, 2, message, "改正前置数据"
        elif not (scene.vault.snippets / f"{wanted}.py").is_file():
            yield note.path, 2, f"没有 snippets/{wanted}.py", "写出片段，或标上 draft: true"


@_rule("R305")
def prerequisites(scene: Scene) -> Findings:
    circular = _circular(scene.graph)
    for note in scene.notes:
        for slug in note.prereq:
            if slug not in scene.graph:
                yield note.path, 2, f"先修 {slug} 不存在", "改名，或先写那一篇"
            elif (note.slug, slug) in circular:
                message = f"先修成环：{slug} 又要先读 {note.slug}"
                yield note.path, 2, message, "去掉其中一条"


@_rule("R306")
def answers_given(scene: Scene) -> Findings:
    for note, part in scene.section("questions"):
        for question in questions(note.document, part):
            if question.empty:
                message = f"这一题没有答案：{question.name[:40]}"
                yield note, question.start, message, "答案缩进四格，写在题目下面"


@_rule("R307", "warning")
def code_runs(scene: Scene) -> Findings:
    for note in scene.finished:
        for fence in fences(note.document):
            if fence.lang.lower() in PYTHON:
                message = f"手写的 {fence.lang} 代码没有运行过"
                yield note, fence.start, message, "写进片段，用 snippet 围栏嵌入"


@_rule("R308", "warning")
def shapes_named(scene: Scene) -> Findings:
    dims = _dims(scene.vault)
    if not dims:
        return
    texts = [(note.path, note.line, note.body) for note in scene.finished]
    for path, parsed in _readable(scene):
        texts += [(path, line, text) for line, text in _comments(parsed)]
    for path, first, text in texts:
        for at, shape, letters in _foreign(text, dims):
            message = f"形状 {shape} 里的 {'、'.join(letters)} 不在图例 {dims} 里"
            remedy = "换成图例里的字母，或把它加进 pyproject.toml 的 dims"
            yield path, first + text.count("\n", 0, at), message, remedy


@_rule("R309", "warning")
def sources_named(scene: Scene) -> Findings:
    for note, part in scene.section("sources"):
        for item in note.document.items:
            text = note.text[item.body : item.last]
            if not item.depth and part.body <= item.start < part.end and not _NAMED.search(text):
                message = f"照着这一条找不到出处：{' '.join(text.split())[:20]}"
                yield note, item.start, message, "写上论文名、网址、年份，或加书名号的书名"


@_rule("R310", "warning")
def brief_stands(scene: Scene) -> Findings:
    for note, part in scene.section("brief"):
        inside = [
            (link, scene.by_path[target])
            for link, target in scene.targets[note.path]
            if part.body <= link.start < part.end and target in scene.by_path and not link.image
        ]
        read = notes.required(scene.graph, note.slug) if inside else set()
        for link, needed in inside:
            if needed.slug not in read:
                message = f"「{part.name}」要先读过「{needed.title}」，它不在先修里"
                remedy = f"在 prereq 里加上 {needed.slug}，或把这个链接挪到后面的节"
                yield note, link.start, message, remedy


@_rule("R401")
def snippets_checked(scene: Scene) -> Findings:
    owned = {module_of(note.slug) for note in scene.notes}
    for note in scene.notes:  # 合并过来的正文，还嵌着原来的片段
        lines = fence_lines(note.document, "snippet")
        owned |= {line.partition(":")[0].strip() for _, line in lines}
    for path in snippet_files(scene.vault):
        if path.stem not in owned:
            yield path, 1, "没有一篇笔记用它", "写出同名的笔记"
    for path in scene.checked:
        try:
            checks = _checks(scene.snippet(path))
        except RizhiError as error:
            yield path, error.line or 1, error.message, "改好再运行 rizhi record"
            continue
        if not checks:
            yield path, 1, "没有「检验…」单元格", "加一格，用独立的算法核对结果"


@_rule("R402")
def recorded(scene: Scene) -> Findings:
    checked = set(scene.checked)
    for path in snippet_files(scene.vault):
        yield from _recorded(scene, path, draft=path not in checked)
    owned = {path.stem for path in snippet_files(scene.vault)}
    for folder in sorted(scene.vault.outputs.glob("[!.]*")):
        if folder.is_dir() and folder.name not in owned and any(folder.iterdir()):
            message = f"没有片段 snippets/{shown(folder.name)}.py，这份记录没有人用"
            yield folder, 1, message, "删掉这个文件夹，或写出片段"


@_rule("R403")
def checks_assert(scene: Scene) -> Findings:
    for path, parsed in _readable(scene):
        trees = [cells.syntax_tree(path, cell.source) for cell in parsed.code_cells]
        helpers = _helpers(trees)
        for cell in _checks(parsed):
            if not _asserts(cells.syntax_tree(path, cell.source), helpers):
                remedy = "写一条 assert，拿结果与独立算出的值比；assert True 不算"
                yield path, cell.line, f"「{cell.title}」没有核对任何东西", remedy


@_rule("R404")
def imports_tracked(scene: Scene) -> Findings:
    for path, _ in _readable(scene):
        for line, file in record.untracked(scene.vault, path):
            message = f"用到了 {file}：它改了，这里的记录不会过期"
            package = scene.vault.source
            other = f"搬进 {package}" if package else "在 [tool.rizhi] 的 source 写上它所在的包"
            yield path, line, message, f"把要用的几行写进这个片段，或{other}"


@_rule("R405")
def runs_current(scene: Scene) -> Findings:
    used = {file for path, _ in _readable(scene) for file in record.run_files(scene.vault, path)}
    for file in sorted(used):
        if not file.is_file():
            yield file, 1, "片段点名了它，却没有这个文件", "运行造它的命令，或改正片段里的名字"
            continue
        try:
            run = record.run_file(file)
            code = record.code_key(scene.vault, run.command)
        except RizhiError as error:
            yield error.path or file, error.line or 1, error.message, "改好再运行 rizhi record"
            continue
        if code and not run.code:
            yield file, 1, "还没有记下造它的代码是哪一份", "运行 rizhi record"
        elif code != run.code:
            again = f"重跑 {run.command}，再运行 rizhi record"
            yield file, 1, "造它的代码变了，这份结果过期", again


RULES: Mapping[str, _Look] = MappingProxyType(_rules)


def _recorded(scene: Scene, path: Path, draft: bool) -> Findings:
    """一个片段的记录：草稿的也不许坏，只是可以旧、可以没有。"""
    loaded = record.load(scene.vault, path)
    again = f"运行 rizhi record {path.stem.replace('_', '-')}"
    if loaded.damage:
        what, _, remedy = loaded.damage.message.partition("。")
        yield loaded.damage.path or path, 1, what, remedy.rstrip("。")
    if draft and loaded.error:
        return
    if loaded.snippet and loaded.fault and loaded.fault is not loaded.damage:
        yield path, 1, loaded.error.rstrip("。"), f"改好之后{again}"
    if loaded.error:  # 读不懂的片段由 R401 说明
        return
    words = record.STATES[loaded.state].check
    if loaded.altered:
        yield scene.vault.outputs / path.stem / "key.json", 1, words, again
    elif words and not draft:
        yield path, 1, words, again


def _setting_line(text: str, key: str) -> int:
    """一个设置写在 pyproject.toml 的第几行：一行行加上去，到哪里读得出它。"""
    lines, before = text.replace("\r\n", "\n").split("\n"), 0
    for end in range(1, len(lines)):
        with suppress(tomllib.TOMLDecodeError):  # 值写了几行，断在中间
            if key in tomllib.loads("\n".join(lines[:end])).get("tool", {}).get("rizhi", {}):
                break
            before = end
    return before + 1


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
    return cut(text.partition("\n")[0].strip(), 30)


def _doubled(scene: Scene) -> Iterator[tuple[Day, Path]]:
    """同一天的另一页，与留下的那一页：路径对的留下，都不对就是头一页。"""
    pages: dict[date, list[Day]] = {}
    for day in scene.days:
        if day.date:
            pages.setdefault(day.date, []).append(day)
    for at, same in pages.items():
        right = day_path(scene.vault, at)
        kept = next((day for day in same if day.path == right), same[0])
        yield from ((day, kept.path) for day in same if day is not kept)


def _unlinked(scene: Scene, day: Day, names: links.Names) -> list[tuple[Note, int, int]]:
    """一天里写到、却没有链接的笔记，各是头一处；`new` 与 `done` 写下的不算。"""
    linked = {target for _, target in scene.targets[day.path]}
    missed: dict[Path, tuple[Note, int, int]] = {}
    for note, at, end in names.every(day.document.unlinked[day.offset :]):
        place = (note, day.offset + at, day.offset + end)
        if str(note.path) not in linked and note.path not in missed and _said(scene, day, place[1]):
            missed[note.path] = place
    return list(missed.values())


def _said(scene: Scene, day: Day, at: int) -> bool:
    """这个位置是不是他自己的话：今日目标、顺延来的、模板里的都不是。"""
    if any(section.start <= at < section.end for section in day.section(GOALS)):
        return False
    line = day.text[day.document.line_start(at) : day.document.line_end(at)].strip()
    return not todo.SUFFIX.search(line) and not scene.boilerplate.fullmatch(line)


def _unresolved(scene: Scene, page: Page, fence: Fence) -> Findings:
    """围栏里不存在的名字；同一个毛病在一个围栏里只说一次。"""
    lang, said = fence.lang.lower(), set[str]()
    if fence.options or fence.lang != lang:
        message = f"站点认不出写成 {fence.lang} {fence.options}".rstrip() + " 的围栏"
        yield page, fence.start, message, f"只写 {lang}"
    for at, name in fence.lines:
        try:
            _resolve(scene, lang, name)
        except RizhiError as error:
            message = error.within(scene.vault.root)
            if message not in said:
                said.add(message)
                yield page, at, message, "改成现有的名字"


def _undocumented(scene: Scene, page: Page, listed: dict[str, Page]) -> Findings:
    """`::: 名字` 列不出接口的，与列过一次的：草稿也查，站点会照样去找它。"""
    if ":::" not in page.text:
        return
    for listing in _AUTODOC.finditer(page.document.unlinked, page.offset):
        name, at, remedy = listing[1], listing.start(1), "写成 options: 与几个「键: 值」"
        options = _INDENTED.match(page.text, listing.end())
        try:
            documented(scene.vault, name)
            written = yaml.safe_load(dedent(options[0] if options else "")) or {}
        except RizhiError as error:
            yield page, at, error.within(scene.vault.root), "改成现有的模块"
        except yaml.YAMLError:
            yield page, at, "「:::」下面的选项读不懂", remedy
        else:
            if not isinstance(written, dict) or not isinstance(written.get("options", {}), dict):
                yield page, at, "「:::」下面的选项写得不对", remedy
            first = listed.setdefault(name, page)
            if first is not page:
                where = scene.vault.relative(first.path)
                yield page, at, f"{name} 的接口在 {where} 已经列过", "链接到那一页"


def _resolve(scene: Scene, lang: str, name: str) -> None:
    """异常：围栏里的名字没有对应的单元格、模块或对象，抛 RizhiError。"""
    module, _, inside = (part.strip() for part in name.partition(":"))
    if not name:
        return
    if lang == "source":
        read_fence_line(scene.vault, name)
        return
    path = cells.snippet_file(scene.vault, module)
    parsed = scene.snippet(path)
    if inside or lang == "flow":
        parsed.cell(inside)
    recorded = record.load(scene.vault, path).record if lang == "flow" else None
    if recorded:
        flow_data(recorded, inside)


def _flow_targets(scene: Scene, page: Page) -> Iterator[tuple[int, str]]:
    """`flow` 围栏的数据里链接到的文件，与围栏里写着它的那一行；没有数据的由 R105 与 R402 说。"""
    paths = {path.stem: path for path in snippet_files(scene.vault)} if "flow" in page.text else {}
    for at, name in fence_lines(page.document, "flow") if paths else ():
        module, _, title = (part.strip() for part in name.partition(":"))
        recorded = record.load(scene.vault, paths[module]).record if module in paths else None
        for link in read_links(recorded, title).values():
            if target := links.resolve(str(page.path.parent), link):
                yield at, target


def _headings(note: Note, parts: list[Part], wanted: tuple[str, ...]) -> Findings:
    """二级标题与模板逐个比，位置是头一个对不上的地方。"""
    names = [part.name for part in parts]
    pairs = list(zip(names, wanted, strict=False))
    at = next((n for n, (name, want) in enumerate(pairs) if not notes.fits(name, want)), len(pairs))
    if at == len(names) == len(wanted):
        return
    lacking = [want for want in wanted if not any(notes.fits(name, want) for name in names)]
    extra = [name for name in names if not any(notes.fits(name, want) for want in wanted)]
    shown = "、".join(wanted).replace(templates.VALUE, "…")
    message = f"二级标题应依次是 {shown}"
    if lacking:
        message += f"；缺 {'、'.join(lacking).replace(templates.VALUE, '…')}"
    if extra:
        message += f"；多了 {'、'.join(extra)}"
    start = parts[at].start if at < len(parts) else len(note.text)
    yield note, start, message, "照模板补齐，或标上 draft: true"


def _dims(vault: Vault) -> str:
    """形状字母的图例；没有设就是空的。"""
    dims = vault.config.get("dims", "")
    if not isinstance(dims, str) or not re.fullmatch("[A-Z]*", dims):
        raise RizhiError(
            f"pyproject.toml 的 [tool.rizhi] dims 应是一串大写字母，例如 BTCHD，现在是 {dims!r}。"
        )
    return dims


def _foreign(text: str, dims: str) -> Iterator[tuple[int, str, list[str]]]:
    """像形状、却用了图例之外的字母的：三维以上，第一维与至少两个字母认得，免得错怪别的括号。"""
    for shape in _SHAPE.finditer(text):
        letters = dict.fromkeys(re.findall("[A-Z]", shape[0]))
        strange = [letter for letter in letters if letter not in dims]
        if strange and len(letters) - len(strange) >= 2 and not set(strange) & set(shape[1]):
            yield shape.start(), shape[0], strange


def _comments(parsed: cells.Snippet) -> Iterator[tuple[int, str]]:
    """片段里的注释、说明的各格与行号；字符串里的「#」不算。"""
    for cell in parsed.cells:
        if cell.kind != "code":
            yield cell.line, cell.source
            continue
        comments = cells.comments(cell.source)
        yield from ((cell.line + comment.start[0] - 1, comment.string) for comment in comments)


def _readable(scene: Scene) -> Iterator[tuple[Path, cells.Snippet]]:
    """草稿之外、读得懂的片段；读不懂的由 R401 说明。"""
    for path in scene.checked:
        parsed = record.load(scene.vault, path).snippet
        if parsed:
            yield path, parsed


def _checks(parsed: cells.Snippet) -> list[cells.Cell]:
    return [cell for cell in parsed.code_cells if cell.checks]


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
        asserting = {name for name, node in defined.items() if _asserts(node, known)}
        if asserting == known:
            return known
        known = asserting


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


def _circular(graph: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    """环里的每一条先修：（谁, 先读谁），后者又要先读前者。"""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        before = {slug: notes.required(graph, slug) for slug in graph}
        return {(s, n) for s, needs in graph.items() for n in needs if s in before.get(n, ())}
    return set()
