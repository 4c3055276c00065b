"""读知识库：编码、前置数据、名字、越界的链接。"""

from datetime import date
from pathlib import Path

import pytest

from rizhi.errors import RizhiError
from rizhi.frontmatter import front_matter
from rizhi.journal.day import read_days
from rizhi.page import read_notes
from rizhi.vault import MAX_BYTES, Vault, check_slug, day_path, find_vault, read_text


def test_nearest_vault_above_wins(vault: Vault) -> None:
    deep = vault.docs / "daily" / "2026"
    deep.mkdir()
    assert find_vault(deep).root == vault.root
    assert find_vault(Path("/"), vault.root).root == vault.root


def test_outside_a_vault_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n", encoding="utf-8")
    with pytest.raises(RizhiError, match=r"没有 \[tool.rizhi\].*--root.*rizhi init"):
        find_vault(tmp_path, tmp_path)


def test_broken_pyproject_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.rizhi\n", encoding="utf-8")
    with pytest.raises(RizhiError, match="读不出来"):
        find_vault(tmp_path)


@pytest.mark.parametrize(
    ("data", "guess"),
    [
        ("掩码".encode("gbk"), "像是 GBK"),
        ("掩码".encode("utf-16"), "像是 UTF-16"),
        ("掩码".encode()[:-1], "被截断的 UTF-8"),
        (b"\x00\x01\x02", "NUL"),
        (b"\x89PNG\r\n\xff\xff", "二进制"),
    ],
)
def test_other_encodings_are_refused_with_place(tmp_path: Path, data: bytes, guess: str) -> None:
    path = tmp_path / "page.md"
    path.write_bytes(data)
    with pytest.raises(RizhiError, match=rf"page.md 第 \d+ 字节.*{guess}") as caught:
        read_text(path)
    assert path.read_bytes() == data and str(path) in str(caught.value)


def test_a_huge_page_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(RizhiError, match="超过 8 MiB"):
        read_text(path)


def test_front_matter_is_data_only() -> None:
    meta, offset, faults, _ = front_matter("---\ntitle: 掩码\ncreated: 2026-11-23\n---\n正文")
    assert meta == {"title": "掩码", "created": date(2026, 11, 23)} and faults == ()
    assert "---\ntitle: 掩码\ncreated: 2026-11-23\n---\n正文"[offset:] == "正文"


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("a: 1\na: 2", 3),  # 写了两次
        ("a: 1\nb: !!python/object/apply:os.system ['true']", 3),
        ("a: [1", 2),
        ("a: 1\nb: 2026-02-30", 2),
    ],
)
def test_bad_front_matter_is_a_fault_with_its_line(block: str, line: int) -> None:
    meta, _, faults, _ = front_matter(f"---\n{block}\n---\n正文\n")
    assert meta == {} and len(faults) == 1 and faults[0].line >= line


@pytest.mark.parametrize("text", ["\n---\n一条横线\n---\n", "---\n今天写了掩码\n---\n正文", "正文"])
def test_a_rule_is_not_front_matter(text: str) -> None:
    assert front_matter(text) == ({}, 0, (), ())


def test_bom_and_crlf_are_read(vault: Vault) -> None:
    path = day_path(vault, date(2026, 11, 23))
    path.parent.mkdir(parents=True)
    path.write_bytes("\ufeff---\r\ntags: [a]\r\n---\r\n# 标题\r\n".encode())
    (day,) = read_days(vault)
    assert day.tags == ("a",) and day.title == "标题" and day.date == date(2026, 11, 23)
    assert day.line == 4 and day.body == "# 标题\r\n"


def test_one_bad_file_does_not_hide_the_others(vault: Vault) -> None:
    folder = vault.notes / "python"
    folder.mkdir()
    (folder / "bad.md").write_bytes("掩码".encode("gbk"))
    (folder / "good.md").write_text("---\ntitle: 好\n---\n", encoding="utf-8")
    bad, good = read_notes(vault)
    assert bad.faults and not good.faults and good.title == "好" and good.group == "python"


def test_a_link_out_of_the_vault_is_refused(vault: Vault, tmp_path_factory) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret.md"
    secret.write_text("秘密", encoding="utf-8")
    (vault.notes / "leak.md").symlink_to(secret)
    (note,) = read_notes(vault)
    assert "知识库之外" in note.faults[0].message and "秘密" not in note.text


@pytest.mark.parametrize(
    "slug", ["../../x", "CON.", "a\0b", "-rf", "ａｂ", "A", "a--b", "a_b", "", "x" * 65, "a-"]
)
def test_hostile_slugs_are_refused(slug: str) -> None:
    with pytest.raises(RizhiError, match="不合规则"):
        check_slug(slug)


def test_a_good_slug_passes() -> None:
    assert check_slug("attention-mask-2") == "attention-mask-2"
