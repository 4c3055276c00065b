"""终端里的控制字符：把打印的文字整理成读者最后看到的样子。

认得 tqdm、rich、pip 与手写的进度条、清屏动画用的那些：回车、退格、移动光标、擦除；颜色、标题、
链接与不认得的序列一律去掉。用时与文字的长度成正比。
"""

import re
import unicodedata
from functools import lru_cache

_ACTS = re.compile(r"[\r\b\a\x1b]")
_TOKEN = re.compile(
    r"\x1b\[(?P<numbers>[0-?]*)[ -/]*(?P<act>[@-~])"  # CSI：移动、擦除、颜色
    r"|\x1b\][^\a\x1b]*(?:\a|\x1b\\)"  # OSC：标题、链接
    r"|\x1b(?P<escape>[ -/]*[0-~])|\x1b"
    r"|(?P<control>[\n\r\b\a])"
    r"|(?P<run>[^\n\r\b\a\x1b]+)"
)
_HEIGHT, _WIDTH = 24, 80  # 光标可以移到还没有字的地方，但不出这么大的屏幕


def settle(text: str) -> str:
    """终端依次显示 `text` 之后留在屏幕上的文字；没有控制字符就是原文。"""
    if not _ACTS.search(text):
        return text
    screen = _Screen()
    for token in _TOKEN.finditer(text):
        if run := token["run"]:
            screen.put(run)
        elif act := token["act"]:
            screen.act(act, token["numbers"])
        elif token["escape"] == "c":  # 重置终端
            screen.act("J", "2")
        elif token["control"]:
            screen.control(token["control"])
    return screen.text()


class _Screen:
    """逐格存的屏幕；一个宽字占两格，后一格是空串。"""

    def __init__(self) -> None:
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.rewritten: set[int] = set()  # 改写过的行：盖掉旧字用的尾随空格不算内容

    def text(self) -> str:
        lines = ("".join(row) for row in self.rows)
        return "\n".join(
            line.rstrip(" ") if number in self.rewritten else line
            for number, line in enumerate(lines)
        )

    def put(self, run: str) -> None:
        row, at = self._here(), self.column
        cells = list(run) if run.isascii() else _cells(run)
        end = at + len(cells)
        if at < len(row):
            self.rewritten.add(self.row)
            if not row[at]:  # 盖住一个宽字的后一半，前一半也没了
                row[at - 1] = " "
            if end < len(row) and not row[end]:
                row[end] = " "
        row.extend(" " * (at - len(row)))
        row[at:end] = cells
        self.column = end

    def control(self, letter: str) -> None:
        if letter == "\n":
            self.row, self.column = self.row + 1, 0
            self._here()
        elif letter == "\r":
            self.column = 0
        elif letter == "\b":
            self.column = max(self.column - 1, 0)

    def act(self, act: str, numbers: str) -> None:
        first, second = _two(numbers)
        if act in "ABEF":
            self._to(self.row + (first if act in "BE" else -first))
            self.column = 0 if act in "EF" else self.column
        elif act in "CDG":
            self._along({"C": self.column + first, "D": self.column - first}.get(act, first - 1))
        elif act in "Hf":
            self._to(first - 1)
            self._along(second - 1)
        elif act in "JK":
            self._erase(act, numbers)

    def _erase(self, act: str, numbers: str) -> None:
        """从光标擦到末尾，或整行、整屏；只擦开头的没有人用，不理会。"""
        if numbers in ("", "0"):
            row = self._here()
            self.rewritten.add(self.row)
            del row[self.column :]
            if act == "J":
                del self.rows[self.row + 1 :]
        elif numbers in ("2", "3"):
            if act == "K":
                self._here().clear()
            else:  # 清了屏又不回到左上角的，多是以为会回去
                self.rows, self.row, self.column = [[]], 0, 0

    def _to(self, row: int) -> None:
        self.row = min(max(row, 0), max(len(self.rows), _HEIGHT) - 1)

    def _along(self, column: int) -> None:
        width = len(self.rows[self.row]) if self.row < len(self.rows) else 0
        self.column = min(max(column, 0), max(width, _WIDTH) - 1)

    def _here(self) -> list[str]:
        while len(self.rows) <= self.row:
            self.rows.append([])
        return self.rows[self.row]


def _cells(run: str) -> list[str]:
    """每个字占的格：宽字两格，组合用的记号并进前一个字。"""
    cells: list[str] = []
    for letter in run:
        placed = _placed(letter)
        if placed or not cells:
            cells += placed or (letter,)
        else:
            cells[-1 if cells[-1] else -2] += letter
    return cells


@lru_cache(maxsize=4096)
def _placed(letter: str) -> tuple[str, ...]:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return ()
    return (letter, "") if unicodedata.east_asian_width(letter) in "WF" else (letter,)


def _two(numbers: str) -> tuple[int, int]:
    """CSI 里的头两个数：没写或是零，都是一；再大也不必比屏幕大。"""
    parts = [*numbers.split(";"), ""]
    first, second = (min(int(part[:4]), 9999) if part.isdecimal() else 1 for part in parts[:2])
    return first or 1, second or 1
