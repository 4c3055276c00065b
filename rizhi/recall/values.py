"""一个值写成一张表（路径 → 叶子，JSON 写得下），与两张表差在哪里。

写在跑学员代码的子进程里，比在 rizhi 自己的进程里：这边没有学员的代码，把 torch.equal 换掉也骗不过；
也不载 torch，张量只是一段字节。
"""

import ctypes
import enum
import hashlib
import json
import marshal
import re
import struct
import sys
import types
from array import array
from base64 import b64decode, b64encode
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, isnan, prod
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from rizhi.errors import cut

Leaf = list[Any]
Leaves = dict[str, Leaf]
_Put = Callable[[str, Leaf], None]

# 一种数等价的两种写法，舍入差多少：torch.testing.assert_close 的默认，按位数定（相对，绝对）
_CLOSE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "float64": (1e-7, 1e-7),
        "float32": (1.3e-6, 1e-5),
        "float16": (1e-3, 1e-5),
        "bfloat16": (1.6e-2, 1e-5),
    }
)
# 半精度的机器精度：1 与下一个数差多少
_HALF: Mapping[str, float] = MappingProxyType({"float16": 2.0**-10, "bfloat16": 2.0**-7})
_FORMATS: Mapping[str, str] = MappingProxyType(
    {"int64": "q", "int32": "i", "int16": "h", "int8": "b", "uint8": "B", "bool": "?"}
)
_DIGITS = 3  # 说两处的症状一样，至少这么多位有效数字一样
_LOOKED_AT = 256  # 比症状时每个张量至多看这么多个数
_TABLES = (dict, OrderedDict, set)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_PRINTED = (bytes, complex, enum.Enum, PurePath)
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


class TooLargeError(Exception):
    """写出来超过了给的字节数。"""


class Describer:
    """把值写成表；要用的函数在学员的代码之前取好，后来换掉的不算数。"""

    def __init__(self, limit: int) -> None:
        """单位：`limit` 是一个值的张量与文字的字节数。"""
        self.limit = limit
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        self._array: Any = numpy.ndarray if numpy else ()
        self._plain: tuple[type, ...] = ()
        self._modules: tuple[type, ...] = ()
        if torch:
            self._plain = (torch.Tensor, torch.nn.Parameter)
            self._modules = (torch.nn.Module,)
            self._detach, self._contiguous = torch.Tensor.detach, torch.Tensor.contiguous
            self._pointer, self._strided = torch.Tensor.data_ptr, torch.strided
        self._read, self._dumps = ctypes.string_at, json.dumps
        self._packed, self._hash = marshal.dumps, hashlib.sha256
        self._slots: dict[type, list[str]] = {}

    def leaves(self, value: object) -> Leaves:
        """一个值的全部叶子。

        异常：超过 `limit`，抛 TooLargeError。
        """
        found: Leaves = {}
        size = 0

        def put(path: str, leaf: Leaf) -> None:
            nonlocal size
            found[path] = leaf
            size += 16
            if type(leaf[-1]) is str:
                size += len(leaf[-1])
            if size > self.limit:
                raise TooLargeError

        self._walk(value, "", {}, (), put)
        return found

    def digest(self, found: Leaves) -> str:
        """一张表的指纹：一样的表才一样。"""
        # 第 2 版不写引用，字节只由内容定；比 JSON 快几倍，判一次的时间有一成在这里
        return self._hash(self._packed(found, 2)).hexdigest()

    def _walk(
        self, value: Any, path: str, seen: dict[int, str], above: tuple[int, ...], put: _Put
    ) -> None:
        """逐个交给 `put`，不用层层的生成器：一片叶子要穿过十来层，判一次的时间多半花在那上面。"""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            put(path, [kind.__name__, value])
        elif kind in self._plain:
            put(path, self._tensor(value))
            if value.is_leaf and value.grad is not None:
                put(f"{path}.grad", self._tensor(value.grad))
        elif kind is self._array:
            put(path, ["array", str(value.dtype), list(value.shape), b64(value.tobytes())])
        elif issubclass(kind, _NAMED):  # 不用 isinstance：它要问 __class__，配置的那一问很慢
            put(path, ["named", f"{_module(value)}{getattr(value, '__qualname__', '')}"])
        elif id(value) in above:
            put(path, ["cycle", above.index(id(value))])
        elif issubclass(kind, _CONTAINERS):
            self._container(value, path, seen, (*above, id(value)), put)
        elif issubclass(kind, _PRINTED):
            put(path, [kind.__name__, repr(value)])
        elif id(value) in seen:
            put(path, ["same", seen[id(value)]])
        else:
            seen[id(value)] = path
            self._object(value, path, seen, (*above, id(value)), put)

    def _container(
        self, value: Any, path: str, seen: dict[int, str], above: tuple[int, ...], put: _Put
    ) -> None:
        put(path, [type(value).__name__, len(value)])
        if isinstance(value, set | frozenset):
            inside = sorted(self._member(one, above) for one in value)
            put(f"{path}{{}}", ["members", "\n".join(inside)])
        elif isinstance(value, dict):
            for number, (key, one) in enumerate(list(dict.items(value))):
                plain = key is None or isinstance(key, str | int | float | bool)
                name = repr(key) if plain else f"第 {number + 1} 项"
                self._walk(one, f"{path}[{name}]", seen, above, put)
        else:
            for number, one in enumerate(value):
                self._walk(one, f"{path}[{number}]", seen, above, put)

    def _member(self, value: Any, above: tuple[int, ...]) -> str:
        """集合里的一个，写成文字：集合没有次序，要能排。"""
        inside: Leaves = {}
        self._walk(value, "", {}, above, inside.__setitem__)
        return self._dumps(inside)

    def _object(
        self, value: Any, path: str, seen: dict[int, str], above: tuple[int, ...], put: _Put
    ) -> None:
        kind = type(value)
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = [n for base in kind.__mro__ for n in _slots(base)]
        inside = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        fields = _fields(value)
        inside |= fields or {}
        opaque = not slots and fields is None  # C 里的类型，只有它自己说得出
        said = repr(value)[:200] if opaque else ""
        put(path, ["object", kind.__qualname__, "" if " at 0x" in said else said])
        if issubclass(kind, self._modules):
            # 每一层有二十来张钩子表，多半空着：不空的才写，空着的一半时间不必花
            inside = {
                n: v for n, v in inside.items() if n[:1] != "_" or type(v) not in _TABLES or v
            }
        for name, one in inside.items():
            self._walk(one, f"{path}.{name}", seen, above, put)

    def _tensor(self, value: Any) -> Leaf:
        name, shape = str(value.dtype).removeprefix("torch."), list(value.shape)
        data = b""
        if value.layout == self._strided and value.device.type == "cpu" and not value.is_quantized:
            if value.numel() * value.element_size() > self.limit:
                raise TooLargeError  # 先看大小：写出来再丢掉，几兆字节就要几毫秒
            flat = self._contiguous(self._detach(value).resolve_conj().resolve_neg())
            data = self._read(self._pointer(flat), value.numel() * value.element_size())
        return ["tensor", name, shape, bool(value.requires_grad), b64(data)]


def b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _fields(value: Any) -> dict[str, Any] | None:
    """它的 `__dict__`；不经过它自己的 `__getattribute__`：transformers 的配置一次要几微秒。"""
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return (name for name in names if name not in ("__dict__", "__weakref__"))


def _module(value: Any) -> str:
    return value.__name__ if isinstance(value, types.ModuleType) else ""


# ---- 比 ----


def difference(expected: Leaves, got: Leaves) -> str:
    """头一处不同：「你得到 …，应是 …」；一样就是空串。"""
    for path, leaf in expected.items():
        if path not in got:
            return f"{_at(path)}你没有，应是 {_told(leaf)}"
        if said := _differs(leaf, got[path]):
            return _at(path) + said
    extra = next((path for path in got if path not in expected), None)
    return "" if extra is None else f"{_at(extra)}你多了 {_told(got[extra])}"


def symptom(found: Leaves) -> str:
    """一张表的样子：张量只看几位有效数字，两种写法错成一样的，得同一个字符串。"""
    digest = hashlib.blake2b(digest_size=8)
    for path, leaf in found.items():
        known = leaf[:-1] if leaf[0] in ("tensor", "array") else [_rounded(one) for one in leaf]
        digest.update(json.dumps([path, known]).encode())
        if leaf[0] in ("tensor", "array"):
            numbers = _numbers(leaf)[:_LOOKED_AT]
            digest.update(json.dumps([_rounded(n) for n in numbers]).encode())
    return digest.hexdigest()


def _rounded(value: Any) -> Any:
    if not isinstance(value, float) or not isfinite(value):
        return str(value)
    return f"{value + 0.0:.{_DIGITS - 1}e}" if abs(value) > 1e-6 else "0"


def place(path: str) -> str:
    """路径说给人听，写成代码里的样子：参数名、模块的参数、缓冲与子模块。"""
    path = re.sub(r"\._(?:parameters|buffers|modules)\['(\w+)'\]", r".\1", path)
    return re.sub(r"^\['([^']*)'\]", r"\1", path).lstrip(".")


def _at(path: str) -> str:
    return f"{place(path)} " if path else ""


def _differs(want: Leaf, got: Leaf) -> str:
    if want == got:
        return ""
    if want[0] != got[0]:
        return f"你得到 {_told(got)}，应是 {_told(want)}"
    if want[0] in ("tensor", "array"):
        return _tensors_differ(want, got)
    if want[0] == "float" and _close(want[1], got[1], _CLOSE["float64"]):
        return ""
    return f"你得到 {_told(got)}，应是 {_told(want)}"


def _tensors_differ(want: Leaf, got: Leaf) -> str:
    if want[2] != got[2]:
        return f"你得到 {tuple(got[2])}，应是 {tuple(want[2])}"
    if want[1] != got[1]:
        return f"你得到 {got[1]}，应是 {want[1]}"
    if want[-1] != got[-1]:
        ours, theirs = _numbers(want), _numbers(got)
        if len(ours) != len(theirs):
            return "形状对，却有一边没有数（meta 或稀疏的张量）"
        close = _tolerance(want[1].removeprefix("complex"), ours)
        pairs = enumerate(zip(ours, theirs, strict=True))
        off = next((at for at, (a, b) in pairs if not _close(a, b, close)), None)
        if off is not None:
            return (
                f"形状对，数不对：{_index(off, want[2])} 你得到 {theirs[off]:.6g}，"
                f"应是 {ours[off]:.6g}"
            )
    if want[0] == "tensor" and want[3] != got[3]:
        return "你的不带梯度，应带着" if want[3] else "你的带着梯度，应不带"
    return ""


def _tolerance(dtype: str, wanted: Sequence[float]) -> tuple[float, float]:
    """（相对，绝对）；半精度的和里，正负相消的一个数，误差由别的数的大小定。"""
    relative, absolute = _CLOSE.get(dtype, (0.0, 0.0))
    if dtype in _HALF:
        largest = max((abs(one) for one in wanted if isfinite(one)), default=0.0)
        absolute = max(absolute, _HALF[dtype] * largest)
    return relative, absolute


def _close(want: float, got: float, close: tuple[float, float]) -> bool:
    if want == got or (isnan(want) and isnan(got)):
        return True
    relative, absolute = close
    return isfinite(want) and isfinite(got) and abs(got - want) <= absolute + relative * abs(want)


def _numbers(leaf: Leaf) -> list[float]:
    """一个张量里的数；认不出的类型是它的各个字节。"""
    data, name = b64decode(leaf[-1]), leaf[1]
    if name == "bfloat16":  # float32 的高 16 位
        data = b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2))
    formats = {"float32": "f", "bfloat16": "f", "float64": "d"}
    if name in formats:
        return [*array(formats[name], data)]
    letter = {"float16": "e", **_FORMATS}.get(name, "B")
    return [
        float(n) for n in struct.unpack(f"={len(data) // struct.calcsize(letter)}{letter}", data)
    ]


def _index(flat: int, shape: list[int]) -> str:
    places = []
    for number in range(len(shape)):
        inner = prod(shape[number + 1 :])
        places.append(flat // inner)
        flat %= inner
    return f"[{', '.join(map(str, places))}]"


def _told(leaf: Leaf) -> str:
    """一个叶子说给人听。"""
    match leaf:
        case ["tensor" | "array", *_]:
            return f"形状 {tuple(leaf[2])} 的 {leaf[1]}"
        case ["object", name, said]:
            return said or f"一个 {name}"
        case ["named" | "same" | "members" | "cycle", said]:
            return str(said)
        case ["NoneType", _]:
            return "None"
        case ["str" | "int" | "float" | "bool", value]:
            return cut(repr(value), 60)
        case [kind, int() as count]:
            return f"{count} 项的 {kind}"
        case _:
            return str(leaf[-1])[:60]
