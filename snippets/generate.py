# %% [markdown]
# # 生成：取末位、挑一个、接上去
# 来源：Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, §3.1

# %% 三种切片
import torch
from torch import Tensor
from torch.nn import functional as F

from llm import LLMConfig, LLMForCausalLM
from llm.model import greedy_generate

torch.set_printoptions(precision=3, sci_mode=False)
logits = torch.randn(2, 5, 7)  # (B, T, V)
print("logits[:, -1, :]", tuple(logits[:, -1, :].shape), "每行的最后一个位置：要的是它")
print("logits[:, -1:]  ", tuple(logits[:, -1:].shape), "切片留着那一维")
print("logits[-1]      ", tuple(logits[-1].shape), "最后一个样本的全部位置")
print("logits[..., -1] ", tuple(logits[..., -1].shape), "词表里最后一个词元的分数")

# %% argmax 与 unsqueeze
ids = torch.randint(7, (2, 5))  # (B, T)
chosen = logits[:, -1, :].argmax(-1)  # (B,)，argmax 吃掉了 V 那一维
new = chosen.unsqueeze(-1)  # (B, 1)，补回 T 那一维
print(tuple(chosen.shape), "→", tuple(new.shape), "→", tuple(torch.cat([ids, new], dim=1).shape))

# %% 贪心
SHAPE = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def tiny(**overrides: int) -> LLMForCausalLM:
    """一个随机的小模型，参数扰动过，分数拉得开一些。"""
    model = LLMForCausalLM(LLMConfig(**{**SHAPE, **overrides})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


torch.manual_seed(36)
model, prompt = tiny(pad_token_id=0), torch.randint(61, (3, 5))  # (B, T)
sizes = []
hook = model.model.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
free = greedy_generate(model, prompt, 6)  # (B, T + 6)
hook.remove()
print("每步送进去的:", sizes)  # 先整段提示，此后每步一列，其余在键值缓存里
print(free[:, 5:])

# %% 每行的 EOS
eos = 47  # 就拿它当结束符：第 0 行第 2 个新词元、第 1 行第 3 个
stopped = greedy_generate(model, prompt, 6, eos_token_id=eos)
print(stopped[:, 5:])  # 结束的行填 pad（这里是 0），别的行照旧


# %% 温度、top-k、top-p
def warm(scores: Tensor, temperature: float) -> Tensor:
    """除以温度：小于 1 更尖，大于 1 更平。形状：(B, V) → (B, V)。"""
    return scores / temperature


def top_k(scores: Tensor, k: int) -> Tensor:
    """只留分数最高的 k 个（与第 k 名同分的也留）。形状：(B, V) → (B, V)。"""
    threshold = scores.topk(min(k, scores.shape[-1]), dim=-1).values[:, -1:]  # (B, 1)
    return scores.masked_fill(scores < threshold, float("-inf"))


def top_p(scores: Tensor, p: float) -> Tensor:
    """从小到大删，删到再删就不足 p 为止，至少留一个。形状：(B, V) → (B, V)。"""
    ordered, index = torch.sort(scores, dim=-1)  # 各 (B, V)，从小到大
    tail = ordered.softmax(-1).cumsum(-1)  # 从最小的到它自己，概率之和
    drop = tail <= 1 - p  # (B, V)，按名次排的
    drop[:, -1] = False
    return scores.masked_fill(drop.scatter(1, index, drop), float("-inf"))  # 送回原来的次序


scores = torch.tensor([[2.0, 1.0, 0.5, 0.0, -1.0]])
shown = {
    "原样": scores,
    "温度 0.5": warm(scores, 0.5),
    "温度 2": warm(scores, 2.0),
    "top-k 2": top_k(scores, 2),
    "top-p 0.8": top_p(scores, 0.8),
}
for title, each in shown.items():
    print(f"{title:10}", each.softmax(-1)[0])

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 5, figsize=(7.2, 2.3), sharey=True)
for ax, (title, each) in zip(axes, shown.items(), strict=True):
    ax.bar(range(5), each.softmax(-1)[0], color="#3f7fbf" if each.isfinite().all() else "#d9822b")
    ax.set(title=title, xlabel="词元", xticks=range(5))
axes[0].set_ylabel("概率")
figure.tight_layout()
figure.set_label(
    "五组柱，同样的五个词元：温度 0.5 更集中到第 0 个，温度 2 更平；"
    "top-k 2 只剩前两个，top-p 0.8 剩前三个，其余是 0"
)


# %% 采样
def sample(
    model: LLMForCausalLM, ids: Tensor, steps: int, temperature: float, k: int, p: float
) -> Tensor:
    """按概率抽：温度，top-k，top-p，softmax，multinomial。形状：(B, T) → (B, T + steps)。"""
    new, past = ids, None
    for _ in range(steps):
        with torch.inference_mode():
            out = model(new, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = out.past_key_values
        scores = top_p(top_k(warm(out.logits[:, -1, :], temperature), k), p)  # (B, V)
        new = torch.multinomial(scores.softmax(-1), num_samples=1)  # (B, 1)，不必再 unsqueeze
        ids = torch.cat([ids, new], dim=1)  # (B, S+1)
    return ids


torch.manual_seed(7)
drawn = sample(model, prompt, 6, temperature=0.8, k=10, p=0.9)
torch.manual_seed(7)
again = sample(model, prompt, 6, temperature=0.8, k=10, p=0.9)
other = sample(model, prompt, 6, temperature=0.8, k=10, p=0.9)  # 种子接着往下走
print("形状:", tuple(drawn.shape))
print("同一个种子，结果相同:", again.equal(drawn), " 不同的种子:", other.equal(drawn))
print("与贪心相同:", drawn.equal(free))

# %% 检验 与 transformers 的三个 warper 相同
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

torch.manual_seed(1)
random = torch.randn(64, 100) * 3  # (B, V)
real = torch.randn(4, 151_936) * 3  # Qwen 的词表那么大
for temperature in (0.3, 1.0, 2.5):
    assert warm(random, temperature).equal(TemperatureLogitsWarper(temperature)(None, random))
for k in (1, 7, 50, 100, 500):
    for each in (random, real):
        assert top_k(each, k).equal(TopKLogitsWarper(k)(None, each))
for p in (0.05, 0.5, 0.9, 0.99, 1.0):
    for each in (random, real):
        assert top_p(each, p).equal(TopPLogitsWarper(p)(None, each))

# %% 检验 与 model.generate 相同
ones = torch.ones_like(prompt)
shared = {"attention_mask": ones, "max_new_tokens": 6}
library = model.generate(prompt, do_sample=False, pad_token_id=0, **shared)
assert free.equal(library)
ended = model.generate(prompt, do_sample=False, eos_token_id=eos, pad_token_id=0, **shared)
assert stopped.equal(ended)
settings = {"temperature": 0.8, "top_k": 10, "top_p": 0.9, "pad_token_id": 0}
for seed in range(5):  # 同一个种子：连抽到的词元也一样
    torch.manual_seed(seed)
    mine = sample(model, prompt, 6, temperature=0.8, k=10, p=0.9)
    torch.manual_seed(seed)
    assert mine.equal(model.generate(prompt, do_sample=True, **settings, **shared))

# %% 检验 与不用缓存相同
slow = prompt
for _ in range(6):  # 最笨的写法：每步整段重算
    last = model(slow, use_cache=False).logits[:, -1:]  # (B, 1, V)
    slow = torch.cat([slow, last.argmax(-1)], dim=1)  # 切片留着那一维，argmax 之后恰好 (B, 1)
assert free.equal(slow)

# %% 检验 极限
best = random.argmax(-1)  # (B,)
cold = warm(random, 1e-4).softmax(-1)  # (B, V)
assert cold.argmax(-1).equal(best) and (cold.max(-1).values > 0.99).float().mean() > 0.9
for one in (top_k(random, 1), top_p(random, 1e-6)):
    assert one.isfinite().sum(-1).eq(1).all() and one.argmax(-1).equal(best)
assert top_k(random, 100).equal(random)
assert top_p(random, 1.0).equal(random) and top_p(real, 1.0).equal(real)
kept = top_p(random, 0.9)
mass = random.softmax(-1).masked_fill(kept.isinf(), 0.0)  # 暴力核对「最小的一组」
assert (mass.sum(-1) >= 0.9 - 1e-5).all()
smallest = mass.masked_fill(kept.isinf(), 1.0).min(-1).values
assert (mass.sum(-1) - smallest < 0.9).all()  # 再少一个就不够了

# %% 检验 温度与截断的次序
hot = warm(random, 2.5)
assert top_k(hot, 7).isinf().equal(top_k(random, 7).isinf())  # 温度不改名次，top-k 不在乎先后
assert not top_p(hot, 0.9).isinf().equal(top_p(random, 0.9).isinf())  # top-p 看概率，在乎

# %% 检验 抽出来的频率
torch.manual_seed(2)
weights = top_k(scores, 3).softmax(-1)[0]  # (V,)
draws = torch.multinomial(weights, 20_000, replacement=True)
frequency = draws.bincount(minlength=5) / 20_000
assert (frequency - weights).abs().max() < 0.02 and (frequency[3:] == 0).all()

# %% 检验 贪心不是整句最优
start = torch.tensor([[1]])
every = torch.cartesian_prod(*[torch.arange(5)] * 4)  # 全部 625 种续写
whole = torch.cat([start.expand(625, 1), every], dim=1)
ratios = []
for seed in range(20):
    torch.manual_seed(seed)
    small = tiny(vocab_size=5)
    with torch.no_grad():
        steps = small(whole).logits[:, :-1].log_softmax(-1)  # (625, 4, V)
    totals = steps.gather(-1, every[..., None]).sum((1, 2)).exp()  # 每种续写的概率
    torch.testing.assert_close(totals.sum(), torch.tensor(1.0))
    greedy = greedy_generate(small, start, 4)[0, 1:]
    mine = totals[(every == greedy).all(-1)].item()
    ratios.append(totals.max().item() / mine)
    if seed == 0:
        print("种子 0 的贪心:", greedy.tolist(), f"{mine:.4f}")
        print("种子 0 的最优:", every[totals.argmax()].tolist(), f"{totals.max().item():.4f}")
missed = sum(ratio > 1.0001 for ratio in ratios)
print(f"20 个种子里 {missed} 个的贪心不是最优；最优的概率最多是贪心的 {max(ratios):.1f} 倍")
assert 0 < missed and min(ratios) > 0.9999

# %% 坏 取了 logits[-1]
square = prompt[:, :3]  # B = T = 3，形状恰好对得上，不报错
out = model(square).logits  # (B, T, V)
print("对的:", out[:, -1, :].argmax(-1).tolist())
print("错的:", out[-1].argmax(-1).tolist())  # 第 2 个样本三个位置各自的预测
try:  # B = 1 时，吃提示的那一步报错
    torch.cat([square[:1], model(square[:1]).logits[-1].argmax(-1).unsqueeze(-1)], dim=1)
except RuntimeError as error:
    print("B = 1、T = 3:", str(error).splitlines()[0].split(" except")[0])
else:
    raise AssertionError("(1, 3) 接 (3, 1)，应当报错")
single = model(square[:1, :1]).logits  # B = T = 1：碰巧是对的
print("B = T = 1 时两者相同:", single[-1].equal(single[:, -1, :]))
assert not out[-1].argmax(-1).equal(out[:, -1, :].argmax(-1))

# %% 坏 忘了 unsqueeze
for name, bad in {
    "没有 unsqueeze": chosen,
    "[:, -1:] 又 unsqueeze": logits[:, -1:].argmax(-1).unsqueeze(-1),
}.items():
    try:
        torch.cat([ids, bad], dim=1)
    except RuntimeError as error:
        print(name, tuple(bad.shape), str(error).splitlines()[0])
    else:
        raise AssertionError("维数不同，应当报错")

# %% 坏 softmax 错了维
batch = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 5.0]])
print("dim=-1:", batch.softmax(-1))
print("dim=0: ", batch.softmax(0))  # 样本之间比大小；B = 1 时全是 1

# %% 坏 top-p 把第一名也删了
ordered, index = torch.sort(scores, descending=True)
removed = ordered.softmax(-1).cumsum(-1) > 0.5  # 错：第一名自己就超过了 0.5
print("每个名次删不删:", removed[0].tolist())
print("softmax:", ordered.masked_fill(removed, float("-inf")).softmax(-1))


# %% 坏 top-p 从大的一头加
def from_the_top(scores: Tensor, p: float) -> Tensor:
    """错：从最大的往下加，softmax 的舍入误差全落在尾巴上。"""
    ordered, index = torch.sort(scores, dim=-1, descending=True)  # 各 (B, V)
    probability = ordered.softmax(-1)  # (B, V)
    drop = probability.cumsum(-1) - probability >= p  # (B, V)，排在它前面的概率之和
    drop[:, 0] = False
    return scores.masked_fill(drop.scatter(1, index, drop), float("-inf"))


lost, excess = {100: [], 151_936: []}, {100: [], 151_936: []}
for seed in range(8):
    torch.manual_seed(seed)
    for V, counts in lost.items():
        drawn = torch.randn(1, V) * 3
        gone = from_the_top(drawn, 1.0).isinf()
        counts.append(gone.sum().item())
        total = drawn.sort(descending=True).values.softmax(-1).double().sum().item()
        excess[V].append(total - 1)
        assert top_p(drawn, 1.0).equal(drawn)
        assert drawn.softmax(-1).masked_fill(~gone, 0.0).max() < 1e-7  # 删掉的每个都极小
for V, counts in lost.items():
    print(f"V = {V:,}，p = 1 本该不变，8 个种子各误删: {min(counts):,} 到 {max(counts):,} 个")
    print(f"    fp32 的 softmax 之和减 1: {min(excess[V]):.0e} 到 {max(excess[V]):.0e}")
flat = []  # 平缓的分布：标准差 1，不是 3
for seed in range(8):
    torch.manual_seed(seed)
    flat.append(from_the_top(torch.randn(1, 151_936), 1.0).isinf().sum().item())
print(f"V = 151,936，分数的标准差是 1，8 个种子各误删: {min(flat):,} 到 {max(flat):,} 个")
assert max(flat) < min(lost[151_936])

# %% 坏 提示填在右边
padded = F.pad(prompt[:1, :3], (0, 2))  # (1, 5)，右边补两个 0
mask = F.pad(torch.ones(1, 3, dtype=torch.long), (0, 2))
alone = greedy_generate(model, prompt[:1, :3], 6)[:, 3:]
right = greedy_generate(model, padded, 6, attention_mask=mask)[:, 5:]
left = greedy_generate(model, padded.roll(2, 1), 6, attention_mask=mask.roll(2, 1))[:, 5:]
print("单独:  ", alone[0].tolist())
print("左填充:", left[0].tolist())
print("右填充:", right[0].tolist())
assert left.equal(alone) and not right.equal(alone)
