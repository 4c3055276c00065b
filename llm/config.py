"""模型的配置：字段沿用 transformers 的叫法，五个家族的差别各是一个开关。

五族的差别（transformers 5.23 各 `modeling_*.py`）：

| 开关 | Llama | Qwen2 | Qwen3 | Glm | Glm4 |
|---|---|---|---|---|---|
| `attention_bias`（q、k、v） | 否 | 是 | 否 | 是 | 是 |
| `qk_norm` | 否 | 否 | 是 | 否 | 否 |
| `rope_interleaved`、旋转一半头宽、`fused_mlp` | 否 | 否 | 否 | 是 | 是 |
| `sandwich_norm` | 否 | 否 | 否 | 否 | 是 |
"""

import math
from types import MappingProxyType
from typing import Any, ClassVar, Dict, List, Mapping, NoReturn, Optional, Tuple, Union

from transformers import PretrainedConfig

_GLM = {
    "num_key_value_heads": 2,
    "head_dim": 128,
    "rms_norm_eps": 1.5625e-7,
    "attention_bias": True,
    "rope_interleaved": True,
    "partial_rotary_factor": 0.5,
    "fused_mlp": True,
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "llama": {},
        "qwen2": {"attention_bias": True},
        "qwen3": {"head_dim": 128, "qk_norm": True},
        "glm": _GLM,
        "glm4": {**_GLM, "sandwich_norm": True},
    }
)

# 不是模型的字段，但 transformers 存取配置时会一并传来，照单交给基类。
_HOUSEKEEPING = frozenset(
    "_attn_implementation _attn_implementation_internal _commit_hash"
    " _experts_implementation_internal _name_or_path attn_implementation auto_map"
    " experts_implementation model_type name_or_path num_labels output_attentions"
    " torch_dtype".split()
)

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
_FLAGS = (
    "attention_bias",
    "attention_output_bias",
    "qk_norm",
    "rope_interleaved",
    "fused_mlp",
    "sandwich_norm",
    "tie_word_embeddings",
    "use_cache",
)
_BACKENDS = ("sdpa", "manual")
# rope_frequency_scaling 认得的几种 rope_type，与各自还要的字段
SCALING_FIELDS: Mapping[str, Tuple[str, ...]] = MappingProxyType(
    {
        "linear": ("factor",),
        "llama3": (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ),
    }
)


NOT_DISTRIBUTED = (
    "register_for_auto_class：llm 有几个互相导入的文件，不能随检查点分发；"
    "用的那边 import llm，AutoConfig 与 AutoModelForCausalLM 就认得存下的文件夹。"
)


class LLMConfig(PretrainedConfig):
    """一个 LLaMA 式语言模型的全部尺寸与开关。

    只认这里列出的字段；`num_key_value_heads` 不写就等于查询头数，`head_dim` 不写就是
    `hidden_size // num_attention_heads`。

    异常：字段不认识、取值或组合不成立时抛 ValueError，一次列出所有问题。
    """

    model_type = "rizhi_llm"
    keys_to_ignore_at_inference: ClassVar[List[str]] = ["past_key_values"]  # Trainer 要的是列表
    auto_map = MappingProxyType({})  # 没有随检查点分发的代码；TRL 按路径建模型时会读它

    vocab_size: int = 6400
    hidden_size: int = 512
    intermediate_size: int = 1408
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    num_key_value_heads: Optional[int] = None
    head_dim: Optional[int] = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    # 放长上下文，例如 {"rope_type": "linear", "factor": 2.0}；HF 弃用了 rope_scaling 这个名字
    rope_frequency_scaling: Optional[Dict[str, Any]] = None
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False
    use_cache: bool = True
    # 家族之间真正的差别
    attention_bias: bool = False  # q、k、v 投影带偏置
    attention_output_bias: bool = False  # o 投影带偏置
    qk_norm: bool = False  # 旋转之前，对每个头的 q、k 各做一次 RMSNorm
    rope_interleaved: bool = False  # 配对 (0,1)(2,3)…；否则 (0,R/2)(1,R/2+1)…
    partial_rotary_factor: float = 1.0  # 每个头只旋转前面这一部分
    fused_mlp: bool = False  # gate 与 up 合成一个矩阵；只是存放方式不同
    sandwich_norm: bool = False  # 两个分支的输出在加回残差之前再各归一化一次
    attention_backend: str = "sdpa"  # "sdpa" 快；"manual" 一步一步写出来，供阅读
    pad_token_id: Optional[int] = None
    bos_token_id: Optional[int] = None
    eos_token_id: Optional[Union[int, List[int]]] = None

    def __post_init__(self, **extra: Any) -> None:
        """补上默认的头数与头宽，检查，再交给 transformers。"""
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        found = [f"{name}={extra[name]!r}：没有这个字段" for name in _unknown(extra)]
        width, heads = self.hidden_size, self.num_attention_heads
        if self.head_dim is None and _is_size(width) and _is_size(heads):
            self.head_dim = max(width // heads, 1)
            if width % heads:
                found.append(
                    f"hidden_size={width}、num_attention_heads={heads}："
                    "没有写 head_dim 时，宽度应能被头数整除"
                )
        _refuse(found + self.problems())
        super().__post_init__(**extra)

    @classmethod
    def preset(cls, family: str, **overrides: Any) -> "LLMConfig":
        """按家族名取一套开关，再用 `overrides` 改其中的字段。

        只预设家族的特征与其默认的 eps、头宽、键值头数；层数、宽度等尺寸仍是本类的小尺寸。

        异常：家族名不认识时抛 ValueError。
        """
        if family not in PRESETS:
            raise ValueError(f"没有名为 {family!r} 的家族；现有：{'、'.join(PRESETS)}。")
        return cls(**{**PRESETS[family], **overrides})

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig") -> NoReturn:
        """transformers 会把类所在的那一个文件抄进检查点，而 `llm` 是互相导入的几个文件。"""
        raise ValueError(NOT_DISTRIBUTED)

    @property
    def rotary_dim(self) -> int:
        """每个头参与旋转的宽度 R。"""
        return int(self.head_dim * self.partial_rotary_factor)

    def check(self) -> None:
        """有不成立的字段就抛 ValueError；建模型时也查，因为字段在构造之后还可能被改写。"""
        _refuse(self.problems())

    def problems(self) -> List[str]:
        """逐条说出不成立的字段；空列表表示可以建模型。"""
        found = [
            f"{name}={getattr(self, name)!r}：应为正整数"
            for name in _SIZES
            if not _is_size(getattr(self, name))
        ]
        found += [
            f"{name}={getattr(self, name)!r}：应为 True 或 False"
            for name in _FLAGS
            if not isinstance(getattr(self, name), bool)
        ]
        found += [
            f"{name}={getattr(self, name)!r}：应为大于 0 的有限数"
            for name in ("rms_norm_eps", "rope_theta", "initializer_range")
            if not _is_positive(getattr(self, name))
        ]
        if self.attention_backend not in _BACKENDS:
            found.append(f"attention_backend={self.attention_backend!r}：只能是 sdpa 或 manual")
        return found + self._impossible_heads() + _wrong_scaling(self.rope_frequency_scaling)

    def _impossible_heads(self) -> List[str]:
        """头数、头宽与旋转宽度之间说不通的地方。"""
        found = []
        heads, groups, width = self.num_attention_heads, self.num_key_value_heads, self.head_dim
        if _is_size(heads) and _is_size(groups) and heads % groups:
            found.append(
                f"num_attention_heads={heads}、num_key_value_heads={groups}："
                "查询头数应是键值头数的整数倍"
            )
        if _is_size(width) and width % 2:
            found.append(f"head_dim={width}：RoPE 把分量两两配对，应为偶数")
        if not _is_positive(self.partial_rotary_factor) or self.partial_rotary_factor > 1:
            found.append(f"partial_rotary_factor={self.partial_rotary_factor!r}：应在 (0, 1] 之内")
        elif _is_size(width) and width % 2 == 0 and (self.rotary_dim < 2 or self.rotary_dim % 2):
            found.append(
                f"head_dim={width}、partial_rotary_factor={self.partial_rotary_factor}："
                f"旋转宽度 {self.rotary_dim} 应为正偶数"
            )
        return found


def _wrong_scaling(scaling: Optional[Dict[str, Any]]) -> List[str]:
    """rope_frequency_scaling 里说不通的地方。"""
    if scaling is None:
        return []
    kind = scaling.get("rope_type") if isinstance(scaling, dict) else None
    if kind not in SCALING_FIELDS:
        return [f"rope_frequency_scaling={scaling!r}：rope_type 只能是 {'、'.join(SCALING_FIELDS)}"]
    names = SCALING_FIELDS[kind]
    if set(scaling) != {"rope_type", *names}:
        return [f"rope_frequency_scaling={scaling!r}：{kind} 要且只要 {'、'.join(names)}"]
    found = [
        f"rope_frequency_scaling 的 {name}={scaling[name]!r}：应为大于 0 的有限数"
        for name in names
        if not _is_positive(scaling[name])
    ]
    if not found and kind == "llama3" and scaling["low_freq_factor"] >= scaling["high_freq_factor"]:
        found.append("rope_frequency_scaling 的 low_freq_factor 应小于 high_freq_factor")
    return found


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < math.inf


def _unknown(extra: Mapping[str, Any]) -> List[str]:
    return sorted(name for name in extra if name not in _HOUSEKEEPING)


def _refuse(problems: List[str]) -> None:
    if problems:
        raise ValueError("配置不成立：" + "；".join(problems) + "。")
