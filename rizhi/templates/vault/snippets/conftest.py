"""`pytest snippets`：每个片段文件跑一次，每个单元格一个测试，与记录比较。"""

from rizhi.snippets.collect import *  # noqa: F403
