"""主题原样写进页面的字，在这里转义：前置数据里的各项，与 `<title>` 里的标题。"""

from html import escape
from typing import Any

from jinja2 import Environment
from jinja2.filters import do_striptags
from markupsafe import escape as marked_safe


def escaped(value: Any) -> Any:
    """前置数据的一项，里面的字都转义；主题把 description、author、subtitle 等原样写出。"""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [escaped(one) for one in value]
    if isinstance(value, dict):
        return {key: escaped(one) for key, one in value.items()}
    return value


def guard(env: Environment) -> None:
    """`striptags` 去掉标签之后又把实体还原成尖括号，主题拿它写 `<title>`：还原之后再转义。"""
    env.filters["striptags"] = lambda value: marked_safe(do_striptags(value))
