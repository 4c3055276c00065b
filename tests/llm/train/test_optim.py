"""学习率的曲线：升、降、恰好停在最低；与 transformers 的余弦相等。"""

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from llm.train.optim import build_optimizer, lr_at, parameter_groups
from tests.llm.train.conftest import tiny


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
@pytest.mark.parametrize(("total", "warmup"), [(10, 0), (10, 3), (10, 10), (1, 0), (3, 1)])
def test_it_rises_falls_and_ends_at_the_least(kind: str, total: int, warmup: int) -> None:
    rates = [lr_at(update, total, 1.0, warmup, 0.1, kind) for update in range(1, total + 1)]
    top = max(warmup, 1)
    assert rates[: top - 1] == sorted(rates[: top - 1])
    assert rates[top - 1 :] == sorted(rates[top - 1 :], reverse=True)
    if warmup < total:
        assert rates[-1] == pytest.approx(0.1)
    if warmup:
        assert rates[warmup - 1] == pytest.approx(1.0)


def test_wsd_stays_until_the_last_fifth() -> None:
    rates = [lr_at(update, 20, 1.0, 2, 0.0, "wsd") for update in range(1, 21)]
    assert rates[1:16] == [1.0] * 15
    assert rates[16:] == pytest.approx([0.75, 0.5, 0.25, 0.0])


def test_the_cosine_is_that_of_transformers() -> None:
    """它的第 i 步（从 0 数）就是这里的第 i 次。"""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 3, 12)
    for update in range(12):
        assert lr_at(update, 12, 1.0, 3) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="只能是 cosine、wsd"):
        lr_at(1, 10, 1.0, kind="linear")


def test_each_learned_parameter_is_in_one_group_once() -> None:
    """绑着的只算一次，冻住的不算。"""
    model = tiny(61, attention_bias=True)
    model.model.layers[0].requires_grad_(False)
    groups = parameter_groups(model, 0.1)
    listed = [id(p) for group in groups for p in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in model.parameters() if p.requires_grad}
    optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
