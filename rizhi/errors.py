"""给人看的错误与毛病：中文，写明位置、原因、补救。"""

from dataclasses import dataclass
from pathlib import Path


class RizhiError(Exception):
    """给人看的错误：中文，`message` 说什么、怎么办，`path` 与 `line` 是在哪里。"""

    def __init__(self, message: str, path: Path | None = None, line: int = 0) -> None:
        super().__init__(message)
        self.message, self.path, self.line = message, path, line

    def __str__(self) -> str:
        return self._told(str(self.path))

    def within(self, root: Path) -> str:
        """整句话；路径相对于知识库。"""
        return self._told(name_in(root, self.path) if self.path else "")

    def _told(self, name: str) -> str:
        where = f"{name}:{self.line} " if self.line else f"{name} "
        return where + self.message if self.path else self.message


@dataclass(frozen=True)
class Fault:
    """一个文件自己读得出的毛病：第几行、什么、怎么办；它不妨碍别的文件。"""

    line: int
    message: str
    remedy: str


@dataclass(frozen=True)
class Problem(Fault):
    """`check` 说的一条：毛病，加上在哪个文件、犯了哪条规则；level 是 error 或 warning。"""

    path: Path
    rule: str
    level: str = "error"

    def line_for(self, root: Path) -> str:
        """打印成一行。"""
        mark = "" if self.level == "error" else "提醒 "
        where = f"{name_in(root, self.path)}:{self.line}"
        return f"{where} {self.rule} {mark}{self.message}。{self.remedy}。"

    def as_dict(self, root: Path) -> dict[str, object]:
        """`--json` 的一项。"""
        keys = ("line", "rule", "message", "remedy", "level")
        return {"path": name_in(root, self.path)} | {key: getattr(self, key) for key in keys}


def cut(text: str, most: int) -> str:
    """给人看的一段字，太长的截去后面。"""
    return text if len(text) <= most else f"{text[:most]}…"


def name_in(root: Path, path: Path) -> str:
    """一个路径给人看的名字：相对于知识库；在外面的写全。"""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
