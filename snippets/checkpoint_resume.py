# %% [markdown]
# # 检查点：接着训要存的一切，少一样差多少
# 来源：PyTorch 文档 `torch.distributed.checkpoint`；POSIX `rename`、`fsync`

# %% 一次小训练
import contextlib
import io
import json
import shutil
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch.nn import functional as F

from llm import LLMConfig, LLMForCausalLM
from llm.lab.train_mutations import TRAIN_MUTATIONS, mutated
from llm.train import checkpoint, loop
from llm.train.data import Position, Rows, take
from llm.train.loop import TrainConfig

V, T, UPDATES = 64, 16, 16


def write(count: int, seed: int) -> Rows:
    """照一种人造的语言（看见一个词元，下一个各有多大概率）写 count 行。"""
    table = 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(V, (count, 1), generator=generator)
    while words.shape[1] < T:
        following = table.softmax(-1)[words[:, -1]]  # (count, V)
        words = torch.cat([words, torch.multinomial(following, 1, generator=generator)], dim=1)
    return Rows(words, words, torch.arange(T).expand(count, T))


def make() -> LLMForCausalLM:
    """一层、宽 32，末尾有 dropout：训练里真的用到随机数。"""
    torch.manual_seed(0)
    model = LLMForCausalLM(
        LLMConfig(
            vocab_size=V,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=T,
        )
    )
    model.model.norm.register_forward_hook(lambda _m, _i, out: F.dropout(out, 0.1, training=True))
    return model


def settings(name: str, **changed: object) -> TrainConfig:
    """存在临时文件夹的 name 下；每 4 次更新存一次。"""
    given = {"lr": 1e-2, "least_lr": 1e-3, "warmup": 4, "updates": UPDATES, "save_every": 4}
    given |= {"seq_len": T, "batch": 4, "accumulate": 2, "device": "cpu"}
    return TrainConfig(out=Path(name), **given | changed)


rows = write(100, seed=1)


def fit(config: TrainConfig, model: LLMForCausalLM) -> tuple[bool, list[str]]:
    """照 config 训；返回训完了没有，与它说的话。进度条不看。"""
    said: list[str] = []
    with contextlib.redirect_stderr(io.StringIO()):
        done = loop.fit(config, model, rows, lambda _: {}, said.append)
    return done, said


whole = make()
print("训完了:", fit(settings("whole"), whole)[0])
print("留下的检查点:", [folder.name for folder in checkpoint.complete(Path("whole"))])

# %% 里面有什么
folder = checkpoint.complete(Path("whole"))[-1]
about = json.loads((folder / "about.json").read_text("utf-8"))
print("进度:", about["progress"])
print("不许变的配置:", ", ".join(name for name in about["fixed"] if name != "rows"))
stored = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
sizes = {name: one.size.numel() for name, one in stored.items() if hasattr(one, "size")}
weights = sum(size for name, size in sizes.items() if name.startswith("model."))
moments = sum(size for name, size in sizes.items() if name.endswith((".exp_avg", ".exp_avg_sq")))
print(f"权重 {weights} 个数，AdamW 的两个矩是它的 {moments / weights:.1f} 倍")
print("随机数的状态也在:", "rng" in stored)

# %% 断了，再接
class PowerCut(BaseException):
    """说停就停，什么也来不及收拾。"""


def cut_at(model: LLMForCausalLM, forward: int) -> LLMForCausalLM:
    """第几次前向时断电；一次更新有两次前向，所以也有断在累积中途的。"""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == forward:
            raise PowerCut

    model.register_forward_pre_hook(count)
    return model


def go_on(name: str) -> LLMForCausalLM:
    """由新的模型、别处的随机数接着训完。"""
    fresh = make()
    torch.manual_seed(99)  # 新的进程，随机数在别处
    done, said = fit(settings(name), fresh)
    assert done and said
    return fresh


def furthest(a: LLMForCausalLM, b: LLMForCausalLM) -> float:
    """两个模型的参数最多差多少。"""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max((x - y).abs().max().item() for x, y in pairs)


SAVED, CUT = 8, 2 * 10  # 最近的检查点在第 8 次；断在第 10 次的第二个小批，累积的中途
with contextlib.suppress(PowerCut):
    fit(settings("stopped"), cut_at(make(), CUT))
shutil.copytree("stopped", "resumed")
resumed = go_on("resumed")
print("与没有断过的，参数最多差:", furthest(resumed, whole))

# %% 图 少存一样，接上之后的损失与参数
import matplotlib.pyplot as plt


def losses(name: str) -> list[float]:
    """记下的各次更新的损失。"""
    lines = (Path(name) / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


MISSING = [name for name in TRAIN_MUTATIONS if name.startswith("resume_")]
damage = {}
for name in MISSING:
    shutil.copytree("stopped", name)
    with mutated(name):
        damage[name] = furthest(go_on(name), whole)
right = losses("whole")
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0))
axes[0].plot(range(1, UPDATES + 1), right, color="#202020", linewidth=2, label="没有断过")
for name, color in zip(MISSING, ("#d9822b", "#3f7fbf", "#8b6bb1", "#6aa84f", "#c0504d")):
    mine = losses(name)
    axes[0].plot(range(1, len(mine) + 1), mine, color=color, linestyle="--", label=name)
    gaps = [abs(a - b) + 1e-8 for a, b in zip(mine, right, strict=True)]
    axes[1].semilogy(range(1, len(gaps) + 1), gaps, color=color)
for ax in axes:
    ax.axvline(SAVED + 0.5, color="#808080", linewidth=0.8)
    ax.set(xlabel="更新", xticks=range(0, UPDATES + 1, 4))
    ax.grid(True)
axes[0].set(title="记下的损失", ylabel="nat / 词元")
axes[1].set(title="与没有断过的差多少")
axes[0].legend(fontsize=6, loc="lower left")
figure.tight_layout()
for name in MISSING:
    print(f"{TRAIN_MUTATIONS[name].text}：参数最多差 {damage[name]:.4f}")

# %% 取到哪里，就是两个整数
position = Position()
for _ in range(3):
    batch, position = take(rows, position, 40, seed=0)
    print("取 40 行之后:", position)
again, _ = take(rows, Position(0, 80), 40, seed=0)  # 直接跳到那里，不必从头取过来
print("从 (0, 80) 直接取，与一路取到那里的一样:", again["input_ids"].equal(batch["input_ids"]))

# %% 先写在旁边，再改名
def entries(name: str) -> list[str]:
    """文件夹里有什么，连同点开头的。"""
    return sorted(path.name for path in Path(name).iterdir() if path.is_dir())


def cut_while_saving(name: str) -> None:
    """在第 8 次更新之后存到一半时断电。"""
    right, calls = checkpoint._flush, 0

    def flush(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:  # 一个检查点落盘 5 次：三个文件、它们的文件夹、外面的文件夹
            raise PowerCut
        right(path)

    checkpoint._flush = flush
    try:
        with contextlib.suppress(PowerCut):
            fit(settings(name), make())
    finally:
        checkpoint._flush = right


cut_while_saving("saving")
print("断电之后:", entries("saving"))
print("算数的:", [folder.name for folder in checkpoint.complete(Path("saving"))])
_, said = fit(settings("saving"), again_model := make())
print(said[0])
print("训完之后:", entries("saving"))

# %% Ctrl-C
import signal

model, calls = make(), []


def press(*_: object) -> None:
    """第 10 次更新的第一个小批时按 Ctrl-C。"""
    calls.append(1)
    if len(calls) == 19:
        signal.raise_signal(signal.SIGINT)


model.register_forward_pre_hook(press)
print("训完了:", fit(settings("ctrl_c"), model)[0])
print("最后的检查点:", checkpoint.complete(Path("ctrl_c"))[-1].name)

# %% 检验 断在哪里都接得上，逐位相同
for forward in (1, 16, 17, 2 * UPDATES):
    name = f"cut-{forward}"
    with contextlib.suppress(PowerCut):
        fit(settings(name), cut_at(make(), forward))
    fresh = make()
    if checkpoint.complete(Path(name)):
        torch.manual_seed(99)  # 还没有检查点的，是从头训
    assert fit(settings(name), fresh)[0]
    assert furthest(fresh, whole) == 0.0 and losses(name) == right
assert furthest(resumed, whole) == 0.0 and losses("resumed") == right
fresh = make()
torch.manual_seed(99)
assert fit(settings("ctrl_c"), fresh)[0] and furthest(fresh, whole) == 0.0
assert furthest(again_model, whole) == 0.0  # 存到一半断电的也一样

# %% 检验 少了哪一样都看得见
assert len(damage) == 5 and all(gap > 1e-5 for gap in damage.values())
for name in MISSING:  # 断电之前的都相同，接上之后才不同
    assert losses(name)[: SAVED - 1] == right[: SAVED - 1] and losses(name) != right

# %% 检验 读回来的就是存下的
model = make()
optimizer = loop.build_optimizer(model, 1e-2, 0.1, (0.9, 0.95))
model(**rows.batch(torch.arange(4))).loss.backward()
optimizer.step()
torch.manual_seed(5)
folder = checkpoint.save(
    Path("one"), checkpoint.Progress(7, Position(2, 3)), model, optimizer, {"lr": 1e-2}
)
drawn = torch.rand(3)
other = make()
others = loop.build_optimizer(other, 1e-2, 0.1, (0.9, 0.95))
other(**rows.batch(torch.arange(4))).loss.backward()
others.step()
torch.nn.init.zeros_(other.lm_head.weight)
others.state[other.lm_head.weight]["exp_avg"].zero_()
progress = checkpoint.load_latest(Path("one"), other, others, {"lr": 1e-2})
assert progress == checkpoint.Progress(7, Position(2, 3)) and torch.rand(3).equal(drawn)
assert furthest(other, model) == 0.0
for p, q in zip(model.parameters(), other.parameters(), strict=True):
    for key, value in optimizer.state[p].items():
        assert value.equal(others.state[q][key])

# %% 检验 盘满：没写完的不留，旧的还在
stray = Path("one/.writing/stray")  # 上一次断电留下的，不该混进新的
stray.parent.mkdir()
stray.touch()
later = checkpoint.save(Path("one"), checkpoint.Progress(8), model, optimizer, {"lr": 1e-2})
assert not (later / "stray").exists() and not stray.exists()
flush = checkpoint._flush


def full(path: Path) -> None:
    """落盘时没有地方了。"""
    raise OSError(28, "No space left on device")


checkpoint._flush = full
try:
    checkpoint.save(Path("one"), checkpoint.Progress(9), model, optimizer, {"lr": 1e-2})
except OSError as error:
    print(error)
else:
    raise AssertionError("盘满了，应当说存不下")
finally:
    checkpoint._flush = flush
assert entries("one") == ["update-000007", "update-000008"]  # 没写完的清掉了，之前的都在

# %% 检验 换了配置就不接
for changed in ({"lr": 2e-2}, {"batch": 8}):
    try:
        fit(settings("whole", **changed), make())
    except ValueError as error:
        print(error)
    else:
        raise AssertionError("配置变了，应当拒绝")
assert fit(settings("whole", save_every=8), make())[0]  # 多久存一次可以变

# %% 检验 每一遍恰好各取一次，次序不同
def epoch(number: int) -> list[int]:
    """第 number 遍的次序：各行的编号。"""
    numbered = Rows(*(torch.arange(100)[:, None].expand(100, T) for _ in range(3)))
    batch, _ = take(numbered, Position(number, 0), 100, seed=0)
    return batch["input_ids"][:, 0].tolist()


assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(100)) and epoch(0) != epoch(1)
assert epoch(3) == torch.randperm(100, generator=torch.Generator().manual_seed(3)).tolist()

# %% 坏 直接写在原来的名字上
good = {name: p.detach() for name, p in whole.named_parameters()}
torch.save(good, "last.pt")
size = Path("last.pt").stat().st_size
buffer = io.BytesIO()
torch.save(good, buffer)
Path("last.pt").write_bytes(buffer.getvalue()[: size // 2])  # 新的写到一半，断电
try:
    torch.load("last.pt", weights_only=True)
except (OSError, RuntimeError):
    print("新的读不出来")
else:
    raise AssertionError("只有一半的文件，应当读不出来")
print("旧的也没有了，只剩:", [path.name for path in Path().glob("*.pt")])
