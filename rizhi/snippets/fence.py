"""三种围栏：`snippet` 嵌入单元格与它的记录，`source` 嵌入源码包的源码，`flow` 嵌入张量流。

只依赖 Python-Markdown 与 pymdown-extensions：换一个跑 Python-Markdown 的引擎，页面还是一样。
superfences 会吞掉格式化函数的异常，所以毛病都显示在页面里，并记一条警告。
"""

import json
import logging
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonLexer

from rizhi.errors import RizhiError
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.flow import flow_data, flow_links, outline, page_url
from rizhi.snippets.source import find_object, module_file
from rizhi.vault import Vault, find_vault

# 名字在 mkdocs 之下，--strict 才会把这里的警告算进去；别的引擎里它只是个普通的 logger。
log = logging.getLogger("mkdocs.rizhi")

Fence = Callable[..., str]


@dataclass(frozen=True)
class Context:
    """在哪个知识库、渲染哪一页；换一个引擎，只知道知识库在哪里。"""

    vault: Vault
    page: str = ""
    draft: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)  # 模块 → 重新记录时的错误
    running: Collection[str] = ()  # 正在后台重新运行的模块


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
    boxes = (_cell(snippet, cell, loaded.record, "rz-old" if trouble else "") for cell in shown)
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


def _cell(snippet: cells.Snippet, cell: cells.Cell, record: records.Record | None, age: str) -> str:
    name = f"snippets/{snippet.path.name}"
    copy = escape(runnable(snippet, cell), quote=True)
    bar = (
        f'<div class="rz-bar" data-search-exclude><span class="rz-file">{name}</span>'
        f'<span class="rz-title">{escape(cell.title)}</span>'
        f'<button class="rz-copy" title="复制到这一格为止的全部代码，粘贴即可运行" '
        f'data-clipboard-text="{copy}">复制可运行代码</button>'
        f'<span class="rz-notebook" data-module="{snippet.module}"></span></div>'
    )
    code = _highlight(cell.source, cell.line)
    output = record.output(cell.title) if record else None
    shown = _output(output, age) if output else ""
    return f'<div class="rz-cell">{bar}{code}{shown}</div>'


def runnable(snippet: cells.Snippet, cell: cells.Cell) -> str:
    """从头到这一格的代码：后面的单元格用得着前面的名字，单独一格粘贴出去跑不起来。"""
    upto = snippet.code_cells[: snippet.code_cells.index(cell) + 1]
    code = "\n\n".join(f"# %% {c.title}\n{c.source}" for c in upto) + "\n"
    return code.replace("\r\n", "\n")


def _output(output: cells.CellOutput, age: str) -> str:
    text = "".join(
        f'<pre class="rz-text{kind}">{escape(text)}</pre>'
        for kind, text in (("", output.text), (" rz-stderr", output.stderr))
        if text
    )
    images = "".join(
        f'<img class="rz-figure" alt="{escape(output.title)}" src="{data_uri(figure)}">'
        for figure in filter(None, output.figures)  # 图的文件丢了，读出来是空的
    )
    return f'<div class="rz-output {age}">{text}{images}</div>' if text or images else ""


@lru_cache(maxsize=1024)  # 没变过的图，每次重建都沿用
def data_uri(svg: str) -> str:
    """SVG 放进 `<img>` 才不会与别的图撞 id；只转义必须转义的字符，比 base64 短。"""
    body = svg[svg.index("<svg") :].replace('"', "'").replace("\n", " ")
    for plain, code in (("%", "%25"), ("#", "%23"), ("<", "%3C"), (">", "%3E"), ("&", "%26")):
        body = body.replace(plain, code)
    return f"data:image/svg+xml,{body}"


def _object(context: Context, line: str, *_given: Any) -> tuple[str, str]:
    module, _, dotted = (part.strip() for part in line.partition(":"))
    path = module_file(context.vault, module)
    first, source = find_object(path, dotted)
    last = first + source.count("\n")
    lines = f"{first}–{last}" if last > first else str(first)
    name = f"{module}.{dotted}"
    file = context.vault.relative(path)
    bar = (
        f'<div class="rz-bar" data-search-exclude><span class="rz-file">{file} '
        f"第 {lines} 行</span><span class='rz-title'>"
        f'<autoref identifier="{name}" optional>{escape(dotted)}</autoref></span></div>'
    )
    return f'<div class="rz-cell rz-source">{bar}{_highlight(dedent(source), first)}</div>', ""


def _highlight(source: str, first: int) -> str:
    """着色，并给每行真的行号；行号由样式画出，选中与复制都带不走。"""
    body = pygments.highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    lines = body.rstrip("\n").split("\n")
    width = len(str(first + len(lines) - 1))
    numbered = "\n".join(
        f'<span class="linenos" data-linenos="{number:>{width}} "></span>{line}'
        for number, line in enumerate(lines, first)
    )
    return f'<div class="highlight"><pre><code>{numbered}\n</code></pre></div>'
