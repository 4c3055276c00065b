"""导入：认得出哪一天，正文一个字节不动，有一个坏文件就一个也不写。"""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from rizhi.importer import date_in, slug_of
from rizhi.vault import RizhiError, Vault, day_path

Run = Callable[..., Result]
Snapshot = Callable[[], dict[str, bytes]]
BODY = (
    "\n\n---\n\n今天写完了。\n\n## 一.今日成果\n\n1. llm学习。\n\n## attention_mask\n- 加在哪？\n"
)


def _source(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-23", date(2026, 11, 23)),
        ("2026_11_23 总结", date(2026, 11, 23)),
        ("20261123", date(2026, 11, 23)),
        ("2026年1月3日", date(2026, 1, 3)),
        ("２０２６．１１．２３", date(2026, 11, 23)),
        ("日志2026/11/3", date(2026, 11, 3)),
        ("11-23", None),
        ("第 20261123456 号", None),
    ],
)
def test_dates_in_words(text: str, day: date | None) -> None:
    assert date_in(text) == day


def test_a_date_that_does_not_exist_is_not_guessed() -> None:
    with pytest.raises(RizhiError, match="2026-02-30 不是真有的日期"):
        date_in("2026-02-30")


@pytest.mark.parametrize(
    ("name", "text", "given", "day"),
    [
        ("2026-11-20.md", "---\ndate: 2026-11-21\n---\n# 2026-11-22\n正文", "2026-11-19", "19"),
        ("2026-11-20.md", "---\ndate: 2026-11-21\n---\n# 2026-11-22\n正文", None, "20"),
        ("总结.txt", "---\ndate: 2026-11-21\n---\n# 2026-11-22\n正文", None, "21"),
        ("总结.txt", "\n\n# 2026年11月22日\n正文", None, "22"),
    ],
    ids=["选项", "文件名", "前置数据", "第一个标题"],
)
def test_where_the_date_comes_from(
    rz: Run, vault: Vault, tmp_path: Path, name: str, text: str, given: str | None, day: str
) -> None:
    source = _source(tmp_path / "old", name, text)
    option = ["--date", given] if given else []
    assert rz("import", str(source), *option).exit_code == 0
    path = day_path(vault, date.fromisoformat(f"2026-11-{day}"))
    assert path.read_text("utf-8").startswith(f"---\ndate: 2026-11-{day}\n")
    assert rz("check", str(path)).exit_code == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "\n"])
def test_the_body_is_kept_byte_for_byte(
    rz: Run, vault: Vault, tmp_path: Path, end: str, bom: str, tail: str
) -> None:
    body = (BODY.rstrip("\n") + tail).replace("\n", end)
    source = _source(tmp_path / "old", "2026-11-20.md", bom + body)
    assert rz("import", str(source)).exit_code == 0
    head = f"---{end}date: 2026-11-20{end}tags: []{end}---{end}{end}# 2026-11-20 星期五{end}{end}"
    assert day_path(vault, date(2026, 11, 20)).read_bytes() == (bom + head + body).encode()
    assert source.read_bytes() == (bom + body).encode()


def test_the_report_says_what_was_recognised(rz: Run, tmp_path: Path) -> None:
    text = BODY + "## 健身\n练背\n\n## attn_out 各头合并\n\n## 明日计划\n- [ ] 复习\n## 类型标注\n"
    source = _source(tmp_path / "old", "2026-11-20.md", text)
    (one,) = json.loads(rz("import", str(source), "--dry-run", "--json").stdout)
    assert one["sections"] == ["今日成果", "明日计划"] and one["todos"] == 1
    assert one["stubs"] == ["attention_mask", "attn_out 各头合并", "类型标注"]
    assert one["own"] == ["健身"]
    assert one["commands"][0] == "rizhi note attention-mask --title attention_mask"
    shown = rz("import", str(source), "--dry-run").stdout
    assert "可以收为 docs/daily/2026/2026-11-20.md" in shown and "健身" in shown


def test_dry_run_writes_nothing(rz: Run, tmp_path: Path, snapshot: Snapshot) -> None:
    source = _source(tmp_path / "old", "2026-11-20.md", BODY)
    before = snapshot()
    assert rz("import", str(source), "--dry-run").exit_code == 0 and snapshot() == before


BAD = {
    "空的": b"",
    "只有空白": b"\n \n",
    "GBK": "今天写完了掩码".encode("gbk"),
    "UTF-16": "今天".encode("utf-16"),
    "二进制": b"\x89PNG\r\n\x1a\n\x00\x01\xff",
    "截断": "今天".encode()[:-1],
    "五十兆": b"a" * (50 << 20),
    "十万条": b"- [ ] x\n" * 100_000,
    "两千条": b"- [ ] x\n" * 2_001,
    "前置数据": b"---\na: 1\na: 2\n---\nx",
    "标签": b"---\na: !!python/name:os.system\n---\nx",
}


@pytest.mark.parametrize("kind", list(BAD))
def test_one_bad_file_stops_all(
    rz: Run, vault: Vault, tmp_path: Path, snapshot: Snapshot, kind: str
) -> None:
    folder = tmp_path / "old"
    _source(folder, "2026-11-19.md", "好的一天")
    _source(folder, "deep/2026-11-20.txt", BAD[kind])
    before = snapshot()
    result = rz("import", str(folder))
    assert result.exit_code == 1 and snapshot() == before
    assert "2026-11-20.txt" in result.stdout and "没有改动任何文件" in result.stdout
    assert rz("import", str(folder), "--keep-going").exit_code == 1
    assert day_path(vault, date(2026, 11, 19)).is_file()
    assert not day_path(vault, date(2026, 11, 20)).exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("没有日期.md", "看不出是哪一天"),
        ("2026-02-30.md", "不是真有的日期"),
        ("2027-01-01.md", "在将来"),
        ("没有这个/2026-11-20.md", "读不到"),
    ],
)
def test_files_without_a_proper_day(
    rz: Run, tmp_path: Path, snapshot: Snapshot, name: str, why: str
) -> None:
    path = tmp_path / "old" / name
    if "没有这个" not in name:
        _source(tmp_path / "old", name, "写了")
    before = snapshot()
    result = rz("import", str(path))
    assert result.exit_code == 1 and why in result.stdout and snapshot() == before
    if "在将来" in why:
        assert rz("import", str(path), "--date", "2027-01-01").exit_code == 0


def test_two_files_of_one_day_are_refused(rz: Run, tmp_path: Path, snapshot: Snapshot) -> None:
    folder = tmp_path / "old"
    _source(folder, "2026-11-20.md", "一")
    _source(folder, "20261120.txt", "二")
    before = snapshot()
    result = rz("import", str(folder))
    assert result.exit_code == 1 and "是同一天" in result.stdout and snapshot() == before


def test_an_interrupted_import_can_be_run_again(
    rz: Run, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rizhi import store

    folder = tmp_path / "old"
    for day in range(10, 20):
        _source(folder, f"2026-11-{day}.md", f"第 {day} 天")
    real, count = store.create_new, iter(range(100))

    def stopping(path: Path, data: bytes) -> None:
        if path.suffix == ".md" and next(count) == 4:
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(store, "create_new", stopping)
        assert rz("import", str(folder)).exit_code == 1
    assert list(vault.daily.rglob("*.md")) == []  # 要么全收，要么一个不收
    again = rz("import", str(folder))
    assert again.exit_code == 0 and "写了 10 天" in again.stdout
    assert len(list(vault.daily.rglob("*.md"))) == 10
    third = rz("import", str(folder))
    assert third.exit_code == 0 and "写了 0 天" in third.stdout
    assert third.stdout.count("已经收过") == 10
    assert rz("undo").exit_code == 0 and list(vault.daily.rglob("*.md")) == []


def test_a_day_that_differs_is_not_overwritten(rz: Run, vault: Vault, tmp_path: Path) -> None:
    path = day_path(vault, date(2026, 11, 20))
    path.parent.mkdir(parents=True)
    path.write_text("# 我自己写的\n", "utf-8")
    source = _source(tmp_path / "old", "2026-11-20.md", "另一份")
    result = rz("import", str(source))
    assert result.exit_code == 1 and "已存在" in result.stdout
    assert path.read_text("utf-8") == "# 我自己写的\n"


def test_date_is_for_one_file(rz: Run, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    _source(folder, "a.md", "一")
    _source(folder, "b.md", "二")
    assert rz("import", str(folder), "--date", "2026-11-20").exit_code == 2
    (empty := tmp_path / "none").mkdir()
    assert rz("import", str(empty)).exit_code == 1


@given(st.text())
def test_a_slug_is_always_a_proper_name_or_nothing(title: str) -> None:
    from rizhi.vault import check_slug

    slug = slug_of(title)
    assert slug == "" or check_slug(slug) == slug
