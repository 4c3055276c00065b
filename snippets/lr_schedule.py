# %% [markdown]
# # 学习率的曲线：先升，再降，一次更新一个
# 来源：Loshchilov & Hutter 2017（SGDR），§3；Hu et al. 2024（MiniCPM），§4

# %% 十次更新
from llm.train import loop, optim
from llm.train.optim import lr_at

for kind in ("cosine", "wsd"):
    rates = [lr_at(update, 10, 1.0, warmup=3, least=0.1, kind=kind) for update in range(1, 11)]
    print(f"{kind:6}", " ".join(f"{rate:.2f}" for rate in rates))

# %% 图 两种曲线
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.2, 2.8))
for kind, total, color, style in (
    ("cosine", 1000, "#3f7fbf", "-"),
    ("cosine", 600, "#3f7fbf", ":"),
    ("wsd", 1000, "#d9822b", "-"),
    ("wsd", 600, "#d9822b", ":"),
):
    shown = [lr_at(update, total, 1.0, 50, 0.1, kind) for update in range(1, total + 1)]
    ax.plot(range(1, total + 1), shown, style, color=color, label=f"{kind}，共 {total} 次")
    print(f"{kind}，共 {total} 次：平均 {sum(shown) / total:.3f}")
ax.set(xlabel="更新", ylabel="lr / 最高", title="warm-up 50 次，最低 0.1")
ax.legend()
ax.grid(True)
figure.tight_layout()

# %% 检验 手算
import math

import torch

rates = [lr_at(update, 12, 2.0, 4, 0.5) for update in range(1, 13)]
assert rates[:4] == [0.5, 1.0, 1.5, 2.0]  # 线性升，第 warmup 次恰好是最高
for update in (5, 8, 11):
    half = math.cos(math.pi * (update - 4) / 8)
    assert math.isclose(rates[update - 1], 0.5 + 1.5 * (1 + half) / 2)
assert math.isclose(rates[7], 1.25) and math.isclose(rates[-1], 0.5)  # 半路是中点，最后是最低
plateau = [lr_at(update, 20, 1.0, 2, 0.2, "wsd") for update in range(1, 21)]
assert plateau[:2] == [0.5, 1.0] and plateau[2:16] == [1.0] * 14  # 最后五分之一才降
assert all(map(math.isclose, plateau[16:], (0.8, 0.6, 0.4, 0.2)))

# %% 检验 与 transformers 相同
from transformers import (
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_wsd_schedule,
)


def theirs(make: object, count: int, **given: object) -> list[float]:
    """它的各步的学习率，从第 0 步数起。"""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=3.0)
    schedule, found = make(optimizer, num_warmup_steps=5, **given), []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


cosine = theirs(get_cosine_schedule_with_warmup, 31, num_training_steps=30)
lifted = theirs(
    get_cosine_with_min_lr_schedule_with_warmup, 31, num_training_steps=30, min_lr_rate=0.1
)
steady = theirs(
    get_wsd_schedule,
    31,
    num_stable_steps=19,
    num_decay_steps=6,
    decay_type="linear",
    min_lr_ratio=0.1,
)
for update in range(31):  # 它的第 i 步就是这里的第 i 次更新
    assert math.isclose(lr_at(update, 30, 3.0, 5), cosine[update], abs_tol=1e-12)
    assert math.isclose(lr_at(update, 30, 3.0, 5, 0.3), lifted[update], abs_tol=1e-12)
    if update >= 5:  # 它的 wsd 从最低升起，不从 0
        assert math.isclose(lr_at(update, 30, 3.0, 5, 0.3, "wsd"), steady[update])
print("它的头一步，学习率是", cosine[0], "；这里从第 1 次数起:", lr_at(1, 30, 3.0, 5))

# %% 检验 边界
for kind in optim.SCHEDULES:
    for total in (1, 2, 3, 7, 50):
        for warmup in {0, min(1, total - 1), total // 2, total - 1}:
            rates = [lr_at(n, total, 1.0, warmup, 0.1, kind) for n in range(1, total + 1)]
            top = max(warmup, 1)
            assert rates[: top - 1] == sorted(rates[: top - 1])
            assert rates[top - 1 :] == sorted(rates[top - 1 :], reverse=True)
            assert math.isclose(rates[-1], 0.1) and min(rates) > 0 and max(rates) <= 1
    assert lr_at(8, 8, 1.0, 8, 0.1, kind) == 1.0  # 全程都在升，最后是最高
    assert math.isclose(lr_at(99, 50, 1.0, 5, 0.1, kind), 0.1)  # 过了头，还是最低
assert lr_at(7, 20, 1.0) == lr_at(7, 20, 1.0, 0, 0.0, "cosine")  # 默认
try:
    lr_at(1, 10, 1.0, kind="linear")
except ValueError as error:
    print(error)
else:
    raise AssertionError("没有这种曲线，应当报错")

# %% 检验 wsd 接得长
short = [lr_at(n, 100, 1.0, 10, 0.1, "wsd") for n in range(1, 101)]
long = [lr_at(n, 200, 1.0, 10, 0.1, "wsd") for n in range(1, 201)]
assert short[:80] == long[:80] and short[80] != long[80]  # 降之前都一样：可以改主意
short = [lr_at(n, 100, 1.0, 10, 0.1) for n in range(1, 101)]
long = [lr_at(n, 200, 1.0, 10, 0.1) for n in range(1, 201)]
assert [n for n in range(100) if short[n] == long[n]] == list(range(10))  # 余弦从头就不同

# %% 检验 一次更新，各组同一个
from llm import LLMConfig, LLMForCausalLM
from llm.train.data import Position, encode_text, pack, take
from llm.train.loop import mean_loss, train_step
from llm.train.tokenizer import train_tokenizer

tokenizer = train_tokenizer(["abc"], 259)  # 一个字母一个词元
V, END = len(tokenizer), tokenizer.eos_token_id


def small(seed: int = 0) -> LLMForCausalLM:
    """一层、宽 32 的模型。"""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": V}
    return LLMForCausalLM(LLMConfig(**shape))


rows = pack([encode_text(tokenizer, "abcabcabc")] * 8, 16, tokenizer.pad_token_id)
model = small()
optimizer = optim.build_optimizer(model, 1.0, 0.0, (0.9, 0.95))
before = {name: p.detach().clone() for name, p in model.named_parameters()}
batches = [rows.batch(torch.arange(2)), rows.batch(torch.arange(2, 4))]
train_step(model, optimizer, batches, 1e-3, 1.0)  # 两个小批，一次更新
assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]
moved = torch.cat([(p.detach() - before[n]).abs().flatten() for n, p in model.named_parameters()])
assert abs(moved.max().item() - 1e-3) < 1e-5  # 第一步走的就是 lr，不是建优化器时的 1.0

# %% 一条已知的链
import random

STEPS = {1: 0.6, 2: 0.25, 3: 0.1}  # 八个字母排成一圈，往后数几个；剩下的 0.05 是结束
floor = -sum(odds * math.log(odds) for odds in (*STEPS.values(), 0.05))
dice, texts = random.Random(0), []
for _ in range(240):
    said = [dice.randrange(8)]
    while dice.random() > 0.05:
        said.append((said[-1] + dice.choices(list(STEPS), list(STEPS.values()))[0]) % 8)
    texts.append("".join("abcdefgh"[n] for n in said))
encoded = [encode_text(tokenizer, text) for text in texts]
corpus, held = (pack(part, 32, tokenizer.pad_token_id) for part in (encoded[60:], encoded[:60]))
print(f"熵 {floor:.3f} nat：损失停在这附近")


def curve(rate: object, updates: int = 50, seed: int = 0) -> tuple[list[float], LLMForCausalLM]:
    """训练的损失，与训好的模型；rate 由更新的次数给出学习率。"""
    model, position, losses = small(seed), Position(seed), []
    optimizer = optim.build_optimizer(model, 1.0, 0.0, (0.9, 0.95))
    for update in range(1, updates + 1):
        batch, position = take(corpus, position, 4, 0)
        losses.append(train_step(model, optimizer, [batch], rate(update), 1.0).loss)
    return losses, model


# %% 坏 一直不降
PEAK = 3e-2
plans = {
    "不降": lambda n: PEAK,
    "cosine": lambda n: lr_at(n, 50, PEAK, 5, PEAK / 100),
    "wsd": lambda n: lr_at(n, 50, PEAK, 5, PEAK / 100, "wsd"),
}
colors = ("#d9822b", "#3f7fbf", "#3a9d5d")
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
above, curves = {}, {}
for (name, plan), color in zip(plans.items(), colors, strict=True):
    losses, model = curve(plan)
    curves[name] = losses
    above[name] = mean_loss(model, held, 64) - floor
    axes[0].plot([plan(n) for n in range(1, 51)], color=color, label=name)
    smooth = torch.tensor(losses).unfold(0, 10, 1).mean(-1)  # 十次的滑动平均
    axes[1].plot(range(10, 51), smooth, color=color, label=name)
axes[0].set(xlabel="更新", ylabel="lr", title="学习率")
axes[1].axhline(floor, color="#888888", linestyle="--", label="熵")
axes[1].set(xlabel="更新", ylabel="nat/词元", title="损失（十次平均）", ylim=(0.95, 1.8))
for ax in axes:
    ax.legend()
    ax.grid(True)
figure.tight_layout()
print("留出的损失，降的都比不降的低:", max(above["cosine"], above["wsd"]) < above["不降"])
assert max(above["cosine"], above["wsd"]) < above["不降"] - 0.01

# %% 坏 没有 warm-up
figure, ax = plt.subplots(figsize=(7.2, 2.8))
bumps = {}
for warmup, color, label in ((10, "#3f7fbf", "升 10 次"), (0, "#d9822b", "一上来就是最高")):
    bumps[warmup] = []
    for seed in range(3):
        losses, _ = curve(lambda n, w=warmup: lr_at(n, 80, 0.2, w, 0.02), updates=15, seed=seed)
        ax.plot(range(1, 16), losses, color=color, label=label if seed == 0 else None)
        bumps[warmup].append(sum(losses[3:7]) / 4)
ax.axhline(math.log(V), color="#888888", linestyle="--", label="ln V")
ax.set(xlabel="更新", ylabel="nat/词元", title="lr 大到 0.2 时的头 15 次更新（三个种子）")
ax.legend()
ax.grid(True)
figure.tight_layout()
print("第 4 到 7 次更新，没有 warm-up 的都高出 0.5 以上:", min(bumps[0]) > max(bumps[10]) + 0.5)
assert min(bumps[0]) > max(bumps[10]) + 0.5

# %% 坏 按小批走
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated

print(TRAIN_MUTATIONS["lr_per_batch"].text)
right = [loop.lr_at(n, 50, PEAK, 5, PEAK / 100) for n in range(1, 51)]
with mutated("lr_per_batch"):
    wrong = [loop.lr_at(n, 50, PEAK, 5, PEAK / 100) for n in range(1, 51)]
    losses, _ = curve(lambda n: loop.lr_at(n, 50, PEAK, 5, PEAK / 100))
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
axes[0].plot(right, color="#3f7fbf", label="对：一次更新一个")
axes[0].plot(wrong, color="#d9822b", label="错：一个小批一个")
axes[0].set(xlabel="更新", ylabel="lr", title="学习率：错的半路就到底了")
for each, color in ((curves["cosine"], "#3f7fbf"), (losses, "#d9822b")):
    axes[1].plot(each, color=color)
axes[1].set(xlabel="更新", ylabel="nat/词元", title="损失：看不出对错")
axes[0].legend()
for ax in axes:
    ax.grid(True)
figure.tight_layout()
lowest = [sum(rate <= PEAK / 100 for rate in rates) for rates in (right, wrong)]
print(f"学习率是最低的更新：对 {lowest[0]} 次，错 {lowest[1]} 次")
assert lowest == [1, 26] and math.isclose(right[-1], PEAK / 100)
