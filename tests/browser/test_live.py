"""从 Chromium 对着真的 `mkdocs serve`：自己的页面做得成，别处来的都不行，CSP 挡不住主题自己。"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from rizhi.vault import Vault, day_path
from tests import chromium, vaults
from tests.browser import conftest
from tests.browser.test_axe import AXE, RUN
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


def _today(served: Served) -> Path:
    return day_path(Vault(served.root), vaults.days(served.root)[-1])


def _day(served: Served, ago: int) -> str:
    """几天以前那一页的网址。"""
    day = vaults.days(served.root)[-1 - ago]
    return f"{served.address}/daily/{day:%Y}/{day}.html"


def _row(page: Page, text: str) -> Locator:
    """正文里的一行，不在面板里。"""
    return page.locator("article > :is(ul, ol) > li[data-todo]", has_text=text)


def _mark(page: Page) -> None:
    """在这一页上留个记号：热加载刷新过，记号就没有了。"""
    page.evaluate("document.documentElement.dataset.stale = '1'")


def _reloaded(page: Page) -> None:
    expect(page.locator("html[data-stale]")).to_have_count(0, timeout=30_000)


def test_a_box_of_today_is_ticked_and_taken_back(served: Served, page: Page) -> None:
    before = _today(served).read_bytes()
    page.goto(_day(served, 0))
    row = _row(page, TODO)
    tick = row.get_by_role("checkbox", name=TODO)
    expect(tick).not_to_be_checked()
    page.emulate_media(media="print")
    expect(tick).to_be_visible()  # 是按钮，也印出来
    expect(row.locator(".rz-drop")).to_be_hidden()
    page.emulate_media(media="screen")
    _mark(page)
    tick.click()
    undo = row.get_by_role("button", name="撤销")
    expect(undo).to_be_visible()
    assert f"- [x] {TODO}" in _today(served).read_text("utf-8")
    _reloaded(page)
    expect(row.get_by_role("img", name="已完成")).to_be_visible()
    expect(row.get_by_role("checkbox")).to_have_count(0)
    expect(undo).to_be_visible()  # 刷新之后仍在
    expect(undo).to_be_focused()
    _mark(page)
    undo.click()
    _reloaded(page)
    expect(row.get_by_role("checkbox", name=TODO)).to_be_visible()
    expect(page.get_by_role("button", name="撤销")).to_have_count(0)
    assert _today(served).read_bytes() == before


def test_a_box_of_a_past_page_is_settled_today_with_the_keyboard(
    served: Served, page: Page
) -> None:
    today, past = _today(served), day_path(Vault(served.root), vaults.days(served.root)[0])
    before, old = today.read_bytes(), past.read_bytes()
    page.goto(_day(served, 2))
    row = _row(page, "复习二叉树")
    tick = row.get_by_role("checkbox", name="复习二叉树")
    tick.focus()
    page.keyboard.press("Tab")
    drop = row.get_by_role("button", name="放弃")
    expect(drop).to_be_focused()
    expect(drop).to_have_css("opacity", "1")  # 没有指到它，焦点到了也看得见
    page.keyboard.press("Shift+Tab")
    _mark(page)
    page.keyboard.press("Space")
    expect(row.get_by_role("button", name="撤销")).to_be_focused()
    assert "- [x] 复习二叉树（自 " in today.read_text("utf-8") and past.read_bytes() == old
    _reloaded(page)
    expect(row.get_by_role("img", name="已完成")).to_be_visible()  # 过去那页，现在的样子
    expect(row.get_by_role("button", name="撤销")).to_be_focused()
    _mark(page)
    page.keyboard.press("Enter")
    _reloaded(page)
    expect(row.get_by_role("checkbox")).to_be_visible()
    assert today.read_bytes() == before


def test_a_todo_is_dropped_from_home_and_taken_back_there(served: Served, page: Page) -> None:
    before = _today(served).read_bytes()
    page.goto(f"{served.address}/index.html")
    row = page.locator("li.rz-todo", has_text="复习二叉树")
    _mark(page)
    row.hover()
    row.get_by_role("button", name="放弃").click()
    undo = page.get_by_role("button", name="撤销：放弃：复习二叉树")
    expect(undo).to_be_visible()
    assert "- [-] 复习二叉树" in _today(served).read_text("utf-8")
    _reloaded(page)
    expect(undo).to_be_visible()
    expect(row.get_by_role("checkbox")).to_have_count(0)
    # 那一行已经不在这一页上的，「撤销」在页脚
    page.evaluate("""() => {
      const last = JSON.parse(sessionStorage.getItem("rizhi-last"));
      sessionStorage.setItem("rizhi-last", JSON.stringify({...last, todo: "0".repeat(16)}));
    }""")
    page.reload()
    notice = page.locator(".rz-notice")
    expect(notice).to_contain_text("放弃：复习二叉树")
    _mark(page)
    undo.click()
    _reloaded(page)
    expect(row.get_by_role("checkbox")).to_be_visible()
    assert _today(served).read_bytes() == before


def test_what_the_server_says_stands_beside_the_row(served: Served, browser: Browser) -> None:
    with _page(browser) as page:
        page.goto(f"{served.address}/todos/index.html")
        row = page.locator("li.rz-todo", has_text=TODO)
        said, tick = row.get_by_role("alert"), row.get_by_role("checkbox")
        before = _docs(served)
        for status, error in ((503, "上一个动作还没有做完。"), (403, "口令不对。")):
            body = json.dumps({"error": error})
            page.route("**/rizhi/live/*", partial(_answer, status=status, body=body))
            tick.click()
            expect(said).to_have_text(error)  # 只有这一次的，上一次的不留
            expect(tick).to_have_attribute("data-mark", " ")
            expect(tick).to_be_enabled()
        page.unroute("**/rizhi/live/*")
        page.route("**/rizhi/live/*", lambda route: route.abort())
        tick.click()
        expect(said).to_contain_text("连不上")
        page.unroute("**/rizhi/live/*")
        row.evaluate("(row) => (row.dataset.todo = '0'.repeat(16))")
        tick.click()
        expect(said).to_contain_text("文字改过")
        assert _docs(served) == before


def test_boxes_ticked_one_after_another_are_all_settled(served: Served, page: Page) -> None:
    today = _today(served)
    before = today.read_bytes()
    texts = (TODO, "复习二叉树")
    page.goto(f"{served.address}/todos/index.html")
    rows = page.locator("li.rz-todo", has_text=re.compile("|".join(texts)))
    expect(rows.get_by_role("checkbox")).to_have_count(2)
    _mark(page)
    rows.evaluate_all("(rows) => rows.forEach((row) => row.querySelector('.rz-tick').click())")
    for text in texts:
        row = page.locator("li.rz-todo", has_text=text)
        expect(row.get_by_role("img", name="已完成")).to_be_visible()
    written = today.read_text("utf-8")
    assert all(f"- [x] {text}" in written for text in texts)
    _reloaded(page)
    _mark(page)
    today.write_bytes(before)
    _reloaded(page)


def test_what_is_said_only_once_stays_until_read(served: Served, browser: Browser) -> None:
    today = _today(served)
    before = today.read_bytes()
    with _page(browser) as page:
        page.goto(_day(served, 0))
        _mark(page)
        _row(page, TODO).get_by_role("checkbox").click()
        _reloaded(page)
        _mark(page)
        today.write_bytes(before + "\n他先前打开的那份，存了回来。\n".encode())
        _reloaded(page)
        page.goto(_day(served, 2))
        _mark(page)
        _row(page, "复习二叉树").get_by_role("checkbox").click()
        said = page.locator(".rz-warned")
        expect(said).to_contain_text(f"少的是「- [x] {TODO}」")
        _reloaded(page)
        expect(said).to_contain_text(TODO)  # 刷新之后仍在
        expect(_row(page, "复习二叉树").get_by_role("button", name="撤销")).to_be_visible()
        said.get_by_role("button", name="知道了").click()
        expect(said).to_have_count(0)
        page.reload()
        expect(said).to_have_count(0)
        _mark(page)
        today.write_bytes(before)
        _reloaded(page)


def _answer(route: Route, status: int, body: str) -> None:
    route.fulfill(status=status, content_type="application/json", body=body)


def test_an_undo_that_would_overwrite_is_refused_and_not_offered_again(
    served: Served, browser: Browser
) -> None:
    today = _today(served)
    before = today.read_bytes()
    with _page(browser) as page:
        page.goto(_day(served, 0))
        row = _row(page, TODO)
        _mark(page)
        row.get_by_role("checkbox").click()
        undo = row.get_by_role("button", name="撤销")
        expect(undo).to_be_visible()
        page.route("**/livereload/**", lambda route: route.abort())  # 还没有刷新，他又写了
        _reloaded(page)
        expect(undo).to_be_visible()
        today.write_bytes(today.read_bytes() + "\n他又写了一句。\n".encode())
        undo.click()
        expect(row.get_by_role("alert")).to_contain_text("又改过")
        page.reload()
        expect(row.get_by_role("img", name="已完成")).to_be_visible()
        expect(undo).to_have_count(0)
    today.write_bytes(before)


def test_on_a_phone_every_target_is_large_and_nothing_overflows(
    served: Served, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True,
                                  is_mobile=True)  # fmt: skip
    page = context.new_page()
    for address in (_day(served, 2), f"{served.address}/todos/index.html", served.address):
        page.goto(address)
        expect(page.locator(".rz-drop").first).to_be_visible()
        # 点框的四角外 11 像素，落在它自己上；「放弃」看得见，也够大
        short = page.evaluate("""() => [...document.querySelectorAll(".rz-tick, .rz-drop")]
            .filter((node) => node.checkVisibility()).filter((node) => {
              node.scrollIntoView({block: "center"});
              const box = node.getBoundingClientRect();
              const x = box.x + box.width / 2, y = box.y + box.height / 2;
              const hit = ([dx, dy]) => node.contains(document.elementFromPoint(x + dx, y + dy));
              const far = node.matches(".rz-tick") ? 19 : 12;
              return ![[0, -far], [0, far], [-12, 0], [12, 0]].every(hit);
            }).map((node) => node.ariaLabel)""")
        assert short == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_today_is_made_from_home_and_opened_when_built(served: Served, page: Page) -> None:
    today, address = _today(served), _day(served, 0)
    before = today.read_bytes()
    page.add_init_script(path=AXE)
    page.emulate_media(color_scheme="dark")  # 主题的按钮在暗色里曾看不见
    page.goto(f"{served.address}/index.html")
    today.unlink()
    try:
        expect(page.locator("[data-action=new]")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("button", name="写今天")).to_be_visible()
        assert page.evaluate(RUN) == []
        page.get_by_role("button", name="写今天").click()
        page.wait_for_url(address, timeout=30_000)
        expect(page.locator("h1")).to_contain_text(today.stem)
        assert "## 今日目标" in today.read_text("utf-8")
    finally:
        today.write_bytes(before)


def test_who_went_elsewhere_is_not_dragged_to_today(served: Served, page: Page) -> None:
    today = _today(served)
    before = today.read_bytes()
    page.goto(f"{served.address}/index.html")
    today.unlink()
    try:
        page.get_by_role("button", name="写今天").click(timeout=30_000)
        expect(page.locator("[data-action=new]")).to_contain_text("建好就打开")
        elsewhere = f"{served.address}/todos/index.html"
        page.goto(elsewhere)
        page.wait_for_function("!sessionStorage.getItem('rizhi-new')", timeout=30_000)
        page.wait_for_timeout(1000)
        assert page.url == elsewhere
    finally:
        today.write_bytes(before)


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
