"""边写边看：改过的片段自己重跑。正在看的那一页等它跑完；别的页用到的在后台跑，跑完再刷新一次。"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from posixpath import normpath
from threading import Lock, Thread
from typing import Any

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.mkdocs_plugin.server import App, Environ, StartResponse
from rizhi.page import Page
from rizhi.site.graph import embedded
from rizhi.snippets import record as records
from rizhi.snippets import recording
from rizhi.vault import Vault, snippet_files

log = logging.getLogger("mkdocs.rizhi")


class Reruns:
    """一次 `mkdocs serve` 里片段的重跑；只是构建时什么也不做。"""

    def __init__(self) -> None:
        self.serving = False
        self.failures: dict[str, str] = {}  # 片段 → 重跑时的错误
        self.running: set[str] = set()  # 正在后台重跑的片段
        self._watched = ""  # 浏览器最近要的页面，相对于 docs，不带后缀
        self._tried: dict[str, str] = {}  # 出过错的片段 → 当时的指纹
        self._later: list[Path] = []  # 等这一遍建好再跑的片段
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def start(self, command: str) -> None:
        """`mkdocs build` 与 `mkdocs serve` 各叫一次。"""
        self.serving = command == "serve"
        self.failures.clear()

    def state(self, module: str) -> tuple[bool, str | None]:
        """一个片段此刻跑得怎样：页面上看得见。"""
        return module in self.running, self.failures.get(module)

    def noting(self, app: App) -> App:
        """给出 `app` 的回答，记下浏览器在看哪一页。"""

        def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                # 真的给出了的才是一页：网址可以长得不能当文件名，也可以带着 ..
                if status.startswith("200") and (not name or name.endswith(".html")):
                    self._watched = name.removesuffix(".html") or "index"
                return start_response(status, headers, *rest)

            # WSGI 把路径的字节当 latin-1：中文名要还原
            path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
            name = normpath(f"/{path}").strip("/")
            return app(environ, start)

        return answer

    def places(self, vault: Vault) -> list[tuple[Path, bool]]:
        """要看着的文件与文件夹，与要不要看到底。

        后台跑完时改一下标记文件，就会再建一遍。不看 snippets/outputs：那里是构建自己写的。
        """
        found = [(_marker(vault), False), (vault.snippets, False), (vault.snippets / "runs", False)]
        return [*found, (vault.root / vault.source, True)] if vault.source else found

    def refresh(self, vault: Vault, read: Callable[[Path], Page]) -> None:
        """重跑记录过期的片段；缺了库的跑不起来，页面上会说缺什么。"""
        if not self.serving:
            return
        stale = [path for path in snippet_files(vault) if self._is_stale(vault, path)]
        page = vault.docs / f"{self._watched}.md"
        lines = embedded(read(page)) if page.is_file() else ()
        shown = {line.partition(":")[0].strip() for line in lines}
        self._record_all(vault, [path for path in stale if path.stem in shown])
        self._later = [path for path in stale if path.stem not in shown | self.running]
        self.running.update(path.stem for path in self._later)

    def abandon(self) -> None:
        """这一遍没有建成：等着后台跑的还没有跑，下一遍再算。"""
        self.running.difference_update(path.stem for path in self._later)
        self._later = []

    def finish(self, vault: Vault) -> None:
        """这一遍建好了：在后台跑其余的片段；早一步就要与构建抢处理器。"""
        if self._later:
            Thread(target=self._record_later, args=(vault, self._later), daemon=True).start()
            self._later = []

    def _is_stale(self, vault: Vault, path: Path) -> bool:
        """要不要重跑；上次出的错若还在（指纹没变），就接着显示，不再试。"""
        module, loaded = path.stem, records.load(vault, path)
        if loaded.error:
            self.failures[module] = loaded.error
            return False
        fresh = loaded.state == "fresh"
        if not fresh and self._tried.get(module) == loaded.key:
            return False
        self.failures.pop(module, None)
        self._tried.pop(module, None)
        return not fresh

    def _record_all(self, vault: Vault, paths: list[Path]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: self._record(vault, path), paths))

    def _record(self, vault: Vault, path: Path) -> None:
        with self._locks[path.stem]:  # 后台还在跑旧的那一遍时，等它写完再跑新的
            log.info("重新记录 snippets/%s", path.name)
            key = records.load(vault, path).key
            try:
                recording.record(vault, path)
            except RizhiError as error:
                self._tried[path.stem] = key
                self.failures[path.stem] = error.within(vault.root)

    def _record_later(self, vault: Vault, paths: list[Path]) -> None:
        try:
            self._record_all(vault, paths)
        finally:
            self.running.difference_update(path.stem for path in paths)
            store.replace(_marker(vault), str(time.monotonic_ns()).encode())


def _marker(vault: Vault) -> Path:
    return vault.root / ".rizhi" / "recorded"
