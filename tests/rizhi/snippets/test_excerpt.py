"""长的源码先显示哪几行。"""

import pytest

from rizhi.errors import RizhiError
from rizhi.snippets.excerpt import WHOLE, excerpt

LONG = '''    def forward(
        self,
        x: Tensor,
    ) -> Tensor:
        """走一遍。

        形状：(B, T) → (B, T)。
        来源：没有。
        """
        first = x
        if first is None:
            first = make(
                x,
            )
''' + "".join(f"        step{n} = {n}\n" for n in range(20))
SOURCE = LONG + "        return first"


def _seen(source: str, *words: str) -> list[str]:
    """显示的各行，折起的是折痕上的字。"""
    lines = source.split("\n")
    shown: list[str] = []
    for part in excerpt(source, words):
        shown += [part.label] if part.label else lines[part.first : part.last + 1]
    return [line.strip() for line in shown]


def test_a_short_source_is_shown_whole() -> None:
    source = "\n".join(["def f():", *["    x = 1"] * (WHOLE - 1)])
    (part,) = excerpt(source)
    assert (part.first, part.last, part.label) == (0, WHOLE - 1, "")


def test_a_long_docstring_alone_is_folded() -> None:
    source = '@once\ndef f(a):\n    """一句。\n' + "\n    细节。" * 20 + '\n    """\n    return a'
    assert _seen(source) == ["@once", "def f(a):", '"""一句。', "⋯ 说明 22 行", "return a"]


def test_without_words_the_signature_and_the_head_are_shown() -> None:
    seen = _seen(SOURCE)
    assert seen[:6] == [
        "def forward(",
        "self,",
        "x: Tensor,",
        ") -> Tensor:",
        '"""走一遍。',
        "⋯ 说明 4 行",
    ]
    assert "first = x" in seen and seen[-1].endswith("行") and "return first" not in seen


def test_words_show_their_statements_and_where_they_are() -> None:
    seen = _seen(SOURCE, "make", "step7")
    assert seen == [
        "def forward(",
        "⋯ 10 行",
        "first = make(",
        "x,",
        ")",
        "⋯ 7 行",
        "step7 = 7",
        "⋯ 13 行",
    ]


def test_a_gap_of_two_lines_is_not_folded() -> None:
    assert _seen(SOURCE, "step3", "step6")[2:6] == [
        "step3 = 3",
        "step4 = 4",
        "step5 = 5",
        "step6 = 6",
    ]


@pytest.mark.parametrize("words", [(), ("step7",)])
def test_every_line_is_in_one_part(words: tuple[str, ...]) -> None:
    parts = excerpt(SOURCE, words)
    lines = [n for part in parts for n in range(part.first, part.last + 1)]
    assert lines == list(range(SOURCE.count("\n") + 1))


def test_a_class_with_text_at_the_margin_is_read() -> None:
    head = '    class A:\n        text = """\n左边顶格\n"""\n'
    source = f"{head}\n        def f(self):\n            return 1"
    assert _seen(source, "return") == ["class A:", "⋯ 4 行", "def f(self):", "return 1"]


def test_a_word_that_is_nowhere_is_refused() -> None:
    with pytest.raises(RizhiError, match="没有一行有「没有的」"):
        excerpt(SOURCE, ("step1", "没有的"))
