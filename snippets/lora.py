# %% [markdown]
# # LoRA：原来的矩阵冻住，旁边学一对低秩的，训好并回去
# 来源：Hu et al. 2022, LoRA, §4；peft 0.21 的 `tuners/lora/layer.py`

# %% 一层
import torch
from torch import nn

from llm.train import lora

torch.manual_seed(0)
x = torch.randn(2, 5, 64)  # (B, T, C)
base = nn.Linear(64, 96, bias=False)
layer = lora.LoRALinear(base, rank=4, alpha=16)
print("W", tuple(base.weight.shape), " A", tuple(layer.lora_A.weight.shape), end=" ")
print(" B", tuple(layer.lora_B.weight.shape), " 缩放", layer.scale)
print("刚加上，输出与原来逐位相同:", layer(x).equal(base(x)))
layer(x).square().sum().backward()
print("第一步的梯度：A 是零", layer.lora_A.weight.grad.any().item() is False, end="，")
print("B 不是零", layer.lora_B.weight.grad.any().item())

# %% 参数少了多少
from llm import LLMConfig, LLMForCausalLM
from llm.train.sft import ADAPTED


def counted(model: nn.Module) -> tuple[int, int]:
    """全部的、要学的参数各几个。"""
    each = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in each), sum(n for n, learned in each if learned)


seven = {  # Llama-2-7b 的尺寸
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
for rank in (1, 8, 64):
    with torch.device("meta"):  # 只数参数，不占内存
        large = lora.add_lora(LLMForCausalLM(LLMConfig(**seven)), ADAPTED, rank, alpha=16)
    total, learned = counted(large)
    frozen = total - learned
    print(f"秩 {rank:2}：冻住 {frozen:,}，要学 {learned:,}，少了 {frozen / learned:.0f} 倍")
    full, less = 16 * frozen / 2**30, (4 * frozen + 16 * learned) / 2**30
    print(f"       权重、梯度与 AdamW 的两个矩（fp32）：{full:.1f} GiB → {less:.1f} GiB")

# %% 一个会答的底子
from copy import deepcopy

from llm.train import data, loop, optim, sft
from llm.train.tokenizer import train_tokenizer

PAIRS = "法国 巴黎,日本 东京,意大利 罗马,埃及 开罗,德国 柏林,英国 伦敦,泰国 曼谷,古巴 哈瓦那"
pairs = [pair.split() for pair in PAIRS.split(",")]


def talk(question: str, reply: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]


short = [talk(f"{country}的首都是哪里？", f"{capital}。") for country, capital in pairs]
polite = [talk(f"请说{country}的首都。", f"是{capital}！") for country, capital in pairs]
new = [talk(f"{country}的首都是哪里？", f"是{capital}！") for country, capital in pairs[:4]]
asked = [t[0] for t in short]  # 前四问要改口，后四问没有教
tokenizer = train_tokenizer((m["content"] for t in (*short, *polite) for m in t), vocab_size=300)
T, PAD, EOS = 96, tokenizer.pad_token_id, tokenizer.eos_token_id


def tune(model: nn.Module, talks: list, updates: int, peak: float) -> list[float]:
    """就地训；返回每次更新的损失。"""
    rows = sft.pack_whole([data.render(tokenizer, t) for t in talks], T, PAD)
    batch = rows.batch(torch.arange(len(rows)))
    optimizer = optim.build_optimizer(model, peak, 0.0, (0.9, 0.95))
    rates = [optim.lr_at(n, updates, peak, 5, peak / 10) for n in range(1, updates + 1)]
    return [loop.train_step(model, optimizer, [batch], lr, clip=1.0).loss for lr in rates]


def answers(model: LLMForCausalLM, questions: list) -> list[str]:
    """逐问贪心地答。"""
    said = []
    for question in questions:
        prompt = tokenizer.apply_chat_template(
            [question], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )  # (1, T)
        ids = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=9, do_sample=False
        )
        said.append(tokenizer.decode(ids[0, prompt.shape[1] :], skip_special_tokens=True))
    return said


def small(**changed: object) -> LLMForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": T,
        "tie_word_embeddings": True,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    }
    return LLMForCausalLM(LLMConfig(**{**sizes, **changed}))


start = small()
tune(start, [*short, *polite], 70, 4e-3)
print("哪里？", *answers(start, asked))
print("请说…", *answers(start, [t[0] for t in polite]))

# %% 全量与 LoRA
RANK, ALPHA, UPDATES = 4, 16, 30


def adapted(seed: int = 1) -> nn.Module:
    """加了 LoRA 的一份底子。"""
    torch.manual_seed(seed)
    return lora.add_lora(deepcopy(start), ADAPTED, RANK, ALPHA)


whole, low = deepcopy(start), adapted()
curves = {"全量": tune(whole, new, UPDATES, 1e-3), "LoRA": tune(low, new, UPDATES, 1e-2)}
polished = [t[1]["content"] for t in polite]  # 每一国的新说法
for (name, curve), one in zip(curves.items(), (whole, low), strict=True):
    said = answers(one, asked)
    right = [a == b for a, b in zip(said, polished, strict=True)]
    print(f"{name}：要学 {counted(one)[1]:,} 个参数，损失 {curve[0]:.1f} → {curve[-1]:.1f}")
    print(f"    教过的四问全对: {all(right[:4])}；没教过的四问过半也改了口、首都没错: {sum(right) > 6}")

# %% 图 全量与 LoRA
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.4, 2.8))
ax.plot(curves["全量"], color="#3f7fbf", label="全量，学习率 1e-3")
ax.plot(curves["LoRA"], "--", color="#d9822b", label="LoRA（秩 4），学习率 1e-2")
ax.set(xlabel="更新", ylabel="每个回答词元的损失（nat）", title="同一个底子，教四国的新说法")
ax.legend()
ax.grid(True)
figure.tight_layout()

# %% 并回去
prompt = torch.tensor([data.render(tokenizer, new[0])[0]])
before = low(prompt, use_cache=False).logits
weights = {name: p.detach().clone() for name, p in low.named_parameters()}
merged = lora.merge_lora(deepcopy(low))
after = merged(prompt, use_cache=False).logits
print("并回之后多出的参数:", counted(merged)[0] - counted(start)[0])
print("logits 最多差多少，不到 1e-4:", (after - before).abs().max().item() < 1e-4)
place = "model.layers.0.self_attn.q_proj.weight"
change = merged.get_parameter(place) - start.get_parameter(place)  # (H·D, C)
rank = torch.linalg.matrix_rank(change, rtol=1e-4).item()
print(f"q_proj 改变量的秩: {rank}，满秩是 {min(change.shape)}")

# %% 检验 与 peft 逐位相等：初始化、五步、合并
from peft import LoraConfig, inject_adapter_in_model


def pair_of_adapters() -> tuple[nn.Module, nn.Module]:
    """同一个底子，同一个种子，各加一遍。"""
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(ADAPTED), lora_dropout=0.0)
    mine = adapted(seed=1)
    torch.manual_seed(1)
    return mine, inject_adapter_in_model(config, deepcopy(start))


def parts(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach() for name, p in model.named_parameters() if "lora_" in name]


ours, theirs = pair_of_adapters()
assert len(parts(ours)) == 2 * len(ADAPTED) * 2  # 两层，各四个矩阵，各一对
assert all(a.equal(b) for a, b in zip(parts(ours), parts(theirs), strict=True))
for one in (ours, theirs):
    tune(one, new, 5, 1e-2)
assert all(a.equal(b) for a, b in zip(parts(ours), parts(theirs), strict=True))
lora.merge_lora(ours)
for layer in theirs.model.layers:
    for name in ADAPTED:
        wrapped = getattr(layer.self_attn, name)
        wrapped.merge()
        setattr(layer.self_attn, name, wrapped.get_base_layer())
assert all(a.equal(b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

# %% 检验 并回就是 W + α/r · BA，别的都没有动
for name, weight in merged.named_parameters():
    owner = name.removesuffix(".weight")
    original = start.get_parameter(name)
    if owner.rpartition(".")[2] in ADAPTED:
        A, B = weights[f"{owner}.lora_A.weight"], weights[f"{owner}.lora_B.weight"]
        by_hand = original.double() + ALPHA / RANK * (B.double() @ A.double())
        torch.testing.assert_close(weight.double(), by_hand, rtol=0, atol=1e-6)
        assert not weight.equal(original)
    else:
        assert weight.equal(original), name
assert merged.state_dict().keys() == start.state_dict().keys()

# %% 检验 冻住的逐位不动，也没有梯度与矩
for name, p in low.named_parameters():
    if "lora_" not in name:
        assert not p.requires_grad and p.grad is None
        assert p.equal(start.get_parameter(name.replace(".base.", "."))), name
groups = optim.build_optimizer(low, 1e-2, 0.0, (0.9, 0.95)).param_groups
assert sum(p.numel() for group in groups for p in group["params"]) == counted(low)[1]

# %% 检验 绑着的头不许加
for names, words in ((["lm_head"], "绑在一起"), (["gate"], "没有叫 gate"), ([], None)):
    try:
        lora.add_lora(deepcopy(start), names, RANK, ALPHA)
        assert words is None
    except ValueError as error:
        assert words and words in str(error)
lora.add_lora(small(tie_word_embeddings=False), ["lm_head"], RANK, ALPHA);  # 不绑就可以

# %% 坏 初值、冻住
from llm.lab.train_mutations import mutated

wrongs = {}
moved = {}
for name in ("lora_b_random", "lora_both_zero", "base_not_frozen"):
    with mutated(name):
        one = adapted()
    wrongs[name] = tune(one, new, UPDATES, 1e-2)
    kept = start.model.layers[0].mlp.gate_proj.weight
    moved[name] = (one.model.layers[0].mlp.gate_proj.weight - kept).abs().max().item()
    first, last = wrongs[name][0], wrongs[name][-1]
    print(f"{name:15} 第一次的损失 {first:.1f}，最后不到 0.5: {last < 0.5!s:5}", end="")
    print(f" 不该动的 gate_proj 动了: {moved[name] > 0}")
print(f"{'对':14} 第一次的损失 {curves['LoRA'][0]:.1f}，最后不到 0.5: {curves['LoRA'][-1] < 0.5}")

# %% 图 初值、冻住
figure, ax = plt.subplots(figsize=(6.8, 3.0))
shown = {"对": curves["LoRA"], **wrongs}
colors = ("#3f7fbf", "#c0392b", "#777777", "#8a63b8")
for (name, curve), color, style in zip(shown.items(), colors, ("-", ":", "--", "-."), strict=True):
    ax.plot(curve, style, color=color, label=name)
ax.set(xlabel="更新", ylabel="每个回答词元的损失（nat）", yscale="log")
ax.set_title("B 不从零起：一开始就坏了；A、B 都是零：学不动；没冻住：看不出", fontsize=9)
ax.legend(fontsize=8)
ax.grid(True)
figure.tight_layout()

# %% 坏 合并时忘了缩放
with mutated("merge_without_scale"):
    unscaled = lora.merge_lora(deepcopy(low))
gap = (unscaled(prompt, use_cache=False).logits - before).abs().max().item()
print("合并前后的 logits 差得多:", gap > 0.1)
for name, one in (("合并前", low), ("合并后", unscaled)):
    right = sum(a == b for a, b in zip(answers(one, asked[:4]), polished[:4], strict=True))
    print(f"{name}，教过的四问全对:", right == 4)

# %% 坏 给绑着的头加
with mutated("lora_on_tied_head"):
    torch.manual_seed(1)
    tied = lora.add_lora(deepcopy(start), ["lm_head"], RANK, ALPHA)
tune(tied, new, UPDATES, 1e-2)
before_merge = tied(prompt, use_cache=False).logits
lora.merge_lora(tied)
embedding = tied.model.embed_tokens.weight - start.model.embed_tokens.weight
print("词嵌入也动了:", embedding.abs().max().item() > 0.01)
difference = (tied(prompt, use_cache=False).logits - before_merge).abs().max().item()
print("合并前后的 logits 不再相等:", difference > 0.1)

# %% 检验 每个错都有一条不变量看得见
question = prompt[:, :8]
for name, same in (("对", True), ("lora_b_random", False)):
    if name == "对":
        one = adapted()
    else:
        with mutated(name):
            one = adapted()
    equal = one(question, use_cache=False).logits.equal(start(question, use_cache=False).logits)
    assert equal is same  # 刚加上，与底子相同
with mutated("lora_both_zero"):
    dead = adapted()
dead(prompt, labels=prompt, use_cache=False).loss.backward()
assert not any(p.grad.any() for p in dead.parameters() if p.requires_grad)  # 梯度全是零
assert wrongs["lora_both_zero"][-1] == wrongs["lora_both_zero"][0]
assert moved["base_not_frozen"] > 0 == moved["lora_b_random"]
