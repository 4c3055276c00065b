"""命令：唯一打印与退出的地方；只在用到时才载入重的模块。"""

import gc
import json as json_
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial, wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click
from click import shell_completion

from rizhi import dates, zh
from rizhi.dates import Week
from rizhi.errors import RizhiError
from rizhi.vault import (
    Vault,
    check_slug,
    contained,
    count_setting,
    day_path,
    find_vault,
    groups,
    markdown_files,
    moment,
    snippet_files,
)
from rizhi.vault import today as today_of

zh.speak()
_PATH = click.Path(path_type=Path)
_ANSWERS = click.Choice(["k", "s", "q"])
_ROOT = "rizhi.root"


class _Command(click.Command):
    """一条命令；`writes` 说它会不会写盘。"""

    def __init__(self, *args: Any, writes: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writes = writes

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            if not (context.resilient_parsing or _is_text(argument)):  # 补全到一半，什么也不说
                raise RizhiError(f"参数 {argument!r} 不是 UTF-8。换成 UTF-8 再来。")
        return super().parse_args(context, args)


class _Group(click.Group):
    """把给人看的错误打印成一行中文，退出码 1；会写盘的命令若真的什么也没有写，说出来。"""

    command_class = _Command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if os.environ.get("NO_COLOR"):
            context.color = False
        # 终端显示不了的字写成 \uXXXX：命令已经做完了，不该因为打印不出而报错
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        from rizhi import store

        with store.watched() as untouched:
            try:
                return super().invoke(context)
            except BrokenPipeError:
                raise  # 输出接到 head 之类，读够就走了：click 会安静地结束
            except click.exceptions.Exit as error:  # 报告已经打印了
                if not error.exit_code:
                    raise
                said = []
            except (RizhiError, OSError) as error:
                said = [_told(error, context.meta.get(_ROOT))]
            command = self.commands.get(context.invoked_subcommand or "")
            if isinstance(command, _Command) and command.writes and untouched():
                said += ["没有改动任何文件。"]
        _fail(("\n" if "\n" in said[0] else "").join(said) if said else "")


def _told(error: RizhiError | OSError, root: Path | None) -> str:
    """一个错误说给人听；还没有找到知识库的，路径照原样。"""
    from rizhi.store import StoreError

    if isinstance(error, RizhiError):
        return error.within(root) if root else str(error)
    return str(error) if isinstance(error, StoreError) else zh.cause(error, root or Path.cwd())


def _use_root(context: click.Context, _: click.Parameter, root: Path | None) -> None:
    context.obj = root or context.obj


# 写在命令的名字前面、后面都认得；先读它，别的参数要到那里去查
ROOT = partial(
    click.option,
    "--root",
    type=_PATH,
    callback=_use_root,
    is_eager=True,
    expose_value=False,
    help="知识库所在的文件夹。",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@ROOT()
@click.version_option(package_name="rizhi", message="rizhi %(version)s", help="显示版本。")
def main() -> None:
    """日知：写日总结，追着待办不放，归纳成周报与简历素材，检查知识库。"""
    # 一条命令只活一会儿：几十万个条目没有一个成环，不必一遍遍去找垃圾
    gc.disable()


_Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completed(names: Callable[[Vault], Iterable[str]]) -> _Complete:
    """补全的候选：`names` 里以打了的字开头的；不在知识库里、设置读不懂，就没有，也不说什么。"""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
        try:
            vault = find_vault(Path.cwd(), context.obj)
            return [name for name in names(vault) if name.startswith(typed)]
        except (RizhiError, OSError):
            return []

    return complete


@_completed
def _note_names(vault: Vault) -> list[str]:
    return sorted({path.stem for path, _ in markdown_files(vault.notes)})


@_completed
def _snippet_names(vault: Vault) -> list[str]:
    return [path.stem.replace("_", "-") for path in snippet_files(vault)]


@_completed
def _group_names(vault: Vault) -> list[str]:
    return sorted(path.name for path in vault.notes.glob("[!.]*/"))


@_completed
def _asleep_names(vault: Vault) -> list[str]:
    from rizhi.recall import log, session

    sleeping = session.asleep(log.read(vault)[0])
    return sorted({name for state in sleeping for name in (state.card, state.note)})


@_completed
def _section_names(vault: Vault) -> list[str]:
    from rizhi.journal.day import read_day
    from rizhi.journal.edit import section_names

    return section_names(read_day(vault, day_path(vault, today_of(vault))))


def as_date(context: click.Context, _: click.Parameter, value: str | None) -> date | None:
    """把一个参数读成日期；没有这一天是用法错误。"""
    if value is None:
        return None
    day = dates.read(value, today_of(_vault(context)))
    if day is None:
        how = "写成 2026-11-23、11-23 或 昨天、明天 这样，且要真有这一天"
        raise click.BadParameter(f"{value!r} 不是日期；{how}。")
    return day


def as_week(_: click.Context, __: click.Parameter, value: str | None) -> Week | None:
    """把一个参数读成 ISO 周；没有这一周是用法错误。"""
    if value is None:
        return None
    week = dates.week_named(value)
    if week is None:
        raise click.BadParameter(f"{value!r} 不是 ISO 周；写成 2026-W48 这样，且要真有这一周。")
    return week


def as_kinds(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """把几个 --fix 读成要改写的种类；没有这一种是用法错误。"""
    if not value:
        return ()
    from rizhi.journal.dialects import KINDS  # 语法要几十毫秒才载入，别的命令用不着

    unknown = [kind for kind in value if kind not in (*KINDS, "全部")]
    if unknown:
        raise click.BadParameter(f"没有「{unknown[0]}」这一种；可以写：全部、{'、'.join(KINDS)}。")
    return KINDS if "全部" in value else value


JSON = click.option("--json", "as_json", is_flag=True, help="输出 JSON。")
DATE = click.option("--date", "day", callback=as_date, metavar="日期", help="哪一天，默认今天。")
SINCE = click.option("--since", callback=as_date, metavar="日期", help="从哪一天起。")
WEEK = click.option("--week", callback=as_week, metavar="周", help="如 2026-W48，默认本周。")


def _vault(context: click.Context) -> Vault:
    vault = find_vault(Path.cwd(), context.obj)
    context.meta[_ROOT] = vault.root
    return vault


def in_vault(command: Callable[..., None]) -> Callable[..., None]:
    """给命令递上知识库；上次改动中途被杀、编辑器存进了旧文件，先善后。"""

    @ROOT(hidden=True)  # 主命令的帮助里已经有了
    @click.pass_context
    @wraps(command)
    def with_vault(context: click.Context, *args: Any, **kwargs: Any) -> None:
        from rizhi import store

        vault = _vault(context)
        for line in store.settle(vault.root):
            _warn(line)
        command(vault, *args, **kwargs)

    return with_vault


@main.command(writes=True)
@DATE
@click.option("--title", default="", metavar="文字", help="写在标题里的一句话。")
@click.option("--edit", is_flag=True, help="写好（或已有）就用 $VISUAL 或 $EDITOR 打开。")
@in_vault
def new(vault: Vault, day: date | None, title: str, edit: bool) -> None:
    """按模板写一页新的日总结，带上昨天的计划与还开着的待办；已有的绝不覆盖。"""
    from rizhi import output
    from rizhi.journal import write as writing

    today = today_of(vault)
    if not (day or day_path(vault, today).exists()):
        _ask_first(vault, today)
    page = writing.create(vault, day or today, title, now=None if day else today)
    for line in page.warnings:
        _warn(line)
    if page.created:
        click.echo(output.new_line(page, vault))
        _lines(_due_lines(vault, today))
    elif not edit:
        raise RizhiError("已存在。要编辑请直接打开它。", page.path)
    if edit:
        _edit(page.path, vault.relative(page.path))


# 「-1 的含义」是要添的话，不是选项；done、drop、park 也是
@main.command(context_settings={"ignore_unknown_options": True}, writes=True)
@click.argument("section", metavar="节", shell_complete=_section_names)
@click.argument("text", metavar="文字")
@click.option("--image", type=_PATH, metavar="图片", help="复制到旁边并链接。")
@in_vault
def add(vault: Vault, section: str, text: str, image: Path | None) -> None:
    """在今天这一页的一节末尾添一行；今天还没写就先建。"""
    from rizhi.journal import write as writing

    today = today_of(vault)
    name = writing.add(vault, today, section, text, image)
    click.echo(f"添到 {vault.relative(day_path(vault, today))} 的「{name}」。")


@main.command(context_settings={"ignore_unknown_options": True}, writes=True)
@click.argument("wanted", metavar="文字或编号")
@in_vault
def done(vault: Vault, wanted: str) -> None:
    """勾掉一条待办：在今天这一页就地打勾，不在就记到今日完成。"""
    _settle(vault, wanted, "x", "完成")


@main.command(context_settings={"ignore_unknown_options": True}, writes=True)
@click.argument("wanted", metavar="文字或编号")
@in_vault
def drop(vault: Vault, wanted: str) -> None:
    """放弃一条待办：记号是 [-]，其余与 done 相同。"""
    _settle(vault, wanted, "-", "放弃")


@main.command(context_settings={"ignore_unknown_options": True}, writes=True)
@click.argument("wanted", metavar="文字或编号")
@click.argument("until", metavar="日期", callback=as_date)
@in_vault
def park(vault: Vault, wanted: str, until: date) -> None:
    """把一条待办搁到某一天：写进今天的明日计划，那天之前 new 不再带上它。"""
    from rizhi.journal import write as writing

    today = today_of(vault)
    parked = writing.park(vault, today, wanted, until, _warn)
    _only_one(parked, wanted, today)
    click.echo(f"搁到 {until}：{parked.text}，记在 {vault.relative(parked.path)}。")


@main.command(writes=True)
@in_vault
def undo(vault: Vault) -> None:
    """退回最近一条命令的改动；那些页后来又改过就不退。"""
    from rizhi import output, store

    click.echo(output.undo_line(store.undo(vault.root), vault))


@main.command()
@click.option("--all", "everything", is_flag=True, help="连已了结的也列出。")
@click.option("--stale", type=click.IntRange(0), metavar="天数", help="只列放了这么多天以上的。")
@JSON
@in_vault
def todo(vault: Vault, everything: bool, stale: int | None, as_json: bool) -> None:
    """列出各天的待办：编号、年龄、顺延几次、头一次与最近一次在哪里。"""
    from rizhi import output
    from rizhi.journal import write as writing
    from rizhi.journal.todo import still_open

    today = today_of(vault)
    known = writing.history(vault)
    for line in known.unread:
        _warn(line)
    lives = [life.as_of(today) for life in known.lives]
    paths = {day: page.path for day, page in known.pages.items()}
    todos = still_open(lives) + [t for t in lives if everything and t.state != "open"]
    todos = [t for t in todos if t.age(today) >= (stale or 0)]
    data = [output.todo_dict(t, today, paths, vault) for t in todos]
    _report(as_json, data, output.todo_lines(todos, today))


@main.command(writes=True)
@click.argument("slug", metavar="名字")
@click.option("--title", required=True, metavar="文字", help="笔记的标题。")
@click.option(
    "--group",
    metavar="组",
    shell_complete=_group_names,
    help="docs/notes/ 下的哪一组，没有就新开；只有一组可以不写。",
)
@in_vault
def note(vault: Vault, slug: str, title: str, group: str | None) -> None:
    """建一篇笔记与它的片段的骨架，都是草稿，并列出还要写什么。"""
    from rizhi import notes, output

    existing = groups(vault)
    paths = notes.create(vault, check_slug(slug), title, group, today_of(vault))
    if group and group not in existing:
        others = f"，原有 {'、'.join(existing)}" if existing else ""
        click.echo(f"新开了一组 {group}{others}。")
    for path in paths:
        click.echo(f"写好 {vault.relative(path)}")
    click.echo("还要写：")
    _lines(output.to_write(paths[0].read_text(encoding="utf-8")))
    click.echo("都写好了，去掉 draft: true，再运行 rizhi check。")


@main.command(writes=True)
@click.argument("old", metavar="旧名", shell_complete=_note_names)
@click.argument("new", metavar="新名")
@in_vault
def rename(vault: Vault, old: str, new: str) -> None:
    """给笔记改名，连同片段、记录与所有指向它的链接；要么全成，要么全不成。"""
    from rizhi import notes, output

    _lines(output.moved_lines(notes.rename(vault, check_slug(old), check_slug(new)), vault))


@main.command(writes=True)
@click.argument("slug", metavar="名字", shell_complete=_note_names)
@click.option("--yes", is_flag=True, help="有会断的链接也删，不再问。")
@in_vault
def delete(vault: Vault, slug: str, yes: bool) -> None:
    """删掉一篇笔记、它的片段与记录；先列出会断的链接，别的页一个字也不动。"""
    from rizhi import notes, output

    planned = notes.deletion(vault, check_slug(slug))
    _lines(output.reference_lines(planned, vault))
    if planned.references and not yes:
        if not sys.stdin.isatty():
            raise RizhiError("改好这些链接再删，或加 --yes。")
        if not click.confirm("还要删吗"):
            raise RizhiError("没有删。")
    notes.delete(vault, planned)
    _lines(output.delete_lines(planned, vault))


@main.command(writes=True)
@click.argument("old", metavar="并掉的", shell_complete=_note_names)
@click.argument("new", metavar="留下的", shell_complete=_note_names)
@in_vault
def merge(vault: Vault, old: str, new: str) -> None:
    """把一篇笔记并进另一篇：正文接在末尾，链接都改过去；要么全成，要么全不成。"""
    from rizhi import notes, output

    _lines(output.moved_lines(notes.merge(vault, check_slug(old), check_slug(new)), vault))


@main.command(writes=True)
@WEEK
@JSON
@in_vault
def week(vault: Vault, week: Week | None, as_json: bool) -> None:
    """写一周的周报；再运行只刷新工具的那一块，你写的字一个不动。"""
    from rizhi import output
    from rizhi.journal import week as weeks

    today = today_of(vault)
    written = weeks.write(vault, week, today, _warn, partial(_week_of_recall, vault, today))
    _report(as_json, written.data, output.week_lines(written, vault))


@main.command(writes=True)
@SINCE
@click.option("--topic", metavar="文字", help="只要这个主题的。")
@click.option("--walk", is_flag=True, help="逐天过一遍，问要不要用，答复记进 resume.jsonl。")
@JSON
@in_vault
def resume(vault: Vault, since: date | None, topic: str | None, walk: bool, as_json: bool) -> None:
    """写简历时的素材：每条成果一句，附上它链接到的笔记、片段与检验，按主题分组。"""
    from rizhi.journal import resume as resumes

    material = resumes.gather(vault, since, topic, _warn)
    if walk:
        _walk(vault, material)
    else:
        lines = [material.markdown(), *material.left_out_lines(), *material.unseen_lines()]
        _report(as_json, material.as_dict(), lines)


@main.command()
@DATE
@JSON
@in_vault
def thatday(vault: Vault, day: date | None, as_json: bool) -> None:
    """那天：1、3、7、14、30、90、180、365 天以前写了什么，一行一天。"""
    from rizhi import output
    from rizhi.journal import lookback

    days = lookback.read_that_day(vault, day or today_of(vault))
    _report(as_json, days, output.that_day_lines(days))


@main.command(name="import", writes=True)
@click.argument("files", nargs=-1, required=True, type=_PATH, metavar="文件…")
@click.option("--date", "day", callback=as_date, metavar="日期", help="哪一天；只用于一个文件。")
@click.option("--dry-run", is_flag=True, help="只报告，不写。")
@click.option("--keep-going", is_flag=True, help="有坏文件也导入其余的。")
@click.option(
    "--fix",
    "kinds",
    multiple=True,
    callback=as_kinds,
    metavar="种类",
    help="改写会看错的这一种，可以写几次；全部都改写「全部」。",
)
@JSON
@in_vault
def import_days(
    vault: Vault,
    files: tuple[Path, ...],
    day: date | None,
    dry_run: bool,
    keep_going: bool,
    kinds: tuple[str, ...],
    as_json: bool,
) -> None:
    """导入已有的总结（文件或文件夹），不加 --fix 正文一个字节不动；先全部读过，再写第一个。"""
    from rizhi import output
    from rizhi.journal import importer

    sources = importer.files_in(files)
    if day and len(sources) > 1:
        raise click.UsageError(f"--date 只能用于一个文件，这里有 {len(sources)} 个。")
    incoming = importer.prepare(
        vault,
        [importer.read(vault, p, day, today_of(vault)) for p in _progress(sources, "读")],
        kinds,
    )
    bad = [file for file in incoming if file.state == "bad"]
    fresh = [file for file in incoming if file.state == "new"]
    refused = bool(bad) and not keep_going and not dry_run
    wrote = not dry_run and not refused
    if fresh and wrote:
        importer.write(vault, fresh)
    lines = output.import_lines(incoming, vault, wrote, refused)
    _report(as_json, [output.import_dict(file, vault) for file in incoming], lines)
    _exit(bad or not incoming)


@main.command()
@click.argument("day", metavar="日期", callback=as_date)
@JSON
@in_vault
def show(vault: Vault, day: date, as_json: bool) -> None:
    """读出来的一天：各节的话与条目、待办、链接与待写的主题。"""
    from rizhi import output
    from rizhi.journal.day import read_day

    path = day_path(vault, day)
    if not path.is_file():
        raise RizhiError(f"不存在。用 rizhi new --date {day} 写它。", path)
    page = read_day(vault, path)
    if not page.text and page.faults:
        raise RizhiError(page.faults[0].message, path)
    _report(as_json, output.day_dict(page), output.day_lines(page))


@main.command()
@JSON
@in_vault
def stats(vault: Vault, as_json: bool) -> None:
    """写了几天、连了几天、多少字、哪些主题，与热力图的数据。"""
    from rizhi import output
    from rizhi.journal import lookback

    today = today_of(vault)
    recall = _recalled(vault, date.min, today, today)
    data = lookback.read_stats(vault, today, _warn, recall)
    _report(as_json, data, output.stats_lines(data, today))


@main.command(writes=True)
@click.argument("slugs", nargs=-1, metavar="[名字]…", shell_complete=_snippet_names)
@in_vault
def record(vault: Vault, slugs: tuple[str, ...]) -> None:
    """运行片段并写下输出；不写名字就是全部，草稿的除外。出错的、两遍不一样的不记录。"""
    from rizhi.page import read_notes
    from rizhi.snippets.recording import record_each
    from rizhi.vault import module_of

    names = [module_of(check_slug(slug.replace("_", "-"))) for slug in slugs]
    drafts = {module_of(note.slug) for note in read_notes(vault) if note.draft}
    finished = [path for path in snippet_files(vault) if path.stem not in drafts]
    paths = [vault.snippets / f"{name}.py" for name in names] or finished
    missing = [path.stem for path in paths if not path.is_file()]
    if missing:
        known = "、".join(path.stem for path in snippet_files(vault))
        raise RizhiError(f"没有片段 {'、'.join(missing)}；现有：{known}。没有运行任何片段。")
    failed = False
    made = record_each(vault, paths)
    for number, (path, changed) in enumerate(zip(paths, made, strict=True), 1):
        head = f"[{number}/{len(paths)}] {path.stem}："
        if isinstance(changed, RizhiError | OSError):
            failed = True
            click.echo(head + _told(changed, vault.root), err=True)
        else:
            click.echo(head + (f"更新 {changed} 个文件" if changed else "没有变化"))
    _exit(failed)


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[路径]…")
@click.option("--strict", is_flag=True, help="流水账的提醒（R203–R206）也算错误。")
@JSON
@in_vault
def check(vault: Vault, paths: tuple[Path, ...], strict: bool, as_json: bool) -> None:
    """按约定检查全部页面与片段；有错误则退出码 1。"""
    from rizhi.check import check_vault
    from rizhi.site.export import added

    today = today_of(vault)
    problems = check_vault(vault, today, strict, partial(added, vault, today))
    wanted = [path.resolve() for path in paths]
    for path in (path for path in wanted if not path.is_relative_to(vault.root)):
        raise RizhiError(f"{path} 不在知识库里；什么也没有查。")
    if wanted:
        problems = [p for p in problems if any(p.path.is_relative_to(w) for w in wanted)]
    errors = sum(problem.level == "error" for problem in problems)
    colours = {"error": "red", "warning": "yellow"}  # 不是终端就自动去掉
    lines = [click.style(p.line_for(vault.root), fg=colours[p.level]) for p in problems]
    lines.append(f"{errors} 个错误，{len(problems) - errors} 个提醒。")
    _report(as_json, [p.as_dict(vault.root) for p in problems], lines)
    _exit(errors)


@main.command(writes=True)
@click.argument("folder", type=_PATH, metavar="文件夹")
@in_vault
def export(vault: Vault, folder: Path) -> None:
    """把整个站点写成普通的 Markdown：代码、输出、面板、样式都在，不再需要 rizhi。"""
    from rizhi.site.export import write
    from rizhi.site.graph import read_web

    web = read_web(vault, today_of(vault))
    changed, gone = write(web, folder, lambda names: _progress(names, "写"))
    click.echo(f"{folder}：更新 {changed} 个文件，删掉 {gone} 个；知识库没有动。")


@main.command(writes=True)
@click.option("--new", "fresh", type=click.IntRange(0), metavar="N", help="今天至多几张新的。")
@click.option(
    "--note",
    "slug",
    default="",
    metavar="笔记",
    shell_complete=_note_names,
    help="只复习这一篇的，没到期的也问。",
)
@click.option(
    "--wake",
    is_flag=False,
    flag_value="",
    metavar="[编号或笔记]",
    shell_complete=_asleep_names,
    help="叫醒老是忘、睡着了的；不写哪一张就列出来。",
)
@JSON
@in_vault
def review(vault: Vault, fresh: int | None, slug: str, wake: str | None, as_json: bool) -> None:
    """复习：把学过的再问一遍，答得怎样记进 reviews.jsonl，忘之前再来。"""
    from rizhi.recall import report, session

    if wake is not None:
        _wake(vault, wake, as_json)
        return
    if slug and slug not in {path.stem for path, _ in markdown_files(vault.notes)}:
        raise RizhiError(f"没有笔记 {slug}。")
    found = session.begin(vault, today_of(vault), fresh, slug)
    for fault in found.faults:
        _warn(f"reviews.jsonl:{fault.line} {fault.message}。{fault.remedy}。")
    if as_json:
        for line in report.doubtful_lines(found):
            _warn(line)
        _report(as_json, report.session_dict(found), ())
        return
    first = iter([found])
    begin = partial(session.begin, vault, today_of(vault), fresh, slug)
    _ask_each(vault, lambda: next(first, None) or begin())


@main.command(name="export-anki", writes=True)
@click.argument("file", type=_PATH, metavar="文件.apkg")
@in_vault
def export_anki(vault: Vault, file: Path) -> None:
    """把问过的题写成 Anki 的 .apkg；再写一次、再导入，还是那几张，历史与你在 Anki 里的改动都在。"""
    from rizhi.recall import anki

    done = anki.export(vault, file, moment())
    left = f"；还没有问过的 {done.unasked} 张不在内，问过一次才有编号" if done.unasked else ""
    click.echo(f"{file}：{done.count} 张{left}。知识库没有动。")


@main.command()
@JSON
@in_vault
def drills(vault: Vault, as_json: bool) -> None:
    """出默写题：源码包的函数逐个改坏，看片段的调用抓得住几个；缺的先算，列出全部。形状题也算好。"""
    from rizhi.recall import drills as recited
    from rizhi.recall import proving, shapes

    for line in proving.prepare(vault, _progress):
        _warn(line)
    for line in shapes.prepare(vault, lambda notes: _progress(notes, "跟踪形状")):
        _warn(line)
    found = recited.proven(vault)
    _report(as_json, recited.proven_dict(found), recited.proven_lines(found))


@main.command(writes=True)
@click.argument("folder", type=_PATH, metavar="文件夹")
@in_vault
def corpus(vault: Vault, folder: Path) -> None:
    """把笔记、片段、源码与自测写成训练用的 JSONL，另附 Python 自带的说明；日记默认不写。"""
    from rizhi import corpus as corpora

    wanted = corpora.files(vault)
    for path, lines in zip(corpora.write(vault, folder, wanted), wanted.values(), strict=True):
        click.echo(f"{path}：{len(lines)} 行")


@main.command(writes=True)
@click.argument("folder", type=_PATH, metavar="文件夹")
@click.option("--example", is_flag=True, help="再写一篇带片段的笔记与今天的一页，照着写。")
def init(folder: Path, example: bool) -> None:
    """在一个文件夹里新建知识库；要写的文件已有就一个也不写。"""
    from rizhi import init as vaults

    for path in vaults.create(folder, example=example):
        click.echo(f"写好 {folder / path.relative_to(folder.resolve())}")
    today = "今天的一页写好了" if example else "rizhi new 写今天"
    click.echo(f"接着：cd {shlex.quote(str(folder))}，{today}，mkdocs serve 边写边看。")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """打印补全脚本：子命令、笔记、节与组的名字按 Tab 补全。"""
    script = shell_completion.get_completion_class(shell)
    assert script  # noqa: S101  三种 click 都自带
    click.echo(script(main, {}, "rizhi", "_RIZHI_COMPLETE").source())


def _settle(vault: Vault, wanted: str, mark: str, verb: str) -> None:
    from rizhi.journal import write as writing

    today = today_of(vault)
    result = writing.settle(vault, today, wanted, mark, _warn)
    _only_one(result, wanted, today)
    click.echo(f"{verb}：{result.text}（{vault.relative(result.path)}）")


def _only_one(result: Any, wanted: str, today: date) -> None:
    """对上的不是恰好一条，就说清楚，退出。"""
    from rizhi import output

    if len(result.candidates) > 1:
        *lines, _ = output.todo_lines([t.as_of(today) for t in result.candidates], today)
        what = f"{wanted!r} 对得上 {len(lines)} 条，用编号指明是哪一条："
        raise RizhiError("\n".join([what, *lines]))
    if not result.candidates:
        raise RizhiError(f"开着的待办里没有「{wanted}」。rizhi todo 列出开着的。")


def _walk(vault: Vault, material: Any) -> None:
    """一天一天问过去；中途停下，下次从这里接着。"""
    from rizhi import store
    from rizhi.journal.resume import answer_line

    path, today = vault.root / "resume.jsonl", today_of(vault)
    just: set[date] = set()
    for day, lines in material.unseen():
        _lines([f"\n{day}", *lines])
        answer = click.prompt("用 k、不用 s、停下 q", type=_ANSWERS, show_choices=False)
        if answer == "q":
            break
        line = answer_line(day, answer, today)
        store.append(vault.root, "resume --walk", contained(vault, path), line)
        just.add(day)
    _lines(material.unseen_lines(frozenset(just)) or ["每一天都看过了。"])


def _recalled(vault: Vault, first: date, last: date, today: date) -> dict[str, Any] | None:
    """一段日子里复习的数，递给 journal；没有日志就不载入 FSRS。"""
    from rizhi.recall import log

    if not log.path(vault).exists():
        return None
    from rizhi.recall import summary

    return summary.read(vault, first, last, today)


def _week_of_recall(vault: Vault, today: date, week: Week) -> dict[str, Any] | None:
    """那一周复习的数；过去的一周不说接下来。"""
    data = _recalled(vault, week.days[0], week.days[-1], today)
    return data | ({} if today in week.days else {"coming": []}) if data else None


def _due_lines(vault: Vault, today: date) -> list[str]:
    from rizhi.recall.session import count_due

    count = count_due(vault, today)
    return [f"今天要复习 {count} 张：rizhi review"] if count else []


def _wake(vault: Vault, wanted: str, as_json: bool) -> None:
    from rizhi.recall import log, report, session

    if not wanted:
        states = session.asleep(log.read(vault)[0])
        data = [{"id": s.card, "note": s.note, "kind": s.kind, "text": s.text} for s in states]
        _report(as_json, data, report.asleep_lines(states))
        return
    for state in session.wake(vault, wanted, moment(), today_of(vault)):
        click.echo(f"叫醒了：{state.text.partition(chr(10))[0]}（{state.note}）")


def _ask_first(vault: Vault, today: date) -> None:
    """写今天之前先问几张（设置里的 ask）；不是终端，没有人答，就不问。"""
    if not (_in_terminal() and (most := count_setting(vault, "ask"))):
        return
    from rizhi.recall import session

    _ask_each(vault, partial(session.begin, vault, today), most)


def _in_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask_each(vault: Vault, begin: Callable[[], Any], most: int | None = None) -> None:
    """一张一张地问，直到问完、他说结束，或按了 Ctrl-C、输入断了。"""
    from rizhi.recall import dialogue

    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # 打的不是 UTF-8，判它不对就是了
    talk = dialogue.review(vault, begin, lambda: (moment(), today_of(vault)), most)
    stopped = False
    try:
        want = next(talk)
        while True:
            _lines(map(_shown, want.lines))
            try:
                said = _heard(want)
            except (click.Abort, EOFError, KeyboardInterrupt):
                stopped = not want.last
                want = talk.throw(dialogue.Stopped())
            else:
                want = talk.send(said)
    except StopIteration as end:
        _lines(map(_shown, end.value))
    if stopped:
        raise click.Abort


def _heard(want: Any) -> str:
    """等他打的：编辑器里存下的、一个键，或一行。"""
    if want.words:
        click.echo(click.style(want.words, dim=True))
    if want.draft is not None:
        return _written(want.draft)
    if not want.keys:
        return str(click.prompt("", default="", show_default=False, prompt_suffix="> "))
    while True:
        key = click.getchar()[:1] if sys.stdin.isatty() else sys.stdin.read(1)
        if not key:
            raise click.Abort
        if key in want.keys:
            return key


def _written(draft: str) -> str:
    """在他自己的编辑器里写的；没有存、开不起来就是空的。"""
    try:
        return click.edit(draft, extension=".py") or ""
    except (click.ClickException, ValueError) as error:
        _warn(f"{_no_editor(error)}。设好 $VISUAL 或 $EDITOR 再来，或就在这里打。")
        return ""


def _no_editor(error: click.ClickException | ValueError) -> str:
    """编辑器为什么开不起来。"""
    quoted = isinstance(error, ValueError)
    return "运行不了编辑器：引号没有成对" if quoted else getattr(error, "message", "")


def _edit(path: Path, name: str) -> None:
    """用他自己的编辑器打开一页，等他关上；参数按词切开，不经过 shell。"""
    from rizhi import store

    if not (os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise RizhiError(f"没有设置 $VISUAL 或 $EDITOR，打不开 {name}；页面已经在了。")
    store.watch(path)  # 编辑器失败之前，也许已经存过盘
    try:
        click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:
        raise RizhiError(f"{_no_editor(error)}；{name} 保持编辑器留下的样子。") from error


def _report(as_json: bool, data: Any, lines: Iterable[str]) -> None:
    if as_json:
        utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        click.echo(json_.dumps(data, ensure_ascii=not utf8, indent=2))
    else:
        _lines(lines)


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _progress(items: list[Any], label: str) -> Iterable[Any]:
    """终端上才有进度条；重定向到文件时什么也不多写。"""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(message: str) -> str:
    """别处来的名字里可能有控制字符：终端会照着做。"""
    kept = "\n\t\u3000"
    return "".join(c if c.isprintable() or c in kept else "?" for c in message)


def _warn(message: str) -> None:
    click.echo(click.style(_shown(message), fg="yellow"), err=True)


def _exit(failed: object) -> None:
    """报告打印过了，以它的成败结束。"""
    raise click.exceptions.Exit(1 if failed else 0)


def _fail(message: str) -> NoReturn:
    if message:
        click.echo(click.style(_shown(message), fg="red"), err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
