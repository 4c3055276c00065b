"""每页待办的备忘：`new` 不必打开十年里的每一页，只打开上次以来改过的。

备忘在 `.rizhi/todos/`，一年一个文件，可以随时删掉；一页的时间、大小、编号有一样变了就重读。
"""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from rizhi.stamp import stamp as stamp_of
from rizhi.todo import Mention, mentions
from rizhi.vault import RizhiError, Vault, day_files, read_inside

_VERSION = 1
_SETTLED = 2_000_000_000  # 刚改过的不记：两次修改可能落在时钟的同一格里


@dataclass(frozen=True)
class Memo:
    """逐日的待办、要写回的备忘、读不出的页。"""

    days: list[tuple[date, list[Mention]]]
    changed: dict[Path, bytes]
    unread: list[str]


def scan(vault: Vault) -> Iterator[tuple[date, Path, list[Mention] | RizhiError]]:
    """老老实实打开每一页；读不出的给出错误。"""
    for day, path in day_files(vault):
        yield day, path, _read(vault, path)


def before(vault: Vault, today: date, names: list[tuple[date, str]]) -> Memo:
    """`today` 之前每一天的待办；与 `scan` 的结果相同，只是不重读没变过的页。

    `names` 来自 `vault.day_names`。
    """
    memo = Memo([], {}, [])
    earlier = [(day, name) for day, name in names if day < today]
    for year, found in groupby(earlier, key=lambda pair: pair[0].year):
        _year(vault, year, found, memo)
    return memo


def _year(vault: Vault, year: int, files: Iterable[tuple[date, str]], memo: Memo) -> None:
    shard = vault.root / ".rizhi" / "todos" / f"{year}.json"
    old = _load(shard)
    new: dict[str, Any] = {}
    for day, path in files:
        name, stamp = day.isoformat(), list(stamp_of(path))
        known = old.get(name)
        if known and known[0] == stamp:
            found = known[1]
        else:
            read = _read(vault, Path(path))
            if isinstance(read, RizhiError):
                memo.unread.append(str(read))
                continue
            found = read
        memo.days.append((day, found))
        if (known and known[0] == stamp) or time.time_ns() - max(stamp[:2]) > _SETTLED:
            new[name] = [stamp, found]
    if any(old.get(name) is None or old[name][0] != kept[0] for name, kept in new.items()):
        data = {"version": _VERSION, "days": old | new}
        memo.changed[shard] = json.dumps(data, ensure_ascii=False).encode()


def _read(vault: Vault, path: Path) -> list[Mention] | RizhiError:
    try:
        return mentions(read_inside(vault, path))
    except RizhiError as error:
        return error


def _load(shard: Path) -> dict[str, Any]:
    try:
        data = json.loads(shard.read_bytes())
        days = data["days"] if data["version"] == _VERSION else {}
        return {name: [stamp, [Mention(*m) for m in made]] for name, (stamp, made) in days.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # 没有、坏了、旧版：重读就是
