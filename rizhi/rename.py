"""给一篇笔记改名：笔记、片段、记录与所有指向它的链接，一起改；这里只算，不写。"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rizhi.entry import links, outside_code
from rizhi.frontmatter import body_start
from rizhi.index import resolve
from rizhi.page import Note
from rizhi.vault import RizhiError, Vault, module_of

_REFERENCE = re.compile(r"^[ ]{0,3}\[[^\]\n]+\]:[ \t]*<?([^>\s]+)", re.M)
_ATTRIBUTE = re.compile(r"\b(?:href|src)=[\"']([^\"'\n]+)[\"']")


@dataclass(frozen=True)
class Plan:
    """把 `note` 从 `old` 改名为 `new`：要搬的文件，与每一页怎么改。"""

    note: Note
    old: str
    new: str
    moves: list[tuple[Path, Path]]

    def rewritten(self, path: Path, text: str) -> tuple[str, int]:
        """一页改过之后的文字，与改了几处链接。"""
        changed, links = _relinked(path, text, self.note.path, self.moves[0][1])
        changed = _mentioned(path, changed, self.note, self.old, self.new)
        return changed, links


def plan(vault: Vault, notes: Sequence[Note], old: str, new: str) -> Plan:
    """从 `old` 改成 `new` 要做什么。

    异常：没有 `old`、`new` 已有，抛 RizhiError。
    """
    note = _the_note(vault, notes, old, new)
    target = note.path.with_name(f"{new}.md")
    return Plan(note, old, new, [(note.path, target), *_moves(vault, old, new)])


def _the_note(vault: Vault, notes: Sequence[Note], old: str, new: str) -> Note:
    found = [note for note in notes if note.slug == old]
    taken = [note for note in notes if note.slug == new]
    if len(found) != 1:
        why = "没有这篇笔记" if not found else f"有 {len(found)} 篇同名的笔记"
        raise RizhiError(f"{old}：{why}。没有改动任何文件。")
    places = [target for _, target in _moves(vault, old, new) if target.exists()]
    clash = [*(note.path for note in taken), *places]
    if clash:
        raise RizhiError(f"{vault.relative(clash[0])} 已存在；没有改动任何文件。换一个名字。")
    return found[0]


def _moves(vault: Vault, old: str, new: str) -> list[tuple[Path, Path]]:
    a, b = module_of(old), module_of(new)
    pairs = [
        (vault.snippets / f"{a}.py", vault.snippets / f"{b}.py"),
        (vault.outputs / a, vault.outputs / b),
    ]
    return [(source, target) for source, target in pairs if source.exists()]


def _relinked(path: Path, text: str, old: Path, new: Path) -> tuple[str, int]:
    """指向旧路径的链接换成新名字；别的字符不动。"""
    if old.name not in text:
        return text, 0
    spots = [(link.start, link.target) for link in links(text)]
    prose = outside_code(text)
    for pattern in (_REFERENCE, _ATTRIBUTE):
        spots += [(m.start(1), m[1]) for m in pattern.finditer(prose)]
    folder, wanted = str(path.parent), str(old)
    hits = sorted({(at, target) for at, target in spots if resolve(folder, target) == wanted})
    for at, target in reversed(hits):
        renamed = target.replace(old.name, new.name, 1)
        text = text[:at] + renamed + text[at + len(target) :]
    return text, len(hits)


def _mentioned(path: Path, text: str, note: Note, old: str, new: str) -> str:
    """前置数据里的 snippet 与 prereq、围栏里的模块名。"""
    a, b = module_of(old), module_of(new)
    end = body_start(text)
    head, body = text[:end], text[end:]
    if path == note.path:
        head = re.sub(rf"^(snippet:[ \t]*[\"']?){a}\b", rf"\g<1>{b}", head, flags=re.M)
    if path.suffix == ".md" and "prereq" in head:
        head = re.sub(
            r"^prereq:[^\n]*(?:\n[ \t]*-[^\n]*)*",
            lambda m: re.sub(rf"(?<![\w-]){old}(?![\w-])", new, m[0]),
            head,
            flags=re.M,
        )
    if path.suffix == ".md" and a in body:
        body = re.sub(
            r"^([ \t]*(`{3,}|~{3,}))[ \t]*snippet\b[^\n]*\n(?:[^\n]*\n)*?[ \t]*\2",
            lambda m: re.sub(rf"^([ \t]*){a}(?=\s*(?::|$))", rf"\g<1>{b}", m[0], flags=re.M),
            body,
            flags=re.M,
        )
    return head + body
