r"""LLaMA 式语言模型，从上往下读：归一化、旋转位置、掩码、注意力、前馈层、块、模型、生成。

五个家族的差别全是 `LLMConfig` 里的开关，参数名与 transformers 一致。行末的形状是等号左边
变量的形状（return 则是返回值的），字母全站统一：

    B  批大小（batch）           H  查询头数            V  词表大小
    T  这次输入的词元数（time）  K  键、值头数          I  前馈层内宽
    S  看得见的键数，过去 + T    D  每个头的宽度        R  每个头旋转的宽度，R ≤ D
    C  模型宽度（width）         N  头数，H 或 K        P  旋转表的行数

凡是「也可以选另一边」的约定，都在用到它的地方写明：掩码里 True = 看得见；RoPE 逆时针转
$+m\theta$，缺省按前后两半配对；softmax 在 fp32 里算，再转回原来的类型。
"""

from functools import partial
from pathlib import Path
from typing import Callable, ClassVar, Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from llm.checks import check_inputs, check_padding, check_replay
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
        angle = count(P)[:, None] * frequency  # (P, R/2)
        self.cos, self.sin = angle.cos(), angle.sin()  # (P, R/2), (P, R/2)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RotaryEmbedding":
        """`.to(bf16)` 会把表转窄（有效数字只剩 8 位），`to_empty` 会给一块脏内存：一律重填。"""
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

    缺省前后两半配对：第 i 个与第 i + R/2 个（transformers 的 Llama、Qwen）；`interleaved`
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
    """因果掩码与填充掩码合成一张布尔掩码：True = 看得见。

    第 t 个查询的绝对位置是 past + t，只能看到位置不大于它的键。`padding` 里 1 = 真词元；
    它可以盖住全部 S 个键，也可以只盖住新来的 T 个（过去的便都算真词元）。
    用布尔而不用加一个大负数：-1e9 在 fp16 里是 -inf，两个 -inf 相遇就出 NaN。

    形状：padding (B, S) 或 (B, T)，S = past + T → (B, 1, T, S)；没有 padding 则 (1, 1, T, S)。
    异常：padding 不是二维，或其长度既不是 T 也不是 S，抛 ValueError。
    来源：Vaswani et al. 2017, Attention Is All You Need, §3.2.3。
    """
    S, device = past + T, device if padding is None else padding.device
    key = torch.arange(S, device=device)  # (S,)
    query = torch.arange(past, S, device=device)[:, None]  # (T, 1)
    causal = (key <= query)[None, None]  # (1, 1, T, S)
    if padding is None:
        return causal
    check_padding(padding, T, S)
    real = F.pad(padding.bool(), (S - padding.shape[1], 0), value=True)  # (B, S)
    return causal & real[:, None, None, :]  # (B, 1, T, S)


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
        self.head_dim, self.groups, self.interleaved = D, H // K, config.rope_interleaved
        self.layer_idx, self.manual = layer_idx, config.attention_backend == "manual"
        self.q_proj = nn.Linear(C, H * D, bias=config.attention_bias)
        self.k_proj = nn.Linear(C, K * D, bias=config.attention_bias)
        self.v_proj = nn.Linear(C, K * D, bias=config.attention_bias)
        self.o_proj = nn.Linear(H * D, C, bias=config.attention_output_bias)
        self.q_norm = RMSNorm(D, eps) if config.qk_norm else None
        self.k_norm = RMSNorm(D, eps) if config.qk_norm else None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Optional[Tensor] = None,
        past_key_values: LayerPast = None,
        keep: int = 0,
    ) -> Tuple[Tensor, KeyValue]:
        """mask 为 None 表示纯因果、没有填充；keep > 0 则只替末尾 keep 个位置查询，0 = 全部。"""
        B, T, _ = x.shape
        k = self.k_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, K, T, D)
        v = self.v_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, K, T, D)
        k = apply_rotary(self.k_norm(k) if self.k_norm else k, cos, sin, self.interleaved)
        if keep:  # 键与值已经算全，往下的 T 只数要查询的位置
            T, mask = keep, mask if mask is None else mask[:, :, -keep:]  # (B, 1, T, S)
            x, cos, sin = x[:, -T:], cos[:, :, -T:], sin[:, :, -T:]  # 各 (..., T, n)
        q = self.q_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, H, T, D)
        q = apply_rotary(self.q_norm(q) if self.q_norm else q, cos, sin, self.interleaved)
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
            y = weights @ repeat_kv(v, self.groups)  # (B, H, T, D)
        else:
            y = F.scaled_dot_product_attention(
                q, k, v, mask, is_causal=mask is None and T > 1, enable_gqa=self.groups > 1
            )  # (B, H, T, D)
        merged = y.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
        return self.o_proj(merged), (k, v)  # (B, T, C), ((B, K, S, D), (B, K, S, D))


class FeedForward(nn.Module):
    r"""门控前馈层 SwiGLU：$W_\text{down}(\mathrm{SiLU}(W_\text{gate}x) \odot W_\text{up}x)$。

    形状：(B, T, C) → (B, T, C)，中间宽 I。
    来源：Shazeer 2020, GLU Variants Improve Transformer, §2。
    """

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        C, inner, self.fused = config.hidden_size, config.intermediate_size, config.fused_mlp
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
        else:  # 先过 SiLU 再算 up：未激活的 gate 不必陪着，整段少占一份 (B, T, I)
            gate, up = F.silu(self.gate_proj(x)), self.up_proj(x)  # (B, T, I), (B, T, I)
        return self.down_proj(gate * up)  # (B, T, C)


class TransformerBlock(GradientCheckpointingLayer):
    """一个块：注意力与前馈层各有自己的前置归一化，各加回一次残差；Glm4 在加回之前再各归一化一次。

    形状：(B, T, C) → (B, T, C)，以及这一层的键与值。
    来源：Touvron et al. 2023, LLaMA, §2.2；Xiong et al. 2020, On Layer Normalization, §3。
    """

    def __init__(self, config: LLMConfig, layer_idx: int = 0) -> None:
        super().__init__()
        norm = partial(RMSNorm, config.hidden_size, config.rms_norm_eps)
        self.self_attn, self.mlp = Attention(config, layer_idx), FeedForward(config)
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()
        self.post_self_attn_layernorm = norm() if config.sandwich_norm else None
        self.post_mlp_layernorm = norm() if config.sandwich_norm else None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Optional[Tensor] = None,
        past_key_values: LayerPast = None,
        keep: int = 0,
    ) -> Tuple[Tensor, KeyValue]:
        """先注意力后前馈；`post_attention_layernorm` 其实是前馈层的前置归一化（HF 的旧名）。"""
        y, present = self.self_attn(self.input_layernorm(x), cos, sin, mask, past_key_values, keep)
        y = self.post_self_attn_layernorm(y) if self.post_self_attn_layernorm else y
        x = (x[:, -keep:] if keep else x) + y
        y = self.mlp(self.post_attention_layernorm(x))
        return x + (self.post_mlp_layernorm(y) if self.post_mlp_layernorm else y), present


class LLMModel(LLMPreTrainedModel):
    """词嵌入、若干个块、最后一次归一化。

    形状：input_ids (B, T) → last_hidden_state (B, T, C)，keep > 0 时只有末尾 keep 个位置。
    来源：Touvron et al. 2023, LLaMA, §2.2。
    """

    build_mask = staticmethod(causal_mask)  # forward 有个同名参数（HF 的叫法），会遮住函数

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

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        past_key_values: Optional[Past] = None,
        use_cache: Optional[bool] = None,
        keep: int = 0,
    ) -> BaseModelOutputWithPast:
        """给 Cache 还 Cache，给各层 (k, v) 的元组还元组；要缓存而没给，就用 DynamicCache。

        异常：输入的形状不对、超出旋转表，或缓存与梯度检查点同用，抛 ValueError。
        """
        replay = self.gradient_checkpointing and self.training
        use_cache = (self.config.use_cache and not replay) if use_cache is None else use_cache
        check_replay(replay, use_cache, past_key_values)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past = check_inputs(self.config, input_ids, attention_mask, position_ids, past_key_values)
        (B, T), mask = input_ids.shape, None
        if attention_mask is not None:
            mask = self.build_mask(T, past, attention_mask)  # (B, 1, T, S)
        if position_ids is None:
            position_ids = torch.arange(past, past + T, device=input_ids.device)  # (T,)
        position_ids = position_ids.expand(B, T)  # (B, T)
        x = self.embed_tokens(input_ids)  # (B, T, C)
        cos, sin = self.rotary_emb(position_ids, x.dtype)  # (B, 1, T, R/2), (B, 1, T, R/2)
        by_layer = not (past_key_values is None or isinstance(past_key_values, Cache))
        presents: List[KeyValue] = []
        last = self.layers[-1] if keep < T else None  # 它的输出只交给头，要几个位置就算几个
        for index, block in enumerate(self.layers):
            layer_past = past_key_values[index] if by_layer else past_key_values
            x, present = block(x, cos, sin, mask, layer_past, keep if block is last else 0)
            presents += [present] if by_layer else []  # Cache 已就地更新，不必再留一份
        present_cache = tuple(presents) if by_layer else past_key_values
        return BaseModelOutputWithPast(self.norm(x), present_cache if use_cache else None)


class LLMForCausalLM(LLMPreTrainedModel, GenerationMixin):
    """语言模型：模型主体加一个投到词表的头，每个位置预测下一个词元。

    形状：input_ids (B, T) → logits (B, T, V)。
    """

    _tied_weights_keys: ClassVar[Dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}
    accepts_loss_kwargs = True  # 损失自己除以 num_items_in_batch，Trainer 便不再除以累积步数

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
        input_ids: Tensor,
        attention_mask: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        past_key_values: Optional[Past] = None,
        labels: Optional[Tensor] = None,
        use_cache: Optional[bool] = None,
        logits_to_keep: Union[int, Tensor] = 0,
        num_items_in_batch: Optional[Tensor] = None,
    ) -> CausalLMOutputWithPast:
        """labels 与 input_ids 对齐，错一位在里面做；logits_to_keep 只算末尾几个位置，0 = 全部。"""
        early = 0 if isinstance(logits_to_keep, Tensor) else logits_to_keep  # 点名的，算全再挑
        out = self.model(input_ids, attention_mask, position_ids, past_key_values, use_cache, early)
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, keep, :])  # (B, T, V)
        loss = None if labels is None else next_token_loss(logits, labels, num_items_in_batch)
        return CausalLMOutputWithPast(loss, logits, out.past_key_values)


def greedy_generate(
    model: PreTrainedModel,
    input_ids: Tensor,
    max_new_tokens: int,
    attention_mask: Optional[Tensor] = None,
    eos_token_id: Optional[int] = None,
) -> Tensor:
    """每步取概率最大的词元；先吃下整段提示，此后每步只送一个新词元，其余靠键值缓存。

    某行出了 EOS 就只填 pad_token_id（没有则填 EOS），全部结束便提前停；缺省不看 EOS。

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
        input_ids = torch.cat([input_ids, new], dim=1)  # (B, T+1)
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (0, 1), value=1)  # (B, T+1)
        if eos_token_id is not None and done.all():
            break
    return input_ids
