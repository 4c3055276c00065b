"""今天是哪一天：一次运行只看一次钟。"""

from datetime import date, datetime, timedelta

from rizhi.vault import RizhiError, Vault


def now() -> datetime:
    """本地的此刻。"""
    return datetime.now()


def today(vault: Vault) -> date:
    """今天；凌晨几点之前仍算前一天。

    异常：`day_ends` 不是 0 到 23 的整数，抛 RizhiError。
    """
    ends = vault.config.get("day_ends", 4)
    if not isinstance(ends, int) or not 0 <= ends < 24:
        raise RizhiError(
            f"pyproject.toml 的 [tool.rizhi] day_ends 应是 0 到 23 的整数，现在是 {ends!r}。"
            "没有改动任何文件。"
        )
    return (now() - timedelta(hours=ends)).date()
