"""敌意的标题、标签、待办与文件名：到了每一页的每一处，都只是字。"""

import json
import re

import pytest

from tests.conftest import Site, build
from tests.rizhi.evil import EVIL, alive, make


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("hostile")
    return build(make(folder / "vault"), folder / "site")


def test_no_page_holds_anything_alive(hostile_site: Site) -> None:
    found = {
        path.relative_to(hostile_site.folder).as_posix(): list(alive(path.read_text("utf-8")))
        for path in hostile_site.folder.rglob("*.html")
    }
    assert len(found) > 40, hostile_site.log[-3000:]
    assert {name: some for name, some in found.items() if some} == {}


def test_the_words_are_still_there(hostile_site: Site) -> None:
    page = (hostile_site.folder / "notes/evil/x2.html").read_text("utf-8")
    assert "&lt;img src=rzevil onerror=rzevil()&gt;" in page


def test_search_holds_only_words(hostile_site: Site) -> None:
    """搜索的脚本把标题与正文放进 innerHTML。"""
    index = json.loads((hostile_site.folder / "search/search_index.json").read_text("utf-8"))
    assert any("rzevil" in doc["title"] for doc in index["docs"])
    for doc in index["docs"]:
        for key in ("title", "text"):
            assert list(alive(doc[key])) == [], (doc["location"], key, doc[key][:300])
        for tag in doc.get("tags", ()):
            assert list(alive(tag)) == [], doc["location"]


def test_previews_and_days_are_data(hostile_site: Site) -> None:
    """悬停预览与日子的清单是脚本：里面只许一个调用，参数是 JSON。"""
    scripts = [
        *hostile_site.folder.glob("previews/**/*.js"),
        hostile_site.folder / "assets/days.js",
    ]
    assert len(scripts) > len(EVIL)
    for path in scripts:
        call = re.fullmatch(r"rizhi\w+\((.*)\);\n", path.read_text("utf-8"))
        assert call and json.loads(call[1])
