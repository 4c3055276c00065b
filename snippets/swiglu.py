# %% [markdown]
# # SwiGLU：一路决定放行多少，一路给出内容
# 来源：Shazeer 2020, GLU Variants Improve Transformer, §2

# %% 门
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm import LLMConfig
from llm.model import FeedForward

torch.manual_seed(0)
torch.set_printoptions(precision=3, sci_mode=False)
config = LLMConfig(hidden_size=8, intermediate_size=4, num_attention_heads=2)
mlp = FeedForward(config)
x = torch.randn(1, 2, 8)  # (B, T, C)
with torch.no_grad():
    gate, up = mlp.gate_proj(x), mlp.up_proj(x)  # (B, T, I), (B, T, I)
    print("门，SiLU 之后:", F.silu(gate)[0, 0])
    print("内容:         ", up[0, 0])
    print("放行的:       ", (F.silu(gate) * up)[0, 0])
    print("回到宽度 C:", tuple(mlp(x).shape))

# %% 三条曲线
import matplotlib.pyplot as plt

line = torch.linspace(-5, 3, 200)
curves = {
    "ReLU": (F.relu, "#808080"),
    "GELU": (F.gelu, "#d9822b"),
    "SiLU": (F.silu, "#3f7fbf"),
}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
for name, (function, color) in curves.items():
    points = line.clone().requires_grad_(True)
    value = function(points)
    (slope,) = torch.autograd.grad(value.sum(), points)
    axes[0].plot(line, value.detach(), color=color, label=name)
    axes[1].plot(line, slope, color=color, label=name)
axes[0].set(title="函数", xlabel="输入")
axes[1].set(title="导数", xlabel="输入")
for ax in axes:
    ax.grid(True)
axes[0].legend()
figure.tight_layout()
figure.set_label(
    "左图函数：ReLU 在 0 处有折角，GELU 与 SiLU 是光滑的，在 0 左边略低于 0；"
    "右图导数：ReLU 从 0 跳到 1，GELU 与 SiLU 连续，都略微超过 1 再回来"
)

# %% 负的一边
negative = torch.tensor([-0.5, -1.278, -3.0, -8.0])
for name, (function, _) in curves.items():
    points = negative.clone().requires_grad_(True)
    value = function(points)
    (slope,) = torch.autograd.grad(value.sum(), points)
    print(name, "值", value.detach(), "导数", slope)


# %% 三分之八从哪来
def count(module: nn.Module) -> int:
    """参数的个数。"""
    return sum(parameter.numel() for parameter in module.parameters())


def gated(C: int, inner: int) -> int:
    """真的 FeedForward 有多少参数；放在 meta 设备上，不占内存。"""
    with torch.device("meta"):
        return count(FeedForward(LLMConfig(hidden_size=C, intermediate_size=inner)))


def plain(C: int, inner: int) -> int:
    """两个矩阵、没有门的前馈层。"""
    with torch.device("meta"):
        up, down = nn.Linear(C, inner, bias=False), nn.Linear(inner, C, bias=False)
        return count(nn.Sequential(up, nn.ReLU(), down))


for C in (512, 4096):
    base = plain(C, 4 * C)
    print(f"C = {C}，没有门、宽 4C: {base:,}")
    for inner in (4 * C, 8 * C // 3):
        print(f"  SwiGLU，I = {inner}: {gated(C, inner):,}（{gated(C, inner) / base:.3f} 倍）")

# %% 取整到好算的倍数
from transformers import LlamaConfig

llama, ours = LlamaConfig(), LLMConfig()
for name, shape, multiple in (("LLaMA-7B", llama, 256), ("llm 默认", ours, 128)):
    C, inner = shape.hidden_size, shape.intermediate_size
    rounded = -(-(8 * C // 3) // multiple) * multiple  # 向上取整
    print(f"{name}: 8C/3 = {8 * C / 3:.1f}，取到 {multiple} 的倍数是 {rounded}，配置里是 {inner}")


# %% 开源模型怎样选
def meta_width(C: int, multiplier: float, multiple: int) -> int:
    """Meta 的 llama3 代码里的算法：8C/3 乘一个倍数，再向上取整。"""
    return -(-int(multiplier * int(8 * C / 3)) // multiple) * multiple


RELEASED = {  # 释出模型的 C、每个（专家的）I、每个词元用几个专家；出处见「来源」
    "GPT-2": ("GELU，没有门", 768, 3072, 1),
    "LLaMA-7B": ("SwiGLU", 4096, 11008, 1),
    "Llama-2-70B": ("SwiGLU", 8192, 28672, 1),
    "Llama-3-8B": ("SwiGLU", 4096, 14336, 1),
    "Qwen2.5-7B": ("SwiGLU", 3584, 18944, 1),
    "Qwen3-8B": ("SwiGLU", 4096, 12288, 1),
    "GLM-4-9B": ("SwiGLU", 4096, 13696, 1),
    "Gemma-7B": ("GeGLU", 3072, 24576, 1),
    "Mixtral-8x7B": ("SwiGLU，8 选 2", 4096, 14336, 2),
    "Qwen3-30B-A3B": ("SwiGLU，128 选 8", 2048, 768, 8),
    "DeepSeek-V3": ("SwiGLU，256 选 8 + 1 个共享", 7168, 2048, 9),
}
for name, (kind, C, inner, active) in RELEASED.items():
    matrices = 2 if "没有门" in kind else 3
    times = matrices * inner * active / (8 * C)  # 同宽、没有门、I = 4C 的是 8C²
    print(f"{name:14}I/C = {inner * active / C:5.2f}  用到的参数是 8C² 的 {times:.2f} 倍  {kind}")
print("LLaMA-7B：", meta_width(4096, 1.0, 256), " Llama-2-70B：", meta_width(8192, 1.3, 4096))
print("Llama-3-8B：", meta_width(4096, 1.3, 1024))

# %% 占一个块的多少
from llm.model import TransformerBlock


def block_parts(**overrides: int) -> dict[str, int]:
    """一个块里注意力、前馈层、归一化各有多少参数。"""
    with torch.device("meta"):
        block = TransformerBlock(LLMConfig(**overrides))
    norms = count(block.input_layernorm) + count(block.post_attention_layernorm)
    return {"注意力": count(block.self_attn), "前馈层": count(block.mlp), "归一化": norms}


parts = block_parts()
for name, number in parts.items():
    print(f"{name} {number:>9,}  {number / sum(parts.values()):.1%}")
for heads in (4, 8, 16):  # 头宽 D = C/H：头多了就窄，参数一个不多
    print(f"{heads:2} 个头: {sum(block_parts(num_attention_heads=heads).values()):,}")
print(" 8 个查询头、2 个键值头:", f"{sum(block_parts(num_key_value_heads=2).values()):,}")

# %% 检验 与手算、transformers 相同
from transformers.models.llama.modeling_llama import LlamaMLP

theirs = LlamaMLP(LlamaConfig(hidden_size=8, intermediate_size=4, num_attention_heads=2))
theirs.load_state_dict(mlp.state_dict(), strict=True)
torch.testing.assert_close(mlp(x), theirs(x), rtol=0, atol=0)
one = x[0, 0].double()
inner = []
for row in range(4):  # 逐个单元
    g = (mlp.gate_proj.weight[row].double() * one).sum()
    u = (mlp.up_proj.weight[row].double() * one).sum()
    inner.append(g / (1 + torch.exp(-g)) * u)
hand = mlp.down_proj.weight.double() @ torch.stack(inner)
torch.testing.assert_close(mlp(x)[0, 0].double(), hand, rtol=1e-5, atol=1e-6)

# %% 检验 合成一个矩阵
fused_config = LLMConfig(hidden_size=8, intermediate_size=4, num_attention_heads=2, fused_mlp=True)
fused = FeedForward(fused_config)
with torch.no_grad():
    fused.gate_up_proj.weight.copy_(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
    fused.down_proj.weight.copy_(mlp.down_proj.weight)
torch.testing.assert_close(fused(x), mlp(x))
assert count(fused) == count(mlp) == 3 * 8 * 4

# %% 检验 打乱单元的次序
order = torch.tensor([2, 0, 3, 1])
shuffled, partly = FeedForward(config), FeedForward(config)
with torch.no_grad():
    for each in (shuffled, partly):
        each.gate_proj.weight.copy_(mlp.gate_proj.weight[order])
        each.up_proj.weight.copy_(mlp.up_proj.weight[order])
    shuffled.down_proj.weight.copy_(mlp.down_proj.weight[:, order])
    partly.down_proj.weight.copy_(mlp.down_proj.weight)  # 忘了跟着换列
torch.testing.assert_close(shuffled(x), mlp(x))
assert not partly(x).allclose(mlp(x), atol=1e-2)

# %% 检验 中间维度与 transformers 的默认相符
from transformers import (
    DeepseekV3Config,
    GemmaConfig,
    GlmConfig,
    GPT2Config,
    MixtralConfig,
)
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

for name, default in {  # 这几家的库默认就是那个释出的模型
    "LLaMA-7B": LlamaConfig(),
    "GLM-4-9B": GlmConfig(),
    "Gemma-7B": GemmaConfig(),
    "Mixtral-8x7B": MixtralConfig(),
}.items():
    _, C, inner, _ = RELEASED[name]
    assert (C, inner) == (default.hidden_size, default.intermediate_size), name
assert GemmaConfig().hidden_act == "gelu_pytorch_tanh"  # 门是 GELU：GeGLU
deepseek = DeepseekV3Config()
active = deepseek.num_experts_per_tok + deepseek.n_shared_experts
assert deepseek.first_k_dense_replace == 3  # 前 3 层是普通的前馈层
assert RELEASED["DeepSeek-V3"][1:] == (deepseek.hidden_size, deepseek.moe_intermediate_size, active)
gpt2 = GPT2Config()
with torch.device("meta"):
    classic = GPT2MLP(4 * gpt2.n_embd if gpt2.n_inner is None else gpt2.n_inner, gpt2)
assert gpt2.activation_function == "gelu_new" and not hasattr(classic, "gate_proj")
assert classic.c_fc.weight.shape == RELEASED["GPT-2"][1:3]  # Conv1D 的权重是 (进, 出)
assert meta_width(4096, 1.0, 256) == 11008 and meta_width(4096, 1.3, 1024) == 14336
assert meta_width(8192, 1.3, 4096) == 28672
for C, heads, shared, inner, times in ((8192, 64, 8, 28672, 12.75), (4096, 32, 8, 14336, 13)):
    found = block_parts(
        hidden_size=C,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        intermediate_size=inner,
    )
    assert found["注意力"] + found["前馈层"] == times * C**2  # 补得比 GQA 省的多
assert len({sum(block_parts(num_attention_heads=heads).values()) for heads in (2, 4, 8, 16)}) == 1

# %% 检验 参数量相等
assert gated(48, 128) == plain(48, 4 * 48)  # 48 是 3 的倍数，8C/3 = 128 恰好是整数
assert gated(512, 4 * 512) * 2 == plain(512, 4 * 512) * 3  # 不缩小中间维度，就多出一半

# %% 检验 SiLU 的闭式与极限
points = torch.linspace(-30, 30, 1001, dtype=torch.float64, requires_grad=True)
sigmoid = 1 / (1 + torch.exp(-points))
torch.testing.assert_close(F.silu(points), points * sigmoid)
(slope,) = torch.autograd.grad(F.silu(points).sum(), points)
torch.testing.assert_close(slope, (sigmoid * (1 + points * (1 - sigmoid))).detach())
torch.testing.assert_close(F.silu(points) - F.silu(-points), points.detach())  # 奇部是 x/2
low = F.silu(torch.linspace(-3, 0, 3001)).min().item()
assert abs(low + 0.2785) < 1e-4

# %% 检验 两个单元就能做乘法
product = FeedForward(LLMConfig(hidden_size=2, intermediate_size=2, num_attention_heads=1))
with torch.no_grad():
    product.gate_proj.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))  # x0 与 -x0
    product.up_proj.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))  # 都是 x1
    product.down_proj.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))  # 相减
pairs = torch.randn(1, 100, 2) * 3
torch.testing.assert_close(product(pairs)[..., 0], pairs[..., 0] * pairs[..., 1])

# %% 检验 门关上与打开
with torch.no_grad():
    closed = FeedForward(config)
    closed.load_state_dict(mlp.state_dict())
    closed.gate_proj.weight.zero_()
    assert (closed(x) == 0).all()  # SiLU(0) = 0：内容是什么都出不来
    louder = FeedForward(config)
    louder.load_state_dict(mlp.state_dict())
    louder.up_proj.weight.mul_(3.0)
    torch.testing.assert_close(louder(x), 3 * mlp(x))  # 对内容这一路是线性的
    louder.load_state_dict(mlp.state_dict())
    louder.gate_proj.weight.mul_(3.0)
    assert not louder(x).allclose(3 * mlp(x), rtol=0.05)  # 对门这一路不是

# %% 坏 SiLU 用错了边
from llm import LLMForCausalLM
from llm.lab.mutations import MUTATIONS, mutate

print(MUTATIONS["gate_up_swapped"].text)
small = LLMConfig(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
)
gaps = []
for seed in range(8):
    torch.manual_seed(seed)
    model, ids = LLMForCausalLM(small).eval(), torch.randint(32, (1, 6))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        broken = mutate(model, "gate_up_swapped")
        gaps.append((broken(ids).logits - model(ids).logits).abs().max().item())
    assert count(broken) == count(model)  # 参数个数相同，形状相同
print(f"8 个种子，logits 最多差 {min(gaps):.3f} 到 {max(gaps):.3f}")


# %% 坏 忘了 SiLU
def without(mlp: FeedForward, x: Tensor) -> Tensor:
    """错：门与内容直接相乘。"""
    return mlp.down_proj(mlp.gate_proj(x) * mlp.up_proj(x))


with torch.no_grad():
    print("没有 SiLU，x 与 -x:", without(mlp, x)[0, 0, :3], without(mlp, -x)[0, 0, :3])
    print("有 SiLU，  x 与 -x:", mlp(x)[0, 0, :3], mlp(-x)[0, 0, :3])
    assert without(mlp, x).equal(without(mlp, -x)) and not mlp(x).allclose(mlp(-x))
