"""复习得怎样：数得对，递给周报与统计；忘了的那题链到头一次写到它的那天。"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from rizhi.recall import log
from rizhi.recall.log import Event
from rizhi.recall.summary import summary
from rizhi.vault import Vault

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
DAY = date(2026, 11, 23)


def lived(*graded: tuple[str, list[tuple[int, int]]]) -> list[Event]:
    """每张卡片：第几天答得怎样。"""
    made = []
    for card, answers in graded:
        for number, (ago, grade) in enumerate(answers):
            day = DAY + timedelta(days=ago)
            at = datetime(day.year, day.month, day.day, 13, tzinfo=UTC)
            told = {"card": card, "note": "rope", "kind": "自测", "text": f"{card}？\n第二行"}
            if not number:
                made.append(Event(at, f"b{card}", "born", {**told, "day": str(day)}))
            answered = {"card": card, "grade": grade, "day": str(day)}
            made.append(Event(at, f"{card}{number}", "review", answered))
    return made


def test_new_kept_and_lapsed_are_told_apart() -> None:
    """头一次答「忘了」是新的，不算忘；同一天第二次不算；范围之外的不算。"""
    events = lived(
        ("甲", [(-9, 1), (0, 3), (2, 1)]),
        ("乙", [(0, 3), (2, 2), (3, 1)]),
        ("丙", [(1, 1), (1, 4)]),
    )
    data = summary(events, DAY, DAY + timedelta(days=6), DAY + timedelta(days=6))
    counts = [data[name] for name in ("reviewed", "new", "kept", "lapses")]
    assert counts == [6, 2, 2, 2]
    assert data["lapsed"] == [{"note": "rope", "text": "乙？"}, {"note": "rope", "text": "甲？"}]


def test_the_coming_week_counts_each_day_and_not_the_sleeping() -> None:
    events = lived(("甲", [(0, 3)]), ("乙", [(0, 3)]), ("丙", [(0, 4)]), ("丁", [(0, 3)]))
    events.append(Event(events[-1].at, "z", "sleep", {"card": "丁"}))
    coming = summary(events, DAY, DAY, DAY)["coming"]
    assert [day["count"] for day in coming] == [0, 2, 0, 0, 0, 0, 0]
    assert coming[0]["date"] == "2026-11-24" and len(coming) == 7


@pytest.fixture
def forgot(vault: Vault, rz: Run, write: Write) -> Vault:
    """一篇笔记一题，11-23 学会，11-25 忘了；11-20 头一次写到它。"""
    path = vault.notes / "model/rope.md"
    path.parent.mkdir(parents=True)
    body = '## 自测\n\n??? question "`RoPE` 转的是谁？见[掩码](mask.md)"\n    q 与 k。\n'
    path.write_text(f"---\ntitle: 旋转\n---\n\n# 旋转\n\n{body}", "utf-8")
    write("2026-11-20", "# 题\n\n## 思考\n\n- [旋转](../../notes/model/rope.md) 又忘了。\n")
    write("2026-11-24", "# 题\n\n## 思考\n\n- [旋转](../../notes/model/rope.md) 再看。\n")
    rz("review", input="\r3")
    rz("review", at="2026-11-25 21:30", input="\r1")
    return vault


def test_stats_tell_and_name_the_day_he_first_wrote_of_it(rz: Run, forgot: Vault) -> None:
    said = rz("stats", at="2026-11-25 22:00").stdout
    assert "复习了 2 次：新的 1，记得 0，忘了 1；接下来七天到期的：11-26 1 张。" in said
    assert "笔记 rope，头一次写到是 2026-11-20（docs/daily/2026/2026-11-20.md）" in said
    data = json.loads(rz("stats", "--json", at="2026-11-25 22:00").stdout)["recall"]
    assert data["lapsed"][0]["first"] == "2026-11-20" and data["lapses"] == 1


def test_without_a_review_nothing_is_said(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-23", "# 题\n\n写了。\n")
    assert "复习" not in rz("stats").stdout
    assert json.loads(rz("stats", "--json").stdout)["recall"] is None
    rz("week")
    assert "## 复习" not in (vault.weekly / "2026-W48.md").read_text("utf-8")


def test_the_week_links_the_lapse_to_that_day(rz: Run, forgot: Vault) -> None:
    rz("week", at="2026-11-25 22:00")
    text = (forgot.weekly / "2026-W48.md").read_text("utf-8")
    section = text.partition("## 复习\n")[2].partition("<!--")[0]
    assert section.strip().splitlines() == [
        "复习了 2 次：新的 1，记得 0，忘了 1。接下来七天到期的：11-26 1 张。",
        "",
        "- 忘了「`RoPE` 转的是谁？见[掩码](../notes/model/mask.md)」："
        "[旋转](../notes/model/rope.md)，头一次写到是 [2026-11-20](../daily/2026/2026-11-20.md)",
    ]
    assert "没有变化" in rz("week", at="2026-11-25 22:00").stdout
    # 过去的一周不说接下来，没有复习就没有这一节
    rz("week", "--week", "2026-W47", at="2026-11-25 22:00")
    before = (forgot.weekly / "2026-W47.md").read_text("utf-8")
    assert "## 复习" not in before


def test_a_lapse_whose_note_is_gone_or_never_written_of(rz: Run, forgot: Vault) -> None:
    (forgot.notes / "model/rope.md").unlink()
    data = json.loads(rz("week", "--json", at="2026-11-25 22:00").stdout)["recall"]
    assert data["lapsed"][0]["first"] is None and data["lapsed"][0]["name"] == "rope"
    log.path(forgot).write_text("坏\n", "utf-8")
    assert rz("week", at="2026-11-25 22:00").exit_code == 0
    assert rz("stats", at="2026-11-25 22:00").exit_code == 0
