"""Python-Markdown 扩展：`::: 名字` 列不出接口的，原地换成说明；mkdocstrings 会让整个构建失败。"""

import logging
import re
from collections.abc import Callable
from types import MappingProxyType
from xml.etree.ElementTree import Element, SubElement

from markdown import Extension, Markdown
from markdown.blockprocessors import BlockProcessor

from rizhi.errors import RizhiError
from rizhi.snippets.source import documented
from rizhi.vault import Vault

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


def chinese(html: str) -> str:
    """参考页里写死的英文换成中文。"""
    html = _LABEL.sub(lambda found: found[1] + _LABELS.get(found[2], found[2]), html)
    return _BASES.sub(r"\1基类：", html)


class Autodoc(Extension):
    """`where` 说出正在排的是哪一页。"""

    def __init__(self, vault: Vault, where: Callable[[], str]) -> None:
        super().__init__()
        self._vault, self._where = vault, where

    def extendMarkdown(self, md: Markdown) -> None:
        """排在 mkdocstrings 之前；它自己出了意外的，也围起来。"""
        processors = md.parser.blockprocessors
        if "mkdocstrings" not in processors:
            return
        processors.register(_Undocumented(md, self), "rizhi-autodoc", _AHEAD)
        theirs = processors["mkdocstrings"]
        run = theirs.run

        def guarded(parent: Element, blocks: list[str]) -> bool | None:
            try:
                return run(parent, blocks)
            except Exception as error:
                self.explain(parent, f"「:::」排不出来：{type(error).__name__}: {error}")
                return None

        theirs.run = guarded  # type: ignore[method-assign]

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
