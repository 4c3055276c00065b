"""一个敌意的知识库：标题、标签、日的标题、待办、成果、文件名、前置数据与笔记本里都是跳出的写法。"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from pathlib import Path

import turbohtml
from turbohtml import TokenType

from tests import vaults

DAY = date(2026, 11, 23)
# 跳出 <title>、<script>、属性、注释与 Jinja 的几种写法；执行了就是 rzevil
EVIL = (
    "</title><script>rzevil()</script>",
    "</title><svg/onload=rzevil()>",
    "<img src=rzevil onerror=rzevil()>",
    '" onmouseover="rzevil()',
    "' onmouseover='rzevil()",
    "--><script>rzevil()</script>",
    "</script><script>rzevil()</script>",
    "{{ rzevil }}<b onclick=rzevil()>",
    "&lt;img src=rzevil onerror=rzevil()&gt;",
    "</textarea></style></noscript><img src=rzevil onerror=rzevil()>",
)
CODE = " ".join(f"`{one}`" for one in EVIL)
HEADS = f"# 甲 {escape(' '.join(EVIL))}\n\n## {CODE}"
NOTE = """---
title: {title}
created: 2026-11-20
aliases: [{title}]
tags: [{title}, "标签 {n}"]
draft: true
description: {title}
author: {title}
subtitle: {title}
status: {title}
---

# {heading}

## 一句话

{code}，见[上一篇](x1.md)。

## {heading}

{code}

## 丙 {entities}
"""
TODAY = """---
tags: [{title}]
---

# {day} {code}

## 今日成果

1. {code}，写了[笔记](../../notes/evil/x1.md)。

## 思考

- {code}

## {code}

- [ ] {code}

## 明日计划

- [ ] {code}
- **【待办】{code}** 📅 2026-11-24
"""


def make(root: Path) -> Path:
    """在 `root` 造一个；里面没有一处 HTML 是写在代码之外的，严格构建要能过。"""
    vaults.make(root, DAY)
    for n, evil in enumerate(EVIL):
        path = root / f"docs/notes/evil/x{n}.md"
        path.parent.mkdir(exist_ok=True)
        heading = f"甲 `{evil}` 乙"
        words = {"title": json.dumps(evil), "code": f"`{evil}`", "entities": escape(evil)}
        text = NOTE.format(n=n, heading=heading, **words)
        path.write_text(text, encoding="utf-8")
        day = DAY - timedelta(days=n + 3)
        facts = {"title": json.dumps(evil), "day": day, "code": f"`{evil}`"}
        vaults.write_day(root, day, TODAY.format(**facts))
    untitled = root / "docs/notes/evil/x90.md"  # 标题取自一级标题
    untitled.write_text(f"# 甲 {CODE}\n\n{CODE}\n", encoding="utf-8")
    entities = root / "docs/notes/evil/x91.md"
    entities.write_text(f"# 甲 {escape(' '.join(EVIL))}\n", encoding="utf-8")
    (root / "docs/guide").mkdir(exist_ok=True)
    for name in ("<img src=rzevil onerror=rzevil()>", '" onmouseover="rzevil()'):
        (root / f"docs/notes/evil/{name}.md").write_text("# 甲\n", encoding="utf-8")
        (root / f"docs/guide/{name}.md").write_text(f"# {CODE}\n", encoding="utf-8")
    (root / "docs/guide/evil.md").write_text(f"# {CODE}\n\n## {CODE}\n", encoding="utf-8")
    book = {
        "cells": [{"cell_type": "markdown", "metadata": {}, "source": HEADS, "id": "a"}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / "docs/notebooks/evil.ipynb").write_text(json.dumps(book), encoding="utf-8")
    return root


def alive(html: str) -> Iterator[str]:
    """会执行的：事件属性、脚本里的字、会去取的图。"""
    script = False
    for token in turbohtml.tokenize(html, capture_source=True):
        if token.type is TokenType.START_TAG:
            script = token.tag == "script"
            for name, value in token.attrs or ():
                if "rzevil" in name or ("rzevil" in value and name.startswith(("on", "src"))):
                    yield f"{token.line}: {(token.source or '')[:200]}"
        elif script and token.type is TokenType.TEXT and "rzevil" in (token.data or ""):
            yield f"{token.line}: <script> {(token.data or '')[:200]}"
