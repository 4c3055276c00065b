"""写一天、添一行、了结一条待办：把纯函数与 store 接起来。"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rizhi import edit, entry, memo, pages, store, todo
from rizhi.todo import Todo
from rizhi.vault import RizhiError, Vault, contained, date_of, day_names, day_path, decode

MAX_IMAGE = 8 * 1024 * 1024
# 图片的开头几个字节 → 扩展名；扩展名写错的照内容改正
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"RIFF": ".webp",
}


@dataclass(frozen=True)
class Created:
    """写一天的结果。"""

    path: Path
    created: bool
    goals: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Draft:
    text: str
    goals: int
    known: memo.Memo


@dataclass(frozen=True)
class Settled:
    """了结一条待办的结果；对上的不是恰好一条时，什么也没有写。"""

    candidates: list[Todo]
    path: Path
    text: str = ""


def create(vault: Vault, day: date, title: str = "", now: date | None = None) -> Created:
    """新建一天；已有就不动。`now` 是没有指定日期时的今天，用来发现时钟被拨回。

    异常：模板有错、写不成，抛错误；什么也没有改动。
    """
    path = contained(vault, day_path(vault, day))
    if path.exists():
        return Created(path, False)
    drafted = _draft(vault, day, title)
    try:
        store.change(vault.root, "new", [store.creation(path, drafted.text.encode())])
    except FileExistsError:  # 另一个 rizhi 抢先建好了
        return Created(path, False)
    _remember(vault, drafted.known.changed)
    ahead = [d for d, _ in day_names(vault)[-1:] if now and d > now]
    clock = [f"时钟被拨回了？最近写的一天是 {d}，晚于今天 {now}。" for d in ahead]
    skipped = [f"{line}（跳过这一页）" for line in drafted.known.unread]
    return Created(path, True, drafted.goals, (*clock, *skipped))


def add(vault: Vault, today: date, section: str, text: str, image: Path | None = None) -> Path:
    """在今天这一页的一节末尾添一行；今天还没写就先建。

    异常：没有这一节、文字不是一行、图片不对，抛 RizhiError；什么也没有改动。
    """
    line = _one_line(text)
    if not line:
        raise RizhiError("要添的文字是空的；没有改动任何文件。")
    steps: list[store.Edit | store.Move] = []
    if image:
        picture, data = _picture(vault, today, image)
        line = f"{line} ![{line}](img/{picture.name})"
        # 图片按内容命名：已有的就是这一张
        steps.append(
            store.Edit(contained(vault, picture), lambda old: data if old is None else old)
        )
    path = day_path(vault, today)
    steps.append(_today(vault, today, lambda old: edit.append(old, section, line)))
    store.change(vault.root, f"add {section} {text}", steps)
    return path


def settle(
    vault: Vault, today: date, wanted: str, mark: str, warn: Callable[[str], None]
) -> Settled:
    """了结一条待办：在今天这一页就地打记号，不在就记到今日完成；写在以后的，打在那一页。"""
    path = day_path(vault, today)
    lives, paths = history(vault, warn)
    found = todo.matching(lives, wanted)
    if not found and store.touched(path):  # 编辑器存盘时，会把今天这一页改名拿走片刻
        time.sleep(0.1)
        lives, paths = history(vault, warn)
        found = todo.matching(lives, wanted)
    if len(found) != 1:
        return Settled(found, path)
    one = found[0]
    line = f"{todo.brief(one.text)}（自 {one.born}）"
    first = max(one.born, today)
    path = path if first == today else paths[first]

    def record(old: str) -> str:
        return edit.settle(old, one.key, mark) or edit.append(old, entry.DONE, line, mark)

    def carried(old: str) -> str:
        # 写明自哪天顺延来的才是同一件；天天都有的「刷题」不是
        return edit.settle(old, one.key, mark, f"自 {one.born}") or old

    steps = [_today(vault, today, record) if first == today else _amendment(vault, path, record)]
    steps += [_amendment(vault, paths[day], carried) for day in sorted(paths) if day > first]
    store.change(vault.root, f"{'done' if mark == 'x' else 'drop'} {wanted}", steps)
    return Settled(found, path, todo.brief(one.text))


def history(vault: Vault, warn: Callable[[str], None]) -> tuple[list[Todo], dict[date, Path]]:
    """每件事的一生，与每一天的路径；读不出的页跳过并说明。"""
    days, paths = [], {}
    for day, path, found in memo.scan(vault):
        if isinstance(found, RizhiError):
            warn(f"{found}（跳过这一页）")
        else:
            days.append((day, found))
            paths[day] = path
    return todo.lives(days), paths


def _draft(vault: Vault, day: date, title: str = "") -> _Draft:
    """新的一天写成什么样；不写盘。"""
    names = day_names(vault)
    known = memo.before(vault, day, names)
    previous = pages.last_written(vault, day, names)
    planned = previous.entry.section(entry.PLAN) if previous else ()
    lives = todo.lives(known.days)
    written = date_of(previous.path.stem) if previous else None
    over = todo.settled_since(lives, written) if written else set()
    plan = [i for s in planned for i in s.items if i.text and i.state in (None, "open")]
    plan = [item for item in plan if todo.normalised(item.text) not in over]
    goals = todo.goals(plan, todo.still_open(lives), day)
    text = pages.new_day(vault, day, _one_line(title), goals, previous)
    return _Draft(text, len(goals), known)


def _today(vault: Vault, today: date, change: Callable[[str], str]) -> store.Edit:
    """改今天这一页的那一步；还没有这一页，就在新的一页上改。"""
    path = contained(vault, day_path(vault, today))

    def changed(old: bytes | None) -> bytes:
        text = _draft(vault, today).text if old is None else decode(old, path)
        return change(text).encode()

    return store.Edit(path, changed)


def _amendment(vault: Vault, path: Path, change: Callable[[str], str]) -> store.Edit:
    return store.amendment(contained(vault, path), lambda old: change(decode(old, path)).encode())


def _picture(vault: Vault, today: date, image: Path) -> tuple[Path, bytes]:
    """图片按内容命名，放在当天的旁边。"""
    import hashlib

    try:
        size = image.stat().st_size
        data = image.read_bytes() if size <= MAX_IMAGE else b""
    except OSError as error:
        raise RizhiError(f"{image} 读不到；没有改动任何文件。") from error
    if not data:
        what = f"超过 {MAX_IMAGE >> 20} MiB" if size else "是空的"
        raise RizhiError(f"{image} {what}，不能贴；没有改动任何文件。")
    suffix = next((s for magic, s in _IMAGES.items() if data.startswith(magic)), None)
    if suffix is None:
        raise RizhiError(f"{image} 不是 PNG、JPEG、GIF 或 WebP；没有改动任何文件。")
    name = f"{today}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}"
    return day_path(vault, today).parent / "img" / name, data


def _one_line(text: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]", text):
        raise RizhiError("文字里有换行或控制字符，只能是一行；没有改动任何文件。")
    return text.strip()


def _remember(vault: Vault, changed: dict[Path, bytes]) -> None:
    """备忘写不成不要紧：下次重读就是。"""
    with suppress(OSError, RizhiError):
        for path, data in changed.items():
            store.replace(contained(vault, path), data)
