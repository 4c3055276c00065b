"""让 click 自带的几句话也说中文：它用 gettext，但不带中文的译文。"""

import errno
import gettext
import os
import unicodedata
from pathlib import Path

import click
import click.formatting

from rizhi.errors import RizhiError, name_in

WORDS = {
    "Usage:": "用法：",
    "Options": "选项",
    "Commands": "命令",
    "Positional arguments": "参数",
    "Show this message and exit.": "显示这些说明。",
    "Try '{command} {option}' for help.": "用 {command} {option} 看说明。",
    "Error: {message}": "错误：{message}",
    "Missing command.": "没有写命令。",
    "Missing argument": "缺少参数",
    "Missing option": "缺少选项",
    "No such command {name!r}.": "没有命令 {name}。",
    "No such option {name!r}.": "没有选项 {name}。",
    "Option {name!r} does not take a value.": "选项 {name} 后面不带值。",
    "Invalid value for {param_hint}: {message}": "{param_hint} 的值不对：{message}",
    "Invalid value: {message}": "值不对：{message}",
    "{name} {filename!r} does not exist.": "{name} {filename} 不存在。",
    "{value!r} is not a valid {number_type}.": "{value} 不是整数。",
    "{value} is not in the range {range}.": "{value} 不在 {range} 之内。",
    "required": "必填",
    "file": "文件",
    "path": "路径",
    "Choose from:\n\t{choices}": "只能是：{choices}",
    "{editor}: Editing failed": "编辑器 {editor} 没有正常结束",
    "{editor}: Editing failed: {e}": "运行不了编辑器 {editor}：{e}",
    "Aborted!": "已中断。",
    "Error: invalid input": "请重新输入",
}
PLURALS = {
    "Got unexpected extra argument ({args})": "多出来的参数：{args}",
    "Option {name!r} requires an argument.": "选项 {name} 后面要带一个值。",
    "Did you mean {possibility}?": "是不是 {possibilities}？",
    "{value!r} is not {choice}.": "{value} 不在可选的值里：{choice}。",
    "{value!r} is not one of {choices}.": "{value} 不在可选的值里：{choices}。",
}

CAUSES = {
    errno.ENOSPC: "磁盘满了",
    errno.EROFS: "文件系统只读",
    errno.EACCES: "没有权限",
    errno.EPERM: "没有权限",
    errno.EIO: "读写出错",
    errno.ENOENT: "没有这个文件",
    errno.EEXIST: "已存在",
    errno.ENOTDIR: "不是文件夹",
    errno.EISDIR: "是文件夹",
    errno.ENAMETOOLONG: "名字太长",
}


class Formatter(click.HelpFormatter):
    """说明里的标点与占位词也是中文的。"""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        args = args.replace("[OPTIONS]", "[选项]").replace("COMMAND [ARGS]...", "命令 …")
        super().write_usage(prog, args, prefix or "用法：")

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{heading}：\n")


def width(text: str) -> int:
    """在终端上占几列：汉字占两列。"""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cause(error: OSError | RizhiError, root: Path) -> str:
    """一个错误说给人听，路径相对于知识库；系统错误没有译文的，照系统的说法。"""
    if isinstance(error, RizhiError):
        return error.within(root)
    where = f"{name_in(root, Path(os.fsdecode(error.filename)))}：" if error.filename else ""
    why = CAUSES.get(error.errno or 0, error.strerror or str(error))
    return f"{where}{why.rstrip('。')}。"


def speak() -> None:
    """让 click 说中文，宽度按汉字算；没有译文的照旧。

    不用 gettext 的域：它按 LANGUAGE、LANG 挑译文，C 与 en_US 之下一句中文也没有；要它总挑
    中文，就得改环境变量 LANGUAGE，编辑器、git 与片段的子进程都会继承。
    """
    # click 的每个模块，连用到时才载入的，最后都经过这两个函数
    vars(gettext).update(dgettext=_translated, dngettext=_plural)
    click.Context.formatter_class = Formatter
    vars(click.formatting)["term_len"] = width
    # 「缺少参数」末尾的句点写死在 click 里，不经过 gettext
    missing = click.MissingParameter.format_message
    setattr(click.MissingParameter, "format_message", lambda e: f"{missing(e).rstrip('.。')}。")  # noqa: B010


def _translated(_: str, message: str) -> str:
    return WORDS.get(message, message)


def _plural(_: str, one: str, many: str, count: int) -> str:
    return PLURALS.get(one) or PLURALS.get(many) or (one if count == 1 else many)
