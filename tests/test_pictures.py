"""README 与指南里的图：所截的页面或样式改了就过期；图要小。比指纹，不开浏览器。"""

import pytest

from tests import pictures

SHOTS = ("day", "note")


def test_pictures_show_the_pages_and_styles_of_today() -> None:
    kept = pictures.STAMP.read_text("utf-8").strip()
    assert kept == pictures.fingerprint(), "图过期了：运行 make pictures，看过再提交"


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_is_a_small_png(name: str) -> None:
    data = (pictures.FOLDER / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) < 150_000
