# %% [markdown]
# # 调用模块：model(x) 不只是 model.forward(x)
# 来源：PyTorch 文档 `torch.nn.Module`、`register_forward_hook`；Python 文档 `object.__call__`

# %% 三步
import torch
from torch import Tensor, nn

from llm.model import RMSNorm

norm = RMSNorm(4, eps=1e-6)  # 1. 调用类：__init__ 建好参数，得到一个实例
x = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
y = norm(x)  # 2. 调用实例：type(norm).__call__(norm, x)，再由它去调 forward
print(y.detach(), "eps =", norm.eps)  # 3. 实例变量：这个实例自己的配置与参数
print("都能调用:", callable(RMSNorm), callable(norm), " 结果:", type(norm).__name__)

# %% 谁定义了什么
print("RMSNorm 自己写的:", [name for name in ("__init__", "forward") if name in vars(RMSNorm)])
print("__call__ 在 RMSNorm 里:", "__call__" in vars(RMSNorm))
print("__call__ 在 nn.Module 里:", "__call__" in vars(nn.Module))
print("找到的是同一个:", RMSNorm.__call__ is nn.Module.__call__)

# %% 钩子
log = []
before = norm.register_forward_pre_hook(lambda module, args: log.append("前向之前"))
after = norm.register_forward_hook(lambda module, args, output: log.append("前向之后"))
norm(x)
print("norm(x):        ", log)
log.clear()
norm.forward(x)
print("norm.forward(x):", log)
before.remove()
after.remove()

# %% 实例变量放在哪
print("实例自己的 __dict__ 里有 eps:   ", "eps" in vars(norm))
print("实例自己的 __dict__ 里有 weight:", "weight" in vars(norm))
print("登记在 _parameters 里:", list(norm._parameters))
norm.register_buffer("seen", torch.zeros(1))
print(
    "登记过的缓冲区在 __dict__ 里:", "seen" in vars(norm), " 在 _buffers 里:", list(norm._buffers)
)
norm.extra = nn.Linear(4, 4)  # 赋值时 __setattr__ 看它是什么，再决定登记到哪
print("登记在 _modules 里:   ", list(norm._modules))
del norm.extra, norm.seen

# %% 用钩子看数据流
from llm import LLMConfig, LLMForCausalLM

torch.manual_seed(0)
config = LLMConfig(
    vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2
)
model, ids = LLMForCausalLM(config).eval(), torch.randint(16, (2, 5))
hooks, rows = [], []


def watch(name: str, module: nn.Module) -> None:
    """这个模块每算完一次，就记下它的名字与输出的形状；输出不只一样时记第一样。"""

    def note(_: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        first = output[0] if isinstance(output, tuple) else output
        rows.append((name, tuple(first.shape)))

    hooks.append(module.register_forward_hook(note))


for name, module in model.named_modules():
    if isinstance(module, nn.Linear | nn.Embedding | RMSNorm):
        watch(name.removeprefix("model."), module)
model(ids)
for name, shape in rows:
    print(f"{name:34} {shape}")

# %% 图
from itertools import pairwise

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2))
places = {
    "model(x)": (0, 1),
    "pre-hook": (1.2, 1),
    "forward": (2.4, 1),
    "forward hook": (3.6, 1),
    "返回": (4.7, 1),
    "model.forward(x)": (1.2, 0),
    "返回 ": (3.6, 0),
}
boxes = {}
for name, (across, up) in places.items():
    color = "#d9822b" if "hook" in name else "#3f7fbf" if name == "forward" else "none"
    box = {"boxstyle": "round,pad=0.5", "edgecolor": color, "facecolor": "none", "linewidth": 1.5}
    boxes[name] = ax.text(across, up, name, ha="center", va="center", bbox=box)
chains = [
    ["model(x)", "pre-hook", "forward", "forward hook", "返回"],
    ["model.forward(x)", "forward", "返回 "],
]
for chain in chains:
    for start, end in pairwise(chain):
        arrow = {"arrowstyle": "->", "color": "#808080", "shrinkA": 3, "shrinkB": 3}
        arrow |= {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        ax.annotate("", places[end], places[start], arrowprops=arrow)
ax.set(xlim=(-0.6, 5.2), ylim=(-0.4, 1.4))
ax.axis("off")
figure.tight_layout()
figure.set_label(
    "两条路：model(x) 依次经过 pre-hook、forward、forward hook 才返回；"
    "model.forward(x) 直接到 forward 就返回，绕开了两个钩子"
)

# %% 检验 一个块就是这样拼起来的
block, caught = model.model.layers[0], {}


def catch(name: str, module: nn.Module) -> None:
    """记下这个模块的输入与输出；注意力的输出不只一样，记第一样。"""

    def note(_: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        caught[name] = (args[0], output[0] if isinstance(output, tuple) else output)

    hooks.append(module.register_forward_hook(note))


for hook in hooks:
    hook.remove()
hooks.clear()
for name, module in [("block", block), *block.named_children()]:
    catch(name, module)
model(ids)
for hook in hooks:
    hook.remove()
x_in, x_out = caught["block"]
attended, fed = caught["self_attn"][1], caught["mlp"][1]
torch.testing.assert_close(x_out, x_in + attended + fed)  # 两次残差
middle = x_in + attended
for name, source in {"input_layernorm": x_in, "post_attention_layernorm": middle}.items():
    torch.testing.assert_close(caught[name][0], source)
    torch.testing.assert_close(caught[name][1], nn.functional.rms_norm(source, (8,), None, 1e-6))
assert caught["self_attn"][0].equal(caught["input_layernorm"][1])
assert caught["mlp"][0].equal(caught["post_attention_layernorm"][1])

# %% 检验 没有钩子时相同
torch.testing.assert_close(norm(x), norm.forward(x), rtol=0, atol=0)
torch.testing.assert_close(norm(x), type(norm).__call__(norm, x), rtol=0, atol=0)
torch.testing.assert_close(norm(x), RMSNorm.forward(norm, x), rtol=0, atol=0)  # self 就是 norm

# %% 检验 钩子能改输入与输出
double = norm.register_forward_hook(lambda module, args, output: 2 * output)
torch.testing.assert_close(norm(x), 2 * norm.forward(x))
double.remove()
shift = norm.register_forward_pre_hook(lambda module, args: (args[0] + 1.0,))
torch.testing.assert_close(norm(x), norm.forward(x + 1.0))
shift.remove()
torch.testing.assert_close(norm(x), norm.forward(x), rtol=0, atol=0)  # 拿走之后恢复原样
seen: list[dict] = []


def look(module: nn.Module, args: tuple, kwargs: dict) -> None:
    """with_kwargs=True 的前置钩子多收一个字典。"""
    seen.append(kwargs)


for flag, hook in {False: lambda module, args: seen.append(args), True: look}.items():
    handle = norm.register_forward_pre_hook(hook, with_kwargs=flag)
    norm(x=x)  # 按名字给：没有 with_kwargs 的钩子看不见它
    handle.remove()
assert seen[0] == () and list(seen[1]) == ["x"]
bare = norm.register_forward_pre_hook(lambda module, args: args[0] + 1.0)  # 没有套元组
torch.testing.assert_close(norm(x), norm.forward(x + 1.0))
bare.remove()
late: list[str] = []
hooks = [
    norm.register_forward_hook(lambda module, args, output: late.append("平常的")),
    norm.register_forward_hook(
        lambda module, args, output: late.append("always_call"), always_call=True
    ),
    norm.register_forward_hook(
        lambda module, args, kwargs, output: late.append("with_kwargs"), with_kwargs=True
    ),
]
try:
    norm("不是张量")
except AttributeError:
    assert late == ["always_call"]  # forward 抛了异常，平常的后置钩子不跑
else:
    raise AssertionError("字符串没有 float()，应当报错")
norm(x)
assert late[1:] == ["平常的", "always_call", "with_kwargs"]
for hook in hooks:
    hook.remove()

# %% 检验 实例各有各的状态
one, two = RMSNorm(4, eps=1e-6), RMSNorm(4, eps=1e-5)
with torch.no_grad():
    one.weight.fill_(3.0)
assert (one.eps, two.eps) == (1e-6, 1e-5) and two.weight.eq(1).all()
assert one.forward.__func__ is two.forward.__func__  # 方法只有一份，在类里
assert one.forward.__self__ is one  # 绑定方法记得自己属于谁
one.train()
two.eval()
assert one.training and not two.training


# %% 检验 __call__ 在类上找
class Plain:
    """实例上再放一个 __call__，不起作用。"""

    def __call__(self) -> str:
        return "类里的"


plain = Plain()
plain.__call__ = lambda: "实例上的"
assert plain() == "类里的" and plain.__call__() == "实例上的"
quiet = RMSNorm(4, eps=1e-6)
quiet.forward = lambda x: x  # forward 却是从实例上取的：self.forward
torch.testing.assert_close(quiet(x), x, rtol=0, atol=0)

# %% 坏 直接调 forward
seen = []
hook = model.lm_head.register_forward_hook(lambda module, args, output: seen.append("lm_head"))
hidden = model.model(ids).last_hidden_state
through_call, through_forward = model.lm_head(hidden), model.lm_head.forward(hidden)
print("数相同:", through_call.equal(through_forward), " 钩子响了:", len(seen), "次，不是 2 次")
hook.remove()

# %% 坏 绕过了改参数的钩子
from llm.lab.mutations import MUTATIONS, mutate

print(MUTATIONS["rope_off_by_one"].text)  # 这个错是用 pre-hook 改 position_ids 做出来的
broken, body = mutate(model, "rope_off_by_one").model, model.model
with torch.no_grad():
    for name in ("__call__", "forward"):
        past = body(ids[:, :4], use_cache=True).past_key_values
        right = body(ids[:, 4:], past_key_values=past).last_hidden_state
        past = body(ids[:, :4], use_cache=True).past_key_values
        wrong = getattr(broken, name)(ids[:, 4:], past_key_values=past).last_hidden_state
        same = wrong.allclose(right, atol=1e-6)
        print(f"{name}：与原来的模型相同: {same}")
        assert same == (name == "forward")


# %% 坏 忘了 super().__init__()
class Forgot(nn.Module):
    """错：没有先建好登记用的那几个字典。"""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 2)


class Late(nn.Module):
    """同样的错，可是先放的是普通的值：不报错。"""

    def __init__(self) -> None:
        self.eps = 1e-6


print("普通的值照放:", vars(Late()))
try:
    Forgot()
except AttributeError as error:
    print(error)
else:
    raise AssertionError("登记之前应当先有 super().__init__()")


# %% 坏 放进普通的列表
class Listed(nn.Module):
    """错：列表只是个属性，里面的模块没有登记；ModuleList 才会登记。"""

    def __init__(self) -> None:
        super().__init__()
        self.lost = [nn.Linear(2, 2)]
        self.kept = nn.ModuleList([nn.Linear(2, 2)])


print([name for name, _ in Listed().named_parameters()])
