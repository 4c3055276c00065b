"""片段的环境：换一台机器、换一个人的设置，也是同一份记录。"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rizhi.snippets import child
from rizhi.snippets import run as runner
from rizhi.vault import Vault

ROOT = Path(__file__).resolve().parents[3]
TELLING = """\
# %% 看得见的环境
import argparse, datetime, locale, os, shutil, sys, time

print({"甲", "乙", "丙", "丁", "戊"}, hash("日知"))
print(time.tzname, datetime.datetime.fromtimestamp(0), time.strftime("%c", time.localtime(0)))
print(locale.setlocale(locale.LC_ALL, ""), locale.getpreferredencoding(), sys.flags.utf8_mode)
print(sys.warnoptions)
print(open(os.devnull).encoding, sys.getfilesystemencoding(), shutil.get_terminal_size())
print(argparse.ArgumentParser(prog="p", description="长 " * 60).format_help())

# %% 线程
import numpy, torch

print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
print(torch.cuda.device_count(), repr(os.environ["CUDA_VISIBLE_DEVICES"]))
print(torch.linspace(-1, 1, 999).exp().sum().item(), numpy.linspace(0, 1, 999).sum())
"""
HERE = {
    "PYTHONHASHSEED": "1",
    "LC_ALL": "C",
    "TZ": "America/New_York",
    "OMP_NUM_THREADS": "1",
}
THERE = {
    "PYTHONHASHSEED": "2",
    "LC_ALL": "",
    "LANG": "zh_CN.GBK",
    "LANGUAGE": "de",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
    "TZ": "Asia/Shanghai",
    "OMP_NUM_THREADS": "2",
    "COLUMNS": "40",
    "CUDA_VISIBLE_DEVICES": "0",
    "HF_HUB_OFFLINE": "0",
}


def _record(root: Path, environment: dict[str, str]) -> dict[str, object]:
    """在另一台机器的环境里 record 一遍，得到的记录；哪天录的，各按各的日子。"""
    (root / "snippets").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    (root / "snippets/telling.py").write_text(TELLING, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    ran = subprocess.run(
        [sys.executable, "-m", "rizhi", "record"],
        cwd=root,
        env=kept | {"PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    files = {path.name: path.read_bytes() for path in (root / "snippets/outputs/telling").iterdir()}
    return files | {"key.json": json.loads(files["key.json"]) | {"recorded": ""}}


def test_two_machines_make_the_same_record(tmp_path: Path) -> None:
    assert _record(tmp_path / "here", HERE) == _record(tmp_path / "there", THERE)


def test_spawn_settles_the_same_and_leaves_the_command_alone(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(vault.root / "llm")
    path = vault.snippets / "telling.py"
    path.write_text(TELLING, encoding="utf-8")
    expected = runner.run(vault, path)
    assert expected.error == "" and "'UTC'" in expected.outputs[0].text
    for name, value in THERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runner, "get_all_start_methods", lambda: ["spawn"])
    assert runner.run(vault, path) == expected
    assert {name: os.environ[name] for name in THERE} == THERE


def test_a_library_that_does_not_load_is_left_to_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfbaked.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert child._library("halfbaked", frozenset(["halfbaked"])) is None
    assert child._library("json", frozenset()) is json
