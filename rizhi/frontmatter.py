"""前置数据：从哪里到哪里，读成纯数据；标签一律不执行，键不许重复，坏的说出行号。"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from rizhi.errors import Fault, cut

_FENCE = re.compile(r"---[ \t]*\r?\n")
# 「---」也可能只是他随手画的分隔线：下一行像「key:」才是前置数据
_KEY = re.compile(r"[ \t]*[\w-]+[ \t]*:", re.A)
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.M)
_ONE_LINE = frozenset(("date", "created"))
_REMEDY = "改成「键: 值」；没有任何内容被执行"
_OPENING = re.compile(
    r"\ufeff?---[ \t]*\r?\n(?P<block>.*?)(?:^(?P<end>---|\.\.\.)[ \t]*\r?$|\Z)", re.S | re.M
)
_ICON = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)+")
_KNOWN = re.compile(
    r"\s*(?:date|title|created|aliases|tags|snippet|prereq|draft|pin|week)[ \t]*(?P<colon>[:：])"
)
_MAX_VALUES = 10_000  # 别名套别名，几行字能展开成几十亿项


class FrontMatter(NamedTuple):
    """前置数据：`offset` 是正文开始的字符位置；`unfit` 是值不合适的键，`meta` 里没有它们。"""

    meta: Mapping[str, Any]
    offset: int
    faults: tuple[Fault, ...]
    unfit: tuple[Fault, ...] = ()


def body_start(text: str) -> int:
    """正文从第几个字符开始：第一行是 `---`、第二行是 `key:`，到下一个 `---` 为止。"""
    return _fences(text)[1]


def front_matter(text: str) -> FrontMatter:
    """读出前置数据；只认纯数据，标签一律不执行。"""
    block, start = _fences(text)
    if not block.stop:
        return FrontMatter({}, start, _overlooked(text))
    data, faults = _load(text[block])
    unfit = dict(_unfit(text[block], data))
    meta = {key: value for key, value in data.items() if key not in unfit}
    return FrontMatter(meta, start, faults, tuple(unfit.values()))


def scalars(text: str, name: str) -> list[tuple[str, int, int]]:
    """前置数据里 `name` 的各个值，与它们（连引号）在原文里的两端；读不懂就一个也没有。"""
    block = _block(text)
    value = next((value for key, value in _pairs(text, block) if key.value == name), None)
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return [
        (node.value, block.start + node.start_mark.index, block.start + node.end_mark.index)
        for node in nodes
        if isinstance(node, yaml.ScalarNode)
    ]


def listed(text: str, name: str, values: Iterable[str]) -> tuple[int, int, str]:
    """把前置数据里的 `name` 写成这一列值，要换掉的一处；没有这个键，就添在最后。"""
    block, line = _block(text), quoted(list(values))
    for key, value in _pairs(text, block):
        if key.value == name:
            # 写成几行的一列，终点在最后一项之后：再往后是空行与注释
            rows = isinstance(value, yaml.SequenceNode) and not value.flow_style and value.value
            end = (rows[-1] if rows else value).end_mark.index
            return block.start + key.end_mark.index, block.start + end, f": {line}"
    return block.stop, block.stop, f"{name}: {line}{newline(text)}"


def newline(text: str) -> str:
    """一页用的换行。"""
    return "\r\n" if "\r\n" in text else "\n"


def _block(text: str) -> slice:
    """前置数据在两道界线之间的一段；没有或读不懂是空的。"""
    return slice(0, 0) if front_matter(text).faults else _fences(text)[0]


def _pairs(text: str, block: slice) -> list[tuple[yaml.Node, yaml.Node]]:
    root = yaml.compose(text[block], Loader=yaml.CSafeLoader)
    return list(root.value) if isinstance(root, yaml.MappingNode) else []


def _fences(text: str) -> tuple[slice, int]:
    """前置数据在两道界线之间的一段，与正文从哪里起；没有，或没有合上，那一段是空的。"""
    start = int(text.startswith("\ufeff"))
    first = _FENCE.match(text, start)
    close = first and _KEY.match(text, first.end()) and _CLOSE.search(text, first.end())
    if not first or not close:
        return slice(0, 0), start
    return slice(first.end(), close.start()), close.end()


def _load(block: str) -> tuple[Mapping[str, Any], tuple[Fault, ...]]:
    data, faults = _parsed(block)
    if data is None:
        return {}, faults
    if not isinstance(data, dict):
        what = f"前置数据应是「键: 值」，却是 {type(data).__name__}"
        return {}, (Fault(2, what, "每行写一个「键: 值」"),)
    if not _small(data):
        return {}, (Fault(2, "前置数据展开之后太大，或自己套着自己", "不用「&」「*」，逐项写出"),)
    return data, ()


def _parsed(block: str) -> tuple[object, tuple[Fault, ...]]:
    """一段 YAML 里的数据；空的、读不懂的是 None。"""
    try:
        return yaml.load(block, Loader=_Loader), ()  # noqa: S506  _Loader 只造纯数据
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, (_fault(error, block),)


def _small(data: object) -> bool:
    """全部展开也不过这么多项；自己套着自己的没有尽头。"""
    left, count = [data], 0
    while left and count <= _MAX_VALUES:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value
    return count <= _MAX_VALUES


def _fault(error: Exception, block: str) -> Fault:
    if isinstance(error, yaml.reader.ReaderError):
        why = f"有不该有的控制字符 {chr(error.character)!r}"
        return Fault(2 + block.count("\n", 0, error.position), f"前置数据读不懂：{why}", "删掉它")
    mark = getattr(error, "problem_mark", None)
    why = getattr(error, "problem", None) or str(error)
    return Fault(mark.line + 2 if mark else 2, f"前置数据读不懂：{why}", _REMEDY)


class _Loader(yaml.CSafeLoader):
    """只造纯数据，拒绝重复的键、不存在的与写成两行的日期，并说出它们在哪一行。"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"{name} 写了两次", problem_mark=key.start_mark)
            if name in _ONE_LINE and value.end_mark.line != key.start_mark.line and value.value:
                why = f"{name} 写成了两行；写在一行里"
                raise yaml.MarkedYAMLError(problem=why, problem_mark=key.start_mark)
            seen.add(name)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            why = f"{node.value} 不是真有的日期"
            raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark) from error


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)


def _overlooked(text: str) -> tuple[Fault, ...]:
    """开头像前置数据、却被当成正文的一段；随手画的分隔线不算。"""
    opening = _OPENING.match(text)
    if not opening:
        return ()
    key = _KNOWN.match(opening["block"])
    if key and key["colon"] == "：":
        what = "前置数据的冒号是全角的，这一段被当成了正文"
        return (Fault(2, what, "改成半角的冒号加一个空格"),)
    if key and not opening["end"]:
        what = "前置数据没有收尾的「---」，被当成了正文"
        return (Fault(1, what, "在最后一个「键: 值」下面补一行「---」"),)
    if opening["end"] and isinstance(_parsed(opening["block"])[0], list | dict):
        what = "开头的「---」之间第一行不是「键: 值」，这一段被当成了正文"
        remedy = "每行写一个「键: 值」，键用英文字母；只是分隔线就在上面空一行"
        return (Fault(2, what, remedy),)
    return ()


def quoted(value: str | list[str]) -> str:
    """一段文字或一列文字在 YAML 里的写法，写成一行：看着像别的东西时才加引号。"""
    style: dict[str, Any] = {"default_flow_style": True, "allow_unicode": True, "width": 10_000}
    line = yaml.dump(value, Dumper=yaml.CSafeDumper, **style)
    return str(line).removesuffix("\n").removesuffix("\n...")


# -- 值的类型 --

_Fits = Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_word(value: object) -> bool:
    """文字，或不加引号也写得出来的数与日期；true、null 多半是忘了加引号。"""
    return isinstance(value, str | int | float | date) and not isinstance(value, bool)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _or_list(is_one: _Fits) -> _Fits:
    """一个，或一列都是。"""
    return lambda value: is_one(value) or (isinstance(value, list) and all(map(is_one, value)))


def _is_search(value: object) -> bool:
    """`exclude` 是真假，`boost` 是正数。"""
    if not isinstance(value, dict):
        return False
    boost = value.get("boost", 1)
    number = isinstance(boost, int | float) and not isinstance(boost, bool)
    return _is_flag(value.get("exclude", False)) and number and 0 < boost < float("inf")


def _is_icon(value: object) -> bool:
    if not isinstance(value, str) or not _ICON.fullmatch(value):
        return False
    folder = _icons()
    return folder is None or (folder / f"{value}.svg").is_file()


@lru_cache(maxsize=1)
def _icons() -> Path | None:
    """主题的图标在哪里；没有装主题，就只看名字像不像。"""
    spec = find_spec("material")
    return Path(spec.origin).parent / "templates/.icons" if spec and spec.origin else None


_TEXT = (_is_text, "一段文字；像数字、日期、true 的要加引号")
_WORD = (_is_word, "一段文字")
_WORDS = (_or_list(_is_word), "一列文字，例如 [甲, 乙]；像 true、null 的要加引号")
_FLAG = (_is_flag, "true 或 false")
# 日知、主题与搜索认得的键：值该是什么。别的键没有人读，写什么都行
_KEYS: Mapping[str, tuple[_Fits, str]] = MappingProxyType(
    {
        "title": _TEXT,
        "aliases": _WORDS,
        "tags": _WORDS,
        "prereq": _WORDS,
        "snippet": _TEXT,
        "draft": _FLAG,
        "pin": _FLAG,
        "description": _WORD,
        "author": _WORD,
        "subtitle": _WORD,
        "status": _WORD,
        "revision_date": _WORD,
        "git_revision_date_localized": _WORD,
        "git_creation_date_localized": _WORD,
        "comments": _FLAG,
        "icon": (_is_icon, "主题有的图标，例如 material/book"),
        "template": (lambda value: value == "main.html", "main.html：每一页都用它，这一行可以删掉"),
        "hide": (_or_list(_is_text), "一列文字，例如 [navigation, toc]"),
        "search": (_is_search, "{exclude: true} 或 {boost: 2} 这样"),
        "social": (lambda value: isinstance(value, dict), "几个「键: 值」"),
    }
)


def _unfit(block: str, data: Mapping[Any, Any]) -> Iterator[tuple[Any, Fault]]:
    """值不合适的键，与各是什么毛病；空着等于没有写。"""
    for key, value in data.items():
        if not isinstance(key, str):
            message = f"前置数据的键 {cut(repr(key), 40)} 不是文字"
            yield key, Fault(2, message, "键加上引号，或删掉它")
        elif key in _KEYS and value is not None and not _KEYS[key][0](value):
            written = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*:", block, re.M)
            line = 2 + block.count("\n", 0, written.start()) if written else 2
            message = f"前置数据的 {key} 写得不对，没有用它"
            yield key, Fault(line, message, f"应是：{_KEYS[key][1]}")
