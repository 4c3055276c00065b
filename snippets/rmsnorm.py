# %% [markdown]
# # RMSNorm：除以均方根，再逐分量乘权重
# 来源：Zhang & Sennrich 2019, Root Mean Square Layer Normalization, §4

# %% 算一次
import torch
from torch import Tensor, nn

from llm.model import RMSNorm

torch.set_printoptions(precision=4, sci_mode=False)
x = torch.tensor([[3.0, 4.0, 0.0, 0.0], [30.0, 40.0, 0.0, 0.0]])  # (2, 4)，第二行是第一行的 10 倍
norm = RMSNorm(4, eps=1e-6)
y = norm(x)  # (2, 4)
print("均方根:", x.pow(2).mean(-1).sqrt().tolist())
print(y.detach())  # 两行几乎相同：大小被除掉了
print("输出的均方根:", y.detach().pow(2).mean(-1).sqrt())
print("输出的长度:", y.detach().norm(dim=-1), "即 √4")  # 均方根是 1，长度是 √n

# %% 与 LayerNorm 比
torch.manual_seed(0)
layer = nn.LayerNorm(4, eps=1e-6)
row = torch.randn(1, 4)
for name, module in {"RMSNorm": norm, "LayerNorm": layer}.items():
    base = module(row)
    scaled = torch.allclose(module(10 * row), base, atol=1e-4)
    shifted = torch.allclose(module(row + 5), base, atol=1e-4)
    owned = [part for part, _ in module.named_parameters()]
    print(f"{name:9} 乘 10 不变: {scaled}  加 5 不变: {shifted}  参数: {owned}")
    print(f"{'':9} 输出的均值: {base.mean():.4f}  均方根: {base.pow(2).mean().sqrt():.4f}")

# %% eps 的作用
direction = torch.tensor([3.0, 4.0, 0.0, 0.0]) / 2.5  # 均方根恰好是 1
for size in (1.0, 1e-2, 1e-3, 1e-4, 0.0):
    out = norm(size * direction).detach()
    print(f"输入的均方根 {size:<6g} → 输出的 {out.pow(2).mean().sqrt():.4f}")

# %% 全零的输入
zero = torch.zeros(1, 4, requires_grad=True)  # 例如被清零的填充位置
out = norm(zero)
out.sum().backward()
print("输出:", out.detach().tolist())
print("梯度:", zero.grad)  # 有限，但放大到 1/sqrt(eps) = 1000 倍

# %% fp16 与 bf16
loud = torch.full((1, 4), 300.0, dtype=torch.float16)
print("fp16 里 300 的平方:", loud.pow(2)[0, 0].item())  # 超过 65504
print("先转 fp32 再平方:", norm.half()(loud).tolist())
norm.float()
torch.manual_seed(1)
exact = torch.randn(64, 512, dtype=torch.float64)
narrow = exact.bfloat16()
true = narrow.double() * narrow.double().pow(2).mean(-1, keepdim=True).rsqrt()
upcast = RMSNorm(512, eps=1e-12).bfloat16()(narrow)
stay = narrow * narrow.pow(2).mean(-1, keepdim=True).rsqrt()  # 每一步都舍入到 bf16
for name, result in {"fp32 里算": upcast, "全程 bf16": stay}.items():
    print(f"{name} 最大误差 {(result.double() - true).abs().max():.4f}")

# %% 图
import matplotlib.pyplot as plt

sizes = torch.logspace(-6, 1, 60)
figure, ax = plt.subplots(figsize=(7, 3))
for eps, color in ((1e-5, "#d9822b"), (1e-6, "#3f7fbf"), (1.5625e-7, "#5a9e6f")):
    out = RMSNorm(4, eps)(sizes[:, None] * direction).detach().pow(2).mean(-1).sqrt()
    ax.loglog(sizes, out, color=color, label=f"eps = {eps:g}")
    ax.axvline(eps**0.5, color=color, linestyle=":", linewidth=1)
ax.set(xlabel="输入的均方根", ylabel="输出的均方根", title="虚线：sqrt(eps)；它的左边不再归一化")
ax.legend()
ax.grid(True)
figure.tight_layout()
figure.set_label(
    "双对数图，三条线对应三个 eps：输入的均方根大于 sqrt(eps)（虚线）时，输出都是 1；"
    "小于它，输出就跟着输入一起变小，eps 越大掉得越早"
)

# %% 检验 与内建、transformers 相同
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm

torch.manual_seed(2)
ours, theirs = RMSNorm(32, 1e-6), LlamaRMSNorm(32, 1e-6)
with torch.no_grad():
    ours.weight.copy_(torch.randn(32))  # 默认全是 1，忘了乘也看不出来
    theirs.weight.copy_(ours.weight)
batch = torch.randn(2, 5, 32)  # (B, T, C)
torch.testing.assert_close(ours(batch), F.rms_norm(batch, (32,), ours.weight, 1e-6))
torch.testing.assert_close(ours(batch), theirs(batch), rtol=0, atol=0)
half = batch.bfloat16()  # 输入 bf16、权重也 bf16：连乘权重的次序都要相同才会逐位相等
assert ours.bfloat16()(half).equal(theirs.bfloat16()(half))
assert ours(half).dtype == torch.bfloat16
assert not F.rms_norm(half, (32,), ours.weight, 1e-6).equal(ours(half))  # 先乘再转：舍入不同

# %% 检验 先减均值就是 LayerNorm
plain = nn.LayerNorm(32, eps=1e-6, elementwise_affine=False)
centred = batch - batch.mean(-1, keepdim=True)
torch.testing.assert_close(RMSNorm(32, 1e-6)(centred), plain(batch))
assert not RMSNorm(32, 1e-6)(batch).allclose(plain(batch), atol=1e-2)

# %% 检验 eps 的闭式
for size in (10.0, 1e-3, 1e-5):
    out = norm(size * direction).pow(2).mean().sqrt()
    torch.testing.assert_close(out, torch.tensor(size / (size**2 + 1e-6) ** 0.5))
torch.testing.assert_close(zero.grad, torch.full((1, 4), 1e-6**-0.5))

# %% 检验 梯度与输入垂直
probe = torch.randn(3, 16, dtype=torch.float64, requires_grad=True)
weights = torch.randn(3, 16, dtype=torch.float64)
scale = probe.pow(2).mean(-1, keepdim=True).rsqrt()
plain = RMSNorm(16, 1e-12)
gradient, learned = torch.autograd.grad((plain(probe) * weights).sum(), [probe, plain.weight])
assert (gradient * probe).sum(-1).abs().max() < 1e-5  # 放大 x 不改变输出，所以沿 x 的导数是 0
hand = scale * (weights - probe * scale**2 * (weights * probe).mean(-1, keepdim=True))
torch.testing.assert_close(gradient, hand.detach(), rtol=1e-5, atol=1e-6)
by_weight = (weights * probe * scale).sum(0).float().detach()  # 权重的梯度：各位置相加
torch.testing.assert_close(learned, by_weight, rtol=1e-5, atol=1e-6)


# %% 坏 eps 加在根号外
def outside(x: Tensor, eps: float = 1e-6) -> Tensor:
    """错：先开方再加 eps，前向也不除以 0，反向却不行。"""
    return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps)


bad = torch.zeros(1, 4, requires_grad=True)
wrong = outside(bad)
wrong.sum().backward()
print("前向:", wrong.detach().tolist())
print("梯度:", bad.grad)  # sqrt 在 0 处的导数是无穷大，乘 0 得 NaN
print("均方根 1e-4 的输入，根号外:", f"{outside(1e-4 * direction).pow(2).mean().sqrt():.4f}")
print("根号里:", f"{norm(1e-4 * direction).pow(2).mean().sqrt().item():.4f}")
assert bad.grad.isnan().all()

# %% 坏 在 fp16 里平方
silent = loud * (loud.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
print("300 归一化之后:", silent.tolist())  # 平方是 inf，rsqrt(inf) = 0：整行悄悄变成 0
assert (silent == 0).all()


# %% 坏 少写了 -1
def over_everything(x: Tensor) -> Tensor:
    """错：对整个张量求均值，各位置、各样本混在一起。"""
    return x * (x.pow(2).mean() + 1e-6).rsqrt()


sentence = torch.ones(1, 3, 4)  # (B, T, C)
louder = sentence.clone()
louder[:, 2] = 10.0  # 只改最后一个位置
print("第 0 个位置，改之前:", over_everything(sentence)[0, 0])
print("改了未来之后:", over_everything(louder)[0, 0])
assert norm(sentence)[0, 0].equal(norm(louder)[0, 0])  # 正确的写法里，各位置互不相干

# %% 坏 忘了乘权重
from llm import LLMConfig, LLMForCausalLM
from llm.lab.mutations import mutate

config = LLMConfig(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
)
gaps = {"刚初始化，权重全是 1": [], "权重扰动之后": []}
for seed in range(8):
    torch.manual_seed(seed)
    model, ids = LLMForCausalLM(config).eval(), torch.randint(32, (1, 6))
    with torch.no_grad():
        for values in gaps.values():
            wrong = mutate(model, "norm_weight_ignored")(ids).logits
            values.append((wrong - model(ids).logits).abs().max().item())
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.add_(torch.randn_like(parameter), alpha=0.5)
for state, values in gaps.items():
    print(f"{state}，8 个种子，logits 最多差 {min(values):.4f} 到 {max(values):.4f}")
assert min(gaps["权重扰动之后"]) > 1e-3

# %% 坏 eps 抄错了一位
changes, flips = [], []
for seed in range(8):
    torch.manual_seed(seed)
    small = LLMConfig(vocab_size=1000, hidden_size=128, intermediate_size=352, num_hidden_layers=4)
    model, ids = LLMForCausalLM(small).eval(), torch.randint(1000, (1, 64))
    with torch.no_grad():
        right, wrong = model(ids).logits, mutate(model, "wrong_eps")(ids).logits
        embedded = model.model.embed_tokens(ids).pow(2).mean().sqrt().item()
    changes.append(((wrong - right).norm() / right.norm()).item())
    flips.append((wrong.argmax(-1) != right.argmax(-1)).sum().item())
print(f"刚初始化，词嵌入的均方根 {embedded:.3f}，均方 {embedded**2:.0e}，只比 1e-5 大四十倍")
print(f"8 个种子，logits 的相对改变: {min(changes):.2%} 到 {max(changes):.2%}")
print("64 个位置里，最大的那个词元换了的:", sorted(flips), "个")
assert min(changes) > 1e-3
