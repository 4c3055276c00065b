"""笔记的检验抓得住什么：把 `source` 围栏显示的每个符号改坏，再跑那一篇的片段。

没有一格变红的突变写在 `survivors.toml` 里，这张名单只许变短。补了检验、改了 llm，用
`python -m tests.test_survivors [笔记…]` 重量，再看 git diff 对不对。
"""

import json
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import pytest

from rizhi.markdown.outline import fences
from rizhi.page import Note, read_notes
from rizhi.recall.mutants import Mutant, chosen, mutants, stubs
from rizhi.snippets.cells import CellOutput
from rizhi.snippets.compare import compare
from rizhi.snippets.run import Run, run
from rizhi.snippets.source import module_file
from rizhi.vault import Vault, find_vault, module_of
from tests import vaults

VAULT = find_vault(vaults.ROOT)
LIST = Path(__file__).with_name("survivors.toml")
MOST = 10  # 一个符号至多改几处
AT_ONCE = 2
SECONDS = 120.0  # 机器再忙，也不把慢当成抓住
HEAD = """\
# 改坏了 llm、笔记的片段却没有一格变红的突变：由 python -m tests.test_survivors 写出，只许变短。
# 「整个换成 raise」是这一篇没有调用过它，里面的突变就不逐处列了。
# [equivalent] 由人写：改了结果也一样的突变，与为什么。
"""

Survivors = dict[str, list[str]]  # 符号 → 没有抓住的突变


@dataclass(frozen=True)
class Job:
    """要试的一处：哪个符号、在哪个文件里、改成什么。"""

    symbol: str
    path: Path  # 相对于知识库
    mutant: Mutant


class Bench:
    """几份知识库的拷贝，轮流用：一份一次只带一处突变。"""

    def __init__(self, vault: Vault, folder: Path) -> None:
        self.vault, self.ready = vault, SimpleQueue[Vault]()
        for number in range(AT_ONCE):
            root = folder / str(number)
            for name in (vault.source, "snippets"):
                skip = shutil.ignore_patterns("__pycache__", "outputs")
                shutil.copytree(vault.root / name, root / name, ignore=skip)
            shutil.copy(vault.root / "pyproject.toml", root)
            self.ready.put(find_vault(root))

    def sound(self, module: str) -> Run:
        """一处也不改，跑一个片段。

        异常：它自己就红，抛 AssertionError。
        """
        with self._vault() as vault:
            got = run(vault, vault.snippets / f"{module}.py", SECONDS)
        assert not got.error, f"一处也没改，snippets/{module}.py 就红了：{got.error}"
        return got

    def survivors(self, sound: Run, jobs: list[Job]) -> list[Job]:
        """片段抓不住的几处，次序不变。"""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            alive = pool.map(partial(self._survives, sound), jobs)
            return [job for job, survives in zip(jobs, alive, strict=True) if survives]

    def _survives(self, sound: Run, job: Job) -> bool:
        expected = {output.title: output for output in sound.outputs}

        def red(output: CellOutput) -> bool:
            return bool(output.error or compare(expected[output.title], output))

        with self._vault() as vault:
            path = vault.root / job.path
            source = path.read_bytes()
            path.write_text(job.mutant.source, "utf-8")
            try:
                got = run(vault, vault.snippets / f"{sound.module}.py", SECONDS, red)
            finally:
                path.write_bytes(source)
        return not got.fault and not any(map(red, got.outputs))

    @contextmanager
    def _vault(self) -> Iterator[Vault]:
        vault = self.ready.get()
        try:
            yield vault
        finally:
            self.ready.put(vault)


def shown(vault: Vault = VAULT) -> dict[str, tuple[Note, list[str]]]:
    """写完的笔记 → 它的 `source` 围栏显示的符号。"""
    found = {}
    for note in read_notes(vault):
        lines = [fence.lines for fence in fences(note.document) if fence.lang == "source"]
        named = (text.partition("#")[0].strip() for part in lines for _, text in part)
        symbols = dict.fromkeys(filter(None, named))
        if symbols and not note.draft:
            found[note.slug] = note, list(symbols)
    return found


def jobs_of(vault: Vault, symbol: str) -> tuple[list[Job], list[Job]]:
    """一个符号的：函数体整个换掉的，与一处一处改的全部。"""
    module, _, name = symbol.partition(":")
    path = module_file(vault, module)
    text = path.read_text("utf-8")
    place = path.relative_to(vault.root)
    made = [[Job(symbol, place, m) for m in make(text, name)] for make in (stubs, mutants)]
    return made[0], made[1]


def measure(bench: Bench, note: Note, symbols: list[str]) -> tuple[Survivors, int]:
    """一篇笔记抓不住的突变，与一共试了几处；没有调用过的函数，里面的不必再试。

    异常：一处也不改，这一篇就红；或 [equivalent] 里的有一处红了，抛 AssertionError。
    """
    sound = bench.sound(note.snippet or module_of(note.slug))
    made = [jobs_of(bench.vault, symbol) for symbol in symbols]
    whole = [job for stubbed, _ in made for job in stubbed]
    uncalled = bench.survivors(sound, whole)
    dead = {(job.symbol, job.mutant.function) for job in uncalled}
    rest = []
    for _, jobs in made:
        live = {j.mutant: j for j in jobs if (j.symbol, j.mutant.function) not in dead}
        rest += [live[mutant] for mutant in chosen(list(live), MOST)]
    alive = [*uncalled, *bench.survivors(sound, rest)]
    same = [job for job in rest if job.mutant.text in listed().equivalent.get(job.symbol, {})]
    seen = [job.mutant.text for job in same if job not in alive]
    assert not seen, f"{note.slug}：[equivalent] 说这几处改了结果也一样，这里却红了：{seen}"
    found = {
        symbol: [job.mutant.text for job in alive if job.symbol == symbol and job not in same]
        for symbol in symbols
    }
    return {symbol: texts for symbol, texts in found.items() if texts}, len(whole) + len(rest)


@dataclass(frozen=True)
class Listed:
    """名单：笔记 → 符号 → 没有抓住的突变；符号 → 等价的突变 → 为什么。"""

    survivors: Mapping[str, Survivors]
    equivalent: Mapping[str, Mapping[str, str]]


@cache
def listed() -> Listed:
    """读名单。"""
    data = tomllib.loads(LIST.read_text("utf-8"))
    return Listed(data.get("survivors", {}), data.get("equivalent", {}))


def written(names: Listed) -> str:
    """名单写成文字；突变里的引号多，用 JSON 的写法，TOML 也认得。"""
    quoted = partial(json.dumps, ensure_ascii=False)
    lines = [HEAD]
    for slug, found in sorted(names.survivors.items()):
        lines.append(f"[survivors.{slug}]")
        for symbol, texts in found.items():
            lines += [f"{quoted(symbol)} = [", *(f"    {quoted(text)}," for text in texts), "]"]
        lines.append("")
    for symbol, reasons in sorted(names.equivalent.items()):
        lines.append(f"[equivalent.{quoted(symbol)}]")
        lines += [f"{quoted(text)} = {quoted(why)}" for text, why in reasons.items()]
        lines.append("")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(VAULT, tmp_path_factory.mktemp("mutated"))


SHAPE_ONLY = """# %% 形状
from llm.model import attention_mask

print(tuple(attention_mask(4).shape))
"""


def test_what_no_cell_looks_at_comes_through(tmp_path: Path) -> None:
    vault = find_vault(vaults.make(tmp_path / "vault"))
    note, symbols = shown(vault)["attention-mask"]
    (vault.snippets / "attention_mask.py").write_text(SHAPE_ONLY, "utf-8")
    found, _ = measure(Bench(vault, tmp_path), note, [*symbols, "llm.model:RMSNorm"])
    (through,) = (found[symbol] for symbol in symbols)
    assert "causal = (key «<= → <» query)[None, None]" in through
    assert "key = torch.arange(past «+ → -» T)" not in through
    # 没有用到的，只说整个没有用到
    assert found["llm.model:RMSNorm"] == [
        f"RMSNorm.{name} 整个换成 raise" for name in ("__init__", "forward")
    ]


def test_what_a_cell_compares_is_caught(tmp_path: Path) -> None:
    vault = find_vault(vaults.make(tmp_path / "vault"))
    assert measure(Bench(vault, tmp_path), *shown(vault)["attention-mask"])[0] == {}


def test_a_snippet_that_is_red_by_itself_is_no_measure(tmp_path: Path) -> None:
    vault = find_vault(vaults.make(tmp_path / "vault"))
    note, symbols = shown(vault)["attention-mask"]
    (vault.snippets / "attention_mask.py").write_text("# %% 坏\nassert False\n", "utf-8")
    with pytest.raises(AssertionError, match=r"一处也没改，.*就红了"):
        measure(Bench(vault, tmp_path), note, symbols)


def test_the_list_reads_back_as_it_was_written() -> None:
    assert tomllib.loads(written(listed())) == tomllib.loads(LIST.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("slug", shown())
def test_what_a_note_lets_through_is_on_the_list(slug: str, bench: Bench) -> None:
    found, _ = measure(bench, *shown()[slug])
    known = _pairs(listed().survivors.get(slug, {}))
    through = [pair for pair in _pairs(found) if pair not in known]
    assert not through, f"改坏了没有一格变红，补一格检验：{through}"
    caught = [pair for pair in known if pair not in _pairs(found)]
    assert not caught, f"已经抓得住（或没有这一处了），从 survivors.toml 里删掉：{caught}"


@pytest.mark.slow
def test_the_list_names_only_what_exists() -> None:
    assert set(listed().survivors) <= set(shown())
    for symbol, reasons in listed().equivalent.items():
        made = {job.mutant.text for job in jobs_of(VAULT, symbol)[1]}
        assert [text for text in reasons if text not in made] == [], symbol
        assert all(reasons.values()), symbol


def _pairs(found: Survivors) -> list[tuple[str, str]]:
    return [(symbol, text) for symbol, texts in found.items() for text in texts]


def main(slugs: list[str]) -> None:
    """重量点名的几篇（不点名就是全部），写名单；一篇一行，说这一篇的名单长了还是短了。"""
    notes = shown()
    slugs = slugs or list(notes)
    survivors = {slug: found for slug, found in listed().survivors.items() if slug in notes}
    with TemporaryDirectory() as folder:
        bench = Bench(VAULT, Path(folder))
        for number, slug in enumerate(slugs, 1):
            start = time.monotonic()
            try:
                found, tried = measure(bench, *notes[slug])
            except AssertionError as error:
                print(f"[{number}/{len(slugs)}] {error}", flush=True)
                continue
            old, new = _pairs(survivors.get(slug, {})), _pairs(found)
            more, fewer = (len(set(a) - set(b)) for a, b in ((new, old), (old, new)))
            print(
                f"[{number}/{len(slugs)}] {slug}：试了 {tried} 处，没有抓住 {len(new)} 处"
                f"（多 {more}、少 {fewer}），{time.monotonic() - start:.0f} 秒",
                flush=True,
            )
            survivors[slug] = found
            kept = {name: texts for name, texts in survivors.items() if texts}
            LIST.write_text(written(Listed(kept, listed().equivalent)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
