"""形状题：真跑出来的才问，大小换得了就换，注释写错的说出来；数与字母都认。"""

import ast
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import transformers

from rizhi.recall import grade, recorded, shapes
from rizhi.recall.cards import SHAPED, Card
from rizhi.snippets import recording
from rizhi.vault import Vault, find_vault

PACKAGE = '''
def split_heads(x, heads):
    """拆头。"""
    B, T, C = x.shape
    y = x.view(B, T, heads, C // heads)  # (B, T, H, D)
    return y.transpose(1, 2)  # (B, H, T, D)


def attend(q, k):
    att = q @ k.transpose(-2, -1)  # (B, nh, T, hs) x (B, nh, hs, S) -> (B, nh, T, S)
    return att.softmax(-1)
'''
SNIPPET = """
# %% 拆
import torch

from llm.heads import attend, split_heads

x = torch.randn(2, 6, 12)  # (B, T, C)
q = split_heads(x, 3)  # (B, H, T, D)
print(tuple(q.shape))
torch.manual_seed(0)
weights = attend(q, q)  # (B, H, T, S)
R = 6
layer = torch.nn.Linear(12, 5)
out = layer(x)  # (B, T, V)
wrong = layer(x)[0]  # (B, T, V)
kept = x[x > 0]  # (N,)
theta = 1e4 ** (-torch.arange(0, R, 2) / R)  # (R/2,)
never = 1
if never > 1:
    lost = x.mT  # (B, C, T)
print(torch.rand(1).item())
"""


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, forkserver: None) -> Path:
    """录过、算过的一个知识库；各个测试用它的副本。"""
    root = tmp_path_factory.mktemp("computed")
    (root / "pyproject.toml").write_text('[tool.rizhi]\nsource = "llm"\n', "utf-8")
    for name in ("docs/notes/model", "snippets", "llm"):
        (root / name).mkdir(parents=True)
    (root / "llm/__init__.py").write_text("", "utf-8")
    (root / "llm/heads.py").write_text(PACKAGE, "utf-8")
    (root / "snippets/heads.py").write_text(SNIPPET, "utf-8")
    fence = "```source\nllm.heads:split_heads\nllm.heads:attend\n```\n"
    page = f"---\ntitle: 头\nsnippet: heads\n---\n\n# 头\n\n{fence}"
    (root / "docs/notes/model/heads.md").write_text(page, "utf-8")
    vault = find_vault(root)
    recording.record(vault, root / "snippets/heads.py")
    assert list(shapes.prepare(vault)) == []
    return root


@pytest.fixture
def written(computed: Path, tmp_path: Path) -> Vault:
    shutil.copytree(computed, tmp_path / "vault")
    return find_vault(tmp_path / "vault")


def cards(vault: Vault) -> dict[str, Card]:
    found = shapes.cards(vault, recorded.gather(vault))
    return {card.text.partition("\n")[2]: card for card in found}


def drawn(vault: Vault) -> dict[str, list[dict[str, Any]]]:
    data = json.loads((vault.root / ".rizhi/shapes/heads.json").read_bytes())
    return {line["code"]: line["variants"] for line in data["lines"]}


def test_lines_of_the_snippet_and_of_the_source_it_shows_are_asked(written: Vault) -> None:
    found = cards(written)
    assert found.keys() == {
        "q = split_heads(x, 3)",
        "weights = attend(q, q)",
        "out = layer(x)",
        "theta = 1e4 ** (-torch.arange(0, R, 2) / R)",
        "y = x.view(B, T, heads, C // heads)",
        "return y.transpose(1, 2)",
        "att = q @ k.transpose(-2, -1)",
    }
    split = found["y = x.view(B, T, heads, C // heads)"]
    assert (split.kind, split.note, split.symbol) == (SHAPED, "heads", "llm.heads:split_heads")
    assert split.where == "llm/heads.py:5" and grade.judged(split)


def test_sizes_are_drawn_anew_and_every_answer_was_really_run(written: Vault) -> None:
    """能换的都换过，字母看得出是哪个；权重定下的那一维换不了。"""
    found = drawn(written)
    for variant in found["return y.transpose(1, 2)"]:
        (given,) = variant["given"]
        B, T, H, D = ast.literal_eval(given.removeprefix("y："))
        assert variant["shape"] == [B, H, T, D] and len({B, T, H, D}) == 4
    assert len(found["return y.transpose(1, 2)"]) > 2
    for variant in found["out = layer(x)"]:
        *ahead, last = variant["shape"]
        assert last == 5 and "layer：Linear(in_features=12" in str(variant["given"])
        assert ahead != [2, 6]
    halves = found["theta = 1e4 ** (-torch.arange(0, R, 2) / R)"]
    assert len(halves) > 1
    assert all(v["given"] == [f"R = {2 * v['shape'][0]}"] for v in halves)  # R 总是偶数
    q, k = ("q：(", "k：(")
    for variant in found["att = q @ k.transpose(-2, -1)"]:
        assert str(variant["given"]).count(q) == str(variant["given"]).count(k) == 1


def test_one_day_has_one_draw_and_the_text_never_changes(
    written: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import date, timedelta

    seen, texts = [], set()
    for day in range(20):
        monkeypatch.setattr(shapes, "today", lambda _, n=day: date(2026, 1, 1) + timedelta(n))
        again = cards(written)
        assert again == cards(written)
        texts.add(frozenset(card.text for card in again.values()))
        seen.append(again["return y.transpose(1, 2)"].answer)
    assert len(texts) == 1 and len(set(seen)) > 1
    assert all(one != two for one, two in pairwise(seen))


def test_answers_in_numbers_and_in_letters_are_both_right(written: Vault) -> None:
    card = cards(written)["return y.transpose(1, 2)"]
    sizes = card.answer.partition(" = ")[0]
    bare = " ".join(shapes.read(sizes))
    for said in (
        sizes,
        bare,
        f"torch.Size([{bare.replace(' ', ', ')}])",
        "B h T D",
        "（B，H，T，D）",
    ):
        verdict = grade.grade(written, card, said)
        assert verdict and verdict.right, said
    for said, told in (
        ("B T H D", "第 2、3 维"),
        ("(B, T)", "你写了 2 维"),
        ("__import__('os')", "维"),
    ):
        verdict = grade.grade(written, card, said)
        assert verdict and not verdict.right and told in verdict.lines[0]
        assert "H, T" not in verdict.lines[0]
    steps = grade.hints(written, card)
    assert steps[0] == "一共 4 维。" and all(card.answer not in step for step in steps)


@pytest.mark.parametrize(
    ("said", "dim", "right"),
    [
        ("D*H", "H*D", True),
        ("2I", "2*I", True),
        ("T+1", "1+T", True),
        ("r/2", "R/2", True),
        ("H", "K", False),
        ("9**9**9", "H", False),
        ("1/0", "H", False),
        ("9" * 5000, "H", False),
        ("(" * 5000, "H", False),
    ],
)
def test_an_expression_is_compared_by_its_value(said: str, dim: str, right: bool) -> None:
    card = Card("n", SHAPED, "f\nx", f"(7,) = ({dim},)", "a:1")
    verdict = grade.grade(None, card, said)
    assert verdict and verdict.right is right


def test_the_run_sees_the_same_random_numbers_as_without_looking(written: Vault) -> None:
    """看的时候多跑了几遍，片段后面的结果不变：不然断言会红，后面的行就看不到了。"""
    path = written.snippets / "heads.py"
    recorded = (written.outputs / "heads").glob("*.txt")
    last = next(recorded).read_text("utf-8").split()[-1]
    checked = f"assert abs(torch.rand(1).item() - {last}) < 1e-6\n" + "late = x.mT  # (B, C, T)\n"
    path.write_text(SNIPPET.replace("print(torch.rand(1).item())\n", checked), "utf-8")
    recording.record(written, path)
    list(shapes.prepare(written))
    assert "late = x.mT" in cards(written)


def test_nothing_is_computed_twice_and_a_change_asks_no_stale_question(written: Vault) -> None:
    file = written.root / ".rizhi/shapes/heads.json"
    before = file.stat().st_mtime_ns
    list(shapes.prepare(written))
    assert file.stat().st_mtime_ns == before
    source = written.root / "llm/heads.py"
    source.write_text(PACKAGE.replace("transpose(1, 2)", "permute(0, 2, 1, 3)"), "utf-8")
    assert cards(written) == {}
    recording.record(written, written.snippets / "heads.py")
    list(shapes.prepare(written))
    assert "return y.permute(0, 2, 1, 3)" in cards(written)


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"lines": 3}', b"\xff", b'{"lines": [{}]}'])
def test_a_damaged_file_is_no_question(written: Vault, damage: bytes) -> None:
    (written.root / ".rizhi/shapes/heads.json").write_bytes(damage)
    assert cards(written) == {}


def test_without_the_library_it_says_which_one(
    written: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rizhi.snippets import run

    shutil.rmtree(written.root / ".rizhi/shapes")
    monkeypatch.setattr(run, "installed", lambda name: name != "torch")
    assert list(shapes.prepare(written)) == ["heads 的形状题没有算：要用 torch，这里没有装。"]
    assert cards(written) == {}


def test_a_model_that_somebody_else_wrote(vault: Vault) -> None:
    """transformers 的 DistilBERT 当源码包：不认得它，也照样问得出来。"""
    original = Path(transformers.__file__).parent / "models/distilbert/modeling_distilbert.py"
    text = original.read_text("utf-8").replace("from ... ", "from transformers ")
    text = text.replace("from ...", "from transformers.")
    text = text.replace("from .conf", "from transformers.models.distilbert.conf")
    (vault.root / "llm/__init__.py").write_text("", "utf-8")
    (vault.root / "llm/bert.py").write_text(text, "utf-8")
    path = vault.snippets / "bert.py"
    path.write_text(
        "# %% 跑\nimport torch\nfrom transformers import DistilBertConfig\n"
        "from llm.bert import DistilBertForMaskedLM\n"
        "small = DistilBertConfig(vocab_size=11, dim=8, n_heads=2, n_layers=1, hidden_dim=16)\n"
        "print(DistilBertForMaskedLM(small)(torch.ones(2, 5).long()).logits.shape)\n",
        "utf-8",
    )
    note = vault.notes / "model/bert.md"
    note.parent.mkdir(parents=True)
    fence = "```source\nllm.bert:Embeddings\nllm.bert:DistilBertForMaskedLM\n```\n"
    note.write_text(f"---\ntitle: 别人的\nsnippet: bert\n---\n\n# 别人的\n\n{fence}", "utf-8")
    recording.record(vault, path)
    list(shapes.prepare(vault))
    found = cards(vault)
    last = found["prediction_logits = self.vocab_projector(prediction_logits)"]
    assert last.symbol == "llm.bert:DistilBertForMaskedLM.forward"
    assert last.answer.endswith(" = (bs, seq_length, vocab_size)") and ", 11)" in last.answer
    summed = found["embeddings = inputs_embeds + position_embeddings"]
    assert len(set(shapes.read(summed.answer.partition(" = ")[0]))) == 3
    assert len(found) >= 8
