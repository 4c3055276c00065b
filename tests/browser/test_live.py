"""从 Chromium 对着真的 `mkdocs serve`：自己的页面做得成，别处来的都不行，CSP 挡不住主题自己。"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from rizhi.vault import Vault, day_path
from tests import chromium, vaults
from tests.browser import conftest
from tests.rizhi.mkdocs_plugin.served import Served, serving

TODO = "读一遍归一化"
# 送一次，说出回答：读不到的（CORS）、连不上的都是 0
SEND = """async ([url, headers, body]) => {
    try {
        const sent = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
        return [sent.status, await sent.text()];
    } catch { return [0, ""]; }
}"""
# 不先问（preflight）就送得出去的那几种
SIMPLE = """async ([url, body]) => {
    const sent = await fetch(url, {method: "POST", mode: "no-cors", body}).catch(() => null);
    return sent?.type;
}"""
READ = "async (url) => { try { return await (await fetch(url)).text(); } catch { return ''; } }"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("live"), "-m", "mkdocs", "serve", "-a") as found:
        yield found


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    """别人的一页：它的请求出错是应该的。"""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def _docs(served: Served) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (served.root / "docs").rglob("*.md")}


def _nonce(page: Page) -> str:
    return page.locator("meta[name=rizhi-nonce]").get_attribute("content") or ""


def _headers(nonce: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Rizhi-Nonce": nonce}


def test_the_theme_lives_with_the_policy(served: Served, page: Page) -> None:
    """控制台里一句错误也没有（见 `page`）：公式、图、笔记本、搜索、热加载都在。"""
    for name in ("index", "todos/index", "notes/attention/attention-mask", "reference/model",
                 "notebooks/tensor-shapes", "notes/attention/rope", "daily/index"):  # fmt: skip
        answer = page.goto(f"{served.address}/{name}.html", wait_until="load")
        assert answer and "script-src 'self'" in answer.headers["content-security-policy"]
        page.wait_for_timeout(300)
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").fill("掩码")
    page.keyboard.press("End")  # 主题听的是按键抬起
    expect(page.locator(".md-search-result__item").first).to_be_visible(timeout=20_000)
    page.evaluate("document.fonts.ready")


def test_a_page_of_its_own_settles_a_todo_and_is_refreshed(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/todos/index.html")
    expect(page.get_by_text(TODO).first).to_be_visible()
    state = page.locator("[data-state=open]", has_text=TODO)
    assert state.count() == 1
    sent = page.evaluate(SEND, ["/rizhi/live/done", _headers(_nonce(page)), {"todo": TODO}])
    assert sent[0] == 200 and "rizhi undo" in sent[1]
    expect(state).to_have_count(0, timeout=30_000)  # 热加载自己刷新
    last = day_path(Vault(served.root), vaults.days(served.root)[-1])
    assert f"- [x] {TODO}" in last.read_text("utf-8")


def test_whatever_comes_from_elsewhere_is_refused(
    served: Served, browser: Browser, tmp_path: Path
) -> None:
    before = _docs(served)
    target, wanted = f"{served.address}/rizhi/live/done", {"todo": "写一篇笔记"}
    (tmp_path / "evil.html").write_text("<h1>别人的一页</h1>", encoding="utf-8")
    with _page(browser) as own:
        own.goto(f"{served.address}/index.html")
        nonce = _nonce(own)
        assert own.evaluate(SEND, [target, _headers(""), wanted])[0] == 403
        assert own.evaluate(SEND, [target, {"X-Rizhi-Nonce": nonce}, wanted])[0] == 403
        big = "new Blob([new Uint8Array(50 << 20)])"
        sent = own.evaluate(
            f"""([url, headers]) => fetch(url, {{method: "POST", headers, body: {big}}})
                .then((answer) => answer.status, () => 0)""",
            [target, _headers(nonce)],
        )
        assert sent in (0, 413)
        assert own.goto(f"{served.address}/index.html").status == 200
    with conftest.served(tmp_path) as other:
        for address in (f"{other}/evil.html", (tmp_path / "evil.html").as_uri()):
            with _page(browser) as evil:
                evil.goto(address)
                assert evil.evaluate(SEND, [target, _headers(nonce), wanted])[0] == 0
                assert evil.evaluate(SIMPLE, [target, '{"todo": "写一篇笔记"}']) in (None, "opaque")
                assert nonce not in evil.evaluate(READ, f"{served.address}/index.html")
                evil.set_content(f'<iframe src="{served.address}/index.html"></iframe>')
                evil.wait_for_timeout(300)
                assert [one.url for one in evil.frames[1:]] == ["chrome-error://chromewebdata/"]
    _rebind(served, browser, nonce)
    assert _docs(served) == before and served.page()


def _rebind(served: Served, browser: Browser, nonce: str) -> None:
    """先由他的服务器给出一页，再把他的名字指到本机：对浏览器来说是同一个源。"""
    path = chromium.executable()
    # 新的 Chromium 自己也挡一道；关掉它，才看得出是服务器不答应
    flags = (
        "--host-resolver-rules=MAP evil.test 127.0.0.1",
        "--disable-features=LocalNetworkAccessChecks",
    )
    rebound = browser.browser_type.launch(executable_path=path, args=[*chromium.ARGUMENTS, *flags])
    address = served.address.replace("127.0.0.1", "evil.test")

    def lure(route: Route) -> None:
        route.fulfill(body="<h1>别人的一页</h1>", content_type="text/html; charset=utf-8")

    try:
        with _page(rebound) as evil:
            assert evil.goto(f"{address}/index.html").status == 403
            evil.route("**/lure.html", lure)
            evil.goto(f"{address}/lure.html")
            sent = evil.evaluate(SEND, ["/rizhi/live/done", _headers(nonce), {"todo": TODO}])
            assert sent[0] == 403 and nonce not in sent[1]
            assert nonce not in evil.evaluate(READ, "/index.html")
    finally:
        rebound.close()
