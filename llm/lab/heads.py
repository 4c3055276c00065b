"""打开一个注意力头：一个小模型在几个固定词元上真的分数、掩码与权重，逐步解码。

数由 `llm.lab.operations` 的跟踪取出：`attention_weights` 里乘完 1/√D 的分数、softmax 之后的权重，
与 `causal_mask` 得到的掩码。只看第一行。
"""

from typing import Any, Dict, List, Sequence, Tuple

from torch import Tensor

from llm.lab.operations import Operation, Run, empty_past, run
from llm.model import LLMForCausalLM

Table = Tuple[Tuple[float, ...], ...]


def heads(model: LLMForCausalLM, input_ids: Tensor, decoded: int) -> Dict[str, Any]:
    """送进提示、再解 `decoded` 个词元，每一次里每层每头的分数与权重。

    返回 `ids`（第一行的全部词元号）、`masks`（每次一张，1 = 看得见）与
    `heads`（每次、每层、每头的 [分数, 权重]，四舍五入到两位）。

    形状：input_ids (B, T)；每张表 T×S。
    异常：模型的 attention_backend 不是 manual，抛 ValueError。
    """
    if model.config.attention_backend != "manual":
        raise ValueError("要看分数，attention_backend 应为 manual：SDPA 不把它们存下来。")
    past, masks, found = empty_past(model.config, len(input_ids)), [], []
    for _ in range(decoded + 1):
        made, past, input_ids = run(model, input_ids, past)
        masks.append(_mask(made))
        found.append([_layer(made, index) for index in range(model.config.num_hidden_layers)])
    return {"ids": input_ids[0].tolist(), "masks": masks, "heads": found}


def _inside(made: Run, function: str, layer: int) -> List[Operation]:
    module = f"model.layers.{layer}.self_attn"
    return [
        operation
        for operation in made.operations
        if operation.module == module and operation.calls[0].function == function
    ]


def _mask(made: Run) -> List[str]:
    mask = made.tensors[_inside(made, "causal_mask", 0)[-1].outputs[0]]  # (1, 1, T, S)
    return ["".join(map(str, row)) for row in mask[0, 0].int().tolist()]


def _layer(made: Run, layer: int) -> List[Tuple[Table, Table]]:
    inside = _inside(made, "attention_weights", layer)
    (scaled,) = (o for o in inside if o.name == "mul")
    scores = made.tensors[scaled.outputs[0]][0]  # (H, T, S)
    weights = made.tensors[inside[-1].outputs[0]][0]  # (H, T, S)
    return [
        (_rounded(s.tolist()), _rounded(w.tolist())) for s, w in zip(scores, weights, strict=True)
    ]


def _rounded(rows: Sequence[Sequence[float]]) -> Table:
    return tuple(tuple(round(number, 2) + 0.0 for number in row) for row in rows)
