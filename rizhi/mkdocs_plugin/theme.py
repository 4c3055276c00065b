"""主题的几个文件，改过再给：搜索脚本的几处，与样式里本站用不到的规则；每一页只引它用得着的样式。

找不到要改的文字（material 换了版本），只说一句警告，照主题原样。
"""

import logging
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.theme import Theme

log = logging.getLogger("mkdocs.rizhi")

# 切词的内层循环到不了串尾，复合词的最后一个词于是被丢掉
_LAST = "o<t.length;o++)t.slice(s,o)in e", "o<=t.length;o++)t.slice(s,o)in e"
# 查询里的标点是 lunr 的运算符：`-1` 是「不要 1」，`logits[:` 是「logits[ 这一栏」。
# 都当空白，只留引号
_MARKS = "search(e){if(e=e.replace(", "search(e){if(e=e.replace(/[!#-/:-@[-^`{-~]/g,' ').replace("
# 词都按开头找；单个的字母与数字只找它自己：1 会找到每一个 11 月
_SINGLE = r"/(^[+-]|[~^]\d+$)/.test(r)?r:", r"/(^[+-]|[~^]\d+$|^\w$)/.test(r)?r:"
# 每一页一打开就取索引；换成一个约定，搜索打开了、或网址里带着查询，才去取
_FETCH = (
    'document.forms.namedItem("search")?ks():',
    'document.forms.namedItem("search")?new Promise((e,t)=>{'
    'let r=document.getElementById("__search"),o=document.forms.namedItem("search").query,'
    "n=()=>{n=()=>{};ks().subscribe({next:e,error:t})};"
    "/[?&][qh]=/.test(location.search)||r.checked||o===document.activeElement?n():"
    '(r.addEventListener("change",()=>n()),o.addEventListener("focus",()=>n()))}):',
)
PATCHES = (
    ("assets/javascripts/workers/search.*.min.js", (_LAST, _MARKS, _SINGLE)),
    ("assets/javascripts/bundle.*.min.js", (_FETCH,)),
)
_STYLES = "assets/stylesheets/*.min.css"
_RULE = re.compile(r"([^{}]+)\{[^{}]*\}")
_LINK = re.compile(r'<link rel="stylesheet" href="[./]*([^"]+)">\n?')
_TABS = {"pymdownx.tabbed", "pymdownx.blocks.tab"}
# 有这样的字才用得着的样式
_ONLY_WITH = {"assets/_mkdocstrings.css": 'class="doc '}


def patch(files: Files, config: MkDocsConfig) -> None:
    """换上改过的文件。"""
    for pattern, changes in PATCHES:
        texts = {file: changed(file.content_string, changes) for file in _matching(files, pattern)}
        if not texts or None in texts.values():
            log.warning(
                "主题的 %s 里找不到要改的一处，搜索照主题原样：material 换了版本？"
                "请核对 rizhi/mkdocs_plugin/theme.py。",
                pattern,
            )
            continue
        for file, text in texts.items():
            _replace(files, config, file, text or "")
    dead = _dead(config)
    for file in _matching(files, _STYLES):
        _replace(files, config, file, without(file.content_string, dead))


def skip_hidden(theme: Theme) -> None:
    """列主题的文件时不看隐藏的文件夹：里面的 mkdocs 一个也不收，而 material 的图标有一万多个。"""
    make = theme.get_env

    def get_env() -> Environment:
        env = make()
        if isinstance(env.loader, FileSystemLoader):
            names = partial(_visible, env.loader.searchpath)
            env.loader.list_templates = names  # type: ignore[method-assign]
        return env

    theme.get_env = get_env  # type: ignore[method-assign]


def _visible(folders: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for folder in folders:
        for top, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".")]
            place = Path(top).relative_to(folder)
            found.update((place / name).as_posix() for name in names)
    return sorted(found)


def changed(text: str, changes: Iterable[tuple[str, str]]) -> str | None:
    """每一处都恰好找到一次，换好；否则什么也不换。"""
    for wrong, right in changes:
        if text.count(wrong) != 1:
            return None
        text = text.replace(wrong, right)
    return text


def without(css: str, dead: re.Pattern[str]) -> str:
    """去掉每一个选择器都对不上任何东西的规则。"""

    def kept(rule: re.Match[str]) -> str:
        return "" if all(map(dead.search, rule[1].split(","))) else rule[0]

    return _RULE.sub(kept, css)


def needed(html: str) -> str:
    """一页里用不着的样式不引。"""

    def kept(link: re.Match[str]) -> str:
        return link[0] if _ONLY_WITH.get(link[1], "") in html else ""

    return _LINK.sub(kept, html)


def _dead(config: MkDocsConfig) -> re.Pattern[str]:
    """对不上任何东西的选择器：没有选的颜色、不用的从右往左的排法、没有装的选项卡。"""
    palettes = config.theme.get("palette") or {}
    palettes = palettes if isinstance(palettes, list) else [palettes]
    colours = {str(p.get(kind, "indigo")) for p in palettes for kind in ("primary", "accent")}
    used = "|".join(re.escape(colour.replace(" ", "-")) for colour in colours)
    dead = [rf"\[data-md-color-(?:primary|accent)=(?!(?:{used})\])"]
    if str(config.theme.get("language", "en"))[:2] in ("zh", "en"):
        dead.append(r"\[dir=rtl\]")
    if not _TABS & {*config.markdown_extensions}:
        dead.append(r"\.tabbed-")
    return re.compile("|".join(dead))


def _matching(files: Files, pattern: str) -> list[File]:
    folder = pattern.partition("*")[0]  # 逐个去比，几千页就慢了
    return [f for f in files if f.src_uri.startswith(folder) and fnmatch(f.src_uri, pattern)]


def _replace(files: Files, config: MkDocsConfig, file: File, text: str) -> None:
    files.remove(file)
    files.append(File.generated(config, file.src_uri, content=text))
