"""命令行参数的读法：日期、ISO 周，与几个命令共用的选项。"""

from datetime import date
from pathlib import Path

import click

from rizhi import dates
from rizhi.dates import Week, week_named
from rizhi.vault import find_vault, today


def as_date(context: click.Context, __: click.Parameter, value: str | None) -> date | None:
    """把一个参数读成日期；没有这一天是用法错误。"""
    if value is None:
        return None
    found = dates.read(value, today(find_vault(Path.cwd(), context.obj)))
    if found is None:
        how = "写成 2026-11-23、11-23 或 昨天 这样，且要真有这一天"
        raise click.BadParameter(f"{value!r} 不是日期；{how}。")
    return found


def as_week(_: click.Context, __: click.Parameter, value: str | None) -> Week | None:
    """把一个参数读成 ISO 周；没有这一周是用法错误。"""
    if value is None:
        return None
    found = week_named(value)
    if found is None:
        raise click.BadParameter(f"{value!r} 不是 ISO 周；写成 2026-W48 这样，且要真有这一周。")
    return found


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
DATE = click.option("--date", "day", callback=as_date, metavar="日期", help="哪一天，缺省今天。")
SINCE = click.option("--since", callback=as_date, metavar="日期", help="从哪一天起。")
WEEK = click.option("--week", callback=as_week, metavar="周", help="如 2026-W48，缺省本周。")
