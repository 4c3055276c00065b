"""小语料取自 Python 自带的说明，从不读知识库；分词器与模型都小得一秒就好。"""

from pydoc_data.topics import topics
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from llm.config import LLMConfig
from llm.model import LLMForCausalLM
from llm.train.tokenizer import train_tokenizer

TEXTS = [topics[name] for name in sorted(topics)[:12]]
V = 320


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(TEXTS, V)


def tiny(vocab_size: int = V, **changed: Any) -> LLMForCausalLM:
    """两层、宽 32 的模型，权重由种子 0 定。"""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
    return LLMForCausalLM(LLMConfig(**{**sizes, **changed}))
