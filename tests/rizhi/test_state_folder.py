"""`.rizhi/` 里的东西不可信：坏了的、别处拷来的、别人放的，都不照它动一个字节。"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rizhi import store
from rizhi.vault import Vault, find_vault

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="管道、链接、所有者是 POSIX 的")

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]
PAGE = "# 题\n\n## 思考\n\n- 一\n"
DAY = "docs/daily/2026/2026-11-23.md"


def _log(**changed: Any) -> bytes:
    plan = {"version": 1, "command": "add 思考 x", "undoes": None}
    plan |= {"edits": [[DAY, "种下的", PAGE]], "moves": []}
    return json.dumps(plan | changed).encode()


def _edit(path: str) -> bytes:
    return _log(edits=[[path, "种下的", "外面的\n"]])


BAD = {
    "空的": b"",
    "截断的": _log()[:40],
    "乱码": b"\xff\xfe\x00garbage",
    "NUL": b"\0" * 100,
    "不是对象": b"[1, 2]",
    "旧版": _log(version=0),
    "缺一半": b'{"version": 1, "command": "x"}',
    "条目不成对": _log(edits=[[DAY]]),
    "内容不是字": _log(edits=[[DAY, 1, 2]]),
    "路径不是字": _log(edits=[[1, "a", "b"]]),
    "编号不是数": _log(undoes="x"),
    "套得太深": b"[" * 100_000 + b"]" * 100_000,
    "绝对路径": _edit("{outside}/x.md"),
    "往上": _edit("../{name}/x.md"),
    "绕一圈": _edit("docs/../../{name}/x.md"),
    "点文件": _edit(".git/config"),
    "它自己": _edit(".rizhi/lock"),
    "经由链接": _edit("docs/notes/link/x.md"),
    "是链接": _edit("docs/notes/x.md"),
    "搬出去": _log(edits=[], moves=[["{outside}/x.md", "docs/notes/y.md"]]),
    "搬进去": _log(edits=[], moves=[[DAY, "docs/notes/link/y.md"]]),
}


@pytest.fixture
def outside(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """知识库之外的一个文件，与里面指向它的链接。"""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "x.md").write_text("外面的\n", "utf-8")
    (vault.notes / "link").symlink_to(folder)
    (vault.notes / "x.md").symlink_to(folder / "x.md")
    return folder


def _plant(vault: Vault, data: bytes, state: str = "unfinished") -> Path:
    folder = vault.root / ".rizhi/undo/000007"
    folder.mkdir(parents=True)
    (folder / f"{state}.json").write_bytes(data)
    (folder / "0").write_text("种下的", "utf-8")
    return folder


@pytest.mark.parametrize("state", ["unfinished", "done"])
@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_log_is_set_aside(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot, outside: Path, name: str, state: str
) -> None:
    write("2026-11-23", PAGE)
    data = BAD[name].replace(b"{outside}", str(outside).encode())
    _plant(vault, data.replace(b"{name}", outside.name.encode()), state)
    before = snapshot()
    result = rz("todo")
    assert result.exit_code == 0 and snapshot() == before
    assert ".rizhi/undo/000007 " in result.stderr
    assert "没有照它改动任何文件；移到了 .rizhi/aside/1-000007。" in result.stderr
    assert str(vault.root.parent) not in result.stderr
    assert (outside / "x.md").read_text("utf-8") == "外面的\n"
    assert rz("todo").stderr == "" and rz("undo").exit_code == 1 and snapshot() == before
    assert rz("add", "思考", "二").exit_code == 0 and rz("undo").exit_code == 0
    assert snapshot() == before


@pytest.mark.parametrize("what", ["链接", "管道", "文件夹"])
@pytest.mark.parametrize("where", ["000007", "000007/unfinished.json", "000007/0"])
def test_what_is_no_file_is_set_aside(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot, outside: Path, what: str, where: str
) -> None:
    write("2026-11-23", PAGE)
    folder = _plant(vault, _log())
    path = folder.parent / where
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if what == "链接":
        path.symlink_to(outside if path == folder else outside / "x.md")
    elif what == "管道":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = snapshot()
    assert rz("todo").exit_code == 0 and snapshot() == before
    assert (outside / "x.md").read_text("utf-8") == "外面的\n"
    assert rz("add", "思考", "二").exit_code == 0 and rz("todo").stderr == ""


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="只有 root 能改所有者")
def test_what_belongs_to_someone_else_is_set_aside(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot
) -> None:
    write("2026-11-23", PAGE)
    folder = _plant(vault, _log())
    os.chown(folder / "unfinished.json", 12345, 12345)
    before = snapshot()
    assert "所有者是别人，没有照它" in rz("todo").stderr and snapshot() == before


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="只有 root 能改所有者")
def test_a_state_folder_of_someone_else_is_not_used(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot
) -> None:
    write("2026-11-23", PAGE)
    (vault.root / ".rizhi").mkdir()
    os.chown(vault.root / ".rizhi", 12345, 12345)
    before = snapshot()
    assert rz("todo").exit_code == 0 and ".rizhi 是别人的" in rz("todo").stderr
    result = rz("add", "思考", "二")
    assert result.exit_code == 1 and ".rizhi 是别人的" in result.stderr and snapshot() == before


@pytest.mark.parametrize("what", ["链接", "断了的链接", "文件", "管道"])
@pytest.mark.parametrize("where", [".rizhi", ".rizhi/undo", ".rizhi/lock"])
def test_a_state_folder_that_is_none_is_not_used(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot, outside: Path, what: str, where: str
) -> None:
    write("2026-11-23", PAGE)
    path = vault.root / where
    path.parent.mkdir(exist_ok=True)
    if where == ".rizhi/lock":
        (path.parent / "undo").mkdir()
        (path.parent / "undo/x").mkdir()  # 有东西要善后，才会去拿锁
    if what == "文件":
        path.write_text("x", "utf-8")
    elif what == "管道":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if what == "链接" else outside / "gone")
    before = snapshot()
    assert rz("todo").exit_code == 0 and snapshot() == before
    result = rz("add", "思考", "二")
    if (where, what) != (".rizhi/lock", "文件"):
        assert result.exit_code == 1 and f"{where} " in result.stderr and snapshot() == before
    assert sorted(p.name for p in outside.iterdir()) == ["x.md"]


def test_nothing_is_set_aside_through_a_link(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot, outside: Path
) -> None:
    write("2026-11-23", PAGE)
    _plant(vault, b"garbage")
    (vault.root / ".rizhi/aside").symlink_to(outside)
    before = snapshot()
    result = rz("todo")
    assert result.exit_code == 0 and ".rizhi/aside 是链接" in result.stderr
    assert sorted(p.name for p in outside.iterdir()) == ["x.md"] and snapshot() == before


def test_a_number_that_is_taken_is_not_used(rz: Run, vault: Vault, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    (vault.root / ".rizhi/undo/99999999").mkdir(parents=True)
    (vault.root / ".rizhi/undo/99999999/done.json").write_bytes(b"garbage")
    store.append(vault.root, "add", path, b"x\n")
    assert store.undo(vault.root).command == "add" and path.read_text("utf-8") == PAGE


def test_a_planted_command_cannot_drive_the_terminal(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-23", PAGE)
    _plant(vault, _log(command="x\x1b[2J\x1b]0;坏\x07", edits=[]))
    said = rz("todo").stderr
    assert "rizhi x?[2J?]0;坏? 中途断了" in said and "\x1b" not in said


def test_a_page_with_a_colon_in_its_name_is_recovered(vault: Vault, write: Write) -> None:
    path = vault.docs / "会议 10:30.md"
    path.write_text(PAGE, "utf-8")
    store.append(vault.root, "add", path, b"x\n")
    assert store.settle(vault.root) == [] and store.undo(vault.root).paths == [path]


def test_a_killed_change_in_a_copied_vault_touches_only_the_copy(
    rz: Run,
    vault: Vault,
    write: Write,
    snapshot: Snapshot,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = write("2026-11-23", PAGE)
    folder = _plant(vault, _log(edits=[[DAY, PAGE, PAGE + "- 二\n"]]))
    (folder / "0").write_text(PAGE, "utf-8")
    path.write_text(PAGE + "- 二\n", "utf-8")
    before = snapshot()
    copy = tmp_path_factory.mktemp("copy") / "vault"
    shutil.copytree(vault.root, copy)
    assert "中途断了，已经退回" in "".join(store.settle(find_vault(copy).root))
    assert (copy / DAY).read_text("utf-8") == PAGE and snapshot() == before


def test_a_read_only_vault_can_still_be_read(
    rz: Run, vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("2026-11-23", PAGE + "- [ ] 画图\n")
    _plant(vault, _log())

    def read_only(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "_open_lock", read_only)
    result = rz("todo")
    assert result.exit_code == 0 and "画图" in result.stdout


def test_a_build_says_what_is_wrong_with_the_state_folder(vault: Vault, outside: Path) -> None:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.exceptions import PluginError

    from rizhi.mkdocs_plugin.plugin import RizhiPlugin

    (vault.root / ".rizhi").symlink_to(outside)
    with pytest.raises(PluginError, match=r"\.rizhi 是链接，没有用它"):
        RizhiPlugin()._configure(MkDocsConfig(str(vault.root / "mkdocs.yml")))
    assert sorted(p.name for p in outside.iterdir()) == ["x.md"]
