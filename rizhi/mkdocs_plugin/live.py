"""`mkdocs serve` 的页面上能做的事：唯一会写盘、会跑代码的一条路由，`POST /rizhi/live/动作名`。

别的网页、别的端口、别的机器、DNS 重绑定都到不了它（见 `_check`）。口令每次 serve 换一个，
只写在这个服务器给出的页面的 `<head>` 里：别的源读不到页面的内容，而脚本文件谁都能引。
能点的框、按钮都由同处接上的脚本（`_ASSETS`）在浏览器里装上；它们不写进磁盘上的产物，
所以静态的站点上没有点不了的，增量构建与从头建的也一样。

动作有两种：做完才回答的，一个 JSON 对象；一边做一边说的（在页面里跑一格），一行一个。
"""

import hashlib
import ipaddress
import json
import logging
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.journal import write
from rizhi.journal.todo import Todo, brief
from rizhi.links import text_only
from rizhi.mkdocs_plugin.live_run import Runs
from rizhi.mkdocs_plugin.server import App, Environ, StartResponse
from rizhi.vault import Vault, today
from rizhi.zh import cause

log = logging.getLogger("mkdocs.rizhi")

PATH = "/rizhi/live/"
HEADER = "X-Rizhi-Nonce"  # 自己的头：别的源要先问一次（preflight），这里从不答应
MAX_BYTES = 64 << 10
ACTION_SECONDS = 30.0
_CONTROL = re.compile("[\\x00-\\x1f\\x7f\\u2028\\u2029\\ud800-\\udfff]")
_KINDS = {".css": "text/css", ".js": "text/javascript"}
# 每一页接上的样式与脚本，照这个次序：别的脚本用 live.js 的 `rizhiLive`
_ASSETS = (
    "live.css",
    "live.js",
    "run.css",
    "run.js",
    "review.css",
    "review.js",
)

Answer = dict[str, Any]
Action = Callable[[Vault, Mapping[str, Any]], Answer]
Stream = Callable[[Vault, Mapping[str, Any]], Generator[Answer, None, None]]


class _Refused(Exception):
    """不做，与为什么；`warnings` 是在那之前已经知道、只说这一次的话。"""

    def __init__(self, status: str, why: str, warnings: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.status, self.warnings = status, list(warnings)


# ---- 动作 ----


def _warned(act: Callable[[Vault, Mapping[str, Any], list[str]], Answer]) -> Action:
    """先收拾上一条命令留下的：它的话只说这一次，做成做不成都随回答带给页面。"""

    def action(vault: Vault, wanted: Mapping[str, Any]) -> Answer:
        warnings = store.settle(vault.root)
        try:
            return {**act(vault, wanted, warnings), "warnings": warnings}
        except (RizhiError, OSError) as error:
            raise _Refused("409 Conflict", cause(error, vault.root), warnings) from error

    return action


def settle(
    vault: Vault, wanted: Mapping[str, Any], warnings: list[str], *, mark: str, verb: str
) -> Answer:
    """了结一条待办，与命令行的 done、drop 一样；`todo` 是编号或文字。

    页面送来的是十六位的编号：文字或写下的那天变了，就对不上，不会了结成别的一条。
    """
    text = _text(wanted, "todo")
    result = write.settle(vault, today(vault), text, mark, warnings.append)
    if len(result.candidates) != 1:
        raise RizhiError(_unmatched(text, result.candidates))
    path = vault.relative(result.path)
    said = f"{verb}：{result.text}（{path}）"
    return {"said": said, "path": path, "change": result.change}


def new(vault: Vault, wanted: Mapping[str, Any], warnings: list[str]) -> Answer:
    """新建今天那一页，与 `rizhi new` 一样；已有就说已有。"""
    day = today(vault)
    page = write.create(vault, day, now=day)
    warnings += page.warnings
    path = vault.relative(page.path)
    return {
        "said": f"写好 {path}。" if page.created else f"{path} 已经有了。",
        "path": path,
        "page": page.path.relative_to(vault.docs).with_suffix(".html").as_posix(),
        "created": page.created,
        "change": page.change,
    }


def undo(vault: Vault, wanted: Mapping[str, Any], _: list[str]) -> Answer:
    """退回刚才那一号改动，与 `rizhi undo` 一样；后来又有过别的，就不退。"""
    undone = store.undo(vault.root, _number(wanted, "change"))
    names = "、".join(vault.relative(path) for path in undone.paths)
    return {"said": f"退回了 rizhi {undone.command}：{names}"}


def undoable(vault: Vault, wanted: Mapping[str, Any]) -> Answer:
    """这一号改动此刻退不退得回；什么也不写。"""
    return {"undoable": store.undoable(vault.root, _number(wanted, "change"))}


ACTIONS: dict[str, Action] = {
    "done": _warned(partial(settle, mark="x", verb="完成")),
    "drop": _warned(partial(settle, mark="-", verb="放弃")),
    "new": _warned(new),
    "undo": _warned(undo),
    "undoable": undoable,
}


def _unmatched(text: str, candidates: Sequence[Todo]) -> str:
    if re.fullmatch("[0-9a-f]{16}", text):
        return "这一条不在开着的待办里了：已经了结，或文字改过。页面刷新之后再看。"
    found = "；".join(f"{todo.id} {text_only(brief(todo.text))}" for todo in candidates)
    count = f"对得上 {len(candidates)} 条，用编号指明：{found}" if found else "没有这一条"
    return f"开着的待办里，「{text}」{count}。"


def _number(wanted: Mapping[str, Any], name: str) -> int:
    number = wanted.get(name)
    if type(number) is not int or number <= 0:
        raise RizhiError(f"{name} 应是一个正整数。")
    return number


def _text(wanted: Mapping[str, Any], name: str) -> str:
    text = wanted.get(name)
    if not isinstance(text, str) or not text.strip() or len(text) > 1000:
        raise RizhiError(f"{name} 应是一段不空的文字，至多 1000 个字符。")
    if _CONTROL.search(text):
        raise RizhiError(f"{name} 里有换行、控制字符或不成对的代理字符。")
    return text


# ---- 路由 ----


def route(
    app: App,
    host: str,
    vault: Callable[[], Vault],
    more: Mapping[str, Action] = MappingProxyType({}),
) -> App:
    """给 `app` 加上这条路由；不是只绑定到本机的，就根本没有它。`more` 是另外的动作。"""
    return Live(app, vault, more) if is_loopback(host) else app


def is_loopback(host: str) -> bool:
    """是不是只有本机连得上的地址。"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(environ: Environ, expected: str) -> None:
    """八个条件里看请求头就知道的；少一个也不答应。

    异常：不答应，抛 _Refused。
    """
    host, port = environ.get("HTTP_HOST", ""), environ["SERVER_PORT"]
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    nonce = environ.get("HTTP_" + HEADER.upper().replace("-", "_"))
    for holds, why in (
        (is_loopback(environ.get("REMOTE_ADDR", "")), "只许从本机来"),
        (host in hosts, "只许从 localhost 或 127.0.0.1 打开的页面来"),
        (origin == f"http://{host}", "只许从这个服务器自己的页面来"),
        (site in (None, "same-origin"), "只许从这个服务器自己的页面来"),
        (kind == "application/json", "只收 application/json"),
        (nonce is not None, f"没有 {HEADER} 这个头"),
    ):
        if not holds:
            raise _Refused("403 Forbidden", f"{why}。")
    if not secrets.compare_digest(str(nonce).encode(), expected.encode()):
        raise _Refused("403 Forbidden", "口令不对：serve 重新开过，刷新这一页再试。")


class Live:
    """`app` 加上这条路由，并在它给出的每一页里写上口令，接上页面的脚本。"""

    def __init__(self, app: App, vault: Callable[[], Vault], more: Mapping[str, Action]) -> None:
        self._app, self._vault = app, vault
        self._nonce = secrets.token_urlsafe(32)
        self._busy = Lock()
        self._pool = ThreadPoolExecutor(1, "rizhi-live")
        runs = Runs()
        self._streams: dict[str, Stream] = {"run": runs.run}
        # 这一次 serve 自己的，另加 ACTIONS
        self._own: dict[str, Action] = {"stop": runs.stop, **more}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(PATH):
            return self._page(environ, start_response)
        name = path.removeprefix(PATH)
        if name in _ASSETS and environ["REQUEST_METHOD"] == "GET":
            status, kind = "200 OK", f"{_KINDS[Path(name).suffix]}; charset=utf-8"
            body = (Path(__file__).parent / "assets" / name).read_bytes()
        else:
            (status, answer), kind = self._answer(environ), "application/json"
            if isinstance(answer, Iterator):
                kind = "application/x-ndjson; charset=utf-8"
                start_response(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
                return answer
            body = _json(answer)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(status, [*headers, ("Cache-Control", "no-store")])
        return [body]

    def _answer(self, environ: Environ) -> tuple[str, Answer | Iterator[bytes]]:
        try:
            if environ["REQUEST_METHOD"] != "POST":
                raise _Refused("405 Method Not Allowed", "只收 POST。")
            # 不收完就断开，浏览器读不到为什么不答应；不长，收完无妨
            data = _received(environ["wsgi.input"], _length(environ))
            _check(environ, self._nonce)
            name = environ["PATH_INFO"].removeprefix(PATH)
            if stream := self._streams.get(name):
                return "200 OK", _sent(stream(self._vault(), _parsed(data)))
            action = self._own.get(name) or ACTIONS.get(name)
            if action is None:
                known = "、".join((*ACTIONS, *self._own, *self._streams))
                raise _Refused("404 Not Found", f"没有这个动作；有 {known}。")
            return "200 OK", self._run(action, _parsed(data))
        except _Refused as refused:
            told = {"warnings": refused.warnings} if refused.warnings else {}
            return refused.status, {"error": str(refused), **told}
        except (RizhiError, OSError) as error:
            return "409 Conflict", {"error": cause(error, self._vault().root)}
        except Exception:  # 服务器的边界：说一句，细节在终端里
            log.exception("%s 出错", environ["PATH_INFO"])
            return "500 Internal Server Error", {"error": "出了意外的错，细节在终端里。"}

    def _run(self, action: Action, wanted: Mapping[str, Any]) -> Answer:
        """一次只做一个，别的等着；到了时限先回答，做完之前仍不接下一个。"""
        if not self._busy.acquire(timeout=ACTION_SECONDS):
            raise _Refused("503 Service Unavailable", "上一个动作还没有做完，稍后再试。")
        done = self._pool.submit(action, self._vault(), wanted)
        done.add_done_callback(self._release)
        try:
            return done.result(ACTION_SECONDS)
        except TimeoutError as error:
            if not done.done():
                raise _Refused("504 Gateway Timeout", _LATE) from error
            raise

    def _release(self, _: Future[Answer]) -> None:
        self._busy.release()

    def _page(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """一页 HTML 写上口令、接上脚本；别的原样给。"""
        began: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            began.append((status, headers))

        body = self._app(environ, start)
        ((status, headers),) = began
        if not dict(headers).get("Content-Type", "").startswith("text/html"):
            start_response(status, headers)
            return body
        html = b"".join(body)
        getattr(body, "close", lambda: None)()  # WSGI：谁收下的谁关上
        head, mark, tail = html.partition(b"</head>")
        html = head + self._head().encode() + mark + tail if mark else html
        kept = [pair for pair in headers if pair[0] != "Content-Length"]
        start_response(status, [*kept, ("Content-Length", str(len(html)))])
        return [html]

    def _head(self) -> str:
        """口令、在浏览器里分得开几个知识库的记号，与要接上的脚本、样式。"""
        vault = hashlib.sha256(str(self._vault().root).encode()).hexdigest()[:12]
        links = (
            f'<link rel="stylesheet" href="{PATH}{name}">'
            if name.endswith(".css")
            else f'<script defer src="{PATH}{name}"></script>'
            for name in _ASSETS
        )
        said = (("nonce", self._nonce), ("vault", vault))
        metas = (f'<meta name="rizhi-{name}" content="{value}">' for name, value in said)
        return "".join((*metas, *links))


_LATE = f"{ACTION_SECONDS:g} 秒还没有做完，也许稍后会做完：看一眼那一页再决定。"


def _sent(answers: Generator[Answer, None, None]) -> Iterator[bytes]:
    """一行一个；对方断开了，服务器就关上它，`answers` 也就关上。"""
    with closing(answers):
        try:
            for answer in answers:
                yield _json(answer) + b"\n"
        except Exception:  # 也许送出了几行，改不了状态了
            log.exception("一边做一边说的一件事出错")
            yield _json({"error": "出了意外的错，细节在终端里。"}) + b"\n"


def _json(answer: Answer) -> bytes:
    # 对方送来的话里也许有不成对的代理字符：JSON 的转义正好是这个写法
    return json.dumps(answer, ensure_ascii=False).encode(errors="backslashreplace")


def _length(environ: Environ) -> int:
    """body 有多长。

    异常：没有说、说得不对、太长，抛 _Refused。
    """
    length = environ.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in environ or not re.fullmatch(r"\d{1,12}", length, re.A):
        raise _Refused("411 Length Required", "要有 Content-Length，不收 Transfer-Encoding。")
    if int(length) > MAX_BYTES:
        raise _Refused("413 Content Too Large", f"至多 {MAX_BYTES >> 10} KB。")
    return int(length)


def _received(body: Any, length: int) -> bytes:
    """收完 body；对方不送完，服务器的时限到了就不等。

    异常：没有收完，抛 _Refused。
    """
    try:
        data: bytes = body.read(length)
    except TimeoutError as error:
        raise _Refused("408 Request Timeout", "没有在时限之内收完。") from error
    if len(data) < length:
        raise _Refused("400 Bad Request", "没有送完就断了。")
    return data


def _parsed(data: bytes) -> Mapping[str, Any]:
    """异常：不是一个 JSON 对象，抛 _Refused。"""
    try:
        wanted = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Refused("400 Bad Request", "不是 JSON。") from error
    if not isinstance(wanted, dict):
        raise _Refused("400 Bad Request", "应是一个 JSON 对象。")
    return wanted
