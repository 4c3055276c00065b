"""matplotlib 的后端：画在内存里，没有窗口；plt.show() 由 figures 收图。"""

from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

from rizhi.snippets.figures import show

__all__ = ["FigureCanvas", "show"]
