# %% [markdown]
# # 交叉熵：错一位、不计谁、对什么求平均、在哪种精度里算
# 来源：Shannon 1948；PyTorch 文档 `cross_entropy`；transformers `ForCausalLMLoss`

# %% 一个位置
import math

import torch
from torch.nn import functional as F

from llm import LLMConfig, LLMForCausalLM
from llm.loss import next_token_loss

scores = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)  # (V,)，四个词元的 logits
p = scores.softmax(0)
print("概率:", [round(each, 3) for each in p.tolist()])
for answer in range(4):
    nat = -p[answer].log().item()
    print(f"答案是 {answer}：{nat:.3f} nat = {nat / math.log(2):.3f} 比特")
(-p[1].log()).backward()
print("答案是 1 时的梯度:", [round(each, 3) for each in scores.grad.tolist()])

# %% 谁猜谁
from llm.train import data, loop
from llm.train.data import IGNORED, Rows, pack
from llm.train.loop import count_tokens

rows = pack([([11, 12, 13], [11, 12, 13]), ([21, 22], [21, 22])], 6, 0)
batch = rows.batch(torch.arange(1))
ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
for t in range(6):
    target = labels[t + 1] if t < 5 else IGNORED
    print(f"位置 {t}（{ids[t]:2}）的答案:", "不计" if target == IGNORED else target)
print("计入的:", count_tokens([batch]))
assert count_tokens([batch, {"labels": torch.tensor([[5, 6, IGNORED]])}]) == 4  # 第 0 个没有谁来猜

# %% 一条已知的链
import random

from llm.train.tokenizer import train_tokenizer

tokenizer = train_tokenizer(["abc"], 259)  # 没有合并：一个字母一个词元
PAD, END, V = tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)
LETTERS = "abcdefgh"
STEPS = {1: 0.6, 2: 0.25, 3: 0.1}  # 往后数 1、2、3 个字母；剩下的 0.05 是结束


def sentence(dice: random.Random) -> str:
    """按这条链走，走到结束为止。"""
    said = [dice.randrange(8)]
    while dice.random() > 0.05:
        said.append((said[-1] + dice.choices(list(STEPS), list(STEPS.values()))[0]) % 8)
    return "".join(LETTERS[n] for n in said)


dice = random.Random(0)
texts = [sentence(dice) for _ in range(200)]
print(texts[:3])
floor = -sum(odds * math.log(odds) for odds in (*STEPS.values(), 0.05))
print(f"熵 {floor:.3f} nat：知道这条链的人，平均也要付这么多；瞎猜是 ln {V} = {math.log(V):.3f}")

# %% 对什么求平均
torch.manual_seed(0)
logits = torch.randn(2, 9, 16)
answers = torch.randint(16, (2, 9))
answers[1, 3:] = IGNORED  # 第 0 行 8 个答案，第 1 行 2 个
each = F.cross_entropy(
    logits[:, :-1].flatten(0, 1), answers[:, 1:].flatten(), reduction="none"
).view(2, 8)
counts = (answers[:, 1:] != IGNORED).sum(-1)  # (B,)
print("各行的总和:", [round(x, 3) for x in each.sum(-1).tolist()], " 个数:", counts.tolist())
print(f"每个词元一样重:   {each.sum() / counts.sum():.4f}")
print(f"每一行一样重:     {(each.sum(-1) / counts).mean():.4f}")
print(f"除以全部的位置:   {each.mean():.4f}")
print(f"next_token_loss: {next_token_loss(logits, answers):.4f}")

# %% 词表上的分数有多大
for name, B, T, many in (("这里的", 8, 128, 2048), ("Qwen3 的词表", 8, 4096, 151_936)):
    size = B * T * many * 4 / 2**30
    print(f"{name}：fp32 的 logits (B, T, V) = ({B}, {T}, {many:,})，{size:.2f} GiB")

# %% 检验 手算的值与梯度
logits = torch.randn(2, 6, 16, requires_grad=True)
answers = torch.randint(16, (2, 6))
answers[0, :3] = IGNORED
loss = next_token_loss(logits, answers)
loss.backward()
wanted, gradient = 0.0, torch.zeros(2, 6, 16)
there = [(b, t) for b in range(2) for t in range(5) if answers[b, t + 1] != IGNORED]
for b, t in there:
    chance = logits[b, t].detach().exp() / logits[b, t].detach().exp().sum()
    wanted -= chance[answers[b, t + 1]].log().item() / len(there)
    gradient[b, t] = chance / len(there)
    gradient[b, t, answers[b, t + 1]] -= 1 / len(there)  # 概率减去独热的答案
assert abs(loss.item() - wanted) < 1e-5 and len(there) == 8
torch.testing.assert_close(logits.grad, gradient)
assert logits.grad.sum(-1).abs().max() < 1e-6  # 每个位置的梯度之和是 0

# %% 检验 与 transformers 相同
from transformers.loss.loss_utils import ForCausalLMLoss

for items in (None, 20, torch.tensor(7)):
    theirs = ForCausalLMLoss(logits, answers, 16, num_items_in_batch=items)
    torch.testing.assert_close(next_token_loss(logits, answers, items), theirs)
half = logits.detach().bfloat16()
assert next_token_loss(half, answers).dtype == torch.float32
torch.testing.assert_close(next_token_loss(half, answers), ForCausalLMLoss(half, answers, 16))

# %% 检验 再大的分数也不溢出
huge = torch.zeros(1, 3, 16)
huge[0, :, 5] = 1e4
assert (huge.exp().sum(-1)).isinf().all()  # 照公式先 exp，就是无穷
assert next_token_loss(huge, torch.full((1, 3), 5)) == 0
assert next_token_loss(huge, torch.full((1, 3), 4)) == 1e4

# %% 检验 一个也不计
nothing = next_token_loss(logits, torch.full((2, 6), IGNORED))
(still,) = torch.autograd.grad(nothing, logits)
assert nothing == 0 and (still == 0).all()
assert F.cross_entropy(logits[0], torch.full((6,), IGNORED)).isnan()  # 内建的是 0 / 0
try:
    next_token_loss(logits[:, -1:], answers)
except ValueError as error:
    print(error)
else:
    raise AssertionError("不对齐应当报错")

# %% 检验 押对了的不花钱
encoded = [data.encode_text(tokenizer, text) for text in texts]
rows = pack(encoded, 32, PAD)
sure = 50.0 * F.one_hot(rows.input_ids.roll(-1, 1), V).float()  # 位置 t 全押下一个词元
assert next_token_loss(sure, rows.labels) < 1e-6
assert next_token_loss(sure.roll(1, 1), rows.labels) > 40  # 押自己，几乎全错

# %% 检验 验证的损失与一批几行无关
from llm.train.loop import bits_per_byte, mean_loss
from llm.train.tokenizer import byte_lengths


def small(seed: int = 0, **changed: int) -> LLMForCausalLM:
    """一层、宽 32 的模型。"""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": V}
    return LLMForCausalLM(LLMConfig(**{**shape, **changed}))


model = small().train()
lengths = torch.tensor(byte_lengths(tokenizer, V), dtype=torch.float64)
with torch.no_grad():
    logits = model(rows.input_ids, position_ids=rows.position_ids).logits
    nats = -logits[:, :-1].double().log_softmax(-1)
counted = rows.labels[:, 1:] != IGNORED
nats = nats.gather(-1, rows.labels[:, 1:].clamp(min=0)[..., None])[..., 0]
letters = counted & (rows.labels[:, 1:] != END)  # 结束不是文字，0 个字节
for size in (64, 1000):
    assert abs(mean_loss(model, rows, size) - nats[counted].mean().item()) < 1e-5
    wanted = nats[letters].sum().item() / letters.sum().item() / math.log(2)
    assert abs(bits_per_byte(model, rows, lengths, size) - wanted) < 1e-5
whole = torch.randint(V, (4, 32))
whole[:, 3], whole[:, 5] = 0, 1  # 0 号与 1 号也在里面
mixed = Rows(whole, whole.clone(), torch.arange(32).expand(4, -1))
mixed.labels[:, 20:] = IGNORED
sizes = torch.arange(V).double()  # 第 n 号算 n 个字节
with torch.no_grad():
    nats = -model(whole).logits[:, :19].double().log_softmax(-1)
nats = nats.gather(-1, whole[:, 1:20, None])[..., 0][whole[:, 1:20] > 0].sum().item()
bits = bits_per_byte(model, mixed, sizes, 3)
assert isinstance(bits, float)
assert abs(bits * math.log(2) - nats / sizes[whole[:, 1:20]].sum()) < 1e-6
assert model.training and counted.sum() == count_tokens([rows.batch(torch.arange(len(rows)))])
noisy = small().train()
noisy.model.norm.register_forward_hook(lambda m, _, out: F.dropout(out, 0.5, m.training))
assert mean_loss(noisy, rows, 7) == mean_loss(noisy, rows, 7)  # 验证时没有 dropout
assert noisy.training

# %% 坏 四种错的曲线
from contextlib import nullcontext

from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train.data import Position, take
from llm.train.loop import train_step
from llm.train.optim import build_optimizer


def rows_of() -> Rows:
    """一行一篇，不满的填上；长的切成几行。函数都经由模块取用，换过的就是换过的。"""
    made = [data.pack([data.encode_text(tokenizer, text)], 32, PAD) for text in texts]
    return Rows(*(torch.cat([getattr(one, name) for one in made]) for name in vars(made[0])))


def curve(updates: int = 40) -> tuple[list[float], LLMForCausalLM]:
    """训练时看见的损失，与训好的模型。"""
    rows, model, position, losses = rows_of(), small(), Position(), []
    optimizer = build_optimizer(model, 2e-2, 0.0, (0.9, 0.95))
    for _ in range(updates):
        batch, position = take(rows, position, 6, 0)
        losses.append(train_step(model, optimizer, [batch], 2e-2, 1.0).loss)
    return losses, model


names = ("", "not_shifted", "shifted_twice", "padding_learned", "bf16_logits")
curves, models = {}, {}
for name in names:
    if name:
        print(f"{name}：{TRAIN_MUTATIONS[name].text}")
    with mutated(name) if name else nullcontext():
        curves[name or "right"], models[name or "right"] = curve()

# %% 图 四种错的曲线
import matplotlib.pyplot as plt

colors = ("#3f7fbf", "#c0392b", "#d9822b", "#8e5ea2", "#3a9d5d")
said = ("对", "没有错位", "错了两位", "填充也学", "bf16 的 logits")
figure, ax = plt.subplots(figsize=(7.2, 3.2))
for shown, color, label in zip(curves.values(), colors, said, strict=True):
    ax.plot(range(1, 41), shown, color=color, label=label)
ax.axhline(floor, color="#888888", linestyle="--", label="熵")
ax.set(xlabel="更新", ylabel="nat/词元", title="每一条都往下走：训练时看见的损失")
ax.legend(ncol=2)
ax.grid(True)
figure.tight_layout()
last = {name: sum(shown[-8:]) / 8 for name, shown in curves.items()}
print("低于熵的:", [name for name, value in last.items() if value < 0.9 * floor])

# %% 检验 低于熵就是有错
assert all(abs(shown[0] - math.log(V)) < 0.2 for shown in curves.values())  # 第一个损失都像样
assert 0.95 * floor < last["right"] < 1.25 * floor
assert last["not_shifted"] < 0.1  # 照抄
assert last["padding_learned"] < 0.8 * last["right"]  # 填充太好猜，拉低了平均
assert last["shifted_twice"] > 1.1 * last["right"]  # 隔一个的更难猜，但也学得会
assert abs(last["bf16_logits"] - last["right"]) < 0.1  # 曲线看不出
torch.manual_seed(0)
noise = torch.randint(3, V, (1, 24)).tolist()[0]
few, more = pack([(noise, noise)], 24, PAD), pack([(noise, noise)], 29, PAD)  # 多填 5 列
with mutated("padding_learned"):
    wrong = data.pack([(noise, noise)], 29, PAD)
losses = [
    small()(**one.batch(torch.arange(1)), use_cache=False).loss.item() for one in (few, more, wrong)
]
assert abs(losses[0] - losses[1]) < 1e-5 and abs(losses[0] - losses[2]) > 1e-4
with mutated("shifted_twice"):
    twice = pack([data.encode_text(tokenizer, text) for text in texts], 32, PAD)
assert next_token_loss(sure, twice.labels) > 20  # 押对了下一个，却要花钱

# %% 坏 bf16 里算
import llm.model

with mutated("bf16_logits"):
    in_bf16 = llm.model.next_token_loss
scales = (0.5, 1, 2, 4, 8)
errors = {"先转成 fp32": [], "直接在 bf16 里": []}
for scale in scales:
    worst = {name: 0.0 for name in errors}
    for seed in range(4):
        torch.manual_seed(seed)
        rough = (scale * torch.randn(1, 65, 4096)).bfloat16()  # 同样的输入
        answers = torch.randint(4096, (1, 65))
        exact = F.cross_entropy(rough[0, :-1].double(), answers[0, 1:]).item()
        for name, criterion in zip(errors, (next_token_loss, in_bf16), strict=True):
            worst[name] = max(worst[name], abs(criterion(rough, answers).item() - exact))
    for name, value in worst.items():
        errors[name].append(value)
figure, ax = plt.subplots(figsize=(7.2, 2.6))
for (label, shown), color in zip(errors.items(), ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(scales, shown, "o-", color=color, label=label)
ax.set(xlabel="logits 的标准差", ylabel="与 fp64 差（nat）", xscale="log", yscale="log")
ax.set(title="同样的 bf16 logits，损失差多少")
ax.set_xticks(scales, [str(scale) for scale in scales])
ax.minorticks_off()
ax.legend()
ax.grid(True)
figure.tight_layout()
good, bad = errors.values()
print("先转成 fp32，都小于 1e-4:", max(good) < 1e-4, " 直接在 bf16 里，都大于 1e-3:", min(bad) > 1e-3)
assert max(good) < 1e-4 and min(bad) > 1e-3

# %% 坏 各批平均的平均
print(TRAIN_MUTATIONS["validation_mean_of_means"].text)
sizes = (4, 8, 16, 32, 64)
every = rows_of()
counts = (every.labels != IGNORED).sum(-1)
order = counts.argsort()[(counts == 0).sum() :: 3]  # 一个也不学的行不要：它的平均是 0 / 0
uneven = Rows(**every.batch(order))  # 由短到长：各批的词元数差得远
right = [loop.mean_loss(models["right"], uneven, size) for size in sizes]
with mutated("validation_mean_of_means"):
    wrong = [loop.mean_loss(models["right"], uneven, size) for size in sizes]
figure, ax = plt.subplots(figsize=(7.2, 2.6))
ax.plot(sizes, right, "o-", color="#3f7fbf", label="对：总和除以总数")
ax.plot(sizes, wrong, "o-", color="#d9822b", label="错：各批平均的平均")
ax.set(xlabel="一批几行", ylabel="nat/词元", xscale="log", title="同一个模型、同样的行，验证的损失")
ax.set_xticks(sizes, [str(size) for size in sizes])
ax.minorticks_off()
ax.legend()
ax.grid(True)
figure.tight_layout()
print("对的都相同:", max(right) - min(right) < 1e-6, f" 错的相差 {max(wrong) - min(wrong):.2f}")
assert max(right) - min(right) < 1e-6 and max(wrong) - min(wrong) > 0.02

# %% 坏 初始化太大
print(TRAIN_MUTATIONS["bad_init"].text)
first = {}
ids = torch.randint(3, V, (8, 32))
for name in ("right", "bad_init"):
    with mutated(name) if name != "right" else nullcontext():
        first[name] = [small(seed)(ids, labels=ids).loss.item() for seed in range(5)]
for name, values in first.items():
    above = [value - math.log(V) for value in values]
    print(f"{name}：第一个损失比 ln V 多 {min(above):.2f} 到 {max(above):.2f}")
assert max(first["right"]) < math.log(V) + 0.1 and min(first["bad_init"]) > math.log(V) + 1
