"""`pytest snippets`：收集与比较都在 rizhi 里。"""

from rizhi.snippets.collect import pytest_collect_file  # noqa: F401
