# %% [markdown]
# # 实例与对象：一切都是对象，「谁的实例」要看语境
# 来源：Python 文档《数据模型》（Data model）、教程第 9 章《类》

# %% 一切都是对象
import torch
from torch import nn

from llm.model import RMSNorm, causal_mask

norm = RMSNorm(4, 1e-6)
things = {
    "3": 3,
    "None": None,
    "causal_mask（函数）": causal_mask,
    "torch（import 进来的）": torch,
    "norm": norm,
    "RMSNorm（类）": RMSNorm,
    "type": type,
}
for name, thing in things.items():
    print(f"{name}：是 {type(thing).__name__} 的实例；是对象：{isinstance(thing, object)}")

# %% 同一个对象，几种语境
for kind in (RMSNorm, nn.Module, object, nn.Linear, type):
    print(f"norm 是 {kind.__name__} 的实例吗: {isinstance(norm, kind)}")
print("RMSNorm 自己呢:", isinstance(RMSNorm, nn.Module), isinstance(RMSNorm, type))
print("继承链:", " → ".join(kind.__name__ for kind in RMSNorm.__mro__))

# %% isinstance 与 type
from llm.config import _is_size

print("type(norm) is nn.Module:", type(norm) is nn.Module)  # 只认本类，不认父类
print("isinstance(norm, nn.Module):", isinstance(norm, nn.Module))
print("isinstance(True, int):", isinstance(True, int))  # bool 是 int 的子类
print("llm 里的正整数:", {repr(value): _is_size(value) for value in (8, True, 8.0)})

# %% isinstance 也能由元类改
class Loose:
    """写在类自己里，管的是它的实例，不管 isinstance。"""

    def __instancecheck__(self, thing: object) -> bool:
        return True


class Meta(type):
    """写在元类里，才管以它为元类的那些类。"""

    def __instancecheck__(cls, thing: object) -> bool:
        return True


class Anything(metaclass=Meta):
    pass


print("写在类里:", isinstance(3, Loose), " 写在元类里:", isinstance(3, Anything))


class Never(type):
    """一律答否；`type(x) is A` 的它管不到。"""

    def __instancecheck__(cls, thing: object) -> bool:
        return False


class Nothing(metaclass=Never):
    pass


class Less(Nothing):
    pass


print("一律答否的，本类:", isinstance(Nothing(), Nothing), " 子类:", isinstance(Less(), Nothing))
ones = torch.ones(1)  # torch 真的用到了：FloatTensor 不在继承链上，它的元类另有规则
print("torch.FloatTensor:", isinstance(ones, torch.FloatTensor), end=" ")
print("在继承链上:", torch.FloatTensor in type(ones).__mro__)

# %% 同一个，还是相等
one, two = [1, 2], [1, 2]
print("列表:", one == two, one is two)
a, b = torch.ones(2), torch.ones(2)
print("张量:", (a == b).tolist(), a is b)  # 张量的 == 是逐元素的
left, right = RMSNorm(4, 1e-6), RMSNorm(4, 1e-6)
print("模块:", left == right, left is right)  # 没有定义 __eq__，就只和自己相等
print("权重的值相同:", left.weight.equal(right.weight))

# %% 两个归一化，两个实例
from llm import LLMConfig, LLMForCausalLM

config = LLMConfig(
    vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=3,
    num_attention_heads=2, tie_word_embeddings=True,
)  # fmt: skip
model = LLMForCausalLM(config)
block = model.model.layers[0]
first, second = block.input_layernorm, block.post_attention_layernorm
print("同一个类:", type(first) is type(second), " 同一个实例:", first is second)
print("权重同一个:", first.weight is second.weight)
print("共享词嵌入，权重同一个:", model.lm_head.weight is model.model.embed_tokens.weight)

# %% 类变量与实例变量
from llm.hf import LLMPreTrainedModel

print("在类上:", "config_class" in vars(LLMPreTrainedModel), isinstance(model, LLMPreTrainedModel))
print("在实例上:", {name: name in vars(model) for name in ("config_class", "config")})
print("都取得到:", model.config_class is type(model.config))
print("子模块另有一处:", "layers" in vars(model.model), "layers" in model.model._modules)


class Counter:
    """一个类变量，一个实例变量。"""

    step = 1  # 类变量：全体共用一个

    def __init__(self) -> None:
        self.total = 0  # 实例变量：各有一个


x, y = Counter(), Counter()
Counter.step = 5
print("改类:", x.step, y.step)
x.step = 9  # 普通的属性，等号左边的 x.step 写到 x 自己身上，从此遮住类变量
print("改实例:", x.step, y.step, Counter.step, vars(x), vars(y))

# %% 方法是绑在实例上的函数
data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
print(type(RMSNorm.forward).__name__, type(norm.forward).__name__)
print("self 就是它:", norm.forward.__self__ is norm)
print("两种叫法相同:", norm.forward(data).equal(RMSNorm.forward(norm, data)))

# %% classmethod 与 staticmethod
from llm.model import repeat_kv


class Tiny(LLMConfig):
    """LLMConfig 的子类，什么也没改。"""


print("preset 绑着的是类:", LLMConfig.preset.__self__ is LLMConfig)
print("从子类调用，造出的是:", type(Tiny.preset("llama")).__name__)  # cls 是 Tiny


class Heads:
    """同一个函数，两种放法。"""

    plain = repeat_kv  # 类体里的函数，从实例取出来就绑上实例
    free = staticmethod(repeat_kv)  # 取出来就是原来的函数


kv = torch.randn(1, 2, 3, 4)
print("staticmethod:", tuple(Heads().free(kv, 2).shape), Heads().free is repeat_kv)
try:
    Heads().plain(kv, 2)
except TypeError as error:
    print("没有 staticmethod:", error)
print("property 优先于实例的字典:", end=" ")
sized = LLMConfig(hidden_size=16, num_attention_heads=4)
vars(sized)["rotary_dim"] = 999  # 绕过赋值，硬写进字典
print(sized.rotary_dim)
try:
    sized.rotary_dim = 999
except AttributeError as error:
    print("写也由它管:", error)

# %% 图
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.2, 3.2))
spots = {
    "object": (1.0, 2.0), "nn.Module": (3.0, 2.0), "RMSNorm": (5.0, 2.0), "type": (7.4, 2.0),
    "input_layernorm": (3.6, 0.5), "post_attention_\nlayernorm": (6.4, 0.5),
}  # fmt: skip
for name, (across, up) in spots.items():
    color = "#3f7fbf" if up > 1 else "#d9822b"
    box = {"boxstyle": "round,pad=0.45", "fc": color, "ec": "none", "alpha": 0.85}
    ax.text(across, up, name, ha="center", va="center", color="#ffffff", fontsize=9, bbox=box)
SOLID = {"arrowstyle": "-|>", "color": "#3f7fbf", "shrinkA": 26, "shrinkB": 30, "lw": 1.5}
DASH = {**SOLID, "color": "#d9822b", "linestyle": "--", "shrinkA": 18, "shrinkB": 16}
for child, parent in (("RMSNorm", "nn.Module"), ("nn.Module", "object")):
    ax.annotate("", spots[parent], spots[child], arrowprops=SOLID)
for thing, kind in (("input_layernorm", "RMSNorm"), ("post_attention_\nlayernorm", "RMSNorm")):
    ax.annotate("", spots[kind], spots[thing], arrowprops=DASH)
ax.annotate("", spots["type"], spots["RMSNorm"], arrowprops={**DASH, "shrinkA": 30, "shrinkB": 18})
ax.text(4, 2.25, "继承", ha="center", fontsize=9)
ax.text(6.3, 2.25, "是它的实例", ha="center", fontsize=9)
ax.text(5, 1.15, "是它的实例", ha="center", fontsize=9)
ax.text(1.6, 0.5, "实例：各有自己的权重", ha="center", va="center", fontsize=9)
ax.text(1.0, 2.5, "类也是对象", ha="center", fontsize=9)
ax.set(xlim=(0, 8.2), ylim=(0, 2.8))
ax.set_axis_off()
figure.set_label(
    "上排四个类，实线箭头：RMSNorm 继承 nn.Module，再继承 object；虚线箭头：RMSNorm 是 type 的实例；"
    "下排 input_layernorm 与 post_attention_layernorm 是 RMSNorm 的两个实例"
)

# %% 检验 isinstance 就是在继承链里找
import math

from llm.model import TransformerBlock

values = [3, True, None, "a", norm, model, RMSNorm, type, len, torch.ones(1), first.weight]
kinds = [int, bool, str, object, type, nn.Module, RMSNorm, torch.Tensor, torch.Size]
for value in values:
    for kind in kinds:
        chain = any(parent is kind for parent in type(value).__mro__)
        assert isinstance(value, kind) == chain, (value, kind)


from unittest.mock import Mock

fake = Mock(spec=RMSNorm)  # 另报一个 __class__
assert isinstance(fake, RMSNorm) and RMSNorm not in type(fake).__mro__

# %% 检验 取属性：先实例，后类
def look_up(thing: object, name: str) -> object:
    """普通属性的规则：先看实例自己的字典，再顺着继承链看各个类的。"""
    for table in (vars(thing), *(vars(kind) for kind in type(thing).__mro__)):
        if name in table:
            return table[name]
    raise AttributeError(name)


for thing, names in {
    x: ("step", "total"),
    y: ("step", "total"),
    model: ("config", "config_class", "base_model_prefix", "accepts_loss_kwargs"),
    norm: ("eps", "training"),
}.items():
    for name in names:
        assert look_up(thing, name) is getattr(thing, name)

# %% 检验 llm 里的几个类
for family in ("llama", "glm4"):
    made = TransformerBlock(
        LLMConfig.preset(family, hidden_size=8, num_attention_heads=2, intermediate_size=16)
    )
    norms = [module for module in made.modules() if type(module) is RMSNorm]
    assert len(norms) == len({id(n) for n in norms}) == (4 if family == "glm4" else 2)
    assert made.input_layernorm in norms and made.post_attention_layernorm in norms
    assert all(n.weight.shape == (8,) for n in norms)
assert [_is_size(value) for value in (8, 1, 0, -1, True, False, 8.0, "8", None)] == [
    True, True, *[False] * 7
]  # fmt: skip
assert type(model).config_class is LLMConfig and type(model.config) is LLMConfig
assert model.base_model is model.model  # base_model_prefix 说主体叫什么
model.activation_checkpointing_enable()  # supports_gradient_checkpointing 为假时会拒绝
assert model.is_activation_checkpointing
model.activation_checkpointing_disable()
rotary = model.model.rotary_emb
rotary.cos = torch.zeros_like(rotary.cos)
model._init_weights(rotary)  # 旋转表不保存，读回之后由它重填
assert rotary.cos[0].eq(1).all() and math.isclose(rotary.cos[1, 0], math.cos(1), rel_tol=1e-6)

# %% 检验 各学各的
before = second.weight.detach().clone()
model(torch.randint(16, (2, 5)), labels=torch.randint(16, (2, 5))).loss.backward()
assert not first.weight.grad.allclose(second.weight.grad)  # 梯度各算各的
with torch.no_grad():
    first.weight.add_(1.0)
    model.lm_head.weight.add_(1.0)
assert second.weight.equal(before)
listed = [name for name, _ in model.named_parameters()]
assert "model.embed_tokens.weight" in listed and "lm_head.weight" not in listed  # 共用的只列一次
assert model.model.embed_tokens.weight.equal(model.lm_head.weight)  # 同一个，一起变

# %% 检验 换了类，还是那个实例
from llm.lab.mutations import _parts, mutate
from llm.model import RotaryEmbedding

assert _parts(model, RMSNorm) == tuple(m for m in model.modules() if type(m) is RMSNorm)
assert len(_parts(model, RMSNorm)) == 7 and len(_parts(model, nn.Linear)) == 3 * 7 + 1
sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 16}
qwen = LLMForCausalLM(LLMConfig.preset("qwen3", intermediate_size=16, **sizes))
ids = torch.randint(16, (2, 5))
for name, whole, kind, find in (  # 三处换类的
    ("norm_weight_ignored", model, RMSNorm, lambda m: m.model.layers[0].input_layernorm),
    ("q_norm_weight_ignored", qwen, RMSNorm, lambda m: m.model.layers[0].self_attn.q_norm),
    ("rope_backwards", model, RotaryEmbedding, lambda m: m.model.rotary_emb),
):
    with torch.no_grad():
        for weight in whole.parameters():
            weight.add_(torch.randn_like(weight) * 0.5)  # 刚造好的归一化权重全是 1，乘不乘看不出
    broken = mutate(whole, name)
    mine, swapped = find(whole), find(broken)
    assert type(mine) is kind and type(swapped) is not kind and isinstance(swapped, kind)
    assert swapped is not mine  # 副本里的另一个实例
    for key, weight in whole.state_dict().items():
        assert broken.state_dict()[key].equal(weight), key  # 权重一个也没动
    assert not broken(ids).logits.allclose(whole(ids).logits, atol=1e-4), name

# %% 检验 自测里的说法
x_norm, y_norm = RMSNorm(4, 1e-6), RMSNorm(4, 1e-6)
assert x_norm != y_norm and x_norm.weight.equal(y_norm.weight)
assert type(model.lm_head) is nn.Linear and type(model.model.embed_tokens) is nn.Embedding
assert isinstance(x_norm.weight, torch.Tensor) and type(x_norm.weight) is not torch.Tensor

# %% 坏 一个实例放了三次
shared = nn.ModuleList([TransformerBlock(config)] * 3)  # 乘的是引用，不是块
separate = nn.ModuleList(TransformerBlock(config) for _ in range(3))
for name, layers in {"[块] * 3": shared, "构造三次": separate}.items():
    kinds_of = len({id(layer) for layer in layers})
    size = sum(p.numel() for p in layers.parameters())
    print(f"{name}: 层数 {len(layers)}，实例 {kinds_of}，参数 {size}")


# %% 坏 可变的类变量
class Cache:
    """错的写法：列表写在类上，全体实例共用一个。"""

    keys: list[int] = []  # noqa: RUF012


dialogue, other = Cache(), Cache()
dialogue.keys.append(42)  # 没有等号：取到的是类上的列表，改的就是它
print("另一个对话里也有:", other.keys, " 同一个:", other.keys is Cache.keys)

# %% 坏 忘了一对括号
gate = nn.SiLU(torch.ones(2))  # 想算 SiLU(x)，却造了一个实例，x 成了 inplace 参数
print("gate 是", type(gate).__name__, "的实例")
try:
    gate * 2
except TypeError as error:
    print("TypeError:", error)
print("对的:", nn.SiLU()(torch.ones(2)).equal(torch.nn.functional.silu(torch.ones(2))))
