"""每一个训练里的错都被它的不变量看见；每条不变量在没有错时成立，而且真的查了东西。"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.loss import next_token_loss
from llm.model import LLMForCausalLM
from llm.train import data, loop, lora, optim
from llm.train.data import IGNORED, Document, Position, Rows
from llm.train.loop import TrainConfig
from llm.train.tokenizer import train_tokenizer
from tests.llm.train.conftest import tiny as build

INVARIANTS: dict[str, Callable[[Path], None]] = {}
DIALOGUE = (
    {"role": "user", "content": "掩码里 True 是什么？"},
    {"role": "assistant", "content": "看得见。"},
    {"role": "user", "content": "False 呢？"},
    {"role": "assistant", "content": "看不见。"},
)
ANSWERS = "看得见。<|im_end|>看不见。<|im_end|>"


def invariant(check: Callable[[Path], None]) -> Callable[[Path], None]:
    INVARIANTS[check.__name__] = check
    return check


def tiny(**changed: Any) -> LLMForCausalLM:
    """一层、两个头，输出头不与词嵌入绑在一起。"""
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "tie_word_embeddings": False}
    return build(61, **{**small, **changed})


def documents(count: int = 6, V: int = 61) -> list[data.Encoded]:
    """长短不一的几篇；0 是填充，1 是结束。"""
    torch.manual_seed(1)
    ids = [[*torch.randint(2, V, (3 + 2 * n,)).tolist(), 1] for n in range(count)]
    return [(one, list(one)) for one in ids]


def micro_batches() -> list[data.Batch]:
    """两个小批，计入损失的词元数差得远。"""
    torch.manual_seed(2)
    ids = torch.randint(2, 61, (2, 3, 12))
    labels = ids.clone()
    labels[1, :, 4:] = IGNORED
    positions = torch.arange(12).expand(3, -1)
    return [
        {"input_ids": i, "labels": one, "position_ids": positions}
        for i, one in zip(ids, labels, strict=True)
    ]


def small_tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([ANSWERS, DIALOGUE[0]["content"], "False 呢？"], 270)


def gradients(batches: list[data.Batch], clip: float = 1e9) -> tuple[torch.Tensor, loop.Step]:
    """一次更新真正用了的梯度：学习率是 1 的 SGD 走了多远。"""
    model = tiny()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    step = loop.train_step(model, torch.optim.SGD(model.parameters()), batches, 1.0, clip)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    return before - after, step


# ---- 数据与标签 ----


@invariant
def oracle_costs_nothing(_: Path) -> None:
    """logits 恰好是下一个词元时，损失是 0。"""
    tokenizer = small_tokenizer()
    rows = data.pack([data.encode_text(tokenizer, "看得见。看不见。")], 16, 0)
    following = F.pad(rows.input_ids[:, 1:], (0, 1))
    logits = 50.0 * F.one_hot(following, len(tokenizer))
    assert (rows.labels != IGNORED).sum() > 5
    assert loop_loss(logits, rows.labels) < 1e-4


def loop_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return next_token_loss(logits, labels).item()


@invariant
def noise_cannot_be_learned(_: Path) -> None:
    """每一批都是新的均匀噪声，谁也猜不到 ln V 以下。"""
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    torch.manual_seed(3)
    losses = []
    for _step in range(60):
        ids = torch.randint(61, (8, 16))
        loss = model(ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 > math.log(61) - 0.05


@invariant
def loss_is_precise(_: Path) -> None:
    """与双精度算的相差不到千分之二。"""
    model, batch = tiny(), micro_batches()[0]
    with torch.no_grad():
        model.lm_head.weight *= 20
        out = model(**batch)
    target = F.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
    exact = F.cross_entropy(out.logits.double().flatten(0, 1), target.flatten())
    assert abs(out.loss.item() - exact.item()) < 2e-3


@invariant
def first_loss_is_ln_v(_: Path) -> None:
    ids = micro_batches()[0]["input_ids"]
    assert abs(tiny()(ids, labels=ids).loss.item() - math.log(61)) < 0.1


@invariant
def padding_changes_nothing(_: Path) -> None:
    """多五列填充，损失不变。"""
    one = documents(1)
    tight, loose = (data.pack(one, T, 0) for T in (len(one[0][0]), len(one[0][0]) + 5))
    assert loose.input_ids.shape[1] == tight.input_ids.shape[1] + 5
    losses = [tiny()(**vars(rows), use_cache=False).loss.item() for rows in (tight, loose)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@invariant
def every_turn_ends(_: Path) -> None:
    tokenizer = small_tokenizer()
    _ids, labels = data.render(tokenizer, DIALOGUE)
    assert labels.count(tokenizer.eos_token_id) == 2


@invariant
def only_answers_are_learned(_: Path) -> None:
    tokenizer = small_tokenizer()
    _ids, labels = data.render(tokenizer, DIALOGUE)
    assert tokenizer.decode([label for label in labels if label != IGNORED]) == ANSWERS


@invariant
def packed_equals_separate(_: Path) -> None:
    """打包之后，每篇的 logits 与单独算的一样。"""
    model, given = tiny().eval(), documents()
    rows = data.pack(given, 64, 0)
    packed = model(rows.input_ids, position_ids=rows.position_ids, use_cache=False).logits[0]
    start = 0
    for ids, _labels in given:
        alone = model(torch.tensor([ids])).logits[0]
        torch.testing.assert_close(packed[start : start + len(ids)], alone, rtol=1e-4, atol=1e-5)
        start += len(ids)
    assert start > 30


@invariant
def packed_loss_is_the_sum(_: Path) -> None:
    """打包之后的总损失，是各篇损失之和。"""
    model, given = tiny(), documents()
    rows = data.pack(given, 64, 0)
    total = model(**vars(rows), use_cache=False, num_items_in_batch=1).loss.item()
    alone = [torch.tensor([ids]) for ids, _labels in given]
    parts = [model(one, labels=one, num_items_in_batch=1).loss.item() for one in alone]
    assert len(parts) == 6
    assert total == pytest.approx(sum(parts), rel=1e-5)


@invariant
def no_source_on_both_sides(_: Path) -> None:
    """同出一处的几行总在一边。"""
    lines = [Document(f"note-{n % 20}", text=str(n)) for n in range(200)]
    train, held = data.split(lines, 0.3)
    sides = [{one.source for one in side} for side in (train, held)]
    assert len(train) + len(held) == 200 and min(map(len, sides)) > 2
    assert not sides[0] & sides[1]


def rows_of(count: int) -> Rows:
    numbers = torch.arange(count)[:, None].expand(-1, 4)
    return Rows(numbers, numbers, torch.arange(4).expand(count, -1))


def one_epoch(count: int, rank: int, world: int, epoch: int = 0) -> list[int]:
    position, seen = Position(epoch, 0), list[int]()
    while position.epoch == epoch:
        batch, position = data.take(rows_of(count), position, 2, 7, rank, world)
        seen += batch["input_ids"][:, 0].tolist()
    return seen


@invariant
def ranks_share_out_all_rows(_: Path) -> None:
    seen = [row for rank in range(3) for row in one_epoch(24, rank, 3)]
    assert sorted(seen) == list(range(24))


@invariant
def epochs_differ(_: Path) -> None:
    first, second = (one_epoch(24, 0, 1, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) and first != second


# ---- 循环 ----


@invariant
def accumulated_equals_one_batch(_: Path) -> None:
    """两个小批累积一次更新，与合成一批的相同；裁剪也在内。"""
    apart = micro_batches()
    whole = {name: torch.cat([b[name] for b in apart]) for name in apart[0]}
    for clip in (1e9, 0.1):
        torch.testing.assert_close(
            gradients(apart, clip)[0], gradients([whole], clip)[0], rtol=1e-4, atol=1e-7
        )


@invariant
def clipped_norm_is_the_limit(_: Path) -> None:
    assert gradients(micro_batches(), 0.1)[0].norm().item() == pytest.approx(0.1, rel=1e-4)


@invariant
def small_updates_add_up(_: Path) -> None:
    """一百次 1e-3 的更新，走过的是 0.1，不是 0。"""
    model = tiny()
    torch.manual_seed(4)
    direction = [torch.randn_like(p).sign() for p in model.parameters()]
    handles = [
        p.register_hook(lambda g, d=d: d)
        for p, d in zip(model.parameters(), direction, strict=True)
    ]
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for _update in range(100):
        loop.train_step(model, optimizer, micro_batches(), 1e-3, 1e9)
    moved = (model.lm_head.weight - 1.0).abs().mean().item()
    assert handles and moved == pytest.approx(0.1, rel=0.05)


@invariant
def logged_loss_is_the_mean(_: Path) -> None:
    """记下的是全部计入的词元的平均。"""
    apart = micro_batches()
    whole = {name: torch.cat([b[name] for b in apart]) for name in apart[0]}
    exact = tiny()(**whole, use_cache=False).loss.item()
    assert gradients(apart)[1].loss == pytest.approx(exact, rel=1e-5)


@invariant
def one_rate_an_update(folder: Path) -> None:
    """一次更新一个学习率，最后一次恰好是最低的，之前的都高于它。"""
    config = config_in(folder / "rate")
    loop.fit(config, tiny(), data.pack(documents(40), 16, 0), lambda _: {}, lambda _: None)
    rates = [line["lr"] for line in metrics(config)]
    assert len(rates) == config.updates
    assert rates[-1] == pytest.approx(config.least_lr) and min(rates[1:-1]) > config.least_lr


@invariant
def norms_do_not_decay(_: Path) -> None:
    """梯度全是 0 的一步，归一化的权重不动，矩阵动。"""
    model = tiny(attention_bias=True)
    optimizer = optim.build_optimizer(model, 0.1, 0.1, (0.9, 0.95))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() < 2:
                p.fill_(1.0)
                before[name] = p.clone()
    optimizer.step()
    moved = {name: not torch.equal(p, before[name]) for name, p in model.named_parameters()}
    narrow = {name for name, p in model.named_parameters() if p.dim() < 2}
    assert len(narrow) > 5 and {name for name, did in moved.items() if not did} == narrow


@invariant
def validation_ignores_batch_size(_: Path) -> None:
    ids = torch.randint(2, 61, (5, 16), generator=torch.Generator().manual_seed(5))
    labels = ids.clone()
    labels[3:, 2:] = IGNORED
    rows = Rows(ids, labels, torch.arange(16).expand(5, -1))
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight *= 20  # 各行的损失要差得出来
    losses = [loop.mean_loss(model, rows, batch) for batch in (1, 3, 5)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


# ---- 接着训 ----


def config_in(folder: Path) -> TrainConfig:
    return TrainConfig(
        out=folder, seq_len=16, batch=2, accumulate=2, updates=8, warmup=2, save_every=3,
        validate_every=100, device="cpu",
    )  # fmt: skip


def metrics(config: TrainConfig) -> list[dict[str, float]]:
    return [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]


def noisy() -> LLMForCausalLM:
    """带一层随机的 dropout：不这样，随机数接没接上看不出来。"""
    model = tiny()
    model.model.norm.register_forward_hook(lambda _m, _i, out: F.dropout(out, 0.1, training=True))
    return model


class Stopped(Exception):
    """在某一次更新之前停下。"""


def trained(folder: Path, stop: int = 0) -> list[torch.Tensor]:
    """训完八次更新；`stop` 不是 0 就在那一次停下，再由新的进程（新的模型）接着。"""
    rows, config = data.pack(documents(40), 16, 0), config_in(folder)
    right, count = loop.train_step, 0

    def step(*given: Any) -> loop.Step:
        nonlocal count
        count += 1
        if count == stop:
            raise Stopped
        return right(*given)

    if stop:
        loop.train_step = step
        try:
            with suppress(Stopped):
                loop.fit(config, noisy(), rows, lambda _: {}, lambda _: None)
        finally:
            loop.train_step = right
        assert count == stop
    model = noisy()
    if stop:
        torch.manual_seed(99)  # 新的进程，随机数在别处
    loop.fit(config, model, rows, lambda _: {}, lambda _: None)
    return [p.detach().clone() for p in model.parameters()]


@invariant
def resumed_equals_uninterrupted(folder: Path) -> None:
    whole = trained(folder / "whole")
    resumed = trained(folder / "resumed", stop=6)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


# ---- LoRA ----


def adapted(train: bool = False, **changed: Any) -> tuple[LLMForCausalLM, data.Batch]:
    model, batch = tiny(**changed), micro_batches()[0]
    torch.manual_seed(6)
    lora.add_lora(model, ["q_proj", "v_proj"], 4, 16.0)
    if train:
        optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0
        )
        for _step in range(3):
            loop.train_step(model, optimizer, [batch], 1e-2, 1.0)
    return model, batch


@invariant
def merged_equals_adapted(_: Path) -> None:
    model, batch = adapted(train=True)
    before = model(**batch, use_cache=False).logits
    lora.merge_lora(model)
    after = model(**batch, use_cache=False).logits
    assert not any(isinstance(module, lora.LoRALinear) for module in model.modules())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert not after.allclose(tiny()(**batch, use_cache=False).logits, atol=1e-4)


@invariant
def adapted_starts_as_base(_: Path) -> None:
    model, batch = adapted()
    logits = tiny()(**batch, use_cache=False).logits
    assert torch.equal(model(**batch, use_cache=False).logits, logits)


@invariant
def adapter_can_learn(_: Path) -> None:
    model, batch = adapted()
    model(**batch, use_cache=False).loss.backward()
    layers = [m for m in model.modules() if isinstance(m, lora.LoRALinear)]
    grads = [layer.lora_B.weight.grad for layer in layers]
    assert grads and all(grad.abs().sum() > 0 for grad in grads)


@invariant
def base_stays(_: Path) -> None:
    model, _batch = adapted(train=True)
    base = dict(tiny().named_parameters())
    kept = [(name, p) for name, p in model.named_parameters() if "lora_" not in name]
    assert len(kept) == len(base)
    assert all(torch.equal(p, base[name.replace(".base.", ".")]) for name, p in kept)


@invariant
def embedding_stays(_: Path) -> None:
    """绑着的输出头不许加；许了，并回时词嵌入就跟着变。"""
    model = tiny(tie_word_embeddings=True)
    embedding: Any = model.get_input_embeddings()
    before = embedding.weight.detach().clone()
    with suppress(ValueError):
        lora.add_lora(model, ["lm_head"], 4, 16.0)
        nn_filled(model)
        lora.merge_lora(model)
    assert torch.equal(embedding.weight, before)


@torch.no_grad()
def nn_filled(model: LLMForCausalLM) -> None:
    for module in model.modules():
        if isinstance(module, lora.LoRALinear):
            module.lora_B.weight.fill_(0.1)


# ---- 清单 ----


@pytest.mark.parametrize("name", INVARIANTS)
def test_the_invariant_holds(name: str, tmp_path: Path) -> None:
    INVARIANTS[name](tmp_path)


@pytest.mark.parametrize("name", TRAIN_MUTATIONS)
def test_its_invariant_sees_the_mutation(name: str, tmp_path: Path) -> None:
    with mutated(name) as mutation, pytest.raises(AssertionError):
        INVARIANTS[mutation.invariant](tmp_path)


def test_every_invariant_has_a_mutation_and_a_sentence() -> None:
    assert {one.invariant for one in TRAIN_MUTATIONS.values()} == set(INVARIANTS)
    assert all(name == one.name and one.text for name, one in TRAIN_MUTATIONS.items())
    assert len({one.text for one in TRAIN_MUTATIONS.values()}) == len(TRAIN_MUTATIONS)


def test_the_right_one_comes_back() -> None:
    right = loop.train_step
    with pytest.raises(RuntimeError), mutated("clip_each"):
        assert loop.train_step is not right
        raise RuntimeError
    assert loop.train_step is right
    with pytest.raises(ValueError, match="现有：shifted_twice"), mutated("nothing"):
        pass


def test_a_config_names_what_changed(tmp_path: Path) -> None:
    config, rows = config_in(tmp_path), data.pack(documents(40), 16, 0)
    loop.fit(config, tiny(), rows, lambda _: {}, lambda _: None)
    with pytest.raises(ValueError, match=r"lr 原来是 0\.001，现在是 0\.002"):
        loop.fit(replace(config, lr=2e-3), tiny(), rows, lambda _: {}, lambda _: None)
