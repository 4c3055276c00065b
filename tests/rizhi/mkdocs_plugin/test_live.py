"""会写盘的那条路由：自己的页面来的才做，与 `rizhi done` 一样；别的都不做，服务器还活着。"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from mkdocs.livereload import LiveReloadServer

from rizhi import cli, store
from rizhi.journal import write
from rizhi.mkdocs_plugin import live, server
from rizhi.mkdocs_plugin.plugin import RizhiPlugin
from rizhi.mkdocs_plugin.rebuild import Kept, Reader
from rizhi.site.export import assets
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


def _number(served: Guarded, text: str = TODO) -> str:
    """页面写在那一行上的编号。"""
    (found,) = [one for one in write.history(served.vault).lives if one.text == text]
    assert found.number.startswith(found.id) and len(found.number) == 16
    return found.number


def test_the_number_on_the_page_settles_that_very_todo(served: Guarded) -> None:
    other = served.vault.root.with_name("other")
    shutil.copytree(served.vault.root, other)
    status, answer = served.post({"todo": _number(served)})
    told = CliRunner().invoke(cli.main, ["--root", str(other), "done", TODO])
    assert status == 200 and answer["said"] == told.output.strip()
    assert _files(served.vault.root) == _files(other)


def test_a_row_whose_todo_has_changed_since_is_refused(served: Guarded) -> None:
    number = _number(served)
    last = max(served.vault.daily.rglob("*.md"))
    text = last.read_text("utf-8")
    last.write_text(text.replace(TODO, f"{TODO}两遍"), encoding="utf-8")
    before = _files(served.vault.root)
    status, answer = served.post({"todo": number})
    assert status == 409 and "文字改过" in answer["error"] and number not in answer["error"]
    assert _files(served.vault.root) == before
    last.write_text(text, encoding="utf-8")
    assert served.post({"todo": number})[0] == 200
    before = _files(served.vault.root)
    for action in ("done", "drop"):  # 已经了结，再点一次
        assert served.post({"todo": number}, action=action)[0] == 409
    assert served.post({"todo": "0" * 16})[0] == 409
    assert _files(served.vault.root) == before


def test_two_clicks_on_one_row_settle_it_once(served: Guarded) -> None:
    number, headers = _number(served), served.headers()
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(served.post, {"todo": number}, headers) for _ in range(8)]
        statuses = sorted(one.result()[0] for one in sent)
    assert statuses == [200] + [409] * 7
    assert served.page.read_text("utf-8").count(TODO) == 1


@pytest.mark.parametrize("action, status", [("done", 409), ("new", 200), ("undo", 409)])
def test_what_the_last_command_says_only_once_comes_with_the_answer(
    served: Guarded, action: str, status: int
) -> None:
    """编辑器把旧内容整个存了回来：做成做不成，都在回答里说。"""
    assert served.post({}, action="new")[0] == 200
    before = served.page.read_text("utf-8")
    change = served.post({"todo": TODO})[1]["change"]
    served.page.write_text(f"{before}\n他又写了一句。\n", encoding="utf-8")
    answer = served.post({"todo": "0" * 16, "change": change}, action=action)
    assert answer[0] == status and "旧内容存了回来" in "".join(answer[1]["warnings"])
    assert "旧内容存了回来" not in str(served.post({"todo": "0" * 16})[1])


def test_an_action_is_taken_back_once_and_as_undo_would(served: Guarded) -> None:
    before = _files(served.vault.root)
    change = served.post({"todo": _number(served)})[1]["change"]
    assert TODO in served.page.read_text("utf-8")
    assert served.post({"change": change}, action="undoable")[1] == {"undoable": True}
    status, answer = served.post({"change": change}, action="undo")
    path = served.vault.relative(served.page)
    assert status == 200 and answer["said"] == f"退回了 rizhi done {TODO}：{path}"
    assert _files(served.vault.root) == before
    assert served.post({"change": change}, action="undoable")[1] == {"undoable": False}
    assert served.post({"change": change}, action="undo")[0] == 409


def test_what_was_changed_after_is_not_taken_back(served: Guarded) -> None:
    change = served.post({"todo": _number(served)})[1]["change"]
    text = served.page.read_text("utf-8")
    served.page.write_text(f"{text}\n他又写了一句。\n", encoding="utf-8")
    before = _files(served.vault.root)
    assert served.post({"change": change}, action="undoable")[1] == {"undoable": False}
    status, answer = served.post({"change": change}, action="undo")
    assert status == 409 and "又改过" in answer["error"]
    assert _files(served.vault.root) == before


def test_only_the_change_that_was_shown_is_taken_back(served: Guarded) -> None:
    """在别处又做了一件：页面上的「撤销」不能退成那一件。"""
    change = served.post({"todo": _number(served)})[1]["change"]
    told = CliRunner().invoke(cli.main, ["--root", str(served.vault.root), "add", "思考", "别处"])
    assert told.exit_code == 0
    before = _files(served.vault.root)
    assert served.post({"change": change}, action="undoable")[1] == {"undoable": False}
    status, answer = served.post({"change": change}, action="undo")
    assert status == 409 and "add 思考 别处" in answer["error"]
    assert _files(served.vault.root) == before


def test_what_was_taken_back_elsewhere_is_said_to_be(served: Guarded) -> None:
    assert served.post({}, action="new")[0] == 200
    change = served.post({"todo": TODO})[1]["change"]
    assert CliRunner().invoke(cli.main, ["--root", str(served.vault.root), "undo"]).exit_code == 0
    status, answer = served.post({"change": change}, action="undo")
    assert status == 409 and answer["error"] == "那一次已经退回了。"


@pytest.mark.parametrize("change", [0, -1, 1.5, "1", True, None, 10**30])
def test_a_change_that_is_none_is_refused(served: Guarded, change: object) -> None:
    assert served.post({"todo": TODO})[0] == 200
    before = _files(served.vault.root)
    assert served.post({"change": change}, action="undo")[0] == 409
    assert _files(served.vault.root) == before


def test_today_is_made_as_new_makes_it_and_never_twice(served: Guarded) -> None:
    other = served.vault.root.with_name("other")
    shutil.copytree(served.vault.root, other)
    status, answer = served.post({}, action="new")
    assert CliRunner().invoke(cli.main, ["--root", str(other), "new"]).exit_code == 0
    assert status == 200 and answer["created"]
    assert answer["page"] == f"daily/{served.today:%Y}/{served.today}.html"
    assert _files(served.vault.root) == _files(other)
    status, answer = served.post({}, action="new")
    assert (status, answer["created"]) == (200, False) and "已经有了" in answer["said"]
    assert answer["page"] == f"daily/{served.today:%Y}/{served.today}.html"
    assert _files(served.vault.root) == _files(other)


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


@pytest.mark.parametrize("name", ["", "park", "done/", "__class__", "../done", "%00"])
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


def test_the_script_and_the_styles_come_from_the_route_itself(served: Guarded) -> None:
    """站点的产物里没有它们：静态的页面上没有点不了的按钮。"""
    page = served.get("/").read().decode()
    for name in ("live.js", "live.css", "run.js", "run.css"):
        kind = "text/javascript" if name.endswith(".js") else "text/css"
        assert f'"{live.PATH}{name}"' in page
        answer = served.get(live.PATH + name)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        assert served.nonce not in answer.read().decode()
        assert served.get(live.PATH + name, method="HEAD").status == 405
    assert not [uri for uri in assets() if "live" in uri or "run" in uri]


def test_the_nonce_is_in_pages_only(served: Guarded) -> None:
    """脚本与数据文件谁都能引，不能有口令。"""
    nonce = served.nonce.encode()
    assert nonce not in served.get("/a.js").read()
    assert nonce not in served.get("/livereload/0/1").read()
    page = served.get("/404.html")
    assert nonce in page.read() and page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
