"""像人一样点：搜索、复制、深色、放大、手机宽度。"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import Site

pytestmark = pytest.mark.browser
NOTE = "notes/attention/attention-mask.html"


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("注意力掩码", "attention-mask"),
        ("掩码", "attention-mask"),
        ("register_buffer", "register-buffer"),
        ("masked_fill_", "masked-fill"),
        ("旋转位置编码", "rope"),
    ],
)
def test_search_finds_the_right_page_first(
    page: Page, address: str, query: str, first: str
) -> None:
    page.goto(f"{address}/index.html")
    page.locator("input.md-search__input").click()
    expect(page.locator(".md-search-result__meta")).to_have_text("键入以开始搜索")
    page.locator("input.md-search__input").fill(query)
    page.keyboard.press("End")  # 主题听的是按键抬起；输入法上屏之后也总有一次
    result = page.locator(".md-search-result__item a.md-search-result__link").first
    expect(result).to_have_attribute("href", re.compile(first), timeout=15_000)  # 结果分批出现
    if query == "旋转位置编码":  # 整个词，而不是只有「旋转」
        assert "位置编码" in "".join(page.locator(".md-search-result__item mark").all_inner_texts())


def test_copied_code_runs_as_it_is(page: Page, address: str, site: Site, tmp_path: Path) -> None:
    page.goto(f"{address}/{NOTE}")
    page.locator(".rz-cell", has_text="检验 与 torch.tril 相同").locator("button.rz-copy").click()
    expect(page.locator(".md-dialog")).to_contain_text("已复制")
    code = page.evaluate("navigator.clipboard.readText()")
    assert "# %% 因果" in code and "expected" in code
    (tmp_path / "pasted.py").write_text(code, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "pasted.py")]
    environment = {"PYTHONPATH": str(site.root), "MPLBACKEND": "agg", "HOME": str(tmp_path)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_dark_mode_is_remembered(page: Page, address: str) -> None:
    page.goto(f"{address}/index.html")
    page.locator("label[for=__palette_1]").click()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.goto(f"{address}/{NOTE}")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")


def test_a_big_figure_that_comes_late_moves_nothing(page: Page, address: str) -> None:
    held: list[Route] = []
    page.route("**/figures/**", lambda route: held.append(route))
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto(f"{address}/notes/attention/rope.html", wait_until="domcontentloaded")
    figure, below = page.locator("img.rz-figure"), page.locator("#它会怎样坏")
    expect(page.locator(".katex").first).to_be_attached()  # 公式排好之后再量
    figure.scroll_into_view_if_needed()
    place = "node => node.getBoundingClientRect().top + scrollY"
    before = below.evaluate(place)
    assert figure.evaluate("image => image.naturalWidth") == 0
    held[0].continue_()
    page.wait_for_function("document.querySelector('img.rz-figure').naturalWidth > 100")
    assert below.evaluate(place) == pytest.approx(before, abs=1)


def test_figure_zooms_and_closes(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    page.locator("img.rz-figure").first.click()
    expect(page.locator("dialog.rz-zoom")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.rz-zoom")).to_have_count(0)


def test_chinese_is_shown_with_the_packaged_font(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    devtools = page.context.new_cdp_session(page)
    devtools.send("DOM.enable")
    devtools.send("CSS.enable")
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    title = devtools.send("DOM.querySelector", {"nodeId": root, "selector": "article h1"})
    used = devtools.send("CSS.getPlatformFontsForNode", {"nodeId": title["nodeId"]})
    assert {font["familyName"] for font in used["fonts"]} == {"Noto Sans SC"}


def test_math_is_rendered(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    expect(page.locator(".arithmatex .katex").first).to_be_visible()
    assert page.locator(".katex-error").count() == 0


@pytest.mark.parametrize("note", ["attention/rope", "attention/attention-mask"])
def test_no_line_starts_with_a_point(page: Page, address: str, note: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}/notes/{note}.html")
    expect(page.locator("article .katex").first).to_be_visible()
    points = page.evaluate("""
      () => Array.from(document.querySelectorAll("span.arithmatex"), node => {
      const tail = node.nextSibling, range = document.createRange();
      if (!/^[，。；：、]/.test(tail?.data ?? "")) return null;
      range.setStart(tail, 0), range.setEnd(tail, 1);
      const last = Array.from(node.getClientRects()).at(-1);
      return last.bottom - range.getBoundingClientRect().top;
    }).filter(found => found !== null)""")
    assert points and min(points) > 2


@pytest.mark.parametrize("width", [390, 1280])
def test_no_sideways_scroll(page: Page, address: str, site: Site, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in sorted(site.folder.rglob("*.html")):
        if "downloads" not in path.parts and path.name != "404.html":
            page.goto(f"{address}/{path.relative_to(site.folder).as_posix()}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, path


def test_notebook_downloads(page: Page, address: str) -> None:
    page.goto(f"{address}/{NOTE}")
    with page.expect_download() as download:
        page.locator("a.rz-notebook").first.click()
    assert download.value.suggested_filename == "attention_mask.ipynb"
