"""片段打印的文字：在描述符一级接住，逐格取走，整理成读者最后看到的样子。

整个运行只有一个 sys.stdout 与一个 sys.stderr，都是真的 TextIOWrapper，不带缓冲，直接写进描述符
1 与 2；两个描述符各接在一个临时文件上，一格的输出就是文件在这一格里长出来的一段。于是早先存下的
引用、线程里的 print、os.write 与 C 一级的打印都归当前格，先后次序也不变。
"""

import ctypes
import io
import os
import re
import site
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from rizhi.snippets.terminal import settle

MAX_OUTPUT = 64 * 1024  # 字节，整理之后
_MAX_WRITTEN = 128 * MAX_OUTPUT  # 进度条反复重写同一行，写下的可以比看到的多得多
_TAIL = 8 * 1024  # 出错之前、跑完之前打印的，至多给人看末尾这么多个字
_RECENT = 16 * _TAIL  # 跑完之前看一眼，至多整理末尾这么多个字节
_CONTROL = r"\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f"
_CONTROL_BYTES = re.compile(rf"[{_CONTROL}]|\xc2[\x80-\x9f]".encode("latin-1"))
_CONTROL_LETTERS = re.compile(rf"[{_CONTROL}\x80-\x9f]")


# Python 自己默认不说的几类
_UNSAID = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


class OutputRefused(BaseException):
    """打印的或画的不能记录；不是 Exception：片段自己的 except Exception 不该把它吞掉。"""


@cache  # forkserver 里做过，fork 出来的子进程就不必再做
def prepare() -> None:
    """要在载入别的库之前：警告的过滤与进度条的样子，不随命令行与环境变。"""
    warnings.resetwarnings()
    for category in _UNSAID:
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")
    # 用时与速度每次不同，不写
    os.environ["TQDM_BAR_FORMAT"] = "{l_bar}{bar}| {n_fmt}/{total_fmt}"


@contextmanager
def silent() -> Iterator[None]:
    """其间写进描述符 1 与 2 的都丢掉；不换 sys.stdout：库会留着当时的那一个。"""
    saved = os.dup(1), os.dup(2)
    _flush([sys.stdout, sys.stderr])
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            _flush([sys.stdout, sys.stderr])
            for number, former in enumerate(saved, 1):
                os.dup2(former, number)
                os.close(former)


_Take = Callable[[], tuple[str, str]]
Place = tuple[int, int]  # 正在跑的一格从两个文件的哪里写起


def capture(root: Path, folder: Path | None = None) -> tuple[_Take, _Take, Callable[[], Place]]:
    """从此接住本进程打印的一切；前两个函数都给出上次取走以来的标准输出与标准错误。

    第一个取走它们，供记录；第二个在出错之后用，给人看：不能记录的换成看得见的写法，太长的只留末尾；
    第三个说上次取走到了哪里。`root` 是知识库，里面的路径由它写起；给了 `folder`，接住的写在那里，
    别的进程用 `peek` 看得到。
    异常：第一个遇到不能记录的文字，抛 OutputRefused。
    """
    former = [sys.stdout, sys.stderr]  # 预载的库可能还拿着它们
    _flush(former)
    flush_c = _unbuffered_c()
    out = _Descriptor(1, "<stdout>", "输出", folder)
    err = _Descriptor(2, "<stderr>", "标准错误", folder)
    sys.stdout = sys.__stdout__ = _text_stream(out, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text_stream(err, "backslashreplace")  # type: ignore[misc]
    shorten = _path_shortener(root)

    def take() -> tuple[str, str]:
        _flush([sys.stdout, sys.stderr, *former])
        flush_c()
        printed = shorten(out.text()), shorten(err.text())
        out.advance()
        err.advance()
        return printed

    def so_far() -> tuple[str, str]:
        with suppress(Exception, OutputRefused):  # 也许正是冲刷出的错
            _flush([sys.stdout, sys.stderr, *former])
        flush_c()
        return shorten(out.so_far()), shorten(err.so_far())

    return take, so_far, lambda: (out.start, err.start)


def peek(root: Path, folder: Path, place: Place) -> tuple[str, str]:
    """别的进程里：从 `place` 起打印的标准输出与标准错误，给人看；还没有打印就是空的。"""
    out, err = (_recent(folder / str(number), at) for number, at in enumerate(place, 1))
    shorten = _path_shortener(root)
    return shorten(out), shorten(err)


def _recent(path: Path, start: int) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            left_out = max(os.fstat(file.fileno()).st_size - start - _RECENT, 0)
            file.seek(start + left_out)
            return _shown(file.read(_RECENT))
    except FileNotFoundError:  # 子进程还没有准备好
        return ""


def refuse_control(text: str, what: str) -> None:
    """存不成 UTF-8 的、读者看不见的字符。

    异常：有这样的字符，抛 OutputRefused；`what` 说是哪里的文字。
    """
    if found := re.search("[\ud800-\udfff]", text) or _CONTROL_LETTERS.search(text):
        raise _refused_letter(found[0], what)


def readable(text: str) -> str:
    """给人看的话：写得成 UTF-8，没有颜色与控制字符。"""
    shown = _CONTROL_LETTERS.sub(lambda found: f"\\x{ord(found[0]):02x}", settle(text))
    return shown.encode(errors="backslashreplace").decode()


class _Descriptor(io.FileIO):
    """描述符 1 或 2，接在一个临时文件上；写得太多、写了控制字符，当场停在那一行。"""

    def __init__(self, number: int, name: str, what: str, folder: Path | None) -> None:
        opened: Any = (folder / str(number)).open("w+b", buffering=0) if folder else None
        self._file = opened or tempfile.TemporaryFile(buffering=0)
        self._what = what
        self.start = self._end = self._count = 0
        self._measured = MAX_OUTPUT  # 再写过了这么多，就整理一遍，看看有多长
        self._refused: OutputRefused | None = None
        os.dup2(self._file.fileno(), number)
        super().__init__(number, "w", closefd=False)
        self.name: Any = name

    def write(self, data: Any) -> int:
        piece = data if type(data) is bytes else bytes(memoryview(data))
        if found := _CONTROL_BYTES.search(piece):
            raise self._refuse(_refused_letter(found[0].decode(errors="replace")[-1], self._what))
        self._count += len(piece)
        if self._count > _MAX_WRITTEN:
            raise self._refuse(_too_long(self._what, _MAX_WRITTEN))
        written = super().write(piece)
        if self._count > self._measured:
            self._measured = 2 * self._count  # 每次翻倍，整理的总用时才与长度成正比
            seen = settle(self._read(self._size()).decode(errors="replace"))
            if len(seen.encode()) > MAX_OUTPUT:
                raise self._refuse(_too_long(self._what))
        return written

    def text(self) -> str:
        """这一格写下的，整理过。"""
        if self._refused:  # 片段把它吞掉了
            raise self._refused
        size = self._size()
        if size > _MAX_WRITTEN:
            raise _too_long(self._what, _MAX_WRITTEN)
        self._end = self.start + size
        data = self._read(size)
        if not data:
            return ""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise OutputRefused(
                f"{self._what}的第 {error.start + 1} 个字节起不是 UTF-8，不能记录；"
                "要看这些字节，打印它的 repr。"
            ) from None
        refuse_control(text, self._what)
        text = settle(text)
        if len(text.encode()) > MAX_OUTPUT:
            raise _too_long(self._what)
        return text

    def advance(self) -> None:
        """读过的归了这一格，往后的归下一格。"""
        self.start, self._count, self._measured = self._end, 0, MAX_OUTPUT

    def so_far(self) -> str:
        """这一格写下的，给人看。"""
        return _shown(self._read(self._size()))

    def _size(self) -> int:
        return max(os.fstat(self._file.fileno()).st_size - self.start, 0)

    def _read(self, size: int) -> bytes:
        size = min(size, _MAX_WRITTEN)
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, self.start)
        self._file.seek(self.start)  # Windows 没有 pread；读完停在末尾，接着写
        return self._file.read(size)

    def _refuse(self, refused: OutputRefused) -> OutputRefused:
        self._refused = self._refused or refused
        return refused


def _shown(data: bytes) -> str:
    """给人看的；太长的只留末尾。"""
    text = readable(data.decode(errors="replace"))
    if len(text) <= _TAIL:
        return text
    cut, _, lines = text[-_TAIL:].partition("\n")
    return f"……（前面的略去）\n{lines or cut}"


def _text_stream(descriptor: _Descriptor, errors: str) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(
        descriptor,  # 与 python -u 一样，下面直接是不带缓冲的一层
        encoding="utf-8",
        errors=errors,
        newline="\n",
        write_through=True,
    )
    stream.mode = "w"  # type: ignore[misc]
    return stream


def _too_long(what: str, limit: int = MAX_OUTPUT) -> OutputRefused:
    return OutputRefused(f"一格的{what}超过 {limit >> 10} KiB；只打印要看的那几行。")


def _refused_letter(letter: str, what: str) -> OutputRefused:
    kind = "孤立的代理" if "\ud800" <= letter <= "\udfff" else "控制字符"
    return OutputRefused(
        f"{what}里有{kind} U+{ord(letter):04X}，不能记录；换成它的 repr，或先去掉。"
    )


def _flush(streams: list[Any]) -> None:
    """片段可以把 sys.stdout 换成只有 write 的东西，也可以关掉它。"""
    for stream in streams:
        if hasattr(stream, "flush") and not getattr(stream, "closed", False):
            stream.flush()


def _unbuffered_c() -> Callable[[], Any]:
    """让 C 一级的 stdout 不缓冲，次序才与 print 的一致；返回冲刷其余的函数。"""
    if os.name != "posix":
        return lambda: None
    library = ctypes.CDLL(None)
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    library.fflush(None)
    library.setvbuf(ctypes.c_void_p.in_dll(library, name), None, 2, 0)  # 2 是 _IONBF
    return lambda: library.fflush(None)


def _path_shortener(root: Path) -> Callable[[str], str]:
    """把绝对路径写成处处相同的：知识库里的由它写起，装来的库由包名写起。"""
    absolute = cache(lambda: _absolute(root))  # 多数片段一处路径也不打印
    return lambda text: absolute().sub("", text) if os.sep in text else text


def _absolute(root: Path) -> re.Pattern[str]:
    libraries = map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))
    inside = f"{root}{os.sep}"
    places = {
        place
        for place in (*libraries, *site.getsitepackages(), *sys.path)
        if Path(place).is_absolute() and (not place.startswith(inside) or "site-packages" in place)
    }
    longest_first = sorted({str(root), *places} - {os.sep}, key=len, reverse=True)
    choices = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![\w.~/\\-])(?:{choices}){re.escape(os.sep)}")
