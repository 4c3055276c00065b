# %% [markdown]
# # ForCausalLM：隐藏状态变成词表上的分数，再变成损失
# 来源：Vaswani et al. 2017, §3.4；transformers 文档 *Causal language modeling*

# %% 从隐藏状态到 logits
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from llm import LLMConfig, LLMForCausalLM
from llm.loss import next_token_loss

torch.set_printoptions(precision=3, sci_mode=False)
SHAPE = {
    "vocab_size": 16,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
torch.manual_seed(0)
model = LLMForCausalLM(LLMConfig(**SHAPE))
ids = torch.randint(16, (2, 6))  # (B, T)
hidden = model.model(ids).last_hidden_state  # (B, T, C)
logits = model.lm_head(hidden)  # (B, T, V)
print("隐藏状态:", tuple(hidden.shape), " lm_head.weight:", tuple(model.lm_head.weight.shape))
print("logits:  ", tuple(logits.shape))
print("与 model(ids).logits 相同:", logits.equal(model(ids).logits))

# %% 装在什么里面
out = model(ids, labels=ids)
print(type(out).__name__, list(out.keys()))
print("有 labels，out[0] 是 loss:  ", out[0] is out.loss)
plain = model(ids)
print("没有 labels，out[0] 是 logits:", plain[0] is plain.logits, " loss:", plain.loss)

# %% 错一位
text = torch.tensor([[5, 9, 2, 7]])
for t in range(4):
    seen = text[0, : t + 1].tolist()
    answer = text[0, t + 1].item() if t < 3 else "没有答案，填 -100，不计"
    print(f"位置 {t}：看见 {seen!s:13} 应答 {answer}")

# %% 手算损失
with torch.no_grad():
    scores = model(text).logits.double()  # (1, 4, V)
    terms = []
    for t in range(3):
        row = scores[0, t]
        probability = row[text[0, t + 1]].exp() / row.exp().sum()
        terms.append(-probability.log())
    print("每个位置:", torch.stack(terms))
    print(f"手算 {torch.stack(terms).mean():.5f}  模型 {model(text, labels=text).loss:.5f}")
    print(f"瞎猜 ln 16 = {torch.tensor(16.0).log():.5f}")

# %% 绑定
with torch.device("meta"):  # 只数参数，不占内存
    free = LLMForCausalLM(LLMConfig())
    tied = LLMForCausalLM(LLMConfig(tie_word_embeddings=True))
for name, each in {"各自一份": free, "绑定": tied}.items():
    total = sum(parameter.numel() for parameter in each.parameters())
    print(f"{name}: {total:,}", each.lm_head.weight is each.model.embed_tokens.weight)
print(f"省下 V·C = {6400 * 512:,}")

# %% 只算末尾
from torch.utils.flop_counter import FlopCounterMode

last = model(ids, logits_to_keep=1).logits
print("全部:", tuple(logits.shape), " 末尾一个:", tuple(last.shape))
torch.testing.assert_close(last, logits[:, -1:])
counts = []
for keep in (0, 1):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids, logits_to_keep=keep)
    counts.append(counter.get_flop_counts())
for path in ("model", "lm_head"):
    every, one = (sum(count[f"LLMForCausalLM.{path}"].values()) for count in counts)
    print(f"{path:8}{every:8,} → {one:7,} 次运算")  # 主体一次不少，省下的只是头
gigabytes = 8192 * 151_936 * 4 / 2**30
print(f"词表 151,936、8,192 个位置的 logits，fp32: {gigabytes:.1f} GiB")

# %% 困惑度
with torch.no_grad():
    loss = model(ids, labels=ids).loss
print(f"损失 {loss:.4f}  困惑度 exp(损失) = {loss.exp():.2f}，词表 16")
print("每个答案的概率都是 1/16:", next_token_loss(torch.zeros(2, 6, 16), ids).exp())
batches = {"10 个词元": (10, 1.0), "1,000 个词元": (1000, 3.0)}  # 计入的个数，各自的平均损失
total = sum(count * mean for count, mean in batches.values())
whole = torch.tensor(total / sum(count for count, _ in batches.values()))
apart = torch.tensor([mean for _, mean in batches.values()]).exp().mean()
print(f"先按词元合并损失，再取 exp: {whole.exp():.2f}  各自的困惑度再平均: {apart:.2f}")
for V, width in ((256, 1), (65_536, 2)):  # 一个词元一个字节，或两个字节；都均匀地猜
    guess = next_token_loss(torch.zeros(1, 9, V), torch.zeros(1, 9, dtype=torch.long))
    bits = guess / torch.tensor(2.0).log() / width
    print(f"V = {V:,}：困惑度 {guess.exp():,.0f}  每个字节 {bits:.2f} 比特")

# %% 图
import matplotlib.pyplot as plt


def train(
    model: LLMForCausalLM,
    ids: Tensor,
    criterion: Callable[[Tensor, Tensor], Tensor] = next_token_loss,
    steps: int = 60,
) -> float:
    """反复学同一句，返回最后的损失。"""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = criterion(model(ids).logits, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


sentence = torch.randperm(16)[None, :12]  # (1, T)，每个词元只出现一次
learner = LLMForCausalLM(LLMConfig(**SHAPE))
panels = {"训练之前": learner(sentence).logits.softmax(-1).detach()}
learned = train(learner, sentence)
panels["训练 60 步之后"] = learner(sentence).logits.softmax(-1).detach()
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
for ax, (title, shown) in zip(axes, panels.items(), strict=True):
    ax.imshow(shown[0], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.plot(sentence[0, 1:], range(11), "o", color="#d9822b", fillstyle="none")
    ax.set(title=title, xlabel="词表 V", xticks=range(0, 16, 3), yticks=range(12))
axes[0].set_ylabel("位置 T")
figure.suptitle("圆圈 = 下一个词元", fontsize=10)
figure.tight_layout()
figure.set_label(
    "两张热图，横轴词表、纵轴位置，圆圈是下一个词元：训练之前概率到处一样浅；"
    "训练 60 步之后，每个有圆圈的位置，概率都集中在圆圈那一格"
)
print("最后的损失小于 0.1:", learned < 0.1)

# %% 检验 与内建、transformers 相同
from transformers import LlamaConfig, LlamaForCausalLM

theirs = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
theirs.load_state_dict(model.state_dict(), strict=True)
labels = ids.clone()
labels[0, :2] = -100  # 例如提示部分不算损失
got = model(ids, labels=labels).loss
torch.testing.assert_close(got, theirs(ids, labels=labels).loss)
builtin = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
torch.testing.assert_close(got, builtin)
torch.testing.assert_close(torch.stack(terms).mean().float(), model(text, labels=text).loss)

# %% 检验 瞎猜的损失
flat = torch.zeros(2, 5, 16)
torch.testing.assert_close(
    next_token_loss(flat, torch.randint(16, (2, 5))), torch.tensor(16.0).log()
)
certain = F.one_hot(text, 16).float().roll(-1, dims=1) * 100.0  # 每个位置都押对下一个
assert next_token_loss(certain, text) < 1e-6
for C in (64, 512):  # logits 的标准差约 0.02 √C，损失平均多出它的平方的一半
    extra = []
    for seed in range(8):
        torch.manual_seed(seed)
        fresh = LLMForCausalLM(LLMConfig(**{**SHAPE, "vocab_size": 1000, "hidden_size": C}))
        random = torch.randint(1000, (8, 32))
        with torch.no_grad():
            first_loss = fresh(random, labels=random).loss
        extra.append((first_loss - torch.tensor(1000.0).log()).item())
    print(
        f"C = {C}，8 个种子，第一个损失比 ln 1000 多: {min(extra):.3f} 到 {max(extra):.3f}", end=""
    )
    print(f"，平均 {sum(extra) / 8:.3f}，σ²C/2 = {0.02**2 * C / 2:.3f}")
    assert abs(sum(extra) / 8 - 0.02**2 * C / 2) < 0.03

# %% 检验 越宽，第一个损失越高
for C in (64, 512, 2048):
    extra, guessed = [], 0.02**2 * C / 2  # 分数的方差是 0.02² · C
    for seed in range(4):
        torch.manual_seed(seed)
        shape = {**SHAPE, "vocab_size": 1000, "hidden_size": C, "max_position_embeddings": 128}
        random = torch.randint(1000, (4, 128))
        with torch.no_grad():
            first = LLMForCausalLM(LLMConfig(**shape))(random, labels=random).loss
        extra.append(first.item() - torch.tensor(1000.0).log().item())
    print(f"C = {C:4}：比 ln V 多 {min(extra):.2f} 到 {max(extra):.2f}，σ²/2 = {guessed:.2f}")
    assert abs(sum(extra) / 4 - guessed) < 0.1

# %% 检验 损失在 fp32 里算
errors = {"转成 fp32": [], "全程 bf16": []}
for seed in range(8):
    torch.manual_seed(seed)
    rough, answer = (2 * torch.randn(1, 33, 6400)).bfloat16(), torch.randint(6400, (1, 33))
    exact = F.cross_entropy(rough[0, :-1].double(), answer[0, 1:])
    inside = F.cross_entropy(rough[0, :-1], answer[0, 1:])
    for name, each in zip(errors, (next_token_loss(rough, answer), inside), strict=True):
        errors[name].append((each.double() - exact).abs().item())
for name, each in errors.items():
    print(f"{name}，与 fp64 最多差 {max(each):.0e}")
assert max(errors["转成 fp32"]) < 1e-5 < 1e-2 < max(errors["全程 bf16"])

# %% 检验 不计的位置
graded = logits.detach().requires_grad_(True)
next_token_loss(graded, labels).backward()
silent = (graded.grad == 0).all(-1)  # (B, T)
print(silent.int())  # 1 = 没有梯度：位置 t 看的是 t+1 的标签；最后一个位置没有答案
expected = torch.zeros(2, 6, dtype=torch.bool)
expected[0, 0] = expected[:, -1] = True
assert silent.equal(expected)
nothing = model(ids, labels=torch.full((2, 6), -100)).loss  # 一个都不计
nothing.backward()  # 是 0，带着图：换成 0 / 0，一个全是提示的小批就把 NaN 送进所有参数
assert nothing == 0 and all((p.grad == 0).all() for p in model.parameters())
assert F.cross_entropy(flat[0], torch.full((5,), -100)).isnan()  # 内建的 mean 正是 0 / 0

# %% 检验 按词元数合并
short, long = labels[:1], labels[1:]  # 前者 4 个答案，后者 5 个
items = (labels[:, 1:] != -100).sum()
parts = [next_token_loss(logits[:1], short, items), next_token_loss(logits[1:], long, items)]
torch.testing.assert_close(sum(parts), got)
means = [next_token_loss(logits[:1], short), next_token_loss(logits[1:], long)]
assert not torch.isclose(sum(means) / 2, got, rtol=1e-4)  # 平均的平均不是平均

# %% 检验 绑定之后梯度相加
pair = [LLMForCausalLM(LLMConfig(**SHAPE, tie_word_embeddings=flag)) for flag in (False, True)]
pair[0].load_state_dict(pair[1].state_dict(), strict=True)  # 同样的数，但各存一份
for each in pair:
    each(ids, labels=ids).loss.backward()
apart, together = pair
assert together.lm_head.weight is together.model.embed_tokens.weight
torch.testing.assert_close(
    together.lm_head.weight.grad, apart.lm_head.weight.grad + apart.model.embed_tokens.weight.grad
)

# %% 检验 存下的只有一份
from pathlib import Path

from transformers import logging

logging.disable_progress_bar()
for folder, each in {"apart": apart, "together": together}.items():
    each.save_pretrained(folder)
sizes = [Path(folder, "model.safetensors").stat().st_size for folder in ("apart", "together")]
saved = sizes[0] - sizes[1]  # 少存一个 (V, C) 的矩阵，外加它在文件头里的那一行
assert 16 * 32 * 4 <= saved < 16 * 32 * 4 + 200
back = LLMForCausalLM.from_pretrained("together")
assert back.lm_head.weight is back.model.embed_tokens.weight  # 读回来又绑上了
torch.testing.assert_close(back(ids).logits, together(ids).logits, rtol=0, atol=0)

# %% 检验 形状不对就报错
try:
    model(ids, labels=ids, logits_to_keep=1)
except ValueError as error:
    print(error)
else:
    raise AssertionError("labels 与 logits 不对齐，应当报错")

# %% 第一个损失看不出泄漏
wide = {**SHAPE, "vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 2}


def unshifted(logits: Tensor, labels: Tensor) -> Tensor:
    """错：每个位置的答案就是它自己，忘了错一位。"""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def spread(values: list[float]) -> str:
    """最小与最大。"""
    return f"{min(values):.2f} 到 {max(values):.2f}"


print(f"ln 1000 = {torch.tensor(1000.0).log():.2f}；8 个种子的第一个损失:")
for name, flag in {"各自一份": False, "绑定": True}.items():
    first = {"错开一位（对）": [], "忘了错位": []}
    for seed in range(8):
        torch.manual_seed(seed)
        fresh = LLMForCausalLM(LLMConfig(**wide, tie_word_embeddings=flag))
        random = torch.randint(1000, (4, 32))
        with torch.no_grad():
            scores = fresh(random).logits
        first["错开一位（对）"].append(next_token_loss(scores, random).item())
        first["忘了错位"].append(unshifted(scores, random).item())
    for loss_name, values in first.items():
        print(f"{name}，{loss_name}: {spread(values)}")


# %% 检验 新鲜的随机词元学不会
def play(seed: int, criterion: Callable[[Tensor, Tensor], Tensor], steps: int = 60) -> float:
    """每步都抽新的均匀随机词元，返回最后的损失；没有规律可学，谁也不该低于 ln V。"""
    torch.manual_seed(seed)
    model = LLMForCausalLM(LLMConfig(**SHAPE))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        fresh = torch.randint(16, (16, 16))
        optimizer.zero_grad()
        loss = criterion(model(fresh).logits, fresh)
        loss.backward()
        optimizer.step()
    return loss.item()


honest = [play(seed, next_token_loss) for seed in range(5)]
leaking = [play(seed, unshifted) for seed in range(5)]
print(f"ln 16 = {torch.tensor(16.0).log():.2f}；60 步之后，5 个种子:")
print("错开一位（对）:", spread(honest))
print("忘了错位:      ", spread(leaking))
assert min(honest) > 2.7 and max(leaking) < 0.5

# %% 坏 忘了错位
copier = LLMForCausalLM(LLMConfig(**SHAPE))
loss = train(copier, sentence, unshifted)
guess = copier(sentence).logits.argmax(-1)  # (1, T)
print("损失小于 0.1:", loss < 0.1)
print("输入:", sentence[0].tolist())
print("预测:", guess[0].tolist())  # 学会的是照抄
print("真正的下一个词元，损失大于 1:", copier(sentence, labels=sentence).loss.item() > 1)
assert guess.equal(sentence)

# %% 坏 错了两位
shifted = F.pad(sentence[:, 1:], (0, 1), value=-100)  # 自己先移了一位，模型里又移一位
print("labels=ids，损失小于 0.1:   ", learner(sentence, labels=sentence).loss.item() < 0.1)
print("labels 先移过，损失大于 1:  ", learner(sentence, labels=shifted).loss.item() > 1)
double = LLMForCausalLM(LLMConfig(**SHAPE))
optimizer = torch.optim.AdamW(double.parameters(), lr=1e-2)
for _ in range(60):
    optimizer.zero_grad()
    double(sentence, labels=shifted).loss.backward()
    optimizer.step()
print("句子:", sentence[0].tolist())
print("预测:", double(sentence).logits.argmax(-1)[0, :-2].tolist())  # 隔着一个
assert double(sentence).logits.argmax(-1)[0, :-2].equal(sentence[0, 2:])

# %% 坏 填充也算了损失
padded = F.pad(sentence, (0, 6), value=0)  # 右边补 6 个 0
right = padded.clone()
right[:, 12:] = -100
with torch.no_grad():
    ignored = learner(padded, labels=right).loss
    counted = learner(padded, labels=padded).loss
print("填充写成 -100，损失小于 0.1:", ignored.item() < 0.1)
print("填充照算，损失大于 1:       ", counted.item() > 1)
torch.testing.assert_close(ignored, learner(sentence, labels=sentence).loss)
