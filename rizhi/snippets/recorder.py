"""把一次运行写成记录：命令 `rizhi record` 与 `mkdocs serve` 共用。"""

import json
from dataclasses import dataclass
from pathlib import Path

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.snippets import record as records
from rizhi.snippets import run as runner
from rizhi.vault import Vault, today


@dataclass(frozen=True)
class Recorded:
    """一次记录的结果：成了说 `done`，没成说 `error`，旧记录不动。"""

    done: str = ""
    error: str = ""


def record(vault: Vault, path: Path) -> Recorded:
    """运行一个片段，成功才替换它的记录。"""
    if not runner.has_torch():
        return Recorded(error="没有装 torch，片段跑不起来：make record 会先装好。")
    try:
        # 先算指纹再运行：其间源码若又变了，指纹对不上，下次自会重录
        key = records.key(path, vault.root)
        run = runner.run(path, vault.root)
    except RizhiError as error:
        return Recorded(error=error.within(vault.root))
    if run.error:
        return Recorded(error=run.error)
    folder = vault.outputs / path.stem
    files = records.record_files(run.outputs, key, runner.versions(), str(today(vault)))
    files["key.json"] = _dated(folder / "key.json", files["key.json"])
    return Recorded(done=_write(folder, files))


def _dated(index: Path, new: bytes) -> bytes:
    """除了日期都一样，就留着旧日期：不为一个日期改动入库的文件。"""
    try:
        old, made = json.loads(index.read_bytes()), json.loads(new)
    except (OSError, ValueError):
        return new
    kept = {"recorded": old.get("recorded", "")} if isinstance(old, dict) else {}
    same = bool(kept.get("recorded")) and made | kept == old
    return index.read_bytes() if same else new


def _write(folder: Path, files: dict[str, bytes]) -> str:
    """索引最后写：写到一半被杀掉，指纹对不上，下次自会发现。"""
    old = {path.name for path in folder.glob("*.*")} if folder.is_dir() else set()
    changed = [name for name, data in files.items() if store.replace(folder / name, data)]
    for name in old - set(files):
        store.remove(folder / name)
    return f"更新 {len(changed)} 个文件" if changed else "没有变化"
