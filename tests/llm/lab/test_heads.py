"""打开一个头：分数、掩码、权重都是真的，解码与整段重算一致。"""

from typing import Any

import pytest
import torch

from llm import LLMConfig, LLMForCausalLM
from llm.lab.heads import heads
from llm.lab.operations import empty_past, operations, run

IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


def config(backend: str = "manual") -> LLMConfig:
    sizes = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2}
    sizes |= {"head_dim": 12, "vocab_size": 20, "intermediate_size": 30, "num_hidden_layers": 2}
    return LLMConfig.preset("llama", **sizes, initializer_range=0.5, attention_backend=backend)


def model(backend: str = "manual") -> LLMForCausalLM:
    torch.manual_seed(0)
    return LLMForCausalLM(config(backend)).eval()


def tables(opened: dict[str, Any], round_: int) -> torch.Tensor:
    """一次前向里的 [分数, 权重]：(层, 头, 2, T, S)。"""
    return torch.tensor(opened["heads"][round_])


def test_weights_sum_to_one_and_nothing_is_seen_through_the_mask() -> None:
    opened = heads(model(), IDS, decoded=2)
    assert opened["masks"][0] == ["100000", "110000", "111000", "111100", "111110", "111111"]
    assert opened["masks"][1:] == [["1111111"], ["11111111"]]
    for round_, mask in enumerate(opened["masks"]):
        weights = tables(opened, round_)[:, :, 1]
        hidden = torch.tensor([[cell == "0" for cell in row] for row in mask])
        assert weights.sum(-1).sub(1).abs().max() < 0.05  # 四舍五入到两位
        assert (weights[..., hidden] == 0).all()
        scores = tables(opened, round_)[:, :, 0].masked_fill(hidden, -torch.inf)
        torch.testing.assert_close(scores.softmax(-1), weights, atol=0.02, rtol=0)


def test_decoding_sees_what_a_full_forward_sees() -> None:
    made = model()
    opened = heads(made, IDS, decoded=2)
    for round_ in (1, 2):
        longer = torch.tensor([opened["ids"][: 6 + round_]])
        whole = tables(heads(made, longer, decoded=0), 0)
        torch.testing.assert_close(tables(opened, round_), whole[..., -1:, :], atol=0.011, rtol=0)


def test_the_weights_are_those_the_model_gives_out() -> None:
    made = model()
    told = made(IDS, output_attentions=True).attentions
    assert told is not None
    own = tables(heads(made, IDS, decoded=0), 0)[:, :, 1]
    torch.testing.assert_close(torch.stack(told)[:, 0].detach(), own, atol=0.006, rtol=0)


def test_tokens_are_those_of_generate() -> None:
    made = model()
    whole = made.generate(IDS, max_new_tokens=4, do_sample=False)
    assert heads(made, IDS, decoded=3)["ids"] == whole[0].tolist()


def test_sdpa_keeps_no_scores() -> None:
    with pytest.raises(ValueError, match="manual"):
        heads(model("sdpa"), IDS, decoded=0)


def test_one_line_is_taken_apart() -> None:
    found = [o for o in operations(config()) if o.module.endswith("layers.1.self_attn")]
    q = [o for o in found if o.line == found[0].line]
    assert [o.name for o in q] == ["linear", "view", "transpose"]
    assert [" ".join(o.letters[0]) for o in q] == ["B T H*D", "B T H D", "B H T D"]
    assert q[0].weights == ("model.layers.1.self_attn.q_proj.weight",)
    assert q[1].inputs == q[0].outputs and q[2].inputs == q[1].outputs


def test_watching_changes_nothing() -> None:
    made = model()
    past = empty_past(config(), 2)
    _, after, longer = run(made, IDS, past)
    plain = made(IDS, past_key_values=past, use_cache=True)
    assert longer[:, -1].equal(plain.logits[:, -1].argmax(-1))
    for own, real in zip(after, plain.past_key_values, strict=True):
        assert own[0].equal(real[0]) and own[1].equal(real[1])
