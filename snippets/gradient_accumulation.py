# %% [markdown]
# # 梯度累积：先数清全部小批的词元，各小批的损失都除以这个总数
# 来源：transformers 的 `Trainer`（`num_items_in_batch`）；
# Pascanu et al. 2013, On the difficulty of training recurrent neural networks, §3.2（裁剪）

# %% 长短不一的小批
import torch
from torch import Tensor

from llm import LLMConfig, LLMForCausalLM
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train import loop
from llm.train.data import IGNORED, Batch, Encoded, Rows, pack
from llm.train.optim import build_optimizer, lr_at

V, T, PAD, END = 64, 32, 0, 1
LONG, SHORT = 31, 6  # 两种文字各长多少，不算结束


def write(language: int, count: int, length: int, seed: int) -> list[Encoded]:
    """照一种人造的语言（看见一个词元，下一个各有多大概率）写 count 篇，各以结束词元收尾。"""
    table = 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(language))
    table[:, [PAD, END]] = -torch.inf
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(2, V, (count, 1), generator=generator)
    while words.shape[1] < length:
        following = table.softmax(-1)[words[:, -1]]  # (count, V)
        words = torch.cat([words, torch.multinomial(following, 1, generator=generator)], dim=1)
    return [([*one, END], [*one, END]) for one in words.tolist()]


def one_a_row(documents: list[Encoded]) -> Rows:
    """一篇一行，不满的填上：按长短分组取数据时就是这样。"""
    rows = [pack([document], T, PAD) for document in documents]
    return Rows(*(torch.cat([vars(row)[name] for row in rows]) for name in vars(rows[0])))


def make() -> LLMForCausalLM:
    """一层、宽 32 的模型，权重每次都相同。"""
    torch.manual_seed(0)
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


def joined(batches: list[Batch]) -> Batch:
    """几个小批合成一整批。"""
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


long_rows = one_a_row(write(1, 200, LONG, seed=1))
short_rows = one_a_row(write(2, 200, SHORT, seed=2))
batches = [rows.batch(torch.arange(4)) for rows in (long_rows, short_rows)]
counts = [loop.count_tokens([batch]) for batch in batches]
for batch, count in zip(batches, counts, strict=True):
    print(f"一个小批 {tuple(batch['input_ids'].shape)}，要学的词元 {count} 个")
print("两个小批一共", loop.count_tokens(batches), "个")

# %% 三种除法，各得到什么梯度
NO_CLIP = 1e9


def update(batches: list[Batch], clip: float = NO_CLIP) -> tuple[Tensor, loop.Step]:
    """一次更新真正用了的梯度 (N,)：学习率是 1 的 SGD 走了多远；与记下的指标。"""
    model = make()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    step = loop.train_step(model, torch.optim.SGD(model.parameters()), batches, 1.0, clip)
    return before - torch.cat([p.detach().flatten() for p in model.parameters()]), step


def apart(a: Tensor, b: Tensor) -> float:
    """a 与 b 差多少，相对于 b 的长度。"""
    return ((a - b).norm() / b.norm()).item()


whole, whole_step = update([joined(batches)])
right, right_step = update(batches)
print(f"一整批：损失 {whole_step.loss:.3f}，梯度的范数 {whole_step.norm:.3f}")
print(f"两个小批：损失 {right_step.loss:.3f}，梯度的相对误差小于 1e-5：{apart(right, whole) < 1e-5}")
wrong = {}
for name in ("mean_of_means", "undivided"):
    with mutated(name):
        wrong[name], step = update(batches)
    print(f"{name}：记下的损失 {step.loss:.3f}，梯度的相对误差 {apart(wrong[name], whole):.2f}")

# %% 一个词元的分量
total = sum(counts)
for label, count in zip(("长的", "短的"), counts, strict=True):
    mean = 1 / (len(counts) * count)
    print(
        f"{label}小批里的一个词元：对的是 1/{total} = {1 / total:.4f}，"
        f"平均的平均是 1/({len(counts)}×{count}) = {mean:.4f}"
    )
print(f"于是短的一个词元，顶长的 {counts[0] / counts[1]:.1f} 个")

# %% 打包之后差多少
both = zip(write(1, 20, LONG, seed=6), write(2, 20, SHORT, seed=7), strict=True)
mixed = [document for pair in both for document in pair]
packed = pack(mixed, T, PAD)
halves = [packed.batch(rows) for rows in torch.arange(8).split(4)]
print("打包的两个小批，要学的词元:", [loop.count_tokens([piece]) for piece in halves])
with mutated("mean_of_means"):
    gap = apart(update(halves)[0], update([joined(halves)])[0])
print(f"平均的平均，梯度的相对误差 {gap:.4f}")

# %% 裁剪一次，还是每个小批裁剪一次
LIMIT = 0.1
alone = []
for batch in batches:
    model = make()
    model(**batch, num_items_in_batch=total, use_cache=False).loss.backward()
    alone.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
print("两个小批各自的梯度，范数:", [round(g.norm().item(), 3) for g in alone])
once, _ = update(batches, LIMIT)
with mutated("clip_each"):
    each, step = update(batches, LIMIT)
cosine = torch.nn.functional.cosine_similarity
for label, used in (("裁剪一次", once), ("每个小批裁剪一次", each)):
    along = cosine(used, whole, dim=0).item()
    print(f"{label}：用了的梯度，范数 {used.norm():.3f}，与一整批的夹角余弦 {along:.3f}")
print(f"裁剪一次，记下的范数 {right_step.norm:.3f}；每个小批裁剪一次，记下的 {step.norm:.3f}")

# %% 累积不占激活
from llm.train.budget import budget


def kept_bytes(rows: int) -> int:
    """一次前向为反向存下的字节数，权重不算；同一块内存只算一次。"""
    model, kept = make(), {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = model(**long_rows.batch(torch.arange(rows)), use_cache=False).loss
    assert loss.requires_grad  # 图还留着，存下的都在
    return sum(size for place, size in kept.items() if place not in weights)


large, small = kept_bytes(32), kept_bytes(4)
estimate = [budget(make().config, rows, T).activations for rows in (32, 4)]
print(f"一批 32 行为反向存下的，是一批 4 行的 {large / small:.1f} 倍")
print(f"budget 估的也是 {estimate[0] / estimate[1]:.1f} 倍，而且是下界：{estimate[0] < large}")

# %% 图 记下的损失与各种文字上的验证损失
import matplotlib.pyplot as plt

UPDATES, EVERY, LR, CLIP = 45, 5, 6e-3, 0.25
held = {
    "长文": one_a_row(write(1, 40, LONG, seed=3)),
    "短文": one_a_row(write(2, 40, SHORT, seed=4)),
}


def train(
    clip: float, first: Rows, second: Rows, updates: int = UPDATES
) -> dict[str, list[float]]:
    """每次更新两处各取一个小批；每 5 次在两种留出的文字上各验证一次。"""
    model = make().train()
    optimizer = build_optimizer(model, LR, 0.1, (0.9, 0.95))
    seen: dict[str, list[float]] = {"损失": [], "范数": [], **{name: [] for name in held}}
    generator = torch.Generator().manual_seed(5)
    for n in range(1, updates + 1):
        chosen = torch.randint(200, (2, 4), generator=generator)
        given = [first.batch(chosen[0]), second.batch(chosen[1])]
        step = loop.train_step(model, optimizer, given, lr_at(n, updates, LR, 6), clip)
        seen["损失"].append(step.loss)
        seen["范数"].append(step.norm)
        if n % EVERY == 0:
            for name, rows in held.items():
                seen[name].append(loop.mean_loss(model, rows, 40))
    return seen


runs = {"对的": train(CLIP, long_rows, short_rows)}
for name in ("mean_of_means", "undivided", "clip_each"):
    with mutated(name):
        runs[name] = train(CLIP, long_rows, short_rows)
colors = ("#3f7fbf", "#d9822b", "#8b6bb1", "#808080")
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9))
for (label, seen), color in zip(runs.items(), colors, strict=True):
    style = {"color": color, "label": label, "linestyle": "-" if label == "对的" else "--"}
    axes[0].plot(range(1, UPDATES + 1), seen["损失"], **style)
    for ax, name in zip(axes[1:], held, strict=True):
        ax.plot(range(EVERY, UPDATES + 1, EVERY), seen[name], **style)
axes[0].set(title="记下的损失", xlabel="更新", ylabel="nat / 词元")
for ax, name in zip(axes[1:], held, strict=True):
    ax.set(title=f"留出的{name}", xlabel="更新")
for ax in axes:
    ax.grid(True)
axes[0].legend(fontsize=7)
figure.tight_layout()
for label, seen in runs.items():
    print(f"{label:13} 最后：长文 {seen['长文'][-1]:.2f}，短文 {seen['短文'][-1]:.2f}")

# %% 检验 怎么切都与一整批相等
sixteen = [long_rows.batch(torch.arange(8)), short_rows.batch(torch.arange(8))]
sixteen = joined(sixteen)
order = torch.arange(16).view(2, 8).t().flatten()  # 长短相间
sixteen = {name: tensor[order] for name, tensor in sixteen.items()}


def after(pieces: int, clip: float) -> tuple[Tensor, list[float]]:
    """同样的 16 行切成几个小批，AdamW 走两次之后的参数，与各次的范数。"""
    model = make()
    optimizer = build_optimizer(model, 1e-2, 0.1, (0.9, 0.95))
    parts = [
        {name: tensor[rows] for name, tensor in sixteen.items()}
        for rows in torch.arange(16).chunk(pieces)
    ]
    norms = [loop.train_step(model, optimizer, parts, 1e-2, clip).norm for _ in range(2)]
    return torch.cat([p.detach().flatten() for p in model.parameters()]), norms


for clip in (0.2, NO_CLIP):
    expected, norms = after(1, clip)
    assert (max(norms) > clip) == (clip == 0.2)  # 裁剪真的起了作用，或真的没有
    for pieces in (2, 4, 16):
        torch.testing.assert_close(after(pieces, clip)[0], expected, rtol=0, atol=2e-5)
with mutated("mean_of_means"):
    assert (after(16, NO_CLIP)[0] - expected).abs().max() > 1e-3

# %% 检验 与照定义手算的相等
model = make().double()
costs = []
for batch in batches:
    logits = model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    for row, labels in zip(logits, batch["labels"].tolist(), strict=True):
        for t, label in enumerate(labels[1:]):
            if label != IGNORED:
                costs.append(row[t].logsumexp(-1) - row[t, label])
assert len(costs) == total == right_step.tokens == 4 * (LONG + SHORT)  # 每篇的头一个不计
assert loop.count_tokens([{"labels": torch.ones(2, 5)}]) == 2 * 4  # 没有标成 -100 的也不计
loss = torch.stack(costs).sum() / len(costs)
loss.backward()
by_hand = torch.cat([p.grad.flatten() for p in model.parameters()]).float()
torch.testing.assert_close(right, by_hand, rtol=1e-3, atol=1e-6)
assert abs(loss.item() - right_step.loss) < 1e-5
assert isinstance(right_step.norm, float) and abs(by_hand.norm().item() - right_step.norm) < 1e-5
own = make()(**batches[1], use_cache=False).loss.item()  # 不给总数，就是这一批自己的平均
assert abs(own - sum(map(float, costs[counts[0] :])) / counts[1]) < 1e-5

# %% 检验 错的各等于什么
torch.testing.assert_close(alone[0] + alone[1], right, rtol=1e-3, atol=1e-6)
means = [gradient * total / count for gradient, count in zip(alone, counts, strict=True)]
torch.testing.assert_close(wrong["mean_of_means"], sum(means) / 2, rtol=1e-3, atol=1e-6)
torch.testing.assert_close(wrong["undivided"], sum(means), rtol=1e-3, atol=1e-6)
same = [long_rows.batch(torch.arange(n, n + 4)) for n in (0, 4)]  # 词元数相等时就没有错
with mutated("mean_of_means"):
    torch.testing.assert_close(update(same)[0], update([joined(same)])[0], rtol=1e-3, atol=1e-6)
assert 1e-4 < gap < 0.05  # 打包的差得少，也不是零
assert cosine(once, whole, dim=0) > 0.9999 and abs(once.norm() - LIMIT) < 1e-5
assert cosine(each, whole, dim=0) < 0.999

# %% 检验 一个要学的词元也没有的小批
empty = {**batches[0], "labels": torch.full_like(batches[0]["labels"], IGNORED)}
torch.testing.assert_close(update([*batches, empty])[0], right)  # 加上它，什么也不变
with mutated("mean_of_means"):
    assert apart(update([*batches, empty])[0], wrong["mean_of_means"]) > 0.3  # 缩成三分之二
assert update([empty])[1] == loop.Step(0.0, 0.0, 0)  # 全都没有：0，不是 NaN

# %% 检验 更新完就清掉，不是有限的数就不更新
model = make()
loop.train_step(model, build_optimizer(model, 1e-2, 0.1, (0.9, 0.95)), batches, 1e-2, 1.0)
assert all(p.grad is None for p in model.parameters())  # 更新完就清掉，不带进下一次
before = [p.detach().clone() for p in model.parameters()]
model.lm_head.weight.register_hook(lambda gradient: gradient * float("nan"))
try:
    loop.train_step(model, build_optimizer(model, 1e-2, 0.1, (0.9, 0.95)), batches, 1e-2, 1.0)
except loop.NonFinite as error:
    print(error)
else:
    raise AssertionError("梯度里有 NaN，应当拒绝")
assert all(map(torch.equal, model.parameters(), before))
assert all(p.grad is None for p in model.parameters())
try:
    model(batches[0]["input_ids"], labels=batches[0]["labels"][:, 1:])  # 标签在外面先错了一位
except ValueError as error:
    print(error)
else:
    raise AssertionError("标签没有与 logits 逐个对齐，应当拒绝")

# %% 坏 平均的平均：偏向短的
print(TRAIN_MUTATIONS["mean_of_means"].text)
for name in held:
    ours, theirs = runs["对的"][name][-1], runs["mean_of_means"][name][-1]
    print(f"留出的{name}：对的 {ours:.2f}，平均的平均 {theirs:.2f}，差 {theirs - ours:+.2f}")
ours, theirs = (runs[label]["长文"][-1] for label in ("对的", "mean_of_means"))
assert theirs > ours and runs["mean_of_means"]["短文"][-1] < runs["对的"]["短文"][-1]

# %% 坏 没有除：Adam 遮得住，裁剪遮不住
print(TRAIN_MUTATIONS["undivided"].text)
print("两个小批一样长（都是长的），只差一个倍数：")
for clip in (NO_CLIP, 1.0):
    ours = train(clip, long_rows, long_rows, 20)
    with mutated("undivided"):
        theirs = train(clip, long_rows, long_rows, 20)
    print("不裁剪" if clip == NO_CLIP else f"裁剪到 {clip}")
    for label, seen in (("对的", ours), ("没有除", theirs)):
        clipped = sum(norm > clip for norm in seen["范数"])
        print(f"    {label}：留出的长文 {seen['长文'][-1]:.2f}，裁剪了 {clipped}/20 次")
    assert max(ours["范数"]) < 0.97 and min(theirs["范数"]) > 1.03  # 离上限都不近
    print(f"    记下的损失是 {theirs['损失'][0] / ours['损失'][0]:.1f} 倍")
