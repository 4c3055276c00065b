"""待办的几条命令，像用的人那样敲：done、drop、park、add，与新的一天带上的。"""

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import Result

from rizhi.vault import Vault, day_path

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
CASES = Path(__file__).parents[1] / "cases"
NEXT = "2026-11-21 21:30"


def _goals(vault: Vault, day: str) -> str:
    text = day_path(vault, date.fromisoformat(day)).read_text("utf-8")
    return text.partition("## 今日目标")[2].partition("\n## ")[0]


def _open(rz: Run, at: str) -> list[str]:
    return [t["text"] for t in json.loads(rz("todo", "--json", at=at).stdout)]


@pytest.fixture
def signs(rz: Run, write: Write) -> Path:
    return write("2026-11-20", (CASES / "signs.md").read_text("utf-8"))


def test_new_carries_all_eleven_and_done_settles_one(rz: Run, vault: Vault, signs: Path) -> None:
    rz("new", at=NEXT)
    assert len(re.findall(r"^\d+\. \[ \] .", _goals(vault, "2026-11-21"), re.M)) == 11
    said = rz("done", "学 C", at=NEXT)
    assert said.exit_code == 0 and "完成：学 C（" in said.stdout
    assert len(_open(rz, NEXT)) == 10 and "学 C" not in _open(rz, NEXT)
    assert {"学 C++", "学 C#"} <= set(_open(rz, NEXT))


@pytest.mark.parametrize("wanted", ["把 -1 的含义写清", "-1", "看 x>0 的情形", "x>0", "@property"])
def test_words_that_look_like_options_or_markup_are_found(
    rz: Run, signs: Path, wanted: str
) -> None:
    result = rz("done", wanted, at=NEXT)
    assert result.exit_code == 0, result.output
    assert len(_open(rz, NEXT)) == 10


def test_a_unique_prefix_of_an_id_is_enough(rz: Run, signs: Path) -> None:
    one = json.loads(rz("todo", "--json", at=NEXT).stdout)[0]
    assert one["text"] in rz("done", one["id"][:4], at=NEXT).stdout
    assert rz("done", one["id"][:2], at=NEXT).exit_code == 1  # 太短，不当作编号


def test_drop_leaves_brackets_in_the_words_alone(rz: Run, vault: Vault, write: Write) -> None:
    path = write("2026-11-21", "## 明日计划\n\n- [ ] 修 a[x] 的下标\n")
    rz("drop", "修 a[x] 的下标", at=NEXT)
    assert path.read_text("utf-8") == "## 明日计划\n\n- [-] 修 a[x] 的下标\n"


def test_a_label_in_a_line_that_is_no_item_is_settled_below(
    rz: Run, vault: Vault, write: Write
) -> None:
    path = write("2026-11-21", "## 今日完成\n\n## 明日计划\n\n1、【待办】画图\n")
    assert rz("done", "画图", at=NEXT).exit_code == 0
    text = path.read_text("utf-8")
    assert "1、【待办】画图\n" in text and "- [x] 画图（自 2026-11-21）" in text
    assert _open(rz, NEXT) == []


def test_a_parked_thing_comes_back_on_its_day(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-20", "## 思考\n\n- 写了。\n\n## 明日计划\n\n- [ ] 模拟\n    - [ ] 订教室\n")
    rz("new", at=NEXT)
    said = rz("park", "模拟", "11-24", at=NEXT)
    assert said.exit_code == 0 and "搁到 2026-11-24：模拟" in said.stdout
    page = day_path(vault, date(2026, 11, 21)).read_text("utf-8")
    assert "- [>] 模拟 📅 2026-11-24\n    - [ ] 订教室" in page
    rz("add", "思考", "又一天", at="2026-11-22 21:30")
    assert "模拟" not in _goals(vault, "2026-11-22") and "另有 2 件" in _goals(vault, "2026-11-22")
    rz("new", at="2026-11-24 21:30")
    carried = _goals(vault, "2026-11-24")
    assert "[>] 模拟 📅 2026-11-24（已顺延" in carried and "    - [ ] 订教室" in carried


def test_a_parked_thing_whose_day_has_come_is_an_ordinary_one(rz: Run, write: Write) -> None:
    """搁到的那天不是期限：当天、过了几天，都同没有搁过的一样说、一样排。"""
    write("2026-11-19", "## 明日计划\n\n- [ ] 老的\n- [ ] 到期 📅 2026-12-20\n")
    write("2026-11-20", "## 明日计划\n\n- [>] 到日子的 📅 2026-11-24\n- [>] 搁着 📅 2026-12-30\n")
    assert _open(rz, "2026-11-23 21:30") == ["到日子的", "到期", "搁着", "老的"]
    for at in ("2026-11-24 21:30", "2026-11-29 21:30"):
        assert _open(rz, at) == ["到期", "搁着", "老的", "到日子的"]
        (line,) = (x for x in rz("todo", at=at).stdout.splitlines() if "到日子的" in x)
        assert "[ ] 到日子的（自 2026-11-20" in line and "2026-11-24" not in line
        found = json.loads(rz("todo", "--json", at=at).stdout)
        assert [t["due"] for t in found] == ["2026-12-20", "2026-12-30", None, None]
    several = rz("done", "到", at="2026-11-24 21:30").stderr
    assert "[ ] 到日子的（" in several and "期限 2026-12-20 到期" in several


@pytest.mark.parametrize("until", ["今天", "昨天", "2026-11-01"])
def test_parking_into_the_past_is_refused(
    rz: Run, signs: Path, snapshot: Callable[[], dict[str, bytes]], until: str
) -> None:
    before = snapshot()
    result = rz("park", "学 C", until, at=NEXT)
    assert result.exit_code == 1 and "不在今天（2026-11-21）之后" in result.stderr
    assert snapshot() == before


def test_undo_takes_a_park_back(rz: Run, vault: Vault, signs: Path) -> None:
    rz("new", at=NEXT)
    page = day_path(vault, date(2026, 11, 21))
    before = page.read_bytes()
    rz("park", "学 C", "明天", at=NEXT)
    assert page.read_bytes() != before
    assert rz("undo", at=NEXT).exit_code == 0 and page.read_bytes() == before


def test_add_finds_the_section_and_writes_the_day_out(rz: Run, vault: Vault) -> None:
    assert "「今日成果」" in rz("add", "成果", "写完了", at=NEXT).stdout
    rz("add", "明日计划", "交表 @明天", at=NEXT)
    text = day_path(vault, date(2026, 11, 21)).read_text("utf-8")
    assert "1. 写完了\n" in text and "- [ ] 交表 @2026-11-22\n" in text


@pytest.mark.parametrize(("written", "day"), [("昨天", "2026-11-20"), ("11-3", "2026-11-03")])
def test_dates_are_taken_as_people_say_them(rz: Run, vault: Vault, written: str, day: str) -> None:
    assert day in rz("new", "--date", written, at=NEXT).stdout
    assert rz("show", written, at=NEXT).stdout.startswith(day)


def test_a_month_of_plans_does_not_pile_up(rz: Run, vault: Vault) -> None:
    """天天计划五件，一件也不做：目标不会越积越多，没带上的说有几件。"""
    for number in range(1, 11):
        at = f"2026-12-{number:02d} 21:30"
        rz("new", at=at)
        rz("add", "思考", "又一天", at=at)
        for one in range(5):
            rz("add", "明日计划", f"第 {number} 天的第 {one} 件", at=at)
    goals = _goals(vault, "2026-12-10")
    assert len(re.findall(r"^\d+\. \[ \] .", goals, re.M)) == 8
    assert "另有 37 件，见 `rizhi todo`" in goals


def test_one_day_in_two_folders_is_one_day(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-20", "## 明日计划\n\n- [ ] 画图\n")
    twin = vault.daily / "2026-11-20.md"
    twin.write_text("## 明日计划\n\n- [ ] 画图\n- [ ] 只在这里\n", "utf-8")
    found = json.loads(rz("todo", "--json", at=NEXT).stdout)
    assert {(t["text"], t["carried"]) for t in found} == {("画图", 0), ("只在这里", 0)}


def test_done_reaches_the_goals_of_a_page_made_ahead(rz: Run, vault: Vault, write: Write) -> None:
    """头一次照计划带上的不写自哪天来：提前建好的一页里，也是同一件。"""
    write("2026-11-20", "## 思考\n\n- 写了。\n\n## 明日计划\n\n- [ ] 甲\n    - [ ] 子\n- [ ] 乙\n")
    rz("new", "--date", "2026-11-25", at=NEXT)
    for name in ("甲", "子"):
        assert rz("done", name, at=NEXT).exit_code == 0
    assert _open(rz, NEXT) == ["乙"]
    assert "1. [x] 甲\n    - [x] 子\n2. [ ] 乙" in _goals(vault, "2026-11-25")


def test_a_label_without_a_box_can_be_parked(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-11-21", "## 思考\n\n- 写了。\n\n## 明日计划\n\n- **【待办】画图。**\n- 看书\n")
    assert rz("park", "画图", "11-25", at=NEXT).exit_code == 0
    rz("new", at="2026-11-22 21:30")
    assert "画图" not in _goals(vault, "2026-11-22") and "看书" in _goals(vault, "2026-11-22")
    rz("new", at="2026-11-25 21:30")
    assert "[>] 画图 📅 2026-11-25\n" in _goals(vault, "2026-11-25")


def test_a_bare_done_closes_nothing(
    rz: Run, write: Write, snapshot: Callable[[], dict[str, bytes]]
) -> None:
    write("2026-11-21", "## 明日计划\n\n- [ ] 只有这一件\n")
    before = snapshot()
    assert rz("done", "", at=NEXT).exit_code == 1 and snapshot() == before


def test_done_links_as_the_last_page_that_has_it_links(rz: Run, vault: Vault, write: Write) -> None:
    write("2026-12-30", "## 思考\n\n- [ ] 看[讲义](a.md)\n")
    write("2027-01-02", "## 思考\n\n- [ ] 看[讲义](b.md)\n")
    write("2027-01-03", "## 今日完成\n")
    assert rz("done", "看", at="2027-01-03 21:30").exit_code == 0
    text = day_path(vault, date(2027, 1, 3)).read_text("utf-8")
    assert "- [x] 看[讲义](b.md)（自 2026-12-30）" in text
