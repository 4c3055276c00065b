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
    "expand(2, -1, -1)": lambda y: y.expand(2, -1, -1),
    "flatten(1)": lambda y: y.flatten(1),
    "chunk(2, dim=-1)[1]": lambda y: y.chunk(2, dim=-1)[1],
    "split([1, 3], -1)[1]": lambda y: y.split([1, 3], dim=-1)[1],
    "repeat(2, 1, 1)": lambda y: y.repeat(2, 1, 1),
}
print(f"{'base':22}{tuple(base.shape)!s:14}{base.stride()}")
for name, method in methods.items():
    y = method(base)
    facts = f"连续 {'是' if y.is_contiguous() else '否'} 共享 {'是' if shares(y, base) else '否'}"
    print(f"{name:22}{tuple(y.shape)!s:14}{y.stride()!s:15}{facts}")

# %% view 要什么
wide = torch.arange(24).view(4, 6).transpose(0, 1)  # (6, 4)，步长 (1, 6)，不连续
print("拆开一维:", tuple(wide.view(2, 3, 4).shape), wide.view(2, 3, 4).stride())
try:
    wide.view(24)
except RuntimeError as error:
    print("合并两维:", str(error).split("(")[0])
print("reshape 复制了:", not shares(wide.reshape(24), wide))
print("contiguous 之后:", wide.contiguous().stride(), tuple(wide.contiguous().view(24).shape))
print("本就连续，contiguous 不复制:", base.contiguous() is base)

# %% 拆头与合头
B, T, H, D = 2, 4, 3, 5
h = torch.randn(B, T, H * D)  # 投影的输出
heads = h.view(B, T, H, D).transpose(1, 2)  # (B, H, T, D)
print("拆头:", tuple(heads.shape), heads.stride(), "共享:", shares(heads, h))
y = heads.contiguous()  # 算完注意力，常是一块新的、连续的内存
merged = y.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
print("合头:", tuple(merged.shape), "复制了:", not shares(merged, y))

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
    strides = tuple(n // y.element_size() for n in y.numpy().strides)  # NumPy 按字节数
    assert strides == y.stride()

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

# %% 检验 共享的一起变，复制的不变
for name, method in methods.items():
    source = torch.zeros(1, 3, 4)
    y = method(source)
    source.fill_(1.0)
    assert y.eq(1.0).all() if name != "repeat(2, 1, 1)" else y.eq(0.0).all()

# %% 检验 拆了再合等于没动
for y in (heads, heads.contiguous()):  # 两种内存布局，结果一样
    assert y.transpose(1, 2).reshape(B, T, -1).equal(h)
for head in range(H):
    assert heads[:, head].equal(h[..., head * D : (head + 1) * D])  # 第 h 个头是连着的 D 列

# %% 检验 llm 里的几处
from llm import LLMConfig
from llm.model import RotaryEmbedding, apply_rotary

cos, sin = RotaryEmbedding(LLMConfig(hidden_size=16, num_attention_heads=4))(
    torch.arange(5).expand(2, 5), torch.float32
)
assert cos.shape == sin.shape == (2, 1, 5, 2)  # unsqueeze(1) 留出的 1 对着头
q = torch.randn(2, 3, 5, 4)  # (B, N, T, D)，三个头共用一张表
shared = apply_rotary(q, cos, sin)
for head in range(3):
    alone = apply_rotary(q[:, head : head + 1], cos, sin)
    torch.testing.assert_close(shared[:, head : head + 1], alone, rtol=0, atol=0)

# %% 检验 报错的几种
for attempt in (
    lambda: torch.zeros(2, 3).expand(4, 3),  # 只有长度为 1 的维能扩
    lambda: torch.zeros(2, 3).transpose(0, 1).view(6),
    lambda: torch.zeros(7).split([5, 1]),  # 长度之和要等于 7
    lambda: torch.zeros(2, 3).repeat(2),  # repeat 的个数不能少于维数
):
    try:
        attempt()
    except RuntimeError as error:
        print(str(error).split(".")[0][:88])
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
mask = torch.zeros(1, 3).expand(2, 3)
mask[0, 0] = 1.0  # 想只改第 0 行
print(mask.tolist())
try:
    mask.add_(1.0)
except RuntimeError as error:
    print("整个就地加:", str(error).split(".")[0])
else:
    raise AssertionError("几个元素共用一格内存时，整个就地写应当报错")

# %% 坏 squeeze 不写维数
for batch in (2, 1):
    last = torch.zeros(batch, 1, 5)  # (B, 1, V)，只留最后一个位置
    print(f"B = {batch}: squeeze() {tuple(last.squeeze().shape)}，squeeze(1)", end=" ")
    print(tuple(last.squeeze(1).shape))
