"""片段的 .ipynb：源码、记录，拿到 Jupyter 里跑出同样的文字。"""

import json
from pathlib import Path

import pytest

from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.notebook import to_notebook
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


OUTPUTS = (CellOutput("一", "0.5\n", ("<svg>1</svg>\n", "<svg>2</svg>\n")), CellOutput("检验 二"))


@pytest.fixture
def path(vault: Vault) -> Path:
    found = vault.snippets / "topic.py"
    found.write_text(SOURCE, encoding="utf-8")
    return found


def test_notebook_holds_source_and_output(vault: Vault, path: Path) -> None:
    import nbformat

    record = records.Record("", OUTPUTS, intact=True)
    text = to_notebook(cells.parse(path), record)
    to_notebook.cache_clear()
    assert text == to_notebook(cells.parse(path), record)
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert [cell.cell_type for cell in book.cells] == ["markdown", "code", "code"]
    assert [cell.id for cell in book.cells] == ["cell-1", "cell-2", "cell-3"]
    kinds = [out["output_type"] for out in json.loads(text)["cells"][1]["outputs"]]
    assert kinds == ["stream", "display_data", "display_data"]


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_cells_that_are_no_code_stay_what_they_are(path: Path, kind: str) -> None:
    path.write_text(f"# %% [{kind}]\n# 一句\n", encoding="utf-8")
    (cell,) = json.loads(to_notebook(cells.parse(path), None))["cells"]
    assert (cell["cell_type"], cell["source"]) == (kind, ["一句"])
