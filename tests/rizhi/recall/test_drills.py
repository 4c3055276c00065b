"""默写：出的题都证明过；判得出对错，说得出哪次调用差在哪里；什么样的作答都伤不着。"""

import ast
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from rizhi import cli
from rizhi.errors import RizhiError
from rizhi.recall import drills, log, playback, proving, sealed, traces
from rizhi.recall.cards import CAUGHT, RECITED, Card, Verdict
from rizhi.snippets import run as runner
from rizhi.snippets.cells import parse_text
from rizhi.vault import Vault, find_vault
from tests.rizhi.recall import plain

RUNNING = "shop.sums:running"
RIGHT = """def running(numbers, start=0):
    sums, so_far = [], start
    for one in numbers:
        so_far = one + so_far
        sums += [so_far]
    return sums
"""

ADD = """def add(self, name, count=1):
    if self.size() + count > self.limit: raise ValueError(name)
    self.items[name] = self.items.get(name, 0) + count
    return self.size()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """密钥放在临时的地方。"""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, state: Path, forkserver: None) -> Vault:
    """纯 Python 的知识库，题都算好了；只读。"""
    vault = plain.make(tmp_path_factory.mktemp("shop"))
    proving.prepare(vault)
    return vault


def card(vault: Vault, symbol: str = RUNNING, kind: str = RECITED) -> Card:
    return next(c for c in drills.cards(vault) if (c.symbol, c.kind) == (symbol, kind))


def said(vault: Vault, answer: str, symbol: str = RUNNING) -> Verdict:
    return drills.grade(vault, card(vault, symbol), answer)


def body(*lines: str) -> str:
    return "\n".join(["def running(numbers, start=0):", *(f"    {line}" for line in lines)])


# ---- 出题 ----


def test_only_what_is_proven_is_offered(shop: Vault) -> None:
    found = {symbol: drill for symbol, drill in drills.proven(shop).drills.items() if drill}
    offered = {symbol for symbol, drill in found.items() if not drill.why}
    assert offered >= {RUNNING, "shop.sums:Basket.add", "shop.sums:countdown"}
    for symbol in offered:
        assert found[symbol].caught >= 0.8 * found[symbol].tried > 0
    assert found["shop.sums:unused"].why == "没有片段调用过它，或参数写不下来"
    assert re.fullmatch(r"改坏 \d+ 处，只抓得住 \d+ 处", found["shop.sums:clipped"].why)
    assert {c.symbol for c in drills.cards(shop) if c.kind == RECITED} == offered


def test_a_function_that_shuffles_is_replayed_with_the_same_numbers(shop: Vault) -> None:
    drill = traces.read_drill(shop, "shop.sums:shuffled")
    assert drill and traces.read_calls(shop, drill)
    good = "def shuffled(items):\n    made = [*items]\n    random.shuffle(made)\n    return made\n"
    assert said(shop, good, "shop.sums:shuffled").right
    sorted_ = "def shuffled(items):\n    return sorted(items)\n"
    told = said(shop, sorted_, "shop.sums:shuffled")
    assert not told.right and "取随机数，取的次序也要" in told.lines[0]


def test_the_text_of_a_card_is_its_name_and_what_it_does(shop: Vault) -> None:
    made = card(shop)
    assert made.text == f"{RUNNING}\n从 `start` 起的前缀和。"
    assert made.note == "running-sums" and made.where == "shop/sums.py:6"
    assert made.answer.startswith("def running(") and "return found" in made.answer


def test_what_is_stored_is_not_computed_again(shop: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "work", lambda *_: pytest.fail("又跑了一遍"))
    assert proving.waiting(shop) == ({}, [])
    proving.prepare(shop)


def test_code_that_changed_is_proven_again(tmp_path: Path, state: Path, forkserver: None) -> None:
    vault = plain.make(tmp_path)
    symbol = "shop.sums:Basket.size"
    only = {symbol: traces.symbols(vault)[symbol]}
    keys = traces.Keys(vault)
    key = keys.drill(symbol, only[symbol], traces.Used())
    traces.write_drill(vault, traces.Drill(symbol, "x", "x", key), [])
    assert symbol not in proving.waiting(vault)[0]
    source = vault.root / "shop/sums.py"
    source.write_text(source.read_text("utf-8").replace("# (n,)", "# (n,) 注释"), "utf-8")
    assert symbol not in proving.waiting(vault)[0]  # 注释不算
    source.write_text(source.read_text("utf-8").replace("limit=3", "limit=4"), "utf-8")
    assert symbol in proving.waiting(vault)[0]


def test_a_new_snippet_only_asks_again_for_what_was_not_offered(
    shop: Vault, tmp_path: Path
) -> None:
    copied = find_vault(shutil.copytree(shop.root, tmp_path / "shop"))
    more = "# %% 用一次\nfrom shop.sums import unused\n\nprint(unused(1))\n"
    (copied.snippets / "later.py").write_text(more, "utf-8")
    stale, _ = proving.waiting(copied)
    assert "shop.sums:unused" in stale and RUNNING not in stale


def test_ctrl_c_keeps_what_was_computed(tmp_path: Path, state: Path, forkserver: None) -> None:
    vault = plain.make(tmp_path)

    def stopped(names: list[str], step: str) -> Iterator[str]:
        for number, name in enumerate(names):
            if number == 2 and step == "改坏重放":
                raise KeyboardInterrupt
            yield name

    with pytest.raises(KeyboardInterrupt):
        proving.prepare(vault, stopped)
    left, _ = proving.waiting(vault)
    assert 0 < len(left) < len(traces.symbols(vault))


def test_a_snippet_that_did_not_finish_is_said_and_proves_nothing(
    tmp_path: Path, state: Path, forkserver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.make(tmp_path)
    text = plain.SETTINGS.replace('["shop.bugs:BUGS"]', "[]")
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    vault = find_vault(tmp_path)
    monkeypatch.setattr(proving, "HARVEST_SECONDS", 0.0)
    told = proving.prepare(vault)
    assert told and all("没有跑完，用到它的函数下次再算" in line for line in told)
    assert RUNNING in proving.waiting(vault)[0]
    assert all(card.kind == CAUGHT for card in drills.cards(vault))


def test_the_cells_a_check_needs_are_found_by_the_names_they_really_bind() -> None:
    text = (
        "# %% 定 x\nx = 1\n\n# %% 定 y\ny = 2\n\n"
        "# %% 局部的不算\ndef f():\n    y = 3\n    return y\n\n"
        "# %% 加\nx += 1\n\n# %% 无关\nz = 0\n\n# %% 检验\nassert (x, y, f()) == (2, 2, 3)\n"
    )
    snippet = parse_text(Path("x.py"), text)
    assert playback.needed(snippet, {"检验"}) == ("定 x", "定 y", "局部的不算", "加", "检验")


# ---- 判 ----


def test_another_way_of_writing_it_is_right(shop: Vault) -> None:
    verdict = said(shop, RIGHT)
    assert verdict.right and re.match(r"对：\d+ 次调用的结果都一样，2 格检验都过", verdict.lines[0])
    assert re.search(r"抓得住 \d+ 个已知错误里的 \d+ 个", verdict.lines[1])


def test_tabs_carriage_returns_and_an_indented_answer_are_read(shop: Vault) -> None:
    assert said(shop, RIGHT.replace("    ", "\t").replace("\n", "\r\n")).right
    assert said(shop, "".join(f"    {line}\n" for line in RIGHT.splitlines())).right


def test_the_answer_itself_is_right_for_every_drill(shop: Vault) -> None:
    for one in (c for c in drills.cards(shop) if c.kind == RECITED):
        assert drills.grade(shop, one, one.answer).right, one.symbol


def test_a_wrong_answer_says_which_call_of_which_note(shop: Vault) -> None:
    verdict = said(shop, RIGHT.replace("return sums", "return sums[1:]"))
    assert not verdict.right
    assert re.match(r"不对：running_sums 的第 \d+ 次调用：.*应是", verdict.lines[0])
    assert any("「检验" in line and "红了：AssertionError" in line for line in verdict.lines)


def test_the_symptom_of_a_known_mistake_is_named(shop: Vault) -> None:
    wrong = RIGHT.replace("one + so_far", "so_far - one")
    assert "与写成「total = total - number」的症状一样。" in said(shop, wrong).lines


def test_a_mistake_the_package_knows_is_named_in_its_own_words(shop: Vault) -> None:
    wrong = RIGHT.replace("return sums", "return [start, *sums][:-1]")
    assert "与「前缀和晚了一位」的症状一样。" in said(shop, wrong).lines
    asked = [c.text for c in drills.cards(shop) if c.kind == CAUGHT and c.symbol == RUNNING]
    assert any("前缀和晚了一位" in text for text in asked)


@pytest.mark.parametrize("written", ['"shop.bugs"', '["shop.nowhere:BUGS"]', '["shop.bugs"]'])
def test_a_setting_that_leads_nowhere_is_said(
    tmp_path: Path, state: Path, forkserver: None, written: str
) -> None:
    plain.make(tmp_path)
    text = plain.SETTINGS.replace('["shop.bugs:BUGS"]', written)
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    why = "应是一列|ModuleNotFoundError：No module named|AttributeError|ValueError"
    with pytest.raises(RizhiError, match=rf"\[tool.rizhi\] mutations.*({why})"):
        proving.prepare(find_vault(tmp_path))


def test_an_answer_that_draws_nothing_hears_nothing_of_drawing(shop: Vault) -> None:
    assert "随机数" not in "".join(said(shop, body("return []")).lines)


def test_an_argument_that_should_not_change(shop: Vault) -> None:
    wrong = body("out = []", "for n in list(numbers):", "    start += n", "    out.append(start)",
                 "if isinstance(numbers, list): numbers.clear()", "return out")  # fmt: skip
    verdict = said(shop, wrong)
    assert not verdict.right and "不该改" in " ".join(verdict.lines)


def test_a_method_that_forgets_to_change_itself(shop: Vault) -> None:
    wrong = ADD.replace("self.items[name] = self.items.get(name, 0) + count", "")
    wrong = wrong.replace("return self.size()", "return self.size() + count")
    verdict = said(shop, wrong, "shop.sums:Basket.add")
    assert not verdict.right and "应改动 self.items" in " ".join(verdict.lines)


def test_an_exception_that_does_not_come(shop: Vault) -> None:
    wrong = "\n".join(line for line in ADD.splitlines() if "raise" not in line)
    verdict = said(shop, wrong, "shop.sums:Basket.add")
    assert "应抛出 ValueError，你的没有抛" in " ".join(verdict.lines)


BAD = {
    "语法错": ("def running(numbers, start=0)\n    return 1\n", "第 1 行有语法错误"),
    "名字错": (
        "def runing(numbers):\n    return 1\n",
        "只写一个函数 running，别的去掉：第 1 行「def runing",
    ),
    "空的": ("", "只写一个函数 running"),
    "另有语句": ("import os\nos.remove('x')\n" + RIGHT, "第 1 行「import os」.*写进函数里"),
    "两个": (RIGHT + RIGHT, "你写了 2 个"),
    "NUL": ("def running(a):\n    return '\0'\n", "读不懂|null bytes"),
    "抛错": (body("return numbers.nothing"), "你抛出 AttributeError"),
    "没有的名字": (body("return cumsum(numbers)"), r"NameError：.*（你写的第 2 行）"),
    "默认值就错": ("def running(numbers, start=nope):\n    return 1\n", "一载入就出错：NameError"),
    "打印一兆": (
        body("print('长' * (1 << 20))", "return []"),
        "第 3 次调用：一格的输出超过 64 KiB",
    ),
    "fork": (body("import os", "os.fork()", "return []"), "片段不许另开进程.*算，应不抛错"),
    "sys.exit": (body("import sys", "sys.exit(0)"), "你抛出 SystemExit"),
    "os._exit": (body("import os", "os._exit(0)"), "子进程突然结束"),
    "递归不停": (body("return running(numbers, start)"), "RecursionError"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bad_answer_gets_a_sentence(shop: Vault, name: str) -> None:
    answer, expected = BAD[name]
    verdict = said(shop, answer)
    assert not verdict.right and re.search(expected, "\n".join(verdict.lines)), verdict.lines


def test_an_endless_loop_is_stopped(shop: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "PATIENCE", 1.0)
    monkeypatch.setattr(playback, "TIMES", 0)
    verdict = said(shop, body("while True:", "    pass"))
    assert re.search(r"的第 \d+ 次调用：1 秒没有跑完，已停下：多半是死循环。", verdict.lines[0])


def test_files_outside_are_safe_and_so_is_the_next_grading(shop: Vault) -> None:
    kept = shop.root / "shop/sums.py"
    verdict = said(shop, body("import os", f"os.remove({str(kept)!r})", "return []"))
    assert "片段不许改动" in verdict.lines[0] and kept.is_file()
    said(shop, body("global random", "import builtins", "builtins.sum = None", "return []"))
    assert said(shop, RIGHT).right


def test_patching_the_comparison_fools_nobody(shop: Vault) -> None:
    tricks = ["import json, ctypes, operator", "from rizhi.recall import values, replay, playback",
              "values.difference = playback.differs = lambda *_: ''",
              "values.Describer.leaves = lambda *_: {}", "json.dumps = lambda *_: '{}'",
              "ctypes.string_at = lambda *_: b''", "return []"]  # fmt: skip
    assert not said(shop, body(*tricks)).right


# ---- 起始代码与提示 ----


def reviewed(vault: Vault, one: Card, grades: int) -> None:
    """在日志里连着答对几次。"""
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    told = {"card": "c", "note": one.note, "text": one.text}
    events = [log.event("born", moment, **told, kind=one.kind)]
    for number in range(grades):
        at = moment + timedelta(days=60 * number)
        events.append(log.event("review", at, card="c", grade=3, day=str(at.date())))
    log.append(vault, events)


@pytest.fixture
def mine(shop: Vault) -> Iterator[Vault]:
    yield shop
    log.path(shop).unlink(missing_ok=True)


def test_the_ladder_first_one_line_then_the_body_then_no_docstring(mine: Vault) -> None:
    one = card(mine)
    first = drills.start(mine, one)
    assert first.count("...") == 1 and "return found" in first and '"""' in first
    reviewed(mine, one, 2)
    days = drills._strength(mine, one)[0]
    assert days >= drills.LINE_DAYS
    second = drills.start(mine, one)
    assert "append" not in second and second.rstrip().endswith("...")
    assert ('"""' in second) == (days < drills.BODY_DAYS)
    log.path(mine).unlink()
    reviewed(mine, one, 4)
    third = drills.start(mine, one)
    assert third == "def running(numbers, start=0):\n    # (n,)\n    # (n,)\n    ...\n"


def test_calling_the_base_class_is_no_question(shop: Vault) -> None:
    piece = drills.Piece.read(shop, "shop.sums:Basket.__init__")
    asked = {ast.unparse(node) for n in range(6) if (node := drills._line(piece, n))}
    assert asked == {"self.items = {}"}


def test_the_hole_left_as_it_is_is_wrong_and_filled_is_right(shop: Vault) -> None:
    for one in (c for c in drills.cards(shop) if c.kind == RECITED):
        given = drills.start(shop, one)
        assert compile(given, "x", "exec") and not drills.grade(shop, one, given).right, one.symbol


def test_hints_come_one_line_after_the_other(mine: Vault) -> None:
    one = card(mine)
    reviewed(mine, one, 2)
    hints = drills.hints(mine, one)
    assert hints[0] == "用到的名字：start、numbers、found.append"
    assert (
        hints[1] == "第一行：total = start"
        and hints[-1] == "下一行：    found.append(total)  # (n,)"
    )
    assert "return found" not in "".join(hints)


# ---- 哪个检验会红 ----


def test_the_red_check_is_computed(shop: Vault) -> None:
    asked = [c for c in drills.cards(shop) if c.kind == CAUGHT]
    assert asked
    for one in asked:
        titles = re.findall(r"^\d+\. (.*)$", one.text, re.M)
        assert len(titles) == 3 and one.answer in titles and "改坏一处" in one.text
        number = titles.index(one.answer) + 1
        assert drills.grade(shop, one, one.answer).right
        assert drills.grade(shop, one, f" {number} ").right
        wrong = drills.grade(shop, one, titles[number % 3])
        assert not wrong.right and "照样是绿的" in wrong.lines[0]
        for odd in ("99", "abc", "0", ""):
            with pytest.raises(RizhiError, match="写 1 到 3 的编号"):
                drills.grade(shop, one, odd)
        assert drills.start(shop, one) == "" and drills.hints(shop, one)


# ---- 存着的 ----


class Planted:
    """载入就执行的 pickle。"""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_what_others_put_there_is_never_loaded(
    tmp_path: Path, shop: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """别的机器上算的（连同它的密钥不在这里）、改了一个字节的、换了名字的、空的、文件夹，都当作没有。"""
    stored = traces._file(shop, RUNNING, "calls")
    drill = traces.read_drill(shop, RUNNING)
    assert drill and traces.read_calls(shop, drill)
    whole = stored.read_bytes()
    other = traces._file(shop, "shop.sums:Basket.add", "calls").read_bytes()
    try:
        for data in (b"", whole[:-1], whole[:40] + b"x" + whole[41:], other):
            stored.write_bytes(data)
            assert traces.read_calls(shop, drill) is None
            with pytest.raises(RizhiError, match="运行 rizhi drills"):
                said(shop, RIGHT)
        stored.unlink()
        stored.mkdir()
        assert traces.read_calls(shop, drill) is None
        stored.rmdir()
    finally:
        stored.write_bytes(whole)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert drills.cards(shop) == [] and traces.read_calls(shop, drill) is None
    assert len(proving.waiting(shop)[0]) == len(traces.symbols(shop))


def test_the_key_is_private_and_a_broken_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sealed.write(tmp_path / "one", b"x")
    key = tmp_path / "rizhi/drills.key"
    assert key.parent.stat().st_mode & 0o077 == 0 and sealed.read(tmp_path / "one") == b"x"
    key.write_bytes(b"short")
    assert sealed.read(tmp_path / "one") is None
    with pytest.raises(RizhiError, match="密钥坏了"):
        sealed.write(tmp_path / "two", b"x")


# ---- 命令 ----


def drills_command(vault: Vault, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, ["--root", str(vault.root), "drills", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_lists_what_is_offered_and_why_not(shop: Vault) -> None:
    code, out, _ = drills_command(shop)
    assert code == 0
    assert re.search(r"shop\.sums:running · running-sums · 抓得住 \d+ 个已知错误里的 \d+ 个", out)
    assert "没有出 shop.sums:unused · running-sums：没有片段调用过它" in out
    data = json.loads(drills_command(shop, "--json")[1])
    assert {"symbol", "note", "why", "caught", "tried"} <= data["drills"][0].keys()
    assert data["questions"]


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = plain.make(tmp_path)
    path = vault.snippets / "running_sums.py"
    path.write_text(plain.SNIPPET.replace("# %% 用一用", "# %% 用一用\nimport nosuchlib"), "utf-8")
    code, _, err = drills_command(vault)
    assert code == 1 and "要用 nosuchlib，这里没有装" in err and "pip install nosuchlib" in err


def test_what_a_missing_library_breaks_is_not_his_mistake(
    shop: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """出题之后换了个没有 torch 的环境：载不进来的不算他答错。"""
    broken = body("import nosuchlib", "return []")
    assert not said(shop, broken).right  # 库都在，是他自己写的 import
    monkeypatch.setattr(runner, "missing", lambda *_: ("torch",))
    assert said(shop, RIGHT).right and not said(shop, body("return []")).right
    with pytest.raises(RizhiError, match="要用 torch，这里没有装"):
        said(shop, broken)


def test_a_vault_without_a_source_package_has_none(tmp_path: Path, state: Path) -> None:
    vault = plain.make(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
    code, out, _ = drills_command(vault)
    assert code == 0 and out.startswith("还没有题：")
