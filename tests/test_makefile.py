"""Makefile 挑 Python：PATH 上放几个假的解释器，各报各的版本。"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
# 报一个假的版本；建虚拟环境只放下自己的一份拷贝；pip 一叫就记下来
FAKE = """#!{python} -S
import os, shutil, sys
sys.version_info = ({major}, {minor}, 0, "final", 0)
match sys.argv[1:]:
    case ["-c", code]: exec(code)
    case ["-V"]: print("Python {major}.{minor}.0")
    case ["-m", "venv", folder]:
        os.makedirs(folder + "/bin")
        os.makedirs(folder + "/lib/python3.{minor}/site-packages")
        shutil.copy(__file__, folder + "/bin/python")
        sys.exit({venv})
    case ["-m", "pip", "show", *_]: sys.exit(1)
    case ["-m", "pip", "install", *_]: open("installed", "w").close()
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("make") and os.name == "posix"), reason="要 make 与 POSIX 的 shell"
)


def fake(folder: Path, name: str, minor: int, venv: int = 0) -> Path:
    """名叫 `name`、自称 3.`minor` 的解释器；建虚拟环境时以 `venv` 为退出码。"""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        FAKE.format(python=sys.executable, major=3, minor=minor, venv=venv), encoding="utf-8"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """只有 Makefile 要读的几个文件；bin 里只有 shell 的工具，没有真的 Python。"""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("cp", "grep", "rm", "sed", "sh", "touch"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(shutil.which("make")), *arguments],
        cwd=project,
        env={"PATH": str(project / "bin"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("minor", range(10, 16))
def test_the_same_versions_as_pip_accepts(project: Path, minor: int) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    fine = f"3.{minor}.0" in SpecifierSet(wanted["requires-python"])
    fake(project / "bin", "python3", minor)
    run = make(project, ".venv/bin/python")
    assert (run.returncode == 0) is fine, run.stdout
    assert (project / ".venv").exists() is fine
    if not fine:
        assert f"python3 的版本：Python 3.{minor}.0。" in run.stdout
        assert "3.11（3.11.5 起）、3.12 或 3.13" in run.stdout and "make PYTHON=" in run.stdout
        assert "没有改动任何文件" in run.stdout


def test_another_python_on_the_path_is_taken(project: Path) -> None:
    fake(project / "bin", "python3", 14)
    fake(project / "bin", "python3.12", 12)
    run = make(project, ".venv/bin/python")
    assert run.returncode == 0 and "用 python3.12 新建" in run.stdout, run.stdout + run.stderr


def test_the_python_that_is_named_is_not_swapped(project: Path) -> None:
    fake(project / "bin", "python3", 12)
    other = fake(project / "elsewhere", "python3.14", 14)
    run = make(project, f"PYTHON={other}", ".venv/bin/python")
    assert run.returncode != 0 and f"{other} 的版本：Python 3.14.0。" in run.stdout


def test_no_python_at_all(project: Path) -> None:
    run = make(project, ".venv/bin/python")
    assert run.returncode != 0 and "python3 的版本：找不到。" in run.stdout


def test_an_old_environment_of_a_newer_python_is_named(project: Path) -> None:
    fake(project / ".venv/bin", "python", 14)
    run = make(project, ".venv/.site")
    assert run.returncode != 0 and ".venv 里是 Python 3.14.0。" in run.stdout
    assert not (project / "installed").exists()


def test_half_an_environment_is_made_again(project: Path) -> None:
    fake(project / "bin", "python3", 12, venv=1)  # 例如 Debian 上没有 python3-venv
    assert make(project, ".venv/bin/python").returncode != 0
    assert not (project / ".venv/bin/python").exists()


def test_installing_happens_once(project: Path) -> None:
    fake(project / "bin", "python3", 13)
    first = make(project, ".venv/.site")
    assert first.returncode == 0 and (project / "installed").exists(), first.stdout + first.stderr
    assert "is up to date" in make(project, ".venv/.site").stdout


def test_llm_is_importable_from_any_folder(project: Path) -> None:
    fake(project / "bin", "python3", 12)
    for target in (".venv/.site", ".venv/.all"):
        assert make(project, target).returncode == 0
        (listed,) = project.glob(".venv/lib/*/site-packages/*.pth")
        assert listed.read_text("utf-8") == f"{project}\n"
        listed.unlink()
