"""中文搜索：用户词典，与搜索脚本的改正。"""

from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.mkdocs_plugin import search
from rizhi.page import read_notes
from rizhi.vault import Vault

WORKER = "assets/javascripts/workers/search.abc.min.js"


def test_dictionary_holds_titles_and_aliases(vault: Vault) -> None:
    note = vault.notes / "rope.md"
    note.write_text("---\ntitle: 旋转位置编码 RoPE\naliases: [旋转编码, rope]\n---\n", "utf-8")
    assert search.dictionary(read_notes(vault)) == "旋转位置编码 1000\n旋转编码 1000\n"


def test_worker_is_patched_once(tmp_path: Path) -> None:
    worker = tmp_path / WORKER
    worker.parent.mkdir(parents=True)
    worker.write_text("for(;o<t.length;o++)t.slice(s,o)in e", encoding="utf-8")
    search.patch_worker(tmp_path)
    patched = worker.read_text("utf-8")
    assert "o<=t.length" in patched
    search.patch_worker(tmp_path)  # 增量构建会再来一次
    assert worker.read_text("utf-8") == patched


@pytest.mark.parametrize("content", [None, "另一个版本的脚本"])
def test_an_unknown_worker_is_not_passed_over(tmp_path: Path, content: str | None) -> None:
    if content:
        worker = tmp_path / WORKER
        worker.parent.mkdir(parents=True)
        worker.write_text(content, encoding="utf-8")
    with pytest.raises(RizhiError, match="找不到要改正的一处"):
        search.patch_worker(tmp_path)
