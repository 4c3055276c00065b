"""打印的一切都归当前格：存下的引用、描述符、C、线程、警告；记不下的，拒绝并说在哪里。"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from rizhi.errors import RizhiError
from rizhi.snippets import fence, record, recording
from rizhi.snippets import run as runner
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.notebook import to_notebook
from rizhi.snippets.stream import MAX_OUTPUT
from rizhi.vault import Vault

ROOT = Path(__file__).parents[3]
HELD = Path(__file__).parents[1] / "cases/snippets/held_stdout.py"
Cells = Callable[..., tuple[CellOutput, ...]]


@pytest.fixture
def cells(vault: Vault, path: Path) -> Cells:
    """`cells(一, 二)`：跑这几格，一处错也没有，返回各格的输出。"""

    def ran(*bodies: str) -> tuple[CellOutput, ...]:
        run = _run(vault, path, *bodies)
        assert run.error == ""
        return run.outputs

    return ran


def _run(vault: Vault, path: Path, *bodies: str) -> runner.Run:
    text = "".join(f"# %% 第 {n} 格\n{body}\n" for n, body in enumerate(bodies, 1))
    path.write_text(text, encoding="utf-8")
    return runner.run(vault, path)


def test_a_stream_kept_in_one_cell_writes_to_the_cell_that_uses_it(
    vault: Vault, path: Path
) -> None:
    path.write_bytes(HELD.read_bytes())
    run = runner.run(vault, path)
    assert run.error == ""
    assert [out.text for out in run.outputs] == [
        "第一格\n",
        "经 logging\n经 partial\n经 writelines\n",
        "",
    ]


def test_stdout_is_a_real_text_stream(cells: Cells) -> None:
    first, second = cells(
        "import io, sys\n"
        "assert isinstance(sys.stdout, io.TextIOBase) and sys.stdout is sys.__stdout__\n"
        "print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.isatty(), sys.stdout.fileno(),"
        " sys.stdout.name, sys.stdout.mode, sys.stdout.writable(), sys.stdout.closed)\n"
        "sys.stdout.reconfigure(line_buffering=True)\n"
        "sys.stdout.buffer.write('字节\\n'.encode())\n"
        "sys.stdout.flush()",
        "import contextlib\n"
        "kept = io.StringIO()\n"
        "with contextlib.redirect_stdout(kept):\n    print('收走的')\n"
        "print(repr(kept.getvalue()))",
    )
    assert first.text == "utf-8 strict False 1 <stdout> w True False\n字节\n"
    assert second.text == "'收走的\\n'\n"


@pytest.mark.parametrize(
    "body",
    [
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\nprint('甲')",
        "sys.stdout = os.fdopen(1, 'w', closefd=False)\nprint('甲')",
        "class Tee:\n    def write(self, text):\n        sys.__stdout__.write(text)\n"
        "sys.stdout = Tee()\nprint('甲')",
        "print('甲', file=sys.__stdout__)",
    ],
)
def test_what_replaces_stdout_still_reaches_its_cell(cells: Cells, body: str) -> None:
    first, second = cells(f"import io, os, sys\n{body}", "print('乙')")
    assert (first.text, second.text) == ("甲\n", "乙\n")


def test_descriptors_and_c_keep_their_order(cells: Cells) -> None:
    first, second = cells(
        "import faulthandler, os\n"
        "print('一')\nos.write(1, b'2\\n')\nfaulthandler.dump_traceback(1)\nprint('四')\n"
        "os.write(2, b'err\\n');",
        "os.write(1, b'6\\n');",
    )
    assert re.fullmatch(r"一\n2\n(?:.*File .*\n)*(?:.*\n)*四\n", first.text)
    assert "Current thread" in first.text or "File" in first.text
    assert first.stderr == "err\n" and second.text == "6\n"


def test_torch_prints_from_a_compiled_function_are_caught(cells: Cells) -> None:
    source = "def f(x: int):\\n    print('C++', x)\\n    return x\\n"
    (only,) = cells(
        f'import torch\nunit = torch.jit.CompilationUnit("{source}")\n'
        "print('前')\nunit.f(3)\nprint('后')"
    )
    assert only.text == "前\nC++ 3\n后\n"


def test_threads_print_into_the_cell_that_runs(cells: Cells) -> None:
    first, second = cells(
        "import threading\nasked, done = threading.Event(), threading.Event()\n"
        "def later():\n    print('先')\n    done.set()\n    asked.wait()\n    print('后')\n"
        "thread = threading.Thread(target=later)\nthread.start()\ndone.wait();",
        "asked.set()\nthread.join()",
    )
    assert (first.text, second.text) == ("先\n", "后\n")


WARNS = """import logging, traceback, warnings
from llm.model import old
def here():
    warnings.warn("这里的", stacklevel=2)
here()
old()
logging.getLogger("无人管的").warning("lastResort")
try:
    import json
    json.loads("{")
except ValueError:
    traceback.print_exc()
print("正文", __file__)
"""


def test_warnings_and_logs_are_stderr_with_paths_of_no_machine(vault: Vault, cells: Cells) -> None:
    model = "import warnings\ndef old():\n    warnings.warn('库里的')\n"
    (vault.root / "llm/model.py").write_text(model, encoding="utf-8")
    (only,) = cells(WARNS)
    assert only.text == "正文 snippets/topic.py\n"
    lines = only.stderr.splitlines()
    assert lines[:5] == [
        "snippets/topic.py:6: UserWarning: 这里的",
        "  here()",
        "llm/model.py:3: UserWarning: 库里的",
        "  warnings.warn('库里的')",
        "lastResort",
    ]
    assert '  File "snippets/topic.py", line 11, in <module>' in lines
    assert any(line.startswith('  File "json/__init__.py", line ') for line in lines)


def test_an_installed_library_is_named_from_its_package(cells: Cells) -> None:
    (only,) = cells(
        "import traceback\nimport numpy as np\n"
        "try:\n    np.broadcast_to([1, 2], (3,))\nexcept ValueError:\n    traceback.print_exc()"
    )
    assert 'File "numpy/lib/_stride_tricks_impl.py"' in only.stderr


TQDM = """import time
from tqdm import tqdm
for _ in tqdm(range(3), desc="外"):
    for _ in tqdm(range(2), desc="内", leave=False, mininterval=0):
        time.sleep(0.01)
for _ in tqdm(iter("ab"), colour="green"):
    pass
tqdm.write("写在条的上面")
"""


def test_tqdm_leaves_its_last_look_and_repeats(cells: Cells) -> None:
    first, again = cells(TQDM), cells(TQDM)
    assert first == again  # 没有用时与速度
    assert first[0].text == "写在条的上面\n"
    assert first[0].stderr == "外: 100%|██████████| 3/3\n|          | 2/?\n"


# 在新的进程里跑：那里的 forkserver 才带着那里的环境
ELSEWHERE = """
import sys
from pathlib import Path
from rizhi.snippets import run
from rizhi.vault import find_vault
print(repr(run.run(find_vault(Path(sys.argv[2])), Path(sys.argv[1]))))
"""


def test_command_line_environment_and_terminal_change_nothing(
    vault: Vault, path: Path, cells: Cells
) -> None:
    body = f"import warnings\nwarnings.warn('会说的')\nwarnings.warn('不说', ImportWarning)\n{TQDM}"
    here = cells(body)
    changes = {"PYTHONWARNINGS": "error", "COLUMNS": "30", "TQDM_BAR_FORMAT": "{rate}"}
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(path), str(vault.root)]
    changes["PYTHONPATH"] = str(ROOT)
    ran = subprocess.run(command, env=os.environ | changes, capture_output=True, text=True)
    assert ran.stdout.strip() == repr(runner.Run("topic", here, "")), ran.stderr
    assert "会说的" in here[0].stderr and "不说" not in here[0].stderr


def test_many_redraws_of_one_line_are_not_too_long(cells: Cells) -> None:
    (only,) = cells("for i in range(20_000):\n    print(f'\\r第 {i} 步', end='')")
    assert only.text == "第 19999 步"


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\nprint('\\ud800')", 3, "UnicodeEncodeError: .*换成它的 repr"),
        ("x = 1\nprint('a\\0')", 3, r"输出里有控制字符 U\+0000"),
        ("import string\nprint(string.printable)", 3, r"控制字符 U\+000B"),
        ("print('\\x85')", 2, r"控制字符 U\+0085"),
        ("import sys\nprint('\\x7f', file=sys.stderr)", 3, r"标准错误里有控制字符 U\+007F"),
        ("import os\nos.write(1, b'ok\\xff')", 2, "第 3 个字节起不是 UTF-8"),
        ("import sys\nsys.stdout.buffer.write(b'\\xff')", 2, "第 1 个字节起不是 UTF-8"),
        ("x = 1\nprint('字' * 1_000_000)", 3, "输出超过 64 KiB"),
        ("x = 1\nfor _ in range(9999):\n    print('字' * 9)", 4, "输出超过 64 KiB"),
        ("import warnings\nwarnings.warn('字' * 99_999)", 3, "标准错误超过 64 KiB"),
        ("import os\nfor _ in range(20):\n    os.write(1, b'x' * 4096)", 2, "输出超过 64 KiB"),
        ("try:\n    print('\\0')\nexcept Exception:\n    pass", 3, r"U\+0000"),
        ("try:\n    print('\\0')\nexcept BaseException:\n    pass", 3, r"U\+0000"),
        ("while True:\n    print('\\r' + '百' * 999, end='')", 3, "输出超过 8192 KiB"),
        ("import logging\nlogging.warning('\\0')", 3, r"标准错误里有控制字符 U\+0000"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_its_line(
    vault: Vault, path: Path, body: str, line: int, message: str
) -> None:
    run = _run(vault, path, body)
    where = f"snippets/topic.py:{line} 单元格「第 1 格」出错："
    assert run.error.startswith(where) and re.search(message, run.error), run.error
    with pytest.raises(RizhiError, match=re.escape(where)):
        recording.record(vault, path)
    assert record.load(vault, path).state == "missing"


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('\\ud800\\0\\x1b[31m' + '长' * 1_000_000)",
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Odd",
        "raise SystemExit('\\x9b2J')",
    ],
)
def test_what_an_error_says_can_be_shown(vault: Vault, path: Path, body: str) -> None:
    error = _run(vault, path, body).error
    assert error.startswith("snippets/topic.py:") and len(error.encode()) < 4 * MAX_OUTPUT
    assert all(letter == "\n" or letter.isprintable() for letter in error)


@pytest.mark.parametrize(
    "letters", ["\ufeff开头", "行\u2028段\u2029", "\ufffe\uffff", "👩‍👩‍👧 e\u0301 ﷽", "<b>&amp;]]>"]
)
def test_odd_letters_are_read_back_as_printed(vault: Vault, path: Path, letters: str) -> None:
    path.write_text(f"# %% 一\nprint({letters!a})\n", encoding="utf-8")
    assert recording.record(vault, path)
    loaded = record.load(vault, path)
    assert loaded.state == "fresh" and loaded.record
    assert loaded.record.outputs[0].text == f"{letters}\n"


def test_stderr_is_recorded_shown_and_offered_apart(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(
        "# %% 一\nimport sys\nprint('正文')\nprint('<警告>', file=sys.stderr)\n", encoding="utf-8"
    )
    recording.record(vault, path)
    folder = vault.outputs / "topic"
    assert (folder / "01-一.stderr.txt").read_text("utf-8") == "<警告>\n"
    loaded = record.load(vault, path)
    assert loaded.record and loaded.record.outputs == (
        CellOutput("一", "正文\n", stderr="<警告>\n"),
    )
    monkeypatch.chdir(vault.root)
    page = BeautifulSoup(fence.snippet_fence("topic"), "html.parser")
    shown = page.select_one(".rz-output .rz-stderr")
    assert shown and shown.get_text() == "<警告>\n"
    (cell,) = json.loads(to_notebook(loaded.source, loaded.record))["cells"]
    printed = [(out["name"], "".join(out["text"])) for out in cell["outputs"]]
    assert printed == [("stdout", "正文\n"), ("stderr", "<警告>\n")]
    (folder / "01-一.stderr.txt").write_text("改了\n", encoding="utf-8")
    assert record.load(vault, path).state == "edited"


@pytest.mark.parametrize(
    ("body", "text", "stderr"),
    [
        ("import os\nprint('到这里')\nos.write(2, '警'.encode())\n1 / 0", "到这里\n", "警"),
        ("print('有\\x1b[31m色\\x1b[0m')\nprint('\\0')", "有色\n", ""),
        ("import os\nos.write(1, b'ok\\xff\\0\\n');", "ok\ufffd\\x00\n", ""),
        ("import os\nprint('好')\nos.write(2, b'\\xff');", "好\n", "\ufffd"),
        ("import sys\nprint(1)\nsys.stdout.close()\n1 / 0", "1\n", ""),
        (
            "class Odd(Exception):\n    def __str__(self):\n        print('说')\nraise Odd",
            "说\n",
            "",
        ),
    ],
)
def test_an_error_comes_with_what_was_printed_before_it(
    vault: Vault, path: Path, body: str, text: str, stderr: str
) -> None:
    before, failed = _run(vault, path, "print('前一格')", body).outputs
    assert before.text == "前一格\n" and before.error is None
    assert failed.error and (failed.text, failed.stderr) == (text, stderr)


def test_of_what_was_too_long_the_end_is_kept(vault: Vault, path: Path) -> None:
    (failed,) = _run(vault, path, "for i in range(99_999):\n    print(i)").outputs
    assert failed.error and failed.text.startswith("……") and len(failed.text) < MAX_OUTPUT / 4
    numbers = [int(line) for line in failed.text.splitlines()[1:]]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_prints_inside_llm_are_caught(vault: Vault, path: Path) -> None:
    (vault.root / "llm/model.py").write_text("def f():\n    print('在里面')\n", encoding="utf-8")
    run = _run(vault, path, "from llm.model import f\nf()")
    assert run.outputs[0].text == "在里面\n"
    (vault.root / "llm/model.py").write_text("def f():\n    print('改了')\n", encoding="utf-8")
    assert runner.run(vault, path).outputs[0].text == "改了\n"  # 永远是当前的 llm
