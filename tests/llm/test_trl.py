"""TRL 的 SFT、DPO、GRPO 训练器，用它们的默认设置走一步（只改输出位置、步数与用 CPU）。"""

import math
from pathlib import Path
from typing import Any

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
    special: dict[str, Any] = {"pad_token": "<pad>", "eos_token": "<eos>"}
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


@pytest.mark.guide("TRL：SFT、DPO、GRPO 的默认设置", "是")
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


@pytest.mark.guide("TRL：`packing=True`", "是")
@pytest.mark.parametrize("family", FAMILIES)
def test_sft_with_packing(tokenizer, theirs, tmp_path, family) -> None:
    """TRL 自己的打包送来重新数起的位置；损失与同一套权重的 transformers 模型相等。"""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    texts = ["你好，world", "日知其所亡", "月无忘其所能", "可谓好学也已矣"]
    ours: Any = _model(family, tokenizer)
    found: list[float] = []
    fields = ("vocab_size", "head_dim", "max_position_embeddings", "pad_token_id", "eos_token_id")
    reference = theirs(family, **{name: getattr(ours.config, name) for name in fields})
    ours.load_state_dict(reference.state_dict())
    for model in (reference, ours):
        seen: list[torch.Tensor] = []
        model.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.append(kwargs.get("position_ids")),
            with_kwargs=True,
        )
        trainer = SFTTrainer(
            model,
            args=SFTConfig(**_arguments(tmp_path), packing=True, max_length=64),
            train_dataset=Dataset.from_dict({"text": texts * 4}),
            processing_class=tokenizer,
        )
        found.append(float(_train(trainer)["train_loss"]))
        assert (seen[0].diff() < 0).any()  # 真的打包了
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.guide("TRL：`peft_config`", "是")
def test_sft_with_lora(tokenizer, tmp_path) -> None:
    """只有适配器动，底下的权重一位不变。"""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    model = _model("llama", tokenizer)
    before = {name: p.clone() for name, p in model.named_parameters()}
    trainer: Any = SFTTrainer(
        model,
        args=SFTConfig(**_arguments(tmp_path)),
        train_dataset=Dataset.from_dict({"text": ["你好，world", "日知其所亡"] * 4}),
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"),
    )
    trainer.train()
    after = dict(trainer.model.get_base_model().named_parameters())
    changed = {name for name, p in after.items() if "lora_B" in name and p.abs().max() > 0}
    assert len(changed) == 14  # 两层，每层七个投影
    for name, value in before.items():
        parts = name.rsplit(".", 1)
        kept = after.get(name, after.get(f"{parts[0]}.base_layer.{parts[1]}"))
        assert torch.equal(kept, value), name


@pytest.mark.guide("TRL：SFT、DPO、GRPO 的默认设置", "是")
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


@pytest.mark.guide("TRL：SFT、DPO、GRPO 的默认设置", "是")
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
