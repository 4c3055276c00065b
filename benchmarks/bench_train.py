"""训练的一次更新与同样权重的 transformers Llama、与 HF Trainer 比快慢；另量学得怎样。

快慢：单线程、一次更新一换、计 CPU 时间，比值是对方 ÷ 我方，大于 1 是我方快。
学得怎样：三个种子，在 Python 自带的说明上，留出文字每字节的比特数与一元、xz 并排；
微调之后，出自留出各篇的一百个问题里有几个停得下来。

    python -m benchmarks.bench_train [--rounds N] [--only 快慢|学得怎样]
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from benchmarks.bench_llm import Case, Result, measure, row, show
from benchmarks.compare import quartiles, save
from llm import LLMConfig, LLMForCausalLM
from llm.train.data import Document, Rows, encode_text, pack, prompt, render, split
from llm.train.loop import TrainConfig, bits_per_byte, fit, keep_freed_memory, train_step
from llm.train.optim import build_optimizer
from llm.train.pretrain import unigram_bits, xz_bits
from llm.train.sft import pack_whole
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
WARMUP = 3  # 头几次更新不计：线程、内存都还没有热
HELD_OUT = 0.3  # 留出三成，才问得满一百个没见过的


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


def updates(model: torch.nn.Module, given: Rows) -> Callable[[], float]:
    """每调用一次，做一次更新，返回损失。"""
    optimizer = build_optimizer(model.train(), 1e-4, 0.1, (0.9, 0.95))
    batches = cycle([given.batch(chosen) for chosen in torch.arange(len(given)).split(BATCH)])
    return lambda: train_step(model, optimizer, [next(batches)], 1e-4, 1.0).loss


def against_llama(rounds: int) -> Result:
    """同一个循环里，换上 transformers 的 Llama。"""
    theirs, ours = models()
    given = rows(BATCH * 8)
    case = Case("更新，比 HF Llama", updates(theirs, given), updates(ours, given), 1.00)
    for _ in range(WARMUP):
        a, b = case.theirs(), case.ours()
        assert abs(a - b) < 1e-3, f"损失不同：{a} 与 {b}"
    return measure(case, rounds)


class Turn:
    """两个进程各跑一个循环，一次更新一换，各记自己的 CPU 时间。

    各跑一长段再换，机器忽快忽慢就全算在一边头上；放在一个进程里，两边抢同一个堆。
    """

    def __init__(self, mine: Any, other: Any) -> None:
        self.mine, self.other = mine, other
        self.seconds: list[float] = []
        self.began = 0.0

    def change(self) -> None:
        """做完了一次更新：记下，让另一边做，等到又轮到自己。"""
        if self.began:
            self.seconds.append(time.process_time() - self.began)
            self.other.release()
        self.mine.acquire()
        self.began = time.process_time()


def against_trainer(rounds: int) -> Result:
    """同一个模型，换上 HF Trainer 的循环：一次更新连同取数据、学习率、每次都记的指标。"""
    context = multiprocessing.get_context("spawn")
    first, second = context.Semaphore(1), context.Semaphore(0)
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    turns = Turn(first, second), Turn(second, first)
    for loop, turn, (_, sender) in zip((by_trainer, by_hand), turns, pipes, strict=True):
        given = (loop, turn, rounds + WARMUP + 1, sender)  # 每次从上一次换手数起，所以多一次
        context.Process(target=alone, args=given, daemon=True).start()
        sender.close()  # 那一边若中途出错，这里读到的就是 EOFError，不是一直等
    theirs, ours = (receiver.recv()[WARMUP:] for receiver, _ in pipes)
    low, ratio, high = quartiles([a / b for a, b in zip(theirs, ours, strict=True)])
    medians = statistics.median(theirs), statistics.median(ours)
    return Result("更新，比 HF Trainer", ratio, low, high, *medians, len(ours), 1.05)


def alone(loop: Callable[..., None], turn: Turn, count: int, sender: Any) -> None:
    """在自己的进程里跑完一个循环，把每次更新的秒数送回去。"""
    disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, quiet():
        loop(turn, rows(BATCH * count), Path(folder))
    turn.other.release()
    sender.send(turn.seconds)


def by_trainer(turn: Turn, given: Rows, folder: Path) -> None:
    class Change(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            turn.change()

    listed: Any = [{k: v[n] for k, v in vars(given).items()} for n in range(len(given))]
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=len(given) // BATCH,
        learning_rate=1e-4,
        lr_scheduler_type="cosine",
        weight_decay=0.1,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    Trainer(models()[1], arguments, train_dataset=listed, callbacks=[Change()]).train()


def by_hand(turn: Turn, given: Rows, folder: Path) -> None:
    def change(_: torch.nn.Module) -> dict[str, float]:
        turn.change()
        return {}

    keep_freed_memory()  # 与 python -m llm.train 一样
    count = len(given) // BATCH
    config = TrainConfig(
        out=folder, seq_len=T, batch=BATCH, updates=count, lr=1e-4, least_lr=1e-5, warmup=0,
        validate_every=1, save_every=count, device="cpu",
    )  # fmt: skip
    fit(config, models()[1], given, change, lambda _: None)


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
    train, held = split(documents, HELD_OUT)
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
    talks, asked = questions(train), questions(held)
    rendered = [render(tokenizer, talk) for talk in talks]
    trained(model, pack_whole(rendered, T, tokenizer.pad_token_id), seed, 400, 5e-4)
    known = {talk[0]["content"] for talk in talks}
    fresh = list({talk[0]["content"] for talk in asked} - known)
    chosen = random.Random(seed).sample(sorted(fresh), 100)
    found["停得下来"] = sum(ends(model, tokenizer, question) for question in chosen)
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
def ends(model: LLMForCausalLM, tokenizer: Any, question: str) -> bool:
    """贪心地答，六十四个词元之内停下来没有；教过的回答最长五十八个。"""
    ids = torch.tensor([prompt(tokenizer, [{"role": "user", "content": question}])])
    answer = model.eval().generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False
    )
    return bool((answer[0, ids.shape[1] :] == tokenizer.eos_token_id).any())


def spread(found: list[dict[str, float]], name: str) -> str:
    values = [one[name] for one in found]
    return f"{statistics.median(values):.3f}（{min(values):.3f}–{max(values):.3f}）"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100, help="每项几次更新")
    parser.add_argument("--only", choices=["快慢", "学得怎样"])
    asked = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(1)
    results: list[Result] = []
    if asked.only in (None, "快慢"):
        print(row("项目", "比值", "四分位", "轮数", "对方", "我方", "目标", ""))
        for compared in (against_llama, against_trainer):
            results.append(compared(asked.rounds))
            print(show(results[-1]), flush=True)
    found = []
    if asked.only in (None, "学得怎样"):
        found = [learned(seed) for seed in range(3)]
        for name in ("模型", "一元", "xz"):
            print(f"每字节的比特数，{name}：{spread(found, name)}")
        print(f"微调之后，一百个没见过的问题里停得下来：{spread(found, '停得下来')}")
    save("train", {"快慢": [vars(one) for one in results], "学得怎样": found})
    fine = all(one["模型"] < one["一元"] and one["停得下来"] >= 95 for one in found)
    return 0 if fine and all(one.ratio >= one.target for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
