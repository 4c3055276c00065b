"""片段的测试共用：要写的那个片段。"""

from pathlib import Path

import pytest

from rizhi.vault import Vault


@pytest.fixture
def path(vault: Vault) -> Path:
    """还没有写的 `topic.py`；源码包是空的。"""
    (vault.root / "llm/__init__.py").write_text("", encoding="utf-8")
    return vault.snippets / "topic.py"
