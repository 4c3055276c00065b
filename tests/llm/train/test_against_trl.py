"""微调的损失与梯度与 TRL 1.16 在同一批上相等：只学回答，与打包。"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from llm.model import LLMForCausalLM
from llm.train.data import IGNORED, Batch, pack, render
from llm.train.loop import count_tokens, train_step
from tests.llm.train.conftest import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:`(is_)?gradient_checkpointing(_enable|_disable)?` is deprecated:FutureWarning"
)
TALKS = [
    [
        {"role": "user", "content": "mask 里 True 是什么？"},
        {"role": "assistant", "content": "看得见。"},
    ],
    [
        {"role": "system", "content": "答得短。"},
        {"role": "user", "content": "RoPE 转的是什么？"},
        {"role": "assistant", "content": "q 与 k。"},
        {"role": "user", "content": "v 呢？"},
        {"role": "assistant", "content": "不转。"},
    ],
    [{"role": "user", "content": "S"}, {"role": "assistant", "content": "past + T"}],
    [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "\n  because"}],
]
LONG = 512


def trainer_for(
    model: LLMForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path, packing: bool
) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(
        output_dir=str(folder),
        assistant_only_loss=True,
        packing=packing,
        max_length=LONG,
        per_device_train_batch_size=len(TALKS),
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    return SFTTrainer(
        model,
        args=arguments,
        train_dataset=Dataset.from_dict({"messages": TALKS}),
        processing_class=tokenizer,
    )


def graded(model: LLMForCausalLM) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def by_trl(
    tokenizer: PreTrainedTokenizerBase, folder: Path, packing: bool
) -> tuple[float, torch.Tensor, Batch]:
    model = tiny(len(tokenizer), max_position_embeddings=LONG)
    trainer = trainer_for(model, tokenizer, folder, packing)
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    return loss.item(), graded(model), batch


def by_hand(tokenizer: PreTrainedTokenizerBase) -> tuple[float, torch.Tensor, Batch]:
    model = tiny(len(tokenizer), max_position_embeddings=LONG)
    rows = pack([render(tokenizer, talk) for talk in TALKS], LONG, tokenizer.pad_token_id)
    batch = rows.batch(torch.arange(len(rows)))
    items = count_tokens([batch])
    loss = model(**batch, num_items_in_batch=items, use_cache=False).loss
    loss.backward()
    return loss.item(), graded(model), batch


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_loss_and_gradient_equal_trl(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, packing: bool
) -> None:
    theirs, their_gradient, their_batch = by_trl(tokenizer, tmp_path, packing)
    ours, our_gradient, batch = by_hand(tokenizer)
    assert ("position_ids" in their_batch) == packing
    assert (batch["labels"] != IGNORED).sum() == (their_batch["labels"] != IGNORED).sum() > 20
    assert ours == pytest.approx(theirs, abs=1e-5)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=0, atol=1e-5)


def test_a_whole_step_logs_the_same_loss(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    theirs, their_gradient, _ = by_trl(tokenizer, tmp_path, True)
    model = tiny(len(tokenizer), max_position_embeddings=LONG)
    rows = pack([render(tokenizer, talk) for talk in TALKS], LONG, tokenizer.pad_token_id)
    batch = rows.batch(torch.arange(len(rows)))
    step = train_step(model, torch.optim.SGD(model.parameters()), [batch], 0.0, 1e9)
    assert step.loss == pytest.approx(theirs, abs=1e-5)
    assert step.norm == pytest.approx(their_gradient.norm().item(), rel=1e-5)
