"""比较用的另一方：同样的页面、同样的片段，没有我们的东西；与我方的副本。"""

import re
import shutil
import subprocess
import sys
import time
from contextlib import chdir, redirect_stdout
from functools import partial
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory

from benchmarks.make_vault import make_vault
from rizhi.snippets import cells
from rizhi.snippets import record as records
from rizhi.snippets.source import find_object
from rizhi.vault import Vault, find_vault

ROOT = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^( *)```(snippet|source)\n(.*?)^ *```$", re.M | re.S)


def ours(target: Path) -> Path:
    """这个知识库的副本，git 忽略的不带。"""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def bare(target: Path) -> Path:
    """同样的页面与笔记本、同样的主题与插件；围栏换成普通的代码块，没有我们的插件与扩展。"""
    ours(target)
    vault = find_vault(target, target)
    guide = vault.docs / "guide"  # 那里的围栏是写给人照抄的例子，片段并不在
    for page in (page for page in vault.docs.rglob("*.md") if guide not in page.parents):
        plain = _FENCE.sub(partial(_plain, vault, page), page.read_text("utf-8"))
        page.write_text(plain, encoding="utf-8")
    _without_us(target / "mkdocs.yml")
    shutil.rmtree(target / "rizhi")
    return target


def grown(target: Path, days: int, notes: int) -> Path:
    """写了许多天的知识库；没有参考页与笔记本，省去它们的插件：那是一笔定数，会把比值摊薄。"""
    make_vault(target, days, notes)
    (target / "docs/index.md").write_text("# 首页\n", encoding="utf-8")
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    start, stop = config.index("  - autorefs"), config.index("markdown_extensions:")
    (target / "mkdocs.yml").write_text(f"{config[:start]}\n{config[stop:]}", encoding="utf-8")
    return target


def grown_bare(target: Path, days: int, notes: int) -> Path:
    """同样的 Markdown、同样的主题与搜索，没有我们的插件与扩展。"""
    _without_us(grown(target, days, notes) / "mkdocs.yml")
    return target


def own_seconds(pipe: Connection, path: Path, root: Path) -> None:
    """在子进程里把一个片段当成普通程序从头跑到尾，画出它的图，送回秒数。"""
    from rizhi.snippets import figures

    sys.path.insert(0, str(root))
    with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(StringIO()):
        start = time.perf_counter()
        run_path(str(path), run_name=path.stem)
        figures.collect()
        pipe.send(time.perf_counter() - start)


def _without_us(path: Path) -> None:
    """去掉我们的插件、扩展与围栏；没有插件，不进导航的页要自己写明。"""
    config = path.read_text("utf-8")
    config = re.sub(r"^  - rizhi\b.*\n", "", config, flags=re.M)
    config = re.sub(r"^ *custom_fences:\n(?: +- \{name.*\n)+", "", config, flags=re.M)
    config = config.replace("superfences:\n", "superfences\n")
    path.write_text(f"not_in_nav: |\n  /daily/**\n  /weekly/**\n{config}", encoding="utf-8")


def _plain(vault: Vault, page: Path, found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[3].splitlines() if line.strip()]
    make = _cell if found[2] == "snippet" else _object
    blocks = "\n".join(make(vault, page, line) for line in lines)
    return re.sub(r"^(?=.)", found[1], blocks, flags=re.M)


def _cell(vault: Vault, page: Path, line: str) -> str:
    module, _, title = line.partition(":")
    cell = cells.parse(vault.snippets / f"{module}.py").cell(title)
    record = records.read_record(vault.outputs, module)
    out = record.output(title) if record else None
    parts = [f"```python\n{cell.source}\n```\n"]
    printed = (out.text, out.stderr) if out else ()
    parts += [f"```text\n{text}```\n" for text in printed if text]
    for number, figure in enumerate(out.figures if out else ()):
        name = f"{module}-{len(list(page.parent.iterdir()))}-{number}.svg"
        (page.parent / name).write_text(figure, encoding="utf-8")
        parts.append(f"![{title}]({name})\n")
    return "\n".join(parts)


def _object(vault: Vault, page: Path, line: str) -> str:
    module, _, dotted = line.partition(":")
    dotted = dotted.partition("#")[0].strip()  # 后面说显示哪几行，这边全显示
    _, source = find_object(vault.root / (module.replace(".", "/") + ".py"), dotted)
    return f"```python\n{source}\n```\n"
