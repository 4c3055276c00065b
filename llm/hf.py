"""与 transformers 打交道的事：它对一个模型类的约定，与读它存下的检查点文件夹。

约定的全表与每条做不做，见 docs/guide/transformers.md。
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Dict, List, NoReturn, Optional, Type, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from llm.checks import check_cache
from llm.config import NOT_DISTRIBUTED, PRESETS, SCALING_FIELDS, LLMConfig

Model = TypeVar("Model", bound=PreTrainedModel)

_PARALLEL = ("tp_plan", "tp_size", "distributed_config")
_SAME_NAME = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
    " num_key_value_heads max_position_embeddings rms_norm_eps initializer_range"
    " tie_word_embeddings use_cache pad_token_id bos_token_id eos_token_id"
).split()


class LLMPreTrainedModel(PreTrainedModel):
    """transformers、accelerate、peft 要从模型类上读的几件事；数学都在 `llm.model`。"""

    config_class = LLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True  # 损失自己除以 num_items_in_batch，Trainer 便不再除以累积步数
    _supports_sdpa = True
    _no_split_modules: ClassVar = ["TransformerBlock"]  # accelerate 与 FSDP 按它切分
    _skip_keys_device_placement: ClassVar = ["past_key_values"]  # 缓存就地更新，不许拷一份
    _keys_to_ignore_on_load_unexpected: ClassVar = [r"rotary_emb\.inv_freq"]  # 旧检查点存了频率

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """旋转表不随权重保存，from_pretrained 读回的是没有初始化的内存：在此重填。"""
        super()._init_weights(module)
        fill = getattr(module, "fill", None)  # llm.model.RotaryEmbedding 的；导入它就成环了
        if callable(fill):
            fill()

    @classmethod
    def from_pretrained(cls: Type[Model], *args: Any, **kwargs: Any) -> Model:
        """读存下的文件夹；要张量并行而没有切分方案时，transformers 会悄悄每张卡各放一整份。"""
        asked = [name for name in _PARALLEL if kwargs.get(name) is not None]
        if asked:
            raise ValueError(f"{'、'.join(asked)}：没有张量并行的切分方案；多卡请用 DDP 或 FSDP。")
        return super().from_pretrained(*args, **kwargs)

    def _check_and_adjust_attn_implementation(
        self, attn_implementation: Optional[str], *args: Any, **kwargs: Any
    ) -> str:
        """建模型与 `set_attn_implementation` 都先问这里；配置在这之后才改，拒绝就一个字不变。"""
        backend = self.config.attention_backend
        ours = "eager" if backend == "manual" else "sdpa"  # 我们的写法，用 transformers 的名字说
        if attn_implementation not in (None, ours):
            raise ValueError(
                f"attn_implementation={attn_implementation!r} 与 attention_backend={backend!r} "
                '不合：注意力的写法由 attention_backend 选，"sdpa" 快，'
                '"manual"（即 eager）一步一步写出来。'
            )
        return ours

    def _can_set_attn_implementation(self) -> bool:  # type: ignore[override]
        """交给上面那个方法去判；否则 transformers 只记一条日志，不拒绝。"""
        return True

    def wants_cache(self, use_cache: Optional[bool], past: Optional[object], packed: bool) -> bool:
        """没说要不要缓存就照配置；梯度检查点与打包的行不用缓存，明说要就报错。"""
        replay = bool(self.gradient_checkpointing) and self.training
        if use_cache is None:
            use_cache = self.config.use_cache and not replay and not packed
        check_cache(use_cache, past, replay, packed)
        return use_cache

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoModel") -> NoReturn:
        """transformers 会把类所在的那一个文件抄进检查点，而 `llm` 是互相导入的几个文件。"""
        raise ValueError(NOT_DISTRIBUTED)

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> NoReturn:
        """`generate_batch` 也从这里进；它要分页的缓存，这里没有。"""
        raise ValueError(
            "连续批处理（generate_batch）要分页的键值缓存，这个模型没有；"
            "把提示左填充成一批，用 generate。"
        )


def load_checkpoint(cls: Type[Model], folder: Path) -> Model:
    """按 `read_config` 建模型并读入全部权重与生成配置；数值类型照文件里的来。

    异常：文件夹或权重缺失、损坏，名字或形状对不上，抛 ValueError。
    """
    config = read_config(folder)
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} 里没有 .safetensors 权重；没有读入任何东西。")
    try:
        model, info = cls.from_pretrained(
            folder,
            config=config,
            dtype="auto",
            local_files_only=True,
            ignore_mismatched_sizes=True,  # 不在半路抛英文错误，下面与缺失的一并报
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{folder} 的权重读不出来：{error}") from error
    wrong = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if wrong:
        raise ValueError(f"{folder} 的权重与 config.json 对不上：{wrong}")
    return model


def read_config(folder: Path) -> LLMConfig:
    """把 config.json 译成 LLMConfig；没写的字段取 transformers 对该家族的默认值。

    RoPE 的底数在 4.x 里是顶层的 rope_theta，在 5.x 里是 rope_parameters 中的一项，两种都认。

    异常：不是五个家族之一，或用到了模型不做的事，抛 ValueError，一次列出所有原因。
    """
    path = folder / "config.json"
    raw = read_json(path)
    family = raw.get("model_type")
    if family not in PRESETS:
        raise ValueError(f"{path}：model_type 是 {family!r}，只读得懂 {'、'.join(PRESETS)}。")
    try:
        theirs = AutoConfig.for_model(**raw)
    except Exception as error:  # 它的校验错误各有其类，不都是 ValueError
        raise ValueError(f"{path}：transformers 不认这份配置：{error}") from error
    problems = _unsupported(raw, theirs)
    if problems:
        raise ValueError(f"{path}：这个模型不做的事：" + "；".join(problems) + "。")
    return _translate(family, theirs)


def read_json(path: Path) -> Dict[str, Any]:
    """异常：读不出来，或不是一个 JSON 对象，抛 ValueError。"""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} 读不出来：{error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path} 应是一个 JSON 对象，却是 {type(raw).__name__}。")
    return raw


def _unsupported(raw: Dict[str, Any], theirs: PretrainedConfig) -> List[str]:
    """这份配置要而 llm/ 不做的事，逐条写明。"""
    rope = theirs.rope_parameters["rope_type"]
    sliding = "sliding_attention" in (getattr(theirs, "layer_types", None) or ())
    checks = {
        f"RoPE 缩放 rope_type={rope!r}": rope not in ("default", *SCALING_FIELDS),
        "mlp_bias=True": raw.get("mlp_bias"),
        "滑动窗口 sliding_window": sliding or raw.get("use_sliding_window"),
        f"激活函数 hidden_act={theirs.hidden_act!r}": theirs.hidden_act not in ("silu", "swish"),
        f"attention_dropout={theirs.attention_dropout}": theirs.attention_dropout,
        "量化 quantization_config": raw.get("quantization_config"),
    }
    return [reason for reason, refused in checks.items() if refused]


def _translate(family: str, theirs: PretrainedConfig) -> LLMConfig:
    """同名字段照抄，其余几样存法不同。"""
    fields = {name: getattr(theirs, name) for name in _SAME_NAME}
    fields["head_dim"] = getattr(theirs, "head_dim", None)
    rope = theirs.rope_parameters
    fields["rope_theta"] = rope["rope_theta"]
    if rope["rope_type"] != "default":
        names = ("rope_type", *SCALING_FIELDS[rope["rope_type"]])
        fields["rope_frequency_scaling"] = {name: rope[name] for name in names}
    if family in ("glm", "glm4"):  # 其余三家即使写了，transformers 也不看
        fields["partial_rotary_factor"] = rope.get("partial_rotary_factor", 1.0)
    if family != "qwen2":  # Qwen2 的偏置写死在代码里，配置里没有这个字段
        fields["attention_bias"] = theirs.attention_bias
    # Llama 与 Qwen3 的 attention_bias 连 o 投影一起管，Glm 只管 q、k、v
    fields["attention_output_bias"] = family in ("llama", "qwen3") and theirs.attention_bias
    return LLMConfig.preset(family, **fields)
