"""边写边看：从存盘到页面刷新。我方的 `mkdocs serve` 与同样页面的光秃秃的 `mkdocs serve`，轮流改。

改笔记直接比；改片段与 llm 多出一次子进程的运行，所以先减去它，再与对方改笔记的时间比。

    python -m benchmarks serve
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from benchmarks import compare, peers
from rizhi.snippets import record
from rizhi.snippets import run as runner
from rizhi.vault import find_vault, snippet_files

ROUNDS = 9
TARGET = 1.2
NOTE = "docs/notes/attention/attention-mask.md"
PAGE = "notes/attention/attention-mask.html"
SNIPPET = "snippets/attention_mask.py"
MODEL = "llm/model.py"
LIMIT = 300  # 秒；慢的机器上把全部片段重跑一遍也够
_marks = count(100_000)
_open = build_opener(ProxyHandler({})).open  # 本机的地址，设了代理也不经过它


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """开一个 `mkdocs serve`，给出它的地址；等不到时说出它最后的话。"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mkdocs", "serve", "-q", "-a", f"127.0.0.1:{port}"]
    log = root / "serve.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=root, stderr=said)
    url = f"http://127.0.0.1:{port}/{PAGE}"
    try:
        wait_for(url, "<html")
        time.sleep(1.0)  # 先开服务，再给文件拍第一张快照：早改的一笔会看不见
        yield url
    except TimeoutError as late:
        raise TimeoutError(f"{late}\n{log.read_text('utf-8')[-3000:]}") from late
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str, text: str, *, gone: bool = False) -> None:
    """等到页面里出现 `text`；`gone` 则是等它消失。"""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        try:
            with _open(url, timeout=10) as answer:
                if (text in answer.read().decode()) is not gone:
                    return
        except (OSError, HTTPError):
            pass  # 还没开起来，或正在重建
        time.sleep(0.02)
    raise TimeoutError(f"{LIMIT} 秒里 {url} {'还有' if gone else '没有出现'} {text}")


def edit(root: Path, name: str, after: str, line: str) -> None:
    """在 `after` 那一行之后换上一行新的；原来那行标着「基准」。"""
    path = root / name
    kept = [row for row in path.read_text("utf-8").splitlines(True) if "基准" not in row]
    at = next(number for number, row in enumerate(kept) if after in row) + 1
    kept.insert(at, line)
    path.write_text("".join(kept), encoding="utf-8")


def change_note(root: Path, url: str) -> float:
    mark = f"基准{next(_marks)}"
    start = time.perf_counter()
    edit(root, NOTE, "## 一句话", f"\n{mark}\n")
    wait_for(url, mark)
    return time.perf_counter() - start


def change_snippet(root: Path, url: str) -> float:
    mark = next(_marks)
    start = time.perf_counter()
    edit(root, SNIPPET, "mask = causal_mask(4)", f"print({mark - 1} + 1)  # 基准\n")
    wait_for(url, str(mark))  # 源码里写的是它减一
    return time.perf_counter() - start - one_run(root)


def change_llm(root: Path, url: str) -> float:
    mark = next(_marks)
    start = time.perf_counter()
    edit(root, MODEL, "    S = past + T", f"    print({mark - 1} + 1)  # 基准\n")
    wait_for(url, str(mark))
    spent = time.perf_counter() - start
    settle(root, url)
    return spent - one_run(root)


def settle(root: Path, url: str) -> None:
    """等后台把别的片段跑完、站点再建好：下一轮从闲着的时候算起。"""
    until = time.monotonic() + LIMIT
    vault = find_vault(root, root)
    paths = snippet_files(vault)
    while stale := [path.stem for path in paths if record.load(vault, path).state != "fresh"]:
        if time.monotonic() > until:
            raise TimeoutError(f"{LIMIT} 秒里没有重录好：{'、'.join(stale)}")
        time.sleep(0.1)
    other = url.replace("attention-mask", "masked-fill")
    wait_for(other, "rz-running", gone=True)


def one_run(root: Path) -> float:
    """同一个片段单独跑一次子进程要多久。"""
    start = time.perf_counter()
    run = runner.run(find_vault(root, root), root / SNIPPET)
    assert not run.error, run.error
    return time.perf_counter() - start


def main() -> int:
    rounds = compare.rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = peers.ours(Path(folder) / "ours"), peers.bare(Path(folder) / "bare")
        runner.warm_up(find_vault(ours, ours))
        one_run(ours)
        with serving(ours) as mine, serving(bare) as theirs:
            results = [
                compare.ratio(name, TARGET, *compare.interleave(mine_, theirs_, rounds))
                for name, mine_, theirs_ in _cases(ours, mine, bare, theirs)
            ]
    return compare.report("serve", results)


Case = tuple[str, Callable[[], float], Callable[[], float]]


def _cases(ours: Path, mine: str, bare: Path, theirs: str) -> Iterator[Case]:
    def peer() -> float:
        return change_note(bare, theirs)

    change_note(ours, mine), peer()  # 第一次改要填满缓存，两边都不算
    yield "改笔记（秒）", lambda: change_note(ours, mine), peer
    change_snippet(ours, mine)
    yield "改片段，减去一次运行（秒）", lambda: change_snippet(ours, mine), peer
    change_llm(ours, mine)
    yield "改 llm，减去一次运行（秒）", lambda: change_llm(ours, mine), peer


if __name__ == "__main__":
    sys.exit(main())
