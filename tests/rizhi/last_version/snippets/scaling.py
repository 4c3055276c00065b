# %% 乘一个倍数
from llm.scale import FACTOR

print(FACTOR * 3)

# %% 检验 倍数是正的
assert FACTOR > 0
