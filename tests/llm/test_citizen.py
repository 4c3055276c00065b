"""transformers 的好公民：存取、登记、共享的嵌入、梯度检查点、Trainer 的梯度累积。"""

from collections.abc import Iterator

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from llm import LLMConfig, LLMForCausalLM, LLMModel
from llm.config import PRESETS
from llm.hf import LLMPreTrainedModel

IDS = torch.arange(14).view(2, 7)


@pytest.fixture
def dirty() -> Iterator[None]:
    """没有初始化的内存一律是 NaN（torch 在确定性模式下会这样填），谁用了谁现形。"""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.guide("`save_pretrained`、`from_pretrained`，分片，换精度", "是")
@pytest.mark.usefixtures("dirty")
@pytest.mark.parametrize("family", PRESETS)
def test_five_rounds_of_saving_and_loading(tiny, tmp_path, family) -> None:
    """存取五轮，权重、旋转表与 logits 一位不差。"""
    model = tiny(family)
    expected, table = model(IDS).logits, model.model.rotary_emb.cos.clone()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for turn in range(5):
        model.save_pretrained(tmp_path / str(turn))
        model = LLMForCausalLM.from_pretrained(tmp_path / str(turn))
        assert torch.equal(model.model.rotary_emb.cos, table)
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
        assert torch.equal(model(IDS).logits, expected)


@pytest.mark.usefixtures("dirty")
def test_dirty_memory_would_be_seen(tiny, tmp_path, monkeypatch) -> None:
    """`_init_weights` 若不重填旋转表，读回来就是 NaN：上一个测试看得见这种错。"""
    tiny().save_pretrained(tmp_path)
    monkeypatch.setattr(LLMPreTrainedModel, "_init_weights", PreTrainedModel._init_weights)
    assert LLMForCausalLM.from_pretrained(tmp_path).model.rotary_emb.cos.isnan().all()


@pytest.mark.guide("`save_pretrained`、`from_pretrained`，分片，换精度", "是")
@pytest.mark.usefixtures("dirty")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_loading_in_another_dtype(tiny, tmp_path, dtype) -> None:
    """读成窄精度：权重变窄，旋转表仍是 fp32，与先读后转的相同。"""
    model = tiny()
    model.save_pretrained(tmp_path)
    narrow = LLMForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert narrow.dtype == dtype and narrow.model.rotary_emb.cos.dtype == torch.float32
    assert torch.equal(narrow(IDS).logits, model.to(dtype)(IDS).logits)


@pytest.mark.guide("`save_pretrained`、`from_pretrained`，分片，换精度", "是")
def test_sharded_saving(tiny, tmp_path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = LLMForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(IDS).logits, model(IDS).logits)


@pytest.mark.guide("`AutoConfig`、`AutoModel`、`AutoModelForCausalLM`", "是")
def test_auto_classes(tiny, tmp_path) -> None:
    model = tiny("glm4")
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is LLMConfig
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is LLMForCausalLM  # type: ignore[comparison-overlap]
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    body = AutoModel.from_pretrained(tmp_path)
    assert type(body) is LLMModel
    hidden = model.model(IDS).last_hidden_state
    assert torch.equal(body(IDS).last_hidden_state, hidden) and hidden.shape == (2, 7, 32)
    assert type(AutoModelForCausalLM.from_config(model.config)) is LLMForCausalLM


def test_backend_can_be_chosen_when_loading(tiny, tmp_path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path)
    manual = LLMForCausalLM.from_pretrained(tmp_path, attention_backend="manual")
    assert manual.model.layers[0].self_attn.manual
    torch.testing.assert_close(manual(IDS).logits, model(IDS).logits, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="attention_backend='flash'"):
        LLMForCausalLM.from_pretrained(tmp_path, attention_backend="flash")


@pytest.mark.guide("共用词嵌入、改词表大小", "是")
@pytest.mark.usefixtures("dirty")
def test_tied_embeddings_share_one_tensor(tiny, tmp_path) -> None:
    """共享的嵌入：读回之后仍是同一个张量，梯度只有一份，文件里也只存一份。"""
    model = tiny(tie_word_embeddings=True)
    for turn in range(2):
        model.save_pretrained(tmp_path / str(turn))
        again = LLMForCausalLM.from_pretrained(tmp_path / str(turn))
        assert again.lm_head.weight is again.model.embed_tokens.weight
        assert torch.equal(again(IDS).logits, model(IDS).logits)
        model = again
    model(IDS, labels=IDS).loss.backward()
    assert model.lm_head.weight.grad is model.model.embed_tokens.weight.grad
    untied = tiny()
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight
    difference = untied.num_parameters() - model.num_parameters()
    assert difference == model.lm_head.weight.numel()


@pytest.mark.guide("共用词嵌入、改词表大小", "是")
def test_resizing_the_vocabulary(tiny) -> None:
    model = tiny(tie_word_embeddings=True)
    before = model(IDS).logits
    model.resize_token_embeddings(70, mean_resizing=False)
    assert model.config.vocab_size == 70 and model(IDS).logits.shape == (2, 7, 70)
    torch.testing.assert_close(model(IDS).logits[..., :61], before)


def test_tuples_instead_of_output_objects(tiny) -> None:
    model = tiny()
    loss, logits = model(IDS, labels=IDS, use_cache=False, return_dict=False)
    assert loss.shape == () and logits.shape == (2, 7, 61)


@pytest.mark.guide("梯度检查点", "是")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_gradient_checkpointing_really_runs_again(tiny, backend, reentrant) -> None:
    """训练时每块的前向跑两遍（反向时重跑），梯度与不用时相同；评估时只跑一遍。"""
    model = tiny(attention_backend=backend).train()
    model(IDS, labels=IDS).loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    calls = []
    for index, block in enumerate(model.model.layers):
        # 挂在前馈之前：重跑到所需的张量齐了就停，走不到前馈的出口
        block.mlp.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:  # 这一种要求输入带梯度
        model.enable_input_require_grads()
    loss = model(IDS, labels=IDS).loss
    assert calls == [0, 1]
    loss.backward()
    assert sorted(calls) == [0, 0, 1, 1]
    actual = {name: p.grad for name, p in model.named_parameters()}
    torch.testing.assert_close(actual, expected)
    calls.clear()
    model.eval()(IDS, labels=IDS, use_cache=False).loss.backward()
    assert calls == [0, 1]
    model.train().activation_checkpointing_disable()
    calls.clear()
    model(IDS, labels=IDS).loss.backward()
    assert calls == [0, 1]


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_autocast(tiny, backend) -> None:
    """混合精度训练：权重与梯度仍是 fp32，损失与 fp32 的相近，缓存也能接着用。"""
    model = tiny(attention_backend=backend)
    expected = model(IDS, labels=IDS).loss
    with torch.autocast("cpu", torch.bfloat16):
        out = model(IDS, torch.ones_like(IDS), labels=IDS)
        past = model(IDS[:, :6], use_cache=True).past_key_values
        step = model(IDS[:, 6:], past_key_values=past).logits
    out.loss.backward()
    torch.testing.assert_close(out.loss, expected, rtol=0, atol=2e-2)
    torch.testing.assert_close(step.float(), out.logits[:, 6:].float(), rtol=0, atol=5e-2)
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


class Careless(LLMForCausalLM):
    """不用总词元数的模型：各小批自己平均，Trainer 再平均一次。"""

    accepts_loss_kwargs = False


def _rows() -> list[dict[str, torch.Tensor]]:
    """四行等长的数据，算损失的词元数却很不一样：30、4、28、3。"""
    rows = []
    for counted in (30, 4, 28, 3):
        ids = torch.randint(61, (32,))
        labels = ids.clone()
        labels[1 + counted :] = -100
        rows.append({"input_ids": ids, "labels": labels})
    return rows


@pytest.fixture
def train_step(tiny, tmp_path):
    """用 Trainer 走一步，返回 (记录的损失, 走完之后的参数)。"""
    state, rows = tiny().state_dict(), _rows()

    def run(kind, batch: int, accumulation: int):
        model = kind(tiny().config)
        model.load_state_dict(state)
        arguments = TrainingArguments(
            output_dir=str(tmp_path / f"{kind.__name__}-{batch}"),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            learning_rate=0.1,
            optim="sgd",
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return float(losses[0]), torch.cat([p.detach().flatten() for p in model.parameters()])

    return run


@pytest.mark.guide("`Trainer`：训练，梯度累积", "是")
def test_gradient_accumulation_gives_the_same_loss(train_step) -> None:
    """四行一批，与一行一批、累积四次：同样的损失，走到同样的参数。"""
    whole, parameters = train_step(LLMForCausalLM, 4, 1)
    for batch in (1, 2):
        loss, accumulated = train_step(LLMForCausalLM, batch, 4 // batch)
        assert loss == pytest.approx(whole, abs=1e-4)
        torch.testing.assert_close(accumulated, parameters, rtol=0, atol=1e-6)


def test_careless_accumulation_would_be_seen(train_step) -> None:
    """各自平均再平均就不同：上一个测试看得见这种错。"""
    whole, parameters = train_step(Careless, 4, 1)
    loss, accumulated = train_step(Careless, 1, 4)
    assert abs(loss - whole) > 1e-3
    assert (accumulated - parameters).abs().max() > 1e-4
