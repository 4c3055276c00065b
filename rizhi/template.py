"""用 `rizhi/templates/` 里的模板排出一页；不写盘。"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rizhi import markdown
from rizhi.frontmatter import body_start
from rizhi.journal.carry import Goal
from rizhi.journal.lint import own_text
from rizhi.markdown.outline import sections
from rizhi.page import Day
from rizhi.vault import RizhiError, Vault, read_text

TEMPLATES = Path(__file__).parent / "templates"
WEEKDAYS = "一二三四五六日"
VALUE = "\ue000"  # 代替填进模板的值；正文里不会有这个字
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")


def weekday(day: date) -> str:
    """「星期一」这样的写法。"""
    return f"星期{WEEKDAYS[day.weekday()]}"


def heading(day: date, title: str = "") -> str:
    """一天的一级标题。"""
    return f"# {day} {weekday(day)}" + (f"　{title}" if title else "")


def render(vault: Vault, name: str, /, **values: Any) -> str:
    """按模板排出一页；知识库自己的 `rizhi/templates/` 优先。

    异常：模板写错，或用了没有的变量，抛 RizhiError，写明模板的行号。
    """
    import jinja2  # 只有写新页时才用得着

    loader = jinja2.FileSystemLoader([vault.root / "rizhi" / "templates", TEMPLATES])
    # 产物是 Markdown，转义反而会弄坏它
    environment = jinja2.Environment(  # noqa: S701
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    try:
        return environment.get_template(name).render(**values)
    except UnicodeDecodeError as error:
        raise RizhiError(f"rizhi/templates/{name} 不是 UTF-8。没有改动任何文件。") from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        line = getattr(error, "lineno", None) or _line_of(error, name)
        where = f"rizhi/templates/{name}:{line}"
        raise RizhiError(f"{where} 模板出错：{error}。没有改动任何文件。") from error


def new_day(
    vault: Vault, day: date, title: str, goals: Sequence[Goal], rest: int, previous: Day | None
) -> str:
    """新一天的页面：填上目标，连回上一篇；`rest` 是没有带上的待办有几件。"""
    values: dict[str, Any] = {"date": day.isoformat(), "weekday": weekday(day), "title": title}
    values |= {"goals": list(goals), "rest": rest, "previous": _link(previous, day)}
    return render(vault, "day.md", **values)


def last_written(vault: Vault, days: Sequence[Day]) -> Day | None:
    """最近真正写过的一天：只建了页、一个字没写的不算。"""
    template = boilerplate(vault)
    return next((day for day in reversed(days) if own_text(day, template)), None)


def boilerplate(vault: Vault) -> re.Pattern[str]:
    """模板里原样的行；用户改了模板，「模板文字」也跟着变。"""
    own = vault.root / "rizhi" / "templates" / "day.md"
    path = own if own.is_file() else TEMPLATES / "day.md"
    lines = (_TAG.sub("", line).strip() for line in read_text(path).split("\n"))
    fixed = {_literal(line) for line in lines if re.search(r"[^\W\d_]", _values(line, ""))}
    return re.compile("|".join(sorted(fixed)) or r"(?!)")


def note_headings(vault: Vault) -> tuple[str, ...]:
    """笔记模板的二级标题；模板填了值的地方是 VALUE。

    异常：同 `render`。
    """
    values: dict[str, Any] = dict.fromkeys(("slug", "title", "module", "yaml_title"), VALUE)
    text = render(vault, "note.md", **values, created=date(2000, 1, 1))
    return tuple(part.name for part in sections(markdown.parse(text, body_start(text))))


def _values(line: str, instead: str) -> str:
    return re.sub(r"\{\{.*?\}\}", instead, line)


def _literal(line: str) -> str:
    return re.escape(_values(line, "\0")).replace("\0", ".*")


def _link(previous: Day | None, day: date) -> dict[str, str] | None:
    if previous is None:
        return None
    folder = "" if previous.path.parent.name == f"{day:%Y}" else f"../{previous.path.parent.name}/"
    return {"date": previous.path.stem, "link": f"{folder}{previous.path.name}"}


def _line_of(error: BaseException, name: str) -> int | str:
    """模板里出错的那一行：顺着回溯找模板文件的最后一层。"""
    line: int | str = "?"
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
