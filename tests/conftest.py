"""各处共用：一个空的知识库，一次严格构建。"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from rizhi import runner
from rizhi.vault import Vault, find_vault

ROOT = Path(__file__).resolve().parents[1]
settings.register_profile("rizhi", deadline=None)  # 机器忽快忽慢，时限不是结论
settings.load_profile("rizhi")

# 构建之后说出进程里有没有 torch；mkdocs 的命令会 sys.exit，所以放在 finally 里
BUILD = """
import sys
from mkdocs.__main__ import cli
try:
    cli(["build", "--strict", "-d", sys.argv[1]])
finally:
    print("torch:", "torch" in sys.modules, file=sys.stderr)
"""


@dataclass(frozen=True)
class Site:
    """一次构建：产物在哪里，日志说了什么。"""

    folder: Path
    log: str


@pytest.fixture(scope="session")
def copy_vault() -> Callable[[Path], Path]:
    """把整个知识库抄到别处去折腾。"""
    return _copy_vault


def _copy_vault(target: Path) -> Path:
    """这个知识库的一份副本：git 管着的与还没加进去的文件，忽略的不带。"""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """整个知识库的严格构建，一次测试会话只做一遍。"""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", BUILD, str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return Site(folder, run.stderr)


@pytest.fixture(scope="session")
def forkserver() -> None:
    """按真的知识库预载：空的知识库里没有 import，由它开起来，后面每个子进程都要现载 torch。"""
    runner.warm_up(ROOT)


@pytest.fixture
def vault(tmp_path: Path, forkserver: None) -> Vault:
    """一个空的知识库。"""
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi]\nday_ends = 4\n", encoding="utf-8")
    for name in ("docs/daily", "docs/notes", "snippets/outputs", "llm"):
        (tmp_path / name).mkdir(parents=True)
    return find_vault(tmp_path)
