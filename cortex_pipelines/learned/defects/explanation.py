"""Why a statement is suspect: how each way sees it among the others, and the edits that make the code likelier."""

from pathlib import Path
from typing import Any

from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.predict import DefectError, Recogniser, edited_statement, lineno, read_regions
from cortex_pipelines.learned.defects.scores import RANDOM, possible_edits, statement_features
from cortex_pipelines.learned.defects.statements import Region
from cortex_pipelines.learned.settings import DefectSettings
from cortex_pipelines.statistics.leaderboard import rank_of


def explain_statement(
    path: Path, line: int | None, recogniser: Recogniser, model: CodeModel, settings: DefectSettings
) -> dict[str, Any]:
    """Of the statement on a line, or of the most suspect one of the file.

    ``ways``: by how many standard deviations each way finds it above the others of its function, and the weight of that
    in the combination, None where another way is used. ``edits``: the measured ones of the statement, the best first,
    with the statement as it would be and its gain (``CodeModel.read``). Raises DefectError: the file cannot be read, or
    no statement is on the line.
    """
    in_file = read_regions(path)
    if isinstance(in_file, str):
        raise DefectError(in_file)
    text, parts = in_file
    candidates = [
        (region, number)
        for region in parts
        for number, each in enumerate(region.statements)
        if line is None or lineno(text, region.start + each.start) <= line <= lineno(text, region.start + each.end - 1)
    ]
    if not candidates:
        raise DefectError(f"{path}: no statement is on line {line}")
    scored = {region.start: recogniser.scores(region, model, settings) for region, _ in candidates}
    way = recogniser.way

    def priority(candidate: tuple[Region, int]) -> float:
        region, number = candidate
        innermost = region.start + region.statements[number].start
        return float(scored[region.start].statements[way][number]) if line is None else innermost

    region, number = max(candidates, key=priority)
    scores, statement = scored[region.start], region.statements[number]
    names = [name for name in scores.statements if name != RANDOM]
    above = statement_features(scores, names)[number]
    weights = (
        dict(zip(recogniser.stack.names, recogniser.stack.statement_weights, strict=False)) if recogniser.stack else {}
    )
    return {
        "path": path.as_posix(),
        "line": lineno(text, region.start + statement.start),
        "code": region.texts()[number],
        "way": way,
        "rank": rank_of(scores.statements[way], number),
        "statements": len(region.statements),
        "ways": [
            {"way": name, "above": float(value), "weight": weights.get(name)}
            for name, value in zip(names, above, strict=True)
        ],
        "edits": _edits(region, number, model, settings),
    }


def _edits(region: Region, number: int, model: CodeModel, settings: DefectSettings) -> list[dict[str, Any]]:
    statement, possible = region.statements[number], possible_edits(region)
    byte_edits = [(edit.start, edit.end, edit.replacement) for _, edit in possible]
    _, gains = model.read(region.code, byte_edits, settings.edits)
    rows = [
        {"kind": family, "code": edited_statement(region, statement, *byte_edit), "gain": gain}
        for (family, _), byte_edit, gain in zip(possible, byte_edits, gains, strict=True)
        if gain is not None and region.statement_at(byte_edit[0]) == number
    ]
    return sorted(rows, key=lambda row: -row["gain"])
