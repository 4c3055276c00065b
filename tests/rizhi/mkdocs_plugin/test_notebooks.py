"""笔记本页：标题的 id，与读不懂的笔记本。"""

from mkdocs.structure.toc import AnchorLink, TableOfContents

from rizhi.mkdocs_plugin import notebooks


def test_headings_get_ids_from_their_text() -> None:
    html = '<h2 id="">形状<a href="#">¶</a></h2><h2 id="">形状<a href="#">¶</a></h2>'
    toc = TableOfContents([AnchorLink("形状", "", 2), AnchorLink("形状", "", 2)])
    named = notebooks.name_headings(html, toc)
    assert 'id="形状"' in named and 'href="#形状_1"' in named
    assert [link.id for link in toc] == ["形状", "形状_1"]
