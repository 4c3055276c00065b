# %% [markdown]
# # 张量流的数据：真的由 llm.lab.flow 给出，这里只留要紧的几样

# %% 数据 张量流
import json

links = {
    "apply_rotary": "../attention/rope.md",
    "causal_mask": "../attention/attention-mask.md",
    "llm.model": "../../reference/model.md",
}
print(json.dumps({"links": links, "source": ["x = (a <b> c) </script>"]}))
