"""`pytest snippets`：每个片段文件跑一次，每个单元格一个测试，与记录比较。

知识库的 `snippets/conftest.py` 只有一行 import：pytest 由它认得这里的函数。
"""

import os
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property, partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from rizhi import page
from rizhi.errors import RizhiError
from rizhi.snippets import record as records
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.compare import compare
from rizhi.snippets.run import Run, run, warm_up
from rizhi.vault import Vault, find_vault, snippet_files

# 再多，限了核的容器里就彼此拖慢，一个片段的时限便不作数
_AT_ONCE = min(2, os.cpu_count() or 1)
_POOL: pytest.StashKey[ThreadPoolExecutor] = pytest.StashKey()
DRAFT = "笔记还是草稿（draft: true），不检查它的片段"
ADVICE = "确认输出是对的，再用 rizhi record 重新记录。"


class SnippetFile(pytest.File):
    """一个片段文件；轮到第一个单元格时才运行，只运行一次。"""

    @cached_property
    def vault(self) -> Vault:
        return find_vault(self.path.parent)

    @cached_property
    def loaded(self) -> records.Loaded:
        return records.load(self.vault, self.path)

    @property
    def draft(self) -> bool:
        return self.path.stem in _drafts(self.vault)

    @cached_property
    def running(self) -> Future[Run]:
        """排上队的一次运行。"""
        return _pool(self.config).submit(run, self.vault, self.path)

    def setup(self) -> None:
        """轮到第一个单元格：连同后面的文件一起排上队，结果在要用之前就备着。"""
        if hasattr(self.config, "workerinput"):
            return  # pytest -n：别的文件也许归别的进程，几个进程也已经用满了核
        files = dict.fromkeys(item.parent for item in self.session.items)
        for file in files:
            if isinstance(file, SnippetFile) and not file.draft:
                file.running  # noqa: B018 取一下就排上了队

    def collect(self) -> Iterator["CellItem"]:
        if self.loaded.snippet is None and self.draft:
            pytest.skip(DRAFT)
        if self.loaded.snippet is None:
            raise self.CollectError(self.loaded.error)
        if not self.config.option.collectonly:
            warm_up(self.vault)  # 一边收集，一边载入外面的库
        for cell in self.loaded.snippet.code_cells:
            yield CellItem.from_parent(self, name=cell.title)


class CellItem(pytest.Item):
    """一个单元格：跑得通，输出与记录相同，记录是新的。"""

    parent: SnippetFile

    def runtest(self) -> None:
        if self.parent.draft:
            pytest.skip(DRAFT)
        complaint = self._complaint()
        if complaint:
            pytest.fail(complaint, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.parent.loaded.source.cell(self.name).line - 1, self.name

    def _complaint(self) -> str:
        """这一格哪里不对，没有则为空串。"""
        try:
            result = self.parent.running.result()
        except RizhiError as error:
            return error.within(self.parent.vault.root)
        outputs = (output for output in result.outputs if output.title == self.name)
        output = next(outputs, None)
        if output is None:
            return result.error
        if output.error:
            self.add_report_section("call", "stdout", output.text)
            self.add_report_section("call", "stderr", output.stderr)
            return output.error
        return compare_with_record(self.parent.loaded, output)


@cache  # 每个文件都要问，全部笔记只读一遍
def _drafts(vault: Vault) -> frozenset[str]:
    """草稿的片段。"""
    notes = page.read_notes(vault)
    return frozenset(note.module for note in notes if note.draft)


def _pool(config: pytest.Config) -> ThreadPoolExecutor:
    """一次会话里运行片段的队；会话结束时没跑完的不等。"""
    if (pool := config.stash.get(_POOL, None)) is None:
        pool = config.stash[_POOL] = ThreadPoolExecutor(_AT_ONCE)
        config.add_cleanup(partial(_stop, pool))
    return pool


def _stop(pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for child in active_children():
        child.kill()


def compare_with_record(loaded: records.Loaded, output: CellOutput) -> str:
    """一格的输出与记录差在哪里、记录新不新；都对就是空串。"""
    if loaded.error:
        return loaded.error
    recorded = loaded.record.output(output.title) if loaded.record else None
    difference = compare(recorded, output)
    stale = records.STATES[loaded.state].test
    if loaded.state == "stale" and not difference:
        stale += "这一格的输出没变。"
    return f"{stale}\n{difference}\n{ADVICE}".strip() if difference or stale else ""


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    """点名一个片段文件时，pytest 还会把它当成普通的测试模块载入：换掉，而不是多收一份。"""
    collectors = yield
    # 记录里的几百个文件不必每个都去找知识库
    if file_path.suffix == ".py" and file_path.resolve() in snippet_files(
        find_vault(file_path.parent)
    ):
        return [SnippetFile.from_parent(parent, path=file_path)]
    return collectors
