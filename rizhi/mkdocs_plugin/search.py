"""中文搜索：让分词认得笔记的名字，别名与标题一样重。"""

import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from typing import Any

import jieba
from backrefs import bre

from rizhi.page import Note

_SCRIPT = bre.compile(r"\p{script: Han}+", bre.UNICODE)
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_WORDS = re.compile(r"[A-Za-z0-9]+(?:[ _.-]+[A-Za-z0-9]+)*")
_BETWEEN = re.compile(r"[ _.-]+")


def dictionary(notes: Iterable[Note]) -> str:
    """jieba 的用户词典：笔记标题与别名里的中文词，各占一行。"""
    names = (name for note in notes for name in (note.title, *note.aliases))
    words = {word for name in names for word in re.findall(r"[\u4e00-\u9fff]{2,8}", name)}
    return "".join(f"{word} 1000\n" for word in sorted(words))


def named(entry: dict[str, Any], note: Note) -> dict[str, Any]:
    """一篇笔记的条目添上它的名字：别名显示在标题之下，各种找法藏在标题里，与标题一样重。"""
    terms, also = _names(note.title, note.aliases)
    title = f"{entry['title']}<span hidden> {terms}</span>"
    text = f"<p>又叫 {also}</p>{entry['text']}" if also else entry["text"]
    return entry | {"title": title, "text": text}


@lru_cache(maxsize=1 << 14)  # 每次写索引都要每一篇的；换了词典，要 `forget`
def _names(title: str, aliases: tuple[str, ...]) -> tuple[str, str]:
    """一篇笔记的各种找法，与切好的别名。"""
    terms = (term for name in (title, *aliases) for term in _terms(name))
    return " ".join(dict.fromkeys(terms)), segmented(escape("、".join(aliases), quote=False))


def forget() -> None:
    """词典换了：切过的都不算。"""
    cut.cache_clear()
    _names.cache_clear()


def _terms(name: str) -> list[str]:
    """一个名字的各种找法：长词里的短词，拉丁的一个个词，与它们连写在一起的。"""
    chinese = [term for run in _HAN.findall(name) for term in jieba.cut_for_search(run)]
    latin = [form for run in _WORDS.findall(name) for form in (run, _BETWEEN.sub("", run).lower())]
    return chinese + latin


def segmented(text: str) -> str:
    """同 material 的：汉字之间、两头都加上零宽的空格。"""
    return str(_SCRIPT.sub(lambda run: cut(run[0]), text)).strip("\u200b")


@lru_cache(maxsize=1 << 16)  # 改一页，那一页上多半的话还是原来的
def cut(run: str) -> str:
    """一串汉字切成词；换了词典，要 `forget`。"""
    return "\u200b".join(("", *jieba.cut(run), ""))
