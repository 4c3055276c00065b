"""Python-Markdown 扩展：`> [!NOTE]` 显示成提示框。

GitHub 的五种与 Obsidian 的各种都认，种类后面的 `-` 与 `+` 是可折叠的。
框由 pymdownx.quotes 做；这里补上中文的标题，与主题有样式的类。
"""

from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from pymdownx.quotes import QuotesExtension

# 种类：主题里用哪一种的样式，没有自定标题时的标题
_KINDS = MappingProxyType(
    {
        "note": ("note", "说明"),
        "abstract": ("abstract", "摘要"),
        "summary": ("abstract", "摘要"),
        "tldr": ("abstract", "摘要"),
        "info": ("info", "信息"),
        "todo": ("info", "待办"),
        "tip": ("tip", "提示"),
        "hint": ("tip", "提示"),
        "important": ("tip", "重要"),
        "success": ("success", "成功"),
        "check": ("success", "成功"),
        "done": ("success", "完成"),
        "question": ("question", "问题"),
        "help": ("question", "问题"),
        "faq": ("question", "问题"),
        "warning": ("warning", "警告"),
        "attention": ("warning", "注意"),
        "caution": ("danger", "当心"),
        "failure": ("failure", "失败"),
        "fail": ("failure", "失败"),
        "missing": ("failure", "缺失"),
        "danger": ("danger", "危险"),
        "error": ("danger", "错误"),
        "bug": ("bug", "缺陷"),
        "example": ("example", "例子"),
        "quote": ("quote", "引用"),
        "cite": ("quote", "引用"),
    }
)


class _Styles(Treeprocessor):
    """排在行内解析之前：标题还是原文。"""

    def run(self, root: Element) -> None:
        for quote in root.iter("blockquote"):
            if alert := quote.get("data-alert"):
                kind = alert.split()[0]
                style, title = _KINDS.get(kind, ("note", ""))
                quote.set("data-alert", alert if style == kind else f"{alert} {style}")
                first = next(iter(quote), None)
                if title and first is not None and (first.text or "").strip() == kind.title():
                    first.text = title
        for box in root.iter():
            if box.tag == "details" or "admonition" in box.get("class", "").split():
                _name(box)


def _name(box: Element) -> None:
    """`!!! note` 与 `??? note` 没有写标题的，标题是种类的英文名：换成中文。"""
    first = next(iter(box), None)
    kinds = [kind for kind in box.get("class", "").split() if kind != "admonition"]
    if kinds and first is not None and first.text == kinds[0].capitalize():
        first.text = _KINDS.get(kinds[0], ("", first.text))[1]


class Callouts(Extension):
    """提示框。"""

    def extendMarkdown(self, md: Markdown) -> None:
        QuotesExtension(callouts=True).extendMarkdown(md)
        md.treeprocessors.register(_Styles(md), "callouts", 30)


def makeExtension(**options: Any) -> Callouts:
    """Python-Markdown 按这个名字找扩展。"""
    return Callouts(**options)
