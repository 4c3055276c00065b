"""大到哪里就不再有用：四个大小、两份语料，各训一遍，写成一个 JSONL。

python -m llm.lab.scaling snippets/runs/scaling.jsonl      # 两核的 CPU 上几分钟

语料是 Python 自带的说明；留出的篇目两份语料共用，少的那份是训练篇目的一个前缀。
"""

import json
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Dict, Iterator, List, Tuple

import torch
from tqdm import tqdm

from llm.config import LLMConfig
from llm.model import LLMForCausalLM
from llm.train.budget import budget
from llm.train.data import Document, Position, Rows, encode_text, pack, split, take
from llm.train.loop import bits_per_byte, train_step
from llm.train.optim import build_optimizer, lr_at
from llm.train.tokenizer import byte_lengths, train_tokenizer

SIZES = ((16, 1), (32, 2), (64, 3), (128, 4))  # C 与层数；每一档大约是前一档的三到五倍
SHARES = (1.0, 0.125)  # 训练的文字用多少
V, T, B, UPDATES, WARMUP, PEAK = 1024, 64, 16, 300, 20, 3e-3
LOOKS = 10  # 训练中看几眼


def model_config(C: int, layers: int) -> LLMConfig:
    """一个大小的配置；头宽都是 16。"""
    return LLMConfig(
        vocab_size=V,
        hidden_size=C,
        intermediate_size=3 * C,
        num_hidden_layers=layers,
        num_attention_heads=C // 16,
        num_key_value_heads=C // 16,
        head_dim=16,
        max_position_embeddings=T,
        tie_word_embeddings=True,
    )


def trained(config: LLMConfig, rows: Rows) -> Iterator[Tuple[int, float, LLMForCausalLM]]:
    """训一个大小；隔一阵给出做完了几次更新、这一阵的平均损失与模型。"""
    torch.manual_seed(0)
    model = LLMForCausalLM(config)
    optimizer = build_optimizer(model, PEAK, 0.1, (0.9, 0.95))
    position, losses = Position(), []
    for update in range(1, UPDATES + 1):
        batch, position = take(rows, position, B, seed=0)
        lr = lr_at(update, UPDATES, PEAK, WARMUP, PEAK / 10)
        losses.append(train_step(model, optimizer, [batch], lr, clip=1.0).loss)
        if update % (UPDATES // LOOKS) == 0:
            yield update, sum(losses) / len(losses), model
            losses.clear()


def measure() -> Iterator[Dict[str, Any]]:
    """每个大小、每份语料、每看一眼，一行。

    单位：loss 是这一阵训练里每个词元的 nat，held_out 是留出文字每字节的比特数，
    flops 是到此为止的浮点运算次数。
    """
    documents = [Document(f"python/{name}", text) for name, text in sorted(topics.items())]
    train, held = split(documents, 0.1)
    tokenizer = train_tokenizer([one.text for one in train], V)
    lengths = torch.tensor(byte_lengths(tokenizer, V), dtype=torch.float64)

    def rows_of(chosen: List[Document]) -> Rows:
        encoded = [encode_text(tokenizer, one.text) for one in chosen]
        return pack(encoded, T, tokenizer.pad_token_id)

    held_rows = rows_of(held)
    for share in SHARES:
        rows = rows_of(train)
        rows = Rows(**rows.batch(torch.arange(int(len(rows) * share))))
        for C, layers in SIZES:
            config = model_config(C, layers)
            cost = budget(config, B, T)
            for update, loss, model in trained(config, rows):
                yield {
                    "C": C,
                    "layers": layers,
                    "parameters": cost.parameters,
                    "data": rows.input_ids.numel(),
                    "update": update,
                    "seen": update * B * T,
                    "flops": update * B * T * cost.flops,
                    "loss": loss,
                    "held_out": bits_per_byte(model, held_rows, lengths, B),
                }


def main(out: Path) -> None:
    """全部做完才写：写到一半的一份没有用。"""
    lines: List[Dict[str, Any]] = [{"command": f"python -m llm.lab.scaling {out}"}]
    lines += tqdm(measure(), total=len(SHARES) * len(SIZES) * LOOKS, desc="大小")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
