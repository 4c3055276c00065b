"""这台机器上有什么：各个依赖的版本，缺哪些。只用标准库，什么都没装也说得出。"""

import os
import platform
import re
import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ABSENT = "没有"


def dependencies(*extras: str) -> list[str]:
    """pyproject.toml 的基本依赖与这几组可选依赖，只留名字；不写组名就是全部。"""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    listed = [*project["dependencies"], *(n for e in extras or optional for n in optional[e])]
    return sorted({re.split(r"[\s\[<>=!~;]", need, maxsplit=1)[0] for need in listed})


def version(name: str) -> str:
    """装着的版本；没有装就是「没有」。"""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


def missing(*extras: str) -> list[str]:
    """这几组依赖里没有装的。"""
    return [name for name in dependencies(*extras) if version(name) == ABSENT]


def environment() -> dict[str, str]:
    """随结果写下的环境；比值要与确切的版本一起看。"""
    here = {
        "python": platform.python_version(),
        "系统": f"{platform.system()} {platform.machine()}",
        "核": str(os.cpu_count()),
        "libyaml": _libyaml(),
    }
    return here | {name: version(name) for name in dependencies()}


def described(here: dict[str, str]) -> str:
    """印出来的样子：有的写版本，缺的另起一行。"""
    present = "、".join(f"{name} {value}" for name, value in here.items() if value != ABSENT)
    absent = "、".join(name for name, value in here.items() if value == ABSENT)
    return f"环境：{present}\n" + (f"没有装：{absent}" if absent else "依赖都装着。")


def _libyaml() -> str:
    """PyYAML 带的 C 实现：有没有它，读前置数据差几倍。"""
    try:
        from yaml import _yaml
    except ImportError:
        return ABSENT
    return str(_yaml.get_version_string())
