# %% 填负无穷
import torch

from llm import attention_mask

scores = torch.zeros(1, 1, 3, 3)  # (B, H, T, S)
scores.masked_fill_(~attention_mask(3), float("-inf"))
print(scores[0, 0])

# %% 检验 每行之和是 1
weights = scores.softmax(-1)
torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 3))

# %% 坏 忘了取反
upside_down = torch.zeros(3, 3).masked_fill(attention_mask(3)[0, 0], float("-inf"))
print(upside_down)
