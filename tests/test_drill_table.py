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


def test_a_mistake_of_the_package_is_named_in_its_own_words(found: drills.Proven) -> None:
    """两个归一化互换：源码包自己的错，由改坏参数里的模型认出来。"""
    cards = {card.symbol: card for note in found.notes for card in note if card.kind == RECITED}
    card = cards["llm.model:TransformerBlock.forward"]
    one, two = "self.input_layernorm", "self.post_attention_layernorm"
    swapped = card.answer.replace(one, "other").replace(two, one).replace("other", two)
    verdict = drills.grade(drill_table.VAULT, card, swapped)
    assert "与「一个块里的两个前置归一化互换了位置」的症状一样。" in verdict.lines
