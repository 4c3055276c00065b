"""单元格：从哪一行起、叫什么、源码与文件一字不差。"""

import ast
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import jupytext
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rizhi.snippets import cells
from rizhi.snippets.cells import SnippetError
from rizhi.vault import Vault, find_vault, snippet_files

SOURCE = '''# %% [markdown]
# # 标题

# %% 一
import llm.model

text = """
# %% 假的
"""
# %% 检验 二

assert text
'''


@pytest.fixture
def path(vault: Vault) -> Path:
    found = vault.snippets / "topic.py"
    found.write_text(SOURCE, encoding="utf-8")
    return found


def test_cells_carry_true_lines(path: Path) -> None:
    found = cells.parse(path).cells
    assert [(c.title, c.kind, c.line) for c in found] == [
        ("", "markdown", 2),
        ("一", "code", 5),
        ("检验 二", "code", 12),
    ]
    lines = SOURCE.splitlines()
    assert all(lines[c.line - 1] == c.source.splitlines()[0] for c in found if c.kind == "code")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# %% 坏\nx = (\n", r"topic.py:2 单元格「坏」语法错误"),
        ("# %%\nx = 1\n", r"topic.py:2 单元格没有标题"),
        ("# %% a\nx = 1\n# %% a\ny = 1\n", r"topic.py:4 单元格「a」重名"),
    ],
)
def test_bad_cells_name_their_line(path: Path, source: str, message: str) -> None:
    path.write_text(source, encoding="utf-8")
    with pytest.raises(SnippetError, match=message):
        cells.parse(path)


def test_unknown_cell_lists_what_exists(path: Path) -> None:
    with pytest.raises(SnippetError, match="没有单元格「三」；现有：一、检验 二"):
        cells.parse(path).cell("三")


ROOT = Path(__file__).parents[3]
CASES = Path(__file__).parents[1] / "cases/snippets"


def _read(folder: Path, text: str) -> cells.Snippet:
    path = folder / "topic.py"
    path.write_bytes(text.encode())
    return cells.parse(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize(
    "body",
    [
        "if True:\n\tx = 1\n\n\n",
        "x = 1   \n    \n# 末尾的注释",
        "# cat 不新建维度\n# %matplotlib inline\n# !ls\nx = 1",
        's = """\n# %% 假的\n\n    # %% 也是假的\n"""',
        "x = (\n    1,  # 一\n\n    2,\n)",
        "\x0cx = 1\n\x0c\ny = '\u2028\x85'",
        "",
    ],
)
def test_source_is_the_file_itself(tmp_path: Path, body: str, bom: str, end: str) -> None:
    text = f"# %% 一\n\n{body}\n\n# %% 二\nx = 2".replace("\n", end)
    first, second = _read(tmp_path, bom + text).cells
    assert first.source == body.replace("\n", end).strip("\r\n")
    assert text.split("\n")[first.line - 1 :][: first.source.count("\n") + 1] == [
        line + end[:-1] for line in first.source.split(end)
    ]
    assert second.source == "x = 2" and second.line == text.count("\n") + 1


LINES = st.lists(
    st.sampled_from(
        [
            "x = 1",
            "",
            "# 注",
            "def f():",
            "    return 1",
            "\tpass",
            '"""',
            "'''",
            "# %% 假",
            "x \\",
            "\r",
            "x",
        ]
    ),
    max_size=8,
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=4))
@example([["x \\", ""]])
def test_no_line_is_lost_or_rewritten(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[list[str]]
) -> None:
    """读得懂的，各格连同它们之间的空行与标记，拼回来就是原文。"""
    folder = tmp_path_factory.mktemp("cells")
    text = "".join(f"# %% {n}\n" + "".join(f"{x}\n" for x in b) for n, b in enumerate(bodies))
    try:
        found = _read(folder, text).cells
    except SnippetError:
        return
    lines, at = text.split("\n"), 0
    for cell in found:
        ast.parse(cell.source if cell.kind == "code" else "")
        assert all(not x.strip("\r") or x.startswith("# %%") for x in lines[at : cell.line - 1])
        at = cell.line - 1 + (cell.source.count("\n") + 1 if cell.source else 0)
        assert "\n".join(lines[cell.line - 1 : at]).rstrip("\r") == cell.source
    assert not "".join(lines[at:]).strip("\r")


def _ours(snippet: cells.Snippet) -> list[tuple[str, str, str]]:
    return [(c.kind, c.title, c.source) for c in snippet.cells]


def _theirs(text: str) -> list[tuple[str, str, str]]:
    """jupytext 分出来的各格；说明的标题我们用不着。"""
    book = jupytext.reads(text, fmt="py:percent")
    titles = [c.metadata.get("title", "") if c.cell_type == "code" else "" for c in book.cells]
    return [
        (cell.cell_type, title, cell.source.strip("\n"))
        for cell, title in zip(book.cells, titles, strict=True)
    ]


ORDINARY = {
    "空的": "",
    "没有空格": "#%% 一\nx = 1\n#%% 二\n",
    "子格": "# %% 一\nx = 1\n# %%% 二\ny = 2\n# %%%% 三\nz = 3\n",
    "全角空格": "#　%% 一\nx = 1\n# %%　二\ny = 1\n",
    "末尾的空格": "# %% 一  \nx = 1\n",
    "空格子": "# %% 一\n\n# %% 二\n",
    "说明": "# %% [markdown]\n# # 标题\n#\n# - 一\n#   - 二\n# %% 一\nx = 1\n",
    "带标题的说明": "# %% 前言 [markdown]\n# 一句\n# %% [md] 又\n# 一句\n",
    "引号里的说明": '# %% [markdown]\n"""\n# 标题\n\n一句\n"""\n# %% 一\nx = 1\n',
    "单引号的说明": "# %% [markdown]\nr'''$\\alpha$'''\n",
    "原样": "# %% [raw]\n# <b>x</b>\n# %% 一\nx = 1\n",
    "字符串里的": '# %% 一\ns = """\n# %% 假的\nx = (\n"""\n# %% 二\nx = s\n',
    "文档字符串里的": "# %% 一\ndef f():\n    '''说\n# %% 假的\n    '''\n# %% 二\nx = f\n",
    "装饰器": "# %% 一\nimport functools\n# %% 二\n@functools.cache\ndef f():\n    pass\n",
    "续行": "# %% 一\nx = 1 + \\\n    2\n# %% 二\ny = x\n",
    "类": "# %% 一\nclass A:\n\n    x = 1\n\n\n# %% 二\nclass B(A):\n    y = 2\n",
    "百分号": "# %% 一\n# 50 %% 以上\nx = 7 % 3  # %% 不在行首\n",
    "点": "# %% torch.sort 是第三种\nx = 1\n# %% 坏 忘了 super().__init__()\ny = 1\n",
    "收尾没有换行": "# %% 一\nx = 1\n# %% 二\ny = 2",
    "分号": "# %% 一\nx = 1; x;\n# %% 二\nx\n",
    "异步": "# %% 一\nasync def f():\n    return 1\n",
    "类型": "# %% 一\nx: int = 1\n# %% 二\nfrom typing import Any\n",
    "匹配": "# %% 一\nmatch 1:\n    case 1:\n        x = 1\n    case _:\n        pass\n",
    "英文": "# %% First cell\nx = 1\n# %% check: equals (a, b)\nassert x\n",
    "表情": "# %% 🙂 笑\nx = '🙂'\n",
    "制表符": "# %%\t一\nif True:\n\tx = 1\n",
    "注释格": "# %% 一\n# 只有注释\n# %% 二\nx = 1\n",
    "围栏": "# %% [markdown]\n# ```python\n# x = 1\n# ```\n# %% 一\nx = 1\n",
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_files_read_as_jupytext_reads_them(tmp_path: Path, text: str) -> None:
    assert _ours(_read(tmp_path, text)) == _theirs(text)


FILES = [
    path
    for root in (ROOT, ROOT / "tests/sample", ROOT / "tests/rizhi/last_version")
    for path in snippet_files(find_vault(root))
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_our_own_files_read_as_jupytext_reads_them(path: Path) -> None:
    # 说明里以「# cat 与…」开头的，jupytext 当成魔法命令，多去掉一个井号
    theirs = [(k, t, s.removeprefix("cat ")) for k, t, s in _theirs(path.read_text("utf-8"))]
    assert [(k, t, s.removeprefix("# cat ")) for k, t, s in _ours(cells.parse(path))] == theirs


def test_reading_takes_a_tenth_of_what_jupytext_takes() -> None:
    def seconds(read: Callable[[Path], object]) -> float:
        began = time.process_time()
        for path in FILES:
            read(path)
        return time.process_time() - began

    trees = {path: cells.syntax_tree(path, path.read_text("utf-8")) for path in FILES}
    with pytest.MonkeyPatch.context() as patch:  # 算指纹也要语法树，只解析一次，不算在读里
        patch.setattr(cells, "syntax_tree", lambda path, _: trees[path])
        ours = min(seconds(cells.parse) for _ in range(3))
    assert ours * 10 < min(seconds(jupytext.read) for _ in range(3))


STATEMENTS = st.sampled_from(
    [
        "x = 1",
        "print('一')",
        "def f(a, b=1):\n    # 注\n\n    return a",
        "class A:\n    '''文档'''\n\n    x = 1",
        's = """\n# %% 假的\n"""',
        "for i in range(3):\n    x += i",
        "# 只是注释",
        "y = [\n    1,\n]",
        "with open('x') as f:\n\tpass",
    ]
)
TITLES = st.text(st.sampled_from("甲乙 abcXYZ09（），:?-_"), min_size=1, max_size=9).map(str.strip)


@settings(deadline=None)
@given(st.dictionaries(TITLES.filter(bool), st.lists(STATEMENTS, min_size=1), max_size=5))
def test_made_up_files_read_as_jupytext_reads_them(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, list[str]]
) -> None:
    text = "\n".join(f"# %% {title}\n" + "\n".join(body) + "\n" for title, body in made.items())
    assert _ours(_read(tmp_path_factory.mktemp("cells"), text)) == _theirs(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n# %% 一\n", ":1 第一个标记之前有代码"),
        ('"""说明"""\n# %% 一\nx = 1\n', ":1 第一个标记之前有代码"),
        ("x = 1\n", ":1 第一个标记之前有代码"),
        ("# %% 一\n# %%time\nx = 1\n", ":2 「# %%time」有的工具会在这里分格"),
        ("# %% 一\n#%%二\nx = 1\n", ":2 「#%%二」有的工具"),
        ("# %% 一\nx = 1\n  # %% 二\n", ":3 「# %% 二」有的工具"),
        ("# %% 一\n# ％％ 二\nx = 1\n", ":2 「# ％％ 二」有的工具"),
        ("# %% 一\n# <codecell>\nx = 1\n", ":2 「# <codecell>」有的工具"),
        ("# %% 一\n# In[3]:\nx = 1\n", ":2 「# In[3]:」有的工具"),
        ("# %% 一\ndef f():\n    x = 1\n# %% 二\n    return x\n", ":4 分格的标记不能写在一条语句"),
        ("# %% 一\ndef f():\n    # %% 二\n    return 1\n", ":3 分格的标记不能写在一条语句"),
        ("# %% 一\nx = [\n# %% 二\n]\n", ":3 分格的标记不能写在一条语句"),
        ("# %% 一\n@f\n# %% 二\ndef g(): ...\n", ":3 分格的标记不能写在一条语句"),
        ("# %% 一\nx = 1 \\\n# %% 二\n", ":3 分格的标记不能写在一条语句"),
        ('# %% 一 tags=["x"]\nx = 1\n', ":1 标题里有「=」"),
        ('# %% 一 {"a": 1}\nx = 1\n', ":1 标题里有「{」"),
        ("# %% [html]\nx = 1\n", ":1 标题里有「[」"),
        ("# %% [markdown]\nx = 1\n", r":2 [markdown] 的一格里有代码"),
        ("# %% [markdown]\n# ```\n# %% 一\n# ```\n", ":1 说明里的代码块没有关上"),
        ("# %% 一\nx = 1\n# %% 二\nfrom __future__ import annotations\n", ":4 from __future__ 要"),
        (
            "# %% 一\n%matplotlib inline\n",
            ":2 单元格「一」有 Jupyter 的命令「%matplotlib inline」，Python 里没有它：删掉",
        ),
        ("# %% 一\nfiles = !ls\n", ":2 单元格「一」有 Jupyter 的命令「files = !ls」"),
        ("# %% 一\nos.getcwd?\n", ":2 单元格「一」有 Jupyter 的命令「os.getcwd?」"),
        ("# %% 一\nx = (1  # 为什么?\n", ":2 单元格「一」语法错误"),
        ("#%% md\n# 说明\n", ":1 「md」有的工具当它是说明"),
        ("# %% 一\nx = 1\n# %% 二\ny = (\n# %% 三\n", ":4 单元格「二」语法错误"),
        ("# %% 一\nx = 1\ry = 2\n", ":2 单元格「一」语法错误：有单独的回车符"),
        ("# %% 一\nx = " + "-" * 200_000 + "1\n", "语法错误"),
        (
            "# %%\nx = 1\n# %% a\n# %% a\n",
            ":2 单元格没有标题：写成「# %% 标题」；第 5 行单元格「a」重名",
        ),
    ],
)
def test_what_other_tools_read_differently_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SnippetError) as caught:
        _read(tmp_path, text)
    assert message in str(caught.value)


def test_comments_may_stand_before_the_first_cell(tmp_path: Path) -> None:
    text = "#!/usr/bin/env python\n# ---\n# jupyter: x\n# ---\n\n# %% 一\nx = 1\n"
    assert _ours(_read(tmp_path, text)) == [("code", "一", "x = 1")]


def test_futures_after_the_docstring_are_in_their_place(tmp_path: Path) -> None:
    text = "# %% 一\n'''文档'''\nfrom __future__ import annotations\n# %% 二\nx = 1\n"
    assert len(_read(tmp_path, text).cells) == 2


def test_a_doubtful_escape_is_no_warning_when_reading(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _read(tmp_path, "# %% 一\nx = '\\d' is 1\n").cells
