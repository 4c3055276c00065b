"""导出到 Anki：GUID 与时间只随内容变；真的导入两遍，还是那几张，历史与主人的改动都在。"""

import json
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rizhi.recall import log, schedule
from rizhi.vault import Vault

Run = Callable[..., Result]
FRONT = "---\ntitle: 题\n---\n\n# 题\n\n## 自测\n\n"
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
BODY = r"""??? question "`x<b>` 里 $a_1 < \theta$ 是什么？"
    **重点：**说的是 $$\sum_i x_i$$ 与 [掩码](../attention/mask.md)、[论文](https://arxiv.org/abs/1)。

    ```python
    if a < b: print("\(不是公式\)")
    ```

    ![一张图](img/a.png) ![没有](img/no.png)

??? question "为什么 <script>alert(1)</script> 与 H<sub>2</sub>O 不同？"
    | 甲 | 乙 |
    |---|---|
    | 1 | 2 |
"""


@pytest.fixture
def page(vault: Vault, rz: Run) -> Path:
    """一篇笔记三题，前两题问过。"""
    path = vault.notes / "model/rope.md"
    (path.parent / "img").mkdir(parents=True)
    (path.parent / "img/a.png").write_bytes(PIXEL)
    path.write_text(FRONT + BODY + '\n??? question "还没有问过？"\n    是\n', "utf-8")
    assert rz("review", "--new", "2", at="2026-11-20 21:30", input="\r3" * 2).exit_code == 0
    return path


@pytest.fixture
def exported(vault: Vault, rz: Run, page: Path, tmp_path_factory: Any) -> Callable[..., Path]:
    """`exported(at="…")`：写到知识库外面的同一个文件。"""
    target = tmp_path_factory.mktemp("out") / "日知.apkg"

    def write(at: str = "2026-11-23 21:30") -> Path:
        before = log.path(vault).read_bytes()
        result = rz("export-anki", str(target), at=at)
        assert result.exit_code == 0, result.output
        assert log.path(vault).read_bytes() == before
        return target

    return write


def notes(path: Path) -> list[tuple[str, int, list[str]]]:
    database = sqlite3.connect(":memory:")
    with zipfile.ZipFile(path) as package:
        database.deserialize(package.read("collection.anki2"))
    rows = database.execute("select guid, mod, flds from notes order by id").fetchall()
    database.close()
    return [(guid, mod, fields.split("\x1f")) for guid, mod, fields in rows]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_code_maths_links_and_pictures(exported: Callable[..., Path]) -> None:
    path = exported()
    (_, _, first), (_, _, second) = sorted(notes(path), key=lambda note: "script" in note[2][0])
    asked, answer, note = first
    assert asked == r"<p><code>x&lt;b&gt;</code> 里 \(a_1 &lt; \theta\) 是什么？</p>"
    assert r"<strong>重点：</strong>说的是 \[\sum_i x_i\] 与 掩码、" in answer
    assert '<a href="https://arxiv.org/abs/1">论文</a>' in answer
    assert r'if a &lt; b: print("\(不是公式\)")' in answer and note == "rope"
    with zipfile.ZipFile(path) as package:
        ((number, name),) = json.loads(package.read("media")).items()
        assert package.read(number) == PIXEL
    assert f'<img src="{name}" alt="一张图"> 没有' in answer
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 与" in second[0]
    assert "H<sub>2</sub>O" in second[0] and "<td>1</td>" in second[1]


def test_only_what_was_asked_has_a_name(rz: Run, page: Path, tmp_path: Path) -> None:
    result = rz("export-anki", str(tmp_path / "a.apkg"))
    assert "2 张；还没有问过的 1 张不在内，问过一次才有编号。知识库没有动。" in result.stdout


def test_the_time_is_that_of_the_content(
    vault: Vault, exported: Callable[..., Path], page: Path
) -> None:
    """没有变的，什么时候导出都是同一个时间；改了答案的是那一次导出的时刻。"""
    born = {int(e.at.timestamp()) for e in log.read(vault)[0] if e.what == "born"}
    first = notes(exported(at="2026-11-23 21:30"))
    assert {mod for _, mod, _ in first} == born
    edit(page, "# 题\n", "# 题\n\n多了一段。\n")
    assert notes(exported(at="2026-11-24 21:30")) == first
    edit(page, "| 1 | 2 |", "| 1 | 3 |")
    changed = notes(exported(at="2026-11-25 21:30"))
    assert [guid for guid, _, _ in changed] == [guid for guid, _, _ in first]
    different = [new for old, new in zip(first, changed, strict=True) if old != new]
    assert len(different) == 1 and different[0][1] > max(born)
    assert notes(exported(at="2026-11-26 21:30")) == changed


def test_a_retyped_question_keeps_its_guid(
    vault: Vault, exported: Callable[..., Path], page: Path
) -> None:
    before = {guid for guid, _, _ in notes(exported())}
    edit(page, "里 $a_1", "里的 $a_1")
    assert {guid for guid, _, _ in notes(exported())} == before
    assert len(schedule.replay(log.read(vault)[0])) == 2


def test_a_printed_cell(vault: Vault, rz: Run, tmp_path: Path) -> None:
    from rizhi.snippets import recording

    path = vault.notes / "model/rope.md"
    path.parent.mkdir(parents=True)
    path.write_text(FRONT.replace("title: 题", "title: 题\nsnippet: rope"), "utf-8")
    snippet = vault.snippets / "rope.py"
    snippet.write_text('# %% 比\nprint(1 < 2, "&")\n', "utf-8")
    recording.record(vault, snippet)
    assert rz("review", input="\n3").exit_code == 0
    target = tmp_path / "a.apkg"
    assert rz("export-anki", str(target)).exit_code == 0
    ((_, _, (asked, answer, _)),) = notes(target)
    assert asked == (
        "<p>它会打印什么？共 1 行。</p><pre><code>print(1 &lt; 2, &quot;&amp;&quot;)</code></pre>"
    )
    assert answer == "<pre><code>True &amp;</code></pre>"


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.zip", "Anki 只认 .apkg"), ("docs/a.apkg", "会被发布出去"), ("mine.apkg", "不是这里写的")],
)
def test_refused_and_nothing_is_written(
    vault: Vault, rz: Run, page: Path, name: str, words: str
) -> None:
    target = vault.root / name
    if name == "mine.apkg":
        target.write_bytes(b"mine")
    result = rz("export-anki", str(target))
    assert result.exit_code == 1 and words in result.stderr
    assert "没有改动任何文件" in result.stderr
    assert target.read_bytes() == b"mine" if name == "mine.apkg" else not target.exists()


def test_the_deck_of_another_is_left_alone(vault: Vault, rz: Run, page: Path) -> None:
    import genanki

    model = genanki.Model(
        1, "别的", [{"name": "甲"}], [{"name": "甲", "qfmt": "{{甲}}", "afmt": ""}]
    )
    deck = genanki.Deck(2, "别的")
    deck.add_note(genanki.Note(model, ["一"]))
    genanki.Package(deck).write_to_file(str(vault.root / "other.apkg"))
    before = (vault.root / "other.apkg").read_bytes()
    assert "不是这里写的" in rz("export-anki", str(vault.root / "other.apkg")).stderr
    assert (vault.root / "other.apkg").read_bytes() == before


def test_nothing_asked_yet(vault: Vault, rz: Run, tmp_path: Path) -> None:
    assert "一题也没有问过" in rz("export-anki", str(tmp_path / "a.apkg")).stderr


def test_without_genanki_it_says_how_to_install(
    vault: Vault, rz: Run, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "genanki", None)
    result = rz("export-anki", str(tmp_path / "a.apkg"))
    assert result.exit_code == 1 and "python -m pip install genanki==0.13.1" in result.stderr
    assert not (tmp_path / "a.apkg").exists()


@pytest.mark.slow  # 载入 Anki 的后端、开一副真的牌要几秒
def test_imported_twice_into_a_real_collection(
    exported: Callable[..., Path], page: Path, tmp_path: Path
) -> None:
    """同样的笔记；Anki 里的历史还在；主人改过的没有被没变的内容盖掉，内容变了的才更新。"""
    pytest.importorskip("anki", reason="要 Anki 的后端：python -m pip install anki==26.9.3")
    from anki.collection import Collection, ImportAnkiPackageOptions, ImportAnkiPackageRequest
    from anki.scheduler_pb2 import CardAnswer

    collection = Collection(str(tmp_path / "collection.anki2"))

    def load(path: Path) -> Any:
        request = ImportAnkiPackageRequest(
            package_path=str(path), options=ImportAnkiPackageOptions()
        )
        return collection.import_anki_package(request).log

    def fields() -> dict[str, list[str]]:
        found = map(collection.get_note, collection.find_notes(""))
        return {note.guid: note.fields for note in found}

    def history() -> list[Any]:
        cards = collection.db.all("select id, nid, type, ivl, due, reps from cards order by id")
        return [cards, collection.db.all("select id, cid, ease, ivl from revlog order by id")]

    first = exported(at="2026-11-23 21:30")
    assert len(load(first).new) == 2 and len(fields()) == 2
    assert len(list((tmp_path / "collection.media").iterdir())) == 1
    collection.decks.set_current(collection.decks.id_for_name("日知"))
    for _ in range(2):  # 两张都答一遍
        queued = collection.sched.get_queued_cards().cards[0]
        card = collection.get_card(queued.card.id)
        card.start_timer()
        easy = CardAnswer.Rating.EASY
        answer = collection.sched.build_answer(card=card, states=queued.states, rating=easy)
        collection.sched.answer_card(answer)
    reviewed = history()
    assert len(reviewed[1]) == 2 and all(ivl > 0 for *_, ivl, _, _ in reviewed[0])
    mine = next(
        note
        for note in map(collection.get_note, collection.find_notes(""))
        if "script" in note.fields[0]
    )
    mine.fields[1] += "<br>我自己添的"
    collection.update_note(mine)
    edited = fields()
    # 又导出一次：内容没有变，那一节里别的字变了
    edit(page, "# 题\n", "# 题\n\n多了一段。\n")
    again = load(exported(at="2026-11-24 21:30"))
    assert not again.new and fields() == edited and history() == reviewed
    # 另一题的答案改了：它更新，主人改过的照旧，历史都在
    edit(page, "说的是", "说的就是")
    load(exported(at="2099-01-01 21:30"))
    now = fields()
    assert now[mine.guid] == edited[mine.guid] and len(now) == 2 and history() == reviewed
    assert any("说的就是" in note[1] for note in now.values())
    collection.close()
