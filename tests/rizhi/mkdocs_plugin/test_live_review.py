"""「复习」页的各个动作：与 `rizhi review` 同一场，答案不先说出来，什么也不丢。"""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rizhi import cli
from rizhi.errors import RizhiError
from rizhi.mkdocs_plugin import live_review
from rizhi.mkdocs_plugin.live_review import Built, Review
from rizhi.page import read_notes
from rizhi.recall import changed, drills, log, schedule, session
from rizhi.recall.cards import ASKED, CAUGHT, PRINTED, RECITED, Card, Verdict
from rizhi.recall.schedule import State
from rizhi.vault import Vault, today
from tests.conftest import Site

NOTE = "---\ntitle: {title}\n---\n\n# {title}\n\n## 自测\n\n{asked}"
ASK = '??? question "{}"\n    {}\n\n'


def _write(vault: Vault, slug: str, *asked: tuple[str, str]) -> Path:
    path = vault.notes / f"model/{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(ASK.format(*one) for one in asked)
    path.write_text(NOTE.format(title=f"笔记 {slug}", asked=text), "utf-8")
    return path


class Page:
    """一个标签页：说的话与浏览器说的一样。"""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.rebuild()
        self.review = Review(lambda: self.built)

    def rebuild(self) -> None:
        notes = tuple(read_notes(self.vault))
        self.built = Built(notes, lambda text, uri: f"<p>{text}</p><!-- {uri} -->")

    def __call__(self, action: str, **wanted: Any) -> dict[str, Any]:
        answer = self.review.actions[action](self.vault, wanted)
        return json.loads(json.dumps(answer))

    @property
    def first(self) -> str:
        return str(self("review")["cards"][0]["key"])


@pytest.fixture
def page(vault: Vault) -> Iterator[Page]:
    _write(vault, "rope", ("转谁？", "q 与 k。"), ("v 呢？", "不转。"))
    _write(vault, "mask", ("True 是什么？", "看得见。"))
    yield Page(vault)


def _bytes(vault: Vault) -> bytes:
    path = log.path(vault)
    return path.read_bytes() if path.exists() else b""


def _states(vault: Vault) -> dict[str, schedule.State]:
    return schedule.replay(log.read(vault)[0])


def test_the_page_asks_what_the_command_asks_without_the_answers(page: Page) -> None:
    run = CliRunner().invoke(cli.main, ["--root", str(page.vault.root), "review", "--json"])
    wanted = [(one["note"], one["kind"], one["text"]) for one in json.loads(run.output)["cards"]]
    found = page("review")
    asked = [
        (c["note"]["slug"], c["kind"], c["html"][3:].partition("<")[0]) for c in found["cards"]
    ]
    assert asked == wanted and len(asked) == 3
    assert "看得见" not in json.dumps(found, ensure_ascii=False) and _bytes(page.vault) == b""
    assert found["cards"][0]["note"]["url"] == "../notes/model/mask.html"
    assert page("review-show", card=page.first)["html"].startswith("<p>看得见。</p>")


@pytest.mark.parametrize("grade", [1, 2, 3, 4])
def test_a_grade_is_written_as_the_command_writes_it_and_the_button_told_when(
    page: Page, grade: int
) -> None:
    card = page("review")["cards"][0]
    answer = page("review-grade", card=card["key"], grade=grade)
    events = {event.what: event.fields for event in log.read(page.vault)[0]}
    assert (events["born"]["text"], events["born"]["kind"]) == ("True 是什么？", ASKED)
    assert events.keys() == {"born", "review"} and events["review"]["grade"] == grade
    (state,) = _states(page.vault).values()
    days = (state.due - today(page.vault)).days
    assert days == card["days"][grade - 1]
    assert answer["said"] == ("明天再问。" if days == 1 else f"{days} 天后再问。")
    assert (answer["done"], answer["forgot"], answer["tomorrow"]) == (1, grade == 1, days == 1)
    assert [c["key"] for c in page("review")["cards"]].count(card["key"]) == 0


def test_an_undo_asks_again_and_is_done_once(page: Page) -> None:
    before = page("review")["cards"]
    answer = page("review-grade", card=before[0]["key"], grade=1)
    assert page("review-undo", events=answer["events"])["said"] == "撤回了，再答一遍。"
    assert page("review")["cards"] == before and page("review")["done"] == 0
    written = _bytes(page.vault)
    assert page("review-undo", events=answer["events"]) == {"stale": "这一张已经撤回过了。"}
    assert _bytes(page.vault) == written and len(log.read(page.vault)[0]) == 0


def test_a_wrong_answer_gives_nothing_away_and_costs_nothing(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = Card("rope", PRINTED, "两行\nprint(1)\nprint(2.0)", "1\n2.0\n", "x:1",
                   prompt="它会打印什么？", code="print(1)",
                   after="两行\n\n有 **两** 行。\n\nprint(1)\nprint(2.0)", judged=True)  # fmt: skip
    monkeypatch.setattr(session, "deck", lambda *_: [printed])
    (card,) = page("review")["cards"]
    assert (card["input"], card["rows"]) == ("lines", 2) and "print(1)" in card["html"]
    wrong = page("review-try", card=card["key"], said="1\n3.0")
    assert not wrong["right"] and "html" not in wrong and _bytes(page.vault) == b""
    right = page("review-try", card=card["key"], said="1\n2.0\n\n")
    assert right["right"] and "```text\n1\n2.0\n```" in right["html"]
    assert "有 **两** 行。\n\n```python\nprint(1)\nprint(2.0)\n```" in right["html"]
    page("review-grade", card=card["key"], grade=2, attempt="1\n3.0")
    (review,) = [event for event in log.read(page.vault)[0] if event.what == "review"]
    assert review.fields["attempt"] == "1\n3.0"


def test_what_changed_in_the_code_is_told_before_and_shown_after(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page("review-grade", card=page.first, grade=3)
    (name,) = _states(page.vault)
    moved = changed.Changed("llm.model:mask", ("-return a", "+return b"))
    monkeypatch.setattr(changed, "find", lambda *_: {name: (moved,)})
    monkeypatch.setattr(live_review, "today", lambda _: date(2100, 1, 1))
    card = page("review")["cards"][0]
    assert card["changed"] == ["llm.model:mask 改了，答完看改在哪里。"]
    assert "return" not in json.dumps(card)
    shown = page("review-show", card=card["key"])["html"]
    assert "`llm.model:mask` 改在：\n\n```diff\n-return a\n+return b\n```" in shown


def test_a_function_is_written_from_its_start_and_a_known_bug_is_named(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    recited = Card("rope", RECITED, "llm.a:f\n加倍。", "def f(x): return 2 * x\n", "x:1", "llm.a:f")
    monkeypatch.setattr(session, "deck", lambda *_: [recited])
    monkeypatch.setattr(drills, "start", lambda *_: "def f(x): ...")
    monkeypatch.setattr(drills, "hints", lambda *_: ("用到的名字：F.pad、.view", "第一行：a = 1"))
    told = Verdict(False, ("不对：差。", "与写成「+」的症状一样。"), "与写成「+」的症状一样。")
    monkeypatch.setattr(drills, "grade", lambda *_: told)
    (card,) = page("review")["cards"]
    key = card["key"]
    assert card["input"] == "code" and card["hints"] and "2 * x" not in json.dumps(card)
    assert card["html"].startswith("<p>写出 `llm.a:f`。\n\n加倍。")
    assert page("review-start", card=key) == {"start": "def f(x): ..."}
    assert "`F.pad`、`.view`" in page("review-hint", card=key, number=0)["html"]
    assert "第一行：\n\n```python\na = 1" in page("review-hint", card=key, number=1)["html"]
    answer = page("review-try", card=key, said="def f(x): return x")
    assert answer == {"right": False, "lines": list(told.lines), "named": told.named}


@pytest.mark.parametrize(
    ("text", "diff"),
    [
        ("a «* → /» b", "- a * b\n+ a / b"),
        ("« → not»manual or x", "- manual or x\n+ not manual or x"),
        ("wide = x«.float() → »", "- wide = x.float()\n+ wide = x"),
        ("去掉 q = norm(q)", "- q = norm(q)"),
    ],
)
def test_which_check_catches_it_shows_the_change_and_is_chosen(
    page: Page, monkeypatch: pytest.MonkeyPatch, text: str, diff: str
) -> None:
    asked = f"llm.a:f 改坏一处：\n    {text}\n哪个检验会红？\n1. 检验 a\n2. 检验 b"
    caught = Card("rope", CAUGHT, asked, "检验 b", "x:1", "llm.a:f")
    monkeypatch.setattr(session, "deck", lambda *_: [caught])
    (card,) = page("review")["cards"]
    assert (card["input"], card["choices"]) == ("choice", ["检验 a", "检验 b"])
    assert f"```diff\n{diff}\n```" in card["html"] and "检验 b" not in card["html"]
    assert not page("review-try", card=card["key"], said="1")["right"]
    right = page("review-try", card=card["key"], said="2")
    assert right["right"] and "「检验 b」会红。" in right["html"]


@pytest.mark.parametrize("same", [True, False])
def test_in_doubt_the_page_asks_and_what_is_said_is_kept(page: Page, same: bool) -> None:
    whole = "转的是谁，为什么 v 不转，为什么 k 要转？"
    _write(page.vault, "rope", (whole, "答"))
    page.rebuild()
    key = page("review", note="rope")["cards"][0]["key"]
    page("review-grade", card=key, grade=3)
    halves = ("转的是谁，为什么 v 不转？", "里为什么 v 不转，为什么 k 要转？")
    _write(page.vault, "rope", *((half, "答") for half in halves))
    page.rebuild()
    first, second = page("review")["doubts"]
    (old,) = first["olds"]
    assert whole in old["html"] and halves[0] in first["html"]
    assert page("review", note="mask")["doubts"] == []
    with pytest.raises(RizhiError, match="same 应是"):
        page("review-settle", card=first["key"], same="没有")
    said = page("review-settle", card=first["key"], same=old["id"] if same else None)["said"]
    assert said.startswith("记下了：是同一题" if same else "记下了：是一道新题")
    assert "刚才在别处说过" in page("review-settle", card=first["key"], same=None)["stale"]
    states = {state.text: state.reviews for state in _states(page.vault).values()}
    assert states[halves[0]] == (1 if same else 0)
    assert second["key"] not in [doubt["key"] for doubt in page("review")["doubts"]]


def test_a_long_note_gives_its_new_ones_a_few_a_day(page: Page) -> None:
    _write(page.vault, "rope", *((f"{n} 乘以 {n} 等于几？", "答") for n in range(8)))
    page.rebuild()
    for left in range(5, 0, -1):
        found = page("review", note="rope")
        assert (len(found["cards"]), found["fresh"]) == (left, 3)
        page("review-grade", card=found["cards"][0]["key"], grade=3, note="rope")
    assert page("review", note="rope")["cards"] == []
    assert page("review", note="mask")["cards"]  # 别的一篇不受它妨碍


def test_drills_not_made_yet_are_told_and_hold_nothing_up(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = page("review")
    assert len(found["cards"]) == 3 and "rizhi drills" in found["missing"][0]
    recited = Card("rope", RECITED, "llm.a:f", "def f(): ...\n", "x:1", "llm.a:f")
    monkeypatch.setattr(session, "deck", lambda *_: [recited])
    assert page("review")["missing"] == []


def test_a_card_answered_elsewhere_is_not_answered_twice(page: Page) -> None:
    other = Page(page.vault)
    key = page.first
    assert other("review")["cards"][0]["key"] == key
    page("review-grade", card=key, grade=3)
    written = _bytes(page.vault)
    assert "别处答过了" in other("review-grade", card=key, grade=1)["stale"]
    assert _bytes(page.vault) == written
    _, third = (card["key"] for card in other("review")["cards"])
    assert other("review-grade", card=other.first, grade=3)["left"] == [third]
    assert page("review")["done"] == 2
    assert page("review-grade", card=third, grade=3)["left"] == []


def test_a_note_deleted_while_it_is_asked(page: Page) -> None:
    first, gone, kept = (card["key"] for card in page("review")["cards"])
    _write(page.vault, "rope", ("v 呢？", "不转。"))
    (page.vault.notes / "model/mask.md").unlink()
    page.rebuild()
    assert "看得见" in page("review-show", card=first)["html"]
    answer = page("review-grade", card=first, grade=3)
    assert "笔记 mask 已经不在了；答得怎样照记" in answer["said"] and answer["done"] == 1
    assert "不在了" not in page("review-grade", card=gone, grade=3)["said"]
    assert [card["key"] for card in page("review")["cards"]] == [kept]
    with pytest.raises(RizhiError, match="没有笔记 mask"):
        page("review", note="mask")
    _write(page.vault, "mask", ("True 是什么？", "看得见。"))
    page.rebuild()
    assert [card["key"] for card in page("review")["cards"]] == [kept]  # 回来了，历史都在


def test_a_leech_whose_note_is_gone_is_written_and_said(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(State, "leech", property(lambda state: True))
    first = page("review")["cards"][0]["key"]
    (page.vault.notes / "model/mask.md").unlink()
    page.rebuild()
    answer = page("review-grade", card=first, grade=1)
    assert "笔记 mask 已经不在了" in answer["said"] and answer["read"] is None


def test_a_clock_set_back_is_refused_with_both_times(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page("review-grade", card=page.first, grade=3)
    written = _bytes(page.vault)
    back = datetime.now().astimezone() - timedelta(hours=1)
    monkeypatch.setattr(live_review, "moment", lambda: back)
    with pytest.raises(RizhiError, match=f"{back:%H:%M:%S}"):
        page("review-grade", card=page.first, grade=3)
    assert _bytes(page.vault) == written


def test_a_damaged_line_is_named_and_the_rest_goes_on(page: Page) -> None:
    page("review-grade", card=page.first, grade=3)
    with log.path(page.vault).open("ab") as file:
        file.write(b'{"id": 1\n\xff\xfe\n')
    found = page("review")
    assert [line.partition(" ")[0] for line in found["problems"]] == [
        "reviews.jsonl:3",
        "reviews.jsonl:4",
    ]
    page("review-grade", card=page.first, grade=3)
    assert page("review")["done"] == 2 and b"\xff\xfe\n" in _bytes(page.vault)


def test_one_note_alone_and_how_much_of_it_is_kept(page: Page) -> None:
    assert page("review-state", note="rope")["kept"] == {"cards": 2, "asked": 0, "kept": 0.0}
    found = page("review", note="rope")
    assert found["note"]["title"] == "笔记 rope" and len(found["cards"]) == 2
    key = found["cards"][0]["key"]
    answer = page("review-grade", card=key, grade=3, note="rope")
    assert answer["done"] == 1
    state = page("review-state", note="rope")
    assert state["kept"] == {"cards": 2, "asked": 1, "kept": 0.5}
    assert (state["due"], state["new"], state["done"]) == (0, 2, 1)
    assert "kept" not in page("review-state")


def test_when_all_is_done_and_when_there_is_nothing(vault: Vault) -> None:
    page = Page(vault)
    found = page("review")
    assert found["empty"] and found["cards"] == []
    _write(vault, "mask", ("True 是什么？", "看得见。"))
    page.rebuild()
    page("review-grade", card=page.first, grade=1)
    found = page("review")
    assert (found["empty"], found["cards"], found["done"]) == (False, [], 1)
    assert (found["forgot"], found["tomorrow"]) == (1, 1)


def test_a_card_forgotten_too_often_sends_to_its_note(page: Page) -> None:
    day = today(page.vault)
    ask = next(a for a in session.begin(page.vault, day).asks if a.card.note == "mask")
    for ago in (3, 2):
        when = datetime.combine(day - timedelta(days=ago), datetime.min.time()).astimezone()
        state, _ = session.answer(page.vault, ask, 1, when, when.date(), None)
        ask = session.Ask(ask.card, state)
    card = next(c for c in page("review")["cards"] if c["note"]["slug"] == "mask")
    assert card["days"][0] == 0
    answer = page("review-grade", card=card["key"], grade=1)
    assert "先不问了" in answer["said"] and answer["read"]["title"] == "笔记 mask"


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ("review-grade", {"grade": 5}),
        ("review-grade", {"grade": True}),
        ("review-undo", {"events": "x"}),
        ("review-undo", {"events": [1]}),
        ("review-hint", {"number": 9}),
        ("review-hint", {"number": "0"}),
        ("review-try", {"said": None}),
        ("review-try", {"said": "自评的题不判"}),
        ("review-show", {"note": "没有"}),
        ("review-show", {"card": "0" * 16}),
        ("review-show", {"card": 1}),
        ("review-grade", {"grade": 3, "attempt": 1}),
    ],
)
def test_nonsense_is_refused_in_a_sentence(page: Page, action: str, wanted: Any) -> None:
    with pytest.raises(RizhiError, match=r"。$"):
        page(action, **{"card": page.first, **wanted})
    assert _bytes(page.vault) == b""


def test_answering_reads_neither_the_notes_nor_the_log_again(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """十年的日志重放一遍要一秒：答一张不该等它。"""
    cards = page("review")["cards"]
    monkeypatch.setattr(session, "begin", None)
    for card in cards:
        page("review-show", card=card["key"])
        page("review-grade", card=card["key"], grade=3)
    assert page("review-state")["done"] == 3


def test_a_new_day_begins_while_the_page_is_open(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page("review-grade", card=page.first, grade=1)
    later: date = today(page.vault) + timedelta(days=1)
    for module in (live_review, session):
        monkeypatch.setattr(module, "today", lambda _: later, raising=False)
    state = page("review-state")
    assert (state["due"], state["done"]) == (1, 0)


def test_a_static_site_leaves_recall_out(site: Site) -> None:
    assert not (site.folder / "review").exists()
    pages = [path.read_text("utf-8") for path in site.folder.rglob("*.html")]
    assert not any("review/index.html" in text or "rz-review" in text for text in pages)
