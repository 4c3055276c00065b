"""分层摆图：边都往下，结点不重叠，线不穿过结点，同样的图摆得相同。"""

from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi.site.layers import TRUNK, WIDE, Drawing, Edge, acyclic, drawing, reduced

COUNT = 12
EDGES = st.lists(st.tuples(*[st.integers(0, COUNT - 1)] * 2), max_size=30)


def _reach(edges: list[Edge]) -> set[Edge]:
    """走得到的每一对。"""
    pairs = set(edges)
    while more := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs |= more
    return pairs


@given(EDGES)
def test_a_circle_is_broken_with_as_few_edges_as_come_last(edges: list[Edge]) -> None:
    kept, refused = acyclic(edges)
    assert sorted(kept + refused) == sorted(edges)
    reached = _reach(kept)
    assert all(a != b for a, b in reached)
    assert all(a == b or (b, a) in reached for a, b in refused)


@given(EDGES)
def test_reduced_edges_lead_to_the_same_and_none_is_to_spare(edges: list[Edge]) -> None:
    kept, _ = acyclic(edges)
    fewer = reduced(kept)
    assert _reach(fewer) == _reach(kept)
    assert all((a, b) not in _reach([e for e in fewer if e != (a, b)]) for a, b in fewer)


def _check(drawn: Drawing, edges: list[Edge]) -> None:
    for n, m in combinations(range(len(drawn.places)), 2):
        (x, layer), (y, other) = drawn.places[n], drawn.places[m]
        assert layer != other or abs(x - y) > 0.999, (n, m)
    for a, b in edges:
        route = drawn.routes[a, b]
        assert (route[0], route[-1]) == (drawn.places[a], drawn.places[b])
        assert all(below - above == 1 for (_, above), (_, below) in pairwise(route))
        for x, layer in route[1:-1]:  # 经过别的层，从结点之间下去
            near = [abs(x - other) for other, at in drawn.places if at == layer]
            assert all(gap > 0.5 + TRUNK / 2 - 0.0015 for gap in near)  # 横坐标各留三位小数
    assert all(0.499 < x < drawn.width - 0.499 for x, _ in drawn.places)
    assert all(0 <= layer < drawn.height for _, layer in drawn.places)


@given(EDGES)
def test_edges_go_down_and_nothing_overlaps(edges: list[Edge]) -> None:
    fewer = reduced(acyclic(edges)[0])
    drawn = drawing(COUNT, fewer)
    _check(drawn, fewer)
    assert drawn == drawing(COUNT, fewer)


def test_two_hundred_notes_stay_narrow() -> None:
    """随机的两百篇、一篇有一百个后续的、二十串互不相干的。"""
    random = Random(19)
    sparse = [(random.randrange(max(0, n - 30), n), n) for n in range(1, 200) for _ in range(2)]
    star = [(0, n) for n in range(1, 101)]
    chains = [(n, n + 1) for n in range(200) if n % 10 != 9]
    for count, edges in ((200, sparse), (101, star), (201, chains)):
        fewer = reduced(edges)
        drawn = drawing(count, fewer)
        _check(drawn, fewer)
        assert drawn.width < 5 * WIDE


@pytest.mark.parametrize("edges", [[(0, 3), (1, 2)], [(0, 2), (0, 3), (1, 2), (1, 3)]])
def test_crossings_are_avoided_where_they_can_be(edges: list[Edge]) -> None:
    places = drawing(4, edges).places
    crossed = [
        ((a, b), (c, d))
        for (a, b), (c, d) in combinations(edges, 2)
        if (places[a][0] - places[c][0]) * (places[b][0] - places[d][0]) < 0
    ]
    assert len(crossed) == (len(edges) == 4)


def test_nothing_to_draw_is_no_error() -> None:
    assert drawing(0, []) == Drawing((), {}, 0.0, 0)
