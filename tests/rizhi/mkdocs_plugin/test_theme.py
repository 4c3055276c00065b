"""主题的文件改过再给：改到的那几处，改不到时的一句警告，用不着的样式。"""

import logging
import re
from pathlib import Path

import pytest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from rizhi.mkdocs_plugin import theme

WORKER = "assets/javascripts/workers/search.abc.min.js"
BUNDLE = "assets/javascripts/bundle.abc.min.js"


@pytest.fixture
def config(tmp_path: Path) -> MkDocsConfig:
    config = MkDocsConfig(str(tmp_path / "mkdocs.yml"))
    (tmp_path / "docs").mkdir()
    config.load_dict({"site_name": "试", "theme": "material"})
    assert config.validate() == ([], [])
    config.plugins._current_plugin = "rizhi"  # 在一个事件里
    return config


def _shipped() -> dict[str, str]:
    """各处要改的文字都在的两个文件。"""
    return {
        pattern.replace("*", "abc"): "；".join(wrong for wrong, _ in changes)
        for pattern, changes in theme.PATCHES
    }


def _patched(config: MkDocsConfig, texts: dict[str, str]) -> dict[str, str]:
    files = Files([File.generated(config, uri, content=text) for uri, text in texts.items()])
    theme.patch(files, config)
    return {file.src_uri: file.content_string for file in files}


def test_every_place_is_changed(config: MkDocsConfig, caplog: pytest.LogCaptureFixture) -> None:
    after = _patched(config, _shipped())
    for pattern, changes in theme.PATCHES:
        assert after[pattern.replace("*", "abc")] == "；".join(right for _, right in changes)
    assert not caplog.records


@pytest.mark.parametrize("uri", [WORKER, BUNDLE])
@pytest.mark.parametrize("content", [None, "另一个版本的脚本", "两处"])
def test_an_unknown_script_is_left_as_it_ships_with_a_warning(
    config: MkDocsConfig, caplog: pytest.LogCaptureFixture, uri: str, content: str | None
) -> None:
    before = _shipped()
    if content is None:
        del before[uri]
    else:
        before[uri] = before[uri] * 2 if content == "两处" else content
    after = _patched(config, before)
    assert after.get(uri) == before.get(uri)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING  # 严格构建因此失败
    assert uri.replace("abc", "*") in said.getMessage() and "照主题原样" in said.getMessage()


def test_rules_that_match_nothing_are_left_out() -> None:
    dead = re.compile(r"=pink\]|\[dir=rtl\]")
    css = (
        "a{b:c}[x=pink]{d:e}[x=pink] p,[dir=rtl] p{f:g}[dir=ltr] p,[dir=rtl] p{h:i}"
        "@media screen{[x=pink]{j:k}q{l:m}}"
    )
    assert theme.without(css, dead) == ("a{b:c}[dir=ltr] p,[dir=rtl] p{h:i}@media screen{q{l:m}}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"indigo"}),
        ({"palette": {"primary": "deep purple", "accent": "red"}}, {"deep-purple", "red"}),
        ({"palette": [{"primary": "custom"}, {"accent": "pink"}]}, {"custom", "indigo", "pink"}),
        ({"language": "ar"}, {"indigo", "rtl"}),
    ],
)
def test_the_colours_he_chose_stay(config: MkDocsConfig, given: dict, kept: set[str]) -> None:
    for key, value in given.items():
        config.theme[key] = value
    names = ("indigo", "deep-purple", "red", "pink", "custom")
    css = "".join(f"[data-md-color-primary={name}]{{a:b}}" for name in names)
    css += "[dir=rtl] p{c:d}"
    uri = "assets/stylesheets/palette.abc.min.css"
    after = _patched(config, {**_shipped(), uri: css})[uri]
    assert set(re.findall(r"=([\w-]+)\]", after)) == kept


def test_a_page_brings_only_the_styles_that_it_needs() -> None:
    links = "".join(
        f'<link rel="stylesheet" href="{name}">\n'
        for name in ("../../assets/_mkdocstrings.css", "../../assets/web.css", "mine.css")
    )
    plain, documented = f"{links}<p>文</p>", f'{links}<div class="doc doc-object"></div>'
    assert theme.needed(documented) == documented
    assert theme.needed(plain) == plain.replace(links.splitlines()[0] + "\n", "")


@pytest.mark.parametrize("used", [True, False])
def test_the_styles_of_tabs_stay_only_where_tabs_can_be(config: MkDocsConfig, used: bool) -> None:
    if used:
        config.markdown_extensions.append("pymdownx.tabbed")
    uri, css = "assets/stylesheets/main.1.min.css", ".a{b:c}.md-typeset .tabbed-set{d:e}"
    files = Files([File.generated(config, uri, content=css)])
    theme.patch(files, config)
    kept = files.get_file_from_path(uri)
    assert (
        kept and (".tabbed-set" in kept.content_string) == used and ".a{b:c}" in kept.content_string
    )
