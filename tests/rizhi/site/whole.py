"""整个知识库的副本：参考页、笔记本、片段、设置都在。改几处，每处一遍脏构建，再与从头建的比。

由 test_incremental.py 在自己的进程里运行：`python whole.py 文件夹`。
"""

import json
import logging
import os
import sys
from datetime import date, timedelta
from pathlib import Path

import edits

from benchmarks import peers

GUIDE = """# 试写

引用式的链接：[后来才有的][late]。

``` { .snippet }
cat_vs_stack
```

[late]: later.md
"""


class Vault:
    """知识库的副本与它的产物；改一处就重建一遍。"""

    def __init__(self, root: Path) -> None:
        self.root, self.site = root / "vault", root / "site"
        peers.ours(self.root)
        os.chdir(self.root)  # 围栏从工作目录找知识库，与 mkdocs serve 一样
        edits.rebuild(self.root, self.site, dirty=False)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        edits.rebuild(self.root, self.site, dirty=True)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text("utf-8")
        assert old in text, (name, old)
        self.write(name, text.replace(old, new, 1))

    def check(self, what: str) -> None:
        wrong = edits.against_clean(self.root, self.site)
        assert not wrong, f"{what}之后不同：{wrong[:8]}"


def main(root: Path) -> int:
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    vault = Vault(root)
    last = max(vault.root.glob("docs/daily/*/????-??-??.md"))
    day = date.fromisoformat(last.stem) + timedelta(days=1)
    vault.write(f"docs/daily/{day:%Y}/{day}.md", "## 今日成果\n")  # 没有标题，也还没有写
    with last.open("a", encoding="utf-8") as file:
        file.write("\n又想到一点。\n")
    vault.replace("docs/notes/model/rmsnorm.md", "## 一句话", "## 一句话\n")  # 里面嵌了源码
    vault.replace("docs/guide/index.md", "# ", "# 改过的 ")  # 最后一页参考页的下一页
    vault.write("docs/guide/trial.md", GUIDE)
    vault.check("改笔记、指南、日总结")
    vault.write("docs/guide/later.md", "# 后来\n")
    with Path("snippets/cat_vs_stack.py").open("a", encoding="utf-8") as file:
        file.write("\n# 改过\n")
    vault.replace("llm/loss.py", '"""', '"""改过的话。')
    Path("docs/notes/model/swiglu.md").write_bytes("门控".encode("gbk"))
    last.write_bytes("掩码".encode("gbk"))
    figure = next(vault.root.glob("snippets/outputs/attention_mask/*.svg"))
    figure.unlink()
    book = json.loads(Path("docs/notebooks/tensor-shapes.ipynb").read_text("utf-8"))
    book["cells"][0]["source"] = "# 张量 <b>形状</b>\\n\n一整段写成一个字符串。"
    vault.write("docs/notebooks/tensor-shapes.ipynb", json.dumps(book, ensure_ascii=False))
    vault.replace("pyproject.toml", "day_ends = 4", "day_ends = 3")
    assert "像是 GBK" in (vault.site / "notes/model/swiglu.html").read_text("utf-8")
    vault.check("改片段、源码、记录、笔记本、设置、编码")
    print("全部相同")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
