"""张量流的页面：走一步、亮一行、猜形状、换尺寸、打开一个头；键盘、手机、打印、网址都用得了。"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from llm import LLMConfig
from llm.lab.flow import cache_bytes, flops, parameter_count
from rizhi.snippets import record
from rizhi.snippets.cells import CellOutput
from rizhi.vault import find_vault
from tests import vaults
from tests.browser.conftest import served
from tests.conftest import build

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser
FIELDS = {"L": "num_hidden_layers", "C": "hidden_size", "H": "num_attention_heads"}
FIELDS |= {"K": "num_key_value_heads", "D": "head_dim", "I": "intermediate_size", "V": "vocab_size"}
GIVEN = {"B": 3, "T": 5, "L": 3, "C": 24, "H": 6, "K": 2, "D": 12, "I": 40, "V": 50}
URL = "notes/model/tensor-flow.html"
TITLE = "数据 张量流"
LINKS = {"rotate": "../attention/rope.md", "mask": "../attention/attention-mask.md"}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """笔记里记下的那一份：真的由 llm 跟踪出来。"""
    made = record.read_record(ROOT / "snippets/outputs", "tensor_flow").output(TITLE)
    assert made
    return {**json.loads(made.text), "links": LINKS}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> Iterator[str]:
    """样例里那一格的数据换成真的，链接照样例的。"""
    folder = tmp_path_factory.mktemp("flow")
    root = vaults.make(folder / "vault")
    path = root / "snippets/tensor_flow.py"
    cell = CellOutput(TITLE, json.dumps(data, ensure_ascii=False))
    files = record.record_files((cell,), record.key(find_vault(root), path), {}, "")
    for name, content in files.items():
        (root / "snippets/outputs/tensor_flow" / name).write_bytes(content)
    with served(build(root, folder / "site").folder) as address:
        yield address


def opened(page: Page, address: str, query: str = "") -> Page:
    page.goto(f"{address}/{URL}{query}")
    page.wait_for_selector(".rz-flow-svg")
    return page


def go(page: Page, at: int) -> None:
    page.locator(".rz-slider").fill(str(at))


def walk(data: dict[str, Any], family: str = "llama") -> list[list[Any]]:
    return [data["steps"][number] for number, _ in data["variants"][family]["manual"]["steps"]]


def where(data: dict[str, Any], key: str) -> int:
    return next(i for i, step in enumerate(walk(data)) if step[1] == key)


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def fill(page: Page, **values: Any) -> None:
    for name, value in values.items():
        field = page.locator(f".rz-flow [name={name}]")
        (field.select_option if name in ("family", "backend", "O", "W") else field.fill)(str(value))


def test_each_step_lights_one_box_and_one_line(
    page: Page, address: str, data: dict[str, Any]
) -> None:
    """从 prefill 的头走到 decode 的尾，每一步都是跟踪里的那一步。"""
    opened(page, address)
    steps = walk(data)
    for step in steps[:8]:
        assert page.locator(".rz-flow-svg .rz-now").count() == 1
        assert page.locator(".rz-line.rz-now").get_attribute("data-line") == str(step[4])
        assert f"第 {step[4]} 行" in text(page, ".rz-where") and step[0] in text(page, ".rz-where")
        shape = text(page, ".rz-card:last-child .rz-dims")
        assert re.sub(r"[(), ]+", " ", shape).strip() == step[7][0]
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert text(page, ".rz-at").startswith("8 /")
    last = int(str(page.locator(".rz-slider").get_attribute("max")))
    opened(page, address, f"?step={last}")
    assert "decode 3" in text(page, ".rz-where") and "S = 9" in text(page, ".rz-say-step")
    assert page.locator(".rz-flow-svg .rz-again").count() == 6  # 与上一步不同的几处
    page.keyboard.press("ArrowRight")
    assert text(page, ".rz-at") == f"{last + 1} / {last + 1}"


def test_decode_sends_one_token_and_the_past(
    page: Page, address: str, data: dict[str, Any]
) -> None:
    length = len(walk(data))
    opened(page, address, f"?step={length + 1}")
    page.keyboard.press("ArrowLeft")
    assert "这一步 T = 1，S = 7" in text(page, ".rz-where")
    assert "past_key_values=past" in text(page, ".rz-line.rz-now")
    for key, words in {"present.append": "2 个", "past_key_values.tuple": "L×2 个"}.items():
        label = page.locator(f'[data-step="{where(data, key)}"] .rz-shape').text_content()
        assert f"{words} BKSD" in str(label)
    joined = page.locator(".rz-line[data-line='512'] samp")
    assert joined.inner_text() == "input_ids 2×8"
    small = page.locator(".rz-flow-svg text").evaluate_all(
        "t => t.filter(x => parseFloat(getComputedStyle(x).fontSize) < 10).length"
    )
    assert small == 0


def test_view_and_transpose_are_seen(page: Page, address: str, data: dict[str, Any]) -> None:
    seen = []
    opened(page, address)
    for key in ("q_proj", "q.view", "q.transpose"):
        go(page, where(data, key))
        seen.append(text(page, ".rz-card:last-child samp"))
        assert page.locator(".rz-line.rz-now").inner_text().strip().startswith("248")
    assert seen == ["2×6×32", "2×6×4×8", "2×4×6×8"]


def test_the_cache_grows_by_a_column_and_fills_layer_by_layer(
    page: Page, address: str, data: dict[str, Any]
) -> None:
    append, length = where(data, "present.append"), len(walk(data))
    filled = []
    opened(page, address)
    for at in (append - 1, append, append + 1, length + append - 1, length + append, 2 * length):
        go(page, at)
        counts = [page.locator(f".rz-cache-grid .rz-{kind}").count() for kind in ("kept", "fresh")]
        filled.append(counts)
    assert filled == [[0, 0], [0, 6], [0, 12], [12, 0], [12, 1], [14, 2]]


def test_the_state_is_in_the_address(page: Page, address: str, data: dict[str, Any]) -> None:
    opened(page, address)
    page.get_by_text("GLM-4-9B", exact=True).click()
    page.locator(".rz-slider").fill("17")
    page.get_by_label("猜形状").check()
    page.locator(".rz-flow [name=backend]").select_option("sdpa")
    page.reload()
    page.wait_for_selector(".rz-flow-svg")
    assert page.get_by_label("自己填").is_checked()  # 改过一栏，就不再是预设
    assert page.locator(".rz-slider").input_value() == "17"
    assert page.locator(".rz-flow [name=C]").input_value() == "4096"
    assert page.locator(".rz-flow [name=backend]").input_value() == "sdpa"
    assert page.get_by_label("猜形状").is_checked()
    opened(page, address, "?step=x&preset=没有&sizes=llama-H7-K3")  # 坏网址：从小模型开始
    assert page.locator(".rz-flow [name=H]").input_value() == "4"


def test_guessing_the_shape(page: Page, address: str, data: dict[str, Any]) -> None:
    at = where(data, "q.transpose")
    opened(page, address, f"?step={at}&guess=1")
    for answer in ("(B, H, T, D)", "BHTD", "b h t d", "2×4×6×8", "2,4,6,8", "（B，4，T，D）"):
        go(page, at - 1)
        go(page, at)
        assert "B, H, T, D" not in text(page, ".rz-change")
        assert page.locator(f'[data-step="{at}"] .rz-result').is_hidden()
        assert page.locator(".rz-line.rz-now s").is_hidden()  # 行末的形状注释
        assert (
            page.locator(".rz-line samp").all_inner_texts()
            == [""] * page.locator(".rz-line samp").count()
        )
        page.locator(".rz-guess").fill("(B, T, H, D)")
        page.keyboard.press("Enter")
        assert "第 2 维不对" in text(page, ".rz-ask [role=alert]")
        page.locator(".rz-guess").fill("2 4 6")
        page.keyboard.press("Enter")
        assert "应是 4 维" in text(page, ".rz-ask [role=alert]")
        page.locator(".rz-guess").fill(answer)
        page.keyboard.press("Enter")
        assert text(page, ".rz-card:last-child samp") == "2×4×6×8", answer
    page.keyboard.press("ArrowRight")
    page.get_by_title("看答案").click()
    assert page.locator(".rz-ask").count() == 0


@pytest.mark.parametrize("family", ["qwen3", "glm4"])
def test_totals_are_those_of_llm_and_add_up(page: Page, address: str, family: str) -> None:
    made = LLMConfig.preset(family, **{FIELDS[name]: GIVEN[name] for name in FIELDS})
    opened(page, address)
    fill(page, family=family, W=2, **GIVEN)
    B, T = GIVEN["B"], GIVEN["T"]
    assert f"{T + 1} 个词元的缓存" in text(page, ".rz-totals-holder summary")
    page.locator(".rz-totals-holder summary").click()
    rows = page.locator(".rz-flow-totals tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map("
        "c => Number(c.title.replace(/,/g, ''))))"
    )
    assert rows[-1] == [sum(column) for column in zip(*rows[:-1], strict=True)]
    assert rows[-1] == [
        parameter_count(made),
        flops(made, B, T),
        flops(made, B, 1, T),
        cache_bytes(made, B, T + 1, 2),
    ]


def test_a_bad_size_is_said_at_its_field(page: Page, address: str) -> None:
    opened(page, address)
    before = text(page, ".rz-totals-holder summary")
    fill(page, H=5)
    assert "整数倍" in text(page, "#rz-say-H")
    assert page.locator(".rz-flow [name=H]").get_attribute("aria-invalid") == "true"
    assert text(page, ".rz-totals-holder summary") == before
    fill(page, H=6, D=7)
    assert text(page, "#rz-say-H") == "" and "偶数" in text(page, "#rz-say-D")
    fill(page, D=8, T=0)
    assert "至少 1" in text(page, "#rz-say-T")
    fill(page, T=4)
    assert page.locator(".rz-say").all_inner_texts() == [""] * page.locator(".rz-say").count()


def test_a_head_shows_its_real_scores(page: Page, address: str, data: dict[str, Any]) -> None:
    at, length = where(data, "weights.softmax"), len(walk(data))
    opened(page, address, f"?step={at}")
    cells = page.locator(".rz-heat-table td:not(:empty)").all_inner_texts()
    weights = data["small"]["heads"][0][0][2][1]
    assert [float(cell) for cell in cells] == [
        row[s] for t, row in enumerate(weights) for s in range(t + 1)
    ]
    assert page.locator(".rz-heat-table .rz-hidden").count() == 15
    page.get_by_label("哪个头").select_option("1.0")
    first = float(page.locator(".rz-heat-table tbody tr:nth-child(2) td").first.inner_text())
    assert first == data["small"]["heads"][0][1][0][1][1][0]
    go(page, length + at)  # decode：一个查询，七个键
    assert page.locator(".rz-heat-table tbody td").count() == 7
    assert page.locator(".rz-heat-table tbody th").inner_text() == "月"
    go(page, 0)
    assert page.locator(".rz-heat-table").is_hidden()
    page.locator(".rz-head summary").click()
    assert page.locator(".rz-heat-table").is_visible()


def test_fewer_than_forty_stops_and_every_step_in_words(
    page: Page, address: str, data: dict[str, Any]
) -> None:
    opened(page, address, f"?step={where(data, 'q.transpose')}&guess=1")
    page.locator(".rz-head summary").click()
    page.locator(".rz-presets input").first.focus()
    stops = 1
    while page.evaluate("Boolean(document.activeElement.closest('.rz-flow'))") and stops < 60:
        page.keyboard.press("Tab")
        stops += 1
    assert 20 < stops < 40
    page.locator(".rz-flow-steps summary").click()
    listed = page.locator(".rz-flow-list li").all_inner_texts()
    assert len(listed) == len(walk(data))
    assert "prefill 2×2×6×8，decode 2×2×7×8" in listed[where(data, "k.cat")]


def test_playing_and_stopping(page: Page, address: str) -> None:
    page.clock.install()
    opened(page, address)
    page.get_by_title("走下去").click()
    page.clock.run_for(5200)
    assert text(page, ".rz-at").startswith("4 /")
    page.keyboard.press("ArrowLeft")  # 读者自己走，就停下
    page.clock.run_for(5200)
    assert text(page, ".rz-at").startswith("3 /")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_the_step_is_a_sheet(
    page: Page, address: str, scheme: Any, data: dict[str, Any]
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, address, f"?step={where(data, 'scores.matmul')}&preset=GLM-4-9B")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sheet = page.locator(".rz-flow-side")
    expect(sheet).not_to_have_class(re.compile("rz-away"))
    box, now = sheet.bounding_box(), page.locator(".rz-now .rz-chip").bounding_box()
    assert box and now and box["y"] + box["height"] == pytest.approx(844, abs=1)
    assert 48 < now["y"] < box["y"] - 20  # 亮着的框没被这一张盖住
    code = page.locator(".rz-line.rz-now").bounding_box()
    assert code and code["y"] < 844
    edges = page.locator(".rz-flow-svg .rz-move text").evaluate_all(
        "t => t.every(x => { const r = x.getBoundingClientRect();"
        "return r.left >= 0 && r.right <= innerWidth; })"
    )
    assert edges
    assert page.locator(".md-top").is_hidden()  # 浮着的钮不盖住图
    page.evaluate("window.scrollTo(0, 0)")
    expect(sheet).to_have_class(re.compile("rz-away"))


def test_wide_pages_have_two_panes(page: Page, address: str, data: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    opened(page, address, f"?step={where(data, 'new.unsqueeze')}")
    page.wait_for_timeout(700)  # 平滑地滚过去
    drawing, side = (
        page.locator(f".rz-flow-{name}").bounding_box() for name in ("drawing", "side")
    )
    now = page.locator(".rz-now").first.bounding_box()
    assert drawing and side and now and drawing["x"] + drawing["width"] <= side["x"]
    assert 48 <= side["y"] and side["y"] + side["height"] <= 901 and 48 < now["y"] < 900
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    page.set_viewport_size({"width": 1219, "height": 900})
    assert page.locator(".rz-flow-side").evaluate("s => getComputedStyle(s).position") == "fixed"


def test_reduced_motion_does_not_glide(page: Page, address: str, data: dict[str, Any]) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, address)
    asked = page.evaluate(
        """at => { const seen = []; window.scrollTo = (o) => seen.push(o.behavior);
        Element.prototype.scrollTo = (o) => seen.push(o.behavior);
        const s = document.querySelector(".rz-slider"); s.value = at;
        s.dispatchEvent(new Event("input")); return seen; }""",
        where(data, "down_proj"),
    )
    assert asked and set(asked) == {"auto"}


def test_on_paper_the_picture_and_the_list(page: Page, address: str) -> None:
    opened(page, address)
    page.emulate_media(media="print")
    assert page.locator(".rz-flow-list").is_visible() and page.locator(".rz-flow-svg").is_visible()
    assert page.locator(".rz-controls").is_hidden() and page.locator(".rz-flow-code").is_hidden()


def test_a_step_is_quick(page: Page, address: str) -> None:
    opened(page, address, "?preset=LLaMA-7B")
    spent = page.evaluate(
        """() => { const s = document.querySelector(".rz-slider"); const start = performance.now();
        for (let i = 0; i < 40; i += 1) { s.value = i; s.dispatchEvent(new Event("input")); }
        return (performance.now() - start) / 40; }"""
    )
    assert spent < 50


def test_steps_link_to_notes(page: Page, address: str, data: dict[str, Any]) -> None:
    opened(page, address, f"?step={where(data, 'q.rotate')}")
    link = page.get_by_role("link", name="讲这一步的笔记")
    assert str(link.get_attribute("href")) == "../attention/rope.html"
    go(page, where(data, "down_proj"))
    assert page.get_by_role("link", name="讲这一步的笔记").count() == 0
    page.locator(f'[data-step="{where(data, "k.cat")}"] .rz-op').click()
    assert "第 260 行" in text(page, ".rz-where")
    page.locator('.rz-line[data-line="303"]').click()
    assert "第 303 行" in text(page, ".rz-where")


def test_letters_have_their_colours_in_the_text_too(page: Page, address: str) -> None:
    """正文里写着的形状，与图上同一个字母同一种颜色。"""
    opened(page, address)
    code = page.locator("article code", has_text=re.compile(r"^\(B, T\)$")).first
    colours = code.locator("span").evaluate_all("s => s.map(x => getComputedStyle(x).color)")
    field = page.locator(".rz-field-T b").evaluate("b => getComputedStyle(b).color")
    assert len(colours) == 2 and colours[1] == field and colours[0] != field


def test_without_a_server(page: Page, tmp_path: Path, data: dict[str, Any]) -> None:
    """file:// 下一样用，网址照样记着走到哪一步。"""
    assets = (ROOT / "rizhi/site/assets").as_uri()
    held = html.escape(json.dumps(data, ensure_ascii=False), quote=True)
    file = tmp_path / "page.html"
    file.write_text(
        f'<meta charset=utf-8><article><div class="rz-flow" data-flow="{held}"></div></article>'
        f'<script src="{assets}/rizhi.js"></script>',
        encoding="utf-8",
    )
    page.goto(file.as_uri())
    page.wait_for_selector(".rz-flow-svg")
    go(page, 5)
    assert page.url.endswith("?step=5")
    page.reload()
    page.wait_for_selector(".rz-flow-svg")
    assert text(page, ".rz-at").startswith("6 /")
