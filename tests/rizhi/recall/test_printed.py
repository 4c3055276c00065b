"""题面不说出答案，答得出；打的字像记录那样比，指出差在哪里，不说出记录。"""

import bisect
import colorsys
import difflib
import doctest
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

from rizhi.recall import printed
from rizhi.recall.printed import difference, masked
from rizhi.snippets.cells import parse

SNIPPET = '''
# %% 先
import math

xs = [3, 1, 2]
unused = [math.pi]


def double(x):
    """翻倍。"""
    return [2 * v for v in x]


# %% 改
xs.sort()
print("先印一行", xs)
ys = double(xs)

# %% 问
print(ys, xs)  # 排过了，翻倍：[2, 4, 6] [1, 2, 3]
assert ys == [2, 4, 6]

# %% 坏 排序返回 None
def wrong(x):
    """错的写法：sort 就地排，返回 None。"""
    return x.sort()


print(wrong([2, 1]))

# %% 坏 太深
try:
    double(None)
except TypeError as error:
    print(error)
else:
    raise AssertionError("应当报错")

# %% 坏 只看类型
try:
    double(None)
except TypeError as error:
    print(type(error).__name__)

# %% 量
print(f"{math.sqrt(2):.3f}")

# %% 检验
print(xs)
'''


@pytest.fixture
def puzzles(tmp_path: Path) -> dict[str, printed.Puzzle | None]:
    path = tmp_path / "one.py"
    path.write_text(SNIPPET, "utf-8")
    snippet = parse(path)
    says = {"量": "1.414\n", "坏 太深": "'NoneType' object is not iterable\n"}
    return {
        cell.title: printed.puzzle(snippet, cell, says.get(cell.title, "[1]\n"))
        for cell in snippet.code_cells
    }


def test_what_the_cell_uses_is_given_and_what_tells_is_hidden(
    puzzles: dict[str, printed.Puzzle | None],
) -> None:
    """用到的名字怎样来、怎样改过都给；注释、断言、文档字符串、没有用到的不给。"""
    asked = puzzles["问"]
    assert asked and asked.sure
    assert asked.face == (
        "xs = [3, 1, 2]\ndef double(x):\n    return [2 * v for v in x]\nxs.sort()\n"
        "ys = double(xs)\n\nprint(ys, xs)"
    )


def test_only_the_last_way_a_name_came_about_is_given(tmp_path: Path) -> None:
    """同一个名字用过几遍：最近一次从头定下之前的、题面自己先定下的，都不相干。"""
    path = tmp_path / "one.py"
    path.write_text(
        """
# %% 先
x = 1
total = 0
for i in range(3):
    total += i
def unused():
    return x

# %% 又
x = [5]
for x2 in [1, 2]:
    y = x + [x2]
try:
    z = int("a")
except ValueError as error:
    z = len(str(error))
k = 9

# %% 问
k = total
for i in range(2):
    y2 = y
    k += i
print(k, y2)
""",
        "utf-8",
    )
    snippet = parse(path)
    asked = printed.puzzle(snippet, snippet.code_cells[-1], "4 [5, 2]\n")
    assert asked and asked.sure
    given, _, _ = asked.face.partition("\n\n")
    assert given == (
        "total = 0\nfor i in range(3):\n    total += i\n"
        "x = [5]\nfor x2 in [1, 2]:\n    y = x + [x2]"
    )
    namespace: dict[str, object] = {}
    exec(asked.face, namespace)  # noqa: S102  给的够不够，跑一遍就知道
    assert (namespace["k"], namespace["y2"]) == (4, [5, 2])


def test_a_bad_cell_is_never_asked_without_what_it_uses(tmp_path: Path) -> None:
    """自己评的也把用到的给全；太长给不全的就不问。"""
    for rows, asked in ((20, True), (40, False)):
        body = "".join(f"    x = x + {n}\n" for n in range(rows))
        path = tmp_path / "one.py"
        cells = f"\n# %% 先\ndef f(x):\n{body}    return x\n\n# %% 坏 差一\nprint(f(0.1))\n"
        path.write_text(cells, "utf-8")
        snippet = parse(path)
        made = printed.puzzle(snippet, snippet.code_cells[-1], "190.1\n")
        assert bool(made) == asked
        assert not made or ("def f(x):" in made.face and not made.sure)


def test_a_bad_cell_hides_its_title_and_the_words_that_name_the_mistake(
    puzzles: dict[str, printed.Puzzle | None],
) -> None:
    bad = puzzles["坏 排序返回 None"]
    assert bad and bad.sure and "None" not in bad.face and "就地" not in bad.face


def test_what_nobody_can_guess_is_judged_by_himself_or_not_asked(
    puzzles: dict[str, printed.Puzzle | None],
) -> None:
    """异常的原话：坏格子自己评；量出来的小数：不问；检验不问。"""
    message, kind = puzzles["坏 太深"], puzzles["坏 只看类型"]
    assert message and not message.sure and "应当报错" not in message.face
    assert kind and kind.sure
    assert puzzles["量"] is None and puzzles["检验"] is None


def test_a_body_that_is_only_a_docstring_or_asserts_stays_code() -> None:
    source = 'def f():\n    """只有说明"""\n\n\nwith x:\n    assert y\ng = lambda: 1 if y else 2\n'
    compile(masked(source), "", "exec")


@pytest.mark.parametrize(
    ("source", "recorded", "typed"),
    [
        ("print(1)", "tensor([1.0000, 2.0000])", "tensor([1.0000,2.0000])"),
        ("print(1)", "[1, 2] (3,)", "［1，2］ （3，）".translate({0xFF3B: "[", 0xFF3D: "]"})),
        ("print('形状:', x.shape)", "形状: (2, 3)", "(2, 3)"),
        ("print(f'头 {h}，尾 {t}')", "头 1，尾 2", "1 2"),
        ("print(x)", "[[1, 0],\n [0, 1]]", "[[1, 0], [0, 1]]"),
        ("print(x)", "0.3333", "0.33333"),
        ("print(x)", "  a  b", "a b"),
    ],
)
def test_an_answer_that_means_the_same_is_right(source: str, recorded: str, typed: str) -> None:
    assert difference(source, recorded, typed) == ""


@pytest.mark.parametrize(
    ("source", "recorded", "typed", "said"),
    [
        ("print(x)", "1 2", "12", "第 1 行不一样。"),
        ("print(x)", "True", "", "应是 1 行，你写了 0 行。"),
        ("print(x)", "1\n2", "1", "应是 2 行，你写了 1 行。"),
        ("print(x)", "1\n[2, 3]", "1\n[2, 4]", "第 2 行写到「[2,」都对，后面不一样。"),
        ("print('a' if x else 'b')", "a", "b", "第 1 行不一样。"),
        ("print('只有字')", "只有字", "x", "第 1 行不一样。"),
    ],
)
def test_a_wrong_one_is_told_where_and_not_the_answer(
    source: str, recorded: str, typed: str, said: str
) -> None:
    assert difference(source, recorded, typed) == said


def _examples() -> list[tuple[str, str]]:
    """标准库的文档里的例子：别人写的代码与它打印的。"""
    finder, found = doctest.DocTestFinder(), list[tuple[str, str]]()
    for module in (difflib, bisect, textwrap, colorsys):
        tests = (test for test in finder.find(module) if test.examples)
        found += [(e.source, e.want) for test in tests for e in test.examples if e.want.strip()]
    return found


def test_on_other_peoples_examples_only_the_same_output_is_right() -> None:
    examples = _examples()
    assert len(examples) > 40
    for (source, want), (_, other) in pairwise(examples):
        assert difference(source, want, want) == ""
        assert (difference(source, want, other) == "") == (want.split() == other.split())
