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
