"""python -m llm.train tokenizer | pretrain | sft | chat"""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Sequence,
    Tuple,
    Type,
    get_type_hints,
)

import torch
from transformers import TextStreamer
from transformers.utils.logging import disable_progress_bar

from llm.train.data import prompt
from llm.train.loop import keep_freed_memory, pick_device
from llm.train.pretrain import PretrainConfig, TokenizerConfig, pretrain, train_a_tokenizer
from llm.train.sft import SFTConfig, load_model, sft
from llm.train.tokenizer import load_tokenizer


@dataclass(frozen=True)
class ChatConfig:
    """跟训好的模型说话；空行或 Ctrl-D 结束。"""

    model: Annotated[Path, "模型的文件夹，HF 的样子"] = Path("runs/sft/model")
    temperature: Annotated[float, "采样的温度；0 是每步取概率最大的"] = 0.7
    top_p: Annotated[float, "只在概率加起来到它的那些词元里采样"] = 0.9
    max_new_tokens: Annotated[int, "一句回答至多多少词元"] = 200
    seed: Annotated[int, "采样的种子"] = 0
    device: Annotated[str, "cpu、cuda，或 auto：有 CUDA 就用"] = "auto"


Message = Dict[str, str]


def chat(config: ChatConfig) -> bool:
    """一问一答，边想边打出来；说得太长放不下，就忘掉最早的几句。"""
    tokenizer = load_tokenizer(config.model)
    model = load_model(config.model, tokenizer).to(pick_device(config.device)).eval()
    torch.manual_seed(config.seed)
    streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    messages: List[Message] = []
    while question := _question():
        messages.append({"role": "user", "content": question})
        ids = _prompt(tokenizer, messages, model.config.max_position_embeddings)
        room = model.config.max_position_embeddings - ids.shape[1]
        answer = model.generate(
            ids.to(model.device),
            attention_mask=torch.ones_like(ids, device=model.device),
            max_new_tokens=min(config.max_new_tokens, room),
            do_sample=config.temperature > 0,
            temperature=config.temperature or None,
            top_p=config.top_p if config.temperature else None,
            streamer=streamer,
        )
        said = str(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True))
        messages.append({"role": "assistant", "content": said})
    return True


def _question() -> str:
    try:
        return input("你：").strip()
    except EOFError:
        print()
        return ""


def _prompt(tokenizer: Any, messages: List[Message], longest: int) -> torch.Tensor:
    """至少给回答留四分之一的地方。形状：→ (1, T)。"""
    while True:
        ids = prompt(tokenizer, messages)
        if len(ids) <= longest * 3 // 4:
            return torch.tensor([ids])
        if len(messages) == 1:
            raise ValueError(f"这句话有 {len(ids)} 个词元，模型至多看 {longest} 个：说短一点。")
        del messages[:2]


# ---- 命令行：选项就是配置的字段 ----


COMMANDS: Mapping[str, Tuple[Any, Callable[[Any], Any]]] = {
    "tokenizer": (TokenizerConfig, train_a_tokenizer),
    "pretrain": (PretrainConfig, pretrain),
    "sft": (SFTConfig, sft),
    "chat": (ChatConfig, chat),
}


def parse(kind: Any, arguments: Sequence[str]) -> Any:
    """`--名字 值` 一对对地读成一份配置。

    异常：没有这个选项、缺了值、值读不成那种类型，抛 ValueError。
    """
    known = options(kind)
    given: Dict[str, Any] = {}
    rest = [part for argument in arguments for part in argument.split("=", 1)]
    for name, value in zip(rest[::2], [*rest[1::2], None], strict=False):
        if name not in known:
            raise ValueError(f"没有 {name} 这个选项；有 {'、'.join(known)}。")
        if value is None:
            raise ValueError(f"{name} 后面要有一个值。")
        given[name[2:].replace("-", "_")] = _converted(name, value, known[name][0])
    return kind(**given)


def options(kind: Any) -> Dict[str, Tuple[Type, str]]:
    """一份配置的选项：名字 → 类型与一句话。"""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "--" + field.name.replace("_", "-"): (
            hints[field.name].__origin__,
            hints[field.name].__metadata__[0],
        )
        for field in fields(kind)
    }


def _converted(name: str, value: str, kind: Type) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        words = {int: "整数", float: "数"}[kind]
        raise ValueError(f"{name} {value}：应是一个{words}。") from error


def usage(name: str = "") -> str:
    """一个命令的全部选项；不说是哪个，就列出全部命令。"""
    if name not in COMMANDS:
        listed = [f"  {name:10} {kind.__doc__}" for name, (kind, _) in COMMANDS.items()]
        return "\n".join(["用法：python -m llm.train 命令 [--选项 值 …]", "", *listed])
    kind = COMMANDS[name][0]
    lines = [f"用法：python -m llm.train {name} [--选项 值 …]", "", kind.__doc__, ""]
    for (option, (_, words)), field in zip(options(kind).items(), fields(kind), strict=True):
        lines.append(f"  {option:20} {words}（默认 {field.default}）")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """做一个命令；说得清楚的错说一句，退出码 1。"""
    name, rest = (arguments[0] if arguments else ""), arguments[1:]
    if name not in COMMANDS or {"--help", "-h"} & set(rest):
        print(usage(name))
        return 0 if name in COMMANDS or name in ("", "--help", "-h") else 2
    kind, run = COMMANDS[name]
    disable_progress_bar()  # transformers 读写权重时的英文进度条
    keep_freed_memory()
    try:
        return 0 if run(parse(kind, rest)) else 130
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
