"""构建出来的站点：没有警告，链接都通，不向别的主机要任何东西，换个引擎也读得到。"""

import json
import re
import subprocess
import sys
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from benchmarks import bench_site
from rizhi import check
from rizhi.page import read_notes
from rizhi.site.blocks import PLACES
from rizhi.site.export import added
from rizhi.site.html import href
from rizhi.snippets import fence
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.record import key, record_files
from rizhi.vault import find_vault
from tests import vaults
from tests.conftest import Site

NOTES = [
    note.path.relative_to(vaults.SAMPLE)
    for note in read_notes(find_vault(vaults.SAMPLE))
    if not note.draft
]
EVERY = pytest.mark.parametrize("note", NOTES, ids=lambda path: path.stem)
Pages = dict[Path, BeautifulSoup]


@pytest.fixture(scope="module")
def pages(site: Site) -> Pages:
    files = (p for p in site.folder.rglob("*.html") if p.name != "404.html")
    return {path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in files}


def test_the_sample_keeps_every_rule(site: Site) -> None:
    vault = find_vault(site.root)
    known = partial(added, vault, date.max)
    assert check.check_vault(vault, date.max, added=known) == []


def test_strict_build_is_silent_and_light(site: Site) -> None:
    assert "WARNING" not in site.log and "ERROR" not in site.log
    assert "torch: False" in site.log


def test_a_build_changes_nothing_under_docs(site: Site, tmp_path: Path) -> None:
    """站点建好之后，docs/ 与刚造好的一样：一个字节不差，也没有多出来的。"""
    before = vaults.make(tmp_path / "vault", vaults.days(site.root)[-1])
    assert _files(site.root / "docs") == _files(before / "docs")


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_every_link_and_anchor_resolves(site: Site, pages: Pages) -> None:
    ids = {path: {node["id"] for node in page.find_all(id=True)} for path, page in pages.items()}
    broken, checked = [], 0
    for path, page in pages.items():
        for node in page.find_all(["a", "img", "link", "script"]):
            url = urlsplit(str(node.get("href") or node.get("src") or ""))
            if url.scheme or url.netloc or not (url.path or url.fragment):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            known = ids.get(target, set()) | {"__skip"}
            fragment = unquote(url.fragment)
            checked += 1
            if not target.exists() or (fragment and target in ids and fragment not in known):
                broken.append(f"{path.relative_to(site.folder)} → {node}")
    assert checked > 500
    assert broken == []


def test_nothing_is_loaded_from_another_host(site: Site, pages: Pages) -> None:
    """`<a>` 可以指向别处；会自动去取的东西不可以。"""
    foreign = re.compile(r"(https?:)?//", re.I)
    for path, page in pages.items():
        for node in page.find_all(["script", "img", "iframe", "source", "video", "audio"]):
            assert not foreign.match(str(node.get("src", ""))), f"{path}: {node}"
        for node in page.find_all("link"):
            loads = set(node.get("rel") or ()) & {"stylesheet", "icon", "preload", "preconnect"}
            assert not (loads and foreign.match(str(node.get("href", "")))), f"{path}: {node}"
    for style in site.folder.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", style.read_text("utf-8")), style


def test_first_paint_of_home_waits_for_little(site: Site, pages: Pages) -> None:
    """按原样的字节：HTML、样式，与 <head> 里没有推迟的脚本；脚本都在正文之后，或推迟了。"""
    home = site.folder / "index.html"
    head, body = pages[home].head, pages[home].body
    styles = [str(link["href"]) for link in head.select("link[rel=stylesheet]")]
    scripts = [str(script["src"]) for script in head.select("script[src]:not([defer])")]
    files = [home, *(site.folder / name for name in styles + scripts)]
    assert len(styles) >= 3
    assert sum(path.stat().st_size for path in files) <= 200_000
    for script in body.select("script[src]:not([defer])"):
        assert not script.find_next(["main", "article", "footer"]), script


def test_days_lead_to_each_other(tmp_path: Path) -> None:
    """隔几天没写，也接到写过的那一天。"""
    root = vaults.make(tmp_path / "vault", date(2026, 11, 23))
    vaults.write_day(root, date(2027, 1, 2), "# 2027-01-02\n\n## 思考\n\n- 有\n")
    command = [sys.executable, "-m", "mkdocs", "build", "-q"]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    places = {
        "2026/2026-11-23": "../2027/2027-01-02.html",
        "2027/2027-01-02": "../2026/2026-11-23.html",
    }
    for (here, there), rel in zip(places.items(), ("next", "prev"), strict=True):
        page = BeautifulSoup((root / f"site/daily/{here}.html").read_text("utf-8"), "html.parser")
        assert [str(a["href"]) for a in page.select(f"a[rel={rel}]")] == [there]
        assert page.select(".md-footer__link") == []  # 前后几天只说一次
        # 顶栏亮着日总结，侧栏列着几个总览：有路回去
        assert [a.get_text(strip=True) for a in page.select(".md-tabs__item--active")] == ["日总结"]
        beside = [str(a["href"]) for a in page.select(".md-sidebar--primary .md-nav a[href]")]
        assert {href(f"daily/{here}.md", place.uri) for place in PLACES} <= set(beside)


# 主题与别的插件写死的英文；读屏念的、停着鼠标看的也算
_FOREIGN = re.compile(
    r"Made with|Not found|Bases:|Source code|Parameters|Returns|Copied|Copy to|Jump back"
    r"|(?:class|instance|module)-attribute|^(?:Note|Warning|Tip|Question|property|dataclass)$"
)


def test_the_words_of_the_site_are_chinese(site: Site, pages: Pages) -> None:
    for path in (site.folder / "404.html", *site.folder.glob("*/*.html")):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for node in page.select("pre, style, script, .rz-output"):
            node.decompose()
        said = [" ".join(text.split()) for text in page.find_all(string=True)]
        names = [
            str(n[a]) for a in ("aria-label", "title", "placeholder") for n in page.select(f"[{a}]")
        ]
        assert [text for text in said + names if _FOREIGN.search(text)] == [], path
    titles = [
        BeautifulSoup((site.folder / name).read_text("utf-8"), "html.parser").title.get_text()
        for name in ("index.html", "404.html", "tags/index.html")
    ]
    assert titles == ["日知", "没有这一页 - 日知", "标签 - 日知"]


def test_a_box_of_a_past_page_shows_how_the_todo_stands_now(site: Site) -> None:
    first = vaults.days(site.root)[0]
    text = (site.folder / f"daily/{first:%Y}/{first}.html").read_text("utf-8")
    page = BeautifulSoup(text, "html.parser")
    marks = {
        item.get_text(strip=True): str(item.select_one(".task-list-indicator")["data-mark"])
        for item in page.select("article > :is(ul, ol) > li[data-todo]")
    }
    # 头一天写着的是 [x]、[ ]、[ ]；「写一篇笔记」第二天做完了
    assert marks == {"把注意力写完": "x", "复习二叉树": " ", "写一篇笔记": "x"}
    assert not page.select("article :is(input, button, [role=checkbox])")
    assert "rizhi-nonce" not in text and "live.js" not in text


def test_a_newline_is_a_line_break_in_days_and_weeks_only(tmp_path: Path) -> None:
    root = vaults.make(tmp_path / "vault", date(2026, 11, 23))
    text = "# 题\n\n做了两件：\n- 甲\n  接着甲\n- 乙\n"
    places = ("daily/2026/2026-11-20", "weekly/2026-W47", "guide/trial")
    for place in places:
        path = root / f"docs/{place}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "-q"]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    items = {
        place: BeautifulSoup((root / f"site/{place}.html").read_text("utf-8"), "html.parser")
        .select_one("article > ul")
        .find_all("li")
        for place in places
    }
    assert {place: len(found) for place, found in items.items()} == dict.fromkeys(places, 2)
    assert [bool(found[0].br) for found in items.values()] == [True, True, False]


def _recorded(root: Path, note: Path) -> tuple[list[str], int]:
    """一篇笔记的记录里的文字，与图的个数。"""
    outputs = root / "snippets/outputs" / note.stem.replace("-", "_")
    texts = [path.read_text("utf-8") for path in outputs.glob("*.txt")]
    return texts, len(list(outputs.glob("*.svg")))


def _shown(page: BeautifulSoup) -> str:
    return "\n".join(node.get_text() for node in page.select(".rz-text"))


@EVERY
def test_notes_hold_code_output_and_download(site: Site, note: Path) -> None:
    path = site.folder / note.relative_to("docs").with_suffix(".html")
    page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    texts, figures = _recorded(site.root, note)
    assert texts and all(text.strip() in _shown(page) for text in texts)
    assert len(page.select("img.rz-figure")) == figures
    module = note.stem.replace("-", "_")
    (download,) = page.select(f'a.rz-notebook[href$="downloads/{module}.ipynb"][download]')
    assert download.find_parent(class_="rz-cell") == page.select_one(".rz-cell:not(.rz-source)")
    public = [
        node for node in page.select(".rz-source .rz-title") if not re.search(r"(^|\.)_", node.text)
    ]
    assert all(node.select("a.autorefs-internal") for node in public)


@EVERY
def test_a_note_weighs_little_more_than_what_it_says(site: Site, note: Path) -> None:
    """代码只写一遍、记号不一个个包起来；样式、脚本与公式的，加起来也有数。"""
    path = site.folder / note.relative_to("docs").with_suffix(".html")
    html = path.read_bytes()
    assert bench_site.weight(path) - len(html) < 600_000
    page = BeautifulSoup(html, "html.parser").select_one("article")
    for node in page.select("img, .rz-flow"):  # 图另有一条
        node.decompose()
    assert len(str(page).encode()) < 8_000 + 3 * len(page.get_text().encode())


def test_figures_above_the_limit_are_files_and_come_late(site: Site, pages: Pages) -> None:
    limit = 1.5 * fence.INLINE  # 写进属性要转义，长一些
    late = 0
    for path, page in pages.items():
        for image in page.select("img.rz-figure"):
            src = str(image["src"])
            assert len(src) < limit and int(str(image["width"])) > int(str(image["height"])) / 9 > 0
            if not src.startswith("data:"):
                assert (path.parent / src).stat().st_size > fence.INLINE
                assert image["loading"] == "lazy"
                late += 1
    assert late
    assert all(preview.stat().st_size < limit for preview in site.folder.glob("previews/**/*.js"))


def test_chinese_headings_keep_their_ids(site: Site) -> None:
    page = (site.folder / "notes/attention/attention-mask.html").read_text("utf-8")
    assert 'id="一句话"' in page


def test_flow_links_are_the_site_s_own(site: Site, tmp_path: Path) -> None:
    """数据里的链接由构建换成网址；指向没有的笔记，严格构建就失败。"""
    built = (site.folder / "notes/model/tensor-flow.html").read_text("utf-8")
    page = BeautifulSoup(built, "html.parser")
    links = json.loads(str(page.select_one(".rz-flow")["data-flow"]))["links"]
    assert links["apply_rotary"] == "../attention/rope.html"
    assert links["llm.model"] == "../../reference/model.html"
    root = vaults.make(tmp_path / "vault")
    path, outputs = root / "snippets/tensor_flow.py", root / "snippets/outputs"
    text = path.read_text("utf-8").replace("attention/rope.md", "attention/gone.md")
    path.write_text(text, encoding="utf-8")
    cell = CellOutput("数据 张量流", json.dumps({"links": {"x": "../attention/gone.md"}}))
    for name, data in record_files((cell,), key(find_vault(root), path), {}, "").items():
        (outputs / "tensor_flow" / name).write_bytes(data)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 1
    assert "notes/model/tensor-flow.md" in run.stderr and "attention/gone.md" in run.stderr


# 在没有 rizhi 与 mkdocs 的环境里：这几个名字一 import 就出错
WITHOUT = """
import sys
sys.modules |= dict.fromkeys(("rizhi", "mkdocs", "mkdocstrings", "jupytext"))
from zensical.main import cli
cli(["build", "--clean", "--strict"])
"""
_ONLY_THERE = (
    ".headerlink, .rz-bar, .rz-code > summary, .rz-panel, .rz-days, .rz-home, .rz-web, .rz-running"
)


@pytest.fixture(scope="module")
def exported(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """样例导出之后，另一个引擎建出来的站点。"""
    folder = tmp_path_factory.mktemp("exported") / "普通的 页"
    command = [sys.executable, "-m", "rizhi", "--root", str(site.root), "export", str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    command = [sys.executable, "-c", WITHOUT]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "site"


def _lines(path: Path) -> list[str]:
    """一页正文的各行，没有面板与工具条。"""
    article = BeautifulSoup(path.read_text("utf-8"), "html.parser").select_one("article")
    for node in article.select(_ONLY_THERE):
        node.decompose()
    # 代码块上的文件名与第一行代码之间没有换行
    for node in article.select(".filename"):
        node.append("\n")
    return [" ".join(line.split()) for line in article.get_text().splitlines() if line.strip()]


def test_another_engine_shows_the_same_pages_without_rizhi(site: Site, exported: Path) -> None:
    compared = 0
    for here in sorted(site.folder.rglob("*.html")):
        name = here.relative_to(site.folder)
        if name.name != "index.html" and name.parts[0] in ("daily", "weekly", "notes", "guide"):
            there = iter(_lines(exported / name))
            missing = [line for line in _lines(here) if line not in there]  # 依次都有
            assert missing == [], name
            compared += 1
    assert compared > len(NOTES)


def test_another_engine_shows_code_output_figures_and_panels(site: Site, exported: Path) -> None:
    for note in NOTES:
        path = exported / note.relative_to("docs").with_suffix(".html")
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        texts, figures = _recorded(site.root, note)
        shown = page.select_one("article").get_text()
        assert texts and all(text.strip() in shown for text in texts), note
        images = [path.parent / unquote(str(node["src"])) for node in page.select("img.rz-figure")]
        assert len(images) == figures and all(image.is_file() for image in images), note
        assert "写到它的日子" in [node.get_text().rstrip("#") for node in page.select("h2")]
        book = page.select_one("a[href$='.ipynb']")
        assert (path.parent / str(book["href"])).is_file()
        styles = [str(node["href"]) for node in page.select("link[rel=stylesheet]")]
        ours = [style for style in styles if style.endswith(("rizhi.css", "web.css"))]
        assert len(ours) == 2 and all((path.parent / style).is_file() for style in ours)
    assert (exported / "notebooks/tensor-shapes.ipynb").is_file()
