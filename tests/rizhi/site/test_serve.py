"""边写边看：真的开一个 `mkdocs serve`，改笔记、片段、llm，看页面跟不跟得上。"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

MASK = "notes/attention/attention-mask"
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
            if wanted(page):
                return page
            time.sleep(0.2)
        log = (self.root / "serve.log").read_text("utf-8")
        raise AssertionError(f"{SECONDS} 秒之内页面没有变成要的样子：\n{log[-3000:]}")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, copy_vault) -> Iterator[Served]:
    root = copy_vault(tmp_path_factory.mktemp("served"))
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


def test_an_edited_note_is_refreshed(served: Served) -> None:
    served.edit(f"docs/{MASK}.md", "## 一句话\n", "## 一句话\n\n新写的一句。\n")
    served.wait(lambda page: "新写的一句。" in page)


def test_a_served_page_opens_in_the_editor(served: Served) -> None:
    page = served.wait(lambda page: "vscode://file/" in page)
    path = f"{served.root}/docs/{MASK}.md".lstrip("/")
    assert f'href="vscode://file/{path}"' in page


def test_a_todo_reaches_home_and_board(served: Served) -> None:
    served.edit("docs/daily/2026/2026-11-23.md", "## 今日总结", "- [ ] 刚想起的一件\n\n## 今日总结")
    served.wait(lambda page: "刚想起的一件" in page, "todos/index")
    served.wait(lambda page: "刚想起的一件" in page, "index")


def test_a_new_day_appears(served: Served) -> None:
    path = served.root / "docs/daily/2026/2026-11-24.md"
    path.write_text("# 2026-11-24 星期二　新的一天\n\n## 思考\n\n- 有\n", encoding="utf-8")
    served.wait(lambda page: "新的一天" in page, "daily/index")


def test_a_changed_snippet_is_recorded_again(served: Served) -> None:
    served.edit("snippets/attention_mask.py", "print(mask", "print('甲' * 3)\nprint(mask")
    page = served.wait(lambda page: "甲甲甲" in page)
    assert "输出已过期" not in page
    outputs = served.root / "snippets/outputs/attention_mask"
    assert any("甲甲甲" in path.read_text("utf-8") for path in outputs.glob("*.txt"))


def test_a_changed_llm_is_seen_at_once(served: Served) -> None:
    line = "causal = (key <= query)[None, None]"
    served.edit("llm/model.py", line, f'print("来自", "llm")\n    {line}')
    served.wait(lambda page: "来自 llm" in page)
    served.edit("llm/model.py", 'print("来自", "llm")\n    ', "")
    served.wait(lambda page: "来自 llm" not in page)


def test_an_exception_is_shown_and_the_server_stays(served: Served) -> None:
    served.edit("snippets/attention_mask.py", "print('甲' * 3)", "print(1 / 0)")
    page = served.wait(lambda page: "ZeroDivisionError" in page)
    assert re.search(r"snippets/attention_mask.py:\d+ 单元格「因果」出错", page)
    assert "甲甲甲" in page  # 失败的运行不记录，旧的输出还在
    served.edit("snippets/attention_mask.py", "print(1 / 0)", "print('乙' * 3)")
    served.wait(lambda page: "乙乙乙" in page and "ZeroDivisionError" not in page)


def test_a_syntax_error_names_its_line(served: Served) -> None:
    served.edit("snippets/attention_mask.py", "print('乙' * 3)", "print('丙' *")
    served.wait(lambda page: "单元格「因果」语法错误" in page and "attention_mask.py:" in page)
    served.edit("snippets/attention_mask.py", "print('丙' *", "print('丙' * 3)")
    served.wait(lambda page: "丙丙丙" in page)


def test_a_broken_llm_does_not_stop_the_site(served: Served) -> None:
    served.edit("llm/model.py", "class RMSNorm(", "class RMSNorm((")
    served.wait(lambda page: "语法错误" in page)
    served.wait(lambda page: "语法错误" in page, "reference/model")
    served.edit("llm/model.py", "class RMSNorm((", "class RMSNorm(")
    served.wait(lambda page: "语法错误" not in page)
    served.wait(lambda page: "RotaryEmbedding" in page, "reference/model")


def test_a_missing_snippet_is_named(served: Served) -> None:
    served.edit(f"docs/{MASK}.md", "attention_mask:因果\n", "no_such:因果\n")
    page = served.wait(lambda page: "没有片段 snippets/no_such.py" in page)
    assert "masked_fill" in page  # 列出现有的


def test_a_broken_notebook_is_named(served: Served) -> None:
    path = served.root / "docs/notebooks/tensor-shapes.ipynb"
    good = path.read_text("utf-8")
    path.write_text("{ 不是 JSON", encoding="utf-8")
    served.wait(lambda page: "读不懂" in page, "notebooks/tensor-shapes")
    path.write_text(good, encoding="utf-8")
    served.wait(lambda page: "读不懂" not in page, "notebooks/tensor-shapes")
