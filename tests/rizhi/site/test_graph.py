"""整张网：有链接处才有一条，没有就没有；带着上次的记忆再读，与从头读一样。"""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rizhi.site import graph
from rizhi.site.graph import Memory, Web, read_web
from rizhi.vault import Vault, day_path
from tests.rizhi.webs import vault_of as _vault

TODAY = date(2026, 11, 23)
NOTES = ("model/rope", "model/kv-cache", "attention/mask")
TARGETS = (*NOTES, "model/gone")  # 最后一篇已经删了
SLOT = "@"
REAL = (
    "见[旋转](@)。",
    "[旋转](@#定义)",
    '[旋转](@ "题")',
    "**[旋转](<@>)**",
    "- [ ] 看[一遍](@)，再看[一遍](@)",
    "| [表里](@) |",
    "> 引用里的[旋转](@)",
)
FAKE = (
    "`[旋转](@)`",
    "```python\n[旋转](@)\n```",
    "~~~\n[旋转](@)\n~~~",
    "````\n```\n[旋转](@)\n```\n````",
    "![旋转](@)",
    "[外面](https://example.org/@)",
    "[外面](//example.org/@)",
    "[外面](mailto:@)",
    "[页内](#@)",
    "<!-- [旋转](@) -->",
    "[旋转] (@)",
    "旋转 @",
)
PIECES = st.lists(
    st.tuples(st.sampled_from(REAL + FAKE), st.sampled_from(TARGETS)), min_size=0, max_size=6
)
DAYS = st.dictionaries(
    st.integers(0, 800).map(lambda n: TODAY - timedelta(days=n)),
    st.tuples(st.booleans(), PIECES),
    max_size=5,
)


def _filled(pieces: list[tuple[str, str]], up: str) -> str:
    return "\n\n".join(shape.replace(SLOT, f"{up}{to}.md") for shape, to in pieces)


def _linked(pieces: list[tuple[str, str]]) -> set[str]:
    return {to for shape, to in pieces if shape in REAL}


@settings(max_examples=60, deadline=None)
@given(DAYS)
def test_a_day_is_listed_exactly_where_it_links(
    days: dict[date, tuple[bool, list[tuple[str, str]]]],
) -> None:
    files = {f"notes/{name}.md": "# 题\n" for name in NOTES}
    ledger: dict[str, list[date]] = {}
    for day, (written, pieces) in sorted(days.items()):
        section = "思考\n\n写了" if written else "今日目标"  # 目标不算写过
        files[f"daily/{day.year}/{day}.md"] = f"## {section}\n\n{_filled(pieces, '../../notes/')}\n"
        for to in _linked(pieces) if written else ():
            ledger.setdefault(to, []).append(day)
    with TemporaryDirectory() as folder:
        vault = _vault(Path(folder), files)
        web = read_web(vault, TODAY)
        found = web.mentioned
        wanted = {str(vault.docs / f"notes/{to}.md"): dates for to, dates in ledger.items()}
        assert {to: [day.date for day, _ in listed] for to, listed in found.items()} == wanted
        for target, listed in found.items():
            for fact, mention in listed:
                assert mention.target == target and str(mention.source) == fact.path
                lines = Path(fact.path).read_text("utf-8").split("\n")
                assert Path(target).name in lines[mention.line - 1]
                assert Path(target).name in mention.sentence
        assert web.dates == sorted(day for day, (written, _) in days.items() if written)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(NOTES, PIECES)))
def test_a_note_leads_exactly_where_it_links(notes: dict[str, list[tuple[str, str]]]) -> None:
    files = {f"notes/{name}.md": f"# 题\n\n{_filled(p, '../')}\n" for name, p in notes.items()}
    ledger: dict[str, list[str]] = {}
    for name in sorted(notes):
        for to in _linked(notes[name]) - {name, "model/gone"}:
            ledger.setdefault(to, []).append(name)
    with TemporaryDirectory() as folder:
        vault = _vault(Path(folder), files)
        start = str(vault.notes) + os.sep
        leads = read_web(vault, TODAY).leads
        assert {
            to.removeprefix(start)[:-3]: [str(n.path).removeprefix(start)[:-3] for n in listed]
            for to, listed in leads.items()
        } == ledger


def test_only_the_first_link_of_a_day_is_quoted(tmp_path: Path) -> None:
    rope = "(../../notes/model/rope.md)。\n"
    text = f"## 思考\n\n先看[甲]{rope}\n再看[乙]{rope}"
    web = read_web(_vault(tmp_path, {"daily/2026/2026-11-20.md": text}), TODAY)
    (((_, mention),),) = web.mentioned.values()
    assert mention.sentence.startswith("先看") and mention.line == 3


# 带着记忆


def _seen(web: Web) -> dict[str, Any]:
    names = ("days", "paths", "notes", "weeks", "todos", "uris", "dates", "mentioned", "leads")
    more = ("followers", "born", "hinted", "by_slug", "by_uri", "week_uris")
    return {name: getattr(web, name) for name in (*names, *more)}


def _same(vault: Vault, memory: Memory) -> None:
    assert _seen(read_web(vault, TODAY, memory)) == _seen(read_web(vault, TODAY))


DAY = TODAY - timedelta(days=3)


def _day(day: date) -> str:
    return f"daily/{day.year}/{day}.md"


SMALL = {
    _day(
        DAY
    ): "---\ntags: [甲]\n---\n\n## 今日完成\n\n- [ ] 量一遍\n\n## 思考\n\n旋转，见[m](x.md)\n",
    _day(DAY + timedelta(days=1)): "## 今日完成\n\n- [x] 量一遍\n\n## 思考\n\n掩码\n",
    "notes/model/rope.md": "---\ntitle: 旋转\n---\n",
    "notes/attention/mask.md": "---\ntitle: 掩码\n---\n",
    "weekly/2026-W47.md": "# 周报\n",
}


def _append(vault: Vault) -> None:
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
    path = vault.root / "templates/day.md"
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
        _append,
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
    vault, memory = _vault(tmp_path, SMALL), Memory()
    before = _seen(read_web(vault, TODAY, memory))
    edit(vault)
    assert _seen(read_web(vault, TODAY)) != before  # 这一改真的看得出来
    _same(vault, memory)


def test_pages_that_did_not_change_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, memory = _vault(tmp_path, SMALL), Memory()
    before = _seen(read_web(vault, TODAY, memory))
    _append(vault)
    read: list[date] = []
    monkeypatch.setattr(
        graph, "read_day", lambda v, p, real=graph.read_day: (read.append(p), real(v, p))[1]
    )
    after = _seen(read_web(vault, TODAY, memory))
    assert read == [day_path(vault, DAY)] and after != before


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
    note = vault.notes / f"{NOTES[which % 3]}.md"
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
        path = vault.root / "templates/day.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{LINES[serial % len(LINES)]}\n", encoding="utf-8")


@settings(max_examples=30, deadline=None)
@given(EDITS)
def test_any_series_of_edits_reads_as_from_scratch(edits: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        vault, memory = _vault(Path(folder), SMALL), Memory()
        for serial, (kind, which) in enumerate(edits):
            read_web(vault, TODAY, memory).hinted  # noqa: B018  没有链接的提到也留着记忆
            _random_edit(vault, kind, which, serial)
            _same(vault, memory)


# 读不出的


@pytest.mark.parametrize(
    "data",
    [
        b"",
        "## 思考\n\n旋转\n".encode("gbk"),
        "## 思考\n\n旋转\n".encode("utf-16"),
        "旋转".encode()[:-1],
        b"---\ntags: [\n---\n\n# x\n",
        b"---\ntags: !!python/object/apply:os.system ['false']\n---\n",
        b"---\ntitle: {a: [1]}\ntags: {b: 2}\n---\n",
    ],
)
def test_a_page_that_cannot_be_read_spoils_no_other(tmp_path: Path, data: bytes) -> None:
    vault = _vault(tmp_path, SMALL)
    good = read_web(vault, TODAY)
    day_path(vault, TODAY).write_bytes(data)
    (vault.notes / "model/bad.md").write_bytes(data)
    (vault.weekly / "2026-W48.md").write_bytes(data)
    web = read_web(vault, TODAY)
    assert [day for day in web.days if day.date != TODAY] == list(good.days)
    assert web.paths[TODAY] == str(day_path(vault, TODAY)) and len(web.notes) == 3


def test_a_dangling_link_spoils_no_other(tmp_path: Path) -> None:
    vault = _vault(tmp_path, SMALL)
    good = read_web(vault, TODAY)
    day_path(vault, TODAY).symlink_to(tmp_path / "没有.md")
    assert read_web(vault, TODAY).days == good.days
