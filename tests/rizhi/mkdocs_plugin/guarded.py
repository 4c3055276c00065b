"""一个不构建的小服务器：mkdocs 的服务器，配上守卫与会写盘的那条路由，只给出几页。"""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from mkdocs.livereload import LiveReloadServer

from rizhi.mkdocs_plugin import live
from rizhi.mkdocs_plugin.server import protect, reading
from rizhi.vault import Vault, find_vault, today
from tests import vaults

PAGE = "<html><head><title>页</title></head><body><p>在</p></body></html>"


@dataclass(frozen=True)
class Guarded:
    """正在服务的小服务器与它的知识库。"""

    port: int
    vault: Vault
    today: date

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def page(self) -> Path:
        """今天那一页。"""
        return self.vault.daily / f"{self.today:%Y}/{self.today}.md"

    def raw(self, data: bytes, wait: float = 20) -> bytes:
        """原样送出，收到断开为止；被断开时收了多少算多少。"""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            got = b""
            try:
                connection.sendall(data)
                while more := connection.recv(65536):
                    got += more
            except ConnectionError:
                pass
            return got

    def get(self, path: str = "/", host: str = "", method: str = "GET") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={"Host": host or self.host})
        return connection.getresponse()

    @property
    def nonce(self) -> str:
        found = re.search(r'rizhi-nonce" content="([\w-]+)"', self.get("/").read().decode())
        return found[1] if found else ""

    def headers(self) -> dict[str, str]:
        """这个服务器自己的页面会送的头。"""
        return {
            "Host": self.host,
            "Origin": f"http://{self.host}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            live.HEADER: self.nonce,
        }

    def post(
        self, body: Any, headers: dict[str, str] | None = None, action: str = "done"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.putrequest("POST", live.PATH + action, skip_host=True)
        given = self.headers() if headers is None else headers
        for name, value in {"Content-Length": str(len(data)), **given}.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    @contextmanager
    def stream(self, body: Any, action: str = "run") -> Iterator[Iterator[dict[str, Any]]]:
        """一行一个 JSON 的回答，来一行给一行，空的不给；出去就断开。"""
        data = json.dumps(body).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        request = f"POST {live.PATH}{action} HTTP/1.1\r\n{head}Content-Length: {len(data)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request.encode() + data)
            with connection.makefile("rb") as file:
                assert b"200" in file.readline()
                while file.readline().strip():
                    pass  # 头
                yield filter(None, map(json.loads, file))


@contextmanager
def serving(root: Path, bound: str = "127.0.0.1") -> Iterator[Guarded]:
    """在 `root` 造一个知识库与几页，开一个服务器；`bound` 是它自以为绑定的主机名。"""
    pages = root / "site"
    (pages / "中文").mkdir(parents=True)
    for name in ("index.html", "404.html", "中文/页.html"):
        (pages / name).write_text(PAGE, encoding="utf-8")
    (pages / "a.js").write_text("1", encoding="utf-8")
    (root / "vault").mkdir()
    (root / "vault/pyproject.toml").write_text("[tool.rizhi]\n", encoding="utf-8")
    vault = find_vault(root / "vault")
    vaults.write_days(vault.root, today(vault) - timedelta(days=1))
    with listening(vault, pages, bound) as found:
        yield found


@contextmanager
def listening(vault: Vault, pages: Path, bound: str = "127.0.0.1") -> Iterator[Guarded]:
    """给出 `pages` 里建好的页，动的是 `vault`；没有题可复习，页面问起来也答得上。"""
    idle = {"review-state": lambda *_: {"due": 0, "new": 0, "done": 0}}
    server = LiveReloadServer(lambda: None, "127.0.0.1", 0, str(pages), shutdown_delay=0.02)
    protect(server, live.route(reading(server.serve_request), bound, lambda: vault, idle), bound)
    server.server_bind()
    server.server_activate()
    server.serve_thread.start()
    try:
        yield Guarded(server.server_port, vault, today(vault))
    finally:
        server.shutdown()
