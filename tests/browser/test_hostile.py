"""敌意的页在真的浏览器里：判作无害的什么也不做，敌意的字到哪里都只是字。"""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Dialog, Error, Locator, Page, Route, expect

from rizhi.htmlpolicy import judge
from tests.browser.conftest import Quiet
from tests.conftest import build
from tests.rizhi import evil, hostile
from tests.rizhi.engine import engine

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOST = "http://vault.test/"
EVERY = hostile.at_places()
SHELL = "<!doctype html><meta charset=utf-8><title>页</title><body><article>{}</article></body>"
# 各种写法各取几条，一共一百多条；标题、列表与表格里的各一遍
CHOSEN = [
    *hostile.WHOLE,
    *(f"单独一段／{name}" for name in (*hostile.ACTIVE, *hostile.INERT)),
    *(f"{place}／事件" for place in hostile.PLACES),
    *(f"{place}／链接·尖括号" for place in hostile.PLACES),
]


def _did(browser: Browser, html: str) -> set[str]:
    """一段 HTML 放进一页打开，又点遍每个链接与按钮：做了什么。"""
    did: set[str] = set()
    context = browser.new_context(base_url=HOST)
    page = context.new_page()

    def answer(route: Route) -> None:
        url = route.request.url
        if url == HOST:
            route.fulfill(body=SHELL.format(html), content_type="text/html; charset=utf-8")
            return
        if not url.startswith(HOST):
            did.add(f"请求 {url}")
        route.abort()

    def said(dialog: Dialog) -> None:
        did.add("执行")
        dialog.dismiss()

    page.route("**/*", answer)
    page.on("dialog", said)
    page.goto(HOST, wait_until="commit")
    page.wait_for_timeout(60)
    try:
        _click_everything(page)
    except Error:  # 点着点着，页走了
        did.add("离开")
    context.close()
    return did


def _click_everything(page: Page) -> None:
    """只点会执行的去处：到别的主机的链接，点了本来就该去。"""
    page.evaluate(
        """() => {
            for (const one of document.querySelectorAll("article *")) {
                const to = one.protocol ?? "";
                if (!to.startsWith("http") && to !== "mailto:") one.click?.();
                one.dispatchEvent(new Event("mouseover", {bubbles: true}));
                one.focus?.();
            }
        }"""
    )
    page.wait_for_timeout(20)


def test_what_is_judged_harmless_does_nothing(browser: Browser) -> None:
    site, acted = engine(), 0
    for name in CHOSEN:
        html = site.reset().convert(EVERY[name][0])
        did = _did(browser, html)
        if list(judge(html)):
            acted += bool(did)
        else:
            assert not did, (name, html)
    assert acted > 50  # 判作有害的里面，真有许多会做


@pytest.fixture(scope="module")
def evil_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("evil")
    site = build(evil.make(folder / "vault"), folder / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site.folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


PAGES = (
    "index.html",
    "tags/index.html",
    "timeline/index.html",
    "todos/index.html",
    "notes/index.html",
    "daily/index.html",
    "daily/2026/2026-11-20.html",
    "notes/evil/x1.html",
    "notes/evil/x90.html",
    "notes/evil/%3Cimg%20src=rzevil%20onerror=rzevil()%3E.html",
    "notebooks/evil.html",
    "guide/evil.html",
)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Page]:
    """一页浏览器：`rzevil` 执行了、被请求过，都算失败。"""
    context = browser.new_context()
    page, did = context.new_page(), list[str]()
    page.expose_function("rzevil", lambda *_: did.append("执行"))
    page.on("request", lambda r: did.append(r.url) if re.search(r"/rzevil$", r.url) else None)
    yield page
    context.close()
    assert did == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_hostile_words_runs_nothing(watched: Page, evil_address: str, name: str) -> None:
    watched.goto(f"{evil_address}/{name}")
    expect(watched.locator("article h1").first).to_be_visible()
    for link in watched.locator("article a:visible").all()[:20]:
        link.hover(timeout=2000, force=True)
    watched.wait_for_timeout(300)


def _searching(page: Page) -> Locator:
    """搜索框，等它读好了索引。"""
    box = page.locator("input.md-search__input")
    box.click()
    expect(page.locator(".md-search-result__meta")).to_have_text("键入以开始搜索")
    return box


@pytest.mark.parametrize("query", ["rzevil", "onerror", "script", "标签"])
def test_searching_hostile_words_runs_nothing(watched: Page, evil_address: str, query: str) -> None:
    watched.goto(f"{evil_address}/index.html")
    _searching(watched).fill(query)
    watched.keyboard.press("End")  # 主题听的是按键抬起
    expect(watched.locator(".md-search-result__item").first).to_be_attached(timeout=15_000)
    watched.wait_for_timeout(700)


def test_typing_markup_into_the_search_runs_nothing(watched: Page, evil_address: str) -> None:
    watched.goto(f"{evil_address}/index.html")
    box = _searching(watched)
    for words in evil.EVIL:
        box.fill(words)
        watched.keyboard.press("End")
        watched.wait_for_timeout(150)


def test_a_preview_of_a_hostile_note_runs_nothing(watched: Page, evil_address: str) -> None:
    watched.goto(f"{evil_address}/daily/2026/2026-11-20.html")
    watched.locator("article a[href$='notes/evil/x1.html']").first.hover()
    expect(watched.locator(".rz-preview")).to_be_visible()
    expect(watched.locator(".rz-preview strong")).to_have_text(evil.EVIL[1])
