"""前向之前的检查：形状不对就用中文说出实际的数，不让错误的广播悄悄算下去。

缓存标成 object：它是 Cache、是各层的 (k, v)，还是别的什么，正是这里要查明的。
"""

from typing import Any, List, Mapping, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from llm.config import LLMConfig

# `forward` 的签名之外还认的关键字，值为 None 等于没给：要记录什么、怎样返回，与打包的边界
_RECORDED = ("output_hidden_states", "output_attentions", "return_dict")
_PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")


def past_length(past: Optional[object]) -> int:
    """缓存里已有的词元数；还没有缓存就是 0。

    形状：元组的每层是一对键与值，各 (B, K, S, D)。
    异常：既不是 Cache，也不是每层一对张量的元组，抛 ValueError。
    """
    if past is None:
        return 0
    if isinstance(past, Cache):
        return int(past.get_seq_length())
    pairs = _key_values(past)
    return pairs[0][0].shape[-2] if pairs and pairs[0][0].dim() == 4 else 0


def check_options(
    config: LLMConfig, position_ids: Optional[Tensor], options: Mapping[str, Any]
) -> None:
    """`forward` 的签名之外的关键字：做得到的放行，做不到的说清楚，一个也不装作没看见。

    异常：不认识的关键字、与位置不合的打包边界、sdpa 给不出的注意力权重，抛 ValueError。
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = _RECORDED + _PACKING
    unknown = sorted(name for name in given if name not in known)
    if unknown:
        raise ValueError(
            f"forward 没有这些参数：{'、'.join(unknown)}；签名之外只认 {'、'.join(known)}。"
            "新词元的位置由 position_ids 说，不给就接着缓存往下数。"
        )
    _check_boundaries(position_ids, {name: v for name, v in given.items() if name in _PACKING})
    if given.get("output_attentions", config.output_attentions):
        if config.attention_backend != "manual":
            raise ValueError(
                "output_attentions=True：SDPA 不把权重算出来；"
                '要看权重，建配置时写 attention_backend="manual"。'
            )


def _check_boundaries(position_ids: Optional[Tensor], given: Mapping[str, Any]) -> None:
    """TRL 与 transformers 打包时，把各篇的边界另外再说几遍；这里由位置隔开，几处要说得一样。"""
    if not given or torch.compiler.is_compiling():
        return
    if position_ids is None:
        raise ValueError(f"给了 {'、'.join(given)}，却没有 position_ids：各篇由位置隔开。")
    jumps = F.pad(position_ids.diff(dim=-1) != 1, (1, 0), value=True)  # (B, T)
    starts = jumps.flatten().nonzero().flatten()  # 每篇从哪里开始，各行首尾相接
    ends = torch.cat([starts, starts.new_tensor([position_ids.numel()])])
    said = {
        "cu_seq_lens": ends,
        "max_length": ends.diff().max(),
        "seq_idx": jumps.cumsum(-1) - 1,
    }
    for name, value in given.items():
        expected = said[name.removesuffix("_q").removesuffix("_k")]
        value = torch.as_tensor(value, device=expected.device)
        if value.shape != expected.shape or (value != expected).any():
            raise ValueError(
                f"{name} 是 {value.tolist()}，由 position_ids 数出来却是 {expected.tolist()}。"
            )


def check_inputs(
    config: LLMConfig,
    input_ids: Optional[Tensor],
    inputs_embeds: Optional[Tensor],
    padding: Optional[Tensor],
    position_ids: Optional[Tensor],
    past_key_values: Optional[object],
) -> None:
    """检查模型的输入。

    形状：input_ids (B, T) 或 inputs_embeds (B, T, C)，padding (B, T)、(B, S) 或
    (B, H, T, S)，position_ids (B, T) 或 (1, T)。
    异常：秩或形状不对、位置超出旋转表、打包的行带了填充掩码，抛 ValueError。
    """
    B, T = _batch_and_length(config, input_ids, inputs_embeds)
    past = past_length(past_key_values)
    _check_past(config, past_key_values, B)
    if padding is not None and padding.dim() == 4:
        _check_full_mask(padding, (B, config.num_attention_heads, T, past + T))
    elif padding is not None:
        check_padding(padding, T, past + T)
        if padding.shape[0] != B:
            raise ValueError(f"attention_mask 有 {padding.shape[0]} 行，输入有 {B} 行。")
    if position_ids is None:
        _check_length(config.max_position_embeddings, T, past)
    else:
        _check_positions(config.max_position_embeddings, position_ids, B, T)
        _check_restarts(position_ids, padding, past)


def _batch_and_length(
    config: LLMConfig, input_ids: Optional[Tensor], inputs_embeds: Optional[Tensor]
) -> Tuple[int, int]:
    """B 与 T；词元号与词向量恰好给一样。"""
    if (input_ids is None) == (inputs_embeds is None):
        given = "都没有给" if input_ids is None else "都给了"
        raise ValueError(f"input_ids 与 inputs_embeds {given}，应恰好给一个。")
    if input_ids is not None:
        if input_ids.dim() != 2 or 0 in input_ids.shape:
            raise ValueError(f"input_ids 的形状是 {tuple(input_ids.shape)}，应为 (B, T)，都 ≥ 1。")
        return input_ids.shape[0], input_ids.shape[1]
    shape = tuple(inputs_embeds.shape)
    if len(shape) != 3 or 0 in shape or shape[2] != config.hidden_size:
        raise ValueError(
            f"inputs_embeds 的形状是 {shape}，应为 (B, T, C)，B、T ≥ 1，C = {config.hidden_size}。"
        )
    return shape[0], shape[1]


def check_padding(padding: Tensor, T: int, S: int) -> None:
    """填充掩码要么盖住新来的 T 个词元，要么盖住连同过去的 S 个。

    异常：不是二维，或长度两者都不是，抛 ValueError。
    """
    if padding.dim() != 2 or padding.shape[1] not in (T, S):
        raise ValueError(
            f"attention_mask 的形状是 {tuple(padding.shape)}，应为 (B, {T}) 或 (B, {S})："
            f"这次输入 T = {T}，连同过去 S = {S}。"
        )


def _check_full_mask(mask: Tensor, full: Tuple[int, int, int, int]) -> None:
    """四维的掩码照单全收，所以要问清楚是哪一种：布尔，True = 看得见，前两维可以是 1。"""
    fits = mask.shape[2:] == full[2:] and mask.shape[0] in (1, full[0])
    if mask.dtype != torch.bool or not fits or mask.shape[1] not in (1, full[1]):
        raise ValueError(
            f"四维的 attention_mask 的形状是 {tuple(mask.shape)}、类型是 {mask.dtype}，"
            f"应为布尔（True = 看得见）的 (B, H, T, S) = {full}，前两维可以是 1；"
            "加到分数上的那种，先写 mask == 0。"
        )


def _check_length(P: int, T: int, past: int) -> None:
    """序列要放得进旋转表的 P 行：少一行的表也可能广播成功，而结果是错的。"""
    if past + T > P:
        raise ValueError(
            f"序列长 {past + T}（过去 {past} + 这次 {T}），超出旋转表的 {P} 行；"
            "调大 max_position_embeddings，或截短输入。"
        )


def _check_positions(P: int, position_ids: Tensor, B: int, T: int) -> None:
    if position_ids.shape not in ((B, T), (1, T)):
        raise ValueError(
            f"position_ids 的形状是 {tuple(position_ids.shape)}，应为 ({B}, {T}) 或 (1, {T})。"
        )
    if torch.compiler.is_compiling():  # 下面要读数据，会打断编译出的图
        return
    low, high = (int(end) for end in position_ids.aminmax())
    if low < 0 or high >= P:
        raise ValueError(f"position_ids 从 {low} 到 {high}，旋转表只有第 0 到 {P - 1} 行。")


def _check_restarts(position_ids: Tensor, padding: Optional[Tensor], past: int) -> None:
    """真词元的位置只许往上走；往回走是打包了几篇，而那时没有掩码把它们隔开。

    既没有填充掩码、也没有过去时，模型自己由位置隔开各篇（`document_mask`），不在此列。
    """
    if torch.compiler.is_compiling() or (padding is None and past == 0):
        return
    if padding is not None and padding.dim() == 4:  # 各篇由它自己隔开
        return
    T = position_ids.shape[1]
    real = torch.ones_like(position_ids) if padding is None else padding[:, -T:]
    position_ids, real = torch.broadcast_tensors(position_ids, real.bool())  # 各 (B, T)
    before = position_ids.masked_fill(~real, -1).cummax(-1).values[:, :-1]  # (B, T-1)
    if (real[:, 1:] & (position_ids[:, 1:] <= before)).any():
        raise ValueError(
            "position_ids 中途往回走：一行里打包了几篇，却又给了 attention_mask 或缓存，"
            "各篇会互相看见。打包时不要给 attention_mask，也不要带缓存；"
            "只是填充，位置就一路往上数。"
        )


def _check_past(config: LLMConfig, past: Optional[object], B: int) -> None:
    """查明 past 出自同样形状的模型；用了前几层就停的（early exit），只看用到的那几层。"""
    if past is None:
        return
    pairs = _key_values(past)
    if isinstance(past, Cache) and past.get_seq_length() == 0:
        return
    shapes = [tuple(tensor.shape) for pair in pairs for tensor in pair]
    S = shapes[0][-2] if shapes and len(shapes[0]) == 4 else 0
    expected = (B, config.num_key_value_heads, S, config.head_dim)
    wrong = [shape for shape in shapes if shape != expected]
    if wrong or len(pairs) != config.num_hidden_layers:
        raise ValueError(
            f"past_key_values 有 {len(pairs)} 层、对不上的形状 {wrong}；这个模型要 "
            f"{config.num_hidden_layers} 层，每层的键与值各为 (B, K, S, D) = {expected}。"
        )


def _key_values(past: object) -> List[Tuple[Tensor, Tensor]]:
    """每层的键与值；定长的缓存一开始就返回填满的键，掩码会对不上，所以不收。"""
    if isinstance(past, Cache):
        layers = past.layers if isinstance(past, DynamicCache) else None
        if layers is None or any(layer.get_max_length() >= 0 for layer in layers):
            raise ValueError(f"不支持 {type(past).__name__}：只支持随序列增长的 DynamicCache。")
        return [(layer.keys, layer.values) for layer in layers]
    if isinstance(past, (tuple, list)) and all(_is_pair(pair) for pair in past):
        return list(past)
    kinds = [type(part).__name__ for part in past] if isinstance(past, (tuple, list)) else []
    raise ValueError(
        f"past_key_values 是 {type(past).__name__}{kinds or ''}，应为 DynamicCache，"
        "或由每层一对张量 (k, v) 组成的元组。"
    )


def _is_pair(pair: object) -> bool:
    tensors = isinstance(pair, (tuple, list)) and [isinstance(part, Tensor) for part in pair]
    return tensors == [True, True]


def check_cache(use_cache: bool, past: Optional[object], replay: bool, packed: bool) -> None:
    """梯度检查点会把缓存写两次，打包的缓存分不清各篇：两种情形都不能用缓存。

    异常：重跑或打包时还要缓存，抛 ValueError。
    """
    if not use_cache and past is None:
        return
    given = f"（use_cache={use_cache}，past_key_values 是 {type(past).__name__}）"
    if replay:
        raise ValueError(f"梯度检查点不能与缓存同用{given}：反向时重跑会把缓存写两次。")
    if packed:
        raise ValueError(f"打包的行不能与缓存同用{given}：缓存分不清键与值属于哪一篇。")


def check_keep(logits_to_keep: Union[int, Tensor]) -> None:
    """各行要的位置不同（二维）时，逐行挑要另一种写法；拿它当下标，会悄悄多出一维。

    异常：张量不是一维，抛 ValueError。
    """
    if isinstance(logits_to_keep, Tensor) and logits_to_keep.dim() != 1:
        raise ValueError(
            f"logits_to_keep 的形状是 {tuple(logits_to_keep.shape)}，"
            "应为整数或一维：各行取同样的位置。"
        )
