"""用模板排出一页；不写盘。"""

import re
from pathlib import Path
from typing import Any

from rizhi.errors import RizhiError
from rizhi.vault import Vault, read_text

TEMPLATES = Path(__file__).parent / "templates"
VALUE = "\ue000"  # 代替填进模板的值；正文里不会有这个字
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")


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
        raise RizhiError(f"rizhi/templates/{name} 不是 UTF-8。") from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        line = getattr(error, "lineno", None) or _line_of(error, name)
        where = f"rizhi/templates/{name}:{line}"
        raise RizhiError(f"{where} 模板出错：{error}。") from error


def source(vault: Vault, name: str) -> str:
    """模板的原文；知识库自己的优先。"""
    own = vault.root / "rizhi" / "templates" / name
    return read_text(own if own.is_file() else TEMPLATES / name)


def boilerplate(vault: Vault) -> re.Pattern[str]:
    """模板里原样的行；用户改了模板，「模板文字」也跟着变。"""
    lines = (_TAG.sub("", line).strip() for line in source(vault, "day.md").split("\n"))
    fixed = {_literal(line) for line in lines if re.search(r"[^\W\d_]", _values(line, ""))}
    return re.compile("|".join(sorted(fixed)) or r"(?!)")


def _values(line: str, instead: str) -> str:
    return re.sub(r"\{\{.*?\}\}", instead, line)


def _literal(line: str) -> str:
    return re.escape(_values(line, "\0")).replace("\0", ".*")


def _line_of(error: BaseException, name: str) -> int | str:
    """模板里出错的那一行：顺着回溯找模板文件的最后一层。"""
    line: int | str = "?"
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
