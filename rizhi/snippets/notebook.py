"""片段的 .ipynb：逐格源码配上记录。"""

from functools import lru_cache
from typing import Any

from rizhi.snippets.cells import Cell, CellOutput, Snippet
from rizhi.snippets.record import Record


@lru_cache(maxsize=1024)  # 没改过的片段，每次重建都沿用
def to_notebook(snippet: Snippet, record: Record | None) -> str:
    """带输出的 .ipynb：逐格源码配上记录；同样的输入得到同样的字节。"""
    from nbformat import v4  # 半秒，只有站点与导出才用得着

    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(  # 造的时候就按格式校验
        cells=[_notebook_cell(n, cell, record) for n, cell in enumerate(snippet.cells, 1)],
        metadata={"kernelspec": python, "language_info": {"name": "python"}},
    )
    return f"{v4.writes(notebook)}\n"


def _notebook_cell(number: int, cell: Cell, record: Record | None) -> Any:
    from nbformat import v4

    name = f"cell-{number}"  # 不写就是随机的
    if cell.kind == "markdown":
        return v4.new_markdown_cell(cell.source, id=name)
    if cell.kind == "raw":
        return v4.new_raw_cell(cell.source, id=name)
    output = (record and record.output(cell.title)) or CellOutput(cell.title)
    printed = [
        v4.new_output("stream", name=channel, text=text)
        for channel, text in (("stdout", output.text), ("stderr", output.stderr))
        if text
    ]
    drawn = [v4.new_output("display_data", {"image/svg+xml": svg}) for svg in output.figures]
    source = cell.source.replace("\r\n", "\n")  # .ipynb 里的换行一律是 \n
    return v4.new_code_cell(source, id=name, outputs=[*printed, *drawn])
