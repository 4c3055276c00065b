"""手写的笔记本：构建时不运行，这里把每一格重跑一遍，与入库的输出比较。"""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rizhi.snippet import CellOutput, compare

ROOT = Path(__file__).resolve().parents[1]
BOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def _text(cell: Any) -> str:
    """一格打印的文字与最后一个表达式的值。"""
    assert not [out for out in cell.outputs if out.output_type == "error"], cell.source
    parts = (out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)
    return "\n".join(parts)


@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_outputs_are_what_the_code_gives(path: Path) -> None:
    committed = nbformat.read(path, as_version=4)
    nbformat.validate(committed)
    fresh = NotebookClient(nbformat.read(path, as_version=4), timeout=120).execute()
    pairs = zip(committed.cells, fresh.cells, strict=True)
    code = [(a, b) for a, b in pairs if a.cell_type == "code"]
    assert any(_text(cell) for cell, _ in code)
    for number, (old, new) in enumerate(code, 1):
        title = f"第 {number} 格"
        difference = compare(CellOutput(title, _text(old)), CellOutput(title, _text(new)))
        assert difference == "", f"{path.name} {title}：\n{difference}"
