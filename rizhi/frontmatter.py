"""前置数据：只造纯数据，标签一律不执行，键不许重复。"""

import re
from typing import Any

import yaml

Problem = tuple[int, str, str]  # 行号、原因、补救
_BLOCK = re.compile(
    r"\ufeff?---[ \t]*\r?\n(?P<block>.*?)(?:^(?P<end>---|\.\.\.)[ \t]*\r?$|\Z)", re.S | re.M
)
_KEY = re.compile(
    r"\s*(?:date|title|created|aliases|tags|snippet|prereq|draft|pin|week)[ \t]*(?P<colon>[:：])"
)


def load(block: str) -> tuple[dict[str, Any], Problem | None]:
    """读两条横线之间的文字，返回（数据, 毛病）；有毛病时数据是空的。"""
    try:
        # _Loader 派生自 CSafeLoader：只造纯数据
        data = yaml.load(block, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, _problem(error)
    if data is None:
        return {}, None
    if not isinstance(data, dict):
        what = f"前置数据应是「键: 值」，却是 {type(data).__name__}"
        return {}, (2, what, "每行写一个「键: 值」")
    return data, None


def overlooked(text: str) -> Problem | None:
    """开头像前置数据、却被当成正文的一段；随手画的分隔线不算。"""
    found = _BLOCK.match(text)
    if not found:
        return None
    key = _KEY.match(found["block"])
    if key and key["colon"] == "：":
        return 2, "前置数据的冒号是全角的，这一段被当成了正文", "改成半角的冒号加一个空格"
    if key and not found["end"]:
        return 1, "前置数据没有收尾的「---」，被当成了正文", "在最后一个「键: 值」下面补一行「---」"
    if found["end"] and isinstance(_plain(found["block"]), list | dict):
        what = "开头的「---」之间第一行不是「键: 值」，这一段被当成了正文"
        return 2, what, "每行写一个「键: 值」，键用英文字母；只是分隔线就在上面空一行"
    return None


def quoted(text: str) -> str:
    """一段文字在 YAML 里的写法：看着像别的东西时才加引号。"""
    line = yaml.dump(text, Dumper=yaml.CSafeDumper, allow_unicode=True, width=10_000)
    return line.removesuffix("\n").removesuffix("\n...")


def _plain(block: str) -> object:
    """一段 YAML 里的数据；读不懂的是 None。"""
    try:
        return yaml.load(block, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _problem(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    why = getattr(error, "problem", None) or str(error)
    line = mark.line + 2 if mark else 2
    return line, f"前置数据读不懂：{why}", "改成「键: 值」；没有任何内容被执行"


class _Loader(yaml.CSafeLoader):
    """只造纯数据，拒绝重复的键与不存在的日期，并说出它们在哪一行。"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                why = f"{name} 写了两次"
                raise yaml.MarkedYAMLError(problem=why, problem_mark=key.start_mark)
            seen.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            why = f"{node.value} 不是真有的日期"
            raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark) from error


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)
