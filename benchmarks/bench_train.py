"""训练的一次更新与同样权重的 transformers Llama、与 HF Trainer 比快慢；另量学得怎样。

快慢：单线程、轮流跑、计 CPU 时间，比值是对方 ÷ 我方，大于 1 是我方快。
学得怎样：三个种子，在 Python 自带的说明上，留出文字每字节的比特数与一元、xz 并排；
微调之后一百个没见过的问题里有几个停得下来。

    python -m benchmarks.bench_train [--rounds N] [--only 快慢|学得怎样]
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from benchmarks.bench_llm import Case, Result, measure, row, show
from benchmarks.compare import save
from llm import LLMConfig, LLMForCausalLM
from llm.train.data import Document, Rows, encode_text, pack, render, split
from llm.train.loop import TrainConfig, bits_per_byte, fit, train_step
from llm.train.optim import build_optimizer
from llm.train.pretrain import unigram_bits, xz_bits
from llm.train.tokenizer import byte_lengths, train_tokenizer
from rizhi import corpus

SHAPE: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
BATCH, T = 8, 128
UPDATES = 8  # 一轮里几次更新


def models() -> tuple[LlamaForCausalLM, LLMForCausalLM]:
    """同一套权重的两个模型。"""
    torch.manual_seed(0)
    special = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    theirs = LlamaForCausalLM(LlamaConfig(**SHAPE, **special))
    ours = LLMForCausalLM(LLMConfig(**SHAPE))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def rows(count: int) -> Rows:
    """一行一篇，没有打包：两边看到的正是同样的张量。"""
    ids = torch.randint(3, SHAPE["vocab_size"], (count, T))
    return Rows(ids, ids, torch.arange(T).expand(count, -1))


def updates(model: torch.nn.Module, given: Rows) -> Callable[[], list[float]]:
    """几次更新，每次的损失。"""
    optimizer = build_optimizer(model, 1e-4, 0.1, (0.9, 0.95))
    batches = [given.batch(chosen) for chosen in torch.arange(len(given)).split(BATCH)]

    def run() -> list[float]:
        return [train_step(model, optimizer, [batch], 1e-4, 1.0).loss for batch in batches]

    return run


def against_llama() -> Case:
    """同一个循环里，换上 transformers 的 Llama。"""
    theirs, ours = models()
    given = rows(BATCH * UPDATES)
    case = Case("更新，比 HF Llama", updates(theirs, given), updates(ours, given), 1.00)
    for a, b in zip(case.theirs(), case.ours(), strict=True):
        assert abs(a - b) < 1e-3, f"损失不同：{a} 与 {b}"
    return case


def against_trainer() -> Case:
    """同一个模型，换上 HF Trainer 的循环；两边都是从头训一遍，最后都存一个检查点。"""
    given = rows(BATCH * UPDATES * 12)
    folder = Path(tempfile.mkdtemp())
    count = len(given) // BATCH
    listed: Any = [{k: v[n] for k, v in vars(given).items()} for n in range(len(given))]

    def by_trainer() -> None:
        arguments = TrainingArguments(
            output_dir=str(folder / "hf"),
            per_device_train_batch_size=BATCH,
            max_steps=count,
            learning_rate=1e-4,
            lr_scheduler_type="cosine",
            weight_decay=0.1,
            max_grad_norm=1.0,
            logging_steps=1,
            save_steps=count,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        )
        with quiet():
            Trainer(model=models()[1], args=arguments, train_dataset=listed).train()

    def by_hand() -> None:
        with tempfile.TemporaryDirectory() as out, quiet():
            config = TrainConfig(
                out=Path(out), seq_len=T, batch=BATCH, updates=count, lr=1e-4, least_lr=1e-5,
                warmup=0, validate_every=count, save_every=count, device="cpu",
            )  # fmt: skip
            fit(config, models()[1], given, lambda _: {}, lambda _: None)

    by_trainer()
    by_hand()
    return Case("更新，比 HF Trainer", by_trainer, by_hand, 1.05)


@contextmanager
def quiet() -> Iterator[None]:
    """两边的进度与记录都不上屏。"""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        before = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


# ---- 学得怎样 ----


def learned(seed: int) -> dict[str, float]:
    """一个种子：预训练与微调各一遍。"""
    documents = [Document(name, text) for name, text in corpus.python_topics()]
    train, held = split(documents, 0.1)
    tokenizer = train_tokenizer([one.text for one in train], 1024)
    encoded = [encode_text(tokenizer, one.text) for one in train]
    held_encoded = [encode_text(tokenizer, one.text) for one in held]
    lengths = torch.tensor(byte_lengths(tokenizer, 1024), dtype=torch.float64)
    torch.manual_seed(seed)
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = LLMForCausalLM(LLMConfig(**SHAPE | special | {"vocab_size": 1024}))
    trained(model, pack(encoded, T, tokenizer.pad_token_id), seed, 600, 1e-3)
    held_rows = pack(held_encoded, T, tokenizer.pad_token_id)
    found = {
        "模型": bits_per_byte(model, held_rows, lengths, 16),
        "一元": unigram_bits(encoded, held_encoded, lengths.tolist()),
        "xz": xz_bits([one.text for one in train], [one.text for one in held]),
    }
    talks, asked = questions(train), questions(documents)
    rendered = [render(tokenizer, talk) for talk in talks]
    fitting = pack([one for one in rendered if len(one[0]) <= T], T, tokenizer.pad_token_id)
    trained(model, fitting, seed, 400, 5e-4)
    known = {talk[0]["content"] for talk in talks}
    fresh = [talk[0] for talk in asked if talk[0]["content"] not in known][:100]
    found["停得下来"] = sum(ends(model, tokenizer, question) for question in fresh)
    found["问了"] = len(fresh)
    return found


def questions(documents: list[Document]) -> list[list[dict[str, str]]]:
    """每个词头几次出现在哪一句里：问那个词，答那一句。"""
    found = []
    for document in documents:
        for sentence in document.text.replace("\n", " ").split(". ")[:40]:
            words = [word for word in sentence.split() if word.isalpha() and len(word) > 5]
            if words and 20 < len(sentence) < 120:
                said = " ".join(sentence.split())
                found.append(
                    [
                        {"role": "user", "content": f"{words[0]} {words[-1]}?"},
                        {"role": "assistant", "content": said + "."},
                    ]
                )
    return found


def trained(model: LLMForCausalLM, given: Rows, seed: int, count: int, lr: float) -> None:
    with tempfile.TemporaryDirectory() as out, quiet():
        config = TrainConfig(
            out=Path(out), seq_len=T, batch=BATCH, updates=count, lr=lr, least_lr=lr / 10,
            validate_every=count, save_every=count, seed=seed, device="cpu",
        )  # fmt: skip
        fit(config, model, given, lambda _: {}, lambda _: None)


@torch.inference_mode()
def ends(model: LLMForCausalLM, tokenizer: Any, question: dict[str, str]) -> bool:
    """贪心地答，六十四个词元之内停下来没有。"""
    ids = tokenizer.apply_chat_template(
        [question], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    answer = model.eval().generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False
    )
    return bool((answer[0, ids.shape[1] :] == tokenizer.eos_token_id).any())


def spread(found: list[dict[str, float]], name: str) -> str:
    values = [one[name] for one in found]
    return f"{statistics.median(values):.3f}（{min(values):.3f}–{max(values):.3f}）"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7, help="每项轮数")
    parser.add_argument("--only", choices=["快慢", "学得怎样"])
    asked = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(1)
    results: list[Result] = []
    if asked.only in (None, "快慢"):
        print(row("项目", "比值", "四分位", "轮数", "对方", "我方", "目标", ""))
        for case in (against_llama(), against_trainer()):
            results.append(measure(case, asked.rounds))
            print(show(results[-1]), flush=True)
    found = []
    if asked.only in (None, "学得怎样"):
        found = [learned(seed) for seed in range(3)]
        for name in ("模型", "一元", "xz"):
            print(f"每字节的比特数，{name}：{spread(found, name)}")
        print(f"微调之后停得下来：{spread(found, '停得下来')}，问了 {found[0]['问了']:g} 个")
    save("train", {"快慢": [vars(one) for one in results], "学得怎样": found})
    fine = all(one["模型"] < one["一元"] and one["停得下来"] >= 95 for one in found)
    return 0 if fine and all(one.ratio >= one.target for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
