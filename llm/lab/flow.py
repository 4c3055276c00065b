"""张量流：把 `llm.lab.shapes` 的跟踪收成一张图，并算出参数个数、浮点运算数与缓存字节数。

    python -m llm.lab.flow docs/assets/tensor-flow-data.js     # 重新生成网页要用的数据

数据里的行号、形状、边都来自跟踪；`llm/model.py` 改过之后要重新生成，有测试守着。
"""

import ast
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import llm.model
from llm.config import PRESETS, LLMConfig
from llm.lab.shapes import PROBES, SIZES, Row, build, evaluate, probe, sizes, table, trace

Dims = Tuple[str, ...]

# 收成一个框的函数：图上只看它的返回值
HELPERS = frozenset(
    {
        "RMSNorm.forward",
        "RotaryEmbedding.forward",
        "apply_rotary",
        "attention_mask",
        "repeat_kv",
        "attention_weights",
    }
)
# 网页上并排看的两种情形：(B, T, past)
PREFILL, DECODE = (2, 8, 0), (2, 1, 8)
# 源码按数据流过的次序列出
ORDER = (
    "greedy_generate LLMForCausalLM.forward LLMModel.forward RotaryEmbedding.forward"
    " TransformerBlock.forward RMSNorm.forward Attention.forward apply_rotary attention_mask"
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


def page() -> str:
    """网页要用的数据：一个脚本，只给一个全局变量赋值，用 file:// 打开也读得到。"""
    listing: Dict[str, Any] = {"source": _source(), "families": {}}
    for family in PRESETS:
        small = {**SIZES, "num_hidden_layers": 1}  # 字母与尺寸无关，小的跑得快
        config = LLMConfig.preset(family, **small)
        weights = {name: "*".join(dims) for name, dims in parameters(config).items()}
        rotary = "D/2" if config.partial_rotary_factor == 0.5 else "D"
        listing["families"][family] = {"weights": weights, "R": rotary}
        for backend in ("sdpa", "manual"):
            chosen = LLMConfig.preset(family, **small, attention_backend=backend)
            listing["families"][family][backend] = _side_by_side(chosen)
    text = json.dumps(listing, ensure_ascii=False, separators=(",", ":"))
    return f"// 由 python -m llm.lab.flow 生成，不要手改\nwindow.rizhiFlow = {text};\n"


def _side_by_side(config: LLMConfig) -> Dict[str, Any]:
    """prefill 与 decode 两次跟踪：每行的形状，与合在一起的图；缺的一边写 null。"""
    runs = {"prefill": trace(config, *PREFILL), "decode": trace(config, *DECODE)}
    before = {(b.module, b.title, b.line): b.letters for b in boxes(runs["prefill"])}
    graph = []
    for box in boxes(runs["decode"]):
        ahead = before.get((box.module, box.title, box.line))
        place = [box.title, box.module, box.function, box.line]
        graph.append([*place, ahead, box.letters, box.inputs])
    return {"graph": graph, **{name: _lines(rows) for name, rows in runs.items()}}


def _lines(rows: Sequence[Row]) -> Dict[int, List[List[str]]]:
    """行号 → 这一行上的 [变量, 形状, 类型]，同样的只写一次；一层缓存里的各项只写总的。"""
    found: Dict[int, Dict[str, List[str]]] = {}
    for row in rows:
        if "T+1" in row.letters:  # 这里只走一步，拼回去的只有这一步的 T，网页上会误会
            continue
        name = row.variable.partition("[0][")[0].partition(".past")[0]
        dtype = "" if row.dtype == "float32" else row.dtype
        found.setdefault(row.line, {}).setdefault(f"{name} {row.text}", [name, row.text, dtype])
    return {line: list(shown.values()) for line, shown in found.items()}


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


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """把 `page()` 写进参数给出的文件。"""
    (target,) = sys.argv[1:] if arguments is None else arguments
    Path(target).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
