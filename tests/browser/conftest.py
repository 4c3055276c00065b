"""浏览器测试共用：无头 Chromium，给出站点的小服务器，不许出错的一页，有一整套笔记的站点。"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from rizhi.dates import week_of
from tests import chromium, vaults
from tests.conftest import Site

NOTES = Path(__file__).parent / "notes"
PRIVATE = "今天说的只给自己听"


class Quiet(SimpleHTTPRequestHandler):
    """不把每个请求打印出来。"""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = chromium.executable()
    if path is None and os.environ.get("CI"):
        pytest.fail("CI 里必须有 Chromium：见 .ci/run")
    if path is None:
        pytest.skip("没有 Chromium：装一个，或用环境变量 CHROMIUM 指一个")
    with chromium.launch(path, chromium.font_config(tmp_path_factory.mktemp("fonts"))) as launched:
        yield launched


@pytest.fixture(scope="session")
def address(site: Site) -> Iterator[str]:
    """构建好的站点，由本机的一个小服务器给出。"""
    with served(site.folder) as address:
        yield address


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """一个文件夹，由本机的一个小服务器给出。"""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """一页空白的浏览器；控制台有错误、向别的主机发过请求，都算失败。"""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    errors: list[str] = []
    opened.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda r: None if _local(r.url) else errors.append(f"外部请求 {r.url}"))
    yield opened
    context.close()
    assert errors == []


def _local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "file:", "data:", "blob:", "about:"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """样例换上一整套笔记，日记里处处有一句私话；`make offline` 的产物，不带日记。

    笔记是真的那些在 2026-11-26 的样子，只留几节正文：主人改了笔记，这里不跟着变。
    """
    folder = tmp_path_factory.mktemp("library")
    root = vaults.make(folder / "vault")
    shutil.copytree(NOTES, root / "docs/notes", dirs_exist_ok=True)
    day = vaults.days(root)[-1]
    _say_something_private(root, day)
    note = root / "docs/notes/attention/rope.md"
    to_day = (
        f"那天[又写了一遍](../../daily/{day.year}/{day}.md#思考)，见[归档](../../daily/index.md)。"
        f"![那天画的](../../daily/{day.year}/图.svg)"
    )
    note.write_text(f"{note.read_text('utf-8')}\n{to_day}\n", encoding="utf-8")
    return Site(root, folder / "site", build_in(root, folder / "site", OFFLINE="true"))


def _say_something_private(root: Path, day: date) -> None:
    path = root / f"docs/daily/{day.year}/{day}.md"
    text = path.read_text("utf-8").replace(f"# {day}", f"# {day}　{PRIVATE}，标题")
    parts = ("今日成果\n\n1. {}", "思考\n\n- 键值缓存。{}", "明日计划\n\n- [ ] {}")
    for part in parts:
        name = part.partition("\n")[0]
        said = part.format(f"[RoPE](../../notes/attention/rope.md) {PRIVATE}，{name}")
        text = text.replace(f"## {name}\n", f"## {said}\n", 1)
    path.write_text(f"---\ntags: [{PRIVATE}]\n---\n{text}", encoding="utf-8")
    (path.parent / "图.svg").write_text(f"<svg><text>{PRIVATE}</text></svg>", encoding="utf-8")
    week = root / f"docs/weekly/{week_of(day).name}.md"
    week.parent.mkdir()
    week.write_text(f"# 这一周\n\n{PRIVATE}\n", encoding="utf-8")


def build_in(root: Path, target: Path, **environment: str) -> str:
    command = [sys.executable, "-m", "mkdocs", "build", "-d", str(target)]
    given = {**os.environ, **environment}
    run = subprocess.run(command, cwd=root, env=given, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stderr
