"""规则：每一条都有一个犯规的例子和一个不犯的例子，位置说得准。"""

import json
import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result

import rizhi
from rizhi import notes
from rizhi.check import ACCOUNT, RULES, Scene, check_vault
from rizhi.errors import Problem, RizhiError
from rizhi.frontmatter import FrontMatter
from rizhi.page import Note
from rizhi.site.export import added
from rizhi.snippets import recording
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.record import key, record_files
from rizhi.vault import COUNTS, SETTINGS, Vault, find_vault
from tests.rizhi.steps import assert_linear, steps
from tests.vaults import ROOT

Run = Callable[..., Result]
Write = Callable[[str, str], Path]
TODAY = date(2026, 11, 23)
FULL = "# 题\n\n[掩码](../../notes/model/mask.md)\n\n## 思考\n\n- 形状是凑对的，要从头标一遍。\n"


def _note(
    vault: Vault, slug: str = "mask", draft: bool = False, prereq: str = "", **parts: str
) -> Path:
    """一篇齐全的笔记；`parts` 换掉其中几节的正文。"""
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(exist_ok=True)
    head = f"---\ntitle: {slug}\nsnippet: {slug}\nprereq: [{prereq}]\n"
    head += f"draft: {str(draft).lower()}\n---\n\n# 掩码\n\n"
    cards = "".join(f'??? question "第 {n} 题"\n    答\n\n' for n in range(3))
    bodies = {"自测": cards, "来源": "- 《书》", **parts}
    names = notes.note_headings(vault)
    path.write_text(
        head + "".join(f"## {n}\n\n{bodies.get(n, '写了')}\n\n" for n in names), "utf-8"
    )
    return path


def _line(path: Path, text: str) -> int:
    """`text` 头一次出现在第几行。"""
    return path.read_text("utf-8").partition(text)[0].count("\n") + 1


def _template(vault: Vault, text: str) -> None:
    path = vault.root / "templates/note.md"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")


def _snippet(vault: Vault, text: str = "# %% 构造\nx = 1\n# %% 检验 一\nassert x == 1\n") -> None:
    (vault.snippets / "mask.py").write_text(text, "utf-8")


def _said(vault: Vault, rule: str) -> list[tuple[int, str, str]]:
    """一条规则说了什么：行号、级别、原因。"""
    return [(p.line, p.level, p.message) for p in _found(vault).get(rule, [])]


def _found(vault: Vault, strict: bool = False) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in check_vault(vault, TODAY, strict, partial(added, vault, TODAY)):
        found.setdefault(problem.rule, []).append(problem)
    return found


def test_a_good_vault_has_only_a_missing_record(vault: Vault, write: Write) -> None:
    _note(vault)
    _snippet(vault)
    write("2026-11-20", FULL)
    assert set(_found(vault)) == {"R402"}


@pytest.mark.parametrize(
    ("settings", "key", "line", "remedy"),
    [
        ("[tool.rizhi]\nday_ends = 4\nday_end = 5\n", "day_end", 3, "改成 day_ends"),
        ("[tool.rizhi]\r\n\r\nDIMS = 'BTC'\r\n", "DIMS", 3, "改成 dims"),
        ("[tool.rizhi]\nresume-leave-out = [\n  '健身',\n]", "resume-leave-out", 2, "改成 resume"),
        ("[tool.rizhi]\n# group\n[tool.rizhi.group]\na = '甲'\n", "group", 3, "改成 groups"),
        ("[tool]\nrizhi.edits = 'x'\n", "edits", 2, "改成 edit"),
        ("[other]\ncolour = 1\n[tool.rizhi]\ncolour = 2\n", "colour", 4, "删掉它；认得的有"),
    ],
)
def test_a_setting_that_nobody_reads(
    vault: Vault, rz: Run, settings: str, key: str, line: int, remedy: str
) -> None:
    """只有 check 说它，带着行号与最像的名字；别的命令照常。"""
    (vault.root / "pyproject.toml").write_text(settings, "utf-8", newline="")
    (problem,) = _found(find_vault(vault.root))["R108"]
    assert (problem.line, problem.level) == (line, "error") and key in problem.message
    assert problem.remedy.startswith(remedy)
    assert rz("todo").exit_code == 0 and not rz("todo").stderr


def test_every_setting_that_the_code_reads_is_known_and_explained() -> None:
    files = Path(rizhi.__file__).parent.rglob("*.py")
    code = "".join(path.read_text("utf-8") for path in files)
    read = sorted(set(re.findall(r'config\.get\("(\w+)"', code)))
    guide = (ROOT / "docs/guide/conventions.md").read_text("utf-8")
    listed = re.findall(
        r"^\| `(\w+)` \|", guide.partition("### R108")[2].partition("\n## ")[0], re.M
    )
    assert sorted({*read, *COUNTS}) == sorted(SETTINGS) == sorted(listed)


@pytest.mark.parametrize("value", ["'三'", "-1", "true", "1.5"])
def test_a_number_that_is_none_is_named_by_its_line(vault: Vault, value: str) -> None:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\nask = {value}\n", "utf-8")
    (problem,) = _found(find_vault(vault.root))["R108"]
    assert problem.line == 2 and "应是不小于 0 的整数" in problem.message


def test_a_damaged_review_log_is_named_by_line(vault: Vault) -> None:
    born = {"what": "born", "card": "c", "note": "n", "kind": "自测", "text": "题"}
    review = {"what": "review", "card": "c", "grade": 3, "day": "2026-11-20"}
    stamped = [{"id": str(n), "at": "2026-11-20T12:00:00Z"} for n in range(9)]
    good = [json.dumps(stamped[0] | born), json.dumps(stamped[1] | review)]
    path = vault.root / "reviews.jsonl"
    path.write_text("\n".join(good) + "\n", "utf-8")
    assert _found(vault) == {}
    bad = json.dumps(stamped[2] | review | {"grade": 7})
    lost = json.dumps(stamped[3] | review | {"card": "x"})
    lines = [good[0], "<<<<<<< HEAD", good[1], bad, lost, good[1][:40]]
    path.write_text("\n".join(lines), "utf-8")
    found = _found(vault)
    assert set(found) == {"R109"} and [p.line for p in found["R109"]] == [2, 4, 5, 6]
    said = [f"{p.message}。{p.remedy}" for p in found["R109"]]
    for words, line in zip(("删掉这一行，两边", "现在是 7", "'x'", "没有写完"), said, strict=True):
        assert words in line


def test_a_review_log_that_leads_outside_is_refused(
    vault: Vault, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("out") / "x.jsonl"
    outside.write_text("{}\n", "utf-8")
    (vault.root / "reviews.jsonl").symlink_to(outside)
    assert "知识库之外" in _found(vault)["R109"][0].message


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
        ("R301", lambda t: t.replace("title: mask\n", "")),
        ("R302", lambda t: t.replace("## 为什么需要\n", "")),
        ("R302", lambda t: t.replace("写了", "<!-- 待写：x -->", 1)),
        ("R302", lambda t: t + "## 另加\n\n写了\n"),
        ("R302", lambda t: t.replace("## 一句话", "## 换").replace("## 为什么需要", "## 一句话")),
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
    "text", ["# %% 构造\nassert x == 1\n", "# %% 构造\nx = 1\n", "# %% 检验\nassert (\n"]
)
def test_a_snippet_must_check_itself(vault: Vault, text: str) -> None:
    _note(vault)
    _snippet(vault, text)
    assert "R401" in _found(vault)


def test_a_snippet_without_a_note_is_found(vault: Vault) -> None:
    _snippet(vault)
    assert "没有一篇笔记用它" in _found(vault)["R401"][0].message


# 前置数据


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("---\n- a\n- b\n---\n", 2),
        ("---\ntitle:x\n---\n", 2),
        ("---\r\ndate：2026-11-20\r\n---\r\n", 2),
        ("---\n# 注释在前\ndate: 2026-11-20\n---\n", 2),
        ("---\n标题: 一天\n---\n", 2),
        ("\ufeff---\n[a, b]\n---\n", 2),
        ("---\ndate: 2026-11-20\n", 1),
    ],
)
def test_front_matter_that_is_no_mapping(vault: Vault, write: Write, head: str, line: int) -> None:
    _note(vault, draft=True)
    write("2026-11-20", head + FULL)
    found = _found(vault)
    assert set(found) == {"R101"} and [p.line for p in found["R101"]] == [line]


@pytest.mark.parametrize("value", ["'true'", "1", "[]", "RoPE"])
def test_a_pin_that_is_no_yes_or_no(vault: Vault, write: Write, value: str) -> None:
    write("2026-11-20", FULL)
    note = _note(vault, draft=True)
    note.write_text(note.read_text("utf-8").replace("---\n", f"---\npin: {value}\n", 1), "utf-8")
    (problem,) = _found(vault)["R101"]
    assert (problem.path, problem.line) == (note, 2)
    assert "pin" in problem.message and "true 或 false" in problem.remedy


@pytest.mark.parametrize(
    "head",
    ["---\n\n", "---\n随手画的线\n---\n", "---\n- [ ] 买菜\n---\n", "---\nTODO: 买菜\n\n", "---\n"],
)
def test_a_rule_across_the_page_is_no_front_matter(vault: Vault, write: Write, head: str) -> None:
    _note(vault, draft=True)
    write("2026-11-20", head + FULL)
    assert set(_found(vault)) <= {"R106"}


# 写差一点的、重写的、提到的


def _case(name: str) -> str:
    return (Path(__file__).parent / "cases" / name).read_text("utf-8")


def test_every_link_of_a_page_is_checked_and_nothing_else_is(vault: Vault, write: Write) -> None:
    day = write("2026-11-20", FULL.replace("[掩码](../../notes/model/mask.md)", "[x](../index.md)"))
    day.write_text(_case("links.md"), "utf-8")
    names = ["附件/讲义(1).pdf", "附件/我的 讲义.pdf", "img/图.png", "img/图.png", "gone.md"]
    names += ["none.md", "no.pdf"]
    found = [f"链接指向不存在的 docs/daily/2026/{name}" for name in names]
    found.append("链接指向不存在的 docs/daily/notes/x.md")
    said = _said(vault, "R104")
    assert sorted(message for _, _, message in said) == sorted(found)
    lines = {message.rpartition("/")[2]: line for line, _, message in said}
    text = day.read_text("utf-8")
    for name in ("图.png", "none.md", "x.md"):
        assert lines[name] == text.partition(name)[0].count("\n") + 1
    assert "R103" not in _found(vault)


NEAR = [
    ("- [] 甲", "- [ ] 甲"),
    ("- 【 】甲", "- [ ] 甲"),
    ("-[ ] 甲", "- [ ] 甲"),
    ("- [ ]甲", "- [ ] 甲"),
    ("1、[ ] 甲", "1. [ ] 甲"),
    ("- [ x] 甲", "- [x] 甲"),
    ("- [v] 甲", "- [x] 甲"),
    ("一、[ ] 甲", "- [ ] 甲"),
    ("先看 [ ] 甲", "- [ ] 甲"),
    ("- **[ ] 甲**", "- [ ] 甲"),
    ("待办：甲", "【待办】甲"),
    ("- [待办] 甲", "- 【待办】甲"),
    ("TODO 甲", "【待办】甲"),
    ("| 甲 | [ ] 乙 |\n|---|---|", "- [ ] 乙"),
    ("### 【待办】甲", "- [ ] 甲"),
    ("<div>\n- [ ] 甲\n</div>", "- [ ] 甲"),
]


@pytest.mark.parametrize(("line", "right"), NEAR)
def test_what_looks_like_a_todo_and_is_none(
    vault: Vault, write: Write, line: str, right: str
) -> None:
    _note(vault, draft=True)
    text = FULL + f"\n## 今日总结\n\n{line}\n"
    write("2026-11-20", text)
    (problem,) = _found(vault)["R106"]
    assert "像待办，却只是文字" in problem.message and f"「{right}」" in problem.remedy
    assert problem.line == 11 + ("<div>" in line) and problem.level == "warning"
    kept = "".join(f"{right}\n" for right in [right])
    write("2026-11-20", text.replace(line, kept))  # 照着改了就好
    assert _found(vault) == {}


@pytest.mark.parametrize(
    "line",
    [
        "```\n- [] 甲\n```",
        "~~~text\n1、[ ] 甲\n~~~",
        "<!-- -[ ] 甲 -->",
        "    - [] 甲",
        "$$\n[ ] 甲\n$$",
        "行内 `- [] 甲` 与 `[ ] 甲`，公式 $[ ] x$",
        "修 a[x] 的下标，\\[ ] 是有意写的",
        "[链接](../index.md)与[^1]\n\n[^1]: 脚注",
        "- [ ] \n- []\n1. ",
        "版本 1.2 与第 3 节",
        "思考\n---",
    ],
)
def test_what_is_text_on_purpose(vault: Vault, write: Write, line: str) -> None:
    _note(vault, draft=True)
    write("2026-11-20", FULL + f"\n## 今日总结\n\n{line}\n")
    assert _found(vault) == {}


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("##总结一下", "「##总结一下」像标题，却只是文字", "「## 总结一下」"),
        ("一、今日成果", "「一、今日成果」像标题，却只是文字", "「## 今日成果」"),
        ("1、甲", "「1、甲」像条目，却只是文字", "「1. 甲」"),
        ("一段话\n---", "「一段话」下面紧接着横线，成了标题", "在 --- 上面空一行"),
        ("一段话\n3. 甲", "「3. 甲」像条目，编号不从 1 起", "在它上面空一行"),
    ],
)
def test_headings_and_items_that_are_none(
    vault: Vault, write: Write, line: str, message: str, remedy: str
) -> None:
    _note(vault, draft=True)
    write("2026-11-20", FULL + f"\n## 今日总结\n\n{line}\n")
    (problem,) = _found(vault)["R106"]
    assert problem.message.startswith(message) and remedy in problem.remedy


def test_one_day_in_two_folders(vault: Vault, write: Write) -> None:
    text = FULL.replace("[掩码](../../notes/model/mask.md)", "[x](https://example.org)")
    write("2026-11-20", text)
    for name in ("2026-11-20.md", "2025/2026-11-20.md", "2026/2026-11-19.md"):
        (vault.daily / name).parent.mkdir(exist_ok=True)
        (vault.daily / name).write_text(text, "utf-8")
    found = [p for p in _found(vault)["R201"] if "两页" in p.message]
    assert [vault.relative(p.path) for p in found] == [
        "docs/daily/2025/2026-11-20.md",
        "docs/daily/2026-11-20.md",
    ]
    assert all("另一页是 docs/daily/2026/2026-11-20.md" in p.message for p in found)


def test_the_due_date_that_counts(vault: Vault, write: Write) -> None:
    _note(vault, draft=True)
    plan = "- [ ] 交表 @2026-12-1\n- [ ] 还书 📅 2026-02-30 📅 2026-12-02\n"
    plan += "- [ ] 体检 📆 2026-12-03，📅 2026-12-04\n- [ ] `@2026-02-30` 怎么写\n"
    write("2026-11-20", FULL + "\n## 明日计划\n\n" + plan)
    assert _said(vault, "R207") == [
        (12, "warning", "期限 2026-02-30 不是真有的日期"),
        (13, "warning", "写了 2 个期限，算数的是头一个：2026-12-03"),
    ]


def _named(vault: Vault, slug: str, title: str, *aliases: str) -> None:
    path = _note(vault, slug, draft=True)
    head = f"title: {title}\naliases: [{', '.join(aliases)}]"
    path.write_text(path.read_text("utf-8").replace(f"title: {slug}", head), "utf-8")


def test_a_note_named_in_passing(vault: Vault, write: Write) -> None:
    _named(vault, "mask", "掩码")
    _named(vault, "generate", "生成：取末位", "温度", "top-k", "束搜索")
    _named(vault, "rope", "旋转位置编码", "RoPE")
    _named(vault, "position", "位置编码")
    write("2026-11-20", FULL + "\n- 温度降了，又算了一遍束搜索。\n- 旋转位置编码要常看。\n")
    remedy = "；这一天提到 2 篇，一天至多列 3 篇"
    assert [(p.line, p.message, p.remedy) for p in _found(vault)["R208"]] == [
        (
            9,
            "提到了「束搜索」（笔记「生成：取末位」），没有链接",
            f"可以链接到 ../../notes/model/generate.md{remedy}",
        ),
        (
            10,
            "提到了「旋转位置编码」，没有链接",
            f"可以链接到 ../../notes/model/rope.md{remedy}",
        ),
    ]


def test_at_most_three_a_day(vault: Vault, write: Write) -> None:
    for number in range(5):
        _named(vault, f"n{number}", f"知识点{number}")
    link = "[x](../../notes/model/n4.md)"
    text = FULL.replace("[掩码](../../notes/model/mask.md)", link)
    write("2026-11-20", text + "- 知识点3、知识点2、知识点1、知识点0、知识点4、知识点3。\n")
    found = _found(vault)["R208"]
    assert [p.message[3:8] for p in found] == ["「知识点3", "「知识点2", "「知识点1"]
    assert all("这一天提到 4 篇，一天至多列 3 篇" in p.remedy for p in found)


@pytest.mark.parametrize(
    "text",
    [
        "## 今日目标\n\n第一个为主线任务\n\n1. [ ] 推导束搜索\n",
        "## 明日计划\n\n- [ ] 推导束搜索（已顺延 3 天，自 2026-11-17）\n",
        "## 今日完成\n\n- [x] 推导束搜索（自 2026-11-17）\n",
        "## 今日总结\n\n`束搜索` <!-- 束搜索 --> [束搜索](https://example.org)\n",
        "## 今日总结\n\n温度降了。\n",
        "## 主线任务拆解\n\n最终目标：\n",
    ],
)
def test_words_that_are_no_mention(vault: Vault, write: Write, text: str) -> None:
    _note(vault, draft=True)
    _named(vault, "generate", "生成", "温度", "束搜索", "最终目标", "主线任务拆解")
    write("2026-11-20", FULL + "\n" + text)
    assert _found(vault) == {}


def _everyday(vault: Vault, value: str) -> Vault:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\neveryday = {value}\n", "utf-8")
    return find_vault(vault.root)


def test_the_owner_says_which_words_are_everyday(vault: Vault, write: Write) -> None:
    _note(vault, draft=True)
    _named(vault, "generate", "生成", "温度", "present", "束搜索")
    write("2026-11-20", FULL + "- 温度与 present。\n")
    assert ["present" in p.message for p in _found(vault)["R208"]] == [True]
    assert ["温度" in p.message for p in _found(_everyday(vault, '["present"]'))["R208"]] == [True]
    assert "R208" not in _found(_everyday(vault, '["Present", "温度"]'))
    with pytest.raises(RizhiError, match="everyday 应是一列词"):
        check_vault(_everyday(vault, '"温度"'), TODAY)


def test_prerequisites_in_diamonds_and_in_a_long_chain(vault: Vault) -> None:
    """一层两篇、每篇要先读上一层的两篇：路有 2 的 20 次方条；一串 1100 篇：递归会爆栈。"""
    needs = {f"d{n}": (f"d{n // 2 * 2 - 2}", f"d{n // 2 * 2 - 1}") for n in range(2, 40)}
    needs |= {f"c{n}": (f"c{n - 1}",) for n in range(1, 1100)}
    notes = {"d0", "d1", "c0", *needs}

    def scene(**more: tuple[str, ...]) -> Scene:
        made = []
        for slug in sorted(notes):
            wanted = more.get(slug, needs.get(slug, ()))
            text = f"---\ntitle: {slug}\nprereq: [{', '.join(wanted)}]\ndraft: true\n---\n"
            made.append(Note(vault.notes / f"model/{slug}.md", text))
        return Scene(vault, TODAY, made, [], [])

    assert list(RULES["R305"](scene())) == []
    ring = list(RULES["R305"](scene(d0=("d39",), c0=("c0", "c1", "none"))))
    assert {p.message for p in ring if "c0" in p.message} == {
        "先修成环：c0 又要先读 c0",
        "先修成环：c1 又要先读 c0",
        "先修成环：c0 又要先读 c1",
    }
    assert [p.message for p in ring if "none" in p.message] == ["先修 none 不存在"]
    around = {p.path.stem for p in ring if p.path.stem.startswith("d")}
    assert around == {f"d{n}" for n in range(40)} - {"d1", "d38"}

    def walk(count: int) -> None:
        graph = {f"n{n}": tuple(f"n{m}" for m in range(max(0, n - 3), n)) for n in range(count)}
        pages = [Note(Path(f"/v/{s}.md"), "") for s in graph]
        for page in pages:
            page.__dict__["front"] = FrontMatter({"prereq": list(graph[page.slug])}, 0, ())
        assert list(RULES["R305"](Scene(vault, TODAY, pages, [], []))) == []

    assert_linear(lambda n: steps(lambda: walk(n)))


# 围栏


@pytest.fixture
def embedded(vault: Vault) -> Vault:
    """有一个片段、一个 llm 模块的知识库。"""
    (vault.root / "llm/model.py").write_text("class Block:\n    size = 1\n", "utf-8")
    _snippet(vault)
    _note(vault)
    return vault


BROKEN = [
    ("snippet", "mask:没有", "mask.py 里没有单元格「没有」；现有：构造、检验 一"),
    ("snippet", "masks", "没有片段 snippets/masks.py；现有：mask"),
    ("flow", "mask", "mask.py 里没有单元格「」；现有：构造、检验 一"),
    ("source", "llm.model:Head", "model.py 里没有 Head；现有：Block、Block.size"),
    ("source", "llm.model", "model.py 后面没有写「:名字」；现有：Block、Block.size"),
    ("source", "llm.none:Block", "没有模块 llm.none；现有：llm.model"),
    ("source", "os:path", "没有模块 os；现有：llm.model"),
]


@pytest.mark.parametrize(("lang", "name", "message"), BROKEN)
def test_a_fence_that_names_nothing(
    embedded: Vault, write: Write, lang: str, name: str, message: str
) -> None:
    """笔记、日总结、周报里都找得到，行号是写名字的那一行。"""
    good = {"snippet": "mask:构造", "flow": "mask:构造", "source": "llm.model:Block.size"}[lang]
    fence = f"```{lang}\n{good}\n{name}\n{name}\n```\n"
    note = _note(embedded, 跑一跑=fence)
    day = write("2026-11-20", FULL + fence)
    week = embedded.weekly / "2026-W47.md"
    week.parent.mkdir()
    week.write_text("# 周报\n\n" + fence, "utf-8")
    found = _found(embedded)["R105"]
    places = [(path, _line(path, f"\n{name}\n") + 1) for path in (day, note, week)]
    assert [(p.path, p.line) for p in found] == places
    assert {(p.message, p.level) for p in found} == {(message, "error")}


def test_flow_links_are_links(embedded: Vault) -> None:
    """张量流通到的笔记改了名、删掉了，在围栏的那一行报出来；没有记录的由 R402 说。"""
    note = _note(embedded, 跑一跑="```flow\nmask:构造\n```")
    assert set(_found(embedded)) == {"R402"}
    path = embedded.snippets / "mask.py"
    cell = CellOutput("构造", json.dumps({"links": {"a": "none.md", "b": "mask.md#x"}}))
    (embedded.outputs / "mask").mkdir(parents=True)
    for name, data in record_files(
        (cell, CellOutput("检验 一")), key(embedded, path), {}, ""
    ).items():
        (embedded.outputs / "mask" / name).write_bytes(data)
    found = _found(embedded)
    assert set(found) == {"R104"}
    (problem,) = found["R104"]
    assert (problem.path, problem.line) == (note, _line(note, "mask:构造"))
    assert problem.message == "链接指向不存在的 docs/notes/model/none.md"


def test_fences_in_a_draft_are_left_alone(embedded: Vault) -> None:
    _note(embedded, draft=True, 跑一跑="```snippet\nmask:没有\n```")
    assert "R105" not in _found(embedded)


WRITTEN = [
    "```snippet\n{}\n```",
    "``` snippet\n{}\n```",
    "~~~snippet\n{}\n~~~",
    "````snippet\n{}\n````",
    "```{{ .snippet }}\n{}\n```",
    "```{{.snippet #甲}}\n{}\n```",
    "```.snippet\n{}\n```",
    "```snippet\r\n{}\r\n```\r\n",
    "> ```snippet\n> {}\n> ```",
    "- 项\n\n    ```snippet\n    {}\n    ```",
    "1. 项\n   续\n\n    ```snippet\n    {}\n    ```",
    '??? note "折叠"\n    ```snippet\n    {}\n    ```',
]


@pytest.mark.parametrize("form", WRITTEN)
def test_every_way_to_write_a_fence(embedded: Vault, write: Write, form: str) -> None:
    day = write("2026-11-20", FULL + "\n" + form.format("mask:构造"))
    assert set(_found(embedded)) == {"R402"}
    day = write("2026-11-20", FULL + "\n" + form.format("mask:没有"))
    assert [p.line for p in _found(embedded)["R105"]] == [_line(day, "mask:没有")]


@pytest.mark.parametrize(
    "text",
    [
        "````markdown\n```snippet\nmask:没有\n```\n````",
        "文字\n\n    ```snippet\n    mask:没有\n    ```",
        "写成 ```` ```snippet ```` 就好",
        "```snippet\nmask:没有\n",
        "```snippets\nmask:没有\n```",
        "```snippet\n\n```",
    ],
)
def test_what_only_shows_a_fence_is_none(embedded: Vault, write: Write, text: str) -> None:
    write("2026-11-20", FULL + "\n" + text)
    assert set(_found(embedded)) == {"R402"}


@pytest.mark.parametrize("head", ["Snippet", 'snippet title="甲"', "source 甲"])
def test_a_fence_that_the_site_does_not_know(embedded: Vault, write: Write, head: str) -> None:
    write("2026-11-20", FULL + f"\n```{head}\n```\n")
    assert _said(embedded, "R105") == [(9, "error", f"站点认不出写成 {head} 的围栏")]


# 标题从模板来


def test_headings_are_those_of_the_template(vault: Vault) -> None:
    _template(
        vault,
        "---\ntitle: {{ yaml_title }}\n## 注释\n---\n{# ## 不是 #}\n## {{ title }}是什么\n"
        "{% for h in ['例子', '问题'] %}## {{ h }}\n{% endfor %}\n```\n## 代码\n```\n",
    )
    _snippet(vault)
    path = vault.notes / "model/mask.md"
    path.parent.mkdir()
    head = "---\ntitle: 掩码\nsnippet: mask\n---\n"
    path.write_text(head + "## 掩码是什么\n\n答\n\n例子\n---\n\n例\n\n## 问题 ##\n\n问\n", "utf-8")
    assert set(_found(vault)) == {"R402"}
    path.write_text(head + "## 掩码是什么\n\n答\n\n## 问题\n\n问\n", "utf-8")
    message = "二级标题应依次是 …是什么、例子、问题；缺 例子"
    assert _said(vault, "R302") == [(9, "error", message)]


@pytest.mark.parametrize(
    "head", ["## {} ##", "## {} { #甲 }", "##  {}\t", "{}\n------", "## `{}`", "## **{}**"]
)
def test_headings_in_other_hands(vault: Vault, head: str) -> None:
    path = _note(vault)
    _snippet(vault)
    heading = head.replace("{}", "为什么需要", 1)
    text = path.read_text("utf-8").replace("## 为什么需要", heading).replace("\n", "\r\n")
    path.write_bytes(text.encode())
    assert set(_found(vault)) == {"R402"}


def test_an_empty_section_has_its_line(vault: Vault) -> None:
    path = _note(vault, 来源="<!-- 待写 -->")
    assert _said(vault, "R302") == [(_line(path, "## 来源"), "error", "「来源」是空的")]


@pytest.mark.parametrize("text", ["# {{ title }}\n", "", "# {{ title }}\n\n## 自由\n"])
def test_a_template_without_a_section_asks_nothing_of_it(vault: Vault, text: str) -> None:
    path = _note(vault, 自测="没有题", 来源="- 网上", 一句话="[别篇](rope.md)")
    _note(vault, "rope", draft=True)
    _snippet(vault)
    assert {"R303", "R309", "R310"} < set(_found(vault))
    _template(vault, text)
    if "自由" in text:
        path.write_text(path.read_text("utf-8").partition("## ")[0] + "## 自由\n\n写了\n", "utf-8")
    assert set(_found(vault)) == {"R402"}


RENAMED = """\
# {{ title }}

## 概要{# brief #}

## 考考 {{ title }}{# questions #}

## 出处{# sources #}
"""


def test_the_template_says_which_heading_plays_which_part(vault: Vault) -> None:
    """标题换了名字，角色还在：规则照样查。"""
    _template(vault, RENAMED)
    path = _note(vault, 概要="[别篇](rope.md)", 出处="- 网上")
    path.write_text(path.read_text("utf-8").replace("\ue000", "掩码"), "utf-8")
    _note(vault, "rope", draft=True)
    _snippet(vault)
    assert _said(vault, "R303") == [(_line(path, "## 考考"), "error", "考考 掩码只有 0 题")]
    assert _said(vault, "R309") == [
        (_line(path, "- 网上"), "warning", "照着这一条找不到出处：网上")
    ]
    assert [m for _, _, m in _said(vault, "R310")] == ["「概要」要先读过「rope」，它不在先修里"]


def test_a_heading_that_no_role_names_is_not_judged(vault: Vault) -> None:
    _template(vault, RENAMED.replace("{# sources #}", ""))
    _note(vault, 出处="- 网上")
    assert "R309" not in _found(vault)


def test_a_template_of_the_last_version_keeps_its_rules(vault: Vault) -> None:
    """上一版的模板没有点名：标题没改的几节照旧查。"""
    _template(vault, "# {{ title }}\n\n## 一句话\n\n## 自测\n\n## 出处\n")
    _note(vault, 自测="没有题", 出处="- 网上", 一句话="[别篇](rope.md)")
    _note(vault, "rope", draft=True)
    _snippet(vault)
    assert set(_found(vault)) == {"R303", "R310", "R402"}


def test_a_broken_template_is_named(vault: Vault) -> None:
    _note(vault)
    _snippet(vault)
    _template(vault, "# {{ titel }}\n")
    found = _found(vault)
    assert set(found) == {"R302", "R402"}
    problem = found["R302"][0]
    assert (problem.path, problem.line) == (vault.root / "templates/note.md", 1)
    assert problem.message.startswith("模板出错")


# 自测


@pytest.mark.parametrize(
    "answer", ["", "\n没有缩进\n", "    <!-- 待写 -->\n", "\n    \n"], ids=range(4)
)
def test_a_question_without_an_answer(vault: Vault, answer: str) -> None:
    cards = '??? question "甲"\n    答\n\n' * 2
    path = _note(vault, 自测=f'{cards}???+ question "没有"\n{answer}\n???+ question "乙"\n    答')
    _snippet(vault)
    assert set(_found(vault)) == {"R306", "R402"}
    message = '这一题没有答案：???+ question "没有"'
    assert _said(vault, "R306") == [(_line(path, '"没有"'), "error", message)]


@pytest.mark.parametrize(
    "card",
    [
        '???+ question "甲 "乙" 丙"\n\n    答\n',
        "??? question\n    短\n",
        '??? tip question "甲"\n\t答\n',
        '??? question "甲"\n\n    ```text\n    # 只有代码\n    ```\n',
        '??? question "甲"\r\n    答\r\n',
    ],
)
def test_questions_in_other_hands(vault: Vault, card: str) -> None:
    _note(vault, 自测=f"{card}\n" * 3)
    _snippet(vault)
    assert set(_found(vault)) == {"R402"}


def test_a_question_shown_in_code_is_none(vault: Vault) -> None:
    cards = '??? question "甲"\n    答\n\n' * 3
    _note(vault, 自测=cards + '```text\n??? question "样子"\n```\n')
    _snippet(vault)
    assert set(_found(vault)) == {"R402"}


# 提醒


@pytest.mark.parametrize(
    "head", ["```python", "~~~py", '``` { .python title="甲" }', "    ```pycon"]
)
def test_python_by_hand(vault: Vault, head: str) -> None:
    indent, mark = head.partition(head.strip())[0], head.strip()[:3]
    fence = f"- 项\n\n{head}\n{indent}1 + 1\n{indent}{mark}"
    path = _note(vault, 跑一跑=fence)
    _snippet(vault)
    found = _found(vault)
    assert set(found) == {"R307", "R402"}
    assert [(p.line, p.level) for p in found["R307"]] == [(_line(path, head), "warning")]
    _note(vault, draft=True, 跑一跑=fence)
    assert _found(vault) == {}


@pytest.mark.parametrize(
    "text",
    [
        "```text\n输出\n```",
        "```bash\nrizhi new\n```",
        "````markdown\n```python\n1\n```\n````",
        "`python` 与 ```python``` 都是行内的",
    ],
)
def test_other_code_by_hand_is_welcome(vault: Vault, text: str) -> None:
    _note(vault, 跑一跑=text)
    _snippet(vault)
    assert set(_found(vault)) == {"R402"}


def _with_dims(vault: Vault, value: str) -> Vault:
    (vault.root / "pyproject.toml").write_text(f"[tool.rizhi]\ndims = {value}\n", "utf-8")
    return find_vault(vault.root)


def test_letters_outside_the_legend(vault: Vault) -> None:
    path = _note(vault, 定义与形状="形状 `(B, L, D)`，拼起来是 (B·T, 2 * X, C)。")
    _snippet(vault, '# %% 检验 一\nx = "(B, Z, D)"\nassert x  # 从 (B, T, Q/2) 来\n')
    assert "R308" not in _found(vault)  # 没有设图例
    line = _line(path, "(B, L, D)")
    assert _said(_with_dims(vault, '"BTCHD"'), "R308") == [
        (line, "warning", "形状 (B, L, D) 里的 L 不在图例 BTCHD 里"),
        (line, "warning", "形状 (B·T, 2 * X, C) 里的 X 不在图例 BTCHD 里"),
        (3, "warning", "形状 (B, T, Q/2) 里的 Q 不在图例 BTCHD 里"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "(B, T, D) 与 (2, 3)、(H·D, C)、(B, …, T)",
        "左右指针 `(L, R)`，三个类 (A, B, C)，(GPU, CPU, TPU)",
        "`f(B, T, X)`、`x.view(B, T, N)`、(T, F, T)、(B, T, 长度)、(1, N, X)",
    ],
)
def test_brackets_that_are_no_shape(vault: Vault, text: str) -> None:
    _note(vault, 定义与形状=text)
    _snippet(vault)
    assert set(_found(_with_dims(vault, '"BTCHD"'))) == {"R402"}


@pytest.mark.parametrize("value", ['["B"]', '"b"', "3"])
def test_a_legend_that_is_no_row_of_letters(vault: Vault, value: str) -> None:
    with pytest.raises(RizhiError, match="dims 应是一串大写字母"):
        check_vault(_with_dims(vault, value), TODAY)


@pytest.mark.parametrize("mark", ["-", "*", "+", "1.", "2)"])
def test_a_source_that_names_nothing(vault: Vault, mark: str) -> None:
    path = _note(vault, 来源=f"{mark} 《好书》\n{mark} 网上看来的\n{mark} 某篇\n  博客")
    _snippet(vault)
    assert _said(vault, "R309") == [
        (_line(path, "网上"), "warning", "照着这一条找不到出处：网上看来的"),
        (_line(path, "某篇"), "warning", "照着这一条找不到出处：某篇 博客"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- 好书，\n  Knuth 著",
        "- 高等代数讲义\n    - 第 3 章\n    - 习题",
        "* https://example.org",
        "1. [讲义](https://example.org)",
        "1. 李老师的课，2024 年秋",
        "- `torch.sort`",
        "听师兄讲的。",
        "网上看来的，见下表：\n\n| 甲 | 乙 |\n|---|---|\n| 一 | 二 |",
    ],
)
def test_sources_in_other_hands(vault: Vault, text: str) -> None:
    _note(vault, 来源=text)
    _snippet(vault)
    assert set(_found(vault)) == {"R402"}


def test_one_sentence_leans_on_what_came_before(vault: Vault) -> None:
    link = "[旋转](rope.md#为什么需要)\n[自己](mask.md) [外面](https://example.org/cache.md)"
    path = _note(vault, 一句话=link, 为什么需要="[缓存](cache.md)")
    for slug, prereq in (("rope", "deep"), ("deep", ""), ("cache", "")):
        _note(vault, slug, draft=True, prereq=prereq)
    _snippet(vault)
    message = "「一句话」要先读过「rope」，它不在先修里"
    assert _said(vault, "R310") == [(_line(path, "rope.md"), "warning", message)]
    _note(vault, 一句话=link, prereq="rope")
    assert set(_found(vault)) == {"R402"}
    _note(vault, 一句话="[深](deep.md)", prereq="rope")  # 先修的先修也读过了
    assert set(_found(vault)) == {"R402"}


def test_a_long_ladder_of_prerequisites_is_climbed_at_once(vault: Vault) -> None:
    for n in range(60):
        _note(vault, f"n{n}", draft=True, prereq=", ".join(f"n{m}" for m in range(n)[-3:]))
    assert _found(vault) == {}


# 片段


@pytest.mark.parametrize(
    "check",
    [
        "print(1)",
        "assert True",
        'assert "写了"',
        'assert (x == 1, "括号多了一对")',
        "x == 1",
        "def unused():\n    return x",
    ],
)
def test_a_check_that_checks_nothing(vault: Vault, check: str) -> None:
    _note(vault)
    _snippet(vault, f"# %% 检验 一\n# 说明\n{check}\n\n# %% 检验 二\nassert 1 + 1 == 2\n")
    found = _found(vault)
    assert set(found) == {"R402", "R403"}
    (problem,) = found["R403"]
    assert (problem.message, problem.level) == ("「检验 一」没有核对任何东西", "error")
    assert problem.line == 2
    _note(vault, draft=True)
    assert _found(vault) == {}


def test_a_record_that_cannot_be_judged_is_a_problem(vault: Vault) -> None:
    _note(vault)
    _snippet(vault)
    (vault.outputs / "mask").mkdir()
    (vault.outputs / "mask/key.json").write_text("{", "utf-8")
    (problem,) = _found(vault)["R402"]
    assert problem.level == "error" and problem.message.startswith("读不懂：JSONDecodeError")
    assert vault.relative(problem.path) == "snippets/outputs/mask/key.json"
    assert problem.remedy == "运行 rizhi record mask 重新记录"


def test_without_a_source_package_nothing_is_moved_into_it(vault: Vault) -> None:
    _note(vault)
    (vault.root / "tools.py").write_text("x = 1\n", "utf-8")
    _snippet(vault, "# %% 检验\nfrom tools import x\nassert x == 1\n")
    ((with_package,), (without,)) = (
        [p.remedy for p in _found(v)["R404"]] for v in (vault, Vault(vault.root))
    )
    assert with_package == "把要用的几行写进这个片段，或搬进 llm"
    assert "搬进" not in without and "[tool.rizhi] 的 source" in without


@pytest.mark.parametrize(
    "check",
    [
        "assert 0.1 + 0.2 != 0.3",
        "torch.testing.assert_close(a, b)",
        "np.testing.assert_allclose(a, b)",
        "with pytest.raises(ValueError):\n    f()",
        "try:\n    f()\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError",
        "if a != b:\n    raise ValueError(a)",
        "for a in range(3):\n    same(a, a)",
        "twice(1)",
        "unittest.TestCase().assertEqual(1, a)",
        "check_inputs(a)",
    ],
)
def test_checks_in_other_hands(vault: Vault, check: str) -> None:
    helpers = "def same(a, b):\n    assert a == b\ndef twice(a):\n    same(a, a)\n    same(a, a)\n"
    _note(vault)
    _snippet(vault, f"# %% 帮手\n{helpers}\n# %% 检验\n{check}\n")
    assert set(_found(vault)) == {"R402"}


@pytest.mark.parametrize(
    ("code", "file"),
    [
        ("import snippets.rope", "snippets/rope.py"),
        ("from snippets import rope", "snippets/rope.py"),
        ("from tools.plot import draw", "tools/plot.py"),
        ("def f():\n    import helper", "helper.py"),
    ],
)
def test_an_import_that_no_record_follows(vault: Vault, code: str, file: str) -> None:
    path = vault.root / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("# %% 检验\nassert x\n", "utf-8")
    _note(vault, "rope", draft=True)
    _note(vault)
    _snippet(vault, f"# %% 检验\n{code}\nassert x\n")
    found = _said(vault, "R404")
    assert found == [(2 + code.count("\n"), "error", f"用到了 {file}：它改了，这里的记录不会过期")]


def test_imports_from_outside_are_welcome(vault: Vault) -> None:
    (vault.root / "llm/model.py").write_text("x = 1\n", "utf-8")
    (vault.root / "pandas").mkdir()  # 一个放数据的文件夹，不是包
    _note(vault)
    _snippet(vault, "# %% 检验\nimport pandas, os\nfrom llm.model import x\nassert x\n")
    assert set(_found(vault)) == {"R402"}


HEAD = '{"command": "python -m llm.lab.curve --updates 3 snippets/runs/curve.jsonl"}'
NAMES_RUN = '# %% 一\nfile = "runs/curve.jsonl"\n# %% 检验\nassert file\n'


def _run_file(vault: Vault, head: str = HEAD) -> Path:
    """一次长跑的结果、造它的模块，与点名它的片段。"""
    for name, text in (("lab/__init__", ""), ("lab/curve", "from llm.model import x\n")):
        path = vault.root / f"llm/{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    (vault.root / "llm/model.py").write_text("x = 1\n", "utf-8")
    _note(vault)
    _snippet(vault, NAMES_RUN)
    file = vault.snippets / "runs/curve.jsonl"
    file.parent.mkdir()
    file.write_text(f'{head}\n{{"loss": 2.5}}\n', "utf-8")
    return file


def test_a_run_whose_code_has_changed_is_told_until_it_is_run_again(vault: Vault) -> None:
    file = _run_file(vault)
    assert _said(vault, "R405") == [(1, "error", "还没有记下造它的代码是哪一份")]
    recording.record(vault, vault.snippets / "mask.py")
    assert set(_found(vault)) == set()
    rows = file.read_text("utf-8").partition("\n")[2]
    assert rows == '{"loss": 2.5}\n'
    (vault.root / "llm/model.py").write_text("x = 1  # 只是注释\n", "utf-8")
    assert _said(vault, "R405") == []
    (vault.root / "llm/model.py").write_text("x = 2\n", "utf-8")  # 间接用到的
    recording.record(vault, vault.snippets / "mask.py")  # 只重录，没有重跑
    assert _said(vault, "R405") == [(1, "error", "造它的代码变了，这份结果过期")]
    (found,) = _found(vault)["R405"]
    assert found.remedy == (
        "重跑 python -m llm.lab.curve --updates 3 snippets/runs/curve.jsonl，再运行 rizhi record"
    )
    file.write_text(f"{HEAD}\n{rows}", "utf-8")  # 重跑了，结果恰好一样
    recording.record(vault, vault.snippets / "mask.py")
    assert set(_found(vault)) == set()


def test_a_package_that_is_run_counts_its_main(vault: Vault) -> None:
    _run_file(vault, '{"command": "python -m llm.lab"}')
    main = vault.root / "llm/lab/__main__.py"
    main.write_text("y = 1\n", "utf-8")
    recording.record(vault, vault.snippets / "mask.py")
    assert _said(vault, "R405") == []
    main.write_text("y = 2\n", "utf-8")
    assert [words for *_, words in _said(vault, "R405")] == ["造它的代码变了，这份结果过期"]


@pytest.mark.parametrize("command", ["make data", "python -m numpy.curve", "./measure"])
def test_a_command_outside_the_source_package_is_not_followed(vault: Vault, command: str) -> None:
    file = _run_file(vault, json.dumps({"command": command}))
    before = file.read_bytes()
    recording.record(vault, vault.snippets / "mask.py")
    assert set(_found(vault)) == set() and file.read_bytes() == before


@pytest.mark.parametrize("head", ["", "[1]", "python -m llm.lab", '{"cmd": "x"}', '{"command": 1}'])
def test_a_run_that_does_not_name_its_command(vault: Vault, head: str) -> None:
    file = _run_file(vault, head)
    assert _said(vault, "R405") == [
        (1, "error", '头一行应是造它的命令：{"command": "python -m …"}')
    ]
    with pytest.raises(RizhiError, match="头一行应是造它的命令"):
        recording.record(vault, vault.snippets / "mask.py")
    file.unlink()
    assert _said(vault, "R405") == [(1, "error", "片段点名了它，却没有这个文件")]
