# %% [markdown]
# # cat 与 stack：接长，还是加一维
# 来源：PyTorch 文档 `torch.cat`、`torch.stack`

# %% 形状
import torch

a = torch.zeros(2, 3)
b = torch.ones(2, 3)
for dim in (0, 1):
    print(f"cat   dim={dim}", tuple(torch.cat([a, b], dim=dim).shape))
for dim in (0, 1, 2, -1):
    print(f"stack dim={dim}", tuple(torch.stack([a, b], dim=dim).shape))

# %% cat 的一个例外
print("一维的空张量被跳过:", tuple(torch.cat([torch.zeros(0), a]).shape))
joined = torch.cat([torch.empty(0), torch.tensor([5, 16_777_217])])  # 后者是 int64
print("类型照样提升:", joined.dtype, [int(n) for n in joined])
try:
    torch.cat([torch.zeros(0, 5), a])  # 二维的空张量不跳过，宽度仍要相等
except RuntimeError as error:
    print(error)
scalars = [torch.tensor(1), torch.tensor(2.5)]
print("标量 stack:", torch.stack(scalars).tolist(), end="，")
try:
    torch.cat(scalars)
except RuntimeError as error:
    print("cat:", error)

# %% 键值缓存用 cat
from llm import LLMConfig, LLMModel

torch.manual_seed(0)
config = LLMConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2,
)
model = LLMModel(config).eval()
ids = torch.randint(32, (1, 6))
empty = tuple((torch.zeros(1, 2, 0, 4),) * 2 for _ in range(2))  # 每层 (k, v)，(B, K, 0, D)
past = model(ids[:, :5], past_key_values=empty, use_cache=True).past_key_values
grown = model(ids[:, 5:], past_key_values=past, use_cache=True).past_key_values
print("缓存:", tuple(past[0][0].shape), "→", tuple(grown[0][0].shape))  # (B, K, S, D)

# %% 交错配对用 stack
from llm.model import apply_rotary

even = torch.tensor([1.0, 3.0, 5.0])
odd = torch.tensor([2.0, 4.0, 6.0])
print("cat:          ", torch.cat([even, odd], dim=-1).tolist())
print("stack+flatten:", torch.stack([even, odd], dim=-1).flatten(-2).tolist())
x = torch.randn(1, 1, 1, 6)
still = apply_rotary(x, torch.ones(1, 1, 1, 3), torch.zeros(1, 1, 1, 3), interleaved=True)
print("转 0 度还是原样:", still.equal(x))

# %% 图
import matplotlib.pyplot as plt


def draw(ax: plt.Axes, rows: list[list[str]], title: str) -> None:
    """一格一格画出元素来自哪个张量。"""
    colors = {"a": "#3f7fbf", "b": "#d9822b", "": "none"}
    for y, row in enumerate(rows):
        for x_at, name in enumerate(row):
            ax.add_patch(plt.Rectangle((x_at, -y), 0.92, 0.92, color=colors[name], alpha=0.8))
    ax.set(xlim=(-0.2, 7), ylim=(-3.2, 1.2), title=title, aspect="equal")
    ax.axis("off")


figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.0))
draw(axes[0], [["a"] * 3, ["a"] * 3, ["b"] * 3, ["b"] * 3], "cat dim=0：(4, 3)")
draw(axes[1], [["a"] * 3 + ["b"] * 3] * 2, "cat dim=1：(2, 6)")
draw(axes[2], [["a"] * 3 + [""] + ["b"] * 3] * 2, "stack dim=0：(2, 2, 3)")
figure.tight_layout()
figure.set_label(
    "两个 (2, 3) 的张量，一蓝一橙：cat dim=0 上下接成四行，cat dim=1 左右接成六列，"
    "stack 仍是分开的两块，多出一维"
)

# %% 检验 stack 就是先 unsqueeze 再 cat
torch.manual_seed(0)
parts = [torch.randn(2, 3, 4) for _ in range(3)]
for dim in (-1, 0, 1, 2):
    by_cat = torch.cat([part.unsqueeze(dim) for part in parts], dim=dim)
    assert torch.stack(parts, dim=dim).equal(by_cat)

# %% 检验 逐元素
joined = torch.cat(parts, dim=1)
for index, part in enumerate(parts):
    assert joined[:, 3 * index : 3 * index + 3].equal(part)
    assert torch.stack(parts, dim=1)[:, index].equal(part)

# %% 检验 两者都拷贝，不共享
for together in (torch.cat, torch.stack):
    for given in (parts, parts[:1]):  # 只给一个，也拷贝
        made = together(given)
        before = made.clone()
        assert all(made.untyped_storage().data_ptr() != p.untyped_storage().data_ptr() for p in given)
        for part in given:
            part.add_(1.0)  # 改原来的
        assert made.equal(before)

# %% 检验 缓存等于一次算完
whole = model(ids, past_key_values=empty, use_cache=True).past_key_values
for (k_grown, v_grown), (k_whole, v_whole) in zip(grown, whole, strict=True):
    torch.testing.assert_close(k_grown, k_whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(v_grown, v_whole, rtol=1e-5, atol=1e-6)

# %% 检验 交错配对就是复数乘法
angle = torch.randn(1, 1, 1, 3)
turned = apply_rotary(x, angle.cos(), angle.sin(), interleaved=True)
pairs = torch.view_as_complex(x.unflatten(-1, (3, 2)))  # a 是实部，b 是虚部
expected = torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)
torch.testing.assert_close(turned, expected)
halves = apply_rotary(x[..., [0, 2, 4, 1, 3, 5]], angle.cos(), angle.sin())  # a 在前，b 在后
torch.testing.assert_close(halves[..., [0, 3, 1, 4, 2, 5]], expected)

# %% 检验 自测里的说法
four = [torch.randn(2, 3) for _ in range(4)]
side, joined = torch.stack(four, dim=1), torch.cat(four, dim=1)
assert side.shape == (2, 4, 3) and joined.shape == (2, 12) and side.reshape(2, 12).equal(joined)
out, moved = torch.zeros(0), 0
for step in range(1000):
    out = torch.cat([out, torch.tensor([float(step)])])
    moved += len(out)  # 结果有多长，就写了多少个
assert moved == 1000 * 1001 // 2 and out.tolist() == list(range(1000))
try:
    torch.stack([torch.zeros(0), torch.zeros(2)])
except RuntimeError as error:
    assert "equal size" in str(error)  # stack 没有 (0,) 的例外
else:
    raise AssertionError("应当报错")
assert torch.cat([torch.zeros(2, 7), torch.zeros(3, 7)]).shape == (5, 7)

# %% 坏 接错了维
old, new = torch.zeros(1, 2, 5, 4), torch.ones(1, 2, 1, 4)  # (B, K, S, D)
for name, make in {
    "cat dim=2": lambda: torch.cat([old, new], dim=2),
    "cat dim=1": lambda: torch.cat([old, new], dim=1),
    "stack": lambda: torch.stack([old, new]),
}.items():
    try:
        print(f"{name}:", tuple(make().shape))
    except RuntimeError as error:
        print(f"{name}: {str(error).split('.')[0]}")
for past, fresh in ((1, 1), (3, 3), (3, 2)):  # 过去几个词元，新来几个
    old, new = torch.zeros(1, 2, past, 4), torch.ones(1, 2, fresh, 4)
    try:
        ending = f"不报错，{tuple(torch.cat([old, new], dim=1).shape)}"
    except RuntimeError:
        ending = "报错"
    print(f"过去 {past}，新来 {fresh}，cat dim=1: {ending}")
q = torch.randn(1, 4, 1, 4)  # 四个查询头，本来配两个键值头
twice = torch.cat([torch.randn(1, 2, 1, 4)] * 2, dim=1)  # (1, 4, 1, 4)，本该是 (1, 2, 2, 4)
attend = torch.nn.functional.scaled_dot_product_attention
print("SDPA 也不报错:", tuple(attend(q, twice, twice, enable_gqa=True).shape))
