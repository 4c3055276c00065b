"""模板：排得出、错了说得出哪一行，改了模板，「模板文字」也跟着变。"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rizhi import template as templates
from rizhi.errors import RizhiError
from rizhi.journal import lint
from rizhi.journal.carry import Goal
from rizhi.journal.day import CANONICAL, Day, read_days
from rizhi.journal.lint import own_text, words
from rizhi.journal.write import new_day
from rizhi.vault import Vault

Write = Callable[[str, str], Path]


def _day(text: str) -> Day:
    return Day(Path("2026-11-23.md"), text)


def _new(vault: Vault, goals: list[str], rest: int = 0) -> str:
    made = [Goal(text) for text in goals]
    return new_day(vault, date(2026, 11, 23), "题", made, rest, None)


def test_a_new_day_has_every_section_in_his_order_and_no_words_of_his(vault: Vault) -> None:
    text = _new(vault, [])
    day = _day(text)
    names = [section.name for section in day.sections if section.level == 2]
    assert names == list(CANONICAL)
    assert day.todos == () and own_text(day, templates.boilerplate(vault)) == ""
    assert text.count("- [ ] \n") == 6 and "1. [ ] \n2. [ ] \n3. [ ] \n" in text
    assert "\n\n\n" not in text and text.endswith("- [ ] \n")


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_at_least_three_goals(vault: Vault, count: int) -> None:
    text = _new(vault, [f"事{n}" for n in range(count)])
    goals = _day(text).section("今日目标")[0].items
    assert [item.marker for item in goals] == [f"{n}." for n in range(1, max(count, 3) + 1)]
    assert [item.text for item in goals if item.text] == [f"事{n}" for n in range(count)]


def test_goals_and_the_link_back_are_not_his_words(vault: Vault, write: Write) -> None:
    write("2026-11-20", "写了。\n")
    previous = lint.last_written(vault, read_days(vault))
    text = new_day(vault, date(2026, 11, 23), "", [Goal("画图", "/")], 7, previous)
    assert "上一篇：[2026-11-20](2026-11-20.md)" in text
    assert "1. [/] 画图\n" in text and "\n另有 7 件，见 `rizhi todo`\n" in text
    assert own_text(_day(text), templates.boilerplate(vault)) == ""
    mine = text.replace("## 思考\n\n- ", "## 思考\n\n- cat 不新建维度")
    assert own_text(_day(mine), templates.boilerplate(vault)) == "cat 不新建维度"


def test_a_template_of_the_last_version_still_works(vault: Vault) -> None:
    """他改过的旧模板里没有 `goal.mark` 与 `rest`：条目与子条目照样写得出来。"""
    own = vault.root / "templates/day.md"
    own.parent.mkdir(parents=True)
    own.write_text("{% for goal in goals %}{{ loop.index }}. [ ] {{ goal }}\n{% endfor %}", "utf-8")
    assert _new(vault, ["甲\n    - [ ] 乙"], 3) == "1. [ ] 甲\n    - [ ] 乙\n"


def test_an_edited_template_moves_the_boundary(vault: Vault) -> None:
    own = vault.root / "templates/day.md"
    own.parent.mkdir(parents=True)
    own.write_text("# {{ date }}\n\n天气：\n\n## 思考\n\n先写三条 (至少)：\n", "utf-8")
    text = _new(vault, [])
    assert text.startswith("# 2026-11-23") and "天气：" in text
    template = templates.boilerplate(vault)
    assert own_text(_day(text), template) == ""
    assert own_text(_day(text.replace("天气：", "天气：晴")), template) == "天气：晴"


def test_a_template_that_is_no_utf8_is_named(vault: Vault) -> None:
    own = vault.root / "templates/day.md"
    own.parent.mkdir(parents=True)
    own.write_bytes("天气".encode("gbk"))
    with pytest.raises(RizhiError, match=r"day\.md.*UTF-8"):
        _new(vault, [])


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("掩码", 2), ("用 masked_fill_ 遮住 3 格", 6), ("，。！", 0)]
)
def test_words(text: str, count: int) -> None:
    assert words(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ render.__globals__ }}",
        "{{ goals.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% for n in range(10 ** 9) %}{{ n }}{% endfor %}",
        "{{ '{0.__class__}'.format(1) }}",
    ],
)
def test_a_template_reaches_nothing_but_the_page(vault: Vault, text: str) -> None:
    """别人给的知识库里也许有这样的模板：`new` 会照它排出一页。"""
    own = vault.root / "templates/day.md"
    own.parent.mkdir(parents=True)
    own.write_text(f"一\n{text}\n", "utf-8")
    with pytest.raises(RizhiError, match=r"模板出错") as told:
        _new(vault, [])
    assert told.value.within(vault.root).startswith("templates/day.md:")


def test_a_template_may_not_be_a_link_to_elsewhere(vault: Vault, tmp_path: Path) -> None:
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("密码", "utf-8")
    (vault.root / "templates").mkdir()
    (vault.root / "templates/day.md").symlink_to(secret)
    with pytest.raises(RizhiError, match="知识库之外"):
        _new(vault, [])


def test_the_place_of_the_last_version_still_counts(vault: Vault) -> None:
    for folder, text in (("rizhi/templates", "旧\n"), ("templates", "新\n")):
        (vault.root / folder).mkdir(parents=True)
        (vault.root / folder / "day.md").write_text(text, "utf-8")
        assert _new(vault, []) == text
