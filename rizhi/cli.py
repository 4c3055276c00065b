"""命令：唯一打印与退出的地方；只在用到时才载入重的模块。"""

import json as json_
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import click

from rizhi.vault import RizhiError, Vault, check_slug, date_of, find_vault, module_of

_WEEKDAYS = "一二三四五六日"


class _Group(click.Group):
    """把给人看的错误打印成一行中文，退出码 1。"""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except RizhiError as error:
            _fail(str(error))
        except OSError as error:
            where = f"{error.filename}：" if error.filename else ""
            _fail(f"{where}{error.strerror or error}。旧文件都还在。")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", type=click.Path(path_type=Path), help="知识库所在的文件夹。")
@click.pass_context
def main(context: click.Context, root: Path | None) -> None:
    """日知：写日总结，记录片段的输出，检查知识库。"""
    context.obj = root


def in_vault(command: Callable[..., None]) -> Callable[..., None]:
    """给命令递上知识库。"""

    @click.pass_context
    @wraps(command)
    def with_vault(context: click.Context, *args: Any, **kwargs: Any) -> None:
        command(find_vault(Path.cwd(), context.obj), *args, **kwargs)

    return with_vault


def as_date(_: click.Context, __: click.Parameter, value: str | None) -> date | None:
    """把 `--date` 读成日期。"""
    if value is None:
        return None
    found = date_of(value)
    if found is None:
        raise click.BadParameter(f"{value!r} 不是日期；写成 2026-11-23 这样，且要真有这一天。")
    return found


@main.command()
@click.option("--date", "day", callback=as_date, help="哪一天，缺省今天。")
@click.option("--title", default="", help="写在标题里的一句话。")
@in_vault
def new(vault: Vault, day: date | None, title: str) -> None:
    """按模板写一页新的日总结；已有的绝不覆盖。"""
    from rizhi import pages, store
    from rizhi.vault import day_path

    day = day or _today(vault)
    path = day_path(vault, day)
    text = pages.new_day(vault, day, title)
    try:
        store.create_new(path, text.encode())
    except FileExistsError:
        _fail(f"{vault.relative(path)} 已存在；没有改动任何文件。要编辑请直接打开它。")
    click.echo(f"写好 {vault.relative(path)}")


@main.command()
@click.argument("slugs", nargs=-1)
@in_vault
def record(vault: Vault, slugs: tuple[str, ...]) -> None:
    """运行片段并写下输出；不写名字就是全部。出错的片段不记录。"""
    from rizhi import recorder

    names = [module_of(check_slug(slug.replace("_", "-"))) for slug in slugs]
    paths = [vault.snippets / f"{name}.py" for name in names] or recorder.all_snippets(vault)
    missing = [path.stem for path in paths if not path.is_file()]
    if missing:
        known = "、".join(path.stem for path in recorder.all_snippets(vault))
        _fail(f"没有片段 {'、'.join(missing)}；现有：{known}。没有运行任何片段。")
    failed = False
    for number, path in enumerate(paths, 1):
        result = recorder.record(vault, path)
        failed |= bool(result.error)
        click.echo(
            f"[{number}/{len(paths)}] {path.stem}：{result.error or result.done}", err=failed
        )
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="输出 JSON。")
@in_vault
def check(vault: Vault, paths: tuple[Path, ...], as_json: bool) -> None:
    """按约定检查全部页面与片段；有错误则退出码 1。"""
    from rizhi.check import check_vault

    problems = check_vault(vault, _today(vault))
    wanted = [path.resolve() for path in paths]
    if wanted:
        problems = [p for p in problems if any(p.path.is_relative_to(w) for w in wanted)]
    if as_json:
        click.echo(json_.dumps([p.as_dict(vault.root) for p in problems], ensure_ascii=False))
    for problem in () if as_json else problems:
        click.echo(problem.line_for(vault.root))
    errors = sum(problem.level == "error" for problem in problems)
    if not as_json:
        click.echo(f"{errors} 个错误，{len(problems) - errors} 个提醒。")
    sys.exit(1 if errors else 0)


def _today(vault: Vault) -> date:
    """今天；凌晨几点之前仍算前一天。"""
    ends = int(vault.config.get("day_ends", 4))
    return (datetime.now() - timedelta(hours=ends)).date()


def _fail(message: str) -> None:
    click.echo(message, err=True)
    sys.exit(1)
