"""forkserver 启动时载入的模块：片段要用的外部库各 import 一次，之后每个子进程白得。"""

import gc
import os
from multiprocessing import spawn

from rizhi.snippets import child, figures, orphans, stream

# forkserver 意外死了，标准库会再起一个，那时没有这几个变量
orphans.clean_up_after(int(os.environ.pop("RIZHI_COMMAND", os.getppid())))
# multiprocessing 让每个子进程把命令的主程序再载入一遍，几十毫秒，片段用不着它
for _name in ("_fixup_main_from_name", "_fixup_main_from_path"):
    setattr(spawn, _name, lambda _: None)
stream.prepare()
figures.prepare()  # 先于片段自己的 import：matplotlib 一载入就读字体缓存
with stream.silent():  # 有的库一载入就打印，那不是命令的输出
    for _line in os.environ.pop("RIZHI_PRELOAD", "").splitlines():
        try:
            exec(_line, {})  # noqa: S102 这些行出自片段与源码包自己的 import
        except Exception:  # noqa: S112 缺的、坏的库等片段用到时再报，那里有行号
            continue
child.settle(frozenset())  # 头一次种种子还要载入一些东西，在这里载入
gc.freeze()  # 载入的东西子进程不必再回收，共用的内存页也就不因回收而各拷一份
