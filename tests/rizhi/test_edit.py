"""添一行、勾一格：只动那一处，页里别的条目、别的字节都照旧。"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi import edit
from rizhi.entry import CANONICAL, parse, render
from rizhi.todo import normalised
from rizhi.vault import RizhiError
from tests.rizhi.days import days

NEW = "崭新的一行"


def _items(text: str) -> Counter[tuple[str, str | None]]:
    return Counter((item.text, item.state) for item in parse(text).items if item.text)


@given(days(), st.sampled_from(CANONICAL))
def test_append_adds_one_item_and_keeps_the_rest(made, name: str) -> None:
    old = made[0]
    new = edit.append(old, name, NEW)
    assert render(parse(new)) == new
    came = _items(new) - _items(old)
    assert not _items(old) - _items(new) and [text for text, _ in came] == [NEW]
    (where,) = {s.name for s in parse(new).sections for i in s.items if i.text == NEW}
    assert where == name
    end = "\r\n" if "\r\n" in old else "\n"
    lines = Counter(new.split(end)) - Counter(old.split(end))
    assert sum(NEW in line for line in lines) == 1
    assert all(NEW in line or line in ("", f"## {name}") for line in lines)


@given(days())
def test_settle_marks_one_thing_everywhere(made) -> None:
    old = made[0]
    for item in parse(old).todos:
        key = normalised(item.text)
        new = edit.settle(old, key, "x")
        mine = [i for i in parse(old).todos if normalised(i.text) == key]
        if all(i.state in ("done", "dropped") for i in mine):
            assert new is None
            continue
        assert new is not None and len(new) == len(old)
        changed = [n for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        assert set(changed) == {i.box for i in mine if i.state == "open"}
        assert all(new[n] == "x" for n in changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## 思考\n- \n", "## 思考\n- 甲\n"),
        ("## 思考\n\t- \n", "## 思考\n\t- 甲\n"),
        ("## 思考\n\n1. 一\n9、 二\n", "## 思考\n\n1. 一\n9、 二\n10、 甲\n"),
        ("## 思考\n\n- 一\n    - 里\n\n## 健身\n", "## 思考\n\n- 一\n    - 里\n- 甲\n\n## 健身\n"),
        ("## 思考\n散文\n", "## 思考\n散文\n\n- 甲\n"),
        ("## 思考", "## 思考\n\n- 甲"),
        ("## 思考\n## 健身\n", "## 思考\n\n- 甲\n\n## 健身\n"),
        ("", "## 思考\n\n- 甲\n"),
        ("正文", "正文\n\n## 思考\n\n- 甲\n"),
        ("## 思考\n- 一\n\n## 思考\n- \n", "## 思考\n- 一\n\n## 思考\n- 甲\n"),
    ],
)
def test_where_the_line_goes(old: str, new: str) -> None:
    assert edit.append(old, "思考", "甲") == new
    crlf = edit.append(old.replace("\n", "\r\n"), "思考", "甲")
    assert crlf.replace("\r\n", "\n") == new


def test_the_challenge_is_written_after_its_label() -> None:
    old = "## 遇到的挑战与明日计划\n\n挑战：\n\n明日计划：\n\n- [ ] \n"
    once = edit.append(old, "遇到的挑战与明日计划", "难")
    assert once == old.replace("挑战：\n", "挑战：难\n", 1)
    twice = edit.append(once, "遇到的挑战与明日计划", "还难")
    assert "挑战：难\n\n- 还难\n\n明日计划：" in twice
    assert "- [ ] 做\n" in edit.append(twice, "明日计划", "做")


def test_numbered_headings_are_found_by_their_name() -> None:
    assert edit.append("## 二 .思考\n", "1. 思考", "甲") == "## 二 .思考\n\n- 甲\n"
    with pytest.raises(RizhiError, match=r"没有「杂」.*思考.*没有改动"):
        edit.append("## 二 .思考\n", "杂", "甲")


def test_a_label_without_a_bullet_cannot_be_ticked() -> None:
    assert edit.settle("挑战：难。【待办】画图\n", "画图", "x") is None
    assert edit.settle("没有\n", "画图", "x") is None
