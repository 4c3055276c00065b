"""forkserver 启动时载入的模块：把片段要用的外部库各 import 一次，之后每个子进程白得。"""

import os

from rizhi.snippets import figures, stream

stream.prepare()
figures.prepare()  # 先于片段自己的 import：matplotlib 一载入就读字体缓存
for _line in os.environ.get("RIZHI_PRELOAD", "").splitlines():
    try:
        exec(_line, {})  # noqa: S102 这些行出自片段与源码包自己的 import
    except Exception:  # noqa: S112 缺的、坏的库等片段用到时再报，那里有行号
        continue
