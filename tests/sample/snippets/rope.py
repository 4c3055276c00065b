# %% 转一个角度
import math

angle = math.pi / 6
x, y = 1.0, 0.0
turned = (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))
print([round(one, 3) for one in turned])

# %% 检验 长度不变
assert math.isclose(math.hypot(*turned), 1.0)

# %% 坏 角度写成了度数
print(round(math.cos(30), 3), "不是", round(math.cos(math.radians(30)), 3))
