"""一次更新与全部更新：停在哪里都接得上，逐位相同；NaN 不更新，什么也不丢。"""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from llm.model import LLMForCausalLM
from llm.train import checkpoint, loop
from llm.train.checkpoint import complete
from llm.train.data import Rows, pack
from llm.train.loop import NonFinite, TrainConfig, bits_per_byte, fit, mean_loss, train_step
from tests.llm.train.conftest import tiny

UPDATES = 6


def config_in(folder: Path, **changed: Any) -> TrainConfig:
    given: dict[str, Any] = {
        "out": folder,
        "seq_len": 16,
        "batch": 2,
        "accumulate": 2,
        "updates": UPDATES,
        "warmup": 2,
        "save_every": 2,
        "validate_every": 3,
        "device": "cpu",
    }
    return TrainConfig(**given | changed)


def rows() -> Rows:
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(3, 61, (5 + n,), generator=generator).tolist() for n in range(20)]
    return pack([(ids, ids) for ids in texts], 16, 0)


def noisy() -> LLMForCausalLM:
    """有随机的 dropout，随机数接错了看得出来。"""
    model = tiny(61)
    model.model.norm.register_forward_hook(lambda _m, _i, out: F.dropout(out, 0.1, training=True))
    return model


def run(config: TrainConfig, model: LLMForCausalLM | None = None) -> bool:
    return fit(config, model or noisy(), rows(), lambda _: {"bits": 1.0}, lambda _: None)


def result(folder: Path) -> tuple[bytes, list[torch.Tensor]]:
    """最后的检查点里的权重，与全部指标。"""
    model = tiny(61)
    optimizer = loop.build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
    about = json.loads((complete(folder)[-1] / "about.json").read_text("utf-8"))
    checkpoint.load_latest(folder, model, optimizer, about["fixed"])
    state = [p.detach().clone() for p in model.parameters()]
    return (folder / "metrics.jsonl").read_bytes(), state


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[torch.Tensor]]:
    folder = tmp_path_factory.mktemp("whole")
    assert run(config_in(folder))
    return result(folder)


def same(folder: Path, whole: tuple[bytes, list[torch.Tensor]]) -> bool:
    log, weights = result(folder)
    return log == whole[0] and all(map(torch.equal, weights, whole[1]))


class PowerCut(BaseException):
    """说停就停，什么也来不及收拾。"""


def cut_at(model: LLMForCausalLM, forward: int) -> LLMForCausalLM:
    """第几次前向时断电；一次更新有两次前向，所以也有断在累积中途的。"""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == forward:
            raise PowerCut

    model.register_forward_pre_hook(count)
    return model


@pytest.mark.parametrize("forward", range(1, 2 * UPDATES + 1))
def test_cut_anywhere_it_goes_on_to_the_same_end(
    tmp_path: Path, uninterrupted: tuple[bytes, list[torch.Tensor]], forward: int
) -> None:
    config = config_in(tmp_path)
    with pytest.raises(PowerCut):
        run(config, cut_at(noisy(), forward))
    model = noisy()
    if complete(tmp_path):
        torch.manual_seed(99)  # 新的进程，随机数在别处
    assert run(config, model)
    assert same(tmp_path, uninterrupted)


@pytest.mark.parametrize("update", [1, 3, 5])
def test_ctrl_c_finishes_the_update_saves_and_goes_on(
    tmp_path: Path, uninterrupted: tuple[bytes, list[torch.Tensor]], update: int
) -> None:
    config = config_in(tmp_path)
    model, calls = noisy(), 0

    def interrupt(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 * update:
            os.kill(os.getpid(), signal.SIGINT)

    model.register_forward_pre_hook(interrupt)
    before = signal.getsignal(signal.SIGINT)
    assert not run(config, model)
    assert complete(tmp_path)[-1].name == f"update-{update:06}"
    assert signal.getsignal(signal.SIGINT) is before
    fresh = noisy()
    torch.manual_seed(99)
    assert run(config, fresh)
    assert same(tmp_path, uninterrupted)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    model = noisy()
    model.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(config_in(tmp_path), model)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    assert run(config_in(tmp_path))
    before = result(tmp_path)
    assert run(config_in(tmp_path), cut_at(noisy(), 1))
    assert same(tmp_path, before)


def test_the_metrics_say_every_update_and_validate_now_and_then(tmp_path: Path) -> None:
    run(config_in(tmp_path))
    lines = [json.loads(one) for one in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, UPDATES + 1))
    assert [line["update"] for line in lines if "bits" in line] == [3, 6]
    assert all(line["tokens"] > 20 and line["norm"] > 0 for line in lines)


def test_a_torn_last_line_of_the_metrics_is_dropped(
    tmp_path: Path, uninterrupted: tuple[bytes, list[torch.Tensor]]
) -> None:
    config = config_in(tmp_path)
    with pytest.raises(PowerCut):
        run(config, cut_at(noisy(), 8))
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"update": 4, "lo')
    torch.manual_seed(99)
    assert run(config) and same(tmp_path, uninterrupted)


# ---- 不是有限的数 ----


def test_a_nan_changes_nothing_and_is_told(tmp_path: Path) -> None:
    """第三次更新的数据里有 NaN：前两次的结果存好了，话里说得出是哪一次。"""
    model, calls = tiny(61), 0

    def poison(_m: Any, _i: Any, out: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return out * float("nan") if calls == 5 else out

    model.model.norm.register_forward_hook(poison)
    with pytest.raises(NonFinite, match="第 3 次更新：梯度的范数是 nan"):
        run(config_in(tmp_path, save_every=100), model)
    assert complete(tmp_path)[-1].name == "update-000002"
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_the_model_alone(value: float) -> None:
    model = tiny(61)
    before = [p.detach().clone() for p in model.parameters()]
    model.lm_head.weight.register_hook(lambda grad: grad * value)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(NonFinite):
        train_step(model, optimizer, [rows().batch(torch.arange(2))], 1e-3, 1.0)
    assert all(map(torch.equal, model.parameters(), before))
    assert not optimizer.state and all(p.grad is None for p in model.parameters())


def test_a_batch_with_nothing_to_learn_is_no_nan() -> None:
    given = rows()
    empty = replace(given, labels=torch.full_like(given.labels, -100))
    model = tiny(61)
    optimizer = torch.optim.AdamW(model.parameters())
    step = train_step(model, optimizer, [empty.batch(torch.arange(2))], 1e-3, 1.0)
    assert step == loop.Step(0.0, 0.0, 0)


# ---- 验证 ----


def test_bits_per_byte_ignores_batch_size_and_ends() -> None:
    """一个词元三个字节、结束 0 字节：换算与手算的一样。"""
    model, given = tiny(61), rows()
    lengths = torch.full((61,), 3.0, dtype=torch.float64)
    lengths[5] = 0
    values = [bits_per_byte(model, given, lengths, batch) for batch in (1, 3, 100)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-9)
    logits = model(given.input_ids, position_ids=given.position_ids).logits[:, :-1].double()
    target = given.labels[:, 1:]
    counted = (target != -100) & (target != 5)
    nats = -logits.log_softmax(-1).gather(-1, target.clamp(min=0)[..., None])[..., 0][counted]
    expected = nats.sum().item() / (3 * counted.sum().item()) / torch.tensor(2.0).log().item()
    assert values[0] == pytest.approx(expected, rel=1e-5)


def test_validation_leaves_the_mode_as_it_was() -> None:
    model = tiny(61).train()
    mean_loss(model, rows(), 4)
    assert model.training
    mean_loss(model.eval(), rows(), 4)
    assert not model.training


# ---- 配置 ----


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"batch": 0}, "batch=0：应至少为 1"),
        ({"seq_len": 1}, "至少两个词元"),
        ({"least_lr": 1.0}, "least_lr ≤ lr"),
        ({"warmup": 9}, "warmup=9"),
        ({"held_out": 1.0}, "held_out=1"),
        ({"schedule": "linear"}, "只能是 cosine 或 wsd"),
        ({"clip": 0.0}, "clip=0"),
        ({"batch": 0, "updates": -1}, "batch=0：应至少为 1；updates=-1"),
    ],
)
def test_a_config_that_cannot_be_is_refused_at_once(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        config_in(tmp_path, **changed)


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ValueError, match="device='tpu'"):
        loop.pick_device("tpu")


def test_other_text_under_the_same_out_is_refused(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    run(config)
    given = rows()
    changed = replace(given, input_ids=given.input_ids.flip(0))
    with pytest.raises(ValueError, match=r"rows 原来是 .*换一个 out"):
        fit(config, noisy(), changed, lambda _: {}, lambda _: None)
