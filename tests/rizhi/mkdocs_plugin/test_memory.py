"""开着 `mkdocs serve` 改一整天：内存不随重建的遍数长。"""

import subprocess
import sys
from pathlib import Path

import pytest

from rizhi.mkdocs_plugin.rebuild import UNCOLLECTED

ROOT = Path(__file__).resolve().parents[3]
# 一遍一遍地重建，说出同时留着的最多有几次的 Files
SITES = """
import logging, os, sys, weakref
from pathlib import Path
from mkdocs.commands.build import build
from mkdocs.config import load_config
from rizhi.mkdocs_plugin.rebuild import rebuilder
from tests import vaults
logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
root = vaults.make(Path(sys.argv[1]) / "vault")
os.chdir(root)
config = load_config("mkdocs.yml", site_dir=str(root / "site"))
build(config)
again, plugin = rebuilder(config), config.plugins["rizhi"]
note, built, most = Path("docs/notes/attention/attention-mask.md"), [], 0
for number in range(40):
    with note.open("a", encoding="utf-8") as file:
        file.write(f"又 {number}。")
    again()
    built.append(weakref.ref(plugin._files))
    most = max(most, sum(ref() is not None for ref in built))
print(most)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="从 /proc 读内存，只有 Linux 有"
)
def test_a_thousand_rebuilds_grow_by_at_most_20_kb_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.rizhi.mkdocs_plugin.memory", str(tmp_path), "1000"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert float(run.stdout) <= 20


def test_the_sites_of_past_rebuilds_do_not_pile_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SITES, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert 1 < int(run.stdout) <= UNCOLLECTED + 1
