"""用 `rizhi/templates/` 里的模板排出一页；纯函数，不写盘。"""

from datetime import date
from pathlib import Path
from typing import Any

from rizhi.vault import Day, RizhiError, Vault, date_of, read_day

TEMPLATES = Path(__file__).parent / "templates"
WEEKDAYS = "一二三四五六日"


def weekday(day: date) -> str:
    """「星期一」这样的写法。"""
    return f"星期{WEEKDAYS[day.weekday()]}"


def render(name: str, **values: Any) -> str:
    """按模板排出一页。

    异常：模板写错，或用了没有的变量，抛 RizhiError，写明模板的行号。
    """
    import jinja2  # 只有写新页时才用得着

    loader = jinja2.FileSystemLoader(TEMPLATES)
    # 产物是 Markdown，转义反而会弄坏它
    environment = jinja2.Environment(  # noqa: S701
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    try:
        return environment.get_template(name).render(**values)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None) or _line_of(error, name)
        where = f"rizhi/templates/{name}:{line}"
        raise RizhiError(f"{where} 模板出错：{error}。没有改动任何文件。") from error


def new_day(vault: Vault, day: date, title: str = "") -> str:
    """新一天的页面：目标取上一篇的计划，并连回上一篇。"""
    previous = last_written(vault, day)
    values: dict[str, Any] = {"date": day.isoformat(), "weekday": weekday(day)}
    values |= {"title": title, "previous": _link(previous, day), "goals": _goals(previous)}
    return render("day.md", **values)


def last_written(vault: Vault, before: date) -> Day | None:
    """`before` 之前最近写过的一天；只看文件名，不读别的页。"""
    years = sorted((p for p in vault.daily.glob("[0-9]*") if p.is_dir()), reverse=True)
    for year in years:
        names = sorted((p for p in year.glob("*.md") if date_of(p.stem)), reverse=True)
        for path in names:
            if (date_of(path.stem) or date.max) < before:
                return read_day(vault, path)
    return None


def _link(previous: Day | None, day: date) -> dict[str, str] | None:
    if previous is None:
        return None
    folder = "" if previous.path.parent.name == f"{day:%Y}" else f"../{previous.path.parent.name}/"
    return {"date": previous.path.stem, "link": f"{folder}{previous.path.name}"}


def _goals(previous: Day | None) -> list[str]:
    from rizhi import entry

    return entry.plan(previous.text) if previous else []


def _line_of(error: BaseException, name: str) -> int | str:
    """模板里出错的那一行：顺着回溯找模板文件的最后一层。"""
    line: int | str = "?"
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
