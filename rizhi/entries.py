"""docs/ 与片段、源码的文件夹里，站点收不进的文件：名字、链接、种类，与读不懂的笔记本。

check 与构建都照这里说的办：check 报告它们，构建不收它们。
"""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rizhi.errors import RizhiError
from rizhi.vault import Vault, named, read_text

_LONGEST = 255  # 字节；页的产物是 名字.html，比 .md 长两个字节
_PAGES = (".md", ".markdown", ".mdown", ".mkdn", ".mkd")
_HIDDEN = (".", "__pycache__")


class Misfit(NamedTuple):
    """收不进的一样：文件或文件夹，什么、怎么办；`page` 说站点上有没有它的一页，好留下说明。"""

    path: Path
    message: str
    remedy: str
    page: bool = False
    line: int = 1


def misfits(vault: Vault) -> Iterator[Misfit]:
    """知识库里站点收不进的文件与文件夹；文件夹收不进，里面的就不再逐个说。"""
    places = [vault.docs, vault.snippets]
    if vault.source:
        places.append(vault.root / vault.source)
    for place in places:
        wrong = _link(vault, place) if place.is_symlink() else None
        if wrong:
            yield wrong
        else:
            yield from _walk(vault, str(place))


def _notebook(path: Path) -> Misfit | None:
    """一个 .ipynb 读不懂的原因；合格式的没有。"""
    line = 1
    try:
        book = json.loads(read_text(path))
        json.dumps(book, ensure_ascii=False).encode()  # 半个代理对写不进页面
        what = _invalid(book)
    except json.JSONDecodeError as error:
        what, line = f"读不懂，第 {error.colno} 列起不是 JSON：{error.msg}", error.lineno
    except (RecursionError, UnicodeEncodeError) as error:
        what = f"读不懂：{type(error).__name__}"
    except RizhiError as error:
        what = error.message.rstrip("。")
    return Misfit(path, what, "改好，或移走这个笔记本", True, line) if what else None


def _invalid(book: object) -> str:
    """读进来的 JSON 为什么不是笔记本；是就是空串。"""
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        return "读不懂，不是笔记本：没有 cells"
    if book.get("nbformat") != 4:
        return "读不懂，不是第 4 版的笔记本：用 Jupyter 另存一遍"
    import nbformat  # 半秒，没有笔记本就用不着

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 没有 id 的单元格，它自己会补
        try:
            nbformat.validate(nbformat.from_dict(book))
        except nbformat.ValidationError as error:
            what = str(error).partition("\n")[0].strip()
            return f"读不懂，不合笔记本的格式：{what[:120]}"
        except Exception as error:  # 版本号之类的类型不对，它自己也会抛别的
            return f"读不懂，不合笔记本的格式：{error!r}"
    return ""


def is_page(name: str) -> bool:
    """mkdocs 当它是一页。"""
    return name.lower().endswith(_PAGES)


def shown(name: str) -> str:
    """打印得出来的名字：不是 UTF-8 的字节写成反斜杠。"""
    text = name.encode("utf-8", "backslashreplace").decode() if not named(name) else name
    return "".join(letter if named(letter) else repr(letter)[1:-1] for letter in text)


def _walk(vault: Vault, folder: str) -> Iterator[Misfit]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Misfit(Path(folder), f"读不到：{error.strerror}", "改好权限，或移走它")
        return
    taken: dict[str, str] = {}
    templates = str(vault.docs / "templates")
    for entry in entries:
        if entry.name.startswith(_HIDDEN) or entry.path == templates:
            continue
        page = built(entry.name)
        wrong = _wrong(vault, entry, page)
        if wrong:
            yield wrong
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(vault, entry.path)
        if taken.setdefault(page, entry.name) != entry.name:
            other = f"与 {taken[page]} 在站点上是同一个 {page}"
            yield Misfit(Path(entry.path), other, "改个名字，或只留一个")


def _wrong(vault: Vault, entry: "os.DirEntry[str]", product: str) -> Misfit | None:
    """一个文件或文件夹收不进的原因与办法，`product` 是它在站点上叫什么。

    收得进的有几千个，不为它们造 Path。
    """
    name, where = entry.name, entry.path
    if not named(name):
        return Misfit(Path(where), "名字不是 UTF-8，或有控制字符，站点不收", "改个名字")
    if len(os.fsencode(product)) > _LONGEST:
        return Misfit(Path(where), "名字太长，站点上放不下", "改个短的名字")
    if entry.is_symlink() and (wrong := _link(vault, Path(where))):
        return wrong
    if entry.is_dir():
        return None
    if not entry.is_file():
        return Misfit(Path(where), "不是普通文件，站点不收", "移走它", is_page(name))
    if not os.access(where, os.R_OK):
        return Misfit(Path(where), "读不到：没有权限", "改好权限，或移走它", is_page(name))
    if name.endswith(".ipynb") and Path(where).parent == vault.notebooks:
        return _notebook(Path(where))
    return None


def built(name: str) -> str:
    """一个文件在站点上叫什么。"""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  一个库有几千个名字
    if is_page(name):
        return ("index" if stem == "README" else stem) + ".html"
    return f"{stem}.html" if suffix == ".ipynb" else name


def _link(vault: Vault, path: Path) -> Misfit | None:
    """一个链接指到了外面、断了、绕圈：收不进。"""
    real = Path(os.path.realpath(path))
    page = is_page(path.name) or path.suffix == ".ipynb"
    if not real.is_relative_to(vault.root):
        remedy = "移走它；要用，就把文件复制进来"
        return Misfit(path, "是指到知识库之外的链接，站点不收", remedy, page)
    if not path.exists():
        return Misfit(path, "是断了的链接", "移走它，或指到有的文件", page)
    if path.is_relative_to(real):
        return Misfit(path, "是指回上一级的链接，会绕圈", "移走它")
    return None
