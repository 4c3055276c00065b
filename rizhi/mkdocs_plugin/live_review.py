"""`mkdocs serve` 下的复习：与 `rizhi review` 同一场，一张一张由页面来要。

「复习」页只是一个空壳，题、答案、还记得多少都在请求时算：答一张不动任何一页，也就不重建。
答过哪些由日志说，页面上什么也不必记住：重载、两个标签页、终端里也在答，都接得上。
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from rizhi.errors import RizhiError
from rizhi.mkdocs_plugin.passage import Render
from rizhi.page import Note
from rizhi.recall import grade as grading
from rizhi.recall import log, report, schedule, session
from rizhi.recall.cards import ASKED, CAUGHT, PRINTED, RECITED, SHAPED, Card
from rizhi.recall.log import Event
from rizhi.recall.schedule import State
from rizhi.recall.session import Ask, Session
from rizhi.site import html
from rizhi.vault import Vault, count_setting, fingerprint, moment, today

PAGE = "review/index.md"
SHELL = """---
hide: [navigation, toc, footer]
search:
  exclude: true
---

# 复习

<div class="rz-review">
<p>这里的复习要热加载与 JavaScript；终端里是 <code>rizhi review</code>。</p>
</div>
"""
# 判得了的怎么作答：写几行、写代码、选一格，别的写一行；判不了的看了答案自己评
_INPUTS = {PRINTED: "lines", RECITED: "code", CAUGHT: "choice"}
_TICKS = re.compile("`{3,}")
_SWAP = re.compile("«(.*?) → (.*?)»", re.S)

Answer = dict[str, Any]
Wanted = Mapping[str, Any]


class _Stale(Exception):
    """页面上的这一张已经不是这样了，与为什么。"""


@dataclass(frozen=True, eq=False)
class Built:
    """这一次构建读到的笔记，与怎么把一段 Markdown 排成 HTML。"""

    notes: tuple[Note, ...]
    render: Render


class Review:
    """一次 `mkdocs serve` 里的复习。"""

    def __init__(self, built: Callable[[], Built]) -> None:
        self._built = built
        self._seen: object = None  # 各场由什么排出来：变了就重排
        self._sessions: dict[str, Session] = {}  # 那一篇的，空的是今天的 → 还要答的
        self._given: dict[str, Ask] = {}  # 给过页面的：笔记正问着删了，答得怎样照记

    @property
    def actions(self) -> dict[str, Callable[[Vault, Wanted], Answer]]:
        """能做的事，由动作名找到。"""
        return {
            "review": self.begin,
            "review-state": self.state,
            "review-try": _or_stale(self.attempt),
            "review-show": _or_stale(self.show),
            "review-start": _or_stale(self.start),
            "review-hint": _or_stale(self.hint),
            "review-grade": _or_stale(self.grade),
            "review-undo": _or_stale(self.undo),
            "review-settle": _or_stale(self.settle),
        }

    def begin(self, vault: Vault, wanted: Wanted) -> Answer:
        """今天还要答的各张，没有答案；`note` 只要那一篇的。"""
        self._seen = None  # 题也许在笔记之外变了：重读一遍
        slug, day = self._slug(wanted), today(vault)
        found = self._session(vault, slug)
        self._given |= {_key(ask.card): ask for ask in found.asks}
        faults = [f"{log.NAME}:{f.line} {f.message}。{f.remedy}。" for f in found.faults]
        due = sum(ask.state is not None for ask in found.asks)
        fresh = sum(card.note == slug for card in found.matched.new) if slug else 0
        return {
            "day": str(day),
            "note": self._named(vault, slug) if slug else None,
            "cards": [self._card(vault, ask, day) for ask in found.asks],
            "doubts": [
                self._doubt(vault, found, card, names)
                for card, names in found.matched.doubtful
                if slug in ("", card.note)
            ],
            "later": 0 if slug else max(found.waiting - due, 0),
            "fresh": max(fresh - (len(found.asks) - due), 0),
            "empty": not (found.states or found.asks),
            "problems": faults,
            "missing": report.missing_lines(vault, found),
            **_tally(vault, found, day, slug),
        }

    def state(self, vault: Vault, wanted: Wanted) -> Answer:
        """今天到期几张、做了几张；`note` 那一篇还记得多少。"""
        slug, day = self._slug(wanted), today(vault)
        found = self._session(vault, "")
        due = sum(ask.state is not None for ask in found.asks)
        answer: Answer = {"due": due, "new": len(found.asks) - due, **_tally(vault, found, day, "")}
        return answer | ({"kept": _kept(found, slug, day)} if slug else {})

    def attempt(self, vault: Vault, wanted: Wanted) -> Answer:
        """交一次答案：对了给出答案，错了不给，也不算。"""
        ask = self._ask(vault, wanted)
        verdict = grading.grade(vault, ask.card, _text(wanted, "said"))
        if verdict is None:
            raise RizhiError("这一题看了答案自己评。")
        shown = {"html": self._answer(vault, ask)} if verdict.right else {}
        told = {"right": verdict.right, "lines": verdict.lines, "named": verdict.named}
        return told | shown

    def show(self, vault: Vault, wanted: Wanted) -> Answer:
        """答案。"""
        return {"html": self._answer(vault, self._ask(vault, wanted))}

    def start(self, vault: Vault, wanted: Wanted) -> Answer:
        """默写的起始代码：问到了才读，读不成的不挡别的题。"""
        return {"start": grading.start(vault, self._ask(vault, wanted).card)}

    def hint(self, vault: Vault, wanted: Wanted) -> Answer:
        """第 `number` 步的提示，从 0 起；`more` 是还有没有下一步。"""
        card, number = self._ask(vault, wanted).card, wanted.get("number")
        found = grading.hints(vault, card)
        if type(number) is not int or not 0 <= number < len(found):
            raise RizhiError("没有更多的提示了。")
        shown = self._rendered(vault, _hinted(card, found[number]), card)
        return {"html": shown, "more": number + 1 < len(found)}

    def grade(self, vault: Vault, wanted: Wanted) -> Answer:
        """记下答得怎样；`attempt` 是其间答错的，`events` 是撤回要的，`left` 是还没有答的。"""
        grade, slug, day = wanted.get("grade"), self._slug(wanted), today(vault)
        if type(grade) is not int or not 1 <= grade <= 4:
            raise RizhiError("grade 应是 1 到 4。")
        ask, found = self._ask(vault, wanted), self._session(vault, slug)
        tried = _text(wanted, "attempt") if "attempt" in wanted else ""
        state, events = session.answer(vault, ask, grade, moment(), day, found.latest, tried)
        self._sessions = {slug: _after(found, ask, state, events)}
        self._seen = self._clues(vault)
        gone = self._gone(ask.card)
        return {
            "said": _next(state, day) + gone,
            "read": self._named(vault, ask.card.note) if state.leech and not gone else None,
            "events": [event.id for event in events],
            "left": [_key(one.card) for one in self._sessions[slug].asks],
            **_tally(vault, self._sessions[slug], day, slug),
        }

    def undo(self, vault: Vault, wanted: Wanted) -> Answer:
        """撤回答过的一张：`events` 是答它时写下的行。"""
        ids = wanted.get("events")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise RizhiError("events 应是几行日志的 id。")
        written = [event for event in log.read(vault)[0] if event.id in ids]
        if not written:
            raise _Stale("这一张已经撤回过了。")
        session.take_back(vault, written, moment())
        return {"said": "撤回了，再答一遍。"}

    def settle(self, vault: Vault, wanted: Wanted) -> Answer:
        """说不准的一题有了答案：`same` 是它就是的那一张，null 是一张新的。"""
        day, key, same = today(vault), _text(wanted, "card"), wanted.get("same")
        found = self._session(vault, "")
        pairs = [pair for pair in found.matched.doubtful if _key(pair[0]) == key]
        if not pairs:
            raise _Stale("这一题刚才在别处说过了。")
        ((card, names),) = pairs
        if same is not None and same not in names:
            raise RizhiError("same 应是它可能是的一张。")
        session.settle_doubt(vault, card, same, moment(), day, found.latest)
        return {"said": "记下了：是同一题，接着原来的历史。" if same else "记下了：是一道新题。"}

    # ---- 题 ----

    def _session(self, vault: Vault, slug: str) -> Session:
        """还要答的；笔记、日志、日子都没有变，就是上一次排的。"""
        clues = self._clues(vault)
        if self._seen != clues:
            self._seen, self._sessions = clues, {}
        if slug not in self._sessions:
            notes = self._built().notes
            self._sessions[slug] = session.begin(vault, today(vault), note=slug, notes=notes)
        return self._sessions[slug]

    def _clues(self, vault: Vault) -> tuple[object, ...]:
        return self._built(), fingerprint(log.path(vault)), today(vault)

    def _ask(self, vault: Vault, wanted: Wanted) -> Ask:
        """页面说的那一张。

        异常：今天答过了，抛 _Stale；没有给过这一张，抛 RizhiError。
        """
        key, found = _text(wanted, "card"), self._session(vault, self._slug(wanted))
        asked = {_key(ask.card): ask for ask in found.asks}
        if key in asked:
            return asked[key]
        if any(_key(card) == key for card in (*found.matched.found.values(), *found.matched.new)):
            raise _Stale("这一张刚才在别处答过了。")
        if key not in self._given:
            raise RizhiError("没有这一张：刷新这一页再来。")
        return self._given[key]

    def _card(self, vault: Vault, ask: Ask, day: date) -> Answer:
        card, judged = ask.card, grading.judged(ask.card)
        return {
            "key": _key(card),
            "kind": card.kind,
            "note": self._named(vault, card.note),
            "html": self._rendered(vault, _question(card), card),
            "input": _INPUTS.get(card.kind, "line") if judged else "",
            "choices": card.choices,
            "rows": len(card.answer.strip().splitlines()),
            "new": ask.state is None,
            "changed": report.changed_lines(ask),
            # 默写的要读源码与日志，问到了才读
            "hints": card.kind == RECITED or bool(grading.hints(vault, card)),
            "days": _outlook(ask, day),
        }

    def _doubt(self, vault: Vault, found: Session, card: Card, names: Sequence[str]) -> Answer:
        olds = [
            {"id": name, "html": self._rendered(vault, _plain(card, found.states[name].text), card)}
            for name in names
        ]
        return {
            "key": _key(card),
            "kind": card.kind,
            "note": self._named(vault, card.note),
            "html": self._rendered(vault, _plain(card, card.text), card),
            "olds": olds,
        }

    def _answer(self, vault: Vault, ask: Ask) -> str:
        """答案；它的代码改过的，再给改在哪里。"""
        changes = [
            f"`{one.symbol}` 改在：\n\n{_fenced(chr(10).join(one.diff), 'diff')}"
            for one in ask.changed
        ]
        text = "\n\n".join([_answer(ask.card), *changes])
        return self._rendered(vault, text, ask.card)

    def _rendered(self, vault: Vault, text: str, card: Card) -> str:
        uris = [_uri(vault, note) for note in self._built().notes if note.slug == card.note]
        return self._built().render(text, uris[0] if uris else "notes/index.md")

    def _gone(self, card: Card) -> str:
        """笔记不在了，说一句。"""
        if any(note.slug == card.note for note in self._built().notes):
            return ""
        return f"笔记 {card.note} 已经不在了；答得怎样照记，它回来时历史都在。"

    def _slug(self, wanted: Wanted) -> str:
        slug = wanted.get("note")
        return self._note(slug).slug if slug else ""

    def _note(self, slug: object) -> Note:
        found = [note for note in self._built().notes if note.slug == slug]
        if not found:
            raise RizhiError(f"没有笔记 {slug}：名字写对，或打开 /review/ 复习全部。")
        return found[0]

    def _named(self, vault: Vault, slug: str) -> Answer:
        note = self._note(slug)
        return {"slug": slug, "title": note.title, "url": html.href(PAGE, _uri(vault, note))}


def _or_stale(
    act: Callable[[Vault, Wanted], Answer],
) -> Callable[[Vault, Wanted], Answer]:
    def action(vault: Vault, wanted: Wanted) -> Answer:
        try:
            return act(vault, wanted)
        except _Stale as stale:
            return {"stale": str(stale)}

    return action


def _key(card: Card) -> str:
    """页面上怎么称呼一题：头一次问的还没有编号，所以按字。"""
    return sha256("\0".join((card.kind, card.note, card.text)).encode()).hexdigest()[:16]


def _uri(vault: Vault, note: Note) -> str:
    return note.path.relative_to(vault.docs).as_posix()


def _plain(card: Card, text: str) -> str:
    """认出一题的字：自测是一句 Markdown，别的头一行之后是代码。"""
    first, _, rest = text.partition("\n")
    code = card.kind != ASKED and rest.strip()
    return "\n\n".join(filter(None, (first, _fenced(rest, "python")))) if code else text


def _question(card: Card) -> str:
    if card.kind == RECITED:
        _, _, about = card.text.partition("\n")
        return "\n\n".join(filter(None, (f"写出 `{card.symbol}`。", about)))
    if card.kind == CAUGHT:
        return _broken(card)
    code = _fenced(card.code, "python") if card.code else ""
    return "\n\n".join(filter(None, (card.prompt, code))) or card.text


def _broken(card: Card) -> str:
    """改坏的一处排成改动：原来的一行、改成的一行。"""
    told = card.text.partition("\n")[2].partition("\n哪个检验会红")[0].strip()
    old = [f"- {line}" for line in _swapped(told, 1).removeprefix("去掉 ").splitlines()]
    new = [f"+ {line}" for line in _swapped(told, 2).splitlines()] if "«" in told else []
    diff = _fenced("\n".join([*old, *new]), "diff")
    return f"`{card.symbol}` 改坏一处：\n\n{diff}\n哪个检验会红？"


def _swapped(told: str, side: int) -> str:
    """`«旧 → 新»` 只留一边；两个词碰到一起的，隔一格。"""
    pieces = _SWAP.split(told)
    kept = [piece for at, piece in enumerate(pieces) if at % 3 in (0, side)]
    return re.sub(r"(?<=\w)\0(?=\w)", " ", "\0".join(filter(None, kept))).replace("\0", "")


def _hinted(card: Card, hint: str) -> str:
    """一步提示：自测的是 Markdown，别的是说到冒号的一句与代码。"""
    if card.kind == RECITED:
        said, _, code = hint.partition("：")
        if said == "用到的名字":
            return f"{said}：{'、'.join(f'`{name}`' for name in code.split('、'))}"
        return f"{said}：\n\n{_fenced(code, 'python')}"
    if card.kind == PRINTED:
        return _fenced(hint, "text")
    return hint


def _answer(card: Card) -> str:
    """答案，与答过再给看的：那一格、那一句的代码排成代码。"""
    source = card.after if card.kind == SHAPED else card.text.partition("\n")[2]
    told = card.after.removesuffix(source) if source else card.after
    again = told == card.after or source == card.code  # 题面上已经一字不差地给过的不再给
    code = "" if again else _fenced(source, "python")
    return "\n\n".join(filter(None, (_shown(card), told.strip(), code)))


def _shown(card: Card) -> str:
    if card.kind == RECITED:
        return _fenced(card.answer, "python")
    if card.kind == SHAPED:
        return f"`{card.answer}`"
    if card.kind == CAUGHT:
        return f"「{card.answer}」会红。"
    return _fenced(card.answer, "text") if card.kind == PRINTED else card.answer


def _fenced(text: str, language: str) -> str:
    ticks = "`" * max(3, *(len(run) + 1 for run in _TICKS.findall(text)), 3)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def _text(wanted: Wanted, name: str) -> str:
    text = wanted.get(name)
    if not isinstance(text, str):
        raise RizhiError(f"{name} 应是一段文字。")
    return text


def _next(state: State, day: date) -> str:
    if state.leech:
        return "这一张老是忘，先不问了，去读一遍。"
    days = (state.due - day).days
    return f"{'明天' if days == 1 else f'{days} 天后'}再问。"


def _outlook(ask: Ask, day: date) -> tuple[int, ...]:
    """四种答法各是几天后再问；0 是忘得太多，先不问了。"""
    before = ask.state or _unborn(ask.card, day)
    after = [schedule.after(before, grade, day) for grade in (1, 2, 3, 4)]
    return tuple(0 if state.leech else (state.due - day).days for state in after)


def _unborn(card: Card, day: date) -> State:
    """头一次问之前的状态。"""
    told = {"card": "", "note": card.note, "kind": card.kind, "text": card.text}
    return schedule.replay([log.event("born", schedule.noon(day), day=str(day), **told)])[""]


def _after(found: Session, ask: Ask, state: State, events: Sequence[Event]) -> Session:
    """答过这一张之后的一场：不必再读一遍日志与笔记。"""
    matched = replace(
        found.matched,
        found={**found.matched.found, state.card: ask.card},
        new=tuple(card for card in found.matched.new if card is not ask.card),
    )
    return replace(
        found,
        asks=tuple(one for one in found.asks if one is not ask),
        states={**found.states, state.card: state},
        matched=matched,
        latest=max(event.at for event in events),
    )


def _tally(vault: Vault, found: Session, day: date, slug: str) -> Answer:
    """今天答了几张、忘了几张，明天要答几张；`slug` 只数那一篇的。"""
    done = [s for s in found.states.values() if s.last == day and slug in ("", s.note)]
    here = {name: found.states[name] for name in found.matched.found}
    most = count_setting(vault, "reviews")
    coming, _ = schedule.share(here, day + timedelta(days=1), most, 0)
    forgot = sum(state.run > 0 for state in done)
    return {"done": len(done), "forgot": forgot, "tomorrow": len(coming)}


def _kept(found: Session, slug: str, day: date) -> Answer:
    """一篇有几题、问过几题，还记得的占几成：没有问过的算不记得。"""
    matched = found.matched
    known = [found.states[name] for name, c in matched.found.items() if c.note == slug]
    asked = [state for state in known if state.last is not None]
    cards = len(known) + sum(card.note == slug for card in matched.new)
    kept = sum(schedule.retrievability(state, day) for state in asked) / cards if cards else 0.0
    return {"cards": cards, "asked": len(asked), "kept": round(kept, 3)}
