"""`pytest snippets` 抓得住：片段的输出、记录、llm 的一行，改一个字符就红，差别读得懂。"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import vaults


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """改四处，只跑一遍 `pytest snippets`；返回每个单元格的报告，通过的是空串。"""
    root = vaults.make(tmp_path_factory.mktemp("edited") / "vault")
    # 片段多一个字符
    _edit(root / "snippets/tensor_shapes.py", "view(2, 3)  #", "view(3, 2)  #")
    # 记录里一个字符
    (record,) = (root / "snippets/outputs/rope").glob("01-*.txt")
    _edit(record, "0.866", "0.966")
    # llm 的一行，与一句不改变什么的注释
    _edit(root / "llm/model.py", "(key <= query)", "(key < query)")
    _edit(root / "llm/model.py", "class RMSNorm(", "# 一句注释\nclass RMSNorm(")
    command = [sys.executable, "-m", "pytest", "-rA", "--color=no", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, "snippets"], cwd=root, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    # 「___ 标题 ___」之后是那一格的报告；末尾的摘要里 PASSED 的是通过的
    failed = dict(re.findall(r"^_{3,} (.+?) _{3,}\n(.*?)(?=^_{3,} |^=)", run.stdout, re.M | re.S))
    passed = re.findall(r"^PASSED snippets/\w+\.py::(.+)$", run.stdout, re.M)
    return failed | dict.fromkeys(passed, "")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_one_character_of_the_snippet(said: dict[str, str]) -> None:
    report = said["步长"]
    assert "-(3, 1) (1, 3)" in report and "+(2, 1) (1, 2)" in report
    assert "rizhi record" in report


def test_one_character_of_the_record(said: dict[str, str]) -> None:
    report = said["转一个角度"]
    assert "-[0.966, 0.5]" in report and "+[0.866, 0.5]" in report
    assert "被人改动过" in report


def test_one_line_of_llm(said: dict[str, str]) -> None:
    report = said["因果"]
    assert "-tensor([[1, 0, 0, 0]," in report and "+tensor([[0, 0, 0, 0]," in report


def test_what_imports_no_llm_is_untouched(said: dict[str, str]) -> None:
    assert said["两种"] == said["检验 排得对"] == ""


def test_a_comment_in_llm_changes_nothing(tmp_path: Path) -> None:
    root = vaults.make(tmp_path / "vault")
    _edit(root / "llm/model.py", "class RMSNorm(", "# 一句注释\nclass RMSNorm(")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    path = "snippets/register_buffer.py"
    run = subprocess.run([*command, path], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
