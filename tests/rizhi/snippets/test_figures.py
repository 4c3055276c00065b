"""片段里的图：字体随 Python 包来，系统有什么字体、缓存说什么，轮廓都一样。"""

import os
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager, get_data_path

from rizhi.snippets import run as runner
from rizhi.vault import Vault

ROOT = Path(__file__).resolve().parents[2]
DRAWING = """# %% 图
import matplotlib.pyplot as plt

plt.figure(figsize=(2, 1))
plt.title("因果：0 → 1")
"""
# 在新的进程里记录：那里的 forkserver 才会按那里的环境载入 matplotlib
RECORD = """
import sys
from pathlib import Path
from rizhi.snippets import run
from rizhi.vault import find_vault
run = run.run(find_vault(Path(sys.argv[2])), Path(sys.argv[1]))
print(run.error or run.outputs[0].figures[0])
"""
Prepare = Callable[[Path], dict[str, str | None]]


@pytest.fixture
def drawing(vault: Vault) -> Path:
    path = vault.snippets / "topic.py"
    path.write_text(DRAWING, encoding="utf-8")
    return path


def _record(vault: Vault, drawing: Path, changes: dict[str, str | None]) -> str:
    changes = {"PYTHONPATH": str(ROOT), **changes}
    kept = {name: value for name, value in os.environ.items() if name not in changes}
    environment = kept | {name: value for name, value in changes.items() if value is not None}
    command = [sys.executable, "-c", RECORD, str(drawing), str(vault.root)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.removesuffix("\n")


def _other_font(path: Path, family: str) -> Path:
    """一种也叫 `family`、也有「因果」、样子却不同的字体。"""
    font = TTFont(Path(get_data_path(), "fonts/ttf/DejaVuSerif.ttf"))
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap |= {ord("因"): "A", ord("果"): "B"}
    for number in (1, 4, 6, 16):
        font["name"].setName(
            family.replace(" ", "") if number == 6 else family, number, 3, 1, 0x409
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    font.save(path)
    return path


def _no_system_fonts(home: Path) -> dict[str, str | None]:
    (home / "fonts.conf").write_text("<fontconfig></fontconfig>", encoding="utf-8")
    return {"HOME": str(home), "FONTCONFIG_FILE": str(home / "fonts.conf")}


def _other_chinese_fonts(home: Path) -> dict[str, str | None]:
    _other_font(home / ".fonts/a.ttf", "Noto Sans CJK SC")
    _other_font(home / ".fonts/b.ttf", "Noto Sans SC")
    return {"HOME": str(home)}


def _stale_font_cache(home: Path) -> dict[str, str | None]:
    """缓存写好之后字体换过：同样的名字，指着另一种字体。"""
    other = str(_other_font(home / "other.ttf", "Noto Sans SC"))
    manager = copy(font_manager.fontManager)
    manager.ttflist = [
        font_manager.FontEntry(fname=other, name=name, size="scalable")
        for name in ("Noto Sans CJK SC", "Noto Sans SC")
    ]
    font_manager.json_dump(manager, home / f"fontlist-v{manager.__version__}.json")
    return {"MPLCONFIGDIR": str(home)}


def _unwritable_font_cache(home: Path) -> dict[str, str | None]:
    (home / "file").write_text("", encoding="utf-8")
    return {"MPLCONFIGDIR": str(home / "file/matplotlib")}


def _no_home(home: Path) -> dict[str, str | None]:
    return dict.fromkeys(("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"))


def _empty_home(home: Path) -> dict[str, str | None]:
    return _no_home(home) | {"HOME": ""}


def _own_matplotlibrc(home: Path) -> dict[str, str | None]:
    (home / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n", encoding="utf-8")
    return {"MATPLOTLIBRC": str(home)}


@pytest.mark.parametrize(
    "prepare",
    [
        _no_system_fonts,
        _other_chinese_fonts,
        _stale_font_cache,
        _unwritable_font_cache,
        _no_home,
        _empty_home,
        _own_matplotlibrc,
    ],
    ids=lambda prepare: prepare.__name__.lstrip("_"),
)
def test_every_machine_records_the_same_outlines(
    vault: Vault, drawing: Path, tmp_path_factory: pytest.TempPathFactory, prepare: Prepare
) -> None:
    here = runner.run(vault, drawing)
    assert not here.error
    changes, scratch = prepare(tmp_path_factory.mktemp("machine")), tmp_path_factory.mktemp("tmp")
    recorded = _record(vault, drawing, changes | {"TMPDIR": str(scratch)})
    assert recorded == here.outputs[0].figures[0]
    assert list(scratch.iterdir()) == []  # 临时的东西都收走了


def test_figures_are_drawn_with_the_packaged_font(vault: Vault, drawing: Path) -> None:
    (figure,) = runner.run(vault, drawing).outputs[0].figures
    assert "NotoSansSC-Regular" in figure  # 字形的 id 以字体的名字开头


def test_without_the_font_package_it_says_how_to_get_it(
    vault: Vault, drawing: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    (empty / "zhplot").mkdir()
    (empty / "zhplot/__init__.py").touch()  # 抢在真的前面，里面没有字体
    error = _record(vault, drawing, {"PYTHONPATH": f"{empty}{os.pathsep}{ROOT}"})
    assert error.startswith("snippets/topic.py:2 单元格「图」出错：图里的字要用 zhplot 带的字体")
    assert "pip install" in error and "FontMissing" not in error


def test_a_figure_that_cannot_be_drawn_names_its_line(vault: Vault, drawing: Path) -> None:
    drawing.write_text(DRAWING + 'plt.xlabel("$\\\\wrong$")\n', encoding="utf-8")
    assert "snippets/topic.py:2 单元格「图」出错：ValueError" in runner.run(vault, drawing).error
