"""浏览器测试共用：一个无头 Chromium，一个给出站点的小服务器，一页不许出错的浏览器。"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests import chromium
from tests.conftest import Site


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
