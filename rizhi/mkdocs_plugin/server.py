"""`mkdocs serve` 的服务器：只答该答的主机名，每个回答带上安全的头，谁也不能让一个线程等下去。

CSP 挡的是泄漏（页面里混进的脚本与图，不能把内容送到别的主机），不挡注入：
主题的内联脚本与热加载都要 'unsafe-inline'。
"""

import errno
import gc
import io
import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from threading import Timer
from typing import Any

from mkdocs.exceptions import Abort, PluginError
from mkdocs.livereload import LiveReloadServer, _Handler

from rizhi.zh import CAUSES

log = logging.getLogger("mkdocs.rizhi")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

SECONDS = 10.0  # 一个请求从连上到收完，至多这么久
_IDLE = 1.0
_BACKLOG = 256  # 同时来的请求排得下；socketserver 默认只排五个
_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", _CSP),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
]
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:,\s]+)(?::\d{1,5})?", re.I | re.A)


def protect(server: LiveReloadServer, app: App, name: str) -> None:
    """给出 `app` 的回答，带上守卫；`name` 是绑定的主机名。"""
    server.set_app(guarded(app, name))
    server.RequestHandlerClass = Handler
    server.request_queue_size = _BACKLOG


def guarded(app: App, name: str) -> App:
    """只答认得的主机名与读的请求（`app` 自己的 POST 除外），每个回答带上安全的头。"""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *HEADERS], *rest)

        host = environ.get("HTTP_HOST", "")
        if not known(host, name):
            return refuse(start, "403 Forbidden", f"不答主机名 {host!a}：用 localhost 或地址打开。")
        if "\0" in environ["PATH_INFO"]:
            return refuse(start, "404 Not Found", "没有这一页。")
        return app(environ, start)

    return answer


def reading(app: App) -> App:
    """只许读。"""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return refuse(start_response, "405 Method Not Allowed", "只许读。")
        return app(environ, start_response)

    return answer


def known(host: str, name: str) -> bool:
    """绑定的名字、localhost 与字面地址；DNS 重绑定一定要用别的名字。"""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    asked = found[1].lower()
    return asked in ("localhost", name.lower()) or is_address(asked)


def is_address(text: str) -> bool:
    """是不是字面的 IPv4 或 IPv6 地址。"""
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def refuse(start_response: StartResponse, status: str, why: str) -> list[bytes]:
    """不答应，说一句为什么。"""
    body = f"{why}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


class Handler(_Handler):
    """收一个请求有总的时限：连上不说话、一个字节一个字节地送，都等不过它。"""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Timed(self.connection, SECONDS))

    def handle(self) -> None:
        try:
            super().handle()
        except (TimeoutError, ConnectionError) as error:
            log.debug("%s 断开：%s", self.client_address[0], error)


class _Timed(io.RawIOBase):
    """从连接里读，到时限为止；时限过后，写也只等剩下的这一点。"""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._until = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("没有在时限之内收完")
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(SECONDS)


def check_port(host: str, port: int) -> None:
    """头一次构建之前就看端口能不能用，免得建完了才说。

    异常：用不了，抛 PluginError，说哪个端口、怎么换。
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET  # 与 mkdocs 选的一样
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "已经被占用，也许另一个 serve 还开着"
        else:
            why = f"用不了（{CAUSES.get(error.errno or 0, error.strerror)}）"
        message = f"{host}:{port} {why}。关掉它，或换一个端口：mkdocs serve -a 127.0.0.1:{port + 1}"
        raise PluginError(message) from error


def surviving(build: Callable[[], None]) -> Callable[[], None]:
    """这一遍没有建成，就接着给上一次的页：mkdocs 会让每个请求一直等到下一次建成。

    一遍建完，那时的整个站点绕着圈互相引用，阈值又调得高（见 `on_config`）：等页面给出去了再回收。
    """

    def again() -> None:
        try:
            build()
        except (Exception, Abort) as error:
            detail = not isinstance(error, Abort | PluginError)
            log.error("这一遍没有建成，先看上一次的；改好再存。%s", error, exc_info=detail)
        finally:
            later = Timer(_IDLE, gc.collect)
            later.daemon = True
            later.start()

    return again
