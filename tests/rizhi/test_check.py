"""规则：每一条都有一个犯规的例子和一个不犯的例子，位置说得准。"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rizhi.check import ACCOUNT, HEADINGS, RULES, Problem, check_vault
from rizhi.vault import Vault

Write = Callable[[str, str], Path]
TODAY = date(2026, 11, 23)
FULL = "# 题\n\n[掩码](../../notes/model/mask.md)\n\n## 思考\n\n- 形状是凑对的，要从头标一遍。\n"


def _note(vault: Vault, text: str = "", slug: str = "mask", draft: bool = False) -> Path:
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(exist_ok=True)
    head = f"---\ntitle: 掩码\nsnippet: {slug}\nprereq: []\ndraft: {str(draft).lower()}\n---\n\n"
    path.write_text(text or head + _body(), "utf-8")
    return path


def _body() -> str:
    cards = "".join(f'??? question "第 {n} 题"\n    答\n\n' for n in range(3))
    parts = (f"## {h}\n\n{cards if h == '自测' else '写了'}\n\n" for h in HEADINGS)
    return "# 掩码\n\n" + "".join(parts)


def _snippet(vault: Vault, text: str = "# %% 构造\nx = 1\n# %% 检验 一\nassert x == 1\n") -> None:
    (vault.snippets / "mask.py").write_text(text, "utf-8")


def _found(vault: Vault, strict: bool = False) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in check_vault(vault, TODAY, strict):
        found.setdefault(problem.rule, []).append(problem)
    return found


def test_a_good_vault_has_only_a_missing_record(vault: Vault, write: Write) -> None:
    _note(vault)
    _snippet(vault)
    write("2026-11-20", FULL)
    assert set(_found(vault)) == {"R402"}


@pytest.mark.parametrize(
    ("rule", "text", "line"),
    [
        ("R101", "---\na: 1\na: 2\n---\n" + FULL, 3),
        ("R102", FULL + "\n<script>x</script>\n", 9),
        ("R103", FULL + "\n[[掩码]]\n", 9),
        ("R103", FULL + '\n<a href="x.md">x</a>\n', 9),
        ("R104", FULL + "\n[没有](../../notes/model/none.md)\n", 9),
        ("R201", "---\ndate: 2026-11-21\n---\n" + FULL, 2),
        ("R203", FULL.replace("../../notes/model/mask.md", "https://example.org"), 1),
        (
            "R204",
            FULL.replace("形状是凑对的，要从头标一遍。", "") + "\n## 今日总结\n\n" + "好" * 50,
            5,
        ),
        (
            "R205",
            FULL + "\n## 遇到的挑战与明日计划\n\n挑战：数据流没有理顺\n\n明日计划：\n\n- [ ] \n",
            9,
        ),
        ("R206", "# 题\n\n## 思考\n\n- \n", 1),
        ("R206", FULL.replace("，要从头标一遍", "") + "\n## 今日总结\n" * 20, 1),
        ("R207", FULL + "\n- [ ] 画图 @2026-02-30\n", 9),
    ],
)
def test_a_day_that_breaks_a_rule(
    vault: Vault, write: Write, rule: str, text: str, line: int
) -> None:
    _note(vault, draft=True)
    write("2026-11-20", text)
    found = _found(vault)
    assert set(found) == {rule} and [p.line for p in found[rule]] == [line]
    assert found[rule][0].level == ("warning" if rule > "R201" else "error")
    assert found[rule][0].line_for(vault.root).startswith(f"docs/daily/2026/2026-11-20.md:{line} ")


@pytest.mark.parametrize(
    "text",
    [
        FULL + "\n`[[掩码]]` `<script>` ```\n",
        FULL + "\n```html\n<script>\n[[x]]\n[没有](x.md)\n```\n",
        FULL + "\n[总览](../index.md) [笔记](../../notes/index.md) [锚](#思考)\n",
        FULL + "\n## 遇到的挑战与明日计划\n\n挑战：难\n\n明日计划：画图\n",
        FULL + "\n## 遇到的挑战与明日计划\n\n挑战：难\n\n- **【待办】画图**\n",
        FULL + "\n## 遇到的挑战与明日计划\n\n挑战：难\n\n## 明日计划\n\n1. 画图\n",
    ],
)
def test_a_day_that_breaks_none(vault: Vault, write: Write, text: str) -> None:
    _note(vault, draft=True)
    write("2026-11-20", text)
    assert _found(vault) == {}


def test_today_is_not_judged_yet_and_strict_judges_hard(vault: Vault, write: Write) -> None:
    write("2026-11-23", "# 题\n")
    assert _found(vault) == {}
    write("2026-11-22", "# 题\n\n## 思考\n\n- " + "好" * 30)
    assert [p.level for ps in _found(vault).values() for p in ps] == ["warning"]
    assert [p.level for ps in _found(vault, strict=True).values() for p in ps] == ["error"]
    assert set(ACCOUNT) < set(RULES)


def test_a_day_in_the_wrong_place_or_the_future(vault: Vault, write: Write) -> None:
    text = FULL.replace("[掩码](../../notes/model/mask.md)", "[x](../index.md)")
    write("2026-12-01", text)
    assert {r: p[0].level for r, p in _found(vault).items()} == {"R202": "warning"}
    (vault.daily / "2025").mkdir()
    for name in ("2025/2026-11-01.md", "2025/2025-02-30.md"):
        (vault.daily / name).write_text(text, "utf-8")
    assert len(_found(vault)["R201"]) == 2


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("R301", lambda t: t.replace("title: 掩码\n", "")),
        ("R302", lambda t: t.replace("## 为什么需要\n", "")),
        ("R302", lambda t: t.replace("写了", "<!-- 待写：x -->", 1)),
        ("R303", lambda t: t.replace("??? question", "???", 1)),
        ("R304", lambda t: t.replace("snippet: mask", "snippet: other")),
        ("R305", lambda t: t.replace("prereq: []", "prereq: [none]")),
        ("R305", lambda t: t.replace("prereq: []", "prereq: [mask]")),
    ],
)
def test_a_note_that_breaks_a_rule(vault: Vault, rule: str, change: Callable[[str], str]) -> None:
    path = _note(vault)
    _snippet(vault)
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    assert set(_found(vault)) - {"R402"} == {rule}
    if rule in ("R302", "R303", "R304"):  # 草稿可以不完整
        path.write_text(path.read_text("utf-8").replace("draft: false", "draft: true"), "utf-8")
        assert _found(vault) == {}


@pytest.mark.parametrize("body", ["", "正文\n", "# 掩码\n"])
def test_a_note_without_headings_lacks_them(vault: Vault, body: str) -> None:
    path = _note(vault)
    _snippet(vault)
    head = path.read_text("utf-8").split("---\n")[1]
    path.write_text(f"---\n{head}---\n{body}", "utf-8")
    assert "R302" in _found(vault)


def test_a_heading_inside_code_is_no_heading(vault: Vault) -> None:
    path = _note(vault)
    _snippet(vault)
    text = path.read_text("utf-8").replace("写了", "```\n## 不是标题\n```", 1)
    path.write_text(text, "utf-8")
    assert set(_found(vault)) == {"R402"}


@pytest.mark.parametrize(
    "text", ["# %% 构造\nx = 1\n", "# %% 检验 一\nprint(1)\n", "# %% 检验\nassert (\n"]
)
def test_a_snippet_must_check_itself(vault: Vault, text: str) -> None:
    _note(vault)
    _snippet(vault, text)
    assert "R401" in _found(vault)


def test_a_snippet_without_a_note_is_found(vault: Vault) -> None:
    _snippet(vault)
    assert "没有一篇笔记用它" in _found(vault)["R401"][0].message
