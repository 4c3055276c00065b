"""张量流：把 `llm.lab.operations` 的跟踪收成一步一步，并算出参数个数、浮点运算数与缓存字节数。

网页要的数据由 `viewer_data` 给出。行号、形状、谁流向谁都来自跟踪，所以它记在片段的输出里：
`llm` 改过，记录就过期。
"""

import ast
import json
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import llm.model
from llm.config import PRESETS, LLMConfig
from llm.lab.captions import CAPTIONS
from llm.lab.operations import Call, Operation, Run, lettered
from llm.lab.shapes import PROBES, SIZES, build, evaluate, probe, sizes, table

Dims = Tuple[str, ...]
Source = Tuple[int, str]  # 从第几步来、是哪一种边

# 收成一步的函数：图上叫什么，结果是哪一种
HELPERS: Mapping[str, Tuple[str, str]] = {
    "RMSNorm.forward": ("RMSNorm", "data"),
    "RotaryEmbedding.forward": ("cos, sin", "position"),
    "apply_rotary": ("rotate", "data"),
    "causal_mask": ("causal_mask", "mask"),
    "repeat_kv": ("repeat_kv", "data"),
}
# 不成一步的运算：换类型、取反、留下全部位置，形状与意思都没变
SILENT = frozenset({"to", "float", "invert", "getitem"})
NAMES = {"scaled_dot_product_attention": "SDPA"}
# 图上从左到右的几道：残差、主路、键与 up、值与位置、缓存
SPINE, MAIN, KEY, VALUE, CACHE = range(5)
LANES = {"k_proj": KEY, "v_proj": VALUE, "up_proj": KEY}
BACKENDS = ("manual", "sdpa")
# 网页走的几段：名字、读者填的字母在这一段里怎么改；不一步一步走的，说一句话
AGAIN = (
    "再解一个，同样的步再走一遍：只送上一步选出的那 1 个，键与值又长一个，S = {S}；"
    "缓存多出一列，每层一格。红框是与上一步不同的几处。"
)
PHASES = (
    ("prefill", {"past": "0", "S": "T"}, ""),
    ("decode 1", {"past": "T", "S": "T+1", "T": "1"}, ""),
    ("decode 2", {"past": "T+1", "S": "T+2", "T": "1"}, AGAIN),
    ("decode 3", {"past": "T+2", "S": "T+3", "T": "1"}, AGAIN),
)
# 读者填的字母：名字、说法、默认值、至少多少；几种里选一种的，写（说法, 值）
READER_LETTERS = (
    ("B", "批大小", 2, 1),
    ("T", "提示的词元数", 6, 1),
    ("L", "层数", 2, 1),
    ("C", "宽度", 32, 1),
    ("H", "查询头", 4, 1),
    ("K", "键值头", 2, 1),
    ("D", "头宽", 8, 1),
    ("I", "中间维度", 64, 1),
    ("V", "词表", 18, 1),
    ("O", "输出头", (("自己的", 1), ("共用词嵌入", 0))),
    ("W", "数的类型", (("fp32", 4), ("bf16", 2))),
)
DIVIDES = (  # 前一个要整除后一个，不然说什么
    ("K", "H", "H = {H} 应是 K = {K} 的整数倍：每个键值头配同样多的查询头"),
    ("2", "D", "D = {D} 应为偶数：分量两两配对"),
    ("2", "R", "旋转的宽度 R = {R} 应为偶数：分量两两配对"),
)
# 官方的尺寸：名字、来源、家族，与 OFFICIAL_LETTERS 各是多少
OFFICIAL_LETTERS = ("B", "T", "L", "C", "H", "K", "D", "I", "V", "O", "W")
OFFICIAL = (
    (
        "LLaMA-7B",
        "Touvron et al. 2023 表 2；transformers 的 LlamaConfig 默认值",
        "llama",
        (1, 2048, 32, 4096, 32, 32, 128, 11008, 32000, 1, 2),
    ),
    (
        "Qwen3-0.6B",
        "Qwen/Qwen3-0.6B 的 config.json",
        "qwen3",
        (1, 2048, 28, 1024, 16, 8, 128, 3072, 151936, 0, 2),
    ),
    (
        "GLM-4-9B",
        "zai-org/glm-4-9b-chat-hf 的 config.json；transformers 的 GlmConfig 默认值",
        "glm",
        (1, 2048, 40, 4096, 32, 2, 128, 13696, 151552, 1, 2),
    ),
)
# 不由运算得到的词元号：形状 → 键、叫什么、画在第几道
WRITTEN: Mapping[Dims, Tuple[str, str, int]] = {
    ("B", "T"): ("new.input", "new", SPINE),
    ("B", "S"): ("input_ids.input", "input_ids", KEY),
}
# 源码里没有给名字的几个张量，图上叫什么
NAMELESS = {
    "scores.transpose": "k 转置",
    "scores.matmul": "scores",
    "chosen.getitem": "logits",
    "gate_up_proj": "gate_up",
}
LOOP = "LLMModel.forward"
HANDING_ON = (  # 不是运算的三步：叫什么、键、结果的名字、源码里哪一行、种类、第几道
    ("append", "present.append", "all_presents", "all_presents.append(", "cache", CACHE),
    ("layers", "x.layers", "x", "enumerate(self.layers", "residual", SPINE),
    ("tuple", "past_key_values.tuple", "past_key_values", "tuple(all_presents)", "cache", CACHE),
)
UNITS = (("参数", "count"), ("浮点运算", "count"), ("缓存", "bytes"))
CACHE_TOTAL = ["键值缓存", "0", "0", "2*L*B*K*S*D*W"]
PARTS = (  # 合计里的各项：说法，与它那些参数名字里的字
    ("词嵌入", "embed_tokens"),
    ("归一化", "norm"),
    ("注意力的投影", "self_attn"),
    ("前馈层", "mlp"),
    ("输出头", "lm_head"),
)
# 源码按数据流过的次序列出
ORDER = (
    "greedy_generate LLMForCausalLM.forward LLMModel.forward RotaryEmbedding.forward"
    " TransformerBlock.forward RMSNorm.forward Attention.forward apply_rotary causal_mask"
    " repeat_kv attention_weights FeedForward.forward"
).split()


@dataclass(frozen=True)
class Step:
    """图上的一步：一次运算，或一次收起来的函数调用，与它得到的张量。

    `key` 找得到它那一句话，`name` 是结果叫什么，`kind` 是结果的种类，`lane` 是画在第几道；
    `sources` 是来处，各是第几步、哪一种边。
    """

    op: str
    key: str
    name: str
    function: str
    line: int
    kind: str
    lane: int
    letters: Tuple[Dims, ...]
    sources: Tuple[Source, ...] = ()


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


def steps(config: LLMConfig) -> List[Step]:
    """一次前向的每一步：从词元号到下一个词元，连同交给下一步的缓存；只走第一层。

    prefill 与 decode 做的运算一样多、一样的次序，形状的字母也一样，所以只有一份。
    """
    run, letters = lettered(LLMConfig(**{**config.to_dict(), "num_hidden_layers": 1}))
    made: Dict[int, int] = {}  # 张量的编号 → 哪一步得到的
    found: List[Step] = []
    for group in _groups(run.operations):
        for number in _inputs(group):
            leaf = None if number in made else _leaf(run, letters, number)
            if leaf:
                made.update((n, len(found)) for n in leaf[1])
                found.append(leaf[0])
        sources = list(dict.fromkeys(made[n] for n in _inputs(group) if n in made))
        if _is_silent(group, letters) and sources:
            made[group[0].outputs[0]] = sources[0]
        elif sources or group[0].name == "arange":
            results = _results(run.operations, group)
            made.update(dict.fromkeys(results, len(found)))
            found.append(_step(run, letters, group, results, _edges(found, sources)))
            found[-1] = _placed(found[-1], [found[s] for s in sources])
    return _handing_on(_named(_needed(found)))


def _groups(operations: Sequence[Operation]) -> List[List[Operation]]:
    """同一次收起来的调用里的运算是一组，别的各自一组。"""
    found: Dict[Tuple[str, int], List[Operation]] = {}
    for index, operation in enumerate(operations):
        helper = _helper(operation)
        key = ("call", helper.number) if helper else ("operation", index)
        found.setdefault(key, []).append(operation)
    return list(found.values())


def _helper(operation: Operation) -> Optional[Call]:
    return next((c for c in reversed(operation.calls) if c.function in HELPERS), None)


def _inputs(group: Sequence[Operation]) -> List[int]:
    inside = {n for operation in group for n in operation.outputs}
    return [n for operation in group for n in operation.inputs if n not in inside]


def _results(operations: Sequence[Operation], group: Sequence[Operation]) -> Tuple[int, ...]:
    """一组里给外面用的张量。"""
    if len(group) == 1:
        return group[0].outputs
    used = {n for operation in operations if operation not in group for n in operation.inputs}
    return tuple(n for operation in group for n in operation.outputs if n in used)


def _is_silent(group: Sequence[Operation], letters: Mapping[int, Dims]) -> bool:
    """换类型、取反、留下全部位置：形状与意思都没变，不成一步。"""
    first = group[0]
    if len(group) > 1 or first.name not in SILENT:
        return False
    return first.name != "getitem" or letters[first.inputs[0]] == letters[first.outputs[0]]


def _leaf(
    run: Run, letters: Mapping[int, Dims], number: int
) -> Optional[Tuple[Step, Tuple[int, ...]]]:
    """不由运算得到的：新来的词元、整段文字、这一层的过去；查的表不画。"""
    row, dims = run.names.get(number), letters[number]
    if dims in WRITTEN:
        key, name, lane = WRITTEN[dims]
        call = next(o for o in run.operations if number in o.inputs).calls[-1]  # 用它的那一行
        step = ("input", key, name, call.function, call.line, "data", lane, (dims,))
        return Step(*step), (number,)
    if row is None or "past" not in dims:
        return None
    both = tuple(n for n, d in letters.items() if d == dims)
    line = (row.function, row.line, "cache", CACHE, (dims,) * len(both))
    return Step("past", "layer_past.past", "layer_past", *line), both


def _step(
    run: Run,
    letters: Mapping[int, Dims],
    group: Sequence[Operation],
    results: Tuple[int, ...],
    sources: Tuple[Source, ...],
) -> Step:
    first, helper = group[0], _helper(group[0])
    shapes = tuple(letters[n] for n in results)
    if helper:
        outer = first.calls[first.calls.index(helper) + 1]
        op, kind = HELPERS[helper.function]
        name = ", ".join(filter(None, (_name(run, n, helper.function) for n in results)))
        owner = first.module.rpartition(".")[2]
        keys = {"RMSNorm": owner, "cos, sin": owner, "rotate": f"{name}.rotate"}
        where = (outer.function, outer.line, kind, MAIN)
        return Step(op, keys.get(op, op), name, *where, shapes, sources)
    number = _bound(run, first)
    op = NAMES.get(first.name, first.name)
    names = first.outputs if len(first.outputs) > 1 else (number,)
    bound = ", ".join(_name(run, n) for n in names if n is not None)
    raw = run.names[number].variable if number is not None else ""
    key = f"{raw if raw.startswith('return[') else bound}.{op}"
    name = bound if _is_same_thing(run, first) else ""
    if first.weights:
        key = first.weights[0].split(".")[-2]
    where = (first.calls[0].function, first.line, "data", MAIN)
    return Step(op, key, name, *where, shapes, sources)


def _bound(run: Run, operation: Operation) -> Optional[int]:
    """做这次运算的语句最后给了名字的那个张量。"""
    later = run.operations[run.operations.index(operation) :]
    place = (operation.calls[0].number, operation.line)
    same = (o for o in later if (o.calls[0].number, o.line) == place)
    return next((n for o in same for n in o.outputs if n in run.names), None)


def _is_same_thing(run: Run, operation: Operation) -> bool:
    """语句里后面只再改改形状：得到的已经是那个变量，只是还没摆好。"""
    later = run.operations[run.operations.index(operation) + 1 :]
    place = (operation.calls[0].number, operation.line)
    rest = [o.name for o in later if (o.calls[0].number, o.line) == place]
    named = any(n in run.names for n in operation.outputs)
    return named or set(rest) <= {"view", "transpose", "reshape", "silu"}


def _name(run: Run, number: int, hidden: str = "") -> str:
    """一个张量头一个像样的名字；`hidden` 这个函数里的不算。"""
    wanted = id(run.tensors[number])
    rows = (r for r in run.rows if r.identity == wanted and r.function != hidden)
    names = (r.variable for r in rows)
    return next((n for n in names if n.isidentifier() and not n.startswith("return")), "")


def _edges(found: Sequence[Step], sources: Sequence[int]) -> Tuple[Source, ...]:
    """来处的边各是哪一种；残差的由 `_placed` 认。"""
    own = ("position", "cache", "mask")
    return tuple((s, found[s].kind if found[s].kind in own else "data") for s in sources)


def _placed(step: Step, before: Sequence[Step]) -> Step:
    """认出残差与位置，定下画在第几道。"""
    residual = [s.kind == "residual" for s in before]
    if step.op == "embedding" or (step.op == "add" and any(residual)):
        edges = tuple(
            (source, "residual" if own else kind)
            for (source, kind), own in zip(step.sources, residual, strict=True)
        )
        return replace(step, kind="residual", lane=SPINE, sources=edges)
    if step.op == "arange" or {s.kind for s in before} == {"position"}:
        return replace(step, kind="position", lane=VALUE)
    if step.op == "RMSNorm" and any(residual):
        last = "layernorm" not in step.key  # 残差流到它为止，不是从旁边读一份
        edges = tuple((source, "residual" if last else kind) for source, kind in step.sources)
        return replace(step, lane=SPINE if last else MAIN, sources=edges)
    if step.kind == "mask":
        return replace(step, lane=KEY)
    if step.key == "input_ids.cat":
        return replace(step, lane=MAIN)
    carried = [s.lane for s in before if s.kind in ("data", "residual")]
    return replace(step, lane=LANES.get(step.key, carried[0] if carried else step.lane))


def _needed(found: Sequence[Step]) -> List[Step]:
    """通向下一个词元的各步，编号跟着改。"""
    waiting, seen = [len(found) - 1], set()
    while waiting:
        index = waiting.pop()
        seen.add(index)
        waiting += [source for source, _ in found[index].sources if source not in seen]
    kept = sorted(seen)
    return [_shifted(found[old], {o: n for n, o in enumerate(kept)}) for old in kept]


def _named(found: Sequence[Step]) -> List[Step]:
    """没有名字的也叫个什么，图上才认得出。"""
    names = {
        i: f"{found[step.sources[0][0]].name} 重复后" if step.op == "repeat_kv" else step.name
        for i, step in enumerate(found)
    }
    return [
        replace(step, name=names[i] or NAMELESS.get(step.key, "")) for i, step in enumerate(found)
    ]


def _shifted(step: Step, places: Mapping[int, int]) -> Step:
    return replace(step, sources=tuple((places[s], kind) for s, kind in step.sources))


def _handing_on(found: Sequence[Step]) -> List[Step]:
    """补上没有运算、却看得见的几步：present 收进 all_presents，其余各层，成为下一步的 past。"""
    code = dict(line for name, lines in _source() if name == LOOP for line in lines)
    pair = [i for i, s in enumerate(found) if s.key in ("k.cat", "v.cat")]
    last = max(i for i, s in enumerate(found) if s.kind == "residual")
    both = tuple(found[i].letters[0] for i in pair)
    extra = []
    for op, key, name, text, kind, lane in HANDING_ON:
        line = next(number for number, shown in code.items() if text in shown)
        extra.append(Step(op, key, name, LOOP, line, kind, lane, both))
    append, layers, kept = extra
    append = replace(append, sources=tuple((i, "cache") for i in pair))
    layers = replace(layers, sources=((last, "residual"),), letters=found[last].letters)
    kept = replace(kept, sources=((last + 1, "cache"),))
    places = {i: i if i <= last else i + 3 for i in range(len(found))}
    places[last] = last + 2  # 下面的接在其余各层之后
    after = [_shifted(step, places) for step in found[last + 1 :]]
    return [*found[: last + 1], append, layers, kept, *after]


def viewer_data(links: Mapping[str, str], small: Mapping[str, Any]) -> str:
    """网页上的查看器要的数据：JSON，一行一项，改了哪里，记录的差别里看得出来。

    `links` 是步与源码通到哪里：函数名、步的种类或模块名 → 相对于笔记的路径。`small` 由
    `small_model` 给出。五个家族与两种注意力大同小异：一步只写一次，各自写编号。
    """
    numbers: Dict[Tuple[Any, ...], int] = {}
    variants = {
        family: {backend: _variant(family, backend, numbers) for backend in BACKENDS}
        for family in PRESETS
    }
    data = {
        "title": "从词元号到下一个词元",
        "file": "llm/model.py",
        "module": "llm.model",
        "links": links,
        "choices": [["family", "家族", list(PRESETS)], ["backend", "注意力", BACKENDS]],
        "letters": READER_LETTERS,
        "divides": DIVIDES,
        "phases": PHASES,
        "presets": [["小模型", small["source"], small["family"], small["letters"]], *_official()],
        "units": UNITS,
        "steps": list(numbers),
        "variants": variants,
        "small": {name: small[name] for name in ("tokens", "masks", "heads")},
        "source": _source(),
    }
    return _one_item_a_line(data)


def _official() -> List[List[Any]]:
    return [
        [name, source, family, dict(zip(OFFICIAL_LETTERS, numbers, strict=True))]
        for name, source, family, numbers in OFFICIAL
    ]


def small_model(
    config: LLMConfig, words: Sequence[str], opened: Mapping[str, Any]
) -> Dict[str, Any]:
    """网页上的小模型：它的尺寸，与 `llm.lab.heads.heads` 在第一行词元上看到的。"""
    masks, seen = opened["masks"], opened["heads"]
    letters = {n: v for n, v in sizes(config, 2, len(masks[0])).items() if n in "BTCHKDIV"}
    return {
        "source": "就在这篇笔记里训练的，只背了两行字",
        "family": "llama",
        "letters": {**letters, "L": config.num_hidden_layers, "O": 1, "W": 4},
        "tokens": [words[index] for index in opened["ids"]],
        "masks": masks,
        "heads": seen,
    }


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


def _variant(family: str, backend: str, numbers: Dict[Tuple[Any, ...], int]) -> Dict[str, Any]:
    """一个家族、一种注意力：各步的编号与来处，与合计的各项。"""
    config = LLMConfig.preset(
        family, **{**SIZES, "num_hidden_layers": 1}, attention_backend=backend
    )
    walk = []
    for step in steps(config):
        shapes = tuple(" ".join(dims) for dims in step.letters)
        place = (step.op, step.key, step.name, step.function, step.line, step.kind, step.lane)
        item = (*place, shapes, CAPTIONS[step.key])
        walk.append([numbers.setdefault(item, len(numbers)), step.sources])
    rotary = "D/2" if config.partial_rotary_factor == 0.5 else "D"
    return {"letters": {"R": rotary}, "totals": _totals(config), "steps": walk}


def _totals(config: LLMConfig) -> List[List[str]]:
    """合计的各项：说法，与参数、浮点运算、缓存字节数的式子；没有的写 0。"""
    weights, products = {label: [] for label, _ in PARTS}, {label: [] for label, _ in PARTS}
    for name, dims in parameters(config).items():
        label = next(label for label, word in PARTS if word in name)
        layers = ["L"] if ".layers." in name else []
        own = ["O"] if name == "lm_head.weight" else []
        weights[label].append("*".join([*own, *layers, *dims]))
        if len(dims) == 2 and "embed" not in name:
            products[label].append("*".join(["2", "B", "T", *layers, *dims]))
    rows = [
        [label, "+".join(weights[label]), "+".join(products[label]) or "0", "0"]
        for label, _ in PARTS
    ]
    return [*rows, ["打分与按权重求和", "0", "4*L*B*H*T*S*D", "0"], CACHE_TOTAL]


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
