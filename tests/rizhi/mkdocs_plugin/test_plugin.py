"""插件：排在第几个都一样，状态不串，用户自己的文件与设置优先。"""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

from rizhi.mkdocs_plugin import nav
from rizhi.mkdocs_plugin.plugin import RizhiPlugin
from rizhi.page import Page, load
from rizhi.vault import find_vault
from tests import vaults
from tests.conftest import Site
from tests.rizhi.mkdocs_plugin.edits import differences

ENTRY = re.compile(r"^  - rizhi(?::.*| #.*)?\n", re.M)
PLUGINS = re.compile(r"^plugins:\n(.*?)^(?=\S)", re.M | re.S)
# 每个事件里谁在前：别的插件在这之前、在这之后
BEFORE = [
    ("config", "material/search"),  # 它读词典
    ("config", "material/offline"),  # 它添上 CDN 的脚本
    ("env", "autorefs"),  # 它用接口清单填链接
    ("post_build", "material/search"),  # 它写盘
]
AFTER = [
    ("files", "mkdocs-jupyter"),  # 它换一个 Files
    ("page_markdown", "autorefs"),
    ("page_content", "autorefs"),
    ("page_context", "material/search"),  # 它读正文：面板不进搜索
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return vaults.make(tmp_path / "vault")


def _move_last(config: Path) -> None:
    """把插件从第一个挪到最后一个。"""
    text = config.read_text("utf-8")
    (entry,) = ENTRY.findall(text)
    moved = PLUGINS.sub(lambda found: f"plugins:\n{found[1].replace(entry, '')}{entry}\n", text)
    assert moved != text
    config.write_text(moved, encoding="utf-8")


def _config(root: Path) -> MkDocsConfig:
    return load_config(str(root / "mkdocs.yml"), site_dir=str(root / "site"))


def _order(config: MkDocsConfig, event: str) -> list[str]:
    """一个事件里各插件的先后；一个插件可以有几处。"""
    origins = config.plugins._event_origins
    return [origins[method] for method in config.plugins.events[event]]


@pytest.mark.parametrize("last", [False, True])
def test_the_order_of_events_does_not_depend_on_the_list(root: Path, last: bool) -> None:
    if last:
        _move_last(root / "mkdocs.yml")
    config = _config(root)
    assert (next(iter(config.plugins)) == "rizhi") is not last
    for event, other in BEFORE:
        order = _order(config, event)
        assert order.index("rizhi") < order.index(other), (event, other)
    for event, other in AFTER:
        order = _order(config, event)
        assert "rizhi" in order[order.index(other) :], (event, other)


def test_the_site_is_the_same_wherever_the_plugin_stands(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "vault"
    shutil.copytree(site.root, root)
    _move_last(root / "mkdocs.yml")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-d",
        str(tmp_path / "site"),
    ]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    assert differences(tmp_path / "site", site.folder) == []


def test_the_instance_is_kept_between_builds(root: Path) -> None:
    first, second = _config(root), _config(root)
    assert first.plugins["rizhi"] is second.plugins["rizhi"]


def test_a_folder_without_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="不是知识库"):
        RizhiPlugin()._configure(MkDocsConfig(str(tmp_path / "mkdocs.yml")))


def test_his_own_files_and_settings_come_first(root: Path) -> None:
    (root / "docs/assets").mkdir()
    (root / "docs/assets/web.css").write_text("/* 他的 */", encoding="utf-8")
    (root / "docs/mine.css").write_text("/* 另一份 */", encoding="utf-8")
    config = root / "mkdocs.yml"
    text = config.read_text("utf-8").replace("theme:\n", "theme:\n  favicon: mine.svg\n")
    config.write_text(f"extra_css: [mine.css]\nnot_in_nav: /mine.md\n{text}", encoding="utf-8")
    (root / "docs/mine.md").write_text("# 他的一页\n", encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (root / "site/assets/web.css").read_text("utf-8") == "/* 他的 */"
    page = BeautifulSoup((root / "site/index.html").read_text("utf-8"), "html.parser")
    styles = [link["href"] for link in page.select("link[rel=stylesheet]")]
    assert styles[-3:] == ["assets/web.css", "assets/rizhi.css", "mine.css"]
    assert page.select_one("link[rel=icon]")["href"] == "mine.svg"
    assert not page.select('script[src*="iframe-worker"]')  # 只有 make offline 用得着
    assert not list((root / "site/assets").glob("iframe-worker*.js"))


def test_his_own_index_says_in_what_order_its_pages_are_read(root: Path) -> None:
    """先写链接的排在前；首页没有提到的按文件名，在最后。"""
    guide = root / "docs/guide"
    for name in ("a", "b", "c", "d"):
        (guide / f"{name}.md").write_text(f"# 页 {name}\n", encoding="utf-8")
    for order in ("dba", "bda"):
        links = "".join(f"- [读]({name}.md#某节)，再读[首页](../index.md)\n" for name in order)
        (guide / "index.md").write_text(f"# 使用\n\n{links}- [又]({order[2]}.md)\n", "utf-8")
        assert _guide(root) == ["使用", *(f"页 {name}" for name in order), "页 c"]
    (guide / "index.md").unlink()
    assert _guide(root) == ["页 a", "页 b", "页 c", "页 d"]


def test_the_guide_is_read_in_the_order_of_a_first_week() -> None:
    assert _guide(vaults.ROOT)[:4] == ["使用", "从零开始", "每天怎么用", "写一篇笔记"]


def _guide(root: Path) -> list[str]:
    """导航里「使用」一栏各页的标题。"""
    vault = find_vault(root)
    found = nav.nav(vault, [], partial(load, Page, vault), {})
    (pages,) = [part["使用"] for part in found if "使用" in part]
    return [title for page in pages for title in page]


@pytest.mark.parametrize(
    ("environment", "included"),
    [
        ({}, True),
        ({"DIARY": "false"}, False),  # 发布的那一份
        ({"DIARY": "true"}, True),
        ({"OFFLINE": "true"}, False),
        ({"OFFLINE": "true", "DIARY": "true"}, True),
    ],
)
def test_the_diary_is_in_unless_it_is_given_away(
    root: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], included: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = _config(root)
    plugin: Any = config.plugins["rizhi"]
    assert plugin._with_diary(config) == included


def test_offline_takes_the_worker_from_the_package(root: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "-q"]
    environment = {**os.environ, "OFFLINE": "true"}
    subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True)
    page = BeautifulSoup((root / "site/index.html").read_text("utf-8"), "html.parser")
    scripts = [script["src"] for script in page.select('script[src*="iframe-worker"]')]
    assert scripts == ["assets/iframe-worker.js"]
