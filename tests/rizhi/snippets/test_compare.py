"""两次输出比一比：末位之差容得下，别的不容。"""

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
