"""站点收不进的文件：读不懂的笔记本、名字、链接。"""

import json
import os

import pytest

from rizhi.entries import Misfit, misfits, shown
from rizhi.vault import Vault

CELL = {"cell_type": "markdown", "metadata": {}, "source": "甲"}
BOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def _found(vault: Vault) -> list[Misfit]:
    return list(misfits(vault))


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        (json.dumps(BOOK).encode(), "", 1),
        (b'{\n  "cells": [,]\n}', "第 13 列起不是 JSON", 2),
        (b"[1]", "没有 cells", 1),
        (b'{"cells": []}', "不是第 4 版", 1),
        (json.dumps(BOOK | {"cells": [{}]}).encode(), "不合笔记本的格式", 1),
        (json.dumps(BOOK | {"metadata": 5}).encode(), "不合笔记本的格式", 1),
        (b"[" * 100_000, "RecursionError", 1),
        ("掩码".encode("gbk"), "像是 GBK", 1),
    ],
)
def test_unreadable_books_are_named(vault: Vault, content: bytes, message: str, line: int) -> None:
    path = vault.notebooks / "a.ipynb"
    path.parent.mkdir()
    path.write_bytes(content)
    found = _found(vault)
    assert bool(found) is bool(message)
    assert all(message in f.message and f.line == line and f.page for f in found)


def test_links_and_names_that_do_not_fit(vault: Vault, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (vault.docs / "out").symlink_to(outside)
    (vault.docs / "gone.png").symlink_to("nowhere.png")
    (vault.docs / "loop").symlink_to(".")
    (vault.docs / f"{'a' * 252}.md").write_text("", encoding="utf-8")
    (vault.docs / "b.md").write_text("", encoding="utf-8")
    (vault.docs / "b.html").write_text("", encoding="utf-8")
    os.mkfifo(vault.docs / "pipe")
    os.mkdir(os.fsencode(vault.docs) + "/掩".encode("gbk"))  # noqa: PTH102
    (vault.root / "llm/x.py").symlink_to(outside / "x.py")
    found = {shown(misfit.path.name): misfit.message for misfit in misfits(vault)}
    assert set(found) == {
        "out", "gone.png", "loop", "a" * 252 + ".md", "b.md", "pipe", "\\udcd1\\udcda", "x.py",
    }  # fmt: skip
    assert "知识库之外" in found["out"] and "断了" in found["gone.png"] and "绕圈" in found["loop"]


def test_a_link_inside_the_vault_fits(vault: Vault) -> None:
    (vault.root / "pictures").mkdir()
    (vault.root / "pictures/a.png").write_bytes(b"x")
    (vault.docs / "img").symlink_to(vault.root / "pictures")
    (vault.docs / "b.png").symlink_to(vault.root / "pictures/a.png")
    assert _found(vault) == []


def test_what_is_hidden_or_a_template_is_not_looked_at(vault: Vault) -> None:
    for name in (".obsidian", "templates"):
        (vault.docs / name).mkdir()
        (vault.docs / name / "gone.md").symlink_to("nowhere.md")
    assert _found(vault) == []
