"""`reviews.jsonl`：只增的日志，唯一的真相；每一行一件事，状态都由它重放出来。

    born    一张卡片头一次问          card note kind text
    match   笔记改了，这张卡片现在是这句话  card note text
    review  答了一次                  card grade day why code …
    sleep   不再问                    card
    wake    又问了，忘的次数从头数起     card
    code    源码里的一个名字那时的原文    symbol text
    undo    撤回前面的一行              of

每一行另有自己的 `id`、UTC 时刻 `at` 与当时的时差 `off`（分钟）。两个分支合起来，行的先后会乱、
会重复：按（at, id）排，同一个 id 只算一次。review 的 `code` 是那时笔记显示的各段原文，各是一个 code
行的 id：它由内容定，同一段只写一次，两个分支各写一次也合成一行。
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rizhi import store
from rizhi.errors import Fault, RizhiError
from rizhi.vault import Vault, contained, date_of

NAME = "reviews.jsonl"
ATTRIBUTE = f"{NAME} merge=union"  # 写在 .gitattributes 里：两个分支各添的行都留下
MAX_ATTEMPT = 4096  # 一次作答至多记下这么多字节
KINDS = ("自测", "输出", "形状", "默写", "哪个检验会红")
WHY = ("due", "code", "new", "note")  # 为什么问：到期了、代码改了、头一次、点名要问这一篇
_STAMPED: Mapping[str, type] = {"id": str, "at": str}
# 每种行要有的字段，与各是什么
_WANTED: Mapping[str, Mapping[str, type]] = {
    "born": {**_STAMPED, "card": str, "note": str, "kind": str, "text": str},
    "match": {**_STAMPED, "card": str, "note": str, "text": str},
    "review": {**_STAMPED, "card": str, "grade": int, "day": str},
    "sleep": {**_STAMPED, "card": str},
    "wake": {**_STAMPED, "card": str},
    "code": {**_STAMPED, "symbol": str, "text": str},
    "undo": {**_STAMPED, "of": str},
}
_OWN = frozenset((*_STAMPED, "off", "what"))
_LAST, _DAY = 9900, 24 * 60
_MARKS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")
_LOST = "删掉它，或从 git 里找回"


@dataclass(frozen=True, order=True)
class Event:
    """日志的一行；`fields` 是除去 id、what、at、off 之外的。"""

    at: datetime
    id: str
    what: str = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False)
    off: int = field(compare=False, default=0)
    line: int = field(compare=False, default=0)  # 日志的第几行，从 1 数起


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
            for event in _events(line, number):
                events.setdefault(event.id, event)
        except ValueError as error:
            faults.append(_fault(line, number, error))
    undone = {event.fields["of"] for event in events.values() if event.what == "undo"}
    kept = [e for e in events.values() if e.what != "undo" and not _gone(e, undone)]
    # 按键排：几万行用 Event 自己比大小，要多花一倍的时间
    return sorted(kept, key=lambda e: (e.at, e.id)), sorted(
        [*faults, *_orphans(kept)], key=lambda fault: fault.line
    )


def _gone(event: Event, undone: Set[str]) -> bool:
    """撤回了没有；一段原文撤不掉：别的卡片也许还指着它。"""
    return event.id in undone and event.what != "code"


def _fault(line: bytes, number: int, error: ValueError) -> Fault:
    if line.startswith(_MARKS):
        remedy = f"删掉这一行，两边的各行都留着；.gitattributes 里写上 {ATTRIBUTE}，就不会再有"
        return Fault(number, "复习的日志里有 git 合并冲突的记号", remedy)
    return Fault(number, f"复习的日志这一行读不懂：{error}", _LOST)


def _orphans(events: Sequence[Event]) -> Iterator[Fault]:
    """说的是一张没有出生的卡片：它的 born 丢了，多半是那一行坏了。一张只说一次。"""
    known = {event.fields["card"] for event in events if event.what == "born"}
    lines: dict[str, list[int]] = {}
    for event in events:
        if event.fields.get("card", "") not in known and event.what != "code":
            lines.setdefault(event.fields["card"], []).append(event.line)
    for card, at in lines.items():
        message = f"复习的日志里没有 {card!r} 这张卡片的 born 行，它的 {len(at)} 行都不算"
        yield Fault(min(at), message, "从 git 里找回那一行；找不回，就删掉这几行")


def append(vault: Vault, events: Iterable[Event]) -> None:
    """接上几行。

    异常：写不成，抛 OSError，日志还是原来的样子。
    """
    lines = "".join(f"{json.dumps(_written(e), ensure_ascii=False)}\n" for e in events)
    store.extend(vault.root, contained(vault, path(vault)), lines.encode())


def holds(vault: Vault, id: str) -> bool:
    """日志里有没有这个 id 的一行：只找字，不解析，十年的日志也只要几毫秒。"""
    file = path(vault)
    return file.exists() and f'"id": "{id}"'.encode() in contained(vault, file).read_bytes()


def fresh_id(size: int) -> str:
    """一个新的 id，十六进制，`size` 字节；同 `secrets.token_hex`，不必为它载入一串加密的模块。"""
    return os.urandom(size).hex()


def event(what: str, moment: datetime, id: str = "", **fields: Any) -> Event:
    """此刻的一件事；`moment` 带着时区，`id` 不写就取一个新的。"""
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    return Event(moment.astimezone(UTC), id or fresh_id(6), what, fields, minutes)


def _events(line: bytes, number: int) -> Iterator[Event]:
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
            raise ValueError("没有写完，或不是 JSON") from error
        yield _checked(raw, number)


def _checked(raw: Any, line: int) -> Event:
    what = raw.get("what") if isinstance(raw, dict) else None
    if not isinstance(what, str) or what not in _WANTED:
        raise ValueError(f"what 应是 {'、'.join(_WANTED)} 之一，现在是 {what!r}")
    fields = {key: value for key, value in raw.items() if key not in _OWN}
    for name, kind in _WANTED[what].items():
        if not isinstance(raw.get(name), kind) or isinstance(raw[name], bool):
            raise ValueError(f"{name} 没有写，或不是该有的样子")
    if "day" in raw:
        _day(raw["day"])
    if what == "review":
        _review(raw)
    if what == "born" and raw["kind"] not in KINDS:
        raise ValueError(f"kind 应是 {'、'.join(KINDS)} 之一，现在是 {raw['kind']!r}")
    return Event(_moment(raw["at"]), raw["id"], what, fields, _offset(raw.get("off", 0)), line)


def _review(raw: Mapping[str, Any]) -> None:
    if not 1 <= raw["grade"] <= 4:
        raise ValueError(f"grade 应是 1 到 4，现在是 {raw['grade']}")
    if raw.get("why", WHY[0]) not in WHY:
        raise ValueError(f"why 应是 {'、'.join(WHY)} 之一，现在是 {raw['why']!r}")
    if not _names(raw.get("code", [])):
        raise ValueError("code 应是几个 id")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"at 没有时区：{text!r}")
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"at 不是一个时刻：{text!r}") from error
    _day(str(moment.date()))
    return moment


def _day(text: object) -> None:
    """异常：不是真有的一天，或远得往后数不了一年，抛 ValueError。"""
    day = date_of(text) if isinstance(text, str) else None
    if day is None or day.year > _LAST:
        raise ValueError(f"没有 {text!r} 这一天")


def _offset(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _DAY:
        raise ValueError(f"off 应是分钟数，现在是 {value!r}")
    return value


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _written(event: Event) -> dict[str, Any]:
    stamp = event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"id": event.id, "at": stamp, "off": event.off, "what": event.what, **event.fields}
