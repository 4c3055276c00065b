# %% [markdown]
# # 索引：哪一维留下，哪一维消失
# 来源：NumPy 文档 *Indexing on ndarrays*；PyTorch 文档 *Tensor Views*、`torch.gather`

# %% 四种下标
import torch

x = torch.arange(30).view(2, 3, 5)  # 当作 (B, T, V)
shapes = {
    "x[:, -1]      整数：去掉": x[:, -1],
    "x[:, -1:]     切片：留下": x[:, -1:],
    "x[:, None]    None：添上": x[:, None],
    "x[..., -1]    ... 补足中间的冒号": x[..., -1],
    "x[:, [-1]]    列表：换成它的形状": x[:, [-1]],
    "x[-1]         只写一个，是第 0 维": x[-1],
    "x[:, :, -1]   最后一维": x[:, :, -1],
    "x[..., None]  等于 unsqueeze(-1)": x[..., None],
}
for code, result in shapes.items():
    print(tuple(result.shape), code)

# %% None 与广播
key = torch.arange(4)  # (S,)
query = torch.arange(2, 4)[:, None]  # (T, 1)
print((key <= query).int().tolist())  # (T, S)：一行对一列，两两比较

# %% 布尔
scores = torch.tensor([[1.0, 9.0, 3.0], [8.0, 2.0, 7.0]])
mask = scores > 5
print(scores[mask], tuple(scores[mask].shape))  # 长度由数据决定，排成一行
print(scores.masked_fill(~mask, 0.0).tolist())  # 要保住形状就用 masked_fill
print([index.tolist() for index in mask.nonzero(as_tuple=True)])  # 布尔下标等于这几个整数下标

# %% 成对的整数下标
rows = torch.tensor([0, 1])
last = torch.tensor([2, 0])  # 每一行最后一个真词元在哪
print(x[rows, last].tolist())  # (B, V)：第 0 行取第 2 个，第 1 行取第 0 个
print(tuple(x[:, last].shape), "← 每一行都取了两个")
print(tuple(x[rows[:, None], last].shape), "← 下标先广播成 (2, 2)")

# %% gather 与 scatter
logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])  # (B, V)
target = torch.tensor([2, 0])  # (B,)
picked = logits.gather(1, target[:, None])  # (B, 1)：每一行取自己的那一个
print(picked.tolist(), tuple(picked.shape))
one_hot = torch.zeros(2, 3).scatter(1, target[:, None], 1.0)  # 反方向：写到那个位置
print(one_hot.tolist())

# %% 混用
y = torch.zeros(2, 3, 4, 5)
i = torch.tensor([0, 1, 1, 0, 1, 1])  # (6,)
print("相邻  y[:, i, i]   ", tuple(y[:, i, i].shape))  # 两维换成一个 6，就在原处
print("隔开  y[:, i, :, i]", tuple(y[:, i, :, i].shape))  # 6 跑到了最前面
print("整数与张量 y[:, 0, :, i]: PyTorch", tuple(y[:, 0, :, i].shape), end="，")
print("NumPy", y.numpy()[:, 0, :, i.numpy()].shape)

# %% llm 里的旋转表
from llm import LLMConfig
from llm.model import RotaryEmbedding

rope = RotaryEmbedding(LLMConfig(hidden_size=16, num_attention_heads=4))
position_ids = torch.tensor([[0, 1, 2], [5, 6, 7]])  # (B, T)
print(tuple(rope.cos.shape), "→", tuple(rope.cos[position_ids].shape))  # (P, R/2) → (B, T, R/2)


# %% 视图还是拷贝
def shares(a: torch.Tensor) -> bool:
    """与 x 是不是同一块内存。"""
    return a.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


for code, result in {
    "x[:, -1]": x[:, -1],
    "x[:, 1:]": x[:, 1:],
    "x[:, None]": x[:, None],
    "x[..., 0::2]": x[..., 0::2],
    "x[:, [-1]]": x[:, [-1]],
    "x[:, 零维张量]": x[:, torch.tensor(-1)],  # 零维的整数张量当整数看
    "x[x > 3]": x[x > 3],
    "x[rows, last]": x[rows, last],
}.items():
    print(f"{code:14}{'视图' if shares(result) else '拷贝'}")

# %% 图
import matplotlib.pyplot as plt

table = torch.arange(12).view(3, 4)
chosen = {
    "m[:, -1]": (slice(None), -1),
    "m[:, -1:]": (slice(None), slice(-1, None)),
    "m[m % 5 == 0]": (table % 5 == 0,),
    "m[[0, 1, 2], [3, 0, 2]]": ([0, 1, 2], [3, 0, 2]),
    "m[:, [3, 0, 2]]": (slice(None), [3, 0, 2]),
}
figure, axes = plt.subplots(1, 5, figsize=(7.2, 1.9))
for ax, (code, index) in zip(axes, chosen.items(), strict=True):
    hit = torch.zeros_like(table)
    hit[index] = 1
    for r in range(3):
        for c in range(4):
            color, ink = ("#d9822b", "#202020") if hit[r, c] else ("#cfe0f0", "#404850")
            ax.add_patch(plt.Rectangle((c, r), 0.9, 0.9, color=color))
            style = {"ha": "center", "va": "center", "fontsize": 8, "color": ink}
            ax.text(c + 0.45, r + 0.45, table[r, c].item(), **style)
    ax.set(xlim=(-0.1, 4), ylim=(3, -0.1), aspect="equal")
    ax.set_title(f"{code}\n{tuple(table[index].shape)}", fontsize=8)
    ax.axis("off")
figure.tight_layout()
figure.set_label(
    "五张 3 行 4 列的表，橙格是取出来的：m[:, -1] 与 m[:, -1:] 都是末列，形状 (3,) 与 (3, 1)；"
    "布尔取 0、5、10；两个列表取三个点 3、4、10；m[:, [3, 0, 2]] 取三整列"
)

# %% 检验 逐元素
rnd = torch.randn(2, 3, 5)
index = torch.randint(5, (2, 3, 4))
taken = rnd.gather(2, index)
for b in range(2):
    for s in range(3):
        assert rnd[:, -1][b].equal(rnd[b, 2])
        assert rnd[:, -1:][b, 0].equal(rnd[b, 2])
        for n in range(4):
            assert taken[b, s, n] == rnd[b, s, index[b, s, n]]
for b in range(2):
    assert x[rows, last].tolist()[b] == x.tolist()[b][last.tolist()[b]]

# %% 检验 与 NumPy 相同
import numpy as np

assert (np.take_along_axis(rnd.numpy(), index.numpy(), 2) == taken.numpy()).all()
big = torch.arange(120).view(2, 3, 4, 5)
j, n = torch.tensor([[0, 1, 1]]), torch.tensor([[2], [0]])  # 广播成 (2, 3)
for ours, theirs in (
    (big[:, j, n], big.numpy()[:, j.numpy(), n.numpy()]),
    (big[:, j, :, n], big.numpy()[:, j.numpy(), :, n.numpy()]),
    (big[..., None, 1::2], big.numpy()[..., None, 1::2]),
    (big[big % 7 == 0], big.numpy()[big.numpy() % 7 == 0]),
):
    assert ours.shape == theirs.shape and (ours.numpy() == theirs).all()

import warnings

for index, shape, other in (  # 两处旧规矩，PyTorch 与 NumPy 不同
    (torch.tensor([0, 1], dtype=torch.uint8), (1, 3, 4, 5), (2, 3, 4, 5)),
    ([[0, 1], [1, 0]], (2, 4, 5), (2, 2, 3, 4, 5)),
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert big[index].shape == shape
    assert len(caught) == 1 and big.numpy()[np.asarray(index)].shape == other

# %% 检验 跑到前面的维
for a in range(2):  # 前两维是下标的形状 (2, 3)，后两维是没有下标的第 0、2 维
    for b in range(3):
        assert big[:, j, :, n][a, b].equal(big[:, j[0, b], :, n[a, 0]])

# %% 检验 与 NumPy 不同的几处
k = torch.tensor([0, 1, 1, 0, 1, 1])  # (6,)
assert big[:, k, None, k].shape == big.numpy()[:, k.numpy(), None, k.numpy()].shape == (6, 2, 1, 5)
assert big[k, ..., k].shape == big.numpy()[k.numpy(), ..., k.numpy()].shape == (6, 3, 4)
assert big[:, :, k, ..., k].shape == (2, 3, 6)  # ... 一维也没补：PyTorch 仍算挨着
assert big.numpy()[:, :, k.numpy(), ..., k.numpy()].shape == (6, 2, 3)
assert big[0, :, k].shape == (3, 6, 5) and big.numpy()[0, :, k.numpy()].shape == (6, 3, 5)
assert x[:, 1:99].equal(x[:, 1:]) and x[:, 99:].shape == (2, 0, 5)  # 切片截到头

# %% 检验 gather 就是交叉熵要的那一个
import torch.nn.functional as F

raw = torch.randn(4, 7)
labels = torch.randint(7, (4,))
mine = -raw.log_softmax(-1).gather(1, labels[:, None]).squeeze(1).mean()
torch.testing.assert_close(mine, F.cross_entropy(raw, labels))

# %% 检验 旋转表按位置取行
got = rope.cos[position_ids]
for b, t in np.ndindex(2, 3):
    assert got[b, t].equal(rope.cos[position_ids[b, t].item()])
try:
    rope.cos[torch.tensor([rope.cos.shape[0]])]
except IndexError as error:
    print("IndexError:", error)
else:
    raise AssertionError("整数下标越界应当报错")
assert rope.cos[5000:6000].shape == (0, 2)  # 切片越界不报错，给一个空的
try:
    rope.cos[::-1]
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("负的间隔应当报错")

# %% 检验 gather 的下标多大才行
assert logits.gather(1, torch.tensor([[2]])).tolist() == [[3.0]]  # 别的维可以短
for name, wrong in {
    "少一维": target,
    "别的维更长": torch.zeros(3, 1, dtype=torch.int64),
    "负的": torch.tensor([[-1], [0]]),
}.items():
    try:
        logits.gather(1, wrong)
    except RuntimeError as error:
        print(f"{name}:", str(error).split(" apart")[0])
    else:
        raise AssertionError("应当报错")
kept = torch.full((2, 3), 7.0).scatter(1, target[:, None], 1.0)
assert kept.tolist() == [[7, 7, 1], [1, 7, 7]]  # 没写到的地方照旧
assert torch.zeros(1, 3).scatter_add(1, torch.tensor([[0, 0, 2]]), torch.ones(1, 3)).tolist() == [
    [2, 0, 1]
]

# %% 检验 llm 里的几处
from llm import LLMForCausalLM
from llm.model import greedy_generate

for seed in range(3):
    torch.manual_seed(seed)
    model = LLMForCausalLM(
        LLMConfig(
            vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=4,
        )
    ).eval()  # fmt: skip
    ids = torch.randint(32, (2, 6))
    with torch.no_grad():
        full = model(ids).logits  # (B, T, V)
        for n, places in ((0, range(6)), (1, [5]), (2, [4, 5])):
            ends = model(ids, logits_to_keep=n).logits
            torch.testing.assert_close(ends, torch.stack([full[:, t] for t in places], dim=1))
        picked = model(ids, logits_to_keep=torch.tensor([3, 0])).logits
        torch.testing.assert_close(picked, torch.stack([full[:, 3], full[:, 0]], dim=1))
        real = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])  # 第 0 行左边是填充
        padded = model(ids, attention_mask=real).logits
        torch.testing.assert_close(padded[:1, 2:], model(ids[:1, 2:]).logits)  # 只剩相对位置
        torch.testing.assert_close(padded[1], full[1])
        grown = ids.tolist()
        for _ in range(4):  # 旁证：没有缓存，逐行用 Python 的 max 挑
            for row in grown:
                scores = model(torch.tensor([row])).logits.tolist()[0][-1]
                row.append(max(range(32), key=lambda v: scores[v]))
    assert greedy_generate(model, ids, 4).tolist() == grown

# %% 检验 自测里的说法
hidden, ends = torch.randn(2, 3, 4), torch.tensor([3, 1])  # (B, T, C)，每行的长度
last_real = hidden[torch.arange(2), ends - 1]
assert last_real.equal(torch.stack([hidden[0, 2], hidden[1, 0]]))
assert hidden[:, ends - 1].shape == (2, 2, 4)
assert y[:, i, :, i].movedim(0, 1).shape == (2, 6, 4)
for write, changed in ((lambda a: a[:, 1:].zero_(), True), (lambda a: a[:, [1, 2]].zero_(), False)):
    whole = torch.ones(2, 3)
    write(whole)
    assert (not whole.eq(1).all()) == changed
whole[:, [1, 2]] = 0  # 下标在等号左边
assert whole.tolist() == [[1, 0, 0], [1, 0, 0]]

# %% 坏 少一维，广播补成了方阵
answers = torch.tensor([1, 2, 0, 2])  # (B,)
predicted = answers[:, None].clone()  # (B, 1)，全对
print("准确率:", (predicted == answers).float().mean().item(), tuple((predicted == answers).shape))
print("去掉多的一维:", (predicted[:, 0] == answers).float().mean().item())
try:
    torch.cat([torch.zeros(4, 6), answers], dim=1)  # argmax 之后忘了 unsqueeze(-1)
except RuntimeError as error:
    print("cat:", error)

# %% 坏 写进了拷贝
w = torch.zeros(4)
pick = torch.tensor([0, 2])
w[pick][0] = 9.0  # w[pick] 是拷贝，写完就丢了
print(w.tolist())
w[pick] = 9.0  # 这一句是 __setitem__，写进 w
print(w.tolist())

# %% 坏 重复的下标只算一次
count = torch.zeros(3)
tokens = torch.tensor([0, 0, 0, 2])
count[tokens] += 1  # 先取、再加、再写回：三次写的是同一个 1
print("+=:        ", count.tolist())
print("index_add: ", torch.zeros(3).index_add(0, tokens, torch.ones(4)).tolist())
print("bincount:  ", tokens.bincount(minlength=3).tolist())
