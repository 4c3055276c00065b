"""掩码与归一化。"""

import torch
from torch import Tensor, nn


def attention_mask(T: int, past: int = 0) -> Tensor:
    """因果掩码：True = 看得见。

    形状：(1, 1, T, S)，S = past + T。
    来源：Vaswani et al. 2017，§3.2.3。
    """
    query = torch.arange(past, past + T)[:, None]  # (T, 1)
    key = torch.arange(past + T)  # (S,)
    causal = (key <= query)[None, None]
    return causal


class RMSNorm(nn.Module):
    """只除以均方根，不减均值。"""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """形状：(B, T, C) → (B, T, C)。"""
        return self.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps)
