"""开着 `mkdocs serve` 改一整天：内存不随重建的遍数长。"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="从 /proc 读内存，只有 Linux 有"
)
def test_a_thousand_rebuilds_grow_by_at_most_20_kb_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.rizhi.mkdocs_plugin.memory", str(tmp_path), "1000"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert float(run.stdout) <= 20
