# %% [markdown]
# # 混合精度：矩阵乘用 16 位，权重、梯度与归约留在 fp32
# 来源：Micikevicius et al. 2018, Mixed Precision Training, §3；PyTorch 文档 `torch.amp`

# %% 三种浮点数
import math
import warnings

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def layout(dtype: torch.dtype) -> tuple[int, int]:
    """指数几位，尾数几位；另有一位符号。"""
    info = torch.finfo(dtype)
    mantissa = round(-math.log2(info.eps))
    return info.bits - 1 - mantissa, mantissa


def pattern(value: float, dtype: torch.dtype) -> str:
    """一个数在内存里的位：符号、指数、尾数。"""
    exponent, mantissa = layout(dtype)
    whole = torch.int32 if dtype == torch.float32 else torch.int16
    size = 1 + exponent + mantissa
    raw = torch.tensor(value, dtype=dtype).view(whole).item() % 2**size
    bits = f"{raw:0{size}b}"
    return f"{bits[0]} {bits[1 : 1 + exponent]} {bits[1 + exponent :]}"


for dtype in DTYPES:
    info, (exponent, mantissa) = torch.finfo(dtype), layout(dtype)
    print(f"{dtype}：指数 {exponent} 位，尾数 {mantissa} 位")
    print(f"    1 的下一个数是 1 + {info.eps:.1e}，最大 {info.max:.2e}")
    print(f"    规格化的最小 {info.tiny:.1e}，非零的最小 {info.tiny * info.eps:.1e}")
    print(f"    0.1 是 {pattern(0.1, dtype)}")

# %% 每次加千分之一
for dtype in DTYPES:
    one, thousandth = torch.ones((), dtype=dtype), torch.tensor(1e-3, dtype=dtype)
    for _ in range(100):
        one += thousandth
    print(f"{dtype}：从 1 起加 100 次 0.001，得 {one.item():.4f}")


def step_up(value: float) -> float:
    """bf16 里，这个数的下一个数隔多远。"""
    here = torch.tensor(value).bfloat16()
    return (torch.nextafter(here, torch.tensor(math.inf).bfloat16()) - here).item()


print("bf16 里到下一个数隔多远:", {start: step_up(start) for start in (1.0, 0.1, 0.02)})

# %% 模型与文字
from llm import LLMConfig, LLMForCausalLM
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train import loop
from llm.train.data import Batch, Rows
from llm.train.optim import build_optimizer

V, T = 64, 32


def write(count: int, seed: int) -> Rows:
    """照一种人造的语言（看见一个词元，下一个各有多大概率）写 count 行。"""
    table = 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(V, (count, 1), generator=generator)
    while words.shape[1] < T:
        following = table.softmax(-1)[words[:, -1]]  # (count, V)
        words = torch.cat([words, torch.multinomial(following, 1, generator=generator)], dim=1)
    return Rows(words, words, torch.arange(T).expand(count, T))


def make() -> LLMForCausalLM:
    """一层、宽 32 的模型，权重每次都相同。"""
    torch.manual_seed(0)
    return LLMForCausalLM(
        LLMConfig(
            vocab_size=V,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=T,
        )
    )


rows, held = write(400, seed=1), write(40, seed=2)
first: Batch = rows.batch(torch.arange(8))
narrow = torch.autocast("cpu", torch.bfloat16)
print("权重的类型:", {p.dtype for p in make().parameters()})

# %% autocast 里各是什么类型
model, seen = make(), {}
block = model.model.layers[0]
watched = {
    "词嵌入": model.model.embed_tokens,
    "归一化": block.input_layernorm,
    "q_proj": block.self_attn.q_proj,
    "前馈层": block.mlp,
    "lm_head": model.lm_head,
}
for label, module in watched.items():
    module.register_forward_hook(lambda _m, _i, out, label=label: seen.update({label: out.dtype}))
with narrow:
    loss = model(**first, use_cache=False).loss
loss.backward()
seen |= {"损失": loss.dtype, "权重": model.lm_head.weight.dtype}
seen["梯度"] = model.lm_head.weight.grad.dtype
for label, dtype in seen.items():
    print(f"{label}：{dtype}")

# %% 与全 fp32 差多少
def gradient(model: LLMForCausalLM, autocast: object = None) -> tuple[float, Tensor]:
    """损失与全部梯度 (N,)。"""
    if autocast:
        with autocast:
            loss = model(**first, use_cache=False).loss
    else:
        loss = model(**first, use_cache=False).loss
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten().float() for p in model.parameters()])


right_loss, exact = gradient(make())
for label, (_, found) in {
    "autocast": gradient(make(), narrow),
    "整个模型换成 bf16": gradient(make().bfloat16()),
}.items():
    print(f"{label}：梯度的相对误差 {((found - exact).norm() / exact.norm()).item():.3f}")

# %% 交叉熵在哪种精度里算
from llm import loss as losses
from llm import model as models

model = make()
with torch.no_grad():
    model.lm_head.weight *= 20  # 训练过的模型，logits 大得多
    wide_logits = model(first["input_ids"]).logits
    with narrow:
        narrow_logits = model(first["input_ids"]).logits
labels = first["labels"]
log_p = wide_logits.double().log_softmax(-1)[:, :-1]
exact_loss = -log_p.gather(-1, labels[:, 1:, None]).mean().item()
with mutated("bf16_logits"):
    coarse = models.next_token_loss(wide_logits, labels).item()
rounded = losses.next_token_loss(wide_logits.bfloat16(), labels).item()
print(f"双精度：{exact_loss:.4f}")
for label, loss in (
    ("fp32 的 logits，fp32 的交叉熵", losses.next_token_loss(wide_logits, labels).item()),
    ("bf16 的 logits，fp32 的交叉熵", rounded),
    ("bf16 的 logits，bf16 的交叉熵", coarse),
):
    error = abs(loss - exact_loss)
    print(f"{label}：差", f"{error:.1e}" if error > 1e-5 else "不到 1e-5")

# %% 一次更新有多少白走
print("AdamW 走一步，存回 bf16 之后一点没变的权重占：")
for lr in (1e-2, 1e-3, 1e-4, 1e-5):
    model = make()
    before = [p.detach().bfloat16() for p in model.parameters()]
    for p in model.parameters():
        p.data = p.data.bfloat16().float()
    loop.train_step(model, build_optimizer(model, lr, 0.0, (0.9, 0.95)), [first], lr, 1.0)
    pairs = zip(model.parameters(), before, strict=True)
    same = torch.cat([(p.detach().bfloat16() == old).flatten() for p, old in pairs])
    print(f"    学习率 {lr:.0e}：{same.float().mean().item():.2f}")

# %% 一个参数几个字节
from llm.train.budget import budget

model = make()
optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
model(**first, use_cache=False).loss.backward()
optimizer.step()
held_tensors = [x for p in model.parameters() for x in (p, p.grad, *optimizer.state[p].values())]
state = sum(x.nbytes for x in held_tensors)
count = sum(p.numel() for p in model.parameters())
print(f"权重、梯度与 AdamW 的状态，平均每个参数 {state / count:.1f} 字节")

# %% 图 一整批五十万词元时激活的梯度有多小
import matplotlib.pyplot as plt

model, flowing = make(), []
for module in (model.lm_head, model.model.norm, model.model.layers[0].mlp):
    module.register_full_backward_hook(lambda _m, _i, out: flowing.append(out[0].flatten()))
model(**first, num_items_in_batch=2**19, use_cache=False).loss.backward()
sizes = torch.cat(flowing).abs()
sizes = sizes[sizes > 0].log2()
smallest = math.log2(torch.finfo(torch.float16).tiny * torch.finfo(torch.float16).eps)
figure, ax = plt.subplots(figsize=(7.2, 2.7))
bins = torch.arange(-48, 4.0).tolist()
for label, shift, color in (("不缩放", 0, "#d9822b"), ("乘 65536", 16, "#3f7fbf")):
    ax.hist((sizes + shift).tolist(), bins=bins, color=color, alpha=0.6, label=label)
ax.axvline(smallest, color="#808080", linestyle="--", label="fp16 非零的最小")
ax.set(title="反向流过的梯度的大小", xlabel="log₂ |梯度|", ylabel="几个")
ax.legend(fontsize=8)
ax.grid(True)
figure.tight_layout()
real = torch.cat(flowing)
for label, scale in (("不缩放", 1.0), ("乘 65536", 65536.0)):
    stored = {dtype: (real * scale).to(dtype) for dtype in (torch.float16, torch.bfloat16)}
    lost = [((x == 0) & (real != 0)).float().mean().item() for x in stored.values()]
    print(f"{label}：存成 fp16 变成 0 的占 {lost[0]:.2f}，存成 bf16 的占 {lost[1]:.2f}")

# %% fp16 的一次更新
def scaled_step(
    model: LLMForCausalLM,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    limit: float = 1.0,
) -> float:
    """fp16 的一次更新：放大损失、反向、先除回来、再裁剪；有无穷就不更新。返回裁剪之前的范数。"""
    with torch.autocast("cpu", torch.float16):
        loss = model(**first, use_cache=False).loss
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return norm.item()


model = make()
optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**28, growth_interval=5)
scales = [scaler.get_scale()]
skipped = 0
for _ in range(16):
    skipped += not math.isfinite(scaled_step(model, optimizer, scaler))
    scales.append(scaler.get_scale())
print("倍数的 log₂，起初:", [round(math.log2(scale)) for scale in scales[:6]])
print("16 次里跳过的超过 5 次，不是全部:", 5 < skipped < 16)
print("最后的倍数在 2¹⁶ 与 2²⁴ 之间:", 2**16 < scales[-1] < 2**24)

# %% 检验 位数说得出最大、最小与间隔
import numpy as np

for dtype in DTYPES:
    info, (exponent, mantissa) = torch.finfo(dtype), layout(dtype)
    bias = 2 ** (exponent - 1) - 1
    assert info.eps == 2.0**-mantissa and info.tiny == 2.0 ** (1 - bias)
    assert info.max == (2 - 2.0**-mantissa) * 2.0**bias
assert layout(torch.bfloat16)[0] == layout(torch.float32)[0] == 8  # 一样宽的范围
torch.manual_seed(0)
values = torch.randn(1000) * 10.0 ** torch.randint(-9, 5, (1000,))
assert np.array_equal(values.half().numpy(), values.numpy().astype(np.float16))  # NumPy 的舍入
raw = values.view(torch.int32)
upper = (raw + 0x7FFF + ((raw >> 16) & 1)) >> 16  # 留高 16 位，四舍五入，一半时取偶
assert torch.equal(upper.to(torch.int16).view(torch.bfloat16), values.bfloat16())

# %% 检验 不到半个间隔的更新没有了
for start in (1.0, 0.1, 0.02):
    here = torch.tensor(start).bfloat16()
    under, over = (torch.tensor(part * step_up(start)).bfloat16() for part in (0.49, 0.51))
    assert here + under == here != here + over

# %% 检验 autocast 只改前向里的类型
from contextlib import nullcontext

wanted = {label: torch.bfloat16 for label in ("q_proj", "前馈层", "lm_head")}
wanted |= {label: torch.float32 for label in ("词嵌入", "归一化", "损失", "权重", "梯度")}
assert seen == wanted
model = make()
before = [p.detach().clone() for p in model.parameters()]
optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
with narrow:  # CUDA 上由 train_step 自己套上
    step = loop.train_step(model, optimizer, [first, first], 1e-3, 1.0)
assert all(p.dtype == torch.float32 for p in model.parameters())  # 主权重就是模型自己的权重
assert not any(map(torch.equal, model.parameters(), before))
assert abs(step.loss - right_loss) < 0.01
assert isinstance(step.norm, float) and all(p.grad is None for p in model.parameters())
assert state == budget(model.config, 8, T).state  # 算的与量的一个字节不差
assert isinstance(loop.precision(torch.device("cpu")), nullcontext)  # CPU 上不用 autocast
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 没有 CUDA 时它提醒一句
    on_cuda = loop.precision(torch.device("cuda"))
assert (on_cuda.device, on_cuda.fast_dtype) == ("cuda", torch.bfloat16)

# %% 检验 交叉熵要在 fp32 里算
assert abs(losses.next_token_loss(wide_logits, labels).item() - exact_loss) < 1e-5
assert abs(coarse - exact_loss) > 5 * abs(rounded - exact_loss) > 0
assert losses.next_token_loss(narrow_logits, labels).dtype == torch.float32
assert narrow_logits.dtype == torch.bfloat16

# %% 检验 一百次小更新加得起来
def walked() -> float:
    """权重从 1 起，每次更新都走 1e-3，走一百次，平均走了多远。"""
    model = make()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
            p.register_hook(torch.ones_like)  # 梯度总是 1：AdamW 的一步恰好是学习率
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for _ in range(100):
        loop.train_step(model, optimizer, [rows.batch(torch.arange(1))], 1e-3, 1e9)
    return (1.0 - model.lm_head.weight).mean().item()


right = walked()
with mutated("bf16_weights"):
    stuck = walked()
assert abs(right - 0.1) < 1e-3 and stuck == 0.0

# %% 检验 除回来之后与 fp32 的梯度一样
model = make()
scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
before = torch.cat([p.detach().flatten() for p in model.parameters()])
norm = scaled_step(model, optimizer, scaler, limit=1e9)
used = before - torch.cat([p.detach().flatten() for p in model.parameters()])
assert ((used - exact).norm() / exact.norm()).item() < 0.01
assert abs(norm / exact.norm().item() - 1) < 0.01

# %% 检验 溢出的那次不更新，倍数减半
model = make()
optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**36)
before = [p.detach().clone() for p in model.parameters()]
assert not math.isfinite(scaled_step(model, optimizer, scaler))
assert all(map(torch.equal, model.parameters(), before)) and scaler.get_scale() == 2.0**35

# %% 图 权重存 bf16 与没除就裁剪，和对的并排
def train(autocast: object = None, optimizer: object = None, lr: float = 4e-3) -> list[float]:
    """45 次更新，记下的损失。"""
    model = make().train()
    used = optimizer(model.parameters(), lr) if optimizer else None
    used = used or build_optimizer(model, lr, 0.1, (0.9, 0.95))
    generator = torch.Generator().manual_seed(5)
    seen = []
    for _ in range(45):
        batch = rows.batch(torch.randint(400, (8,), generator=generator))
        with autocast or nullcontext():  # CUDA 上由 train_step 自己套上
            seen.append(loop.train_step(model, used, [batch], lr, 1.0).loss)
    return seen


SGD, FAST = torch.optim.SGD, 0.5
curves = {"Adam": {"对的（fp32）": train(), "autocast bf16": train(narrow)}, "SGD": {}}
curves["SGD"]["对的（fp32）"] = train(None, SGD, FAST)
with mutated("bf16_weights"):
    curves["Adam"]["bf16_weights"] = train()
with mutated("clip_before_unscale"):
    curves["Adam"]["clip_before_unscale"] = train()
    curves["SGD"]["clip_before_unscale"] = train(None, SGD, FAST)
colors = {
    "对的（fp32）": "#3f7fbf",
    "autocast bf16": "#6aa84f",
    "bf16_weights": "#d9822b",
    "clip_before_unscale": "#8b6bb1",
}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), sharey=True)
for ax, (name, runs) in zip(axes, curves.items(), strict=True):
    for label, seen_losses in runs.items():
        style = "-" if label == "对的（fp32）" else "--"
        ax.plot(range(1, 46), seen_losses, color=colors[label], label=label, linestyle=style)
    ax.set(title=name, xlabel="更新")
    ax.grid(True)
    ax.legend(fontsize=7)
axes[0].set_ylabel("nat / 词元")
figure.tight_layout()
for name, runs in curves.items():
    for label, seen_losses in runs.items():
        print(f"{name}，{label}：最后十次平均 {sum(seen_losses[-10:]) / 10:.2f}")

# %% 坏 没除就裁剪：梯度小了六万倍
print(TRAIN_MUTATIONS["clip_before_unscale"].text)


def used_norm() -> float:
    """上限 0.1，一次更新真正用了的梯度的范数：学习率是 1 的 SGD 走了多远。"""
    model = make()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    loop.train_step(model, SGD(model.parameters(), 1.0), [first], 1.0, 0.1)
    return (before - torch.cat([p.detach().flatten() for p in model.parameters()])).norm().item()


print(f"对的：{used_norm():.1e}")
with mutated("clip_before_unscale"):
    print(f"没除就裁剪：{used_norm():.1e}")

# %% 坏 权重只存 bf16：小的更新全没有了
print(TRAIN_MUTATIONS["bf16_weights"].text)
print(f"一百次 0.001 的更新，对的走了 {right:.3f}，权重存 bf16 的走了 {stuck:.3f}")
