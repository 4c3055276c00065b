"""各处共用：一个空的知识库，样例知识库与它的一次严格构建；并行时哪些测试排在一起。"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from rizhi.snippets import run as runner
from rizhi.vault import Vault, find_vault
from tests import vaults

# 机器忽快忽慢，时限不是结论；EXAMPLES=10000 时每条性质多试一百倍
EXAMPLES = int(os.environ.get("EXAMPLES", 100))
settings.register_profile("rizhi", deadline=None, max_examples=EXAMPLES)
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
# 开浏览器与开服务器的排成一队：两个同时跑，在两核的机器上谁也等不到谁
TOGETHER = ("tests/browser/", "tests/rizhi/mkdocs_plugin/test_serve.py")


@dataclass(frozen=True)
class Site:
    """一次构建：从哪里来，产物在哪里，日志说了什么。"""

    root: Path
    folder: Path
    log: str


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`--dist loadgroup` 时一个文件的测试在同一个进程里，文件里共用的准备只做一遍。"""
    for item in items:
        name = item.nodeid.partition("::")[0]
        group = "browser" if name.startswith(TOGETHER) else name
        item.add_marker(pytest.mark.xdist_group(group))


def build(root: Path, target: Path) -> Site:
    """严格构建一个知识库。"""
    command = [sys.executable, "-c", BUILD, str(target)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return Site(root, target, run.stderr)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """样例知识库的严格构建，一次测试会话只做一遍。"""
    folder = tmp_path_factory.mktemp("sample")
    return build(vaults.make(folder / "vault"), folder / "site")


@pytest.fixture(scope="session")
def forkserver() -> None:
    """按真的知识库预载：空的知识库里没有 import，由它开起来，后面每个子进程都要现载 torch。"""
    runner.warm_up(find_vault(vaults.ROOT))


@pytest.fixture
def vault(tmp_path: Path, forkserver: None) -> Vault:
    """一个空的知识库。"""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.rizhi]\nday_ends = 4\nsource = "llm"\n', encoding="utf-8"
    )
    for name in ("docs/daily", "docs/notes", "snippets/outputs", "llm"):
        (tmp_path / name).mkdir(parents=True)
    return find_vault(tmp_path)
