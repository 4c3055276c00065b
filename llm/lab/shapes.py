"""真的跑一次前向，把路上的每个张量按源码行报出来；形状里的字母是找出来的，不是写上去的。

尺寸取 `SIZES`：各个字母的值、两两的积都不相同，于是一个数只对得上一个式子。没有过去时
S = T，一次前向分不开这两个字母，所以有过去、没有过去各跑一次，两次都对得上的才算。

    from llm import LLMConfig
    from llm.lab.shapes import trace

    for row in trace(LLMConfig.preset("llama", num_hidden_layers=1), B=2, T=5, past=3):
        print(row.line, row.module, row.variable, row.letters, row.shape, row.dtype)
"""

import ast
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations_with_replacement
from pathlib import Path
from types import FrameType, MappingProxyType, ModuleType
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.utils import ModelOutput

import llm.model
from llm.config import LLMConfig
from llm.model import LLMForCausalLM, greedy_generate

Shape = Tuple[int, ...]
Inputs = Tuple[int, ...]
Flags = Tuple[Tuple[str, Any], ...]
Key = Tuple[str, int, str, int]  # 模块路径、行号、变量、第几次执行

# 值与两两的积都不相同；R = D 或 D/2，S = 过去 + T，由这些定出来。测试守着这件事。
SIZES: Mapping[str, int] = MappingProxyType(
    {
        "hidden_size": 11,
        "num_attention_heads": 10,
        "num_key_value_heads": 5,
        "head_dim": 8,
        "vocab_size": 43,
        "intermediate_size": 18,
        "max_position_embeddings": 32,
    }
)
PROBES = ((7, 13, 0), (7, 13, 17))  # 找字母时的 (B, T, past)：没有过去、有过去
LETTERS = (*"BTSCVIPHKDR", "past")
# 与尺寸无关、但决定有哪些参数、走哪些分支的字段
FLAGS = (
    "attention_bias attention_output_bias qk_norm rope_interleaved partial_rotary_factor fused_mlp"
    " sandwich_norm tie_word_embeddings attention_backend num_hidden_layers"
).split()


@dataclass(frozen=True)
class Row:
    """路上的一个张量：在哪一行、哪个模块、叫什么、多大、什么类型。

    `variable` 是等号左边的名字；返回值叫 return，装在元组里的带下标，如 `return[1][0]`。
    `inputs` 是它由哪几行算来（下标），`alias` 表示它就是那一行的同一个张量，只是换了名字；
    `step` 相同的是同一条语句的同一次执行，`visit` 说那是这个模块里第几次执行它；
    `call` 相同的是同一次函数调用，`caller` 是谁调用的；`identity` 相同的是同一个张量对象。
    """

    line: int
    module: str
    function: str
    variable: str
    letters: Tuple[str, ...]
    shape: Shape
    dtype: str
    inputs: Inputs = ()
    reads: Tuple[Shape, ...] = ()
    alias: bool = False
    step: int = 0
    visit: int = 0
    call: int = 0
    caller: Optional[int] = None
    identity: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """形状的字母写法，如 (B, H, T, D)。"""
        return f"({', '.join(self.letters)}{',' * (len(self.letters) == 1)})"


@dataclass
class _Call:
    """正在执行的一次函数调用，和其中正在执行的一条语句。"""

    number: int
    caller: Optional[int]
    module: str
    statement: Optional[ast.stmt] = None
    reads: Tuple[Shape, ...] = ()
    parts: List[Set[int]] = field(default_factory=list)
    inputs: List[int] = field(default_factory=list)

    def inputs_of(self, part: int, parts: int) -> Inputs:
        """元组里的一项由哪几行算来：别的项读的不算。"""
        named = {row for rows in self.parts for row in rows}
        own = self.parts[part] if len(self.parts) == parts else named
        return tuple(row for row in self.inputs if row in own or row not in named)


class _Tracer:
    """`sys.settrace` 的回调：一条语句执行完，就看它给谁赋了张量。"""

    def __init__(self, module: ModuleType, model: Optional[nn.Module]) -> None:
        self.file = str(module.__file__)
        self.statements = _statements(Path(self.file).read_text(encoding="utf-8"))
        self.paths = {id(part): name for name, part in model.named_modules()} if model else {}
        self.calls: Dict[FrameType, _Call] = {}
        self.born: Dict[int, int] = {}  # id(张量) → 它是哪一行算出来的
        self.alive: List[Tensor] = []  # 留着引用，id 才不会被别的张量用去
        self.rows: List[Row] = []
        self.number = self.step = 0
        self.visits: Counter = Counter()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """进了一个函数；别的文件里的函数、推导式都不看。"""
        if frame.f_code.co_filename != self.file or frame.f_code.co_name.startswith("<"):
            return None
        outer = self._outer(frame)
        taken = {self.born.get(id(t)) for _, t in _tensors("", list(frame.f_locals.values()))}
        if outer:  # 交给被调函数的，不算调用者自己用的
            outer.inputs = [row for row in outer.inputs if row not in taken]
        path = self.paths.get(id(frame.f_locals.get("self")), outer.module if outer else "")
        self.number += 1
        self.calls[frame] = _Call(self.number, outer.number if outer else None, path)
        return self._inside

    def _inside(self, frame: FrameType, event: str, arg: Any) -> Any:
        """函数里的一件事：到了新的一行、抛了异常、要返回。"""
        call = self.calls[frame]
        if event == "line":
            statement = self.statements.get(frame.f_lineno)
            if statement is not call.statement:  # 写成几行的语句会来回报几次行号
                self._settle(frame, call, None)
                self._begin(frame, call, statement)
        elif event == "exception":
            call.statement = None
        elif event == "return":
            self._settle(frame, call, arg)
            del self.calls[frame]
        return self._inside

    def _outer(self, frame: FrameType) -> Optional[_Call]:
        """调用它的、也在这个文件里的那一层；中间隔着 torch 自己的函数。"""
        above = frame.f_back
        while above is not None and above not in self.calls:
            above = above.f_back
        return self.calls[above] if above is not None else None

    def _begin(self, frame: FrameType, call: _Call, statement: Optional[ast.stmt]) -> None:
        """一条语句将要执行：记下它读哪些张量；写成元组的，每一项各读哪些分开记。"""
        call.statement = statement
        value = getattr(statement, "value", None)
        parts = value.elts if isinstance(value, ast.Tuple) else [statement] if statement else []
        read = [_reads(part, frame.f_locals) for part in parts]
        call.reads = tuple(tuple(t.shape) for part in read for t in part)
        call.parts = [{self.born[id(t)] for t in part if id(t) in self.born} for part in read]
        call.inputs = sorted({row for part in call.parts for row in part})

    def _settle(self, frame: FrameType, call: _Call, result: Any) -> None:
        """一条语句执行完了：它得到的每个张量记一行；返回值同时算调用者那条语句的来处。"""
        statement, call.statement = call.statement, None
        if statement is None:
            return
        self.step += 1
        self.visits[call.module, statement.lineno] += 1
        before = len(self.rows)
        returns = isinstance(statement, ast.Return)
        made = _returned(statement, result) if returns else _assigned(statement, frame.f_locals)
        for part, (variable, value) in enumerate(made):
            inputs = call.inputs_of(part, len(made))
            for name, tensor in _tensors(variable, value):
                self._add(frame, call, statement.lineno, name, tensor, inputs)
        outer = self._outer(frame)
        if outer and returns:
            outer.inputs += range(before, len(self.rows))

    def _add(
        self, frame: FrameType, call: _Call, line: int, name: str, tensor: Tensor, inputs: Inputs
    ) -> None:
        same = self.born.get(id(tensor))
        self.born[id(tensor)] = len(self.rows)
        self.alive.append(tensor)
        self.rows.append(
            Row(
                line=line,
                module=call.module,
                function=frame.f_code.co_qualname,
                variable=name,
                letters=(),
                shape=tuple(tensor.shape),
                dtype=str(tensor.dtype).removeprefix("torch."),
                inputs=inputs if same is None else (same,),
                reads=call.reads,
                alias=same is not None,
                step=self.step,
                visit=self.visits[call.module, line],
                call=call.number,
                caller=call.caller,
                identity=id(tensor),
            )
        )


def _statements(source: str) -> Dict[int, ast.stmt]:
    """行号 → 占着这一行的赋值或返回语句。"""
    kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return {line: n for n in found for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)}


def _assigned(statement: ast.stmt, scope: Mapping[str, Any]) -> List[Tuple[str, Any]]:
    """赋值语句左边的每个名字与它现在的值；`self.cos` 这样的属性也算。"""
    parts = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    flat = [leaf for part in parts for leaf in getattr(part, "elts", [part])]
    values = []
    for leaf in flat:
        if isinstance(leaf, ast.Name) and leaf.id in scope:
            values.append((leaf.id, scope[leaf.id]))
        elif isinstance(leaf, ast.Attribute) and isinstance(leaf.value, ast.Name):
            owner = scope.get(leaf.value.id)
            values.append((ast.unparse(leaf), getattr(owner, leaf.attr, None)))
    return values


def _returned(statement: ast.Return, result: Any) -> List[Tuple[str, Any]]:
    """返回值的各项与各自的叫法。"""
    if isinstance(statement.value, ast.Tuple) and isinstance(result, tuple):
        return [(f"return[{i}]", part) for i, part in enumerate(result)]
    return [("return", result)]


def _reads(node: ast.AST, scope: Mapping[str, Any]) -> List[Tensor]:
    """一段语法树读到的张量；只问形状、类型、设备的不算，模型的输出只算问到的那一项。"""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = scope.get(node.value.id)
        if isinstance(owner, ModelOutput):
            return [tensor for _, tensor in _tensors("", getattr(owner, node.attr, None))]
        if isinstance(owner, Tensor) and node.attr in ("shape", "dtype", "device"):
            return []
    if isinstance(node, ast.Name):
        loaded = isinstance(node.ctx, ast.Load)
        return [tensor for _, tensor in _tensors("", scope.get(node.id))] if loaded else []
    return [tensor for child in ast.iter_child_nodes(node) for tensor in _reads(child, scope)]


def _tensors(name: str, value: Any) -> List[Tuple[str, Tensor]]:
    """一个值里的全部张量与各自的叫法；认得元组、列表、模型的输出和缓存。"""
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, ModelOutput):
        return [pair for key in value for pair in _tensors(f"{name}.{key}", value[key])]
    if isinstance(value, DynamicCache):
        value = [(layer.keys, layer.values) for layer in value.layers]
    if isinstance(value, (tuple, list)):
        return [pair for i, v in enumerate(value) for pair in _tensors(f"{name}[{i}]", v)]
    return []


@contextmanager
def watch(model: Optional[nn.Module] = None, module: ModuleType = llm.model) -> Iterator[List[Row]]:
    """其间在 `module` 的源文件里执行的每一行，得到的张量都记进给出的列表；字母留空。

    沿途的张量一直留到结束才释放，所以不要用它看大模型。
    """
    tracer, before = _Tracer(module, model), sys.gettrace()
    sys.settrace(tracer)
    try:
        yield tracer.rows
    finally:
        sys.settrace(before)


def trace(config: LLMConfig, B: int, T: int, past: int = 0) -> Tuple[Row, ...]:
    """按 `config` 建一个模型，从词元号跑到下一个词元；`past` 大于 0 时先填好这么长的缓存。

    形状：词元号 (B, T) → 下一个词元 (B, 1)。
    异常：尺寸不成立，或超出旋转表，由模型抛 ValueError。
    """
    named = _names(_flags(config))
    return tuple(
        replace(row, letters=named.get(key, tuple(map(str, row.shape))))
        for key, row in _keyed(_run(config, B, T, past))
    )


def sizes(config: LLMConfig, B: int, T: int, past: int = 0) -> Dict[str, int]:
    """每个字母的值；past 是过去的词元数，也算一个。"""
    values = (B, T, past + T, config.hidden_size, config.vocab_size, config.intermediate_size)
    heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
    rest = (config.max_position_embeddings, *heads, config.rotary_dim, past)
    return dict(zip(LETTERS, values + rest, strict=True))


def evaluate(expression: str, letters: Mapping[str, int]) -> int:
    """一个式子的值：字母、整数、乘积、加一、除以二，如 2*I、R/2、S+1。"""
    total = 0
    for term in expression.split("+"):
        product = 1
        for factor in term.split("*"):
            name, _, divisor = factor.partition("/")
            product *= (int(name) if name.isdigit() else letters[name]) // int(divisor or 1)
        total += product
    return total


class _Whole:
    """交给 `greedy_generate` 的模型：已经有了过去，只送 new，全部位置的 logits 都留着。"""

    def __init__(self, model: LLMForCausalLM, past: DynamicCache) -> None:
        self.model, self.config, self.past = model, model.config, past

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> ModelOutput:
        new = input_ids[:, self.past.get_seq_length() :]  # (B, T)
        return self.model(new, past_key_values=self.past, use_cache=True)


def build(config: LLMConfig) -> LLMForCausalLM:
    """一个随机初始化的模型；不动外面的随机数。"""
    with torch.random.fork_rng(devices=[]):
        return LLMForCausalLM(config).eval()


def _run(config: LLMConfig, B: int, T: int, past: int) -> List[Row]:
    """真的跑：先填缓存（不看），再从词元号到下一个词元（逐行看）。"""
    model, cache = build(config), DynamicCache()
    ids = torch.arange(B * (past + T)).view(B, -1) % config.vocab_size  # (B, past+T)
    with torch.no_grad():
        if past:
            model(ids[:, :past], past_key_values=cache)
        with watch(model) as rows:
            greedy_generate(_Whole(model, cache), ids, 1)
    return rows


def _keyed(rows: List[Row]) -> List[Tuple[Key, Row]]:
    """给每一行一个在不同的尺寸下也相同的键。"""
    return [((row.module, row.line, row.variable, row.visit), row) for row in rows]


def probe(config: LLMConfig) -> LLMConfig:
    """开关与 `config` 相同、尺寸取 `SIZES` 的配置。"""
    return _tiny(_flags(config))


def _flags(config: LLMConfig) -> Flags:
    return tuple((name, getattr(config, name)) for name in FLAGS)


def _tiny(flags: Flags) -> LLMConfig:
    return LLMConfig(**{**dict(flags), **SIZES})


@lru_cache(maxsize=64)
def _names(flags: Flags) -> Dict[Key, Tuple[str, ...]]:
    """在 `SIZES` 上把 `PROBES` 的每一种都跑一次，找出每个张量的字母。"""
    tiny = _tiny(flags)
    tables = [table(tiny, *how) for how in PROBES]
    runs = [dict(_keyed(_run(tiny, *how))) for how in PROBES]
    named = {}
    for key in {**runs[0], **runs[1]}:
        met = [i for i, run in enumerate(runs) if key in run]
        dims = zip(*(runs[i][key].shape for i in met), strict=True)
        named[key] = tuple(letter(numbers, [tables[i] for i in met]) for numbers in dims)
    return named


def table(config: LLMConfig, B: int, T: int, past: int) -> Dict[str, int]:
    """式子 → 值，常用的在前：字母、R/2、2*I、S+1、两两的积。"""
    letters = sizes(config, B, T, past)
    whole = [name for name in LETTERS if name != "R"]  # R·H 与 D·K 可能相等
    pairs = [f"{a}*{b}" for a, b in combinations_with_replacement(whole, 2)]
    return {text: evaluate(text, letters) for text in (*LETTERS, "R/2", "2*I", "S+1", *pairs)}


def letter(numbers: Tuple[int, ...], tables: Sequence[Mapping[str, int]]) -> str:
    """每次跑出来的数都对得上的第一个式子；没有就写数。"""
    if set(numbers) == {1}:
        return "1"
    sized = list(zip(numbers, tables, strict=True))
    fits = (text for text in tables[0] if all(table[text] == n for n, table in sized))
    return next(fits, str(numbers[0]))
