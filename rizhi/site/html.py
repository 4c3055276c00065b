"""一块块内容排成 HTML（站点用）或 Markdown（没有这个插件的引擎用）：字与链接两边相同。"""

import posixpath
import re
from calendar import Calendar
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from html import escape
from urllib.parse import quote

from rizhi.dates import WEEKDAYS
from rizhi.entries import built
from rizhi.journal.todo import CARRIED_TOO_OFTEN, PARKED
from rizhi.site.blocks import (
    PLACES,
    Code,
    Content,
    Dim,
    Folded,
    Generated,
    Graph,
    Group,
    Groups,
    Heat,
    Link,
    Month,
    Panel,
    Part,
    Row,
    Rows,
    Steps,
    Struck,
    Today,
    Trail,
)
from rizhi.site.layers import Point, drawing
from rizhi.site.tasks import box, standing

PLACE = "rizhi-part-{}"
_NEW = ("今天还没有写。", "rizhi new")
TINTS = 8  # 先修图上有几种颜色，组再多就轮着用
NODE = 64  # 先修图上一层高 100，结点占上面的这么多
_LEVELS = (0, 1, 100, 300, 600)  # 字数到了哪一档
# 反斜杠转义认得的字太少，大括号还会被当成属性：一律写成数字实体
_SPECIAL = str.maketrans({c: f"&#{ord(c)};" for c in "\\`*_[]{}<>#|~!$&"} | {"\n": " ", "\r": " "})
_MARKER = re.compile(r"^(\d*)([-+.)])(?=\s)")  # 行首像列表的记号


def relative(here: str, uri: str) -> str:
    """从一页到另一页的相对路径，两者都相对于 docs。"""
    return posixpath.relpath(f"/{uri}", f"/{posixpath.dirname(here)}")


def is_web(uri: str) -> bool:
    """是不是网上的地址，不是站点里的一页。"""
    return uri.startswith(("http://", "https://", "mailto:"))


def href(here: str, uri: str) -> str:
    """从一页到另一页的网址，可以写进属性。"""
    return _href(posixpath.dirname(here), uri)


@lru_cache(maxsize=4096)  # 一个月的日历有三十一个链接，三十一天都一样，十年有十万个
def _href(folder: str, uri: str) -> str:
    if is_web(uri):
        return escape(uri)
    bare, mark, tail = uri.partition("#")
    above, name = posixpath.split(posixpath.relpath(f"/{bare}", f"/{folder}"))
    return escape(quote(posixpath.join(above, built(name))) + mark + tail)


def level(count: int) -> int:
    """字数属于哪一档：0 没写，4 最深。"""
    return sum(count >= least for least in _LEVELS) - 1


def panels_html(panels: Iterable[Panel], here: str) -> str:
    """一页的全部面板。"""
    return "\n".join(panel_html(panel, here) for panel in panels)


def panel_html(panel: Panel, here: str) -> str:
    """一块面板；搜索不收它，免得每一页都搜得到别的页的标题。"""
    body = _body(panel, here)
    if isinstance(panel.content, Trail):
        return body
    opened = f'<section class="rz-panel rz-{panel.kind}" data-search-exclude>'
    return f"{opened}<h2>{escape(panel.title)}</h2>{body}</section>"


def content_html(content: Content, here: str) -> str:
    """一块内容。"""
    if isinstance(content, Rows):
        return _rows(content, here)
    if isinstance(content, Today):
        return _today(content, here)
    if isinstance(content, Groups):
        return f'<div class="rz-groups">{"".join(_group(g, here) for g in content.groups)}</div>'
    if isinstance(content, Folded):
        inner = f"<summary>{escape(content.label)}</summary>{_rows(content.middle, here)}"
        folded = f'<details class="rz-fold">{inner}</details>'
        return _rows(content.head, here) + folded + _rows(content.tail, here)
    if isinstance(content, Heat):
        return _heat(content, here)
    if isinstance(content, Month):
        return _month(content, here)
    if isinstance(content, Trail):
        return _trail(content, here)
    if isinstance(content, Graph):
        return _graph(content, here)
    return _steps(content, here)


def page_markdown(page: Generated, here: str) -> str:
    """一个算出来的页，全是普通的 Markdown。"""
    lead = f"{parts_markdown(page.lead, here)}\n\n" if page.lead else ""
    title = page.title.translate(_SPECIAL)
    places = " · ".join(_part_markdown(place, here) for place in _places(here))
    places = f"{places}\n\n" if places else ""
    return f"# {title}\n\n{places}{lead}{panels_markdown(page.panels, here)}"


def page_source(page: Generated, here: str, with_places: bool = True) -> tuple[str, list[str]]:
    """站点里同一页的原文与各段 HTML：原文只有标题与占位，标题好进目录，HTML 不必再解析一遍。

    `with_places` 是 False，就不列日子的几个总览。
    """
    lines = [f"# {page.title.translate(_SPECIAL)}"]
    parts = [_places_html(here)] if with_places and _places(here) else []
    parts += [f'<p class="rz-lead">{_parts(page.lead, here)}</p>'] if page.lead else []
    lines += [PLACE.format(n) for n in range(len(parts))]
    for panel in page.panels:
        lines += [f"## {panel.title.translate(_SPECIAL)}"] if panel.title else []
        lines.append(PLACE.format(len(parts)))
        parts.append(f'<div class="rz-part">{_body(panel, here)}</div>')
    return "\n\n".join(lines), parts


def _places(here: str) -> tuple[Link, ...]:
    """一页所在的几个总览；别的页没有。"""
    return PLACES if any(_folder(place.uri) == _folder(here) for place in PLACES) else ()


def _places_html(here: str) -> str:
    """够宽的屏上侧栏里有同样的几个，样式把这一行藏起来。"""
    links = (_part(place, here) for place in PLACES)
    marked = (
        link.replace("<a ", f'<a aria-current="{"page" if here == place.uri else "true"}" ', 1)
        if _folder(place.uri) == _folder(here)
        else link
        for link, place in zip(links, PLACES, strict=True)
    )
    return f'<nav class="rz-places" aria-label="总览">{"".join(marked)}</nav>'


def _folder(uri: str) -> str:
    return uri.partition("/")[0]


def filled(html: str, parts: Sequence[str]) -> str:
    """占位换成各段 HTML。"""
    for number, part in enumerate(parts):
        html = html.replace(f"<p>{PLACE.format(number)}</p>", part, 1)
    return html


def panels_markdown(panels: Iterable[Panel], here: str) -> str:
    """面板写成 Markdown 的节。"""
    return "\n".join(_panel_markdown(panel, here) for panel in panels)


def parts_markdown(parts: Iterable[Part], here: str) -> str:
    """一行字写成 Markdown。"""
    return "".join(_part_markdown(part, here) for part in parts)


def _body(panel: Panel, here: str) -> str:
    note = f'<p class="rz-note">{_parts(panel.note, here)}</p>' if panel.note else ""
    return content_html(panel.content, here) + note


def _parts(parts: Iterable[Part], here: str) -> str:
    return "".join(_part(part, here) for part in parts)


def _part(part: Part, here: str) -> str:
    if isinstance(part, Link):
        shown = _parts(part.parts or (part.text,), here)
        return f'<a href="{href(here, part.uri)}">{shown}</a>'
    if isinstance(part, Dim):
        return f'<span class="rz-dim">{_parts(part.parts, here)}</span>'
    if isinstance(part, Struck):
        return f"<del>{_parts(part.parts, here)}</del>"
    return f"<code>{escape(part.text)}</code>" if isinstance(part, Code) else escape(part)


def _rows(content: Rows, here: str) -> str:
    if content.kind == "tags":
        inner = " ".join(_parts(row.parts, here) for row in content.rows)
        return f'<p class="rz-tags">{inner}</p>'
    tag, name = {
        "todos": ("ul", "rz-todos"),
        "timeline": ("ol", "rz-timeline"),
        "list": ("ul", "rz-list"),
        "notes": ("ul", "rz-list rz-notes"),
    }[content.kind]
    inner = "".join(_row(row, here) for row in content.rows)
    return f'<{tag} class="{name}">{inner}</{tag}>' if content.rows else ""


def _today(today: Today, here: str) -> str:
    said, command = _NEW
    # serve 给的页面里，live.js 把这一句换成能点的
    new = f'<p class="rz-new" data-action="new">{said}<code>{command}</code></p>'
    head = f'<p class="rz-begun">{_parts(today.head, here)}</p>' if today.head else new
    label = f'<p class="rz-label">{escape(today.label)}</p>' if today.label else ""
    return head + label + _rows(today.rows, here)


def _group(group: Group, here: str) -> str:
    more = f'<p class="rz-note">{_parts(group.more, here)}</p>' if group.more else ""
    title = f"<h3>{escape(group.name)}</h3>"
    return f'<div class="rz-group">{title}{_rows(group.rows, here)}{more}</div>'


def _row(row: Row, here: str) -> str:
    body = _parts(row.parts, here)
    if row.when:
        return f"<li><time>{_part(row.when, here)}</time><div>{body}</div></li>"
    if row.todo is None:
        return f'<li id="{escape(row.anchor)}">{body}</li>' if row.anchor else f"<li>{body}</li>"
    todo = row.todo
    facts = f'data-state="{todo.state}" data-carried="{todo.carried}"'
    due = f' data-due="{todo.due}"' if todo.due else ""
    due += " data-parked" if due and todo.mark == PARKED else ""
    often = ' data-often="1"' if todo.carried >= CARRIED_TOO_OFTEN else ""
    said = _parts((part for part in row.parts if not isinstance(part, Dim)), here)
    rest = _parts((part for part in row.parts if isinstance(part, Dim)), here)
    text = f'{box(standing(todo).mark)} <span class="rz-text">{said}</span>'
    name = f'class="rz-todo task-list-item" data-todo="{todo.number}"'
    return f"<li {name} {facts}{due}{often}>{text}{rest}</li>"


def _heat(heat: Heat, here: str) -> str:
    start = heat.first - timedelta(days=heat.first.weekday())
    weeks = ((heat.last - start).days + 7) // 7
    cells = [_heat_cell(heat, start + timedelta(days=n), here) for n in range(7 * weeks)]
    columns = "".join(
        f'<div class="rz-week">{"".join(cells[n : n + 7])}</div>' for n in range(0, 7 * weeks, 7)
    )
    total = sum(1 for day, count in heat.words.items() if count and heat.first <= day <= heat.last)
    label = f"{heat.first} 至 {heat.last}，写了 {total} 天"
    return f'<div class="rz-heat" role="group" aria-label="{label}">{columns}</div>'


def _heat_cell(heat: Heat, day: date, here: str) -> str:
    if not heat.first <= day <= heat.last:
        return '<i class="rz-no"></i>'
    count = heat.words.get(day, 0)
    if not count or day not in heat.uris:
        return f'<i class="rz-l0" title="{day}"></i>'
    url = href(here, heat.uris[day])
    label = f"{day}：{count} 字"
    shade = level(count)
    return f'<a class="rz-l{shade}" href="{url}" title="{label}" aria-label="{label}"></a>'


def _month(month: Month, here: str) -> str:
    rows = "".join(
        f"<tr>{''.join(_month_cell(month, day, here) for day in week)}</tr>"
        for week in _weeks(month.first)
    )
    head = "".join(f"<th>{name}</th>" for name in WEEKDAYS)
    caption = f"{month.first.year} 年 {month.first.month} 月"
    link = _part(Link(caption, month.uri), here) if month.uri else caption
    return (
        f'<table class="rz-month"><caption>{link}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _weeks(first: date) -> Iterator[list[date | None]]:
    """一个月的各周，不属于这个月的是 None。"""
    for week in Calendar().monthdatescalendar(first.year, first.month):
        yield [day if day.month == first.month else None for day in week]


def _month_cell(month: Month, day: date | None, here: str) -> str:
    if day is None:
        return "<td></td>"
    names = ["rz-here"] * (day == month.here) + ["rz-today"] * (day == month.today)
    mark = f' class="{" ".join(names)}"' if names else ""
    uri = month.uris.get(day)
    body = f'<a href="{href(here, uri)}">{day.day}</a>' if uri else str(day.day)
    return f"<td{mark}>{body}</td>"


def _trail(trail: Trail, here: str) -> str:
    def side(link: Link | None, rel: str) -> str:
        if link is None:
            return "<span></span>"
        return f'<a rel="{rel}" href="{href(here, link.uri)}">{escape(link.text)}</a>'

    inner = side(trail.earlier, "prev") + _part(trail.week, here) + side(trail.later, "next")
    return f'<nav class="rz-days" data-search-exclude aria-label="前后">{inner}</nav>'


def _steps(steps: Steps, here: str) -> str:
    groups = []
    for group in steps.groups:
        boxes = (
            f'<a class="rz-box" href="{href(here, note.uri)}">{escape(note.text)}</a>'
            if isinstance(note, Link)
            else f'<span class="rz-box">{escape(note)}</span>'
            for note in group
        )
        own = "" if all(isinstance(note, Link) for note in group) else " rz-self"
        groups.append(f'<div class="rz-step{own}">{"".join(boxes)}</div>')
    return f'<div class="rz-path">{"".join(groups)}</div>'


def _graph(graph: Graph, here: str) -> str:
    """结点是链接，边是铺在下面的一层 SVG；结点从上到下、从左到右，Tab 也这样走。"""
    drawn = drawing(len(graph.nodes), graph.edges)
    order = sorted(range(len(graph.nodes)), key=lambda n: drawn.places[n][::-1])
    place = {node: n for n, node in enumerate(order)}
    lines = "".join(
        f'<path data-edge="{place[above]} {place[node]}" d="{_line_through(route)}"/>'
        for (above, node), route in drawn.routes.items()
    )
    boxes = "".join(_node(graph, n, drawn.places[n], here) for n in order)
    legend = "".join(
        f'<span class="rz-g{_tint(n)}">{escape(name)}</span>' for n, name in enumerate(graph.groups)
    )
    box = f"0 0 {round(100 * drawn.width)} {100 * drawn.height}"
    return (
        f'<p class="rz-legend">{legend}</p><div class="rz-graph">'
        f'<div style="--w:{drawn.width:g};--h:{drawn.height}">'
        f'<svg viewBox="{box}" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
        f"{boxes}</div></div>"
    )


def _tint(group: int) -> int:
    return group % TINTS + 1


def _node(graph: Graph, number: int, place: Point, here: str) -> str:
    link, group = graph.nodes[number]
    before = "、".join(graph.nodes[a].link.text for a, node in graph.edges if node == number)
    said = f' aria-description="先修：{escape(before)}"' if before else ""
    return (
        f'<a class="rz-g{_tint(group)}" href="{href(here, link.uri)}" '
        f'style="--x:{place[0]:g};--y:{place[1]}"{said}>{escape(link.text)}</a>'
    )


def _line_through(route: Sequence[Point]) -> str:
    """从结点的底边到结点的顶边，经过别的层时直下；末尾是箭头。"""
    (x, layer), *rest = ((round(100 * x), layer) for x, layer in route)
    drawn = f"M{x},{100 * layer + NODE}"
    for n, (to, layer) in enumerate(rest, 1):
        top, bottom = 100 * layer, 100 * layer - 100 + NODE
        middle = (top + bottom) // 2
        drawn += f"C{x},{middle} {to},{middle} {to},{top}"
        drawn += f"V{top + NODE}" if n < len(rest) else "m-3,-9l3,9l3,-9"
        x = to
    return drawn


def _panel_markdown(panel: Panel, here: str) -> str:
    note = f"{parts_markdown(panel.note, here)}\n\n" if panel.note else ""
    title = f"## {panel.title.translate(_SPECIAL)}\n\n" if panel.title else ""
    return f"{title}{_content_markdown(panel.content, here)}{note}"


def _part_markdown(part: Part, here: str) -> str:
    if isinstance(part, Link):
        shown = parts_markdown(part.parts or (part.text,), here)
        bare, mark, tail = part.uri.partition("#")
        place = bare if is_web(bare) else quote(relative(here, bare))
        return f"[{shown}]({place}{mark}{tail})"
    if isinstance(part, Dim):
        return parts_markdown(part.parts, here)
    if isinstance(part, Struck):
        return f"~~{parts_markdown(part.parts, here)}~~"
    return _code_markdown(part.text) if isinstance(part, Code) else part.translate(_SPECIAL)


def _code_markdown(text: str) -> str:
    """里面若有反引号，两头就比它多。"""
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _content_markdown(content: Content, here: str) -> str:
    if isinstance(content, Folded):
        content = Rows((*content.head.rows, *content.middle.rows, *content.tail.rows))
    if isinstance(content, Rows):
        return _rows_markdown(content, here)
    if isinstance(content, Today):
        return _today_markdown(content, here)
    if isinstance(content, Groups):
        return "".join(_group_markdown(group, here) for group in content.groups)
    if isinstance(content, Heat):
        return _heat_markdown(content, here)
    if isinstance(content, Month):
        return _month_markdown(content, here)
    if isinstance(content, Trail):
        return _trail_markdown(content, here)
    if isinstance(content, Graph):
        return _graph_markdown(content, here)
    groups = ("、".join(_part_markdown(note, here) for note in group) for group in content.groups)
    return _line(" → ".join(groups)) + "\n\n"


def _rows_markdown(content: Rows, here: str) -> str:
    lines = [
        f"- {_anchor(row)}{_line(parts_markdown((row.when, '　') if row.when else (), here))}"
        f"{_line(parts_markdown(row.parts, here))}"
        for row in content.rows
    ]
    return "\n".join(lines) + "\n\n" if lines else ""


def _today_markdown(today: Today, here: str) -> str:
    said, command = _NEW
    head = _line(parts_markdown(today.head, here)) or f"{said}`{command}`"
    label = f"{today.label.translate(_SPECIAL)}\n\n" if today.label else ""
    return f"{head}\n\n{label}{_rows_markdown(today.rows, here)}"


def _group_markdown(group: Group, here: str) -> str:
    more = f"{parts_markdown(group.more, here)}\n\n" if group.more else ""
    return f"### {group.name.translate(_SPECIAL)}\n\n{_rows_markdown(group.rows, here)}{more}"


def _graph_markdown(graph: Graph, here: str) -> str:
    """一篇一行，写着要先读哪几篇；先修的在前。"""
    places = drawing(len(graph.nodes), graph.edges).places
    lines = []
    for number in sorted(range(len(graph.nodes)), key=lambda n: places[n][::-1]):
        before = [graph.nodes[a].link for a, node in graph.edges if node == number]
        own = _part_markdown(graph.nodes[number].link, here)
        needs = "、".join(_part_markdown(link, here) for link in before)
        lines.append(_line(own) + (f"（先修：{needs}）" if needs else ""))
    return "  \n".join(lines) + "\n\n"


def _anchor(row: Row) -> str:
    return f'<a id="{escape(row.anchor)}"></a>' if row.anchor else ""


def _line(text: str) -> str:
    """行首的「1.」「-」不是他要写的列表。"""
    return _MARKER.sub(lambda marker: f"{marker[1]}&#{ord(marker[2])};", text)


def _trail_markdown(trail: Trail, here: str) -> str:
    parts = [part for part in (trail.earlier, trail.week, trail.later) if part]
    return " · ".join(_part_markdown(part, here) for part in parts) + "\n\n"


def _heat_markdown(heat: Heat, here: str) -> str:
    """一个月一行：每个写过的日子与字数。"""
    months: dict[tuple[int, int], list[str]] = {}
    for day, count in heat.words.items():
        if count and heat.first <= day <= heat.last and day in heat.uris:
            link = _part_markdown(Link(str(day.day), heat.uris[day]), here)
            months.setdefault((day.year, day.month), []).append(f"{link}（{count} 字）")
    lines = [f"- {y} 年 {m} 月：{' '.join(days)}" for (y, m), days in months.items()]
    return "\n".join(lines) + "\n\n" if lines else ""


def _month_markdown(month: Month, here: str) -> str:
    def cell(day: date | None) -> str:
        if day is None:
            return " "
        uri = month.uris.get(day)
        return _part_markdown(Link(str(day.day), uri), here) if uri else str(day.day)

    rows = [" | ".join(WEEKDAYS), " | ".join(["---"] * 7)]
    rows += [" | ".join(map(cell, week)) for week in _weeks(month.first)]
    table = "\n".join(f"| {row} |" for row in rows)
    caption = f"{month.first.year} 年 {month.first.month} 月"
    link = _part_markdown(Link(caption, month.uri), here) if month.uri else caption
    return f"{link}\n\n{table}\n\n"
