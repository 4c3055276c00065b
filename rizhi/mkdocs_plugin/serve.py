"""边写边看：改过的片段自己重跑。正在看的那一页等它跑完；别的页用到的在后台跑，跑完再刷新一次。"""

import logging
import os
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from mkdocs.livereload import LiveReloadServer

from rizhi import store
from rizhi.errors import RizhiError
from rizhi.page import Page
from rizhi.site.graph import Memory, embedded
from rizhi.snippets import record as records
from rizhi.snippets import run
from rizhi.vault import Vault, snippet_files

log = logging.getLogger("mkdocs.rizhi")


@dataclass
class Following:
    """一次 `mkdocs serve` 记着的事。"""

    serving: bool = False
    page: str = ""  # 浏览器最近要的页面，相对于 docs，不带后缀
    tried: dict[str, str] = field(default_factory=dict)  # 出过错的片段 → 当时的指纹
    later: list[Path] = field(default_factory=list)  # 等这一遍建好再跑的片段
    failures: dict[str, str] = field(default_factory=dict)  # 片段 → 重新记录时的错误
    running: set[str] = field(default_factory=set)  # 正在后台重新运行的片段
    locks: dict[str, Lock] = field(default_factory=lambda: defaultdict(Lock))


STATE = Following()


def begin(server: LiveReloadServer, vault: Vault) -> None:
    """记下浏览器在看哪一页；后台跑完时改一下标记文件，mkdocs 就会再建一遍。"""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        # WSGI 把路径的字节当 latin-1：中文名要还原
        name = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace").strip("/")
        if name.endswith(".html") or not name:
            STATE.page = name.removesuffix(".html") or "index"
        return server.serve_request(environ, start_response)

    server.set_app(app)
    store.replace(_marker(vault), b"")
    server.watch(str(_marker(vault)))
    # 不看 snippets/outputs：那里是构建自己写的，看了会再建一遍
    server.watch(str(vault.snippets), recursive=False)
    run.warm_up(vault)


def refresh(vault: Vault, memory: Memory) -> None:
    """重跑记录过期的片段；缺了库的跑不起来，页面上会说缺什么。"""
    if not STATE.serving:
        return
    stale = [path for path in snippet_files(vault) if _stale(vault, path)]
    shown = _shown(vault, memory)
    _record_all(vault, [path for path in stale if path.stem in shown])
    STATE.later = [p for p in stale if p.stem not in shown | STATE.running]
    STATE.running.update(path.stem for path in STATE.later)


def abandon() -> None:
    """这一遍没有建成：等着后台跑的还没有跑，下一遍再算。"""
    STATE.running.difference_update(path.stem for path in STATE.later)
    STATE.later = []


def finish(vault: Vault) -> None:
    """这一遍建好了：在后台跑其余的片段；早一步就要与构建抢处理器。"""
    if STATE.later:
        Thread(target=_record_later, args=(vault, STATE.later), daemon=True).start()
        STATE.later = []


def _shown(vault: Vault, memory: Memory) -> set[str]:
    """正在看的那一页嵌着哪些片段。"""
    path = vault.docs / f"{STATE.page}.md"
    return set(embedded(memory.page(Page, vault, path))) if path.is_file() else set()


def _stale(vault: Vault, path: Path) -> bool:
    """要不要重跑；上次出的错若还在（指纹没变），就接着显示，不再试。"""
    module, loaded = path.stem, records.load(vault, path)
    if loaded.error:
        STATE.failures[module] = loaded.error
        return False
    fresh = loaded.state == "fresh"
    if not fresh and STATE.tried.get(module) == loaded.key:
        return False
    STATE.failures.pop(module, None)
    STATE.tried.pop(module, None)
    return not fresh


def _record_all(vault: Vault, paths: list[Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_record, vault), paths))


def _record(vault: Vault, path: Path) -> None:
    with STATE.locks[path.stem]:  # 后台还在跑旧的那一遍时，等它写完再跑新的
        log.info("重新记录 snippets/%s", path.name)
        key = records.load(vault, path).key
        try:
            run.record(vault, path)
        except RizhiError as error:
            STATE.tried[path.stem] = key
            STATE.failures[path.stem] = error.within(vault.root)


def _record_later(vault: Vault, paths: list[Path]) -> None:
    try:
        _record_all(vault, paths)
    finally:
        STATE.running.difference_update(path.stem for path in paths)
        store.replace(_marker(vault), str(time.monotonic_ns()).encode())


def _marker(vault: Vault) -> Path:
    return vault.root / ".rizhi" / "recorded"
