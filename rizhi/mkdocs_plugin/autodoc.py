"""`::: 名字` 列出的接口：列不出的，原地换成说明；列得出的，由哪些源码算出来。

列不出的不换，mkdocstrings 会让整个构建失败。
"""

import ast
import logging
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement

from jinja2 import BytecodeCache
from markdown import Extension, Markdown
from markdown.blockprocessors import BlockProcessor

from rizhi.errors import RizhiError
from rizhi.snippets.cells import syntax_tree
from rizhi.snippets.source import documented
from rizhi.vault import Vault, read_text

log = logging.getLogger("mkdocs.rizhi")

_AUTODOC = re.compile(r"^ {0,3}(?:#{1,6} *)?::: ?(?P<name>.+?) *$", re.M)
# mkdocstrings 的中文译文里没有的几个词
_LABELS = MappingProxyType(
    {
        "abstract": "抽象",
        "abstractmethod": "抽象方法",
        "async": "异步",
        "cached": "缓存结果",
        "class-attribute": "类属性",
        "classmethod": "类方法",
        "dataclass": "数据类",
        "deletable": "可删",
        "exception": "异常",
        "instance-attribute": "实例属性",
        "module-attribute": "模块属性",
        "property": "只读属性",
        "staticmethod": "静态方法",
        "writable": "可写",
    }
)
_LABEL = re.compile(r'(<small class="doc doc-label [^"]*"><code>)([\w-]+)(?=</code>)')
_BASES = re.compile(r'(<p class="doc doc-class-bases">\s*)Bases: ')
_AHEAD = 76  # mkdocstrings 是 75
# 这些选项只管自己的模块怎么显示；别的（members、inherited_members、show_submodules、extensions……）
# 也许把另一个模块的函数体、文档带到页面上来
_OWN_OPTIONS = re.compile(
    r"options|docstring_section_style|filters|group_by_category|heading_level|members_order"
    r"|separate_signature|show_(?!submodules|inheritance)\w+"
)


def chinese(html: str) -> str:
    """参考页里写死的英文换成中文。"""
    html = _LABEL.sub(lambda found: found[1] + _LABELS.get(found[2], found[2]), html)
    return _BASES.sub(r"\1基类：", html)


class Autodoc(Extension):
    """`where` 说出正在排的是哪一页；`templates` 留着编译过的模板，不必每次重建都编一遍。"""

    def __init__(
        self, vault: Vault, where: Callable[[], str], templates: BytecodeCache | None = None
    ) -> None:
        super().__init__()
        self._vault, self._where, self._templates = vault, where, templates

    def extendMarkdown(self, md: Markdown) -> None:
        """排在 mkdocstrings 之前；它自己出了意外的，也围起来。"""
        processors = md.parser.blockprocessors
        if "mkdocstrings" not in processors:
            return
        processors.register(_Undocumented(md, self), "rizhi-autodoc", _AHEAD)
        theirs: Any = processors["mkdocstrings"]
        run, handlers = theirs.run, theirs._handlers

        def guarded(parent: Element, blocks: list[str]) -> bool | None:
            try:
                handler = handlers.get_handler(handlers.get_handler_name({}))
                handler.env.bytecode_cache = self._templates
                ran: bool | None = run(parent, blocks)
                return ran
            except Exception as error:
                self.explain(parent, f"「:::」排不出来：{type(error).__name__}: {error}")
                return None

        theirs.run = guarded

    def trouble(self, name: str) -> str:
        """这个名字列不出接口的原因。"""
        try:
            documented(self._vault, name)
        except RizhiError as error:
            return error.within(self._vault.root)
        return ""

    def explain(self, parent: Element, message: str) -> None:
        """页面上一框，日志里一条。"""
        log.warning("%s：%s", self._where(), message)
        box = SubElement(parent, "div", {"class": "admonition failure rz-trouble"})
        SubElement(box, "p").text = message


class _Undocumented(BlockProcessor):
    def __init__(self, md: Markdown, own: Autodoc) -> None:
        super().__init__(md.parser)
        self._own = own

    def test(self, parent: Element, block: str) -> bool:
        return any(self._own.trouble(found["name"]) for found in _AUTODOC.finditer(block))

    def run(self, parent: Element, blocks: list[str]) -> None:
        block = blocks.pop(0)
        found = next(m for m in _AUTODOC.finditer(block) if self._own.trouble(m["name"]))
        if found.start():
            self.parser.parseBlocks(parent, [block[: found.start()]])
        self._own.explain(parent, self._own.trouble(found["name"]))
        _, rest = self.detab(block[found.end() :].lstrip("\n"))  # 缩进的是它的选项
        if rest:
            blocks.insert(0, rest)


class Outline(NamedTuple):
    """一个模块里，别的模块的参考页看得见的：除了函数体的一切。

    签名、基类、import 与变量会改变别页的签名与链接；函数体只显示在自己那一页。
    """

    tree: str
    reexports: bool  # 有 `__all__` 或 `import *`：自己那一页会显示从别处 import 来的


def outline(path: Path) -> Outline:
    """一个模块的轮廓；语法错误的，就是全文。"""
    try:
        text = read_text(path)
    except RizhiError as error:
        return Outline(error.message, reexports=True)
    try:
        syntax_tree(path, text)
    except RizhiError:
        return Outline(text, reexports=True)
    tree = ast.parse(text)  # 语法树是大家共用的；这一棵要改
    reexports = False
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name != "__init__":  # 它里面的 self.x 是类的变量，import 也算
                node.body = []
        elif isinstance(node, ast.Name):
            reexports |= node.id == "__all__"
        elif isinstance(node, ast.ImportFrom):
            reexports |= any(alias.name == "*" for alias in node.names)
    return Outline(ast.dump(tree), reexports)


def alone(
    names: Collection[str],
    options: Collection[str],
    outlines: Mapping[str, Outline],
    handlers: Mapping[str, Any],
) -> bool:
    """每一页列出的接口，是不是只由它自己的模块与别的模块的轮廓算出来；拿不准就不是。

    `names` 是各页列出的模块，可有重复；`options` 是写在它们下面的选项。
    """
    python = handlers.get("python") or {}
    listed = [outlines[name] for name in names if name in outlines]
    return (
        set(handlers) <= {"python"}
        and set(python) <= {"paths", "options"}
        and all(map(_OWN_OPTIONS.fullmatch, (*options, *(python.get("options") or {}))))
        and len(names) == len(set(names))  # 列了两遍的，链接到哪一处要看先后
        and not any(module.reexports for module in listed)
    )
