"""两次输出比一比：文字逐字比，小数容许末位之差。"""

import re
from difflib import unified_diff

from rizhi.snippets.cells import CellOutput

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?", re.I)


def compare(recorded: CellOutput | None, got: CellOutput) -> str:
    """两次输出的差别，供人看；相同返回空串。文字逐字比，小数容许末位之差，图只比张数。"""
    recorded = recorded or CellOutput(got.title)
    differences: list[str] = []
    printed = {"": (recorded.text, got.text), "的标准错误": (recorded.stderr, got.stderr)}
    for what, (old, new) in printed.items():
        if not _same_text(old, new):
            lines = (old.splitlines(), new.splitlines())
            differences += unified_diff(*lines, f"记录{what}", f"实际{what}", lineterm="")
    if len(recorded.figures) != len(got.figures):
        differences.append(f"图：记录 {len(recorded.figures)} 张，实际 {len(got.figures)} 张")
    return "\n".join(differences)


def _same_text(recorded: str, got: str) -> bool:
    if recorded == got:
        return True
    if _NUMBER.sub("#", recorded) != _NUMBER.sub("#", got):
        return False
    pairs = zip(_NUMBER.findall(recorded), _NUMBER.findall(got), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _near(a: str, b: str) -> bool:
    """相差不过万分之一，或不过末位的一个单位：换一台机器，舍入可能落在另一边。"""
    mantissa, _, exponent = a.lower().partition("e")
    last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(a) - float(b)) <= max(1e-4 * abs(float(a)), 1.01 * last)
