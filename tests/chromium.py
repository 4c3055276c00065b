"""无头 Chromium：环境变量 CHROMIUM 指的，或系统里装的；只用给它的字体，不用系统的。"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from rizhi.snippets import figures

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    " --disable-sync --no-first-run --disable-quic"
).split()


def executable() -> str | None:
    """浏览器的路径；没有则为 None。"""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def font_config(folder: Path) -> Path:
    """一份 fontconfig 配置：只有记录图时用的字体与 `folder` 里的，缓存也放在那里。"""
    font = figures.font()
    assert font is not None, "没有装 zhplot：运行 pip install -c constraints.txt zhplot"
    config = folder / "fonts.conf"
    config.write_text(
        f"<fontconfig><dir>{font.parent}</dir><dir>{folder}</dir><cachedir>{folder}</cachedir>"
        # 点名要的没有，就用中文字体，不用 `folder` 里的
        '<match><edit name="family" mode="append" binding="strong">'
        "<string>Noto Sans SC</string></edit></match></fontconfig>",
        encoding="utf-8",
    )
    return config


@contextmanager
def launch(path: str, fonts: Path) -> Iterator[Browser]:
    """打开 `path` 处的浏览器，字体按 `fonts` 这份配置找。"""
    environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(fonts)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, env=environment)
        yield browser
        browser.close()
