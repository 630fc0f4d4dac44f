"""A unit and its closest test: on the side of the test's file, and known to nothing in train."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.datasets import assets
from cortex_pipelines.datasets.assemble.build import ProjectUnits
from cortex_pipelines.datasets.assemble.selection import RowRules
from cortex_pipelines.datasets.decontamination import fingerprints_of
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.paired_tests import (
    card_notes,
    common_words,
    dedent_code,
    group_names,
    named_words,
    paired_test_tables,
)
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.retrieval.graph.build import GraphTables, code_graph
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.datasets import TESTS_DATASET, UNIT_SPLITS
from cortex_pipelines.schemas.extraction import TEST_CASES
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import sections

MakeFrame = Callable[[Any], pl.DataFrame]
Tables = dict[str, pl.DataFrame]
WORDS = ("crate", "letter", "basket", "wagon", "bottle", "lantern")
SOURCE = "directory:example"


def _code(word: str, number: int) -> str:
    return (
        f"def pack_{word}({word}, limit):\n    while {word}.size_{number} > limit:\n"
        f"        {word}.shrink_{word}(limit * {number})\n    return {word}.total_{word}\n"
    )


def _test(word: str, number: int) -> str:
    return (
        f"from shop.pack_{word} import pack_{word}\n\n\nclass Test{word.title()}:\n"
        f"    def test_pack_{word}_of_{number}(self, {word}_maker):\n"
        f"        made = {word}_maker(size_{number}={number + 5})\n"
        f'        assert pack_{word}(made, {number}) == "{word} {number}"\n\n'
        f"        assert made.shrunk_{word} == [{number}]\n"
    )


@dataclass(frozen=True)
class Paired:
    """A project with a test for each function."""

    project: ProjectUnits
    units: pl.DataFrame
    cases: pl.DataFrame
    edges: pl.DataFrame
    files: pl.DataFrame

    def tables(self, settings: DatasetSettings, *benchmarks: Any, **changes: Any) -> Tables:
        """The data set, with each file on the side that is given for it."""
        splits: dict[str, str | None] = changes.pop("splits", {})
        other = replace(self, **changes)
        project = other.project
        if splits:
            split = pl.col("path").replace_strict(splits, default="train", return_dtype=pl.String)
            reason = pl.format("here: {}", split)
            split_columns = [split.alias("split"), reason.alias("split_reason")]
            project = replace(
                project,
                units=project.units.with_columns(split_columns),
                splits=project.splits.with_columns(*split_columns, cluster=pl.coalesce("cluster", "unit_id")),
                rules=RowRules(),
            )
        return paired_test_tables(project, other.cases, other.edges, other.files, benchmarks, settings)


@pytest.fixture(scope="module")
def paired(
    make_files: MakeFrame, make_units: MakeFrame, project_maker: Callable[..., Any], settings: DatasetSettings
) -> Paired:
    texts = {f"shop/pack_{word}.py": _code(word, number) for number, word in enumerate(WORDS)}
    texts |= {f"tests/test_{word}.py": _test(word, number) for number, word in enumerate(WORDS)}
    files = make_files(texts)
    units = make_units(files)
    parameters = sections()
    extraction = ExtractionSettings(**parameters["extraction"])
    architecture = ArchitectureSettings(**parameters["architecture"])
    cases = extract(files, extraction, "", None).tests
    facts = architecture_facts(files, units, architecture, extraction)
    inputs = GraphTables(files, units, cases, facts, REPOSITORY_COMMITS.empty())
    edges = code_graph(inputs, architecture, extraction)
    return Paired(project_maker(units, files, settings).inputs, units, cases, edges, files)


def test_a_unit_is_shown_and_its_test_asked_for_in_a_named_file(paired: Paired, settings: DatasetSettings) -> None:
    tables = paired.tables(settings, splits={"tests/test_letter.py": "test"})
    assert [tables[split].height for split in SPLITS] == [len(WORDS) - 1, 0, 1]
    (row,) = tables["test"].iter_rows(named=True)
    code = _code("letter", 1)
    assert row["prompt"] == (f"# shop/pack_letter.py\n{code}\n# Its test, in tests/test_letter.py:\n")
    assert row["completion"] == (
        "def test_pack_letter_of_1(self, letter_maker):\n"
        "    made = letter_maker(size_1=6)\n"
        '    assert pack_letter(made, 1) == "letter 1"\n\n'
        "    assert made.shrunk_letter == [1]"
    )
    assert (row["path"], row["kind"]) == ("tests/test_letter.py", "function")
    assert row["test_id"] in set(paired.cases["unit_id"])
    for table in TESTS_DATASET:
        assert tables[table.name].equals(table.conform(tables[table.name]))


SIDES = st.sampled_from(["train", "train", "validation", "test"])


@hypothesis_settings(max_examples=10)
@given(path_splits=st.tuples(*[SIDES] * (2 * len(WORDS))))
def test_no_answer_is_known_and_no_held_out_unit_is_shown_in_train(
    paired: Paired, settings: DatasetSettings, path_splits: tuple[str, ...]
) -> None:
    """Whatever the sides: the test decides, the unit is in train or on its side."""
    paths = [f"shop/pack_{word}.py" for word in WORDS] + [f"tests/test_{w}.py" for w in WORDS]
    split_by_path = dict(zip(paths, path_splits, strict=True))
    tables = paired.tables(settings, splits=split_by_path)
    path_of = dict(paired.units.select("unit_id", "path").iter_rows())
    for split in SPLITS:
        for row in tables[split].iter_rows(named=True):
            unit = split_by_path[path_of[row["unit_id"]]]
            assert split_by_path[row["path"]] == split
            assert unit == split or (unit == "train" and split != "train")
    left_out = {
        row["unit_id"]: row["left_out"] for row in tables["manifest"].drop_nulls("left_out").iter_rows(named=True)
    }
    for word in WORDS:
        unit, test = split_by_path[f"shop/pack_{word}.py"], split_by_path[f"tests/test_{word}.py"]
        name = paired.units.filter(pl.col("name") == f"pack_{word}", pl.col("kind") == "function")
        expected = None if unit in ("train", test) else "tests_on_another_side"
        reason = left_out.get(name["unit_id"].item())
        assert reason == expected or (expected is None and reason == "sample"), "the mix leaves out some rows of tests"


def test_a_test_that_may_not_be_trained_on_is_left_out(paired: Paired, settings: DatasetSettings) -> None:
    first = pl.col("path") == "tests/test_crate.py"
    is_crate = pl.when(first)
    for changed, reason in (
        ({"files": paired.files.with_columns(is_crate.then(False).otherwise("trainable")
                                             .alias("trainable"))}, "licence"),
        ({"files": paired.files.with_columns(is_crate.then(True).otherwise("generated")
                                             .alias("generated"))}, "generated"),
        ({"cases": paired.cases.with_columns(is_crate.then(pl.lit("x()")).otherwise("code")
                                             .alias("code"))}, "body_size"),
    ):  # fmt: skip
        manifest = paired.tables(settings, splits={"": "train"}, **changed)["manifest"]
        assert manifest["left_out"].drop_nulls().to_list() == [reason]
    code = paired.cases.filter(pl.col("path") == "tests/test_crate.py")["code"].item()
    benchmark = fingerprints_of([code], settings.contamination_tokens, settings.contamination_share)
    manifest = paired.tables(settings, benchmark, splits={"": "train"})["manifest"]
    assert manifest["left_out"].drop_nulls().to_list() == ["contaminated"]
    crate = paired.cases.filter(pl.col("path") == "tests/test_crate.py")
    inner = crate.with_columns(pl.lit("inner").alias("unit_id"), pl.col("start_line") + 1, pl.col("end_line") - 1)
    of_inner = pl.col("from_path") == "tests/test_crate.py"
    lines = {name: pl.when(of_inner).then(inner[name].item()) for name in ("start_line", "end_line")}
    manifest = paired.tables(
        settings,
        splits={"": "train"},
        cases=pl.concat([paired.cases, inner]),
        edges=paired.edges.with_columns(
            chosen.otherwise(f"from_{name}").alias(f"from_{name}") for name, chosen in lines.items()
        ),
    )["manifest"]
    assert manifest["left_out"].drop_nulls().to_list() == ["tests_nested"]


def test_the_closest_test_that_may_be_asked_for_is_taken(paired: Paired, settings: DatasetSettings) -> None:
    ids = dict(paired.cases.select("path", "unit_id").iter_rows())
    own, other = "tests/test_crate.py", "tests/test_letter.py"
    of_tests = paired.edges.filter(pl.col("relation") == "tests")
    crate = of_tests.filter(pl.col("from_path") == own).select(pl.col("^to_.*$"))
    of_other = of_tests.filter(pl.col("from_path") == other).with_columns(crate)
    edges = pl.concat([paired.edges.filter(pl.col("from_path") != other), of_other])
    for unit, named_after, closest in (("train", "train", own), ("test", "train", other)):
        splits = {"shop/pack_crate.py": unit, own: named_after, other: "test"}
        tables = paired.tables(settings, edges=edges, splits=splits)
        rows = tables[splits[closest]].filter(pl.col("prompt").str.contains("# shop/pack_crate.py"))
        assert rows["test_id"].to_list() == [ids[closest]]


def test_a_test_that_calls_a_unit_among_many_is_not_its_test(paired: Paired, settings: DatasetSettings) -> None:
    of_tests = paired.edges.filter(pl.col("relation") == "tests")
    crate = of_tests.filter(pl.col("from_path") == "tests/test_crate.py")
    ends = crate.select(pl.col("^from_.*$")).row(0, named=True)
    others = of_tests.filter(pl.col("from_path") != "tests/test_crate.py")
    others = others.with_columns(pl.lit(value, others.schema[name]).alias(name) for name, value in ends.items())
    tables = paired.tables(settings, edges=pl.concat([crate, others]), splits={"": "train"})
    left_out = tables["manifest"].filter(left_out="unanswerable_test")
    assert left_out.height == len(WORDS) - 1
    assert left_out.select("source", "path", "start_byte").null_count().row(0) == (0, 0, 0)


@pytest.mark.parametrize(
    ("line", "name", "is_about"),
    [
        ("made.clients", "test_that_all_is_well", True),
        ('client.get(f"{URL}/crates")', "test_that_all_is_well", False),
        ('self.client.post("/crates", {})', "test_pack_crate_of_1", True),
        ('mvc.perform(post("/crates"))', "shouldBeWell", False),
    ],
)
def test_a_test_that_sends_a_request_is_about_what_is_named(
    line: str, name: str, is_about: bool, paired: Paired, settings: DatasetSettings
) -> None:
    is_crate = pl.when(pl.col("path") == "tests/test_crate.py")
    cases = paired.cases.with_columns(
        is_crate.then(pl.lit(name)).otherwise("name").alias("name"),
        is_crate.then(pl.col("code") + f"\n    {line}").otherwise("code").alias("code"),
    )
    train = paired.tables(settings, cases=cases, splits={"": "train"})["train"]
    assert train["prompt"].str.starts_with("# shop/pack_crate.py").any() == is_about


@pytest.mark.parametrize(
    ("file", "is_about"), [("LetterTest.py", False), ("Letter.spec.py", False), ("LidTest.py", True)]
)
def test_a_test_named_after_a_type_is_not_about_what_else_it_calls(
    file: str, is_about: bool, paired: Paired, settings: DatasetSettings
) -> None:
    crate, path = "tests/test_crate.py", f"tests/{file}"
    is_letter = pl.when(path="shop/pack_letter.py")
    letter = {"kind": "class", "name": "Letter"}
    units = paired.project.units.with_columns(
        is_letter.then(pl.lit(value)).otherwise(column).alias(column) for column, value in letter.items()
    )
    texts = {(source, path if name == crate else name): text for (source, name), text in paired.project.texts.items()}
    tables = paired.tables(
        settings,
        project=replace(paired.project, units=units, texts=texts),
        cases=paired.cases.with_columns(pl.col("path").replace(crate, path), name=pl.lit("test_that_all_is_well")),
        edges=paired.edges.with_columns(pl.col("from_path").replace(crate, path)),
        files=paired.files.with_columns(pl.col("path").replace(crate, path)),
        splits={"": "train"},
    )
    assert tables["train"]["prompt"].str.starts_with("# shop/pack_crate.py").any() == is_about


def test_a_function_without_a_body_has_no_test(paired: Paired, settings: DatasetSettings) -> None:
    body = pl.when(pl.col("name") != "pack_crate").then("body_start_byte").alias("body_start_byte")
    project = replace(paired.project, units=paired.project.units.with_columns(body))
    tables = paired.tables(settings, project=project, splits={"": "train"})
    shown = {prompt.partition("\n")[0] for prompt in tables["train"]["prompt"]}
    assert shown == {f"# shop/pack_{word}.py" for word in WORDS} - {"# shop/pack_crate.py"}
    assert tables["manifest"]["left_out"].drop_nulls().to_list() == ["unanswerable_test"]


def test_a_struct_that_is_made_for_a_call_is_not_what_is_tested(paired: Paired, settings: DatasetSettings) -> None:
    is_letter = pl.col("to_path") == "shop/pack_letter.py"
    own = paired.edges.filter(pl.col("relation") == "tests", pl.col("from_path") == "tests/test_crate.py")
    letter = paired.edges.filter(pl.col("relation") == "tests", is_letter).select(pl.col("^to_.*$"))
    cases = paired.cases.with_columns(name=pl.lit("test_pack_letter"))
    for kind, shown in (("struct", "crate"), ("function", "letter")):
        made = own.with_columns(letter).with_columns(to_kind=pl.lit(kind))
        kinds = pl.when(path="shop/pack_letter.py").then(pl.lit(kind)).otherwise("kind")
        units = paired.project.units.with_columns(kind=kinds)
        project = replace(paired.project, units=units)
        tables = paired.tables(
            settings, project=project, cases=cases, edges=pl.concat([own, made]), splits={"": "train"}
        )
        assert tables["train"]["prompt"].str.contains(f"def pack_{shown}(", literal=True).to_list() == [True]


@pytest.mark.parametrize(
    ("name", "test_name", "words"),
    [
        ("Path", "TestUseEncodedPath", 1),
        ("UseEncodedPath", "TestUseEncodedPath", 3),
        ("sign", "test_signer", 0),
        ("ltrim", "testRtrim", 0),
        ("normalizeOptions", "should normalize options of text", 2),
        ("HTTPError", "HTTPError is thrown", 2),
        ("base64_decode", "test_base64_bad", 0),
        ("_", "test__of_it", 0),
    ],
)
def test_a_test_is_named_after_a_unit_by_whole_words(name: str, test_name: str, words: int) -> None:
    assert common_words(name, test_name) == words


@pytest.mark.parametrize(
    ("qualified_name", "test_name", "test_path", "words"),
    [
        ("splitAtom", "removes an item", "tests/splitAtom.test.tsx", 1.5),
        ("atom", "removes an atom", "tests/splitAtom.test.tsx", 1),
        ("split_path", "test_root", "tests/test_split_path.py", 1.5),
        ("split", "test_root", "tests/test_split_path.py", 0),
        ("Shop", "adds", "src/test/java/ShopTest.java", 0.5),
        ("Shop.add", "add", "src/test/java/ShopTest.java", 1),
        ("Client.auth", "test_root", "tests/test_auth.py", 0),
    ],
)
def test_a_test_is_of_what_its_file_is_named_after_unless_its_own_name_says_more(
    qualified_name: str, test_name: str, test_path: str, words: float
) -> None:
    assert named_words(qualified_name, qualified_name.rpartition(".")[2], test_name, test_path) == words


@pytest.mark.parametrize("word", ["crate", "letter"])
def test_a_test_is_the_answer_of_the_unit_with_the_longest_name_in_it_and_its_type(
    word: str, paired: Paired, settings: DatasetSettings
) -> None:
    crate = pl.col("path") == "tests/test_crate.py"
    named = pl.when(crate).then(pl.lit("test_pack_crate_and_pack_letter")).otherwise("name").alias("name")
    of_tests = paired.edges.filter(pl.col("relation") == "tests")
    own = of_tests.filter(pl.col("from_path") == "tests/test_crate.py")
    letter = of_tests.filter(pl.col("from_path") == "tests/test_letter.py").select(pl.col("^to_.*$"))
    owned = pl.col("to_name").replace(f"pack_{word}", f"shop.Pack.pack_{word}")
    edges = pl.concat([own, own.with_columns(letter)]).with_columns(owned)
    cases = paired.cases.with_columns(named)
    tables = paired.tables(settings, cases=cases, edges=edges, splits={"": "train"})
    (prompt,) = tables["train"]["prompt"]
    assert f"def pack_{word}(" in prompt


@pytest.mark.parametrize(
    ("code", "indent", "dedented"),
    [
        ("def f():\n    return 1", "", "def f():\n    return 1"),
        ("def f():\n        return 1\n\n  # odd", "    ", "def f():\n    return 1\n\n  # odd"),
        ("it('x', () => {\n\t\tf();\n\t})", "\t", "it('x', () => {\n\tf();\n})"),
    ],
)
def test_a_test_is_moved_to_the_margin(code: str, indent: str, dedented: str) -> None:
    assert dedent_code(code, indent) == dedented


@pytest.mark.parametrize("tested", [True, False])
def test_the_asset_gives_these_tables_and_says_where_there_is_nothing(
    paired: Paired, settings: DatasetSettings, tmp_path: Path, tested: bool
) -> None:
    inputs = {
        "annotated": {ANNOTATED_UNITS: paired.units},
        "code": {TEST_CASES: paired.cases if tested else TEST_CASES.empty()},
        "graph": {CODE_GRAPH: paired.edges},
        "files": {REPOSITORY_FILES: paired.files, REDACTIONS: REDACTIONS.empty()},
        "splits": {UNIT_SPLITS: UNIT_SPLITS.conform(paired.project.splits)},
        "out": {},
    }
    for folder, frames in inputs.items():
        (tmp_path / folder).mkdir()
        for table, frame in frames.items():
            frame.write_parquet(tmp_path / folder / f"{table.name}.parquet")
    read = (tmp_path / folder for folder in ("annotated", "code", "graph", "files", "splits"))
    tables = assets.tests_dataset(*(*read, settings, tmp_path, tmp_path / "out"), RowCache(tmp_path / "cache", "v"))
    card = (tmp_path / "out" / "card.md").read_text()
    assert card_notes(tables)[0] in card
    if tested:
        again = paired.tables(settings)
        assert all(tables[name].equals(frame) for name, frame in again.items())
        assert sum(tables[split].height for split in SPLITS) > 0
    else:
        assert [tables[split].height for split in SPLITS] == [0, 0, 0]
        assert tables["manifest"]["left_out"].to_list() == ["tests_none"]
        assert "no test case was paired" in card


def test_a_case_is_called_after_the_groups_around_it() -> None:
    text = (
        b"describe('cart', () => {\n  describe.each(prices)(`of %s`, f);\n  describe(\"total\", () => {\n"
        b"    it('adds', f);\n  });\n  describe('rest', () => {});\n  it('is empty', f);\n});\nit('stands alone', f);\n"
    )
    assert group_names(text, text.index(b"it('adds")) == ["cart", "total"]
    assert group_names(text, text.index(b"it('is empty")) == ["cart"]
    assert group_names(text, text.index(b"it('stands")) == []
