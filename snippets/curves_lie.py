# %% [markdown]
# # 曲线看不出的错：与换一个种子分不开，要靠不变量
# 来源：`llm.lab.train_mutations`

# %% 文字，与谁也低不过的损失
import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from llm import LLMConfig, LLMForCausalLM
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train import data, loop, optim
from llm.train.data import IGNORED, Batch, Encoded

V, T, UPDATES, LONGEST, SHORTEST = 64, 32, 32, 40, 4
PAD, END = 0, 1
table = 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(1))
table[:, [PAD, END]] = -torch.inf
table = table.softmax(-1)  # 一种人造的语言：看见一个词元，下一个各有多大概率


def write(count: int, seed: int) -> list[Encoded]:
    """照这种语言写 count 篇，长短均匀地取，各以结束词元收尾。"""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(2, V, (count, 1), generator=generator)
    while words.shape[1] < LONGEST:
        words = torch.cat(
            [words, torch.multinomial(table[words[:, -1]], 1, generator=generator)], dim=1
        )
    lengths = torch.randint(SHORTEST, LONGEST, (count,), generator=generator).tolist()
    cut = [row[:length] + [END] for row, length in zip(words.tolist(), lengths, strict=True)]
    return [(ids, list(ids)) for ids in cut]


def floor(documents: list[Encoded]) -> float:
    """知道这种语言的全部规则，平均每个词元还要多少 nat：谁也低不过它。"""
    costs = []
    for ids, _ in documents:
        for seen, (now, following) in enumerate(zip(ids, ids[1:], strict=False), 1):
            ends = 1 / (LONGEST - seen) if seen >= SHORTEST else 0.0  # 到这里结束的概率
            p = ends if following == END else (1 - ends) * table[now, following].item()
            costs.append(-math.log(p))
    return sum(costs) / len(costs)


documents, held = write(80, seed=1), write(41, seed=2)
print(f"{len(documents)} 篇训练，{len(held)} 篇留出")
print(f"均匀地猜 {math.log(V):.2f}，知道全部规则 {floor(held):.2f} nat / 词元")

# %% 对的训四遍，只换种子
def make(seed: int = 0) -> LLMForCausalLM:
    """一层、宽 32 的模型。"""
    torch.manual_seed(seed)
    return LLMForCausalLM(
        LLMConfig(
            vocab_size=V,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=T,
        )
    )


class Run:
    """训一遍：每次更新记下的损失，最后十次的平均，与最后的验证损失。"""

    def __init__(self, name: str, seed: int = 0) -> None:
        config = loop.TrainConfig(
            out=Path(name),
            seq_len=T,
            batch=2,
            accumulate=2,
            updates=UPDATES,
            lr=1e-2,
            least_lr=1e-3,
            warmup=4,
            validate_every=UPDATES,
            save_every=UPDATES,
            seed=seed,
            device="cpu",
        )
        rows, held_rows = (data.pack(some, T, PAD) for some in (documents, held))
        self.model = make(seed)
        with contextlib.redirect_stderr(io.StringIO()):  # 进度条不看
            loop.fit(
                config,
                self.model,
                rows,
                lambda model: {"held": loop.mean_loss(model, held_rows, 4)},
                lambda _: None,
            )
        lines = (Path(name) / "metrics.jsonl").read_text("utf-8").splitlines()
        self.losses = [json.loads(line)["loss"] for line in lines]
        self.last = sum(self.losses[-10:]) / 10
        self.held = json.loads(lines[-1])["held"]


seeds = [Run(f"seed-{seed}", seed) for seed in range(4)]
right = seeds[0]
for seed, run in enumerate(seeds):
    print(f"种子 {seed}：最后十次平均 {run.last:.3f}，留出的 {run.held:.3f}")


def spread(values: list[float]) -> float:
    """最大减最小。"""
    return max(values) - min(values)


widths = spread([run.last for run in seeds]), spread([run.held for run in seeds])
print(f"换种子的散布：{widths[0]:.3f}，留出的 {widths[1]:.3f}")

# %% 图 七个错的曲线与对的并排，第八个是看得见的
import matplotlib.pyplot as plt

HIDDEN = (
    "mean_of_means",
    "clip_before_unscale",
    "bf16_weights",
    "decay_everything",
    "positions_run_on",
    "same_order",
    "validation_mean_of_means",
)
SEEN = "not_shifted"
runs = {}
for name in (*HIDDEN, SEEN):
    with mutated(name):
        runs[name] = Run(name)
figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), width_ratios=[1.15, 1])
updates = range(1, UPDATES + 1)
low, high = (
    [choose(run.losses[n] for run in seeds) for n in range(UPDATES)] for choose in (min, max)
)
axes[0].fill_between(updates, low, high, color="#3f7fbf", alpha=0.35, label="对的，四个种子")
for name in HIDDEN:
    axes[0].plot(updates, runs[name].losses, color="#d9822b", linewidth=0.7)
axes[0].plot([], [], color="#d9822b", label="七个错")
axes[0].plot(updates, runs[SEEN].losses, color="#8b6bb1", linestyle="--", label=SEEN)
axes[0].axhline(floor(documents), color="#808080", linestyle=":", label="谁也低不过")
axes[0].set(title="记下的损失", xlabel="更新", ylabel="nat / 词元", ylim=(2, 4.4))
axes[0].legend(fontsize=7)
for y, name in enumerate(HIDDEN):
    axes[1].plot(runs[name].last - right.last, y, "o", color="#d9822b")
    axes[1].plot(runs[name].held - right.held, y, "o", color="#d9822b", fillstyle="none")
for seed, run in enumerate(seeds[1:], 1):
    axes[1].plot(run.last - right.last, -seed, "o", color="#3f7fbf")
    axes[1].plot(run.held - right.held, -seed, "o", color="#3f7fbf", fillstyle="none")
axes[1].axvline(0, color="#808080", linewidth=0.8)
labels = {-seed: f"种子 {seed}" for seed in (1, 2, 3)} | dict(enumerate(HIDDEN))
axes[1].set_yticks(list(labels), list(labels.values()), fontsize=7)
axes[1].set(title="比对的多多少（空心是留出的）", xlabel="nat / 词元")
for ax in axes:
    ax.grid(True)
figure.tight_layout()

# %% 不变量
def micro_batches() -> list[Batch]:
    """两个小批，要学的词元数差得远。"""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(2, V, (2, 3, 12), generator=generator)
    labels = ids.clone()
    labels[1, :, 4:] = IGNORED
    places = torch.arange(12).expand(3, -1)
    return [
        {"input_ids": one, "labels": kept, "position_ids": places}
        for one, kept in zip(ids, labels, strict=True)
    ]


def used(batches: list[Batch], clip: float) -> Tensor:
    """一次更新真正用了的梯度 (N,)：学习率是 1 的 SGD 走了多远。"""
    model = make()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    loop.train_step(model, torch.optim.SGD(model.parameters()), batches, 1.0, clip)
    return before - torch.cat([p.detach().flatten() for p in model.parameters()])


def accumulated_equals_one_batch() -> float:
    """两个小批的梯度与合成一批的，差多少（相对）。"""
    apart = micro_batches()
    whole = used([{name: torch.cat([b[name] for b in apart]) for name in apart[0]}], 1e9)
    return ((used(apart, 1e9) - whole).norm() / whole.norm()).item()


def clipped_norm_is_the_limit() -> float:
    """裁剪到 0.1，用了的梯度的范数离 0.1 差几成。"""
    return abs(used(micro_batches(), 0.1).norm().item() / 0.1 - 1)


def small_updates_add_up() -> float:
    """权重从 1 起，走十次 0.001，离该到的地方差几成。"""
    model = make()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
            p.register_hook(torch.ones_like)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for _ in range(10):
        loop.train_step(model, optimizer, micro_batches()[1:], 1e-3, 1e9)
    return abs((1 - model.lm_head.weight).mean().item() / 0.01 - 1)


def norms_do_not_decay() -> float:
    """梯度全是 0 的一步，归一化的权重动了多少。"""
    model = make()
    optimizer = optim.build_optimizer(model, 0.1, 0.1, (0.9, 0.95))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    return (model.model.norm.weight - 1).abs().max().item()


def packed_equals_separate() -> float:
    """训好的模型，打包的 logits 与一篇一篇算的最多差多少。"""
    some = sorted(held, key=lambda one: len(one[0]))[:3]  # 最短的三篇，一行放得下
    row = data.pack(some, T, PAD).batch(torch.arange(1))
    with torch.no_grad():
        packed = right.model(row["input_ids"], position_ids=row["position_ids"]).logits[0]
        together = torch.cat([right.model(torch.tensor([ids])).logits[0] for ids, _ in some])
    return (packed[: len(together)] - together).abs().max().item()


def epochs_differ() -> float:
    """第二遍里有几成的行与第一遍在同一个地方（减去碰巧的）。"""
    first, second = (data._order(100, seed) for seed in (0, 1))
    return max(0.0, (first == second).float().mean().item() - 0.05)


def validation_ignores_batch_size() -> float:
    """一篇一行、长短不一，一批 1 行与一批 100 行，验证损失差多少。"""
    fitting = [data.pack([one], T, PAD) for one in held if len(one[0]) <= T]
    rows = data.Rows(*(torch.cat([vars(row)[key] for row in fitting]) for key in vars(fitting[0])))
    return abs(loop.mean_loss(right.model, rows, 1) - loop.mean_loss(right.model, rows, 100))


def noise_cannot_be_learned() -> float:
    """每一批都是新的均匀噪声，训 30 次，最后五次比均匀地猜低多少（减去碰巧的）。"""
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator, losses = torch.Generator().manual_seed(4), []
    for _ in range(30):
        ids = torch.randint(2, V, (8, 16), generator=generator)
        batch = {"input_ids": ids, "labels": ids}
        losses.append(loop.train_step(model, optimizer, [batch], 1e-2, 1.0).loss)
    return max(0.0, math.log(V - 2) - sum(losses[-5:]) / 5 - 0.05)


CHECKS: dict[str, Callable[[], float]] = {
    "mean_of_means": accumulated_equals_one_batch,
    "clip_before_unscale": clipped_norm_is_the_limit,
    "bf16_weights": small_updates_add_up,
    "decay_everything": norms_do_not_decay,
    "positions_run_on": packed_equals_separate,
    "same_order": epochs_differ,
    "validation_mean_of_means": validation_ignores_batch_size,
    "not_shifted": noise_cannot_be_learned,
}
measured = {}
for name, check in CHECKS.items():
    good = check()
    with mutated(name):
        measured[name] = good, check()


def shown(value: float) -> str:
    """不到千分之一的算 0。"""
    return "0" if value < 1e-3 else f"{value:.3f}"


print("不变量：对的 → 错的")
for name, (good, bad) in measured.items():
    print(f"    {CHECKS[name].__name__}：{shown(good)} → {shown(bad)}")

# %% 检验 七个错都在换种子的散布之内
for name in HIDDEN:
    assert abs(runs[name].last - right.last) < widths[0]
    if name != "validation_mean_of_means":
        assert abs(runs[name].held - right.held) < widths[1]
assert runs["validation_mean_of_means"].losses == right.losses  # 训练一模一样，只是验证记错了
assert all(a != b for a, b in zip(seeds[1].losses, right.losses, strict=True))

# %% 检验 每条不变量在对的上成立，在错的上不成立
for name, check in CHECKS.items():
    good, bad = measured[name]
    assert good < 1e-3 and bad > 5e-3
    assert TRAIN_MUTATIONS[name].invariant == check.__name__
assert accumulated_equals_one_batch() == measured["mean_of_means"][0]  # 出了 with 又是对的

# %% 检验 曲线低过了谁也低不过的
assert right.held > floor(held) and min(right.losses) > 0.9 * floor(documents)
assert runs[SEEN].last < 0.5 * floor(documents)  # 好得不可能：答案漏进了输入
assert runs[SEEN].held > math.log(V)  # 留出的用对的算法验证，比均匀地猜还差
counts, costs = 0, 0.0
for ids, _ in held:  # 逐篇手算的验证损失，与打包的差在被行尾切开的几篇
    with torch.no_grad():
        log_p = right.model(torch.tensor([ids[:T]])).logits[0].double().log_softmax(-1)
    costs -= log_p[:-1].gather(-1, torch.tensor(ids[1:T])[:, None]).sum().item()
    counts += len(ids[:T]) - 1
assert abs(costs / counts - right.held) < 0.1

# %% 检验 没有这个错就说没有
try:
    with mutated("mean_of_mean"):
        pass
except ValueError as error:
    print(str(error).partition("；")[0])
else:
    raise AssertionError("没有这个名字，应当拒绝")

# %% 坏 曲线说没事
for name, run in runs.items():
    print(TRAIN_MUTATIONS[name].text)
    print(f"    损失多 {run.last - right.last:+.3f}，留出的多 {run.held - right.held:+.3f}")
