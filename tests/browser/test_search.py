"""搜索：真的搜索框与 worker，一整套笔记；索引到要用时才取。"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import served
from tests.conftest import Site

pytestmark = pytest.mark.browser
# 键入的，与应当排在第一的笔记
FIRST = {
    "KV缓存": "kv-cache",
    "kv cache": "kv-cache",
    "kvcache": "kv-cache",
    "掩码": "attention-mask",
    "位置编码": "rope",
    "masked_fill": "masked-fill",
    "logits[:, -1, :]": "generate",
    "rope": "rope",
    "旋转位置": "rope",
    "RoPE外推": "rope",
    "softmax 溢出": "masked-fill",
    "unsqueeze": "tensor-shapes",
    "x.transpose(1, 2)": "tensor-shapes",
    "交叉熵": "causal-lm",
    "权重绑定": "causal-lm",
    "注意力掩码": "attention-mask",
    "left padding": "attention-mask",
    "因果掩码": "attention-mask",
    "广播": "broadcasting",
    "argmax": "generate",
    "topk": "generate",
    "GQA": "repeat-kv",
    "键值缓存": "kv-cache",
    "past_key_values": "kv-cache",
    "prefill": "kv-cache",
    "rmsnorm": "rmsnorm",
    "残差": "transformer-block",
    "MLP": "swiglu",
    "in-place": "inplace",
    "torch.stack": "cat-vs-stack",
    "Optional[int]": "type-hints",
    "x.sort()": "sort-vs-sorted",
    "register_buffer": "register-buffer",
}
# 不是词，或是搜索自己的运算符：没有结果也行，不许报错，也不许把整个站点都列出来
MARKS = ("->", "**", "[", '"', '"注意力', "-", "+-", ":", "a:b^2~", "~", "^", "*", "\\", "1")


@pytest.fixture(scope="module")
def home(library: Site) -> Iterator[str]:
    """首页的地址。"""
    with served(library.folder) as address:
        yield f"{address}/index.html"


@pytest.fixture
def asked(page: Page) -> list[str]:
    """这一页取过几次索引。"""
    urls: list[str] = []
    page.on("request", lambda request: urls.extend([request.url] if is_index(request) else []))
    return urls


def is_index(request: Request) -> bool:
    return bool(re.search(r"/search/search_index\.js(on)?$", request.url))


def first_of(page: Page, query: str) -> str:
    """在搜索框里键入，等到这一次的结果，第一个是哪一页；没有结果是空的。"""
    page.locator("input.md-search__input").fill(query)
    page.keyboard.press("End")  # 主题听的是按键抬起；输入法上屏之后也总有一次
    page.wait_for_function("query => window.answered === query", arg=query)
    link = page.locator(".md-search-result__item a.md-search-result__link").first
    return (link.get_attribute("href") or "") if link.count() else ""


# 问了什么，答的是哪一问：结果的列表自己看不出来
LISTEN = """
  const send = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.type === 2) this.addEventListener(
      "message", () => setTimeout(() => { window.answered = message.data; }), { once: true });
    return send.call(this, message, ...rest);
  };
"""


def test_the_right_note_comes_first(page: Page, home: str, library: Site) -> None:
    page.add_init_script(LISTEN)
    page.goto(home)
    page.locator("input.md-search__input").click()
    found = {query: first_of(page, query) for query in FIRST}
    listed = {}
    for query in MARKS:
        first_of(page, query)
        listed[query] = page.locator(".md-search-result__item").count()
    slugs = {q: re.sub(r".*/|\.html.*", "", href) for q, href in found.items()}
    assert slugs == FIRST
    everything = len(list(library.folder.rglob("*.html")))
    assert all(count < everything / 2 for count in listed.values()), listed


def open_by_key(page: Page) -> None:
    page.keyboard.press("/")


def open_by_icon(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("label.md-header__button[for=__search]").click()


@pytest.mark.parametrize("opened", [open_by_key, open_by_icon])
def test_the_index_is_fetched_once_search_is_opened(
    page: Page, home: str, asked: list[str], opened: Callable[[Page], None]
) -> None:
    page.goto(home)
    assert asked == []
    opened(page)
    expect(page.locator("input.md-search__input")).to_be_focused()
    expect(page.locator(".md-search-result__meta")).to_have_text("键入以开始搜索")
    page.keyboard.type("kvcache")
    first = page.locator(".md-search-result__item a.md-search-result__link").first
    expect(first).to_have_attribute("href", re.compile("kv-cache"))
    expect(first).to_be_in_viewport()
    with page.expect_event("requestfinished", is_index):
        page.keyboard.press("Enter")
    assert re.search(r"kv-cache\.html\?h=kvcache", page.url)
    assert len(asked) == 2  # 网址带着 ?h=，那一页要标出查的词


def test_addresses_that_carry_a_query_still_work(
    page: Page, home: str, library: Site, asked: list[str]
) -> None:
    for address in (home, (library.folder / "index.html").as_uri()):
        page.goto(f"{address}?q=位置编码")
        first = page.locator(".md-search-result__item a.md-search-result__link").first
        expect(first).to_have_attribute("href", re.compile("rope"))
        page.goto(address.replace("index.html", "notes/attention/rope.html?h=位置"))
        expect(page.locator("article mark").first).to_have_text("位置")
    assert len(asked) == 4
