"""单元格：从哪一行起、叫什么、源码与文件一字不差。"""

from pathlib import Path

import pytest

from rizhi.snippets import cells
from rizhi.snippets.cells import SnippetError
from rizhi.vault import Vault

SOURCE = '''# %% [markdown]
# # 标题

# %% 一
import llm.model

text = """
# %% 假的
"""
# %% 检验 二

assert text
'''


@pytest.fixture
def path(vault: Vault) -> Path:
    found = vault.snippets / "topic.py"
    found.write_text(SOURCE, encoding="utf-8")
    return found


def test_cells_carry_true_lines(path: Path) -> None:
    found = cells.parse(path).cells
    assert [(c.title, c.kind, c.line) for c in found] == [
        ("", "markdown", 2),
        ("一", "code", 5),
        ("检验 二", "code", 12),
    ]
    lines = SOURCE.splitlines()
    assert all(lines[c.line - 1] == c.source.splitlines()[0] for c in found if c.kind == "code")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# %% 坏\nx = (\n", r"topic.py:2 单元格「坏」语法错误"),
        ("# %%\nx = 1\n", r"topic.py:2 单元格没有标题"),
        ("# %% a\nx = 1\n# %% a\ny = 1\n", r"topic.py:4 单元格「a」重名"),
    ],
)
def test_bad_cells_name_their_line(path: Path, source: str, message: str) -> None:
    path.write_text(source, encoding="utf-8")
    with pytest.raises(SnippetError, match=message):
        cells.parse(path)


def test_unknown_cell_lists_what_exists(path: Path) -> None:
    with pytest.raises(SnippetError, match="没有单元格「三」；现有：一、检验 二"):
        cells.parse(path).cell("三")
