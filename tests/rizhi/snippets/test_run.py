"""运行片段：每次都是新的进程，管住死循环、刷屏、上网与乱写。"""

from pathlib import Path

import pytest

from rizhi.snippets import record, recorder
from rizhi.snippets import run as runner
from rizhi.vault import Vault


@pytest.fixture
def path(vault: Vault) -> Path:
    (vault.root / "llm/__init__.py").write_text("", encoding="utf-8")
    return vault.snippets / "topic.py"


def _run(vault: Vault, path: Path, body: str, seconds: float = 60) -> runner.Run:
    path.write_text(f"# %% 一\n{body}\n# %% 二\nprint('到了')\n", encoding="utf-8")
    return runner.run(path, vault.root, seconds)


def test_cells_share_names_and_output_is_split(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nx = 3\nprint(x)\n# %% 二\nprint(x + 1)\n", encoding="utf-8")
    run = runner.run(path, vault.root)
    assert [out.text for out in run.outputs] == ["3\n", "4\n"] and run.error == ""


def test_prints_inside_llm_are_caught(vault: Vault, path: Path) -> None:
    (vault.root / "llm/model.py").write_text("def f():\n    print('在里面')\n", encoding="utf-8")
    run = _run(vault, path, "from llm.model import f\nf()")
    assert run.outputs[0].text == "在里面\n"
    (vault.root / "llm/model.py").write_text("def f():\n    print('改了')\n", encoding="utf-8")
    assert runner.run(path, vault.root).outputs[0].text == "改了\n"  # 永远是当前的 llm


def test_seed_is_fixed(vault: Vault, path: Path) -> None:
    body = "import random, torch\nprint(random.random(), torch.rand(1).item())"
    assert _run(vault, path, body) == runner.run(path, vault.root)


def test_figures_are_deterministic_and_closed(vault: Vault, path: Path) -> None:
    body = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('因果')"
    first, second = _run(vault, path, body), runner.run(path, vault.root)
    assert first.outputs[0].figures == second.outputs[0].figures
    assert len(first.outputs[0].figures) == 1 and first.outputs[1].figures == ()
    assert "<svg" in first.outputs[0].figures[0] and "<dc:date>" not in first.outputs[0].figures[0]


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


def test_writing_in_its_own_folder_is_fine(vault: Vault, path: Path) -> None:
    body = "from pathlib import Path\nPath('a').write_text('1')\nprint(Path('a').read_text())"
    assert _run(vault, path, body).outputs[0].text == "1\n"


def test_traceback_shows_only_our_frames(vault: Vault, path: Path) -> None:
    (vault.root / "llm/model.py").write_text("def f():\n    raise ValueError('形状')\n", "utf-8")
    error = _run(vault, path, "from llm.model import f\nf()").error
    assert 'File "llm/model.py", line 2' in error and str(vault.root) not in error
    assert "runner.py" not in error


def test_failures_are_never_recorded(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    assert recorder.record(vault, path).done
    assert record.state(path, vault.root) == "fresh"
    before = {p.name: p.read_bytes() for p in (vault.outputs / "topic").iterdir()}
    path.write_text("# %% 一\nprint(2)\n1 / 0\n", encoding="utf-8")
    assert "ZeroDivisionError" in recorder.record(vault, path).error
    assert {p.name: p.read_bytes() for p in (vault.outputs / "topic").iterdir()} == before


def test_without_torch_it_says_how_to_get_it(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    monkeypatch.setattr(runner, "has_torch", lambda: False)
    assert "make record" in recorder.record(vault, path).error
    assert record.state(path, vault.root) == "missing"


def test_recording_drops_files_of_removed_cells(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n# %% 二\nprint(2)\n", encoding="utf-8")
    recorder.record(vault, path)
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    recorder.record(vault, path)
    assert {p.name for p in (vault.outputs / "topic").iterdir()} == {"01-一.txt", "key.json"}


def test_spawn_gives_the_same_where_there_is_no_forkserver(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "get_all_start_methods", lambda: ["spawn"])
    assert _run(vault, path, "print(40 + 2)").outputs[0].text == "42\n"
