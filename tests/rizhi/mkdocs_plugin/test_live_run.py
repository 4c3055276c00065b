"""在页面里跑一格的路由：跑的是改过的，盘上的不动；停得掉，断得开，各样意外都有一句话。"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rizhi.mkdocs_plugin import live
from rizhi.snippets import fence, recording, run
from rizhi.store import alive
from tests.rizhi.mkdocs_plugin.guarded import Guarded, serving

TEXT = """# %% 准备
x = 3
print("准备好了")

# %% [markdown]
# 说一句。

# %% 乘二
print(x * 2)

# %% 图 线
from matplotlib import pyplot as plt
plt.plot([1, x]);

# %% 没有跑到
1 / 0
"""
LOOP = "import os\nprint(os.getpid())\nwhile True: pass"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Guarded]:
    with serving(tmp_path) as found:
        found.vault.snippets.mkdir()
        (found.vault.snippets / "topic.py").write_text(TEXT, encoding="utf-8")
        yield found


def _ran(served: Guarded, title: str = "乘二", **drafts: str) -> dict[str, Any]:
    """跑一格，给出最后一行。"""
    with served.stream({"module": "topic", "title": title, "drafts": drafts}) as lines:
        *_, last = lines
    return last


def _files(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and ".rizhi" not in path.parts)
    return {str(path): path.read_bytes() for path in found}


def _soon(happens: Callable[[], object]) -> bool:
    until = time.monotonic() + 15
    while not happens() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(happens())


def test_the_changed_cell_runs_after_those_before_and_nothing_is_written(served: Guarded) -> None:
    before = _files(served.vault.root)
    assert _ran(served)["html"] == '<div class="rz-output "><pre class="rz-text">6\n</pre></div>'
    assert ">9\n<" in _ran(served, 乘二="print(x * 3)")["html"]
    ran = _ran(served, 准备="y = 1\nx = y + 4", 乘二="print(x * 3)")
    assert ">15\n<" in ran["html"] and ran["ended"] == "done" and ran["seconds"] > 0
    assert _files(served.vault.root) == before


def test_what_is_shown_is_what_the_site_shows(served: Guarded) -> None:
    path = served.vault.snippets / "topic.py"
    path.write_text(TEXT.partition("# %% 没有跑到")[0], encoding="utf-8")
    recording.record(served.vault, path)
    page = fence.fences(fence.Context(served.vault))["snippet"]("topic")
    for title in ("准备", "乘二", "图 线"):
        html = _ran(served, title)["html"]
        assert html.startswith('<div class="rz-output ') and html in page
    assert '<img class="rz-figure" alt="' in html and 'src="data:image/svg+xml,' in html


def test_windows_line_ends_and_a_byte_order_mark_stay_in_the_file(served: Guarded) -> None:
    path = served.vault.snippets / "topic.py"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert ">12\n<" in _ran(served, 乘二="for i in range(2):\n    x *= 2\nprint(x)")["html"]


def test_output_comes_while_the_cell_runs(served: Guarded) -> None:
    body = "import time\nprint('<b>半</b>', flush=True)\ntime.sleep(1)\nprint('全')"
    wanted = {
        "module": "topic",
        "title": "乘二",
        "drafts": {"乘二": body, "准备": "import time\ntime.sleep(.3)"},
    }
    with served.stream(wanted) as found:
        lines = list(found)
    shown = [line["html"] for line in lines if line.get("html")]
    assert lines[0]["run"] and {"at": "准备"} in lines
    assert "&lt;b&gt;半&lt;/b&gt;\n<" in shown[0] and "全" not in shown[0]
    assert "半&lt;/b&gt;\n全\n<" in shown[-1] and "<b>" not in shown[-1]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print(1)\nraise ValueError('<i>')", r">1\n.*topic.py:10 .*出错：ValueError: &lt;i"),
        ("1 +", r"topic.py:9 单元格「乘二」语法错误"),
        ("import os\nos.fork()", "片段不许另开进程"),
        ("while True: os.fork()\n", "NameError"),
        ("import os\nwhile True:\n    os.fork()", "片段不许另开进程"),
        ("print('字' * 1_000_000)", "输出超过 64 KiB"),
        ("while True: print('字' * 100)", "输出超过 64 KiB"),
        ("import os\nos._exit(0)", r"子进程突然结束（退出码 0）：多半是调用了 os._exit"),
        ("globals().clear()\nprint(x)", "NameError"),
        ("import warnings\nwarnings.warn('<u>')\nprint(7)", r"7\n.*rz-stderr.*&lt;u&gt;"),
        ("import 没有的库", "要用 没有的库，这里没有装.*pip install 没有的库"),
        ("# %% 又一格\nprint(1)", "一格里不要再写「# %%」"),
        ("'''", "语法错误"),
        ("\ud800", "topic.py:1 .*语法错误"),
        ("print(1)\0", "语法错误"),
        ("", "^$"),
    ],
)  # fmt: skip
def test_each_accident_has_a_sentence_and_the_next_run_works(
    served: Guarded, body: str, says: str
) -> None:
    ran = _ran(served, 乘二=body)
    said = ran.get("html", ran.get("error"))
    assert re.search(says, said, re.S), said
    assert not re.search("<[iu]>", said)
    assert ">6\n<" in _ran(served)["html"]


def test_an_error_before_the_cell_is_that_cells(served: Guarded) -> None:
    ran = _ran(served, 准备="1 / 0")
    assert ran["ended"] == "failed" and "单元格「准备」出错" in ran["html"]


def test_a_loop_ends_at_the_limit_and_shows_what_it_had_printed(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS", 1.0)
    ran = _ran(served, 乘二="print('有过')\nwhile True: pass")
    assert ran["ended"] == "failed"
    assert re.search(r"有过\n.*1 秒没有跑完，已停下", ran["html"], re.S)


def _child(lines: Iterator[dict[str, Any]]) -> int:
    """等 LOOP 打印出它的进程号。"""
    html = next(line["html"] for line in lines if line.get("html"))
    found = re.search(r">(\d+)\n<", html)
    assert found
    return int(found[1])


def test_one_at_a_time_and_stop_ends_the_child(served: Guarded) -> None:
    loop = {"module": "topic", "title": "乘二", "drafts": {"乘二": LOOP}}
    with served.stream(loop) as lines:
        number = next(lines)["run"]
        child = _child(lines)
        refused = _ran(served)
        assert (
            refused["busy"] == number and "正在跑 snippets/topic.py 的「乘二」" in refused["error"]
        )
        for wrong in (number + 1, str(number), None):
            assert served.post({"run": wrong}, action="stop")[1] == {"said": "那一次已经跑完了。"}
        assert alive(child)
        status, answer = served.post({"run": number}, action="stop")
        assert status == 200 and answer["said"] == "停下了 snippets/topic.py 的「乘二」。"
        assert ">6\n<" in _ran(served)["html"]  # 停下了，马上就能跑别的
        *_, last = lines
        assert last["ended"] == "stopped" and str(child) in last["html"]
    assert _soon(lambda: not alive(child))


def test_the_child_ends_when_the_page_goes(served: Guarded) -> None:
    with served.stream({"module": "topic", "title": "乘二", "drafts": {"乘二": LOOP}}) as lines:
        child = _child(lines)
        assert alive(child)
    assert _soon(lambda: not alive(child))
    assert _soon(lambda: ">6\n<" in _ran(served).get("html", ""))


def test_a_run_does_not_hold_up_a_click(served: Guarded) -> None:
    with served.stream({"module": "topic", "title": "乘二", "drafts": {"乘二": LOOP}}) as lines:
        _child(lines)
        assert served.post({"todo": "读一遍归一化"})[0] == 200


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({}, "module 与 title 应是文字"),
        ({"module": "topic", "title": "乘二"}, "drafts 应是"),
        ({"module": "topic", "title": "乘二", "drafts": {"乘二": 5}}, "drafts 应是"),
        ({"module": "没有", "title": "乘二", "drafts": {}}, "没有片段 snippets/没有.py"),
        ({"module": "../pyproject", "title": "乘二", "drafts": {}}, "没有片段"),
        ({"module": "\ud800", "title": "乘二", "drafts": {}}, "没有片段"),
        ({"module": "topic", "title": "丁", "drafts": {}}, "没有单元格「丁」；现有"),
        ({"module": "topic", "title": "乘二", "drafts": {"丁": "1"}}, "没有单元格「丁」；现有"),
        ({"module": "", "title": "", "drafts": {}}, "没有片段"),
    ],
)
def test_what_is_no_cell_is_said(served: Guarded, wanted: dict[str, Any], says: str) -> None:
    with served.stream(wanted) as lines:
        (line,) = lines
    assert says in line["error"] and str(served.vault.root) not in line["error"]


def test_the_route_keeps_its_conditions(served: Guarded) -> None:
    wanted = {"module": "topic", "title": "乘二", "drafts": {"乘二": LOOP}}
    for changed in ({live.HEADER: "guess"}, {"Origin": "null"}, {"Content-Type": "text/plain"}):
        assert served.post(wanted, {**served.headers(), **changed}, action="run")[0] == 403
    assert served.get(f"{live.PATH}run").status == 405
    long = {**wanted, "drafts": {"乘二": "#" * live.MAX_BYTES}}
    assert served.post(long, action="run")[0] == 413
    assert served.post({"run": 1}, action="stop")[1] == {"said": "那一次已经跑完了。"}
