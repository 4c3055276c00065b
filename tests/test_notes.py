"""每篇笔记：标题、来源、形状的字母、输出的出处、先修的次序。"""

import re
from pathlib import Path

import pytest

from rizhi import check, vault
from rizhi.entry import outside_code
from rizhi.index import targets
from rizhi.web.generated import reading_order

ROOT = Path(__file__).resolve().parents[1]
VAULT = vault.find_vault(ROOT)
NOTES = [note for note in vault.read_notes(VAULT) if not note.draft]
LEGEND = set("BTSCHKDVIRNP")
# 圆括号里全是大写字母、数字与算号的，说的是形状
SHAPE = re.compile(r"\(((?:[A-Z0-9…/*·+ -]|\.\.\.)+(?:,(?:[A-Z0-9…/*·+ -]|\.\.\.)+)+,?)\)")
EVERY = pytest.mark.parametrize("note", NOTES, ids=lambda note: note.slug)


def _foreign(text: str) -> list[str]:
    return [
        found[0] for found in SHAPE.finditer(text) if set(re.findall("[A-Z]", found[1])) - LEGEND
    ]


def _sections(note: vault.Note) -> dict[str, str]:
    parts = re.split(r"^## (.+?)[ \t]*$", outside_code(note.body), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_foreign_letters_are_seen() -> None:
    assert _foreign("(B, T, D) 与 (2, 3)、(H·D, C)") == []
    assert _foreign("(B, L, D)") == ["(B, L, D)"]


@EVERY
def test_headings_are_in_order(note: vault.Note) -> None:
    assert tuple(re.findall(r"^## (.+?)[ \t]*$", outside_code(note.body), re.M)) == check.HEADINGS


@EVERY
def test_sources_are_named(note: vault.Note) -> None:
    listed = re.findall(r"^- (.+)$", _sections(note)["来源"], re.M)
    assert listed and all(re.search(r"[A-Za-z《]", line) for line in listed)


@EVERY
def test_shapes_use_the_legend(note: vault.Note) -> None:
    assert _foreign(note.text) == []
    source = (VAULT.snippets / f"{note.snippet}.py").read_text("utf-8")
    comments = re.findall(r"#.*$", source, re.M)
    assert _foreign("\n".join(comments)) == []


@EVERY
def test_outputs_come_from_records(note: vault.Note) -> None:
    fences = re.findall(r"^ *(?:```|~~~)(.*)$", note.body, re.M)[::2]
    assert set(fences) <= {"snippet", "source"}, "输出要从记录里来，不能手写在代码块里"


@EVERY
def test_questions_have_answers(note: vault.Note) -> None:
    found = re.findall(r'^\?\?\? question ".+"\n((?: {4}.*\n|\n)+)', note.body + "\n", re.M)
    assert len(found) >= 3 and all(len(answer.strip()) > 20 for answer in found)


def test_readers_meet_prerequisites_first() -> None:
    seen: set[str] = set()
    for layer in reading_order(NOTES):
        assert all(set(note.prereq) <= seen for note in layer)
        seen |= {note.slug for note in layer}
    assert seen == {note.slug for note in NOTES}


@EVERY
def test_definitions_lean_only_on_what_came_before(note: vault.Note) -> None:
    """「一句话」里链接到的，都是先修里有的：定义不靠还没读到的笔记。"""
    by_slug = {one.slug: one for one in NOTES}
    known, waiting = {note.slug}, list(note.prereq)
    while waiting:
        slug = waiting.pop()
        if slug not in known:
            known.add(slug)
            waiting += by_slug[slug].prereq
    brief = note.text.partition("## 一句话")[2].partition("\n## ")[0]
    linked = {Path(target).stem for link, target in targets(note) if link.target in brief}
    assert linked & by_slug.keys() <= known
