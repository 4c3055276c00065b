"""手写的贪心循环与 transformers 的 generate：提示、缓存、EOS、左填充、抽样与束搜索。"""

import inspect

import pytest
import torch

from llm.model import greedy_generate

VOCABULARY = 61


def _prompt(batch: int = 3, length: int = 5) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, length))


def _without_cache(model, ids: torch.Tensor, new: int) -> torch.Tensor:
    """最笨的写法：每步把整段重算一遍。"""
    for _ in range(new):
        ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_greedy_equals_recomputing_everything(tiny, backend) -> None:
    model, ids = tiny(attention_backend=backend), _prompt()
    generated = greedy_generate(model, ids, 9)
    assert generated.shape == (3, 14) and torch.equal(generated[:, :5], ids)
    assert torch.equal(generated, _without_cache(model, ids, 9))
    assert torch.equal(greedy_generate(model, ids, 0), ids)


def test_greedy_sends_one_token_per_step(tiny) -> None:
    """先整段提示，此后每步一个词元：缓存真的在用。"""
    model, sizes = tiny(), []
    model.model.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
    greedy_generate(model, _prompt(), 4)
    assert sizes == [(3, 5), (3, 1), (3, 1), (3, 1)]


def test_greedy_shows_its_steps() -> None:
    """约二十五行，看得见取末位、argmax、补一维、缓存与每行的 EOS。"""
    source = inspect.getsource(greedy_generate)
    assert len(source.splitlines()) <= 40
    for step in ("logits[:, -1, :]", "argmax(-1)", "unsqueeze(-1)", "past_key_values", "eos"):
        assert step in source


@pytest.mark.parametrize("family", ["llama", "glm4"])
def test_left_padded_rows_equal_alone(tiny, family) -> None:
    """长短不一的提示左填充成一批：每行与单独生成的相同。"""
    model, prompts = tiny(family), [_prompt(1, length) for length in (2, 5, 7)]
    ids = torch.zeros(3, 7, dtype=torch.long)
    mask = torch.zeros(3, 7, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, 7 - prompt.shape[1] :] = prompt
        mask[row, 7 - prompt.shape[1] :] = 1
    by_hand = greedy_generate(model, ids, 8, attention_mask=mask)
    kwargs = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    by_library = model.generate(ids, attention_mask=mask, **kwargs)
    for row, prompt in enumerate(prompts):
        alone = greedy_generate(model, prompt, 8)[0, prompt.shape[1] :]
        assert torch.equal(by_hand[row, 7:], alone)
        assert torch.equal(by_library[row, 7:], alone)


@pytest.mark.parametrize("pad", [None, 0])
def test_each_row_stops_at_its_own_eos(tiny, pad) -> None:
    """出了 EOS 的那一行此后只填 pad（没有 pad 就填 EOS），别的行照旧；与 generate 相同。"""
    model, ids = tiny(pad_token_id=pad), _prompt()
    free = greedy_generate(model, ids, 10)
    eos = int(free[0, 8])  # 第 0 行第 4 个新词元
    stopped = greedy_generate(model, ids, 10, eos_token_id=eos)
    kwargs = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": eos}
    mask = torch.ones_like(ids)
    library = model.generate(
        ids, attention_mask=mask, pad_token_id=eos if pad is None else pad, **kwargs
    )
    assert torch.equal(stopped, library)
    for row in range(3):
        new = free[row, 5:].tolist()
        end = new.index(eos) + 1 if eos in new else 10
        assert stopped[row, 5 : 5 + end].tolist() == new[:end]
        rest = stopped[row, 5 + end :]
        assert (rest == (eos if pad is None else pad)).all()
    assert eos in free[0, 5:].tolist()


def test_stops_early_when_every_row_is_done(tiny) -> None:
    model, ids = tiny(), _prompt(1)
    eos = int(greedy_generate(model, ids, 1)[0, -1])
    assert greedy_generate(model, ids, 10, eos_token_id=eos).shape == (1, 6)


def test_works_on_a_transformers_model(pair) -> None:
    """循环只用到公开的接口：换成 transformers 的模型也行。"""
    theirs, ours = pair("llama")
    ids = _prompt()
    assert torch.equal(greedy_generate(theirs, ids, 6), greedy_generate(ours, ids, 6))


def test_generated_tokens_can_be_trained_on(tiny) -> None:
    """生成时不求导，但不影响外面；得到的是普通的张量，能接着拿去训练。"""
    model = tiny()
    ids = greedy_generate(model, _prompt(), 2, eos_token_id=0)
    assert torch.is_grad_enabled() and not ids.is_inference()
    model(ids, labels=ids).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_prompt_and_new_tokens_must_fit_the_table(tiny) -> None:
    """表有 8 行：最后一个新词元不必再送进去，所以 5 + 4 恰好放得下。"""
    model = tiny(max_position_embeddings=8)
    assert greedy_generate(model, _prompt(), 4).shape == (3, 9)
    with pytest.raises(ValueError, match="序列长 9（过去 8 \\+ 这次 1），超出旋转表的 8 行"):
        greedy_generate(model, _prompt(), 5)


def test_sampling_is_reproducible(tiny) -> None:
    model, ids = tiny(), _prompt()
    kwargs = {"max_new_tokens": 8, "do_sample": True, "top_k": 0, "pad_token_id": 0}
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(model.generate(ids, attention_mask=torch.ones_like(ids), **kwargs))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_beams_score_at_least_as_well_as_greedy(tiny) -> None:
    """束搜索（左填充的一批）：总的对数概率不比贪心差。"""
    model, ids = tiny(), _prompt(2)
    mask = torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    kwargs = {"attention_mask": mask, "max_new_tokens": 6, "pad_token_id": 0, "do_sample": False}

    def score(tokens: torch.Tensor) -> torch.Tensor:
        whole = torch.cat([mask, torch.ones(2, 6, dtype=torch.long)], dim=1)
        log = model(tokens, whole).logits.log_softmax(-1)[:, 4:-1]
        return log.gather(-1, tokens[:, 5:, None]).sum((1, 2))

    greedy, beams = (model.generate(ids, num_beams=n, **kwargs) for n in (1, 4))
    assert beams.shape == (2, 11)
    assert (score(beams) >= score(greedy) - 1e-4).all()


def test_without_cache_and_with_a_given_cache(tiny) -> None:
    """generate 关掉缓存、或接着已有的缓存，结果都一样。"""
    model, ids = tiny(), _prompt()
    mask = torch.ones_like(ids)
    kwargs = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    expected = greedy_generate(model, ids, 6)
    assert torch.equal(model.generate(ids, use_cache=False, **kwargs), expected)
    past = model(ids[:, :3], use_cache=True).past_key_values
    assert torch.equal(model.generate(ids, past_key_values=past, **kwargs), expected)
