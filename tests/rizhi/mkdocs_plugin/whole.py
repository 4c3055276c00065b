"""一个完整的知识库：日志、笔记、参考页、笔记本、片段、设置都在；改许多处，与从头建的比。

test_rebuild.py 另起进程运行：
`python -m tests.rizhi.mkdocs_plugin.whole 文件夹 种子 改几次 查几次`。
"""

import json
import logging
import os
import random
import sys
from datetime import date, timedelta
from pathlib import Path

from tests.rizhi.mkdocs_plugin import edits

GUIDE = """# 试写

引用式的链接：[后来才有的][late]。

``` { .snippet }
tensor_shapes
```

[late]: later.md
"""


class Vault:
    """一个知识库与它的产物；改一处就重建一遍。"""

    def __init__(self, folder: Path) -> None:
        self.root, self.site = folder / "vault", folder / "site"
        edits.prepare(self.root)
        os.chdir(self.root)  # 围栏从工作目录找知识库，与 mkdocs serve 一样
        self.rebuild(dirty=False)

    def rebuild(self, dirty: bool = True) -> None:
        edits.rebuild(self.root, self.site, dirty)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.rebuild()

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text("utf-8")
        assert old in text, (name, old)
        self.write(name, text.replace(old, new, 1))

    def check(self, what: str) -> None:
        wrong = edits.against_clean(self.root, self.site)
        assert not wrong, f"{what}之后不同：{wrong[:8]}"


def at_random(vault: Vault, seed: int, times: int, checks: int) -> None:
    """随手改 `times` 次，其间比 `checks` 次。"""
    editor = edits.Editor(vault.root, random.Random(seed))
    done: list[str] = []
    for number in range(1, times + 1):
        done.append(editor.edit())
        vault.rebuild()
        if number % (times // checks) == 0:
            vault.check(f"第 {number} 次（最近做的：{done[-(times // checks) :]}）")


def one_of_each(vault: Vault) -> None:
    """随手改碰不到的几样：参考页、指南、笔记本、记录里的图、设置、读不出的编码。"""
    last = max(vault.root.glob("docs/daily/*/????-??-??.md"))
    day = date.fromisoformat(last.stem) + timedelta(days=1)
    vault.write(f"docs/daily/{day:%Y}/{day}.md", "## 今日成果\n")  # 没有标题，也还没有写
    with last.open("a", encoding="utf-8") as file:
        file.write("\n又想到一点。\n")
    vault.replace("docs/guide/index.md", "# ", "# 改过的 ")  # 最后一页参考页的下一页
    vault.write("docs/guide/trial.md", GUIDE)
    vault.check("改指南、日总结")
    vault.write("docs/guide/later.md", "# 后来\n")
    vault.replace("llm/model.py", '"""', '"""改过的话。')
    note = min(Path("docs/notes").rglob("*.md"))
    note.write_bytes("旋转".encode("gbk"))
    last.write_bytes("掩码".encode("gbk"))
    figure = next(vault.root.glob("snippets/outputs/attention_mask/*.svg"))
    figure.unlink()
    book = json.loads(Path("docs/notebooks/tensor-shapes.ipynb").read_text("utf-8"))
    book["cells"][0]["source"] = "# 张量 <b>形状</b>\\n\n一整段写成一个字符串。"
    vault.write("docs/notebooks/tensor-shapes.ipynb", json.dumps(book, ensure_ascii=False))
    vault.replace("pyproject.toml", "day_ends = 4", "day_ends = 3")
    page = vault.site / note.relative_to("docs").with_suffix(".html")
    assert "像是 GBK" in page.read_text("utf-8")
    vault.check("改源码、记录、笔记本、设置、编码")


def main(folder: Path, seed: int, times: int, checks: int) -> None:
    """有一处不同就停下来，留着两份产物。"""
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    vault = Vault(folder)
    at_random(vault, seed, times, checks)
    one_of_each(vault)
    print(f"{times} 次改动，{checks + 2} 次比较，全部相同")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
