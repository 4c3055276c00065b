"""一个片段像一个 Python 程序那样运行，最后的表达式像 Jupyter 那样显示。"""

import ast
import re
import shutil
from pathlib import Path

import pytest

from rizhi.snippets import fence, recording
from rizhi.snippets import record as records
from rizhi.snippets import run as runner
from rizhi.snippets.cells import parse
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault

CASES = Path(__file__).parents[1] / "cases/snippets"


def _run(vault: Vault, text: str) -> runner.Run:
    path = vault.snippets / "topic.py"
    path.write_bytes(text.encode())
    return runner.run(vault, path)


def _texts(vault: Vault, text: str) -> list[str]:
    run = _run(vault, text)
    assert not run.error, run.error
    return [output.text for output in run.outputs]


PROGRAM = '''# %% 准备
"""这个程序的说明。"""
from __future__ import annotations

import inspect
import pickle
import sys
import traceback
import typing
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Node:
    """一个结点。"""

    value: int
    left: Node | None = None


# %% 名字
"""这不是文档字符串。"""
print(__name__, __doc__, Path(__file__).name, len(sys.argv), sys.modules["__main__"].Node is Node)
if __name__ == "__main__":
    print("当脚本跑")

# %% 泡菜
print(pickle.loads(pickle.dumps(Node(1, Node(2)))), Node.__module__)

# %% 源码
def twice(x: Later) -> Later:
    return 2 * x


print(inspect.getsource(Node).splitlines()[1], inspect.getsourcelines(twice)[1])

# %% 标注
class Later: ...


print(typing.get_type_hints(twice)["return"].__qualname__, Node.__annotations__["left"])

# %% 回溯
try:
    twice(None)  # 这一行
except TypeError:
    print(*traceback.format_exc().splitlines()[1:3], sep="\\n")
'''


def test_a_file_runs_as_one_program(vault: Vault) -> None:
    _, names, pickled, source, hints, trace = _texts(vault, PROGRAM)
    assert names == "__main__ 这个程序的说明。 topic.py 1 True\n当脚本跑\n"
    assert pickled == "Node(value=1, left=Node(value=2, left=None)) __main__\n"
    line = PROGRAM.splitlines().index("def twice(x: Later) -> Later:") + 1
    assert source == f"class Node: {line}\n"
    assert hints == "Later Node | None\n"
    at = PROGRAM.splitlines().index("    twice(None)  # 这一行") + 1
    assert re.search(rf'topic.py", line {at}, in <module>\n +twice\(None\)  # 这一行\n', trace)


def test_the_program_that_runs_is_the_one_that_was_read(vault: Vault) -> None:
    """BOM 与 CRLF 也一样；运行期间文件再存一次，回溯与源码还是正在跑的那一份。"""
    text = "\ufeff# %% 一\r\nimport inspect\r\ndef f():\r\n    return 1\r\n\r\n# %% 二\r\n"
    text += (
        "print(inspect.getsource(f))\r\ns = '''a\r\nb'''\r\nprint(s)\r\n\r\n# %% 三\r\n1 / 0\r\n"
    )
    run = _run(vault, text)
    assert run.outputs[1].text == "def f():\n    return 1\n\na\nb\n"
    assert "topic.py:13 单元格「三」出错：ZeroDivisionError" in run.error
    assert "    1 / 0\n" in run.error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return 1", "topic.py:4 单元格「二」出错：SyntaxError: 'return' outside function"),
        ("await f()", "topic.py:4 单元格「二」出错：SyntaxError: 'await' outside function"),
        ("exec('1 +')", "topic.py:4 单元格「二」出错：SyntaxError: invalid syntax"),
    ],
)
def test_what_only_the_compiler_sees_has_its_line(vault: Vault, line: str, message: str) -> None:
    assert message in _run(vault, f"# %% 一\nx = 1\n# %% 二\n{line}\n").error


SHOWN = {
    "1 + 1": "2\n",
    "x = 3\nx": "3\n",
    "'甲'": "'甲'\n",
    "print(1)\n2": "1\n2\n",
    "1;": "",
    "1 ;  # 注": "",
    "'甲乙' \\\n;": "",
    "(1); (2)": "2\n",
    "(\n  1\n)  # 注\n# 尾": "1\n",
    "None": "",
    "print()": "\n",
    "x = 1": "",
    "if True:\n    1": "",
    "def f(x: int = 1): ...\nf": "<function __main__.f(x: int = 1)>\n",
    "class A: ...\nA": "__main__.A\n",
    "list(range(30))": "[" + ",\n ".join(map(str, range(30))) + "]\n",
    "{3, 1, 2}": "{1, 2, 3}\n",
    "'_' in dir()": "False\n",
}


def test_the_last_expression_is_shown_as_jupyter_shows_it(vault: Vault) -> None:
    text = "".join(f"# %% {n}\n{body}\n" for n, body in enumerate(SHOWN))
    assert dict(zip(SHOWN, _texts(vault, text), strict=True)) == SHOWN


def test_the_value_shown_last_is_called_underscore(vault: Vault) -> None:
    text = "# %% 一\n40 + 2\n# %% 二\n7;\nNone\n# %% 三\n_ + 1\n# %% 四\n_ = 'x'\n1\n# %% 五\n_\n"
    assert _texts(vault, text) == ["42\n", "", "43\n", "1\n", "'x'\n"]


def test_a_value_that_cannot_be_shown_is_an_error_of_its_cell(vault: Vault) -> None:
    text = "# %% 一\nclass A:\n    def __repr__(self):\n        return 1 / 0\n\nA()\n"
    assert "topic.py:4 单元格「一」出错：ZeroDivisionError" in _run(vault, text).error


FIGURES = """# %% 开着的
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
fig
# %% 关掉的
ax.plot([1, 2]);
fig
# %% 没有经过 pyplot 的
from matplotlib.figure import Figure
Figure()
# %% 不看
fig;
"""


def test_a_figure_at_the_end_is_shown_once(vault: Vault) -> None:
    run = _run(vault, FIGURES)
    assert not run.error, run.error
    assert [(out.text, len(out.figures)) for out in run.outputs] == [("", 1)] * 3 + [("", 0)]


def test_comments_that_look_like_magic_are_comments(vault: Vault) -> None:
    path = vault.snippets / "magic_words.py"
    shutil.copy(CASES / "magic_words.py", path)
    recording.record(vault, path)
    loaded = records.load(vault, path)
    assert loaded.state == "fresh" and loaded.record
    assert loaded.record.outputs[0].text == "[1, 2]\n"
    first = loaded.source.code_cells[0]
    lines = path.read_text("utf-8").splitlines()
    assert first.source.splitlines() == lines[1:6]
    html = fence.fences(fence.Context(vault))["snippet"]("magic_words:说明")
    assert "# cat 不新建维度，stack 新建一维" in html and "# %matplotlib 开头的注释" in html
    assert "# cat 不新建维度" in to_notebook(parse(path), loaded.record)
    ast.parse(fence.copied(loaded.source)[0])


# 别人的习惯里有的，这里许的或不许的；不许的说出怎么办
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import asyncio\nawait asyncio.sleep(0)", "topic.py:3 .*asyncio.run"),
        ("x = [i async for i in y]", "topic.py:2 .*asyncio.run"),
        ("import sys\nsys.exit(0)", "topic.py:3 .*去掉 exit"),
        ("import unittest\nunittest.main()", "topic.py:3 .*exit=False"),
        ("import sys\nsys.stdin.readline()", "topic.py:3 .*没有人打字"),
        ("import sys\nfor line in sys.stdin:\n    print(line)", "topic.py:3 .*没有人打字"),
        ("import pdb\npdb.set_trace()\nx = 1", "topic.py:.*断点去掉"),
        (
            "from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('bert-base')",
            "(?s)topic.py:3 .*由配置造一个小模型",
        ),
    ],
)
def test_what_a_snippet_may_not_do_comes_with_a_remedy(
    vault: Vault, body: str, message: str
) -> None:
    error = _run(vault, f"# %% 一\n{body}\n").error
    assert re.search(message, error), error


def test_a_typed_answer_may_be_given_by_the_snippet_itself(vault: Vault) -> None:
    body = "import io, sys\nsys.stdin = io.StringIO('1 2')\nprint(next(sys.stdin).split())"
    assert _texts(vault, f"# %% 一\n{body}\n") == ["['1', '2']\n"]


def test_seed_is_fixed(vault: Vault) -> None:
    body = "# %% 一\nimport random, torch\nprint(random.random(), torch.rand(1).item())"
    assert _run(vault, body) == _run(vault, body)


def test_traceback_shows_only_our_frames(vault: Vault) -> None:
    (vault.root / "llm/__init__.py").touch()
    (vault.root / "llm/model.py").write_text("def f():\n    raise ValueError('形状')\n", "utf-8")
    error = _run(vault, "# %% 一\nfrom llm.model import f\nf()\n").error
    assert 'File "llm/model.py", line 2' in error and str(vault.root) not in error
    assert "child.py" not in error
