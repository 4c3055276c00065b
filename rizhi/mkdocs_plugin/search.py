"""中文搜索：让分词认得笔记的名字，并改正搜索脚本里丢掉末词的差一错误。"""

import re
from collections.abc import Iterable
from pathlib import Path

from rizhi.errors import RizhiError
from rizhi.page import Note

# material 9.8.1 的切词函数：内层循环到不了串尾，复合词的最后一个词于是被丢掉
_WRONG = "o<t.length;o++)t.slice(s,o)in e"
_RIGHT = "o<=t.length;o++)t.slice(s,o)in e"


def dictionary(notes: Iterable[Note]) -> str:
    """jieba 的用户词典：笔记标题与别名里的中文词，各占一行。"""
    names = (name for note in notes for name in (note.title, *note.aliases))
    words = {word for name in names for word in re.findall(r"[\u4e00-\u9fff]{2,8}", name)}
    return "".join(f"{word} 1000\n" for word in sorted(words))


def patch_worker(site: Path) -> None:
    """改正构建产物里的搜索脚本。

    异常：找不到要改的那一处（material 换了版本），抛 RizhiError，不放过。
    """
    workers = list(site.glob("assets/javascripts/workers/search.*.min.js"))
    for worker in workers:
        text = worker.read_text(encoding="utf-8")
        if text.count(_WRONG) == 1:
            worker.write_text(text.replace(_WRONG, _RIGHT), encoding="utf-8")
        elif _RIGHT not in text:
            workers = []
    if not workers:
        raise RizhiError(
            "搜索脚本里找不到要改正的一处：material 换了版本？"
            "请核对 rizhi/mkdocs_plugin/search.py。"
        )
