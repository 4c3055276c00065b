"""建一篇笔记的骨架、给笔记改名：几个文件一起，要么全成，要么全不成。"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from rizhi import markdown, store, template
from rizhi import rename as renaming
from rizhi.errors import RizhiError
from rizhi.frontmatter import body_start, quoted
from rizhi.markdown.outline import sections
from rizhi.page import read_notes
from rizhi.template import VALUE, render
from rizhi.vault import SLUG, Vault, contained, decode, module_of

GROUPS = ("attention", "model", "training", "pytorch", "python", "algorithms")
_ROLE = re.compile(r"^##[ \t]+(.+?)[ \t]*\{#[ \t]*(\w+)[ \t]*#\}[ \t]*$", re.M)


@dataclass(frozen=True)
class Renamed:
    """一次改名：搬了哪些文件，改了几个文件、几处链接。"""

    moves: list[tuple[Path, Path]]
    edits: int
    links: int


def create(vault: Vault, slug: str, title: str, group: str, today: date) -> list[Path]:
    """笔记与片段的骨架，都是草稿。

    异常：组名不对、已有同名的笔记或片段，抛 RizhiError；什么也没有改动。
    """
    _check_group(vault, group)
    title = " ".join(title.split())
    if not title or not title.isprintable():
        raise RizhiError("标题是空的，或有控制字符。")
    note = vault.notes / group / f"{slug}.md"
    snippet = vault.snippets / f"{module_of(slug)}.py"
    taken = [n.path for n in read_notes(vault) if n.slug == slug]
    taken += [path for path in (note, snippet) if path.exists()]
    if taken:
        raise RizhiError(f"{vault.relative(taken[0])} 已存在。换一个名字。")
    values = {"slug": slug, "title": title, "module": module_of(slug), "created": today}
    texts = {
        note: template.render(vault, "note.md", **values, yaml_title=quoted(title)),
        snippet: template.render(vault, "snippet.py", **values),
    }
    steps = [store.creation(contained(vault, p), text.encode()) for p, text in texts.items()]
    store.change(vault.root, f"note {slug}", steps)
    return [note, snippet]


def rename(vault: Vault, old: str, new: str) -> Renamed:
    """改名，连同片段、记录与所有链接。

    异常：没有 `old`、`new` 已有，抛 RizhiError；写不成，抛 OSError。什么也没有改动。
    """
    plan = renaming.plan(vault, read_notes(vault), old, new)
    links: dict[Path, int] = {}

    def rewritten(path: Path, data: bytes | None) -> bytes | None:
        try:
            text, links[path] = plan.rewritten(path, decode(data or b"", path))
        except RizhiError:
            return data  # 读不出的页里不会有要改的链接，也绝不改它
        return data and text.encode()

    edits = [store.Edit(path, partial(rewritten, path)) for path in _pages(vault)]
    moves = [store.Move(contained(vault, a), contained(vault, b)) for a, b in plan.moves]
    changed = store.change(vault.root, f"rename {old} {new}", [*edits, *moves])
    return Renamed(plan.moves, len(changed) - len(moves), sum(links.values()))


def note_headings(vault: Vault) -> tuple[str, ...]:
    """笔记模板的二级标题；模板填了值的地方是 VALUE。

    异常：同 `render`。
    """
    values: dict[str, Any] = dict.fromkeys(("slug", "title", "module", "yaml_title"), VALUE)
    text = render(vault, "note.md", **values, created=date(2000, 1, 1))
    return tuple(part.name for part in sections(markdown.parse(text, body_start(text))))


def note_roles(vault: Vault) -> Mapping[str, str]:
    """笔记模板点名的几节：角色到标题，标题里填了值的地方是 VALUE。

    `## 自测{# questions #}`：Jinja 注释不进产物。一个角色也没有点名的是上一版的模板：
    标题还与自带的模板相同的，照自带的算。

    异常：同 `render`。
    """
    roles = _roles(template.source(vault, "note.md"))
    if not roles:
        own = _roles((template.TEMPLATES / "note.md").read_text("utf-8"))
        headings = note_headings(vault)
        roles = {role: title for role, title in own.items() if title in headings}
    return roles


def fits(name: str, wanted: str) -> bool:
    """一节的标题是不是模板里的这一个。"""
    return bool(re.fullmatch(re.escape(wanted).replace(VALUE, ".+"), name))


def _roles(text: str) -> dict[str, str]:
    return {role: re.sub(r"\{\{.*?\}\}", VALUE, title) for title, role in _ROLE.findall(text)}


def _check_group(vault: Vault, group: str) -> None:
    existing = [p.name for p in sorted(vault.notes.glob("*")) if p.is_dir()]
    known = dict.fromkeys([*GROUPS, *existing])
    if group not in known or not SLUG.fullmatch(group):
        raise RizhiError(
            f"没有 {group!r} 这一组；现有：{'、'.join(known)}。"
            f"要新开一组，先建 docs/notes/ 下的文件夹。"
        )


def _pages(vault: Vault) -> list[Path]:
    """可能链接到笔记的文件：全部页面、笔记本与根下的说明。"""
    found = [*vault.docs.rglob("*.md"), *vault.notebooks.glob("*.ipynb"), *vault.root.glob("*.md")]
    return sorted(path for path in found if _is_page(vault, path))


def _is_page(vault: Vault, path: Path) -> bool:
    """名字以点开头的不是页面；没有权限读的，也改不了。"""
    hidden = any(part.startswith(".") for part in path.relative_to(vault.root).parts)
    return not hidden and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
