# %% [markdown]
# # repeat_kv：几个查询头共用一个键值头
# 来源：Ainslie et al. 2023, GQA, §2.2；PyTorch 文档 `torch.repeat_interleave`

# %% 两种重复
import torch

from llm.model import repeat_kv

heads = torch.tensor([0, 1]).view(1, 2, 1, 1)  # (B, K, S, D)，K = 2，数字就是键值头的编号
print("repeat_interleave:", heads.repeat_interleave(2, dim=1).flatten().tolist())
print("repeat:           ", heads.repeat(1, 2, 1, 1).flatten().tolist())
print("llm 的 repeat_kv: ", repeat_kv(heads, 2).flatten().tolist())
print("查询头 h // 2:    ", [h // 2 for h in range(4)])

# %% 形状
torch.manual_seed(0)
B, H, K, T, D = 1, 4, 2, 3, 8
q = torch.randn(B, H, T, D)
k, v = torch.randn(B, K, T, D), torch.randn(B, K, T, D)
wide = repeat_kv(k, H // K)
print(tuple(k.shape), "→", tuple(wide.shape))
print("字节:", k.nbytes, "→", wide.nbytes)

# %% 两条路
from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as sdpa

from llm.model import attention_weights, causal_mask

mask = causal_mask(T)  # (1, 1, T, S)
by_hand = attention_weights(q, repeat_kv(k, H // K), mask) @ repeat_kv(v, H // K)  # (B, H, T, D)
by_flag = sdpa(q, k, v, mask, enable_gqa=True)  # 键值不必先变宽
print("两条路相同:", by_hand.allclose(by_flag, atol=1e-6))

# %% 缓存省多少
from transformers import GlmConfig, LlamaConfig, Qwen3Config

for kind in (LlamaConfig, Qwen3Config, GlmConfig):
    print(f"transformers 的默认，{kind.__name__}：", end="")
    print(f"H = {kind().num_attention_heads}，K = {kind().num_key_value_heads}")
released = {  # 层数、H、K、D：各检查点 config.json 里写的
    "Llama-2-7b": (32, 32, 32, 128),
    "Llama-3-8B": (32, 32, 8, 128),
    "Qwen3-0.6B": (28, 16, 8, 128),
    "Qwen2.5-7B": (28, 28, 4, 128),
    "glm-4-9b-chat": (40, 32, 2, 128),
}
for name, (deep, query, kv, width) in released.items():
    used = 2 * deep * kv * width * 2  # k 与 v；bf16 两字节
    print(f"{name}：H = {query}，K = {kv}，每词元 {used // 1024} KiB，", end="")
    print("就是 MHA" if kv == query else f"若是 MHA 要 {used * query // kv // 1024} KiB")

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.3))
panels = {"MHA：K = 8": 8, "GQA：K = 2": 2, "MQA：K = 1": 1}
for ax, (title, kv) in zip(axes, panels.items(), strict=True):
    groups = 8 // kv
    serves = repeat_kv(torch.arange(kv).view(1, kv, 1, 1), groups).flatten().tolist()
    for h, used in enumerate(serves):
        ax.plot([h, (used + 0.5) * groups - 0.5], [1, 0], color="#888888", linewidth=1)
    ax.scatter(range(8), [1] * 8, s=70, color="#3f7fbf", zorder=2)
    centre = [(used + 0.5) * groups - 0.5 for used in range(kv)]
    ax.scatter(centre, [0] * kv, s=70, color="#d9822b", zorder=2, marker="s")
    ax.set(title=title, ylim=(-0.4, 1.4), yticks=[0, 1], xticks=[])
    ax.set_yticklabels(["键值头", "查询头"] if kv == 8 else [])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
figure.tight_layout()
figure.set_label(
    "上排八个查询头连到下排的键值头：MHA 一对一，八个；GQA 左四个连一个、右四个连另一个，共两个；"
    "MQA 八个全连到同一个"
)

# %% 检验 逐头按定义
for h in range(H):
    own = h // (H // K)
    scores = (q[0, h] @ k[0, own].T / D**0.5).masked_fill(~mask[0, 0], float("-inf"))
    torch.testing.assert_close(by_hand[0, h], scores.softmax(-1) @ v[0, own])
torch.testing.assert_close(by_hand, by_flag)

# %% 检验 与 transformers 相同
from transformers.models.llama.modeling_llama import repeat_kv as theirs

for groups in (1, 2, 4):
    assert repeat_kv(k, groups).equal(theirs(k, groups))

# %% 检验 SDPA 自己分组时抄不抄
from torch.utils._python_dispatch import TorchDispatchMode


class Calls(TorchDispatchMode):
    """记下其间调用的算子与键的头数。"""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.key_heads: list[int] = []

    def __torch_dispatch__(
        self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        self.names.append(func.name())
        if "attention" in func.name():
            self.key_heads.append(args[1].shape[1])
        return func(*args, **(kwargs or {}))


with Calls() as flash:
    sdpa(q, k, v, is_causal=True, enable_gqa=True)
assert flash.key_heads == [K] and "aten::clone" not in flash.names  # 这里（CPU）：键仍是 K 个头
with sdpa_kernel(SDPBackend.MATH), Calls() as maths:
    sdpa(q, k, v, is_causal=True, enable_gqa=True)
assert maths.key_heads == [] and "aten::clone" in maths.names  # 通用的那条路：还是先抄宽

# %% 检验 两头的极限
from llm import LLMConfig
from llm.model import Attention

assert repeat_kv(k, 1).equal(k)  # K = H：就是 MHA
one = k[:, :1]  # K = 1：就是 MQA，所有查询头看同一份
assert repeat_kv(one, H).equal(one.expand(B, H, T, D))
gqa = Attention(LLMConfig(hidden_size=32, num_attention_heads=4, num_key_value_heads=2))
assert gqa.k_proj.weight.shape == gqa.v_proj.weight.shape == (16, 32)  # 投影本来就只有 K·D 行
assert gqa.q_proj.weight.shape == (32, 32)
try:
    LLMConfig(num_attention_heads=4, num_key_value_heads=3)
except ValueError as error:
    print(error)
else:
    raise AssertionError("4 个查询头分不给 3 个键值头，应当报错")

# %% 检验 GQA 是绑了权重的 MHA
mha = Attention(LLMConfig(hidden_size=32, num_attention_heads=4))
state = gqa.state_dict()
for name in ("k_proj.weight", "v_proj.weight"):  # 每个键值头的 D 行各抄 2 遍
    state[name] = state[name].view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32)
mha.load_state_dict(state)
x, cos, sin = torch.randn(1, 5, 32), torch.ones(1, 1, 5, 4), torch.zeros(1, 1, 5, 4)
torch.testing.assert_close(mha(x, cos, sin)[0], gqa(x, cos, sin)[0])

# %% 检验 梯度是同组之和
shared = k.clone().requires_grad_()
copies = repeat_kv(k, H // K).clone().requires_grad_()  # 假装各有各的
(attention_weights(q, repeat_kv(shared, H // K), mask) @ repeat_kv(v, H // K)).pow(
    2
).sum().backward()
(attention_weights(q, copies, mask) @ repeat_kv(v, H // K)).pow(2).sum().backward()
torch.testing.assert_close(shared.grad, copies.grad.view(B, K, H // K, T, D).sum(2))


# %% 检验 怎样才不抄
grouped = k[:, :, None].expand(B, K, H // K, T, D)  # 步长 0，还是 k 的内存
assert grouped.data_ptr() == k.data_ptr() and grouped.stride(2) == 0
assert grouped.reshape(B, H, T, D).data_ptr() != k.data_ptr()  # 并成四维就抄了
with Calls() as five:  # 留着五维去乘：matmul 内部还是抄了一份
    scores = q.view(B, K, H // K, T, D) @ grouped.mT  # (B, K, groups, T, S)
with Calls() as folded:  # 把 groups 并进 T：k 原样用，一次也不抄
    flat = q.view(B, K, H // K * T, D) @ k.mT  # (B, K, groups*T, S)
assert five.names.count("aten::clone") == 1 and "aten::clone" not in folded.names
with Calls() as single:  # B·K = 1：前面几维并得成，五维也不抄
    q[:, :2].view(B, 1, 2, T, D) @ k[:, :1, None].expand(B, 1, 2, T, D).mT
assert "aten::clone" not in single.names
for each in (scores, flat):
    torch.testing.assert_close(each.reshape(B, H, T, T), q @ repeat_kv(k, H // K).mT)
for length, copies_q in ((T, True), (1, False)):  # 由投影转置得来的 q
    split = torch.randn(B, length, H, D).transpose(1, 2)
    with Calls() as fold_q:
        split.reshape(B, K, H // K * length, D)
    assert ("aten::clone" in fold_q.names) == copies_q

# %% 检验 另一种次序只是查询头换了个次序
order = [h % K * (H // K) + h // K for h in range(H)]  # 0 1 0 1 的第 h 个，是 0 0 1 1 的第几个
regrouped = torch.empty_like(q)
regrouped[:, order] = q
straight = attention_weights(regrouped, repeat_kv(k, H // K), mask) @ repeat_kv(v, H // K)
crossed = attention_weights(q, k.repeat(1, H // K, 1, 1), mask) @ v.repeat(1, H // K, 1, 1)
torch.testing.assert_close(straight[:, order], crossed)
assert not crossed.allclose(by_hand, atol=1e-3)  # 头不换次序就不同

# %% 坏 用了 repeat
from llm import LLMForCausalLM
from llm.lab.mutations import MUTATIONS, mutate

print(MUTATIONS["gqa_repeat"].text)
sizes = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64}
sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
small = LLMConfig(**sizes)
gaps, changed = [], []
for seed in range(20):
    torch.manual_seed(seed)
    model = LLMForCausalLM(small).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    ids = torch.randint(32, (1, 8))
    right, wrong = model(ids).logits, mutate(model, "gqa_repeat")(ids).logits
    assert right.shape == wrong.shape
    gaps.append((right - wrong).abs().max())
    changed.append(int((right.argmax(-1) != wrong.argmax(-1)).sum()))
low, middle, high = torch.stack(gaps).quantile(torch.tensor([0, 0.5, 1])).tolist()
print(f"二十个种子，logits 最多差：最小 {low:.2f}，中位 {middle:.2f}，最大 {high:.2f}")
print("8 个位置里改了几个预测:", sorted(changed))

# %% 坏 K 是 1 或 H 时看不出来
for kv in (1, 4):
    same = torch.arange(kv).view(1, kv, 1, 1)
    print(
        f"K = {kv}：repeat 与 repeat_interleave 相同:",
        same.repeat(1, 4 // kv, 1, 1).equal(repeat_kv(same, 4 // kv)),
    )
for kv in (1, 4):
    blind = LLMForCausalLM(LLMConfig(**{**sizes, "num_key_value_heads": kv}))
    try:
        mutate(blind, "gqa_repeat")
    except ValueError as error:
        print(f"K = {kv}：", str(error).split("（")[0])
    else:
        raise AssertionError("看不出来的配置，mutate 应当拒绝")
