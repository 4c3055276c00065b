"""会写盘的那条路由：自己的页面来的才做，与 `rizhi done` 一样；别的都不做，服务器还活着。"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from mkdocs.livereload import LiveReloadServer

from rizhi import cli, store
from rizhi.mkdocs_plugin import live, server
from rizhi.mkdocs_plugin.plugin import RizhiPlugin
from rizhi.mkdocs_plugin.rebuild import Kept, Reader
from rizhi.snippets import run
from rizhi.vault import Vault
from tests.rizhi.mkdocs_plugin.guarded import Guarded, serving

TODO = "读一遍归一化"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Guarded]:
    with serving(tmp_path) as found:
        yield found


def _files(root: Path) -> dict[str, bytes]:
    found = sorted(path for path in (root / "docs").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("action", ["done", "drop"])
def test_an_action_writes_what_the_command_writes(served: Guarded, action: str) -> None:
    other = served.vault.root.with_name("other")
    shutil.copytree(served.vault.root, other)
    status, answer = served.post({"todo": TODO}, action=action)
    told = CliRunner().invoke(cli.main, ["--root", str(other), action, TODO])
    assert status == 200 and told.exit_code == 0
    assert answer["said"] == told.output.strip()
    assert _files(served.vault.root) == _files(other)
    assert answer["path"] == served.vault.relative(served.page)


def test_an_action_is_taken_back_by_undo(served: Guarded) -> None:
    before = _files(served.vault.root)
    assert served.post({"todo": TODO})[1]["undo"] == "rizhi undo"
    assert TODO in served.page.read_text("utf-8")
    assert store.undo(served.vault.root).command == f"done {TODO}"
    assert _files(served.vault.root) == before


def test_what_a_killed_command_left_is_settled_first(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "settle", lambda root: [f"善后了 {root}"])
    assert served.post({"todo": TODO})[1]["warnings"] == [f"善后了 {served.vault.root}"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"todo": "没有这一条"}, "没有这一条"),
        ({"todo": "写"}, "用编号指明"),
        ({"todo": ""}, "不空"),
        ({"todo": 5}, "不空"),
        ({}, "不空"),
        ({"todo": "甲\n乙"}, "换行"),
        ({"todo": "\ud800"}, "代理"),
        ({"todo": "长" * 2000}, "1000"),
    ],
)
def test_a_todo_that_is_not_one_is_said(served: Guarded, body: dict, says: str) -> None:
    if body.get("todo") == "写":
        day = served.page
        day.parent.mkdir(parents=True, exist_ok=True)
        day.write_text(f"# {served.today}\n\n- [ ] 写甲\n- [ ] 写乙\n", encoding="utf-8")
    before = _files(served.vault.root)
    status, answer = served.post(body)
    assert status == 409 and says in answer["error"]
    assert _files(served.vault.root) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 60_000, 400)],
)
def test_a_body_that_is_no_object_is_refused(served: Guarded, body: bytes, status: int) -> None:
    assert served.post(body)[0] == status


@pytest.mark.parametrize(
    "changed",
    [
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
        {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"},
        {"Host": "127.0.0.2:{port}", "Origin": "http://127.0.0.2:{port}"},
        {"Host": "LOCALHOST:{port}", "Origin": "http://LOCALHOST:{port}"},
        {"Host": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "null"},
        {"Origin": None},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": None},
        {live.HEADER: None},
        {live.HEADER: ""},
        {live.HEADER: "猜的".encode().decode("latin-1")},
    ],
    ids=str,
)
def test_without_one_of_the_conditions_nothing_is_done(
    served: Guarded, changed: dict[str, str | None]
) -> None:
    headers: dict[str, str | None] = {**served.headers(), **changed}
    given = {k: v.replace("{port}", str(served.port)) for k, v in headers.items() if v is not None}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    body = json.dumps({"todo": TODO})
    request = f"POST {live.PATH}done HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}"
    assert served.raw(request.encode("latin-1")).split()[1] == b"403"
    assert not served.page.exists() and served.get().status == 200


def test_the_browsers_that_send_no_fetch_site_are_answered(served: Guarded) -> None:
    headers = served.headers()
    del headers["Sec-Fetch-Site"]
    assert served.post({"todo": TODO}, headers)[0] == 200


def test_localhost_is_this_server_too(served: Guarded) -> None:
    host = f"localhost:{served.port}"
    headers = {**served.headers(), "Host": host, "Origin": f"http://{host}"}
    assert served.post({"todo": TODO}, headers)[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "DELETE"])
def test_only_post_is_an_action_and_no_preflight_is_granted(served: Guarded, method: str) -> None:
    answer = served.get(f"{live.PATH}done", method=method)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("name", ["", "undo", "done/", "__class__", "../done", "%00"])
def test_an_unknown_action_is_not_found(served: Guarded, name: str) -> None:
    headers = "".join(f"{k}: {v}\r\n" for k, v in served.headers().items())
    path = f"{live.PATH}{name}"
    request = f"POST {path} HTTP/1.1\r\n{headers}Content-Length: 2\r\n\r\n{{}}"
    assert served.raw(request.encode()).split()[1] == b"404"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", b"411"),
        ("Content-Length: -5\r\n", b"411"),
        ("Content-Length: 1e3\r\n", b"411"),
        ("Content-Length: ٣\r\n", b"411"),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"411"),
        ("Transfer-Encoding: chunked\r\n", b"411"),
        (f"Content-Length: {live.MAX_BYTES + 1}\r\n", b"413"),
        ("Content-Length: 52428800\r\n", b"413"),
    ],
)
def test_a_body_of_unknown_or_great_length_is_refused(
    served: Guarded, lines: str, status: bytes
) -> None:
    own = "".join(f"{k}: {v}\r\n" for k, v in served.headers().items())
    request = f"POST {live.PATH}done HTTP/1.1\r\n{own}{lines}\r\n{{}}"
    assert served.raw(request.encode("utf-8")).split()[1] == status


def test_fifty_megabytes_are_not_taken_in(served: Guarded) -> None:
    own = "".join(f"{k}: {v}\r\n" for k, v in served.headers().items())
    head = f"POST {live.PATH}done HTTP/1.1\r\n{own}Content-Length: {50 << 20}\r\n\r\n".encode()
    started = time.monotonic()
    served.raw(head + bytes(50 << 20))
    assert time.monotonic() - started < 5 and served.get().status == 200
    assert not served.page.exists()


def test_a_body_that_stops_short_does_not_hold_a_thread(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.5)
    own = "".join(f"{k}: {v}\r\n" for k, v in served.headers().items())
    head = f"POST {live.PATH}done HTTP/1.1\r\n{own}Content-Length: 30\r\n\r\n"
    assert b"408" in served.raw(head.encode() + b'{"todo":')
    assert served.raw(b"GET / HTTP/1.1\r\nHost: loc") == b""  # 头也没有送完
    until = time.monotonic() + 5
    while _waiting() and time.monotonic() < until:
        time.sleep(0.02)
    assert not _waiting()
    assert served.post({"todo": TODO})[0] == 200


def _waiting() -> list[str]:
    """还在答一个请求的线程。"""
    return [one.name for one in threading.enumerate() if "process_request" in one.name]


def test_one_action_at_a_time_and_each_has_its_time(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = threading.Event()

    def slow(vault: Vault, wanted: object) -> dict:
        going.wait(20)
        return {}

    monkeypatch.setitem(live.ACTIONS, "slow", slow)
    monkeypatch.setattr(live, "ACTION_SECONDS", 0.3)
    assert served.post({}, action="slow")[0] == 504
    assert served.post({"todo": TODO})[0] == 503
    going.set()
    until = time.monotonic() + 10
    while served.post({"todo": TODO})[0] == 503 and time.monotonic() < until:
        time.sleep(0.05)
    assert TODO in served.page.read_text("utf-8")


def test_an_action_that_fails_says_so_and_the_next_one_works(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(vault: Vault, wanted: object) -> dict:
        raise KeyError("坏")

    def full(vault: Vault, wanted: object) -> dict:
        raise OSError(28, "No space left on device", str(vault.root / "docs/a.md"))

    monkeypatch.setitem(live.ACTIONS, "broken", broken)
    monkeypatch.setitem(live.ACTIONS, "full", full)
    assert served.post({}, action="broken") == (500, {"error": "出了意外的错，细节在终端里。"})
    assert served.post({}, action="full") == (409, {"error": "docs/a.md：磁盘满了。"})
    assert served.post({"todo": TODO})[0] == 200


@pytest.mark.parametrize("bound", ["0.0.0.0", "192.168.1.5", "::", "box.lan"])  # noqa: S104
def test_bound_beyond_this_machine_there_is_no_route(tmp_path: Path, bound: str) -> None:
    with serving(tmp_path, bound) as served:
        assert served.nonce == ""
        answer = served.get(f"{live.PATH}done", method="POST")
        assert (answer.status, answer.read().decode()) == (405, "只许读。\n")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_option_switches_it_off(
    served: Guarded, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    monkeypatch.setattr(run, "warm_up", lambda _: None)
    plugin = RizhiPlugin()
    plugin.load_config({"live": wanted})
    plugin._reader = Reader(served.vault, Kept())
    pages = str(served.vault.root.with_name("site"))
    made = LiveReloadServer(lambda: None, "127.0.0.1", 0, pages)
    config: Any = SimpleNamespace(dev_addr=("127.0.0.1", 0), user_configs=[{}])
    plugin.on_serve(made, config=config, builder=None)
    environ = {"PATH_INFO": "/", "HTTP_HOST": "localhost", "REQUEST_METHOD": "GET"}
    page = b"".join(made.application(environ, lambda *_: None))
    assert (b"rizhi-nonce" in page) is wanted
    made.server_close()


def test_each_serve_has_a_nonce_of_its_own(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as one, serving(tmp_path / "b") as two:
        assert len(one.nonce) >= 32 and one.nonce != two.nonce
        status, answer = one.post({"todo": TODO}, {**one.headers(), live.HEADER: two.nonce})
        assert status == 403 and "刷新" in answer["error"]


def test_the_nonce_is_in_pages_only(served: Guarded) -> None:
    """脚本与数据文件谁都能引，不能有口令。"""
    nonce = served.nonce.encode()
    assert nonce not in served.get("/a.js").read()
    assert nonce not in served.get("/livereload/0/1").read()
    page = served.get("/404.html")
    assert nonce in page.read() and page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
