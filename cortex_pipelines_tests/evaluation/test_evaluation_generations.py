import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels, score_table
from cortex_pipelines.evaluation.adapter.measures.generations import generation_metrics
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest
from cortex_pipelines.evaluation.adapter.report.quality import quality_reports, run_metrics
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET
from cortex_pipelines.schemas.evaluation import GENERATIONS, MULTIPLE_CHOICE
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
ROW = CASES["ROW"]
CHOSEN = EvaluationSettings.model_validate(SETTINGS)


def table(*changes: Mapping[str, object]) -> pl.DataFrame:
    rows = [{**ROW, "example_id": f"e{n}", **change} for n, change in enumerate(changes)]
    return GENERATIONS.frame(rows)


def test_outputs_of_all_tasks_are_kept_with_their_scores(workshop: Workshop) -> None:
    tables, metrics = workshop.tables(workshop.trained, generated_items=2, items=3, max_new_tokens=24)
    outputs = tables["generations"]
    assert set(outputs["task"]) == {"completion", "refactoring", "naming", "architecture"}
    assert set(outputs["role"]) == {"base", "challenger"}
    assert 0 <= metrics["completion_challenger_edit_similarity"] <= 1
    assert metrics["naming_base_exact_match"] <= metrics["naming_base_edit_similarity"]
    assert metrics["completion_challenger_edit_similarity"] > metrics["completion_base_edit_similarity"]


def test_greedy_outputs_are_those_of_plain_decoding_and_samples_are_seeded(workshop: Workshop, tmp_path: Path) -> None:
    items = [tinymodel.completion_example(number) for number in range(2)]

    def sample_outputs(cache_name: str, sample: int) -> list[str]:
        scorer = workshop.scorer(tmp_path / cache_name)
        return scorer.outputs([GenerationRequest(item, "paragraph", sample) for item in items], None)

    assert (sample_outputs("a", 0), sample_outputs("a", 1)) == (sample_outputs("b", 0), sample_outputs("c", 1))
    assert sample_outputs("a", 1) != sample_outputs("a", 2)


def test_the_answer_to_a_longer_list_is_the_same_for_each_item(workshop: Workshop, tmp_path: Path) -> None:
    """Sharing the forward pass over a prompt does not change any digit."""
    first = tinymodel.completion_example(1)
    items = [first, replace(first, completion="return 0\n"), tinymodel.naming_example(3)]

    def scores(cache_name: str, numbers: list[int]) -> list[object]:
        scorer = workshop.scorer(tmp_path / cache_name)
        return list(scorer.scores([items[item] for item in numbers], workshop.trained))

    together = scores("all", [0, 1, 2])
    assert together == [scores(f"alone-{item}", [item])[0] for item in range(3)]
    assert together == scores("turned", [2, 1, 0])[::-1]


def test_a_first_line_is_right_where_the_model_writes_it(workshop: Workshop, tmp_path: Path) -> None:
    query_item = tinymodel.completion_example(1)
    scorer = workshop.scorer(tmp_path / "cache")
    (output,) = scorer.outputs([GenerationRequest(query_item, "paragraph", 0)], workshop.trained)
    first = output.strip().partition("\n")[0]
    assert first
    before = output[: output.index(first)]

    def right(completion: str) -> bool:
        item = replace(query_item, completion=completion)
        (score,) = scorer.scores([item], workshop.trained)
        return score.greedy >= scorer.first_lines([item], SETTINGS["max_length"])[item.example_id]

    assert right(f"{before}{first}")
    assert not right(f"{before}{first[:-1]}\nand more")
    assert not right(f"{before}# {first}")


def test_an_adapter_for_each_task_is_used_for_its_task(workshop: Workshop, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    for task in ("completion", "naming"):
        source = workshop.trained if task == "completion" else workshop.untouched
        shutil.copytree(source, parts / task)
    items = [tinymodel.completion_example(1), tinymodel.naming_example(1)]
    scorer = workshop.scorer(tmp_path / "cache")
    rows = score_table(items, ComparedModels(parts, workshop.trained), scorer)
    completion, naming = rows.iter_rows(named=True)
    assert completion["challenger_bits"] == completion["reference_bits"]
    assert naming["challenger_bits"] == naming["base_bits"] != naming["reference_bits"]


def test_figures_are_of_greedy_outputs_or_of_tests() -> None:
    metrics = generation_metrics(
        table(
            {},
            {"right": False, "exact_match": False, "edit_similarity": 0.5, "syntax_correct": False},
            {"sample": 1, "exact_match": False},
            {"task": "refactoring", "kind": "error", "right": True},
            {"task": "refactoring", "kind": "error", "right": False},
        )
    )
    assert metrics["completion_challenger_exact_match"] == 0.5
    assert metrics["completion_challenger_edit_similarity"] == 0.75
    assert (metrics["completion_challenger_syntax_correct"], metrics["refactoring_challenger_fix_rate"]) == (0.5, 0.5)
    assert not [name for name in metrics if "base" in name]
    rule = {"task": "architecture", "kind": "violation", "expected": "violation: so.", "prompt": "p"}
    metrics = generation_metrics(
        table(
            rule | {"output": "allowed: no.", "right": False, "example_id": "a"},
            rule | {"output": "violation: yes.", "example_id": "b"},
        )
    )
    assert metrics["architecture_challenger_violations_allowed"] == 0.5
    assert metrics["architecture_challenger_rule_accuracy"] == 0.5
    better = [
        {"role": role, "tests": result, "example_id": name, "path": f"{name}.py"} | other
        for name, *results in (("a", "failed", "passed"), ("b", "failed", "failed"))
        for role, result in zip(("base", "challenger"), results, strict=True)
        for other in ({}, {"sample": 1, "tests": "passed"})
    ]
    metrics = run_metrics(table(*better), CHOSEN)
    assert metrics["tests_difference"] == 0.5
    assert metrics["tests_difference_low"] < 0.5 < metrics["tests_difference_high"]
    texts = ("Adds up all prices.", "Sends all letters.", "Sends nothing.")
    usual = {"task": "documentation", "word_f1": 0.5}
    rows = [usual | {"role": role, "expected": text} for role in ("base", "challenger") for text in texts]
    generations = table(*rows).with_columns(pl.col("expected").alias("example_id"))
    metrics = generation_metrics(generations)
    # "all" of 4 and 3 words; "sends" of 3 and 2; nothing in common
    assert metrics["documentation_others_word_f1"] == pytest.approx((2 / 7 + 2 / 5 + 0) / 3)
    assert metrics["documentation_base_word_f1"] == 0.5


def test_the_quality_report_has_four_terms_and_says_what_is_missing() -> None:
    choice = {"example_id": "e", "kind": "fix", "path": "a.py", "language": "python", "cluster": "c"}
    choice |= {"prompt": "p", "candidates": ["a", "b"], "truth": 0, "chance": 0.5}
    choice |= {"base_chosen": 1, "challenger_chosen": 0, "reference_chosen": 1, "shown": False}
    choices = MULTIPLE_CHOICE.frame([choice])
    outputs = table(
        {"role": "base", "right": False, "tests": "failed", "tests_detail": "x"},
        {"tests": "passed", "tests_detail": ""},
        {"right": False, "syntax_correct": False},
    )
    quality = quality_reports(outputs, choices)
    challenger = quality.by_role["challenger"]
    assert challenger.syntax_correctness == 0.5
    assert challenger.semantic_accuracy == pytest.approx(2 / 3)  # one output of two, one choice
    assert challenger.test_pass_rate == 1
    assert challenger.style_consistency is not None
    identical = quality_reports(outputs.with_columns(output=pl.col("expected")), choices)
    assert identical.by_role["challenger"].style_consistency == 1, "nothing is nearer than the truth"
    assert (quality.by_role["base"].semantic_accuracy, quality.missing) == (0, {})
    untested = table({"tests_detail": "no sandbox on this machine: refused"})
    quality = quality_reports(untested, choices)
    assert quality.by_role["challenger"].test_pass_rate is None
    assert quality.missing["test_pass_rate"] == "no sandbox on this machine: refused"
    assert (run_metrics(untested, CHOSEN), run_metrics(outputs, CHOSEN)["tests_challenger_pass_at_1"]) == ({}, 1)
    assert "tests_difference" not in run_metrics(outputs, CHOSEN)  # of other functions


def test_the_quality_report_is_written_without_a_figure_that_was_not_measured(workshop: Workshop) -> None:
    _, metrics = workshop.tables(workshop.trained, items=2)
    quality = json.loads(workshop.read("quality.json"))
    assert quality["by_role"]["challenger"]["syntax_correctness"] is None
    assert "nothing was generated" in quality["missing"]["syntax_correctness"]
    assert "quality_challenger_syntax_correctness" not in metrics
    assert {"evaluation_seconds", "adapter_mib", "peak_memory_mib"} <= set(workshop.observed)
    assert not set(workshop.observed) & set(metrics)


def test_similar_examples_stand_before_the_prompt_as_many_as_fit(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.datasets["completion"]
    item = tinymodel.completion_example(66)  # get_value_3, as several of the train split
    (with_context,) = SimilarExamples(folder, 60).with_examples([item])
    assert with_context.prompt.endswith(item.prompt)
    assert "value_3" in with_context.prompt.removesuffix(item.prompt)
    assert with_context.completion == item.completion
    head = "def load_payload(self):\n"
    rows = [{"prompt": f"# p{n}.py\n{IMPORTS}\n{head}", "completion": "    go()"} for n in range(9)]
    folder = trained_on(tmp_path, *rows, {"prompt": f"# long.py\n\n{head}", "completion": "go()" * 99})
    prompt = f"# load.py\n\n{head}"
    size = len("# p0.py\ndef load_payload(self):\n    go()")
    for room, count in ((0, 0), (size - 1, 0), (size, 1), (4 * size + 3, 4), (9 * size, 9)):
        with_examples = SimilarExamples(folder, room).prepend_examples(prompt)
        assert (with_examples.endswith(prompt), with_examples.count("def load_payload")) == (True, count + 1)
        assert "import" not in with_examples


IMPORTS = "".join(f"from package.module_{n} import name_{n}\n" for n in range(20))


def test_similar_is_the_code_by_its_rare_words_and_not_what_it_imports(tmp_path: Path) -> None:
    load = {"prompt": "# load.py\n\ndef load_payload(self, payload, serializer=None):\n"}
    folder = trained_on(tmp_path, {"prompt": f"# up.py\n{IMPORTS}\ndef shift(up, down):\n"}, load)
    prompt = f"# other.py\n{IMPORTS}\ndef load_payload(self, payload, serializer):\n"
    with_examples = SimilarExamples(folder, 100).prepend_examples(prompt)
    assert with_examples.startswith("# load.py\ndef load_payload")
    assert "shift" not in with_examples
    common = [{"prompt": f"# a{n}.py\n\ndef run_{n}(self, value, key):\n"} for n in range(8)]
    rare = {"prompt": "# b.py\n\nclass HeaderBytesReader(Reader):\n"}
    folder = trained_on(tmp_path, *common, rare)
    prompt = "# c.py\n\ndef read_header_bytes(self, value, key):\n"
    assert "HeaderBytesReader" in SimilarExamples(folder, 70).prepend_examples(prompt)


def test_lines_before_a_statement_are_shown_and_neither_variants_nor_gaps(tmp_path: Path) -> None:
    before = "".join(f"SIZE_{n} = {n}\n" for n in range(9))
    folder = trained_on(tmp_path, {"kind": "constant", "prompt": f"# a.py\n{before}LAST", "completion": " = 1"})
    prompt = SimilarExamples(folder, 100).prepend_examples("# b.py\nLAST_SIZE")
    assert prompt == "# a.py\nSIZE_6 = 6\nSIZE_7 = 7\nSIZE_8 = 8\nLAST = 1\n\n# b.py\nLAST_SIZE"
    code = {"prompt": "# a.py\n\ndef load(self):\n", "completion": "    go()"}
    excluded = [{"origin": "renamed"}, {"origin": "rewritten:reindented"}, {"task": "fim"}]
    folder = trained_on(tmp_path, *(code | other for other in excluded), code)
    assert SimilarExamples(folder, 10_000).prepend_examples("# b.py").count("go()") == 1


def trained_on(folder: Path, *rows: dict[str, str]) -> Path:
    """Folder of a completion data set with these training examples."""
    items = [
        tinymodel.row(tinymodel.completion_example(n)) | {"completion": "    pass"} | row for n, row in enumerate(rows)
    ]
    COMPLETION_DATASET[0].frame(items).write_parquet(folder / "train.parquet")
    return folder


def test_baselines_and_a_memory_of_the_project_are_compared_on_the_same_items(workshop: Workshop) -> None:
    tables, metrics = workshop.tables(workshop.trained, retrieved_bytes=60, retrieved_choices=2)
    completion = tables["scores"].filter(task="completion")
    assert metrics["retrieval_items"] == completion.height
    saved = metrics["retrieval_bits_per_byte"] - metrics["completion_challenger_bits_per_byte"]
    assert metrics["retrieval_gain"] == pytest.approx(saved)
    assert metrics["shown_items"] == tables["team_choices"]["shown"].sum() > 0
    assert metrics["shown_both_difference"] == pytest.approx(
        metrics["shown_both_accuracy"] - metrics["shown_base_accuracy"]
    )
    both = metrics["adapter_with_retrieval_bits_per_byte"]
    assert metrics["adapter_with_retrieval_gain"] == pytest.approx(
        both - metrics["completion_challenger_bits_per_byte"]
    )
    tables, metrics = workshop.tables(workshop.trained)
    ways = tables["ways"]
    assert ways["context_bits"].null_count() == ways.height > 0
    assert "retrieval_items" not in metrics


def test_the_adapter_of_another_project_is_found_by_its_version(workshop: Workshop) -> None:
    other_adapter = {"project": "elsewhere", "version": "1f.dir"}
    folder = workshop.root / "versions" / "code_adapter-elsewhere" / other_adapter["version"]
    shutil.copytree(workshop.untouched, folder)
    tables, metrics = workshop.tables(workshop.trained, items=4, choices=4, other_adapter=other_adapter)
    assert metrics["other_adapter_items"] == metrics["completion_items"] == 4
    # an adapter with a zero update equals the base
    assert metrics["other_adapter_gain"] == pytest.approx(metrics["completion_improvement_over_base"])
    choices = tables["team_choices"]
    assert choices["other_adapter_chosen"].equals(choices["base_chosen"])
    assert metrics["team_other_adapter_accuracy"] == metrics["team_base_accuracy"]
    assert metrics["team_own_difference"] == pytest.approx(
        metrics["team_challenger_accuracy"] - metrics["team_base_accuracy"]
    )
    report = workshop.read()
    assert other_adapter["version"] in report
    assert "Control: an adapter of another project, which knows the form" in report


def test_gaps_are_scored_but_nothing_is_asked_or_written_for_them(workshop: Workshop, tmp_path: Path) -> None:
    folders = tinymodel.write_datasets(tmp_path / "data", rows=9)
    path = folders["completion"] / "test.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(task=pl.lit("fim"), suffix=pl.lit("end")).write_parquet(path)
    tables, _ = workshop.tables(workshop.trained, datasets=folders, generated_items=2, memorised=3)
    assert tables["scores"].filter(task="completion").height == frame.height
    assert "completion" not in set(tables["generations"]["task"])
    assert "statement" not in set(tables["team_choices"]["kind"])
    assert tables["memorised"].filter(split="test").is_empty()


def test_an_adapter_is_measured_on_documentation_and_tests_where_it_was_trained_on_them(workshop: Workshop) -> None:
    """Tests may have more tokens than other answers."""
    shares = {"completion": 0.5, "documentation": 0.25, "tests": 0.25}
    trained = workshop.adapter("of-six", task_shares=shares, max_tokens=1500)
    tables, metrics = workshop.tables(trained, generated_items=1, items=2, max_new_tokens=12, max_test_tokens=24)
    assert {"documentation", "tests"} <= set(tables["scores"]["task"])
    assert {"documentation", "tests"} <= set(tables["generations"]["task"])
    tests = tables["generations"].filter(pl.col("task") == "tests")
    assert all(len(text) > 3 * 12 for text in tests["expected"])
    assert "documentation_challenger_word_f1" in metrics
    assert tables["written_tests"].is_empty()  # the small repository has no such test
    assert "F1 of the words" in workshop.read()
