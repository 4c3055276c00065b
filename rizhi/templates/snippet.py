# %% [markdown]
# # {{ title }}
# 来源：待写

# %% 构造
print("待写：导入真的对象，打印它的形状")

# %% 检验 待写
raise AssertionError("待写：用独立的算法核对结果")
