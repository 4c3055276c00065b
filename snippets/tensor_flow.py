# %% [markdown]
# # 张量流：从词元号到下一个词元，每一步的形状
# 来源：`llm.lab.shapes` 真的跑一次前向，逐行记下；Touvron et al. 2023, LLaMA, §2.2

# %% 两种前向
from llm import LLMConfig
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
from llm.lab.flow import steps

manual = LLMConfig(**{**config.to_dict(), "attention_backend": "manual"})
walk = steps(manual)
for step in walk:
    sources = ", ".join(walk[index].name or walk[index].op for index, _ in step.sources)
    print(f"{step.line:4} {step.op:12}{step.name:16}{' '.join(step.letters[0]):12}← {sources}")

# %% 小模型
import torch

from llm import LLMForCausalLM

text = "日知其所亡，月无忘其所能，可谓好学也已矣。"
characters = sorted(set(text))
rows = torch.tensor([[characters.index(c) for c in text[at : at + 12]] for at in (0, 6)])  # (2, 12)
small_sizes = {"vocab_size": len(characters), "hidden_size": 32, "intermediate_size": 64}
small_sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
torch.manual_seed(0)
small = LLMForCausalLM(LLMConfig.preset("llama", **small_sizes, attention_backend="manual"))
optimizer = torch.optim.AdamW(small.parameters(), lr=1e-2)
for _ in range(80):  # 背下这两行
    optimizer.zero_grad()
    loss = small(rows, labels=rows).loss
    loss.backward()
    optimizer.step()
small.eval()
prompt = rows[:, :6]  # (2, 6)
print([text[at : at + 6] for at in (0, 6)], f"损失 {loss.item():.2f}")

# %% 打开一个头
from llm.lab.heads import heads

opened = heads(small, prompt, decoded=3)
print("接下去:", "".join(characters[i] for i in opened["ids"][6:]))
print("第 1 层、第 3 个头，第一行词元，prefill：一行一个查询，一列一个键")
for query, row, mask in zip(text, opened["heads"][0][0][2][1], opened["masks"][0], strict=False):
    print(query, *(f"{w:4.2f}" if seen == "1" else "  · " for w, seen in zip(row, mask)))
print("decode：一个查询，七个键", opened["heads"][1][0][2][1][0])

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

# %% 检验 解码与整段重算一致
with torch.no_grad():
    longer = torch.tensor([opened["ids"][:7]])
    whole_run = heads(small, longer, decoded=0)["heads"][0]
for layer, (decoded_layer, whole_layer) in enumerate(zip(opened["heads"][1], whole_run)):
    for (_, one), (_, all_rows) in zip(decoded_layer, whole_layer, strict=True):
        torch.testing.assert_close(torch.tensor(one[0]), torch.tensor(all_rows[-1]), atol=0.011, rtol=0)
        assert abs(sum(one[0]) - 1) < 0.05  # 权重一行和为 1，记录只留两位小数
assert [row.count("1") for row in opened["masks"][0]] == [1, 2, 3, 4, 5, 6]
assert opened["masks"][1:] == [["1" * 7], ["1" * 8], ["1" * 9]]

# %% 检验 与 PyTorch 数的相同
from torch.utils.flop_counter import FlopCounterMode

model = LLMForCausalLM(manual).eval()
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
from llm.lab.flow import small_model, viewer_data

# 一步通到哪篇笔记：按它的运算、函数或种类；源码的标题通到参考
links = {
    "cache": "../attention/kv-cache.md",
    "mask": "../attention/attention-mask.md",
    "position": "../attention/rope.md",
    "RMSNorm": "rmsnorm.md",
    "rotate": "../attention/rope.md",
    "repeat_kv": "../attention/repeat-kv.md",
    "cat": "../attention/kv-cache.md",
    "masked_fill": "../attention/masked-fill.md",
    "attention_weights": "../attention/masked-fill.md",
    "Attention.forward": "../attention/multi-head-merge.md",
    "FeedForward.forward": "swiglu.md",
    "TransformerBlock.forward": "transformer-block.md",
    "LLMModel.forward": "transformer-block.md",
    "LLMForCausalLM.forward": "causal-lm.md",
    "greedy_generate": "generate.md",
    "llm.model": "../../reference/model.md",
}
print(viewer_data(links, small_model(small.config, characters, opened)))
