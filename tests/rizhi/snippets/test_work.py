"""在片段的子进程里跑一个函数：送来的照次序给出；死掉、死循环、不再等，都说得出，也都停得下。"""

import time
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets import run
from rizhi.vault import Vault
from tests.rizhi.snippets import tasks


def test_what_it_sends_comes_in_order(vault: Vault) -> None:
    assert list(run.work(vault, tasks.counts, (3,), 20)) == [b"0", b"1", b"2"]


def test_one_that_dies_is_said_after_what_it_sent(vault: Vault) -> None:
    got = run.work(vault, tasks.dies, (), 20)
    assert next(got) == b"before"
    with pytest.raises(RizhiError, match="退出码 3"):
        next(got)


def test_one_that_fails_is_said(vault: Vault) -> None:
    with pytest.raises(RizhiError, match="送不回结果"):
        list(run.work(vault, tasks.fails, (), 20))


def test_an_endless_loop_is_stopped(vault: Vault) -> None:
    with pytest.raises(RizhiError, match="1 秒没有跑完"):
        list(run.work(vault, tasks.loops, (), 1))


def test_nobody_waits_for_one_that_is_not_wanted(vault: Vault) -> None:
    start = time.monotonic()
    with pytest.raises(RizhiError):
        list(run.work(vault, tasks.loops, (), 100, stopped=lambda: True))
    assert time.monotonic() - start < 30


def test_it_is_guarded_like_a_snippet(vault: Vault, tmp_path: Path) -> None:
    (said,) = run.work(vault, tasks.writes, (tmp_path / "out",), 20)
    assert "片段不许写到自己的临时文件夹之外" in said.decode()
    assert not (tmp_path / "out").exists()
