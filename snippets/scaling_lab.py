# %% [markdown]
# # 缩放小实验：四个大小、两份语料，大到哪里就不再有用
# 来源：Kaplan et al. 2020, Scaling Laws for Neural Language Models, §2.1；
# Hoffmann et al. 2022, Training Compute-Optimal Large Language Models（Chinchilla）

# %% 四个大小
from llm.lab import scaling
from llm.train.budget import budget

for C, layers in scaling.SIZES:
    config = scaling.model_config(C, layers)
    cost = budget(config, scaling.B, scaling.T)
    embedding = config.vocab_size * C
    print(f"C={C:3}，{layers} 层：{cost.parameters:8,} 个参数，词嵌入占 {embedding / cost.parameters:.0%}")
    print(f"    每个词元 {cost.flops:,} 次浮点运算，是参数个数的 {cost.flops / cost.parameters:.2f} 倍")

# %% 那一次长跑
import json
from pathlib import Path

text = (Path(scaling.__file__).parents[2] / "snippets/runs/scaling.jsonl").read_text("utf-8")
first, *looks = map(json.loads, text.splitlines())
print(first["command"])
sizes = [C for C, _ in scaling.SIZES]
amounts = sorted({look["data"] for look in looks}, reverse=True)  # 语料各有多少词元
runs = {
    (C, data): [look for look in looks if (look["C"], look["data"]) == (C, data)]
    for data in amounts
    for C in sizes
}
for (C, data), run in runs.items():
    last, best = run[-1], min(look["held_out"] for look in run)
    print(
        f"{data:7,} 个词元读 {last['seen'] / data:4.1f} 遍，{last['parameters']:7,} 个参数："
        f"训练 {last['loss']:.2f}，留出 {last['held_out']:.2f}（最好时 {best:.2f}）"
    )

# %% 图 留出的曲线
import matplotlib.pyplot as plt

colors = dict(zip(sizes, ("#9ec3e6", "#3f7fbf", "#d9822b", "#c0392b"), strict=True))
styles = dict(zip(sizes, (":", "-.", "--", "-"), strict=True))
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.0), sharey=True)
for ax, data in zip(axes, amounts, strict=True):
    for C in sizes:
        run = runs[C, data]
        ax.plot(
            [look["update"] for look in run],
            [look["held_out"] for look in run],
            styles[C],
            color=colors[C],
            label=f"{run[0]['parameters']:,} 个参数",
        )
    ax.set(xlabel="更新", title=f"语料 {data:,} 个词元")
    ax.grid(True)
axes[0].set_ylabel("留出文字，比特每字节")
axes[0].legend(fontsize=8)
figure.tight_layout()

# %% 图 同样的更新，同样的运算
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.0))
for data, style in zip(amounts, ("o-", "s--"), strict=True):
    ends = [runs[C, data][-1] for C in sizes]
    axes[0].plot(
        [end["parameters"] for end in ends],
        [end["held_out"] for end in ends],
        style,
        label=f"语料 {data:,} 个词元",
    )
axes[0].set(xscale="log", xlabel="参数个数", ylabel="留出文字，比特每字节", title="都更新 300 次")
axes[0].legend(fontsize=8)
for C in sizes:
    run = runs[C, amounts[0]]
    places, heights = [look["flops"] for look in run], [look["held_out"] for look in run]
    axes[1].plot(places, heights, styles[C], color=colors[C], label=f"{run[0]['parameters']:,}")
axes[1].set(xscale="log", xlabel="浮点运算次数", title="横着看：同样的运算")
axes[1].legend(fontsize=8, title="参数个数", title_fontsize=8)
for ax in axes:
    ax.grid(True)
figure.tight_layout()

# %% 为什么不再有用
for data in amounts:
    ends = {C: runs[C, data][-1] for C in sizes}
    for small, large in zip(sizes, sizes[1:]):
        a, b = ends[small], ends[large]
        if b["held_out"] < a["held_out"]:
            why = "更好"
        elif b["loss"] > a["loss"]:
            why = "更差，训练的损失也更高：没训够"
        else:
            why = "更差，训练的损失却更低：背下来了"
        print(f"{data:7,} 个词元，{a['parameters']:7,} → {b['parameters']:7,}：{why}")

# %% 同样的运算谁最好
for budgeted in (1e10, 5e10, 2e11, 5e11):
    reached = {}
    for C in sizes:
        enough = [look for look in runs[C, amounts[0]] if look["flops"] <= budgeted]
        if enough:
            reached[C] = enough[-1]
    best = min(reached.values(), key=lambda look: look["held_out"])
    print(f"至多 {budgeted:.0e} 次运算：{best['parameters']:,} 个参数的最好，{best['held_out']:.2f}")

# %% 检验 参数与运算次数和量出来的相等
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm import LLMForCausalLM

for C, layers in scaling.SIZES:
    config = scaling.model_config(C, layers)
    config.attention_backend = "manual"  # CPU 上 SDPA 的运算它数不到
    model = LLMForCausalLM(config)
    ids = torch.zeros(1, scaling.T, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(ids, labels=ids, use_cache=False).loss.backward()
    recorded = runs[C, amounts[0]][-1]
    assert recorded["parameters"] == sum(p.numel() for p in model.parameters())
    assert recorded["flops"] == recorded["seen"] // scaling.T * counter.get_total_flops()

# %% 检验 长跑是这一份代码的样子
assert first["command"].startswith("python -m llm.lab.scaling ")
assert {(look["C"], look["layers"]) for look in looks} == set(scaling.SIZES)
assert len(looks) == len(scaling.SIZES) * len(scaling.SHARES) * scaling.LOOKS
for run in runs.values():
    assert [look["update"] for look in run] == sorted({look["update"] for look in run})
    assert run[-1]["seen"] == scaling.UPDATES * scaling.B * scaling.T

# %% 检验 结论出自这几个数
few, many = amounts[1], amounts[0]
end = {key: run[-1]["held_out"] for key, run in runs.items()}
assert end[16, many] > end[32, many] > end[64, many]  # 语料多，大的一路好下去
assert end[128, many] > end[64, many]
assert runs[128, many][-1]["loss"] > runs[64, many][-1]["loss"]  # 最大的没训够
assert min(end[C, few] for C in sizes) == end[32, few]  # 语料少，早早到头
for C in (64, 128):
    curve = [look["held_out"] for look in runs[C, few]]
    assert curve[-1] > min(curve) + 0.1  # 降过又升：背下来了
assert runs[128, few][-1]["loss"] < runs[64, few][-1]["loss"]

# %% 坏 初始化太大，大的看着更差
from llm.lab.train_mutations import mutated
from llm.train import data as data_of
from llm.train import loop, optim

torch.manual_seed(0)
follow = torch.randint(64, (64, 2))  # 一条马尔可夫链：每个词元后面只会是两个之一
stream = [0]
for coin in torch.randint(2, (4096,)).tolist():
    stream.append(int(follow[stream[-1], coin]))
rows = data_of.pack([(stream, stream)], 32, 0)


def curve(C: int, updates: int = 30) -> list[float]:
    torch.manual_seed(0)
    config = scaling.model_config(C, 1)
    config.vocab_size = 64
    model = LLMForCausalLM(config)
    optimizer, position, losses = optim.build_optimizer(model, 1e-2, 0, (0.9, 0.95)), None, []
    for update in range(1, updates + 1):
        batch, position = data_of.take(rows, position or data_of.Position(), 16, 0)
        lr = optim.lr_at(update, updates, 1e-2, 5, 1e-3)
        losses.append(loop.train_step(model, optimizer, [batch], lr, clip=1.0).loss)
    return losses


WIDTHS = (16, 64)
right = {C: curve(C) for C in WIDTHS}
with mutated("bad_init"):
    wrong = {C: curve(C) for C in WIDTHS}
for name, curves in (("对", right), ("bad_init", wrong)):
    ends = "，".join(f"C={C} 从 {one[0]:.0f} 到 {one[-1]:.1f}" for C, one in curves.items())
    print(f"{name}：{ends}；大的更好: {curves[64][-1] < curves[16][-1]}")

# %% 图 初始化太大
figure, ax = plt.subplots(figsize=(6.4, 2.8))
for C, color in zip(WIDTHS, ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(right[C], color=color, label=f"对，C={C}")
    ax.plot(wrong[C], "--", color=color, label=f"bad_init，C={C}")
ax.axhline(torch.tensor(64.0).log(), color="#888888", linewidth=0.8, label="ln V：瞎猜")
ax.set(xlabel="更新", ylabel="损失（nat）", yscale="log", title="实线：大的更快；虚线：大的更差")
ax.legend(fontsize=8, ncols=2)
ax.grid(True)
figure.tight_layout()

# %% 检验 第一次的损失是 ln V，与大小无关
ln_v = torch.tensor(64.0).log().item()
assert all(abs(right[C][0] - ln_v) < 0.1 for C in WIDTHS)
assert all(wrong[C][0] > ln_v + 1 for C in WIDTHS) and wrong[64][0] > wrong[16][0]
