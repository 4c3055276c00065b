"""前向之前的检查：形状不对就用中文说出实际的数，不让错误的广播悄悄算下去。

缓存标成 object：它是 Cache、是各层的 (k, v)，还是别的什么，正是这里要查明的。
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from llm.config import LLMConfig


def check_inputs(
    config: LLMConfig,
    input_ids: Tensor,
    padding: Optional[Tensor],
    position_ids: Optional[Tensor],
    past_key_values: Optional[object],
) -> int:
    """检查模型的输入，返回过去的词元数。

    形状：input_ids (B, T)，padding (B, T) 或 (B, S)，position_ids (B, T) 或 (1, T)。
    异常：秩或形状不对、位置超出旋转表，抛 ValueError。
    """
    if input_ids.dim() != 2 or 0 in input_ids.shape:
        raise ValueError(f"input_ids 的形状是 {tuple(input_ids.shape)}，应为 (B, T)，都 ≥ 1。")
    B, T = input_ids.shape
    past = past_length(config, past_key_values, B)
    if padding is not None:
        check_padding(padding, T, past + T)
        if padding.shape[0] != B:
            raise ValueError(f"attention_mask 有 {padding.shape[0]} 行，input_ids 有 {B} 行。")
    _check_positions(config.max_position_embeddings, position_ids, B, T, past)
    return past


def check_padding(padding: Tensor, T: int, S: int) -> None:
    """填充掩码要么盖住新来的 T 个词元，要么盖住连同过去的 S 个。

    异常：不是二维，或长度两者都不是，抛 ValueError。
    """
    if padding.dim() != 2 or padding.shape[1] not in (T, S):
        raise ValueError(
            f"attention_mask 的形状是 {tuple(padding.shape)}，应为 (B, {T}) 或 (B, {S})："
            f"这次输入 T = {T}，连同过去 S = {S}。"
        )


def _check_positions(P: int, position_ids: Optional[Tensor], B: int, T: int, past: int) -> None:
    """位置都要落在旋转表的 P 行之内：少一行的表也可能广播成功，而结果是错的。"""
    if position_ids is None:
        if past + T > P:
            raise ValueError(
                f"序列长 {past + T}（过去 {past} + 这次 {T}），超出旋转表的 {P} 行；"
                "调大 max_position_embeddings，或截短输入。"
            )
        return
    if position_ids.shape not in ((B, T), (1, T)):
        raise ValueError(
            f"position_ids 的形状是 {tuple(position_ids.shape)}，应为 ({B}, {T}) 或 (1, {T})。"
        )
    if torch.compiler.is_compiling():  # 下面要读数据，会打断编译出的图
        return
    low, high = (int(end) for end in position_ids.aminmax())
    if low < 0 or high >= P:
        raise ValueError(f"position_ids 从 {low} 到 {high}，旋转表只有第 0 到 {P - 1} 行。")


def past_length(config: LLMConfig, past: Optional[object], B: int) -> int:
    """过去的词元数；顺带查明 past 出自同样形状的模型。

    形状：每层的键与值各 (B, K, S, D)。
    异常：层数、批大小、头数、头宽有一样对不上，或缓存不随序列增长，抛 ValueError。
    """
    if past is None:
        return 0
    pairs = _key_values(past)
    if isinstance(past, Cache) and past.get_seq_length() == 0:
        return 0
    shapes = [tuple(tensor.shape) for pair in pairs for tensor in pair]
    S = shapes[0][-2] if shapes and len(shapes[0]) == 4 else 0
    expected = (B, config.num_key_value_heads, S, config.head_dim)
    wrong = [shape for shape in shapes if shape != expected]
    if wrong or len(pairs) != config.num_hidden_layers:
        raise ValueError(
            f"past_key_values 有 {len(pairs)} 层、对不上的形状 {wrong}；这个模型要 "
            f"{config.num_hidden_layers} 层，每层的键与值各为 (B, K, S, D) = {expected}。"
        )
    return S


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


def check_replay(replay: bool, use_cache: bool, past: Optional[object]) -> None:
    """梯度检查点在反向时把每块再跑一遍，缓存会被写两次，所以二者不能同用。

    异常：重跑时还要缓存，抛 ValueError。
    """
    if replay and (use_cache or past is not None):
        raise ValueError(
            f"梯度检查点不能与缓存同用（use_cache={use_cache}，"
            f"past_key_values 是 {type(past).__name__}）：反向时重跑会把缓存写两次。"
        )
