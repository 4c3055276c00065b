"""终端里的一场复习：一张接一张，他打什么，就说什么、记什么；打印与读键由命令做。

每个函数是一段对话：给出 `Want`，等送回他打的。答一张记一张，所以停在哪里都不丢。
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date, datetime

from rizhi.errors import RizhiError
from rizhi.recall import grade, log, report, session
from rizhi.recall.cards import PRINTED, RECITED, Card
from rizhi.recall.log import Event
from rizhi.recall.session import Ask, Session
from rizhi.vault import Vault, markdown_files

ENTER = "\r\n"
_BACK = "s 跳过  u 撤回上一张  q 结束"
_GRADES = "1 忘了  2 吃力  3 记得  4 容易"


class Stopped(Exception):
    """不是错：他按了 Ctrl-C，或输入断了。"""


@dataclass(frozen=True)
class Want:
    """等他打的：先给看 `lines` 与 `words`。

    `keys` 不空等其中一个键，`draft` 不是 None 等编辑器，否则等一行；`last` 是都答完了，停下也好。
    """

    lines: tuple[str, ...]
    words: str = ""
    keys: str = ""
    draft: str | None = None
    last: bool = False


@dataclass(frozen=True)
class Reply:
    """一张答成了什么：`key` 是 1–4，或 s、u、q；`attempt` 是其间答错的。"""

    key: str
    attempt: str = ""


Begin = Callable[[], Session]
Clock = Callable[[], tuple[datetime, date]]
Asking = Generator[Want, str, Reply]


@dataclass
class _Course:
    """这一场走到了哪里；`said` 是还没有给他看的几行。"""

    vault: Vault
    clock: Clock
    asks: tuple[Ask, ...] = ()
    at: int = 0
    latest: datetime | None = None
    size: int = 0  # 日志该有多大：不一样，就是别处也在答
    written: list[tuple[int, list[Event]]] = field(default_factory=list)
    grades: dict[int, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def want(
        self, words: str = "", keys: str = "", draft: str | None = None, last: bool = False
    ) -> Want:
        lines, self.said = tuple(self.said), []
        return Want(lines, words, keys, draft, last)


def review(
    vault: Vault, begin: Begin, clock: Clock, most: int | None = None
) -> Generator[Want, str, tuple[str, ...]]:
    """从头到尾的一场，至多 `most` 张；返回最后要说的几行。停下（抛进 Stopped）也说做到了哪里。

    异常：时钟拨回了，抛 RizhiError；日志写不成，抛 OSError。答过的都已记下。
    """
    course = _Course(vault, clock)
    try:
        found = begin()
        if most is None and found.asks:  # 写了半天才说记不下，就晚了
            session.check_clock(course.clock()[0], found.latest)
        if most is None and (yield from _settle_doubts(course, found)):
            found = begin()
        course.asks, course.latest, course.size = found.asks[:most], found.latest, _size(vault)
        course.said += (
            [*report.session_lines(found), *report.missing_lines(vault, found)]
            if most is None
            else ()
        )
        if not course.asks:
            return tuple(course.said)
        while (yield from _each(course)) and course.written:
            _sum_up(course)
            if (yield course.want("u 撤回最后一张  回车结束", f"{ENTER}uqs", last=True)) != "u":
                return ()
            _take_back(course)
        _sum_up(course)
    except Stopped:
        if course.at < len(course.asks) or not course.asks:
            _sum_up(course)
            place = f"第 {course.at + 1} 张（共 {len(course.asks)} 张）" if course.asks else "这里"
            kept = "答过的都记下了，" if course.grades or not course.asks else ""
            course.said.append(f"停在{place}；{kept}再来就从这里接着。")
    return tuple(course.said)


def _each(course: _Course) -> Generator[Want, str, bool]:
    """从 `at` 起一张一张地问；问完了是 True，他不想问了是 False。"""
    while course.at < len(course.asks):
        ask = course.asks[course.at]
        head = f"\n[{course.at + 1}/{len(course.asks)}] {ask.card.note} · {ask.card.kind}"
        course.said += [head, *report.changed_lines(ask), ask.card.face]
        reply = yield from (_typed if grade.judged(ask.card) else _recalled)(course, ask.card)
        if reply.key == "q":
            return False
        if reply.key == "u":
            _take_back(course)
            continue
        if reply.key != "s":
            _record(course, ask, reply)
        course.at += 1
    return True


# ---- 一张 ----


def _recalled(course: _Course, card: Card) -> Asking:
    """自己评的：先想，再看答案，再说答得怎样。"""
    hints = list(grade.hints(course.vault, card))
    while True:
        key = yield course.want(f"回车看答案  h 提示  {_BACK}", f"{ENTER}hgsuq")
        if key == "h":
            course.said.append(hints.pop(0) if hints else "没有更多的提示了。")
        elif key in "suq":
            return Reply(key)
        else:
            break
    _reveal(course, card)
    return Reply((yield course.want(f"{_GRADES}  {_BACK}", "1234suq")))


def _typed(course: _Course, card: Card) -> Asking:
    """判得了的：答错不算，直到放弃；答对了，由提示与次数给一个默认的评分。"""
    try:
        hints, draft = list(grade.hints(course.vault, card)), grade.start(course.vault, card)
    except RizhiError as error:
        course.said.append(f"问不了：{error.within(course.vault.root)}")
        return Reply("s")
    tries, helped = list[str](), False
    typed: list[str] = []  # 看提示之前打了的几行
    how = "一行一行打，再空着回车就是写完；" if card.kind == RECITED else ""
    course.said += [*filter(None, [draft]), f"{how}空着回车看答案  h 提示  e 打开编辑器  {_BACK}"]
    while True:
        said = yield from _lines(course, card, typed)
        if said in ("s", "u", "q"):
            return Reply(said, _attempt(tries))
        if said in ("", "g"):
            _reveal(course, card)
            return Reply("1", _attempt(tries))
        if said == "h":
            course.said.append(hints.pop(0) if hints else "没有更多的提示了；空着回车看答案。")
            helped = True
            continue
        begun, typed = "\n".join(typed), []
        if said == "e":
            said = (yield course.want(draft=begun or (tries[-1] if tries else draft))).strip("\n")
            if not said.strip():
                course.said.append("编辑器里没有存下答案。")
                continue
        right = _right(course, card, said)
        if right is None:
            continue
        if right:
            break
        tries.append(said)
        course.said.append("再想想；空着回车看答案。")
    if card.after:
        course.said.append(f"\n{card.after}")
    default = "2" if helped or tries else "3"
    key = yield course.want(f"{_GRADES}  回车就是 {default}  {_BACK}", f"{ENTER}1234suq")
    return Reply(default if key in ENTER else key, _attempt(tries))


def _lines(course: _Course, card: Card, got: list[str]) -> Generator[Want, str, str]:
    """打的几行，或一个键；该有几行就读几行，空行提前结束；接在 `got` 后面，按了键也留在里面。"""
    wanted = card.answer.strip().splitlines()
    count = len(wanted) if card.kind == PRINTED else 1
    while line := (yield course.want(_place(card, len(got), count))):
        printed = count > 1 and line == wanted[len(got)].strip()  # 真打印了这个字母
        if line in ("h", "e", "g", "s", "u", "q") and not printed:
            return line
        got.append(line)
        if len(got) == count and card.kind != RECITED:
            break
    return "\n".join(got)


def _place(card: Card, got: int, count: int) -> str:
    """已经打了 `got` 行，再打第几行。"""
    if not got:
        return ""
    ends = "空着回车就是写完" if card.kind == RECITED else f"共 {count} 行"
    return f"第 {got + 1} 行，{ends}"


def _right(course: _Course, card: Card, said: str) -> bool | None:
    """判不了的是 None，不算答错。"""
    try:
        verdict = grade.grade(course.vault, card, said)
    except RizhiError as error:
        course.said.append(f"判不了：{error.within(course.vault.root)}")
        return None
    course.said += verdict.lines if verdict else ()
    return verdict is not None and verdict.right


def _attempt(tries: list[str]) -> str:
    return "\n\n".join(tries)


def _reveal(course: _Course, card: Card) -> None:
    course.said += [card.answer.rstrip("\n"), *([f"\n{card.after}"] if card.after else [])]


# ---- 记下与撤回 ----


def _record(course: _Course, ask: Ask, reply: Reply) -> None:
    vault, (moment, today) = course.vault, course.clock()
    if _size(vault) != course.size and session.answered(vault, ask, today):
        course.size = _size(vault)
        course.said.append("这一张今天在别处答过了，没有再记。")
        return
    state, events = session.answer(
        vault, ask, int(reply.key), moment, today, course.latest, reply.attempt
    )
    course.latest, course.size = max(event.at for event in events), _size(vault)
    course.written.append((course.at, events))
    course.grades[course.at] = reply.key
    course.said += report.diff_lines(ask)
    place = ask.card.where.rpartition(":")[0]
    if not (vault.root / place).exists():
        course.said.append(f"{place} 已经不在了；答得怎样照记，它回来时历史都在。")
    if state.leech:
        course.said.append(f"这一张老是忘，先不问了。去读一遍：{_reading(vault, ask.card)}")
        course.said.append(f"读过了就叫醒它：rizhi review --wake {state.card}")
    else:
        course.said.append(f"{(state.due - today).days} 天后再问（{state.due}）。")


def _take_back(course: _Course) -> None:
    if not course.written:
        course.said.append("这一次还没有答过，没有可撤的。")
        return
    course.at, events = course.written.pop()
    session.take_back(course.vault, events, course.clock()[0])
    course.grades.pop(course.at, None)
    course.size = _size(course.vault)
    course.said.append("撤回了，再答一遍。")


def _reading(vault: Vault, card: Card) -> str:
    """去读哪里：题就在笔记里的，说那一行；不在的，先说笔记。"""
    notes = (path for path, _ in markdown_files(vault.notes) if path.stem == card.note)
    note = next(map(vault.relative, notes), "")
    return card.where if not note or card.where.startswith(note) else f"{note}（题在 {card.where}）"


def _sum_up(course: _Course) -> None:
    forgot = sum(key == "1" for key in course.grades.values())
    lost = f"，忘了 {forgot} 张" if course.grades else ""
    course.said.append(f"\n答了 {len(course.grades)} 张{lost}。")


def _size(vault: Vault) -> int:
    path = log.path(vault)
    return path.stat().st_size if path.exists() else 0


# ---- 说不准是不是同一题 ----


def _settle_doubts(course: _Course, found: Session) -> Generator[Want, str, bool]:
    """说不准的逐条问，答了就记下；返回有没有记。以后再说的，下次还问，一张也不丢。"""
    taken: set[str] = set()
    settled = False
    for card, names in found.matched.doubtful:
        open_names = [name for name in names if name not in taken]
        key = ""
        for name in open_names:
            course.said += [
                f"\n{card.where}：这一题像是改过的。",
                f"  原来：{found.states[name].text}",
                f"  现在：{card.text}",
            ]
            key = yield course.want("是同一题吗？y 是  n 不是  l 以后再说", "ynl")
            if key != "n":
                break
        if key == "l":
            continue
        same = name if key == "y" else None
        moment, today = course.clock()
        session.settle_doubt(course.vault, card, same, moment, today, found.latest)
        taken |= {same} if same else set()
        settled = True
    return settled
