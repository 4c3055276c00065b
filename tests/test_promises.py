"""README 与指南里的话是真的：别处没有测试守着的那些。"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from rizhi.snippets import cells
from rizhi.template import TEMPLATES
from rizhi.vault import find_vault, snippet_files
from tests import vaults

ROOT = vaults.ROOT
README = (ROOT / "README.md").read_text("utf-8")
SAMPLE = find_vault(vaults.SAMPLE)
MAKE = pytest.mark.skipif(
    not (shutil.which("make") and os.name == "posix"), reason="要 make 与 POSIX 的 shell"
)
SNIPPETS = pytest.mark.parametrize("path", snippet_files(SAMPLE), ids=lambda path: path.stem)


def _light(path: Path) -> bool:
    """不用 torch 的片段，几十毫秒就跑完。"""
    return not re.search(
        r"^(?:import|from) (?:torch|llm|matplotlib)", path.read_text("utf-8"), re.M
    )


def _steps(*targets: str) -> list[str]:
    """`make` 会运行哪几条，环境都已装好；去掉解释器的路径。"""
    ready = [f"-o{name}" for name in (".venv/.all", ".venv/.site", ".venv/bin/python")]
    command = [str(shutil.which("make")), "-n", *ready, "VENV=.venv", *targets]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [
        re.sub(r"^\S*/(?:python -m )?", "", line)
        for line in run.stdout.splitlines()
        if line.startswith(".venv/bin/")
    ]


@MAKE
def test_make_test_is_exactly_what_the_readme_says() -> None:
    """静态检查、测试、全部片段；严格构建是一个测试（tests/test_site.py）。"""
    assert "静态检查、测试、全部片段、严格构建" in README
    assert _steps("test") == [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "rizhi check",
        "pytest -n 2 --dist loadgroup",
    ]
    config = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'testpaths = ["tests", "snippets"]' in config


@MAKE
def test_without_make_the_same_is_run() -> None:
    (block,) = re.findall(r"```powershell\n(.*?)```", README, re.S)
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    steps = [step.strip().removeprefix("python -m ") for step in lines[-1].split(";")]
    assert steps == [step.partition(" -n ")[0] for step in _steps("test")]
    assert lines[3].removeprefix("python -m ") == _steps("serve")[-1]
    installs = re.findall(r"\.\[([\w,]+)\]", block)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert installs == re.findall(r"\.\[([\w,]+)\]", makefile)


@MAKE
@pytest.mark.parametrize(("shown", "kept"), [("Version: 9.9.9+cu", False), ("", True)])
def test_a_torch_of_ones_own_is_not_replaced(tmp_path: Path, shown: str, kept: bool) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho '{shown}'\n", encoding="utf-8")
    python.chmod(0o755)
    command = [str(shutil.which("make")), "-o", ".venv/bin/python", ".venv/constraints.txt"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    used = (tmp_path / ".venv/constraints.txt").read_text("utf-8")
    assert bool(re.search("^torch==", used, re.M)) is kept
    assert ("沿用已有的 torch 9.9.9+cu" in run.stdout) is not kept


def test_every_library_in_the_assets_has_its_licence() -> None:
    """自己写的之外的脚本，旁边都有许可证。"""
    assets = ROOT / "rizhi/site/assets"
    ours = {"rizhi.js", "web.js", "tensor-flow.js"}
    others = [path for path in assets.rglob("*.js") if path.name not in ours]
    assert others
    for path in others:
        near = (path.with_suffix(".LICENSE"), path.parent / "LICENSE")
        assert any(one.is_file() and "ermission" in one.read_text("utf-8") for one in near), path


@SNIPPETS
def test_jupyter_sees_the_same_cells(path: Path) -> None:
    """VS Code 与 Jupyter 的一格就是这里的一格：`# %%` 是 jupytext 的 percent 格式。"""
    book = jupytext.read(path, fmt="py:percent")
    theirs = [cell.source.strip() for cell in book.cells if cell.cell_type == "code"]
    parsed = cells.parse(path)
    ours = [cell.source.strip() for cell in parsed.code_cells]
    assert [one for one in theirs if one] == ours


@pytest.mark.parametrize(
    "path",
    [p for p in (*snippet_files(SAMPLE), *TEMPLATES.glob("example/snippets/*.py")) if _light(p)],
    ids=lambda path: path.stem,
)
def test_a_snippet_runs_as_an_ordinary_program(tmp_path: Path, path: Path) -> None:
    """不经 rizhi，直接用 Python 运行，从哪个文件夹都行。"""
    environment = {**os.environ, "PYTHONPATH": str(vaults.SAMPLE)}
    command = [sys.executable, str(path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
