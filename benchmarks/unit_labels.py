"""How often `technologies` and `intent_kind` of units are right, on units labelled by hand.

``python -m benchmarks.unit_labels FOLDER``, where FOLDER holds checkouts of the repositories of ``unit_labels.csv`` at
their commits, named ``owner+name``. The labels were given by reading the code, in two passes, before the rules' answers
were seen; the rules were written with the half ``developed`` at hand, and only ``judged`` says how good they are.
Imports, which say it themselves, are not in the sample; variables have no label of a kind.
"""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl

from benchmarks.workspace import CHECKOUT
from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.entries import blob_id
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.detect.scanning import files_below
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES

LABELS = Path(__file__).with_suffix(".csv")
_KEY = ("path", "line", "kind", "name")
_MOST_BYTES = 1_000_000


def main(folder: str) -> None:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    labels = pl.read_csv(LABELS).with_columns(pl.col("technologies", "intent_kind").fill_null(""))
    for (repository,), wanted in labels.group_by("repository", maintain_order=True):
        units = _annotated(Path(folder) / str(repository).replace("/", "+"), set(wanted["path"]))
        found = units.rename({"start_line": "line"}).drop("name").rename({"qualified_name": "name"})
        chosen = found.select(*_KEY, "language", found="technologies", found_kind="intent_kind")
        for row in wanted.join(chosen, on=_KEY, how="left").iter_rows(named=True):
            expected, given = set(row["technologies"].split()), set(row["found"] or ())
            for language in (row["language"], "all"):
                count = counts[row["half"], language]
                count["both"] += len(expected & given)
                count["given"] += len(given)
                count["expected"] += len(expected)
                count["kinds"] += row["intent_kind"] != ""
                count["right"] += row["intent_kind"] == row["found_kind"] != ""
    for (half, language), count in sorted(counts.items()):
        precision, recall = count["both"] / max(count["given"], 1), count["both"] / max(count["expected"], 1)
        kinds = f"kind {count['right']} of {count['kinds']}"
        print(f"{half:9} {language:10} technologies {count['expected']}: P {precision:.3f} R {recall:.3f}; {kinds}")


def _annotated(folder: Path, labelled: set[str]) -> pl.DataFrame:
    parameters = load_parameters(CHECKOUT)
    blank = {pl.String: "", pl.Boolean: False, pl.Int64: 0}
    empty = {column.name: None if column.nullable else blank.get(column.dtype) for column in REPOSITORY_FILES.columns}
    rows = []
    for file in files_below(folder):
        data = file.read_bytes()
        path = file.relative_to(folder).as_posix()
        if path not in labelled and (b"\0" in data or len(data) > _MOST_BYTES):
            continue
        text = data.decode(errors="replace")
        facts = {"source": "git:.", "path": path, "blob": blob_id(data), "language": language_of(path, text)}
        rows.append(empty | facts | {"size_bytes": len(data), "text": text})
    files = pl.DataFrame(rows, schema=REPOSITORY_FILES.schema, orient="row")
    units = extract(files, parameters.extraction).units
    facts_of_files = architecture_facts(files, units, parameters.architecture, parameters.extraction)
    return annotate(units, files, parameters.annotation, parameters.extraction, architecture=facts_of_files).units


if __name__ == "__main__":
    main(sys.argv[1])
