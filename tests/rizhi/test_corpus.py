"""知识库写成语料：一篇一行、一问一行；草稿与日记不在内，不是自己写的文件不动。"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rizhi import corpus
from rizhi.vault import Vault, find_vault

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
NOTE = """---
title: 题
created: 2026-11-20
snippet: rope
{front}---

# 题

## 一句话

转一个角。

## 自测

??? question "转的是谁？"

    q 与 k。

    - v 不转。

???+ question "为什么 `(B, T)`？"
    因为要广播。

??? question
    没有题目的不算。

??? note "不是一问"
    不算。
"""


@pytest.fixture
def lines(vault: Vault, rz: Run, tmp_path: Path) -> Callable[[], dict[str, list[dict[str, Any]]]]:
    def read() -> dict[str, list[dict[str, Any]]]:
        folder = tmp_path / "语料"
        result = rz("corpus", str(folder))
        assert result.exit_code == 0, result.output
        texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
        found = {name: [json.loads(line) for line in t.splitlines()] for name, t in texts.items()}
        for name, listed in found.items():
            assert f"{folder / name}：{len(listed)} 行" in result.stdout
        return found

    return read


def note(vault: Vault, slug: str, front: str = "") -> None:
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NOTE.format(front=front), "utf-8")
    vault.snippets.mkdir(exist_ok=True)
    (vault.snippets / "rope.py").write_text("# %% 甲\nprint(1)\n", "utf-8")


def test_a_note_is_one_line_with_its_snippet(vault: Vault, lines: Any) -> None:
    note(vault, "rope")
    (line,) = [one for one in lines()["text.jsonl"] if one["source"] == "notes/rope"]
    assert line["text"].startswith("# 题") and line["text"].endswith("# %% 甲\nprint(1)")
    assert "title:" not in line["text"]


def test_each_question_is_a_talk_of_the_same_source(vault: Vault, lines: Any) -> None:
    note(vault, "rope")
    first, second = lines()["messages.jsonl"]
    assert first["source"] == second["source"] == "notes/rope"
    assert [one["role"] for one in first["messages"]] == ["user", "assistant"]
    assert first["messages"][0]["content"] == "转的是谁？"
    assert first["messages"][1]["content"] == "q 与 k。\n\n- v 不转。"
    assert second["messages"][0]["content"] == "为什么 `(B, T)`？"
    assert second["messages"][1]["content"] == "因为要广播。"


def test_drafts_and_broken_pages_are_left_out(vault: Vault, lines: Any) -> None:
    note(vault, "done")
    note(vault, "half", "draft: true\n")
    (vault.notes / "model/gbk.md").write_bytes("# 坏".encode("gbk"))
    found = lines()
    assert {one["source"] for one in found["text.jsonl"]} == {"notes/done"}
    assert {one["source"] for one in found["messages.jsonl"]} == {"notes/done"}


def test_the_diary_is_left_out_unless_asked_for(vault: Vault, write: Write, lines: Any) -> None:
    write("2026-11-20", "# 一天\n\n## 思考\n\n私下的话\n")
    assert lines()["text.jsonl"] == []
    settings = vault.root / "pyproject.toml"
    settings.write_text(settings.read_text("utf-8") + "\ncorpus_days = true\n", "utf-8")
    (line,) = lines()["text.jsonl"]
    assert line["source"] == "daily/2026-11-20" and "私下的话" in line["text"]


def test_the_source_package_is_a_line_a_file(vault: Vault, lines: Any) -> None:
    (vault.root / "llm").mkdir(exist_ok=True)
    (vault.root / "llm/__init__.py").write_text("", "utf-8")
    (vault.root / "llm/mask.py").write_text("M = 1\n", "utf-8")
    assert lines()["text.jsonl"] == [{"source": "llm/mask.py", "text": "M = 1\n"}]


def test_an_empty_vault_still_has_what_comes_with_python(lines: Any) -> None:
    found = lines()
    assert found["text.jsonl"] == found["messages.jsonl"] == []
    assert len(found["python.jsonl"]) > 50
    assert all(one["source"].startswith("python/") for one in found["python.jsonl"])


def test_no_topic_of_python_stands_whole_in_another() -> None:
    bare = ["".join(text.partition("\n\n")[2].split()) for _, text in corpus.python_topics()]
    assert len(bare) > 50
    assert not [one for one in bare if sum(one in other for other in bare) > 1]


def test_again_replaces_what_was_written(vault: Vault, lines: Any) -> None:
    note(vault, "rope")
    assert len(lines()["messages.jsonl"]) == 2
    (vault.notes / "model/rope.md").unlink()
    assert lines()["messages.jsonl"] == []
    note(vault, "rope")
    assert len(lines()["messages.jsonl"]) == 2


@pytest.mark.parametrize("own", ["他的\n", '{"text": "他的"}\n', "\x00\xff"])
def test_a_file_of_his_own_is_not_touched(vault: Vault, rz: Run, tmp_path: Path, own: str) -> None:
    path = tmp_path / "他的/text.jsonl"
    path.parent.mkdir()
    path.write_text(own, "utf-8")
    result = rz("corpus", str(path.parent))
    assert result.exit_code == 1 and "不是这里写的" in result.stderr
    assert path.read_text("utf-8") == own
    assert list(path.parent.iterdir()) == [path]


def test_never_into_the_pages_that_are_published(vault: Vault, rz: Run) -> None:
    vault.docs.mkdir(exist_ok=True)
    result = rz("corpus", str(vault.docs / "语料"))
    assert result.exit_code == 1 and "与 docs/ 套在一起" in result.stderr
    assert not (vault.docs / "语料").exists()


def test_every_note_of_a_split_is_whole(vault: Vault) -> None:
    """同一篇的文字与自测 source 相同：按它分，就不会分开。"""
    for slug in ("a", "b"):
        note(vault, slug)
    found = corpus.files(find_vault(vault.root))
    for slug in ("a", "b"):
        assert any(line["source"] == f"notes/{slug}" for line in found["text.jsonl"])
        assert sum(line["source"] == f"notes/{slug}" for line in found["messages.jsonl"]) == 2
