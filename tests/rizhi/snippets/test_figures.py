"""片段里的图：字体随 Python 包来，系统有什么字体、缓存说什么，轮廓都一样。"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager, get_data_path

from rizhi.errors import RizhiError
from rizhi.snippets import figures, recording
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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("for _ in range(500):\n    plt.figure()", "一格有 501 张图，至多 20 张"),
        ("n = 50_000\nplt.plot(range(n), [i * 7919 % n for i in range(n)], 'x')", "超过 2 MiB"),
        ("plt.imshow(np.random.rand(900, 900, 3), interpolation='none')", "超过 2 MiB"),
        ("plt.title('a\\0b')", r"图里有控制字符 U\+0000"),
        ("plt.gca().set_gid('\\ud800')", r"图里有孤立的代理 U\+D800"),
        ("plt.title('\\ud800')", "TypeError"),
        ("plt.gcf().savefig = None", "TypeError"),
    ],
)
def test_a_figure_that_cannot_be_recorded_is_refused_with_its_cell(
    vault: Vault, drawing: Path, body: str, message: str
) -> None:
    drawing.write_text(f"{DRAWING}import numpy as np\n{body}\n", encoding="utf-8")
    error = runner.run(vault, drawing).error
    assert error.startswith("snippets/topic.py:2 单元格「图」出错：") and re.search(message, error)
    with pytest.raises(RizhiError, match=message):
        recording.record(vault, drawing)
    assert not (vault.outputs / "topic").exists()


def test_as_many_figures_as_allowed_are_kept(vault: Vault, drawing: Path) -> None:
    body = f"for _ in range({figures.MAX_FIGURES - 1}):\n    plt.figure(figsize=(1, 1))\n"
    drawing.write_text(DRAWING + body, encoding="utf-8")
    run = runner.run(vault, drawing)
    assert len(run.outputs[0].figures) == figures.MAX_FIGURES and run.outputs[0].stderr == ""


def test_a_missing_glyph_is_said_once_without_a_place(vault: Vault, drawing: Path) -> None:
    body = "plt.xlabel('ऄ')\nplt.ylabel('ऄ')\nplt.figure()\nplt.title('ऄ')\n"
    drawing.write_text(DRAWING + body, encoding="utf-8")
    said = runner.run(vault, drawing).outputs[0].stderr
    assert said.startswith("UserWarning: Glyph 2308") and said.count("\n") == 1


def test_show_says_nothing_with_or_without_a_display(vault: Vault, drawing: Path) -> None:
    body = "import os\nplt.show()\nos.environ['DISPLAY'] = ':0'\nplt.show()\n"
    drawing.write_text(DRAWING + body, encoding="utf-8")
    (out,) = runner.run(vault, drawing).outputs
    assert out.stderr == "" and len(out.figures) == 1


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("plt.show()\nplt.plot([1])\nplt.show()\nplt.close()", 2),  # 关掉的是已经看过的
        ("plt.show()\nplt.plot([1])", 2),
        ("plt.show()\nplt.show()", 1),
        ("plt.close()", 0),
        ("import matplotlib\nmatplotlib.use('TkAgg')\nplt.show()", 1),
        ("from pylab import *\nfigure()\nshow()", 2),
        ("fig = plt.gcf()\nfig.show()\nfig", 1),
    ],
)
def test_figures_are_those_that_jupyter_shows(
    vault: Vault, drawing: Path, body: str, count: int
) -> None:
    drawing.write_text(f"{DRAWING}{body}\n# %% 下一格\nplt.get_fignums()\n", encoding="utf-8")
    run = runner.run(vault, drawing)
    assert not run.error and [len(out.figures) for out in run.outputs] == [count, 0]
    assert run.outputs[1].text == "[]\n" and run.outputs[0].stderr == ""


def test_what_is_drawn_after_show_is_another_figure(vault: Vault, drawing: Path) -> None:
    body = "plt.plot([1, 2])\nplt.show()\nplt.plot([2, 1])\nprint(len(plt.gca().lines))\n"
    drawing.write_text(DRAWING + body, encoding="utf-8")
    (out,) = runner.run(vault, drawing).outputs
    assert out.text == "1\n" and len(set(out.figures)) == 2


def test_too_many_shown_one_by_one_are_refused_at_their_line(vault: Vault, drawing: Path) -> None:
    drawing.write_text(
        DRAWING + "for _ in range(500):\n    plt.figure()\n    plt.show()\n", "utf-8"
    )
    assert re.search("topic.py:8 .*至多 20 张", runner.run(vault, drawing).error)


@pytest.mark.parametrize("name", ["SimHei", "Microsoft YaHei", "PingFang SC"])
def test_a_chinese_font_of_another_system_is_the_packaged_one(
    vault: Vault, drawing: Path, name: str
) -> None:
    body = f"plt.rcParams['font.family'] = '{name}'\nplt.title('因果', fontproperties='{name}')\n"
    drawing.write_text(f"{DRAWING}{body}", encoding="utf-8")
    (out,) = runner.run(vault, drawing).outputs
    assert "NotoSansSC-Regular" in out.figures[0] and out.stderr == ""


@pytest.mark.parametrize(
    "body",
    ["plt.style.use('seaborn-v0_8')", "plt.rcdefaults()", "plt.rcParams['font.family'] = 'serif'"],
)
def test_chinese_stays_legible_whatever_the_style(vault: Vault, drawing: Path, body: str) -> None:
    drawing.write_text(f"{DRAWING}{body}\nplt.xlabel('因果')\n", encoding="utf-8")
    (out,) = runner.run(vault, drawing).outputs
    assert out.figures and out.stderr == ""


def test_figures_are_deterministic_and_closed(vault: Vault, drawing: Path) -> None:
    drawing.write_text(f"{DRAWING}# %% 二\nx = 1\n", encoding="utf-8")
    first, second = runner.run(vault, drawing), runner.run(vault, drawing)
    assert first.outputs[0].figures == second.outputs[0].figures
    assert len(first.outputs[0].figures) == 1 and first.outputs[1].figures == ()
    assert "<svg" in first.outputs[0].figures[0] and "<dc:date>" not in first.outputs[0].figures[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("plt.plot([1, 2])\nplt.gcf().set_label('先升\\n后平')", "先升 后平"),
        ("plt.plot([1, 2])", "1 条线"),
        ("plt.figure()", ""),
        (
            "f, (a, b) = plt.subplots(1, 2)\nf.suptitle('总')\n"
            "a.bar(range(3), range(3), label='甲')\n"
            "a.legend()\na.set(title='左', xlabel='键', ylabel='概率')\nb.imshow([[1, 2, 3]])",
            "总；左：3 根柱（横轴 键，纵轴 概率，图例 甲）；1×3 的方格",
        ),
        (
            "shown = plt.scatter([1, 2], [1, 2], c=[0, 1])\nplt.colorbar(shown, label='值')\n"
            "plt.title('<a> & \"b\"')",
            '<a> & "b"：1 组点',
        ),
    ],
)
def test_a_figure_says_what_is_seen(vault: Vault, drawing: Path, body: str, said: str) -> None:
    """作者用 `set_label` 写的；没有写，就由标题、轴与图例说。"""
    drawing.write_text(f"# %% 图\nimport matplotlib.pyplot as plt\n\n{body}\n", encoding="utf-8")
    run = runner.run(vault, drawing)
    assert not run.error, run.error
    (svg,) = run.outputs[0].figures
    assert figures.seen(svg) == said


def test_a_figure_of_an_old_record_says_nothing() -> None:
    assert figures.seen("<svg><path/></svg>") == ""
