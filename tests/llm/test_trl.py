"""TRL 的 SFT、DPO、GRPO 训练器，用它们的默认设置走一步（只改输出位置、步数与用 CPU）。"""

import math
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llm import LLMConfig, LLMForCausalLM

pytestmark = [
    # TRL 1.16 自己还在用 transformers 5.23 弃用的名字，与我们无关
    pytest.mark.filterwarnings(
        "ignore:`(is_)?gradient_checkpointing(_enable|_disable)?` is deprecated:FutureWarning"
    ),
]
FAMILIES = ("llama", "glm4")


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """一个字节一个词元，当场造好，不下载。"""
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: index for index, text in enumerate(["<pad>", "<eos>", *bytes_])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def _model(family: str, tokenizer: PreTrainedTokenizerFast) -> LLMForCausalLM:
    """旋转表 1024 行：GRPO 默认要生成 512 个词元。"""
    config = LLMConfig.preset(
        family,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
        pad_token_id=0,
        eos_token_id=1,
    )
    return LLMForCausalLM(config)


def _train(trainer) -> dict:
    """走一步；每个参数都动了，返回记录里有损失的那一条。"""
    defaults = trainer.args
    assert defaults.bf16 and defaults.gradient_checkpointing  # TRL 的默认，没有替它关掉
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name: not torch.equal(p, before[name]) for name, p in trainer.model.named_parameters()}
    assert all(moved.values()), moved
    return next(entry for entry in trainer.state.log_history if "train_loss" in entry)


def _arguments(folder: Path) -> dict:
    return {
        "output_dir": str(folder),
        "max_steps": 1,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_sft(tokenizer, tmp_path, family) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        _model(family, tokenizer),
        args=SFTConfig(**_arguments(tmp_path)),
        train_dataset=Dataset.from_dict({"text": ["你好，world", "日知其所亡"] * 4}),
        processing_class=tokenizer,
    )
    loss = float(_train(trainer)["train_loss"])
    assert loss == pytest.approx(math.log(len(tokenizer)), abs=0.3)


@pytest.mark.parametrize("source", ["folder", "instance"])
@pytest.mark.parametrize("family", FAMILIES)
def test_dpo(tokenizer, tmp_path, family, source) -> None:
    """策略与参考相同时损失恰是 ln 2；参考模型由 TRL 自己按文件夹读。"""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    _model(family, tokenizer).save_pretrained(tmp_path / "model")
    where = str(tmp_path / "model")
    pairs = {"prompt": ["一加一"] * 8, "chosen": ["等于二"] * 8, "rejected": ["不知道"] * 8}
    trainer = DPOTrainer(
        where if source == "folder" else LLMForCausalLM.from_pretrained(where),
        args=DPOConfig(**_arguments(tmp_path / "run")),
        train_dataset=Dataset.from_dict(pairs),
        processing_class=tokenizer,
    )
    assert type(trainer.ref_model) is LLMForCausalLM
    assert float(_train(trainer)["train_loss"]) == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_grpo(tokenizer, tmp_path, family) -> None:
    """采样一组、打分、走一步；同一组里分数要有高低，才有梯度。"""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def variety(completions: list[str], **_: object) -> list[float]:
        return [float(len(set(completion))) for completion in completions]

    trainer = GRPOTrainer(
        _model(family, tokenizer),
        reward_funcs=variety,
        args=GRPOConfig(**_arguments(tmp_path)),
        train_dataset=Dataset.from_dict({"prompt": ["日知", "月无忘"] * 4}),
        processing_class=tokenizer,
    )
    record = _train(trainer)
    assert math.isfinite(float(record["train_loss"]))
