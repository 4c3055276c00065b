"""节流之下浏览器自己量的：一页多久看得见、多久点得动、取了多少字节。只作信息，不设目标。

    python -m benchmarks paint [--rounds 3]

- 服务器压缩着给（gzip）；网络由 DevTools 节流：往返 150 ms，下行 1.6 Mbps，上行 0.75 Mbps，
  处理器放慢到四分之一。每一轮都是第一次来：没有缓存。
- FCP、LCP、CLS 由 PerformanceObserver 报告；TBT 是 FCP 之后每个长任务超过 50 ms 的部分之和，
  量到网络静下来为止；字节是线上走的，头也算。
"""

import gzip
import mimetypes
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from playwright.sync_api import Browser, Page

from benchmarks import bench_site, compare, peers
from tests import chromium

ROUNDS = 3
NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 0.75e6 / 8,
}
SLOWER = 4
FLOW = "notes/model/tensor-flow.html"
TEXT = ("text/", "application/json", "application/javascript", "image/svg+xml")

OBSERVE = """
  window.seen = {lcp: 0, cls: 0, tasks: []};
  const watch = (type, note) => new PerformanceObserver(
    list => list.getEntries().forEach(note)).observe({type, buffered: true});
  watch("largest-contentful-paint", entry => { seen.lcp = entry.startTime; });
  watch("layout-shift", entry => { if (!entry.hadRecentInput) seen.cls += entry.value; });
  watch("longtask", entry => seen.tasks.push([entry.startTime, entry.duration]));
"""
READ = """() => {
  const fcp = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
  const tbt = seen.tasks.filter(([start]) => start >= fcp)
    .reduce((sum, [, spent]) => sum + Math.max(0, spent - 50), 0);
  return {"FCP ms": fcp, "LCP ms": seen.lcp, "TBT ms": tbt, "CLS": seen.cls};
}"""


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return


def answer(site: Path, asked: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """一个文件；文字都压缩。"""
    path = (site / asked["PATH_INFO"].lstrip("/")).resolve()
    if not path.is_relative_to(site) or not path.is_file():
        start("404 Not Found", [("Content-Length", "0")])
        return []
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    data, headers = path.read_bytes(), [("Content-Type", kind)]
    if kind.startswith(TEXT):
        data, headers = gzip.compress(data, 6), [*headers, ("Content-Encoding", "gzip")]
    start("200 OK", [*headers, ("Content-Length", str(len(data)))])
    return [data]


@contextmanager
def served(site: Path) -> Iterator[str]:
    app = partial(answer, site.resolve())
    with make_server("127.0.0.1", 0, app, _Threaded, _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def shown(site: Path) -> dict[str, str]:
    """量哪几页：首页、最近一天、最重的一篇笔记、张量流。"""
    days = sorted(site.glob("daily/*/????-??-??.html"))
    notes = [path for path in site.glob("notes/*/*.html") if not FLOW.endswith(path.name)]
    heaviest = max(notes, key=lambda path: path.stat().st_size)
    listed = {"首页": site / "index.html", "最重的笔记": heaviest, "张量流": site / FLOW}
    listed |= {"一天": days[-1]} if days else {}
    return {name: path.relative_to(site).as_posix() for name, path in listed.items()}


def measure(browser: Browser, url: str) -> dict[str, float]:
    """头一次打开这一页。"""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, taken = context.new_page(), [0.0]
    page.add_init_script(OBSERVE)
    _throttle(page, taken)
    page.goto(url, wait_until="networkidle", timeout=120_000)
    numbers: dict[str, float] = page.evaluate(READ)
    context.close()
    return numbers | {"传输 KB": taken[0] / 1e3}


def _throttle(page: Page, taken: list[float]) -> None:
    devtools = page.context.new_cdp_session(page)

    def finished(event: dict[str, Any]) -> None:
        taken[0] += event["encodedDataLength"]

    devtools.on("Network.loadingFinished", finished)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", NETWORK)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})


def main() -> int:
    rounds, path = compare.rounds(ROUNDS), chromium.executable()
    if path is None:
        print("没有跑：找不到 Chromium；装一个，或用环境变量 CHROMIUM 指一个。", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        root = peers.ours(Path(folder) / "vault")
        bench_site.build(root)
        fonts = chromium.font_config(Path(folder))
        with served(root / "site") as address, chromium.launch(path, fonts) as browser:
            results = {}
            for name, uri in shown(root / "site").items():
                each = [measure(browser, f"{address}/{uri}") for _ in range(rounds)]
                middle = {key: statistics.median(one[key] for one in each) for key in each[0]}
                results[name] = {"页": uri, **{key: round(v, 3) for key, v in middle.items()}}
                print(f"{name}（{uri}）：{_line(middle)}", flush=True)
    compare.save("paint", {"轮数": rounds, "节流": NETWORK | {"处理器": SLOWER}, "各页": results})
    return 0


def _line(numbers: dict[str, float]) -> str:
    return "，".join(
        f"{key} {value:.3g}" if key == "CLS" else f"{key} {value:.0f}"
        for key, value in numbers.items()
    )


if __name__ == "__main__":
    sys.exit(main())
