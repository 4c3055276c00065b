"""一个自己的知识库：写下的文件马上能用，已有的不碰，例子的记录不过期。

改了例子的片段、或记录的写法之后，用 `python tests/rizhi/test_init.py` 重录，再看 git diff 对不对。
"""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from rizhi import check, cli, init
from rizhi import vault as vaults
from rizhi.errors import RizhiError
from rizhi.recall import log
from rizhi.snippets import record as records
from rizhi.snippets import run as runner
from rizhi.snippets.compare import compare
from rizhi.template import TEMPLATES
from rizhi.vault import Vault, find_vault, groups

EXAMPLE = TEMPLATES / "example/snippets"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "now", lambda: datetime(2026, 11, 23, 21, 30))


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli.main, arguments, prog_name="rizhi")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _names(root: Path) -> Iterator[str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return (p.relative_to(root).as_posix() for p in files if ".rizhi" not in p.parts)


def test_an_empty_vault_works_at_once(tmp_path: Path) -> None:
    root = tmp_path / "有 空格/我的知识库"
    made = _run("init", str(root))
    assert made.exit_code == 0 and "'" in made.output  # cd 后面的路径照 shell 的写法引起来
    assert set(_names(root)) == {".gitignore", ".gitattributes", *init.FILES}
    at = ("--root", str(root))
    assert _run(*at, "check").output == "0 个错误，0 个提醒。\n"
    assert _run(*at, "new").exit_code == 0
    assert _run(*at, "note", "rope", "--title", "旋转").exit_code == 0
    assert _run(*at, "week").exit_code == 0
    assert _run(*at, "check").exit_code == 0
    assert _run(*at, "export", str(tmp_path / "out")).exit_code == 0


def test_what_comes_next_is_not_what_the_example_has_done(tmp_path: Path) -> None:
    assert "rizhi new 写今天" in _run("init", str(tmp_path / "空的")).output
    assert "rizhi new" not in _run("init", str(tmp_path / "例子"), "--example").output


def test_the_example_keeps_every_rule(tmp_path: Path) -> None:
    assert _run("init", str(tmp_path), "--example").exit_code == 0
    assert check.check_vault(find_vault(tmp_path), date(2026, 11, 24), strict=True) == []
    assert "柱状图里最大的矩形" in _run("--root", str(tmp_path), "todo").output
    assert groups(find_vault(tmp_path)) == {"algorithms": "算法"}


def test_the_record_of_the_example_is_what_it_prints(tmp_path: Path, forkserver: None) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "snippets")
    path = tmp_path / "snippets/monotonic_stack.py"
    record = records.read_record(tmp_path / "snippets/outputs", path.stem)
    assert record and records.load(Vault(tmp_path), path).state == "fresh"
    ran = runner.run(Vault(tmp_path), path)
    assert not ran.error and ran.outputs
    assert not any(compare(record.output(out.title), out) for out in ran.outputs)


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes", "docs/index.md", "README.md"])
def test_a_file_that_exists_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("我的\n", encoding="utf-8")
    said = _run("init", str(tmp_path))
    assert said.exit_code == 1 and name in said.output and "没有改动任何文件" in said.output
    assert list(_names(tmp_path)) == [name]
    assert (tmp_path / name).read_text("utf-8") == "我的\n"


def test_two_branches_of_reviews_are_united_as_in_this_repository(tmp_path: Path) -> None:
    init.create(tmp_path, example=False)
    ours = TEMPLATES.parents[1] / ".gitattributes"
    assert (tmp_path / ".gitattributes").read_text("utf-8") == ours.read_text("utf-8")
    assert log.ATTRIBUTE in ours.read_text("utf-8").splitlines()


def test_other_files_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/mine.md").write_text("# 我的\n", encoding="utf-8")
    assert _run("init", str(tmp_path)).exit_code == 0
    assert (tmp_path / "docs/mine.md").read_text("utf-8") == "# 我的\n"


def test_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "snippets").write_text("这里是个文件\n", encoding="utf-8")
    assert _run("init", str(tmp_path)).exit_code == 1
    assert list(_names(tmp_path)) == ["snippets"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/docs").symlink_to(tmp_path / "outside")
    assert _run("init", str(tmp_path / "mine")).exit_code == 1
    assert not list((tmp_path / "outside").iterdir())


def test_it_is_taken_back_as_a_whole(tmp_path: Path) -> None:
    init.create(tmp_path, example=True)
    assert _run("--root", str(tmp_path), "undo").exit_code == 0
    assert list(_names(tmp_path)) == []
    with pytest.raises(RizhiError, match="不是知识库"):
        find_vault(tmp_path, tmp_path)


def _listed(path: Path, name: str) -> set[str]:
    """mkdocs.yml 的 `name` 之下的各项，连选项写成一行；标签不执行。"""
    root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    value = next(value for key, value in root.value if key.value == name)
    pairs = isinstance(value, yaml.MappingNode)
    nodes = [yaml.SequenceNode(value.tag, list(n)) if pairs else n for n in value.value]
    return {yaml.serialize(node, allow_unicode=True) for node in nodes}


@pytest.mark.parametrize("name", ["markdown_extensions", "validation"])
def test_pages_are_read_as_in_this_repository(name: str) -> None:
    own, ours = TEMPLATES / "vault/mkdocs.yml", TEMPLATES.parents[1] / "mkdocs.yml"
    assert _listed(own, name) <= _listed(ours, name)


def test_every_served_page_opens_in_the_editor() -> None:
    root = yaml.compose((TEMPLATES / "vault/mkdocs.yml").read_text("utf-8"), yaml.SafeLoader)
    theme = next(value for key, value in root.value if key.value == "theme")
    features = next(value for key, value in theme.value if key.value == "features")
    assert "content.action.edit" in [one.value for one in features.value]


def main() -> None:
    """重录例子的片段；它不要任何库，所以不写库的版本。"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snippets/monotonic_stack.py")
        path.parent.mkdir()
        shutil.copy(EXAMPLE / path.name, path)
        vault = Vault(Path(folder))
        run, key = runner.run(vault, path), records.key(vault, path)
    assert not run.error, run.error
    target = EXAMPLE / "outputs/monotonic_stack"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    files = records.record_files(run.outputs, key, {}, str(date.today()))
    for name, data in files.items():
        (target / name).write_bytes(data)


if __name__ == "__main__":
    main()
