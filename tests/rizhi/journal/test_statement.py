"""日记里的一句话，简历里的一句话。"""

import pytest

from rizhi.journal.statement import acted, statement


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("整个架构写完，从词嵌入到生成第一次跑通。", "写完整个架构，从词嵌入到生成第一次跑通"),
        ("[双指针](a.md)的题全部做完，后面的专题也排好了，明天起[二叉树](b.md)：先复习，再归纳。",
         "做完[双指针](a.md)的题"),
        ("整个架构成形。", "完成整个架构"),
        ("今天终于弄懂了旋转位置。", "弄懂旋转位置"),
        ("把模型的后半截补齐。", "补齐模型的后半截"),
        ("标完了每个维度。", "标完每个维度"),
        ("RoPE 写完。", "写完 RoPE"),
        ("二叉树的四种遍历。", "完成二叉树的四种遍历"),
        ("实现 KV cache，速度提升 3 倍；还没测显存。", "实现 KV cache，速度提升 3 倍"),
        ("画出了维度图，从 (B, T) 一直到 logits。", "画出维度图，从 (B, T) 一直到 logits"),
        ("用 `a，b。明天` 跑通。", "用 `a，b。明天` 跑通"),
        ("第 20 天。", "第 20 天"),
        ("明天再写。", "明天再写"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_verb_comes_first_and_the_chatter_goes(said: str, written: str) -> None:
    assert statement(said) == written
    assert statement(written) == written


def test_a_name_is_no_deed() -> None:
    assert [
        name for name in ("LLM", "llm学习", "算法", "整个架构写完", "成形了") if acted(name)
    ] == [
        "整个架构写完",
        "成形了",
    ]
