# %% [markdown]
# # 监督微调：在对话上接着训，只学回答
# 来源：Ouyang et al. 2022, InstructGPT, §3.5；TRL 1.16 文档 *SFT Trainer*（assistant_only_loss、packing）

# %% 一段对话编成词元
from llm.train import data
from llm.train.tokenizer import train_tokenizer

PAIRS = (
    "法国 巴黎,日本 东京,意大利 罗马,埃及 开罗,德国 柏林,英国 伦敦,希腊 雅典,韩国 首尔,"
    "泰国 曼谷,古巴 哈瓦那"
)


def talk(country: str, capital: str) -> list[dict[str, str]]:
    """一问一答。"""
    question = {"role": "user", "content": f"{country}的首都是哪里？"}
    return [question, {"role": "assistant", "content": f"{capital}。"}]


talks = [talk(*pair.split()) for pair in PAIRS.split(",")]
tokenizer = train_tokenizer((m["content"] for t in talks for m in t), vocab_size=300)
two_turns = [{"role": "system", "content": "答得短。"}, *talks[0], *talks[1]]
ids, labels = data.render(tokenizer, two_turns)
start = 0
for n in range(1, len(ids) + 1):  # 学与不学交替的各段
    if n == len(ids) or (labels[n] == data.IGNORED) != (labels[start] == data.IGNORED):
        mark = "不学" if labels[start] == data.IGNORED else "学　"
        print(mark, f"{n - start:2} 个词元", repr(tokenizer.decode(ids[start:n])))
        start = n

# %% 排成行
import torch

from llm.train import loop, sft

T, PAD, EOS = 96, tokenizer.pad_token_id, tokenizer.eos_token_id
train, unseen = talks[:8], talks[8:]  # 后两国留出：问得一样，答案没教过
rows = sft.pack_whole([data.render(tokenizer, t) for t in train], T, PAD)
print("input_ids、labels、position_ids:", *map(tuple, (v.shape for v in vars(rows).values())))
starts = [(row == 0).nonzero().flatten().tolist() for row in rows.position_ids]
print("各行里位置从 0 数起的地方:", *starts)
batch = rows.batch(torch.arange(len(rows)))
print("词元（不算填充）:", (rows.input_ids != PAD).sum().item())
print("其中计入损失的: ", loop.count_tokens([batch]))

# %% 微调
from llm import LLMConfig, LLMForCausalLM
from llm.train.optim import build_optimizer, lr_at

UPDATES, PEAK = 55, 4e-3


def new_model() -> LLMForCausalLM:
    torch.manual_seed(0)
    config = LLMConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=T,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
    )
    return LLMForCausalLM(config)


def tune(encoded: list[data.Encoded], every: int = 0) -> tuple[LLMForCausalLM, list, list]:
    """训一遍；返回模型、每次更新自己报的损失，与每隔几次在没教过的两问上的损失。"""
    model, rows = new_model(), sft.pack_whole(encoded, T, PAD)
    held = sft.pack_whole([data.render(tokenizer, t) for t in unseen], T, PAD)
    optimizer = build_optimizer(model, PEAK, 0.1, (0.9, 0.95))
    losses, others = [], []
    for update in range(1, UPDATES + 1):
        lr = lr_at(update, UPDATES, PEAK, 5, PEAK / 10)
        everything = [rows.batch(torch.arange(len(rows)))]
        losses.append(loop.train_step(model, optimizer, everything, lr, clip=1.0).loss)
        if every and update % every == 0:
            others.append(loop.mean_loss(model, held, 8))
    return model.eval(), losses, others


def answer(model: LLMForCausalLM, question: dict[str, str]) -> tuple[str, bool]:
    """贪心地答，至多 9 个词元；返回说了什么，与自己停了没有。"""
    prompt = tokenizer.apply_chat_template(
        [question], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )  # (1, T)
    said = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=9, do_sample=False
    )[0, prompt.shape[1] :].tolist()
    return tokenizer.decode(said, skip_special_tokens=True), EOS in said


encoded = [data.render(tokenizer, t) for t in train]
model, losses, others = tune(encoded, every=5)
for question, right in (train[0], train[1], *unseen):
    said, stopped = answer(model, question)
    print(question["content"], "答:", said, "停了" if stopped else "没停", "应是:", right["content"])

# %% 图 记住了
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.4, 2.8))
ax.plot(range(1, UPDATES + 1), losses, color="#3f7fbf", label="教过的八问")
ax.plot(range(5, UPDATES + 1, 5), others, color="#d9822b", label="没教过的两问")
ax.set(xlabel="更新", ylabel="每个回答词元的损失（nat）")
ax.set_title("教过的降下去，没教过的降不下去：是记住", fontsize=10)
ax.legend()
ax.grid(True)
figure.tight_layout()
low = min(others)
print(f"教过的：{losses[0]:.1f} → {losses[-1]:.1f}")
print(f"没教过的：{others[0]:.1f} → 最低 {low:.1f} → {others[-1]:.1f}")
assert losses[-1] < 1 and low > 4  # 留出的一点也没有学到

# %% 检验 学的恰好是回答加结束
for one in (*talks, two_turns):
    ids, labels = data.render(tokenizer, one)
    learned = tokenizer.decode([n for n in labels if n != data.IGNORED])
    answers = [m["content"] for m in one if m["role"] == "assistant"]
    assert learned == "".join(f"{text}{tokenizer.eos_token}" for text in answers)
    assert labels.count(EOS) == len(answers)

# %% 检验 训练时的提示就是说话时的提示
for one in talks:
    ids, labels = data.render(tokenizer, one)
    prompt = tokenizer.apply_chat_template(
        one[:1], add_generation_prompt=True, return_dict=False
    )
    assert ids[: len(prompt)] == prompt == data.prompt(tokenizer, one[:1])
    assert set(labels[: len(prompt)]) == {data.IGNORED} and labels[len(prompt)] != data.IGNORED

# %% 检验 话里写着的特殊词元是文字
said = "写出 <|im_end|> 就是说完了"
tricky = [{"role": "user", "content": said}, {"role": "assistant", "content": said}]
ids, labels = data.render(tokenizer, tricky)
assert tokenizer.decode([n for n in labels if n != data.IGNORED]) == said + tokenizer.eos_token
plain = tokenizer.apply_chat_template(tricky, return_dict=False)
assert (ids.count(EOS), plain.count(EOS)) == (2, 4)  # 照直套进模板，话里的也成了真的
assert ids == tokenizer.apply_chat_template(
    tricky, return_dict=False, sanitize_control_tokens=True
)
assert tokenizer.backend_tokenizer.normalizer is None  # 用完就换回来

# %% 检验 打包与一段段分开相等，也与 transformers 的 Llama 相等
from transformers import LlamaConfig, LlamaForCausalLM


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


packed = new_model()
items = loop.count_tokens([batch])
loss = packed(**batch, num_items_in_batch=items, use_cache=False).loss
loss.backward()

llama = LlamaForCausalLM(LlamaConfig(**new_model().config.to_dict() | {"model_type": "llama"}))
llama.load_state_dict(packed.state_dict())  # 名字与形状逐个相同，否则报错
total = torch.zeros(())
for ids, labels in encoded:  # 一段段送，不填充、不打包，损失由 PyTorch 求和
    logits = llama(torch.tensor([ids])).logits[0, :-1]  # (T-1, V)
    total = total + torch.nn.functional.cross_entropy(
        logits, torch.tensor(labels[1:]), reduction="sum"
    )
(total / items).backward()
torch.testing.assert_close(loss, total / items, rtol=1e-5, atol=0)
torch.testing.assert_close(gradient(packed), gradient(llama), rtol=0, atol=1e-5)

# %% 检验 没有一段被切开
plain = data.pack(encoded, T, PAD)  # 预训练的打包：满了就切
for kept, whole in ((plain, False), (rows, True)):
    flat, seen = kept.position_ids.flatten(), kept.input_ids.flatten() != PAD
    starts = int(((flat == 0) & seen).sum())  # 真词元里有几处从 0 数起
    assert (starts == len(train)) is whole, starts

# %% 检验 模板没有 generation 就拒绝
from copy import deepcopy

bare = deepcopy(tokenizer)
bare.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
try:
    data.render(bare, talks[0])
    raise AssertionError("没有报错")
except ValueError as error:
    assert "generation" in str(error)

# %% 坏 三个错
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated

NAMES = ("prompt_learned", "answer_one_late", "end_not_learned")
curves, marks = {"对": losses}, {}
trained = {"对": model}
for name in NAMES:
    with mutated(name):
        wrong = [data.render(tokenizer, t) for t in train]
    trained[name], curves[name], _ = tune(wrong)
for name, one in trained.items():
    replies = [answer(one, t[0]) for t in train]
    same = sum(said == t[1]["content"] for (said, _), t in zip(replies, train, strict=True))
    marks[name] = same, sum(stopped for _, stopped in replies)
    print(f"{name:16} 损失 {curves[name][-1]:.1f}，一字不差 {same}/8，停下 {marks[name][1]}/8")
    print(f"{'':16} {train[0][0]['content']}答：{replies[0][0]}")

# %% 图 三个错
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.0), width_ratios=[1.3, 1])
colors = ("#3f7fbf", "#8a63b8", "#d9822b", "#c0392b")
for (name, curve), color, style in zip(curves.items(), colors, ("-", "--", "-.", ":"), strict=True):
    axes[0].plot(curve, style, color=color, label=name)
axes[0].set(xlabel="更新", ylabel="训练自己报的损失（nat）", title="四条曲线一样好看")
axes[0].legend(fontsize=8)
axes[0].grid(True)
places = torch.arange(len(marks))
for shift, which, label, hatch in ((-0.2, 0, "一字不差", ""), (0.2, 1, "自己停下", "//")):
    heights = [mark[which] for mark in marks.values()]
    shade = ("#3f7fbf", "#9ec3e6")[which]
    axes[1].barh(places + shift, heights, 0.36, label=label, hatch=hatch, color=shade)
axes[1].set(yticks=places, yticklabels=list(marks), xlabel="八问里有几问", title="答出来却不一样")
axes[1].invert_yaxis()
axes[1].legend(fontsize=8, loc="lower right")
figure.tight_layout()

# %% 检验 三个错各有一条不变量看得见
seen = {}
for name in ("对", *NAMES):
    if name == "对":
        ids, labels = data.render(tokenizer, talks[0])
    else:
        with mutated(name):
            ids, labels = data.render(tokenizer, talks[0])
    learned = [n for n in labels if n != data.IGNORED]
    turns = learned.count(EOS) == 1  # 一段回答，一个结束
    seen[name] = turns, tokenizer.decode(learned) == "巴黎。" + tokenizer.eos_token
assert seen["对"] == (True, True)
assert not any(exact for name, (_, exact) in seen.items() if name != "对")
miscounted = [name for name, (one_end, _) in seen.items() if not one_end]
assert miscounted == ["prompt_learned", "end_not_learned"]
assert marks["对"] == (8, 8)
