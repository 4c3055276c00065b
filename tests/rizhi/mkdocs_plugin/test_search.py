"""中文搜索：用户词典，与条目里笔记的名字。"""

import html
import re

from rizhi.mkdocs_plugin import search
from rizhi.page import Note, read_notes
from rizhi.vault import Vault


def _note(vault: Vault, front: str) -> Note:
    (vault.notes / "a.md").write_text(f"---\n{front}---\n", "utf-8")
    return read_notes(vault)[0]


def test_dictionary_holds_titles_and_aliases(vault: Vault) -> None:
    note = _note(vault, "title: 旋转位置编码 RoPE\naliases: [旋转编码, rope]\n")
    assert search.dictionary([note]) == "旋转位置编码 1000\n旋转编码 1000\n"


def test_an_entry_holds_every_way_to_write_a_name(vault: Vault) -> None:
    """连写的、拆开的、中文长词里的短词，都与标题一样重；看得见的只有标题与别名。"""
    note = _note(vault, "title: 键值缓存\naliases: [KV cache, past_key_values, RMSNorm]\n")
    entry = {"location": "a.html", "title": "键值缓存", "text": "<p>正文</p>"}
    named = search.named(entry, note)
    shown, hidden = named["title"].split("<span hidden>")
    assert shown == "键值缓存"
    terms = hidden.removesuffix("</span>").split()
    assert {"键值", "缓存", "kvcache", "past_key_values", "pastkeyvalues", "rmsnorm"} <= set(terms)
    assert named["text"] == "<p>又叫 KV cache、past_key_values、RMSNorm</p><p>正文</p>"
    assert entry["title"] == "键值缓存"  # 留着的条目不变，下一次再添


def test_names_are_text_and_not_markup(vault: Vault) -> None:
    note = _note(vault, 'title: 甲\naliases: ["List[<T>]", "a & b"]\n')
    text = search.named({"title": "甲", "text": ""}, note)["text"]
    assert "<T>" not in text and "List[<T>]" in html.unescape(text)
    assert re.sub(r"<[^>]*>", "", text) == "又叫 List[&lt;T&gt;]、a &amp; b"


def test_a_note_without_aliases_has_no_line_of_them(vault: Vault) -> None:
    note = _note(vault, "title: 张量流\n")
    assert search.named({"title": "张量流", "text": ""}, note)["text"] == ""
