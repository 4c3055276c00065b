"""一页坏了只坏那一页：它自己说出哪里不对，别的照常建成，check 也报告它；外面的一样也进不来。"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from rizhi.site import export
from rizhi.site.graph import read_web
from rizhi.vault import Vault
from tests import vaults
from tests.rizhi.mkdocs_plugin import badpages
from tests.rizhi.mkdocs_plugin.edits import rebuild

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="管道、链接、字节文件名是 POSIX 的")

# 说站点排不出、收不进什么的规则；别的（标题、流水账……）不妨碍站点
RULES = frozenset(("R101", "R102", "R103", "R104", "R105", "R107"))


@dataclass(frozen=True)
class Built:
    """一个放满坏页的知识库：构建一次，check 一次。"""

    root: Path
    site: Path
    log: str
    status: int
    problems: dict[str, set[str]]  # 路径 → 规则
    planted: dict[str, str]  # 情形 → 路径

    def warned(self, path: str) -> bool:
        shown = path.encode("utf-8", "backslashreplace").decode()
        name = re.escape(shown.removeprefix("docs/"))
        log = self.log.replace(".html#", ".md#")  # autorefs 说的是网址
        return bool(re.search(rf"^(?:WARNING|ERROR).*{name}(?![\w.-])", log, re.M))

    def page(self, path: str) -> str:
        html = Path(path.removeprefix("docs/")).with_suffix(".html")
        return (self.site / html).read_text("utf-8")


def _run(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    arguments = [sys.executable, "-m", *command]
    return subprocess.run(arguments, cwd=root, capture_output=True, text=True, errors="replace")


def _built(root: Path, planted: dict[str, str]) -> Built:
    site = root.with_name("site")
    build = _run(root, "mkdocs", "build", "-d", str(site))
    found = _run(root, "rizhi", "check", "--json")
    assert found.stderr == ""
    problems: dict[str, set[str]] = {}
    for one in json.loads(found.stdout):
        if one["level"] == "error":
            problems.setdefault(one["path"], set()).add(one["rule"])
    return Built(root, site, build.stderr, build.returncode, problems, planted)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("bad")
    root = vaults.make(folder / "vault")
    planted = badpages.plant_notes(root) | badpages.plant_books(root) | badpages.plant_files(root)
    planted |= badpages.plant_links(root, folder / "outside")
    planted |= {path: path for path in badpages.plant_random(root, 60, 16)}
    badpages.plant_hooks(root)
    return _built(root, planted)


PAGES = [*badpages.NOTES, "gbk", "gone", "pipe", *(f"book-{n}" for n in (*badpages.BOOKS, "deep"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_bad_page_says_what_is_wrong(built: Built, name: str) -> None:
    path = built.planted[name]
    assert built.status == 0 and built.warned(path)
    assert 'class="admonition failure' in built.page(path)
    assert built.problems[path] & RULES


@pytest.mark.parametrize("name", badpages.HOOKED)
def test_a_page_another_plugin_or_the_theme_fails_on_says_so(built: Built, name: str) -> None:
    path = f"docs/notes/bad/hook-{name}.md"
    page = built.page(path)
    assert built.warned(path) and "这一页排不出来" in page and "正文。" not in page


def test_a_page_that_fails_after_it_is_made_is_kept_and_warned_about(built: Built) -> None:
    path = "docs/notes/bad/hook-post.md"
    assert built.warned(path) and "正文。" in built.page(path)


def test_the_rest_is_built(built: Built) -> None:
    assert built.status == 0, built.log
    page = built.page("docs/notes/attention/attention-mask.md")
    assert "rz-cell" in page
    for folder in ("attention", "bad", "random"):
        for path in (built.root / f"docs/notes/{folder}").glob("[a-z]*.md"):
            if path.name not in ("a" * 252 + ".md", "taken.md"):
                assert built.page(f"docs/notes/{folder}/{path.name}")
    index = json.loads((built.site / "search/search_index.json").read_text("utf-8"))
    assert len(index["docs"]) > 50


def test_check_and_build_agree(built: Built) -> None:
    reported = {path for path, rules in built.problems.items() if rules & RULES}
    planted = set(built.planted.values())
    assert [path for path in sorted(planted - reported) if built.warned(path)] == []
    # 一团乱的 HTML，check 拿不准的当作会放进去（R102），多说几页
    more = [path for path in sorted(planted & reported) if not built.warned(path)]
    assert len(more) <= len(planted) // 50 + 1 and all("/random/" in path for path in more)


def test_files_that_do_not_fit_are_left_out(built: Built) -> None:
    for name in ("gone.png", "pipe.png", "loop", "taken.html/x", "图.png"):
        assert not (built.site / "notes/bad" / name).exists()
    assert "R107" in built.problems["docs/notes/bad/loop"]


def test_nothing_from_outside_is_on_the_site(built: Built) -> None:
    files = [path for path in built.site.rglob("*") if path.is_file()]
    assert len(files) > 200
    assert [path for path in files if badpages.SECRET.encode() in path.read_bytes()] == []
    assert badpages.SECRET not in built.log


# jieba 打开词典不关
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_page_comes_back_when_it_is_mended(tmp_path: Path) -> None:
    root, site = vaults.make(tmp_path / "vault"), tmp_path / "site"
    path, uri = root / "docs/notes/python/sort-vs-sorted.md", "notes/python/sort-vs-sorted.md"
    good = path.read_text("utf-8")
    rebuild(root, site, dirty=False)
    page, other = site / "notes/python/sort-vs-sorted.html", site / "index.html"
    before = page.read_text("utf-8"), other.read_text("utf-8")
    path.write_text(f"{good}\n[坏](http://[::1)\n", encoding="utf-8")
    assert uri in rebuild(root, site, dirty=True) and "排不出来" in page.read_text("utf-8")
    assert rebuild(root, site, dirty=True) == [uri]  # 没有排出来的，再试一次
    path.write_bytes(good.encode("utf-16"))
    assert rebuild(root, site, dirty=True) and "UTF-16" in page.read_text("utf-8")
    path.write_text(good, encoding="utf-8")
    assert uri in rebuild(root, site, dirty=True)
    assert (page.read_text("utf-8"), other.read_text("utf-8")) == before


def test_odd_pages_stop_no_export(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> None:
    badpages.plant_notes(vault.root)
    pages = list(badpages.plant_random(vault.root, 60, 16))
    with open(os.fsencode(vault.notes) + "/掩码.md".encode("gbk"), "w") as file:  # noqa: PTH123
        file.write("# 甲\n")
    out = tmp_path_factory.mktemp("export") / "out"
    export.write(read_web(vault, date(2026, 11, 23)), out, lambda names: names)
    assert all((out / path).is_file() for path in pages)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_five_hundred_random_pages(tmp_path: Path, seed: int) -> None:
    root = vaults.make(tmp_path / "vault")
    planted = {path: path for path in badpages.plant_random(root, 500, seed)}
    built = _built(root, planted)
    test_the_rest_is_built(built)
    test_check_and_build_agree(built)
