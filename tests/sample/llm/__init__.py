"""样例知识库的模型：只有两样，够笔记引用。"""

from llm.model import RMSNorm, attention_mask

__all__ = ["RMSNorm", "attention_mask"]
