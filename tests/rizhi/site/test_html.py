"""两种渲染：字与链接两边相同，也与数据相同；写了什么都只是字，不会变成会执行的东西。"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from markdown import Markdown

from rizhi.site import html as render
from rizhi.site import overviews, panels
from rizhi.site.blocks import (
    PLACES,
    Folded,
    Generated,
    Graph,
    Groups,
    Heat,
    Link,
    Month,
    Panel,
    Part,
    Row,
    Rows,
    Steps,
    Today,
    Trail,
)
from rizhi.site.graph import Web, read_web
from rizhi.vault import day_path
from tests.rizhi.engine import engine
from tests.rizhi.webs import flat as _flat
from tests.rizhi.webs import text as _words
from tests.rizhi.webs import vault_of as _vault

TODAY = date(2026, 11, 23)
BLANK = re.compile(r"\s")
HEAT = re.compile(r"\d+年\d+月：(?:\d+（\d+字）)+")


@pytest.fixture(scope="module")
def markdown() -> Markdown:
    """与站点同样的扩展。"""
    return engine()


def _woven(web: Web) -> Iterator[tuple[str, list[Panel], Generated | None]]:
    """站点上每一页算出来的东西：在哪里、有哪些面板、是不是整页都是算出来的。"""
    for uri, page in overviews.pages(web).items():
        yield uri, list(page.panels), page
    yield "index.md", panels.home(web), None
    for uri in (*(day.uri for day in web.pages), *web.by_uri):
        yield uri, panels.of_page(web, uri), None


def _bare(text: str) -> str:
    return BLANK.sub("", text)


def _text(parts: Iterable[Part]) -> str:
    return _bare(_words(parts))


def _rows_of(content: object) -> list[Row]:
    if isinstance(content, Folded):
        return [*content.head.rows, *content.middle.rows, *content.tail.rows]
    if isinstance(content, Groups):
        return [row for group in content.groups for row in group.rows.rows]
    if isinstance(content, Today):
        return list(content.rows.rows)
    return list(content.rows) if isinstance(content, Rows) else []


def _beside(content: object) -> list[tuple[Part, ...]]:
    """列表之外的几行字。"""
    if isinstance(content, Today):
        return [content.head or ("今天还没有写。rizhi new",), (content.label,)]
    if isinstance(content, Groups):
        return [parts for group in content.groups for parts in ((group.name,), group.more)]
    return []


def _linked(found: Iterable[Panel], lead: Iterable[Part] = ()) -> set[str]:
    """数据里有的全部链接。"""
    uris = {part.uri for part in _flat(lead) if isinstance(part, Link)}
    for panel in found:
        content = panel.content
        parts: list[Any] = [*panel.note, *(part for one in _beside(content) for part in one)]
        parts += [part for row in _rows_of(content) for part in (row.when, *row.parts) if part]
        if isinstance(content, Steps):
            parts += [one for group in content.groups for one in group]
        elif isinstance(content, Graph):
            parts += [node.link for node in content.nodes]
        elif isinstance(content, Trail):
            parts += [one for one in (content.earlier, content.week, content.later) if one]
        elif isinstance(content, Month):
            uris |= {u for d, u in content.uris.items() if d.month == content.first.month}
            uris |= {content.uri} - {""}
        elif isinstance(content, Heat):
            uris |= {content.uris[d] for d in content.words if content.first <= d <= content.last}
        uris |= {part.uri for part in _flat(parts) if isinstance(part, Link)}
    return {uri.partition("#")[0] for uri in uris}


def _targets(soup: BeautifulSoup, here: str) -> set[str]:
    """页面里的链接，归一成目标文件；页内的锚点不算。"""
    found = set()
    for href in (str(a["href"]) for a in soup.select("a[href]")):
        parts = urlsplit(href)
        assert not parts.scheme and not parts.netloc, href
        if parts.path:
            path = os.path.normpath(f"{os.path.dirname(here)}/{unquote(parts.path)}")  # noqa: PTH120
            found.add(path.lstrip("/").removesuffix(".html").removesuffix(".md") + ".md")
    return found


def _lines(soup: BeautifulSoup) -> list[str]:
    """列表各行的字；标签云在 HTML 里不是列表，一个链接算一行；热力图在 Markdown 里的不算。"""
    found = [_bare(one.get_text()) for one in soup.select("li, .rz-tags > a")]
    return [line for line in found if not HEAT.fullmatch(line)]


class Shown(NamedTuple):
    """一页的两种渲染，与它们该说的话。"""

    uri: str
    panels: list[Panel]
    page: Generated | None
    sides: dict[str, BeautifulSoup]


def _shown(web: Web, markdown: Markdown) -> list[Shown]:
    return [
        Shown(uri, found, page, _sides(uri, found, page, markdown))
        for uri, found, page in _woven(web)
    ]


def _sides(
    uri: str, found: list[Panel], page: Generated | None, markdown: Markdown
) -> dict[str, BeautifulSoup]:
    if page is None:
        html = render.panels_html(found, uri)
        plain = render.panels_markdown(found, uri)
    else:
        text, parts = render.page_source(page, uri)
        html = render.filled(markdown.reset().convert(text), parts)
        plain = render.page_markdown(page, uri)
    both = {"HTML": html, "Markdown": markdown.reset().convert(plain)}
    return {side: BeautifulSoup(text, "html.parser") for side, text in both.items()}


def _titles(soup: BeautifulSoup) -> list[str]:
    for mark in soup.select("a.headerlink"):
        mark.decompose()
    return [_bare(head.get_text()) for head in soup.select("h1, h2") if _bare(head.get_text())]


def _places(uri: str) -> tuple[Link, ...]:
    """日子的各个总览，每一页都能走到；笔记的总览没有。"""
    return () if uri.startswith(("notes/", "mentions/")) else PLACES


def _same(web: Web, shown: list[Shown]) -> None:
    """每一页两种渲染都与数据相同，链接都有去处。"""
    known = {page.uri for page in shown}
    known |= {p.relative_to(web.vault.docs).as_posix() for p in web.vault.docs.rglob("*.md")}
    for uri, found, page, sides in shown:
        lead = page.lead if page else ()
        rows = [
            _text(((row.when, "　") if row.when else ()) + row.parts)
            for panel in found
            for row in _rows_of(panel.content)
        ]
        wanted = _linked(found, lead + _places(uri) if page else lead)
        assert wanted <= known, uri
        heads = [_bare(page.title)] if page else []
        heads += [_bare(p.title) for p in found if p.title and not isinstance(p.content, Trail)]
        notes = [_text(lead), *(_text(panel.note) for panel in found)]
        notes += [_text(parts) for panel in found for parts in _beside(panel.content)]
        for side, soup in sides.items():
            where = f"{uri}（{side}）"
            assert _titles(soup) == heads, where
            assert _lines(soup) == rows, where
            assert _targets(soup, uri) == wanted, where
            text = _bare(soup.get_text())
            assert [note for note in notes if note not in text] == [], where


# 一个什么都有的知识库


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Web:
    """三年里写写停停；笔记有先修与后续，标签里有要转义的字。"""
    files = {
        "index.md": "# 首页\n",
        "notes/model/rope.md": "---\ntags: [a/b]\n---\n# 旋转\n\n[掩码](../attention/mask.md)\n",
        "notes/attention/mask.md": "---\nprereq: [rope]\naliases: [因果性]\n---\n# 掩码\n",
        "notes/model/空 格.md": "---\nprereq: [rope, mask]\ndraft: true\n---\n# 空 格\n",
        "weekly/2026-W48.md": "# 周\n",
        "weekly/2025-W52.md": "# 周\n",
    }
    for n in (*range(0, 40, 3), *range(300, 420, 17), 800, 801):
        day = TODAY - timedelta(days=n)
        files[f"daily/{day.year}/{day}.md"] = (
            f"---\ntags: [a/b, 甲乙, 第{n}]\n---\n\n# {day}　题*{n}*\n\n"
            f"## 今日完成\n\n- [ ] 做第{n}件 `x[0]` @2026-12-01\n- [ ] 一直没做的\n\n"
            f"- [{'x' if n % 2 else '-'}] 了结的{n}\n- [{'x' if n < 3 else ' '}] 拖着的\n\n"
            f"## 今日成果\n\n1. 写完 a_b_c，**粗**\n2. 1. 又一样\n\n"
            f"## 思考\n\n前一句。第{n}次懂了[旋转](../../notes/model/rope.md)因果性。\n"
        )
    return read_web(_vault(tmp_path_factory.mktemp("rich"), files), TODAY)


def test_the_rich_vault_has_every_kind_of_thing(rich: Web) -> None:
    made = list(_woven(rich))
    kinds = {panel.kind for _, found, _ in made for panel in found}
    assert kinds >= {"trail", "born", "that", "month", "today", "open", "latest", "heat"}
    assert kinds >= {"map", "before", "life", "leads", "hints", "due", "tags", "timeline"}
    folders = {uri.split("/")[0] for uri, _, page in made if page}
    assert folders == {"daily", "weekly", "todos", "tags", "timeline", "notes", "mentions"}


def test_both_renderings_say_what_the_data_says(rich: Web, markdown: Markdown) -> None:
    _same(rich, _shown(rich, markdown))


def test_a_month_in_markdown_is_a_table_of_the_same_days(rich: Web, markdown: Markdown) -> None:
    for uri in (day.uri for day in rich.pages):
        month = panels.of_page(rich, uri)[-1:]
        one, other = _sides(uri, month, None, markdown).values()
        for wanted in ("td", "td a"):
            cells = [[_bare(cell.text) for cell in soup.select(wanted)] for soup in (one, other)]
            assert cells[0] == cells[1] and (wanted == "td a" or len(cells[0]) % 7 == 0)


def test_the_heat_map_links_its_first_and_its_last_day(markdown: Markdown) -> None:
    first, last = date(2026, 1, 1), date(2026, 12, 31)
    days = {first: 1, date(2026, 2, 3): 0, date(2026, 5, 6): 700, last: 2}
    days |= {first - timedelta(days=1): 9, last + timedelta(days=1): 9}
    uris = {day: f"daily/{day.year}/{day}.md" for day in days}
    heat = [Panel("heat", "", Heat(days, uris, first, last))]
    wanted = {uris[day] for day in (first, date(2026, 5, 6), last)}
    for soup in _sides("index.md", heat, None, markdown).values():
        assert _targets(soup, "index.md") == wanted


# 敌意

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "img": "<img src=x onerror=alert(1)>",
    "javascript": "[点我](javascript:alert(1)) <javascript:alert(1)>",
    "attribute": "\"onmouseover=alert(1) '><b onclick=alert(1)>",
    "entity": "&lt;script&gt; &amp; &#60;b&#62; A&B",
    "attr_list": "甲 {: onmouseover=alert(1) }",
    "attr_list_bare": "甲 {onclick=alert(1)}",
    "marks": "*星* _下_ `码` ~~划~~ #井 !叹 |竖| [框] \\斜 $式$ ==亮== ^上^",
    "tilde": "a~b 约~3 天",
    "image": "![图](javascript:alert(1))",
    "footnote": "[^1] *[缩]: 全 !!! note",
    "comment": "<!-- 注 --> <?php ?> <![CDATA[x]]>",
    "unclosed": "<div><!-- `` ** [x](",
    "list": "1. 甲",
    "dash": "- 甲",
    "plus": "+ 甲",
    "indent": "    甲",
    "task": "[ ] 甲",
    "fence": "```snippet x",
    "backslash": "甲\\",
    "placeholder": "wzxhzdk:0 klzzwxh:0001",
    "long": "长" * 5000,
    "template": "{{ 1 }} {% x %}",
}


def _hostile(text: str) -> dict[str, str]:
    """同一段敌意的字，写进每一处会搬到别页去的地方。"""
    said = json.dumps(text, ensure_ascii=False)  # 也是 YAML 里带引号的写法
    front = f"tags: [{said}]\n" if len(text) < 99 else ""
    files = {
        "index.md": "# 首页\n",
        "notes/model/a.md": f"---\ntitle: {said}\naliases: [同名的]\n{front}---\n\n[乙](b.md)\n",
        "notes/model/b.md": f"---\naliases: [同名的]\nprereq: [a]\n---\n# {text}\n\n[甲](a.md)\n",
        "weekly/2026-W47.md": f"# {text}\n",
    }
    for n in (0, 1, 3, *range(10, 17)):
        day = TODAY - timedelta(days=n)
        files[f"daily/{day.year}/{day}.md"] = (
            f"---\n{front}---\n\n# {day}　{text}\n\n"
            f"## 今日完成\n\n- [ ] {text}{n}\n- [x] {n}{text}\n\n"
            f"## 今日成果\n\n1. {text}\n\n## 思考\n\n同名的 [没了](../../notes/model/gone.md)\n\n"
            f"{text}[甲](../../notes/model/a.md)\n"
        )
    return files


def _harmless(soup: BeautifulSoup, where: str) -> None:
    assert not soup.select("script, iframe, object, embed, img, style, form, link, meta"), where
    for tag in soup.find_all(True):
        for name, value in tag.attrs.items():
            assert not name.lower().startswith("on"), (where, str(tag)[:200])
            if name in ("href", "src", "action", "xlink:href"):
                assert "javascript:" not in unquote(str(value)).lower(), (where, str(tag)[:200])


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, markdown: Markdown
) -> tuple[str, Web, list[Shown]]:
    """一段敌意的字，写着它的知识库，与渲染出来的每一页。"""
    text = HOSTILE[request.param]
    web = read_web(_vault(tmp_path_factory.mktemp("hostile"), _hostile(text)), TODAY)
    return text, web, _shown(web, markdown)


def test_hostile_words_stay_words(hostile: tuple[str, Web, list[Shown]]) -> None:
    """不会执行；这一条红了是安全的问题。"""
    _, _, shown = hostile
    for page in shown:
        for side, soup in page.sides.items():
            _harmless(soup, f"{page.uri}（{side}）")


def test_hostile_words_look_the_same_in_both(hostile: tuple[str, Web, list[Shown]]) -> None:
    """两边都一字不差；这一条红了是转义的问题。"""
    text, web, shown = hostile
    _same(web, shown)
    assert {note.title for note in web.notes} >= {text}
    home = next(page for page in shown if page.uri == "index.md")
    assert all(_bare(text) in _bare(soup.get_text()) for soup in home.sides.values())


@pytest.mark.parametrize("title", ["甲\n\n# 乙", "甲\r\r# 乙", "甲\u2028乙\x0b丙"])
def test_a_title_of_many_lines_is_one_line(tmp_path: Path, markdown: Markdown, title: str) -> None:
    front = f"---\ntitle: {json.dumps(title)}\ntags: [{json.dumps(title)}]\n---\n"
    files = {"notes/model/a.md": front, "notes/model/b.md": f"{front}[甲](a.md)\n"}
    files["daily/2026/2026-11-20.md"] = f"{front}## 思考\n\n[甲](../../notes/model/a.md)\n"
    web = read_web(_vault(tmp_path, files), TODAY)
    assert {note.title for note in web.notes} == {title}
    _same(web, _shown(web, markdown))


@pytest.mark.parametrize(
    "data",
    [
        "## 思考\n\n旋转\n".encode("gbk"),
        b"---\ntags: [\n---\n\n# x\n",
        b"---\ntitle: {a: [1]}\ntags: {b: 2}\nprereq: 3\naliases: [null, 1.5, [x]]\n---\n\nx\n",
        b"---\ntags: [null, true, 2026-01-01]\n---\n\nx\n",
        b"",
        b"\xef\xbb\xbf# x\r\n\r\n- [ ] y\r\n",
    ],
)
def test_pages_that_cannot_be_read_still_render(
    tmp_path: Path, markdown: Markdown, data: bytes
) -> None:
    vault = _vault(
        tmp_path, {"index.md": "", "notes/model/b.md": "---\nprereq: [bad]\n---\n# 乙\n"}
    )
    for path in (
        day_path(vault, TODAY),
        vault.notes / "model/bad.md",
        vault.weekly / "2026-W48.md",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    web = read_web(vault, TODAY)
    shown = _shown(web, markdown)
    _same(web, shown)
    for page in shown:
        for side, soup in page.sides.items():
            _harmless(soup, f"{page.uri}（{side}）")


def test_prerequisites_in_a_circle_still_render(tmp_path: Path, markdown: Markdown) -> None:
    files = {
        f"notes/model/{a}.md": f"---\nprereq: [{b}]\n---\n" for a, b in ("ab", "bc", "ca", "dd")
    }
    web = read_web(_vault(tmp_path, files), TODAY)
    _same(web, _shown(web, markdown))


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_there_can_be(
    tmp_path: Path, markdown: Markdown, day: str
) -> None:
    """写错年份的文件名不该让整个站点建不起来。"""
    files = {f"daily/{day[:4]}/{day}.md": "## 思考\n\n写了\n", f"daily/2026/{TODAY}.md": "写了\n"}
    web = read_web(_vault(tmp_path, files), TODAY)
    _same(web, _shown(web, markdown))


# 路径


@pytest.mark.parametrize(
    ("here", "uri", "wanted"),
    [
        ("index.md", "daily/2026/2026-11-23.md", "daily/2026/2026-11-23.html"),
        ("daily/2026/a.md", "daily/2026/b.md", "b.html"),
        ("daily/2026/a.md", "daily/2025/b.md", "../2025/b.html"),
        ("daily/2026/a.md", "index.md", "../../index.html"),
        ("daily/index.md", "daily/2025/index.md", "2025/index.html"),
        ("daily/2025/index.md", "daily/index.md", "../index.html"),
        ("tags/a/index.md", "tags/index.md", "../index.html"),
        ("a.md", "标签/空 格.md", "%E6%A0%87%E7%AD%BE/%E7%A9%BA%20%E6%A0%BC.html"),
        ("a.md", "b?c&d.md", "b%3Fc%26d.html"),
    ],
)
def test_where_a_link_points(here: str, uri: str, wanted: str) -> None:
    assert render.href(here, uri) == wanted


@pytest.mark.parametrize(
    ("count", "shade"), [(0, 0), (1, 1), (99, 1), (100, 2), (299, 2), (300, 3), (600, 4), (9999, 4)]
)
def test_shades_of_the_heat_map(count: int, shade: int) -> None:
    assert render.level(count) == shade
