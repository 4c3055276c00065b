"""笔记页：一格一条，折起的代码找得到、打得开，导语与目录，等宽的列对得齐。"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools import subset
from fontTools.ttLib import TTFont
from playwright.sync_api import Browser, Page, expect

from rizhi.site import article
from rizhi.snippets import figures
from tests import chromium
from tests.conftest import Site

pytestmark = pytest.mark.browser
NOTE = "notes/attention/attention-mask.html"
CLOSED = "article details.rz-code:not([open])"


def test_every_cell_has_one_bar_and_one_way_to_copy(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    page.wait_for_function("window.document$ && document.fonts.ready.then(() => true)")
    cells = page.locator("article .rz-cell")
    assert cells.count() >= 5
    found = cells.evaluate_all(
        """nodes => nodes.map(node => [node.querySelectorAll(".rz-bar").length,
        node.querySelectorAll("button.rz-copy").length,
        node.querySelectorAll(".md-clipboard, .md-code__button").length])"""
    )
    assert {tuple(each) for each in found} == {(1, 1, 0)}


def test_copied_source_is_the_file_s(page: Page, address: str, site: Site) -> None:
    page.goto(f"{address}/{NOTE}")
    page.locator(".rz-source button.rz-copy").first.click()
    code = page.evaluate("navigator.clipboard.readText()")
    assert code.startswith("def attention_mask") and code.endswith("\n")
    assert code in (site.root / "llm/model.py").read_text("utf-8")


def test_a_check_unfolds_by_mouse_and_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    check = page.locator(".rz-check").first
    code = check.locator("pre > code")
    expect(code).not_to_be_visible()
    check.locator("summary").click()
    expect(code).to_be_visible()
    check.locator("summary").press("Enter")
    expect(code).not_to_be_visible()


def test_a_link_into_folded_code_opens_it(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    page.evaluate(f"document.querySelector('{CLOSED} pre').id = 'inside'")
    page.evaluate("location.hash = 'inside'")
    expect(page.locator("#inside")).to_be_in_viewport()


def test_found_text_in_folded_code_opens_it(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}?h=%E5%AD%97")
    folded = page.locator(CLOSED).count()
    page.evaluate(f"document.querySelector('{CLOSED} code').append(document.createElement('mark'))")
    expect(page.locator("article details.rz-code[open] mark")).to_have_count(1)
    expect(page.locator(CLOSED)).to_have_count(folded - 1)  # 别的仍折着
    page.goto("about:blank")
    page.goto(f"{address}/{NOTE}#:~:text=torch.bool%29.tril%28%29")
    expect(page.locator("article details.rz-code[open]").first).to_be_in_viewport()


def test_print_shows_the_folded_code(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    code = page.locator(f"{CLOSED} pre > code").first
    expect(code).not_to_be_visible()
    page.emulate_media(media="print")
    expect(code).to_be_visible()


def test_what_is_too_wide_scrolls_in_itself_on_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}/{NOTE}")
    page.evaluate(f"document.querySelectorAll('{CLOSED}').forEach(node => node.open = true)")
    for code in (".rz-source pre > code", ".rz-output pre"):
        place = page.locator(code).first
        place.evaluate("node => node.append('x'.repeat(200))")
        place.evaluate("node => node.scrollLeft = 200")
        assert place.evaluate("node => node.scrollLeft") == 200
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 380, "height": 800})
    expect(place).to_have_attribute("tabindex", "0")  # 键盘也到得了


def test_the_brief_is_the_lead_and_keeps_its_anchor(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    lead = page.locator("article h1 ~ .rz-lead")
    expect(lead).to_be_in_viewport()
    title = page.locator("h2[id='一句话']")
    box = title.bounding_box()
    assert box and box["width"] <= 2 and title.inner_text().startswith("一句话")  # 读屏读得到
    page.evaluate("scrollTo(0, 9000)")
    expect(lead).not_to_be_in_viewport()
    page.evaluate("location.hash = '一句话'")
    expect(lead).to_be_in_viewport()


def test_the_contents_name_this_note_s_own_things(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{address}/{NOTE}")
    links = page.locator(".md-sidebar--secondary a.md-nav__link")
    titles = [text.strip() for text in links.all_inner_texts()]
    assert "一句话" not in titles and "为什么需要" not in titles
    assert {"attention_mask", "因果", "图", "坏 差了一格", "自测", "来源"} < set(titles)
    links.get_by_text("坏 差了一格").click()
    expect(page.locator("[id='cell-坏-差了一格']")).to_be_in_viewport()


def _narrow_font(place: Path) -> None:
    """汉字一个 em、拉丁字母半个的等宽字体：由记录图的字体改出来。"""
    font = TTFont(figures.font())
    options = subset.Options()
    options.name_IDs = ["*"]
    cut = subset.Subsetter(options)
    cut.populate(text="".join(map(chr, range(32, 127))) + TEXT)
    cut.subset(font)
    glyphs = font.getBestCmap()
    for code in range(32, 127):
        _, bearing = font["hmtx"][glyphs[code]]
        font["hmtx"][glyphs[code]] = (font["head"].unitsPerEm // 2, bearing)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = "Noto Sans Mono CJK SC"
    font.save(place)


TEXT = "键值头的列，：（）对齐、「甲」" * 3


@contextmanager
def _launched(browser: Browser, folder: Path) -> Iterator[Browser]:
    environment: dict[str, str | float | bool] = {**os.environ}
    environment["FONTCONFIG_FILE"] = str(chromium.font_config(folder))
    other = browser.browser_type.launch(
        executable_path=chromium.executable(), args=chromium.ARGUMENTS, env=environment
    )
    yield other
    other.close()


@pytest.mark.parametrize("chinese", [False, True])
def test_columns_align_with_and_without_a_chinese_mono_font(
    browser: Browser, address: str, tmp_path: Path, chinese: bool
) -> None:
    """一个汉字恰占两格：没有中文等宽字体，或只有它，一样对齐。"""
    if chinese:
        _narrow_font(tmp_path / "mono.ttf")
    else:
        latin = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf"
        shutil.copy(latin, tmp_path)
    rows = [f"{'x' * 2 * len(TEXT)}|", f"{TEXT}|", f"abc{TEXT[3:]}xyz|"]
    body = article.widened(f"<pre class='rz-text'>{escape(chr(10).join(rows))}</pre>")
    code = article.widened(f"<pre><code>{escape(chr(10).join(rows))}</code></pre>")
    html = f"<div class='rz-output'>{body}</div><div class='highlight'>{code}</div>"
    with _launched(browser, tmp_path) as other:
        page = other.new_page()
        page.goto(f"{address}/{NOTE}")
        ends = page.evaluate(
            """html => {
          document.querySelector("article").insertAdjacentHTML("afterbegin", html);
          return Array.from(document.querySelectorAll("article > :nth-child(-n+2) pre"), pre => {
            const walker = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT), found = [];
            while (walker.nextNode()) {
              for (const bar of walker.currentNode.data.matchAll(/[|]/g)) {
                const range = document.createRange();
                range.setStart(walker.currentNode, bar.index);
                range.setEnd(walker.currentNode, bar.index + 1);
                found.push(range.getBoundingClientRect().left);
              }
            }
            return found;
          });
        }""",
            html,
        )
    assert len(ends) == 2 and all(len(found) == 3 for found in ends)
    for found in ends:
        assert max(found) - min(found) < 1, found
