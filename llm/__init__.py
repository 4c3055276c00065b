"""手写的语言模型：一个文件读得完，与五个公开家族逐位相等。"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from llm.config import LLMConfig
from llm.model import LLMForCausalLM, LLMModel

__all__ = ["LLMConfig", "LLMForCausalLM", "LLMModel"]

# 登记之后，AutoModelForCausalLM.from_pretrained 也认得我们存下的文件夹。
AutoConfig.register(LLMConfig.model_type, LLMConfig)
AutoModel.register(LLMConfig, LLMModel)
AutoModelForCausalLM.register(LLMConfig, LLMForCausalLM)
# Trainer 的标签平滑只对这张表里的类错一位，别的类悄悄拿位置 t 的输出去对 t 的标签。
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[LLMConfig.model_type] = LLMForCausalLM.__name__
