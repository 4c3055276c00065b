# %% 两种
numbers = [3, 1, 2]
print(sorted(numbers), numbers)
numbers.sort()
print(numbers)

# %% 检验 排得对
assert numbers == [1, 2, 3]

# %% 坏 接住了 None
print([2, 1].sort())
