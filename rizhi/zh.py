"""让 click 自带的几句话也说中文：它用 gettext，但不带中文的译文。"""

import errno
import unicodedata
from types import ModuleType

import click
import click.formatting

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


def cause(error: OSError) -> str:
    """系统错误的原因，说中文；没有译文的照系统的说法。"""
    where = f"{error.filename}：" if error.filename else ""
    why = CAUSES.get(error.errno or 0, error.strerror or str(error))
    return f"{where}{why.rstrip('。')}。"


def speak() -> None:
    """换掉 click 各模块里取译文的函数，与数宽度的函数；没有译文的照旧。"""
    click.Context.formatter_class = Formatter
    vars(click.formatting)["term_len"] = width
    for module in vars(click).values():
        if isinstance(module, ModuleType) and "_" in vars(module):
            vars(module)["_"] = _translated
            vars(module)["ngettext"] = _plural
    # 「缺少参数」末尾的句点写死在 click 里，不经过 gettext
    missing = click.MissingParameter.format_message
    setattr(click.MissingParameter, "format_message", lambda e: f"{missing(e).rstrip('.。')}。")  # noqa: B010


def _translated(message: str) -> str:
    return WORDS.get(message, message)


def _plural(one: str, many: str, count: int) -> str:
    return PLURALS.get(one) or PLURALS.get(many) or (one if count == 1 else many)
