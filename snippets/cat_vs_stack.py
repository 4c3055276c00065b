# %% [markdown]
# # cat 与 stack：接长，还是加一维
# 来源：PyTorch 文档 `torch.cat`、`torch.stack`

# %% 形状
import torch

a = torch.zeros(2, 3)
b = torch.ones(2, 3)
for dim in (0, 1):
    print(f"cat   dim={dim}", tuple(torch.cat([a, b], dim=dim).shape))
for dim in (0, 1, 2):
    print(f"stack dim={dim}", tuple(torch.stack([a, b], dim=dim).shape))

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
assert joined.data_ptr() not in {part.data_ptr() for part in parts}  # 两者都复制数据

# %% 检验 缓存等于一次算完
whole = model(ids, past_key_values=empty, use_cache=True).past_key_values
for (k_grown, v_grown), (k_whole, v_whole) in zip(grown, whole, strict=True):
    torch.testing.assert_close(k_grown, k_whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(v_grown, v_whole, rtol=1e-5, atol=1e-6)

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
same = torch.zeros(1, 2, 1, 4)  # 过去恰好也只有一个词元时，接错维不会报错
print("过去只有 1 个，cat dim=1 不报错:", tuple(torch.cat([same, new], dim=1).shape))
