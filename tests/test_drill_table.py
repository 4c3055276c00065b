"""这个仓库的默写题：指南里的表没有过期，重放抓得住八成五以上的错，答案自己判得过。"""

import pytest

from rizhi.recall import drills
from rizhi.recall.cards import RECITED
from tests import drill_table

pytestmark = pytest.mark.slow  # 要跑全部片段，再把每个函数改坏十几处：几分钟


@pytest.fixture(scope="module")
def found() -> drills.Proven:
    return drill_table.measured()


def test_the_table_in_the_guide_is_current(found: drills.Proven) -> None:
    page = drill_table.PAGE.read_text("utf-8")
    assert page == drill_table.written(page, found), "运行 python -m tests.drill_table"


def test_replay_catches_at_least_85_percent(found: drills.Proven) -> None:
    tried = [drill for drill in found.drills.values() if drill and drill.tried]
    caught = sum(drill.caught for drill in tried)
    assert len(tried) >= 30 and caught >= 0.85 * sum(drill.tried for drill in tried)


def test_every_answer_passes_its_own_drill(found: drills.Proven) -> None:
    cards = [card for note in found.notes for card in note if card.kind == RECITED]
    assert len(cards) >= 20
    wrong = [c.symbol for c in cards if not drills.grade(drill_table.VAULT, c, c.answer).right]
    assert wrong == []
