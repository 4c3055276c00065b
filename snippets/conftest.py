"""`pytest snippets`：每个片段文件跑一次，每个单元格一个测试，与记录比较。"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rizhi import page, vault
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets import run as runner

VAULT = vault.find_vault(Path(__file__).parent.parent)
ADVICE = "确认输出是对的，再用 rizhi record 重新记录。"


class SnippetFile(pytest.File):
    """一个片段文件；第一个单元格要结果时才运行，只运行一次。"""

    def collect(self) -> Iterator["CellItem"]:
        self.run: runner.Run | None = None
        self.parsed = cells.parse(self.path)
        for cell in self.parsed.code_cells:
            yield CellItem.from_parent(self, name=cell.title)

    def outputs(self) -> runner.Run:
        self.run = self.run or runner.run(VAULT, self.path)
        return self.run


class CellItem(pytest.Item):
    """一个单元格：跑得通，输出与记录相同，记录是新的。"""

    parent: SnippetFile

    def runtest(self) -> None:
        path, title = self.parent.path, self.name
        if path.stem in _drafts():
            pytest.skip("笔记还是草稿（draft: true），不检查它的片段")
        run = self.parent.outputs()
        got = next((out for out in run.outputs if out.title == title), None)
        if got is None or got.error:
            pytest.fail((got and got.error) or run.error, pytrace=False)
        loaded = records.load(VAULT, path)
        difference = records.compare(loaded.record and loaded.record.output(title), got)
        stale = loaded.error or records.STATES[loaded.state].test
        if difference or stale:
            pytest.fail(f"{stale}\n{difference}\n{ADVICE}".strip(), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.parent.path, self.parent.parsed.cell(self.name).line - 1, self.name


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    """点名一个片段文件时，pytest 还会把它当成普通的测试模块载入：换掉，而不是多收一份。"""
    found = yield
    if file_path in vault.snippet_files(VAULT):
        return [SnippetFile.from_parent(parent, path=file_path)]
    return found


def _drafts() -> set[str]:
    notes = page.read_notes(VAULT)
    return {note.snippet or vault.module_of(note.slug) for note in notes if note.draft}
