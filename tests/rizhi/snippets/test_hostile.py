"""敌意的片段：要么拒绝，说出格与行；要么留下的记录 check、构建、`pytest snippets` 看法一致。"""

import re
import sys
import traceback
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from rizhi.check import check_vault
from rizhi.errors import RizhiError
from rizhi.snippets import record as records
from rizhi.snippets import recording
from rizhi.snippets import run as runner
from rizhi.snippets.collect import compare_with_record
from rizhi.snippets.fence import Context, fences
from rizhi.snippets.notebook import to_notebook
from rizhi.vault import Vault
from tests.rizhi.snippets.hostile import snippets

SEED = 20261126
REFUSED = r"snippets/{name}:\d+ 单元格「.+?」.*[\u4e00-\u9fff]"


@pytest.mark.skipif(sys.platform == "win32", reason="信号与描述符是 POSIX 的")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_everyone_agrees_on_what_hostile_snippets_leave(
    vault: Vault, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    complaints: list[str] = []
    for number, text in enumerate(snippets(count, SEED)):
        path = vault.snippets / f"hostile_{number:03d}.py"
        path.write_text(text, encoding="utf-8")
        found = [*_complaints(vault, path), *filter(None, [capfd.readouterr().err])]
        complaints += [f"{path.name}\n{text}\n{what}" for what in found]
    kept = {p.name for p in vault.outputs.iterdir() if (p / "key.json").is_file()}
    checked = {p.path.stem for p in check_vault(vault, date(2026, 11, 26)) if p.rule == "R402"}
    assert complaints == [] and count / 5 < len(kept) < count * 4 / 5
    assert checked == {p.stem for p in vault.snippets.glob("*.py")} - kept


def _complaints(vault: Vault, path: Path) -> Iterator[str]:
    """记录一个片段，再由各处来看它；返回看法不一的地方。"""
    try:
        recording.record(vault, path)
    except RizhiError as error:
        head = error.within(vault.root).partition("\n")[0]
        if not re.match(REFUSED.format(name=path.name), head):
            yield f"拒绝了，没有说清：{error}"
        # 打印了地址的跑得通，只是不能录
        yield from _disagreements(vault, path, "missing", runs="内存地址" in head)
    except Exception:
        yield traceback.format_exc()
    else:
        yield from _disagreements(vault, path, "fresh", runs=True)


def _disagreements(vault: Vault, path: Path, state: str, *, runs: bool) -> Iterator[str]:
    loaded = records.load(vault, path)
    if loaded.state != state:
        yield f"记录应是 {state}，现在是 {loaded.state}：{loaded.error}"
    html = fences(Context(vault))["snippet"](path.stem)
    html.encode(), to_notebook(loaded.source, loaded.record).encode()  # 两样都要写成文件
    if ("rz-trouble" in html) != (state == "missing"):
        yield f"构建不同意：{html[-500:]}"
    run = runner.run(vault, path)
    run.error.encode()
    if bool(run.error) == runs:
        yield f"再跑一遍不一样：{run.error}"
    if state == "fresh":
        said = (compare_with_record(loaded, output) for output in run.outputs)
        yield from (f"pytest snippets 不同意：{what}" for what in said if what)
