"""在浏览器里复习：键盘做完一场、撤回、重载接着来；手机、读屏、两个标签页；答一张不重建。"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from rizhi.recall import grade, log, schedule, session
from rizhi.vault import Vault, find_vault, today
from tests.browser.test_axe import AXE, RUN
from tests.rizhi.mkdocs_plugin.served import Served, serving

pytestmark = pytest.mark.browser
NOTE = r"""---
title: 转角
---

# 转角

## 自测

??? question "位置 $m$ 转多少，`cos` 的形状是？"
    转 $m\theta$，见[旋转](../attention/rope.md)：

    ```python
    cos = angle.cos()  # (T, D)
    ```
"""
# 一题默写，题面与判分由测试说：页面这一边只认协议
CODE: dict[str, Any] = {
    "key": "0" * 16,
    "kind": "默写",
    "note": {"slug": "rope", "title": "旋转", "url": "../notes/attention/rope.html"},
    "html": "<p>写出 <code>double</code>。</p>",
    "input": "code",
    "choices": [],
    "changed": [],
    "rows": 2,
    "new": True,
    "hints": True,
    "days": [1, 1, 2, 8],
}
CHOICE = CODE | {
    "key": "1" * 16,
    "kind": "哪个检验会红",
    "html": "<p>哪个检验会红？</p>",
    "input": "choice",
    "choices": ["检验 一", "检验 二"],
    "changed": ["llm.a:f 改了，答完看改在哪里。"],
}
SELF = CODE | {"key": "3" * 16, "kind": "自测", "html": "<p>为什么？</p>", "input": ""}
OLDS = [{"id": "a", "html": "<p>旧的字</p>"}, {"id": "b", "html": "<p>更旧的</p>"}]
MATH = '<p>用到 <span class="arithmatex">\\(x\\)</span></p>'
DOUBT = {
    "key": "2" * 16,
    "kind": "自测",
    "note": CODE["note"],
    "html": "<p>新的字</p>",
    "olds": OLDS,
}
SESSION = {"day": "2026-11-26", "note": None, "cards": [CODE], "later": 0, "empty": False,
           "doubts": [], "fresh": 0, "missing": ["先 rizhi drills。"],
           "problems": [], "done": 0, "forgot": 0, "tomorrow": 0}  # fmt: skip


@dataclass
class Server:
    """服务器那一边由测试说：答什么、收到过什么；`hold` 里的动作先不答。"""

    cards: list[dict[str, Any]]
    answers: dict[str, Any] = field(default_factory=dict)
    doubts: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    hold: set[str] = field(default_factory=set)
    held: list[Route] = field(default_factory=list)
    got: list[tuple[str, Any]] = field(default_factory=list)
    graded: list[str] = field(default_factory=list)

    def reply(self, route: Route) -> None:
        action = route.request.url.rpartition("/")[2]
        self.got.append((action, route.request.post_data_json))
        if action == "review-grade" and action not in self.answers:
            self.graded.append(route.request.post_data_json["card"])
        if action == "review-undo":
            self.graded.pop()
        if action in self.hold:
            self.held.append(route)
        else:
            route.fulfill(json=self.answer(action))

    def answer(self, action: str) -> Any:
        left = [one for one in self.cards if one["key"] not in self.graded]
        usual = {
            "review": SESSION | {"cards": left, "doubts": self.doubts} | self.more,
            "review-start": {"start": "def double(x):"},
            "review-hint": {"html": "<p>用到 x</p>", "more": True},
            "review-show": {"html": "<p>答</p>"},
            "review-try": {"right": False, "lines": ["不对。"]},
            "review-grade": {"said": "2 天后再问。", "read": None, "events": ["a"], "done": 1,
                             "left": [one["key"] for one in left]},
            "review-undo": {"said": "撤回了，再答一遍。"},
        }  # fmt: skip
        return self.answers.get(action, usual.get(action))

    def sent(self, action: str) -> list[Any]:
        return [wanted for name, wanted in self.got if name == action]

    def open(self, page: Page, served: Served) -> None:
        page.route(re.compile(r"/rizhi/live/review(-\w+)?$"), self.reply)
        _open(page, served)

    def late(self, page: Page, answer: Any) -> None:
        """先不答的那一个，这时才答。"""
        self.hold.clear()
        self.held.pop().fulfill(json=answer)
        page.wait_for_timeout(100)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    def prepare(root: Path) -> None:
        (root / "docs/notes/attention/angle.md").write_text(NOTE, "utf-8")

    folder = tmp_path_factory.mktemp("review")
    with serving(folder, "-m", "mkdocs", "serve", "-a", prepare=prepare) as found:
        yield found


@pytest.fixture
def vault(served: Served) -> Vault:
    """五张到期的、五张新的；要打字的记得最少，排在到期的最后。"""
    vault = find_vault(served.root)
    log.path(vault).unlink(missing_ok=True)
    now, day = datetime.now().astimezone(), today(vault)
    for ask in session.begin(vault, day).asks:
        ago = timedelta(days=6 if grade.judged(ask.card) else 5)
        session.answer(vault, ask, 3, now - ago, day - ago, None)
    return vault


def _open(page: Page, served: Served, query: str = "") -> None:
    page.goto(f"{served.address}/review/index.html{query}")
    expect(page.locator(".rz-card")).to_be_visible()


def _box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="你的答案")


def _shown(page: Page) -> None:
    page.keyboard.press("Space")
    expect(page.locator(".rz-grade")).to_have_count(4)


def _progress(page: Page) -> str:
    return page.locator(".rz-progress strong").inner_text()


def _answer(page: Page, grade: str) -> None:
    """只用键盘答一张；要打字的不会，看了答案就是忘了。"""
    card = page.locator(".rz-card")
    before = _progress(page)
    page.keyboard.press("Control+Enter" if card.get_by_role("textbox").count() else "Space")
    expect(card.get_by_role("region", name="答案")).to_be_focused()
    offered = page.locator(".rz-grade").count()
    page.keyboard.press(grade if offered > 1 else "1")
    expect(page.locator(".rz-progress strong", has_text=before)).to_have_count(0)


def _skip(page: Page) -> None:
    before = page.locator(".rz-card").get_attribute("data-card")
    page.get_by_role("button", name="跳过").click()
    expect(page.locator(f".rz-card[data-card='{before}']")).to_have_count(0)


def _reviewed(vault: Vault) -> list[int]:
    return [event.fields["grade"] for event in log.read(vault)[0]
            if event.what == "review" and event.fields["day"] == str(today(vault))]  # fmt: skip


def test_ten_cards_by_keyboard_taken_back_and_reloaded(
    served: Served, vault: Vault, page: Page
) -> None:
    built = served.log.count("Building documentation")
    page.goto(f"{served.address}/index.html")
    expect(page.locator(".rz-due")).to_contain_text("到期的 5 张，新的 5 张")
    page.get_by_role("link", name="去复习").click()
    assert _progress(page) == "第 1 张，共 10 张"
    expect(page.locator(".rz-progress")).to_contain_text("还有到期的 5 张，新的 5 张")
    expect(page.locator(".rz-card")).to_be_focused()
    first = page.locator(".rz-card").get_attribute("data-card") or ""
    page.keyboard.press("h")
    expect(page.locator(".rz-hint")).to_be_visible()
    _answer(page, "1")
    expect(page.get_by_role("status").first).to_contain_text("上一张：忘了，明天再问。")
    expect(page.locator(".rz-keys [role=alert]")).to_be_empty()
    page.keyboard.press("u")
    expect(page.locator(".rz-card")).to_have_attribute("data-card", first)
    assert _progress(page) == "第 1 张，共 10 张" and _reviewed(vault) == []
    for _ in range(4):
        _answer(page, "3")
    page.keyboard.press("Escape")  # 也许正在写答案的框里
    page.keyboard.press("s")
    expect(page.locator(".rz-foot")).to_contain_text("跳过了")
    page.reload()
    assert _progress(page) == "第 5 张，共 10 张"  # 跳过的还在后头
    for _ in range(5):
        _answer(page, "4")
    page.get_by_role("button", name="再看跳过的").press("Enter")
    _answer(page, "2")
    done = page.get_by_role("region", name="收尾")
    expect(done).to_contain_text("做完了。")
    forgot = _reviewed(vault).count(1)
    expect(done).to_contain_text(re.compile(rf"今天答了 10 张，忘了 {forgot} 张；明天到期 \d 张。"))
    assert len(_reviewed(vault)) == 10 and set(_reviewed(vault)) >= {3, 4}
    page.keyboard.press("u")
    expect(page.locator(".rz-progress strong")).to_have_text("第 10 张，共 10 张")
    page.goto(f"{served.address}/index.html")
    expect(page.locator(".rz-due")).to_contain_text("；做了 9 张")
    assert served.log.count("Building documentation") == built  # 答多少张也不重建


def test_a_note_tells_what_is_kept_and_is_reviewed_alone(
    served: Served, vault: Vault, page: Page
) -> None:
    page.goto(f"{served.address}/notes/attention/angle.html")
    line = page.locator(".rz-kept")
    state = next(s for s in schedule.replay(log.read(vault)[0]).values() if s.note == "angle")
    kept = round(100 * schedule.retrievability(state, today(vault)))
    expect(line).to_contain_text(f"这一篇还记得 {kept}%：1 题，问过 1 题")
    line.get_by_role("link", name="现在复习").click()
    expect(page.locator(".rz-asked .katex")).to_have_count(1)
    expect(page.locator(".rz-asked code")).to_have_text("cos")
    page.keyboard.press("Enter")
    answer = page.get_by_role("region", name="答案")
    expect(answer.locator(".katex")).to_have_count(1)
    expect(answer.locator(".highlight .c1, .highlight .n").first).to_be_visible()
    link = answer.get_by_role("link", name="旋转")
    assert (link.get_attribute("href") or "").endswith("../notes/attention/rope.html")
    page.keyboard.press("3")
    page.get_by_role("link", name="回「转角」").click()
    expect(line).to_contain_text("还记得 100%")


def test_code_is_indented_kept_over_a_reload_and_graded(served: Served, page: Page) -> None:
    said: list[str] = []

    def reply(route: Route) -> None:
        action = route.request.url.rpartition("/")[2]
        wanted = route.request.post_data_json
        right = wanted.get("said", "").endswith("return x * 2")
        said.append(f"{action} {wanted.get('said', '')}".strip())
        lines = ["对。"] if right else ["不对。你得到 1，应是 2。", "与写成「+」的症状一样。"]
        answers = {
            "review": SESSION | {"cards": [CODE] if "review-grade" not in said else []},
            "review-start": {"start": "def double(x):"},
            "review-hint": {"html": "<p>用到 x</p>", "more": False},
            "review-try": {
                "right": right,
                "lines": lines,
                "named": lines[-1],
                **({"html": "答"} if right else {}),
            },
            "review-grade": {"said": "2 天后再问。", "read": None, "events": ["a"], "done": 1,
                             "left": []},
        }  # fmt: skip
        route.fulfill(json=answers[action])

    page.route(re.compile(r"/rizhi/live/review(-\w+)?$"), reply)
    _open(page, served)
    box = page.get_by_role("textbox", name="你的答案")
    expect(box).to_be_focused()
    expect(box).to_have_value("def double(x):")
    box.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("if x: # 一句\nreturn 1")
    assert box.input_value() == "def double(x):\n    if x: # 一句\n        return 1"
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="交答案")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".rz-verdict")).to_contain_text("你得到 1，应是 2")
    read = page.locator(".rz-verdict").get_by_role("link", name="去读「旋转」")
    assert (read.get_attribute("href") or "").endswith("attention/rope.html")
    expect(page.locator(".rz-grade")).to_have_count(0)  # 答错不算，还能再交
    page.reload()
    assert box.input_value().endswith("return 1")  # 没交的也还在
    box.press("Escape")
    page.keyboard.press("h")
    expect(page.locator(".rz-hint")).to_have_text("用到 x")
    expect(page.get_by_role("button", name="提示")).to_have_count(0)
    page.get_by_role("button", name="从头写").click()
    expect(box).to_have_value("def double(x):")
    box.fill("def double(x):\n    return x * 2")
    box.press("Control+Enter")
    expect(page.locator(".rz-grade")).to_have_count(4)
    expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力 明天")  # 用过提示
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="收尾")).to_contain_text("先 rizhi drills。")
    assert said[-2:] == ["review-grade", "review"] and said[-3].startswith("review-try def double")
    kept = page.evaluate("Object.keys(localStorage)")
    assert not [name for name in kept if "rizhi" in name]  # 交过的草稿不留


def test_in_doubt_it_asks_first_and_a_check_is_chosen_by_its_number(
    served: Served, browser: Browser
) -> None:
    said: list[object] = []
    session = SESSION | {"cards": [CHOICE], "doubts": [DOUBT]}

    def reply(route: Route) -> None:
        action, wanted = route.request.url.rpartition("/")[2], route.request.post_data_json
        if action == "review-settle":
            session["doubts"] = []
        said.extend(wanted[name] for name in ("same", "said") if name in wanted)
        right = wanted.get("said") == "2"
        answers = {
            "review": session,
            "review-settle": {"said": "记下了：是一道新题。"},
            "review-try": {"right": right, "lines": ["对。" if right else "不对。"], "html": "答"},
        }
        route.fulfill(json=answers[action])

    with _screen(browser, 390, "dark") as page:
        page.route(re.compile(r"/rizhi/live/review(-\w+)?$"), reply)
        _open(page, served)
        card = page.get_by_role("region", name="是不是同一题")
        expect(card).to_contain_text("旧的字")
        assert page.evaluate(RUN) == []
        page.keyboard.press("l")
        page.get_by_role("radiogroup", name="哪个检验会红").wait_for()
        page.evaluate("sessionStorage.clear()")
        page.reload()
        page.get_by_role("button", name="不是").click()
        expect(card).to_contain_text("更旧的")
        page.keyboard.press("n")
        expect(page.get_by_role("status").first).to_contain_text("是一道新题")
        expect(page.locator(".rz-card")).to_contain_text("llm.a:f 改了")
        assert page.evaluate(RUN) == []
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        expect(page.locator(".rz-verdict")).to_have_text("不对。")
        page.get_by_role("radio", name="检验 二").check()
        page.get_by_role("button", name="交答案").click()
        expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力")
        assert said == [None, "1", "2"]


def test_two_tabs_and_a_server_that_is_gone(served: Served, vault: Vault, browser: Browser) -> None:
    context = browser.new_context()
    one, two = context.new_page(), context.new_page()
    for page in (one, two):
        _open(page, served)
    _answer(one, "3")
    show = two.get_by_role("button", name="看答案")
    show.click()
    expect(two.locator(".rz-foot")).to_contain_text("这一张刚才在别处答过了。")
    assert _progress(two) == "第 2 张，共 10 张" and len(_reviewed(vault)) == 1
    two.route("**/rizhi/live/*", lambda route: route.abort())
    show.click()
    expect(two.locator(".rz-keys [role=alert]")).to_contain_text("连不上 mkdocs serve")
    two.unroute("**/rizhi/live/*")
    with log.path(vault).open("ab") as file:
        file.write(b"{\n")
    _answer(two, "3")
    two.reload()
    expect(two.get_by_role("alert").first).to_contain_text("复习的日志这一行读不懂")
    assert _progress(two) == "第 3 张，共 10 张"
    context.close()


@contextmanager
def _screen(browser: Browser, width: int, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    phone = width < 500
    context = browser.new_context(viewport={"width": width, "height": 844}, has_touch=phone,
                                  is_mobile=phone, color_scheme=scheme)  # fmt: skip
    context.add_init_script(path=AXE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_state_can_be_seen_read_and_touched(
    served: Served, vault: Vault, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    phone = width < 500
    with _screen(browser, width, scheme) as page:

        def look() -> None:
            assert page.evaluate(RUN) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            short = page.evaluate("""() => [...document.querySelectorAll(".rz-do")]
                .map((node) => node.getBoundingClientRect().height).filter((high) => high < 44)""")
            assert not (phone and short)

        asks = session.begin(vault, today(vault)).asks
        typed = next(ask.card.note for ask in asks if grade.judged(ask.card))
        _open(page, served)
        page.get_by_role("button", name="看答案").click()
        for name in ("忘了 明天", "吃力", "记得", "容易"):
            expect(page.get_by_role("button", name=name)).to_be_visible()
        look()
        _open(page, served, f"?note={typed}")
        while not page.get_by_role("textbox", name="你的答案").count():
            _answer(page, "3")
        if not phone:
            page.keyboard.press("Escape")
            page.keyboard.press("?")
            expect(page.get_by_role("dialog", name="按键")).to_be_visible()
        look()
        page.goto(f"{served.address}/{'index' if phone else f'notes/attention/{typed}'}.html")
        expect(page.locator(".rz-due, .rz-kept")).to_be_visible()
        look()


@pytest.mark.parametrize("right", [True, False])
def test_a_verdict_that_comes_after_the_card_was_skipped_is_dropped(
    served: Served, page: Page, right: bool
) -> None:
    server = Server([CODE, SELF], hold={"review-try"})
    server.open(page, served)
    _box(page).fill("def double(x): return x")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".rz-verdict")).to_contain_text("在判")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    card = page.locator(".rz-card")
    expect(card).to_have_attribute("data-card", SELF["key"])
    server.late(page, {"right": right, "lines": ["判过了"], "html": "<p>上一张的答案</p>"})
    expect(card).to_have_text(re.compile("为什么？$"))
    expect(page.locator(".rz-grade")).to_have_count(0)
    _shown(page)
    page.keyboard.press("3")
    page.wait_for_timeout(100)
    (graded,) = server.sent("review-grade")
    assert (graded["card"], graded["attempt"]) == (SELF["key"], "")


def test_a_late_verdict_leaves_the_one_being_waited_for(served: Served, page: Page) -> None:
    server = Server([CODE, CODE | {"key": "4" * 16}], hold={"review-try"})
    server.open(page, served)
    for text in ("一", "二"):
        _box(page).fill(text)
        page.keyboard.press("Control+Enter")
        expect(page.locator(".rz-verdict")).to_contain_text("在判")
        if text == "一":
            page.keyboard.press("Escape")
            page.keyboard.press("s")
    server.held.pop(0).fulfill(json={"right": False, "lines": ["不对。"]})
    page.wait_for_timeout(100)
    expect(page.locator(".rz-verdict")).to_contain_text("在判")
    server.late(page, {"right": False, "lines": ["第二张的"]})
    expect(page.locator(".rz-verdict")).to_have_text("第二张的")


def test_a_hint_that_comes_after_the_card_was_skipped_is_dropped(
    served: Served, page: Page
) -> None:
    server = Server([SELF, CODE], hold={"review-hint"})
    server.open(page, served)
    page.keyboard.press("h")
    page.keyboard.press("s")
    box = _box(page)
    expect(box).to_have_value("def double(x):")  # 前一张没有答完，不挡这一张的起始代码
    server.late(page, server.answer("review-hint"))
    expect(page.locator(".rz-hint")).to_have_count(0)


def test_a_card_being_graded_is_not_skipped(served: Served, page: Page) -> None:
    server = Server([SELF, CODE], hold={"review-grade"})
    server.open(page, served)
    _shown(page)
    page.keyboard.press("3")
    page.keyboard.press("s")
    card = page.locator(".rz-card")
    expect(card).to_have_attribute("data-card", SELF["key"])
    server.late(page, server.answer("review-grade"))
    expect(card).to_have_attribute("data-card", CODE["key"])
    expect(page.locator(".rz-foot")).to_contain_text("上一张：记得")


def _hold(page: Page, key: str) -> None:
    """按住不放：头一下之后，键盘自己重复；还没有放开。"""
    page.keyboard.down(key)
    page.wait_for_timeout(200)
    for _ in range(3):
        page.keyboard.down(key)
    page.wait_for_timeout(100)


@pytest.mark.parametrize("key", ["Enter", "3"])
@pytest.mark.parametrize("kind", ["line", "lines", "code"])
def test_a_key_held_down_grades_one_card(served: Served, page: Page, key: str, kind: str) -> None:
    server = Server([SELF, CODE | {"input": kind}], answers={"review-start": {"start": "起始"}})
    server.open(page, served)
    _shown(page)
    _hold(page, key)
    page.keyboard.up(key)
    assert len(server.sent("review-grade")) == 1 and len(server.sent("review-show")) == 1
    expect(_box(page)).to_have_value("起始" if kind == "code" else "")


def test_a_key_held_down_hands_in_once_and_writes_on(served: Served, page: Page) -> None:
    server = Server([CODE | {"input": "line"}, CODE | {"key": "4" * 16}])
    server.open(page, served)
    _box(page).fill("错的")
    _hold(page, "Enter")
    page.keyboard.up("Enter")
    button = page.get_by_role("button", name="交答案")
    button.focus()
    _hold(page, "Enter")
    page.keyboard.up("Enter")
    assert len(server.sent("review-try")) == 2
    page.get_by_role("button", name="跳过").click()
    expect(_box(page)).to_have_value("def double(x):")
    _box(page).press("Control+a")
    _hold(page, "a")  # 在框里按住的，照常写
    expect(_box(page)).to_have_value("aaaa")


LONG = "".join(f"<p>第 {n} 段</p>" for n in range(60))


@pytest.mark.parametrize("width", [1280, 390])
def test_what_went_wrong_is_seen_where_the_page_is_scrolled(
    served: Served, browser: Browser, width: int
) -> None:
    wrong = "时钟往回拨了：上一次复习在 23:00:00。"
    server = Server([SELF], {"review-show": {"html": LONG}, "review-grade": {"error": wrong}})
    with _screen(browser, width, "light") as page:
        server.open(page, served)
        _shown(page)
        page.mouse.wheel(0, 900)
        page.get_by_role("button", name="记得").click()
        said = page.get_by_role("alert").filter(has_text=wrong)
        expect(said).to_be_in_viewport(ratio=1)
        server.answers.pop("review-grade")
        page.get_by_role("button", name="记得").click()
        expect(said).to_have_count(0)


def _hidden(page: Page, selector: str) -> bool:
    """这一块的顶上被顶栏盖住，或在屏幕之外。"""
    return bool(page.evaluate(
        """selector => {
            const { top } = document.querySelector(selector).getBoundingClientRect();
            const bar = document.querySelector(".md-header").getBoundingClientRect().bottom;
            return top < bar || top > innerHeight;
        }""", selector))  # fmt: skip


@pytest.mark.parametrize("width", [1280, 390])
def test_the_next_card_is_seen_from_its_top(served: Served, browser: Browser, width: int) -> None:
    long = CODE | {"key": "4" * 16, "html": LONG}
    server = Server([SELF, long], {"review-show": {"html": LONG}})
    server.doubts = [DOUBT | {"html": LONG}, DOUBT | {"key": "5" * 16, "html": LONG}]
    server.more = {"missing": ["缺一样。"] * 60}
    with _screen(browser, width, "light") as page:
        server.open(page, served)
        for act in ("以后再说", "以后再说", "看答案", "记得", "跳过"):
            page.mouse.wheel(0, 1200)
            page.wait_for_timeout(100)
            page.get_by_role("button", name=act).click()
            page.wait_for_timeout(200)
            if act != "看答案":
                assert not _hidden(page, ".rz-card"), act
        expect(page.get_by_role("region", name="收尾")).to_be_visible()


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "null",
        '{"day": "2026-11-26", "undo": [], "skipped": []}',
        '{"day": "2026-11-26", "undo": 1, "skipped": {}}',
    ],
)
def test_what_the_browser_kept_is_damaged_and_taken_as_nothing(
    served: Served, page: Page, bad: str
) -> None:
    server = Server([CODE, SELF])
    page.goto(f"{served.address}/index.html")
    for storage, key in (("session", "rizhi-review"), ("local", f"rizhi-answer-{CODE['key']}")):
        page.evaluate("([a, k, v]) => window[`${a}Storage`].setItem(k, v)", [storage, key, bad])
    server.open(page, served)
    expect(_box(page)).to_have_value("def double(x):")
    page.get_by_role("button", name="跳过").click()
    expect(page.locator(".rz-card")).to_have_attribute("data-card", SELF["key"])


def test_a_reload_forgets_neither_the_wrong_answers_nor_the_hints(
    served: Served, page: Page
) -> None:
    server = Server([CODE])
    server.open(page, served)
    _box(page).fill("错的")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".rz-verdict")).to_have_text("不对。")
    page.reload()
    server.answers["review-try"] = {"right": True, "lines": ["对。"], "html": "<p>答</p>"}
    _box(page).press("Control+Enter")
    expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力")
    page.keyboard.press("2")
    expect(page.get_by_role("status").first).to_contain_text("上一张")
    assert server.sent("review-grade")[0]["attempt"] == "错的"


def test_a_reload_goes_on_from_the_hints_already_seen(served: Served, page: Page) -> None:
    server = Server([CODE])
    server.open(page, served)
    for more in (True, False):
        server.answers["review-hint"] = {"html": MATH, "more": more}
        page.get_by_role("button", name="提示").click()
        expect(page.locator(".rz-hint .katex")).to_have_count(1 if more else 2)
        page.reload()
        expect(page.locator(".rz-hint .katex")).to_have_count(1 if more else 2)
    expect(page.get_by_role("button", name="提示")).to_have_count(0)
    page.get_by_role("button", name="按键").focus()
    page.keyboard.press("h")
    assert [wanted["number"] for wanted in server.sent("review-hint")] == [0, 1]
    server.answers["review-try"] = {"right": True, "lines": ["对。"], "html": "<p>答</p>"}
    _box(page).press("Control+Enter")
    expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力")


def test_a_reload_does_not_take_back_having_seen_the_answer(served: Served, page: Page) -> None:
    server = Server([CODE, SELF])
    server.open(page, served)
    page.get_by_role("button", name="看答案").click()
    page.get_by_role("region", name="答案").wait_for()
    page.reload()
    expect(page.get_by_role("region", name="答案")).to_be_visible()
    expect(page.locator(".rz-grade")).to_have_count(1)
    page.get_by_role("button", name="忘了").click()
    expect(page.locator(".rz-card")).to_have_attribute("data-card", SELF["key"])
    _shown(page)
    server.cards = [SELF]
    page.reload()  # 自己评的，再看一遍就是
    expect(page.get_by_role("button", name="看答案")).to_be_visible()


@pytest.mark.parametrize("kind", ["code", "line"])
def test_taken_back_the_box_holds_what_was_written_and_the_misses_count(
    served: Served, page: Page, kind: str
) -> None:
    server = Server([CODE | {"input": kind}, SELF])
    server.open(page, served)
    for text in ("错的", "对的"):
        _box(page).fill(text)
        _box(page).press("Control+Enter")
        expect(page.locator(".rz-verdict")).to_be_visible()
        page.wait_for_timeout(100)
        server.answers["review-try"] = {"right": True, "lines": ["对。"], "html": "<p>答</p>"}
    for _ in range(2):
        page.keyboard.press("2")
        expect(page.locator(".rz-card")).to_have_attribute("data-card", SELF["key"])
        page.keyboard.press("u")
        expect(_box(page)).to_have_value("对的")
        _box(page).press("Control+Enter")
        expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力")
    page.keyboard.press("2")
    expect(page.locator(".rz-card")).to_have_attribute("data-card", SELF["key"])
    assert [graded["attempt"] for graded in server.sent("review-grade")] == ["错的"] * 3


def test_taken_back_a_card_given_up_is_answered_again_and_hard(served: Served, page: Page) -> None:
    right = {"right": True, "lines": ["对。"], "html": "<p>答</p>"}
    server = Server([CODE, SELF], {"review-try": right})
    server.open(page, served)
    page.get_by_role("button", name="看答案").click()
    page.get_by_role("button", name="忘了").click()
    expect(page.locator(".rz-card")).to_have_attribute("data-card", SELF["key"])
    page.keyboard.press("u")
    _box(page).fill("对的")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".rz-grade.rz-first")).to_contain_text("吃力")


def test_a_page_that_is_not_there_has_no_errors_of_its_own(
    served: Served, browser: Browser
) -> None:
    with _screen(browser, 1280, "light") as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{served.address}/notes/没有/nosuch.html")
        expect(page.locator("article")).to_contain_text("没有这一页")
        assert errors == []
        assert page.evaluate("rizhiLive.url('index.html')") == f"{served.address}/index.html"
        page.goto(f"{served.address}/notes/attention/angle.html")
        assert page.evaluate("rizhiLive.url('index.html')") == f"{served.address}/index.html"


@pytest.mark.parametrize(
    ("kind", "rows", "key"),
    [("lines", 1, "Enter"), ("lines", 2, "Ctrl+Enter"), ("line", 1, "Enter"),
     ("code", 1, "Ctrl+Enter")],
)  # fmt: skip
def test_the_key_on_the_button_is_the_one_that_hands_in(
    served: Served, page: Page, kind: str, rows: int, key: str
) -> None:
    server = Server([CODE | {"input": kind, "rows": rows}])
    server.open(page, served)
    expect(page.get_by_role("button", name="交答案").locator("kbd")).to_have_text(key)
    _box(page).fill("错的")
    _box(page).press(key.replace("Ctrl", "Control"))
    expect(page.locator(".rz-verdict")).to_have_text("不对。")


def test_a_choice_out_of_reach_of_the_digits_shows_no_key(served: Served, page: Page) -> None:
    server = Server([CHOICE | {"choices": [f"检验 {n}" for n in range(1, 12)]}])
    server.open(page, served)
    keys = page.locator(".rz-choices kbd")
    assert keys.all_inner_texts() == [str(n) for n in range(1, 10)]
    page.keyboard.press("9")
    expect(page.get_by_role("radio", name="检验 9")).to_be_checked()


def test_two_tabs_answering_in_turn_count_the_same_cards(
    served: Served, vault: Vault, browser: Browser
) -> None:
    context = browser.new_context()
    one, two = context.new_page(), context.new_page()
    for page in (one, two):
        _open(page, served)
    for _ in range(2):
        _skip(two)
    for answered in (True, True, False, True, True):  # 另一页跳过的两张，与还排着的两张
        if answered:
            _answer(one, "3")
        else:
            _skip(one)
    _answer(two, "3")
    assert _progress(two) == "第 6 张，共 10 张"
    expect(two.locator(".rz-progress")).to_contain_text("还有新的 5 张")
    for _ in range(5):
        _skip(two)
    left = 10 - len(_reviewed(vault))
    expect(two.get_by_role("region", name="收尾")).to_contain_text(f"跳过了 {left} 张。")
    context.close()


@pytest.mark.parametrize("done", [0, 4])
def test_a_note_alone_says_which_count_is_of_it_and_which_of_all(
    served: Served, page: Page, done: int
) -> None:
    server = Server([], more={"done": done, "tomorrow": 5})
    page.route(re.compile(r"/rizhi/live/review(-\w+)?$"), server.reply)
    _open(page, served, "?note=rope")
    told = "答了 4 张，忘了 0 张" if done else "没有要复习的"
    line = f"这一篇今天{told}；连同别的笔记，明天到期 5 张。"
    expect(page.get_by_role("region", name="收尾")).to_contain_text(line)
    _open(page, served)
    expect(page.get_by_role("region", name="收尾")).to_contain_text(f"今天{told}；明天到期 5 张。")
