"""Hand-written defects of short programs found by each way: ``python -m benchmarks.defects PROJECT [WAY]``.

Programs are those of ``defects.yaml``. The share of defects among the first three statements of a program, on the half
that nothing was chosen on, and what each way finds more than WAY (default: the best surprise on the other half), with
programs as clusters. The control deals a way's scores out to the statements anew, and must find what chance finds.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.learned.defects.likelihood import CodeModel, first_difference
from cortex_pipelines.learned.defects.predict import FILE, Recogniser
from cortex_pipelines.learned.defects.scores import EDIT_GAIN
from cortex_pipelines.learned.defects.statements import regions
from cortex_pipelines.progress import track
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.statistics.leaderboard import leaderboard_rows, rank_of
from cortex_pipelines.syntax.grammars import grammar_for, parse

PROGRAMS = Path(__file__).with_suffix(".yaml")
CONTROL = "control"
TOP, SEED = 3, 20


def main(root: Path, baseline: str) -> None:
    project, parameters = open_project(root), load_parameters(root)
    folder = project.output("pattern_recogniser", None)
    recogniser = Recogniser.load(folder) if (folder / FILE).exists() else Recogniser()
    model = CodeModel(pinned_base(project), root, parameters.defects.threads)
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
    print(f"used: {recogniser.way}")
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


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "surprise_sum")
