"""缩放小实验的命令：写下的每一行都对得上，第一行是造它的命令。"""

import json
from pathlib import Path

import pytest

from llm.lab import scaling


def test_the_run_names_its_command_and_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "SIZES", ((16, 1), (32, 1)))
    for name, value in (("UPDATES", 4), ("LOOKS", 2), ("WARMUP", 1), ("V", 300)):
        monkeypatch.setattr(scaling, name, value)
    out = tmp_path / "runs/tiny.jsonl"
    scaling.main(out)
    first, *looks = map(json.loads, out.read_text("utf-8").splitlines())
    assert first == {"command": f"python -m llm.lab.scaling {out}"}
    assert [(look["C"], look["update"]) for look in looks] == 2 * [
        (16, 2),
        (16, 4),
        (32, 2),
        (32, 4),
    ]
    assert looks[0]["data"] > 7 * looks[-1]["data"]
    assert all(0 < look["held_out"] < 20 and 0 < look["loss"] < 10 for look in looks)
