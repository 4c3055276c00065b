# %% [markdown]
# # 数据打包：许多篇首尾相接，切成等长的行
# 来源：Raffel et al. 2020（T5），§3.1.2；Krell et al. 2021；transformers `DataCollatorWithFlattening`

# %% 四篇打成三行
import torch
from torch import Tensor

from llm.train import data
from llm.train.data import IGNORED, pack

T, PAD = 6, 0


def numbered(*lengths: int) -> list[tuple[list[int], list[int]]]:
    """第 n 篇的词元是 10n + 1、10n + 2……，看得出各是哪一篇的。"""
    made = [[10 * (n + 1) + k + 1 for k in range(length)] for n, length in enumerate(lengths)]
    return [(ids, list(ids)) for ids in made]


rows = pack(numbered(4, 5, 1, 6), T, PAD)
for name, table in vars(rows).items():
    print(name)
    print(table)  # (行数, T)

# %% 谁看得见谁
from llm.model import document_mask

print(document_mask(rows.position_ids)[0, 0].int())  # (T, T)，第 0 行：两篇，两个下三角

# %% 图 填充与打包
import matplotlib.pyplot as plt

torch.manual_seed(0)
lengths = (torch.rand(24).pow(2) * 60 + 2).long().tolist()  # 多数短，少数长
several = [([n + 1] * length, [n + 1] * length) for n, length in enumerate(lengths)]
packed = pack(several, 64, PAD).input_ids
padded = torch.stack([torch.tensor(ids + [PAD] * (64 - len(ids))) for ids, _ in several])
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
for ax, name, table in ((axes[0], "一行一篇，填到 64", padded), (axes[1], "打包", packed)):
    shown = table.float().masked_fill(table == PAD, float("nan"))
    ax.imshow(shown, cmap="tab20", aspect="auto", vmin=1, vmax=24, interpolation="nearest")
    share = (table != PAD).float().mean().item()
    ax.set(title=f"{name}：{len(table)} 行，{share:.0%} 是文字", xlabel="位置", ylabel="行")
    print(f"{name}：{len(table)} 行，文字占 {share:.2f}")
figure.tight_layout()

# %% 按批取
from llm.train.data import Position, take

position = Position()
for _ in range(3):  # 三行，一批两行：第二批跨到下一遍
    batch, after = take(rows, position, count=2, seed=0)
    print(f"{position} → {after}，各行的头一个词元 {batch['input_ids'][:, 0].tolist()}")
    position = after

# %% 检验 手算的三行
assert rows.input_ids.tolist() == [
    [11, 12, 13, 14, 21, 22],
    [23, 24, 25, 31, 41, 42],
    [43, 44, 45, 46, PAD, PAD],
]
no = IGNORED
assert rows.labels.tolist() == [
    [no, 12, 13, 14, no, 22],
    [no, 24, 25, no, no, 42],
    [no, 44, 45, 46, no, no],
]
assert rows.position_ids.tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 0, 1]]

# %% 检验 与 DataCollatorWithFlattening 相同
from transformers import DataCollatorWithFlattening

several = numbered(4, 5, 1, 6)
theirs = DataCollatorWithFlattening()([{"input_ids": ids, "labels": ids} for ids, _ in several])
whole = pack(several, 16, PAD)  # 恰好放满一行：没有切开的，也没有填的
assert len(whole) == 1
for name, tensor in vars(whole).items():
    assert torch.as_tensor(theirs[name]).equal(tensor), name

# %% 检验 打包等于各算各的
from transformers import LlamaConfig, LlamaForCausalLM

from llm import LLMConfig, LLMForCausalLM

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def noisy(seed: int) -> LLMForCausalLM:
    """权重都扰动过，位置与掩码错了看得出。"""
    torch.manual_seed(seed)
    model = LLMForCausalLM(LLMConfig(**SHAPE)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model


def pieces(rows: data.Rows) -> list[tuple[int, int, int]]:
    """各段在哪一行、从哪里到哪里：位置是 0 的地方起一段。"""
    found = []
    for row, positions in enumerate(rows.position_ids.tolist()):
        starts = [at for at, place in enumerate(positions) if place == 0]
        found += [(row, a, b) for a, b in zip(starts, [*starts[1:], len(positions)], strict=True)]
    return found


def apart(model: LLMForCausalLM, rows: data.Rows) -> Tensor:
    """各段单独送进模型，再拼回原处。形状：→ (行数, T, V)。"""
    logits = torch.zeros(*rows.input_ids.shape, SHAPE["vocab_size"])
    for row, start, stop in pieces(rows):
        logits[row, start:stop] = model(rows.input_ids[row : row + 1, start:stop]).logits[0]
    return logits


several = numbered(7, 5, 1, 3, 6, 2)
rows = pack(several, 12, PAD)
for seed in range(3):
    model = noisy(seed)
    together = model(rows.input_ids, position_ids=rows.position_ids).logits
    torch.testing.assert_close(together, apart(model, rows), rtol=1e-4, atol=1e-5)
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    llama.load_state_dict(model.state_dict())
    with torch.no_grad():  # 缓存要关，不然它不看 position_ids
        hf = llama(rows.input_ids, position_ids=rows.position_ids, use_cache=False).logits
    torch.testing.assert_close(together, hf, rtol=1e-4, atol=1e-5)

# %% 检验 损失是各段之和
from torch.nn import functional as F

model = noisy(0)
batch = rows.batch(torch.arange(len(rows)))
packed_sum = model(**batch, num_items_in_batch=1, use_cache=False).loss
by_hand, learned = torch.zeros(()), 0
for row, start, stop in pieces(rows):
    ids = rows.input_ids[row : row + 1, start:stop]
    if ids[0, 0] != PAD and stop - start > 1:
        logits = model(ids).logits[0, :-1]  # 一段里头一个词元没有谁来猜
        by_hand += F.cross_entropy(logits, ids[0, 1:], reduction="sum")
        learned += stop - start - 1
torch.testing.assert_close(packed_sum, by_hand)
assert (rows.labels != IGNORED).sum() == learned == 24 - len(pieces(rows))  # 没有填的：每段少一个

# %% 检验 每个词元恰好出现一次
for T in (2, 5, 24, 100):
    rows = pack(several, T, PAD)
    flat = rows.input_ids.flatten()
    assert flat[flat != PAD].tolist() == [n for ids, _ in several for n in ids]
    assert (flat[24:] == PAD).all() and len(flat) - 24 < T
    assert (rows.labels.flatten()[24:] == IGNORED).all()  # 填的不学
    learned = rows.labels != IGNORED
    assert rows.labels[learned].equal(rows.input_ids[learned])
    assert (rows.position_ids[learned] > 0).all() and not learned[:, 0].any()
    ends = torch.tensor([len(ids) for ids, _ in several]).cumsum(0).tolist()  # 各篇到哪里为止
    cuts = [at for at in range(T, 24, T) if at not in ends]  # 落在一篇中间的行尾
    assert learned.sum() == 24 - len(several) - len(cuts)  # 每段少学一个，一个不多
only = pack([([5, 6, 7], [IGNORED, IGNORED, 7])], 3, PAD)  # 对话里不学的，打包之后仍不学
assert only.labels.tolist() == [[IGNORED, IGNORED, 7]]
try:
    pack([], 8, PAD)
except ValueError as error:
    print(error)
else:
    raise AssertionError("一个词元也没有，应当报错")

# %% 检验 一篇的末尾是结束
from tokenizers.processors import TemplateProcessing

from llm.train.data import encode_text
from llm.train.tokenizer import START, train_tokenizer

tokenizer = train_tokenizer(["mask"] * 3, 260)
end, first = tokenizer.eos_token_id, tokenizer.vocab[START]
said = tokenizer("mask 里").input_ids
adds_start = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, first)])
tokenizer.backend_tokenizer.post_processor = adds_start  # 有的分词器会自己在前面加一个
assert tokenizer("mask 里").input_ids == [first, *said]
ids, labels = encode_text(tokenizer, "mask 里")
assert ids == labels == [*said, end] and labels is not ids
written, _ = encode_text(tokenizer, f"写着 {tokenizer.eos_token} 的一行")
assert written.index(end) == len(written) - 1  # 正文里写着它的字样，是文字，不是那个词元

# %% 检验 取法只由两个数定
many = pack(numbered(*[3] * 20), 6, PAD)  # 10 行
for world in (1, 2, 3):
    seen, position = [], Position()
    for _ in range(5):  # 各进程各取一行，轮着排起来就是这一遍的次序
        shares = [take(many, position, 1, 7, rank, world) for rank in range(world)]
        seen += [share["input_ids"][0, 0].item() for share, _ in shares]
        assert len({after for _, after in shares}) == 1
        position = shares[0][1]
    first = seen[:10]
    assert len(set(first)) == len(first)  # 不相交
    assert set(first) <= set(many.input_ids[:, 0].tolist())
    again, _ = take(many, Position(), len(seen), 7)
    assert again["input_ids"][:, 0].tolist() == seen  # 进程数变了，次序不变
    assert position == Position(*divmod(5 * world, 10))
orders = [take(many, Position(epoch), 10, 7)[0]["input_ids"][:, 0].tolist() for epoch in (0, 1)]
assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]  # 一遍一个次序
assert orders[1] == take(many, Position(0), 10, 8)[0]["input_ids"][:, 0].tolist()  # seed + epoch

# %% 检验 先分再做别的
from llm.train.data import Document, split

documents = [Document(f"n{n % 40}", f"第 {n} 段") for n in range(200)]  # 40 处，各 5 段
train, held = split(documents, 0.2)
assert len(train) + len(held) == 200 and 10 <= len(held) <= 70 and len(held) % 5 == 0
assert not {one.source for one in train} & {one.source for one in held}
more, more_held = split([*documents, Document("new", "新的")], 0.2)
assert set(train) <= set(more) and set(held) <= set(more_held)  # 加了新的，旧的不换边
assert split(documents, 0.0) == (documents, [])
for few, fraction in (([], 0.0), (documents[:1], 0.0001), (documents[:1], 0.9999)):
    try:
        split(few, fraction)
    except ValueError as error:
        print(error)
    else:
        raise AssertionError("有一边是空的，应当报错")

# %% 坏 各篇互相看见
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated

print(TRAIN_MUTATIONS["positions_run_on"].text)
torch.manual_seed(1)
texts = [torch.randint(1, 64, (length,)).tolist() for length in (9, 14, 6, 12, 7)]
encoded = [(ids, ids) for ids in texts]
right = data.pack(encoded, 48, PAD)
with mutated("positions_run_on"):
    wrong = data.pack(encoded, 48, PAD)
gaps = {"对：位置从 0 重数": [], "错：一路往上数": []}
for seed in range(8):
    model = noisy(seed)
    expected = apart(model, right)
    for shown, each in zip(gaps.values(), (right, wrong), strict=True):
        logits = model(each.input_ids, position_ids=each.position_ids).logits
        shown.append((logits - expected)[0].abs().amax(-1))  # (T,)
figure, ax = plt.subplots(figsize=(7.2, 2.8))
for (label, shown), color in zip(gaps.items(), ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(torch.stack(shown).amax(0).clamp(min=1e-8), color=color, label=label)
for at in (right.position_ids[0] == 0).nonzero()[1:, 0].tolist():
    ax.axvline(at, color="#888888", linewidth=0.8, linestyle=":")
ax.set(yscale="log", xlabel="位置（虚线：新的一篇）", ylabel="logits 的差")
ax.set_title("打包的与各算各的，logits 最多差多少（八个种子）")
ax.legend()
ax.grid(True)
figure.tight_layout()
worst = [torch.stack(shown).max().item() for shown in gaps.values()]
print("对的小于 1e-5:", worst[0] < 1e-5, f" 错的最多差 {worst[1]:.1f}")
assert worst[0] < 1e-5 and worst[1] > 0.3

# %% 坏 标签跨过边界
from pydoc_data.topics import topics

from llm.train.loop import mean_loss, train_step
from llm.train.optim import build_optimizer

print(TRAIN_MUTATIONS["label_across_border"].text)
lines = [line for name in sorted(topics)[:40] for line in topics[name].split("\n\n")]
lines = [line for line in lines if 20 < len(line) < 100][:400]  # 一段一篇：短，边界多
tokenizer = train_tokenizer(lines, 320)
short = [data.encode_text(tokenizer, line) for line in lines]
held_rows = data.pack(short[::8], 64, tokenizer.pad_token_id)
kept = [one for n, one in enumerate(short) if n % 8]


def curve(rows: data.Rows, updates: int = 60) -> tuple[list[float], list[float]]:
    """训练的损失，与留出的几篇（总是打包得对的）上的。"""
    torch.manual_seed(0)
    model = LLMForCausalLM(LLMConfig(**{**SHAPE, "vocab_size": 320, "num_hidden_layers": 1}))
    optimizer = build_optimizer(model, 1e-2, 0.1, (0.9, 0.95))
    position, losses, held = Position(), [], []
    for update in range(updates):
        batch, position = take(rows, position, 4, 0)
        losses.append(train_step(model, optimizer, [batch], 1e-2, 1.0).loss)
        if update % 10 == 9:
            held.append(mean_loss(model, held_rows, 16))
    return losses, held


right = data.pack(kept, 64, tokenizer.pad_token_id)
with mutated("label_across_border"):
    wrong = data.pack(kept, 64, tokenizer.pad_token_id)
curves = {"对": curve(right), "错：边界也学": curve(wrong)}
figure, ax = plt.subplots(figsize=(7.2, 2.8))
for (label, (losses, held)), color in zip(curves.items(), ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(range(1, 61), losses, color=color, label=f"{label}，训练")
    ax.plot(range(10, 61, 10), held, "o--", color=color, label=f"{label}，留出")
ax.set(xlabel="更新", ylabel="nat/词元", title="曲线看不出：两条训练的损失都像样")
ax.legend()
ax.grid(True)
figure.tight_layout()
firsts = (right.position_ids == 0) & (right.input_ids != tokenizer.pad_token_id)
borders = int((wrong.labels != IGNORED).sum() - (right.labels != IGNORED).sum())
print("多学的标签就是边界的个数:", borders == int(firsts.sum()))

# %% 坏 同一处的文字两边都有
print(TRAIN_MUTATIONS["split_by_line"].text)
with mutated("split_by_line"):
    train, held = data.split(documents, 0.2)
both = {one.source for one in train} & {one.source for one in held}
print(f"40 处里，两边都有的 {len(both)} 处；按出处分是 0 处")
assert len(both) > 20

# %% 坏 每个进程取同样的行
for name in ("ranks_repeat", "same_order"):
    print(TRAIN_MUTATIONS[name].text)
    with mutated(name):
        shares = [data.take(many, Position(), 5, 7, rank, 2)[0]["input_ids"] for rank in (0, 1)]
        epochs = [data.take(many, Position(n), 10, 7)[0]["input_ids"] for n in (0, 1)]
    common = set(shares[0][:, 0].tolist()) & set(shares[1][:, 0].tolist())
    print(f"    两个进程共有 {len(common)} 行，两遍次序相同：{epochs[0].equal(epochs[1])}")
