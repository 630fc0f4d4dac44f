"""Places, owners, interfaces, dependency rules and imports to judge, from a made-up project."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.datasets.answerable import ProjectWords
from cortex_pipelines.datasets.architecture.dependency_rules import (
    DependencyRule,
    Edge,
    FolderImport,
    folder_import,
    learn_rules,
    rewritten_import,
    split_rules,
)
from cortex_pipelines.datasets.architecture.questions import UNIT_COLUMNS, parameter_span, questions
from cortex_pipelines.datasets.architecture.tables import TOO_FEW, architecture_tables, missing_kinds
from cortex_pipelines.datasets.decontamination import fingerprints_of
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED, near_duplicate_pairs, texts_to_compare
from cortex_pipelines.datasets.settings import ArchitectureExampleSettings, DatasetSettings
from cortex_pipelines.datasets.unit_text import file_bytes, with_layout
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.datasets import ARCHITECTURE_DATASET, UNIT_SPLITS
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_FILES
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import sections

_PARAMETERS = sections()
_THINGS = ("ticket", "seat", "hall", "price", "guest", "poster", "voucher", "stage")
Tables = dict[str, pl.DataFrame]
NOTHING = REDACTIONS.empty(), ()
"""Neither redactions nor benchmarks."""


def _files() -> dict[str, str]:
    """A shop in layers: web imports service, service imports store; one import is against it."""
    texts = {
        "pyproject.toml": '[project]\nname = "shop"\ndescription = "Sells the seats of halls"\n',
        "tools/pyproject.toml": '[project]\nname = "tools"\ndescription = "Mends the halls"\n',
        "tools/tools/broom.py": 'def sweep(floor):\n    """Sweep every floor of a building."""\n    return floor\n',
        "licensed/keep.py": "def keep(cup, plate):\n    return cup + plate\n",
        "shop/__init__.py": "",
    }
    for number, thing in enumerate(_THINGS):
        name = thing.title()
        texts[f"shop/web/{thing}.py"] = (
            f'"""Pages where a {thing} is shown to {_THINGS[number - 3]} people."""\n\n'
            f"from fastapi import APIRouter\nfrom shop.service.{thing} import find_{thing}\n\n"
            f"router = APIRouter(prefix='/{thing}s')\n\n\n@router.get('/{{{thing}_id}}')\n"
            f"def show_{thing}({thing}_id: int) -> {name}:\n"
            f'    """Show one {thing} {" ".join(6 * chr(97 + (number * 9 + letter) % 26) for letter in range(9))}."""\n'
            f"    return find_{thing}({thing}_id)\n\n\ndef {thing}_title(key):\n    return key\n"
        )
        texts[f"shop/service/{thing}.py"] = (
            f"from shop.store.{thing} import {name}\n"
            + (f"from shop.web.{thing} import router\n" if number == 0 else "")
            + f"\n\ndef find_{thing}(key: int) -> {name}:\n    return {name}(key)\n"
        )
        texts[f"shop/store/{thing}.py"] = (
            "from sqlalchemy.orm import Mapped, mapped_column\nfrom shop.base import Base\n\n\n"
            f"class {name}(Base):\n    __tablename__ = '{thing}s'\n"
            f"    {thing}_key: Mapped[int] = mapped_column(primary_key=True)\n"
            f"    {_THINGS[number - 1]}_note: Mapped[str]\n\n"
            f"    def {thing}_worth(first_{thing}):\n        return first_{thing}.worth(2)\n"
        )
    return texts


def _frame(texts: dict[str, str]) -> pl.DataFrame:
    rows = [
        {
            "source": "directory:shop",
            "path": path,
            "blob": f"blob{number}",
            "language": language_of(path, text),
            "generated": False,
            "revision": "r1",
            "licence": "MIT",
            "trainable": not path.startswith("licensed/"),
            "text": text,
        }
        for number, (path, text) in enumerate(sorted(texts.items()))
    ]
    columns = ("source", "path", "blob", "language", "generated", "revision", "licence", "trainable", "text")
    flags = ("generated", "trainable")
    return pl.DataFrame(rows, {name: pl.Boolean if name in flags else pl.String for name in columns})


def _units(files: pl.DataFrame) -> pl.DataFrame:
    missing = {name: dtype for name, dtype in REPOSITORY_FILES.schema.items() if name not in files.columns}
    whole = files.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items())
    return extract(whole, ExtractionSettings(**_PARAMETERS["extraction"])).units.select(UNIT_COLUMNS)


def _facts(files: pl.DataFrame) -> pl.DataFrame:
    limits = ArchitectureSettings(**_PARAMETERS["architecture"])
    parsing = ExtractionSettings(**_PARAMETERS["extraction"])
    return architecture_facts(files, CODE_UNITS.empty(), limits, parsing)


@pytest.fixture(scope="module")
def dataset_settings() -> DatasetSettings:
    return DatasetSettings(**_PARAMETERS["datasets"])


@pytest.fixture(scope="module")
def examples() -> ArchitectureExampleSettings:
    return ArchitectureExampleSettings(**_PARAMETERS["architecture_examples"] | {"rule_agreement": 0.85, "min_rows": 1})


@pytest.fixture(scope="module")
def files() -> pl.DataFrame:
    return _frame(_files())


@pytest.fixture(scope="module")
def facts(files: pl.DataFrame) -> pl.DataFrame:
    return _facts(files)


@pytest.fixture(scope="module")
def tables(
    facts: pl.DataFrame, files: pl.DataFrame, examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings
) -> Tables:
    redactions = REDACTIONS.empty()
    return architecture_tables(facts, _units(files), files, redactions, [], examples, dataset_settings)


@pytest.fixture(scope="module")
def rows(tables: Tables) -> pl.DataFrame:
    return pl.concat([tables[split] for split in SPLITS])


def test_every_kind_has_examples_and_every_table_keeps_its_contract(tables: Tables, rows: pl.DataFrame) -> None:
    assert set(rows["kind"]) == {"placement", "owner", "interface", "violation"}
    assert tables.keys() == {table.name for table in ARCHITECTURE_DATASET}
    for table in ARCHITECTURE_DATASET:
        assert tables[table.name].equals(table.conform(tables[table.name]))


def test_nothing_has_a_near_duplicates_on_another_side(tables: Tables, dataset_settings: DatasetSettings) -> None:
    for split, other_split in (("train", "validation"), ("train", "test"), ("validation", "test")):
        for columns in COMPARED["architecture_dataset"]:
            frames = [texts_to_compare(tables[name], columns) for name in (split, other_split)]
            assert near_duplicate_pairs(*frames, "compared", dataset_settings).is_empty()


def test_a_question_is_in_the_split_of_its_unit(
    facts: pl.DataFrame, files: pl.DataFrame, examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings
) -> None:
    units = _units(files)
    splits = dict.fromkeys(units["unit_id"], "test")
    tables = architecture_tables(
        facts, units, files, REDACTIONS.empty(), [], examples, dataset_settings, unit_splits=splits
    )
    assert {"interface", "owner"} <= set(tables["test"]["kind"])
    assert set(tables["train"]["kind"]) <= {"violation"}


def test_a_place_is_listed_and_shares_words_with_what_is_asked_about(rows: pl.DataFrame) -> None:
    for row in rows.filter(pl.col("kind") == "placement").iter_rows(named=True):
        assert row["completion"] == row["path"]
        assert f"\n{row['path']}" in row["prompt"]
        assert row["prompt"].endswith("\nIn which file does it belong?")
        bare = [line for line in row["prompt"].split("\nNew: ")[0].split("\n")[1:] if ": " not in line]
        assert bare != [row["completion"]]


def test_an_owner_is_the_package_of_the_file(rows: pl.DataFrame) -> None:
    for row in rows.filter(pl.col("kind") == "owner").iter_rows(named=True):
        assert row["completion"] == ("tools" if row["path"].startswith("tools/") else "shop")
        assert "\nshop: " in row["prompt"]


def test_what_a_function_accepts_is_told_by_its_body(rows: pl.DataFrame) -> None:
    for row in rows.filter(pl.col("kind") == "interface").iter_rows(named=True):
        assert "(...)" in row["prompt"]
        assert row["prompt"].split("\n")[-1].startswith("What does ")
        assert row["completion"].split(":")[0] in row["prompt"]
    methods = rows.filter(pl.col("prompt").str.contains("_worth"))
    assert methods.height
    for prompt, path in methods.select("prompt", "path").iter_rows():
        thing = path.split("/")[-1].removesuffix(".py")
        assert prompt.startswith(
            f"# {path}\nclass {thing.title()}(Base):\n    def {thing}_worth(...):\n        return first_{thing}"
        )


@pytest.mark.parametrize(
    ("path", "code", "is_told"),
    [
        ("shop/a.py", "def list_seats(limit=10, db=None):\n    return db.seats(limit)\n", True),
        ("shop/a.py", "def list_seats(limit=LIMIT, db=None):\n    return db.seats(limit or LIMIT)\n", True),
        ("shop/a.py", "def list_seats(limit=10, db=Depends(get_db)):\n    return db.seats(limit)\n", False),
        ("shop/a.py", "def list_seats(db, order='by row'):\n    return db.seats(order)\n", False),
        ("shop/a.ts", "function listSeats({ db, size = 'icon' }) {\n  return db.seats(size);\n}\n", False),
        ("shop/a.ts", "function listSeats({ db, size = '' }: Props = {}) {\n  return db.seats(size);\n}\n", True),
        ("shop/a.ts", "function listSeats({ db, size = '' }: Chart = {}) {\n  return db.seats(size);\n}\n", False),
        ("shop/a.ts", "function listSeats({ db, chart }: Chart = {}) {\n  return db.seats(chart);\n}\n", True),
        ("shop/a.go", "package a\n\nfunc handle(c *Seat) {\n}\n", False),
        ("shop/a.go", "package a\n\nfunc handle(int) {\n}\n", False),
        ("shop/a.rs", "fn list(db: impl Iterator<Item = Seat>) -> u8 {\n    db.count()\n}\n", True),
    ],
)
def test_a_default_value_that_the_body_does_not_tell_is_not_asked_for(
    path: str, code: str, is_told: bool, examples: ArchitectureExampleSettings
) -> None:
    files = _frame({path: code})
    often = b"Depends get_db LIMIT Props Seat by row icon impl Iterator Item u8 c handle " * 5
    words = ProjectWords([often, b"Chart", code.encode()])
    units = with_layout(_units(files), file_bytes(files), DatasetSettings(**_PARAMETERS["datasets"]))
    assert bool([*questions(units.to_dicts(), [], words, examples, 0)]) == is_told


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        ("func f[T any, I ~func(func(T) bool)](items I, n int) I ", "items I, n int"),
        ("fn f<F: FnOnce() -> T>(self, default: F) -> T ", "self, default: F"),
        ("def f(a, b=lambda: x > 2):", "a, b=lambda: x > 2"),
        ("func f(ch <-chan T) ", "ch <-chan T"),
    ],
)
def test_parameters_stand_after_those_for_types(head: str, parameters: str) -> None:
    span = parameter_span(head, "f")
    assert span is not None
    assert head[slice(*span)] == parameters


def test_an_answer_about_parameters_is_on_one_side(tables: Tables, rows: pl.DataFrame) -> None:
    answers = [set(tables[split].filter(kind="interface")["completion"]) for split in SPLITS]
    assert sum(map(len, answers)) == rows.filter(kind="interface")["completion"].n_unique()


def test_rules_are_learnt_from_counts_and_order(tables: Tables) -> None:
    rules = tables["dependency_rules"].filter(pl.col("folder") == "shop")
    rule_rows = {tuple(row) for row in rules.select("upper", "lower", "edges", "against", "learnt").rows()}
    assert ("web", "service", 8, 1, "counted") in rule_rows
    assert ("service", "store", 8, 0, "counted") in rule_rows
    assert ("web", "store", 0, 0, "order") in rule_rows
    assert ("store", "web") not in {(upper, lower) for upper, lower, *_ in rule_rows}


def test_imports_are_judged_as_the_rules_say(rows: pl.DataFrame) -> None:
    violations = rows.filter(pl.col("kind") == "violation")
    assert {"original", "injected"} == set(violations["origin"])
    level = {"web": 2, "service": 1, "store": 0, "base": -1}
    for row in violations.iter_rows(named=True):
        new = next(line for line in row["prompt"].split("\n") if line.startswith("New import: "))
        source, target = (row["path"].split("/")[1], new.split("shop.")[1].split(" ")[0].split(".")[0])
        allowed = level[source.removesuffix(".py")] > level[target]
        assert row["completion"].startswith("allowed: " if allowed else "violation: ")
        assert row["rule"] in row["explanation"] or allowed
    real = violations.filter((pl.col("origin") == "original") & pl.col("completion").str.starts_with("v"))
    assert set(real["path"]) <= {"shop/service/ticket.py"}


def test_a_judgement_follows_from_the_listed_imports_and_is_not_stated(rows: pl.DataFrame) -> None:
    violations = rows.filter(pl.col("kind") == "violation")
    assert violations.height
    for prompt, completion in violations.select("prompt", "completion").iter_rows():
        listing, _, question = prompt.partition("\nFile: ")
        assert "times" not in prompt
        below = {
            line.split(" imports ")[0]: set(line.split(" imports ")[1].split(", ")) for line in listing.split("\n")[1:]
        }
        importer, imported = question.split("\nMay ")[1].rstrip("?").split(" import ")
        assert (imported in _reached(importer, below)) == completion.startswith("allowed: ")
        assert (importer in _reached(imported, below)) == completion.startswith("violation: ")


def _reached(start: str, below: dict[str, set[str]]) -> set[str]:
    reachable: set[str] = set()
    frontier = [start]
    while frontier:
        for part in below.get(frontier.pop(), set()) - reachable:
            reachable.add(part)
            frontier.append(part)
    return reachable


def test_a_rule_is_on_one_side(examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings) -> None:
    """Thirty layers, of which each imports the next: all sides get rules, and none shares one."""
    texts = {"app/__init__.py": ""}
    for layer in range(30):
        for file in range(5):
            texts[f"app/part{layer}/file{file}.py"] = f"from app.part{layer + 1}.file{file} import thing{layer}{file}\n"
    files = _frame(texts)
    tables = architecture_tables(_facts(files), _units(files), files, *NOTHING, examples, dataset_settings)
    rules = {split: set(tables[split]["rule"].drop_nulls()) for split in SPLITS}
    answers = {split: set(tables[split]["completion"]) for split in SPLITS}
    assert all(rules.values())
    for split, other_split in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not rules[split] & rules[other_split]
        assert not answers[split] & answers[other_split]
    train_prompts = "\n".join(tables["train"]["prompt"])
    held_out_rules = [rule for split in SPLITS[1:] for rule in rules[split]]
    for rule in held_out_rules:
        lower, upper = rule.removeprefix("in app: ").split(" must not import ")
        assert f"{upper} imports {lower}\n" not in train_prompts


def test_few_rules_stay_in_train(dataset_settings: DatasetSettings) -> None:
    rules = [DependencyRule(FolderImport("s", "", f"a{number}", f"b{number}"), 4, 0, "counted") for number in range(20)]
    assert set(split_rules(rules[:4], dataset_settings).values()) == {"train"}
    splits = list(split_rules(rules, dataset_settings).values())
    assert splits.count("test") == int(20 * dataset_settings.test_share)
    assert splits.count("validation") == int(20 * dataset_settings.validation_share)


def test_what_is_put_in_is_not_in_the_file(rows: pl.DataFrame, files: pl.DataFrame) -> None:
    texts = dict(files.select("path", "text").iter_rows())
    for row in rows.filter(pl.col("origin") == "injected").iter_rows(named=True):
        new = row["prompt"].split("New import: ")[1].split("\n")[0]
        assert new not in texts[row["path"]]


def test_the_manifest_names_spans_and_why_facts_are_left_out(
    tables: Tables, files: pl.DataFrame, facts: pl.DataFrame
) -> None:
    manifest = tables["manifest"]
    assert manifest["left_out"].is_null().sum() == sum(tables[split].height for split in SPLITS)
    texts = dict(files.select("path", "text").iter_rows())
    evidence = dict(facts.select("fact_id", "evidence").iter_rows())
    evidence |= dict(_units(files).select("unit_id", "code").iter_rows())
    inside = manifest.filter(pl.col("left_out").is_null())
    for unit, path, start, end in inside.select("unit_id", "path", "start_byte", "end_byte").rows():
        assert evidence[unit] in texts[path].encode()[start:end].decode()
    excluded = dict(manifest.filter(pl.col("left_out").is_not_null()).select("path", "left_out").iter_rows())
    assert excluded["licensed/keep.py"] == "licence"


def test_a_benchmark_and_long_answers_are_left_out(
    facts: pl.DataFrame,
    files: pl.DataFrame,
    examples: ArchitectureExampleSettings,
    dataset_settings: DatasetSettings,
    rows: pl.DataFrame,
) -> None:
    row = rows.filter(pl.col("kind") == "violation").row(0, named=True)
    tokens = dataset_settings.contamination_tokens
    benchmarks = [fingerprints_of([row["completion"]], tokens, dataset_settings.contamination_share)]
    short = dataset_settings.model_copy(update={"max_prompt_bytes": 60})
    tables = architecture_tables(facts, _units(files), files, REDACTIONS.empty(), benchmarks, examples, short)
    reasons = set(tables["manifest"]["left_out"].drop_nulls())
    assert {"contaminated", "prompt_size", "licence"} <= reasons


def test_a_task_of_few_rows_is_left_out_and_says_so(
    facts: pl.DataFrame, files: pl.DataFrame, examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings
) -> None:
    many = examples.model_copy(update={"min_rows": 10_000})
    tables = architecture_tables(facts, _units(files), files, *NOTHING, many, dataset_settings)
    assert all(tables[split].is_empty() for split in SPLITS)
    assert TOO_FEW in set(tables["manifest"]["left_out"])
    assert any("too few questions" in str(block) for block in missing_kinds(tables).blocks)


def test_the_same_input_gives_the_same_rows_in_any_order(
    facts: pl.DataFrame,
    files: pl.DataFrame,
    examples: ArchitectureExampleSettings,
    dataset_settings: DatasetSettings,
    tables: Tables,
) -> None:
    none = REDACTIONS.empty()
    again = architecture_tables(
        facts.reverse(), _units(files).reverse(), files.reverse(), none, [], examples, dataset_settings
    )
    for name, frame in tables.items():
        assert frame.equals(again[name])


def test_no_architecture_gives_empty_tables(
    examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings
) -> None:
    files = _frame({})
    tables = architecture_tables(ARCHITECTURE_FACTS.empty(), _units(files), files, *NOTHING, examples, dataset_settings)
    assert all(frame.is_empty() for frame in tables.values())
    words = " ".join(str(block) for block in missing_kinds(tables).blocks)
    assert "placement, owner, interface, violation" in words
    assert "train, validation, test" in words


def test_relative_imports_of_javascript_are_written_from_the_new_place(
    examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings
) -> None:
    texts = {
        f"src/{layer}/{name}.ts": f"import {{ a }} from '{other}/{name}';\nexport const x{number} = a;\n"
        for number, name in enumerate(("one", "two", "three", "four", "five"))
        for layer, other in (("pages", "../core"), ("core", "./base"))
    }
    texts |= {f"src/core/base/{name}.ts": "" for name in ("one", "two", "three", "four", "five")}
    texts["src/main.ts"] = "import { go } from './pages/one';\n"
    files = _frame(texts)
    tables = architecture_tables(_facts(files), _units(files), files, *NOTHING, examples, dataset_settings)
    rows = pl.concat([tables[split] for split in SPLITS])
    injected = rows.filter((pl.col("origin") == "injected") & (pl.col("rule").str.contains("core must")))
    assert injected.height
    for prompt in injected["prompt"]:
        assert "from '../pages/one'" in prompt or "from '../../pages/one'" in prompt


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("rust", "use self::a::B;"),
        ("rust", "pub(crate) use super::B;"),
        ("python", "from . import b"),
        ("typescript", "export * from './b';"),
    ],
)
def test_what_only_its_own_place_means_is_put_nowhere_else(language: str, text: str) -> None:
    assert rewritten_import({"evidence": text, "language": language, "object": "a/b"}, "c/d") is None


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("a/b/c.py", "a/d/e.py", FolderImport("s", "a", "b", "d")),
        ("a/b.py", "a/c.py", FolderImport("s", "a", "b", "c")),
        ("a/b/c.go", "a/b", None),
        ("main.go", "store", FolderImport("s", "", "main", "store")),
        ("a/b.py", "a/b/c.py", None),
        ("tests/test_b.py", "a/b.py", FolderImport("s", "", "tests", "a")),
        ("a/test_b.py", "a/b.py", FolderImport("s", "a", "test_b", "b")),
        # what a test inside a part imports, the part itself need not
        ("src/hooks/__tests__/use.test.ts", "src/testing/render.tsx", None),
        ("src/ui/dialog/dialog.spec.tsx", "src/ui/button/button.tsx", None),
        ("a/sums/tests/test_sum.py", "a/readers/read.py", None),
        ("shop/cart_test.go", "store", None),
    ],
)
def test_the_parts_of_an_import_are_where_its_paths_part(path: str, target: str, expected: FolderImport | None) -> None:
    assert folder_import(Edge("s", path, target, "f")) == expected


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), max_size=60))
def test_rules_never_contradict_each_other(pairs: list[tuple[str, str]]) -> None:
    settings = ArchitectureExampleSettings(**_PARAMETERS["architecture_examples"])
    edges = [
        Edge("s", f"{importer}/{number}.py", f"{imported}/x.py", "f")
        for number, (importer, imported) in enumerate(pairs)
    ]
    rules = learn_rules(edges, settings)
    parts = {rule.parts for rule in rules}
    assert len(parts) == len(rules)
    assert not parts & {rule_parts.inverse for rule_parts in parts}
    assert all(rule.edges >= settings.min_rule_edges for rule in rules if rule.learnt == "counted")
    assert rules == learn_rules(edges[::-1], settings)


def test_the_assets_read_and_give_the_declared_tables(
    files: pl.DataFrame, examples: ArchitectureExampleSettings, dataset_settings: DatasetSettings, tmp_path: Path
) -> None:
    from cortex_pipelines.datasets.assets import architecture_dataset
    from cortex_pipelines.extraction.assets import architecture_facts as facts_asset
    from cortex_pipelines.rowcache import RowCache

    folders = {name: tmp_path / name for name in ("files", "units", "facts", "annotated", "splits", "out")}
    for folder in folders.values():
        folder.mkdir()
    files.write_parquet(folders["files"] / "files.parquet")
    REDACTIONS.empty().write_parquet(folders["files"] / f"{REDACTIONS.name}.parquet")
    CODE_UNITS.empty().write_parquet(folders["units"] / "units.parquet")
    units = _units(files)
    units.write_parquet(folders["annotated"] / "units.parquet")
    left_out = pl.when(pl.col("path").str.starts_with("shop/store/")).then(pl.lit("mean_line"))
    splits = units.select("unit_id", left_out.alias("left_out")).with_columns(
        pl.when(pl.col("left_out").is_null()).then(pl.lit("train")).alias("split")
    )
    splits.write_parquet(folders["splits"] / f"{UNIT_SPLITS.name}.parquet")
    fact_tables = facts_asset(
        folders["files"],
        folders["units"],
        ArchitectureSettings(**_PARAMETERS["architecture"]),
        ExtractionSettings(**_PARAMETERS["extraction"]),
        "shop",
        RowCache(tmp_path / "cache", "1"),
    )
    fact_rows = fact_tables[ARCHITECTURE_FACTS.name]
    fact_rows.write_parquet(folders["facts"] / f"{ARCHITECTURE_FACTS.name}.parquet")
    tables = architecture_dataset(
        architecture_facts=folders["facts"],
        annotated_units=folders["annotated"],
        repository_files=folders["files"],
        unit_splits=folders["splits"],
        architecture_examples=examples,
        datasets=dataset_settings,
        root=tmp_path,
        out=folders["out"],
        cache=RowCache(tmp_path / "cache", "1"),
    )
    assert tables.keys() == {table.name for table in ARCHITECTURE_DATASET}
    card = (folders["out"] / "card.md").read_text()
    assert "dependency rules were learnt" in card
    assert "web" in card
    questions = pl.concat([tables[split] for split in SPLITS]).filter(pl.col("kind") != "violation")
    assert questions.height
    assert not questions["path"].str.starts_with("shop/store/").any(), "a filter of units leaves them out"
