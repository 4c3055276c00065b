"""上一版写下的知识库，这一版打开还是那些事：`last_version/` 由 0.1.0 的命令写成，没有人改过。"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from rizhi.vault import Vault

WRITTEN = Path(__file__).parent / "last_version"
KEPT = ("text", "state", "born", "carried", "due")


def test_the_same_todos_are_open_and_settled(rz: Callable[..., Result], vault: Vault) -> None:
    shutil.copytree(WRITTEN / "docs", vault.docs, dirs_exist_ok=True)
    before = json.loads((WRITTEN / "todos.json").read_text("utf-8"))
    said = json.loads(rz("todo", "--all", "--json", at="2027-01-02 21:30").stdout)
    after = [{name: one[name] for name in KEPT} for one in said]
    assert sorted(map(str, after)) == sorted(map(str, before)) and len(after) == 9


def test_the_next_day_goes_on_from_there(rz: Callable[..., Result], vault: Vault) -> None:
    shutil.copytree(WRITTEN / "docs", vault.docs, dirs_exist_ok=True)
    assert rz("new", at="2027-01-03 21:30").exit_code == 0
    text = (vault.daily / "2027/2027-01-03.md").read_text("utf-8")
    goals = text.partition("## 今日目标")[2].partition("\n## ")[0]
    for words in ("预训练的数据怎么打包", "跑 5 公里", "cat 与 stack", "消化", "显存的数"):
        assert words in goals
    assert "另有" not in goals


def test_what_to_record_again_is_listed(rz: Callable[..., Result], vault: Vault) -> None:
    """上一版录的：没改过的照旧是新的；片段用到的源码改过、记录被改过、没录过的，一一列出。

    上一版的源码包总是 llm，这一版要写明；没有写的，check 说出写在哪里。
    """
    shutil.copytree(WRITTEN, vault.root, dirs_exist_ok=True)
    said = json.loads(rz("check", "--json", at="2027-01-02 21:30").stdout)
    untracked = [one for one in said if one["rule"] == "R404"]
    assert untracked and all("[tool.rizhi] 的 source" in one["remedy"] for one in untracked)
    with (vault.root / "pyproject.toml").open("a", encoding="utf-8") as settings:
        settings.write('source = "llm"\n')
    said = json.loads(rz("check", "--json", at="2027-01-02 21:30").stdout)
    listed = {one["path"]: one["remedy"] for one in said if one["rule"] == "R402"}
    assert {path: remedy.split("rizhi record ")[1] for path, remedy in listed.items()} == {
        "snippets/outputs/edited/key.json": "edited",
        "snippets/scaling.py": "scaling",
        "snippets/unrecorded.py": "unrecorded",
    }
