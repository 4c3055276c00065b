"""llm/ 与同形状的 transformers Llama 比快慢：训练一步、贪心解码，另数编译的断图。

两边权重相同、单线程、轮流跑，先后次序每轮对调；计 CPU 时间，报告每轮比值（对方 ÷ 我方，
大于 1 是我方快）的中位数与四分位。结果另存为 benchmarks/results/llm.json。

    python benchmarks/bench_llm.py [--rounds N] [--only 训练|解码|断图]
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import transformers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.compare import quartiles, save
from llm import LLMConfig, LLMForCausalLM
from llm.model import greedy_generate

SHAPE: dict[str, Any] = {
    "vocab_size": 6400,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
TRAIN_TARGET = 1.00
DECODE_TARGETS = {64: 1.09, 1024: 1.03}  # 提示的长度 → 比值


@dataclass(frozen=True)
class Case:
    """一项比较：两边各自的一轮，与要达到的比值。"""

    name: str
    theirs: Callable[[], Any]
    ours: Callable[[], Any]
    target: float


@dataclass(frozen=True)
class Result:
    """每轮比值的中位数与四分位，两边 CPU 秒数的中位数。"""

    name: str
    ratio: float
    low: float
    high: float
    theirs_s: float
    ours_s: float
    rounds: int
    target: float


def models() -> tuple[LlamaForCausalLM, LLMForCausalLM]:
    """同一套权重的两个模型。"""
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(
        LlamaConfig(**SHAPE, pad_token_id=None, bos_token_id=None, eos_token_id=None)
    )
    ours = LLMForCausalLM(LLMConfig.preset("llama", **SHAPE))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def trainer(model: torch.nn.Module, ids: Tensor) -> Callable[[], float]:
    """一个训练步：前向、反向、AdamW。"""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> float:
        model.train()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def train_case(batch: int, length: int) -> Case:
    """训练一步；两边从同样的权重出发，先核对损失一致。"""
    theirs, ours = models()
    ids = torch.randint(SHAPE["vocab_size"], (batch, length))
    case = Case(
        f"训练 B{batch} × T{length}", trainer(theirs, ids), trainer(ours, ids), TRAIN_TARGET
    )
    a, b = case.theirs(), case.ours()
    assert abs(a - b) < 1e-4, f"损失不同：{a} 与 {b}"
    return case


def decode_case(prompt: int, new: int) -> Case:
    """贪心解码；先核对逐个词元相同。

    两边读同一份权重：一步的时间多半花在读它上，两份各在内存的一处，位置的好坏会算到模型头上。
    """
    theirs, ours = (model.eval() for model in models())
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    ids = torch.randint(SHAPE["vocab_size"], (1, prompt))
    mask = torch.ones_like(ids)
    case = Case(
        f"解码 {prompt} + {new}",
        lambda: theirs.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False),
        lambda: greedy_generate(ours, ids, new),
        DECODE_TARGETS[prompt],
    )
    assert torch.equal(case.theirs(), case.ours()), "词元不同"
    return case


def cpu_seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def measure(case: Case, rounds: int) -> Result:
    """轮流跑，次序每轮对调：机器忽快忽慢时，同一轮的两边受到同样的影响。"""
    theirs: list[float] = []
    ours: list[float] = []
    for index in range(rounds):
        pair = [(theirs, case.theirs), (ours, case.ours)]
        for times, action in pair if index % 2 else reversed(pair):
            times.append(cpu_seconds(action))
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, ratio, high = quartiles(ratios)
    medians = statistics.median(theirs), statistics.median(ours)
    return Result(case.name, ratio, low, high, *medians, rounds, case.target)


def graph_breaks() -> dict[str, int]:
    """`torch._dynamo.explain` 数出的断图；0 表示整个前向是一张图。"""
    breaks = {}
    for backend in ("sdpa", "manual"):
        ours = LLMForCausalLM(LLMConfig(**SHAPE, attention_backend=backend)).eval()
        for name, kwargs in explained(ours).items():
            torch._dynamo.reset()
            count = torch._dynamo.explain(ours)(**kwargs).graph_break_count
            breaks[f"{name}（{backend}）"] = count
    return breaks


def explained(model: LLMForCausalLM) -> dict[str, dict[str, object]]:
    """要数断图的几种输入。"""
    ids = torch.randint(SHAPE["vocab_size"], (2, 16))
    with torch.no_grad():
        past = model(ids, use_cache=True).past_key_values
    pairs = tuple((layer.keys, layer.values) for layer in past.layers)
    one, mask = ids[:, :1], torch.ones_like(ids)
    return {
        "整段": {"input_ids": ids, "use_cache": False},
        "填充掩码": {"input_ids": ids, "attention_mask": mask},
        "标签": {"input_ids": ids, "labels": ids, "use_cache": False},
        "留末尾": {"input_ids": ids, "attention_mask": mask, "logits_to_keep": 1},
        "位置": {"input_ids": ids, "position_ids": torch.arange(16)[None]},
        "元组缓存": {"input_ids": one, "past_key_values": pairs, "use_cache": True},
        "Cache 缓存": {"input_ids": one, "past_key_values": past, "use_cache": True},
    }


def arithmetic() -> dict[str, object]:
    """torch 用什么算：线程数与编进去的库。"""
    return {
        "线程": torch.get_num_threads(),
        "mkl": torch.backends.mkl.is_available(),
        "mkldnn": torch.backends.mkldnn.is_available(),
        "openmp": torch.backends.openmp.is_available(),
        "指令集": torch.backends.cpu.get_cpu_capability(),
    }


def row(*cells: str) -> str:
    """一行表格；中文占两格，按显示的宽度补空格。"""
    widths = (16, 8, 16, 6, 10, 10, 8, 8)
    shown = (sum(2 if ord(c) > 0x2E80 else 1 for c in cell) for cell in cells)
    pairs = zip(cells, shown, widths, strict=True)
    return "".join(cell + " " * (width - taken) for cell, taken, width in pairs)


def show(result: Result) -> str:
    """一项比较占一行。"""
    return row(
        result.name,
        f"{result.ratio:.3f}",
        f"{result.low:.3f}–{result.high:.3f}",
        str(result.rounds),
        f"{result.theirs_s:.3f} s",
        f"{result.ours_s:.3f} s",
        f"≥ {result.target:.2f}",
        "达标" if result.ratio >= result.target else "未达标",
    )


def compare(only: str | None, rounds: int) -> list[Result]:
    """跑训练与解码各项，边跑边印。"""
    cases = {"训练": [(4, 256), (1, 1024)], "解码": [(64, 128), (1024, 64)]}
    make = {"训练": train_case, "解码": decode_case}
    results = []
    print(row("项目", "比值", "四分位", "轮数", "HF", "我方", "目标", ""))
    for kind, shapes in cases.items():
        for shape in shapes if only in (None, kind) else ():
            results.append(measure(make[kind](*shape), rounds))
            print(show(results[-1]), flush=True)
    return results


def main() -> int:
    """跑完全部项目，印表、写 JSON；有一项未达标或有一处断图，退出码就是 1。"""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="每项轮数")
    parser.add_argument("--only", choices=("训练", "解码", "断图"), help="只跑一类")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    results = [] if args.only == "断图" else compare(args.only, args.rounds)
    breaks = graph_breaks() if args.only in (None, "断图") else {}
    for name, count in breaks.items():
        print(f"断图 {name}：{count}")
    save("llm", {"torch": arithmetic(), "比较": [asdict(r) for r in results], "断图": breaks})
    return int(any(r.ratio < r.target for r in results) or any(breaks.values()))


if __name__ == "__main__":
    sys.exit(main())
