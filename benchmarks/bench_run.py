"""在页面里跑一格的来回：从按下「跑」到输出出现在页面上，对运行器自己跑同样几格的时间。

两边都跑前面的格，各有自己的 forkserver，库都已载入。多出的是浏览器、路由、读改过的与排版；一轮各跑
几次，每次之前等上一个子进程收拾干净。

    python -m benchmarks run
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import Page

from benchmarks import bench_serve, compare, peers
from rizhi.snippets import cells
from rizhi.snippets import run as runner
from rizhi.vault import Vault, find_vault
from tests import chromium

ROUNDS = 15
TIMES = 3
REST = 0.15
TARGET = 1.3
# 页、片段与一格：印几行字的，与画图、前面有七格的
CASES = (
    ("notes/attention/attention-mask.html", "attention_mask", "因果"),
    ("notes/attention/rope.html", "rope", "每一对转得快慢不同"),
    ("notes/attention/rope.html", "rope", "图 角度"),
)
# 按下，等到最后一份输出进了页面、排过版
PRESS = """(cell) => new Promise((done) => {
  cell.querySelector(".rz-fresh")?.remove();
  const start = performance.now();
  new MutationObserver((_, watch) => {
    if (!cell.querySelector(".rz-back")) return;
    watch.disconnect();
    done((performance.now() - start) / 1e3);
  }).observe(cell, { childList: true, subtree: true });
  cell.querySelector(".rz-run").click();
})"""


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    path = chromium.executable()
    assert path, "没有 Chromium：装一个，或用环境变量 CHROMIUM 指一个"
    with chromium.launch(path, chromium.font_config(folder)) as browser:
        yield browser.new_page()


def several(once: Callable[[], float]) -> float:
    total = 0.0
    for _ in range(TIMES):
        time.sleep(REST)
        total += once()
    return total / TIMES


def in_page(page: Page, title: str) -> float:
    """页面里的一次来回，秒。"""
    found = page.locator(".rz-cell", has=page.locator(f".rz-title:text-is({title!r})"))
    took = float(found.evaluate(PRESS))
    said = found.locator(".rz-said").inner_text()
    assert said.startswith("跑完了"), said
    return took


def alone(vault: Vault, path: Path, title: str) -> float:
    """运行器自己跑到这一格，秒；读与算指纹早已做过，不算。"""
    start = time.perf_counter()
    ran = runner.run(vault, path, enough=lambda output: output.title == title)
    took = time.perf_counter() - start
    assert not ran.error, ran.error
    return took


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = peers.ours(Path(folder) / "ours")
        vault = find_vault(root, root)
        (fonts := Path(folder) / "fonts").mkdir()
        with bench_serve.serving(root) as url, browsing(fonts) as page:
            for uri, module, title in CASES:
                path = vault.snippets / f"{module}.py"
                cells.parse(path).cell(title)
                page.goto(url.replace(bench_serve.PAGE, uri))
                page.get_by_role("button", name=f"改一改：{title}").click()
                ours = partial(several, partial(in_page, page, title))
                theirs = partial(several, partial(alone, vault, path, title))
                ours(), theirs()  # 头一次要等 forkserver 载完库，两边都不算
                name = f"页面里跑 {module}:{title}，对运行器自己（秒）"
                results.append(
                    compare.ratio(name, TARGET, *compare.interleave(ours, theirs, rounds))
                )
    return compare.report("run", results)


if __name__ == "__main__":
    sys.exit(main())
