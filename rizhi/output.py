"""把结果排成给人看的行；纯函数，打印由 cli 做。"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rizhi.journal.day import Day, Section, nested
from rizhi.journal.dialects import Change
from rizhi.journal.importer import Incoming, commands
from rizhi.journal.todo import Todo, brief, due_of, shown
from rizhi.journal.week import Result
from rizhi.journal.write import Created
from rizhi.links import text_only, text_within
from rizhi.markdown import Block, Item
from rizhi.notes import Deletion, Moved
from rizhi.store import Undone
from rizhi.vault import Vault

_STATES = {"open": "[ ]", "done": "[x]", "dropped": "[-]"}
_LEVELS = " ░▒▓█"
_LAPSED = 5  # 最近忘了的，列这么几张


def todo_lines(todos: Sequence[Todo], today: date) -> list[str]:
    """待办一行一条：编号、状态、文字，然后是它的来历。"""
    lines = [_todo_line(todo, today) for todo in todos]
    opened = sum(todo.state == "open" for todo in todos)
    closed = f"，{len(todos) - opened} 条已了结" if opened < len(todos) else ""
    return [*lines, f"{opened} 条开着{closed}。"]


def todo_dict(todo: Todo, today: date, paths: Mapping[date, Path], vault: Vault) -> dict[str, Any]:
    """`--json` 的一项。"""
    first, last = (vault.relative(paths[day]) for day in (todo.born, todo.last))
    return {
        "id": todo.id,
        "text": brief(todo.text),
        "state": todo.state,
        "born": todo.born.isoformat(),
        "age": todo.age(today),
        "carried": todo.carried,
        "due": todo.due.isoformat() if todo.due else None,
        "first": {"path": first, "line": todo.lines[0]},
        "last": {"path": last, "line": todo.lines[1]},
    }


def day_dict(page: Day) -> dict[str, Any]:
    """`rizhi show --json`：同名的节合在一起，子条目套在父条目里。"""
    sections: dict[str, dict[str, Any]] = {}
    for section in _sections(page):
        merged = sections.setdefault(section.name, {"name": section.name, "items": [], "prose": []})
        outer, children = nested(section.items)
        merged["items"] += [_item(item, page, children) for item in outer if item.text]
        merged["prose"] += section.prose
    lists, inner = _lists(page)
    return {
        "date": str(page.date),
        "title": page.title,
        "sections": list(sections.values()),
        "items": _count(page.items),
        "lists": {"all": lists, "nested": inner},
        "todos": [_item(item, page) for item in page.todos],
        "links": [
            {"text": k.text, "target": k.target, "line": page.document.line(k.start)}
            for k in page.document.links
            if not k.image
        ],
        "stubs": [stub.name for stub in page.stubs],
    }


def day_lines(page: Day) -> list[str]:
    """`rizhi show` 给人看的样子：散文与条目照页里的次序，子条目缩进。"""
    day = str(page.date)
    lines = [page.title if page.title.startswith(day) else f"{day}　{page.title}"]
    for section in _sections(page):
        if section.level != 1:
            lines.append(f"{section.name}（{_count(section.items)} 条）")
        lines += [f"  {line}" for line in _section_lines(page, section)]
    stubs = "、".join(stub.name for stub in page.stubs)
    lists, inner = _lists(page)
    links = sum(not link.image for link in page.document.links)
    within = f"（套在里面的 {inner} 个）" if inner else ""
    tail = f"条目 {_count(page.items)} 条，列表 {lists} 个{within}；"
    tail += f"待办 {len(page.todos)} 条，链接 {links} 个。"
    return [*lines, *([f"待写的主题：{stubs}"] if stubs else []), tail]


def stats_lines(data: Mapping[str, Any], today: date) -> list[str]:
    """`rizhi stats` 给人看的样子。"""
    if not data["days"]:
        return ["还没有写过。用 rizhi new 写第一天。", *_recall(data["recall"])]
    often = [f"{name} {count} 天" for name, count in list(data["topics"].items())[:5]]
    return [
        f"写了 {data['days']} 天（{data['first']} 至 {data['last']}），共 {data['words']} 字。",
        f"连着写了 {data['streak']} 天（中间歇一天不算断）。",
        f"常写的主题：{'、'.join(often) or '还没有链接到笔记'}。",
        *_recall(data["recall"]),
        *_heat(data["heatmap"], today),
    ]


def new_line(day: Created, vault: Vault) -> str:
    """写好的一天，带上了几条目标。"""
    goals = f"，目标 {day.goals} 条" if day.goals else ""
    rest = f"，另有 {day.rest} 件，见 rizhi todo" if day.rest else ""
    return f"写好 {vault.relative(day.path)}{goals}{rest}。"


def undo_line(undone: Undone, vault: Vault) -> str:
    """退回了哪一条命令，动了哪些文件。"""
    names = "、".join(vault.relative(path) for path in undone.paths[:3])
    more = f" 等 {len(undone.paths)} 个文件" if len(undone.paths) > 3 else ""
    return f"退回了 rizhi {undone.command}：{names}{more}"


def week_lines(week: Result, vault: Vault) -> list[str]:
    """周报写了没有，与它缺什么。"""
    what = {"new": "写好 ", "changed": "刷新了 ", "same": "没有变化："}[week.state]
    return [f"{what}{vault.relative(week.path)}。", *week.data["lacking"]]


def that_day_lines(days: Sequence[Mapping[str, Any]]) -> list[str]:
    """那几天，一行一天。"""
    lines = [
        f"{day['ago']:>3} 天前  {day['date']}  {day['title'] or '（没有标题）'}  {day['path']}"
        for day in days
    ]
    return lines or ["那几天都没有写。"]


def import_lines(files: Sequence[Incoming], vault: Vault, wrote: bool, refused: bool) -> list[str]:
    """导入的结果：每个文件几行，最后一共几个；`refused` 是因为有坏文件，一个也没有写。"""
    lines = [line for file in files for line in _incoming(file, vault, not wrote)]
    states = [file.state for file in files]
    tail = f"{len(files)} 个文件：写了 {states.count('new') if wrote else 0} 天，"
    tail += f"{states.count('bad')} 个不能收。"
    if refused:
        tail += "有坏文件，一个也没有写；改好再来，或加 --keep-going。"
    return [*lines, tail]


def import_dict(file: Incoming, vault: Vault) -> dict[str, Any]:
    """`--json` 的一项。"""
    page = file.page
    return {
        "source": str(file.source),
        "state": file.state,
        "problem": file.problem,
        "date": file.day.isoformat() if file.day else None,
        "path": vault.relative(file.path) if file.path else None,
        "sections": [section.name for section in page.sections if section.known],
        "items": _count(page.items),
        "todos": len(page.todos),
        "stubs": [stub.name for stub in page.stubs],
        "own": file.own_sections,
        "commands": commands(page),
        "rewritten": [change._asdict() for change in file.done],
        "findings": [change._asdict() for change in file.remaining],
        "pictures": [vault.relative(path) for path, _ in file.copies],
    }


def _incoming(file: Incoming, vault: Vault, dry: bool) -> list[str]:
    """导入一个文件的结果：认出了什么，改写了什么，哪一行会看错、能怎么改。"""
    if file.state == "bad":
        return [f"× {file.problem}"]
    page, place = file.page, vault.relative(file.page.path)
    if file.state == "same":
        return [f"√ {file.source} 已经收过 {place}，没有再动它"]
    known = dict.fromkeys(section.name for section in page.sections if section.known)
    counts = f"{_count(page.items)} 条、{len(page.todos)} 条待办"
    lines = [f"√ {file.source} {'可以收为' if dry else '收为'} {place}"]
    if known:
        lines.append(f"  认出 {len(known)} 节（{'、'.join(known)}）、{counts}")
    else:
        rest = "其余的原样留着" if file.done else "全文原样留着"
        lines.append(f"  没有认出约定的节；认出 {counts}，{rest}")
    if file.own_sections:
        lines.append(f"  不是约定的节，原样留着：{'、'.join(file.own_sections)}")
    lines += _changes(f"{'会改写' if dry else '改写了'} {len(file.done)} 处：", file.done)
    if file.copies:
        copied = "、".join(vault.relative(path) for path, _ in file.copies)
        lines.append(f"  {'会复制' if dry else '复制了'}图片：{copied}")
    lines += _changes(f"会看错的 {len(file.remaining)} 处，原样留着：", file.remaining)
    if kinds := dict.fromkeys(change.kind for change in file.remaining if change.right):
        first = "" if dry else "先 rizhi undo 退回来，再"
        how = f"{first}加 --fix {' --fix '.join(kinds)}，或 --fix 全部"
        lines.append(f"  写着 → 的可以改写：{how}")
    if page.stubs:
        lines.append("  只有主题名的标题，可以建成笔记：")
    return [*lines, *(f"    {line}" for line in commands(page))]


def _changes(title: str, changes: Sequence[Change]) -> list[str]:
    """一行一处：第几行、是什么、会怎样、改成什么。"""
    lines = [
        f"    第 {c.line} 行 [{c.kind}] {c.text}：{c.why}" + (f" → {c.right}" if c.right else "")
        for c in changes
    ]
    return [f"  {title}", *lines] if lines else []


def moved_lines(moved: Moved, vault: Vault) -> list[str]:
    """改名或合并做了什么，还要人做什么。"""
    at = f":{moved.line}" if moved.line else ""
    lines = [f"{vault.relative(a)} → {vault.relative(b)}{at}" for a, b in moved.moves.items()]
    lines.append(f"改了 {moved.edits} 个文件，其中 {moved.links} 处链接。")
    lines += [
        f"{vault.relative(path)} 里的链接改了，记录已过期：rizhi record {path.stem}"
        for path in moved.stale
    ]
    if moved.kept:
        kept = "、".join(map(vault.relative, moved.kept))
        lines.append(f"留着 {kept}：围栏还用着它们；整理好正文，再搬进另一个片段。")
    return lines


def reference_lines(planned: Deletion, vault: Vault) -> list[str]:
    """删掉一篇笔记，会断的各处。"""
    count = len(planned.references)
    listed = [f"{vault.relative(r.path)}:{r.line} {r.text}" for r in planned.references]
    return [f"删掉 {planned.slug}，有 {count} 处会断：", *listed] if count else []


def delete_lines(planned: Deletion, vault: Vault) -> list[str]:
    """删掉了哪些文件；记录的文件多，只说几个。"""
    records = [path for path in planned.files if path.is_relative_to(vault.outputs)]
    files = [path for path in planned.files if path not in records]
    lines = [f"删了 {vault.relative(path)}" for path in files]
    if records:
        lines.append(f"删了 {vault.relative(records[0].parent)}/ 里的 {len(records)} 个文件")
    return lines


def to_write(text: str) -> list[str]:
    """一篇笔记的骨架里还没写的几处。"""
    hints = re.findall(r"^## (.+?)[ \t]*\n(?:(?!## )[^\n]*\n)*?<!-- 待写：(.*?) -->", text, re.M)
    return [f"  {name}：{hint}" for name, hint in hints]


def _sections(page: Day) -> list[Section]:
    """要给他看的节：待写的主题另外列出，一级标题下没有话的不列。"""
    stubs = page.stubs
    named = [section for section in page.sections if section not in stubs]
    return [s for s in named if s.level != 1 or s.lines or _count(s.items)]


def _section_lines(page: Day, section: Section) -> list[str]:
    outer, children = nested(section.items)
    placed = [(at, [_prose(page, at, line)]) for at, line in section.lines]
    placed += [(item.start, _branch(page, item, children)) for item in outer if item.text]
    return [line for _, lines in sorted(placed, key=lambda pair: pair[0]) for line in lines]


def _branch(page: Day, item: Item, children: Mapping[int, list[Item]]) -> list[str]:
    """一个条目、它下面的话与子条目。"""
    below = [(note.start, _dedented(page, note)) for note in page.document.notes(item)]
    inside = [child for child in children.get(item.number, ()) if child.text]
    below += [(child.start, _branch(page, child, children)) for child in inside]
    more = [f"  {line}" for _, lines in sorted(below, key=lambda pair: pair[0]) for line in lines]
    text = text_only(shown(item.text), page.document.definitions)
    return [f"{_STATES.get(_state(item) or '', '-')} {text}", *more]


def _prose(page: Day, at: int, line: str) -> str:
    start = page.text.index(line, at)
    return text_within(page.document, start, start + len(line))


def _dedented(page: Day, note: Block) -> list[str]:
    """条目下面的一段话或代码，去掉它在条目里的缩进。"""
    column = note.start - page.document.line_start(note.start)
    first, *rest = text_within(page.document, note.start, note.end).splitlines()
    return [first, *(line[min(column, len(line) - len(line.lstrip())) :] for line in rest)]


def _count(items: Iterable[Item]) -> int:
    return sum(1 for item in items if item.text)


def _lists(page: Day) -> tuple[int, int]:
    """写了字的列表有几个，其中几个套在条目里。"""
    starts = sorted(item.start for item in page.document.items if item.text)
    lists = [
        block
        for block in page.document.blocks
        if block.kind == "list"
        and bisect_left(starts, block.start) < bisect_right(starts, block.end)
    ]
    return len(lists), sum(block.item >= 0 for block in lists)


def _state(item: Item) -> str | None:
    return item.state or ("open" if item.todo else None)


def _item(
    item: Item, page: Day, children: Mapping[int, list[Item]] | None = None
) -> dict[str, Any]:
    due = due_of(page, item)
    data: dict[str, Any] = {
        "text": item.text,
        "state": _state(item),
        "line": page.document.line(item.start),
        "due": due.isoformat() if due else None,
    }
    if children is not None:
        inside = [child for child in children.get(item.number, ()) if child.text]
        data["children"] = [_item(child, page, children) for child in inside]
    return data


def _todo_line(todo: Todo, today: date) -> str:
    due = f"{'搁到' if todo.parked(today) else '期限'} {todo.due} " if todo.due else ""
    mark = f"[{todo.mark or ' '}]" if todo.state == "open" else _STATES[todo.state]
    first, last = todo.lines
    history = f"自 {todo.born} 第 {first} 行，{todo.age(today)} 天"
    if todo.carried:
        history += f"，顺延 {todo.carried} 次，最近在 {todo.last} 第 {last} 行"
    return f"{todo.id} {mark} {due}{text_only(brief(todo.text))}（{history}）"


def _recall(data: Mapping[str, Any] | None) -> list[str]:
    """复习的几行：几次、记得几次，接下来一周，最近忘了的几张。"""
    if data is None:
        return []
    due = [f"{day['date'][5:]} {day['count']} 张" for day in data["coming"] if day["count"]]
    coming = "、".join(due) or "没有"
    counts = f"新的 {data['new']}，记得 {data['kept']}，忘了 {data['lapses']}"
    lines = [f"复习了 {data['reviewed']} 次：{counts}；接下来七天到期的：{coming}。"]
    for card in data["lapsed"][:_LAPSED]:
        first = f"，头一次写到是 {card['first']}（{card['path']}）" if card["first"] else ""
        lines.append(f"最近忘了「{brief(card['text'])}」：笔记 {card['note']}{first}")
    return lines


def _heat(heat: Mapping[str, int], today: date) -> list[str]:
    """最近十二周，一行是一个星期几，一格是一天，越深写得越多。"""
    most = max(heat.values(), default=0) or 1
    first = today.toordinal() - today.weekday() - 77
    rows = []
    for weekday, name in enumerate("一二三四五六日"):
        days = (date.fromordinal(first + 7 * week + weekday).isoformat() for week in range(12))
        cells = "".join(_LEVELS[-(-4 * heat.get(day, 0) // most)] for day in days)
        rows.append(f"{name} {cells}".rstrip())
    return rows
