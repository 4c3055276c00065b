"""LoRA：原来的矩阵冻住，旁边加一对低秩的；训好并回去，多的参数就没有了。"""

import math
from typing import Iterator, Sequence, Tuple

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    r"""$y = Wx + \frac{\alpha}{r} BAx$：W 冻住，只学 A 与 B；B 从零起，所以一开始与原来的相同。

    形状：(…, in) → (…, out)，A (r, in)，B (out, r)。
    来源：Hu et al. 2022, LoRA, §4.1。
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.lora_B(self.lora_A(x)) * self.scale  # (..., out)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """把 BA 加进 W，还回一个普通的线性层。"""
        self.base.weight += self.lora_B.weight @ self.lora_A.weight * self.scale  # (out, in)
        return self.base


def add_lora(model: nn.Module, names: Sequence[str], rank: int, alpha: float) -> nn.Module:
    """就地给叫这些名字的线性层加上 LoRA，其余的全冻住。

    异常：没有这样的线性层、秩不是正的、权重与别处绑在一起，抛 ValueError。
    """
    if rank < 1:
        raise ValueError(f"rank={rank}：应至少为 1。")
    owners = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    found = list(_linears(model, names))
    missing = sorted(set(names) - {name for _, name, _ in found})
    if missing:
        raise ValueError(f"模型里没有叫 {'、'.join(missing)} 的线性层。")
    tied = sorted({name for _, name, base in found if owners.count(id(base.weight)) > 1})
    if tied:
        raise ValueError(f"{'、'.join(tied)} 的权重与别处绑在一起：并回去时，那一处也会跟着变。")
    model.requires_grad_(False)
    for parent, name, base in found:
        adapted = LoRALinear(base, rank, alpha)
        setattr(parent, name, adapted.to(base.weight.device))
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """就地把全部 LoRA 并回原来的矩阵；结构、参数名与加之前一样，也不再冻住。"""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoRALinear):
                setattr(parent, name, child.merged())
    return model.requires_grad_(True)


def _linears(model: nn.Module, names: Sequence[str]) -> Iterator[Tuple[nn.Module, str, nn.Linear]]:
    for path, module in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in names and isinstance(module, nn.Linear):
            yield model.get_submodule(parent), name, module
