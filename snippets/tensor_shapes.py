# %% [markdown]
# # 张量形状：一块内存，许多种读法
# 来源：PyTorch 文档 *Tensor Views*、`torch.Tensor.view`、`torch.Tensor.expand`、`torch.chunk`

# %% 步长
import torch

x = torch.arange(6).view(2, 3)  # 内存里只有一行：0 1 2 3 4 5
print(x.tolist(), "形状", tuple(x.shape), "步长", x.stride())
t = x.transpose(0, 1)  # (3, 2)，数据没有动，只是步长换了位置
print(t.tolist(), "形状", tuple(t.shape), "步长", t.stride())
i, j = 2, 1
place = t.storage_offset() + i * t.stride(0) + j * t.stride(1)
print(f"t[{i}, {j}] 在内存的第 {place} 格，值是 {t[i, j].item()}")

# %% 各个方法
from collections.abc import Callable

base = torch.arange(12).view(1, 3, 4)


def shares(a: torch.Tensor, b: torch.Tensor) -> bool:
    """两个张量是不是同一块内存。"""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


methods: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "view(3, 4)": lambda y: y.view(3, 4),
    "transpose(1, 2)": lambda y: y.transpose(1, 2),
    "permute(2, 0, 1)": lambda y: y.permute(2, 0, 1),
    "squeeze(0)": lambda y: y.squeeze(0),
    "unsqueeze(1)": lambda y: y.unsqueeze(1),
    "unsqueeze(-1)": lambda y: y.unsqueeze(-1),
    "expand(2, -1, -1)": lambda y: y.expand(2, -1, -1),
    "flatten(1)": lambda y: y.flatten(1),
    "chunk(2, dim=-1)[1]": lambda y: y.chunk(2, dim=-1)[1],
    "split([1, 3], -1)[1]": lambda y: y.split([1, 3], dim=-1)[1],
    "repeat(2, 1, 1)": lambda y: y.repeat(2, 1, 1),
}
print(f"{'base':22}{tuple(base.shape)!s:14}{base.stride()!s:15}起点 0")
for name, method in methods.items():
    y = method(base)
    facts = f"连续 {'是' if y.is_contiguous() else '否'} 共享 {'是' if shares(y, base) else '否'}"
    print(f"{name:22}{tuple(y.shape)!s:14}{y.stride()!s:15}起点 {y.storage_offset()} {facts}")

# %% 负的维数从右边数
chosen = torch.zeros(2)  # (B,)
print("unsqueeze(-1):", tuple(chosen.unsqueeze(-1).shape), " 等于 unsqueeze(1):", end=" ")
print(tuple(chosen.unsqueeze(1).shape))  # 插入之后有 2 维，-1 是新的最后一维
print("unsqueeze(-2):", tuple(chosen.unsqueeze(-2).shape), " 等于 unsqueeze(0)")
cube = torch.zeros(2, 3, 4)
print("transpose(-2, -1):", tuple(cube.transpose(-2, -1).shape), " 原来有几维都行")
for name, attempt in {
    "unsqueeze(4)": lambda: cube.unsqueeze(4),
    "transpose(0, 3)": lambda: cube.transpose(0, 3),
}.items():
    try:
        attempt()
    except IndexError as error:
        print(f"{name}:", error)

# %% view 要什么
wide = torch.arange(24).view(4, 6).transpose(0, 1)  # (6, 4)，步长 (1, 6)，不连续
print("拆开一维:", tuple(wide.view(2, 3, 4).shape), wide.view(2, 3, 4).stride())
try:
    wide.view(24)
except RuntimeError as error:
    print("合并两维:", str(error).split("(")[0])
print("reshape 拷贝了:", not shares(wide.reshape(24), wide))
print("contiguous 之后:", wide.contiguous().stride(), tuple(wide.contiguous().view(24).shape))
print("本就连续，contiguous 不拷贝:", base.contiguous() is base)
big = torch.arange(2 * 6 * 3 * 5).view(2, 6, 3, 5)
part = big[:, :4]  # (B, T, H, D)：每行只要前 4 个词元，行与行之间空着一截
print("不连续，却合得起来:", part.is_contiguous(), part.stride(), part.view(2, 4, 15).stride())
print("contiguous().view 拷贝:", not shares(part.contiguous(), big), end=" ")
print(" reshape 拷贝:", not shares(part.reshape(2, 4, 15), big))

# %% 拆头与合头
from llm.model import apply_rotary

B, T, H, D = 2, 4, 3, 5
h = torch.randn(B, T, H * D)  # 投影的输出
heads = h.view(B, T, H, D).transpose(1, 2)  # (B, H, T, D)
print("拆头:", tuple(heads.shape), heads.stride(), "共享:", shares(heads, h))
y = heads.contiguous()  # 手写的注意力算完，是一块新的、连续的内存
merged = y.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
print("手写的，合头:", tuple(merged.shape), "拷贝了:", not shares(merged, y))
still = apply_rotary(heads, torch.ones(1, 1, T, 2), torch.zeros(1, 1, T, 2))  # 转 0 度，值不变
for name, q in {"没有转过": heads, "转过，像 llm": still}.items():
    y = torch.nn.functional.scaled_dot_product_attention(q, q, q)  # (B, H, T, D)
    merged = y.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
    print(f"SDPA，q {name}：{q.stride()}，步长同 q {y.stride() == q.stride()}，", end="")
    print("拷贝了", not shares(merged, y))

# %% chunk 与 split
row = torch.arange(7)
print("chunk(3):     ", [part.tolist() for part in row.chunk(3)])
print("split(3):     ", [part.tolist() for part in row.split(3)])
print("split([5, 2]):", [part.tolist() for part in row.split([5, 2])])
print("chunk(4) 给了", len(torch.arange(6).chunk(4)), "块")  # 每块 ceil(6 / 4) = 2

# %% 图
import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots(2, 3, figsize=(7.2, 3.6), gridspec_kw={"height_ratios": [1, 3]})
one = torch.arange(3).view(1, 3)  # (1, 3)
views = {
    "x：一行行读": x,
    "x.transpose(0, 1)：跳着读": t,
    "one.expand(2, 3)：重复读": one.expand(2, 3),
}


def grid(ax: plt.Axes, places: np.ndarray, title: str, width: int, height: int) -> None:
    """每一格写上它在内存里的格号，同一格同一种颜色。"""
    ax.pcolormesh(places, cmap="Set2", vmin=-0.5, vmax=7.5, edgecolors="#808080")
    for (r, c), place in np.ndenumerate(places):
        ax.text(c + 0.5, r + 0.5, place, ha="center", va="center", color="#202020")
    ax.set_title(title, fontsize=9)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")


for (top, bottom), (title, shown) in zip(axes.T, views.items(), strict=True):
    size = shown.untyped_storage().nbytes() // shown.element_size()
    grid(top, np.arange(size)[None], f"内存 {size} 格", 6, 1)
    grid(bottom, shown.numpy(), f"{title}\n形状 {tuple(shown.shape)}，步长 {shown.stride()}", 3, 3)
figure.tight_layout()
figure.set_label(
    "上排是内存，下排是看到的：x 一行行读六格；转置还是那六格，跳着读成 3 行 2 列；"
    "expand 只有三格，两行重复读"
)


# %% 检验 步长的公式
def from_memory(y: torch.Tensor) -> torch.Tensor:
    """只凭起点与步长，从那块内存里一格一格取。"""
    memory = torch.empty(0, dtype=y.dtype).set_(y.untyped_storage())  # 整块内存，一维
    index = torch.cartesian_prod(*(torch.arange(n) for n in y.shape)).view(-1, y.dim())
    places = y.storage_offset() + (index * torch.tensor(y.stride())).sum(-1)
    return memory[places].reshape(y.shape)


for method in methods.values():
    y = method(base)
    assert from_memory(y).equal(y)

# %% 检验 NumPy 自己造的，步长相同
flat = np.arange(12).reshape(1, 3, 4)  # 不从 torch 来
theirs = {
    "view(3, 4)": flat.reshape(3, 4),
    "transpose(1, 2)": flat.swapaxes(1, 2),
    "permute(2, 0, 1)": flat.transpose(2, 0, 1),
    "squeeze(0)": flat.squeeze(0),
    "unsqueeze(1)": np.expand_dims(flat, 1),
    "unsqueeze(-1)": np.expand_dims(flat, -1),
    "expand(2, -1, -1)": np.broadcast_to(flat, (2, 3, 4)),
    "flatten(1)": flat.reshape(1, 12),
    "chunk(2, dim=-1)[1]": np.array_split(flat, 2, axis=-1)[1],
    "split([1, 3], -1)[1]": np.split(flat, [1], axis=-1)[1],
    "repeat(2, 1, 1)": np.tile(flat, (2, 1, 1)),
}
assert theirs.keys() == methods.keys()
for name, other in theirs.items():
    y = methods[name](base)
    assert tuple(y.shape) == other.shape and (y.numpy() == other).all(), name
    assert shares(y, base) == np.shares_memory(other, flat), name
    for length, ours, size in zip(y.shape, y.stride(), other.strides, strict=True):
        assert length == 1 or ours == size // other.itemsize, name  # NumPy 按字节数
    if shares(y, base):
        start = other.__array_interface__["data"][0] - flat.__array_interface__["data"][0]
        assert y.storage_offset() == start // other.itemsize, name

# %% 检验 与逐元素的定义相同
r = torch.randn(2, 3, 4)
for a in range(2):
    for b in range(3):
        for c in range(4):
            value = r[a, b, c]
            assert r.transpose(1, 2)[a, c, b] == value
            assert r.permute(2, 0, 1)[c, a, b] == value
            assert r.flatten(1)[a, b * 4 + c] == value
            assert r.reshape(6, 4)[a * 3 + b, c] == value
            assert r.unsqueeze(2)[a, b, 0, c] == value
            assert r.repeat(2, 1, 3)[a + 2, b, c + 8] == value  # 第 2、9 … 份都是它
            assert r[:1].expand(5, 3, 4)[4, b, c] == r[0, b, c]
assert [part.tolist() for part in row.chunk(3)] == [
    part.tolist() for part in (row[:3], row[3:6], row[6:])
]

# %% 检验 共享的一起变，拷贝的不变
for name, method in methods.items():
    source = torch.zeros(1, 3, 4)
    y = method(source)
    source.fill_(1.0)
    assert y.eq(1.0).all() if name != "repeat(2, 1, 1)" else y.eq(0.0).all()

# %% 检验 合得起来的条件
import random


def mergeable(y: torch.Tensor, first: int, last: int) -> bool:
    """第 first 到 last 维能不能合成一维：相邻两维之间，外面的步长 = 里面的步长 × 里面的长度。"""
    dims = [d for d in range(first, last + 1) if y.shape[d] != 1]  # 长度为 1 的维不算数
    return all(
        y.stride(outer) == y.stride(inner) * y.shape[inner]
        for outer, inner in zip(dims, dims[1:], strict=False)
    )


random.seed(0)
answers = {(fits, whole): 0 for fits in (True, False) for whole in (True, False)}
for _ in range(2000):
    y = torch.zeros([random.randint(1, 4) for _ in range(4)])
    y = y.permute(random.sample(range(4), 4))
    y = y[tuple(slice(0, random.randint(1, n), random.randint(1, 2)) for n in y.shape)]
    if random.random() < 0.3:
        y = y[..., :1, :].expand(-1, -1, 3, -1)
    first, last = sorted(random.sample(range(4), 2))
    wanted = [*y.shape[:first], y.shape[first : last + 1].numel(), *y.shape[last + 1 :]]
    try:
        y.view(wanted)
        fits = True
    except RuntimeError:
        fits = False
    assert fits == mergeable(y, first, last)
    answers[fits, y.is_contiguous()] += 1
assert answers[False, True] == 0  # 连续的总合得起来
assert answers[True, False] > 100 and answers[False, False] > 100  # 不连续的两种都考到了
assert torch.zeros(2, 2, 0).transpose(0, 1).view(0).numel() == 0  # 没有元素的，规则不管
print("不连续的里面，合得起来", answers[True, False], "例，合不起来", answers[False, False], "例")

# %% 检验 拆了再合等于没动
for y in (heads, heads.contiguous()):  # 两种内存布局，结果一样
    assert y.transpose(1, 2).reshape(B, T, -1).equal(h)
for head in range(H):
    assert heads[:, head].equal(h[..., head * D : (head + 1) * D])  # 第 h 个头是连着的 D 列

# %% 检验 llm 里的拆头与合头
import math

from llm import LLMConfig
from llm.model import Attention, RotaryEmbedding

config = LLMConfig(hidden_size=16, num_attention_heads=4, num_key_value_heads=2)  # D = 4
rope = RotaryEmbedding(config)
cos, sin = rope(torch.arange(5).expand(2, 5), torch.float32)
assert cos.shape == sin.shape == (2, 1, 5, 2)  # unsqueeze(1) 留出的 1 对着头
theta = 10000.0 ** (-np.arange(2) / 2)  # (R/2,)
for t, i in np.ndindex(5, 2):
    assert math.isclose(cos[0, 0, t, i], math.cos(t * theta[i]), abs_tol=1e-6)
    assert math.isclose(sin[1, 0, t, i], math.sin(t * theta[i]), abs_tol=1e-6)


def turn(v: np.ndarray, t: int) -> np.ndarray:
    """把一个头的向量 (D,) 转 tθ：前一半是实部，后一半是虚部，乘 exp(i tθ)。"""
    z = (v[:2] + 1j * v[2:]) * np.exp(1j * t * theta)
    return np.concatenate([z.real, z.imag])


def one_by_one(layer: Attention, x: np.ndarray) -> np.ndarray:
    """不改任何形状：第 h 个头就是投影的第 h*D 到 (h+1)*D 列，逐头、逐词元用 NumPy 算。"""
    weight = {name: p.detach().numpy().T for name, p in layer.named_parameters()}
    q, k, v = (x @ weight[f"{name}_proj.weight"] for name in "qkv")
    y = np.zeros_like(q)
    for h in range(4):
        mine, its = slice(4 * h, 4 * h + 4), slice(4 * (h // 2), 4 * (h // 2) + 4)
        for t in range(len(x)):
            scores = [turn(q[t, mine], t) @ turn(k[s, its], s) / 2 for s in range(t + 1)]
            share = np.exp(scores) / np.exp(scores).sum()
            y[t, mine] = share @ v[: t + 1, its]
    return y @ weight["o_proj.weight"]


x = torch.randn(2, 5, 16)
q = Attention(config).q_proj(x).view(2, 5, 4, 4).transpose(1, 2)  # (B, H, T, D)，还没有转
assert not q.is_contiguous()
for interleaved in (False, True):  # cat、flatten 都给一块连续的，所以 SDPA 之后合头要拷贝
    for R in (2, 4):
        turned = apply_rotary(q, cos[..., : R // 2], sin[..., : R // 2], interleaved)
        assert turned.is_contiguous()
for backend in ("sdpa", "manual"):
    config.attention_backend = backend
    layer = Attention(config)
    got, (k, v) = layer(x, cos, sin)
    assert k.shape == v.shape == (2, 2, 5, 4)  # (B, K, S, D)
    for b in range(2):
        np.testing.assert_allclose(
            got[b].detach(), one_by_one(layer, x[b].numpy()), rtol=1e-4, atol=1e-6
        )

# %% 检验 llm 里的切两半与合并
from llm.loss import next_token_loss
from llm.model import FeedForward


def silu(z: np.ndarray) -> np.ndarray:
    """z · sigmoid(z)。"""
    return z / (1 + np.exp(-z))


mlp = FeedForward(LLMConfig(hidden_size=16, intermediate_size=6, fused_mlp=True))
both = x.numpy() @ mlp.gate_up_proj.weight.detach().numpy().T  # (B, T, 2I)
hidden = silu(both[..., :6]) * both[..., 6:]  # 前一半 gate，后一半 up
np.testing.assert_allclose(
    mlp(x).detach(), hidden @ mlp.down_proj.weight.detach().numpy().T, rtol=1e-4, atol=1e-6
)
logits, labels = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
losses = [
    math.log(sum(math.exp(z) for z in logits[b, t])) - logits[b, t, labels[b, t + 1]].item()
    for b in range(2)
    for t in range(4)  # 每行最后一个位置没有下一个
]
assert math.isclose(next_token_loss(logits, labels), sum(losses) / len(losses), rel_tol=1e-5)

# %% 检验 自测里的说法
assert [len(piece) for piece in torch.arange(6).tensor_split(4)] == [2, 2, 1, 1]
fused = torch.arange(12).view(1, 1, 12)  # (B, T, 2I)
halves, pairs = fused.chunk(2, dim=-1), fused.view(1, 1, 6, 2).unbind(-1)
assert [h.shape for h in halves] == [h.shape for h in pairs] and not halves[0].equal(pairs[0])
assert pairs[0].flatten().tolist() == [0, 2, 4, 6, 8, 10]

# %% 检验 报错的几种
for attempt in (
    lambda: torch.zeros(2, 3).view(4),  # 个数对不上
    lambda: torch.zeros(2, 3).reshape(4, -1),  # 6 不能被 4 整除
    lambda: torch.zeros(2, 3, 4).permute(1, 0),  # 没有写全
    lambda: torch.zeros(2, 3).expand(4, 3),  # 只有长度为 1 的维能扩
    lambda: torch.zeros(3).expand(-1, 3),  # 新添的维没有原来的长度，不能写 -1
    lambda: torch.zeros(2, 3).expand(3),  # 个数不能少于维数
    lambda: torch.zeros(2, 3).transpose(0, 1).view(6),
    lambda: torch.zeros(7).split([5, 1]),  # 长度之和要等于 7
    lambda: torch.zeros(2, 3).repeat(2),  # repeat 的个数不能少于维数
    lambda: torch.zeros(2, 3).expand(3),  # expand 的也不能
    lambda: torch.zeros(2, 3).flatten(1, 0),
    lambda: torch.zeros(2, 3).chunk(0),
):
    try:
        attempt()
    except RuntimeError as error:
        print(str(error).split(". ")[0].split(" (input")[0][:100])
    else:
        raise AssertionError("应当报错")

# %% 坏 少了 transpose
token = torch.arange(4).view(1, 4, 1).expand(1, 4, 4)  # (B, T, C)：每个数写着自己来自第几个词元
print("拆头，对:", token.view(1, 4, 2, 2).transpose(1, 2)[0, 0].tolist())
print("拆头，错:", token.reshape(1, 2, 4, 2)[0, 0].tolist(), "← 第 0 个头只有词元 0、1")
out = torch.arange(4).view(1, 1, 4, 1).expand(1, 2, 4, 2)  # (B, H, T, D)
print("合头，对:", out.transpose(1, 2).reshape(1, 4, -1)[0].tolist())
print("合头，错:", out.reshape(1, 4, -1)[0].tolist(), "← 第 0 行混进了词元 1")

# %% 坏 写进 expand 的结果
import warnings

hide = torch.tensor([[True, False, False], [False, True, False]])  # 每行想遮的不同
writes: dict[str, Callable[[torch.Tensor], object]] = {
    "mask[0, 0] = 1": lambda m: m.__setitem__((0, 0), 1.0),
    "mask[0].fill_(1)": lambda m: m[0].fill_(1.0),
    "mask.zero_()": lambda m: m.zero_(),
    "mask.masked_fill_(hide, 1)": lambda m: m.masked_fill_(hide, 1.0),
    "mask[hide] = 1": lambda m: m.__setitem__(hide, 1.0),
    "mask.copy_(…)": lambda m: m.copy_(hide.float()),
    "mask.add_(1)": lambda m: m.add_(1.0),
}
for name, write in writes.items():
    whole = torch.zeros(1, 3)
    mask = whole.expand(2, 3)  # 两行是同一行
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            write(mask)
            ending = f"{mask.tolist()}{'，只有一句警告' if caught else ''}"
        except RuntimeError:
            ending = "RuntimeError"
    print(f"{name:28}{ending}")
own = torch.zeros(1, 3).expand(2, 3).clone()  # 先拷贝一份，两行才各有各的
print("先 clone()：", own.masked_fill_(hide, 1.0).tolist())

# %% 坏 squeeze 不写维数
for batch in (2, 1):
    last = torch.zeros(batch, 1, 5)  # (B, 1, V)，只留最后一个位置
    print(f"B = {batch}: squeeze() {tuple(last.squeeze().shape)}，squeeze(1)", end=" ")
    print(tuple(last.squeeze(1).shape))
