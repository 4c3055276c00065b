"""真的跑一次前向，把 `llm/model.py` 里做的每次 torch 运算按先后报出来：谁变成谁，在哪一行。

`llm.lab.shapes` 看的是一条语句得到什么；一条语句里常有几步，如 `linear → view → transpose`。
这里用 `TorchFunctionMode` 把它们拆开，每步的形状照样是找出来的。

    from llm import LLMConfig
    from llm.lab.operations import operations

    for step in operations(LLMConfig.preset("llama", num_hidden_layers=1)):
        print(step.line, step.name, step.letters)
"""

import sys
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers.utils import ModelOutput

import llm.model
from llm.config import LLMConfig
from llm.lab.shapes import Row, build, letter, probe, table, watch
from llm.model import LLMForCausalLM, greedy_generate

Past = Tuple[Tuple[Tensor, Tensor], ...]
# 找字母时的 (B, T, past)：prefill 一次，decode 一次；两次做的运算一样多
PHASES = ((7, 13, 0), (7, 1, 17))


@dataclass(frozen=True)
class Call:
    """调用栈上的一层：第几次调用、哪个函数、停在哪一行。"""

    number: int
    function: str
    line: int


@dataclass(frozen=True)
class Operation:
    """一次运算：`inputs` 与 `outputs` 是张量的编号，`weights` 是用到的参数的名字。

    `calls` 从里到外，是 `llm/model.py` 里正在执行的各个函数。
    """

    name: str
    module: str
    calls: Tuple[Call, ...]
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    weights: Tuple[str, ...] = ()
    letters: Tuple[Tuple[str, ...], ...] = ()

    @property
    def line(self) -> int:
        """做这次运算的那一行。"""
        return self.calls[0].line


@dataclass(frozen=True)
class Run:
    """一次跟踪：各次运算、逐行的跟踪，与按编号排的张量。"""

    operations: Tuple[Operation, ...]
    rows: Tuple[Row, ...]
    tensors: Tuple[Tensor, ...]

    @property
    def names(self) -> Dict[int, Row]:
        """张量的编号 → 头一个给它名字的那一行。"""
        numbers = {id(tensor): number for number, tensor in enumerate(self.tensors)}
        first: Dict[int, Row] = {}
        for row in self.rows:
            if row.identity in numbers:
                first.setdefault(numbers[row.identity], row)
        return first


class _Recorder(TorchFunctionMode):
    """每次 torch 运算做完，记下它的来处与去处；`llm/model.py` 之外发起的不记。"""

    def __init__(self, model: LLMForCausalLM) -> None:
        super().__init__()
        self.paths = {id(part): name for name, part in model.named_modules()}
        self.parameters = {id(weight): name for name, weight in model.named_parameters()}
        self.tensors: List[Tensor] = []  # 留着引用，id 才不会被别的张量用去
        self.numbers: Dict[int, int] = {}
        self.frames: Dict[FrameType, int] = {}
        self.found: List[Operation] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        frames = self._frames(sys._getframe(1))
        outputs = [self._number(t) for t in _tensors(result) if id(t) not in self.numbers]
        if frames and outputs:
            used = _tensors((args, tuple(given.values())))
            self._add(func, frames, used, outputs)
        return result

    def _add(
        self, func: Any, frames: List[FrameType], used: List[Tensor], outputs: List[int]
    ) -> None:
        owners = (self.paths.get(id(f.f_locals.get("self"))) for f in frames)
        calls = (
            Call(self.frames.setdefault(f, len(self.frames)), f.f_code.co_qualname, f.f_lineno)
            for f in frames
        )
        self.found.append(
            Operation(
                name=func.__name__.strip("_"),
                module=next((path for path in owners if path is not None), ""),
                calls=tuple(calls),
                inputs=tuple(self._number(t) for t in used if id(t) not in self.parameters),
                outputs=tuple(outputs),
                weights=tuple(self.parameters[id(t)] for t in used if id(t) in self.parameters),
            )
        )

    def _number(self, tensor: Tensor) -> int:
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return self.numbers[id(tensor)]

    def _frames(self, frame: Any) -> List[FrameType]:
        """调用栈上属于 `llm/model.py` 的各层，从里到外。"""
        found = []
        while frame is not None:
            if frame.f_code.co_filename == llm.model.__file__:
                found.append(frame)
            frame = frame.f_back
        return found


class _ByLayer:
    """交给 `greedy_generate` 的模型：只送 new，过去每层一对 (k, v)，全部位置的 logits 都留着。"""

    def __init__(self, model: LLMForCausalLM, new: Tensor, past: Past) -> None:
        self.model, self.config, self.new, self.past = model, model.config, new, past

    def __call__(self, *_: Any, **__: Any) -> ModelOutput:
        out = self.model(self.new, past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return out


def empty_past(config: LLMConfig, B: int) -> Past:
    """还没有过去：每层一对长度为 0 的键与值，各 (B, K, 0, D)。"""
    size = (B, config.num_key_value_heads, 0, config.head_dim)
    return tuple((torch.zeros(size), torch.zeros(size)) for _ in range(config.num_hidden_layers))


def run(model: LLMForCausalLM, input_ids: Tensor, past: Past) -> Tuple[Run, Past, Tensor]:
    """送进还没进缓存的词元、走完一次前向、接上下一个词元，全程记下。

    形状：input_ids (B, S)，past 每层一对 (B, K, past, D) → 记录、(B, K, S, D)、(B, S+1)。
    """
    new = input_ids[:, past[0][0].shape[2] :].clone()  # (B, T)
    by_layer, recorder = _ByLayer(model, new, past), _Recorder(model)
    with torch.no_grad(), watch(model) as rows, recorder:
        longer = greedy_generate(by_layer, input_ids, 1)  # (B, S+1)
    made = Run(tuple(recorder.found), tuple(rows), tuple(recorder.tensors))
    return made, by_layer.past, longer


def phase(config: LLMConfig, B: int, T: int, past: int) -> Run:
    """按 `config` 建一个模型，先填好这么长的缓存，再记下送进 T 个词元的那一次。"""
    model = build(config)
    ids = torch.arange(B * (past + T)).view(B, -1) % config.vocab_size  # (B, past+T)
    filled = empty_past(config, B)
    if past:
        with torch.no_grad():
            out = model(ids[:, :past], past_key_values=filled, use_cache=True)
        filled = out.past_key_values
    return run(model, ids, filled)[0]


def lettered(config: LLMConfig) -> Tuple[Run, Dict[int, Tuple[str, ...]]]:
    """prefill 的记录，与每个张量的形状写成的字母：在 prefill 与 decode 里都对得上的才算。"""
    tiny = probe(config)
    first, second = (phase(tiny, *how) for how in PHASES)
    named = _letters(first.tensors, second.tensors, [table(tiny, *how) for how in PHASES])
    found = (
        replace(step, letters=tuple(named[n] for n in step.outputs)) for step in first.operations
    )
    return replace(first, operations=tuple(found)), named


def operations(config: LLMConfig) -> Tuple[Operation, ...]:
    """一次前向里的每次运算，连同结果的形状。"""
    return lettered(config)[0].operations


def _letters(
    first: Sequence[Tensor], second: Sequence[Tensor], tables: List[Mapping[str, int]]
) -> Dict[int, Tuple[str, ...]]:
    """两次里编号相同的张量是同一个。"""
    pairs = zip(first, second, strict=True)
    return {
        number: tuple(letter(sizes, tables) for sizes in zip(a.shape, b.shape, strict=True))
        for number, (a, b) in enumerate(pairs)
    }


def _tensors(value: Any) -> List[Tensor]:
    """一个值里的张量；元组与列表里的也算。"""
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, (tuple, list)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
