"""张量流的页面：读者填的数，图与源码旁的尺寸、参数、浮点运算、缓存都跟着变，并与 llm 算的相同。"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from llm import LLMConfig
from llm.config import PRESETS
from llm.lab.flow import cache_bytes, flops, parameter_count, viewer_data
from llm.lab.shapes import trace
from rizhi.snippets import record
from rizhi.snippets.cells import CellOutput
from rizhi.vault import find_vault
from tests import vaults
from tests.browser.conftest import served
from tests.conftest import build

pytestmark = pytest.mark.browser
FIELDS = {"L": "num_hidden_layers", "C": "hidden_size", "H": "num_attention_heads"}
FIELDS |= {"K": "num_key_value_heads", "D": "head_dim", "I": "intermediate_size", "V": "vocab_size"}
GIVEN = {"B": 3, "T": 5, "past": 9, "L": 2, "C": 24, "H": 6, "K": 2, "D": 12, "I": 40, "V": 50}
SIDES = {"prefill": "rz-side-0", "decode": "rz-side-1"}
CHIPS = """() => Object.fromEntries([...document.querySelectorAll(".rz-flow-line span")].map(
    span => [`${span.closest(".rz-flow-line").id} ${span.className}`, span.textContent]))"""
URL = "notes/model/tensor-flow.html"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """样例里那一格的数据换成 llm 真的跟踪出来的，链接照样例的。"""
    folder = tmp_path_factory.mktemp("flow")
    root = vaults.make(folder / "vault")
    path, title = root / "snippets/tensor_flow.py", "数据 张量流"
    sample = record.read_record(root / "snippets/outputs", "tensor_flow")
    links = json.loads(sample.output(title).text)["links"]
    files = record.record_files(
        (CellOutput(title, viewer_data(links)),), record.key(find_vault(root), path), {}, ""
    )
    for name, data in files.items():
        (root / "snippets/outputs/tensor_flow" / name).write_bytes(data)
    with served(build(root, folder / "site").folder) as address:
        yield address


def fill(page: Page, address: str, **values: Any) -> None:
    page.goto(f"{address}/{URL}")
    page.wait_for_selector(".rz-flow-svg")
    for name, value in values.items():
        field = page.locator(f".rz-flow [name={name}]")
        (field.fill if name not in ("family", "backend", "W") else field.select_option)(str(value))


def config(family: str, backend: str) -> LLMConfig:
    sized = {FIELDS[name]: GIVEN[name] for name in FIELDS}
    return LLMConfig.preset(family, **{**sized, "attention_backend": backend})


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
@pytest.mark.parametrize("family", PRESETS)
def test_numbers_are_the_ones_llm_gives(
    page: Page, address: str, family: str, backend: str
) -> None:
    made = config(family, backend)
    fill(page, address, family=family, backend=backend, W=2, **GIVEN)
    cells = page.locator(".rz-flow-totals td").all_inner_texts()[1:]
    numbers = [int(re.sub(r"\D", "", cell.partition("（")[0])) for cell in cells[:3]]
    B, T, past = GIVEN["B"], GIVEN["T"], GIVEN["past"]
    assert numbers == [parameter_count(made), flops(made, B, T), flops(made, B, 1, past)]
    kept = [cache_bytes(made, B, S, 2) / 1024 for S in (T, past + 1)]
    assert [float(re.sub(r"[^\d.]", "", cell)) for cell in cells[3:]] == pytest.approx(
        kept, rel=0.01
    )
    chips = page.evaluate(CHIPS)
    for side, how in (("prefill", (B, T, 0)), ("decode", (B, 1, past))):
        for row in trace(made, *how):
            if "[" in row.variable or "." in row.variable or "T+1" in row.letters:
                continue  # 缓存里的各项在页面上只写总的
            chip = chips[f"rz-line-{row.line} {SIDES[side]}"]
            size = "×".join(map(str, row.shape))
            assert re.search(rf"(^|\s){row.variable} {size}($|\s)", chip), (row, chip)


def test_wrong_sizes_are_explained(page: Page, address: str) -> None:
    fill(page, address, H=6, K=4)
    assert "整数倍" in page.locator(".rz-flow-trouble").inner_text()
    page.locator(".rz-flow [name=K]").fill("3")
    assert page.locator(".rz-flow-trouble").inner_text() == ""


def test_boxes_link_to_notes_and_lines(page: Page, address: str) -> None:
    links = set()
    for family in PRESETS:
        fill(page, address, family=family, backend="manual")
        links |= set(page.locator(".rz-flow-svg a").evaluate_all("a => a.map(x => x.href.baseVal)"))
    lines = {link for link in links if link.startswith("#")}
    assert len(lines) > 15
    assert links - lines == {"../attention/rope.html", "../attention/attention-mask.html"}
    assert all(page.locator(link).count() == 1 for link in lines)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone(page: Page, address: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    fill(page, address, backend="manual", family="qwen3", B=32, T=32768, past=131072, H=64, K=8)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = page.locator(".rz-flow-svg .rz-box").evaluate_all(
        "gs => gs.map(g => { const r = g.querySelector('rect').getBoundingClientRect();"
        "return [...g.querySelectorAll('text')].every("
        "t => t.getBoundingClientRect().right <= r.right + 1) })"
    )
    assert len(boxes) > 20 and all(boxes)  # 字都在框里
    tall = page.locator(".rz-flow-svg .rz-size").first.bounding_box()
    assert tall and tall["height"] >= 9
