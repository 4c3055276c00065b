"""退回，与编辑器后来写进旧文件的字：放回页里，或说出两份各在哪里。"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from rizhi import store
from rizhi.vault import Vault, find_vault

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]
PAGE = "# 题\n\n## 今日目标\n\n1. [ ] 画图\n2. [ ] 练背\n\n## 思考\n\n- 一\n\n## 今日总结\n\n收尾\n"


def test_one_line_is_taken_back_to_the_byte(rz: Run, write: Write, snapshot: Snapshot) -> None:
    write("2026-11-23", "\ufeff# 题\r\n\r\n## 思考\r\n\r\n- 一")
    before = snapshot()
    assert rz("add", "思考", "写错了").exit_code == 0 and snapshot() != before
    result = rz("undo")
    assert result.stdout == "退回了 rizhi add 思考 写错了：docs/daily/2026/2026-11-23.md\n"
    assert snapshot() == before


def test_a_day_that_add_made_goes_with_its_line_and_picture(
    rz: Run, tmp_path_factory: pytest.TempPathFactory, snapshot: Snapshot
) -> None:
    picture = tmp_path_factory.mktemp("picture") / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n...")
    before = snapshot()
    assert rz("add", "思考", "x", "--image", str(picture)).exit_code == 0
    assert len(snapshot()) == len(before) + 2
    assert rz("undo").exit_code == 0 and snapshot() == before


@pytest.mark.parametrize(
    "command",
    [
        ["new"],
        ["new", "--date", "2027-01-01"],
        ["note", "ring", "--title", "环", "--group", "shapes"],
        ["add", "思考", "x", "--image", "{picture}"],
        ["init", "{root}", "--example"],
    ],
)
def test_the_folders_that_a_command_made_go_with_it(
    rz: Run, vault: Vault, tmp_path_factory: pytest.TempPathFactory, command: list[str]
) -> None:
    picture = tmp_path_factory.mktemp("picture") / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n...")
    if command[0] == "init":
        (vault.root / "pyproject.toml").unlink()
    (vault.docs / "daily/2025").mkdir(parents=True)  # 他自己建的，空着也是他的
    before = _folders(vault)
    words = [word.format(root=vault.root, picture=picture) for word in command]
    assert rz(*words).exit_code == 0 and _folders(vault) > before
    store.undo(vault.root)  # 退回 init 之后，这里不再是知识库
    assert _folders(vault) == before


def test_a_made_folder_with_something_of_his_in_it_stays(rz: Run, vault: Vault) -> None:
    rz("note", "ring", "--title", "环", "--group", "shapes")
    own = vault.notes / "shapes/草图.txt"
    own.write_text("他的", "utf-8")
    assert rz("undo").exit_code == 0 and own.read_text("utf-8") == "他的"
    assert _folders(vault) >= {"docs/notes/shapes"}


def test_a_change_that_failed_leaves_no_folder(vault: Vault) -> None:
    before = _folders(vault)
    (vault.root / "占住").write_bytes(b"x")
    steps = [store.creation(vault.root / name, b"y") for name in ("新/里/甲.md", "占住/乙.md")]
    with pytest.raises(NotADirectoryError):
        store.change(vault.root, "试", steps)
    assert _folders(vault) == before


def test_a_record_of_the_last_version_names_no_folders(rz: Run, vault: Vault) -> None:
    rz("new")
    (log,) = vault.root.glob(".rizhi/undo/*/done.json")
    data = json.loads(log.read_text("utf-8"))
    assert data.pop("folders")
    log.write_text(json.dumps(data), "utf-8")
    assert rz("undo").exit_code == 0 and "docs/daily/2026" in _folders(vault)


def _folders(vault: Vault) -> set[str]:
    found = (path for path in vault.root.rglob("*") if path.is_dir() and ".rizhi" not in path.parts)
    return {vault.relative(path) for path in found}


def test_all_pages_of_one_done_come_back(rz: Run, write: Write, snapshot: Snapshot) -> None:
    write("2026-11-22", "## 明日计划\n\n- [ ] 画图\n")
    write("2026-11-23", "## 今日完成\n\n## 今日目标\n\n1. [ ] 画图（已顺延 1 天，自 2026-11-22）\n")
    write("2026-11-25", "## 今日目标\n\n1. [ ] 画图（已顺延 3 天，自 2026-11-22）\n")
    before = snapshot()
    assert rz("done", "画图").exit_code == 0
    changed = [name for name, data in snapshot().items() if data != before[name]]
    assert len(changed) == 2
    assert rz("undo").exit_code == 0 and snapshot() == before


def test_each_undo_goes_one_command_further_back(rz: Run, write: Write, snapshot: Snapshot) -> None:
    write("2026-11-23", PAGE)
    states = [snapshot()]
    for command in (["add", "思考", "二"], ["drop", "练背"], ["done", "画图"]):
        assert rz(*command).exit_code == 0
        states.append(snapshot())
    for name, state in zip(("done 画图", "drop 练背", "add 思考 二"), states[-2::-1], strict=True):
        assert f"rizhi {name}：" in rz("undo").stdout and snapshot() == state
    last = rz("undo")
    assert last.exit_code == 1 and last.stderr == "没有能退回的改动。没有改动任何文件。\n"


def test_a_new_change_after_undo_is_the_next_to_go(rz: Run, write: Write) -> None:
    write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    rz("add", "思考", "三")
    rz("undo")
    rz("add", "思考", "四")
    assert "add 思考 四" in rz("undo").stdout and "add 思考 二" in rz("undo").stdout


def test_words_written_since_are_not_taken_back(
    rz: Run, vault: Vault, write: Write, snapshot: Snapshot
) -> None:
    path = write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    path.write_text(path.read_text("utf-8") + "后来写的\n", "utf-8")
    before = snapshot()
    result = rz("undo")
    assert result.exit_code == 1 and snapshot() == before
    assert "docs/daily/2026/2026-11-23.md 在 rizhi add 思考 二 之后又改过" in result.stderr
    assert "那之前的在 .rizhi/undo/000001/0，" in result.stderr
    assert (vault.root / ".rizhi/undo/000001/0").read_text("utf-8") == PAGE


def test_a_page_just_made_and_opened_comes_back_with_what_was_typed(rz: Run, vault: Vault) -> None:
    """`new` 之后编辑器打开了那一页，`undo` 之后它才存：字不丢，页回来。"""
    rz("new")
    path = vault.daily / "2026/2026-11-23.md"
    with path.open("a", encoding="utf-8") as editor:
        assert rz("undo").exit_code == 0 and not path.exists()
        editor.write("刚写的一句\n")
    assert "已经放回页里" in rz("todo").stderr
    assert path.read_text("utf-8").endswith("刚写的一句\n")


def test_the_old_files_are_bounded(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-23", PAGE)
    for number in range(store._KEPT_CHANGES + 10):
        assert rz("add", "思考", f"第 {number} 句").exit_code == 0
    assert len(list((vault.root / ".rizhi/undo").iterdir())) == store._KEPT_CHANGES + 1


def test_large_old_files_are_bounded_too(
    rz: Run, vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_KEPT_BYTES", 10_000)
    write("2026-11-23", PAGE + "字" * 1000)
    for number in range(5):
        rz("add", "思考", f"第 {number} 句")
    assert len(list((vault.root / ".rizhi/undo").iterdir())) == 2
    assert rz("undo").exit_code == 0


def test_a_copy_of_the_vault_undoes_its_own(
    rz: Run,
    vault: Vault,
    write: Write,
    snapshot: Snapshot,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    before = snapshot()
    copy = tmp_path_factory.mktemp("copy") / "vault"
    shutil.copytree(vault.root, copy, symlinks=True)
    assert store.settle(copy) == []
    assert store.undo(find_vault(copy).root).command == "add 思考 二"
    assert (copy / "docs/daily/2026/2026-11-23.md").read_text("utf-8") == PAGE
    assert snapshot() == before and rz("undo").exit_code == 0


def test_without_hard_links_or_exchange_it_is_taken_back_all_the_same(
    rz: Run, write: Write, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "不支持")

    monkeypatch.setattr(store.os, "link", no_links)
    monkeypatch.setattr(store, "_renamed_both", lambda *_: False)
    write("2026-11-23", PAGE)
    before = snapshot()
    rz("add", "思考", "二")
    assert snapshot() != before
    assert rz("undo").exit_code == 0 and snapshot() == before


# ---- 编辑器早就打开了旧文件 ----


def test_text_saved_into_the_replaced_file_is_put_back(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    with path.open("r+", encoding="utf-8") as editor:
        text = editor.read()
        rz("add", "思考", "rizhi 添的")
        editor.seek(0)
        editor.truncate()
        editor.write(text.replace("收尾\n", "收尾\n编辑器写的\n"))
    said = rz("todo")
    assert said.exit_code == 0 and "已经放回页里，与现在的合在一起" in said.stderr
    assert (
        path.read_text("utf-8") == PAGE.replace("- 一\n", "- 一\n- rizhi 添的\n") + "编辑器写的\n"
    )
    assert rz("todo").stderr == ""


def test_text_saved_into_the_replaced_file_at_once_is_there_when_the_command_ends(
    rz: Run, vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """换上之后一百毫秒之内就看得见：换回编辑器的字，在那上面重做。"""
    path, real, count = write("2026-11-23", PAGE), store._exchange, iter(range(9))

    def exchange(kept: Path, page: Path) -> None:
        real(kept, page)
        if next(count) == 0:
            kept.write_text(PAGE + "编辑器写的\n", "utf-8")

    monkeypatch.setattr(store, "_exchange", exchange)
    assert rz("add", "思考", "二").exit_code == 0 and next(count) == 2
    both = PAGE.replace("- 一\n", "- 一\n- 二\n") + "编辑器写的\n"
    assert path.read_text("utf-8") == both and store.settle(vault.root) == []


def test_an_older_text_saved_over_ours_at_once_gets_our_line_again(
    rz: Run, vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, count = write("2026-11-23", PAGE), store._exchange, iter(range(9))

    def exchange(kept: Path, page: Path) -> None:
        real(kept, page)
        if next(count) == 0:
            fresh = page.with_name("fresh")
            fresh.write_text(PAGE + "编辑器写的\n", "utf-8")
            fresh.replace(page)

    monkeypatch.setattr(store, "_exchange", exchange)
    assert rz("add", "思考", "二").exit_code == 0
    both = PAGE.replace("- 一\n", "- 一\n- 二\n") + "编辑器写的\n"
    assert path.read_text("utf-8") == both and store.settle(vault.root) == []


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_new_file_put_in_place_between_reading_and_replacing(
    rz: Run, vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    path, real, count = write("2026-11-23", PAGE), store._apply, iter(range(9))

    def apply(swap: store._Swap) -> None:
        if next(count) == 0:
            fresh = swap.path.with_name("fresh")
            fresh.write_text(PAGE + "编辑器写的\n", "utf-8")
            fresh.replace(swap.path)
        real(swap)

    monkeypatch.setattr(store, "_apply", apply)
    if not exchanges:
        monkeypatch.setattr(store, "_renamed_both", lambda *_: False)
    assert rz("add", "思考", "二").exit_code == 0
    both = PAGE.replace("- 一\n", "- 一\n- 二\n") + "编辑器写的\n"
    assert path.read_text("utf-8") == both and store.settle(vault.root) == []


def test_a_page_renamed_away_for_a_moment_is_waited_for(
    vault: Vault, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vim 与 JetBrains 存盘时先把旧文件改名拿走：片刻之后就回来，不是没有了。"""
    path = write("2026-11-23", PAGE)
    path.rename(path.with_name("away"))
    real, count = store._plan, iter(range(9))

    def plan(*arguments: Any) -> Any:
        if next(count) == 2:
            path.with_name("away").rename(path)
        return real(*arguments)

    monkeypatch.setattr(store, "_plan", plan)
    assert store.change(vault.root, "done", [store.amendment(path, lambda old: old + b"x\n")]).paths
    assert path.read_text("utf-8") == PAGE + "x\n"


def test_it_keeps_saving_into_the_replaced_file(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    with path.open("a", encoding="utf-8") as editor:
        rz("add", "思考", "rizhi 添的")
        for number in range(3):
            editor.write(f"第 {number} 句\n")
            editor.flush()
            assert "已经放回页里" in rz("todo").stderr
    text = path.read_text("utf-8")
    assert text.endswith("收尾\n第 0 句\n第 1 句\n第 2 句\n") and text.count("rizhi 添的") == 1


def test_several_changes_later_its_text_still_comes_back(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    with path.open("a", encoding="utf-8") as editor:
        rz("add", "思考", "二")
        rz("done", "画图")
        editor.write("编辑器写的\n")
    rz("todo")
    text = path.read_text("utf-8")
    assert all(part in text for part in ("- 二\n", "1. [x] 画图", "收尾\n编辑器写的\n"))


def test_what_cannot_be_put_together_is_named(rz: Run, vault: Vault, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    with path.open("r+", encoding="utf-8") as editor:
        text = editor.read()
        rz("done", "画图")
        editor.seek(0)
        editor.truncate()
        editor.write(text.replace("[ ] 画图", "[ ] 画一张大图"))
    before = path.read_text("utf-8")
    said = rz("todo").stderr
    assert "docs/daily/2026/2026-11-23.md 现在的对不上：页没有动" in said
    assert ".rizhi/aside/1-2026-11-23.md" in said and path.read_text("utf-8") == before
    assert "画一张大图" in (vault.root / ".rizhi/aside/1-2026-11-23.md").read_text("utf-8")
    assert rz("todo").stderr == ""


def test_a_file_caught_half_saved_is_not_the_page(rz: Run, write: Write) -> None:
    """旧文件刚被清空、还没有写：不拿空的去合，等它写完。"""
    path = write("2026-11-23", PAGE)
    with path.open("r+", encoding="utf-8") as editor:
        text = editor.read()
        rz("add", "思考", "二")
        editor.truncate(0)
        assert rz("todo").stderr == "" and "- 二" in path.read_text("utf-8")
        editor.seek(0)
        editor.write(text + "编辑器写的\n")
    rz("todo")
    assert path.read_text("utf-8").endswith("收尾\n编辑器写的\n")


@pytest.mark.parametrize("what", ["文件夹", "管道", "没有了"])
def test_a_page_that_became_something_else_stops_no_command(
    rz: Run, vault: Vault, write: Write, what: str
) -> None:
    path = write("2026-11-23", PAGE)
    write("2026-11-22", "- [ ] 看书\n")
    with path.open("a", encoding="utf-8") as editor:
        rz("add", "思考", "二")
        editor.write("编辑器写的\n")
    path.unlink()
    if what == "文件夹":
        path.mkdir()
    elif what == "管道":
        os.mkfifo(path)
    first, second = rz("todo"), rz("todo")
    assert first.exit_code == 0 and "看书" in first.stdout and second.stderr.count("编辑器") == 0
    place = path if what == "没有了" else vault.root / ".rizhi/aside/1-2026-11-23.md"
    assert "编辑器写的" in place.read_text("utf-8") and place.name in first.stderr


# ---- 编辑器把旧内容整个存回来 ----


def test_an_older_text_saved_over_ours_is_said_once(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    path.write_text(PAGE + "编辑器写的\n", "utf-8")
    said = rz("todo").stderr
    assert "docs/daily/2026/2026-11-23.md 里没有了 rizhi add 思考 二 的改动" in said
    assert "少的是「- 二」" in said and rz("todo").stderr == ""
    assert path.read_text("utf-8") == PAGE + "编辑器写的\n"


def test_every_change_that_was_saved_over_is_said(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    between = path.read_text("utf-8")
    rz("done", "画图")
    rz("add", "思考", "三")
    path.write_text(between + "编辑器写的\n", "utf-8")
    said = rz("todo").stderr
    assert "done 画图" in said and "add 思考 三" in said and "add 思考 二" not in said


@pytest.mark.parametrize(
    ("old", "new"),
    [("- 二\n", "- 二，再补半句\n"), ("- 二\n", "- 二\n- 三\n"), ("# 题", "# 改了题")],
)
def test_working_on_the_page_afterwards_says_nothing(
    rz: Run, write: Write, old: str, new: str
) -> None:
    path = write("2026-11-23", PAGE)
    rz("add", "思考", "二")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    assert rz("todo").stderr == ""


def test_a_line_that_a_later_command_changed_is_not_missed(rz: Run, write: Write) -> None:
    path = write("2026-11-23", PAGE)
    rz("add", "今日目标", "复习")
    rz("done", "复习")
    path.write_text(path.read_text("utf-8") + "又写\n", "utf-8")
    assert rz("todo").stderr == ""


def test_a_note_saved_under_its_old_name_is_said(rz: Run, vault: Vault) -> None:
    rz("note", "rope", "--title", "旋转", "--group", "model")
    old = vault.notes / "model/rope.md"
    text = old.read_text("utf-8")
    rz("rename", "rope", "rotary")
    old.write_text(text + "编辑器写的\n", "utf-8")
    said = rz("todo").stderr
    assert "又有了 docs/notes/model/rope.md" in said and "rename rope rotary" in said
    assert rz("todo").stderr == ""


@pytest.mark.parametrize("back", [("undo",), ("rename", "rotary", "rope")])
def test_a_name_renamed_away_and_taken_again_is_not_an_editor(
    rz: Run, vault: Vault, back: tuple[str, ...]
) -> None:
    rz("note", "rope", "--title", "旋转", "--group", "model")
    rz("rename", "rope", "rotary")
    rz(*back)
    assert rz("todo").stderr == "" and (vault.notes / "model/rope.md").exists()
    rz("rename", "rope", "rotary")
    assert rz("todo").stderr == "" and (vault.notes / "model/rotary.md").exists()
    rz("note", "rope", "--title", "又一篇", "--group", "model")
    assert rz("todo").stderr == ""


# ---- 合在一起 ----


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "both"),
    [
        (b"a\nb\n", b"a\nx\nb\n", b"a\nb\ny\n", b"a\nx\nb\ny\n"),
        (b"a\nb\n", b"a\nx\nb\n", b"a\ny\nb\n", b"a\ny\nx\nb\n"),
        (b"a\nb\n", b"a\nx\nb\n", b"a\nx\nb\n", b"a\nx\nb\n"),
        (b"a\nb\nc\n", b"a\nB\nc\n", b"b\nc\n", b"B\nc\n"),
        (b"a\nb\nc\n", b"a\nB\nc\n", b"a\nc\n", None),
        (b"a\n", b"x\n", b"y\n", None),
        (b"", b"x\n", b"y\n", b"y\nx\n"),
        (b"a", b"a\nx\n", b"a\ny\n", None),
    ],
)
def test_lines_of_two_sides(base: bytes, ours: bytes, theirs: bytes, both: bytes | None) -> None:
    assert store.merge_lines(base, ours, theirs) == both


def test_a_process_that_was_killed_says_what_was_taken_back(rz: Run, write: Write) -> None:
    from tests.rizhi.faults import fork, kill_self, wait

    path = write("2026-11-23", PAGE)

    def killed() -> None:
        store._undisturbed = lambda _: bool(kill_self())
        rz("add", "思考", "二")

    wait(fork(killed))
    assert "- 二" in path.read_text("utf-8")
    assert "上次的 rizhi add 思考 二 中途断了，已经退回" in rz("todo").stderr
    assert path.read_text("utf-8") == PAGE and path.stat().st_nlink == 1
    assert rz("todo").stderr == ""
