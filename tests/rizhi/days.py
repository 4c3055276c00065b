"""生成的日子：写法千奇百怪，而我们知道写了什么，好与读出来的对照。"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from rizhi.entry import CANONICAL, joined

WORDS = st.sampled_from(
    [
        "masked_fill_",
        "logits[:, -1, :]",
        "画图",
        "形状  是凑的",
        "RoPE。",
        "1.5 倍",
        "a - b",
        "见 [x](y.md)",
    ]
)
NUMBERS = st.sampled_from(["1.", "2.", "１．", "3、", "10)"])
BOXES = {"": None, "[ ] ": "open", "[x] ": "done", "[X] ": "done", "[-] ": "dropped"}
PREFIX = st.sampled_from(["", "一.", "二 .", "三、", "（四）", "１．", "5. "])
BLANK = st.sampled_from(["", "   ", "\u3000", "\t"])


@dataclass
class Made:
    """一条：写法与该读出来的样子。"""

    lines: list[str]
    text: str
    state: str | None
    nested: list["Made"] = field(default_factory=list)


@st.composite
def _item(draw: st.DrawFn, depth: int = 0) -> Made:
    bullet = draw(st.one_of(st.sampled_from(["-", "*", "+"]), NUMBERS))
    box = draw(st.sampled_from(list(BOXES)))
    words = draw(st.lists(WORDS, min_size=1, max_size=3))
    more = draw(st.lists(WORDS.filter(lambda w: not w.startswith("1.")), max_size=2))
    pad = "    " * depth
    lines = [f"{pad}{bullet} {box}{''.join(words)}{draw(st.sampled_from(['', '  ']))}"]
    lines += [f"{pad}    {line}" for line in more]
    text = joined(["".join(words).strip(), *(line.strip() for line in more)])
    nested = draw(st.lists(_item(depth + 1), max_size=2)) if depth < 2 else []
    return Made(lines, text, BOXES[box], nested)


def _flat(items: list[Made]) -> list[Made]:
    return [one for item in items for one in (item, *_flat(item.nested))]


@st.composite
def days(draw: st.DrawFn) -> tuple[str, list[tuple[str, list[Made]]]]:
    names = draw(st.lists(st.sampled_from(CANONICAL[:5] + CANONICAL[6:]), max_size=5))
    lines = draw(st.sampled_from([[], ["---", "tags: [a]", "---"], ["", "---", ""]]))
    lines = [*lines, "# 标题", "开头一段", ""]
    expected = []
    for name in names:
        lines += [f"## {draw(PREFIX)}{name}{draw(st.sampled_from(['', ' ', '：']))}", draw(BLANK)]
        items = draw(st.lists(_item(), max_size=3))
        for item in items:
            lines += [line for one in _flat([item]) for line in one.lines]
            lines += [draw(BLANK)] if draw(st.booleans()) else []
        expected.append((name, _flat(items)))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from(["", "\ufeff"])) + text, expected
