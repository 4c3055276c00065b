"""训练里不报错的错：每一个都跑得完，曲线多半也像样；各有一条量得出来的不变量看得见它。

from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated

with mutated("label_across_border"):          # 出了 with 就改回来
    rows = data.pack(documents, T, pad)       # 经由模块取用，才是换过的那一个
print(TRAIN_MUTATIONS["label_across_border"].text)
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm.train import checkpoint, loop, lora
from llm.train.data import IGNORED, Batch, Document, Encoded, Position, Rows
from llm.train.loop import Step


@dataclass(frozen=True)
class TrainMutation:
    """一个错：名字、一句话、换掉哪个函数、换成什么，与看得见它的不变量。

    `target` 是模块与属性的全名；`broken` 由原来的函数造出错的那一个。
    """

    name: str
    text: str
    target: str
    broken: Callable[[Callable], Callable]
    invariant: str


@contextmanager
def mutated(name: str) -> Iterator[TrainMutation]:
    """在 with 里把一个函数换成错的。

    异常：没有这个名字，抛 ValueError。
    """
    if name not in TRAIN_MUTATIONS:
        raise ValueError(f"没有名为 {name!r} 的错；现有：{'、'.join(TRAIN_MUTATIONS)}。")
    mutation = TRAIN_MUTATIONS[name]
    path, _, attribute = mutation.target.rpartition(".")
    owner = _resolved(path)
    right = vars(owner)[attribute]
    setattr(owner, attribute, mutation.broken(right))
    try:
        yield mutation
    finally:
        setattr(owner, attribute, right)


def _resolved(path: str) -> Any:
    """模块，或模块里的类。"""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name) if name[0].isupper() else import_module(path)


# ---- 数据与标签 ----


def _shifted_twice(right: Callable) -> Callable:
    def encode_text(tokenizer: Any, text: str) -> Encoded:
        ids, labels = right(tokenizer, text)
        return ids, [*labels[1:], IGNORED]

    return encode_text


def _not_shifted(right: Callable) -> Callable:
    def next_token_loss(logits: Tensor, labels: Tensor, items: Any = None) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())

    return next_token_loss


def _bf16_logits(right: Callable) -> Callable:
    def next_token_loss(logits: Tensor, labels: Tensor, items: Any = None) -> Tensor:
        target = F.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
        return F.cross_entropy(logits.bfloat16().flatten(0, 1), target)

    return next_token_loss


def _bad_init(right: Callable) -> Callable:
    @torch.no_grad()
    def _init_weights(self: nn.Module, module: nn.Module) -> None:
        right(self, module)
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.normal_()

    return _init_weights


def _repacked(change: Callable[[Rows, int], Rows]) -> Callable[[Callable], Callable]:
    def broken(right: Callable) -> Callable:
        def pack(documents: Any, T: int, pad: int) -> Rows:
            return change(right(documents, T, pad), pad)

        return pack

    return broken


def _padding_learned(rows: Rows, pad: int) -> Rows:
    filled = rows.input_ids == pad
    return replace(rows, labels=rows.labels.masked_fill(filled, pad))


def _positions_run_on(rows: Rows, pad: int) -> Rows:
    return replace(rows, position_ids=torch.arange(rows.input_ids.shape[1]).expand(len(rows), -1))


def _border_learned(rows: Rows, pad: int) -> Rows:
    first = (rows.position_ids == 0) & (rows.input_ids != pad)
    return replace(rows, labels=torch.where(first, rows.input_ids, rows.labels))


def _relabelled(change: Callable[[Any, Encoded], List[int]]) -> Callable[[Callable], Callable]:
    def broken(right: Callable) -> Callable:
        def render(tokenizer: Any, messages: Any) -> Encoded:
            encoded = right(tokenizer, messages)
            return encoded[0], change(tokenizer, encoded)

        return render

    return broken


def _without_end(tokenizer: Any, encoded: Encoded) -> List[int]:
    return [IGNORED if label == tokenizer.eos_token_id else label for label in encoded[1]]


def _without_first(tokenizer: Any, encoded: Encoded) -> List[int]:
    labels = encoded[1]
    before = [IGNORED, *labels[:-1]]
    return [
        IGNORED if last == IGNORED else label for last, label in zip(before, labels, strict=True)
    ]


def _split_by_text(right: Callable) -> Callable:
    def split(
        documents: Sequence[Document], fraction: float
    ) -> Tuple[List[Document], List[Document]]:
        whole = {id(one): one for one in documents}
        marked = [
            Document(source=f"{one.source}#{n}", text=str(id(one)))
            for n, one in enumerate(documents)
        ]
        train, held = right(marked, fraction)
        return [whole[int(one.text)] for one in train], [whole[int(one.text)] for one in held]

    return split


def _same_rank(right: Callable) -> Callable:
    def take(
        rows: Rows, position: Position, count: int, seed: int, rank: int = 0, world: int = 1
    ) -> Tuple[Batch, Position]:
        return right(rows, position, count, seed, 0, world)

    return take


def _same_order(right: Callable) -> Callable:
    def _order(total: int, seed: int) -> Tensor:
        return right(total, 0)

    return _order


# ---- 循环 ----


def _step(
    *,
    mean: bool = False,
    divided: bool = True,
    clip_each: bool = False,
    scale: float = 1.0,
    narrow: bool = False,
    last_only: bool = False,
) -> Callable[[Callable], Callable]:
    """`train_step` 的各种错法：与对的只差一行。"""

    def broken(right: Callable) -> Callable:
        def train_step(
            model: nn.Module,
            optimizer: torch.optim.Optimizer,
            batches: Sequence[Batch],
            lr: float,
            clip: float,
        ) -> Step:
            items = loop.count_tokens(batches)
            for group in optimizer.param_groups:
                group["lr"] = lr
            total = torch.zeros(())
            for batch in batches:
                own = loop.count_tokens([batch]) if mean or not divided else items
                loss = model(**batch, num_items_in_batch=own, use_cache=False).loss
                if mean:
                    loss = loss / len(batches)
                (loss * scale).backward()
                total = loss.detach() if last_only else total + loss.detach()
                if clip_each:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= scale
            optimizer.step()
            if narrow:
                for parameter in model.parameters():
                    parameter.data = parameter.data.bfloat16().float()
            optimizer.zero_grad(set_to_none=True)
            return Step(total.item(), norm.item(), items)

        return train_step

    return broken


def _lr_per_batch(right: Callable) -> Callable:
    def lr_at(update: int, total: int, *rest: Any) -> float:
        return right(2 * update, total, *rest)  # 两个小批各算了一次

    return lr_at


def _decay_all(right: Callable) -> Callable:
    def parameter_groups(model: nn.Module, weight_decay: float) -> List[Mapping[str, Any]]:
        return [{**group, "weight_decay": weight_decay} for group in right(model, weight_decay)]

    return parameter_groups


def _mean_of_means(right: Callable) -> Callable:
    def mean_loss(model: nn.Module, rows: Rows, batch: int) -> float:
        chunks = torch.arange(len(rows)).split(batch)
        means = [right(model, Rows(**rows.batch(chunk)), batch) for chunk in chunks]
        return sum(means) / len(means)

    return mean_loss


# ---- 接着训 ----


def _forgets(
    change: Callable[..., Optional[checkpoint.Progress]],
) -> Callable[[Callable], Callable]:
    """读回检查点之后，丢掉其中一样。"""

    def broken(right: Callable) -> Callable:
        def load_latest(
            out: Any, model: nn.Module, optimizer: torch.optim.Optimizer, fixed: Any
        ) -> Optional[checkpoint.Progress]:
            state = torch.get_rng_state()
            progress = right(out, model, optimizer, fixed)
            return progress and change(progress, model, optimizer, state)

        return load_latest

    return broken


def _without_moments(
    progress: checkpoint.Progress, model: Any, optimizer: torch.optim.Optimizer, state: Tensor
) -> checkpoint.Progress:
    optimizer.state.clear()
    return progress


def _without_position(
    progress: checkpoint.Progress, model: Any, optimizer: Any, state: Tensor
) -> checkpoint.Progress:
    return replace(progress, position=Position())


def _without_rng(
    progress: checkpoint.Progress, model: Any, optimizer: Any, state: Tensor
) -> checkpoint.Progress:
    torch.set_rng_state(state)
    return progress


def _without_update(
    progress: checkpoint.Progress, model: Any, optimizer: Any, state: Tensor
) -> checkpoint.Progress:
    return replace(progress, update=progress.update - 1)


def _half_weights(
    progress: checkpoint.Progress, model: nn.Module, optimizer: Any, state: Tensor
) -> checkpoint.Progress:
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return progress


# ---- LoRA ----


def _merge_without_scale(right: Callable) -> Callable:
    @torch.no_grad()
    def merged(self: lora.LoRALinear) -> nn.Linear:
        self.base.weight += self.lora_B.weight @ self.lora_A.weight
        return self.base

    return merged


def _started(change: Callable[[lora.LoRALinear], Any]) -> Callable[[Callable], Callable]:
    def broken(right: Callable) -> Callable:
        def __init__(self: lora.LoRALinear, *given: Any) -> None:
            right(self, *given)
            change(self)

        return __init__

    return broken


def _not_frozen(right: Callable) -> Callable:
    def add_lora(model: nn.Module, *given: Any) -> nn.Module:
        return right(model, *given).requires_grad_(True)

    return add_lora


def _tied_allowed(right: Callable) -> Callable:
    def add_lora(model: nn.Module, names: Sequence[str], rank: int, alpha: float) -> nn.Module:
        model.requires_grad_(False)
        for parent, name, base in list(lora._linears(model, names)):
            setattr(parent, name, lora.LoRALinear(base, rank, alpha))
        return model

    return add_lora


_DATA, _LOOP, _LORA = "llm.train.data.", "llm.train.loop.", "llm.train.lora."
_RESUMED = "resumed_equals_uninterrupted"

TRAIN_MUTATIONS: Mapping[str, TrainMutation] = MappingProxyType(
    {
        mutation.name: mutation
        for mutation in (
            TrainMutation(
                "shifted_twice",
                "标签错了两位：数据先错一位，损失里又错一位",
                _DATA + "encode_text",
                _shifted_twice,
                "oracle_costs_nothing",
            ),
            TrainMutation(
                "not_shifted",
                "标签没有错位：位置 t 的输出去对 t 自己，答案就在输入里",
                "llm.model.next_token_loss",
                _not_shifted,
                "noise_cannot_be_learned",
            ),
            TrainMutation(
                "bf16_logits",
                "交叉熵直接用 bf16 的 logits 算",
                "llm.model.next_token_loss",
                _bf16_logits,
                "loss_is_precise",
            ),
            TrainMutation(
                "bad_init",
                "初始化的标准差是 1：一开始就很自信地猜错",
                "llm.hf.LLMPreTrainedModel._init_weights",
                _bad_init,
                "first_loss_is_ln_v",
            ),
            TrainMutation(
                "padding_learned",
                "填充也计入损失",
                _DATA + "pack",
                _repacked(_padding_learned),
                "padding_changes_nothing",
            ),
            TrainMutation(
                "end_not_learned",
                "结束词元的标签是 -100（填充与它同号时常见）：学不会停",
                _DATA + "render",
                _relabelled(_without_end),
                "every_turn_ends",
            ),
            TrainMutation(
                "prompt_learned",
                "问题也计入损失",
                _DATA + "render",
                _relabelled(lambda tokenizer, encoded: encoded[0]),
                "only_answers_are_learned",
            ),
            TrainMutation(
                "answer_one_late",
                "回答的掩码晚了一位：头一个词元没有学",
                _DATA + "render",
                _relabelled(_without_first),
                "only_answers_are_learned",
            ),
            TrainMutation(
                "positions_run_on",
                "打包之后位置一路往上数：各篇互相看见",
                _DATA + "pack",
                _repacked(_positions_run_on),
                "packed_equals_separate",
            ),
            TrainMutation(
                "label_across_border",
                "用前一篇的末尾去猜后一篇的开头",
                _DATA + "pack",
                _repacked(_border_learned),
                "packed_loss_is_the_sum",
            ),
            TrainMutation(
                "split_by_line",
                "逐行分训练与留出：同一处的文字两边都有",
                _DATA + "split",
                _split_by_text,
                "no_source_on_both_sides",
            ),
            TrainMutation(
                "ranks_repeat",
                "每个进程取同样的行（有几个进程时才显得出；`fit` 只有一个，`take` 才分得出）",
                _DATA + "take",
                _same_rank,
                "ranks_share_out_all_rows",
            ),
            TrainMutation(
                "same_order",
                "每一遍的次序都一样",
                _DATA + "_order",
                _same_order,
                "epochs_differ",
            ),
            TrainMutation(
                "mean_of_means",
                "各小批先各自平均，再平均：短的小批分量过大",
                _LOOP + "train_step",
                _step(mean=True),
                "accumulated_equals_one_batch",
            ),
            TrainMutation(
                "undivided",
                "累积了却没有除：梯度大了几倍（Adam 遮得住，裁剪遮不住）",
                _LOOP + "train_step",
                _step(divided=False),
                "accumulated_equals_one_batch",
            ),
            TrainMutation(
                "clip_each",
                "每个小批都裁剪一次",
                _LOOP + "train_step",
                _step(clip_each=True),
                "accumulated_equals_one_batch",
            ),
            TrainMutation(
                "clip_before_unscale",
                "fp16 的缩放还没有除掉就裁剪",
                _LOOP + "train_step",
                _step(scale=65536.0),
                "clipped_norm_is_the_limit",
            ),
            TrainMutation(
                "bf16_weights",
                "权重只存 bf16：小的更新全被舍入掉",
                _LOOP + "train_step",
                _step(narrow=True),
                "small_updates_add_up",
            ),
            TrainMutation(
                "logs_last_batch",
                "记下的损失只是最后一个小批的",
                _LOOP + "train_step",
                _step(last_only=True),
                "logged_loss_is_the_mean",
            ),
            TrainMutation(
                "lr_per_batch",
                "学习率按小批走，不按更新走：还没训完就降到底了",
                "llm.train.loop.lr_at",
                _lr_per_batch,
                "one_rate_an_update",
            ),
            TrainMutation(
                "decay_everything",
                "归一化的权重与偏置也衰减",
                "llm.train.optim.parameter_groups",
                _decay_all,
                "norms_do_not_decay",
            ),
            TrainMutation(
                "validation_mean_of_means",
                "验证的损失是各批平均的平均",
                _LOOP + "mean_loss",
                _mean_of_means,
                "validation_ignores_batch_size",
            ),
            TrainMutation(
                "resume_without_optimizer",
                "接着训时没有读回优化器的两个矩",
                _LOOP + "load_latest",
                _forgets(_without_moments),
                _RESUMED,
            ),
            TrainMutation(
                "resume_without_position",
                "接着训时数据从头取起",
                _LOOP + "load_latest",
                _forgets(_without_position),
                _RESUMED,
            ),
            TrainMutation(
                "resume_without_rng",
                "接着训时随机数没有接上",
                _LOOP + "load_latest",
                _forgets(_without_rng),
                _RESUMED,
            ),
            TrainMutation(
                "resume_without_update",
                "接着训时更新的次数少记了一次",
                _LOOP + "load_latest",
                _forgets(_without_update),
                _RESUMED,
            ),
            TrainMutation(
                "resume_half_weights",
                "检查点里的权重存成了 fp16",
                _LOOP + "load_latest",
                _forgets(_half_weights),
                _RESUMED,
            ),
            TrainMutation(
                "merge_without_scale",
                "并回时忘了乘 α/r",
                _LORA + "LoRALinear.merged",
                _merge_without_scale,
                "merged_equals_adapted",
            ),
            TrainMutation(
                "lora_b_random",
                "B 没有从零起：一加上就改变了模型",
                _LORA + "LoRALinear.__init__",
                _started(lambda layer: nn.init.normal_(layer.lora_B.weight)),
                "adapted_starts_as_base",
            ),
            TrainMutation(
                "lora_both_zero",
                "A 与 B 都是零：梯度也是零，永远学不动",
                _LORA + "LoRALinear.__init__",
                _started(lambda layer: nn.init.zeros_(layer.lora_A.weight)),
                "adapter_can_learn",
            ),
            TrainMutation(
                "base_not_frozen",
                "原来的权重没有冻住",
                _LORA + "add_lora",
                _not_frozen,
                "base_stays",
            ),
            TrainMutation(
                "lora_on_tied_head",
                "给与词嵌入绑在一起的输出头加 LoRA，并回时词嵌入也变了",
                _LORA + "add_lora",
                _tied_allowed,
                "embedding_stays",
            ),
        )
    }
)
