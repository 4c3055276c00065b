# %% [markdown]
# # 字节级 BPE：从 256 个字节起，把常见的相邻两个并成一个
# 来源：Sennrich et al. 2016, §3.2；Radford et al. 2019（GPT-2），§2.2

# %% 一段文字，一串字节
from tokenizers import pre_tokenizers

text = "mask 是掩码"
print(f"{text}：{len(text)} 个字符，{len(text.encode())} 个字节")
print(list(text.encode()))
cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
for word, (start, end) in cut.pre_tokenize_str(text):  # 一个字节写成一个看得见的字符
    print(f"{text[start:end]!r:7} → {word}")
print([word for word, _ in cut.pre_tokenize_str("x = mask[:, 12]  # don't")])  # Ġ 是空格

# %% 学合并
from collections import Counter
from itertools import pairwise

from llm.train.tokenizer import SPECIAL, encode, merge, train_bpe

corpus = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
FIRST = len(SPECIAL) + 256  # 还没有合并时的词表
merges = train_bpe(corpus, FIRST + 7)
words = [list(word) for word in corpus]
for pair in merges:
    seen = Counter(two for word in words for two in pairwise(word))
    words = [merge(word, pair) for word in words]
    print(f"{pair[0]} + {pair[1]}：出现 {seen[pair]} 次，newest 成了 {' '.join(words[7])}")

# %% 用合并
for word in ("lowest", "newer", "wow"):
    symbols = list(word)
    for pair in merges:  # 先学到的先并
        symbols = merge(symbols, pair)
    print(f"{word} → {symbols}", encode(word, merges) == symbols)

# %% 特殊词元与对话模板
from llm.train.data import render
from llm.train.tokenizer import train_tokenizer

talk = [
    {"role": "user", "content": "mask 里 True 是什么？"},
    {"role": "assistant", "content": "看得见。"},
]
own = ["注意力掩码里 True 是看得见。\n", "mask[:, 0] = True  # 掩码\n", "aaaa aaaaaaa 🙂🙂\n"] * 3
tokenizer = train_tokenizer(own, 290)
print({name: tokenizer.vocab[name] for name in SPECIAL})
print("填充:", tokenizer.pad_token, " 结束:", tokenizer.eos_token)
ids, labels = render(tokenizer, talk)
print(repr(tokenizer.decode(ids)))
print("学的:", repr(tokenizer.decode([label for label in labels if label != -100])))

# %% 图 词表多大
import math
from pydoc_data.topics import topics

import matplotlib.pyplot as plt

from llm.train.data import encode_text
from llm.train.pretrain import unigram_bits
from llm.train.tokenizer import byte_lengths

names = [name for name in sorted(topics) if len(topics[name]) < 8000]  # 短的几十篇
train = [topics[name] for n, name in enumerate(names) if n % 8]
held = [topics[name] for n, name in enumerate(names) if n % 8 == 0]
chinese = ["注意力让每个位置看见前面的位置，掩码说的是看不看得见。"]
sizes = (259, 300, 400, 600, 1000, 2000)
bytes_a_token = {"英文的说明（留出的）": [], "中文（没有学过）": []}
bits, nats = [], []  # 每字节、每词元
for V in sizes:
    each = train_tokenizer(train, V)
    lengths = byte_lengths(each, V)
    seen, kept = ([encode_text(each, one) for one in texts] for texts in (train, held))
    bits.append(unigram_bits(seen, kept, lengths))
    counted = [n for ids, _ in kept for n in ids[1:] if lengths[n]]
    nats.append(bits[-1] * math.log(2) * sum(lengths[n] for n in counted) / len(counted))
    for shown, texts in zip(bytes_a_token.values(), (held, chinese), strict=True):
        size = sum(len(one.encode()) for one in texts)
        shown.append(size / sum(len(each(one).input_ids) for one in texts))
figure, ax = plt.subplots(figsize=(7.2, 2.8))
for (label, shown), color in zip(bytes_a_token.items(), ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(sizes, shown, "o-", color=color, label=label)
ax.set(xlabel="词表 V", ylabel="字节/词元", title="词表越大，一个词元越长")
ax.legend()
ax.grid(True)
figure.tight_layout()
english, other = bytes_a_token.values()
assert english == sorted(english) and other[-1] < 1.2 and english[-1] > 2.5

# %% 检验 手算的合并
assert merges[:4] == [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w")]  # 9、9、7、7 次
assert merge(list("aaaaa"), ("a", "a")) == ["aa", "aa", "a"]  # 从左往右，不重叠
assert merge(list("abcab"), ("a", "b")) == ["ab", "c", "ab"]
assert train_bpe(["ab"] * 2 + ["cd"] * 2, FIRST + 1) == [("a", "b")]  # 一样多，取编号小的
assert train_bpe(["x b", "x b"], FIRST + 1) == [("Ġ", "b")]  # 不跨词：x 与空格不并

# %% 检验 与 tokenizers 逐条相同
import json
import random

brief = [topics[name] for name in names[:5]]
texts = ["注意力 掩码，注意力掩码 🙂", "def f(x):\n\n    return  x\t# don't", "aaaa aaaaaaa", "", "\0\x7f"]
texts += brief
letters = "ab 掩码\n🙂é1'"
random.seed(0)
texts += ["".join(random.choices(letters, k=40)) for _ in range(20)]
for learned, V in ((brief, 330), (own, 290), (["aaaaaaaaaaaaaaaa aaaa"], 262), (texts, 320)):
    by_hand, fast = train_bpe(learned, V), train_tokenizer(learned, V)
    theirs = json.loads(fast.backend_tokenizer.to_str())["model"]["merges"]
    assert by_hand == [tuple(pair) for pair in theirs]
    assert fast.vocab_size == len(fast) == V
    for one in texts:
        assert encode(one, by_hand) == fast.tokenize(one)
        assert fast.decode(fast(one).input_ids) == one  # 解得回来，一个字节不差

# %% 检验 每个词元几个字节
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

sizes_of = byte_lengths(tokenizer, len(tokenizer))
for one in texts:
    assert sum(sizes_of[n] for n in tokenizer(one).input_ids) == len(one.encode())
assert [sizes_of[tokenizer.vocab[name]] for name in SPECIAL] == [0, 0, 0]
assert sorted(sizes_of)[3:259] == [1] * 256  # 每个字节各有一个词元：没有不认识的字
by_word = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"注意": 0})))
try:
    byte_lengths(by_word, 1)
except ValueError as error:
    print(error)
else:
    raise AssertionError("一个词元不是一串字节，应当拒绝")

# %% 检验 词表大过文字
for learn in (train_bpe, train_tokenizer):
    try:
        learn(["abc abc abd"], 500)
    except ValueError as error:
        print(error)
    else:
        raise AssertionError("学不出这么大的词表，应当报错")

# %% 检验 填充不是结束
from pathlib import Path

from llm.train.tokenizer import load_tokenizer

pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
assert pad != end and tokenizer("<|pad|><|im_end|>").input_ids == [pad, end]
tokenizer.save_pretrained("right")
assert load_tokenizer(Path("right"))(text).input_ids == tokenizer(text).input_ids
same = train_tokenizer(own, 290)
same.pad_token = same.eos_token
same.save_pretrained("same")
Path("empty").mkdir(exist_ok=True)
for folder in ("same", "missing", "empty"):
    try:
        load_tokenizer(Path(folder))
    except ValueError as error:
        print(str(error).partition("：")[0])
    else:
        raise AssertionError("应当拒绝")

# %% 坏 合并的先后
sample = brief[1]
right = encode(sample, by_hand := train_bpe(brief, 330))
wrong = encode(sample, by_hand[::-1])  # 同样的合并，后学到的先并
print("接起来都是原文:", "".join(right) == "".join(wrong))
print("切得一样:", right == wrong, " 反过来切得更碎:", len(wrong) > len(right))

# %% 坏 每个词元的损失
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
axes[0].plot(sizes, nats, "o-", color="#d9822b")
axes[0].set(title="错：每个词元（词表越小越「好」）", ylabel="nat/词元")
axes[1].plot(sizes, bits, "o-", color="#3f7fbf")
axes[1].set(title="对：每个字节（词表越大越好）", ylabel="比特/字节")
for ax in axes:
    ax.set(xlabel="词表 V")
    ax.grid(True)
figure.tight_layout()
assert nats == sorted(nats) and bits == sorted(bits, reverse=True)  # 同一串文字，结论相反

# %% 坏 结束没有学
import torch

from llm import LLMConfig, LLMForCausalLM
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train import data
from llm.train.loop import train_step
from llm.train.optim import build_optimizer

answers = {"看得见": "True。", "看不见": "False。", "填充": "0。", "真词元": "1。"}
talks = [
    [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    for asked, answer in answers.items()
]


def rows_of() -> data.Rows:
    """四段对话，打包成行；经由模块取 render，换过的就是换过的那一个。"""
    return data.pack([data.render(tokenizer, talk) for talk in talks], 96, pad)


def chance_of_end(rows: data.Rows, updates: int = 40) -> list[float]:
    """训 40 次更新，每次之后，回答的末尾猜「结束」的概率，四段平均。"""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    model = LLMForCausalLM(
        LLMConfig(vocab_size=len(tokenizer), num_attention_heads=2, num_key_value_heads=2, **shape)
    )
    optimizer = build_optimizer(model, 1e-2, 0.0, (0.9, 0.95))
    batch = rows.batch(torch.arange(len(rows)))
    there = (answered.labels[:, 1:] == end).nonzero(as_tuple=True)  # 答案是结束的那些位置
    found = []
    for _ in range(updates):
        train_step(model, optimizer, [batch], 1e-2, 1.0)
        with torch.no_grad():
            logits = model(answered.input_ids, position_ids=answered.position_ids).logits
        found.append(logits[:, :-1].softmax(-1)[there][:, end].mean().item())
    return found


answered = rows_of()
print(TRAIN_MUTATIONS["end_not_learned"].text)
with mutated("end_not_learned"):
    endless = rows_of()
chances = {"对：结束也学": chance_of_end(answered), "错：结束是 -100": chance_of_end(endless)}
print("学的结束有几个，对、错:", *(int((r.labels == end).sum()) for r in (answered, endless)))
figure, ax = plt.subplots(figsize=(7.2, 2.6))
for (label, shown), color in zip(chances.items(), ("#3f7fbf", "#d9822b"), strict=True):
    ax.plot(range(1, 41), shown, color=color, label=label)
ax.set(xlabel="更新", ylabel="概率", title="回答说完之后，猜「结束」的概率")
ax.legend()
ax.grid(True)
figure.tight_layout()
well, badly = chances.values()
assert well[-1] > 0.95 and badly[-1] < 0.01

# %% 坏 半个字
bare = train_tokenizer(["abc"], FIRST)  # 没有合并：一个汉字三个词元
single = bare("码").input_ids
print(len(single), "个词元，逐个解:", [bare.decode([n]) for n in single])
print("合起来解:", bare.decode(single))

# %% 坏 文字里写着特殊词元
said = "结束写作 <|im_end|>"
print("当成了真的结束:", end in tokenizer(said).input_ids)
print("split_special_tokens:", end in tokenizer(said, split_special_tokens=True).input_ids)
