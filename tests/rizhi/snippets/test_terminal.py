"""终端的控制字符：整理成读者最后看到的样子，用时与长度成正比。"""

import time

import pytest

from rizhi.snippets.terminal import settle

# rich 的进度条写给终端的（force_terminal）：藏起光标，画两行，上移、擦掉、重画
RICH = (
    "\x1b[?25l下载 \x1b[90m━━━━\x1b[0m \x1b[35m  0%\x1b[0m\n"
    "编译 \x1b[90m━━━━\x1b[0m \x1b[35m  0%\x1b[0m"
    "\r\x1b[2K\x1b[1A\x1b[2K\x1b[31m中途\x1b[0m\n"
    "下载 \x1b[91m━━━━\x1b[0m \x1b[35m100%\x1b[0m\n编译 \x1b[91m━━━━\x1b[0m \x1b[35m100%\x1b[0m"
    "\n\x1b[?25h"
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("行尾的空格 \n制表\t符\n", "行尾的空格 \n制表\t符\n"),
        ("\x1b[1;31m红\x1b[0m与 \x1b[38;5;12m蓝\x1b[m\n", "红与 蓝\n"),
        (" 50%|██  | 1/2\r100%|████| 2/2\n", "100%|████| 2/2\n"),
        ("很长的一句话\r短", "短长的一句话"),
        ("训练 10%\r完成\x1b[K\n", "完成\n"),
        ("训练\rab", "ab练"),
        ("训\bx", " x"),  # 盖住宽字的后一半，前一半也没了
        ("50%\b\b\b100%", "100%"),
        ("Windows 的换行\r\n第二行\r\n", "Windows 的换行\n第二行\n"),
        ("一\n二\n\x1b[2A\x1b[2K三\n", "三\n二\n"),
        ("\x1b[2J\x1b[H帧一\n帧一\n\x1b[2J\x1b[H帧二\n", "帧二\n"),
        ("\x1b[H帧一\n帧一\n\x1b[H\x1b[J帧二\n", "帧二\n"),
        ("旧\x1bc新", "新"),
        ("\x1b]0;标题\x07看\x1b]8;;http://x\x1b\\链接\x1b]8;;\x1b\\\x07", "看链接"),
        ("e\u0301\u0301x\rab", "ab"),  # 组合用的记号不占格
        ("外\n内\x1b[A\r    \r外 1\n\n", "外 1\n内\n"),
        ("清掉的条\r        \r", ""),
        (RICH, "中途\n下载 ━━━━ 100%\n编译 ━━━━ 100%\n"),
        ("残缺 \x1b", "残缺 "),
        ("残缺 \x1b[", "残缺 "),
        ("太大 \x1b[99999999999999999999D\x1b[²x\x1b[9;9;9;9H", "²x大"),
    ],
)
def test_what_is_left_on_the_screen(text: str, seen: str) -> None:
    assert settle(text) == seen


@pytest.mark.parametrize(
    "piece",
    ["x\r", "训\b\x1b[K", "\x1b[", "\x1b]", "\x1b[0;", "\n\x1b[J\x1b[24;80Hx", "x\x1b[A\x1b[999C"],
)
def test_time_grows_with_the_length(piece: str) -> None:
    settle(piece * 1000)
    began = time.process_time()
    settle(piece * 50_000)
    assert time.process_time() - began < 5  # 平方的要几分钟
