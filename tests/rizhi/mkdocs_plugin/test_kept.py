"""沿用上一次的结果，与从头算的一样：一个知识库的两个样子，共用一份 `Kept`。"""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rizhi.journal.day import read_day
from rizhi.mkdocs_plugin import pages, rebuild
from rizhi.mkdocs_plugin.rebuild import Kept, Reader
from rizhi.site import panels
from rizhi.site.graph import Web, read_web
from rizhi.vault import Vault, day_path
from tests.rizhi.webs import pages_of, small_vault, vault_of

TODAY = date(2026, 11, 23)
Change = Callable[[Path], object]


def _day(name: str, *lines: str) -> str:
    return "\n".join([f"# {name}　题", "", "## 思考", "", "- 写了字", *lines, ""])


def _shown(vault: Vault, today: date, kept: Kept) -> dict[str, object]:
    """每一页的面板，与算出来的页。"""
    web = Reader(vault, kept).web(today)
    assert web == read_web(vault, today)
    uris = [path.relative_to(vault.docs).as_posix() for path in sorted(vault.docs.rglob("*.md"))]
    return {**pages.around(web, uris, kept), **pages.sources(web, kept)}


def _moved(old: str, new: str) -> Change:
    def move(docs: Path) -> None:
        (docs / new).parent.mkdir(parents=True, exist_ok=True)
        (docs / old).rename(docs / new)

    return move


def _wrote(name: str, text: str) -> Change:
    def write(docs: Path) -> None:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")

    return write


def _kept_equals_fresh(
    root: Path, files: dict[str, str], change: Change, later: date = TODAY
) -> None:
    vault, kept = vault_of(root, files), Kept()
    before = _shown(vault, TODAY, kept)
    change(vault.docs)
    after = _shown(vault, later, kept)
    assert after == _shown(vault, later, Kept())
    assert after != before


LINK = "- 见[旋转](../../notes/model/rope.md)"
NOTES = {
    "model/rope": "---\ntitle: 旋转\nprereq: [glu]\ntags: [t]\n---\n# 旋转\n",
    "model/glu": "---\ntitle: 门控\n---\n# 门控\n",
}
TWELVE = pages_of(
    {f"2026-11-{n:02d}": _day(f"2026-11-{n:02d}", f"- [ ] 事{n}", "", LINK) for n in range(1, 13)}
    | {"2025-12-31": _day("2025-12-31")},
    NOTES,
)
FIFTH = "daily/2026/2026-11-05.md"


@pytest.mark.parametrize(
    "change",
    [
        _wrote("weekly/2026-W45.md", "# 周报\n"),
        _wrote("notes/model/glu.md", "---\ntitle: 门控二\ndraft: true\n---\n# 门控\n"),
        _wrote("notes/model/glu.md", "---\ntitle: 门控\naliases: [写了字]\n---\n# 门控\n"),
        _moved("notes/model/rope.md", "notes/python/rope.md"),
        _moved(FIFTH, "daily/old/2026-11-05.md"),
        _wrote(FIFTH, "# 2026-11-05\n"),
        _wrote(FIFTH, _day("2026-11-05", "- 门控", "- [x] 事4")),
        lambda docs: (docs / FIFTH).unlink(),
    ],
)
def test_an_edit(tmp_path: Path, change: Change) -> None:
    _kept_equals_fresh(tmp_path, TWELVE, change)


@pytest.mark.parametrize("later", [date(2026, 11, 24), date(2027, 1, 1)])
def test_another_day(tmp_path: Path, later: date) -> None:
    _kept_equals_fresh(tmp_path, TWELVE, lambda _: None, later)


@pytest.mark.parametrize("field", panels.Around._fields)
def test_a_clue_of_a_month_left_out_would_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    vault, kept = vault_of(tmp_path, TWELVE), Kept()
    whole, first = panels.around_month, dict[date, panels.Around]()

    def without(web: Web, day: date) -> panels.Around:
        seen = whole(web, day)
        old = first.setdefault(day.replace(day=1), seen)
        return seen._replace(**{field: getattr(old, field)})

    def change(docs: Path) -> None:
        _wrote("daily/2027/2027-01-02.md", _day("2027-01-02", "- [x] 事3"))(docs)
        _wrote("daily/2026/2026-11-13.md", _day("2026-11-13"))(docs)
        _wrote("weekly/2026-W45.md", "# 周报\n")(docs)

    with monkeypatch.context() as patched:
        patched.setattr(panels, "around_month", without)
        _shown(vault, TODAY, kept)
        change(vault.docs)
        stale = _shown(vault, TODAY + timedelta(days=1), kept)
    assert stale != _shown(vault, TODAY + timedelta(days=1), Kept())


def test_a_neighbour_moves_to_another_folder(tmp_path: Path) -> None:
    files = pages_of({day: _day(day) for day in ("2026-10-30", "2026-11-01")})
    move = _moved("daily/2026/2026-10-30.md", "daily/old/2026-10-30.md")
    _kept_equals_fresh(tmp_path, files, move)


def test_the_page_where_a_todo_ended_moves(tmp_path: Path) -> None:
    files = pages_of(
        {
            "2026-10-01": _day("2026-10-01", "- [ ] 做完甲"),
            "2026-11-12": _day("2026-11-12", "- [x] 做完甲"),
        }
    )
    move = _moved("daily/2026/2026-11-12.md", "daily/old/2026-11-12.md")
    _kept_equals_fresh(tmp_path, files, move)


@pytest.mark.parametrize(
    "change",
    [
        lambda docs: (docs / "daily/b/2026-11-10.md").unlink(),
        _wrote("daily/b/2026-11-10.md", "# 2026-11-10\n"),
    ],
)
def test_two_files_of_one_day(tmp_path: Path, change: Change) -> None:
    linked = "---\ntags: [t]\n---\n" + _day("2026-11-10", LINK)
    files = {
        **pages_of({}, NOTES),
        "daily/a/2026-11-10.md": linked,
        "daily/b/2026-11-10.md": _day("2026-11-10"),
    }
    _kept_equals_fresh(tmp_path, files, change)


def test_only_what_changed_is_read_and_laid_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, kept = vault_of(tmp_path, TWELVE), Kept()
    before = _shown(vault, TODAY, kept)
    path = vault.docs / FIFTH
    path.write_text(path.read_text("utf-8").replace("题", "新题"), encoding="utf-8")
    read: list[Path] = []
    monkeypatch.setattr(rebuild, "read_day", lambda v, p: (read.append(p), read_day(v, p))[1])
    uris = {path.relative_to(vault.docs).as_posix() for path in vault.docs.rglob("*.md")}
    web = Reader(vault, kept).web(TODAY)
    assert read == [path]
    after = pages.around(web, (uri for uri in before if uri in uris), kept)
    again = {uri for uri in after if after[uri] != before[uri]}
    # 一、三、七天以后的那几天列出它的标题；别的页不变
    assert again == {f"daily/2026/2026-11-{n:02d}.md" for n in (6, 8, 12)}


# 一张网：怎么改，再读都与从头读的一样

SMALL = small_vault(TODAY)
DAY = TODAY - timedelta(days=3)
NAMES = ("model/rope", "model/kv-cache", "attention/mask")


def _more(vault: Vault) -> None:
    path = day_path(vault, DAY)
    path.write_text(path.read_text("utf-8") + "- [ ] 又一件，掩码\n", encoding="utf-8")


def _add(vault: Vault) -> None:
    day_path(vault, TODAY).write_text("## 思考\n\n旋转\n", encoding="utf-8")


def _delete(vault: Vault) -> None:
    day_path(vault, DAY).unlink()


def _rename_day(vault: Vault) -> None:
    day_path(vault, DAY).rename(day_path(vault, TODAY))


def _swap_days(vault: Vault) -> None:
    one, other = day_path(vault, DAY), day_path(vault, DAY + timedelta(days=1))
    spare = vault.root / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def _rename_note(vault: Vault) -> None:
    (vault.notes / "model/rope.md").rename(vault.notes / "model/rotary.md")


def _retitle_note(vault: Vault) -> None:
    (vault.notes / "model/rope.md").write_text("---\ntitle: 量一\n---\n", encoding="utf-8")


def _delete_note(vault: Vault) -> None:
    (vault.notes / "model/rope.md").unlink()


def _template(vault: Vault) -> None:
    path = vault.root / "rizhi/templates/day.md"
    path.parent.mkdir(parents=True)
    path.write_text("## 思考\n\n掩码\n\n- [ ] 量一遍\n", encoding="utf-8")


def _same_size_same_time(vault: Vault) -> None:
    path = day_path(vault, DAY)
    before = path.stat()
    time.sleep(0.02)  # 内核的时钟一格是几毫秒
    path.write_text(path.read_text("utf-8").replace("旋转", "掩码"), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _gbk(vault: Vault) -> None:
    day_path(vault, DAY).write_bytes("## 思考\n\n旋转\n".encode("gbk"))


def _week(vault: Vault) -> None:
    (vault.weekly / "2026-W47.md").rename(vault.weekly / "2026-W46.md")


@pytest.mark.parametrize(
    "edit",
    [
        _more,
        _add,
        _delete,
        _rename_day,
        _swap_days,
        _rename_note,
        _retitle_note,
        _delete_note,
        _template,
        _same_size_same_time,
        _gbk,
        _week,
    ],
)
def test_reading_again_sees_the_edit(tmp_path: Path, edit: Callable[[Vault], None]) -> None:
    vault, kept = vault_of(tmp_path, SMALL), Kept()
    before = Reader(vault, kept).web(TODAY)
    edit(vault)
    after = Reader(vault, kept).web(TODAY)
    assert after != before  # 这一改真的看得出来
    assert after == read_web(vault, TODAY)


# 从头到尾地乱改：编号变大，页面的大小也跟着变，免得两次写在同一个时钟格里
EDITS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=8)
LINES = (
    "旋转，量了一遍",
    "[旋转](../../notes/model/rope.md)",
    "- [ ] 量一遍 @2026-11-30",
    "- [x] 量一遍",
    "只有这句",
    "RoPE 与掩码",
)


def _random_edit(vault: Vault, kind: int, which: int, serial: int) -> None:
    day = day_path(vault, TODAY - timedelta(days=which))
    note = vault.notes / f"{NAMES[which % 3]}.md"
    if kind <= 2:
        day.parent.mkdir(parents=True, exist_ok=True)
        line = LINES[(serial + which) % len(LINES)]
        day.write_text(f"## 思考\n\n{line}\n<!--{'.' * serial}-->\n", encoding="utf-8")
    elif kind == 3:
        day.unlink(missing_ok=True)
    elif kind == 4 and day.exists():
        day.rename(day_path(vault, TODAY - timedelta(days=serial % 4)))
    elif kind == 5:
        note.parent.mkdir(parents=True, exist_ok=True)
        title = ("旋转", "掩码", "量了")[(serial + which) % 3]
        note.write_text(f"---\ntitle: {title}\naliases: [RoPE]\n---\n", encoding="utf-8")
    elif kind == 6:
        path = vault.root / "rizhi/templates/day.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{LINES[serial % len(LINES)]}\n", encoding="utf-8")


@settings(max_examples=30, deadline=None)
@given(EDITS)
def test_any_series_of_edits_reads_as_from_scratch(edits: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        vault, kept = vault_of(Path(folder), SMALL), Kept()
        for serial, (kind, which) in enumerate(edits):
            Reader(vault, kept).web(TODAY)
            _random_edit(vault, kind, which, serial)
            assert Reader(vault, kept).web(TODAY) == read_web(vault, TODAY)


def test_what_a_build_no_longer_asks_for_is_let_go() -> None:
    kept, made = Kept(), list[str]()

    def make(name: str) -> str:
        made.append(name)
        return name

    for asked in ("甲乙", "乙", "甲"):
        for name in asked:
            kept(name, partial(make, name))
        kept.prune()
    assert made == ["甲", "乙", "甲"]
