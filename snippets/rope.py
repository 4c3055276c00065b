# %% [markdown]
# # RoPE：把 q、k 的每一对分量按位置转一个角度
# 来源：Su et al. 2021, RoFormer, §3.2、§3.4

# %% 一对分量就是一个平面向量
import torch
from torch import Tensor

from llm import LLMConfig
from llm.model import RotaryEmbedding, apply_rotary

flat = RotaryEmbedding(LLMConfig(hidden_size=2, num_attention_heads=1))  # R = 2，只有一对，θ = 1
cos, sin = flat(torch.arange(4)[None], torch.float32)  # (1, 1, T, R/2)
x = torch.tensor([1.0, 0.0]).expand(1, 1, 4, 2)  # (B, N, T, D)：四个位置，同一个向量
turned = apply_rotary(x, cos, sin)
print(
    "转后的角度:", [round(a, 3) for a in torch.atan2(turned[..., 1], turned[..., 0])[0, 0].tolist()]
)
print("长度:      ", [round(size, 3) for size in turned.norm(dim=-1)[0, 0].tolist()])

# %% 每一对转得快慢不同
D = 8
rope = RotaryEmbedding(LLMConfig(hidden_size=D, num_attention_heads=1))
print("表的形状:", tuple(rope.cos.shape))  # (P, R/2)
angle = torch.atan2(rope.sin[1], rope.cos[1])  # 位置 1 的角度就是 θ_i
print("θ_i:        ", [round(a, 4) for a in angle.tolist()])
print("转一圈要几步:", [round(2 * torch.pi / a) for a in angle.tolist()])

# %% 只看 m − n
torch.manual_seed(0)
q, k = torch.randn(D), torch.randn(D)


def score(m: int, n: int, interleaved: bool = False) -> Tensor:
    """位置 m 的查询与位置 n 的键的内积。"""
    places = torch.tensor([[m, n]])  # (B, T)
    rotated = apply_rotary(torch.stack([q, k])[None, None], *rope(places, q.dtype), interleaved)
    return rotated[0, 0, 0] @ rotated[0, 0, 1]


for m, n in ((3, 1), (13, 11), (1003, 1001), (3, 2), (1, 3)):
    print(f"m = {m:4}, n = {n:4}, m − n = {m - n:2}：{score(m, n).item():.4f}")

# %% 两种配对
ramp = torch.arange(1.0, 9.0).view(1, 1, 1, 8)
quarter = torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)  # cos = 0，sin = 1：都转 90 度
print("原来:    ", ramp.flatten().int().tolist())
print("前后两半:", apply_rotary(ramp, *quarter).flatten().int().tolist())
print("相邻两个:", apply_rotary(ramp, *quarter, interleaved=True).flatten().int().tolist())
glm = LLMConfig.preset("glm", hidden_size=256, num_attention_heads=2)
print("GLM 头宽", glm.head_dim, "只转前", glm.rotary_dim)

# %% 把相邻配对变成前后两半
from copy import deepcopy

from llm import LLMForCausalLM


def make(interleaved: bool) -> LLMForCausalLM:
    """一个小的 Qwen2（q、k 有偏置），参数都扰动过。"""
    torch.manual_seed(0)
    config = LLMConfig.preset(
        "qwen2",
        vocab_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_interleaved=interleaved,
    )
    model = LLMForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model


def to_half(rows: Tensor, head_dim: int) -> Tensor:
    """q、k 投影的行（或偏置）：每个头内，先取偶数行，再取奇数行。"""
    order = torch.cat([torch.arange(0, head_dim, 2), torch.arange(1, head_dim, 2)])
    return rows.view(-1, head_dim, *rows.shape[1:])[:, order].reshape(rows.shape)


pairs, half = make(True), make(False)  # 权重相同，配对不同
ids = torch.randint(32, (1, 12))
expected = pairs(ids).logits
print("不换行序，最多差:", f"{(half(ids).logits - expected).abs().max():.2f}")
for block in half.model.layers:
    for projection in (block.self_attn.q_proj, block.self_attn.k_proj):
        projection.weight.copy_(to_half(projection.weight, 8))
        projection.bias.copy_(to_half(projection.bias, 8))
print("换了行序，相同:", half(ids).logits.allclose(expected, atol=1e-5))
print("8 行的新次序:", to_half(torch.arange(8), 8).tolist())

# %% 图 角度
import matplotlib.pyplot as plt

wide = RotaryEmbedding(LLMConfig(hidden_size=128, num_attention_heads=1))  # R = 128，底数 1e4
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=[1, 1.25])
circle = torch.linspace(0, 2 * torch.pi, 100)
axes[0].plot(circle.cos(), circle.sin(), color="#888888", linewidth=0.8)
for pair, color, radius in ((0, "#3f7fbf", 1.0), (1, "#d9822b", 0.8)):
    for m in range(5):
        tip = (radius * rope.cos[m, pair], radius * rope.sin[m, pair])
        axes[0].annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->", "color": color})
        if pair == 0 or m == 4:
            at = [1.18 * part for part in tip]
            axes[0].annotate(str(m), at, color=color, ha="center", va="center")
axes[0].set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
axes[0].axis("off")
axes[0].set_title("R = 8：第 0 对（蓝）、第 1 对（橙）\n在位置 0 到 4", fontsize=9)
shown = axes[1].imshow(wide.cos[:64].T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
axes[1].set(xlabel="位置", ylabel="第几对")
axes[1].set_title("R = 128 的 cos 表：下面的对几乎不转", fontsize=9)
figure.colorbar(shown, ax=axes[1])
figure.tight_layout()

# %% 图 分数随距离
distance = torch.arange(2048)
same = wide.cos.mean(dim=1)  # q = k、每对一样长时，归一化的分数就是各对 cos 的平均
torch.manual_seed(0)
unlike = torch.randn(2, 128)
noise = apply_rotary(unlike[:1].expand(1, 1, 2048, 128), *wide(distance[None], torch.float32))
noise = (noise[0, 0] @ unlike[1]) / unlike.norm(dim=1).prod()
figure, ax = plt.subplots(figsize=(7.2, 2.7))
ax.plot(distance, same, color="#3f7fbf", label="q = k，每对一样长")
ax.plot(distance, noise, color="#d9822b", linewidth=0.8, label="q、k 随机")
ax.axhline(0, color="#888888", linewidth=0.8)
ax.set(xlabel="距离 m − n", ylabel="归一化的分数", xscale="symlog", xlim=(0, 2047))
ax.legend()
ax.grid(True)
figure.tight_layout()
print("距离 0、1、10、100、1000:", [round(same[d].item(), 2) for d in (0, 1, 10, 100, 1000)])

# %% 检验 与复数乘法相同
torch.manual_seed(1)
x = torch.randn(2, 3, 5, D)  # (B, N, T, D)
places = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 500, 2047]])  # (B, T)
cos, sin = rope(places, torch.float32)
theta = 10000.0 ** (-torch.arange(0, D, 2) / D)  # (R/2,)
turn = torch.polar(torch.ones(2, 1, 5, D // 2), (places[..., None] * theta)[:, None])
by_complex = torch.view_as_real(torch.view_as_complex(x.view(2, 3, 5, -1, 2)) * turn).flatten(-2)
torch.testing.assert_close(apply_rotary(x, cos, sin, interleaved=True), by_complex)

# %% 检验 与 transformers 相同
from transformers.models.glm.modeling_glm import apply_rotary_pos_emb as glm_rotary
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as llama_rotary

full = [torch.cat([part, part], dim=-1)[:, 0] for part in (cos, sin)]  # 那边的表有 R 列
torch.testing.assert_close(apply_rotary(x, cos, sin), llama_rotary(x, x, *full)[0])
torch.testing.assert_close(apply_rotary(x, cos, sin, interleaved=True), glm_rotary(x, x, *full)[0])

# %% 检验 长度不变，位置 0 不动
for interleaved in (False, True):
    turned = apply_rotary(x, cos, sin, interleaved)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert turned[0, :, 0].equal(x[0, :, 0])  # 位置 0
    assert not turned[0, :, 1].allclose(x[0, :, 1])
part = apply_rotary(torch.cat([x, x], dim=-1), cos, sin)  # 头宽 16，只转前 8
assert part[..., D:].equal(x) and part[..., :D].equal(apply_rotary(x, cos, sin))

# %% 检验 分数只看 m − n
for m, n in ((5, 2), (1005, 1002)):
    for interleaved in (False, True):
        torch.testing.assert_close(
            score(m, n, interleaved), score(3, 0, interleaved), rtol=1e-4, atol=1e-4
        )
closed = [(q[i] * k[i] + q[i + 4] * k[i + 4]) * torch.cos(3 * theta[i]) for i in range(4)]
closed += [(q[i] * k[i + 4] - q[i + 4] * k[i]) * torch.sin(3 * theta[i]) for i in range(4)]
torch.testing.assert_close(score(3, 0), torch.stack(closed).sum())  # 推导里的闭式
assert (score(3, 1) - score(1, 3)).abs() > 0.1  # 看得出方向：m − n 与 n − m 不同

# %% 检验 逐步解码与整段前向相同
right = half(ids).logits
past = half(ids[:, :8], use_cache=True).past_key_values  # 过去 8 个
steps = []
for t in range(8, 12):
    out = half(ids[:, t : t + 1], past_key_values=past, use_cache=True)  # 位置由 past 数起
    steps.append(out.logits)
torch.testing.assert_close(torch.cat(steps, dim=1), right[:, 8:], rtol=1e-4, atol=1e-5)

# %% 检验 左填充只是整体平移
filled = torch.cat([torch.zeros(1, 2, dtype=torch.long), ids], dim=1)  # 前面补 2 个
padding = torch.tensor([[0, 0] + [1] * 12])  # 1 = 真词元；不传 position_ids，真词元从 2 数起
shifted = half(filled, attention_mask=padding).logits[:, 2:]
torch.testing.assert_close(shifted, right, rtol=1e-4, atol=1e-5)
assert not half(filled).logits[:, 2:].allclose(right, atol=1e-2)  # 不遮住填充就错

# %% 检验 超出表就报错
short = deepcopy(half.config)
short.max_position_embeddings = 8
try:
    LLMForCausalLM(short)(ids)
except ValueError as error:
    print(error)
else:
    raise AssertionError("12 个词元，表只有 8 行，应当报错")

# %% 坏 带缓存时位置差一位
from llm.lab.mutations import MUTATIONS, mutate

print(MUTATIONS["rope_off_by_one"].text)
broken = mutate(half, "rope_off_by_one")
print("整段前向相同:", broken(ids).logits.equal(right))
late = half(ids, position_ids=torch.arange(1, 13)[None]).logits  # 全部位置一起加一
print("全部加一，仍相同:", late.allclose(right, atol=1e-5))
backwards = mutate(half, "rope_backwards")(ids).logits
print(f"对照：转反了，整段前向就最多差 {(backwards - right).abs().max():.2f}")
past = broken(ids[:, :8], use_cache=True).past_key_values
gap = torch.tensor([[*range(8), *range(9, 13)]])  # 第 8 个之前空出一位
whole = torch.ones_like(ids)  # 说明是一篇：没有掩码时，位置跳了就当作打包的另一篇
as_gap = half(ids, attention_mask=whole, position_ids=gap).logits
for t in range(8, 12):
    logits = broken(ids[:, t : t + 1], past_key_values=past, use_cache=True).logits[:, 0]
    print(
        f"解码第 {t} 个：最多差 {(logits - right[:, t]).abs().max():.2f}，",
        "等于空出一位的整段前向:",
        logits.allclose(as_gap[:, t], atol=1e-5),
    )

# %% 坏 每一步都从 0 数
past = half(ids[:, :8], use_cache=True).past_key_values
zero = half(ids[:, 8:9], position_ids=torch.tensor([[0]]), past_key_values=past).logits
print(f"与整段前向最多差 {(zero[:, 0] - right[:, 8]).abs().max():.2f}")
