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
from rizhi.page import Note
from rizhi.site import overviews, panels
from rizhi.site.blocks import Code, Generated, Heat, Link, Rows, Steps
from rizhi.site.graph import Web, read_web
from rizhi.site.overviews import LIMIT, pages, reading_order, tag_uri
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


# 按先修的阅读次序


def _note(slug: str, prereq: Iterable[str], group: str = "model") -> Note:
    path = Path(f"/v/docs/notes/{group}/{slug}.md")
    return Note(path, f"---\nprereq: [{', '.join(prereq)}]\n---\n")


SLUGS = "abcdefg"
GRAPH = st.fixed_dictionaries(
    dict.fromkeys(SLUGS, st.lists(st.sampled_from(SLUGS + "z"), max_size=3))
)


def _reaches(graph: Mapping[str, list[str]], start: str) -> set[str]:
    """从一篇出发，顺着先修走得到的全部。"""
    seen, left = set[str](), list(graph[start])
    while left:
        slug = left.pop()
        if slug in graph and slug not in seen:
            seen.add(slug)
            left += graph[slug]
    return seen


@given(GRAPH)
def test_every_note_comes_after_what_it_needs(graph: dict[str, list[str]]) -> None:
    layers = reading_order([_note(slug, prereq) for slug, prereq in graph.items()])
    assert sorted(note.slug for layer in layers for note in layer) == list(SLUGS)  # 各一次
    place = {note.slug: n for n, layer in enumerate(layers) for note in layer}
    reach = {slug: _reaches(graph, slug) for slug in graph}
    cyclic = {s for s in graph if any(t in reach[t] for t in {s} | reach[s])}
    for slug in graph:
        if slug in cyclic:
            assert place[slug] == len(layers) - 1
        else:
            # 恰好在最晚的先修的下一层
            assert place[slug] == max((place[s] + 1 for s in graph[slug] if s in graph), default=0)


def test_two_notes_of_one_name_are_both_in_the_order() -> None:
    """名字相同、组不同：`check` 会说，可页上也不该少一篇。"""
    notes = [_note("a", []), _note("a", ["b"], "training"), _note("b", [])]
    layers = reading_order(notes)
    assert sorted(str(n.path) for layer in layers for n in layer) == sorted(
        str(n.path) for n in notes
    )


def test_the_notes_page_shows_the_order_without_drafts(make: Make) -> None:
    notes = {
        "model/b": "---\nprereq: [a]\n---\n# 乙\n",
        "attention/a": "# 甲\n",
        "别组/c": "---\ndraft: true\n---\n# 丙\n",
    }
    page = pages(make({}, notes))["notes/index.md"]
    steps = page.panels[0].content
    a, b = Link("甲", "notes/attention/a.md"), Link("乙", "notes/model/b.md")
    assert isinstance(steps, Steps) and steps.groups == ((a,), (b,))
    assert _lists(page) == [
        ("按先修读", ["1　甲　", "2　乙　"]),
        ("注意力", ["甲"]),
        ("模型", ["乙"]),
        ("别组", ["丙（草稿）"]),
    ]


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
        ("notes", 452 + 1),  # 每篇一行，再加一层先修
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
