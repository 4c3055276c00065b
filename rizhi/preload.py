"""forkserver 启动时载入的模块：把片段要用的外部库各 import 一次，之后每个子进程白得。"""

import os

for _line in os.environ.get("RIZHI_PRELOAD", "").splitlines():
    try:
        exec(_line, {})  # noqa: S102 这些行出自片段与 llm 自己的 import
    except ImportError:
        continue  # 缺的库等片段用到时再报，那里有行号
try:
    import matplotlib.font_manager  # noqa: F401 字体表要写缓存，得在写盘被禁之前载入
except ImportError:
    pass
