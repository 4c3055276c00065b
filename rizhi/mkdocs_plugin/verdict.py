"""一页渲染出的 HTML 里有没有不许的东西：主题与我们自己加的面板还没有接上。"""

from collections.abc import Iterator

from rizhi import htmlpolicy

_CELLS = '<div class="jp-Notebook"'


def verdicts(html: str, uri: str) -> Iterator[str]:
    """一页里每一处不许的，写成一句警告。"""
    book = uri.endswith(".ipynb")
    policy = htmlpolicy.NOTEBOOK if book else htmlpolicy.RENDERED
    for one in htmlpolicy.judge(_cells(html) if book else html, policy):
        yield f"docs/{uri}：站点上会有不许的 HTML：{one.what[:60]!r}：{one.why}。"


def _cells(html: str) -> str:
    """笔记本的各格：mkdocs-jupyter 前后加的脚本与样式不是主人写的。"""
    _, mark, rest = html.partition(_CELLS)
    return mark + rest.rpartition("<style>")[0] if mark else html
