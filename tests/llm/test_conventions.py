"""指南「与 transformers 一起用」的每一行：与同权重的 Llama 相等，或用中文拒绝而什么都不变。"""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights, load_checkpoint_and_dispatch
from accelerate.utils import FullyShardedDataParallelPlugin
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithFlattening,
    DynamicCache,
    MaxLengthCriteria,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    StaticCache,
    StoppingCriteriaList,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.generation.streamers import BaseStreamer
from transformers.integrations.executorch import convert_and_export_with_cache

from llm import LLMConfig, LLMForCausalLM

GUIDE = Path(__file__).parents[2] / "docs/guide/transformers.md"
IDS = (torch.arange(24) * 7 % 61).view(2, 12)
MASK = torch.ones_like(IDS)
GREEDY: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
PACKED = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]])

# peft 0.21 自己还在用 transformers 5.23 弃用的名字，与我们无关
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:Position ids are not supported for parameter efficient tuning:UserWarning",
)
yes = pytest.mark.guide
Both = Callable[[Callable[[Any], Any]], tuple[Any, Any]]


@pytest.fixture
def both(pair) -> Both:
    """`both(f)`：同一套权重的两个模型各做一遍，返回（transformers 的, 我们的）。"""

    def run(action: Callable[[Any], Any], **fields: Any) -> tuple[Any, Any]:
        results = []
        for model in pair("llama", **fields):
            torch.manual_seed(0)
            results.append(action(model))
        return results[0], results[1]

    return run


def close(pair: tuple[Any, Any]) -> None:
    torch.testing.assert_close(pair[1], pair[0], rtol=0, atol=1e-5)


def table() -> dict[str, str]:
    """指南里每一行的用法与结果。"""
    rows = re.findall(r"^\| (.+?) \| (是|拒绝) \|", GUIDE.read_text("utf-8"), re.M)
    assert len(rows) == len(dict(rows)) > 50
    return dict(rows)


def marked() -> dict[str, str]:
    """测试上标着的用法与结果；一行可以有几个测试，说法要一致。"""
    found: dict[str, set[str]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        mark = r"^@(?:yes|pytest\.mark\.guide)\(\s*'?\"?(.+?)['\"]?, \"(是|拒绝)\"\s*\)"
        for row, verdict in re.findall(mark, path.read_text("utf-8"), re.M):
            found.setdefault(row, set()).add(verdict)
    return {row: "与".join(sorted(verdicts)) for row, verdicts in found.items()}


def test_every_row_of_the_guide_is_tested() -> None:
    assert marked() == table()


# ---- 前向的参数 ----


@yes("`input_ids` 或 `inputs_embeds`", "是")
def test_inputs_embeds(both) -> None:
    def run(model: Any) -> torch.Tensor:
        embeds = model.get_input_embeddings()(IDS)
        out = model(inputs_embeds=embeds, attention_mask=MASK, labels=IDS)
        return torch.cat([out.logits.flatten(), out.loss[None]])

    close(both(run))


def test_exactly_one_input(tiny) -> None:
    model = tiny()
    embeds = model.get_input_embeddings()(IDS)
    with pytest.raises(ValueError, match="都没有给"):
        model()
    with pytest.raises(ValueError, match="都给了"):
        model(IDS, inputs_embeds=embeds)
    with pytest.raises(ValueError, match=r"inputs_embeds 的形状是 \(2, 12, 5\).*C = 32"):
        model(inputs_embeds=embeds[..., :5])


@yes("二维的 `attention_mask`", "是")
def test_two_dimensional_mask(both) -> None:
    mask = MASK.clone()
    mask[0, :3] = 0
    close(both(lambda model: model(IDS, attention_mask=mask).logits[mask.bool()]))


@yes("四维的布尔 `attention_mask`", "是")
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_four_dimensional_mask(both, backend, heads) -> None:
    """随便谁看谁：不叠加因果掩码；可以每个头不同。"""
    mask = (torch.rand(2, heads, 12, 12) > 0.5) | torch.eye(12, dtype=torch.bool)
    close(both(lambda model: model(IDS, attention_mask=mask).logits, backend=backend))


@yes("四维的浮点 `attention_mask`", "拒绝")
def test_additive_mask(tiny) -> None:
    for mask in (torch.zeros(2, 1, 12, 12), torch.ones(2, 1, 12, 12, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"应为布尔.*先写 mask == 0"):
            tiny()(IDS, mask)
    with pytest.raises(ValueError, match=r"\(2, 4, 12, 12\)，前两维可以是 1"):
        tiny()(IDS, torch.ones(2, 3, 12, 12, dtype=torch.bool))


@yes("`position_ids`", "是")
def test_position_ids(both) -> None:
    positions = torch.tensor([[0, 1, 3, 7, 8, 20, 21, 22, 23, 40, 41, 50]])
    close(both(lambda m: m(IDS, attention_mask=MASK, position_ids=positions).logits))


@yes("`past_key_values`：`DynamicCache` 或元组", "是")
def test_growing_caches(both) -> None:
    def run(model: Any, as_tuple: bool = False) -> torch.Tensor:
        past = model(IDS[:, :8], use_cache=True).past_key_values
        if as_tuple:
            past = tuple((layer.keys, layer.values) for layer in past.layers)
        return model(IDS[:, 8:], past_key_values=past).logits

    theirs, ours = both(run)
    close((theirs, ours))
    close((theirs, both(lambda model: run(model, isinstance(model, LLMForCausalLM)))[1]))


def test_three_steps_of_the_tuple_path(tiny, capsys) -> None:
    """手写的循环：从每层一对长度为 0 的键与值开始，每步打印每一层的形状。"""
    model = tiny()
    all_presents = ((torch.zeros(2, 2, 0, 16),) * 2,) * 2  # 每层 (k, v)，各 (B, K, 0, D)
    for step, new in enumerate((IDS[:, :5], IDS[:, 5:6], IDS[:, 6:7])):
        out = model(new, past_key_values=all_presents, use_cache=True)
        all_presents = out.past_key_values
        for layer, (k, v) in enumerate(all_presents):
            print(step, layer, tuple(k.shape), tuple(v.shape))
    assert capsys.readouterr().out.splitlines() == [
        f"{step} {layer} (2, 2, {S}, 16) (2, 2, {S}, 16)"
        for step, S in enumerate((5, 6, 7))
        for layer in range(2)
    ]
    torch.testing.assert_close(out.logits, model(IDS[:, :7]).logits[:, 6:], rtol=0, atol=1e-5)


@yes("`past_key_values`：定长的、滑动窗口的", "拒绝")
def test_other_caches(tiny) -> None:
    model = tiny()
    with pytest.raises(ValueError, match="不支持 StaticCache"):
        model(IDS, past_key_values=StaticCache(model.config, max_cache_len=16))


@yes("`labels`、`num_items_in_batch`", "是")
def test_labels(both) -> None:
    labels = IDS.masked_fill(IDS % 3 == 0, -100)
    for items in (None, 7, torch.tensor(7)):
        given = {} if items is None else {"num_items_in_batch": items}
        close(both(lambda model, given=given: model(IDS, labels=labels, **given).loss))


@yes("`logits_to_keep`：整数、一维", "是")
@pytest.mark.parametrize("keep", [1, 5, torch.tensor([0, 3, 11])], ids=str)
def test_logits_to_keep(both, keep) -> None:
    close(both(lambda model: model(IDS, logits_to_keep=keep).logits))
    hidden = both(lambda model: model.model(IDS).last_hidden_state)
    assert hidden[1].shape == (2, 12, 32)  # 主体总是算全


@yes("`logits_to_keep`：二维", "拒绝")
def test_logits_to_keep_by_row(tiny) -> None:
    with pytest.raises(ValueError, match=r"logits_to_keep 的形状是 \(2, 1\)"):
        tiny()(IDS, logits_to_keep=torch.tensor([[1], [2]]))


@yes("`output_hidden_states`", "是")
@pytest.mark.parametrize("where", ["argument", "config"])
def test_hidden_states(both, where) -> None:
    def run(model: Any) -> tuple[torch.Tensor, ...]:
        if where == "config":
            model.config.output_hidden_states = True
            return model(IDS).hidden_states
        return model(IDS, output_hidden_states=True).hidden_states

    theirs, ours = both(run)
    assert len(theirs) == len(ours) == 3
    close((theirs, ours))


@yes('`output_attentions`，`attention_backend="manual"`', "是")
@pytest.mark.parametrize("where", ["argument", "config"])
def test_attentions(both, where) -> None:
    def run(model: Any) -> tuple[torch.Tensor, ...]:
        if not isinstance(model, LLMForCausalLM):
            model.set_attn_implementation("eager")
            return model(IDS, output_attentions=True).attentions
        model.config.output_attentions = where == "config"
        return model(IDS, **({} if where == "config" else {"output_attentions": True})).attentions

    theirs, ours = both(run, backend="manual")
    assert len(ours) == 2 and ours[0].shape == (2, 4, 12, 12)
    close((theirs, ours))


@yes("`output_attentions`，默认的 SDPA", "拒绝")
def test_attentions_under_sdpa(tiny) -> None:
    model = tiny()
    with pytest.raises(ValueError, match='attention_backend="manual"'):
        model(IDS, output_attentions=True)
    with pytest.raises(ValueError, match='attention_backend="manual"'):
        tiny(output_attentions=True)(IDS)
    assert model(IDS, output_attentions=False).attentions is None


@yes("`return_dict=False`", "是")
def test_tuples(both) -> None:
    def run(model: Any) -> tuple[Any, ...]:
        return model(IDS, labels=IDS, use_cache=False, return_dict=False)

    theirs, ours = both(run)
    assert len(ours) == len(theirs) == 2
    close((theirs, ours))


def test_tuples_by_config(tiny) -> None:
    model = tiny(return_dict=False)
    assert type(model(IDS)) is tuple and type(model.model(IDS)) is tuple


@yes("`cache_position`", "拒绝")
def test_cache_position(tiny) -> None:
    with pytest.raises(ValueError, match=r"没有这些参数：cache_position.*position_ids"):
        tiny()(IDS, cache_position=torch.arange(12))


@yes("别的关键字", "拒绝")
def test_unknown_keywords(tiny) -> None:
    model = tiny()
    with pytest.raises(ValueError, match="没有这些参数：is_causal、token_type_ids"):
        model(IDS, token_type_ids=IDS, is_causal=False)
    with pytest.raises(ValueError, match="没有这些参数：labels"):
        model.model(IDS, labels=IDS)
    assert torch.equal(model(IDS, token_type_ids=None).logits, model(IDS).logits)


# ---- 训练 ----


def trainer(model: PreTrainedModel, folder: Path, rows: Any = None, **fields: Any) -> Trainer:
    """四行数据、两步，SGD；`fields` 改训练参数。"""
    collator = fields.pop("data_collator", None)
    rows = rows or [{"input_ids": row, "labels": row} for row in (*IDS, *IDS.flip(1))]
    defaults: dict[str, Any] = {
        "per_device_train_batch_size": 2,
        "max_steps": 2,
        "learning_rate": 0.1,
        "optim": "sgd",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    arguments = TrainingArguments(output_dir=str(folder), **{**defaults, **fields})
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=collator,
    )


def losses(
    model: PreTrainedModel, folder: Path, name: str = "loss", **fields: Any
) -> list[torch.Tensor]:
    """训练过程里记下的损失。"""
    run = trainer(model, folder, **fields)
    run.train()
    return [torch.tensor(float(e[name])) for e in run.state.log_history if name in e]


@yes("`Trainer`：训练，梯度累积", "是")
def test_training(both, tmp_path) -> None:
    """词元数不同的几行，两行累积一次：记下的损失相等。"""
    rows = [{"input_ids": IDS[0], "labels": IDS[0].clone()} for _ in range(4)]
    for row, counted in zip(rows, (11, 2, 9, 1), strict=True):
        row["labels"][1 + counted :] = -100
    fields: dict[str, Any] = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "rows": rows,
    }
    theirs, ours = both(lambda model: losses(model, tmp_path, **fields))
    assert len(ours) == 2
    close((theirs, ours))


@yes("`Trainer`：`evaluate`、`predict`、`eval_strategy`", "是")
def test_evaluation(both, tmp_path) -> None:
    def run(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
        made = trainer(model, tmp_path)
        loss = made.evaluate()["eval_loss"]
        return torch.tensor(loss), torch.tensor(made.predict(made.train_dataset).predictions)

    theirs, ours = both(run)
    assert ours[1].shape == (4, 12, 61)
    close((theirs, ours))
    steps: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1}
    theirs, ours = both(lambda model: losses(model, tmp_path, "eval_loss", **steps))
    assert len(ours) == 2
    close((theirs, ours))


@yes("`Trainer`：标签平滑", "是")
def test_label_smoothing(both, tmp_path) -> None:
    close(both(lambda model: losses(model, tmp_path, label_smoothing_factor=0.1)))


@yes("`Trainer`：断点续训", "是")
def test_resuming(tiny, tmp_path) -> None:
    """两步走完，与走一步、存下、读回再走一步，参数一位不差。"""
    fields = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "constant"}
    model = tiny()
    whole = trainer(copy.deepcopy(model), tmp_path, **fields)
    whole.train()
    resumed = trainer(model, tmp_path, **fields)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)


@yes("`Trainer`：`neftune_noise_alpha`", "是")
def test_neftune(both, tmp_path) -> None:
    close(both(lambda model: losses(model, tmp_path, neftune_noise_alpha=5.0)))


@yes("`Trainer`：`bf16`、`torch_compile`", "是")
@pytest.mark.parametrize(
    "fields",
    [{"bf16": True}, {"torch_compile": True, "torch_compile_backend": "eager"}],
    ids=["bf16", "compile"],
)
def test_precision_and_compiling(both, tmp_path, fields) -> None:
    close(both(lambda model: losses(model, tmp_path, **fields)))


@yes("梯度检查点", "是")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(both, tmp_path, reentrant) -> None:
    fields: dict[str, Any] = {
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": {"use_reentrant": reentrant},
    }
    close(both(lambda model: losses(model, tmp_path, **fields)))


@yes("梯度检查点再要缓存", "拒绝")
def test_gradient_checkpointing_with_a_cache(tiny) -> None:
    model = tiny().train()
    model.activation_checkpointing_enable()
    with pytest.raises(ValueError, match="梯度检查点不能与缓存同用"):
        model(IDS, use_cache=True)


@yes("打包的行：位置重新数起", "是")
@pytest.mark.parametrize("backend", ["sdpa", "manual"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "glm4"])
def test_packed_rows(pair, family, backend) -> None:
    """与 transformers 相等，与一篇一篇分开算相等，损失也是；给不给配置里的 use_cache 都一样。"""
    theirs, ours = pair(family, backend)
    ids, labels = IDS[:1], IDS[:1].masked_fill(PACKED == 0, -100)
    expected = theirs(ids, position_ids=PACKED, labels=labels, use_cache=False)
    actual = ours(ids, position_ids=PACKED, labels=labels)
    close((expected.logits, actual.logits))
    close((expected.loss, actual.loss))
    assert actual.past_key_values is None
    alone = [ours(part).logits for part in ids.split([4, 3, 5], dim=1)]
    close((torch.cat(alone, dim=1), actual.logits))
    leaking = ours(ids, torch.ones_like(ids)).logits  # 没有隔开就差得远：上面看得见
    assert (leaking - actual.logits).abs().max() > 1e-2


def test_one_document_needs_no_mask(tiny, monkeypatch) -> None:
    """一路数到底的 position_ids 不是打包：不造掩码，缓存照给。"""
    monkeypatch.setattr("llm.model.document_mask", None)
    out = tiny()(IDS, position_ids=torch.arange(3, 15)[None])
    assert out.past_key_values.get_seq_length() == 12


def test_flattening_collator(both, tmp_path) -> None:
    """transformers 自己的打包：一步一步训练，损失与 Llama 的相等。"""
    rows = [{"input_ids": IDS[0, :n].tolist()} for n in (5, 9, 3, 7)]
    fields: dict[str, Any] = {"rows": rows, "data_collator": DataCollatorWithFlattening()}
    close(both(lambda model: losses(model, tmp_path, **fields)))


def test_compiled_packed_rows(tiny) -> None:
    """编译时不看位置里的数，一律由位置隔开：只有一篇也对。"""
    model = tiny()
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for positions in (PACKED, torch.arange(12)[None]):
        expected = model(IDS[:1], position_ids=positions).logits
        actual = compiled(IDS[:1], position_ids=positions).logits
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@yes("打包的行再给二维 `attention_mask`", "拒绝")
def test_packed_rows_with_a_mask(tiny) -> None:
    model = tiny()
    with pytest.raises(ValueError, match="position_ids 中途往回走"):
        model(IDS, MASK, PACKED)
    padded = torch.tensor([[0] * 4 + [1] * 8])  # 填充处的位置是什么都无所谓
    counted = (padded.cumsum(-1) - 1).masked_fill(padded == 0, 1)
    assert model(IDS[:1], padded, counted).logits.isfinite().all()
    right = torch.tensor([[1] * 8 + [0] * 4])
    assert model(IDS[:1], right, (right.cumsum(-1) - 1) * right).logits.isfinite().all()
    holes = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]])  # 往回走，中间隔着填充
    with pytest.raises(ValueError, match="position_ids 中途往回走"):
        model(IDS[:1], holes, PACKED)


@yes("打包的行再要缓存", "拒绝")
def test_packed_rows_with_a_cache(tiny) -> None:
    model = tiny()
    for given in ({"use_cache": True}, {"past_key_values": DynamicCache()}):
        with pytest.raises(ValueError, match="打包的行不能与缓存同用"):
            model(IDS, position_ids=PACKED, **given)
    past = model(IDS, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="position_ids 中途往回走"):
        model(IDS, position_ids=PACKED + 12, past_key_values=past)
    assert past.get_seq_length() == 12


@yes("打包的行带 `cu_seq_lens_q`、`seq_idx` 一类", "是")
def test_flash_packing(both, tmp_path) -> None:
    """边界另外再说几遍也行；说得与位置不一样就报错，不挑一个来信。"""
    rows = [{"input_ids": IDS[0, :n].tolist()} for n in (5, 9, 3, 7)]
    collator = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True)
    close(both(lambda model: losses(model, tmp_path, rows=rows, data_collator=collator)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"cu_seq_lens_q": torch.tensor([0, 4, 12])},
            r"cu_seq_lens_q 是 \[0, 4, 12\].*\[0, 4, 7, 12",
        ),
        ({"cu_seq_lens_k": torch.tensor([0, 5, 7, 12])}, "cu_seq_lens_k 是"),
        ({"max_length_q": 4}, "max_length_q 是 4，由 position_ids 数出来却是 5"),
        ({"seq_idx": torch.zeros(1, 12, dtype=torch.int32)}, "seq_idx 是"),
    ],
)
def test_boundaries_that_disagree(tiny, given, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny()(IDS[:1], position_ids=PACKED, **given)
    with pytest.raises(ValueError, match="却没有 position_ids"):
        tiny()(IDS[:1], **given)


@yes("奖励模型（`AutoModelForSequenceClassification`）", "拒绝")
def test_reward_models(tiny) -> None:
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSequenceClassification.from_config(tiny().config)


# ---- peft ----


def adapters() -> dict[str, Any]:
    """要比的几种适配器；`init_lora_weights=False` 让 B 不是 0。"""
    import peft

    causal: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    lora: dict[str, Any] = {
        **causal,
        "r": 4,
        "target_modules": "all-linear",
        "init_lora_weights": False,
    }
    return {
        "lora": peft.LoraConfig(**lora),
        "dora": peft.LoraConfig(**lora, use_dora=True),
        "ia3": peft.IA3Config(
            **causal, target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
        ),
        "prompt": peft.PromptTuningConfig(**causal, num_virtual_tokens=3),
        "p-tuning": peft.PromptEncoderConfig(
            **causal, num_virtual_tokens=3, encoder_hidden_size=16
        ),
        "prefix": peft.PrefixTuningConfig(**causal, num_virtual_tokens=3),
    }


def adapted(both: Both, name: str) -> None:
    """损失、可训练的参数的梯度与生成的词元，都与 Llama 上的同一种适配器相等。"""
    from peft import get_peft_model

    def run(model: Any) -> tuple[Any, ...]:
        wrapped = get_peft_model(model, adapters()[name]).train()
        loss = wrapped(input_ids=IDS, attention_mask=MASK, labels=IDS).loss
        loss.backward()
        gradients = [p.grad for p in wrapped.parameters() if p.requires_grad]
        assert gradients and all(g.abs().max() > 0 for g in gradients if g is not None)
        wrapped.eval()
        made = wrapped.generate(input_ids=IDS, attention_mask=MASK, **GREEDY)
        return loss.detach(), gradients, made

    close(both(run))


@yes('LoRA、DoRA、IA3，`task_type="CAUSAL_LM"`', "是")
@pytest.mark.parametrize("name", ["lora", "dora", "ia3"])
def test_lora(both, name) -> None:
    adapted(both, name)


@yes("提示微调、P-tuning、前缀微调", "是")
@pytest.mark.parametrize("name", ["prompt", "p-tuning", "prefix"])
def test_prompt_learning(both, name) -> None:
    adapted(both, name)


@yes("合并 LoRA", "是")
def test_merging(tiny) -> None:
    from peft import get_peft_model

    wrapped = get_peft_model(tiny(), adapters()["lora"]).eval()
    before = wrapped(input_ids=IDS).logits
    merged = wrapped.merge_and_unload()
    assert type(merged) is LLMForCausalLM
    torch.testing.assert_close(merged(IDS).logits, before, rtol=0, atol=1e-5)


@yes("`model.add_adapter`", "是")
def test_add_adapter(both) -> None:
    def run(model: Any) -> torch.Tensor:
        model.add_adapter(adapters()["lora"])
        return model(IDS).logits

    close(both(run))


@yes("不写 `target_modules`", "拒绝")
def test_no_target_modules(tiny) -> None:
    from peft import LoraConfig, get_peft_model

    with pytest.raises(ValueError, match="target_modules"):
        get_peft_model(tiny(), LoraConfig(task_type="CAUSAL_LM"))


@yes("LLaMA-Adapter（`AdaptionPromptConfig`）", "拒绝")
def test_adaption_prompt(tiny) -> None:
    from peft import AdaptionPromptConfig, get_peft_model

    config = AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=3, adapter_layers=1)
    with pytest.raises(ValueError, match=r"Unsupported model type.*rizhi_llm"):
        get_peft_model(tiny(), config)


# ---- 生成 ----


@yes("贪心、采样、束搜索，左填充的一批", "是")
@pytest.mark.parametrize("fields", [{}, {"do_sample": True}, {"num_beams": 3}], ids=str)
def test_generating(both, fields) -> None:
    mask = MASK.clone()
    mask[0, :5] = 0
    close(both(lambda model: model.generate(IDS, attention_mask=mask, **{**GREEDY, **fields})))


@yes("`inputs_embeds`", "是")
def test_generating_from_embeds(both) -> None:
    def run(model: Any) -> torch.Tensor:
        embeds = model.get_input_embeddings()(IDS)
        return model.generate(inputs_embeds=embeds, attention_mask=MASK, **GREEDY)

    close(both(run))


@yes("`assistant_model`、`prompt_lookup_num_tokens`", "是")
@pytest.mark.parametrize("kind", ["model", "lookup"])
def test_assisted(both, tiny, kind) -> None:
    helper = {"assistant_model": tiny()} if kind == "model" else {"prompt_lookup_num_tokens": 3}
    ids, mask = IDS[:1], MASK[:1]
    close(both(lambda model: model.generate(ids, attention_mask=mask, **GREEDY, **helper)))


@yes("`assistant_early_exit`", "是")
def test_early_exit(both) -> None:
    """只用第一层起草，再由整个模型核对：词元与不起草的相同，配置还是两层。"""

    def run(model: Any) -> tuple[torch.Tensor, int]:
        made = model.generate(IDS[:1], attention_mask=MASK[:1], assistant_early_exit=1, **GREEDY)
        assert torch.equal(made, model.generate(IDS[:1], attention_mask=MASK[:1], **GREEDY))
        return made, model.config.num_hidden_layers

    theirs, ours = both(run)
    assert torch.equal(theirs[0], ours[0]) and ours[1] == 2


@yes("`prefill_chunk_size`", "是")
def test_chunked_prefill(both) -> None:
    fields = {**GREEDY, "prefill_chunk_size": 5}
    close(both(lambda model: model.generate(IDS, attention_mask=MASK, **fields)))


@yes("`output_scores`、`output_hidden_states`", "是")
def test_recorded_generation(both) -> None:
    fields = {"output_scores": True, "output_hidden_states": True, "return_dict_in_generate": True}

    def run(model: Any) -> tuple[Any, Any]:
        out = model.generate(IDS, attention_mask=MASK, **GREEDY, **fields)
        return out.scores, out.hidden_states

    close(both(run))


class _Kept(BaseStreamer):
    def __init__(self) -> None:
        self.seen: list[int] = []

    def put(self, value: torch.Tensor) -> None:
        self.seen += value.flatten().tolist()

    def end(self) -> None:
        self.seen.append(-1)


@yes("`streamer`、`stopping_criteria`", "是")
def test_streaming_and_stopping(both) -> None:
    def run(model: Any) -> tuple[list[int], torch.Tensor]:
        streamer = _Kept()
        stop = StoppingCriteriaList([MaxLengthCriteria(15)])
        fields = {"streamer": streamer, "stopping_criteria": stop, **GREEDY}
        made = model.generate(IDS[:1], attention_mask=MASK[:1], **fields)
        return streamer.seen, made

    theirs, ours = both(run)
    assert theirs[0] == ours[0] and ours[1].shape == (1, 15)


@yes('`pipeline("text-generation")`', "是")
def test_pipeline(both) -> None:
    vocabulary = {text: i for i, text in enumerate(["<eos>", *map(chr, range(97, 123))])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special: dict[str, Any] = {"eos_token": "<eos>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)

    def run(model: Any) -> list[int]:
        made = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
        out: Any = made("rizhi", return_tensors=True, max_new_tokens=5, do_sample=False)
        return out[0]["generated_token_ids"]

    theirs, ours = both(run)
    assert theirs == ours and len(ours) == 10


@yes('`cache_implementation="static"`', "拒绝")
def test_static_generation(tiny) -> None:
    model = tiny()
    before = model.config.to_dict()
    with pytest.raises(ValueError, match="不支持 StaticCache"):
        model.generate(IDS, attention_mask=MASK, cache_implementation="static", **GREEDY)
    assert model.config.to_dict() == before


@yes("`generate_batch`，连续批处理", "拒绝")
def test_continuous_batching(tiny) -> None:
    model = tiny()
    before = model.config.to_dict(), model.generation_config.to_dict()
    with pytest.raises(ValueError, match="连续批处理"):
        model.generate_batch([[1, 2, 3]])
    with (
        pytest.raises(ValueError, match="连续批处理"),
        model.continuous_batching_context_manager(),
    ):
        pass
    assert (model.config.to_dict(), model.generation_config.to_dict()) == before


# ---- 存取与登记；其余几行的测试在 test_citizen 与 test_hf ----


@yes("`register_for_auto_class`", "拒绝")
def test_registering_for_distribution(tiny, tmp_path) -> None:
    for kind in (LLMConfig, LLMForCausalLM):
        with pytest.raises(ValueError, match=r"不能随检查点分发.*import llm"):
            kind.register_for_auto_class()
    tiny().save_pretrained(tmp_path)  # 什么都没登记上，存得下
    assert not list(tmp_path.glob("*.py"))


@yes("`attn_implementation`：与 `attention_backend` 相合", "是")
@pytest.mark.parametrize(("backend", "name"), [("sdpa", "sdpa"), ("manual", "eager")])
def test_the_config_tells_the_truth(tiny, tmp_path, backend, name) -> None:
    """配置说的就是用的；TRL 会拿它去读参考模型。"""
    model = tiny(attention_backend=backend)
    assert model.config._attn_implementation == name
    model.set_attn_implementation(name)
    model.save_pretrained(tmp_path)
    again = LLMForCausalLM.from_pretrained(tmp_path, attn_implementation=name)
    assert torch.equal(again(IDS).logits, model(IDS).logits)


@yes("`attn_implementation`：不合的，与 flash、flex", "拒绝")
@pytest.mark.parametrize("name", ["eager", "flash_attention_2", "flex_attention"])
def test_attention_implementations(tiny, tmp_path, name) -> None:
    model = tiny()
    model.save_pretrained(tmp_path)
    before = model.config.to_dict()
    with pytest.raises(ValueError, match=f"attn_implementation='{name}'.*attention_backend"):
        model.set_attn_implementation(name)
    assert model.config.to_dict() == before and model.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="attention_backend"):
        LLMForCausalLM.from_pretrained(tmp_path, attn_implementation=name)
    with pytest.raises(ValueError, match="attention_backend"):
        tiny(attn_implementation=name)
    with pytest.raises(ValueError, match="attention_backend='manual' 不合"):
        tiny(attention_backend="manual").set_attn_implementation("sdpa")


# ---- 设备与图 ----


@yes("先在 meta 设备上建，再读权重或 `to_empty`", "是")
def test_meta_device(tiny, tmp_path) -> None:
    model = tiny()
    expected = model(IDS).logits
    model.save_pretrained(tmp_path)
    with init_empty_weights():
        empty = LLMForCausalLM(model.config)
    loaded = load_checkpoint_and_dispatch(empty, str(tmp_path), device_map={"": "cpu"}).eval()
    assert torch.equal(loaded(IDS).logits, expected)
    with torch.device("meta"):
        empty = LLMForCausalLM(model.config)
    empty.to_empty(device="cpu").load_state_dict(model.state_dict())
    assert torch.equal(empty.eval()(IDS).logits, expected)


@yes("`device_map`，放到硬盘", "是")
def test_offloading(tiny, tmp_path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path)
    places = {
        **{f"model.{name}": "cpu" for name in ("embed_tokens", "norm", "rotary_emb", "layers.0")},
        "model.layers.1": "disk",
        "lm_head": "cpu",
    }
    fields = {"device_map": places, "offload_folder": str(tmp_path / "offload")}
    split = LLMForCausalLM.from_pretrained(tmp_path, **fields).eval()
    assert split.model.layers[1].mlp.up_proj.weight.is_meta
    made = split.generate(IDS, attention_mask=MASK, **GREEDY)
    assert torch.equal(made, model.generate(IDS, attention_mask=MASK, **GREEDY))


@yes("FSDP 按块包装", "是")
def test_wrapping_by_block(tiny) -> None:
    """accelerate 由 `_no_split_modules` 找到每块的类：块包，整个模型不包。"""
    model = tiny()
    plugin = FullyShardedDataParallelPlugin(auto_wrap_policy="transformer_based_wrap")
    plugin.set_auto_wrap_policy(model)
    decide = plugin.auto_wrap_policy
    wrapped = {
        name
        for name, part in model.named_modules()
        if decide(module=part, recurse=False, nonwrapped_numel=0)
    }
    assert wrapped == {"model.layers.0", "model.layers.1"}


@yes("`tp_plan`，张量并行", "拒绝")
def test_tensor_parallelism(tiny, tmp_path) -> None:
    tiny().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tp_plan：没有张量并行的切分方案"):
        LLMForCausalLM.from_pretrained(tmp_path, tp_plan="auto")


@yes("`torch.compile(fullgraph=True)`", "是")
def test_compiled_generation(tiny) -> None:
    """编译过的模型接着生成；前向没有断图由 test_bad_input 逐种输入核对。"""
    model = tiny()
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
    with torch.no_grad():
        past = compiled(IDS, attention_mask=MASK, use_cache=True).past_key_values
        step = compiled(IDS[:, :1], past_key_values=past).logits
        whole = model(torch.cat([IDS, IDS[:, :1]], dim=1)).logits[:, -1:]
    torch.testing.assert_close(step, whole, rtol=0, atol=1e-5)


@yes("`torch.export`，长度可变", "是")
@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_exporting(tiny, backend) -> None:
    model = tiny(attention_backend=backend)
    batch = torch.export.Dim("batch", min=1, max=8)
    length = torch.export.Dim("length", min=2, max=60)
    shapes = {"input_ids": {0: batch, 1: length}, "use_cache": None}
    program = torch.export.export(
        model, (IDS,), {"use_cache": False}, dynamic_shapes=shapes
    ).module()
    for ids in (IDS, IDS[:1, :7]):
        actual = program(ids, use_cache=False).logits
        torch.testing.assert_close(actual, model(ids).logits, rtol=0, atol=1e-5)


@yes("`convert_and_export_with_cache`", "拒绝")
def test_exporting_with_a_cache(tiny) -> None:
    with pytest.raises(AssertionError, match="static"):
        convert_and_export_with_cache(tiny())
