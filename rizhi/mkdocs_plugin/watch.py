"""`mkdocs serve` 看着哪些文件变了、一天过去了没有。

mkdocs 自己的监看在头一次构建之后才开始，其间存的要等下次存盘才看得见；看着的文件夹移走一次，
就再也不看了。这里从读第一个文件之前看起，每半秒比一遍；今天是哪一天也在比的里面。
"""

import os
from collections.abc import Callable, Iterator
from datetime import date
from threading import Event, Lock, Thread

from mkdocs.livereload import LiveReloadServer
from watchdog.events import FileModifiedEvent, FileSystemEventHandler

from rizhi.vault import Fingerprint, fingerprint

SECONDS = 0.5
Place = tuple[str, bool]  # 一个文件或文件夹，要不要看到底
Seen = dict[str, Fingerprint]


class Observer(Thread):
    """换下 mkdocs 的那一个：它只用这几个方法。"""

    def __init__(self, today: Callable[[], date]) -> None:
        super().__init__(daemon=True)
        self._today, self._day = today, today()
        self._seen: dict[Place, Seen] = {}
        self._handlers: dict[Place, FileSystemEventHandler] = {}
        self._lock = Lock()
        self._stopped = Event()

    def remember(self, path: str, *, recursive: bool = True) -> None:
        """从现在看起；记过的不重记。"""
        place = (os.path.abspath(path), recursive)  # noqa: PTH100  mkdocs 用的就是它
        with self._lock:
            if place not in self._seen:
                self._seen[place] = _look(place)

    def schedule(self, handler: FileSystemEventHandler, path: str, *, recursive: bool) -> Place:
        """变了就告诉 `handler`。"""
        self.remember(path, recursive=recursive)
        self._handlers[path, recursive] = handler
        return path, recursive

    def unschedule(self, place: Place) -> None:
        """不再看。"""
        del self._handlers[place]

    def take_over(self, server: LiveReloadServer) -> None:
        """接着看 mkdocs 已经看着的。"""
        paths = list(server._watched_paths)
        for path in paths:
            server.unwatch(path)
        server.observer = self  # type: ignore[assignment]
        for path in paths:
            server.watch(path)

    def run(self) -> None:
        while not self._stopped.wait(SECONDS):
            self.poll()

    def poll(self) -> None:
        """比一遍；mkdocs 每收到一次，就等到不再变了才重建。"""
        handlers = list(self._handlers.items())
        changed = [handler for place, handler in handlers if self._differs(place)]
        today = self._today()
        if today != self._day:
            self._day = today
            changed += [handler for _, handler in handlers[:1]]
        for handler in changed:
            handler.on_any_event(FileModifiedEvent(""))

    def stop(self) -> None:
        self._stopped.set()

    def _differs(self, place: Place) -> bool:
        now = _look(place)
        before, self._seen[place] = self._seen[place], now
        return before != now


def _look(place: Place) -> Seen:
    """此刻有哪些文件，各是什么样；没有的就没有，再回来时又有了。"""
    path, recursive = place
    names = _files(path, recursive) if os.path.isdir(path) else [path]  # noqa: PTH112
    return {name: fingerprint(name) for name in names}


def _files(folder: str, recursive: bool) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # 正好被移走
        return
    for entry in entries:
        # 编辑器的交换文件与没写完的临时文件；编译的缓存
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield entry.path
        elif recursive:
            yield from _files(entry.path, recursive)
