"""运行片段：每次都是新的进程，管住死循环、刷屏、上网与乱写。"""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from threading import Event

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets import cells, record, recording
from rizhi.snippets import run as runner
from rizhi.store import alive
from rizhi.vault import Vault, find_vault

PROGRAM = """
from pathlib import Path
from rizhi.snippets.run import run
from rizhi.vault import find_vault

print("载入", flush=True)
if __name__ == "__main__":
    print(run(find_vault(Path.cwd()), Path("snippets/topic.py").resolve()).outputs[0].text)
"""


def _run(vault: Vault, path: Path, body: str, seconds: float = 60) -> runner.Run:
    path.write_text(f"# %% 一\n{body}\n# %% 二\nprint('到了')\n", encoding="utf-8")
    return runner.run(vault, path, seconds)


def test_cells_share_names_and_output_is_split(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nx = 3\nprint(x)\n# %% 二\nprint(x + 1)\n", encoding="utf-8")
    run = runner.run(vault, path)
    assert [out.text for out in run.outputs] == ["3\n", "4\n"] and run.error == ""


def test_stops_after_the_cell_that_is_enough(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n# %% 二\nprint(2)\n# %% 三\nprint(3)\n", encoding="utf-8")
    run = runner.run(vault, path, enough=lambda output: output.text == "2\n")
    assert [out.title for out in run.outputs] == ["一", "二"] and run.error == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0", r"snippets/topic.py:2 单元格「一」出错：ZeroDivisionError"),
        ("print('字' * 1_000_000)", r"topic.py:2 .*输出超过 64 KiB"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))", r"topic.py:3 .*不许上网"),
        ("open('../outside.txt', 'w')", r"topic.py:2 .*不许写到自己的临时文件夹之外"),
        ("import os\nos.remove(__file__)", r"topic.py:3 .*不许改动"),
        ("import subprocess\nsubprocess.run(['true'])", r"topic.py:3 .*不许另开进程"),
        ("raise SystemExit(0)", r"topic.py:2 .*SystemExit"),
        ("import os\nos._exit(0)", r"topic.py:2 单元格「一」：子进程突然结束"),
    ],
)
def test_bad_behaviour_is_stopped_and_named(
    vault: Vault, path: Path, body: str, message: str
) -> None:
    run = _run(vault, path, body)
    assert run.error and __import__("re").search(message, run.error), run.error
    assert "到了" not in "".join(out.text for out in run.outputs)
    assert path.exists()


def test_endless_loop_is_killed(vault: Vault, path: Path) -> None:
    run = _run(vault, path, "while True:\n    pass", seconds=1.0)
    assert "1 秒没有跑完，已停下" in run.error and "topic.py:2" in run.error


def _watch(vault: Vault, path: Path, body: str, seconds: float = 60) -> Generator[runner.Step]:
    """盘上没有的一份，有人看着地跑。"""
    return runner.watch(vault, cells.parse_text(path, f"# %% 一\n{body}\n"), seconds)


def test_what_is_watched_is_seen_while_it_runs(vault: Vault, path: Path) -> None:
    text = "# %% 零\nprint('旧')\n# %% 一\nimport time\nprint('半')\ntime.sleep(1)\nprint('全')\n"
    steps = [*runner.watch(vault, cells.parse_text(path, text))]
    half = [step for step in steps if not step.done and step.output.title == "一"]
    assert "半\n" in {step.output.text for step in half}
    assert not [step for step in half if "旧" in step.output.text or "全" in step.output.text]
    assert [step.output.text for step in steps if step.done] == ["旧\n", "半\n全\n"]
    assert not path.exists()


def test_a_loop_that_is_watched_shows_what_it_had_printed(vault: Vault, path: Path) -> None:
    *_, last = _watch(vault, path, f"print({str(vault.root)!r} + '/docs')\nwhile True: pass", 1.0)
    assert last.output.text == "docs\n" and "1 秒没有跑完" in last.fault and not last.done


def test_the_child_ends_when_no_one_watches(vault: Vault, path: Path) -> None:
    steps = _watch(vault, path, "import os\nprint(os.getpid())\nwhile True: pass")
    child = int(next(step.output.text for step in steps if step.output.text))
    steps.close()
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(child)


def test_a_library_that_only_the_unsaved_text_needs_is_named(
    vault: Vault, path: Path, no_torch: None
) -> None:
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    (step,) = _watch(vault, path, "import torch")
    assert "要用 torch，这里没有装" in step.fault


def test_the_result_does_not_wait_for_the_child_to_be_gone(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, bury = Event(), runner._bury
    monkeypatch.setattr(runner, "_bury", lambda *given: (let_go.wait(), bury(*given)))
    try:
        assert _run(vault, path, "print(1)").outputs[0].text == "1\n"
    finally:
        let_go.set()


def test_nothing_of_the_runner_is_seen_inside(vault: Vault, path: Path) -> None:
    body = (
        "import os, threading\nprint(threading.active_count())\n"
        "print([name for name in os.environ if name.startswith('RIZHI')])"
    )
    assert _run(vault, path, body).outputs[0].text == "1\n[]\n"


def test_the_program_that_runs_a_snippet_is_not_loaded_again(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    (vault.root / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=vault.root, capture_output=True, text=True)
    assert done.stdout == "载入\n1\n\n", done.stderr


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """这台机器像是没有装 torch。"""
    installed = runner.installed
    monkeypatch.setattr(runner, "installed", lambda name: name != "torch" and installed(name))


@pytest.mark.parametrize(
    "body",
    [
        "import torch",
        "from torch.nn import functional as F",
        "from llm.model import f",  # 源码包里一载入就要它
        "import llm.lab.shapes",  # 经过相对导入
    ],
)
def test_a_missing_library_is_named_before_anything_runs(
    vault: Vault, path: Path, no_torch: None, body: str
) -> None:
    (vault.root / "llm/model.py").write_text("import torch\ndef f(): ...\n", encoding="utf-8")
    (vault.root / "llm/lab").mkdir()
    (vault.root / "llm/lab/__init__.py").touch()
    (vault.root / "llm/lab/shapes.py").write_text("from ..model import f\n", encoding="utf-8")
    run = _run(vault, path, body)
    assert run.outputs == () and run.error.startswith("snippets/topic.py 要用 torch，这里没有装")
    assert "pip install torch" in run.error and "make record" in run.error
    with pytest.raises(RizhiError, match="要用 torch"):
        recording.record(vault, path)
    assert record.load(vault, path).state == "missing"


@pytest.mark.parametrize(
    "body",
    [
        "import collections, random",
        "try:\n    import torch\nexcept ImportError:\n    pass",
        "def later():\n    import torch",
        "import llm",  # 包自己用不着 torch，别的模块用不用与它无关
    ],
)
def test_what_needs_no_torch_runs_without_it(
    vault: Vault, path: Path, no_torch: None, body: str
) -> None:
    (vault.root / "llm/model.py").write_text("import torch\n", encoding="utf-8")
    assert _run(vault, path, body).error == ""
    assert recording.record(vault, path) and record.load(vault, path).state == "fresh"


def test_a_library_of_the_vault_itself_is_not_missing(vault: Vault, path: Path) -> None:
    (vault.root / "helpers.py").write_text("x = 1\n", encoding="utf-8")
    assert _run(vault, path, "from helpers import x\nprint(x)").outputs[0].text == "1\n"


def test_versions_name_what_is_used_and_installed(vault: Vault, path: Path, no_torch: None) -> None:
    path.write_text("# %% 一\nimport numpy\nimport torch\n", encoding="utf-8")
    assert set(recording.versions(vault, path)) == {"numpy"}
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    assert recording.versions(vault, path) == {}


def test_without_a_source_package_snippets_run(vault: Vault, path: Path) -> None:
    (vault.root / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    bare = find_vault(vault.root)
    assert _run(bare, path, "print(1)").outputs[0].text == "1\n"
    assert recording.record(bare, path) and record.load(bare, path).sources == ()


def test_preloaded_is_what_comes_from_outside(vault: Vault, path: Path) -> None:
    (vault.root / "llm/lab").mkdir()
    (vault.root / "llm/lab/deep.py").write_text("import json, llm.model\n", encoding="utf-8")
    path.write_text("# %% 一\nfrom llm import x\nfrom math import pi\nimport topic\n", "utf-8")
    assert set(runner._outside_imports(vault)) == {"import json", "from math import pi"}


def test_spawn_gives_the_same_where_there_is_no_forkserver(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "get_all_start_methods", lambda: ["spawn"])
    assert _run(vault, path, "print(40 + 2)").outputs[0].text == "42\n"


def test_what_prints_when_loaded_prints_in_its_cell_alone(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nimport this\nimport loud\n", encoding="utf-8")
    (vault.root / "outside").mkdir()
    (vault.root / "outside/loud.py").write_text("print('大声')\n", encoding="utf-8")
    program = PROGRAM.replace("snippets/topic.py", str(path))
    (vault.root / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=vault.root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(vault.root / "outside")])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("载入\nThe Zen of Python"), done.stdout + done.stderr
    assert done.stdout.count("Zen") == 1 and "大声" not in done.stdout
