"""`reviews.jsonl`：只增的日志，唯一的真相；每一行一件事，状态都由它重放出来。

    born    一张卡片头一次问          card note kind text
    match   笔记改了，这张卡片现在是这句话  card note text
    review  答了一次                  card grade day why …
    sleep   不再问                    card
    undo    撤回前面的一行              of

每一行另有自己的 `id`、UTC 时刻 `at` 与当时的时差 `off`（分钟）。两个分支合起来，行的先后会乱、
会重复：按（at, id）排，同一个 id 只算一次。
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rizhi import store
from rizhi.errors import Fault, RizhiError
from rizhi.vault import Vault, contained

NAME = "reviews.jsonl"
MAX_ATTEMPT = 4096  # 一次作答至多记下这么多字节
# 每种行要有的字段，与各是什么
_WANTED: Mapping[str, Mapping[str, type]] = {
    "born": {"card": str, "note": str, "kind": str, "text": str},
    "match": {"card": str, "note": str, "text": str},
    "review": {"card": str, "grade": int, "day": str},
    "sleep": {"card": str},
    "undo": {"of": str},
}


@dataclass(frozen=True, order=True)
class Event:
    """日志的一行；`fields` 是除去 id、what、at、off 之外的。"""

    at: datetime
    id: str
    what: str = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False)
    off: int = field(compare=False, default=0)


def path(vault: Vault) -> Path:
    """日志在哪里。"""
    return vault.root / NAME


def read(vault: Vault) -> tuple[list[Event], list[Fault]]:
    """全部的行，按（at, id）排，撤回了的不在内；第二项说出读不懂的行，它们不算。

    异常：文件读不到、经由链接指到了外面，抛 RizhiError。
    """
    file = path(vault)
    if not file.exists():
        return [], []
    try:
        data = contained(vault, file).read_bytes()
    except OSError as error:
        raise RizhiError(f"读不到：{error.strerror}。", file) from error
    return parse(data)


def parse(data: bytes) -> tuple[list[Event], list[Fault]]:
    """同 `read`，由字节来。"""
    events: dict[str, Event] = {}
    faults = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            for event in _events(line):
                events.setdefault(event.id, event)
        except ValueError as error:
            faults.append(
                Fault(number, f"复习的日志这一行读不懂：{error}", "删掉它，或从 git 里找回")
            )
    undone = {event.fields["of"] for event in events.values() if event.what == "undo"}
    kept = [e for e in events.values() if e.what != "undo" and e.id not in undone]
    return sorted(kept), faults


def append(vault: Vault, events: Iterable[Event]) -> None:
    """接上几行。

    异常：写不成，抛 OSError，日志还是原来的样子。
    """
    lines = "".join(f"{json.dumps(_written(e), ensure_ascii=False)}\n" for e in events)
    store.extend(vault.root, contained(vault, path(vault)), lines.encode())


def event(what: str, moment: datetime, **fields: Any) -> Event:
    """此刻的一件事；`moment` 带着时区。"""
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    return Event(moment.astimezone(UTC), secrets.token_hex(6), what, fields, minutes)


def _events(line: bytes) -> Iterator[Event]:
    """一行里的几件事：少了换行，两行会粘在一起。

    异常：读不懂，抛 ValueError。
    """
    text, at = line.decode("utf-8").strip(), 0
    decoder = json.JSONDecoder()
    while at < len(text):
        try:
            raw, at = decoder.raw_decode(text, at)
        except RecursionError as error:
            raise ValueError("套得太深") from error
        except json.JSONDecodeError as error:
            raise ValueError("不是 JSON") from error
        yield _checked(raw)


def _checked(raw: Any) -> Event:
    if not isinstance(raw, dict) or raw.get("what") not in _WANTED:
        raise ValueError(f"what 应是 {'、'.join(_WANTED)} 之一")
    fields = {key: value for key, value in raw.items() if key not in ("id", "at", "off", "what")}
    for name, kind in {"id": str, "at": str, **_WANTED[raw["what"]]}.items():
        if not isinstance(raw.get(name), kind) or isinstance(raw[name], bool):
            raise ValueError(f"{name} 没有写，或不是该有的样子")
    if raw["what"] == "review":
        datetime.strptime(raw["day"], "%Y-%m-%d")
        if not 1 <= raw["grade"] <= 4:
            raise ValueError("grade 应是 1 到 4")
    moment = datetime.fromisoformat(raw["at"])
    if moment.tzinfo is None:
        raise ValueError("at 没有时区")
    off = raw.get("off", 0)
    return Event(moment.astimezone(UTC), raw["id"], raw["what"], fields, off if _whole(off) else 0)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _written(event: Event) -> dict[str, Any]:
    stamp = event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"id": event.id, "at": stamp, "off": event.off, "what": event.what, **event.fields}
