"""唯一的语法：一份 Markdown 里有什么、各在原文的哪一段。

`document` 是解析的结果，`source` 是交给 pyromark 之前的准备，`reader` 把事件变成结果，
`nearmiss` 指出像条目、待办或标题而不是的行。
"""

from rizhi.markdown.document import (
    Block,
    Definition,
    Document,
    Heading,
    Item,
    Link,
    Span,
    blank,
    joined,
    spliced,
)
from rizhi.markdown.nearmiss import NearMiss, near_misses
from rizhi.markdown.reader import parse

__all__ = [
    "Block",
    "Definition",
    "Document",
    "Heading",
    "Item",
    "Link",
    "NearMiss",
    "Span",
    "blank",
    "joined",
    "near_misses",
    "parse",
    "spliced",
]
