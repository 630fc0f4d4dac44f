"""What rows teach: adapters trained on as many tokens of different rows, judged on the same held-out code.

    python -m benchmarks.training_data OUT --judge FOLDER --arm before=FOLDER --arm after=FOLDER --project requests

Each FOLDER is a project folder in which the named projects' data sets are made, such as by two versions of this
package. ``--judge`` gives the held-out rows; what shows one of their answers leaves the rows of every arm. An arm is
``NAME=FOLDER[,SETTING=VALUE...]``: a setting of ``adapters``, or ``tests=SHARE``, the largest share of test code among
completions; ``files=true``, files as they are, without held-out units, in place of completions; ``ordered=true``, files
before those that import them; ``half="newest"`` or ``"called"``, the completions of units written last or called most;
``shown=SHARE``, without rows that show this share of a held-out answer. OUT/results.jsonl has a line for each adapter,
so the same command goes on where it stopped. The control is the adapter of another project, trained on the last arm.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import expm1, fsum, log
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from cortex_pipelines.adapters.build import TrainingInputs, build_adapter
from cortex_pipelines.adapters.data.packing import packed_row
from cortex_pipelines.adapters.training import loop
from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.assemble import selection
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels, extract_passage
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import REPAIRS, build_questions, choice_table
from cortex_pipelines.extraction.test_cases import TEST_PATH, is_test
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, resolve_model_pin
from cortex_pipelines.orchestration.adapter_study.results import mean_over_projects
from cortex_pipelines.prompts.examples import TASKS, Example, extent_of, read_examples, sampled, without_gaps
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.vocabulary import SPLITS

ITEMS, QUESTIONS, FIXES, PASSAGES = 48, 20, 16, 32
_PIECE = 1400  # bytes, about a row of tokens
_OPTIONS = ("tests", "files", "ordered", "half", "shown")
_SEED = 20
BASE, CONTROL = "base", "control"


@dataclass(frozen=True)
class Arm:
    name: str
    folder: Path
    settings: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Arm":
        name, _, rest = text.partition("=")
        folder, *settings = rest.split(",")
        return cls(
            name, Path(folder), {key: json.loads(value) for key, _, value in (o.partition("=") for o in settings)}
        )


def held_out_answers(judge: Path, project: str) -> list[str]:
    frames = [
        pl.read_parquet(judge / f"data/{task}_dataset/{project}/{split}.parquet", columns=["completion"])
        for task in TASKS
        for split in SPLITS[1:]
    ]
    return list(dict.fromkeys(text for frame in frames for text in frame["completion"]))


def without_answers(rows: pl.DataFrame, answers: Sequence[str], share: float) -> pl.DataFrame:
    """Rows that show less than a share of each answer, by the rule of a data set's own selection."""
    texts = rows.with_columns(pl.col("^suffix$").fill_null(""))
    with mock.patch.object(selection, "_HELD_OUT_SHARE", share):
        return rows.filter(~selection.shows_held_out(texts, (), selection.RowRules(held_out=tuple(answers))))


def with_fewer_tests(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    tests = pl.col("path").str.contains(TEST_PATH)
    most = int(rows.filter(~tests).height * share / (1 - share))
    selected = rows.filter(tests).sort(pl.col("example_id").hash(_SEED)).head(most)
    return pl.concat([rows.filter(~tests), selected])


def write_rows(arm: Arm, project: str, answers: Sequence[str], out: Path) -> dict[str, Path]:
    """Data sets of an arm by task, without what the judge holds out."""
    folders = {}
    most_shared = arm.settings.get("shown", selection._HELD_OUT_SHARE)
    for task in TASKS:
        folder = folders[task] = out / task
        folder.mkdir(parents=True)
        for split in SPLITS:
            rows = without_answers(
                pl.read_parquet(arm.folder / f"data/{task}_dataset/{project}/{split}.parquet"), answers, most_shared
            )
            if arm.settings.get("files") and (task, split) == ("completion", "train"):
                rows = without_answers(file_rows(arm, project), answers, most_shared)
            if "half" in arm.settings and (task, split) == ("completion", "train"):
                rows = half_of(rows, arm, project)
            if "tests" in arm.settings and task == "completion":
                rows = with_fewer_tests(rows, arm.settings["tests"])
            rows.write_parquet(folder / f"{split}.parquet")
            if task == "refactoring":  # nobody has corrected anything
                (out / "feedback").mkdir(exist_ok=True)
                rows.head(0).write_parquet(out / "feedback" / f"{split}.parquet")
    return {**folders, "feedback": out / "feedback"}


def half_of(rows: pl.DataFrame, arm: Arm, project: str) -> pl.DataFrame:
    units = pl.read_parquet(arm.folder / f"data/code_units/{project}/units.parquet")
    if arm.settings["half"] == "newest":
        times = pl.read_parquet(arm.folder / f"data/line_times/{project}/line_times.parquet")
        pairs = units.select("unit_id", "path", "start_line", "end_line").join(times, on="path")
        inside = (pl.col("first_line") <= pl.col("end_line")) & (pl.col("last_line") >= pl.col("start_line"))
        values = (
            pairs.filter(inside).group_by("unit_id").agg(pl.col("committed_at").max().dt.timestamp().alias("value"))
        )
    else:
        calls = pl.read_parquet(arm.folder / f"data/code_graph/{project}/edges.parquet").filter(relation="calls")
        counts = calls.group_by("to_path", "to_start_line").agg(pl.len().alias("value"))
        values = units.join(counts, left_on=["path", "start_line"], right_on=["to_path", "to_start_line"])
    values = values.select("unit_id", "value").unique("unit_id")
    ranked = rows.join(values, on="unit_id", how="left").with_columns(pl.col("value").fill_null(0))
    return ranked.sort("value", "example_id", descending=[True, False]).head(rows.height // 2).drop("value")


def file_rows(arm: Arm, project: str) -> pl.DataFrame:
    """Rows of whole files in pieces of a row's size, without the units that are held out."""
    units = pl.read_parquet(arm.folder / f"data/code_units/{project}/units.parquet")
    splits = pl.read_parquet(arm.folder / f"data/unit_splits/{project}/splits.parquet").select("unit_id", "split")
    held_out = units.join(splits.filter(pl.col("split") != "train"), on="unit_id")
    spans: dict[str, list[tuple[int, int]]] = {}
    for path, start, end in held_out.select("path", "start_byte", "end_byte").iter_rows():
        spans.setdefault(path, []).append((start, end))
    files = pl.read_parquet(arm.folder / f"data/repository_files/{project}/files.parquet")
    code = files.filter(pl.col("trainable") & ~pl.col("generated")).join(units, on="path", how="semi")
    rows: list[dict[str, Any]] = []
    for path, language, text in code.sort("path").select("path", "language", "text").iter_rows():
        data, position, remaining = text.encode(), 0, b""
        for start, end in sorted(spans.get(path, [])):
            remaining += data[position : max(start, position)]
            position = max(position, end)
        lines = (remaining + data[position:]).decode("utf-8", "replace").splitlines(keepends=True)
        chunk = ""
        for line in [*lines, ""]:
            if chunk and (not line or len(chunk) + len(line) > _PIECE):
                key = f"{path}:{len(rows)}"
                common = {"path": path, "language": language, "cluster": key, "task": "completion"}
                rows.append({"example_id": key, "kind": "file", "prompt": f"# {path}\n", "completion": chunk, **common})
                chunk = ""
            chunk += line
    return pl.DataFrame(rows).with_columns(suffix=pl.lit(None, pl.String))


def import_depths(arm: Arm, project: str) -> dict[str, int]:
    """Files by the longest chain of imports below them; circles are cut."""
    edges = pl.read_parquet(arm.folder / f"data/code_graph/{project}/edges.parquet").filter(relation="imports")
    imported: dict[str, set[str]] = {}
    for path, other in edges.select("from_path", "to_path").iter_rows():
        if other and other != path:
            imported.setdefault(path, set()).add(other)
    depths = dict.fromkeys(imported, 0)
    for _ in range(10):
        depths = {
            path: 1 + max((depths.get(other, 0) for other in imports), default=0) for path, imports in imported.items()
        }
    return depths


def in_order(paths: Mapping[str, str], depths: Mapping[str, int]) -> Any:
    """Patches of the trainer: rows of examples in the order of their files, not shuffled."""

    def rows_in_order(examples: Any, settings: Any, _packed: bool) -> list[Any]:
        def key(example: Any) -> tuple[int, str, str]:
            path = paths.get(example.example_id, "")
            return depths.get(path, 0), path, example.example_id

        rows: list[list[Any]] = [[]]
        for example in sorted(examples, key=key):
            if sum(len(other.ids) for other in rows[-1]) + len(example.ids) > settings.max_length:
                rows.append([])
            rows[-1].append(example)
        return [packed_row(row) for row in rows if row]

    return mock.patch.multiple(loop, build_rows=rows_in_order, plan_steps=lambda rows, _: [[[row]] for row in rows])


class Judge:
    """Scores adapters on what one project folder holds out."""

    def __init__(self, folder: Path, cache: Path) -> None:
        parameters = load_parameters(folder)
        limits = {"max_new_tokens": 64, "precision": parameters.adapters.precision, "threads": 1}
        self._settings = parameters.evaluation.model_copy(update=limits)
        self.folder = folder
        source = parameters.models.base
        self.base = PinnedModel(source, resolve_model_pin(source, folder))
        self._scorer = ItemScorer(self.base, folder, self._settings, RowCache(cache, "1"))

    def _completions(self, project: str, count: int, tests: bool = False) -> list[Example]:
        rows = read_examples(self.folder / f"data/completion_dataset/{project}", "completion", "test")
        return sampled([row for row in rows if is_test(row.path) == tests], count, _SEED)

    def measure(self, project: str, other_project: str, adapter: Path | None) -> dict[str, Any]:
        """Sums over the held-out items; ``other_project`` is the project on whose code forgetting is measured."""
        items = {
            "product": self._completions(project, ITEMS),
            "tests": self._completions(project, ITEMS // 2, tests=True),
            "elsewhere": [
                extract_passage(item, self._settings.general_characters)
                for item in self._completions(other_project, PASSAGES)
            ],
        }
        result: dict[str, Any] = {}
        for name, examples in items.items():
            scores = self._scorer.scores(examples, adapter)
            result |= {f"{name}_bits": fsum(o.bits for o in scores), f"{name}_bytes": sum(o.bytes for o in scores)}
            result |= {f"{name}_tokens": sum(o.tokens for o in scores), f"{name}_items": len(examples)}
            if name == "product":
                lines = self._scorer.first_lines(examples, self._settings.max_length)
                result["first_lines"] = sum(
                    score.greedy >= lines.get(item.example_id, 1 << 30)
                    for item, score in zip(examples, scores, strict=True)
                )
        tasks = ("completion", "naming", "refactoring")
        rows = {task: without_gaps(self.folder / f"data/{task}_dataset/{project}", task, "test") for task in tasks}
        questions, _ = build_questions(rows, QUESTIONS, _SEED)
        models = ComparedModels(adapter or Path(), None)
        if adapter is not None:
            table = choice_table(questions, [None] * len(questions), models, None, self._scorer, 512)
            for role in ("base", "challenger"):
                result[f"{role}_right"] = int(table[f"{role}_chosen"].eq_missing(table["truth"]).sum())
            result["questions"] = table.height
        fixes = [row for row in rows["refactoring"] if row.kind in REPAIRS and len(row.completion) < 200]
        fixes = sampled(fixes, FIXES, _SEED)
        outputs = self._scorer.outputs([GenerationRequest(item, extent_of(item)) for item in fixes], adapter)
        right = (text.strip() == item.completion.strip() for text, item in zip(outputs, fixes, strict=True))
        return result | {"fixes": len(fixes), "fixes_right": sum(right)}


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    results, judge = options.out / "results.jsonl", Judge(options.judge, options.out / "cache")
    finished_rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    yield from finished_rows
    finished = {(row["project"], row["arm"], row["seed"]) for row in finished_rows}
    projects = options.projects

    def record(project: str, arm: str, seed: int, adapter: Path | None, **facts: Any) -> dict[str, Any]:
        other_project = projects[(projects.index(project) + 1) % len(projects)]
        row = {"project": project, "arm": arm, "seed": seed, **facts, **judge.measure(project, other_project, adapter)}
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return row

    def adapter_of(arm: Arm, project: str, seed: int) -> Path:
        folder: Path = options.out / "adapters" / arm.name / f"{project}-{seed}"
        return folder

    yield from (record(name, BASE, 0, None) for name in projects if (name, BASE, 0) not in finished)
    for seed in options.seeds:
        for project in options.only or projects:
            answers = held_out_answers(options.judge, project)
            for arm in options.arms:
                if (project, arm.name, seed) not in finished:
                    folder = adapter_of(arm, project, seed)
                    with tempfile.TemporaryDirectory() as rows:
                        facts = _train(arm, project, seed, write_rows(arm, project, answers, Path(rows)), folder, judge)
                    yield record(project, arm.name, seed, folder, **facts)
        control = options.arms[-1]
        for project, other in zip(projects, projects[1:] + projects[:1], strict=True):
            if (project, CONTROL, seed) not in finished and not options.only:
                yield record(project, CONTROL, seed, adapter_of(control, other, seed))


def _train(
    arm: Arm, project: str, seed: int, datasets: Mapping[str, Path], folder: Path, judge: Judge
) -> dict[str, Any]:
    changes = {key: value for key, value in arm.settings.items() if key not in _OPTIONS}
    settings = load_parameters(judge.folder).adapters
    settings = settings.model_copy(update={"replay_share": 0.0, "canaries": 0, "seed": seed, "threads": 1, **changes})
    seconds: dict[str, float] = {}
    if not (folder / "metrics.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        patches: Any = nullcontext()
        if arm.settings.get("ordered"):
            frames = [
                pl.read_parquet(rows / "train.parquet", columns=["example_id", "path"]) for rows in datasets.values()
            ]
            patches = in_order(dict(pl.concat(frames).iter_rows()), import_depths(arm, project))
        with patches:
            inputs = TrainingInputs(project, datasets, None, judge.base, None)
            build_adapter(inputs, settings, folder, folder, seconds.__setitem__)
    tokens = json.loads((folder / "metrics.json").read_text())["train_tokens"]
    return {"tokens": tokens, "seconds": round(seconds.get("training_seconds", 0.0))}


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each arm against the base, and against the first arm; means over projects of means over seeds."""
    base = {row["project"]: row for row in rows if row["arm"] == BASE}
    arms = list(dict.fromkeys(row["arm"] for row in rows if row["arm"] != BASE))
    for name, measure in MEASURES.items():
        by_arm: dict[str, dict[str, float]] = {}
        for arm in arms:
            for project, reference in base.items():
                arm_rows = [row for row in rows if (row["arm"], row["project"]) == (arm, project)]
                if arm_rows:
                    values = [measure(row, reference) for row in arm_rows]
                    by_arm.setdefault(arm, {})[project] = float(np.mean(values))
        for arm, by_project in by_arm.items():
            text = f"{name} | {arm} | {_mean(list(by_project.values()))}"
            first = by_arm[arms[0]]
            both = [by_project[project] - first[project] for project in by_project if project in first]
            yield text if arm == arms[0] or not both else f"{text} | {_mean(both)}"
        yield f"  {json.dumps({arm: {p: round(v, 1) for p, v in of.items()} for arm, of in by_arm.items()})}"


def _share(row: Mapping[str, Any], reference: Mapping[str, Any], items: str) -> float:
    return 100 * (1 - float(row[f"{items}_bits"]) / float(reference[f"{items}_bits"]))


MEASURES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], float]] = {
    "bits of product code saved, %": lambda row, ref: _share(row, ref, "product"),
    "bits of tests saved, %": lambda row, ref: _share(row, ref, "tests"),
    "more first lines, points": lambda row, ref: 100 * (row["first_lines"] - ref["first_lines"]) / ref["product_items"],
    "more questions, points": lambda row, _: 100 * (row["challenger_right"] - row["base_right"]) / row["questions"],
    "more exact fixes, points": lambda row, ref: 100 * (row["fixes_right"] - ref["fixes_right"]) / max(ref["fixes"], 1),
    "higher perplexity elsewhere, %": lambda row, ref: (
        100 * expm1(log(2) * (row["elsewhere_bits"] - ref["elsewhere_bits"]) / ref["elsewhere_tokens"])
    ),
}


def _mean(values: Sequence[float]) -> str:
    mean = mean_over_projects(values)
    return f"{mean.estimate:.1f}" + (f" ({mean.low:.1f} to {mean.high:.1f})" if mean.low is not None else "")


def main() -> None:
    """Train and judge what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_data", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--arm", dest="arms", type=Arm.parse, action="append", default=[])
    parser.add_argument("--project", dest="projects", action="append", required=True)
    parser.add_argument("--only", action="append", help="train for these alone")
    parser.add_argument("--seed", dest="seeds", type=int, action="append", required=True)
    options = parser.parse_args()
    rows = []
    for row in run(options):
        rows.append(row)
        print(row["project"], row["arm"], row["seed"], row.get("tokens"), row.get("seconds"), flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
