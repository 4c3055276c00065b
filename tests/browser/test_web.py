"""知识网的页面，像人一样点：热力图、待办、预览、键盘、打印；经服务器与 file:// 各来一遍。"""

import os
import re
import subprocess
import sys
import unicodedata
from datetime import date, datetime
from itertools import pairwise, product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from pypdf import PdfReader

from tests import vaults
from tests.conftest import Site

pytestmark = pytest.mark.browser
NOTE = "notes/attention/attention-mask.html"
TO_NOTE = f"article a[href$='{NOTE}']"


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """`make offline DIARY=true` 的产物，建在别处。"""
    target = tmp_path_factory.mktemp("offline")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(target)]
    environment = {**os.environ, "OFFLINE": "true", "DIARY": "true"}
    run = subprocess.run(command, cwd=site.root, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return target


@pytest.fixture(params=["http", "file"])
def root(request: pytest.FixtureRequest) -> str:
    """站点的根：本机的服务器，或直接打开文件。"""
    if request.param == "http":
        return str(request.getfixturevalue("address"))
    return request.getfixturevalue("offline").as_uri()


@pytest.fixture
def days(site: Site) -> list[date]:
    """写过的日子，从早到晚；最后两天是接连的。"""
    return vaults.days(site.root)


def _url(day: date) -> str:
    return f"daily/{day.year}/{day}.html"


def _arrive(page: Page, end: str) -> None:
    page.wait_for_url(lambda url: url.endswith(end))


# ---- 首页与热力图 ----


def test_heatmap_opens_the_day(page: Page, root: str) -> None:
    page.goto(f"{root}/index.html")
    cell = page.locator("div.rz-heat a").last
    day = (cell.get_attribute("title") or "")[:10]
    cell.click()
    _arrive(page, _url(date.fromisoformat(day)))
    expect(page.locator("nav.rz-days")).to_be_visible()


@pytest.mark.parametrize(("width", "weeks"), [(320, 18), (390, 24), (700, 34), (1280, 53)])
def test_heatmap_shows_as_many_weeks_as_fit(page: Page, root: str, width: int, weeks: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{root}/index.html")
    heat = page.locator("div.rz-heat")
    frame = heat.bounding_box()
    boxes = [b for w in heat.locator(".rz-week").all() if (b := w.bounding_box())]
    assert frame and len(boxes) >= weeks and heat.locator("a").last.is_visible()
    assert len(boxes) == weeks or weeks == 53  # 一年也可能碰到五十四周
    ends = frame["x"] + frame["width"] + 1
    assert all(frame["x"] <= b["x"] and b["x"] + b["width"] <= ends for b in boxes)
    assert all(b["width"] >= 10 for b in boxes) and len({b["y"] for b in boxes}) == 1
    assert heat.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_a_year_of_heat_is_whole_on_a_phone(page: Page, root: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{root}/daily/index.html")
    heat = page.locator("div.rz-heat")
    weeks = heat.locator(".rz-week")
    assert weeks.count() > 40 and all(week.is_visible() for week in weeks.all())
    assert heat.evaluate("node => node.scrollWidth <= node.clientWidth")
    last = weeks.last.locator("a, i:not(.rz-no)")
    expect(last.last).to_have_attribute("href", re.compile(r"\d{4}-\d\d-\d\d\.html"))  # 到今天为止


@pytest.mark.parametrize("width", [390, 1280])
def test_home_is_led_by_today_and_no_word_is_broken(page: Page, root: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{root}/index.html")
    today, latest = page.locator(".rz-today"), page.locator(".rz-latest")
    one, two = today.bounding_box(), latest.bounding_box()
    assert one and two and one["y"] < 300
    beside = two["x"] > one["x"] + one["width"]
    assert beside == (width == 1280) and (beside or two["y"] > one["y"] + one["height"])
    links = page.locator(".rz-map li > a")
    assert links.count() > 3
    for link in links.all():
        wide = link.evaluate("node => node.getClientRects().length")
        assert wide == 1, link.inner_text()  # 一行一篇


@pytest.mark.parametrize("width", [390, 1280])
def test_no_panel_leaves_half_a_row_empty(page: Page, root: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{root}/index.html")
    grid = page.locator(".rz-home").bounding_box()
    boxes = [panel.bounding_box() for panel in page.locator(".rz-home > .rz-panel").all()]
    assert grid and all(boxes)
    rows: dict[float, list[float]] = {}
    for box in filter(None, boxes):
        rows.setdefault(round(box["y"]), []).append(box["x"] + box["width"])
    assert len(rows) < len(boxes) if width == 1280 else len(rows) == len(boxes)
    assert all(max(ends) >= grid["x"] + grid["width"] - 2 for ends in rows.values())


def test_whatever_panels_home_has_fill_their_rows(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}/index.html")
    choices = product(*((kind, "") for kind in ("that", "latest", "open", "pinned", "heat")))
    for kinds in choices:
        shown = ["today", *filter(None, kinds), "map"]
        if "that" in shown and "latest" not in shown:
            continue  # 有那天，就有最近三天
        boxes = page.evaluate(
            """kinds => {
              const home = document.querySelector(".rz-home");
              const section = kind => `<section class="rz-panel rz-${kind}"><h2>题</h2></section>`;
              home.innerHTML = kinds.map(section).join("");
              const box = node => { const b = node.getBoundingClientRect();
                return [b.left, b.right, b.top, b.bottom]; };
              return [home, ...home.children].map(box);
            }""",
            shown,
        )
        (left, right, _, _), *panels = boxes
        for at in (edge for *_, top, bottom in panels for edge in (top + 5, bottom - 5)):
            across = sorted((a, b) for a, b, start, end in panels if start < at < end)
            ends = [left, *(edge for pair in across for edge in pair), right]
            gaps = [b - a for a, b in zip(ends[::2], ends[1::2], strict=True)]
            assert gaps[0] == gaps[-1] == 0 and all(0 < gap < 20 for gap in gaps[1:-1]), shown


# ---- 待办 ----


def _change_first_todo(page: Page, script: str) -> None:
    """赶在页面自己的脚本之前，改第一件还开着的事：不指望知识库里正好有这样一件。"""
    page.add_init_script(
        f"""new MutationObserver((_, observer) => {{
          const todo = document.querySelector("li.rz-todo[data-state=open]:has(.rz-text)");
          if (!todo) return;
          observer.disconnect();
          {script};
        }}).observe(document, {{ childList: true, subtree: true }});"""
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_steps_stand_in_one_row_or_one_column(page: Page, offline: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in sorted(offline.glob("notes/*/*.html")):
        page.goto(path.as_uri())
        boxes = [step.bounding_box() for step in page.locator(".rz-before .rz-step").all()]
        across = all(a["x"] + a["width"] < b["x"] for a, b in pairwise(boxes))
        down = all(a["y"] + a["height"] < b["y"] for a, b in pairwise(boxes))
        assert across or down, path


@pytest.mark.parametrize(("hour", "late"), [(3, False), (5, True)])
def test_late_is_told_by_the_day_of_reading(page: Page, root: str, hour: int, late: bool) -> None:
    """到期那天的后一天凌晨三点还算当天，五点就逾期了；不管站点是哪天建的。"""
    _change_first_todo(
        page,
        """const long = todo.cloneNode(true);
          long.dataset.due = "2001-01-01", long.dataset.long = "1";
          todo.dataset.due = "2031-05-01", todo.dataset.probe = "1";
          const parked = long.cloneNode(true);  // 搁到的那天不是期限
          parked.dataset.parked = "", parked.dataset.long = "2";
          todo.after(long, parked)""",
    )
    page.clock.set_fixed_time(datetime(2031, 5, 2, hour))
    page.goto(f"{root}/todos/index.html")
    expect(page.locator("li[data-long='1']")).to_have_attribute("data-late", "1")  # 看过了期限
    expect(page.locator("li[data-long='2']")).not_to_have_attribute("data-late", "1")
    todo = page.locator("li[data-probe]")
    assert todo.get_attribute("data-late") == ("1" if late else None)
    page.get_by_role("button", name="已逾期").click()
    expect(todo).to_be_visible(visible=late)


def test_todo_filter(page: Page, root: str) -> None:
    page.goto(f"{root}/todos/index.html")
    items = page.locator("li.rz-todo")
    total, count = items.count(), page.locator(".rz-count")
    assert total > 0
    ended = page.locator("li.rz-todo:not([data-state=open])").count()
    whole = f"开着 {total - ended} 件" + (f"，了结 {ended} 件" if ended else "")
    expect(count).to_have_text(whole)
    search = page.locator(".rz-filter input")
    search.fill("找不到的词")
    expect(count).to_have_text("开着 0 件")
    expect(page.locator(".rz-none:visible").first).to_be_visible()
    search.fill(items.first.locator(".rz-text").inner_text()[:8])
    expect(items.first).to_be_visible()
    search.fill("")
    for name, key, value in (
        ("有期限", "due", "2026-11-30"),
        ("已逾期", "late", "1"),
        ("顺延三次以上", "carried", "3"),
    ):
        page.evaluate(
            """([key, value]) => document.querySelectorAll("li.rz-todo").forEach((item, i) => {
              delete item.dataset[key];
              if (i === 0) item.dataset[key] = value;
            })""",
            [key, value],
        )
        button = page.get_by_role("button", name=name)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(count).to_have_text("开着 1 件")
    page.get_by_role("button", name="全部").click()
    expect(count).to_have_text(whole)


def test_the_filter_outlives_a_reload_and_the_way_back(page: Page, root: str) -> None:
    _change_first_todo(page, "todo.dataset.due = '2000-01-01'")
    page.goto(f"{root}/todos/index.html")
    search = page.locator(".rz-filter input")
    text = page.locator("li.rz-todo[data-state=open]").first.locator(".rz-text").inner_text()[:4]
    search.fill(text)
    page.get_by_role("button", name="已逾期").click()
    expect(page.locator("li.rz-todo:visible")).to_have_count(1)
    page.reload()
    expect(search).to_have_value(text)
    expect(page.locator("li.rz-todo:visible")).to_have_count(1)
    page.goto(f"{root}/index.html")
    page.go_back()
    expect(search).to_have_value(text)
    expect(page.locator("li.rz-todo:visible")).to_have_count(1)
    page.goto(f"{root}/index.html")
    page.goto(f"{root}/todos/index.html")
    expect(search).to_have_value("")
    expect(page.get_by_role("button", name="全部")).to_have_attribute("aria-pressed", "true")


def test_filter_waits_for_the_input_method(page: Page, root: str) -> None:
    page.goto(f"{root}/todos/index.html")
    before = page.locator(".rz-count").text_content()
    page.evaluate(
        """() => {
          const input = document.querySelector(".rz-filter input");
          input.value = "zhao'bu'dao";
          input.dispatchEvent(new InputEvent("input", { isComposing: true }));
        }"""
    )
    expect(page.locator(".rz-count")).to_have_text(before)


def test_long_todo_is_folded_and_opens(page: Page, root: str) -> None:
    _change_first_todo(
        page, "todo.querySelector('.rz-text').textContent = '从头标到尾'.repeat(1000)"
    )
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{root}/todos/index.html")
    first = page.locator("li.rz-todo[data-state=open]").first
    folded = first.bounding_box()
    more = first.get_by_role("button", name="展开")
    more.click()
    opened = first.bounding_box()
    assert folded and opened and folded["height"] < 200 < opened["height"]
    expect(first.get_by_role("button", name="收起")).to_have_attribute("aria-expanded", "true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# ---- 走到别处 ----


@pytest.mark.parametrize("width", [390, 1280])
def test_overviews_lead_to_each_other(page: Page, address: str, site: Site, width: int) -> None:
    """窄屏在顶上，宽屏在侧栏，只有一处；一直能走回来。"""
    page.set_viewport_size({"width": width, "height": 800})
    tag = next(site.folder.glob("tags/*/index.html")).relative_to(site.folder).as_posix()
    for place in ("daily/index.html", "weekly/index.html", "timeline/index.html", tag):
        page.goto(f"{address}/{place}")
        for name in ("日总结", "周报", "待办", "时间线", "标签"):
            narrow = page.locator("nav.rz-places").get_by_role("link", name=name, exact=True)
            wide = page.locator(".md-sidebar--primary").get_by_role("link", name=name, exact=True)
            expect(narrow).to_be_visible(visible=width == 390)
            if width == 1280:
                expect(wide.last).to_be_in_viewport()
    way = page.locator("nav.rz-places" if width == 390 else ".md-sidebar--primary")
    way.get_by_role("link", name="标签", exact=True).last.click()
    _arrive(page, "tags/index.html")


def test_a_week_without_a_report_opens_its_row(page: Page, address: str, days: list[date]) -> None:
    page.goto(f"{address}/{_url(days[-1])}")
    week = page.locator("nav.rz-days a").nth(1)
    name = week.inner_text()
    week.click()
    page.wait_for_url(f"**/weekly/**#{name}")
    expect(page.locator(f"li[id='{name}']")).to_be_in_viewport()


@pytest.mark.parametrize("width", [390, 1280])
def test_that_day_and_the_month_share_a_row_on_a_wide_screen(
    page: Page, address: str, days: list[date], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/{_url(days[-1])}")
    that, month = (
        page.locator(f".rz-web > .rz-{kind}").bounding_box() for kind in ("that", "month")
    )
    assert that and month
    assert (that["y"] == month["y"]) == (width == 1280)
    assert month["x"] == that["x"] or month["x"] >= that["x"] + that["width"]


def test_a_page_that_is_not_there_offers_a_search(page: Page, address: str) -> None:
    page.goto(f"{address}/404.html")
    assert page.title() == "没有这一页 - 日知"
    article = page.locator("article")
    expect(article.get_by_role("link", name="时间线")).to_be_visible()
    article.get_by_role("searchbox", name="搜索").fill("注意力掩码")
    page.keyboard.press("Enter")
    result = page.locator(".md-search-result__item a.md-search-result__link").first
    expect(result).to_be_visible(timeout=15_000)
    assert "attention-mask" in (result.get_attribute("href") or "")


# ---- 悬停预览 ----


def _day_with_note(page: Page, root: str, days: list[date]) -> Locator:
    """翻到一天，它链接着要看的那篇笔记。"""
    for day in days:
        page.goto(f"{root}/{_url(day)}")
        if page.locator(TO_NOTE).count():
            return page.locator(TO_NOTE).first
    pytest.fail("没有哪一天链接到这篇笔记")


def test_preview_by_mouse(page: Page, root: str, days: list[date]) -> None:
    link, card = _day_with_note(page, root, days), page.locator(".rz-preview")
    link.hover()
    expect(card).to_contain_text("注意力掩码")
    expect(card.locator("img")).to_be_visible()
    box, size = card.bounding_box(), page.viewport_size
    assert box and size and 0 <= box["x"] and box["x"] + box["width"] <= size["width"]
    page.locator("article h1").hover()
    expect(card).to_have_count(0)
    link.hover()
    expect(card).to_be_visible()
    link.click()
    _arrive(page, NOTE)


def test_preview_flips_at_the_bottom(page: Page, root: str, days: list[date]) -> None:
    link, card = _day_with_note(page, root, days), page.locator(".rz-preview")
    line = link.bounding_box()
    assert line
    page.evaluate("bottom => scrollBy(0, bottom + 20 - innerHeight)", line["y"] + line["height"])
    link.hover()
    expect(card.locator("img")).to_be_visible()
    box, line, size = card.bounding_box(), link.bounding_box(), page.viewport_size
    assert box and line and size
    assert box["y"] + box["height"] <= line["y"] + 1


def test_preview_by_keyboard(page: Page, root: str, days: list[date]) -> None:
    link, card = _day_with_note(page, root, days), page.locator(".rz-preview")
    page.keyboard.press("Tab")  # 从这一下起，焦点算键盘给的
    link.focus()
    expect(card).to_contain_text("注意力掩码")
    expect(link).to_have_attribute("aria-describedby", "rz-preview")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    expect(link).to_be_focused()


def _asked(page: Page) -> list[str]:
    """从这时起，页面要了哪些文件、往哪里去了。"""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def test_no_preview_for_touch(page: Page, root: str, days: list[date]) -> None:
    page.clock.install()
    link = _day_with_note(page, root, days)
    link.scroll_into_view_if_needed()
    asked = _asked(page)
    link.evaluate(
        """node => node.dispatchEvent(
          new PointerEvent("pointerover", { bubbles: true, pointerType: "touch" }))"""
    )
    page.clock.run_for(1000)
    expect(page.locator(".rz-preview")).to_have_count(0)
    assert asked == []


def test_missing_preview_is_asked_for_once(
    browser: Browser, address: str, days: list[date]
) -> None:
    page = browser.new_page()
    page.clock.install()
    _day_with_note(page, address, days).evaluate(
        "node => node.href = node.href.replace('attention-mask', 'no-such-note')"
    )
    link = page.locator("article a[href$='no-such-note.html']")
    asked = _asked(page)
    for _ in range(2):
        link.hover()
        page.clock.run_for(1000)
        page.locator("article h1").hover()
    expect(page.locator(".rz-preview")).to_have_count(0)
    assert len(asked) == 1 and asked[0].endswith("/previews/attention/no-such-note.js")
    page.close()


# ---- 晚载入的 ----


def test_figures_and_copied_code_come_late_from_a_file_too(page: Page, root: str) -> None:
    page.goto(f"{root}/notes/attention/rope.html")
    figure = page.locator("img.rz-figure")
    figure.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('img.rz-figure').naturalWidth > 100")
    page.locator("button.rz-copy").first.click()
    expect(page.locator(".md-dialog")).to_contain_text("已复制")


# ---- 先修图 ----

ENDS = """path => {
  const [above, below] = path.dataset.edge.split(" ").map((n) => path.closest("div")
    .querySelectorAll("a")[n].getBoundingClientRect());
  const start = path.getPointAtLength(0).matrixTransform(path.getScreenCTM());
  const { bottom } = path.getBoundingClientRect();
  return [start.x - (above.left + above.right) / 2, start.y - above.bottom, bottom - below.top];
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_every_edge_of_the_path_joins_its_two_notes(page: Page, address: str, width: int) -> None:
    """边与结点各画各的：SVG 与 HTML 的坐标要对得上；图再宽，页面也不横滚。"""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/notes/index.html")
    edges = page.locator(".rz-graph path").all()
    assert edges
    for edge in edges:
        assert all(abs(off) < 2 for off in edge.evaluate(ENDS)), edge.get_attribute("data-edge")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0


def test_a_note_of_the_path_lights_what_it_needs_and_leads_to(page: Page, root: str) -> None:
    page.goto(f"{root}/notes/index.html")
    graph = page.locator(".rz-graph")
    mask = graph.locator("a", has_text="注意力掩码")
    mask.hover()
    lit = graph.locator("a.rz-on")
    expect(lit).to_have_text(["改形状", "masked_fill_", "注意力掩码"])
    assert 0 < graph.locator("path.rz-on").count() < graph.locator("path").count()
    page.locator("article h1").hover()
    expect(graph.locator(".rz-on")).to_have_count(0)
    mask.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(lit).to_have_count(3)
    page.keyboard.press("Enter")
    _arrive(page, NOTE)


# ---- 键盘 ----


def test_t_goes_to_today_or_the_last_day_written(page: Page, root: str, days: list[date]) -> None:
    last = days[-1]
    for now in (datetime(last.year, last.month, last.day, 12), datetime(last.year + 9, 1, 1, 12)):
        page.clock.set_fixed_time(now)
        page.goto(f"{root}/index.html")
        page.keyboard.press("t")
        _arrive(page, _url(last))


@pytest.mark.parametrize("hour", [2, 5])
def test_before_dawn_is_still_yesterday(page: Page, root: str, days: list[date], hour: int) -> None:
    evening, morning = days[-2:]
    page.clock.set_fixed_time(datetime(morning.year, morning.month, morning.day, hour))
    page.goto(f"{root}/index.html")
    page.keyboard.press("t")
    _arrive(page, _url(evening if hour < 4 else morning))


def test_brackets_turn_the_days(page: Page, root: str, days: list[date]) -> None:
    first, second = days[-2:]
    page.goto(f"{root}/{_url(second)}")
    page.keyboard.press("]")  # 最后一天没有后一天
    page.keyboard.press("[")
    _arrive(page, _url(first))
    page.keyboard.press("]")
    _arrive(page, _url(second))


def test_keys_leave_typing_alone(page: Page, root: str, days: list[date]) -> None:
    start = f"{root}/{NOTE}"
    page.goto(start)
    asked = _asked(page)
    page.keyboard.press("/")
    search = page.locator("input.md-search__input")
    expect(search).to_be_focused()
    page.keyboard.type("t[]")
    expect(search).to_have_value("t[]")
    assert not _left(asked)
    page.goto(f"{root}/todos/index.html")
    asked.clear()
    page.locator(".rz-filter input").press("t")
    expect(page.locator(".rz-filter input")).to_have_value("t")
    assert not _left(asked)
    page.goto(start)
    asked.clear()
    page.keyboard.press("Alt+t")
    page.evaluate(
        """() => document.body.dispatchEvent(
          new KeyboardEvent("keydown", { key: "t", bubbles: true, isComposing: true }))"""
    )
    assert page.locator("article h1").is_visible() and not _left(asked)


def _left(asked: list[str]) -> list[str]:
    """按了键就会去要的：哪些天写过，或者另一页。搜索自己也要文件，不算。"""
    return [url for url in asked if url.endswith(("/days.js", ".html"))]


# ---- 搜索、宽度、控制台 ----


def test_search_works(page: Page, root: str) -> None:
    page.goto(f"{root}/{NOTE}")
    page.locator("input.md-search__input").click()
    expect(page.locator(".md-search-result__meta")).to_have_text("键入以开始搜索", timeout=15_000)
    page.locator("input.md-search__input").fill("注意力掩码")
    page.keyboard.press("End")
    result = page.locator(".md-search-result__item a.md-search-result__link").first
    expect(result).to_be_visible(timeout=15_000)
    assert "attention-mask" in (result.get_attribute("href") or "")


def test_every_offline_page_is_quiet_and_narrow(page: Page, offline: Path) -> None:
    """`page` 收尾时查控制台与外部请求；普通构建的同一件事在 test_site.py。"""
    page.set_viewport_size({"width": 390, "height": 800})
    for path in sorted(offline.rglob("*.html")):
        if "downloads" not in path.parts and path.name != "404.html":
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


# ---- 打印 ----


def _print(page: Page, url: str, target: Path) -> tuple[PdfReader, str]:
    page.emulate_media(color_scheme="dark")
    page.goto(url)
    page.pdf(path=target, prefer_css_page_size=True)
    reader = PdfReader(target)
    text = "\n".join(sheet.extract_text() for sheet in reader.pages)
    return reader, unicodedata.normalize("NFKC", text)  # 字体会把「一」映成部首的「⼀」


@pytest.mark.parametrize("what", ["day", "timeline", "board", "note"])
def test_print(page: Page, root: str, days: list[date], tmp_path: Path, what: str) -> None:
    paths = {
        "day": _url(days[-1]),
        "timeline": "timeline/index.html",
        "board": "todos/index.html",
        "note": NOTE,
    }
    reader, text = _print(page, f"{root}/{paths[what]}", tmp_path / "page.pdf")
    title = page.locator("article h1").evaluate("node => node.firstChild.textContent")
    flat = "".join(text.split())
    assert flat.startswith("".join(unicodedata.normalize("NFKC", title).split()))  # 前面没有导航
    assert len(reader.pages) <= 12 and all(sheet.extract_text().strip() for sheet in reader.pages)
    box = reader.pages[0].mediabox
    assert (round(box.width), round(box.height)) == (595, 842)
    for foreign in ("Made with", "回到页面顶部", "顺延三次以上", "127.0.0.1", "file:", ".html"):
        assert foreign not in text


def test_what_is_folded_is_printed_and_folds_again(page: Page, root: str, tmp_path: Path) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{root}/{NOTE}")
    folded = page.locator("article details:not([open])")
    count = folded.count()
    answer = folded.last.locator("p").last
    hidden = "".join((answer.text_content() or "").split())[:8]
    _, text = _print(page, f"{root}/{NOTE}", tmp_path / "page.pdf")
    assert hidden and unicodedata.normalize("NFKC", hidden) in "".join(text.split())
    expect(folded).to_have_count(count)  # 印完照旧


def test_a_notebook_is_printed_light(page: Page, address: str) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme=scheme)
        page.goto(f"{address}/notebooks/tensor-shapes.html")
        page.evaluate("localStorage.clear()")
        page.reload()
        colours.append(
            page.evaluate(
                """() => [...document.querySelectorAll(".jp-Cell :is(pre, span, .jp-Editor)")]
                  .slice(0, 40).flatMap((node) => {
                    const style = getComputedStyle(node);
                    return [style.color, style.backgroundColor];
                  })"""
            )
        )
    assert colours[0] == colours[1] and len(colours[0]) > 20
    expect(page.locator(".zeroclipboard-container").first).to_be_hidden()


def test_print_is_light_and_code_fits(page: Page, root: str) -> None:
    page.set_viewport_size({"width": 660, "height": 900})  # A4 去掉页边
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme=scheme)
        page.goto(f"{root}/{NOTE}")
        page.evaluate("localStorage.clear()")  # 主题会记住上一次的配色
        page.reload()
        colours.append(
            page.evaluate(
                """() => {
                  const names = ["--rz-paper", "--rz-ink", "--rz-line", "--md-typeset-a-color"];
                  const style = getComputedStyle(document.body);
                  const code = getComputedStyle(document.querySelector("article pre code"));
                  return [style.backgroundColor, style.color, code.color,
                    ...names.map((name) => style.getPropertyValue(name))];
                }"""
            )
        )
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert colours[0] == colours[1]
    code = page.locator("article pre, article pre > code")
    wide = "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth + 1).length"
    assert code.count() and code.evaluate_all(wide) == 0
