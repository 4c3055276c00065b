"""写了一年、写了十年的知识库：冷建多久、产物多大、改一处要等多久，与没有我们的东西时比。

    python -m benchmarks.bench_web [--days 3650] [--short 365] [--notes 400] [--rounds 3]

- 对方是同样的 Markdown、同样的主题与搜索，没有我们的插件与扩展：归档、标签、时间线这些算出来的页
  它一页也不建。
- KB 与 MB 都按一千进位；每页的字节是全部产物（脚本、样式、字体、搜索索引都在内）摊到每一页。
- 「改一处」各开一个常驻的进程，轮流改一行、像 `mkdocs serve` 那样重建，直到产物里那一页出现新的字；
  对方是 `mkdocs serve --dirty`。每次多写一个字：字数变了，热力图与归档也要跟着变。
"""

import argparse
import gzip
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import jieba
from mkdocs.commands.build import build
from mkdocs.config import load_config

from benchmarks import bench_serve, bench_site, compare, peers
from benchmarks.make_vault import GROUPS, LAST
from rizhi.mkdocs_plugin import rebuild

COLD, REFRESH, FLAT = 1.3, 1.3, 1.2
PAGE_KB, SEARCH_MB = 40, 5
EDITS = 7
URL = "http://127.0.0.1:8000/"
# 改的是最近一天与一篇笔记：哪一页，在哪一行之后
DAY = (f"daily/{LAST:%Y}/{LAST}", "## 今日总结")
NOTE = (f"notes/{GROUPS[0]}/topic-0", "## 一句话")
_marks = count(1)


@dataclass(frozen=True)
class Pair:
    """同样多的天数，我方与对方各一份知识库。"""

    days: int
    ours: Path
    bare: Path


def pair(folder: Path, days: int, notes: int) -> Pair:
    ours = peers.grown(folder / "ours", days, notes)
    return Pair(days, ours, peers.grown_bare(folder / "bare", days, notes))


def pages(site: Path) -> int:
    return sum(1 for _ in site.rglob("*.html"))


def sizes(site: Path) -> Iterator[compare.Number]:
    """产物摊到每一页的字节，与压缩过的搜索索引。"""
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    yield compare.Number("站点每页 KB", total / pages(site) / 1e3, PAGE_KB)
    index = (site / "search/search_index.json").read_bytes()
    yield compare.Number("搜索索引压缩之后 MB", len(gzip.compress(index)) / 1e6, SEARCH_MB)


def cold(long: Pair, short: Pair, rounds: int) -> Iterator[compare.Ratio | compare.Number]:
    """冷建两种规模；小的一份只建我方，用来算每一页的代价有没有跟着规模涨。"""
    print(f"{long.days} 天，冷建", flush=True)
    ours, bare = compare.interleave(
        lambda: bench_site.build(long.ours), lambda: bench_site.build(long.bare), rounds
    )
    yield compare.ratio(f"{long.days} 天冷建（CPU 秒）", COLD, ours, bare)
    yield from sizes(long.ours / "site")
    small = [bench_site.build(short.ours) for _ in range(rounds)]
    spent = statistics.median(ours), statistics.median(small)
    built = pages(long.ours / "site"), pages(short.ours / "site")
    each = [seconds / number for seconds, number in zip(spent, built, strict=True)]
    # 启动的定数摊在小的一份上更多，会让两者之比偏小；每多一页的代价里没有它
    more = (spent[0] - spent[1]) / (built[0] - built[1])
    print(
        f"  每页 CPU 毫秒：大 {each[0] * 1e3:.2f}（{built[0]} 页），"
        f"小 {each[1] * 1e3:.2f}（{built[1]} 页）；每多一页 {more * 1e3:.2f}",
        flush=True,
    )
    yield compare.Number(f"每页 CPU，{long.days} 天÷{short.days} 天", each[0] / each[1], FLAT)


def refresh(both: Pair) -> Iterator[compare.Ratio]:
    """改一处到页面刷新；先各改一次，两边都不算。"""
    with ExitStack() as stack:
        ours, bare = (stack.enter_context(serving(root)) for root in (both.ours, both.bare))
        for what, (name, after) in (("日总结", DAY), ("笔记", NOTE)):
            print(f"{both.days} 天，改{what}", flush=True)
            ours.change(name, after), bare.change(name, after)
            times = compare.interleave(
                lambda: ours.change(name, after),  # noqa: B023 当场就用
                lambda: bare.change(name, after),  # noqa: B023
                EDITS,
            )
            yield compare.ratio(f"{both.days} 天改{what}（CPU 秒）", REFRESH, *times)


@dataclass(frozen=True)
class Served:
    """一个常驻的进程：收到「改」就改、建、说出用了几秒。"""

    process: "subprocess.Popen[str]"

    def change(self, name: str, after: str) -> float:
        mark = next(_marks)
        self.say([name, after, f"基准{mark}，{'字' * mark}。\n"])
        return float(self.hear())

    def say(self, words: list[str]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "建站的进程没有答话就退出了"
        return line


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    """开一个常驻的进程，等它从头建好。"""
    command = [sys.executable, "-m", "benchmarks.bench_web", "--serve", str(root)]
    process = subprocess.Popen(
        command, cwd=peers.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        served = Served(process)
        served.hear()
        yield served
        assert process.stdin
        process.stdin.close()


def serve(root: Path) -> int:
    """常驻的那一边；与 mkdocs/commands/serve.py 里的次序一样，只是不开服务器。"""
    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)
    jieba.setLogLevel(logging.WARNING)
    os.chdir(root)
    site = root / "served"
    options = {"config_file": str(root / "mkdocs.yml"), "site_dir": str(site)}
    first = load_config(**options)
    plain = "rizhi" not in first.plugins
    first.plugins.on_startup(command="serve", dirty=plain)
    first.site_url = URL
    build(first, serve_url=URL, dirty=plain)

    def dirty() -> None:
        config = load_config(**options)
        config.site_url = URL
        build(config, serve_url=URL, dirty=True)

    again = dirty if plain else rebuild.rebuilder(first)
    print("建好了", flush=True)
    for asked in sys.stdin:
        name, after, line = json.loads(asked)
        start = time.process_time()
        bench_serve.edit(root, f"docs/{name}.md", after, line)
        again()
        shown = (site / f"{name}.html").read_text("utf-8")
        spent = time.process_time() - start
        assert line.strip() in shown, f"{name} 里没有出现 {line}"
        print(spent, flush=True)
    return 0


def main() -> int:
    """造库、跑完全部、印表、写 JSON，未达标的项数作为退出码。"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=3650)
    parser.add_argument("--short", type=int, default=365)
    parser.add_argument("--notes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    with tempfile.TemporaryDirectory() as folder:
        short = pair(Path(folder) / "short", args.short, args.notes)
        long = pair(Path(folder) / "long", args.days, args.notes)
        print(f"{args.short} 天与 {args.days} 天，各 {args.notes} 篇笔记", flush=True)
        results = [*cold(long, short, args.rounds), *refresh(short), *refresh(long)]
    return compare.report("web", results)


if __name__ == "__main__":
    sys.exit(main())
