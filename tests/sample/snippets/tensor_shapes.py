# %% 步长
import torch

x = torch.arange(6).view(2, 3)  # (B, T)
print(x.stride(), x.t().stride(), "转置只换步长，不搬数；所以 x.t().view(6) 会报错，要用 reshape")

# %% 检验 与 reshape 相同
assert x.t().reshape(6).tolist() == [0, 3, 1, 4, 2, 5]

# %% 坏 转置之后 view
try:
    x.t().view(6)
except RuntimeError:
    print("view 要求内存连续")
