"""预训练：从一堆文字学下一个词元。"""

import lzma
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Callable, Dict, List, Optional, Sequence

import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from llm.config import LLMConfig
from llm.model import LLMForCausalLM
from llm.train.budget import check_memory
from llm.train.data import (
    Document,
    Encoded,
    Rows,
    encode_text,
    pack,
    read_documents,
    split,
)
from llm.train.loop import TrainConfig, bits_per_byte, fit, pick_device
from llm.train.tokenizer import byte_lengths, load_tokenizer, train_tokenizer

Say = Callable[[str], None]


@dataclass(frozen=True)
class TokenizerConfig:
    """学一个分词器。"""

    data: Annotated[Path, "语料：一个 JSONL，或一个放着 JSONL 的文件夹"] = Path("runs/corpus")
    out: Annotated[Path, "存到这个文件夹，HF 的样子"] = Path("runs/tokenizer")
    vocab_size: Annotated[int, "词表多大：特殊词元、256 个字节与学到的合并"] = 2048
    held_out: Annotated[float, "这一部分文字不用来学；与预训练的写成一样"] = 0.1


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """预训练一个小模型。"""

    tokenizer: Annotated[Path, "分词器的文件夹，HF 的样子"] = Path("runs/tokenizer")
    family: Annotated[str, "家族：llama、qwen2、qwen3、glm 或 glm4"] = "llama"
    hidden_size: Annotated[int, "模型的宽度（C）"] = 128
    intermediate_size: Annotated[int, "前馈层的中间维度（I）"] = 352
    layers: Annotated[int, "几层"] = 4
    heads: Annotated[int, "几个查询头（H）"] = 4
    kv_heads: Annotated[int, "几个键值头（K）"] = 2


def train_a_tokenizer(config: TokenizerConfig, say: Say = print) -> PreTrainedTokenizerFast:
    """在训练的那些文字上学，存成一个文件夹。"""
    texts, _ = split(_with_text(read(config.data, say)), config.held_out)
    tokenizer = train_tokenizer([d.text for d in texts], config.vocab_size)
    tokenizer.save_pretrained(config.out)
    say(f"分词器：词表 {len(tokenizer)}，学自 {len(texts)} 篇，存在 {config.out}。")
    return tokenizer


def pretrain(config: PretrainConfig, say: Say = print) -> bool:
    """从头训一个模型；训完存成 HF 的样子，并把留出文字上的比特数与两个基线并排说出来。

    返回是不是全做完了。
    """
    tokenizer = load_tokenizer(config.tokenizer)
    train, held = split(_with_text(read(config.data, say)), config.held_out)
    model_config = _model_config(config, tokenizer)
    check_memory(model_config, config.batch, config.seq_len, pick_device(config.device))
    encoded = [encode_text(tokenizer, d.text) for d in train]
    held_encoded = [encode_text(tokenizer, d.text) for d in held]
    torch.manual_seed(config.seed)
    model = LLMForCausalLM(model_config)
    to_rows = partial(pack, T=config.seq_len, pad=tokenizer.pad_token_id)
    rows = to_rows(encoded)
    say(f"{len(train)} 篇、{_count(encoded)} 个词元，{len(rows)} 行；留出 {len(held)} 篇。")
    lengths = torch.tensor(byte_lengths(tokenizer, len(tokenizer)), dtype=torch.float64)
    held_rows = to_rows(held_encoded) if held else None
    validate = partial(_validate, rows=held_rows, lengths=lengths, batch=config.batch)
    done = fit(config, model, rows, validate, say)
    if done:
        model.save_pretrained(config.out / "model")
        tokenizer.save_pretrained(config.out / "model")
        say(f"训好的模型在 {config.out / 'model'}。")
    if done and held:
        ours = validate(model)["bits_per_byte"]
        unigram = unigram_bits(encoded, held_encoded, lengths.tolist())
        xz = xz_bits([d.text for d in train], [d.text for d in held])
        say(f"留出文字上每字节的比特数：模型 {ours:.3f}，一元 {unigram:.3f}，xz {xz:.3f}。")
    return done


def read(data: Path, say: Say) -> List[Document]:
    """读一个 JSONL，或一个文件夹里的全部；读不懂的行说出来，不用。

    异常：没有这样的文件，或一行也没有，抛 ValueError。
    """
    paths = sorted(data.glob("*.jsonl")) if data.is_dir() else [data]
    if not paths or not all(path.is_file() for path in paths):
        raise ValueError(f"{data} 里没有 .jsonl；知识库的语料由 rizhi corpus {data} 写出。")
    documents, problems = read_documents(paths)
    for problem in problems:
        say(problem)
    if not documents:
        raise ValueError(f"{data} 是空的：没有一行读得懂的语料。")
    return documents


# ---- 基线 ----


def unigram_bits(train: Sequence[Encoded], held: Sequence[Encoded], lengths: List[float]) -> float:
    """只按训练文字里的词频来猜，每字节要几个比特；没见过的词元算见过一次。"""
    seen = Counter(token for ids, _ in train for token in ids)
    total = sum(seen.values()) + len(lengths)
    counted = [token for ids, _ in held for token in ids[1:] if lengths[token]]
    bits = -sum(math.log2((seen[token] + 1) / total) for token in counted)
    return bits / sum(lengths[token] for token in counted)


def xz_bits(train: Sequence[str], held: Sequence[str]) -> float:
    """给 xz 看过训练的文字，再压留出的，每字节要几个比特。"""
    before = "\n".join(train).encode()
    after = "\n".join(held).encode()
    size = [len(lzma.compress(text, preset=9)) for text in (before, before + b"\n" + after)]
    return 8 * (size[1] - size[0]) / len(after)


def _validate(
    model: LLMForCausalLM, rows: Optional[Rows], lengths: torch.Tensor, batch: int
) -> Dict[str, float]:
    return {"bits_per_byte": bits_per_byte(model, rows, lengths, batch)} if rows else {}


def _with_text(documents: Sequence[Document]) -> List[Document]:
    found = [document for document in documents if document.text]
    if not found:
        raise ValueError('语料里只有对话：预训练要有 "text" 的行。')
    return found


def _model_config(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase) -> LLMConfig:
    return LLMConfig.preset(
        config.family,
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.hidden_size // config.heads,
        max_position_embeddings=config.seq_len,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _count(encoded: Sequence[Encoded]) -> int:
    return sum(len(ids) for ids, _ in encoded)
