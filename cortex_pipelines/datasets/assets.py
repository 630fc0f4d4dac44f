"""Assets of the data sets that models are trained and evaluated on."""

import logging
from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.architecture.questions import UNIT_COLUMNS as ARCHITECTURE_UNIT_COLUMNS
from cortex_pipelines.datasets.architecture.tables import architecture_tables, missing_kinds
from cortex_pipelines.datasets.assemble.build import completion_tables, naming_tables, read_project
from cortex_pipelines.datasets.decontamination import load_fingerprints
from cortex_pipelines.datasets.publish.card import UNLIKE, CardSection, write_card
from cortex_pipelines.datasets.settings import (
    ArchitectureExampleSettings,
    DatasetSettings,
    FeedbackExampleSettings,
    GeneralSettings,
)
from cortex_pipelines.datasets.splitting.unit_splits import FILE_COLUMNS, UNIT_COLUMNS, split_units
from cortex_pipelines.datasets.tasks import documentation, feedback, paired_tests
from cortex_pipelines.datasets.tasks.changes import REVIEW_FILE_COLUMNS, pattern_rows, review_rows
from cortex_pipelines.datasets.tasks.naming import conventions, train_names
from cortex_pipelines.datasets.tasks.refactoring import ERROR_COLUMNS, cached_fixes, refactoring_tables
from cortex_pipelines.datasets.tasks.variants import RENAMED_COLUMNS, REWRITTEN_COLUMNS
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.datasets import (
    ARCHITECTURE_DATASET,
    COMPLETION_DATASET,
    DOCUMENTATION_DATASET,
    FEEDBACK_DATASET,
    GENERAL_CODE,
    NAMING_DATASET,
    REFACTORING_DATASET,
    TESTS_DATASET,
    UNIT_SPLITS,
)
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, REFACTORING_PAIRS, TEST_CASES
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import LINE_TIMES, REDACTIONS, REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.versioning import versioned_asset

_LOG = logging.getLogger("cortex_pipelines")


@versioned_asset(tables=(UNIT_SPLITS,))
def unit_splits(
    annotated_units: Path,
    repository_files: Path,
    line_times: Path,
    datasets: DatasetSettings,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Train, validation or test split of each unit, fixed for all data sets before augmentation."""
    splits = split_units(
        ANNOTATED_UNITS.read(annotated_units, *UNIT_COLUMNS),
        REPOSITORY_FILES.read(repository_files, *FILE_COLUMNS),
        LINE_TIMES.read(line_times),
        load_fingerprints(root, datasets),
        datasets,
        cache,
    )
    return {UNIT_SPLITS.name: splits}


@versioned_asset(tables=COMPLETION_DATASET, alarm=UNLIKE)
def completion_dataset(
    annotated_units: Path,
    augmented_units: Path,
    repository_files: Path,
    unit_splits: Path,
    datasets: DatasetSettings,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Code completion: bodies, imports, declarations and gaps, given the context."""
    tables = completion_tables(
        read_project(annotated_units, repository_files, unit_splits, datasets),
        RENAMED_UNITS.read(augmented_units, *RENAMED_COLUMNS),
        REWRITTEN_UNITS.read(augmented_units, *REWRITTEN_COLUMNS),
        datasets,
        cache,
    )
    purpose = "To write code the project's way: function bodies, imports, declarations and gaps."
    write_card(out, "completion_dataset", purpose, tables, datasets)
    return tables


@versioned_asset(tables=NAMING_DATASET, alarm=UNLIKE)
def naming_dataset(
    annotated_units: Path,
    augmented_units: Path,
    repository_files: Path,
    unit_splits: Path,
    datasets: DatasetSettings,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Name prediction for functions, classes, constants and variables, masked throughout."""
    project_units = read_project(annotated_units, repository_files, unit_splits, datasets)
    renamed = RENAMED_UNITS.read(augmented_units, *RENAMED_COLUMNS)
    tables = naming_tables(project_units, renamed, datasets, cache)
    purpose = "To name things the project's way: functions, classes, constants and variables."
    conventions_section = CardSection("Conventions", conventions(train_names(project_units.units, renamed)))
    write_card(out, "naming_dataset", purpose, tables, datasets, conventions_section)
    return tables


@versioned_asset(tables=REFACTORING_DATASET, alarm=UNLIKE)
def refactoring_dataset(
    annotated_units: Path,
    augmented_units: Path,
    refactoring_pairs: Path,
    repository_commits: Path,
    repository_files: Path,
    unit_splits: Path,
    datasets: DatasetSettings,
    privacy: PrivacySettings,
    project: str,
    root: Path,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Code to fix or improve: history, reviews, patterns, injected bugs and code smells."""
    project_units = read_project(annotated_units, repository_files, unit_splits, datasets)
    files = REPOSITORY_FILES.read(repository_files, *REVIEW_FILE_COLUMNS)
    tables = refactoring_tables(
        project_units,
        INJECTED_ERRORS.read(augmented_units, *ERROR_COLUMNS),
        cached_fixes(project_units.units, cache),
        REFACTORING_PAIRS.read(refactoring_pairs),
        review_rows(files, project, privacy),
        pattern_rows(files, project, privacy),
        REPOSITORY_FILES.read(repository_files, "source", "path", "licence", "trainable"),
        load_fingerprints(root, datasets),
        datasets,
        cache,
        REPOSITORY_COMMITS.read(repository_commits, "commit").height,
    )
    purpose = "To find what is wrong with code and to improve it, with the reason."
    write_card(out, "refactoring_dataset", purpose, tables, datasets)
    return tables


@versioned_asset(tables=ARCHITECTURE_DATASET)
def architecture_dataset(
    architecture_facts: Path,
    annotated_units: Path,
    repository_files: Path,
    unit_splits: Path,
    architecture_examples: ArchitectureExampleSettings,
    datasets: DatasetSettings,
    root: Path,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Where code belongs, who owns it, what it accepts, and imports to judge by learnt rules."""
    splits = UNIT_SPLITS.read(unit_splits, "unit_id", "split", "left_out")
    # a copy of code has a place of its own, unlike what other filters leave out, such as minified code
    usable = splits.filter(pl.col("left_out").is_null() | (pl.col("left_out") == "near_duplicate"))
    units = ANNOTATED_UNITS.read(annotated_units, *ARCHITECTURE_UNIT_COLUMNS)
    tables = architecture_tables(
        ARCHITECTURE_FACTS.read(architecture_facts),
        units.join(usable.select("unit_id"), on="unit_id", how="semi", maintain_order="left"),
        REPOSITORY_FILES.read(repository_files),
        REDACTIONS.read(repository_files),
        load_fingerprints(root, datasets),
        architecture_examples,
        datasets,
        cache,
        dict(splits.select("unit_id", "split").drop_nulls().iter_rows()),
    )
    purpose = "To know where code belongs and what it accepts, and to keep the project's dependency rules."
    write_card(out, "architecture_dataset", purpose, tables, datasets, missing_kinds(tables))
    return tables


@versioned_asset(tables=DOCUMENTATION_DATASET, alarm=UNLIKE)
def documentation_dataset(
    annotated_units: Path,
    repository_files: Path,
    unit_splits: Path,
    datasets: DatasetSettings,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Code without its docstring, and what the docstring says it does."""
    project_units = read_project(annotated_units, repository_files, unit_splits, datasets)
    tables = documentation.documentation_tables(project_units, datasets, cache)
    purpose = "To say what code does, in the project's own words."
    notes = CardSection("Documentation", documentation.card_notes(tables))
    write_card(out, "documentation_dataset", purpose, tables, datasets, notes)
    return tables


@versioned_asset(tables=TESTS_DATASET, alarm=UNLIKE)
def tests_dataset(
    annotated_units: Path,
    code_units: Path,
    code_graph: Path,
    repository_files: Path,
    unit_splits: Path,
    datasets: DatasetSettings,
    root: Path,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Code with the test case that is closest to it, on the side of the test's file."""
    tables = paired_tests.paired_test_tables(
        read_project(annotated_units, repository_files, unit_splits, datasets),
        TEST_CASES.read(code_units),
        CODE_GRAPH.read(code_graph, *paired_tests.EDGE_COLUMNS),
        REPOSITORY_FILES.read(repository_files, *paired_tests.FILE_COLUMNS),
        load_fingerprints(root, datasets),
        datasets,
        cache,
    )
    purpose = "To write the project's tests: of a function, method or class, in the file named."
    write_card(out, "tests_dataset", purpose, tables, datasets, CardSection("Tests", paired_tests.card_notes(tables)))
    return tables


@versioned_asset(tables=FEEDBACK_DATASET)
def feedback_dataset(
    interactions: Path,
    repository_files: Path,
    unit_splits: Path,
    feedback_examples: FeedbackExampleSettings,
    datasets: DatasetSettings,
    project: str,
    root: Path,
    out: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Corrections by people of what models wrote; what they only kept is marked and bounded."""
    tables = feedback.feedback_tables(
        INTERACTIONS.read(interactions, *feedback.INTERACTION_COLUMNS),
        REPOSITORY_FILES.read(repository_files, *feedback.FILE_COLUMNS),
        UNIT_SPLITS.read(unit_splits),
        load_fingerprints(root, datasets),
        project,
        feedback_examples,
        datasets,
        cache,
    )
    purpose = "To write at once what people made of what models had written."
    write_card(out, "feedback_dataset", purpose, tables, datasets, CardSection("Feedback", feedback.card_notes(tables)))
    return tables


@versioned_asset(tables=GENERAL_CODE, partitioned=False)
def general_code(completion_dataset: dict[str, Path], general: GeneralSettings) -> dict[str, pl.DataFrame]:
    """Examples of one project that serve as general code."""
    folder = completion_dataset.get(general.project) if general.project else None
    if general.project and folder is None:
        _LOG.warning(
            "general.project is %s, which has no completion_dataset yet; general code stays "
            "empty until `cortex run --project %s`",
            general.project,
            general.project,
        )
    return {table.name: table.read(folder) if folder else table.empty() for table in GENERAL_CODE}
