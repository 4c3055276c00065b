"""每一种页让 axe-core 看一遍，浅色看宽屏，深色看手机：没有严重的发现，一条也不豁免。"""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import vaults
from tests.conftest import Site

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[1] / "vendor/axe-core/axe.min.js"
# 折起的也打开：藏着的 axe 不看
OPEN = "document.querySelectorAll('details').forEach((node) => (node.open = true))"
RUN = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  const grave = violations.filter((found) => ["serious", "critical"].includes(found.impact));
  return grave.flatMap(({ id, nodes }) => nodes.map((node) => `${id} ${node.html.slice(0, 120)}`));
}"""
# 正绿与荧光绿：绿比红、比蓝都高出三成
GREEN = """() => {
  const found = [];
  for (const node of document.querySelectorAll("*")) {
    for (const part of [null, "::before", "::after"]) {
      const style = getComputedStyle(node, part);
      if (part && style.content === "none") continue;
      for (const name of ["color", "backgroundColor", "borderTopColor", "borderLeftColor"]) {
        const [red, green, blue, alpha] = style[name].match(/[\\d.]+/g).map(Number);
        if (alpha !== 0 && green > 60 && green > 1.3 * red && green > 1.3 * blue) {
          found.push(`${node.className || node.tagName}${part ?? ""} ${name} ${style[name]}`);
        }
      }
    }
  }
  return found;
}"""
PAGES = (
    "index.html",
    "daily/index.html",
    "weekly/index.html",
    "timeline/index.html",
    "todos/index.html",
    "tags/index.html",
    "notes/index.html",
    "notes/attention/rope.html",  # 公式、图、折起的代码与自测
    "notes/attention/attention-mask.html",
    "notes/model/tensor-flow.html",
    "notebooks/tensor-shapes.html",
    "reference/model.html",
    "guide/index.html",
    "404.html",
)


@pytest.fixture(
    scope="module", params=[(1280, "light"), (390, "dark")], ids=["宽屏浅色", "手机深色"]
)
def screen(request: pytest.FixtureRequest, browser: Browser) -> Page:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    request.addfinalizer(context.close)
    context.add_init_script(path=AXE)
    return context.new_page()


@pytest.mark.parametrize("uri", [*PAGES, "一天"])
def test_a_page_has_no_grave_finding_and_no_green(
    screen: Page, address: str, site: Site, uri: str
) -> None:
    day = vaults.days(site.root)[-1]
    screen.goto(f"{address}/{uri if uri != '一天' else f'daily/{day.year}/{day}.html'}")
    screen.evaluate(OPEN)
    assert screen.evaluate(RUN) == []
    assert screen.evaluate(GREEN) == []


def test_open_search_has_no_grave_finding(screen: Page, address: str) -> None:
    screen.goto(f"{address}/index.html?q=掩码")
    expect(screen.locator(".md-search-result__item").first).to_be_visible(timeout=15_000)
    assert screen.evaluate(RUN) == []
