"""张量流的图、参数个数、浮点运算数、缓存字节数，与网页要用的数据。"""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import llm.model
from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS
from llm.lab.captions import CAPTIONS
from llm.lab.flow import (
    BACKENDS,
    OFFICIAL,
    OFFICIAL_LETTERS,
    PHASES,
    Step,
    cache_bytes,
    flops,
    parameter_count,
    small_model,
    steps,
    viewer_data,
)
from llm.lab.heads import heads
from llm.lab.operations import phase
from llm.lab.shapes import evaluate, sizes
from rizhi.snippets.stream import MAX_OUTPUT

SMALL = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 12}
SMALL |= {"vocab_size": 50, "intermediate_size": 36, "num_hidden_layers": 2}


def config(family: str, **overrides: Any) -> LLMConfig:
    return LLMConfig.preset(family, **{**SMALL, **overrides})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", PRESETS)
def test_parameters_are_all_counted(family: str, tied: bool) -> None:
    made = config(family, tie_word_embeddings=tied)
    real = sum(weight.numel() for weight in LLMForCausalLM(made).parameters())
    assert parameter_count(made) == real


@pytest.mark.parametrize("family", PRESETS)
def test_flops_are_what_torch_counts(family: str) -> None:
    made = config(family, attention_backend="manual", tie_word_embeddings=True)
    model = LLMForCausalLM(made).eval()
    ids = torch.zeros(3, 9, dtype=torch.long)
    cache = model(ids[:, :5]).past_key_values
    for given, past, length in ((None, 0, 9), (cache, 5, 4)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(ids[:, :length], past_key_values=given)
        assert counter.get_total_flops() == flops(made, 3, length, past)


def test_cache_is_as_large_as_the_cache() -> None:
    made = config("qwen3")
    cache = LLMForCausalLM(made)(torch.zeros(3, 7, dtype=torch.long)).past_key_values
    real = sum(t.nbytes for layer in cache.layers for t in (layer.keys, layer.values))
    assert cache_bytes(made, 3, 7) == real == 2 * cache_bytes(made, 3, 7, itemsize=2)


EVERY = [(family, backend) for family in PRESETS for backend in BACKENDS]


@cache
def walk(family: str, backend: str = "manual") -> list[Step]:
    return steps(config(family, attention_backend=backend))


def by_key(found: list[Step]) -> dict[str, Step]:
    return {step.key: step for step in found}


@pytest.mark.parametrize(("family", "backend"), EVERY)
def test_every_step_leads_to_the_next_token_or_the_next_past(family: str, backend: str) -> None:
    found = walk(family, backend)
    assert found[0].key == "new.input" and found[0].letters == (("B", "T"),)
    assert found[-3].key == "new.unsqueeze" and found[-3].letters == (("B", "1"),)
    assert all(source < i for i, step in enumerate(found) for source, _ in step.sources)
    used = {source for step in found for source, _ in step.sources}
    ends = {step.key for i, step in enumerate(found) if i not in used}
    assert ends == {"input_ids.cat", "past_key_values.tuple"}


@pytest.mark.parametrize(("family", "backend"), EVERY)
@pytest.mark.parametrize("how", [(2, 6, 0), (3, 1, 5)])
def test_shapes_are_those_of_a_real_forward(
    family: str, backend: str, how: tuple[int, int, int]
) -> None:
    """字母代进去，就是另一个尺寸的模型真跑时那些运算的结果；有过去、没有过去都对。"""
    made = config(family, attention_backend=backend, num_hidden_layers=1)
    run = phase(made, *how)
    shapes = {tuple(run.tensors[n].shape) for o in run.operations for n in o.outputs}
    letters = sizes(made, *how)
    for step in walk(family, backend):
        if step.op in ("input", "past"):
            continue
        for dims in step.letters:
            assert tuple(evaluate(d, letters) for d in dims) in shapes, step


def test_view_and_transpose_are_steps_of_their_own() -> None:
    found = [step for step in walk("llama") if step.name == "q"]
    assert [(step.op, " ".join(step.letters[0])) for step in found] == [
        ("linear", "B T H*D"),
        ("view", "B T H D"),
        ("transpose", "B H T D"),
        ("rotate", "B H T D"),
    ]
    assert len({step.line for step in found[:3]}) == 1  # 同一行代码里的三步


def test_the_five_kinds_of_edges() -> None:
    found = walk("llama")
    keys = by_key(found)
    edges = {(found[source].key, step.key): kind for step in found for source, kind in step.sources}
    assert edges["embed_tokens", "x.add"] == "residual"
    assert edges["x.add", "return[0].add"] == "residual"
    assert edges["o_proj", "x.add"] == edges["down_proj", "return[0].add"] == "data"
    assert edges["rotary_emb", "q.rotate"] == edges["rotary_emb", "k.rotate"] == "position"
    assert edges["layer_past.past", "k.cat"] == edges["layer_past.past", "v.cat"] == "cache"
    assert edges["causal_mask", "scores.masked_fill"] == "mask"
    assert ("rotary_emb", "v.cat") not in edges  # v 不旋转
    spine = [step.key for step in found if step.kind == "residual"]
    assert spine == ["embed_tokens", "x.add", "return[0].add", "x.layers"]
    assert {step.lane for step in found if step.kind == "residual"} == {0}
    assert " ".join(keys["present.append"].letters[0]) == "B K S D"


def test_the_whole_text_is_the_old_text_and_the_new_token() -> None:
    found = walk("llama")
    joined = by_key(found)["input_ids.cat"]
    assert [found[s].key for s, _ in joined.sources] == ["input_ids.input", "new.unsqueeze"]
    assert joined.letters == (("B", "S+1"),)


@pytest.mark.parametrize(("family", "backend"), EVERY)
def test_what_is_drawn_as_a_block_has_a_name(family: str, backend: str) -> None:
    """形状变了的才画方块；没有名字的方块认不出是什么。"""
    found = walk(family, backend)
    for step in found:
        before = [found[s].letters[0] for s, kind in step.sources if kind in ("data", "residual")]
        assert step.name or step.letters[0] in before, step


def test_families_differ_where_they_should() -> None:
    assert {"q_norm", "k_norm"} <= set(by_key(walk("qwen3")))
    glm4 = walk("glm4", "sdpa")
    keys = by_key(glm4)
    assert [glm4[s].key for s, _ in keys["x.add"].sources][1] == "post_self_attn_layernorm"
    assert keys["gate_up_proj"].letters == (("B", "T", "2*I"),)
    assert "causal_mask" not in keys and "y.SDPA" in keys


def test_every_step_has_its_sentence_and_none_is_left_over() -> None:
    used = {step.key for family, backend in EVERY for step in walk(family, backend)}
    assert used == set(CAPTIONS)


def test_each_step_is_on_its_line() -> None:
    source = Path(llm.model.__file__).read_text("utf-8").splitlines()
    written = {"q_proj": "self.q_proj(x)", "k.cat": "torch.cat([past_key_values[0]"}
    written |= {"present.append": "all_presents.append", "x.layers": "enumerate(self.layers"}
    written |= {"weights.softmax": ".softmax(dim=-1)", "x.add": "x = x + y"}
    written |= {"past_key_values.tuple": "tuple(all_presents)", "new.unsqueeze": "unsqueeze(-1)"}
    written |= {"new.input": "model(new, ", "input_ids.input": "torch.cat([input_ids, new]"}
    keys = by_key(walk("llama"))
    assert all(text in source[keys[key].line - 1] for key, text in written.items())


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    model = LLMForCausalLM(config("llama", attention_backend="manual")).eval()
    opened = heads(model, torch.arange(12).view(2, 6), decoded=3)
    small = small_model(model.config, [chr(0x4E00 + i) for i in range(50)], opened)
    read: dict[str, Any] = json.loads(viewer_data({"rotate": "../attention/rope.md"}, small))
    return read


def test_viewer_data_fits_in_a_cell(data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) < 0.8 * MAX_OUTPUT  # 源码还会长


@pytest.mark.parametrize(("family", "backend"), EVERY)
def test_viewer_data_is_the_walk(data: dict[str, Any], family: str, backend: str) -> None:
    """展开之后就是跟踪的各步；每一步的那一行，列出的源码里有。"""
    variant = data["variants"][family][backend]["steps"]
    drawn = [(data["steps"][number], sources) for number, sources in variant]
    listed = {number for _, code in data["source"] for number, _ in code}
    for (item, sources), step in zip(drawn, walk(family, backend), strict=True):
        op, key, name, _, line, kind, lane, shapes, _ = item
        assert (op, key, name, line, kind, lane) == (
            (step.op, step.key, step.name, step.line, step.kind, step.lane)
        )
        assert shapes == [" ".join(dims) for dims in step.letters]
        assert [tuple(source) for source in sources] == list(step.sources)
        assert line in listed


@pytest.mark.parametrize("family", PRESETS)
def test_totals_are_what_llm_counts(data: dict[str, Any], family: str) -> None:
    """各项加起来，就是 llm 数的参数、浮点运算与缓存。"""
    for tied in (False, True):
        made = config(family, tie_word_embeddings=tied)
        letters = {**sizes(made, 3, 5), "L": 2, "W": 2, "O": int(not tied)}
        rows = data["variants"][family]["sdpa"]["totals"]
        counted = [parameter_count(made), flops(made, 3, 5), cache_bytes(made, 3, 5, itemsize=2)]
        assert [sum(evaluate(row[i], letters) for row in rows) for i in (1, 2, 3)] == counted


@pytest.mark.parametrize(
    ("name", "millions"),  # 各家自己报的：Touvron et al. 2023 表 2；模型卡
    [("LLaMA-7B", 6738.4), ("Qwen3-0.6B", 596.0), ("GLM-4-9B", 9400.0)],
)
def test_presets_are_as_large_as_their_makers_say(
    data: dict[str, Any], name: str, millions: float
) -> None:
    family, numbers = next((f, n) for own, _, f, n in OFFICIAL if own == name)
    letters = dict(zip(OFFICIAL_LETTERS, numbers, strict=True))
    rows = data["variants"][family]["sdpa"]["totals"]
    total = sum(evaluate(row[1], letters) for row in rows)
    assert total / 1e6 == pytest.approx(millions, rel=1e-3)


def test_the_phases_follow_one_another() -> None:
    letters = {"T": 6}
    now = [
        {name: evaluate(text, letters) for name, text in changed.items()}
        for _, changed, _ in PHASES
    ]
    assert all(later["past"] == before["S"] for before, later in pairwise(now))
    assert all(one["S"] == one["past"] + one.get("T", 6) for one in now)
