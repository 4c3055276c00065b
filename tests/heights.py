"""`python -m tests.heights 站点`：每篇笔记在 1280 宽的屏幕上有多高，代码占多少，与中位数。"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from tests import chromium

MEASURE = """() => {
  const code = Array.from(document.querySelectorAll("article .highlight"))
    .reduce((sum, node) => sum + (node.checkVisibility() ? node.offsetHeight : 0), 0);
  return [document.documentElement.scrollHeight, code];
}"""


def heights(site: Path) -> dict[str, tuple[int, int]]:
    """每篇笔记：整页的高与看得见的代码的高，像素；折起的代码不算。"""
    path = chromium.executable()
    assert path is not None, "没有 Chromium：装一个，或用环境变量 CHROMIUM 指一个"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        with chromium.launch(path, chromium.font_config(Path(folder))) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            for note in sorted(site.glob("notes/*/*.html")):
                page.goto(note.resolve().as_uri())
                page.wait_for_timeout(300)  # 公式与主题的脚本
                found[note.stem] = tuple(page.evaluate(MEASURE))
    return found


def main() -> None:
    """打印各篇与中位数。"""
    found = heights(Path(sys.argv[1]))
    for name, (whole, code) in found.items():
        print(f"{whole:6}  代码 {code:5}  {name}")
    whole, code = (median(pair) for pair in zip(*found.values(), strict=True))
    print(f"{whole:6.0f}  代码 {code:5.0f}  {len(found)} 篇的中位数")


if __name__ == "__main__":
    main()
