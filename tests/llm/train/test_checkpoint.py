"""存检查点：杀在哪一步、盘满在哪一步，最近的那个完整的都读得回。"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llm.model import LLMForCausalLM
from llm.train import checkpoint
from llm.train.checkpoint import KEPT, Progress, complete, load_latest, save
from llm.train.data import Position
from llm.train.optim import build_optimizer
from tests.llm.train.conftest import tiny

FIXED = {"lr": 1e-3}


def fresh(**changed: Any) -> tuple[LLMForCausalLM, torch.optim.Optimizer]:
    model = tiny(61, **changed)
    optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
    ids = torch.arange(3, 27).view(2, 12)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    return model, optimizer


def saved(folder: Path, update: int, **changed: Any) -> LLMForCausalLM:
    model, optimizer = fresh(**changed)
    save(folder, Progress(update, Position(1, update)), model, optimizer, FIXED)
    return model


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = fresh()
    torch.manual_seed(5)
    progress = Progress(7, Position(2, 3))
    save(tmp_path, progress, model, optimizer, FIXED)
    drawn = torch.rand(3)
    other, its = fresh()
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    its.state.clear()
    torch.manual_seed(6)
    assert load_latest(tmp_path, other, its, FIXED) == progress
    assert torch.equal(torch.rand(3), drawn)
    assert all(map(torch.equal, other.parameters(), model.parameters()))
    states = [
        [value for state in one.state.values() for value in state.values()]
        for one in (optimizer, its)
    ]
    assert len(states[0]) > 10 and all(map(torch.equal, *states))


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    for update in (1, 2, 10, 11):
        saved(tmp_path, update)
    assert KEPT == 2
    assert [p.name for p in complete(tmp_path)] == ["update-000010", "update-000011"]


def steps_of(folder: Path) -> list[str]:
    """存一次要经过的几步：写内容、写说明、逐个落盘、改名、删旧的。"""
    passed: list[str] = []
    saved_with(folder, lambda name: passed.append(name))
    return passed


def saved_with(folder: Path, at: Callable[[str], Any]) -> None:
    """每一步之前先问 `at`。"""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (checkpoint.dcp, "save"),
            (Path, "write_text"),
            (checkpoint, "_flush"),
            (Path, "rename"),
            (checkpoint.shutil, "rmtree"),
        ):
            right = getattr(owner, name)

            def asked(*given: Any, right: Any = right, name: str = name, **named: Any) -> Any:
                at(name)
                return right(*given, **named)

            patch.setattr(owner, name, asked)
        saved(folder, 3)


def test_the_disk_is_full_at_any_step(tmp_path: Path) -> None:
    """写不下就说写不下：没写完的不留，之前的都读得回。"""
    count = len([name for name in steps_of(tmp_path / "count") if name != "rmtree"])
    assert count > 5
    for step in range(count):
        folder = tmp_path / str(step)
        saved(folder, 2)
        left = [step]

        def full(name: str, left: list[int] = left) -> None:
            if name != "rmtree":
                left[0] -= 1
                if left[0] == -1:
                    raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match=r"存不下：.*No space.*之前的检查点都在"):
            saved_with(folder, full)
        assert not (folder / ".writing").exists()
        assert _loads(folder) in (2, 3)


def _loads(folder: Path) -> int:
    model, optimizer = fresh()
    progress = load_latest(folder, model, optimizer, FIXED)
    assert progress
    return progress.update


_KILLED = """
import os, sys
from pathlib import Path
from tests.llm.train import test_checkpoint as here
left = int(sys.argv[2])
def at(name):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
here.saved_with(Path(sys.argv[1]), at)
"""


@pytest.mark.slow
def test_killed_at_any_step(tmp_path: Path) -> None:
    """kill -9 在每一步：最近的那个完整的读得回，下一次存照样存得下。"""
    count = len(steps_of(tmp_path / "count"))
    for step in range(count):
        folder = tmp_path / str(step)
        saved(folder, 2)
        command = [sys.executable, "-c", _KILLED, str(folder), str(step)]
        done = subprocess.run(
            command, check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
        )
        assert done.returncode == -9
        assert _loads(folder) in (2, 3)
        saved(folder, 4)
        assert _loads(folder) == 4 and not (folder / ".writing").exists()


def test_a_leftover_does_not_count(tmp_path: Path) -> None:
    """写到一半的文件夹不是检查点，下一次存时清掉。"""
    saved(tmp_path, 2)
    shutil.copytree(tmp_path / "update-000002", tmp_path / ".writing")
    assert _loads(tmp_path) == 2
    saved(tmp_path, 3)
    assert not (tmp_path / ".writing").exists() and _loads(tmp_path) == 3


def _shorten(folder: Path) -> None:
    about = next(folder.glob("update-*")) / "about.json"
    about.write_text("{", "utf-8")


def _without_metadata(folder: Path) -> None:
    (next(folder.glob("update-*")) / ".metadata").unlink()


@pytest.mark.parametrize("damage", [_shorten, _without_metadata])
def test_a_damaged_one_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    saved(tmp_path, 2)
    damage(tmp_path)
    model, optimizer = fresh()
    with pytest.raises(ValueError, match=r"update-000002 读不出来：.*删掉它"):
        load_latest(tmp_path, model, optimizer, FIXED)


def test_another_shape_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    model, optimizer = fresh(hidden_size=48, head_dim=8)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"存的形状是 \(61, 32\)，模型的是 \(61, 48\)"):
        load_latest(tmp_path, model, optimizer, FIXED)
    assert all(map(torch.equal, model.parameters(), before))


def test_another_config_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    model, optimizer = fresh()
    with pytest.raises(ValueError, match=r"lr 原来是 0\.001，现在是 0\.1"):
        load_latest(tmp_path, model, optimizer, {"lr": 0.1})


def test_the_progress_is_plain_json(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    about = json.loads((tmp_path / "update-000002/about.json").read_text("utf-8"))
    assert about == {
        "progress": {"update": 2, "position": {"epoch": 1, "index": 2}},
        "fixed": FIXED,
    }
