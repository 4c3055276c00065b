"""十三个错，每个都被一条点了名的不变量抓住；没抓住，就是测试太松。"""

import dataclasses
import inspect

import pytest
import torch

from llm import LLMConfig, LLMForCausalLM
from llm.lab import mutations
from llm.lab.mutations import MUTATIONS, mutate

# 各由哪条不变量抓住：与 transformers 的 logits 相等，或逐步解码与完整前向相等
CAUGHT_BY = {
    "wrong_eps": "parity",
    "wrong_theta": "parity",
    "swapped_norms": "parity",
    "norm_weight_ignored": "parity",
    "gate_up_swapped": "parity",
    "rope_off_by_one": "decode",
    "rope_backwards": "parity",
    "rope_pairing": "parity",
    "gqa_repeat": "parity",
    "k_bias_dropped": "parity",
    "v_bias_dropped": "parity",
    "q_norm_weight_ignored": "parity",
    "post_norms_skipped": "parity",
}
TOLERANCE = 1e-5
SHAPE = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "vocab_size": 61,
    "max_position_embeddings": 64,
}


def _ids() -> torch.Tensor:
    return torch.randint(61, (2, 12))


def parity(theirs, ours) -> float:
    """不变量「与 transformers 相等」：一次完整前向的最大差。"""
    ids = _ids()
    with torch.no_grad():
        return (theirs(ids).logits - ours(ids).logits).abs().max().item()


def decode(theirs, ours) -> float:
    """不变量「逐步解码等于完整前向」：只看我们自己，最大差。"""
    ids = _ids()
    with torch.no_grad():
        whole, past, steps = ours(ids).logits, None, []
        for part in (ids[:, :5], *ids[:, 5:].split(1, dim=1)):
            out = ours(part, past_key_values=past, use_cache=True)
            past = out.past_key_values
            steps.append(out.logits)
    return (torch.cat(steps, dim=1) - whole).abs().max().item()


BLIND = (
    "swapped_norms",
    "norm_weight_ignored",
    "k_bias_dropped",
    "v_bias_dropped",
    "q_norm_weight_ignored",
)
INVARIANTS = {"parity": parity, "decode": decode}


def _healthy(pair, name: str, backend: str = "sdpa"):
    mutation = MUTATIONS[name]
    return pair(mutation.family, backend, **mutation.overrides)


def test_there_are_thirteen() -> None:
    assert len(MUTATIONS) == 13 and set(MUTATIONS) == set(CAUGHT_BY)
    assert all(name == mutation.name for name, mutation in MUTATIONS.items())
    assert all(mutation.text and "\n" not in mutation.text for mutation in MUTATIONS.values())
    assert len({mutation.text for mutation in MUTATIONS.values()}) == 13


def test_they_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MUTATIONS["wrong_eps"].text = ""
    with pytest.raises(TypeError):
        MUTATIONS["more"] = MUTATIONS["wrong_eps"]  # type: ignore[index]
    with pytest.raises(TypeError):
        MUTATIONS["wrong_theta"].overrides["rope_theta"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
@pytest.mark.parametrize("name", MUTATIONS)
def test_every_bug_is_caught(pair, name, backend) -> None:
    """好的模型守住两条不变量；改坏的副本违反点名的那一条，而且差得远。"""
    theirs, ours = _healthy(pair, name, backend)
    for invariant in INVARIANTS.values():
        assert invariant(theirs, ours) <= TOLERANCE
    broken = mutate(ours, name)
    found = INVARIANTS[CAUGHT_BY[name]](theirs, broken)
    assert found > 5 * TOLERANCE, f"{name}（{MUTATIONS[name].text}）没被抓住：只差 {found:.1e}"


@pytest.mark.parametrize("family", ["qwen2", "glm", "glm4"])
@pytest.mark.parametrize("name", MUTATIONS)
def test_bugs_on_other_families(pair, name, family) -> None:
    """凡是显得出的家族上都抓得住：合并的前馈层、相邻配对、自带 eps 也一样。"""
    theirs, ours = pair(family, **{"rope_theta": 1e6, "head_dim": 8})
    if not MUTATIONS[name].visible(ours.config):
        with pytest.raises(ValueError, match="显不出"):
            mutate(ours, name)
        return
    found = INVARIANTS[CAUGHT_BY[name]](theirs, mutate(ours, name))
    assert found > 5 * TOLERANCE, f"{name}：只差 {found:.1e}"


def test_rope_off_by_one_passes_parity(pair) -> None:
    """RoPE 只看相对位置：一次完整前向抓不住偏了一位，所以才要另一条不变量。"""
    theirs, ours = _healthy(pair, "rope_off_by_one")
    assert parity(theirs, mutate(ours, "rope_off_by_one")) <= TOLERANCE


@pytest.mark.parametrize("name", BLIND)
def test_default_weights_are_blind(name) -> None:
    """默认初始化时偏置全是 0、归一化权重全是 1：这五个错看不出来，所以要先扰动。"""
    mutation = MUTATIONS[name]
    ours = LLMForCausalLM(LLMConfig.preset(mutation.family, **{**SHAPE, **mutation.overrides}))
    assert parity(ours.eval(), mutate(ours, name)) == 0.0


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_original_is_untouched(pair, name) -> None:
    """改的是副本：原来的权重、配置、输出都不变。"""
    _, ours = _healthy(pair, name)
    ids = _ids()
    state = {key: value.clone() for key, value in ours.state_dict().items()}
    config, logits = ours.config.to_dict(), ours(ids).logits
    mutate(ours, name)
    assert ours.config.to_dict() == config
    assert state.keys() == ours.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in ours.state_dict().items())
    assert torch.equal(ours(ids).logits, logits) and decode(None, ours) <= TOLERANCE


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_model_still_runs(pair, name) -> None:
    """错得不声不响：仍能生成、能训练、能转精度，没有一处报错。"""
    _, ours = _healthy(pair, name)
    broken, ids = mutate(ours, name), _ids()
    generated = broken.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert generated.shape == (2, 15)
    loss = broken(ids, labels=ids).loss
    loss.backward()
    assert loss.isfinite()
    before = broken(ids).logits
    narrow = broken.to(torch.bfloat16)(ids).logits.float()
    torch.testing.assert_close(narrow, before, rtol=0, atol=0.2)  # 转了精度，错还在


def test_a_bug_survives_a_change_of_dtype(pair) -> None:
    """转精度会重填旋转表；转反了的表重填之后仍是反的。"""
    _, ours = _healthy(pair, "rope_backwards")
    broken = mutate(ours, "rope_backwards").to(torch.bfloat16)
    assert torch.equal(broken.model.rotary_emb.sin, -ours.model.rotary_emb.sin)


def test_the_base_model_can_be_broken_too(tiny) -> None:
    body = tiny().model
    ids = _ids()
    broken = mutate(body, "swapped_norms")
    assert type(broken) is type(body)
    difference = broken(ids).last_hidden_state - body(ids).last_hidden_state
    assert difference.abs().max() > 1e-3


def test_unknown_or_invisible_bugs_are_refused(tiny) -> None:
    with pytest.raises(ValueError, match="没有名为 'nope' 的错；现有：wrong_eps、"):
        mutate(tiny(), "nope")
    with pytest.raises(ValueError, match=r"显不出 k_bias_dropped（.*）；换一份配置.*qwen2"):
        mutate(tiny(), "k_bias_dropped")
    with pytest.raises(ValueError, match="显不出 gqa_repeat"):
        mutate(tiny(num_key_value_heads=4), "gqa_repeat")


def test_the_module_says_each_bug_in_one_function() -> None:
    """学习者能照着名字读到每个错是怎么写出来的。"""
    for mutation in MUTATIONS.values():
        source = inspect.getsource(mutation.apply)
        assert mutation.apply.__module__ == mutations.__name__ and len(source.splitlines()) <= 12
