"""`pytest snippets` 抓得住：片段的输出、记录、llm 的一行，改一个字符就红，差别读得懂。"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def copy(tmp_path: Path, copy_vault) -> Path:
    return copy_vault(tmp_path)


def _verify(copy: Path, name: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"snippets/{name}"]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    return run.returncode, run.stdout


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_untouched_copy_passes(copy: Path) -> None:
    code, said = _verify(copy, "sort_vs_sorted.py")
    assert code == 0, said


def test_one_character_of_the_snippet(copy: Path) -> None:
    _edit(copy / "snippets/attention_mask.py", "attention_mask(4)  #", "attention_mask(3)  #")
    code, said = _verify(copy, "attention_mask.py")
    assert code == 1 and "-(1, 1, 4, 4)" in said and "+(1, 1, 3, 3)" in said
    assert "rizhi record" in said


def test_one_character_of_the_record(copy: Path) -> None:
    (record,) = (copy / "snippets/outputs/attention_mask").glob("01-*.txt")
    _edit(record, "(1, 1, 4, 4)", "(1, 1, 4, 5)")
    code, said = _verify(copy, "attention_mask.py")
    assert code == 1 and "-(1, 1, 4, 5)" in said and "+(1, 1, 4, 4)" in said
    assert "被人改动过" in said


def test_one_line_of_llm(copy: Path) -> None:
    _edit(copy / "llm/model.py", "(key <= query)", "(key < query)")
    code, said = _verify(copy, "attention_mask.py")
    assert code == 1 and "-tensor([[1, 0, 0, 0]," in said and "+tensor([[0, 0, 0, 0]," in said


def test_a_comment_in_llm_changes_nothing(copy: Path) -> None:
    _edit(copy / "llm/model.py", "class RMSNorm(", "# 一句注释\nclass RMSNorm(")
    code, said = _verify(copy, "sort_vs_sorted.py")
    assert code == 0, said
