"""笔记的导语、目录，与代码里的汉字。"""

import pytest

from rizhi.site import article

LINK = '<a class="headerlink" href="#x" title="这一节的链接">#</a>'
HEADINGS = ("一句话", "为什么", "定义", "跑一跑", "自测")
ROLES = {"brief": "一句话", "questions": "自测"}
CELL = (
    '<div class="rz-cell no-copy{kind}" id="cell-{id}"><div class="rz-bar" data-search-exclude>'
    '<span class="rz-title">{title}</span></div></div>'
)


def _cell(title: str, kind: str = "") -> str:
    return CELL.format(kind=kind, id=title.replace(" ", "-"), title=title)


HTML = (
    f'<h1 id="t">题</h1>\n<h2 id="一句话">一句话{LINK}</h2>\n<p>它是甲。</p>\n'
    f'<h2 id="为什么">为什么{LINK}</h2>\n<p>因为。</p>\n'
    f'<h2 id="定义">定义{LINK}</h2>\n<p><strong>推导，一页。</strong> 从头。</p>\n'
    "<ul>\n<li>\n<p><strong>列表里</strong> 不算。</p></li></ul>\n"
    f'<h2 id="跑一跑">跑一跑{LINK}</h2>\n{_cell("形状")}{_cell("检验 一", " rz-check")}'
    f"{_cell('检验 二', ' rz-check')}<p><strong>有格子</strong> 就不列它。</p>{_cell('形状')}\n"
    f'<h2 id="它坏">它坏{LINK}</h2>\n<h3 id="甲">甲 &amp; <code>乙</code>{LINK}</h3>\n'
    f'<h2 id="自测">自测{LINK}</h2>\n<p><strong>题。</strong></p>\n'
)


def test_the_brief_section_becomes_the_lead() -> None:
    html = article.with_lead(HTML, "一句话")
    assert (
        f'<h2 id="一句话" class="rz-brief">一句话{LINK}</h2>\n'
        '<div class="rz-lead">\n<p>它是甲。</p>\n</div>' in html
    )
    assert html.count("rz-lead") == 1 and html.endswith(HTML[HTML.index('<h2 id="为什么">') :])


@pytest.mark.parametrize("title", ["", "没有这一节"])
def test_without_a_brief_section_nothing_changes(title: str) -> None:
    assert article.with_lead(HTML, title) == HTML


def test_the_contents_name_what_is_special() -> None:
    entries = article.contents(article.with_anchors(HTML), HEADINGS, ROLES)
    assert [(one.title, one.id, [(i.title, i.id) for i in one.inner]) for one in entries] == [
        ("定义", "定义", [("推导，一页", "part-推导-一页")]),
        (
            "跑一跑",
            "跑一跑",
            [("形状", "cell-形状"), ("检验 2 格", "cell-检验-一"), ("形状", "cell-形状_1")],
        ),
        ("它坏", "它坏", [("甲 &amp; 乙", "甲")]),
        ("自测", "自测", []),
    ]


def test_every_entry_leads_somewhere() -> None:
    html = article.with_anchors(HTML)
    for entry in article.contents(html, HEADINGS, ROLES):
        assert all(html.count(f'id="{one.id}"') == 1 for one in (entry, *entry.inner))


def test_a_page_without_sections_is_left_alone() -> None:
    assert article.with_anchors("<p><strong>x</strong></p>") == "<p><strong>x</strong></p>"
    assert article.contents("<p>x</p>", HEADINGS, ROLES) == []


def test_wide_letters_in_code_only() -> None:
    html = '<p>正文</p><pre title="提示"><code>a  <span class="c1"># {} x→y</span></code></pre>'
    wide = "<rz-w>甲，乙</rz-w>"
    assert article.widened(html.format("甲，乙")) == html.format(wide)
