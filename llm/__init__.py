"""手写的语言模型：一个文件读得完，与五个公开家族逐位相等。"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from llm.config import LLMConfig
from llm.model import LLMForCausalLM, LLMModel

__all__ = ["LLMConfig", "LLMForCausalLM", "LLMModel"]

# 登记之后，AutoModelForCausalLM.from_pretrained 也认得我们存下的文件夹。
AutoConfig.register(LLMConfig.model_type, LLMConfig)
AutoModel.register(LLMConfig, LLMModel)
AutoModelForCausalLM.register(LLMConfig, LLMForCausalLM)
