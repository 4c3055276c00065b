"""两次输出比一比：文字逐字比，小数容许末位之差。"""

import re
from difflib import unified_diff

from rizhi.snippets.cells import CellOutput

# 一个小数或 nan、inf，连同前面补的空格；后面补的，只算到逗号、括号、竖线、行末为止的
_NUMBER = re.compile(
    r"(?:(?<! ) +)?(?<![\w.])([-+]?(?:(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?|(?:nan|inf)(?!\w)))"
    r"(?: +(?![ \w]))?",
    re.I,
)


def compare(recorded: CellOutput | None, got: CellOutput) -> str:
    """两次输出的差别，供人看；相同返回空串。文字逐字比，小数容许末位之差，图只比张数。"""
    recorded = recorded or CellOutput(got.title)
    differences: list[str] = []
    for name, text in got.texts.items():
        old = recorded.texts[name]
        if not same_text(old, text):
            heads = (f"记录{name}", f"实际{name}")
            differences += unified_diff(old.splitlines(), text.splitlines(), *heads, lineterm="")
    if len(recorded.figures) != len(got.figures):
        differences.append(f"图：记录 {len(recorded.figures)} 张，实际 {len(got.figures)} 张")
    return "\n".join(differences)


def same_text(recorded: str, got: str, relative: float = 1e-4) -> bool:
    """除了小数的末位，逐字相同；有一个小数换了宽度（多半是 -0），列宽跟着变，补的空格就不比。

    `relative` 是小数容许的相对差；是 0 就只容许末位的一个单位。
    """
    if recorded == got:
        return True
    old, new = list(_NUMBER.finditer(recorded)), list(_NUMBER.finditer(got))
    if _between(recorded, old, 0) != _between(got, new, 0):
        return False
    pairs = [(a[1], b[1]) for a, b in zip(old, new, strict=True)]
    if not all(_near(a, b, relative) for a, b in pairs):
        return False
    widened = any(len(a) != len(b) for a, b in pairs)
    return widened or _between(recorded, old, 1) == _between(got, new, 1)


def _between(text: str, numbers: list[re.Match[str]], group: int) -> list[str]:
    """各个小数之间的文字；`group` 是 0 不连补的空格，是 1 连它们。"""
    ends = [0, *(number.end(group) for number in numbers)]
    starts = [*(number.start(group) for number in numbers), len(text)]
    return [text[end:start] for end, start in zip(ends, starts, strict=True)]


def _near(a: str, b: str, relative: float) -> bool:
    """相差不过几分之一，或不过末位的一个单位：换一台机器，舍入可能落在另一边。"""
    if a == b or a[-1].isalpha():  # nan 与 inf 要一样
        return a == b
    mantissa, _, exponent = a.lower().partition("e")
    last = float(f"1e{int(exponent[:9] or 0) - len(mantissa.partition('.')[2])}")
    return abs(float(a) - float(b)) <= max(relative * abs(float(a)), 1.01 * last)
