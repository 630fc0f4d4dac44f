import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.extraction.architecture.build import architecture_facts, facts_in_file
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml, documents
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS
from cortex_pipelines_tests.extraction.architecture.conftest import files_frame, units_frame

FactExtractor = Callable[..., pl.DataFrame]

# One whole file of each format; the properties cut, mix and repeat them.
WHOLE = yaml.safe_load((Path(__file__).parent / "formats.yaml").read_text(encoding="utf-8"))


def _facts(path: str, text: str, limits: ArchitectureSettings, parsing: ExtractionSettings) -> list[Fact]:
    return list(facts_in_file(SourceFile(path, language_of(path, text), text, limits, parsing)))


@given(path=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_any_text_gives_facts_on_lines_that_exist(architecture, parsing, path: str, data: st.DataObject) -> None:
    text = WHOLE[path]
    for _ in range(data.draw(st.integers(1, 3))):
        start, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
        other = WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))]
        noise = data.draw(st.text(st.sampled_from("\n\t\"'`()[]{}<>:;,.-=*&!#@/\\\0é\u2028"), max_size=9))
        text = text[:start] + data.draw(st.sampled_from([noise, other, ""])) + text[end:]
    changed = text
    for fact in _facts(path, changed, architecture, parsing):
        assert 1 <= fact.start_line <= fact.end_line <= changed.count("\n") + 1


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_each_format_states_something(architecture, parsing: ExtractionSettings, path: str) -> None:
    assert _facts(path, WHOLE[path], architecture, parsing)


BOMBS = {
    "aliases": "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(500)),
    "tags": "services: !!python/object/apply:os.system ['false']\n" * 20,
    "entities": "<!DOCTYPE a [<!ENTITY b 'cc'>]><project>" + "&b;" * 5000,
    "brackets": "[{" * 10_000,
    "indents": "\n".join(" " * level + "a:" for level in range(600)),
    "one line": "x" * 500_000,
    "blank lines": "\n" * 30_000,
    "nul": "\0\u2028\ufeff" * 5_000,
    "braces": "{" * 30_000,
    "dots": "require a.b/" + "a." * 20_000,
    "actions": "{{" * 30_000,
    "open tag": "<" + "a" * 60_000,
    "comments in a macro": "table! {" + "/// { { {\n" * 2_000,
    "heredocs": "RUN <<E\n" * 7_000,
    "quotes": "'\"`" * 10_000,
    "unclosed": "/*" * 10_000 + "CREATE TABLE a (" * 1_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_no_harm_in_any_format(architecture, parsing: ExtractionSettings, bomb: str) -> None:
    # what a language's parser does with garbage is tested where units are extracted
    for path in [path for path in WHOLE if not path.endswith((".py", ".js", ".ts", ".java", ".go", ".rs"))]:
        text = WHOLE[path] + BOMBS[bomb][:60_000]
        assert len(_facts(path, text, architecture, parsing)) <= architecture.max_facts_per_file


def test_an_alias_stays_a_name_and_a_tag_makes_nothing(architecture: ArchitectureSettings) -> None:
    (root,) = documents("a: &a [1, 2]\nb: *a\nc: !!python/name:os.system\nd: {<<: *a, e: f}\n", architecture)
    assert ([item.value for item in root.list("a")], root.scalar("b"), root.scalar("d", "e")) == (["1", "2"], "*a", "f")


def test_what_stands_before_a_broken_line_is_kept(architecture: ArchitectureSettings) -> None:
    (root,) = documents("a: 1\nb:\n  - x\n c: [\n", architecture)
    assert root.scalar("a") == "1"


@given(
    st.recursive(
        st.sampled_from(["x", "a b", "1", "true", ""]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
        max_leaves=12,
    )
)
def test_the_tree_holds_what_the_text_says(architecture: ArchitectureSettings, value: object) -> None:
    (root,) = documents(yaml.safe_dump({"top": value}), architecture)

    def plain(node: Yaml) -> object:
        if node.is_map:
            return {key: plain(inner) for key, _, inner in node.children()}
        return [plain(inner) for inner in node.items] if node.is_list else node.value

    assert plain(root) == {"top": value}


def test_large_files_and_many_facts_are_bounded(architecture, parsing: ExtractionSettings) -> None:
    few = architecture.model_copy(update={"max_facts_per_file": 3, "max_file_bytes": 200})
    text = "".join(f"CREATE TABLE t{n} (a int);\n" for n in range(4))
    assert (len(_facts("a.sql", text, few, parsing)), _facts("a.sql", text * 3, few, parsing)) == (3, [])
    (root,) = documents("a:\n  b:\n    c: d\n", architecture.model_copy(update={"max_yaml_depth": 2}))
    assert root.scalar("a", "b", "c") == ""


def test_generated_files_state_nothing(architecture: ArchitectureSettings, parsing: ExtractionSettings) -> None:
    files = files_frame({"a.sql": WHOLE["a.sql"], "b.sql": WHOLE["a.sql"]}, generated=("a.sql",))
    assert set(architecture_facts(files, units_frame(files), architecture, parsing)["path"]) == {"b.sql"}


def test_the_cache_changes_nothing_but_the_work(extract_facts: FactExtractor, tmp_path: Path) -> None:
    texts = dict(WHOLE)
    cache = RowCache(tmp_path, "1")
    fresh = extract_facts(texts)
    assert extract_facts(texts, cache).equals(fresh)
    assert extract_facts(texts, cache).equals(fresh)
    texts["a.sql"] += "CREATE TABLE more (x int);\n"
    texts["moved/a.rs"] = texts.pop("a.rs")
    changed = extract_facts(texts)
    assert extract_facts(texts, cache).equals(changed)
    assert not changed.equals(fresh)


def test_routers_mounted_everywhere_and_deep_folders_are_bounded(extract_facts: FactExtractor) -> None:
    names = [f"r{n}" for n in range(30)]
    lines = ["const { Router } = require('express');", *(f"const {n} = Router();" for n in names)]
    lines += [f"{a}.use('/', {b});" for a in names for b in names] + ["r1.get('/x', h);"]
    deep = "/".join(["d"] * 1500)
    facts = extract_facts({"a.js": "\n".join(lines), f"{deep}/a.py": "import os\n", "package.json": "{}"})
    assert 1 <= facts.filter(pl.col("fact") == "route").height <= 4
    assert facts.filter(pl.col("path").str.starts_with("d/")).height == 2


def test_the_order_of_files_does_not_matter(extract_facts: FactExtractor) -> None:
    paths = sorted(WHOLE)
    random.Random(3).shuffle(paths)
    assert extract_facts({path: WHOLE[path] for path in paths}).equals(extract_facts(WHOLE))


def test_the_table_keeps_its_contract_without_files_or_facts(extract_facts: FactExtractor) -> None:
    assert extract_facts({}).equals(ARCHITECTURE_FACTS.empty())
    assert extract_facts({"notes.txt": "nothing"}).equals(ARCHITECTURE_FACTS.empty())
    facts = extract_facts(WHOLE)
    assert facts.equals(ARCHITECTURE_FACTS.conform(facts))
