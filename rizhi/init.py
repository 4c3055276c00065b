"""一个自己的知识库：写下它要的几个文件，要么全写，要么一个不写。"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from rizhi import store, template
from rizhi.dates import weekday
from rizhi.errors import RizhiError
from rizhi.template import TEMPLATES
from rizhi.vault import Vault, day_path, today

FILES = ("README.md", "docs/index.md", "mkdocs.yml", "pyproject.toml", "snippets/conftest.py")
GROUPS = '\n[tool.rizhi.groups] # 各组笔记在站点上叫什么，先写的在前\nalgorithms = "算法"\n'


def create(root: Path, *, example: bool) -> list[Path]:
    """在 `root` 写一个空的知识库，`example` 再加一篇笔记与今天的一页；返回写下的文件。

    异常：要写的文件已有，抛 RizhiError；写不成，抛 OSError。什么也没有改动。
    """
    vault = Vault(root.resolve())
    files = dict(_files(vault, today(vault) if example else None))
    taken = [vault.relative(path) for path in files if path.exists() or path.is_symlink()]
    if taken:
        raise RizhiError(f"{root} 里已有 {'、'.join(taken)}；换一个文件夹，或先移走它。")
    vault.root.mkdir(parents=True, exist_ok=True)
    steps = [store.creation(path, data) for path, data in files.items()]
    return store.change(vault.root, "init", steps).paths


def _files(vault: Vault, day: date | None) -> Iterator[tuple[Path, bytes]]:
    """要写的文件与内容；有 `day` 就带上那一天的例子。"""
    for name in FILES:
        groups = GROUPS.encode() if day and name == "pyproject.toml" else b""
        yield vault.root / name, (TEMPLATES / "vault" / name).read_bytes() + groups
    # 包里的名字不带点：造轮子、拷文件夹的工具常把点开头的漏掉
    for name in ("gitignore", "gitattributes"):
        yield vault.root / f".{name}", (TEMPLATES / "vault" / name).read_bytes()
    if day:
        pages = {
            vault.notes / "algorithms/monotonic-stack.md": "example/docs/note.md",
            day_path(vault, day): "example/docs/day.md",
        }
        for path, name in pages.items():
            yield path, template.render(vault, name, date=day, weekday=weekday(day)).encode()
        # 片段与它的记录原样拷贝：记录的指纹只看片段的原文，在哪台机器上都对
        code = TEMPLATES / "example/snippets"
        for path in (code / "monotonic_stack.py", *sorted(code.glob("outputs/*/*"))):
            yield vault.snippets / path.relative_to(code), path.read_bytes()
