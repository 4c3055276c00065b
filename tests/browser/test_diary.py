"""不带日记的一份：`make offline` 与发布的那一份里，日记里的话一句也没有，除非明说要带。"""

from pathlib import Path
from urllib.parse import quote

from bs4 import BeautifulSoup

from tests.browser.conftest import PRIVATE, build_in
from tests.conftest import Site


def test_the_diary_is_left_out_unless_asked_for(library: Site, tmp_path: Path) -> None:
    assert _saying(library.folder) == set()
    assert {path.name for path in library.folder.glob("daily/**/*.*")} == {"index.html"}
    asked_for = tmp_path / "asked"
    build_in(library.root, asked_for, OFFLINE="true", DIARY="true")
    said = _saying(asked_for)
    everywhere = {"index.html", "daily", "weekly", "todos", "timeline", "tags", "notes", "search"}
    assert {name.partition("/")[0] for name in said} == everywhere


def _saying(site: Path) -> set[str]:
    """哪些文件里有那句私话，名字里的也算；搜索的索引里词与词之间有空隙。"""
    files = [path for path in site.rglob("*") if path.is_file()]
    words = [PRIVATE, *(quoted(PRIVATE) for quoted in (quote, ascii))]
    return {
        path.relative_to(site).as_posix()
        for path in files
        if any(word.strip("'") in _plain(path) for word in words)
    }


def _plain(path: Path) -> str:
    text = path.read_bytes().decode("utf-8", "replace")
    return f"{path.name}\n{text}".replace("\u200b", "").replace(r"\u200b", "")


def test_without_the_diary_nothing_points_at_it(library: Site) -> None:
    """链接到一天的只留文字，归档说一句不带；首页照样列出笔记，导航里没有待办。"""
    assert "daily/" not in library.log
    page = _parsed(library, "notes/attention/rope.html")
    assert page.find("span", string="又写了一遍") and page.find("a", string="归档")
    assert page.find("span", string="那天画的")
    archive = _parsed(library, "daily/index.html")
    assert "这一份不带日总结与周报。" in archive.select_one("article").get_text()
    home = _parsed(library, "index.html")
    assert home.select_one('.rz-home a[href="notes/attention/rope.html"]')
    kinds = {name for panel in home.select(".rz-panel") for name in panel["class"]}
    assert kinds <= {"rz-panel", "rz-pinned", "rz-map"}  # 与日子有关的一块也没有
    tabs = [tab.get_text().strip() for tab in home.select(".md-tabs__link")]
    assert "标签" in tabs and not {"日总结", "待办"} & set(tabs)
    assert not _parsed(library, "tags/index.html").select_one(".rz-places")


def _parsed(site: Site, name: str) -> BeautifulSoup:
    return BeautifulSoup((site.folder / name).read_text("utf-8"), "html.parser")
