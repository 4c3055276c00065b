"""三种围栏：代码、行号、记录、毛病都在页面上说清楚。"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from rizhi.errors import RizhiError
from rizhi.snippets import cells, fence, record, recording
from rizhi.vault import Vault, find_vault
from tests import vaults

MODEL = '''"""模型。"""

SIZE: int = 4


class Block:
    """一个块。"""

    scale = 2

    @staticmethod
    def forward(x):
        """乘 2。"""
        return x * 2
'''
TOPIC = """# %% 数
from llm.model import Block

x = 3
# %% 结果
print(Block.forward(x), "<b>")
# %% 检验
assert Block.forward(x) == 6
"""


@pytest.fixture
def topic(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (vault.root / "llm/__init__.py").write_text("", encoding="utf-8")
    (vault.root / "llm/model.py").write_text(MODEL, encoding="utf-8")
    (vault.root / "llm/lab").mkdir()
    (vault.root / "llm/lab/look.py").write_text("WIDE = 3\n", encoding="utf-8")
    path = vault.snippets / "topic.py"
    path.write_text(TOPIC, encoding="utf-8")
    monkeypatch.chdir(vault.root)
    yield path


@pytest.fixture
def recorded(vault: Vault, topic: Path) -> Path:
    assert recording.record(vault, topic)
    return topic


def _html(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def _numbers(page: Tag) -> list[str]:
    """样式数出来的行号：从 counter-reset 的下一个数起，一个空的 <i> 一行。"""
    code = page.select_one("code")
    before = int(re.findall(r"counter-reset: line (\d+)", str(code["style"]))[0])
    return [str(n) for n, _ in enumerate(code.select("i"), before + 1)]


def test_cells_show_code_line_numbers_and_output(recorded: Path) -> None:
    page = _html(fence.snippet_fence("topic:数\n\ntopic:结果\n"))
    first, second = page.select(".rz-cell")
    assert first.select_one("code").get_text() == "from llm.model import Block\n\nx = 3\n"
    assert _numbers(first) == ["2", "3", "4"] and _numbers(second) == ["6"]
    assert second.select_one(".rz-text").get_text() == "6 <b>\n"
    assert page.select(".rz-trouble, .rz-old") == []


def test_module_alone_means_every_cell(recorded: Path) -> None:
    page = _html(fence.snippet_fence("topic"))
    assert [node.get_text() for node in page.select(".rz-title")] == ["数", "结果", "检验"]


def test_source_of_a_module_in_a_subpackage(topic: Path) -> None:
    page = _html(fence.source_fence("llm.lab.look:WIDE"))
    assert page.select_one(".rz-file").get_text() == "llm/lab/look.py 第 1 行"


def test_copied_code_runs(recorded: Path) -> None:
    page = _html(fence.snippet_fence("topic:结果"))
    copied = str(page.select_one(".rz-copy")["data-clipboard-text"])
    assert copied.index("x = 3") < copied.index("print(Block") and "assert" not in copied
    compile(copied, "pasted", "exec")


def test_a_site_loads_big_figures_and_the_code_to_copy_late(tmp_path: Path) -> None:
    """站点上：大的图是文件，看到才载入，位置先留好；别的引擎没有那些文件，都放进页里。"""
    vault = find_vault(vaults.SAMPLE)
    site, other = (
        _html(fence.fences(fence.Context(vault, to_url=to_url))["snippet"]("rope:图 角度"))
        for to_url in ("../../{}".format, None)
    )
    loaded = record.load(vault, vault.snippets / "rope.py")
    (uri, svg), *_ = fence.figures(loaded.source, loaded.record).items()
    late, inline = site.select_one("img"), other.select_one("img")
    assert late["src"] == f"../../{uri}" and late["loading"] == "lazy"
    assert str(inline["src"]).startswith("data:image/svg+xml,") and not inline.get("loading")
    _, _, width, height = map(float, re.findall(r'viewBox="([^"]+)"', svg)[0].split())
    for image in (late, inline):
        shape = int(str(image["width"])) / int(str(image["height"]))
        assert shape == pytest.approx(width / height, rel=0.01)
    assert site.select_one("button.rz-copy").get("data-clipboard-text") is None
    assert "math.sin" in other.select_one("button.rz-copy")["data-clipboard-text"]


def test_a_check_shows_its_name_a_tick_and_what_it_compares(recorded: Path) -> None:
    (cell,) = _html(fence.snippet_fence("topic:检验")).select(".rz-cell.rz-check")
    assert cell.select_one(".rz-bar > .rz-title").get_text() == "检验"
    state = cell.select_one(".rz-bar > .rz-state")
    assert state.get_text() == "✓" and "录下，输出是新的" in str(state["title"])
    fold = cell.select_one("details.rz-code:not([open])")
    assert fold.summary.get_text() == "Block.forward(x) == 6"
    assert fold.select_one("pre > code").get_text() == "assert Block.forward(x) == 6\n"


def test_a_figure_comes_before_its_folded_code(vault: Vault, topic: Path) -> None:
    drawing = "import matplotlib.pyplot as plt\n\nplt.plot([1, 2])\nplt.title('升')\n"
    topic.write_text(f"# %% 图 线\n{drawing}# %% 线\n{drawing}", encoding="utf-8")
    unrecorded = _html(fence.snippet_fence("topic:图 线"))
    assert unrecorded.select_one(".rz-cell > .highlight") and not unrecorded.select("details")
    recording.record(vault, topic)
    folded, plain = _html(fence.snippet_fence("topic")).select(".rz-cell")
    assert [node["class"][0] for node in folded.find_all(recursive=False)] == [
        "rz-bar",
        "rz-output",
        "rz-code",
    ]
    assert folded.select_one(".rz-figure")["alt"] == "升：1 条线"
    assert [node["class"][0] for node in plain.find_all(recursive=False)][1] == "highlight"


def test_an_old_record_without_words_shows_the_title(vault: Vault, topic: Path) -> None:
    topic.write_text("# %% 图\n1\n", encoding="utf-8")
    out = cells.CellOutput("图", figures=("<svg></svg>",))
    files = record.record_files((out,), record.key(vault, topic), {}, "")
    for name, data in files.items():
        path = vault.outputs / "topic" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    page = _html(fence.snippet_fence("topic:图"))
    assert page.select_one(".rz-figure")["alt"] == "图"
    assert page.select_one(".rz-state")["title"] == "跑过，输出是新的"


LONG = "def steps(x):\n" + "".join(f"    y{n} = x + {n}\n" for n in range(30)) + "    return x\n"


def test_a_long_source_shows_the_named_lines_and_copies_whole(vault: Vault, topic: Path) -> None:
    (vault.root / "llm/long.py").write_text(LONG, encoding="utf-8")
    page = _html(fence.source_fence("llm.long:steps # y20、return"))
    folds = page.select(".highlight > details:not([open]) > summary")
    assert [fold.get_text() for fold in folds] == ["⋯ 20 行", "⋯ 9 行"]
    shown = "".join(code.get_text() for code in page.select(".highlight > pre > code"))
    assert shown == "def steps(x):\n    y20 = x + 20\n    return x\n"
    assert "".join(code.get_text() for code in page.select("pre > code")) == LONG
    assert str(page.select_one("button.rz-copy")["data-clipboard-text"]) + "\n" == LONG
    starts = [str(code["style"]) for code in page.select("pre > code")]
    assert [re.findall(r"line (\d+); --digits: 2", one) for one in starts] == [
        ["0"],
        ["1"],
        ["21"],
        ["22"],
        ["31"],
    ]
    assert "没有一行有「y99」" in fence.source_fence("llm.long:steps # y99")


def test_source_has_true_lines_and_a_link(topic: Path) -> None:
    page = _html(fence.source_fence("llm.model:Block.forward"))
    assert "llm/model.py 第 11–14 行" in page.select_one(".rz-file").get_text()
    assert page.select_one("autoref")["identifier"] == "llm.model.Block.forward"
    assert page.select_one("code").get_text().startswith("@staticmethod\ndef forward(x):\n    ")
    assert _numbers(page) == ["11", "12", "13", "14"]


def test_one_line_is_no_range(topic: Path) -> None:
    page = _html(fence.source_fence("llm.model:SIZE"))
    assert page.select_one(".rz-file").get_text() == "llm/model.py 第 3 行"


@pytest.mark.parametrize("name", ["SIZE", "Block", "Block.scale"])
def test_source_finds_every_kind_of_name(topic: Path, name: str) -> None:
    assert f">{name}<" in fence.source_fence(f"llm.model:{name}")


@pytest.mark.parametrize(
    ("render", "line", "message"),
    [
        (fence.snippet_fence, "topic:没有", "现有：数、结果、检验"),
        (fence.snippet_fence, "absent:数", "没有片段 snippets/absent.py；现有：topic"),
        (fence.snippet_fence, "../topic:数", "没有片段"),
        (fence.source_fence, "llm.model:Head", "没有 Head；现有：SIZE、Block、Block.scale"),
        (fence.source_fence, "llm.absent:x", "没有模块 llm.absent；现有：llm.lab.look、llm.model"),
        (fence.source_fence, "os:path", "没有模块 os"),
    ],
)
def test_unknown_names_are_shown_and_warned(
    recorded: Path, caplog: pytest.LogCaptureFixture, render, line: str, message: str
) -> None:
    with caplog.at_level(logging.WARNING, "mkdocs.rizhi"):
        page = _html(render(line))
    assert message in page.select_one(".rz-trouble").get_text()
    assert message in caplog.text


def test_unrecorded_and_stale_are_marked_once(
    vault: Vault, topic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "还没有记录" in fence.snippet_fence("topic:数\ntopic:结果")
    recording.record(vault, topic)
    topic.write_text(TOPIC.replace("x = 3", "x = 5"), encoding="utf-8")
    page = _html(fence.snippet_fence("topic:数\ntopic:结果"))
    assert len(page.select(".rz-trouble")) == 1 and len(page.select(".rz-output.rz-old")) == 1
    assert "输出已过期" in page.get_text() and "rizhi record topic" in page.get_text()
    assert [node.get_text() for node in page.select(".rz-state.rz-bad")] == ["已过期"] * 2


FLOW = """# %% 图
import json

links = {"rope": "../attention/rope.md#转", "far": "https://example.org/a.md"}
print(json.dumps({"links": links, "source": "</script><b>"}))
# %% 不是
print([1])
"""


@pytest.fixture
def drawn(vault: Vault, topic: Path) -> Path:
    topic.write_text(FLOW, encoding="utf-8")
    assert recording.record(vault, topic)
    return topic


def _data(page: BeautifulSoup) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(str(page.select_one(".rz-flow")["data-flow"]))
    return data


def test_flow_carries_its_data_and_says_where_it_comes_from(drawn: Path) -> None:
    """没有脚本、打印、换了引擎，看到的是一句话；数据里的源码只是字。"""
    html = fence.flow_fence("topic:图")
    page = _html(html)
    assert _data(page)["source"] == "</script><b>" and "</script>" not in html and "<b>" not in html
    assert "snippets/topic.py 里「图」一格的输出" in page.select_one(".rz-flow > p").get_text()
    links = {"rope": "../attention/rope.html#转", "far": "https://example.org/a.md"}
    assert _data(page)["links"] == links
    assert page.select(".rz-trouble") == []


def test_flow_without_script_is_a_list_of_steps(vault: Vault, topic: Path) -> None:
    """没有脚本、换了引擎，读到的是各步的清单：头一种走法、头一个预设的数。"""
    step = ["cat", "k.cat", "k", "f", 7, "data", 2, ["B K S D"], ["S = {S}。", "S = {past+1}。"]]
    data = {
        "presets": [["小", "", "llama", {"B": 2, "T": 6}], ["大", "", "llama", {"B": 9, "T": 9}]],
        "phases": [["prefill", {"past": "0", "S": "T"}, ""], ["decode", {"past": "T"}, ""]],
        "steps": [["别的", "", "", "", 1, "", 0, ["B"], ["没走到"]], step],
        "variants": {"llama": {"manual": {"steps": [[1, []]]}}},
    }
    topic.write_text(f"# %% 图\nprint({json.dumps(data)!r})\n", encoding="utf-8")
    recording.record(vault, topic)
    page = _html(fence.flow_fence("topic:图"))
    (item,) = page.select(".rz-flow > ol > li")
    assert item.get_text() == ("cat → k (B, K, S, D)（第 7 行）。prefill：S = 6。 decode：S = 7。")


def test_flow_asks_the_engine_for_addresses(drawn: Path) -> None:
    """引擎有自己的处理器就问它：文件夹式的网址、不存在的页，它都知道。"""
    asked = SimpleNamespace(path_to_url=lambda link: f"/{link}/")
    md = SimpleNamespace(treeprocessors={"relpath": asked})
    page = _html(fence.flow_fence("topic:图", "flow", "flow", {}, md))
    assert _data(page)["links"]["rope"] == "/../attention/rope.md#转/"


def test_flow_without_data_is_shown_and_warned(
    vault: Vault, topic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic.write_text(FLOW, encoding="utf-8")
    page = _html(fence.flow_fence("topic:图"))
    assert "还没有记录" in page.select_one(".rz-trouble").get_text() and "还没有记录" in caplog.text
    assert not page.select_one(".rz-flow").get("data-flow") and page.select_one(".rz-flow > p")
    recording.record(vault, topic)
    assert "不是张量流的数据" in fence.flow_fence("topic:不是")
    assert "没有单元格「」" in fence.flow_fence("topic")
    topic.write_text(FLOW.replace("转", "角"), encoding="utf-8")
    page = _html(fence.flow_fence("topic:图"))
    assert "输出已过期" in page.get_text() and _data(page)["links"]["rope"].endswith("#转")


def test_a_broken_llm_still_shows_the_code(vault: Vault, recorded: Path) -> None:
    (vault.root / "llm/model.py").write_text("x = (\n", encoding="utf-8")
    page = _html(fence.snippet_fence("topic:数\ntopic:结果"))
    assert len(page.select(".rz-cell")) == 2
    assert "llm/model.py:1 语法错误" in page.select_one(".rz-trouble").get_text()
    assert "语法错误" in fence.source_fence("llm.model:Block")
    with pytest.raises(RizhiError, match="语法错误"):
        record.key(vault, recorded)


def test_a_bound_fence_names_its_page(
    vault: Vault, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bound = fence.fences(fence.Context(vault, "docs/notes/model/topic.md"))
    assert bound["snippet"]("topic:没有") == fence.snippet_fence("topic:没有")
    assert bound["source"]("os:path") == fence.source_fence("os:path")
    assert caplog.text.count("docs/notes/model/topic.md：") == 2


def test_a_failed_run_shows_its_traceback(vault: Vault, recorded: Path) -> None:
    failures = {"topic": "snippets/topic.py:4 出错：<x>\n  File …"}
    bound = fence.fences(fence.Context(vault, failures=failures))
    page = _html(bound["snippet"]("topic:结果"))
    trouble = page.select_one(".rz-trouble")
    assert "出错：<x>" in trouble.p.get_text() and "File …" in trouble.pre.get_text()


def test_a_running_snippet_says_so_and_nothing_else(vault: Vault, topic: Path) -> None:
    page = _html(fence.fences(fence.Context(vault, running={"topic"}))["snippet"]("topic:数"))
    assert page.select_one(".rz-running") and page.select(".rz-trouble") == []
    assert page.select_one(".rz-state").get_text() == "正在重跑"


def test_a_draft_never_warns(vault: Vault, topic: Path, caplog: pytest.LogCaptureFixture) -> None:
    bound = fence.fences(fence.Context(vault, draft=True))
    with caplog.at_level(logging.WARNING):
        assert "没有片段" in bound["snippet"]("absent:数")
    assert caplog.records == []


def test_outside_a_vault_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "不是知识库" in fence.snippet_fence("topic") and "不是知识库" in caplog.text


@pytest.mark.parametrize("config", ["", 'source = ""\n'])
def test_without_a_source_package_the_fence_says_what_to_set(
    vault: Vault, topic: Path, config: str
) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\n{config}", encoding="utf-8")
    shown = _html(fence.source_fence("llm.model:Block")).get_text()
    assert "pyproject.toml 的 [tool.rizhi]" in shown and 'source = "llm"' in shown


def test_a_package_of_another_name_with_a_package_inside(vault: Vault, topic: Path) -> None:
    (vault.root / "pyproject.toml").write_text('[tool.rizhi]\nsource = "tiny"\n', "utf-8")
    (vault.root / "tiny/lab").mkdir(parents=True)
    (vault.root / "tiny/lab/__init__.py").write_text("WIDTH = 3\n", "utf-8")
    (vault.root / "tiny/lab/shapes.py").write_text("def trace():\n    return 1\n", "utf-8")
    shown = _html(fence.source_fence("tiny.lab.shapes:trace"))
    assert shown.select_one(".rz-file").get_text() == "tiny/lab/shapes.py 第 1–2 行"
    assert "tiny/lab/__init__.py" in fence.source_fence("tiny.lab:WIDTH")
    assert "现有：tiny.lab、tiny.lab.shapes" in fence.source_fence("llm.model:Block")


def test_an_unexpected_error_is_not_swallowed(
    topic: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("意外")

    monkeypatch.setattr(cells, "snippet_file", explode)
    assert "渲染时出了意外" in fence.snippet_fence("topic:数") and "RuntimeError" in caplog.text
