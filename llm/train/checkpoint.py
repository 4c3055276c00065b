"""检查点：接着训所需的一切，存下再读回，与没有停过逐位相同。

先写在旁边的 `.writing` 文件夹里，写完落盘，再改名成 `update-000100`：改名之前断电，多一个没写完的
文件夹，下次清掉；有这个名字的都是完整的。只留最近两个。
"""

import json
import os
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from llm.train.data import Position

KEPT = 2
_WRITING = ".writing"


@dataclass(frozen=True)
class Progress:
    """做完了几次更新，数据取到了哪里。"""

    update: int = 0
    position: Position = field(default_factory=Position)


def save(
    out: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fixed: Mapping[str, Any],
) -> Path:
    """存一个检查点：fp32 的权重、优化器、进度、随机数的状态，与不许变的配置。

    异常：写不下，抛 OSError；没写完的清掉，之前的检查点都在。
    """
    folder = out / f"update-{progress.update:06}"
    if folder.exists():
        return folder
    writing = out / _WRITING
    shutil.rmtree(writing, ignore_errors=True)
    about = {"progress": asdict(progress), "fixed": dict(fixed)}
    try:
        with _one_process():
            dcp.save(_state(model, optimizer), checkpoint_id=writing)
        (writing / "about.json").write_text(json.dumps(about, ensure_ascii=False), "utf-8")
        for path in (*writing.iterdir(), writing):
            _flush(path)
        writing.rename(folder)
        _flush(out)
    except (OSError, CheckpointException) as error:
        shutil.rmtree(writing, ignore_errors=True)
        raise OSError(
            f"{folder} 存不下：{_cause(error)}。腾出地方，用同一条命令接着训；之前的检查点都在。"
        ) from error
    for old in complete(out)[:-KEPT]:
        shutil.rmtree(old)
    return folder


def load_latest(
    out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, fixed: Mapping[str, Any]
) -> Optional[Progress]:
    """读回最近的一个，就地改写模型、优化器与随机数的状态；一个也没有是 None。

    异常：配置变了、形状对不上、读不出来，抛 ValueError，什么也没有改。
    """
    folders = complete(out)
    if not folders:
        return None
    folder = folders[-1]
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        shapes = {
            name: tuple(about.size)
            for name, about in dcp.FileSystemReader(folder)
            .read_metadata()
            .state_dict_metadata.items()
            if hasattr(about, "size")
        }
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} 读不出来：{error}；删掉它，就从前一个接着训。") from error
    changed = _changed(about["fixed"], fixed) or _misfits(shapes, model)
    if changed:
        raise ValueError(
            f"{folder} 是另一次训练的：{'；'.join(changed)}。改回去接着训，或换一个 out 从头训。"
        )
    state = _state(model, optimizer)
    with _one_process():
        dcp.load(state, checkpoint_id=folder)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
    )
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and "cuda_rng" in state:
        torch.cuda.set_rng_state(state["cuda_rng"])
    done = about["progress"]
    return Progress(done["update"], Position(**done["position"]))


def complete(out: Path) -> List[Path]:
    """写完了的检查点，旧的在前。"""
    return sorted(out.glob("update-*"))


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments, "rng": torch.get_rng_state()}
    if next(model.parameters()).is_cuda:
        state["cuda_rng"] = torch.cuda.get_rng_state()
    return state


@contextmanager
def _one_process() -> Iterator[None]:
    """只有一个进程时，torch 每次存取都提醒一遍「没有初始化分布式」：本来就是。"""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _cause(error: Exception) -> BaseException:
    """torch 把各进程的错包成一个；真正的那个在里面。"""
    if isinstance(error, CheckpointException):
        return next(iter(error.failures.values()))[0]
    return error


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> List[str]:
    now = json.loads(json.dumps(now))
    names = sorted(before.keys() | now.keys())
    return [
        f"{name} 原来是 {before.get(name)!r}，现在是 {now.get(name)!r}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _misfits(shapes: Mapping[str, Any], model: nn.Module) -> List[str]:
    ours = {f"model.{name}": tuple(p.shape) for name, p in model.named_parameters()}
    return [
        f"{name} 存的形状是 {shapes.get(name)}，模型的是 {shape}"
        for name, shape in ours.items()
        if shapes.get(name) != shape
    ][:3]


def _flush(path: Path) -> None:
    """落盘：改名之前内容先到盘上，断电也不会留下一个完整的名字、残缺的内容。"""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
