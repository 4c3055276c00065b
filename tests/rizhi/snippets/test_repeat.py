"""不能重复的输出不录：地址按文字看，别的在新起的解释器里再跑一遍看。"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets import record as records
from rizhi.snippets import recording, repeat
from rizhi.snippets.cells import Cell, CellOutput, Snippet, SnippetError
from rizhi.vault import Vault

ROOT = Path(__file__).resolve().parents[3]
CANNOT_REPEAT = ROOT / "tests/rizhi/cases/snippets/cannot_repeat.py"
REPEATS = {
    "bits": "print(hex(0x3f800000), '0x3f800000 就是 1.0', 'look at 1.0')",
    "order": "print({'甲', '乙', '丙'}, sum({0.1, 0.2, 0.3}))",
    "seeded": "import random, torch\nprint(random.random(), torch.randn(9))",
    "drawn": "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);",
}
DIFFERS = {
    "ids": "print(id(object()))",
    "folder": "import os\nprint(os.getcwd())",
    "clock": "import time\nprint(f'{time.time():.2f}')",
    "seconds": "import time\nprint(time.strftime('%H:%M:%S'))",
    "process": "import os\nprint(os.getpid())",
    "unseeded": "import os\nprint(os.urandom(4))",
    "objects": "print(hash(object()))",
    "curve": "import matplotlib.pyplot as plt, os\nplt.plot(list(os.urandom(9)));",
}


@pytest.fixture
def snippet(vault: Vault) -> Callable[[str, str], Path]:
    """`snippet("topic", 代码)`：代码从第 5 行起。"""
    (vault.root / "llm/__init__.py").write_text("", encoding="utf-8")

    def made(module: str, body: str) -> Path:
        path = vault.snippets / f"{module}.py"
        path.write_text(f"# %% 零\nx = 0\n\n# %% 一\n{body}\n", encoding="utf-8")
        return path

    return made


def test_what_cannot_repeat_is_refused_with_its_line(
    vault: Vault, snippet: Callable[[str, str], Path]
) -> None:
    paths = [snippet(module, body) for module, body in (REPEATS | DIFFERS).items()]
    before = list(vault.outputs.rglob("*"))
    results = recording.record_each(vault, paths)
    made = dict(zip((path.stem for path in paths), results, strict=True))
    refused = {
        name: said.within(vault.root) for name, said in made.items() if isinstance(said, RizhiError)
    }
    assert list(refused) == list(DIFFERS), made
    for module, said in refused.items():
        assert said.startswith(f"snippets/{module}.py:5 单元格「一」再跑一遍，输出不一样。固定")
        assert ("图" if module == "curve" else "+++ 第二遍") in said, said
    new = {path.parent.name for path in vault.outputs.rglob("*") if path not in before}
    assert new - {"outputs"} == set(REPEATS)


def test_what_came_out_as_recorded_is_not_run_again(
    vault: Vault, snippet: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = snippet("order", REPEATS["order"])
    assert list(recording.record_each(vault, [path])) == [2]
    monkeypatch.setattr(recording, "_until_next_second", lambda: pytest.fail("又跑了一遍"))
    path.write_text(path.read_text("utf-8") + "# 尾\n", encoding="utf-8")
    assert list(recording.record_each(vault, [path])) == [1]


def test_what_was_recorded_while_serving_is_no_second_run(
    vault: Vault, snippet: Callable[[str, str], Path]
) -> None:
    assert recording.record(vault, snippet("ids", DIFFERS["ids"]))
    command = [sys.executable, "-m", "rizhi", "record", "ids"]
    ran = subprocess.run(command, cwd=vault.root, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "再跑一遍，输出不一样" in ran.stderr


def test_an_address_is_refused_by_its_text_before_anything_runs_again(vault: Vault) -> None:
    (vault.root / "llm/__init__.py").write_text("", encoding="utf-8")
    path = vault.snippets / "cannot_repeat.py"
    path.write_bytes(CANNOT_REPEAT.read_bytes())
    with pytest.raises(SnippetError) as refused:
        recording.record(vault, path)  # mkdocs serve 里也是这样录的：只看文字
    said = refused.value.within(vault.root)
    assert said.startswith("snippets/cannot_repeat.py:2 单元格「地址」输出第 1 行有内存地址")
    assert "A object at 0x" in said and "__repr__" in said
    assert records.load(vault, path).state == "missing"


def test_only_the_text_is_looked_at_while_serving(
    vault: Vault, snippet: Callable[[str, str], Path]
) -> None:
    assert recording.record(vault, snippet("ids", DIFFERS["ids"])) == 2


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("0.30000000000000004", "0.30000000000000005", True),  # 末位
        ("[ 0.0000]", "[-0.0000]", True),
        ("1790000000.25", "1790000000.75", False),  # 相对差远不到万分之一，却是时刻
        ("0.0123", "0.0125", False),
    ],
)
def test_only_the_last_digit_may_differ(first: str, second: str, same: bool) -> None:
    read = Snippet(Path("x.py"), "x", (Cell("一", "code", "", 2),), "")
    outputs = ((CellOutput("一", first),), (CellOutput("一", second),))
    if same:
        repeat.refuse_differences(read, *outputs)
    else:
        with pytest.raises(SnippetError, match="再跑一遍，输出不一样"):
            repeat.refuse_differences(read, *outputs)


def test_a_long_difference_is_cut(vault: Vault, snippet: Callable[[str, str], Path]) -> None:
    read = records.load(vault, snippet("topic", "pass")).source
    outputs = [(CellOutput("一", "\n".join([f"{n}" * 200] * 99)),) for n in (1, 2)]
    with pytest.raises(SnippetError) as refused:
        repeat.refuse_differences(read, *outputs)
    assert "……还有 " in refused.value.message and len(refused.value.message) < 2000


def _whoami(number: int) -> tuple[int, int]:
    if number < 0:
        raise RizhiError("负的不行")
    if number == 99:
        os._exit(1)
    return os.getpid(), number + 1


def test_work_is_done_in_one_other_interpreter() -> None:
    with repeat.elsewhere(_whoami) as ask:
        (first, two), (second, three) = ask(1), ask(2)
        assert (two, three) == (2, 3) and first == second != os.getpid()
        with pytest.raises(RizhiError, match="负的不行"):
            ask(-1)
        assert ask(3) == (first, 4)
        with pytest.raises(RizhiError, match="突然结束"):
            ask(99)


KILLED = """
import os, sys
from functools import partial
from tests.rizhi.snippets import test_repeat as here
from rizhi.snippets import repeat
if __name__ == "__main__":
    with repeat.elsewhere(here._whoami) as ask:
        print(ask(1)[0], flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="进程还在不在，从 /proc 里看")
def test_it_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    command = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdin and command.stdout
    other = int(command.stdout.readline())
    command.send_signal(signal.SIGKILL)
    command.wait()
    until = time.monotonic() + 20
    while _alive(other) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(other)
    command.stdin.close()
    command.stdout.close()


def _alive(process: int) -> bool:
    """还在跑；死了还没有人收的不算。"""
    try:
        state = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_another_number_of_figures_is_another_output() -> None:
    read = Snippet(Path("x.py"), "x", (Cell("一", "code", "", 2),), "")
    outputs = ((CellOutput("一", figures=("<svg/>",)),), (CellOutput("一"),))
    with pytest.raises(SnippetError, match="头一遍 1 张，第二遍 0 张"):
        repeat.refuse_differences(read, *outputs)
