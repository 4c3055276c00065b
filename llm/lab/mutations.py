"""十三个常见的错：每个都能跑、不报错，只是答案不对；用来看「它会怎样坏」，也用来考测试。

在默认初始化的权重上，偏置是 0、归一化权重是 1，好几个错看不出来：先把每个参数都扰动一下。
唯独「RoPE 偏一位」连扰动之后的一次完整前向也看不出（RoPE 只看相对位置），要比较逐步解码与
完整前向。

    from llm.lab.mutations import MUTATIONS, mutate

    broken = mutate(model, "swapped_norms")      # model 本身不变
    print(MUTATIONS["swapped_norms"].text)       # 两个归一化互换了位置
"""

from copy import deepcopy
from dataclasses import dataclass, field
from inspect import signature
from types import MappingProxyType
from typing import Any, Callable, Dict, Mapping, Tuple, Type, TypeVar

import torch
from torch import Tensor, nn

from llm.checks import past_length
from llm.config import LLMConfig
from llm.model import (
    Attention,
    FeedForward,
    LLMForCausalLM,
    LLMModel,
    RMSNorm,
    RotaryEmbedding,
    TransformerBlock,
)

Model = TypeVar("Model", LLMModel, LLMForCausalLM)
Part = TypeVar("Part", bound=nn.Module)


@dataclass(frozen=True)
class Mutation:
    """一个错：名字、一句话、改坏一份副本的函数，以及在哪种配置上才显得出来。

    `family` 是显得出这个错的一个家族，`overrides` 是还要改的字段：
    `LLMConfig.preset(m.family, **m.overrides)`。`visible` 判断一份配置上有没有东西可改坏。
    """

    name: str
    text: str
    apply: Callable[[nn.Module], None]
    family: str = "llama"
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    visible: Callable[[LLMConfig], bool] = lambda config: True


def mutate(model: Model, name: str) -> Model:
    """返回带着这个错的一份副本；原来的模型一个数也不变。

    异常：没有这个名字，或这个模型上没有可改坏的东西（例如没有偏置可丢），抛 ValueError。
    """
    if name not in MUTATIONS:
        raise ValueError(f"没有名为 {name!r} 的错；现有：{'、'.join(MUTATIONS)}。")
    mutation = MUTATIONS[name]
    if not mutation.visible(model.config):
        wanted = {"family": mutation.family, **mutation.overrides}
        raise ValueError(f"这个模型显不出 {name}（{mutation.text}）；换一份配置，例如 {wanted}。")
    copy = deepcopy(model)
    with torch.no_grad():
        mutation.apply(copy)
    return copy


def _parts(model: nn.Module, kind: Type[Part]) -> Tuple[Part, ...]:
    """模型里某一类的全部模块。"""
    return tuple(module for module in model.modules() if isinstance(module, kind))


def _layer_norms(model: nn.Module) -> Tuple[RMSNorm, ...]:
    """宽度为 C 的归一化：q_norm 与 k_norm 不算。"""
    heads = [n for a in _parts(model, Attention) for n in (a.q_norm, a.k_norm)]
    return tuple(n for n in _parts(model, RMSNorm) if all(n is not head for head in heads))


class _UnweightedNorm(RMSNorm):
    """归一化之后忘了乘 weight。"""

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt((wide * wide).mean(-1, keepdim=True) + self.eps)  # (..., 1)
        return (wide * scale).to(x.dtype)  # (..., n)


class _BackwardRotary(RotaryEmbedding):
    r"""转 $-m\theta$ 而不是 $+m\theta$：sin 的符号反了。"""

    def fill(self) -> None:
        super().fill()
        self.sin = -self.sin


def _wrong_eps(model: nn.Module) -> None:
    for norm in _parts(model, RMSNorm):
        norm.eps = 1e-5


def _wrong_theta(model: nn.Module) -> None:
    for rotary in _parts(model, RotaryEmbedding):
        rotary.config.rope_theta = 1e4  # 副本有自己的一份配置
        rotary.fill()


def _swapped_norms(model: nn.Module) -> None:
    for block in _parts(model, TransformerBlock):
        first, second = block.input_layernorm, block.post_attention_layernorm
        block.input_layernorm, block.post_attention_layernorm = second, first


def _norm_weight_ignored(model: nn.Module) -> None:
    for norm in _layer_norms(model):
        norm.__class__ = _UnweightedNorm


def _gate_and_up_swapped(model: nn.Module) -> None:
    for mlp in _parts(model, FeedForward):
        if mlp.fused:
            weight = mlp.gate_up_proj.weight  # (2I, C)
            weight.copy_(weight.roll(len(weight) // 2, dims=0))  # (2I, C)
        else:
            mlp.gate_proj, mlp.up_proj = mlp.up_proj, mlp.gate_proj


def _late_positions(
    model: LLMModel, args: Tuple[Any, ...], kwargs: Dict[str, Any]
) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """带缓存的一步从 past + 1 数起，而不是 past。"""
    names = tuple(signature(LLMModel.forward).parameters)[1:]  # 第一个是 self
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    length = past_length(given.get("past_key_values"))
    if length:
        ids = given["input_ids"]
        start = given.get("position_ids")
        if start is None:
            start = torch.arange(length, length + ids.shape[1], device=ids.device)[None]  # (1, T)
        given["position_ids"] = start + 1
    return (), given


def _rope_off_by_one(model: nn.Module) -> None:
    for body in _parts(model, LLMModel):
        body.register_forward_pre_hook(_late_positions, with_kwargs=True)


def _rope_backwards(model: nn.Module) -> None:
    for rotary in _parts(model, RotaryEmbedding):
        rotary.__class__ = _BackwardRotary
        rotary.fill()


def _rope_pairing(model: nn.Module) -> None:
    for attention in _parts(model, Attention):
        attention.interleaved = not attention.interleaved


def _gqa_repeat(model: nn.Module) -> None:
    """查询头 h 用了键值头 h % K，而不是 h // groups：等于把查询头重新洗牌，再按原样送去用。"""
    for attention in _parts(model, Attention):
        D, groups = attention.head_dim, attention.groups
        rows = torch.arange(attention.q_proj.out_features).view(groups, -1, D)  # (groups, K, D)
        order = rows.transpose(0, 1).flatten().to(attention.q_proj.weight.device)  # (H*D,)
        attention.q_proj.weight.copy_(attention.q_proj.weight[order])  # (H*D, C)
        if attention.q_proj.bias is not None:
            attention.q_proj.bias.copy_(attention.q_proj.bias[order])  # (H*D,)
        attention.o_proj.weight.copy_(attention.o_proj.weight[:, order])  # (C, H*D)


def _k_bias_dropped(model: nn.Module) -> None:
    for attention in _parts(model, Attention):
        attention.k_proj.bias = None


def _v_bias_dropped(model: nn.Module) -> None:
    for attention in _parts(model, Attention):
        attention.v_proj.bias = None


def _q_norm_weight_ignored(model: nn.Module) -> None:
    for attention in _parts(model, Attention):
        attention.q_norm.__class__ = _UnweightedNorm


def _post_norms_skipped(model: nn.Module) -> None:
    for block in _parts(model, TransformerBlock):
        block.post_self_attn_layernorm = block.post_mlp_layernorm = None


def _has_bias(config: LLMConfig) -> bool:
    return config.attention_bias


_BUGS = (
    Mutation(
        "wrong_eps", "归一化的 eps 写成 1e-5（应为 1e-6）", _wrong_eps,
        visible=lambda config: config.rms_norm_eps != 1e-5,
    ),
    Mutation(
        "wrong_theta", "RoPE 的底数写成 1e4（应为 1e6）", _wrong_theta,
        overrides=MappingProxyType({"rope_theta": 1e6}),
        visible=lambda config: config.rope_theta != 1e4,
    ),
    Mutation("swapped_norms", "一个块里的两个前置归一化互换了位置", _swapped_norms),
    Mutation("norm_weight_ignored", "归一化之后忘了乘权重", _norm_weight_ignored),
    Mutation("gate_up_swapped", "前馈层的 gate 与 up 互换，SiLU 用错了边", _gate_and_up_swapped),
    Mutation("rope_off_by_one", "带缓存解码时，位置多数了一个", _rope_off_by_one),
    Mutation("rope_backwards", "RoPE 转反了：-mθ 而不是 +mθ", _rope_backwards),
    Mutation("rope_pairing", "RoPE 的配对与权重不符：相邻与前后两半弄混", _rope_pairing),
    Mutation(
        "gqa_repeat", "键值头用 repeat（0 1 0 1）而不是 repeat_interleave（0 0 1 1）", _gqa_repeat,
        overrides=MappingProxyType({"num_attention_heads": 4, "num_key_value_heads": 2}),
        visible=lambda config: 1 < config.num_key_value_heads < config.num_attention_heads,
    ),
    Mutation("k_bias_dropped", "k 投影丢了偏置", _k_bias_dropped, "qwen2", visible=_has_bias),
    Mutation("v_bias_dropped", "v 投影丢了偏置", _v_bias_dropped, "qwen2", visible=_has_bias),
    Mutation(
        "q_norm_weight_ignored", "q_norm 归一化之后忘了乘权重", _q_norm_weight_ignored, "qwen3",
        visible=lambda config: config.qk_norm,
    ),
    Mutation(
        "post_norms_skipped", "漏了分支输出上的两个后置归一化", _post_norms_skipped, "glm4",
        visible=lambda config: config.sandwich_norm,
    ),
)  # fmt: skip

MUTATIONS: Mapping[str, Mutation] = MappingProxyType({bug.name: bug for bug in _BUGS})
