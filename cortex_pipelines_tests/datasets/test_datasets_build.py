"""From units to tables: split before augmentation, nothing leaks, same input same bytes."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.annotation.fixes.build import SmellFix
from cortex_pipelines.augmentation.augment import augmented
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.assemble.build import completion_tables, naming_tables
from cortex_pipelines.datasets.assemble.selection import RowRules, require_no_leakage, select_rows, with_streams
from cortex_pipelines.datasets.assets import completion_dataset, naming_dataset, refactoring_dataset, unit_splits
from cortex_pipelines.datasets.decontamination import fingerprints_of
from cortex_pipelines.datasets.dedup.shingles import jaccard, shingles
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED, texts_to_compare
from cortex_pipelines.datasets.mix import distance
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import DatasetError
from cortex_pipelines.datasets.splitting.unit_splits import split_units
from cortex_pipelines.datasets.tasks.changes import PATTERN_ROWS, REVIEW_ROWS
from cortex_pipelines.datasets.tasks.refactoring import cached_fixes, pair_candidates, refactoring_tables
from cortex_pipelines.extraction.test_cases import tests_beside_code
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET, NAMING_DATASET, PERSON, REFACTORING_DATASET
from cortex_pipelines.schemas.expectations import profile, validate
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.schemas.ingestion import LINE_TIMES, REDACTIONS, REPOSITORY_COMMITS
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import sections

MakeFrame = Callable[[Any], pl.DataFrame]
Tables = dict[str, pl.DataFrame]
DATA_SETS = {
    "completion_dataset": COMPLETION_DATASET,
    "naming_dataset": NAMING_DATASET,
    "refactoring_dataset": REFACTORING_DATASET,
}
RENAMED = re.compile(r"\b(collect|render|archive|compare|publish)ed\b")


@pytest.fixture(scope="module")
def renamed(units: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "unit_id": unit["unit_id"],
            "variant": 0,
            "language": unit["language"],
            "renamed_code": RENAMED.sub("shown_entries", unit["code"]),
            "renames": [f"{match[0]}=shown_entries"],
        }
        for unit in units.filter(pl.col("kind") == "method").iter_rows(named=True)
        if (match := RENAMED.search(unit["code"]))
    ]
    return RENAMED_UNITS.frame(rows)


@pytest.fixture(scope="module")
def rewritten(units: pl.DataFrame, augmentation: AugmentationSettings) -> pl.DataFrame:
    return augmented(REWRITTEN_UNITS, units, augmentation)


@pytest.fixture(scope="module")
def errors(units: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "mutant_id": unit["unit_id"],
            "unit_id": unit["unit_id"],
            "language": unit["language"],
            "operator": "comparison",
            "error_type": "operator",
            "buggy_code": unit["code"].replace(">", "<"),
            "fixed_code": unit["code"],
            "explanation": "The comparison is turned around.",
            "verification": ["reparses"],
        }
        for unit in units.filter(pl.col("kind") == "method").iter_rows(named=True)
        if ">" in unit["code"]
    ]
    error_columns = [column.name for column in INJECTED_ERRORS.columns]
    return pl.DataFrame(rows).select(error_columns)


@pytest.fixture(scope="module")
def fixes(units: pl.DataFrame) -> dict[str, list[SmellFix]]:
    functions = units.filter(pl.col("kind") == "method", pl.col("code").str.contains("while"))
    return {
        unit["unit_id"]: [SmellFix("deep-nesting", "smell", unit["code"], f"{unit['code']}  # flat", "It was deep.")]
        for unit in functions.iter_rows(named=True)
    }


@pytest.fixture(scope="module")
def pairs() -> pl.DataFrame:
    rows = []
    for number, path in enumerate(("shop/ledger.py", "gone/away.py", "vendor/lib.py")):
        before = f"def first_{number}(one, two):\n    total = one + two * {number}\n    return total\n"
        rows.append(
            {column.name: None for column in REFACTORING_PAIRS.columns}
            | {
                "pair_id": f"pair{number}", "source": "directory:example", "commit": f"c{number}",
                "language": "python", "type": "Rename Method", "path_before": path,
                "path_after": path,
                "name_before": f"first_{number}", "name_after": f"second_{number}",
                "before": before, "after": before.replace("first", "second"),
                "description": f"first_{number} was renamed to second_{number}.", "purpose": "readability",
                "purity": "pure",
                "message": "rename it",
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=REFACTORING_PAIRS.schema)


@pytest.fixture(scope="module")
def tables(
    example_project: Any,
    files: pl.DataFrame,
    renamed: pl.DataFrame,
    rewritten: pl.DataFrame,
    errors: pl.DataFrame,
    fixes: dict[str, list[SmellFix]],
    pairs: pl.DataFrame,
    settings: DatasetSettings,
) -> dict[str, Tables]:
    return {
        "completion_dataset": completion_tables(example_project.inputs, renamed, rewritten, settings),
        "naming_dataset": naming_tables(example_project.inputs, renamed, settings),
        "refactoring_dataset": refactoring_tables(
            *(example_project.inputs, errors, fixes, pairs, REVIEW_ROWS.to_frame(), PATTERN_ROWS.to_frame()),
            *(files, (), settings),
        ),
    }


@pytest.fixture(scope="module")
def data(request: pytest.FixtureRequest) -> SimpleNamespace:
    """What these tests work on, by the names of the fixtures."""
    names = "units files example_project renamed rewritten errors fixes pairs tables settings augmentation"
    makers = "make_files make_units project_maker"
    return SimpleNamespace(**{name: request.getfixturevalue(name) for name in f"{names} {makers}".split()})


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_table_keeps_its_contract_and_shares_no_near_duplicates(data: SimpleNamespace, name: str) -> None:
    assert set(data.tables[name]) == {*SPLITS, "manifest"}
    for table in DATA_SETS[name]:
        frame = data.tables[name][table.name]
        assert frame.height > 0
        assert frame.equals(table.conform(frame))
        assert validate(frame, table, profile(frame)).failures == ()
    for columns in COMPARED[name]:
        sets = {
            split: [shingles(text, 5) for text in texts_to_compare(data.tables[name][split], columns)["compared"]]
            for split in SPLITS
        }
        for split, other_split in (("train", "validation"), ("train", "test"), ("validation", "test")):
            worst = max(jaccard(first, second) for first in sets[split] for second in sets[other_split])
            assert worst < data.settings.near_duplicate_threshold


def test_a_leak_is_not_published(tables: dict[str, Tables], settings: DatasetSettings) -> None:
    name, texts = "completion_dataset", (("completion",),)
    rows = {split: with_streams(tables[name][split], name, texts) for split in SPLITS}
    require_no_leakage(rows, name, texts, settings)
    rows["test"] = pl.concat([rows["test"], rows["train"].head(1)])
    with pytest.raises(DatasetError, match=r"\d rows of train have a near-duplicate"):
        require_no_leakage(rows, name, texts, settings)


def test_a_unit_and_its_mutants_are_on_one_side(data: SimpleNamespace) -> None:
    side_of = dict(data.example_project.splits.select("unit_id", "split").iter_rows())
    data_set = data.tables["refactoring_dataset"]
    for split in SPLITS:
        unit_rows = data_set[split].filter(pl.col("origin") != "history")
        assert unit_rows.height > 0
        assert all(side_of[unit] == split for unit in unit_rows["unit_id"])


def test_only_train_is_augmented_and_at_most_by_its_share(tables: dict[str, Tables], settings: DatasetSettings) -> None:
    for name, rewrites in (("completion_dataset", {"rewritten"}), ("naming_dataset", set())):
        train = tables[name]["train"]
        origins = set(train["origin"].str.replace(":.*", ""))
        assert {"original"} < origins <= {"original", "renamed"} | rewrites
        share = train.filter(pl.col("origin") != "original").height / train.height
        assert 0 < share <= settings.max_augmented_share
        for split in ("validation", "test"):
            assert set(tables[name][split]["origin"]) == {"original"}
    variants = tables["naming_dataset"]["train"].filter(pl.col("origin") == "renamed")
    assert "variable" not in set(variants["kind"])
    assert "shown_entries" not in set(tables["naming_dataset"]["train"]["completion"])


def test_a_variant_has_an_answer_of_its_unit(data: SimpleNamespace) -> None:
    variants = data.tables["completion_dataset"]["train"].filter(pl.col("origin") != "original")
    with_codes = variants.join(data.units.select("unit_id", "code"), on="unit_id")
    assert with_codes.height == variants.height > 0
    for row in with_codes.iter_rows(named=True):
        assert row["completion"] in row["code"]
    assert variants["split_reason"].str.ends_with("; variant of a train unit").all()


def _candidates(split: str, sizes: dict[tuple[str, str], int]) -> pl.DataFrame:
    """Rows by language and path; odd ones have a higher weight."""
    keys = [key for key, count in sizes.items() for _ in range(count)]
    return pl.DataFrame(
        {
            "example_id": [f"{split}{number}" for number in range(len(keys))],
            "language": [language for language, _ in keys],
            "path": [path for _, path in keys],
            "prompt": [f"prompt {split} {number}" for number in range(len(keys))],
            "completion": [f"answer {number}" for number in range(len(keys))],
            "weight": [0.9 if number % 2 else 0.1 for number in range(len(keys))],
            "split": split,
            "kind": "function",
            "origin": "original",
        }
    )


def _select(rows: pl.DataFrame, settings: DatasetSettings, rules: RowRules, **update: Any) -> dict[str, pl.DataFrame]:
    changed = settings.model_copy(update={"max_by_kind": {}} | update)
    return select_rows(rows, "any", (), changed, rules)[0]


def test_a_cap_keeps_what_has_a_higher_weight_more_often(settings: DatasetSettings) -> None:
    """Over some seeds: in train rows of weight 0.9 stay more often than of 0.1, in test not."""
    rows = pl.concat([_candidates(split, {("go", "a.go"): 100}) for split in SPLITS])

    def share(split: str) -> float:
        selected = [
            _select(rows, settings, RowRules(), max_train=20, max_test=20, seed=seed)[split] for seed in range(20)
        ]
        return float((pl.concat(selected)["weight"] > 0.5).sum() / 400)

    assert share("train") > 0.75
    assert 0.4 < share("test") < 0.6


@pytest.mark.parametrize("most", [None, 80, 200])
def test_every_split_has_the_mix(settings: DatasetSettings, most: int | None) -> None:
    """Four times as many tests as product code, and a language with few rows."""
    sizes = {("python", "a.py"): 100, ("python", "tests/test_a.py"): 500, ("rust", "a.rs"): 12, ("go", "a.go"): 2}
    rows = pl.concat([_candidates(split, sizes) for split in SPLITS])
    caps = {"max_train": most, "max_validation": most, "max_test": most}
    selected = _select(rows, settings, RowRules(frozenset(["python", "rust", "go"])), **caps)
    for split in SPLITS:
        frame = selected[split]
        assert frame.height == 80 if most == 80 else 145 <= frame.height <= 152
        assert 0.2 <= frame["path"].str.contains("tests/").mean() <= 0.25
        assert (frame["language"] == "rust").mean() >= 0.05
    assert distance(selected["test"], selected["train"]) < 0.01


def test_tests_beside_the_code_are_capped_as_tests_of_files_are(
    make_files: Any, make_units: Any, settings: DatasetSettings
) -> None:
    code = "fn half(n: u8) -> u8 { n / 2 }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn halves() { half(4); }\n}\n"
    units = make_units(make_files({"src/lib.rs": code}))
    beside = tests_beside_code(units)
    assert units.filter(pl.col("unit_id").is_in(beside))["name"].to_list() == ["halves"]
    rows = _candidates("train", {("rust", "a.rs"): 100}).with_columns(pl.col("example_id").alias("unit_id"))
    rules = RowRules(tests_beside_code=frozenset(rows["unit_id"][:80]))
    selected = _select(rows, settings, rules)["train"]
    assert selected["unit_id"].is_in(rows["unit_id"][:80].implode()).mean() == pytest.approx(0.2, abs=0.06)


def test_a_mix_may_leave_languages_as_they_are(settings: DatasetSettings) -> None:
    mix = settings.mix.model_copy(update={"min_language_share": 0.0})
    rows = pl.concat([_candidates(split, {("python", "a.py"): 100, ("go", "a.go"): 2}) for split in SPLITS])
    selected = _select(rows, settings, RowRules(frozenset(["python", "go"])), mix=mix, max_test=None)
    assert [selected[split].height for split in ("train", "test")] == [102, 102]


def test_tests_are_not_capped_where_there_is_nothing_else(settings: DatasetSettings) -> None:
    rows = pl.concat([_candidates(split, {("go", "a_test.go"): 90, ("go", "a.go"): 2}) for split in SPLITS])
    assert _select(rows, settings, RowRules())["train"].height == 92


def test_a_row_that_shows_a_held_out_answer_leaves_train(settings: DatasetSettings) -> None:
    answer = "return [one.first, one.second, one.third, one.fourth, one.fifth]"
    rows = pl.concat([_candidates(split, {("go", "a.go"): 3}) for split in SPLITS])
    other = answer.replace("one", "two")
    texts = {"train0": answer, "train2": f"a line\n{other}\nanother"}
    rows = rows.with_columns(
        pl.col("example_id").replace_strict(texts, default=pl.col("prompt")).alias("prompt"),
        pl.col("example_id").replace_strict({"test1": answer}, default=pl.col("completion")).alias("completion"),
    )
    selected = _select(rows, settings, RowRules(held_out=(other,)))
    assert selected["train"]["example_id"].to_list() == ["train1"]
    assert [selected[split].height for split in SPLITS] == [1, 3, 3]


def test_a_row_that_shows_a_held_out_import_stays_in_train(settings: DatasetSettings) -> None:
    beginning = '"github.com/acme/the-shop-of-all/internal/controller/'
    rows = pl.concat([_candidates(split, {("go", "a.go"): 3}) for split in SPLITS]).with_columns(kind=pl.lit("import"))
    prompt = pl.format('import (\n\t{}http"\n\t{}grpc"\n)\n{}', pl.lit(beginning), pl.lit(beginning), "prompt")
    rows = rows.with_columns(prompt, pl.format('{}{}"', pl.lit(beginning), "example_id").alias("completion"))
    assert _select(rows, settings, RowRules())["train"].height == 3
    as_functions = rows.with_columns(kind=pl.lit("function"))
    assert _select(as_functions, settings, RowRules())["train"].is_empty()


def test_a_prompt_with_several_answers_is_left_out_on_both_sides(settings: DatasetSettings) -> None:
    rows = pl.concat([_candidates(split, {("go", "a.go"): 3}) for split in SPLITS]).with_columns(suffix=pl.lit(""))
    prompt, suffix, answer = pl.col("prompt"), pl.col("suffix"), pl.col("completion")
    shared = pl.col("example_id").is_in(["train0", "train1", "test1", "validation1"])
    rows = rows.with_columns(
        pl.when(shared).then(pl.lit("one")).otherwise(prompt).alias("prompt"),
        pl.when(example_id="validation1").then(pl.lit("what follows")).otherwise(suffix).alias("suffix"),
        pl.when(example_id="train1").then(pl.lit("another answer")).otherwise(answer).alias("completion"),
    )
    selected, excluded = select_rows(rows, "any", (), settings)
    assert excluded.filter(left_out="several_answers")["example_id"].sort().to_list() == ["test1", "train0", "train1"]
    assert [selected[split].height for split in SPLITS] == [1, 3, 2]
    by_people = rows.with_columns(pl.lit(PERSON).alias("origin"))
    _, excluded = select_rows(by_people, "any", (), settings)
    assert excluded.filter(left_out="several_answers").is_empty()


def test_a_function_gives_a_gap_in_train_and_more_where_it_is_held_out(
    tables: dict[str, Tables], data: SimpleNamespace
) -> None:
    rows = pl.concat([tables["completion_dataset"][split].with_columns(split=pl.lit(split)) for split in SPLITS])
    gaps = rows.filter(pl.col("task") == "fim", pl.col("origin") == "original")
    gaps = gaps.filter(pl.col("kind").is_in(["function", "method"]))
    counts = gaps.group_by("unit_id", "split").len()
    assert counts.filter(split="train")["len"].max() == 1
    assert 1 < counts.filter(pl.col("split") != "train")["len"].max() <= 4
    assert gaps.select("unit_id", "completion", "suffix").is_unique().all()


def test_injected_errors_are_bounded_in_train_and_fill_up_what_is_held_out(settings: DatasetSettings) -> None:
    sizes = {"train": (55, 200), "validation": (0, 200), "test": (100, 200)}  # own changes, errors
    rows = [
        _candidates(split, {("python", f"{origin}.py"): size}).with_columns(
            pl.lit(origin).alias("origin"), (origin + pl.col("example_id")).alias("example_id")
        )
        for split, counts in sizes.items()
        for origin, size in zip(("history", "injected_error"), counts, strict=True)
    ]
    selected = _select(pl.concat(rows), settings, RowRules(max_injected_share=0.45), max_test=None)
    errors = {split: (frame["origin"] == "injected_error").sum() for split, frame in selected.items()}
    assert errors == {"train": 45, "validation": 60, "test": 82}
    assert {split: selected[split].height - errors[split] for split in SPLITS} == {
        split: own for split, (own, _) in sizes.items()
    }


def test_rows_are_compared_by_tokens_and_stay_as_they_are(settings: DatasetSettings) -> None:
    rows = pl.concat([_candidates(split, {("python", "a.py"): 3}) for split in SPLITS])
    texts = pl.col("example_id") + " = 'a text'  # a comment\n"
    rows = rows.with_columns(texts.alias("prompt"), ("answer = " + texts).alias("completion"))
    selected = select_rows(rows, "any", (("completion",), ("prompt",)), settings)[0]
    for split in SPLITS:
        assert selected[split].height == 3
        assert selected[split]["prompt"].to_list() == [f"{split}{n} = 'a text'  # a comment\n" for n in range(3)]


def test_refactoring_rows_say_what_is_wrong_and_are_of_trainable_code(tables: dict[str, Tables]) -> None:
    rows = pl.concat([tables["refactoring_dataset"][split] for split in SPLITS])
    by_origin = {row["origin"]: row for row in rows.iter_rows(named=True)}
    error = by_origin["repair"]
    assert error["kind"] == "repair"
    assert error["error_type"] == "operator"
    assert "<" in error["prompt"]
    assert error["completion"].strip().startswith("def ")
    assert by_origin["smell_fix"]["smell"] == "deep-nesting"
    history = by_origin["history"]
    assert history["refactoring"] == "Rename Method"
    assert "def second_" in history["completion"]
    entries = tables["refactoring_dataset"]["manifest"]
    vendored = entries.filter(pl.col("path") == "vendor/lib.py")
    assert vendored["left_out"].to_list() == ["licence"]


def test_the_manifest_accounts_for_everything(data: SimpleNamespace) -> None:
    texts = {path: text.encode() for path, text in data.files.select("path", "text").iter_rows()}
    codes = dict(data.units.select("unit_id", "code").iter_rows())
    for name in ("completion_dataset", "naming_dataset"):
        entries = data.tables[name]["manifest"]
        for split in SPLITS:
            split_entries = entries.filter(pl.col("split") == split)
            assert set(split_entries["entry_id"]) == set(data.tables[name][split]["example_id"])
            assert split_entries["left_out"].null_count() == split_entries.height
        for row in entries.filter(pl.col("split").is_not_null()).iter_rows(named=True):
            span = texts[row["path"]][row["start_byte"] : row["end_byte"]].decode()
            assert span == codes[row["unit_id"]]
            assert row["split_reason"]
            assert row["redactions"] == 0
            assert row["licence"] == "MIT"
            assert row["revision"] == "one"
            assert "near_duplicate_elsewhere" in row["filters"]
        reasons = set(entries["left_out"].drop_nulls())
        assert {"generated", "near_duplicate"} <= reasons
    generated = data.tables["completion_dataset"]["manifest"].filter(pl.col("left_out") == "generated")
    assert set(generated["path"]) == {"vendor/lib.py"}
    assert generated["filters"].list.len().to_list() == [0] * generated.height


def test_left_out_rows_are_counted_where_there_are_too_many(data: SimpleNamespace) -> None:
    few = data.settings.model_copy(update={"max_named_left_out": 2})
    many = data.settings.model_copy(update={"max_named_left_out": 10**6})
    entries = completion_tables(data.example_project.inputs, data.renamed, data.rewritten, few)["manifest"]
    every = completion_tables(data.example_project.inputs, data.renamed, data.rewritten, many)["manifest"]
    is_excluded = pl.col("left_out").is_not_null()
    by_reason = entries.filter(is_excluded).group_by("left_out").agg(pl.col("count").sum(), pl.len())
    assert by_reason["len"].max() <= 2 + entries["language"].n_unique()
    summaries = entries.filter(pl.col("entry_id").str.starts_with("more:"))
    assert {"go", "python"} == set(summaries["language"])
    languages = every.filter(is_excluded).group_by("left_out", "language").agg(pl.len())
    again = entries.filter(is_excluded).group_by("left_out", "language").agg(pl.col("count").sum())
    assert sorted(languages.iter_rows()) == sorted(again.iter_rows())
    counts = every.filter(is_excluded).group_by("left_out").agg(pl.len())
    assert dict(by_reason.select("left_out", "count").iter_rows()) == dict(counts.iter_rows())


def test_a_language_has_its_share_by_units_that_may_be_trained_on(
    files: pl.DataFrame, make_files: Any, make_units: Any, project_maker: Any, settings: DatasetSettings
) -> None:
    lines = "".join(f"export function step{number}(a) {{ return a * {number}; }}\n" for number in range(9))
    few = settings.model_copy(update={"mix": settings.mix.model_copy(update={"min_language_units": 5})})
    for path, languages in (("vendor/steps.js", {"python"}), ("web/steps.js", {"python", "javascript"})):
        texts = {path: lines, **dict(files.filter(language="python").select("path", "text").iter_rows())}
        made = make_files(texts)
        assert project_maker(make_units(made), made, few).inputs.rules.taught_languages == languages


def test_a_copied_file_and_generated_code_are_left_out(example_project: Any, units: pl.DataFrame) -> None:
    prepared = example_project.inputs.units
    assert units.filter(pl.col("path") == "shop/copy.py").height > 0
    pair = prepared.filter(pl.col("path").is_in(["shop/copy.py", "shop/ledger.py"]))
    assert pair.filter(pl.col("kind") != "import")["name"].is_duplicated().sum() == 0
    assert prepared.filter(pl.col("path").str.starts_with("vendor/")).is_empty()
    reasons = dict(example_project.splits.group_by("left_out").len().iter_rows())
    assert reasons["generated"] == units.filter(pl.col("path").str.starts_with("vendor/")).height


def test_sizes_are_capped_altogether_and_by_kind(data: SimpleNamespace) -> None:
    few = data.settings.model_copy(update={"max_train": 7, "max_validation": 2, "max_test": 3})
    capped = completion_tables(data.example_project.inputs, data.renamed, data.rewritten, few)
    assert {split: capped[split].height for split in SPLITS} == {"train": 7, "validation": 2, "test": 3}
    most = {"max_train": None, "max_validation": None, "max_test": None, "max_by_kind": {}}
    everything = completion_tables(
        data.example_project.inputs, data.renamed, data.rewritten, data.settings.model_copy(update=most)
    )
    assert set(capped["test"]["example_id"]) <= set(everything["test"]["example_id"])
    reasons = set(everything["manifest"].filter(pl.col("origin") == "original")["left_out"])
    assert "sample" not in reasons
    bounds = {"max_by_kind": {"completion_dataset": {"method": 4, "import": 0}}}
    capped = completion_tables(
        data.example_project.inputs, data.renamed, data.rewritten, data.settings.model_copy(update=bounds)
    )
    train = capped["train"].filter(pl.col("origin") == "original")
    kinds = dict(train.group_by("kind").len().iter_rows())
    assert kinds["method"] == 4
    assert "import" not in kinds
    assert capped["test"].filter(pl.col("kind") == "method").height == 1


def test_the_order_of_the_input_does_not_matter(data: SimpleNamespace) -> None:
    shuffled = data.project_maker(
        data.units.sample(fraction=1, shuffle=True, seed=4), data.files.reverse(), data.settings
    )
    again = completion_tables(shuffled.inputs, data.renamed.reverse(), data.rewritten.reverse(), data.settings)
    naming = naming_tables(shuffled.inputs, data.renamed.reverse(), data.settings)
    for split in (*SPLITS, "manifest"):
        assert again[split].equals(data.tables["completion_dataset"][split])
        assert naming[split].equals(data.tables["naming_dataset"][split])


def test_a_project_too_small_or_with_an_empty_side_says_what_to_do(data: SimpleNamespace) -> None:
    body = "    return [one.first, one.second, one.third, one.fourth]\n"
    for texts in ({"a.py": f"def collect(one):\n{body}"}, {"README.md": "nothing here"}):
        files = data.make_files(texts)
        with pytest.raises(DatasetError, match=r"too small to be split.*cortex add NAME SOURCE"):
            split_units(data.make_units(files), files, LINE_TIMES.empty(), (), data.settings)
    units = data.make_units(files := data.make_files({"a.py": f"def collect(one):\n{body}"}))
    with pytest.raises(DatasetError, match=r"Left out of 1 units: licence 1; if the code is yours, set `licence`"):
        split_units(units.with_columns(trainable=False), files, LINE_TIMES.empty(), (), data.settings)
    units = data.example_project.inputs.units.filter(pl.col("split") != "test")
    with pytest.raises(DatasetError, match="no example is left for test"):
        completion_tables(
            replace(data.example_project.inputs, units=units), data.renamed, data.rewritten, data.settings
        )


def test_the_assets_read_folders_and_give_every_table(data: SimpleNamespace, tmp_path: Path) -> None:
    def write(folder: str, **frames: pl.DataFrame) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, frame in frames.items():
            frame.write_parquet(tmp_path / folder / f"{name}.parquet")
        return tmp_path / folder

    annotated = write("units", units=data.units)
    read = write("files", files=data.files, redactions=REDACTIONS.empty())
    augmented = write(
        "augmented", renamed_units=data.renamed, rewritten_units=data.rewritten, injected_errors=data.errors
    )
    history = write("pairs", refactoring_pairs=data.pairs)
    commits = write("commits", line_times=LINE_TIMES.empty(), commits=REPOSITORY_COMMITS.empty())
    split_cache = RowCache(tmp_path / "splits of units", "1")
    splits = write("splits", **unit_splits(annotated, read, commits, data.settings, tmp_path, split_cache))
    cache = RowCache(tmp_path / "cache", "1")
    for asset in (completion_dataset, naming_dataset):
        out = write(asset.name)
        data_set = asset(annotated, augmented, read, splits, data.settings, out, cache)
        for split in (*SPLITS, "manifest"):
            assert data_set[split].equals(data.tables[asset.name][split])
        assert (out / "card.md").read_text().startswith(f"# {asset.name}")
        assert "Sizes" in (out / "report.html").read_text()
    out = write("refactoring")
    privacy = PrivacySettings.model_validate(sections()["privacy"])
    first = (annotated, augmented, history, commits, read, splits, data.settings, privacy)
    data_set = refactoring_dataset(*first, "project", tmp_path, out, cache)
    assert data_set["test"].filter(pl.col("origin") == "repair").height > 0
    again = refactoring_dataset(*first, "project", tmp_path, out, cache)
    assert all(again[name].equals(data_set[name]) for name in data_set)


def test_a_split_by_time_reads_the_history(units: pl.DataFrame, files: pl.DataFrame, settings: DatasetSettings) -> None:
    rows = [
        {
            "source": "directory:example", "path": path, "first_line": 1, "last_line": 10**6,
            "committed_at": datetime(2024, 1, 1 + number, tzinfo=UTC),
        }
        for number, path in enumerate(sorted(set(files["path"])))
    ]  # fmt: skip
    by_time = settings.model_copy(update={"split_by": "time"})
    unit_rows = split_units(units, files, pl.DataFrame(rows, schema=LINE_TIMES.schema), (), by_time)
    test_reasons = unit_rows.filter(pl.col("split") == "test")["split_reason"]
    assert test_reasons.str.ends_with("test by time").all()


def test_changes_too_large_or_without_a_change_are_no_rows(data: SimpleNamespace) -> None:
    unchanged = data.pairs.with_columns(pl.col("before").alias("after"))
    none = pair_candidates(unchanged, data.files, data.example_project.splits, (), data.settings)
    assert none["not_made"].to_list()[:2] == ["answer_in_prompt", "answer_in_prompt"]
    small = data.settings.model_copy(update={"max_change_bytes": 10})
    large = pair_candidates(data.pairs, data.files, data.example_project.splits, (), small)
    assert large["not_made"].to_list()[:2] == ["body_size", "body_size"]
    dirty = [fingerprints_of(data.pairs["before"].to_list(), 3, data.settings.contamination_share)]
    contaminated_rows = pair_candidates(data.pairs, data.files, data.example_project.splits, dirty, data.settings)
    assert contaminated_rows["not_made"].to_list()[:2] == ["contaminated", "contaminated"]


def test_changes_of_one_commit_are_on_one_side(data: SimpleNamespace) -> None:
    paths = [f"gone/{number}.py" for number in range(40)]
    many = pl.concat(
        [data.pairs.head(1).with_columns(path_before=pl.lit(path), path_after=pl.lit(path)) for path in paths]
    )
    none = (data.files, data.example_project.splits, (), data.settings)
    assert pair_candidates(many, *none)["split"].n_unique() == 1
    apart = many.with_columns(commit="path_after")
    assert set(pair_candidates(apart, *none)["split"]) == set(SPLITS)


def test_a_change_of_code_that_no_longer_parses_is_no_row(data: SimpleNamespace) -> None:
    older = data.pairs.head(1).with_columns(pl.col("before", "after") + "    fail first_0\n")
    rows = pair_candidates(older, data.files, data.example_project.splits, (), data.settings)
    assert rows["not_made"].to_list() == ["unanswerable_change"]


def test_fixes_are_looked_for_where_something_was_found(tmp_path: Path) -> None:
    code = "def f(a):\n    if a == None:\n        return True\n    else:\n        return False\n"
    units = pl.DataFrame(
        {
            "unit_id": ["a", "b", "c"], "kind": ["function"] * 3, "language": ["python"] * 3,
            "path": ["a.py"] * 3, "code": [code, code, "def g():\n    return 1\n"],
            "patterns": [["else-after-return"], [], ["long-method"]],
        }
    )  # fmt: skip
    fixes_by_unit = cached_fixes(units, RowCache(tmp_path, "1"))
    assert set(fixes_by_unit) == {"a"}
    assert all(fix.before == code != fix.after for fix in fixes_by_unit["a"])
    assert cached_fixes(units, RowCache(tmp_path, "1")) == fixes_by_unit


def test_tables_are_those_of_a_run_from_nothing_after_a_change(data: SimpleNamespace, tmp_path: Path) -> None:
    longer = pl.col("text") + "\n\ndef copy(first, second):\n    return first + 20 * second\n"
    without_voyage = data.files.filter(pl.col("path") != "shop/voyage.py").with_columns(
        pl.when(pl.col("path") == "shop/parcel.py").then(longer).otherwise("text").alias("text")
    )
    cache = RowCache(tmp_path, "1")
    for changed in (data.files, without_voyage):
        units = data.make_units(changed)
        example_project = data.project_maker(units, changed, data.settings)
        read, nothing = example_project.inputs, LINE_TIMES.empty()
        splits = split_units(units, changed, nothing, (), data.settings, cache.scoped("splits"))
        assert splits.equals(example_project.splits)
        names = (RENAMED_UNITS, INJECTED_ERRORS, REWRITTEN_UNITS)
        renamed, errors, rewritten = (augmented(table, units, data.augmentation) for table in names)
        none = REVIEW_ROWS.to_frame(), PATTERN_ROWS.to_frame()
        with_cache, alone = (
            (
                completion_tables(
                    read, renamed, rewritten, data.settings, row_cache and row_cache.scoped("completion")
                ),
                naming_tables(read, renamed, data.settings, row_cache and row_cache.scoped("naming")),
                refactoring_tables(read, errors, data.fixes, data.pairs, *none, changed, (), data.settings, row_cache),
            )
            for row_cache in (cache, None)
        )
        for tables, expected in zip(with_cache, alone, strict=True):
            assert all(tables[name].equals(expected[name]) for name in expected)
