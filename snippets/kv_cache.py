# %% [markdown]
# # 键值缓存：算过的键与值留下来，只算新来的
# 来源：Vaswani et al. 2017, §3.2.3；transformers 5.23 `DynamicCache`；
# Llama-2-7b、Llama-3-8B、Qwen3-0.6B、glm-4-9b-chat 的 config.json

# %% 每层存什么
import torch
from torch import Tensor

from llm import LLMConfig, LLMForCausalLM

torch.manual_seed(0)
layers, C, H, K, D, V = 2, 64, 4, 2, 16, 64
inner = 128  # 前馈层的中间维度，即 I
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
empty = tuple((torch.zeros(1, K, 0, D),) * 2 for _ in range(layers))  # 还没有过去：每层一对 (k, v)
past = empty
for start, end in ((0, 6), (6, 7), (7, 9)):  # 三步，送进 6、1、2 个词元
    all_presents = model(ids[:, start:end], past_key_values=past, use_cache=True).past_key_values
    print(f"送进 {end - start} 个，all_presents 是 {type(all_presents).__name__}：")
    for index, (key, value) in enumerate(all_presents):
        print(f"    第 {index} 层  k {tuple(key.shape)}  v {tuple(value.shape)}")  # (B, K, S, D)
    past = all_presents  # 这一步的返回，就是下一步的输入

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
    hidden = layers * 4 * H * D * S * (S - 1) // 2  # 其中花在看不见的键上的
    print(f"S = {S:3}：有缓存 {few:7,}，没有 {many:11,}")
    print(f"    {many / few:.0f} 倍；不算看不见的那一半，{(many - hidden) / few:.1f} 倍")

# %% 量用时
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
print("S = 512 时，倍数不到运算次数之比的一半:", slower[512] < without[-1] / with_cache[-1] / 2)
print("有缓存，S 从 16 到 512，用时翻倍了吗:", seconds(512, True) > 2 * seconds(16, True))

# %% 一次调用里，读一遍权重能算多少
weights = sum(parameter.nbytes for parameter in model.model.layers.parameters())
for name, flops in {"prefill 128 个": without[3], "decode 1 个": with_cache[3]}.items():
    print(f"{name}：每读 1 字节权重，做 {flops / weights:.1f} 次运算")

# %% 每词元多少字节
released = {  # 层数、键值头数、头宽、查询头数：各检查点 config.json 里写的
    "Llama-2-7b": (32, 32, 128, 32),
    "Llama-3-8B": (32, 8, 128, 32),
    "Qwen3-0.6B": (28, 8, 128, 16),
    "glm-4-9b-chat": (40, 2, 128, 32),
}
per_token = {}
for name, (deep, kv, width, heads) in released.items():
    per_token[name] = 2 * deep * kv * width * 2  # k 与 v；bf16 两字节
    print(f"{name}：2 × {deep} 层 × {kv} 头 × {width} 维 × 2 字节 = {per_token[name]:,}")
    print(f"    是 MHA 的 {kv}/{heads}；4096 个词元 {per_token[name] * 4096 / 2**30:.2f} GiB")

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9))
axes[0].loglog(lengths, without, marker="o", color="#d9822b", label="没有缓存")
axes[0].loglog(lengths, with_cache, marker="o", color="#3f7fbf", label="有缓存")
axes[0].set(xlabel="已有的词元 S", ylabel="浮点运算次数", title="算出下一个词元")
tokens = [512, 1024, 2048, 4096, 8192, 16384, 32768]
colors = ("#d9822b", "#3f7fbf", "#5a9e5a", "#9467bd")
for (name, size), color in zip(per_token.items(), colors, strict=True):
    gib = [count * size / 2**30 for count in tokens]
    axes[1].loglog(tokens, gib, marker="o", color=color, label=name)
axes[1].set(xlabel="一个序列的词元", ylabel="GiB", title="缓存的大小（bf16）")
for ax, ticks in zip(axes, (lengths, tokens), strict=True):
    ax.set_xticks(ticks, labels=[str(t) if t < 1024 else f"{t // 1024}k" for t in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    ax.grid(True)
figure.tight_layout()
figure.set_label(
    "左图：算出下一个词元的浮点运算，没有缓存的随 S 涨得比一次方还快，有缓存的近乎水平，S = 512 时差 512 倍；"
    "右图：四个模型的缓存都随词元数成正比，Llama-2-7b 最大，glm-4-9b-chat 最小"
)

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

# %% 检验 与 transformers 相同
from transformers import LlamaConfig, LlamaForCausalLM

names = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads".split()
fields = {name: getattr(config, name) for name in names} | {"num_key_value_heads": K}
llama = LlamaForCausalLM(LlamaConfig(**fields)).eval().requires_grad_(False)
llama.load_state_dict(model.state_dict())
theirs = DynamicCache()
ours = empty
for chunk in ids.split([6, 1, 2], dim=1):
    expected = llama(chunk, past_key_values=theirs).logits
    out = model(chunk, past_key_values=ours, use_cache=True)
    ours = out.past_key_values
    torch.testing.assert_close(out.logits, expected, rtol=1e-4, atol=1e-4)
    for layer, (key, value) in zip(theirs.layers, ours, strict=True):  # 每层存的也相同
        torch.testing.assert_close(key, layer.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(value, layer.values, rtol=1e-4, atol=1e-5)
for key, _ in empty:  # 旧的元组没有被改动
    assert key.shape == (1, K, 0, D)


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
assert [many // few for few, many in zip(with_cache, without, strict=True)] == lengths  # 恰好 S 倍
for few, many, S in zip(with_cache, without, lengths, strict=True):
    visible = many - layers * 4 * H * D * S * (S - 1) // 2  # 看得见的只有 S(S + 1)/2 对
    assert visible == sum(closed_form(1, t) for t in range(1, S + 1)) < S * few

# %% 检验 字节的闭式
for B, S in ((1, 5), (3, 8)):
    filled = DynamicCache()
    model(torch.zeros(B, S, dtype=torch.long), past_key_values=filled)
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in filled.layers)
    assert stored == 2 * layers * B * K * S * D * 4  # fp32 四字节；与 H 无关
assert filled.layers[0].keys.shape == (3, K, 8, D)


# %% 检验 旧的键值不因新词元而变
def stored(length: int, causal: bool) -> list[Tensor]:
    """前 length 个词元从头算一遍，各层的键与值接成 (K, length, 2D)，只留前 6 个词元的。"""
    cache = DynamicCache()
    all_seen = torch.ones(1, 1, length, length, dtype=torch.bool)  # 双向：人人看得见人人
    model(ids[:, :length], attention_mask=None if causal else all_seen, past_key_values=cache)
    return [torch.cat([layer.keys, layer.values], dim=-1)[0, :, :6] for layer in cache.layers]


for old, new in zip(stored(6, True), stored(9, True), strict=True):
    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)
first, second = zip(stored(6, False), stored(9, False), strict=True)
torch.testing.assert_close(first[1], first[0], rtol=1e-4, atol=1e-5)  # 第 0 层只看词向量
moved = (second[1] - second[0]).abs().view(K, 6, 2, D).amax(dim=(0, 3))  # (6, 2)：词元，键或值
assert moved.min() > 1e-2  # 往上，每一个旧词元的键变了，值也变了

# %% 检验 缓存每步抄一遍
copied = 0
cache = DynamicCache()
for token in ids.split(1, dim=1):
    before = cache.layers[0].keys.data_ptr() if cache.layers else None
    model(token, past_key_values=cache)
    assert cache.layers[0].keys.data_ptr() != before  # cat 每次得到一块新的
    copied += cache.get_seq_length()
assert copied == 9 * 10 // 2  # 1 + 2 + … + n，正比于 n²

# %% 检验 训练时开了梯度检查点就拒绝
busy = LLMForCausalLM(config).train()
assert busy(ids).past_key_values is not None  # 在训练也照样建，除非 use_cache=False
busy.activation_checkpointing_enable()
assert busy(ids).past_key_values is None  # 没有明说要，就不用
try:
    busy(ids, use_cache=True)
except ValueError as error:
    print(error)
else:
    raise AssertionError("反向时每块要重跑，缓存会写两次，应当拒绝")

# %% 检验 别的模型的缓存会被拒绝
try:
    model(ids[:, :1], past_key_values=((torch.zeros(1, H, 3, D),) * 2,) * layers)
except ValueError as error:
    print(str(error).replace("；", "；\n"))
else:
    raise AssertionError("存成了 H 个头，应当报错")


# %% 坏 有缓存还送整段
def spread(values: list[Tensor]) -> str:
    """若干个种子得到的数，写成最小、中位、最大。"""
    low, middle, high = torch.stack(values).quantile(torch.tensor([0, 0.5, 1])).tolist()
    return f"最小 {low:.2f}，中位 {middle:.2f}，最大 {high:.2f}"


prompts = []  # 二十段不同的词元，每段九个
for seed in range(20):
    torch.manual_seed(seed)
    prompts.append(torch.randint(V, (1, 9)))
gaps = []
for ids in prompts:
    state = model(ids[:, :8], use_cache=True).past_key_values
    again = model(ids, past_key_values=state)  # 应当只送 ids[:, 8:]
    gaps.append((again.logits[:, -1] - model(ids).logits[:, -1]).abs().max())
print(f"缓存的长度 {again.past_key_values.get_seq_length()}，应为 9")
print("最后一个位置的 logits 最多差:", spread(gaps))

# %% 坏 忘了传缓存
gaps = []
for ids in prompts:
    alone = model(ids[:, 8:]).logits  # 只送新词元，又没有过去
    gaps.append((alone[:, -1] - model(ids).logits[:, -1]).abs().max())
print("形状对:", tuple(alone.shape))
print("logits 最多差:", spread(gaps))

# %% 坏 同一个 Cache 用了两次
from copy import deepcopy

gaps = {"第一次": [], "第二次": [], "事先拷贝的": [], "退回去的": []}
for ids in prompts:
    state = model(ids[:, :8], use_cache=True).past_key_values
    spare = deepcopy(state)
    lengths_seen = []
    for name, used in zip(gaps, (state, state, spare, state), strict=True):
        if name == "退回去的":
            used.crop(-2)  # 前两次各接了一个
        logits = model(ids[:, 8:], past_key_values=used).logits[:, -1]
        gaps[name].append((logits - model(ids).logits[:, -1]).abs().max())
        lengths_seen.append(used.get_seq_length())
for (name, values), length in zip(gaps.items(), lengths_seen, strict=True):
    print(f"{name}：缓存长 {length}，logits 最多差：{spread(values)}")
