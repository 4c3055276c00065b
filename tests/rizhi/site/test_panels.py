"""面板：首页、每一天、每篇笔记上列的，正是该列的那几样。"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from rizhi.journal import write
from rizhi.journal.carry import Goal
from rizhi.journal.lookback import DISTANCES
from rizhi.site import html, overviews, panels
from rizhi.site.blocks import Folded, Heat, Link, Month, Panel, Rows, Trail
from rizhi.site.graph import Web, read_web
from rizhi.vault import Vault, find_vault
from tests.rizhi.webs import pages_of
from tests.rizhi.webs import text as _text
from tests.rizhi.webs import uris as _uris
from tests.rizhi.webs import vault_of as _vault

TODAY = date(2026, 11, 23)
ROPE = "notes/model/rope.md"


Make = Callable[..., Web]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make({"2026-11-20": 正文}, {"model/rope": 正文})`：写好几天与几篇笔记，读成一张网。"""

    def made(days: Mapping[str, str], notes: Mapping[str, str] | None = None) -> Web:
        return read_web(_vault(tmp_path, pages_of(days, notes)), TODAY)

    return made


def _day(n: int) -> date:
    return TODAY - timedelta(days=n)


def _uri(day: date) -> str:
    return f"daily/{day.year}/{day}.md"


def _blank(root: Path, day: date) -> str:
    """刚用模板建好、一个字没写的一页。"""
    return write.new_day(find_vault(root), day, "标题", [Goal("做一件事")], 0, None)


def _find(found: Iterable[Panel], kind: str) -> Panel | None:
    return next((panel for panel in found if panel.kind == kind), None)


def _rows(panel: Panel | None) -> list[str]:
    assert panel is not None and isinstance(panel.content, Rows)
    return [_text(row.parts) for row in panel.content.rows]


def _leads(panel: Panel | None) -> list[str]:
    assert panel is not None and isinstance(panel.content, Rows)
    return [uri for row in panel.content.rows for uri in _uris(row.parts)]


# 一天


def test_that_day_lists_each_distance_that_was_written(make: Make, tmp_path: Path) -> None:
    near = {n + k for n in DISTANCES for k in (-1, 0, 1)} | {0}
    skipped = 7
    web = make({})  # 先有 pyproject.toml，才排得出模板
    days = {str(_day(n)): f"# {_day(n)}　第 {n} 天前\n\n## 思考\n\n写了\n" for n in near}
    days[str(_day(skipped))] = _blank(tmp_path, _day(skipped))
    web = make(days)
    that = _find(panels.of_day(web, TODAY)(), "that")
    wanted = [n for n in (1, 3, 7, 14, 30, 90, 180, 365) if n != skipped]
    assert _leads(that) == [_uri(_day(n)) for n in wanted]
    for n, row in zip(wanted, _rows(that), strict=True):
        assert row.startswith(f"{n} 天前") and row.endswith(f"第 {n} 天前")


def test_a_day_with_nothing_before_has_no_that_day(make: Make) -> None:
    web = make({str(_day(2)): "## 思考\n\n写了\n", str(TODAY): "## 思考\n\n写了\n"})
    assert _find(panels.of_day(web, TODAY)(), "that") is None


@pytest.mark.parametrize(
    ("here", "earlier", "later"), [(0, 3, None), (3, 6, 0), (6, None, 3), (4, 6, 3), (2, 3, 0)]
)
def test_the_days_beside_are_days_really_written(
    make: Make, tmp_path: Path, here: int, earlier: int | None, later: int | None
) -> None:
    make({})
    days = {str(_day(n)): "## 思考\n\n写了\n" for n in (0, 3, 6)}
    days |= {str(_day(n)): _blank(tmp_path, _day(n)) for n in (1, 2, 4, 5)}
    trail = panels.of_day(make(days), _day(here))()[0].content
    assert isinstance(trail, Trail)
    for link, n in ((trail.earlier, earlier), (trail.later, later)):
        assert (link and link.uri) == (None if n is None else _uri(_day(n)))
        assert link is None or f"{_day(n or 0).month} 月 {_day(n or 0).day} 日" in link.text


def test_the_week_is_linked_once_it_is_written(tmp_path: Path) -> None:
    files = {"daily/2026/2026-11-23.md": "## 思考\n\n写了\n", "weekly/2026-W48.md": "# 周\n"}
    files["daily/2027/2027-01-02.md"] = "## 思考\n\n写了\n"
    web = read_web(_vault(tmp_path, files), TODAY)
    weeks = [panels.of_day(web, day)()[0].content for day in (TODAY, date(2027, 1, 2))]
    assert [week.week for week in weeks if isinstance(week, Trail)] == [
        Link("2026-W48", "weekly/2026-W48.md"),
        Link("2026-W53", "weekly/index.md#2026-W53"),  # 跨年的一周归它的星期四
    ]
    never = panels.week_link(web, date(2020, 1, 1))  # 那一年一天也没写
    assert never.uri in overviews.pages(web)


def test_a_report_leads_to_the_reports_beside_it(tmp_path: Path) -> None:
    names = ("2026-W46", "2026-W48", "2027-W01", "随手")
    web = read_web(_vault(tmp_path, {f"weekly/{name}.md": "# 周\n" for name in names}), TODAY)
    (panel,) = panels.of_page(web, "weekly/2026-W48.md")
    assert panel.content == Trail(
        Link("← 2026-W46", "weekly/2026-W46.md"),
        Link("全部周报", "weekly/index.md"),
        Link("2027-W01 →", "weekly/2027-W01.md"),
    )
    assert panels.of_page(web, "weekly/gone.md") == []


def test_the_month_links_the_days_written_in_it(make: Make, tmp_path: Path) -> None:
    make({})
    written = ("2028-01-31", "2028-02-01", "2028-02-29", "2028-03-01")
    days = dict.fromkeys(written, "## 思考\n\n写了\n")
    days["2028-02-10"] = _blank(tmp_path, date(2028, 2, 10))
    month = panels.of_day(make(days), date(2028, 2, 10))()[-1].content
    assert isinstance(month, Month) and month.first == date(2028, 2, 1)
    assert month.here == date(2028, 2, 10) and month.today == TODAY
    shown = BeautifulSoup(html.content_html(month, _uri(month.here)), "html.parser")
    assert [cell.text for cell in shown.select("td") if cell.text] == [str(n) for n in range(1, 30)]
    assert [(a.text, a["href"]) for a in shown.select("a")] == [
        ("2028 年 2 月", "../index.html#2028-年-2-月"),
        ("1", "2028-02-01.html"),
        ("29", "2028-02-29.html"),
    ]
    assert [cell.text for cell in shown.select(".rz-here")] == ["10"]
    second = next(row for row in shown.select("tbody tr") if "2" in row.text)
    assert [cell.text for cell in second.select("td")] == ["", *"123456"]  # 那天是星期二


def test_what_was_written_down_says_where_it_went(make: Make) -> None:
    born = "- [ ] 甲\n- [ ] 乙\n- [ ] 丙 @2026-12-01\n- [ ] 丁\n- [x] 戊\n\n【待办】己\n"
    web = make(
        {
            "2025-12-30": f"## 今日完成\n\n{born}",
            "2025-12-31": "## 今日完成\n\n- [x] 甲\n- [ ] 丙\n",
            "2026-11-20": "## 今日完成\n\n- [-] 乙\n- [ ] 丙\n- [ ] 后来的\n",
            "2026-11-21": "## 今日目标\n\n- [x] 丁\n",  # 只有目标，不算写过，没有链接
        }
    )
    fates = _find(panels.of_day(web, date(2025, 12, 30))(), "born")
    assert _rows(fates) == [
        "甲　→ 2025-12-31 完成",
        "乙　→ 11-20 放弃",
        "丁　→ 11-21 完成",
    ]
    assert _leads(fates) == [_uri(date(2025, 12, 31)), _uri(date(2026, 11, 20))]
    assert fates and _text(fates.note) == "另有 2 件还开着，见待办板。"  # 戊是当天的事
    assert _uris(fates.note) == ["todos/index.md"]
    assert _find(panels.of_day(web, date(2026, 11, 20))(), "born") is None  # 只有还开着的
    assert _find(panels.of_day(web, date(2025, 12, 31))(), "born") is None


def test_what_was_put_off_to_another_day_is_a_change(make: Make) -> None:
    web = make(
        {
            "2026-11-20": "- [ ] 甲 📅 2026-11-21\n- [ ] 乙 📅 2026-11-25\n- [ ] 丙\n",
            "2026-11-21": "## 明日计划\n\n- [>] 甲 📅 2026-12-01\n- [ ] 乙 📅 2026-11-25\n",
            "2026-11-22": "## 明日计划\n\n- [ ] 丙\n",
        }
    )
    fates = _find(panels.of_day(web, date(2026, 11, 20))(), "born")
    assert _rows(fates) == ["甲　→ 11-21 改期到 2026-12-01"]
    assert fates and _text(fates.note) == "另有 2 件还开着，见待办板。"


# 首页


def test_home_on_a_day_not_begun(make: Make) -> None:
    today = _find(panels.home(make({"2026-11-22": "## 思考\n\n写了\n"})), "today")
    assert _rows(today) == [] and today is not None
    assert "还没有写" in _text(today.note) and "rizhi new" in _text(today.note)


@pytest.mark.parametrize("written", [False, True])
def test_home_on_a_day_begun(make: Make, tmp_path: Path, written: bool) -> None:
    make({})
    text = _blank(tmp_path, TODAY) + ("\n写了\n" if written else "")
    today = _find(panels.home(make({str(TODAY): text})), "today")
    assert _leads(today) == [_uri(TODAY)] and not (today and today.note)
    assert _rows(today) == [f"11 月 23 日 星期一　{'标题' if written else '建了页，还没有写'}"]


def test_home_shows_the_latest_days_the_week_and_what_is_open(make: Make, tmp_path: Path) -> None:
    make({})
    days = {str(_day(n)): f"## 思考\n\n写了\n\n- [ ] 第{n}件\n" for n in range(3, 15)}
    days[str(TODAY)] = _blank(tmp_path, TODAY)
    days["2026-11-25"] = "## 思考\n\n写在前头\n"
    found = panels.home(make(days))
    latest = [date(2026, 11, 25), *(_day(n) for n in range(3, 9))]
    assert _leads(_find(found, "latest")) == [_uri(day) for day in latest]
    week = _find(found, "week")
    assert _leads(week) == [_uri(date(2026, 11, 25))] and week and "写了 1 天" in week.title
    opened = _find(found, "open")
    # 今天那一页的目标也是一件；写下最久的在前，最多十件
    assert [row.partition("　")[0] for row in _rows(opened)] == [
        f"第{n}件" for n in range(14, 4, -1)
    ]
    assert opened and "共 13 件" in _text(opened.note) and _uris(opened.note) == ["todos/index.md"]


# 一篇笔记


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 12])
def test_a_long_life_is_shortened_and_kept_whole_elsewhere(
    make: Make, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (panels, overviews):
        monkeypatch.setattr(module, "FOLDED", 8)  # 不折，好少造些日子
    text = "## 思考\n\n前一句。第 {} 次想到[旋转](../../" + ROPE + ")，`q @ k`。\n"
    days = [_day(n) for n in range(count * 40, 0, -40)]  # 跨年
    web = make({str(d): text.format(n) for n, d in enumerate(days)}, {"model/rope": "# 旋转\n"})
    (note,) = web.notes
    life = _find(panels.of_note(web, note)(), "life")
    whole = overviews.pages(web).get("mentions/model/rope.md")
    shown = days if count <= 8 else days[:3] + days[-5:]
    assert _leads(life) == [_uri(day) for day in shown] and life
    quoted = [row.partition("　")[2] for row in _rows(life)]
    assert quoted == [f"第 {days.index(day)} 次想到旋转，q @ k。" for day in shown]
    if count <= 8:
        assert whole is None and _uris(life.note) == []
    else:
        assert _uris(life.note) == ["mentions/model/rope.md"]
        assert f"{count - 8} 天" in _text(life.note) and f"全部 {count} 天" in _text(life.note)
        assert whole and [_uri(day) for day in days] == _leads(whole.panels[0])
        assert _uris(whole.lead) == [ROPE]
    assert count or "还没有" in _text(life.note)


def test_the_middle_of_a_life_is_folded(make: Make) -> None:
    text = "## 思考\n\n想到[旋转](../../" + ROPE + ")。\n"
    days = [_day(n) for n in range(12, 0, -1)]
    web = make({str(d): text for d in days}, {"model/rope": "# 旋转\n"})
    life = _find(panels.of_note(web, web.notes[0])(), "life")
    assert life and isinstance(life.content, Folded)
    parts = (life.content.head, life.content.middle, life.content.tail)
    assert [len(rows.rows) for rows in parts] == [3, 4, 5]
    assert life.content.label == "中间还有 4 天"
    links = [part.uri for r in parts for row in r.rows for part in row.parts if type(part) is Link]
    assert links == [_uri(day) for day in days]
    assert not [uri for uri in overviews.pages(web) if uri.startswith("mentions/")]


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("又看了旋转位置编码", True),  # 标题
        ("把 RoPE 推了一遍", True),  # 别名
        ("把 rope 推了一遍", True),
        ("roped、europe 都不是", False),  # 英文要整词
        ("europe，rope。", True),
        ("`RoPE` 在代码里", False),
        ("```\n旋转位置\n```", False),
        ("<!-- 旋转位置 -->", False),
        ("[旋转位置](https://example.org)", False),
        ("[旋转位置](../../notes/model/rope.md)", False),  # 已经链接了
        ("[它](../../notes/model/rope.md#a)，旋转位置", False),
        ("[掩码](../../notes/attention/mask.md)，旋转位置", True),
        ("旋 转位置", False),
    ],
)
def test_a_note_named_without_a_link(make: Make, text: str, hit: bool) -> None:
    notes = {"model/rope": "---\ntitle: 旋转位置\naliases: [RoPE, r]\n---\n"}
    notes["attention/mask"] = "# 掩码\n"
    web = make({"2026-11-20": f"## 思考\n\n写了\n\n{text}\n"}, notes)
    hints = _find(panels.of_note(web, web.by_slug["rope"])(), "hints")
    assert (_leads(hints) if hints else []) == [_uri(date(2026, 11, 20))] * hit


def test_the_latest_hints_come_first(make: Make) -> None:
    days = {str(_day(n)): "## 思考\n\n旋转\n" for n in range(1, 8)}
    web = make(days, {"model/rope": "# 旋转\n"})
    hints = _find(panels.of_note(web, web.notes[0])(), "hints")
    assert _leads(hints) == [_uri(_day(n)) for n in (1, 2, 3, 4, 5)]
    assert hints and hints.note == (Link("另有 2 天", "mentions/model/rope/hints.md"),)
    listed = overviews.pages(web)["mentions/model/rope/hints.md"]
    assert _leads(listed.panels[0]) == [_uri(_day(n)) for n in range(1, 8)]
    assert _uris(listed.lead) == ["notes/model/rope.md"]


def test_an_alias_shared_by_two_notes_points_to_both(make: Make) -> None:
    notes = {"model/a": "---\naliases: [门控层]\n---\n# 甲甲\n"}
    notes["model/b"] = "---\naliases: [门控层]\n---\n# 乙乙\n"
    web = make({"2026-11-20": "## 思考\n\n门控层\n"}, notes)
    assert all(_find(panels.of_note(web, note)(), "hints") for note in web.notes)


def test_an_everyday_word_is_no_hint(make: Make) -> None:
    notes = {"model/a": "---\naliases: [温度]\n---\n# 采样\n"}
    web = make({"2026-11-20": "## 思考\n\n今天的温度\n"}, notes)
    assert _find(panels.of_note(web, web.notes[0])(), "hints") is None


def test_prerequisites_and_followers_and_leading_notes(make: Make) -> None:
    web = make(
        {},
        {
            "model/a": "# 甲\n\n见 [乙](b.md) [乙](b.md) [甲](a.md)\n",
            "model/b": "---\nprereq: [a, gone]\n---\n# 乙\n",
            "model/c": "---\nprereq: [b, b]\ndraft: true\n---\n# 丙\n\n[乙](b.md)\n",
        },
    )
    a, b, c = web.notes
    own = [panels.steps(web, note).groups for note in (a, b, c)]
    links = {
        name: Link(title, f"notes/model/{name}.md")
        for name, title in zip("abc", "甲乙丙", strict=True)
    }
    assert own[0] == (("甲",), (links["b"],))
    assert own[1] == ((links["a"],), ("乙",), (links["c"],))
    leads = _find(panels.of_note(web, b)(), "leads")
    assert _leads(leads) == [links["a"].uri, links["c"].uri]
    assert _rows(leads) == ["甲", "丙（草稿）"]
    assert _find(panels.of_note(web, a)(), "leads") is None  # 链接到自己的不算


def test_home_shows_the_pinned_notes(make: Make) -> None:
    head = "---\ntitle: {}\npin: {}\n---\n"
    notes = {
        "model/rope": head.format("旋转", "true"),
        "attention/mask": head.format("掩码", "true"),
        "model/block": head.format("块", "false"),
        "model/norm": head.format("归一化", "'true'"),  # 是文字，检查会说
    }
    found = panels.home(make({}, notes))
    assert _rows(_find(found, "pinned")) == ["掩码　旋转　"]
    assert _leads(_find(found, "pinned")) == ["notes/attention/mask.md", ROPE]
    assert "[旋转](notes/model/rope.md)" in html.panels_markdown(found, "index.md")
    assert _find(panels.home(make({}, dict.fromkeys(notes, "# 甲\n"))), "pinned") is None


def test_a_link_in_a_todo_is_shown_by_its_words(make: Make) -> None:
    day = "## 明日计划\n\n- **【待办】画[图][r]与[表](t.md)。**\n\n[r]: ../../notes/model/rope.md\n"
    web = make({"2026-11-20": day})
    board = overviews.pages(web)["todos/index.md"]
    for found in (panels.home(web), board.panels):
        assert _rows(_find(found, "open"))[0].startswith("画图与表　自 ")
    web = make({"2026-11-20": day, "2026-11-21": "- [x] 画[图](../../notes/model/rope.md)与表\n"})
    born = _find(panels.of_day(web, date(2026, 11, 20))(), "born")
    assert _rows(born)[0].startswith("画图与表") and ROPE in _leads(born)


def test_home_shows_a_year_of_heat_and_a_map_of_notes(make: Make) -> None:
    days = {str(_day(n)): "## 思考\n\n写了三字\n" for n in (0, 364, 365)}
    notes = {f"model/n{n:02}": f"# 第{n}篇\n" for n in range(33)} | {"别组/a": "# 甲\n"}
    found = panels.home(make(days, notes))
    heat = _find(found, "heat")
    assert heat and isinstance(heat.content, Heat)
    assert dict(heat.content.words) == {_day(364): 4, TODAY: 4}
    assert (heat.content.first, heat.content.last) == (_day(364), TODAY)
    model, other = _rows(_find(found, "map"))
    assert model.startswith("模型") and model.endswith("第29篇　等 33 篇")
    assert other == "别组　甲　"


SOURCE = "# %% 构造\nx = 1\n# %% 检验\nassert x == 1\n"


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("rope", SOURCE, ["snippets/rope.py　还没有记录", "依据　不用 llm"]),
        ("rope", "# %% 构造\nx = (\n", None),  # 读不懂的，说出在哪里
        ("gone", None, []),
        ("../../../etc/passwd", None, []),
        ("<b>", None, []),
        ("a\0b", None, []),
        ("x" * 5000, None, []),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_the_state_of_a_snippet(
    make: Make, tmp_path: Path, name: str, source: str | None, said: list[str] | None
) -> None:
    if source:
        (tmp_path / "snippets").mkdir()
        (tmp_path / f"snippets/{name}.py").write_text(source, encoding="utf-8")
    web = make({}, {"model/rope": f"---\nsnippet: {json.dumps(name)}\n---\n# 旋转\n"})
    state = _find(panels.of_note(web, web.notes[0])(), "state")
    rows = _rows(state) if state else []
    if said is None:
        (line,) = rows
        assert "snippets/rope.py" in line and str(tmp_path) not in line
    else:
        assert rows == said


def test_without_a_source_package_only_the_record_is_shown(make: Make, tmp_path: Path) -> None:
    (tmp_path / "snippets").mkdir()
    (tmp_path / "snippets/rope.py").write_text(SOURCE, encoding="utf-8")
    web = make({}, {"model/rope": "---\nsnippet: rope\n---\n# 旋转\n"})
    state = _find(panels.of_note(replace(web, vault=Vault(tmp_path)), web.notes[0])(), "state")
    assert state and _rows(state) == ["snippets/rope.py　还没有记录"]


def test_what_is_parked_waits_on_the_board_and_not_at_home(make: Make) -> None:
    text = "- [>] 搁着的 📅 2026-12-20\n- [>] 到日子的 📅 2026-11-01\n- [ ] 开着的\n"
    web = make({"2026-11-20": text})
    opened = _find(panels.home(web), "open")
    assert [row.partition("　")[0] for row in _rows(opened)] == ["到日子的", "开着的"]
    assert opened is not None and _text(opened.note).startswith("共 2 件，另有 1 件搁着，")
    board = overviews.pages(web)["todos/index.md"].panels
    assert [row.rpartition("，")[2] for row in _rows(_find(board, "due"))] == ["搁到 2026-12-20"]
    assert _rows(_find(board, "open")) == ["到日子的　自 11-20，3 天", "开着的　自 11-20，3 天"]


def test_a_day_it_was_parked_until_is_no_deadline_to_be_late_for(make: Make) -> None:
    """站点是早几天建的：读的那天已经过了，也不算逾期。"""
    text = "- [>] 搁着的 📅 2026-12-20\n- [ ] 要交的 📅 2026-12-20\n"
    board = overviews.pages(make({"2026-11-20": text}))["todos/index.md"].panels
    due = _find(board, "due")
    assert due is not None and isinstance(due.content, Rows)
    parked, real = html.panel_html(due, "todos/index.md").split("<li ")[1:]
    assert "data-parked" in parked and "data-parked" not in real
