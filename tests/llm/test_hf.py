"""读 transformers 的检查点文件夹：五个家族、两种 RoPE 写法、单个与分片，读不懂的说清楚。"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS
from llm.hf import read_config
from llm.model import greedy_generate

FAMILIES = tuple(PRESETS)
IDS = torch.arange(14).view(2, 7)


@pytest.fixture
def saved(theirs, tmp_path):
    """`saved(family, **overrides)`：存下一个 transformers 的小模型，返回 (模型, 文件夹)。"""

    def save(family: str, shard: str = "5GB", **overrides):
        model = theirs(family, **overrides)
        model.save_pretrained(tmp_path, max_shard_size=shard)
        return model, tmp_path

    return save


def _edit(folder: Path, **fields) -> None:
    """改 config.json 里的字段；值为 None 就删掉。"""
    path = folder / "config.json"
    raw = {**json.loads(path.read_text("utf-8")), **fields}
    kept = {name: value for name, value in raw.items() if value is not None}
    path.write_text(json.dumps(kept), "utf-8")


def _as_4x(folder: Path) -> None:
    """改写成 transformers 4.x 的样子：RoPE 的参数在顶层。"""
    raw = json.loads((folder / "config.json").read_text("utf-8"))
    rope = raw["rope_parameters"]
    _edit(
        folder,
        rope_parameters=None,
        rope_theta=rope["rope_theta"],
        partial_rotary_factor=rope.get("partial_rotary_factor"),
        torch_dtype=raw["dtype"],
        dtype=None,
    )


def _same(folder: Path, theirs) -> LLMForCausalLM:
    ours = LLMForCausalLM.from_hf(folder)
    assert not ours.training
    torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=0, atol=1e-5)
    return ours


@pytest.mark.parametrize("shard", ["5GB", "20KB"], ids=["single", "sharded"])
@pytest.mark.parametrize("form", ["5.x", "4.x"])
@pytest.mark.parametrize("family", FAMILIES)
def test_reads_every_family(saved, family, form, shard) -> None:
    theirs, folder = saved(family, shard)
    assert (len(list(folder.glob("*.safetensors"))) > 1) == (shard == "20KB")
    if form == "4.x":
        _as_4x(folder)
    ours = _same(folder, theirs)
    assert torch.equal(greedy_generate(ours, IDS, 5), greedy_generate(theirs, IDS, 5))


@pytest.mark.parametrize("form", ["5.x", "4.x"])
@pytest.mark.parametrize("family", FAMILIES)
def test_reads_the_rope_base(saved, family, form) -> None:
    """底数不是默认值时，两种写法都读得对。"""
    part = {"partial_rotary_factor": 0.25} if family.startswith("glm") else {}
    rope = {"rope_type": "default", "rope_theta": 5e5, **part}
    theirs, folder = saved(family, rope_parameters=rope)
    if form == "4.x":
        _as_4x(folder)
    config = _same(folder, theirs).config
    assert config.rope_theta == 5e5 and config.partial_rotary_factor == (0.25 if part else 1.0)


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
SCALINGS = {"llama3": LLAMA3, "linear": {"rope_type": "linear", "factor": 4.0}}


@pytest.mark.guide("`rope_type`：`default`、`linear`、`llama3`", "是")
@pytest.mark.parametrize("form", ["5.x", "4.x"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", SCALINGS)
def test_reads_the_rope_scaling(saved, kind, family, form) -> None:
    """放慢了的旋转：直到旋转表的最后一行都与 transformers 相等；存成我们的再读回不变。"""
    scaling = SCALINGS[kind]
    part = {"partial_rotary_factor": 0.5} if family.startswith("glm") else {}
    rope = {**scaling, "rope_theta": 1e4, **part}
    theirs, folder = saved(family, rope_parameters=rope)
    if form == "4.x":
        named = {"type" if name == "rope_type" else name: v for name, v in scaling.items()}
        _edit(folder, rope_parameters=None, rope_theta=1e4, rope_scaling=named, **part)
    ours = _same(folder, theirs)
    ids = torch.randint(61, (2, 64))
    logits = ours(ids).logits
    torch.testing.assert_close(logits, theirs(ids).logits, rtol=0, atol=1e-5)
    ours.save_pretrained(folder / "ours")
    again = LLMForCausalLM.from_pretrained(folder / "ours")
    assert again.config.rope_frequency_scaling == scaling and torch.equal(again(ids).logits, logits)
    plain = LLMConfig(**{**ours.config.to_dict(), "rope_frequency_scaling": None})
    unscaled = LLMForCausalLM(plain).eval()
    unscaled.load_state_dict(ours.state_dict())
    assert (unscaled(ids).logits - logits).abs().max() > 1e-3  # 真的放慢了


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_fields_take_the_familys_defaults(saved, family) -> None:
    """没写的字段取 transformers 对该家族的默认值，不是我们的。"""
    overrides = {"rms_norm_eps": None, "head_dim": None, "rope_parameters": None}
    _, folder = saved(family)
    _edit(folder, **overrides)
    config = read_config(folder)
    glm = family.startswith("glm")
    assert config.rms_norm_eps == (1.5625e-7 if glm else 1e-6)
    assert config.head_dim == (128 if glm or family == "qwen3" else 8)
    assert config.rope_theta == 1e4 and config.partial_rotary_factor == (0.5 if glm else 1.0)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_attention_bias_reaches_the_output(saved, family) -> None:
    theirs, folder = saved(family, attention_bias=True)
    config = _same(folder, theirs).config
    assert config.attention_bias and config.attention_output_bias


def test_partial_rotary_counts_for_glm_only(saved) -> None:
    """Llama 的配置里即使写了 partial_rotary_factor，transformers 也不看；我们也不看。"""
    theirs, folder = saved("llama")
    rope = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    _edit(folder, rope_parameters=rope)
    assert _same(folder, theirs).config.partial_rotary_factor == 1.0


def test_tied_embeddings(saved) -> None:
    theirs, folder = saved("qwen2", tie_word_embeddings=True)
    ours = _same(folder, theirs)
    assert ours.lm_head.weight is ours.model.embed_tokens.weight


def test_old_checkpoints_with_inverse_frequencies(saved) -> None:
    """旧的 Llama 检查点每层存了一份 inv_freq；能重算，不算多余。"""
    theirs, folder = saved("llama")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _same(folder, theirs)


def test_token_ids(saved) -> None:
    """词元号：config.json 里的进配置，generation_config.json 里的进生成配置。"""
    tokens = {"pad_token_id": 3, "bos_token_id": 4, "eos_token_id": [5, 6]}
    _, folder = saved("llama", **tokens)
    GenerationConfig(eos_token_id=[5, 6, 7], pad_token_id=8).save_pretrained(folder)
    ours = LLMForCausalLM.from_hf(folder)
    assert {name: getattr(ours.config, name) for name in tokens} == tokens
    assert ours.generation_config.eos_token_id == [5, 6, 7]
    assert ours.generation_config.pad_token_id == 8
    (folder / "generation_config.json").unlink()
    again = LLMForCausalLM.from_hf(folder)
    assert again.generation_config.eos_token_id == [5, 6]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_dtype_follows_the_files(saved, dtype) -> None:
    model, folder = saved("llama")
    model.to(dtype).save_pretrained(folder)
    ours = LLMForCausalLM.from_hf(folder)
    assert ours.dtype == dtype and ours.model.rotary_emb.cos.dtype == torch.float32


def test_a_path_as_text(saved) -> None:
    theirs, folder = saved("llama")
    ours = LLMForCausalLM.from_hf(str(folder))
    assert torch.equal(ours(IDS).logits, theirs(IDS).logits)


def test_read_then_saved_as_ours(saved, tmp_path) -> None:
    """读进来的模型存成我们自己的格式，再读回一位不差。"""
    theirs, folder = saved("glm4")
    LLMForCausalLM.from_hf(folder).save_pretrained(tmp_path / "ours")
    again = LLMForCausalLM.from_pretrained(tmp_path / "ours")
    assert torch.equal(again(IDS).logits, theirs(IDS).logits)


@pytest.mark.guide("`rope_type`：`dynamic`、`yarn`、`longrope`", "拒绝")
@pytest.mark.parametrize("kind", ["dynamic", "yarn", "longrope"])
def test_other_rope_scalings(saved, kind) -> None:
    """transformers 认得而这里不做的几种：读的时候拒绝，不当作没有缩放。"""
    _, folder = saved("llama")
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8} if kind == "longrope" else {}
    scaling = {"rope_type": kind, "factor": 4.0, "original_max_position_embeddings": 32, **factors}
    _edit(folder, rope_parameters={**scaling, "rope_theta": 1e4})
    with pytest.raises(ValueError, match=f"RoPE 缩放 rope_type='{kind}'"):
        LLMForCausalLM.from_hf(folder)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        ("llama", {"model_type": "mistral"}, "model_type 是 'mistral'，只读得懂 llama、qwen2"),
        ("llama", {"model_type": "gpt2"}, "model_type 是 'gpt2'"),
        ("llama", {"model_type": None}, "model_type 是 None"),
        ("llama", {"rope_parameters": {**YARN, "rope_theta": 1e4}}, "RoPE 缩放 rope_type='yarn'"),
        ("qwen2", {"rope_parameters": None, "rope_scaling": YARN}, "RoPE 缩放 rope_type='yarn'"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None},
         "RoPE 缩放 rope_type='dynamic'"),
        ("llama", {"mlp_bias": True}, "mlp_bias=True"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0,
                   "layer_types": None}, "滑动窗口"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "滑动窗口"),
        ("glm", {"hidden_act": "gelu"}, "激活函数 hidden_act='gelu'"),
        ("llama", {"attention_dropout": 0.1}, "attention_dropout=0.1"),
        ("llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "量化"),
        ("llama", {"num_attention_heads": 3}, "transformers 不认这份配置"),
        ("llama", {"hidden_size": "32"}, "transformers 不认这份配置"),
        ("qwen2", {"num_key_value_heads": 3}, "num_attention_heads=4、num_key_value_heads=3"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_do(saved, family, fields, message) -> None:
    _, folder = saved(family)
    _edit(folder, **fields)
    with pytest.raises(ValueError, match=message):
        LLMForCausalLM.from_hf(folder)


def test_every_reason_at_once(saved) -> None:
    _, folder = saved("llama")
    _edit(folder, mlp_bias=True, hidden_act="relu", rope_parameters={**YARN, "rope_theta": 1e4})
    with pytest.raises(ValueError) as caught:
        LLMForCausalLM.from_hf(folder)
    for part in (str(folder / "config.json"), "mlp_bias", "hidden_act='relu'", "'yarn'"):
        assert part in str(caught.value)


def test_our_own_folder_is_not_an_hf_checkpoint(tiny, tmp_path) -> None:
    tiny().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type 是 'rizhi_llm'"):
        LLMForCausalLM.from_hf(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config.json 读不出来"),
        (b"{", "config.json 读不出来"),
        (b"\xff\xfe{}", "config.json 读不出来"),
        (b"[1]", "应是一个 JSON 对象，却是 list"),
    ],
    ids=["missing", "truncated", "utf16", "list"],
)
def test_bad_config_file(saved, content, message) -> None:
    _, folder = saved("llama")
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        LLMForCausalLM.from_hf(folder)


def test_no_weights(saved) -> None:
    _, folder = saved("llama")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"没有 \.safetensors 权重；没有读入任何东西"):
        LLMForCausalLM.from_hf(folder)


def test_truncated_weights(saved) -> None:
    _, folder = saved("llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="的权重读不出来"):
        LLMForCausalLM.from_hf(folder)


def test_a_missing_shard(saved) -> None:
    _, folder = saved("llama", "20KB")
    next(iter(folder.glob("*-00002-of-*.safetensors"))).unlink()
    with pytest.raises(ValueError, match="的权重读不出来"):
        LLMForCausalLM.from_hf(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("model.norm.weight"), "missing_keys.*model.norm.weight"),
        (lambda w: w.update(extra=torch.ones(2)), "unexpected_keys.*extra"),
        (lambda w: w.update({"model.norm.weight": torch.ones(7)}), "mismatched_keys.*model.norm"),
    ],
    ids=["missing", "unexpected", "mismatched"],
)
def test_weights_that_do_not_fit(saved, change, message) -> None:
    _, folder = saved("llama")
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"对不上.*{message}"):
        LLMForCausalLM.from_hf(folder)
