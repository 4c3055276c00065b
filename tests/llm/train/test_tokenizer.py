"""手写的 BPE 与 tokenizers 逐条相等；什么文字都编得出、解得回。"""

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from llm.train.data import IGNORED, render
from llm.train.tokenizer import (
    END,
    PAD,
    SPECIAL,
    byte_lengths,
    encode,
    load_tokenizer,
    merge,
    train_bpe,
    train_tokenizer,
)
from tests.llm.train.conftest import TEXTS, V

MIXED = [
    "注意力掩码里 True 是看得见，你好 🙂 注意力注意力",
    "aaaa aaaaaaa\n\n  x\tdef f():",
    "ab abab",
]


def merges_of(tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str]]:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return [(left, right) for left, right in model["merges"]]


@pytest.mark.parametrize(
    ("texts", "size"), [(TEXTS[:4], 330), (MIXED * 3, 290), (["aaaaaaaaaaaaaaaa aaaa"], 262)]
)
def test_merges_equal_those_of_tokenizers(texts: list[str], size: int) -> None:
    merges = train_bpe(texts, size)
    assert merges == merges_of(train_tokenizer(texts, size))
    assert len(merges) >= size - 256 - len(SPECIAL) > 0


def test_the_order_of_merges_matters() -> None:
    """反着用学到的合并，切出来就不一样：encode 真的看了先后。"""
    merges = train_bpe(TEXTS[:4], 330)
    assert encode(TEXTS[0], merges) != encode(TEXTS[0], merges[::-1])


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_and_both_cut_alike(text: str) -> None:
    merges, fast = trained()
    assert encode(text, merges) == fast.tokenize(text)
    assert fast.decode(fast(text).input_ids) == text


@cache
def trained() -> tuple[list[tuple[str, str]], PreTrainedTokenizerBase]:
    return train_bpe(TEXTS[:4], V), train_tokenizer(TEXTS[:4], V)


def test_merge_goes_from_left_to_right() -> None:
    assert merge(list("aaaaa"), ("a", "a")) == ["aa", "aa", "a"]
    assert merge(list("abcab"), ("a", "b")) == ["ab", "c", "ab"]


@pytest.mark.parametrize("train", [train_bpe, train_tokenizer])
def test_a_vocabulary_larger_than_the_text_is_refused(train) -> None:
    with pytest.raises(ValueError, match="词表要 500，这些文字只学得出 26"):
        train(["abc abc abd"], 500)


def test_padding_and_end_differ_and_both_are_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer(PAD + END).input_ids == [tokenizer.pad_token_id, tokenizer.eos_token_id]
    assert len(tokenizer) == V


def test_a_saved_folder_is_the_same_tokenizer(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for text in MIXED:
        assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.chat_template == tokenizer.chat_template


def test_byte_lengths_add_up(tokenizer: PreTrainedTokenizerBase) -> None:
    lengths = byte_lengths(tokenizer, len(tokenizer))
    for text in MIXED:
        assert sum(lengths[n] for n in tokenizer(text).input_ids) == len(text.encode())
    assert [lengths[tokenizer.vocab[name]] for name in SPECIAL] == [0, 0, 0]


def test_the_template_marks_answers_with_their_end(tokenizer: PreTrainedTokenizerBase) -> None:
    talk = [
        {"role": "system", "content": "短"},
        {"role": "user", "content": " 问\n"},
        {"role": "assistant", "content": "\n\n答 "},
        {"role": "user", "content": "再问"},
        {"role": "assistant", "content": "再答"},
    ]
    ids, labels = render(tokenizer, talk)
    learned = [label for label in labels if label != IGNORED]
    assert tokenizer.decode(learned) == f"\n\n答 {END}再答{END}"
    assert all(label in (IGNORED, one) for one, label in zip(ids, labels, strict=True))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda t, folder: None, "没有 .* 这个文件夹"),
        (lambda t, folder: folder.mkdir(), "读不出来"),
        (lambda t, folder: _same_pad(t, folder), "不能相同"),
    ],
    ids=["missing", "empty", "pad is eos"],
)
def test_a_folder_that_is_no_tokenizer_is_refused(broken, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    broken(train_tokenizer(MIXED * 3, 280), folder)
    with pytest.raises(ValueError, match=words):
        load_tokenizer(folder)


def _same_pad(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)


def test_a_template_without_generation_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    plain = train_tokenizer(MIXED * 3, 280)
    plain.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ValueError, match="没有标出哪些是回答"):
        render(plain, [{"role": "assistant", "content": "答"}])
