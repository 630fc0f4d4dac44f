"""The card is made from the data and is the same each time; trainers find what they expect."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortex_pipelines.datasets.tasks.naming
from cortex_pipelines.augmentation.augment import augmented
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.assemble.build import completion_tables
from cortex_pipelines.datasets.assemble.selection import count_redactions
from cortex_pipelines.datasets.publish.card import CardSection, sizes, write_card
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.naming import conventions, style_of, train_names
from cortex_pipelines.schemas.augmentation import RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_FILES, SKIPPED_FILES
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def tables(example_project: Any, settings: DatasetSettings) -> Tables:
    return completion_tables(example_project.inputs, RENAMED_UNITS.empty(), REWRITTEN_UNITS.empty(), settings)


def test_the_card_counts_what_is_there(tmp_path: Path, tables: Tables, settings: DatasetSettings) -> None:
    names = pl.DataFrame({"kind": ["a|b", None], "share": [0.5, 1.0]})
    extra = (CardSection("Extra", "told <here>", ("code", "x = `1`\n```\ny"), names),)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_card(tmp_path / folder, "completion", "To test.", tables, settings, *extra)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["card.md", "metrics.json", "report.html"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    card = (tmp_path / "one" / "card.md").read_text()
    for split in SPLITS:
        assert f"| {split} | {tables[split].height} |" in card
    for text in ("a\\|b", "not known", "````\nx = `1`"):
        assert text in card
    page = (tmp_path / "one" / "report.html").read_text()
    assert "told &lt;here&gt;" in page
    metrics = pl.read_json(tmp_path / "one" / "metrics.json").row(0, named=True)
    assert metrics["rows_train"] == tables["train"].height
    total = sum(tables[split].height for split in SPLITS)
    assert sum(count for name, count in metrics.items() if name.startswith("kind_")) == total
    excluded = tables["manifest"].filter(pl.col("split").is_null())["count"].sum()
    assert sum(count for name, count in metrics.items() if name.startswith("left_out_")) == excluded


def test_sizes_add_up_over_what_has_no_value(tables: Tables) -> None:
    counts = sizes(tables, "kind")
    for split in SPLITS:
        assert counts[split].sum() == tables[split].height
    assert counts["all"].is_sorted(descending=True)
    split = pl.DataFrame({"licence": [None, "MIT"]}, schema={"licence": pl.String})
    counts = sizes(dict.fromkeys(SPLITS, split), "licence")
    assert counts["licence"].to_list() == ["MIT", None]
    assert counts["all"].to_list() == [3, 3]


@pytest.mark.parametrize(
    ("name", "style"),
    CASES["names_have_a_style"],
)  # fmt: skip
def test_names_have_a_style(name: str, style: str) -> None:
    assert style_of(name) == style


NAMES = st.tuples(st.sampled_from("fv"), st.sampled_from(["a_b", "aB", "AB", "ab", "aBc"]))


@given(st.lists(NAMES))
def test_shares_of_conventions_add_up(names: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame(
        [(kind, "go", name) for kind, name in names],
        schema={"kind": pl.String, "language": pl.String, "name": pl.String},
        orient="row",
    )
    shares = conventions(frame)
    assert shares.equals(conventions(frame.reverse()))
    for share in shares.group_by("kind").agg(pl.col("share").sum())["share"]:
        assert share == pytest.approx(1)
    assert shares["names"].sum() == len(set(names))


def test_a_single_word_counts_for_the_convention_of_the_others() -> None:
    names = pl.DataFrame(
        {
            "kind": ["variable"] * 6 + ["method"], "language": ["python"] * 7,
            "name": ["Row", "Text", "first_line", "line", "text", "rest", "run"],
        }
    )  # fmt: skip
    assert conventions(names).select("kind", "convention", "names").rows() == [
        ("method", "lower", 1),
        ("variable", "snake_case", 4),
        ("variable", "PascalCase", 2),
    ]


def test_the_parquet_opens_with_the_library_that_trainers_use(tmp_path: Path, tables: Tables) -> None:
    import datasets  # takes a second

    for split in SPLITS:
        tables[split].write_parquet(tmp_path / f"{split}.parquet")
    files = {split: str(tmp_path / f"{split}.parquet") for split in SPLITS}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in SPLITS} == {split: tables[split].height for split in SPLITS}


def test_redactions_are_counted_in_the_lines_of_a_unit() -> None:
    row = {
        "source": "s", "path": "a.py", "start": 0, "end": 3, "category": "secret", "rule": "r",
        "severity": "low", "placeholder": "x",
    }  # fmt: skip
    redactions = REDACTIONS.frame([row | {"line": line} for line in (2, 5, 6, 9)])
    units = pl.DataFrame(
        {"source": ["s", "s", "s"], "path": ["a.py", "a.py", "b.py"], "start_line": [5, 7, 1], "end_line": [8, 8, 99]}
    )
    assert count_redactions(units, redactions).to_list() == [2, 0, 0]


def test_conventions_of_this_package_are_those_of_python(
    make_files: Callable[[dict[str, str]], pl.DataFrame],
    make_units: Callable[[pl.DataFrame], pl.DataFrame],
    augmentation: AugmentationSettings,
) -> None:
    """Its module-level aliases are written like types, and are few among its variables."""
    folder = Path(cortex_pipelines.datasets.tasks.naming.__file__).parent
    texts = {path.name: path.read_text() for path in sorted(folder.glob("[!_]*.py"))}
    units = make_units(make_files(texts)).with_columns(pl.lit("train").alias("split"))
    shares = conventions(train_names(units, augmented(RENAMED_UNITS, units, augmentation)))
    most = shares.unique("kind", keep="first", maintain_order=True)
    assert dict(most.select("kind", "convention").iter_rows()) == {
        "class": "PascalCase",
        "constant": "UPPER_CASE",
        "function": "snake_case",
        "variable": "snake_case",
    }


def test_names_of_other_sides_are_no_convention() -> None:
    units = pl.DataFrame(
        {
            "unit_id": ["a", "b", "c"], "split": ["train", "test", "train"],
            "kind": ["function", "class", "import"], "language": ["go"] * 3,
            "name": ["readAll", "Reader", "io"],
        }
    )  # fmt: skip
    row = {"variant": 0, "language": "go", "renamed_code": ""}
    renamed = RENAMED_UNITS.frame(
        [
            row | {"unit_id": "a", "renames": ["firstLine=x", "rest=y"]},
            row | {"unit_id": "b", "renames": ["hiddenName=x"]},
        ]
    )
    assert sorted(train_names(units, renamed).rows()) == [
        ("function", "go", "readAll"),
        ("variable", "go", "firstLine"),
        ("variable", "go", "rest"),
    ]


def test_the_card_says_why_a_language_has_no_row(tmp_path: Path, tables: Tables, settings: DatasetSettings) -> None:
    write_card(tmp_path, "completion", "To test.", tables, settings)
    card = (tmp_path / "card.md").read_text()
    section = card.split("## Languages\n")[1].split("\n## ")[0]
    entries = tables["manifest"]
    for language in ("go", "python"):
        language_entries = entries.filter(pl.col("language") == language)
        counts = [language_entries.filter(pl.col("split") == split).height for split in SPLITS]
        excluded = language_entries.filter(pl.col("left_out").is_not_null())["count"].sum()
        assert f"| {language} | {' | '.join(map(str, [*counts, excluded]))} |" in section
        empty = [split for split, count in zip(SPLITS, counts, strict=True) if not count]
        assert (f"{language} has no row in" in section) == bool(empty)
        if empty:
            assert "go has no row in validation" in section
    assert "go has no row in validation" in section


def test_the_card_counts_what_annotations_say(tmp_path: Path, example_project: Any, settings: DatasetSettings) -> None:
    is_parsing = pl.col("unit_id").str.slice(0, 1) < "8"
    units = example_project.inputs.units.with_columns(
        pl.when(is_parsing).then(pl.lit("parsing")).otherwise(pl.lit("cli")).alias("category"),
        pl.when(is_parsing).then(12).otherwise(3).cast(pl.Int64).alias("cyclomatic"),
        pl.when(is_parsing).then(0.9).otherwise(0.2).alias("weight"),
    )
    few = settings.model_copy(update={"max_train": 20, "max_by_kind": {}})
    nothing = RENAMED_UNITS.empty(), REWRITTEN_UNITS.empty()
    tables = completion_tables(replace(example_project.inputs, units=units), *nothing, few)
    write_card(tmp_path, "completion", "To test.", tables, few)
    card = (tmp_path / "card.md").read_text()
    ids = {split: set(units.filter(is_parsing)["unit_id"]) for split in SPLITS}
    counts = [tables[split]["unit_id"].is_in(list(ids[split])).sum() for split in SPLITS]
    assert f"| parsing | {' | '.join(map(str, counts))} | {sum(counts)} |" in card
    assert f"| 11 to 20 | {' | '.join(map(str, counts))} | {sum(counts)} |" in card
    metrics = pl.read_json(tmp_path / "metrics.json").row(0, named=True)
    assert metrics["category_parsing"] == sum(counts)
    means = [
        float(line.split("|")[3])
        for line in card.split("\n")
        if line.startswith(("| kept in train", "| left out by a cap"))
    ]
    assert len(means) == 2
    assert means[0] > means[1]


def test_the_card_of_a_project_says_what_it_teaches_and_what_is_wrong(
    tmp_path: Path, tables: Tables, settings: DatasetSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text(
        "projects: {shop: {sources: [{directory: shop}]}, empty: {sources: [{directory: e}]}}"
    )
    folder = tmp_path / "data" / "completion_dataset" / "shop"
    folder.mkdir(parents=True)
    in_tests = tables["train"].with_columns(pl.lit("tests/test_shop.py").alias("path"))
    for name, frame in (tables | {"train": in_tests}).items():
        frame.write_parquet(folder / f"{name}.parquet")
    monkeypatch.chdir(tmp_path)
    rows = {row["split"]: row for row in json.loads(cortex("card", "shop", "--json").stdout)}
    for split in SPLITS:
        assert rows[split]["task"] == "completion"
        assert rows[split]["rows"] == tables[split].height
        assert sum(rows[split]["languages"].values()) == pytest.approx(1, abs=0.01)
    assert (rows["train"]["tests"], rows["test"]["tests"]) == (1.0, 0.0)
    assert rows["train"]["warnings"] == ["100% of it is test code"]
    assert rows["test"]["distance"] == 1.0
    assert f"{tables['test'].height} rows are few to judge by" in rows["test"]["warnings"][0]
    assert "other languages or tests than train: a distance of 1.00 bits" in rows["test"]["warnings"]
    sampled = tables["manifest"].head(1).with_columns(pl.lit("sample").alias("left_out"), pl.lit(99_999).alias("count"))
    pl.concat([tables["manifest"], sampled], how="vertical_relaxed").write_parquet(folder / "manifest.parquet")
    assert "train: 100% of the rows are left out for the mix, as product" in cortex("card", "shop").stdout
    tables["manifest"].write_parquet(folder / "manifest.parquet")
    text = cortex("card", "shop").stdout
    assert text.startswith(f"From shop a model can learn to complete code ({tables['train'].height} examples, 100% of")
    assert "completion, train: 100% of it is test code" in text
    assert "code to train on" not in text
    units = tmp_path / "data" / "code_units" / "shop"
    units.mkdir(parents=True)
    beside = tables["test"].select("unit_id", language=pl.lit("rust"), context=pl.lit("mod tests {"))
    beside.write_parquet(units / f"{CODE_UNITS.name}.parquet")
    rows = {row["split"]: row for row in json.loads(cortex("card", "shop", "--json").stdout)}
    assert rows["test"]["tests"] == 1.0
    assert rows["test"]["distance"] < 0.1
    read = tmp_path / "data" / "repository_files" / "shop"
    read.mkdir(parents=True)
    REPOSITORY_FILES.frame([]).write_parquet(read / "files.parquet")
    skipped = {"source": "git:.", "path": "latin.py", "reason": "not_utf8", "detail": "at byte 7", "size_bytes": 9}
    SKIPPED_FILES.frame([skipped]).write_parquet(read / "skipped_files.parquet")
    assert "left out: 1 not_utf8 (such as latin.py: at byte 7)\n" in cortex("card", "shop").stdout
    folder.parent.rename(tmp_path / "data" / "tests_dataset")  # where all are tests
    assert "test code" not in cortex("card", "shop").stdout
    assert (
        "params.yaml has no project shpo; did you mean shop?; there is: empty, shop"
        in cortex("card", "shpo", status=1).stderr
    )
    assert "empty has no data set yet; run `cortex run --project empty`" in cortex("card", "empty", status=1).stderr
