"""片段里的图：在子进程里定下样子与字体，存成处处相同的 SVG。

字体随 zhplot 装来，按路径交给 matplotlib：轮廓不随系统的字体、字体缓存与 matplotlibrc 变。
"""

import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rizhi.snippets import orphans

_STYLE: dict[str, Any] = {
    "svg.fonttype": "path",  # 文字存成轮廓，读者不需要字体
    "svg.hashsalt": "rizhi",  # 同样的图得到同样的 id
    "axes.unicode_minus": False,
    "text.color": "#808080",
    "axes.labelcolor": "#808080",
    "axes.edgecolor": "#808080",
    "xtick.color": "#808080",
    "ytick.color": "#808080",
    "grid.color": "#80808040",
    "legend.framealpha": 0.0,
    "figure.figsize": (7.0, 3.4),
    "savefig.bbox": "tight",
}


class FontMissing(Exception):
    """没有装带字体的包。"""


def font() -> Path | None:
    """zhplot 带的中文字体，没有装则为 None；不载入 zhplot。"""
    spec = find_spec("zhplot")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "fonts/NotoSansSC-Regular.ttf"
    return path if path.is_file() else None


@cache  # forkserver 里做过，fork 出来的子进程就不必再做
def prepare() -> None:
    """载入 matplotlib，定下图的样子；字体只认它自带的与 zhplot 带的。没装它就没有事做。"""
    if find_spec("matplotlib") is None:
        return
    # 家目录里的字体缓存可能过期、写不进去，扫描系统的字体又慢：让它载入时两样都碰不到
    with TemporaryDirectory(prefix=orphans.prefix()) as folder:
        os.environ |= {"MPLCONFIGDIR": folder, "MPL_IGNORE_SYSTEM_FONTS": "1"}
        import matplotlib as mpl
        from matplotlib import font_manager

        mpl.rcdefaults()
    del os.environ["MPL_IGNORE_SYSTEM_FONTS"]  # 留着它，addfont 加的字体也不认

    mpl.use("agg")
    # 3.11 之前的 matplotlib 不认这个变量，系统里同名的字体会抢先
    manager, own = font_manager.fontManager, mpl.get_data_path()
    manager.ttflist = [entry for entry in manager.ttflist if Path(entry.fname).is_relative_to(own)]
    families = ["DejaVu Sans"]
    if path := font():
        manager.addfont(path)
        families.insert(0, font_manager.FontProperties(fname=path).get_name())
    settings: Any = mpl.rcParams
    settings.update({**_STYLE, "font.family": families})


def collect() -> tuple[str, ...]:
    """这一格结束时还开着的图，存成确定的 SVG，然后关掉。

    异常：有图却没有 zhplot 带的字体，抛 FontMissing。
    """
    if "matplotlib.pyplot" not in sys.modules:
        return ()
    import io

    from matplotlib import pyplot

    numbers = pyplot.get_fignums()
    if numbers and font() is None:
        raise FontMissing(
            "图里的字要用 zhplot 带的字体，这里没有装：pip install zhplot；"
            "有 Makefile 的仓库里运行 make record，会先装好。"
        )
    drawn = []
    for number in numbers:
        buffer = io.StringIO()
        about = {"Date": None, "Creator": None}
        pyplot.figure(number).savefig(buffer, format="svg", transparent=True, metadata=about)
        drawn.append("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n")
    pyplot.close("all")
    return tuple(drawn)
