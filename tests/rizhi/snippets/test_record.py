"""片段：单元格的行号、指纹、记录。"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rizhi.check import check_vault
from rizhi.errors import RizhiError
from rizhi.site import expand
from rizhi.snippets import fence, recording
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput, SnippetError
from rizhi.snippets.collect import compare_with_record
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault, find_vault, source_files
from tests import vaults

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


RUN = '{"command": "python -m llm.train"}\n{"step": 1, "loss": 2.5}\n'


@pytest.mark.parametrize(
    ("named", "counts"),
    [
        ('"runs/curve.jsonl"', True),
        ("'snippets/runs/curve.jsonl'", True),
        ('"runs" "/curve.jsonl"', True),  # 还是一个字符串
        ('"见 runs/curve.jsonl"', False),
        ('"runs/other.jsonl"', False),
        ('"runs/../curve.jsonl"', False),
        ('"curve.jsonl"  # runs/curve.jsonl', False),
    ],
)
def test_a_run_that_the_snippet_names_counts(
    vault: Vault, path: Path, named: str, counts: bool
) -> None:
    path.write_text(f"# %% 一\nfrom pathlib import Path\nfile = {named}\n", "utf-8")
    run = vault.snippets / "runs/curve.jsonl"
    run.parent.mkdir()
    run.write_text(RUN, "utf-8")
    before, loaded = records.key(vault, path), records.load(vault, path)
    run.write_text(RUN.replace("2.5", "2.75"), "utf-8")
    assert (records.key(vault, path) != before) is counts
    assert (records.load(vault, path).key != loaded.key) is counts
    run.unlink()
    assert (records.key(vault, path) != before) is counts


@pytest.mark.parametrize(
    "name",
    [
        "snippets/topic.py",
        "llm/model.py",
        "llm/later.py",
        "snippets/outputs/topic/01-一.txt",
        "snippets/runs/curve.jsonl",
    ],
)
def test_load_is_read_again_when_any_file_changes(vault: Vault, path: Path, name: str) -> None:
    _save(vault, path, OUTPUTS)
    before = records.load(vault, path)
    assert records.load(vault, path) is before and before.state == "fresh"
    (vault.root / name).parent.mkdir(exist_ok=True)
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


SAMPLE = vaults.SAMPLE / "snippets/outputs/attention_mask"
DAY = date(2026, 11, 23)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _mangle(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xff")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.fixture
def sample(tmp_path: Path) -> Vault:
    """样例知识库，一条毛病也没有。"""
    found = find_vault(vaults.make(tmp_path, DAY))
    assert not [problem for problem in check_vault(found, DAY) if problem.level == "error"]
    return found


@pytest.mark.parametrize("draft", [False, True], ids=["finished", "draft"])
@pytest.mark.parametrize("damage", [_cut_short, _mangle, _folder, _dangle, _empty, Path.unlink])
@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLE.iterdir()))
def test_no_damage_to_a_record_goes_unsaid(
    sample: Vault, name: str, damage: Callable[[Path], None], draft: bool
) -> None:
    path = sample.snippets / "attention_mask.py"
    good = records.load(sample, path).record
    folder = sample.outputs / "attention_mask"
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    note = sample.notes / "attention/attention-mask.md"
    if draft:
        note.write_text(note.read_text("utf-8").replace("---\n", "---\ndraft: true\n", 1), "utf-8")
    damage(folder / name)
    loaded = records.load(sample, path)
    gone = name == "key.json" and not (folder / name).exists() and damage is Path.unlink
    said = [p for p in check_vault(sample, DAY) if p.rule == "R402"]
    assert len(said) == (0 if gone and draft else 1), said  # 草稿可以还没有记录
    for problem in said:
        assert problem.level == "error" and "rizhi record attention-mask" in problem.remedy
        assert problem.path == path if gone else problem.path.parent == folder
        assert "移走它" in problem.remedy if damage is _folder else "移走" not in problem.remedy
    assert good and all(compare_with_record(loaded, output) for output in good.outputs)
    assert "rizhi record attention-mask" in fence.trouble_of(loaded)
    shown = fence.fences(fence.Context(sample))["snippet"]("attention_mask")
    assert "rz-trouble" in shown and "def " not in loaded.error
    uri = "notes/attention/attention-mask.md"
    assert "rizhi record" in expand.page(sample, uri, note.read_text("utf-8"))
    assert to_notebook(loaded.source, loaded.record)
    healed = recording._written(folder, files)  # 再录一次就好了；文件夹要先移走
    if damage is _folder:
        assert isinstance(healed, OSError)
    else:
        assert healed == 1 and records.load(sample, path).state == "fresh"


def test_the_build_and_pytest_name_every_damaged_record(sample: Vault) -> None:
    damages: list[Callable[[Path], None]]
    damages = [_cut_short, _mangle, _folder, _dangle, _empty, Path.unlink]
    drafts = {"tensor_flow"}  # pytest 跳过草稿
    modules = sorted({folder.name for folder in sample.outputs.iterdir()} - drafts)
    for number, (module, damage) in enumerate(zip(modules, damages, strict=True)):
        names = sorted((sample.outputs / module).iterdir(), reverse=bool(number % 2))
        damage(names[0])
    for command in (("mkdocs", "build", "-d", "site"), ("pytest", "-q", "snippets")):
        ran = subprocess.run(
            [sys.executable, "-m", *command], cwd=sample.root, capture_output=True, text=True
        )
        said = ran.stdout + ran.stderr
        assert "Traceback" not in said and "INTERNALERROR" not in said, said
        assert ran.returncode == (command[0] == "pytest"), said
        lacking = [m for m in modules if f"rizhi record {m.replace('_', '-')}" not in said]
        # 还没有记录、被改动过的，pytest 的话里不带名字，单元格的名字说出是哪个文件
        assert not [m for m in lacking if f"snippets/{m}.py" not in said], said


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        "[" * 100_000,
        '{"cells": []}',
        '{"cells": 5, "digest": "", "key": ""}',
        '{"cells": [{"title": "一", "files": 5}], "digest": "", "key": ""}',
        '{"cells": [{"title": "一", "files": ["\\ud800.txt"]}], "digest": "", "key": ""}',
    ],
)
def test_an_index_of_another_shape_is_named(vault: Vault, path: Path, text: str) -> None:
    index = _save(vault, path, OUTPUTS) / "key.json"
    index.write_text(text, "utf-8")
    loaded = records.load(vault, path)
    assert loaded.error.startswith("snippets/outputs/topic/key.json 读不懂")
    assert loaded.error.endswith("运行 rizhi record topic 重新记录。")


@pytest.mark.parametrize(
    "change",
    [
        {"recorded": "<b>昨天</b>"},
        {"recorded": 5},
        {"recorded": "\ud800"},
        {"cells": [], "digest": records._digest({})},
        {"digest": None},
    ],
)
def test_an_index_that_was_changed_is_not_trusted(
    vault: Vault, path: Path, change: dict[str, object]
) -> None:
    index = _save(vault, path, OUTPUTS) / "key.json"
    index.write_text(json.dumps(json.loads(index.read_text("utf-8")) | change), "utf-8")
    loaded = records.load(vault, path)
    assert loaded.error or loaded.altered


def test_a_record_without_its_snippet_is_named(sample: Vault) -> None:
    shutil.copytree(sample.outputs / "rope", sample.outputs / "rotary")
    (sample.outputs / "empty").mkdir()
    (problem,) = [p for p in check_vault(sample, DAY) if p.rule == "R402"]
    assert problem.path == sample.outputs / "rotary"
    assert "没有片段 snippets/rotary.py" in problem.message


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
