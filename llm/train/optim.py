"""优化器：哪些参数衰减，与第几次更新用多大的学习率。"""

import math
from typing import Any, Dict, List, Tuple

import torch
from torch import nn

SCHEDULES = ("cosine", "wsd")


def parameter_groups(model: nn.Module, weight_decay: float) -> List[Dict[str, Any]]:
    """矩阵衰减，归一化的权重与偏置（不到二维）不衰减；冻住的不在内，绑在一起的只算一次。

    来源：Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization；nanoGPT 按维数分。
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


def build_optimizer(
    model: nn.Module, lr: float, weight_decay: float, betas: Tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW，几步合成一个核的那一种：CPU 上一步的时间也只有逐个算的四成。"""
    groups = parameter_groups(model, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def lr_at(
    update: int, total: int, peak: float, warmup: int = 0, least: float = 0.0, kind: str = "cosine"
) -> float:
    r"""第 update 次更新的学习率，从 1 数到 total：先线性升到 peak，再降，最后一次恰好是 least。

    `cosine` 沿半个余弦降；`wsd` 一直不降，最后五分之一里线性降（要接着训，从降之前接起）。

    异常：没有这种曲线，抛 ValueError。
    来源：Loshchilov & Hutter 2017, SGDR, §3；Hu et al. 2024, MiniCPM, §4（WSD）。
    """
    if kind not in SCHEDULES:
        raise ValueError(f"schedule={kind!r}：只能是 {'、'.join(SCHEDULES)}。")
    if update < warmup:
        return peak * update / warmup
    start = warmup if kind == "cosine" else max(warmup, min(total - total // 5, total - 1))
    done = min(max(update - start, 0) / max(total - start, 1), 1.0)  # 降了几成
    left = (1 + math.cos(math.pi * done)) / 2 if kind == "cosine" else 1 - done
    return least + (peak - least) * left
