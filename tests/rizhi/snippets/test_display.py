"""值怎样显示：以 IPython.lib.pretty 为准。"""

import re
from collections import Counter, OrderedDict, UserList, defaultdict, deque
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.lib.pretty import pretty as theirs
from torch import nn

from rizhi.snippets.display import pretty


class Plain:
    """没有自己的 __repr__。"""


class Lines:
    def __repr__(self) -> str:
        return "第一行\n第二行"


class Sub(dict):
    """没有自己的 __repr__ 的字典。"""


def _cycles() -> list[Any]:
    row: list[Any] = [1]
    row.append(row)
    table: dict[str, Any] = {}
    table["自己"] = table
    return [row, table, deque([row]), (table,)]


net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
VALUES = [
    *_cycles(),
    *(list(range(n)) for n in (0, 1, 26, 27, 28, 100, 1000, 1001)),
    *(tuple(range(n)) for n in (0, 1, 2, 40)),
    *(set(range(n)) for n in (0, 1, 40, 1200)),
    frozenset(),
    frozenset("ab"),
    {"b", 1, None},
    {"甲": list(range(30)), "乙": {"丙": "x" * 90}},
    {"loss": 0.5, "grad": torch.zeros(4, 4)},
    [torch.zeros(2), torch.ones(3, 3)],
    (torch.zeros(3, 3), None),
    torch.randn(30, 30),
    torch.Size([1, 2]),
    torch.float32,
    net,
    net.state_dict(),
    dict(net.named_parameters()),
    [Lines(), Lines()],
    {"k": Lines()},
    OrderedDict(),
    OrderedDict(a=1),
    defaultdict(list, a=[1] * 40),
    Counter("hello world"),
    Counter(),
    deque([1, 2], maxlen=3),
    deque("x" * 30),
    UserList([1]),
    MappingProxyType({"a": 1}),
    SimpleNamespace(a=1, b="x" * 40, c="y" * 40),
    Sub(a=1),
    ValueError("甲", 2),
    KeyError(),
    int,
    Plain,
    len,
    print,
    _cycles,
    range(3),
    True,
    1.5,
    float("nan"),
    "甲\n乙",
    b"a",
    None,
    ...,
    slice(1, 2),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_shown_as_ipython_shows_them(value: object) -> None:
    assert pretty(value) == theirs(value)


def test_an_object_without_words_of_its_own_shows_its_address() -> None:
    assert re.fullmatch(r"<.*Plain at 0x[0-9a-f]+>", pretty(Plain()))


LEAVES = st.one_of(
    st.integers(),
    st.booleans(),
    st.none(),
    st.text("甲ab\n'", max_size=60),
    st.floats(),
    st.binary(max_size=9),
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=12),
        st.lists(inner, max_size=12).map(tuple),
        st.dictionaries(st.text("abc", max_size=30), inner, max_size=8),
        st.lists(inner, max_size=6).map(deque),
        st.sets(st.integers(), max_size=30),
        st.dictionaries(st.sampled_from("abcdef"), inner).map(lambda d: SimpleNamespace(**d)),
    ),
    max_leaves=60,
)


@settings(deadline=None)
@given(NESTED)
def test_nested_containers_break_where_ipython_breaks_them(value: object) -> None:
    assert pretty(value) == theirs(value)
