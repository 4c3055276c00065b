"""改一处就重建一遍，说出内存每遍长了多少 KB。

test_memory.py 另起进程运行：`python -m tests.rizhi.mkdocs_plugin.memory 文件夹 几遍`。
"""

import gc
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rizhi.mkdocs_plugin.server import surviving
from tests import vaults
from tests.rizhi.mkdocs_plugin import edits

WARM = 100  # 先改这么多遍，让该留的都留下


class Changes:
    """轮着改几样：日总结、笔记、源码、标题，加一篇再删掉；改来改去，知识库并不变大。"""

    def __init__(self, root: Path) -> None:
        self.root = root
        day = max(root.glob("docs/daily/*/????-??-??.md")).relative_to(root).as_posix()
        note = "docs/notes/attention/attention-mask.md"
        self._texts = {name: (root / name).read_text("utf-8") for name in (day, note)}
        self._source = (root / "llm/model.py").read_text("utf-8")
        self.every: list[Callable[[int], None]] = [
            lambda n: self._write(day, f"{self._texts[day]}\n又想到第 {n} 点。\n"),
            lambda n: self._write(note, f"{self._texts[note]}\n第 {n} 次补的一句。\n"),
            lambda n: self._write("llm/model.py", f"{self._source}\n# 第 {n} 次改\n"),
            lambda n: self._write(note, self._texts[note].replace("title: ", f"title: {n} ", 1)),
            lambda n: self._write(
                f"docs/notes/attention/fresh-{n}.md", f"---\ntitle: 新 {n}\n---\n"
            ),
            lambda n: (root / f"docs/notes/attention/fresh-{n - 1}.md").unlink(missing_ok=True),
        ]

    def make(self, number: int) -> None:
        self.every[number % len(self.every)](number)

    def _write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text, encoding="utf-8")


def resident() -> int:
    """此刻占了多少 KB。"""
    gc.collect()
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main(folder: Path, times: int) -> None:
    """预热之后改 `times` 遍。"""
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    root = vaults.make(folder / "vault")
    os.chdir(root)
    changes = Changes(root)
    site = folder / "site"
    built: list[list[str]] = []
    # 与 `mkdocs serve` 一样；没有建成它只说一句，所以数一数
    again = surviving(lambda: built.append(edits.rebuild(root, site, dirty=True)))
    edits.rebuild(root, site, dirty=False)
    for number in range(WARM + times):
        if number == WARM:
            before = resident()
        changes.make(number)
        again()
    assert len(built) == WARM + times and all(built)
    print(round((resident() - before) / times, 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
