"""四个命令：整条线走一遍；坏的输入说一句中文，什么也不丢。"""

import io
import json
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.model import LLMForCausalLM
from llm.train.__main__ import COMMANDS, main, options, parse
from llm.train.pretrain import PretrainConfig, unigram_bits, xz_bits

TINY = (
    "--hidden-size 32 --intermediate-size 48 --layers 1 --heads 2 --kv-heads 1 --seq-len 64"
    " --batch 4 --updates 4 --warmup 1 --validate-every 2 --save-every 2 --device cpu"
    " --held-out 0.3"
).split()
SHORT = "--seq-len 64 --batch 4 --updates 4 --warmup 1 --device cpu --held-out 0.3".split()


def corpus(folder: Path) -> Path:
    """Python 自带的说明，与由它们造的一问一答；另有一行坏的。"""
    folder.mkdir()
    names = sorted(topics)[:10]
    texts = [{"source": name, "text": topics[name][:1500]} for name in names]
    talks = [
        {
            "source": name,
            "messages": [
                {"role": "user", "content": f"What is {name}?"},
                {"role": "assistant", "content": topics[name].split("\n")[0][:40]},
            ],
        }
        for name in names
    ]
    (folder / "text.jsonl").write_text("".join(json.dumps(line) + "\n" for line in texts) + "{\n")
    (folder / "messages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in talks))
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """语料 → 分词器 → 预训练 → 微调，全由命令做；返回那个文件夹。"""
    root = tmp_path_factory.mktemp("line")
    data, tokenizer = str(corpus(root / "corpus")), str(root / "tokenizer")
    given = ["--data", data, "--out", tokenizer, "--vocab-size", "300", "--held-out", "0.3"]
    assert main(["tokenizer", *given]) == 0
    out = ["--out", str(root / "pretrain"), "--tokenizer", tokenizer]
    assert main(["pretrain", "--data", data, *out, *TINY]) == 0
    model = ["--model", str(root / "pretrain/model"), "--out", str(root / "sft")]
    assert main(["sft", "--data", data, *model, *SHORT, "--lora-rank", "2"]) == 0
    return root


def test_the_folders_are_ordinary_hf_folders(line: Path) -> None:
    for stage in ("pretrain", "sft"):
        model = AutoModelForCausalLM.from_pretrained(line / stage / "model")
        tokenizer = AutoTokenizer.from_pretrained(line / stage / "model")
        assert isinstance(model, LLMForCausalLM) and len(tokenizer) == 300
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert not [name for name in model.state_dict() if "lora" in name]


def test_the_metrics_carry_validation(line: Path) -> None:
    for stage, name in (("pretrain", "bits_per_byte"), ("sft", "held_out_loss")):
        text = (line / stage / "metrics.jsonl").read_text()
        lines = [json.loads(one) for one in text.splitlines()]
        assert [one["update"] for one in lines] == [1, 2, 3, 4]
        assert 0 < lines[-1][name] < 20


def test_the_same_command_again_trains_nothing_and_says_the_same(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (line / "pretrain/metrics.jsonl").read_bytes()
    given = ["--data", str(line / "corpus"), "--out", str(line / "pretrain")]
    assert main(["pretrain", *given, "--tokenizer", str(line / "tokenizer"), *TINY]) == 0
    said = capsys.readouterr().out
    assert "接着第 4 次更新训" in said and "text.jsonl:11：不是 JSON" in said
    assert "留出文字上每字节的比特数：模型" in said and "xz" in said
    assert (line / "pretrain/metrics.jsonl").read_bytes() == before


def test_talking_streams_and_remembers(
    line: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("你好\n再说一遍\n\n不会读到\n"))
    given = ["--model", str(line / "sft/model"), "--max-new-tokens", "8", "--device", "cpu"]
    assert main(["chat", *given]) == 0
    assert capsys.readouterr().out.count("你：") == 3


def test_too_long_a_question_is_told(
    line: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("长" * 100 + "\n"))
    assert main(["chat", "--model", str(line / "sft/model"), "--device", "cpu"]) == 1
    assert "至多看 64 个：说短一点" in capsys.readouterr().err


def test_greedy_talk_is_the_same_twice(
    line: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.StringIO("你好\n"))
        given = ["--model", str(line / "sft/model"), "--temperature", "0", "--device", "cpu"]
        assert main(["chat", *given, "--max-new-tokens", "8"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


# ---- 别人的模型 ----


def test_a_checkpoint_of_transformers_can_be_tuned(line: Path, theirs: Any, tmp_path: Path) -> None:
    """HF 的 Llama 存下的文件夹，配上自己的分词器，接着微调。"""
    reference = theirs("llama", vocab_size=300, max_position_embeddings=64)
    reference.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(line / "tokenizer").save_pretrained(tmp_path / "theirs")
    given = ["--model", str(tmp_path / "theirs"), "--out", str(tmp_path / "sft")]
    assert main(["sft", "--data", str(line / "corpus"), *given, *SHORT]) == 0
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "sft/model").state_dict()
    assert tuned.keys() == reference.state_dict().keys()
    assert not torch.equal(tuned["lm_head.weight"], reference.lm_head.weight)


# ---- 说得清楚的错 ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("pretrain --nope 1", "没有 --nope 这个选项；有 --data、"),
        ("pretrain --lr", "--lr 后面要有一个值"),
        ("pretrain --lr=fast", "--lr fast：应是一个数"),
        ("pretrain --batch 1.5", "--batch 1.5：应是一个整数"),
        ("pretrain --data nowhere", "nowhere 里没有 .jsonl；知识库的语料由 rizhi corpus"),
        ("pretrain --tokenizer nowhere", "没有 nowhere 这个文件夹"),
        ("pretrain --updates 0", "updates=0：应至少为 1"),
        ("pretrain --heads 3", "查询头数应是键值头数的整数倍"),
        ("pretrain --family gpt2", "没有名为 'gpt2' 的家族"),
        ("pretrain --hidden-size 4194304 --heads 2 --kv-heads 1", "放不下"),
        ("sft --seq-len 4096", "seq_len=4096 超出模型旋转表的 64 行"),
        ("tokenizer --vocab-size 999999", "词表要 999999，这些文字只学得出"),
        ("chat --model nowhere", "没有 nowhere 这个文件夹"),
        ("sft --seq-len 64 --device tpu", "device='tpu'"),
        ("sft --seq-len 64 --held-out 0.99", "都不能空"),
    ],
)
def test_bad_input_is_a_sentence(
    line: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: str, words: str
) -> None:
    name, *rest = arguments.split()
    known = {
        "--data": line / "corpus",
        "--out": tmp_path / "out",
        "--tokenizer": line / "tokenizer",
        "--model": line / "pretrain/model",
    }
    defaults = [part for option, path in known.items() if option in options(COMMANDS[name][0])
                for part in (option, str(path))]  # fmt: skip
    assert main([name, *defaults, *rest]) == 1
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
    assert not list(tmp_path.glob("out/update-*"))


def test_only_talks_or_only_texts_are_told(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talks, texts = line / "corpus/messages.jsonl", line / "corpus/text.jsonl"
    given = ["--tokenizer", str(line / "tokenizer"), "--out", str(tmp_path)]
    assert main(["pretrain", "--data", str(talks), *given]) == 1
    assert '预训练要有 "text" 的行' in capsys.readouterr().err
    model = ["--model", str(line / "pretrain/model"), "--out", str(tmp_path)]
    assert main(["sft", "--data", str(texts), *model, *SHORT]) == 1
    assert '微调要有 "messages" 的行' in capsys.readouterr().err


def test_talks_too_long_for_a_row_are_counted_and_left_out(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.jsonl"
    long = {"source": "long", "messages": [{"role": "assistant", "content": "长" * 200}]}
    text = (line / "corpus/messages.jsonl").read_text() + json.dumps(long) + "\n"
    path.write_text(text)
    model = ["--model", str(line / "pretrain/model"), "--out", str(tmp_path / "out")]
    assert main(["sft", "--data", str(path), *model, *SHORT]) == 0
    assert "1 段对话长过 seq_len=64，没有用" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_field_in_chinese(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    for option, (_, words) in options(COMMANDS[name][0]).items():
        assert option in said and words in said
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words)


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0 and main(["train"]) == 2
    said = capsys.readouterr().out
    assert all(said.count(f"\n  {name} ") == 2 for name in COMMANDS)


def test_options_become_fields_of_their_type() -> None:
    given = "--lr=2e-3 --updates 7 --least-lr 1e-3 --warmup 0 --out a/b".split()
    config = parse(PretrainConfig, given)
    assert (config.lr, config.updates, config.out) == (2e-3, 7, Path("a/b"))


# ---- 基线 ----


def test_baselines_know_what_they_have_seen() -> None:
    """背下来的文字 xz 几乎不花比特；一元的就是词频的熵。"""
    text = topics["assert"]
    assert xz_bits([text], [text]) < 0.5 < xz_bits(["x"], [text])
    train = [([1, 2, 1, 2], [1, 2, 1, 2])] * 1000
    assert unigram_bits(train, train, [0.0, 1.0, 1.0]) == pytest.approx(1.0, abs=0.01)
