"""笔记本页：标题的 id，与读不懂的笔记本。"""

import pytest
from mkdocs.structure.toc import AnchorLink, TableOfContents

from rizhi.mkdocs_plugin import notebooks
from rizhi.vault import Vault


def test_headings_get_ids_from_their_text() -> None:
    html = '<h2 id="">形状<a href="#">¶</a></h2><h2 id="">形状<a href="#">¶</a></h2>'
    toc = TableOfContents([AnchorLink("形状", "", 2), AnchorLink("形状", "", 2)])
    named = notebooks.name_headings(html, toc)
    assert 'id="形状"' in named and 'href="#形状_1"' in named
    assert [link.id for link in toc] == ["形状", "形状_1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"cells": []}', ""),
        (b'{\n  "cells": [,]\n}', "docs/notebooks/a.ipynb:2 读不懂，第 13 列"),
        (b"[1]", "没有 cells"),
        ("掩码".encode("gbk"), "像是 GBK"),
    ],
)
def test_unreadable_books_are_named(vault: Vault, content: bytes, message: str) -> None:
    path = vault.notebooks / "a.ipynb"
    path.parent.mkdir()
    path.write_bytes(content)
    found = notebooks.trouble(vault, path)
    assert message in found and bool(found) is bool(message)
