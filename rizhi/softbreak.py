"""Python-Markdown 扩展：源码里两个汉字之间的换行，在页面上不该变成一个空格。"""

import re
from itertools import zip_longest
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor

_WIDE = r"[\u2e80-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef—…“”‘’]"
_INSIDE = re.compile(rf"(?<={_WIDE})\n(?={_WIDE})")
_STARTS = re.compile(_WIDE)
_CODE = ("pre", "code", "script", "style")


class _Join(Treeprocessor):
    def run(self, root: Element) -> None:
        for node in root.iter():
            if node.tag not in _CODE:
                _join(node)


def _join(node: Element) -> None:
    """一个元素里的各段文字：段内的换行直接去掉，段尾的换行看下一段从什么字开始。"""
    children = list(node)
    node.text = _cut(node.text, children[0] if children else None)
    for child, following in zip_longest(children, children[1:]):
        child.tail = _cut(child.tail, following, _last(child))


def _cut(text: str | None, following: Element | None, before: str = "") -> str | None:
    if not text or "\n" not in text:
        return text
    text = _INSIDE.sub("", text)
    if text.startswith("\n") and _STARTS.match(before) and _STARTS.match(text[1:2]):
        text = text[1:]
    first = "".join(following.itertext())[:1] if following is not None else ""
    if text.endswith("\n") and _STARTS.match(text[-2:-1]) and _STARTS.match(first):
        text = text[:-1]
    return text


def _last(node: Element) -> str:
    return "".join(node.itertext())[-1:]


class SoftBreak(Extension):
    """把 `_Join` 排在行内解析之后。"""

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_Join(md), "softbreak", 15)


def makeExtension(**options: Any) -> SoftBreak:
    """Python-Markdown 按这个名字找扩展。"""
    return SoftBreak(**options)
