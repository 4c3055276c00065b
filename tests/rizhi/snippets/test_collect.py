"""`pytest snippets`：任何知识库里都一样，路径里有空格与中文也一样。"""

import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

import pytest

from rizhi.snippets import collect
from rizhi.snippets.run import run
from rizhi.vault import Vault

ROOT = Path(__file__).resolve().parents[3]
GOOD = "# %% 一\nprint(1)\n# %% 检验 二\nassert 1 + 1 == 2\n"
DRAFT = "---\ntitle: 草稿\nsnippet: draft\ndraft: true\n---\n# 草稿\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """自己的知识库：没有源码包，也不在本仓库里。"""
    root = tmp_path / "我的 知识库"
    for name in ("docs/notes/python", "snippets"):
        (root / name).mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    shutil.copy(ROOT / "snippets/conftest.py", root / "snippets/conftest.py")
    (root / "snippets/good.py").write_text(GOOD, encoding="utf-8")
    return root


def _python(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True
    )
    return run.stdout + run.stderr


def _pytest(root: Path, path: str = "snippets") -> str:
    return _python(root, "pytest", "-q", "-rs", "-p", "no:cacheprovider", path)


def test_a_vault_of_ones_own_is_recorded_and_tested(own: Path) -> None:
    said = _pytest(own)
    assert "2 failed" in said and "还没有记录。" in said and "rizhi record" in said
    assert "good：更新 2 个文件" in _python(own, "rizhi", "record")
    assert "good：没有变化" in _python(own, "rizhi", "record", "good")
    assert "2 passed" in _pytest(own) and "2 passed" in _pytest(own, "snippets/good.py")
    (own / "snippets/good.py").write_text(GOOD + "# 尾\n", encoding="utf-8")
    assert "记录已过期。这一格的输出没变。" in _pytest(own)


def test_a_changed_output_is_not_said_to_be_unchanged(own: Path) -> None:
    _python(own, "rizhi", "record")
    (own / "snippets/good.py").write_text(GOOD.replace("print(1)", "print(2)"), encoding="utf-8")
    said = _pytest(own)
    assert "记录已过期" in said and "+++ 实际" in said and said.count("这一格的输出没变") == 1


def test_drafts_are_skipped_and_unreadable_snippets_named(own: Path) -> None:
    (own / "snippets/draft.py").write_text("# %% 一\n1 / 0\n", encoding="utf-8")
    (own / "snippets/good.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    (own / "docs/notes/python/draft.md").write_text(DRAFT, encoding="utf-8")
    said = _pytest(own)
    assert "snippets/good.py:2 单元格没有标题" in said and "Traceback" not in said
    (own / "snippets/good.py").unlink()
    assert "1 skipped" in (said := _pytest(own)) and "笔记还是草稿" in said
    (own / "snippets/draft.py").write_text("# %% 一\n写到一半(\n", encoding="utf-8")
    assert "1 skipped" in (said := _pytest(own)) and "error" not in said


def test_files_run_ahead_and_each_only_once(own: Path) -> None:
    for name in "abcd":
        (own / f"snippets/{name}.py").write_text(GOOD, encoding="utf-8")
    _python(own, "rizhi", "record")
    assert "10 passed" in _pytest(own)
    (own / "snippets/c.py").write_text("# %% 一\n1 / 0\n# %% 二\nx = 1\n", encoding="utf-8")
    said = _pytest(own)
    assert "2 failed, 8 passed" in said and said.count("snippets/c.py:2 单元格「一」出错") == 2


def test_a_failure_shows_what_was_printed_before_it(own: Path) -> None:
    body = "import sys\nprint('到这里')\nprint('警', file=sys.stderr)\n1 / 0\n"
    (own / "snippets/good.py").write_text(f"# %% 一\n{body}# %% 二\nx = 1\n", encoding="utf-8")
    said = _pytest(own)
    assert re.search("Captured stdout call -+\n到这里\n", said)
    assert re.search("Captured stderr call -+\n警\n", said) and said.count("Captured") == 2


def test_what_still_runs_when_the_session_ends_is_stopped(vault: Vault) -> None:
    path = vault.snippets / "topic.py"
    path.write_text("# %% 一\nwhile True:\n    pass\n", encoding="utf-8")
    pool, before = ThreadPoolExecutor(1), active_children()
    running, waiting = (pool.submit(run, vault, path) for _ in range(2))
    while not set(active_children()) - set(before):
        time.sleep(0.01)
    collect._stop(pool)
    error = running.result().error
    assert error and "没有跑完" not in error and waiting.cancelled()
