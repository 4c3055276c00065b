"""站点写成普通的 Markdown：只动自己写的，不出那个文件夹，docs/ 一个字节不动。"""

from datetime import date
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.site import export
from rizhi.site.graph import read_web
from rizhi.vault import Vault

TODAY = date(2026, 11, 24)


@pytest.fixture
def written(vault: Vault) -> Vault:
    (vault.docs / "index.md").write_text("# 首页\n", encoding="utf-8")
    (vault.docs / "notes/model").mkdir(parents=True)
    (vault.docs / "notes/model/rope.md").write_text("# 旋转\n", encoding="utf-8")
    return vault


def _write(vault: Vault, folder: Path) -> tuple[int, int]:
    return export.write(read_web(vault, TODAY), folder, lambda names: names)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_writing_changes_nothing(written: Vault, tmp_path: Path) -> None:
    before, out = _bytes(written.docs), tmp_path / "out"
    assert _write(written, out)[0] > 0
    first = _bytes(out)
    assert _write(written, out) == (0, 0)
    assert _bytes(out) == first and _bytes(written.docs) == before


def test_a_page_that_is_gone_goes_there_too(written: Vault, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _write(written, out)
    (written.docs / "notes/model/rope.md").unlink()
    assert _write(written, out)[1] == 1
    assert not (out / "docs/notes/model/rope.md").exists()


def test_a_file_may_become_a_folder(written: Vault, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (written.docs / "extra").write_text("一个文件\n", encoding="utf-8")
    _write(written, out)
    (written.docs / "extra").unlink()
    (written.docs / "extra").mkdir()
    (written.docs / "extra/a.md").write_text("# 甲\n", encoding="utf-8")
    _write(written, out)
    assert (out / "docs/extra/a.md").is_file()


def test_his_own_files_are_left_alone(written: Vault, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _write(written, out)
    mine = out / "docs/notes/model/mine.md"
    mine.write_text("我的\n", encoding="utf-8")
    (written.docs / "notes/model/mine.md").write_text("# 同名\n", encoding="utf-8")
    with pytest.raises(RizhiError, match="不是这里写的"):
        _write(written, out)
    assert mine.read_text("utf-8") == "我的\n"


def test_links_lead_nowhere_else(written: Vault, tmp_path: Path) -> None:
    out, before = tmp_path / "out", _bytes(written.docs)
    _write(written, out)
    for path in sorted((out / "docs/notes").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out / "docs/notes").rmdir()
    (out / "docs/notes").symlink_to(written.docs / "notes")
    with pytest.raises(RizhiError, match="经由链接指到了别处"):
        _write(written, out)
    assert _bytes(written.docs) == before


def test_nothing_from_outside_is_copied(
    written: Vault, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("outside")
    (place / "secret.txt").write_text("SECRET", encoding="utf-8")
    (written.docs / "leak.txt").symlink_to(place / "secret.txt")
    with pytest.raises(RizhiError, match="知识库之外"):
        _write(written, place / "out")
    assert not (place / "out").exists()


@pytest.mark.parametrize("folder", ["docs", "docs/plain", "."])
def test_docs_itself_is_refused(written: Vault, folder: str) -> None:
    before = _bytes(written.root)
    with pytest.raises(RizhiError, match="套在一起"):
        _write(written, written.root / folder)
    assert _bytes(written.root) == before


@pytest.mark.parametrize("names", ['["../a"]', '[""]', '["a\\u0000"]', "{}", "不是", '["/etc/a"]'])
def test_a_broken_list_is_refused(written: Vault, tmp_path: Path, names: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / export.MANIFEST).write_text(names, encoding="utf-8")
    with pytest.raises(RizhiError, match="读不懂"):
        _write(written, out)
    assert list(out.iterdir()) == [out / export.MANIFEST]


def test_his_page_wins_over_a_computed_one(written: Vault, tmp_path: Path) -> None:
    (written.docs / "todos").mkdir()
    (written.docs / "todos/index.md").write_text("# 我自己的\n", encoding="utf-8")
    _write(written, tmp_path / "out")
    assert (tmp_path / "out/docs/todos/index.md").read_text("utf-8") == "# 我自己的\n"
