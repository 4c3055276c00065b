"""文件变没变：看时间、大小与编号，不读内容。"""

import os
from pathlib import Path

from rizhi.vault import Vault

Stamp = tuple[int, int, int, int]


def stamp(path: str) -> Stamp:
    """一个文件的时间、大小与编号；断了的链接、刚被删掉的是全 0。"""
    try:
        found = os.stat(path)  # noqa: PTH116  十年的规模上，造 Path 就嫌慢了
    except OSError:
        return 0, 0, 0, 0
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def of_snippet(vault: Vault, path: Path) -> tuple[tuple[str, Stamp], ...]:
    """一个片段、它的记录与 `llm` 各文件：都没变，由它们算出来的就还作数。"""
    record = (vault.outputs / path.stem).glob("*")
    files = sorted(map(str, (path, *record, *(vault.root / "llm").rglob("*.py"))))
    return tuple((file, stamp(file)) for file in files)
