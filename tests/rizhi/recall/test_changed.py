"""因代码改了而到期：笔记的 source 围栏显示的源码变了，它的卡片今天就问，并说出改在哪里。"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rizhi.recall import changed, log, schedule
from rizhi.snippets import source
from rizhi.vault import Vault

Run = Callable[..., Result]
SOURCE = """import math


def scale(x, size):
    \"\"\"除以根号。\"\"\"
    return x / math.sqrt(size)


class Norm:
    eps = 1e-6

    def forward(self, x):
        return x
"""


def note(vault: Vault, slug: str, fence: str, text: str) -> Path:
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f'## 在 llm 里\n\n```source\n{fence}\n```\n\n## 自测\n\n??? question "{text}"\n    答\n'
    path.write_text(f"---\ntitle: 题\n---\n\n# 题\n\n{body}", "utf-8")
    return path


@pytest.fixture
def model(vault: Vault, rz: Run) -> Path:
    """两篇笔记各一题，各显示一个名字；都答过了，下一次在 11-25。"""
    path = vault.root / "llm/model.py"
    path.write_text(SOURCE, "utf-8")
    note(vault, "scale", "llm.model:scale # sqrt", "为什么要除以根号？")
    note(vault, "norm", "llm.model:Norm.forward\nllm.model:没有的", "归一化沿哪一维？")
    assert rz("review", input="\r3" * 2).exit_code == 0
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def written(vault: Vault, what: str) -> list[dict[str, Any]]:
    lines = map(json.loads, log.path(vault).read_text("utf-8").splitlines())
    return [line for line in lines if line["what"] == what]


def test_the_source_seen_is_written_once(vault: Vault, rz: Run, model: Path) -> None:
    codes = written(vault, "code")
    assert [code["symbol"] for code in codes] == ["llm.model:Norm.forward", "llm.model:scale"]
    assert codes[0]["text"] == "def forward(self, x):\n    return x"
    assert [review["why"] for review in written(vault, "review")] == ["new", "new"]
    rz("review", at="2026-11-25 21:30", input="\r3" * 2)
    assert written(vault, "code") == codes  # 没有变，就不再写
    assert {tuple(r["code"]) for r in written(vault, "review")} == {(c["id"],) for c in codes}


def test_a_change_makes_the_card_due_today_and_shows_where(
    vault: Vault, rz: Run, model: Path
) -> None:
    before = schedule.replay(log.read(vault)[0])
    edit(model, "math.sqrt(size)", "size**0.5")
    assert "今天要复习 1 张" in rz("new", at="2026-11-24 21:00").stdout
    shown = json.loads(rz("review", "--json", at="2026-11-24 21:00").stdout)["cards"]
    (card,) = shown
    assert (card["note"], card["why"]) == ("scale", "code")
    assert card["changed"][0]["symbol"] == "llm.model:scale"
    assert "-    return x / math.sqrt(size)" in card["changed"][0]["diff"]
    assert "+    return x / size**0.5" in card["changed"][0]["diff"]
    result = rz("review", at="2026-11-24 21:30", input="\r3")
    assert "1 张：到期的 1（1 张因代码改了），新的 0。" in result.stdout
    asked, _, answered = result.stdout.partition("为什么要除以根号？")
    assert "llm.model:scale 改了，答完看改在哪里。" in asked and "size**0.5" not in asked
    assert "    +    return x / size**0.5" in answered
    assert [r["why"] for r in written(vault, "review")] == ["new", "new", "code"]
    after = schedule.replay(log.read(vault)[0])
    moved = {after[name].note for name in after if after[name] != before[name]}
    assert moved == {"scale"}
    # 看过了，就不再因它到期
    assert (
        json.loads(rz("review", "--json", at="2026-11-25 08:00").stdout)["cards"][0]["note"]
        == "norm"
    )


def test_only_the_day_moves_not_the_memory(vault: Vault, rz: Run, model: Path) -> None:
    before = log.path(vault).read_bytes()
    edit(model, "math.sqrt(size)", "size**0.5")
    rz("review", "--json", at="2026-11-24 21:00")
    assert log.path(vault).read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return x / math.sqrt(size)", "    # 说明\n    return (x / math.sqrt(size))  # 根号"),
        ('"""除以根号。"""', '"""按根号缩放。"""'),
        ("eps = 1e-6", "eps = 1e-5"),
        ("import math\n", "import math\nimport sys\n"),
    ],
    ids=["注释与格式", "文档字符串", "同一个类的别处", "文件的别处"],
)
def test_what_is_no_change(vault: Vault, rz: Run, model: Path, old: str, new: str) -> None:
    edit(model, old, new)
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:00").stdout


def test_source_that_has_not_moved_is_not_read_again(
    vault: Vault, rz: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:00").stdout
    read = source.objects
    monkeypatch.setattr(source, "objects", None)
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:00").stdout
    monkeypatch.setattr(source, "objects", read)
    (vault.root / ".rizhi/recall/sources.json").write_text('{"llm.model": {"value": 3}}', "utf-8")
    edit(model, "math.sqrt(size)", "size**0.5")
    assert "1 张因代码改了" in rz("review", at="2026-11-24 21:00").stdout


def test_a_module_that_becomes_a_package_is_found_in_its_new_file(
    vault: Vault, rz: Run, model: Path
) -> None:
    rz("review", at="2026-11-24 21:00")
    package = model.with_suffix("")
    package.mkdir()
    model.rename(package / "__init__.py")
    edit(package / "__init__.py", "math.sqrt(size)", "size**0.5")
    assert "1 张因代码改了" in rz("review", at="2026-11-24 21:00").stdout


def test_changed_and_changed_back(vault: Vault, rz: Run, model: Path) -> None:
    edit(model, "math.sqrt(size)", "size**0.5")
    edit(model, "size**0.5", "math.sqrt(size)")
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:00").stdout


def test_each_card_of_the_note_is_asked_even_if_the_session_stops(
    vault: Vault, rz: Run, model: Path
) -> None:
    """答了一张就停：另一张上次看的还是旧的，明天照样因代码改了而到期。"""
    page = vault.notes / "model/scale.md"
    page.write_text(
        page.read_text("utf-8") + '\n??? question "除的是哪一维的大小？"\n    D\n', "utf-8"
    )
    rz("review", at="2026-11-23 22:00", input="\r4")
    edit(model, "math.sqrt(size)", "size**0.5")
    rz("review", at="2026-11-24 21:00", input="\r3q")
    left = json.loads(rz("review", "--json", at="2026-11-24 21:10").stdout)["cards"]
    assert [card["why"] for card in left] == ["code"]


@pytest.mark.parametrize("gone", ["symbol", "module", "fence", "note", "broken"])
def test_what_is_gone_changes_nothing(vault: Vault, rz: Run, model: Path, gone: str) -> None:
    page = vault.notes / "model/scale.md"
    if gone == "symbol":
        edit(model, "def scale", "def scaled")
    elif gone == "module":
        model.unlink()
    elif gone == "broken":
        edit(model, "def scale", "def def scale")
    else:
        edit(model, "math.sqrt(size)", "size**0.5")
        edit(page, "llm.model:scale # sqrt", "llm.model:Norm") if gone == "fence" else page.unlink()
    result = rz("review", at="2026-11-24 21:00")
    assert "今天没有要复习的" in result.stdout and result.exit_code == 0


def test_undo_keeps_the_source(vault: Vault, rz: Run, model: Path) -> None:
    """撤回一次答，那段原文还在：别的卡片也许指着它。"""
    edit(model, "math.sqrt(size)", "size**0.5")
    rz("review", at="2026-11-24 21:00", input="\r3u\r4")
    events, faults = log.read(vault)
    assert faults == [] and sum(event.what == "code" for event in events) == 3
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:30").stdout


def test_a_long_source_is_cut_and_still_compared(vault: Vault, rz: Run) -> None:
    path = vault.root / "llm/model.py"
    rows = "".join(f"    x = x + {n}  # 第 {n} 步\n" for n in range(400))
    path.write_text(f"def long(x):\n{rows}    return x\n", "utf-8")
    note(vault, "long", "llm.model:long", "一共几步？")
    rz("review", input="\r3")
    (code,) = written(vault, "code")
    assert len(code["text"].encode()) <= changed.MAX_TEXT
    edit(path, "return x", "return -x")
    (card,) = json.loads(rz("review", "--json", at="2026-11-24 21:00").stdout)["cards"]
    assert card["changed"][0]["diff"] == ["（改的地方在头 4 KB 之后，那时没有记下）"]


def test_a_log_written_before_this_asks_nothing_more(vault: Vault, rz: Run, model: Path) -> None:
    """旧的日志没有记下看的是哪一份：不猜。"""
    lines = map(json.loads, log.path(vault).read_text("utf-8").splitlines())
    old = [{k: v for k, v in line.items() if k not in ("code", "why")} for line in lines]
    kept = [json.dumps(line, ensure_ascii=False) for line in old if line["what"] != "code"]
    log.path(vault).write_text("\n".join(kept) + "\n", "utf-8")
    edit(model, "math.sqrt(size)", "size**0.5")
    assert "今天没有要复习的" in rz("review", at="2026-11-24 21:00").stdout
