"""片段的解释器在什么环境里起来：换一台机器、换一个人的设置，也还是这一种。"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from types import MappingProxyType

# 解释器与库一起来就读这些，起来之后再改就晚了；空串等于没有设
_AT_START: Mapping[str, str] = MappingProxyType(
    {
        "PYTHONHASHSEED": "0",  # set 的次序
        "PYTHONUTF8": "1",
        "PYTHONWARNINGS": "",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
        "COLUMNS": "80",  # argparse 与 pprint 之类按终端的宽度折行
        "LINES": "24",
        "CUDA_VISIBLE_DEVICES": "",  # 有没有 GPU，输出一样
        "HF_HUB_OFFLINE": "1",  # 上不了网的 from_pretrained 立刻就说，不一遍遍重试到超时
        # numpy 一载入就按这几个数开线程；子进程要单线程，forkserver 才能安全地 fork
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "VECLIB_MAXIMUM_THREADS": "1",
        "NUMEXPR_NUM_THREADS": "1",
    }
)
_ZONE = "UTC"
_changing = Lock()


@contextmanager
def settled(more: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """其间起来的解释器得到这个环境与 `more`；过后本进程的环境变量照旧。"""
    wanted = {**_AT_START, **more}
    with _changing:
        saved, options = {name: os.environ.get(name) for name in wanted}, sys.warnoptions[:]
        os.environ.update(wanted)
        sys.warnoptions.clear()  # multiprocessing 会把它们当成 -W 传下去
        try:
            yield
        finally:
            sys.warnoptions[:] = options
            for name, value in saved.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def settle_zone() -> None:
    """时区由子进程自己定：在命令的进程里改，哪怕一瞬，别的线程也会弄错今天是哪一天。"""
    os.environ["TZ"] = _ZONE
    if hasattr(time, "tzset"):
        time.tzset()
