"""录下片段：出错的不录，旧的记录不动；没有了的格，文件也没有了。"""

from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets import record, recording
from rizhi.vault import Vault


def test_failures_are_never_recorded(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    assert recording.record(vault, path) == 2
    assert record.load(vault, path).state == "fresh"
    before = {p.name: p.read_bytes() for p in (vault.outputs / "topic").iterdir()}
    path.write_text("# %% 一\nprint(2)\n1 / 0\n", encoding="utf-8")
    with pytest.raises(RizhiError, match="ZeroDivisionError"):
        recording.record(vault, path)
    assert {p.name: p.read_bytes() for p in (vault.outputs / "topic").iterdir()} == before


def test_recording_drops_files_of_removed_cells(vault: Vault, path: Path) -> None:
    path.write_text("# %% 一\nprint(1)\n# %% 二\nprint(2)\n", encoding="utf-8")
    recording.record(vault, path)
    path.write_text("# %% 一\nprint(1)\n", encoding="utf-8")
    recording.record(vault, path)
    assert {p.name for p in (vault.outputs / "topic").iterdir()} == {"01-一.txt", "key.json"}
