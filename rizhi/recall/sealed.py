"""`.rizhi/` 里的东西盖上本机的印：不是这里写下的，一个字节也不读。

记下的调用里有模型与配置这样的任意对象，只有 pickle 写得下，而载入 pickle 就是执行它说的话。`.rizhi`
会跟着知识库被拷来拷去，也会被放进东西，所以每个文件的开头是用密钥算的摘要，密钥在知识库之外、只有自己读得
到；对不上的当作没有，重算。载入时仍在装好防护的子进程里。
"""

import hashlib
import hmac
import os
import secrets
import stat
import sys
from pathlib import Path

from rizhi import store
from rizhi.errors import RizhiError

_SIZE = 32
_LARGEST = 64 << 20


def write(path: Path, data: bytes) -> None:
    """写下盖了印的 `data`。

    异常：密钥或文件写不成，抛 OSError；没有家目录，抛 RizhiError。
    """
    store.replace(path, _seal(_key(), data) + data)


def read(path: Path) -> bytes | None:
    """`write` 写下的；没有、坏了、是链接、不是本机写下的，都是 None。"""
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > _LARGEST:
            return None
        raw, key = path.read_bytes(), _place().read_bytes()
    except (OSError, RizhiError):
        return None
    data = raw[_SIZE:]
    return (
        data if len(key) == _SIZE and hmac.compare_digest(raw[:_SIZE], _seal(key, data)) else None
    )


def _seal(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_SIZE).digest()


def _key() -> bytes:
    """本机的密钥；还没有就造一个。"""
    path = _place()
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            store.create_new(path, secrets.token_bytes(_SIZE))
        except FileExistsError:
            pass  # 另一个 rizhi 刚造好
    key = path.read_bytes()
    if len(key) != _SIZE:
        raise RizhiError("密钥坏了：删掉它，rizhi 会再造一个。", path)
    return key


def _place() -> Path:
    """密钥在哪里：系统给程序放自己的状态的文件夹。"""
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME"
    try:
        base = Path(os.environ.get(name) or Path.home() / ".local/state")
    except RuntimeError as error:
        raise RizhiError(f"没有家目录，放不了密钥；设好 HOME 或 {name} 再来。") from error
    return base / "rizhi" / "drills.key"
