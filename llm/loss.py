"""下一个词元的交叉熵。"""

from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor


def next_token_loss(
    logits: Tensor, labels: Tensor, items: Optional[Union[int, Tensor]] = None
) -> Tensor:
    """位置 t 的 logits 对 t+1 的标签求交叉熵，-100 不计；求和再除以 items，默认是计入的词元数。

    梯度累积时各小批的词元数不同，先各自平均再平均会给短的小批过大的分量，所以要由外面
    数好总词元数 items。一个都不计时是 0（带着图，梯度全 0），不是 0 / 0。

    形状：logits (B, T, V)，labels (B, T) → 标量。
    异常：labels 不与 logits 逐个对齐（例如只算了末尾几个位置），抛 ValueError。
    """
    if labels.shape != logits.shape[:2]:
        raise ValueError(
            f"labels 的形状是 {tuple(labels.shape)}，应为 {tuple(logits.shape[:2])}，"
            "与 logits 逐个位置对齐；算损失时不要用 logits_to_keep。"
        )
    target = F.pad(labels[:, 1:], (0, 1), value=-100).flatten()  # (B*T,)
    flat = logits.flatten(0, 1).float()  # (B*T, V)
    if items is None:
        items = (target != -100).sum()  # ()
    items = torch.as_tensor(items, device=flat.device).clamp(min=1)  # ()
    return F.cross_entropy(flat, target, reduction="sum") / items  # ()
