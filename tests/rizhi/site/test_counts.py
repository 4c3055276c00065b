"""各处的计数彼此相符：首页、归档、热力图、周报总览、待办板，与命令行说的。"""

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from rizhi.cli import main
from rizhi.site import overviews, panels
from rizhi.site.blocks import Heat, Panel, Rows
from rizhi.site.graph import Web, read_web
from rizhi.site.html import content_html
from tests.rizhi.webs import pages_of, text, vault_of

TODAY = date(2026, 11, 26)  # 星期四


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    """写写停停的二十天：有的只建了页，有的只有标点；待办有开着的、搁着的、到了日子的、了结的。"""
    monkeypatch.setattr("rizhi.vault.now", lambda: datetime(2026, 11, 26, 12))
    days = {}
    for n in range(1, 41, 2):
        day = TODAY - timedelta(days=n)
        said = "……\n" if n == 7 else "" if n == 11 else "написано\n" if n == 15 else "写了\n"
        said += f"\n## 今日完成\n\n- [ ] 第 {n} 件\n" if n % 4 == 1 else ""
        days[str(day)] = f"## 思考\n\n{said}"
    days[str(TODAY - timedelta(days=2))] = (
        "## 思考\n\n写了\n\n## 今日完成\n\n- [x] 第 37 件\n- [-] 第 33 件\n"
        "- [>] 搁着的 📅 2026-12-20\n- [>] 到了日子的 📅 2026-11-25\n- [ ] 有期限的 📅 2026-12-01\n"
    )
    return read_web(vault_of(tmp_path, pages_of(days)), TODAY)


def _said(root: Path, *command: str) -> dict:
    ran = CliRunner().invoke(main, ["--root", str(root), *command, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.output)


def _found(found: list[Panel], kind: str) -> Panel:
    return next(panel for panel in found if panel.kind == kind)


def _number(pattern: str, said: str) -> int:
    match = re.search(pattern, said)
    return int(match[1]) if match else 0


def _heated(panel: Panel) -> tuple[int, int]:
    """热力图念的天数，与点得开的格子有几个。"""
    assert isinstance(panel.content, Heat)
    html = content_html(panel.content, "index.md")
    return _number(r"写了 (\d+) 天", html), html.count("<a ")


def test_how_many_days_were_written(web: Web) -> None:
    written = len(web.days)
    assert written == 19  # 二十一页里，一页只有标点，一页只建了页
    assert _said(web.vault.root, "stats")["days"] == written
    made = overviews.pages(web)
    archive = made["daily/index.md"].panels
    assert _heated(_found(list(archive), "heat")) == (written, written)
    listed = [panel.content.rows for panel in archive if isinstance(panel.content, Rows)]
    assert sum(map(len, listed)) == written
    weeks = [text(row.parts) for row in made["weekly/index.md"].panels[0].content.rows]
    assert sum(_number(r"写了 (\d+) 天", week) for week in weeks) == written
    home = _found(panels.home(web), "heat")
    assert _heated(home) == (written, written)
    assert _number(r"写了 (\d+) 天", text(home.note)) in (0, written)


def _count(panel: Panel) -> int:
    assert isinstance(panel.content, Rows)
    return len(panel.content.rows)


def test_how_many_todos_are_open(web: Web) -> None:
    opened = len(_said(web.vault.root, "todo"))
    assert opened == 11
    board = overviews.pages(web)["todos/index.md"]
    lead = text(board.lead)
    assert (_number(r"开着 (\d+) 件", lead), _number(r"(\d+) 件搁着", lead)) == (opened, 1)
    rows = {panel.kind: _count(panel) for panel in board.panels}
    assert rows["due"] + rows["open"] == opened and rows["done"] == 2
    # 首页：今天那一块列着的，与别的，与搁着的，合起来是全部
    home = panels.home(web)
    shown = text(_found(home, "open").note)
    first = _found(home, "today").content
    first = getattr(first, "rows", first)
    first = getattr(first, "rows", first)
    today = sum(row.todo is not None and row.todo.state == "open" for row in first)
    assert today + _number(r"共 (\d+) 件", shown) + _number(r"(\d+) 件搁着", shown) == opened


def test_a_tag_counts_what_its_page_lists(tmp_path: Path) -> None:
    front = "---\ntags: [甲]\n---\n\n## 思考\n\n写了\n"
    days = {str(TODAY - timedelta(days=n)): front for n in (1, 2, 400)}
    files = pages_of(days, {"model/rope": "---\ntags: [甲]\n---\n# 旋转\n"})
    made = overviews.pages(read_web(vault_of(tmp_path, files), TODAY))
    content = made["tags/index.md"].panels[0].content
    assert isinstance(content, Rows)
    (row,) = content.rows
    mine = [page for uri, page in made.items() if uri.startswith("tags/甲/")]
    listed = sum(_count(panel) for page in mine for panel in page.panels)
    assert text(row.parts) == f"甲 {listed}" == "甲 4"
