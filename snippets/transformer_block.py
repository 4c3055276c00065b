# %% [markdown]
# # TransformerBlock：两个分支，各有自己的归一化，各加回一次残差
# 来源：Touvron et al. 2023, LLaMA, §2.2；Xiong et al. 2020, On Layer Normalization, §3

# %% 走一遍
import torch
from torch import Tensor, nn

from llm import LLMConfig, LLMForCausalLM
from llm.model import RotaryEmbedding, TransformerBlock

torch.manual_seed(0)
torch.set_printoptions(precision=3, sci_mode=False)
config = LLMConfig(
    vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
)
block = TransformerBlock(config)
x = torch.randn(1, 5, 32)  # (B, T, C)
cos, sin = RotaryEmbedding(config)(torch.arange(5)[None], x.dtype)


def report(name: str) -> None:
    """这个子模块一算完，就打印它的名字与输出的形状。"""

    def show(module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        first = output[0] if isinstance(output, tuple) else output
        print(f"{name:26}{type(module).__name__:14}{tuple(first.shape)}")

    hooks.append(block.get_submodule(name).register_forward_hook(show))


hooks: list = []
for name, _ in block.named_children():
    report(name)
y, present = block(x, cos, sin)
for hook in hooks:
    hook.remove()
print("块的输出:", tuple(y.shape), " 键与值:", [tuple(part.shape) for part in present])

# %% 两个归一化
first, second = block.input_layernorm, block.post_attention_layernorm
print("同一个对象吗:", first is second)
print("各自的参数:", tuple(first.weight.shape), tuple(second.weight.shape))
print("一开始都是 1:", first.weight.eq(1).all().item(), second.weight.eq(1).all().item())


# %% 训练几十步
def batch(rows: int = 32, length: int = 8) -> Tensor:
    """玩具任务：等差数列，起点与公差（1 到 3）随机，对 16 取余。形状：(rows, length)。"""
    start, step = torch.randint(16, (rows, 1)), torch.randint(1, 4, (rows, 1))
    return (start + step * torch.arange(length)) % 16


def learn(seed: int) -> tuple[LLMForCausalLM, list[float]]:
    """从这个种子起学 60 步，返回模型与每步的损失。"""
    torch.manual_seed(seed)
    model = LLMForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(60):
        ids = batch()
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def spread(values: list[float], digits: int = 2) -> str:
    """最小与最大。"""
    return f"{min(values):.{digits}f} 到 {max(values):.{digits}f}"


runs = [learn(seed) for seed in range(5)]
models = [model for model, _ in runs]
print("例子:", batch(1)[0].tolist())
print("5 个种子，损失从", spread([losses[0] for _, losses in runs]), end="")
print(" 降到", spread([losses[-1] for _, losses in runs]))
for index in range(2):
    gaps = []
    for each in models:
        layer = each.model.layers[index]
        pair = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        gaps.append((pair[0] - pair[1]).abs().max().item())
    print(f"第 {index} 块，两个归一化的权重最多差: {spread(gaps)}")
model = models[0]

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharex=True, sharey=True)
for index, (ax, layer) in enumerate(zip(axes, model.model.layers, strict=True)):
    across = layer.input_layernorm.weight.detach()
    up = layer.post_attention_layernorm.weight.detach()
    ax.scatter(across, up, color="#3f7fbf", s=16, label="32 个分量")
    ax.plot([1], [1], "+", color="#d9822b", markersize=14, markeredgewidth=2, label="训练之前")
    ax.axline((1, 1), slope=1, color="#808080", linestyle=":", linewidth=1)
    ax.set(title=f"第 {index} 块", xlabel="input_layernorm.weight")
    ax.grid(True)
axes[0].set_ylabel("post_attention_layernorm.weight")
axes[1].legend(fontsize=8, loc="lower left")
figure.tight_layout()
figure.set_label(
    "两张散点图，第 0 块与第 1 块：横轴 input_layernorm 的权重，纵轴 post_attention_layernorm 的；"
    "训练之前都在 (1, 1)，训练之后 32 个分量散开，不在对角线上"
)

# %% 残差流
sizes = []
for each in models:
    stream = []
    hooks = [
        layer.register_forward_hook(lambda _, args, out: stream.append(out[0]))
        for layer in each.model.layers
    ]
    with torch.no_grad():
        ids = batch()
        stream.append(each.model.embed_tokens(ids))
        final = each.model(ids).last_hidden_state
    for hook in hooks:
        hook.remove()
    sizes.append([part.pow(2).mean().sqrt().item() for part in stream])
    assert each.model.norm(stream[2]).equal(final)  # 末尾再归一化一次
for name, values in zip(("词嵌入", "第 0 块之后", "第 1 块之后"), zip(*sizes), strict=True):
    print(f"{name:6} 的均方根，5 个种子: {spread(values)}")


# %% 三种接法
def through(kind: str, blocks: list[TransformerBlock], h: Tensor) -> Tensor:
    """h 依次走过这些块；同样的权重，三种接法。形状：(B, T, C) → (B, T, C)。"""
    for each in blocks:
        attend, norm_1 = each.self_attn, each.input_layernorm
        feed, norm_2 = each.mlp, each.post_attention_layernorm
        if kind == "前置":
            h, _ = each(h, cos, sin)
        elif kind == "后置":
            h = norm_1(h + attend(h, cos, sin)[0])
            h = norm_2(h + feed(h))
        else:  # 没有残差
            h = feed(norm_2(attend(norm_1(h), cos, sin)[0]))
    return h


gradients = {"前置": [], "后置": [], "没有残差": []}
for seed in range(60):
    torch.manual_seed(seed)
    blocks = [TransformerBlock(config) for _ in range(16)]  # 刚初始化的 16 个块
    h, direction = torch.randn(1, 5, 32), torch.randn(1, 5, 32)  # (B, T, C)，随便取的损失
    weights = [each.mlp.down_proj.weight for each in blocks]
    for kind, rows in gradients.items():
        found = torch.autograd.grad((through(kind, blocks, h) * direction).sum(), weights)
        rows.append(torch.stack([part.norm() for part in found]))  # (16,)

figure, ax = plt.subplots(figsize=(7, 2.8))
quarters = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
for (kind, rows), color in zip(gradients.items(), ("#3f7fbf", "#5a9e6f", "#d9822b"), strict=True):
    norms = torch.stack(rows)  # (60, 16)
    low, middle, high = norms.quantile(quarters[1:4], dim=0)
    ax.semilogy(middle, "o-", color=color, markersize=4, label=kind)
    ax.fill_between(range(16), low, high, color=color, alpha=0.2)
    ratio = (norms[:, 0] / norms[:, -1]).quantile(quarters).tolist()
    shown = "、".join(f"{part:.1f}" if part < 10 else f"{part:.0f}" for part in ratio)
    print(f"{kind}：第 0 块的梯度是末块的几倍（最小、四分位、最大）: {shown}")
    rising = (norms[:, :-1] > norms[:, 1:]).all(1).sum().item()
    print(f"    60 个种子里，越往前一块比一块大的: {rising}，第 0 块最大的: ", end="")
    print((norms.argmax(1) == 0).sum().item())
ax.set(xlabel="第几块", ylabel="梯度的长度", title="刚初始化，60 个种子的中位数与四分位")
ax.legend()
ax.grid(True)
figure.tight_layout()
figure.set_label(
    "梯度的长度随块号，纵轴是对数：没有残差的，第 0 块是第 15 块的一百来倍，一路下降；"
    "前置的与后置的都近乎水平"
)

# %% 检验 与按公式写、transformers 相同
from torch.nn import functional as F
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
llama = LlamaConfig(**shared, attn_implementation="sdpa")
theirs = LlamaDecoderLayer(llama, 0)
with torch.no_grad():  # 默认的权重全是 1，两个归一化互换了也看不出来
    for norm in (first, second):
        norm.weight.add_(torch.randn(32), alpha=0.3)
theirs.load_state_dict(block.state_dict(), strict=True)
got, _ = block(x, cos, sin)
angles = LlamaRotaryEmbedding(llama)(x, torch.arange(5)[None])
torch.testing.assert_close(got, theirs(x, position_embeddings=angles))
h = x + block.self_attn(F.rms_norm(x, (32,), first.weight, 1e-6), cos, sin)[0]
hand = h + block.mlp(F.rms_norm(h, (32,), second.weight, 1e-6))
torch.testing.assert_close(got, hand)

# %% 检验 分支是 0 就什么也不做
silent = TransformerBlock(config)
with torch.no_grad():
    silent.self_attn.o_proj.weight.zero_()
    silent.mlp.down_proj.weight.zero_()
leaf = x.clone().requires_grad_(True)
out, _ = silent(leaf, cos, sin)
out.sum().backward()
assert out.equal(x)  # 残差把输入原样送到输出
assert leaf.grad.equal(torch.ones_like(x))  # 梯度也原样送回来

# %% 检验 不看未来
later = x.clone()
later[:, 4] += 1.0  # 只改最后一个位置
changed, _ = block(later, cos, sin)
torch.testing.assert_close(changed[:, :4], got[:, :4], rtol=0, atol=0)
assert not changed[:, 4].allclose(got[:, 4])

# %% 检验 两份梯度各算各的
block.zero_grad()
block(x, cos, sin)[0].pow(2).sum().backward()
assert not first.weight.grad.allclose(second.weight.grad, rtol=0.1)
delta = 1e-3  # 数值微分核对其中一个：只动前馈层的归一化
block.double()
with torch.no_grad():
    ends = []
    for sign in (1, -1):
        second.weight[0] += sign * delta
        ends.append(block(x.double(), cos.double(), sin.double())[0].pow(2).sum())
        second.weight[0] -= sign * delta
slope = (ends[0] - ends[1]) / (2 * delta)
block.float()
torch.testing.assert_close(slope, second.weight.grad[0].double(), rtol=1e-3, atol=1e-3)

# %% 坏 两个归一化互换
from llm.lab.mutations import MUTATIONS, mutate

print(MUTATIONS["swapped_norms"].text)
ids = batch(256)
for state, several in {
    "刚初始化": [LLMForCausalLM(config) for _ in range(5)],
    "训练 60 步之后": models,
}.items():
    gaps, rises = [], []
    with torch.no_grad():
        for each in several:
            right, wrong = each(ids, labels=ids), mutate(each, "swapped_norms")(ids, labels=ids)
            gaps.append((wrong.logits - right.logits).abs().max().item())
            rises.append((wrong.loss - right.loss).item())
    print(f"{state}：logits 最多差 {spread(gaps)}  损失变大 {spread(rises, 4)}")
assert min(gaps) > 0.1


# %% 坏 共用一个归一化
class Shared(TransformerBlock):
    """错：只建了一个归一化，用了两次。"""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__(config)
        self.post_attention_layernorm = self.input_layernorm


bad, trained = Shared(config), model.model.layers[0]
bad.load_state_dict(trained.state_dict(), strict=True)  # 名字都在，所以不报错
for name in ("input_layernorm", "post_attention_layernorm"):
    loaded, wanted = getattr(bad, name).weight, getattr(trained, name).weight
    print(f"{name:26}读对了: {loaded.equal(wanted)}")  # 后读的盖掉了先读的
counts = [sum(part.numel() for part in each.parameters()) for each in (trained, bad)]
print("参数个数:", counts, "少了", counts[0] - counts[1])
assert bad.input_layernorm.weight.equal(trained.post_attention_layernorm.weight)
