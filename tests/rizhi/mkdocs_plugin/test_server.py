"""`mkdocs serve` 的服务器：主机名、安全的头、奇怪的请求、许多请求、占着的端口。"""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from mkdocs.exceptions import PluginError

from rizhi.mkdocs_plugin import server
from tests.rizhi.mkdocs_plugin.guarded import Guarded, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with serving(tmp_path_factory.mktemp("guarded")) as found:
        yield found


HOSTS = {
    "127.0.0.1": True,
    "127.0.0.1:8000": True,
    "192.168.1.5:8000": True,
    "[::1]": True,
    "[::1]:8000": True,
    "[fe80::1]:80": True,
    "localhost": True,
    "LocalHost:8000": True,
    "mybox:8000": True,
    "": False,
    "evil.example": False,
    "evil.example:8000": False,
    "127.0.0.1.nip.io": False,
    "localhost.evil.example": False,
    "localhost.": False,
    "127.0.0.1:8000,evil.example": False,
    "127.0.0.1:80:80": False,
    "127.0.0.1:": False,
    "127.1": False,
    "2130706433": False,
    "[evil]": False,
    "[::1": False,
    "user@localhost": False,
    "localhost/": False,
    " localhost": False,
    "localhost:８０": False,
}


@pytest.mark.parametrize(("host", "right"), HOSTS.items())
def test_only_the_bound_name_localhost_and_addresses_are_known(host: str, right: bool) -> None:
    assert server.known(host, "mybox") is right


def test_a_rebinding_name_gets_no_page(served: Guarded) -> None:
    answer = served.get("/", host=f"evil.example:{served.port}")
    assert answer.status == 403 and "evil.example" in answer.read().decode()
    assert served.raw(b"GET / HTTP/1.0\r\n\r\n").split()[1] == b"403"


@pytest.mark.parametrize("path", ["/", "/a.js", "/none.html", "/livereload/0/1", "/rizhi/live/x"])
def test_every_answer_has_the_safe_headers(served: Guarded, path: str) -> None:
    found = served.get(path).headers
    assert {name: found[name] for name, _ in server.HEADERS} == dict(server.HEADERS)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_pages_are_only_read(served: Guarded, method: str) -> None:
    assert served.get("/", method=method).status == 405


ODD = [
    "/" + "长" * 300 + ".html",
    "/" + "a" * 300 + ".html",
    "/" + "a/" * 2000,
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc/passwd",
    "/a%00.html",
    "/%ff%fe.html",
    "/a.js/",
    "//evil.example/",
    "/\\..\\a",
    "/?" + "q" * 5000,
    "/livereload/99999999999999999999999/1x",
    "/%0d%0aSet-Cookie:%20a=b",
    "*",
]


@pytest.mark.parametrize("path", ODD, ids=lambda path: path[:30])
def test_an_odd_address_is_answered(served: Guarded, path: str) -> None:
    target = quote(path, safe="/%?:*\\=&")
    answer = served.raw(f"GET {target} HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode())
    status = answer.split()[1]
    assert status in (b"200", b"302", b"404") and b"root:" not in answer
    assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]
    assert served.get("/").status == 200


@pytest.mark.parametrize(
    "request_line",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"],
    ids=["空", "没有路径", "TLS", "版本", "七万字"],
)  # fmt: skip
def test_what_is_no_request_does_no_harm(served: Guarded, request_line: bytes) -> None:
    assert b"Traceback" not in served.raw(request_line)
    assert served.get("/").status == 200


def test_two_hundred_requests_at_once_are_all_answered(served: Guarded) -> None:
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: served.get(quote("/中文/页.html")).status, range(200)))
    assert answers == [200] * 200


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PluginError, match=rf"127.0.0.1:{port} 已经被占用.*-a 127.0.0.1:"):
            server.check_port("127.0.0.1", port)
    server.check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(PluginError, match=r"192\.0\.2\.1:8000 用不了"):
        server.check_port("192.0.2.1", 8000)


def test_a_build_that_fails_does_not_stop_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ValueError("坏")

    server.surviving(broken)()
    assert "没有建成" in caplog.text and "ValueError: 坏" in caplog.text


def test_a_long_name_is_not_taken_for_a_page(tmp_path: Path) -> None:
    from rizhi.mkdocs_plugin.serve import Reruns

    reruns = Reruns()
    for path, status, seen in (
        ("/notes/a.html", "200 OK", "notes/a"),
        ("/" + "a" * 300 + ".html", "404 Not Found", "notes/a"),
        ("/../../notes/b.html", "200 OK", "notes/b"),
        ("/a.js", "200 OK", "notes/b"),
        ("/", "200 OK", "index"),
    ):

        def app(_: object, start: Callable, status: str = status) -> list[bytes]:
            start(status, [])
            return []

        reruns.noting(app)({"PATH_INFO": path}, lambda *_: None)
        assert reruns._watched == seen
