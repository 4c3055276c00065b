"""下一个词元的交叉熵：错一位、忽略 -100、按总词元数求平均。"""

import math

import pytest
import torch

from llm.loss import next_token_loss


def test_against_counting() -> None:
    """一个位置一个位置地加：位置 t 预测 t + 1，最后一个位置没有答案。"""
    logits, labels = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    labels[0, 2] = -100
    log = logits.log_softmax(-1)
    terms = [
        -log[row, t, labels[row, t + 1]]
        for row in range(2)
        for t in range(4)
        if labels[row, t + 1] != -100
    ]
    assert len(terms) == 7
    torch.testing.assert_close(next_token_loss(logits, labels), torch.stack(terms).mean())
    total = next_token_loss(logits, labels, items=10)
    torch.testing.assert_close(total, torch.stack(terms).sum() / 10)


def test_equal_logits_cost_ln_v() -> None:
    loss = next_token_loss(torch.zeros(1, 4, 9), torch.zeros(1, 4, dtype=torch.long))
    assert loss.item() == pytest.approx(math.log(9))


def test_computed_in_fp32() -> None:
    logits, labels = torch.randn(1, 6, 11), torch.randint(11, (1, 6))
    narrow = next_token_loss(logits.bfloat16(), labels)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, next_token_loss(logits.bfloat16().float(), labels))


def test_weighting_by_tokens_equals_one_batch(tiny) -> None:
    """长短不同的小批：各除以总词元数再相加，梯度与一次全算相同；各自平均再平均则不同。"""
    model = tiny()
    ids = torch.randint(61, (4, 12))
    labels = ids.clone()
    for row, keep in enumerate((11, 2, 9, 1)):
        labels[row, 1 + keep :] = -100

    def gradient(run) -> torch.Tensor:
        model.zero_grad()
        run()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    def split(items) -> None:
        for row in range(4):
            loss = model(ids[row, None], labels=labels[row, None], num_items_in_batch=items).loss
            (loss if items else loss / 4).backward()

    whole = gradient(lambda: model(ids, labels=labels).loss.backward())
    torch.testing.assert_close(gradient(lambda: split(11 + 2 + 9 + 1)), whole)
    assert (gradient(lambda: split(None)) - whole).norm() / whole.norm() > 0.1


def test_labels_must_line_up() -> None:
    with pytest.raises(ValueError, match=r"labels 的形状是 \(1, 5\)，应为 \(1, 2\)"):
        next_token_loss(torch.zeros(1, 2, 3), torch.zeros(1, 5, dtype=torch.long))


def test_nothing_to_predict_costs_zero_with_a_graph(tiny) -> None:
    """一个标签都不计：0 而不是 0 / 0，反向得到全 0 的梯度；总词元数是 0 时也一样。"""
    model, ids = tiny(), torch.arange(12).view(2, 6)
    ignored = torch.full_like(ids, -100)
    for items in (None, 0, torch.tensor(0)):
        model.zero_grad()
        loss = model(ids, labels=ignored, num_items_in_batch=items).loss
        assert loss.item() == 0
        loss.backward()
        assert all((p.grad == 0).all() for p in model.parameters())
