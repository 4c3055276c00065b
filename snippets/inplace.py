# %% [markdown]
# # 就地操作：改的是谁的内存，autograd 怎样发现
# 来源：PyTorch 文档《Autograd mechanics》之 *In-place operations with autograd*

# %% 下划线
import torch

x = torch.tensor([1.0, 2.0])
y = x.add(10)  # 新张量
z = x.add_(10)  # 改 x 自己，返回 x
print(x.tolist(), "z is x:", z is x, " y is x:", y is x)
alias = x
x += 1  # 也是就地：等于 x.add_(1)，再让名字 x 指着返回的 x
print("+= 之后，别名也变:", alias.tolist())
x = x + 1  # 新张量，名字 x 换了指的东西
print("x = x + 1 之后，别名不变:", alias.tolist(), x.tolist())

# %% 版本号
base = torch.zeros(4)
half, cut, data = base[:2], base.detach(), base.data
history = [base._version]
base.add_(1)
half.add_(1)  # 视图与原张量共用一个计数
cut.add_(1)  # detach 也共用
history.append(base._version)
data.add_(1)  # .data 另起一个计数：改了内存，base 的版本号不知道
print("版本:", history, "→", base._version, " 值:", base.tolist())

# %% 一句话数几次
from itertools import pairwise

one = torch.zeros(3)
counts = [one._version]
one[0] = 1.0
counts.append(one._version)
one += 1
counts.append(one._version)
one[0] += 1  # 取出视图 v = one[0]，v += 1，再写回 one[0] = v：改了两次
counts.append(one._version)
print("one[0] = 1、one += 1、one[0] += 1 各加:", [new - old for old, new in pairwise(counts)])

# %% 谁存了什么
from collections.abc import Callable

operations: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "softmax": lambda a: a.softmax(-1),
    "relu": torch.relu,
    "square": torch.square,
    "sin": torch.sin,
    "a * 3": lambda a: a * 3,
    "a + 3": lambda a: a + 3,
}


def survives(operation: Callable[[torch.Tensor], torch.Tensor], side: str) -> bool:
    """前向之后就地改输入或输出，反向报不报错。"""
    leaf = torch.tensor([0.5, 1.5], requires_grad=True)
    given = leaf * 1.0  # 不是叶子，可以就地改
    out = operation(given)
    (given if side == "输入" else out).mul_(2.0)
    try:
        out.sum().backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
        return False
    return True


table = {
    name: {side: survives(operation, side) for side in ("输入", "输出")}
    for name, operation in operations.items()
}
for side in ("输入", "输出"):
    print(f"改{side}会报错:", "、".join(name for name in table if not table[name][side]))

# %% 图
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.2, 1.9))
for column, sides in enumerate(table.values()):
    for row, fine in enumerate(sides.values()):
        color = "#3f7fbf" if fine else "#d9822b"
        ax.add_patch(plt.Rectangle((column, row), 0.94, 0.9, color=color, alpha=0.8))
        word = "可以" if fine else "报错"
        ax.text(column + 0.47, row + 0.45, word, ha="center", va="center", color="#202020")
ax.set(xlim=(0, len(table)), ylim=(2, 0), title="前向之后就地改，反向会怎样")
ax.set_xticks([n + 0.47 for n in range(len(table))], list(table))
ax.set_yticks([0.45, 1.45], ["改输入", "改输出"])
ax.tick_params(length=0)
for edge in ax.spines.values():
    edge.set_visible(False)
figure.set_label(
    "两行八列的表：改输入，square 与 sin 报错；改输出，exp、sigmoid、softmax、relu 报错；"
    "其余可以，a * 3 与 a + 3 两边都可以"
)

# %% 叶子
w = torch.tensor([1.0, 2.0], requires_grad=True)  # 叶子：不是运算的结果，要梯度
for name, change in {"w": lambda: w.mul_(2), "w[:1]": lambda: w[:1].mul_(2)}.items():
    try:
        change()
    except RuntimeError as error:
        print(f"{name}:", error)
with torch.no_grad():
    w.mul_(2)  # 优化器就是这样改权重的
print(w.tolist(), "仍要梯度:", w.requires_grad, " 版本:", w._version)

# %% 推理模式不记版本
with torch.inference_mode():
    made = torch.ones(2)
try:
    made._version
except RuntimeError as error:
    print(error)

# %% 检验 版本号只数就地操作
for times in range(5):
    subject = torch.zeros(3)
    for _ in range(times):
        subject.add(1), subject.exp(), subject.view(3, 1)  # 都不算
        subject[0] = 1.0  # 等号左边的下标，算
    assert subject._version == times
picked = torch.zeros(3)
picked[picked == 0] += 1  # 布尔下标取出的是拷贝，只在写回时数一次
picked[torch.tensor([0, 2])] += 1
assert picked._version == 2 and picked.tolist() == [2, 1, 2]
shared = torch.zeros(2, 3)
shared.t().unsqueeze(0).flatten(0, 1)[0].fill_(1.0)  # 视图的视图，还是同一个计数
assert shared._version == 1 and shared[:, 0].eq(1).all()

# %% 检验 不报错的，梯度是对的
STEP = 1e-6
point = torch.tensor([0.5, 1.5], dtype=torch.float64)
share = torch.tensor([1.0, 3.0], dtype=torch.float64)  # 不等的系数，softmax 的梯度才不是 0
for name, operation in operations.items():
    for side in ("输入", "输出"):
        if not table[name][side]:
            continue
        leaf = point.clone().requires_grad_()
        given = leaf * 1.0
        out = operation(given)
        (given if side == "输入" else out).mul_(2.0)
        (out * share).sum().backward()
        factor = 1.0 if side == "输入" else 2.0  # 改输入在算完之后，与结果无关
        for k in range(2):  # 旁证：差商
            nudge = torch.zeros(2, dtype=torch.float64)
            nudge[k] = STEP
            rise = ((operation(point + nudge) - operation(point - nudge)) * share).sum()
            torch.testing.assert_close(
                leaf.grad[k], factor * rise / (2 * STEP), rtol=1e-6, atol=1e-8
            )

# %% 检验 detach 瞒不过，data 瞒得过
for cut_off, caught in ((lambda a: a.detach(), True), (lambda a: a.data, False)):
    leaf = torch.tensor([1.0], requires_grad=True)
    out = leaf.exp()
    cut_off(out).mul_(2.0)
    try:
        out.sum().backward()
    except RuntimeError:
        assert caught
    else:
        assert not caught
        assert not leaf.grad.allclose(torch.tensor([1.0]).exp())  # 悄悄错了


# %% 检验 几句容易记错的话
def errs(run: Callable[[], object]) -> bool:
    """报错吗。"""
    try:
        run()
    except RuntimeError:
        return True
    return False


a = torch.tensor([1.0, -2.0], requires_grad=True)
matrix = torch.ones(2, 2, requires_grad=True)
assert errs(lambda: torch.zeros(2, dtype=torch.int64).add_(0.5))  # 类型不能变
assert errs(lambda: torch.zeros(2).add_(torch.zeros(3, 2)))  # 形状不能变
square = torch.zeros(2, 3)
assert square.t_().shape == (3, 2) and square.unsqueeze_(0).shape == (1, 3, 2)  # 换的是读法
assert square._version == 2
assert errs(lambda: a.exp().add_(1).sum().backward())  # exp 存了输出，被加法改了
assert not errs(lambda: (a + 1).exp_().sum().backward())  # 加法什么也没存
assert errs(lambda: a.sigmoid().relu_().sum().backward())
assert not errs(lambda: (matrix @ a).relu_().sum().backward())  # 矩阵乘存的是输入
assert errs(lambda: (a * made).sum().backward())  # 推理模式里造的，不能存下来
assert not (a - 0.1).is_leaf and a.is_leaf
for write in (  # 写进去的转成左边的类型，不报错
    lambda n: n.fill_(2.7),
    lambda n: n.copy_(torch.tensor([2.7, 2.7])),
    lambda n: n.masked_fill_(n.eq(0), 2.7),
    lambda n: n.__setitem__(slice(None), 2.7),
):
    whole = torch.zeros(2, dtype=torch.int64)
    write(whole)
    assert whole.tolist() == [2, 2]
leaf = torch.ones(2, requires_grad=True)
leaf.detach().mul_(3)  # 不记录，叶子也改得
assert leaf.tolist() == [3, 3] and leaf.is_leaf and leaf._version == 1
import warnings

with warnings.catch_warnings(record=True) as said, torch.autograd.set_detect_anomaly(True):
    warnings.simplefilter("always")
    assert errs(lambda: a.exp().add_(1).sum().backward())
assert any("a.exp().add_(1)" in str(one.message) for one in said)  # 指出前向的那一行


# %% 检验 llm 的前向不改输入与参数
from torch.utils._python_dispatch import TorchDispatchMode

from llm import LLMConfig, LLMForCausalLM
from llm.lab.mutations import mutate

config = LLMConfig(
    vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
)
model = LLMForCausalLM(config)
ids = torch.randint(16, (2, 5))


def versions() -> list[int]:
    """输入与每个参数、缓冲的版本号。"""
    return [ids._version, *(t._version for t in (*model.parameters(), *model.buffers()))]


class Writes(TorchDispatchMode):
    """记下所有会改写参数的底层运算，不管它是从哪里调用的。"""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.is_mutable:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


with Writes() as writes:
    torch.zeros(2).add_(1.0)  # 先看它真的认得出
assert writes.seen == ["aten.add_.Tensor"]
before = versions()
for backend in ("sdpa", "manual"):
    for block in model.model.layers:
        block.self_attn.manual = backend == "manual"
    with Writes() as writes:
        past = model(ids, use_cache=True).past_key_values
        model(ids, past_key_values=past, use_cache=True)  # 接着过去再走一步
        loss = model(ids, labels=ids).loss
    assert not writes.seen, writes.seen  # 前向里一个就地运算也没有
    loss.backward()
assert versions() == before
torch.optim.SGD(model.parameters(), lr=0.1).step()
count = 1 + len(list(model.parameters()))  # 第 0 个是输入
assert all(new > old for new, old in zip(versions()[1:count], before[1:count], strict=True))
assert versions()[count:] == before[count:]  # 缓冲不训练

# %% 检验 llm 的两段照定义算
import math

import numpy as np

from llm.model import attention_weights

q, k = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)  # (B, H, T, D)
see = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0]]).bool()[None, None]  # 最后一行什么也看不见
got, kept = attention_weights(q, k, see), (q.clone(), k.clone())
for h, t in np.ndindex(2, 3):
    powers = [math.exp(float(q[0, h, t] @ k[0, h, s]) / 2) * see[0, 0, t, s] for s in range(3)]
    wanted = torch.stack(powers) / max(sum(powers), 1e-30)  # 整行看不见时全是 0
    torch.testing.assert_close(got[0, h, t], wanted)
assert q.equal(kept[0]) and k.equal(kept[1])
block, x = model.model.layers[0], torch.randn(2, 5, 8)
cos, sin = model.model.rotary_emb(torch.arange(5)[None], x.dtype)
kept = x.clone()
middle = x + block.self_attn(block.input_layernorm(x), cos, sin)[0]
wanted = middle + block.mlp(block.post_attention_layernorm(middle))
torch.testing.assert_close(block(x, cos, sin)[0], wanted)
assert x.equal(kept) and x._version == 0  # 残差没有写成 x += …

# %% 检验 改坏的是副本
from copy import deepcopy

from llm.lab.mutations import _gate_and_up_swapped

frozen, weights = versions(), [p.clone() for p in model.parameters()]
broken = mutate(model, "gate_up_swapped")
assert versions() == frozen
assert all(p.equal(old) for p, old in zip(model.parameters(), weights, strict=True))
assert not broken(ids).logits.allclose(model(ids).logits)
old, new = model.model.layers[0].mlp, broken.model.layers[0].mlp
assert new.gate_proj.weight.equal(old.up_proj.weight)  # 分开存的，换模块，没有就地改
assert new.gate_proj.weight._version == 0 and new.up_proj.weight.equal(old.gate_proj.weight)

config.fused_mlp = True  # 合在一个矩阵里的，才轮到 copy_
fused = LLMForCausalLM(config)
old = fused.model.layers[0].mlp.gate_up_proj.weight  # (2I, C)
start, values = old._version, old.clone()
new = mutate(fused, "gate_up_swapped").model.layers[0].mlp.gate_up_proj.weight
assert new._version == 1 and new.is_leaf  # 副本的计数从 0 起，copy_ 数了一次
assert new.equal(torch.cat([values[16:], values[:16]])) and not new.equal(values)
assert old._version == start and old.equal(values)
assert errs(lambda: _gate_and_up_swapped(deepcopy(fused)))  # 没有 no_grad：叶子不许就地改

# %% 检验 自测里的说法
w = torch.tensor([1.0, 2.0], requires_grad=True)
(w**2).sum().backward()
same = w
assert errs(lambda: w.sub_(0.1 * w.grad))
with torch.no_grad():
    w -= 0.1 * w.grad
assert w is same and w.is_leaf
w = w - 0.1 * same.grad
assert w is not same and not w.is_leaf  # 优化器手里的还是 same

# %% 坏 用 data 改，梯度悄悄错了
for how in ("不改", "clamp", ".data", "NumPy"):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    out = leaf.sigmoid()
    if how == "clamp":
        out = out.clamp(max=0.8)  # 记进图里，求导知道截过
    if how == ".data":
        out.data.clamp_(max=0.8)
    if how == "NumPy":
        view = out.detach().numpy()  # 共用内存；NumPy 不会去改版本号
        view[:] = view.clip(max=0.8)
    out.sum().backward()
    print(f"{how:6} 值 {[round(v, 4) for v in out.tolist()]}", end="  ")
    print("梯度", [round(v, 4) for v in leaf.grad.tolist()])

# %% 坏 反向之前先走了一步
for kind in (torch.optim.SGD, torch.optim.AdamW):
    for fused in (False, True):
        weight = torch.tensor([1.0, 2.0], requires_grad=True)
        optimizer = kind([weight], lr=0.1, fused=fused)
        first, second = (weight**2).sum(), (weight**3).sum()
        first.backward()
        before = weight._version
        optimizer.step()  # 就地改了 weight，而 second 的反向还要用旧值
        optimizer.zero_grad()
        print(f"{kind.__name__} fused={fused}: 版本号加 {weight._version - before}，", end="")
        try:
            second.backward()
        except RuntimeError as error:
            print("报错：" + str(error).split("operation: ")[1].split(". Hint")[0])
        else:
            assert not weight.grad.allclose(torch.tensor([3.0, 12.0]))
            print("不报错，梯度", [round(g, 2) for g in weight.grad.tolist()], "应是 [3.0, 12.0]")


# %% 坏 存下来的隐藏状态全一样
def collect(x: torch.Tensor, inplace: bool) -> list[list[float]]:
    """每层加 1，并把每层的输入存下来。"""
    kept = []
    for _ in range(3):
        kept.append(x)
        if inplace:
            x += 1  # 存下来的是同一个张量，跟着一起变
        else:
            x = x + 1
    return [state.tolist() for state in kept]


print("x = x + 1:", collect(torch.zeros(2), inplace=False))
print("x += 1:   ", collect(torch.zeros(2), inplace=True))
