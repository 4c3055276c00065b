"""在页面里改一格、跑一格：键盘走得通，错、循环、刷新都经得起，窄屏与读屏也行，盘上的不动。"""

import json
import re
import time
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, expect

from rizhi.snippets import run
from rizhi.store import alive
from rizhi.vault import find_vault
from tests.browser.test_axe import AXE, GREEN, RUN
from tests.conftest import Site
from tests.rizhi.mkdocs_plugin.guarded import Guarded, listening

pytestmark = pytest.mark.browser
SORT, MASK = "notes/python/sort-vs-sorted.html", "notes/attention/attention-mask.html"
LOOP = "import os\nprint(os.getpid())\nwhile True: pass"


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Guarded]:
    """建好的样例，由 serve 的那个服务器给出。"""
    vault = find_vault(site.root)
    run.warm_up(vault)
    with listening(vault, site.folder) as found:
        yield found


def _open(page: Page, served: Guarded, uri: str = SORT) -> None:
    page.goto(f"http://{served.host}/{uri}")


def _cell(page: Page, title: str = "两种") -> Locator:
    bar = page.locator(".rz-title", has_text=re.compile(f"^{re.escape(title)}$"))
    return page.locator(".rz-cell", has=bar)


def _edit(page: Page, text: str | None = None, title: str = "两种") -> Locator:
    """打开一格的编辑器，换上 `text`。"""
    cell = _cell(page, title)
    cell.get_by_role("button", name="改一改").click()
    if text is not None:
        cell.get_by_role("textbox").fill(text)
    return cell


def _shown(cell: Locator) -> Locator:
    return cell.locator(".rz-fresh .rz-output > .rz-text").first


def test_a_cell_is_changed_and_run_with_the_keyboard(
    served: Guarded, site: Site, page: Page
) -> None:
    before = {path: path.read_bytes() for path in (site.root / "snippets").rglob("*.*")}
    _open(page, served)
    cell = _cell(page)
    recorded = cell.locator(":scope > .rz-output")
    cell.get_by_role("button", name="改一改：两种").press("Enter")
    area = cell.get_by_role("textbox", name="「两种」的代码，Ctrl-Enter 跑")
    expect(area).to_be_focused()
    assert area.input_value().startswith("numbers = [3, 1, 2]\nprint(")
    page.keyboard.press("Control+End")
    page.keyboard.type("\nfor n in numbers:  # 每一个\nif n > 1:\nprint(n)\n")
    page.keyboard.press("Backspace")
    page.keyboard.type("print('外')")
    end = "for n in numbers:  # 每一个\n    if n > 1:\n        print(n)\n    print('外')"
    assert area.input_value().endswith(end)
    page.keyboard.press("Tab")
    expect(cell.get_by_role("button", name="跑：两种")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+Enter")
    expect(_shown(cell)).to_have_text(re.compile(r"外\n2\n外\n3\n外\n$"), timeout=60_000)
    expect(cell.get_by_role("status")).to_have_text(re.compile(r"^跑完了，[\d.]+ 秒。$"))
    expect(cell.locator(".rz-fresh-mark")).to_have_text("现跑的")
    expect(recorded).to_be_hidden()
    expect(area).to_be_focused()
    cell.get_by_role("button", name="回到记录").press("Enter")
    expect(recorded).to_be_visible()
    expect(cell.locator(".rz-fresh")).to_have_count(0)
    expect(cell.get_by_role("button", name="跑：两种")).to_be_focused()
    cell.get_by_role("button", name="收起").click()
    expect(cell.locator(".highlight")).to_be_visible()
    expect(cell.get_by_role("button", name="接着改")).to_be_visible()
    assert {path: path.read_bytes() for path in before} == before


def test_the_built_site_has_no_such_button(address: str, page: Page) -> None:
    page.goto(f"{address}/{SORT}")
    expect(_cell(page).locator(".rz-copy")).to_be_visible()
    expect(page.locator(".rz-edit, .rz-editor")).to_have_count(0)


def test_an_error_stands_where_the_record_stood_at_the_line_shown(
    served: Guarded, page: Page
) -> None:
    _open(page, served)
    first = _edit(page, "numbers = [3]\n\n\nprint('多了几行', file=__import__('sys').stderr)")
    cell = _edit(page, "print('<b>先</b>')\nraise ValueError('<i>坏</i>')", "坏 接住了 None")
    expect(cell.locator(".rz-before")).to_contain_text("先跑前面 2 格，「两种」照你改的")
    cell.get_by_role("button", name="跑").click()
    trouble = cell.locator(".rz-trouble")
    # 检验那一格先红：前面照改的跑
    expect(trouble).to_contain_text("单元格「检验 排得对」出错：AssertionError")
    first.get_by_role("button", name="收起").click()
    expect(cell.locator(".rz-before")).to_have_text("先跑前面 2 格，照文件。")
    cell.get_by_role("button", name="跑").click()
    expect(trouble).to_contain_text("出错：ValueError: <i>坏</i>")
    line = cell.locator(".rz-numbers").inner_text().split()[1]
    expect(trouble).to_contain_text(f"snippets/sort_vs_sorted.py:{line} ")
    expect(_shown(cell)).to_have_text("<b>先</b>\n")
    cell.get_by_role("textbox").fill("1 +")
    cell.get_by_role("button", name="跑").click()
    expect(cell.locator(".rz-problem")).to_contain_text("语法错误")
    expect(cell.get_by_role("status")).to_have_text("没有跑。")


def test_a_loop_shows_what_it_prints_and_is_stopped(served: Guarded, page: Page) -> None:
    _open(page, served)
    cell = _edit(page, LOOP, "坏 接住了 None")
    go = cell.locator(".rz-run")
    go.click()
    expect(_shown(cell)).to_have_text(re.compile(r"^\d+\n$"))
    child = int(_shown(cell).inner_text())
    expect(go).to_have_accessible_name("停：坏 接住了 None")
    other = _edit(page)
    other.get_by_role("button", name="跑").click()
    expect(other.get_by_role("status")).to_contain_text(
        "正在跑 snippets/sort_vs_sorted.py 的「坏 接住了 None」"
    )
    other.get_by_role("button", name="停掉它，跑这一格").click()
    expect(other.get_by_role("status")).to_contain_text("跑完了")
    expect(cell.get_by_role("status")).to_contain_text("停下了")
    _is_gone(child)
    cell.get_by_role("button", name="跑").click()
    expect(_shown(cell)).not_to_have_text(f"{child}\n")
    child = int(_shown(cell).inner_text())
    cell.get_by_role("button", name="收起").click()
    _is_gone(child)
    expect(cell.locator(":scope > .rz-output")).to_be_visible()
    cell.get_by_role("button", name="接着改").click()
    go.click()
    expect(_shown(cell)).to_have_text(re.compile(r"^\d+\n$"))
    child = int(_shown(cell).inner_text())
    page.goto("about:blank")  # 页面关了
    _is_gone(child)


def _is_gone(child: int) -> None:
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def test_a_draft_outlives_the_page_and_resetting_asks(served: Guarded, page: Page) -> None:
    _open(page, served)
    cell = _edit(page, "print('草稿')")
    area = cell.get_by_role("textbox")
    area.evaluate("(area) => area.setSelectionRange(3, 5)")
    page.reload()
    expect(area).to_be_focused()
    assert area.evaluate("(area) => [area.selectionStart, area.selectionEnd]") == [3, 5]
    assert area.input_value() == "print('草稿')"
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    cell.get_by_role("button", name="复原").click()
    expect(area).to_have_value("print('草稿')")
    cell.get_by_role("button", name="跑").click()
    expect(_shown(cell)).to_have_text("草稿")
    page.once("dialog", lambda dialog: dialog.accept())
    cell.get_by_role("button", name="复原").click()
    expect(area).to_have_value(re.compile("^numbers = "))
    expect(cell.locator(".rz-fresh")).to_have_count(0)  # 它是改过的那一份跑的
    expect(cell.get_by_role("button", name="复原")).to_be_disabled()  # 没有改，不必问
    assert len(asked) == 1 and "丢掉你改的" in asked[0]
    cell.get_by_role("button", name="收起").click()
    page.reload()
    expect(cell.get_by_role("button", name="改一改")).to_be_visible()
    assert (
        page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('rizhi-draft'))")
        == []
    )


def test_another_tab_with_the_same_cell_is_said(served: Guarded, page: Page) -> None:
    _open(page, served)
    cell = _edit(page, "print('甲')")
    other = page.context.new_page()
    _open(other, served)
    _cell(other).get_by_role("textbox").fill("print('乙')")
    expect(cell.get_by_role("status")).to_contain_text("别的标签页也在改这一格")
    assert cell.get_by_role("textbox").input_value() == "print('甲')"  # 还在，抄得走
    page.evaluate("localStorage.clear()")


def test_a_draft_of_what_the_file_no_longer_says_is_offered_not_imposed(
    served: Guarded, page: Page
) -> None:
    _open(page, served)
    cell = _edit(page, "print('旧的一份')")
    page.evaluate("""() => {
      const key = Object.keys(localStorage).find((name) => name.startsWith("rizhi-draft"));
      const draft = localStorage.getItem(key);
      document.querySelector(".rz-edit").click();
      localStorage.clear();
      localStorage.setItem(`${key}0`, draft);
    }""")
    page.reload()
    area = cell.get_by_role("textbox")
    expect(area).to_have_value(re.compile("^numbers = "))
    expect(cell.locator(".rz-outdated")).to_contain_text("文件里这一格改过了")
    cell.get_by_role("button", name="换成它").click()
    expect(area).to_have_value("print('旧的一份')")
    expect(cell.locator(".rz-outdated")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_figures_and_errors_are_legible_everywhere(
    served: Guarded, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_init_script(path=AXE)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    _open(page, served, MASK)
    plain = _cell(page, "因果")
    code = plain.locator(".highlight pre").bounding_box()
    figure = _edit(page, title="图")
    cell = _edit(page, title="因果")
    # 字与行都在原来的地方
    area = cell.get_by_role("textbox").bounding_box()
    assert code and area and abs(area["height"] - code["height"]) < 1.5
    cell.get_by_role("textbox").fill("print('宽' * 300)\n1 / 0")
    cell.get_by_role("button", name="跑").click()
    expect(cell.locator(".rz-trouble")).to_contain_text("ZeroDivisionError")
    expect(_shown(cell)).to_have_attribute("tabindex", "0")
    cell.get_by_role("textbox").fill("import torch\nmask = torch.ones(1, 1, 2, 2)")
    figure.get_by_role("button", name="跑").click()
    image = figure.get_by_role("img", name="因果").and_(figure.locator(".rz-fresh img"))
    expect(image).to_be_visible(timeout=60_000)
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(RUN) == []
    assert page.evaluate(GREEN) == []
    context.close()
    assert errors == []


def test_without_the_server_it_says_so(served: Guarded, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    _open(page, served)
    cell = _edit(page)
    page.route("**/rizhi/live/run", lambda route: route.abort())
    cell.get_by_role("button", name="跑").click()
    expect(cell.get_by_role("status")).to_contain_text("连不上 mkdocs serve")
    expect(cell.get_by_role("button", name="跑")).to_be_enabled()
    page.unroute("**/rizhi/live/run")
    half = json.dumps({"run": 1}) + "\n" + json.dumps({"at": "两种", "html": "<p>一半</p>"}) + "\n"
    page.route("**/rizhi/live/run", lambda route: route.fulfill(status=200, body=half))
    cell.get_by_role("button", name="跑").click()
    expect(cell.locator(".rz-fresh")).to_contain_text("一半")
    expect(cell.get_by_role("status")).to_contain_text("连不上 mkdocs serve")
    cell.get_by_role("button", name="回到记录").click()
    page.unroute("**/rizhi/live/run")
    body = json.dumps({"error": "口令不对：serve 重新开过，刷新这一页再试。"})
    page.route(
        "**/rizhi/live/run",
        lambda route: route.fulfill(status=403, content_type="application/json", body=body),
    )
    cell.get_by_role("button", name="跑").click()
    expect(cell.locator(".rz-problem")).to_contain_text("口令不对")
    context.close()
