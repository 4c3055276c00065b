"""坏页的语料：逐个情形的坏文件，指到外面的各种链接，与随机生成的页。"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

from tests.rizhi.hostile import ACTIVE, INERT

SECRET = "7f3a9c"  # noqa: S105  外面的文件里才有的字
NOTE = "---\ntitle: 坏页\ncreated: 2026-11-20\ndraft: true\nsnippet: x\n{}---\n\n# 坏页\n\n{}\n"
# 一篇笔记里的：前置数据多出的几行，与正文
NOTES = {
    "autodoc": ("", "::: tip\n\n文字。"),
    "autodoc-quoted": ("", "> ::: tip"),
    "autodoc-in-item": ("", "- 甲\n\n    ::: tip"),
    "autodoc-heading": ("", "## ::: tip"),
    "autodoc-outside": ("", "::: json"),
    "autodoc-missing": ("", "::: llm.nope"),
    "autodoc-options": ("", "::: llm.model\n    options: 5"),
    "icon": ("icon: LiBook\n", "正文。"),
    "icon-missing": ("icon: material/no-such-icon\n", "正文。"),
    "icon-outside": ("icon: ../../../partials/nav\n", "正文。"),
    "icon-table": ("icon: {a: b}\n", "正文。"),
    "template": ("template: x\n", "正文。"),
    "template-other": ("template: redirect.html\n", "正文。"),
    "template-list": ("template: [x]\n", "正文。"),
    "search": ("search: true\n", "正文。"),
    "search-boost": ("search: {boost: x}\n", "正文。"),
    "hide": ("hide: 5\n", "正文。"),
    "status": ("status: [a]\n", "正文。"),
    "tags": ('tags: [C++, "</title><svg/onload=alert(1)>", null]\n', "正文。"),
    "number-key": ("1: x\n", "正文。"),
    "itself": ("x: &a [*a]\n", "正文。"),
    "laughs": ("".join(f"k{n}: &k{n} [{f'*k{n - 1},' * 9}]\n" if n else "k0: &k0 [x]\n"
               for n in range(9)), "正文。"),
    "address": ("", "文字。 [坏的网址](http://[::1)"),
    "address-auto": ("", "<http://[::1>"),
    "address-picture": ("", "![坏](http://[::1)"),
}  # fmt: skip
BOOKS = {
    "empty-cell": {"cells": [{}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
    "no-format": {"cells": [], "metadata": {"kernelspec": {}}},
    "list": [1],
    "old": {"cells": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0},
    "half-letter": {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# \ud800"}],
                    "metadata": {}, "nbformat": 4, "nbformat_minor": 4},
}  # fmt: skip


def plant_notes(root: Path) -> dict[str, str]:
    """一篇篇坏的笔记：情形 → 相对于知识库的路径。"""
    folder = root / "docs/notes/bad"
    folder.mkdir(parents=True)
    for name, (front, body) in NOTES.items():
        (folder / f"{name}.md").write_text(NOTE.format(front, body), encoding="utf-8")
    (folder / "gbk.md").write_bytes("# 掩码\n".encode("gbk"))
    (folder / "meta.md").write_text("template: x\nhide: 5\n\n# 题\n", encoding="utf-8")
    (folder / "gone.md").symlink_to("nowhere.md")
    os.mkfifo(folder / "pipe.md")
    names = [*NOTES, "gbk", "gone", "pipe"]
    return {name: f"docs/notes/bad/{name}.md" for name in names}


def plant_books(root: Path) -> dict[str, str]:
    """一个个坏的笔记本。"""
    for name, book in BOOKS.items():
        (root / f"docs/notebooks/{name}.ipynb").write_text(json.dumps(book), encoding="utf-8")
    (root / "docs/notebooks/deep.ipynb").write_text("[" * 100_000, encoding="utf-8")
    return {f"book-{name}": f"docs/notebooks/{name}.ipynb" for name in (*BOOKS, "deep")}


def plant_files(root: Path) -> dict[str, str]:
    """不是一页的：名字、链接与种类不对。"""
    folder = root / "docs/notes/bad"
    raw = os.fsencode(folder)
    for name in ("掩码.md", "图.png", "一.ipynb"):
        with open(os.path.join(raw, name.encode("gbk")), "w") as file:  # noqa: PTH118, PTH123
            file.write("# 甲\n")
    os.mkdir(os.path.join(raw, "夹".encode("gbk")))  # noqa: PTH102, PTH118
    (folder / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / f"{'a' * 252}.md").write_text("# 甲\n", encoding="utf-8")
    (folder / "taken.md").write_text("# 甲\n", encoding="utf-8")
    (folder / "taken.html").mkdir()
    (folder / "loop").symlink_to(".")
    names = ["gone.png", "pipe.png", "taken.md", "loop", "a" * 252 + ".md"]
    found = {name: f"docs/notes/bad/{name}" for name in names}
    return found | {name: os.fsdecode(raw + b"/" + name.encode("gbk")).removeprefix(f"{root}/")
                    for name in ("掩码.md", "图.png", "一.ipynb", "夹")}  # fmt: skip


def plant_links(root: Path, outside: Path) -> dict[str, str]:
    """指到外面的：链接与记录里的路径；外面的每个文件里都有 SECRET。"""
    outside.mkdir()
    for suffix in ("md", "txt", "png", "svg", "css", "js", "jsonl"):
        (outside / f"x.{suffix}").write_text(f"# 题\n\n{SECRET}\n<svg", encoding="utf-8")
    (outside / "x.py").write_text(f'"""{SECRET}"""\n\n# %% 一\nprint("{SECRET}")\n', "utf-8")
    cell = {"cell_type": "markdown", "metadata": {}, "source": f"# {SECRET}"}
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (outside / "x.ipynb").write_text(json.dumps(book), encoding="utf-8")
    for name in ("daily", "key"):
        (outside / name).mkdir()
        (outside / name / "2026-01-02.md").write_text(f"# {SECRET}\n", encoding="utf-8")
    places = {
        "docs/notes/bad/out.md": "x.md",
        "docs/notes/bad/out.png": "x.png",
        "docs/notes/bad/out-folder": ".",
        "docs/daily/2026/2026-01-01.md": "x.md",
        "docs/daily/2025": "daily",
        "docs/weekly/2026-W01.md": "x.md",
        "docs/guide/out.md": "x.md",
        "docs/out.markdown": "x.md",
        "docs/assets": ".",
        "docs/mine.css": "x.css",
        "docs/mine.js": "x.js",
        "docs/page.html": "x.txt",
        "docs/notebooks/out.ipynb": "x.ipynb",
        "docs/reference/out.md": "x.md",
        "snippets/out.py": "x.py",
        "snippets/outputs/attention_mask/01-out.txt": "x.txt",
        "llm/out.py": "x.py",
    }
    for name, target in places.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(outside / target)
    note = "```source\nllm.out:x\n```\n\n```snippet\nout\nattention_mask\n```\n\n::: llm.out"
    text = NOTE.format("", note + '\n\n--8<-- "../outside/x.txt"\n\n::: ..outside.x')
    (root / "docs/notes/bad/uses.md").write_text(text, encoding="utf-8")
    return {name: name for name in (*places, "docs/notes/bad/uses.md")}


HOOK = """
def _raise(page, name):
    if page.file.name == f"hook-{name}":
        raise ValueError(f"别的插件在 {name} 里出错")


def on_pre_page(page, **_):
    _raise(page, "pre")


def on_page_markdown(markdown, page, **_):
    _raise(page, "markdown")


def on_page_content(html, page, **_):
    _raise(page, "content")


def on_page_context(context, page, **_):
    _raise(page, "context")


def on_post_page(output, page, **_):
    _raise(page, "post")
"""
TEMPLATE = """{% extends "base.html" %}
{% block content %}
{% if page and page.file.name == "hook-template" and "正文。" in page.content %}
{{ nothing.at.all }}
{% endif %}
{{ super() }}
{% endblock %}
"""
HOOKED = ("pre", "markdown", "content", "context", "template")


def plant_hooks(root: Path) -> dict[str, str]:
    """别的插件与主题的模板遇到某一页就出错。"""
    (root / "hook.py").write_text(HOOK, encoding="utf-8")
    (root / "theme").mkdir()
    (root / "theme/main.html").write_text(TEMPLATE, encoding="utf-8")
    config = root / "mkdocs.yml"
    text = config.read_text("utf-8").replace("theme:\n", "theme:\n  custom_dir: theme\n", 1)
    config.write_text(f"hooks: [hook.py]\n{text}", encoding="utf-8")
    for name in (*HOOKED, "post"):
        path = root / f"docs/notes/bad/hook-{name}.md"
        path.write_text(NOTE.format("", "正文。"), encoding="utf-8")
    return {f"hook-{name}": f"docs/notes/bad/hook-{name}.md" for name in (*HOOKED, "post")}


def lie_in_record(root: Path, name: str) -> None:
    """记录的 `files` 里写一个不是纯文件名的。"""
    index = root / "snippets/outputs/attention_mask/key.json"
    data = json.loads(index.read_text("utf-8"))
    data["cells"][0]["files"].append(name)
    index.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


# -- 随机的页 --

_KEYS = (
    "title icon template hide search status description author subtitle tags social aliases draft"
    " prereq snippet created date comments revision_date location pin week toc content url nav"
    " markdown meta __class__ 键 1 null true ''"
).split()
_SCALARS = (
    "", "~", "null", "true", "no", "5", "-1", "1e400", ".nan", ".inf", "0x1F", "1:30",
    "2026-11-20", "2026-02-30", "2026-11-20T10:00:00Z", "x", "material/book", "material/nope",
    "../../x", "main.html", "base.html", "404.html", "'</title><svg/onload=alert(1)>'",
    '"\\u2028\\x07\\0"', '"\\ud800"', "!!binary aGk=", "!!python/name:os.system", "!x y", "*a",
    "&a x", "|\n  多行\n  文字", ">-\n  折行", "'{{ 7*7 }}'", "'{% x %}'", "[navigation, toc]",
    "{exclude: true}", "{boost: 2}", "{boost: -1}", "!!set {a, b}", "掩码" * 2000, "9" * 5000,
    "[" * 200 + "]" * 200, "[" * 30, "{a: [b, {c: d}]}", "- x", "'没有合上", "@x", "`x`", "%x",
    "#x", "\tx",
)  # fmt: skip
_FRAGMENTS = (
    "正文。", "::: tip", "::: llm.model", "# ::: llm.nope", "> - ::: a b c", "  ::: tip", ":::",
    "::: `x`", "[a](http://[::1)", "![a](http://[x)", "<http://[::1>", "[a][b]\n\n[b]: http://[",
    "[a](<http://[> 'x')", "[x](gone.md)", "[x][llm.model.RMSNorm]", "[x][nope]", "[x](/abs.md)",
    "[x](#nope)", "[x](//)", "[x]()", "![]()", "[x](?a=b)", "[x](../../../../etc/passwd)",
    "[x](mailto:a@b)", "[x](%00.md)", "[x](%zz.md)", "[[双括号]]", ">" * 3000 + " x",
    "- " * 300 + "x",
    "\n".join(" " * n + "- x" for n in range(0, 160, 2)), "*" * 500 + "x", "[" * 500,
    "![" * 200 + "](" * 200, "<" * 300, "`" * 99 + "x", "```", "~~~snippet\nnope:x",
    "```snippet\n\n```", "```snippet\nattention_mask\n```", "```source\nllm.model:\n```",
    "```source\n../x:y\n```", "```flow\nx\n```", "```snippet title=x\na:b:c\n```",
    "```{.python #x y=z}\n```", "```python hl_lines='x' linenums='y'\n1\n```", "| a | b |\n|---|",
    "|---|\n|---|", "a\n: b\n\n    c", "[^1]\n\n[^1]: x\n\n[^1]: y", "[^x]", "*[ab]: c\n\nab",
    "# {#a .b c=d}", "# 题 {: #__config }", "x\n{: onclick=a }", "{#", "$$\n\\frac{", "$x$ $$ $",
    "\\(\\)", "!!! note", '!!! note "没有合上', '??? question "x"\n    - [ ] y',
    '=== "一"\n    ```\n    x', "<div markdown>\n\n[x](http://[::1)",
    "<div markdown=1><p markdown=block>", "</div></div>", "<!-- ", "<?php", "<![CDATA[", "[TOC]",
    "{{ x }}", "{% x %}", "\x02wzxhzdk:0\x03", "\x02klzzwxh:0000\x03", "\x02amp\x03",
    "\x0b\x0c\x1b\x7f\x85\u2028\u2029", "\u202e\u200b\ufeff", "&#0;&#xD800;&#x110000;&nope;",
    '--8<-- "x.md"', "<autoref>", "<h1>x</h1>", "#" * 9,
    "===\n---\n***", "x\n===", "- [x] a\n- [ ] b\n- [-] c", "1. a\n1) b\n+ c",
    "~~x~~ ==y== ^^z^^ ~w~", "\\\\[x\\\\]", "<a name=x id=y href=z>", "<svg><path d=''/></svg>",
    "- 甲\n\n    ::: tip", "::: llm.model\n    options: 5", "字" * 20000,
)  # fmt: skip


def random_page(rng: random.Random) -> str:
    """随机的一页：前置数据与正文各挑几段，界线有时写坏。"""
    keys = rng.sample(_KEYS, rng.randrange(0, 6))
    front = "".join(f"{key}: {rng.choice(_SCALARS)}\n" for key in keys)
    start, end = rng.choices(
        [
            ("---\n", "---\n"),
            ("---\n", ""),
            ("", "\n"),
            ("\ufeff---\n", "...\n"),
            ("---\n\n", "---\n"),
        ],
        weights=[20, 1, 1, 1, 1],
    )[0]
    corpus = (_FRAGMENTS, _FRAGMENTS, (*ACTIVE.values(), *INERT.values()))
    parts = [rng.choice(rng.choice(corpus)) for _ in range(rng.randrange(0, 6))]
    body = rng.choice(("\n\n", "\n\n", "\n", "\n\n> ", "\n\n    ")).join(parts)
    text = f"{start}draft: true\n{front}{end}\n{body}\n" if start else f"{front}{end}\n{body}\n"
    return text.replace("\n", rng.choice(("\n", "\n", "\n", "\r\n")))


def plant_random(root: Path, count: int, seed: int) -> Iterator[str]:
    """随机的 `count` 页，写进一个文件夹；给出各自的路径。"""
    rng = random.Random(seed)
    folder = root / "docs/notes/random"
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"r-{number:03}.md"
        path.write_bytes(random_page(rng).encode())
        yield f"docs/notes/random/{path.name}"
