"""同样的数据、同样的更新：手写的循环与 HF 的 Trainer 逐步相等。"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from llm.train.data import IGNORED, Rows
from llm.train.loop import train_step
from llm.train.optim import build_optimizer, lr_at, parameter_groups
from tests.llm.train.conftest import tiny

UPDATES, ACCUMULATE, BATCH, T = 8, 3, 2, 12
LR, CLIP, DECAY, WARMUP = 1e-2, 0.5, 0.1, 2


def rows() -> Rows:
    """各行计入损失的词元数差得远，平均的次序错了就看得出。"""
    count = UPDATES * ACCUMULATE * BATCH
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 61, (count, T), generator=generator)
    labels = ids.clone()
    for row, kept in enumerate(torch.randint(1, T, (count,), generator=generator).tolist()):
        labels[row, kept + 1 :] = IGNORED
    return Rows(ids, labels, torch.arange(T).expand(count, -1))


def by_hand(given: Rows) -> tuple[list[tuple[float, float]], list[torch.Tensor]]:
    """HF 的头一次更新学习率是 0，所以从第 0 次数起。"""
    model = tiny(61)
    optimizer = build_optimizer(model, LR, DECAY, (0.9, 0.999))
    steps = []
    for update, chosen in enumerate(torch.arange(len(given)).split(ACCUMULATE * BATCH)):
        batches = [given.batch(part) for part in chosen.split(BATCH)]
        lr = lr_at(update, UPDATES, LR, WARMUP)
        step = train_step(model, optimizer, batches, lr, CLIP)
        steps.append((step.loss, step.norm))
    return steps, [p.detach() for p in model.parameters()]


def by_trainer(given: Rows, folder: Path) -> tuple[list[tuple[float, float]], list[torch.Tensor]]:
    class InOrder(Trainer):
        """Trainer 默认打乱次序；这里要同样的次序。"""

        def _get_train_sampler(self, *_: Any) -> Any:
            dataset: Any = self.train_dataset
            return torch.utils.data.SequentialSampler(dataset)

    model = tiny(61)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATE,
        max_steps=UPDATES,
        learning_rate=LR,
        lr_scheduler_type="cosine",
        warmup_steps=WARMUP,
        weight_decay=DECAY,
        max_grad_norm=CLIP,
        logging_steps=1,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )
    dataset: Any = [
        {name: tensor[row] for name, tensor in vars(given).items()} for row in range(len(given))
    ]
    trainer = InOrder(model=model, args=arguments, train_dataset=dataset)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    steps = [(float(entry["loss"]), float(entry["grad_norm"])) for entry in logged]
    return steps, [p.detach() for p in model.parameters()]


def test_eight_updates_equal_the_trainer(tmp_path: Path) -> None:
    """累积三个小批、词元数不等、余弦、衰减、裁剪：损失、范数、参数都相等。"""
    given = rows()
    ours, theirs = by_hand(given), by_trainer(given, tmp_path)
    assert len(ours[0]) == len(theirs[0]) == UPDATES
    for mine, other in zip(ours[0], theirs[0], strict=True):
        assert mine == pytest.approx(other, abs=1e-6, rel=1e-6)
    for a, b in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    start = [p.detach() for p in tiny(61).parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(ours[1], start, strict=True))


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "glm4"])
def test_the_decayed_parameters_are_those_of_the_trainer(theirs: Any, family: str) -> None:
    model = theirs(family)
    unbound: Any = Trainer.get_decay_parameter_names  # 它不看 self
    wanted = set(unbound(None, model))
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, kept = parameter_groups(model, 0.1)
    assert {names[id(p)] for p in decayed["params"]} == wanted
    assert kept["weight_decay"] == 0.0 and len(kept["params"]) > 2
