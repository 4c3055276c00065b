"""README 与指南里的两张图：造一个固定的知识库，建站，用无头 Chromium 截下有意义的部分。

页面的原文或样式改了，图就过期，测试会说；用 `make pictures` 重截（要 Chromium）。
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from matplotlib import get_data_path
from playwright.sync_api import Page

from tests import chromium, vaults

FOLDER = vaults.ROOT / "docs/guide/img"
STAMP = FOLDER / ".fingerprint"  # 以点开头：不进站点
ASSETS = vaults.ROOT / "rizhi/site/assets"
DAY = date(2026, 11, 24)
NOTE = "attention-mask"
WIDTH, MARGIN = 1280, 18
# 「今天」固定在 DAY 的第二天：面板上的日子不随截图的那天变
BUILD = """
import sys
from datetime import datetime
from mkdocs.__main__ import cli
from rizhi import vault
vault.now = lambda: datetime.fromisoformat(sys.argv[1])
cli(["build", "--strict", "-q", "-d", sys.argv[2]])
"""
BEFORE = """# 2026-11-23 星期一　维度说不清

## 今日成果

1. [改形状](../../notes/pytorch/tensor-shapes.md)：每个方法手写一个例子。

## 思考

- `view` 报错的时候，想一想步长。

## 遇到的挑战与明日计划

挑战：数据流没有理顺，维度说不清。

- [ ] 画出前向过程的张量维度图

## 明日计划

- [ ] 把掩码写成一篇笔记
"""
TODAY = """# 2026-11-24 星期二　掩码说清了

## 今日成果

1. [因果掩码](../../notes/attention/attention-mask.md)写成笔记，输出都跑过。
2. 画出前向过程的张量维度图，从 `(B, T)` 一直到 logits。

## 思考

- [`masked_fill_`](../../notes/attention/masked-fill.md) 的布尔参数说的是填掉，不是留下；
  SDPA 的正好相反，写下来就不会再错。

## 遇到的挑战与明日计划

挑战：[RoPE](../../notes/attention/rope.md) 在有缓存时，新词元的位置从哪里算起？

- [ ] 用有缓存与没有缓存的两次前向核对

## 今日目标

1. [x] 把掩码写成一篇笔记
2. [x] 画出前向过程的张量维度图（已顺延 1 天，自 2026-11-23）
3. [ ] 复习二叉树
"""
AFTER = """# 2026-11-25 星期三

## 今日完成

- [x] 用有缓存与没有缓存的两次前向核对（自 2026-11-24）
"""


def sources() -> dict[str, str]:
    """图里看得见的东西从哪些文字来：页面、片段与它的记录、样式与脚本、主题的版本。"""
    module = NOTE.replace("-", "_")
    paths = [
        *vaults.SAMPLE.glob(f"docs/notes/*/{NOTE}.md"),
        *vaults.SAMPLE.glob(f"snippets/{module}.py"),
        *vaults.SAMPLE.glob(f"snippets/outputs/{module}/*"),
        *vaults.SAMPLE.glob("llm/*.py"),
        *(path for name in ("rizhi", "web") for path in ASSETS.glob(f"{name}.*")),
    ]
    texts = {path.relative_to(vaults.ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    pins = (vaults.ROOT / "constraints.txt").read_text("utf-8").splitlines()
    theme = next(pin for pin in pins if pin.startswith("mkdocs-material=="))
    return {**texts, "days": BEFORE + TODAY + AFTER, "theme": theme}


def fingerprint() -> str:
    """`sources` 的指纹。"""
    whole = "\0".join(f"{name}\0{text}" for name, text in sorted(sources().items()))
    return hashlib.sha256(whole.encode()).hexdigest()


def _build(folder: Path) -> Path:
    """造出知识库，建好站点，返回站点的文件夹。"""
    root, site = vaults.make(folder / "vault", date(2026, 11, 18)), folder / "site"
    for day, text in ((23, BEFORE), (24, TODAY), (25, AFTER)):
        vaults.write_day(root, date(2026, 11, day), text)
    command = [sys.executable, "-c", BUILD, "2026-11-25T21:30", str(site)]
    environment = {**os.environ, "PYTHONPATH": str(vaults.ROOT), "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=root, env=environment, check=True)
    return site


def _shoot(page: Page, address: str, name: str, first: str, last: str) -> None:
    """截下正文里从 `first` 到 `last` 两个元素之间的部分。"""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    column = page.locator("article").bounding_box()
    top = page.locator(first).bounding_box()
    end = page.locator(last).bounding_box()
    assert column and top and end, f"{address} 上没有 {first} 或 {last}"
    page.screenshot(
        path=FOLDER / f"{name}.png",
        full_page=True,
        clip={
            "x": column["x"] - MARGIN,
            "y": top["y"] - MARGIN,
            "width": column["width"] + 2 * MARGIN,
            "height": end["y"] + end["height"] - top["y"] + 2 * MARGIN,
        },
    )


def main() -> None:
    """重截两张图，记下指纹。"""
    path = chromium.executable()
    if path is None:
        sys.exit("没有 Chromium：装一个，或用环境变量 CHROMIUM 指一个。没有改动任何文件。")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        site = _build(folder).as_uri()
        # 代码要等宽的字体；用 matplotlib 带的，处处相同
        (folder / "fonts").mkdir()
        shutil.copy(Path(get_data_path(), "fonts/ttf/DejaVuSansMono.ttf"), folder / "fonts")
        with chromium.launch(path, chromium.font_config(folder / "fonts")) as browser:
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
            day = f"{site}/daily/{DAY.year}/{DAY}.html"
            _shoot(page, day, "day", "article h1", "article .rz-panel >> nth=0")
            note = f"{site}/notes/attention/{NOTE}.html"
            _shoot(page, note, "note", "[id='跑一跑']", "article .rz-cell >> nth=3")
    STAMP.write_text(fingerprint() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
