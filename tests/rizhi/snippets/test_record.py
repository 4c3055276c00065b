"""片段：单元格的行号、指纹、记录。"""

import json
import re
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput, SnippetError
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault, find_vault, source_files

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
    (vault.root / "llm/__init__.py").write_text("from llm.model import f\n", encoding="utf-8")
    (vault.root / "llm/model.py").write_text("import llm.parts\ndef f():\n    return 1\n", "utf-8")
    (vault.root / "llm/parts.py").write_text("x = 1\n", encoding="utf-8")
    (vault.root / "llm/other.py").write_text("y = 1\n", encoding="utf-8")
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


@pytest.mark.parametrize(
    ("name", "change", "same"),
    [
        (
            "llm/model.py",
            "import llm.parts\ndef f():\n    '''文档'''\n    # 注释\n    return 1\n",
            True,
        ),
        ("llm/model.py", "import llm.parts\ndef f():\n    return 2\n", False),
        ("llm/parts.py", "x = 2\n", False),  # 间接用到
        ("llm/other.py", "y = 2\n", True),  # 没用到
        ("snippets/topic.py", SOURCE + "# 尾\n", False),
        ("snippets/topic.py", SOURCE.replace("\n", "\r\n"), True),
    ],
)
def test_key_follows_what_the_snippet_uses(
    vault: Vault, path: Path, name: str, change: str, same: bool
) -> None:
    before = records.key(vault, path)
    (vault.root / name).write_bytes(change.encode())
    assert (records.key(vault, path) == before) is same
    assert records.sources(vault, path) == ("llm/__init__.py", "llm/model.py", "llm/parts.py")


def test_a_module_that_comes_later_counts(vault: Vault, path: Path) -> None:
    (vault.root / "llm/model.py").write_text("from llm.later import x\n", "utf-8")
    before = records.sources(vault, path)
    (vault.root / "llm/later.py").write_text("x = 1\n", "utf-8")
    assert set(records.sources(vault, path)) - set(before) == {"llm/later.py"}


def test_a_package_inside_and_relative_imports_count(vault: Vault, path: Path) -> None:
    (vault.root / "llm/lab").mkdir()
    (vault.root / "llm/lab/__init__.py").write_text("from .shapes import trace\n", "utf-8")
    (vault.root / "llm/lab/shapes.py").write_text("from ..other import y\ntrace = y\n", "utf-8")
    path.write_text("# %% 一\nfrom llm.lab import trace\n", "utf-8")
    wanted = {"llm/lab/__init__.py", "llm/lab/shapes.py", "llm/other.py"}
    assert wanted <= set(records.sources(vault, path))
    before = records.key(vault, path)
    (vault.root / "llm/other.py").write_text("y = 2\n", "utf-8")
    assert records.key(vault, path) != before


def test_source_of_another_name(vault: Vault, path: Path) -> None:
    (vault.root / "llm").rename(vault.root / "tiny")
    (vault.root / "pyproject.toml").write_text('[tool.rizhi]\nsource = "tiny"\n', "utf-8")
    path.write_text("# %% 一\nimport tiny.other\n", "utf-8")
    other = find_vault(vault.root)
    assert {p.relative_to(vault.root).parts[0] for p in source_files(other)} == {"tiny"}
    assert "tiny/other.py" in records.sources(other, path) and not records.untracked(other, path)
    assert records.sources(vault, path) == ()  # 没有说是源码包的，不算
    assert "tiny/other.py" in [file for _, file in records.untracked(vault, path)]


@pytest.mark.parametrize("value", ["5", '"src/llm"', "['llm']"])
def test_source_must_name_a_package(vault: Vault, value: str) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\nsource = {value}\n", "utf-8")
    with pytest.raises(RizhiError, match="source 应是知识库里一个包文件夹的名字"):
        find_vault(vault.root)


def test_the_name_may_stand_for_no_folder_yet(vault: Vault) -> None:
    (vault.root / "pyproject.toml").write_text('[tool.rizhi]\nsource = "later"\n', "utf-8")
    assert source_files(find_vault(vault.root)) == []


def _save(vault: Vault, path: Path, outputs: tuple[CellOutput, ...]) -> Path:
    key = records.key(vault, path)
    folder = vault.outputs / path.stem
    folder.mkdir(exist_ok=True)
    for name, data in records.record_files(outputs, key, {"torch": "2.13.0"}, "2026-11-24").items():
        (folder / name).write_bytes(data)
    return folder


OUTPUTS = (CellOutput("一", "0.5\n", ("<svg>1</svg>\n", "<svg>2</svg>\n")), CellOutput("检验 二"))


def test_record_reads_back(vault: Vault, path: Path) -> None:
    folder = _save(vault, path, OUTPUTS)
    names = {p.name for p in folder.iterdir()}
    assert names == {"01-一.txt", "01-一.svg", "01-一-2.svg", "key.json"}
    record = records.read_record(vault.outputs, "topic")
    assert record and record.outputs == OUTPUTS and record.intact
    assert records.load(vault, path).state == "fresh"


def test_states(vault: Vault, path: Path) -> None:
    assert records.load(vault, path).state == "missing"
    folder = _save(vault, path, OUTPUTS)
    (folder / "01-一.txt").write_text("0.6\n", encoding="utf-8")
    assert records.load(vault, path).state == "edited"
    _save(vault, path, OUTPUTS)
    path.write_text(SOURCE + "x = 1\n", encoding="utf-8")
    assert records.load(vault, path).state == "stale"
    (folder / "key.json").write_text("{", encoding="utf-8")
    broken = records.load(vault, path)
    assert "rizhi record" in broken.error and broken.state == "" and broken.snippet


@pytest.mark.parametrize(
    "name",
    ["snippets/topic.py", "llm/model.py", "llm/later.py", "snippets/outputs/topic/01-一.txt"],
)
def test_load_is_read_again_when_any_file_changes(vault: Vault, path: Path, name: str) -> None:
    _save(vault, path, OUTPUTS)
    before = records.load(vault, path)
    assert records.load(vault, path) is before and before.state == "fresh"
    (vault.root / name).write_text("# %% 换了\n", encoding="utf-8")
    assert records.load(vault, path) is not before


def test_load_is_read_again_when_the_record_goes(vault: Vault, path: Path) -> None:
    (_save(vault, path, OUTPUTS) / "key.json").unlink()
    assert records.load(vault, path).state == "missing"


def test_load_shows_the_rest_when_one_part_is_broken(vault: Vault, path: Path) -> None:
    _save(vault, path, OUTPUTS)
    (vault.root / "llm/parts.py").write_text("x = (\n", encoding="utf-8")
    loaded = records.load(vault, path)
    assert loaded.snippet and loaded.record and loaded.state == ""
    assert loaded.error.startswith("llm/parts.py:1 语法错误")
    path.write_text("# %% 坏\nx = (\n", encoding="utf-8")
    loaded = records.load(vault, path)
    assert loaded.record and loaded.error.startswith("snippets/topic.py:2 单元格「坏」语法错误")
    with pytest.raises(SnippetError, match="语法错误"):
        _ = loaded.source


@pytest.mark.parametrize(
    "name",
    ["../../../secret.txt", "/etc/passwd.txt", "a/b.txt", "..", ".hidden.txt", "key.json", 5],
)
def test_a_record_lists_only_files_of_its_own_folder(
    vault: Vault, path: Path, name: object
) -> None:
    (vault.root / "secret.txt").write_text("秘密", encoding="utf-8")
    _save(vault, path, (CellOutput("一", "甲\n"),))
    index = vault.outputs / "topic/key.json"
    data = json.loads(index.read_text("utf-8"))
    data["cells"][0]["files"].append(name)
    index.write_text(json.dumps(data), encoding="utf-8")
    loaded = records.load(vault, path)
    assert loaded.record is None and "读不懂" in loaded.error


def test_a_record_that_is_a_link_out_of_the_vault_is_not_read(
    vault: Vault, path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside") / "x.txt"
    secret.write_text("秘密", encoding="utf-8")
    _save(vault, path, (CellOutput("一", "甲\n"),))
    (text,) = (vault.outputs / "topic").glob("*.txt")
    text.unlink()
    text.symlink_to(secret)
    loaded = records.load(vault, path)
    assert loaded.record is None and "知识库之外" in loaded.error


def test_a_figure_that_is_no_svg_is_as_good_as_lost(vault: Vault, path: Path) -> None:
    _save(vault, path, (CellOutput("一", "", ("不是图",)),))
    loaded = records.load(vault, path)
    assert loaded.record and loaded.record.outputs[0].figures == ("",)
    assert loaded.state == "edited"


def test_the_words_for_a_state_are_in_one_place() -> None:
    """各处要说的话都来自同一张表：别处没有人另写一张。"""
    root = Path(records.__file__).parents[2]
    files = [*(root / "rizhi").rglob("*.py"), root / "snippets/conftest.py"]
    said = [p.name for p in files if re.search(r"[\"']edited[\"']", p.read_text("utf-8"))]
    assert said == ["record.py"]
    assert all(word for state in ("stale", "edited", "missing") for word in _words(state))


def _words(state: str) -> tuple[str, ...]:
    words = records.STATES[state]
    return words.panel, words.box, words.check, words.test


def test_notebook_holds_source_and_output(vault: Vault, path: Path) -> None:
    import nbformat

    _save(vault, path, OUTPUTS)
    record = records.read_record(vault.outputs, "topic")
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
