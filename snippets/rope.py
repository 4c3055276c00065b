# %% [markdown]
# # RoPE：把 q、k 的每一对分量按位置转一个角度
# 来源：Su et al. 2021, RoFormer, §3.2、§3.4；Chen et al. 2023, Position Interpolation, §2；
# transformers 5.23 的 `modeling_rope_utils.py`

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
from transformers.models.glm.modeling_glm import rotate_half as glm_rotate_half
from transformers.models.llama.modeling_llama import rotate_half

ramp = torch.arange(1.0, 9.0).view(1, 1, 1, 8)
quarter = torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)  # cos = 0，sin = 1：都转 90 度
by_half = apply_rotary(ramp, *quarter)
by_pair = apply_rotary(ramp, *quarter, interleaved=True)
print("原来:    ", ramp.flatten().int().tolist())
print("前后两半:", by_half.flatten().int().tolist())
print("相邻两个:", by_pair.flatten().int().tolist())
print("与 Llama 的 rotate_half 相同:", by_half.equal(rotate_half(ramp)))
print("与 GLM 的 rotate_half 相同:  ", by_pair.equal(glm_rotate_half(ramp)))
glm = LLMConfig.preset("glm", hidden_size=256, num_attention_heads=2)
print("GLM 头宽", glm.head_dim, "只转前", glm.rotary_dim)

# %% 把相邻配对变成前后两半
from copy import deepcopy

from llm import LLMForCausalLM

HEAD = 8


def make(seed: int, interleaved: bool = False, family: str = "qwen2") -> LLMForCausalLM:
    """一个小模型，参数都扰动过；种子相同，权重就相同。"""
    torch.manual_seed(seed)
    config = LLMConfig.preset(
        family,
        vocab_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=HEAD,
        rope_interleaved=interleaved,
    )
    model = LLMForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model


def to_half(rows: Tensor) -> Tensor:
    """q、k 投影的行（或偏置）：每个头内，先取偶数行，再取奇数行。"""
    order = torch.cat([torch.arange(0, HEAD, 2), torch.arange(1, HEAD, 2)])
    return rows.view(-1, HEAD, *rows.shape[1:])[:, order].reshape(rows.shape)


def spread(values: list[Tensor]) -> str:
    """若干个种子得到的数，写成最小、中位、最大。"""
    low, middle, high = torch.stack(values).quantile(torch.tensor([0, 0.5, 1])).tolist()
    return f"最小 {low:.2f}，中位 {middle:.2f}，最大 {high:.2f}"


def gap(a: Tensor, b: Tensor) -> Tensor:
    """两份 logits 最多差多少。"""
    return (a - b).abs().max()


def reorder(model: LLMForCausalLM) -> LLMForCausalLM:
    """q、k 投影换行序之后的一份。"""
    model = deepcopy(model)
    for block in model.model.layers:
        for projection in (block.self_attn.q_proj, block.self_attn.k_proj):
            for name, parameter in projection.named_parameters():  # 权重；Qwen2 还有偏置
                getattr(projection, name).copy_(to_half(parameter))
    return model


before, after = [], []
for seed in range(20):
    pairs, half = make(seed, interleaved=True), make(seed)  # 权重相同，配对不同
    ids = torch.randint(32, (1, 12))
    expected = pairs(ids).logits
    before.append(gap(half(ids).logits, expected))
    after.append(gap(reorder(half)(ids).logits, expected))
print("不换行序，logits 最多差:", spread(before))
print("换了行序，都相同:", max(after).item() < 1e-5)
print("8 行的新次序:", to_half(torch.arange(HEAD)).tolist())

# %% 底数
from transformers import GlmConfig, LlamaConfig, Qwen3Config

defaults = [c().rope_parameters["rope_theta"] for c in (LlamaConfig, Qwen3Config, GlmConfig)]
print("transformers 的默认底数，Llama、Qwen3、Glm:", defaults)
released = {  # 各检查点 config.json 里的底数、每个头旋转的宽度 R、上下文
    "Llama-2-7b": (1e4, 128, 4096),
    "Llama-3-8B": (5e5, 128, 8192),
    "Qwen3-0.6B": (1e6, 128, 40960),
    "glm-4-9b-chat": (5e6, 64, 131072),
}


def speeds(R: int, **fields: object) -> Tensor:
    """各对的 θ_i (R/2,)：位置 1 的角度。"""
    config = LLMConfig(hidden_size=R, num_attention_heads=1, max_position_embeddings=2, **fields)
    table = RotaryEmbedding(config)
    return torch.atan2(table.sin[1], table.cos[1])


for name, (base, R, context) in released.items():
    period = 2 * torch.pi / speeds(R, rope_theta=base)  # (R/2,)，转一圈要几步
    slow = int((period > context).sum())
    print(f"{name}：底数 {base:.0e}，最慢的一对 {period[-1]:.1e} 步一圈")
    print(f"    上下文 {context}，转不满一圈的 {slow}/{R // 2} 对")

# %% 放长上下文
plain = speeds(128, rope_theta=5e5)
linear = speeds(128, rope_theta=5e5, rope_frequency_scaling={"rope_type": "linear", "factor": 8.0})
llama3 = speeds(
    128,
    rope_theta=5e5,
    rope_frequency_scaling={  # Llama-3.1-8B 的 config.json
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
)
turns = 8192 * plain / (2 * torch.pi)  # 在原来的上下文里转几圈
for pair in (0, 16, 28, 30, 32, 34, 36, 48, 63):
    print(
        f"第 {pair:2} 对，原来转 {turns[pair]:8.3f} 圈："
        f"linear 放慢到 1/{plain[pair] / linear[pair]:.0f}，"
        f"llama3 放慢到 1/{plain[pair] / llama3[pair]:.1f}"
    )

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
figure.set_label(
    "左图是单位圆：位置 0 到 4，第 0 对的箭头转过大半圈，第 1 对只转了一点；"
    "右图是 cos 表的热图：上面的对随位置红蓝交替，往下越来越慢，下面的对全是蓝色"
)

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
figure.set_label(
    "分数随距离：q = k 的曲线从 1 起，大势下降，中间有起伏，到两千时约 0.1；"
    "q、k 随机的曲线绕着 0 上下，远处摆得更大"
)
print("距离 0、1、10、100、1000:", [round(same[d].item(), 2) for d in (0, 1, 10, 100, 1000)])
near, far = [], []
for seed in range(200):
    torch.manual_seed(seed)
    one, other = torch.randn(2, 128)
    turned = apply_rotary(one.expand(1, 1, 2048, 128), *wide(distance[None], torch.float32))
    scores = turned[0, 0] @ other
    near.append(scores[1])
    far.append(scores[1000])
more = sum(bool(f > n) for n, f in zip(near, far, strict=True))
print(f"200 对随机的 q、k：距离 1000 的分数比距离 1 的大的有 {more} 对")

# %% 检验 没有位置就没有次序
from torch.nn.functional import scaled_dot_product_attention as sdpa

torch.manual_seed(1)
x, y, z = torch.randn(3, 1, 2, 6, D)
order = torch.randperm(6)
torch.testing.assert_close(sdpa(x, y[:, :, order], z[:, :, order]), sdpa(x, y, z))  # 一起打乱
assert flat.cos[44] > 0.999 and flat.sin[44] < 0.02  # 只有一个速度：44 步约等于转 7 圈，又回来了
assert rope.cos[44, 1] < 0  # 别的对这时不在原处

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
as_written = x * full[0][:, None] + rotate_half(x) * full[1][:, None]  # 那边的写法
torch.testing.assert_close(apply_rotary(x, cos, sin), as_written)

# %% 检验 放长上下文与 transformers 相同
from transformers import LlamaForCausalLM

scalings = [
    {"rope_type": "linear", "factor": 4.0},
    {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
]
sizes = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 32, "num_hidden_layers": 2}
sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
for scaling in scalings:
    for seed in range(3):
        torch.manual_seed(seed)
        asked = {"rope_theta": 100.0, **scaling}
        theirs = LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters=asked)).eval()
        ours = LLMForCausalLM(
            LLMConfig(**sizes, rope_theta=100.0, rope_frequency_scaling=scaling)
        ).eval()
        bare = LLMForCausalLM(LLMConfig(**sizes, rope_theta=100.0)).eval()
        for parameter in theirs.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        for each in (ours, bare):
            each.load_state_dict(theirs.state_dict())
        ids = torch.randint(32, (1, 100))
        with torch.no_grad():
            wanted = theirs(ids).logits
            torch.testing.assert_close(ours(ids).logits, wanted, rtol=1e-4, atol=1e-4)
            assert not bare(ids).logits.allclose(wanted, atol=1e-2)  # 不放慢就不同

# %% 检验 linear 就是位置除以 factor
stretched = LLMConfig(
    hidden_size=D,
    num_attention_heads=1,
    rope_frequency_scaling={"rope_type": "linear", "factor": 2.0},
)
slowly = RotaryEmbedding(stretched).cos
torch.testing.assert_close(slowly[::2], rope.cos[:1024])  # 第 2m 行就是原来的第 m 行
assert torch.allclose(plain / linear, torch.tensor(8.0))
kept, slowed = turns > 4, turns < 1  # llama3：转 4 圈以上的不动，不足 1 圈的除以 8
assert torch.allclose(llama3[kept], plain[kept]) and torch.allclose(llama3[slowed], linear[slowed])
between = llama3[~kept & ~slowed]
assert (between < plain[~kept & ~slowed]).all() and (between > linear[~kept & ~slowed]).all()
try:
    LLMConfig(rope_frequency_scaling={"rope_type": "yarn", "factor": 2.0})
except ValueError as error:
    print(error)
else:
    raise AssertionError("yarn 没有实现，应当拒绝，而不是不理它")

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
shifts = {torch.float32: [], torch.bfloat16: []}
for dtype, worst in shifts.items():
    for seed in range(20):
        torch.manual_seed(seed)
        both = torch.randn(1, 2, 1, 128).to(dtype)  # q 与 k 各当一个头，R = 128
        places = torch.tensor([[3 + o, 1 + o] for o in (0, 10, 500, 1000, 2000)])  # 平移 o
        angles = wide(places.flatten()[None], dtype)
        turned = apply_rotary(both.expand(1, 2, 10, 128), *angles).double()
        moved = (turned[0, 0, 0::2] * turned[0, 1, 1::2]).sum(-1)  # 五个平移的分数
        worst.append((moved - moved[0]).abs().max() / 128**0.5)  # 除以 √D，即进 softmax 的差
print("一起平移，分数最多差（已除以 √D）:")
for dtype, worst in shifts.items():
    low, middle, high = torch.stack(worst).quantile(torch.tensor([0, 0.5, 1]).double()).tolist()
    print(f"    {dtype}：最小 {low:.0e}，中位 {middle:.0e}，最大 {high:.0e}")
assert max(shifts[torch.float32]) < 2e-4 < min(shifts[torch.bfloat16])

# %% 检验 换行序就是 permute，q_norm 的权重也要换
rows = torch.arange(4 * HEAD * 3.0).view(4 * HEAD, 3)
assert to_half(rows).equal(rows.view(4, HEAD // 2, 2, 3).transpose(1, 2).reshape(4 * HEAD, 3))
for seed in range(3):
    normed = make(seed, interleaved=True, family="qwen3")  # 有 q_norm、k_norm
    moved = reorder(make(seed, family="qwen3"))  # 先只换投影
    ids = torch.randint(32, (1, 12))
    assert gap(moved(ids).logits, normed(ids).logits) > 1e-2
    for block in moved.model.layers:
        for norm in (block.self_attn.q_norm, block.self_attn.k_norm):
            norm.weight.copy_(to_half(norm.weight))
    torch.testing.assert_close(moved(ids).logits, normed(ids).logits, rtol=1e-4, atol=1e-5)

# %% 检验 逐步解码与整段前向相同
half = make(0)
ids = torch.randint(32, (1, 12))
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
hole = torch.tensor([[*range(8), *range(9, 13)]])  # 第 8 个之前空出一位
first, last, backwards = [], [], []
whole_same, shift_same, hole_same = [], [], []
for seed in range(20):
    half = make(seed)
    ids = torch.randint(32, (1, 12))
    right = half(ids).logits
    broken = mutate(half, "rope_off_by_one")
    whole_same.append(broken(ids).logits.equal(right))
    late = half(ids, position_ids=torch.arange(1, 13)[None]).logits  # 全部位置一起加一
    shift_same.append(gap(late, right) < 1e-5)
    backwards.append(gap(mutate(half, "rope_backwards")(ids).logits, right))
    one = torch.ones(1, 12)  # 给了掩码，位置跳一格才不会被当成换了一篇
    with_hole = half(ids, attention_mask=one, position_ids=hole).logits
    past = broken(ids[:, :8], use_cache=True).past_key_values
    for t in range(8, 12):
        logits = broken(ids[:, t : t + 1], past_key_values=past, use_cache=True).logits[:, 0]
        hole_same.append(gap(logits, with_hole[:, t]) < 1e-5)
        if t in (8, 11):
            (first if t == 8 else last).append(gap(logits, right[:, t]))
print("二十个种子，整段前向都相同:", all(whole_same))
print("全部加一，都相同:", all(shift_same))
print("解码第一个，logits 最多差:", spread(first))
print("解码第四个，logits 最多差:", spread(last))
print("都等于空出一位的整段前向:", all(hole_same))
print("对照：转反了，整段前向最多差:", spread(backwards))

# %% 坏 每一步都从 0 数
zero = []
for seed in range(20):
    half = make(seed)
    ids = torch.randint(32, (1, 12))
    past = half(ids[:, :8], use_cache=True).past_key_values
    logits = half(ids[:, 8:9], position_ids=torch.tensor([[0]]), past_key_values=past).logits
    zero.append(gap(logits[:, 0], half(ids).logits[:, 8]))
print("与整段前向最多差:", spread(zero))
