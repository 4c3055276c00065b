"""代码库的约定：谁可以导入谁、规则与检查成对、用词一致、README 的目录树与磁盘相符。"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rizhi import check

ROOT = Path(__file__).resolve().parents[1]
PURE = ("links", *(f"journal/{name}" for name in ("carry", "day", "edit", "todo")))
# 谁可以导入谁：一行可以导入上面各行与不依赖别人的几室（errors、dates、zh、store、htmlpolicy）
_LEAVES = ("errors", "dates", "zh", "store", "htmlpolicy")
_ROWS = (
    ("markdown",),
    ("vault",),
    ("frontmatter", "entries"),
    ("page", "template"),
    ("dangers",),
    ("links",),
    ("snippets",),
    ("deadlinks",),
    ("journal", "notes"),
    ("recall", "corpus"),
    ("check",),
    ("site",),
    ("mkdocs_plugin",),
)
_ABOVE = {
    room: (*_LEAVES, *(name for above in _ROWS[:at] for name in above))
    for at, row in enumerate(_ROWS)
    for room in row
}
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "dates": (),
    "zh": ("errors",),
    "store": ("errors",),
    "htmlpolicy": (),
    **_ABOVE,
    "markdown": ("errors",),
    "vault": ("errors", "dates"),
    **dict.fromkeys(("cli", "output", "init"), (*_ABOVE, *_LEAVES, "cli", "output", "init")),
}
OWNED = ("docs/daily/", "docs/weekly/", "docs/notes/", "docs/notebooks/", "snippets/outputs/")


# 左边的旧词不再写；别名照读者会搜的词写，不在此列
WORDS = {
    "缺省": "默认",
    "取样": "采样",
    "内宽": "中间维度",
    "中间宽度": "中间维度",
    "前根": "前序",
    "类型标注": "类型提示",
    "类型注解": "类型提示",
    "词符": "词元",
}
WORDED = (
    *("rizhi", "tests", "benchmarks", "llm", "docs/guide", "docs/reference", "docs/index.md"),
    *("docs/notes", *sorted(f"snippets/{path.name}" for path in (ROOT / "snippets").glob("*.py"))),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml", "pyproject.toml"),
)


def _imported(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "rizhi" if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        # `from rizhi import store` 与 `import rizhi.store` 是一回事。
        yield from (f"{module}.{alias.name}" for alias in node.names)


def imports(path: Path, *, lazy: bool = True) -> set[str]:
    """一个文件导入的全部名字；`lazy=False` 只看导入时就会执行的那些。"""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if lazy else tree.body
    return {name for node in nodes if isinstance(node, ast.stmt) for name in _imported(node)}


def outside(path: Path, *, lazy: bool = True) -> set[str]:
    """导入的顶层包，标准库除外。"""
    return {n.split(".")[0] for n in imports(path, lazy=lazy)} - set(sys.stdlib_module_names)


def package(name: str) -> list[Path]:
    """一个包里的全部模块。"""
    return sorted((ROOT / name).rglob("*.py"))


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", package("llm"), ids=_id)
def test_llm_imports_nothing_of_ours(path: Path) -> None:
    wanted = {"llm", "torch", "transformers", "safetensors", "tokenizers", "tqdm"}
    assert outside(path) <= wanted


def test_llm_has_no_circle() -> None:
    """只为标注的 import、写在函数里的 import 也算：有环，就没有一个文件能先读懂。"""
    modules = {_module(path): path for path in package("llm")}
    needs = {
        name: {_module_in(modules, wanted) for wanted in imports(path)} - {None, name}
        for name, path in modules.items()
    }
    assert needs["llm.model"] and needs["llm.lab.flow"]
    TopologicalSorter(needs).prepare()  # 有环就抛 CycleError，写明是哪几个


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _module_in(modules: Mapping[str, Path], name: str) -> str | None:
    """`llm.model.RMSNorm` 在哪个模块里；不是这里的返回 None。"""
    return next((n for n in (name, name.rpartition(".")[0]) if n in modules), None)


def _room(module: str) -> str:
    """`rizhi.journal.day` 属于哪一个：`journal`；包自己（`rizhi`）是空的。"""
    return module.split(".")[1] if "." in module else ""


def _modules_of_ours(path: Path) -> set[str]:
    """一个文件导入的我们的模块，写在函数里、TYPE_CHECKING 里的也算。"""
    known = {_module(module) for module in package("rizhi")}
    # `from rizhi.journal import todo` 说的是模块，`from rizhi.errors import RizhiError` 说的是名字
    return {name if name in known else name.rpartition(".")[0] for name in _ours(path)} - {"rizhi"}


def _ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "rizhi"}


@pytest.mark.parametrize("path", package("rizhi"), ids=_id)
def test_a_room_imports_only_what_its_row_allows(path: Path) -> None:
    own = _room(_module(path))
    if own in ("", "__main__", "templates"):
        return
    used = {_room(module) for module in _modules_of_ours(path)} - {own}
    assert used <= set(MAY_IMPORT[own])


def test_every_room_on_the_list_exists_and_no_other() -> None:
    found = {_room(_module(path)) for path in package("rizhi")}
    assert found - {"", "__main__", "templates"} == set(MAY_IMPORT)


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {_module(path): _modules_of_ours(path) for path in package("rizhi")}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", package("rizhi"), ids=_id)
def test_rizhi_keeps_heavy_things_out(path: Path) -> None:
    assert not outside(path, lazy=False) & {"torch", "transformers", "llm", "matplotlib"}
    if path.parent.name != "mkdocs_plugin":
        assert "mkdocs" not in outside(path)


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_not_write_or_print(name: str) -> None:
    ours = {n.split(".")[1] for n in imports(ROOT / f"rizhi/{name}.py") if n.startswith("rizhi.")}
    assert not ours & {"store", "cli", "snippet", "fence", "site", "check"}
    calls = [
        n.func
        for n in ast.walk(ast.parse((ROOT / f"rizhi/{name}.py").read_text("utf-8")))
        if isinstance(n, ast.Call)
    ]
    names = {f.id for f in calls if isinstance(f, ast.Name)}
    assert not names & {"print", "open"}


def test_store_imports_only_errors() -> None:
    ours = {name for name in imports(ROOT / "rizhi/store.py") if name.startswith("rizhi")}
    assert ours == {"rizhi.errors.name_in"}


def test_command_line_starts_light() -> None:
    heavy = "{'torch', 'transformers', 'mkdocs', 'jupytext', 'nbformat', 'matplotlib', 'jieba'}"
    code = f"import sys, rizhi.cli; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_ruff_leaves_snippets_to_the_learner() -> None:
    """片段怎么写是学习者的事；其余的每个文件，ruff 都看。"""
    listed = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = {Path(line).relative_to(ROOT).as_posix() for line in listed.stdout.splitlines()}
    ours = {_id(path) for name in ("rizhi", "llm", "tests", "benchmarks") for path in package(name)}
    assert {name for name in ours if not name.startswith("tests/sample/")} <= seen
    assert {name for name in seen if name.startswith("snippets/")} == {"snippets/conftest.py"}


def test_terms_are_the_ones_engineers_use() -> None:
    kinds = {".py", ".md", ".css", ".js", ".yml", ".toml"}
    places = [ROOT / name for name in WORDED]
    listed = (p for place in places for p in (place, *place.rglob("*")))
    files = [p for p in listed if p.suffix in kinds and p.is_file()]
    assert len(files) > 200  # 真的看了这些文件
    found = [
        f"{_id(path)}：{old} → {new}"
        for path in files
        if path != Path(__file__)
        for old, new in WORDS.items()
        if old in re.sub("^aliases:.*", "", path.read_text("utf-8", errors="replace"), flags=re.M)
    ]
    assert found == []


def test_every_rule_in_the_guide_has_a_check() -> None:
    guide = (ROOT / "docs/guide/conventions.md").read_text("utf-8")
    assert set(re.findall(r"^#{2,4} (R\d+)\b", guide, re.M)) == set(check.RULES)


def test_readme_tree_is_the_tree() -> None:
    block = (ROOT / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    paths, parents = set(), [""]
    for line in filter(None, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth + 1 :] = [parents[depth] + name]
        paths.add(parents[depth] + name)
    # 主人写的可以一页都没有；顶层多出来的也许是他的文件，与工具无关
    real = [p for p in paths if "<" not in p and not p.startswith(OWNED)]
    assert real and not [p for p in real if not (ROOT / p).exists()]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= {p.split("/")[0] for p in paths}


def test_readme_links_resolve() -> None:
    prose = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text("utf-8"), flags=re.S)
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", prose)
    assert targets and [t for t in targets if not (ROOT / t).exists()] == []


def test_contributing_lists_every_room_and_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = re.findall(r"^\| `rizhi/(\w+)(?:\.py|/)` \|", text, re.M)
    assert len(rooms) == len(set(rooms)) and set(rooms) == set(MAY_IMPORT)
    named = re.findall(r"`((?:rizhi|tests|docs)/[\w./]+)`|\]\(([^)#]+)\)", text)
    paths = {one or other for one, other in named}
    assert paths and [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def _workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text("utf-8"))


def test_the_workflow_tests_every_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    accepted = SpecifierSet(project["requires-python"])
    tested = _workflow("test")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tested == [f"3.{minor}" for minor in range(30) if f"3.{minor}.99" in accepted]


def test_the_diary_is_published_only_when_someone_asks() -> None:
    pages = _workflow("pages")
    (trigger,) = pages[True].items()  # YAML 1.1 把 on 读成真
    assert trigger[0] == "workflow_dispatch"
    assert trigger[1]["inputs"]["with_diary"]["default"] is False
    steps = pages["jobs"]["publish"]["steps"]
    (building,) = [step for step in steps if step.get("run") == "make site"]
    assert building["env"] == {"DIARY": "${{ inputs.with_diary }}"}


def _needs(name: str, extras: frozenset[str], seen: set[str]) -> set[str]:
    """装一个包会连带装上的全部包；按已装的元数据算，不联网。"""
    for line in metadata.requires(name) or ():
        need = Requirement(line)
        markers = [{"extra": extra} for extra in extras or {""}]
        if need.marker and not any(need.marker.evaluate(marker) for marker in markers):
            continue
        if canonicalize_name(need.name) not in seen:
            seen.add(canonicalize_name(need.name))
            _needs(need.name, frozenset(need.extras), seen)
    return seen


def test_browsing_installs_no_torch() -> None:
    light = _needs("rizhi", frozenset({"site"}), set())
    assert {"mkdocs-material", "mkdocs-jupyter", "mkdocstrings-python", "jieba"} <= light
    assert not light & {"torch", "transformers", "matplotlib", "numpy", "jupyter-server"}
    assert "torch" in _needs("rizhi", frozenset({"llm"}), set())


@pytest.mark.skipif(sys.platform != "linux", reason="constraints.txt 记的是 Linux 上装的那些包")
def test_every_installed_package_has_an_exact_version() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(p.split("==")[0]) for p in pins if "==" in p}
    extras = frozenset({"site", "llm", "test", "bench", "anki"})
    assert _needs("rizhi", extras, set()) - pinned == set()
