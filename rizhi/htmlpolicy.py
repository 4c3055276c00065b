"""页面里许写的 HTML：一份清单，与照它判一段 HTML 的函数；清单之外的一切都不许。

判的是浏览器的读法（WHATWG 的分词规则），不是写的人以为的读法。正文的清单里没有一个元素
会让浏览器换一种分词（script、style、title、textarea、noscript、template……），所以只看记号流
就够了：流里头一个不许的记号之前，浏览器建出的树与它一一对应。
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from turbohtml import Token, TokenType, tokenize

_Names = frozenset[str]
Policy = Mapping[str, _Names]  # 一份清单：许写的元素，与各自的属性


@dataclass(frozen=True)
class Finding:
    """一处不许的东西：字符位置、是什么、为什么。"""

    at: int
    what: str
    why: str


def _names(text: str) -> _Names:
    return frozenset(text.split())


_EVERY = _names(  # 哪个元素都可以有
    "class dir hidden id lang markdown role style tabindex title translate"
    " itemprop itemscope itemtype"
)
_CELL = _names("abbr align colspan headers rowspan scope valign width height bgcolor nowrap")
_BLOCK = _names("align")
_MEDIA = _names("controls height loop muted poster preload src width")
_SHAPE = _names(
    "clip-path clip-rule color cx cy d dx dy fill fill-opacity fill-rule focusable font-family"
    " font-size font-style font-weight fx fy gradienttransform gradientunits height href id"
    " letter-spacing marker-end marker-mid marker-start markerheight markerunits markerwidth mask"
    " offset opacity orient overflow paint-order patterntransform patternunits points"
    " preserveaspectratio r refx refy rotate rx ry shape-rendering spreadmethod stop-color"
    " stop-opacity stroke stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin"
    " stroke-miterlimit stroke-opacity stroke-width text-anchor text-decoration textlength"
    " transform vector-effect version viewbox visibility width x x1 x2 xlink:href xml:space xmlns"
    " xmlns:xlink y y1 y2"
)
_TEXT = _names(
    "abbr address article aside b bdi bdo big br center cite code dd dfn dl dt em figcaption"
    " figure footer header hgroup hr i kbd main mark nav p pre rb rp rt rtc ruby s samp section"
    " small span strike strong sub summary sup tt u var wbr h1 h2 h3 h4 h5 h6 div"
)
_SVG = _names(
    "svg g path rect circle ellipse line polyline polygon text tspan defs use symbol marker mask"
    " pattern clippath lineargradient radialgradient stop desc"
)
PAGE: Policy = MappingProxyType(
    {
        **dict.fromkeys(_TEXT, _BLOCK),
        **dict.fromkeys(_SVG, _SHAPE),
        **dict.fromkeys(("td", "th"), _CELL),
        **dict.fromkeys(
            ("table", "tbody", "tfoot", "thead", "tr", "caption"),
            _names("align border cellpadding cellspacing frame rules summary valign width"),
        ),
        **dict.fromkeys(("col", "colgroup"), _names("align span valign width")),
        **dict.fromkeys(("blockquote", "q"), _names("cite")),
        **dict.fromkeys(("del", "ins"), _names("cite datetime")),
        **dict.fromkeys(("progress", "meter"), _names("high low max min optimum value")),
        "a": _names("download href hreflang name rel target type"),
        "audio": _MEDIA,
        "video": _MEDIA | _names("playsinline"),
        "source": _names("src type"),
        "button": _names("disabled type"),
        "details": _names("open"),
        "font": _names("color face size"),
        "img": _names("align alt border decoding height loading sizes src width"),
        "input": _names("checked disabled type"),
        "label": _names("for"),
        "li": _names("type value"),
        "ol": _names("reversed start type"),
        "ul": _names("type"),
        "time": _names("datetime"),
    }
)
# 排好的一页还有：扩展与围栏写下、mkdocs-autorefs 在后面才换成链接的；手写的核对不了，不许
RENDERED: Policy = MappingProxyType(
    {**PAGE, "autoref": _names("backlink-anchor backlink-type hover identifier optional")}
)
# 笔记本还要：mkdocs-jupyter 的复制按钮，matplotlib 的 SVG 里的说明，pandas 的样式
NOTEBOOK: Policy = MappingProxyType(
    {
        **PAGE,
        "clipboard-copy": _names("for ,"),
        "style": _names("scoped type"),
        **dict.fromkeys(
            ("metadata", "rdf:rdf", "cc:work", "cc:agent", "dc:type", "dc:date", "dc:format"),
            _names("rdf:about rdf:resource xmlns:cc xmlns:dc xmlns:rdf"),
        ),
        **dict.fromkeys(("dc:creator", "dc:title"), _names("")),
    }
)
_SCHEMES = _names("http https mailto tel ftp file obsidian vscode zotero")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z\d+.-]*):")
_ELSEWHERE = re.compile(r"[\\/]{2}")
_PICTURE = re.compile(r"data:image/(?:avif|bmp|gif|jpeg|jpg|png|svg\+xml|webp|x-icon)[;,]", re.I)
_CONTROLS = "".join(map(chr, range(33)))
_FETCHED = _names("src poster")
_FOLLOWED = _names("href cite xlink:href")
# 样式里会去取东西或执行的写法；反斜杠能把它们藏起来
_STYLE = re.compile(
    r"url\s*\((?!\s*[\"']?#)|(?:expression|image|image-set|cross-fade|src)\s*\(|@import|\\|<"
    r"|-moz-binding|behaviou?r\s*:|javascript:",
    re.I,
)
# 主题靠这些名字认自己的零件：`__config` 里写着去哪里取搜索的索引与脚本
_RESERVED = re.compile(r"__(?:config|consent|drawer|palette.*|search|toc)", re.S)
_MERMAID = "mermaid"  # 主题见到 `pre.mermaid`，就去别的主机取一份脚本
_END = "rz-end"
_LINE = re.compile(r"\r\n?|\n")


def judge(html: str, policy: Policy = PAGE) -> Iterator[Finding]:
    """一段要放进页面的 HTML 里不许的东西，按位置；末尾没有合上的也算。"""
    lines: list[int] = []
    allowed: set[object] = set()  # 一页里同样的标签往往有几千个：许过的不再判
    style = False
    last: Token | None = None

    def place(token: Token) -> int:
        if not lines:  # 寻常的页一处也没有，不必数行
            lines.extend((0, *(line.end() for line in _LINE.finditer(html))))
        return lines[token.line - 1] + token.col

    for token in tokenize(f"{html}<{_END}>", capture_source=True):
        kind, last = token.type, token
        if kind == TokenType.START_TAG:
            tag = token.tag or ""
            style = tag == "style"
            if tag == _END and place(token) == len(html):
                return
            same = tag, tuple(token.attrs or ())
            if same in allowed:
                continue
            found = list(reasons(token, policy))
            for why in found:
                yield Finding(place(token), _shown(token), why)
            if not found:
                allowed.add(same)
        elif style and kind == TokenType.TEXT and _STYLE.search(token.data or ""):
            yield Finding(place(token), "<style>", "样式里有会去取东西的写法")
    at = place(last) if last else 0
    yield Finding(at, "页的末尾", "有一个标签、注释或引号没有合上，后面的都归了它")


def reasons(token: Token, policy: Policy) -> Iterator[str]:
    """一个开始标签为什么不许；许的，一条也没有。"""
    tag = token.tag or ""
    if tag not in policy:
        yield f"清单里没有元素 {tag}"
        return
    for name, value in token.attrs or ():
        yield from attribute(tag, name, value, policy)


def attribute(tag: str, name: str, value: str, policy: Policy = PAGE) -> Iterator[str]:
    """一个元素上的一个属性为什么不许；值里的实体已经解码。"""
    if not (name in _EVERY or name in policy.get(tag, ()) or _own(name)):
        yield f"清单里没有属性 {name}"
    elif name in _FETCHED:
        yield from fetched(value, picture=tag == "img")
    elif name in _FOLLOWED and tag in _SVG:
        if not value.strip(_CONTROLS).startswith("#"):
            yield f"{name} 只能指向同一张图里的 #名字"
    elif name in _FOLLOWED:
        yield from followed(value)
    elif name == "id" and _RESERVED.fullmatch(value):
        yield f"id {value} 是主题自己用的"
    elif name == "class" and tag == "pre" and _MERMAID in value.split():
        yield "主题会为 mermaid 去别的主机取脚本"
    elif (name == "style" or name in _SHAPE) and _STYLE.search(value):
        yield f"{name} 里有会去取东西或执行的写法"


def followed(url: str) -> Iterator[str]:
    """点了才去的网址为什么不许：只许清单里的方案。"""
    scheme = _scheme(url)
    if scheme and scheme not in _SCHEMES:
        yield f"网址的方案 {scheme}: 不在清单里"
    else:
        yield from _malformed(url)


def fetched(url: str, picture: bool = True) -> Iterator[str]:
    """浏览器自己会去取的网址为什么不许：只许本站的，图片还许 `data:`。"""
    bare = _bare(url)
    if picture and _PICTURE.match(bare):
        return
    scheme = _scheme(url)
    if scheme in ("http", "https", "ftp") or _ELSEWHERE.match(bare):
        yield "浏览器会自己去别的主机取它"
    elif scheme:
        yield f"网址的方案 {scheme}: 不在清单里"
    else:
        yield from _malformed(url)


def _malformed(url: str) -> Iterator[str]:
    """解析不了的网址：mkdocs 遇到它，那一页就排不出来。"""
    try:
        urlsplit(url)
    except ValueError as error:
        yield f"网址写得不对（{error}）"


def _own(name: str) -> bool:
    """`data-` 与 `aria-` 只是记号；主题靠 `data-md-` 认自己的零件，不许冒充。"""
    return name.startswith(("data-", "aria-")) and not name.startswith("data-md-")


def _bare(url: str) -> str:
    """浏览器看网址之前先去掉的：两头的控制字符与空格，中间的换行与制表符。"""
    return re.sub(r"[\t\r\n]", "", url.strip(_CONTROLS))


def _scheme(url: str) -> str:
    scheme = _SCHEME.match(_bare(url))
    return scheme[1].lower() if scheme else ""


def _shown(token: Token) -> str:
    return re.sub(r"\s+", " ", token.source or f"<{token.tag}>")
