# %% [markdown]
# # 张量流：从词元号到下一个词元，每一步的形状
# 来源：`llm.lab.shapes` 真的跑一次前向，逐行记下；Touvron et al. 2023, LLaMA, §2.2

# %% 两种前向
from llm import LLMConfig
from llm.lab.flow import boxes
from llm.lab.shapes import trace

sizes_small = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2}
config = LLMConfig.preset("llama", **sizes_small, intermediate_size=40, num_hidden_layers=1)
prefill = trace(config, B=2, T=5)  # 没有过去，一次送进 5 个
decode = trace(config, B=2, T=1, past=5)  # 过去有 5 个，只送进 1 个
for row in prefill:
    if row.function == "Attention.forward" and not row.alias:
        other = next(r for r in decode if (r.line, r.variable) == (row.line, row.variable))
        print(f"{row.variable:12}{row.text:14}{row.shape!s:16}{other.shape!s:16}{row.dtype}")

# %% 字母是找出来的
from llm.lab.shapes import PROBES, probe, sizes

tiny = probe(config)
for how in PROBES:  # 两次的 (B, T, past)
    k = next(r for r in reversed(trace(tiny, *how)) if r.variable == "k" and not r.alias)
    letters = {name: n for name, n in sizes(tiny, *how).items() if n in k.shape}
    print(k.shape, letters)
print("两次都对得上的:", k.text)

# %% 从头到尾
both = {(b.title, b.line): b for b in boxes(prefill)}
for box in boxes(decode):
    missing = "" if (box.title, box.line) in both else "    只有带过去时才有"
    print(f"{box.title:28}{' '.join(box.letters)}{missing}")

# %% 图
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

flow = boxes(decode)
figure, ax = plt.subplots(figsize=(7.2, 9.5))
for i, box in enumerate(flow):
    colour = "#3f7fbf" if "layers" in box.module else "#7a8a94"
    ax.add_patch(plt.Rectangle((0.2, -i - 0.34), 0.6, 0.68, fc="white", ec=colour, lw=1.3))
    ax.text(0.22, -i, box.title, va="center", fontsize=8, color="#222")
    ax.text(0.78, -i, " ".join(box.letters), va="center", ha="right", fontsize=8, color="#222")
    for source in box.inputs:
        # 残差从左边绕，别的隔着几步的从右边绕，紧挨着的直连
        residual = (flow[source].title, box.title) in (("x", "x"), ("x", "layers.0"))
        if i == source + 1:
            shape = Path([(0.5, -source - 0.34), (0.5, -i + 0.34)])
        else:
            edge, away = (0.2, -1) if residual else (0.8, 1)
            bend = edge + away * (0.03 + 0.016 * (i - source))
            points = [(edge, -source - 0.12), (bend, -source), (bend, -i), (edge, -i + 0.12)]
            shape = Path(points, [Path.MOVETO, *[Path.CURVE4] * 3])
        tint = "#d9822b" if residual else "#7a8a94"
        head = {"arrowstyle": "-|>", "mutation_scale": 8, "color": tint}
        ax.add_patch(FancyArrowPatch(path=shape, **head))
ax.set(xlim=(0, 1.12), ylim=(-len(flow) + 0.5, 0.5))
ax.axis("off")
figure.tight_layout()

# %% 参数、运算与缓存
from llm.lab.flow import cache_bytes, flops, parameter_count

print("参数:", parameter_count(config))
print("prefill 5 个的浮点运算:", flops(config, 2, 5))
print("decode  1 个的浮点运算:", flops(config, 2, 1, past=5))
print("不用缓存、把 6 个再算一遍:", flops(config, 2, 6))
print("6 个词元的缓存:", cache_bytes(config, 2, 6), "字节")

# %% 检验 字母代进去等于真跑的数
from llm.lab.shapes import evaluate

for family in ("llama", "qwen2", "qwen3", "glm", "glm4"):
    other = LLMConfig.preset(family, **sizes_small, head_dim=12, num_hidden_layers=2)
    for how in ((1, 4, 0), (3, 2, 7), (2, 1, 3)):
        letters = sizes(other, *how)
        rows = trace(other, *how)
        assert len(rows) > 90
        assert all(tuple(evaluate(d, letters) for d in r.letters) == r.shape for r in rows)

# %% 检验 与 PyTorch 数的相同
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm import LLMForCausalLM

model = LLMForCausalLM(LLMConfig(**{**config.to_dict(), "attention_backend": "manual"})).eval()
ids = torch.zeros(2, 5, dtype=torch.long)
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    cache = model(ids).past_key_values
assert counter.get_total_flops() == flops(config, 2, 5)
fused = LLMForCausalLM(config).eval()
with torch.no_grad(), FlopCounterMode(display=False) as blind:
    fused(ids)
attention = config.num_hidden_layers * 4 * 2 * 6 * 5 * 5 * 4  # 4·B·H·T·S·D
assert flops(config, 2, 5) - blind.get_total_flops() == attention  # CPU 的 SDPA 它数不到
assert sum(p.numel() for p in model.parameters()) == parameter_count(config)
assert sum(t.nbytes for kv in cache.layers for t in (kv.keys, kv.values)) == cache_bytes(
    config, 2, 5
)

# %% 检验 两种前向的数与 transformers 相同
from transformers import LlamaConfig, LlamaForCausalLM

names = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads head_dim"
shared = {name: getattr(config, name) for name in (*names.split(), "num_key_value_heads")}
theirs = LlamaForCausalLM(LlamaConfig(**shared)).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    theirs.load_state_dict(model.state_dict(), strict=True)
    words = torch.randint(config.vocab_size, (2, 6))
    whole = theirs(words).logits  # (B, T, V)，六个词元一次送进
    first = model(words[:, :5], use_cache=True)
    second = model(words[:, 5:], past_key_values=first.past_key_values)
torch.testing.assert_close(first.logits, whole[:, :5], rtol=0, atol=1e-5)
torch.testing.assert_close(second.logits, whole[:, 5:], rtol=0, atol=1e-5)
assert first.logits.equal(model.lm_head(model.model(words[:, :5]).last_hidden_state))

# %% 检验 超出旋转表就报错
try:
    trace(LLMConfig(**{**config.to_dict(), "max_position_embeddings": 6}), B=2, T=2, past=5)
except ValueError as error:
    print(error)
else:
    raise AssertionError("过去 5 个再送 2 个，6 行的旋转表不够，应当报错")

# %% 坏 取错了一维
logits = model(ids).logits  # (B, T, V)
right = logits[:, -1, :].argmax(-1)  # (B,)，每行最后一个位置
wrong = logits[:, :, -1].argmax(-1)  # (B,)，词表的最后一列：不报错
print(tuple(logits.shape), tuple(right.shape), tuple(wrong.shape))
print("错的答案其实是位置号，总小于 T:", bool((wrong < ids.shape[1]).all()))
try:
    torch.cat([ids, right], dim=1)
except RuntimeError as error:
    print("忘了 unsqueeze(-1):", str(error).split(":")[0])
else:
    raise AssertionError("维数不同，cat 应当报错")

# %% 坏 形状对，数不对
B, T, H, D = 2, 5, 6, 4
x = torch.arange(B * T * H * D).view(B, T, H * D)  # (B, T, H*D)
split = x.view(B, T, H, D).transpose(1, 2)  # (B, H, T, D)
forced = x.view(B, H, T, D)  # (B, H, T, D)，形状一样
print(tuple(split.shape) == tuple(forced.shape), "第 0 个头的第 1 个词元:")
print(split[0, 0, 1].tolist(), "对：从第 1 个词元里取")
print(forced[0, 0, 1].tolist(), "错：还是第 0 个词元的")

# %% 数据 张量流
from llm.lab.flow import viewer_data

# 框的名字通到哪篇笔记：函数，或框的种类；源码的标题通到参考
links = {
    "cache": "../attention/kv-cache.md",
    "RMSNorm.forward": "rmsnorm.md",
    "RotaryEmbedding.forward": "../attention/rope.md",
    "apply_rotary": "../attention/rope.md",
    "causal_mask": "../attention/attention-mask.md",
    "repeat_kv": "../attention/repeat-kv.md",
    "attention_weights": "../attention/masked-fill.md",
    "Attention.forward": "../attention/multi-head-merge.md",
    "FeedForward.forward": "swiglu.md",
    "TransformerBlock.forward": "transformer-block.md",
    "LLMModel.forward": "transformer-block.md",
    "LLMForCausalLM.forward": "causal-lm.md",
    "greedy_generate": "generate.md",
    "llm.model": "../../reference/model.md",
}
print(viewer_data(links))
