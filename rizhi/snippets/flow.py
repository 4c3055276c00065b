"""张量流的数据：一格打印的 JSON，其中 links 是通到别的页的路径，相对于放它的那一页。"""

import json
import re
from collections.abc import Mapping
from typing import Any

from rizhi.snippets.cells import SnippetError
from rizhi.snippets.record import Record


def flow_data(record: Record, title: str) -> dict[str, Any]:
    """记录里一格的数据。

    异常：那一格没有打印 JSON 对象，或 links 不是名字到路径，抛 SnippetError。
    """
    data = _data(record, title)
    if data is None:
        raise SnippetError(f"单元格「{title}」打印的不是张量流的数据：应是一个 JSON 对象。")
    return data


def read_links(record: Record | None, title: str) -> dict[str, str]:
    """记录里一格的链接：名字 → 写下的路径；没有数据就没有链接。"""
    return flow_links((record and _data(record, title)) or {})


def flow_links(data: Mapping[str, Any]) -> dict[str, str]:
    """数据里的链接：名字 → 写下的路径。"""
    return dict(data.get("links", {}))


def outline(data: Mapping[str, Any]) -> list[str]:
    """没有脚本、换了引擎时看的步骤清单：头一个家族、头一种注意力，尺寸照头一个预设。"""
    if "phases" not in data:  # 没有走法的数据：查看器也不画
        return []
    family = next(iter(data["variants"].values()))
    walk = next(iter(family.values()))["steps"]
    letters: dict[str, int] = data["presets"][0][3]
    phases = [
        letters | {name: evaluate(text, letters) for name, text in changed.items()}
        for _, changed, _ in data["phases"]
    ]
    return [_sentence(data["steps"][index], phases) for index, _ in walk]


def _sentence(step: list[Any], phases: list[dict[str, int]]) -> str:
    op, _, name, _, line, kind, _, shapes, captions = step
    said = [_filled(text, letters) for text, letters in zip(captions, phases, strict=False)]
    if len(said) > 1:
        said = [f"prefill：{said[0]}", f"decode：{said[1]}"]
    words = " ".join(said).replace("**", "")
    made = f"{name} " if name else ""
    if kind == "cache" and len(shapes) > 1:  # 键与值成对，收齐之后每层一对
        made += "L×2 个 " if op == "tuple" else "2 个 "
    return f"{op} → {made}({shapes[0].replace(' ', ', ')})（第 {line} 行）。{words}"


def _filled(text: str, letters: Mapping[str, int]) -> str:
    return re.sub(r"\{([^}]+)\}", lambda found: str(evaluate(found[1], letters)), text)


def evaluate(expression: str, letters: Mapping[str, int]) -> int:
    """一个式子的值：字母、整数、乘积、相加，如 H*D、T+1。"""
    total = 0
    for term in expression.split("+"):
        product = 1
        for factor in term.split("*"):
            product *= int(factor) if factor.isdigit() else letters[factor]
        total += product
    return total


def page_url(link: str) -> str:
    """`.md` 的路径在渲染出的站点里叫什么，别的站的不变；引擎自己会算的，不用这个。"""
    return link if ":" in link else re.sub(r"\.md(?=#|$)", ".html", link)


def _data(record: Record, title: str) -> dict[str, Any] | None:
    """一格打印的 JSON 对象；不是就是 None。"""
    out = record.output(title)
    try:
        data = json.loads(out.text if out else "")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and _are_links(data.get("links", {})) else None


def _are_links(links: object) -> bool:
    return isinstance(links, dict) and all(isinstance(link, str) for link in links.values())
