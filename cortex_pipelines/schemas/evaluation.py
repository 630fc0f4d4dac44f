from typing import Literal

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, SPLITS

_ADAPTER_TASKS = (*("completion", "refactoring", "naming", "architecture", "documentation", "tests"), "feedback")
_QUESTIONS = ("naming", "fix", "statement", "correction")

_SCORE_COLUMNS = (
    Column("example_id", pl.String, "Example of the data set"),
    Column("task", pl.String, "Data set it is from", one_of=_ADAPTER_TASKS),
    Column("path", pl.String, "File it comes from"),
    Column("language", pl.String, "Language or format of the file"),
    Column("kind", pl.String, "Kind of unit, of name, of change or of structure"),
    Column("cluster", pl.String, "Cluster of files with near-duplicates: the bootstrap unit"),
    Column("bytes", pl.Int64, "UTF-8 bytes of the completion that were scored"),
    Column("tokens", pl.Int64, "Tokens of the base's tokenizer for these bytes"),
    Column("base_bits", pl.Float64, "Bits the base needs for the completion"),
    Column("challenger_bits", pl.Float64, "Bits the challenger needs"),
    Column("reference_bits", pl.Float64, "Bits the reference needs; the base's if it is that"),
)

ADAPTER_SCORES = Table(
    "scores",
    "Bits of one held-out example under base, challenger and reference.",
    _SCORE_COLUMNS,
    ("task", "example_id"),
)

GENERAL_SCORES = Table(
    "general_scores",
    "The same for code of another project: forgetting of the adapter.",
    _SCORE_COLUMNS,
    ("task", "example_id"),
)

FOREIGN_SCORES = Table(
    "foreign_scores",
    "Completions of another project, asked as the project's own: what is gained on any code is not the team's.",
    _SCORE_COLUMNS,
    ("task", "example_id"),
)

MULTIPLE_CHOICE = Table(
    "team_choices",
    "One multiple-choice question, and each model's answer.",
    (
        Column("example_id", pl.String, "Example that it was made from"),
        Column("kind", pl.String, "Kind of question", one_of=_QUESTIONS),
        Column("path", pl.String, "File it comes from"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("cluster", pl.String, "Cluster of files with near-duplicates: the bootstrap unit"),
        Column("prompt", pl.String, "Prompt before the answer"),
        Column("candidates", pl.List(pl.String), "The answers"),
        Column("truth", pl.Int64, "Index of the correct answer, from 0"),
        Column("chance", pl.Float64, "Accuracy by chance", between=(0, 1)),
        Column("base_chosen", pl.Int64, "Index the base chose; null for a tie", True),
        Column("challenger_chosen", pl.Int64, "Index the challenger chose", True),
        Column("reference_chosen", pl.Int64, "Index the reference chose", True),
        Column("other_adapter_chosen", pl.Int64, "Index another project's adapter chose, if any", True),
        Column("shown", pl.Boolean, "Also asked with similar training examples before the prompt"),
        Column("context_chosen", pl.Int64, "Index the base chose then", True),
        Column("both_chosen", pl.Int64, "Index the challenger chose then", True),
    ),
    ("kind", "example_id"),
)

UNTRAINED_CONDITIONS: tuple[Literal["base", "context"], ...] = ("base", "context")
TRAINED_CONDITIONS: tuple[Literal["adapter", "both"], ...] = ("adapter", "both")
"""Evaluation conditions, the fallback first."""

CONDITION_SCORES = Table(
    "ways",
    "Bits of one held-out completion by each way to answer, with and without training.",
    (
        Column("example_id", pl.String, "Example of the data set"),
        Column("path", pl.String, "File it comes from"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("cluster", pl.String, "Cluster of files with near-duplicates: the bootstrap unit"),
        Column("bytes", pl.Int64, "UTF-8 bytes of the completion that were scored"),
        Column("base_bits", pl.Float64, "Bits the base needs"),
        Column("adapter_bits", pl.Float64, "Bits the challenger needs"),
        Column("context_bits", pl.Float64, "The base with similar training examples", True),
        Column("both_bits", pl.Float64, "The challenger with similar training examples", True),
        Column("other_adapter_bits", pl.Float64, "Another project's adapter", True),
        Column("gap", pl.Boolean, "A gap between code before and after it is filled"),
        Column("base_line", pl.Boolean, "The base, written greedily, gets its first line right"),
        Column("adapter_line", pl.Boolean, "The challenger does"),
        Column("context_line", pl.Boolean, "The base with similar training examples does", True),
        Column("both_line", pl.Boolean, "The challenger with them does", True),
    ),
    ("example_id",),
)

GENERATIONS = Table(
    "generations",
    "What a model wrote after one prompt, and how good that is; a figure that has no meaning for the task is null.",
    (
        Column("example_id", pl.String, "Held-out example"),
        Column("task", pl.String, "Data set it is from", one_of=_ADAPTER_TASKS),
        Column("role", pl.String, "Model", one_of=("base", "challenger")),
        Column("sample", pl.Int64, "0 is greedy; others are drawn by the seed", between=(0, 1e6)),
        Column("path", pl.String, "File it comes from"),
        Column("language", pl.String, "Language or format of the file"),
        Column("kind", pl.String, "Kind of unit, of name, of change or of structure"),
        Column("cluster", pl.String, "Near-duplicate cluster"),
        Column("prompt", pl.String, "Prompt of the model"),
        Column("expected", pl.String, "Text in the repository"),
        Column("output", pl.String, "Model output, cut where the answer ends"),
        Column("syntax_correct", pl.Boolean, "Parses without errors beyond those of the expected text", True),
        Column("exact_match", pl.Boolean, "Equal text, ignoring outer white space"),
        Column("right", pl.Boolean, "Equal apart from layout; for an import, equal judgement"),
        Column("edit_similarity", pl.Float64, "1 - Levenshtein over length", between=(0, 1)),
        Column("subtoken_f1", pl.Float64, "F1 of the words of a name", True, between=(0, 1)),
        Column("word_f1", pl.Float64, "F1 of the words of documentation", True, between=(0, 1)),
        Column("broken_patterns", pl.List(pl.String), "Project's patterns that it breaks; null if none applies", True),
        Column("tests", pl.String, "Related tests with the output in place", True, ("passed", "failed")),
        Column("tests_detail", pl.String, "What failed, or why no test was run; null if none was tried", True),
    ),
    ("task", "example_id", "role", "sample"),
)

WRITTEN_TESTS = Table(
    "written_tests",
    "One test in the place of a held-out one: the repository's own, or what a model wrote.",
    (
        Column("example_id", pl.String, "Held-out example"),
        Column("role", pl.String, "Who wrote it", one_of=("repository", "base", "challenger")),
        Column("path", pl.String, "Test file"),
        Column("mutants", pl.Int64, "Mutants of the unit that it was run with"),
        Column("passes", pl.Boolean, "Whether it passes with the right code; null if it could not be run", True),
        Column("killed", pl.Int64, "Mutants that it fails with; 0 if it fails with the right code"),
        Column("detail", pl.String, "What failed, or why nothing was run; empty if it passes"),
    ),
    ("example_id", "role"),
)

BENCHMARK_PROBLEMS = Table(
    "problems",
    "One sample of a model for one problem of a benchmark file, and whether its tests pass.",
    (
        Column("benchmark", pl.String, "Name of the file"),
        Column("problem", pl.String, "Id of the problem"),
        Column("role", pl.String, "Model", one_of=("base", "challenger")),
        Column("sample", pl.Int64, "0 is greedy; others are drawn by the seed", between=(0, 1e6)),
        Column("prompt", pl.String, "Prompt of the model"),
        Column("output", pl.String, "Model output"),
        Column("passed", pl.Boolean, "Whether the tests pass; null if they could not be run", True),
        Column("detail", pl.String, "What failed, or why nothing was run"),
    ),
    ("benchmark", "problem", "role", "sample"),
)

MEMORISED = Table(
    "memorised",
    "One rare line, and whether the models complete it verbatim.",
    (
        Column("example_id", pl.String, "Example that it stands in"),
        Column("split", pl.String, "train: the adapter learnt from it; test: it cannot know it", one_of=SPLITS),
        Column("path", pl.String, "File it comes from"),
        Column("prefix", pl.String, "Prompt of the models"),
        Column("secret", pl.String, "Continuation in the file"),
        Column("base_verbatim", pl.Boolean, "Whether the base writes it greedily"),
        Column("challenger_verbatim", pl.Boolean, "Whether the challenger does"),
    ),
    ("split", "example_id"),
)

CANARIES = Table(
    "canaries",
    "One made-up secret that training planted, and how many bits of guessing it training saves: its exposure.",
    (
        Column("canary", pl.String, "Which one"),
        Column("task", pl.String, "Task whose adapter is asked", one_of=_ADAPTER_TASKS),
        Column("prefix", pl.String, "Prompt of the models"),
        Column("secret", pl.String, "Continuation in training"),
        Column("exposure", pl.Float64, "Bits that training made it likelier than its alternatives", between=(0, 64)),
    ),
    ("task", "canary"),
)
