"""写了十年的站点：没有一页没完没了地长，搜索与整个站点都不过分大。"""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
DAYS, NOTES = 3650, 400
# 在自己的进程里：直接用 `pytest` 跑时，benchmarks 不在导入的路径上
BUILD = """
import sys
from pathlib import Path
from benchmarks import bench_site, peers
bench_site.build(peers.grown(Path(sys.argv[1]), *map(int, sys.argv[2:])))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ten") / "vault"
    command = [sys.executable, "-c", BUILD, str(root), str(DAYS), str(NOTES)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return root / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    found = {p.relative_to(site).as_posix(): p.read_text("utf-8") for p in site.rglob("*.html")}
    assert len(found) > DAYS + NOTES
    return found


def test_no_page_is_heavy(pages: dict[str, str]) -> None:
    sizes = {name: len(text.encode()) for name, text in pages.items()}
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}


def test_no_list_is_endless(pages: dict[str, str]) -> None:
    counts = {name: len(re.findall(r"<li[\s>]", text)) for name, text in pages.items()}
    assert max(counts.values()) > 1
    assert {name: count for name, count in counts.items() if count > 1500} == {}


def test_search_index_is_light(site: Path) -> None:
    index = (site / "search/search_index.json").read_bytes()
    assert len(gzip.compress(index)) <= 5_000_000


def test_whole_site_is_light(site: Path, pages: dict[str, str]) -> None:
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert total / len(pages) <= 40_000
