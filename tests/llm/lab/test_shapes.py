"""llm/model.py 的每条形状注释都与真跑的一次相符；改了形状却不写注释的行，测试会红。"""

import ast
import importlib.util
import io
import re
import sys
import tokenize
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations_with_replacement
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import llm.model
from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS
from llm.lab.shapes import PROBES, SIZES, Row, evaluate, sizes, trace, watch

SOURCE = Path(llm.model.__file__)
SHAPE = re.compile(r"\([^()]*\)")
B, T, PAST = 7, 13, 17
LAYERS = {"num_hidden_layers": 2}
SCALINGS: tuple[dict[str, Any], ...] = (
    {"rope_type": "linear", "factor": 2.0},
    {
        "rope_type": "llama3",
        "factor": 2.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
)


@dataclass(frozen=True)
class Seen:
    """一条语句的一次执行：得到的每个张量，与那时每个字母的值。"""

    line: int
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    changed: bool
    letters: tuple[tuple[str, int], ...]


def comments(source: str) -> dict[int, str]:
    """行号 → 那一行末尾写着形状的注释。"""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("# ")
        if token.type == tokenize.COMMENT and token.line.strip() != token.string:
            if text.startswith(("(", "各 (")):
                found[token.start[0]] = text
    return found


def statements(source: str) -> dict[int, tuple[int, str]]:
    """语句的起始行 → （末行, 它的形状注释），没有注释则是空字符串；注释在末行。"""
    written = comments(source)
    kinds = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return {n.lineno: (n.end_lineno or 0, written.get(n.end_lineno or 0, "")) for n in nodes}


def fits(letters: dict[str, int], pattern: str, shape: tuple[int, ...]) -> bool:
    """一个形状合不合注释里的一项；N 是 H 或 K，n 是任何数，... 是前面任何几维。"""
    parts = [part.strip() for part in pattern.strip("()").split(",") if part.strip()]
    if parts and parts[0] == "...":
        parts, shape = parts[1:], shape[len(shape) - len(parts) + 1 :]
    heads = {letters["H"], letters["K"]}
    return len(parts) == len(shape) and all(
        part == "n" or (size in heads if part == "N" else evaluate(part, letters) == size)
        for part, size in zip(parts, shape, strict=True)
    )


def executions(rows: list[Row], letters: dict[str, int]) -> set[Seen]:
    """每条语句的每一次执行；各层都一样的只留一份。"""
    steps: dict[int, list[Row]] = {}
    for row in rows:
        steps.setdefault(row.step, []).append(row)
    return {
        Seen(
            step[0].line,
            tuple(row.variable for row in step),
            tuple(row.shape for row in step),
            any(changes(row) for row in step),
            tuple(letters.items()),
        )
        for step in steps.values()
    }


def changes(row: Row) -> bool:
    """得到的形状是这条语句读到的张量里没有的；标量，与装在缓存、输出里原样转手的，不算。"""
    direct = re.fullmatch(r"\w+|return\[\d\]", row.variable) is not None
    return (direct or not row.alias) and row.shape != () and row.shape not in row.reads


def lies(source: str, seen: set[Seen]) -> list[str]:
    """与跟踪不符的注释，以及改了形状却没有注释的行。"""
    table = statements(source)
    return sorted({lie for step in seen if (lie := judge(table[step.line][1], step))})


def judge(comment: str, step: Seen) -> str:
    """一次执行与它的注释合不合；合就是空字符串。"""
    if not comment:
        return f"第 {step.line} 行：形状变了却没有注释：{step.names}" if step.changed else ""
    patterns = SHAPE.findall(comment) * (len(step.shapes) if comment.startswith("各") else 1)
    letters = dict(step.letters)
    if len(patterns) == len(step.shapes) and all(
        map(partial(fits, letters), patterns, step.shapes)
    ):
        return ""
    return f"第 {step.line} 行：写着 {comment}，其实是 {step.shapes}，{letters}"


def config(family: str, backend: str = "sdpa", **overrides: Any) -> LLMConfig:
    fields = {**SIZES, **LAYERS, "attention_backend": backend, **overrides}
    return LLMConfig.preset(family, **fields)


def forward(made: LLMConfig, past: str, padded: bool, module: ModuleType = llm.model) -> set[Seen]:
    """建模型、跑一次前向，两件事都跟踪；past 是 ""、cache（DynamicCache）或 tuple。"""
    length = PAST if past else 0
    ids = torch.arange(B * (T + length)).view(B, -1) % made.vocab_size
    kept: Any = None
    with torch.no_grad(), watch(None, module) as built:
        model = module.LLMForCausalLM(made).eval()
    with torch.no_grad():
        if past:
            empty = tuple((torch.empty(B, 5, 0, 8),) * 2 for _ in range(2))
            given = empty if past == "tuple" else None
            kept = model(ids[:, :length], past_key_values=given, use_cache=True).past_key_values
        mask = torch.ones(B, length + T) if padded else None
        labels = ids[:, length:]
        with watch(model, module) as rows:
            model(labels, mask, past_key_values=kept, labels=labels)
    letters = sizes(made, B, T, length)
    return executions(built, letters) | executions(rows, letters)


def generate(made: LLMConfig) -> set[Seen]:
    """手写的生成，走一步；带填充掩码与 EOS，分支都走到。"""
    model = LLMForCausalLM(made).eval()
    ids = torch.arange(B * T).view(B, -1) % made.vocab_size
    with watch(model) as rows:
        llm.model.greedy_generate(model, ids, 1, torch.ones(B, T), eos_token_id=0)
    inside = [row for row in rows if row.function == "greedy_generate"]  # 里面的前向只留一个位置
    return executions(inside, sizes(made, B, T))


def packed(made: LLMConfig) -> set[Seen]:
    """一行里首尾相接放了几篇：掩码由位置来；也可以由调用者给一张四维的。"""
    model = LLMForCausalLM(made).eval()
    ids = torch.arange(B * T).view(B, -1) % made.vocab_size
    with torch.no_grad(), watch(model) as rows:
        model(ids, position_ids=torch.arange(T)[None].repeat(B, 1) % 5)
        model(ids, torch.ones(B, 1, T, T, dtype=torch.bool).tril())
    return executions(rows, sizes(made, B, T))


@pytest.fixture
def seen() -> set[Seen]:
    """全部跟踪；只跑一次，跑的时候单线程那个约定已经生效。"""
    return every_run()


@cache
def every_run() -> set[Seen]:
    """五个家族、两种后端、有没有过去、有没有填充，再加手写的生成、打包的行、放慢了的旋转。"""
    found = generate(config("llama")) | packed(config("llama"))
    for scaling in SCALINGS:
        found |= forward(config("llama", rope_frequency_scaling=scaling), "", False)
    for family in PRESETS:
        for backend in ("sdpa", "manual"):
            made = config(family, backend)
            for past, padded in (("", False), ("cache", False), ("tuple", True)):
                found |= forward(made, past, padded)
    return found


def test_every_comment_tells_the_truth(seen: set[Seen]) -> None:
    assert lies(SOURCE.read_text("utf-8"), seen) == []


def test_every_comment_was_checked(seen: set[Seen]) -> None:
    source = SOURCE.read_text("utf-8")
    commented = {first for first, (_, comment) in statements(source).items() if comment}
    assert commented - {step.line for step in seen} == set()
    ends = {end for end, comment in statements(source).values() if comment}
    assert ends == set(comments(source)), "有形状注释不在赋值或返回语句的末行"
    assert len(commented) > 40


@pytest.mark.parametrize("line", sorted(comments(SOURCE.read_text("utf-8"))))
def test_a_wrong_comment_is_seen(seen: set[Seen], line: int) -> None:
    lines = SOURCE.read_text("utf-8").split("\n")
    code, _, comment = lines[line - 1].rpartition("  # ")
    wrong = re.sub(r"\b(\w[\w*/+]*)(?=,?\))", "V*V", comment)
    assert wrong != comment
    lines[line - 1] = f"{code}  # {wrong}"
    assert lies("\n".join(lines), seen)


UNLABELLED = {
    "q = self.q_proj(x).view": "q",
    "weights = attention_weights(": "weights",
    "merged = y.transpose(": "merged",
    "x = self.embed_tokens(": "x",
    "logits = self.lm_head(": "logits",
    "k = torch.cat(": "k",
    "new = chosen.unsqueeze(": "new",
}


@pytest.mark.parametrize("start", UNLABELLED)
def test_a_missing_comment_is_seen(seen: set[Seen], start: str) -> None:
    lines = SOURCE.read_text("utf-8").split("\n")
    (number,) = (i for i, line in enumerate(lines) if line.strip().startswith(start))
    lines[number] = lines[number].rpartition("  # ")[0]
    (lie,) = lies("\n".join(lines), seen)
    assert f"第 {number + 1} 行：形状变了却没有注释" in lie and UNLABELLED[start] in lie


EDITS = {
    "写着 (..., 1)": (
        ".mean(-1, keepdim=True) + self.eps)  # (..., 1)",
        ".mean(-1, keepdim=True).expand_as(wide) + self.eps)  # (..., 1)",
    ),
    "形状变了却没有注释：('flat',)": (
        "        return self.down_proj(gate * up)",
        "        flat = gate.flatten(0, 1)\n        return self.down_proj(gate * up)",
    ),
}


@pytest.mark.parametrize("said", EDITS)
def test_changed_code_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """真的跑一份改过的副本：一份代码改了而注释没动，一份多了一行没有注释的。"""
    source, (old, new) = SOURCE.read_text("utf-8"), EDITS[said]
    assert source.count(old) == 1
    path = tmp_path / "edited.py"
    path.write_text(source.replace(old, new), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("edited", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "edited", module)
    spec.loader.exec_module(module)
    found = lies(path.read_text("utf-8"), forward(config("llama"), "", False, module))
    assert found and all(said in lie for lie in found)


@pytest.mark.parametrize("family", PRESETS)
def test_sizes_name_only_one_letter(family: str) -> None:
    """各字母的值、两两的积都不相同：一个数只对得上一个式子。"""
    made = config(family)
    for probe in PROBES:
        letters = {name: n for name, n in sizes(made, *probe).items() if n}
        if made.rotary_dim == made.head_dim:
            letters.pop("R")
        if not probe[2]:
            letters.pop("S")  # 没有过去时 S = T
        pairs = combinations_with_replacement([name for name in letters if name != "R"], 2)
        numbers = [*letters.values(), 2 * letters["I"], made.rotary_dim // 2]
        numbers += [letters[a] * letters[b] for a, b in pairs]
        assert 1 not in numbers and len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
@pytest.mark.parametrize("family", PRESETS)
def test_letters_predict_other_sizes(family: str, backend: str) -> None:
    """字母是在 SIZES 上找的：换一套尺寸真跑，代进去处处相等。"""
    other = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 12}
    made = config(family, backend, **other, vocab_size=50, intermediate_size=36)
    for batch, length, past in ((1, 4, 0), (2, 1, 6), (3, 5, 4), (2, 1, 0)):
        letters = sizes(made, batch, length, past)
        rows = trace(made, batch, length, past)
        assert {row.module for row in rows} >= {"model.layers.1.mlp", "model.norm", ""}
        for row in rows:
            assert tuple(evaluate(text, letters) for text in row.letters) == row.shape, row


def test_letters_are_the_ones_in_the_legend() -> None:
    rows = trace(config("glm", "manual"), 2, 5, 3)
    named = {(r.function, r.variable): r.text for r in rows}
    assert named["Attention.forward", "q"] == "(B, H, T, D)"
    assert named["Attention.forward", "k"] == "(B, K, S, D)"
    assert named["Attention.forward", "weights"] == "(B, H, T, S)"
    assert named["apply_rotary", "turned"] == "(B, K, T, R)"  # 先 q 后 k，留下的是 k 的
    assert named["LLMForCausalLM.forward", "logits"] == "(B, T, V)"
    assert {r.dtype for r in rows} == {"int64", "float32", "bool"}


def test_watch_restores_the_debugger() -> None:
    def debugger(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with pytest.raises(ValueError, match="超出旋转表"), watch():
            LLMForCausalLM(config("llama"))(torch.zeros(1, 40, dtype=torch.long))
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(before)


def test_trace_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trace(config("llama"), 1, 2)
    assert torch.rand(1) == expected
