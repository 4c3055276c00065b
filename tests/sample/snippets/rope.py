# %% 转一个角度
import math

angle = math.pi / 6
x, y = 1.0, 0.0
turned = (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))
print([round(one, 3) for one in turned])

# %% 图 角度
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.0, 3.0))
for pair in range(4):
    theta = 10_000 ** (-pair / 4)
    ax.plot(range(200), [math.sin(m * theta) for m in range(200)], label=f"第 {pair} 对")
ax.set(xlabel="位置 m", ylabel="转过的角度的正弦", title="越靠后的一对，转得越慢")
ax.legend();

# %% 检验 长度不变
assert math.isclose(math.hypot(*turned), 1.0)

# %% 坏 角度写成了度数
print(round(math.cos(30), 3), "不是", round(math.cos(math.radians(30)), 3))
