"""录下一个片段：运行它，两遍一样才写进记录；不成的，旧记录一个字节不动。"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.snippets import record as records
from rizhi.snippets import repeat, run
from rizhi.snippets.cells import SnippetError
from rizhi.vault import Vault, today

_Again = Callable[[Path], run.Run]


def record(vault: Vault, path: Path) -> int:
    """运行一个片段，成功才替换它的记录；返回改了几个文件。能不能重复，只看文字里有没有地址。

    异常：片段读不懂、缺库、运行出错或打印了地址，抛 RizhiError；旧记录没有动。
    """
    return _write(vault.outputs / path.stem, _fresh(vault, path))


def record_each(vault: Vault, paths: Sequence[Path]) -> Iterator[int | RizhiError | OSError]:
    """逐个录下，给出各改了几个文件，或为什么没有录：再跑一遍不一样的也不录。

    几个片段并排地跑；第二遍都在同一个新起的解释器里，它要几秒才起得来，多半用得着就先起。
    """
    changed = any(records.load(vault, path).state != "fresh" for path in paths)
    begin = partial(run.warm_up, vault) if changed else None
    with (
        repeat.elsewhere(partial(run.run, vault), begin) as again,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for path, made in zip(paths, pool.map(partial(_attempt, vault, again), paths), strict=True):
            yield (
                made if isinstance(made, RizhiError) else _written(vault.outputs / path.stem, made)
            )


def versions(vault: Vault, path: Path) -> dict[str, str]:
    """记录旁边写明的库版本，仅供查看；片段没有用到的、没装的不写。"""
    from importlib.metadata import version

    used = records.libraries(vault, path, deep=True)
    names = (
        name for name in ("matplotlib", "numpy", "torch") if name in used and run.installed(name)
    )
    return {name: version(name).partition("+")[0] for name in names}


def _attempt(vault: Vault, again: _Again, path: Path) -> dict[str, bytes] | RizhiError:
    try:
        return _fresh(vault, path, again)
    except RizhiError as error:
        return error


def _fresh(vault: Vault, path: Path, again: _Again | None = None) -> dict[str, bytes]:
    """运行一个片段，得到它的记录该有的文件；`again` 再跑一遍，两遍要一样。"""
    for file in filter(Path.is_file, records.run_files(vault, path)):
        if marked := records.stamped(vault, file):
            store.replace(file, marked)
    # 先算指纹再运行：其间源码若又变了，指纹对不上，下次自会重录
    key = records.key(vault, path)
    result = run.run(vault, path)
    if result.error:
        raise SnippetError(result.error)
    snippet = records.load(vault, path).source
    repeat.refuse_addresses(snippet, result.outputs)
    recorded = records.load(vault, path).record
    # 与从前录下的一样，就是在另一个解释器里跑过一遍了
    if again and not (recorded and recorded.intact and recorded.outputs == result.outputs):
        _until_next_second()
        second = again(path)
        if second.error:
            raise SnippetError(f"再跑一遍就出错了：{second.error}")
        repeat.refuse_differences(snippet, result.outputs, second.outputs)
    files = records.record_files(result.outputs, key, versions(vault, path), str(today(vault)))
    return files | {"key.json": _dated(vault.outputs / path.stem / "key.json", files["key.json"])}


def _until_next_second() -> None:
    """打印到秒的时刻，同一秒里跑的两遍看不出来。"""
    time.sleep(1 - time.time() % 1)


def _dated(index: Path, new: bytes) -> bytes:
    """除了日期都一样，就留着旧日期：不为一个日期改动入库的文件。"""
    try:
        data = index.read_bytes()
        old, fresh = json.loads(data), json.loads(new)
    except (OSError, ValueError, RecursionError):  # 没有、坏了，正要换掉
        return new
    dated = isinstance(old, dict) and bool(old.get("recorded"))
    return data if dated and fresh | {"recorded": old["recorded"]} == old else new


def _written(folder: Path, files: dict[str, bytes]) -> int | OSError:
    try:
        return _write(folder, files)
    except OSError as error:
        return error


def _write(folder: Path, files: dict[str, bytes]) -> int:
    """索引最后写：写到一半被杀掉，指纹对不上，下次自会发现。"""
    found = folder.glob("*.*") if folder.is_dir() else ()
    old = {path.name for path in found if path.is_symlink() or not path.is_dir()}
    changed = sum(store.replace(folder / name, data) for name, data in files.items())
    for name in old - set(files):
        store.remove(folder / name)
    return changed
