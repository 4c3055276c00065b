"""改源码包：只重建受影响的参考页与引用它的笔记，而结果与从头建的一样。

test_rebuild.py 另起进程运行：`python -m tests.rizhi.mkdocs_plugin.source 文件夹`；
最后一行是每一步重建了哪些页。
"""

import json
import logging
import os
import sys
from pathlib import Path

from tests import vaults
from tests.rizhi.mkdocs_plugin import edits

BASE = '''"""底。"""


class Base:
    """底座。"""

    def __init__(self, width: int) -> None:
        self.width = width

    def area(self) -> int:
        return self.width * 2


def last() -> int:
    return 1
'''
CHILD = '''"""子。"""

from llm.base import Base


class Child(Base):
    """没有自己的 __init__，签名是底座的。"""


def make() -> Base:
    return Child(1)
'''
FILES = {
    "llm/base.py": BASE,
    "llm/child.py": CHILD,
    "docs/reference/base.md": "# 底\n\n::: llm.base\n",
    "docs/reference/child.md": "# 子\n\n::: llm.child\n    options:\n      show_source: true\n",
    "docs/notes/model/base.md": "---\ntitle: 底座\ndraft: true\n---\n\n# 底座\n\n"
    "```source\nllm.base:Base.area\n```\n",
    "docs/notes/model/line.md": "---\ntitle: 点名的行\ndraft: true\n---\n\n# 点名的行\n\n"
    "```source\nllm.base:Base.area # return、two\n```\n",
    "docs/notes/model/nameless.md": "---\ntitle: 没写名字\ndraft: true\n---\n\n# 没写名字\n\n"
    "```source\nllm.base # a:b\n```\n",
    "docs/notes/model/last.md": "---\ntitle: 末尾\ndraft: true\n---\n\n# 末尾\n\n"
    "```source\nllm.base : last\n```\n",
    "docs/notes/model/lost.md": "---\ntitle: 没有的\ndraft: true\n---\n\n# 没有的\n\n"
    "```source\nllm.base:lost\n```\n",
}
# 做了什么、哪个文件、改哪里；改完与从头建的比一遍的，名字前有星号
STEPS = [
    ("改函数体", "llm/base.py", "return 1", "return 2"),
    ("改前面的函数体", "llm/base.py", "return self.width * 2", "two = 2\n        return two"),
    ("*改签名", "llm/base.py", "width: int", "width: int, height: int = 0"),
    ("多一个函数", "llm/base.py", "def last(", "def lost() -> None:\n    pass\n\n\ndef last("),
    ("参考页换地方", "docs/reference/child.md", "# 子\n", "# 子\n\n::: llm.base\n"),
    ("*原来的不列了", "docs/reference/base.md", "::: llm.base\n", "不列了。\n"),
    ("转手", "llm/child.py", "class Child", '__all__ = ["Base", "Child", "make"]\n\n\nclass Child'),
    ("转手之后改函数体", "llm/base.py", "two = 2", "two = 3"),
    ("写坏", "llm/child.py", "class Child(", "class Child(("),
    ("*改好", "llm/child.py", "class Child((", "class Child("),
]


def main(folder: Path) -> None:
    """有一处不同就停下来，留着两份产物。"""
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    root, site = vaults.make(folder / "vault"), folder / "site"
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    os.chdir(root)
    edits.rebuild(root, site, dirty=False)
    rebuilt = {}
    for what, name, old, new in STEPS:
        text = (root / name).read_text("utf-8")
        assert old in text, (name, old)
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        rebuilt[what.strip("*")] = edits.rebuild(root, site, dirty=True)
        if what.startswith("*"):
            wrong = edits.against_clean(root, site)
            assert not wrong, f"{what}之后不同：{wrong[:8]}"
    print(json.dumps(rebuilt, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
