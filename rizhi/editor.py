"""用他自己的编辑器打开一页；参数按词切开，不经过 shell。"""

import os
import shlex
import subprocess
from pathlib import Path

from rizhi.errors import RizhiError


def open_page(path: Path, name: str) -> None:
    """打开并等他关上。

    异常：没有设置编辑器、运行不了、退出码不是 0，抛 RizhiError。
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise RizhiError(f"没有设置 $VISUAL 或 $EDITOR，打不开 {name}；页面已经在了。")
    try:
        code = subprocess.run([*shlex.split(editor), str(path)]).returncode  # noqa: S603
    except (OSError, ValueError) as error:
        raise RizhiError(f"运行不了编辑器 {editor!r}，打不开 {name}；页面已经在了。") from error
    if code:
        raise RizhiError(f"编辑器退出码是 {code}；{name} 保持编辑器留下的样子。")
