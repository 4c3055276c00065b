"""突变器：每一种都造得出，只动那一处，行号不变；别人写的代码也改得动。"""

import ast
import heapq
import textwrap
from pathlib import Path

import pytest

from rizhi.recall.mutants import chosen, mutants, stubs

ROOT = Path(__file__).resolve().parents[3]
LLM = sorted((ROOT / "llm").rglob("*.py"))


def texts(body: str, kind: str = "") -> list[str]:
    """一个函数体的突变，只要其中一种。"""
    source = f"import torch\n\n\ndef f(x, y=None):\n{textwrap.indent(body, '    ')}\n"
    return [mutant.text for mutant in mutants(source, "f") if kind in ("", mutant.kind)]


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("return x < y", "比较", ["return x «< → <=» y"]),
        ("return x + y", "运算", ["return x «+ → -» y"]),
        ("return -x", "运算", ["return «- → »x"]),
        ("return x.sum(1, dim=-1)", "常量", [
            "return x.sum(«1 → 2», dim=-1)", "return x.sum(1, dim=-«1 → 2»)",
        ]),
        ("return x[1:y]", "切片", ["return x[«1 → »:y]", "return x[1:«y → »]"]),
        ("return ~x", "取反", ["return «~ → »x"]),
        ("if x:\n    return y", "取反", ["« → not»x"]),
        ("y = x\ny = y.float()", "去掉一句", ["去掉 y = x", "去掉 y = y.float()"]),
        ("z = x\nreturn z", "去掉一句", []),  # 头一次赋值，去掉就是 NameError
        ("return g(x, dim=y)", "去掉参数", ["return g(x«, dim=y → »)"]),
        ("return {1: x, 2: y}", "去掉参数", [
            "return {«1: x, → »2: y}", "return {1: x«, 2: y → »}",
        ]),
        ("return g(x, y)", "对调", ["return g(«x, y → y, x»)"]),
        ("return [x, y]", "对调", ["return [«x, y → y, x»]"]),
        ("return x.t()", "去掉一层", ["return x«.t() → »"]),
        ("return torch.relu(x)", "去掉一层", ["return «torch.relu(x) → x»"]),
        ("return g(x, x)", "对调", []),
    ],
)  # fmt: skip
def test_each_kind(body: str, kind: str, expected: list[str]) -> None:
    assert texts(body, kind) == expected


@pytest.mark.parametrize(
    "body",
    ['"""说明 1 < 2。"""', "z: Tuple[int, 1 + 2]", 'return f"{x + 1}"', 'return "a"'],
    ids=["docstring", "annotation", "f-string", "text"],
)
def test_what_has_no_behaviour_is_left_alone(body: str) -> None:
    assert texts(body) == []


def test_messages_of_errors_are_left_alone() -> None:
    assert texts("raise ValueError(x + 1)") == ["去掉 raise ValueError"]


def test_the_arguments_of_min_and_max_are_not_swapped() -> None:
    assert texts("min(x, y)", "对调") == []
    assert texts("pow(x, y)", "对调") == ["pow(«x, y → y, x»)"]


def test_an_alias_of_types_gets_narrower() -> None:
    source = "P = Optional[Union[int, str]]\n"
    assert [mutant.source for mutant in mutants(source, "P")] == [
        "P = (Union[int, str])\n",
        "P = Optional[(Union[int,])]\n",
    ]


def test_a_class_loses_a_method_with_its_decorator() -> None:
    source = "class A:\n    @property\n    def b(self):\n        return 1\n\n    c = 2\n"
    made = {mutant.text: mutant for mutant in mutants(source, "A")}
    gone = made["去掉 def b(self):"]
    assert gone.source == "class A:\n    pass\n\n\n\n    c = 2\n" and gone.function == ""
    assert made["return «1 → 2»"].function == "A.b"


def test_a_stub_keeps_the_docstring_and_the_lines() -> None:
    source = 'def f(x):\n    """说明。"""\n    y = x\n    return y  # 形状\n\n\nz = 1\n'
    (stub,) = stubs(source, "f")
    assert stub.source == (
        'def f(x):\n    """说明。"""\n    raise NotImplementedError\n  # 形状\n\n\nz = 1\n'
    )
    assert stub.function == "f"


def test_the_same_words_twice_are_told_apart() -> None:
    assert texts("x(1)\nx(1)", "常量") == ["x(«1 → 2»)", "x(«1 → 2»)（第 2 处）"]


def test_no_such_name() -> None:
    with pytest.raises(KeyError, match="B"):
        mutants("class A:\n    pass\n", "B")


@pytest.mark.parametrize(
    "path",
    [*LLM, *(Path(module.__file__ or "") for module in (heapq, textwrap))],
    ids=lambda path: path.name,
)
def test_real_code_changes_in_one_symbol_and_keeps_its_lines(path: Path) -> None:
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first = min(n.lineno for n in (node, *node.decorator_list)) - 1
        made = mutants(source, node.name)
        assert len({mutant.text for mutant in made}) == len(made)
        for mutant in (*chosen(made, 5), *stubs(source, node.name)):
            ast.parse(mutant.source)
            changed = mutant.source.splitlines()
            assert changed[:first] == lines[:first], mutant.text
            assert changed[node.end_lineno :] == lines[node.end_lineno :], mutant.text
            assert changed != lines and len(changed) == len(lines), mutant.text


def test_the_choice_covers_every_kind_and_survives_an_edit_elsewhere() -> None:
    source = (ROOT / "llm/model.py").read_text("utf-8")
    made = mutants(source, "causal_mask")
    few = chosen(made, 10)
    assert len(few) == 10 and {mutant.kind for mutant in few} == {mutant.kind for mutant in made}
    moved = mutants("x = 1\n" + source, "causal_mask")
    assert [mutant.text for mutant in chosen(moved, 10)] == [mutant.text for mutant in few]
