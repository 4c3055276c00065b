# 用法见 README.md。首次使用会自建 .venv；之后 pyproject.toml 或 constraints.txt 变了才重装。
# pymdown-extensions 13 要 3.11.5：Debian 12 自带的 3.11.2 装不上
FINE = 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info[:3] < (3, 14))'
# python3 太旧或太新，就用 PATH 上合适的另一个；也可以用 make PYTHON=… 指明
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c $(FINE) 2>/dev/null && { echo $$p; exit; }; done; echo python3)
WANTED = 这里要 Python 3.11（3.11.5 起）、3.12 或 3.13。
VENV ?= .venv
BIN = $(VENV)/bin
RUN = $(BIN)/python -m
INSTALL = $(BIN)/python -c $(FINE) || { \
  echo "$(VENV) 里是 $$($(BIN)/python -V)。$(WANTED)删掉 $(VENV) 再来。"; exit 1; }; \
  $(RUN) pip install --disable-pip-version-check -q -c $(VENV)/constraints.txt -e

export NO_MKDOCS_2_WARNING = 1

.PHONY: serve site offline test check slow new record train pictures bench
# llm 不在 rizhi 的包里：有了这一行，从任何文件夹、Jupyter 与 VS Code 里都能 import 它
PATHS = for d in $(VENV)/lib/python3.*/site-packages; do echo "$(CURDIR)" > "$$d/llm.pth"; done

.DELETE_ON_ERROR:

serve: $(VENV)/.site  ## 浏览：打开 http://127.0.0.1:8000/
	$(RUN) mkdocs serve

site: $(VENV)/.site  ## 构建静态站点到 site/
	$(RUN) mkdocs build

# 不带日记；要带，make offline DIARY=true
offline: $(VENV)/.site  ## 构建到 site-offline/：拷走、双击 index.html 就能看，也能搜索
	OFFLINE=true $(RUN) mkdocs build -d site-offline

test: check  ## 验证：静态检查、所有测试与片段、严格构建
	$(RUN) pytest -n 2 --dist loadgroup

check: $(VENV)/.all  ## 只做静态检查：代码风格、类型、知识库的规则
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(BIN)/rizhi check

# anki 只有 glibc 2.35 起的轮子，装不上不该拦住别的：那一条跳过，说怎么装
slow: $(VENV)/.all  ## 平时略过的慢检查：十年的规模、故障注入……
	-@$(RUN) pip install --disable-pip-version-check -q -c $(VENV)/constraints.txt anki
	$(RUN) pytest -n 2 --dist loadgroup -m slow

new: $(VENV)/.site  ## 写今天
	$(BIN)/rizhi new

record: $(VENV)/.all  ## 重录改过的片段
	$(BIN)/rizhi record

# 训到背下自测：一行 256 个词元，才放得下几乎每一段对话
PRETRAIN = --seq-len 256 --updates 1300 --lr 3e-3 --least-lr 3e-4 --warmup 100
SFT = --seq-len 256 --batch 4 --updates 800 --lr 1e-3 --least-lr 1e-4
train: $(VENV)/.all  ## 从语料到对话：两个核十分钟以内，Ctrl-C 停下，再来一次接着训
	@test -f runs/corpus/text.jsonl || $(BIN)/rizhi corpus runs/corpus
	@test -f runs/tokenizer/tokenizer.json || $(RUN) llm.train tokenizer
	$(RUN) llm.train pretrain $(PRETRAIN)
	$(RUN) llm.train sft $(SFT)
	$(RUN) llm.train chat

pictures: $(VENV)/.all  ## 重截 README 与指南里的图；要 Chromium
	$(RUN) tests.pictures

bench: $(VENV)/.all  ## 与同类比较：中位数与比值，不设时限
	$(RUN) benchmarks

$(BIN)/python:
	@$(PYTHON) -c $(FINE) 2>/dev/null || { \
	  echo "$(PYTHON) 的版本：$$($(PYTHON) -V 2>/dev/null || echo 找不到)。$(WANTED)"; \
	  echo "装一个合适的；已经装在别处，就指明它：make PYTHON=/路径/python3.12 …"; \
	  echo "没有改动任何文件。"; exit 1; }
	@echo "用 $(PYTHON) 新建虚拟环境 $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

# 已有 torch（例如自己装的 CUDA 版）就沿用，不按 constraints.txt 换掉；包索引沿用 pip 自己的配置。
$(VENV)/constraints.txt: constraints.txt $(BIN)/python
	@if v=$$($(RUN) pip show torch 2>/dev/null | sed -n 's/^Version: //p') && [ -n "$$v" ]; then \
	  echo "沿用已有的 torch $$v"; grep -v '^torch==' constraints.txt > $@; \
	else cp constraints.txt $@; fi

$(VENV)/.site: pyproject.toml $(VENV)/constraints.txt
	@echo "安装浏览与写作所需（不含 torch）…"
	@$(INSTALL) '.[site]'
	@$(PATHS)
	@touch $@

$(VENV)/.all: pyproject.toml $(VENV)/constraints.txt
	@echo "安装全部依赖（含 torch，首次要几分钟）…"
	@$(INSTALL) '.[site,llm,test,bench,anki]'
	@$(PATHS)
	@touch $(VENV)/.site $@
