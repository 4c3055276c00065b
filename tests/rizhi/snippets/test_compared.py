"""一格「检验」比的是什么。"""

import pytest

from rizhi.snippets.compared import compared


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("assert x.shape == (2, 3), '形状'", "x.shape == (2, 3)"),
        ("torch.testing.assert_close(a[0], b @ c, atol=1e-6, rtol=0)", "a[0] ≈ b @ c"),
        ("np.testing.assert_allclose(\n    a,\n    b,\n)", "a ≈ b"),
        ("self.assertEqual(f(1), 2)", "f(1) ≈ 2"),
        ("with pytest.raises(ValueError, match='x'):\n    f()", "报错 ValueError"),
        (
            "try:\n    f()\nexcept ValueError as e:\n    print(e)\nelse:\n    raise AssertionError",
            "报错 ValueError",
        ),
    ],
)
def test_each_way_of_asserting(source: str, said: str) -> None:
    assert compared(source) == (said,)


def test_the_order_is_the_file_s_and_the_same_is_said_once() -> None:
    source = "for n in (1, 2):\n    assert f(n) == n\nassert g() \nassert f(n) == n\n"
    assert compared(source) == ("f(n) == n", "g()")


def test_what_is_too_long_is_cut() -> None:
    (said,) = compared(f"assert {' + '.join(['value'] * 50)} == total")
    assert len(said) == 121 and said.endswith("…")


def test_a_try_that_only_prints_compares_nothing() -> None:
    assert compared("try:\n    f()\nexcept ValueError:\n    pass\n") == ()
