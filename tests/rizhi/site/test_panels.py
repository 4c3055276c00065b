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
from rizhi.site.blocks import Folded, Groups, Heat, Link, Month, Panel, Rows, Today, Trail
from rizhi.site.graph import DayFact, Web, read_web
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

WROTE = "## 思考\n\n写了\n"


def _today(found: Iterable[Panel]) -> Today:
    panel = _find(found, "today")
    assert panel is not None and isinstance(panel.content, Today)
    return panel.content


def _things(rows: Rows) -> list[str]:
    return [_text(row.parts).partition("　")[0] for row in rows.rows]


def test_home_on_a_day_not_begun(make: Make) -> None:
    found = panels.home(make({"2026-11-22": WROTE}))
    assert _today(found) == Today((), "", Rows((), "todos"))
    assert found[0].title == "今天　11 月 23 日 星期一"
    shown = html.panel_html(found[0], "index.md")
    # serve 给的页面里，live.js 认这一句
    assert '<p class="rz-new" data-action="new">今天还没有写。<code>rizhi new</code></p>' in shown
    assert "\n\n今天还没有写。`rizhi new`\n\n" in html.panels_markdown(found, "index.md")


@pytest.mark.parametrize("written", [False, True])
def test_home_on_a_day_begun(make: Make, tmp_path: Path, written: bool) -> None:
    make({})
    text = _blank(tmp_path, TODAY) + ("\n写了\n" if written else "")
    found = panels.home(make({str(TODAY): text}))
    today = _today(found)
    assert _uris(today.head) == [_uri(TODAY)]
    assert _text(today.head) == f"标题　{'写了 2 字' if written else '建了页，还没有写'}"
    assert (today.label, _things(today.rows)) == ("", ["做一件事"])
    assert "rz-new" not in html.panels_html(found, "index.md")


def test_home_lists_what_today_is_for(make: Make) -> None:
    text = (
        "## 今日目标\n\n1. [x] 做完的\n2. [ ] 目标\n3. [ ] 目标的\n   - [ ] 一半\n\n"
        "## 遇到的挑战与明日计划\n\n- 【待办】以后再说\n\n明日计划：\n\n"
        "- [ ] 明天的\n- [ ] 目标\n\n"
        "## 思考\n\n- 【待办】查一查\n"
    )
    found = panels.home(make({"2026-11-22": "- [ ] 别的\n", str(TODAY): text}))
    assert _things(_today(found).rows) == ["目标", "目标的", "一半", "查一查", "做完的"]
    assert _text(found[0].note) == "5 件里了结了 1 件。"
    opened = _find(found, "open")
    assert opened and isinstance(opened.content, Rows)
    assert _things(opened.content) == ["以后再说", "明天的", "别的"]  # 今天的不再列一遍
    assert _text(opened.note) == "今天的以外，共 3 件：待办板"


def test_home_says_what_will_be_carried(make: Make) -> None:
    plan = "## 明日计划\n\n- [ ] 计划的\n- [没有框的](a.md)\n- [>] 搁着的 📅 2026-12-20\n"
    days = {"2026-11-18": "- [ ] 最旧的\n- [ ] 到期的 📅 2026-11-24\n", "2026-11-21": plan}
    found = panels.home(make(days))
    today = _today(found)
    assert today.label == "带过来的"
    assert _things(today.rows) == ["计划的", "没有框的", "到期的", "最旧的"]
    assert _find(found, "open") is None  # 都在今天里了
    assert _text(found[0].note) == "开着的都在这里了，另有 1 件搁着：待办板"


def test_a_plan_that_is_a_paragraph_is_said_in_plain_words(make: Make) -> None:
    web = make({"2026-11-21": "## 明日计划\n\n先把[数据流](a.md)**消化**。\n"})
    assert _carried(web) == ["先把数据流消化。"]


def test_a_day_on_which_all_is_settled_leaves_nothing_open(make: Make) -> None:
    found = panels.home(make({str(TODAY): "## 今日目标\n\n1. [x] 甲\n2. [-] 乙\n"}))
    assert _text(found[0].note) == "2 件里了结了 2 件。"


def test_a_long_list_for_today_ends_in_a_link(make: Make) -> None:
    goals = "".join(f"{n}. [ ] 第{n}件\n" for n in range(1, 14))
    found = panels.home(make({str(TODAY): f"## 今日目标\n\n{goals}"}))
    assert _things(_today(found).rows) == [f"第{n}件" for n in range(1, 11)]
    assert _text(found[0].note) == "另有 3 件：待办板"


def test_home_shows_what_is_due_and_then_the_newest(make: Make, tmp_path: Path) -> None:
    make({})
    days = {str(_day(n)): f"{WROTE}\n- [ ] 第{n}件\n" for n in range(2, 30)}
    days["2026-11-01"] += "- [ ] 要交的 📅 2026-12-30\n- [ ] 先交的 📅 2026-12-20\n"
    days[str(TODAY)] = _blank(tmp_path, TODAY)
    opened = _find(panels.home(make(days)), "open")
    assert opened and isinstance(opened.content, Rows)
    assert _things(opened.content) == ["先交的", "要交的", *(f"第{n}件" for n in range(2, 6))]
    assert _text(opened.note) == "今天的以外，共 30 件，最久的 29 天了：待办板"
    assert _uris(opened.note) == ["todos/index.md"]


def test_the_last_three_days_say_what_was_achieved(make: Make) -> None:
    long = "一句。" * 30
    found = panels.home(
        make(
            {
                str(TODAY): WROTE,
                str(_day(1)): f"# {_day(1)}　改形状\n\n## 今日成果\n\n1. `view` 与[它](a.md)\n",
                str(_day(2)): f"## 今日成果\n\n1. {long}\n",
                str(_day(4)): f"# 2026-11-19　第 4 天前\n\n{WROTE}",
                str(_day(7)): WROTE,
            }
        )
    )
    assert _rows(_find(found, "latest")) == [
        "11 月 22 日 星期日　改形状：view 与它",
        f"11 月 21 日 星期六　{'一句。' * 20}",
        "11 月 19 日 星期四　第 4 天前",
    ]
    # 那天里不再有最近三天
    assert _rows(_find(found, "that")) == ["7 天前　11 月 16 日 星期一　写了 2 字"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("字" * 60, "字" * 60),
        ("字" * 61, "字" * 60 + "…"),
        ("甲。" + "字" * 99, "甲。" + "字" * 58 + "…"),  # 只剩两个字，不如断在句中
        ("字" * 59 + "，" + "字" * 9, "字" * 59 + "…"),
    ],
)
def test_one_line_for_a_day_is_cut_where_a_sentence_ends(make: Make, said: str, shown: str) -> None:
    found = panels.home(make({str(_day(1)): f"## 今日成果\n\n1. {said}\n"}))
    assert _rows(_find(found, "latest")) == [f"11 月 22 日 星期日　{shown}"]


def test_the_week_of_today_is_linked_beside_the_last_days(tmp_path: Path) -> None:
    files = {"daily/2026/2026-11-22.md": WROTE, "weekly/2026-W48.md": "# 周\n"}
    latest = _find(panels.home(read_web(_vault(tmp_path, files), TODAY)), "latest")
    assert latest and _uris(latest.note) == ["weekly/2026-W48.md", "daily/index.md"]


def _written(web: Web, dates: Iterable[date]) -> Web:
    """同一个知识库，这些天都写过。"""
    blank = DayFact(TODAY, "", "", (), "", 9, (), (), (), (), (), (), (), (), "")
    pages = tuple(blank._replace(date=day, uri=_uri(day)) for day in sorted(dates))
    return replace(web, pages=pages, named={page.uri: () for page in pages})


@pytest.mark.parametrize(
    ("count", "that", "latest"),
    [(1, [], [1]), (30, [7, 14, 30], [1, 2, 3]), (3650, [7, 14, 30, 90, 180, 365], [1, 2, 3])],
)
@pytest.mark.parametrize("begun", [False, True])
def test_home_after_one_thirty_and_3650_days(
    make: Make, count: int, that: list[int], latest: list[int], begun: bool
) -> None:
    note = {"model/rope": "---\ntitle: 旋转\npin: true\n---\n"}
    days = [_day(n) for n in range(1, count + 1)] + [TODAY] * begun
    found = panels.home(_written(make({}, note), days))
    kinds = ["today", *["that"] * bool(that), "latest", "pinned", "heat", "map"]
    assert [panel.kind for panel in found] == kinds
    assert _uris(_today(found).head) == [_uri(TODAY)] * begun
    assert _leads(_find(found, "latest")) == [_uri(_day(n)) for n in latest]
    assert not that or _leads(_find(found, "that")) == [_uri(_day(n)) for n in that]
    assert _leads(_find(found, "pinned")) == [ROPE]
    heat = _find(found, "heat")
    assert heat and isinstance(heat.content, Heat) and heat.content.last == TODAY
    assert len(heat.content.words) == min(count, 364) + begun


def test_an_empty_vault_says_how_to_begin(make: Make) -> None:
    found = panels.home(make({}))
    assert [panel.kind for panel in found] == ["today", "map"]
    assert _today(found) == Today((), "", Rows((), "todos"))
    assert _text(found[0].note).startswith("写下第一天")
    assert "rizhi note" in _text(found[1].note)


def test_on_the_first_day_there_are_no_last_days(make: Make) -> None:
    found = panels.home(make({str(TODAY): "## 明日计划\n\n- [ ] 明天的\n"}))
    assert [panel.kind for panel in found] == ["today", "open", "heat", "map"]


def test_after_half_a_year_of_silence_home_says_since_when(make: Make) -> None:
    found = panels.home(_written(make({}), [_day(n) for n in (180, 200, 400)]))
    latest = _find(found, "latest")
    assert latest and _text(latest.note) == "上一篇是 180 天前写的。全部日总结"
    assert len(_rows(latest)) == 3 and _find(found, "that") is None


def test_days_ahead_of_today_are_no_last_days(make: Make) -> None:
    found = panels.home(_written(make({}), [_day(-1), _day(-9)]))
    assert [panel.kind for panel in found] == ["today", "latest", "map"]
    assert _rows(found[1]) == []
    assert _text(found[1].note).startswith("写在今天以后的有 2 天：11 月 24 日 星期二。")


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
    assert _rows(_find(found, "pinned")) == ["掩码", "旋转"]
    assert _leads(_find(found, "pinned")) == ["notes/attention/mask.md", ROPE]
    assert "[旋转](notes/model/rope.md)" in html.panels_markdown(found, "index.md")
    assert _find(panels.home(make({}, dict.fromkeys(notes, "# 甲\n"))), "pinned") is None


def _carried(web: Web) -> list[str]:
    return [_text(row.parts) for row in _today(panels.home(web)).rows.rows]


def test_a_link_in_a_todo_is_shown_by_its_words(make: Make) -> None:
    day = "## 明日计划\n\n- **【待办】画[图][r]与[表](t.md)。**\n\n[r]: ../../notes/model/rope.md\n"
    web = make({"2026-11-20": day})
    board = overviews.pages(web)["todos/index.md"]
    for rows in (_rows(_find(board.panels, "open")), _carried(web)):
        assert rows[0].startswith("画图与表　自 ")
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
    notes_panel = _find(found, "map")
    assert notes_panel and isinstance(notes_panel.content, Groups)
    model, other = notes_panel.content.groups
    assert (model.name, other.name) == ("模型", "别组")
    assert _things(model.rows) == [f"第{n}篇" for n in range(10)]  # 一行一篇
    assert (_text(model.more), _uris(model.more)) == ("全部 33 篇", ["notes/index.md"])
    assert (_things(other.rows), other.more) == (["甲"], ())


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
    assert _carried(web) == ["到日子的　自 11-20，3 天", "开着的　自 11-20，3 天"]
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
