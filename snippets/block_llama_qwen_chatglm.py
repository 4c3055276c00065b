# %% [markdown]
# # LLaMA、Qwen、ChatGLM：块的三个主要差别
# 来源：transformers 5.23 各家的 `modeling_*.py`；Zeng et al. 2022, GLM-130B, §2.1

# %% 五份预设
from llm import LLMConfig

FIELDS = (
    "attention_bias qk_norm rope_interleaved partial_rotary_factor fused_mlp sandwich_norm"
    " num_key_value_heads head_dim rms_norm_eps"
).split()


def differences(before: str, after: str) -> dict[str, tuple[object, object]]:
    """两份预设不同的字段：(前者的值, 后者的值)。"""
    a, b = LLMConfig.preset(before), LLMConfig.preset(after)
    values = {name: (getattr(a, name), getattr(b, name)) for name in FIELDS}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


for before, after in (("llama", "qwen2"), ("llama", "qwen3"), ("llama", "glm"), ("glm", "glm4")):
    print(f"{before} → {after}")
    for name, (old, new) in differences(before, after).items():
        print(f"    {name}: {old} → {new}")

# %% 总表
import torch
from torch import nn
from transformers import (
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

THEIRS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
}
TOKENS = {"vocab_size": 97, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}


def facts(family: str) -> dict[str, object]:
    """从 transformers 的配置默认值与真的模块里读出来，不凭记忆。"""
    config_class, model_class = THEIRS[family]
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    block = model_class(config_class(**sizes, **TOKENS, num_hidden_layers=1)).model.layers[0]
    attention, default = block.self_attn, config_class()
    return {
        "每块的归一化": sum("norm" in name for name, _ in block.named_children()),
        "q、k、v 偏置": attention.k_proj.bias is not None,
        "o 偏置": attention.o_proj.bias is not None,
        "q、k 归一化": hasattr(attention, "q_norm"),
        "键值头 / 查询头": f"{default.num_key_value_heads}/{default.num_attention_heads}",
        "宽 64、4 头时的头宽": attention.head_dim,
        "旋转的部分": default.rope_parameters.get("partial_rotary_factor", 1.0),
        "gate 与 up 合一": hasattr(block.mlp, "gate_up_proj"),
        "eps": default.rms_norm_eps,
        "RoPE 的底数": f"{default.rope_parameters['rope_theta']:g}",
        "共用词嵌入": default.tie_word_embeddings,
    }


table = {family: facts(family) for family in THEIRS}
print("".join(f"{family:>12}" for family in table))
for name in table["llama"]:
    cells = [table[family][name] for family in table]
    shown = ("+" if c is True else "-" if c is False else str(c) for c in cells)
    print("".join(f"{cell:>12}" for cell in shown), " ", name)

# %% 释出的模型
from dataclasses import dataclass


@dataclass(frozen=True)
class Released:
    """一个释出检查点的 config.json 里的数；出处见「来源」。"""

    family: str
    C: int
    layers: int
    H: int
    K: int
    D: int
    inner: int
    eps: float
    theta: float
    positions: int


RELEASED = {
    "Llama-2-7B": Released("llama", 4096, 32, 32, 32, 128, 11008, 1e-5, 1e4, 4096),
    "Llama-3-8B": Released("llama", 4096, 32, 32, 8, 128, 14336, 1e-5, 5e5, 8192),
    "Qwen2.5-7B": Released("qwen2", 3584, 28, 28, 4, 128, 18944, 1e-6, 1e6, 131072),
    "Qwen3-0.6B": Released("qwen3", 1024, 28, 16, 8, 128, 3072, 1e-6, 1e6, 40960),
    "Qwen3-8B": Released("qwen3", 4096, 36, 32, 8, 128, 12288, 1e-6, 1e6, 40960),
    "GLM-4-9B-Chat": Released("glm", 4096, 40, 32, 2, 128, 13696, 1.5625e-7, 5e6, 131072),
    "GLM-4-32B-0414": Released("glm4", 6144, 61, 48, 2, 128, 23040, 1e-5, 1e4, 32768),
}
print(f"{'':15}{'H/K':>6}{'I/C':>6}{'eps':>11}{'底数':>6}{'位置':>8}  o_proj        每词元缓存")
for name, it in RELEASED.items():
    default = THEIRS[it.family][0]()
    theta = default.rope_parameters["rope_theta"]
    differs = [
        label
        for label, ours, library in (
            ("键值头", it.H // it.K, default.num_attention_heads // default.num_key_value_heads),
            ("eps", it.eps, default.rms_norm_eps),
            ("底数", it.theta, theta),
        )
        if ours != library
    ]
    shape = f"{it.C} × {it.H * it.D}"
    cached = 2 * it.layers * it.K * it.D * 2 / 1024  # bf16，键与值
    print(
        f"{name:15}{it.H:>3}/{it.K:<2}{it.inner / it.C:>6.2f}{it.eps:>11g}{it.theta:>7.0e}"
        f"{it.positions:>8}  {shape:12}{cached:>6.0f} KiB  "
        f"不同于库的默认: {'、'.join(differs) or '无'}"
    )

# %% 差别一 归一化与残差
from collections.abc import Callable

from llm import LLMForCausalLM

SMALL = {"vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}


def build(family: str, seed: int = 0, **overrides: object) -> LLMForCausalLM:
    """一个小模型，每个参数都扰动过：默认的偏置是 0、归一化权重是 1，差别看不出来。"""
    torch.manual_seed(seed)
    model = LLMForCausalLM(LLMConfig.preset(family, **{**SMALL, **overrides})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def catch(module: nn.Module, run: Callable[[], object]) -> torch.Tensor:
    """跑一次，取某个模块的输入。"""
    kept: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    with torch.no_grad():
        run()
    hook.remove()
    return kept[0]


ids = torch.arange(12).view(2, 6)
print(differences("glm", "glm4"))
for family in ("glm", "glm4"):
    row = []
    for scale in (1, 10, 100):  # 把两个分支的最后一个矩阵放大
        model = build(family)
        model.load_state_dict(build("glm").state_dict(), strict=False)  # 共有的权重相同
        for block in model.model.layers:
            block.self_attn.o_proj.weight.data *= scale
            block.mlp.down_proj.weight.data *= scale
        residual = catch(model.model.norm, lambda model=model: model(ids))  # (B, T, C)
        row.append(round(residual.pow(2).mean().sqrt().item(), 2))
    print(f"{family:5}分支放大 1、10、100 倍，残差流的均方根:", row)

# %% 差别二 偏置
from llm.model import apply_rotary, causal_mask, attention_weights, repeat_kv

print(differences("llama", "qwen2"))
position = torch.arange(6)[None]  # (1, T)
for family in ("llama", "qwen2"):
    model = build(family, num_key_value_heads=4)
    attention = model.model.layers[0].self_attn
    for projection in (attention.q_proj, attention.k_proj):
        if projection.bias is not None:
            projection.bias.data *= 10  # 放大到 1 左右，看得清楚
    x = torch.zeros(1, 6, 64)  # (B, T, C)，内容全是 0
    cos, sin = model.model.rotary_emb(position, x.dtype)  # (B, 1, T, R/2), (B, 1, T, R/2)
    split = [p(x).view(1, 6, 4, 32).transpose(1, 2) for p in (attention.q_proj, attention.k_proj)]
    q, k = (apply_rotary(part, cos, sin) for part in split)  # (B, H, T, D), (B, H, T, D)
    weights = attention_weights(q, k, causal_mask(6))[0, 0, -1]  # (S,)
    print(f"{family:6}最后一个查询看各个键:", [round(w, 3) for w in weights.tolist()])

# %% 差别二 q、k 归一化
print(differences("llama", "qwen3"))
for family in ("llama", "qwen3"):
    row = []
    for scale in (1, 10, 100):  # 训练中权重变大时，分数怎样
        model = build(family)
        attention = model.model.layers[0].self_attn
        attention.q_proj.weight.data *= scale
        x = catch(attention, lambda model=model: model(ids))  # (B, T, C)
        q = attention.q_proj(x).view(2, 6, 4, 32)  # (B, T, H, D)
        k = attention.k_proj(x).view(2, 6, 2, 32)  # (B, T, K, D)
        if model.config.qk_norm:
            q, k = attention.q_norm(q), attention.k_norm(k)
        k = repeat_kv(k.transpose(1, 2), 2)  # (B, H, S, D)
        scores = q.transpose(1, 2) @ k.transpose(-2, -1) / 32**0.5  # (B, H, T, S)
        row.append(round(scores.abs().max().item(), 2))
    print(f"{family:6}q_proj 放大 1、10、100 倍，最大的分数:", row)

# %% 差别二 键值头与头宽
from llm.lab.flow import cache_bytes, parameters
from llm.lab.shapes import evaluate, sizes

for name, it in RELEASED.items():
    config = LLMConfig.preset(
        it.family,
        hidden_size=it.C,
        intermediate_size=it.inner,
        num_hidden_layers=it.layers,
        num_attention_heads=it.H,
        num_key_value_heads=it.K,
        head_dim=it.D,
    )
    letters = sizes(config, 1, 1)
    named = parameters(config)["model.layers.0.self_attn.o_proj.weight"]
    o_proj = tuple(evaluate(text, letters) for text in named)
    megabytes = cache_bytes(config, B=1, S=1024, itemsize=2) / 2**20
    square = "方阵" if o_proj[0] == o_proj[1] else "不是方阵"
    print(f"{name:15}o_proj ({', '.join(named)}) = {o_proj}，{square}；", end="")
    print(f"1024 个词元的缓存 {megabytes:.0f} MiB")

# %% 差别三 旋转
rotation = ("rope_interleaved", "partial_rotary_factor")
print({name: pair for name, pair in differences("llama", "glm").items() if name in rotation})
for family in ("llama", "glm"):
    model = build(family, head_dim=8)
    cos, sin = model.model.rotary_emb(torch.tensor([[3]]), torch.float32)  # 位置 3
    units = torch.eye(8).view(8, 1, 1, 8)  # (B, N, T, D)，每个分量各来一个单位向量
    turned = apply_rotary(units, cos, sin, model.config.rope_interleaved)[:, 0, 0]  # (D, D)
    mixed = [tuple(row.nonzero().flatten().tolist()) for row in turned]
    print(f"{family:6}转过之后，第 i 个分量落在:", mixed)

# %% 图
import matplotlib.pyplot as plt

SHADES = {"norm": "#8a97a0", "self_attn": "#3f7fbf", "mlp": "#4f9a6a"}


def executed(family: str) -> list[tuple[str, str]]:
    """一个块里各模块实际跑的次序与输出的形状；名字来自模块树，残差相加标成 +。"""
    model = build(family, num_hidden_layers=1)
    block, ran = model.model.layers[0], []
    for name, part in block.named_modules():
        if not list(part.children()):
            biased = getattr(part, "bias", None) is not None
            label = name.removeprefix("self_attn.").removeprefix("mlp.") + (
                " + b" if biased else ""
            )

            def note(
                part: nn.Module,
                given: object,
                out: torch.Tensor,
                name: str = name,
                label: str = label,
            ) -> None:
                ran.append((name, f"{label}  {tuple(out.shape)[1:]}"))

            part.register_forward_hook(note)
    with torch.no_grad():
        model(ids)
    pairing = "相邻" if model.config.rope_interleaved else "前后两半"
    part = "一半" if model.config.partial_rotary_factor < 1 else "全部"
    names = [name for name, _ in ran]
    at, second = names.index("self_attn.o_proj"), names.index("post_attention_layernorm")
    inside = [("rope", f"RoPE {pairing}配对，转{part}"), ("self_attn", "softmax(qk) v")]
    plus = ("+", "+ 残差")
    return [*ran[:at], *inside, *ran[at:second], plus, *ran[second:], plus]


figure, axes = plt.subplots(2, 3, figsize=(7.2, 8.2))
for ax, family in zip(axes.flat, THEIRS, strict=False):
    steps = executed(family)
    entry = 0.6  # 残差从这里分出去
    for i, (name, label) in enumerate(steps):
        kind = "norm" if "norm" in name and "self_attn." not in name else name.split(".")[0]
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": SHADES.get(kind, "#d9822b")}
        ax.text(0.5, -i, label, ha="center", va="center", fontsize=7, color="#222", bbox=box)
        if kind == "+":
            ax.plot(
                [0.5, 0.03, 0.03, 0.42], [entry, entry, -i, -i], color="#d9822b", lw=1.2, zorder=0
            )
            entry = -i - 0.5
    ax.plot([0.5, 0.5], [0.9, 0.5 - len(steps)], color="#7a8a94", lw=1, zorder=0)
    ax.set(xlim=(0, 1), ylim=(-14.8, 1), title=family)
    ax.axis("off")
legend = {"归一化": "norm", "注意力里的投影": "self_attn", "前馈层": "mlp", "旋转与残差": "+"}
for i, (text, kind) in enumerate(legend.items()):
    box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": SHADES.get(kind, "#d9822b")}
    axes.flat[-1].text(0.5, -i, text, ha="center", fontsize=7, color="#222", bbox=box)
note = "+ b：带偏置\n括号里是输出的形状（不写 B）"
axes.flat[-1].text(0.5, -5, note, ha="center", fontsize=7, color="#7a8a94")
axes.flat[-1].set(xlim=(0, 1), ylim=(-14.8, 1))
axes.flat[-1].axis("off")
figure.tight_layout()
figure.set_label(
    "五家的块各画一列，从上到下是实际跑的次序：qwen2 的 q、k、v 带偏置，qwen3 多 q_norm 与 k_norm，"
    "glm 的旋转转一半、gate 与 up 并成一个，glm4 再多两个后置归一化；每列两处残差绕到左边再加回来"
)

# %% MoE 只换前馈层
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

moe = Qwen3MoeForCausalLM(
    Qwen3MoeConfig(
        **{**SMALL, **TOKENS}, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=16
    )
)
dense = Qwen3ForCausalLM(Qwen3Config(**{**SMALL, **TOKENS}))
names = [{n: tuple(p.shape) for n, p in each.named_parameters()} for each in (dense, moe)]
changed = sorted({name for name, _ in names[0].items() ^ names[1].items() if ".layers.0." in name})
for name in changed:
    print(name.removeprefix("model.layers.0."), *(each.get(name, "–") for each in names), sep="  ")
assert all(".mlp." in name for name in changed)  # 注意力、归一化、嵌入一个不变

# %% ChatGLM-6B 的残差
layers = 28
alpha = (2 * layers) ** 0.5
print("alpha = (2 × 28) ** 0.5 =", round(alpha, 3))
torch.manual_seed(1)
C = 16
norms = [nn.LayerNorm(C) for _ in range(4)]
branches = [nn.Linear(C, C) for _ in range(4)]  # 两个块的注意力与前馈，换成任意的函数
x = start = torch.randn(3, C)
for norm, branch in zip(norms, branches, strict=True):  # v1：残差取自归一化之后的输入
    h = norm(x)
    x = h * alpha + branch(h)
h = norms[0](start)
for norm, branch in zip([*norms[1:], nn.Identity()], branches, strict=True):  # DeepNorm 的写法
    h = norm(h * alpha + branch(h))
print("与 DeepNorm（后置归一化，残差乘 alpha）相差:", (x - h).abs().max().item())
pre = start
for norm, branch in zip(norms, branches, strict=True):
    pre = pre + branch(norm(pre))
print("与前置归一化相差:", round((x - pre).abs().max().item(), 1))

# %% ChatGLM-6B 的掩码与位置
T, context = 6, 4  # 前 4 个是上文，末尾是 [gMASK]；第 5 个是开始符，此后是生成的
prefix = causal_mask(T)[0, 0] | (torch.arange(T) < context)  # (T, S)，True = 看得见
print(prefix.int())
gmask = context - 1
print("位置  ", [*range(context), *[gmask] * (T - context)], " 转每个头的前一半")
print("块位置", [0] * context + list(range(1, T - context + 1)), " 转后一半")

# %% 检验 与 transformers 相同
for family, (config_class, model_class) in THEIRS.items():
    torch.manual_seed(0)
    theirs = model_class(config_class(**{**SMALL, **TOKENS})).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    ours = LLMForCausalLM(LLMConfig.preset(family, **SMALL)).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)  # 名字与形状逐个相等
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)

# %% 检验 预设与总表相符
for family, found in table.items():
    config = LLMConfig.preset(family)
    assert found["每块的归一化"] == (4 if config.sandwich_norm else 2)
    assert found["q、k、v 偏置"] == config.attention_bias
    assert found["o 偏置"] == config.attention_output_bias
    assert found["q、k 归一化"] == config.qk_norm
    assert found["旋转的部分"] == config.partial_rotary_factor
    assert found["gate 与 up 合一"] == config.fused_mlp
    assert found["eps"] == config.rms_norm_eps
assert {f for f, row in table.items() if row["宽 64、4 头时的头宽"] == 128} == {
    "qwen3",
    "glm",
    "glm4",
}

it, counted = RELEASED["GLM-4-32B-0414"], {}  # GGUF 文件头说：245 个一维的张量，32.57 B 个参数
for bias in (False, True):
    with torch.device("meta"):
        whole = Glm4ForCausalLM(
            Glm4Config(
                vocab_size=151_552,
                hidden_size=it.C,
                intermediate_size=it.inner,
                num_hidden_layers=it.layers,
                num_attention_heads=it.H,
                num_key_value_heads=it.K,
                attention_bias=bias,
            )
        )
    counted[bias] = sum(part.dim() == 1 for part in whole.parameters())
    if not bias:
        assert f"{sum(part.numel() for part in whole.parameters()) / 1e9:.2f}" == "32.57"
assert counted == {False: 245, True: 245 + 61 * 3}  # 所以它没有偏置

# %% 检验 合成一个矩阵只是存放方式
plain, fused = build("llama"), build("llama", fused_mlp=True)
weights_by_name = plain.state_dict()
for index in range(2):
    halves = [
        weights_by_name.pop(f"model.layers.{index}.mlp.{n}_proj.weight") for n in ("gate", "up")
    ]
    weights_by_name[f"model.layers.{index}.mlp.gate_up_proj.weight"] = torch.cat(halves)
fused.load_state_dict(weights_by_name, strict=True)
with torch.no_grad():
    torch.testing.assert_close(plain(ids).logits, fused(ids).logits, rtol=0, atol=1e-5)

# %% 检验 GLM 的旋转只看相对位置
q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
rotary = build("glm", head_dim=8).model.rotary_emb


def score(m: int, n: int) -> torch.Tensor:
    cos_sin = [rotary(torch.tensor([[at]]), q.dtype) for at in (m, n)]
    return (apply_rotary(q, *cos_sin[0], True) * apply_rotary(k, *cos_sin[1], True)).sum()


torch.testing.assert_close(score(9, 4), score(105, 100), rtol=1e-4, atol=1e-5)
assert not torch.isclose(score(9, 4), score(9, 5))

# %% 检验 GLM 改排行，就能用前后两半的配对
adjacent, halves = build("glm"), build("glm", rope_interleaved=False)
weights_by_name, R = adjacent.state_dict(), adjacent.config.rotary_dim
order = torch.cat([torch.arange(0, R, 2), torch.arange(1, R, 2), torch.arange(R, 32)])  # (D,)
for name, weight in weights_by_name.items():
    if "q_proj" in name or "k_proj" in name:  # 权重与偏置一起，每个头里排一遍
        weights_by_name[name] = weight.unflatten(0, (-1, 32))[:, order].flatten(0, 1)
halves.load_state_dict(weights_by_name, strict=True)
with torch.no_grad():
    torch.testing.assert_close(halves(ids).logits, adjacent(ids).logits, rtol=0, atol=1e-5)

# %% 检验 换一家读权重
biased, plain = build("qwen2"), build("llama")
try:
    plain.load_state_dict(biased.state_dict(), strict=True)
except RuntimeError as error:
    assert "self_attn.q_proj.bias" in str(error)
else:
    raise AssertionError("偏置多出来了，strict=True 应当报错")
missing, unexpected = plain.load_state_dict(biased.state_dict(), strict=False)
assert not missing and len(unexpected) == 2 * 3  # 两层的 q、k、v 偏置，悄悄丢了
with torch.no_grad():
    assert not plain(ids).logits.allclose(biased(ids).logits, atol=1e-2)
slow, fast = build("qwen2", rope_theta=1e6), build("qwen2")  # 权重相同，只有底数不同
fast.load_state_dict(slow.state_dict(), strict=True)  # 不报错
with torch.no_grad():
    assert not fast(ids).logits.allclose(slow(ids).logits, atol=1e-3)

# %% 检验 不认识的家族
try:
    LLMConfig.preset("chatglm-6b")
except ValueError as error:
    print(error)
else:
    raise AssertionError("ChatGLM-6B 不是同一种块，不该有预设")

# %% 坏 用错了开关
from llm.lab.mutations import MUTATIONS, mutate

cases = {"qwen2": "k_bias_dropped", "qwen3": "q_norm_weight_ignored"}
cases |= {"glm": "rope_pairing", "glm4": "post_norms_skipped"}
for family, name in cases.items():
    gaps = []
    for seed in range(5):
        model = build(family, seed)
        with torch.no_grad():
            gaps.append((mutate(model, name)(ids).logits - model(ids).logits).abs().max().item())
    print(f"{family:6}{MUTATIONS[name].text}: logits 最多差 {min(gaps):.2f} 到 {max(gaps):.2f}")

# %% 坏 没训练过的权重看不出来
fresh = LLMForCausalLM(LLMConfig.preset("qwen2", **SMALL)).eval()  # 偏置全是 0
with torch.no_grad():
    gap = (mutate(fresh, "k_bias_dropped")(ids).logits - fresh(ids).logits).abs().max().item()
print("丢了 k 的偏置，logits 差:", gap)
