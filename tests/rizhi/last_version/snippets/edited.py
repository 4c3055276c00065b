# %% 就地与新的
xs = [3, 1]
print(sorted(xs), xs)

# %% 检验 与最小的相同
assert sorted(xs)[0] == min(xs)
