"""命令的测试共用：在一个临时的知识库里，按指定的时刻运行一条命令。"""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rizhi import cli, store
from rizhi import vault as vaults
from rizhi.vault import Vault, day_path

Run = Callable[..., Result]


@pytest.fixture
def rz(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`rz("new", at="2026-11-23 21:30")`：运行一条命令，时钟停在 `at`。"""
    # 没有编辑器开着，不必等它存完
    monkeypatch.setattr(store, "_RECENT", 0.0)
    monkeypatch.setattr(store, "_WATCH", 0.0)

    def run(*arguments: str, at: str = "2026-11-23 21:30", input: str | None = None) -> Result:
        monkeypatch.setattr(vaults, "now", lambda: datetime.fromisoformat(at))
        command = ["--root", str(vault.root), *arguments]
        result = CliRunner().invoke(cli.main, command, input=input, prog_name="rizhi")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def write(vault: Vault) -> Callable[[str, str], Path]:
    """`write("2026-11-20", 正文)`：手写一天。"""

    def made(day: str, text: str) -> Path:
        path = day_path(vault, date.fromisoformat(day))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return made


@pytest.fixture
def snapshot(vault: Vault) -> Callable[[], dict[str, bytes]]:
    """知识库里全部文件的字节；备忘与锁不算。"""

    def taken() -> dict[str, bytes]:
        files = (p for p in vault.root.rglob("*") if p.is_file() and ".rizhi" not in p.parts)
        return {vault.relative(path): path.read_bytes() for path in files}

    return taken
