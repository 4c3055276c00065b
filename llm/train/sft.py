"""监督微调：在对话上接着训，只学回答；可以整个模型都学，也可以只学 LoRA。"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Dict, Iterable, Iterator, List, Optional, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from llm.hf import read_json
from llm.model import LLMForCausalLM
from llm.train.budget import check_memory
from llm.train.data import IGNORED, Document, Encoded, Rows, pack, render, split
from llm.train.loop import TrainConfig, fit, mean_loss, pick_device
from llm.train.lora import add_lora, merge_lora
from llm.train.pretrain import Say, read
from llm.train.tokenizer import load_tokenizer

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class SFTConfig(TrainConfig):
    """在对话上微调。"""

    out: Annotated[Path, "放检查点、指标与训好的模型的文件夹；同一个就接着训"] = Path("runs/sft")
    updates: Annotated[int, "更新几次"] = 300
    lr: Annotated[float, "学习率的最高处"] = 5e-4
    least_lr: Annotated[float, "学习率最后降到多少"] = 5e-5
    model: Annotated[Path, "从哪个模型接着训：HF 样子的文件夹"] = Path("runs/pretrain/model")
    lora_rank: Annotated[int, "LoRA 的秩；0 是整个模型都学"] = 0
    lora_alpha: Annotated[float, "LoRA 的缩放：增量乘以 lora_alpha / lora_rank"] = 16.0


def sft(config: SFTConfig, say: Say = print) -> bool:
    """微调一个模型，存成 HF 的样子（LoRA 已并回）。返回是不是全做完了。"""
    tokenizer = load_tokenizer(config.model)
    model = load_model(config.model, tokenizer)
    if config.seq_len > model.config.max_position_embeddings:
        raise ValueError(
            f"seq_len={config.seq_len} 超出模型旋转表的 {model.config.max_position_embeddings} 行。"
        )
    check_memory(model.config, config.batch, config.seq_len, pick_device(config.device))
    train, held = split(_with_messages(read(config.data, say)), config.held_out)
    encoded = _fitting(tokenizer, train, config.seq_len, say)
    held_encoded = _fitting(tokenizer, held, config.seq_len, say)
    to_rows = partial(pack_whole, T=config.seq_len, pad=tokenizer.pad_token_id)
    rows = to_rows(encoded)
    say(f"{len(encoded)} 段对话，{len(rows)} 行；留出 {len(held_encoded)} 段。")
    torch.manual_seed(config.seed)
    if config.lora_rank:
        add_lora(model, ADAPTED, config.lora_rank, config.lora_alpha)
    held_rows = to_rows(held_encoded) if held_encoded else None
    done = fit(config, model, rows, partial(_validate, rows=held_rows, batch=config.batch), say)
    if done:
        merge_lora(model)
        model.save_pretrained(config.out / "model")
        tokenizer.save_pretrained(config.out / "model")
        say(f"训好的模型在 {config.out / 'model'}；跟它说话：python -m llm.train chat")
    return done


def pack_whole(documents: Iterable[Encoded], T: int, pad: int) -> Rows:
    """打包，但不切开任何一段：这一行剩下的放不下，就填满它，从下一行放起。

    形状：→ 各 (行数, T)。
    """
    return pack(_spaced(documents, T, pad), T, pad)


def load_model(folder: Path, tokenizer: PreTrainedTokenizerBase) -> LLMForCausalLM:
    """读一个 HF 样子的文件夹：自己存下的，或五个家族之一的。

    异常：读不出来，或词表比分词器小，抛 ValueError。
    """
    if read_json(folder / "config.json").get("model_type") == "rizhi_llm":
        try:
            model = LLMForCausalLM.from_pretrained(folder, local_files_only=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{folder} 的权重读不出来：{error}") from error
    else:
        model = LLMForCausalLM.from_hf(folder)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{folder}：分词器有 {len(tokenizer)} 个词元，"
            f"模型的词表只有 {model.config.vocab_size}。"
        )
    model.float()
    return model


def _spaced(documents: Iterable[Encoded], T: int, pad: int) -> Iterator[Encoded]:
    filled = 0
    for ids, labels in documents:
        spare = -filled % T
        if spare < len(ids):
            yield [pad] * spare, [IGNORED] * spare
            filled += spare
        yield ids, labels
        filled += len(ids)


def _fitting(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], T: int, say: Say
) -> List[Encoded]:
    """编成词元；比一行还长的不要：切开了，后半截的回答就看不见问题。"""
    encoded = [render(tokenizer, document.messages) for document in documents]
    fitting = [one for one in encoded if len(one[0]) <= T]
    if len(fitting) < len(encoded):
        say(
            f"{len(encoded) - len(fitting)} 段对话长过 seq_len={T}，没有用；调大 seq_len 就用得上。"
        )
    return fitting


def _with_messages(documents: Sequence[Document]) -> List[Document]:
    found = [document for document in documents if document.messages]
    if not found:
        raise ValueError('语料里没有对话：微调要有 "messages" 的行。')
    return found


def _validate(model: LLMForCausalLM, rows: Optional[Rows], batch: int) -> Dict[str, float]:
    return {"held_out_loss": mean_loss(model, rows, batch)} if rows else {}
