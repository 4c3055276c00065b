"""建一篇笔记的骨架、给笔记改名：几个文件一起，要么全成，要么全不成。"""

from datetime import date
from pathlib import Path

from rizhi import pages, store
from rizhi import rename as renaming
from rizhi.frontmatter import quoted
from rizhi.page import read_notes
from rizhi.vault import SLUG, RizhiError, Vault, contained, module_of, read_text

GROUPS = ("attention", "model", "training", "pytorch", "python", "algorithms")


def journal(vault: Vault) -> Path:
    """没做完的改动记在这里；下一个命令接着做。"""
    return contained(vault, vault.root / ".rizhi" / "unfinished.json")


def create(vault: Vault, slug: str, title: str, group: str, today: date) -> list[Path]:
    """笔记与片段的骨架，都是草稿。

    异常：组名不对、已有同名的笔记或片段，抛 RizhiError；什么也没有改动。
    """
    _check_group(vault, group)
    title = " ".join(title.split())
    if not title or not title.isprintable():
        raise RizhiError("标题是空的，或有控制字符；没有改动任何文件。")
    note = vault.notes / group / f"{slug}.md"
    snippet = vault.snippets / f"{module_of(slug)}.py"
    taken = [n.path for n in read_notes(vault) if n.slug == slug]
    taken += [path for path in (note, snippet) if path.exists()]
    if taken:
        raise RizhiError(f"{vault.relative(taken[0])} 已存在；没有改动任何文件。换一个名字。")
    values = {"slug": slug, "title": title, "module": module_of(slug), "created": today}
    texts = {
        note: pages.render(vault, "note.md", **values, yaml_title=quoted(title)),
        snippet: pages.render(vault, "snippet.py", **values),
    }
    edits = {contained(vault, p): (None, text.encode()) for p, text in texts.items()}
    store.transact(journal(vault), edits)
    return [note, snippet]


def rename(vault: Vault, old: str, new: str) -> renaming.Plan:
    """改名，连同片段、记录与所有链接。"""
    texts = {path: _text(path) for path in _pages(vault)}
    plan = renaming.plan(vault, read_notes(vault), texts, old, new)
    for path in (*plan.edits, *(p for pair in plan.moves for p in pair)):
        contained(vault, path)
    store.transact(journal(vault), plan.edits, plan.moves)
    return plan


def _check_group(vault: Vault, group: str) -> None:
    existing = [p.name for p in sorted(vault.notes.glob("*")) if p.is_dir()]
    known = dict.fromkeys([*GROUPS, *existing])
    if group not in known or not SLUG.fullmatch(group):
        raise RizhiError(
            f"没有 {group!r} 这一组；现有：{'、'.join(known)}。"
            f"要新开一组，先建 docs/notes/ 下的文件夹。没有改动任何文件。"
        )


def _pages(vault: Vault) -> list[Path]:
    """可能链接到笔记的文件：全部页面、笔记本与根下的说明。"""
    found = [*vault.docs.rglob("*.md"), *vault.notebooks.glob("*.ipynb"), *vault.root.glob("*.md")]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _text(path: Path) -> str:
    """读不出的页里不会有要改的链接，也绝不改它。"""
    try:
        return read_text(path)
    except RizhiError:
        return ""
