"""命令：像用的人那样敲，看打印了什么、退出码是几、磁盘上改了哪几个字节。"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rizhi import cli, page, store
from rizhi.vault import Vault, day_path

CASES = Path(__file__).parent / "cases"
Run = Callable[..., Result]
Write = Callable[[str, str], Path]
Snapshot = Callable[[], dict[str, bytes]]
ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
DAY = """# 2026-11-23 星期一

## 今日完成

- [ ]\x20

## 思考

- 一条

## 明日计划

- [ ]\x20
"""


def _today(vault: Vault, day: str = "2026-11-23") -> Path:
    return day_path(vault, date.fromisoformat(day))


def _changed_lines(old: bytes, new: bytes) -> tuple[list[bytes], list[bytes]]:
    """去掉首尾相同的行，剩下的（旧, 新）。"""
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return a, b


# ---- new ----


def test_new_writes_today_and_never_again(rz: Run, vault: Vault) -> None:
    first = rz("new", "--title", "架构写完了")
    path = _today(vault)
    assert first.exit_code == 0 and "写好 docs/daily/2026/2026-11-23.md" in first.stdout
    data = path.read_bytes()
    assert "# 2026-11-23 星期一　架构写完了\n" in data.decode()
    again = rz("new")
    assert again.exit_code == 1 and path.read_bytes() == data
    assert again.stderr.strip() == (
        "docs/daily/2026/2026-11-23.md 已存在。要编辑请直接打开它。没有改动任何文件。"
    )


@pytest.mark.parametrize(
    ("at", "ends", "day"),
    [
        ("2026-11-23 23:59", 4, "2026-11-23"),
        ("2026-11-24 00:30", 4, "2026-11-23"),
        ("2026-11-24 03:59", 4, "2026-11-23"),
        ("2026-11-24 04:00", 4, "2026-11-24"),
        ("2027-01-01 03:00", 4, "2026-12-31"),
        ("2028-03-01 03:00", 4, "2028-02-29"),
        ("2026-11-24 00:00", 0, "2026-11-24"),
        ("2026-11-24 05:30", 6, "2026-11-23"),
    ],
)
def test_a_day_ends_at_four(rz: Run, vault: Vault, at: str, ends: int, day: str) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\nday_ends = {ends}\n", "utf-8")
    assert rz("new", at=at).exit_code == 0
    assert _today(vault, day).is_file()


@pytest.mark.parametrize("ends", ["24", "-1", '"四"', "true and false", "4.5"])
def test_a_wrong_day_end_is_named(rz: Run, vault: Vault, ends: str) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\nday_ends = {ends}\n", "utf-8")
    result = rz("new")
    assert result.exit_code == 1 and "pyproject.toml" in result.stderr


def test_new_carries_the_plan_and_every_open_end(rz: Run, vault: Vault, write: Write) -> None:
    oldest = write("2026-11-10", "# 题\n\n写了。\n\n- [ ] 老的一件\n")
    old = write(
        "2026-11-19",
        "# 题\n\n写了。\n\n- **【待办】画图。**\n\n## 明日计划\n\n- [ ] 复习\n- 画图\n",
    )
    before = oldest.read_bytes(), old.read_bytes()
    assert rz("new").exit_code == 0
    text = _today(vault).read_text("utf-8")
    assert "上一篇：[2026-11-19](2026-11-19.md)\n" in text
    assert "1. [ ] 复习\n2. [ ] 画图（已顺延 4 天，自 2026-11-19）\n" in text
    assert "3. [ ] 老的一件（已顺延 13 天，自 2026-11-10）\n" in text
    assert text.count("画图") == 1 and (oldest.read_bytes(), old.read_bytes()) == before


def test_new_does_not_bring_back_what_was_done_since(rz: Run, vault: Vault, write: Write) -> None:
    """只打了勾、没写别的一页不算写过；上一篇的计划里那件事还开着，其实已经做完。"""
    write("2026-11-20", "写了。\n\n## 明日计划\n\n- 复习\n- [ ] 画图\n")
    rz("new", at="2026-11-21 21:00")
    assert rz("done", "复习", at="2026-11-21 22:00").exit_code == 0
    rz("new", at="2026-11-22 21:00")
    text = _today(vault, "2026-11-22").read_text("utf-8")
    assert "上一篇：[2026-11-20]" in text and "画图" in text and "复习" not in text


def test_new_plans_again_what_he_does_every_day(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-22", "写了。\n\n- [x] 练背\n\n## 明日计划\n\n- [ ] 练背\n")
    rz("new")
    assert "1. [ ] 练背\n" in _today(vault).read_text("utf-8")


def test_new_asks_after_three_carries(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-19", "写了。\n\n- [ ] 画图\n")
    for day in (20, 21, 22, 23):
        assert rz("new", at=f"2026-11-{day} 21:00").exit_code == 0
    third = _today(vault, "2026-11-22").read_text("utf-8")
    assert "已顺延 3 天，自 2026-11-19；第 3 次了，拆小、排期还是放弃？）" in third
    assert "拆小" not in _today(vault, "2026-11-21").read_text("utf-8")


def test_new_links_across_years_and_skips_unwritten_pages(
    rz: Run, vault: Vault, write: Write
) -> None:
    write("2026-12-30", "# 2026-12-30\n\n写了。\n")
    rz("new", at="2026-12-31 21:00")  # 建了页，一个字没写
    rz("new", at="2027-01-02 21:00")
    text = _today(vault, "2027-01-02").read_text("utf-8")
    assert "上一篇：[2026-12-30](../2026/2026-12-30.md)" in text


def test_the_same_past_gives_the_same_page(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-20", "写了。\n\n- [ ] 画图\n")
    rz("new")
    data = _today(vault).read_bytes()
    _today(vault).unlink()
    rz("new")
    assert _today(vault).read_bytes() == data


def test_new_and_todo_open_and_parse_every_page_once(
    rz: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(f"2026-10-{n:02d}", f"写了。\n\n- [ ] 事{n}\n") for n in range(1, 29)]
    opened: list[Path] = []
    parsed: list[str] = []
    read, parse = page.read_page, page.parse
    monkeypatch.setattr(page, "read_page", lambda p: (opened.append(p), read(p))[1])
    monkeypatch.setattr(page, "parse", lambda text, at: (parsed.append(text), parse(text, at))[1])
    rz("new")
    assert opened == paths and len(parsed) == len(paths)
    opened.clear(), parsed.clear()
    rz("todo")
    assert len(opened) == len(parsed) == len(paths) + 1


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"version": 1, "days": {"2026-11-20": 3}}'])
def test_what_the_last_version_left_behind_is_not_read(
    rz: Run, vault: Vault, write: Write, junk: bytes
) -> None:
    write("2026-11-20", "写了。\n\n- [ ] 画图\n")
    shard = vault.root / ".rizhi/todos/2026.json"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(junk)
    rz("new")
    assert "1. [ ] 画图（已顺延 3 天，自 2026-11-20）" in _today(vault).read_text("utf-8")


@pytest.mark.parametrize("bad", ["2026-02-30", "今日", "2-30", "２０２６-11-23", "2026-11-23x"])
def test_dates_that_do_not_exist_are_usage_errors(rz: Run, snapshot: Snapshot, bad: str) -> None:
    before = snapshot()
    result = rz("new", "--date", bad)
    assert result.exit_code == 2 and "不是日期" in result.stderr and snapshot() == before


def test_the_future_only_when_said_outright(rz: Run, vault: Vault) -> None:
    assert rz("new", "--date", "2026-12-01").exit_code == 0
    back = rz("new")  # 文件夹里有比今天还晚的一天
    assert back.exit_code == 0 and "时钟被拨回了" in back.stderr and "2026-12-01" in back.stderr
    assert "R202" in rz("check").stdout


def test_edit_opens_the_day_new_or_existing(
    rz: Run, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """编辑器按词切开，不经过 shell：分号与美元号只是普通字符。"""
    log = vault.root / "log; touch $HOME"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    monkeypatch.setenv("VISUAL", f"{sys.executable} -c '{code}' '{log}'")
    assert rz("new", "--edit").exit_code == 0
    assert log.read_text() == str(_today(vault))
    log.unlink()
    assert rz("new", "--edit").exit_code == 0 and log.exists()


@pytest.mark.parametrize(
    ("editor", "why"),
    [("", "没有设置"), ("/没有/这个", "运行不了"), ("false", "没有正常结束"), ("'", "运行不了")],
)
def test_a_missing_editor_is_explained(
    rz: Run, vault: Vault, monkeypatch: pytest.MonkeyPatch, editor: str, why: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    result = rz("new", "--edit")
    assert result.exit_code == 1 and why in result.stderr and _today(vault).is_file()


@pytest.mark.parametrize("title", ["$(touch x); `id` && \"'", "{{ 7 * 7 }}{% raw %}", "a|b > c"])
def test_a_title_is_only_text(rz: Run, vault: Vault, title: str) -> None:
    assert rz("new", "--title", title).exit_code == 0
    assert f"　{title}\n" in _today(vault).read_text("utf-8")


def test_a_title_of_two_lines_is_refused(rz: Run, snapshot: Snapshot) -> None:
    before = snapshot()
    result = rz("new", "--title", "一\n## 二")
    assert result.exit_code == 1 and "只能是一行" in result.stderr and snapshot() == before


@pytest.mark.parametrize(
    ("template", "line"),
    [("一\n{{ 没有 }}\n", 2), ("一\n二\n{% for %}\n", 3), ("{{ 1 / 0 }}", 1), ("{% if x", 1)],
)
def test_a_broken_template_names_its_line(
    rz: Run, vault: Vault, snapshot: Snapshot, template: str, line: int
) -> None:
    own = vault.root / "templates/day.md"
    own.parent.mkdir(parents=True)
    own.write_text(template, "utf-8")
    before = snapshot()
    result = rz("new")
    assert result.exit_code == 1 and f"templates/day.md:{line} 模板出错" in result.stderr
    assert snapshot() == before


# ---- add ----


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("思考", "- cat 不新建维度"),
        ("今日完成", "- [x] cat 不新建维度"),
        ("明日计划", "- [ ] cat 不新建维度"),
        ("今日成果", "1. cat 不新建维度"),
        ("今日目标", "1. [ ] cat 不新建维度"),
        ("主线任务拆解", "- cat 不新建维度"),
        ("遇到的挑战与明日计划", "挑战：cat 不新建维度"),
        ("今日总结", "- cat 不新建维度"),
    ],
)
def test_add_touches_one_line(rz: Run, vault: Vault, section: str, line: str) -> None:
    rz("new")
    old = _today(vault).read_bytes()
    assert rz("add", section, "cat 不新建维度").exit_code == 0
    gone, came = _changed_lines(old, _today(vault).read_bytes())
    assert [x for x in came if x.strip()] == [f"{line}\n".encode()]
    assert [x.strip() for x in gone if x.strip()] in (
        [],
        [b"-"],
        [b"- [ ]"],
        [b"1."],
        [b"1. [ ]"],
        ["挑战：".encode()],
    )


def test_add_goes_on_below_the_last_item(rz: Run, vault: Vault) -> None:
    for text in ("甲", "乙", "丙"):
        assert rz("add", "今日成果", text).exit_code == 0
    assert "1. 甲\n2. 乙\n3. 丙\n\n## 思考" in _today(vault).read_text("utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n").rstrip(),
        lambda t: t.replace("## 思考", "## 二 .思考"),
        lambda t: t.replace("- 一条", "- 一条\n    - 里面的\n\n    段落"),
        lambda t: t.replace("\n\n## 明日", "\n## 明日"),
    ],
    ids=["CRLF", "BOM", "没有换行", "不规则的标题", "嵌套与段落", "标题紧挨着"],
)
def test_add_keeps_every_other_byte(rz: Run, vault: Vault, write: Write, change) -> None:
    path = write("2026-11-23", change(DAY))
    path.chmod(0o640)
    old = path.read_bytes()
    assert rz("add", "思考", "二条").exit_code == 0
    gone, came = _changed_lines(old, path.read_bytes())
    end = b"\r\n" if b"\r\n" in old else b"\n"
    assert gone == [] and "- 二条".encode() + end in came
    assert all(line in (end, "- 二条".encode() + end) for line in came)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_add_at_the_end_of_a_file_without_newline(rz: Run, write: Write) -> None:
    path = write("2026-11-23", "## 思考\n\n- 一条")
    rz("add", "思考", "二条")
    assert path.read_text("utf-8") == "## 思考\n\n- 一条\n- 二条"


def test_add_to_a_section_he_lacks_or_made_himself(rz: Run, write: Write) -> None:
    path = write("2026-11-23", "## 健身\n\n练背\n")
    assert rz("add", "健身", "四十分钟").exit_code == 0
    assert rz("add", "思考", "一条").exit_code == 0
    text = path.read_text("utf-8")
    assert text == "## 健身\n\n练背\n\n- 四十分钟\n\n## 思考\n\n- 一条\n"


def test_an_unknown_section_lists_those_that_exist(rz: Run, snapshot: Snapshot) -> None:
    before = snapshot()
    result = rz("add", "没有的节", "x")
    assert result.exit_code == 1 and snapshot() == before
    assert "没有「没有的节」这一节" in result.stderr and "思考" in result.stderr
    assert "没有改动任何文件" in result.stderr


@pytest.mark.parametrize("text", ["", "   ", "一\n二", "a\x00b", "a\u2028b", "\x1b[31m"])
def test_add_takes_one_line_only(rz: Run, snapshot: Snapshot, text: str) -> None:
    before = snapshot()
    assert rz("add", "思考", text).exit_code == 1 and snapshot() == before


def test_add_copies_a_picture_and_links_it(rz: Run, vault: Vault, tmp_path: Path) -> None:
    picture = tmp_path / "数据流 图.jpeg"  # 扩展名写错了，按内容改正
    picture.write_bytes(PNG)
    assert rz("add", "思考", "数据流", "--image", str(picture)).exit_code == 0
    text = _today(vault).read_text("utf-8")
    (copied,) = (_today(vault).parent / "img").iterdir()
    assert copied.suffix == ".png" and copied.read_bytes() == PNG
    assert f"- 数据流 ![数据流](img/{copied.name})\n" in text
    assert rz("add", "思考", "再贴一次", "--image", str(picture)).exit_code == 0
    assert rz("check").exit_code == 0


@pytest.mark.parametrize("data", [b"", b"<svg onload=x>", b"hello"])
def test_a_picture_that_is_none_is_refused(
    rz: Run, tmp_path: Path, snapshot: Snapshot, data: bytes
) -> None:
    picture = tmp_path / "x.png"
    picture.write_bytes(data)
    before = snapshot()
    assert rz("add", "思考", "x", "--image", str(picture)).exit_code == 1
    assert rz("add", "思考", "x", "--image", str(tmp_path / "没有.png")).exit_code == 1
    assert snapshot() == before


# ---- todo、done、drop ----


def test_todo_lists_with_its_history(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-19", "写了\n\n- [ ] 画图\n- [x] 刷题\n- [ ] 交稿 @2026-11-30\n")
    write("2026-11-22", "1. [ ] 画图（已顺延 3 天，自 2026-11-19）\n")
    data = json.loads(rz("todo", "--json").stdout)
    assert [(t["text"], t["due"]) for t in data] == [("交稿", "2026-11-30"), ("画图", None)]
    drawn = data[1]
    assert (drawn["born"], drawn["age"], drawn["carried"]) == ("2026-11-19", 4, 1)
    assert drawn["first"] == {"path": "docs/daily/2026/2026-11-19.md", "line": 3}
    assert drawn["last"] == {"path": "docs/daily/2026/2026-11-22.md", "line": 1}
    shown = rz("todo", "--all").stdout
    assert "[x] 刷题" in shown and "2 条开着，1 条已了结。" in shown
    assert json.loads(rz("todo", "--stale", "5", "--json").stdout) == []
    assert rz("todo", "--stale", "-1").exit_code == 2


def test_done_ticks_where_it_stands_today(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-20", "写了\n\n- [ ] 画图\n")
    rz("new")
    old = _today(vault).read_bytes()
    assert rz("done", "画图").exit_code == 0
    gone, came = _changed_lines(old, _today(vault).read_bytes())
    assert came == [gone[0].replace(b"[ ]", b"[x]")] and len(gone) == 1
    again = rz("done", "画图")
    assert again.exit_code == 1 and "开着的待办里没有「画图」" in again.stderr


def test_done_notes_under_finished_what_stands_only_in_an_older_day(rz: Run, write: Write) -> None:
    old = write("2026-11-19", "写了\n\n- **【待办】画图。**\n")
    before = old.read_bytes()
    today = write("2026-11-23", DAY)
    assert rz("done", "画图").exit_code == 0
    assert "- [x] 画图（自 2026-11-19）\n" in today.read_text("utf-8")
    assert old.read_bytes() == before and "0 条开着" in rz("todo").stdout


def test_done_reaches_the_days_written_ahead(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-19", "写了\n\n- [ ] 画图\n")
    ahead = write("2026-12-01", "- [ ] 画图（自 2026-11-19）\n- [ ] 新的事\n")
    daily = write("2026-12-02", "- [ ] 画图\n")  # 没写自哪天来的，是那天自己的
    assert rz("done", "画图").exit_code == 0
    assert ahead.read_text("utf-8") == "- [x] 画图（自 2026-11-19）\n- [ ] 新的事\n"
    assert daily.read_text("utf-8") == "- [ ] 画图\n"
    for left in json.loads(rz("todo", "--json").stdout):
        assert rz("drop", left["id"]).exit_code == 0  # todo 列出的，都了结得了
    assert ahead.read_text("utf-8").endswith("- [-] 新的事\n")
    assert "0 条开着" in rz("todo").stdout and "新的事" not in _today(vault).read_text("utf-8")


def test_drop_marks_a_bare_label_and_todo_agrees(rz: Run, write: Write) -> None:
    path = write("2026-11-23", "## 明日计划\n- **【待办】画图。**\n")
    assert rz("drop", "画图").exit_code == 0
    assert path.read_text("utf-8") == "## 明日计划\n- [-] **【待办】画图。**\n"
    assert json.loads(rz("todo", "--all", "--json").stdout)[0]["state"] == "dropped"


def test_an_ambiguous_text_lists_the_candidates(rz: Run, write: Write, snapshot: Snapshot) -> None:
    write("2026-11-20", "- [ ] 画数据流图\n- [ ] 画形状图\n")
    before = snapshot()
    result = rz("done", "画")
    assert result.exit_code == 1 and snapshot() == before
    assert "画数据流图" in result.stderr and "画形状图" in result.stderr
    wanted = json.loads(rz("todo", "--json").stdout)[1]
    assert rz("done", wanted["id"]).exit_code == 0
    left = json.loads(rz("todo", "--json").stdout)
    assert [t["text"] for t in left] == ["画数据流图" if "形状" in wanted["text"] else "画形状图"]


# ---- note、rename ----


def test_note_makes_a_draft_that_breaks_nothing(rz: Run, vault: Vault) -> None:
    result = rz("note", "swi-glu", "--title", "SwiGLU: 门控", "--group", "model")
    assert result.exit_code == 0 and "还要写" in result.stdout and "自测" in result.stdout
    note = (vault.notes / "model/swi-glu.md").read_text("utf-8")
    assert "draft: true" in note and 'title: "SwiGLU: 门控"' in note.replace("'", '"')
    assert (vault.snippets / "swi_glu.py").is_file()
    assert rz("check").exit_code == 0
    again = rz("note", "swi-glu", "--title", "x", "--group", "python")
    assert again.exit_code == 1 and "已存在" in again.stderr


def test_a_new_group_is_opened_and_said(rz: Run, vault: Vault) -> None:
    first = rz("note", "rope", "--title", "旋转", "--group", "model")
    assert first.stdout.startswith("新开了一组 model。\n")
    assert "新开" not in rz("note", "mask", "--title", "掩码", "--group", "model").stdout
    other = rz("note", "sort", "--title", "排序", "--group", "python")
    assert other.stdout.startswith("新开了一组 python，原有 model。\n")
    assert (vault.notes / "python/sort.md").is_file()


def test_a_note_without_a_group_goes_where_there_is_no_choice(rz: Run, vault: Vault) -> None:
    assert rz("note", "first", "--title", "头一篇").exit_code == 0
    assert (vault.notes / "first.md").is_file()  # 没有一组，就不分组
    rz("note", "rope", "--title", "旋转", "--group", "model")
    assert rz("note", "mask", "--title", "掩码").exit_code == 0
    assert (vault.notes / "model/mask.md").is_file()
    rz("note", "sort", "--title", "排序", "--group", "python")
    result = rz("note", "x", "--title", "x")
    assert result.exit_code == 1 and "--group 说明放进哪一组：model、python" in result.stderr


@pytest.mark.parametrize("group", ["../model", "Model", "a b", ".", "", "模型"])
def test_a_group_with_a_bad_name_is_refused(rz: Run, snapshot: Snapshot, group: str) -> None:
    before = snapshot()
    result = rz("note", "x", "--title", "x", "--group", group)
    assert result.exit_code == 1 and "组名" in result.stderr and snapshot() == before


@pytest.mark.parametrize("table", ['"attention"', "['a']", "{ a = 1 }", '{ a = "" }'])
def test_badly_set_groups_are_named(rz: Run, vault: Vault, table: str) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\ngroups = {table}\n", "utf-8")
    result = rz("note", "x", "--title", "x")
    assert result.exit_code == 1 and "[tool.rizhi.groups] 应是" in result.stderr


@pytest.mark.parametrize(
    "slug", ["../../x", "CON", "a\0b", "--", "-rf", "ａｂ", "A", "a--b", "a_b", "x" * 65, "."]
)
def test_hostile_names_are_refused(rz: Run, snapshot: Snapshot, slug: str) -> None:
    before = snapshot()
    assert rz("note", "--title", "x", "--", slug).exit_code in (1, 2)
    assert rz("rename", "--", slug, "y").exit_code in (1, 2)
    assert rz("rename", "--", "y", slug).exit_code in (1, 2)
    assert snapshot() == before


# ---- week、resume、thatday、show、stats、check ----


@pytest.mark.parametrize(
    ("day", "week"),
    [
        ("2027-01-01", "2026-W53"),
        ("2027-01-04", "2027-W01"),
        ("2024-12-30", "2025-W01"),
        ("2026-11-29", "2026-W48"),
        ("2026-11-30", "2026-W49"),
    ],
)
def test_weeks_are_iso_weeks(rz: Run, vault: Vault, day: str, week: str) -> None:
    assert rz("week", at=f"{day} 21:00").exit_code == 0
    assert (vault.weekly / f"{week}.md").is_file()


@pytest.mark.parametrize("bad", ["2025-W53", "2026-W00", "2026-48", "本周", "2026-W60"])
def test_weeks_that_do_not_exist_are_usage_errors(rz: Run, bad: str) -> None:
    result = rz("week", "--week", bad)
    assert result.exit_code == 2 and "不是 ISO 周" in result.stderr


def test_week_gathers_and_keeps_his_words(rz: Run, vault: Vault, write: Write) -> None:
    rz("note", "rope", "--title", "旋转位置", "--group", "model")
    write(
        "2026-11-23",
        "# 2026-11-23 星期一　写完了\n\n## 今日成果\n\n"
        "1. LLM。见 [旋转位置](../../notes/model/rope.md#定义与形状)。\n\n- [ ] 画图\n- [x] 刷题\n",
    )
    assert rz("week", at="2026-11-25 21:00").exit_code == 0
    path = vault.weekly / "2026-W48.md"
    text = path.read_text("utf-8")
    assert "写了 1 天；没写 2 天：11-24、11-25" in text and "## 概述" in text
    assert "- LLM。见 [旋转位置](../notes/model/rope.md#定义与形状)。" in text
    assert "- [旋转位置](../notes/model/rope.md)（11-23）" in text
    assert "- [x] 刷题（自 2026-11-23）" in text and "- [ ] 画图（自 2026-11-23）" in text
    assert "思考是空的" in text and text.count("？") >= 3
    mine = text.replace("## 概述\n", "## 概述\n\n这周很好。\r\n").replace(
        "是哪一件？", "是哪一件？\n画图。"
    )
    path.write_bytes(mine.encode())
    write("2026-11-24", "# 2026-11-24\n\n## 今日成果\n\n1. 算法。刷题。\n")
    assert "刷新了" in rz("week", at="2026-11-25 21:00").stdout
    new = path.read_bytes().decode()
    begin, end = "<!-- rizhi:week", "<!-- /rizhi:week -->"
    assert new.partition(begin)[0] == mine.partition(begin)[0]
    assert new.partition(end)[2] == mine.partition(end)[2]
    assert "算法。刷题。" in new
    assert "没有变化" in rz("week", at="2026-11-25 21:00").stdout
    assert rz("check", str(path)).exit_code == 0


def test_week_names_a_note_once_and_says_what_is_new(rz: Run, vault: Vault, write: Write) -> None:
    rz("note", "rope", "--title", "旋转位置", "--group", "model", at="2026-11-20 21:00")
    rz("note", "mask", "--title", "掩码", "--group", "model", at="2026-11-24 21:00")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(vault.root))
    when = {**os.environ, "GIT_COMMITTER_DATE": "2026-11-20T22:00:00"}
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "上周"], check=True, env=when)
    note = vault.notes / "model/rope.md"
    note.write_text(note.read_text("utf-8").replace("## 自测\n", "## 自测\n\n新的一题\n"), "utf-8")
    moment = datetime(2026, 11, 24, 21).timestamp()
    os.utime(note, (moment, moment))
    link = "[旋转位置](../../notes/model/rope.md)"
    for day in (23, 24):
        write(f"2026-11-{day}", f"# 2026-11-{day}\n\n## 今日成果\n\n1. 见{link}。\n")
    rz("week", at="2026-11-25 21:00")
    text = (vault.weekly / "2026-W48.md").read_text("utf-8")
    known = text.split("## 涉及的知识点\n")[1].split("## 待办")[0].strip()
    assert known == "- [旋转位置](../notes/model/rope.md)（11-23、11-24）：改了「自测」"
    others = text.split("## 另外改过的笔记与片段\n")[1].split("##")[0].strip()
    assert others == "- [掩码](../notes/model/mask.md)：新写；片段 `mask.py` 新写"
    lacking = text.split("## 像流水账的几天\n")[1].split("<!--")[0].strip()
    assert [line.partition("；")[0] for line in lacking.splitlines()] == [
        "- 思考是空的（11-23、11-24）",
        "- 大半是模板文字（11-23、11-24）",
    ]


def test_week_refuses_when_its_marks_are_gone(rz: Run, vault: Vault) -> None:
    rz("week")
    path = vault.weekly / "2026-W48.md"
    path.write_text(path.read_text("utf-8").replace("<!-- /rizhi:week -->", ""), "utf-8")
    data = path.read_bytes()
    result = rz("week")
    assert result.exit_code == 1 and "没有改动任何文件" in result.stderr
    assert path.read_bytes() == data


def test_resume_gives_evidence_by_topic(rz: Run, vault: Vault, write: Write) -> None:
    rz("note", "rope", "--title", "旋转位置", "--group", "model")
    link = "[旋转位置](../../notes/model/rope.md)"
    write("2026-11-20", f"## 今日成果\n\n1. LLM。弄懂了{link}。\n2. 算法：双指针做完。\n")
    write("2026-11-21", "## 今日成果\n\n1. llm。写完了缓存。\n")
    text = rz("resume").stdout
    assert text.index("## LLM") < text.index("- 写完缓存（[2026-11-21]") < text.index("## 算法")
    assert "- 弄懂[旋转位置](docs/notes/model/rope.md)（[2026-11-20](docs/daily/2026/" in text
    assert "笔记 [旋转位置](docs/notes/model/rope.md)，片段 `snippets/rope.py`，检验 1 格" in text
    assert "还有 2 天没有看过" in text
    one = json.loads(rz("resume", "--topic", "算法", "--json").stdout)["achievements"]
    assert [a["text"] for a in one] == ["算法：双指针做完。"]
    since = json.loads(rz("resume", "--since", "2026-11-21", "--json").stdout)["achievements"]
    assert [a["date"] for a in since] == ["2026-11-21"]


def test_the_walk_goes_on_where_it_stopped(rz: Run, vault: Vault, write: Write) -> None:
    for day in (20, 21, 22):
        write(f"2026-11-{day}", f"## 今日成果\n\n1. 第 {day} 天。\n")
    first = rz("resume", "--walk", input="k\nq\n")
    assert first.exit_code == 0 and "还有 2 天没有看过，从 2026-11-21 起" in first.stdout
    second = rz("resume", "--walk", input="x\ns\nk\n")
    assert "第 20 天" not in second.stdout and "每一天都看过了" in second.stdout
    lines = (vault.root / "resume.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["answer"] for line in lines] == ["keep", "skip", "keep"]
    text = rz("resume").stdout
    assert "- 第 20 天（[2026-11-20](docs/daily/2026/2026-11-20.md)）（已选用）\n" in text
    assert "第 21 天" not in text  # 他说不用


def test_a_walk_without_answers_stops_and_keeps_what_was_said(rz: Run, write: Write) -> None:
    write("2026-11-20", "## 今日成果\n\n1. 一。\n")
    write("2026-11-21", "## 今日成果\n\n1. 二。\n")
    assert rz("resume", "--walk", input="k\n").exit_code == 1  # 输入没了
    assert "还有 1 天" in rz("resume").stdout


def test_a_torn_answer_is_named(rz: Run, vault: Vault) -> None:
    (vault.root / "resume.jsonl").write_text('{"date": "2026-11-20"}\n', "utf-8")
    result = rz("resume")
    assert result.exit_code == 1 and "resume.jsonl:1" in result.stderr


def test_the_settings_say_what_stays_out_of_the_resume(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-20", "## 今日成果\n\n1. 健身。背，40 分钟。\n2. 读书。读完第三章。\n")
    assert "没有列入：健身 1 条" in rz("resume").stdout and "背，40" not in rz("resume").stdout
    project = vault.root / "pyproject.toml"
    project.write_text('[tool.rizhi]\nresume_leaves_out = ["读书"]\n', "utf-8")
    data = json.loads(rz("resume", "--json").stdout)
    assert data["left_out"] == {"读书": 1}
    assert [one["topic"] for one in data["achievements"]] == ["健身"]
    project.write_text('[tool.rizhi]\nresume_leaves_out = "读书"\n', "utf-8")
    result = rz("resume")
    assert result.exit_code == 1 and "resume_leaves_out 应是一列主题" in result.stderr
    assert "现在是 '读书'。" in result.stderr


def test_that_day_shows_those_that_exist(rz: Run, write: Write) -> None:
    for day in ("2026-11-22", "2026-11-20", "2026-11-19", "2025-11-23"):
        write(day, f"# {day}　标题{day}\n")
    data = json.loads(rz("thatday", "--json").stdout)
    assert [one["ago"] for one in data] == [1, 3, 365] and data[0]["title"] == "标题2026-11-22"
    assert len(rz("thatday").stdout.splitlines()) == 3
    assert "都没有写" in rz("thatday", "--date", "2020-01-01").stdout


def test_show_gives_the_parsed_day(rz: Run, write: Write) -> None:
    write(
        "2026-11-23",
        "# 题\n\n## 一.今日成果\n\n1. 写完 [x](../../notes/a.md)\n\n## 遇到的挑战与明日计划\n"
        "明日计划：复习\n- **【待办】画图**\n## attention_mask\n- 加在哪？\n## 健身\n练背\n",
    )
    data = json.loads(rz("show", "2026-11-23", "--json").stdout)
    assert set(data) == {
        *("date", "title", "sections", "items", "lists", "todos", "links", "stubs"),
    }
    names = {s["name"]: [i["text"] for i in s["items"]] for s in data["sections"]}
    assert names["今日成果"] == ["写完 [x](../../notes/a.md)"]
    assert names["明日计划"] == ["复习", "**【待办】画图**"] and "健身" in names
    assert data["stubs"] == ["attention_mask"] and data["links"][0]["target"] == "../../notes/a.md"
    assert [t["state"] for t in data["todos"]] == ["open"]
    assert "待写的主题：attention_mask" in rz("show", "2026-11-23").stdout
    missing = rz("show", "2026-11-22")
    assert missing.exit_code == 1 and "不存在" in missing.stderr


def test_the_terminal_gives_the_words_of_a_link(rz: Run, write: Write) -> None:
    write(
        "2026-11-23",
        "# 题\n\n见[甲](a.md)，\n与[乙\n丙][r]。\n\n"
        "## 今日成果\n\n1. 写完[`x` 层](../../notes/x.md)。\n"
        "    见[那页](b.md)。\n\n    ```\n    [代码](c.md)\n    ```\n\n## 明日计划\n\n"
        "- **【待办】画[数据流][r]，见 <https://example.org>。**\n- [ ] 画[图](a.md)\n\n"
        "[r]: ../../notes/x.md\n",
    )
    assert rz("show", "2026-11-23").stdout.splitlines()[1:-1] == [
        *("  见甲，", "  与乙", "  丙。", "今日成果（1 条）", "  - 写完`x` 层。见那页"),
        *("    ```", "    [代码](c.md)", "    ```", "明日计划（2 条）"),
        *("  [ ] 【待办】画数据流，见 <https://example.org>", "  [ ] 画图"),
    ]
    listed = rz("todo").stdout
    assert "] 画数据流，见 <https://example.org>（自" in listed and "] 画图（自" in listed
    data = json.loads(rz("todo", "--json").stdout)
    assert [one["text"] for one in data] == [
        "画[数据流](../../notes/x.md)，见 <https://example.org>",  # 别处没有那条定义
        "画[图](a.md)",
    ]
    assert "] 画图（自" in rz("done", "画").stderr
    assert rz("park", "图", "2026-11-30").stdout.startswith("搁到 2026-11-30：画图，")
    assert rz("done", "图").stdout.startswith("完成：画图（")
    walked = rz("resume", "--walk", input="q\n").stdout
    assert "- 写完`x` 层。" in walked and "](" not in walked


def test_a_linked_todo_keeps_its_link_wherever_it_goes(rz: Run, vault: Vault, write: Write) -> None:
    note = vault.notes / "model/flow.md"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("---\ntitle: 数据流\ndraft: true\n---\n\n## 定义\n", "utf-8")
    write(
        "2026-12-31",
        "# 2026-12-31 星期四\n\n## 今日成果\n\n1. LLM。写完[层][f]。\n\n## 明日计划\n\n"
        "- **【待办】画出[维度图](../../notes/model/flow.md)。**\n- [ ] 补[推导][f]\n\n"
        "[f]: ../../notes/model/flow.md#定义\n",
    )
    at = "2027-01-02 21:00"
    assert rz("new", at=at).exit_code == 0
    day = (vault.daily / "2027/2027-01-02.md").read_text("utf-8")
    assert "[维度图](../../notes/model/flow.md)" in day
    assert "[推导](../../notes/model/flow.md#定义)" in day
    assert rz("done", "维度图", at=at).exit_code == 0
    assert rz("week", at=at).exit_code == 0
    week = (vault.weekly / "2026-W53.md").read_text("utf-8")
    assert "- [x] 画出[维度图](../notes/model/flow.md)（自 2026-12-31）" in week
    assert "- [ ] 补[推导](../notes/model/flow.md#定义)（自 2026-12-31）" in week
    assert "写完[层](docs/notes/model/flow.md#定义)" in rz("resume", at=at).stdout
    found = json.loads(rz("check", "--json", at=at).stdout)
    assert found and [p for p in found if p["rule"] in ("R103", "R104")] == []


def test_show_counts_lists_as_the_site_does(rz: Run, write: Write) -> None:
    write("2026-11-26", (CASES / "lists.md").read_text("utf-8"))
    data = json.loads(rz("show", "2026-11-26", "--json").stdout)
    assert data["items"] == 7 and data["lists"] == {"all": 4, "nested": 1}
    (section,) = data["sections"]
    step = next(item for item in section["items"] if item["text"] == "第一步")
    assert [child["text"] for child in step["children"]] == ["两格缩进的子任务", "又一个"]
    assert rz("show", "2026-11-26").stdout == (
        "2026-11-26 星期四\n"
        "思考（7 条）\n"
        "  做了两件：\n"
        "  - 甲\n"
        "  - 乙\n"
        "  里程碑：\n"
        "  [ ] 第一步\n"
        "    [ ] 两格缩进的子任务\n"
        "    [ ] 又一个\n"
        "  - 先看代码：\n"
        "    ```python\n"
        "    x = 1\n"
        "    ```\n"
        "  - 再改\n"
        "条目 7 条，列表 4 个（套在里面的 1 个）；待办 3 条，链接 0 个。\n"
    )


def test_show_gives_his_opening_words(rz: Run, write: Write) -> None:
    write("2026-11-26", "\n---\n\n# 今天\n\n想说的话。\n第二行\n\n## 思考\n\n一段话\n\n- 甲\n")
    shown = rz("show", "2026-11-26").stdout
    assert "  想说的话。\n  第二行\n思考（1 条）\n  一段话\n  - 甲\n" in shown


def test_stats_forgive_a_rest_day(rz: Run, write: Write) -> None:
    for day in (16, 18, 19, 21, 22):
        write(f"2026-11-{day}", "# 题\n\n写了 attention 五个字\n")
    write("2026-11-23", "# 2026-11-23\n\n## 思考\n\n- \n")  # 只有模板
    data = json.loads(rz("stats", "--json").stdout)
    assert (data["days"], data["streak"], data["words"]) == (5, 5, 30)
    assert data["heatmap"]["2026-11-22"] == 6 and "2026-11-23" not in data["heatmap"]
    assert "连着写了 5 天" in rz("stats").stdout


def test_check_reports_and_strict_makes_the_account_count(rz: Run, write: Write) -> None:
    path = write(
        "2026-11-20", "# 2026-11-20\n\n## 思考\n\n- \n\n## 今日成果\n\n1. 刷题。" + "好" * 60
    )
    loose = rz("check")
    assert loose.exit_code == 0 and "R203 提醒" in loose.stdout and "R204 提醒" in loose.stdout
    assert rz("check", "--strict").exit_code == 1
    found = json.loads(rz("check", "--json", "--strict", str(path)).stdout)
    assert {p["rule"] for p in found} == {"R203", "R204"}
    assert set(found[0]) == {"path", "line", "rule", "message", "remedy", "level"}
    assert rz("check", str(path.parent.parent / "2025")).exit_code == 2
    outside = rz("check", str(Path(__file__)))
    assert outside.exit_code == 1 and "不在知识库里" in outside.stderr


# ---- 故障表，一行一个 ----


def test_two_runs_at_once_one_wins(vault: Vault) -> None:
    """真的两个进程，真的入口。"""
    assert _races(vault, 3) == [[0, 1]] * 3


@pytest.mark.slow
def test_two_runs_at_once_a_hundred_times(vault: Vault) -> None:
    assert _races(vault, 100) == [[0, 1]] * 100


def _races(vault: Vault, rounds: int) -> list[list[int]]:
    codes = []
    for number in range(rounds):
        day = date.fromordinal(date(2026, 1, 1).toordinal() + number)
        command = [sys.executable, "-m", "rizhi", "--root", str(vault.root)]
        code = "from rizhi.cli import main; main()"
        command = [sys.executable, "-c", code, *command[3:], "new", "--date", str(day)]
        runs = [subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
        errors = [run.communicate()[1].decode() for run in runs]
        codes.append(sorted(run.returncode for run in runs))
        assert sum("已存在。" in error for error in errors) == 1
    return codes


@pytest.mark.parametrize("command", [["new"], ["add", "思考", "x"], ["week"], ["import", "{file}"]])
def test_a_full_disk_changes_nothing(
    rz: Run, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    source = tmp_path / "2026-11-20.md"
    source.write_text("# 旧的\n\n写了\n", "utf-8")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    before = snapshot()
    monkeypatch.setattr(store.os, "write", full)
    result = rz(*(part.format(file=source) for part in command))
    assert result.exit_code == 1 and "磁盘满了" in result.stderr and snapshot() == before


@pytest.mark.parametrize(
    ("data", "guess"),
    [
        ("掩码".encode("gbk"), "GBK"),
        ("掩码".encode("utf-16"), "UTF-16"),
        ("掩码".encode()[:-1], "截断"),
        (b"a\0b", "NUL"),
        (b"- [ ] x\n" * 100_000, "行"),
    ],
)
def test_one_unreadable_day_does_not_stop_the_rest(
    rz: Run, vault: Vault, write: Write, data: bytes, guess: str
) -> None:
    bad = write("2026-11-20", "")
    bad.write_bytes(data)
    write("2026-11-21", "写了\n\n- [ ] 画图\n")
    for command in (["todo"], ["stats"], ["week"], ["resume"], ["thatday"]):
        result = rz(*command)
        assert result.exit_code == 0, command
    assert "画图" in rz("todo").stdout and "2026-11-20.md" in rz("todo").stderr
    assert guess in rz("show", "2026-11-20").stderr
    assert rz("new").exit_code == 0 and "画图" in _today(vault).read_text("utf-8")
    check = rz("check")
    assert check.exit_code == 1 and "2026-11-20.md:1 R101" in check.stdout
    assert bad.read_bytes() == data


def test_an_unreadable_today_is_left_alone(rz: Run, write: Write) -> None:
    path = write("2026-11-23", "")
    path.write_bytes("思考".encode("gbk"))
    write("2026-11-20", "- [ ] 画图\n")
    for command in (["add", "思考", "x"], ["done", "画图"], ["new"]):
        result = rz(*command)
        assert result.exit_code == 1 and "没有改动任何文件" in result.stderr
    assert path.read_bytes() == "思考".encode("gbk")


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("a: 1\na: 2", 3),
        ("a: !!python/object/apply:os.system ['touch pwned']", 2),
        ("a: [1", 2),
        ("date: 2026-02-30", 2),
        ("a: 1\n? [b]\n: c", 2),
    ],
)
def test_bad_front_matter_is_a_problem_with_its_line(
    rz: Run, vault: Vault, write: Write, block: str, line: int
) -> None:
    write("2026-11-20", f"---\nok: 1\n{block}\n---\n# 题\n\n- [ ] 画图\n".replace("ok: 1\n", ""))
    result = rz("check")
    assert result.exit_code == 1 and "2026-11-20.md:" in result.stdout and "R101" in result.stdout
    found = json.loads(rz("check", "--json").stdout)
    assert any(p["rule"] == "R101" and p["line"] >= line for p in found)
    assert "画图" in rz("todo").stdout and not list(vault.root.rglob("pwned"))


def test_path_and_front_matter_must_agree(rz: Run, write: Write) -> None:
    write("2026-11-20", "---\ndate: 2026-11-21\n---\n# 题\n")
    assert "R201" in rz("check").stdout


@pytest.mark.parametrize(
    "html", ["<script>alert(1)</script>", '<b onerror="x">', "[x](javascript:alert(1))"]
)
def test_html_that_would_run_is_a_problem_and_stays(rz: Run, write: Write, html: str) -> None:
    path = write("2026-11-20", f"# 题\n\n{html}\n\n```\n{html}\n```\n")
    data = path.read_bytes()
    result = rz("check")
    assert result.exit_code == 1 and "2026-11-20.md:3 R102" in result.stdout
    assert result.stdout.count("R102") == 1 and path.read_bytes() == data


@pytest.mark.parametrize("command", [["new"], ["add", "思考", "x"], ["week"]])
def test_a_symlink_out_of_the_vault_is_refused(
    rz: Run, vault: Vault, tmp_path_factory: pytest.TempPathFactory, command: list[str]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    name = vault.weekly if command == ["week"] else vault.daily / "2026"
    name.symlink_to(outside, target_is_directory=True)
    result = rz(*command)
    assert result.exit_code == 1 and "知识库之外" in result.stderr
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("command", [["add", "思考", "x"], ["done", "画图"], ["new"]])
def test_a_day_that_is_a_link_out_of_the_vault_is_refused(
    rz: Run, write: Write, tmp_path_factory: pytest.TempPathFactory, command: list[str]
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.md"
    outside.write_text("## 思考\n", "utf-8")
    write("2026-11-20", "- [ ] 画图\n")
    path = write("2026-11-23", "")
    path.unlink()
    path.symlink_to(outside)
    result = rz(*command)
    assert result.exit_code == 1 and "知识库之外" in result.stderr
    assert outside.read_text("utf-8") == "## 思考\n"


@pytest.mark.parametrize("outside", [True, False])
def test_an_unfinished_change_of_the_last_version_is_set_aside(
    rz: Run, vault: Vault, tmp_path_factory: pytest.TempPathFactory, outside: bool
) -> None:
    """上一版的打算里是绝对路径：可能是从别处拷来、别人放的，不照它做。"""
    folder = tmp_path_factory.mktemp("outside") if outside else vault.notes
    journal = vault.root / ".rizhi/unfinished.json"
    journal.parent.mkdir()
    (folder / "a.md").write_text("旧", "utf-8")
    plan = {"edits": [], "moves": [[str(folder / "a.md"), str(folder / "b.md")]]}
    journal.write_text(json.dumps(plan), "utf-8")
    result = rz("todo")
    assert result.exit_code == 0 and "没有照它改动任何文件" in result.stderr
    assert (folder / "a.md").is_file() and not journal.exists()
    assert (vault.root / ".rizhi/aside/1-unfinished.json").is_file()
    assert rz("todo").stderr == ""


# ---- 外表 ----


def test_colour_only_on_a_terminal(rz: Run, write: Write) -> None:
    write("2026-11-20", "# 2026-11-20\n\n写了\n")
    assert "\x1b" not in rz("check").output + rz("show", "2026-11-19").output


def test_a_terminal_gets_colour_and_a_progress_bar(vault: Vault, tmp_path: Path) -> None:
    """真的接一个终端：有颜色、有进度条；接管道就什么也不多。"""
    import pty

    folder = tmp_path / "old"
    folder.mkdir()
    for day in (20, 21, 22):
        (folder / f"2026-11-{day}.md").write_text(f"第 {day} 天\n", "utf-8")
    code = "from rizhi.cli import main; main()"
    command = [sys.executable, "-c", code, "--root", str(vault.root)]
    master, slave = pty.openpty()
    run = subprocess.run([*command, "import", "--dry-run", str(folder)], stderr=slave, cwd=ROOT)
    subprocess.run([*command, "new", "--date", "2026-11-20"], stderr=slave, cwd=ROOT, check=True)
    subprocess.run([*command, "new", "--date", "2026-11-20"], stderr=slave, cwd=ROOT)
    os.close(slave)
    shown = b""
    while chunk := _read_terminal(master):
        shown += chunk
    os.close(master)
    assert run.returncode == 0 and "读" in shown.decode() and b"100%" in shown
    assert b"\x1b[31m" in shown and "已存在" in shown.decode()
    piped = subprocess.run([*command, "import", str(folder)], capture_output=True, cwd=ROOT)
    assert b"100%" not in piped.stderr + piped.stdout and b"\x1b" not in piped.stderr


def _read_terminal(master: int) -> bytes:
    try:
        return os.read(master, 1 << 16)
    except OSError:  # 另一头关了
        return b""


def test_outside_a_vault_it_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["--root", str(tmp_path), "todo"])
    assert result.exit_code == 1 and "--root" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["没有"], "没有命令"),
        (["add", "思考"], "缺少参数"),
        (["todo", "--没有"], "没有选项"),
        (["new", "多余"], "多出来的参数"),
        (["todo", "--stale"], "要带一个值"),
        (["note", "x"], "缺少选项"),
    ],
)
def test_usage_errors_are_chinese_and_exit_two(rz: Run, arguments: list[str], said: str) -> None:
    result = rz(*arguments)
    assert result.exit_code == 2 and said in result.stderr


@pytest.mark.parametrize(
    "arguments", [["add", "思考"], ["note", "x"], ["没有"], ["todo", "--stale"]]
)
def test_usage_errors_end_in_a_chinese_full_stop(rz: Run, arguments: list[str]) -> None:
    assert rz(*arguments).stderr.rstrip()[-1] in "。？"


@pytest.mark.parametrize("module", ["rizhi", "rizhi.cli"])
def test_run_as_a_module_it_is_the_command(vault: Vault, module: str) -> None:
    command = [sys.executable, "-m", module, "--root", str(vault.root)]
    added = subprocess.run([*command, "add", "思考", "一条"], capture_output=True, text=True)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("添到 docs/daily/")
    unknown = subprocess.run([*command, "没有"], capture_output=True, text=True)
    assert unknown.returncode == 2 and "没有命令" in unknown.stderr


def test_version_is_that_of_the_package(rz: Run) -> None:
    assert rz("--version").stdout == f"rizhi {metadata.version('rizhi')}\n"


def test_help_is_chinese(rz: Run) -> None:
    for name in ("", *cli.main.commands):
        text = rz(*filter(None, [name, "--help"])).stdout
        assert "用法：" in text and "显示这些说明" in text
        assert not {"Usage", "Options", "Show this", "Commands"} & set(
            text.replace(":", " ").split()
        )


# ---- record ----


def test_record_runs_every_snippet_and_names_the_known(rz: Run, vault: Vault) -> None:
    (vault.snippets / "topic.py").write_text("# %% 一\nprint(6 * 7)\n", encoding="utf-8")
    assert rz("record").stdout == "[1/1] topic：更新 2 个文件\n"
    assert rz("record", "topic").stdout == "[1/1] topic：没有变化\n"
    unknown = rz("record", "nope")
    assert unknown.exit_code == 1 and "没有片段 nope；现有：topic。" in unknown.stderr


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("- 甲", "- 甲"),
        ("1. 甲", "- 甲"),
        ("- [ ] 甲", "- [ ] 甲"),
        ("[x] 甲", "- [x] 甲"),
        ("-1 的含义", "- -1 的含义"),
        ("1.5 倍", "- 1.5 倍"),
        ("[x](y) 甲", "- [x](y) 甲"),
    ],
)
def test_a_marker_typed_with_the_words_is_not_doubled(
    rz: Run, write: Write, typed: str, line: str
) -> None:
    path = write("2026-11-23", "# 题\n\n## 思考\n\n- 一\n")
    assert rz("add", "思考", typed).exit_code == 0
    assert path.read_text("utf-8").splitlines()[-1] == line


def test_recording_everything_leaves_drafts_alone(rz: Run, vault: Vault) -> None:
    vault.notes.joinpath("model").mkdir(parents=True, exist_ok=True)
    (vault.notes / "model/half.md").write_text("---\ntitle: 半篇\ndraft: true\n---\n", "utf-8")
    vault.snippets.mkdir(exist_ok=True)
    (vault.snippets / "half.py").write_text("# %% 一\nraise ValueError\n", "utf-8")
    everything = rz("record")
    assert everything.exit_code == 0 and "half" not in everything.output
    assert "ValueError" in rz("record", "half").stderr


@pytest.mark.parametrize(
    "command",
    [
        ["todo", "--root", "{root}"],
        ["show", "11-20", "--root", "{root}"],
        ["show", "--root={root}", "11-20"],
        ["done", "-1 的含义", "--root", "{root}"],
        ["--root", "没有这里", "todo", "--root", "{root}"],
    ],
)
def test_the_vault_may_be_named_after_the_command(
    vault: Vault,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    command: list[str],
) -> None:
    """日期也按那里的设置来读：`11-20` 要先知道是哪个知识库。"""
    write("2026-11-20", "## 明日计划\n\n- [ ] 写清 -1 的含义\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setattr("rizhi.vault.now", lambda: datetime(2026, 11, 23, 21, 30))
    words = [word.format(root=vault.root) for word in command]
    result = CliRunner().invoke(cli.main, words, prog_name="rizhi")
    assert result.exit_code == 0 and "写清 -1 的含义" in result.stdout, result.output


def test_each_command_that_needs_a_vault_lets_him_name_it_last() -> None:
    without = {
        name
        for name, command in cli.main.commands.items()
        if not any(option.name == "root" for option in command.params)
    }
    assert without == {"init", "completion"}
