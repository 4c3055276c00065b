"""主人写的东西只要过三关：`rizhi check`、严格构建、`pytest snippets`；写上一个月也一样。

`rizhi check` 由 make check 运行，`pytest snippets` 与别的测试同在一次 pytest 里。
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbclient import NotebookClient

from benchmarks import peers
from rizhi import cli, vault
from rizhi.page import read_notes
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.compare import compare
from rizhi.vault import find_vault
from tests import vaults

FRESH = "written-in-the-month-test"  # 主人自己不会起的名字
BOOKS = sorted((vaults.ROOT / "docs/notebooks").glob("*.ipynb"))


def _linked(root: Path, page: Path) -> bool:
    others = (path for path in root.glob("docs/**/*.md") if path != page)
    return any(page.name in path.read_text("utf-8") for path in others)


def _python(root: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def test_the_vault_builds_strictly(tmp_path: Path) -> None:
    run = _python(vaults.ROOT, ["-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)])
    assert run.returncode == 0, run.stderr


class Owner:
    """一个主人：每天晚上在副本里敲几条命令。"""

    def __init__(self, root: Path, day: date, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.day = root, day
        monkeypatch.setattr(vault, "now", lambda: datetime.combine(self.day, time(21, 30)))

    def types(self, *arguments: str) -> str:
        run = CliRunner().invoke(cli.main, ["--root", str(self.root), *arguments])
        assert run.exit_code == 0, f"{arguments}\n{run.output}"
        return run.output

    def sleeps(self, nights: int = 1) -> None:
        self.day += timedelta(days=nights)


def test_a_month_of_an_owners_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """删掉第一天，写日子、写笔记、留草稿、给笔记改名，然后过三关。"""
    root = peers.ours(tmp_path / "vault")
    written = sorted(root.glob("docs/daily/*/????-??-??.md"))
    last = max([date.fromisoformat(path.stem) for path in written], default=date(2026, 11, 23))
    for path in written[:1]:  # 克隆来的人先删掉别人的第一天；已经有页链接到它的，就不是这样了
        if not _linked(root, path):
            path.unlink()
    owner = Owner(root, last + timedelta(days=1), monkeypatch)
    for number in range(1, 31):
        if number % 7 == 0:  # 歇一天
            owner.sleeps()
            continue
        owner.types("new", "--title", f"第 {number} 天")
        owner.types("add", "今日成果", f"写了第 {number} 段代码")
        owner.types("add", "思考", f"`view` 与 `reshape` 又想了一遍：{number}")
        owner.types("add", "明日计划", f"读第 {number}.1 节")
        if number % 3 == 2:
            owner.types("done", f"读第 {number}.1 节")
        owner.sleeps()
    owner.types("new")
    owner.types("note", FRESH, "--group", "model", "--title", "这个月新写的一篇")
    owner.types("add", "思考", f"[新的一篇](../../notes/model/{FRESH}.md)还没写完")
    slugs = sorted(note.slug for note in read_notes(find_vault(root)) if not note.draft)
    for slug in slugs[:1]:
        said = owner.types("rename", slug, f"{FRESH}-again")
        for stale in re.findall(r"记录已过期：rizhi record (\S+)", said):  # 片段里也写着它的路径
            owner.types("record", stale)
    owner.types("week")
    owner.types("check")
    for arguments in (
        ["-m", "mkdocs", "build", "--strict", "-q"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "snippets"],
    ):
        run = _python(root, arguments)
        assert run.returncode == 0, f"{arguments[-1]}\n{run.stdout}{run.stderr}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_outputs_of_notebooks_are_what_the_code_gives(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """手写的笔记本：构建时不运行，这里把每一格重跑一遍，与入库的输出比较。"""
    # 家目录里自己的 IPython 设置会改变输出；写不进去的家目录又会多出一条警告
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    committed = nbformat.read(path, as_version=4)
    nbformat.validate(committed)
    fresh = NotebookClient(nbformat.read(path, as_version=4), timeout=120).execute()
    pairs = zip(committed.cells, fresh.cells, strict=True)
    code = [(a, b) for a, b in pairs if a.cell_type == "code"]
    assert any(_text(cell) for cell, _ in code)
    for number, (old, new) in enumerate(code, 1):
        title = f"第 {number} 格"
        difference = compare(CellOutput(title, _text(old)), CellOutput(title, _text(new)))
        assert difference == "", f"{path.name} {title}：\n{difference}"


def _text(cell: nbformat.NotebookNode) -> str:
    """一格打印的文字与最后一个表达式的值。"""
    assert not [out for out in cell.outputs if out.output_type == "error"], cell.source
    parts = (out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)
    return "\n".join(parts)
