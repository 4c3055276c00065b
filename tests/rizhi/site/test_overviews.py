"""算出来的页：分页、次序、文件名都靠得住，没有一页会没完没了地长。"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi.frontmatter import quoted
from rizhi.site import overviews, panels
from rizhi.site.blocks import Code, Generated, Graph, Heat, Link, Rows
from rizhi.site.graph import Web, read_web
from rizhi.site.overviews import LIMIT, pages, tag_uri
from rizhi.vault import find_vault
from tests.rizhi.webs import pages_of, vault_of
from tests.rizhi.webs import text as _text
from tests.rizhi.webs import uris as _uris

TODAY = date(2026, 11, 25)
WROTE = "## 思考\n\n写了\n"
Make = Callable[..., Web]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make({"2026-11-20": 正文}, {"model/rope": 正文}, ["2026-W48"])`：读成一张网。"""

    def made(
        days: Mapping[str, str], notes: Mapping[str, str] | None = None, weeks: Iterable[str] = ()
    ) -> Web:
        files = pages_of(days, notes) | {f"weekly/{name}.md": "# 周报\n" for name in weeks}
        return read_web(vault_of(tmp_path, files), TODAY)

    return made


def _lists(page: Generated) -> list[tuple[str, list[str]]]:
    return [
        (panel.title, [_text(row.parts) for row in panel.content.rows])
        for panel in page.panels
        if isinstance(panel.content, Rows)
    ]


def _leads(page: Generated) -> list[str]:
    lists = (panel.content for panel in page.panels)
    return [u for c in lists if isinstance(c, Rows) for row in c.rows for u in _uris(row.parts)]


def _uri(day: str) -> str:
    return f"daily/{day[:4]}/{day}.md"


# 归档、时间线、周报


def test_the_archive_has_a_page_for_each_year(make: Make) -> None:
    days = ["2024-02-29", "2025-12-31", "2026-01-01", "2026-10-31", "2026-11-01", "2026-11-20"]
    made = pages(make(dict.fromkeys(days, WROTE) | {"2027-01-01": "# 2027-01-01\n"}))
    uris = ["daily/2024/index.md", "daily/2025/index.md", "daily/index.md"]
    assert sorted(uri for uri in made if uri.startswith("daily/")) == uris
    assert [_leads(made[uri]) for uri in uris] == [
        [_uri("2024-02-29")],
        [_uri("2025-12-31")],
        [_uri(day) for day in reversed(days[2:])],  # 从晚到早
    ]
    months = [title for title, _ in _lists(made["daily/index.md"])]
    assert months == ["2026 年 11 月", "2026 年 10 月", "2026 年 1 月"]
    assert [_uris(made[uri].lead) for uri in uris] == [
        [uris[2], uris[1]],
        [uris[2], uris[0]],
        [uris[1], uris[0]],
    ]
    heat = made["daily/2024/index.md"].panels[0].content
    assert isinstance(heat, Heat) and (heat.first, heat.last) == (
        date(2024, 1, 1),
        date(2024, 12, 31),
    )
    assert dict(heat.words) == {date(2024, 2, 29): 2}


def test_the_timeline_has_a_line_for_each_achievement(make: Make) -> None:
    made = "## 今日成果\n\n1. 写完 `x`，见[旋转](y.md)\n2. **量了**\n\n## 思考\n\n写了\n"
    said = ("写完 ", Code("x"), "，见", Link("旋转", "daily/2026/y.md"))
    days = {"2025-12-31": made, "2026-11-19": WROTE, "2026-11-20": made, "2026-10-01": made}
    found = pages(make(days))
    assert sorted(uri for uri in found if uri.startswith("timeline/")) == [
        "timeline/2025.md",
        "timeline/index.md",
    ]
    assert _lists(found["timeline/index.md"]) == [
        ("2026 年 11 月", ["写完 x，见旋转", "量了"]),
        ("2026 年 10 月", ["写完 x，见旋转", "量了"]),
    ]
    (first, _) = (panel.content for panel in found["timeline/index.md"].panels)
    assert isinstance(first, Rows) and first.rows[0].parts == said
    assert _uris(found["timeline/index.md"].lead) == ["timeline/2025.md"]
    rows = found["timeline/2025.md"].panels[0].content
    assert isinstance(rows, Rows) and [row.when and row.when.text for row in rows.rows] == [
        "12 月 31 日 星期三",
        None,
    ]


def test_a_week_belongs_to_the_year_of_its_thursday(make: Make) -> None:
    weeks = ["2026-W52", "2026-W53", "2027-W01", "2025-W01"]
    days = {"2026-12-31": WROTE, "2027-01-03": WROTE, "2027-01-04": WROTE}
    made = pages(make(days, weeks=[*weeks, "2025-W53", "随手"]))  # 没有 2025-W53 这一周
    uris = ["weekly/2025/index.md", "weekly/2026/index.md", "weekly/index.md"]
    assert sorted(uri for uri in made if uri.startswith("weekly/")) == uris
    assert [_lists(made[uri]) for uri in uris] == [
        [("2025 年", ["2025-W01　12 月 30 日 – 1 月 5 日，写了 0 天"])],
        [
            (
                "2026 年",
                [
                    "2026-W53　12 月 28 日 – 1 月 3 日，写了 2 天　31\u00a0日　3\u00a0日",
                    "2026-W52　12 月 21 日 – 12 月 27 日，写了 0 天",
                ],
            )
        ],
        [("2027 年", ["2027-W01　1 月 4 日 – 1 月 10 日，写了 1 天　4\u00a0日"])],
    ]
    assert _leads(made[uris[1]]) == [
        "weekly/2026-W53.md",
        _uri("2026-12-31"),
        _uri("2027-01-03"),
        "weekly/2026-W52.md",
    ]


def test_a_week_without_a_report_is_listed_and_is_no_link(make: Make) -> None:
    made = pages(make({"2026-11-20": WROTE, "2026-11-10": WROTE}, weeks=["2026-W46"]))
    (panel,) = made["weekly/index.md"].panels
    assert isinstance(panel.content, Rows)
    assert [(row.anchor, row.parts[0]) for row in panel.content.rows] == [
        ("2026-W47", "2026-W47"),
        ("2026-W46", Link("2026-W46", "weekly/2026-W46.md")),
    ]


def test_an_empty_vault_has_its_pages(make: Make) -> None:
    made = pages(make({}))
    names = ("daily", "weekly", "todos", "tags", "timeline", "notes")
    assert set(made) == {f"{name}/index.md" for name in names}
    assert all(_text(page.lead) for page in made.values())


# 待办板


def test_the_board_groups_and_orders(make: Make) -> None:
    made = pages(
        make(
            {
                "2026-11-10": "- [ ] 老的\n- [ ] 远期限 @2026-12-20\n- [ ] 上周完\n",
                "2026-11-15": "- [ ] 新的\n- [ ] 近期限 📅 2026-11-01\n- [x] 上周完\n",
                "2026-11-16": "- [ ] 老的\n- [ ] 要放弃\n- [ ] 要完成\n",
                "2026-11-23": "- [x] 要完成\n- [-] 要放弃\n",
                "2026-11-29": "- [x] 星期天\n",
                "2026-11-30": "- [x] 下周一\n",
            }
        )
    )["todos/index.md"]
    assert _text(made.lead) == "开着 4 件。"
    groups = {panel.kind: rows for panel, (_, rows) in zip(made.panels, _lists(made), strict=True)}
    assert {k: [row.partition("　")[0] for row in rows] for k, rows in groups.items()} == {
        "due": ["近期限", "远期限"],
        "open": ["老的", "新的"],
        "done": ["要放弃", "要完成", "星期天"],
    }
    assert groups["open"][0] == "老的　自 11-10，15 天，顺延 1 次"
    assert groups["due"][0].endswith("，期限 2026-11-01")
    assert groups["done"][1] == "要完成　自 11-16，11-23 完成"


def test_what_the_board_leaves_out_is_a_link_away(make: Make) -> None:
    lines = "".join(f"- [ ] 第{n}件\n" for n in range(LIMIT + 7))
    made = pages(make({"2026-11-10": lines}))
    board = {p.kind: p for p in made["todos/index.md"].panels}
    assert [_text(board[kind].note) for kind in ("due", "done")] == ["没有。", "没有。"]
    assert board["open"].note == (Link("另有 7 件", "todos/open.md"),)
    parts = [made[uri] for uri in ("todos/open.md", "todos/open/2.md")]
    assert [len(rows) for page in parts for _, rows in _lists(page)] == [LIMIT, 7]
    assert [_uris(page.lead)[0] for page in parts] == ["todos/index.md"] * 2


def test_the_board_says_how_many_are_parked(make: Make) -> None:
    made = pages(make({"2026-11-10": "- [ ] 甲\n- [>] 乙 📅 2026-12-20\n- [>] 丙 📅 2026-11-20\n"}))
    assert _text(made["todos/index.md"].lead) == "开着 3 件，其中 1 件搁着。"


# 标签

HOSTILE = (
    "../x",
    "../../../etc/passwd",
    "a/b",
    "a b",
    "a-b",
    "a_b",
    "a\\b",
    "<b>",
    "<script>alert(1)</script>",
    "🎉",
    "🎊",
    "index",
    "index.md",
    ".",
    "..",
    "-",
    "--",
    " ",
    "/",
    "%2e%2e%2f",
    "x#y",
    "x?y",
    "x:y",
    "a\nb",
    "中文",
    "长" * 300,
    "x" * 5000,
    "长" * 300 + "/",
    "2026",
)


def _safe(uri: str) -> bool:
    parts = uri.split("/")
    plain = all(part and part.strip(". ") == part and part.isprintable() for part in parts)
    return parts[0] == "tags" and plain and not set(uri) & set('\\<>:"|?*#%')


@pytest.mark.parametrize("tag", HOSTILE, ids=lambda tag: ascii(tag)[:24])
def test_a_tag_becomes_a_safe_name(tag: str) -> None:
    uri = tag_uri(tag)
    assert _safe(uri) and os.path.normpath(uri) == uri
    assert uri.count("/") == 2 and uri.split("/")[1] not in ("index", "index.md")
    assert max(len(part.encode()) for part in uri.split("/")) <= 255 - len(".html.gz")


def test_an_empty_tag_spoils_no_page(make: Make) -> None:
    made = pages(make({"2026-11-20": f"---\ntags: ['', 甲]\n---\n\n{WROTE}"}))
    assert [uri for uri in made if os.path.normpath(uri) != uri] == []
    assert _leads(made["tags/index.md"]) == [u for u in made if u.startswith("tags/") and "甲" in u]


def test_tags_never_share_a_page() -> None:
    uris = [tag_uri(tag) for tag in HOSTILE]
    assert len(set(uris)) == len(HOSTILE)


@pytest.mark.parametrize(("one", "other"), [("RoPE", "rope"), ("café", "cafe\u0301")])
def test_tags_never_share_a_page_on_windows_or_macos(one: str, other: str) -> None:
    """不分大小写、不分组合字符的文件系统上，两个标签也各有各的页。"""
    uris = {unicodedata.normalize("NFC", tag_uri(tag)).casefold() for tag in (one, other)}
    assert len(uris) == 2


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True))
def test_any_tags_have_safe_names_of_their_own(tags: list[str]) -> None:
    uris = [tag_uri(tag) for tag in tags if tag]
    assert len(set(uris)) == len(uris)
    assert all(os.path.normpath(uri) == uri and _safe(uri) for uri in uris)


def test_a_tag_lists_its_notes_and_days_by_year(make: Make) -> None:
    front = f"---\ntags: [{quoted('a/b')}, {quoted('a/b')}, 别的]\n---\n\n"
    made = pages(
        make(
            {"2025-03-01": front + WROTE, "2026-01-02": front + WROTE, "2026-01-03": front + WROTE},
            {"model/rope": front + "# 旋转\n"},
        )
    )
    mine = {uri: page for uri, page in made.items() if page.title == "a/b"}
    assert set(mine) == {tag_uri("a/b"), tag_uri("a/b").replace("index", "2025")}
    assert _lists(mine[tag_uri("a/b")]) == [
        ("笔记", ["旋转"]),
        ("2026 年", ["1 月 3 日 星期六", "1 月 2 日 星期五"]),
    ]
    assert _leads(mine[tag_uri("a/b").replace("index", "2025")]) == [_uri("2025-03-01")]
    assert _uris(mine[tag_uri("a/b")].lead) == [tag_uri("a/b").replace("index", "2025")]
    assert _uris(mine[tag_uri("a/b").replace("index", "2025")].lead) == [tag_uri("a/b")]
    assert set(_leads(made["tags/index.md"])) == {tag_uri("a/b"), tag_uri("别的")}
    assert sorted(row for _, rows in _lists(made["tags/index.md"]) for row in rows) == [
        "a/b 4",
        "别的 4",
    ]


def test_every_hostile_tag_has_its_own_page(make: Make) -> None:
    front = "---\ntags:\n" + "".join(f"  - {quoted(tag)}\n" for tag in HOSTILE) + "---\n\n"
    made = pages(make({"2026-11-20": front + WROTE}))
    titles = sorted(page.title for uri, page in made.items() if uri.startswith("tags/"))
    assert titles == sorted(("标签", *(tag for tag in HOSTILE if tag.strip())))  # 空白不是标签


# 笔记总览：先修图与一份清单


def _note(title: str, *prereq: str, brief: str = "", more: str = "") -> str:
    return f"---\nprereq: [{', '.join(prereq)}]\n{more}---\n# {title}\n\n## 一句话\n\n{brief}\n"


def _graph(page: Generated) -> tuple[list[str], list[tuple[str, str]], str]:
    """图上的各篇、各条边的两头，与图下面的话。"""
    (panel,) = (panel for panel in page.panels if isinstance(panel.content, Graph))
    names = [node.link.text for node in panel.content.nodes]
    edges = [(names[a], names[b]) for a, b in panel.content.edges]
    return names, edges, _text(panel.note)


def test_the_notes_page_draws_the_path_and_lists_each_note_once(make: Make) -> None:
    notes = {
        "model/b": _note("乙", "a", "没有这篇", brief="转 $m\\theta$，长 $\\sqrt n$，$10"),
        "attention/a": _note("甲", more="pin: true\n", brief="`x` 是**表**"),
        "attention/e": _note("戊", brief="谁也不靠。\n\n第二段"),
        "model/c": _note("丁", "a", "b"),
        "别组/d": _note("丙", "a", more="draft: true\n"),
    }
    page = pages(make({}, notes))["notes/index.md"]
    names, edges, _ = _graph(page)
    assert sorted(names) == ["丁", "乙", "甲"]  # 草稿、没有先修关系的不画
    assert sorted(edges) == [("乙", "丁"), ("甲", "乙")]  # 甲 → 丁 已经走得到
    assert _lists(page) == [
        ("注意力", ["甲　x 是表（常看）", "戊　谁也不靠。"]),
        ("模型", ["乙　转 mθ，长 √n，$10", "丁"]),
        ("别组", ["丙（草稿）".replace("丙", "丙　")]),
    ]


def test_a_circle_is_said_and_the_rest_is_drawn(make: Make) -> None:
    notes = {"m/a": _note("甲", "b"), "m/b": _note("乙", "a"), "m/c": _note("丙", "b", "c")}
    _, edges, said = _graph(pages(make({}, notes))["notes/index.md"])
    assert sorted(edges) == [("乙", "丙"), ("乙", "甲")]
    assert "成了环、没有画的：甲 → 乙、丙 → 丙" in said


def test_without_prerequisites_there_is_no_graph(make: Make) -> None:
    page = pages(make({}, {"m/a": _note("甲", "没有")}))["notes/index.md"]
    assert [panel.title for panel in page.panels] == ["m"]


def test_two_notes_of_one_name_are_both_listed(make: Make) -> None:
    """名字相同、组不同：`check` 会说，可页上也不该少一篇。"""
    notes = {"model/a": _note("甲"), "python/a": _note("也是甲"), "python/b": _note("乙", "a")}
    page = pages(make({}, notes))["notes/index.md"]
    assert _lists(page) == [("模型", ["甲"]), ("Python", ["也是甲", "乙"])]
    assert len(_graph(page)[1]) == 1


def test_too_many_for_a_picture_is_said(make: Make) -> None:
    notes = {f"m/n{n}": _note(f"第 {n} 篇", f"n{n - 1}") for n in range(LIMIT + 2)}
    page = pages(make({}, notes))["notes/index.md"]
    assert not any(isinstance(panel.content, Graph) for panel in page.panels)
    assert f"有先修关系的有 {LIMIT + 2} 篇" in _text(page.panels[0].note)


# 一页不会没完没了地长


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Web:
    """写满的一年多：每天三样成果、一件待办、同一个标签、同一篇笔记。"""
    root = tmp_path_factory.mktemp("big")
    (root / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    text = (
        "---\ntags: [甲]\n---\n\n## 今日成果\n\n1. 一\n2. 二\n3. 三\n\n## 思考\n\n"
        "[旋转](../../notes/model/rope.md){}\n\n- [ ] 第 {} 件\n"
    )
    for n in range(450):
        day = TODAY - timedelta(days=n)
        path = root / f"docs/daily/{day.year}/{day}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        other = "，[之二](../../notes/model/rope-2.md)" if n < 10 else ""
        path.write_text(text.format(other, n), encoding="utf-8")
    (root / "docs/notes/model").mkdir(parents=True)
    for n in range(450):
        path = root / f"docs/notes/model/n{n}.md"
        path.write_text(f"---\ntags: [甲]\n---\n# 第 {n} 篇\n\n[旋转](rope.md)\n", encoding="utf-8")
    (root / "docs/notes/model/rope.md").write_text("# 旋转\n", encoding="utf-8")
    path = root / "docs/notes/model/rope-2.md"
    path.write_text("# 旋转之二\n", encoding="utf-8")
    return read_web(find_vault(root), TODAY)


@pytest.mark.parametrize(
    ("folder", "most"),
    [
        ("daily", 366),
        ("weekly", 53),
        ("todos", 3 * LIMIT),
        ("tags", 366 + LIMIT),
        ("mentions", LIMIT),
        ("timeline", 3 * 366),  # 一年一页，一天三样
        ("notes", 452),  # 每篇一行
    ],
)
def test_no_page_grows_without_end(big: Web, folder: str, most: int) -> None:
    lengths = {u: sum(len(rows) for _, rows in _lists(p)) for u, p in pages(big).items()}
    mine = {uri: count for uri, count in lengths.items() if uri.startswith(f"{folder}/")}
    assert mine and {uri: count for uri, count in mine.items() if count > most} == {}


def test_what_a_page_leaves_out_is_said(big: Web) -> None:
    page = pages(big)[tag_uri("甲")]
    notes = next(panel for panel in page.panels if panel.title == "笔记")
    assert isinstance(notes.content, Rows) and len(notes.content.rows) == LIMIT
    (link,) = notes.note
    assert isinstance(link, Link) and link.text == f"另有 {450 - LIMIT} 篇"
    assert len(_lists(pages(big)[link.uri])[0][1]) == LIMIT


@pytest.mark.parametrize(("slug", "count"), [("rope", 450), ("rope-2", 10)])
def test_a_whole_life_is_cut_into_pages_that_lead_to_each_other(
    big: Web, slug: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rope 的第二页，也不能占了 rope-2 的第一页。"""
    for module in (panels, overviews):
        monkeypatch.setattr(module, "FOLDED", 8)
    made, note = pages(big), big.by_slug[slug]
    life = next(panel for panel in panels.of_note(big, note)() if panel.kind == "life")
    (first,) = _uris(life.note)
    parts = [first, *(u for u in _uris(made[first].lead) if u != f"notes/model/{slug}.md")]
    assert {made[uri].title for uri in parts} == {f"写到「{note.title}」的日子"}
    listed = [uri for part in parts for uri in _leads(made[part])]
    assert listed == [day.uri for day in big.days[-count:]]
    for here in parts:
        others = [uri for uri in parts if uri != here]
        assert _uris(made[here].lead) == [f"notes/model/{slug}.md", *others]
