"""Defects found by each way: ``python -m benchmarks.defects PROJECT [--baseline WAY] [--fixes GIT_DIR... [--each N]]``.

Without ``--fixes`` in the hand-written programs of ``defects.yaml``: the share of defects among the first three
statements of a program, on the half that nothing was chosen on, and what each way finds more than WAY (default: the
best surprise on the other half), with programs as clusters.

With ``--fixes`` in the functions that the newest N fixes of each git history change, before and after, and in the same
functions with an error put in. An alarm is right if its function holds a defect, and its first statement is one that
the fix changes; half of the functions hold one, so a project's alarms are right less often.

The control deals a way's scores out to the statements anew, and functions to before and after; it must find what
chance finds.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from benchmarks.fixes import FixedFunction, MinedFixes, mine_fixes
from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.learned.defects.compare import (
    STATEMENT_TASK,
    Item,
    ScoredItem,
    defect_metrics,
    defect_rows,
    score_rows,
)
from cortex_pipelines.learned.defects.likelihood import CodeModel, first_difference
from cortex_pipelines.learned.defects.predict import FILE, Recogniser
from cortex_pipelines.learned.defects.scores import EDIT_GAIN, possible_edits
from cortex_pipelines.learned.defects.statements import regions, unit_region
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.progress import track
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.schemas.learned import DEFECT_SCORES
from cortex_pipelines.statistics.intervals import wilson
from cortex_pipelines.statistics.leaderboard import leaderboard_rows, rank_of
from cortex_pipelines.syntax.grammars import grammar_for, parse

PROGRAMS = Path(__file__).with_suffix(".yaml")
CONTROL = "control"
TOP, SEED = 3, 20
ALARM_SHARES = (0.01, 0.1)
_KEY = b"benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defects", description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--baseline", default="surprise_sum")
    parser.add_argument("--fixes", type=Path, nargs="+", metavar="GIT_DIR")
    parser.add_argument("--each", type=int, default=12, help="Most fixes of a history.")
    given = parser.parse_args()
    root = given.project.resolve()
    project, parameters = open_project(root), load_parameters(root)
    folder = project.output("pattern_recogniser", None)
    recogniser = Recogniser.load(folder) if (folder / FILE).exists() else Recogniser()
    model = CodeModel(pinned_base(project), root, parameters.defects.threads)
    print(f"used: {recogniser.way}")
    if given.fixes is None:
        in_programs(recogniser, model, parameters, given.baseline)
    else:
        in_fixes(recogniser, model, parameters, given.baseline, [each.resolve() for each in given.fixes], given.each)


def in_programs(recogniser: Recogniser, model: CodeModel, parameters: Parameters, baseline: str) -> None:
    chance = np.random.default_rng(SEED)
    hits: dict[tuple[str, int], list[float]] = defaultdict(list)
    clusters: dict[int, list[str]] = defaultdict(list)
    for number, program in enumerate(track(yaml.safe_load(PROGRAMS.read_text(encoding="utf-8")), "Programs")):
        for right, wrong in program["defects"]:
            code = program["code"].replace(right, wrong).encode()
            place = first_difference(program["code"].encode(), code)
            parts = regions(parse(code, grammar_for(program["language"])).root_node, code, program["language"])
            each = [recogniser.scores(region, model, parameters.defects) for region in parts]
            starts = [region.start + statement.start for region in parts for statement in region.statements]
            ends = [region.start + statement.end for region in parts for statement in region.statements]
            defect = max(n for n, (start, end) in enumerate(zip(starts, ends, strict=True)) if start <= place <= end)
            values = {name: np.concatenate([part.statements[name] for part in each]) for name in each[0].statements}
            values[CONTROL] = chance.permutation(values[EDIT_GAIN])
            for name, scores in values.items():
                hits[name, number % 2].append(float(rank_of(scores, defect) <= TOP))
            clusters[number % 2].append(str(number))
    for half, said in enumerate(("chosen on", "reported")):
        names = sorted({name for name, _ in hits}, key=lambda name: name != baseline)
        rows = leaderboard_rows(
            *("defects", said, f"defect in the first {TOP}"),
            {name: hits[name, half] for name in names},
            higher_is_better=True,
            clusters=clusters[half],
            **parameters.evaluation.bootstrap,
        )
        print(f"{said}: {len(clusters[half])} defects of {len(set(clusters[half]))} programs")
        for row in rows:
            spread = f"{row['difference']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})"
            print(f"  {row['candidate']:16} {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})  {spread}")


def in_fixes(
    recogniser: Recogniser,
    model: CodeModel,
    parameters: Parameters,
    baseline: str,
    histories: Sequence[Path],
    most: int,
) -> None:
    pairs = parameters.pairs.model_copy(update={"max_commits": None})
    redactor = PathRedactor(parameters.privacy, _KEY)
    named_fixes: list[tuple[str, FixedFunction]] = []
    for git_dir in histories:
        mined = mine_fixes(git_dir, most, parameters.defects, pairs, parameters.ingestion, redactor)
        name = (git_dir.parent if git_dir.name in (".git", "repo") else git_dir).name
        named_fixes += [(name, fix) for fix in mined.fixes]
        print(f"  {name:50} {said_of(mined)}")
    undone = sum(is_small_edit(fix) for _, fix in track(named_fixes, "Edits"))
    print(f"{undone} of {len(named_fixes)} fixes are one of the small edits that are tried")
    real, injected = [], []
    for name, fix in track(named_fixes, "Fixes"):
        wrong, right = (recogniser.scores(each, model, parameters.defects) for each in (fix.wrong, fix.right))
        real.append(ScoredItem(real_item(name, fix), "", wrong, right))
    for (name, fix), judged in zip(track(named_fixes, "Errors put in"), real, strict=True):
        item = injected_item(name, fix)
        if item is not None:
            wrong = recogniser.scores(item.wrong, model, parameters.defects)
            injected.append(ScoredItem(item, "", wrong, judged.right))
    for origin, every in (("real fixes", real), ("errors put into the same functions", injected)):
        report(origin, list(with_control(every)), parameters, baseline)


def said_of(mined: MinedFixes) -> str:
    return (
        f"{len(mined.fixes)} of {mined.commits} fixing commits; {mined.several_functions} change several functions, "
        f"{mined.insertions} only insert, {mined.other_size} are of another size"
    )


def is_small_edit(fix: FixedFunction) -> bool:
    """Whether one edit makes the mended function of the other, layout aside."""
    code, mended = fix.wrong.code, b"".join(fix.right.code.split())
    made = (code[: edit.start] + edit.replacement.encode() + code[edit.end :] for _, edit in possible_edits(fix.wrong))
    return any(b"".join(each.split()) == mended for each in made)


def real_item(name: str, fix: FixedFunction) -> Item:
    return Item(fix.commit, name, fix.path, fix.wrong, fix.right, fix.changed, "unknown", frozenset())


def injected_item(name: str, fix: FixedFunction) -> Item | None:
    """The mended function with an error by a mutation operator, drawn with the weights of operators."""
    code, language = fix.right.code.decode("utf-8", "replace"), fix.right.language
    for mutant in mutate_unit(code, language, "method", fix.path, "", 1, SEED, code):
        wrong = unit_region(mutant.buggy_code, language, "method", fix.path)
        place = first_difference(fix.right.code, mutant.buggy_code.encode())
        defect = wrong.statement_at(place) if wrong is not None else None
        if wrong is not None and defect is not None:
            return Item(fix.commit, name, fix.path, wrong, fix.right, (defect,), mutant.error_type, frozenset())
    return None


def with_control(judged: Sequence[ScoredItem]) -> Iterator[ScoredItem]:
    chance = np.random.default_rng(SEED)
    for each in judged:
        dealt = chance.permutation(each.wrong.statements[EDIT_GAIN])
        wholes = chance.permutation([each.wrong.region[EDIT_GAIN], each.right.region[EDIT_GAIN]])
        wrong, right = (
            side.with_way(CONTROL, figures, float(whole))
            for side, figures, whole in zip((each.wrong, each.right), (dealt, np.zeros(1)), wholes, strict=True)
        )
        yield replace(each, wrong=wrong, right=right)


def alarm_hits(scored_items: Sequence[ScoredItem], candidate: str, share: float) -> tuple[int, int]:
    """Alarms in so many of the functions, with defects and without, as are most suspect, and how many are right:
    in a function with a defect, on a statement that holds it."""
    alarms = []
    for each in scored_items:
        first = int(np.argmax(each.wrong.statements[candidate]))
        alarms.append((each.wrong.region[candidate], first in each.item.defects))
        alarms.append((each.right.region[candidate], False))
    raised = sorted(alarms, key=lambda alarm: -alarm[0])[: round(share * len(alarms))]
    return sum(is_right for _, is_right in raised), len(raised)


def report(origin: str, judged: Sequence[ScoredItem], parameters: Parameters, baseline: str) -> None:
    confidence = parameters.evaluation.bootstrap["confidence"]
    scores = DEFECT_SCORES.frame(score_rows(judged))
    metrics, rows = defect_metrics(scores), defect_rows(scores, parameters.evaluation, origin, baseline)
    languages = sorted(Counter(each.item.wrong.language for each in judged).items())
    said = ", ".join(f"{count} {language}" for language, count in languages)
    print(f"{origin}: {len(judged)} functions of {scores['project'].n_unique()} projects ({said})")
    for row in rows:
        name, is_statement = row["candidate"], row["task"] == STATEMENT_TASK
        more = "".join(f"  top-{top} {metrics[f'{name}_top_{top}']:.2f}" for top in (1, 5)) if is_statement else ""
        if not is_statement:
            for share in ALARM_SHARES:
                right, raised = alarm_hits(judged, name, share)
                more += f"  {wilson(right, raised, confidence):.2f} of {raised} alarms" if raised else ""
        spread = f"{row['difference']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})"
        figure = f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        print(f"  {'top-3' if is_statement else 'AUROC'} {name:16} {figure}  {spread}{more}")


if __name__ == "__main__":
    main()
