"""在真的终端里：一场十张走一遍，Ctrl-C、Ctrl-D、编辑器、乱码、写今天之前先问。"""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from rizhi import cli
from rizhi.recall import log, schedule
from rizhi.snippets import recording
from rizhi.vault import Vault

Run = Callable[..., Result]
SNIPPET = """
# %% 加
print(1 + 1, [2])

# %% 坏 排序返回 None
xs = [3, 1]
print(xs.sort(), xs)
"""


@dataclass
class Terminal:
    """一个伪终端与里面的 rizhi。"""

    master: int
    process: subprocess.Popen[bytes]
    seen: str = ""

    def expect(self, text: str, again: str = "") -> str:
        """等到屏幕上出现 `text`，返回到它为止的，再从它后面看起；两秒没有动静就再按 `again`。"""
        until = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < until, f"没有等到「{text}」，屏幕上是：\n{self.seen}"
            if not select.select([self.master], [], [], 2)[0]:
                self.send(again)
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            assert data, f"没有等到「{text}」就结束了，屏幕上是：\n{self.seen}"
            self.seen += data.decode("utf-8", "replace").replace("\r\n", "\n")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def send(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def press(self, key: str) -> None:
        """等它真的在等一个键（早了的会被 click 冲掉），再按。"""
        until = time.monotonic() + 60
        while termios.tcgetattr(self.master)[3] & termios.ICANON:
            assert time.monotonic() < until, "没有在等一个键"
            time.sleep(0.005)
        self.send(key)

    def ends(self) -> int:
        """等它结束；其间把屏幕读完，免得它写不出来。"""
        until = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        return self.process.wait(10)


def _take_terminal() -> None:
    """像终端里起的那样：测试在后台跑的，SIGINT 是忽略着的，会传下来。"""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(vault: Vault, *arguments: str, **environment: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    code = "from rizhi.cli import main; main(prog_name='rizhi')"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--root", str(vault.root), *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "LANG": "C.UTF-8", "TERM": "xterm", **environment},
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.fixture
def full(vault: Vault) -> Vault:
    """一篇九题自测；另一篇一格输出，一格坏的：一篇里各种题轮着来，分开才一样一样地问。"""
    path = vault.notes / "model/rope.md"
    path.parent.mkdir(parents=True)
    words = "掩码 旋转 缓存 分组 归一化 采样 损失 拼接 广播".split()
    body = "".join(f'??? question "{word}是怎么回事？"\n    答案是{word}\n\n' for word in words)
    path.write_text(f"---\ntitle: 题\n---\n\n# 题\n\n## 自测\n\n{body}", "utf-8")
    path.with_name("sort.md").write_text("---\nsnippet: sort\n---\n\n# 序\n", "utf-8")
    (vault.snippets / "sort.py").write_text(SNIPPET, "utf-8")
    recording.record(vault, vault.snippets / "sort.py")
    return vault


def grades(vault: Vault) -> list[int]:
    return [event.fields["grade"] for event in log.read(vault)[0] if event.what == "review"]


def test_a_session_of_ten_cards(full: Vault) -> None:
    """八张自评，一张打字，一张坏的：提示、跳过、撤回两张、放弃，都在里面。"""
    with terminal(full, "review", "--new", "11") as screen:
        screen.expect("11 张：到期的 0，新的 11。")
        for number in range(1, 9):
            screen.expect(f"[{number}/11] rope · 自测")
            screen.expect("回车看答案")
            if number == 2:
                screen.press("h")
                screen.expect("答…")
                screen.expect("回车看答案")
            screen.press("\r")
            screen.expect("1 忘了")
            screen.press("3")
        screen.expect("[9/11]")
        screen.expect("回车看答案")
        screen.press("u")
        screen.expect("撤回了，再答一遍。\n\n[8/11]")
        screen.expect("回车看答案")
        screen.press("u")
        screen.expect("撤回了，再答一遍。\n\n[7/11]")
        for number in (7, 8):
            screen.expect("回车看答案")
            screen.press("\r")
            screen.expect("1 忘了")
            screen.press("14"[number - 7])
        screen.expect("[9/11]")
        screen.expect("回车看答案")
        screen.press("s")
        screen.expect("print(1 + 1, [2])")
        screen.expect("> ")
        screen.send("2 [3]\r")
        screen.expect("不对：第 1 行写到「2[」都对，后面不一样。")
        screen.expect("> ")
        screen.send("2 [2]\r")
        screen.expect("对。")
        screen.expect("回车就是 2")
        screen.press("\r")
        bad = screen.expect("> ")
        assert "这段代码会错在哪？它会打印什么？共 1 行。" in bad and "排序返回" not in bad
        screen.send("\r")
        screen.expect("None [1, 3]\n\n坏 排序返回 None")
        screen.expect("答了 10 张，忘了 2 张。")
        screen.expect("u 撤回最后一张")
        screen.press("\r")
        assert screen.ends() == 0
    assert sorted(grades(full)) == [1, 1, 2, 3, 3, 3, 3, 3, 3, 4]
    assert len(schedule.replay(log.read(full)[0])) == 10


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_ctrl_c_and_ctrl_d_lose_nothing(full: Vault, key: str) -> None:
    with terminal(full, "review", "--new", "3") as screen:
        screen.expect("回车看答案")
        screen.press("\r")
        screen.expect("1 忘了")
        screen.press("4")
        screen.expect("[2/3]")
        screen.expect("回车看答案")
        screen.press(key)
        screen.expect("停在第 2 张（共 3 张）；答过的都记下了，再来就从这里接着。")
        screen.expect("已中断。")
        assert screen.ends() == 1
    assert grades(full) == [4]


def test_ctrl_c_while_typing_an_answer(full: Vault) -> None:
    (full.notes / "model/rope.md").unlink()
    with terminal(full, "review") as screen:
        screen.expect("> ")
        screen.send("2 [\x03")  # 恰在它开始读之前到的 SIGINT，解释器要到下一次才看见
        screen.expect("停在第 1 张（共 2 张）", again="\x03")
        assert screen.ends() == 1
    assert not log.path(full).exists()


def test_the_answer_is_written_in_his_editor_without_a_shell(full: Vault, tmp_path: Path) -> None:
    (full.notes / "model/rope.md").unlink()
    editor = tmp_path / "我的 编辑器.py"
    editor.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'w').write('2 [2]\\n')\n", "utf-8"
    )
    editor.chmod(0o755)
    with terminal(full, "review", EDITOR=f"'{editor}' ';touch' /nowhere", VISUAL="") as screen:
        screen.expect("> ")
        screen.send("e\r")
        screen.expect("对。")
        screen.expect("回车就是 3")
        screen.press("\r")
        screen.expect("[2/2]")
        screen.send("q\r")
        screen.expect("答了 1 张，忘了 0 张。")
        assert screen.ends() == 0
    assert grades(full) == [3]


def test_bytes_that_are_no_text_and_a_very_long_line_are_wrong_answers(full: Vault) -> None:
    (full.notes / "model/rope.md").unlink()
    with terminal(full, "review") as screen:
        screen.expect("> ")
        screen.send(b"\xff\xfe\xb0\xa1\r")
        screen.expect("不对：")
        screen.expect("> ")
        screen.send("8" * 4000 + "\r")
        screen.expect("不对：")
        screen.expect("> ")
        screen.send("g\r")
        screen.expect("2 [2]")
        screen.expect("[2/2]")
        screen.send("q\r")
        assert screen.ends() == 0
    (event,) = (event for event in log.read(full)[0] if event.what == "review")
    assert event.fields["grade"] == 1 and event.fields["attempt"].endswith("8" * 4000)


# ---- 写今天之前 ----


@pytest.fixture
def asking(full: Vault) -> Vault:
    settings = full.root / "pyproject.toml"
    settings.write_text(settings.read_text("utf-8") + "ask = 2\n", "utf-8")
    return full


def test_new_asks_before_it_writes(asking: Vault) -> None:
    with terminal(asking, "new") as screen:
        for number in (1, 2):
            screen.expect(f"[{number}/2]")
            screen.expect("回车看答案")
            assert not list(asking.daily.rglob("*.md"))
            screen.press("\r")
            screen.expect("1 忘了")
            screen.press("3")
        screen.expect("u 撤回最后一张")
        screen.press("\r")
        screen.expect("写好 docs/daily/")
        assert screen.ends() == 0
    assert grades(asking) == [3, 3] and len(list(asking.daily.rglob("*.md"))) == 1
    with terminal(asking, "new") as screen:  # 今天的一页在了，不再问
        screen.expect("已存在")
        assert screen.ends() == 1


def test_in_a_pipe_new_asks_nothing(asking: Vault, rz: Run) -> None:
    assert "[1/2]" not in rz("new").output
    assert len(list(asking.daily.rglob("*.md"))) == 1 and not log.path(asking).exists()


def test_a_wrong_setting_is_told(asking: Vault, rz: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asking.root / "pyproject.toml"
    settings.write_text(settings.read_text("utf-8").replace("ask = 2", 'ask = "三"'), "utf-8")
    monkeypatch.setattr(cli, "_in_terminal", lambda: True)
    result = rz("new")
    assert "ask = '三'：应是不小于 0 的整数" in result.stderr
