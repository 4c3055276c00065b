"""给人看的错误与毛病：中文，写明位置、原因、补救。"""

from dataclasses import dataclass


class RizhiError(Exception):
    """给人看的错误：中文，写明位置、原因、补救，以及什么没有被改动。"""


@dataclass(frozen=True)
class Fault:
    """一个文件里读得出位置的毛病；它不妨碍别的文件。"""

    line: int
    message: str
    remedy: str
