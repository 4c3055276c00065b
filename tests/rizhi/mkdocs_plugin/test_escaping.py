"""敌意的标题、标签、待办与文件名：到了每一页的每一处，都只是字。"""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import turbohtml
from turbohtml import TokenType

from tests import vaults
from tests.conftest import Site, build

DAY = date(2026, 11, 23)
# 跳出 <title>、<script>、属性、注释与 Jinja 的几种写法；执行了就是 rzevil
EVIL = (
    "</title><script>rzevil()</script>",
    "</title><svg/onload=rzevil()>",
    "<img src=rzevil onerror=rzevil()>",
    '" onmouseover="rzevil()',
    "' onmouseover='rzevil()",
    "--><script>rzevil()</script>",
    "</script><script>rzevil()</script>",
    "{{ rzevil }}<b onclick=rzevil()>",
    "&lt;img src=rzevil onerror=rzevil()&gt;",
    "</textarea></style></noscript><img src=rzevil onerror=rzevil()>",
)
CODE = " ".join(f"`{one}`" for one in EVIL)
NOTE = """---
title: {title}
created: 2026-11-20
aliases: [{title}]
tags: [{title}, "标签 {n}"]
draft: true
---

# {heading}

## 一句话

{code}，见[上一篇](x1.md)。

## {heading}

{code}
"""
TODAY = """---
tags: [{title}]
---

# {day} {code}

## 今日成果

1. {code}，写了[笔记](../../notes/evil/x1.md)。

## 思考

- {code}

## {code}

- [ ] {code}

## 明日计划

- [ ] {code}
- **【待办】{code}** 📅 2026-11-24
"""


def _vault(root: Path) -> Path:
    vaults.make(root, DAY)
    for n, evil in enumerate(EVIL):
        path = root / f"docs/notes/evil/x{n}.md"
        path.parent.mkdir(exist_ok=True)
        heading = f"甲 `{evil}` 乙"
        text = NOTE.format(title=json.dumps(evil), n=n, heading=heading, code=f"`{evil}`")
        path.write_text(text, encoding="utf-8")
        day = DAY - timedelta(days=n + 3)
        words = {"title": json.dumps(evil), "day": day, "code": f"`{evil}`"}
        vaults.write_day(root, day, TODAY.format(**words))
    untitled = root / "docs/notes/evil/x90.md"  # 标题取自一级标题
    untitled.write_text(f"# 甲 {CODE}\n\n{CODE}\n", encoding="utf-8")
    (root / "docs/guide").mkdir(exist_ok=True)
    for name in ("<img src=rzevil onerror=rzevil()>", '" onmouseover="rzevil()'):
        (root / f"docs/notes/evil/{name}.md").write_text("# 甲\n", encoding="utf-8")
        (root / f"docs/guide/{name}.md").write_text(f"# {CODE}\n", encoding="utf-8")
    (root / "docs/guide/evil.md").write_text(f"# {CODE}\n\n## {CODE}\n", encoding="utf-8")
    book = {
        "cells": [{"cell_type": "markdown", "metadata": {}, "source": f"# {CODE}", "id": "a"}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / "docs/notebooks/evil.ipynb").write_text(json.dumps(book), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("hostile")
    return build(_vault(folder / "vault"), folder / "site")


def alive(html: str) -> Iterator[str]:
    """会执行的：事件属性、脚本里的字、会去取的图。"""
    script = False
    for token in turbohtml.tokenize(html, capture_source=True):
        if token.type is TokenType.START_TAG:
            script = token.tag == "script"
            for name, value in token.attrs or ():
                if "rzevil" in name or ("rzevil" in value and name.startswith(("on", "src"))):
                    yield f"{token.line}: {(token.source or '')[:200]}"
        elif script and token.type is TokenType.TEXT and "rzevil" in (token.data or ""):
            yield f"{token.line}: <script> {(token.data or '')[:200]}"


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
    scripts = [*hostile_site.folder.glob("previews/**/*.js"), hostile_site.folder / "assets/days.js"]
    assert len(scripts) > len(EVIL)
    for path in scripts:
        call = re.fullmatch(r"rizhi\w+\((.*)\);\n", path.read_text("utf-8"))
        assert call and json.loads(call[1])
