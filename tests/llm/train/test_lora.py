"""LoRA 与 peft 逐位相等：一样的初始化、一样的五步、一样的合并。"""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from llm.train.lora import LoRALinear, add_lora, merge_lora
from tests.llm.train.conftest import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 还在用旧名
)
NAMES = ["q_proj", "k_proj", "v_proj", "o_proj"]
RANK, ALPHA = 4, 16


def batches() -> torch.Tensor:
    return torch.randint(3, 61, (5, 2, 12), generator=torch.Generator().manual_seed(1))


def five_steps(model: torch.nn.Module) -> None:
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    for ids in batches():
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()


def ours(names: list[str] = NAMES) -> torch.nn.Module:
    model = tiny(61)
    torch.manual_seed(7)
    return add_lora(model, names, RANK, ALPHA)


def theirs(names: list[str] = NAMES) -> torch.nn.Module:
    model = tiny(61)
    torch.manual_seed(7)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=names, lora_dropout=0.0)
    return get_peft_model(model, config)


def adapters(model: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach() for name, p in model.named_parameters() if "lora_" in name]


def test_it_starts_steps_and_merges_like_peft() -> None:
    mine, other = ours(), theirs()
    start = [p.clone() for p in adapters(mine)]
    assert len(start) == 2 * 2 * len(NAMES)
    assert all(torch.equal(a, b) for a, b in zip(start, adapters(other), strict=True))
    five_steps(mine)
    five_steps(other)
    after = adapters(mine)
    assert all(torch.equal(a, b) for a, b in zip(after, adapters(other), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(after, start, strict=True))
    merged = merge_lora(mine).state_dict()
    unloaded: Any = other
    reference = unloaded.merge_and_unload().state_dict()
    assert merged.keys() == tiny(61).state_dict().keys() == reference.keys()
    assert all(torch.equal(merged[name], reference[name]) for name in merged)


def test_a_merged_model_is_an_ordinary_model_again() -> None:
    model = ours()
    five_steps(model)
    ids = batches()[0]
    before = model(ids, use_cache=False).logits
    merge_lora(model)
    torch.testing.assert_close(model(ids, use_cache=False).logits, before, rtol=1e-4, atol=1e-5)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(isinstance(module, LoRALinear) for module in model.modules())


def test_only_the_adapters_are_learned() -> None:
    model = ours()
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned and all("lora_" in name for name in learned)


@pytest.mark.parametrize(
    ("names", "rank", "words"),
    [
        (["q_proj", "gate"], 4, "没有叫 gate 的线性层"),
        (["q_proj"], 0, "rank=0"),
        (["lm_head"], 4, "lm_head 的权重与别处绑在一起"),
        (["embed_tokens"], 4, "没有叫 embed_tokens 的线性层"),
    ],
)
def test_what_cannot_be_adapted_is_refused_and_nothing_changes(
    names: list[str], rank: int, words: str
) -> None:
    model = tiny(61)
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=words):
        add_lora(model, names, rank, ALPHA)
    assert list(model.state_dict()) == before
    assert all(p.requires_grad for p in model.parameters())


def test_an_untied_head_may_be_adapted_and_merges() -> None:
    model = tiny(61, tie_word_embeddings=False)
    before = model.lm_head.weight.detach().clone()
    add_lora(model, ["lm_head"], RANK, ALPHA)
    five_steps(model)
    merge_lora(model)
    assert not torch.equal(model.lm_head.weight, before)
