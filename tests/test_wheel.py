"""从轮子装的：轮子里只有 rizhi，在这个仓库之外、路径里有空格与汉字，一个自己的知识库样样能用。"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """造一个轮子再解开；不联网，用这个环境里的 setuptools。"""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("装 在这里")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("rizhi", "llm"):
        shutil.copytree(ROOT / name, source / name)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", code, str(source)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture
def run(unpacked: Path, tmp_path: Path) -> Run:
    """在新的知识库里运行 `python -m …`，找得到的只有解开的轮子与外面的库。"""
    root = tmp_path / "试 用/我的 知识库"
    root.mkdir(parents=True)
    env = os.environ | {"PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}

    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        made = subprocess.run(command, cwd=root, capture_output=True, text=True, env=env)
        assert made.returncode == 0, f"{arguments}\n{made.stdout}\n{made.stderr}"
        return made.stdout + made.stderr

    return said


def test_the_wheel_holds_rizhi_alone(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir()}
    assert "rizhi" in names and {n for n in names if not n.endswith(".dist-info")} == {"rizhi"}
    committed = subprocess.run(
        ["git", "ls-files", "rizhi"], cwd=ROOT, capture_output=True, check=True
    )
    listed = committed.stdout.decode().splitlines()
    assert len(listed) > 50  # 中文的文件名 git 照引号写，下面只看写得出的
    missing = [n for n in listed if '"' not in n and not (unpacked / n).is_file()]
    assert missing == []


def test_a_vault_of_ones_own(run: Run, tmp_path: Path) -> None:
    assert "写好" in run("rizhi", "init", ".", "--example")
    assert run("rizhi", "check") == "0 个错误，0 个提醒。\n"
    run("mkdocs", "build", "--strict")
    page = tmp_path / "试 用/我的 知识库/site/notes/algorithms/monotonic-stack.html"
    text = page.read_text("utf-8")
    assert "[3, 2, 3, -1, -1]" in text and "assets/rizhi.css" in text
    assert " passed" in run("pytest", "snippets", "-p", "no:cacheprovider")
    assert "没有变化" in run("rizhi", "record")
    run("rizhi", "note", "my-note", "--title", "我的")
    run("rizhi", "rename", "my-note", "mine")
    run("rizhi", "export", "普通的 页")
    assert (tmp_path / "试 用/我的 知识库/普通的 页/mkdocs.yml").is_file()
