"""沿用上一次的结果，与从头算的一样：一张网的两个样子，共用一份记忆。"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rizhi.mkdocs_plugin import pages
from rizhi.site.graph import Memory, Web, read_web
from tests.rizhi.webs import pages_of, vault_of

TODAY = date(2026, 11, 23)
Change = Callable[[Path], object]


def _day(name: str, *lines: str) -> str:
    return "\n".join([f"# {name}　题", "", "## 思考", "", "- 写了字", *lines, ""])


def _shown(web: Web) -> dict[str, object]:
    """每一页的面板，与算出来的页。"""
    docs = web.vault.docs
    uris = [path.relative_to(docs).as_posix() for path in sorted(docs.rglob("*.md"))]
    return {**{uri: pages.rendered(web, uri) for uri in uris}, **pages.sources(web)}


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
    vault, memory = vault_of(root, files), Memory()
    before = _shown(read_web(vault, TODAY, memory))
    change(vault.docs)
    kept = _shown(read_web(vault, later, memory))
    assert kept == _shown(read_web(vault, later, Memory()))
    assert kept != before


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
