"""片段里的图：在子进程里定下样子，存成处处相同的 SVG。"""

import sys
from typing import Any

STYLE: dict[str, Any] = {
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


def collect() -> tuple[str, ...]:
    """这一格结束时还开着的图，存成确定的 SVG，然后关掉。"""
    if "matplotlib.pyplot" not in sys.modules:
        return ()
    import io

    from matplotlib import pyplot

    drawn = []
    for number in pyplot.get_fignums():
        buffer = io.StringIO()
        about = {"Date": None, "Creator": None}
        pyplot.figure(number).savefig(buffer, format="svg", transparent=True, metadata=about)
        drawn.append("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n")
    pyplot.close("all")
    return tuple(drawn)
