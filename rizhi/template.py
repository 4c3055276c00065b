"""用模板排出一页；不写盘。"""

import re
from pathlib import Path
from typing import Any

from rizhi.errors import RizhiError
from rizhi.vault import Vault, contained, read_text

TEMPLATES = Path(__file__).parent / "templates"
VALUE = "\ue000"  # 代替填进模板的值；正文里不会有这个字
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")


def place(vault: Vault, name: str) -> Path:
    """一个模板用的是哪个文件：知识库的 `templates/` 优先，再是自带的。

    `rizhi/templates/` 是上一版的位置，照认。
    异常：是指向知识库之外的链接，抛 RizhiError。
    """
    for folder in ("templates", "rizhi/templates"):
        own = vault.root / folder / name
        if own.is_file():
            return contained(vault, own)
    return TEMPLATES / name


def render(vault: Vault, name: str, /, **values: Any) -> str:
    """按模板排出一页；模板是知识库里的文件，在沙箱里运行，够不着页面之外的东西。

    异常：模板写错，或用了没有的变量、不许的属性，抛 RizhiError，写明模板的行号。
    """
    import jinja2  # 只有写新页时才用得着
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = place(vault, name)
    # 产物是 Markdown，转义反而会弄坏它
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([path.parent, TEMPLATES]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    try:
        return environment.get_template(name).render(**values)
    except UnicodeDecodeError as error:
        raise RizhiError("不是 UTF-8。", path) from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        line: int = getattr(error, "lineno", None) or _line_of(error, name)
        raise RizhiError(f"模板出错：{error}。", path, line) from error


def source(vault: Vault, name: str) -> str:
    """模板的原文；知识库自己的优先。"""
    return read_text(place(vault, name))


def boilerplate(vault: Vault) -> re.Pattern[str]:
    """模板里原样的行；用户改了模板，「模板文字」也跟着变。"""
    lines = (_TAG.sub("", line).strip() for line in source(vault, "day.md").split("\n"))
    fixed = {_literal(line) for line in lines if re.search(r"[^\W\d_]", _values(line, ""))}
    return re.compile("|".join(sorted(fixed)) or r"(?!)")


def _values(line: str, instead: str) -> str:
    return re.sub(r"\{\{.*?\}\}", instead, line)


def _literal(line: str) -> str:
    return re.escape(_values(line, "\0")).replace("\0", ".*")


def _line_of(error: BaseException, name: str) -> int:
    """模板里出错的那一行：顺着回溯找模板文件的最后一层。"""
    line = 0
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
