"""指南「默写题」末尾的表：这个仓库的每一题抓得住几个已知的错。

python -m tests.drill_table      # 缺的先算（头一次一刻钟上下），写进 docs/guide/drills.md
"""

import re
from collections.abc import Iterator

from rizhi.errors import RizhiError
from rizhi.recall import drills, proving
from rizhi.recall.drills import Proven
from rizhi.vault import find_vault
from tests import vaults

VAULT = find_vault(vaults.ROOT)
PAGE = VAULT.docs / "guide/drills.md"
_PLACE = re.compile(r"(?<=<!-- 表 -->\n).*?(?=<!-- 完 -->)", re.S)


def measured() -> Proven:
    """缺的算好，读出全部。

    异常：有片段没有跑完，用到它的函数也就没有算，抛 RizhiError。
    """
    if faults := proving.prepare(VAULT):
        raise RizhiError("；".join(faults))
    return drills.proven(VAULT)


def table(found: Proven) -> str:
    """两张表：出了的、没有出的；合计抓住了几成。"""
    return "".join(f"{line}\n" for line in _lines(found))


def written(page: str, found: Proven) -> str:
    """换上表的整页。"""
    return _PLACE.sub(lambda _: table(found), page)


def _lines(found: Proven) -> Iterator[str]:
    known = [drill for _, drill in sorted(found.drills.items()) if drill]
    tried = [drill for drill in known if drill.tried]
    caught, total = (sum(getattr(d, name) for d in tried) for name in ("caught", "tried"))
    offered = [drill for drill in known if not drill.why]
    yield ""
    yield (
        f"{len(tried)} 个函数有片段调用，改坏 {total} 处，抓得住 {caught} 处"
        f"（{caught / max(total, 1):.0%}）；出 {len(offered)} 题。"
    )
    yield ""
    yield "| 函数 | 笔记 | 抓得住 | 调用 |"
    yield "|---|---|---|---|"
    for drill in offered:
        share = f"{drill.caught}/{drill.tried}"
        yield f"| `{drill.symbol}` | {drill.note} | {share} | {drill.calls} |"
    yield ""
    yield "没有出的："
    yield ""
    yield "| 函数 | 笔记 | 为什么 |"
    yield "|---|---|---|"
    for drill in (drill for drill in known if drill.why):
        yield f"| `{drill.symbol}` | {drill.note} | {drill.why} |"
    yield ""


def main() -> None:
    PAGE.write_text(written(PAGE.read_text("utf-8"), measured()), "utf-8")
    print(f"写好 {VAULT.relative(PAGE)}")


if __name__ == "__main__":
    main()
