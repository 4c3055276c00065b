"""请求时排的一段，与站点上构建出来的一字不差。"""

import re
from pathlib import Path

import pytest
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig

from rizhi import notes
from rizhi.mkdocs_plugin.passage import renderer
from rizhi.page import read_notes
from rizhi.vault import find_vault
from tests.conftest import Site
from tests.vaults import ROOT


@pytest.fixture(scope="module")
def config() -> MkDocsConfig:
    return load_config(str(ROOT / "mkdocs.yml"))


def test_every_question_looks_as_it_does_on_its_page(site: Site, config: MkDocsConfig) -> None:
    vault = find_vault(site.root)
    seen = 0
    for note in read_notes(vault):
        uri = note.path.relative_to(vault.docs).as_posix()
        built = (site.folder / uri).with_suffix(".html").read_text("utf-8")
        render = renderer(config, vault, uri)
        for asked, said, _ in notes.self_tests(note, "自测"):
            title = render(asked, uri).removeprefix("<p>").removesuffix("</p>")
            assert f"<summary>{title}</summary>" in built and render(said, uri) in built
            seen += 1
    assert seen > 10


def test_maths_code_and_links_look_as_on_the_site(site: Site, config: MkDocsConfig) -> None:
    vault, uri = find_vault(site.root), "notes/attention/rope.md"
    note = next(note for note in read_notes(vault) if note.slug == "rope")
    said = note.text.partition("## 定义与形状")[2].partition("##")[0].strip()
    assert "$m\\theta$" in said
    built = (site.folder / uri).with_suffix(".html").read_text("utf-8")
    assert renderer(config, vault, uri)(said, uri) in built


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("[掩码](attention-mask.md#shape)", 'href="../notes/attention/attention-mask.html#shape"'),
        ("[本篇](#why)", 'href="../notes/attention/rope.html#why"'),
        ("![图](图.svg)", 'src="../notes/attention/%E5%9B%BE.svg"'),
        ("[论文](https://arxiv.org/abs/2104.09864)", 'href="https://arxiv.org/abs/2104.09864"'),
        ("[外面](../../../llm/model.py)", 'href="../../../llm/model.py"'),
        ("```python\nx = 1\n```", 'class="language-python highlight"'),
        ("```source\nllm.model:nothing\n```", "llm.model:nothing"),
    ],
)
def test_links_are_seen_from_the_page_that_asks(
    config: MkDocsConfig, tmp_path: Path, written: str, seen: str
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
    render = renderer(config, find_vault(tmp_path), "review/index.md")
    assert seen in re.sub(r"</?span[^>]*>", "", render(written, "notes/attention/rope.md"))
