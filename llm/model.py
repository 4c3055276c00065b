r"""LLaMA 式语言模型，从上往下读：归一化、旋转位置、掩码、注意力、前馈层、块、模型、生成。

五个家族的差别全是 `LLMConfig` 里的开关，参数名与 transformers 一致。行末的形状是等号左边
变量的形状（return 则是返回值的），字母全站统一：

    B  批大小（batch）           H  查询头数            V  词表大小
    T  这次输入的词元数（time）  K  键、值头数          I  前馈层的中间维度
    S  键的总数，过去 + T        D  每个头的宽度        R  每个头旋转的宽度，R ≤ D
    C  模型宽度（width）         N  头数，H 或 K        P  旋转表的行数

凡是「也可以选另一边」的约定，都在用到它的地方写明：掩码里 True = 看得见；RoPE 逆时针转
$+m\theta$，默认按前后两半配对；softmax 在 fp32 里算，再转回原来的类型。
"""

import math
from functools import partial
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from llm.checks import (
    check_inputs,
    check_keep,
    check_options,
    check_padding,
    past_length,
)
from llm.config import LLMConfig
from llm.hf import LLMPreTrainedModel, load_checkpoint
from llm.loss import next_token_loss

KeyValue = Tuple[Tensor, Tensor]  # 一层的键与值，各 (B, K, S, D)
LayerPast = Optional[Union[Cache, KeyValue]]  # 一层看到的过去：共用的缓存，或它自己那一对
Past = Union[Cache, Tuple[KeyValue, ...]]  # transformers 的缓存，或每层一对键与值


class RMSNorm(nn.Module):
    r"""按均方根归一化：$y = w \odot x / \sqrt{\mathrm{mean}(x^2) + \epsilon}$，不减均值。

    形状：(…, n) → (…, n)，`weight` 为 (n,)。
    来源：Zhang & Sennrich 2019, Root Mean Square Layer Normalization, §4。
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))  # (n,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """归一化在 fp32 里算，转回原类型之后才乘权重（与 transformers 同序）。"""
        wide = x.float()
        scale = torch.rsqrt((wide * wide).mean(-1, keepdim=True) + self.eps)  # (..., 1)
        return self.weight * (wide * scale).to(x.dtype)  # (..., n)


def scale_frequency(frequency: Tensor, scaling: Optional[Mapping[str, Any]]) -> Tensor:
    r"""把旋转放慢，好用到比训练时更长的上下文；没有 scaling 就原样返回。

    `linear` 全部除以 factor。`llama3` 看一个频率在原来的上下文里转了几圈：不足 low_freq_factor 圈
    的除以 factor，超过 high_freq_factor 圈的不动，两者之间按圈数线性过渡。

    形状：(R/2,) → (R/2,)。
    来源：Chen et al. 2023, Position Interpolation, §2.3；transformers 的 `rope_type: llama3`。
    """
    if scaling is None:
        return frequency
    slow = frequency / scaling["factor"]  # (R/2,)
    if scaling["rope_type"] == "linear":
        return slow
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)  # (R/2,)
    unscaled = ((turns - low) / (high - low)).clamp(0, 1)  # (R/2,)，不动的那部分占多少
    return (1 - unscaled) * slow + unscaled * frequency  # (R/2,)


class RotaryEmbedding(nn.Module):
    r"""旋转位置编码的查表：第 m 行是 $\cos m\theta_i$ 与 $\sin m\theta_i$，$i = 0 … R/2-1$。

    形状：位置 (B, T) → cos、sin 各 (B, 1, T, R/2)，中间的 1 对着头。
    来源：Su et al. 2021, RoFormer, §3.2.2：$\theta_i = \text{base}^{-2i/R}$。
    """

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("cos", torch.empty(0), persistent=False)
        self.register_buffer("sin", torch.empty(0), persistent=False)
        self.fill()

    def fill(self) -> None:
        """填表；from_pretrained 不保存这两张表，读回后也由它重填（见 `_init_weights`）。"""
        P, R = self.config.max_position_embeddings, self.config.rotary_dim
        count = partial(torch.arange, dtype=torch.float32, device=self.cos.device)
        frequency = 1.0 / self.config.rope_theta ** (count(0, R, 2) / R)  # (R/2,)
        frequency = scale_frequency(frequency, self.config.rope_frequency_scaling)  # (R/2,)
        angle = count(P)[:, None] * frequency  # (P, R/2)
        self.cos = angle.cos()  # (P, R/2)
        self.sin = angle.sin()  # (P, R/2)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RotaryEmbedding":
        """`.to(bf16)` 会把表转窄（只剩 8 位二进制有效数字），`to_empty` 给的是脏内存：一律重填。"""
        super()._apply(fn, recurse)
        self.fill()
        return self

    def forward(self, position_ids: Tensor, dtype: torch.dtype) -> Tuple[Tensor, Tensor]:
        """查表，查到之后才转成计算用的类型。"""
        cos = self.cos[position_ids].unsqueeze(1).to(dtype)  # (B, 1, T, R/2)
        sin = self.sin[position_ids].unsqueeze(1).to(dtype)  # (B, 1, T, R/2)
        return cos, sin


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    r"""把每一对分量 (a, b) 逆时针转 $m\theta$：$(a\cos - b\sin,\ b\cos + a\sin)$。

    默认前后两半配对：第 i 个与第 i + R/2 个（transformers 的 Llama、Qwen）；`interleaved`
    则相邻两个配对（论文与 GLM）。两者只差 q、k 投影的行序。头宽超出 R 的部分原样通过。

    形状：x (B, N, T, D)，cos、sin (B, 1, T, R/2) → (B, N, T, D)。
    来源：Su et al. 2021, RoFormer, §3.4.2。
    """
    R = 2 * cos.shape[-1]
    if R < x.shape[-1]:
        turned = apply_rotary(x[..., :R], cos, sin, interleaved)  # (B, N, T, R)
        return torch.cat([turned, x[..., R:]], dim=-1)  # (B, N, T, D)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)  # 各 (B, N, T, R/2)
    pair = [a * cos - b * sin, b * cos + a * sin]
    if interleaved:
        return torch.stack(pair, dim=-1).flatten(-2)  # (B, N, T, R)
    return torch.cat(pair, dim=-1)  # (B, N, T, R)


def causal_mask(
    T: int, past: int = 0, padding: Optional[Tensor] = None, device: Optional[torch.device] = None
) -> Tensor:
    """因果掩码，有 padding 就连同填充一起挡住：一张布尔掩码，True = 看得见。

    第 t 个查询的绝对位置是 past + t，只能看到位置不大于它的键。`padding` 里 1 = 真词元；
    它可以盖住全部 S 个键，也可以只盖住新来的 T 个（过去的便都算真词元）。
    用布尔而不用加一个大负数：-1e9 在 fp16 里是 -inf，一行全是 -inf 时 softmax 得 NaN。

    形状：padding (B, S) 或 (B, T)，S = past + T → (B, 1, T, S)；没有 padding 则 (1, 1, T, S)。
    异常：padding 不是二维，或其长度既不是 T 也不是 S，抛 ValueError。
    来源：Vaswani et al. 2017, Attention Is All You Need, §3.2.3。
    """
    S = past + T
    if padding is not None:
        device = padding.device
    key = torch.arange(S, device=device)  # (S,)
    query = torch.arange(past, S, device=device)[:, None]  # (T, 1)
    causal = (key <= query)[None, None]  # (1, 1, T, S)
    if padding is None:
        return causal
    check_padding(padding, T, S)
    real = F.pad(padding.bool(), (S - padding.shape[1], 0), value=True)  # (B, S)
    return causal & real[:, None, None, :]  # (B, 1, T, S)


def document_mask(position_ids: Tensor) -> Tensor:
    """一行里首尾相接放了几篇文字时的掩码：只看得见同一篇里、不在自己之后的词元。

    没有别的东西说明哪里换了一篇，只看位置：不是上一个位置加一，就是新的一篇
    （transformers 也这样认）。

    形状：(B, T) → (B, 1, T, T)。
    来源：Raffel et al. 2020, T5, §3.1.2（打包）；transformers 的 `find_packed_sequence_indices`。
    """
    starts = F.pad(position_ids.diff(dim=-1) != 1, (1, 0))  # (B, T)
    document = starts.cumsum(-1)  # (B, T)
    same = document[:, :, None] == document[:, None, :]  # (B, T, T)
    causal = causal_mask(position_ids.shape[1], device=position_ids.device)  # (1, 1, T, T)
    return causal & same[:, None]  # (B, 1, T, T)


def is_packed(position_ids: Tensor) -> bool:
    """位置不是一路加一：一行里放了不止一篇。编译时不读数据，一律答否。"""
    if torch.compiler.is_compiling():
        return False
    return bool((position_ids.diff(dim=-1) != 1).any())


def repeat_kv(x: Tensor, groups: int) -> Tensor:
    """把每个键值头连着重复 groups 次，使 K 个键值头对上 H 个查询头。

    查询头 h 用键值头 h // groups：顺序是 0 0 1 1（repeat_interleave），不是 0 1 0 1（repeat）。

    形状：(B, K, S, D) → (B, H, S, D)，H = K · groups。
    来源：Ainslie et al. 2023, GQA, §2.2。
    """
    return x.repeat_interleave(groups, dim=1)  # (B, H, S, D)


def attention_weights(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    r"""注意力权重 $\mathrm{softmax}(qk^\top/\sqrt D)$，看不见的键恰好是 0。

    softmax 在 fp32 里算，再转回 q 的类型。整行都看不见时全 0 而不是 NaN，与 SDPA 一致。

    形状：q (B, H, T, D)，k (B, H, S, D)，mask (B, 1, T, S) → (B, H, T, S)。
    来源：Vaswani et al. 2017, Attention Is All You Need, §3.2.1。
    """
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # (B, H, T, S)
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0).to(q.dtype)


class Attention(nn.Module):
    """多头自注意力，H 个查询头共用 K 个键值头（K = H 就是 MHA，K = 1 就是 MQA）。

    形状：x (B, T, C) → (B, T, C)，以及这一层的键与值，各 (B, K, S, D)。
    来源：Vaswani et al. 2017, §3.2.2；Ainslie et al. 2023, GQA, §2.2。
    """

    def __init__(self, config: LLMConfig, layer_idx: int = 0) -> None:
        super().__init__()
        C, D, eps = config.hidden_size, config.head_dim, config.rms_norm_eps
        H, K = config.num_attention_heads, config.num_key_value_heads
        self.layer_idx = layer_idx
        self.head_dim = D
        self.groups = H // K
        self.interleaved = config.rope_interleaved
        self.manual = config.attention_backend == "manual"
        self.q_proj = nn.Linear(C, H * D, bias=config.attention_bias)
        self.k_proj = nn.Linear(C, K * D, bias=config.attention_bias)
        self.v_proj = nn.Linear(C, K * D, bias=config.attention_bias)
        self.o_proj = nn.Linear(H * D, C, bias=config.attention_output_bias)
        self.q_norm = RMSNorm(D, eps) if config.qk_norm else None
        self.k_norm = RMSNorm(D, eps) if config.qk_norm else None
        self.weights = nn.Identity()  # manual 的权重从这里过：想看权重，钩子挂在它上面

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Optional[Tensor] = None,
        past_key_values: LayerPast = None,
    ) -> Tuple[Tensor, KeyValue]:
        """mask 为 None 表示纯因果、没有填充。"""
        B, T, _ = x.shape
        q = self.q_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, H, T, D)
        k = self.k_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, K, T, D)
        v = self.v_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, K, T, D)
        if self.q_norm is not None:
            q = self.q_norm(q)  # (B, H, T, D)
        if self.k_norm is not None:
            k = self.k_norm(k)  # (B, K, T, D)
        q = apply_rotary(q, cos, sin, self.interleaved)  # (B, H, T, D)
        k = apply_rotary(k, cos, sin, self.interleaved)  # (B, K, T, D)
        if isinstance(past_key_values, Cache):
            k, v = past_key_values.update(k, v, self.layer_idx)  # (B, K, S, D), (B, K, S, D)
        elif past_key_values is not None:
            k = torch.cat([past_key_values[0], k], dim=2)  # (B, K, S, D)
            v = torch.cat([past_key_values[1], v], dim=2)  # (B, K, S, D)
        S = k.shape[2]
        if mask is None and (self.manual or 1 < T < S):  # T < S 时 is_causal 对齐左上角，是错的
            mask = causal_mask(T, S - T, device=x.device)  # (1, 1, T, S)
        if self.manual:
            weights = attention_weights(q, repeat_kv(k, self.groups), mask)  # (B, H, T, S)
            y = self.weights(weights) @ repeat_kv(v, self.groups)  # (B, H, T, D)
        else:
            is_causal = T > 1 and mask is None
            shared = self.groups > 1
            y = F.scaled_dot_product_attention(
                q, k, v, mask, is_causal=is_causal, enable_gqa=shared
            )  # (B, H, T, D)
        merged = y.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
        return self.o_proj(merged), (k, v)  # (B, T, C), ((B, K, S, D), (B, K, S, D))


class FeedForward(nn.Module):
    r"""门控前馈层 SwiGLU：$W_\text{down}(\mathrm{SiLU}(W_\text{gate}x) \odot W_\text{up}x)$。

    形状：(B, T, C) → (B, T, C)，中间维度 I。
    来源：Shazeer 2020, GLU Variants Improve Transformer, §2。
    """

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        C, inner = config.hidden_size, config.intermediate_size
        self.fused = config.fused_mlp
        if self.fused:
            self.gate_up_proj = nn.Linear(C, 2 * inner, bias=False)  # 前一半 gate，后一半 up
        else:
            self.gate_proj = nn.Linear(C, inner, bias=False)
            self.up_proj = nn.Linear(C, inner, bias=False)
        self.down_proj = nn.Linear(inner, C, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.fused:
            gate, up = self.gate_up_proj(x).chunk(2, dim=-1)  # (B, T, I), (B, T, I)
            gate = F.silu(gate)
        else:
            gate = F.silu(self.gate_proj(x))  # (B, T, I)
            up = self.up_proj(x)  # (B, T, I)
        return self.down_proj(gate * up)  # (B, T, C)


class TransformerBlock(GradientCheckpointingLayer):
    """一个块：注意力与前馈层各有自己的前置归一化，各加回一次残差；Glm4 在加回之前再各归一化一次。

    形状：(B, T, C) → (B, T, C)，以及这一层的键与值。
    来源：Touvron et al. 2023, LLaMA, §2.2；Xiong et al. 2020, On Layer Normalization, §3。
    """

    def __init__(self, config: LLMConfig, layer_idx: int = 0) -> None:
        super().__init__()
        norm = partial(RMSNorm, config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer_idx)
        self.mlp = FeedForward(config)
        self.input_layernorm = norm()
        self.post_attention_layernorm = norm()
        self.post_self_attn_layernorm = norm() if config.sandwich_norm else None
        self.post_mlp_layernorm = norm() if config.sandwich_norm else None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Optional[Tensor] = None,
        past_key_values: LayerPast = None,
    ) -> Tuple[Tensor, KeyValue]:
        """先注意力后前馈；`post_attention_layernorm` 其实是前馈层的前置归一化（HF 的旧名）。"""
        y, present = self.self_attn(self.input_layernorm(x), cos, sin, mask, past_key_values)
        if self.post_self_attn_layernorm is not None:
            y = self.post_self_attn_layernorm(y)
        x = x + y
        y = self.mlp(self.post_attention_layernorm(x))
        if self.post_mlp_layernorm is not None:
            y = self.post_mlp_layernorm(y)
        return x + y, present


class LLMModel(LLMPreTrainedModel):
    """词嵌入、若干个块、最后一次归一化。

    形状：input_ids (B, T) 或 inputs_embeds (B, T, C) → last_hidden_state (B, T, C)。
    来源：Touvron et al. 2023, LLaMA, §2.2。
    """

    _can_record_outputs: ClassVar[Dict[str, Any]] = {
        "hidden_states": TransformerBlock,
        "attentions": OutputRecorder(nn.Identity),
    }

    def __init__(self, config: LLMConfig) -> None:
        super().__init__(config)
        config.check()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList(TransformerBlock(config, index) for index in layers)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = RotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    @capture_outputs
    def forward(
        self,
        input_ids: Optional[Tensor] = None,
        attention_mask: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        past_key_values: Optional[Past] = None,
        inputs_embeds: Optional[Tensor] = None,
        use_cache: Optional[bool] = None,
        **options: Any,
    ) -> BaseModelOutputWithPast:
        """要缓存而没给，就新建一个 DynamicCache；给的是元组，就还一个每层一对 (k, v) 的元组。

        一步一步地传元组，从每层一对长度为 0 的键与值开始：

            past = ((torch.zeros(B, K, 0, D),) * 2,) * layers
            past = model(new, past_key_values=past, use_cache=True).past_key_values

        异常：输入的形状不对、超出旋转表、打包的行带了填充掩码、缓存与梯度检查点同用，
        抛 ValueError。
        """
        past = past_length(past_key_values)
        check_options(self.config, position_ids, options)
        check_inputs(
            self.config, input_ids, inputs_embeds, attention_mask, position_ids, past_key_values
        )
        only_positions = position_ids is not None and attention_mask is None and past == 0
        packed = only_positions and is_packed(position_ids)
        use_cache = self.wants_cache(use_cache, past_key_values, packed)
        x = inputs_embeds
        if x is None:
            x = self.embed_tokens(input_ids)  # (B, T, C)
        B, T, _ = x.shape
        mask = None
        if attention_mask is not None and attention_mask.dim() == 4:
            mask = attention_mask  # (B, 1, T, S)，谁看得见谁由调用者全说了
        elif attention_mask is not None:
            mask = causal_mask(T, past, attention_mask)  # (B, 1, T, S)
        elif packed or (only_positions and torch.compiler.is_compiling()):
            mask = document_mask(position_ids)  # (B, 1, T, T)，只有一篇时就是因果掩码
        if position_ids is None:
            position_ids = torch.arange(past, past + T, device=x.device)  # (T,)，接着过去往下数
        position_ids = position_ids.expand(B, T)  # (B, T)
        cos, sin = self.rotary_emb(position_ids, x.dtype)  # (B, 1, T, R/2), (B, 1, T, R/2)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        by_layer = isinstance(past_key_values, (tuple, list))
        all_presents: List[KeyValue] = []
        for index, block in enumerate(self.layers[: self.config.num_hidden_layers]):
            layer_past: Any = past_key_values  # 共用的 Cache，或（元组时）这一层那一对
            if by_layer:
                layer_past = past_key_values[index]
            x, present = block(x, cos, sin, mask, layer_past)
            if by_layer:  # Cache 已就地更新，不必再收
                all_presents.append(present)
        if by_layer:
            past_key_values = tuple(all_presents)
        if not use_cache:
            past_key_values = None
        return BaseModelOutputWithPast(self.norm(x), past_key_values)


class LLMForCausalLM(LLMPreTrainedModel, GenerationMixin):
    """语言模型：模型主体加一个投到词表的头，每个位置预测下一个词元。

    形状：input_ids (B, T) → logits (B, T, V)。
    """

    _tied_weights_keys: ClassVar[Dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: LLMConfig) -> None:
        super().__init__(config)
        self.model = LLMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_hf(cls, folder: Union[str, Path]) -> "LLMForCausalLM":
        """读五个家族之一的 HF 检查点文件夹；见 `llm.hf.load_checkpoint`。"""
        return load_checkpoint(cls, Path(folder))

    @can_return_tuple
    def forward(
        self,
        input_ids: Optional[Tensor] = None,
        attention_mask: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        past_key_values: Optional[Past] = None,
        inputs_embeds: Optional[Tensor] = None,
        labels: Optional[Tensor] = None,
        use_cache: Optional[bool] = None,
        logits_to_keep: Union[int, Tensor] = 0,
        num_items_in_batch: Optional[Union[int, Tensor]] = None,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """labels 与 input_ids 对齐，错一位在里面做。

        `logits_to_keep` 说 logits 要哪些位置：n 是末尾 n 个（0 = 全部），一维张量则列出各个位置。
        """
        out = self.model(
            input_ids,
            attention_mask,
            position_ids,
            past_key_values,
            inputs_embeds,
            use_cache,
            return_dict=True,
            **options,
        )
        check_keep(logits_to_keep)
        keep: Union[int, slice, Tensor] = logits_to_keep
        if isinstance(keep, int):
            keep = slice(-keep, None)
        logits = self.lm_head(out.last_hidden_state[:, keep, :])  # (B, T, V)
        loss = None
        if labels is not None:
            loss = next_token_loss(logits, labels, num_items_in_batch)
        return CausalLMOutputWithPast(
            loss, logits, out.past_key_values, out.hidden_states, out.attentions
        )


def greedy_generate(
    model: PreTrainedModel,
    input_ids: Tensor,
    max_new_tokens: int,
    attention_mask: Optional[Tensor] = None,
    eos_token_id: Optional[int] = None,
) -> Tensor:
    """每步取概率最大的词元；先吃下整段提示，此后每步只送一个新词元，其余靠键值缓存。

    某行出了 EOS 就只填 pad_token_id（没有则填 EOS），全部结束便提前停；默认不看 EOS。

    形状：(B, T) → (B, T + new)，new ≤ max_new_tokens。
    """
    new, past = input_ids, None  # new 是还没进缓存的词元
    pad = eos_token_id if model.config.pad_token_id is None else model.config.pad_token_id
    done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)  # (B,)
    for _ in range(max_new_tokens):
        with torch.inference_mode():  # 不求导；比 no_grad 还少记视图与版本的账
            out = model(new, attention_mask, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = out.past_key_values
        chosen = out.logits[:, -1, :].argmax(-1)  # (B,)
        if eos_token_id is not None:
            chosen = chosen.masked_fill(done, pad)
            done = done | (chosen == eos_token_id)
        new = chosen.unsqueeze(-1)  # (B, 1)
        input_ids = torch.cat([input_ids, new], dim=1)  # (B, S+1)
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (0, 1), value=1)  # (B, S+1)
        if eos_token_id is not None and done.all():
            break
    return input_ids
