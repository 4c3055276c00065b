"""把整张网摆进站点：算出来的页、每一页的面板、悬停预览与日子的清单。"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import quote

from rizhi.mkdocs_plugin import diary
from rizhi.mkdocs_plugin.rebuild import Kept
from rizhi.page import Note
from rizhi.site import html as render
from rizhi.site import overviews, panels
from rizhi.site.blocks import Generated, Graph, Panel, Trail
from rizhi.site.graph import Web, grouped
from rizhi.snippets import fence
from rizhi.snippets import record as records
from rizhi.snippets.cells import Snippet
from rizhi.vault import Vault

_LINE = re.compile(r"<(p|li)>([^<\n]*)</\1>")


Source = tuple[str, list[str]]  # 原文，与填进去的各段 HTML
Around = tuple[str, str]  # 标题之下的一段 HTML，与正文之后的一段


@dataclass(frozen=True)
class Inserts:
    """接进各页的 HTML：算出来的页的各段，与每一页的面板。"""

    parts: Mapping[str, list[str]]
    panels: Mapping[str, Around]

    def of(self, uri: str) -> tuple[object, ...]:
        """一页上接的各段。"""
        return self.panels.get(uri), self.parts.get(uri)

    def into(self, html: str, uri: str) -> str:
        """接进一页。"""
        html = render.filled(html, self.parts.get(uri, ()))
        top, rest = self.panels.get(uri, ("", ""))
        if top:
            head, mark, tail = html.partition("</h1>")
            html = f"{head}{mark}{top}{tail}" if mark else top + html
        return f"{html}\n{rest}" if rest else html


def sources(web: Web, kept: Kept, with_diary: bool = True) -> dict[str, Source]:
    """算出来的页；没变的不重算、不重排。"""
    plan = overviews.plan(web) if with_diary else diary.plan(overviews.plan(web))
    return {uri: kept(uri, partial(_source, kept(uri, plan[uri]), uri, with_diary)) for uri in plan}


def _source(page: Generated, uri: str, with_diary: bool) -> Source:
    text, parts = render.page_source(page, uri, with_diary)
    # 画着图的页不要目录：图要宽；搜索都不收，免得盖过真正写了那句话的页
    wide = any(isinstance(panel.content, Graph) for panel in page.panels)
    hidden = "hide: [toc]\n" if wide else ""
    return f"---\n{hidden}search:\n  exclude: true\n---\n\n{text}\n", parts


def around(web: Web, uris: Iterable[str], kept: Kept, with_diary: bool = True) -> dict[str, Around]:
    """每一页的面板排成 HTML：前后天在标题之下，其余在正文之后；没变的不重算、不重排。

    日总结一个月一个月地比：十年有几千天，改一处，多半哪个月也没变。
    """
    dated = [(panels.day_of(uri), uri) for uri in uris]
    months = grouped(((day.year, day.month), (day, uri)) for day, uri in dated if day)
    found = {
        uri: _kept(kept, uri, panels.plan(web, uri), with_diary) for day, uri in dated if not day
    }
    for month, days in months.items():
        make = partial(_month, kept, panels.around_month(web, days[0][0]), days, with_diary)
        found.update(kept(month, make).items())
    return found


def _month(
    kept: Kept, seen: panels.Around, days: Sequence[tuple[date, str]], with_diary: bool
) -> dict[str, Around]:
    plans = panels.of_days(seen, [day for day, _ in days])
    return {
        uri: _kept(kept, uri, make, with_diary) for (_, uri), make in zip(days, plans, strict=True)
    }


def _kept(kept: Kept, uri: str, make: partial[list[Panel]], with_diary: bool) -> Around:
    clues = (make.func, make.args, with_diary)
    return kept(uri, partial(_around, make, uri, with_diary), clues)


def _around(make: partial[list[Panel]], uri: str, with_diary: bool) -> Around:
    shown = make() if with_diary else diary.panels(make(), uri)
    trails = [panel for panel in shown if isinstance(panel.content, Trail)]
    rest = render.panels_html((panel for panel in shown if panel not in trails), uri)
    name = "rz-home" if uri == "index.md" else "rz-web"
    return render.panels_html(trails, uri), f'<div class="{name}">{rest}</div>' if rest else ""


def scripts(web: Web) -> dict[str, str]:
    """页面脚本要的数据：file:// 下不能 fetch，所以都是脚本。"""
    ends = web.vault.config.get("day_ends", 4)
    begun = [web.begun] if web.begun and not web.begun.words else []  # 刚建好、还没写的今天也去得
    days = json.dumps({"ends": ends, "days": [str(day.date) for day in (*web.days, *begun)]})
    previews = {f"previews/{note.group}/{note.slug}.js": _preview(web, note) for note in web.notes}
    return {"assets/days.js": f"rizhiDays({days});\n"} | previews


def code(snippet: Snippet) -> str:
    """一个片段各格的代码：复制时才载入。"""
    data = {"module": snippet.module, "cells": fence.copied(snippet)}
    return f"rizhiCode({json.dumps(data, ensure_ascii=False)});\n"


def unindexed(html: str, template: re.Pattern[str]) -> str:
    """模板里原样的行不进搜索：十年里每一天都有同样的几句。"""

    def mark(line: re.Match[str]) -> str:
        tag, text = line.groups()
        same = template.fullmatch(text.strip())
        return f"<{tag} data-search-exclude>{text}</{tag}>" if same else line[0]

    return _LINE.sub(mark, html)


def edit_url(vault: Vault, path: str) -> str:
    """在用户的编辑器里打开源文件的网址；`[tool.rizhi] edit` 换别的编辑器。"""
    pattern = str(vault.config.get("edit", "vscode://file/{path}"))
    return pattern.replace("{path}", quote(Path(path).as_posix().lstrip("/"), safe="/:"))


def _preview(web: Web, note: Note) -> str:
    data = {
        "url": web.uri(note.path).removesuffix(".md") + ".html",
        "title": note.title,
        "brief": web.briefs[str(note.path)],
        "figure": _figure(web.vault, note.snippet or ""),
    }
    return f"rizhiPreview({json.dumps(data, ensure_ascii=False)});\n"


def _figure(vault: Vault, module: str) -> str:
    """片段画的第一张图的网址，没有是空的；读不懂的记录，笔记那一页会说明。"""
    if not re.fullmatch(r"\w{1,64}", module):
        return ""
    loaded = records.load(vault, vault.snippets / f"{module}.py")
    figures = fence.figures(loaded.snippet, loaded.record) if loaded.snippet else {}
    urls = (uri if fence.is_late(svg) else fence.data_uri(svg) for uri, svg in figures.items())
    return next(urls, "")
