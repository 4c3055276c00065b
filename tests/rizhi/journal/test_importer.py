"""导入：认得出哪一天，正文一个字节不动，有一个坏文件就一个也不写。"""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from rizhi.errors import RizhiError
from rizhi.journal.day import Day
from rizhi.journal.importer import date_in, slug_of
from rizhi.vault import Vault, day_path

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
        ("2026 年 11 月 3 日", date(2026, 11, 3)),
        ("2026-11-19T22:31", date(2026, 11, 19)),
        ("日志20261123晚", date(2026, 11, 23)),
        ("May 3rd, 2026", date(2026, 5, 3)),
        ("Monday, November 23, 2026", date(2026, 11, 23)),
        ("maybe 3, 2026", None),
        ("11-23", None),
        ("第 20261123456 号", None),
        # 十六进制里的、型号里的，不是日期
        ("总结 8f20240131aa4c5d", None),
        ("8f2024-01-31", None),
        ("IMGx20240131", None),
        ("a20240131", None),
        ("2026113", None),
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
    front = Day(path, path.read_text("utf-8")).meta
    assert front["date"] == date.fromisoformat(f"2026-11-{day}")
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


@pytest.mark.parametrize("title", ["# 2026-11-21 星期六", "\n# 2026-11-21 星期六　头一天"])
def test_a_page_that_has_its_title_gets_no_second_one(
    rz: Run, vault: Vault, tmp_path: Path, title: str
) -> None:
    body = (CASES.parent / "states.md").read_text("utf-8").replace("# 2026-11-21 星期六", title)
    source = _source(tmp_path / "old", "2026-11-21.md", body)
    assert rz("import", str(source)).exit_code == 0
    head = "---\ndate: 2026-11-21\ntags: []\n---\n\n"
    assert day_path(vault, date(2026, 11, 21)).read_text("utf-8") == head + body
    assert "已经收过" in rz("import", str(source)).output


def test_the_report_says_what_was_recognised(rz: Run, tmp_path: Path) -> None:
    text = BODY + "## 健身\n练背\n\n## attn_out 各头合并\n\n## 明日计划\n- [ ] 复习\n## 类型提示\n"
    source = _source(tmp_path / "old", "2026-11-20.md", text)
    (one,) = json.loads(rz("import", str(source), "--dry-run", "--json").stdout)
    assert one["sections"] == ["今日成果", "明日计划"] and one["todos"] == 1
    assert one["stubs"] == ["attention_mask", "attn_out 各头合并", "类型提示"]
    assert one["own"] == ["健身"]
    assert one["commands"][0] == "rizhi note attention-mask --title attention_mask"
    shown = rz("import", str(source), "--dry-run").stdout
    assert "可以收为 docs/daily/2026/2026-11-20.md" in shown and "健身" in shown


def test_what_could_have_been_rewritten_is_still_within_reach(rz: Run, tmp_path: Path) -> None:
    source = _source(tmp_path / "old", "2026-11-20.md", "话\n\n1、甲\n待办：乙\n")
    assert "  写着 → 的可以改写：加 --fix" in rz("import", str(source), "--dry-run").stdout
    assert "先 rizhi undo 退回来，再加 --fix" in rz("import", str(source)).stdout
    rz("undo")
    said = rz("import", str(source), "--fix", "条目").stdout
    assert "改写了 1 处" in said and "其余的原样留着" in said and "全文原样" not in said


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
    assert "2026-11-20.txt" in result.stdout and result.stderr == "没有改动任何文件。\n"
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


# ---- 别的软件里来的文件：案例 ----

CASES = Path(__file__).parents[1] / "cases" / "import"
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00"


def _reported(rz: Run, *arguments: str) -> list[tuple[int, str, str, str]]:
    """干跑一遍报告的每一处：第几行、种类、原文、改成什么。"""
    (one,) = json.loads(rz("import", *arguments, "--dry-run", "--json").stdout)
    return [(c["line"], c["kind"], c["text"], c["right"]) for c in one["findings"]]


def test_a_page_of_obsidian_is_reported_line_by_line_and_kept(
    rz: Run, vault: Vault, tmp_path: Path
) -> None:
    mask = _source(vault.notes / "attention", "mask.md", "---\ntitle: 注意力掩码\n---\n# 掩码\n")
    source = _source(tmp_path / "old", "周五.md", (CASES / "obsidian.md").read_bytes())
    found = _reported(rz, str(source), "--date", "2026-11-20")
    assert found == [
        (6, "链接", "[[注意力掩码|掩码]]", "[掩码](../../notes/attention/mask.md)"),
        (6, "链接", "[[RoPE]]", ""),
        (7, "高亮", "==重点==", "**重点**"),
        (7, "注释", "%%私下的话%%", "<!-- 私下的话 -->"),
        (8, "图片", "![[图 1.png]]", ""),
        (
            9,
            "提示框",
            "> [!tip] 提示 ⏎ > - [ ] 引用块里的",
            '!!! tip "提示" ⏎ - [ ] 引用块里的',
        ),
        (11, "待办", "- [/] 进行中", ""),
        (12, "待办", "- [>] 推迟", ""),
        (14, "块号", "^block1", "（删掉）"),
    ]
    assert rz("import", str(source), "--date", "2026-11-20").exit_code == 0
    page = Day(mask, day_path(vault, date(2026, 11, 20)).read_bytes().decode())
    body = source.read_bytes().decode()
    assert page.text.endswith(body[Day(mask, body).offset :])
    assert [(item.text, item.state) for item in page.todos] == [
        ("引用块里的", "open"),
        ("进行中", "open"),
        ("推迟", "open"),
    ]


def test_what_he_accepts_is_rewritten_and_nothing_else(
    rz: Run, vault: Vault, tmp_path: Path
) -> None:
    source = _source(tmp_path / "old", "周五.md", (CASES / "obsidian.md").read_bytes())
    arguments = (str(source), "--date", "2026-11-20", "--fix", "高亮", "--fix", "提示框")
    shown = rz("import", *arguments, "--dry-run").stdout
    assert "会改写 2 处" in shown and not day_path(vault, date(2026, 11, 20)).exists()
    shown = rz("import", *arguments).stdout
    assert "改写了 2 处" in shown and "%%私下的话%%：不想给人看的话" in shown
    text = day_path(vault, date(2026, 11, 20)).read_text("utf-8")
    assert (
        '- **重点** %%私下的话%%\n![[图 1.png]]\n!!! tip "提示"\n    - [ ] 引用块里的\n- [/] 进行中'
        in text
    )
    assert rz("import", *arguments).stdout.count("已经收过") == 1
    plain = rz("import", str(source), "--date", "2026-11-20", "--fix", "全部")
    assert plain.exit_code == 1 and "内容与" in plain.stdout  # 那一页是另一种改法


def test_a_kind_that_does_not_exist_is_a_usage_error(rz: Run, tmp_path: Path) -> None:
    source = _source(tmp_path / "old", "2026-11-20.md", "写了")
    result = rz("import", str(source), "--fix", "所有")
    assert result.exit_code == 2 and "全部、标题、条目" in result.stderr


def test_a_page_of_typora_has_its_day_in_the_front_matter(
    rz: Run, vault: Vault, tmp_path: Path
) -> None:
    source = _source(tmp_path / "old", "周四.md", (CASES / "typora.md").read_bytes())
    assert _reported(rz, str(source)) == [
        (11, "图片", r"![](C:\Users\me\Pictures\flow.png)", ""),
        (12, "图片", "![](/home/me/flow2.png)", ""),
    ]
    assert rz("import", str(source)).exit_code == 0
    text = day_path(vault, date(2026, 11, 19)).read_text("utf-8")
    front = Day(source, text).meta
    assert front["date"] == date(2026, 11, 19) and front["title"] == "周四"
    assert "# 原来写的是 2026/11/19 22:31:05" in text  # 写到几点几分的，没有丢


def test_text_from_word_is_offered_as_headings_and_items(
    rz: Run, vault: Vault, tmp_path: Path
) -> None:
    source = _source(tmp_path / "old", "word.txt", (CASES / "word.txt").read_bytes())
    assert _reported(rz, str(source)) == [
        (2, "标题", "一、今日成果", "## 一、今日成果"),
        (3, "条目", "1、写完了归一化", "1. 写完了归一化"),
        (4, "条目", "2、背 40 分钟", "2. 背 40 分钟"),
        (5, "标题", "二、思考", "## 二、思考"),
        (6, "条目", "（1）均方根不减均值", "1. 均方根不减均值"),
        (7, "标题", "今天有点累四、明天计划", "今天有点累 ⏎ ## 四、明天计划"),
        (8, "条目", "1、看论文", "1. 看论文"),
    ]
    path = day_path(vault, date(2026, 11, 18))
    assert rz("import", str(source)).exit_code == 0
    assert path.read_bytes().endswith(source.read_bytes())
    assert Day(path, path.read_text("utf-8")).items == ()
    path.unlink()
    assert rz("import", str(source), "--fix", "标题", "--fix", "条目").exit_code == 0
    page = Day(path, path.read_bytes().decode())
    assert [s.name for s in page.sections if s.level == 2] == ["今日成果", "思考", "四、明天计划"]
    assert [item.text for item in page.items] == [
        "写完了归一化",
        "背 40 分钟",
        "均方根不减均值",
        "看论文",
    ]


def test_a_date_inside_hexadecimal_is_no_date(rz: Run, tmp_path: Path) -> None:
    for name in ("8f20240131aa4c5d.md", "总结 8f20240131aa4c5d.md"):
        source = _source(tmp_path / "old", name, (CASES / "8f20240131aa4c5d.md").read_bytes())
        result = rz("import", str(source))
        assert result.exit_code == 1 and "看不出是哪一天" in result.stdout


# ---- 日期写在哪里 ----


@pytest.mark.parametrize(
    ("name", "text", "day"),
    [
        ("2026/11.19.md", "写了", "2026-11-19"),
        ("2025年/11月/11月19日 周三.md", "写了", "2025-11-19"),
        ("2026_11_19.md", "- 写了", "2026-11-19"),
        ("总结.md", "---\ncreated: 2026-11-19T22:31:05\n---\n写了", "2026-11-19"),
        ("总结.md", "\n２０２６年１１月１９日 周四\n写了", "2026-11-19"),
    ],
)
def test_names_that_people_give(
    rz: Run, vault: Vault, tmp_path: Path, name: str, text: str, day: str
) -> None:
    source = _source(tmp_path / "old", name, text)
    assert rz("import", str(source)).exit_code == 0
    assert day_path(vault, date.fromisoformat(day)).is_file()


def test_a_day_without_a_year_is_asked_for(rz: Run, tmp_path: Path) -> None:
    source = _source(tmp_path / "old", "11.19.md", "写了")
    result = rz("import", str(source))
    assert result.exit_code == 1 and "只写了 11.19" in result.stdout


def test_a_day_that_a_sentence_mentions_is_not_the_day(rz: Run, tmp_path: Path) -> None:
    source = _source(tmp_path / "old", "总结.md", "打算在 2026-11-01 之前写完\n")
    assert "看不出是哪一天" in rz("import", str(source)).stdout


# ---- 图片与链接 ----


def test_pictures_that_exist_are_copied_when_he_accepts(
    rz: Run, vault: Vault, tmp_path: Path
) -> None:
    folder = tmp_path / "库"
    (folder / ".obsidian").mkdir(parents=True)
    picture = _source(folder / "附件", "图 1.png", PICTURE)
    written = [
        "![[图 1.png|300]]",
        f"![x](<{picture}>)",
        r"![流程](C:\Users\Zhang San\图 1.png)",
        r'<img src="C:\pic\图 1.png" style="zoom:50%;" />',
        "![a](../附件/图%201.png)",
        "![远](https://x.y/z.png)",
    ]
    source = _source(folder / "日记", "2026-11-20.md", "\n\n".join(written) + "\n")
    path = day_path(vault, date(2026, 11, 20))
    assert rz("import", str(source)).exit_code == 0
    assert not (path.parent / "img").exists() and "![[图 1.png|300]]" in path.read_text("utf-8")
    path.unlink()
    shown = rz("import", str(source), "--fix", "图片").stdout
    (copied,) = (path.parent / "img").iterdir()
    assert copied.read_bytes() == PICTURE and f"复制了图片：{vault.relative(copied)}" in shown
    link = f"img/{copied.name}"
    assert Day(path, path.read_text("utf-8")).body.split("\n\n")[1:] == [
        f"![图 1]({link})",
        f"![x](<{link}>)",
        f"![流程]({link})",
        f'<img src="{link}" style="zoom:50%;" />',
        f"![a]({link})",
        "![远](https://x.y/z.png)\n",
    ]
    assert "会看错" not in shown and ".obsidian" not in shown


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("说明.pdf", b"%PDF", "不是 PNG"),
        ("空.png", b"", "是空的"),
        ("没有.png", None, "没有找到这张图片"),
    ],
)
def test_pictures_that_cannot_be_copied_are_said(
    rz: Run, vault: Vault, tmp_path: Path, name: str, data: bytes | None, why: str
) -> None:
    if data is not None:
        _source(tmp_path / "old", name, data)
    source = _source(tmp_path / "old", "2026-11-20.md", f"![图]({name})\n")
    shown = rz("import", str(source), "--fix", "全部").stdout
    assert why in shown and "改写了" not in shown and "复制了" not in shown
    assert f"![图]({name})" in day_path(vault, date(2026, 11, 20)).read_text("utf-8")


def test_a_device_is_no_picture(rz: Run, tmp_path: Path) -> None:
    source = _source(tmp_path / "old", "2026-11-20.md", "![零](/dev/zero)\n")
    assert "不是文件" in rz("import", str(source), "--dry-run").stdout


def test_links_between_imported_days_follow(rz: Run, vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    _source(folder, "2025年12月31日.md", "旧年最后一天\n")
    text = "[昨天](2025年12月31日.md#思考) [[2025-12-31]] [草稿](草稿.docx) [盘](D:/a.md)\n"
    source = _source(folder, "2026-01-01.md", text)
    _source(folder, "草稿.docx", b"x")
    shown = rz("import", str(folder), "--fix", "链接").stdout
    body = day_path(vault, date(2026, 1, 1)).read_text("utf-8")
    assert "[昨天](../2025/2025-12-31.md#思考) [2025-12-31](../2025/2025-12-31.md) [草稿]" in body
    assert "没有一同收进来" in shown and "那台机器上的文件" in shown
    assert source.read_text("utf-8") == text


def test_hidden_folders_of_other_tools_are_left_alone(rz: Run, tmp_path: Path) -> None:
    _source(tmp_path / "old/.trash", "2026-11-19.md", "删了的")
    _source(tmp_path / "old", "2026-11-20.md", "写了")
    assert "1 个文件：写了 1 天" in rz("import", str(tmp_path / "old")).stdout
