"""片段的 .ipynb：源码、记录，拿到 Jupyter 里跑出同样的文字。"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets import run as runner
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.compare import compare
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault, find_vault, snippet_files

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


def test_lines_end_alike_wherever_the_file_was_saved(path: Path) -> None:
    plain = to_notebook(cells.parse(path), None)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert to_notebook(cells.parse(path), None) == plain


ROOT = Path(__file__).parents[3]
FILES = [path for root in (ROOT, ROOT / "tests/sample") for path in snippet_files(find_vault(root))]


@pytest.fixture
def quiet_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """内核不看这台机器上自己的设定；源码包由工作目录找到，.venv 里的 .pth 也许指着另一份。"""
    monkeypatch.setenv("PYTHONPATH", "")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def _printed(cell: Any) -> str:
    """Jupyter 里一格打印与显示的文字。"""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        if output.output_type == "execute_result" and "image/png" not in output.data:
            parts.append(output.data["text/plain"] + "\n")
    return "".join(parts)


def _differences(root: Path, snippet: cells.Snippet, outputs: tuple[CellOutput, ...]) -> str:
    """把 .ipynb 交给 Jupyter 的内核跑一遍，文字与 `outputs` 差在哪里。"""
    book = nbformat.reads(to_notebook(snippet, None), as_version=4)
    resources = {"metadata": {"path": str(root)}}
    NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    ran = [_printed(cell) for cell in book.cells if cell.cell_type == "code"]
    got = [replace(out, text=text) for out, text in zip(outputs, ran, strict=True)]
    pairs = zip(outputs, got, strict=True)
    return "\n".join(filter(None, (compare(one, other) for one, other in pairs)))


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_kernel")
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_jupyter_prints_what_the_record_holds(path: Path) -> None:
    vault = find_vault(path.parent)
    loaded = records.load(vault, path)
    assert loaded.record
    assert _differences(vault.root, loaded.source, loaded.record.outputs) == ""


BARE = """# %% 一
[list(range(40)), {"a": (1, 2)}]
# %% 二
print(_[1])
_;
# %% 三
class A:
    def __repr__(self):
        return "甲\\n乙"
{"k": A(), 1: A}
# %% 四
None
# %% 五
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
fig
# %% 六
# ls 与 tuple 不同
__name__
"""


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_kernel")
@pytest.mark.parametrize("source", ["裸的表达式", "magic_words.py"])
def test_jupyter_prints_what_the_runner_prints(vault: Vault, source: str) -> None:
    path = vault.snippets / "other.py"
    path.write_text(BARE, "utf-8")
    if source.endswith(".py"):
        shutil.copy(Path(__file__).parents[1] / "cases/snippets" / source, path)
    run = runner.run(vault, path)
    assert not run.error, run.error
    assert _differences(vault.root, cells.parse(path), run.outputs) == ""
