"""真的开一个 `mkdocs serve`，改知识库里的文件，等页面变成要的样子。"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests import vaults

SECONDS = 60
MASK = "notes/attention/attention-mask"


@dataclass(frozen=True)
class Served:
    """一个正在服务的副本。"""

    root: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def log(self) -> str:
        return (self.root / "serve.log").read_text("utf-8")

    def page(self, name: str = MASK) -> str:
        try:
            with urlopen(f"{self.address}/{name}.html", timeout=5) as answer:  # noqa: S310 本机
                return answer.read().decode()
        except (OSError, HTTPError):  # 正在重建
            return ""

    def wait(self, wanted: Callable[[str], bool], name: str = MASK) -> str:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            page = self.page(name)
            if page and wanted(page):
                return page
            time.sleep(0.2)
        raise AssertionError(f"{SECONDS} 秒之内页面没有变成要的样子：\n{self.log[-3000:]}")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """改一处，看过之后改回去：一个测试不站在另一个的改动上。"""
        before = (self.root / name).read_bytes()
        self.edit(name, old, new)
        try:
            yield
        finally:
            (self.root / name).write_bytes(before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    folder: Path, *command: str, prepare: Callable[[Path], object] = lambda root: None
) -> Iterator[Served]:
    """`prepare` 在开起来之前再往知识库里写点什么。"""
    root = vaults.make(folder / "vault")
    prepare(root)
    port = _free_port()
    command = (sys.executable, *command, f"127.0.0.1:{port}")
    with (root / "serve.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, text=True)
    found = Served(root, f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_up(found, port)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_up(served: Served, port: int) -> None:
    until = time.monotonic() + SECONDS
    while served.process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(served.log)
