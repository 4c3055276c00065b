"""边写边看：真的开一个 `mkdocs serve`，改笔记、片段、llm，看页面跟不跟得上。"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from mkdocs.config import load_config

from rizhi.mkdocs_plugin.rebuild import rebuilder
from rizhi.vault import Vault, day_path
from tests import vaults

MASK = "notes/attention/attention-mask"
CELL = "snippets/attention_mask.py"
SECONDS = 60


@dataclass(frozen=True)
class Served:
    """一个正在服务的副本。"""

    root: Path
    address: str
    process: subprocess.Popen[str]

    def page(self, name: str = MASK) -> str:
        try:
            with urlopen(f"{self.address}/{name}.html", timeout=5) as answer:  # noqa: S310 本机
                return answer.read().decode()
        except (OSError, HTTPError):  # 正在重建
            return ""

    def wait(self, wanted: Callable[[str], bool], name: str = MASK) -> str:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            page = self.page(name)
            if page and wanted(page):
                return page
            time.sleep(0.2)
        log = (self.root / "serve.log").read_text("utf-8")
        raise AssertionError(f"{SECONDS} 秒之内页面没有变成要的样子：\n{log[-3000:]}")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """改一处，看过之后改回去：一个测试不站在另一个的改动上。"""
        before = (self.root / name).read_bytes()
        self.edit(name, old, new)
        try:
            yield
        finally:
            (self.root / name).write_bytes(before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = vaults.make(tmp_path_factory.mktemp("served") / "vault")
    port = _free_port()
    command = [sys.executable, "-m", "mkdocs", "serve", "-a", f"127.0.0.1:{port}"]
    with (root / "serve.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, text=True)
    found = Served(root, f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_up(found, port)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_up(served: Served, port: int) -> None:
    until = time.monotonic() + SECONDS
    while served.process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError((served.root / "serve.log").read_text("utf-8"))


def test_the_options_are_read_without_a_deprecation_warning(tmp_path: Path) -> None:
    rebuilder(load_config(str(vaults.make(tmp_path / "vault") / "mkdocs.yml")))


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
    with served.edited("llm/model.py", line, f'print("来自", "llm")\n    {line}'):
        served.wait(lambda page: "来自 llm" in page)
    served.wait(lambda page: "来自 llm" not in page)


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
