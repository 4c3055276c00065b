"""链接的各种写法：`check` 说断了的，严格构建也说断了，反过来也一样。"""

import subprocess
import sys
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi.check import check_vault
from rizhi.deadlinks import anchors
from rizhi.markdown import parse
from rizhi.site.export import added
from rizhi.vault import find_vault
from tests import vaults
from tests.rizhi.engine import engine

TODAY = date(2026, 11, 26)
ENGINE = engine()
# 一种写法一页：原文，与它断没断（或是站点不核对的写法）
FORMS: dict[str, tuple[str, bool]] = {
    "活": ("[x](有.md)", False),
    "死": ("[x](没有.md)", True),
    "括号活": ("[讲义](附件/讲义(1).pdf)", False),
    "括号死": ("[讲义](附件/讲义(2).pdf)", True),
    "尖括号活": ("[a](<附件/我的 讲义.pdf>)", False),
    "尖括号死": ("[a](<附件/你的 讲义.pdf>)", True),
    "空格没有尖括号": ("[a](附件/我的 讲义.pdf)", False),
    "空格没有尖括号死": ("[a](附件/没 有.pdf)", True),
    "转义": ("\\[不是\\](nope.md)", False),
    "公式": ("$x[i](y)$", False),
    "公式2": ("$$x[i](y)$$", False),
    "图死": ("![缺](img/none.png)", True),
    "图活": ("![有](img/图.png)", False),
    "图带链接": ("[![图](img/图.png)](gone.md)", True),
    "图带链接图死": ("[![图](a.png)](有.md)", True),
    "跨行": ("[文字折成\n两行](none.md)", True),
    "嵌套方括号": ("[a[1] 下标](no.pdf)", True),
    "嵌套方括号活": ("[a[1] 下标](有.md)", False),
    "没用到的定义": ("字\n\n[dead]: none.md", True),
    "引用式死": ("[x][dead]\n\n[dead]: none.md", True),
    "引用式活": ("[x][ok]\n\n[ok]: 有.md", False),
    "引用式折叠死": ("[dead][]\n\n[dead]: none.md", True),
    "引用式单独死": ("[dead]\n\n[dead]: none.md", True),
    "引用式大小写": ("[X][DEAD]\n\n[dead]: none.md", True),
    "引用式没定义": ("[x][nodef]", True),
    "段落里的定义": ("上一行\n[late]: none.md\n\n[x][late]", True),
    "锚点活": ("[x](有.md#一节)", False),
    "锚点死": ("[x](有.md#没有)", True),
    "页内锚点死": ("[x](#没有)", True),
    "页内锚点活": ("## 头\n\n[x](#头)", False),
    "页内空锚": ("[x](#)", False),
    "编码锚点活": ("[x](有.md#%E4%B8%80%E8%8A%82)", True),
    "编码活": ("[x](%E6%9C%89.md)", False),
    "编码死": ("[x](%E6%B2%A1.md)", True),
    "空格编码活": ("[x](附件/我的%20讲义.pdf)", False),
    "空格编码死": ("[x](附件/你的%20讲义.pdf)", True),
    "大小写": ("[x](case.md)", True),
    "大小写扩展名": ("[x](有.MD)", True),
    "点斜线": ("[x](./有.md)", False),
    "点斜线死": ("[x](./没有.md)", True),
    "上级活": ("[x](../links/有.md)", False),
    "出 docs": ("[x](../../README.md)", True),
    "出 docs 死": ("[x](../../NOPE.md)", True),
    "出 docs 活": ("[x](../../pyproject.toml)", True),
    "绝对 docs": ("[x](/docs/links/有.md)", True),
    "绝对": ("[x](/links/有.md)", True),
    "绝对死": ("[x](/links/没有.md)", True),
    "绝对图": ("![x](/links/img/图.png)", True),
    "双斜线": ("[x](//example.com/a)", False),
    "file": ("[x](file:///etc/passwd)", False),
    "file相对": ("[x](file:有.md)", False),
    "查询活": ("[x](有.md?a=1)", False),
    "查询死": ("[x](没有.md?a=1)", True),
    "查询锚": ("[x](有.md?a=1#没有)", True),
    "html 活": ("[x](有.html)", True),
    "html 死": ("[x](没有.html)", True),
    "没有扩展名": ("[x](有)", True),
    "没有扩展名死": ("[x](没有)", True),
    "文件夹": ("[x](附件)", True),
    "文件夹斜线": ("[x](附件/)", True),
    "文件夹死": ("[x](附件二/)", True),
    "有首页的文件夹": ("[x](../guide/)", True),
    "上级文件夹": ("[x](..)", True),
    "点": ("[x](.)", True),
    "空": ("[x]()", False),
    "外部": ("[x](https://example.com/none.md)", False),
    "邮箱": ("[x](mailto:a@b.c)", False),
    "自动链接": ("<https://example.com>", False),
    "自动相对": ("<没有.md>", False),
    "裸网址": ("https://example.com/none.md", False),
    "标题活": ('[x](有.md "标题")', False),
    "标题死": ('[x](没有.md "标题")', True),
    "标题单引号死": ("[x](没有.md '标题')", True),
    "标题括号死": ("[x](没有.md (标题))", True),
    "标题接着": ('[x](没有.md  "有 "引号" 的")', True),
    "反斜线": ("[x](img\\\\图.png)", True),
    "实体": ("[x](&#x6709;.md)", True),
    "实体与号": ("[x](a&amp;b.md)", True),
    "转义目标": ("[x](附件/讲义\\(1\\).pdf)", True),
    "代码": ("`[x](none.md)`", False),
    "注释": ("<!-- [x](none.md) -->", False),
    "行内注释": ("甲 <!-- [x](none.md) --> 乙", False),
    "HTML里": ("<div>[x](none.md)</div>", False),
    "md_in_html": ("<div markdown>\n\n[x](none.md)\n\n</div>", True),
    "行内HTML里": ("<b>[x](none.md)</b>", True),
    "a标签": ('<a href="none.md">x</a>', True),
    "img标签": ('<img src="none.png">', True),
    "a标签活": ('<a href="有.html">x</a>', True),
    "标题里": ("## [x](none.md)", True),
    "表格": ("| a | b |\n|---|---|\n| [x](none.md) | b |", True),
    "表格代码竖线": ("| a | b |\n|---|---|\n| [x\\|y](none.md) | b |", True),
    "引用块": ("> [x](none.md)", True),
    "提示框": ("!!! note\n    [x](none.md)", True),
    "折叠框": ('??? question "问"\n    [x](none.md)', True),
    "提示框标题": ('!!! note "[x](none.md)"\n    甲', True),
    "页签": ('=== "[x](a.md)"\n\n    [x](none.md)', True),
    "列表里": ("- a\n    - [x](none.md)", True),
    "脚注死": ("甲[^1]\n\n[^1]: [x](none.md)", True),
    "脚注没用": ("甲\n\n[^1]: [x](none.md)", True),
    "脚注没有定义": ("甲[^9]", False),
    "缩进代码": ("甲\n\n    [x](none.md)", False),
    "围栏": ("```\n[x](none.md)\n```", False),
    "未合围栏": ("```\n[x](none.md)", True),
    "缩写": ("*[甲]: none.md\n\n甲", False),
    "定义列表": ("词\n:   [x](none.md)", True),
    "强调里": ("**[x](none.md)**", True),
    "链接里强调": ("[**x**](none.md)", True),
    "链接里代码": ("[`x]`](none.md)", True),
    "反引号跨链接": ("[a`](none.md)`", False),
    "属性": ("[x](none.md){target=_blank}", True),
    "图属性": ("![x](none.png){width=10}", True),
    "wiki": ("[[有]]", True),
    "空格间隔": ("[x] (none.md)", False),
    "换行目标": ("[x](\nnone.md)", True),
    "目标末空格": ("[x]( none.md )", True),
    "制表": ("[x](\tnone.md)", True),
    "方括号目标": ("[x](a[1].md)", True),
    "引用空格": ("[x] [dead]\n\n[dead]: none.md", True),
    "引用尖括号": ("[x][d]\n\n[d]: <附件/没 有.pdf>", True),
    "引用尖括号活": ("[x][d]\n\n[d]: <附件/我的 讲义.pdf>", True),
    "引用标题": ('[x][d]\n\n[d]: none.md "t"', True),
    "图引用死": ("![x][d]\n\n[d]: none.png", True),
    "图引用没用": ("[d]: none.png", True),
    "删除线": ("~~[x](none.md)~~", True),
    "两个连": ("[x](none.md)[y](有.md)", True),
    "感叹": ("![x](none.md)", True),
    "中文括号": ("[x]（none.md）", False),
    "目标带引号": ('[x]("none.md")', False),
    "点开头": ("[x](.hidden.md)", True),
    "模板": ("[x](../templates/a.md)", True),
    "片段页": ("[x](../../snippets/attention_mask.py)", True),
    "下载": ("[x](../downloads/attention_mask.ipynb)", False),
    "算出来的页": ("[x](../todos/index.md)", False),
    "算出来的标签": ("[x](../tags/index.md)", False),
    "时间线": ("[x](../timeline/index.md)", False),
    "资产": ("![x](../assets/favicon.svg)", False),
    "笔记本活": ("[x](../notebooks/tensor-shapes.ipynb)", False),
    "笔记本死": ("[x](../notebooks/none.ipynb)", True),
    "日索引": ("[x](../daily/index.md)", False),
    "笔记索引": ("[x](../notes/index.md)", False),
    "周索引": ("[x](../weekly/index.md)", False),
    "非UTF8编码": ("[x](%ff.md)", True),
    "坏百分号": ("[x](100%.md)", True),
    "太长": (
        "[x](aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.md)",
        True,
    ),
    "提示": ("> [!NOTE]\n> [x](none.md)", True),
    "数字锚": ("## 1. 甲 `x_y` 与 [链](有.md)\n\n[x](#1-甲-x_y-与-链)", False),
    "数字锚死": ("## 1. 甲 `x_y` 与 [链](有.md)\n\n[x](#1-甲-x_y)", True),
    "重名": ("## 甲\n\n## 甲\n\n[x](#甲_1) [y](#甲)", False),
    "重名死": ("## 甲\n\n## 甲\n\n[x](#甲_2)", True),
    "写明的": ("## 甲 {#abc}\n\n[x](#abc)", False),
    "写明的死": ("## 甲 {#abc}\n\n[x](#甲)", True),
    "公式标题": ("## 甲 $x^2$ 乙\n\n[x](#甲-x2-乙)", False),
    "强调标题": ("## **甲** _乙_ __init__\n\n[x](#甲-乙-init)", False),
    "html锚": ('<div id="zz"></div>\n\n[x](#zz)', False),
    "段落锚": ("甲\n{#p1}\n\n[x](#p1)", False),
    "脚注锚": ("甲[^1]\n\n[^1]: 乙\n\n[x](#fn:1)", False),
    "参考锚": ("[x](../reference/model.md#llm.model.RMSNorm)", False),
    "参考锚死": ("[x](../reference/model.md#llm.model.None)", True),
    "待办板锚死": ("[x](../todos/index.md#没有)", True),
    "笔记本锚": ("[x](../notebooks/tensor-shapes.ipynb#x)", False),
    "资产死": ("![x](../assets/none.svg)", True),
    "算出来死": ("[x](../todos/none.md)", True),
    "标题活括号": ("[x](有.md (标题))", True),
    "引号不配": ('[x](有.md "标题)', True),
    "点文件活": ("[x](.there.md)", True),
    "README": ("[x](../guide/README.md)", True),
    "下标": ("看 x[i][j] 的", True),
    "下标代码": ("看 `x[i][j]` 的", False),
    "下标公式": ("看 $x[i][j]$ 的", False),
    "自动参考活": ("[x][llm.model.RMSNorm]", False),
    "自动参考标题": ("[x][一节]", False),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """全部写法放进一个知识库，查一遍，构建一遍：两边各说哪几种断了。"""
    root = vaults.make(tmp_path_factory.mktemp("links") / "vault", TODAY)
    folder = root / "docs/links"
    for name in ("附件/讲义(1).pdf", "附件/我的 讲义.pdf", "img/图.png", ".there.md"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / "docs/guide/README.md").write_text("# 不上站点\n", encoding="utf-8")
    (folder / "有.md").write_text("# 有\n\n## 一节\n", encoding="utf-8")
    (folder / "Case.md").write_text("# 大写\n", encoding="utf-8")
    files = {name: f"f{number}.md" for number, name in enumerate(FORMS)}
    for name, file in files.items():
        (folder / file).write_text(f"# 一页\n\n{FORMS[name][0]}\n", encoding="utf-8")
    vault = find_vault(root)
    problems = check_vault(vault, TODAY, added=partial(added, vault, TODAY))
    checked = {p.path.name for p in problems if p.level == "error"}
    log = _built(root)
    return (
        {name for name, file in files.items() if file in checked},
        {name for name, file in files.items() if f"links/{file}" in log},
    )


def _built(root: Path) -> str:
    """构建时的全部警告：严格构建有一条就失败。"""
    command = [sys.executable, "-m", "mkdocs", "build", "-d", str(root / "site")]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return "\n".join(line for line in run.stderr.splitlines() if line.startswith("WARNING"))


@pytest.mark.parametrize("name", FORMS)
def test_check_and_the_strict_build_agree_on_a_link(
    said: tuple[set[str], set[str]], name: str
) -> None:
    checked, built = said
    assert (name in checked, name in built) == (FORMS[name][1], FORMS[name][1]), FORMS[name][0]


PIECES = (
    "甲乙",
    "`register_buffer`",
    "`__init__`",
    "__重点__",
    "**重点**",
    "_斜_",
    "[链](a.md)",
    "$x_1^2$",
    "x_y",
    "A/B 与 C",
    "1. 甲",
    "（一）",
    "&amp;",
    "\\*星",
    "~~旧~~",
    "<b>粗</b>",
    "![图](b.png)",
    "——",
)
TITLES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(" ".join)


@given(st.lists(TITLES, min_size=1, max_size=4))
def test_anchors_are_those_of_the_site(titles: list[str]) -> None:
    text = "\n\n".join(f"## {title}" for title in titles)
    ENGINE.reset().convert(text)
    found = [token["id"] for token in ENGINE.toc_tokens]
    assert anchors(parse(text)) == set(found), text


def test_links_of_every_page_are_checked(vault_with_pages: Path) -> None:
    vault = find_vault(vault_with_pages)
    found = {p.path.name for p in check_vault(vault, TODAY) if p.rule in ("R103", "R104")}
    assert found == {"index.md", "a.md"}


@pytest.fixture
def vault_with_pages(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    for name, text in (("index.md", "[x](none.md)"), ("guide/a.md", '<img src="none.png">')):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# 甲\n\n{text}\n", encoding="utf-8")
    return tmp_path
