"""README 与指南里的话是真的：别处没有测试守着的那些。"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest

from rizhi import check, init
from rizhi.journal import dialects, lookback, pictures
from rizhi.mkdocs_plugin import live, pages, server
from rizhi.site import panels
from rizhi.template import TEMPLATES
from rizhi.vault import Vault, find_vault, snippet_files
from tests import vaults

ROOT = vaults.ROOT
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs/guide").glob("*.md")}
SAMPLE = find_vault(vaults.SAMPLE)
MAKE = pytest.mark.skipif(
    not (shutil.which("make") and os.name == "posix"), reason="要 make 与 POSIX 的 shell"
)


def _light(path: Path) -> bool:
    """不用 torch 的片段，几十毫秒就跑完。"""
    return not re.search(
        r"^(?:import|from) (?:torch|llm|matplotlib)", path.read_text("utf-8"), re.M
    )


def _steps(*targets: str) -> list[str]:
    """`make` 会运行哪几条，环境都已装好；去掉解释器的路径。"""
    ready = [f"-o{name}" for name in (".venv/.all", ".venv/.site", ".venv/bin/python")]
    command = [str(shutil.which("make")), "-n", *ready, "VENV=.venv", *targets]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [
        re.sub(r"^\S*/(?:python -m )?", "", line)
        for line in run.stdout.splitlines()
        if line.startswith(".venv/bin/")
    ]


@MAKE
def test_make_test_is_exactly_what_the_readme_says() -> None:
    """静态检查、测试、全部片段；严格构建是一个测试（tests/test_site.py）。"""
    assert "静态检查、测试、全部片段、严格构建" in README
    assert _steps("test") == [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "rizhi check",
        "pytest -n 2 --dist loadgroup",
    ]
    config = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'testpaths = ["tests", "snippets"]' in config
    assert "-m 'not slow'" in config and _steps("slow")[-1].endswith("-m slow")


@MAKE
def test_without_make_the_same_is_run() -> None:
    (block,) = re.findall(r"```powershell\n(.*?)```", README, re.S)
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    steps = [step.strip().removeprefix("python -m ") for step in lines[-1].split(";")]
    assert steps == [step.partition(" -n ")[0] for step in _steps("test")]
    assert lines[3].removeprefix("python -m ") == _steps("serve")[-1]
    installs = re.findall(r"\.\[([\w,]+)\]", block)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert installs == re.findall(r"\.\[([\w,]+)\]", makefile)


@MAKE
@pytest.mark.parametrize(("shown", "kept"), [("Version: 9.9.9+cu", False), ("", True)])
def test_a_torch_of_ones_own_is_not_replaced(tmp_path: Path, shown: str, kept: bool) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho '{shown}'\n", encoding="utf-8")
    python.chmod(0o755)
    command = [str(shutil.which("make")), "-o", ".venv/bin/python", ".venv/constraints.txt"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    used = (tmp_path / ".venv/constraints.txt").read_text("utf-8")
    assert bool(re.search("^torch==", used, re.M)) is kept
    assert ("沿用已有的 torch 9.9.9+cu" in run.stdout) is not kept


def test_every_library_in_the_assets_has_its_licence() -> None:
    """自己写的之外的脚本，旁边都有许可证。"""
    assets = ROOT / "rizhi/site/assets"
    ours = {"rizhi.js", "web.js", "flow"}
    others = [p for p in assets.rglob("*.js") if not {p.name, p.parent.name} & ours]
    assert others
    for path in others:
        near = (path.with_suffix(".LICENSE"), path.parent / "LICENSE")
        assert any(one.is_file() and "ermission" in one.read_text("utf-8") for one in near), path


@pytest.mark.parametrize(
    "path",
    [p for p in (*snippet_files(SAMPLE), *TEMPLATES.glob("example/snippets/*.py")) if _light(p)],
    ids=lambda path: path.stem,
)
def test_a_snippet_runs_as_an_ordinary_program(tmp_path: Path, path: Path) -> None:
    """不经 rizhi，直接用 Python 运行，从哪个文件夹都行。"""
    environment = {**os.environ, "PYTHONPATH": str(vaults.SAMPLE)}
    command = [sys.executable, str(path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_readme_lists_exactly_the_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (listed,) = re.findall(r"^Makefile +(.+)$", README, re.M)
    (targets,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    assert listed.split(" · ") == targets.split()
    assert "index" not in re.sub("index.html", "", makefile)  # pip 的索引配置照用户的来


def test_the_pictures_of_the_readme_are_all_there_are() -> None:
    shown = re.findall(r"\]\((docs/guide/img/[^)]+)\)", README)
    made = (ROOT / "docs/guide/img").glob("*.png")
    assert sorted(shown) == sorted(path.relative_to(ROOT).as_posix() for path in made)


def test_publishing_says_whether_the_diary_is_in() -> None:
    text = (ROOT / ".github/workflows/pages.yml").read_text("utf-8")
    said = re.findall(r'echo "本次发布(不含|包含).*GITHUB_STEP_SUMMARY', text)
    assert said == ["不含", "包含"]


def test_undo_is_said_of_every_command_that_it_takes_back() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "rizhi").rglob("*.py"))
    logged = r"store\.(?:change|append)\(\s*vault\.root,\s*f?(\"[^\n]*?\"),"
    written = set(re.findall(r'"([a-z]+(?: --walk)?)', " ".join(re.findall(logged, sources))))
    written |= {"done", "drop"}  # 写成一个条件式
    (named,) = re.findall(r"退回最近一条命令（(.*?)）", GUIDE["commands"], re.S)
    assert set(re.findall(r"`([^`]+)`", named)) == written


def test_the_editor_is_the_one_in_the_settings() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", GUIDE["site"], re.S)
    settings = tomllib.loads(block)["tool"]["rizhi"]
    assert pages.edit_url(Vault(Path("/v")), "/v/日.md") == "vscode://file/v/%E6%97%A5.md"
    mine = pages.edit_url(Vault(Path("/v"), settings), "/v/docs/a b.md")
    assert mine == "pycharm://open?file=/v/docs/a%20b.md"


def test_the_numbers_in_the_guide_are_those_of_the_code() -> None:
    assert f"之前 {'、'.join(map(str, lookback.DISTANCES))} 天写过什么" in GUIDE["site"]
    assert (panels.FIRST, panels.LATEST, panels.FOLDED) == (3, 5, 100)
    assert "最早三天与最近五天" in GUIDE["site"] and "上百天的另有一页" in GUIDE["site"]
    assert f"不超过 {live.MAX_BYTES >> 10} KB 的 JSON" in GUIDE["site"]
    assert f"{server.SECONDS:.0f} 秒之内送完" in GUIDE["site"]
    assert f"至多 {pictures.MAX_IMAGE >> 20} MiB" in GUIDE["import"]
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    (engine,) = re.findall(r"zensical==\S+", GUIDE["engine"])
    assert engine in pins and engine.replace("zensical==", "Zensical ") in GUIDE["engine"]


def test_the_kinds_of_import_are_all_in_its_table() -> None:
    table = GUIDE["import"].split("| `--fix` 后面写 |")[1].split("\n\n")[0]
    kinds = re.findall(r"^\| (\S+) \|", table, re.M)
    assert [kind for kind in kinds if kind != "---"] == list(dialects.KINDS)


def test_the_headings_in_the_guide_are_those_of_the_template() -> None:
    template = (TEMPLATES / "note.md").read_text("utf-8")
    headings = re.findall(r"^## (.+?)(?:\{#.*)?$", template, re.M)
    table = GUIDE["note"].split("| 标题 | 写什么 |")[1].split("\n\n")[0]
    assert re.findall(r"^\| ([^|-]+) \|", table, re.M) == headings
    assert "、".join(headings) in GUIDE["conventions"]


def test_a_draft_is_judged_by_the_rules_named_and_no_others(tmp_path: Path) -> None:
    init.create(tmp_path, example=False)
    note = tmp_path / "docs/notes/A_b.md"
    note.parent.mkdir(parents=True)
    body = "<script></script>\n\n[[双]] [断](没有.md)\n\n- [] 甲\n\n::: llm.x\n"
    body += "\n```snippet\n没有:格\n```\n\n```python\n1\n```\n"
    front = "---\ntitle: 甲\nprereq: [没有]\n"
    codes = []
    for draft in ("draft: true\n", ""):
        note.write_text(f"{front}{draft}---\n\n# 甲\n\n{body}", encoding="utf-8")
        problems = check.check_vault(find_vault(tmp_path), date(2026, 11, 26))
        codes.append({problem.rule for problem in problems})
    named = {"R101", "R102", "R103", "R104", "R105", "R106", "R107", "R301", "R305"}
    assert {"R102", "R103", "R104", "R106", "R301", "R305"} <= codes[0] <= named
    assert {"R302", "R304", "R307"} <= codes[1]
