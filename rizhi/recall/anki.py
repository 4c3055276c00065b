"""导出到 Anki：问过的自测与「会打印什么」写成一个 .apkg，再导入一遍认得出还是那几张。

Anki 按 GUID 认笔记，GUID 由卡片的编号定，所以只导出问过的：没有问过的还没有编号，按字取一个，改了字
就是另一张，导入两遍就重了。Anki 比两边的修改时间，新的赢：每条写的是内容最后改变的时间，不是此刻，
主人在 Anki 里的改动才不会被没有变的内容盖掉。那个时间从上一次写的同一个文件里来，头一次用日志里的。
"""

import hashlib
import html
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyromark import Options
from pyromark import html as to_html

from rizhi import htmlpolicy, markdown, store
from rizhi.errors import RizhiError
from rizhi.links import resolve
from rizhi.recall import cards, log, schedule, session
from rizhi.recall.cards import ASKED, PRINTED, Card
from rizhi.vault import Vault, outside

# 定了就不许改：改了，Anki 里就是另一种笔记、另一副牌
MODEL, DECK = 1_764_100_101, 1_764_100_102
_MADE = 1_764_100_000  # 笔记类型的时间：不变，主人改过的样式才留得住
_FIELDS = ("题", "答", "笔记")
_FRONT = "{{题}}"
_BACK = '{{FrontSide}}<hr id="answer">{{答}}<p class="note">{{笔记}}</p>'
_CSS = """.card { font-family: sans-serif; font-size: 18px; line-height: 1.6; text-align: left; }
pre { background: rgba(127, 127, 127, .15); padding: .6em; overflow-x: auto; }
code { font-family: monospace; } table { border-collapse: collapse; }
th, td { border: 1px solid; padding: .2em .6em; } .note { opacity: .6; font-size: 80%; }"""
_NEEDED = "导出到 Anki 要 genanki：python -m pip install genanki==0.13.1，再来一次。"
_OPTIONS = Options.ENABLE_MATH | Options.ENABLE_TABLES | Options.ENABLE_STRIKETHROUGH
_MATH = re.compile(r'<span class="math math-(inline|display)">(.*?)</span>', re.S)
_LINK = re.compile(r'<a href="(?!https?:|mailto:)[^"]*"[^>]*>(.*?)</a>', re.S)
_IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)"[^>]*/>')
# 全角的标点挨着 **：CommonMark 不当它是强调，站点当；先换成不是标点的字，排好再换回来
_WIDE = {
    ord(c): chr(0xE000 + n) for n, c in enumerate("，。：；！？、「」『』（）《》〈〉【】“”‘’…—")
}
_BACKWARD = {ord(new): chr(old) for old, new in _WIDE.items()}
_Known = Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Exported:
    """写了几张，另有几张还没有问过、不在内。"""

    count: int
    unasked: int


def export(vault: Vault, target: Path, moment: datetime) -> Exported:
    """把问过的写进 `target`，换掉上次写的；知识库不动。

    异常：没有装 genanki、一张也没有问过、名字不对、在 docs/ 里，或那里有不是这里写的文件，
    抛 RizhiError；写不成，抛 OSError。什么也没有改动。
    """
    if target.suffix != ".apkg":
        raise RizhiError("Anki 只认 .apkg。换一个名字。", target)
    if target.resolve().is_relative_to(vault.docs):
        raise RizhiError("在 docs/ 里，会被发布出去。换一个文件夹。", target)
    events, _ = log.read(vault)
    matched = cards.match(session.deck(vault), schedule.replay(events))
    found = {n: c for n, c in matched.found.items() if c.kind in (ASKED, PRINTED)}
    if not found:
        raise RizhiError("还没有可导出的：一题也没有问过，问过一次才有编号。先 rizhi review。")
    genanki = _genanki()
    dates = {
        event.fields["card"]: int(event.at.timestamp())
        for event in events
        if event.what in ("born", "match")
    }
    before = _written(target) if target.exists() else {}
    media: dict[str, Path] = {}
    made = []
    for name in sorted(found, key=lambda name: (dates[name], name)):
        guid = genanki.guid_for("rizhi", name)
        fields = [*_sides(vault, found[name], media), html.escape(found[name].note)]
        made.append((guid, fields, _changed(before, guid, fields, dates[name], moment)))
    store.replace(target, _packed(genanki, made, media))
    return Exported(len(found), sum(card.kind in (ASKED, PRINTED) for card in matched.new))


def _genanki() -> Any:
    try:
        import genanki
    except ImportError as error:
        raise RizhiError(_NEEDED) from error
    return genanki


def _changed(before: _Known, guid: str, fields: Iterable[str], born: int, moment: datetime) -> int:
    """内容最后改变的时间：与上一次写的一样就照旧，不一样就是此刻。"""
    if guid not in before:
        return born
    at, old = before[guid]
    return at if old == "\x1f".join(fields) else int(moment.timestamp())


def _written(path: Path) -> dict[str, tuple[int, str]]:
    """上一次写的各条：GUID →（时间，各栏）。

    异常：读不懂，或不是这里写的，抛 RizhiError。
    """
    database = sqlite3.connect(":memory:")
    try:
        with zipfile.ZipFile(path) as package:
            database.deserialize(package.read("collection.anki2"))
        rows = database.execute("select guid, mod, flds, mid from notes").fetchall()
    except (zipfile.BadZipFile, KeyError, sqlite3.Error) as error:
        raise RizhiError("不是这里写的。先移走它，或换一个名字。", path) from error
    finally:
        database.close()
    if any(model != MODEL for *_, model in rows):
        raise RizhiError("不是这里写的。先移走它，或换一个名字。", path)
    return {guid: (at, fields) for guid, at, fields, _ in rows}


def _packed(
    genanki: Any, made: Iterable[tuple[str, list[str], int]], media: Mapping[str, Path]
) -> bytes:
    class Note(genanki.Note):  # type: ignore[misc]  # 没有标注
        """写的是它自己的时间，不是导出的时间。"""

        changed = 0

        def write_to_db(self, cursor: Any, _: float, deck: int, ids: Any) -> None:
            super().write_to_db(cursor, self.changed, deck, ids)

    model = genanki.Model(
        MODEL,
        "日知",
        fields=[{"name": name} for name in _FIELDS],
        templates=[{"name": "题", "qfmt": _FRONT, "afmt": _BACK}],
        css=_CSS,
    )
    deck = genanki.Deck(DECK, "日知")
    for number, (guid, fields, changed) in enumerate(made, 1):
        note = Note(model=model, fields=fields, guid=guid, due=number)
        note.changed = changed
        deck.add_note(note)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in media.items():
            Path(folder, name).write_bytes(path.read_bytes())
        package = genanki.Package(deck, [str(Path(folder, name)) for name in media])
        package.write_to_file(str(Path(folder, "out.apkg")), timestamp=_MADE)
        return Path(folder, "out.apkg").read_bytes()


# ---- 一张卡片的两面 ----


def _sides(vault: Vault, card: Card, media: dict[str, Path]) -> tuple[str, str]:
    if card.kind == PRINTED:
        asked = f"<p>{html.escape(card.prompt)}</p>{_code(card.code)}"
        return asked, _code(card.answer.rstrip("\n"))
    folder = (vault.root / card.where.rpartition(":")[0]).parent
    return _html(card.text, folder, media), _html(card.answer, folder, media)


def _code(text: str) -> str:
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _html(text: str, folder: Path, media: dict[str, Path]) -> str:
    """一段 Markdown 排成 HTML：公式写成 MathJax 的，相对的链接只留文字，图带上文件。"""
    shown = to_html(_escaped(text).translate(_WIDE), options=_OPTIONS).translate(_BACKWARD)
    shown = _MATH.sub(lambda m: rf"\[{m[2]}\]" if m[1] == "display" else rf"\({m[2]}\)", shown)

    def pictured(found: re.Match[str]) -> str:
        name = _media(html.unescape(found[1]), folder, media)
        return f'<img src="{name}" alt="{found[2]}">' if name else found[2]

    return _IMAGE.sub(pictured, _LINK.sub(r"\1", shown)).strip()


def _escaped(text: str) -> str:
    """不许的 HTML 当成字：Anki 会照着执行它。"""
    spans = [s for s in markdown.parse(text).spans if s.kind == "html"]
    # 收尾的标签照开头的判
    bad = [s for s in spans if any(htmlpolicy.judge(text[s.start : s.end].replace("</", "<")))]
    places = {at for s in bad for at in range(s.start, s.end) if text[at] == "<"}
    return markdown.spliced(text, ((at, at + 1, "&lt;") for at in places))


def _media(target: str, folder: Path, media: dict[str, Path]) -> str:
    """一张图在 Anki 里的名字：按内容取，别的牌里也不会重；网上的照旧，没有的、到外面去的是空的。"""
    if target.startswith("https://"):
        return target
    place = resolve(str(folder), target)
    path = Path(place) if place else None
    if path is None or not path.is_file() or outside(path):
        return ""
    name = f"rizhi-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}{path.suffix.lower()}"
    media[name] = path
    return name
