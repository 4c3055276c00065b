"""三种围栏：`snippet` 嵌入单元格与它的记录，`source` 嵌入源码包的源码，`flow` 嵌入张量流。

只依赖 Python-Markdown 与 pymdown-extensions：换一个跑 Python-Markdown 的引擎，页面还是一样。
superfences 会吞掉格式化函数的异常，所以毛病都显示在页面里，并记一条警告。
"""

import json
import logging
import re
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from typing import Any

import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonLexer
from pygments.token import Keyword, Name, Operator, Punctuation, String, Text, Whitespace

from rizhi.errors import RizhiError
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.compared import compared
from rizhi.snippets.excerpt import Part
from rizhi.snippets.figures import seen
from rizhi.snippets.flow import flow_data, flow_links, outline, page_url
from rizhi.snippets.source import read_fence_line
from rizhi.vault import Vault, find_vault

# 名字在 mkdocs 之下，--strict 才会把这里的警告算进去；别的引擎里它只是个普通的 logger。
log = logging.getLogger("mkdocs.rizhi")

Fence = Callable[..., str]
INLINE = 20_000  # 字节：再大的图是单独的文件，看到才载入
# 一页的记号一多半是名字与标点：不着色，页面小一半；颜色相同的几种算一种，挨着的就合在一起
_PLAIN = (Name, Operator, Operator.Word, Punctuation, Whitespace, Keyword.Constant)
_QUOTED = (String.Affix, String.Double, String.Single, String.Interpol)
_COLOUR = dict.fromkeys(_PLAIN, Text) | dict.fromkeys(_QUOTED, String)
_CLASS = re.compile(r'<span class="(\w+)">')
_SIZE = re.compile(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
_COMPARED = 3  # 折痕上写出来的断言
_BETWEEN = re.compile(r"[^\w]+")  # 标题里不进锚点的


@dataclass(frozen=True)
class Context:
    """在哪个知识库、渲染哪一页；换一个引擎，只知道知识库在哪里。"""

    vault: Vault
    page: str = ""
    draft: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)  # 模块 → 重新记录时的错误
    running: Collection[str] = ()  # 正在后台重新运行的模块
    to_url: Callable[[str], str] | None = None  # 站点上的一个文件从这一页看的网址


def fences(context: Context) -> dict[str, Fence]:
    """三种围栏的格式化函数，与这一页、这一次运行绑定；键是围栏的名字。"""
    return {
        "snippet": partial(_render, _cells, context),
        "source": partial(_render, _object, context),
        "flow": partial(_render, _flow, context),
    }


def snippet_fence(source: str, *_: Any, **__: Any) -> str:
    """`snippet` 围栏：每行一个 `模块:单元格`，只写模块就是全部单元格；知识库由当前文件夹找。"""
    return _render_here(_cells, source)


def source_fence(source: str, *_: Any, **__: Any) -> str:
    """`source` 围栏：每行一个 `llm.model:RMSNorm.forward`；知识库由当前文件夹找。"""
    return _render_here(_object, source)


def flow_fence(source: str, *given: Any, **_: Any) -> str:
    """`flow` 围栏：每行一个 `模块:单元格`，那一格打印的数据由站点的查看器画出来。

    链接由 mkdocs 自己的处理器换成网址：找不到的页，它照样警告；别的引擎里只换后缀。
    """
    return _render_here(_flow, source, *given)


# 一行 → HTML 与要说的毛病；`given` 是 superfences 另给的几样
_Line = Callable[..., tuple[str, str]]


def _render_here(render_line: _Line, source: str, *given: Any) -> str:
    try:
        context = Context(find_vault(Path.cwd()))
    except RizhiError as error:
        log.warning("%s", error)
        return _box(str(error))
    return _render(render_line, context, source, *given)


def _render(render_line: _Line, context: Context, source: str, *given: Any, **_: Any) -> str:
    """逐行渲染；同一个毛病在一个围栏里只说一次。"""
    parts: list[str] = []
    said = {""}
    for line in filter(None, map(str.strip, source.splitlines())):
        try:
            html, trouble = render_line(context, line, *given)
        except RizhiError as error:
            html, trouble = "", f"{line}：{error.within(context.vault.root)}"
        except Exception:  # superfences 会把它吞掉，页面上只剩一行反引号，谁也看不出来
            html, trouble = "", f"{line}：渲染时出了意外。\n{traceback.format_exc()}"
        parts.append(html)
        if trouble not in said:
            said.add(trouble)
            _warn(context, trouble)
            parts.append(_box(trouble))
    return "\n".join(parts)


def _warn(context: Context, message: str) -> None:
    """日志里的一条警告；草稿只显示在页面里，不让严格构建失败。"""
    where = f"{context.page}：" if context.page else ""
    log.log(logging.INFO if context.draft else logging.WARNING, "%s%s", where, message)


def _box(message: str) -> str:
    head, _, rest = message.partition("\n")
    detail = f"<pre>{escape(rest)}</pre>" if rest.strip() else ""
    return f'<div class="admonition failure rz-trouble"><p>{escape(head)}</p>{detail}</div>'


def _cells(context: Context, line: str, *_given: Any) -> tuple[str, str]:
    module, title, loaded, trouble = _named(context, line)
    snippet = loaded.source
    shown = (snippet.cell(title),) if title else snippet.code_cells
    state = _state(context, loaded, trouble)
    age = "rz-old" if trouble else ""
    boxes = (_cell(context, snippet, cell, loaded.record, state, age) for cell in shown)
    return _with_state(context, "\n".join(boxes), module, trouble)


def _flow(context: Context, line: str, *given: Any) -> tuple[str, str]:
    module, title, loaded, trouble = _named(context, line)
    loaded.source.cell(title)
    data = flow_data(loaded.record, title) if loaded.record else {}
    if data:
        to_url = _link_resolver(*given)
        data["links"] = {name: to_url(link) for name, link in flow_links(data).items()}
    text = escape(json.dumps(data, ensure_ascii=False, separators=(",", ":")), quote=True)
    given_data = f' data-flow="{text}"' if data else ""
    words = f"这张图要用脚本画，数据是 snippets/{module}.py 里「{escape(title)}」一格的输出。"
    listed = "".join(f"<li>{escape(step)}</li>" for step in outline(data))
    steps = f"<ol>{listed}</ol>" if listed else ""
    html = f'<div class="rz-flow" data-search-exclude{given_data}><p>{words}</p>{steps}</div>'
    return _with_state(context, html, module, trouble)


def _link_resolver(*given: Any) -> Callable[[str], str]:
    """把 Markdown 里的路径换成网址的函数；superfences 给的第四样是解析器。"""
    steps = given[3].treeprocessors if len(given) > 3 else {}
    if "relpath" not in steps:
        return page_url
    resolve: Callable[[str], str] = steps["relpath"].path_to_url
    return resolve


def _named(context: Context, line: str) -> tuple[str, str, records.Loaded, str]:
    """一行 `模块:单元格`：片段在盘上的样子，以及记录不新时该说的话。"""
    module, _, title = (part.strip() for part in line.partition(":"))
    loaded = records.load(context.vault, cells.snippet_file(context.vault, module))
    return module, title, loaded, context.failures.get(module, trouble_of(loaded))


def _with_state(context: Context, html: str, module: str, trouble: str) -> tuple[str, str]:
    if module in context.running:
        return f'{html}<p class="rz-running">正在重新运行，跑完这一页会自己刷新。</p>', ""
    return html, trouble


def trouble_of(loaded: records.Loaded) -> str:
    """记录不新时该说的话；记录或源码坏了，代码仍然可以看。

    异常：片段读不懂，抛 RizhiError。
    """
    if loaded.error:
        return loaded.error
    slug = loaded.source.module.replace("_", "-")
    return records.STATES[loaded.state].box.format(slug=slug)


def _state(context: Context, loaded: records.Loaded, trouble: str) -> str:
    """标题栏里的一个词：记录是新的打勾，不然是怎么了。"""
    if loaded.source.module in context.running:
        return '<span class="rz-state">正在重跑</span>'
    if trouble:
        words = records.STATES.get(loaded.state)
        return f'<span class="rz-state rz-bad">{(words and words.bar) or "出错了"}</span>'
    day = loaded.record.recorded if loaded.record else ""
    said = f"跑过，{day} 录下，输出是新的" if day else "跑过，输出是新的"
    return f'<span class="rz-state" role="img" title="{said}">✓</span>'


def _cell(
    context: Context,
    snippet: cells.Snippet,
    cell: cells.Cell,
    record: records.Record | None,
    state: str,
    age: str,
) -> str:
    """一格：标题栏、代码、输出。「图」先看图，「检验」先看比的是什么，代码折起来。"""
    bar = (
        '<div class="rz-bar" data-search-exclude>'
        f'<span class="rz-title">{escape(cell.title)}</span>{state}'
        f'<span class="rz-file">snippets/{snippet.path.name}</span>'
        f'<button class="rz-copy" title="从头到这一格的全部代码，粘贴即可运行" '
        f"{_clipboard(context, snippet, cell)}>复制</button>"
        f'<span class="rz-notebook" data-module="{snippet.module}"></span></div>'
    )
    code = _highlight(cell.source, cell.line)
    output = record.output(cell.title) if record else None
    shown = _output(context, snippet, cell, output, age) if output else ""
    if cell.checks:
        body = _folded(_comparisons(cell.source), code) + shown
    elif cell.draws and output and any(output.figures):
        lines = cell.source.count("\n") + 1
        body = shown + _folded(f"画它的代码，{lines} 行", code)
    else:
        body = code + shown
    kind = " rz-check" if cell.checks else ""
    return f'<div class="rz-cell no-copy{kind}" id="{anchor(cell.title)}">{bar}{body}</div>'


def _clipboard(context: Context, snippet: cells.Snippet, cell: cells.Cell) -> str:
    """按钮要复制什么：站点上按下才载入，各格都写进页里，前面的代码就重复许多遍。"""
    if context.to_url:
        upto = snippet.code_cells.index(cell) + 1
        return f'data-module="{snippet.module}" data-upto="{upto}"'
    return f'data-clipboard-text="{escape(runnable(snippet, cell), quote=True)}"'


def runnable(snippet: cells.Snippet, cell: cells.Cell) -> str:
    """从头到这一格的代码：后面的单元格用得着前面的名字，单独一格粘贴出去跑不起来。"""
    return "\n\n".join(copied(snippet)[: snippet.code_cells.index(cell) + 1]) + "\n"


def anchor(title: str) -> str:
    """一格在页面里的锚点。"""
    return f"cell-{_BETWEEN.sub('-', title).strip('-').lower()}"


def _folded(summary: str, code: str) -> str:
    return f'<details class="rz-code"><summary>{summary}</summary>{code}</details>'


def _comparisons(source: str) -> str:
    """一格检验比的是什么，写在折痕上；搜索不收，代码里有同样的字。"""
    found = compared(source)
    more = f"，共 {len(found)} 处" if len(found) > _COMPARED else ""
    shown = "；".join(f"<code>{escape(text)}</code>" for text in found[:_COMPARED])
    return f"<span data-search-exclude>{shown or '代码'}{more}</span>"


def copied(snippet: cells.Snippet) -> list[str]:
    """可复制的各格，空一行接起来。"""
    parts = (f"# %% {cell.title}\n{cell.source}" for cell in snippet.code_cells)
    return [part.replace("\r\n", "\n") for part in parts]


def fresh(vault: Vault, snippet: cells.Snippet, cell: cells.Cell, output: cells.CellOutput) -> str:
    """现跑的输出，排得与记录的一样：图都放进页里，出了错再加一个框。"""
    shown = _output(Context(vault), snippet, cell, output, "")
    return shown + (_box(output.error) if output.error else "")


def _output(
    context: Context, snippet: cells.Snippet, cell: cells.Cell, output: cells.CellOutput, age: str
) -> str:
    text = "".join(
        f'<pre class="rz-text{kind}">{escape(text)}</pre>'
        for kind, text in (("", output.text), (" rz-stderr", output.stderr))
        if text
    )
    at = snippet.code_cells.index(cell) + 1
    images = "".join(
        _image(context, figure, figure_uri(snippet.module, at, number), output.title)
        for number, figure in enumerate(output.figures, 1)
        if figure  # 图的文件丢了，读出来是空的
    )
    return f'<div class="rz-output {age}">{text}{images}</div>' if text or images else ""


def _image(context: Context, figure: str, uri: str, alt: str) -> str:
    """一张图；宽高先写上，晚到的图不把下面的字推走。"""
    late = context.to_url is not None and is_late(figure)
    src = context.to_url(uri) if context.to_url and late else data_uri(figure)
    size = _SIZE.search(figure)
    facts = f' width="{_pixels(size[1])}" height="{_pixels(size[2])}"' if size else ""
    facts += ' loading="lazy"' if late else ""
    return f'<img class="rz-figure" alt="{escape(seen(figure) or alt)}" src="{src}"{facts}>'


def _pixels(points: str) -> int:
    return round(float(points) * 4 / 3)


def is_late(figure: str) -> bool:
    """这张图大得不放进页里。"""
    return len(figure.encode()) > INLINE


def figure_uri(module: str, cell: int, number: int) -> str:
    """片段第 `cell` 格的第 `number` 张图，都从 1 数起。"""
    return f"figures/{module}/{cell:02d}-{number}.svg"


def figures(snippet: cells.Snippet, record: records.Record | None) -> dict[str, str]:
    """记录里的图，按在片段里的先后；键是它们在站点上的路径。"""
    outputs = [record.output(cell.title) if record else None for cell in snippet.code_cells]
    return {
        figure_uri(snippet.module, at, number): figure
        for at, output in enumerate(outputs, 1)
        for number, figure in enumerate(output.figures if output else (), 1)
        if figure  # 图的文件丢了，读出来是空的
    }


@lru_cache(maxsize=1024)  # 没变过的图，每次重建都沿用
def data_uri(svg: str) -> str:
    """SVG 放进 `<img>` 才不会与别的图撞 id；只转义必须转义的字符，比 base64 短。"""
    body = svg[svg.index("<svg") :].replace('"', "'").replace("\n", " ")
    for plain, code in (("%", "%25"), ("#", "%23"), ("<", "%3C"), (">", "%3E"), ("&", "%26")):
        body = body.replace(plain, code)
    return f"data:image/svg+xml,{body}"


def _object(context: Context, line: str, *_given: Any) -> tuple[str, str]:
    shown = read_fence_line(context.vault, line)
    where = f"{context.vault.relative(shown.path)} 第 {shown.lines} 行"
    bar = (
        '<div class="rz-bar" data-search-exclude><span class="rz-title">'
        f'<autoref identifier="{shown.name}" optional>{escape(shown.dotted)}</autoref></span>'
        f'<span class="rz-file">{where}</span>{_copy_button(context, shown.source)}</div>'
    )
    code = _highlight(shown.source, shown.first, shown.parts)
    mark = anchor(shown.dotted)
    return f'<div class="rz-cell rz-source no-copy" id="{mark}">{bar}{code}</div>', ""


def _copy_button(context: Context, text: str) -> str:
    """主题自带的复制听 `data-clipboard-text`；站点上按下才从这一格里取，一份代码不在页里写两遍。"""
    given = "" if context.to_url else f' data-clipboard-text="{escape(text)}"'
    return f'<button class="rz-copy"{given}>复制</button>'


@lru_cache(maxsize=1024)  # 没变过的代码，每次重建都沿用
def _highlight(source: str, first: int, parts: Sequence[Part] = ()) -> str:
    """着色，并给每行真的行号；行号由样式数出、画出，选中与复制都带不走。`parts` 里的几段折起来。"""
    tokens = PythonLexer(stripnl=False).get_tokens(source)
    coloured = ((_COLOUR.get(kind, kind), text) for kind, text in tokens)
    body = pygments.format(coloured, HtmlFormatter(nowrap=True)).rstrip("\n")
    # 文字里的引号、一个词的属性值都不必转义、加引号：一页少几千字节
    body = _CLASS.sub(r"<span class=\1>", body).replace("&quot;", '"').replace("&#39;", "'")
    lines = [f"<i></i>{line}" for line in body.split("\n")]
    digits = len(str(first + len(lines) - 1))
    blocks = []
    for part in parts or (Part(0, len(lines) - 1, ""),):
        text = "\n".join(lines[part.first : part.last + 1])
        start = f"counter-reset: line {first + part.first - 1}; --digits: {digits}"
        block = f'<pre><code style="{start}">{text}\n</code></pre>'
        blocks.append(_folded(part.label, block) if part.label else block)
    kind = "highlight rz-parts" if len(blocks) > 1 else "highlight"
    return f'<div class="{kind}">{"".join(blocks)}</div>'
