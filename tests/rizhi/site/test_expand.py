"""一页展开成普通的 Markdown：代码、输出、图都在，换行照站点的样子，设置里没有 rizhi。"""

import re

import pytest
import yaml

from rizhi.errors import RizhiError
from rizhi.site import expand
from rizhi.site.export import plain_config
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput
from rizhi.template import TEMPLATES
from rizhi.vault import Vault

CODE = '''# %% 甲
print("a")

# %% 检验 "乙"
text = """
````
"""
assert text
'''
MODEL = """import os

NAME = os.name


@staticmethod
def first():
    return os


class Second:
    x = 1
"""


@pytest.fixture
def recorded(vault: Vault) -> Vault:
    """一个录过的片段，头一格有文字与图，与一个源码模块。"""
    path = vault.snippets / "demo.py"
    path.write_text(CODE, encoding="utf-8")
    outs = (CellOutput("甲", "a\n", ("<svg/>",), stderr="w\n"), CellOutput('检验 "乙"'))
    files = records.record_files(outs, records.key(vault, path), {}, "2026-11-23")
    (vault.outputs / "demo").mkdir(parents=True)
    for name, data in files.items():
        (vault.outputs / "demo" / name).write_bytes(data)
    (vault.root / "llm/model.py").write_text(MODEL, encoding="utf-8")
    return vault


def _page(vault: Vault, text: str, uri: str = "notes/model/demo.md") -> str:
    return expand.page(vault, uri, text)


def test_a_cell_becomes_code_output_and_figure(recorded: Vault) -> None:
    said = _page(recorded, "```snippet\ndemo:甲\n```\n\n```snippet\ndemo:甲\n```\n")
    code = '```python title="snippets/demo.py · 甲" linenums="2"\nprint("a")\n```'
    assert said.count(code) == 2 and said.count('```text title="输出"\na\n```') == 2
    assert '```text title="标准错误"\nw\n```' in said
    assert "![甲](../../figures/demo/01-1.svg){.rz-figure}" in said
    assert said.count("](../../downloads/demo.ipynb)") == 1  # 一页里链接一次就够


def test_backticks_and_quotes_do_not_break_the_block(recorded: Vault) -> None:
    said = _page(recorded, '```snippet\ndemo:检验 "乙"\n```\n')
    assert said.startswith('`````python title="snippets/demo.py · 检验 ”乙”"')
    assert cells.parse(recorded.snippets / "demo.py").code_cells[1].source in said


def test_a_module_alone_is_every_cell(recorded: Vault) -> None:
    assert _page(recorded, "```snippet\ndemo\n```\n").count("python title=") == 2


def test_source_keeps_its_line_numbers(recorded: Vault) -> None:
    said = _page(recorded, "- 一条\n\n    ```source\n    llm.model:first\n    ```\n")
    assert '    ```python title="llm/model.py 第 6–8 行" linenums="6"\n    @staticmethod\n' in said


def test_a_reference_is_the_whole_module(recorded: Vault) -> None:
    said = _page(
        recorded, "# 页\n\n::: llm.model\n    options:\n      a: 1\n", "reference/model.md"
    )
    assert ":::" not in said and "options" not in said
    parts = re.findall(r"^```python .*?\n(.*?)\n```$", said, re.M | re.S)
    assert "".join("".join(parts).split()) == "".join(MODEL.split())
    assert "## first { #llm.model.first }" in said and "## Second { #llm.model.Second }" in said


def test_what_is_shown_as_code_stays(recorded: Vault) -> None:
    text = "````markdown\n```snippet\ndemo:甲\n```\n::: llm.model\n````\n"
    assert _page(recorded, text) == text


@pytest.mark.parametrize(
    ("line", "words"),
    [("demo:没有", "没有单元格「没有」"), ("nothing:甲", "没有片段"), ("demo:甲", "输出已过期")],
)
def test_trouble_is_said_on_the_page(recorded: Vault, line: str, words: str) -> None:
    with (recorded.snippets / "demo.py").open("a", encoding="utf-8") as file:
        file.write("# 改过\n")
    said = _page(recorded, f"```snippet\n{line}\n```\n")
    assert re.search(rf"^> \*\*.*{words}", said, re.M) and str(recorded.root) not in said


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("汉字\n汉字\n", "汉字汉字\n"),
        ("汉字\nword\n", "汉字\nword\n"),
        ("汉字\n[汉字](a.md)\n接着\n", "汉字[汉字](a.md)接着\n"),
        ("汉字\n**粗**\n接着\n", "汉字**粗**接着\n"),
        ("汉字\n**「粗」**\n接着\n", "汉字\n**「粗」**\n接着\n"),  # 接上就不是强调了
        ("`汉字\n汉字`\n", "`汉字\n汉字`\n"),
        ("汉字\n形状：甲\n", "汉字  \n形状：甲\n"),
        ("> 汉字\n> 汉字\n", "> 汉字汉字\n"),
        ("汉字  \n汉字\n", "汉字  \n汉字\n"),
    ],
)
def test_a_newline_between_two_hanzi_is_no_blank(recorded: Vault, text: str, joined: str) -> None:
    assert _page(recorded, text) == joined


def test_in_a_day_a_newline_is_a_line_break(recorded: Vault) -> None:
    text = "# 题\n\n做了两件：\n接着\n- 甲\n  乙\n"
    said = _page(recorded, text, "daily/2026/2026-11-23.md")
    assert said == "# 题\n\n做了两件：  \n接着\n\n- 甲  \n  乙\n"


def test_a_draft_says_so(recorded: Vault) -> None:
    said = _page(recorded, "---\ntitle: 题\ndraft: true\n---\n\n# 题\n")
    assert said.startswith("---\ntitle: 题\ndraft: true\n---\n") and "还没有写完" in said


class _Plain(yaml.SafeLoader):
    """rizhi 的标签读不得，别的照收。"""


_Plain.add_multi_constructor("!!python/object", lambda *_: None)
_Plain.add_multi_constructor("tag:yaml.org,2002:python/object", lambda *_: None)
_Plain.add_constructor("!ENV", lambda *_: None)


def test_the_settings_lose_only_what_needs_rizhi() -> None:
    text = (TEMPLATES / "vault/mkdocs.yml").read_text("utf-8")
    extra = "hooks: [a.py]\nextra_css: [my.css]\nextra: {social: [rizhi]}\n"
    said = plain_config(text.replace("site_name: 日知", "site_name: rizhi") + extra)
    made = yaml.load(said, _Plain)  # noqa: S506
    assert not re.search(r"rizhi\.(?!css|js)", said) and "hooks" not in made
    assert made["site_name"] == "rizhi" and made["extra"] == {"social": ["rizhi"]}
    assert [next(iter(p)) if isinstance(p, dict) else p for p in made["plugins"]] == ["search"]
    assert made["extra_css"] == ["my.css", "assets/web.css", "assets/rizhi.css"]
    assert "sane_lists" in made["markdown_extensions"]
    assert "content.code.copy" in made["theme"]["features"]
    assert made["theme"]["favicon"] == "assets/favicon.svg"
    assert plain_config(said) == said


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_settings_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(RizhiError, match=r"mkdocs\.yml"):
        plain_config(text)
