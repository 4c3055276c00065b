"""配置：认得的字段、家族的开关，以及一次说全所有不对的地方。"""

import pytest

from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS

# transformers 5.23 各家默认的特征；键值头数与头宽只有 GLM 两家写死
FLAGS = (
    "attention_bias",
    "qk_norm",
    "rope_interleaved",
    "partial_rotary_factor",
    "fused_mlp",
    "sandwich_norm",
)
EXPECTED = {
    "llama": (False, False, False, 1.0, False, False),
    "qwen2": (True, False, False, 1.0, False, False),
    "qwen3": (False, True, False, 1.0, False, False),
    "glm": (True, False, True, 0.5, True, False),
    "glm4": (True, False, True, 0.5, True, True),
}


LINEAR = {"rope_type": "linear", "factor": 2.0}
LEVEL = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 4.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize("family", PRESETS)
def test_preset_flags(family) -> None:
    config = LLMConfig.preset(family)
    assert tuple(getattr(config, flag) for flag in FLAGS) == EXPECTED[family]
    assert config.attention_output_bias is False
    LLMForCausalLM(LLMConfig.preset(family, num_hidden_layers=1, vocab_size=8))


def test_preset_values_that_differ_from_our_defaults() -> None:
    assert LLMConfig.preset("qwen3").head_dim == 128
    glm = LLMConfig.preset("glm")
    assert (glm.num_key_value_heads, glm.head_dim, glm.rms_norm_eps) == (2, 128, 1.5625e-7)
    assert LLMConfig.preset("glm", head_dim=16, qk_norm=True).head_dim == 16


def test_unknown_family() -> None:
    with pytest.raises(ValueError, match="没有名为 'gpt2' 的家族；现有：llama、qwen2、qwen3、glm"):
        LLMConfig.preset("gpt2")


def test_defaults_follow_the_heads() -> None:
    config = LLMConfig(hidden_size=48, num_attention_heads=6)
    assert (config.num_key_value_heads, config.head_dim, config.rotary_dim) == (6, 8, 8)
    assert LLMConfig(head_dim=64, partial_rotary_factor=0.25).rotary_dim == 16


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ValueError) as caught:
        LLMConfig(
            hiden_size=64,  # type: ignore[call-arg]
            dropout=0.1,
            vocab_size=0,
            hidden_size="64",  # type: ignore[arg-type]
            num_attention_heads=6,
            num_key_value_heads=4,
            head_dim=7,
            rms_norm_eps=float("nan"),
            rope_theta=float("inf"),
            attention_bias=1,  # type: ignore[arg-type]
            partial_rotary_factor=1.5,
            attention_backend="flash",
        )
    message = str(caught.value)
    for part in (
        "hiden_size=64：没有这个字段",
        "dropout=0.1：没有这个字段",
        "vocab_size=0：应为正整数",
        "hidden_size='64'：应为正整数",
        "num_attention_heads=6、num_key_value_heads=4：",
        "head_dim=7：",
        "rms_norm_eps=nan：",
        "rope_theta=inf：",
        "attention_bias=1：应为 True 或 False",
        "partial_rotary_factor=1.5：应在 (0, 1] 之内",
        "attention_backend='flash'：只能是 sdpa 或 manual",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size=30、num_attention_heads=4"),
        ({"head_dim": 9}, "head_dim=9"),
        ({"head_dim": 6, "partial_rotary_factor": 0.5}, "旋转宽度 3 应为正偶数"),
        ({"head_dim": 8, "partial_rotary_factor": 0.1}, "旋转宽度 0 应为正偶数"),
        ({"num_attention_heads": 4, "num_key_value_heads": 8}, "查询头数应是键值头数的整数倍"),
        ({"num_hidden_layers": True}, "num_hidden_layers=True"),
        ({"max_position_embeddings": -1}, "max_position_embeddings=-1"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps=0.0"),
        ({"attention_backend": "eager"}, "attention_backend='eager'"),
        ({"use_cache": None}, "use_cache=None"),
        ({"rope_scaling": LINEAR}, "rope_scaling="),
        ({"rope_frequency_scaling": {"type": "yarn"}}, "rope_type 只能是 linear、llama3"),
        ({"rope_frequency_scaling": "linear"}, "rope_type 只能是 linear、llama3"),
        ({"rope_frequency_scaling": {"rope_type": "linear"}}, "linear 要且只要 factor"),
        ({"rope_frequency_scaling": {**LINEAR, "beta": 1}}, "linear 要且只要 factor"),
        ({"rope_frequency_scaling": {**LINEAR, "factor": 0}}, "rope_frequency_scaling 的 factor=0"),
        ({"rope_frequency_scaling": LEVEL}, "low_freq_factor 应小于 high_freq_factor"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_fields_raise(fields, message) -> None:
    with pytest.raises(ValueError, match="配置不成立") as caught:
        LLMConfig(**fields)
    assert message in str(caught.value)


def test_a_field_changed_later_is_caught_when_building() -> None:
    config = LLMConfig()
    config.head_dim = 7
    with pytest.raises(ValueError, match="head_dim=7"):
        LLMForCausalLM(config)


@pytest.mark.parametrize("family", PRESETS)
def test_round_trip(tmp_path, family) -> None:
    """存下再读回，一个字段不差；transformers 自己的簿记字段不算不认识。"""
    tokens = {"pad_token_id": 3, "eos_token_id": [4, 5], "bos_token_id": 6}
    config = LLMConfig.preset(family, rope_theta=5e5, dtype="bfloat16", **tokens)
    config.save_pretrained(tmp_path)
    again = LLMConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict() and again.eos_token_id == [4, 5]
    manual = LLMConfig.from_pretrained(tmp_path, attention_backend="manual")
    assert manual.attention_backend == "manual"
