"""片段打印的文字：接住，量长短。"""

MAX_OUTPUT = 64 * 1024


class OutputTooLong(Exception):
    """一个单元格打印得太多。"""


class Writer:
    """接住打印的文字；超出上限就停下这一格。"""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def write(self, text: str) -> int:
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise OutputTooLong(f"一格的输出超过 {MAX_OUTPUT >> 10} KiB；只打印要看的那几行。")
        self.parts.append(text)
        return len(text)

    def flush(self) -> None:
        """文字都在内存里，没有可冲刷的。"""

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        return "".join(self.parts)
