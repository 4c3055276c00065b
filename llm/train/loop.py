"""训练循环：一次更新怎么做，与做完全部更新；预训练与微调用的是同一个。"""

import ctypes
import json
import math
import signal
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import (
    Annotated,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Mapping,
    Sequence,
    Tuple,
)

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from llm.train.checkpoint import Progress, load_latest, save
from llm.train.data import IGNORED, Batch, Rows, take
from llm.train.optim import build_optimizer, lr_at


@dataclass(frozen=True)
class TrainConfig:
    """怎么训练；命令行的选项就是这些字段。"""

    data: Annotated[Path, "语料：一个 JSONL，或一个放着 JSONL 的文件夹"] = Path("runs/corpus")
    out: Annotated[Path, "放检查点、指标与训好的模型的文件夹；同一个就接着训"] = Path(
        "runs/pretrain"
    )
    seq_len: Annotated[int, "一行多少个词元（T）"] = 128
    batch: Annotated[int, "一个小批几行（B）"] = 8
    accumulate: Annotated[int, "几个小批更新一次；更新用的一批就是 batch × accumulate 行"] = 1
    updates: Annotated[int, "更新几次"] = 600
    lr: Annotated[float, "学习率的最高处"] = 1e-3
    least_lr: Annotated[float, "学习率最后降到多少"] = 1e-4
    warmup: Annotated[int, "前几次更新里学习率线性升上去"] = 20
    schedule: Annotated[str, "学习率怎么降：cosine 或 wsd"] = "cosine"
    weight_decay: Annotated[float, "矩阵的权重衰减"] = 0.1
    beta1: Annotated[float, "AdamW 一阶矩的衰减"] = 0.9
    beta2: Annotated[float, "AdamW 二阶矩的衰减"] = 0.95
    clip: Annotated[float, "梯度范数大于它就按比例缩小"] = 1.0
    held_out: Annotated[float, "留出多少文字只用来验证（按出处分，0 到 1）"] = 0.1
    validate_every: Annotated[int, "每几次更新验证一次"] = 100
    save_every: Annotated[int, "每几次更新存一次检查点，只留最近两个"] = 100
    seed: Annotated[int, "随机数的种子：初始化与取数据的次序"] = 0
    device: Annotated[str, "cpu、cuda，或 auto：有 CUDA 就用"] = "auto"

    def __post_init__(self) -> None:
        """异常：有不成立的字段，抛 ValueError，一次列出所有问题。"""
        counts = ("seq_len", "batch", "accumulate", "updates", "validate_every", "save_every")
        low = [name for name in counts if getattr(self, name) < 1]
        found = [f"{name}={getattr(self, name)}：应至少为 1" for name in low]
        if self.seq_len == 1:
            found.append("seq_len=1：一行至少两个词元，才有下一个可学")
        if not 0 < self.least_lr <= self.lr:
            found.append(f"least_lr={self.least_lr}、lr={self.lr}：应有 0 < least_lr ≤ lr")
        if not 0 <= self.warmup <= self.updates:
            found.append(f"warmup={self.warmup}：应在 0 到 updates={self.updates} 之间")
        if not 0 <= self.held_out < 1:
            found.append(f"held_out={self.held_out}：应在 [0, 1) 之内")
        if self.schedule not in ("cosine", "wsd"):
            found.append(f"schedule={self.schedule!r}：只能是 cosine 或 wsd")
        if self.clip <= 0:
            found.append(f"clip={self.clip}：应大于 0")
        if found:
            raise ValueError("配置不成立：" + "；".join(found) + "。")


@dataclass(frozen=True)
class Step:
    """一次更新的结果。

    单位：loss 是每个词元的 nat，tokens 是计入损失的词元数，norm 是裁剪之前的梯度范数。
    """

    loss: float
    norm: float
    tokens: int


class NonFinite(ValueError):
    """梯度的范数不是有限的数：没有更新，参数仍是上一次的。"""


# ---- 一次更新 ----


def count_tokens(batches: Sequence[Batch]) -> int:
    """这些小批里计入损失的词元一共几个：标签错一位之后不是 -100 的。"""
    return sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    lr: float,
    clip: float,
) -> Step:
    """一次更新。次序是要紧的：

    先数清全部小批的词元，各小批的损失都除以这个总数，累积起来才等于一整批的；学习率一次更新
    只定一次；全部累积完再裁剪，裁剪之前的范数不是有限的数就不更新；最后清掉梯度。

    异常：梯度的范数是 NaN 或无穷，抛 NonFinite。
    """
    tokens = count_tokens(batches)
    for group in optimizer.param_groups:
        group["lr"] = lr
    total = torch.zeros((), device=batches[0]["labels"].device)  # ()
    for batch in batches:
        with precision(total.device):
            loss = model(**batch, num_items_in_batch=tokens, use_cache=False).loss  # ()
        loss.backward()
        total += loss.detach()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)  # ()
    if not norm.isfinite():
        optimizer.zero_grad(set_to_none=True)
        raise NonFinite(f"梯度的范数是 {norm.item()}（损失 {total.item():g}）")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Step(total.item(), norm.item(), tokens)


# ---- 验证 ----


def mean_loss(model: nn.Module, rows: Rows, batch: int) -> float:
    """每个要学的词元平均多少 nat：总和除以总数，与一批几行无关。"""
    costs, labels = _costs(model, rows, batch)
    return costs[labels != IGNORED].mean().item()


def bits_per_byte(model: nn.Module, rows: Rows, lengths: Tensor, batch: int) -> float:
    """每个字节要几个比特：总比特数除以总字节数，与一批几行无关，词表不同也可以比。

    结束词元不是文字（0 字节），不计。形状：lengths (V,)，每个词元几个字节。
    """
    costs, labels = _costs(model, rows, batch)
    each = lengths[labels.clamp(min=0)] * (labels != IGNORED)  # (N,)，-100 做下标就数到末尾去了
    return (costs[each > 0].sum() / each.sum() / math.log(2)).item()


@torch.no_grad()
def _costs(model: nn.Module, rows: Rows, batch: int) -> Tuple[Tensor, Tensor]:
    """每个词元的交叉熵与标签，在 CPU 上；验证一律 fp32。形状：各 (N,)，N 是错一位之后的总数。"""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    costs, targets = [], []
    try:
        for chosen in torch.arange(len(rows)).split(batch):
            moved = to_device(rows.batch(chosen), device)
            labels = moved.pop("labels")[:, 1:].flatten()  # (B*(T-1),)
            logits = model(**moved, use_cache=False).logits[:, :-1].flatten(0, 1)  # (B*(T-1), V)
            cost = F.cross_entropy(logits.float(), labels, reduction="none")  # (B*(T-1),)
            costs.append(cost.double().cpu())
            targets.append(labels.cpu())
    finally:
        model.train(was_training)
    return torch.cat(costs), torch.cat(targets)


# ---- 全部更新 ----


def fit(
    config: TrainConfig,
    model: nn.Module,
    rows: Rows,
    validate: Callable[[nn.Module], Dict[str, float]],
    say: Callable[[str], None] = print,
) -> bool:
    """做完全部更新，有检查点就从那里接着；按一次 Ctrl-C，做完手上的一次更新、存好再停。

    返回是不是全做完了。指标一行一条写进 `out/metrics.jsonl`。

    异常：没有这种设备，接不上（配置或语料变了），梯度不是有限的数，抛 ValueError；
    存不下，抛 OSError。
    """
    device = pick_device(config.device)
    model.to(device).train()
    optimizer = build_optimizer(model, config.lr, config.weight_decay, (config.beta1, config.beta2))
    config.out.mkdir(parents=True, exist_ok=True)
    must_match = {**fixed_fields(config), "rows": digest(rows)}
    progress = load_latest(config.out, model, optimizer, must_match) or Progress()
    if progress.update:
        say(f"接着第 {progress.update} 次更新训。")
    log = config.out / "metrics.jsonl"
    _rewind(log, progress.update)
    if device.type == "cuda":
        model.compile()  # 就地编译，参数的名字不变；读回检查点之后
    began, tokens = perf_counter(), 0
    bar = tqdm(total=config.updates, initial=progress.update, unit="次", desc=config.out.name)
    with _interruptible() as signals, bar:
        while progress.update < config.updates and not signals:
            step, progress, lr = _update(config, model, optimizer, rows, progress, must_match)
            line: Dict[str, Any] = {"update": progress.update, "lr": lr, **asdict(step)}
            last = progress.update == config.updates
            if last or progress.update % config.validate_every == 0:
                line.update(validate(model))
            _write(log, line)
            tokens += step.tokens
            bar.update()
            speed = tokens / (perf_counter() - began)  # 连验证与存盘的时间也在内
            bar.set_postfix_str(f"损失 {step.loss:.3f}，{speed:,.0f} 词元/秒", refresh=False)
            if last or signals or progress.update % config.save_every == 0:
                save(config.out, progress, model, optimizer, must_match)
    return progress.update >= config.updates


def _update(
    config: TrainConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    progress: Progress,
    must_match: Mapping[str, Any],
) -> Tuple[Step, Progress, float]:
    """取数据、做一次更新，返回结果、到了哪里与这一次的学习率。

    异常：梯度不是有限的数，先存好之前的状态，再抛 NonFinite。
    """
    update, position, batches = progress.update + 1, progress.position, list[Batch]()
    for _ in range(config.accumulate):
        batch, position = take(rows, position, config.batch, config.seed)
        batches.append(to_device(batch, next(model.parameters()).device))
    lr = lr_at(update, config.updates, config.lr, config.warmup, config.least_lr, config.schedule)
    try:
        step = train_step(model, optimizer, batches, lr, config.clip)
    except NonFinite as error:
        if progress.update:
            save(config.out, progress, model, optimizer, must_match)
        raise NonFinite(
            f"第 {update} 次更新：{error}，没有更新，"
            f"第 {progress.update} 次更新之后的一切都在。看看这一批数据；"
            "要把 lr 调小，就换一个 out 从头训。"
        ) from error
    return step, Progress(update, position), lr


def fixed_fields(config: TrainConfig) -> Dict[str, Any]:
    """接着训时不许变的字段：变了就不是同一次训练。用什么设备、多久验证与存、放在哪里可以变。"""
    free = ("device", "validate_every", "save_every")
    return {
        name: value
        for name, value in asdict(config).items()
        if name not in free and not isinstance(value, Path)
    }


def digest(rows: Rows) -> str:
    """训练的行的摘要，词元与标签都算：接着训时它们变了，就不是同一次训练。"""
    found = sha256(rows.input_ids.numpy().tobytes())
    found.update(rows.labels.numpy().tobytes())
    return found.hexdigest()[:16]


def pick_device(name: str) -> torch.device:
    """异常：没有这种设备，抛 ValueError。"""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"device={name!r}：这里没有；可以写 cpu 或 auto。")
    return torch.device(name)


def keep_freed_memory() -> None:
    """让 glibc 留着空出来的大块内存：logits 与它的梯度每次更新都要，还了再要回来，就又缺页一遍。

    别的系统没有这个开关，就照旧。来源：mallopt(3)，M_MMAP_THRESHOLD 与 M_TRIM_THRESHOLD。
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # 不到 1 GiB 的都从堆里取
        mallopt(-1, (1 << 31) - 1)  # 堆顶空着的不还


def precision(device: torch.device) -> ContextManager:
    """CUDA 上前向用 bf16，权重仍是 fp32；CPU 上全是 fp32。"""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device) for name, tensor in batch.items()}


@contextmanager
def _interruptible() -> Iterator[List[int]]:
    """Ctrl-C 只记下来，由循环在两次更新之间停；再按一次就真的打断。"""
    signals: List[int] = []

    def note(number: int, frame: Any) -> None:
        signals.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, before)


def _rewind(log: Path, update: int) -> None:
    """检查点之后的指标不算：那几次更新要重做。"""
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [
            line for line in lines if line.endswith("\n") and json.loads(line)["update"] <= update
        ]
        log.write_text("".join(kept), encoding="utf-8")


def _write(log: Path, line: Dict[str, Any]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
