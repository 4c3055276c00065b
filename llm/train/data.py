"""从 JSONL 到一批批的行：读、分训练与留出、编码、打包、按批取。

一篇文字编成两串同长的数：词元，与标签（不学的是 -100）。打包把许多篇首尾相接，切成等长的行：
每篇的位置从 0 重新数（模型由此认出各篇，见 `llm.model.document_mask`），各篇头一个词元的标签
是 -100，因为它前面那个词元属于另一篇。
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

import torch
from tokenizers import normalizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase

IGNORED = -100  # 交叉熵不计的标签
Encoded = Tuple[List[int], List[int]]  # 词元与标签，同长
Batch = Dict[str, Tensor]


@dataclass(frozen=True)
class Document:
    """JSONL 的一行：一篇文字，或一段对话；`source` 说它出自哪里，同出一处的不分开。"""

    source: str
    text: str = ""
    messages: Tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Position:
    """读到了哪里：第几遍，这一遍里的第几行。取数据的全部状态就是这两个数。"""

    epoch: int = 0
    index: int = 0


@dataclass(frozen=True)
class Rows:
    """打包好的行。

    形状：input_ids、labels、position_ids 各 (行数, T)。
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def batch(self, rows: Tensor) -> Batch:
        """挑出这几行，正是 `forward` 的参数。形状：rows (B,) → 各 (B, T)。"""
        return {name: tensor[rows] for name, tensor in vars(self).items()}


# ---- 读 ----


def read_documents(paths: Iterable[Path]) -> Tuple[List[Document], List[str]]:
    """读几个 JSONL；第二项逐条说出读不懂的行，那些行不要。

    异常：文件打不开，抛 OSError。
    """
    documents, problems = [], []
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        documents.append(_document(line, f"{path.stem}:{number}"))
                    except ValueError as error:
                        problems.append(f"{path}:{number}：{error}；这一行没有用。")
    return documents, problems


def _document(line: bytes, place: str) -> Document:
    """异常：不是 UTF-8、不是 JSON、没有要的字段、内容是空的，抛 ValueError。"""
    try:
        raw = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"不是 UTF-8（第 {error.start} 个字节）") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"不是 JSON（{error}）") from error
    if not isinstance(raw, dict):
        raise ValueError('应是一个 JSON 对象，有 "text" 或 "messages"')
    source = str(raw.get("source") or place)
    if isinstance(raw.get("messages"), list):
        return Document(source, messages=_messages(raw["messages"]))
    text = raw.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError('没有 "messages"，"text" 也不是一段不空的文字')
    return Document(source, _whole(text))


def _messages(raw: Sequence[Any]) -> Tuple[Mapping[str, str], ...]:
    for message in raw:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str) or message.get("role") not in _ROLES:
            raise ValueError(f"messages 里的一句应有 role（{'、'.join(_ROLES)}）与文字的 content")
    if not any(message["role"] == "assistant" and message["content"].strip() for message in raw):
        raise ValueError("messages 里没有 assistant 的话，没有可学的")
    return tuple({"role": m["role"], "content": _whole(m["content"])} for m in raw)


def _whole(text: str) -> str:
    """异常：有不成对的代理字符（写不成 UTF-8），抛 ValueError。"""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("有不成对的代理字符，写不成 UTF-8")
    return text


_ROLES = ("system", "user", "assistant")


def split(documents: Sequence[Document], fraction: float) -> Tuple[List[Document], List[Document]]:
    """分成训练的与留出的，在做别的事之前：只看 `source` 的摘要，所以加了新的，旧的不换边。

    异常：有一边是空的，抛 ValueError。
    """
    held: List[Document] = []
    train: List[Document] = []
    for document in documents:
        share = int.from_bytes(sha256(document.source.encode()).digest()[:8], "big") / 2**64
        (held if share < fraction else train).append(document)
    if not train or (fraction and not held):
        raise ValueError(
            f"{len(documents)} 篇里，训练的有 {len(train)} 篇，留出的有 {len(held)} 篇，都不能空。"
            f"多给几篇（按 source 分，同出一处的在一边），或改 held_out（现在是 {fraction}）。"
        )
    return train, held


# ---- 编码 ----


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoded:
    """一篇文字，末尾加上结束词元；每个词元都学。正文里写着特殊词元的字样，当普通的文字切。"""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    return [*ids, tokenizer.eos_token_id], [*ids, tokenizer.eos_token_id]


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> Encoded:
    """一段对话，按分词器自己的对话模板；只学回答与它的结束。

    异常：模板没有用 generation 标出回答，抛 ValueError。
    """
    rendered = _templated(tokenizer, messages, return_assistant_tokens_mask=True)
    ids, learned = rendered["input_ids"], rendered["assistant_masks"]
    if not any(learned):
        raise ValueError(
            "对话模板没有标出哪些是回答：在 chat_template 里用 "
            "{% generation %} … {% endgeneration %} 把回答包起来。"
        )
    return ids, [n if keep else IGNORED for n, keep in zip(ids, learned, strict=True)]


def prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> List[int]:
    """说到这里，该回答了：与 `render` 同样的编法，停在回答开头。"""
    return _templated(tokenizer, messages, add_generation_prompt=True)["input_ids"]


def _templated(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], **options: Any
) -> Mapping[str, List[int]]:
    """套上对话模板再切：只有模板放的才是特殊词元，话里写着的字样是文字。

    transformers 的 sanitize_control_tokens 也是这个意思，但它不给出哪些是回答。
    """
    words = _special(tokenizer)
    pattern = re.compile("|".join(map(re.escape, words)))
    hidden = [
        {**one, "content": pattern.sub(lambda found: _hide(found[0]), one["content"])}
        for one in messages
    ]
    backend: Any = tokenizer.backend_tokenizer
    before = backend.normalizer
    letters = sorted({word[0] for word in words})
    restore = [normalizers.Replace(_hide(letter), letter) for letter in letters]
    # 认特殊词元在归一化之前：藏着的认不出来，认完才换回去
    backend.normalizer = normalizers.Sequence([*restore, *filter(None, [before])])
    try:
        rendered: Any = tokenizer.apply_chat_template(hidden, return_dict=True, **options)
        return rendered
    finally:
        backend.normalizer = before


def _special(tokenizer: PreTrainedTokenizerBase) -> List[str]:
    """全部特殊词元的写法，长的在前。"""
    words = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted(words, key=len, reverse=True)


def _hide(word: str) -> str:
    """头一个字换成私用区里的：长短不变，再也不是特殊词元。"""
    return chr(0xF0000 + ord(word[0])) + word[1:]


# ---- 打包 ----


def pack(documents: Iterable[Encoded], T: int, pad: int) -> Rows:
    """首尾相接，切成长为 T 的行；末行不满的填上，填的不学，自成一篇。

    切在中间的一篇，后半截在下一行里位置也从 0 数起：它看不见前半截。

    形状：→ 各 (行数, T)。
    异常：一个词元也没有，抛 ValueError。
    """
    ids: List[int] = []
    labels: List[int] = []
    positions: List[int] = []
    for tokens, targets in documents:
        for start in _pieces(len(ids), len(tokens), T):
            piece = slice(*start)
            ids += tokens[piece]
            labels += [IGNORED, *targets[piece][1:]]
            positions += range(start[1] - start[0])
    if not ids:
        raise ValueError("没有可训练的文字：一个词元也没有。")
    spare = -len(ids) % T
    ids += [pad] * spare
    labels += [IGNORED] * spare
    positions += range(spare)
    return Rows(*(torch.tensor(flat).view(-1, T) for flat in (ids, labels, positions)))


def _pieces(filled: int, length: int, T: int) -> Iterator[Tuple[int, int]]:
    """一篇长为 length 的，从已填了 filled 个的地方放起，被行尾切成哪几段。"""
    start = 0
    while start < length:
        end = min(length, start + T - (filled + start) % T)
        yield start, end
        start = end


# ---- 取 ----


def take(
    rows: Rows, position: Position, count: int, seed: int, rank: int = 0, world: int = 1
) -> Tuple[Batch, Position]:
    """取下一批，与取完之后的位置；各进程取不相交的行，合起来恰好每行一遍。

    第几遍的次序只由 seed + epoch 定；一批可以跨到下一遍去。

    形状：→ 各 (count, T)。
    """
    total = len(rows)
    places = [divmod(position.index + rank + n * world, total) for n in range(count)]
    orders = {epoch: _order(total, seed + position.epoch + epoch) for epoch, _ in places}
    chosen = [orders[epoch][n] for epoch, n in places]
    reached = position.index + count * world
    after = Position(position.epoch + reached // total, reached % total)
    return rows.batch(torch.stack(chosen)), after


def _order(total: int, seed: int) -> Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))
