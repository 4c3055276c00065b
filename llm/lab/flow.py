"""张量流：把 `llm.lab.shapes` 的跟踪收成一张图，并算出参数个数、浮点运算数与缓存字节数。

网页要的数据由 `viewer_data` 给出。行号、形状、边都来自跟踪，所以它记在片段的输出里：
`llm` 改过，记录就过期。
"""

import ast
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import llm.model
from llm.config import PRESETS, LLMConfig
from llm.lab.shapes import PROBES, SIZES, Row, build, evaluate, probe, sizes, table, trace

Dims = Tuple[str, ...]
Numbers = Dict[Tuple[Any, ...], int]  # 各项 → 编号，先来的在前

# 收成一个框的函数：图上只看它的返回值
HELPERS = frozenset(
    {
        "RMSNorm.forward",
        "RotaryEmbedding.forward",
        "apply_rotary",
        "causal_mask",
        "repeat_kv",
        "attention_weights",
    }
)
# 网页上并排看的两种情形：(B, T, past)
PREFILL, DECODE = (2, 8, 0), (2, 1, 8)
# 网页上的两列：名字、说法，与读者填的字母在这一列里怎么改
SIDES = (
    ("prefill", "prefill：没有过去，一次送进 T 个词元", {"past": "0", "S": "T"}),
    ("decode", "decode：有 past 个过去，只送进 1 个", {"T": "1", "S": "past+1"}),
)
BACKENDS = ("sdpa", "manual")
# 读者填的字母：名字、说法、默认值、至少多少；几种里选一种的，写（说法, 值）
READER_LETTERS = (
    ("W", "数的类型", (("fp32", 4), ("bf16", 2))),
    ("B", "批大小", 1, 1),
    ("T", "prefill 送进的词元", 16, 1),
    ("past", "decode 之前的词元", 16, 0),
    ("L", "层数", 8, 1),
    ("C", "宽度", 512, 1),
    ("H", "查询头", 8, 1),
    ("K", "键值头", 2, 1),
    ("D", "头宽", 64, 1),
    ("I", "中间维度", 1408, 1),
    ("V", "词表", 6400, 1),
)
DIVIDES = (  # 前一个要整除后一个，不然说什么
    ("K", "H", "H 应是 K 的整数倍：每个键值头配同样多的查询头"),
    ("2", "D", "D = {D} 应为偶数：分量两两配对"),
    ("2", "R", "旋转的宽度 R = {R} 应为偶数：分量两两配对"),
)
TOTALS = (("参数", "count"), ("浮点运算", "count"), ("跑完之后的缓存", "bytes"))
# 源码按数据流过的次序列出
ORDER = (
    "greedy_generate LLMForCausalLM.forward LLMModel.forward RotaryEmbedding.forward"
    " TransformerBlock.forward RMSNorm.forward Attention.forward apply_rotary causal_mask"
    " repeat_kv attention_weights FeedForward.forward"
).split()


@dataclass(frozen=True)
class Box:
    """图上的一个框：一条语句，或一次收起来的函数调用；`inputs` 是箭头从哪几个框来。"""

    title: str
    module: str
    function: str
    line: int
    letters: Tuple[str, ...]
    inputs: Tuple[int, ...]


def parameters(config: LLMConfig) -> Dict[str, Dims]:
    """每个参数的形状，写成字母；共用词嵌入时输出头也列出来，数参数个数时不要数两遍。"""
    tiny = probe(config)
    found = {size: text for text, size in reversed(table(tiny, *PROBES[1]).items())}
    named = build(tiny).named_parameters(remove_duplicate=False)
    return {name: tuple(found[n] for n in weight.shape) for name, weight in named}


def parameter_count(config: LLMConfig) -> int:
    """参数个数；共用的只数一次。"""
    letters, tied = sizes(config, 1, 1), config.tie_word_embeddings
    shapes = {n: d for n, d in parameters(config).items() if not (tied and n == "lm_head.weight")}
    return sum(_volume(dims, letters) for dims in shapes.values())


def flops(config: LLMConfig, B: int, T: int, past: int = 0) -> int:
    """一次前向里矩阵乘的浮点运算数，一次乘加算 2；归一化、softmax、逐元素的都不计。

    每个矩阵乘 2·B·T·(权重的元素数)，注意力的两次各 2·B·H·T·S·D。因果掩码遮住的那一半
    也算在内：实现若跳过它们，做的就比这少。
    """
    letters = sizes(config, B, T, past)
    weights = {n: d for n, d in parameters(config).items() if len(d) == 2 and "embed" not in n}
    linear = 2 * B * T * sum(_volume(dims, letters) for dims in weights.values())
    return linear + config.num_hidden_layers * 4 * _volume(tuple("BHTSD"), letters)


def cache_bytes(config: LLMConfig, B: int, S: int, itemsize: int = 4) -> int:
    """S 个词元的键值缓存占多少字节：每层键与值各 (B, K, S, D)，每个数 itemsize 字节。"""
    letters = {**sizes(config, B, 1), "S": S}
    return 2 * config.num_hidden_layers * _volume(tuple("BKSD"), letters) * itemsize


def _volume(dims: Dims, letters: Mapping[str, int]) -> int:
    return math.prod(evaluate(text, letters) for text in dims)


def boxes(rows: Sequence[Row]) -> List[Box]:
    """把一次跟踪收成框与箭头：从词元号到下一个词元，无关的支路不要。"""
    origin = _origins(rows)
    calls = {row.call: (row.function, row.caller) for row in rows}
    owner = [_owner(calls, row) for row in rows]
    members: Dict[Tuple[str, int], List[int]] = {}
    for index, row in enumerate(rows):
        if not row.alias or owner[index][0] == "call":
            members.setdefault(owner[index], []).append(index)
    sources = {
        key: {owner[origin[j]] for i in inside for j in rows[i].inputs} - {key}
        for key, inside in members.items()
    }
    wanted = _ancestors(sources, owner[_next_token(rows)])
    kept = [key for key in members if key in wanted]
    return [
        _box(rows, key, members[key], [kept.index(s) for s in sorted(sources[key], key=kept.index)])
        for key in kept
    ]


def _origins(rows: Sequence[Row]) -> List[int]:
    """每一行的张量最初是哪一行算出来的。"""
    found: List[int] = []
    for index, row in enumerate(rows):
        found.append(found[row.inputs[0]] if row.alias else index)
    return found


def _owner(calls: Mapping[int, Tuple[str, Optional[int]]], row: Row) -> Tuple[str, int]:
    """这一行归哪个框：最外层那次要收起来的调用；没有就是它自己那条语句。"""
    found, call = ("step", row.step), row.call
    while call in calls:
        function, caller = calls[call]
        if function in HELPERS:
            found = ("call", call)
        call = caller
    return found


def _next_token(rows: Sequence[Row]) -> int:
    """下一个词元：`greedy_generate` 里第二次给 new 赋值。"""
    return [i for i, row in enumerate(rows) if row.variable == "new"][1]


def _ancestors(sources: Mapping[Any, Set[Any]], last: Any) -> Set[Any]:
    seen, waiting = set(), [last]
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += sources[key]
    return seen


def _box(
    rows: Sequence[Row], key: Tuple[str, int], inside: Sequence[int], inputs: Sequence[int]
) -> Box:
    shown = [rows[i] for i in inside]
    if key[0] == "call":
        shown = [row for row in shown if row.call == key[1] and row.variable.startswith("return")]
    first = shown[0]
    letters = tuple(dict.fromkeys(row.text for row in shown))
    title = _title(rows, shown, inside)
    return Box(title, first.module, first.function, first.line, letters, tuple(inputs))


def _title(rows: Sequence[Row], shown: Sequence[Row], inside: Sequence[int]) -> str:
    """框上写什么：变量名；返回值写模块名；收起来的调用写「接住它的变量 = 函数」。"""
    first, leaf = shown[0], shown[0].module.rpartition(".")[2]
    if first.function not in HELPERS:
        names = dict.fromkeys(row.variable.partition("[")[0] for row in shown)
        returns = first.variable.startswith("return")
        return (f"layers.{leaf}" if leaf.isdigit() else leaf) if returns else ", ".join(names)
    if first.function == "RMSNorm.forward":
        return leaf
    taken = [r.variable for r in rows if r.alias and r.inputs[0] in inside and r.call != first.call]
    name = first.function.removesuffix(".forward")
    return f"{', '.join(taken)} = {name}" if taken else name


def viewer_data(links: Mapping[str, str]) -> str:
    """网页上的查看器要的数据：JSON，一行一项，改了哪里，记录的差别里看得出来。

    `links` 是框与源码通到哪里：函数名、框的种类或模块名 → 相对于笔记的路径。五个家族与两种
    注意力的图大同小异，框与行上的值各只写一次，每张图里写编号。
    """
    box_numbers: Numbers = {}
    value_numbers: Numbers = {}
    variants = {
        family: {
            backend: _variant(family, backend, box_numbers, value_numbers) for backend in BACKENDS
        }
        for family in PRESETS
    }
    choices = [["family", "家族", list(PRESETS)], ["backend", "注意力", BACKENDS]]
    data = {
        "title": "从词元号到下一个词元的张量流",
        "file": "llm/model.py",
        "module": "llm.model",
        "links": links,
        "choices": choices,
        "letters": READER_LETTERS,
        "divides": DIVIDES,
        "sides": SIDES,
        "totals": TOTALS,
        "repeat": ["layers.0", "一个块 × {L} 层"],
        "boxes": list(box_numbers),
        "values": list(value_numbers),
        "variants": variants,
        "source": _source(),
    }
    return _one_item_a_line(data)


def _one_item_a_line(data: Mapping[str, Any]) -> str:
    dumps = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    fields = []
    for name, value in data.items():
        if isinstance(value, str):
            fields.append(f"{dumps(name)}:{dumps(value)}")
        elif isinstance(value, Mapping):
            inside = ",\n".join(f"{dumps(k)}:{dumps(v)}" for k, v in value.items())
            fields.append(f"{dumps(name)}:{{\n{inside}\n}}")
        else:
            fields.append(f"{dumps(name)}:[\n" + ",\n".join(map(dumps, value)) + "\n]")
    return "{\n" + ",\n".join(fields) + "\n}"


def _variant(
    family: str, backend: str, box_numbers: Numbers, value_numbers: Numbers
) -> Dict[str, Any]:
    """一个家族、一种注意力：图上的框与箭头、各行的值，与几个总数的式子。"""
    small = {**SIZES, "num_hidden_layers": 1}  # 字母与尺寸无关，小的跑得快
    config = LLMConfig.preset(family, **small, attention_backend=backend)
    prefill, decode = trace(config, *PREFILL), trace(config, *DECODE)
    before = {(box.module, box.title, box.line) for box in boxes(prefill)}
    graph = []
    for index, box in enumerate(boxes(decode)):
        title = box.title.replace("RotaryEmbedding", "rotary_emb").replace("apply_", "")
        place = (title if index else "input_ids", box.module, box.function, box.line)
        only = () if (box.module, box.title, box.line) in before else ("decode",)
        item = (*place, box.letters, _kind(box), *only)
        graph.append([_number(box_numbers, item), box.inputs])
    values = {"prefill": _values(prefill), "decode": _values(decode)}
    shown = []
    for value in dict.fromkeys((*values["prefill"], *values["decode"])):
        ran = tuple(side for side, found in values.items() if value in found)
        alone = ran if len(ran) == 1 else ()
        shown.append(_number(value_numbers, (*value, *alone)))
    rotary = "D/2" if config.partial_rotary_factor == 0.5 else "D"
    totals = _totals(config)
    return {"letters": {"R": rotary}, "totals": totals, "boxes": graph, "values": shown}


def _number(numbers: Numbers, item: Tuple[Any, ...]) -> int:
    return numbers.setdefault(item, len(numbers))


def _kind(box: Box) -> str:
    """框的种类，网页按它上色。"""
    if box.title in ("k, v", "layer_past"):
        return "cache"
    if "otary" in box.title:
        return "rope"
    if box.title.endswith("norm"):
        return "norm"
    if box.function.startswith("FeedForward"):
        return "mlp"
    return "attention" if re.search("[Aa]ttention|repeat", box.function) else "plain"


def _totals(config: LLMConfig) -> List[str]:
    """`TOTALS` 各是什么式子：参数、浮点运算、缓存的字节数；W 是一个数占的字节。"""
    weights, products = [], []
    for name, dims in parameters(config).items():
        layers = ["L"] if ".layers." in name else []
        weights.append("*".join([*layers, *dims]))
        if len(dims) == 2 and "embed" not in name:
            products.append("*".join(["2", "B", "T", *layers, *dims]))
    attention = "4*L*B*H*T*S*D"
    return ["+".join(weights), "+".join([*products, attention]), "2*L*B*K*S*D*W"]


def _values(rows: Sequence[Row]) -> Dict[Tuple[int, str, str], None]:
    """(行号, 变量, 形状)，同样的只写一次；一层缓存里的各项只写总的。"""
    return {
        (row.line, row.variable.partition("[0][")[0].partition(".past")[0], row.text): None
        for row in rows
        if "T+1" not in row.letters  # 这里只走一步，拼回去的只有这一步的 T，网页上会误会
    }


def _source() -> List[List[Any]]:
    """要列出的每个函数：[名字, [[行号, 源码], …]]，去掉文档字符串。"""
    text = Path(str(llm.model.__file__)).read_text(encoding="utf-8")
    lines, nodes = text.splitlines(), dict(_functions(ast.parse(text), ""))
    return [[name, [[n, lines[n - 1]] for n in _code(nodes[name])]] for name in ORDER]


def _functions(tree: ast.AST, prefix: str) -> List[Tuple[str, ast.FunctionDef]]:
    found = []
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.FunctionDef):
            found.append((prefix + node.name, node))
        elif isinstance(node, ast.ClassDef):
            found += _functions(node, f"{node.name}.")
    return found


def _code(node: ast.FunctionDef) -> List[int]:
    """一个函数的行号，文档字符串的几行除外。"""
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    skipped = range(first.lineno, (first.end_lineno or 0) + 1) if documented else range(0)
    return [n for n in range(node.lineno, (node.end_lineno or 0) + 1) if n not in skipped]
