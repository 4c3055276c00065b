"""面板的几组测试共用：按文件造一个知识库，读出一行字里的文字与链接。"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

from rizhi.site.blocks import Code, Dim, Link, Part, Struck
from rizhi.vault import Vault, find_vault

CONFIG = """[tool.rizhi]
source = "llm"

[tool.rizhi.groups]
attention = "注意力"
model = "模型"
python = "Python"
"""


def vault_of(root: Path, files: Mapping[str, str]) -> Vault:
    """`docs/` 下的几个文件，键是相对于 docs 的路径。"""
    (root / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    for name, text in files.items():
        path = root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return find_vault(root)


def pages_of(days: Mapping[str, str], notes: Mapping[str, str] | None = None) -> dict[str, str]:
    """`{"2026-11-20": 正文}` 与 `{"model/rope": 正文}` 写成的文件。"""
    files = {f"daily/{day[:4]}/{day}.md": text for day, text in days.items()}
    return files | {f"notes/{name}.md": text for name, text in (notes or {}).items()}


def flat(parts: Iterable[Part]) -> list[str | Code | Link]:
    return [one for p in parts for one in (flat(p.parts) if isinstance(p, Dim | Struck) else [p])]


def uris(parts: Iterable[Part]) -> list[str]:
    return [part.uri for part in flat(parts) if isinstance(part, Link)]


def text(parts: Iterable[Part]) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in flat(parts))


def small_vault(today: date) -> dict[str, str]:
    """两天、两篇笔记、一篇周报，头一天在 `today` 的三天以前。"""
    first = today - timedelta(days=3)
    thought = "## 思考\n\n旋转，见[m](x.md)\n"
    days = {
        first: f"---\ntags: [甲]\n---\n\n## 今日完成\n\n- [ ] 量一遍\n\n{thought}",
        first + timedelta(days=1): "## 今日完成\n\n- [x] 量一遍\n\n## 思考\n\n掩码\n",
    }
    return {
        **pages_of({str(day): text for day, text in days.items()}),
        "notes/model/rope.md": "---\ntitle: 旋转\n---\n",
        "notes/attention/mask.md": "---\ntitle: 掩码\n---\n",
        "weekly/2026-W47.md": "# 周报\n",
    }
