"""改一处只重建它能改到的页，而结果与从头建的一样。"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader
from mkdocs.config import load_config

from rizhi.mkdocs_plugin import nav as navigation
from rizhi.mkdocs_plugin.rebuild import SearchEntries
from tests.vaults import ROOT

# 改一处，说出重建了哪些页
ONE = """
import json, os, sys
from pathlib import Path
from tests.rizhi.mkdocs_plugin import edits
vault, site = Path(sys.argv[1]) / "vault", Path(sys.argv[1]) / "site"
edits.prepare(vault)
os.chdir(vault)
everything = len(edits.rebuild(vault, site, dirty=False))
found = {}
for name, path, old, new in json.loads(sys.argv[2]):
    file = vault / path
    text = file.read_text("utf-8")
    assert old in text, (path, old)
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    found[name] = edits.rebuild(vault, site, dirty=True)
again = edits.rebuild(vault, site, dirty=True)
print(json.dumps({"全部": everything, "没改": again, **found}))
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # 在自己的进程里：mkdocs 与 jieba 的全局状态不与别的测试相混
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("times", "checks"), [(60, 6), pytest.param(200, 20, marks=pytest.mark.slow)]
)
def test_many_edits_equal_a_clean_build(tmp_path: Path, times: int, checks: int) -> None:
    numbers = map(str, (20261124, times, checks))
    run = _run("-m", "tests.rizhi.mkdocs_plugin.whole", str(tmp_path), *numbers)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"
    assert f"{times} 次改动，{checks + 2} 次比较，全部相同" in run.stdout


def test_an_edit_rebuilds_only_what_it_can_change(tmp_path: Path) -> None:
    day = "docs/daily/2026/2026-11-18.md"
    steps = [
        ("改正文", day, "## 今日总结\n\n", "## 今日总结\n\n先看形状，"),
        ("改标题", day, "星期三　", "星期三　改过的"),
        ("改笔记", "docs/notes/model/topic-2.md", "## 自测\n", "## 自测\n\n再想一遍。\n"),
        ("想常看", "docs/notes/model/topic-2.md", "---\n", "---\npin: true\n"),
    ]
    run = _run("-c", ONE, str(tmp_path), json.dumps(steps))
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    page = "daily/2026/2026-11-18.md"
    # 字数进热力图，所以首页与归档跟着变；标题还写在那天、前后页、归档与标签上
    assert set(found["改正文"]) == {page, "daily/index.md", "index.md"}
    assert {page, "daily/index.md", "daily/2026/2026-11-19.md"} <= set(found["改标题"])
    assert len(found["改标题"]) < found["全部"] / 3
    assert found["改笔记"] == ["notes/model/topic-2.md"]
    assert set(found["想常看"]) == {"index.md", "notes/index.md", "notes/model/topic-2.md"}
    assert found["没改"] == []


def test_an_edit_of_the_source_rebuilds_only_the_pages_that_show_it(tmp_path: Path) -> None:
    run = _run("-m", "tests.rizhi.mkdocs_plugin.source", str(tmp_path))
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"
    rebuilt = json.loads(run.stdout.splitlines()[-1])
    base, child, model = (f"reference/{name}.md" for name in ("base", "child", "model"))
    notes = ("base", "last", "line", "lost", "nameless")
    note, last, line, lost, nameless = (f"notes/model/{name}.md" for name in notes)
    assert rebuilt["改函数体"] == [last, base]
    assert rebuilt["改前面的函数体"] == [note, last, line, base]  # 行号也变了
    assert {base, child, model} <= set(rebuilt["改签名"])
    assert {lost, nameless} <= set(rebuilt["多一个函数"])  # 页面上列出现有的
    assert {note, child} <= set(rebuilt["原来的不列了"])  # 名字链接到另一页
    assert child in rebuilt["转手"]
    assert child in rebuilt["转手之后改函数体"]


CODE = (
    '<h1 id="a">掩码<a class="headerlink" href="#a">#</a></h1><p>注意力掩码，形状。</p>'
    '<pre><span></span><code><span class="linenos" data-linenos="1 "></span>'
    '<span class="k">if</span> <span class="n">x</span> &lt; <span class="mi">1</span>:\n\n'
    '  <span class="c1"># 旋转</span>\n'
    "</code></pre><pre><code><i></i><span class=k>del</span> y</code></pre>"
    "<pre><code><span data-search-exclude>不收</span>  收</code></pre>"
)


def test_the_search_takes_the_same_words_from_less_markup() -> None:
    config = load_config(str(ROOT / "mkdocs.yml"))
    config.plugins.run_event("startup", command="build", dirty=False)
    plain: Any = config.plugins["material/search"]
    plain.on_config(config)
    page: Any = SimpleNamespace(content=CODE, meta={}, toc=[], url="a.html", title="掩码")
    plain.search_index.add_entry_from_context(page)
    usual = plain.search_index.entries
    plain.on_config(config)
    parsed: list[str] = []
    add = plain.search_index.add_entry_from_context

    def seen(page: Any) -> None:
        parsed.append(page.content)
        add(page)

    plain.search_index.add_entry_from_context = seen
    SearchEntries().lighten(config)
    plain.search_index.add_entry_from_context(page)
    assert plain.search_index.entries == usual
    assert "<span class=" in CODE and "<span class=" not in parsed[0]
    assert "旋转" in usual[0]["text"] and page.content == CODE


@pytest.mark.parametrize("theirs", [True, False])
def test_pages_outside_the_navigation_share_it_by_folder_and_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bool
) -> None:
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials/nav.html").write_text("{{ seen(page.url) }}", encoding="utf-8")
    seen: list[str] = []
    env = Environment(loader=FileSystemLoader(tmp_path), autoescape=True)
    env.globals["seen"] = lambda url: seen.append(url) or url
    if theirs:
        monkeypatch.setattr(navigation, "_THEME", tmp_path)
    section = object()  # 同一个文件夹里，站在另一栏的
    places = [("daily/2026/a", None), ("daily/2026/b", None), ("daily/2026/c", section)]
    places += [("daily/2025/d", None), ("notes/e", None), ("notes/f", None)]
    pages: list[Any] = [
        SimpleNamespace(url=f"{stem}.html", parent=parent) for stem, parent in places
    ]
    nav: Any = SimpleNamespace(pages=pages[4:])
    navigation.render_once(env, nav)
    shown = [env.get_template("partials/nav.html").render(page=page) for page in pages]
    own = [page.url for page in pages]  # 主人自己的模板，一页一排
    assert seen == ([own[0], *own[2:]] if theirs else own)
    assert shown == ([own[0], own[0], *own[2:]] if theirs else own)
