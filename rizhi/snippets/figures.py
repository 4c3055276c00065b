"""片段里的图：在子进程里定下样子与字体，存成处处相同的 SVG。

字体随 zhplot 装来，按路径交给 matplotlib：轮廓不随系统的字体、字体缓存与 matplotlibrc 变。
"""

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from rizhi.snippets import orphans
from rizhi.snippets.stream import OutputRefused, refuse_control

MAX_FIGURES = 20  # 一格里
MAX_FIGURE = 2 << 20  # 一张图的字节
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
# 各个系统自带的：片段或 plt.style.use 点了它们的名，也用随 zhplot 装来的那一种，处处一样，中文也在
_SYSTEM_FONTS = (
    *("SimHei", "SimSun", "NSimSun", "KaiTi", "FangSong", "Microsoft YaHei", "DengXian"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Heiti TC", "Songti SC", "Kaiti SC"),
    *("STHeiti", "STSong", "STKaiti", "STFangsong", "Arial Unicode MS"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans CJK SC", "Noto Sans CJK JP"),
    *("Source Han Sans SC", "Source Han Sans CN", "Noto Serif CJK SC"),
    *("Arial", "Helvetica", "Times New Roman"),
)
_TITLE = re.compile(r"<title>(.*?)</title>", re.S)
_shown: list[str] = []  # plt.show() 收走的，这一格结束时交出去；一个进程只跑一个片段


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

    library: Any = mpl
    library.use(f"module://{_backend().__name__}")
    library.use = lambda *_, **__: None  # 教程里写的 TkAgg 要窗口，有没有显示器结果就不同
    # 3.11 之前的 matplotlib 不认这个变量，系统里同名的字体会抢先
    manager, own = font_manager.fontManager, mpl.get_data_path()
    manager.ttflist = [entry for entry in manager.ttflist if Path(entry.fname).is_relative_to(own)]
    families = ["DejaVu Sans"]
    if path := font():
        manager.addfont(path)
        ours = manager.ttflist[-1]
        families.insert(0, ours.name)
        manager.ttflist += [replace(ours, name=name) for name in _SYSTEM_FONTS]
    # 图本来就会收走；有没有显示器，fig.show() 都不必抱怨
    warnings.filterwarnings("ignore", message=".* is non-interactive, and thus cannot be shown")
    settings: Any = mpl.rcParams
    settings.update({**_STYLE, "font.family": families})


def _backend() -> ModuleType:
    """matplotlib 的后端是一个模块：画在内存里，没有窗口，plt.show() 收图。"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    module = ModuleType(f"{__package__}.backend")
    vars(module).update(FigureCanvas=FigureCanvasAgg, show=show)
    sys.modules[module.__name__] = module
    return module


def is_figure(value: object) -> bool:
    """是不是 matplotlib 的一张图；没有载入 matplotlib 就不是。"""
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def show(*_: object, **__: object) -> None:
    """plt.show()：与 Jupyter 一样，这时候就收走开着的图，往后画的是另一张。

    异常：图太多、太大，或没有 zhplot 带的字体，抛 OutputRefused。
    """
    _take(_open())


def collect(last: object = None) -> tuple[str, ...]:
    """这一格的图，存成确定的 SVG：`plt.show()` 收走的，与这时还开着的；开着的也关掉。

    `last` 是这一格最后的值，是图也算一张。
    异常：与 `show` 同。
    """
    if "matplotlib.pyplot" in sys.modules:
        _take(_open(last))
    elif is_figure(last):
        _take([last])
    drawn = tuple(_shown)
    _shown.clear()
    return drawn


def _open(last: object = None) -> list[Any]:
    from matplotlib import pyplot

    figures: list[Any] = [pyplot.figure(number) for number in pyplot.get_fignums()]
    if is_figure(last) and last not in figures:  # 前面的格里画好、已经关掉的，再看一眼
        figures.append(last)
    return figures


def _take(figures: list[Any]) -> None:
    if figures and font() is None:
        raise OutputRefused(
            "图里的字要用 zhplot 带的字体，这里没有装：pip install zhplot；"
            "有 Makefile 的仓库里运行 make record，会先装好。"
        )
    count = len(_shown) + len(figures)
    if count > MAX_FIGURES:
        raise OutputRefused(f"一格有 {count} 张图，至多 {MAX_FIGURES} 张；画在一张的几格里。")
    with _warnings_without_place():
        _shown.extend(map(_svg, figures))
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


class _Limited(io.StringIO):
    """写满一张图的上限就停下：不等几十兆的图画完。"""

    def write(self, text: str) -> int:
        if self.tell() + len(text) > MAX_FIGURE:
            raise OutputRefused(
                f"一张图超过 {MAX_FIGURE >> 20} MiB；少画些点，或给画得密的一层写 rasterized=True。"
            )
        return super().write(text)


def seen(svg: str) -> str:
    """一张存下的图看见的是什么；上一版存的没有写，是空串。"""
    found = _TITLE.search(svg)
    return unescape(found[1]) if found else ""


def described(figure: Any) -> str:
    """一张图看见的是什么：`figure.set_label("…")` 写的，没有写就由标题、轴与图例说。"""
    said = figure.get_label() or "；".join(filter(None, _parts(figure)))
    return " ".join(said.split())


def _parts(figure: Any) -> Iterator[str]:
    yield figure.get_suptitle()
    for axes in figure.axes:
        if axes.get_visible() and axes.get_label() != "<colorbar>":
            drawn, words = "、".join(_drawn(axes)), "，".join(_words(axes))
            about = f"（{words}）" if words else ""
            yield f"{axes.get_title()}：{drawn}{about}".strip("：")


def _drawn(axes: Any) -> Iterator[str]:
    """画了些什么，各有多少。"""
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer

    yield from (f"{'×'.join(map(str, im.get_array().shape[:2]))} 的方格" for im in axes.images)
    bars = sum(len(held) for held in axes.containers if isinstance(held, BarContainer))
    dots = sum(isinstance(held, PathCollection) for held in axes.collections)
    counts = ((len(axes.lines), "条线"), (bars, "根柱"), (dots, "组点"))
    yield from (f"{count} {unit}" for count, unit in counts if count)


def _words(axes: Any) -> Iterator[str]:
    """轴名与图例。"""
    for name, text in (("横轴", axes.get_xlabel()), ("纵轴", axes.get_ylabel())):
        if text:
            yield f"{name} {text}"
    if legend := axes.get_legend():
        yield f"图例 {'、'.join(text.get_text() for text in legend.get_texts())}"


def _svg(figure: Any) -> str:
    buffer = _Limited()
    about: dict[str, str | None] = {"Date": None, "Creator": None}
    if said := described(figure):
        about["Title"] = said
    figure.savefig(buffer, format="svg", transparent=True, metadata=about)
    svg = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
    refuse_control(svg, "图")
    return svg


@contextmanager
def _warnings_without_place() -> Iterator[None]:
    """存图时的警告（缺字形……）不指向片段里的哪一行，只写它的话；同样的一格只写一次。"""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for line in dict.fromkeys(f"{w.category.__name__}: {w.message}\n" for w in caught):
        sys.stderr.write(line)
