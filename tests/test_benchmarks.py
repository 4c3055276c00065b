"""`python -m benchmarks`：在什么都没装的机器上也说得清，结果写明环境。"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_journal, compare, machine
from benchmarks.__main__ import NEEDS
from tests import vaults

ROOT = Path(__file__).resolve().parents[1]


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    """不带 site-packages 的解释器：等于什么都没装。"""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def test_every_bench_says_what_it_needs() -> None:
    scripts = (ROOT / "benchmarks").glob("bench_*.py")
    assert {path.stem.removeprefix("bench_") for path in scripts} == set(NEEDS)


def test_an_unknown_name_beside_a_known_one_is_named_and_nothing_runs() -> None:
    run = bare("-m", "benchmarks", "journal", "jurnal")
    assert run.returncode == 2 and "==" not in run.stdout
    assert "没有名为 jurnal 的基准；现有：drills、journal、" in run.stderr


def test_without_the_extra_it_says_what_to_install_and_goes_on() -> None:
    run = bare("-m", "benchmarks", "snippets", "llm")
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert "缺 Jinja2、PyYAML、click、" in run.stderr and "nbmake" in run.stderr
    assert 'pip install -c constraints.txt -e ".[llm,bench]"' in run.stderr
    assert "未完成或未达标：snippets、llm" in run.stderr


def test_results_say_what_the_machine_lacks() -> None:
    code = "from benchmarks import machine as m; print(m.described(m.environment()))"
    shown = bare("-c", code).stdout.splitlines()
    assert "python 3." in shown[0] and "torch" not in shown[0]
    assert shown[1].startswith("没有装：libyaml、") and "torch" in shown[1]


def test_results_say_the_exact_versions() -> None:
    here = machine.environment()
    assert here["click"].count(".") == 2
    assert f"click {here['click']}" in machine.described(here)


def test_a_single_round_has_its_quartiles() -> None:
    assert str(compare.ratio("一项", 1.0, [3.0], [2.0])).startswith(
        "一项：比值 1.500（四分位 1.500–1.500"
    )


@pytest.mark.parametrize("code", [bench_journal.PARSE, bench_journal.EVENTS])
def test_the_yardstick_of_the_journal_reads_every_page(code: str, tmp_path: Path) -> None:
    """写在字串里的代码，类型检查看不见：搬了名字，这里会说。"""
    root = vaults.make(tmp_path / "vault")
    command = [sys.executable, "-c", code, str(root)]
    subprocess.run(command, cwd=ROOT, check=True)
