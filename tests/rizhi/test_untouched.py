"""「没有改动任何文件」：会写盘的命令失败时，这句话出现，当且仅当磁盘真的没有变。"""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rizhi import cli, store
from rizhi.vault import Vault
from tests.rizhi.conftest import Run
from tests.rizhi.faults import fork, kill_self, wait

Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]
SAID = "没有改动任何文件。"
DAY = "# 题\n\n## 今日目标\n\n1. [ ] 画图\n2. [ ] 画表\n\n## 思考\n\n- 一\n"
NOTE = "---\ntitle: 掩码\nsnippet: mask\ndraft: true\n---\n\n# 掩码\n"

# 每个会写盘的命令，一种或几种失败
FAILING = [
    ("corpus", "docs/语料"),
    ("review", "--note", "nobody"),
    ("review", "--wake", "nobody"),
    ("export-anki", "题.apkg"),
    ("export-anki", "p.png"),
    ("new",),
    ("new", "--title", "一\n二"),
    ("add", "没有的节", "x", "--image", "p.png"),
    ("add", "思考", "x", "--image", "没有.png"),
    ("add", "思考", " "),
    ("done", "没有的"),
    ("done", "画"),
    ("drop", "没有的"),
    ("park", "没有的", "2026-12-01"),
    ("park", "画图", "2026-11-01"),
    ("undo",),
    ("note", "mask", "--title", "重名"),
    ("note", "Bad", "--title", "x"),
    ("rename", "none", "some"),
    ("rename", "mask", "rope"),
    ("week",),
    ("resume",),
    ("resume", "--walk"),
    ("import", "bad.md"),
    ("import", "bad.md", "good.md"),
    ("import", "bad.md", "--dry-run"),
    ("record", "none"),
    ("record", "mask"),
    ("export", "docs"),
    ("export", "."),
    ("delete", "none"),
    ("delete", "cited"),
    ("merge", "none", "rope"),
    ("merge", "mask", "rope"),
    ("init", "."),
]


@pytest.fixture
def spoilt(vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """什么都写了一点、处处有毛病的知识库，也是当前目录。"""
    write("2026-11-23", DAY)
    write("2026-11-22", "# 题\n\n[没有](x.md)\n")
    files = {
        "docs/notes/model/mask.md": NOTE,
        "docs/notes/model/rope.md": NOTE,
        "docs/notes/model/cited.md": NOTE,
        "docs/notes/model/citing.md": "# 引\n\n[它](cited.md)\n",
        "docs/weekly/2026-W48.md": "没有标记的周报\n",
        "resume.jsonl": "坏的一行\n",
        "bad.md": "看不出是哪一天\n",
        "good.md": "# 2026-11-20\n\n写了\n",
        "snippets/mask.py": "# %% 构造\n1 / 0\n",
    }
    for name, text in files.items():
        path = vault.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (vault.root / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(vault.root)
    return vault


@pytest.mark.parametrize("arguments", FAILING, ids=" ".join)
def test_a_refusal_changes_nothing_and_says_so(
    rz: Run, spoilt: Vault, snapshot: Snapshot, arguments: tuple[str, ...]
) -> None:
    before = snapshot()
    result = rz(*arguments)
    assert result.exit_code == 1 and snapshot() == before
    assert result.stderr.endswith(SAID + "\n") and result.output.count(SAID) == 1


def test_every_command_that_writes_is_tried() -> None:
    writing = {n for n, c in cli.main.commands.items() if isinstance(c, cli._Command) and c.writes}
    assert writing == {arguments[0] for arguments in FAILING}


@pytest.mark.parametrize(
    "arguments", [("show", "2026-11-01"), ("check", "--strict"), ("week", "-x")]
)
def test_where_nothing_is_written_it_goes_without_saying(
    rz: Run, spoilt: Vault, arguments: tuple[str, ...]
) -> None:
    result = rz(*arguments)
    assert result.exit_code and SAID not in result.output


def test_outside_a_vault_it_is_said_too(
    rz: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rz("--root", str(tmp_path / "别处"), "new", "--date", "昨天")
    assert result.exit_code == 1 and "rizhi init" in result.stderr and SAID in result.stderr


def test_part_of_the_work_done_is_not_nothing(rz: Run, spoilt: Vault, snapshot: Snapshot) -> None:
    before = snapshot()
    result = rz("import", "bad.md", "good.md", "--keep-going")
    assert result.exit_code == 1 and snapshot() != before and SAID not in result.output


@pytest.mark.parametrize("fails", range(11))
def test_a_full_disk_half_way_through(
    rz: Run,
    spoilt: Vault,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    fails: int,
) -> None:
    """逐个文件写的命令，写到第几个时磁盘满了：写过的就是写过了。"""
    before, left, real = snapshot(), [fails], store._write

    def full(path: Path, data: bytes, like: Path | None) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "满了", str(path))
        real(path, data, like)

    monkeypatch.setattr(store, "_write", full)
    result = rz("export", "out")
    assert result.exit_code == 1 and "磁盘满了" in result.stderr
    assert (SAID in result.stderr) == (snapshot() == before)
    assert str(spoilt.root) not in result.stderr


@pytest.mark.parametrize("fails", range(40))
def test_a_failed_change_is_taken_back(
    rz: Run, spoilt: Vault, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    """改名动好几个文件，在哪一步失败都退回原样：那时才说没有改动。"""
    before, left, real = snapshot(), [fails], store._sync_folder

    def broken(folder: Path) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(errno.EIO, "坏了", str(folder))
        real(folder)

    monkeypatch.setattr(store, "_sync_folder", broken)
    result = rz("rename", "mask", "cache")
    if left[0] < 0 and result.exit_code:
        assert (SAID in result.stderr) == (snapshot() == before)


@pytest.mark.parametrize(
    ("arguments", "code", "untouched"),
    [
        (("new", "--edit", "--date", "2026-11-20"), "sys.exit(3)", False),
        (("new", "--edit"), "sys.exit(3)", True),
        (("new", "--edit"), "open(sys.argv[1], 'a').write('x'); sys.exit(3)", False),
    ],
    ids=["页是刚建的", "编辑器什么也没存", "编辑器存了再出错"],
)
def test_an_editor_that_fails(
    rz: Run,
    spoilt: Vault,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: str,
    untouched: bool,
) -> None:
    before = snapshot()
    monkeypatch.setenv("VISUAL", f'{sys.executable} -c "import sys; {code}"')
    result = rz(*arguments)
    assert result.exit_code == 1 and "没有正常结束" in result.stderr
    assert (SAID in result.stderr) == (snapshot() == before) == untouched


def test_recovering_what_a_killed_run_left_is_a_change(
    rz: Run, spoilt: Vault, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """这一次自己什么也没写，可是开头退回了上次做到一半的。"""

    def killed() -> None:
        monkeypatch.setattr(store, "_undisturbed", lambda entry: kill_self())
        rz("add", "思考", "二")

    wait(fork(killed))
    before = snapshot()
    result = rz("add", "没有的节", "x")
    assert "已经退回" in result.stderr and snapshot() != before
    assert result.exit_code == 1 and SAID not in result.stderr
