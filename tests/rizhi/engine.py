"""与站点同样的 Python-Markdown：扩展与选项都来自 mkdocs.yml。"""

from pathlib import Path
from typing import Any

import yaml
from markdown import Markdown

ROOT = Path(__file__).resolve().parents[2]


class _Loader(yaml.UnsafeLoader):
    """mkdocs.yml 是自己的；里面的 !ENV 与扩展无关。"""


_Loader.add_constructor("!ENV", lambda loader, node: None)


def engine(**options: dict[str, Any]) -> Markdown:
    """站点的引擎；`options` 是另给某个扩展的选项，名字里的点写成下划线。"""
    config = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), _Loader)  # noqa: S506
    names, known = [], {}
    for one in config["markdown_extensions"]:
        name, value = (one, {}) if isinstance(one, str) else next(iter(one.items()))
        names.append(name)
        known[name] = value | options.get(name.replace(".", "_"), {})
    return Markdown(extensions=names, extension_configs=known)
