"""两次输出比一比：末位之差容得下，别的不容。"""

import time

import pytest

from rizhi.snippets.cells import CellOutput
from rizhi.snippets.compare import compare


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("tensor([0.1234])", "tensor([0.1235])", True),  # 末位之差
        ("tensor([0.1234])", "tensor([0.1239])", False),
        ("1.0e-07", "1.0e-07", True),
        ("shape (2, 3)", "shape (2, 4)", False),  # 整数逐字比
        ("True", "False", False),
        ("1.5 2.5", "1.5", False),
        ("-0.5000", "0.5000", False),
        ("123456.0", "123457.0", True),  # 相对万分之一以内
        ("nan", "nan", True),
        ("nan", "0.5", False),
        ("inf", "-inf", False),
        ("1.5", "#", False),
        ("1.0e999", "1.5e999", False),
    ],
)
def test_compare_text(old: str, new: str, same: bool) -> None:
    difference = compare(CellOutput("a", old), CellOutput("a", new))
    assert (difference == "") is same
    if not same:
        assert f"-{old}" in difference and f"+{new}" in difference


def test_compare_counts_figures() -> None:
    assert "记录 1 张，实际 0 张" in compare(CellOutput("a", "", ("<svg/>",)), CellOutput("a"))
    assert compare(None, CellOutput("a")) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tensor([[ 0.0000,", "tensor([[-0.0000,"),
        ("tensor([[0.0000, 1.0000],", "tensor([[-0.0000,  1.0000],"),
        ("[0. 1.]", "[-0.  1.]"),
        ("tensor([   nan, 0.0000])", "tensor([    nan, -0.0000])"),
        ("w   0.0000\n", "w  -0.0000\n"),  # f"w {x:8.4f}"
        ("0.0000  |", "-0.0000 |"),  # f"{x:<8.4f}|"
        ("[0.12345678 0.1       ]", "[0.1234568 0.1      ]"),  # numpy 在后面补
        ("[ 9.9999,  1.0000]", "[10.0000,  1.0000]"),
    ],
)
def test_padding_may_change_with_the_width_of_a_number(old: str, new: str) -> None:
    assert compare(CellOutput("a", old), CellOutput("a", new)) == ""
    assert compare(CellOutput("a", new), CellOutput("a", old)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[0.0000, 1.0000]", "[ 0.0000,  1.0000]"),  # 没有一个数换了宽度
        ("[ 0.0000]\n", "[-0.0000]"),
        ("[ 0.0000] x", "[-0.0000]  x"),  # 空格不在数的旁边
        ("[ 0.0000] 1", "[-0.0000]  1"),  # 整数旁边的也不算
        ("x 0.0000", "x-0.0000"),
        ("[ 0.0000 x]", "[-0.0000x]"),
        ("[ 0.0000,\n1.0000]", "[-0.0000, 1.0000]"),
        ("[ 0.0000, 1.0000]", "[-0.0000, 1.5000]"),
        ("[ 0.0000, 1.0000]", "[-0.0000, -1.0000]"),
        ("[ 1.0000]", "[-1.0000]"),
    ],
)
def test_nothing_else_is_compared_more_loosely(old: str, new: str) -> None:
    assert compare(CellOutput("a", old), CellOutput("a", new))
    assert compare(CellOutput("a", new), CellOutput("a", old))


def test_a_matrix_that_torch_widens_for_minus_zero_is_the_same() -> None:
    import torch

    plain = torch.tensor([[0.0, 1.25], [float("nan"), 3.0]])
    signed = torch.tensor([[-0.0, 1.25], [float("nan"), 3.0]])
    assert len(str(plain)) != len(str(signed))
    assert compare(CellOutput("a", f"{plain}\n"), CellOutput("a", f"{signed}\n")) == ""
    moved = torch.tensor([[-0.0, 1.25], [3.0, float("nan")]])
    assert compare(CellOutput("a", f"{plain}\n"), CellOutput("a", f"{moved}\n"))


@pytest.mark.parametrize("body", [" ", "1", "1 ", "- ", "1. ", "1.0  x", "1.0 -", "nan "])
def test_comparing_takes_linear_time(body: str) -> None:
    text = body * (60_000 // len(body))
    begun = time.perf_counter()
    compare(CellOutput("a", f"{text}x"), CellOutput("a", f"{text}y"))
    assert time.perf_counter() - begun < 2


def test_compare_tells_stderr_apart() -> None:
    difference = compare(CellOutput("a", stderr="旧\n"), CellOutput("a", stderr="新\n"))
    assert "--- 记录（stderr）" in difference and "+新" in difference
    assert compare(CellOutput("a", stderr="1.00000\n"), CellOutput("a", stderr="1.00001\n")) == ""
