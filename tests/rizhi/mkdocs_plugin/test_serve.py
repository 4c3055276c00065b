"""边写边看：真的开一个 `mkdocs serve`，改笔记、片段、llm，看页面跟不跟得上。"""

import gc
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from mkdocs.config import load_config

from rizhi.mkdocs_plugin.rebuild import rebuilder
from rizhi.vault import Vault, day_path
from tests import vaults
from tests.rizhi.mkdocs_plugin.served import MASK, SECONDS, Served, serving

CELL = "snippets/attention_mask.py"
# 头一次构建的最后存一次，像他在构建还没完时存的；`ahead` 里写着几天，钟就拨快几天
ODD = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from mkdocs.__main__ import cli
from rizhi import vault
from rizhi.mkdocs_plugin.serve import Reruns

def now(ahead=Path("ahead")):
    return datetime.now() + timedelta(days=int(ahead.read_text()) if ahead.exists() else 0)

def late(reruns, vault, finish=Reruns.finish, page=Path(sys.argv[1])):
    Reruns.finish = finish
    page.write_text(page.read_text("utf-8") + "\\n构建还没完时存的。\\n", "utf-8")
    finish(reruns, vault)

vault.now, Reruns.finish = now, late
cli(["serve", "-a", sys.argv[2]])
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), "-m", "mkdocs", "serve", "-a") as found:
        yield found


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("odd"), "-c", ODD, f"docs/{MASK}.md") as found:
        yield found


def test_the_options_are_read_without_a_deprecation_warning(tmp_path: Path) -> None:
    threshold = gc.get_threshold()
    rebuilder(load_config(str(vaults.make(tmp_path / "vault") / "mkdocs.yml")))
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_an_edited_note_is_refreshed(served: Served) -> None:
    served.edit(f"docs/{MASK}.md", "## 一句话\n", "## 一句话\n\n新写的一句。\n")
    served.wait(lambda page: "新写的一句。" in page)


def test_a_served_page_opens_in_the_editor(served: Served) -> None:
    page = served.wait(lambda page: "vscode://file/" in page)
    path = f"{served.root}/docs/{MASK}.md".lstrip("/")
    assert f'href="vscode://file/{path}"' in page


def test_a_todo_reaches_home_and_board(served: Served) -> None:
    last = day_path(Vault(served.root), vaults.days(served.root)[-1])
    served.edit(
        str(last.relative_to(served.root)), "## 明日计划\n\n", "## 明日计划\n\n- [ ] 刚想起的一件\n"
    )
    served.wait(lambda page: "刚想起的一件" in page, "todos/index")
    served.wait(lambda page: "刚想起的一件" in page, "index")


def test_a_new_day_appears(served: Served) -> None:
    first = vaults.days(served.root)[0] - timedelta(days=1)
    vaults.write_day(served.root, first, f"# {first}　补写的一天\n\n## 思考\n\n- 有\n")
    served.wait(lambda page: "补写的一天" in page, "daily/index")


def test_a_changed_snippet_is_recorded_again(served: Served) -> None:
    with served.edited(CELL, "print(tuple", "print('甲' * 3)\nprint(tuple"):
        page = served.wait(lambda page: "甲甲甲" in page)
        assert "输出已过期" not in page
        outputs = served.root / "snippets/outputs/attention_mask"
        assert any("甲甲甲" in path.read_text("utf-8") for path in outputs.glob("*.txt"))
    served.wait(lambda page: "甲甲甲" not in page)


def test_a_changed_llm_is_seen_at_once(served: Served) -> None:
    line = "causal = (key <= query)[None, None]"
    with served.edited("llm/model.py", line, f'print("from", "llm")\n    {line}'):
        served.wait(lambda page: "from llm" in page)
    served.wait(lambda page: "from llm" not in page)


def test_an_exception_is_shown_and_the_server_stays(served: Served) -> None:
    with served.edited(CELL, "print(tuple", "print(1 / 0)\nprint(tuple"):
        page = served.wait(lambda page: "ZeroDivisionError" in page)
        assert re.search(r"snippets/attention_mask.py:\d+ 单元格「因果」出错", page)
        assert "torch.bool" in page  # 失败的运行不记录，旧的输出还在
    served.wait(lambda page: "ZeroDivisionError" not in page)


def test_a_syntax_error_names_its_line(served: Served) -> None:
    with served.edited(CELL, "print(tuple", "print('丙' *\nprint(tuple"):
        served.wait(lambda page: "单元格「因果」语法错误" in page and "attention_mask.py:" in page)
    served.wait(lambda page: "语法错误" not in page)


def test_a_broken_llm_does_not_stop_the_site(served: Served) -> None:
    with served.edited("llm/model.py", "class RMSNorm(", "class RMSNorm(("):
        served.wait(lambda page: "语法错误" in page)
        served.wait(lambda page: "语法错误" in page, "reference/model")
    served.wait(lambda page: "语法错误" not in page)
    served.wait(lambda page: "只除以均方根" in page, "reference/model")


def test_a_missing_snippet_is_named(served: Served) -> None:
    with served.edited(f"docs/{MASK}.md", "attention_mask:因果\n", "no_such:因果\n"):
        page = served.wait(lambda page: "没有片段 snippets/no_such.py" in page)
        assert "masked_fill" in page  # 列出现有的
    served.wait(lambda page: "没有片段" not in page)


def test_a_broken_notebook_is_named(served: Served) -> None:
    with served.edited("docs/notebooks/tensor-shapes.ipynb", "{", "{ 不是 JSON"):
        served.wait(lambda page: "读不懂" in page, "notebooks/tensor-shapes")
    served.wait(lambda page: "读不懂" not in page, "notebooks/tensor-shapes")


def test_the_page_being_read_turning_gbk_says_so_and_comes_back(served: Served) -> None:
    path = served.root / f"docs/{MASK}.md"
    before = path.read_bytes()
    path.write_bytes(before.decode().encode("gb18030"))
    served.wait(lambda page: "不是 UTF-8" in page and "像是 GBK" in page)
    path.write_bytes(before)
    served.wait(lambda page: "不是 UTF-8" not in page and "rz-cell" in page)


def test_an_edit_saved_while_the_first_build_runs_is_seen(odd: Served) -> None:
    odd.wait(lambda page: "构建还没完时存的。" in page)


def test_a_day_that_ends_is_noticed_once(odd: Served) -> None:
    day = vaults.days(odd.root)[-1] + timedelta(days=1)
    odd.wait(lambda page: str(day) not in page, "index")
    (odd.root / "ahead").write_text("1")
    odd.wait(lambda page: str(day) in page, "index")
    builds = odd.log.count("Detected file changes")
    time.sleep(2)
    assert odd.log.count("Detected file changes") == builds


def test_docs_moved_away_and_back_is_picked_up(odd: Served) -> None:
    (odd.root / "docs").rename(odd.root / "away")
    until = time.monotonic() + SECONDS
    while "没有建成" not in odd.log and time.monotonic() < until:
        time.sleep(0.1)
    assert "masked_fill" in odd.page()  # 没有建成，接着给上一次的
    (odd.root / "away").rename(odd.root / "docs")
    odd.edit(f"docs/{MASK}.md", "## 一句话\n", "## 一句话\n\n回来之后写的。\n")
    odd.wait(lambda page: "回来之后写的。" in page)


def test_an_address_too_long_for_a_file_does_not_stop_the_next_build(odd: Served) -> None:
    assert odd.page("a" * 300) == ""
    odd.edit(f"docs/{MASK}.md", "## 一句话\n", "## 一句话\n\n长网址之后写的。\n")
    odd.wait(lambda page: "长网址之后写的。" in page)


def test_a_second_serve_on_the_port_says_so_in_a_sentence(odd: Served) -> None:
    address = odd.address.removeprefix("http://")
    command = [sys.executable, "-m", "mkdocs", "serve", "-a", address]
    run = subprocess.run(command, cwd=odd.root, capture_output=True, text=True, timeout=SECONDS)
    told = run.stdout + run.stderr
    assert run.returncode == 1 and f"{address} 已经被占用" in told and "Traceback" not in told
    assert odd.page()
