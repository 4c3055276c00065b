"""指南里的命令与输出：逐条重放一遍，一个字不差；每条命令都写到了。

每一页从一个空的知识库开始；写明 `title="路径"` 的代码块是人在编辑器里存的文件，照样存下。
改了输出之后，用 `python tests/rizhi/test_guide.py` 重写指南里的输出，再看 git diff 对不对。
"""

import os
import re
import shlex
import tempfile
from datetime import datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rizhi import cli, vault

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/guide"
COMMANDS = GUIDE / "commands.md"
REPLAYED = ("commands.md", "start.md", "note.md", "daily.md")
# 标题里，或注释里（页面上看不见）的钟点，管到下一个为止
_CLOCK = re.compile(r"^(?:#+|<!--) .*?(\d{4}-\d\d-\d\d \d\d:\d\d)", re.M)
_BLOCK = re.compile(
    r"""^(?P<fence>`{3,})(?P<kind>console|\w+\ title="(?P<path>[^"]+)")\n
    (?P<text>.*?)^(?P=fence)$""",
    re.M | re.S | re.X,
)
_ANSWER = re.compile(r"停下 q: (\w)$", re.M)


def replay(text: str, folder: Path) -> str:
    """在空的知识库里从头重放，返回换上真实输出的指南。"""
    (folder / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
    for name in ("docs/daily", "docs/notes", "snippets"):
        (folder / name).mkdir(parents=True)
    state = {"code": 0}

    def block(found: re.Match[str]) -> str:
        if found["path"]:
            _save(Path(found["path"]), found["text"])
            return found[0]
        clock = _CLOCK.findall(text, 0, found.start())[-1]
        parts = re.split(r"^\$ (.*)\n", found["text"], flags=re.M)[1:]
        replayed = "".join(
            f"$ {command}\n{_run(command, said, clock, state)}"
            for command, said in zip(parts[::2], parts[1::2], strict=True)
        )
        return f"{found['fence']}console\n{replayed}{found['fence']}"

    return _BLOCK.sub(block, text)


def _run(command: str, said: str, clock: str, state: dict[str, int]) -> str:
    """一条命令的输出；`cat` 一个还没有的文件，就照指南里的样子放一个在那里。"""
    if command == "echo $?":
        return f"{state['code']}\n"
    name, *arguments = shlex.split(command)
    if name == "cat":
        path = Path(arguments[0])
        if not path.exists():
            _save(path, said)
        return path.read_text("utf-8").rstrip("\n") + "\n"
    assert name == "rizhi", command
    vault.now = lambda: datetime.fromisoformat(clock)
    answers = "".join(f"{a}\n" for a in _ANSWER.findall(said))
    result = CliRunner().invoke(cli.main, arguments, input=answers, prog_name="rizhi")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    state["code"] = result.exit_code
    _settle(datetime.fromisoformat(clock).timestamp())
    return result.output


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _settle(moment: float) -> None:
    """文件的时间也停在那一刻：周报在 git 之外靠它认出改过的笔记。"""
    for path in Path().rglob("*.*"):
        if path.is_file() and path.stat().st_mtime > moment:
            os.utime(path, (moment, moment))


@pytest.mark.parametrize("name", REPLAYED)
def test_every_output_in_the_guide_is_real(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forkserver: None
) -> None:
    monkeypatch.setattr(vault, "now", vault.now)  # 重放会换掉时钟，测完还原
    monkeypatch.chdir(tmp_path)
    text = (GUIDE / name).read_text("utf-8")
    assert text.count("$ rizhi ") > 2
    assert replay(text, tmp_path).splitlines() == text.splitlines()


def test_every_command_shown_with_its_output_is_replayed() -> None:
    shown = {path.name for path in GUIDE.glob("*.md") if "```console\n" in path.read_text("utf-8")}
    assert shown == set(REPLAYED)


def test_the_guide_names_exactly_the_commands_that_exist() -> None:
    text = COMMANDS.read_text("utf-8")
    listed = re.findall(r"^### rizhi (\S+)$", text, re.M)
    assert sorted(listed) == sorted(cli.main.commands) and len(set(listed)) == len(listed)
    for name in listed:
        part = text.split(f"### rizhi {name}\n")[1].split("\n### ")[0].split("\n## ")[0]
        assert f"$ rizhi {name} --help\n" in part, name
    used = set(re.findall(r"^\$ rizhi (\S+)", text.split("## 全部命令")[0], re.M))
    assert used >= set(cli.main.commands) - {"record", "completion"}  # 那一周里其余的都真的用过


def test_every_option_is_explained() -> None:
    for name, command in cli.main.commands.items():
        assert command.help and command.help.endswith("。"), name
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert option.help and option.help.endswith("。"), f"{name} {option.name}"


def main() -> None:
    """重写指南里的输出。"""
    for name in REPLAYED:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            text = replay((GUIDE / name).read_text("utf-8"), Path(folder))
        (GUIDE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
