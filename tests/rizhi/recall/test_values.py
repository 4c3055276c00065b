"""两个值差在哪里：形状、类型、数、梯度、对象的每一层；舍入差一点不算，说得出头一处。"""

import copy
import enum
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rizhi.recall import replay
from rizhi.recall.values import Describer, TooLargeError, difference, place, symptom

ROOM = 1 << 20


def between(want: Any, got: Any) -> str:
    describer = Describer(ROOM)
    return difference(describer.leaves(want), describer.leaves(got))


@dataclass
class Point:
    x: int
    y: Any = None


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: int) -> None:
        self.a = a


class Colour(enum.Enum):
    RED = 1


def looped() -> list[Any]:
    inside: list[Any] = [1]
    inside.append(inside)
    return inside


ONE = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("want", "got", "said"),
    [
        (torch.ones(2, 5, 16), torch.ones(2, 5, 8), "你得到 (2, 5, 8)，应是 (2, 5, 16)"),
        (torch.ones(3), torch.ones(()), "你得到 ()，应是 (3,)"),
        (ONE, ONE.half(), "你得到 float16，应是 float32"),
        (ONE, ONE + torch.eye(2, 3), "形状对，数不对：[0, 0] 你得到 2，应是 1"),
        (ONE.bool(), ~ONE.bool(), "形状对，数不对：[0, 0] 你得到 0，应是 1"),
        (torch.arange(3), torch.tensor([0, 1, 3]), "形状对，数不对：[2] 你得到 3，应是 2"),
        (ONE.bfloat16(), ONE.bfloat16() * 1.5, "形状对，数不对：[0, 0] 你得到 1.5，应是 1"),
        (ONE.requires_grad_(False), ONE.clone().requires_grad_(), "你的带着梯度，应不带"),
        (ONE, ONE.to("meta"), "形状对，却有一边没有数"),
        (np.ones(2), np.zeros(2), "形状对，数不对：[0] 你得到 0，应是 1"),
        (ONE, None, "你得到 None，应是 形状 (2, 3) 的 float32"),
        (1, True, "你得到 True，应是 1"),
        (1.0, 1, "你得到 1，应是 1.0"),
        ([1, 2], [1, 3], "[1] 你得到 3，应是 2"),
        ([1, 2], (1, 2), "你得到 2 项的 tuple，应是 2 项的 list"),
        ([1, 2], [1], "你得到 1 项的 list，应是 2 项的 list"),
        ({"a": 1}, {"b": 1}, "a 你没有，应是 1"),
        ({1}, {2}, "{} "),
        (Point(1), Point(2), "x 你得到 2，应是 1"),
        (Point(1, [ONE]), Point(1, [ONE * 2]), "y[0] 形状对，数不对"),
        (Slotted(1), Slotted(2), "a 你得到 2，应是 1"),
        (Colour.RED, 1, "你得到 1，应是"),
        (deque([1]), deque([2]), "[0] 你得到 2，应是 1"),
        (len, max, "你得到 max，应是 len"),
        (SimpleNamespace(a=1), SimpleNamespace(a=1, b=2), "b 你多了 2"),
    ],
)  # fmt: skip
def test_the_first_difference_is_said(want: Any, got: Any, said: str) -> None:
    assert between(want, got).startswith(said)


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (ONE, ONE * (1 + 1e-6)),
        (ONE.double(), ONE.double() * (1 + 1e-8)),
        (ONE.bfloat16(), ONE.bfloat16() + 2**-7),
        (torch.tensor([4.0, 0]).bfloat16(), torch.tensor([4.0, 0.03]).bfloat16()),
        (0.1 + 0.2, 0.3),
        (math.nan, math.nan),
        (torch.tensor([math.nan, math.inf]), torch.tensor([math.nan, math.inf])),
        (ONE.T, ONE.T.contiguous()),
        (torch.ones(1, 3).expand(2, 3), ONE),
        (looped(), looped()),
        ({1, 2}, {2, 1}),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (torch.float32, torch.float32),
        (nn.Linear(2, 2).eval().train(), None),
    ],
)
def test_what_differs_by_rounding_or_layout_is_the_same(want: Any, got: Any) -> None:
    if isinstance(want, nn.Module):
        got = nn.Linear(2, 2)
        got.load_state_dict(want.state_dict())
    assert between(want, got) == ""


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (torch.tensor([4.0, 0]).bfloat16(), torch.tensor([4.0, 0.04]).bfloat16()),
        (torch.tensor([4.0, 0]), torch.tensor([4.0, 2e-5])),
        (ONE, ONE * (1 + 1e-4)), (torch.tensor([math.inf]), torch.tensor([1e38])), (0.0, math.nan),
    ],
)  # fmt: skip
def test_what_differs_by_more_is_not(want: Any, got: Any) -> None:
    assert between(want, got)


def test_a_hook_and_an_empty_attribute_of_a_module_are_seen() -> None:
    plain, hooked, marked = nn.Identity(), nn.Identity(), nn.Identity()
    hooked.register_forward_hook(lambda *_: None)
    marked.seen = {}
    assert between(plain, nn.Identity()) == ""
    assert between(plain, hooked) and between(plain, marked)


def test_a_gradient_left_on_a_parameter_is_seen() -> None:
    one, two = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    two.sum().backward()
    assert between(one, two) == "grad 你多了 形状 (2,) 的 float32"


def test_a_place_reads_as_in_the_code() -> None:
    written = "['self'].layers._modules['0']._parameters['weight']"
    assert place(written) == "self.layers.0.weight"


def test_too_large_is_not_written() -> None:
    with pytest.raises(TooLargeError):
        Describer(ROOM).leaves(torch.zeros(1 << 20))


def test_the_same_mistake_written_otherwise_has_the_same_symptom() -> None:
    x = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    describer = Describer(ROOM)
    one, two = (x * x).mean(-1), x.flip(-1).pow(2).cumsum(-1)[:, -1] / 1000
    assert not torch.equal(one, two)
    seen = [symptom(describer.leaves(value)) for value in (one, two, one * 1.01)]
    assert seen[0] == seen[1] != seen[2]


def test_what_is_patched_later_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    describer = Describer(ROOM)
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: ONE)
    monkeypatch.setattr(torch, "equal", lambda *_: True)
    leaf = describer.leaves(ONE * 3)
    monkeypatch.undo()
    assert difference(describer.leaves(ONE), leaf)


def test_a_fingerprint_is_of_what_is_there_not_of_where_it_lies() -> None:
    describer = Describer(ROOM)
    once, word = nn.Linear(3, 2), "".join(["ab", "cd"])
    again = copy.deepcopy(once)
    first = describer.leaves([once, word, word, {"n": 1.0}])
    second = describer.leaves([again, "abcd", "".join(["a", "bcd"]), {"n": 1.0}])
    assert describer.digest(first) == describer.digest(second)
    with torch.no_grad():
        again.weight[0, 0] = torch.nextafter(again.weight[0, 0], torch.tensor(9.0))
    assert describer.digest(describer.leaves([again, word, word, {"n": 1.0}])) != describer.digest(
        first
    )


def test_an_object_s_own_ways_of_looking_up_are_not_asked() -> None:
    class Proxy:
        def __init__(self, kept: int) -> None:
            self.kept = kept

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert "kept" in between(Proxy(1), Proxy(2)) and not between(Proxy(1), Proxy(1))


def test_a_repr_that_fails_is_not_called() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    assert between(Odd(), Odd()) == "" and between(Path("a"), Path("b"))


def test_a_check_that_wants_every_bit_allows_rounding_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.testing, "assert_close", torch.testing.assert_close)
    replay._allow_rounding()
    torch.testing.assert_close(ONE, ONE * (1 + 1e-7), rtol=0, atol=0)
    for other, atol in ((ONE * 1.001, 0), (ONE * 1.1, 0.05)):
        with pytest.raises(AssertionError):
            torch.testing.assert_close(ONE, other, rtol=0, atol=atol)
