"""Python-Markdown 扩展：两个汉字之间的换行不变成空格；「形状：」这样的行另起一行。"""

import re
from itertools import zip_longest
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

WIDE = r"[\u2e80-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef—…“”‘’]"
_INSIDE = re.compile(rf"(?<={WIDE})\n[ \t]*(?={WIDE})")  # 列表里的续行还带着缩进
LABEL = re.compile("(?:形状|单位|异常|来源)：")
_STARTS = re.compile(WIDE)
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
    if text.startswith("\n") and _STARTS.match(before) and _STARTS.match(text.lstrip()[:1]):
        text = text.lstrip()
    first = "".join(following.itertext())[:1] if following is not None else ""
    head = text.rstrip()
    if "\n" in text[len(head) :] and _STARTS.match(head[-1:]) and _STARTS.match(first):
        text = head
    return text


def _last(node: Element) -> str:
    return "".join(node.itertext())[-1:]


class _Labels(Preprocessor):
    """文档字符串里「形状：」「来源：」各起一行，页面上也该各占一行。"""

    def run(self, lines: list[str]) -> list[str]:
        labelled = (LABEL.match(line) for line in [*lines[1:], ""])
        return [
            f"{line.rstrip()}  " if label and line.strip() else line
            for line, label in zip(lines, labelled, strict=True)
        ]


class SoftBreak(Extension):
    """`_Labels` 排在围栏收走之后，`_Join` 排在行内解析之后。"""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Labels(md), "labels", 5)
        md.treeprocessors.register(_Join(md), "softbreak", 15)


def makeExtension(**options: Any) -> SoftBreak:
    """Python-Markdown 按这个名字找扩展。"""
    return SoftBreak(**options)
