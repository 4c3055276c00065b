"""整张网：有链接处才有一条，没有就没有。"""

import os
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rizhi.site.graph import read_web
from rizhi.vault import day_path
from tests.rizhi.webs import small_vault
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
                assert mention.target == target and web.uri(mention.source) == fact.uri
                lines = mention.source.read_text("utf-8").split("\n")
                assert Path(target).name in lines[mention.line - 1]
                assert (
                    "旋转" in mention.sentence
                    or "一遍" in mention.sentence
                    or "表里" in mention.sentence
                )
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


# 读不出的

SMALL = small_vault(TODAY)


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
    assert web.begun and web.begun.uri == f"daily/2026/{TODAY}.md" and len(web.notes) == 3


def test_a_dangling_link_spoils_no_other(tmp_path: Path) -> None:
    vault = _vault(tmp_path, SMALL)
    good = read_web(vault, TODAY)
    day_path(vault, TODAY).symlink_to(tmp_path / "没有.md")
    assert read_web(vault, TODAY).days == good.days
