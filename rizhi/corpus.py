"""知识库写成训练用的 JSONL：笔记与片段、源码各一行文字，自测各一段对话。

同一篇笔记的文字与自测 `source` 相同：训练的与留出的按它来分，一篇笔记不会两边都有。
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from rizhi import notes, store
from rizhi.errors import RizhiError
from rizhi.journal.day import read_days
from rizhi.page import Note, read_notes
from rizhi.vault import Vault, read_text, source_files

Line = Mapping[str, Any]


def files(vault: Vault) -> dict[str, list[Line]]:
    """要写的几个文件与它们的各行；草稿不在内，日记要 `[tool.rizhi] corpus_days = true` 才在内。"""
    finished = [note for note in read_notes(vault) if note.finished]
    role = notes.note_roles(vault).get("questions", "")
    texts = [_text(f"notes/{note.slug}", _note(vault, note)) for note in finished]
    texts += [_source(vault, path) for path in source_files(vault)]
    if vault.config.get("corpus_days") is True:
        texts += [_text(f"daily/{day.date}", day.body) for day in read_days(vault) if day.text]
    return {
        "text.jsonl": [line for line in texts if line["text"].strip()],
        "messages.jsonl": [line for note in finished for line in _messages(note, role)],
        "python.jsonl": [_text(f"python/{name}", text) for name, text in python_topics()],
    }


def write(vault: Vault, folder: Path, wanted: Mapping[str, Sequence[Line]]) -> list[Path]:
    """写进 folder，换掉上次写的。

    异常：folder 与 docs/ 套在一起（会被发布出去），或有同名而不是这里写的文件，抛 RizhiError，
    一个也不写。
    """
    place = folder.resolve()
    if place.is_relative_to(vault.docs) or vault.docs.is_relative_to(place):
        raise RizhiError("与 docs/ 套在一起。换一个文件夹。", folder)
    for name in wanted:
        if (folder / name).exists() and not _ours(folder / name):
            raise RizhiError("不是这里写的。先移走它，或换一个文件夹。", folder / name)
    for name, lines in wanted.items():
        store.replace(folder / name, "".join(map(_line, lines)).encode())
    return [folder / name for name in wanted]


def _note(vault: Vault, note: Note) -> str:
    """一篇笔记的正文，后面接着它的片段。"""
    path = vault.snippets / f"{note.module}.py"
    code = read_text(path) if path.is_file() else ""
    return f"{note.body.strip()}\n\n{code}".strip()


def _source(vault: Vault, path: Path) -> Line:
    return _text(path.relative_to(vault.root).as_posix(), read_text(path))


def _messages(note: Note, role: str) -> Iterator[Line]:
    """自测的每一问一段对话：问的是题目，答的是框里的话。"""
    for question, answer, _ in notes.self_tests(note, role):
        said = (("user", question), ("assistant", answer))
        messages = [{"role": who, "content": words} for who, words in said]
        yield {"source": f"notes/{note.slug}", "messages": messages}


def python_topics() -> list[tuple[str, str]]:
    """Python 自带的说明；整个写在另一篇里的不要，不然留出的文字训练时已经见过。"""
    bare = {name: "".join(text.partition("\n\n")[2].split()) for name, text in topics.items()}
    return [
        (name, text)
        for name, text in sorted(topics.items())
        if not any(
            bare[name] in other and (len(other), name) > (len(bare[name]), that)
            for that, other in bare.items()
            if that != name
        )
    ]


def _text(source: str, text: str) -> Line:
    return {"source": source, "text": text}


def _line(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _ours(path: Path) -> bool:
    """上次写在这里的：空的，或头一行有 source。"""
    try:
        with path.open("rb") as lines:
            head = lines.readline()
        return not head or "source" in json.loads(head)
    except (OSError, ValueError, TypeError):
        return False
