"""日记里的一句话改成简历里的一句：动词在前，去掉当天的闲话与明天的打算；纯函数。

只认得出的才动：主语在前、以「写完」「做完」这样的话收尾的，把动词提到前面；
别的照原话。词都是常见的写法，不求全。
"""

import re

from rizhi.markdown import parse

_VERB = (
    "整理|实现|完成|复习|总结|归纳|掌握|优化|重构|设计|比较|对比|解决|定位|训练|推导|证明|验证|修复|"
    "画|写|做|跑|弄|搞|理|读|看|学|练|标|调|测|算|推|证|修|改|搭|建|查|补|背|刷|训|存|接|排|讲|说|用"
)
_RESULT = "清楚|明白|完|出|通|好|懂|清|成|齐|对|透|熟|稳|顺|到|会"
_ENDED = "成形|成型|完结|收尾|完工|结束|完成"
_ACTED = re.compile(rf"(?:{_VERB})(?:{_RESULT}|了)|{_ENDED}|了$")
_ANY_VERB = re.compile(rf"{_VERB}|{_ENDED}|了|[是有把将]")
_AT_START = re.compile(rf"(?P<verb>(?:{_VERB})(?:{_RESULT})?)(?P<le>了)?")
_AT_END = re.compile(
    rf"(?P<what>.{{1,60}}?)(?:已经|全部|全都|基本|第一次|终于|都|也|就)*"
    rf"(?:(?P<verb>(?:{_VERB})(?:{_RESULT}))|(?P<ended>{_ENDED}))了?"
)
_BA = re.compile(rf"[把将](?P<what>.{{1,60}}?)(?:都|全部|也)*(?P<verb>(?:{_VERB})(?:{_RESULT}))了?")
# 明天的打算，连同那一句后面的都不要；昨天的事、还没做的，只去掉那一小句
_AHEAD = re.compile(r"(?:明天|明日|明早|后天|下周|下个月|下一步|接下来|回头|改天|打算|准备|计划)")
_ASIDE = re.compile(
    r"(?:昨天|昨晚|前天|上周|还没|还不|还差|还要|还得|后面|后续|以后|之后|只是|可惜)"
)
_ADVERB = re.compile(
    r"(?:今天|今晚|今早|今日|上午|下午|晚上|终于|总算|顺手|顺便|接着|然后|最后|又|也|就|再|先)"
)
_STOP = re.compile(r"[。！？；\n]+")
_COMMA = re.compile("，")


def statement(text: str) -> str:
    """简历里的一句：几句话用分号隔开，句末没有句号。

    一句话里没有剩下什么（全是打算与闲话）的，照原话。
    """
    found = [made for sentence in _split(text, _STOP) if (made := _sentence(sentence))]
    return "；".join(found) or text.strip().rstrip("。")


def acted(text: str) -> bool:
    """一句话里有没有做成什么：「整个架构写完」有，「LLM」没有。"""
    return bool(_ACTED.search(text))


def _split(text: str, pattern: re.Pattern[str]) -> list[str]:
    """按标点切开；代码与链接里的标点不算。"""
    masked, pieces, at = parse(text).unlinked, [], 0
    for found in pattern.finditer(masked):
        pieces.append(text[at : found.start()])
        at = found.end()
    return [piece.strip() for piece in (*pieces, text[at:]) if piece.strip()]


def _sentence(text: str) -> str:
    clauses: list[str] = []
    for clause in _split(text, _COMMA):
        if _AHEAD.match(clause):
            break
        if not _ASIDE.match(clause):
            clauses.append(_trimmed(clause))
    kept = [clause for clause in clauses if clause]
    if not kept:
        return ""
    return "，".join([_fronted(kept[0]), *kept[1:]])


def _trimmed(clause: str) -> str:
    """去掉开头的时间与语气。"""
    while found := _ADVERB.match(clause):
        clause = clause[found.end() :].lstrip(" ，：:")
    return clause


def _fronted(clause: str) -> str:
    """动词提到前面。"""
    masked = parse(clause).unlinked
    for pattern in (_BA, _AT_END):
        found = pattern.fullmatch(masked)
        if found and not (pattern is _AT_END and _AT_START.match(masked)):
            what = clause[found.start("what") : found.end("what")].strip()
            return _joined(found["verb"] or "完成", what)
    if found := _AT_START.match(masked):
        if found["le"] and len(found["verb"]) > 1:
            return found["verb"] + clause[found.end() :]
        return clause
    # 一个名词，前面不是数目：它是做成的东西
    if masked.strip() and not _ANY_VERB.search(masked) and not re.match(r"[第\d]", masked):
        return _joined("完成", clause)
    return clause


def _joined(verb: str, what: str) -> str:
    blank = " " if what[:1].isascii() and what[:1] not in "[*" else ""
    return f"{verb}{blank}{what}"
