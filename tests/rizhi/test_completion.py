"""补全：候选来自知识库，什么时候都不出声、不写盘；bash 真的补一遍。"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from rizhi import cli
from rizhi.recall import log
from rizhi.vault import Vault

Run = Callable[..., Result]


@pytest.fixture
def offered(rz: Run, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`offered("rename", "ro")`：光标停在最后一个词上，在知识库里按 Tab 得到什么。"""
    for name in ("model/rope", "attention/attention-mask"):
        path = vault.notes / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\ntitle: {path.stem}\n---\n", encoding="utf-8")
    (vault.snippets / "repeat_kv.py").write_text("# %% 甲\nprint(1)\n", encoding="utf-8")
    monkeypatch.chdir(vault.root)
    script = ShellComplete(cli.main, {}, "rizhi", "_RIZHI_COMPLETE")

    def complete(*words: str) -> list[str]:
        found = script.get_completions(list(words[:-1]), words[-1])
        return [item.value for item in found]

    return complete


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("re",), ["record", "rename", "resume", "review"]),
        (("rename", ""), ["attention-mask", "rope"]),
        (("rename", "ro"), ["rope"]),
        (("record", "re"), ["repeat-kv"]),
        (("record", "repeat-kv", ""), ["repeat-kv"]),
        (("add", "思"), ["思考"]),
        (("note", "x", "--group", ""), ["attention", "model"]),
        (("note", "x", "--group", "att"), ["attention"]),
    ],
)
def test_names_come_from_the_vault(
    offered: Callable[..., list[str]], words: tuple[str, ...], names: list[str]
) -> None:
    assert set(names) == {n for n in offered(*words) if not n.startswith("-")}


def test_sections_of_his_own_are_offered(
    offered: Callable[..., list[str]], write: Callable[[str, str], Path], rz: Run
) -> None:
    rz("todo")  # 时钟停在 2026-11-23
    write("2026-11-23", "# 2026-11-23\n\n## 思量\n\n- 甲\n")
    assert set(offered("add", "思")) == {"思量", "思考"}


def test_the_vault_that_root_names(
    offered: Callable[..., list[str]], vault: Vault, tmp_path_factory: pytest.TempPathFactory
) -> None:
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert offered("rename", "") == []
    assert offered("--root", str(vault.root), "rename", "r") == ["rope"]
    assert offered("rename", "--root", str(vault.root), "r") == ["rope"]


@pytest.mark.parametrize("settings", ["", "[tool.rizhi\n", "[tool.rizhi]\nday_ends = 99\n"])
def test_it_is_silent_and_writes_nothing(
    offered: Callable[..., list[str]],
    vault: Vault,
    snapshot: Callable[[], dict[str, bytes]],
    capfd: pytest.CaptureFixture[str],
    settings: str,
) -> None:
    (vault.root / "pyproject.toml").write_text(settings, encoding="utf-8")
    before = snapshot()
    for words in (("rename", ""), ("add", ""), ("record", ""), ("note", "x", "--group", "")):
        offered(*words)
    assert snapshot() == before and not (vault.root / ".rizhi").exists()
    assert capfd.readouterr() == ("", "")


def test_the_sleeping_are_offered_by_note_and_number(
    offered: Callable[..., list[str]], vault: Vault
) -> None:
    assert offered("review", "--wake", "") == []
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    told = {"card": "c1", "note": "rope", "kind": "自测", "text": "题"}
    log.append(vault, [log.event("born", moment, **told), log.event("sleep", moment, card="c1")])
    assert offered("review", "--wake", "") == ["c1", "rope"]
    assert offered("review", "--wake", "r") == ["rope"]


@pytest.mark.skipif(not shutil.which("bash"), reason="要 bash")
def test_bash_really_completes(offered: Callable[..., list[str]], rz: Run, tmp_path: Path) -> None:
    script = rz("completion", "bash").output
    program = tmp_path / "bin/rizhi"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom rizhi.cli import main\nmain()\n", "utf-8")
    program.chmod(0o755)
    asked = f"""{script}
COMP_WORDS=(rizhi rename at) COMP_CWORD=2
_rizhi_completion rizhi at rename
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(cli.__file__).parents[1]),
    }
    run = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=env)
    assert (run.stdout, run.stderr) == ("attention-mask\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(rz: Run, shell: str) -> None:
    script = rz("completion", shell).output
    assert "_RIZHI_COMPLETE" in script and f"{shell}_complete" in script
