"""字节级 BPE：手写的一份用来读，`tokenizers` 的一份用来跑，学到的合并逐条相同。

词表从前往后是：特殊词元，256 个字节，学到的合并。每个字节写成一个看得见的字符（空格是 Ġ），
所以一个词元就是一串字符，什么文字都编得出来，没有「不认识的词」。

填充与结束是两个词元：填充不计入损失，两者若是同一个，结束也就学不到了。
"""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Iterable, List, Tuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

Merge = Tuple[str, str]

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"  # END 结束一篇文字，也结束一句回答
SPECIAL = (PAD, START, END)
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())  # 256 个字节各写成的字符
_SPLIT = pre_tokenizers.ByteLevel(add_prefix_space=False)
# generation 之间是要学的：回答，连同它的结束
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_bpe(texts: Iterable[str], vocab_size: int) -> List[Merge]:
    """学 BPE 的合并：每次把出现得最多的相邻两个并成一个；一样多的，取编号小的那一对。

    合并不跨越词的边界（词由 GPT-2 的正则切开），所以先数每个词出现几次，再数词里的相邻对。

    异常：文字不够学出这么大的词表，抛 ValueError。
    来源：Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units, §3.2。
    """
    words = [(list(word), count) for word, count in _words(texts).items()]
    number = {symbol: n for n, symbol in enumerate(ALPHABET)}
    merges: List[Merge] = []
    while len(SPECIAL) + len(number) < vocab_size:
        pairs: Counter[Merge] = Counter()
        for symbols, count in words:
            for pair in pairwise(symbols):
                pairs[pair] += count
        if not pairs:
            raise ValueError(_too_large(vocab_size, len(SPECIAL) + len(number)))
        best = max(pairs, key=lambda pair: (pairs[pair], -number[pair[0]], -number[pair[1]]))
        merges.append(best)
        number.setdefault("".join(best), len(number))
        words = [(merge(symbols, best), count) for symbols, count in words]
    return merges


def merge(symbols: List[str], pair: Merge) -> List[str]:
    """从左往右，把相邻的这一对并成一个。"""
    merged: List[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def encode(text: str, merges: Iterable[Merge]) -> List[str]:
    """用学到的合并切一段文字：每个词里，先学到的先并。"""
    order = {pair: n for n, pair in enumerate(merges)}
    tokens: List[str] = []
    for word, _ in _SPLIT.pre_tokenize_str(text):
        symbols = list(word)
        while known := [pair for pair in pairwise(symbols) if pair in order]:
            symbols = merge(symbols, min(known, key=order.__getitem__))
        tokens += symbols
    return tokens


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """同样的合并，由 `tokenizers` 来学，快几十倍；带着特殊词元与对话模板，存成 HF 的样子。

    异常：文字不够学出这么大的词表，抛 ValueError。
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = _SPLIT
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=ALPHABET,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    if bpe.get_vocab_size() != vocab_size:
        raise ValueError(_too_large(vocab_size, bpe.get_vocab_size()))
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """读一个 HF 样子的分词器文件夹，自己训练的或别人的。

    异常：读不出来，或没有结束词元、没有填充词元、两者相同，抛 ValueError。
    """
    if not folder.is_dir():
        raise ValueError(f"没有 {folder} 这个文件夹：分词器由 python -m llm.train tokenizer 学。")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{folder} 里的分词器读不出来：{error}") from error
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if eos is None or pad is None or eos == pad:
        raise ValueError(
            f"{folder} 的分词器：eos_token_id={eos}、pad_token_id={pad}。两者都要有，且不能相同："
            "填充不计入损失，与结束同号，模型就学不会停。"
        )
    return tokenizer


def byte_lengths(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> List[int]:
    """每个词元是几个字节；特殊词元不是文字，算 0。单位：字节。

    异常：不是字节级的分词器，抛 ValueError。
    """
    lengths = [0] * vocab_size
    for name, n in tokenizer.get_vocab().items():
        if n in tokenizer.all_special_ids:
            continue
        if not set(name) <= set(ALPHABET):
            raise ValueError(
                f"词元 {name!r} 不是一串字节：每字节的比特数只对字节级的分词器有意义。"
            )
        lengths[n] = len(name)
    return lengths


def _words(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word, _ in _SPLIT.pre_tokenize_str(text))


def _too_large(wanted: int, reached: int) -> str:
    return (
        f"词表要 {wanted}，这些文字只学得出 {reached}：再没有可以合并的相邻两个了。"
        f"把词表改成不大于 {reached}，或多给些文字。"
    )
