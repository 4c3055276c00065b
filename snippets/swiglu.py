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
for name, shape, multiple in (("LLaMA-7B", llama, 256), ("llm 缺省", ours, 128)):
    C, inner = shape.hidden_size, shape.intermediate_size
    rounded = -(-(8 * C // 3) // multiple) * multiple  # 向上取整
    print(f"{name}: 8C/3 = {8 * C / 3:.1f}，取到 {multiple} 的倍数是 {rounded}，配置里是 {inner}")

# %% 占一个块的多少
from llm.model import TransformerBlock

with torch.device("meta"):
    block = TransformerBlock(ours)
parts = {"注意力": block.self_attn, "前馈层": block.mlp, "归一化": block.input_layernorm}
for name, part in parts.items():
    number = count(part) * (2 if name == "归一化" else 1)
    print(f"{name} {number:>9,}  {number / count(block):.1%}")

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

# %% 检验 参数量相等
assert gated(48, 128) == plain(48, 4 * 48)  # 48 是 3 的倍数，8C/3 = 128 恰好是整数
assert gated(512, 4 * 512) * 2 == plain(512, 4 * 512) * 3  # 不缩小内宽，就多出一半

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

torch.manual_seed(1)
model = LLMForCausalLM(
    LLMConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24,
        num_hidden_layers=1, num_attention_heads=2,
    )
).eval()  # fmt: skip
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
ids = torch.randint(32, (1, 6))
broken = mutate(model, "gate_up_swapped")
print(MUTATIONS["gate_up_swapped"].text)
print("参数个数相同:", count(broken) == count(model))
print("logits 最大差:", f"{(broken(ids).logits - model(ids).logits).abs().max().item():.3f}")


# %% 坏 忘了 SiLU
def without(mlp: FeedForward, x: Tensor) -> Tensor:
    """错：门与内容直接相乘。"""
    return mlp.down_proj(mlp.gate_proj(x) * mlp.up_proj(x))


with torch.no_grad():
    print("没有 SiLU，x 与 -x:", without(mlp, x)[0, 0, :3], without(mlp, -x)[0, 0, :3])
    print("有 SiLU，  x 与 -x:", mlp(x)[0, 0, :3], mlp(-x)[0, 0, :3])
    assert without(mlp, x).equal(without(mlp, -x)) and not mlp(x).allclose(mlp(-x))
