# %% [markdown]
# # 键值缓存：算过的键与值留下来，只算新来的
# 来源：Vaswani et al. 2017, §3.2.3；transformers 5.23 `DynamicCache`、`LlamaConfig`、`GlmConfig`

# %% 每层存什么
import torch
from torch import Tensor

from llm import LLMConfig, LLMForCausalLM

torch.manual_seed(0)
layers, C, H, K, D, V = 2, 64, 4, 2, 16, 64
inner = 128  # 前馈层内宽，即 I
config = LLMConfig(
    vocab_size=V,
    hidden_size=C,
    intermediate_size=inner,
    num_hidden_layers=layers,
    num_attention_heads=H,
    num_key_value_heads=K,
    attention_backend="manual",  # 手写的注意力，运算次数都数得到
)
model = LLMForCausalLM(config).eval().requires_grad_(False)
for parameter in model.parameters():
    parameter += 0.1 * torch.randn_like(parameter)
ids = torch.randint(V, (1, 9))
past = tuple((torch.zeros(1, K, 0, D),) * 2 for _ in range(layers))  # 空的缓存：每层一对 (k, v)
for start, end in ((0, 6), (6, 7), (7, 9)):
    past = model(ids[:, start:end], past_key_values=past, use_cache=True).past_key_values
    for layer, (k, v) in enumerate(past):  # 这一步收齐的 all_presents：每层一对，各 (B, K, S, D)
        print(f"送进 {end - start} 个，第 {layer} 层：k {tuple(k.shape)}，v {tuple(v.shape)}")

# %% 两种缓存
from transformers import DynamicCache

cache = DynamicCache()
for start, end in ((0, 6), (6, 7)):
    out = model(ids[:, start:end], past_key_values=cache)
    same = out.past_key_values is cache
    print(f"Cache：还是同一个 {same}，就地变长 {tuple(cache.layers[0].keys.shape)}")
old = tuple((layer.keys, layer.values) for layer in cache.layers)
new = model(ids[:, 7:8], past_key_values=old, use_cache=True).past_key_values
print(f"元组：旧的仍长 {old[0][0].shape[2]}，新的长 {new[0][0].shape[2]}")

# %% prefill 与 decode
from llm.model import greedy_generate

calls = []
handle = model.model.register_forward_pre_hook(lambda module, args: calls.append(args[0].shape[1]))
made = greedy_generate(model, ids, 6)
handle.remove()
print("每次送进的词元数:", calls)
print("提示", ids.shape[1], "个，生成", made.shape[1] - ids.shape[1], "个")

# %% 没有缓存要多算多少
from collections.abc import Callable
from functools import partial

from torch.utils.flop_counter import FlopCounterMode


def step(S: int, cached: bool) -> Callable[[], object]:
    """已有 S 个词元（连同最新的）时，为下一个词元跑一遍各块的那一次调用。"""
    sequence = torch.zeros(1, S, dtype=torch.long)
    new, old = sequence, None
    if cached:
        old = tuple((torch.zeros(1, K, S - 1, D),) * 2 for _ in range(layers))
        new = sequence[:, -1:]
    return partial(model.model, new, past_key_values=old, use_cache=cached)


def step_flops(S: int, cached: bool) -> int:
    """那一次调用要多少次浮点运算。"""
    with FlopCounterMode(display=False) as counter:
        step(S, cached)()
    return counter.get_total_flops()


lengths = [16, 32, 64, 128, 256, 512]
with_cache = [step_flops(S, True) for S in lengths]
without = [step_flops(S, False) for S in lengths]
for S, few, many in zip(lengths, with_cache, without, strict=True):
    print(f"S = {S:3}：有缓存 {few:8,}  没有 {many:11,}  {many / few:5.0f} 倍")

# %% 用钟量
from time import process_time

torch.set_num_threads(1)  # 几个线程互相等着，也算进 CPU 秒


def seconds(S: int, cached: bool) -> float:
    """那一次调用用的 CPU 秒，取九次里最快的：别的程序只会拖慢它。"""
    call, times = step(S, cached), []
    for _ in range(9):
        start = process_time()
        call()
        times.append(process_time() - start)
    return min(times)


slower = {S: seconds(S, False) / seconds(S, True) for S in lengths}
print("S = 512 时，没有缓存慢 5 倍以上:", slower[512] > 5)
print("S = 16 时，没有缓存慢 5 倍以上: ", slower[16] > 5)
print("比运算次数的倍数小得多:", slower[512] < without[-1] / with_cache[-1] / 2)

# %% 一次调用里，读一遍权重能算多少
weights = sum(parameter.nbytes for parameter in model.model.layers.parameters())
for name, flops in {"prefill 128 个": without[3], "decode 1 个": with_cache[3]}.items():
    print(f"{name}：每读 1 字节权重，做 {flops / weights:.1f} 次运算")

# %% 每词元多少字节
from transformers import GlmConfig, LlamaConfig

per_token = {}
for name, real in {"Llama-2-7b": LlamaConfig(), "glm-4-9b": GlmConfig()}.items():
    deep, kv, width = real.num_hidden_layers, real.num_key_value_heads, real.head_dim
    per_token[name] = 2 * deep * kv * width * 2  # k 与 v；bf16 两字节
    print(f"{name}：2 × {deep} 层 × {kv} 头 × {width} 维 × 2 字节 = {per_token[name]:,}")
    print(f"    4096 个词元：{per_token[name] * 4096 / 2**30:.2f} GiB")

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9))
axes[0].loglog(lengths, without, marker="o", color="#d9822b", label="没有缓存")
axes[0].loglog(lengths, with_cache, marker="o", color="#3f7fbf", label="有缓存")
axes[0].set(xlabel="已有的词元 S", ylabel="浮点运算次数", title="算出下一个词元")
tokens = [512, 1024, 2048, 4096, 8192, 16384, 32768]
for (name, size), color in zip(per_token.items(), ("#d9822b", "#3f7fbf"), strict=True):
    gib = [count * size / 2**30 for count in tokens]
    axes[1].loglog(tokens, gib, marker="o", color=color, label=name)
axes[1].set(xlabel="一个序列的词元", ylabel="GiB", title="缓存的大小（bf16）")
for ax, ticks in zip(axes, (lengths, tokens), strict=True):
    ax.set_xticks(ticks, labels=[str(t) if t < 1024 else f"{t // 1024}k" for t in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    ax.grid(True)
figure.tight_layout()

# %% 检验 怎样分段都与整段相同
whole = model(ids).logits
for sizes in ([9], [1] * 9, [6, 1, 1, 1], [3, 2, 4]):
    for kind in ("Cache", "元组"):
        state = tuple((torch.zeros(1, K, 0, D),) * 2 for _ in range(layers))
        state = DynamicCache() if kind == "Cache" else state
        pieces = []
        for chunk in ids.split(sizes, dim=1):
            out = model(chunk, past_key_values=state, use_cache=True)
            state = out.past_key_values
            pieces.append(out.logits)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-4)


# %% 检验 生成的词元相同
def slow(prompt: Tensor, count: int) -> Tensor:
    """没有缓存：每一步都把整段从头算一遍。"""
    for _ in range(count):
        chosen = model(prompt, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)  # (B, 1)
        prompt = torch.cat([prompt, chosen], dim=1)
    return prompt


assert made.equal(slow(ids, 6))
ones = torch.ones_like(ids)
theirs = model.generate(ids, attention_mask=ones, max_new_tokens=6, do_sample=False, pad_token_id=0)
assert made.equal(theirs)


# %% 检验 运算次数的闭式
def closed_form(T: int, S: int) -> int:
    """T 个新词元、S 个键：线性层每个词元一遍，分数与加权求和各 T × S 遍。"""
    linear = C * H * D + 2 * C * K * D + H * D * C + 3 * C * inner  # q、k 与 v、o、前馈层三个
    return 2 * layers * (T * linear + 2 * H * D * T * S)


assert with_cache == [closed_form(1, S) for S in lengths]
assert without == [closed_form(S, S) for S in lengths]

# %% 检验 字节的闭式
for B, S in ((1, 5), (3, 8)):
    filled = DynamicCache()
    model(torch.zeros(B, S, dtype=torch.long), past_key_values=filled)
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in filled.layers)
    assert stored == 2 * layers * B * K * S * D * 4  # fp32 四字节；与 H 无关
assert filled.layers[0].keys.shape == (3, K, 8, D)

# %% 检验 旧的键值不因新词元而变
first = model(ids[:, :6], past_key_values=DynamicCache()).past_key_values
longer = model(ids, past_key_values=DynamicCache()).past_key_values  # 多看三个，从头算
for old, new in zip(first.layers, longer.layers, strict=True):
    torch.testing.assert_close(new.keys[:, :, :6], old.keys, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(new.values[:, :, :6], old.values, rtol=1e-4, atol=1e-5)

# %% 检验 别的模型的缓存会被拒绝
try:
    model(ids[:, :1], past_key_values=((torch.zeros(1, H, 3, D),) * 2,) * layers)
except ValueError as error:
    print(str(error).replace("；", "；\n"))
else:
    raise AssertionError("存成了 H 个头，应当报错")

# %% 坏 有缓存还送整段
state = model(ids[:, :8], use_cache=True).past_key_values
again = model(ids, past_key_values=state)  # 应当只送 ids[:, 8:]
print(f"缓存的长度 {again.past_key_values.get_seq_length()}，应为 9")
print(f"最后一个位置的 logits 最多差 {(again.logits[:, -1] - whole[:, -1]).abs().max():.2f}")

# %% 坏 忘了传缓存
alone = model(ids[:, 8:]).logits  # 只送新词元，又没有过去
print("形状对:", tuple(alone.shape))
print(f"logits 最多差 {(alone[:, -1] - whole[:, -1]).abs().max():.2f}")

# %% 坏 同一个 Cache 用了两次
from copy import deepcopy

state = model(ids[:, :8], use_cache=True).past_key_values
spare = deepcopy(state)
for name, used in {"第一次": state, "第二次": state, "事先抄的": spare}.items():
    logits = model(ids[:, 8:], past_key_values=used).logits[:, -1]
    gap = (logits - whole[:, -1]).abs().max()
    print(f"{name}：缓存长 {used.get_seq_length()}，logits 最多差 {gap:.2f}")
