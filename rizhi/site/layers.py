"""有向图分层摆开：先修的在上，后续的在下，一条线不穿过别的结点；纯函数，同样的图摆得相同。

Sugiyama 的四步：断开环、分层、层内排序（重心法，取交叉最少的一次）、定横坐标。同一个结点往下走的
几条线共用一根干线，一篇有许多后续，画出来也不是一团。
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import accumulate, pairwise
from typing import NamedTuple

Edge = tuple[int, int]  # 前序、后继
Point = tuple[float, int]  # 横坐标是中心，一个结点宽 1；纵坐标是第几层
WIDE = 6  # 一层至多几个
TRUNK = 0.3  # 一根干线占的宽
SWEEPS = 12
STRAIGHT = 30  # 干线比别的线直几倍


class Vertex(NamedTuple):
    """一层里的一个：结点，或者一个结点的干线经过这一层的那一点。"""

    node: int
    layer: int
    trunk: bool = False

    @property
    def breadth(self) -> float:
        return TRUNK if self.trunk else 1


Links = set[tuple[Vertex, Vertex]]
Beside = Mapping[Vertex, Sequence[Vertex]]


@dataclass(frozen=True)
class Drawing:
    """摆好的图：每个结点的位置，画出来的每条线依次经过的几点，整张图的宽高。"""

    places: tuple[Point, ...]
    routes: Mapping[Edge, tuple[Point, ...]]
    width: float
    height: int


def acyclic(edges: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """依次收下不成环的边；另一个列表是收下就成环的。"""
    below: dict[int, set[int]] = {}
    kept, refused = [], []
    for above, node in edges:
        if above in _reach(below, node):
            refused.append((above, node))
        else:
            below.setdefault(above, set()).add(node)
            kept.append((above, node))
    return kept, refused


def reduced(edges: Sequence[Edge]) -> list[Edge]:
    """去掉别的路已经走得到的边；`edges` 不成环。"""
    below: dict[int, set[int]] = {}
    for above, node in edges:
        below.setdefault(above, set()).add(node)
    return [
        (above, node)
        for above, node in dict.fromkeys(edges)
        if not any(node in _reach(below, other) for other in below[above] - {node})
    ]


def drawing(count: int, edges: Sequence[Edge]) -> Drawing:
    """`count` 个结点与不成环的边；连在一起的几个摆成一块，大的在前，一排排放下去。"""
    pieces = [_piece(nodes, edges) for nodes in _connected(count, edges)]
    pieces.sort(key=lambda piece: (-piece.height, -len(piece.places)))
    room = max((piece.width for piece in pieces), default=0.0)
    places: dict[int, Point] = {}
    routes: dict[Edge, tuple[Point, ...]] = {}
    x, y, height = 0.0, 0, 0
    for piece in pieces:
        if x + piece.width > max(room, WIDE):
            x, y, height = 0.0, y + height, 0
        places |= {node: (x + at, y + layer) for node, (at, layer) in piece.places.items()}
        for edge, route in piece.routes.items():
            routes[edge] = tuple((x + at, y + layer) for at, layer in route)
        x, height = x + piece.width, max(height, piece.height)
        room = max(room, x)
    return Drawing(tuple(places[n] for n in range(count)), routes, room, y + height)


@dataclass(frozen=True)
class _Piece:
    places: Mapping[int, Point]
    routes: Mapping[Edge, tuple[Point, ...]]
    width: float
    height: int


def _reach(below: Mapping[int, Iterable[int]], start: int) -> set[int]:
    """从一个结点走得到的，连同它自己。"""
    seen, waiting = set[int](), [start]
    while waiting:
        if (node := waiting.pop()) not in seen:
            seen.add(node)
            waiting += below.get(node, ())
    return seen


def _connected(count: int, edges: Sequence[Edge]) -> list[list[int]]:
    beside: dict[int, list[int]] = {}
    for above, node in edges:
        beside.setdefault(above, []).append(node)
        beside.setdefault(node, []).append(above)
    found: list[list[int]] = []
    seen = set[int]()
    for node in range(count):
        if node not in seen:
            seen |= (piece := _reach(beside, node))
            found.append(sorted(piece))
    return found


def _piece(nodes: Sequence[int], edges: Sequence[Edge]) -> _Piece:
    inside = set(nodes)
    edges = [edge for edge in edges if edge[1] in inside]
    layer_of = _layers(nodes, edges)
    routes = {(a, b): _route(a, b, layer_of) for a, b in edges}
    links = {link for route in routes.values() for link in pairwise(route)}
    up, down = _beside(links)
    vertices = [Vertex(node, layer_of[node]) for node in nodes]
    vertices += [vertex for route in routes.values() for vertex in route]
    rows: list[list[Vertex]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for vertex in dict.fromkeys(vertices):
        rows[vertex.layer].append(vertex)
    at = _columns(_ordered(rows, up, down), up, down)
    return _Piece(
        {node: (at[Vertex(node, layer)], layer) for node, layer in layer_of.items()},
        {edge: tuple((at[v], v.layer) for v in route) for edge, route in routes.items()},
        max(x + vertex.breadth / 2 for vertex, x in at.items()),
        len(rows),
    )


def _layers(nodes: Sequence[int], edges: Sequence[Edge]) -> dict[int, int]:
    """每个结点在第几层：在前序之下，尽量贴着后继，一层至多 `WIDE` 个。"""
    above: dict[int, list[int]] = {node: [] for node in nodes}
    below: dict[int, list[int]] = {node: [] for node in nodes}
    for a, b in edges:
        above[b].append(a)
        below[a].append(b)
    order = list(TopologicalSorter(above).static_order())
    depth: dict[int, int] = {}
    for node in order:
        depth[node] = max((depth[a] + 1 for a in above[node]), default=0)
    for node in reversed(order):  # 没有前序的落到后继的上一层，线就短
        if below[node] and not above[node]:
            depth[node] = min(depth[b] for b in below[node]) - 1
    placed: dict[int, int] = {}
    taken: dict[int, int] = {}
    for node in sorted(order, key=lambda node: (depth[node], node)):
        layer = max([depth[node], *(placed[a] + 1 for a in above[node])])
        while taken.get(layer, 0) >= WIDE:
            layer += 1
        placed[node] = layer
        taken[layer] = taken.get(layer, 0) + 1
    names = {layer: n for n, layer in enumerate(sorted(taken))}
    return {node: names[layer] for node, layer in placed.items()}


def _route(above: int, node: int, layer_of: Mapping[int, int]) -> tuple[Vertex, ...]:
    """一条线依次经过的：前序、它的干线、后继。"""
    between = range(layer_of[above] + 1, layer_of[node])
    trunk = (Vertex(above, layer, trunk=True) for layer in between)
    return (Vertex(above, layer_of[above]), *trunk, Vertex(node, layer_of[node]))


def _beside(links: Links) -> tuple[Beside, Beside]:
    """每个在上一层、在下一层连着哪些。"""
    up: dict[Vertex, list[Vertex]] = {}
    down: dict[Vertex, list[Vertex]] = {}
    for above, node in sorted(links):
        up.setdefault(node, []).append(above)
        down.setdefault(above, []).append(node)
    return up, down


def _ordered(rows: Sequence[Sequence[Vertex]], up: Beside, down: Beside) -> list[list[Vertex]]:
    """层内排好次序：一遍往下、一遍往上，各按邻居的平均位置排，留下交叉最少的一次。"""
    now = [list(row) for row in rows]
    best, least = [list(row) for row in now], _crossings(now, down)
    for sweep in range(SWEEPS):
        near, numbers = (down, range(len(now) - 2, -1, -1)) if sweep % 2 else (up, range(len(now)))
        for n in numbers:
            place = {vertex: i for row in now for i, vertex in enumerate(row)}
            now[n].sort(key=lambda v: _middle([place[o] for o in near.get(v, ())], place[v]))
        if (crossed := _crossings(now, down)) < least:
            best, least = [list(row) for row in now], crossed
    return best


def _middle(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _crossings(rows: Sequence[Sequence[Vertex]], down: Beside) -> int:
    """相邻两层之间的线交叉几次。"""
    total = 0
    for row, after in pairwise(rows):
        place = {vertex: i for i, vertex in enumerate(after)}
        seen: list[int] = []
        for vertex in row:
            ends = sorted(place[node] for node in down.get(vertex, ()))
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _columns(rows: Sequence[Sequence[Vertex]], up: Beside, down: Beside) -> dict[Vertex, float]:
    """横坐标：各自靠近邻居的平均，又隔得开；干线尽量直；最左的从 0 起。"""
    offsets = [_offsets(row) for row in rows]
    at = {v: x for row, xs in zip(rows, offsets, strict=True) for v, x in zip(row, xs, strict=True)}
    for sweep in range(4 * SWEEPS):
        numbers = range(len(rows))
        for n in reversed(numbers) if sweep % 2 else numbers:
            wanted = [_pulled(vertex, up, down, at) for vertex in rows[n]]
            weights = [STRAIGHT if vertex.trunk else 1 for vertex in rows[n]]
            at |= dict(zip(rows[n], _apart(wanted, weights, offsets[n]), strict=True))
    left = min(x - vertex.breadth / 2 for vertex, x in at.items())
    return {vertex: round(x - left, 3) for vertex, x in at.items()}


def _pulled(vertex: Vertex, up: Beside, down: Beside, at: Mapping[Vertex, float]) -> float:
    """邻居把一个点拉到哪里；同一根干线上的拉得重。"""
    near = [*up.get(vertex, ()), *down.get(vertex, ())]
    weights = [STRAIGHT if vertex.trunk and other.trunk else 1 for other in near]
    total = sum(at[other] * weight for other, weight in zip(near, weights, strict=True))
    return total / sum(weights) if near else at[vertex]


def _offsets(row: Sequence[Vertex]) -> list[float]:
    """挨着排时各自的横坐标。"""
    return list(accumulate(((v.breadth + w.breadth) / 2 for v, w in pairwise(row)), initial=0.0))


def _apart(
    wanted: Sequence[float], weights: Sequence[int], offsets: Sequence[float]
) -> list[float]:
    """离想要的位置总共最近、又不重叠的位置：保序回归，违反次序的并成一段取平均。"""
    blocks: list[tuple[float, int, int]] = []  # 一段的平均、总的分量与个数
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, size = want - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, many = blocks.pop()
            mean = (before * heavy + mean * total) / (heavy + total)
            total, size = heavy + total, many + size
        blocks.append((mean, total, size))
    spread = [mean for mean, _, size in blocks for _ in range(size)]
    return [mean + offset for mean, offset in zip(spread, offsets, strict=True)]
