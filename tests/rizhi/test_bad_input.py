"""别处来的怪东西：不是 UTF-8 的参数与文件名、不是文件的页、显示不了中文的终端。

要么说清楚、退出码 1、什么也没有改动，要么别的页与命令照常。
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from rizhi.vault import Vault, today

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="管道、设备、字节文件名是 POSIX 的")

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]
ROOT = Path(__file__).resolve().parents[2]
CODE = "from rizhi.cli import main; main()"
PAGE = "# 题\n\n## 今日目标\n\n1. [ ] 画图\n\n## 思考\n\n- 一\n"


def _run(
    vault: Vault, *arguments: str | bytes, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", CODE, "--root", str(vault.root), *arguments]
    environ = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "思考", "掩码".encode("gbk")],
        ["add", "掩码".encode("gbk"), "x"],
        ["done", "掩码".encode("gbk")],
        ["note", "x", "--title", "掩码".encode("gbk")],
        ["import", "掩码".encode("gbk")],
    ],
)
def test_an_argument_that_is_not_utf8(
    vault: Vault, write: Write, snapshot: Snapshot, arguments: list[str | bytes]
) -> None:
    write("2026-11-23", PAGE)
    before = snapshot()
    result = _run(vault, *arguments)
    assert result.returncode == 1 and snapshot() == before
    assert result.stderr.decode().endswith("不是 UTF-8。换成 UTF-8 再来。没有改动任何文件。\n")


def test_a_file_name_in_gbk_stops_nothing(rz: Run, vault: Vault, write: Write) -> None:
    page = write("2026-11-23", PAGE)
    folder = os.fsencode(page.parent)
    for name in ("掩码.md", "2026-11-22 掩码.md"):
        with open(os.path.join(folder, name.encode("gbk")), "wb") as file:  # noqa: PTH118, PTH123
            file.write("- [ ] 不算\n[x](../../notes/model/rope.md)\n".encode())
    os.mkdir(os.path.join(os.fsencode(vault.daily), "旧".encode("gbk")))  # noqa: PTH102, PTH118
    rz("note", "rope", "--title", "旋转", "--group", "model")
    commands = [
        ["todo"],
        ["todo", "--json"],
        ["stats"],
        ["week"],
        ["resume"],
        ["show", "2026-11-23"],
    ]
    for command in [
        *commands,
        ["add", "思考", "x"],
        ["done", "画图"],
        ["rename", "rope", "rotary"],
    ]:
        result = _run(vault, *command, RIZHI="")
        assert result.returncode == 0, (command, result.stderr.decode())
    assert _run(vault, "check").stderr == b""


@pytest.mark.parametrize("what", ["管道", "设备", "文件夹", "断了的链接"])
@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23"])
def test_a_page_that_is_no_file(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot, what: str, day: str
) -> None:
    write("2026-11-21", PAGE)
    path = write(day, "")
    path.unlink()
    if what == "管道":
        os.mkfifo(path)
    elif what == "文件夹":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "设备" else "gone.md")
    before = snapshot()
    for command in (["todo"], ["stats"], ["resume"], ["check"], ["thatday"]):
        assert rz(*command).exit_code in (0, 1), command
    assert "画图" in rz("todo").stdout and rz("show", day).exit_code == 1 and snapshot() == before
    if day == "2026-11-23":
        for command in (["add", "思考", "x"], ["done", "画图"], ["new"]):
            result = rz(*command)
            assert result.exit_code == 1 and result.stderr and snapshot() == before, command
    else:
        assert rz("add", "思考", "x").exit_code == 0 and rz("rename", "a", "b").exit_code == 1


def test_importing_what_is_no_file(rz: Run, tmp_path: Path, snapshot: Snapshot) -> None:
    os.mkfifo(tmp_path / "2026-11-20.md")
    before = snapshot()
    for path in ("/dev/zero", str(tmp_path / "2026-11-20.md")):
        result = rz("import", path)
        assert result.exit_code == 1 and "不是普通文件" in result.stdout and snapshot() == before


@pytest.mark.parametrize("where", ["docs/daily/2026", "docs/daily"])
@pytest.mark.parametrize("command", [["new"], ["add", "思考", "x"]])
def test_a_file_where_a_folder_should_be(
    rz: Run, vault: Vault, snapshot: Snapshot, where: str, command: list[str]
) -> None:
    path = vault.root / where
    if path.is_dir():
        path.rmdir()
    path.write_text("我是文件", "utf-8")
    before = snapshot()
    result = rz(*command)
    assert result.exit_code == 1 and snapshot() == before
    assert f"{where}：不是文件夹。" in result.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk"])
def test_a_terminal_that_cannot_show_chinese(vault: Vault, write: Write, encoding: str) -> None:
    path = write(f"{today(vault)}", PAGE.replace("画图", "画图🙂"))
    run = _run(vault, "add", "思考", "二🙂", PYTHONIOENCODING=encoding)
    assert run.returncode == 0 and run.stderr == b"" and "- 二🙂" in path.read_text("utf-8")
    shown = _run(vault, "todo", "--json", PYTHONIOENCODING=encoding).stdout.decode(encoding)
    assert json.loads(shown)[0]["text"] == "画图🙂"
    assert _run(vault, "done", "没有这件", PYTHONIOENCODING=encoding).returncode == 1


@pytest.mark.parametrize("command", ["check", "todo --all", "check --json"])
def test_a_pipe_that_closes_early_ends_quietly(vault: Vault, write: Write, command: str) -> None:
    for day in range(1, 28):
        write(f"2026-10-{day:02}", f"- [ ] 画图 {day}\n[断了](gone.md)\n" * 40)
    line = f'{sys.executable} -c "{CODE}" --root {vault.root} {command} | head -n 1'
    run = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, timeout=60)  # noqa: S602
    assert run.returncode == 0 and run.stderr == b"" and run.stdout.count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="只有 root 能改所有者")
def test_sudo_keeps_owner_group_mode_and_attributes(rz: Run, vault: Vault, write: Write) -> None:
    for path in (vault.root, vault.docs, vault.daily):
        os.chown(path, 1234, 2345)
    page = write("2026-11-23", PAGE)
    os.chown(page.parent, 1234, 2345)
    os.chown(page, 1234, 2345)
    page.chmod(0o640)
    os.setxattr(page, "user.note", b"kept")
    assert (
        rz("add", "思考", "二").exit_code == 0 and rz("new", "--date", "2027-01-01").exit_code == 0
    )
    made = [page, *(vault.daily / "2027").rglob("*"), *(vault.root / ".rizhi").rglob("*")]
    assert len(made) > 6
    assert {(p.stat().st_uid, p.stat().st_gid) for p in made} == {(1234, 2345)}
    assert page.stat().st_mode & 0o777 == 0o640 and os.getxattr(page, "user.note") == b"kept"


def test_a_name_that_begins_with_a_dot_is_no_page(
    rz: Run, vault: Vault, write: Write, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write("2026-11-23", PAGE)
    for name in ("daily/2026/._2026-11-22.md", "daily/.trash/2026/2026-11-22.md", "notes/._x.md"):
        path = vault.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("- [ ] 不算 [x](../../notes/model/rope.md)\n".encode())
    assert "不算" not in rz("todo").stdout + rz("check").stdout
    rz("note", "rope", "--title", "旋转", "--group", "model")
    assert rz("rename", "rope", "rotary").exit_code == 0
    assert "rope.md" in (vault.docs / "daily/2026/._2026-11-22.md").read_text("utf-8")
    old = tmp_path_factory.mktemp("old")
    (old / ".obsidian").mkdir()
    (old / ".obsidian/2026-11-19.md").write_text("设置", "utf-8")
    (old / "2026-11-20.md").write_text("写了", "utf-8")
    assert "1 个文件：写了 1 天" in rz("import", str(old)).stdout


def test_help_on_a_terminal_without_chinese(vault: Vault) -> None:
    result = _run(vault, "--help", PYTHONIOENCODING="latin-1")
    assert result.returncode == 0 and b"\\u" in result.stdout
