# %% [markdown]
# # AdamW：手写一步，与 torch.optim.AdamW 逐位相等
# 来源：Kingma & Ba 2015；Loshchilov & Hutter 2019

# %% 手写一步
import torch
from torch import Tensor

Moments = dict[str, Tensor]


def step(
    w: Tensor, g: Tensor, state: Moments, t: int, lr: float, decay: float, betas: tuple[float, ...]
) -> None:
    """AdamW 的第 t 步（从 1 数），就地改 w 与两个矩。"""
    beta1, beta2 = betas
    w.mul_(1 - lr * decay)  # 解耦的衰减：不经过矩
    state["m"].lerp_(g, 1 - beta1)  # m ← β₁m + (1 − β₁)g
    state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)  # v ← β₂v + (1 − β₂)g²
    root = (state["v"].sqrt() / (1 - beta2**t) ** 0.5).add_(1e-8)  # √v̂ + ε
    w.addcdiv_(state["m"], root, value=-lr / (1 - beta1**t))  # w ← w − lr·m̂ / (√v̂ + ε)


w, state = torch.tensor([1.0, -2.0]), {"m": torch.zeros(2), "v": torch.zeros(2)}
for t, gradient in enumerate(([0.3, -4.0], [0.1, 1.0], [0.2, 2.0]), 1):
    step(w, torch.tensor(gradient), state, t, 0.1, 0.0, (0.9, 0.95))
    print(f"第 {t} 步，梯度 {gradient} → w {[round(x, 4) for x in w.tolist()]}")

# %% 第一步总是 lr
for scale in (1e-6, 1e-3, 1.0, 1e6):
    w, state = torch.zeros(1), {"m": torch.zeros(1), "v": torch.zeros(1)}
    step(w, torch.tensor([scale]), state, 1, 0.1, 0.0, (0.9, 0.95))
    print(f"梯度 {scale:7.0e}：第一步走 {w.item():.4f}")

# %% 图 偏差修正
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.2, 2.8))
for beta2, color in ((0.999, "#d9822b"), (0.95, "#3f7fbf")):
    t = torch.arange(1, 61)
    bare = (1 - 0.9**t) / (1 - beta2**t).sqrt()  # 梯度恒定，不修正时一步走几个 lr
    ax.plot(t, bare, color=color, label=f"不修正，β₂ = {beta2}")
    print(f"β₂ = {beta2}：不修正，第一步走 {bare[0]:.2f} 个 lr，最多 {bare.max():.2f} 个")
ax.axhline(1, color="#3a9d5d", label="修正了：总是 1")
ax.set(xlabel="第几步", ylabel="步长 / lr", title="梯度恒定时，一步走几个 lr")
ax.legend()
ax.grid(True)
figure.tight_layout()

# %% 哪些参数衰减
from llm import LLMConfig, LLMForCausalLM
from llm.train import optim
from llm.train.optim import build_optimizer, parameter_groups

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "attention_bias": True,
    "tie_word_embeddings": True,
}


def small(seed: int = 0, **changed: object) -> LLMForCausalLM:
    """一层、宽 32 的模型，带偏置，词嵌入与输出头绑着。"""
    torch.manual_seed(seed)
    return LLMForCausalLM(LLMConfig(**{**SHAPE, **changed}))


model = small()
names = {id(p): name for name, p in model.named_parameters()}
for group in parameter_groups(model, 0.1):
    print(f"衰减 {group['weight_decay']}：")
    for p in group["params"]:
        print(f"    {names[id(p)]} {tuple(p.shape)}")

# %% 状态有多大
from llm.train.budget import budget

needed = budget(model.config, 1, 1)
print(f"{needed.parameters:,} 个参数，{needed.tensors} 个张量")
print(f"权重、梯度、两个矩：{needed.state:,} 字节，每个参数 {needed.state / needed.parameters:.2f}")

# %% 检验 与 torch.optim.AdamW 逐位相等
from functools import partial

from llm.train.data import pack
from llm.train.loop import train_step
from llm.train.optim import lr_at

generator = torch.Generator().manual_seed(1)
texts = [torch.randint(1, 64, (20,), generator=generator).tolist() for _ in range(12)]
rows = pack([(ids, ids) for ids in texts], 24, 0)


def gradients(model: LLMForCausalLM, update: int) -> list[Tensor]:
    """第几次更新的一批上，各参数的梯度。"""
    model.zero_grad()
    model(**batch_of(update), use_cache=False).loss.backward()
    return [p.grad for p in model.parameters()]


def batch_of(update: int) -> dict[str, Tensor]:
    return rows.batch(torch.arange(2) + 2 * (update % 5))


ours, theirs, fused = small(), small(), small()
optimizer = torch.optim.AdamW(parameter_groups(theirs, 0.1), 1.0, (0.9, 0.95))
fast = build_optimizer(fused, 1.0, 0.1, (0.9, 0.95))
states = [{"m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in ours.parameters()]
for update in range(1, 13):
    lr = lr_at(update, 12, 1e-2, warmup=3)
    found = gradients(ours, update)
    with torch.no_grad():
        for p, g, state in zip(ours.parameters(), found, states, strict=True):
            step(p, g, state, update, lr, 0.1 if p.dim() >= 2 else 0.0, (0.9, 0.95))
    train_step(theirs, optimizer, [batch_of(update)], lr, clip=1e9)
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))  # 一位不差
    train_step(fused, fast, [batch_of(update)], lr, clip=1e9)  # 合成一个核的，舍入的次序不同
    assert all(
        map(partial(torch.allclose, rtol=0, atol=1e-5), ours.parameters(), fused.parameters())
    )
start = small()
assert not any(map(torch.equal, ours.parameters(), start.parameters()))  # 每个都动了
for p, state in zip(theirs.parameters(), states, strict=True):
    assert optimizer.state[p]["exp_avg"].equal(state["m"])
    assert optimizer.state[p]["exp_avg_sq"].equal(state["v"])
    assert optimizer.state[p]["step"] == 12

# %% 检验 衰减的与 Trainer 相同
from transformers import Trainer

for family in ("llama", "qwen2", "qwen3", "glm", "glm4"):
    sizes = {k: v for k, v in SHAPE.items() if k != "attention_bias"}
    model = LLMForCausalLM(LLMConfig.preset(family, head_dim=16, **sizes))
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, kept = parameter_groups(model, 0.1)
    wanted = set(Trainer.get_decay_parameter_names(None, model))  # 它不看 self
    assert wanted - set(names.values()) == {"lm_head.weight"}  # 绑着的，它列了两个名字
    wanted.remove("lm_head.weight")
    assert {names[id(p)] for p in decayed["params"]} == wanted
    assert {names[id(p)] for p in kept["params"]} == set(names.values()) - wanted
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)

# %% 检验 绑着的只算一次，冻住的不算
model = small()
model.model.layers[0].mlp.requires_grad_(False)
listed = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
assert len(listed) == len(set(listed))
assert set(listed) == {id(p) for p in model.parameters() if p.requires_grad}
optimizer = build_optimizer(model, 3e-4, 0.1, (0.8, 0.7))
assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
for group in optimizer.param_groups:
    assert (group["lr"], group["betas"], group["eps"]) == (3e-4, (0.8, 0.7), 1e-8)
    assert group["fused"] is True  # 几步合成一个核

# %% 检验 状态的字节数
optimizer = build_optimizer(theirs, 1e-3, 0.1, (0.9, 0.95))
found = gradients(theirs, 0)
optimizer.step()
held = [*theirs.parameters(), *found]
held += [tensor for each in optimizer.state.values() for tensor in each.values()]
assert sum(tensor.numel() * tensor.element_size() for tensor in held) == needed.state

# %% 检验 损失乘以 1000，走的几乎一样
grown = {}
for kind in ("AdamW", "SGD"):
    runs = []
    for scale in (1.0, 1000.0):
        p = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        each = getattr(torch.optim, kind)([p], lr=1e-3)
        for _ in range(20):
            each.zero_grad()
            (scale * (p * torch.tensor([3.0, 0.1])).pow(2).sum()).backward()
            each.step()
        runs.append(p.detach())
    grown[kind] = (runs[0] - runs[1]).abs().max().item()
print("AdamW 差不到 1e-4:", grown["AdamW"] < 1e-4, " SGD 差到 1 以上:", not grown["SGD"] < 1)
assert grown["AdamW"] < 1e-4 and not grown["SGD"] < 1

# %% 检验 一个梯度也没有
w, state = torch.ones(3), {"m": torch.zeros(3), "v": torch.zeros(3)}
p = torch.nn.Parameter(torch.ones(3))
theirs = torch.optim.AdamW([p], lr=0.1, weight_decay=0.5, betas=(0.9, 0.95))
for t in range(1, 4):
    step(w, torch.zeros(3), state, t, 0.1, 0.5, (0.9, 0.95))
    p.grad = torch.zeros(3)
    theirs.step()
assert w.equal(p.detach()) and w.isfinite().all()  # 0 / (0 + ε) 是 0，不是 NaN
torch.testing.assert_close(w, torch.full((3,), (1 - 0.1 * 0.5) ** 3))  # 只剩衰减
p.grad = None
theirs.step()
assert w.equal(p.detach())  # 没有梯度（None）就跳过，连衰减也没有

# %% 坏 衰减加进梯度里
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3), sharey=True)
LR, DECAY, STEPS = 1e-2, 0.1, 300
for ax, kind in zip(axes, ("Adam", "AdamW"), strict=True):
    for scale, color in ((0.0, "#888888"), (0.03, "#3f7fbf"), (3.0, "#d9822b")):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.ones(64))  # 64 个参数，梯度只是噪声
        each = getattr(torch.optim, kind)([p], lr=LR, weight_decay=DECAY, betas=(0.9, 0.95))
        means = []
        for _ in range(STEPS):
            p.grad = scale * torch.randn(64)
            each.step()
            means.append(p.detach().mean().item())
        ax.plot(means, color=color, label=f"梯度的标准差 {scale}")
        print(f"{kind}，梯度 {scale}：{STEPS} 步之后平均 {means[-1]:.2f}")
    ax.set(xlabel="步", title=f"{'错' if kind == 'Adam' else '对'}：{kind}，衰减 {DECAY}")
    ax.grid(True)
axes[0].set_ylabel("权重的平均")
axes[1].legend()
figure.tight_layout()
print(f"只有衰减：(1 − {LR} × {DECAY})^{STEPS} = {(1 - LR * DECAY) ** STEPS:.2f}")

# %% 坏 归一化的权重也衰减
from contextlib import nullcontext
from pydoc_data.topics import topics

from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train.data import Position, encode_text, take
from llm.train.tokenizer import train_tokenizer

print(TRAIN_MUTATIONS["decay_everything"].text)
lines = [topics[name] for name in sorted(topics) if len(topics[name]) < 3000][:20]
tokenizer = train_tokenizer(lines, 320)
corpus = pack([encode_text(tokenizer, line) for line in lines], 64, tokenizer.pad_token_id)


def curve(updates: int = 80) -> tuple[list[float], list[float]]:
    """训练的损失，与最后一个归一化的权重的平均。"""
    model, position, losses, means = small(vocab_size=320), Position(), [], []
    optimizer = optim.build_optimizer(model, 1e-2, 0.3, (0.9, 0.95))
    for update in range(1, updates + 1):
        batch, position = take(corpus, position, 4, 0)
        losses.append(train_step(model, optimizer, [batch], 1e-2, 1.0).loss)
        norms = [p for name, p in model.named_parameters() if "norm" in name]
        means.append(torch.cat([p.detach() for p in norms]).mean().item())
    return losses, means


figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
moved, ends = {}, {}
for name, color, label in (
    ("right", "#3f7fbf", "对"),
    ("decay_everything", "#d9822b", "错：全都衰减"),
):
    with mutated(name) if name != "right" else nullcontext():
        losses, means = curve()
        quiet = small()
        before = {n: p.detach().clone() for n, p in quiet.named_parameters()}
        optimizer = optim.build_optimizer(quiet, 1e-2, 1.0, (0.9, 0.95))
        for p in quiet.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()  # 梯度是零的一步：动了的只能是衰减
    axes[0].plot(losses, color=color, label=label)
    axes[1].plot(means, color=color, label=label)
    after = dict(quiet.named_parameters())
    moved[name] = max((after[n] - before[n]).abs().max().item() for n in before if "norm" in n)
    ends[name] = means[-1]
axes[0].set(xlabel="更新", ylabel="nat/词元", title="损失：看不出对错")
axes[1].set(xlabel="更新", ylabel="平均", title="归一化的权重：越来越小")
for ax in axes:
    ax.legend()
    ax.grid(True)
figure.tight_layout()
print(f"梯度是零的一步，归一化的权重动了：对 {moved['right']:.3f}，错 {moved['decay_everything']:.3f}")
assert moved["right"] == 0 and abs(moved["decay_everything"] - 1e-2) < 1e-6
assert ends["decay_everything"] < ends["right"] - 0.1
