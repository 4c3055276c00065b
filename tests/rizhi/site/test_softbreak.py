"""汉字之间的换行不留空格；代码、西文与硬换行不动。"""

import markdown
import pytest


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("第一行，\n第二行", "<p>第一行，第二行</p>"),
        ("words\nmore", "<p>words\nmore</p>"),
        ("中文\nword", "<p>中文\nword</p>"),
        ("**强调**\n之后", "<p><strong>强调</strong>之后</p>"),
        ("之前\n**强调**", "<p>之前<strong>强调</strong></p>"),
        ("之前\n`code`", "<p>之前\n<code>code</code></p>"),
        ("硬换行  \n下一行", "<p>硬换行<br />\n下一行</p>"),
        ("- 一条\n  续行", "<ul>\n<li>一条续行</li>\n</ul>"),
        ("- 一条，\n  **续行**", "<ul>\n<li>一条，<strong>续行</strong></li>\n</ul>"),
        ("- **一条**\n  续行", "<ul>\n<li><strong>一条</strong>续行</li>\n</ul>"),
        ("一句。\n形状：x\n来源：y", "<p>一句。<br />\n形状：x<br />\n来源：y</p>"),
        ("一句。\n\n形状：x", "<p>一句。</p>\n<p>形状：x</p>"),
        ("    代码\n    下一行", "<pre><code>代码\n下一行\n</code></pre>"),
    ],
)
def test_line_breaks(source: str, wanted: str) -> None:
    plain = markdown.markdown(source, extensions=["rizhi.site.softbreak"])
    assert plain == wanted
