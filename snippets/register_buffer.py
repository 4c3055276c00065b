# %% [markdown]
# # register_buffer：不训练，但属于模块
# 来源：PyTorch 文档 `torch.nn.Module.register_buffer`

# %% 三种张量
import torch
from torch import nn


class Scale(nn.Module):
    """同一个数用三种身份放进模块。"""

    def __init__(self) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.ones(2))
        self.register_buffer("fixed", torch.ones(2))
        self.plain = torch.ones(2)  # 只是个属性，模块不知道它


scale = Scale()
print("parameters:", [name for name, _ in scale.named_parameters()])
print("buffers:   ", [name for name, _ in scale.named_buffers()])
print("state_dict:", list(scale.state_dict()))

# %% 跟着走
scale.to(torch.float64)
for name in ("learned", "fixed", "plain"):
    print(f"{name:8}", getattr(scale, name).dtype)

# %% llm 里的旋转表
from llm import LLMConfig, LLMForCausalLM
from llm.model import RotaryEmbedding

rope = RotaryEmbedding(LLMConfig(hidden_size=32, num_attention_heads=4, max_position_embeddings=16))
print({name: tuple(table.shape) for name, table in rope.named_buffers()})  # (P, R/2)
print("存进检查点的:", list(rope.state_dict()))  # persistent=False：能重算的不必存

# %% 图
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2.6))
for pair in range(rope.cos.shape[1]):
    ax.plot(rope.cos[:, pair], marker="o", markersize=3, label=f"第 {pair} 对")
ax.set(xlabel="位置", ylabel="cos", title="旋转表 cos：每一列是一对分量，转得一个比一个慢")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ax.grid(True)
figure.set_label(
    "四条 cos 曲线，位置 0 到 15：第 0 对来回转了两圈多，第 1 对只降到 0 附近，"
    "第 2、3 对几乎一直是 1"
)

# %% 检验 不被优化
optimizer = torch.optim.SGD(scale.parameters(), lr=0.5)
(scale.learned * scale.fixed).sum().backward()
optimizer.step()
assert scale.fixed.equal(torch.ones(2, dtype=torch.float64))
assert scale.learned.equal(torch.full((2,), 0.5, dtype=torch.float64))
assert scale.fixed.grad is None
tracked = nn.Module()
tracked.register_buffer("odd", torch.ones(1, requires_grad=True))
(2 * tracked.odd).sum().backward()
assert tracked.odd.grad == 2 and not list(tracked.parameters())  # 有梯度，优化器却看不见它

# %% 检验 表的值
position = torch.arange(16.0)[:, None]
frequency = 10000.0 ** -(torch.arange(0, 8, 2) / 8)
torch.testing.assert_close(rope.cos, torch.cos(position * frequency))
torch.testing.assert_close(rope.sin, torch.sin(position * frequency))

# %% 赋值为什么管用
print(
    "登记过的 cos，在普通的 __dict__ 里:",
    "cos" in vars(rope),
    " 在 _buffers 里:",
    "cos" in rope._buffers,
)
rope.cos = rope.cos.clone()  # 名字登记过：__setattr__ 换掉 _buffers 里的那一个
print("再赋值之后，cos 仍是缓冲区:", "cos" in dict(rope.named_buffers()))
rope.tan = rope.sin / rope.cos  # 名字没有登记过：只是个属性
print("没有登记过的 tan 是缓冲区:  ", "tan" in dict(rope.named_buffers()))
del rope.tan
try:
    rope.cos = "不是张量"
except TypeError as error:
    print("TypeError:", error)

# %% 从检查点读回来
from transformers import logging

logging.disable_progress_bar()
torch.use_deterministic_algorithms(True)  # 它顺带把没有初始化的内存填成 NaN：脏内存看得见了
SMALL = {"vocab_size": 16, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
SMALL |= {"num_attention_heads": 4, "max_position_embeddings": 16}
model = LLMForCausalLM(LLMConfig(**SMALL))
model.save_pretrained("saved")
back = LLMForCausalLM.from_pretrained("saved")
print("检查点里有 cos:", any("cos" in name for name in model.state_dict()))
print("读回的表与新建的相同:", back.model.rotary_emb.cos.equal(rope.cos))
with torch.device("meta"):
    empty = LLMForCausalLM(LLMConfig(**SMALL))  # 大模型先在没有数据的设备上建
empty.to_empty(device="cpu")
print("to_empty 之后，权重是 NaN:", empty.lm_head.weight.isnan().all().item())
print("to_empty 之后，表与新建的相同:", empty.model.rotary_emb.cos.equal(rope.cos))

# %% 检验 表总是填好的 fp32
fresh = {"cos": rope.cos, "sin": rope.sin}
moves = {
    "from_pretrained": back,
    "from_pretrained，bf16": LLMForCausalLM.from_pretrained("saved", dtype=torch.bfloat16),
    "to_empty": empty,
    "to(bf16)": LLMForCausalLM(LLMConfig(**SMALL)).to(torch.bfloat16),
    "half 再 float": LLMForCausalLM(LLMConfig(**SMALL)).half().float(),
}
for name, moved in moves.items():
    for table_name, table in fresh.items():
        stored = getattr(moved.model.rotary_emb, table_name)
        assert stored.dtype == torch.float32 and stored.equal(table), (name, table_name)
cos, _ = moves["to(bf16)"].model.rotary_emb(torch.arange(16)[None], torch.bfloat16)
assert cos.dtype == torch.bfloat16  # 查到之后才转
assert cos[0, 0].equal(rope.cos.bfloat16())


# %% 检验 持久与否
class Two(nn.Module):
    """一个存，一个不存。"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(1))
        self.register_buffer("derived", torch.zeros(1), persistent=False)


assert list(Two().state_dict()) == ["kept"]
assert len(list(Two().buffers())) == 2
missing, unexpected = Two().load_state_dict({"derived": torch.zeros(1)}, strict=False)
assert (missing, unexpected) == (["kept"], ["derived"])  # 持久的缺了，不持久的多了，都对不上

# %% 检验 转类型只转浮点的
import warnings

mixed = nn.Module()
for name, value in {
    "real": torch.ones(2),
    "count": torch.ones(2).long(),
    "flag": torch.ones(2).bool(),
}.items():
    mixed.register_buffer(name, value)
mixed.half()
assert [mixed.real.dtype, mixed.count.dtype, mixed.flag.dtype] == [
    torch.float16, torch.int64, torch.bool,
]  # fmt: skip
mixed.to("meta")
assert {buffer.device.type for buffer in mixed.buffers()} == {"meta"}  # 搬设备是都搬的
turns = nn.Module()
turns.register_buffer("phase", torch.polar(torch.ones(3), torch.arange(3.0)))  # e^{im}
assert turns.half().phase.dtype == turns.bfloat16().phase.dtype == torch.complex64  # 不动
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    turns.to(torch.bfloat16)
assert turns.phase.equal(torch.arange(3.0).cos().bfloat16())  # 只剩实部，虚部丢了
assert "imaginary" in str(said[0].message)

# %% 坏 忘了登记
moved = Scale().to("meta")  # meta 设备没有数据，用它代替没有的 GPU
print("fixed:", moved.fixed.device, " plain:", moved.plain.device)
try:
    moved.fixed + moved.plain
except RuntimeError as error:
    print("RuntimeError:", str(error).split("!")[0][:70])
else:
    raise AssertionError("两个设备上的张量相加应当报错")

# %% 坏 读回之后没有重填
from unittest.mock import patch

from transformers import PreTrainedModel

from llm.hf import LLMPreTrainedModel

with patch.object(LLMPreTrainedModel, "_init_weights", PreTrainedModel._init_weights):
    bad = LLMForCausalLM.from_pretrained("saved")  # 不报错：表本来就不在检查点里，不算缺
print("读回的表全是脏内存:", bad.model.rotary_emb.cos.isnan().all().item())
words = torch.arange(5)[None]
print("logits 与读回时重填的相同:", bad(words).logits.equal(back(words).logits))
assert not bad.model.rotary_emb.cos.equal(rope.cos)

# %% 坏 表跟着转窄了
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

shared = {"hidden_size": 256, "num_attention_heads": 4}  # D = 64，32 个频率
table = RotaryEmbedding(LLMConfig(**shared))
theirs = LlamaRotaryEmbedding(LlamaConfig(**shared)).to(torch.bfloat16)  # 它的缓冲区是频率
print(
    "transformers 的频率表转成了:",
    theirs.inv_freq.dtype,
    " llm 的表仍是:",
    table.to(torch.bfloat16).cos.dtype,
)
for position in (1, 10, 100, 1000):
    exact = table.cos[position]
    from_table = (exact.bfloat16().float() - exact).abs().max()  # cos 表存成 bf16，再取出来
    got, _ = theirs(torch.zeros(1, 1, 256), torch.tensor([[position]]))
    from_frequency = (got[0, 0, :32] - exact).abs().max()  # 频率先存成 bf16，再乘位置
    print(f"位置 {position:4}：cos 表转窄差 {from_table:.4f}  频率转窄差 {from_frequency:.4f}")
for D, base in ((64, 1e4), (128, 1e4), (128, 5e5)):
    frequency = base ** -(torch.arange(0, D, 2) / D)
    gap = ((1000 * frequency.bfloat16().float()).cos() - (1000 * frequency).cos()).abs().max()
    print(f"位置 1000，D = {D}、底数 {base:g}：频率转窄差 {gap:.2f}")
LlamaForCausalLM(LlamaConfig(**SMALL)).save_pretrained("theirs")
loaded = LlamaForCausalLM.from_pretrained("theirs", dtype=torch.bfloat16)
print(
    "from_pretrained(dtype=bf16)：权重",
    loaded.lm_head.weight.dtype,
    " 频率",
    loaded.model.rotary_emb.inv_freq.dtype,
)
