"""贴进日总结的图片：放在那一天的旁边，按内容命名；只读，不写。"""

from datetime import date
from pathlib import Path

from rizhi.errors import RizhiError
from rizhi.vault import Vault, day_path

MAX_IMAGE = 8 * 1024 * 1024
# 图片的开头几个字节 → 扩展名；扩展名写错的照内容改正
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"RIFF": ".webp",
}


def beside(vault: Vault, day: date, image: Path) -> tuple[Path, bytes]:
    """一张图片放在那一天旁边的什么地方，与它的内容；按内容命名。

    异常：读不到、太大、不是图片，抛 RizhiError。
    """
    import hashlib  # 载入 openssl 要几毫秒，多数命令用不着

    try:
        if not image.is_file():  # 文件夹、管道与设备：读起来没有尽头
            raise RizhiError("不是文件，不能贴。", image)
        size = image.stat().st_size
        data = image.read_bytes() if size <= MAX_IMAGE else b""
    except OSError as error:
        raise RizhiError("读不到。", image) from error
    if not data:
        what = f"超过 {MAX_IMAGE >> 20} MiB" if size else "是空的"
        raise RizhiError(f"{what}，不能贴。", image)
    suffix = next((s for magic, s in _IMAGES.items() if data.startswith(magic)), None)
    if suffix is None:
        raise RizhiError("不是 PNG、JPEG、GIF 或 WebP。", image)
    name = f"{day}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}"
    return day_path(vault, day).parent / "img" / name, data
